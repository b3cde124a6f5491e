//! How what is asked and what a model decided stand to each other: by content, strongest first.

mod request;

use std::collections::HashSet;

use vocab::Action;

pub use request::{BELOW, Member, NO_TEXT, READ_ON, Requested};

use crate::limits::{
    DECISION_STRINGS_MAX, LIKE_PERCENT_MIN, LIKE_WORDS_MAX, SAID_BYTES_MAX, SAID_BYTES_MIN,
    SAID_WORD_BYTES_MIN,
};

/// How what is asked and a string of a decision's arguments stand to each other, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// The string is the whole of what is asked, but for white space that means nothing; and each parameter is an argument.
    Same,
    /// The string is a list of statements, and what is asked is one of them, whole.
    Part,
    /// What is asked holds the string.
    Holds,
    /// The string holds what is asked as a thing of its own, as code holds a statement in quotes.
    Within,
    /// What is asked names what the arguments name: the same values, on a resource that they or the tool name.
    Like,
}

impl How {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            How::Same => "same",
            How::Part => "part",
            How::Holds => "holds",
            How::Within => "within",
            How::Like => "like",
        }
    }
}

/// How both stand to each other, how much of it, in percent, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Likeness {
    pub(crate) how: How,
    pub(crate) percent: u8,
    /// `None`: nowhere in a text, but in parameters alone.
    pub(crate) span: Option<Span>,
}

/// Where both say the same, in bytes of one of their texts as it is compared: with one space for white space between words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) of: Side,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The length of that text.
    pub(crate) bytes: usize,
}

/// Whose text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// What is asked: a statement, the target and body of a request, or a call.
    Asked,
    /// A string of the decision's arguments.
    Decided,
}

impl Side {
    /// The word used in records.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Side::Asked => "asked",
            Side::Decided => "decided",
        }
    }
}

/// What is asked, as it is held against decisions.
pub struct Saying<'a> {
    /// The statement, or the target and body of a request.
    pub text: &'a str,
    /// Values that stand beside it: parameters.
    pub values: Vec<&'a str>,
    /// There are others, which are not known as text.
    pub unsaid: bool,
    pub action: &'a Action,
    pub asking: Asking<'a>,
}

/// What it is that is asked, and so what of a tool call says it.
#[derive(Clone, Copy)]
pub enum Asking<'a> {
    /// A statement: a string of the arguments.
    Statement,
    /// A request over HTTP: [`Requested`] has the rule.
    Request(&'a Requested),
    /// A call of a tool of MCP: the call itself, by name and arguments. A string in another call's arguments is what that
    /// one was to say.
    Call,
}

/// The same, read once.
pub(crate) struct Asked<'a> {
    said: &'a str,
    asking: Asking<'a>,
    /// Of a request that is not too long.
    line: Option<Line>,
    plain: String,
    /// The parameters; `None`: not all of what is asked is here.
    values: Option<Vec<Box<str>>>,
    names: HashSet<Box<str>>,
    literals: HashSet<Box<str>>,
    on: Vec<Box<str>>,
}

/// A tool call as it is held against what is asked.
pub(crate) struct Argued {
    /// The tool's name, in lower case.
    tool: Box<str>,
    /// The call in one spelling.
    spelled: Option<Box<str>>,
    /// `None`: not all of them are known.
    members: Option<Vec<(Box<str>, Box<str>)>>,
    strings: Vec<Box<str>>,
    /// Its values, each whole.
    whole: HashSet<Box<str>>,
    /// Words and numbers of its values, but those that say how many rows are wanted.
    values: HashSet<Box<str>>,
    /// All of them.
    all: HashSet<Box<str>>,
    /// Stems of those, of the names of its arguments, and of the tool.
    stems: HashSet<Box<str>>,
}

