//! Lists, pipelines, commands and redirections: XCU 2.9, 2.7.

use super::{Pending, Reader, Set, is_variable, past_continued};
use crate::line::{Difference, LiteralKind, Refused, RefusedKind, Span};
use crate::names::may_hold_pattern;
use crate::syntax::{
    Assign, Body, Group, GroupKind, Item, Joint, List, Node, Part, Pipeline, Redirect, Simple, Word,
};

/// Words that end a list, or may not start a command.
const CLOSING: [&str; 9] = ["then", "else", "elif", "fi", "do", "done", "esac", "}", "in"];

/// Longest first, as the shell takes them.
const REDIRECTIONS: [&str; 12] = ["<<<", "<<-", "&>>", "<<", "<&", "<>", ">>", ">&", ">|", "&>", "<", ">"];

impl Reader<'_> {
    /// The whole text.
    pub(super) fn program(&mut self) -> Result<List, Refused> {
        let list = self.list(&[])?;
        if self.at < self.text.len() {
            return self.syntax();
        }
        // The text ends before a body: shells take the body as empty.
        self.here_bodies()?;
        Ok(list)
    }

    /// Commands up to one of the reserved words of `until`, a `)`, a `;;`, or the end. It may be empty.
    pub(super) fn list(&mut self, until: &[&str]) -> Result<List, Refused> {
        let mut list = List::default();
        loop {
            self.lines()?;
            if self.at_end(until) {
                return Ok(list);
            }
            let mut item = self.item()?;
            self.blank();
            match self.byte(0) {
                Some(b';') if self.byte(1) != Some(b';') && self.byte(1) != Some(b'&') => self.at += 1,
                Some(b'&') => {
                    self.at += 1;
                    item.background = true;
                    self.no_operator_behind(&["&", "|", ";"])?;
                }
                Some(b'\n') => {}
                _ if self.at_end(until) => {
                    list.items.push(item);
                    return Ok(list);
                }
                _ => return self.syntax(),
            }
            list.items.push(item);
        }
    }

    /// A list that may not be empty.
    fn some_list(&mut self, until: &[&str]) -> Result<List, Refused> {
        let list = self.list(until)?;
        if list.items.is_empty() { self.syntax() } else { Ok(list) }
    }

    fn at_end(&self, until: &[&str]) -> bool {
        match self.byte(0) {
            None | Some(b')') => true,
            Some(b';') => matches!(self.byte(1), Some(b';' | b'&')),
            _ => self.reserved().is_some_and(|word| until.contains(&&*word)),
        }
    }

    /// Two operators side by side, or one that a continued line cuts: no reading of it is taken.
    fn no_operator_behind(&mut self, which: &[&str]) -> Result<(), Refused> {
        let start = self.at;
        while self.take("\\\n") {}
        let cut = self.at > start && (self.sees("-") || self.sees(">"));
        if which.iter().any(|op| self.sees(op)) || cut {
            return self.refuse(RefusedKind::Ambiguous);
        }
        self.at = start;
        Ok(())
    }

    /// One that a continued line cuts before its last part: bash puts it together, not all others do.
    pub(super) fn no_operator_cut(&self, last: &str) -> Result<(), Refused> {
        let behind = past_continued(self.rest());
        if behind.len() < self.rest().len() && behind.starts_with(last) {
            return self.refuse(RefusedKind::Ambiguous);
        }
        Ok(())
    }

    /// The word that starts here, if it may be a reserved one: unquoted, and continued lines put together.
    fn reserved(&self) -> Option<String> {
        let rest = self.rest();
        let mut word = String::new();
        let mut bytes = rest.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\\' if rest.as_bytes().get(at + 1) == Some(&b'\n') => {
                    bytes.next();
                }
                b if super::ends_word(b) => break,
                b'a'..=b'z' | b'{' | b'}' | b'[' | b']' | b'!' => word.push(char::from(byte)),
                _ => return None,
            }
            if word.len() > 8 {
                return None;
            }
        }
        Some(word).filter(|word| !word.is_empty())
    }

    fn take_reserved(&mut self, word: &str) -> bool {
        if self.reserved().as_deref() != Some(word) {
            return false;
        }
        let mut left = word.len();
        while left > 0 {
            if !self.take("\\\n") {
                self.at += 1;
                left -= 1;
            }
        }
        true
    }

    fn expect(&mut self, word: &str) -> Result<(), Refused> {
        self.lines()?;
        if self.take_reserved(word) { Ok(()) } else { self.syntax() }
    }

    fn item(&mut self) -> Result<Item, Refused> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.blank();
            let joint = if self.take("&&") {
                Joint::And
            } else if self.take("||") {
                Joint::Or
            } else {
                return Ok(Item { first, rest, background: false });
            };
            self.no_operator_behind(&["&", "|", ";"])?;
            self.lines()?;
            rest.push((joint, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, Refused> {
        self.blank();
        let start = self.at;
        let (mut prefixed, mut negated) = (false, false);
        loop {
            if self.reserved().as_deref() == Some("!") {
                if prefixed {
                    return self.refuse(RefusedKind::Ambiguous);
                }
                self.take_reserved("!");
                prefixed = true;
                negated = true;
            } else if self.reserved().as_deref() == Some("time") {
                self.take_reserved("time");
                self.differs(Difference::ReservedWord, start);
                self.blank();
                if self.sees("-p ") {
                    self.at += 3;
                } else if self.sees("-") {
                    return self.refuse(RefusedKind::Ambiguous);
                }
                prefixed = true;
            } else {
                break;
            }
            self.blank();
        }
        if prefixed && matches!(self.byte(0), None | Some(b';' | b'\n' | b'&' | b'|' | b')')) {
            return self.syntax();
        }
        let mut nodes = vec![self.command()?];
        loop {
            self.blank();
            if self.sees("||") || !self.sees("|") {
                return Ok(Pipeline { negated, nodes });
            }
            let start = self.at;
            self.at += 1;
            if self.take("&") {
                self.differs(Difference::PipeAmpersand, start);
            }
            self.no_operator_behind(&["&", "|", ";"])?;
            self.lines()?;
            nodes.push(self.command()?);
        }
    }

    fn command(&mut self) -> Result<Node, Refused> {
        self.node()?;
        self.blank();
        let start = self.at;
        if self.byte(0) == Some(b'(') {
            return self.grouped(|reader| reader.parenthesis(start));
        }
        let Some(word) = self.reserved() else { return self.simple() };
        if CLOSING.contains(&&*word) {
            return self.syntax();
        }
        let compound = ["{", "[[", "if", "while", "until", "for", "select", "case", "function"];
        match &*word {
            "coproc" => return self.refuse(RefusedKind::Unsupported),
            // Behind a `|` only: bash takes them there, dash does not.
            "!" | "time" => return self.refuse(RefusedKind::Ambiguous),
            _ => {}
        }
        if !compound.contains(&&*word) {
            return self.simple();
        }
        self.take_reserved(&word);
        self.grouped(|reader| reader.compound(&word, start))
    }

    fn grouped(&mut self, inner: impl FnOnce(&mut Self) -> Result<Node, Refused>) -> Result<Node, Refused> {
        let groups = self.groups;
        self.groups = groups.map(|n| n + 1);
        let found = self.deeper(inner);
        self.groups = groups;
        found
    }

    fn compound(&mut self, word: &str, start: usize) -> Result<Node, Refused> {
        let (kind, parts) = match word {
            "{" => (GroupKind::Brace, vec![Part::List(self.body("}")?)]),
            "[[" => (GroupKind::Test, self.test(start)?),
            "if" => (GroupKind::Conditional, self.if_clause()?),
            "while" | "until" => {
                let condition = self.some_list(&["do"])?;
                self.expect("do")?;
                (GroupKind::Conditional, vec![Part::List(condition), Part::List(self.body("done")?)])
            }
            "for" | "select" => {
                if word == "select" {
                    self.differs(Difference::ReservedWord, start);
                }
                (GroupKind::Conditional, self.for_clause(start)?)
            }
            "case" => (GroupKind::Conditional, self.case_clause()?),
            _ => return self.function_keyword(start),
        };
        self.group(kind, parts, start)
    }

    fn group(&mut self, kind: GroupKind, parts: Vec<Part>, start: usize) -> Result<Node, Refused> {
        let mut redirects = Vec::new();
        loop {
            self.blank();
            match self.redirection(None, self.at)? {
                Some(redirect) => redirects.push(redirect),
                None if self.byte(0).is_some_and(|b| b.is_ascii_digit()) => {
                    let from = self.at;
                    let word = self.word()?;
                    let found = self.numbered(&word, from)?;
                    match found {
                        Some(redirect) => redirects.push(redirect),
                        None => return self.syntax(),
                    }
                }
                None => break,
            }
        }
        Ok(Node::Group(Group { kind, parts, redirects, span: self.span(start) }))
    }

    /// A list up to the word that closes it.
    fn body(&mut self, close: &str) -> Result<List, Refused> {
        let list = self.some_list(&[close])?;
        self.expect(close)?;
        Ok(list)
    }

    fn parenthesis(&mut self, start: usize) -> Result<Node, Refused> {
        self.at += 1;
        self.no_operator_cut("(")?;
        if self.byte(0) == Some(b'(') {
            self.at += 1;
            let parts = self.arithmetic_part()?;
            self.differs(Difference::ArithmeticCommand, start);
            return self.group(GroupKind::Arithmetic, parts, start);
        }
        let list = self.some_list(&[])?;
        if !self.take(")") {
            return self.syntax();
        }
        self.group(GroupKind::Subshell, vec![Part::List(list)], start)
    }

    fn arithmetic_part(&mut self) -> Result<Vec<Part>, Refused> {
        let start = self.at;
        let (inner, names) = self.arithmetic(b')')?;
        let span = self.span(start);
        if !self.take("))") {
            return self.refuse(RefusedKind::Ambiguous);
        }
        let piece = crate::syntax::Piece::Arithmetic { inner, names };
        Ok(vec![Part::Word(Word { pieces: vec![piece], span })])
    }

    fn if_clause(&mut self) -> Result<Vec<Part>, Refused> {
        let mut parts = vec![Part::List(self.some_list(&["then"])?)];
        self.expect("then")?;
        loop {
            parts.push(Part::List(self.some_list(&["elif", "else", "fi"])?));
            if self.take_reserved("elif") {
                parts.push(Part::List(self.some_list(&["then"])?));
                self.expect("then")?;
            } else if self.take_reserved("else") {
                parts.push(Part::List(self.body("fi")?));
                return Ok(parts);
            } else {
                self.expect("fi")?;
                return Ok(parts);
            }
        }
    }

    fn for_clause(&mut self, start: usize) -> Result<Vec<Part>, Refused> {
        self.blank();
        let mut parts = Vec::new();
        if self.take("((") {
            parts = self.arithmetic_part()?;
            self.differs(Difference::ArithmeticCommand, start);
        } else {
            let name = self.variable()?;
            let at = self.span(start);
            self.lines()?;
            let mut plain = self.take_reserved("in");
            if plain {
                for word in self.elements()? {
                    plain &= !may_hold_pattern(&word);
                    parts.push(Part::Element(word));
                }
            }
            self.sets.push(Set { name, at, plain });
        }
        self.blank();
        if self.byte(0) == Some(b';') {
            self.at += 1;
        }
        self.expect("do")?;
        parts.push(Part::List(self.body("done")?));
        Ok(parts)
    }

    /// Words up to the end of the line.
    fn elements(&mut self) -> Result<Vec<Word>, Refused> {
        let mut words = Vec::new();
        loop {
            self.blank();
            if matches!(self.byte(0), None | Some(b';' | b'\n')) {
                return Ok(words);
            }
            words.push(self.word()?);
        }
    }

    fn variable(&mut self) -> Result<String, Refused> {
        let word = self.word()?;
        match word.bare().filter(|name| is_variable(name)) {
            Some(name) => Ok(name),
            None => self.refuse(RefusedKind::Syntax),
        }
    }

    fn case_clause(&mut self) -> Result<Vec<Part>, Refused> {
        self.blank();
        let mut parts = vec![Part::Word(self.word()?)];
        self.expect("in")?;
        loop {
            self.lines()?;
            if self.take_reserved("esac") {
                return Ok(parts);
            }
            if self.take("(") {
                self.blank();
            }
            loop {
                self.blank();
                parts.push(Part::Word(self.word()?));
                self.blank();
                if self.take(")") {
                    break;
                }
                if !self.take("|") {
                    return self.syntax();
                }
            }
            parts.push(Part::List(self.list(&["esac"])?));
            if self.sees(";;&") || self.sees(";&") {
                self.differs(Difference::CaseFallThrough, self.at);
            }
            if !(self.take(";;&") || self.take(";;") || self.take(";&")) {
                self.expect("esac")?;
                return Ok(parts);
            }
        }
    }

    /// `[[ ... ]]`: only its words matter here; operators between them run nothing.
    fn test(&mut self, start: usize) -> Result<Vec<Part>, Refused> {
        self.differs(Difference::DoubleBracket, start);
        let mut parts = Vec::new();
        loop {
            if self.spaces()? && self.byte(0) == Some(b'#') {
                return self.refuse(RefusedKind::Ambiguous);
            }
            if self.reserved().as_deref() == Some("]]") {
                self.take_reserved("]]");
                return if parts.is_empty() { self.syntax() } else { Ok(parts) };
            }
            let process = (self.sees("<(")) || self.sees(">(");
            match self.byte(0) {
                None | Some(b';') => return self.syntax(),
                Some(b'(' | b')' | b'<' | b'>' | b'&' | b'|') if !process => self.at += 1,
                _ => parts.push(Part::Word(self.word()?)),
            }
        }
    }

    fn spaces(&mut self) -> Result<bool, Refused> {
        let start = self.at;
        loop {
            match self.byte(0) {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\\') if self.byte(1) == Some(b'\n') => self.at += 2,
                Some(b'\n') => self.newline()?,
                _ => return Ok(self.at > start),
            }
        }
    }

    /// Behind `function`.
    fn function_keyword(&mut self, start: usize) -> Result<Node, Refused> {
        self.differs(Difference::ReservedWord, start);
        self.blank();
        let word = self.word()?;
        let Some(name) = word.bare() else { return self.refuse(RefusedKind::Syntax) };
        self.blank();
        if self.take("(") {
            self.blank();
            if !self.take(")") {
                return self.syntax();
            }
        }
        self.function(name, start)
    }

    fn function(&mut self, name: String, start: usize) -> Result<Node, Refused> {
        self.lines()?;
        let compound = self.byte(0) == Some(b'(')
            || self.reserved().is_some_and(|word| {
                matches!(&*word, "{" | "[[" | "if" | "while" | "until" | "for" | "select" | "case")
            });
        if !compound {
            return self.syntax();
        }
        self.functions.push(name);
        let body = Box::new(self.deeper(Reader::command)?);
        Ok(Node::Function { body, span: self.span(start) })
    }

    fn simple(&mut self) -> Result<Node, Refused> {
        let start = self.at;
        let mut simple = Simple::default();
        loop {
            self.blank();
            let from = self.at;
            if let Some(redirect) = self.redirection(None, from)? {
                simple.redirects.push(redirect);
                continue;
            }
            match self.byte(0) {
                None | Some(b'\n' | b';' | b'&' | b'|' | b')') => break,
                Some(b'(') => return self.parenthesis_behind(simple, start),
                _ => {}
            }
            if simple.words.is_empty()
                && let Some(assign) = self.assignment()?
            {
                simple.assignments.push(assign);
                continue;
            }
            let word = self.word()?;
            match self.numbered(&word, from)? {
                Some(redirect) => simple.redirects.push(redirect),
                None => simple.words.push(word),
            }
        }
        simple.span = self.span(start);
        if simple.words.is_empty() && simple.assignments.is_empty() && simple.redirects.is_empty() {
            return self.syntax();
        }
        Ok(Node::Simple(simple))
    }

    /// A `(` behind words: `name ()` defines a function; nothing else is a command.
    fn parenthesis_behind(&mut self, simple: Simple, start: usize) -> Result<Node, Refused> {
        let name = match &*simple.words {
            [word] if simple.assignments.is_empty() && simple.redirects.is_empty() => word.bare(),
            _ => None,
        };
        let Some(name) = name else { return self.syntax() };
        self.at += 1;
        self.blank();
        if !self.take(")") {
            return self.syntax();
        }
        self.function(name, start)
    }

    /// `name=value`, `name+=value`, `name=(...)`; not `name[1]=value`.
    fn assignment(&mut self) -> Result<Option<Assign>, Refused> {
        let start = self.at;
        let rest = self.rest();
        let length = rest.find(|c| !super::is_name(c)).unwrap_or(rest.len());
        let Some(name) = rest.get(..length).filter(|name| is_variable(name)).map(str::to_owned) else {
            return Ok(None);
        };
        let behind = rest.get(length..).unwrap_or("");
        // The subscript is arithmetic, and may hold commands; what is text up to its end only bash says, which takes blanks, `;`
        // and `#` for it.
        if behind.starts_with('[') {
            return self.refuse(RefusedKind::Unsupported);
        }
        // `a\`, and `=x` on the next line, is an assignment, too.
        if behind.starts_with("\\\n") || behind.starts_with("+\\\n") {
            let mut rest = behind;
            while let Some(next) =
                rest.strip_prefix("\\\n").or_else(|| rest.strip_prefix(|c| super::is_name(c) || c == '+'))
            {
                rest = next;
            }
            if rest.starts_with(['=', '[']) {
                return self.refuse(RefusedKind::Ambiguous);
            }
        }
        let operator = if behind.starts_with('=') {
            1
        } else if behind.starts_with("+=") {
            2
        } else {
            return Ok(None);
        };
        self.literal(LiteralKind::Name, start, start + length, &name);
        self.at += length + operator;
        if operator == 2 {
            self.differs(Difference::ArrayAssignment, start);
        }
        let array = self.rest().starts_with('(');
        let appends = operator == 2 && !array;
        let values = self.assigned(start)?;
        Ok(Some(Assign { name, values, appends, array, span: self.span(start) }))
    }

    fn assigned(&mut self, start: usize) -> Result<Vec<Word>, Refused> {
        if self.take("(") {
            self.differs(Difference::ArrayAssignment, start);
            let mut words = Vec::new();
            loop {
                self.lines()?;
                if self.take(")") {
                    // The word goes on there: what is glued to it hides what stands behind, or is hidden itself.
                    let ends =
                        self.byte(0).is_none_or(super::ends_word) && !self.sees("<(") && !self.sees(">(");
                    return if ends { Ok(words) } else { self.refuse(RefusedKind::Ambiguous) };
                }
                // `[x]=1`: a subscript, as in `a[x]=1`.
                if self.byte(0) == Some(b'[') {
                    return self.refuse(RefusedKind::Unsupported);
                }
                words.push(self.word()?);
            }
        }
        let process = self.sees("<(") || self.sees(">(");
        match self.byte(0) {
            Some(b'\\') if self.byte(1) == Some(b'\n') => self.refuse(RefusedKind::Ambiguous),
            Some(b) if !super::ends_word(b) || process => Ok(vec![self.word()?]),
            _ => Ok(vec![Word { pieces: Vec::new(), span: self.span(self.at) }]),
        }
    }

    /// A redirection that has `word` as its descriptor, if one stands directly behind it.
    fn numbered(&mut self, word: &Word, start: usize) -> Result<Option<Redirect>, Refused> {
        if !matches!(self.byte(0), Some(b'<' | b'>')) {
            return Ok(None);
        }
        // `{a[x]}>`: bash takes it for a descriptor's name, and evaluates the subscript.
        let raw = self.text.get(start..self.at).unwrap_or("");
        let braced = raw.starts_with('{') && raw.ends_with('}');
        let Some(text) = word.bare() else {
            return if braced { self.refuse(RefusedKind::Ambiguous) } else { Ok(None) };
        };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let named = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).is_some_and(is_variable);
        if named {
            self.differs(Difference::DescriptorName, start);
            // It is given a number.
            let name = text.trim_matches(['{', '}']).to_owned();
            let at = self.span(start);
            self.sets.push(Set { name, at, plain: true });
        } else if braced {
            return self.refuse(RefusedKind::Ambiguous);
        } else if digits && text.len() > 1 {
            self.differs(Difference::DescriptorNumber, start);
        } else if !digits {
            return Ok(None);
        }
        self.redirection(Some(text), start)
    }

    fn redirection(&mut self, descriptor: Option<String>, start: usize) -> Result<Option<Redirect>, Refused> {
        if descriptor.is_none() && (self.sees("<(") || self.sees(">(")) {
            return Ok(None);
        }
        let Some(operator) = REDIRECTIONS.into_iter().find(|op| self.sees(op)) else { return Ok(None) };
        self.at += operator.len();
        self.no_operator_behind(&["<", ">", "&", "|"])?;
        self.node()?;
        self.note_operator(operator, start);
        self.blank();
        let target = self.word()?;
        let duplicates = target.bare().is_some_and(|t| {
            let number = t.strip_suffix('-').unwrap_or(&t);
            number.bytes().all(|b| b.is_ascii_digit())
        });
        if duplicates && target.bare().is_some_and(|t| t.trim_end_matches('-').len() > 1) {
            self.differs(Difference::DescriptorNumber, start);
        }
        if operator == ">&" && !duplicates {
            self.differs(Difference::BothRedirection, start);
        }
        let body = if operator.starts_with("<<") && operator != "<<<" {
            Some(self.here_document(&target, operator == "<<-")?)
        } else {
            None
        };
        Ok(Some(Redirect { descriptor, operator, target, body, span: self.span(start) }))
    }

    fn note_operator(&mut self, operator: &str, start: usize) {
        match operator {
            "&>" | "&>>" => self.differs(Difference::AmpersandRedirection, start),
            "<<<" => self.differs(Difference::HereString, start),
            _ => {}
        }
    }

    /// Asks for a body at the next newline; the delimiter is the word without its quotes, and nothing in it is expanded.
    fn here_document(&mut self, target: &Word, tabs: bool) -> Result<usize, Refused> {
        let Some(delimiter) = target.literal() else { return self.refuse(RefusedKind::Ambiguous) };
        // bash 5.2 prints what is in `$( )` and reads it again, and forgets what ends a group that has a body.
        let printed = self.groups.is_some_and(|groups| groups > 0);
        if printed || delimiter.contains(['\n', '$', '`']) {
            return self.refuse(RefusedKind::Ambiguous);
        }
        let body = self.bodies.len();
        self.bodies.push(Body { pieces: Vec::new(), span: Span { start: 0, end: 0 } });
        let quoted = target.bare().is_none();
        self.pending.push(Pending { body, delimiter, quoted, tabs });
        Ok(body)
    }
}
