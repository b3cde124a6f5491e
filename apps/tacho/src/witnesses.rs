//! The gateway's side of witnesses: each new checkpoint is shown to each of them, and what they sign is kept beside it.
//!
//! The data path does not wait for this: evidence is durable before anything happens, with or without a witness, and
//! reports say which part of it is witnessed. A witness that is down is an alarm, and one that has seen another past
//! than this ledger's is one that is recorded.
//!
//! **Invariant:** the newest checkpoint alone is shown, and the last of each key on the way to it: nothing queues.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use console::seat::WitnessStatus;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use ledger::{Checkpointed, Ledger, ProofError, Turn};
use rustls::pki_types::ServerName;
use seal::note::{SignedNote, Standing, VerifierKey};
use seal::witness::Submission;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vocab::WallTime;

use crate::config;
use crate::fault::Failure;
use crate::http::{NoReply, Reply, exchange};
use crate::limits::{
    WITNESS_ANSWER_BYTES_MAX, WITNESS_DEADLINE, WITNESS_LAG_MAX, WITNESS_PACE, WITNESS_PAUSE_MAX,
    WITNESS_STOP_WAIT,
};
use crate::serve::Shared;

/// Attempts of one round: the first may tell the witness's size, the second that it knows an older key.
const TRIES: usize = 4;

/// One witness, and how far it has come.
pub struct Witness {
    config: config::Witness,
    tls: Option<Arc<rustls::ClientConfig>>,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    /// Records under the newest checkpoint that it cosigned, and when it did, in seconds since 1970.
    size: u64,
    at: Option<u64>,
    /// Since when it has not cosigned what there is to cosign, and what went wrong last.
    behind_since: Option<WallTime>,
    trouble: Option<String>,
    /// It has seen another past. Stays until the gateway is started again.
    conflict: Option<String>,
}

/// Why a round did not end with a signature.
#[derive(Debug)]
enum Trouble {
    /// It may go better later.
    Later(String),
    /// Two histories.
    Conflict(String),
}

/// What a witness said to a checkpoint.
enum Said {
    Cosigned,
    /// It has cosigned another size than was thought.
    Has(u64),
    /// It does not know the key.
    OtherKey,
}

impl Witness {
    /// With what was kept of it earlier. Errors: certificates that cannot be used.
    pub fn new(config: config::Witness, ledger: &Ledger) -> Result<Witness, Failure> {
        let tls = match config.url.https {
            false => relay::config::UpstreamTls::Disable,
            true => relay::config::UpstreamTls::full(config.url.root_certificates.clone()),
        };
        let tls = relay::tls::client_config(&tls, None)
            .map_err(|e| Failure::could_not(format!("witness {}: {e}", config.key.name())))?;
        let kept =
            ledger.cosigned(&config.key).filter(|kept| kept.note.verify(&config.key) == Standing::Good);
        let at = kept.as_ref().and_then(|kept| signed_at(&kept.note, &config.key));
        let progress = Progress {
            size: kept.map_or(0, |kept| kept.size),
            at,
            behind_since: None,
            trouble: None,
            conflict: None,
        };
        Ok(Witness { config, tls, progress: Mutex::new(progress) })
    }

    fn name(&self) -> &str {
        self.config.key.name()
    }

    /// For `tacho status`; `records`: how many there are.
    pub fn status(&self, records: u64) -> WitnessStatus {
        let progress = self.progress();
        WitnessStatus {
            name: self.name().to_owned(),
            url: self.config.url.address(),
            size: progress.size,
            behind: records.saturating_sub(progress.size),
            at: progress.at.map(|at| answers::time(WallTime(at.saturating_mul(1_000_000_000)))),
            behind_since: progress.behind_since.map(answers::time),
            detail: progress.conflict.clone().or_else(|| progress.trouble.clone()),
        }
    }

    /// What is wrong with it, in a sentence.
    pub fn alarm(&self) -> Option<String> {
        let progress = self.progress();
        if let Some(conflict) = &progress.conflict {
            return Some(format!("witness {}: {conflict}", self.name()));
        }
        let since = progress.behind_since?;
        let lag = crate::evidence::now().0.saturating_sub(since.0);
        let trouble = progress.trouble.as_deref().unwrap_or("it has not answered");
        (u128::from(lag) > WITNESS_LAG_MAX.as_nanos()).then(|| {
            format!("witness {} has not cosigned since {}: {trouble}", self.name(), answers::time(since))
        })
    }

    /// Shows the newest checkpoint, if the witness does not have it.
    async fn round(&self, ledger: &Ledger) -> Result<(), Trouble> {
        let Some(newest) = ledger.shown() else { return Ok(()) };
        let known = self.progress().size;
        if newest.size == known {
            return Ok(());
        }
        self.progress().behind_since.get_or_insert_with(crate::evidence::now);
        if newest.size < known {
            return Err(Trouble::Conflict(format!(
                "it has cosigned {known} records, and this ledger has {}: records were cut off",
                newest.size
            )));
        }
        self.same_past(ledger).await?;
        let mut old = known;
        for _ in 0..TRIES {
            match self.offer(ledger, old, &newest).await? {
                Said::Cosigned => return Ok(()),
                Said::Has(size) => old = self.has(size, old, &newest)?,
                Said::OtherKey => old = self.follow(ledger, old).await?,
            }
        }
        Err(Trouble::Later("it asks for one size after another".to_owned()))
    }

