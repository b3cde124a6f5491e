//! A blocking client on our own codec, for tests: it trusts the session and nothing else.

use bytes::BytesMut;
use interop::postgres::{Postgres, SUPER_PASSWORD};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proto_postgres::frame::{Decoder, Frame};
use proto_postgres::message::*;
use proto_postgres::session::{Event, Fate, Kind, Sent, Session};
use proto_postgres::startup;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;
use wire::RawField;

/// One server for the whole binary.
pub fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start().expect("a real PostgreSQL"))
}

pub struct Client {
    stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
    output: BytesMut,
    pub session: Session,
}

impl Client {
    /// Connects to the tests' server as its superuser.
    pub fn connect() -> Client {
        Client::connect_to(server().port, &[(b"user", b"postgres"), (b"client_encoding", b"UTF8")])
    }

    pub fn connect_to(port: u16, params: &[(&[u8], &[u8])]) -> Client {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client {
            stream,
            decoder: Decoder::upstream(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            session: Session::new(TxStatus::Idle),
        };
        startup::encode_message(&mut client.output, 0, params).unwrap();
        client.flush();
        client.authenticate();
        while !matches!(client.message(), FromUpstream::ReadyForQuery(TxStatus::Idle)) {}
        client
    }

    fn authenticate(&mut self) {
        let mut scram = ScramSha256::new(SUPER_PASSWORD.as_bytes(), ChannelBinding::unsupported());
        loop {
            match self.message() {
                FromUpstream::Authentication(Authentication::Sasl { mechanisms }) => {
                    assert!(mechanisms.iter().any(|m| m.as_bytes() == b"SCRAM-SHA-256"));
                    encode_sasl_initial(&mut self.output, b"SCRAM-SHA-256", scram.message()).unwrap();
                }
                FromUpstream::Authentication(Authentication::SaslContinue(data)) => {
                    scram.update(data.as_bytes()).unwrap();
                    let response = RawField::copy_from(scram.message());
                    FromClient::PasswordLike(response).encode(&mut self.output).unwrap();
                }
                FromUpstream::Authentication(Authentication::SaslFinal(data)) => {
                    scram.finish(data.as_bytes()).unwrap();
                }
                FromUpstream::Authentication(Authentication::Ok) => {
                    self.decoder.authenticated();
                    return;
                }
                other => panic!("during authentication: {other:?}"),
            }
            self.flush();
        }
    }

    /// Puts a message into the output, and tells the session.
    pub fn send(&mut self, sent: Sent, message: &FromClient) -> Fate {
        let fate = self.session.sent(sent).unwrap();
        message.encode(&mut self.output).unwrap();
        fate
    }

    /// Puts bytes into the output that the session need not know (Flush, CopyData) or shall not.
    pub fn put(&mut self, message: &FromClient) {
        message.encode(&mut self.output).unwrap();
    }

    pub fn put_raw(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    pub fn flush(&mut self) {
        // The server may have closed; what it said first is still to be read.
        drop(self.stream.write_all(&self.output));
        self.output.clear();
    }

    /// The next frame; `None` if the server closed.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next(&mut self.input).expect("frames of a real server") {
                return Some(frame);
            }
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(n) => self.input.extend_from_slice(&piece[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return None;
                }
                Err(e) => {
                    panic!("the server said nothing: {e}; {} are outstanding", self.session.outstanding())
                }
            }
        }
    }

    fn message(&mut self) -> FromUpstream {
        FromUpstream::decode(&self.frame().expect("the server is there")).unwrap()
    }

    /// The next event, as the session reads it.
    pub fn event(&mut self) -> Option<Event> {
        let frame = self.frame()?;
        match self.session.on_upstream(&frame) {
            Ok(event) => Some(event),
            Err(fault) => panic!("{fault}: {frame:?}; {:?}", self.session),
        }
    }

    /// Everything up to the answer to the last message sent.
    pub fn settle(&mut self) -> Vec<Event> {
        self.flush();
        let mut events = Vec::new();
        while self.session.outstanding() > 0 {
            let Some(event) = self.event() else { break };
            events.push(event);
        }
        events
    }

    /// Runs a Query; the text cells of all rows, or the SQLSTATE.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<Vec<u8>>>>, String> {
        let sql = RawField::copy_from(sql.as_bytes());
        let fate =
            self.send(Sent::shown(0, proto_postgres::session::What::SimpleQuery), &FromClient::Query { sql });
        assert_eq!(fate, Fate::Outstanding);
        let mut rows = Vec::new();
        let mut error = None;
        for event in self.settle() {
            match event.kind {
                Kind::DataRow(row) => rows.push(row.cells().map(|c| c.map(<[u8]>::to_vec)).collect()),
                Kind::Error { fields, .. } => {
                    error = Some(String::from_utf8(fields.sqlstate().unwrap().to_vec()).unwrap());
                }
                _ => {}
            }
        }
        error.map_or(Ok(rows), Err)
    }
}

impl Client {
    /// Runs a COPY TO STDOUT; what each CopyData held.
    pub fn copy_out(&mut self, sql: &str) -> Vec<Vec<u8>> {
        let sql = RawField::copy_from(sql.as_bytes());
        let _ =
            self.send(Sent::shown(0, proto_postgres::session::What::SimpleQuery), &FromClient::Query { sql });
        let data = self.settle().into_iter().filter_map(|event| match event.kind {
            Kind::CopyData(data) => Some(data.as_bytes().to_vec()),
            Kind::Error { fields, .. } => {
                panic!("{:?}", fields.get(b'M').map(|m| m.to_str().map(str::to_owned)))
            }
            _ => None,
        });
        data.collect()
    }
}

pub fn parse(name: &str, sql: &str) -> FromClient {
    FromClient::Parse(Parse {
        statement: RawField::copy_from(name.as_bytes()),
        sql: RawField::copy_from(sql.as_bytes()),
        types: Vec::new(),
    })
}

pub fn bind(portal: &str, statement: &str, result: Format) -> FromClient {
    FromClient::Bind(Bind {
        portal: RawField::copy_from(portal.as_bytes()),
        statement: RawField::copy_from(statement.as_bytes()),
        param_formats: Vec::new(),
        params: Vec::new(),
        result_formats: vec![result],
    })
}

pub fn execute(portal: &str, rows_max: i32) -> FromClient {
    FromClient::Execute { portal: RawField::copy_from(portal.as_bytes()), rows_max }
}

pub fn portal(name: &str) -> Target {
    Target::Portal(RawField::copy_from(name.as_bytes()))
}

pub fn statement(name: &str) -> Target {
    Target::Statement(RawField::copy_from(name.as_bytes()))
}
