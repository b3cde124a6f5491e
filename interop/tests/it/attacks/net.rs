//! What must not come back, in the shapes in which it could; and a tap that sees every byte that does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A window of a value as long as this, in any of the shapes, is a leak.
const WINDOW: usize = 6;

/// Looks for values in bytes.
pub struct Net {
    /// Lower-case text of at least [`WINDOW`] characters each, by length.
    needles: Vec<(usize, HashSet<Vec<u8>>)>,
}

impl Net {
    /// `texts`: any window of them. `whole`: only all of it, as of dates and amounts, whose parts are everywhere.
    pub fn new(texts: &[String], whole: &[String]) -> Net {
        let mut all: HashSet<Vec<u8>> = HashSet::new();
        for text in texts {
            let text = text.to_lowercase();
            for window in text.as_bytes().windows(WINDOW) {
                all.insert(window.to_vec());
                all.insert(window.iter().rev().copied().collect());
                all.insert(hex(window).into_bytes());
            }
            // Base64 keeps no case: its alphabet is the value's own, so both are put in lower case.
            for value in [text.clone(), text.to_uppercase()] {
                for skip in 0..3usize.min(value.len()) {
                    let coded = base64(&value.as_bytes()[skip..]).to_lowercase();
                    all.extend(coded.as_bytes().windows(10).map(<[u8]>::to_vec));
                }
            }
            let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
            all.extend(digits.windows(8).map(<[u8]>::to_vec));
        }
        all.extend(whole.iter().map(|value| value.as_bytes().to_vec()));
        let mut needles: Vec<(usize, HashSet<Vec<u8>>)> = Vec::new();
        for needle in all {
            match needles.iter_mut().find(|(length, _)| *length == needle.len()) {
                Some((_, set)) => drop(set.insert(needle)),
                None => needles.push((needle.len(), HashSet::from([needle]))),
            }
        }
        Net { needles }
    }

    /// A piece that was found, as text.
    pub fn catch(&self, bytes: &[u8]) -> Option<String> {
        let lower = bytes.to_ascii_lowercase();
        let in_set = |(length, set): &(usize, HashSet<Vec<u8>>)| {
            lower.windows(*length).find(|window| set.contains(*window)).map(<[u8]>::to_vec)
        };
        self.needles.iter().find_map(in_set).map(|found| String::from_utf8_lossy(&found).into_owned())
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let word = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        [18, 12, 6, 0].map(|shift| ALPHABET[(word >> shift) as usize & 63] as char)
    };
    bytes.chunks_exact(3).flat_map(group).collect()
}

/// Between a client and a gateway: keeps what the gateway sends.
#[derive(Clone)]
pub struct Tap {
    pub port: u16,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    pub async fn before(gateway: u16) -> Tap {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let tap = Tap { port: listener.local_addr().unwrap().port(), seen: Arc::default() };
        let seen = tap.seen.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(("127.0.0.1", gateway)).await.unwrap();
                tokio::spawn(pump(client, upstream, seen.clone()));
            }
        });
        tap
    }

    /// What came since the last time. Bytes are kept before the client gets them: after an answer they are all here.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn pump(client: TcpStream, upstream: TcpStream, seen: Arc<Mutex<Vec<u8>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_upstream, mut to_upstream) = upstream.into_split();
    let there = async move { drop(tokio::io::copy(&mut from_client, &mut to_upstream).await) };
    let back = async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(n @ 1..) = from_upstream.read(&mut buffer).await {
            seen.lock().unwrap().extend_from_slice(&buffer[..n]);
            if to_client.write_all(&buffer[..n]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! { () = there => {}, () = back => {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_each_shape_and_a_mask_is_not() {
        let net = Net::new(&["536-90-4399".into(), "qzxjvkwpt".into()], &["1987-03-14".into()]);
        let base = base64(b"x: 536-90-4399 ");
        let shapes = ["..536-90..", "9934-09", "536904399", "QZXJVK", "3533362d3930", "1987-03-14", &base];
        for shape in shapes {
            assert!(net.catch(shape.as_bytes()).is_some(), "{shape}");
        }
        for mask in ["ssn_1", "***-**-4399", "1987-01-01", "redacted", "536-9"] {
            assert!(net.catch(mask.as_bytes()).is_none(), "{mask}");
        }
    }
}
