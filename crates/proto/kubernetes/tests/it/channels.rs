//! Names of protocols, channels over WebSocket, sizes, and how programs end.

use bytes::Bytes;
use proto_kubernetes::channel::said::{Ended, Ending, Size, Sizes};
use proto_kubernetes::channel::websocket::{Channel, Channels, FromClient, stdin_closed};
use proto_kubernetes::channel::{Carrier, Protocol, chosen, offered};
use proto_kubernetes::fault::{self as why};
use proto_kubernetes::limits::*;
use proto_kubernetes::query::{Connect, Proxied, Streams};

fn streams(stdin: bool, tty: bool) -> Streams {
    Streams { stdin, stdout: true, stderr: !tty, tty, container: None }
}

fn channels(protocol: Protocol, stdin: bool, tty: bool) -> Channels {
    Channels::new(protocol, streams(stdin, tty)).unwrap()
}

fn bytes(text: &'static [u8]) -> Bytes {
    Bytes::from_static(text)
}

#[test]
fn old_versions_and_those_in_base64_are_not_offered() {
    let exec = Connect::Attach(streams(true, true));
    let names = [
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "v3.channel.k8s.io",
        "v2.channel.k8s.io",
        "channel.k8s.io",
    ];
    let both = vec![Protocol::V5, Protocol::V4];
    for carrier in [Carrier::WebSocket, Carrier::Spdy] {
        assert_eq!(offered(&exec, carrier, &names), Ok(both.clone()));
        for bad in [
            &["v3.channel.k8s.io"][..],
            &["base64.channel.k8s.io", "v4.base64.channel.k8s.io"],
            &[],
            &[""],
            &["V4.channel.k8s.io"],
        ] {
            assert_eq!(offered(&exec, carrier, bad), Err(why::NO_PROTOCOL), "{bad:?}");
        }
    }
    let forward = Connect::PortForward(Vec::new());
    let tunnel = "SPDY/3.1+portforward.k8s.io";
    assert_eq!(offered(&forward, Carrier::WebSocket, &[tunnel]), Ok(vec![Protocol::PortForward]));
    assert_eq!(offered(&forward, Carrier::Spdy, &["portforward.k8s.io"]), Ok(vec![Protocol::PortForward]));
    for (carrier, name) in [
        (Carrier::Spdy, tunnel),
        (Carrier::WebSocket, "portforward.k8s.io"),
        (Carrier::WebSocket, "v5.channel.k8s.io"),
        (Carrier::Spdy, "v4.channel.k8s.io"),
    ] {
        assert_eq!(offered(&forward, carrier, &[name]), Err(why::NO_PROTOCOL), "{name}");
    }
    for both in [&[names[1]][..], &[tunnel, names[1]], &[names[1], tunnel]] {
        let own = offered(&forward, Carrier::WebSocket, both);
        assert_eq!(own, Ok(vec![Protocol::PortChannels]), "{both:?}: its ports are decided with the request");
    }
    assert_eq!(
        offered(&Connect::Proxy(Proxied::default()), Carrier::WebSocket, &names),
        Err(why::NO_PROTOCOL)
    );
    assert_eq!(offered(&exec, Carrier::Spdy, &[names[0], names[0]]), Err(why::PROTOCOL_TWICE));
    let mut many = vec!["x"; PROTOCOLS_MAX];
    many[0] = names[0];
    assert!(offered(&exec, Carrier::Spdy, &many).is_ok());
    many.push("x");
    assert_eq!(offered(&exec, Carrier::Spdy, &many), Err(why::TOO_MANY_PROTOCOLS));

    let choose = |name| chosen(&[Protocol::V4], Carrier::WebSocket, name);
    assert_eq!(choose(Some("v4.channel.k8s.io")), Ok(Protocol::V4));
    assert_eq!(choose(Some("v5.channel.k8s.io")), Err(why::NOT_OFFERED));
    assert_eq!(choose(None), Err(why::NOT_OFFERED));
    assert!(Protocol::PortForward.is_spdy(Carrier::WebSocket) && !Protocol::V4.is_spdy(Carrier::WebSocket));
    assert!(Channels::new(Protocol::PortForward, streams(true, true)).is_err());
}

