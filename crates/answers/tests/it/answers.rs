//! What each question answers over the whole story, as text and as JSON.

use answers::{Answer, Cannot, NotWatched, Runs, Scope, WrongShape, from_json, to_json};
use seal::cbor::Value;
use seal::testkit::{map, text};
use vocab::Seq;

use crate::story::{A, CUSTOMERS, Story, bytes32, governed, texts, touches, whole};
use crate::support::{Case, Watcher, check};

const RUN_A: &str = "a1a1a1";
const RUN_B: &str = "b2b2b2";

#[test]
fn runs_are_listed_newest_first() {
    check("runs", &Case::new(whole()).ask(|desk| desk.runs()).unwrap());
}

#[test]
fn a_run_is_shown_as_a_tree() {
    let case = Case::new(whole());
    check("show_a", &case.ask(|desk| desk.show(RUN_A)).unwrap());
    check("show_b", &case.ask(|desk| desk.show(RUN_B)).unwrap());
}

#[test]
fn who_started_it_is_one_sentence_with_records() {
    let case = Case::new(whole());
    check("who_a", &case.ask(|desk| desk.who(RUN_A)).unwrap());
    check("who_b", &case.ask(|desk| desk.who(RUN_B)).unwrap());
}

#[test]
fn a_run_that_a_token_minted_has_its_chain_everywhere() {
    let mut story = Story::new();
    let act = |sub: &str| map(&[("sub", text(sub))]);
    let claim = map(&[("claim", text("repository")), ("value", text("org/app"))]);
    let other = map(&[("iss", text("https://other.example")), ("sub", text("bob\u{1b}[2K"))]);
    let chain = map(&[
        ("issuer", text("ci")),
        ("iss", text("https://ci.example")),
        ("sub", text("repo:org/app")),
        ("acts", Value::Array(vec![other, act("svc")])),
        ("jti", text("job-1")),
        ("token", bytes32(7)),
        ("exp", Value::Uint(1_790_000_000)),
        ("claims", Value::Array(vec![claim])),
    ]);
    story.open(A, &[("by", text("ci:svc")), ("chain", chain), ("uid", Value::Uint(u64::from(u32::MAX)))]);
    let case = Case::new(story);
    check("who_chain", &case.ask(|desk| desk.who(RUN_A)).unwrap());
    let show = case.ask(|desk| desk.show(RUN_A)).unwrap();
    assert_eq!(show.unread, [], "all of it is known");
    assert!(show.to_text().contains("repo:org/app (ci, https://ci.example), then bob"));
    assert_eq!(show.chain.as_ref().map(|chain| chain.acts.len()), Some(2));
    let report = case.ask(|desk| desk.report(RUN_A, false)).unwrap().to_html();
    for part in ["Delegation chain", "then svc", "repository = org/app", &"07".repeat(32)] {
        assert!(report.contains(part), "{part}");
    }
}

#[test]
fn a_chain_with_what_nobody_knows_is_kept_and_said() {
    let mut story = Story::new();
    let chain = map(&[("issuer", text("ci")), ("new", text("x"))]);
    story.open(A, &[("chain", chain)]);
    let show = Case::new(story).ask(|desk| desk.show(RUN_A)).unwrap();
    let said: String = show.unread.iter().map(|line| format!("{}\n", line.why)).collect();
    assert!(said.contains("chain.0.new") && said.contains("chain.0.token"), "{said}");
}

#[test]
fn what_was_touched_and_whether_it_stayed() {
    let case = Case::new(whole());
    check("touched_a", &case.ask(|desk| desk.touched(RUN_A)).unwrap());
    check("touched_b", &case.ask(|desk| desk.touched(RUN_B)).unwrap());
}

