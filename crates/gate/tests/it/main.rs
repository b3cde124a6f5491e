//! The gate's story on a simulated disk: what is permitted, what an approval binds to, what is void.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use gate::{
    Answer, Approver, Asked, Decided, Form, Gate, GateError, Ground, InboxError, Outcome, Param, Pending,
    Question, Spent, Subject, Touched, Tx, Who,
};
use ledger::read::Store;
use ledger::sim::{SimClock, SimDisk, SimRandom};
use ledger::{Config, Draft, Kind, Ledger, limits};
use mask::{Detectors, MaskedText};
use policy::{Context, Policy, Principal, Source};
use vocab::{
    Access, Action, AskId, ColumnUse, Durability, Group, Opaque, Position, ResourcePath, RunId, SessionId,
    Tick, Verb, Verdict, WallTime,
};

const POLICY: &str = r#"
@id("reads") permit (principal, action in [Action::"read", Action::"connect"], resource);
@id("writes") permit (principal, action in [Action::"write", Action::"opaque"], resource);
@id("lead") @needs("leads") forbid (principal, action == Action::"write", resource)
unless { context.approvals.contains("leads") };
"#;

struct Stage {
    disk: SimDisk,
    ledger: Ledger,
    gate: Gate,
    who: Who,
}

impl Stage {
    fn new() -> Stage {
        Stage::with(limits::SEGMENT_BYTES_MIN)
    }

    fn with(segment_bytes: u64) -> Stage {
        let disk = SimDisk::new(7);
        let mut config = Config::new("/data/ledger", "/keys", "test");
        config.segment_bytes = segment_bytes;
        config.origin = Some("test/gate".to_owned());
        let clock = Arc::new(SimClock::new());
        let random = Arc::new(SimRandom::new(7));
        let ledger = Ledger::open_stepped(config, Arc::new(disk.clone()), clock, random).unwrap().0;
        let gate = Gate::new(ledger.clone(), Arc::new(Detectors::new()), policy(POLICY)).unwrap();
        let (run, receipt) = ledger.open_run(Draft::new(Kind::Open).put("uid", 1u64)).unwrap();
        ledger.step_commit();
        let _open = receipt.wait().unwrap();
        Stage { disk, ledger, gate, who: who(run) }
    }

    /// Kinds of the records that are durable, in order.
    fn kinds(&self) -> Vec<Kind> {
        let store = Store::on(Arc::new(self.disk.clone()), Path::new("/data/ledger")).unwrap();
        let mut cursor = store.cursor();
        std::iter::from_fn(|| cursor.next_entry().unwrap()).filter_map(|entry| entry.kind).collect()
    }

    fn question<'a>(&'a self, subject: &'a Subject, asked: &'a [u8], sending: &'a [u8]) -> Question<'a> {
        Question {
            who: &self.who,
            via: "query",
            subject,
            params: Arc::default(),
            prints: Vec::new(),
            tripwires: &[],
            tx: Tx::Idle,
            asked,
            sending,
            said: None,
            asking: gate::Asking::Statement,
            shows: &[],
            body: None,
            whole: None,
            changes: None,
            again: None,
            pure_read: false,
        }
    }

    /// The standing approvals that count for a question as policy decides it without any.
    fn standing(&self, question: &Question<'_>, at: WallTime) -> BTreeSet<Group> {
        self.standing_in(question, &context(), at)
    }

    fn standing_in(&self, question: &Question<'_>, context: &Context, at: WallTime) -> BTreeSet<Group> {
        let ground = Ground { action: question.subject.action(), context, release: None };
        let bare = self.gate.verdict(question.who, &ground, &BTreeSet::new());
        self.gate.standing(question, &bare, at)
    }

    fn verdict(&self, subject: &Subject, approved: &[&str]) -> Decided {
        let approved: BTreeSet<Group> = approved.iter().map(|g| Group((*g).into())).collect();
        self.gate.verdict(
            &self.who,
            &Ground { action: subject.action(), context: &context(), release: None },
            &approved,
        )
    }
}

fn policy(text: &str) -> Policy {
    Policy::parse(&[Source { path: "test.cedar".into(), text: text.into() }]).ok().unwrap()
}

fn who(run: RunId) -> Who {
    Who {
        run,
        session: SessionId(1),
        human: "ann".into(),
        by: "ann".into(),
        involved: Arc::from(["amy".into()]),
        agent: "support".into(),
        task: None,
        resource: "crm".into(),
        durability: Durability::Sync,
        principal: Principal {
            human: "ann".into(),
            human_groups: Vec::new(),
            agent: "support".into(),
            run: run.to_string().into(),
            confined: true,
            parents: Vec::new(),
        },
        root: ResourcePath::root("crm"),
    }
}

fn context() -> Context {
    Context { resource_kind: "postgres".into(), kind: "UPDATE".into(), now: MORNING, ..Context::default() }
}

fn subject(verb: Verb) -> Subject {
    of_statement(action(verb), "update orders set note = '?'")
}