/// What a tool call says: `strings` whole, `scalars` by word and number, `names` of tool and arguments.
#[derive(Clone, Copy, Default)]
pub struct Arguments<'a> {
    pub tool: &'a str,
    /// Tool and arguments in one spelling for all that say the same.
    pub spelled: Option<&'a str>,
    /// Each value with the names that lead to it; `None`: they are no JSON, or too many.
    pub members: Option<&'a [Member]>,
    pub strings: &'a [String],
    pub scalars: &'a [String],
    pub names: &'a [String],
}

impl<'a> Asked<'a> {
    pub(crate) fn new(saying: &Saying<'a>) -> Asked<'a> {
        let text = &saying.text[..saying.text.floor_char_boundary(SAID_BYTES_MAX)];
        let mut read = Read::of(text);
        for value in &saying.values {
            read.literal(value);
        }
        let on = saying.action.accesses.iter().filter_map(|access| named(access.on.as_str())).collect();
        let whole = text.len() == saying.text.len() && !saying.unsaid;
        let values = whole.then(|| saying.values.iter().map(|value| Box::from(*value)).collect());
        let (said, asking) = (saying.text, saying.asking);
        let line = match asking {
            Asking::Request(request) if text.len() == said.len() && request.body.is_some() => {
                Some(Line::of(request, text))
            }
            Asking::Request(_) | Asking::Statement | Asking::Call => None,
        };
        Asked {
            said,
            asking,
            line,
            plain: code(text),
            values,
            names: read.names,
            literals: read.literals,
            on,
        }
    }
}

/// Method, target and body of a request as one text.
enum Line {
    /// Its body is JSON, in which white space between quotes alone counts.
    Json(String),
    /// Each byte of it counts.
    Exact(String),
}

impl Line {
    /// `text`: target and body, with a space between them.
    fn of(request: &Requested, text: &str) -> Line {
        let method = &request.method;
        let (target, body) = text.split_once(' ').unwrap_or((text, ""));
        // A quote before it would begin what is between quotes elsewhere.
        let json = request.typed && body.starts_with(['{', '[']) && !target.contains(['\'', '"']);
        match (json, body.is_empty()) {
            (true, _) => Line::Json(code(&format!("{method} {text}"))),
            (false, true) => Line::Exact(format!("{method} {target}")),
            (false, false) => Line::Exact(format!("{method} {text}")),
        }
    }