#[test]
fn each_side_has_its_channels() {
    let mut v5 = channels(Protocol::V5, true, true);
    assert_eq!(v5.on_client(&bytes(b"\x00ls")), Ok(FromClient::Stdin(bytes(b"ls"))));
    assert_eq!(v5.on_client(&bytes(b"\x00")), Ok(FromClient::Stdin(Bytes::new())));
    assert_eq!(v5.on_client(&bytes(b"\x04{}")), Ok(FromClient::Resize(bytes(b"{}"))));
    for message in [&b"\x01x"[..], b"\x02x", b"\x03x", b"\x05x", b"0x", b"\xff\x01", b"\xff", b"\xff\x00\x00"]
    {
        assert_eq!(v5.on_client(&bytes(message)), Err(why::UNKNOWN_CHANNEL), "{message:?}");
    }
    assert_eq!(v5.on_client(&Bytes::new()), Err(why::NO_CHANNEL));
    assert_eq!(v5.on_client(&stdin_closed()), Ok(FromClient::StdinClosed));
    assert_eq!(v5.on_client(&stdin_closed()), Err(why::INPUT_ENDED));
    assert_eq!(v5.on_client(&bytes(b"\x00x")), Err(why::INPUT_ENDED));
    assert_eq!(v5.on_client(&bytes(b"\x04{}")), Ok(FromClient::Resize(bytes(b"{}"))));

    let mut v4 = channels(Protocol::V4, true, false);
    assert_eq!(v4.on_client(&stdin_closed()), Err(why::UNKNOWN_CHANNEL), "version 4 has no close");
    assert_eq!(v4.on_client(&bytes(b"\x04{}")), Err(why::NOT_ASKED_FOR), "no terminal");
    assert_eq!(channels(Protocol::V4, false, true).on_client(&bytes(b"\x00x")), Err(why::NOT_ASKED_FOR));
    assert_eq!(channels(Protocol::V5, false, true).on_client(&stdin_closed()), Err(why::INPUT_ENDED));

    assert_eq!(v4.on_upstream(&bytes(b"\x01out")), Ok((Channel::Stdout, bytes(b"out"))));
    assert_eq!(v4.on_upstream(&bytes(b"\x02err")), Ok((Channel::Stderr, bytes(b"err"))));
    assert_eq!(v4.on_upstream(&bytes(b"\x03")), Ok((Channel::Error, Bytes::new())));
    assert_eq!(v5.on_upstream(&bytes(b"\x02err")), Err(why::NOT_ASKED_FOR), "a terminal has one output");
    assert_eq!(v5.on_upstream(&bytes(b"\x02")), Ok((Channel::Stderr, Bytes::new())), "a server's beginning");
    for message in [&b"\x00x"[..], b"\x04x", b"\xff\x01", b"\x06"] {
        assert_eq!(v4.on_upstream(&bytes(message)), Err(why::UNKNOWN_CHANNEL), "{message:?}");
    }
    assert_eq!(v4.on_upstream(&Bytes::new()), Err(why::NO_CHANNEL));
    assert_eq!(Channel::Stderr.message(b"x"), bytes(b"\x02x"));
    assert!(!format!("{:?}", FromClient::Stdin(bytes(b"hush"))).contains("hush"));
}

#[test]
fn sizes_are_read_however_they_are_cut() {
    let text =
        "{\"Width\":80,\"Height\":24}\n{\"Height\": 50, \"Width\": 132}  {\"Width\":0,\"Height\":65535}";
    let expected =
        [Size { width: 80, height: 24 }, Size { width: 132, height: 50 }, Size { width: 0, height: 65_535 }];
    for step in 1..=text.len() {
        let mut sizes = Sizes::default();
        let read: Vec<Size> =
            text.as_bytes().chunks(step).flat_map(|piece| sizes.push(piece).unwrap()).collect();
        assert_eq!(read, expected, "{step}");
    }
    for size in expected {
        assert_eq!(Sizes::default().push(&size.written()), Ok(vec![size]));
    }
    let bad = [
        r#"{"Width":80}"#,
        r#"{"width":80,"height":24}"#,
        r#"{"Width":80,"Height":24,"X":1}"#,
        r#"{"Width":80,"Width":80}"#,
        r#"{"Width":-1,"Height":24}"#,
        r#"{"Width":65536,"Height":24}"#,
        r#"{"Width":"80","Height":24}"#,
        r#"{"Width":8e1,"Height":24}"#,
        r#"x{"Width":80,"Height":24}"#,
        "[",
        "}",
    ];
    for text in bad {
        assert_eq!(Sizes::default().push(text.as_bytes()), Err(why::BAD_SIZE), "{text}");
    }
    let open = |n: usize| Sizes::default().push(format!("{{{}", " ".repeat(n - 1)).as_bytes());
    assert_eq!(open(SIZE_BYTES_MAX), Ok(Vec::new()));
    assert_eq!(open(SIZE_BYTES_MAX + 1), Err(why::BAD_SIZE));
}

fn ended(text: &str) -> Result<Option<Ended>, &'static str> {
    let mut ending = Ending::default();
    for piece in text.as_bytes().chunks(7) {
        ending.push(piece).unwrap();
    }
    ending.finish().map_err(|reason| reason.outward)
}

#[test]
fn how_a_program_ended() {
    assert_eq!(ended(r#"{"metadata":{},"status":"Success"}"#), Ok(Some(Ended::Success)));
    assert_eq!(ended(""), Ok(None));
    let code = |reason: &str, causes: &str| {
        ended(&format!(
            r#"{{"metadata":{{}},"status":"Failure","message":"m","reason":"{reason}","details":{{"causes":{causes}}}}}"#
        ))
    };
    assert_eq!(code("NonZeroExitCode", r#"[{"reason":"ExitCode","message":"7"}]"#), Ok(Some(Ended::Code(7))));
    assert_eq!(
        code("NonZeroExitCode", r#"[{"reason":"X"},{"reason":"ExitCode","message":"137"}]"#),
        Ok(Some(Ended::Code(137)))
    );
    assert_eq!(code("InternalError", "[]"), Ok(Some(Ended::Failed)));
    assert_eq!(ended(r#"{"status":"Failure","message":"m"}"#), Ok(Some(Ended::Failed)));
    let no = Err(why::NO_STATUS.outward);
    for causes in [
        "[]",
        r#"[{"reason":"ExitCode","message":"x"}]"#,
        r#"[{"reason":"ExitCode","message":"0"}]"#,
        r#"[{"reason":"ExitCode","message":"1"},{"reason":"ExitCode","message":"2"}]"#,
    ] {
        assert_eq!(code("NonZeroExitCode", causes), no, "{causes}");
    }
    for text in ["{}", r#"{"status":"success"}"#, r#"{"status":"Failure","reason":"NonZeroExitCode"}"#] {
        assert_eq!(ended(text), no, "{text}");
    }
    for text in [
        "x",
        "command terminated",
        r#"{"status":"Success"}{"status":"Failure"}"#,
        r#"{"Status":"Success"}"#,
        "[]",
    ] {
        assert!(ended(text).is_err(), "{text}");
    }
    let mut ending = Ending::default();
    ending.push(&vec![b' '; ENDED_BYTES_MAX]).unwrap();
    assert_eq!(ending.push(b" "), Err(why::ENDED_TOO_LONG));
}
