//! The Model Context Protocol: what a client's message asks, and what a server's says. Sans-IO.
//!
//! Editions: 2024-11-05 (HTTP with SSE), 2025-03-26, 2025-06-18, 2025-11-25 (streamable HTTP with sessions) and 2026-07-28
//! (streamable HTTP without). All are JSON-RPC 2.0; a revision adds methods and takes some away, and no method means two
//! things in two of them, so that one table of methods serves all.
//!
//! **What is refused** ([`Unreadable`]): JSON that two readers could take differently, batches (2025-03-26 alone has them,
//! and no SDK sends them), a message that is neither request, notification nor response. **What is unknown** (`unknown`,
//! opaque to policy): a method that is not in the tables, content of a type that is not, and what cannot be looked into:
//! images, audio, blobs.
//!
//! **What is absent**: the schemas of tools, and whether arguments fit them; progress; OAuth.
//!
//! Reading order: this page -> `asked` (client to server) -> `again` (what comes again) -> `said` (server to client) -> `events` (SSE, cut into events).

mod again;
mod asked;
mod events;
mod said;

pub use again::{Back, STATE, back, input_required, unnumbered};
pub use asked::{Asked, ToolRoute, asked};
pub use events::{Event, Events};
pub use json::Unreadable;
pub use said::{Listed, Said, What, said};

use crate::limits::LLM_BODY_BYTES_MAX;
use json::{Kind, Object, Value};

/// The request headers that repeat what the body says (2026-07-28, "Standard MCP Request Headers").
pub const METHOD: &str = "mcp-method";
pub const NAME: &str = "mcp-name";
pub const VERSION: &str = "mcp-protocol-version";
/// The beginning of those that repeat an argument.
pub const PARAM: &str = "mcp-param-";
/// A session's id, and what clients show of the last event they saw (2025-03-26 to 2025-11-25).
pub const SESSION: &str = "mcp-session-id";
/// The event that a client saw last, where it goes on with a stream that it lost (2025-03-26 to 2025-11-25).
pub const LAST_EVENT: &str = "last-event-id";

/// JSON-RPC codes of the gateway's own answers.
pub mod code {
    /// The request was refused. In the range that is the implementation's.
    pub const REFUSED: i32 = -32003;
    /// Headers and body disagree (2026-07-28).
    pub const HEADER_MISMATCH: i32 = -32020;
}

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

const NOT_ONE: Unreadable = Unreadable("it is no message of JSON-RPC 2.0");

/// One message.
enum Shape {
    Request { id: String, method: String },
    Notification { method: String },
    Response { id: Option<String>, error: bool },
}

fn message(body: &[u8]) -> Result<Value<'_>, Unreadable> {
    if body.len() > LLM_BODY_BYTES_MAX {
        return Err(Unreadable("the message is larger than 8 MiB"));
    }
    let value = json::parse(body)?;
    match value.kind {
        Kind::Array(_) => Err(Unreadable("several messages in one body are not passed on")),
        _ => Ok(value),
    }
}

fn shape(message: Object<'_, '_>) -> Result<Shape, Unreadable> {
    if message.text("jsonrpc")? != Some("2.0") {
        return Err(NOT_ONE);
    }
    let id = message.get("id")?.map(id).transpose()?;
    let (result, error) = (message.get("result")?.is_some(), message.get("error")?.is_some());
    match (message.text("method")?, id) {
        (Some(method), Some(id)) if !result && !error => Ok(Shape::Request { id, method: method.to_owned() }),
        (Some(method), None) if !result && !error => Ok(Shape::Notification { method: method.to_owned() }),
        (None, id) if result != error && (id.is_some() || error) => Ok(Shape::Response { id, error }),
        _ => Err(NOT_ONE),
    }
}

/// An id as JSON, in one spelling. Spec: a string or an integer.
fn id(value: &Value<'_>) -> Result<String, Unreadable> {
    match &value.kind {
        Kind::Text(_) | Kind::Number if value.raw.len() <= ID_BYTES_MAX => {
            let mut id = String::new();
            value.canonical(&mut id);
            Ok(id)
        }
        _ => Err(Unreadable("the id of a message is neither a text nor a number of a usual length")),
    }
}

/// The longest id, in bytes as written. SDKs count, or take a UUID.
const ID_BYTES_MAX: usize = 256;

/// Where `part`, which was read from `text`, stands in it.
fn range(text: &str, part: &str) -> std::ops::Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + part.len()
}

/// `text` with another in the place of `range`.
fn spliced(text: &str, range: std::ops::Range<usize>, with: &str) -> String {
    let (before, after) = (text.get(..range.start), text.get(range.end..));
    [before.unwrap_or_default(), with, after.unwrap_or_default()].concat()
}

#[cfg(test)]
mod tests;
