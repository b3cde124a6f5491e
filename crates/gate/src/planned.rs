//! The plan that a run's model stated last, and which of its steps is in hand.

use vocab::Seq;

use crate::likeness::{occurrences, plain};
use crate::limits::SAID_BYTES_MIN;

/// A plan that a model stated, as the agent is given it: steps with what the plan says of each.
pub struct Planned<'a> {
    /// The form, a constant.
    pub form: &'static str,
    pub steps: &'a [(&'a str, Option<&'static str>)],
    /// Further steps that are not kept.
    pub more: u64,
    /// The tool call that hands it over, if one does.
    pub decision: Option<Seq>,
}

/// A step of a recorded plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepOf {
    /// The plan's record.
    pub plan: Seq,
    /// From 0.
    pub step: u64,
    pub how: StepHow,
}

/// How it is known that a decision belongs to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepHow {
    /// The plan itself names the call.
    Named,
    /// The request that the decision answers says the step.
    Quoted,
    /// The plan says that the step is in progress.
    Status,
}

impl StepHow {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            StepHow::Named => "named",
            StepHow::Quoted => "quoted",
            StepHow::Status => "status",
        }
    }
}

/// The word of a step that is in hand.
const IN_PROGRESS: &str = "in-progress";

/// The plan that is followed.
pub(crate) struct Current {
    seq: Seq,
    steps: Vec<Box<str>>,
    /// The plan says of its steps how far they are.
    marks: bool,
    in_progress: Option<u64>,
}

impl Current {
    pub(crate) fn new(seq: Seq, planned: &Planned<'_>) -> Current {
        let mut all = planned.steps.iter().zip(0..).filter(|((_, status), _)| *status == Some(IN_PROGRESS));
        let one = all.next().map(|(_, at)| at);
        // Two at once: nobody can tell which.
        let in_progress = one.filter(|_| all.next().is_none());
        let steps = planned.steps.iter().map(|(text, _)| plain(text).into()).collect();
        let marks = planned.steps.iter().any(|(_, status)| status.is_some());
        Current { seq, steps, marks, in_progress }
    }

    /// The words of a step, if it is one of this plan's.
    pub(crate) fn words(&self, step: StepOf) -> Option<&str> {
        let at = usize::try_from(step.step).ok().filter(|_| step.plan == self.seq)?;
        self.steps.get(at).map(|step| &**step)
    }

    pub(crate) fn in_progress(&self) -> Option<StepOf> {
        self.in_progress.map(|step| StepOf { plan: self.seq, step, how: StepHow::Status })
    }

    /// The step that `text` says: the only one, or the one that it says more often than any other, since a framework
    /// shows the whole plan and then the step that is to be done. None of a plan that says itself what is in progress.
    pub(crate) fn quoted(&self, text: &str) -> Option<StepOf> {
        if self.marks {
            return None;
        }
        let text = plain(text);
        let times = |step: &str| if step.len() < SAID_BYTES_MIN { 0 } else { occurrences(&text, step) };
        let mut said: Vec<(usize, u64)> = self.steps.iter().map(|step| times(step)).zip(0..).collect();
        said.sort_unstable_by(|one, two| two.cmp(one));
        let (most, step) = *said.first()?;
        let next = said.get(1).map_or(0, |(times, _)| *times);
        (most > next).then_some(StepOf { plan: self.seq, step, how: StepHow::Quoted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current(steps: &[(&str, Option<&'static str>)]) -> Current {
        Current::new(Seq(7), &Planned { form: "steps", steps, more: 0, decision: None })
    }

    #[test]
    fn the_step_that_is_said_most_is_in_hand() {
        let plan = current(&[("find the order", None), ("refund the order", None), ("tell", None)]);
        let quoted = |text: &str| plan.quoted(text).map(|step| step.step);
        let shown = "For this plan:\n1. find the order\n2. refund  the order\n3. tell\n";
        assert_eq!(quoted(&format!("{shown}You are tasked with step 2, refund the order.")), Some(1));
        assert_eq!(quoted(shown), None, "all alike");
        assert_eq!(quoted("Please refund the order"), Some(1));
        assert_eq!(quoted("Please refund the orders"), None, "other words");
        assert_eq!(quoted("tell tell tell"), None, "too short to tell");
        let marked = current(&[("find the order", Some("done")), ("refund the order", Some("pending"))]);
        assert_eq!(
            marked.quoted("Please refund the order"),
            None,
            "the plan says what is in progress: nothing"
        );
    }

    #[test]
    fn of_two_steps_in_progress_none_is_in_hand() {
        let progress = Some(IN_PROGRESS);
        assert_eq!(current(&[("a", None), ("b", progress)]).in_progress().map(|s| s.step), Some(1));
        assert_eq!(current(&[("a", progress), ("b", progress)]).in_progress(), None);
    }
}
