//! What an approver signs.

use std::fmt::Write;
use std::sync::Arc;

use crate::{AskId, PolicyHash, WallTime};

/// What a question is about, as its record has it: whoever reads the record can write the same text again, and hold a
/// signature against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    pub ask: AskId,
    /// As recorded: masked.
    pub statement: Arc<str>,
    /// What is sent in its place, masked.
    pub sent: Option<Arc<str>>,
    /// Masks of its parameters, as recorded.
    pub params: Vec<Arc<str>>,
    /// Commitment to the statement and its parameters as they were said, where an earlier message said them.
    pub values: Option<[u8; 32]>,
    /// Commitment to the bytes that were asked.
    pub asked: [u8; 32],
    /// Commitment to the bytes that would be sent.
    pub sending: [u8; 32],
    /// Digest of the request as policy saw it, masked.
    pub request: [u8; 32],
    pub policy: PolicyHash,
    pub expires: WallTime,
}

impl Bound {
    /// The text that is signed for a grant in this form (`once`, `shape 5`): a line each. Within a line a backslash and a line feed
    /// are escaped, so that no statement writes a line of its own.
    pub fn to_sign(&self, form: &str) -> String {
        let mut text = "tachograph approval v2\n".to_owned();
        let mut line = |word: &str, value: &str| {
            let _infallible = writeln!(text, "{word} {}", value.replace('\\', "\\\\").replace('\n', "\\n"));
        };
        line("ask", &self.ask.to_string());
        line("form", form);
        line("statement", &self.statement);
        line("sent", self.sent.as_deref().unwrap_or(&self.statement));
        self.params.iter().for_each(|param| line("param", param));
        self.values.iter().for_each(|values| line("values", &hex(values)));
        line("asked", &hex(&self.asked));
        line("sending", &hex(&self.sending));
        line("request", &hex(&self.request));
        line("policy", &hex(&self.policy.0));
        line("expires", &self.expires.0.to_string());
        text
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_changes_the_text_and_a_statement_writes_no_line() {
        let bound = Bound {
            ask: AskId([1; 16]),
            statement: "UPDATE t\nform shape 480".into(),
            sent: None,
            params: vec!["int4 4".into()],
            values: None,
            asked: [2; 32],
            sending: [3; 32],
            request: [4; 32],
            policy: PolicyHash([5; 32]),
            expires: WallTime(6),
        };
        let text = bound.to_sign("once");
        assert_eq!(text.lines().count(), 11, "{text}");
        assert!(text.contains("statement UPDATE t\\nform shape 480\n") && text.contains("form once\n"));
        let others = [
            Bound { ask: AskId([9; 16]), ..bound.clone() },
            Bound { statement: "UPDATE t\\nform shape 480".into(), ..bound.clone() },
            Bound { sent: Some("x".into()), ..bound.clone() },
            Bound { params: vec!["int4 5".into()], ..bound.clone() },
            Bound { params: Vec::new(), ..bound.clone() },
            Bound { values: Some([9; 32]), ..bound.clone() },
            Bound { asked: [9; 32], ..bound.clone() },
            Bound { sending: [9; 32], ..bound.clone() },
            Bound { request: [9; 32], ..bound.clone() },
            Bound { policy: PolicyHash([9; 32]), ..bound.clone() },
            Bound { expires: WallTime(9), ..bound.clone() },
        ];
        assert!(others.iter().all(|other| other.to_sign("once") != text));
        assert_ne!(bound.to_sign("shape 5"), text);
    }
}
