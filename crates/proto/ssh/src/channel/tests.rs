//! What becomes of each name, as a table; and what requests say.

use super::*;
use Fate::*;

fn fates<T: Copy>(
    all: &[T],
    name: fn(T) -> &'static str,
    fate: fn(T, Side) -> Fate,
) -> Vec<(&'static str, Fate, Fate)> {
    all.iter().map(|one| (name(*one), fate(*one, Side::Client), fate(*one, Side::Upstream))).collect()
}

#[test]
fn what_becomes_of_each_channel() {
    let table = [
        // name, from the client, from upstream
        ("session", Decided, Refused),
        ("direct-tcpip", RefusedUnlessNamed, Refused),
        ("direct-streamlocal@openssh.com", RefusedUnlessNamed, Refused),
        ("forwarded-tcpip", Refused, RefusedUnlessNamed),
        ("forwarded-streamlocal@openssh.com", Refused, RefusedUnlessNamed),
        ("x11", Refused, Refused),
        ("auth-agent@openssh.com", Refused, Refused),
        ("tun@openssh.com", Refused, Refused),
    ];
    assert_eq!(fates(Channel::ALL, Channel::as_str, Channel::from), table);
}

#[test]
fn what_becomes_of_each_request_of_a_channel() {
    let table = [
        ("pty-req", Decided, Refused),
        ("shell", Decided, Refused),
        ("exec", Decided, Refused),
        ("subsystem", Decided, Refused),
        ("env", Decided, Refused),
        ("window-change", Passed, Refused),
        ("signal", Passed, Refused),
        ("break", Passed, Refused),
        ("x11-req", Refused, Refused),
        ("auth-agent-req@openssh.com", Refused, Refused),
        ("exit-status", Refused, Passed),
        ("exit-signal", Refused, Passed),
        ("xon-xoff", Refused, Passed),
        ("eow@openssh.com", Passed, Passed),
        ("keepalive@openssh.com", Answered, Answered),
    ];
    assert_eq!(fates(Request::ALL, Request::as_str, Request::from), table);
}

#[test]
fn what_becomes_of_each_request_of_a_connection() {
    let table = [
        ("tcpip-forward", RefusedUnlessNamed, Refused),
        ("cancel-tcpip-forward", RefusedUnlessNamed, Refused),
        ("streamlocal-forward@openssh.com", RefusedUnlessNamed, Refused),
        ("cancel-streamlocal-forward@openssh.com", RefusedUnlessNamed, Refused),
        ("keepalive@openssh.com", Answered, Answered),
        ("no-more-sessions@openssh.com", Answered, Refused),
        ("hostkeys-00@openssh.com", Refused, Answered),
        ("hostkeys-prove-00@openssh.com", Refused, Refused),
    ];
    assert_eq!(fates(Global::ALL, Global::as_str, Global::from), table);
}

#[test]
fn names_are_read_whole_and_by_their_letters() {
    for request in Request::ALL {
        assert_eq!(Request::parse(request.as_str().as_bytes()), Some(*request));
    }
    for name in [&b""[..], b"Exec", b"exec\0", b"exec ", b"simple@putty.projects.tartarus.org"] {
        assert_eq!((Request::parse(name), Channel::parse(name), Global::parse(name)), (None, None, None));
    }
}

fn raw(text: &'static str) -> RawField {
    RawField::from_static(text.as_bytes())
}

