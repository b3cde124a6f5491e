//! What the agent tries to reach beside the gateway's listeners, as it is seen on the jail's loopback.
//!
//! In a jail every address is local and nobody listens, so the kernel answers a connection with a reset and a datagram with
//! "port unreachable". A packet socket sees both. To an address of the loopback only what was refused counts: an agent may
//! talk to servers of its own there.

use std::io::{ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use rustix::net::{RecvFlags, recv};
use socket2::SockFilter;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::attempts::{Attempt, Book, lock};
use super::{network, resolver};
use crate::limits::{JAIL_PACKET_BYTES, JAIL_PACKETS_AT_ONCE, JAIL_SINK_BYTES};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// One family's packets.
#[derive(Clone)]
pub struct Sink {
    family: Family,
    packets: Arc<UdpSocket>,
    /// The gateway's: no attempt.
    listeners: Arc<[SocketAddr]>,
    book: Arc<Mutex<Book>>,
}

impl Sink {
    pub fn new(
        family: Family,
        packets: OwnedFd,
        listeners: Arc<[SocketAddr]>,
        book: Arc<Mutex<Book>>,
    ) -> Result<Sink> {
        // It is none of UDP; but one of datagrams, and that is all that the runtime needs to know to wait on it.
        let packets = std::net::UdpSocket::from(packets);
        packets.set_nonblocking(true)?;
        Ok(Sink { family, packets: Arc::new(UdpSocket::from_std(packets)?), listeners, book })
    }

    /// Until the task is dropped. A flood is looked at in pieces: the run's end must not wait behind it.
    pub async fn watch(self) {
        while self.packets.readable().await.is_ok() {
            let piece = || if self.look() { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) };
            // That there is nothing left is no error: then it waits until there is.
            let _waits = self.packets.try_io(Interest::READABLE, piece);
            tokio::task::yield_now().await;
        }
    }

    /// Reads what is there when nobody sends any more.
    pub fn drain(&self) {
        while self.look() {}
    }

    /// Reads some of what is there; whether there may be more.
    fn look(&self) -> bool {
        let mut packet = [0; JAIL_PACKET_BYTES];
        for _ in 0..JAIL_PACKETS_AT_ONCE {
            let Ok((_, bytes)) = recv(&*self.packets, &mut packet, RecvFlags::DONTWAIT) else { return false };
            let seen = packet.get(..bytes).unwrap_or(&packet);
            if let Some(attempt) = attempt(self.family, seen, &self.listeners) {
                lock(&self.book).note(attempt);
            }
        }
        true
    }
}

/// The socket, inside the jail. A filter in the kernel leaves out what cannot be an attempt, so that an agent that moves
/// many bytes does not push anything out of the socket's queue.
pub fn socket(family: Family) -> Result<OwnedFd> {
    let packets = network::packets(family)?;
    packets.attach_filter(match family {
        Family::V4 => &V4,
        Family::V6 => &V6,
    })?;
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&packets, JAIL_SINK_BYTES).is_err() {
        packets.set_recv_buffer_size(JAIL_SINK_BYTES)?;
    }
    Ok(packets.into())
}

// Classic BPF: load a byte or a word, at a place or behind IPv4's header; compare; end with how much is wanted.
const BYTE: u16 = 0x30;
const WORD: u16 = 0x20;
const BYTE_BEHIND: u16 = 0x50;
const HEADER_V4: u16 = 0xb1;
const EQUALS: u16 = 0x15;
const HAS: u16 = 0x45;
const END: u16 = 0x06;

const SYN_OR_RST: u32 = 0x06;
const WANTED: u32 = JAIL_PACKET_BYTES as u32;

const fn step(code: u16, yes: u8, no: u8, value: u32) -> SockFilter {
    SockFilter::new(code, yes, no, value)
}

/// Of TCP what opens or resets, of UDP what does not go to the loopback, and everything else.
static V4: [SockFilter; 10] = [
    step(BYTE, 0, 0, 9),
    step(EQUALS, 0, 3, TCP as u32),
    step(HEADER_V4, 0, 0, 0),
    step(BYTE_BEHIND, 0, 0, 13),
    step(HAS, 3, 4, SYN_OR_RST),
    step(EQUALS, 0, 2, UDP as u32),
    step(BYTE, 0, 0, 16),
    step(EQUALS, 1, 0, 127),
    step(END, 0, 0, WANTED),
    step(END, 0, 0, 0),
];

