//! What a run's models decided, and which of it an action carries out.
//!
//! A decision's arguments are kept in memory, and never written: an action that says them again is held against them
//! when it is asked. What is recorded is the edge. Order and time alone make none: an action that says nothing of any
//! decision is an orphan, and analysts want to see it.
//!
//! Beside that: what a run was given by its models, so that history which it makes up is noticed.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mask::{MaskedText, Taint};
use vocab::{RunId, Seq, WallTime};

use crate::likeness::{Argued, Arguments, Asked, Asking, How, Likeness, Saying, Span, plain};
use crate::limits::{
    CAUSES_MAX, DECISION_BYTES_PER_RUN_MAX, DECISION_NANOS, DECISIONS_PER_RUN_MAX, GIVEN_PER_RUN_MAX,
    USES_PER_RUN_MAX,
};
use crate::planned::{Current, Planned, StepOf};

/// What of a conversation a run may say that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// A tool call, by its id.
    Call,
    /// A turn of the model's, by its text.
    Turn,
    /// A turn that the gateway has seen on its way to the model.
    Prompt,
}

/// What all runs were given.
pub(crate) struct Causes {
    runs: Mutex<HashMap<RunId, Arc<Mutex<Given>>>>,
    hash: RandomState,
}

#[derive(Default)]
struct Given {
    decisions: VecDeque<Decided>,
    bytes: usize,
    /// Hashes of the provider's ids of calls, and the decisions that they are.
    calls: HashMap<u64, Seq>,
    plan: Option<Current>,
    shown: Option<Arc<Taint>>,
    /// What was carried out, by decision and hash of what was asked, in order.
    used: VecDeque<(Seq, u64)>,
    /// What the run was given, each with its number.
    known: HashMap<u64, u64>,
    order: VecDeque<u64>,
    next: u64,
    /// The number of what came first after the plan.
    planned_at: u64,
}

struct Decided {
    seq: Seq,
    /// When it was recorded.
    at: WallTime,
    /// A tool's result holds its words, and no person's do.
    told: bool,
    call: Option<u64>,
    argued: Argued,
    shown: Shown,
}

/// A decision as an approver of what carries it out sees it, masked.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The record of the request to the model.
    pub(crate) of: Seq,
    pub(crate) tool: MaskedText,
    /// The words of the plan's step that it belongs to.
    pub(crate) step: Option<MaskedText>,
}

/// A decision of a model's that what is asked carries out, as an approver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    /// The decision's record, and that of the request to the model.
    pub decision: Seq,
    pub asked: Seq,
    pub tool: MaskedText,
    /// The words of the plan's step that it belongs to.
    pub step: Option<MaskedText>,
    /// A tool's result said so, before anybody asked for it.
    pub told: bool,
}

/// A decision that explains what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) decision: Seq,
    pub(crate) how: How,
    /// How much of it says the same, in percent; 100 but for [`How::Like`].
    pub(crate) percent: u8,
    pub(crate) span: Option<Span>,
    pub(crate) told: bool,
}

impl Causes {
    pub(crate) fn new() -> Causes {
        Causes { runs: Mutex::default(), hash: RandomState::new() }
    }

    /// A decision was recorded, with what its arguments say.
    pub(crate) fn decided(
        &self,
        run: RunId,
        (seq, at): (Seq, WallTime),
        call: Option<&str>,
        arguments: Arguments<'_>,
        told: bool,
        shown: Shown,
    ) {
        let call = call.map(|call| self.hash.hash_one(call));
        let decided = Decided { seq, at, told, call, argued: Argued::new(arguments), shown };
        let given = self.run(run);
        let mut given = lock(&given);
        given.bytes += decided.argued.bytes();
        given.calls.extend(call.map(|call| (call, seq)));
        given.decisions.push_back(decided);
        let full = |given: &Given| {
            given.decisions.len() > DECISIONS_PER_RUN_MAX || given.bytes > DECISION_BYTES_PER_RUN_MAX
        };
        while full(&given)
            && let Some(oldest) = given.decisions.pop_front()
        {
            given.bytes -= oldest.argued.bytes();
            given.used.retain(|(decision, _)| *decision != oldest.seq);
            let newer = |call: &u64| given.calls.get(call) != Some(&oldest.seq);
            if let Some(call) = oldest.call.filter(|call| !newer(call)) {
                given.calls.remove(&call);
            }
        }
    }

