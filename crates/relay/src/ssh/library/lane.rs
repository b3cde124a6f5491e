//! A channel of a client's, as its task sees it: what the client asked and sent, and the way back.
//!
//! **Invariant:** whoever brings what the client sent never waits here; what is held is bounded by the window that the client has, and
//! by limits of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use russh::server::{Handle, Msg};
use russh::{ChannelId, ChannelWriteHalf, Pty, Sig};
use terminal::Size;
use tokio::sync::Notify;

use crate::limits::{
    CHUNK_BYTES, SSH_NAME_BYTES_MAX, SSH_REQUEST_BYTES_MAX, SSH_REQUESTS_MAX, SSH_STDIN_BYTES,
};
use crate::runs::Channel;

/// What a client asks of a channel (RFC 4254, 6).
#[derive(Debug)]
pub(in crate::ssh) enum Request {
    Env(String, String),
    /// A terminal for the program that comes.
    Terminal(Terminal),
    Exec(Bytes),
    Shell,
    /// The terminal's window has another size now.
    Window(Size),
    Subsystem(String),
    Signal(Sig),
    /// What is not passed on whatever policy says, and is in the record.
    Beside(Beside),
}

/// A terminal that a client asks for (RFC 4254, 6.2), as far as it is asked for at the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct Terminal {
    /// What the client calls it: a plain name, or nothing.
    pub(in crate::ssh) term: String,
    pub(in crate::ssh) size: Size,
    /// Each once.
    modes: Vec<(Pty, u32)>,
}

impl Terminal {
    /// Of modes that are there several times, the last counts.
    pub(super) fn new(term: &str, size: Size, modes: &[(Pty, u32)]) -> Terminal {
        let mut own: Vec<(Pty, u32)> = Vec::new();
        for (mode, value) in modes {
            match own.iter_mut().find(|(known, _)| known == mode) {
                Some((_, known)) => *known = *value,
                None => own.push((*mode, *value)),
            }
        }
        Terminal { term: term.to_owned(), size, modes: own }
    }

    pub(super) fn modes(&self) -> &[(Pty, u32)] {
        &self.modes
    }

    /// All of it, so that no two say the same.
    pub(in crate::ssh) fn as_text(&self) -> String {
        let modes: String =
            self.modes.iter().map(|(mode, value)| format!(" {}={value}", *mode as u8)).collect();
        format!("{} {}x{}{modes}", self.term, self.size.columns(), self.size.rows())
    }
}

/// What is asked for beside programs and files, and refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ssh) struct Beside {
    /// A constant for the record.
    pub(in crate::ssh) what: &'static str,
    /// What the client named.
    pub(in crate::ssh) name: String,
}

/// What came of the client's standard input.
pub(in crate::ssh) enum Stdin {
    Data(Bytes),
    End,
}

pub(super) struct Inbox {
    /// Of the run's channels, this one.
    _present: Channel,
    state: Mutex<State>,
    /// There is one waiter for requests and one for input.
    came: Notify,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    /// What they hold.
    request_bytes: usize,
    stdin: BytesMut,
    ended: bool,
    closed: bool,
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Request::Env(name, value) => name.len() + value.len(),
            Request::Exec(command) => command.len(),
            Request::Subsystem(name) => name.len(),
            Request::Beside(beside) => beside.name.len(),
            Request::Terminal(terminal) => terminal.term.len() + 8 * terminal.modes.len(),
            Request::Shell | Request::Signal(_) | Request::Window(_) => 0,
        }
    }
}

impl Beside {
    /// Of a long name the beginning is kept.
    pub(super) fn new(what: &'static str, name: &str) -> Beside {
        Beside { what, name: beginning(name).to_owned() }
    }
}

/// At most [`SSH_NAME_BYTES_MAX`] bytes of a name.
pub(super) fn beginning(name: &str) -> &str {
    let end = name.floor_char_boundary(SSH_NAME_BYTES_MAX);
    name.get(..end).unwrap_or_default()
}

impl State {
    fn input(&mut self) -> Option<Stdin> {
        match self.stdin.len() {
            0 => (self.ended && !self.closed).then_some(Stdin::End),
            some => Some(Stdin::Data(self.stdin.split_to(some.min(CHUNK_BYTES)).freeze())),
        }
    }
}

