//! "Did this exact value ever reach an agent?" gets records, or a no over a range, or neither.

use std::cell::RefCell;

use answers::{Answer, Prober, ValueAnswer};
use index::{Epoch, Noted};
use seal::cbor::Value;
use seal::testkit::{map, text};

use crate::story::{A, Story, exposure, result_columns};
use crate::support::{Case, check};

/// Prints are the value's first bytes and the epoch; a filter holds values joined by commas after the epoch.
#[derive(Default)]
struct Plain {
    asked: RefCell<Vec<u64>>,
    sealed: Option<u64>,
}

fn print(epoch: u64, value: &str) -> [u8; 16] {
    let mut print = [epoch as u8; 16];
    value.bytes().take(15).enumerate().for_each(|(n, b)| print[n + 1] = b);
    print
}

impl Prober for Plain {
    fn prints(&self, epoch: &Noted<Epoch>, value: &[u8]) -> Result<Vec<[u8; 16]>, String> {
        self.asked.borrow_mut().push(epoch.what.epoch);
        if self.sealed == Some(epoch.what.epoch) {
            return Err("it was not sealed to this auditor".to_owned());
        }
        Ok(vec![print(epoch.what.epoch, std::str::from_utf8(value).unwrap())])
    }

    fn may_contain(&self, epoch: &Noted<Epoch>, filter: &[u8], value: &[u8]) -> Result<Option<bool>, String> {
        let (of, held) = filter.split_first().unwrap();
        if held == b"overflowed" {
            return Ok(None);
        }
        Ok(Some(u64::from(*of) == epoch.what.epoch && held.split(|b| *b == b',').any(|v| v == value)))
    }
}

const VALUE: &str = "123-45-6789";

fn ask(story: Story) -> ValueAnswer {
    Case::new(story).ask(|desk| desk.exposed_value(VALUE.as_bytes(), &Plain::default())).unwrap()
}

fn cell(what: &str, value: &str) -> Value {
    let Value::Map(mut fields) = exposure(what, "rewrite") else { panic!() };
    fields.push(("prints".into(), Value::Array(vec![Value::Bytes(print(1, value).to_vec())])));
    Value::Array(vec![Value::Map(fields)])
}

fn released(story: &mut Story, filter: &[u8], with: &[crate::story::Field]) {
    let intent = story.intent(A, &[]);
    let mut fields = vec![("columns", result_columns(&["ssn"])), ("filter", Value::Bytes(filter.to_vec()))];
    fields.extend_from_slice(with);
    story.outcome(A, intent, &fields);
}

#[test]
fn a_revealed_cell_is_a_yes_with_records() {
    let mut story = Story::with_run();
    released(&mut story, b"\x01other", &[("exposures", cell("revealed", VALUE))]);
    let answer = ask(story);
    assert_eq!((answer.answer.as_str(), answer.exit_code()), ("yes", 1));
    check("value_yes", &answer);
}

#[test]
fn what_was_only_sent_or_only_masked_is_told_apart() {
    let sent = Value::Array(vec![Value::Bytes(print(1, VALUE).to_vec())]);
    let mut story = Story::with_run();
    let intent = story.intent(A, &[("prints", sent)]);
    story.outcome(A, intent, &[]);
    assert_eq!(ask(story).answer, "sent");
    let mut story = Story::with_run();
    let param = [
        ("type", Value::Uint(25)),
        ("format", Value::Uint(0)),
        ("size", Value::Uint(11)),
        ("mask", text("999-99-9999")),
        ("print", Value::Bytes(print(1, VALUE).to_vec())),
    ];
    let intent = story.intent(A, &[("params", Value::Array(vec![map(&param)]))]);
    story.outcome(A, intent, &[]);
    assert_eq!(ask(story).seen[0].place, "parameter");
    let mut story = Story::with_run();
    released(&mut story, b"\x01other", &[("exposures", cell("masked", VALUE))]);
    assert_eq!(ask(story).answer, "masked");
}

#[test]
fn a_filter_says_maybe_and_names_its_record() {
    let mut story = Story::with_run();
    released(&mut story, b"\x01other,123-45-6789", &[]);
    let answer = ask(story);
    assert_eq!((answer.answer.as_str(), answer.exit_code()), ("maybe", 3));
    assert_eq!(answer.maybe[0].cites.records.len(), 1);
}

/// What was erased cannot be looked at again, so that nobody is told to.
#[test]
fn a_maybe_of_erased_runs_alone_sends_nobody_to_replay_them() {
    for erased in [false, true] {
        let mut story = Story::with_run();
        released(&mut story, b"\x01other,123-45-6789", &[]);
        let record = erased.then(|| story.erase(A));
        let answer = ask(story);
        assert_eq!((answer.answer.as_str(), answer.maybe[0].erased), ("maybe", record));
        let shown = answer.to_text();
        assert_eq!(shown.contains("Replay those records"), !erased, "{shown}");
        assert_eq!(shown.contains("nobody can tell any more"), erased, "{shown}");
    }
}

