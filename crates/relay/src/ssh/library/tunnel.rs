//! Channels to another place (RFC 4254, 7.2; OpenSSH's PROTOCOL, 2.4): where to, and the host's end of one.

use std::net::{IpAddr, Ipv6Addr};

use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Error};

use super::lane::{Gone, Lane};
use super::upstream::Upstream;

/// Where a client wants a channel to. What policy sees is what the host is asked for, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) enum Target {
    /// A name in lower case, or an address as it is usually written; a port above 0.
    Tcp { host: String, port: u16 },
    /// A socket's path: from the root, with neither empty segments nor dots.
    Socket(String),
}

/// The longest name of a host (RFC 1035, 2.3.4), in bytes.
const HOST_BYTES_MAX: usize = 253;
/// The longest path of a socket, in bytes: Linux's `sun_path` with its NUL has 108.
const SOCKET_BYTES_MAX: usize = 107;

impl Target {
    /// `None`: a host that resolvers could read in several ways (`127.1`, `0x7f000001`, a dot at its end), or no port.
    pub(in crate::ssh) fn tcp(host: &str, port: u32) -> Option<Target> {
        let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
        let host = match host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().to_string(),
            Err(_) => host.to_ascii_lowercase(),
        };
        (is_address(&host) || is_name(&host)).then_some(Target::Tcp { host, port })
    }

    /// `None`: a path that says less than which file it is.
    pub(in crate::ssh) fn socket(path: &str) -> Option<Target> {
        let segments = path.strip_prefix('/')?.split('/');
        let plain = |segment: &str| !matches!(segment, "" | "." | "..");
        let good = path.len() <= SOCKET_BYTES_MAX
            && !path.chars().any(char::is_control)
            && segments.into_iter().all(plain);
        good.then(|| Target::Socket(path.to_owned()))
    }

    /// Whether it is on the very machine that is asked.
    pub(in crate::ssh) fn is_loopback(&self) -> bool {
        match self {
            Target::Tcp { host, .. } => is_loopback(host),
            Target::Socket(_) => true,
        }
    }
}

/// `localhost`, and the addresses of that machine: the unspecified one is connected to as loopback.
pub(in crate::ssh) fn is_loopback(host: &str) -> bool {
    let named = host.eq_ignore_ascii_case("localhost");
    named || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback() || ip.is_unspecified())
}

fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// Letters, digits, hyphens, underscores and dots between them. What ends in a number could be an address in a form of its own.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let number = |last: &str| last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    host.len() <= HOST_BYTES_MAX && host.split('.').all(label) && !host.rsplit('.').next().is_some_and(number)
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Tcp { host, port } if host.parse::<Ipv6Addr>().is_ok() => write!(f, "[{host}]:{port}"),
            Target::Tcp { host, port } => write!(f, "{host}:{port}"),
            Target::Socket(path) => f.write_str(path),
        }
    }
}

impl Upstream {
    /// A channel from the host to there. Errors: the host opens none.
    pub(in crate::ssh) async fn tunnel(&self, to: &Target) -> Result<(TunnelEar, TunnelMouth), NoTunnel> {
        let opened = match to {
            Target::Tcp { host, port } => {
                // Whence it comes, the host need not know.
                self.handle.channel_open_direct_tcpip(host.as_str(), (*port).into(), "127.0.0.1", 0).await
            }
            Target::Socket(path) => self.handle.channel_open_direct_streamlocal(path.as_str()).await,
        };
        let (reader, writer) = match opened {
            Ok(channel) => channel.split(),
            Err(Error::ChannelOpenFailure(_)) => return Err(NoTunnel::Refused),
            Err(_gone) => return Err(NoTunnel::Lost),
        };
        Ok((TunnelEar(reader), TunnelMouth(writer)))
    }
}

/// Why nothing is open.
#[derive(Debug)]
pub(in crate::ssh) enum NoTunnel {
    /// The host says that it opens none.
    Refused,
    /// It says nothing: whether it opened one is unknown.
    Lost,
}

