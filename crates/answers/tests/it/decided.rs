//! Decisions: what a model issued, what it explains, what none explains, and how each answer shows it.

use answers::{Answer, Replay, Show, from_json, to_json};
use seal::cbor::Value;
use seal::testkit::{map, text};
use vocab::Seq;

use crate::story::{A, B, Field, Story, texts, touches};
use crate::support::{Case, check, expect};

const RUN: &str = "a1a1a1";
const MODEL: u64 = 9;
const ORDERS: u64 = 11;

/// A model answers one request with three calls. The agent runs the first, makes one request that two of them hold, and
/// deletes what nobody decided to delete.
fn decided() -> Story {
    let mut s = Story::with_run();
    service(&mut s, "llm", MODEL);
    service(&mut s, "orders", ORDERS);
    let before = s.intent(A, &[("statement", text("SELECT 1")), ("touches", Value::Array(vec![]))]);
    s.outcome(A, before, &[("tag", text("SELECT 1"))]);
    let asked = ask_model(&mut s, "what of ticket 4711?");
    let query = "SELECT name, ssn FROM customers WHERE id = 9999";
    let sql = decision(&mut s, asked, 0, "run_sql", &format!("{{\"sql\":\"{query}\"}}"));
    let [one, other] = [1, 2].map(|n| decision(&mut s, asked, n, "fetch_order", "{\"order\":\"A-9999\"}"));
    s.outcome(A, asked, &[("tag", text("200")), ("rows", Value::Uint(0))]);
    let read = s.intent(A, &[("statement", text(query)), ("causes", causes(&[(sql, "same")]))]);
    s.outcome(A, read, &[]);
    let fetch = s.intent(
        A,
        &[
            ("via", text("request")),
            ("kind", text("GET")),
            ("statement", text("GET /orders/A-9999")),
            ("touches", touches("read", "orders/orders", &[])),
            ("causes", causes(&[(one, "holds"), (other, "holds")])),
        ],
    );
    s.in_session(fetch, Some(ORDERS));
    s.outcome(A, fetch, &[("tag", text("200")), ("rows", Value::Uint(0))]);
    s.refusal(
        A,
        None,
        &[
            ("statement", text("DELETE FROM customers")),
            ("verbs", texts(&["write"])),
            ("touches", touches("write", "crm/crm/public/customers", &[])),
        ],
    );
    let again = ask_model(&mut s, "and now?");
    let note = [("what", text("forged-history")), ("detail", text("a result"))];
    s.record("note", A, Some(again), &map(&note));
    s.outcome(A, again, &[("tag", text("200")), ("rows", Value::Uint(0))]);
    s.close(A);
    s.checkpoint();
    s
}

fn service(s: &mut Story, resource: &str, session: u64) {
    let body = map(&[
        ("resource", text(resource)),
        ("client", text("127.0.0.1:50424")),
        ("upstream", text(&format!("{resource}.internal:443"))),
        ("upstream_id", Value::Uint(0)),
        ("tls_client", Value::Bool(false)),
        ("tls_upstream", Value::Bool(true)),
        ("role", text("")),
        ("server", text("")),
        ("options", map(&[])),
    ]);
    let seq = s.record("connect", A, None, &body);
    s.in_session(seq, Some(session));
}

fn ask_model(s: &mut Story, prompt: &str) -> u64 {
    let statement =
        format!("POST /v1/chat/completions | {{\"model\":\"gpt-x\",\"messages\":[\"{prompt}\"]}}");
    let with: [Field; 4] = [
        ("via", text("request")),
        ("kind", text("POST")),
        ("statement", text(&statement)),
        ("touches", touches("call", "llm/v1", &[])),
    ];
    let seq = s.intent(A, &with);
    s.in_session(seq, Some(MODEL));
    seq
}

fn decision(s: &mut Story, of: u64, n: u64, tool: &str, arguments: &str) -> u64 {
    let body = map(&[
        ("n", Value::Uint(n)),
        ("model", text("gpt-x")),
        ("tool", text(tool)),
        ("call", text(&format!("call_{n}"))),
        ("arguments", text(arguments)),
    ]);
    let seq = s.record("decision", A, Some(of), &body);
    s.in_session(seq, Some(MODEL));
    seq
}

fn causes(all: &[(u64, &str)]) -> Value {
    let one =
        |(decision, how): &(u64, &str)| map(&[("decision", Value::Uint(*decision)), ("how", text(how))]);
    Value::Array(all.iter().map(one).collect())
}

fn show(story: Story) -> Show {
    Case::new(story).ask(|desk| desk.show(RUN)).unwrap()
}

