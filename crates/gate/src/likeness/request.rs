//! When a tool call says a request over HTTP: by its parts, and not by one text that holds them.
//!
//! A call says a request where it says its method, its target and each value of its query and body, by name and place, and
//! says nothing beside them. `GET` and `HEAD` need no word for their method. The method is an argument called so
//! (`{"method": "DELETE"}`), the first word of the target's (`DELETE /users/2`), or one word of the tool's name
//! (`delete_user`). The target is a path or a URL of this service. Query and body may stand in arguments of their own
//! (`params`, `json`), as a text of JSON, or among the others.

use std::collections::BTreeSet;

use super::Argued;

/// A request as it is held against calls.
pub struct Requested {
    pub method: String,
    /// Names of the service's, in lower case and without ports: an absolute URL has one of them.
    pub hosts: Vec<String>,
    /// Its path as it came, and as it is read.
    pub paths: Vec<String>,
    /// Its query as it came.
    pub query: Option<String>,
    /// The same as members.
    pub pairs: Vec<Member>,
    /// Its body as members (`proto_http::llm::members`); a text that has none is one without a name, and neither it nor a form has
    /// the signs of those. `None`: not all of it is known, or it is not as it reads.
    pub body: Option<Vec<Member>>,
    /// Its values have types: it is no form.
    pub typed: bool,
}

/// The names that lead to a value, behind [`BELOW`] one another, and the value as text.
pub type Member = (String, String);

/// Between the names that lead to a member.
pub const BELOW: char = '\u{1f}';

/// Before a value that is no text, and the number of an item.
pub const NO_TEXT: char = '\u{1e}';

/// Behind the name of a text of JSON that is read on.
pub const READ_ON: char = '\u{1d}';

/// Arguments that say where to.
const TARGETS: &[&str] = &["endpoint", "href", "path", "route", "target", "uri", "url"];
/// Arguments that say how.
const METHODS: &[&str] = &["http_method", "method", "request_method", "verb"];
/// Arguments that hold all that is said.
const AROUND: &[&str] = &["arguments", "request"];
/// Arguments that hold what is said in the query, and in the body.
const QUERIES: &[&str] = &["params", "query", "query_params"];
const BODIES: &[&str] = &["body", "content", "data", "form", "input", "json", "payload"];
/// Methods whose other arguments are their query's; others' are their body's.
const BODILESS: &[&str] = &["DELETE", "GET", "HEAD", "OPTIONS"];
/// Arguments that are for the tool.
const BESIDE: &[&str] = &["headers", "timeout"];
const ALL_METHODS: &[&str] = &["delete", "get", "head", "options", "patch", "post", "put"];

impl Argued {
    /// Whether it says `asked`, part by part.
    pub(super) fn requests(&self, asked: &Requested) -> bool {
        let (Some(body), Some(members)) = (&asked.body, &self.members) else { return false };
        if asked.pairs.iter().any(is_signed) {
            return false;
        }
        let mut rest: Vec<(&str, &str)> = members.iter().map(|(name, value)| (&**name, &**value)).collect();
        let Some((at, aim)) = rest.iter().enumerate().find_map(|(at, member)| Some((at, asked.aim(member)?)))
        else {
            return false;
        };
        rest.remove(at);
        let named = rest.iter().position(|(name, _)| METHODS.contains(&last(name)));
        let named = named.map(|at| rest.remove(at).1.to_ascii_uppercase());
        if !asked.is_method(&[named.as_deref(), aim.method, self.in_name().as_deref()]) {
            return false;
        }
        rest.retain(|(name, _)| !BESIDE.contains(&first(name)));
        let unsaid = asked.pairs.iter().filter(|_| !aim.with_query);
        let (query, rest): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .map(|member| asked.placed(member))
            .partition(|(place, _)| *place == Place::Query);
        let untyped = |(name, value): (&'_ str, &'_ str)| (name.to_owned(), untyped(value).to_owned());
        let said = |members: Vec<(Place, (&str, &str))>, typed: bool| {
            let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            ordered(members.into_iter().map(|(_, member)| if typed { own(member) } else { untyped(member) }))
        };
        let (unsaid, unsaid_body) = (ordered(unsaid.cloned()), ordered(body.iter().cloned()));
        // Which of two values of one name counts is the server's to say, and which was meant the call's.
        let once = |all: &[Member]| all.windows(2).all(|two| matches!(two, [(a, _), (b, _)] if a != b));
        said(query, false) == unsaid
            && said(rest, asked.typed) == unsaid_body
            && once(&unsaid)
            && once(&unsaid_body)
    }

