//! Commands and terminals of SSH and of pods: as recordings, as screens, and played.

use answers::{Cannot, Cast, Edition, Player, What, asciicast, export_bundle};
use ledger::read::Store;
use seal::cbor::Value;
use seal::testkit::{map, run_key, text};
use terminal::{Screen, Size};
use vocab::{RunId, Seq};

use crate::export::Dir;
use crate::story::{A, Field, Story, texts, touches};
use crate::support::{Case, check, expect};

const RUN: &str = "a1a1a1";

/// A session of SSH, its record's number, and where things stand in it.
struct Host {
    story: Story,
    session: u64,
}

impl Host {
    fn new() -> Host {
        let mut story = Story::new();
        story.open(A, &[]);
        let mut host = Host { story, session: 0 };
        host.connect("build");
        host
    }

    fn connect(&mut self, resource: &str) {
        self.connect_as(resource, "ssh");
    }

    fn connect_as(&mut self, resource: &str, kind: &str) {
        let body = [
            ("resource", text(resource)),
            ("client", text("127.0.0.1:50424")),
            ("upstream", text(&format!("{resource}.internal:22"))),
            ("upstream_id", Value::Uint(0)),
            ("tls_client", Value::Bool(false)),
            ("tls_upstream", Value::Bool(false)),
            ("role", text("deploy")),
            ("server", text("SSH-2.0-OpenSSH_9.2p1")),
            ("options", map(&[("kind", text(kind)), ("proof", text("key"))])),
        ];
        self.session = self.story.record("connect", A, None, &map(&body));
        self.story.in_session(self.session, Some(self.session));
    }

    fn begin(&mut self, statement: &str) -> u64 {
        let body = [
            ("statement", text(statement)),
            ("verbs", texts(&["execute"])),
            ("touches", touches("execute", "build/deploy", &[])),
            ("via", text("exec")),
        ];
        let seq = self.story.intent(A, &body);
        self.here(seq)
    }

    /// A request of a cluster's client.
    fn asks(&mut self, kind: &str, statement: &str) -> u64 {
        let body = [
            ("statement", text(statement)),
            ("verbs", texts(&["execute"])),
            ("touches", touches("execute", "build/default/pods/web/exec/program/make", &[])),
            ("via", text("request")),
            ("kind", text(kind)),
        ];
        let seq = self.story.intent(A, &body);
        self.here(seq)
    }

    fn chunk(&mut self, of: u64, n: u64, to: &str, payload: &Value) -> u64 {
        let with = [("to", text(to)), ("rows", Value::Uint(0))];
        let seq = self.story.chunk_with(A, of, n, &with, &[&payload.to_bytes()]);
        self.here(seq)
    }

    fn end(&mut self, of: u64, tag: &str, payloads: &[&[u8]]) -> u64 {
        let with = [
            ("tag", text(tag)),
            ("rows", Value::Uint(0)),
            ("coverage", text("partial: searched by detector")),
        ];
        let seq = self.story.outcome_with(A, of, &with, payloads);
        self.here(seq)
    }

    fn here(&mut self, seq: u64) -> u64 {
        self.story.in_session(seq, Some(self.session));
        seq
    }
}

/// A payload as the relay writes it (RECORDS.md, "Payloads").
fn said(at: Option<u64>, streams: &[Value]) -> Value {
    let mut fields: Vec<Field> = vec![("t", text("ssh")), ("streams", Value::Array(streams.to_vec()))];
    fields.extend(at.map(|ms| ("at", Value::Uint(ms))));
    map(&fields)
}

fn stream(name: &str, data: &[u8]) -> Value {
    map(&[("s", text(name)), ("data", Value::Bytes(data.to_vec()))])
}

fn size(columns: u64, rows: u64, term: Option<&str>) -> Value {
    let mut fields: Vec<Field> =
        vec![("s", text("size")), ("columns", Value::Uint(columns)), ("rows", Value::Uint(rows))];
    fields.extend(term.map(|term| ("term", text(term))));
    map(&fields)
}

/// A command without a terminal: two streams, a character that is cut, bytes that are none, a masked value, input.
fn command(host: &mut Host) -> [u64; 4] {
    let of = host.begin("make test | tee 'log'");
    let first = said(Some(120), &[stream("out", b"caf\xc3"), stream("err", b"warning: \xff\n")]);
    let first = host.chunk(of, 0, "client", &first);
    let input = host.chunk(of, 0, "upstream", &said(None, &[stream("in", b"yes\n")]));
    host.chunk(of, 1, "client", &said(Some(4_400), &[stream("out", b"\xa9\nssn *******8391\n")]));
    let last = said(Some(5_000), &[stream("out", b"done \xe2\x82")]).to_bytes();
    [of, first, input, host.end(of, "exit 3", &[&last])]
}

