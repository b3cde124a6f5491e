//! Towards clients: a server of SSH.
//!
//! **Invariant:** whose a connection is, is said by a signature over this session (RFC 4252, 7) or by a password, in one request, with
//! the user name of that request. What was offered, tried or named before counts for nothing.
//! **Invariant:** nothing here waits for a channel's task: the connection reads on, so that a client's window is always heard of.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use russh::keys::Algorithm;
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, PublicKeyOffer, RunningSession, Session,
    VerifiedPublicKey, run_stream,
};
use russh::{
    Channel, ChannelId, ChannelOpenFailure, Disconnect, Error, Limits, MethodKind, MethodSet, Pty, Sig, SshId,
};
use terminal::Size;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::keys::{HostKey, RunKey};
use super::lane::{Beside, Inbox, Lane, Request, Terminal, beginning};
use super::stream::{Cut, Cuttable};
use super::tunnel::Target;
use super::{ID, preferred};
use crate::limits::{
    SSH_ATTEMPTS_MAX, SSH_CHANNELS_IN_ALL_MAX, SSH_CHANNELS_MAX, SSH_CHANNELS_PER_RUN_MAX,
    SSH_COMMAND_BYTES_MAX, SSH_ENV_BYTES_MAX, SSH_GOODBYE, SSH_KEEPALIVE, SSH_KEEPALIVES_MAX,
    SSH_PACKET_BYTES, SSH_REJECTED, SSH_REKEY, SSH_REKEY_BYTES, SSH_STDIN_BYTES, SSH_TRICKLE,
    SSH_WINDOW_BYTES,
};
use crate::runs::Run;

/// Who may log in.
pub(in crate::ssh) trait Guard: Send + Sync + 'static {
    /// Whether the user name is the one that is logged in as.
    fn is_user(&self, user: &str) -> bool;
    /// The live run whose key that is.
    fn by_key(&self, key: &RunKey) -> Option<Arc<Run>>;
    /// The live run whose credential that is.
    fn by_password(&self, password: &str) -> Option<Arc<Run>>;
    /// Somebody showed what is no live run's.
    fn turned_away(&self);
}

/// What a client does on its connection.
pub(in crate::ssh) enum Ask {
    /// It has proved that it is this run, by a `key` or a `password`.
    Proved(Arc<Run>, &'static str),
    Opened(Box<Lane>),
    /// It wants a channel to another place, which is not open yet.
    Forward(Box<Lane>, Target, Opening),
    /// It asked for what is refused; where that was a channel, it is told when this is dropped.
    Beside(Beside, Option<Refused>),
}

/// Tells the client, when it is dropped, that a channel is not opened.
pub(in crate::ssh) struct Refused {
    _told_when_dropped: ChannelOpenHandle,
}

/// A channel to another place, before it is open. Dropped, it is not opened.
pub(in crate::ssh) struct Opening {
    reply: ChannelOpenHandle,
}

impl Opening {
    pub(in crate::ssh) async fn accept(self) {
        self.reply.accept().await;
    }

