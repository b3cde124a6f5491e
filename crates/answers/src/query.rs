//! The language of `find`: `table:customers verb:write since:2h -human:ada "free text"`.
//!
//! Terms are joined by *and*. A term is `key:value`, or bare text that the masked statement must contain; a leading `-`
//! negates it; `"` quotes. The same key twice means either (`verb:read verb:write`), as nothing could be both. Every
//! error points at its word.

use std::fmt;

use index::{Effect, VerbWord, VerdictWord};
use vocab::WallTime;

use crate::limits::{QUERY_BYTES_MAX, QUERY_TERMS_MAX};
use crate::text::visible;

/// A parsed query.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Query {
    pub terms: Vec<Term>,
    pub since: Option<WallTime>,
    pub until: Option<WallTime>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    pub key: Key,
    pub value: String,
    pub negated: bool,
}

/// What a condition is about. `since` and `until` are in [`Query`] itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Resource,
    Table,
    Column,
    Verb,
    Function,
    /// The tool of a decision that explains the action.
    Tool,
    Human,
    Agent,
    Run,
    Class,
    Exposure,
    Tripwire,
    Verdict,
    Effect,
    Rule,
    Approver,
    Code,
    Via,
    Text,
}

impl Key {
    pub const ALL: [Key; 19] = [
        Key::Resource,
        Key::Table,
        Key::Column,
        Key::Verb,
        Key::Function,
        Key::Tool,
        Key::Human,
        Key::Agent,
        Key::Run,
        Key::Class,
        Key::Exposure,
        Key::Tripwire,
        Key::Verdict,
        Key::Effect,
        Key::Rule,
        Key::Approver,
        Key::Code,
        Key::Via,
        Key::Text,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Key::Resource => "resource",
            Key::Table => "table",
            Key::Column => "column",
            Key::Verb => "verb",
            Key::Function => "function",
            Key::Tool => "tool",
            Key::Human => "human",
            Key::Agent => "agent",
            Key::Run => "run",
            Key::Class => "class",
            Key::Exposure => "exposure",
            Key::Tripwire => "tripwire",
            Key::Verdict => "verdict",
            Key::Effect => "effect",
            Key::Rule => "rule",
            Key::Approver => "approver",
            Key::Code => "code",
            Key::Via => "via",
            Key::Text => "text",
        }
    }

    /// The words that the key takes, if they are a closed list.
    fn words(self) -> Option<Vec<&'static str>> {
        match self {
            Key::Verb => Some(vocab::Verb::ALL.map(vocab::Verb::as_str).to_vec()),
            Key::Verdict => Some(vec!["allow", "refuse", "ask"]),
            Key::Effect => Some(Effect::ALL.map(Effect::as_str).to_vec()),
            Key::Exposure => Some(vec!["masked", "revealed", "refused", "unknown"]),
            Key::Tripwire => Some(vec!["masked", "cut", "own", "echo"]),
            Key::Resource
            | Key::Table
            | Key::Column
            | Key::Function
            | Key::Tool
            | Key::Human
            | Key::Agent
            | Key::Run
            | Key::Class
            | Key::Rule
            | Key::Approver
            | Key::Code
            | Key::Via
            | Key::Text => None,
        }
    }
}

/// What is wrong with a query, and at which word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// The query as typed.
    pub query: String,
    /// Byte offset and length of the word.
    pub at: usize,
    pub len: usize,
    pub why: String,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = visible(self.query.get(..self.at).unwrap_or(""));
        let word = visible(self.query.get(self.at..self.at + self.len).unwrap_or(""));
        writeln!(f, "{}", self.why)?;
        writeln!(f, "  {}", visible(&self.query))?;
        write!(f, "  {}{}", " ".repeat(before.chars().count()), "^".repeat(word.chars().count().max(1)))
    }
}

impl std::error::Error for QueryError {}

impl Query {
    /// Parses a query. `now` is what `since:2h` counts back from.
    pub fn parse(text: &str, now: WallTime) -> Result<Query, QueryError> {
        if text.len() > QUERY_BYTES_MAX {
            let why = format!("the query is {} bytes long; at most {QUERY_BYTES_MAX} are read", text.len());
            return Err(QueryError { query: text.chars().take(64).collect(), at: 0, len: 1, why });
        }
        let mut query = Query::default();
        for word in words(text)? {
            if query.terms.len() >= QUERY_TERMS_MAX {
                return Err(word.error(text, format!("a query has at most {QUERY_TERMS_MAX} terms")));
            }
            query.term(text, &word, now)?;
        }
        Ok(query)
    }

