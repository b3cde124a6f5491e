//! What is asked of a connection and its channels, by name, and what becomes of each name. Spec: RFC 4254; RFC 4335 "break";
//! RFC 8160 (IUTF8); OpenSSH's PROTOCOL, sections 2 and 3.
//!
//! All enums are closed: a name that is in none of them is refused. What is refused is named here too, so that the
//! record says what somebody tried.

use crate::fault as why;
use crate::limits::*;
use crate::strings::string_within;
use bytes::Bytes;
use wire::{Fault, RawField, Reader, Side, kind};

/// What becomes of a channel or request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Policy decides, and it is recorded.
    Decided,
    /// It goes on to the other side: it says nothing but what its fields say.
    Passed,
    /// The gateway answers it for itself; it goes no further.
    Answered,
    /// It is refused, unless a rule permits the destination that it names.
    RefusedUnlessNamed,
    Refused,
}

/// A table of names: variant, name on the wire, which side may send it, fate.
macro_rules! names {
    ($(#[$doc:meta])* $kind:ident { $($(#[$about:meta])* $variant:ident = $name:literal, $by:ident, $fate:ident;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind { $($(#[$about])* $variant,)* }

        impl $kind {
            pub const ALL: &[$kind] = &[$($kind::$variant,)*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $($kind::$variant => $name,)* }
            }

            /// What becomes of it when the right side sends it.
            const fn fate(self) -> Fate {
                match self { $($kind::$variant => Fate::$fate,)* }
            }

            const fn by(self) -> By {
                match self { $($kind::$variant => By::$by,)* }
            }

            /// `None` for a name that is not known here, which is refused.
            pub fn parse(name: &[u8]) -> Option<$kind> {
                $kind::ALL.iter().copied().find(|known| known.as_str().as_bytes() == name)
            }

            /// What becomes of it, sent by `side`.
            pub fn from(self, side: Side) -> Fate {
                if self.by().may(side) { self.fate() } else { Fate::Refused }
            }
        }
    };
}

/// Which side may send a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Client,
    Upstream,
    Both,
}

impl By {
    fn may(self, side: Side) -> bool {
        match self {
            By::Client => side == Side::Client,
            By::Upstream => side == Side::Upstream,
            By::Both => matches!(side, Side::Client | Side::Upstream),
        }
    }
}

names! {
    /// Types of channels. RFC 4254, sections 6.1, 6.3.2, 7.2; OpenSSH's PROTOCOL, 2.3 and 2.4.
    Channel {
        Session = "session", Client, Decided;
        /// `-L`, `-W`, `-D`, ProxyJump.
        DirectTcpip = "direct-tcpip", Client, RefusedUnlessNamed;
        DirectStreamlocal = "direct-streamlocal@openssh.com", Client, RefusedUnlessNamed;
        /// A connection to a port that `tcpip-forward` opened.
        ForwardedTcpip = "forwarded-tcpip", Upstream, RefusedUnlessNamed;
        ForwardedStreamlocal = "forwarded-streamlocal@openssh.com", Upstream, RefusedUnlessNamed;
        X11 = "x11", Upstream, Refused;
        /// A host that asks the client's agent for a signature.
        AuthAgent = "auth-agent@openssh.com", Upstream, Refused;
        Tun = "tun@openssh.com", Client, Refused;
    }
}

names! {
    /// Requests of a channel. RFC 4254, section 6; RFC 4335; OpenSSH's PROTOCOL, 2.1.
    Request {
        PtyReq = "pty-req", Client, Decided;
        Shell = "shell", Client, Decided;
        Exec = "exec", Client, Decided;
        Subsystem = "subsystem", Client, Decided;
        Env = "env", Client, Decided;
        WindowChange = "window-change", Client, Passed;
        Signal = "signal", Client, Passed;
        Break = "break", Client, Passed;
        X11Req = "x11-req", Client, Refused;
        AuthAgentReq = "auth-agent-req@openssh.com", Client, Refused;
        ExitStatus = "exit-status", Upstream, Passed;
        ExitSignal = "exit-signal", Upstream, Passed;
        XonXoff = "xon-xoff", Upstream, Passed;
        /// The receiver reads no more.
        Eow = "eow@openssh.com", Both, Passed;
        Keepalive = "keepalive@openssh.com", Both, Answered;
    }
}