fn of_statement(action: Action, statement: &'static str) -> Subject {
    Subject::new(&Detectors::new(), action, MaskedText::constant(statement), None, &[])
}

fn action(verb: Verb) -> Action {
    let on = ResourcePath::root("crm").join("crm").join("public").join("orders");
    Action { accesses: vec![Access { verb, on, columns: Vec::new() }], kind: "UPDATE", ..Action::default() }
}

fn approver(name: &str, groups: &[&str]) -> Approver {
    Approver {
        name: name.into(),
        groups: groups.iter().map(|g| Group((*g).into())).collect(),
        signature: None,
    }
}

/// Runs a future that never has to wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

const MORNING: WallTime = WallTime(1_000_000_000_000);
const NOON: WallTime = WallTime(2_000_000_000_000);

#[test]
fn a_permit_comes_after_the_intent_is_durable_and_fits_only_its_bytes() {
    let stage = Stage::new();
    let read = subject(Verb::Read);
    let decided = stage.verdict(&read, &[]);
    assert_eq!(decided.verdict, Verdict::Allow);
    let question = stage.question(&read, b"asked", b"sent");
    let mut intent = stage.gate.intend(&question, &decided, None, Tick(0)).unwrap();
    let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(intent.poll_durable(&mut waker).is_pending(), "the record is not on the disk yet");
    stage.ledger.step_commit();
    let std::task::Poll::Ready(Ok(permit)) = intent.poll_durable(&mut waker) else { panic!("durable") };
    assert!(permit.spend(b"sent", Tick(1)));

    for (bytes, at) in [(&b"sent "[..], Tick(1)), (b"asked", Tick(1)), (b"sent", Tick(u64::MAX))] {
        let intent = stage.gate.intend(&question, &decided, None, Tick(0)).unwrap();
        stage.ledger.step_commit();
        let permit = now(intent.durable()).ok().unwrap();
        assert!(!permit.spend(bytes, at), "other bytes, or too late");
    }
}

#[test]
fn of_what_a_mask_hides_in_a_request_there_is_no_digest_either() {
    let stage = Stage::new();
    let on = |ssn: &str| ResourcePath::root("crm").join("users").join(ssn);
    let columns = vec![ColumnUse { column: "536-22-8391".into(), position: Position::Output }];
    let access = Access { verb: Verb::Read, on: on("536-22-8391"), columns };
    let read = of_statement(
        Action { accesses: vec![access], kind: "GET", ..Action::default() },
        "GET /users/[pii.ssn]",
    );
    let decided = stage.verdict(&read, &[]);
    let intent = stage.gate.intend(&stage.question(&read, b"asked", b"sent"), &decided, None, Tick(0));
    stage.ledger.step_commit();
    drop(now(intent.unwrap().durable()).ok().unwrap());
    let store = Store::on(Arc::new(stage.disk.clone()), Path::new("/data/ledger")).unwrap();
    let mut cursor = store.cursor();
    let entries = std::iter::from_fn(|| cursor.next_entry().unwrap());
    let intent = entries.into_iter().find(|entry| entry.kind == Some(Kind::Intent)).unwrap();
    let text = intent.body.get("request_text").and_then(|text| text.as_text()).unwrap();
    assert!(text.contains("[pii.ssn]") && !text.contains("8391"), "{text}");

    // A thief fills in what is masked: every number, of which one is right.
    let digest = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref().to_vec();
    let guesses = (0..10_000).map(|n| format!("536-22-{n:04}")).flat_map(|ssn| {
        let filled = text.replace("[pii.ssn]", &ssn);
        [digest(&filled), digest(&ssn), digest(&decided.request.replace("536-22-8391", &ssn))]
    });
    let guesses: std::collections::HashSet<Vec<u8>> = guesses.collect();
    assert!(guesses.contains(&digest(&decided.request)), "the right one is among them");
    let stored = intent.bytes.windows(32).find(|window| guesses.contains(*window));
    assert_eq!(stored, None, "a stored digest says which");
    assert!(intent.bytes.windows(32).any(|w| w == digest(text)), "what is stored is the shown text's");
}

#[test]
fn only_a_pure_read_overtakes_its_intent() {
    let stage = Stage::new();
    let read = subject(Verb::Read);
    let decided = stage.verdict(&read, &[]);
    let question = stage.question(&read, b"a", b"b");
    assert!(stage.gate.intend(&question, &decided, None, Tick(0)).unwrap().overtake().is_err());
    let question = Question { pure_read: true, ..question };
    let (permit, _receipt) =
        stage.gate.intend(&question, &decided, None, Tick(0)).unwrap().overtake().ok().unwrap();
    assert!(permit.spend(b"b", Tick(0)));
}

