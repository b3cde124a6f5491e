//! The tape: which recorded answer belongs to what is asked now, and where the two runs part.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use answers::{Answered, Exchange, Kept, Taped};
use bytes::Bytes;
use relay::again::{Answer, Asking, Form, HttpAnswer, Recorded, Recording, Reply};
use vocab::Seq;

use super::volatile::without_chance;

/// A run's exchanges, each given once.
pub struct Tape {
    taped: Taped,
    any_values: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    given: Vec<bool>,
    /// Which recorded session a connection of now's carries on.
    sessions: HashMap<u64, u64>,
    counts: Counts,
    parted: Option<Parted>,
}

/// How far the two runs went together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub asked: u64,
    /// Given before something that the same connection asked earlier then.
    pub reordered: u64,
    /// Given although values differ (`--any-values`).
    pub other_values: u64,
    /// Compared in part: a body above what is held, the data of a COPY, what was recorded by an older version.
    pub in_part: u64,
}

/// Where the runs part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parted {
    pub how: How,
    pub resource: String,
    pub via: String,
    /// How many requests had been answered before.
    pub after: u64,
    pub now: Option<String>,
    /// What the recorded run asked in its place: the record and its text.
    pub then: Option<(Seq, String)>,
    /// The decisions that then was tied to.
    pub causes: Vec<Seq>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The recorded run did not ask this.
    Other,
    /// It asked this with other values.
    Values,
    /// It asked this, and what it was answered is not kept.
    NotKept,
    /// It asked more.
    Ended,
}

impl How {
    pub fn as_str(self) -> &'static str {
        match self {
            How::Other => "other",
            How::Values => "values",
            How::NotKept => "not-kept",
            How::Ended => "ended",
        }
    }
}

impl Tape {
    pub fn new(taped: Taped, any_values: bool) -> Tape {
        let state = State { given: vec![false; taped.exchanges.len()], ..State::default() };
        Tape { taped, any_values, state: Mutex::new(state) }
    }

    /// What came of it, once the command has ended.
    pub fn end(&self) -> (Counts, Option<Parted>) {
        let state = self.lock();
        let left = || {
            let (_, exchange) = self.left(&state).find(|(_, exchange)| !is_stream(exchange))?;
            Some(Parted {
                how: How::Ended,
                resource: exchange.resource.to_string(),
                via: exchange.via.to_string(),
                after: state.counts.asked,
                now: None,
                then: Some((exchange.seq, text_of(exchange))),
                causes: exchange.causes.clone(),
            })
        };
        (state.counts, state.parted.clone().or_else(left))
    }

