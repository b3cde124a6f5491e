//! Statements that change the session: transactions, settings, prepared statements, cursors, EXPLAIN.

use pg_query::protobuf as p;
use vocab::{Position, Verb};

use super::{Walk, constant};
use crate::analysis::{Analysis, ByName, Effect, Reason};
use crate::tree::{Node, Tree};

impl<'a> Walk<'a> {
    /// `false`: not a statement of this kind.
    pub(super) fn session(&mut self, tree: Tree<'a>) -> bool {
        match tree {
            Tree::TransactionStmt(s) => self.transaction(s),
            Tree::VariableSetStmt(s) => self.variable_set(s),
            Tree::VariableShowStmt(s) => {
                self.effects.push(Effect::Show { name: s.name.to_ascii_lowercase() })
            }
            Tree::DiscardStmt(s) => self.discard(s),
            Tree::PrepareStmt(s) => self.prepare(s),
            Tree::ExecuteStmt(s) => self.execute(s),
            Tree::DeallocateStmt(s) => {
                let name = (!s.isall).then(|| s.name.clone());
                self.effects.push(Effect::Deallocate { name });
            }
            Tree::DeclareCursorStmt(s) => self.declare(s),
            Tree::FetchStmt(s) => self.fetch(s),
            Tree::ClosePortalStmt(s) => {
                let name = (!s.portalname.is_empty()).then(|| s.portalname.clone());
                self.effects.push(Effect::CloseCursor { name });
            }
            Tree::ListenStmt(s) => {
                self.on_channel(&s.conditionname);
                self.effects.push(Effect::Listen { channel: s.conditionname.clone() });
            }
            Tree::UnlistenStmt(s) => {
                let channel = (!s.conditionname.is_empty()).then(|| s.conditionname.clone());
                self.effects.push(Effect::Unlisten { channel });
            }
            Tree::NotifyStmt(s) => {
                self.on_channel(&s.conditionname);
                self.effects.push(Effect::Notify { channel: s.conditionname.clone() });
            }
            Tree::ExplainStmt(s) => self.explain(s),
            Tree::ConstraintsSetStmt(_) => {}
            _ => return false,
        }
        true
    }

    fn on_channel(&mut self, channel: &str) {
        let path = self.database.join("channels").join(channel);
        self.other(Verb::Execute, path);
    }

    fn transaction(&mut self, s: &'a p::TransactionStmt) {
        let name = || s.savepoint_name.clone();
        let read_only = || read_only(&s.options);
        let effect = match s.kind() {
            p::TransactionStmtKind::TransStmtBegin | p::TransactionStmtKind::TransStmtStart => {
                Effect::Begin { read_only: read_only() }
            }
            p::TransactionStmtKind::TransStmtCommit => Effect::Commit { chain: s.chain },
            p::TransactionStmtKind::TransStmtRollback => Effect::Rollback { chain: s.chain },
            p::TransactionStmtKind::TransStmtSavepoint => Effect::Savepoint { name: name() },
            p::TransactionStmtKind::TransStmtRelease => Effect::Release { name: name() },
            p::TransactionStmtKind::TransStmtRollbackTo => Effect::RollbackTo { name: name() },
            p::TransactionStmtKind::TransStmtPrepare
            | p::TransactionStmtKind::TransStmtCommitPrepared
            | p::TransactionStmtKind::TransStmtRollbackPrepared => {
                return self.opaque("Two-phase commit outlives the session, and the record of what it does.");
            }
            p::TransactionStmtKind::Undefined => return self.unknown_node(),
        };
        self.effects.push(effect);
    }

    fn variable_set(&mut self, s: &'a p::VariableSetStmt) {
        let name = s.name.to_ascii_lowercase();
        let value = setting_value(&s.args);
        let local = s.is_local;
        match s.kind() {
            p::VariableSetKind::VarSetValue => {
                if name == "search_path" && value.is_none() {
                    self.opaque("The statement sets search_path to a value that the gateway cannot read.");
                }
                self.sets(&name, value.as_deref(), false);
                self.effects.push(Effect::Set { name, value, local });
            }
            p::VariableSetKind::VarSetDefault | p::VariableSetKind::VarReset => {
                if matches!(name.as_str(), "role" | "session_authorization") {
                    // Back to the role that the gateway logged in with.
                    self.effects.push(Effect::Reset { name });
                    return;
                }
                self.sets(&name, None, true);
                let set = s.kind() == p::VariableSetKind::VarSetDefault;
                self.effects.push(if set {
                    Effect::Set { name, value: None, local }
                } else {
                    Effect::Reset { name }
                });
            }
            p::VariableSetKind::VarSetCurrent => {
                self.sets(&name, None, true);
                self.effects.push(Effect::Set { name, value: None, local });
            }
            p::VariableSetKind::VarSetMulti => match s.name.as_str() {
                "TRANSACTION" | "SESSION CHARACTERISTICS" => {
                    self.effects.push(Effect::SetTransaction { read_only: read_only(&s.args) });
                }
                "TRANSACTION SNAPSHOT" => {}
                _ => self.unknown_node(),
            },
            p::VariableSetKind::VarResetAll => self.effects.push(Effect::ResetAll),
            p::VariableSetKind::Undefined => self.unknown_node(),
        }
    }

