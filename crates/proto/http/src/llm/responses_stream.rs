//! OpenAI Responses, streamed: every item is said three times, in pieces, whole, and with the response at the end.
//! All three must say the same.

use super::notes::*;
use super::responses::{self, Output};
use super::{Answer, Call, Unreadable};
use crate::limits::CALL_ARGUMENTS_BYTES_MAX;
use json::Object;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Events that tell how a call is getting on which the provider carries out, or say piecewise what an item says whole.
const PROGRESS: &[&str] = &[
    "response.apply_patch_call_operation_diff.",
    "response.code_interpreter_call.",
    "response.code_interpreter_call_code.",
    "response.compaction.",
    "response.file_search_call.",
    "response.image_generation_call.",
    "response.mcp_call.",
    "response.mcp_call_arguments.",
    "response.mcp_list_tools.",
    "response.shell_call_command.",
    "response.shell_call_output_content.",
    "response.web_search_call.",
];

/// A streamed answer, as far as it has come.
#[derive(Default)]
pub(super) struct Parts {
    answer: Option<Answer>,
    notes: Notes,
    model: String,
    /// How items began that are not whole yet.
    begun: BTreeMap<u64, Begun>,
    /// Texts of such items by part, as far as they have come.
    texts: BTreeMap<(u64, u64), String>,
    /// Arguments of such items.
    arguments: BTreeMap<u64, String>,
    pieces: Room,
    /// Items that are whole.
    items: BTreeMap<u64, Output>,
    wholes: Room,
    ready: Vec<Call>,
}

/// What a client may have taken from the first event of an item.
#[derive(PartialEq, Eq)]
struct Begun {
    kind: String,
    call: String,
    name: String,
}

