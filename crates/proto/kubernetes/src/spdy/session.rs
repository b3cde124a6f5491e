//! What may come when, on one connection between a client and a kubelet: streams by their headers, who may say what on each,
//! and when it ends. Frames keep their streams' numbers on both sides.
//!
//! Headers: `streamtype`; of a port-forward `requestid` and `port`, which a stream for errors and one for data share.
//! Before the reply to a stream its data are dropped by spdystream: here they are refused.

use super::frame::Frame;
use super::headers::Headers;
use crate::fault::{self as why, Reason};
use crate::limits::STREAMS_MAX;
use crate::query::{Streams, port};
use std::collections::BTreeMap;
use wire::{Fault, RawField, Side};

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Stdin,
    Stdout,
    Stderr,
    /// How the program ended.
    Error,
    /// Sizes of the terminal.
    Resize,
    /// One connection to a port of the pod's.
    PortData {
        request: u32,
        port: u16,
    },
    /// What failed of it.
    PortError {
        request: u32,
        port: u16,
    },
}

/// What to do with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the other side, by its encoder, once it is decided and recorded. `on`: the stream's role.
    Forward { frame: Frame, on: Option<Role> },
    /// Back to where it came from.
    Answer(Frame),
    /// It means nothing, or came after its stream had ended.
    Nothing,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Session {
    purpose: Purpose,
    streams: BTreeMap<u32, Stream>,
    /// The last stream that was opened: streams have rising odd numbers.
    last: u32,
    /// Roles of an exec that there were; of a port-forward those that are open.
    roles: Vec<Role>,
    going: bool,
}

#[derive(Clone, Debug)]
enum Purpose {
    Program(Streams),
    PortForward,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    role: Role,
    replied: bool,
    client_done: bool,
    upstream_done: bool,
}

impl Stream {
    fn done(&mut self, side: Side) -> &mut bool {
        match side {
            Side::Upstream => &mut self.upstream_done,
            Side::Client | Side::Gateway | Side::Operator => &mut self.client_done,
        }
    }

    /// Whether `side` may say something on it; each side may end each stream.
    fn speaks(&self, side: Side) -> bool {
        match self.role {
            Role::Stdin | Role::Resize => side == Side::Client,
            Role::Stdout | Role::Stderr | Role::Error | Role::PortError { .. } => side == Side::Upstream,
            Role::PortData { .. } => true,
        }
    }
}

impl Session {
    /// Of an exec or attach with the streams that its query asks for.
    pub fn program(streams: Streams) -> Session {
        Session::new(Purpose::Program(streams))
    }

    pub fn port_forward() -> Session {
        Session::new(Purpose::PortForward)
    }

    fn new(purpose: Purpose) -> Session {
        Session { purpose, streams: BTreeMap::new(), last: 0, roles: Vec::new(), going: false }
    }

    /// Whether a stream of this connection to a port is open.
    pub fn is_open(&self, of: u32) -> bool {
        self.roles.iter().any(|role| match *role {
            Role::PortData { request, .. } | Role::PortError { request, .. } => request == of,
            Role::Stdin | Role::Stdout | Role::Stderr | Role::Error | Role::Resize => false,
        })
    }