static V6: [SockFilter; 15] = [
    step(BYTE, 0, 0, 6),
    step(EQUALS, 0, 2, TCP as u32),
    step(BYTE, 0, 0, 53),
    step(HAS, 9, 10, SYN_OR_RST),
    step(EQUALS, 0, 8, UDP as u32),
    step(WORD, 0, 0, 24),
    step(EQUALS, 0, 6, 0),
    step(WORD, 0, 0, 28),
    step(EQUALS, 0, 4, 0),
    step(WORD, 0, 0, 32),
    step(EQUALS, 0, 2, 0),
    step(WORD, 0, 0, 36),
    step(EQUALS, 1, 0, 1),
    step(END, 0, 0, WANTED),
    step(END, 0, 0, 0),
];

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_V6: u8 = 58;
/// The kernel's own: IGMP, and the header before multicast reports of IPv6.
const OF_THE_KERNEL: [u8; 2] = [2, 0];

/// A packet's parts as far as they are needed.
struct Packet<'a> {
    protocol: u8,
    from: IpAddr,
    to: IpAddr,
    body: &'a [u8],
}

/// What a packet says was tried. `None`: nothing, or nothing that can be read.
fn attempt(family: Family, packet: &[u8], listeners: &[SocketAddr]) -> Option<Attempt> {
    let packet = read(family, packet)?;
    match packet.protocol {
        TCP => tcp(&packet, listeners),
        UDP => udp(&packet).filter(|_| !packet.to.is_loopback()),
        ICMP | ICMP_V6 => icmp(family, &packet),
        protocol if OF_THE_KERNEL.contains(&protocol) => None,
        protocol => Some(Attempt::Other { protocol, to: packet.to }),
    }
}

fn read(family: Family, packet: &[u8]) -> Option<Packet<'_>> {
    match family {
        Family::V4 => {
            let header = usize::from(packet.first()? & 0xf) * 4;
            let later_fragment = u16::from_be_bytes(*packet.get(6..)?.first_chunk()?) & 0x1fff != 0;
            let ip = |at: usize| Some(IpAddr::from(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?)));
            let parts = (*packet.get(9)?, ip(12)?, ip(16)?, packet.get(header..)?);
            let (protocol, from, to, body) = parts;
            (!later_fragment).then_some(Packet { protocol, from, to, body })
        }
        Family::V6 => {
            let ip = |at: usize| Some(IpAddr::from(Ipv6Addr::from(*packet.get(at..)?.first_chunk::<16>()?)));
            Some(Packet { protocol: *packet.get(6)?, from: ip(8)?, to: ip(24)?, body: packet.get(40..)? })
        }
    }
}

