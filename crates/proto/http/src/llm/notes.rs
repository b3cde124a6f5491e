//! What every dialect collects while it reads.

use super::{Answer, Call, Prompt, Unreadable};
use crate::limits::*;
use json::{Object, Value};

pub(super) const IMAGE: &str = "an image, which cannot be looked into";
pub(super) const AUDIO: &str = "audio, which cannot be looked into";
pub(super) const FILE: &str = "a file, which cannot be looked into";
pub(super) const FIELD: &str = "a structured field that is not known";
pub(super) const ROLE: &str = "a role that is not known";
pub(super) const BLOCK: &str = "a type of content that is not known";
pub(super) const ITEM: &str = "a type of item that is not known";
pub(super) const TOOL: &str = "a type of tool that is not known";
pub(super) const EVENT: &str = "a type of event that is not known";

pub(super) const NO_TYPE: &str = "a value has no type";
pub(super) const NO_ID: &str = "a call has no id";
pub(super) const NO_NAME: &str = "a call has no name";
pub(super) const NO_RESULT_ID: &str = "the result of a call does not say of which";
pub(super) const NO_TOOL_NAME: &str = "a tool has no name";
pub(super) const NO_ROLE: &str = "a message has no role";

/// What is noticed beside the conversation itself.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) hosted: Vec<String>,
    pub(super) stateful: Vec<&'static str>,
    pub(super) unknown: Option<&'static str>,
}

impl Notes {
    /// The first reason stays.
    pub(super) fn unknown(&mut self, why: &'static str) {
        self.unknown.get_or_insert(why);
    }

    pub(super) fn hosted(&mut self, kind: &str) {
        if !self.hosted.iter().any(|known| known == kind) {
            self.hosted.push(kind.to_owned());
        }
    }

    pub(super) fn stateful(&mut self, field: &'static str) {
        if !self.stateful.contains(&field) {
            self.stateful.push(field);
        }
    }

    pub(super) fn add(&mut self, other: &Notes) {
        other.hosted.iter().for_each(|kind| self.hosted(kind));
        other.unknown.into_iter().for_each(|why| self.unknown(why));
    }
}

impl Prompt {
    /// What the dialects say alike. `structured`: the fields whose arrays and objects are known.
    pub(super) fn begin(body: Object<'_, '_>, structured: &[&str]) -> Result<(Prompt, Notes), Unreadable> {
        let prompt = Prompt {
            model: body.need("model", "the request names no model")?.to_owned(),
            stream: body.flag("stream")?,
            turns: Vec::new(),
            tools: Vec::new(),
            hosted: Vec::new(),
            stateful: Vec::new(),
            unknown: None,
        };
        let mut notes = Notes::default();
        if body.has_structure_beside(structured) {
            notes.unknown(FIELD);
        }
        Ok((prompt, notes))
    }

    pub(super) fn end(self, notes: Notes) -> Prompt {
        Prompt { hosted: notes.hosted, stateful: notes.stateful, unknown: notes.unknown, ..self }
    }

    pub(super) fn tool(&mut self, name: &str) {
        self.tools.push(name.to_owned());
    }
}

impl Answer {
    pub(super) fn end(self, notes: Notes) -> Answer {
        Answer { hosted: notes.hosted, unknown: notes.unknown, ..self }
    }

    /// Takes what `usage` of `body` says under these names; what it does not say stays.
    pub(super) fn usage(
        &mut self,
        body: Object<'_, '_>,
        input: &str,
        output: &str,
    ) -> Result<(), Unreadable> {
        if let Some(usage) = body.object("usage")? {
            self.input_tokens = usage.count(input)?.or(self.input_tokens);
            self.output_tokens = usage.count(output)?.or(self.output_tokens);
        }
        Ok(())
    }
}

/// The tools that a request offers.
pub(super) fn tools<'v, 'a>(body: Object<'v, 'a>, field: &str) -> Result<&'v [Value<'a>], Unreadable> {
    let tools = body.items(field)?;
    match tools.len() > TOOLS_MAX {
        true => Err(Unreadable("the request offers more than 1,024 tools")),
        false => Ok(tools),
    }
}

pub(super) fn add_call(calls: &mut Vec<Call>, call: Call) -> Result<(), Unreadable> {
    calls.push(call);
    match calls.len() > CALLS_MAX {
        true => Err(Unreadable("there are more than 128 calls")),
        false => Ok(()),
    }
}

/// A block's text is a line of its own.
pub(super) fn add_line(text: &mut String, line: &str) {
    if !text.is_empty() && !line.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// What a stream may still say: the text of an answer and its blocks are bounded, however it is cut.
pub(super) struct Room {
    bytes: usize,
    blocks: usize,
}

impl Default for Room {
    fn default() -> Room {
        Room { bytes: LLM_BODY_BYTES_MAX, blocks: BLOCKS_MAX }
    }
}

impl Room {
    /// Appends `piece` to `text`.
    pub(super) fn append(&mut self, text: &mut String, piece: &str) -> Result<(), Unreadable> {
        self.hold(piece)?;
        text.push_str(piece);
        Ok(())
    }

    pub(super) fn hold(&mut self, text: &str) -> Result<(), Unreadable> {
        self.bytes =
            self.bytes.checked_sub(text.len()).ok_or(Unreadable("the answer is longer than 8 MiB"))?;
        Ok(())
    }

    pub(super) fn block(&mut self) -> Result<(), Unreadable> {
        self.blocks = self.blocks.checked_sub(1).ok_or(Unreadable("the answer has more than 4,096 parts"))?;
        Ok(())
    }
}