#[test]
fn what_is_governed_stands_first_and_what_was_refused_apart() {
    let mut story = Story::with_run();
    let columns = [("address", "output"), ("birthday", "output"), ("city", "output"), ("ssn", "output")];
    let read = [("touches", touches("read", CUSTOMERS, &columns)), ("governed", governed())];
    let done = story.intent(A, &read);
    story.outcome(A, done, &[]);
    let refused = [("city", "output"), ("ssn", "predicate")];
    story.refusal(A, None, &[("touches", touches("read", CUSTOMERS, &refused)), ("governed", governed())]);
    let copy = touches("read", "crm/crm/public/orders", &[("note", "write-source")]);
    let copied = story.intent(A, &[("touches", copy)]);
    story.outcome(A, copied, &[]);
    story.intent(A, &[("touches", touches("connect", "crm/crm", &[]))]);
    for relation in ["pg_class", "pg_namespace"] {
        let on = format!("crm/crm/pg_catalog/{relation}");
        story.intent(A, &[("touches", touches("read", &on, &[("oid", "join")]))]);
    }
    let touched = Case::new(story).ask(|desk| desk.touched(RUN_A)).unwrap();
    check("touched_c", &touched);
    let columns = touched.touches.iter().find(|t| t.on == CUSTOMERS).unwrap().columns_text();
    let expected = "ssn (pii.ssn) output; address output; birthday output; city output; refused: ssn (pii.ssn) predicate";
    assert_eq!(columns, expected);
    assert_eq!(touched.sentence(), "2 resources read, 0 changed or used; 1 refused.");
}

/// Only a database has a catalog: of all else a path may be named the same.
#[test]
fn what_is_read_elsewhere_is_not_hidden_as_a_catalog() {
    let mut story = Story::with_run();
    let files = story.connect_to(A, "files", "http");
    let payroll = touches("read", "files/x/pg_catalog/payroll.csv", &[]);
    let read = story.intent(A, &[("touches", payroll), ("via", text("request"))]);
    story.in_session(read, Some(files));
    // Under a name that is not of the database which was asked, neither.
    story.intent(A, &[("touches", touches("read", "other/x/pg_catalog/pg_class", &[]))]);
    let touched = Case::new(story).ask(|desk| desk.touched(RUN_A)).unwrap();
    assert!(touched.to_text().contains("payroll.csv"), "{}", touched.to_text());
    assert!(touched.to_text().contains("other/x/pg_catalog/pg_class  "), "{}", touched.to_text());
    assert!(touched.sentence().starts_with("2 resources read"), "{}", touched.sentence());
}

/// A name may have dots in it, and blanks that nobody sees.
#[test]
fn names_are_found_as_they_are_and_look_like_no_others() {
    let mut story = Story::with_run();
    for name in ["a.b", "customers", "customers ", "customers\u{a0}", "\u{2800}customers"] {
        let define = [("touches", touches("define", &format!("crm/crm/public/{name}"), &[]))];
        story.intent(A, &define);
    }
    let case = Case::new(story);
    for query in ["table:a.b", "table:public.a.b", "table:crm/crm/public/a.b", "table:public.customers"] {
        assert_eq!(case.ask(|desk| desk.find(query)).unwrap().actions.len(), 1, "{query}");
    }
    assert!(case.ask(|desk| desk.find("table:b")).unwrap().actions.is_empty());
    let touched = case.ask(|desk| desk.touched(RUN_A)).unwrap().to_text();
    for shown in ["public/customers\\u{20} ", "public/customers\\u{a0} ", "public/\\u{2800}customers "] {
        assert!(touched.contains(shown), "{shown}: {touched}");
    }
}

#[test]
fn a_bundle_without_its_end_says_so_in_every_answer() {
    let mut case = Case::new(whole());
    let says = |case: &Case| {
        let texts = [
            case.ask(|desk| desk.who(RUN_A)).unwrap().to_text(),
            case.ask(|desk| desk.touched(RUN_A)).unwrap().to_text(),
            case.ask(|desk| desk.exposed(&Scope::Run(RUN_A))).unwrap().to_text(),
        ];
        texts.map(|text| text.contains("no close in this bundle"))
    };
    assert_eq!(says(&case), [false; 3]);
    let answers::Chain::Verified(verified) = &mut case.chain else { panic!("the story's chain is verified") };
    verified.no_close = true;
    assert_eq!(says(&case), [true; 3]);
}

