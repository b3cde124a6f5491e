//! Connections that are lent to the gateway, and what is answered on them: the gateway speaks to the server as to any over
//! HTTP, one request and its answer at a time, and here each is a line.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, mpsc};

use super::message::{self, Message};
use super::server::{NotSent, Said, Server};
use super::ticket::Ticket;
use crate::limits::{
    MCP_ANSWER_BYTES_MAX, MCP_CONNECT, MCP_HEAD_BYTES_MAX, MCP_LENT_MAX, MCP_PAUSE, MCP_PAUSE_MAX, MCP_PING,
    MCP_QUEUE_MAX,
};

/// What a connection is asked for, and what the gateway agrees to.
const TURNED: &str = "HTTP/1.1 101 ";

/// Lends connections for as long as the run lives: always one that waits. Returns why no other will be taken.
pub async fn lend(server: Arc<Server>, ticket: Arc<Ticket>, process: Arc<str>, command: String) -> String {
    let room = Arc::new(Semaphore::new(MCP_LENT_MAX));
    let mut pause = MCP_PAUSE;
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return String::new() };
        match open(&ticket, &process, &command).await {
            Ok(stream) => {
                pause = MCP_PAUSE;
                let used = Arc::new(Notify::new());
                let (server, taken) = (server.clone(), used.clone());
                tokio::spawn(async move {
                    serve(stream, server, &taken).await;
                    taken.notify_one();
                    drop(place);
                });
                used.notified().await;
            }
            // It will say so again: the run is over, or the command is too long for the record.
            Err((400..=499 | 501, why)) => return why,
            Err(_not_now) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MCP_PAUSE_MAX);
            }
        }
    }
}

/// A connection that the gateway has taken. Errors: its status, or 0, and its words.
async fn open(ticket: &Ticket, process: &str, command: &str) -> Result<TcpStream, (u16, String)> {
    let broken = |e: std::io::Error| (0, e.to_string());
    let asked = async {
        let mut stream = TcpStream::connect((ticket.host.as_str(), ticket.port)).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let head = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: upgrade\r\n\
             Upgrade: tacho-stdio/1\r\nTacho-Process: {process}\r\nTacho-Command: {}\r\n\r\n",
            ticket.authority(),
            ticket.key,
            STANDARD.encode(command)
        );
        stream.write_all(head.as_bytes()).await.map_err(broken)?;
        // Byte by byte, since behind the head begins what is not for this function.
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n\r\n") && said.len() as u64 <= MCP_HEAD_BYTES_MAX {
            said.push(stream.read_u8().await.map_err(broken)?);
        }
        let text = String::from_utf8_lossy(&said).into_owned();
        if text.starts_with(TURNED) {
            return Ok(stream);
        }
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        let _as_far_as_it_goes = stream.take(MCP_HEAD_BYTES_MAX).read_to_end(&mut body).await;
        Err((status, super::client::detail(&body).unwrap_or_else(|| format!("the gateway says {status}"))))
    };
    match tokio::time::timeout(MCP_CONNECT, asked).await {
        Ok(done) => done,
        Err(_) => Err((0, "the gateway says nothing".to_owned())),
    }
}

