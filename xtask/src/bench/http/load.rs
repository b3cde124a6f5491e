//! Clients of HTTP with the least that they need: a thread and a socket each, connections that stay.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any answer takes here.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(120);
const READ_BYTES: usize = 64 << 10;

/// Where to ask, for what, and with which further fields.
#[derive(Clone)]
pub struct Target {
    pub port: u16,
    pub path: String,
    pub fields: String,
}

/// What clients saw together.
#[derive(Default)]
pub struct Seen {
    pub requests: f64,
    pub bytes: f64,
    pub seconds: f64,
    /// Of each request, from its first byte to the answer's last.
    pub latencies_us: Vec<f64>,
}

impl Target {
    /// `clients` connections ask one thing after another for that long.
    pub fn load(&self, clients: usize, time: Duration) -> io::Result<Seen> {
        let begun = Instant::now();
        let threads: Vec<_> = (0..clients)
            .map(|_| {
                let target = self.clone();
                thread::spawn(move || target.client(begun + time))
            })
            .collect();
        let mut all = Seen::default();
        for thread in threads {
            let seen = thread.join().map_err(|_| io::Error::other("a client panicked"))??;
            all.requests += seen.requests;
            all.bytes += seen.bytes;
            all.latencies_us.extend(seen.latencies_us);
        }
        all.seconds = begun.elapsed().as_secs_f64();
        Ok(all)
    }

    fn client(&self, until: Instant) -> io::Result<Seen> {
        let mut connection = Connection::open(self)?;
        let mut seen = Seen::default();
        while Instant::now() < until {
            let asked = Instant::now();
            seen.bytes += connection.exchange(|| ())? as f64;
            seen.requests += 1.0;
            seen.latencies_us.push(asked.elapsed().as_secs_f64() * 1e6);
        }
        Ok(seen)
    }

    /// One answer on a connection of its own.
    pub fn once(&self) -> io::Result<Seen> {
        let begun = Instant::now();
        let bytes = Connection::open(self)?.exchange(|| ())? as f64;
        Ok(Seen { requests: 1.0, bytes, seconds: begun.elapsed().as_secs_f64(), ..Seen::default() })
    }

    /// One answer after another on one connection: how long the first byte of each body took, in microseconds.
    pub fn first_bytes(&self, times: usize) -> io::Result<Vec<f64>> {
        let mut connection = Connection::open(self)?;
        let one = |_| {
            let (asked, mut first) = (Instant::now(), None);
            connection.exchange(|| first = first.or_else(|| Some(asked.elapsed())))?;
            Ok(first.unwrap_or_default().as_secs_f64() * 1e6)
        };
        (0..times).map(one).collect()
    }
}

/// A connection, and what has come of it and was not read yet.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    held: Vec<u8>,
    at: usize,
}

impl Connection {
    fn open(target: &Target) -> io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", target.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_SECONDS_MAX))?;
        let Target { path, fields, .. } = target;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n{fields}\r\n");
        Ok(Connection { stream, request: request.into_bytes(), held: Vec::new(), at: 0 })
    }

    /// Asks, and reads the answer; the length of its body. `came` is called for each part of it.
    fn exchange(&mut self, mut came: impl FnMut()) -> io::Result<usize> {
        self.stream.write_all(&self.request)?;
        let head = self.head()?;
        if !head.starts_with("http/1.1 200") {
            return Err(io::Error::other(format!("the answer was: {head}")));
        }
        if head.contains("transfer-encoding: chunked") {
            return self.chunks(came);
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let length = length.ok_or_else(|| io::Error::other("an answer without a length"))?;
        self.skip(length, &mut came)?;
        Ok(length)
    }

    fn chunks(&mut self, mut came: impl FnMut()) -> io::Result<usize> {
        let mut all = 0;
        loop {
            let line = self.until(b"\r\n")?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            if size == 0 {
                self.until(b"\r\n")?;
                return Ok(all);
            }
            self.skip(size, &mut came)?;
            self.skip(2, &mut || ())?;
            all += size;
        }
    }

    /// In lower case, with the line's end behind the last field.
    fn head(&mut self) -> io::Result<String> {
        Ok(self.until(b"\r\n\r\n")?.to_ascii_lowercase())
    }

    /// What stands before `end`, which is taken too.
    fn until(&mut self, end: &[u8]) -> io::Result<String> {
        let mut searched = 0;
        loop {
            let rest = &self.held[self.at..];
            if let Some(found) = rest[searched..].windows(end.len()).position(|window| window == end) {
                let text = String::from_utf8_lossy(&rest[..searched + found]).into_owned();
                self.at += searched + found + end.len();
                return Ok(text);
            }
            searched = rest.len().saturating_sub(end.len() - 1);
            self.fill()?;
        }
    }

    fn skip(&mut self, mut length: usize, came: &mut impl FnMut()) -> io::Result<()> {
        loop {
            let here = length.min(self.held.len() - self.at);
            if here > 0 {
                came();
            }
            self.at += here;
            length -= here;
            if length == 0 {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.held.drain(..self.at);
        self.at = 0;
        let before = self.held.len();
        self.held.resize(before + READ_BYTES, 0);
        let read = self.stream.read(&mut self.held[before..])?;
        self.held.truncate(before + read);
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn answers_with_a_length_and_in_chunks_are_read_to_their_end() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let target = Target {
            port: listener.local_addr().unwrap().port(),
            path: "/".to_owned(),
            fields: String::new(),
        };
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            for answer in [
                &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
                b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
            ] {
                assert!(stream.read(&mut asked).unwrap() > 0);
                answer.chunks(3).for_each(|piece| stream.write_all(piece).unwrap());
            }
        });
        let mut connection = Connection::open(&target).unwrap();
        assert_eq!(connection.exchange(|| ()).unwrap(), 5);
        assert_eq!(connection.exchange(|| ()).unwrap(), 6);
        assert!(connection.exchange(|| ()).is_err());
        server.join().unwrap();
    }
}
