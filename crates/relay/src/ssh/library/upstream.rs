//! Towards hosts: a client of SSH. One program runs on a connection at a time, so that what waits for one holds back no other.
//!
//! **Invariant:** nothing is said of a user or a credential before the host has proved a pinned key.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use russh::Names;
use russh::client::{AuthResult, ChannelOpenHandle, Config, Handle, Handler, Msg, Session, connect_stream};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{
    AlgorithmKind, Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect, Error, Limits, Sig,
    SshId,
};
use terminal::Size;
use tokio::net::TcpStream;

use super::keys::{KeyKind, Login, Pinned};
use super::lane::Terminal;
use super::stream::{Cut, Cuttable};
use super::{ID, KEYS, preferred};
use crate::limits::{
    SSH_GOODBYE, SSH_KEEPALIVE, SSH_KEEPALIVES_MAX, SSH_PACKET_BYTES, SSH_QUEUE, SSH_REKEY, SSH_REKEY_BYTES,
    SSH_UPSTREAM_WINDOW_BYTES,
};

/// A connection to a host, logged in.
pub(in crate::ssh) struct Upstream {
    pub(super) handle: Handle<Checks>,
    cut: Cut,
    open_ssh: bool,
}

/// It, and what the host proved.
pub(in crate::ssh) struct Dialled {
    pub(in crate::ssh) upstream: Upstream,
    pub(in crate::ssh) key: KeyKind,
}

/// Why there is none.
#[derive(Debug)]
pub(in crate::ssh) enum NotDialled {
    /// It cannot be reached, or speaks nothing that is understood: a sentence for the operator.
    Unreachable(String),
    /// It showed another key than the pinned ones, or none is pinned.
    Unproved(Option<KeyKind>),
    /// It has nothing in common with what is strong enough: a sentence.
    Weak(&'static str),
    /// It does not let this login in.
    NotLoggedIn,
}

/// What a host has to have at least one of.
fn weak(kind: &AlgorithmKind) -> &'static str {
    match kind {
        AlgorithmKind::Kex => "the host has no key exchange that is strong enough",
        AlgorithmKind::Key => "the host has no kind of key that is strong enough",
        AlgorithmKind::Cipher => "the host has no cipher that is strong enough",
        AlgorithmKind::Mac => "the host has no MAC that is strong enough",
        AlgorithmKind::Compression => "the host wants compression",
    }
}

/// Speaks to a host over `stream`. `pins`: the keys that prove it; `None`: none does, and this is to see which it shows.
pub(in crate::ssh) async fn dial(
    stream: TcpStream,
    pins: Option<&Pinned>,
    user: &str,
    login: &Login,
) -> Result<Dialled, NotDialled> {
    let keys = pins.map_or(Cow::Borrowed(KEYS), |pins| Cow::Owned(pins.algorithms()));
    let config = Config {
        client_id: SshId::Standard(Cow::Borrowed(ID)),
        limits: Limits::new(SSH_REKEY_BYTES, SSH_REKEY_BYTES, SSH_REKEY),
        window_size: SSH_UPSTREAM_WINDOW_BYTES,
        maximum_packet_size: SSH_PACKET_BYTES,
        channel_buffer_size: SSH_QUEUE,
        preferred: preferred(keys),
        inactivity_timeout: None,
        keepalive_interval: Some(SSH_KEEPALIVE),
        keepalive_max: SSH_KEEPALIVES_MAX,
        nodelay: true,
        ..Config::default()
    };
    let (cut, seen) = (Cut::default(), Seen::default());
    let checks = Checks { pins: pins.cloned(), seen: seen.clone() };
    let cuts = CutOnDrop(Some(cut.clone()));
    let connected = connect_stream(Arc::new(config), Cuttable::new(stream, cut.clone()), checks).await;
    let shown = || seen.saw().key.clone();
    let mut handle = match connected {
        Ok(handle) => handle,
        // It showed another key, or has none of the pinned kinds.
        Err(Error::UnknownKey | Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. }) => {
            return Err(NotDialled::Unproved(shown()));
        }
        Err(Error::NoCommonAlgo { kind, .. }) => return Err(NotDialled::Weak(weak(&kind))),
        Err(why) => return Err(NotDialled::Unreachable(why.to_string())),
    };
    let done = match login {
        Login::Password(password) => handle.authenticate_password(user, password.as_str()).await,
        Login::Key(key) => {
            handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(key.clone(), None)).await
        }
        Login::Certificate(key, certificate) => {
            handle.authenticate_openssh_cert(user, key.clone(), (**certificate).clone()).await
        }
    };
    match (done, shown()) {
        (Ok(AuthResult::Success), Some(key)) => {
            cuts.keep();
            let open_ssh = seen.saw().open_ssh;
            Ok(Dialled { upstream: Upstream { handle, cut, open_ssh }, key })
        }
        (Ok(AuthResult::Success), None) => Err(NotDialled::Unproved(None)),
        (Ok(AuthResult::Failure { .. }), _) => Err(NotDialled::NotLoggedIn),
        (Err(why), _) => Err(NotDialled::Unreachable(why.to_string())),
    }
}

