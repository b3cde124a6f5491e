//! Names of the session's: prepared statements, portals and cursors, and what runs by them.
//!
//! **Invariant:** what a name stands for is looked up when a statement names it, and never remembered with that statement.
//! **Invariant:** what upstream holds under a name and what would be sent today are the same text, or it does not run.

use sql::{ByName, Reason};

use crate::limits::NAME_BYTES_MAX;

use super::*;

/// What upstream holds was written under rules that no longer hold.
const OUTDATED: Reason = Reason {
    code: "55000",
    sentence: "the rules or the catalog have changed since this was prepared or opened: prepare it again",
    at: None,
};

pub(super) const NAME_CUT: &str = "names of statements and portals have at most 63 characters, of ASCII alone: PostgreSQL would cut another one";

/// Upstream would cut it elsewhere than the grammar here, which cuts at 63 bytes of UTF-8.
const IDENTIFIER_CUT: Reason = Reason {
    code: "42622",
    sentence: "in a database whose encoding is not UTF8, a name beyond ASCII has at most 31 bytes",
    at: None,
};

/// How a message is called that has a name which upstream would cut, and so take for another one. What is beyond ASCII may be
/// longer in the server's encoding than on the wire.
pub(super) fn names_cut(message: &FromClient) -> Option<&'static str> {
    let is_cut = |name: &RawField| name.as_bytes().len() > NAME_BYTES_MAX || !name.as_bytes().is_ascii();
    let (via, cut) = match message {
        FromClient::Parse(parse) => ("parse", is_cut(&parse.statement)),
        FromClient::Bind(bind) => ("bind", is_cut(&bind.statement) || is_cut(&bind.portal)),
        FromClient::Execute { portal, .. } => ("execute", is_cut(portal)),
        FromClient::Describe(Target::Statement(name) | Target::Portal(name))
        | FromClient::Close(Target::Statement(name) | Target::Portal(name)) => ("describe", is_cut(name)),
        _ => return None,
    };
    cut.then_some(via)
}

impl Session {
    /// As [`Session::make_plan`]; what it runs by a name is looked at again first, if rules or catalog have changed.
    pub(super) fn planned(&mut self, statement: Option<Statement>, types: Arc<[u32]>) -> Plan {
        let cut = !self.of_utf8 && statement.as_ref().is_some_and(Statement::has_long_name);
        let mut plan = self.make_plan(&self.catalog, statement, types.clone());
        if cut {
            plan.refuse = Some(IDENTIFIER_CUT);
            return plan;
        }
        let Some(name) = plan.analysis.by_name.clone() else { return plan };
        self.naming += 1;
        let held = match self.naming > NAMES_DEEP_MAX {
            true => Held::Outdated,
            false => self.renew_named(&name),
        };
        self.naming -= 1;
        match held {
            Held::AsItWas => {}
            // A plan keeps no tree; what was read once is read again alike.
            Held::Renewed => {
                let text = plan.statement.as_ref().map_or("", Statement::text);
                let again = sql::parse(text).ok().and_then(|mut all| all.pop());
                plan = self.make_plan(&self.catalog, again, types);
            }
            Held::Outdated => plan.refuse = Some(OUTDATED),
        }
        plan
    }

    /// A portal is there, and a cursor for SQL's FETCH and MOVE.
    pub(super) fn open_portal(&mut self, name: Bytes, portal: Portal) {
        if let Ok(name) = std::str::from_utf8(&name)
            && !name.is_empty()
        {
            self.names.cursors.insert(name.to_owned(), portal.plan.analysis.clone());
        }
        self.portals.insert(name, portal);
    }

    pub(super) fn close_portal(&mut self, name: &[u8]) {
        self.portals.remove(name);
        if let Ok(name) = std::str::from_utf8(name) {
            self.names.cursors.remove(name);
        }
    }

    pub(super) fn close_statement(&mut self, name: &[u8]) {
        self.prepared.remove(name);
        if let Ok(name) = std::str::from_utf8(name) {
            self.names.prepared.remove(name);
            self.sql_prepared.remove(name);
        }
    }

    /// A name of the session's own is given, or taken back. Of what has none there is one at a time, and it is asked for where
    /// it is used ([`Session::names_unsure`]).
    pub(super) fn gives(&mut self, name: &[u8]) {
        if !name.is_empty() {
            self.names_given = Some(self.flight);
        }
    }

    /// Whether this flight has its Sync and upstream has not come to that: what stood in it may be skipped, and what stands
    /// behind it is not.
    pub(super) fn is_unsure(&self, flight: u64) -> bool {
        flight < self.flight && flight + self.syncs >= self.flight
    }

    /// Whether this message uses, gives or closes a statement of which it is not known yet whether upstream has it. So what is
    /// undone of a flight is never undone over what a later one has given.
    pub(super) fn names_unsure(&self, frame: &Frame) -> bool {
        let names = matches!(frame.tag, tag::BIND | tag::PARSE | tag::CLOSE);
        if self.syncs == 0 || !names || self.copy.is_some() || self.skipping {
            return false;
        }
        let of_others = self.names_given.is_some_and(|flight| self.is_unsure(flight));
        // What cannot be read is told where it is taken up.
        let Ok(message) = FromClient::decode(frame) else { return false };
        match message {
            FromClient::Bind(bind) => match self.prepared.get(bind.statement.as_bytes()) {
                Some(prepared) => self.is_unsure(prepared.flight),
                None => of_others,
            },
            FromClient::Parse(Parse { statement: name, .. }) | FromClient::Close(Target::Statement(name)) => {
                of_others && !name.as_bytes().is_empty()
            }
            _ => false,
        }
    }