    fn is_said_by(&self, call: &Argued) -> bool {
        match self {
            Line::Json(line) => call.strings.iter().any(|string| **string == **line),
            Line::Exact(line) => call.members.iter().flatten().any(|(_, value)| **value == **line),
        }
    }
}

impl Argued {
    pub(crate) fn new(arguments: Arguments<'_>) -> Argued {
        let strings = arguments.strings.iter().take(DECISION_STRINGS_MAX).map(|string| code(string).into());
        let whole = arguments.scalars.iter().map(|scalar| scalar.as_str().into()).collect();
        let [mut values, mut all, mut names]: [HashSet<Box<str>>; 3] = Default::default();
        for scalar in arguments.scalars {
            let scalar = &scalar[..scalar.floor_char_boundary(SAID_BYTES_MAX)];
            let read = Read::of(scalar);
            values.extend(read.names.into_iter().chain(read.literals));
            words(scalar, |word| _ = all.insert(word));
        }
        for name in arguments.names {
            words(name, |word| _ = names.insert(word));
        }
        let stems = values.iter().chain(&names).flat_map(|word| stems(word)).collect();
        let member = |(name, value): &Member| (name.as_str().into(), value.as_str().into());
        Argued {
            tool: lower(arguments.tool),
            spelled: arguments.spelled.map(Box::from),
            members: arguments.members.map(|members| members.iter().map(member).collect()),
            strings: strings.collect(),
            whole,
            values,
            all,
            stems,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let words = self.whole.iter().chain(&self.values).chain(&self.all).chain(&self.stems);
        let members = self.members.iter().flatten().flat_map(|(name, value)| [name, value]);
        let texts = self.strings.iter().chain(&self.spelled).chain([&self.tool]).chain(members);
        texts.chain(words).map(|string| string.len()).sum()
    }

    /// How `asked` says it.
    pub(crate) fn compare(&self, asked: &Asked<'_>) -> Option<Likeness> {
        let same = match asked.asking {
            Asking::Statement => return self.says(asked),
            Asking::Call => self.spelled.as_deref() == Some(asked.said),
            Asking::Request(request) => {
                asked.line.as_ref().is_some_and(|line| line.is_said_by(self)) || self.requests(request)
            }
        };
        // Whatever string of the arguments it is: what one call was to say is no other request.
        let less = |like: Likeness| Likeness { how: like.how.max(How::Holds), ..like };
        let whole = Likeness { how: How::Same, percent: 100, span: Some(Span::whole(&asked.plain)) };
        if same { Some(whole) } else { self.says(asked).map(less) }
    }

    /// How a string of its arguments says it, or its words do.
    fn says(&self, asked: &Asked<'_>) -> Option<Likeness> {
        let all = self.strings.iter().filter_map(|string| compare(&asked.plain, string));
        let Some((how, span)) = all.min_by_key(|(how, _)| *how) else { return self.like(asked) };
        // A parameter that nobody decided, or what is not here to be compared, makes another request of the same words.
        let decided = asked.values.as_ref().is_some_and(|all| all.iter().all(|v| self.whole.contains(v)));
        let how = if decided { how } else { how.max(How::Holds) };
        Some(Likeness { how, percent: 100, span: Some(span) })
    }

    /// Whether both name the same things. Each literal that is asked must have been decided, most of what was decided must be
    /// asked, and of what it is asked the decision must have a name.
    fn like(&self, asked: &Asked<'_>) -> Option<Likeness> {
        if self.values.is_empty() || !asked.literals.is_subset(&self.all) {
            return None;
        }
        let is_named = |word: &str| stems(word).any(|stem| self.stems.contains(&stem));
        let on = asked.on.iter().filter(|on| is_named(on)).count();
        if on == 0 || on * 2 < asked.on.len() {
            return None;
        }
        let said = |word: &str| asked.literals.contains(word) || asked.names.contains(word);
        let found = self.values.iter().filter(|word| said(word)).count();
        // One word alone, and no value: that is every statement about the same table.
        if asked.literals.is_empty() && found < 2 && !self.is_one_name() {
            return None;
        }
        let known = asked.names.iter().filter(|name| is_named(name)).count() + asked.literals.len();
        let all = self.values.len() + asked.names.len() + asked.literals.len();
        let percent = (100 * (found + known) / all.max(1)).min(99);
        let most = found * 5 >= self.values.len() * 4 && percent >= LIKE_PERCENT_MIN;
        let percent = u8::try_from(percent).ok().filter(|_| most)?;
        let span = across(&asked.plain, |word| self.values.contains(word));
        let span = span.map(|(from, to)| Span { of: Side::Asked, from, to, bytes: asked.plain.len() });
        Some(Likeness { how: How::Like, percent, span })
    }

    /// All that it says is one name: of a table, say.
    fn is_one_name(&self) -> bool {
        self.values.len() == 1 && self.values.iter().all(|value| !is_number(value))
    }
}

/// Names and literals of a text that asks for something: SQL, or a target with a body.
#[derive(Default)]
struct Read {
    names: HashSet<Box<str>>,
    literals: HashSet<Box<str>>,
}

impl Read {
    fn of(text: &str) -> Read {
        let mut read = Read::default();
        // Between single quotes SQL has values. A quote within is two, which makes two values of one: all its words count.
        for (n, part) in text.split('\'').enumerate() {
            match n % 2 {
                0 => read.code(part),
                _ => read.literal(part),
            }
        }
        match read.names.len() + read.literals.len() > LIKE_WORDS_MAX {
            // Nothing that long is like a call: it is the same, or it is not.
            true => Read::default(),
            false => read,
        }
    }

