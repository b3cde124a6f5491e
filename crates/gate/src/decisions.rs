//! What models decided: recorded before the agent is given it, and held against what the run asks afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger::{Draft, Kind, Map, Print, Receipt};
use mask::Detectors;
use vocab::{Class, Seq};

use crate::cause::{Said, Shown};
use crate::heard::Voice;
use crate::likeness::{How, Saying};
use crate::limits::PARAMS_MAX;
use crate::planned::{Planned, StepOf};
use crate::question::{Decision, Who};
use crate::story::{Gate, GateError};

impl Gate {
    /// Records a tool call that a model issued in the answer to intent `of`. What carries it out names it from here on.
    /// The answer may leave once a receipt of this or of a later record is durable.
    pub fn decision(&self, who: &Who, of: Seq, decision: &Decision<'_>) -> Result<Receipt, GateError> {
        let detectors = &self.detectors_of(who);
        let (arguments, found) = mask::text(detectors, decision.arguments);
        let key = self.ledger().epoch_key();
        let print = |f: &mask::Finding| {
            Some(key.print(&f.class, decision.arguments.as_bytes().get(f.range.clone())?))
        };
        let prints: BTreeSet<Print> = found.iter().filter_map(print).take(PARAMS_MAX).collect();
        let prints = Some(prints.into_iter().collect::<Vec<Print>>()).filter(|prints| !prints.is_empty());
        let draft = Draft::new(Kind::Decision)
            .run(who.run)
            .session(who.session)
            .of(of)
            .put("n", decision.n)
            .put("model", mask::name(detectors, decision.model))
            .put("tool", mask::name(detectors, decision.tool))
            .put_some("call", decision.call.map(|call| mask::name(detectors, call)))
            .put("arguments", arguments)
            .put_some("step", decision.step.map(step))
            .put_some("told_by", Some(decision.told_by.to_vec()).filter(|told| !told.is_empty()))
            .put_some("prints", prints);
        let at = self.ledger().now();
        let receipt = self.ledger().append(draft)?;
        let told = !decision.told_by.is_empty();
        let step = decision.step.and_then(|step| self.causes().step(who.run, step));
        let step = step.map(|words| mask::name(detectors, &words));
        let shown = Shown { of, tool: mask::name(detectors, decision.tool), step };
        self.causes().decided(who.run, (receipt.seq(), at), decision.call, decision.said, told, shown);
        if let Some(call) = decision.call {
            self.causes().give(who.run, Said::Call, call);
        }
        Ok(receipt)
    }

    /// Records a plan that a model stated in the answer to intent `of`. It is the one that is followed from here on.
    /// Errors and receipt: as [`Gate::decision`].
    pub fn plan(&self, who: &Who, of: Seq, planned: &Planned<'_>) -> Result<Receipt, GateError> {
        let detectors = self.detectors_of(who);
        let one = |(text, status): &(&str, Option<&'static str>)| {
            Map::new().put("text", mask::text(&detectors, text).0).put_some("status", *status)
        };
        let draft = Draft::new(Kind::Plan)
            .run(who.run)
            .session(who.session)
            .of(of)
            .put("form", planned.form)
            .put("steps", planned.steps.iter().map(one).collect::<Vec<Map>>())
            .put_some("more", Some(planned.more).filter(|more| *more > 0))
            .put_some("decision", planned.decision);
        let receipt = self.ledger().append(draft)?;
        self.causes().planned(who.run, receipt.seq(), planned);
        Ok(receipt)
    }

    /// The run is shown a value of a class, by grant: it is found again in what the run tells anybody else. `key`: random bytes, where it
    /// is the first.
    pub fn shows(&self, who: &Who, class: &Class, value: &[u8], key: impl FnOnce() -> [u8; 16]) {
        self.causes().show(who.run, key).remember(class, value);
    }

    /// The detectors for what the run tells somebody else: they know what it was shown.
    pub fn detectors_of(&self, who: &Who) -> Arc<Detectors> {
        match self.causes().shown(who.run) {
            Some(shown) => Arc::new(self.detectors().with(shown)),
            None => self.detectors().clone(),
        }
    }

    /// The step of the run's plan that `text` says, which its model is told in turn `said` (as [`Gate::give`] has it).
    pub fn quoted(&self, who: &Who, said: &str, text: &str) -> Option<StepOf> {
        self.causes().quoted(who.run, said, text)
    }

    /// The step that the run's plan says is in progress.
    pub fn in_progress(&self, who: &Who) -> Option<StepOf> {
        self.causes().in_progress(who.run)
    }

    /// The decision whose tool call has the provider's id `call`.
    pub fn called(&self, who: &Who, call: &str) -> Option<Seq> {
        self.causes().called(who.run, call)
    }

    /// What policy is told of `saying` as `context.decided`: how a decision says it that was not carried out yet, and whether a
    /// tool's result told the model so. `None` where no rule asks.
    pub fn decided(&self, who: &Who, saying: &Saying<'_>) -> Option<(How, bool)> {
        self.reads_decided().then(|| self.causes().unused(who.run, saying, self.ledger().now()))?
    }

    /// Notes that the run was given a part of a conversation, or has shown it to its model; `true` if it was new.
    pub fn give(&self, who: &Who, kind: Said, what: &str) -> bool {
        self.causes().give(who.run, kind, what)
    }

    /// A model of the run is shown a turn for the first time.
    pub fn hear(&self, who: &Who, voice: Voice, text: &str) {
        self.heard().hear(who.run, voice, text);
    }

    /// The decisions of the run whose results said one of `strings` before anybody asked for it.
    pub fn told_by(&self, who: &Who, strings: &[String]) -> Vec<Seq> {
        self.heard().told_by(who.run, strings)
    }

    /// Whether the run was given it.
    pub fn was_given(&self, who: &Who, kind: Said, what: &str) -> bool {
        self.causes().was_given(who.run, kind, what)
    }

    /// Records that a run showed its model something that it was never given. `kind` says what, in a constant.
    pub fn forged(&self, who: &Who, of: Seq, kind: &'static str) -> Result<Receipt, GateError> {
        let draft = Draft::new(Kind::Note).run(who.run).session(who.session).of(of);
        Ok(self.ledger().append(draft.put("what", "forged-history").put("detail", kind))?)
    }
}

fn step(step: StepOf) -> Map {
    Map::new().put("plan", step.plan).put("n", step.step).put("how", step.how.as_str())
}
