//! `tacho mcp`: a server of MCP over standard input and output, through the gateway.
//!
//! Towards the agent it is the server: a line in, a line out. Towards the gateway it is a client of the resource's listener,
//! like any other ([`client`]), so that everything is decided, masked and recorded as over HTTP. With a command it starts
//! the server itself ([`server`]) and lends the gateway connections to it ([`lend`]); without one the server is behind the
//! gateway.
//!
//! Reading order: [`run`] -> `ticket` (where and who) -> `shims` -> `lines`, `message` (what is carried) -> `client` ->
//! `server` -> `lend`.

mod client;
mod lend;
mod lines;
mod message;
mod server;
pub mod shims;
pub mod ticket;

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{ExitCode, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::cli;
use crate::fault::{Failure, Outcome};
use crate::limits::{
    MCP_BEGIN, MCP_CONNECT, MCP_DRAIN, MCP_IN_FLIGHT_MAX, MCP_ORDER, MCP_QUEUE_MAX, MCP_STOP,
};
use crate::run::launch;
use client::Gateway;
use lines::{Line, Lines};
use message::{Message, NO_JSON, NO_MESSAGE, What};
use server::Server;
use ticket::Ticket;

/// `tacho mcp [NAME] [-- COMMAND]`
pub fn mcp(args: &cli::Mcp) -> Outcome {
    let starts = !args.command.is_empty();
    let ticket = ticket::choose(ticket::all()?, args.name.as_deref(), starts)?;
    if ticket.scheme != "http" {
        return Err(Failure::could_not(format!(
            "the listener of {} speaks TLS, and `tacho mcp` reaches those on this machine without it only",
            ticket.name
        )));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::could_not(format!("cannot start: {e}")))?;
    let ended = runtime.block_on(carry(Arc::new(ticket), &args.command));
    // A read of standard input cannot be taken back; it ends with this process.
    runtime.shutdown_background();
    ended
}

async fn carry(ticket: Arc<Ticket>, command: &[OsString]) -> Outcome {
    let (out, lines) = mpsc::channel(MCP_QUEUE_MAX);
    let mut tasks = JoinSet::new();
    let (input, output) = (standard(std::io::stdin().as_fd())?, standard(std::io::stdout().as_fd())?);
    let mut writer = tokio::spawn(write(output, lines));
    let process = match command {
        [] => None,
        _ => Some(Arc::from(crate::hex::encode(&crate::operators::random::<16>()?))),
    };
    // Carried out again, a run is answered out of the record.
    let starts = !ticket.again && process.is_some();
    let started = if starts { Some(Server::start(command)?) } else { None };
    let gateway = Arc::new(Gateway::new(ticket.clone(), process.clone(), out));
    let mut child = None;
    let mut server = None;
    let mut hears = None;
    if let (Some((started, process_of, output)), Some(process)) = (started, process.clone()) {
        let started = Arc::new(started);
        let reader = started.clone();
        tasks.spawn(async move { reader.read(output).await });
        let (lent, of, words) = (started.clone(), gateway.clone(), words(command));
        tasks.spawn(async move {
            let why = lend::lend(lent, ticket, process, words).await;
            of.end(&why);
        });
        (child, server) = (Some(process_of), Some(started));
    }
    let begun = Arc::new(Notify::new());
    if process.is_some() {
        let of = gateway.clone();
        hears = Some(tokio::spawn(async move { of.listen().await }));
    } else {
        let (of, begun) = (gateway.clone(), begun.clone());
        tasks.spawn(async move {
            begun.notified().await;
            of.listen().await;
        });
    }
    let agent = Agent { gateway, server, hears, begun, flights: Flights::default() };
    let (agent, ended) = agent.serve(input, &mut child, &mut writer).await;
    let outcome = agent.end(child, ended).await;
    tasks.shutdown().await;
    // The last lines; whoever reads them may have gone.
    if !writer.is_finished() {
        let _written = tokio::time::timeout(MCP_STOP, writer).await;
    }
    outcome
}

/// Standard input or output, past every buffer.
fn standard(descriptor: BorrowedFd<'_>) -> Result<File, Failure> {
    let own = descriptor.try_clone_to_owned();
    own.map(|own| File::from_std(std::fs::File::from(own)))
        .map_err(|e| Failure::could_not(format!("standard input and output are not there: {e}")))
}

/// A command's words for the record.
fn words(command: &[OsString]) -> String {
    let words: Vec<String> = command.iter().map(|word| crate::run::printable(word)).collect();
    words.join("\0")
}

/// Writes each line whole, and ends when nobody has more to say, or nobody reads.
async fn write(mut out: File, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(mut line) = lines.recv().await {
        line.push(b'\n');
        if out.write_all(&line).await.is_err() || out.flush().await.is_err() {
            return;
        }
    }
}

/// Why it is over.
enum Ended {
    /// The agent has closed its end.
    Client,
    /// The server has ended by itself.
    Server(std::io::Result<ExitStatus>),
    /// Somebody wants this process to end.
    Signal(i32),
    /// The gateway knows the run no more.
    Run(String),
}

/// The agent's side: its lines, and what is under way for it.
struct Agent {
    gateway: Arc<Gateway>,
    server: Option<Arc<Server>>,
    /// Carries what nobody asked for, where a server was started.
    hears: Option<JoinHandle<()>>,
    /// A session of a server behind the gateway has begun: what nobody asks for in it can be listened to.
    begun: Arc<Notify>,
    flights: Flights,
}

struct Flights {
    tasks: JoinSet<()>,
    room: Arc<Semaphore>,
    /// Requests without an answer, by id.
    by_id: Arc<Mutex<HashMap<String, AbortHandle>>>,
}

impl Default for Flights {
    fn default() -> Flights {
        let room = Arc::new(Semaphore::new(MCP_IN_FLIGHT_MAX));
        Flights { tasks: JoinSet::new(), room, by_id: Arc::default() }
    }
}

impl Agent {
    async fn serve(
        mut self,
        input: File,
        child: &mut Option<Child>,
        writer: &mut JoinHandle<()>,
    ) -> (Agent, Ended) {
        let gateway = self.gateway.clone();
        let ended = tokio::select! {
            status = exit_of(child) => Ended::Server(status),
            number = signalled() => Ended::Signal(number),
            why = gateway.over() => Ended::Run(why),
            _nobody_reads = writer => Ended::Client,
            () = self.read(input) => Ended::Client,
        };
        (self, ended)
    }

    /// Carries the agent's lines until there are no more.
    async fn read(&mut self, mut input: File) {
        let mut lines = Lines::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = input.read(&mut buffer).await.unwrap_or(0);
            let cut = match buffer.get(..read) {
                Some([]) | None => break,
                Some(bytes) => lines.push(bytes),
            };
            for line in cut {
                self.take(line).await;
            }
        }
        if let Some(line) = lines.finish() {
            self.take(line).await;
        }
    }

    async fn take(&mut self, line: Line) {
        let error = |code, why: &str| self.gateway.say(message::error(None, code, why));
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong(bytes) => {
                return error(NO_MESSAGE, &format!("a line of {bytes} bytes, and none above 8 MiB is read"))
                    .await;
            }
        };
        let Some(said) = Message::read(&line) else {
            return match serde_json::from_slice::<serde::de::IgnoredAny>(&line) {
                Ok(_) => error(NO_MESSAGE, "it is not one message of JSON-RPC 2.0").await,
                Err(_) => error(NO_JSON, "it is no JSON").await,
            };
        };
        match &said.what {
            What::Request(_) => self.request(said, line).await,
            What::Notification | What::Response(_) => self.notice(said, line).await,
        }
    }

    /// Requests are under way at the same time.
    async fn request(&mut self, said: Message, line: Vec<u8>) {
        while self.flights.tasks.try_join_next().is_some() {}
        let Ok(place) = self.flights.room.clone().acquire_owned().await else { return };
        // The stream of what nobody asks for belongs to a session, which is there after this one.
        let begins = said.method == "initialize" && self.server.is_none();
        let (gateway, by_id, begun) = (self.gateway.clone(), self.flights.by_id.clone(), self.begun.clone());
        let id = said.id().unwrap_or_default().to_owned();
        let (key, patience) = (id.clone(), if said.method == "initialize" { MCP_BEGIN } else { MCP_ORDER });
        let begin = said.method == "initialize";
        let (landed, lands) = oneshot::channel::<()>();
        let flight = async move {
            let (_place, _until_it_landed): (OwnedSemaphorePermit, _) = (place, landed);
            gateway.carry(&said, line).await;
            by_id.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            if begins {
                begun.notify_one();
            }
        };
        {
            let mut flying = self.flights.by_id.lock().unwrap_or_else(PoisonError::into_inner);
            let handle = self.flights.tasks.spawn(flight);
            flying.insert(id.clone(), handle);
        }
        // What comes behind it reaches the server behind it.
        let arrives = async {
            match &self.server {
                Some(server) if !begin => server.was_asked(&id).await,
                Some(_) | None => std::future::pending().await,
            }
        };
        if self.server.is_some() || begin {
            let first = async {
                tokio::select! { _ = lands => {}, () = arrives => {} }
            };
            let _in_order_if_in_time = tokio::time::timeout(patience, first).await;
        }
    }

    /// Notifications and answers reach the server in their order.
    async fn notice(&mut self, said: Message, line: Vec<u8>) {
        if let Some(id) = said.cancels() {
            let flight = self.flights.by_id.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            let reached = self.server.as_ref().is_none_or(|server| server.is_asked(&id));
            if let Some(flight) = flight {
                if !reached {
                    // It waits for a decision, or for its record: nobody has to be told but the gateway, which sees it go.
                    return flight.abort();
                }
                if self.server.is_none() {
                    // Over HTTP a request ends with its connection; the older revisions want to be told, too.
                    if said.version().is_none() {
                        self.gateway.carry(&said, line).await;
                    }
                    return flight.abort();
                }
                self.gateway.forgo(&id);
            }
        }
        self.gateway.carry(&said, line).await;
    }

    /// What is under way may come to its end; then the server ends, if it has not.
    async fn end(mut self, child: Option<Child>, ended: Ended) -> Outcome {
        let drained = async { while self.flights.tasks.join_next().await.is_some() {} };
        let patience = match &ended {
            Ended::Client | Ended::Server(_) => MCP_DRAIN,
            Ended::Signal(_) | Ended::Run(_) => std::time::Duration::ZERO,
        };
        let landed = tokio::time::timeout(patience, drained).await.is_ok();
        if let (Ended::Server(Ok(status)), Some(server), false) = (&ended, &self.server, landed) {
            // What it started may keep its output open, and answer nobody.
            server.over(&format!("the server has ended ({status})"));
            let told = async { while self.flights.tasks.join_next().await.is_some() {} };
            let _as_far_as_it_came = tokio::time::timeout(MCP_DRAIN, told).await;
        }
        let status = match (child, &self.server, &ended) {
            (_, Some(server), Ended::Server(_)) => {
                server.close_input().await;
                None
            }
            (Some(mut child), Some(server), _) => {
                self.gateway.last();
                Some(server::stop(server, &mut child).await)
            }
            _ => {
                let _left = tokio::time::timeout(MCP_CONNECT, self.gateway.leave()).await;
                None
            }
        };
        // The server's last words, and the end of their stream.
        if let Some(hears) = self.hears {
            self.gateway.last();
            let _heard = tokio::time::timeout(MCP_DRAIN, hears).await;
        }
        let code = |status: std::io::Result<ExitStatus>| match status {
            Ok(status) => Ok(ExitCode::from(launch::code(status))),
            Err(e) => Err(Failure::could_not(format!("cannot wait for the server: {e}"))),
        };
        match (ended, status) {
            (Ended::Run(why), _) => Err(Failure::no(why)),
            (Ended::Signal(number), _) => Ok(ExitCode::from(u8::try_from(128 + number).unwrap_or(255))),
            (Ended::Server(status), _) => code(status),
            (Ended::Client, Some(status)) => code(status),
            (Ended::Client, None) => Ok(ExitCode::SUCCESS),
        }
    }
}

async fn exit_of(child: &mut Option<Child>) -> std::io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

/// The number of the signal by which somebody asks this process to end.
async fn signalled() -> i32 {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let streams: std::io::Result<Vec<_>> =
        kinds.iter().map(|kind| Ok((kind.as_raw_value(), signal(*kind)?))).collect();
    // Without a handler a signal ends the process by itself.
    let Ok(mut streams) = streams else { return std::future::pending().await };
    std::future::poll_fn(|cx| {
        for (number, stream) in &mut streams {
            if let std::task::Poll::Ready(Some(())) = stream.poll_recv(cx) {
                return std::task::Poll::Ready(*number);
            }
        }
        std::task::Poll::Pending
    })
    .await
}
