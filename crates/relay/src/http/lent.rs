//! Servers of MCP that a client starts and that speak over standard input and output. `tacho mcp` starts one beside the
//! agent and lends the gateway connections to it: it connects to the resource's own listener, proves its run, and from
//! then on the gateway is the client on that connection. So only dialling differs from a server of HTTP.
//!
//! **Invariant:** a session gets a connection of its own run and of the `tacho mcp` that its first request names, and of
//! no other; a connection is lent once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use mask::{Detectors, MaskedText};
use proto_http::frame::{Framing, Head, Headers, Start};
use tokio::sync::{Notify, oneshot, watch};
use vocab::RunId;

use super::listen::TOO_MANY;
use super::problem::Problem;
use super::resource::Resource;
use super::side::Side;
use crate::leg::Leg;
use crate::limits::{ARGV_WORDS_MAX, HTTP_SESSIONS_PER_RUN_MAX, MCP_COMMAND_BYTES_MAX, MCP_LENT};
use crate::runs::{Ended, Run};

/// What a connection that is lent asks to be upgraded to.
const PROTOCOL: &[u8] = b"tacho-stdio/1";
/// Which `tacho mcp` of the run's it is: a number of its own making, in each request of both directions.
const PROCESS: &str = "tacho-process";
/// The server's command: its words with NUL between them, in Base64.
const COMMAND: &str = "tacho-command";
/// The words of the gateway's own that turn the connection round.
const TURNED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tacho-stdio/1\r\n\r\n";

const NO_OFFER: &str =
    "the connection that is lent does not say which `tacho mcp` it is of, or to what command";
pub(super) const NO_PROCESS: &str =
    "this server is one that its client starts; reach it through `tacho mcp -- COMMAND`";

/// One `tacho mcp`: 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process(String);

impl Process {
    /// Which one a request names; none if it names none, or several.
    pub(super) fn of(headers: &Headers) -> Option<Process> {
        let mut all = headers.all(PROCESS);
        let (Some(value), None) = (all.next(), all.next()) else { return None };
        let value = value.to_str()?;
        let hex = value.len() == 32 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hex.then(|| Process(value.to_owned()))
    }
}

/// A connection that was lent, and the command at its other end.
pub(super) struct LentLeg {
    pub(super) leg: Leg,
    pub(super) command: MaskedText,
}

type Key = (RunId, Process);
type Lender = oneshot::Sender<oneshot::Sender<LentLeg>>;

/// The connections of one resource that wait for a session. There are at most [`HTTP_SESSIONS_PER_RUN_MAX`] of a run's.
#[derive(Default)]
pub(super) struct Lent {
    waiting: Mutex<HashMap<Key, VecDeque<Lender>>>,
    came: Notify,
}

impl Lent {
    /// One that was not used. Waits for one at most [`MCP_LENT`]: `tacho mcp` lends another when one was taken.
    pub(super) async fn take(&self, run: RunId, process: &Process) -> Result<LentLeg, String> {
        let key = (run, process.clone());
        let taken = async {
            loop {
                let came = self.came.notified();
                tokio::pin!(came);
                // Whoever comes after the look wakes this.
                came.as_mut().enable();
                while let Some(lender) = self.next(&key) {
                    let (give, given) = oneshot::channel();
                    // It may have gone in this moment.
                    if lender.send(give).is_ok()
                        && let Ok(leg) = given.await
                    {
                        return leg;
                    }
                }
                came.await;
            }
        };
        let late =
            |_| format!("`tacho mcp` lent no connection to its server within {} s", MCP_LENT.as_secs());
        tokio::time::timeout(MCP_LENT, taken).await.map_err(late)
    }

    fn next(&self, key: &Key) -> Option<Lender> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_key = waiting.get_mut(key)?;
        let next = of_key.pop_front();
        if of_key.is_empty() {
            waiting.remove(key);
        }
        next
    }

    fn wait(&self, key: &Key) -> oneshot::Receiver<oneshot::Sender<LentLeg>> {
        let (lender, wanted) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(key.clone()).or_default().push_back(lender);
        drop(waiting);
        self.came.notify_waiters();
        wanted
    }

    /// Forgets those that nobody will lend any more.
    fn sweep(&self, key: &Key) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_key) = waiting.get_mut(key) {
            of_key.retain(|lender| !lender.is_closed());
            if of_key.is_empty() {
                waiting.remove(key);
            }
        }
    }
}

/// Whether this connection is to be lent.
pub(super) fn is_lent(resource: &Resource, head: &Head) -> bool {
    resource.is_stdio() && head.headers.get("upgrade").is_some_and(|to| to.as_bytes() == PROTOCOL)
}

