//! As much of a message as it takes to carry it: what it is, and whose answer. What it asks and says is read, and judged,
//! by the gateway, which gets the same bytes.

use serde_json::{Value, json};

/// A message of JSON-RPC 2.0.
pub struct Message {
    pub what: What,
    /// Of a request or notification; else empty.
    pub method: String,
    params: Value,
    result: Value,
}

/// Ids as JSON, in one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Request(String),
    Notification,
    Response(String),
}

impl Message {
    /// `None`: it is not one message of JSON-RPC.
    pub fn read(line: &[u8]) -> Option<Message> {
        let Ok(Value::Object(mut whole)) = serde_json::from_slice(line) else { return None };
        let version = whole.get("jsonrpc").and_then(Value::as_str);
        if version != Some("2.0") {
            return None;
        }
        let id = whole.get("id").filter(|id| id.is_string() || id.is_number()).map(ToString::to_string);
        let method = whole.get("method").and_then(Value::as_str).map(str::to_owned);
        let what = match (&method, id) {
            (Some(_), Some(id)) => What::Request(id),
            (Some(_), None) => What::Notification,
            (None, Some(id)) => What::Response(id),
            (None, None) => return None,
        };
        let mut take = |key: &str| whole.remove(key).unwrap_or_default();
        Some(Message {
            what,
            method: method.unwrap_or_default(),
            params: take("params"),
            result: take("result"),
        })
    }

    pub fn id(&self) -> Option<&str> {
        match &self.what {
            What::Request(id) => Some(id),
            What::Notification | What::Response(_) => None,
        }
    }

    /// The request that a notification cancels.
    pub fn cancels(&self) -> Option<String> {
        let cancels = self.method == "notifications/cancelled";
        cancels.then(|| self.params.get("requestId").map(ToString::to_string)).flatten()
    }

    /// By what a request's progress is told, if it wants to be told.
    pub fn wants_progress(&self) -> Option<String> {
        Some(self.params.get("_meta")?.get("progressToken")?.to_string())
    }

    /// Whose progress a notification tells.
    pub fn tells_progress(&self) -> Option<String> {
        let tells = self.method == "notifications/progress";
        tells.then(|| self.params.get("progressToken").map(ToString::to_string)).flatten()
    }

    /// The revision that each message names (2026-07-28).
    pub fn version(&self) -> Option<&str> {
        self.params.get("_meta")?.get("io.modelcontextprotocol/protocolVersion")?.as_str()
    }

    /// What a header repeats of it (2026-07-28).
    pub fn name(&self) -> Option<&str> {
        let key = match self.method.as_str() {
            "tools/call" | "prompts/get" => "name",
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
            "tasks/get" | "tasks/result" | "tasks/update" | "tasks/cancel" => "taskId",
            _ => return None,
        };
        self.params.get(key)?.as_str()
    }

    /// The revision that a server answers `initialize` with.
    pub fn agreed(&self) -> Option<&str> {
        self.result.get("protocolVersion")?.as_str()
    }
}

/// It is not JSON. JSON-RPC 2.0, 5.1.
pub const NO_JSON: i32 = -32700;
/// It is no message.
pub const NO_MESSAGE: i32 = -32600;
/// The request was cancelled by whoever asked.
pub const CANCELLED: i32 = -32800;
/// It could not be carried. In the range that is the implementation's.
pub const NOT_CARRIED: i32 = -32000;

/// An error, as a line. `id` is JSON; without one it is nobody's answer.
pub fn error(id: Option<&str>, code: i32, why: &str) -> Vec<u8> {
    let id: Value = id.and_then(|id| serde_json::from_str(id).ok()).unwrap_or_default();
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": why}}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(line: &str) -> Option<What> {
        Message::read(line.as_bytes()).map(|message| message.what)
    }

    #[test]
    fn a_message_is_a_request_a_notification_or_a_response() {
        assert_eq!(what(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), Some(What::Request("1".into())));
        assert_eq!(what(r#"{"jsonrpc":"2.0","id":"1","result":{}}"#), Some(What::Response("\"1\"".into())));
        assert_eq!(what(r#"{"jsonrpc":"2.0","method":"x"}"#), Some(What::Notification));
        for none in [
            "Listening on stdio",
            "{}",
            r#"[{"jsonrpc":"2.0","method":"x"}]"#,
            r#"{"jsonrpc":"1.0","method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{}}"#,
            "{\"jsonrpc\":\"2.0\",\"method\":\"\u{1}\"}",
        ] {
            assert_eq!(what(none), None, "{none}");
        }
    }

    #[test]
    fn progress_and_cancellation_name_a_request() {
        let read = |line: &str| Message::read(line.as_bytes()).unwrap();
        let asked = read(
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":"p"}}}"#,
        );
        let told =
            read(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p"}}"#);
        assert_eq!(asked.wants_progress(), told.tells_progress());
        assert_eq!((asked.name(), asked.tells_progress()), (Some("t"), None));
        let cancel = read(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#);
        assert_eq!(cancel.cancels().as_deref(), asked.id());
    }

    #[test]
    fn an_error_answers_the_id_that_was_asked_with() {
        let said = |id| String::from_utf8(error(id, NOT_CARRIED, "a \"b\"")).unwrap();
        assert!(said(Some("\"a\\u0031\"")).contains("\"id\":\"a1\""));
        assert!(said(None).contains("\"id\":null") && said(None).contains(r#"a \"b\""#));
    }
}
