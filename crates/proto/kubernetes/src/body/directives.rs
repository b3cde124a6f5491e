//! Directives of a strategic merge patch: members that say how to put there what stands beside them.
//!
//! Spec: `strategicpatch` of k8s.io/apimachinery. The API server knows some by how their names begin: it strips that and takes
//! what is left for the member that the value goes into, whatever its kind and whatever there was. So a directive in a form that is not known to do
//! nothing else could put there anything, under a name that nobody looks for. Those that kubectl makes are known; other names with a `$` are
//! refused wherever they stand, since no member of the API's own that such a patch has begins so.

use crate::fault::{self as why, Reason};
use json::{Kind, Value};

/// Lists of texts that are merged by their items and not replaced: alone of those a patch may say what goes.
const MERGED_TEXTS: [&str; 2] = ["finalizers", "podCIDRs"];

/// Errors: a directive that is not known, or that has not its form.
pub(super) fn check(patch: &Value<'_>) -> Result<(), Reason> {
    match &patch.kind {
        Kind::Object(members) => members.iter().try_for_each(|(name, value)| match name.strip_prefix('$') {
            Some(directive) if is_one(directive, &value.kind) => Ok(()),
            Some(_) => Err(why::DIRECTIVE),
            None => check(value),
        }),
        Kind::Array(items) => items.iter().try_for_each(check),
        Kind::Null | Kind::Bool(_) | Kind::Number | Kind::Text(_) => Ok(()),
    }
}

fn is_one(name: &str, value: &Kind<'_>) -> bool {
    let (name, of) = name.split_once('/').map_or((name, None), |(name, of)| (name, Some(of)));
    match (name, of, value) {
        ("patch", None, Kind::Text(how)) => matches!(&**how, "merge" | "replace" | "delete"),
        ("retainKeys", None, Kind::Array(names)) => {
            names.iter().all(|name| matches!(name.kind, Kind::Text(_)))
        }
        ("setElementOrder", Some(of), Kind::Array(items)) => {
            !of.is_empty() && of.bytes().all(|b| b.is_ascii_alphanumeric()) && items.iter().all(is_key)
        }
        ("deleteFromPrimitiveList", Some(of), Kind::Array(items)) => {
            MERGED_TEXTS.contains(&of) && items.iter().all(is_scalar)
        }
        _ => false,
    }
}

/// What tells an item of a list from others: itself, or its members that do.
fn is_key(item: &Value<'_>) -> bool {
    match &item.kind {
        Kind::Object(members) => {
            members.iter().all(|(name, value)| !name.starts_with('$') && is_scalar(value))
        }
        _ => is_scalar(item),
    }
}

fn is_scalar(value: &Value<'_>) -> bool {
    matches!(value.kind, Kind::Bool(_) | Kind::Number | Kind::Text(_))
}