#[test]
fn a_run_that_is_not_there_is_a_no_and_a_wrong_question_is_none() {
    let case = Case::new(whole());
    let exit = |run: &str| case.ask(|desk| desk.show(run)).unwrap_err().exit_code();
    assert_eq!((exit("ffffff"), exit("zz")), (1, 2));
}

#[test]
fn an_opaque_action_names_its_functions_and_what_makes_them_known() {
    let mut story = Story::with_run();
    let why = text("The statement may run a function that nobody vouches for.");
    story.refusal(A, None, &[("opaque", why), ("functions", texts(&["public.noisy"]))]);
    let why = text("The statement calls a function that does not exist.");
    story.refusal(A, None, &[("opaque", why), ("functions", texts(&["pg_catalog.nosuch"]))]);
    let shown = Case::new(story).ask(|desk| desk.show(RUN_A)).unwrap().to_text();
    assert!(shown.contains("functions: public.noisy (`vouch` in tacho.toml"), "{shown}");
    assert!(shown.contains("functions: nosuch\n"), "{shown}");
}

#[test]
fn a_detector_counts_rows_and_no_cells() {
    let found = |rows, cells| answers::ExposureLine {
        on: "crm".into(),
        class: "pii.email".into(),
        at: "output".into(),
        what: "masked".into(),
        by: "detector".into(),
        rows,
        cells,
        cites: answers::Cites::default(),
    };
    assert_eq!(found(2, 0).amount(), "values in 2 rows");
    assert_eq!(found(0, 0).amount(), "values that are not counted");
    assert_eq!(found(2, 3).amount(), "3 cells");
}

#[test]
fn a_session_over_ssh_is_not_called_unprotected() {
    let session = |kind: Option<&str>| {
        let mut show = Case::new(whole()).ask(|desk| desk.show(RUN_A)).unwrap();
        let mut session = show.sessions.remove(0);
        (session.kind, session.tls_upstream) = (kind.map(str::to_owned), Some(false));
        session.title()
    };
    assert!(session(Some("ssh")).contains(", SSH  ") && session(None).contains("no TLS upstream"));
}

#[test]
fn what_was_exposed_and_what_prevents_a_claim() {
    let case = Case::new(whole());
    let a = case.ask(|desk| desk.exposed(&Scope::Run(RUN_A))).unwrap();
    // B, which A started, exposed something; A itself did not.
    assert_eq!((a.answer.as_str(), a.exit_code()), ("exposed", 1));
    check("exposed_a", &a);
    let b = case.ask(|desk| desk.exposed(&Scope::Run(RUN_B))).unwrap();
    assert_eq!((b.answer.as_str(), b.exit_code()), ("exposed", 1));
    check("exposed_b", &b);
}

#[test]
fn a_replay_shows_what_the_agent_saw() {
    let mut case = Case::new(whole());
    case.key = true;
    check("replay_a", &case.ask(|desk| desk.replay(RUN_A, None, None)).unwrap());
    let part = case.ask(|desk| desk.replay(RUN_A, Some(Seq(11)), Some(Seq(12)))).unwrap();
    assert_eq!(part.steps.len(), 1);
}

#[test]
fn without_a_key_there_is_no_replay_and_the_exit_is_3() {
    let case = Case::new(whole());
    let error = case.ask(|desk| desk.replay(RUN_A, None, None)).unwrap_err();
    assert!(matches!(error, Cannot::NoKey(_)), "{error:?}");
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("auditor"), "{error}");
}

