//! The server that a client starts: its process, and who waits for which of its lines.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex as Turn, Notify, mpsc};

use super::lines::{Line, Lines, flat};
use super::message::{self, Message, What};
use super::shims;
use crate::fault::Failure;
use crate::limits::{MCP_NOISE_TOLD_MAX, MCP_QUEUE_MAX, MCP_STOP, MCP_WRITE};

/// A line of the server's for one request.
pub enum Said {
    /// The answer.
    Answer(Vec<u8>),
    /// Something about it, before the answer.
    Meanwhile(Vec<u8>),
}

/// The server as the bridge sees it.
pub struct Server {
    input: Turn<Option<ChildStdin>>,
    waiting: Mutex<Waiting>,
    /// What nobody asked for; nothing more, once the server has ended.
    unasked: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
    /// Whoever hears what nobody asked for; one at a time.
    pub hears: Arc<Turn<mpsc::Receiver<Vec<u8>>>>,
    noise: AtomicU32,
    /// A request was written.
    wrote: Notify,
}

#[derive(Default)]
struct Waiting {
    /// How many requests there were: a client may use an id again.
    asked: u64,
    by_id: HashMap<String, Waits>,
    /// Why nobody will be answered any more.
    over: Option<String>,
}

struct Waits {
    asked: u64,
    tell: mpsc::Sender<Said>,
    progress: Option<String>,
}

/// Why a message did not reach the server.
pub enum NotSent {
    /// Another request has this id, and no answer yet.
    SameId,
    Over(String),
}