impl Inbox {
    pub(super) fn new(present: Channel) -> Inbox {
        Inbox { _present: present, state: Mutex::default(), came: Notify::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false`: there is no room, and the client is told that it failed.
    pub(super) fn ask(&self, request: Request) -> bool {
        let mut state = self.lock();
        if let (Some(Request::Window(last)), Request::Window(now)) = (state.requests.back_mut(), &request) {
            // Of sizes that nobody has taken, the last one counts.
            *last = *now;
            return true;
        }
        let bytes = state.request_bytes.saturating_add(request.bytes());
        let room = state.requests.len() < SSH_REQUESTS_MAX && bytes <= SSH_REQUEST_BYTES_MAX;
        if room {
            state.request_bytes = bytes;
            state.requests.push_back(request);
        }
        drop(state);
        self.came.notify_waiters();
        room
    }

    pub(super) fn send(&self, data: &[u8]) {
        let mut state = self.lock();
        if !state.ended && !state.closed {
            state.stdin.extend_from_slice(data);
        }
        drop(state);
        self.came.notify_waiters();
    }

    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.came.notify_waiters();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.came.notify_waiters();
    }

    /// How much input nobody has taken.
    pub(super) fn held(&self) -> usize {
        self.lock().stdin.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.held() > SSH_STDIN_BYTES
    }

    async fn wait<T>(&self, mut take: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let came = self.came.notified();
            tokio::pin!(came);
            came.as_mut().enable();
            if let Some(taken) = take(&mut self.lock()) {
                return taken;
            }
            came.await;
        }
    }
}

/// The channel.
pub(in crate::ssh) struct Lane {
    pub(super) inbox: Arc<Inbox>,
    pub(super) id: ChannelId,
    pub(super) writer: ChannelWriteHalf<Msg>,
    pub(super) handle: Handle,
    /// There is a program's standard error, on which words can be said.
    pub(super) talks: bool,
}

/// The client's side of the channel is gone.
#[derive(Debug)]
pub(in crate::ssh) struct Gone;

impl Lane {
    /// The next thing that the client asks; `None`: the channel is closed.
    pub(in crate::ssh) async fn request(&self) -> Option<Request> {
        self.inbox
            .wait(|state| match state.requests.pop_front() {
                Some(request) => {
                    state.request_bytes = state.request_bytes.saturating_sub(request.bytes());
                    Some(Some(request))
                }
                None => state.closed.then_some(None),
            })
            .await
    }

    /// The next of its input, at most [`CHUNK_BYTES`]. Never resolves once the channel is closed.
    pub(in crate::ssh) async fn stdin(&self) -> Stdin {
        self.inbox.wait(State::input).await
    }

    /// The same, if there is some now.
    pub(in crate::ssh) fn stdin_now(&self) -> Option<Stdin> {
        self.inbox.lock().input()
    }

    /// Resolves when the client has closed the channel, or its connection.
    pub(in crate::ssh) async fn closed(&self) {
        self.inbox.wait(|state| state.closed.then_some(())).await
    }

    /// Whether words can be said on it: of a forward every byte is the far end's.
    pub(in crate::ssh) fn talks(&self) -> bool {
        self.talks
    }

    // What goes to the client. `writer.rs` alone calls these.

    /// Waits for the client's window.
    pub(in crate::ssh) async fn out(&self, bytes: Bytes) -> Result<(), Gone> {
        self.writer.data_bytes(bytes).await.map_err(|_| Gone)
    }

    /// The same, to standard error (RFC 4254, 5.2: type 1).
    pub(in crate::ssh) async fn err(&self, bytes: Bytes) -> Result<(), Gone> {
        self.writer.extended_data_bytes(1, bytes).await.map_err(|_| Gone)
    }

    /// Answers a request for a shell or a subsystem.
    pub(in crate::ssh) async fn answer(&self, done: bool) -> Result<(), Gone> {
        match done {
            true => self.handle.channel_success(self.id).await.map_err(|()| Gone),
            false => self.handle.channel_failure(self.id).await.map_err(|()| Gone),
        }
    }

    pub(in crate::ssh) async fn exit_status(&self, status: u32) -> Result<(), Gone> {
        self.writer.exit_status(status).await.map_err(|_| Gone)
    }

    pub(in crate::ssh) async fn exit_signal(
        &self,
        signal: Sig,
        core: bool,
        words: String,
    ) -> Result<(), Gone> {
        let told = self.handle.exit_signal_request(self.id, signal, core, words, String::new());
        told.await.map_err(|()| Gone)
    }

    /// EOF, and then the channel's end.
    pub(in crate::ssh) async fn end(&self) -> Result<(), Gone> {
        self.writer.eof().await.map_err(|_| Gone)?;
        self.writer.close().await.map_err(|_| Gone)
    }
}