    fn term(&mut self, text: &str, word: &Word, now: WallTime) -> Result<(), QueryError> {
        let Some(key) = &word.key else {
            self.terms.push(Term { key: Key::Text, value: word.value.clone(), negated: word.negated });
            return Ok(());
        };
        if word.value.is_empty() {
            return Err(word.error(text, format!("{key}: needs a value after the colon")));
        }
        if key == "since" || key == "until" {
            return self.moment(text, word, now);
        }
        let Some(key) = Key::ALL.into_iter().find(|k| k.as_str() == key) else {
            return Err(word.error(text, unknown_key(key)));
        };
        let value = match key.words() {
            Some(words) if !words.contains(&word.value.as_str()) => {
                let why = format!("no {} {:?}; one of {}", key.as_str(), word.value, words.join(", "));
                return Err(word.error(text, why));
            }
            _ => word.value.clone(),
        };
        self.terms.push(Term { key, value, negated: word.negated });
        Ok(())
    }

    fn moment(&mut self, text: &str, word: &Word, now: WallTime) -> Result<(), QueryError> {
        if word.negated {
            return Err(word.error(text, "a time cannot be negated; use since: or until:".to_owned()));
        }
        let at = moment(&word.value, now).ok_or_else(|| {
            word.error(
                text,
                format!("{:?} is no time: 30s, 15m, 2h, 7d, 2026-11-26 or 2026-11-26T14:00:00Z", word.value),
            )
        })?;
        let slot = if word.key.as_deref() == Some("since") { &mut self.since } else { &mut self.until };
        if slot.replace(at).is_some() {
            return Err(word.error(text, "the query has this time already".to_owned()));
        }
        Ok(())
    }
}

/// Reads a time: a span back from `now` (`2h`), a day, or an RFC 3339 moment.
pub fn moment(text: &str, now: WallTime) -> Option<WallTime> {
    span(text).map(|ns| WallTime(now.0.saturating_sub(ns))).or_else(|| {
        let day = (text.len() == 10).then(|| format!("{text}T00:00:00Z"));
        let moment: jiff::Timestamp = day.as_deref().unwrap_or(text).parse().ok()?;
        u64::try_from(moment.as_nanosecond()).ok().map(WallTime)
    })
}

fn span(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let count: u64 = text.get(..text.len() - 1)?.parse().ok()?;
    Some(count.saturating_mul(unit).saturating_mul(1_000_000_000))
}

/// A word of the query with its place.
struct Word {
    at: usize,
    len: usize,
    negated: bool,
    key: Option<String>,
    value: String,
}

impl Word {
    fn error(&self, query: &str, why: String) -> QueryError {
        QueryError { query: query.to_owned(), at: self.at, len: self.len, why }
    }
}

/// Splits at white space outside quotes. A colon outside quotes ends the key; `\"` and `\\` are known inside them.
fn words(text: &str) -> Result<Vec<Word>, QueryError> {
    let mut words = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some(&(at, first)) = chars.peek() {
        if first.is_whitespace() {
            chars.next();
            continue;
        }
        let negated = first == '-' && chars.next().is_some();
        let (mut key, mut value, mut quoted) = (None, String::new(), None);
        let mut end = at + first.len_utf8();
        while let Some(&(i, c)) = chars.peek() {
            if quoted.is_none() && c.is_whitespace() {
                break;
            }
            chars.next();
            end = i + c.len_utf8();
            match c {
                '"' if quoted.is_some() => quoted = None,
                '"' => quoted = Some(i),
                '\\' if quoted.is_some() => {
                    if let Some((i, escaped)) = chars.next() {
                        end = i + escaped.len_utf8();
                        value.push(escaped);
                    }
                }
                ':' if quoted.is_none() && key.is_none() && is_key(&value) => {
                    key = Some(std::mem::take(&mut value).to_ascii_lowercase())
                }
                other => value.push(other),
            }
        }
        let word = Word { at, len: end - at, negated, key, value };
        if quoted.is_some() {
            return Err(word.error(text, "this quote is not closed".to_owned()));
        }
        if word.key.is_none() && word.value.is_empty() {
            return Err(word.error(text, "an empty term".to_owned()));
        }
        words.push(word);
    }
    Ok(words)
}

/// Only letters can be a key, so that `12:30` is text. An unknown key is an error, not text: a slip must not find nothing.
fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic())
}

fn unknown_key(key: &str) -> String {
    let all: Vec<&str> = Key::ALL.iter().map(|k| k.as_str()).chain(["since", "until"]).collect();
    let near = all.iter().find(|k| k.starts_with(key) || key.starts_with(**k) || distance(key, k) <= 2);
    match near {
        Some(near) => {
            format!("no key {key:?}; did you mean {near}? (to search for the text itself, quote it)")
        }
        None => {
            format!("no key {key:?}; one of {} (to search for the text itself, quote it)", all.join(", "))
        }
    }
}