    /// Says why not: OpenSSH's client shows that. `unreachable`: nobody forbids it, and nobody is there.
    pub(in crate::ssh) async fn refuse(self, words: &str, unreachable: bool) {
        // RFC 4254, 5.1: 1 is "administratively prohibited", 2 "connect failed".
        let code = if unreachable { 2 } else { 1 };
        self.reply.reject(ChannelOpenFailure::Other { code, reason: words.to_owned() }).await;
    }
}

/// A connection that speaks SSH.
pub(in crate::ssh) struct Serving<G: Guard> {
    session: RunningSession<Door<G>>,
    handle: Handle,
    cut: Cut,
    pub(in crate::ssh) asks: mpsc::Receiver<Ask>,
}

/// Says who this end is, and hears who the other is. Errors: it speaks no SSH.
pub(in crate::ssh) async fn serve<G: Guard>(
    stream: TcpStream,
    cut: Cut,
    key: &HostKey,
    guard: Arc<G>,
) -> Result<Serving<G>, ()> {
    let mut methods = MethodSet::empty();
    METHODS.into_iter().for_each(|method| methods.push(method));
    let config = Config {
        server_id: SshId::Standard(Cow::Borrowed(ID)),
        methods,
        auth_rejection_time: SSH_REJECTED,
        auth_rejection_time_initial: Some(std::time::Duration::ZERO),
        keys: vec![key.private()],
        limits: Limits::new(SSH_REKEY_BYTES, SSH_REKEY_BYTES, SSH_REKEY),
        window_size: SSH_WINDOW_BYTES,
        maximum_packet_size: SSH_PACKET_BYTES,
        channel_buffer_size: 1,
        event_buffer_size: 8,
        preferred: preferred(Cow::Borrowed(&[Algorithm::Ed25519])),
        max_auth_attempts: SSH_ATTEMPTS_MAX,
        inactivity_timeout: None,
        keepalive_interval: Some(SSH_KEEPALIVE),
        keepalive_max: SSH_KEEPALIVES_MAX,
        nodelay: true,
        certificates: Vec::new(),
    };
    let (tell, asks) = mpsc::channel(SSH_CHANNELS_MAX);
    let door = Door {
        guard,
        tell,
        lanes: HashMap::new(),
        opened: 0,
        last: BEFORE_THE_FIRST,
        proved: None,
        run: None,
    };
    let stream = Cuttable::new(stream, cut.clone());
    let session = run_stream(Arc::new(config), stream, door).await.map_err(|_no_ssh| ())?;
    let handle = session.handle();
    Ok(Serving { session, handle, cut, asks })
}

impl<G: Guard> Serving<G> {
    /// Ends a connection on which nobody proved a run. Whether the client had nothing in common with what is strong enough.
    pub(in crate::ssh) async fn end_weak(self) -> bool {
        let Serving { session, asks, cut, .. } = self;
        drop(asks);
        cut.cut();
        matches!(session.await, Err(Error::NoCommonAlgo { .. }))
    }

    /// Tells the client why, if it may hear it, and ends the connection.
    pub(in crate::ssh) async fn end(self, words: Option<&str>) {
        let Serving { session, handle, cut, asks } = self;
        drop(asks);
        let goodbye = async {
            if let Some(words) = words {
                let told = handle.disconnect(Disconnect::ByApplication, words.to_owned(), String::new());
                if told.await.is_ok() {
                    // It ends when the client hangs up.
                    let _how = session.await;
                    return None;
                }
            }
            Some(session)
        };
        let left = tokio::time::timeout(SSH_GOODBYE, goodbye).await;
        cut.cut();
        if let Ok(Some(session)) = left {
            let _how = session.await;
        }
    }
}

const METHODS: [MethodKind; 2] = [MethodKind::PublicKey, MethodKind::Password];

/// The library numbers a connection's channels from 2 on.
const BEFORE_THE_FIRST: u32 = 1;

/// One client's connection, as the library calls it.
struct Door<G> {
    guard: Arc<G>,
    tell: mpsc::Sender<Ask>,
    lanes: HashMap<ChannelId, Arc<Inbox>>,
    /// Channels so far.
    opened: u64,
    /// The number of the last one that was heard of.
    last: u32,
    proved: Option<(Arc<Run>, &'static str)>,
    /// Whose it is, once it is logged in.
    run: Option<Arc<Run>>,
}

impl<G: Guard> Door<G> {
    /// Any other attempt may follow, as long as there are some left: nothing is learnt from one.
    fn no(&self) -> Auth {
        let mut methods = MethodSet::empty();
        METHODS.into_iter().for_each(|method| methods.push(method));
        Auth::Reject { proceed_with_methods: Some(methods), partial_success: false }
    }

    fn proves(&mut self, run: Option<Arc<Run>>, by: &'static str) -> Auth {
        match run {
            Some(run) => {
                self.proved = Some((run, by));
                Auth::Accept
            }
            None => {
                self.proved = None;
                self.guard.turned_away();
                self.no()
            }
        }
    }

    /// Errors: more was asked than anybody takes.
    fn tell(&self, ask: Ask) -> Result<(), Error> {
        self.tell.try_send(ask).map_err(|_too_much_or_over| Error::Disconnect)
    }

    fn beside(&self, what: &'static str, name: &str, reply: Option<ChannelOpenHandle>) -> Result<(), Error> {
        let refused = reply.map(|reply| Refused { _told_when_dropped: reply });
        self.tell(Ask::Beside(Beside::new(what, name), refused))
    }