    /// Holds the ledger against what was kept of this witness: who rewrites the one has to answer for the other.
    async fn same_past(&self, ledger: &Ledger) -> Result<(), Trouble> {
        let (ledger, key) = (ledger.clone(), self.config.key.clone());
        let look = move || {
            let Some(kept) = ledger.cosigned(&key).filter(|kept| kept.note.verify(&key) == Standing::Good)
            else {
                return Ok(());
            };
            let same = kept.note.checkpoint().is_ok_and(|c| c.origin == ledger.origin());
            let root = ledger.root_at(kept.size).map_err(later)?;
            if same && kept.note.checkpoint().is_ok_and(|c| c.root == root) {
                Ok(())
            } else {
                Err(rewritten(kept.size))
            }
        };
        blocking(look).await?
    }

    /// The size that the witness says it has cosigned, if a ledger and a witness of one past can be there.
    fn has(&self, size: u64, asked: u64, newest: &Checkpointed) -> Result<u64, Trouble> {
        let known = self.progress().size;
        if size > newest.size {
            return Err(Trouble::Conflict(format!(
                "it has cosigned {size} records, and this ledger has {}: records were cut off, or another ledger has \
                 this name and key",
                newest.size
            )));
        }
        if size < known {
            return Err(Trouble::Conflict(format!(
                "it had cosigned {known} records and says {size} now: it has forgotten, so trust its signatures no more"
            )));
        }
        if size == asked { Err(rewritten(size)) } else { Ok(size) }
    }

    /// Brings the witness past the keys that signed since: the last checkpoint of each, and the record that names the
    /// next. Gives the size that it has then.
    async fn follow(&self, ledger: &Ledger, mut old: u64) -> Result<u64, Trouble> {
        let mut followed = false;
        for turn in ledger.turns(old) {
            let size = turn.checkpoint.size;
            if size > old {
                match self.offer(ledger, old, &turn.checkpoint).await? {
                    Said::Cosigned => old = size,
                    Said::OtherKey => continue,
                    Said::Has(has) => return self.has(has, old, &turn.checkpoint),
                }
            }
            followed |= self.tell(ledger, &turn, old).await?;
        }
        if followed {
            return Ok(old);
        }
        Err(Trouble::Later(
            "it knows none of the keys that have signed since; see docs/FORMAT.md, section 8".into(),
        ))
    }

    /// Whether the witness takes the key that a turn names.
    async fn tell(&self, ledger: &Ledger, turn: &Turn, size: u64) -> Result<bool, Trouble> {
        let (ledger, turn) = (ledger.clone(), turn.clone());
        let asked = blocking(move || ledger.succession(&turn, size).map_err(later)).await??;
        let reply = self.post("/add-key", asked.to_bytes()).await?;
        match reply.status {
            200 => Ok(true),
            // It has a newer key already.
            422 => Ok(false),
            404 => Err(Trouble::Later(
                "it does not follow keys that turn (`add-key`): tell its operator the new one".to_owned(),
            )),
            status => Err(Trouble::Later(format!("it answered {status} to the next key"))),
        }
    }

    async fn offer(&self, ledger: &Ledger, old: u64, to: &Checkpointed) -> Result<Said, Trouble> {
        let (source, note) = (ledger.clone(), to.note.clone());
        let asked = blocking(move || {
            let checkpoint = note.checkpoint().map_err(|e| Trouble::Later(e.to_string()))?;
            let proof = source.consistency(old, checkpoint.size, &checkpoint.root).map_err(later)?;
            Submission::new(old, proof, note).map_err(|_| Trouble::Later("no checkpoint".to_owned()))
        });
        let asked = asked.await??;
        let reply = self.post("/add-checkpoint", asked.to_bytes()).await?;
        let text = String::from_utf8(reply.body).unwrap_or_default();
        match reply.status {
            200 => self.keep(ledger, to, &text).await.map(|()| Said::Cosigned),
            403 => Ok(Said::OtherKey),
            404 => Err(Trouble::Later("it was not told of this ledger (its --log)".to_owned())),
            409 => match text.strip_suffix('\n').and_then(|size| size.parse().ok()) {
                Some(size) => Ok(Said::Has(size)),
                None => Err(Trouble::Later("it answered 409 without a size".to_owned())),
            },
            // The proof was held against our own roots before it left.
            422 => Err(rewritten(old)),
            status => Err(Trouble::Later(format!("it answered {status}"))),
        }
    }