    fn code(&mut self, text: &str) {
        let (mut rows, mut before) = (false, ' ');
        for part in text.split_inclusive(|c: char| !is_word(c)) {
            let word = lower(part.trim_end_matches(|c| !is_word(c)));
            // `$1` is a place, and how many rows are wanted is the tool's to say.
            let counts = before == '$' || (rows && is_number(&word));
            if !counts && !is_common(&word) {
                match is_number(&word) {
                    true => self.literals.insert(word.clone()),
                    false => self.names.insert(word.clone()),
                };
            }
            rows =
                matches!(&*word, "limit" | "offset" | "fetch" | "first" | "top") || (rows && word.is_empty());
            before = part.chars().next_back().unwrap_or(' ');
        }
    }

    fn literal(&mut self, value: &str) {
        words(value, |word| {
            if !is_common(&word) {
                self.literals.insert(word);
            }
        });
    }
}

/// The last part of a resource's path that is a name and no template.
fn named(path: &str) -> Option<Box<str>> {
    path.rsplit('/').find(|part| !part.starts_with('{')).map(lower)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

fn lower(word: &str) -> Box<str> {
    word.to_lowercase().into()
}

fn words(text: &str, each: impl FnMut(Box<str>)) {
    text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(lower).for_each(each);
}

/// A word's parts without the ending of a plural: `customer_orders` is `customer` and `order`.
fn stems(word: &str) -> impl Iterator<Item = Box<str>> + '_ {
    word.split('_').filter(|part| part.len() > 1 || is_number(part)).map(|part| {
        let stem = part.strip_suffix("ies").or_else(|| part.strip_suffix('s').filter(|stem| stem.len() > 2));
        stem.unwrap_or(part).trim_end_matches('y').into()
    })
}

/// Words that are in every statement, or say nothing of what it is about.
fn is_common(word: &str) -> bool {
    const COMMON: &[&str] = &[
        "",
        "a",
        "all",
        "an",
        "and",
        "any",
        "api",
        "as",
        "asc",
        "avg",
        "begin",
        "between",
        "by",
        "case",
        "cast",
        "coalesce",
        "commit",
        "count",
        "cross",
        "delete",
        "desc",
        "distinct",
        "else",
        "end",
        "except",
        "exists",
        "false",
        "fetch",
        "first",
        "for",
        "format",
        "from",
        "full",
        "group",
        "having",
        "http",
        "https",
        "id",
        "ilike",
        "in",
        "inner",
        "insert",
        "intersect",
        "into",
        "is",
        "join",
        "json",
        "left",
        "like",
        "limit",
        "lower",
        "max",
        "min",
        "natural",
        "next",
        "not",
        "null",
        "of",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "outer",
        "public",
        "returning",
        "right",
        "row",
        "rows",
        "select",
        "set",
        "some",
        "sql",
        "sum",
        "the",
        "then",
        "to",
        "top",
        "true",
        "union",
        "update",
        "upper",
        "using",
        "v1",
        "v2",
        "values",
        "when",
        "where",
        "with",
    ];
    COMMON.binary_search(&word).is_ok()
}

/// The same of what a machine reads: white space between quotes stays, and so does all of it where the end of a line, or a
/// quote of another kind, may mean something.
fn code(text: &str) -> String {
    let text = text.trim().trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    if text.contains("--") || text.contains(['$', '\\', '#']) {
        return text.to_owned();
    }
    let (mut out, mut quote) = (String::with_capacity(text.len()), None);
    for c in text.chars() {
        let space = quote.is_none() && c.is_whitespace();
        quote = match quote {
            None if matches!(c, '\'' | '"') => Some(c),
            Some(open) if open == c => None,
            quote => quote,
        };
        match space {
            true if out.ends_with(' ') => {}
            true => out.push(' '),
            false => out.push(c),
        }
    }
    out
}

/// One space for each run of white space, none at the ends, and no semicolon there.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out.truncate(out.trim_end_matches([';', ' ']).len());
    out
}

fn compare(said: &str, string: &str) -> Option<(How, Span)> {
    if string.is_empty() || said.is_empty() {
        return None;
    }
    if said == string {
        return Some((How::Same, Span::whole(said)));
    }
    let listed = statements(string).find(|(_, statement)| string.contains(';') && *statement == said);
    if let Some((at, _)) = listed {
        return Some((How::Part, Span::at(Side::Decided, string, at, said)));
    }
    if is_telling(string)
        && let Some(at) = places(said, string).next()
    {
        return Some((How::Holds, Span::at(Side::Asked, said, at, string)));
    }
    let at = if said.len() >= SAID_BYTES_MIN { quoted_in(string, said) } else { None };
    at.map(|at| (How::Within, Span::at(Side::Decided, string, at, said)))
}

impl Span {
    fn whole(asked: &str) -> Span {
        Span::at(Side::Asked, asked, 0, asked)
    }

