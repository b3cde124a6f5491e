//! OpenAI Responses, streamed: every item is said three times, in pieces, whole, and with the response at the end.
//! All three must say the same.

use super::notes::*;
use super::responses::{self, Output, same_if_said};
use super::{Answer, Call, Unreadable};
use crate::limits::CALL_ARGUMENTS_BYTES_MAX;
use json::{Kind, Object, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Events that tell how a call is getting on which the provider carries out, or say piecewise what an item says whole.
const PROGRESS: &[&str] = &[
    "response.code_interpreter_call.",
    "response.code_interpreter_call_code.",
    "response.compaction.",
    "response.file_search_call.",
    "response.image_generation_call.",
    "response.mcp_call.",
    "response.mcp_call_arguments.",
    "response.mcp_list_tools.",
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
    /// The commands of such a call of a shell by their place, and the diff of a patch.
    steps: BTreeMap<(u64, u64), String>,
    /// What events beside the item's own say of whose arguments they have.
    told: BTreeMap<(u64, &'static str), String>,
    /// Which items began under which ids.
    ids: BTreeMap<String, u64>,
    pieces: Room,
    /// Items that are whole.
    items: BTreeMap<u64, Output>,
    wholes: Room,
    ready: Vec<Call>,
}

/// What a client may have taken from the first event of an item.
struct Begun {
    /// Type, id of the call, name and its namespace.
    named: [String; 4],
    id: String,
    /// What it says already, as JSON.
    does: Vec<(&'static str, String)>,
    /// A text stands in that, which a client takes further pieces for more of.
    says: bool,
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
            "response.content_part.added" => self.part_begins(event)?,
            "response.content_part.done" => self.part_done(event)?,
            "response.shell_call_command.added" | "response.shell_call_command.done" => {
                self.step_whole(event, "command")?;
            }
            "response.apply_patch_call_operation_diff.done" => self.step_whole(event, "diff")?,
            "response.shell_call_command.delta" | "response.apply_patch_call_operation_diff.delta" => {
                self.step(event)?;
            }
            "response.output_item.added" => self.item_begins(event)?,
            "response.output_item.done" => self.item(event)?,
            "response.completed" | "response.incomplete" | "response.failed" => self.end(kind, event)?,
            "error" => self.error(),
            // Whole in the item's own event; these say nothing that a client may act on.
            "response.output_text.annotation.added"
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
            || self.begun.values().any(|begun| !matches!(begun.kind(), "message" | "reasoning"))
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
        self.goes_on(place.0)?;
        let text = open(&mut self.texts, place, &mut self.pieces)?;
        self.pieces.append(text, event.text_or_empty("delta")?)
    }

    /// Clients keep the part, and append to it what comes.
    fn part_begins(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let Some(part) = event.object("part")? else { return Ok(()) };
        let text = match part.text("type")? {
            Some("output_text") => part.text_or_empty("text")?,
            Some("refusal") => part.text_or_empty("refusal")?,
            _ => "",
        };
        if text.is_empty() {
            return Ok(());
        }
        let place = self.place(event)?;
        self.goes_on(place.0)?;
        let kept = open(&mut self.texts, place, &mut self.pieces)?;
        self.pieces.append(kept, text)
    }

    /// A piece of an item whose text did not stand in its first event.
    fn goes_on(&self, index: u64) -> Result<(), Unreadable> {
        match self.begun.get(&index).is_some_and(|begun| begun.says) {
            true => Err(CONTRADICTION),
            false => Ok(()),
        }
    }

    fn step(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let place = self.step_place(event)?;
        self.goes_on(place.0)?;
        let text = open(&mut self.steps, place, &mut self.pieces)?;
        self.pieces.append(text, event.text_or_empty("delta")?)
    }

    fn step_whole(&mut self, event: Object<'_, '_>, field: &str) -> Result<(), Unreadable> {
        let place = self.step_place(event)?;
        match event.text_or_empty(field)? {
            "" => Ok(()),
            text => whole(&mut self.steps, place, text, &mut self.pieces),
        }
    }

    fn step_place(&mut self, event: Object<'_, '_>) -> Result<(u64, u64), Unreadable> {
        let index = self.open_item(event)?;
        self.tells(index, event)?;
        Ok((index, event.count("command_index")?.unwrap_or_default()))
    }

    /// Of which call an event is, as far as it says more than the place of its item.
    fn tells(&mut self, index: u64, event: Object<'_, '_>) -> Result<(), Unreadable> {
        for field in ["call_id", "name"] {
            let says = event.text_or_empty(field)?;
            if says.is_empty() {
                continue;
            }
            let told = open(&mut self.told, (index, field), &mut self.pieces)?;
            match told.as_str() {
                "" => self.pieces.append(told, says)?,
                told if told == says => {}
                _ => return Err(CONTRADICTION),
            }
        }
        // Some servers count the ids of such events in a way of their own: none is another item's.
        let id = event.text_or_empty("item_id")?;
        let is_own = self.begun.get(&index).is_some_and(|begun| begun.id == id);
        match !is_own && self.ids.get(id).is_some_and(|other| *other != index) {
            true => Err(CONTRADICTION),
            false => Ok(()),
        }
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
        self.tells(index, event)?;
        self.goes_on(index)?;
        let arguments = open(&mut self.arguments, index, &mut self.pieces)?;
        self.pieces.append(arguments, event.text_or_empty("delta")?)?;
        match arguments.len() > CALL_ARGUMENTS_BYTES_MAX {
            true => Err(Unreadable("the arguments of a call are longer than 1 MiB")),
            false => Ok(()),
        }
    }

    fn arguments_done(&mut self, event: Object<'_, '_>, field: &str) -> Result<(), Unreadable> {
        let index = self.open_item(event)?;
        self.tells(index, event)?;
        whole(&mut self.arguments, index, event.text_or_empty(field)?, &mut self.pieces)
    }

    fn item_begins(&mut self, event: Object<'_, '_>) -> Result<(), Unreadable> {
        let index = self.open_item(event)?;
        self.pieces.block()?;
        let begun = Begun::of(event.object("item")?.ok_or(NO_ITEM)?)?;
        let does = begun.does.iter().map(|(_, json)| json);
        for text in begun.named.iter().chain(does).chain([&begun.id]) {
            self.pieces.hold(text)?;
        }
        if !begun.id.is_empty() {
            self.ids.entry(begun.id.clone()).or_insert(index);
        }
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
            && self.begun.remove(&index).map_or(Ok(true), |begun| begun.becomes(item))?
            && self.agrees_beside(index, item)?;
        if !agrees {
            return Err(CONTRADICTION);
        }
        self.texts.retain(|(item, _), _| *item != index);
        self.steps.retain(|(item, _), _| *item != index);
        self.told.retain(|(item, _), _| *item != index);
        self.wholes.block()?;
        let texts = output.calls.iter().map(|call| &call.arguments).chain([&output.text, &output.reasoning]);
        texts.into_iter().try_for_each(|text| self.wholes.hold(text))?;
        self.ready.extend(output.calls.iter().cloned());
        self.items.insert(index, output);
        Ok(())
    }

    /// Whether an item is what events beside its own said of it.
    fn agrees_beside(&self, index: u64, item: Object<'_, '_>) -> Result<bool, Unreadable> {
        for ((_, field), told) in self.told.range((index, "")..).take_while(|((item, _), _)| *item == index) {
            if item.text_or_empty(field)? != told {
                return Ok(false);
            }
        }
        for ((_, n), said) in self.steps.range((index, 0)..=(index, u64::MAX)) {
            let does = match item.text("type")? {
                Some("apply_patch_call") => match item.object("operation")? {
                    Some(operation) => operation.text("diff")?,
                    None => None,
                },
                _ => match item.object("action")? {
                    Some(action) => {
                        let n = usize::try_from(*n).unwrap_or(usize::MAX);
                        action.items("commands")?.get(n).map(Value::text).transpose()?
                    }
                    None => None,
                },
            };
            if does != Some(said) {
                return Ok(false);
            }
        }
        Ok(true)
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
        let output = responses::output(response)?;
        let same_marks = output.marks.len() == said.marks.len()
            && output.marks.iter().zip(&said.marks).all(|(one, other)| one.may_be(other));
        let truth = output.answer(response)?;
        let agrees = same_marks
            && truth.text == said.text
            && truth.calls == said.calls
            && truth.hosted == said.notes.hosted
            && truth.unknown == said.notes.unknown;
        let is_open = !self.texts.is_empty()
            || !self.arguments.is_empty()
            || !self.steps.is_empty()
            || !self.told.is_empty()
            || !self.begun.is_empty();
        if !agrees || is_open {
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
        let named = Begun::names(item)?.map(str::to_owned);
        let (mut does, mut says) = (Vec::new(), false);
        if is_told_whole(&named[0]) {
            for field in DOES {
                let Some(value) = item.get(field)? else { continue };
                says |= !is_unsaid(value);
                does.push((field, value.raw.to_owned()));
            }
        }
        Ok(Begun { named, id: item.text_or_empty("id")?.to_owned(), does, says })
    }

    fn names<'v>(item: Object<'v, '_>) -> Result<[&'v str; 4], Unreadable> {
        let text = |field| item.text_or_empty(field);
        Ok([text("type")?, text("call_id")?, text("name")?, text("namespace")?])
    }

    fn kind(&self) -> &str {
        &self.named[0]
    }

    /// Whether `item` is what began so: what was said is said still, and what was empty may be anything.
    fn becomes(&self, item: Object<'_, '_>) -> Result<bool, Unreadable> {
        if self.named != Begun::names(item)? {
            return Ok(false);
        }
        let id = item.text_or_empty("id")?;
        // Of a text some servers make up another id each time.
        if self.kind() != "message" && is_told_whole(self.kind()) && !same_if_said(&self.id, id) {
            return Ok(false);
        }
        for (field, begun) in &self.does {
            let begun = json::parse(begun.as_bytes())?;
            let goes_on = match item.get(field)? {
                Some(end) => begins(&begun, end),
                None => is_empty(&begun),
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Where an item says what is to be done, or a text.
const DOES: [&str; 7] = ["arguments", "input", "action", "actions", "operation", "environment", "content"];

/// Whether a client may act by what stands in an item of this type. What the provider does itself it may tell as it goes.
fn is_told_whole(kind: &str) -> bool {
    kind == "message" || responses::CLIENT_CALLS.contains(&kind)
}

/// Whether a value has the beginning of another in it: each text, number and list is the same there, or empty here.
fn begins(begun: &Value<'_>, end: &Value<'_>) -> bool {
    match (&begun.kind, &end.kind) {
        _ if is_empty(begun) => true,
        (Kind::Text(one), Kind::Text(other)) => one == other,
        (Kind::Bool(one), Kind::Bool(other)) => one == other,
        (Kind::Number, Kind::Number) => begun.raw == end.raw,
        (Kind::Array(one), Kind::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| begins(one, other))
        }
        (Kind::Object(one), Kind::Object(other)) => one.iter().all(|(name, value)| {
            let end = other.iter().find(|(other, _)| other == name);
            end.map_or(is_empty(value), |(_, end)| begins(value, end))
        }),
        _ => false,
    }
}

/// Null, and a text, a list or an object without anything in it.
fn is_empty(value: &Value<'_>) -> bool {
    match &value.kind {
        Kind::Null => true,
        Kind::Text(text) => text.is_empty(),
        Kind::Array(items) => items.is_empty(),
        Kind::Object(members) => members.is_empty(),
        Kind::Bool(_) | Kind::Number => false,
    }
}

/// Whether it has no text that a piece could go on: those of types aside.
fn is_unsaid(value: &Value<'_>) -> bool {
    match &value.kind {
        Kind::Text(text) => text.is_empty(),
        Kind::Array(items) => items.iter().all(is_unsaid),
        Kind::Object(members) => {
            let mut said = members.iter().filter(|(name, _)| TEXTS.contains(&name.as_ref()));
            said.all(|(_, value)| is_unsaid(value))
        }
        Kind::Null | Kind::Bool(_) | Kind::Number => true,
    }
}

/// Members whose texts come in pieces.
const TEXTS: [&str; 4] = ["commands", "diff", "refusal", "text"];

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
