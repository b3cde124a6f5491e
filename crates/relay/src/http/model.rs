//! A language model behind the gateway: what a request tells it, and what its answer decides.
//!
//! What leaves for a model is a release too: values that detectors find in a prompt are masked or reported. A tool call in
//! an answer is a decision, recorded before the agent is given it; what carries it out names it (`gate::Gate::decision`).
//! What a run shows its model of a past that it was never given is a `forged-history` note.

use std::collections::HashSet;
use std::sync::Arc;

use gate::{Arguments, Decision, Gate, GateError, Planned, Said, StepHow, StepOf, Voice, Who};
use ledger::Receipt;
use proto_http::llm::{self, Answer, Call, Dialect, Endpoint, Plan, Prompt, Turn};
use proto_http::message::{Request, Target};
use vocab::{Access, Opaque, Seq, Verb};

use super::mcp::Message;
use super::resource::Resource;
use crate::limits::{MODEL_BODY_BYTES_MAX, QUOTED_BYTES_MAX, QUOTES_MAX, SHOWS_MAX};

/// What a request says to a model, or to a server of MCP.
pub(super) enum Spoken {
    /// A turn is asked for.
    Turn(Arc<Conversation>),
    /// A message for a server of MCP.
    Message(Box<Message>),
    /// A stream of a server's messages, or the end of a session.
    Stream(&'static str),
    /// Nothing of a conversation: plain HTTP.
    Plain,
    /// Not known: it needs the permission `opaque`.
    Unknown(&'static str),
    /// It is not what its endpoint takes: status and reason.
    Wrong(u16, &'static str),
}

/// A request for a turn.
pub(super) struct Conversation {
    pub(super) dialect: Dialect,
    pub(super) prompt: Prompt,
    /// What of it the run had not shown yet, as it is recorded.
    pub(super) news: String,
    /// Its turns as they are recorded, and by what they are remembered once they are sent.
    turns: Vec<String>,
    keys: Vec<String>,
    /// What the run was never given, in constants.
    pub(super) forged: Vec<&'static str>,
    /// The decisions whose results it shows for the first time.
    pub(super) shows: Vec<Seq>,
    /// The step of the run's plan that it says.
    step: Option<StepOf>,
}

/// Reads a request to a model, whose body is `body`.
pub(super) fn spoken(gate: &Gate, who: &Who, request: &Request, body: &[u8]) -> Spoken {
    let Target::Origin(origin) = &request.target else {
        return Spoken::Wrong(501, "OPTIONS * is not passed on");
    };
    let dialect = match llm::endpoint(&request.method, &origin.path.segments) {
        Some(Endpoint::Turn(dialect)) => dialect,
        Some(Endpoint::Plain(_)) => return Spoken::Plain,
        None => return Spoken::Unknown("an endpoint of models that is not known"),
    };
    // Some services name the model in the path, whatever the body says.
    if origin.path.segments.iter().any(|segment| matches!(segment.as_str(), "deployments" | "engines")) {
        return Spoken::Unknown("a path that names the model");
    }
    match llm::prompt(dialect, body) {
        Ok(prompt) if !is_name(&prompt.model) => {
            Spoken::Wrong(400, "the model's name is none: letters, digits and . _ : / @ -")
        }
        Ok(prompt) => Spoken::Turn(Arc::new(Conversation::new(gate, who, dialect, prompt))),
        Err(why) => Spoken::Wrong(400, why.0),
    }
}

fn is_name(model: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b);
    (1..=256).contains(&model.len()) && model.bytes().all(good)
}

impl Conversation {
    fn new(gate: &Gate, who: &Who, dialect: Dialect, prompt: Prompt) -> Conversation {
        let mut conversation = Conversation {
            dialect,
            news: format!("model {}", prompt.model),
            turns: prompt.turns.iter().map(written).collect(),
            keys: prompt.turns.iter().map(key).collect(),
            forged: Vec::new(),
            shows: Vec::new(),
            step: None,
            prompt,
        };
        conversation.step = conversation.quoted(gate, who);
        let turns = conversation.prompt.turns.iter().zip(&conversation.turns).zip(&conversation.keys);
        for ((turn, said), key) in turns {
            if !gate.was_given(who, Said::Prompt, key) {
                conversation.news.push_str(" | ");
                conversation.news.push_str(said);
                conversation.forged.extend(forged(gate, who, turn));
                if let Turn::ToolResult { call, .. } = turn {
                    conversation.shows.extend(gate.called(who, call));
                }
            }
        }
        if !conversation.prompt.tools.is_empty() {
            conversation.news.push_str(&format!(" | tools: {}", conversation.prompt.tools.join(", ")));
        }
        conversation.shows.truncate(SHOWS_MAX);
        conversation.forged.sort_unstable();
        conversation.forged.dedup();
        conversation
    }

    /// The step of the plan that is said last: a framework that carries it out tells its model what the step is.
    fn quoted(&self, gate: &Gate, who: &Who) -> Option<StepOf> {
        let turns = self.prompt.turns.iter().zip(&self.keys).rev();
        let told = turns.filter_map(|(turn, said)| match turn {
            Turn::System(text) | Turn::User(text) if text.len() <= QUOTED_BYTES_MAX => Some((said, text)),
            Turn::System(_) | Turn::User(_) | Turn::Assistant { .. } | Turn::ToolResult { .. } => None,
        });
        told.take(QUOTES_MAX).find_map(|(said, text)| gate.quoted(who, said, text))
    }

    /// It is sent: the run has shown it to its model.
    pub(super) fn remember(&self, gate: &Gate, who: &Who) {
        for (turn, key) in self.prompt.turns.iter().zip(&self.keys) {
            if !gate.give(who, Said::Prompt, key) {
                continue;
            }
            match turn {
                Turn::System(text) | Turn::User(text) => gate.hear(who, Voice::Asked, text),
                Turn::ToolResult { call, text } => {
                    let decision = gate.called(who, call);
                    decision.into_iter().for_each(|seq| gate.hear(who, Voice::Result(seq), text));
                }
                Turn::Assistant { .. } => {}
            }
        }
    }

    /// What it does: calls the model, and has the provider do what only the provider sees.
    pub(super) fn accesses(&self, resource: &Resource) -> Vec<Access> {
        let root = &resource.root;
        let access = |verb, on| Access { verb, on, columns: Vec::new() };
        let hosted = self.prompt.hosted.iter();
        let hosted = hosted.map(|tool| access(Verb::Execute, root.join("hosted").join(tool)));
        let state = self.prompt.stateful.iter();
        let state = state.map(|field| access(Verb::Execute, root.join("state").join(field)));
        let mut all = vec![access(Verb::Call, root.join(&self.prompt.model))];
        all.extend(hosted.chain(state));
        all.dedup();
        all
    }

    pub(super) fn opaque(&self) -> Option<Opaque> {
        self.prompt.unknown.map(Opaque)
    }
}

/// A call with what it asks for: another one under the same id is another.
fn known_as(call: &Call) -> String {
    parts(["call", &call.id, &call.name, &call.arguments])
}

/// What tells turns apart: two that read alike in a record may be different ones.
fn key(turn: &Turn) -> String {
    match turn {
        Turn::System(text) => parts(["system", text]),
        Turn::User(text) => parts(["user", text]),
        Turn::Assistant { text, calls, reasoning } => {
            let calls: String = calls.iter().map(known_as).collect();
            parts(["assistant", text, &calls, reasoning])
        }
        Turn::ToolResult { call, text } => parts(["result", call, text]),
    }
}

/// Each with its length, so that none ends in another.
fn parts<const N: usize>(parts: [&str; N]) -> String {
    parts.iter().map(|part| format!("{}:{part}", part.len())).collect()
}

/// Without white space: clients join the parts of a text in ways of their own.
fn unspaced(text: &str) -> String {
    text.split_whitespace().collect()
}

/// A turn on one line.
fn written(turn: &Turn) -> String {
    match turn {
        Turn::System(text) => format!("system: {text}"),
        Turn::User(text) => format!("user: {text}"),
        Turn::Assistant { text, calls, reasoning } => {
            let calls: String = calls.iter().map(|c| format!(" -> {}({})", c.name, c.arguments)).collect();
            let thought =
                if reasoning.is_empty() { String::new() } else { format!(" (thought: {reasoning})") };
            format!("assistant: {text}{calls}{thought}")
        }
        Turn::ToolResult { call, text } => format!("result of {call}: {text}"),
    }
}

/// What of a turn the run was never given.
fn forged(gate: &Gate, who: &Who, turn: &Turn) -> Vec<&'static str> {
    let unknown = |kind, what: &str| !what.is_empty() && !gate.was_given(who, kind, what);
    match turn {
        Turn::System(_) | Turn::User(_) => Vec::new(),
        Turn::Assistant { text, calls, reasoning } => {
            let turn = unknown(Said::Turn, &unspaced(text)).then_some("a turn that no model gave this run");
            let call = calls.iter().any(|call| unknown(Said::Call, &known_as(call)));
            let call = call.then_some("a tool call that no model gave this run");
            let thought = unknown(Said::Turn, &unspaced(reasoning));
            let thought = thought.then_some("reasoning that no model gave this run");
            [turn, call, thought].into_iter().flatten().collect()
        }
        Turn::ToolResult { call, .. } => {
            let forged = unknown(Said::Call, call);
            forged.then_some("a result for a tool call that no model gave this run").into_iter().collect()
        }
    }
}

/// A model's answer, read as it is released.
pub(super) struct Reading {
    dialect: Dialect,
    model: String,
    how: How,
    n: u64,
    calls: Vec<Call>,
    /// Those that are recorded.
    issued: HashSet<String>,
    /// The step of the run's plan that is answered.
    step: Option<StepOf>,
    /// The provider kept it: who reads it again spends no tokens.
    kept: bool,
    /// The plan that the answer's text states.
    stated: Option<Plan>,
    /// What the model says that it thought, and the kinds of what its provider did by itself.
    pub(super) reasoning: String,
    pub(super) hosted: Vec<String>,
    /// Tokens that the provider counted, in and out.
    pub(super) usage: (Option<u64>, Option<u64>),
}

/// The model of a kept answer, where it is not known yet.
const KEPT: &str = "kept";

enum How {
    Whole(Vec<u8>),
    Stream(Box<llm::Stream>),
    Over,
}

impl Reading {
    pub(super) fn new(conversation: &Arc<Conversation>, streams: bool) -> Reading {
        let model = conversation.prompt.model.clone();
        let step = conversation.step;
        Reading { model, step, kept: false, ..Reading::kept(conversation.dialect, streams) }
    }

