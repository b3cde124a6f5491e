//! What a query asks for, by what is asked: options of reads and writes, of logs, and of connections.
//!
//! Spec: `ListOptions`, `GetOptions`, `CreateOptions`, `UpdateOptions`, `PatchOptions`, `DeleteOptions` of meta/v1, and
//! `PodExecOptions`, `PodAttachOptions`, `PodPortForwardOptions`, `PodLogOptions` of v1. The server takes the first of two
//! values and drops names that it does not know; another server behind it (an aggregated one) may not. Both are refused.
//! For its booleans everything but `false` and `0` is true; here true is `true` or `1`, in any case
//! of letters (Python's client writes `True`).

use crate::fault::{self as why, Reason};
use crate::limits::*;
use crate::request::{Connects, Verb};
use crate::target::Target;
use std::fmt;

/// Options of reads and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `dryRun=All`: nothing is stored. Of a delete, the body's own options hold where there is one: see
    /// [`Options::of_delete`].
    pub dry_run: bool,
    /// Server-side apply takes fields from other managers.
    pub force: bool,
    pub fields: Vec<Term>,
    /// A label selector, as it was sent: graphic ASCII and spaces.
    pub labels: Option<String>,
    /// The labels that it is about.
    pub label_keys: Vec<String>,
    /// What a Table has of each object.
    pub include: Option<Include>,
    /// What a delete takes from its body, if it has one, and the query says: names and values.
    pub of_delete: Vec<(String, String)>,
}

/// One term of a field selector.
#[derive(Clone, PartialEq, Eq)]
pub struct Term {
    pub field: String,
    pub equal: bool,
    pub value: String,
}

/// `includeObject`: what a row of a Table has of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    None,
    Metadata,
    Object,
}

/// A connection, or a request to another server.
#[derive(Clone, PartialEq, Eq)]
pub enum Connect {
    Exec(Exec),
    Attach(Streams),
    /// The ports of the query: over WebSocket; over SPDY each stream says its own.
    PortForward(Vec<u16>),
    /// The path behind `proxy`: whatever it is, another server reads it.
    Proxy(Proxied),
}

/// What an exec runs.
#[derive(Clone, PartialEq, Eq)]
pub struct Exec {
    /// The program and its arguments, as the container's runtime starts them: no shell reads them. At least one.
    pub words: Vec<String>,
    pub streams: Streams,
}

/// Which streams of a container are connected. At least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
    pub container: Option<String>,
}

/// What another server is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxied {
    pub segments: Vec<String>,
    pub trailing_slash: bool,
}

/// What of a log is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub container: Option<String>,
    pub follow: bool,
    pub previous: bool,
    /// `limitBytes`: it ends wherever the client likes, in the middle of a value, too.
    pub cut: bool,
}

/// All of a query.
pub(crate) struct Parameters {
    pub options: Options,
    pub connect: Option<Connect>,
    pub log: Option<Log>,
}

impl Options {
    /// The name that a selector `metadata.name=NAME` asks for: the server authorizes the read as one of that name.
    pub fn exact_name(&self) -> Option<&str> {
        let term = self.fields.iter().find(|term| term.equal && term.field == "metadata.name")?;
        Some(&term.value)
    }

    /// The members of objects that selectors are about, as pointers (RFC 6901) without escapes: an answer says of each object whether
    /// the member is as the selector has it.
    pub fn selected(&self) -> Vec<Vec<String>> {
        let pointer = |path: &str, at: char| -> Vec<String> {
            path.split(at).filter(|token| !token.is_empty()).map(str::to_owned).collect()
        };
        let label = |key: &String| vec!["metadata".to_owned(), "labels".to_owned(), key.clone()];
        let mut pointers: Vec<Vec<String>> = self.label_keys.iter().map(label).collect();
        for term in &self.fields {
            pointers.push(pointer(&term.field, '.'));
            let others = OTHER_NAMES.iter().filter(|(field, _)| *field == term.field);
            pointers.extend(others.map(|(_, path)| pointer(path, '/')));
            for (one, two) in [("involvedObject.", "regarding"), ("regarding.", "involvedObject")] {
                let rest = term.field.strip_prefix(one).map(|rest| pointer(rest, '.'));
                pointers.extend(rest.map(|rest| [vec![two.to_owned()], rest].concat()));
            }
        }
        pointers
    }
}

/// Fields of selectors whose value stands elsewhere in the object, or there, too (`AddFieldLabelConversionFunc` and `SelectableFields` of
/// the API's own kinds).
const OTHER_NAMES: [(&str, &str); 8] = [
    ("name", "metadata/name"),
    ("reportingComponent", "reportingController"),
    ("reportingComponent", "source/component"),
    ("source", "reportingController"),
    ("source", "source/component"),
    ("spec.host", "spec/nodeName"),
    ("status.podIP", "status/podIPs/0/ip"),
    ("status.successful", "status/succeeded"),
];