impl Server {
    /// Starts the command. Its standard error is ours.
    pub fn start(command: &[OsString]) -> Result<(Server, Child, ChildStdout), Failure> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| Failure::usage("`--` is followed by the server's command"))?;
        let real = shims::real(program, std::env::var_os("PATH"))?;
        let mut command = Command::new(&real);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        // What it starts ends with it: signals go to the group.
        command.process_group(0);
        let failed = |e: std::io::Error| Failure::could_not(format!("cannot start {}: {e}", real.display()));
        let mut child = command.spawn().map_err(failed)?;
        let no_pipe = || Failure::could_not("the server was started without pipes");
        let input = child.stdin.take().ok_or_else(no_pipe)?;
        let output = child.stdout.take().ok_or_else(no_pipe)?;
        let (unasked, hears) = mpsc::channel(MCP_QUEUE_MAX);
        let server = Server {
            input: Turn::new(Some(input)),
            waiting: Mutex::default(),
            unasked: Mutex::new(Some(unasked)),
            hears: Arc::new(Turn::new(hears)),
            noise: AtomicU32::new(0),
            wrote: Notify::new(),
        };
        Ok((server, child, output))
    }

    /// Reads the server's output to its end, and gives each line to whoever waits for it.
    pub async fn read(&self, mut output: ChildStdout) {
        let mut lines = Lines::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = output.read(&mut buffer).await.unwrap_or(0);
            let cut = match buffer.get(..read) {
                Some([]) | None => break,
                Some(bytes) => lines.push(bytes),
            };
            for line in cut {
                self.hear(line).await;
            }
        }
        if let Some(line) = lines.finish() {
            self.hear(line).await;
        }
        self.over("the server has closed its output");
    }

    async fn hear(&self, line: Line) {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong(bytes) => {
                let why = format!("the server wrote a line of {bytes} bytes, and none above 8 MiB is read");
                eprintln!("tacho: {why}; it is left out");
                // Whose answer it was nobody knows.
                return self.fail_all(&why);
            }
        };
        let Some(said) = Message::read(&line) else {
            return self.noise(line.len(), "it is no message of JSON-RPC");
        };
        let line = flat(&line);
        if let What::Response(id) = &said.what {
            let waits = self.lock().by_id.remove(id);
            match waits {
                // Whoever asked may have gone.
                Some(waits) => drop(waits.tell.send(Said::Answer(line)).await),
                None => self.noise(line.len(), "nobody waits for this answer"),
            }
            return;
        }
        // On a stream that others' messages come on, too, one that cannot be read would end it.
        if let Err(why) = proto_http::mcp::said(&line) {
            return self.noise(line.len(), why.0);
        }
        if let Some(tell) = said.tells_progress().and_then(|token| self.whose_progress(&token)) {
            return drop(tell.send(Said::Meanwhile(line)).await);
        }
        let unasked = self.unasked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(unasked) = unasked {
            let _nobody_hears_at_the_end = unasked.send(line).await;
        }
    }

    fn whose_progress(&self, token: &str) -> Option<mpsc::Sender<Said>> {
        let waiting = self.lock();
        let of = |waits: &&Waits| waits.progress.as_deref() == Some(token);
        waiting.by_id.values().find(of).map(|waits| waits.tell.clone())
    }

    /// What is no message goes nowhere.
    fn noise(&self, bytes: usize, why: &str) {
        match self.noise.fetch_add(1, Ordering::Relaxed) {
            n if n < MCP_NOISE_TOLD_MAX => {
                eprintln!("tacho: a line of {bytes} bytes of the server's output is left out: {why}");
            }
            MCP_NOISE_TOLD_MAX => eprintln!("tacho: further lines like that are left out, too"),
            _ => {}
        }
    }

    /// Sends a request, and gives its number and where its answer comes.
    pub async fn ask(
        &self,
        asked: &Message,
        id: &str,
        line: &[u8],
    ) -> Result<(u64, mpsc::Receiver<Said>), NotSent> {
        let (tell, answers) = mpsc::channel(MCP_QUEUE_MAX);
        let number = {
            let mut waiting = self.lock();
            if let Some(why) = &waiting.over {
                return Err(NotSent::Over(why.clone()));
            }
            if waiting.by_id.contains_key(id) {
                return Err(NotSent::SameId);
            }
            waiting.asked += 1;
            let number = waiting.asked;
            let progress = asked.wants_progress();
            waiting.by_id.insert(id.to_owned(), Waits { asked: number, tell, progress });
            number
        };
        match self.write(line).await {
            Ok(()) => {
                self.wrote.notify_waiters();
                Ok((number, answers))
            }
            Err(why) => {
                self.forget(id, number);
                Err(why)
            }
        }
    }

    /// Sends what has no answer.
    pub async fn tell(&self, said: &Message, line: &[u8]) -> Result<(), NotSent> {
        self.write(line).await?;
        if let Some(id) = said.cancels()
            && let Some(waits) = self.lock().by_id.remove(&id)
        {
            // A server need not answer what was cancelled.
            let error = message::error(Some(&id), message::CANCELLED, "the request was cancelled");
            let _gone = waits.tell.try_send(Said::Answer(error));
        }
        Ok(())
    }

    async fn write(&self, line: &[u8]) -> Result<(), NotSent> {
        let mut input = self.input.lock().await;
        let Some(to) = input.as_mut() else {
            return Err(NotSent::Over("the server's input is closed".to_owned()));
        };
        let mut line = flat(line);
        line.push(b'\n');
        let write = async {
            to.write_all(&line).await?;
            to.flush().await
        };
        let why = match tokio::time::timeout(MCP_WRITE, write).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(e)) => format!("the server takes no input: {e}"),
            Err(_) => "the server takes no input".to_owned(),
        };
        // A part of the line may have been taken; behind it nothing is a message.
        *input = None;
        Err(NotSent::Over(why))
    }

    /// Whether the server was asked, and has not answered.
    pub fn is_asked(&self, id: &str) -> bool {
        self.lock().by_id.contains_key(id)
    }

    /// Resolves when the server was asked this.
    pub async fn was_asked(&self, id: &str) {
        loop {
            let wrote = self.wrote.notified();
            tokio::pin!(wrote);
            wrote.as_mut().enable();
            if self.is_asked(id) {
                return;
            }
            wrote.await;
        }
    }

    /// Whoever asked this has gone.
    pub fn forget(&self, id: &str, number: u64) {
        let mut waiting = self.lock();
        if waiting.by_id.get(id).is_some_and(|waits| waits.asked == number) {
            waiting.by_id.remove(id);
        }
    }

    /// The end of what the server says. Whoever waits is told.
    pub fn over(&self, why: &str) {
        self.lock().over.get_or_insert_with(|| why.to_owned());
        self.fail_all(why);
        self.unasked.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn fail_all(&self, why: &str) {
        let all: Vec<(String, Waits)> = self.lock().by_id.drain().collect();
        for (id, waits) in all {
            let error = message::error(Some(&id), message::NOT_CARRIED, why);
            // Without room its receiver ends without an answer, and says so.
            let _gone = waits.tell.try_send(Said::Answer(error));
        }
    }

    pub async fn close_input(&self) {
        // A write that waits for the server is over in MCP_WRITE; nobody waits for that here.
        if let Ok(mut input) = tokio::time::timeout(MCP_STOP, self.input.lock()).await {
            *input = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the server as MCP says: its input is closed, then it gets SIGTERM, then SIGKILL.
pub async fn stop(server: &Server, child: &mut Child) -> std::io::Result<ExitStatus> {
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    server.close_input().await;
    for signal in [Signal::TERM, Signal::KILL] {
        if let Ok(status) = tokio::time::timeout(MCP_STOP, child.wait()).await {
            return status;
        }
        if let Some(group) = group {
            // It may have ended in this moment.
            let _gone = rustix::process::kill_process_group(group, signal);
        }
    }
    child.wait().await
}