/// What comes from there.
pub(in crate::ssh) enum Came {
    Data(Bytes),
    /// There is no more of it.
    End,
    /// The other end has closed the channel.
    Closed,
}

/// See [`Came`].
pub(in crate::ssh) struct TunnelEar(ChannelReadHalf);

impl TunnelEar {
    /// `None`: the connection is gone. May be dropped while it waits: nothing is lost.
    pub(in crate::ssh) async fn next(&mut self) -> Option<Came> {
        loop {
            match self.0.wait().await? {
                ChannelMsg::Data { data } => return Some(Came::Data(data)),
                ChannelMsg::Eof => return Some(Came::End),
                ChannelMsg::Close => return Some(Came::Closed),
                // Such a channel has no second stream and no requests; a window that grew is the library's.
                _ => {}
            }
        }
    }
}

/// What is sent there. `writer.rs` alone calls these.
pub(in crate::ssh) struct TunnelMouth(ChannelWriteHalf<Msg>);

impl TunnelMouth {
    /// Waits for the host's window.
    pub(in crate::ssh) async fn send(&self, bytes: Bytes) -> Result<(), ()> {
        self.0.data_bytes(bytes).await.map_err(|_why| ())
    }

    pub(in crate::ssh) async fn end(&self) -> Result<(), ()> {
        self.0.eof().await.map_err(|_why| ())
    }
}

impl Lane {
    /// There is no more for the client; it may go on sending.
    pub(in crate::ssh) async fn out_end(&self) -> Result<(), Gone> {
        self.writer.eof().await.map_err(|_| Gone)
    }

    /// The channel is over.
    pub(in crate::ssh) async fn close(&self) -> Result<(), Gone> {
        self.writer.close().await.map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_can_be_read_in_several_ways_is_none() {
        let read = |host: &str| Target::tcp(host, 22).map(|target| target.to_string());
        for (host, expect) in [
            ("DB.internal", "db.internal:22"),
            ("10.0.0.5", "10.0.0.5:22"),
            ("::1", "[::1]:22"),
            ("0:0:0:0:0:0:0:1", "[::1]:22"),
            ("::ffff:10.0.0.5", "10.0.0.5:22"),
            ("under_score", "under_score:22"),
            ("x.0xyz.example", "x.0xyz.example:22"),
        ] {
            assert_eq!(read(host).as_deref(), Some(expect), "{host}");
        }
        for host in [
            "",
            ".",
            "db.",
            "db..x",
            "127.1",
            "2130706433",
            "0x7f000001",
            "1.2.3.0x4",
            "010.0.0.1",
            "a b",
            "a/b",
            "a\0b",
            "-x",
            "fe80::1%eth0",
            "[::1]",
            "caf\u{e9}",
            &"x".repeat(64),
            &"x.".repeat(127),
        ] {
            assert_eq!(read(host), None, "{host:?}");
        }
        assert!(Target::tcp("db", 0).is_none() && Target::tcp("db", 65_536).is_none());
        assert!(Target::tcp("db", 65_535).is_some());
    }

    #[test]
    fn a_socket_is_a_plain_path() {
        assert!(Target::socket("/run/x/y.sock").is_some());
        for path in
            ["", "/", "x", "/run//x", "/run/../x", "/run/./x", "/run/x/", "/run/x\0y", "/a\nb", "@abstract"]
        {
            assert!(Target::socket(path).is_none(), "{path:?}");
        }
        let long = |length: usize| format!("/{}", "x".repeat(length - 1));
        assert!(Target::socket(&long(SOCKET_BYTES_MAX)).is_some());
        assert!(Target::socket(&long(SOCKET_BYTES_MAX + 1)).is_none());
    }

    #[test]
    fn the_same_machine_is_known_by_each_of_its_names() {
        for host in
            ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "db"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
