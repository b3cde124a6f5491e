//! A psql script, cut into what psql would send. As much of psql as PostgreSQL's own regression scripts need: quotes,
//! dollar quotes, nested comments, SQL-standard bodies, variables, `\gset`, `\gexec`, `\c`, inline COPY data.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Without its semicolon. Variables are still in it.
    Statement { text: String, ends: Ends },
    /// A line that begins with a backslash, without it.
    Meta(String),
    /// The data of a COPY FROM stdin, which is the statement before it.
    Data(String),
}

/// What psql does with the result of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Plain,
    /// Its columns become variables.
    Gset,
    /// Its fields are statements.
    Gexec,
    /// `\;` stands in it: several statements in one message.
    Several,
}

pub fn cut(script: &str) -> Vec<Item> {
    let mut out = Vec::new();
    let mut state = Cutter::default();
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        if state.is_blank() && line.starts_with('\\') {
            out.push(Item::Meta(line[1..].trim().to_owned()));
            if line.starts_with("\\copy") && line.to_lowercase().contains("from stdin") {
                out.push(Item::Data(data(&mut lines)));
            }
            continue;
        }
        for statement in state.line(line) {
            let copies = is_copy_in(&statement);
            out.push(statement);
            if copies {
                out.push(Item::Data(data(&mut lines)));
            }
        }
    }
    out
}

fn data<'a>(lines: &mut impl Iterator<Item = &'a str>) -> String {
    lines.take_while(|line| *line != "\\.").map(|line| format!("{line}\n")).collect()
}

fn is_copy_in(item: &Item) -> bool {
    let Item::Statement { text, ends: Ends::Plain } = item else { return false };
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let from = words.iter().position(|w| w == "from");
    words.first().is_some_and(|w| w == "copy")
        && from.is_some_and(|i| words.get(i + 1).is_some_and(|w| w.starts_with("std")))
}

/// Puts the values of variables in their places: `:name`, `:'name'`, `:"name"`. An unknown one stays as it is.
pub fn interpolate(text: &str, variables: &HashMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(i) = rest.find(':') {
        let (before, after) = (&rest[..i], &rest[i + 1..]);
        out.push_str(before);
        let (quote, name) = match after.chars().next() {
            Some(q @ ('\'' | '"')) => (Some(q), &after[1..]),
            _ => (None, after),
        };
        let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
        let value = variables.get(&name[..length]).filter(|_| !out.ends_with(':'));
        let closed = quote.is_none_or(|q| name[length..].starts_with(q));
        match value.filter(|_| closed) {
            Some(value) => {
                match quote {
                    Some(q) => out.push_str(&format!("{q}{}{q}", value.replace(q, &format!("{q}{q}")))),
                    None => out.push_str(value),
                }
                rest = &name[length + quote.map_or(0, char::len_utf8)..];
            }
            None => {
                out.push(':');
                rest = after;
            }
        }
    }
    out + rest
}

#[derive(Default)]
struct Cutter {
    text: String,
    /// What a quotation ends with.
    until: Option<String>,
    escapes: bool,
    comments: usize,
    brackets: usize,
    /// BEGIN ATOMIC and CASE inside CREATE FUNCTION.
    bodies: usize,
    several: bool,
}

impl Cutter {
    fn is_blank(&self) -> bool {
        self.text.trim().is_empty() && self.comments == 0
    }

    fn line(&mut self, line: &str) -> Vec<Item> {
        let mut out = Vec::new();
        let mut chars = line.chars().peekable();
        let mut word = String::new();
        while let Some(c) = chars.next() {
            if self.quoted(c, &mut chars) {
                word.clear();
                continue;
            }
            if c.is_alphanumeric() || c == '_' {
                word.push(c);
                self.text.push(c);
                continue;
            }
            self.end_word(&word);
            match c {
                '-' if chars.peek() == Some(&'-') => break,
                '/' if chars.peek() == Some(&'*') => {
                    chars.next();
                    self.comments = 1;
                }
                '\'' | '"' => {
                    self.escapes = c == '\'' && word.eq_ignore_ascii_case("e");
                    self.until = Some(c.to_string());
                    self.text.push(c);
                }
                '$' if word.is_empty() => match tag(&mut chars) {
                    Some(tag) => {
                        self.text.push_str(&tag);
                        self.escapes = false;
                        self.until = Some(tag);
                    }
                    None => self.text.push(c),
                },
                '(' => self.bracket(1, c),
                ')' => self.bracket(-1, c),
                ';' if self.brackets == 0 && self.bodies == 0 => {
                    self.end(Ends::Plain, &mut out);
                }
                '\\' if chars.peek() == Some(&';') => {
                    chars.next();
                    self.several = true;
                    self.text.push(';');
                }
                '\\' => {
                    let command: String = chars.by_ref().collect();
                    match command.split_whitespace().next().unwrap_or("") {
                        "gset" => self.end(Ends::Gset, &mut out),
                        "gexec" => self.end(Ends::Gexec, &mut out),
                        _ => self.end(Ends::Plain, &mut out),
                    }
                }
                _ => self.text.push(c),
            }
            word.clear();
        }
        self.end_word(&word);
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        out
    }

