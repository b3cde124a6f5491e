//! The gateway's second socket, for its own command line: a run is held by a connection, a look is recorded.
//!
//! One line of JSON each way. The caller is who the kernel says it is (`SO_PEERCRED`).
//!
//! - `{"hold": TOKEN}`: the run lives as long as this connection; when it closes, the run is over as `interrupted`
//!   unless it was closed before.
//! - `{"to-sign": ASK}`: the text that an approver signs for a request that waits.
//! - `{"attempts": {"token": TOKEN, "listed": [...], "totals": {...}}}`: what the agent of a jailed run tried to reach.
//!   Only from the process that holds the run.
//! - `{"watch": {"verb": V, "subject": S}}`: writes a `watch` record and answers its place.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use answers::{Look, NotWatched, Offline, Watch, Watched};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::fault::Failure;
use crate::run::jail::attempts::{Attempt, Totals};

/// Longest line of this protocol.
pub const LINE_BYTES_MAX: usize = 16 << 10;
/// How long a line may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What is asked over the socket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    Hold(String),
    Watch { verb: String, subject: String },
    Attempts { token: String, listed: Vec<Attempt>, totals: Option<Totals> },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Response {
    Held,
    Watched { seq: u64 },
    Recorded,
    Refused { why: String },
}

/// The socket's path: beside the control socket.
pub fn path(config: &Config) -> PathBuf {
    config.gateway.control.with_file_name("desk.sock")
}

/// Keeps a run alive; dropping it ends the run.
pub struct Hold {
    connection: tokio::net::UnixStream,
}

impl Hold {
    pub fn take(socket: &Path, token: &str) -> Result<Hold, Failure> {
        let failed = |why: String| {
            Failure::could_not(format!(
                "the gateway does not hold the run ({}): {why}; see its log",
                socket.display()
            ))
        };
        let mut connection = connect(socket).map_err(|e| failed(e.to_string()))?;
        match ask(&mut connection, &Request::Hold(token.to_owned())).map_err(|e| failed(e.to_string()))? {
            Response::Held => {
                // No deadline from here on: the connection stays open and silent for as long as the agent runs.
                let nonblocking = connection
                    .set_nonblocking(true)
                    .and_then(|()| tokio::net::UnixStream::from_std(connection));
                nonblocking.map(|connection| Hold { connection }).map_err(|e| failed(e.to_string()))
            }
            Response::Refused { why } => Err(failed(why)),
            Response::Watched { .. } | Response::Recorded => {
                Err(failed("it answered another question".to_owned()))
            }
        }
    }
}

impl Hold {
    /// Resolves when the gateway lets go: the run was revoked, has expired, or the gateway is gone.
    pub async fn over(&mut self) {
        use tokio::io::AsyncReadExt;
        // The gateway says nothing on it; its end, in whatever form, is what is waited for.
        let _end = self.connection.read_u8().await;
    }
}

/// Has recorded what the agent of a jailed run tried to reach.
pub fn attempts(
    socket: &Path,
    token: &str,
    listed: Vec<Attempt>,
    totals: Option<Totals>,
) -> Result<(), Failure> {
    let failed = |why: &str| {
        Failure::could_not(format!(
            "what the agent tried to reach could not be recorded ({}): {why}; see the gateway's log",
            socket.display()
        ))
    };
    let request = Request::Attempts { token: token.to_owned(), listed, totals };
    let mut connection = connect(socket).map_err(|e| failed(&e.to_string()))?;
    match ask(&mut connection, &request).map_err(|e| failed(&e.to_string()))? {
        Response::Recorded => Ok(()),
        Response::Refused { why } => Err(failed(&why)),
        Response::Held | Response::Watched { .. } => Err(failed("it answered another question")),
    }
}

/// Writes `watch` records through the gateway that has the ledger; offline if there is none.
pub struct ThroughGateway {
    pub socket: PathBuf,
}

impl Watch for ThroughGateway {
    fn watch(&self, who: &str, look: Look, subject: &str) -> Result<Watched, NotWatched> {
        let mut connection = match connect(&self.socket) {
            Ok(connection) => connection,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Offline.watch(who, look, subject);
            }
            Err(e) => {
                return Err(NotWatched(format!(
                    "cannot open {}: {e}; run as the gateway's user",
                    self.socket.display()
                )));
            }
        };
        let request = Request::Watch { verb: look.as_str().to_owned(), subject: subject.to_owned() };
        match ask(&mut connection, &request).map_err(|e| NotWatched(e.to_string()))? {
            Response::Watched { seq } => Ok(Watched::Recorded(Some(seq))),
            Response::Refused { why } => Err(NotWatched(why)),
            Response::Held | Response::Recorded => {
                Err(NotWatched("the gateway answered another question".to_owned()))
            }
        }
    }
}

fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    let connection = UnixStream::connect(socket)?;
    connection.set_read_timeout(Some(DEADLINE))?;
    connection.set_write_timeout(Some(DEADLINE))?;
    Ok(connection)
}

fn ask(connection: &mut UnixStream, request: &Request) -> std::io::Result<Response> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    connection.write_all(&line)?;
    let mut answer = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    BufReader::new(std::io::Read::take(&*connection, limit)).read_until(b'\n', &mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}