/// The library reads on for as long as the stream does.
struct CutOnDrop(Option<Cut>);

impl CutOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.iter().for_each(Cut::cut);
    }
}

impl Upstream {
    pub(in crate::ssh) fn is_over(&self) -> bool {
        self.handle.is_closed()
    }

    pub(in crate::ssh) fn bytes(&self) -> u64 {
        self.cut.bytes()
    }

    /// Whether the host says of itself that it is OpenSSH's.
    pub(in crate::ssh) fn is_open_ssh(&self) -> bool {
        self.open_ssh
    }

    /// A channel on which a program may be started. Errors: the host opens none.
    pub(in crate::ssh) async fn open(&self) -> Result<Program, ()> {
        let channel = self.handle.channel_open_session().await.map_err(|_why| ())?;
        let (reader, writer) = channel.split();
        Ok(Program { reader, writer })
    }

    /// Ends the connection. A program without a terminal is told nothing by that, and may go on.
    pub(in crate::ssh) async fn end(mut self) {
        let goodbye = async {
            let _told = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
            let _how = (&mut self.handle).await;
        };
        let late = tokio::time::timeout(SSH_GOODBYE, goodbye).await.is_err();
        self.cut.cut();
        if late {
            let _how = (&mut self.handle).await;
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.cut.cut();
    }
}

/// What a program says.
pub(in crate::ssh) enum Said {
    Out(Bytes),
    Err(Bytes),
    Exit(u32),
    /// The name, whether there is a core, and words.
    Signal(Sig, bool, String),
    /// The host does what it was asked, or not.
    Answered(bool),
    /// It has said all, and closes the channel.
    Closed,
}

/// A channel of a host's.
pub(in crate::ssh) struct Program {
    reader: ChannelReadHalf,
    writer: ChannelWriteHalf<Msg>,
}

impl Program {
    /// Both halves: what it says, and what is sent to it.
    pub(in crate::ssh) fn split(self) -> (Ear, Mouth) {
        (Ear { reader: self.reader }, Mouth { writer: self.writer })
    }
}

/// What it says.
pub(in crate::ssh) struct Ear {
    reader: ChannelReadHalf,
}

impl Ear {
    /// What it has said already.
    pub(in crate::ssh) async fn now(&mut self) -> Option<Said> {
        let mut next = std::pin::pin!(self.next());
        std::future::poll_fn(|cx| {
            Poll::Ready(match next.as_mut().poll(cx) {
                Poll::Ready(said) => said,
                Poll::Pending => None,
            })
        })
        .await
    }

    /// `None`: the connection is gone, or the channel was closed before. May be dropped while it waits: nothing is lost.
    pub(in crate::ssh) async fn next(&mut self) -> Option<Said> {
        loop {
            match self.reader.wait().await? {
                ChannelMsg::Data { data } => return Some(Said::Out(data)),
                ChannelMsg::ExtendedData { data, ext: 1 } => return Some(Said::Err(data)),
                ChannelMsg::ExitStatus { exit_status } => return Some(Said::Exit(exit_status)),
                ChannelMsg::ExitSignal { signal_name, core_dumped, error_message, .. } => {
                    return Some(Said::Signal(signal_name, core_dumped, error_message));
                }
                ChannelMsg::Success => return Some(Said::Answered(true)),
                ChannelMsg::Failure => return Some(Said::Answered(false)),
                ChannelMsg::Close => return Some(Said::Closed),
                // The end of its output says nothing that its close does not; no other kind of data is defined, and a window
                // that grew is the library's.
                _ => {}
            }
        }
    }
}

/// What is sent to it. `writer.rs` alone calls these.
pub(in crate::ssh) struct Mouth {
    writer: ChannelWriteHalf<Msg>,
}

impl Mouth {
    pub(in crate::ssh) async fn env(&self, name: &str, value: &str) -> Result<(), ()> {
        self.writer.set_env(false, name, value).await.map_err(|_why| ())
    }