#[test]
fn nobody_is_asked_to_approve_what_cannot_be_shown_whole() {
    let stage = Stage::new();
    let detectors = Detectors::new();
    let columns = vec![ColumnUse { column: "note".into(), position: Position::Write }];
    let [access]: [Access; 1] = action(Verb::Write).accesses.try_into().unwrap();
    let accesses = vec![Access { columns, ..access }];
    let action =
        Action { accesses, opaque: Some(Opaque("It calls what is not known.")), ..action(Verb::Write) };
    let of = |text: &str| {
        let statement = mask::statement(&detectors, text, &[]);
        Subject::new(&detectors, action.clone(), statement, None, &[])
    };
    let param = Param {
        kind: 25,
        format: 0,
        size: 3,
        mask: MaskedText::constant("parameter(3 bytes)"),
        classes: Vec::new(),
        print: None,
        said: None,
    };
    let short = of("update orders set note = $1 where id = 4");
    let long = of(&format!("update orders set note = $1 where id in ({})", "id, ".repeat(1 << 13)));
    let asks = |question: Question<'_>, id: u8| {
        let decided = stage.verdict(question.subject, &[]);
        stage.gate.ask(&question, &decided, None, AskId([id; 16]), MORNING, NOON)
    };
    let many: Arc<[Param]> = vec![param.clone(); 257].into();
    let refused = asks(stage.question(&long, b"a", b"b"), 1);
    assert!(matches!(refused, Err(GateError::NotShown)));
    let refused = asks(Question { params: many, ..stage.question(&short, b"a", b"b") }, 2);
    assert!(matches!(refused, Err(GateError::NotShown)));
    assert!(stage.gate.inbox().list().is_empty());

    let question = Question { params: [param].into(), tx: Tx::In, ..stage.question(&short, b"a", b"b") };
    let _asked = asks(question, 3).unwrap();
    let [pending]: [Pending; 1] = stage.gate.inbox().list().try_into().unwrap();
    assert!(pending.in_transaction && pending.params == [MaskedText::constant("parameter(3 bytes)")]);
    let [unknown, touched]: [Touched; 2] = pending.touches.try_into().unwrap();
    assert_eq!((unknown.verb, unknown.on.as_str()), (Verb::Opaque, "It calls what is not known."));
    assert_eq!((touched.verb, touched.on.as_str()), (Verb::Write, "crm/crm/public/orders"));
    assert_eq!(touched.columns[0].as_str(), "note");
}

#[test]
fn an_approval_is_recorded_before_the_intent_that_it_allows() {
    let stage = Stage::new();
    let write = subject(Verb::Write);
    let decided = stage.verdict(&write, &[]);
    let Verdict::Ask(groups) = &decided.verdict else { panic!("policy asks") };
    assert_eq!(groups, &[Group("leads".into())]);
    let question = stage.question(&write, b"asked", b"sent");
    let asked = stage.gate.ask(&question, &decided, None, AskId([1; 16]), MORNING, NOON).unwrap();
    let seq = asked.seq;
    let inbox = stage.gate.inbox();
    assert_eq!(inbox.list().len(), 1);
    let still = inbox.approve(AskId([1; 16]), &approver("bob", &["leads"]), Form::Once, MORNING).unwrap();
    assert!(still.is_empty());
    let mut asked = asked;
    let answer = now(asked.answered());
    let context = context();
    let ground = Ground { action: write.action(), context: &context, release: None };
    let Spent::Allowed(decided) = stage.gate.spend(asked, answer, &question, &ground, MORNING).unwrap()
    else {
        panic!("approved")
    };
    let _intent = stage.gate.intend(&question, &decided, Some(seq), Tick(0)).unwrap();
    stage.ledger.step_commit();
    let kinds = stage.kinds();
    assert_eq!(&kinds[kinds.len() - 3..], [Kind::Ask, Kind::Approval, Kind::Intent]);
}

/// A question to which bob has said yes.
fn granted(
    stage: &Stage,
    question: &Question<'_>,
    decided: &Decided,
    expires: WallTime,
) -> (Asked, Option<Answer>) {
    let id = AskId([1; 16]);
    let mut asked = stage.gate.ask(question, decided, None, id, MORNING, expires).unwrap();
    stage.gate.inbox().approve(id, &approver("bob", &["leads"]), Form::Once, MORNING).unwrap();
    let answer = now(asked.answered());
    (asked, answer)
}