fn said(request: Request, body: &'static [u8]) -> Result<Said, &'static str> {
    Said::decode(request, &Bytes::from_static(body), Side::Client).map_err(|fault| fault.kind)
}

#[test]
fn requests_say_what_they_say() {
    let window = Window { columns: 80, rows: 24, width: 0, height: 640 };
    let size = b"\0\0\0\x50\0\0\0\x18\0\0\0\0\0\0\x02\x80";
    assert_eq!(said(Request::WindowChange, size), Ok(Said::WindowChange(window)));
    let modes = Modes { pairs: vec![(53, 1), (129, 38_400)], unread: 0 };
    assert_eq!(
        said(
            Request::PtyReq,
            b"\0\0\0\x05xterm\0\0\0\x50\0\0\0\x18\0\0\0\0\0\0\x02\x80\0\0\0\x0b\x35\0\0\0\x01\x81\0\0\x96\0\0",
        ),
        Ok(Said::Pty { terminal: raw("xterm"), window, modes })
    );
    assert_eq!(said(Request::Exec, b"\0\0\0\x02ls"), Ok(Said::Exec { command: raw("ls") }));
    assert_eq!(said(Request::Shell, b""), Ok(Said::Shell));
    assert_eq!(said(Request::Subsystem, b"\0\0\0\x04sftp"), Ok(Said::Subsystem(Subsystem::Sftp)));
    let netconf = Subsystem::Unknown(raw("netconf"));
    assert_eq!(said(Request::Subsystem, b"\0\0\0\x07netconf"), Ok(Said::Subsystem(netconf)));
    assert_eq!(
        said(Request::Env, b"\0\0\0\x04LANG\0\0\0\x01C"),
        Ok(Said::Env { name: raw("LANG"), value: raw("C") })
    );
    assert_eq!(said(Request::Signal, b"\0\0\0\x04TERM"), Ok(Said::Signal(Signal::Known("TERM"))));
    assert_eq!(
        said(Request::Signal, b"\0\0\0\x07SIGTERM"),
        Ok(Said::Signal(Signal::Unknown(raw("SIGTERM"))))
    );
    assert_eq!(said(Request::Break, b"\0\0\x01\xf4"), Ok(Said::Break { length: 500 }));
    assert_eq!(said(Request::ExitStatus, b"\0\0\0\x7f"), Ok(Said::ExitStatus(127)));
    assert_eq!(
        said(Request::ExitSignal, b"\0\0\0\x04KILL\x01\0\0\0\x03oom\0\0\0\0"),
        Ok(Said::ExitSignal { signal: Signal::Known("KILL"), core: true, message: raw("oom") })
    );
    assert_eq!(said(Request::XonXoff, b"\x01"), Ok(Said::XonXoff { client_can_do: true }));
    assert_eq!(said(Request::X11Req, b"whatever"), Ok(Said::X11Req));
}

#[test]
fn requests_end_where_they_end() {
    for (request, body, kind) in [
        (Request::Exec, &b"\0\0\0\x03ls"[..], kind::TRUNCATED),
        (Request::Exec, b"\xff\xff\xff\xffls", kind::TRUNCATED),
        (Request::Exec, b"\0\0\0\x02ls\0", kind::TRAILING_BYTES),
        (Request::Shell, b"x", kind::TRAILING_BYTES),
        (Request::XonXoff, b"\x02", kind::BAD_VALUE),
        (Request::ExitStatus, b"\0\0\0", kind::TRUNCATED),
        (Request::WindowChange, b"\0\0\0\x50", kind::TRUNCATED),
    ] {
        assert_eq!(said(request, body), Err(kind), "{} {body:?}", request.as_str());
    }
    let long = |length: usize| {
        let mut body = u32::try_from(length).unwrap().to_be_bytes().to_vec();
        body.resize(4 + length, b'a');
        Said::decode(Request::Exec, &Bytes::from(body), Side::Client).map(drop).map_err(|fault| fault.kind)
    };
    assert_eq!(long(COMMAND_BYTES_MAX), Ok(()));
    assert_eq!(long(COMMAND_BYTES_MAX + 1), Err(kind::TOO_LARGE));
}

#[test]
fn modes_stop_where_rfc_4254_stops() {
    let modes = |encoded: &[u8]| Modes::decode(encoded, Side::Client);
    let one = modes(b"\x01\0\0\0\x03\0").unwrap();
    assert_eq!((one.value(1), one.unread, one.encode()), (Some(3), 0, b"\x01\0\0\0\x03\0".to_vec()));
    assert_eq!(modes(b"\x01\0\0\0\x03").unwrap().pairs, [(1, 3)], "an end may lack");
    assert_eq!(modes(b"\x01\0\0\0\x03\xa0\x01\0\0\0\x04").unwrap(), Modes { pairs: vec![(1, 3)], unread: 6 });
    assert_eq!(modes(b"\0\x01\0\0\0\x04").unwrap(), Modes { pairs: vec![], unread: 5 });
    let twice = modes(b"\x01\0\0\0\x03\x01\0\0\0\x04").unwrap();
    assert_eq!(twice.value(1), Some(4));
    assert_eq!(modes(b"\x01\0\0\0").unwrap_err().kind, kind::TRUNCATED);
    let many = [1, 0, 0, 0, 0].repeat(MODES_MAX);
    assert_eq!(modes(&many).unwrap().pairs.len(), MODES_MAX);
    assert_eq!(modes(&[&many[..], &[1, 0, 0, 0, 0]].concat()).unwrap_err().kind, kind::TOO_MANY);
    assert_eq!((mode_name(53), mode_name(42), mode_name(19)), (Some("ECHO"), Some("IUTF8"), None));
}

#[test]
fn variables_are_set_from_a_list() {
    let allowed = ["LANG", "LC_*"];
    for (name, value, expect) in [
        ("LANG", "C", true),
        ("LC_ALL", "C.UTF-8", true),
        ("LANGUAGE", "C", false),
        ("LD_PRELOAD", "x", false),
        ("BASH_ENV", "x", false),
        ("LC_A=B", "x", false),
        ("LC_A\0B", "x", false),
        ("LANG", "a\0b", false),
        ("", "", false),
    ] {
        assert_eq!(is_env_allowed(name.as_bytes(), value.as_bytes(), &allowed), expect, "{name}");
    }
    assert!(!is_env_allowed(b"1A", b"", &["*"]) && is_env_allowed(b"_A", b"", &["*"]));
    assert!(!is_env_allowed(b"A", b"", &[]));
}

#[test]
fn what_forwards_names_its_destination() {
    let body = Bytes::from_static(b"\0\0\0\x02db\0\0\x15\x38\0\0\0\x09127.0.0.1\0\0\x10\0");
    assert_eq!(
        Forward::of_channel(Channel::DirectTcpip, &body, Side::Client),
        Ok(Some(Forward::Tcp { host: raw("db"), port: 5_432, originator: Some((raw("127.0.0.1"), 4_096)) }))
    );
    let body = Bytes::from_static(b"\0\0\0\x09/run/sock\0\0\0\0\0\0\0\0");
    assert_eq!(
        Forward::of_channel(Channel::DirectStreamlocal, &body, Side::Client),
        Ok(Some(Forward::Socket { path: raw("/run/sock") }))
    );
    let body = Bytes::from_static(b"\0\0\0\0\0\x01\0\0");
    let fault = Forward::of_global(Global::TcpipForward, &body, Side::Client).unwrap_err();
    assert_eq!(fault.kind, kind::BAD_VALUE);
    assert_eq!(Forward::of_channel(Channel::Session, &Bytes::new(), Side::Client), Ok(None));
}