const HOSTILE: &[u8] = b"\x1b]0;owned\x07\x1b]52;c;cm0gLXJm\x1b\\\x1b[c\x1b[6n\x1b(0q\x1b(B\x1b[8;999;999t\x1b[?1000h\x1b[31mred\x1b[0m\r\n";

/// A shell with a terminal, that another size is given.
fn shell(host: &mut Host) -> [u64; 4] {
    let of = host.begin("shell");
    let first =
        host.chunk(of, 0, "client", &said(Some(10), &[size(100, 30, Some("xterm")), stream("out", b"$ ")]));
    let typed = said(Some(900), &[stream("in", b"ls\r"), stream("out", b"ls\r\n"), stream("out", HOSTILE)]);
    let second = host.chunk(of, 1, "client", &typed);
    host.chunk(
        of,
        2,
        "client",
        &said(Some(61_000), &[size(5_000, 9, None), stream("out", b"\x1b[2J\x1b[Hbye\r\n")]),
    );
    [of, first, second, host.end(of, "exit 0", &[])]
}

fn case(mut host: Host) -> Case {
    host.story.checkpoint();
    let mut case = Case::new(host.story);
    case.key = true;
    case
}

fn cast(case: &Case, at: Option<u64>) -> Cast {
    case.ask(|desk| desk.cast(RUN, at.map(Seq))).unwrap()
}

/// A session's record, and the records of its command and its shell.
fn both() -> (Case, u64, [u64; 4], [u64; 4]) {
    let mut host = Host::new();
    let (command, shell) = (command(&mut host), shell(&mut host));
    let session = host.session;
    (case(host), session, command, shell)
}

#[test]
fn a_command_is_a_recording() {
    let (case, _, command, _) = both();
    let cast = cast(&case, Some(command[0]));
    expect("command_v3.cast", &asciicast(&cast, Edition::V3));
    expect("command_v2.cast", &asciicast(&cast, Edition::V2));
    for record in command {
        assert_eq!(self::cast(&case, Some(record)), cast, "any of its records names it");
    }
}

#[test]
fn a_session_is_a_recording_of_its_commands_in_time() {
    let (case, session, ..) = both();
    let all = cast(&case, Some(session));
    expect("session_v3.cast", &asciicast(&all, Edition::V3));
    assert_eq!(cast(&case, None), all, "it is the only session");
    let mut times: Vec<u64> = all.events.iter().map(|event| event.at).collect();
    assert!(times.is_sorted());
    let capped = all.clone().without_pauses(500_000_000);
    times = capped.events.iter().map(|event| event.at).collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] - pair[0] <= 500_000_000), "{times:?}");
    assert_eq!(all.without_pauses(u64::MAX).length(), 61_000_000_000 + 5_000_000);
}

