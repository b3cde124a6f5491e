//! SCRAM against clients that are not ours: the crate postgres-protocol, and psql.

use bytes::BytesMut;
use interop::process::finish;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proto_postgres::frame::Decoder;
use proto_postgres::message::*;
use proto_postgres::reply::{DataRow, Fields, RowDescription};
use proto_postgres::scram::*;
use proto_postgres::startup::{self, Startup};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;
use wire::{RawField, Side, kind};

const PASSWORD: &[u8] = b"tacho_run_0123456789";
const END_POINT: &[u8] = &[0xc5; 32];

fn verifier() -> Verifier {
    Verifier::from_password(PASSWORD, &[3; SALT_BYTES], 4096).unwrap()
}

/// A whole exchange with the crate's client; `Ok` if both sides are convinced.
fn exchange(
    verifier: Verifier,
    channel: Channel<'_>,
    binding: ChannelBinding,
    mechanism: &str,
    password: &[u8],
) -> Result<(), &'static str> {
    let mut client = ScramSha256::new(password, binding);
    let (server, first) =
        Server::begin(verifier, channel, mechanism.as_bytes(), client.message(), &[7; NONCE_BYTES])
            .map_err(|f| f.outward)?;
    client.update(&first).unwrap();
    let last = server.finish(client.message()).map_err(|fault| {
        assert_eq!((fault.side, fault.kind), (Side::Client, kind::AUTHENTICATION));
        fault.outward
    })?;
    client.finish(&last).unwrap();
    Ok(())
}

#[test]
fn a_client_that_knows_the_password_is_let_in_and_we_prove_ourselves_to_it() {
    let tls = Channel::Tls { end_point: END_POINT };
    let bound = || ChannelBinding::tls_server_end_point(END_POINT.to_vec());
    exchange(verifier(), Channel::Plain, ChannelBinding::unsupported(), SCRAM_SHA_256, PASSWORD).unwrap();
    exchange(verifier(), Channel::Plain, ChannelBinding::unrequested(), SCRAM_SHA_256, PASSWORD).unwrap();
    exchange(verifier(), tls, ChannelBinding::unsupported(), SCRAM_SHA_256, PASSWORD).unwrap();
    exchange(verifier(), tls, bound(), SCRAM_SHA_256_PLUS, PASSWORD).unwrap();
}

#[test]
fn a_wrong_password_an_unknown_user_and_nothing_else_read_the_same() {
    let wrong = exchange(verifier(), Channel::Plain, ChannelBinding::unsupported(), SCRAM_SHA_256, b"wrong");
    let mock = Verifier::mock(&[9; 32], b"nobody", 4096).unwrap();
    let unknown = exchange(mock, Channel::Plain, ChannelBinding::unsupported(), SCRAM_SHA_256, PASSWORD);
    assert_eq!(wrong, Err("password authentication failed"));
    assert_eq!(unknown, wrong);
}

#[test]
fn a_mock_has_the_shape_of_a_real_user_and_a_stable_salt() {
    let first = |verifier: Verifier| {
        let begun =
            Server::begin(verifier, Channel::Plain, b"SCRAM-SHA-256", b"n,,n=,r=abc", &[7; NONCE_BYTES]);
        String::from_utf8(begun.unwrap().1).unwrap()
    };
    let mock = |user: &[u8]| first(Verifier::mock(&[9; 32], user, 4096).unwrap());
    assert_eq!(mock(b"nobody"), mock(b"nobody"));
    assert_ne!(mock(b"nobody"), mock(b"somebody"));
    assert_eq!(mock(b"nobody").len(), first(verifier()).len());
}

#[test]
fn a_bound_channel_is_ours_or_refused() {
    let tls = Channel::Tls { end_point: END_POINT };
    let bound = |hash: &[u8]| ChannelBinding::tls_server_end_point(hash.to_vec());
    let refused = |channel, binding, mechanism| {
        exchange(verifier(), channel, binding, mechanism, PASSWORD).unwrap_err()
    };
    // Somebody in the middle shows another certificate.
    assert_eq!(refused(tls, bound(&[0xc6; 32]), SCRAM_SHA_256_PLUS), "SCRAM channel binding check failed");
    // Somebody in the middle took PLUS off our list.
    assert!(
        refused(tls, ChannelBinding::unrequested(), SCRAM_SHA_256).contains("thinks the server does not")
    );
    assert!(refused(Channel::Plain, bound(END_POINT), SCRAM_SHA_256_PLUS).contains("do not fit"));
    assert!(refused(tls, bound(END_POINT), SCRAM_SHA_256).contains("do not fit"));
    assert!(refused(tls, ChannelBinding::unsupported(), SCRAM_SHA_256_PLUS).contains("do not fit"));
    assert!(refused(tls, ChannelBinding::unsupported(), "SCRAM-SHA-1").contains("mechanism"));
    assert_eq!(Channel::Plain.mechanisms(), [SCRAM_SHA_256]);
    assert_eq!(tls.mechanisms(), [SCRAM_SHA_256_PLUS, SCRAM_SHA_256]);
}