    /// Of an answer that the provider kept. Which model gave it, it says itself.
    pub(super) fn kept(dialect: Dialect, streams: bool) -> Reading {
        let how = match streams {
            true => How::Stream(Box::new(llm::Stream::new(dialect))),
            false => How::Whole(Vec::new()),
        };
        Reading {
            dialect,
            model: KEPT.to_owned(),
            how,
            n: 0,
            calls: Vec::new(),
            issued: HashSet::new(),
            step: None,
            kept: true,
            stated: None,
            reasoning: String::new(),
            hosted: Vec::new(),
            usage: (None, None),
        }
    }

    /// Takes a piece of the answer as the agent will see it. Errors: why it is not one, a constant sentence.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), &'static str> {
        match &mut self.how {
            How::Whole(whole) if whole.len() + piece.len() > MODEL_BODY_BYTES_MAX => {
                return Err("a model's answer that is larger than the gateway reads");
            }
            How::Whole(whole) => whole.extend_from_slice(piece),
            How::Stream(stream) => {
                let pushed = stream.push(piece).map_err(|why| why.0);
                // Also those that stood before what could not be read.
                self.calls.extend(stream.take_calls());
                pushed?;
            }
            How::Over => {}
        }
        Ok(())
    }

    /// Whether nothing may be released yet: a whole answer is read at its end, and a call that has begun is recorded when it
    /// is whole, before the agent has the last of it.
    pub(super) fn holds(&self) -> bool {
        match &self.how {
            How::Whole(_) => true,
            How::Stream(stream) => stream.has_open_calls(),
            How::Over => false,
        }
    }