    /// The method that the tool's name says, if it says one.
    fn in_name(&self) -> Option<String> {
        let words: BTreeSet<&str> = self.tool.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let mut said = words.into_iter().filter(|word| ALL_METHODS.contains(word));
        match (said.next(), said.next()) {
            (Some(one), None) => Some(one.to_ascii_uppercase()),
            (None, _) | (Some(_), Some(_)) => None,
        }
    }
}

/// An argument that says the target.
struct Aim<'a> {
    method: Option<&'a str>,
    with_query: bool,
}

impl Requested {
    fn aim<'a>(&self, (name, value): &(&'a str, &'a str)) -> Option<Aim<'a>> {
        let (method, target) = match value.split_once(' ') {
            Some((word, rest)) if word.bytes().all(|b| b.is_ascii_uppercase()) => (Some(word), rest),
            _ => (None, *value),
        };
        let place = match target.split_once("://") {
            Some(("http" | "https", rest)) => self.of_host(rest)?,
            Some(_) => return None,
            None if target.starts_with('/') => target.to_owned(),
            None if TARGETS.contains(&last(name)) => format!("/{target}"),
            None => return None,
        };
        let (path, query) = match place.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*place, None),
        };
        let here =
            self.paths.iter().any(|own| own == path) && (query.is_none() || query == self.query.as_deref());
        here.then_some(Aim { method, with_query: query.is_some() })
    }

    /// What stands behind the name of a host of this service's.
    fn of_host(&self, rest: &str) -> Option<String> {
        let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let ours = self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name));
        let slash = if target.starts_with('/') { "" } else { "/" };
        ours.then(|| format!("{slash}{target}"))
    }

    /// Whether what was said of the method, in some places or in none, is this one.
    fn is_method(&self, said: &[Option<&str>]) -> bool {
        let mut said = said.iter().flatten().peekable();
        match said.peek() {
            None => matches!(&*self.method, "GET" | "HEAD"),
            Some(_) => said.all(|word| *word == self.method),
        }
    }
}

/// Whether it has a sign of ours: of a value of JSON that is no text, or of one below others, which a query cannot say.
fn is_signed((name, value): &Member) -> bool {
    [name, value].into_iter().any(|text| text.contains([BELOW, NO_TEXT, READ_ON]))
}

fn first(name: &str) -> &str {
    name.split(BELOW).next().unwrap_or(name)
}

fn last(name: &str) -> &str {
    name.rsplit(BELOW).next().unwrap_or(name)
}

/// In order; what says nothing is left out.
fn ordered(members: impl Iterator<Item = Member>) -> Vec<Member> {
    let says =
        |(name, value): &Member| !(name.is_empty() && matches!(untyped(value), "" | "null" | "{}" | "[]"));
    let mut all: Vec<Member> = members.filter(says).collect();
    all.sort_unstable();
    all
}

/// A value as a query or form has it.
fn untyped(value: &str) -> &str {
    value.strip_prefix(NO_TEXT).unwrap_or(value)
}

/// Where an argument is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Query,
    Body,
}

impl Requested {
    /// Where an argument is said, and it without the name around it. A name in what is around is the service's.
    fn placed<'a>(&self, (mut name, value): (&'a str, &'a str)) -> (Place, (&'a str, &'a str)) {
        let mut place = if BODILESS.contains(&&*self.method) { Place::Query } else { Place::Body };
        loop {
            let around = first(name).trim_end_matches(READ_ON);
            let inner = || name.split_once(BELOW).map_or("", |(_, rest)| rest);
            if AROUND.contains(&around) {
                name = inner();
                continue;
            }
            if QUERIES.contains(&around) || BODIES.contains(&around) {
                place = if QUERIES.contains(&around) { Place::Query } else { Place::Body };
                name = inner();
            }
            return (place, (name, value));
        }
    }
}

#[cfg(test)]
mod tests;
