//! Records of every kind, put into tables; and what happens to those that are not understood.
#![allow(clippy::unwrap_used)]

use index::{
    Act, Bundle, Coverage, Decoder, Disposition, Effect, FlawKind, Full, How, Index, PrintPlace, Record,
    ResultWord, Settled, VerbWord,
};
use seal::cbor::Value;
use seal::record::{Fields, Link, encode};
use seal::testkit::{map, text};
use vocab::{RunId, Seq};

const RUN: [u8; 16] = [0xa1; 16];
const OTHER: [u8; 16] = [0xb2; 16];
const TABLE: &str = "crm/crm/public/customers";

/// Encodes records with dense numbers and decodes them again, as a ledger would.
#[derive(Default)]
struct Pen {
    decoder: Decoder,
    seq: u64,
    rseq: std::collections::BTreeMap<[u8; 16], u64>,
    index: Index,
    last: Option<Record>,
}

impl Pen {
    fn write(&mut self, kind: &str, run: Option<[u8; 16]>, of: Option<u64>, body: &[(&str, Value)]) -> u64 {
        let seq = self.seq;
        let link = run.map(|run| {
            let rseq = self.rseq.entry(run).or_insert(0);
            *rseq += 1;
            Link { run, rseq: *rseq - 1, rprev: [0; 32] }
        });
        let body = map(body).to_bytes();
        let at = 1_790_000_000_000_000_000 + seq * 1_000_000;
        let fields = Fields { seq, at, kind, link, sess: run.map(|_| 7), of, pay: &[], body: &body };
        let mut bytes = Vec::new();
        encode(&fields, &mut bytes).unwrap();
        let record = self.decoder.decode(&bytes).unwrap();
        self.last = Some(record.clone());
        self.index.apply(record).unwrap();
        self.seq += 1;
        seq
    }

    fn open(&mut self, run: [u8; 16]) -> u64 {
        let body = [
            ("human", text("ada")),
            ("by", text("ada")),
            ("agent", text("support")),
            ("confined", Value::Bool(true)),
            ("argv", Value::Array(vec![text("psql")])),
            ("uid", Value::Uint(1000)),
        ];
        self.write("open", Some(run), None, &body)
    }

    fn intent(&mut self, run: [u8; 16], of: Option<u64>) -> u64 {
        self.write("intent", Some(run), of, &request())
    }