#[test]
fn a_no_covers_the_range_that_it_names() {
    let mut story = Story::with_run();
    released(&mut story, b"\x01other", &[]);
    let last = story.epoch(2);
    released(&mut story, b"\x02other", &[]);
    let answer = ask(story);
    assert_eq!((answer.answer.as_str(), answer.exit_code()), ("no", 0), "{answer:?}");
    assert_eq!((answer.first_record, answer.last_record), (Some(0), Some(last + 2)));
    check("value_no", &answer);
}

#[test]
fn a_filter_made_before_a_new_epoch_and_recorded_after_is_still_found() {
    let mut story = Story::with_run();
    story.epoch(2);
    released(&mut story, b"\x01other,123-45-6789", &[]);
    assert_eq!(ask(story).answer, "maybe");
}

#[test]
fn each_thing_that_keeps_it_from_a_no() {
    type Row = (&'static str, fn(&mut Story), &'static str);
    let table: [Row; 6] = [
        (
            "rows without a filter",
            |s| {
                let intent = s.intent(A, &[]);
                s.outcome(A, intent, &[("columns", result_columns(&["ssn"]))]);
            },
            "no-coverage",
        ),
        (
            "chunks without a filter",
            |s| {
                let intent = s.intent(A, &[]);
                s.chunk(A, intent, 0, &[]);
                s.outcome(A, intent, &[]);
            },
            "no-coverage",
        ),
        ("a filter that overflowed", |s| released(s, b"\x01overflowed", &[]), "no-coverage"),
        (
            "an unknown kind",
            |s| {
                s.gateway("future", &[]);
            },
            "unknown-kind",
        ),
        (
            "a field of another version",
            |s| released(s, b"\x01other", &[("leaked", Value::Uint(1))]),
            "unread",
        ),
        (
            "bytes released and no outcome",
            |s| {
                let intent = s.intent(A, &[]);
                s.chunk(A, intent, 0, &[("filter", Value::Bytes(b"\x01other".to_vec()))]);
            },
            "no-coverage",
        ),
    ];
    for (name, add, expected) in table {
        let mut story = Story::with_run();
        add(&mut story);
        let answer = ask(story);
        assert_eq!((answer.answer.as_str(), answer.exit_code()), ("not-found", 3), "{name}");
        assert!(answer.prevents.iter().any(|p| p.what == expected), "{name}: {:?}", answer.prevents);
    }
}

#[test]
fn an_epoch_that_stays_sealed_keeps_it_from_a_no() {
    let prober = Plain { sealed: Some(1), ..Plain::default() };
    let answer =
        Case::new(Story::with_run()).ask(|desk| desk.exposed_value(b"123-45-6789", &prober)).unwrap();
    assert_eq!(answer.answer, "not-found");
    assert!(answer.prevents[0].why.contains("not sealed"), "{:?}", answer.prevents);
}

#[test]
fn the_value_is_not_in_the_answer_nor_in_the_watch_record() {
    let mut story = Story::with_run();
    released(&mut story, b"\x01other", &[("exposures", cell("revealed", VALUE))]);
    let case = Case::new(story);
    let answer = case.ask(|desk| desk.exposed_value(VALUE.as_bytes(), &Plain::default())).unwrap();
    let all = format!("{}{}{:?}", answers::to_json(&answer), answer.to_text(), case.watcher.seen.borrow());
    assert!(!all.contains(VALUE) && !all.contains("123456789"));
}

#[test]
fn a_value_is_limited() {
    let case = Case::new(Story::with_run());
    let ask = |bytes: usize| case.ask(|desk| desk.exposed_value(&vec![b'x'; bytes], &LongPlain)).map(drop);
    assert!(ask(answers::limits::VALUE_BYTES_MAX).is_ok());
    assert_eq!(ask(answers::limits::VALUE_BYTES_MAX + 1).unwrap_err().exit_code(), 2);
}

struct LongPlain;

impl Prober for LongPlain {
    fn prints(&self, _: &Noted<Epoch>, _: &[u8]) -> Result<Vec<[u8; 16]>, String> {
        Ok(vec![])
    }

    fn may_contain(&self, _: &Noted<Epoch>, _: &[u8], _: &[u8]) -> Result<Option<bool>, String> {
        Ok(Some(false))
    }
}

#[test]
fn a_value_in_a_decision_was_given_to_the_agent() {
    let mut story = Story::with_run();
    let asked = story.intent(A, &[]);
    let prints = Value::Array(vec![Value::Bytes(print(1, VALUE).to_vec())]);
    let body = [
        ("n", Value::Uint(0)),
        ("model", text("gpt-x")),
        ("tool", text("run_sql")),
        ("arguments", text("{\"ssn\":\"999-99-9999\"}")),
        ("prints", prints),
    ];
    let issued = story.record("decision", A, Some(asked), &map(&body));
    let answer = ask(story);
    assert_eq!((answer.answer.as_str(), answer.exit_code()), ("yes", 1));
    assert_eq!(
        (answer.seen[0].place.as_str(), &answer.seen[0].cites.records[..]),
        ("decision", &[issued][..])
    );
}