impl Parts {
    /// Whether this was the last event.
    pub(super) fn push(&mut self, kind: &str, event: Object<'_, '_>) -> Result<bool, Unreadable> {
        match kind {
            "response.created" | "response.queued" | "response.in_progress" => self.begin(event)?,
            "response.output_text.delta" | "response.refusal.delta" => self.text(event)?,
            "response.output_text.done" => self.text_done(event, "text")?,
            "response.refusal.done" => self.text_done(event, "refusal")?,
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.arguments(event)?;
            }
            "response.function_call_arguments.done" => self.arguments_done(event, "arguments")?,
            "response.custom_tool_call_input.done" => self.arguments_done(event, "input")?,
            "response.content_part.done" => self.part_done(event)?,
            "response.output_item.added" => self.item_begins(event)?,
            "response.output_item.done" => self.item(event)?,
            "response.completed" | "response.incomplete" | "response.failed" => self.end(kind, event)?,
            "error" => self.error(),
            // Whole in the item's own event; these say nothing that a client may act on.
            "response.content_part.added"
            | "response.output_text.annotation.added"
            | "response.reasoning_summary_part.added"
            | "response.reasoning_summary_part.done"
            | "response.reasoning_summary_text.delta"
            | "response.reasoning_summary_text.done"
            | "response.reasoning_text.delta"
            | "response.reasoning_text.done"
            | "keepalive" => {}
            kind if kind.starts_with("response.audio.") => self.notes.unknown(AUDIO),
            kind if PROGRESS.iter().any(|known| kind.starts_with(known)) => {}
            _ => self.notes.unknown(EVENT),
        }
        Ok(self.answer.is_some())
    }

    pub(super) fn ready(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.ready)
    }

    pub(super) fn unknown(&self) -> Option<&'static str> {
        let of_items = || self.items.values().find_map(|item| item.notes.unknown);
        self.notes.unknown.or_else(of_items).or(self.answer.as_ref().and_then(|answer| answer.unknown))
    }

    pub(super) fn has_open_calls(&self) -> bool {
        !self.arguments.is_empty()
            || self.begun.values().any(|begun| !matches!(&*begun.kind, "message" | "reasoning"))
    }

    pub(super) fn finish(self) -> Result<Answer, Unreadable> {
        let mut answer = self.answer.ok_or(Unreadable("the stream ended before the answer did"))?;
        let mut notes = Notes { hosted: answer.hosted, unknown: answer.unknown, ..Notes::default() };
        notes.add(&self.notes);
        answer.hosted = Vec::new();
        Ok(answer.end(notes))
    }

    fn begin(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let response = event.object("response")?.ok_or(NO_RESPONSE)?;
        self.model = response.text_or_empty("model")?.to_owned();
        // Items come in events of their own.
        if !response.items("output")?.is_empty() {
            self.notes.unknown(ITEM);
        }
        Ok(())
    }

    fn text(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let place = self.place(event)?;
        let text = open(&mut self.texts, place, &mut self.pieces)?;
        self.pieces.append(text, event.text_or_empty("delta")?)
    }

    fn text_done(&mut self, event: Object<'_, '_>, field: &str) -> Result<(), Unreadable> {
        let place = self.place(event)?;
        whole(&mut self.texts, place, event.text_or_empty(field)?, &mut self.pieces)
    }

    fn part_done(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let part = event.object("part")?.ok_or(Unreadable("an event has no part"))?;
        let field = match part.text("type")? {
            Some("output_text") => "text",
            Some("refusal") => "refusal",
            // Reasoning, or what the item's own event will show.
            _ => return Ok(()),
        };
        let place = self.place(event)?;
        whole(&mut self.texts, place, part.text_or_empty(field)?, &mut self.pieces)
    }

    fn arguments(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let index = self.open_item(event)?;
        let arguments = open(&mut self.arguments, index, &mut self.pieces)?;
        self.pieces.append(arguments, event.text_or_empty("delta")?)?;
        match arguments.len() > CALL_ARGUMENTS_BYTES_MAX {
            true => Err(Unreadable("the arguments of a call are longer than 1 MiB")),
            false => Ok(()),
        }
    }

    fn arguments_done(&mut self, event: Object<'_, '_>, field: &str) -> Result<(), Unreadable> {
        let index = self.open_item(event)?;
        whole(&mut self.arguments, index, event.text_or_empty(field)?, &mut self.pieces)
    }

    fn item_begins(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let index = self.open_item(event)?;
        self.pieces.block()?;
        let begun = Begun::of(event.object("item")?.ok_or(NO_ITEM)?)?;
        [&begun.kind, &begun.call, &begun.name].into_iter().try_for_each(|text| self.pieces.hold(text))?;
        match self.begun.insert(index, begun) {
            None => Ok(()),
            Some(_) => Err(Unreadable("an item begins twice")),
        }
    }

    /// An item is whole. What came of it in pieces must be the same.
    fn item(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let index = self.open_item(event)?;
        let item = event.object("item")?.ok_or(NO_ITEM)?;
        let output = Output::of(item)?;
        let parts: Vec<&str> =
            self.texts.range((index, 0)..=(index, u64::MAX)).map(|(_, text)| &**text).collect();
        let arguments = match item.text("type")? {
            Some("custom_tool_call") => item.text_or_empty("input")?,
            Some("function_call") => item.text_or_empty("arguments")?,
            // Of other types no pieces are kept; `arguments` may be an object.
            _ => "",
        };
        let agrees = (parts.is_empty() || parts.concat() == output.text)
            && self.arguments.remove(&index).is_none_or(|pieces| pieces == arguments)
            && self.begun.remove(&index).map_or(Ok(true), |begun| Begun::of(item).map(|end| begun == end))?;
        if !agrees {
            return Err(CONTRADICTION);
        }
        self.texts.retain(|(item, _), _| *item != index);
        self.wholes.block()?;
        let texts = output.calls.iter().map(|call| &call.arguments).chain([&output.text, &output.reasoning]);
        texts.into_iter().try_for_each(|text| self.wholes.hold(text))?;
        self.ready.extend(output.calls.iter().cloned());
        self.items.insert(index, output);
        Ok(())
    }

    /// The response at the end is the truth, and must say what was said before it. One that failed may leave it out.
    fn end(&mut self, kind: &str, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let response = event.object("response")?.ok_or(NO_RESPONSE)?;
        let items = std::mem::take(&mut self.items);
        let mut said = Output::default();
        items.into_values().try_for_each(|item| said.add(item))?;
        let leaves_out = response.items("output")?.is_empty();
        if kind == "response.failed" && leaves_out {
            self.answer = Some(said.answer(response)?);
            return Ok(());
        }
        let truth = responses::answer(response)?;
        let agrees = truth.text == said.text
            && truth.calls == said.calls
            && truth.hosted == said.notes.hosted
            && truth.unknown == said.notes.unknown;
        if !agrees || !self.texts.is_empty() || !self.arguments.is_empty() || !self.begun.is_empty() {
            return Err(Unreadable("the response at the end is not what the stream said"));
        }
        self.answer = Some(truth);
        Ok(())
    }

    fn error(&mut self) {
        let items = std::mem::take(&mut self.items);
        let mut answer = Answer { model: self.model.clone(), ..Answer::default() };
        for item in items.into_values() {
            answer.text.push_str(&item.text);
            add_line(&mut answer.reasoning, &item.reasoning);
            answer.calls.extend(item.calls);
            self.notes.add(&item.notes);
        }
        answer.finish = Some("error".to_owned());
        self.answer = Some(answer);
    }

    /// The item that an event is of, if it has not been said whole.
    fn open_item(&self, event: Object<'_, '_>) -> Result<u64, Unreadable> {
        let index = event.count("output_index")?.ok_or(Unreadable("an event does not say of which item"))?;
        match self.items.contains_key(&index) {
            true => Err(Unreadable("an item goes on after its end")),
            false => Ok(index),
        }
    }

    fn place(&self, event: Object<'_, '_>) -> Result<(u64, u64), Unreadable> {
        Ok((self.open_item(event)?, event.count("content_index")?.unwrap_or_default()))
    }
}

impl Begun {
    fn of(item: Object<'_, '_>) -> Result<Begun, Unreadable> {
        let text = |field| item.text_or_empty(field).map(str::to_owned);
        Ok(Begun { kind: text("type")?, call: text("call_id")?, name: text("name")? })
    }
}

const NO_RESPONSE: Unreadable = Unreadable("an event has no response");
const NO_ITEM: Unreadable = Unreadable("an event has no item");
const CONTRADICTION: Unreadable = Unreadable("an item is not what its pieces said");

fn open<'t, K: Ord>(
    texts: &'t mut BTreeMap<K, String>,
    key: K,
    room: &mut Room,
) -> Result<&'t mut String, Unreadable> {
    match texts.entry(key) {
        Entry::Occupied(text) => Ok(text.into_mut()),
        Entry::Vacant(place) => {
            room.block()?;
            Ok(place.insert(String::new()))
        }
    }
}

/// A text is said whole: it is what its pieces said, if any came.
fn whole<K: Ord>(
    texts: &mut BTreeMap<K, String>,
    key: K,
    whole: &str,
    room: &mut Room,
) -> Result<(), Unreadable> {
    let text = open(texts, key, room)?;
    if text.is_empty() {
        return room.append(text, whole);
    }
    if text == whole { Ok(()) } else { Err(CONTRADICTION) }
}