    /// Keeps the signature, if it is the witness's and over this checkpoint.
    async fn keep(&self, ledger: &Ledger, to: &Checkpointed, lines: &str) -> Result<(), Trouble> {
        let bytes = [&to.note.to_bytes()[..], lines.as_bytes()].concat();
        let note = SignedNote::parse(&bytes).ok().filter(|n| n.verify(&self.config.key) == Standing::Good);
        // Its lines could bring a text of their own.
        let note = note.filter(|n| n.text() == to.note.text());
        let note = note.ok_or_else(|| Trouble::Later("its answer is not its signature".to_owned()))?;
        let ours = |s: &&seal::note::Signature| s.name == ledger.origin() || s.is_by(&self.config.key);
        let lines = note.signatures().iter().filter(ours).cloned().collect();
        let note = SignedNote::new(note.text().to_owned(), lines);
        let at = signed_at(&note, &self.config.key);
        let (cosigned, key) = (Checkpointed { size: to.size, note }, self.config.key.clone());
        let ledger = ledger.clone();
        let kept = blocking(move || ledger.keep_cosigned(&key, &cosigned)).await?;
        kept.map_err(|e| Trouble::Later(format!("its signature cannot be kept: {e}")))?;
        let mut progress = self.progress();
        (progress.size, progress.at) = (to.size, at);
        (progress.behind_since, progress.trouble) = (None, None);
        Ok(())
    }

    async fn post(&self, call: &str, body: Vec<u8>) -> Result<Reply, Trouble> {
        match tokio::time::timeout(WITNESS_DEADLINE, self.dial_and_post(call, body)).await {
            Ok(reply) => reply.map_err(Trouble::Later),
            Err(_late) => {
                Err(Trouble::Later(format!("it did not answer within {} s", WITNESS_DEADLINE.as_secs())))
            }
        }
    }

    async fn dial_and_post(&self, call: &str, body: Vec<u8>) -> Result<Reply, String> {
        let url = &self.config.url;
        let request = Request::post(format!("{}{call}", url.base))
            .header(HOST, url.authority())
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| e.to_string())?;
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|e| e.to_string())?;
        let Some(tls) = &self.tls else {
            return exchange(stream, request, WITNESS_ANSWER_BYTES_MAX).await.map_err(in_words);
        };
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| format!("`{}` is no name that a certificate can prove", url.host))?;
        let proved =
            TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(|e| e.to_string())?;
        exchange(proved, request, WITNESS_ANSWER_BYTES_MAX).await.map_err(in_words)
    }

    /// Notes what went wrong; `true` if it is a conflict that was not known.
    fn troubled(&self, trouble: Trouble) -> Option<String> {
        let mut progress = self.progress();
        match trouble {
            Trouble::Later(why) => {
                progress.trouble = Some(why);
                None
            }
            Trouble::Conflict(why) => {
                let new = progress.conflict.as_ref() != Some(&why);
                progress.conflict = Some(why.clone());
                new.then_some(why)
            }
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows one witness what there is to see, until the task is dropped.
pub async fn attend(shared: Arc<Shared>, witness: Arc<Witness>) {
    let ledger = shared.gate.ledger().clone();
    let mut pause = WITNESS_PACE;
    loop {
        tokio::time::sleep(pause).await;
        pause = match witness.round(&ledger).await {
            Ok(()) => WITNESS_PACE,
            Err(trouble) => {
                if let Some(conflict) = witness.troubled(trouble) {
                    tell(&shared, &witness, conflict).await;
                }
                (pause * 2).min(WITNESS_PAUSE_MAX)
            }
        };
    }
}

/// The last checkpoint of a gateway that has stopped; what a witness misses now it is shown at the next start.
pub async fn last_round(witnesses: &[Arc<Witness>], ledger: &Ledger) {
    let rounds = async {
        for witness in witnesses {
            if let Err(trouble) = witness.round(ledger).await
                && let Some(conflict) = witness.troubled(trouble)
            {
                eprintln!("tacho: ALARM: witness {}: {conflict}", witness.name());
            }
        }
    };
    drop(tokio::time::timeout(WITNESS_STOP_WAIT, rounds).await);
}

/// A conflict is told where people look, and recorded.
async fn tell(shared: &Arc<Shared>, witness: &Witness, conflict: String) {
    let name = witness.name().to_owned();
    eprintln!("tacho: ALARM: witness {name}: {conflict}");
    let shared = shared.clone();
    let record = move || shared.admin(&name, "witness-conflict", &conflict, "alarm").map(drop);
    if !matches!(blocking(record).await, Ok(Ok(()))) {
        eprintln!("tacho: the alarm could not be recorded");
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Trouble::Later("the gateway is stopping".to_owned()))
}

fn signed_at(note: &SignedNote, key: &VerifierKey) -> Option<u64> {
    note.signatures().iter().filter(|s| s.is_by(key)).filter_map(seal::note::Signature::cosigned_at).max()
}

fn rewritten(size: u64) -> Trouble {
    Trouble::Conflict(format!(
        "it has cosigned another past of the first {size} records: this ledger was rewritten"
    ))
}

fn later(error: ProofError) -> Trouble {
    Trouble::Later(error.to_string())
}

fn in_words(error: NoReply) -> String {
    match error {
        NoReply::NobodyThere => "nobody listens there".to_owned(),
        NoReply::Forbidden => "permission denied".to_owned(),
        NoReply::Broken(why) => why,
    }
}