async fn serve(stream: TcpStream, server: Arc<Server>, used: &Arc<Notify>) {
    let answer = service_fn(|request: Request<Incoming>| {
        used.notify_one();
        let server = server.clone();
        async move { Ok::<_, Infallible>(answered(&server, request).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    // However it ends, the gateway knows as much.
    let _over = connection.await;
}

async fn answered(server: &Arc<Server>, request: Request<Incoming>) -> Response<Answer> {
    match *request.method() {
        Method::POST => {}
        Method::GET => return unasked(server).await,
        _ => return plain(StatusCode::METHOD_NOT_ALLOWED),
    }
    let body = match Limited::new(request.into_body(), MCP_ANSWER_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return plain(StatusCode::BAD_REQUEST),
    };
    let Some(asked) = Message::read(&body) else {
        return plain(StatusCode::BAD_REQUEST);
    };
    let Some(id) = asked.id() else {
        return match server.tell(&asked, &body).await {
            Ok(()) => plain(StatusCode::ACCEPTED),
            Err(_) => plain(StatusCode::BAD_GATEWAY),
        };
    };
    let whole = |line| json(Answer::Whole(Some(Bytes::from(line))), "application/json");
    let failed = |why: &str| whole(message::error(Some(id), message::NOT_CARRIED, why));
    let (number, mut answers) = match server.ask(&asked, id, &body).await {
        Ok(asked) => asked,
        Err(NotSent::SameId) => return failed("another request has this id, and no answer yet"),
        Err(NotSent::Over(why)) => return failed(&why),
    };
    let waits = Waits { server: server.clone(), id: id.to_owned(), number };
    let first = tokio::time::timeout(MCP_PING, answers.recv()).await;
    match first {
        Ok(Some(Said::Answer(line))) => whole(line),
        Ok(None) => failed("the server has ended"),
        Ok(Some(Said::Meanwhile(line))) => stream(Some(line), Heard::Answers(answers, waits)),
        Err(_silent) => stream(None, Heard::Answers(answers, waits)),
    }
}

/// What nobody asked for, to the one who listens.
async fn unasked(server: &Arc<Server>) -> Response<Answer> {
    // The one before has gone, and may not have noticed.
    match tokio::time::timeout(MCP_CONNECT, server.hears.clone().lock_owned()).await {
        Ok(hears) => stream(None, Heard::Unasked(hears)),
        Err(_) => plain(StatusCode::CONFLICT),
    }
}

/// Forgets a request whose asker has gone.
struct Waits {
    server: Arc<Server>,
    id: String,
    number: u64,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.server.forget(&self.id, self.number);
    }
}

/// Where the events of a stream come from.
enum Heard {
    Answers(mpsc::Receiver<Said>, Waits),
    Unasked(tokio::sync::OwnedMutexGuard<mpsc::Receiver<Vec<u8>>>),
}

impl Heard {
    /// The next line, and whether it is the last.
    async fn next(&mut self) -> Option<(Vec<u8>, bool)> {
        match self {
            Heard::Unasked(hears) => Some((hears.recv().await?, false)),
            Heard::Answers(answers, waits) => Some(match answers.recv().await {
                Some(Said::Meanwhile(line)) => (line, false),
                Some(Said::Answer(line)) => (line, true),
                None => {
                    let why = "the server has ended";
                    (message::error(Some(&waits.id), message::NOT_CARRIED, why), true)
                }
            }),
        }
    }
}

fn stream(first: Option<Vec<u8>>, mut heard: Heard) -> Response<Answer> {
    let (say, said) = mpsc::channel(MCP_QUEUE_MAX);
    tokio::spawn(async move {
        if let Some(line) = first {
            let _gone = say.send(event(&line)).await;
        }
        loop {
            let next = tokio::select! {
                biased;
                () = say.closed() => return,
                next = tokio::time::timeout(MCP_PING, heard.next()) => next,
            };
            let (piece, last) = match next {
                Ok(Some((line, last))) => (event(&line), last),
                Ok(None) => return,
                Err(_silent) => (Bytes::from_static(b": \n\n"), false),
            };
            if say.send(piece).await.is_err() || last {
                return;
            }
        }
    });
    json(Answer::Events(said), "text/event-stream")
}

fn event(line: &[u8]) -> Bytes {
    [b"data: ", line, b"\n\n"].concat().into()
}

fn json(body: Answer, media: &'static str) -> Response<Answer> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(media));
    response
}

fn plain(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(None));
    *response.status_mut() = status;
    response
}

/// The body of an answer.
enum Answer {
    Whole(Option<Bytes>),
    Events(mpsc::Receiver<Bytes>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Answer::Whole(whole) => Poll::Ready(whole.take()),
            Answer::Events(events) => events.poll_recv(cx),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Whole(None))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Answer::Whole(whole) => {
                hyper::body::SizeHint::with_exact(whole.as_ref().map_or(0, |w| w.len() as u64))
            }
            Answer::Events(_) => hyper::body::SizeHint::default(),
        }
    }
}

const _: () = assert!(MCP_PING.as_secs() < Duration::from_secs(600).as_secs());
