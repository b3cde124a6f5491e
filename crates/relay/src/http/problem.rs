//! What the client is told by the gateway itself: `application/problem+json` (RFC 9457).

use bytes::BytesMut;
use gate::Decided;
use proto_http::reply;
use vocab::{Seq, Verdict};

/// An answer of the gateway's own. Built from constants, ids, and what policy says to agents.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: u16,
    detail: String,
    members: Vec<(&'static str, String)>,
}

/// So that clients with a netrc, or with the credential in their URL, show it.
const CHALLENGE: &[u8] = b"WWW-Authenticate: Basic realm=\"tacho\", charset=\"UTF-8\"\r\n";

impl Problem {
    pub(super) fn new(status: u16, detail: &str) -> Problem {
        Problem { status, detail: detail.to_owned(), members: Vec::new() }
    }

    /// A refusal, with the rules that decided it and its record.
    pub(super) fn refused(status: u16, decided: &Decided, why: &str, record: Seq) -> Problem {
        // A rule that allowed it is not what refuses it.
        let no = decided.verdict != Verdict::Allow;
        let rules: Vec<&str> = decided.rules.iter().filter(|_| no).map(|rule| &*rule.0).collect();
        let mut problem = Problem::new(status, why);
        if !rules.is_empty() {
            problem.members.push(("rule", rules.join(", ")));
        }
        problem.members.push(("record", record.0.to_string()));
        problem
    }

    /// The whole response.
    pub(super) fn encode(&self, keep_alive: bool, to_head: bool) -> BytesMut {
        let members: Vec<(&str, &str)> = self.members.iter().map(|(name, value)| (*name, &**value)).collect();
        let reason = reply::reason(self.status);
        let body = reply::problem(self.status, reason, &self.detail, &members);
        let answer = match to_head {
            true => reply::answer_to_head(self.status, reason, &body, keep_alive),
            false => reply::answer(self.status, reason, &body, keep_alive),
        };
        let mut out = BytesMut::with_capacity(answer.len() + CHALLENGE.len());
        let line = memchr::memchr(b'\n', &answer).map_or(0, |end| end + 1);
        out.extend_from_slice(&answer[..line]);
        if self.status == 401 {
            out.extend_from_slice(CHALLENGE);
        }
        out.extend_from_slice(&answer[line..]);
        out
    }
}
