//! The jail's resolver: it knows the configured names, and that there are no others (RFC 1035, sections 4 and 7).
//!
//! Nothing is asked of anybody else, so no name that an agent asks for leaves the jail.

use std::collections::BTreeMap;
use std::io::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::attempts::{Attempt, Book, lock};
use crate::limits::{JAIL_QUERY, JAIL_QUERY_BYTES_MAX};

/// Where `/etc/resolv.conf` says that it is; it listens on every other address of IPv4, too.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
pub const PORT: u16 = 53;

/// The configured names, in small letters.
pub struct Names(BTreeMap<String, Vec<IpAddr>>);

impl Default for Names {
    fn default() -> Names {
        let own = vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        Names(BTreeMap::from([("localhost".to_owned(), own)]))
    }
}

impl Names {
    pub fn add(&mut self, name: &str, ip: IpAddr) {
        let addresses = self.0.entry(name.to_ascii_lowercase()).or_default();
        if !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
}

pub fn datagrams(descriptor: OwnedFd) -> Result<UdpSocket> {
    let socket = std::net::UdpSocket::from(descriptor);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Until the task is dropped.
pub async fn serve_udp(socket: UdpSocket, names: Arc<Names>, book: Arc<Mutex<Book>>) {
    let mut query = [0; JAIL_QUERY_BYTES_MAX];
    loop {
        match socket.recv_from(&mut query).await {
            Ok((bytes, client)) => {
                let reply = query.get(..bytes).and_then(|query| reply(query, &names, &book));
                if let Some(reply) = reply {
                    // A client that is gone needs no answer.
                    let _gone = socket.send_to(&reply, client).await;
                }
            }
            // That an earlier answer found nobody, perhaps.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// The same, for clients that prefer a connection.
pub async fn serve_tcp(
    listener: TcpListener,
    names: Arc<Names>,
    book: Arc<Mutex<Book>>,
    room: Arc<Semaphore>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let (names, book) = (names.clone(), book.clone());
                connections.spawn(async move {
                    // Too slow, or not a query: the connection ends.
                    let _ended = tokio::time::timeout(JAIL_QUERY, converse(client, &names, &book)).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Over a connection, two bytes before each message say how long it is.
async fn converse(mut client: TcpStream, names: &Names, book: &Mutex<Book>) -> Result<()> {
    loop {
        let length = usize::from(client.read_u16().await?);
        let mut query = vec![0; length.min(JAIL_QUERY_BYTES_MAX)];
        client.read_exact(&mut query).await?;
        let Some(reply) = reply(&query, names, book).filter(|_| length <= JAIL_QUERY_BYTES_MAX) else {
            return Ok(());
        };
        client.write_u16(u16::try_from(reply.len()).unwrap_or(0)).await?;
        client.write_all(&reply).await?;
    }
}

fn reply(query: &[u8], names: &Names, book: &Mutex<Book>) -> Option<Vec<u8>> {
    let question = Question::read(query)?;
    let found = names.0.get(&question.name);
    if found.is_none() {
        lock(book).note(Attempt::Name(question.name.clone()));
    }
    Some(question.answer(found.map(Vec::as_slice)))
}

/// The one question of a query.
struct Question<'a> {
    id: [u8; 2],
    recursion_desired: bool,
    /// In small letters, labels joined by points, what is not plain ASCII as `\DDD`. The root is a point.
    name: String,
    kind: u16,
    class: u16,
    /// As it was asked.
    bytes: &'a [u8],
}

const HEADER_BYTES: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;
const TTL_SECONDS: u32 = 60;

impl<'a> Question<'a> {
    /// `None`: that is no query with one question, and gets no answer.
    fn read(query: &'a [u8]) -> Option<Question<'a>> {
        let [id_high, id_low, flags, _, 0, 1, ..] = *query.first_chunk::<HEADER_BYTES>()? else {
            return None;
        };
        let is_plain_query = flags & 0b1111_1000 == 0;
        let (mut name, mut at) = (String::new(), HEADER_BYTES);
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            // More than 63 would be a pointer, which has nothing to point at here.
            let label = query.get(at..at + length).filter(|_| length <= 63 && at < HEADER_BYTES + 255)?;
            label.iter().for_each(|byte| escape(*byte, &mut name));
            name.push('.');
            at += length;
        }
        if name.len() > 1 {
            name.pop();
        } else if name.is_empty() {
            name.push('.');
        }
        let [kind_high, kind_low, class_high, class_low] = *query.get(at..)?.first_chunk()?;
        is_plain_query.then_some(Question {
            id: [id_high, id_low],
            recursion_desired: flags & 1 == 1,
            name,
            kind: u16::from_be_bytes([kind_high, kind_low]),
            class: u16::from_be_bytes([class_high, class_low]),
            bytes: query.get(HEADER_BYTES..at + 4)?,
        })
    }

    /// The addresses of a name that is known; that there is none of it (NXDOMAIN) of one that is not.
    fn answer(&self, known: Option<&[IpAddr]>) -> Vec<u8> {
        let data: Vec<Vec<u8>> = known.unwrap_or_default().iter().filter_map(|ip| self.data(*ip)).collect();
        // An answer, authoritative; recursion available, so that clients do not look elsewhere.
        let flags =
            [0b1000_0100 | u8::from(self.recursion_desired), if known.is_some() { 0x80 } else { 0x83 }];
        let count = u16::try_from(data.len()).unwrap_or(0).to_be_bytes();
        let mut out = [self.id, flags, [0, 1], count, [0, 0], [0, 0]].concat();
        out.extend(self.bytes);
        for data in data {
            // The name is the question's: a pointer to it.
            out.extend([0xc0, 0x0c]);
            out.extend([self.kind.to_be_bytes(), INTERNET.to_be_bytes()].concat());
            out.extend(TTL_SECONDS.to_be_bytes());
            out.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
            out.extend(data);
        }
        out
    }

    fn data(&self, ip: IpAddr) -> Option<Vec<u8>> {
        match (ip, self.kind, self.class) {
            (IpAddr::V4(v4), A, INTERNET) => Some(v4.octets().to_vec()),
            (IpAddr::V6(v6), AAAA, INTERNET) => Some(v6.octets().to_vec()),
            _ => None,
        }
    }
}

fn escape(byte: u8, out: &mut String) {
    match byte {
        b'.' | b'\\' => out.extend(['\\', char::from(byte)]),
        b'!'..=b'~' => out.push(char::from(byte.to_ascii_lowercase())),
        other => out.push_str(&format!("\\{other:03}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(labels: &[&[u8]], kind: u16) -> Vec<u8> {
        let mut out = vec![7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            out.push(u8::try_from(label.len()).unwrap());
            out.extend(*label);
        }
        out.push(0);
        out.extend([kind.to_be_bytes(), INTERNET.to_be_bytes()].concat());
        out
    }

    fn names() -> Names {
        let mut names = Names::default();
        names.add("Billing.Internal", IpAddr::from([127, 0, 0, 9]));
        names
    }

    /// The reply's code, how many answers it has, and its last bytes.
    fn ask(labels: &[&[u8]], kind: u16) -> (u8, u8, Vec<u8>, Vec<Attempt>) {
        let book = Mutex::default();
        let reply = reply(&query(labels, kind), &names(), &book).unwrap();
        assert_eq!(reply[..2], [7, 8]);
        let tried = lock(&book).batch();
        (reply[3] & 0xf, reply[7], reply[reply.len() - 4..].to_vec(), tried)
    }

    #[test]
    fn a_configured_name_has_its_address_and_no_other_kind_of_data() {
        assert_eq!(ask(&[b"billing", b"INTERNAL"], A), (0, 1, vec![127, 0, 0, 9], vec![]));
        let (code, answers, ..) = ask(&[b"billing", b"internal"], AAAA);
        assert_eq!((code, answers), (0, 0));
        assert_eq!(ask(&[b"localhost"], AAAA).1, 1);
    }

    #[test]
    fn any_other_name_is_not_there_and_is_noted() {
        let (code, answers, _, tried) = ask(&[b"c2VjcmV0", b"evil", b"example"], 16);
        assert_eq!((code, answers), (3, 0));
        assert_eq!(tried, [Attempt::Name("c2vjcmv0.evil.example".to_owned())]);
        assert_eq!(ask(&[b"a.b\\", b"\xff\n"], A).3, [Attempt::Name("a\\.b\\\\.\\255\\010".to_owned())]);
        assert_eq!(ask(&[], A).3, [Attempt::Name(".".to_owned())]);
    }

    #[test]
    fn what_is_no_query_gets_no_answer() {
        let book = Mutex::default();
        let whole = query(&[b"localhost"], A);
        for end in 0..whole.len() {
            assert!(reply(&whole[..end], &names(), &book).is_none(), "{end}");
        }
        let mut an_answer = whole.clone();
        an_answer[2] = 0x81;
        let mut two_questions = whole.clone();
        two_questions[5] = 2;
        let mut pointer = whole;
        pointer[12] = 0xc0;
        for wrong in [an_answer, two_questions, pointer, query(&[[b'a'; 63].as_slice(); 5], A)] {
            assert!(reply(&wrong, &names(), &book).is_none(), "{wrong:?}");
        }
    }
}