names! {
    /// Requests of a connection. RFC 4254, section 7.1; OpenSSH's PROTOCOL, 2.2, 2.4 and 2.5.
    Global {
        TcpipForward = "tcpip-forward", Client, RefusedUnlessNamed;
        CancelTcpipForward = "cancel-tcpip-forward", Client, RefusedUnlessNamed;
        StreamlocalForward = "streamlocal-forward@openssh.com", Client, RefusedUnlessNamed;
        CancelStreamlocalForward = "cancel-streamlocal-forward@openssh.com", Client, RefusedUnlessNamed;
        Keepalive = "keepalive@openssh.com", Both, Answered;
        /// The client opens no more sessions; the gateway holds it to that.
        NoMoreSessions = "no-more-sessions@openssh.com", Client, Answered;
        /// A host's other keys: they are its own and not the gateway's, so that a client must not learn them.
        Hostkeys = "hostkeys-00@openssh.com", Upstream, Answered;
        HostkeysProve = "hostkeys-prove-00@openssh.com", Client, Refused;
    }
}

/// What a channel's request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Pty {
        terminal: RawField,
        window: Window,
        modes: Modes,
    },
    Shell,
    Exec {
        command: RawField,
    },
    Subsystem(Subsystem),
    Env {
        name: RawField,
        value: RawField,
    },
    WindowChange(Window),
    Signal(Signal),
    /// Milliseconds.
    Break {
        length: u32,
    },
    ExitStatus(u32),
    ExitSignal {
        signal: Signal,
        core: bool,
        message: RawField,
    },
    XonXoff {
        client_can_do: bool,
    },
    Eow,
    Keepalive,
    /// Refused whatever it says.
    X11Req,
    AuthAgentReq,
}

/// The size of a terminal; pixels are 0 where nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub columns: u32,
    pub rows: u32,
    pub width: u32,
    pub height: u32,
}

/// A subsystem. RFC 4254, section 6.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subsystem {
    Sftp,
    /// Refused; the name as it came.
    Unknown(RawField),
}

/// A signal. RFC 4254, section 6.10, and the one that OpenSSH has beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    Known(&'static str),
    /// Refused, from a client; of an exit that happened, told as it came.
    Unknown(RawField),
}

/// Names of signals, without `SIG`.
pub const SIGNALS: [&str; 14] = [
    "ABRT",
    "ALRM",
    "FPE",
    "HUP",
    "ILL",
    "INT",
    "KILL",
    "PIPE",
    "QUIT",
    "SEGV",
    "TERM",
    "USR1",
    "USR2",
    "INFO@openssh.com",
];

impl Said {
    /// Reads what is behind the name and `want reply`. Errors, on `side`: as [`Reader`]'s; `TOO_LARGE`; `BAD_VALUE` for a
    /// boolean; those of [`Modes::decode`].
    pub fn decode(request: Request, body: &Bytes, side: Side) -> Result<Said, Fault> {
        let mut r = Reader::new(body, side, request.as_str());
        let said = match request {
            Request::PtyReq => Said::Pty {
                terminal: name(&mut r)?,
                window: window(&mut r)?,
                modes: Modes::decode(string_within(&mut r, COMMAND_BYTES_MAX)?.as_bytes(), side)?,
            },
            Request::Shell => Said::Shell,
            Request::Exec => Said::Exec { command: long(&mut r)? },
            Request::Subsystem => Said::Subsystem(Subsystem::of(name(&mut r)?)),
            Request::Env => Said::Env { name: name(&mut r)?, value: long(&mut r)? },
            Request::WindowChange => Said::WindowChange(window(&mut r)?),
            Request::Signal => Said::Signal(Signal::of(name(&mut r)?)),
            Request::Break => Said::Break { length: r.u32()? },
            Request::ExitStatus => Said::ExitStatus(r.u32()?),
            Request::ExitSignal => exit_signal(&mut r)?,
            Request::XonXoff => Said::XonXoff { client_can_do: boolean(&mut r)? },
            Request::Eow => Said::Eow,
            Request::Keepalive => Said::Keepalive,
            Request::X11Req => {
                r.take_rest();
                Said::X11Req
            }
            Request::AuthAgentReq => Said::AuthAgentReq,
        };
        r.finish()?;
        Ok(said)
    }
}

impl Subsystem {
    pub fn of(name: RawField) -> Subsystem {
        if name.as_bytes() == b"sftp" { Subsystem::Sftp } else { Subsystem::Unknown(name) }
    }
}

