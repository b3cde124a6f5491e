//! The screen at a moment, as text: `tacho replay RUN --text`.

use serde::{Deserialize, Serialize};
use vocab::Seq;

use super::cast::What;
use super::play::Player;
use crate::desk::{Cannot, Desk, ProofLine};
use crate::shape::Answer;
use crate::text::Text;

/// What a person saw on the terminal at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub run: String,
    pub resource: String,
    pub user: String,
    /// Milliseconds since the first event, of how many in all.
    pub at_ms: u64,
    pub of_ms: u64,
    /// The last record that it shows something of.
    pub record: Option<u64>,
    pub columns: u64,
    pub rows: u64,
    /// The client said a size that is larger than is modelled.
    pub clamped: bool,
    /// The screen, from the top, without empty lines at its end.
    pub lines: Vec<String>,
    /// Column and row of the cursor, from 0; null: hidden.
    pub cursor: Option<(u64, u64)>,
    /// Why it may not be all of it, if so.
    pub limits: Vec<String>,
    pub proof: ProofLine,
}

impl Desk<'_> {
    /// The screen of what record `at` belongs to (as [`Desk::cast`] has it): `time` nanoseconds after its first event, or after
    /// that record, if it is of a piece of output or the end; otherwise at the end.
    pub fn seen(&self, run: &str, at: Option<Seq>, time: Option<u64>) -> Result<Seen, Cannot> {
        let cast = self.cast(run, at)?;
        let of = cast.length();
        let begins = cast.events.iter().any(|e| Some(e.seq) == at && matches!(e.what, What::Begins(_)));
        let is_event = cast.events.iter().any(|e| Some(e.seq) == at);
        let cast = match at {
            Some(at) if is_event && !begins && time.is_none() => cast.until(at),
            Some(_) | None => cast,
        };
        let mut player = Player::new(&cast, 0, 0);
        player.seek(time.unwrap_or(u64::MAX));
        let screen = player.screen();
        let (columns, rows) = screen.size();
        let mut lines = screen.text();
        lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
        let mut limits = Vec::new();
        if cast.cut {
            limits.push("the reel has more than is read here".to_owned());
        }
        if screen.exhausted() {
            limits.push(
                "what was written asks for more work than is done for one screen; it stands still there"
                    .to_owned(),
            );
        }
        let clamped = cast.events.iter().filter(|e| e.at <= player.at()).any(|e| match e.what {
            What::Size(size) => size.clamped(),
            What::Begins(_) | What::Output(_) | What::Input(_) | What::Ends(_) => false,
        });
        let record = cast.events.iter().take_while(|e| e.at <= player.at()).map(|e| e.seq.0).max();
        Ok(Seen {
            at_ms: player.at() / 1_000_000,
            of_ms: of / 1_000_000,
            record,
            columns: columns as u64,
            rows: rows as u64,
            clamped: clamped || cast.size.clamped(),
            lines,
            cursor: screen.cursor().map(|(column, row)| (column as u64, row as u64)),
            limits,
            run: cast.run,
            resource: cast.resource,
            user: cast.user,
            proof: cast.proof,
        })
    }
}

impl Answer for Seen {
    const SHAPE: &'static str = "tacho.screen/1";

    fn proof(&self) -> Option<&ProofLine> {
        Some(&self.proof)
    }

    fn render(&self, text: &mut Text) {
        let (at, of) = (self.at_ms, self.of_ms);
        let record = self.record.map(|seq| format!(", record {seq}")).unwrap_or_default();
        let small = if self.clamped { ", smaller than the client's" } else { "" };
        text.line(&format!(
            "run {}: {}@{} after {}.{:03} of {}.{:03} s{record}; {} x {}{small}",
            self.run,
            self.user,
            self.resource,
            at / 1000,
            at % 1000,
            of / 1000,
            of % 1000,
            self.columns,
            self.rows
        ));
        text.blank();
        self.lines.iter().for_each(|line| text.line(line));
        text.blank();
        self.limits.iter().for_each(|limit| text.line(limit));
        text.line(&self.proof.text());
    }
}
