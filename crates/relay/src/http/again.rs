//! A session of a run that is carried out again: each request is answered out of the record (`crate::again`).

use std::sync::Arc;

use bytes::BytesMut;
use proto_http::frame::{Decoder, Head, Headers, Incoming, encode_chunk, encode_last_chunk, encode_response};
use proto_http::mcp::SESSION;
use tokio::sync::watch;
use vocab::SessionId;
use wire::RawField;

use super::credential::Injected;
use super::entry::Found;
use super::listen::Login;
use super::problem::Problem;
use super::request::Asked;
use super::scrub::Needles;
use super::session::{Cut, Session, Start};
use super::side::Side;
use crate::again::{Answer, Asking, Form, HttpAnswer, NOT_RECORDED, Recording};
use crate::entropy;
use crate::leg::Leg;
use crate::limits::{HTTP_READ, PIPELINED_BYTES_MAX};
use crate::runs::Ended;

/// How `mcp::heard` calls what asks for what a server says unasked.
const STREAM: &str = "stream";

/// What a client is told of a stream of a server's messages that the recorded run did not ask for: that there is none.
const NO_STREAM: &str = "the recorded run was given no such stream";

/// What a client is told that opens a WebSocket: who speaks first in one is not in the record.
const NO_SOCKET: &str = "a WebSocket cannot be carried out again";

impl Login<'_> {
    /// As `serve`, out of the record.
    pub(super) async fn again(
        &self,
        client: &mut Side,
        ended: watch::Receiver<Option<Ended>>,
        head: Head,
        recording: &Arc<dyn Recording>,
    ) -> Result<Option<Found>, super::listen::Refused> {
        let config = &self.resource.config;
        let way = self.way(&head).inspect_err(|(_, why)| {
            recording.beyond(&config.name, why.unwrap_or("a request that belongs to no server"));
        })?;
        let who = self.run.who(SessionId(0), &config.name, &self.resource.root, config.durability);
        let mut session = Session::new(Start {
            resource: self.resource.clone(),
            run: self.run.clone(),
            who,
            client: std::mem::replace(client, Side::new(Leg::Gone, Decoder::client())),
            upstream: Side::new(Leg::Gone, Decoder::upstream()),
            way,
            injected: Injected::None,
            needles: Needles::new(None),
            ended,
            entry: self.entry.clone(),
        });
        let connection = u64::from_be_bytes(entropy::random());
        session.again(head, connection, &**recording).await;
        std::mem::swap(client, &mut session.client);
        Ok(session.elsewhere.take())
    }
}

impl Session {
    /// The session to its end.
    async fn again(&mut self, first: Head, connection: u64, recording: &dyn Recording) {
        let mut head = first;
        let cut = loop {
            match self.once_more(head, connection, recording).await {
                Ok(true) => {}
                Ok(false) => break Cut::quiet("closed"),
                Err(cut) => break cut,
            }
            match self.next().await {
                Ok(next) => head = next,
                Err(cut) => break cut,
            }
        };
        self.farewell(&cut).await;
    }

    /// One request and its answer. `false`: the connection carries no other.
    async fn once_more(
        &mut self,
        head: Head,
        connection: u64,
        recording: &dyn Recording,
    ) -> Result<bool, Cut> {
        let resource = self.resource.clone();
        self.same_run(&head)?;
        let asked = self.asked(head).await;
        let mut asked = asked.inspect_err(|cut| {
            // What is no request is in the record only as why a connection was cut.
            if let (Some(why), None) = (cut.detail, *self.ended.borrow()) {
                recording.beyond(&resource.config.name, why);
            }
        })?;
        if asked.opening.is_some() {
            recording.beyond(&resource.config.name, NO_SOCKET);
            return self.told(Problem::new(501, NO_SOCKET), false).await;
        }
        let begun = asked.more;
        self.rest_of(&mut asked).await?;
        let stream = resource.config.mcp.is_some() && asked.action.kind == STREAM;
        let asking = Asking {
            resource: &resource.config.name,
            connection,
            via: "request",
            statement: asked.subject.statement().as_str(),
            form: Form::Http { whole: &asked.whole, body: asked.recorded_body(), stream, begun },
        };
        let keeps = self.flow.may_keep_client();
        let Some(recorded) = recording.answer(&asking) else {
            let (status, why) = if stream { (405, NO_STREAM) } else { (403, NOT_RECORDED) };
            return self.told(Problem::new(status, why).to(asked.rpc.as_ref()), keeps).await;
        };
        // What a model is shown again is no news.
        if let Some(conversation) = &asked.conversation {
            conversation.remember(&resource.gate, &self.who);
        }
        match recorded.answer {
            Answer::Http(answer) => self.retell(&answer, keeps, stream).await,
            Answer::Refused { code, message, rules, .. } => {
                let mut problem = Problem::new(code.parse().unwrap_or(403), &message);
                if !rules.is_empty() {
                    problem = problem.and("rule", rules.join(", "));
                }
                let problem = problem.and("record", recorded.seq.0.to_string());
                self.told(problem.to(asked.rpc.as_ref()), keeps).await
            }
            Answer::Postgres(_) => Err(Cut::told("recording", 500, NOT_RECORDED)),
        }
    }

