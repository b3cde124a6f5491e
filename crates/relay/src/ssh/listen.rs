//! From accept to the end of a connection: the run's own proof, policy's word on `connect`, the host, and the `connect` record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gate::Who;
use ledger::{Code, Draft, Kind, Map, Name};
use mask::MaskedText;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use vocab::{Seq, SessionId};

use super::REFUSED_STATUS;
use super::channel::channel;
use super::decide::{Cut as Why, Over, over};
use super::forward::forward;
use super::library::{Ask, Cut, KeyKind, serve};
use super::link::Link;
use super::pool::{NoHost, Pool, UNREACHABLE};
use super::resource::Resource;
use crate::alike::NO_RECORD;
use crate::connect::{BARRED, Barred, permitted};
use crate::counts::Stranger;
use crate::limits::{LAST_WORDS, LOGIN, REFUSAL_RECORD, SSH_SESSIONS_PER_RUN_MAX};
use crate::runs::Run;

/// Serves one connection to its end.
pub async fn connection(stream: TcpStream, address: SocketAddr, resource: Arc<Resource>) {
    let _ = stream.set_nodelay(true);
    let cut = Cut::default();
    resource.begins(&cut);
    let strangers = &resource.registry.turned_away;
    let until = tokio::time::Instant::now() + LOGIN;
    let served = serve(stream, cut.clone(), &resource.key, resource.clone());
    let mut serving = match tokio::time::timeout_at(until, served).await {
        Ok(Ok(serving)) => serving,
        Ok(Err(())) => {
            resource.begun(&cut);
            return strangers.add(Stranger::Protocol);
        }
        Err(_late) => {
            resource.begun(&cut);
            return strangers.add(Stranger::Late);
        }
    };
    let proved = tokio::time::timeout_at(until, serving.asks.recv()).await;
    resource.begun(&cut);
    let (run, by) = match proved {
        Ok(Some(Ask::Proved(run, by))) => (run, by),
        // Nothing else is asked before; or it went away.
        Ok(_) => {
            if serving.end_weak().await {
                strangers.add(Stranger::Algorithms);
            }
            return;
        }
        Err(_late) => {
            strangers.add(Stranger::Late);
            return serving.end(None).await;
        }
    };
    // From here on the connection counts as one of the run's, and the end of the run waits for it.
    let ended = run.end();
    let login = Login { resource: &resource, run: &run, address, by };
    let words = login.serve(&mut serving, ended, &cut).await;
    serving.end(words.as_deref()).await;
}

type Serving = super::library::Serving<Resource>;

/// A connection of a resource that is there.
struct Counted(Arc<Resource>);