    /// `part` stands at `from` in `text`.
    fn at(of: Side, text: &str, from: usize, part: &str) -> Span {
        Span { of, from, to: from + part.len(), bytes: text.len() }
    }
}

/// From the first to the last word that `counts`.
fn across(text: &str, counts: impl Fn(&str) -> bool) -> Option<(usize, usize)> {
    let (mut at, mut found) = (0, None);
    for part in text.split_inclusive(|c| !is_word(c)) {
        let word = part.trim_end_matches(|c| !is_word(c));
        if !word.is_empty() && counts(&lower(word)) {
            let (from, _) = found.unwrap_or((at, at));
            found = Some((from, at + word.len()));
        }
        at += part.len();
    }
    found
}

/// Where the string holds what was said as a thing of its own: in quotes, as code does, or up to a semicolon. The beginning of
/// a statement is another one. What is one word, as a path is, only has to begin and end there.
fn quoted_in(string: &str, said: &str) -> Option<usize> {
    let one_word = !said.contains(' ');
    let ends = |c: Option<char>| match c {
        None => true,
        Some(c) if one_word => !c.is_alphanumeric(),
        Some(c) => matches!(c, ';' | '\'' | '"' | '`' | '\\'),
    };
    let quoted = |(at, _): &(usize, &str)| {
        let before = string.get(..*at).and_then(|text| text.trim_end().chars().next_back());
        let after = string.get(at + said.len()..).and_then(|text| text.trim_start().chars().next());
        ends(before) && ends(after)
    };
    string.match_indices(said).find(quoted).map(|(at, _)| at)
}

/// The statements of a list and where they stand there; none where a quote could hide where one ends.
fn statements(list: &str) -> impl Iterator<Item = (usize, &str)> {
    let plain = !list.contains(['$', '\\']) && !list.contains("--") && !list.contains("/*");
    let mut quote = None;
    let ends = move |c: char| {
        quote = match quote {
            None if matches!(c, '\'' | '"') => Some(c),
            Some(open) if open == c => None,
            quote => quote,
        };
        quote.is_none() && c == ';'
    };
    let mut next = 0;
    list.split(ends).filter(move |_| plain).map(move |statement| {
        let at = next + statement.len() - statement.trim_start().len();
        next += statement.len() + 1;
        (at, statement.trim())
    })
}

/// Whether what holds the string is likely to hold it because of the decision: `customer` is in many statements, `order-2041`
/// in those about it.
fn is_telling(string: &str) -> bool {
    let one_word = string.chars().all(|c| c.is_alphabetic() || c == '_');
    string.len() >= if one_word { SAID_WORD_BYTES_MIN } else { SAID_BYTES_MIN }
}

/// How often `said` holds the string as words of its own, and not as a part of longer ones.
pub(crate) fn occurrences(said: &str, string: &str) -> usize {
    places(said, string).count()
}

/// Where `said` holds the string as words of its own.
fn places(said: &str, string: &str) -> impl Iterator<Item = usize> {
    let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let whole = move |(at, _): &(usize, &str)| {
        let (before, after) = (said.get(..*at), said.get(at + string.len()..));
        ends(before.and_then(|text| text.chars().next_back()))
            && ends(after.and_then(|text| text.chars().next()))
    };
    said.match_indices(string).filter(whole).map(|(at, _)| at)
}

#[cfg(test)]
mod tests;
