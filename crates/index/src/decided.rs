//! What models decided in a run, and what it caused: edges by content, as the gateway compared it when it was asked.

use vocab::Seq;

use crate::record::{Cause, Decision};
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
}

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
    /// orphan.
    pub fn is_orphan(&self, action: &Action) -> bool {
        let before = self.decisions.first().is_some_and(|first| first.issued.seq < action.asked.seq);
        before && action.causes.is_empty() && !self.asks_model(action)
    }

    /// Adds a decision. `asked`: the place of the action whose answer holds it. It comes after every earlier one.
    pub(crate) fn decide(&mut self, decided: Decided, asked: Option<usize>) {
        let seq = decided.issued.seq;
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

    fn place_of_decision(&self, seq: Seq) -> Option<usize> {
        self.decisions.binary_search_by_key(&seq, |decided| decided.issued.seq).ok()
    }
}
