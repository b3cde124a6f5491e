//! Inside the jail, before the agent is there: the loopback, the local routes and every socket.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::sink::{self, Family};
use super::{Plan, pass, resolver};
use crate::fault::Failure;

/// Makes the network of the namespace that this process is in and passes its sockets out. Returns when they are served.
pub fn make(plan: &Plan) -> std::result::Result<(), Failure> {
    let failed = |what: &str, e: &Error| {
        Failure::could_not(format!("cannot {what} in the jail: {e}; the agent was not started"))
    };
    let wiring = wire();
    wiring.map_err(|e| failed("bring up the loopback", &e))?;
    let mut sockets = Vec::new();
    for family in [Family::V4, Family::V6] {
        let sink = sink::socket(family).map_err(|e| failed("watch for what is tried", &e))?;
        sockets.push(pass::Passed::Sink(family, sink));
    }
    // On every address beside its own, so that a query to another resolver is answered: with no.
    let udp = [resolver::ADDRESS, Ipv4Addr::UNSPECIFIED];
    for ip in udp {
        let socket = bound(Type::DGRAM, SocketAddr::from((ip, resolver::PORT)));
        sockets.push(pass::Passed::ResolverUdp(socket.map_err(|e| failed("open the resolver", &e))?));
    }
    let tcp = bound(Type::STREAM, SocketAddr::from((Ipv4Addr::UNSPECIFIED, resolver::PORT)));
    sockets.push(pass::Passed::ResolverTcp(tcp.map_err(|e| failed("open the resolver", &e))?));
    for address in &plan.listeners {
        let listener = bound(Type::STREAM, *address);
        let listener = listener.map_err(|e| failed(&format!("listen on {address}"), &e))?;
        sockets.push(pass::Passed::Listener(listener));
    }
    match &plan.door {
        Some(door) => pass::send_all(door, &sockets).map_err(|e| failed("have the sockets served", &e)),
        None => Ok(()),
    }
}

/// A TCP listener or a UDP socket, also on an address that is not this machine's.
fn bound(kind: Type, address: SocketAddr) -> Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    if kind == Type::DGRAM {
        // The resolver has two, one of them on every address.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    if kind == Type::STREAM {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

const BACKLOG: i32 = 1_024;

/// Brings up the loopback and makes every address a local one: the kernel itself refuses where nobody listens, and what
/// is sent anywhere can be seen on one interface.
fn wire() -> Result<()> {
    let has_v6 = std::path::Path::new("/proc/sys/net/ipv6").exists();
    if has_v6 {
        // Where it cannot be switched on, the route below says so.
        let _stays_off = std::fs::write("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "0");
    }
    for silence in ["ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"] {
        // Nobody is there, so nobody answers; a kernel without the switch tells a ping a lie, and nothing leaves.
        let _answers = std::fs::write(format!("/proc/sys/net/{silence}"), "1");
    }
    let kernel = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, None)?;
    ask(&kernel, NEW_LINK, 0, &up())?;
    ask(&kernel, NEW_ROUTE, CREATE, &everything_is_local(libc::AF_INET))?;
    ask(&kernel, NEW_ADDRESS, CREATE, &has(libc::AF_INET, &DUMMY_V4.octets()))?;
    if has_v6 {
        ask(&kernel, NEW_ROUTE, CREATE, &everything_is_local(libc::AF_INET6))?;
        ask(&kernel, NEW_ADDRESS, CREATE, &has(libc::AF_INET6, &DUMMY_V6.octets()))?;
    }
    Ok(())
}

/// Addresses that mean nothing (RFC 7600, RFC 6666). Where a machine has none but the loopback's, clients that ask for what
/// the machine can use (`AI_ADDRCONFIG`) are told of no name at all, `localhost` included.
const DUMMY_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);
const DUMMY_V6: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1);

// rtnetlink(7): RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, and flags of netlink(7).
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const REQUEST_AND_ACK: u16 = 0x1 | 0x4;
const CREATE: u16 = 0x400;
/// The loopback's number in every network namespace.
const LOOPBACK: u32 = 1;

/// `struct ifinfomsg`: the loopback, with IFF_UP set and nothing else changed.
fn up() -> Vec<u8> {
    const IFF_UP: u32 = 1;
    let mut out = vec![0, 0, 0, 0];
    for word in [LOOPBACK, IFF_UP, IFF_UP] {
        out.extend(word.to_ne_bytes());
    }
    out
}

/// `struct ifaddrmsg` and two attributes: `ip address add IP dev lo`.
fn has(family: i32, ip: &[u8]) -> Vec<u8> {
    const SCOPE_GLOBAL: u8 = 0;
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    let small = |number: usize| u8::try_from(number).unwrap_or_default();
    let family = u8::try_from(family).unwrap_or_default();
    let mut out = vec![family, small(ip.len() * 8), 0, SCOPE_GLOBAL];
    out.extend(LOOPBACK.to_ne_bytes());
    for attribute in [IFA_LOCAL, IFA_ADDRESS] {
        out.extend(u16::from(small(4 + ip.len())).to_ne_bytes());
        out.extend(attribute.to_ne_bytes());
        out.extend(ip);
    }
    out
}

/// `struct rtmsg` and an attribute: `ip route add local default dev lo`.
fn everything_is_local(family: i32) -> Vec<u8> {
    const TABLE_LOCAL: u8 = 255;
    const PROTOCOL_STATIC: u8 = 4;
    const SCOPE_HOST: u8 = 254;
    const TYPE_LOCAL: u8 = 2;
    const RTA_OIF: u16 = 4;
    let family = u8::try_from(family).unwrap_or_default();
    let mut out = vec![family, 0, 0, 0, TABLE_LOCAL, PROTOCOL_STATIC, SCOPE_HOST, TYPE_LOCAL, 0, 0, 0, 0];
    out.extend(8u16.to_ne_bytes());
    out.extend(RTA_OIF.to_ne_bytes());
    out.extend(LOOPBACK.to_ne_bytes());
    out
}

/// One request over netlink, and the kernel's answer: `struct nlmsgerr`, whose number is 0 if it was done.
fn ask(kernel: &Socket, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
    const HEADER_BYTES: usize = 16;
    let length = u32::try_from(HEADER_BYTES + body.len()).map_err(|_| ErrorKind::InvalidInput)?;
    let mut message = Vec::from(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST_AND_ACK | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    kernel.send(&message)?;
    let mut answer = [0; 1024];
    let bytes = std::io::Read::read(&mut &*kernel, &mut answer)?;
    let number = answer.get(HEADER_BYTES..HEADER_BYTES + 4).filter(|_| bytes >= HEADER_BYTES + 4);
    let number = number.and_then(|four| four.try_into().ok()).map(i32::from_ne_bytes);
    match number {
        Some(0) => Ok(()),
        Some(number) => Err(Error::from_raw_os_error(-number)),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// A socket that sees packets of one family as they arrive, each once.
pub fn packets(family: Family) -> Result<Socket> {
    let kind: u16 = match family {
        Family::V4 => 0x0800,
        Family::V6 => 0x86dd,
    };
    Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(kind.to_be()))))
}