impl Signal {
    pub fn of(name: RawField) -> Signal {
        match SIGNALS.into_iter().find(|known| known.as_bytes() == name.as_bytes()) {
            Some(known) => Signal::Known(known),
            None => Signal::Unknown(name),
        }
    }
}

/// Whether a variable may be set: `allowed` has its name, or a beginning and a star (`LC_*`). A name that no shell has is
/// never allowed, nor a value with a zero byte.
pub fn is_env_allowed(name: &[u8], value: &[u8], allowed: &[&str]) -> bool {
    let is_name = name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && name.first().is_some_and(|b| !b.is_ascii_digit());
    let fits = |allowed: &&str| match allowed.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning.as_bytes()),
        None => allowed.as_bytes() == name,
    };
    is_name && !value.contains(&0) && allowed.iter().any(fits)
}

/// Where a forwarded connection goes, or what listens. RFC 4254, sections 7.1 and 7.2; OpenSSH's PROTOCOL, 2.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    Tcp { host: RawField, port: u32, originator: Option<(RawField, u32)> },
    Socket { path: RawField },
}

impl Forward {
    /// What is behind the head of a channel's opening; `None` for a type that forwards nothing. Errors, on `side`: as
    /// [`Reader`]'s, `TOO_LARGE`, and `BAD_VALUE` for a port above 65,535.
    pub fn of_channel(channel: Channel, body: &Bytes, side: Side) -> Result<Option<Forward>, Fault> {
        let mut r = Reader::new(body, side, channel.as_str());
        let forward = match channel {
            Channel::DirectTcpip | Channel::ForwardedTcpip => {
                let (host, port) = (name(&mut r)?, port(&mut r)?);
                Forward::Tcp { host, port, originator: Some((name(&mut r)?, self::port(&mut r)?)) }
            }
            Channel::DirectStreamlocal => {
                let forward = Forward::Socket { path: path(&mut r)? };
                // Reserved: a string and a number.
                name(&mut r)?;
                r.u32()?;
                forward
            }
            Channel::ForwardedStreamlocal => {
                let forward = Forward::Socket { path: path(&mut r)? };
                name(&mut r)?;
                forward
            }
            Channel::Session | Channel::X11 | Channel::AuthAgent | Channel::Tun => return Ok(None),
        };
        r.finish()?;
        Ok(Some(forward))
    }

    /// What is behind the name of a connection's request; `None` for one that forwards nothing. Errors: as
    /// [`Forward::of_channel`].
    pub fn of_global(request: Global, body: &Bytes, side: Side) -> Result<Option<Forward>, Fault> {
        let mut r = Reader::new(body, side, request.as_str());
        let forward = match request {
            Global::TcpipForward | Global::CancelTcpipForward => {
                Forward::Tcp { host: name(&mut r)?, port: port(&mut r)?, originator: None }
            }
            Global::StreamlocalForward | Global::CancelStreamlocalForward => {
                Forward::Socket { path: path(&mut r)? }
            }
            Global::Keepalive | Global::NoMoreSessions | Global::Hostkeys | Global::HostkeysProve => {
                return Ok(None);
            }
        };
        r.finish()?;
        Ok(Some(forward))
    }
}

/// Modes of a terminal. RFC 4254, section 8: pairs of a code and a number, ended by 0 or by the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// In their order; none has code 0.
    pub pairs: Vec<(u8, u32)>,
    /// What came behind an end, or a code of 160 or more, at which RFC 4254 has a reader stop.
    pub unread: usize,
}

impl Modes {
    /// Errors, on `side`: `TRUNCATED` inside a pair, `TOO_MANY` above [`MODES_MAX`].
    pub fn decode(encoded: &[u8], side: Side) -> Result<Modes, Fault> {
        let mut modes = Modes::default();
        let mut left = encoded;
        while let Some((code, rest)) = left.split_first() {
            match code {
                // TTY_OP_END
                0 => {
                    modes.unread = rest.len();
                    break;
                }
                1..=159 => {
                    let (value, behind) = rest.split_first_chunk::<4>().ok_or(why::MODES_CUT.on(side))?;
                    if modes.pairs.len() == MODES_MAX {
                        return Err(why::TOO_MANY_MODES.on(side));
                    }
                    modes.pairs.push((*code, u32::from_be_bytes(*value)));
                    left = behind;
                }
                160.. => {
                    modes.unread = left.len();
                    break;
                }
            }
        }
        Ok(modes)
    }