    fn left<'a>(&'a self, state: &'a State) -> impl Iterator<Item = (usize, &'a Exchange)> {
        self.taped.exchanges.iter().enumerate().filter(|(at, _)| state.given.get(*at) == Some(&false))
    }

    /// The place of the exchange that is asked for again. A connection of PostgreSQL carries on one session, from its first
    /// request to its last and in that order, since what a statement does depends on those before it; `any_values` takes what
    /// fits best. Requests of HTTP stand each for itself.
    fn find(&self, state: &State, asking: &Asking<'_>, same: impl Fn(&Exchange) -> bool) -> Option<usize> {
        let own = state.sessions.get(&asking.connection);
        let left = self.left(state).filter(|(_, exchange)| *exchange.resource == *asking.resource);
        let fits = |exchange: &Exchange| *exchange.via == *asking.via && same(exchange);
        if matches!(asking.form, Form::Http { .. }) || self.any_values {
            let mut fitting = left.filter(|(_, exchange)| fits(exchange));
            let first = fitting.next()?;
            let of_own = |(_, e): &(usize, &Exchange)| own.is_some() && e.session.as_ref() == own;
            return match of_own(&first) {
                true => Some(first.0),
                false => Some(fitting.find(of_own).unwrap_or(first).0),
            };
        }
        let mut passed = BTreeSet::new();
        let mut next = left.filter(|(_, exchange)| passed.insert(exchange.session));
        let carries_on = |exchange: &Exchange| match own {
            Some(own) => exchange.session.as_ref() == Some(own),
            None => !state.sessions.values().any(|taken| exchange.session.as_ref() == Some(taken)),
        };
        next.find(|(_, exchange)| carries_on(exchange) && fits(exchange)).map(|(at, _)| at)
    }

    fn give(&self, state: &mut State, at: usize, connection: u64, in_part: bool) {
        let Some(exchange) = self.taped.exchanges.get(at) else { return };
        let earlier = self.left(state).any(|(other, left)| {
            other < at
                && left.session == exchange.session
                && left.resource == exchange.resource
                && !is_stream(left)
        });
        state.counts.reordered += u64::from(earlier);
        state.counts.in_part += u64::from(in_part || takes_copy(exchange));
        state.counts.asked += 1;
        if let Some(given) = state.given.get_mut(at) {
            *given = true;
        }
        if let Some(session) = exchange.session {
            state.sessions.insert(connection, session);
        }
    }

    /// The runs part here.
    fn part(&self, state: &mut State, asking: &Asking<'_>, how: How, at: Option<usize>) {
        let own = state.sessions.get(&asking.connection).copied();
        let here = |exchange: &Exchange| *exchange.resource == *asking.resource;
        let next = at.and_then(|at| self.taped.exchanges.get(at)).or_else(|| {
            let mut left = self.left(state).map(|(_, exchange)| exchange);
            let of_own = |exchange: &&Exchange| here(exchange) && exchange.session == own;
            left.find(of_own).or_else(|| self.left(state).map(|(_, e)| e).find(|e| here(e)))
        });
        state.parted = Some(Parted {
            how,
            resource: asking.resource.to_owned(),
            via: asking.via.to_owned(),
            after: state.counts.asked,
            now: Some(asked_text(asking)),
            then: next.map(|exchange| (exchange.seq, text_of(exchange))),
            causes: next.map(|exchange| exchange.causes.clone()).unwrap_or_default(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recording for Tape {
    fn answer(&self, asking: &Asking<'_>) -> Option<Recorded> {
        let mut state = self.lock();
        if state.parted.is_some() {
            return None;
        }
        let exact = self.find(&state, asking, |exchange| is_same(exchange, asking));
        let loose = || self.find(&state, asking, |exchange| is_alike(exchange, asking));
        let (at, other_values) = match exact {
            Some(at) => (Some(at), false),
            None => (loose(), true),
        };
        let Some(at) = at else {
            // Whether a client listens for what a server says unasked depends on how quick both are.
            if !asks_for_stream(asking) {
                self.part(&mut state, asking, How::Other, None);
            }
            return None;
        };
        if other_values && !self.any_values {
            self.part(&mut state, asking, How::Values, Some(at));
            return None;
        }
        let Some(recorded) = self.taped.exchanges.get(at).and_then(recorded) else {
            self.part(&mut state, asking, How::NotKept, Some(at));
            return None;
        };
        state.counts.other_values += u64::from(other_values);
        let in_part = match &asking.form {
            Form::Http { begun, .. } => {
                *begun || self.taped.exchanges.get(at).is_some_and(|e| e.whole.is_none())
            }
            Form::Postgres { .. } => false,
        };
        self.give(&mut state, at, asking.connection, in_part);
        Some(recorded)
    }

    fn refusal(&self, asking: &Asking<'_>) -> Option<Recorded> {
        let mut state = self.lock();
        if state.parted.is_some() {
            return None;
        }
        let refused = |exchange: &Exchange| matches!(exchange.answer, Some(Answered::Refused { .. }));
        let at = self.find(&state, asking, |exchange| refused(exchange) && is_same(exchange, asking))?;
        let recorded = recorded(self.taped.exchanges.get(at)?)?;
        self.give(&mut state, at, asking.connection, false);
        Some(recorded)
    }

    fn beyond(&self, resource: &str, what: &str) {
        let mut state = self.lock();
        if state.parted.is_none() && !self.taped.noted.contains(what) {
            state.parted = Some(Parted {
                how: How::Other,
                resource: resource.to_owned(),
                via: "connection".to_owned(),
                after: state.counts.asked,
                now: Some(what.to_owned()),
                then: None,
                causes: Vec::new(),
            });
        }
    }

    fn connects(&self, resource: &str, parameters: &[(String, String)]) -> bool {
        let same = |then: &BTreeMap<String, String>| {
            let now = |name: &str| parameters.iter().any(|(asked, _)| asked == name);
            let as_then = |(name, value): &(String, String)| then.get(name) == Some(value);
            parameters.iter().all(as_then)
                && then.keys().all(|name| NOT_ASKED.contains(&&**name) || now(name))
        };
        let known = self.taped.connects.iter().any(|(to, _, options)| **to == *resource && same(options));
        if !known {
            let asked: Vec<String> =
                parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
            self.beyond(resource, &format!("a connection with {}", asked.join(" ")));
        }
        known
    }

    fn server(&self, resource: &str) -> Vec<(String, String)> {
        let mut connects = self.taped.connects.iter();
        let Some((_, version, options)) = connects.find(|(to, _, _)| **to == *resource) else {
            return Vec::new();
        };
        let option = |name: &str, default: &str| options.get(name).map_or(default, String::as_str).to_owned();
        [
            ("server_version", version.clone()),
            ("server_encoding", "UTF8".to_owned()),
            ("client_encoding", "UTF8".to_owned()),
            ("application_name", option("application_name", "")),
            ("default_transaction_read_only", option("default_transaction_read_only", "off")),
            ("in_hot_standby", "off".to_owned()),
            ("is_superuser", "off".to_owned()),
            ("session_authorization", String::new()),
            ("DateStyle", option("datestyle", "ISO, MDY")),
            ("IntervalStyle", option("intervalstyle", "postgres")),
            ("TimeZone", option("timezone", "UTC")),
            ("integer_datetimes", "on".to_owned()),
            ("standard_conforming_strings", "on".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Parameters in the record of a connection that its client may not have asked for: what upstream had in force, and what the
/// gateway pinned.
const NOT_ASKED: &[&str] = &[
    "timezone",
    "datestyle",
    "intervalstyle",
    "default_transaction_read_only",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
];

/// Whether this is what was asked then, byte for byte: of HTTP all but who asks. What is asked by the name of a statement is the
/// same where the statement is. A refusal holds no more of it than its bytes.
fn is_same(exchange: &Exchange, asking: &Asking<'_>) -> bool {
    match &asking.form {
        Form::Postgres { bytes } => {
            let refused = matches!(exchange.answer, Some(Answered::Refused { .. }));
            exchange.is(bytes) == Some(true) && (refused || is_statement(exchange, asking))
        }
        Form::Http { whole, body, .. } => exchange
            .is_whole(whole)
            .unwrap_or_else(|| *exchange.statement == *asking.statement && exchange.body.as_deref() == *body),
    }
}

/// Whether it is the statement that was recorded; behind one that runs another by its name, the record has that one.
fn is_statement(exchange: &Exchange, asking: &Asking<'_>) -> bool {
    let by_name = || {
        let mut words = asking.statement.split_ascii_whitespace();
        words.next().is_some_and(|first| BY_NAME.iter().any(|word| first.eq_ignore_ascii_case(word)))
    };
    let behind = exchange.statement.strip_prefix(asking.statement);
    behind.is_some_and(|behind| behind.is_empty() || by_name() && behind.trim_ascii_start().starts_with("= "))
}

/// How statements begin that run another, which stands behind a name.
const BY_NAME: [&str; 4] = ["EXECUTE", "FETCH", "MOVE", "EXPLAIN"];

fn takes_copy(exchange: &Exchange) -> bool {
    let Some(Answered::Kept(kept)) = &exchange.answer else { return false };
    kept.said.iter().any(|(tag, _)| *tag == COPY_IN)
}

/// The tag of PostgreSQL's CopyInResponse.
const COPY_IN: u8 = b'G';

/// Whether it is but for values: literals and parameters of SQL; times, long numbers and random ids of HTTP.
fn is_alike(exchange: &Exchange, asking: &Asking<'_>) -> bool {
    match &asking.form {
        Form::Postgres { .. } => is_statement(exchange, asking),
        Form::Http { .. } => without_chance(&text_of(exchange)) == without_chance(&asked_text(asking)),
    }
}

/// Whether it asked for what a server of MCP says unasked.
fn is_stream(exchange: &Exchange) -> bool {
    exchange.kind.as_deref() == Some("stream")
}

fn asks_for_stream(asking: &Asking<'_>) -> bool {
    matches!(asking.form, Form::Http { stream: true, .. })
}

fn text_of(exchange: &Exchange) -> String {
    with_body(&exchange.statement, exchange.body.as_deref())
}

fn asked_text(asking: &Asking<'_>) -> String {
    match &asking.form {
        Form::Http { body, .. } => with_body(asking.statement, *body),
        Form::Postgres { .. } => asking.statement.to_owned(),
    }
}

/// A statement and, where it does not hold all of it, the body behind it.
fn with_body(statement: &str, body: Option<&[u8]>) -> String {
    match body {
        None => statement.to_owned(),
        Some(body) => format!("{statement} | {}", body.escape_ascii()),
    }
}

fn recorded(exchange: &Exchange) -> Option<Recorded> {
    let answer = match exchange.answer.as_ref()? {
        Answered::Refused { code, message, rules, by_policy } => Answer::Refused {
            code: code.clone(),
            message: message.clone(),
            rules: rules.clone(),
            by_policy: *by_policy,
        },
        Answered::Kept(kept) => kept_answer(exchange, kept)?,
    };
    Some(Recorded { seq: exchange.seq, answer })
}

fn kept_answer(exchange: &Exchange, kept: &Kept) -> Option<Answer> {
    if &*exchange.via == "request" {
        let body = Bytes::copy_from_slice(&kept.data);
        let (head, trailers) = (kept.head.clone()?, kept.trailers.clone());
        return Some(Answer::Http(HttpAnswer { head, body, trailers }));
    }
    let cell = |cell: &Option<Vec<u8>>| cell.as_deref().map(Bytes::copy_from_slice);
    Some(Answer::Postgres(Box::new(Reply {
        fields: kept.fields.clone(),
        rows: kept.rows.iter().map(|row| row.iter().map(cell).collect()).collect(),
        copy: Bytes::copy_from_slice(&kept.data),
        said: kept.said.iter().map(|(tag, body)| (*tag, Bytes::copy_from_slice(body))).collect(),
        tag: kept.tag.clone(),
        failed: kept.failed,
    })))
}
