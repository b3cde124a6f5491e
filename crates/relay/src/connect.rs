//! Policy's word on `connect`, before there is a session.

use std::collections::BTreeSet;
use std::sync::Arc;

use gate::{Decided, Gate, Ground, Question, Subject, Tx, Who};
use ledger::Code;
use mask::MaskedText;
use vocab::{Access, Action, ResourcePath, Seq, Verb, Verdict};

use crate::limits::REFUSAL_RECORD;

/// Why there is no session.
pub enum Barred {
    /// Policy says so, and this record says that it did: it is durable.
    Refused(Box<Decided>, Seq),
    /// Policy says so, and nothing could record in time that it did.
    NoRecord,
}

/// What the client is told of [`Barred::Refused`].
pub const BARRED: &str = "policy does not allow this run to connect to this resource";

/// What the client is told of [`gate::GateError::Used`].
pub const DECISION_USED: &str = "what the model decided was carried out already, by another request";

/// Asks policy whether the run may connect to `on`, a resource of this kind; a no is recorded, with the code that the
/// client is told.
pub async fn permitted(
    gate: &Gate,
    who: &Who,
    on: ResourcePath,
    resource_kind: &str,
    code: Option<Code>,
) -> Result<(), Barred> {
    let action = Action {
        accesses: vec![Access { verb: Verb::Connect, on, columns: Vec::new() }],
        kind: "CONNECT",
        ..Action::default()
    };
    let context = policy::Context {
        resource_kind: resource_kind.into(),
        kind: "CONNECT".into(),
        ..policy::Context::default()
    };
    let ground = Ground { action: &action, context: &context, release: None };
    let decided = gate.verdict(who, &ground, &BTreeSet::new());
    if decided.verdict == Verdict::Allow {
        return Ok(());
    }
    let subject = Subject::new(gate.detectors(), action.clone(), MaskedText::constant(""), None, &[]);
    let question = Question {
        who,
        via: "startup",
        subject: &subject,
        params: Arc::default(),
        prints: Vec::new(),
        tripwires: &[],
        tx: Tx::Idle,
        said: None,
        asking: gate::Asking::Statement,
        shows: &[],
        body: None,
        whole: None,
        changes: None,
        asked: b"",
        sending: b"",
        again: None,
        pure_read: false,
    };
    let receipt =
        gate.refuse(&question, &decided, code, BARRED, None, false).map_err(|_why| Barred::NoRecord)?;
    match tokio::time::timeout(REFUSAL_RECORD, receipt).await {
        Ok(Ok(durable)) => Err(Barred::Refused(Box::new(decided), durable.seq())),
        Ok(Err(_)) | Err(_) => Err(Barred::NoRecord),
    }
}
