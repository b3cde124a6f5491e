//! The gateway's side of the second socket (see `crate::desk`): holds runs, records looks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use answers::Look;
use ledger::Ended;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::evidence::watch;
use super::{Holder, Shared, lock};
use crate::desk::{LINE_BYTES_MAX, Request, Response};
use crate::limits::{DESK_CONNECTIONS_MAX, DESK_CONNECTIONS_PER_UID_MAX};
use crate::proc;

/// How long a peer may take to say what it wants.
const FIRST_LINE: Duration = Duration::from_secs(5);

/// Serves until the task is dropped.
pub async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    let places = Arc::new(Places::default());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                // Nobody without a place is worth an answer: it would take a descriptor.
                let Some(place) = uid.and_then(|uid| places.enter(uid)) else { continue };
                let shared = shared.clone();
                tokio::spawn(async move {
                    connection(stream, shared).await;
                    drop(place);
                });
            }
            // Out of descriptors, or a peer that is gone already: wait a little rather than spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Connections of each uid. One of them holds each run, so that one caller fills up what is their own.
#[derive(Default)]
struct Places(Mutex<BTreeMap<u32, usize>>);

/// A connection's place, until it is dropped.
struct Place {
    among: Arc<Places>,
    uid: u32,
}

impl Places {
    fn enter(self: &Arc<Places>, uid: u32) -> Option<Place> {
        let mut taken = lock(&self.0);
        let (all, own) = (taken.values().sum::<usize>(), taken.get(&uid).copied().unwrap_or_default());
        if all >= DESK_CONNECTIONS_MAX || own >= DESK_CONNECTIONS_PER_UID_MAX {
            return None;
        }
        taken.insert(uid, own + 1);
        Some(Place { among: self.clone(), uid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.among.0);
        match taken.get_mut(&self.uid) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => drop(taken.remove(&self.uid)),
        }
    }
}

async fn connection(stream: UnixStream, shared: Arc<Shared>) {
    let Ok(peer) = stream.peer_cred() else { return };
    let (Some(process), uid) = (peer.pid().and_then(proc::process), peer.uid()) else { return };
    let pid = process.pid;
    let (read, mut write) = stream.into_split();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut lines = BufReader::new(read.take(limit));
    let mut line = Vec::new();
    if !matches!(tokio::time::timeout(FIRST_LINE, lines.read_until(b'\n', &mut line)).await, Ok(Ok(1..))) {
        return;
    }
    let response = match serde_json::from_slice::<Request>(&line) {
        Err(_) => Response::Refused { why: "that is not a question of this version".to_owned() },
        Ok(_) if shared.may_be_inside(uid, process) => {
            Response::Refused { why: "a process inside a run asks nothing here".to_owned() }
        }
        Ok(Request::Hold(token)) => return hold(&shared, Holder::new(pid, uid), &token, lines, write).await,
        Ok(question) => {
            let shared = shared.clone();
            let answered = tokio::task::spawn_blocking(move || answer(&shared, (uid, pid), question)).await;
            answered.unwrap_or_else(|_| Response::Refused { why: "the gateway is stopping".to_owned() })
        }
    };
    // A peer that does not wait for its answer has none.
    let _gone = write.write_all(&encoded(&response)).await;
}

fn answer(shared: &Shared, (uid, pid): (u32, i32), question: Request) -> Response {
    let refused = |why: &str| Response::Refused { why: why.to_owned() };
    let own = rustix::process::geteuid().as_raw();
    let who = match shared.config.human_by_uid(uid) {
        Some(human) => human.name.clone(),
        None if uid == own || uid == 0 => crate::users::name_of(uid),
        None => {
            return refused(
                "the gateway does not know you; add [[human]] with your uid to the configuration",
            );
        }
    };
    match question {
        Request::Hold(_) => refused("a run is held by its own connection"),
        Request::Attempts { token, listed, totals } => {
            match shared.record_attempts(pid, &token, &listed, totals) {
                Ok(()) => Response::Recorded,
                Err(failed) => refused(&failed.why),
            }
        }
        Request::Watch { verb, subject } => {
            let Some(verb) = LOOKS.iter().map(|look| look.as_str()).find(|word| *word == verb) else {
                return refused("that is not a kind of look");
            };
            match watch(shared, &who, verb, &subject) {
                Ok(seq) => Response::Watched { seq },
                Err(why) => refused(&why.0),
            }
        }
    }
}

const LOOKS: [Look; 11] = [
    Look::Runs,
    Look::Show,
    Look::Replay,
    Look::Who,
    Look::Touched,
    Look::Exposed,
    Look::Find,
    Look::Diff,
    Look::Export,
    Look::Verify,
    Look::Approvals,
];

/// Keeps a run for as long as the connection is open.
async fn hold(
    shared: &Arc<Shared>,
    holder: Holder,
    token: &str,
    mut lines: impl tokio::io::AsyncRead + Unpin,
    mut write: impl tokio::io::AsyncWrite + Unpin,
) {
    let Some(run) = shared.registry.by_token(token) else {
        let refused = Response::Refused { why: "the run is over, or the token is not a run's".to_owned() };
        let _gone = write.write_all(&encoded(&refused)).await;
        return;
    };
    let (id, holder) = (run.id, Holder { jailed: run.jailed, ..holder });
    let mut ended = run.end();
    drop(run);
    shared.held_by(id, holder);
    if write.write_all(&encoded(&Response::Held)).await.is_ok() {
        tokio::select! {
            // The other end says nothing more; whatever comes, or the end of it, is its end.
            _ = lines.read_u8() => {}
            // Closed, revoked or expired: this connection's end tells the other side.
            _ = ended.wait_for(Option::is_some) => {}
        }
    }
    // The end of a run waits until nobody looks at it any more.
    drop(ended);
    if let Err(error) = shared.registry.end(id, Ended::Interrupted, None).await {
        eprintln!("tacho: run {id} was interrupted, and its end could not be recorded: {error}");
    }
    // Until then its processes are inside a run.
    shared.let_go(id);
    lock(&shared.since).remove(&id);
}

fn encoded(response: &Response) -> Vec<u8> {
    // An enum of texts and numbers: serialising one cannot fail.
    let mut line = serde_json::to_vec(response).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_takes_no_more_places_than_are_theirs() {
        let places = Arc::new(Places::default());
        let enter = |uid| places.enter(uid);
        let own: Vec<Place> = (0..DESK_CONNECTIONS_PER_UID_MAX).filter_map(|_| enter(1)).collect();
        assert_eq!(own.len(), DESK_CONNECTIONS_PER_UID_MAX);
        assert!(enter(1).is_none());
        let all: Vec<Place> = (2..).take(DESK_CONNECTIONS_MAX).filter_map(enter).collect();
        assert_eq!(own.len() + all.len(), DESK_CONNECTIONS_MAX);
        drop(own);
        assert!(enter(1).is_some());
    }
}
