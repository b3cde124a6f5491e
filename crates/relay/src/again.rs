//! A run that is carried out again (`tacho replay RUN -- COMMAND`): its record stands in for every upstream.
//!
//! **Invariant:** where there is a [`Recording`] nothing is dialled, no credential is fetched, and nothing is decided: what was
//! answered is answered, and what was never asked has no answer.

use bytes::Bytes;
use vocab::Seq;

/// What a run asked and was answered. It is asked by the connections of the one run that is carried out again.
pub trait Recording: Send + Sync {
    /// What the run was answered. Each answer is given once. `None`: the run did not ask this, or its answer is not kept; from
    /// then on there is no answer to anything.
    fn answer(&self, asking: &Asking<'_>) -> Option<Recorded>;

    /// The same where it was refused; that it was not is no difference between the runs.
    fn refusal(&self, asking: &Asking<'_>) -> Option<Recorded>;

    /// Something was asked that no answer could be asked for: a host that nobody is, what is no request. Where the recorded run did
    /// not do the same, the runs part.
    fn beyond(&self, resource: &str, what: &str);

    /// Whether the run connected to this server of PostgreSQL with these parameters. Where it did not, the runs part.
    fn connects(&self, resource: &str, parameters: &[(String, String)]) -> bool;

    /// What servers of PostgreSQL told clients of themselves at login, by name.
    fn server(&self, resource: &str) -> Vec<(String, String)>;
}

/// What is asked now.
pub struct Asking<'a> {
    pub resource: &'a str,
    /// The client's connection, by the gateway's number for it.
    pub connection: u64,
    /// As `via` in records.
    pub via: &'static str,
    /// As it would be recorded: literals masked.
    pub statement: &'a str,
    pub form: Form<'a>,
}

/// What tells one request from another.
pub enum Form<'a> {
    /// HTTP: a digest of all of it, and what of the body the statement does not hold, as it would be recorded. `stream`: what a
    /// server of MCP says unasked is asked for; `begun`: more of the body followed.
    Http { whole: &'a [u8; 32], body: Option<&'a [u8]>, stream: bool, begun: bool },
    /// PostgreSQL: the messages, byte for byte.
    Postgres { bytes: &'a [u8] },
}

/// An answer, and the record of the request that it is to.
pub struct Recorded {
    pub seq: Seq,
    pub answer: Answer,
}

pub enum Answer {
    /// By the gateway: an SQLSTATE or a status, and what the client was told.
    Refused {
        code: String,
        message: String,
        rules: Vec<String>,
        by_policy: bool,
    },
    Http(HttpAnswer),
    Postgres(Box<Reply>),
}

/// An answer of HTTP's: status, reason and fields a line each, and the body.
pub struct HttpAnswer {
    pub head: String,
    pub body: Bytes,
    /// A field a line, behind the body.
    pub trailers: Option<String>,
}

/// An answer of PostgreSQL's, as the client saw it.
#[derive(Default)]
pub struct Reply {
    /// Name, type and format of each column.
    pub fields: Vec<(String, u32, u16)>,
    pub rows: Vec<Vec<Option<Bytes>>>,
    /// Of a COPY to the client.
    pub copy: Bytes,
    /// Errors, notices, parameters and what else was said, by the tag of the message.
    pub said: Vec<(u8, Bytes)>,
    pub tag: Option<String>,
    /// It ended with an error.
    pub failed: bool,
}

/// What a client is told where there is no answer.
pub(crate) const NOT_RECORDED: &str =
    "the recorded run did not ask this here, so there is no answer: the run is carried out differently";
