//! Before the first frame.

use bytes::BytesMut;
use proto_postgres::limits::*;
use proto_postgres::startup::{self, Startup, StartupMessage};
use wire::{Side, kind};

fn message(minor: u16, params: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = BytesMut::new();
    startup::encode_message(&mut out, minor, params).unwrap();
    out.to_vec()
}

fn decoded(input: &[u8]) -> StartupMessage {
    match startup::decode(input).unwrap() {
        Startup::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

fn refused(input: &[u8]) -> &'static str {
    let fault = startup::decode(input).unwrap_err();
    assert_eq!(fault.side, Side::Client);
    fault.kind
}

#[test]
fn each_packet_says_how_much_it_consumed_and_needs_no_more_than_that() {
    let mut out = BytesMut::new();
    startup::encode_ssl_request(&mut out).unwrap();
    let ssl = out.split().to_vec();
    startup::encode_gssenc_request(&mut out).unwrap();
    let gss = out.split().to_vec();
    startup::encode_cancel(&mut out, 42, &[9; 32]).unwrap();
    let cancel = out.split().to_vec();
    let hello = message(2, &[(b"user", b"agent"), (b"database", b"crm")]);
    for packet in [&ssl, &gss, &cancel, &hello] {
        for cut in 0..packet.len() {
            let Startup::NeedMore { at_least } = startup::decode(&packet[..cut]).unwrap() else {
                panic!("a packet of which {cut} bytes are there")
            };
            assert!(at_least <= packet.len() - cut, "asks for bytes of what follows");
        }
        let len = |input: &[u8]| match startup::decode(input).unwrap() {
            Startup::SslRequest { len } | Startup::GssEncRequest { len } | Startup::Cancel { len, .. } => len,
            Startup::Message(message) => message.len,
            Startup::NeedMore { .. } => panic!("the packet is whole"),
        };
        assert_eq!(len(packet), packet.len());
        assert_eq!(len(&[packet, &b"pipelined"[..]].concat()), packet.len());
    }
    assert!(startup::refuse_pipelined(b"").is_ok());
    assert_eq!(startup::refuse_pipelined(b"Q").unwrap_err().kind, kind::TRAILING_BYTES);
}

#[test]
fn a_cancel_key_may_be_long_and_not_longer() {
    for (length, fits) in [(0, false), (3, false), (4, true), (32, true), (256, true), (257, false)] {
        let mut packet = ((12 + length) as u32).to_be_bytes().to_vec();
        packet.extend(80_877_102u32.to_be_bytes());
        packet.extend(7u32.to_be_bytes());
        packet.extend(vec![1; length]);
        match startup::decode(&packet) {
            Ok(Startup::Cancel { pid, key, .. }) => assert_eq!((pid, key.len(), fits), (7, length, true)),
            other => assert!(other.is_err() && !fits, "{length}"),
        }
        assert_eq!(startup::encode_cancel(&mut BytesMut::new(), 7, &vec![1; length]).is_ok(), fits);
    }
}

#[test]
fn hostile_lengths_are_refused_at_once() {
    for length in [0u32, 1, 3, 4, 7, 10_005, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        assert_eq!(refused(&length.to_be_bytes()), kind::BAD_LENGTH, "{length}");
    }
    // TLS without SSLRequest, HTTP, SSH: the first byte tells.
    for hello in [&b"\x16\x03\x01\x02\0"[..], b"\x16", b"GET / HTTP/1.1", b"S", b"\0\x01"] {
        assert_eq!(refused(hello), kind::BAD_LENGTH);
    }
    let largest = 10_004u32.to_be_bytes();
    assert_eq!(startup::decode(&largest).unwrap(), Startup::NeedMore { at_least: STARTUP_BYTES_MAX });
}

#[test]
fn a_request_of_fixed_length_has_that_length() {
    for code in [80_877_103u32, 80_877_104] {
        let mut packet = 9u32.to_be_bytes().to_vec();
        packet.extend(code.to_be_bytes());
        packet.push(0);
        assert_eq!(refused(&packet), kind::TRAILING_BYTES);
    }
}

#[test]
fn only_major_three_is_spoken() {
    for code in [2u32 << 16, 4 << 16, 0, 80_877_105, u32::MAX] {
        let mut packet = 9u32.to_be_bytes().to_vec();
        packet.extend(code.to_be_bytes());
        packet.push(0);
        assert_eq!(refused(&packet), kind::UNKNOWN_MESSAGE);
    }
}

#[test]
fn parameters_end_where_the_packet_does() {
    let packet = |params: &[u8]| {
        let mut packet = ((8 + params.len()) as u32).to_be_bytes().to_vec();
        packet.extend((3u32 << 16).to_be_bytes());
        packet.extend(params);
        packet
    };
    assert_eq!(refused(&packet(b"user\0a\0")), kind::UNTERMINATED);
    assert_eq!(refused(&packet(b"user\0a")), kind::UNTERMINATED);
    assert_eq!(refused(&packet(b"user\0a\0\0extra\0")), kind::TRAILING_BYTES);
    assert_eq!(refused(&packet(b"")), kind::UNTERMINATED);
    assert_eq!(refused(&packet(b"user\0a\0user\0b\0\0")), kind::BAD_VALUE);
    let many: Vec<u8> =
        (0..=STARTUP_PARAMETERS_MAX).flat_map(|i| format!("p{i}\0v\0").into_bytes()).collect();
    assert_eq!(refused(&packet(&[&many[..], b"\0"].concat())), kind::TOO_MANY);
    assert_eq!(decoded(&packet(b"user\0a\0options\0\0\0")).get(b"options").unwrap().len(), 0);
}

#[test]
fn user_database_and_replication_are_read_as_postgres_reads_them() {
    let hello = decoded(&message(0, &[(b"user", b"a"), (b"database", b"")]));
    assert_eq!(hello.database().unwrap().as_bytes(), b"a");
    assert_eq!(hello.get(b"USER"), None);
    for (value, asks) in
        [(&b"true"[..], true), (b"database", true), (b"1", true), (b"nonsense", true), (b"", true)]
    {
        let hello = decoded(&message(0, &[(b"user", b"a"), (b"replication", value)]));
        assert_eq!(hello.asks_replication(), asks);
        assert_eq!(proto_postgres::action::of_startup(&hello).unwrap_err().sqlstate, "0A000");
    }
    for value in [&b"false"[..], b"OFF", b"no", b"0"] {
        assert!(!decoded(&message(0, &[(b"user", b"a"), (b"replication", value)])).asks_replication());
    }
    let nobody = decoded(&message(0, &[(b"user", b"")]));
    assert_eq!(proto_postgres::action::of_startup(&nobody).unwrap_err().sqlstate, "28000");
}

#[test]
fn versions_are_negotiated_down_and_unknown_options_listed() {
    let check = |asked: u16, given: u16, told: bool| {
        let negotiated = startup::negotiate(&decoded(&message(asked, &[(b"user", b"a")])));
        assert_eq!((negotiated.minor, negotiated.reply.is_some()), (given, told), "3.{asked}");
        if let Some(reply) = negotiated.reply {
            assert_eq!((reply.version, reply.options.len()), ((3 << 16) | u32::from(given), 0));
        }
    };
    check(0, 0, false);
    check(1, 0, true);
    check(2, 2, false);
    check(3, 2, true);
    check(9999, 2, true);
    let hello = decoded(&message(0, &[(b"user", b"a"), (b"_pq_.x", b"1"), (b"_pq", b"2")]));
    let reply = startup::negotiate(&hello).reply.unwrap();
    assert_eq!(reply.options.iter().map(|o| o.as_bytes()).collect::<Vec<_>>(), [b"_pq_.x"]);
}