#[test]
fn a_run_that_a_model_decided_shows_what_it_decided_and_what_it_did_not() {
    let answer = show(decided());
    check("show_decided", &answer);
    assert!(answer.unread.is_empty(), "{:?}", answer.unread);
    let counts = answer.decided;
    assert_eq!((counts.decisions, counts.explained, counts.orphans), (3, 2, 1));
    let orphans: Vec<&str> = answer.actions.iter().filter(|a| a.orphan).map(|a| &*a.statement).collect();
    assert_eq!(orphans, ["DELETE FROM customers"], "neither what came before, nor what asks the model");
    for decision in &answer.decisions {
        let caused: Vec<u64> =
            answer.actions.iter().filter(|a| is_cause(a, decision.record)).map(|a| a.record).collect();
        assert_eq!(decision.actions, caused, "an edge is seen from both its ends");
        assert_eq!(caused.len(), 1);
        let shown = answer.to_text();
        let [issued, why] =
            [format!("decision #{}  ", decision.record), format!("#{} (matched", decision.record)]
                .map(|text| shown.find(&text).unwrap());
        assert!(issued < why, "whatever their sessions are, it stands before what it caused");
    }
}

fn is_cause(action: &answers::ActionLine, decision: u64) -> bool {
    action.causes.iter().any(|cause| cause.decision == decision && cause.strength == "matched")
}

#[test]
fn a_replay_has_each_decision_where_it_was_issued() {
    let case = Case::new(decided());
    let whole = case.ask(|desk| desk.replay(RUN, None, None)).unwrap();
    check("replay_decided", &whole);
    let order = |replay: &Replay| -> Vec<u64> {
        let step = |s: &answers::ReplayStep| {
            [s.action.record].into_iter().chain(s.decisions.iter().map(|d| d.record)).collect::<Vec<_>>()
        };
        replay.steps.iter().flat_map(step).collect()
    };
    assert!(order(&whole).is_sorted() && order(&whole).len() == 9, "{:?}", order(&whole));
    let decision = whole.steps[1].decisions[1].record;
    let part = case.ask(|desk| desk.replay(RUN, Some(Seq(decision)), Some(Seq(decision)))).unwrap();
    assert_eq!(part.steps.len(), 1, "the request whose answer holds it");
    assert_eq!(part.steps[0].decisions.len(), 3, "with all that it holds");
}

/// A model plans, and carries out the first step; what it decides then belongs to no step. It is shown the first result.
fn planned() -> Story {
    let mut s = Story::with_run();
    service(&mut s, "llm", MODEL);
    let asked = ask_model(&mut s, "who has order 4711?");
    let hands_over = decision(&mut s, asked, 0, "Plan", "{\"steps\":[\"find it\",\"tell\"]}");
    let plan = plan(&mut s, asked, Some(hands_over), &[("find it", Some("in-progress")), ("tell", None)]);
    s.outcome(A, asked, &[("tag", text("200")), ("rows", Value::Uint(0))]);
    let again = ask_model(&mut s, "find it");
    let query = "SELECT customer_id FROM orders WHERE id = 4711";
    let found = decision_of(&mut s, again, "run_sql", query, Some((plan, 0, "quoted")));
    s.outcome(A, again, &[("tag", text("200")), ("rows", Value::Uint(0))]);
    let read = s.intent(A, &[("statement", text(query)), ("causes", causes(&[(found, "same")]))]);
    s.outcome(A, read, &[]);
    let shows = Value::Array(vec![Value::Uint(found)]);
    let last =
        s.intent(A, &[("via", text("request")), ("statement", text("result of call_0")), ("shows", shows)]);
    s.in_session(last, Some(MODEL));
    decision_of(&mut s, last, "run_sql", "DROP TABLE orders", None);
    s.outcome(A, last, &[("tag", text("200")), ("rows", Value::Uint(0))]);
    s.refusal(A, None, &[("statement", text("SELECT 2")), ("verbs", texts(&["read"]))]);
    s.close(A);
    s.checkpoint();
    s
}

fn plan(s: &mut Story, of: u64, decision: Option<u64>, steps: &[(&str, Option<&str>)]) -> u64 {
    let step = |(said, status): &(&str, Option<&str>)| {
        let status = status.map(|status| ("status", text(status)));
        map(&[("text", text(said))].into_iter().chain(status).collect::<Vec<_>>())
    };
    let steps = Value::Array(steps.iter().map(step).collect());
    let by = decision.map(|seq| ("decision", Value::Uint(seq)));
    let fields: Vec<_> = [("form", text("steps")), ("steps", steps)].into_iter().chain(by).collect();
    let seq = s.record("plan", A, Some(of), &map(&fields));
    s.in_session(seq, Some(MODEL));
    seq
}

