//! JSON Patch: each operation as the object that it puts there. Spec: RFC 6902; RFC 6901 (pointers).
//!
//! `move` and `copy` put there what the body does not say: the whole is opaque then. `remove` and `test` put nothing there,
//! but what takes a confinement away is said. Whether what is tested is governed is whoever's who knows the places: see
//! [`operations`].

use super::walk::Walk;
use crate::fault::{self as why, Reason};
use crate::limits::OPERATIONS_MAX;
use json::{Kind, Value};
use std::borrow::Cow;
use vocab::Opaque;

/// Looks at what each operation of a patch puts where. Errors: no patch, more than [`OPERATIONS_MAX`] operations.
pub(super) fn read(walk: &mut Walk<'_>, patch: Value<'_>) -> Result<Option<Opaque>, Reason> {
    let Kind::Array(operations) = patch.kind else { return Err(why::NO_PATCH) };
    if operations.len() > OPERATIONS_MAX {
        return Err(why::TOO_MANY_OPERATIONS);
    }
    let mut opaque = None;
    for operation in operations {
        opaque = one(walk, operation)?.or(opaque);
    }
    Ok(opaque)
}

/// Where an operation of a patch puts or tests its value.
pub struct Operation<'a> {
    pub tests: bool,
    /// The tokens of its pointer.
    pub pointer: Vec<String>,
    /// As it is written.
    pub value: Option<&'a str>,
}

/// The operations of a patch that was read, in their order. Errors: as [`crate::body::read`] has them.
pub fn operations(bytes: &[u8]) -> Result<Vec<Operation<'_>>, Reason> {
    let patch = json::parse(bytes)?;
    let Kind::Array(operations) = patch.kind else { return Err(why::NO_PATCH) };
    operations.iter().map(operation).collect()
}

fn operation<'a>(value: &Value<'a>) -> Result<Operation<'a>, Reason> {
    let members = value.object().map_err(|_| why::NO_PATCH)?;
    let pointer = tokens(members.text("path")?.ok_or(why::NO_PATCH)?)?;
    let value = members.members().iter().find(|(name, _)| name == "value");
    let tests = members.text("op")? == Some("test");
    Ok(Operation { tests, pointer, value: value.map(|(_, value)| value.raw) })
}

fn one(walk: &mut Walk<'_>, operation: Value<'_>) -> Result<Option<Opaque>, Reason> {
    let members = operation.object().map_err(|_| why::NO_PATCH)?;
    let op = members.need("op", "an operation of a patch has no `op`")?.to_owned();
    let path = tokens(members.text("path")?.ok_or(why::NO_PATCH)?)?;
    members.text("from")?;
    if members.members().iter().any(|(name, _)| !matches!(&**name, "op" | "path" | "value" | "from")) {
        return Err(why::NO_PATCH);
    }
    match &*op {
        "add" | "replace" => put(walk, path, operation).map(|()| None),
        // It has no text: null that is put there has.
        "remove" => put_value(walk, path, Value { raw: "", kind: Kind::Null }).map(|()| None),
        // Whether it holds says whether a guess of a value is right.
        "test" if walk.is_secret() && !is_plain(&path) => {
            Ok(Some(Opaque("a test of a secret's value says whether a guess is right")))
        }
        "test" => Ok(None),
        "move" | "copy" => Ok(Some(Opaque("a patch that moves or copies what it does not say"))),
        _ => Err(why::NO_PATCH),
    }
}

/// Whether what stands there of a secret is told to whoever reads its metadata.
fn is_plain(path: &[String]) -> bool {
    const PLAIN: [&str; 7] =
        ["uid", "resourceVersion", "name", "generation", "labels", "finalizers", "ownerReferences"];
    matches!(path, [first, second, ..] if first == "metadata" && PLAIN.contains(&second.as_str()))
}

fn put(walk: &mut Walk<'_>, path: Vec<String>, operation: Value<'_>) -> Result<(), Reason> {
    let Kind::Object(members) = operation.kind else { return Err(why::NO_PATCH) };
    let value = members.into_iter().find(|(name, _)| name == "value").ok_or(why::NO_PATCH)?.1;
    put_value(walk, path, value)
}

/// Builds the object in which the value stands where the path says. A number is taken for an index: a member with such a
/// name is none that we look for.
fn put_value(walk: &mut Walk<'_>, path: Vec<String>, value: Value<'_>) -> Result<(), Reason> {
    let whole = path.into_iter().rev().fold(value, |inner, token| {
        let kind = match index(&token) {
            true => Kind::Array(vec![inner]),
            false => Kind::Object(vec![(Cow::Owned(token), inner)]),
        };
        Value { raw: "", kind }
    });
    match &whole.kind {
        Kind::Object(_) => walk.root(&whole),
        // The whole object is taken away, or is none.
        _ => Err(why::NO_OBJECT),
    }
}

/// Whether the API server takes a token for an index where a list stands: as Go's `Atoi` reads numbers, with a sign and leading
/// zeros; one below zero counts from the list's end.
fn index(token: &str) -> bool {
    let digits = token.strip_prefix(['+', '-']).unwrap_or(token);
    token == "-" || !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The tokens of a pointer. Errors: no pointer; deeper than JSON may be.
fn tokens(pointer: &str) -> Result<Vec<String>, Reason> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let inside = pointer.strip_prefix('/').ok_or(why::NO_PATCH)?;
    let tokens: Vec<String> = inside.split('/').map(unescaped).collect::<Result<_, _>>()?;
    if tokens.len() > json::JSON_DEPTH_MAX { Err(why::TOO_DEEP_POINTER) } else { Ok(tokens) }
}

/// `~0` and `~1`; any other `~` is refused.
fn unescaped(token: &str) -> Result<String, Reason> {
    let (mut text, mut chars) = (String::new(), token.chars());
    while let Some(c) = chars.next() {
        match c {
            '~' => match chars.next() {
                Some('0') => text.push('~'),
                Some('1') => text.push('/'),
                _ => return Err(why::NO_PATCH),
            },
            c => text.push(c),
        }
    }
    Ok(text)
}
