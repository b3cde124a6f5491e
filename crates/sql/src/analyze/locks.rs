//! Advisory locks of the session: what a statement takes and what it lets go of. PostgreSQL 17, 9.28.10 "Advisory Lock
//! Functions".

use pg_query::protobuf as p;

use super::strings;
use crate::analysis::{Effect, FunctionKind, FunctionUse, SessionLocks};
use crate::tree::Tree;

const UNLOCK_ALL: &str = "pg_advisory_unlock_all";

pub(super) fn of_session(tree: Tree<'_>, functions: &[FunctionUse], effects: &[Effect]) -> SessionLocks {
    // What is prepared runs later, and is looked at then.
    if matches!(tree, Tree::PrepareStmt(_)) {
        return SessionLocks::Untouched;
    }
    if functions.iter().any(|function| takes(&function.name)) {
        return SessionLocks::Takes;
    }
    match effects.contains(&Effect::DiscardAll) || is_unlock_all(tree, functions) {
        true => SessionLocks::Releases,
        false => SessionLocks::Untouched,
    }
}

/// `pg_advisory_lock`, `pg_try_advisory_lock` and their shared forms, and others that are named after them.
fn takes(function: &str) -> bool {
    function.contains("advisory")
        && function.contains("lock")
        && !function.contains("unlock")
        && !function.contains("_xact_")
}

/// The call for certain: no clause by which it might not run, and no function of somebody's by this name in reach.
fn is_unlock_all(tree: Tree<'_>, functions: &[FunctionUse]) -> bool {
    let known =
        |f: &FunctionUse| f.schema == "pg_catalog" && f.name == UNLOCK_ALL && f.kind == FunctionKind::Known;
    let ([function], Tree::SelectStmt(select)) = (functions, tree) else { return false };
    let [target] = &select.target_list[..] else { return false };
    let bare = p::SelectStmt {
        target_list: select.target_list.clone(),
        limit_option: select.limit_option,
        op: select.op,
        ..p::SelectStmt::default()
    };
    let Some(Tree::ResTarget(target)) = Tree::of(target) else { return false };
    let Some(Tree::FuncCall(call)) = target.val.as_deref().and_then(Tree::of) else { return false };
    let called = p::FuncCall {
        funcname: call.funcname.clone(),
        funcformat: call.funcformat,
        location: call.location,
        ..p::FuncCall::default()
    };
    known(function)
        && *select == bare
        && *call == called
        && strings(&call.funcname).last().is_some_and(|name| *name == UNLOCK_ALL)
}