/// Whoever forges a bundle writes names and signatures of anybody's into it.
#[test]
fn a_signature_that_nobody_checked_here_is_not_said_to_be_anybodys() {
    let mut story = Story::with_run();
    let ask = story.ask(A, &[]);
    let signature =
        map(&[("by", text("lena")), ("key", text("ssh-ed25519 AAAA")), ("signature", text("forged"))]);
    story.approval(A, ask, &[("by", text("lena")), ("signatures", Value::Array(vec![signature]))]);
    let case = Case::new(story);
    let shown = case.ask(|desk| desk.show(RUN_A)).unwrap().to_text();
    assert!(shown.contains("as lena with ssh-ed25519 AAAA (not checked here"), "{shown}");
    let page = case.ask(|desk| desk.report(RUN_A, false)).unwrap().to_html();
    assert!(!shown.contains("signed by") && page.contains("with a signature (not checked here)"), "{page}");
}

/// A forged record may say any number.
#[test]
fn counts_that_are_too_large_to_add_are_the_largest_that_can_be_said() {
    let mut story = Story::with_run();
    let cells = |on: &str| {
        map(&[
            ("on", text(on)),
            ("class", text("pii.ssn")),
            ("at", text("output")),
            ("what", text("revealed")),
            ("by", text("policy")),
            ("rows", Value::Uint(u64::MAX)),
            ("cells", Value::Uint(u64::MAX)),
        ])
    };
    let intent = story.intent(A, &[]);
    let all = Value::Array(vec![cells("crm/crm/public/a/x"), cells("crm/crm/public/b/y")]);
    story.outcome(A, intent, &[("exposures", all)]);
    let exposed = Case::new(story).ask(|desk| desk.exposed(&Scope::Run(RUN_A))).unwrap();
    assert_eq!((exposed.answer.as_str(), exposed.unmasked), ("exposed", u64::MAX));
}

/// A run that was cut off closes when the gateway starts again; its sessions have no record of their end.
#[test]
fn a_session_of_a_run_that_is_over_is_not_called_open() {
    for (over, said) in [(false, "  open"), (true, "its end is not recorded")] {
        let mut story = Story::with_run();
        if over {
            story.close(A);
        }
        let show = Case::new(story).ask(|desk| desk.show(RUN_A)).unwrap();
        assert_eq!(show.sessions[0].cut, over);
        assert!(show.sessions[0].title().ends_with(said), "{}", show.sessions[0].title());
    }
}

#[test]
fn an_erased_run_says_who_erased_it_and_why() {
    let mut story = whole();
    let record = story.erase(A);
    let mut case = Case::new(story);
    case.key = true;
    let error = case.ask(|desk| desk.replay(RUN_A, None, None)).unwrap_err();
    assert!(matches!(error, Cannot::Erased { .. }), "{error:?}");
    let told = format!("by olga: request 4711 (record {record})");
    assert!(error.to_string().contains(&told), "{error}");
    let (show, who) = case.ask(|desk| (desk.show(RUN_A).unwrap(), desk.who(RUN_A).unwrap()));
    assert_eq!((show.erased, &show.erasure), (Some(record), &who.erasure));
    assert!(show.to_text().contains(&told) && who.to_text().contains(&told), "{}", who.to_text());
    assert!(who.cites.records.contains(&record));
    for results in [true, false] {
        let page = case.ask(|desk| desk.report(RUN_A, results)).unwrap().to_html();
        assert!(page.contains(&told), "{page}");
    }
}

#[test]
fn a_payload_that_is_not_its_records_is_not_shown() {
    let mut case = Case::new(whole());
    case.key = true;
    let bodies = case.bundle.payloads.values_mut().next().unwrap();
    bodies[0][20] ^= 1;
    let error = case.ask(|desk| desk.replay(RUN_A, None, None)).unwrap_err();
    assert!(matches!(error, Cannot::Payload { .. }), "{error:?}");
}