    /// What of a streamed answer is not known, so far. A whole one says so at its end, before any of it leaves.
    pub(super) fn unknown(&self) -> Option<&'static str> {
        match &self.how {
            How::Stream(stream) => stream.unknown(),
            How::Whole(_) | How::Over => None,
        }
    }

    /// Policy permits what is not understood: nothing more is read.
    pub(super) fn give_up(&mut self) {
        self.how = How::Over;
    }

    /// The answer is over. Errors: as [`Reading::push`]; what of it is not known is opaque.
    pub(super) fn finish(&mut self, gate: &Gate, who: &Who) -> Result<(), &'static str> {
        let answer: Answer = match std::mem::replace(&mut self.how, How::Over) {
            How::Whole(whole) => {
                let mut answer = llm::answer(self.dialect, &whole).map_err(|why| why.0)?;
                self.calls.append(&mut answer.calls);
                answer
            }
            How::Stream(mut stream) => {
                let open = stream.has_open_calls();
                self.calls.extend(stream.take_calls());
                let answer = stream.finish().map_err(|why| why.0)?;
                // Chat says no end of a call but that of its choice, which comes with the last event.
                if open && matches!(answer.finish.as_deref(), Some("error" | "failed")) {
                    return Err("a tool call that the model's provider broke off");
                }
                // What only the last event closed.
                let (issued, taken) = (&self.issued, &self.calls);
                let new = |call: &&Call| !issued.contains(&known_as(call)) && !taken.contains(call);
                let last: Vec<Call> = answer.calls.iter().filter(new).cloned().collect();
                self.calls.extend(last);
                answer
            }
            How::Over => return Ok(()),
        };
        if !answer.text.is_empty() {
            gate.give(who, Said::Turn, &unspaced(&answer.text));
        }
        if !answer.reasoning.is_empty() {
            gate.give(who, Said::Turn, &unspaced(&answer.reasoning));
        }
        if self.n == 0 && self.calls.is_empty() {
            self.stated = Plan::of_text(&answer.text);
        }
        if !self.kept {
            self.usage = (answer.input_tokens, answer.output_tokens);
        } else if is_name(&answer.model) {
            self.model = answer.model;
        }
        (self.reasoning, self.hosted) = (answer.reasoning, answer.hosted);
        match answer.unknown {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    /// Records the decisions that are complete, and plans. What is released after them waits for a later record, and so for
    /// these.
    pub(super) fn decide(&mut self, gate: &Gate, who: &Who, of: Seq) -> Result<(), GateError> {
        if let Some(plan) = self.stated.take() {
            let seq = stated(gate, who, of, &plan, None)?;
            for (call, step) in plan.steps.iter().zip(0..).filter_map(|(s, n)| Some((s.call.as_ref()?, n))) {
                self.record(gate, who, of, call, Some(StepOf { plan: seq, step, how: StepHow::Named }))?;
            }
        }
        for call in std::mem::take(&mut self.calls) {
            let plan = Plan::of_call(&call);
            let step = || self.step.or_else(|| gate.in_progress(who));
            // Who plans carries nothing out.
            let step = if plan.is_some() { None } else { step() };
            let decision = self.record(gate, who, of, &call, step)?;
            if let Some(plan) = &plan {
                stated(gate, who, of, plan, Some(decision))?;
            }
            let known = known_as(&call);
            gate.give(who, Said::Call, &known);
            self.issued.insert(known);
        }
        Ok(())
    }

    fn record(
        &mut self,
        gate: &Gate,
        who: &Who,
        of: Seq,
        call: &Call,
        step: Option<StepOf>,
    ) -> Result<Seq, GateError> {
        // The call itself too: a server of MCP is asked for it in the same words.
        let (spelled, members) = (call.spelled(), call.members());
        let strings: Vec<String> = spelled.iter().cloned().chain(call.strings()).collect();
        let (scalars, names) = call.words();
        let said = Arguments {
            tool: &call.name,
            spelled: spelled.as_deref(),
            members: members.as_deref(),
            strings: &strings,
            scalars: &scalars,
            names: &names,
        };
        let told_by = gate.told_by(who, &call.strings());
        let decision = Decision {
            n: self.n,
            model: &self.model,
            tool: &call.name,
            call: Some(call.id.as_str()).filter(|id| !id.is_empty()),
            arguments: &call.arguments,
            said,
            step,
            told_by: &told_by,
        };
        self.n += 1;
        let covered_by_the_next: Receipt = gate.decision(who, of, &decision)?;
        Ok(covered_by_the_next.seq())
    }
}

fn stated(gate: &Gate, who: &Who, of: Seq, plan: &Plan, decision: Option<Seq>) -> Result<Seq, GateError> {
    let steps: Vec<(&str, Option<&'static str>)> =
        plan.steps.iter().map(|step| (step.text.as_str(), step.status.map(llm::Status::as_str))).collect();
    let planned = Planned { form: plan.form.as_str(), steps: &steps, more: plan.more, decision };
    let covered_by_the_next: Receipt = gate.plan(who, of, &planned)?;
    Ok(covered_by_the_next.seq())
}
