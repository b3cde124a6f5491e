//! Recordings for players of asciinema's: asciicast, versions 3 and 2.
//!
//! <https://docs.asciinema.org/manual/asciicast/v3/> and `v2`: a header, then one event in each line. What is written: `o` what a
//! person saw, `i` what the program was sent, `r` a new size, `m` where a command begins and ends, and in version 3, of a single
//! command, `x` its exit status. Text is masked, as the record is.
//!
//! The one place where bytes are lost: what is no UTF-8 is U+FFFD. The reel has the bytes.

use serde_json::json;

use super::cast::{Cast, Event, What};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    V2,
    V3,
}

/// The recording: JSON in lines.
pub fn asciicast(cast: &Cast, edition: Edition) -> String {
    let mut out = header(cast, edition).to_string();
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

fn header(cast: &Cast, edition: Edition) -> serde_json::Value {
    let (columns, rows) = (cast.size.columns(), cast.size.rows());
    let title = format!("{}: {}@{}", cast.run, cast.user, cast.resource);
    let timestamp = cast.began.0 / 1_000_000_000;
    let mut header = match edition {
        Edition::V2 => {
            json!({ "version": 2, "width": columns, "height": rows, "timestamp": timestamp, "title": title })
        }
        Edition::V3 => json!({
            "version": 3, "term": { "cols": columns, "rows": rows }, "timestamp": timestamp, "title": title,
        }),
    };
    match (&cast.term, edition) {
        (Some(term), Edition::V3) => header["term"]["type"] = term.as_str().into(),
        (Some(term), Edition::V2) => header["env"] = json!({ "TERM": term }),
        (None, _) => {}
    }
    if let (1, Some(command)) = (cast.actions, cast.events.iter().find_map(begins)) {
        header["command"] = command.into();
    }
    header
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
