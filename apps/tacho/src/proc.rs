//! Processes, as `/proc` shows them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use console::seat::Process;
use rustix::process::Pid;

use crate::limits::{ANCESTORS_MAX, ANCESTRY_LOOKS};

/// The parent of a process. `None` if it is gone.
pub fn parent_of(pid: i32) -> Option<i32> {
    stat(pid).map(|stat| stat.parent)
}

/// The process of this id as it is now. `None` if it is gone, or cannot be seen from here.
pub fn process(pid: i32) -> Option<Process> {
    stat(pid).map(|stat| Process { pid, started: stat.started })
}

/// The ids of a process' parent, its parent's parent and so on, to the first process of the machine (1) or of what
/// was brought here from another pid namespace (0). `None`: the process is gone, its id is another's by now, or the chain has a hole:
/// then nobody knows where it comes from. A parent that ends in this moment makes a hole; a few looks tell.
pub fn ancestors(of: Process) -> Option<Vec<i32>> {
    (0..ANCESTRY_LOOKS).find_map(|_| ancestors_now(of))
}

fn ancestors_now(of: Process) -> Option<Vec<i32>> {
    let mut chain = Vec::new();
    let Stat { parent: mut at, mut started, .. } = stat(of.pid).filter(|stat| stat.started == of.started)?;
    while at > 1 && chain.len() < ANCESTORS_MAX {
        chain.push(at);
        // A parent that is younger than its child has the id of one that is gone.
        Stat { parent: at, started, .. } = stat(at).filter(|stat| stat.started <= started)?;
    }
    chain.push(at);
    (at <= 1 && process(of.pid) == Some(of)).then_some(chain)
}

/// How many pid namespaces a process is in, as `/proc` shows it here: one, but for those inside of another. Unlike the
/// namespace itself, anybody may read that. `None` if it is gone.
pub fn namespaces_of(pid: &str) -> Option<usize> {
    let status = std::fs::read(format!("/proc/{pid}/status")).ok()?;
    let line = status.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"))?;
    Some(std::str::from_utf8(line).ok()?.split_ascii_whitespace().count())
}

struct Stat {
    ended: bool,
    parent: i32,
    started: u64,
}

/// proc(5), `/proc/PID/stat`: the state (field 3), the parent (4) and the start in clock ticks since boot (22).
fn stat(pid: i32) -> Option<Stat> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything; the fields after the last one are words.
    let after = stat.iter().rposition(|b| *b == b')')? + 1;
    let mut words = std::str::from_utf8(stat.get(after..)?).ok()?.split_ascii_whitespace();
    Some(Stat {
        ended: words.next()? == "Z",
        parent: words.next()?.parse().ok()?,
        started: words.nth(17)?.parse().ok()?,
    })
}

/// The first child of a process.
pub fn child_of(parent: Pid) -> Option<Pid> {
    let parent = parent.as_raw_pid();
    let processes = std::fs::read_dir("/proc").ok()?;
    let mut ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    ids.find(|id| parent_of(*id) == Some(parent)).and_then(Pid::from_raw)
}

/// Takes the ends of this process' children that had ended at the last look already, `before`, and says which have ended
/// now. Who started one waits for it and takes its end at once; what nobody takes was left behind by one that is gone.
pub fn reap_orphans(before: &[Pid]) -> Vec<Pid> {
    let this = rustix::process::getpid().as_raw_pid();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ended = ids.filter(|id| stat(*id).is_some_and(|stat| stat.ended && stat.parent == this));
    let (old, new): (Vec<Pid>, Vec<Pid>) =
        ended.filter_map(Pid::from_raw).partition(|id| before.contains(id));
    for id in old {
        // It may have been taken in this moment.
        let _end = rustix::process::waitpid(Some(id), rustix::process::WaitOptions::NOHANG);
    }
    new
}

/// Whose a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    /// The socket's own number, by which processes' descriptors name it.
    pub inode: u64,
}

/// The owner of the client's end of a TCP connection on this machine. `None` if the connection is not there, or its
/// client has closed it.
pub fn socket_owner(client: SocketAddr, server: SocketAddr) -> Option<Owner> {
    let table = if client.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    find_owner(&std::fs::read_to_string(table).ok()?, client, server)
}

