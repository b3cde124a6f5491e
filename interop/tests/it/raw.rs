//! A client of one's own making: every byte that it sends is chosen, and every byte that it gets is kept.

use interop::gateway::{Gateway, Lease};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A message: its type and body.
pub type Message = (u8, Vec<u8>);

/// One connection.
pub struct Raw {
    pub stream: TcpStream,
    /// Everything that the gateway has sent.
    pub seen: Vec<u8>,
    read: usize,
}

impl Raw {
    /// Connected, and nothing said yet.
    pub fn knock(port: u16) -> Raw {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream, seen: Vec::new(), read: 0 }
    }

    /// Logged in with a run's credential.
    pub fn log_in(gateway: &Gateway, lease: &Lease) -> Raw {
        let database = lease.variable("PGDATABASE");
        Raw::log_in_as(gateway.site().port, lease.user(), lease.password(), database).unwrap()
    }

    /// Logged in, or what the gateway said instead.
    pub fn log_in_as(port: u16, user: &str, password: &str, database: &str) -> Result<Raw, String> {
        Raw::log_in_with(port, password, &[("user", user), ("database", database)])
    }

    /// The same, with parameters of one's own.
    pub fn log_in_with(port: u16, password: &str, parameters: &[(&str, &str)]) -> Result<Raw, String> {
        let mut raw = Raw::knock(port);
        raw.send(&startup(parameters));
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        let mut initial = b"SCRAM-SHA-256\0".to_vec();
        initial.extend_from_slice(&u32::try_from(scram.message().len()).unwrap().to_be_bytes());
        initial.extend_from_slice(scram.message());
        loop {
            let (kind, body) = raw.message().map_err(|error| error.to_string())?;
            match (kind, body.first_chunk::<4>().map(|word| u32::from_be_bytes(*word))) {
                (b'R', Some(10)) => raw.send(&message(b'p', &initial)),
                (b'R', Some(11)) => {
                    scram.update(&body[4..]).map_err(|error| error.to_string())?;
                    raw.send(&message(b'p', scram.message()));
                }
                (b'R', Some(12)) => scram.finish(&body[4..]).map_err(|error| error.to_string())?,
                (b'Z', _) => return Ok(raw),
                (b'E', _) => return Err(field(&body, b'C') + " " + &field(&body, b'M')),
                _ => {}
            }
        }
    }

    /// Sends; a gateway that has closed the connection meanwhile is found when it is read from.
    pub fn send(&mut self, bytes: &[u8]) {
        let _closed = self.stream.write_all(bytes);
    }

    /// The next whole message.
    pub fn message(&mut self) -> io::Result<Message> {
        loop {
            let rest = &self.seen[self.read..];
            if let Some(head) = rest.first_chunk::<5>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if rest.len() > length {
                    let found = (head[0], rest[5..=length].to_vec());
                    self.read += length + 1;
                    return Ok(found);
                }
            }
            self.more()?;
        }
    }

    /// Everything up to ReadyForQuery, or to the error that is the session's last word.
    pub fn until_ready(&mut self) -> io::Result<Vec<Message>> {
        let mut all = Vec::new();
        loop {
            let message = self.message()?;
            let ready = message.0 == b'Z' || (message.0 == b'E' && field(&message.1, b'S') == "FATAL");
            all.push(message);
            if ready {
                return Ok(all);
            }
        }
    }

    /// A simple query to its end.
    pub fn query(&mut self, sql: &str) -> io::Result<Vec<Message>> {
        self.send(&query(sql));
        self.until_ready()
    }

    /// Reads until the gateway closes; a reset is an end, too. Panics if it does not.
    pub fn read_to_end(&mut self) {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("the gateway neither answers nor closes")
                }
                Err(_) => return,
            }
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    self.seen.extend_from_slice(&buffer[..n]);
                    return Ok(());
                }
                // A child of another test has ended.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// `kind`, length, body.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend_from_slice(body);
    out
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), b"\0"].concat())
}

/// Parse, Bind with text parameters, Execute, Sync.
pub fn extended(sql: &str, parameters: &[(i16, &[u8])]) -> Vec<u8> {
    let mut out = message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat());
    out.extend(bind(parameters));
    out.extend(message(b'E', b"\0\0\0\0\0"));
    out.extend(message(b'S', b""));
    out
}

/// Bind of the unnamed statement to the unnamed portal; formats and values.
pub fn bind(parameters: &[(i16, &[u8])]) -> Vec<u8> {
    let count = i16::try_from(parameters.len()).unwrap().to_be_bytes();
    let mut body = vec![0, 0];
    body.extend_from_slice(&count);
    parameters.iter().for_each(|(format, _)| body.extend_from_slice(&format.to_be_bytes()));
    body.extend_from_slice(&count);
    for (_, value) in parameters {
        body.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value);
    }
    body.extend_from_slice(&[0, 0]);
    message(b'B', &body)
}

/// A startup message of protocol 3.0.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    let mut out = u32::try_from(body.len() + 4).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(&body);
    out
}

/// A field of an error or notice: `C` the code, `M` the message.
pub fn field(body: &[u8], of: u8) -> String {
    let fields = body.split(|byte| *byte == 0);
    let found = fields.filter_map(|field| field.split_first()).find(|(kind, _)| **kind == of);
    found.map(|(_, text)| String::from_utf8(text.to_vec()).unwrap()).unwrap_or_default()
}

/// The SQLSTATE of the first error, if there is one.
pub fn code(messages: &[Message]) -> Option<String> {
    messages.iter().find(|(kind, _)| *kind == b'E').map(|(_, body)| field(body, b'C'))
}