    fn outcome(&mut self, intent: u64, with: &[(&'static str, Value)]) -> u64 {
        let body = [
            ("result", text("ok")),
            ("state", text("final")),
            ("rows", Value::Uint(1)),
            ("bytes", Value::Uint(10)),
            ("exposures", Value::Array(vec![])),
            ("tripwires", Value::Array(vec![])),
            ("coverage", text("complete")),
        ];
        self.write("outcome", Some(RUN), Some(intent), &over(&body, with))
    }

    fn flaws(&self) -> Vec<(String, FlawKind)> {
        let flaws = &self.last.as_ref().unwrap().flaws;
        flaws.iter().map(|f| (f.field.to_string(), f.kind)).collect()
    }

    fn effect(&self, at: usize) -> Effect {
        let run = self.index.run(RunId(RUN)).unwrap();
        run.effect(&run.actions[at])
    }
}

fn over<'a>(body: &[(&'a str, Value)], with: &[(&'a str, Value)]) -> Vec<(&'a str, Value)> {
    let kept = body.iter().filter(|(k, _)| !with.iter().any(|(w, _)| w == k)).cloned();
    kept.chain(with.iter().filter(|(_, v)| *v != Value::Null).cloned()).collect()
}

fn request() -> Vec<(&'static str, Value)> {
    let touch = map(&[
        ("verb", text("read")),
        ("on", text(TABLE)),
        ("cols", Value::Array(vec![text("name"), text("ssn")])),
        ("at", Value::Array(vec![text("output"), text("predicate")])),
    ]);
    let print = Value::Bytes(vec![5; 16]);
    vec![
        ("via", text("query")),
        ("verbs", Value::Array(vec![text("read")])),
        ("touches", Value::Array(vec![touch])),
        ("functions", Value::Array(vec![])),
        ("statement", text("SELECT name FROM customers WHERE ssn = 'xxx'")),
        ("asked", Value::Bytes(vec![1; 32])),
        ("sending", Value::Bytes(vec![2; 32])),
        ("params", Value::Array(vec![])),
        ("verdict", text("allow")),
        ("rules", Value::Array(vec![text("r1")])),
        ("policy", Value::Bytes(vec![3; 32])),
        ("request", Value::Bytes(vec![4; 32])),
        ("governed", Value::Array(vec![])),
        ("prints", Value::Array(vec![print])),
        ("tx", text("idle")),
        ("durability", text("sync")),
    ]
}

#[test]
fn a_documented_record_has_no_flaws_and_its_words_are_read() {
    let mut pen = Pen::default();
    pen.open(RUN);
    let intent = pen.intent(RUN, None);
    assert!(pen.flaws().is_empty(), "{:?}", pen.flaws());
    let exposure = map(&[
        ("on", text("crm/crm/public/customers/ssn")),
        ("class", text("pii.ssn")),
        ("at", text("write-source")),
        ("what", text("masked")),
        ("by", text("rewrite")),
        ("rows", Value::Uint(1)),
        ("cells", Value::Uint(1)),
    ]);
    let tripwire = map(&[
        ("detector", text("card")),
        ("class", text("pii.card")),
        ("channel", text("rows")),
        ("act", text("echo")),
    ]);
    pen.outcome(
        intent,
        &[
            ("exposures", Value::Array(vec![exposure])),
            ("tripwires", Value::Array(vec![tripwire])),
            ("coverage", text("partial: detectors only")),
        ],
    );
    assert!(pen.flaws().is_empty(), "{:?}", pen.flaws());
    let action = &pen.index.run(RunId(RUN)).unwrap().actions[0];
    let outcome = &action.outcomes[0].what;
    assert_eq!(action.request().verbs, [VerbWord::Read]);
    assert_eq!(outcome.exposures[0].what, Disposition::Masked);
    assert_eq!((outcome.tripwires[0].act.clone(), outcome.result.clone()), (Act::Echo, ResultWord::Ok));
    assert_eq!(outcome.coverage, Coverage::Partial("detectors only".into()));
    assert_eq!(pen.index.prints(&[5; 16]).len(), 1);
    assert_eq!(pen.index.classes().collect::<Vec<_>>(), ["pii.ssn"]);
}

#[test]
fn what_is_not_understood_is_named_and_the_rest_is_read() {
    type Row = (&'static str, Value, &'static [(&'static str, FlawKind)]);
    let table: [Row; 6] = [
        ("tx", Value::Null, &[("tx", FlawKind::Missing)]),
        ("rules", text("r1"), &[("rules", FlawKind::WrongType)]),
        ("rules", Value::Array(vec![text("r1"), Value::Uint(2)]), &[("rules.1", FlawKind::WrongType)]),
        ("verdict", text("maybe"), &[("verdict", FlawKind::UnknownWord)]),
        ("shadow", Value::Uint(1), &[("shadow", FlawKind::UnknownField)]),
        ("policy", Value::Bytes(vec![1; 31]), &[("policy", FlawKind::WrongType)]),
    ];
    for (key, value, expected) in table {
        let mut pen = Pen::default();
        pen.open(RUN);
        let body = over(&request(), &[(key, value)]);
        pen.write("intent", Some(RUN), None, &body);
        let expected: Vec<(String, FlawKind)> = expected.iter().map(|(f, k)| ((*f).to_owned(), *k)).collect();
        assert_eq!(pen.flaws(), expected, "{key}");
        assert_eq!(pen.index.flawed().len(), 1);
        let run = pen.index.run(RunId(RUN)).unwrap();
        assert_eq!(run.flawed.len(), 1, "the run knows it");
        assert!(run.actions[0].request().statement.starts_with("SELECT"), "and the rest of it is there");
    }
}

#[test]
fn a_flaw_deep_inside_is_named_by_its_path() {
    let mut pen = Pen::default();
    pen.open(RUN);
    let touch = map(&[
        ("verb", text("peek")),
        ("on", text(TABLE)),
        ("cols", Value::Array(vec![text("a"), text("b")])),
        ("at", Value::Array(vec![text("output")])),
        ("new", Value::Bool(true)),
    ]);
    pen.write("intent", Some(RUN), None, &over(&request(), &[("touches", Value::Array(vec![touch]))]));
    let names: Vec<String> = pen.flaws().into_iter().map(|(f, _)| f).collect();
    assert_eq!(names, ["touches.0.verb", "touches.0.at", "touches.0.new"]);
    let columns = &pen.index.run(RunId(RUN)).unwrap().actions[0].request().touches[0].columns;
    assert_eq!(columns.len(), 2, "a column without a position is kept");
    assert!(columns[1].at.is_strange());
}

#[test]
fn a_record_with_a_thousand_flaws_keeps_a_few_and_says_so() {
    let mut pen = Pen::default();
    let names: Vec<String> = (0..1000).map(|n| format!("x{n}")).collect();
    let body: Vec<(&str, Value)> = names.iter().map(|n| (n.as_str(), Value::Bool(true))).collect();
    pen.write("stop", None, None, &body);
    let flaws = pen.flaws();
    assert_eq!(flaws.len(), index::limits::FLAWS_MAX);
    assert_eq!(flaws.last().unwrap().1, FlawKind::More);
}

#[test]
fn unknown_kinds_are_kept_and_counted() {
    let mut pen = Pen::default();
    pen.open(RUN);
    pen.write("rumour", Some(RUN), None, &[("step", Value::Uint(1))]);
    pen.write("weather", None, None, &[]);
    assert_eq!(pen.index.unknown().len(), 2);
    assert_eq!(pen.index.seen().kinds["rumour"], 1);
    let run = pen.index.run(RunId(RUN)).unwrap();
    assert_eq!((run.unknown.len(), run.records.len()), (1, 2));
}

#[test]
fn a_record_of_a_run_without_a_run_is_not_understood() {
    let mut pen = Pen::default();
    pen.write("outcome", None, None, &[]);
    assert_eq!(pen.index.unknown().len(), 1);
}

#[test]
fn effects_follow_the_records() {
    type Case = (&'static [(&'static str, &'static str)], Effect, Effect);
    let table: [Case; 7] = [
        (&[], Effect::Committed, Effect::Committed),
        (&[("result", "error")], Effect::RolledBack, Effect::RolledBack),
        (&[("result", "cancelled")], Effect::RolledBack, Effect::RolledBack),
        (&[("result", "indeterminate")], Effect::Indeterminate, Effect::Indeterminate),
        (&[("state", "pending")], Effect::Pending, Effect::Indeterminate),
        (&[("result", "sideways")], Effect::Indeterminate, Effect::Indeterminate),
        (&[("state", "sideways")], Effect::Indeterminate, Effect::Indeterminate),
    ];
    for (with, open, closed) in table {
        let mut pen = Pen::default();
        pen.open(RUN);
        let intent = pen.intent(RUN, None);
        let with: Vec<(&'static str, Value)> = with.iter().map(|(k, v)| (*k, text(v))).collect();
        pen.outcome(intent, &with);
        assert_eq!(pen.effect(0), open, "{with:?}");
        let body = [("count", Value::Uint(3)), ("root", Value::Bytes(vec![0; 32])), ("why", text("exited"))];
        pen.write("close", Some(RUN), None, &body);
        assert_eq!(pen.effect(0), closed, "{with:?} once the run is closed");
    }
}

#[test]
fn an_intent_without_an_outcome_is_pending_and_then_indeterminate() {
    let mut pen = Pen::default();
    pen.open(RUN);
    pen.intent(RUN, None);
    assert_eq!(pen.effect(0), Effect::Pending);
    let body = [("count", Value::Uint(2)), ("root", Value::Bytes(vec![0; 32])), ("why", text("interrupted"))];
    pen.write("close", Some(RUN), None, &body);
    assert_eq!(pen.effect(0), Effect::Indeterminate);
}

#[test]
fn a_transaction_settles_what_was_pending_in_it() {
    for (word, effect, settled) in [
        ("committed", Effect::Committed, Settled::Committed),
        ("rolled-back", Effect::RolledBack, Settled::RolledBack),
        ("indeterminate", Effect::Indeterminate, Settled::Indeterminate),
    ] {
        let mut pen = Pen::default();
        pen.open(RUN);
        let first = pen.intent(RUN, None);
        pen.outcome(first, &[("state", text("pending"))]);
        assert_eq!(pen.effect(0), Effect::Pending);
        let commit = pen.intent(RUN, None);
        pen.outcome(commit, &[("settles", Value::Array(vec![Value::Uint(first)])), ("settled", text(word))]);
        assert_eq!(pen.effect(0), effect);
        let action = &pen.index.run(RunId(RUN)).unwrap().actions[0];
        assert_eq!(action.settled.as_ref().unwrap().what, settled);
        assert!(action.records.contains(&Seq(4)), "the settling record is cited");
    }
}

#[test]
fn the_record_that_settles_is_no_answer() {
    let mut pen = Pen::default();
    pen.open(RUN);
    let [first, second] = [pen.intent(RUN, None), pen.intent(RUN, None)];
    let answers = [first, second].map(|intent| pen.outcome(intent, &[("state", text("pending"))]));
    let both = Value::Array(vec![Value::Uint(first), Value::Uint(second)]);
    let with = [("settles", both), ("settled", text("rolled-back")), ("rows", Value::Uint(0))];
    let settling = pen.outcome(second, &with);
    let run = pen.index.run(RunId(RUN)).unwrap();
    for (at, answered) in answers.into_iter().enumerate() {
        let answer = run.actions[at].answer().unwrap();
        assert_eq!((answer.seq, answer.what.rows), (Seq(answered), 1));
        assert_eq!(pen.effect(at), Effect::RolledBack);
    }
    let own: Vec<Seq> = run.actions[0].own_records().collect();
    assert_eq!(own, [Seq(first), Seq(answers[0])]);
    assert!(run.actions[0].records.contains(&Seq(settling)));
}

#[test]
fn what_was_prepared_and_not_run_is_told_apart() {
    let function = ("functions", Value::Array(vec![text("app.work")]));
    for (with, answer, effect) in [
        (vec![("via", text("parse"))], "ok", Effect::Prepared),
        (vec![("via", text("describe"))], "ok", Effect::Prepared),
        (vec![("kind", text("PREPARE"))], "ok", Effect::Prepared),
        (vec![("kind", text("EXPLAIN"))], "ok", Effect::Prepared),
        (vec![("kind", text("EXPLAIN ANALYZE"))], "ok", Effect::Pending),
        (vec![("kind", text("EXPLAIN")), function], "ok", Effect::Pending),
        (vec![("kind", text("EXPLAIN")), ("opaque", text("why"))], "ok", Effect::Pending),
        (vec![("via", text("parse"))], "error", Effect::RolledBack),
        (vec![("via", text("execute"))], "ok", Effect::Pending),
    ] {
        let mut pen = Pen::default();
        pen.open(RUN);
        let intent = pen.write("intent", Some(RUN), None, &over(&request(), &with));
        pen.outcome(intent, &[("result", text(answer)), ("state", text("pending"))]);
        assert_eq!(pen.effect(0), effect, "{with:?}");
    }
}

#[test]
fn what_a_client_was_told_unasked_has_a_filter_and_a_coverage() {
    let mut pen = Pen::default();
    pen.open(RUN);
    let body = [
        ("what", text("unasked")),
        ("filter", Value::Bytes(vec![5, 0, 1])),
        ("coverage", text("partial: a notification's payload has no columns")),
    ];
    let note = pen.write("note", Some(RUN), None, &body);
    assert!(pen.flaws().is_empty(), "{:?}", pen.flaws());
    let run = pen.index.run(RunId(RUN)).unwrap();
    let why = "a notification's payload has no columns";
    assert_eq!(run.notes[0].what.coverage, Some(Coverage::Partial(why.into())));
    let filter = &pen.index.filters()[0];
    assert_eq!((filter.seq, filter.bytes.as_deref()), (Seq(note), Some(&[5, 0, 1][..])));
}

#[test]
fn an_ask_its_approval_its_intent_and_its_outcome_are_one_action() {
    let mut pen = Pen::default();
    pen.open(RUN);
    let asked = [
        ("ask", Value::Bytes(vec![7; 16])),
        ("groups", Value::Array(vec![text("dba")])),
        ("expires", Value::Uint(1)),
        ("verdict", text("ask")),
    ];
    let ask = pen.write("ask", Some(RUN), None, &over(&request(), &asked));
    assert!(pen.flaws().is_empty(), "{:?}", pen.flaws());
    assert_eq!(pen.effect(0), Effect::Pending, "it waits");
    let granted = [("ask", Value::Bytes(vec![7; 16])), ("verdict", text("granted")), ("by", text("grace"))];
    pen.write("approval", Some(RUN), Some(ask), &granted);
    let intent = pen.intent(RUN, Some(ask));
    pen.outcome(intent, &[]);
    let run = pen.index.run(RunId(RUN)).unwrap();
    assert_eq!(run.actions.len(), 1);
    assert_eq!((run.actions[0].cite(), run.effect(&run.actions[0])), (Seq(intent), Effect::Committed));
    assert_eq!(run.actions[0].records.len(), 4);
}

#[test]
fn a_denied_or_expired_ask_reached_nothing() {
    for verdict in ["denied", "expired", "withdrawn"] {
        let mut pen = Pen::default();
        pen.open(RUN);
        let asked = [
            ("ask", Value::Bytes(vec![7; 16])),
            ("groups", Value::Array(vec![])),
            ("expires", Value::Uint(1)),
        ];
        let ask = pen.write("ask", Some(RUN), None, &over(&request(), &asked));
        pen.write(
            "approval",
            Some(RUN),
            Some(ask),
            &[("ask", Value::Bytes(vec![7; 16])), ("verdict", text(verdict))],
        );
        assert_eq!(pen.effect(0), Effect::Refused, "{verdict}");
    }
}

#[test]
fn what_does_not_fit_together_is_said() {
    let mut pen = Pen::default();
    pen.open(RUN);
    pen.open(OTHER);
    let theirs = pen.intent(OTHER, None);
    pen.outcome(theirs, &[]);
    pen.outcome(0, &[]);
    pen.outcome(2, &[("settles", Value::Array(vec![Value::Uint(theirs)])), ("settled", text("committed"))]);
    pen.write("disconnect", Some(RUN), None, &[]);
    let misfits = &pen.index.run(RunId(RUN)).unwrap().misfits;
    let seqs: Vec<u64> = misfits.iter().map(|(seq, _)| seq.0).collect();
    assert_eq!(seqs, [3, 4, 5, 5], "{misfits:?}");
    let other = pen.index.run(RunId(OTHER)).unwrap();
    assert!(other.actions[0].outcomes.is_empty(), "another run's record changes nothing of this one");
    assert!(other.actions[0].settled.is_none());
}

#[test]
fn touching_a_table_finds_what_is_below_it_and_nothing_beside_it() {
    let mut pen = Pen::default();
    pen.open(RUN);
    for on in [TABLE, "crm/crm/public/customers/ssn", "crm/crm/public/customers2", "crm/crm/public"] {
        let touch = map(&[("verb", text("read")), ("on", text(on))]);
        pen.write("intent", Some(RUN), None, &over(&request(), &[("touches", Value::Array(vec![touch]))]));
    }
    let found: Vec<usize> = pen.index.touching(TABLE).map(|(_, at)| at).collect();
    assert_eq!(found, [0, 1]);
    assert_eq!(pen.index.touching("crm/crm/public").count(), 4);
}

#[test]
fn records_come_in_order_and_what_is_passed_over_is_a_hole() {
    let mut pen = Pen { seq: 3, ..Pen::default() };
    pen.open(RUN);
    pen.seq = 9;
    pen.intent(RUN, None);
    assert_eq!(pen.index.seen().holes, [(Seq(0), Seq(2)), (Seq(4), Seq(8))]);
    let again = pen.last.clone().unwrap();
    assert_eq!(pen.index.apply(again), Err(Full::Backwards { seq: Seq(9), last: Seq(9) }));
    assert_eq!(pen.index.seen().records, 2);
}

#[test]
fn building_it_twice_gives_the_same_tables() {
    let segments = seal::testkit::sample().segments;
    let (one, two) = (Bundle::of_segments(&segments).unwrap(), Bundle::of_segments(&segments).unwrap());
    assert_eq!(format!("{:?}", one.index.seen()), format!("{:?}", two.index.seen()));
    let runs = |b: &Bundle| b.index.runs().map(|r| format!("{r:?}")).collect::<Vec<_>>();
    assert_eq!(runs(&one), runs(&two));
    assert_eq!(one.index.seen().records, one.index.next().0);
    assert!(one.index.seen().holes.is_empty());
}

#[test]
fn a_follower_goes_on_where_it_stopped() {
    let sample = seal::testkit::sample();
    let whole = Bundle::of_segments(&sample.segments).unwrap();
    let dir = std::env::temp_dir().join(format!("tacho-index-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("segment")).unwrap();
    let write =
        |n: usize, bytes: &[u8]| std::fs::write(dir.join(format!("segment/{n:010}.seg")), bytes).unwrap();
    // The first half of the first segment, as it stood while the gateway was writing it.
    let mut half = sample.segments[0].clone();
    let frames = seal::frame::Frames::of_segment(&sample.segments[0]).map(|f| f.unwrap()).collect::<Vec<_>>();
    let cut = frames[frames.len() / 2].offset;
    half[cut..].fill(0);
    write(0, &half);
    let store = ledger::read::Store::open(&dir).unwrap();
    let mut follower = index::Follower::new(&store);
    let first = follower.refresh().unwrap();
    assert!(first > 0 && first < whole.index.seen().records);
    assert_eq!(follower.refresh().unwrap(), 0, "nothing new");
    for (n, segment) in sample.segments.iter().enumerate() {
        write(n, segment);
    }
    let rest = follower.refresh().unwrap();
    assert_eq!(first + rest, whole.index.seen().records);
    assert_eq!(follower.index().seen(), whole.index.seen());
    std::fs::remove_dir_all(dir).unwrap();
}

fn decision() -> Vec<(&'static str, Value)> {
    vec![
        ("n", Value::Uint(0)),
        ("model", text("gpt-x")),
        ("tool", text("run_sql")),
        ("call", text("call_1")),
        ("arguments", text("{\"sql\":\"SELECT 1\"}")),
        ("prints", Value::Array(vec![Value::Bytes(vec![6; 16])])),
    ]
}

fn causes(all: &[(u64, &str)]) -> Value {
    let one =
        |(decision, how): &(u64, &str)| map(&[("decision", Value::Uint(*decision)), ("how", text(how))]);
    Value::Array(all.iter().map(one).collect())
}

#[test]
fn a_decision_and_what_it_caused_know_each_other() {
    let mut pen = Pen::default();
    pen.open(RUN);
    let asked = pen.intent(RUN, None);
    let issued = pen.write("decision", Some(RUN), Some(asked), &decision());
    assert!(pen.flaws().is_empty(), "{:?}", pen.flaws());
    let other = pen.write("decision", Some(RUN), Some(asked), &over(&decision(), &[("n", Value::Uint(1))]));
    // An ask and the intent that follows it say the same; the intent says more.
    let (one, two) = (causes(&[(issued, "same")]), causes(&[(other, "holds"), (issued, "same")]));
    let ask = [
        ("causes", one),
        ("verdict", text("ask")),
        ("ask", Value::Bytes(vec![7; 16])),
        ("groups", Value::Array(vec![text("dba")])),
        ("expires", Value::Uint(1)),
    ];
    let ask = pen.write("ask", Some(RUN), None, &over(&request(), &ask));
    assert!(pen.flaws().is_empty(), "{:?}", pen.flaws());
    pen.write("intent", Some(RUN), Some(ask), &over(&request(), &[("causes", two)]));
    let orphan = pen.intent(RUN, None);
    let again = pen.intent(RUN, None);
    pen.write("decision", Some(RUN), Some(again), &over(&decision(), &[("prints", Value::Null)]));
    let run = pen.index.run(RunId(RUN)).unwrap();
    let of =
        |at: usize| run.actions[at].causes.iter().map(|c| (c.decision.0, c.how.clone())).collect::<Vec<_>>();
    assert_eq!(of(1), [(issued, How::Same), (other, How::Holds)]);
    let caused: Vec<_> = run.decisions.iter().map(|d| (d.issued.seq.0, &d.actions[..])).collect();
    assert_eq!(caused, [(issued, &[1][..]), (other, &[1][..]), (again + 1, &[][..])]);
    assert_eq!(run.decision(Seq(other)).unwrap().issued.what.n, 1);
    assert_eq!(run.actions[0].records, [asked, issued, other].map(Seq), "they are about the request, too");
    assert_eq!(pen.index.prints(&[6; 16])[0].place, PrintPlace::Decision);
    assert!(run.misfits.is_empty() && run.actions[2].asked.seq == Seq(orphan), "{:?}", run.misfits);
    // All on one session, whose connect nobody read: only requests whose own answer decided are known to ask a model.
    assert_eq!(run.actions.iter().map(|a| run.is_orphan(a)).collect::<Vec<_>>(), [false, false, true, false]);
}

#[test]
fn what_a_decision_and_a_cause_do_not_say_is_named() {
    type Row = (&'static str, Value, &'static [(&'static str, FlawKind)]);
    let table: [Row; 6] = [
        ("tool", Value::Null, &[("tool", FlawKind::Missing)]),
        ("n", text("0"), &[("n", FlawKind::WrongType)]),
        ("call", Value::Null, &[]),
        ("prints", Value::Null, &[]),
        ("prints", Value::Array(vec![Value::Bytes(vec![1; 15])]), &[("prints.0", FlawKind::WrongType)]),
        ("result", text("x"), &[("result", FlawKind::UnknownField)]),
    ];
    for (key, value, expected) in table {
        let mut pen = Pen::default();
        let asked = pen.intent(RUN, None);
        pen.write("decision", Some(RUN), Some(asked), &over(&decision(), &[(key, value)]));
        let expected: Vec<(String, FlawKind)> = expected.iter().map(|(f, k)| ((*f).to_owned(), *k)).collect();
        assert_eq!(pen.flaws(), expected, "{key}");
        assert_eq!(pen.index.run(RunId(RUN)).unwrap().decisions.len(), 1, "it is kept");
    }
    let mut pen = Pen::default();
    let asked = pen.intent(RUN, None);
    let issued = pen.write("decision", Some(RUN), Some(asked), &decision());
    let odd = map(&[("decision", Value::Uint(issued)), ("how", text("dreamt")), ("when", Value::Uint(1))]);
    let odd = Value::Array(vec![odd, Value::Uint(1)]);
    pen.write("intent", Some(RUN), None, &over(&request(), &[("causes", odd)]));
    let names: Vec<String> = pen.flaws().into_iter().map(|(f, _)| f).collect();
    let expected =
        ["causes.0.how", "causes.0.when", "causes.1.", "causes.1.decision", "causes.1.how", "causes.1.how"];
    assert_eq!(names, expected);
    let run = pen.index.run(RunId(RUN)).unwrap();
    assert_eq!(run.actions[1].causes[0].how, How::Strange("dreamt".into()), "the word is kept");
    assert_eq!(run.misfits.len(), 1, "and the other names no decision: {:?}", run.misfits);
}

#[test]
fn a_cause_is_an_earlier_decision_of_the_same_run_or_nothing() {
    let mut pen = Pen::default();
    pen.open(RUN);
    let theirs = pen.intent(OTHER, None);
    let issued = pen.write("decision", Some(OTHER), Some(theirs), &decision());
    let asked = pen.intent(RUN, None);
    for named in [0, theirs, issued, asked, u64::MAX] {
        let record = pen.seq;
        let two = causes(&[(named, "same"), (named, "within")]);
        pen.write("intent", Some(RUN), None, &over(&request(), &[("causes", two)]));
        let run = pen.index.run(RunId(RUN)).unwrap();
        assert!(run.actions.last().unwrap().causes.is_empty(), "{named}");
        let said = run.misfits.iter().filter(|(seq, _)| *seq == Seq(record)).count();
        assert_eq!(said, 1, "{named}: once for each record, {:?}", run.misfits);
    }
    let later = pen.seq + 1;
    pen.write("intent", Some(RUN), None, &over(&request(), &[("causes", causes(&[(later, "same")]))]));
    assert_eq!(pen.write("decision", Some(RUN), Some(asked), &decision()), later);
    let run = pen.index.run(RunId(RUN)).unwrap();
    assert!(run.actions.last().unwrap().causes.is_empty(), "what comes later caused nothing");
    for run in pen.index.runs() {
        assert!(run.decisions[0].actions.is_empty(), "nor is it tied from the other end");
    }
}

#[test]
fn a_decision_in_the_answer_to_nothing_is_kept_and_said() {
    let mut pen = Pen::default();
    pen.open(RUN);
    let theirs = pen.intent(OTHER, None);
    for of in [None, Some(0), Some(theirs)] {
        pen.write("decision", Some(RUN), of, &decision());
    }
    let run = pen.index.run(RunId(RUN)).unwrap();
    assert_eq!((run.decisions.len(), run.misfits.len()), (3, 3), "{:?}", run.misfits);
    assert!(!pen.index.run(RunId(OTHER)).unwrap().actions[0].decided);
    // Nothing answers a decision: what says so is an action of its own.
    let last = pen.index.run(RunId(RUN)).unwrap().decisions[2].issued.seq.0;
    pen.intent(RUN, Some(last));
    assert_eq!(pen.index.run(RunId(RUN)).unwrap().actions.len(), 1);
}