    /// Reads a body to its end, of which only the beginning was held.
    async fn rest_of(&mut self, asked: &mut Asked) -> Result<(), Cut> {
        while asked.more {
            match self.client_next(HTTP_READ).await? {
                Incoming::Body(_) | Incoming::Trailers(_) => {}
                Incoming::End => {
                    asked.more = false;
                    self.flow.on_request_end()?;
                }
                Incoming::NeedMore | Incoming::Head(_) | Incoming::Closed => {
                    return Err(Cut::quiet("client-closed"));
                }
            }
        }
        Ok(())
    }

    async fn told(&mut self, problem: Problem, keeps: bool) -> Result<bool, Cut> {
        self.to_client.say(&problem, keeps, self.to_head);
        self.drain_client().await?;
        Ok(self.flow.on_answer(false)?.client && keeps)
    }

    /// Writes a recorded answer: it was released once, and is what the agent saw.
    async fn retell(&mut self, answer: &HttpAnswer, keeps: bool, stays: bool) -> Result<bool, Cut> {
        let broken = || Cut::told("recording", 500, "the recorded answer cannot be written again");
        let (status, reason, mut headers) = read_head(&answer.head).ok_or_else(broken)?;
        // The record says of a session that there was one; the client shows what it is told here.
        let sessions =
            headers.iter().filter(|(name, _)| name.as_bytes().eq_ignore_ascii_case(SESSION.as_bytes()));
        sessions.for_each(|(_, session)| self.resource.handles.give(self.who.run, session.as_bytes()));
        let bodyless = self.to_head || matches!(status, 204 | 304);
        let opens = stays && status == 200 && self.flow.client_reads_chunks();
        let trailers = answer.trailers.as_deref().filter(|_| self.flow.client_reads_chunks());
        let chunks = opens || trailers.is_some();
        let text = |text: &str| RawField::copy_from(text.as_bytes());
        match (bodyless, chunks) {
            (true, _) => {}
            (false, true) => headers.push(text("Transfer-Encoding"), text("chunked")),
            (false, false) => headers.push(text("Content-Length"), text(&answer.body.len().to_string())),
        }
        headers.push(text("Connection"), text(if keeps { "keep-alive" } else { "close" }));
        let mut out = BytesMut::new();
        encode_response(&mut out, status, reason.as_bytes(), &headers).map_err(|_| broken())?;
        match (bodyless, chunks) {
            (true, _) => {}
            (false, true) => encode_chunk(&mut out, &answer.body),
            (false, false) => out.extend_from_slice(&answer.body),
        }
        if let (Some(trailers), false) = (trailers, bodyless || opens) {
            encode_last_chunk(&mut out, &read_fields(trailers.lines()).ok_or_else(broken)?)
                .map_err(|_| broken())?;
        }
        self.answering = true;
        self.to_client.out.extend_from_slice(&out);
        self.drain_client().await?;
        if opens {
            // A stream that a server keeps open has no end in the record: the client says when it has heard enough.
            return self.until_gone().await;
        }
        self.answering = false;
        Ok(self.flow.on_answer(false)?.client && keeps)
    }

    async fn until_gone(&mut self) -> Result<bool, Cut> {
        tokio::select! {
            biased;
            _ = super::session::over(&mut self.ended) => {}
            () = self.client.gone(PIPELINED_BYTES_MAX) => {}
        }
        Ok(false)
    }
}

/// Status, reason and fields of a recorded head: `200 OK`, then a field a line.
fn read_head(head: &str) -> Option<(u16, &str, Headers)> {
    let mut lines = head.lines();
    let (status, reason) = lines.next()?.split_once(' ')?;
    Some((status.parse().ok()?, reason, read_fields(lines)?))
}

/// Fields, one a line.
fn read_fields<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Headers> {
    let mut headers = Headers::new();
    for line in lines {
        let (name, value) = line.split_once(": ").or_else(|| line.split_once(':'))?;
        headers.push(RawField::copy_from(name.as_bytes()), RawField::copy_from(value.as_bytes()));
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_head_is_read_as_it_was_written() {
        let (status, reason, headers) = read_head("200 OK\nContent-Type: text/plain\nX-Empty: ").unwrap();
        let fields: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        assert_eq!((status, reason), (200, "OK"));
        assert_eq!(fields, [(&b"Content-Type"[..], &b"text/plain"[..]), (b"X-Empty", b"")]);
        assert!(read_head("").is_none());
    }
}
