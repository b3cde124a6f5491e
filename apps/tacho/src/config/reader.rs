//! Reads a TOML table key by key, keeps every problem with its line, and names the keys nobody asked for.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::spell;

/// A value and where it stands in the file.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}

impl<T> At<T> {
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { value: f(self.value), span: self.span }
    }
}

/// Everything wrong with one file, in order of lines.
#[derive(Debug)]
pub struct Problems {
    file: String,
    line_starts: Vec<usize>,
    found: Vec<(usize, String)>,
}

impl Problems {
    pub fn new(file: &str, text: &str) -> Problems {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Problems {
            file: file.to_owned(),
            line_starts: std::iter::once(0).chain(breaks).collect(),
            found: Vec::new(),
        }
    }

    /// Notes `what` at the line where `span` begins.
    pub fn at(&mut self, span: &Range<usize>, what: impl Into<String>) {
        let line = self.line(span);
        self.found.push((line, what.into()));
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The line, from 1, on which `span` begins.
    pub fn line(&self, span: &Range<usize>) -> usize {
        self.line_starts.partition_point(|start| *start <= span.start)
    }

    /// `file:line: what`, sorted by line.
    pub fn into_lines(mut self) -> Vec<String> {
        self.found.sort_by_key(|(line, _)| *line);
        self.found.dedup();
        self.found.into_iter().map(|(line, what)| format!("{}:{line}: {what}", self.file)).collect()
    }
}

/// One table of the file. Each key that is asked for is known; [`Section::finish`] reports the others.
pub struct Section<'t> {
    /// How messages call it: `[gateway]`, `resource "crm"`.
    pub place: String,
    pub span: Range<usize>,
    table: &'t DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'t> Section<'t> {
    pub fn new(place: impl Into<String>, span: Range<usize>, table: &'t DeTable<'t>) -> Section<'t> {
        Section { place: place.into(), span, table, known: Vec::new() }
    }

    pub fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<At<&'t str>> {
        let found = self.value(key)?;
        match found.as_ref().as_str() {
            Some(value) => Some(At { value, span: found.span() }),
            None => self.wrong_type(key, found, "text in quotes", problems),
        }
    }

    /// Text that must be there.
    pub fn required(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
    ) -> Option<At<&'t str>> {
        if self.value(key).is_none() {
            problems.at(&self.span, format!("{} has no `{key}`; add {key} = {example}", self.place));
            return None;
        }
        self.text(key, problems)
    }

    pub fn flag(&mut self, key: &'static str, problems: &mut Problems) -> Option<At<bool>> {
        let found = self.value(key)?;
        match found.as_ref().as_bool() {
            Some(value) => Some(At { value, span: found.span() }),
            None => self.wrong_type(key, found, "true or false", problems),
        }
    }

    /// A whole number within `range`.
    pub fn number(
        &mut self,
        key: &'static str,
        range: Range<u64>,
        problems: &mut Problems,
    ) -> Option<At<u64>> {
        let found = self.value(key)?;
        let Some(digits) = found.as_ref().as_integer() else {
            return self.wrong_type(key, found, "a whole number", problems);
        };
        let value = u64::from_str_radix(&digits.as_str().replace('_', ""), digits.radix()).ok();
        match value.filter(|v| range.contains(v)) {
            Some(value) => Some(At { value, span: found.span() }),
            None => {
                let (low, high) = (range.start, range.end.saturating_sub(1));
                problems.at(
                    &found.span(),
                    format!(
                        "{}: `{key}` = {} is out of range; it is {low} to {high}",
                        self.place,
                        digits.as_str()
                    ),
                );
                None
            }
        }
    }

    /// A duration: `"90s"`, `"10m"`, `"500ms"`, `"1h"`.
    pub fn duration(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<At<std::time::Duration>> {
        let text = self.text(key, problems)?;
        match parse_duration(text.value) {
            Some(value) => Some(At { value, span: text.span }),
            None => {
                problems.at(
                    &text.span,
                    format!(
                        "{}: `{key}` = {:?} is not a duration; write a number and a unit: \"500ms\", \"90s\", \"10m\" or \"1h\"",
                        self.place, text.value
                    ),
                );
                None
            }
        }
    }

    pub fn texts(&mut self, key: &'static str, problems: &mut Problems) -> Vec<At<&'t str>> {
        let Some(found) = self.value(key) else { return Vec::new() };
        let Some(items) = found.as_ref().as_array() else {
            self.wrong_type::<()>(key, found, "a list of texts: [\"...\"]", problems);
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in items.iter() {
            match item.as_ref().as_str() {
                Some(value) => out.push(At { value, span: item.span() }),
                None => {
                    self.wrong_type::<()>(key, item, "a list of texts: [\"...\"]", problems);
                }
            }
        }
        out
    }

    /// One text, or a list of them.
    pub fn text_or_texts(&mut self, key: &'static str, problems: &mut Problems) -> Vec<At<&'t str>> {
        match self.value(key) {
            None => Vec::new(),
            Some(found) if found.as_ref().is_str() => self.text(key, problems).into_iter().collect(),
            Some(found) if found.as_ref().is_array() => self.texts(key, problems),
            Some(found) => {
                self.wrong_type::<()>(key, found, "a text, or a list of texts", problems);
                Vec::new()
            }
        }
    }

    /// A sub-table whose keys are not ours: `{ "a name" = "a text", ... }`.
    pub fn pairs(&mut self, key: &'static str, problems: &mut Problems) -> Vec<(At<&'t str>, At<&'t str>)> {
        let Some(found) = self.value(key) else { return Vec::new() };
        let Some(table) = found.as_ref().as_table() else {
            self.wrong_type::<()>(key, found, "a table of texts: { ... }", problems);
            return Vec::new();
        };
        let mut out = Vec::new();
        for (name, value) in table.iter() {
            match value.as_ref().as_str() {
                Some(text) => out.push((
                    At { value: name.get_ref().as_ref(), span: name.span() },
                    At { value: text, span: value.span() },
                )),
                None => {
                    self.wrong_type::<()>(name.get_ref().as_ref(), value, "text in quotes", problems);
                }
            }
        }
        out
    }

    /// A sub-table that stands once: `credential = { env = "X" }` or `[gateway]`.
    pub fn section(&mut self, key: &'static str, problems: &mut Problems) -> Option<Section<'t>> {
        let found = self.value(key)?;
        match found.as_ref().as_table() {
            Some(table) => Some(Section::new(format!("{} `{key}`", self.place).trim(), found.span(), table)),
            None => self.wrong_type(key, found, "a table: { ... }", problems),
        }
    }

    /// Tables that repeat: `[[resource]]`.
    pub fn sections(&mut self, key: &'static str, problems: &mut Problems) -> Vec<Section<'t>> {
        let Some(found) = self.value(key) else { return Vec::new() };
        let Some(items) = found.as_ref().as_array() else {
            let right = format!("written [[{key}]], in double brackets");
            self.wrong_type::<()>(key, found, &right, problems);
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in items.iter() {
            match item.as_ref().as_table() {
                Some(table) => out.push(Section::new(key, item.span(), table)),
                None => {
                    self.wrong_type::<()>(key, item, "a table", problems);
                }
            }
        }
        out
    }

    /// The raw value, for keys that may be text or number.
    pub fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table.iter().find(|(name, _)| name.as_ref() == key).map(|(_, value)| value)
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self, problems: &mut Problems) {
        for (name, _) in self.table.iter() {
            let key: &str = name.as_ref();
            if self.known.contains(&key) {
                continue;
            }
            let hint = match spell::nearest(key, self.known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys here are {}", self.known.join(", ")),
            };
            let place = if self.place.is_empty() { "the file" } else { &self.place };
            problems.at(&name.span(), format!("{place}: `{key}` is not a known key; {hint}"));
        }
    }

    fn wrong_type<T>(
        &self,
        key: &str,
        found: &Spanned<DeValue<'_>>,
        right: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        let is = found.as_ref().type_str();
        let place = if self.place.is_empty() { String::new() } else { format!("{}: ", self.place) };
        problems.at(&found.span(), format!("{place}`{key}` is {is}; it has to be {right}"));
        None
    }
}

/// Reads `500ms`, `90s`, `10m`, `1h`. No other unit, no fraction.
fn parse_duration(text: &str) -> Option<std::time::Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit.trim() {
        "ms" => number,
        "s" => number.checked_mul(1_000)?,
        "m" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        _ => return None,
    };
    Some(std::time::Duration::from_millis(millis))
}
