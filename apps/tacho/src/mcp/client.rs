//! Towards the gateway: an ordinary client of MCP over HTTP (streamable, 2025-03-26 to 2026-07-28). Each line of the
//! agent's is a POST; what comes back is a line each.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use proto_http::mcp::Events;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::lines::flat;
use super::message::{self, Message, NOT_CARRIED, What};
use super::ticket::Ticket;
use crate::limits::{
    MCP_ANSWER, MCP_ANSWER_BYTES_MAX, MCP_CONNECT, MCP_IDLE, MCP_IN_FLIGHT_MAX, MCP_PAUSE, MCP_PAUSE_MAX,
};

/// The gateway, as this client reaches it.
pub struct Gateway {
    ticket: Arc<Ticket>,
    /// Which `tacho mcp` this is, where it lends connections.
    process: Option<Arc<str>>,
    /// Lines for the agent.
    out: mpsc::Sender<Vec<u8>>,
    state: Mutex<State>,
    /// Why the run is over, once it is.
    over: watch::Sender<Option<String>>,
    is_last: AtomicBool,
}

type Sender = SendRequest<Full<Bytes>>;

#[derive(Default)]
struct State {
    /// Connections on which nothing is under way, and since when.
    idle: Vec<(Sender, Instant)>,
    /// What the server gave its client, and the revision that both agreed on (2025-03-26 to 2025-11-25).
    session: Option<HeaderValue>,
    revision: Option<HeaderValue>,
    /// Requests that were cancelled, and are not answered yet.
    forgone: HashSet<String>,
}

/// What became of a request.
enum Sent {
    Answered(Response<Incoming>, Sender),
    Back(Request<Full<Bytes>>),
}

/// Why there is no answer: a sentence for the agent.
struct Trouble(String);

impl Gateway {
    pub fn new(ticket: Arc<Ticket>, process: Option<Arc<str>>, out: mpsc::Sender<Vec<u8>>) -> Gateway {
        Gateway {
            ticket,
            process,
            out,
            state: Mutex::default(),
            over: watch::Sender::new(None),
            is_last: AtomicBool::new(false),
        }
    }

    /// Resolves when the gateway knows the run no more, with the reason.
    pub async fn over(&self) -> String {
        let mut over = self.over.subscribe();
        let why = over.wait_for(Option::is_some).await;
        why.ok().and_then(|why| why.clone()).unwrap_or_default()
    }

    pub fn end(&self, why: &str) {
        self.over.send_replace(Some(why.to_owned()));
    }

    /// Carries a message, and what is said to it. A request is answered in any case.
    pub async fn carry(&self, said: &Message, line: Vec<u8>) {
        if let Some(id) = said.id() {
            // A client may use an id again.
            self.lock().forgone.remove(id);
        }
        let done = match tokio::time::timeout(MCP_ANSWER, self.exchange(said, line)).await {
            Ok(done) => done,
            Err(_) => Err(Trouble("no answer came in time".to_owned())),
        };
        let Err(Trouble(why)) = done else { return };
        match said.id() {
            Some(id) => self.answer(id, message::error(Some(id), NOT_CARRIED, &why)).await,
            None => eprintln!("tacho: a message was not carried: {why}"),
        }
    }

    pub async fn say(&self, line: Vec<u8>) {
        // Whoever reads has gone; then all of this ends.
        let _gone = self.out.send(line).await;
    }

    /// Nobody waits for the answer to this request any more, if there is one.
    pub fn forgo(&self, id: &str) {
        self.lock().forgone.insert(id.to_owned());
    }

    async fn answer(&self, id: &str, line: Vec<u8>) {
        let forgone = self.lock().forgone.remove(id);
        if !forgone {
            self.say(line).await;
        }
    }

    async fn exchange(&self, said: &Message, line: Vec<u8>) -> Result<(), Trouble> {
        let request = self.request(Method::POST, Some(said)).body(Full::new(Bytes::from(line)));
        let (response, sender) = self.send(request).await?;
        let status = response.status();
        if said.method == "initialize"
            && let Some(session) = response.headers().get(proto_http::mcp::SESSION)
        {
            self.lock().session = Some(session.clone());
        }
        match media(&response) {
            "text/event-stream" if status.is_success() => self.events(response, Some(said)).await?,
            _ => self.whole(response, said).await?,
        }
        let mut state = self.lock();
        if !sender.is_closed() && state.idle.len() < MCP_IN_FLIGHT_MAX {
            state.idle.push((sender, Instant::now()));
        }
        Ok(())
    }