#[test]
fn two_runs_are_compared_in_order() {
    let mut story = Story::with_run();
    let b = crate::story::B;
    for statement in ["SELECT 1", "SELECT 2", "SELECT 3"] {
        let intent = story.intent(A, &[("statement", text(statement))]);
        story.outcome(A, intent, &[]);
    }
    story.open(b, &[("agent", text("support"))]);
    story.connect(b);
    for statement in ["SELECT 1", "SELECT 3"] {
        let intent = story.intent(b, &[("statement", text(statement))]);
        story.outcome(b, intent, &[]);
    }
    story.refusal(
        b,
        None,
        &[("statement", text("SELECT 4")), ("touches", touches("read", "crm/crm/public/secrets", &[]))],
    );
    let case = Case::new(story);
    let diff = case.ask(|desk| desk.diff(RUN_A, RUN_B)).unwrap();
    assert_eq!(diff.exit_code(), 1);
    check("diff", &diff);
    let same = case.ask(|desk| desk.diff(RUN_A, RUN_A)).unwrap();
    assert_eq!((same.exit_code(), same.steps.len(), same.steps[0].count), (0, 1, 3));
}

#[test]
fn what_find_finds() {
    let case = Case::new(whole());
    check("find", &case.ask(|desk| desk.find("table:customers verb:write")).unwrap());
    let count = |query: &str| case.ask(|desk| desk.find(query)).unwrap().actions.len();
    let table = [
        ("run:a1a1", 6),
        ("run:b2b2", 4),
        ("table:customers", 5),
        ("table:public.customers", 5),
        ("table:private.customers", 0),
        ("resource:crm/crm/public/notes", 1),
        ("column:ssn", 3),
        ("verb:define", 1),
        ("verb:read verb:write", 6),
        ("verb:write -table:notes", 2),
        ("verdict:refuse", 1),
        ("verdict:ask", 2),
        ("effect:committed", 7),
        ("effect:pending", 2),
        ("effect:refused", 1),
        ("human:ada agent:support", 6),
        ("agent:reporter human:svc-reports", 4),
        ("class:pii", 3),
        ("class:pii.card", 2),
        ("class:pi", 0),
        ("exposure:revealed", 1),
        ("exposure:unknown", 1),
        ("tripwire:own", 1),
        ("rule:no-drop", 1),
        ("approver:grace", 1),
        ("code:42501", 1),
        ("function:mystery", 1),
        ("via:query text:copy", 1),
        ("insert notes", 1),
        ("\"insert into notes\"", 1),
        ("since:2d", 10),
        ("since:2h", 0),
        ("until:2026-09-21", 0),
        ("until:2026-09-22", 10),
        ("nothing-of-the-kind", 0),
    ];
    for (query, expected) in table {
        assert_eq!(count(query), expected, "{query}");
    }
}

#[test]
fn a_prefix_must_be_six_digits_and_of_one_run() {
    let mut story = Story::new();
    let mut near = A;
    near[15] = 0;
    story.open(A, &[]);
    story.open(near, &[]);
    let case = Case::new(story);
    let error = |run: &str| case.ask(|desk| desk.show(run)).unwrap_err();
    assert!(matches!(error("a1a1a1"), Cannot::Ambiguous { .. }));
    assert!(matches!(error("a1a1a"), Cannot::NotARun(_)));
    assert!(matches!(error("'; DROP"), Cannot::NotARun(_)));
    assert!(matches!(error("ffffff"), Cannot::NoSuchRun(_)));
    assert!(case.ask(|desk| desk.show("A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1")).is_ok());
}

#[test]
fn every_look_is_watched_and_without_it_there_is_no_answer() {
    let mut case = Case::new(whole());
    case.key = true;
    let looks = |case: &Case| {
        [
            case.ask(|d| d.runs().map(drop)),
            case.ask(|d| d.show(RUN_A).map(drop)),
            case.ask(|d| d.who(RUN_A).map(drop)),
            case.ask(|d| d.touched(RUN_A).map(drop)),
            case.ask(|d| d.exposed(&Scope::Run(RUN_A)).map(drop)),
            case.ask(|d| d.exposed(&Scope::Range { from: vocab::WallTime(0), to: d.now }).map(drop)),
            case.ask(|d| d.replay(RUN_A, None, None).map(drop)),
            case.ask(|d| d.find("verb:read").map(drop)),
            case.ask(|d| d.diff(RUN_A, RUN_B).map(drop)),
            case.ask(|d| d.report(RUN_A, true).map(drop)),
        ]
    };
    assert!(looks(&case).iter().all(Result::is_ok));
    let id = "a1".repeat(16);
    let seen = case.watcher.seen.borrow().clone();
    assert_eq!(seen.len(), 10, "one record each: {seen:?}");
    assert_eq!(seen[1], format!("grace show {id}"));
    assert_eq!(seen[7], "grace find verb:read");
    case.watcher = Watcher { broken: true, ..Watcher::default() };
    for look in looks(&case) {
        assert_eq!(look.unwrap_err(), Cannot::NotWatched(NotWatched("the disk is full".to_owned())));
    }
}