    fn discard(&mut self, s: &'a p::DiscardStmt) {
        match s.target() {
            p::DiscardMode::DiscardAll => {
                self.effects.push(Effect::DiscardAll);
                self.drops_temporary();
            }
            p::DiscardMode::DiscardPlans => self.effects.push(Effect::DiscardPlans),
            p::DiscardMode::DiscardSequences => {}
            p::DiscardMode::DiscardTemp => {
                self.effects.push(Effect::DiscardTemp);
                self.drops_temporary();
            }
            p::DiscardMode::Undefined => self.unknown_node(),
        }
    }

    /// Everything in the session's temporary schema is dropped.
    fn drops_temporary(&mut self) {
        let (snapshot, names) = (self.snapshot, self.names);
        let own = |schema: &String| snapshot.temp_schema.as_ref() == Some(schema);
        let before = self.uses.len() + self.others.len();
        for relation in snapshot.relations.values().filter(|relation| own(&relation.schema)) {
            self.touch(Verb::Define, relation);
        }
        for temp in &names.temp {
            let path = self.database.join("pg_temp").join(&temp.name);
            self.other(Verb::Define, path);
        }
        // A relation has a type of its own, and an array of that: they go with it.
        let mut types = snapshot.types.values().filter(|t| matches!(t.kind, 'd' | 'e' | 'r' | 'm'));
        if snapshot.functions.values().any(|function| own(&function.schema)) || types.any(|t| own(&t.schema))
        {
            let path = self.database.join("pg_temp");
            self.other(Verb::Define, path);
        }
        self.writes |= self.uses.len() + self.others.len() > before;
    }

    fn prepare(&mut self, s: &'a p::PrepareStmt) {
        for tree in s.argtypes.iter().filter_map(Tree::of) {
            match tree {
                Tree::TypeName(name) => self.type_name(name),
                _ => self.unknown_node(),
            }
        }
        if let Some(node) = &s.query {
            self.query(node, Position::Output);
        }
        self.effects.push(Effect::Prepare { name: s.name.clone() });
    }

    /// Does what the statement of that name does; it was rewritten when it was prepared.
    pub(super) fn execute(&mut self, s: &'a p::ExecuteStmt) {
        self.may_cast("", s.params.len().min(1));
        for node in &s.params {
            self.expression(node, Position::Predicate);
        }
        self.by_name = Some(ByName::Statement(s.name.clone()));
        match self.names.prepared.get(&s.name).cloned() {
            Some(prepared) => {
                self.does_as(&prepared);
                // What the protocol prepared may be any statement, and does to the session what it does.
                let own = |effect: &&Effect| !matches!(effect, Effect::Prepare { name } if *name == s.name);
                self.does_to_session(prepared.effects.iter().filter(own));
            }
            None => {
                self.unresolved = true;
                self.refuse(Reason {
                    code: "26000",
                    sentence: "The session has no prepared statement of this name.",
                    at: None,
                });
            }
        }
        self.effects.push(Effect::Execute { name: s.name.clone() });
    }

    fn declare(&mut self, s: &'a p::DeclareCursorStmt) {
        const HOLD: i32 = 0x0020;
        if let Some(node) = &s.query {
            self.query(node, Position::Output);
        }
        self.effects.push(Effect::DeclareCursor { name: s.portalname.clone(), hold: s.options & HOLD != 0 });
    }

    fn fetch(&mut self, s: &'a p::FetchStmt) {
        self.by_name = Some(ByName::Cursor(s.portalname.clone()));
        match self.names.cursors.get(&s.portalname).cloned() {
            Some(cursor) => {
                self.does_as(&cursor);
                // So may the statement of a portal.
                let same = |name: &str| *name == s.portalname;
                let own = |e: &&Effect| !matches!(e, Effect::DeclareCursor { name, .. } if same(name));
                self.does_to_session(cursor.effects.iter().filter(own));
            }
            None => {
                self.unresolved = true;
                self.refuse(Reason {
                    code: "34000",
                    sentence: "The session has no cursor of this name.",
                    at: None,
                });
            }
        }
        self.effects.push(Effect::Fetch { name: s.portalname.clone() });
    }