#[test]
fn what_is_not_of_the_grammar_is_refused() {
    let begin =
        |first: &[u8]| Server::begin(verifier(), Channel::Plain, b"SCRAM-SHA-256", first, &[7; NONCE_BYTES]);
    for first in [
        &b""[..],
        b"n",
        b"n,",
        b"n,,",
        b"n,,r=abc",
        b"n,,n=",
        b"n,,n=,r=",
        b"n,,n=,r=a b",
        b"n,,m=x,n=,r=abc",
        b"n,a=admin,n=,r=abc",
        b"x,,n=,r=abc",
        b"n,,n=,r=\xff",
        b"n,,n=,r=a\0c",
        b"p=tls-unique,,n=,r=abc",
    ] {
        assert_eq!(begin(first).unwrap_err().kind, kind::AUTHENTICATION, "{first:?}");
    }
    assert!(begin(&[&b"n,,n=,r="[..], &[b'a'; 3000]].concat()).is_err());
    let nonce = {
        let text = String::from_utf8(begin(b"n,,n=,r=abc").unwrap().1).unwrap();
        text.split(',').next().unwrap().to_owned()
    };
    let proof = "A".repeat(43) + "=";
    for last in [
        String::new(),
        format!("c=biws,{nonce}"),
        format!("c=biws,{nonce},p="),
        format!("c=biws,{nonce},p=AAAA"),
        format!("c=eSws,{nonce},p={proof}"),
        format!("{nonce},c=biws,p={proof}"),
        format!("c=biws,r=abc,p={proof}"),
        format!("c=biws,{nonce}x,p={proof}"),
        format!("c=biws,{nonce},p={proof},x=1"),
        format!("c=biws,{nonce},p={proof}"),
    ] {
        let (server, _) = begin(b"n,,n=,r=abc").unwrap();
        assert_eq!(server.finish(last.as_bytes()).unwrap_err().kind, kind::AUTHENTICATION, "{last}");
    }
}

#[test]
fn a_verifier_is_made_of_what_the_gateway_mints() {
    for (password, salt, iterations) in [
        (&b""[..], &[1; 16][..], 4096),
        (b"caf\xc3\xa9", &[1; 16], 4096),
        (b"a\0b", &[1; 16], 4096),
        (b"ok", &[], 4096),
        (b"ok", &[1; 16], 0),
        (b"ok", &[1; 16], 1_000_001),
    ] {
        let fault = Verifier::from_password(password, salt, iterations).unwrap_err();
        assert_eq!((fault.side, fault.kind), (Side::Operator, kind::BAD_VALUE));
    }
    assert_eq!(format!("{:?}", verifier()), "Verifier(4096 iterations)");
}