    /// The same on a channel. Errors: there is no room for it, and nothing is passed over.
    fn beside_on(&self, channel: ChannelId, what: &'static str, name: &str) -> Result<(), Error> {
        let heard = self.ask(channel, Request::Beside(Beside::new(what, name)));
        // Of a channel that is gone nobody asks anything.
        if heard || !self.lanes.contains_key(&channel) { Ok(()) } else { Err(Error::Disconnect) }
    }

    /// Hands a request to the channel's task. `false`: there is no room.
    fn ask(&self, channel: ChannelId, request: Request) -> bool {
        self.lanes.get(&channel).is_some_and(|inbox| inbox.ask(request))
    }

    fn answered(&self, channel: ChannelId, done: bool, session: &mut Session) -> Result<(), Error> {
        match done {
            true => session.channel_success(channel),
            false => session.channel_failure(channel),
        }
    }

    /// The library numbers each channel that is asked for, also those of a kind that it knows not, and refuses.
    fn numbered(&mut self, channel: &Channel<Msg>) -> Result<(), Error> {
        let number = u32::from(channel.id());
        let unheard = number.wrapping_sub(self.last).wrapping_sub(1);
        self.last = number;
        match unheard {
            0 => Ok(()),
            some => self.beside("unknown-channel", &format!("{some} before the next one"), None),
        }
    }

    /// A channel that is asked for. `None`: there are as many as there may be.
    fn lane(&mut self, channel: Channel<Msg>, talks: bool, handle: Handle) -> Option<Lane> {
        self.sweep();
        self.opened += 1;
        let full = self.lanes.len() >= SSH_CHANNELS_MAX || self.opened > SSH_CHANNELS_IN_ALL_MAX;
        let run = self.run.as_ref().filter(|_| !full)?;
        let present = run.channel_below(SSH_CHANNELS_PER_RUN_MAX)?;
        let (id, inbox) = (channel.id(), Arc::new(Inbox::new(present)));
        self.lanes.insert(id, inbox.clone());
        // What comes is handed over here, and not by the library's own queue.
        let (_reader, writer) = channel.split();
        Some(Lane { inbox, id, writer, handle, talks })
    }

    /// A channel to another place: its task decides, and answers.
    async fn forward(
        &mut self,
        channel: Channel<Msg>,
        target: Result<Target, String>,
        reply: ChannelOpenHandle,
        handle: Handle,
    ) -> Result<(), Error> {
        self.numbered(&channel)?;
        let target = match target {
            Ok(target) => target,
            Err(written) => return self.beside("forward", &written, Some(reply)),
        };
        match self.lane(channel, false, handle) {
            Some(lane) => self.tell(Ask::Forward(Box::new(lane), target, Opening { reply })),
            None => {
                reply.reject(ChannelOpenFailure::ResourceShortage).await;
                Ok(())
            }
        }
    }

    /// Forgets the channels whose tasks are done.
    fn sweep(&mut self) {
        self.lanes.retain(|_, inbox| Arc::strong_count(inbox) > 1);
    }