#[test]
fn what_is_not_understood_is_kept_and_named() {
    let case = Case::new(whole());
    let index = &case.bundle.index;
    let kinds = &index.seen().kinds;
    assert_eq!((kinds.get("plan-step"), kinds.get("witnessed-elsewhere")), (Some(&1), Some(&1)));
    assert_eq!(kinds.values().sum::<u64>(), index.seen().records, "every record is counted under its kind");
    let show = case.ask(|desk| desk.show(RUN_B)).unwrap();
    assert!(show.unread.iter().any(|u| u.kind == "plan-step"), "{:?}", show.unread);
    let found = case.ask(|desk| desk.find("verb:read")).unwrap();
    assert_eq!(found.unread.len(), 2, "{:?}", found.unread);
}

#[test]
fn every_shape_and_field_is_documented() {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let page = std::fs::read_to_string(format!("{root}/../../docs/JSON.md")).unwrap();
    let mut fields = std::collections::BTreeSet::new();
    for file in std::fs::read_dir(format!("{root}/tests/expect")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let json: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert!(page.contains(json["shape"].as_str().unwrap()), "{}", path.display());
            collect(&json, &mut fields);
        }
    }
    assert!(fields.len() > 60, "the expectations are read");
    let named =
        |field: &str| page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|w| w == field);
    let missing: Vec<&String> = fields.iter().filter(|f| !named(f)).collect();
    assert!(missing.is_empty(), "not in docs/JSON.md: {missing:?}");
}

fn collect(json: &serde_json::Value, into: &mut std::collections::BTreeSet<String>) {
    match json {
        serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| {
            into.insert(key.clone());
            collect(value, into);
        }),
        serde_json::Value::Array(list) => list.iter().for_each(|item| collect(item, into)),
        _ => {}
    }
}

#[test]
fn a_shape_is_told_apart_from_others() {
    let case = Case::new(whole());
    let json = to_json(&case.ask(|desk| desk.who(RUN_A)).unwrap());
    assert!(json.starts_with("{\n  \"shape\": \"tacho.who/1\","));
    let wrong: WrongShape = from_json::<Runs>(&json).unwrap_err();
    assert_eq!((wrong.expected, wrong.found.as_str()), ("tacho.runs/1", "tacho.who/1"));
}

#[test]
fn hostile_text_in_a_record_moves_no_cursor() {
    let mut story = Story::with_run();
    let hostile = "SELECT 1 \u{1b}[2J\u{202e}\r\n\u{0}-- \u{200b}";
    story.refusal(
        A,
        None,
        &[
            ("statement", text(hostile)),
            ("message", text(hostile)),
            ("rules", texts(&[hostile])),
            ("touches", touches("read", hostile, &[(hostile, "output")])),
        ],
    );
    let case = Case::new(story);
    let texts = [
        case.ask(|d| d.show(RUN_A)).unwrap().to_text(),
        case.ask(|d| d.touched(RUN_A)).unwrap().to_text(),
        case.ask(|d| d.exposed(&Scope::Run(RUN_A))).unwrap().to_text(),
        case.ask(|d| d.find("run:a1")).unwrap().to_text(),
    ];
    for text in texts {
        let bad = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{200b}');
        assert!(!text.contains(bad), "{text:?}");
    }
}
