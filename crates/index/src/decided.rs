//! What models decided in a run, and what it caused: edges by content, as the gateway compared it when it was asked.

use vocab::Seq;

use crate::record::{Cause, Decision, Plan, PlanStep, StepOf, VerbWord};
use crate::run::{Action, Noted, Run};

/// A tool call that a model issued to the run, and the actions that it explains.
#[derive(Clone, Debug)]
pub struct Decided {
    pub session: Option<u64>,
    /// The intent of the request whose answer holds it, as recorded.
    pub of: Option<Seq>,
    pub issued: Noted<Decision>,
    /// Places in [`Run::actions`], sorted. An action that several decisions explain stands with each of them.
    pub actions: Vec<usize>,
    /// The requests that showed its result to a model, by the `seq` of the record that asked, sorted.
    pub shown: Vec<Seq>,
}

/// A plan that a model stated to the run.
#[derive(Clone, Debug)]
pub struct Planned {
    pub session: Option<u64>,
    /// The intent of the request whose answer holds it, as recorded.
    pub of: Option<Seq>,
    pub stated: Noted<Plan>,
    /// Places in [`Run::decisions`] of those that are tied to one of its steps, sorted.
    pub decisions: Vec<usize>,
}

impl Decided {
    pub(crate) fn new(session: Option<u64>, of: Option<Seq>, issued: Noted<Decision>) -> Decided {
        Decided { session, of, issued, actions: Vec::new(), shown: Vec::new() }
    }
}

impl Planned {
    pub(crate) fn new(session: Option<u64>, of: Option<Seq>, stated: Noted<Plan>) -> Planned {
        Planned { session, of, stated, decisions: Vec::new() }
    }

    /// By its own words nothing is left to do.
    fn is_over(&self) -> bool {
        let left = |step: &PlanStep| !matches!(step.status.as_deref(), Some("done" | "dropped"));
        !self.stated.what.steps.iter().any(left)
    }
}

/// Requests of MCP that clients make to know what there is: no model decides them.
const MCP_OWN_ACCORD: [&str; 4] =
    ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];

impl Run {
    /// The decision whose record is `seq`.
    pub fn decision(&self, seq: Seq) -> Option<&Decided> {
        self.decisions.get(self.place_of_decision(seq)?)
    }

    /// Whether an action asked a model: its answer held a decision, or that of another on the same resource did.
    pub fn asks_model(&self, action: &Action) -> bool {
        action.decided
            || self.resource_of(action.session).is_some_and(|resource| self.models.contains(resource))
    }

    /// Whether no decision explains an action, though one had been issued before it. What asks the model itself is no
    /// orphan, nor is what touches nothing (a driver's BEGIN and COMMIT), or what a client of MCP asks of its own accord.
    pub fn is_orphan(&self, action: &Action) -> bool {
        let before = self.decisions.first().is_some_and(|first| first.issued.seq < action.asked.seq);
        let request = action.request();
        let touches = request.touches.iter().any(|touch| touch.verb != VerbWord::Connect);
        let does = touches || !request.functions.is_empty() || request.opaque.is_some();
        let own_accord = request.kind.as_deref().is_some_and(|kind| MCP_OWN_ACCORD.contains(&kind));
        before && does && !own_accord && action.causes.is_empty() && !self.asks_model(action)
    }

    /// The plan whose record is `seq`.
    pub fn plan(&self, seq: Seq) -> Option<&Planned> {
        self.plans.get(self.place_of_plan(seq)?)
    }