    fn is_full(&self) -> bool {
        self.lanes.values().any(|inbox| inbox.is_full())
    }
}

impl<G> Drop for Door<G> {
    fn drop(&mut self) {
        self.lanes.values().for_each(|inbox| inbox.close());
    }
}

impl<G: Guard> Handler for Door<G> {
    type Error = Error;

    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Error> {
        Ok(self.no())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Error> {
        let run = self.guard.is_user(user).then(|| self.guard.by_password(password)).flatten();
        Ok(self.proves(run, "password"))
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        let known = self.guard.is_user(user)
            && RunKey::of(offer.public_key).is_some_and(|key| self.guard.by_key(&key).is_some());
        Ok(if known { Auth::Accept } else { self.no() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        let key = RunKey::of(key.public_key).filter(|_| self.guard.is_user(user));
        let run = key.and_then(|key| self.guard.by_key(&key));
        Ok(self.proves(run, "key"))
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Error> {
        let (run, by) = self.proved.take().ok_or(Error::Inconsistent)?;
        self.run = Some(run.clone());
        self.tell(Ask::Proved(run, by))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Error> {
        self.numbered(&channel)?;
        match self.lane(channel, true, session.handle()) {
            Some(lane) => {
                reply.accept().await;
                self.tell(Ask::Opened(Box::new(lane)))
            }
            None => {
                reply.reject(ChannelOpenFailure::ResourceShortage).await;
                Ok(())
            }
        }
    }

    async fn channel_open_x11(
        &mut self,
        channel: Channel<Msg>,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.numbered(&channel)?;
        self.beside("x11", "", Some(reply))
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Error> {
        let target = Target::tcp(host_to_connect, port_to_connect);
        let target = target.ok_or_else(|| format!("{host_to_connect}:{port_to_connect}"));
        self.forward(channel, target, reply, session.handle()).await
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.numbered(&channel)?;
        self.beside("forward", &format!("{host_to_connect}:{port_to_connect}"), Some(reply))
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        socket_path: &str,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Error> {
        let target = Target::socket(socket_path).ok_or_else(|| socket_path.to_owned());
        self.forward(channel, target, reply, session.handle()).await
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        _session: &mut Session,
    ) -> Result<bool, Error> {
        self.beside("reverse-forward", &format!("{address}:{port}"), None)?;
        Ok(false)
    }

    async fn streamlocal_forward(
        &mut self,
        socket_path: &str,
        _session: &mut Session,
    ) -> Result<bool, Error> {
        self.beside("reverse-forward", socket_path, None)?;
        Ok(false)
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _session: &mut Session) -> Result<(), Error> {
        let Some(inbox) = self.lanes.get(&channel) else { return Ok(()) };
        inbox.send(data);
        // Two windows are what an honest client can have had.
        if inbox.held() > SSH_STDIN_BYTES + 2 * SSH_WINDOW_BYTES as usize {
            return Err(Error::Inconsistent);
        }
        if data.len() <= TRICKLE as usize && inbox.is_full() {
            tokio::time::sleep(SSH_TRICKLE).await;
        }
        Ok(())
    }

    async fn extended_data(
        &mut self,
        _channel: ChannelId,
        _code: u32,
        _data: &[u8],
        _session: &mut Session,
    ) -> Result<(), Error> {
        // RFC 4254, 5.2: there is only standard error, and that is no client's.
        Err(Error::Inconsistent)
    }

    /// How far the next grant of window goes, on any channel. A client whose window is used up could not be granted one later.
    fn adjust_window(&mut self, _channel: ChannelId, _current: u32) -> u32 {
        if self.is_full() { TRICKLE } else { SSH_WINDOW_BYTES }
    }

    async fn channel_eof(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Error> {
        self.lanes.get(&channel).into_iter().for_each(|inbox| inbox.end());
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Error> {
        self.lanes.remove(&channel).into_iter().for_each(|inbox| inbox.close());
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        variable_name: &str,
        variable_value: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        let passes = may_pass(variable_name, variable_value);
        let done = match passes {
            true => self.ask(channel, Request::Env(variable_name.to_owned(), variable_value.to_owned())),
            false => {
                self.beside_on(channel, "env", variable_name)?;
                false
            }
        };
        self.answered(channel, done, session)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        // That it was heard says nothing of what becomes of it.
        // One that is too long is refused, and its beginning is enough for that.
        let data = data.get(..=SSH_COMMAND_BYTES_MAX).unwrap_or(data);
        let heard = self.ask(channel, Request::Exec(Bytes::copy_from_slice(data)));
        self.answered(channel, heard, session)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Error> {
        let heard = self.ask(channel, Request::Shell);
        self.answered(channel, heard, session)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        // Its task answers: of one that is not there a client does otherwise.
        match self.ask(channel, Request::Subsystem(beginning(name).to_owned())) {
            true => Ok(()),
            false => session.channel_failure(channel),
        }
    }

    async fn signal(&mut self, channel: ChannelId, signal: Sig, _session: &mut Session) -> Result<(), Error> {
        let _dropped_where_there_are_too_many = self.ask(channel, Request::Signal(signal));
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        col_width: u32,
        row_height: u32,
        _pix_width: u32,
        _pix_height: u32,
        modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        let done = match may_pass("TERM", term) {
            true => {
                let terminal = Terminal::new(term, Size::new(col_width, row_height), modes);
                self.ask(channel, Request::Terminal(terminal))
            }
            false => {
                self.beside_on(channel, "pty", term)?;
                false
            }
        };
        self.answered(channel, done, session)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        col_width: u32,
        row_height: u32,
        _pix_width: u32,
        _pix_height: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        let heard = self.ask(channel, Request::Window(Size::new(col_width, row_height)));
        self.answered(channel, heard, session)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single_connection: bool,
        _x11_auth_protocol: &str,
        _x11_auth_cookie: &str,
        _x11_screen_number: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        self.beside_on(channel, "x11", "")?;
        session.channel_failure(channel)
    }

    async fn agent_request(&mut self, channel: ChannelId, _session: &mut Session) -> Result<bool, Error> {
        self.beside_on(channel, "agent", "")?;
        Ok(false)
    }
}

/// A grant of window while too much waits: the smallest that is given again when it was used (half of it is more than nothing).
const TRICKLE: u32 = 2;

/// Categories of a locale (POSIX, and glibc's).
const LOCALE: &[&str] = &[
    "ALL",
    "ADDRESS",
    "COLLATE",
    "CTYPE",
    "IDENTIFICATION",
    "MEASUREMENT",
    "MESSAGES",
    "MONETARY",
    "NAME",
    "NUMERIC",
    "PAPER",
    "TELEPHONE",
    "TIME",
];

/// Whether a variable of the client's reaches the host: how a terminal and a locale look. Any other could say which program runs, and
/// a value with a path which file is read.
fn may_pass(name: &str, value: &str) -> bool {
    let named = matches!(name, "LANG" | "LANGUAGE" | "TERM" | "COLORTERM" | "TZ" | "NO_COLOR")
        || name.strip_prefix("LC_").is_some_and(|rest| LOCALE.contains(&rest));
    // `Europe/Berlin`.
    let zone = name == "TZ" && !value.starts_with('/') && !value.contains("..");
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.@+".contains(&b) || (b == b'/' && zone);
    let listed = |b: u8| b == b':' && name == "LANGUAGE";
    // The host's shell reads the command in these: in another set of characters it could read another one.
    let locale = name == "LANG" || name.starts_with("LC_");
    let set = value.split('@').next().and_then(|value| value.split_once('.')).map(|(_, set)| set);
    let read_alike = matches!(value, "C" | "POSIX" | "") || matches!(set, Some("UTF-8" | "utf8"));
    (read_alike || !locale)
        && named
        && value.len() <= SSH_ENV_BYTES_MAX
        && value.bytes().all(|b| plain(b) || listed(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_how_things_look_reaches_the_host() {
        for (name, value) in [
            ("LANG", "de_DE.UTF-8"),
            ("LC_ALL", "C"),
            ("LC_TIME", "sr_RS.UTF-8@latin"),
            ("TERM", "xterm-256color"),
            ("LANGUAGE", "de:en"),
            ("TZ", "Europe/Berlin"),
            ("LANGUAGE", "de:en"),
            ("TZ", "Europe/Berlin"),
        ] {
            assert!(may_pass(name, value), "{name}");
        }
        for (name, value) in [
            ("LD_PRELOAD", "/x.so"),
            ("PATH", "/x"),
            ("BASH_ENV", "/x"),
            ("LC_", "() { :; }"),
            ("LANG", "a b"),
            ("LC_x", "C"),
            ("LC_PAYLOAD", "x"),
            ("LC_CTYPE", "zh_TW.BIG5"),
            ("LANG", "de_DE"),
            ("LC_ALL", "../../tmp/x"),
            ("LC_ALL", &"x".repeat(33)),
            ("TZ", ":/etc/passwd"),
            ("TZ", "/etc/passwd"),
            ("TZ", "../passwd"),
            ("LANG", "../../tmp/x"),
            ("TZ", ":/etc/shadow"),
            ("TZ", "../../etc/shadow"),
            ("TERM", "/tmp/x"),
            ("TERM", &"x".repeat(200)),
        ] {
            assert!(!may_pass(name, value), "{name}");
        }
    }
}
