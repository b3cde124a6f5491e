//! Words and the expansions in them: XCU 2.6; nothing is expanded yet.

use super::quotes::Decoded;
use super::{Reader, Set, ends_word, is_name, is_name_start, past_continued};
use crate::line::{Difference, LiteralKind, Refused, RefusedKind};
use crate::syntax::{List, Piece, Word};

/// Where pieces end, if that is not quoted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Word,
    /// `}` of `${...}`; inside double quotes, shells do not agree on quotes in there.
    Brace {
        quoted: bool,
    },
    /// `]` of a subscript.
    Bracket,
}

/// A stretch of literal text: its place, and what it is without quotes.
type Segment = (usize, usize, String);

impl Reader<'_> {
    pub(super) fn word(&mut self) -> Result<Word, Refused> {
        self.node()?;
        let start = self.at;
        if self.byte(0) == Some(b'=') && self.byte(1).is_some_and(|b| b.is_ascii_alphabetic()) {
            self.differs(Difference::EqualsWord, start);
        }
        self.word_until(Stop::Word)
    }

    fn word_until(&mut self, stop: Stop) -> Result<Word, Refused> {
        let start = self.at;
        let mut segments = Vec::new();
        let pieces = self.pieces(stop, &mut segments)?;
        if self.at == start && stop == Stop::Word {
            return self.syntax();
        }
        // bash 5.2 prints what is in `$( )` and reads it again, and prints no `;` behind a word that ends so.
        if stop == Stop::Word && self.text.get(start..self.at).is_some_and(|raw| raw.ends_with("\\&")) {
            return self.refuse(RefusedKind::Ambiguous);
        }
        let word = Word { pieces, span: self.span(start) };
        match word.literal() {
            Some(value) => self.literal(LiteralKind::Word, start, self.at, &value),
            None => self.segments(segments),
        }
        Ok(word)
    }

    fn segments(&mut self, segments: Vec<Segment>) {
        for (start, end, value) in segments {
            self.literal(LiteralKind::Word, start, end, &value);
        }
    }

    fn pieces(&mut self, stop: Stop, segments: &mut Vec<Segment>) -> Result<Vec<Piece>, Refused> {
        let mut pieces: Vec<Piece> = Vec::new();
        while let Some(byte) = self.byte(0) {
            let process = matches!(byte, b'<' | b'>') && self.byte(1) == Some(b'(');
            let ends = match stop {
                Stop::Word => ends_word(byte) && !process,
                Stop::Brace { .. } => byte == b'}',
                Stop::Bracket => byte == b']',
            };
            if ends {
                break;
            }
            let unclear = process || matches!(byte, b'\'' | b'"') && stop != Stop::Brace { quoted: false };
            if unclear && stop != Stop::Word {
                return self.refuse(RefusedKind::Ambiguous);
            }
            self.node()?;
            match byte {
                b'<' | b'>' => pieces.push(self.process_substitution()?),
                b'"' => self.double_quoted(&mut pieces, segments)?,
                b'\'' | b'\\' => self.quoted_text(&mut pieces, segments)?,
                b'`' => pieces.push(self.backquotes(false)?),
                b'$' => self.dollar(stop, &mut pieces, segments)?,
                _ => self.plain_text(stop, &mut pieces, segments),
            }
        }
        Ok(pieces)
    }

    fn plain_text(&mut self, stop: Stop, pieces: &mut Vec<Piece>, segments: &mut Vec<Segment>) {
        let start = self.at;
        let ends = |b: u8| match stop {
            Stop::Word => ends_word(b),
            Stop::Brace { .. } => matches!(b, b'}' | b'<' | b'>'),
            Stop::Bracket => b == b']',
        };
        let special = |b: &u8| matches!(b, b'\'' | b'"' | b'\\' | b'`' | b'$') || ends(*b);
        let rest = self.rest();
        // At least one byte: a `<` in braces that starts no process is text.
        let length = rest.bytes().skip(1).position(|b| special(&b)).map_or(rest.len(), |n| n + 1);
        let value = rest.get(..length).unwrap_or("").to_owned();
        self.at += length;
        segments.push((start, self.at, value.clone()));
        push_text(pieces, value, false);
    }

    fn quoted_text(&mut self, pieces: &mut Vec<Piece>, segments: &mut Vec<Segment>) -> Result<(), Refused> {
        let start = self.at;
        let value = match self.char() {
            Some('\'') => self.single_quoted()?,
            _ => match self.char() {
                None => return self.refuse(RefusedKind::Unterminated),
                Some('\n') => return Ok(()),
                Some(c) => c.to_string(),
            },
        };
        segments.push((start, self.at, value.clone()));
        push_text(pieces, value, true);
        Ok(())
    }

    /// `"..."`; an empty pair is a piece too, since it makes a word.
    fn double_quoted(&mut self, pieces: &mut Vec<Piece>, segments: &mut Vec<Segment>) -> Result<(), Refused> {
        self.at += 1;
        push_text(pieces, String::new(), true);
        let inner = self.deeper(|reader| reader.quoted_into(Some(b'"'), segments))?;
        pieces.extend(inner);
        if self.take("\"") { Ok(()) } else { self.refuse(RefusedKind::Unterminated) }
    }

    /// What stands in double quotes up to `end`, or in the whole text as in a here-document.
    pub(super) fn quoted_pieces(&mut self, end: Option<u8>) -> Result<Vec<Piece>, Refused> {
        self.quoted_into(end, &mut Vec::new())
    }

    fn quoted_into(&mut self, end: Option<u8>, segments: &mut Vec<Segment>) -> Result<Vec<Piece>, Refused> {
        let mut pieces = Vec::new();
        let (mut text, mut from) = (String::new(), self.at);
        loop {
            let byte = self.byte(0);
            let stops = byte.is_none() || byte == end;
            if stops || matches!(byte, Some(b'$' | b'`')) {
                if !text.is_empty() {
                    segments.push((from, self.at, text.clone()));
                    push_text(&mut pieces, std::mem::take(&mut text), true);
                }
                if stops {
                    return Ok(pieces);
                }
                self.node()?;
                if byte == Some(b'`') {
                    pieces.push(self.backquotes(end.is_some())?);
                } else {
                    self.dollar(Stop::Brace { quoted: true }, &mut pieces, segments)?;
                }
                from = self.at;
                continue;
            }
            match self.char() {
                Some('\\') => self.quoted_escape(end, &mut text),
                Some(c) => text.push(c),
                None => return Ok(pieces),
            }
        }
    }

    fn quoted_escape(&mut self, end: Option<u8>, text: &mut String) {
        match self.byte(0) {
            Some(b'\n') => self.at += 1,
            Some(b @ (b'$' | b'`' | b'\\')) => {
                text.push(char::from(b));
                self.at += 1;
            }
            Some(b'"') if end.is_some() => {
                text.push('"');
                self.at += 1;
            }
            _ => text.push('\\'),
        }
    }

    /// At a `$`. `stop` says whether it stands in double quotes.
    fn dollar(
        &mut self,
        stop: Stop,
        pieces: &mut Vec<Piece>,
        segments: &mut Vec<Segment>,
    ) -> Result<(), Refused> {
        let quoted = stop == Stop::Brace { quoted: true };
        let start = self.at;
        self.at += 1;
        let piece = match self.byte(0) {
            Some(b'\\') if self.byte(1) == Some(b'\n') => return self.refuse(RefusedKind::Ambiguous),
            Some(b'(') if self.byte(1) == Some(b'(') => self.arithmetic_expansion(start)?,
            Some(b'(') => {
                self.at += 1;
                self.no_operator_cut("(")?;
                Piece::Command { list: self.substitution()?, quoted }
            }
            Some(b'{') => {
                self.at += 1;
                self.deeper(|reader| reader.braced(quoted))?
            }
            Some(b'[') => self.bracket_arithmetic(start)?,
            Some(b'\'') if !quoted => return self.ansi_piece(start, pieces, segments),
            Some(b'"') if !quoted => {
                self.differs(Difference::TranslatedQuote, start);
                return self.double_quoted(pieces, segments);
            }
            _ => match self.bare_parameter() {
                Some(name) => {
                    // `$a\`, and `b` on the next line, is `$ab` for bash.
                    let behind = past_continued(self.rest());
                    if behind.len() < self.rest().len() && behind.starts_with(is_name) {
                        return self.refuse(RefusedKind::Ambiguous);
                    }
                    self.no_dollar_twice(&name, quoted)?;
                    parameter(name, quoted)
                }
                None => {
                    segments.push((start, self.at, "$".to_owned()));
                    push_text(pieces, "$".to_owned(), true);
                    return Ok(());
                }
            },
        };
        pieces.push(piece);
        Ok(())
    }

    fn ansi_piece(
        &mut self,
        start: usize,
        pieces: &mut Vec<Piece>,
        segments: &mut Vec<Segment>,
    ) -> Result<(), Refused> {
        self.at += 1;
        let decoded = self.ansi_quoted()?;
        self.differs(Difference::AnsiQuote, start);
        match decoded {
            Decoded::Text(value) => {
                segments.push((start, self.at, value.clone()));
                push_text(pieces, value, true);
            }
            Decoded::Unknown => {
                let raw = self.text.get(start..self.at).unwrap_or("").to_owned();
                segments.push((start, self.at, raw));
                pieces.push(parameter(String::new(), true));
            }
        }
        Ok(())
    }

    /// `$name`, `$1`, `$?`: the name behind the `$`.
    fn bare_parameter(&mut self) -> Option<String> {
        let start = self.at;
        let first = self.rest().chars().next()?;
        if is_name_start(first) {
            self.at += self.rest().find(|c| !is_name(c)).unwrap_or(self.rest().len());
            let name = self.text.get(start..self.at)?.to_owned();
            self.literal(LiteralKind::Name, start, self.at, &name);
            return Some(name);
        }
        let special = first.is_ascii_digit() || "@*#?-$!".contains(first);
        special.then(|| {
            self.at += 1;
            first.to_string()
        })
    }

    /// `$$(`, `$${`: where that ends, bash decides by a `$(` that it does not expand.
    fn no_dollar_twice(&self, name: &str, quoted: bool) -> Result<(), Refused> {
        let opens =
            matches!(self.byte(0), Some(b'(' | b'{' | b'[')) || !quoted && self.byte(0) == Some(b'\'');
        if name == "$" && opens { self.refuse(RefusedKind::Ambiguous) } else { Ok(()) }
    }

    /// Behind `${`.
    fn braced(&mut self, quoted: bool) -> Result<Piece, Refused> {
        let start = self.at;
        let length = self.byte(0) == Some(b'#') && self.byte(1) != Some(b'}');
        let indirect = self.byte(0) == Some(b'!') && self.byte(1).is_some_and(|b| is_name(char::from(b)));
        if length || indirect {
            self.at += 1;
        }
        let Some(mut name) = self.bare_parameter() else { return self.refuse(RefusedKind::Syntax) };
        if name.bytes().all(|b| b.is_ascii_digit()) {
            while let Some(b) = self.byte(0).filter(u8::is_ascii_digit) {
                name.push(char::from(b));
                self.at += 1;
            }
            self.literal(LiteralKind::Name, self.at - name.len(), self.at, &name.clone());
        }
        let mut found = Braced { name, quoted, evaluates: indirect, cuts: false, inner: Vec::new() };
        if self.byte(0) == Some(b'[') {
            self.subscript(start, &mut found)?;
        }
        let plain = !length && !indirect && self.byte(0) == Some(b'}') && found.inner.is_empty();
        // A length takes no operator: `${#-}` and its like are read in more than one way.
        if length && self.byte(0) != Some(b'}') {
            return self.refuse(RefusedKind::Ambiguous);
        }
        if indirect {
            self.differs(Difference::ParameterOperator, start);
        }
        self.operator_of(start, &mut found)?;
        let Braced { name, quoted, evaluates, cuts, inner } = found;
        if !self.take("}") {
            return self.syntax();
        }
        Ok(Piece::Parameter { name, plain, quoted, evaluates, cuts, inner })
    }

    fn subscript(&mut self, start: usize, found: &mut Braced) -> Result<(), Refused> {
        self.differs(Difference::ParameterOperator, start);
        self.at += 1;
        let word = self.word_until(Stop::Bracket)?;
        let simple = |text: String| matches!(&*text, "@" | "*") || is_number(&text);
        found.evaluates |= !word.bare().is_some_and(simple);
        found.inner.push(word);
        if self.take("]") { Ok(()) } else { self.syntax() }
    }

    /// The operator behind a parameter's name and its word.
    fn operator_of(&mut self, start: usize, found: &mut Braced) -> Result<(), Refused> {
        let portable = ["%%", "##", "%", "#", ":-", ":=", ":?", ":+", "-", "=", "?", "+"];
        if self.byte(0) == Some(b'}') {
            return Ok(());
        }
        if let Some(operator) = portable.into_iter().find(|op| self.take(op)) {
            if operator.ends_with('=') {
                let at = self.span(start);
                self.sets.push(Set { name: found.name.clone(), at, plain: false });
            }
            found.cuts = operator.starts_with(['%', '#']);
            found.inner.push(self.word_until(Stop::Brace { quoted: found.quoted })?);
            return Ok(());
        }
        self.differs(Difference::ParameterOperator, start);
        let Some(operator @ (':' | '/' | '^' | ',' | '@')) = self.char() else {
            return self.refuse(RefusedKind::Syntax);
        };
        let word = self.word_until(Stop::Brace { quoted: found.quoted })?;
        found.evaluates |= match operator {
            ':' => !word.bare().is_some_and(|text| text.split(':').all(is_number)),
            '@' => !word.bare().is_some_and(|text| matches!(&*text, "Q" | "U" | "u" | "L" | "k" | "a")),
            _ => false,
        };
        // Quotes make `\n` of the end of a line, right before what follows.
        found.cuts = operator != '@' || word.bare().as_deref() != Some("a");
        found.inner.push(word);
        Ok(())
    }

    /// Behind `$(`, up to and with the `)`.
    fn substitution(&mut self) -> Result<List, Refused> {
        self.deeper(|reader| {
            let outer = std::mem::take(&mut reader.pending);
            let groups = reader.groups.replace(0);
            let start = reader.at;
            let list = reader.list(&[])?;
            reader.groups = groups;
            let over_lines = reader.text.get(start..reader.at).is_some_and(|text| text.contains('\n'));
            // A body that would start inside, or behind, the substitution: versions of bash differ.
            if !reader.pending.is_empty() || !outer.is_empty() && over_lines {
                return reader.refuse(RefusedKind::Ambiguous);
            }
            reader.pending = outer;
            if reader.take(")") { Ok(list) } else { reader.syntax() }
        })
    }

    fn process_substitution(&mut self) -> Result<Piece, Refused> {
        let start = self.at;
        self.at += 2;
        let list = self.substitution()?;
        self.differs(Difference::ProcessSubstitution, start);
        Ok(Piece::Command { list, quoted: true })
    }

    /// At a backquote. What is between them is a text of its own, without the escapes of this one.
    fn backquotes(&mut self, in_double: bool) -> Result<Piece, Refused> {
        let start = self.at;
        self.at += 1;
        let inner = self.backquoted(in_double)?;
        self.literal(LiteralKind::Backquoted, start + 1, self.at - 1, &inner);
        let span = self.span(start);
        if !self.pending.is_empty() && inner.contains('\n') {
            return self.refuse(RefusedKind::Ambiguous);
        }
        let list = self.apart(&inner, span, |reader| reader.program())?;
        Ok(Piece::Command { list, quoted: in_double })
    }

    fn arithmetic_expansion(&mut self, start: usize) -> Result<Piece, Refused> {
        self.at = start + 3;
        let (inner, names) = self.arithmetic(b')')?;
        if !self.take("))") {
            return self.refuse(RefusedKind::Ambiguous);
        }
        Ok(Piece::Arithmetic { inner, names })
    }

    fn bracket_arithmetic(&mut self, start: usize) -> Result<Piece, Refused> {
        self.at = start + 2;
        let (inner, names) = self.arithmetic(b']')?;
        self.differs(Difference::BracketArithmetic, start);
        if !self.take("]") {
            return self.syntax();
        }
        Ok(Piece::Arithmetic { inner, names })
    }

    /// Arithmetic up to an unmatched `close`, or `;` for the head of a `for`. Quotes in it are read in more than one way.
    pub(super) fn arithmetic(&mut self, close: u8) -> Result<(Vec<Piece>, bool), Refused> {
        self.deeper(|reader| {
            let (mut inner, mut names, mut open) = (Vec::new(), false, 0usize);
            let mut segments: Vec<Segment> = Vec::new();
            let mut from = reader.at;
            loop {
                let Some(byte) = reader.byte(0) else { return reader.refuse(RefusedKind::Unterminated) };
                let ends = byte == close && open == 0;
                if ends || matches!(byte, b'$' | b'`') {
                    let text = reader.text.get(from..reader.at).unwrap_or("").to_owned();
                    names |= text.contains(is_name_start);
                    reader.literal(LiteralKind::Arithmetic, from, reader.at, &text);
                    if ends {
                        reader.segments(segments);
                        return Ok((inner, names));
                    }
                    names = true;
                    reader.node()?;
                    if byte == b'`' {
                        inner.push(reader.backquotes(true)?);
                    } else {
                        reader.dollar(Stop::Brace { quoted: true }, &mut inner, &mut segments)?;
                    }
                    from = reader.at;
                    continue;
                }
                match byte {
                    b'(' | b'[' => open += 1,
                    b')' | b']' if open == 0 => return reader.refuse(RefusedKind::Ambiguous),
                    b')' | b']' => open -= 1,
                    b'\'' | b'"' | b'\\' | b'#' | b'{' | b'}' => {
                        return reader.refuse(RefusedKind::Ambiguous);
                    }
                    _ => {}
                }
                let _ = reader.char();
            }
        })
    }
}

struct Braced {
    name: String,
    quoted: bool,
    evaluates: bool,
    cuts: bool,
    inner: Vec<Word>,
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn parameter(name: String, quoted: bool) -> Piece {
    Piece::Parameter { name, plain: true, quoted, evaluates: false, cuts: false, inner: Vec::new() }
}

fn push_text(pieces: &mut Vec<Piece>, value: String, quoted: bool) {
    if let Some(Piece::Text { value: before, quoted: same }) = pieces.last_mut()
        && *same == quoted
    {
        before.push_str(&value);
        return;
    }
    pieces.push(Piece::Text { value, quoted });
}
