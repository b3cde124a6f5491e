//! Each thing that prevents the claim "unmasked: 0" is shown to prevent it, one by one.

use answers::{Answer, Chain, Prevent, Scope, Verified};
use seal::cbor::Value;
use seal::testkit::{map, text};
use vocab::{Seq, WallTime};

use crate::story::{A, CUSTOMERS, Story, exposures, found_in, governed, texts, touches, tripwires};
use crate::support::{Case, NOW};

/// A run whose claim nothing prevents: one masked read.
fn clean() -> Story {
    let mut story = Story::with_run();
    let intent = story.intent(A, &[("governed", governed())]);
    story.outcome(A, intent, &[("exposures", exposures("masked", "rewrite"))]);
    story
}

fn prevents(case: &Case, scope: &Scope<'_>) -> (String, Vec<String>) {
    let answer = case.ask(|desk| desk.exposed(scope)).unwrap();
    let mut what: Vec<String> = answer.prevents.iter().map(|p| p.what.clone()).collect();
    what.dedup();
    assert_eq!(answer.exit_code() == 0, answer.prevents.is_empty(), "0 if and only if nothing prevents it");
    assert!(answer.prevents.iter().all(|p| !p.why.is_empty()));
    (answer.answer, what)
}

#[test]
fn nothing_prevents_the_claim_over_a_clean_run() {
    let case = Case::new(clean());
    assert_eq!(prevents(&case, &Scope::Run("a1a1a1")), ("proved".into(), vec![]));
    let range = Scope::Range { from: WallTime(0), to: NOW };
    assert_eq!(prevents(&case, &range), ("proved".into(), vec![]));
}

#[test]
fn what_a_run_was_given_of_its_own_prevents_nothing() {
    for act in ["own", "echo"] {
        let mut story = clean();
        let intent = story.intent(A, &[]);
        story.outcome(A, intent, &[("tripwires", tripwires(act))]);
        assert_eq!(prevents(&Case::new(story), &Scope::Run("a1a1a1")), ("proved".into(), vec![]), "{act}");
    }
}

