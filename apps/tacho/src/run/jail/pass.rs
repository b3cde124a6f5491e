//! Sockets that leave the jail: from the first process to `tacho run`, over a Unix socket in the run's home.
//!
//! One byte and one descriptor at a time: the byte says what it is. A byte without a descriptor ends it, and is answered
//! when everything is served.

use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Read, Result, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::sink::Family;
use crate::limits::{JAIL_HANDSHAKE, JAIL_SOCKETS_MAX};

/// A socket of the jail's network.
pub enum Passed {
    /// Of the gateway's listeners the next.
    Listener(OwnedFd),
    Sink(Family, OwnedFd),
    ResolverUdp(OwnedFd),
    ResolverTcp(OwnedFd),
}

const DONE: u8 = b'.';

impl Passed {
    fn kind(&self) -> u8 {
        match self {
            Passed::Listener(_) => b'l',
            Passed::Sink(Family::V4, _) => b'4',
            Passed::Sink(Family::V6, _) => b'6',
            Passed::ResolverUdp(_) => b'u',
            Passed::ResolverTcp(_) => b't',
        }
    }

    fn of(kind: u8, descriptor: OwnedFd) -> Option<Passed> {
        Some(match kind {
            b'l' => Passed::Listener(descriptor),
            b'4' => Passed::Sink(Family::V4, descriptor),
            b'6' => Passed::Sink(Family::V6, descriptor),
            b'u' => Passed::ResolverUdp(descriptor),
            b't' => Passed::ResolverTcp(descriptor),
            _ => return None,
        })
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Passed::Listener(fd)
            | Passed::Sink(_, fd)
            | Passed::ResolverUdp(fd)
            | Passed::ResolverTcp(fd) => fd.as_fd(),
        }
    }
}

/// Passes all of them out and waits until they are served.
pub fn send_all(door: &Path, sockets: &[Passed]) -> Result<()> {
    let mut stream = UnixStream::connect(door)?;
    stream.set_read_timeout(Some(JAIL_HANDSHAKE))?;
    for socket in sockets {
        let descriptors = [socket.descriptor()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(&stream, &[IoSlice::new(&[socket.kind()])], &mut control, SendFlags::empty())?;
    }
    stream.write_all(&[DONE])?;
    stream.read_exact(&mut [0])
}

/// Takes all that the first process passes.
pub fn receive_all(stream: &UnixStream) -> Result<Vec<Passed>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(JAIL_HANDSHAKE))?;
    let mut all = Vec::new();
    loop {
        let (kind, descriptor) = receive(stream)?;
        match descriptor {
            Some(descriptor) if all.len() < JAIL_SOCKETS_MAX => {
                all.push(Passed::of(kind, descriptor).ok_or(ErrorKind::InvalidData)?);
            }
            None if kind == DONE => return Ok(all),
            Some(_) | None => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// Everything is served: the agent may start.
pub fn go_on(stream: &mut UnixStream) -> Result<()> {
    stream.write_all(&[DONE])
}

fn receive(stream: &UnixStream) -> Result<(u8, Option<OwnedFd>)> {
    let mut kind = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(stream, &mut [IoSliceMut::new(&mut kind)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if got.bytes == 0 {
        return Err(Error::new(ErrorKind::UnexpectedEof, "its first process ended"));
    }
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((kind[0], descriptor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_keeps_its_kind_and_works_on_the_other_side() {
        let path = crate::files::scratch("pass").join("door.sock");
        let door = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sender = std::thread::spawn(move || send_all(&path, &[Passed::Listener(listener.into())]));
        let (mut stream, _) = door.accept().unwrap();
        let all = receive_all(&stream).unwrap();
        go_on(&mut stream).unwrap();
        sender.join().unwrap().unwrap();
        let Some(Passed::Listener(descriptor)) = all.into_iter().next() else { panic!("no listener") };
        let listener = std::net::TcpListener::from(descriptor);
        let _client = std::net::TcpStream::connect(address).unwrap();
        assert!(listener.accept().is_ok());
    }

    #[test]
    fn what_is_no_socket_of_a_jail_is_not_taken() {
        for said in [b"x".as_slice(), b"", b"l"] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(said).unwrap();
            drop(theirs);
            assert!(receive_all(&ours).is_err(), "{said:?}");
        }
    }
}