fn decision_of(s: &mut Story, of: u64, tool: &str, sql: &str, step: Option<(u64, u64, &str)>) -> u64 {
    let step = step.map(|(plan, n, how)| {
        ("step", map(&[("plan", Value::Uint(plan)), ("n", Value::Uint(n)), ("how", text(how))]))
    });
    let fields = [
        ("n", Value::Uint(0)),
        ("model", text("gpt-x")),
        ("tool", text(tool)),
        ("call", text("call_0")),
        ("arguments", text(&format!("{{\"sql\":\"{sql}\"}}"))),
    ];
    let fields: Vec<_> = fields.into_iter().chain(step).collect();
    let seq = s.record("decision", A, Some(of), &map(&fields));
    s.in_session(seq, Some(MODEL));
    seq
}

#[test]
fn a_plan_is_shown_with_what_became_of_its_steps() {
    let answer = show(planned());
    check("show_planned", &answer);
    assert!(answer.unread.is_empty(), "{:?}", answer.unread);
    let [plan] = &answer.plans[..] else { panic!("{:?}", answer.plans) };
    assert_eq!((plan.version, plan.decision), (1, Some(answer.decisions[0].record)));
    assert_eq!((plan.steps[0].decisions.len(), plan.steps[0].done, plan.steps[0].failed), (1, 1, 0));
    assert_eq!((plan.steps[1].decisions.len(), plan.steps[1].done), (0, 0), "nothing is known of it");
    let off: Vec<bool> = answer.decisions.iter().map(|d| d.off_plan).collect();
    assert_eq!(off, [false, false, true], "who plans is on plan");
    assert_eq!(answer.decisions[1].shown.len(), 1);
    assert_eq!((answer.decided.plans, answer.decided.off_plan, answer.decided.idle), (1, 1, 1));
    let replay = Case::new(planned()).ask(|desk| desk.replay(RUN, None, None)).unwrap();
    assert_eq!(replay.steps[1].plans.len() + replay.steps[0].plans.len(), 1, "where it was stated");
    let page = Case::new(planned()).ask(|desk| desk.report(RUN, true)).unwrap().to_html();
    assert!(page.contains("step 1 of plan") && page.contains("off plan"), "{page}");
}

#[test]
fn what_is_decided_when_all_is_done_is_off_plan() {
    for (status, off_plan) in [("done", true), ("pending", false)] {
        let mut s = Story::with_run();
        let asked = ask_model(&mut s, "?");
        plan(&mut s, asked, None, &[("find it", Some("done")), ("tell", Some(status))]);
        decision_of(&mut s, asked, "run_sql", "DROP TABLE orders", None);
        assert_eq!(show(s).decisions[0].off_plan, off_plan, "{status}");
    }
}

#[test]
fn a_step_of_what_is_no_plan_of_the_run_is_said_and_proves_nothing() {
    let mut s = Story::with_run();
    let asked = ask_model(&mut s, "?");
    let stated = plan(&mut s, asked, None, &[("only this", None)]);
    let strange = [(stated, 1), (asked, 0), (4_000, 0)];
    let seqs = strange.map(|(at, n)| decision_of(&mut s, asked, "t", "x", Some((at, n, "quoted"))));
    s.intent(A, &[("shows", Value::Array(vec![Value::Uint(asked)]))]);
    let answer = show(s);
    let why = "it names as its step what is no step of a plan of the run before it";
    for seq in seqs {
        assert!(answer.unread.iter().any(|u| u.record == seq && u.why == why), "{:?}", answer.unread);
    }
    assert!(answer.plans[0].steps[0].decisions.is_empty() && answer.decisions.iter().all(|d| !d.off_plan));
    assert!(answer.unread.iter().any(|u| u.why.starts_with("it shows the result")), "{:?}", answer.unread);
}