/// Edits between two short words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(32).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let cost = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The closed lists above are the index's own words; a new word there must be typable here.
const _: fn(&str) -> (VerbWord, VerdictWord) = |word| (VerbWord::parse(word), VerdictWord::parse(word));

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime(1_790_000_000_000_000_000);

    fn terms(text: &str) -> Vec<(Key, String, bool)> {
        let query = Query::parse(text, NOW).unwrap();
        query.terms.into_iter().map(|t| (t.key, t.value, t.negated)).collect()
    }

    #[test]
    fn terms_keys_quotes_and_negation() {
        let of = |key, value: &str, negated| (key, value.to_owned(), negated);
        assert!(terms("").is_empty());
        assert_eq!(terms("table:customers"), [of(Key::Table, "customers", false)]);
        assert_eq!(
            terms("  VERB:write\t-human:ada "),
            [of(Key::Verb, "write", false), of(Key::Human, "ada", true)]
        );
        assert_eq!(
            terms("text:\"a: b\" \"x \\\" y\""),
            [of(Key::Text, "a: b", false), of(Key::Text, "x \" y", false)]
        );
        assert_eq!(
            terms("12:30 -drop a\"b c\"d"),
            [of(Key::Text, "12:30", false), of(Key::Text, "drop", true), of(Key::Text, "ab cd", false),]
        );
        assert_eq!(
            terms("class:pii.ssn rule:a:b"),
            [of(Key::Class, "pii.ssn", false), of(Key::Rule, "a:b", false)]
        );
    }

    #[test]
    fn times_count_back_from_now_or_are_moments() {
        let at = |text: &str| Query::parse(&format!("since:{text}"), NOW).unwrap().since.unwrap().0;
        assert_eq!(at("2h"), NOW.0 - 7_200_000_000_000);
        assert_eq!(at("1d"), NOW.0 - 86_400_000_000_000);
        assert_eq!(at("1970-01-02"), 86_400_000_000_000);
        assert_eq!(at("1970-01-01T00:00:01Z"), 1_000_000_000);
        assert_eq!(at("1970-01-01T01:00:01+01:00"), 1_000_000_000);
        assert_eq!(at("9999999w"), 0, "longer ago than time");
        assert_eq!(moment("99999999999999999999d", NOW), None);
        assert_eq!(moment("-1h", NOW), None);
        assert_eq!(moment("1969-12-31", NOW), None);
    }

    #[test]
    fn every_error_points_at_its_word() {
        let table = [
            ("table:a verb:reed", "verb:reed", "no verb \"reed\"; one of read"),
            ("a verdict:maybe b", "verdict:maybe", "one of allow, refuse, ask"),
            ("tabel:customers", "tabel:customers", "did you mean table?"),
            ("x zzz:y", "zzz:y", "no key \"zzz\"; one of resource"),
            ("select a::text", "a::text", "quote it"),
            ("ä since:soon", "since:soon", "is no time"),
            ("-since:2h", "-since:2h", "cannot be negated"),
            ("since:1h since:2h", "since:2h", "this time already"),
            ("a human:", "human:", "needs a value"),
            ("a \"b c", "\"b c", "not closed"),
            ("a -", "-", "empty term"),
            ("\"\"", "\"\"", "empty term"),
        ];
        for (query, word, why) in table {
            let error = Query::parse(query, NOW).unwrap_err();
            assert_eq!(&query[error.at..error.at + error.len], word, "{query}");
            assert!(error.why.contains(why), "{query}: {}", error.why);
        }
        let shown = Query::parse("ä since:soon", NOW).unwrap_err().to_string();
        assert!(shown.ends_with("\n  ä since:soon\n    ^^^^^^^^^^"), "{shown}");
    }

    #[test]
    fn a_query_has_its_limits() {
        let many = |n: usize| vec!["a"; n].join(" ");
        assert!(Query::parse(&many(QUERY_TERMS_MAX), NOW).is_ok());
        assert!(Query::parse(&many(QUERY_TERMS_MAX + 1), NOW).is_err());
        assert!(Query::parse(&"a".repeat(QUERY_BYTES_MAX), NOW).is_ok());
        assert!(Query::parse(&"a".repeat(QUERY_BYTES_MAX + 1), NOW).is_err());
    }

    #[test]
    fn hostile_queries_are_shown_without_moving_the_cursor() {
        let error = Query::parse("verb:\u{1b}[2J\u{202e}", NOW).unwrap_err().to_string();
        assert!(!error.contains('\u{1b}') && !error.contains('\u{202e}'), "{error}");
    }

    #[test]
    fn any_bytes_parse_or_point_within_themselves() {
        let pieces = ["a", ":", "\"", "\\", "-", " ", "since", "2h", "ß", "verb", "\u{202e}"];
        let mut state = 1u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..8 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
            }
            if let Err(error) = Query::parse(&text, NOW) {
                assert!(text.get(error.at..error.at + error.len).is_some(), "{text:?}");
                assert!(!error.to_string().is_empty());
            }
        }
    }
}
