//! What a client is told of a text that is no SQL: PostgreSQL's own words and the place, as its server would say them.
//!
//! The grammar's library gives the words (`syntax error at or near "FORM"`) and not the place. The words end with the
//! text that stands there; of several such places it is the first at which the text, cut off behind it, gives the same
//! error: an LALR parser stops at the first token that nothing can continue.

use std::ops::Range;

use pg_query::Error;
use pg_query::protobuf::ScanToken;

use crate::statement::{at, tree};

/// A text that is not SQL, or is beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// SQLSTATE.
    pub code: &'static str,
    /// A constant sentence, for the record.
    pub sentence: &'static str,
    /// What PostgreSQL says of it. It may quote the text, so it is for the client alone.
    pub said: Option<String>,
    /// The byte at which the parser stopped, if that is known.
    pub at: Option<usize>,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.sentence)
    }
}

impl std::error::Error for ParseError {}

impl ParseError {
    pub const fn new(code: &'static str, sentence: &'static str) -> ParseError {
        ParseError { code, sentence, said: None, at: None }
    }

    /// The scanner stopped: in the middle of a literal, mostly.
    pub(crate) fn of_scan(text: &str, why: &Error) -> ParseError {
        let error = ParseError::new("42601", "The statement cannot be read as SQL.");
        let Error::Scan(said) = why else { return error };
        let at = near(said).and_then(|near| match text.ends_with(near) {
            true => Some(text.len() - near.len()),
            false => only(text, near),
        });
        ParseError { said: Some(said.clone()), at, ..error }
    }

    /// The grammar has no such statement. `depth` bounds the tree of the text's tokens.
    pub(crate) fn of_parse(text: &str, why: &Error, tokens: &[ScanToken], depth: usize) -> ParseError {
        let error = ParseError::new("42601", "The statement is not valid SQL.");
        let Error::Parse(said) = why else { return error };
        let at = match near(said) {
            Some(near) => first_that_says(text, said, near, tokens, depth),
            None => said.ends_with(" at end of input").then_some(text.len()),
        };
        ParseError { said: Some(said.clone()), at, ..error }
    }
}

/// What stands where the parser stopped, as its message quotes it.
fn near(said: &str) -> Option<&str> {
    let (_, near) = said.split_once(" at or near \"")?;
    near.strip_suffix('"').filter(|near| !near.is_empty())
}

/// Where `near` stands, if it stands at one place alone.
fn only(text: &str, near: &str) -> Option<usize> {
    let at = text.find(near)?;
    (text.rfind(near) == Some(at)).then_some(at)
}

/// The first token `near` such that the text up to its end already gives this error. What gives it once gives it with
/// more text behind, so halving finds it.
fn first_that_says(text: &str, said: &str, near: &str, tokens: &[ScanToken], depth: usize) -> Option<usize> {
    let ranges = tokens.iter().map(|token| at(token.start)..at(token.end));
    let places: Vec<Range<usize>> = ranges.filter(|range| text.get(range.clone()) == Some(near)).collect();
    let says = |end: usize| {
        let cut = text.get(..end).unwrap_or_default();
        matches!(tree(cut, depth), Err(Error::Parse(again)) if again == said)
    };
    let first = match places.len() {
        1 => 0,
        _ => places.partition_point(|place| !says(place.end)),
    };
    places.get(first).map(|place| place.start)
}

#[cfg(test)]
mod tests {
    use crate::parse;

    /// As PostgreSQL 15 says it: message, and position in characters from 1.
    fn check(text: &str, said: &str, position: Option<usize>) {
        let error = parse(text).unwrap_err();
        let at = error.at.map(|at| text[..at].chars().count() + 1);
        assert_eq!((error.code, error.said.as_deref(), at), ("42601", Some(said), position), "{text}");
    }

    #[test]
    fn a_text_that_is_no_sql_is_told_so_in_postgres_words() {
        check("SELECT 1 FORM x y", "syntax error at or near \"x\"", Some(15));
        check("select * frm t", "syntax error at or near \"frm\"", Some(10));
        check("select a, a, a a a from t", "syntax error at or near \"a\"", Some(18));
        check("select 1; selec 1; select 1", "syntax error at or near \"selec\"", Some(11));
        check("select * from", "syntax error at end of input", Some(14));
        check("select * from ", "syntax error at end of input", Some(15));
        check("select 'é' 'x' from t where from t", "syntax error at or near \"'x'\"", Some(12));
        check("select 'é' from t where from t", "syntax error at or near \"from\"", Some(25));
        check("select 'abc", "unterminated quoted string at or near \"'abc\"", Some(8));
        check("select \"abc", "unterminated quoted identifier at or near \"\"abc\"", Some(8));
        check("select /* abc", "unterminated /* comment at or near \"/* abc\"", Some(8));
        check("select 1 limit 1, 2", "LIMIT #,# syntax is not supported", None);
    }

    #[test]
    fn a_text_without_a_token_is_no_statement() {
        for text in ["", " ", "\t\r\n\x0c", ";", " ; ;", "--", "/* x */"] {
            assert_eq!(parse(text).map(|statements| statements.len()), Ok(0), "{text:?}");
        }
        assert_eq!(crate::literals_of(" "), Some(Vec::new()));
    }
}