    /// As [`Modes::decode`] reads them, with their end.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoded: Vec<u8> = Vec::new();
        for (code, value) in &self.pairs {
            encoded.push(*code);
            encoded.extend_from_slice(&value.to_be_bytes());
        }
        encoded.push(0);
        encoded
    }

    /// The value of a mode, the last where it comes twice.
    pub fn value(&self, code: u8) -> Option<u32> {
        self.pairs.iter().rev().find(|(own, _)| *own == code).map(|(_, value)| *value)
    }
}

/// The name of a mode. RFC 4254, section 8; RFC 8160.
pub fn mode_name(code: u8) -> Option<&'static str> {
    MODES.iter().find(|(own, _)| *own == code).map(|(_, name)| *name)
}

const MODES: [(u8, &str); 57] = [
    (1, "VINTR"),
    (2, "VQUIT"),
    (3, "VERASE"),
    (4, "VKILL"),
    (5, "VEOF"),
    (6, "VEOL"),
    (7, "VEOL2"),
    (8, "VSTART"),
    (9, "VSTOP"),
    (10, "VSUSP"),
    (11, "VDSUSP"),
    (12, "VREPRINT"),
    (13, "VWERASE"),
    (14, "VLNEXT"),
    (15, "VFLUSH"),
    (16, "VSWTCH"),
    (17, "VSTATUS"),
    (18, "VDISCARD"),
    (30, "IGNPAR"),
    (31, "PARMRK"),
    (32, "INPCK"),
    (33, "ISTRIP"),
    (34, "INLCR"),
    (35, "IGNCR"),
    (36, "ICRNL"),
    (37, "IUCLC"),
    (38, "IXON"),
    (39, "IXANY"),
    (40, "IXOFF"),
    (41, "IMAXBEL"),
    (42, "IUTF8"),
    (50, "ISIG"),
    (51, "ICANON"),
    (52, "XCASE"),
    (53, "ECHO"),
    (54, "ECHOE"),
    (55, "ECHOK"),
    (56, "ECHONL"),
    (57, "NOFLSH"),
    (58, "TOSTOP"),
    (59, "IEXTEN"),
    (60, "ECHOCTL"),
    (61, "ECHOKE"),
    (62, "PENDIN"),
    (70, "OPOST"),
    (71, "OLCUC"),
    (72, "ONLCR"),
    (73, "OCRNL"),
    (74, "ONOCR"),
    (75, "ONLRET"),
    (90, "CS7"),
    (91, "CS8"),
    (92, "PARENB"),
    (93, "PARODD"),
    (128, "TTY_OP_ISPEED"),
    (129, "TTY_OP_OSPEED"),
    (0, "TTY_OP_END"),
];

fn name(r: &mut Reader<'_>) -> Result<RawField, Fault> {
    string_within(r, NAME_STRING_BYTES_MAX)
}

fn path(r: &mut Reader<'_>) -> Result<RawField, Fault> {
    string_within(r, PATH_BYTES_MAX)
}

fn long(r: &mut Reader<'_>) -> Result<RawField, Fault> {
    string_within(r, COMMAND_BYTES_MAX)
}

fn window(r: &mut Reader<'_>) -> Result<Window, Fault> {
    Ok(Window { columns: r.u32()?, rows: r.u32()?, width: r.u32()?, height: r.u32()? })
}

fn port(r: &mut Reader<'_>) -> Result<u32, Fault> {
    let port = r.u32()?;
    match u16::try_from(port) {
        Ok(_) => Ok(port),
        Err(_) => Err(r.fault(kind::BAD_VALUE, "a port above 65535")),
    }
}

/// RFC 4251, section 5: 0 or 1 are written; every other number is true to some.
fn boolean(r: &mut Reader<'_>) -> Result<bool, Fault> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(r.fault(kind::BAD_VALUE, why::BAD_BOOLEAN.outward)),
    }
}

fn exit_signal(r: &mut Reader<'_>) -> Result<Said, Fault> {
    let (signal, core) = (Signal::of(name(r)?), boolean(r)?);
    let message = long(r)?;
    // A language, which nobody shows.
    name(r)?;
    Ok(Said::ExitSignal { signal, core, message })
}

#[cfg(test)]
mod tests;