    /// The decision whose call has this id of the provider's.
    pub(crate) fn called(&self, run: RunId, call: &str) -> Option<Seq> {
        let given = lock(&self.runs).get(&run).cloned()?;
        lock(&given).calls.get(&self.hash.hash_one(call)).copied()
    }

    /// The decisions that `saying` carries out, newest first: those that say it best, and all of them if it cannot be told
    /// which.
    pub(crate) fn of(&self, run: RunId, saying: &Saying<'_>) -> Vec<Cause> {
        let Some(given) = lock(&self.runs).get(&run).cloned() else { return Vec::new() };
        let given = lock(&given);
        let mut all = given.explaining(saying);
        all.truncate(CAUSES_MAX);
        all
    }

    /// The same, as an approver sees them. `None`: no model has decided anything in this run.
    pub(crate) fn because(&self, run: RunId, saying: &Saying<'_>) -> Option<Vec<Because>> {
        let given = lock(&self.runs).get(&run).cloned()?;
        let given = lock(&given);
        if given.decisions.is_empty() {
            return None;
        }
        let explaining = given.explaining(saying);
        let of = |cause: &Cause| given.decisions.iter().find(|decided| decided.seq == cause.decision);
        let because = |decided: &Decided| Because {
            decision: decided.seq,
            asked: decided.shown.of,
            tool: decided.shown.tool.clone(),
            step: decided.shown.step.clone(),
            told: decided.told,
        };
        Some(explaining.iter().take(CAUSES_MAX).filter_map(of).map(because).collect())
    }

    /// The words of a step of the plan that is followed.
    pub(crate) fn step(&self, run: RunId, step: StepOf) -> Option<String> {
        let given = lock(&self.runs).get(&run).cloned()?;
        lock(&given).plan.as_ref()?.words(step).map(str::to_owned)
    }

    /// How a decision that was not used for the same, and is not older than [`DECISION_NANOS`], says `saying`; the
    /// strongest.
    pub(crate) fn unused(&self, run: RunId, saying: &Saying<'_>, now: WallTime) -> Option<(How, bool)> {
        let given = lock(&self.runs).get(&run).cloned()?;
        let hash = self.of_what(saying);
        let given = lock(&given);
        let unused = given.recent(saying, now).into_iter().find(|cause| given.is_unused(cause, hash));
        unused.map(|cause| (cause.how, cause.told))
    }

    /// Uses the oldest decision that is unused for the same, of those that [`Causes::unused`] goes by; `false` if there is
    /// none.
    pub(crate) fn use_up(&self, run: RunId, saying: &Saying<'_>, now: WallTime) -> bool {
        let given = self.run(run);
        let hash = self.of_what(saying);
        let mut given = lock(&given);
        let unused = given.recent(saying, now).into_iter().rfind(|cause| given.is_unused(cause, hash));
        // A use that could not be remembered could be made again.
        let unused = unused.filter(|_| given.used.len() < USES_PER_RUN_MAX);
        given.used.extend(unused.map(|cause| (cause.decision, hash)));
        unused.is_some()
    }

    /// The values that the run was shown by grant.
    pub(crate) fn shown(&self, run: RunId) -> Option<Arc<Taint>> {
        let given = lock(&self.runs).get(&run).cloned()?;
        lock(&given).shown.clone()
    }

    /// The same, begun under `key` if there is none yet.
    pub(crate) fn show(&self, run: RunId, key: impl FnOnce() -> [u8; 16]) -> Arc<Taint> {
        let given = self.run(run);
        let mut given = lock(&given);
        given.shown.get_or_insert_with(|| Arc::new(Taint::new(key()))).clone()
    }

    /// A plan was recorded: it is the one that is followed.
    pub(crate) fn planned(&self, run: RunId, seq: Seq, planned: &Planned<'_>) {
        let given = self.run(run);
        let mut given = lock(&given);
        given.planned_at = given.next;
        given.plan = Some(Current::new(seq, planned));
    }