/// One row: a name, what is added to a clean run, and what must then be listed.
type Row = (&'static str, fn(&mut Story), Prevent);

const ROWS: &[Row] = &[
    (
        "a revealed cell",
        |s| outcome(s, "exposures", exposures("revealed", "grant:reveal-ssn")),
        Prevent::Revealed,
    ),
    (
        "an exposure of unknown end",
        |s| outcome(s, "exposures", exposures("unknown", "none")),
        Prevent::UnknownExposure,
    ),
    (
        "a mask that nothing enforced",
        |s| outcome(s, "exposures", exposures("masked", "none")),
        Prevent::UnknownExposure,
    ),
    (
        "a disposition of another version",
        |s| outcome(s, "exposures", exposures("blurred", "rewrite")),
        Prevent::UnknownExposure,
    ),
    (
        "partial coverage",
        |s| outcome(s, "coverage", text("partial: detectors only")),
        Prevent::PartialCoverage,
    ),
    ("a coverage of another version", |s| outcome(s, "coverage", text("whole")), Prevent::PartialCoverage),
    ("no coverage at all", |s| outcome(s, "coverage", Value::Null), Prevent::Unread),
    ("a tripwire that masked", |s| outcome(s, "tripwires", tripwires("masked")), Prevent::Tripwire),
    ("a tripwire that cut", |s| outcome(s, "tripwires", tripwires("cut")), Prevent::Tripwire),
    ("a tripwire of another version", |s| outcome(s, "tripwires", tripwires("ignored")), Prevent::Tripwire),
    (
        "a value that a service was sent in clear",
        |s| {
            let connect = s.connect_to(A, "billing", "http");
            told(s, connect, "query", "reported");
        },
        Prevent::Told,
    ),
    ("a field of another version", |s| outcome(s, "leaked", Value::Uint(1)), Prevent::Unread),
    ("a field of another type", |s| outcome(s, "exposures", text("none")), Prevent::Unread),
    (
        "a chunk that nothing followed",
        |s| {
            let i = s.intent(A, &[]);
            s.chunk(A, i, 0, &[]);
        },
        Prevent::NoCoverage,
    ),
    (
        "a partial refusal",
        |s| {
            let intent = s.intent(A, &[]);
            s.refusal(A, Some(intent), &[("partial", Value::Bool(true))]);
        },
        Prevent::NoCoverage,
    ),
    (
        "an opaque action",
        |s| {
            let intent = s.intent(A, &[("opaque", text("dynamic text")), ("verbs", texts(&["opaque"]))]);
            s.outcome(A, intent, &[]);
        },
        Prevent::Opaque,
    ),
    (
        "a revealed cell in a chunk",
        |s| {
            let intent = s.intent(A, &[]);
            s.chunk(A, intent, 0, &[("exposures", exposures("revealed", "grant:x"))]);
            s.outcome(A, intent, &[]);
        },
        Prevent::Revealed,
    ),
    (
        "a kind of another version, in the run",
        |s| {
            s.record("copy-out", A, None, &map(&[]));
        },
        Prevent::UnknownKind,
    ),
    (
        "an outcome of nothing",
        |s| {
            s.outcome(A, 0, &[]);
        },
        Prevent::Unread,
    ),
    (
        "a second open",
        |s| {
            s.record("open", A, None, &map(&[]));
        },
        Prevent::Unread,
    ),
    (
        "a definition after the catalog was read",
        |s| {
            define(s, CUSTOMERS, &[]);
            read(s);
        },
        Prevent::StaleCatalog,
    ),
    (
        "a definition in a transaction that committed",
        |s| {
            let define = define(s, CUSTOMERS, &[("state", text("pending"))]);
            let commit = s.intent(A, &[("statement", text("COMMIT")), ("touches", Value::Array(vec![]))]);
            s.outcome(
                A,
                commit,
                &[("settles", crate::story::uints(&[define])), ("settled", text("committed"))],
            );
            read(s);
        },
        Prevent::StaleCatalog,
    ),
    (
        "a definition of which nobody knows",
        |s| {
            define(s, CUSTOMERS, &[("result", text("indeterminate"))]);
            read(s);
        },
        Prevent::StaleCatalog,
    ),
    (
        "a gateway that started again",
        |s| {
            s.start();
            read(s);
        },
        Prevent::StaleCatalog,
    ),
    (
        "a session that was never connected",
        |s| {
            let intent = s.intent(A, &[]);
            s.in_session(intent, Some(99));
            s.outcome(A, intent, &[]);
        },
        Prevent::StaleCatalog,
    ),
    (
        "a gap in the record",
        |s| {
            s.gateway(
                "gap",
                &[
                    ("from", Value::Uint(1_790_000_000_000_000_000)),
                    ("to", Value::Uint(1_790_000_001_000_000_000)),
                    ("refused", Value::Uint(0)),
                    ("cut", Value::Uint(1)),
                    ("why", text("disk full")),
                ],
            );
        },
        Prevent::Gap,
    ),
];

/// A request of a session that says something of a class.
fn told(story: &mut Story, session: u64, channel: &str, act: &str) {
    let found = found_in(channel, act);
    let with = [("via", text("request")), ("tripwires", found)];
    match act {
        "refused" => {
            let refusal = story.refusal(A, None, &with);
            story.in_session(refusal, Some(session));
        }
        _ => {
            let intent = story.intent(A, &with);
            story.in_session(intent, Some(session));
            story.outcome(A, intent, &[]);
        }
    }
}

#[test]
fn what_left_for_a_model_in_clear_is_exposed_and_each_is_told_of_whom() {
    let answer = |kind: &str, all: &[(&str, &str)]| {
        let mut story = clean();
        let connect = story.connect_to(A, "gpt", kind);
        all.iter().for_each(|(channel, act)| told(&mut story, connect, channel, act));
        let answer = Case::new(story).ask(|desk| desk.exposed(&Scope::Run("a1a1a1"))).unwrap();
        let line = |t: &answers::ToldLine| format!("{} {}: {} {}", t.class, t.channel, t.whom(), t.what);
        let told: Vec<String> = answer.told.iter().map(line).collect();
        (answer.answer.clone(), answer.unmasked, told, answer.sentence(), answer.exit_code())
    };
    let (word, unmasked, told, sentence, exit) = answer(
        "llm",
        &[("prompt", "reported"), ("request-header", "masked"), ("prompt", "reported"), ("path", "refused")],
    );
    assert_eq!((&*word, unmasked, exit), ("exposed", 0, 1));
    assert_eq!(
        told,
        [
            "pii.card path: gpt (gpt.internal:443) refused",
            "pii.card prompt: gpt (gpt.internal:443) in-clear",
            "pii.card request-header: gpt (gpt.internal:443) masked",
        ]
    );
    assert!(sentence.contains("sent in clear to gpt (gpt.internal:443)"), "{sentence}");
    assert_eq!(answer("llm", &[("prompt", "masked"), ("query", "refused")]).0, "none-observed");
    assert_eq!(answer("http", &[("request", "reported")]).0, "none-observed", "a service is no provider");
    let (word, _, told, ..) = answer("llm", &[("prompt", "lent")]);
    assert_eq!(
        (&*word, &told[..]),
        ("none-observed", &["pii.card prompt: gpt (gpt.internal:443) unknown".to_owned()][..])
    );
}

#[test]
fn a_record_of_before_has_what_left_for_a_model_in_its_outcome() {
    for (act, word) in [("reported", "exposed"), ("masked", "none-observed")] {
        let mut story = clean();
        let intent = story.intent(A, &[("via", text("request"))]);
        story.outcome(A, intent, &[("tripwires", found_in("prompt", act))]);
        let answer = Case::new(story).ask(|desk| desk.exposed(&Scope::Run("a1a1a1"))).unwrap();
        assert_eq!((&*answer.answer, answer.told.len()), (word, 1), "{act}");
        assert!(answer.told[0].model, "{act}");
    }
    // A piece of a body was sent as it was, whatever was said of it.
    let mut story = clean();
    let intent = story.intent(A, &[("via", text("request"))]);
    story.chunk(A, intent, 0, &[("to", text("upstream")), ("tripwires", found_in("request", "masked"))]);
    story.outcome(A, intent, &[]);
    let answer = Case::new(story).ask(|desk| desk.exposed(&Scope::Run("a1a1a1"))).unwrap();
    assert_eq!(answer.told[0].what, "in-clear");
}

#[test]
fn each_thing_that_prevents_the_claim_prevents_it() {
    for (name, add, expected) in ROWS {
        let mut story = clean();
        add(&mut story);
        let case = Case::new(story);
        for scope in [Scope::Run("a1a1a1"), Scope::Range { from: WallTime(0), to: NOW }] {
            let (answer, what) = prevents(&case, &scope);
            assert!(what.contains(&expected.as_str().to_owned()), "{name}: {what:?}");
            let word = if *expected == Prevent::Revealed { "exposed" } else { "none-observed" };
            assert_eq!(answer, word, "{name}");
        }
    }
}

#[test]
fn the_chain_must_verify_over_every_record() {
    let table = [
        (Chain::NotChecked, vec!["chain-not-checked"]),
        (Chain::Broken("segment 0, offset 512, seq 3".into()), vec!["chain-broken"]),
        (verified(8), vec!["chain-open"]),
        (verified(9), vec![]),
    ];
    for (chain, expected) in table {
        let mut case = Case::new(clean());
        assert_eq!(case.bundle.index.seen().records, 9);
        case.chain = chain.clone();
        assert_eq!(prevents(&case, &Scope::Run("a1a1a1")).1, expected, "{chain:?}");
    }
}

#[test]
fn what_only_a_range_can_lack() {
    let mut story = clean();
    story.gateway("future", &[]);
    let case = Case::new(story);
    assert_eq!(prevents(&case, &Scope::Run("a1a1a1")).0, "proved", "it is not of the run");
    let range = Scope::Range { from: WallTime(0), to: NOW };
    assert_eq!(prevents(&case, &range).1, ["unknown-kind"]);
    let empty = Scope::Range { from: NOW, to: NOW };
    assert_eq!(prevents(&case, &empty).1, ["empty"]);
}

#[test]
fn a_bundle_lacks_what_is_not_in_it() {
    let mut story = clean();
    story.close(A);
    story.checkpoint();
    let segments = story.segments();
    let bytes = seal::testkit::bundle(&segments, &A, None);
    let mut case = Case::new(clean());
    case.bundle = index::Bundle::read(&bytes).unwrap();
    case.chain = verified(case.bundle.index.next().0);
    assert_eq!(prevents(&case, &Scope::Run("a1a1a1")).1, ["stale-catalog"]);
    let range = Scope::Range { from: WallTime(0), to: NOW };
    assert_eq!(prevents(&case, &range).1, ["stale-catalog", "hole"]);
}

#[test]
fn what_was_undone_or_temporary_makes_no_catalog_stale() {
    let harmless: [fn(&mut Story); 4] = [
        |s| {
            define(s, "crm/crm/pg_temp_3/t", &[]);
            read(s);
        },
        |s| {
            define(s, CUSTOMERS, &[("result", text("error")), ("code", text("42P07"))]);
            read(s);
        },
        |s| {
            define(s, CUSTOMERS, &[]);
            s.catalog();
            read(s);
        },
        |s| {
            define(s, "other/db/public/t", &[]);
            read(s);
        },
    ];
    for (n, add) in harmless.into_iter().enumerate() {
        let mut story = clean();
        add(&mut story);
        assert_eq!(prevents(&Case::new(story), &Scope::Run("a1a1a1")).1, Vec::<String>::new(), "{n}");
    }
}

#[test]
fn a_run_whose_opening_is_missing_is_nobodys() {
    let mut story = clean();
    story.close(A);
    let mut items = seal::testkit::Items::parse(&story.segments());
    items.retain(|item| !item.is_kind("open"));
    let mut case = Case::new(clean());
    case.bundle = index::Bundle::of_segments(&items.render()).unwrap();
    let (answer, what) = prevents(&case, &Scope::Run("a1a1a1"));
    assert_eq!(answer, "none-observed");
    assert!(what.contains(&"no-opening".to_owned()) && what.contains(&"unread".to_owned()), "{what:?}");
    let who = case.ask(|desk| desk.who("a1a1a1")).unwrap();
    assert!(who.sentence().starts_with("Unknown"), "{}", who.sentence());
}

/// A child's values are the parent's: it started it.
#[test]
fn what_a_run_started_counts_with_it() {
    let (child, grandchild) = ([0xcc; 16], [0xdd; 16]);
    let mut story = clean();
    story.open(child, &[("parent", Value::Bytes(A.to_vec()))]);
    story.connect(child);
    story.open(grandchild, &[("parent", Value::Bytes(child.to_vec()))]);
    story.connect(grandchild);
    let intent = story.intent(grandchild, &[("touches", touches("read", "crm/crm/public/salaries", &[]))]);
    story.outcome(grandchild, intent, &[("exposures", exposures("revealed", "grant:x"))]);
    let case = Case::new(story);
    let exposed = case.ask(|desk| desk.exposed(&Scope::Run("a1a1a1"))).unwrap();
    assert_eq!((&*exposed.answer, exposed.scope.runs, exposed.scope.actions), ("exposed", 3, 2));
    assert!(exposed.exposures.iter().any(|e| e.what == "revealed" && e.cites.records.len() == 1));
    let started: Vec<(&str, u64)> =
        exposed.scope.started.iter().map(|run| (&run.run[..2], run.unmasked)).collect();
    assert_eq!(started, [("cc", 0), ("dd", 2)]);
    assert!(exposed.to_text().contains("With what it started:"), "{}", exposed.to_text());
    let touched = case.ask(|desk| desk.touched("a1a1a1")).unwrap();
    assert!(touched.touches.iter().any(|t| t.on == "crm/crm/public/salaries"), "{touched:?}");
    assert_eq!(touched.started.len(), 2);
    // The child's own answer has nothing of its parent.
    let exposed = case.ask(|desk| desk.exposed(&Scope::Run("cccccc"))).unwrap();
    assert_eq!((exposed.scope.runs, exposed.scope.actions), (2, 1));
}

/// A bundle holds one run: what that one started is in what the bundle lacks, if it started anything.
#[test]
fn a_bundle_proves_nothing_of_a_run_that_may_have_started_others() {
    let child = [0xcc; 16];
    let answer = |starts: bool| {
        let mut story = Story::new();
        story.open(A, &[]);
        if starts {
            story.open(child, &[("parent", Value::Bytes(A.to_vec()))]);
            let intent = story.intent(child, &[("touches", Value::Array(vec![]))]);
            story.outcome(child, intent, &[("exposures", exposures("revealed", "grant:x"))]);
        }
        story.close(A);
        story.checkpoint();
        let mut case = Case::new(clean());
        case.bundle = index::Bundle::read(&seal::testkit::bundle(&story.segments(), &A, None)).unwrap();
        case.chain = verified(case.bundle.index.next().0);
        prevents(&case, &Scope::Run("a1a1a1"))
    };
    assert_eq!(answer(true), ("none-observed".into(), vec!["hole".into()]));
    assert_eq!(answer(false), ("proved".into(), vec![]), "what is missing is older than the run");
}

/// Neither a gap nor a run leaves a range because the last record's clock was set back.
#[test]
fn a_clock_that_is_set_back_hides_nothing() {
    const HOUR: u64 = 3_600_000_000_000;
    let mut story = clean();
    let gap = |from: u64| {
        [
            ("from", Value::Uint(from)),
            ("to", Value::Uint(from + 1_000_000)),
            ("refused", Value::Uint(3)),
            ("cut", Value::Uint(1)),
            ("why", text("sync-failed")),
        ]
    };
    story.gateway("gap", &gap(1_790_000_000_000_000_000 + 8_000_000));
    let intent = story.intent(A, &[]);
    story.outcome(A, intent, &[]);
    story.close(A);
    let mut items = seal::testkit::Items::parse(&story.segments());
    let close = items.find(0, |item| item.is_kind("close"));
    items.edit(close, |fields| {
        let at = fields.iter_mut().find(|(key, _)| key == "at").unwrap();
        at.1 = Value::Uint(at.1.as_u64().unwrap() - HOUR);
    });
    let mut case = Case::new(clean());
    case.bundle = index::Bundle::of_segments(&items.render()).unwrap();
    case.chain = verified(case.bundle.index.next().0);
    let start = case.bundle.index.runs().next().unwrap().first_at;
    assert!(start.0 < 1_790_000_000_000_000_000 - HOUR / 2, "the earliest time of the run is its close's");
    assert_eq!(prevents(&case, &Scope::Run("a1a1a1")).1, ["gap", "clock"]);
    let range = Scope::Range { from: WallTime(1_790_000_000_000_000_000), to: NOW };
    let answer = case.ask(|desk| desk.exposed(&range)).unwrap();
    assert_eq!((answer.scope.runs, answer.scope.actions), (1, 2));
    assert!(prevents(&case, &range).1.contains(&"clock".to_owned()));
}

/// What no checkpoint covers, or covered late only, is marked in every answer that rests on it.
#[test]
fn what_is_not_sealed_is_marked_in_every_answer() {
    let mut case = Case::new(clean());
    let last = case.bundle.index.next().0 - 1;
    case.chain = verified(last);
    let proofs = case.ask(|desk| {
        let run = Scope::Run("a1a1a1");
        [
            desk.who("a1a1a1").unwrap().proof,
            desk.touched("a1a1a1").unwrap().proof,
            desk.show("a1a1a1").unwrap().proof,
            desk.exposed(&run).unwrap().proof,
            desk.find("human:ada").unwrap().proof,
            desk.runs().unwrap().proof,
            desk.diff("a1a1a1", "a1a1a1").unwrap().proof,
            desk.replay("a1a1a1", None, None).unwrap().proof,
        ]
    });
    for proof in proofs {
        assert_eq!(proof.unsealed.records, [last], "{proof:?}");
        assert!(proof.text().contains(&format!("NOT SEALED: records {last} ")), "{}", proof.text());
        assert!(proof.adopted.is_empty());
    }

    let mut story = clean();
    story.gateway(
        "start",
        &[("recovered", Value::Uint(9)), ("adopted", Value::Uint(2)), ("torn", Value::Uint(0))],
    );
    let who = Case::new(story).ask(|desk| desk.who("a1a1a1")).unwrap();
    assert_eq!(who.proof.adopted.records, [7, 8]);
    assert!(who.to_text().contains("SIGNED LATE: records 7-8 "), "{}", who.to_text());
}

#[test]
fn durability_os_is_said_in_the_limits() {
    let mut story = clean();
    let intent = story.intent(A, &[("durability", text("os"))]);
    story.outcome(A, intent, &[]);
    let answer = Case::new(story).ask(|desk| desk.exposed(&Scope::Run("a1a1a1"))).unwrap();
    assert!(answer.limits.iter().any(|l| l.contains("P1 is not claimed")), "{:?}", answer.limits);
}

#[test]
fn every_word_of_prevent_is_shown_here() {
    let shown: Vec<Prevent> = ROWS.iter().map(|(.., p)| *p).collect();
    let elsewhere = [
        Prevent::ChainNotChecked,
        Prevent::ChainBroken,
        Prevent::ChainOpen,
        Prevent::ChainTorn,
        Prevent::Clock,
        Prevent::NoOpening,
        Prevent::Hole,
        Prevent::Empty,
    ];
    for prevent in Prevent::ALL {
        assert!(shown.contains(&prevent) || elsewhere.contains(&prevent), "{prevent:?} has no row");
    }
}

fn verified(covered: u64) -> Chain {
    Chain::Verified(Verified {
        covered: Seq(covered),
        anchored: false,
        witnessed: None,
        checkpoint: String::new(),
        no_close: false,
        torn: None,
    })
}

fn outcome(story: &mut Story, key: &'static str, value: Value) {
    let intent = story.intent(A, &[]);
    story.outcome(A, intent, &[(key, value)]);
}

fn read(story: &mut Story) {
    let intent = story.intent(A, &[]);
    story.outcome(A, intent, &[]);
}

fn define(story: &mut Story, on: &str, outcome: &[crate::story::Field]) -> u64 {
    let intent = story.intent(A, &[("verbs", texts(&["define"])), ("touches", touches("define", on, &[]))]);
    story.outcome(A, intent, outcome);
    intent
}