/// Values may be secrets.
impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Term({} bytes)", self.field.len() + self.value.len())
    }
}

/// Words may hold secrets: their number is shown.
impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exec({} words, {:?})", self.words.len(), self.streams)
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Connect::Exec(exec) => exec.fmt(f),
            Connect::Attach(streams) => write!(f, "Attach({streams:?})"),
            Connect::PortForward(ports) => write!(f, "PortForward({ports:?})"),
            Connect::Proxy(proxied) => write!(f, "Proxy({} segments)", proxied.segments.len()),
        }
    }
}

impl Connect {
    /// With the path that stands behind `proxy`.
    pub(crate) fn behind(self, segments: &[&str], target: &Target) -> Connect {
        match self {
            Connect::Proxy(_) => Connect::Proxy(Proxied {
                segments: segments.iter().map(|s| (*s).to_owned()).collect(),
                trailing_slash: target.trailing_slash,
            }),
            other => other,
        }
    }
}

type Pairs = [(String, String)];

/// Reads a query for what is asked. Errors (side: client): those of the query in [`crate::fault`].
pub(crate) fn parameters(pairs: &Pairs, connects: Connects, verb: Verb) -> Result<Parameters, Reason> {
    let mut read = Parameters { options: Options::default(), connect: None, log: None };
    match connects {
        Connects::No => read.options = options(pairs, verb)?,
        Connects::Log => read.log = Some(log(pairs)?),
        Connects::Exec => read.connect = Some(Connect::Exec(exec(pairs)?)),
        Connects::Attach => read.connect = Some(Connect::Attach(attach(pairs)?)),
        Connects::PortForward => read.connect = Some(Connect::PortForward(ports(pairs)?)),
        Connects::Proxy => read.connect = Some(proxy(pairs)?),
    }
    Ok(read)
}

/// Whether the query asks for a watch. Errors: twice, or no boolean.
pub(crate) fn watch(pairs: &Pairs) -> Result<bool, Reason> {
    let mut all = pairs.iter().filter(|(name, _)| name == "watch");
    match (all.next(), all.next()) {
        (None, _) => Ok(false),
        (Some((_, value)), None) => boolean(value),
        (Some(_), Some(_)) => Err(why::PARAMETER_TWICE),
    }
}

/// The query of a path of the server's own: nothing in it changes what is read, beyond `hash`, which names a version.
pub(crate) fn of_server(pairs: &Pairs) -> Result<(), Reason> {
    for (name, value) in once(pairs, &["exclude"])? {
        match name {
            "timeout" | "hash" | "exclude" => token(value)?,
            "verbose" if value.is_empty() => {}
            "verbose" | "pretty" => drop(boolean(value)?),
            _ => return Err(why::UNKNOWN_PARAMETER),
        }
    }
    Ok(())
}

fn options(pairs: &Pairs, verb: Verb) -> Result<Options, Reason> {
    let mut options = Options::default();
    for (name, value) in once(pairs, &[])? {
        let known = common(&mut options, name, value)?
            || match verb {
                Verb::Get => get(name, value)?,
                Verb::List | Verb::Watch => list(&mut options, name, value)?,
                Verb::Create | Verb::Update | Verb::Patch => write(&mut options, name, value, verb)?,
                Verb::Delete => delete(&mut options, name, value)?,
                Verb::DeleteCollection => {
                    delete(&mut options, name, value)? || list(&mut options, name, value)?
                }
            };
        if !known {
            return Err(why::UNKNOWN_PARAMETER);
        }
    }
    Ok(options)
}