/// A server of one connection, made of our own encoders.
fn serve(listener: &TcpListener) -> Result<(), wire::Fault> {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut input = BytesMut::new();
    loop {
        match startup::decode(&input).unwrap() {
            Startup::NeedMore { .. } => assert!(more(&mut stream, &mut input)),
            Startup::SslRequest { len } | Startup::GssEncRequest { len } => {
                startup::refuse_pipelined(&input[len..]).unwrap();
                input.clear();
                stream.write_all(b"N").unwrap();
            }
            Startup::Message(message) => {
                assert_eq!(message.user().unwrap().as_bytes(), b"agent");
                drop(input.split_to(message.len));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let mut decoder = Decoder::client();
    let mut out = BytesMut::new();
    let mechanisms = vec![RawField::from_static(SCRAM_SHA_256.as_bytes())];
    authentication(&mut out, Authentication::Sasl { mechanisms });
    let FromClient::PasswordLike(body) = next(&mut stream, &mut decoder, &mut input, &mut out) else {
        panic!()
    };
    let (mechanism, first) = sasl_initial(&body).unwrap();
    let first = first.unwrap();
    let begun =
        Server::begin(verifier(), Channel::Plain, mechanism.as_bytes(), first.as_bytes(), &[5; NONCE_BYTES]);
    let (server, continued) = begun.unwrap();
    authentication(&mut out, Authentication::SaslContinue(RawField::copy_from(&continued)));
    let FromClient::PasswordLike(last) = next(&mut stream, &mut decoder, &mut input, &mut out) else {
        panic!()
    };
    let last = match server.finish(last.as_bytes()) {
        Ok(last) => last,
        Err(fault) => {
            let fields = Fields::new("FATAL", "28P01", "password authentication failed for user \"agent\"");
            FromUpstream::Error(fields).encode(&mut out).unwrap();
            stream.write_all(&out).unwrap();
            return Err(fault);
        }
    };
    authentication(&mut out, Authentication::SaslFinal(RawField::copy_from(&last)));
    authentication(&mut out, Authentication::Ok);
    decoder.authenticated();
    for (name, value) in [(&b"server_version"[..], &b"15.0"[..]), (b"client_encoding", b"UTF8")] {
        let (name, value) = (RawField::copy_from(name), RawField::copy_from(value));
        FromUpstream::ParameterStatus { name, value }.encode(&mut out).unwrap();
    }
    FromUpstream::BackendKeyData { pid: 1, key: RawField::from_static(b"1234") }.encode(&mut out).unwrap();
    FromUpstream::ReadyForQuery(TxStatus::Idle).encode(&mut out).unwrap();
    let FromClient::Query { sql } = next(&mut stream, &mut decoder, &mut input, &mut out) else { panic!() };
    assert_eq!(sql.as_bytes(), b"select 'hello'");
    let columns = vec![proto_postgres::reply::Column {
        name: RawField::from_static(b"c"),
        table: 0,
        attribute: 0,
        type_oid: 25,
        type_size: -1,
        type_modifier: -1,
        format: Format::Text,
    }];
    FromUpstream::RowDescription(RowDescription { columns }).encode(&mut out).unwrap();
    FromUpstream::DataRow(DataRow::build([Some(&b"hello"[..])]).unwrap()).encode(&mut out).unwrap();
    FromUpstream::CommandComplete { tag: RawField::from_static(b"SELECT 1") }.encode(&mut out).unwrap();
    FromUpstream::ReadyForQuery(TxStatus::Idle).encode(&mut out).unwrap();
    assert_eq!(next(&mut stream, &mut decoder, &mut input, &mut out), FromClient::Terminate);
    Ok(())
}

fn authentication(out: &mut BytesMut, message: Authentication) {
    FromUpstream::Authentication(message).encode(out).unwrap();
}

fn more(stream: &mut TcpStream, input: &mut BytesMut) -> bool {
    let mut piece = [0; 4096];
    let n = stream.read(&mut piece).unwrap();
    input.extend_from_slice(&piece[..n]);
    n > 0
}

fn next(
    stream: &mut TcpStream,
    decoder: &mut Decoder,
    input: &mut BytesMut,
    out: &mut BytesMut,
) -> FromClient {
    stream.write_all(out).unwrap();
    out.clear();
    loop {
        if let Some(frame) = decoder.next(input).unwrap() {
            return FromClient::decode(&frame).unwrap();
        }
        assert!(more(stream, input), "the client went away");
    }
}

#[test]
fn psql_logs_in_with_the_right_password_and_not_with_a_wrong_one() {
    let psql = interop::postgres::debian().unwrap().bin.join("psql");
    for (password, fits) in [(std::str::from_utf8(PASSWORD).unwrap(), true), ("wrong", false)] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || serve(&listener));
        let mut command = Command::new(&psql);
        command
            .env_clear()
            .env("PGPASSWORD", password)
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", port.to_string());
        command.args(["-X", "-A", "-t", "-U", "agent", "-d", "crm", "-c", "select 'hello'"]);
        let done = finish(&mut command, b"", Duration::from_secs(20)).unwrap();
        assert_eq!(server.join().unwrap().is_ok(), fits);
        assert_eq!(done.status.success(), fits, "{}", done.all());
        assert!(
            done.all().contains(if fits { "hello" } else { "password authentication failed" }),
            "{}",
            done.all()
        );
    }
}