    async fn whole(&self, response: Response<Incoming>, said: &Message) -> Result<(), Trouble> {
        let status = response.status();
        let body = Limited::new(response.into_body(), MCP_ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|e| Trouble(format!("the answer broke off: {e}")))?.to_bytes();
        let answers =
            |id: &str| Message::read(&body).filter(|m| matches!(&m.what, What::Response(of) if of == id));
        match said.id() {
            Some(id) => match answers(id) {
                Some(_) => {
                    self.agreed(said, &body);
                    self.answer(id, flat(&body)).await;
                    Ok(())
                }
                None => Err(self.refused(status, &body)),
            },
            None if status.is_success() => Ok(()),
            None => Err(self.refused(status, &body)),
        }
    }

    /// Carries the messages of a stream to its end, or to the answer that is waited for.
    async fn events(&self, response: Response<Incoming>, said: Option<&Message>) -> Result<(), Trouble> {
        let broke = || Trouble("the stream ended before the answer".to_owned());
        let mut body = response.into_body();
        let mut stream = Events::default();
        let mut answered = said.is_none_or(|said| said.id().is_none());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| broke())?;
            let mut events = Vec::new();
            if let Some(bytes) = frame.data_ref() {
                stream.push(bytes, &mut events).map_err(|why| Trouble(why.0.to_owned()))?;
            }
            for event in events {
                let data = event.data.filter(|data| !data.is_empty());
                let Some(data) = data.filter(|_| matches!(event.name.as_str(), "" | "message")) else {
                    continue;
                };
                let line = flat(data.as_bytes());
                match (said, Message::read(&line)) {
                    (Some(said), Some(Message { what: What::Response(of), .. }))
                        if Some(of.as_str()) == said.id() =>
                    {
                        answered = true;
                        self.agreed(said, &line);
                        self.answer(&of, line).await;
                    }
                    _ => self.say(line).await,
                }
            }
        }
        if answered { Ok(()) } else { Err(broke()) }
    }

    /// Carries what nobody asked for, until [`Gateway::last`]; where the server has no such stream (405), no longer.
    pub async fn listen(&self) {
        let mut pause = MCP_PAUSE;
        loop {
            let request = self.request(Method::GET, None).body(Full::default());
            match self.send(request).await {
                Ok((response, _sender)) if response.status().is_success() => {
                    pause = MCP_PAUSE;
                    // It ends when the gateway or the server ends it; then there is the next.
                    let _ended = self.events(response, None).await;
                    if self.is_last.load(Ordering::Relaxed) {
                        return;
                    }
                }
                // A server that was started gives its stream later; others, and the record, say that there is none.
                Ok((response, _))
                    if (self.process.is_none() || self.ticket.again)
                        && response.status().is_client_error() =>
                {
                    return;
                }
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MCP_PAUSE_MAX);
        }
    }

    /// The stream of what nobody asked for that is there is the last.
    pub fn last(&self) {
        self.is_last.store(true, Ordering::Relaxed);
    }

    /// Tells the server that its session is over, if it gave one.
    pub async fn leave(&self) {
        if self.lock().session.is_some() {
            let request = self.request(Method::DELETE, None).body(Full::default());
            // It forgets the session by itself, too.
            let _done = tokio::time::timeout(MCP_CONNECT, self.send(request)).await;
        }
    }

    fn request(&self, method: Method, said: Option<&Message>) -> hyper::http::request::Builder {
        let accepts = match method {
            Method::GET => "text/event-stream",
            _ => "application/json, text/event-stream",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(self.ticket.path.as_str())
            .header(HOST, self.ticket.authority())
            .header(AUTHORIZATION, format!("Bearer {}", self.ticket.key))
            .header(ACCEPT, accepts);
        if said.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(process) = &self.process {
            // To the server it is one line; no header repeats it.
            return request.header("tacho-process", &**process);
        }
        let state = self.lock();
        if let Some(session) = &state.session {
            request = request.header(proto_http::mcp::SESSION, session);
        }
        match said.and_then(|said| Some((said, said.version()?))) {
            Some((said, version)) => {
                request = request
                    .header(proto_http::mcp::VERSION, plain(version))
                    .header(proto_http::mcp::METHOD, plain(&said.method));
                if let Some(name) = said.name() {
                    request = request.header(proto_http::mcp::NAME, plain(name));
                }
            }
            None => {
                if let Some(revision) = &state.revision {
                    request = request.header(proto_http::mcp::VERSION, revision);
                }
            }
        }
        request
    }

    /// Sends a request on a connection that is there, or on a new one.
    async fn send(
        &self,
        request: Result<Request<Full<Bytes>>, hyper::http::Error>,
    ) -> Result<(Response<Incoming>, Sender), Trouble> {
        let request = request.map_err(|e| Trouble(format!("the message fits into no request: {e}")))?;
        let (response, sender) = match self.send_on_idle(request).await? {
            Sent::Answered(response, sender) => (response, sender),
            Sent::Back(request) => {
                let mut sender = self.connect().await?;
                (sender.send_request(request).await.map_err(|e| gone(&e))?, sender)
            }
        };
        if response.status() == StatusCode::UNAUTHORIZED {
            let why = self.refused(StatusCode::UNAUTHORIZED, &[]);
            self.end(&why.0);
            return Err(why);
        }
        Ok((response, sender))
    }

    /// A connection that the gateway has closed in this moment gives the request back: nothing of it was sent.
    async fn send_on_idle(&self, mut request: Request<Full<Bytes>>) -> Result<Sent, Trouble> {
        while let Some(mut sender) = self.idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(Sent::Answered(response, sender)),
                Err(mut failed) => {
                    request = failed.take_message().ok_or_else(|| gone(failed.error()))?;
                }
            }
        }
        Ok(Sent::Back(request))
    }

    fn idle(&self) -> Option<Sender> {
        let mut state = self.lock();
        state.idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < MCP_IDLE);
        state.idle.pop().map(|(sender, _)| sender)
    }

    async fn connect(&self) -> Result<Sender, Trouble> {
        let at = self.ticket.authority();
        let away = |e: String| Trouble(format!("the gateway on {at} cannot be reached: {e}"));
        let connect = TcpStream::connect((self.ticket.host.as_str(), self.ticket.port));
        let stream = match tokio::time::timeout(MCP_CONNECT, connect).await {
            Ok(stream) => stream.map_err(|e| away(e.to_string()))?,
            Err(_) => return Err(away("it takes no connection".to_owned())),
        };
        stream.set_nodelay(true).map_err(|e| away(e.to_string()))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| away(e.to_string()))?;
        // It ends with its sender, or tells whoever waits why it broke.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn agreed(&self, said: &Message, answer: &[u8]) {
        if said.method != "initialize" {
            return;
        }
        let answer = Message::read(answer);
        let revision = answer.as_ref().and_then(Message::agreed).and_then(|r| HeaderValue::from_str(r).ok());
        self.lock().revision = revision;
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Trouble {
        if status == StatusCode::UNAUTHORIZED {
            return Trouble(
                "the gateway knows this run no more: it has ended, or its time was up".to_owned(),
            );
        }
        Trouble(
            detail(body).unwrap_or_else(|| format!("the gateway, or the server behind it, says {status}")),
        )
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sentence of a problem document, or of an error of JSON-RPC.
pub fn detail(body: &[u8]) -> Option<String> {
    let said: serde_json::Value = serde_json::from_slice(body).ok()?;
    let words = said.get("detail").or_else(|| said.get("error")?.get("message"))?;
    words.as_str().map(str::to_owned)
}

fn gone(error: &hyper::Error) -> Trouble {
    Trouble(format!("the gateway gave no answer: {error}"))
}

fn media(response: &Response<Incoming>) -> &str {
    let media = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media.and_then(|media| media.split(';').next()).unwrap_or_default().trim()
}

/// What a field can hold; in Base64 what it cannot (2026-07-28, "Standard MCP Request Headers").
fn plain(text: &str) -> String {
    let fits = text.bytes().all(|b| matches!(b, b' '..=b'~')) && text.trim() == text;
    match fits && !text.starts_with("=?base64?") {
        true => text.to_owned(),
        false => format!("=?base64?{}?=", STANDARD.encode(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_holds_what_it_can() {
        assert_eq!(plain("tools/call"), "tools/call");
        assert_eq!(plain("é"), "=?base64?w6k=?=");
        assert_eq!(plain(" a"), "=?base64?IGE=?=");
        assert_eq!(plain("=?base64?YQ==?="), "=?base64?PT9iYXNlNjQ/WVE9PT89?=");
    }

    #[test]
    fn the_gateways_own_sentence_is_found() {
        assert_eq!(detail(br#"{"status":403,"detail":"no"}"#).as_deref(), Some("no"));
        assert_eq!(detail(br#"{"error":{"code":1,"message":"no"}}"#).as_deref(), Some("no"));
        assert_eq!(detail(b"no"), None);
    }
}
