//! What the client is told by the gateway itself: `application/problem+json` (RFC 9457).

use bytes::BytesMut;
use gate::Decided;
use proto_http::mcp::code;
use proto_http::reply;
use vocab::{Seq, Verdict};

use super::mcp::Rpc;

/// An answer of the gateway's own. Built from constants, ids, and what policy says to agents.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: u16,
    detail: String,
    members: Vec<(&'static str, String)>,
    /// The client waits for a message of JSON-RPC.
    rpc: Option<Box<Rpc>>,
}

/// So that clients with a netrc, or with the credential in their URL, show it.
const CHALLENGE: &[u8] = b"WWW-Authenticate: Basic realm=\"tacho\", charset=\"UTF-8\"\r\n";

/// The same, from the proxy.
const PROXY_CHALLENGE: &[u8] = b"Proxy-Authenticate: Basic realm=\"tacho\", charset=\"UTF-8\"\r\n";

impl Problem {
    pub(super) fn new(status: u16, detail: &str) -> Problem {
        Problem { status, detail: detail.to_owned(), members: Vec::new(), rpc: None }
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

    /// The same, with what else is known of it.
    pub(super) fn and(mut self, name: &'static str, value: String) -> Problem {
        self.members.push((name, value));
        self
    }

    /// The same, in the form of whoever waits for a message of JSON-RPC.
    pub(super) fn to(self, rpc: Option<&Rpc>) -> Problem {
        Problem { rpc: rpc.cloned().map(Box::new), ..self }
    }

    /// The message that the client waits for.
    fn message(&self, rpc: &Rpc, members: &[(&str, &str)]) -> Vec<u8> {
        match rpc.tool && self.status != 400 {
            // As the result of a tool: a model reads it and goes on.
            true => reply::tool_error(&rpc.id, &self.detail, members),
            false => {
                let code = if self.status == 400 { code::HEADER_MISMATCH } else { code::REFUSED };
                reply::rpc_error(&rpc.id, code, &self.detail, members)
            }
        }
    }

    /// The message as an event of the stream on which it is waited for, and where that is.
    pub(super) fn elsewhere(&self) -> Option<(&[u8], Vec<u8>)> {
        let rpc = self.rpc.as_ref()?;
        let message = self.message(rpc, &self.members());
        let event = [b"event: message\ndata: ", &message[..], b"\n\n"].concat();
        Some((rpc.place.as_deref()?, event))
    }

    fn members(&self) -> Vec<(&str, &str)> {
        self.members.iter().map(|(name, value)| (*name, &**value)).collect()
    }

    /// The whole response.
    /// `as_status`: the client is one of Kubernetes.
    pub(super) fn encode(&self, keep_alive: bool, to_head: bool, as_status: bool) -> BytesMut {
        let members = self.members();
        let reason = reply::reason(self.status);
        let answer = match (&self.rpc, to_head) {
            (None, false) if as_status => {
                let body = proto_kubernetes::reply::status(self.status, &self.detail, &members);
                reply::json(self.status, reason, &body, keep_alive)
            }
            (Some(rpc), _) => {
                // 2026-07-28 says 400 of a header that disagrees; what was understood and refused is 200.
                let status = if self.status == 400 { 400 } else { 200 };
                reply::json(status, reply::reason(status), &self.message(rpc, &members), keep_alive)
            }
            (None, true) => {
                let body = reply::problem(self.status, reason, &self.detail, &members);
                reply::answer_to_head(self.status, reason, &body, keep_alive)
            }
            (None, false) => {
                let body = reply::problem(self.status, reason, &self.detail, &members);
                reply::answer(self.status, reason, &body, keep_alive)
            }
        };
        let mut out = BytesMut::with_capacity(answer.len() + PROXY_CHALLENGE.len());
        let line = memchr::memchr(b'\n', &answer).map_or(0, |end| end + 1);
        out.extend_from_slice(&answer[..line]);
        match self.status {
            401 => out.extend_from_slice(CHALLENGE),
            407 => out.extend_from_slice(PROXY_CHALLENGE),
            _ => {}
        }
        out.extend_from_slice(&answer[line..]);
        out
    }
}