/// Ports stand first in TCP and UDP.
fn ports(body: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *body.first_chunk()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// A first packet to elsewhere, or the kernel's answer to one within the loopback: a reset that acknowledges and has no
/// sequence of its own.
fn tcp(packet: &Packet<'_>, listeners: &[SocketAddr]) -> Option<Attempt> {
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    let (from, to) = ports(packet.body)?;
    let (from, to) = (SocketAddr::new(packet.from, from), SocketAddr::new(packet.to, to));
    let sequence = u32::from_be_bytes(*packet.body.get(4..)?.first_chunk()?);
    match packet.body.get(13)? & (SYN | RST | ACK) {
        SYN => (!to.ip().is_loopback() && !listeners.contains(&to)).then_some(Attempt::Tcp(to)),
        flags if flags == RST | ACK => {
            (sequence == 0 && from.ip().is_loopback()).then_some(Attempt::Tcp(from))
        }
        _ => None,
    }
}

/// A datagram, unless it is the resolver's answer: nobody else can have its port.
fn udp(packet: &Packet<'_>) -> Option<Attempt> {
    let (from, to) = ports(packet.body)?;
    (from != resolver::PORT).then_some(Attempt::Udp(SocketAddr::new(packet.to, to)))
}

/// An echo request; or that a datagram within the loopback found nobody, which holds the beginning of that datagram.
fn icmp(family: Family, packet: &Packet<'_>) -> Option<Attempt> {
    let [kind, code] = *packet.body.first_chunk()?;
    let (echo, unreachable) = match family {
        Family::V4 => (kind == 8, (kind, code) == (3, 3)),
        Family::V6 => (kind == 128, (kind, code) == (1, 4)),
    };
    if unreachable {
        let refused = read(family, packet.body.get(8..)?)?;
        return udp(&refused).filter(|_| refused.protocol == UDP && refused.to.is_loopback());
    }
    echo.then_some(Attempt::Other { protocol: packet.protocol, to: packet.to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(protocol: u8, from: [u8; 4], to: [u8; 4], body: &[u8]) -> Vec<u8> {
        let mut out = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        out.extend(from);
        out.extend(to);
        out.extend(body);
        out
    }

    fn segment(from: u16, to: u16, sequence: u32, flags: u8) -> Vec<u8> {
        let mut out = [from.to_be_bytes(), to.to_be_bytes()].concat();
        out.extend(sequence.to_be_bytes());
        out.extend([0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        out
    }

    fn datagram(from: u16, to: u16) -> Vec<u8> {
        [from.to_be_bytes(), to.to_be_bytes(), [0, 9], [0, 0]].concat()
    }

    const LOOP: [u8; 4] = [127, 0, 0, 1];
    const FAR: [u8; 4] = [8, 8, 8, 8];

    #[track_caller]
    fn check(packet: &[u8], expect: Option<&str>) {
        let listeners = ["127.0.0.1:6432".parse().unwrap(), "8.8.8.8:6432".parse().unwrap()];
        let found = attempt(Family::V4, packet, &listeners);
        assert_eq!(found.map(|a| a.to_string()).as_deref(), expect);
    }

    #[test]
    fn a_connection_to_elsewhere_is_seen_at_its_first_packet() {
        check(&v4(TCP, FAR, FAR, &segment(5000, 443, 7, 2)), Some("tcp 8.8.8.8:443"));
        check(&v4(TCP, FAR, FAR, &segment(443, 5000, 0, 0x14)), None);
        check(&v4(TCP, FAR, FAR, &segment(5000, 443, 8, 0x10)), None);
        check(&v4(TCP, FAR, FAR, &segment(5000, 6432, 7, 2)), None);
    }

    #[test]
    fn within_the_loopback_what_was_refused_is_seen() {
        check(&v4(TCP, LOOP, LOOP, &segment(5000, 5432, 7, 2)), None);
        check(&v4(TCP, LOOP, LOOP, &segment(5432, 5000, 0, 0x14)), Some("tcp 127.0.0.1:5432"));
        check(&v4(TCP, LOOP, LOOP, &segment(8000, 5000, 99, 0x14)), None);
        check(&v4(UDP, LOOP, LOOP, &datagram(5000, 53)), None);
        let refused = v4(UDP, LOOP, LOOP, &datagram(5000, 514));
        let body = [&[3, 3, 0, 0, 0, 0, 0, 0], refused.as_slice()].concat();
        check(&v4(ICMP, LOOP, LOOP, &body), Some("udp 127.0.0.1:514"));
    }

    #[test]
    fn a_datagram_and_an_echo_are_seen_and_the_resolvers_answer_is_none() {
        check(&v4(UDP, FAR, FAR, &datagram(5000, 53)), Some("udp 8.8.8.8:53"));
        check(&v4(UDP, FAR, FAR, &datagram(53, 5000)), None);
        check(&v4(ICMP, FAR, FAR, &[8, 0, 0, 0]), Some("protocol 1 8.8.8.8"));
        check(&v4(ICMP, FAR, FAR, &[0, 0, 0, 0]), None);
        check(&v4(132, FAR, FAR, &[]), Some("protocol 132 8.8.8.8"));
    }

    #[test]
    fn of_ipv6_the_same_is_seen() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, TCP, 64];
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        packet.extend("2001:db8::5".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(segment(5000, 443, 7, 2));
        let found = attempt(Family::V6, &packet, &[]).unwrap();
        assert_eq!(found.to_string(), "tcp [2001:db8::5]:443");
    }

    #[test]
    fn a_packet_that_is_cut_anywhere_is_no_attempt_and_no_panic() {
        let whole = v4(TCP, FAR, FAR, &segment(5000, 443, 7, 2));
        for end in 0..34 {
            assert_eq!(attempt(Family::V4, &whole[..end.min(whole.len())], &[]).is_some(), end >= 34);
            assert!(attempt(Family::V6, &whole[..end], &[]).is_none());
        }
    }
}