    /// Upstream has carried out the oldest of an operation's messages that is `of` this kind: it stands, whatever comes of the
    /// rest.
    pub(super) fn is_carried_out(&mut self, op: u64, of: fn(&Named) -> bool) {
        if let Some(op) = self.ops.get_mut(&op)
            && let Some(first) = op.named.iter().position(of)
        {
            op.named.remove(first);
        }
    }

    /// Upstream has not carried these out.
    pub(super) fn undo(&mut self, all: &[Named]) {
        all.iter().rev().for_each(|named| self.unname(named));
    }

    fn unname(&mut self, named: &Named) {
        match named {
            Named::Statement(name, since) => {
                if self.prepared.get(name).is_some_and(|prepared| prepared.since == *since) {
                    self.close_statement(name);
                }
            }
            Named::Portal(name, since) => {
                if self.portals.get(name).is_some_and(|portal| portal.since == *since) {
                    self.close_portal(name);
                }
            }
            Named::Renewed(name) => {
                if let Some(prepared) = self.prepared.get_mut(name) {
                    prepared.forget_upstream();
                }
            }
            Named::Closed(name, Some(stood)) => {
                let mut prepared = (**stood).clone();
                prepared.forget_upstream();
                if let Ok(key) = String::from_utf8(name.to_vec())
                    && !key.is_empty()
                    && prepared.plan.refuse.is_none()
                {
                    self.names.prepared.insert(key, prepared.plan.analysis.clone());
                }
                self.prepared.insert(name.clone(), prepared);
            }
            Named::Closed(_, None) => {}
        }
    }

    /// Values that were bound to the portal that the statement reads: policy sees them as at its Execute.
    pub(super) fn bound(&self, plan: &Plan) -> Arc<[Param]> {
        match &plan.analysis.by_name {
            Some(ByName::Cursor(name)) => {
                self.portals.get(name.as_bytes()).map_or_else(Arc::default, |portal| portal.params.clone())
            }
            Some(ByName::Statement(_)) | None => Arc::default(),
        }
    }

    /// What a name stands for and, where that runs or reads by a name itself, what that stands for. `None`: it is not known, or
    /// deeper than is followed.
    pub(super) fn behind(&self, name: &ByName) -> Option<Vec<Behind>> {
        let mut all = Vec::new();
        let mut next = Some(name.clone());
        while let Some(name) = next {
            let stands = (all.len() < NAMES_DEEP_MAX).then(|| self.stands_by(&name))??;
            next = stands.analysis.by_name.clone();
            all.push(Behind { text: stands.text, upstream: stands.upstream });
        }
        Some(all)
    }

    fn renew_named(&mut self, name: &ByName) -> Held {
        let Some(Before { text, upstream, types }) = self.stale(name) else { return Held::AsItWas };
        let now = match self.plan_text(&text, types) {
            Ok(now) if now.text == upstream && now.refuse.is_none() => now,
            Ok(_) | Err(_) => return Held::Outdated,
        };
        let (epoch, analysis) = (self.epoch, now.analysis.clone());
        match name {
            ByName::Statement(name) => {
                if let Some(prepared) = self.prepared.get_mut(name.as_bytes()) {
                    (prepared.epoch, prepared.plan) = (epoch, now);
                } else if let Some(prepared) = self.sql_prepared.get_mut(name) {
                    prepared.epoch = epoch;
                }
                self.names.prepared.insert(name.clone(), analysis);
            }
            ByName::Cursor(name) => {
                if let Some(portal) = self.portals.get_mut(name.as_bytes()) {
                    (portal.epoch, portal.plan) = (epoch, now);
                }
                self.names.cursors.insert(name.clone(), analysis);
            }
        }
        Held::Renewed
    }

    /// What stands behind a name, if it was planned under rules that may not hold any more.
    fn stale(&self, name: &ByName) -> Option<Before> {
        let before = |text: &Arc<str>, upstream: &Arc<str>, types: Arc<[u32]>| {
            let (text, upstream) = (text.clone(), upstream.clone());
            Before { text, upstream, types }
        };
        match name {
            ByName::Statement(name) => match self.prepared.get(name.as_bytes()) {
                Some(p) => {
                    let stale = p.epoch != self.epoch || p.plan.volatile;
                    stale.then(|| before(&p.text, &p.upstream, p.plan.types.clone()))
                }
                None => {
                    let p = self.sql_prepared.get(name)?;
                    let stale = p.epoch != self.epoch || p.volatile;
                    stale.then(|| before(&p.text, &p.upstream, Arc::default()))
                }
            },
            ByName::Cursor(name) => {
                let portal = self.portals.get(name.as_bytes())?;
                let text = portal.plan.statement.as_ref().map_or("", Statement::text);
                let stale = portal.epoch != self.epoch || portal.plan.volatile;
                stale.then(|| before(&text.into(), &portal.upstream, portal.plan.types.clone()))
            }
        }
    }
}

impl Prepared {
    /// Whatever upstream holds: before its next use it is prepared once more.
    fn forget_upstream(&mut self) {
        (self.upstream, self.epoch) = ("".into(), u64::MAX);
    }
}

/// The text behind a name, what upstream holds of it, and the types of its parameters.
struct Before {
    text: Arc<str>,
    upstream: Arc<str>,
    types: Arc<[u32]>,
}

/// What became of what a name stands for.
enum Held {
    AsItWas,
    Renewed,
    Outdated,
}
