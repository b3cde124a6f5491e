//! What the constants of a statement say: their values, however they are spelled or put together.

use pg_query::protobuf as p;

use crate::statement::{Statement, with_stack};
use crate::tree::Tree;

/// The value of every constant of the statement as text, and of what constants make with `||` and `concat`. Casts are
/// seen through, as if they changed nothing; other expressions are not computed. `None`: it could not be walked.
pub fn constants(statement: &Statement) -> Option<Vec<String>> {
    with_stack(statement.depth(), || {
        let mut all = Vec::new();
        let whole = walk(statement.tree(), &mut all);
        all.extend(whole);
        all
    })
}

/// The text of `tree`, if it is one whatever the rows; else those of its parts are put to `all`.
fn walk(tree: Tree<'_>, all: &mut Vec<String>) -> Option<String> {
    match tree {
        Tree::AConst(constant) => leaf(constant, all),
        Tree::TypeCast(cast) => cast.arg.as_deref().and_then(Tree::of).and_then(|arg| walk(arg, all)),
        Tree::CollateClause(clause) => {
            clause.arg.as_deref().and_then(Tree::of).and_then(|arg| walk(arg, all))
        }
        Tree::AExpr(e) if is_named(&e.name, "||") => {
            let sides = [&e.lexpr, &e.rexpr].map(|side| side.as_deref().and_then(Tree::of));
            join(sides.into_iter().flatten(), all)
        }
        Tree::FuncCall(call) if is_named(&call.funcname, "concat") => {
            join(call.args.iter().filter_map(Tree::of), all)
        }
        other => {
            other.each(&mut |child| {
                let part = walk(child, all);
                all.extend(part);
            });
            None
        }
    }
}

/// The texts of all parts in a row; where one is not known, the others stand for themselves.
fn join<'a>(parts: impl Iterator<Item = Tree<'a>>, all: &mut Vec<String>) -> Option<String> {
    let parts: Vec<Option<String>> = parts.map(|part| walk(part, all)).collect();
    if parts.iter().all(Option::is_some) {
        return Some(parts.into_iter().flatten().reduce(|joined, part| joined + &part).unwrap_or_default());
    }
    all.extend(parts.into_iter().flatten());
    None
}

fn leaf(constant: &p::AConst, all: &mut Vec<String>) -> Option<String> {
    Some(match constant.val.as_ref()? {
        p::a_const::Val::Sval(s) => {
            all.push(s.sval.clone());
            s.sval.clone()
        }
        p::a_const::Val::Ival(i) => i.ival.to_string(),
        p::a_const::Val::Fval(f) => f.fval.clone(),
        p::a_const::Val::Boolval(b) => (if b.boolval { "t" } else { "f" }).to_owned(),
        p::a_const::Val::Bsval(_) => return None,
    })
}

/// Whether the last part of a name is this one.
fn is_named(name: &[p::Node], expect: &str) -> bool {
    name.last().and_then(Tree::of).is_some_and(|part| matches!(part, Tree::String(s) if s.sval == expect))
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn check(text: &str, expect: &[&str]) {
        let statement = parse(text).unwrap().pop().unwrap();
        let mut found = super::constants(&statement).unwrap();
        found.dedup();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn a_constant_is_its_value_however_it_is_spelled() {
        check("update t set a = 'ssn_1'", &["ssn_1"]);
        check(r"update t set a = E'ssn\x5f1'", &["ssn_1"]);
        check(r"update t set a = U&'ssn\005f1'", &["ssn_1"]);
        check("update t set a = U&'ssn!005f1' uescape '!'", &["ssn_1"]);
        check("update t set a = $x$ssn_1$x$", &["ssn_1"]);
        check("update t set a = 'ssn'\n'_1'", &["ssn_1"]);
        check("update t set a = 'it''s'", &["it's"]);
        check("insert into t values (1, 'a'::text), (2, cast('b' as varchar))", &["1", "a", "2", "b"]);
    }

    #[test]
    fn what_constants_make_is_a_constant() {
        check("update t set a = 'ssn_' || 1", &["ssn_", "ssn_1"]);
        check("update t set a = 'ss' || ('n_' || '1')", &["ss", "n_", "1", "ssn_1"]);
        check("update t set a = 'ssn_'::text || 1::text", &["ssn_", "ssn_1"]);
        check("update t set a = concat('ssn', '_', 1)", &["ssn", "_", "ssn_1"]);
        check("update t set a = pg_catalog.concat('ssn_', 1) collate \"C\"", &["ssn_", "ssn_1"]);
        check("update t set a = case when b then 'ssn_' || 1 end", &["ssn_", "ssn_1"]);
        // Of what is not known its parts are.
        check("update t set a = 'x' || $1 || ('y' || 'z')", &["x", "y", "z", "yz"]);
    }
}