    /// The step that `text` says, of a turn `said` that the model was not shown before the plan: what was asked first may
    /// well be in the words of a step.
    pub(crate) fn quoted(&self, run: RunId, said: &str, text: &str) -> Option<StepOf> {
        let given = lock(&self.runs).get(&run).cloned()?;
        let hash = self.hash.hash_one((Said::Prompt, plain(said)));
        let given = lock(&given);
        let before = given.known.get(&hash).is_some_and(|number| *number < given.planned_at);
        given.plan.as_ref().filter(|_| !before)?.quoted(text)
    }

    /// The step that the plan says is in progress.
    pub(crate) fn in_progress(&self, run: RunId) -> Option<StepOf> {
        let given = lock(&self.runs).get(&run).cloned()?;
        lock(&given).plan.as_ref()?.in_progress()
    }

    /// Notes that a run was given `what`; `true` if it was new.
    pub(crate) fn give(&self, run: RunId, kind: Said, what: &str) -> bool {
        let hash = self.hash.hash_one((kind, plain(what)));
        let given = self.run(run);
        let mut given = lock(&given);
        if given.known.contains_key(&hash) {
            return false;
        }
        let number = given.next;
        given.known.insert(hash, number);
        given.next += 1;
        given.order.push_back(hash);
        if given.order.len() > GIVEN_PER_RUN_MAX
            && let Some(oldest) = given.order.pop_front()
        {
            given.known.remove(&oldest);
        }
        true
    }

    /// Whether a run was given `what`.
    pub(crate) fn was_given(&self, run: RunId, kind: Said, what: &str) -> bool {
        let hash = self.hash.hash_one((kind, plain(what)));
        let given = lock(&self.runs).get(&run).cloned();
        given.is_some_and(|given| lock(&given).known.contains_key(&hash))
    }

    /// What is carried out of a decision. A text has many statements; a request or a call is one, in whatever spelling.
    fn of_what(&self, saying: &Saying<'_>) -> u64 {
        let statement = match saying.asking {
            Asking::Statement => Some(plain(saying.text)),
            Asking::Request(_) | Asking::Call => None,
        };
        self.hash.hash_one(statement)
    }

    pub(crate) fn forget(&self, run: RunId) {
        lock(&self.runs).remove(&run);
    }