    /// Takes over what another statement does to the session. One that gives a name is not run by a name of its own: the name
    /// that it gives would stand for whatever that one stands for later.
    fn does_to_session<'e>(&mut self, effects: impl Iterator<Item = &'e Effect>) {
        for effect in effects {
            if matches!(effect, Effect::Prepare { .. } | Effect::DeclareCursor { .. }) {
                self.refuse(NAMES_BY_NAME);
            }
            self.effects.push(effect.clone());
        }
    }

    /// Takes over what another statement of the session does.
    fn does_as(&mut self, other: &Analysis) {
        self.executes = true;
        for access in &other.action.accesses {
            self.others
                .entry((access.verb, access.on.clone()))
                .or_default()
                .extend(access.columns.iter().cloned());
        }
        for used in &other.governed {
            for position in &used.positions {
                self.use_column(Verb::Read, (used.relation, used.attnum), *position);
            }
        }
        self.functions.extend(other.functions.iter().cloned());
        self.user_code |= other.user_code;
        self.writes |= other.writes;
        self.locks |= other.locks;
        self.redefines.extend(other.redefines.iter().cloned());
        self.carried = other.carried.clone();
        self.copied = other.copied.clone();
        if let Some(opaque) = other.action.opaque {
            self.opaque(opaque.0);
        }
        if let Some(reason) = other.refuse {
            self.refuse(Reason { at: None, ..reason });
        }
    }

    fn explain(&mut self, s: &'a p::ExplainStmt) {
        for tree in s.options.iter().filter_map(Tree::of) {
            if !matches!(tree, Tree::DefElem(_)) {
                self.unknown_node();
            }
        }
        self.executes = true;
        let Some(node) = &s.query else { return self.unknown_node() };
        match Tree::of(node) {
            Some(
                Tree::CreateTableAsStmt(_)
                | Tree::DeclareCursorStmt(_)
                | Tree::ExecuteStmt(_)
                | Tree::RefreshMatViewStmt(_),
            ) => {
                let before = self.effects.len();
                if let Some(tree) = Tree::of(node) {
                    self.statement(tree);
                }
                // A table is made with ANALYZE, and looked for without; and what a query calls is called.
                let explained = self.effects.split_off(before);
                self.effects.extend(explained.into_iter().filter(does_explained));
            }
            _ => drop(self.query(node, Position::Output)),
        }
        // How much of a log a change writes tells how much of a value is another than before.
        let wal = |tree: Tree<'_>| matches!(tree, Tree::DefElem(option) if option.defname == "wal");
        if self.writes && !self.governed.is_empty() && s.options.iter().filter_map(Tree::of).any(wal) {
            self.refuse(Reason::refused("EXPLAIN with WAL of what writes may tell of governed values."));
        }
    }
}

const NAMES_BY_NAME: Reason = Reason {
    code: "0A000",
    sentence: "A statement that prepares another, or opens a cursor, cannot be run by its own name: send it itself.",
    at: None,
};

/// Whether an effect remains one where its statement is explained. Queries are planned, and with ANALYZE run, with all that
/// they call; statements that are none, as what the protocol prepared may be, are shown and not run.
fn does_explained(effect: &Effect) -> bool {
    match effect {
        Effect::Set { .. }
        | Effect::Reset { .. }
        | Effect::ResetAll
        | Effect::SetTransaction { .. }
        | Effect::Listen { .. }
        | Effect::Unlisten { .. }
        | Effect::Notify { .. }
        | Effect::CreatesTemp { .. }
        | Effect::Ddl { .. } => true,
        Effect::Begin { .. }
        | Effect::Commit { .. }
        | Effect::Rollback { .. }
        | Effect::Savepoint { .. }
        | Effect::RollbackTo { .. }
        | Effect::Release { .. }
        | Effect::DiscardAll
        | Effect::DiscardPlans
        | Effect::DiscardTemp
        | Effect::Prepare { .. }
        | Effect::Execute { .. }
        | Effect::Deallocate { .. }
        | Effect::DeclareCursor { .. }
        | Effect::Fetch { .. }
        | Effect::CloseCursor { .. }
        | Effect::Show { .. }
        | Effect::CopyIn
        | Effect::CopyOut => false,
    }
}

/// The value of SET as the server reads it: one constant, or a list of names.
fn setting_value(args: &[Node]) -> Option<String> {
    let parts: Option<Vec<String>> = args.iter().map(constant).collect();
    let parts = parts?;
    match parts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => {
            let quoted = many.iter().map(|p| crate::governed::quote(p));
            Some(quoted.collect::<Vec<_>>().join(", "))
        }
    }
}

fn read_only(options: &[Node]) -> Option<bool> {
    options.iter().filter_map(Tree::of).find_map(|tree| match tree {
        Tree::DefElem(d) if d.defname == "transaction_read_only" => {
            let value = constant(d.arg.as_deref()?)?;
            Some(matches!(value.as_str(), "1" | "true" | "on"))
        }
        _ => None,
    })
}
