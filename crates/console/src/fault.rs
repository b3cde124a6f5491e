//! Why a request was not answered, as a status and a sentence. The same fault is JSON for the API and a page for people.

use answers::Cannot;
use axum::http::StatusCode;

use crate::seat::{Failed, FailedKind};

/// A refusal or failure, ready to be shown. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub status: StatusCode,
    /// A word for programs.
    pub kind: &'static str,
    /// A sentence for people.
    pub why: String,
}

impl Fault {
    pub fn new(status: StatusCode, kind: &'static str, why: &str) -> Fault {
        Fault { status, kind, why: why.to_owned() }
    }

    pub fn unauthenticated() -> Fault {
        let why = "no known operator: send an operator token (`Authorization: Bearer ...`)";
        Fault::new(StatusCode::UNAUTHORIZED, "unauthenticated", why)
    }

    pub fn forbidden(why: &str) -> Fault {
        Fault::new(StatusCode::FORBIDDEN, "forbidden", why)
    }

    pub fn wrong(why: &str) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, "wrong", why)
    }

    pub fn stopping() -> Fault {
        Fault::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the gateway is stopping")
    }
}

impl From<Failed> for Fault {
    fn from(failed: Failed) -> Fault {
        let (status, kind) = match failed.kind {
            FailedKind::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            FailedKind::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            FailedKind::Gone => (StatusCode::GONE, "gone"),
            FailedKind::Wrong => (StatusCode::BAD_REQUEST, "wrong"),
            FailedKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        Fault { status, kind, why: failed.why }
    }
}

impl From<Cannot> for Fault {
    fn from(cannot: Cannot) -> Fault {
        let (status, kind) = match &cannot {
            Cannot::NoSuchRun(_) => (StatusCode::NOT_FOUND, "not-found"),
            Cannot::Ambiguous { .. }
            | Cannot::NotARun(_)
            | Cannot::Query(_)
            | Cannot::NoTerminal { .. }
            | Cannot::TooLong { .. } => (StatusCode::BAD_REQUEST, "wrong"),
            Cannot::NoKey(_) => (StatusCode::CONFLICT, "sealed"),
            Cannot::Children { .. } => (StatusCode::CONFLICT, "unavailable"),
            Cannot::Erased { .. } => (StatusCode::GONE, "gone"),
            Cannot::Payload { .. } | Cannot::NotWatched(_) | Cannot::Ledger(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
        };
        Fault { status, kind, why: cannot.to_string() }
    }
}