impl Counted {
    fn new(resource: &Arc<Resource>) -> Counted {
        resource.sessions.fetch_add(1, Ordering::Relaxed);
        Counted(resource.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a host did is not served again out of a record.
const NOT_AGAIN: &str = "a run is not carried out again where a host is reached over SSH";
const TOO_MANY: &str = "the run has as many connections as one may have";

/// A run before a host.
struct Login<'a> {
    resource: &'a Arc<Resource>,
    run: &'a Arc<Run>,
    address: SocketAddr,
    /// What it proved itself by.
    by: &'static str,
}

impl Login<'_> {
    /// A connection to its end. What the client is told of that, if it may be told.
    async fn serve(&self, serving: &mut Serving, ended: Over, cut: &Cut) -> Option<String> {
        let _counted = Counted::new(self.resource);
        let Some(_present) = self.run.present_below(SSH_SESSIONS_PER_RUN_MAX) else {
            self.not_connected(TOO_MANY, None).await;
            return Some(TOO_MANY.to_owned());
        };
        if self.resource.again {
            self.not_connected(NOT_AGAIN, None).await;
            return Some(NOT_AGAIN.to_owned());
        }
        let (link, mut ended) = match self.connect(ended).await {
            Ok(connected) => connected,
            Err(words) => return Some(words),
        };
        let link = Arc::new(link);
        let why = self.carry(serving, &link, &mut ended).await;
        self.record_end(&link, &why, cut).await;
        (!why.told.is_empty()).then(|| why.told.to_owned())
    }

    /// Policy's word, the host, and the record. Errors: what the client is told; why is in the record.
    async fn connect(&self, mut ended: Over) -> Result<(Link, Over), String> {
        let (resource, config) = (self.resource, &self.resource.config);
        let mut who = self.run.who(SessionId(0), &config.name, &resource.root, config.durability);
        let asked =
            permitted(&resource.gate, &who, resource.root.clone(), "ssh", Code::status(REFUSED_STATUS)).await;
        asked.map_err(|why| match why {
            Barred::Refused(decided, record) => {
                format!("{} (record {})", decided.message.as_deref().unwrap_or(BARRED), record.0)
            }
            Barred::NoRecord => NO_RECORD.to_owned(),
        })?;
        let pool = Pool::new(resource.clone());
        let dialled = tokio::select! {
            biased;
            cut = over(&mut ended) => return Err(cut.told.to_owned()),
            dialled = pool.dial() => dialled,
        };
        let (upstream, key) = match dialled {
            Ok(dialled) => dialled,
            Err(NoHost::Unreachable) => {
                self.not_connected(UNREACHABLE, None).await;
                return Err(UNREACHABLE.to_owned());
            }
            Err(NoHost::Weak(why)) => {
                self.not_connected(why, None).await;
                return Err(UNREACHABLE.to_owned());
            }
            Err(NoHost::Unproved(shown)) => {
                self.not_connected(UNPROVED, shown.as_ref()).await;
                return Err(UNREACHABLE.to_owned());
            }
        };
        pool.give(upstream).await;
        let connect = self.record(&key).await.ok_or_else(|| NO_RECORD.to_owned())?;
        who.session = SessionId(connect.0);
        Ok((Link::new(resource.clone(), who, connect, pool, self.run), ended))
    }

    /// Channels, until the client goes away, its run is over, or nothing can be recorded.
    async fn carry(&self, serving: &mut Serving, link: &Arc<Link>, ended: &mut Over) -> Why {
        let mut channels = JoinSet::new();
        let why = loop {
            tokio::select! {
                biased;
                why = over(ended) => break why,
                Some(done) = channels.join_next() => match done {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => break why,
                    Err(_panicked) => break Why { why: "fault", told: "the gateway failed" },
                },
                ask = serving.asks.recv() => match ask {
                    Some(Ask::Opened(lane)) => {
                        channels.spawn(channel(link.clone(), *lane, self.run.end()));
                    }
                    Some(Ask::Forward(lane, target, opening)) => {
                        channels.spawn(forward(link.clone(), *lane, target, opening, self.run.end()));
                    }
                    Some(Ask::Beside(what, refused)) => {
                        let link = link.clone();
                        channels.spawn(async move {
                            let recorded = link.beside(&what).await;
                            drop(refused);
                            recorded
                        });
                    }
                    Some(Ask::Proved(..)) => break Why { why: "protocol", told: "there was a second login" },
                    None => break Why::closed(),
                },
            }
        };
        // Each sees the same end, and says what became of its program.
        let _late =
            tokio::time::timeout(LAST_WORDS, async { while channels.join_next().await.is_some() {} }).await;
        why
    }

    async fn record(&self, key: &KeyKind) -> Option<Seq> {
        let config = &self.resource.config;
        let detectors = self.resource.gate.detectors();
        let options = Map::new()
            .put("kind", "ssh")
            .put("proof", self.by)
            .put("host_key", mask::name(detectors, &format!("{} {}", key.algorithm, key.fingerprint)));
        let draft = Draft::new(Kind::Connect)
            .run(self.run.id)
            .put_some("resource", Name::configured(&config.name))
            .put("client", self.address)
            .put_some("upstream", Name::configured(&format!("{}:{}", config.host, config.port)))
            .put("upstream_id", 0u32)
            .put("tls_client", false)
            .put("tls_upstream", false)
            .put("role", mask::name(detectors, &config.user))
            .put("server", MaskedText::constant(""))
            .put("options", options);
        let receipt = self.resource.gate.ledger().append(draft).ok()?;
        receipt.await.ok().map(|durable| durable.seq())
    }

    /// A run that proved itself and got no connection: why is in its record, and what the host showed, if it did.
    async fn not_connected(&self, why: &'static str, shown: Option<&KeyKind>) {
        let draft = Draft::new(Kind::Note).run(self.run.id).put("what", "not-connected");
        let draft = match shown {
            None => draft.put("detail", why),
            Some(key) => {
                let words = format!("{why}: it showed {} {}", key.algorithm, key.fingerprint);
                draft.put("detail", mask::text(self.resource.gate.detectors(), &words).0)
            }
        };
        // Not possible now means that the ledger is down, which is told when it is back (`gap`).
        if let Ok(receipt) = self.resource.gate.ledger().append(draft) {
            let _durable = tokio::time::timeout(REFUSAL_RECORD, receipt).await;
        }
    }

    async fn record_end(&self, link: &Link, why: &Why, cut: &Cut) {
        let upstream = link.pool.close().await;
        let who: &Who = &link.who;
        let note = |what: &'static str, detail: MaskedText| {
            let draft = Draft::new(Kind::Note).run(who.run).session(who.session).of(link.connect);
            draft.put("what", what).put("detail", detail)
        };
        link.abandoned();
        if link.unlisted() > 0 {
            let words = format!("{} more were refused beside programs", link.unlisted());
            let words = mask::text(self.resource.gate.detectors(), &words).0;
            let _before_the_next = self.resource.gate.ledger().append(note("refused-beside", words));
        }
        let draft = Draft::new(Kind::Disconnect)
            .run(who.run)
            .session(who.session)
            .of(link.connect)
            .put("why", why.why)
            .put("client_bytes", cut.bytes())
            .put("upstream_bytes", upstream);
        // Not possible now means that the ledger is down; its recovery closes the run as interrupted.
        if let Ok(receipt) = self.resource.gate.ledger().append(draft) {
            let _durable = receipt.await;
        }
    }
}

const UNPROVED: &str = "the host did not prove a pinned key";