    /// Asks for a terminal. The host answers.
    pub(in crate::ssh) async fn terminal(&self, terminal: &Terminal) -> Result<(), ()> {
        let (columns, rows) = (terminal.size.columns().into(), terminal.size.rows().into());
        let asked = self.writer.request_pty(true, &terminal.term, columns, rows, 0, 0, terminal.modes());
        asked.await.map_err(|_why| ())
    }

    pub(in crate::ssh) async fn window(&self, size: Size) -> Result<(), ()> {
        let changed = self.writer.window_change(size.columns().into(), size.rows().into(), 0, 0);
        changed.await.map_err(|_why| ())
    }

    pub(in crate::ssh) async fn shell(&self) -> Result<(), ()> {
        self.writer.request_shell(true).await.map_err(|_why| ())
    }

    pub(in crate::ssh) async fn exec(&self, command: &[u8]) -> Result<(), ()> {
        self.writer.exec(true, command).await.map_err(|_why| ())
    }

    pub(in crate::ssh) async fn subsystem(&self, name: &str) -> Result<(), ()> {
        self.writer.request_subsystem(true, name).await.map_err(|_why| ())
    }

    /// Waits for the host's window.
    pub(in crate::ssh) async fn stdin(&self, bytes: Bytes) -> Result<(), ()> {
        self.writer.data_bytes(bytes).await.map_err(|_why| ())
    }

    pub(in crate::ssh) async fn end(&self) -> Result<(), ()> {
        self.writer.eof().await.map_err(|_why| ())
    }

    pub(in crate::ssh) async fn signal(&self, signal: Sig) -> Result<(), ()> {
        self.writer.signal(signal).await.map_err(|_why| ())
    }
}

/// What the host showed.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Saw>>);

#[derive(Default)]
struct Saw {
    key: Option<KeyKind>,
    open_ssh: bool,
}

impl Seen {
    fn saw(&self) -> MutexGuard<'_, Saw> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a host's first line (RFC 4253, 4.2) is OpenSSH's.
fn is_open_ssh(line: &[u8]) -> bool {
    line.starts_with(b"SSH-2.0-OpenSSH_")
}

/// The host's side of a connection, as the library calls it.
pub(super) struct Checks {
    pins: Option<Pinned>,
    seen: Seen,
}

impl Checks {
    /// A host opens no channel of its own: nothing that would need one was asked for.
    fn no(&self, reply: ChannelOpenHandle) -> Result<(), Error> {
        drop(reply);
        Ok(())
    }
}

impl Handler for Checks {
    type Error = Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Error> {
        let key = shown.public_key();
        let certified = matches!(shown, PublicKeyOrCertificate::Certificate(_));
        self.seen.saw().key = Some(KeyKind::of(&key));
        Ok(!certified && self.pins.as_ref().is_some_and(|pins| pins.has(&key)))
    }

    async fn kex_done(
        &mut self,
        _shared_secret: Option<&[u8]>,
        _names: &Names,
        session: &mut Session,
    ) -> Result<(), Error> {
        self.seen.saw().open_ssh = is_open_ssh(session.remote_sshid());
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _connected_address: &str,
        _connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.no(reply)
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.no(reply)
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.no(reply)
    }

    async fn server_channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.no(reply)
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host_to_connect: &str,
        _port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.no(reply)
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.no(reply)
    }

    async fn server_channel_open_x11(
        &mut self,
        _channel: Channel<Msg>,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.no(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_ssh_is_who_says_so_first() {
        for line in ["SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", "SSH-2.0-OpenSSH_for_Windows_9.5"] {
            assert!(is_open_ssh(line.as_bytes()), "{line}");
        }
        for line in ["SSH-2.0-AsyncSSH_2.24.1", "SSH-2.0-dropbear_2022.83", "SSH-2.0-x OpenSSH_9.2", ""] {
            assert!(!is_open_ssh(line.as_bytes()), "{line}");
        }
    }
}