    /// Inside a quotation or comment: takes the character.
    fn quoted(&mut self, c: char, chars: &mut Peekable<Chars<'_>>) -> bool {
        if self.comments > 0 {
            match (c, chars.peek()) {
                ('*', Some('/')) => {
                    chars.next();
                    self.comments -= 1;
                    self.text.push(' ');
                }
                ('/', Some('*')) => {
                    chars.next();
                    self.comments += 1;
                }
                _ => {}
            }
            return true;
        }
        let Some(until) = self.until.clone() else { return false };
        self.text.push(c);
        if self.escapes && c == '\\' {
            self.text.extend(chars.next());
        } else if self.text.ends_with(&until) {
            // A doubled quote ends one quotation and begins the next.
            self.until = None;
            if self.escapes && chars.peek() == Some(&'\'') {
                self.text.extend(chars.next());
                self.until = Some(until);
            }
        }
        true
    }

    fn end_word(&mut self, word: &str) {
        let defines = || {
            let mut words = self.text.split_whitespace().map(str::to_lowercase);
            words.next().is_some_and(|w| w == "create")
                && words.take(4).any(|w| w.starts_with("function") || w.starts_with("procedure"))
        };
        match word.to_lowercase().as_str() {
            "begin" if self.brackets == 0 && defines() => self.bodies += 1,
            "case" if self.bodies > 0 => self.bodies += 1,
            "end" if self.bodies > 0 => self.bodies -= 1,
            _ => {}
        }
    }

    fn bracket(&mut self, by: isize, c: char) {
        self.brackets = self.brackets.saturating_add_signed(by);
        self.text.push(c);
    }

    fn end(&mut self, ends: Ends, out: &mut Vec<Item>) {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        let ends = if self.several && ends == Ends::Plain { Ends::Several } else { ends };
        *self = Cutter::default();
        if !text.is_empty() {
            out.push(Item::Statement { text, ends });
        }
    }
}

/// `$tag$`, when what follows a `$` is the rest of one.
fn tag(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let ahead: String = chars.clone().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let starts = ahead.chars().next();
    if chars.clone().nth(ahead.chars().count()) != Some('$') || starts.is_some_and(|c| c.is_ascii_digit()) {
        return None;
    }
    for _ in 0..=ahead.chars().count() {
        chars.next();
    }
    Some(format!("${ahead}$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(script: &str) -> Vec<String> {
        let text = |item| if let Item::Statement { text, .. } = item { Some(text) } else { None };
        cut(script).into_iter().filter_map(text).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_outside_quotes_brackets_and_bodies() {
        let script = "SELECT ';', E'\\';', \";\", $a$;$a$ -- ;\n/* ; /* ; */ ; */ ; SELECT (1;2);\n\
                      CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;\n\
                      BEGIN; END; SELECT E'a\\\\'; SELECT 'it''s;'";
        let got = statements(&format!("{script};"));
        assert_eq!(got.len(), 7, "{got:#?}");
        assert_eq!(got[3], "BEGIN");
        assert_eq!(got[6], "SELECT 'it''s;'");
    }

    #[test]
    fn commands_of_psql_and_the_data_of_copy_are_not_statements() {
        let script =
            "\\set x 'a'\nCOPY t (a) FROM stdin;\n1;\n\\.\nSELECT 1 AS a \\gset\nSELECT 1\\; SELECT 2;\n";
        let got = cut(script);
        assert_eq!(got[0], Item::Meta("set x 'a'".into()));
        assert_eq!(got[2], Item::Data("1;\n".into()));
        assert_eq!(got[3], Item::Statement { text: "SELECT 1 AS a".into(), ends: Ends::Gset });
        assert!(matches!(&got[4], Item::Statement { ends: Ends::Several, .. }), "{got:?}");
    }

    #[test]
    fn variables_are_put_in_and_casts_left_alone() {
        let variables = HashMap::from([("a".to_owned(), "it's".to_owned())]);
        assert_eq!(interpolate("x::a :a :'a' :\"a\" :b", &variables), "x::a it's 'it''s' \"it's\" :b");
    }
}