#[test]
fn what_reaches_into_a_pod_is_a_recording_and_nothing_else_that_a_cluster_is_asked() {
    let mut host = Host { story: Story::new(), session: 0 };
    host.story.open(A, &[]);
    host.connect_as("build", "kubernetes");
    // As the relay writes it: the head of the answer has a piece of its own.
    let head = map(&[("t", text("http")), ("status", Value::Uint(101))]);
    let begin = |host: &mut Host, kind: &str, line: &str| {
        let of = host.asks(kind, line);
        host.chunk(of, 0, "client", &head);
        of
    };
    let exec = begin(&mut host, "EXEC", "make test");
    host.chunk(exec, 1, "client", &said(Some(10), &[size(100, 30, None), stream("out", b"$ make\r\n")]));
    host.end(exec, "exit 3", &[]);
    let attach = begin(&mut host, "ATTACH", "attach web");
    host.chunk(attach, 1, "client", &said(Some(20), &[stream("err", b"ready\n")]));
    host.end(attach, "exit 0", &[]);
    let others = ["LOG", "GET", "PORT FORWARD"].map(|kind| {
        let of = begin(&mut host, kind, "else");
        host.end(of, "200", &[]);
        of
    });
    let session = host.session;
    // On a connection of its own, another protocol was asked for, and refused by the server.
    host.connect_as("build", "kubernetes");
    let tried = host.asks("EXEC", "make test");
    host.end(tried, "403", &[]);
    let case = case(host);
    let text = asciicast(&cast(&case, Some(exec)), Edition::V3);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains(r#""cols":100,"rows":30"#), "{text}");
    let last = [r#""m","make test"]"#, r#""o","$ make\r\n"]"#, r#""x","3"]"#];
    assert_eq!(lines.len(), 4, "{text}");
    for (line, end) in lines[1..].iter().zip(last) {
        assert!(line.replace(", \"", ",\"").ends_with(end), "{end}: {text}");
    }
    let both = cast(&case, None);
    assert_eq!((both.actions, &both), (2, &cast(&case, Some(session))));
    for other in others.into_iter().chain([tried]) {
        let refused = case.ask(|desk| desk.cast(RUN, Some(Seq(other)))).unwrap_err();
        assert!(matches!(refused, Cannot::NoTerminal { .. }), "{refused}");
    }
    let (_, played) = case.ask(|desk| desk.replay_in_time(RUN, None)).unwrap();
    assert_eq!(played.iter().filter(|cast| cast.is_some()).count(), 2);
}

#[test]
fn every_line_of_a_recording_is_json_and_intervals_add_up() {
    let (case, session, ..) = both();
    let all = cast(&case, Some(session));
    let lines = |edition| {
        let text = asciicast(&all, edition);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines
    };
    let (v2, v3) = (lines(Edition::V2), lines(Edition::V3));
    assert_eq!((&v2[0]["version"], &v3[0]["version"]), (&2.into(), &3.into()));
    assert_eq!(v2.len(), v3.len());
    let mut sum = 0.0;
    for (absolute, interval) in v2.iter().zip(&v3).skip(1) {
        sum += interval[0].as_f64().unwrap();
        assert!((absolute[0].as_f64().unwrap() - sum).abs() < 1e-6, "{absolute} {sum}");
        assert_eq!((&absolute[1], &absolute[2]), (&interval[1], &interval[2]));
    }
}

#[test]
fn a_screen_is_told_at_a_time_and_at_a_record() {
    let (case, session, command, shell) = both();
    let seen = |at: u64, time: Option<u64>| case.ask(|desk| desk.seen(RUN, Some(Seq(at)), time)).unwrap();
    check("screen_command", &seen(command[0], None));
    check("screen_shell", &seen(shell[2], None));
    assert_eq!(seen(command[1], None).lines, ["cafwarning: \u{fffd}"], "up to the record");
    assert_eq!(seen(command[0], Some(119_999_999)).lines, [""; 0], "nothing was written yet");
    assert_eq!(seen(command[0], Some(120_000_000)).lines, ["cafwarning: \u{fffd}"]);
    let end = seen(shell[0], None);
    assert_eq!((end.lines, end.columns, end.rows, end.clamped), (vec!["bye".to_owned()], 1_000, 9, true));
    assert_eq!(seen(shell[1], None).columns, 100);
    let whole = seen(session, Some(u64::MAX));
    assert_eq!((whole.at_ms, whole.of_ms), (61_005, 61_005));
}

#[test]
fn nothing_hostile_reaches_the_terminal_of_who_plays_it() {
    let (case, session, ..) = both();
    let cast = cast(&case, Some(session));
    let mut player = Player::new(&cast, 60, 20);
    let mut written = player.frame();
    while player.due().is_some() {
        player.step();
        written += &player.frame();
    }
    written += &player.leave();
    assert!(
        written.contains("red") && written.contains("bye") && written.contains("*******8391"),
        "{written:?}"
    );
    let mut rest = written.as_str();
    while let Some(at) = rest.find(|c: char| c.is_control() && !matches!(c, '\r' | '\n')) {
        let sequence = rest[at..].strip_prefix("\x1b[").expect("no sequence but CSI");
        let end = sequence.find(|c: char| !matches!(c, '0'..='9' | ';')).unwrap();
        assert!(sequence[end..].starts_with(['m', 'H', 'K', 'J']), "{sequence:?}");
        rest = &sequence[end..];
    }
}

#[test]
fn a_player_goes_forward_and_back() {
    let (case, _, command, _) = both();
    let cast = cast(&case, Some(command[0]));
    let mut player = Player::new(&cast, 80, 24);
    assert_eq!((player.at(), player.due()), (0, Some(0)));
    player.seek(2_000_000_000);
    let early = player.screen().text();
    player.seek(u64::MAX);
    assert_eq!((player.at(), player.due()), (cast.length(), None));
    assert_ne!(player.screen().text(), early);
    player.seek(2_000_000_000);
    assert_eq!(player.screen().text(), early, "back is the same as forward");
    let first = player.frame();
    assert!(first.contains("\x1b[2J") && first.contains("warning"));
    player.step();
    let second = player.frame();
    assert!(
        !second.contains("\x1b[2J") && !second.contains("warning") && second.contains("8391"),
        "what changed: {second:?}"
    );
}

#[test]
fn a_window_that_is_written_frame_by_frame_shows_the_screen() {
    let (case, session, ..) = both();
    let mut cast = cast(&case, Some(session));
    let (last, full) = (cast.length(), "0123456789".repeat(10));
    for text in [
        full.as_str(),
        "\r\n\x1b[44mblue",
        "\x1b[2;3Hx\x1b[1K",
        "\x1b[?1049h\x1b[5;1Halt",
        "\x1b[?1049l\x1b[M",
    ] {
        cast.output(last, text);
    }
    let mut player = Player::new(&cast, 100, 30);
    let mut window = Screen::new(Size::new(100, 30));
    while player.due().is_some() {
        player.step();
        window.feed(player.frame().as_bytes());
        let mut text: Vec<String> = player.screen().text();
        text.iter_mut().for_each(|row| row.truncate(100));
        text.resize(30, String::new());
        assert_eq!(window.text(), text);
    }
}

#[test]
fn a_window_that_is_lower_than_the_screen_follows_the_cursor() {
    let mut cast = Cast::empty();
    cast.output(0, "one\r\ntwo\r\nthree\r\nfour");
    cast.output(1, "\x1b[1;1H");
    let mut player = Player::new(&cast, 40, 2);
    player.step();
    let frame = player.frame();
    assert!(
        frame.contains("\x1b[1;1H\x1b[Kthree")
            && frame.contains("\x1b[2;1H\x1b[Kfour")
            && frame.ends_with("\x1b[2;5H")
    );
    player.step();
    let frame = player.frame();
    assert!(
        frame.contains("\x1b[1;1H\x1b[Kone")
            && frame.contains("\x1b[2;1H\x1b[Ktwo")
            && frame.ends_with("\x1b[1;1H")
    );
}

#[test]
fn steps_of_a_replay_have_what_they_can_be_played_as() {
    let (case, _, command, _) = both();
    check("replay_terminals", &case.ask(|desk| desk.replay(RUN, None, None)).unwrap());
    let (replay, casts) = case.ask(|desk| desk.replay_in_time(RUN, Some(Seq(command[3])))).unwrap();
    assert_eq!(replay.steps.len(), casts.len());
    assert!(casts.iter().all(Option::is_some));
    assert_eq!(casts[0].as_ref().unwrap().actions, 1);
    let seen = case.watcher.seen.borrow().len();
    assert_eq!(seen, 2, "one look each");
    let other = Case { key: true, ..Case::new(crate::story::whole()) };
    let (_, casts) = other.ask(|desk| desk.replay_in_time(RUN, None)).unwrap();
    assert!(casts.iter().all(Option::is_none), "what is not SSH is not played");
}

#[test]
fn which_command_has_to_be_said_where_there_are_several_sessions() {
    let error = |case: &Case, at: Option<u64>| case.ask(|desk| desk.cast(RUN, at.map(Seq))).unwrap_err();
    let mut host = Host::new();
    command(&mut host);
    let first = host.session;
    host.connect("stage");
    command(&mut host);
    let second = host.session;
    let case = self::case(host);
    let told = error(&case, None);
    assert_eq!(told.exit_code(), 2);
    assert!(
        told.to_string().contains(&format!("{first}, {second}")) && told.to_string().contains("--at"),
        "{told}"
    );
    assert!(matches!(error(&case, Some(0)), Cannot::NoTerminal { .. }), "a record of something else");
    assert_eq!(cast(&case, Some(second)).resource, "stage");
    let none = Case { key: true, ..Case::new(crate::story::whole()) };
    assert!(error(&none, None).to_string().contains("no command or terminal"));
}

#[test]
fn a_payload_that_makes_no_sense_is_said_and_an_unknown_stream_is_not_shown_as_another() {
    let mut host = Host::new();
    let of = host.begin("x");
    host.chunk(of, 0, "client", &said(Some(1), &[stream("aux", b"not output"), stream("out", b"output")]));
    let events = cast(&case(host), None).events;
    assert!(events.iter().any(|event| event.what == What::Output("output".to_owned())));
    assert_eq!(events.len(), 2, "{events:?}");
    for bad in
        [map(&[("s", text("size"))]), map(&[("s", text("out")), ("data", text("x"))]), map(&[]), text("out")]
    {
        let mut host = Host::new();
        let of = host.begin("x");
        host.chunk(of, 0, "client", &said(Some(1), &[bad]));
        let told = case(host).ask(|desk| desk.cast(RUN, None)).unwrap_err();
        assert!(matches!(told, Cannot::Payload { .. }), "{told}");
    }
}

/// apps/tacho replays it, by its command line.
#[test]
fn the_bundle_that_the_command_line_is_tested_with_is_of_this_story() {
    let mut host = Host::new();
    command(&mut host);
    shell(&mut host);
    host.story.checkpoint();
    let dir = Dir::of(host.story);
    let mut bytes = Vec::new();
    export_bundle(&Store::open(&dir.0).unwrap(), RunId(A), Some(&run_key(A)), &[], &mut bytes).unwrap();
    let root = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let path = root.join("../../apps/tacho/testdata/terminals.bundle");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == bytes, "UPDATE_EXPECT=1 rewrites {}", path.display());
}
