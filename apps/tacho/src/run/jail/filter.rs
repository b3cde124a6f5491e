//! The system calls that an agent in a jail does not have.
//!
//! A Unix socket has a path and no address: a network namespace does not keep it in, and landlock has no word for it on most
//! kernels that are in use. So the agent makes no such socket at all; a connected pair is not one, as it leads nowhere. Of the
//! other families it has IPv4, IPv6 and netlink, which the namespace keeps in; VSOCK, for one, would lead to the machine
//! below. io_uring makes sockets past this filter, and the kernel's keyrings are shared with the caller.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use crate::fault::Failure;

/// From here on this thread, and all that it starts, is without those calls. It gains no privileges by exec, either.
pub fn apply() -> Result<(), Failure> {
    let failed = |why: String| {
        Failure::could_not(format!(
            "cannot take system calls from the agent: {why}; --jail needs a kernel with seccomp, and the agent was not started"
        ))
    };
    let program = program().map_err(|e| failed(e.to_string()))?;
    seccompiler::apply_filter(&program).map_err(|e| failed(e.to_string()))
}

/// x86-64 has each call a second time, for 32-bit pointers.
#[cfg(target_arch = "x86_64")]
const NUMBERS: [i64; 2] = [0, 0x4000_0000];
#[cfg(not(target_arch = "x86_64"))]
const NUMBERS: [i64; 1] = [0];

/// What is refused whatever its arguments are.
const REFUSED: [i64; 6] = [
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules = BTreeMap::new();
    for number in NUMBERS {
        rules.insert(libc::SYS_socket | number, socket()?);
        rules.insert(libc::SYS_socketpair | number, socketpair()?);
        rules.extend(REFUSED.map(|call| (call | number, Vec::new())));
    }
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    // A call of another architecture (32-bit programs) ends the program: its numbers mean something else.
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture)?.try_into()
}

/// Refused where the family is none of the three.
fn socket() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let other = |family| when(0, SeccompCmpOp::Ne, family);
    let all = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(other);
    Ok(vec![SeccompRule::new(all.into_iter().collect::<Result<_, _>>()?)?])
}

/// Refused where it is no Unix pair, or one of datagrams: those can be sent to any path afterwards.
fn socketpair() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    const KIND: u64 = 0xf;
    let kind = |kind| when(1, SeccompCmpOp::MaskedEq(KIND), kind);
    let refused = [when(0, SeccompCmpOp::Ne, libc::AF_UNIX), kind(libc::SOCK_DGRAM), kind(libc::SOCK_RAW)];
    refused.into_iter().map(|condition| SeccompRule::new(vec![condition?])).collect()
}

fn when(
    argument: u8,
    compare: SeccompCmpOp,
    with: i32,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, u64::from(with.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketType, socket};

    use super::*;

    /// Only the thread that applies it has it.
    #[test]
    fn no_unix_socket_can_be_made_or_aimed_and_pairs_and_loopback_work() {
        let inside = std::thread::spawn(|| {
            apply().unwrap();
            for kind in [SocketType::STREAM, SocketType::DGRAM, SocketType::SEQPACKET] {
                assert_eq!(socket(AddressFamily::UNIX, kind, None).unwrap_err(), Errno::PERM);
            }
            let path = format!("/tmp/tacho-filter-{}", std::process::id());
            assert!(UnixListener::bind(&path).is_err() && !std::path::Path::new(&path).exists());
            assert!(UnixDatagram::pair().is_err(), "a datagram's end can be aimed at a path");
            for family in [AddressFamily::VSOCK, AddressFamily::PACKET, AddressFamily::BLUETOOTH] {
                assert_eq!(socket(family, SocketType::DGRAM, None).unwrap_err(), Errno::PERM);
            }
            UnixStream::pair().unwrap();
            TcpListener::bind("127.0.0.1:0").unwrap();
            UdpSocket::bind("127.0.0.1:0").unwrap();
            socket(AddressFamily::NETLINK, SocketType::RAW, None).unwrap();
        });
        inside.join().unwrap();
        UnixDatagram::pair().unwrap();
    }
}