    /// Whether nothing is open.
    pub fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }

    /// A frame of the client's. Errors (side: client): what it may not say, or not now.
    pub fn on_client(&mut self, frame: Frame) -> Result<Step, Fault> {
        let side = Side::Client;
        match frame {
            Frame::Open { stream, fin, headers } => {
                let role = self.open(stream, fin, &headers).map_err(|reason| reason.on(side))?;
                Ok(Step::Forward { frame: Frame::Open { stream, fin, headers }, on: Some(role) })
            }
            Frame::Reply { .. } => Err(why::NOT_ITS_FRAME.on(side)),
            Frame::Ping { id } => ping(id, 1).map_err(|reason| reason.on(side)),
            other => self.either(other, side).map_err(|reason| reason.on(side)),
        }
    }

    /// A frame of upstream's. Errors (side: upstream): as [`on_client`](Session::on_client).
    pub fn on_upstream(&mut self, frame: Frame) -> Result<Step, Fault> {
        let side = Side::Upstream;
        match frame {
            Frame::Open { .. } => Err(why::NOT_ITS_FRAME.on(side)),
            Frame::Reply { stream, fin, headers } => {
                let on = self.reply(stream, fin, &headers).map_err(|reason| reason.on(side))?;
                Ok(forward(Frame::Reply { stream, fin, headers }, on))
            }
            Frame::Ping { id } => ping(id, 0).map_err(|reason| reason.on(side)),
            other => self.either(other, side).map_err(|reason| reason.on(side)),
        }
    }

    fn either(&mut self, frame: Frame, side: Side) -> Result<Step, Reason> {
        match frame {
            Frame::Data { stream, fin, bytes } => {
                let on = self.data(stream, fin, &bytes, side)?;
                Ok(forward(Frame::Data { stream, fin, bytes }, on))
            }
            Frame::Reset { stream, status } => {
                let on = self.known(stream)?.map(|open| open.role);
                self.remove(stream);
                Ok(forward(Frame::Reset { stream, status }, on))
            }
            Frame::GoAway { last, status } => {
                self.going = true;
                Ok(Step::Forward { frame: Frame::GoAway { last, status }, on: None })
            }
            Frame::Settings | Frame::Window { .. } => Ok(Step::Nothing),
            Frame::Open { .. } | Frame::Reply { .. } | Frame::Ping { .. } => Err(why::NOT_ITS_FRAME),
        }
    }

    fn open(&mut self, stream: u32, fin: bool, headers: &Headers) -> Result<Role, Reason> {
        if self.going {
            return Err(why::GOING_AWAY);
        }
        if stream.is_multiple_of(2) || stream <= self.last {
            return Err(why::BAD_STREAM);
        }
        if self.streams.len() >= STREAMS_MAX {
            return Err(why::TOO_MANY_STREAMS);
        }
        let role = self.role(headers)?;
        self.admit(role)?;
        self.last = stream;
        self.roles.push(role);
        let open = Stream { role, replied: false, client_done: fin, upstream_done: false };
        self.streams.insert(stream, open);
        Ok(role)
    }

    /// Whether such a stream may be opened beside those that there are.
    fn admit(&self, role: Role) -> Result<(), Reason> {
        if self.roles.contains(&role) {
            return Err(why::ROLE_TWICE);
        }
        // Both streams of one request are of one port.
        let of = |role: &Role| match *role {
            Role::PortData { request, port } | Role::PortError { request, port } => Some((request, port)),
            Role::Stdin | Role::Stdout | Role::Stderr | Role::Error | Role::Resize => None,
        };
        let clashes =
            |one: &Role| of(one).zip(of(&role)).is_some_and(|(one, two)| one.0 == two.0 && one.1 != two.1);
        if self.roles.iter().any(clashes) { Err(why::ANOTHER_PORT) } else { Ok(()) }
    }

    fn role(&self, headers: &Headers) -> Result<Role, Reason> {
        let kind = headers.get("streamtype").ok_or(why::NO_STREAM_TYPE)?;
        match &self.purpose {
            Purpose::Program(_) if headers.0.len() != 1 => Err(why::BAD_HEADERS),
            Purpose::Program(streams) => {
                let (role, asked) = match kind {
                    "stdin" => (Role::Stdin, streams.stdin),
                    "stdout" => (Role::Stdout, streams.stdout),
                    "stderr" => (Role::Stderr, streams.stderr),
                    "error" => (Role::Error, true),
                    "resize" => (Role::Resize, streams.tty),
                    _ => return Err(why::NO_STREAM_TYPE),
                };
                if asked { Ok(role) } else { Err(why::NOT_ASKED_FOR) }
            }
            Purpose::PortForward if headers.0.len() != 3 => Err(why::BAD_HEADERS),
            Purpose::PortForward => {
                let port = port(headers.get("port").ok_or(why::BAD_HEADERS)?)?;
                let request = request_id(headers.get("requestid").ok_or(why::BAD_HEADERS)?)?;
                match kind {
                    "data" => Ok(Role::PortData { request, port }),
                    "error" => Ok(Role::PortError { request, port }),
                    _ => Err(why::NO_STREAM_TYPE),
                }
            }
        }
    }

    fn reply(&mut self, stream: u32, fin: bool, headers: &Headers) -> Result<Option<Role>, Reason> {
        if !headers.0.is_empty() {
            return Err(why::BAD_HEADERS);
        }
        let Some(open) = self.known(stream)? else { return Ok(None) };
        if std::mem::replace(&mut open.replied, true) {
            return Err(why::REPLIED_TWICE);
        }
        let role = open.role;
        self.end(stream, fin, Side::Upstream);
        Ok(Some(role))
    }

    /// `None`: the stream ended before it came.
    fn data(&mut self, stream: u32, fin: bool, bytes: &RawField, side: Side) -> Result<Option<Role>, Reason> {
        let Some(open) = self.known(stream)? else { return Ok(None) };
        if *open.done(side) {
            return Err(why::STREAM_ENDED);
        }
        if !open.replied {
            return Err(why::NOT_REPLIED);
        }
        if !bytes.is_empty() && !open.speaks(side) {
            return Err(why::NOT_ITS_STREAM);
        }
        let role = open.role;
        self.end(stream, fin, side);
        Ok(Some(role))
    }

    /// A stream that is open. `None`: it was. Errors: it never was.
    fn known(&mut self, stream: u32) -> Result<Option<&mut Stream>, Reason> {
        match self.streams.get_mut(&stream) {
            Some(open) => Ok(Some(open)),
            None if stream % 2 == 1 && stream <= self.last => Ok(None),
            None => Err(why::BAD_STREAM),
        }
    }

    fn end(&mut self, stream: u32, fin: bool, side: Side) {
        let Some(open) = self.streams.get_mut(&stream).filter(|_| fin) else { return };
        *open.done(side) = true;
        if open.client_done && open.upstream_done {
            self.remove(stream);
        }
    }

    /// A request of a port-forward may be made again when it is over; a stream of a program's comes once.
    fn remove(&mut self, stream: u32) {
        if let (Some(gone), Purpose::PortForward) = (self.streams.remove(&stream), &self.purpose) {
            self.roles.retain(|role| *role != gone.role);
        }
    }
}

fn forward(frame: Frame, on: Option<Role>) -> Step {
    match on {
        Some(_) => Step::Forward { frame, on },
        None => Step::Nothing,
    }
}

/// The gateway answers each side's; it asks none itself, so that an answer is one to nothing. `parity`: of this side's ids.
fn ping(id: u32, parity: u32) -> Result<Step, Reason> {
    match id != 0 && id % 2 == parity {
        true => Ok(Step::Answer(Frame::Ping { id })),
        false => Err(why::BAD_PING),
    }
}

/// A number without sign and leading zeros.
fn request_id(text: &str) -> Result<u32, Reason> {
    let plain = text == "0" || !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or(why::BAD_HEADERS)
}