/// Keeps a connection until a session takes it, the run is over, or it is gone. Errors: what its owner is told.
pub(super) async fn lend(
    resource: &Arc<Resource>,
    run: &Arc<Run>,
    client: &mut Side,
    mut ended: watch::Receiver<Option<Ended>>,
    head: &Head,
) -> Result<(), Problem> {
    let detectors = resource.gate.detectors();
    let process = Process::of(&head.headers).filter(|_| is_bare(head));
    let (Some(process), Some(command)) = (process, command(detectors, &head.headers)) else {
        return Err(Problem::new(400, NO_OFFER));
    };
    let Some(_one_of_the_runs) = run.present_below(HTTP_SESSIONS_PER_RUN_MAX) else {
        return Err(Problem::new(503, TOO_MANY));
    };
    let mut turned = BytesMut::from(TURNED);
    let told = tokio::time::timeout(Duration::from_secs(1), client.leg.drain(&mut turned)).await;
    // Behind its head it has nothing to say until it is asked.
    if !matches!(told, Ok(Ok(()))) || !client.input.is_empty() {
        return Ok(());
    }
    let key = (run.id, process);
    let mut wanted = resource.lent.wait(&key);
    let give = tokio::select! {
        biased;
        _over = ended.wait_for(Option::is_some) => None,
        give = &mut wanted => give.ok(),
        _gone = client.leg.fill(&mut client.input) => None,
    };
    drop(wanted);
    resource.lent.sweep(&key);
    if let Some(give) = give {
        let leg = std::mem::replace(&mut client.leg, Leg::Gone);
        // Whoever asked may have given up; then the connection ends, and another is lent.
        let _taken = give.send(LentLeg { leg, command });
    }
    Ok(())
}

/// A GET of the resource itself, without a body.
fn is_bare(head: &Head) -> bool {
    let get = matches!(&head.start, Start::Request { method, target, .. }
        if method.as_bytes() == b"GET" && target.as_bytes() == b"/");
    get && matches!(head.framing, Framing::None | Framing::Length(0))
}

/// The command as it is recorded: its words, masked as those of a run are.
fn command(detectors: &Detectors, headers: &Headers) -> Option<MaskedText> {
    let mut all = headers.all(COMMAND);
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let words = STANDARD.decode(value.as_bytes()).ok()?;
    let words = std::str::from_utf8(&words).ok()?;
    if words.len() > MCP_COMMAND_BYTES_MAX || words.split('\0').count() > ARGV_WORDS_MAX {
        return None;
    }
    let words: Vec<String> = words.split('\0').map(quoted).collect();
    Some(mask::text(detectors, &words.join(" ")).0)
}

/// A word as a shell would need it, so that it can be told from its neighbours.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,~".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::RawField;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in pairs {
            headers.push(RawField::copy_from(name.as_bytes()), RawField::copy_from(value.as_bytes()));
        }
        headers
    }

    fn process(digit: char) -> Process {
        Process(digit.to_string().repeat(32))
    }

    fn run(n: u8) -> RunId {
        RunId::parse(&format!("{n:02x}").repeat(16)).unwrap()
    }

    #[test]
    fn a_process_is_named_once_and_in_one_form() {
        let good = "0123456789abcdef0123456789abcdef";
        let of = |pairs: &[(&str, &str)]| Process::of(&headers(pairs));
        assert_eq!(of(&[("Tacho-Process", good)]), Some(Process(good.to_owned())));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("tacho-process", good), ("tacho-process", good)]), None);
        assert_eq!(of(&[("tacho-process", &good[1..])]), None);
        assert_eq!(of(&[("tacho-process", &good.to_ascii_uppercase())]), None);
    }

    #[test]
    fn a_command_is_masked_and_bounded() {
        let detectors = Detectors::new();
        let of = |words: &str| command(&detectors, &headers(&[("tacho-command", &STANDARD.encode(words))]));
        let said = of("node\0a b\0it's\0--mail=ada.osei@example.com").unwrap();
        assert_eq!(said.as_str(), "node 'a b' 'it'\\''s' --mail=[pii.email]");
        assert!(of(&"x".repeat(MCP_COMMAND_BYTES_MAX)).is_some());
        assert!(of(&"x".repeat(MCP_COMMAND_BYTES_MAX + 1)).is_none());
        assert!(of(&vec!["x"; ARGV_WORDS_MAX].join("\0")).is_some());
        assert!(of(&vec!["x"; ARGV_WORDS_MAX + 1].join("\0")).is_none());
    }

    fn leg() -> LentLeg {
        LentLeg { leg: Leg::Gone, command: MaskedText::constant("x") }
    }

    #[tokio::test]
    async fn a_session_gets_what_its_own_run_and_process_lent_and_nothing_else() {
        let lent = Lent::default();
        let (own, others) = ((run(1), process('a')), [(run(2), process('a')), (run(1), process('b'))]);
        let _foreign: Vec<_> = others.iter().map(|key| lent.wait(key)).collect();
        let gone = lent.wait(&own);
        drop(gone);
        let wanted = lent.wait(&own);
        let lender = async { wanted.await.unwrap().send(leg()).is_ok() };
        let (taken, given) = tokio::join!(lent.take(own.0, &own.1), lender);
        assert!(taken.is_ok() && given);
        tokio::select! {
            biased;
            _ = lent.take(own.0, &own.1) => panic!("each is lent once, and to nobody else"),
            () = tokio::task::yield_now() => {}
        }
    }

    #[tokio::test]
    async fn a_session_waits_for_the_next_one() {
        let lent = Lent::default();
        let key = (run(1), process('a'));
        let later = async {
            tokio::task::yield_now().await;
            lent.wait(&key).await.unwrap().send(leg()).is_ok()
        };
        let (taken, given) = tokio::join!(lent.take(key.0, &key.1), later);
        assert!(taken.is_ok() && given);
        let waiting = lent.wait(&key);
        drop(waiting);
        lent.sweep(&key);
        assert!(lent.waiting.lock().unwrap().is_empty(), "who is gone is forgotten");
    }
}
