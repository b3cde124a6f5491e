//! A service that answers as a language model does: a moment of thought, then events one by one.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Before the first event, and between two.
const THOUGHT: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(2);
const EVENTS: usize = 3;

/// Serves until the process ends; the port.
pub fn serve() -> io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    // Ends with the process: who asks is measured in it.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away ends its own thread.
            thread::spawn(move || drop(answers(stream)));
        }
    });
    Ok(port)
}

fn answers(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut asked = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        asked.extend_from_slice(&bytes[..read]);
        if !asked.ends_with(b"\r\n\r\n") {
            continue;
        }
        asked.clear();
        thread::sleep(THOUGHT);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        for n in 0..EVENTS {
            let event = format!("data: {{\"n\": {n}, \"text\": \"a word\"}}\n\n");
            let head = if n == 0 { head } else { "" };
            stream.write_all(format!("{head}{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
            thread::sleep(PAUSE);
        }
        stream.write_all(b"0\r\n\r\n")?;
    }
}
