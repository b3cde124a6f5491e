//! `tacho replay` of what went over SSH, out of a bundle with its key (crates/answers makes it, of a story of its own).

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::{Place, json};

const RUN: &str = "a1a1a1";

fn bundle() -> String {
    format!("{}/testdata/terminals.bundle", std::env::var("CARGO_MANIFEST_DIR").unwrap())
}

fn replay(place: &Place, code: i32, flags: &[&str]) -> String {
    place.expect(code, &[&["replay", RUN, "--ledger", &bundle()], flags].concat())
}

#[test]
fn a_screen_is_shown_as_text() {
    let place = Place::new("screen");
    let shown = replay(&place, 0, &["--text"]);
    assert!(shown.contains("deploy@build after 61.005 of 61.005 s") && shown.contains("\nbye\n"), "{shown}");
    let early = json(&replay(&place, 0, &["--text", "--time", "0.95s", "--json"]));
    assert_eq!((&early["shape"], &early["columns"]), (&"tacho.screen/1".into(), &100.into()));
    assert!(early["lines"].to_string().contains("red"), "{early}");
    let error = place.expect_err(2, &["replay", RUN, "--ledger", &bundle(), "--text", "--at", "0"]);
    assert!(error.contains("record 0 is of no command or terminal"), "{error}");
}

#[test]
fn a_recording_is_written_where_it_is_said() {
    let place = Place::new("cast");
    for (form, version) in [("asciicast", 3), ("asciicast2", 2)] {
        let told = json(&replay(&place, 0, &["--as", form, "-o", "made.cast", "--json"]));
        assert_eq!((&told["shape"], &told["form"]), (&"tacho.export/1".into(), &form.into()));
        let file = std::fs::read_to_string(place.path("made.cast")).unwrap();
        assert_eq!(told["bytes"].as_u64(), Some(file.len() as u64));
        assert_eq!(json(file.lines().next().unwrap())["version"], version);
        assert_eq!(replay(&place, 0, &["--as", form, "--output", "-"]), file);
    }
}

#[test]
fn steps_come_in_time_and_no_pause_is_longer_than_was_asked_for() {
    let place = Place::new("paced");
    let begun = Instant::now();
    let shown = replay(&place, 0, &["--speed", "0.001", "--idle", "0.0005"]);
    assert!(
        begun.elapsed() >= Duration::from_millis(500),
        "a pause of 5 ms, at most 0.5 ms, a thousand times slower"
    );
    assert!(
        shown.contains("make test") && shown.contains("\\u{1b}]52"),
        "without a terminal it is listed: {shown}"
    );
}

#[test]
fn on_a_terminal_it_is_played_and_nothing_hostile_acts_there() {
    let place = Place::new("played");
    let words =
        format!("{} replay {RUN} --ledger {} --speed 50 --idle 1", env!("CARGO_BIN_EXE_tacho"), bundle());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &words, "/dev/null"]).current_dir(&place.dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Its standard input stays open: the end of it would be a key.
    let input = child.stdin.take();
    let mut written = String::new();
    child.stdout.take().unwrap().read_to_string(&mut written).unwrap();
    assert!(child.wait().unwrap().success(), "{written:?}");
    drop(input);
    assert!(
        written.contains("\u{1b}[2J") && written.contains("red") && written.contains("bye"),
        "{written:?}"
    );
    for hostile in
        ["\u{1b}]", "\u{1b}P", "\u{1b}[c", "\u{1b}[6n", "\u{1b}(0", "\u{1b}[?", "\u{7}", "\u{1b}[8;"]
    {
        assert!(!written.contains(hostile), "{hostile:?} in {written:?}");
    }
}

#[test]
fn a_key_ends_it() {
    let place = Place::new("quit");
    let words = format!("{} replay {RUN} --ledger {} --speed 0.001", env!("CARGO_BIN_EXE_tacho"), bundle());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &words, "/dev/null"]).current_dir(&place.dir);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    let ended = loop {
        // One that comes before keys are read is no loss.
        let _it_may_have_ended = std::io::Write::write_all(&mut input, b"q");
        match child.try_wait().unwrap() {
            Some(status) => break status.success(),
            None => assert!(Instant::now() < until, "it goes on for an hour"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(ended);
}