    /// The step of a plan of this run that a decision is recorded to belong to.
    pub fn step_of<'a>(&'a self, decided: &'a Decided) -> Option<(&'a Planned, &'a StepOf)> {
        let step = decided.issued.what.step.as_ref()?;
        Some((self.plan(step.plan)?, step))
    }

    /// Whether a decision carries out no step of the plan that was followed when it was issued. Where nothing ties any
    /// decision to the steps of that plan, nobody can tell, and none is; but of a plan that says that all is done.
    pub fn is_off_plan(&self, decided: &Decided) -> bool {
        let seq = decided.issued.seq;
        let before = self.plans.partition_point(|plan| plan.stated.seq < seq);
        let followed = before.checked_sub(1).and_then(|last| self.plans.get(last));
        let states = self.plans.iter().any(|plan| plan.stated.what.decision == Some(seq));
        let followed = followed.is_some_and(|plan| !plan.decisions.is_empty() || plan.is_over());
        followed && !states && self.step_of(decided).is_none()
    }

    /// Adds a plan. `asked`: the place of the action whose answer holds it.
    pub(crate) fn state(&mut self, planned: Planned, asked: Option<usize>) {
        let seq = planned.stated.seq;
        self.answered(asked, seq);
        if let Some(decision) = planned.stated.what.decision
            && self.place_of_decision(decision).is_none()
        {
            self.misfits.push((seq, "it names a decision that the run does not have"));
        }
        self.plans.push(planned);
    }

    /// The request at `asked` was answered by a model, with what record `seq` says.
    fn answered(&mut self, asked: Option<usize>, seq: Seq) {
        match asked.and_then(|at| self.actions.get_mut(at)) {
            Some(action) => {
                action.decided = true;
                action.records.push(seq);
                let session = action.session;
                let resource = self.resource_of(session).cloned();
                self.models.extend(resource);
            }
            None => self.misfits.push((seq, "it is in the answer to nothing that the run asked")),
        }
    }

    /// Notes that the request of record `seq` shows a model the results of `decisions`.
    pub(crate) fn show(&mut self, seq: Seq, decisions: &[Seq]) {
        let mut strange = false;
        for decision in decisions {
            let decided = self.place_of_decision(*decision).and_then(|n| self.decisions.get_mut(n));
            match decided.map(|decided| &mut decided.shown) {
                Some(shown) if shown.last() != Some(&seq) => shown.push(seq),
                Some(_) => {}
                None => strange = true,
            }
        }
        if strange {
            self.misfits.push((seq, "it shows the result of what is no decision of the run before it"));
        }
    }

    /// Adds a decision. `asked`: the place of the action whose answer holds it. It comes after every earlier one.
    pub(crate) fn decide(&mut self, decided: Decided, asked: Option<usize>) {
        let seq = decided.issued.seq;
        self.answered(asked, seq);
        if let Some(step) = &decided.issued.what.step {
            let plan = self.place_of_plan(step.plan).and_then(|n| self.plans.get_mut(n));
            match plan.filter(|plan| (step.n as usize) < plan.stated.what.steps.len()) {
                Some(plan) => plan.decisions.push(self.decisions.len()),
                None => self
                    .misfits
                    .push((seq, "it names as its step what is no step of a plan of the run before it")),
            }
        }
        let earlier = |told: &Seq| self.place_of_decision(*told).is_some();
        if !decided.issued.what.told_by.iter().all(earlier) {
            self.misfits.push((seq, "it repeats the result of what is no decision of the run before it"));
        }
        self.decisions.push(decided);
    }

    /// Ties the action at `at` to the decisions that the record `seq` names. A name of anything but an earlier decision
    /// of this run ties nothing, and is a misfit of that record.
    pub(crate) fn explain(&mut self, at: usize, seq: Seq, causes: Vec<Cause>) {
        let mut strange = false;
        for cause in causes {
            let decided = self.place_of_decision(cause.decision).and_then(|n| self.decisions.get_mut(n));
            let (Some(decided), Some(action)) = (decided, self.actions.get_mut(at)) else {
                strange = true;
                continue;
            };
            // An intent repeats the causes of its ask.
            if let Err(place) = action.causes.binary_search(&cause) {
                action.causes.insert(place, cause);
            }
            if let Err(place) = decided.actions.binary_search(&at) {
                decided.actions.insert(place, at);
            }
        }
        if strange {
            self.misfits.push((seq, "it names as its cause what is no decision of the run before it"));
        }
    }

    fn place_of_plan(&self, seq: Seq) -> Option<usize> {
        self.plans.binary_search_by_key(&seq, |plan| plan.stated.seq).ok()
    }

    fn place_of_decision(&self, seq: Seq) -> Option<usize> {
        self.decisions.binary_search_by_key(&seq, |decided| decided.issued.seq).ok()
    }
}