#[test]
fn the_report_has_decisions_between_actions() {
    let page = Case::new(decided()).ask(|desk| desk.report(RUN, true)).unwrap().to_html();
    expect("report_decided.html", &page);
    let line = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
    let order =
        ["what of ticket 4711?", "run_sql by gpt-x", "(matched: same)", "(orphan)", "and now?"].map(line);
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn actions_are_found_by_the_tool_that_explains_them() {
    let case = Case::new(decided());
    let found = |query: &str| {
        let found = case.ask(|desk| desk.find(query)).unwrap();
        found.actions.into_iter().map(|a| a.statement).collect::<Vec<_>>()
    };
    assert_eq!(found("tool:fetch_order"), ["GET /orders/A-9999"]);
    assert_eq!(found("tool:run_sql verb:read").len(), 1);
    assert_eq!(found("tool:run_sq"), [""; 0]);
    assert_eq!(found("tool:run_sql tool:fetch_order").len(), 2);
}

#[test]
fn a_run_without_decisions_has_no_orphan() {
    let mut story = Story::with_run();
    story.intent(A, &[]);
    let answer = show(story);
    assert!(!answer.actions[0].orphan && answer.decided == answers::DecidedLine::default());
    assert!(!answer.to_text().contains("orphan"));
}

#[test]
fn a_cause_that_is_no_earlier_decision_of_the_run_is_said_and_proves_nothing() {
    type Row = (&'static str, fn(&mut Story, u64) -> u64);
    let cases: [Row; 4] = [
        ("a record of another kind", |_, asked| asked),
        ("a record that is not there", |_, _| 4_000),
        // The intent is the next record, and a decision the one after it.
        ("a decision that comes later", |_, asked| asked + 2),
        ("a decision of another run", |s, _| {
            s.open(B, &[]);
            let asked = s.intent(B, &[]);
            let body =
                [("n", Value::Uint(0)), ("model", text("m")), ("tool", text("t")), ("arguments", text("{}"))];
            s.record("decision", B, Some(asked), &map(&body))
        }),
    ];
    for (name, make) in cases {
        let mut story = Story::with_run();
        let asked = ask_model(&mut story, "?");
        let named = make(&mut story, asked);
        let seq = story.intent(A, &[("causes", causes(&[(named, "same")]))]);
        decision(&mut story, asked, 0, "run_sql", "{}");
        let answer = show(story);
        let action = answer.actions.iter().find(|a| a.record == seq).unwrap();
        assert!(action.causes.is_empty() && answer.decisions[0].actions.is_empty(), "{name}");
        let why = "it names as its cause what is no decision of the run before it";
        assert!(answer.unread.iter().any(|u| u.record == seq && u.why == why), "{name}: {:?}", answer.unread);
    }
}

#[test]
fn hostile_text_in_a_decision_moves_no_cursor_and_becomes_no_markup() {
    let hostile = "</pre><script>alert(1)</script>\u{1b}[2J\u{202e}\r\n";
    let mut story = Story::with_run();
    let asked = story.intent(A, &[]);
    let body = map(&[
        ("n", Value::Uint(0)),
        ("model", text(hostile)),
        ("tool", text(hostile)),
        ("call", text(hostile)),
        ("arguments", text(hostile)),
    ]);
    let issued = story.record("decision", A, Some(asked), &body);
    story.intent(A, &[("causes", causes(&[(issued, hostile)]))]);
    let case = Case::new(story);
    let shown = case.ask(|desk| desk.show(RUN)).unwrap();
    assert!(shown.unread.iter().any(|u| u.why.contains("causes.0.how")), "{:?}", shown.unread);
    let page = case.ask(|desk| desk.report(RUN, true)).unwrap().to_html();
    assert!(page.matches("&lt;script&gt;").count() >= 4 && !page.contains("<script"), "{page}");
    for text in [shown.to_text(), case.ask(|desk| desk.replay(RUN, None, None)).unwrap().to_text(), page] {
        assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
    }
}

#[test]
fn what_an_earlier_version_wrote_is_still_read() {
    let answer = show(crate::story::whole());
    let mut json: serde_json::Value = serde_json::from_str(&to_json(&answer)).unwrap();
    let fields = json.as_object_mut().unwrap();
    for field in ["decisions", "decided"] {
        assert!(fields.remove(field).is_some(), "{field}");
    }
    for action in fields["actions"].as_array_mut().unwrap() {
        for field in ["causes", "orphan"] {
            assert!(action.as_object_mut().unwrap().remove(field).is_some(), "{field}");
        }
    }
    assert_eq!(from_json::<Show>(&json.to_string()).unwrap(), answer);
}

#[test]
fn a_line_names_a_few_causes_and_counts_the_rest() {
    let mut story = Story::with_run();
    let asked = story.intent(A, &[]);
    let all: Vec<u64> = (0..10).map(|n| decision(&mut story, asked, n, "run_sql", "{}")).collect();
    let all: Vec<(u64, &str)> = all.into_iter().map(|seq| (seq, "within")).collect();
    let seq = story.refusal(A, None, &[("causes", causes(&all[..8]))]);
    story.refusal(A, Some(seq), &[("causes", causes(&all))]);
    let answer = show(story);
    let why = answer.actions[1].explanation().unwrap();
    assert_eq!((answer.actions[1].causes.len(), why.matches('#').count()), (10, 8));
    assert!(why.ends_with(" or 2 more"), "{why}");
}