/// Parameters that every request may have. `false`: it is none of them.
fn common(options: &mut Options, name: &str, value: &str) -> Result<bool, Reason> {
    match name {
        "timeout" => token(value)?,
        "pretty" => drop(boolean(value)?),
        "includeObject" => {
            options.include = Some(match value {
                "None" => Include::None,
                "Metadata" => Include::Metadata,
                "Object" => Include::Object,
                _ => return Err(why::BAD_OPTION),
            })
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn get(name: &str, value: &str) -> Result<bool, Reason> {
    match name {
        "resourceVersion" => token(value)?,
        // Refused by `verb` where it asks for a watch.
        "watch" => drop(boolean(value)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn list(options: &mut Options, name: &str, value: &str) -> Result<bool, Reason> {
    match name {
        "watch" | "allowWatchBookmarks" | "sendInitialEvents" => drop(boolean(value)?),
        "resourceVersion" | "resourceVersionMatch" | "continue" => token(value)?,
        "limit" | "timeoutSeconds" => number(value)?,
        "labelSelector" => {
            options.labels = Some(selector_text(value)?);
            options.label_keys = label_keys(value)?;
        }
        "fieldSelector" => options.fields = field_selector(value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn write(options: &mut Options, name: &str, value: &str, verb: Verb) -> Result<bool, Reason> {
    match name {
        "dryRun" => options.dry_run = dry_run(value)?,
        "fieldManager" => token(value)?,
        "fieldValidation" if matches!(value, "Ignore" | "Warn" | "Strict") => {}
        "fieldValidation" => return Err(why::BAD_OPTION),
        "force" if verb == Verb::Patch => options.force = boolean(value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn delete(options: &mut Options, name: &str, value: &str) -> Result<bool, Reason> {
    match name {
        "dryRun" => options.dry_run = dry_run(value)?,
        "gracePeriodSeconds" => number(value)?,
        "orphanDependents" => drop(boolean(value)?),
        "propagationPolicy" if matches!(value, "Orphan" | "Background" | "Foreground") => {}
        "propagationPolicy" => return Err(why::BAD_OPTION),
        _ => return Ok(false),
    }
    options.of_delete.push((name.to_owned(), value.to_owned()));
    Ok(true)
}

fn log(pairs: &Pairs) -> Result<Log, Reason> {
    let mut log = Log::default();
    for (name, value) in once(pairs, &[])? {
        match name {
            "container" => log.container = Some(container(value)?),
            "follow" => log.follow = boolean(value)?,
            "previous" => log.previous = boolean(value)?,
            "timestamps" | "pretty" => drop(boolean(value)?),
            // What begins later begins with a line.
            "sinceSeconds" | "tailLines" => number(value)?,
            "limitBytes" => {
                number(value)?;
                log.cut = true;
            }
            "sinceTime" | "timeout" => token(value)?,
            "stream" if matches!(value, "All" | "Stdout" | "Stderr") => {}
            "stream" => return Err(why::BAD_OPTION),
            // `insecureSkipTLSVerifyBackend` asks the server not to know its node (CVE-2020-8559's kind).
            _ => return Err(why::UNKNOWN_PARAMETER),
        }
    }
    Ok(log)
}

fn exec(pairs: &Pairs) -> Result<Exec, Reason> {
    let words: Vec<String> = pairs.iter().filter(|(n, _)| n == "command").map(|(_, w)| w.clone()).collect();
    if words.len() > WORDS_MAX {
        return Err(why::TOO_MANY_WORDS);
    }
    if words.first().is_none_or(String::is_empty) {
        return Err(why::NO_COMMAND);
    }
    Ok(Exec { words, streams: streams(pairs, &["command"])? })
}

fn attach(pairs: &Pairs) -> Result<Streams, Reason> {
    streams(pairs, &[])
}

/// What is not said is not connected. A terminal has no standard error of its own: the kubelet leaves it out, whatever is
/// asked. `beside` are names that are read elsewhere, and may come more than once.
fn streams(pairs: &Pairs, beside: &[&str]) -> Result<Streams, Reason> {
    let mut streams = Streams::default();
    for (name, value) in once(pairs, beside)? {
        match name {
            "stdin" => streams.stdin = boolean(value)?,
            "stdout" => streams.stdout = boolean(value)?,
            "stderr" => streams.stderr = boolean(value)?,
            "tty" => streams.tty = boolean(value)?,
            "container" => streams.container = Some(container(value)?),
            "timeout" => token(value)?,
            other if beside.contains(&other) => {}
            _ => return Err(why::UNKNOWN_PARAMETER),
        }
    }
    streams.stderr &= !streams.tty;
    match streams.stdin || streams.stdout || streams.stderr {
        true => Ok(streams),
        false => Err(why::NO_STREAM),
    }
}

/// `ports=8080&ports=9090` or `ports=8080,9090`.
fn ports(pairs: &Pairs) -> Result<Vec<u16>, Reason> {
    let mut ports = Vec::new();
    for (name, value) in once(pairs, &["ports"])? {
        match name {
            "ports" => {
                for text in value.split(',') {
                    ports.push(port(text)?);
                }
            }
            "timeout" => token(value)?,
            _ => return Err(why::UNKNOWN_PARAMETER),
        }
    }
    if ports.len() > PORTS_MAX { Err(why::BAD_PORT) } else { Ok(ports) }
}

/// The query is the other server's, but for `path`, which is one more spelling of the path.
fn proxy(pairs: &Pairs) -> Result<Connect, Reason> {
    match pairs.iter().any(|(name, _)| name == "path") {
        true => Err(why::PATH_TWICE),
        false => Ok(Connect::Proxy(Proxied::default())),
    }
}

/// A port without sign and leading zeros, 1 to 65,535.
pub(crate) fn port(text: &str) -> Result<u16, Reason> {
    let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or(why::BAD_PORT)
}

/// Each name once, but those of `repeated`.
fn once<'a>(pairs: &'a Pairs, repeated: &[&str]) -> Result<impl Iterator<Item = (&'a str, &'a str)>, Reason> {
    let mut names: Vec<&str> =
        pairs.iter().map(|(name, _)| name.as_str()).filter(|name| !repeated.contains(name)).collect();
    names.sort_unstable();
    match names.windows(2).any(|two| two.first() == two.last()) {
        true => Err(why::PARAMETER_TWICE),
        false => Ok(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
    }
}

fn boolean(text: &str) -> Result<bool, Reason> {
    match text {
        "1" => Ok(true),
        "0" => Ok(false),
        _ if text.eq_ignore_ascii_case("true") => Ok(true),
        _ if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(why::NOT_A_BOOLEAN),
    }
}

fn number(text: &str) -> Result<(), Reason> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse::<i64>().ok().filter(|_| plain).map(drop).ok_or(why::NOT_A_NUMBER)
}

fn dry_run(text: &str) -> Result<bool, Reason> {
    if text == "All" { Ok(true) } else { Err(why::NOT_A_DRY_RUN) }
}

/// A value that we hand on without a meaning of ours: a version, a continuation, a duration, a manager's name.
fn token(text: &str) -> Result<(), Reason> {
    let plain = text.len() <= TARGET_BYTES_MAX && text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    if plain { Ok(()) } else { Err(why::BAD_OPTION) }
}

fn container(text: &str) -> Result<String, Reason> {
    let good = text.len() <= LABEL_BYTES_MAX
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good { Ok(text.to_owned()) } else { Err(why::BAD_OPTION) }
}

fn selector_text(text: &str) -> Result<String, Reason> {
    match text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(why::BAD_SELECTOR),
    }
}

/// The keys of `a=b,!c,d in (e,f)` (`labels.Parse`). Errors: a term without one; a set that does not end, or has another in it.
fn label_keys(text: &str) -> Result<Vec<String>, Reason> {
    let mut in_set = false;
    for c in text.chars().filter(|c| matches!(c, '(' | ')')) {
        if in_set == (c == '(') {
            return Err(why::BAD_SELECTOR);
        }
        in_set = c == '(';
    }
    if in_set {
        return Err(why::BAD_SELECTOR);
    }
    let key = |term: &str| {
        let term = term.trim_start_matches([' ', '!']);
        let key = term.split([' ', '=', '!', '<', '>', '(']).next().unwrap_or_default();
        if key.is_empty() { Err(why::BAD_SELECTOR) } else { Ok(key.to_owned()) }
    };
    let at_comma = |c: char| {
        in_set = if in_set { c != ')' } else { c == '(' };
        c == ',' && !in_set
    };
    text.split(at_comma).filter(|term| !term.trim_matches(' ').is_empty()).map(key).collect()
}

/// `a=b,c!=d`, with `\` before `,`, `=` and `\` in values (`fields.ParseSelector`). Errors: no such thing; a field twice
/// (the server takes the first *after it has sorted them*).
fn field_selector(text: &str) -> Result<Vec<Term>, Reason> {
    let terms: Vec<Term> = terms(text).into_iter().map(term).collect::<Result<_, _>>()?;
    let twice = terms.iter().enumerate().any(|(at, one)| {
        one.equal && terms.iter().skip(at + 1).any(|two| two.equal && two.field == one.field)
    });
    if twice || terms.len() > TERMS_MAX { Err(why::BAD_SELECTOR) } else { Ok(terms) }
}

/// The pieces between commas that no backslash stands before.
fn terms(text: &str) -> Vec<&str> {
    let (mut pieces, mut from, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                pieces.push(text.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(text.get(from..).unwrap_or_default());
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn term(text: &str) -> Result<Term, Reason> {
    let at = text.find(['=', '!']).ok_or(why::BAD_SELECTOR)?;
    let (field, rest) = text.split_at(at);
    let (equal, value) = match rest.strip_prefix("!=") {
        Some(value) => (false, value),
        None => match rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
            Some(value) => (true, value),
            None => return Err(why::BAD_SELECTOR),
        },
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
    match !field.is_empty() && field.bytes().all(plain) {
        true => Ok(Term { field: field.to_owned(), equal, value: unescaped(value)? }),
        false => Err(why::BAD_SELECTOR),
    }
}

fn unescaped(text: &str) -> Result<String, Reason> {
    let (mut value, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => value.push(c),
                _ => return Err(why::BAD_SELECTOR),
            },
            ',' | '=' => return Err(why::BAD_SELECTOR),
            c => value.push(c),
        }
    }
    Ok(value)
}
