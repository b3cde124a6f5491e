//! As much of HTTP/1.1 as the gateway and the clients of the tests speak, over TCP or TLS, one thread a connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// The longest line of a head, in bytes, and the most lines.
const LINE_BYTES_MAX: u64 = 64 << 10;
const LINES_MAX: usize = 200;
/// The longest body, in bytes. The gateway's own limit for a model's is 8 MiB.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// How long a stream stands that comes to no end: longer than any client of the tests waits.
const STALL: Duration = Duration::from_secs(20);

pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub enum Answer {
    /// Status and JSON.
    Whole(u16, Value),
    /// Server-sent events: their names, if any, and data.
    Events { all: Vec<(Option<&'static str>, String)>, stalls: bool },
}

/// A server's configuration of TLS without ALPN, so that it speaks HTTP/1.1.
pub fn tls(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_no_client_auth().with_single_cert(chain, key)?))
}

/// Serves until the process ends.
pub fn serve(
    port: u16,
    tls: Option<Arc<ServerConfig>>,
    answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let answer = Arc::new(answer);
    loop {
        let (stream, _) = listener.accept()?;
        let (answer, tls) = (answer.clone(), tls.clone());
        // A connection that ends badly ends: whoever is on the other side sees it.
        thread::spawn(move || drop(connection(stream, tls, &*answer)));
    }
}

fn connection(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    answer: &dyn Fn(&Request) -> Answer,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match tls {
        None => talk(stream, answer),
        Some(config) => {
            talk(StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, stream), answer)
        }
    }
}

fn talk(stream: impl Read + Write, answer: &dyn Fn(&Request) -> Answer) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        write(reader.get_mut(), &answer(&request))?;
        let closes =
            |(name, value): &(String, String)| name == "connection" && value.eq_ignore_ascii_case("close");
        if request.headers.iter().any(closes) {
            break;
        }
    }
    Ok(())
}

/// The next request; `None` where the client is done.
fn read<S: Read + Write>(reader: &mut BufReader<S>) -> io::Result<Option<Request>> {
    let first = line(reader)?;
    if first.is_empty() {
        return Ok(None);
    }
    let [method, target, _version] = first.split(' ').collect::<Vec<_>>()[..] else {
        return Err(wrong("no request"));
    };
    let path = target.split('?').next().unwrap_or(target);
    let mut request =
        Request { method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new() };
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("no field"))?;
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        if request.headers.len() > LINES_MAX {
            return Err(wrong("too many fields"));
        }
    }
    request.body = body(reader, &request)?;
    Ok(Some(request))
}

fn body<S: Read + Write>(reader: &mut BufReader<S>, request: &Request) -> io::Result<Vec<u8>> {
    let of =
        |wanted: &str| request.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| &**value);
    if of("expect").is_some() {
        reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        reader.get_mut().flush()?;
    }
    let mut body = Vec::new();
    if of("transfer-encoding").is_none() {
        let length = of("content-length").map_or(Ok(0), str::parse).map_err(|_| wrong("no length"))?;
        take(reader, length, &mut body)?;
        return Ok(body);
    }
    loop {
        let length = u64::from_str_radix(&line(reader)?, 16).map_err(|_| wrong("no chunk"))?;
        take(reader, length, &mut body)?;
        // Behind a chunk, or behind the last one where there are no trailers.
        let end = line(reader)?;
        match (length, end.is_empty()) {
            (0, true) => return Ok(body),
            (_, true) => {}
            (_, false) => return Err(wrong("no end of a chunk")),
        }
    }
}

/// Exactly `length` bytes more.
fn take(reader: &mut impl Read, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if length > BODY_BYTES_MAX - body.len() as u64 {
        return Err(wrong("a body that is too long"));
    }
    match reader.take(length).read_to_end(body)? as u64 == length {
        true => Ok(()),
        false => Err(wrong("a body that is cut off")),
    }
}

/// A line without its end; an empty one at the end of a head or of the connection.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(LINE_BYTES_MAX).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn write(stream: &mut impl Write, answer: &Answer) -> io::Result<()> {
    match answer {
        Answer::Whole(status, value) => {
            let (body, reason) = (value.to_string(), if *status == 200 { "OK" } else { "No" });
            let head = format!(
                "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
            stream.flush()
        }
        Answer::Events { all, stalls } => {
            stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            )?;
            for (name, data) in all {
                let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
                let text = format!("{name}data: {data}\n\n");
                // Cut in the middle, so that nobody depends on where packets end.
                let (a, b) = text.as_bytes().split_at(text.len() / 2);
                chunk(stream, a)?;
                chunk(stream, b)?;
            }
            if *stalls {
                thread::sleep(STALL);
            }
            stream.write_all(b"0\r\n\r\n")?;
            stream.flush()
        }
    }
}

fn chunk(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = format!("{:x}\r\n", bytes.len());
    stream.write_all(&[length.as_bytes(), bytes, b"\r\n"].concat())?;
    stream.flush()
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