    /// A run's own: what is compared for one run holds up no other.
    fn run(&self, run: RunId) -> Arc<Mutex<Given>> {
        lock(&self.runs).entry(run).or_default().clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Given {
    /// Those that say it best, newest first.
    fn explaining(&self, saying: &Saying<'_>) -> Vec<Cause> {
        self.saying_best(saying, |_| true)
    }

    /// The same of those that still count for policy.
    fn recent(&self, saying: &Saying<'_>, now: WallTime) -> Vec<Cause> {
        self.saying_best(saying, |decided| now.0.saturating_sub(decided.at.0) <= DECISION_NANOS)
    }

    fn saying_best(&self, saying: &Saying<'_>, counts: impl Fn(&Decided) -> bool) -> Vec<Cause> {
        if self.decisions.is_empty() {
            return Vec::new();
        }
        let asked = Asked::new(saying);
        let cause = |decided: &Decided| {
            let Likeness { how, percent, span } = decided.argued.compare(&asked)?;
            Some(Cause { decision: decided.seq, how, percent, span, told: decided.told })
        };
        let mut all: Vec<Cause> =
            self.decisions.iter().rev().filter(|decided| counts(decided)).filter_map(cause).collect();
        let rank = |cause: &Cause| (cause.how, 100 - cause.percent);
        let best = all.iter().map(rank).min();
        all.retain(|cause| Some(rank(cause)) == best);
        all
    }

    fn is_unused(&self, cause: &Cause, hash: u64) -> bool {
        !self.used.contains(&(cause.decision, hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId([1; 16]);

    fn saying<'a>(text: &'a str, action: &'a vocab::Action) -> Saying<'a> {
        Saying { text, values: Vec::new(), unsaid: false, action, asking: Asking::Statement }
    }

    fn of(causes: &Causes, run: RunId, text: &str) -> Vec<(u64, &'static str)> {
        let causes = causes.of(run, &saying(text, &vocab::Action::default()));
        causes.into_iter().map(|cause| (cause.decision.0, cause.how.as_str())).collect()
    }

    fn shown() -> Shown {
        let step = Some(MaskedText::constant("refund the order"));
        Shown { of: Seq(90), tool: MaskedText::constant("run_sql"), step }
    }

    #[test]
    fn an_approver_sees_what_was_decided_or_that_nothing_was() {
        let causes = causes(&[&["DELETE FROM orders"], &["SELECT 1, 2, 3"]]);
        let action = vocab::Action::default();
        let because = |run: RunId, text: &str| causes.because(run, &saying(text, &action));
        let all = because(RUN, "DELETE FROM orders").unwrap();
        assert_eq!(all.len(), 1);
        let Because { decision, asked, tool, step, told } = &all[0];
        assert_eq!((*decision, *asked, tool.as_str(), *told), (Seq(0), Seq(90), "run_sql", false));
        assert_eq!(step.as_ref().map(MaskedText::as_str), Some("refund the order"));
        assert_eq!(because(RUN, "DROP TABLE orders"), Some(Vec::new()));
        assert_eq!(because(RunId([2; 16]), "DELETE FROM orders"), None);
    }

    fn causes(decisions: &[&[&str]]) -> Causes {
        let causes = Causes::new();
        for (n, strings) in decisions.iter().enumerate() {
            let strings: Vec<String> = strings.iter().map(|s| (*s).to_owned()).collect();
            let arguments = Arguments { strings: &strings, ..Arguments::default() };
            let call = format!("call_{n}");
            causes.decided(RUN, (Seq(n as u64), WallTime(0)), Some(&call), arguments, false, shown());
        }
        causes
    }

    #[test]
    fn an_action_is_held_against_what_was_decided() {
        let causes = causes(&[
            &["SELECT id FROM orders\n  WHERE id = 3;"],
            &["DELETE FROM orders; DROP TABLE orders"],
            &["invoice-2041", "x", "customer", "order 3 is"],
        ]);
        let of = |said: &str| of(&causes, RUN, said);
        assert_eq!(of("SELECT id FROM orders WHERE id = 3"), [(0, "same")]);
        assert_eq!(of("DROP TABLE orders"), [(1, "part")]);
        assert_eq!(of("/invoices/invoice-2041?x=1"), [(2, "holds")]);
        assert_eq!(of("SELECT 1"), []);
        for no in [
            "SELECT count(*) FROM customers",
            "SELECT customer FROM t",
            "/invoices/xinvoice-20411",
            "border 3 isa",
        ] {
            assert_eq!(of(no), [], "{no}");
        }
        let other = super::tests::of(&causes, RunId([2; 16]), "DROP TABLE orders");
        assert_eq!(other, [], "another run's decision explains nothing");
    }

    #[test]
    fn where_both_say_the_same_is_told() {
        let causes = causes(&[
            &["SELECT id FROM orders\n  WHERE id = 3;"],
            &["DELETE FROM orders;  DROP TABLE orders"],
            &["invoice-2041", "run(\"SELECT note FROM orders\")"],
        ]);
        let span = |text: &str| {
            let span = causes.of(RUN, &saying(text, &vocab::Action::default()))[0].span.unwrap();
            (span.of.as_str(), span.from, span.to, span.bytes)
        };
        assert_eq!(span("SELECT id  FROM orders WHERE id = 3"), ("asked", 0, 34, 34));
        // White space counts once.
        assert_eq!(span("DROP TABLE orders"), ("decided", 20, 37, 37));
        assert_eq!(span("/invoices/invoice-2041?x=1"), ("asked", 10, 22, 26));
        assert_eq!(span("SELECT note FROM orders"), ("decided", 5, 28, 30));
    }

    #[test]
    fn which_of_two_alike_it_was_is_not_guessed_and_a_better_one_stands_alone() {
        let causes = causes(&[&["SELECT 1, 2, 3"], &["SELECT 1, 2, 3"], &["SELECT 1, 2, 3, 4"]]);
        assert_eq!(of(&causes, RUN, "SELECT 1, 2, 3"), [(1, "same"), (0, "same")]);
    }

    #[test]
    fn a_decision_is_used_once_for_the_same() {
        let causes = causes(&[&["SELECT 1, 2, 3"], &["SELECT 1, 2, 3"], &["DELETE FROM a; DELETE FROM b"]]);
        let action = vocab::Action::default();
        let use_up = |text: &str| causes.use_up(RUN, &saying(text, &action), WallTime(0));
        let unused = |text: &str| causes.unused(RUN, &saying(text, &action), WallTime(0));
        assert!(use_up("SELECT 1, 2, 3;") && use_up("SELECT  1, 2, 3"), "two decisions, two uses");
        assert!(!use_up("SELECT 1, 2, 3") && unused("SELECT 1, 2, 3").is_none());
        assert_eq!(unused("DELETE FROM a"), Some((How::Part, false)));
        assert!(use_up("DELETE FROM a") && use_up("DELETE FROM b"), "each of its statements once");
        assert!(!use_up("DELETE FROM a") && !use_up("DELETE FROM c"));
    }

    #[test]
    fn a_decision_counts_for_a_quarter_of_an_hour_and_explains_for_longer() {
        let causes = causes(&[&["SELECT 1, 2, 3"]]);
        let action = vocab::Action::default();
        let asked = saying("SELECT 1, 2, 3", &action);
        let (last, late) = (WallTime(DECISION_NANOS), WallTime(DECISION_NANOS + 1));
        assert_eq!(causes.unused(RUN, &asked, last), Some((How::Same, false)));
        assert_eq!(causes.unused(RUN, &asked, late), None);
        assert!(!causes.use_up(RUN, &asked, late) && causes.use_up(RUN, &asked, last));
        assert_eq!(of(&causes, RUN, "SELECT 1, 2, 3"), [(0, "same")]);
    }

    #[test]
    fn a_step_is_quoted_by_what_is_said_after_the_plan() {
        let causes = Causes::new();
        let steps = [("refund the order", None), ("write to its customer", None)];
        causes.give(RUN, Said::Prompt, "user: refund the order");
        causes.planned(RUN, Seq(3), &Planned { form: "steps", steps: &steps, more: 0, decision: None });
        let quoted = |text: &str| causes.quoted(RUN, &format!("user: {text}"), text).map(|step| step.step);
        assert_eq!(quoted("refund the order"), None, "the task");
        assert_eq!(quoted("now refund the order"), Some(0));
        causes.give(RUN, Said::Prompt, "user: now refund the order");
        assert_eq!(quoted("now refund the order"), Some(0), "it is shown again with the tool's result");
    }

    #[test]
    fn a_call_is_known_by_its_id() {
        let causes = causes(&[&["SELECT 1, 2, 3"]]);
        assert_eq!(causes.called(RUN, "call_0"), Some(Seq(0)));
        assert_eq!(causes.called(RUN, "call_1"), None);
        assert_eq!(causes.called(RunId([2; 16]), "call_0"), None);
    }

    #[test]
    fn what_a_run_was_not_given_is_noticed() {
        let causes = Causes::new();
        assert!(causes.give(RUN, Said::Call, "call_1") && !causes.give(RUN, Said::Call, "call_1"));
        assert!(causes.was_given(RUN, Said::Call, "call_1"));
        assert!(!causes.was_given(RUN, Said::Turn, "call_1"));
        causes.forget(RUN);
        assert!(!causes.was_given(RUN, Said::Call, "call_1"));
    }

    #[test]
    fn memory_is_bounded() {
        let causes = Causes::new();
        for n in 0..2 * DECISIONS_PER_RUN_MAX as u64 {
            let strings = ["y".repeat(10 << 10)];
            let arguments = Arguments { strings: &strings, ..Arguments::default() };
            let call = format!("call_{n}");
            causes.decided(RUN, (Seq(n), WallTime(0)), Some(&call), arguments, false, shown());
            let action = vocab::Action::default();
            assert!(causes.use_up(RUN, &saying(&strings[0], &action), WallTime(0)));
        }
        let given = causes.run(RUN);
        let given = lock(&given);
        assert_eq!(given.calls.len(), given.decisions.len());
        assert!(given.used.len() <= USES_PER_RUN_MAX);
        assert!(given.bytes <= DECISION_BYTES_PER_RUN_MAX);
        assert!(given.decisions.len() <= DECISIONS_PER_RUN_MAX);
    }
}