#[test]
fn what_was_approved_is_what_is_sent() {
    // Each row changes one thing between the question and its spending.
    type Change = fn(&Stage);
    type Row = (&'static str, &'static [u8], &'static [u8], WallTime, Change, bool);
    let nothing: Change = |_| ();
    let policy_changed: Change =
        |stage| stage.gate.reload(policy(&format!("{POLICY}\n// reworded"))).unwrap();
    let rows: [Row; 6] = [
        ("nothing", b"asked", b"sent", MORNING, nothing, true),
        ("one byte asked", b"askeD", b"sent", MORNING, nothing, false),
        ("one byte sent", b"asked", b"senT", MORNING, nothing, false),
        ("a byte moved over", b"askeds", b"ent", MORNING, nothing, false),
        ("expiry", b"asked", b"sent", NOON, nothing, false),
        ("policy", b"asked", b"sent", MORNING, policy_changed, false),
    ];
    for (what, asked_bytes, sent_bytes, at, change, allowed) in rows {
        let stage = Stage::new();
        let write = subject(Verb::Write);
        let decided = stage.verdict(&write, &[]);
        let question = stage.question(&write, b"asked", b"sent");
        let (asked, answer) = granted(&stage, &question, &decided, NOON);
        change(&stage);
        let question = stage.question(&write, asked_bytes, sent_bytes);
        let context = context();
        let ground = Ground { action: write.action(), context: &context, release: None };
        let spent = stage.gate.spend(asked, answer, &question, &ground, at).unwrap();
        assert_eq!(matches!(spent, Spent::Allowed(_)), allowed, "{what}");
    }
}

#[test]
fn what_was_approved_is_looked_at_by_the_hour_in_which_it_is_spent() {
    const ONE: WallTime = WallTime(3_600_000_000_000);
    for (at, allowed) in [(WallTime(ONE.0 - 1), true), (ONE, false)] {
        let stage = Stage::new();
        let hours = r#"@id("hours") forbid (principal, action, resource) when { context.hour > 0 };"#;
        stage.gate.reload(policy(&format!("{POLICY}\n{hours}"))).unwrap();
        let write = subject(Verb::Write);
        let decided = stage.verdict(&write, &[]);
        let question = stage.question(&write, b"asked", b"sent");
        let (asked, answer) = granted(&stage, &question, &decided, LATE);
        let context = context();
        let ground = Ground { action: write.action(), context: &context, release: None };
        let spent = stage.gate.spend(asked, answer, &question, &ground, at).unwrap();
        assert_eq!(matches!(spent, Spent::Allowed(_)), allowed, "{at:?}");
    }
}

#[test]
fn nobody_answers_for_themselves_and_nobody_answers_twice() {
    let stage = Stage::new();
    let write = subject(Verb::Write);
    let decided = stage.verdict(&write, &[]);
    let question = stage.question(&write, b"asked", b"sent");
    let id = AskId([1; 16]);
    let mut asked = stage.gate.ask(&question, &decided, None, id, MORNING, NOON).unwrap();
    let inbox = stage.gate.inbox();
    let try_it = |who: &Approver, form| inbox.approve(id, who, form, MORNING);
    assert_eq!(try_it(&approver("ann", &["leads"]), Form::Once), Err(InboxError::OwnRequest));
    // Somebody who stands between the human and the run in its token's chain.
    assert_eq!(try_it(&approver("amy", &["leads"]), Form::Once), Err(InboxError::OwnRequest));
    assert_eq!(try_it(&approver("bob", &["others"]), Form::Once), Err(InboxError::NotInGroup));
    assert_eq!(
        try_it(&approver("bob", &["leads"]), Form::Shape { minutes: 0 }),
        Err(InboxError::ShapeNotAllowed)
    );
    let late = inbox.approve(id, &approver("bob", &["leads"]), Form::Once, NOON);
    assert_eq!(late, Err(InboxError::Expired));
    inbox.deny(id, &approver("bob", &["leads"]), Some("no".into())).unwrap();
    assert_eq!(try_it(&approver("bob", &["leads"]), Form::Once), Err(InboxError::NotWaiting));
    let answer = now(asked.answered());
    assert!(matches!(answer, Some(Answer::Denied { .. })));
    let context = context();
    let spent = stage.gate.spend(
        asked,
        answer,
        &question,
        &Ground { action: write.action(), context: &context, release: None },
        MORNING,
    );
    assert!(matches!(spent.unwrap(), Spent::Refused(..)));
}

#[test]
fn a_question_that_nobody_waits_for_is_gone() {
    let stage = Stage::new();
    let write = subject(Verb::Write);
    let decided = stage.verdict(&write, &[]);
    let question = stage.question(&write, b"asked", b"sent");
    drop(stage.gate.ask(&question, &decided, None, AskId([1; 16]), MORNING, NOON).unwrap());
    let late = stage.gate.inbox().approve(AskId([1; 16]), &approver("bob", &["leads"]), Form::Once, MORNING);
    assert_eq!(late, Err(InboxError::NotWaiting));
}

#[test]
fn an_approval_of_what_comes_again_holds_on_another_connection_of_its_run_and_for_nothing_else() {
    let stage = Stage::new();
    let write = subject(Verb::Write);
    let decided = stage.verdict(&write, &[]);
    let (context, mut elsewhere, mut stranger) = (context(), stage.who.clone(), stage.who.clone());
    (elsewhere.session, stranger.run) = (vocab::SessionId(77), RunId([9; 16]));
    let spent = |n: u8, again: Option<(&[u8], &[u8])>, who: &Who| {
        let first =
            Question { again: Some((b"asked", b"sent")), ..stage.question(&write, b"asked 1", b"sent 1") };
        let mut asked = stage.gate.ask(&first, &decided, None, AskId([n; 16]), MORNING, NOON).unwrap();
        stage
            .gate
            .inbox()
            .approve(AskId([n; 16]), &approver("bob", &["leads"]), Form::Once, MORNING)
            .unwrap();
        let answer = now(asked.answered());
        let ground = Ground { action: write.action(), context: &context, release: None };
        let question = Question { who, again, ..stage.question(&write, b"asked 2", b"sent 2") };
        matches!(stage.gate.spend(asked, answer, &question, &ground, MORNING), Ok(Spent::Allowed(_)))
    };
    assert!(spent(1, Some((b"asked", b"sent")), &elsewhere), "numbers and connections differ");
    assert!(!spent(2, Some((b"asked", b"other")), &elsewhere));
    assert!(!spent(3, Some((b"other", b"sent")), &elsewhere));
    assert!(!spent(4, None, &stage.who), "the very bytes are others");
    assert!(!spent(5, Some((b"asked", b"sent")), &stranger));
}

#[test]
fn a_question_with_which_nobody_comes_again_ends_in_the_record() {
    let stage = Stage::new();
    let write = subject(Verb::Write);
    let decided = stage.verdict(&write, &[]);
    let question = stage.question(&write, b"asked", b"sent");
    for (n, at) in [(1, NOON), (2, MORNING)] {
        let mut asked = stage.gate.ask(&question, &decided, None, AskId([n; 16]), MORNING, NOON).unwrap();
        stage.gate.lapse(&mut asked, &stage.who, at).unwrap();
    }
    assert!(stage.gate.inbox().list().is_empty());
    stage.ledger.step_commit();
    let kinds = stage.kinds();
    assert_eq!(&kinds[kinds.len() - 4..], [Kind::Ask, Kind::Approval, Kind::Ask, Kind::Approval]);
}

/// Writes need a lead; in a transaction, a warden as well.
const TWO: &str = r#"
@id("writes") permit (principal, action, resource);
@id("lead") @needs("leads") forbid (principal, action == Action::"write", resource)
unless { context.approvals.contains("leads") };
@id("warden") @needs("wardens") forbid (principal, action == Action::"write", resource)
when { context.in_transaction } unless { context.approvals.contains("wardens") };
"#;

/// Asks as [`TWO`] has it, lets each of `by` approve for five minutes, and spends that at `at`.
fn spent_by_two(stage: &Stage, inside: bool, by: &[&str], at: WallTime) -> (Vec<Group>, bool) {
    let write = subject(Verb::Write);
    let question = stage.question(&write, b"asked", b"sent");
    let context = Context { in_transaction: inside, ..context() };
    let ground = Ground { action: write.action(), context: &context, release: None };
    let standing = stage.standing_in(&question, &context, MORNING);
    let decided = stage.gate.verdict(&stage.who, &ground, &standing);
    let Verdict::Ask(groups) = decided.verdict.clone() else { panic!("policy asks: {:?}", decided.verdict) };
    let mut asked = stage.gate.ask(&question, &decided, None, AskId([1; 16]), MORNING, LATE).unwrap();
    for (name, group) in [("bob", "leads"), ("cy", "wardens")].iter().filter(|(_, group)| by.contains(group))
    {
        let form = Form::Shape { minutes: 5 };
        stage.gate.inbox().approve(AskId([1; 16]), &approver(name, &[*group]), form, MORNING).unwrap();
    }
    let answer = now(asked.answered());
    let spent = stage.gate.spend(asked, answer, &question, &ground, at).unwrap();
    (groups, matches!(spent, Spent::Allowed(_)))
}

/// Long after every grant of this test.
const LATE: WallTime = WallTime(MORNING.0 + 3_600_000_000_000);
const FIVE_MINUTES: WallTime = WallTime(MORNING.0 + 5 * 60_000_000_000);

#[test]
fn a_standing_grant_of_one_group_and_the_word_of_another_are_both() {
    let stage = Stage::new();
    stage.gate.reload(policy(TWO)).unwrap();
    let group = |name: &str| Group(name.into());
    assert_eq!(spent_by_two(&stage, false, &["leads"], MORNING), (vec![group("leads")], true));
    assert_eq!(spent_by_two(&stage, true, &["wardens"], MORNING), (vec![group("wardens")], true));
    // Both stand now, the second beside the first.
    let write = subject(Verb::Write);
    let standing = stage.standing(&stage.question(&write, b"asked", b"sent"), MORNING);
    assert_eq!(standing, BTreeSet::from([group("leads"), group("wardens")]));
}

#[test]
fn a_standing_grant_that_has_ended_meanwhile_counts_for_nothing() {
    let stage = Stage::new();
    stage.gate.reload(policy(TWO)).unwrap();
    assert!(spent_by_two(&stage, false, &["leads"], MORNING).1);
    assert!(!spent_by_two(&stage, true, &["wardens"], FIVE_MINUTES).1);
}

#[test]
fn what_is_not_carried_out_grants_no_shape() {
    let stage = Stage::new();
    let write = subject(Verb::Write);
    let decided = stage.verdict(&write, &[]);
    let asked_for = stage.question(&write, b"asked", b"sent");
    for (n, sent) in [(1, &b"other"[..]), (2, b"sent")] {
        let id = AskId([n; 16]);
        let mut asked = stage.gate.ask(&asked_for, &decided, None, id, MORNING, LATE).unwrap();
        let form = Form::Shape { minutes: 5 };
        stage.gate.inbox().approve(id, &approver("bob", &["leads"]), form, MORNING).unwrap();
        let answer = now(asked.answered());
        if n == 2 {
            let text =
                format!("{POLICY}\n@id(\"no\") forbid (principal, action == Action::\"write\", resource);");
            stage.gate.reload(policy(&text)).unwrap();
        }
        let question = stage.question(&write, b"asked", sent);
        let context = context();
        let ground = Ground { action: write.action(), context: &context, release: None };
        let spent = stage.gate.spend(asked, answer, &question, &ground, MORNING).unwrap();
        assert!(matches!(spent, Spent::Refused(..)), "{n}");
        assert!(stage.standing(&asked_for, MORNING).is_empty(), "{n}");
    }
}

#[test]
fn a_grant_for_a_shape_covers_the_shape_in_this_run_until_it_ends() {
    let stage = Stage::new();
    let write = subject(Verb::Write);
    let decided = stage.verdict(&write, &[]);
    let question = stage.question(&write, b"asked", b"sent");
    let mut asked = stage.gate.ask(&question, &decided, None, AskId([1; 16]), MORNING, NOON).unwrap();
    let form = Form::Shape { minutes: 5 };
    stage.gate.inbox().approve(AskId([1; 16]), &approver("bob", &["leads"]), form, MORNING).unwrap();
    let answer = now(asked.answered());
    let context = context();
    let ground = Ground { action: write.action(), context: &context, release: None };
    let spent = stage.gate.spend(asked, answer, &question, &ground, MORNING).unwrap();
    assert!(matches!(spent, Spent::Allowed(_)));

    let other_literal = stage.question(&write, b"another literal", b"another literal");
    assert_eq!(stage.standing(&other_literal, MORNING).len(), 1);
    let after = WallTime(MORNING.0 + 5 * 60_000_000_000);
    assert!(stage.standing(&other_literal, after).is_empty(), "it has expired");
    let delete = of_statement(action(Verb::Write), "delete from orders");
    let other_statement = stage.question(&delete, b"x", b"x");
    assert!(stage.standing(&other_statement, MORNING).is_empty());
    let mut stranger = stage.who.clone();
    stranger.run = RunId([9; 16]);
    let elsewhere = Question { who: &stranger, ..stage.question(&write, b"x", b"x") };
    assert!(stage.standing(&elsewhere, MORNING).is_empty(), "another run has no grant");
}

/// Has the shape of `subject` granted by bob of the leads for five minutes, and says whether that was taken.
fn grant(stage: &Stage, subject: &Subject, context: &Context) -> bool {
    let question = stage.question(subject, b"asked", b"sent");
    let ground = Ground { action: subject.action(), context, release: None };
    let decided = stage.gate.verdict(&stage.who, &ground, &BTreeSet::new());
    let mut asked = stage.gate.ask(&question, &decided, None, AskId([1; 16]), MORNING, LATE).unwrap();
    let form = Form::Shape { minutes: 5 };
    stage.gate.inbox().approve(AskId([1; 16]), &approver("bob", &["leads"]), form, MORNING).unwrap();
    let answer = now(asked.answered());
    let spent = stage.gate.spend(asked, answer, &question, &ground, MORNING).unwrap();
    matches!(spent, Spent::Allowed(_))
}

#[test]
fn a_shape_is_of_columns_where_they_are_used_and_of_functions_too() {
    let stage = Stage::new();
    let with = |columns: &[(&str, Position)], functions: &[&str]| {
        let mut action = action(Verb::Write);
        let used = |(column, position): &(&str, Position)| ColumnUse {
            column: (*column).into(),
            position: *position,
        };
        action.accesses[0].columns = columns.iter().map(used).collect();
        action.functions = functions.iter().map(|name| (*name).into()).collect();
        of_statement(action, "EXECUTE q(?)")
    };
    let note = with(&[("note", Position::Write)], &["public.f"]);
    assert!(grant(&stage, &note, &context()));
    let standing = |subject: &Subject| stage.standing(&stage.question(subject, b"x", b"x"), MORNING).len();
    assert_eq!(standing(&note), 1);
    for other in [
        with(&[("status", Position::Write)], &["public.f"]),
        with(&[("note", Position::WriteSource)], &["public.f"]),
        with(&[("note", Position::Write)], &["public.g"]),
        with(&[("note", Position::Write)], &[]),
        with(&[("note", Position::Write)], &["public.f"]).hidden(),
    ] {
        assert_eq!(standing(&other), 0);
    }
}

#[test]
fn a_grant_is_of_one_policy_and_of_the_rules_that_asked() {
    let rules = format!(
        "{POLICY}\n@id(\"inside\") @needs(\"leads\") forbid (principal, action == Action::\"write\", resource) \
         when {{ context.in_transaction }} unless {{ context.approvals.contains(\"leads\") }};"
    );
    let stage = Stage::new();
    stage.gate.reload(policy(&rules)).unwrap();
    let write = subject(Verb::Write);
    let inside = Context { in_transaction: true, ..context() };
    assert!(grant(&stage, &write, &context()));
    let question = stage.question(&write, b"x", b"x");
    assert_eq!(stage.standing(&question, MORNING).len(), 1);
    assert_eq!(stage.standing_in(&question, &inside, MORNING).len(), 0, "another rule asks");
    assert!(grant(&stage, &write, &inside));
    assert_eq!(stage.standing_in(&question, &inside, MORNING).len(), 1);
    stage.gate.reload(policy(POLICY)).unwrap();
    assert_eq!(stage.standing(&question, MORNING).len(), 0, "another policy");
}

#[test]
fn an_approval_ends_with_the_approvers_right_to_give_it() {
    let stage = Stage::new();
    stage.gate.reload(policy(TWO)).unwrap();
    let gone: Arc<std::sync::Mutex<BTreeSet<String>>> = Arc::default();
    let list = gone.clone();
    stage.gate.approvers(move |name, _group| !list.lock().unwrap().contains(name));
    let write = subject(Verb::Write);
    assert!(spent_by_two(&stage, false, &["leads"], MORNING).1);
    let question = stage.question(&write, b"x", b"x");
    assert_eq!(stage.standing(&question, MORNING).len(), 1);
    gone.lock().unwrap().insert("bob".to_owned());
    assert_eq!(stage.standing(&question, MORNING).len(), 0, "a grant for the shape");

    // Of two groups one has approved before its approver goes.
    gone.lock().unwrap().clear();
    let read = stage.question(&write, b"other", b"other");
    let context = Context { in_transaction: true, ..context() };
    let ground = Ground { action: write.action(), context: &context, release: None };
    let decided = stage.gate.verdict(&stage.who, &ground, &BTreeSet::new());
    for (n, leaves) in [(2, false), (3, true)] {
        let id = AskId([n; 16]);
        let mut asked = stage.gate.ask(&read, &decided, None, id, MORNING, LATE).unwrap();
        let approve =
            |name, group| stage.gate.inbox().approve(id, &approver(name, &[group]), Form::Once, MORNING);
        approve("bob", "leads").unwrap();
        if leaves {
            gone.lock().unwrap().insert("bob".to_owned());
        }
        approve("cy", "wardens").unwrap();
        let answer = now(asked.answered());
        let spent = stage.gate.spend(asked, answer, &read, &ground, MORNING).unwrap();
        let Spent::Allowed(decided) = spent else {
            assert!(leaves);
            continue;
        };
        assert!(!leaves);
        // What is approved and waits is looked at again.
        assert!(stage.gate.still(&read, &ground, &decided, MORNING));
        assert!(!stage.gate.still(&read, &ground, &decided, LATE), "it has expired");
        gone.lock().unwrap().insert("cy".to_owned());
        assert!(!stage.gate.still(&read, &ground, &decided, MORNING), "nobody of the wardens");
        gone.lock().unwrap().clear();
    }
}

#[test]
fn what_was_decided_is_decided_again_as_of_now() {
    let stage = Stage::new();
    let hours = "@id(\"hours\") forbid (principal, action == Action::\"read\", resource) when { context.unix > 1500 };";
    stage.gate.reload(policy(&format!("{POLICY}\n{hours}"))).unwrap();
    let read = subject(Verb::Read);
    let question = stage.question(&read, b"x", b"x");
    let context = Context { now: MORNING, ..context() };
    let ground = Ground { action: read.action(), context: &context, release: None };
    let decided = stage.gate.verdict(&stage.who, &ground, &BTreeSet::new());
    assert_eq!(decided.verdict, Verdict::Allow);
    assert!(stage.gate.still(&question, &ground, &decided, MORNING));
    assert!(!stage.gate.still(&question, &ground, &decided, NOON), "a window of time is over");
    stage.gate.reload(policy(&format!("{POLICY}\n// reworded\n{hours}"))).unwrap();
    assert!(!stage.gate.still(&question, &ground, &decided, MORNING), "another policy");
}

#[test]
fn policy_knows_task_and_time_whatever_the_protocol_tells() {
    let mut stage = Stage::new();
    let rules = r#"
@id("all") permit (principal, action, resource);
@id("task") forbid (principal, action, resource) when { context has task && context.task == "refunds" };
@id("early") forbid (principal, action, resource) when { context.unix < 1000 };
"#;
    stage.gate.reload(policy(rules)).unwrap();
    let connect = Action {
        accesses: vec![Access { verb: Verb::Connect, on: ResourcePath::root("crm"), columns: Vec::new() }],
        kind: "CONNECT",
        ..Action::default()
    };
    let rules = |stage: &Stage, context: &Context| {
        let ground = Ground { action: &connect, context, release: None };
        let decided = stage.gate.verdict(&stage.who, &ground, &BTreeSet::new());
        decided.rules.iter().map(|rule| rule.0.to_string()).collect::<Vec<_>>()
    };
    let untold = Context { now: WallTime(0), ..context() };
    let early = Context { now: WallTime(1), ..context() };
    assert_eq!(rules(&stage, &untold), ["all"], "the records' clock");
    assert_eq!(rules(&stage, &early), ["early"]);
    stage.who.task = Some(MaskedText::constant("refunds"));
    assert_eq!(rules(&stage, &untold), ["task"]);
}

#[test]
fn what_is_more_than_a_record_holds_is_refused_on_the_record() {
    let stage = Stage::with(limits::SEGMENT_BYTES_DEFAULT);
    let on = |n: usize| ResourcePath::root("host").join(&format!("{n}-{}", "d".repeat(400)));
    let access = |n| Access { verb: Verb::Define, on: on(n), columns: Vec::new() };
    let action = Action { accesses: (0..300).map(access).collect(), kind: "EXEC", ..Action::default() };
    let define = of_statement(action, "cat ...");
    let decided = stage.verdict(&define, &[]);
    assert_eq!(decided.verdict, Verdict::Refuse);
    let question = stage.question(&define, b"asked", b"");
    let receipt =
        stage.gate.refuse(&question, &decided, None, "policy does not allow this", None, false).unwrap();
    stage.ledger.step_commit();
    let durable = receipt.wait().unwrap();
    let store = Store::on(Arc::new(stage.disk.clone()), Path::new("/data/ledger")).unwrap();
    let mut cursor = store.cursor();
    let entry = std::iter::from_fn(|| cursor.next_entry().unwrap()).find(|e| e.seq == durable.seq()).unwrap();
    let touches = entry.body.get("touches").unwrap().as_array().unwrap().len() as u64;
    assert_eq!(touches + entry.body.get("touches_more").unwrap().as_u64().unwrap(), 300);
}

#[test]
fn opaque_requests_are_never_approved_by_shape() {
    let stage = Stage::new();
    let opaque = Some(vocab::Opaque("cannot be known"));
    let write = of_statement(Action { opaque, ..action(Verb::Write) }, "do '?'");
    stage
        .gate
        .reload(policy(&format!("{POLICY} permit (principal, action == Action::\"opaque\", resource);")))
        .unwrap();
    let decided = stage.verdict(&write, &[]);
    let question = stage.question(&write, b"asked", b"sent");
    let _asked = stage.gate.ask(&question, &decided, None, AskId([1; 16]), MORNING, NOON).unwrap();
    let form = Form::Shape { minutes: 5 };
    let answer = stage.gate.inbox().approve(AskId([1; 16]), &approver("bob", &["leads"]), form, MORNING);
    assert_eq!(answer, Err(InboxError::ShapeNotAllowed));
}

#[test]
fn without_a_record_there_is_no_permit() {
    let stage = Stage::new();
    let read = subject(Verb::Read);
    let decided = stage.verdict(&read, &[]);
    let closed = stage.ledger.close_run(stage.who.run, ledger::Ended::Exited, None).unwrap();
    stage.ledger.step_commit();
    let _closed = closed.wait().unwrap();
    let question = stage.question(&read, b"asked", b"sent");
    assert!(stage.gate.intend(&question, &decided, None, Tick(0)).is_err(), "the run is over");
}

#[test]
fn an_outcome_settles_what_its_transaction_did() {
    let stage = Stage::new();
    let read = subject(Verb::Read);
    let decided = stage.verdict(&read, &[]);
    let question = stage.question(&read, b"asked", b"sent");
    let first = stage.gate.intend(&question, &decided, None, Tick(0)).unwrap().seq();
    let second = stage.gate.intend(&question, &decided, None, Tick(0)).unwrap().seq();
    let pending = Outcome { result: "ok", state: "pending", ..Outcome::default() };
    let _pending = stage.gate.outcome(&stage.who, first, pending).unwrap();
    let done = Outcome {
        result: "ok",
        state: "final",
        settles: vec![first],
        settled: Some("committed"),
        ..Outcome::default()
    };
    let receipt = stage.gate.outcome(&stage.who, second, done).unwrap();
    stage.ledger.step_commit();
    let durable = receipt.wait().unwrap();
    let store = Store::on(Arc::new(stage.disk.clone()), Path::new("/data/ledger")).unwrap();
    let mut cursor = store.cursor();
    let entry = std::iter::from_fn(|| cursor.next_entry().unwrap()).find(|e| e.seq == durable.seq()).unwrap();
    let settles = entry.body.get("settles").unwrap().as_array().unwrap();
    assert_eq!(settles.iter().map(|v| v.as_u64().unwrap()).collect::<Vec<_>>(), [first.0]);
    assert_eq!(entry.body.get("settled").unwrap().as_text(), Some("committed"));
}
