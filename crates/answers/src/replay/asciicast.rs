//! Recordings for players of asciinema's: asciicast, versions 3 and 2.
//!
//! <https://docs.asciinema.org/manual/asciicast/v3/> and `v2`: a header, then one event in each line. What is written: `o` what a
//! person saw, `i` what the program was sent, `r` a new size, `m` where a command begins and ends, and in version 3, of a single
//! command, `x` its exit status. Text is masked, as the record is.
//!
//! The one place where bytes are lost: what is no UTF-8 is U+FFFD. The reel has the bytes.

use serde::Serialize;

use super::cast::{Cast, Event, What};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    V2,
    V3,
}

/// The recording: JSON in lines.
pub fn asciicast(cast: &Cast, edition: Edition) -> String {
    // Numbers and text under names that are constants are always JSON.
    let mut out = serde_json::to_string(&header(cast, edition)).expect("a header is JSON");
    out.push('\n');
    let mut before = 0;
    for event in &cast.events {
        let Some((code, data)) = said(cast, event, edition) else { continue };
        let at = event.at / 1_000;
        // Of whole microseconds, so that the sum of intervals is the time.
        let time = if edition == Edition::V3 { at - before } else { at };
        before = at;
        let data = serde_json::Value::from(data);
        out.push_str(&format!("[{}.{:06}, \"{code}\", {data}]\n", time / 1_000_000, time % 1_000_000));
    }
    if cast.cut {
        let time = if edition == Edition::V3 { 0 } else { before };
        out.push_str(&format!(
            "[{}.{:06}, \"m\", \"cut: the reel has more\"]\n",
            time / 1_000_000,
            time % 1_000_000
        ));
    }
    out
}

/// The first line. Its members stand in this order, whichever way `serde_json` keeps a map's.
#[derive(Serialize)]
struct Header<'a> {
    version: u8,
    /// Of version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u16>,
    /// Of version 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    term: Option<Term<'a>>,
    timestamp: u64,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Env<'a>>,
}

#[derive(Serialize)]
struct Term<'a> {
    cols: u16,
    rows: u16,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
}

#[derive(Serialize)]
struct Env<'a> {
    #[serde(rename = "TERM")]
    term: &'a str,
}

fn header(cast: &Cast, edition: Edition) -> Header<'_> {
    let (columns, rows, kind) = (cast.size.columns(), cast.size.rows(), cast.term.as_deref());
    let begins = || cast.events.iter().find_map(begins);
    let common = Header {
        version: 2,
        width: None,
        height: None,
        term: None,
        timestamp: cast.began.0 / 1_000_000_000,
        title: format!("{}: {}@{}", cast.run, cast.user, cast.resource),
        command: (cast.actions == 1).then(begins).flatten(),
        env: None,
    };
    match edition {
        Edition::V2 => {
            Header { width: Some(columns), height: Some(rows), env: kind.map(|term| Env { term }), ..common }
        }
        Edition::V3 => Header { version: 3, term: Some(Term { cols: columns, rows, kind }), ..common },
    }
}

fn begins(event: &Event) -> Option<&str> {
    match &event.what {
        What::Begins(statement) => Some(statement),
        What::Output(_) | What::Input(_) | What::Size(_) | What::Ends(_) => None,
    }
}

fn said(cast: &Cast, event: &Event, edition: Edition) -> Option<(char, String)> {
    Some(match &event.what {
        What::Begins(statement) => ('m', statement.clone()),
        What::Output(text) => ('o', text.clone()),
        What::Input(text) => ('i', text.clone()),
        What::Size(size) => ('r', format!("{}x{}", size.columns(), size.rows())),
        What::Ends(how) => match how.strip_prefix("exit ").filter(|status| status.parse::<u32>().is_ok()) {
            Some(status) if cast.actions == 1 && edition == Edition::V3 => ('x', status.to_owned()),
            Some(_) | None => ('m', how.clone()),
        },
    })
}