/// The processes that have a descriptor of a socket, as far as this one may look.
pub fn processes_with(inode: u64) -> Vec<i32> {
    let name = format!("socket:[{inode}]");
    let has = |pid: &i32| {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"));
        descriptors.into_iter().flatten().flatten().any(|descriptor| {
            std::fs::read_link(descriptor.path()).is_ok_and(|target| target.as_os_str() == name.as_str())
        })
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(has).collect()
}

/// proc(5), `/proc/net/tcp`: local and remote address, state, queues, timers, retransmits, uid, timeout, inode.
fn find_owner(table: &str, client: SocketAddr, server: SocketAddr) -> Option<Owner> {
    let owner = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let ends = (address(words.next()?)?, address(words.next()?)?);
        let (uid, inode) = (words.nth(4)?.parse().ok()?, words.nth(1)?.parse().ok()?);
        // A socket that no process has any more is shown as root's, with the number 0.
        (ends == (client, server) && inode != 0).then_some(Owner { uid, inode })
    };
    table.lines().skip(1).find_map(owner)
}

/// `0100007F:1F90`: the address in 32-bit words as this machine stores them, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words =
        ip.as_bytes().chunks(8).map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).map(Ipv4Addr::from).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).map(Ipv6Addr::from).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_this_process_is_found_and_has_a_child() {
        let own = i32::try_from(std::process::id()).unwrap();
        let parent = rustix::process::getppid().unwrap();
        assert_eq!(parent_of(own), Some(parent.as_raw_pid()));
        assert!(child_of(parent).is_some());
        assert_eq!(parent_of(i32::MAX), None);
    }

    #[test]
    fn an_end_that_nobody_takes_is_taken_at_the_second_look() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        while !reap_orphans(&[]).contains(&id) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(process(id.as_raw_pid()).is_some(), "the first look takes nothing");
        assert!(!reap_orphans(&[id]).contains(&id));
        assert_eq!(process(id.as_raw_pid()), None);
        assert!(child.wait().is_err(), "there is none any more");
    }

    #[test]
    fn a_chain_of_parents_is_whole_or_there_is_none() {
        let own = process(std::process::id().try_into().unwrap()).unwrap();
        let chain = ancestors(own).unwrap();
        assert_eq!(chain.first().copied(), parent_of(own.pid));
        assert!(chain.last().is_some_and(|last| *last <= 1), "{chain:?}");
        let other = Process { started: own.started + 1, ..own };
        assert_eq!(ancestors(other), None, "the id is another process's");
        assert_eq!(ancestors(Process { pid: i32::MAX, started: 0 }), None);
        assert!(namespaces_of("self").is_some_and(|depth| depth > 0));
        assert_eq!(namespaces_of("none"), None);
    }

    #[test]
    fn the_client_of_a_connection_is_found_while_it_is_open() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(host) else { continue };
            let server = listener.local_addr().unwrap();
            let stream = std::net::TcpStream::connect(server).unwrap();
            let client = stream.local_addr().unwrap();
            let accepted = listener.accept().unwrap();
            let owner = socket_owner(client, server).unwrap();
            assert_eq!(owner.uid, rustix::process::geteuid().as_raw());
            assert!(processes_with(owner.inode).contains(&i32::try_from(std::process::id()).unwrap()));
            assert_eq!(socket_owner(SocketAddr::new(client.ip(), 1), server), None);
            drop(stream);
            assert_eq!(socket_owner(client, server), None, "closed by its client");
            drop(accepted);
        }
    }

    #[test]
    fn a_socket_that_nobody_has_any_more_has_no_owner() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:D431 0100007F:1B9E 04 00000000:00000000 01:00000014 00000000     0        0 0 2 0\n   \
                     1: 0100007F:D432 0100007F:1B9E 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0\n";
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        if cfg!(target_endian = "little") {
            assert_eq!(find_owner(table, at(0xD431), at(0x1B9E)), None);
            assert_eq!(find_owner(table, at(0xD432), at(0x1B9E)), Some(Owner { uid: 1000, inode: 4711 }));
        }
    }
}
