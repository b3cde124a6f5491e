//! The console's state: the seats of the rest, the browser logins, and how many questions run at once.

use std::sync::Arc;

use answers::{Answer, Cannot, Desk, Look};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::fault::Fault;
use crate::limits::{QUESTIONS_MAX, REFUSED_WAIT};
use crate::login::{Login, Logins};
use crate::seat::{
    Approvals, Auth, Caller, Credential, Evidence, Operator, Peer, Process, Role, Runs, Tools,
};

/// What the composition root hands over.
pub struct Parts {
    pub auth: Arc<dyn Auth>,
    pub approvals: Arc<dyn Approvals>,
    pub runs: Arc<dyn Runs>,
    pub tools: Arc<dyn Tools>,
    pub evidence: Arc<dyn Evidence>,
    /// The values of `Host` that are this console: `127.0.0.1:7070`, `localhost:7070`, a name with its port. Requests
    /// over a Unix socket may name any.
    pub hosts: Vec<String>,
    /// The console is reached over TLS (a proxy's, say), so that cookies may be marked `Secure`.
    pub secure: bool,
}

/// The console. Cheap to clone.
#[derive(Clone)]
pub struct Console {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    logins: Logins,
    questions: Semaphore,
}

impl Console {
    pub fn new(parts: Parts) -> Console {
        let inner = Inner { parts, logins: Logins::new(), questions: Semaphore::new(QUESTIONS_MAX) };
        Console { inner: Arc::new(inner) }
    }

    pub(crate) fn hosts(&self) -> &[String] {
        &self.inner.parts.hosts
    }

    pub(crate) fn secure(&self) -> bool {
        self.inner.parts.secure
    }

    pub(crate) fn logins(&self) -> &Logins {
        &self.inner.logins
    }

    /// The process behind a connection that was just taken.
    pub(crate) fn process(&self, pid: i32) -> Option<Process> {
        self.inner.parts.auth.process(pid)
    }

    /// Who shows this token. A refused one waits a little for its answer.
    pub(crate) async fn by_token(&self, token: &str) -> Result<Caller, Fault> {
        self.authenticate(Owned::Token(token.to_owned())).await
    }

    /// Who the kernel says is on the other end of a Unix socket.
    pub(crate) async fn by_peer(&self, uid: u32, process: Option<Process>) -> Result<Caller, Fault> {
        self.authenticate(Owned::Peer { uid, process }).await
    }

    /// That the process behind a connection may act as the operator `name`.
    pub(crate) async fn admits(&self, name: &str, peer: Option<Peer>) -> Result<(), Fault> {
        let peer = peer.ok_or_else(|| Fault::forbidden("nobody knows where this request comes from"))?;
        let name = name.to_owned();
        let admitted = self.blocking(move |parts| parts.auth.admits(&name, peer)).await?;
        if admitted.is_err() {
            tokio::time::sleep(REFUSED_WAIT).await;
        }
        admitted.map_err(|why| Fault::forbidden(&why))
    }

    /// The operator behind a browser login, with the roles of now.
    pub(crate) async fn current(&self, login: &Login) -> Result<Option<Operator>, Fault> {
        let (name, token) = (login.operator.clone(), login.token);
        self.blocking(move |parts| parts.auth.current(&name, &token)).await
    }

    /// Makes one answer at the desk of `by`.
    pub(crate) async fn ask<A: Answer + Send + 'static>(
        &self,
        by: &Operator,
        question: impl Fn(&Desk<'_>) -> Result<A, Cannot> + Send + 'static,
    ) -> Result<A, Fault> {
        self.at_desk(by, question).await
    }

    /// As [`Console::ask`], for what is not an answer of its own.
    pub(crate) async fn at_desk<T: Send + 'static>(
        &self,
        by: &Operator,
        question: impl Fn(&Desk<'_>) -> Result<T, Cannot> + Send + 'static,
    ) -> Result<T, Fault> {
        let _turn = self.inner.questions.acquire().await.map_err(|_| Fault::stopping())?;
        let who = by.name.clone();
        let answer = self.blocking(move |parts| {
            let mut answer = None;
            let seated = parts.evidence.with_desk(&who, &mut |desk| answer = Some(question(desk)));
            seated.and_then(|()| {
                answer.unwrap_or_else(|| Err(Cannot::Ledger("the desk was not there".to_owned())))
            })
        });
        Ok(answer.await??)
    }

    /// Records that `by` looks; nothing is shown without.
    pub(crate) async fn watch(&self, by: &Operator, look: Look, subject: &'static str) -> Result<(), Fault> {
        let who = by.name.clone();
        let watched = self.blocking(move |parts| parts.evidence.watch(&who, look, subject)).await?;
        watched.map(|_| ()).map_err(|error| Fault::from(Cannot::NotWatched(error)))
    }

    /// Calls a seat on a thread that may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Parts) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let inner = self.inner.clone();
        spawn_blocking(move || call(&inner.parts)).await.map_err(|_| Fault::stopping())
    }

    async fn authenticate(&self, credential: Owned) -> Result<Caller, Fault> {
        let found = self.blocking(move |parts| parts.auth.authenticate(credential.borrow())).await?;
        if found.is_none() {
            tokio::time::sleep(REFUSED_WAIT).await;
        }
        found.ok_or_else(Fault::unauthenticated)
    }
}

/// A credential that a blocking thread may hold.
enum Owned {
    Token(String),
    Peer { uid: u32, process: Option<Process> },
}

impl Owned {
    fn borrow(&self) -> Credential<'_> {
        match self {
            Owned::Token(token) => Credential::Token(token),
            Owned::Peer { uid, process } => Credential::Peer { uid: *uid, process: *process },
        }
    }
}

/// The operator, if the caller is one and has one of the roles. An empty list asks for any operator.
pub(crate) fn operator(caller: Caller, roles: &[Role]) -> Result<Operator, Fault> {
    match caller {
        Caller::Run { .. } => {
            Err(Fault::forbidden("a run's credential mints child runs and does nothing else here"))
        }
        Caller::Workload(_) => Err(Fault::forbidden(
            "an issuer's token mints runs, closes those that it minted, and does nothing else here",
        )),
        Caller::Operator(operator) if roles.is_empty() || roles.iter().any(|r| operator.has(*r)) => {
            Ok(operator)
        }
        Caller::Operator(Operator { name: who, .. }) => {
            let words: Vec<&str> = roles.iter().map(|r| r.as_str()).collect();
            let words = words.join(" or ");
            Err(Fault::forbidden(&format!(
                "this needs the role {words}, and {who} has not got it; an operator's token may (`tacho operator add`)"
            )))
        }
    }
}
