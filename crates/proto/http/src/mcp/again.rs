//! A call that comes again with what its client was asked for (2026-07-28, "Multi Round-Trip Requests").

use super::{Unreadable, message, range, spliced};
use crate::limits::LLM_BODY_BYTES_MAX;
use json::{Object, Value, parse, string};

/// What a client brings back that had been asked for an approval in band.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back {
    /// What the gateway gave it to bring back.
    pub state: String,
    /// Its user would have it go on: `accept`, or nothing at all, and not `decline`, `cancel` or what is no answer.
    pub goes_on: bool,
}

/// The beginning of a state of the gateway's own. Servers' begin otherwise: a client that brings this one to a server was
/// asked by the gateway.
pub const STATE: &str = "tacho:";
/// The name of the gateway's question.
const QUESTION: &str = "approval";

/// The message without what the client brings back to the gateway, and that. `None`: it brings nothing back, or to the
/// server. Errors: as of [`asked`](super::asked).
pub fn back(body: &[u8]) -> Result<Option<(Vec<u8>, Back)>, Unreadable> {
    // Written with escapes it is not what the gateway gave, and the server will not know it.
    if body.len() > LLM_BODY_BYTES_MAX || memchr::memmem::find(body, STATE.as_bytes()).is_none() {
        return Ok(None);
    }
    let value = message(body)?;
    let Some(params) = value.object()?.get("params")? else { return Ok(None) };
    let members = params.object()?;
    let Some(state) = members.text("requestState")?.and_then(|state| state.strip_prefix(STATE)) else {
        return Ok(None);
    };
    let accepted = |responses: Object<'_, '_>| {
        let response = responses.object(QUESTION).ok().flatten();
        response.is_some_and(|response| matches!(response.text("action"), Ok(Some("accept"))))
    };
    let goes_on =
        members.get("inputResponses")?.is_none_or(|responses| responses.object().is_ok_and(accepted));
    let carries = |name: &str| matches!(name, "requestState" | "inputResponses");
    let mut rest = String::from("{");
    for (name, value) in members.members().iter().filter(|(name, _)| !carries(name)) {
        if rest.len() > 1 {
            rest.push(',');
        }
        string(&mut rest, name);
        rest.push(':');
        rest.push_str(value.raw);
    }
    rest.push('}');
    let whole = spliced(value.raw, range(value.raw, params.raw), &rest);
    Ok(Some((whole.into_bytes(), Back { state: state.to_owned(), goes_on })))
}

/// The longest id, or token of progress, that is a number, in bytes as written: a UUID and its quotes, and half as much again. What is longer says
/// something, and belongs to what is approved.
const NUMBER_BYTES_MAX: usize = 64;

/// The message without what differs each time that it is sent: its id, and the token of its progress.
pub fn unnumbered(body: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let value = message(body)?;
    let whole = value.object()?;
    let meta = match whole.object("params")? {
        Some(params) => params.object("_meta")?,
        None => None,
    };
    let token = match meta {
        Some(meta) => meta.get("progressToken")?,
        None => None,
    };
    let numbers = |value: &&Value<'_>| value.raw.len() <= NUMBER_BYTES_MAX && !value.is_structured();
    let numbers = [whole.get("id")?, token].into_iter().flatten().filter(numbers);
    let mut places: Vec<_> = numbers.map(|number| range(value.raw, number.raw)).collect();
    // From behind, so that the places before stay where they are.
    places.sort_by_key(|place| std::cmp::Reverse(place.start));
    let text = places.into_iter().fold(value.raw.to_owned(), |text, place| spliced(&text, place, "0"));
    Ok(text.into_bytes())
}

/// The result that asks the client's user to wait: a form without fields. `id` is JSON.
pub fn input_required(id: &str, words: &str, state: &str) -> Vec<u8> {
    let mut json = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"resultType\":\"input_required\",\"inputRequests\":{{\"{QUESTION}\":\
         {{\"method\":\"elicitation/create\",\"params\":{{\"mode\":\"form\",\"message\":"
    );
    string(&mut json, words);
    json.push_str(",\"requestedSchema\":{\"type\":\"object\",\"properties\":{}}}}},\"requestState\":");
    string(&mut json, &format!("{STATE}{state}"));
    json.push_str("}}");
    json.into_bytes()
}

/// Whether the client of a request with this `version` that makes these offers shows its user forms, and comes again.
pub(super) fn can_be_asked(version: Option<&str>, elicitation: Option<&str>) -> bool {
    // Revisions are dates.
    let is_date = |version: &&str| {
        let form =
            |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
        version.len() == 10 && version.bytes().enumerate().all(form)
    };
    let comes_again = version.filter(is_date).is_some_and(|version| version >= "2026-07-28");
    let forms = |offer: Object<'_, '_>| {
        // An offer without modes is one of forms.
        offer.members().is_empty() || offer.members().iter().any(|(name, _)| name == "form")
    };
    let offer = elicitation.and_then(|raw| parse(raw.as_bytes()).ok());
    comes_again && offer.is_some_and(|offer| offer.object().is_ok_and(forms))
}
