//! What carrying a run out again has shown.

use answers::text::{Text, count, visible};
use answers::{Answer, ProofLine};
use serde::{Deserialize, Serialize};

use super::tape::{Counts, How, Parted};

/// The answer of `tacho replay RUN -- COMMAND`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    pub run: String,
    /// Requests that the record has an answer to, and how many of them were asked again.
    pub recorded: u64,
    pub asked: u64,
    /// Given before something that the same connection asked earlier then.
    pub reordered: u64,
    /// Given although values differ.
    pub other_values: u64,
    /// Compared in part: a body above what is held, the data of a COPY.
    pub in_part: u64,
    /// The command had the gateway's listeners and no other network.
    pub jailed: bool,
    pub divergence: Option<Divergence>,
    /// How the command ended, now and then.
    pub status: u8,
    pub status_then: Option<i64>,
    pub proof: ProofLine,
}

/// Where the runs part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// `other`, `values`, `not-kept` or `ended`.
    pub how: String,
    pub resource: String,
    pub via: String,
    /// How many requests had been answered before.
    pub after: u64,
    /// What was asked now, literals masked.
    pub now: Option<String>,
    /// What the recorded run asked in its place, and its record.
    pub then: Option<String>,
    pub record: Option<u64>,
    /// The decisions that it was tied to, by their records.
    pub decisions: Vec<u64>,
    /// The first character in which both texts differ, from 0.
    pub at: Option<u64>,
}

impl Divergence {
    pub fn new(parted: Parted) -> Divergence {
        let then = parted.then.as_ref().map(|(_, text)| text.clone());
        let at =
            parted.now.as_deref().zip(then.as_deref()).and_then(|(now, then)| first_difference(now, then));
        Divergence {
            how: parted.how.as_str().to_owned(),
            resource: parted.resource,
            via: parted.via,
            after: parted.after,
            now: parted.now,
            record: parted.then.as_ref().map(|(seq, _)| seq.0),
            then,
            decisions: parted.causes.iter().map(|seq| seq.0).collect(),
            at: at.map(|at| at as u64),
        }
    }

    fn sentence(&self) -> String {
        let what = match &*self.how {
            how if how == How::Other.as_str() => "asked what the recorded run did not ask here",
            how if how == How::Values.as_str() => "asked the same with other values",
            how if how == How::NotKept.as_str() => {
                "asked the same, and the record does not hold the whole answer"
            }
            _ => "ended before it asked all that the recorded run asked",
        };
        format!("DIFFERS after {}: the command {what}", count(self.after, "request"))
    }

    fn render(&self, text: &mut Text) {
        text.line(&self.sentence());
        text.line(&format!("  resource  {} ({})", self.resource, self.via));
        let at = usize::try_from(self.at.unwrap_or(0)).unwrap_or(0);
        if let (Some(then), Some(record)) = (&self.then, self.record) {
            text.line(&format!("  then      {} [{record}]", around(then, at)));
        }
        if let Some(now) = &self.now {
            text.line(&format!("  now       {}", around(now, at)));
        }
        if !self.decisions.is_empty() {
            let cited: Vec<String> = self.decisions.iter().map(|seq| format!("[{seq}]")).collect();
            text.line(&format!("  decided   {} is what a model had decided then", cited.join(", ")));
        }
        if self.how == How::Values.as_str() {
            text.line("  values are not in the record; `--any-values` goes on where only they differ");
        }
    }
}

impl Again {
    pub fn new(
        run: String,
        recorded: u64,
        counts: Counts,
        parted: Option<Parted>,
        ended: (u8, Option<i64>),
        jailed: bool,
        proof: ProofLine,
    ) -> Again {
        Again {
            run,
            recorded,
            asked: counts.asked,
            reordered: counts.reordered,
            other_values: counts.other_values,
            in_part: counts.in_part,
            jailed,
            divergence: parted.map(Divergence::new),
            status: ended.0,
            status_then: ended.1,
            proof,
        }
    }

    /// It asked all that was asked, nothing else, and ended as it had ended.
    fn is_same(&self) -> bool {
        self.divergence.is_none() && self.status_then.is_none_or(|then| then == i64::from(self.status))
    }
}

impl Answer for Again {
    const SHAPE: &'static str = "tacho.again/1";

    fn proof(&self) -> Option<&ProofLine> {
        Some(&self.proof)
    }

    fn render(&self, text: &mut Text) {
        let reached = match self.jailed {
            true => "no upstream was reached",
            false => {
                "no upstream was reached through the gateway (what the command reached without it, nobody saw)"
            }
        };
        text.line(&format!("run {} carried out again; {reached}", self.run));
        text.line(&format!("  asked again  {} of {}", self.asked, count(self.recorded, "request")));
        if self.reordered > 0 {
            text.line(&format!("  in another order on its connection  {}", self.reordered));
        }
        if self.other_values > 0 {
            text.line(&format!("  with other values  {}", self.other_values));
        }
        if self.in_part > 0 {
            text.line(&format!("  compared in part (long bodies, data of a COPY)  {}", self.in_part));
        }
        let then =
            self.status_then.map_or("is not in the record".to_owned(), |then| format!("was with {then}"));
        text.line(&format!("  the command ended with {} now; the recorded end {then}", self.status));
        text.blank();
        match &self.divergence {
            Some(divergence) => divergence.render(text),
            None if self.is_same() => text.line("THE SAME to its end"),
            None => text.line("DIFFERS in how it ended; all requests were the same"),
        }
        text.blank();
        text.line(&self.proof.text());
    }

    fn exit_code(&self) -> u8 {
        u8::from(!self.is_same())
    }
}

fn first_difference(a: &str, b: &str) -> Option<usize> {
    if a == b {
        return None;
    }
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    Some(same)
}

/// Characters shown before and after the first that differs.
const BEFORE: usize = 60;
const AFTER: usize = 160;

fn around(text: &str, at: usize) -> String {
    let from = at.saturating_sub(BEFORE);
    let shown: String = text.chars().skip(from).take(at - from + AFTER).collect();
    let (left, right) = (from > 0, text.chars().count() > at + AFTER);
    format!("{}{}{}", if left { "…" } else { "" }, visible(&shown), if right { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_with_what_stands_around_it() {
        let (a, b) = (format!("{}X tail", "a".repeat(100)), format!("{}Y tail", "a".repeat(100)));
        let at = first_difference(&a, &b).unwrap();
        assert_eq!(at, 100);
        assert_eq!(around(&a, at), format!("…{}X tail", "a".repeat(60)));
        assert_eq!(first_difference("abc", "abcd"), Some(3));
        assert_eq!(first_difference("abc", "abc"), None);
    }
}
