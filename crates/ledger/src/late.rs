//! What clients were told while no record was possible: refusals, kept whole as far as there is room, and counts of the
//! rest. The keeper writes them as soon as the ledger goes on, and one `gap` record behind them.
//!
//! **Invariant:** a refusal that was appended and lost with a failed write is kept like one that could not be appended.

use std::collections::VecDeque;

use vocab::{Seq, WallTime};

use crate::config::Missed;
use crate::draft::Draft;
use crate::limits::{LATE_BYTES_MAX, LATE_RECORDS_MAX};

/// A refusal that is on its way to the disk.
struct Sent {
    seq: u64,
    at: WallTime,
    /// `None` where there was no room for it: then it is only counted, should it be lost.
    draft: Option<Draft>,
}

/// A refusal without a record.
pub(crate) struct Kept {
    at: WallTime,
    draft: Draft,
}

impl Kept {
    /// The record of it, which says when it really was.
    pub(crate) fn into_draft(self) -> Draft {
        match self.draft.has("late") {
            true => self.draft,
            false => self.draft.put("late", self.at),
        }
    }
}

#[derive(Default)]
pub(crate) struct Late {
    sent: VecDeque<Sent>,
    kept: VecDeque<Kept>,
    /// Drafts in both, and their bytes.
    drafts: usize,
    bytes: usize,
    since: Option<WallTime>,
    refused: u64,
    cut: u64,
}

/// What a `gap` record counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) since: WallTime,
    pub(crate) refused: u64,
    pub(crate) cut: u64,
}

impl Late {
    /// A refusal has its place, and is not durable yet. At most as many as the queue holds.
    pub(crate) fn sent(&mut self, seq: Seq, durable: u64, at: WallTime, draft: Draft) {
        while self.sent.front().is_some_and(|sent| sent.seq < durable) {
            self.forget_sent();
        }
        let draft = self.has_room(&draft).then_some(draft);
        draft.iter().for_each(|draft| self.hold(draft));
        self.sent.push_back(Sent { seq: seq.0, at, draft });
    }

    /// A refusal that could not be appended. The newest are kept.
    pub(crate) fn keep(&mut self, at: WallTime, draft: Draft) {
        self.count(Missed::Refused, at);
        if draft.size() > LATE_BYTES_MAX {
            return;
        }
        while !self.has_room(&draft) {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.let_go(&oldest.draft);
        }
        self.hold(&draft);
        self.kept.push_back(Kept { at, draft });
    }

    pub(crate) fn count(&mut self, missed: Missed, at: WallTime) {
        self.since.get_or_insert(at);
        match missed {
            Missed::Refused => self.refused += 1,
            Missed::Cut => self.cut += 1,
        }
    }

    /// The ledger goes on at `next`: what was sent at or above is lost, and so is what a draft refers to there.
    pub(crate) fn reopen(&mut self, next: u64) {
        let mut kept = std::mem::take(&mut self.kept);
        while let Some(Sent { seq, at, draft }) = self.sent.pop_front() {
            match draft {
                Some(draft) if seq < next => self.let_go(&draft),
                None if seq < next => {}
                Some(draft) => {
                    self.count(Missed::Refused, at);
                    kept.push_back(Kept { at, draft });
                }
                None => self.count(Missed::Refused, at),
            }
        }
        for Kept { draft, .. } in &mut kept {
            draft.of = draft.of.filter(|of| of.0 < next);
        }
        self.kept = kept;
    }

    /// Takes all that is to be told, if there is anything.
    pub(crate) fn take(&mut self) -> Option<(VecDeque<Kept>, Counts)> {
        let since = self.since.take()?;
        let kept = std::mem::take(&mut self.kept);
        kept.iter().for_each(|kept| self.let_go(&kept.draft));
        let (refused, cut) = (std::mem::take(&mut self.refused), std::mem::take(&mut self.cut));
        Some((kept, Counts { since, refused, cut }))
    }

    /// What could not be told after all stays counted.
    pub(crate) fn put_back(&mut self, counts: Counts) {
        self.since = Some(self.since.map_or(counts.since, |since| since.min(counts.since)));
        self.refused += counts.refused;
        self.cut += counts.cut;
    }

    fn has_room(&self, draft: &Draft) -> bool {
        self.drafts < LATE_RECORDS_MAX && self.bytes + draft.size() <= LATE_BYTES_MAX
    }

    fn hold(&mut self, draft: &Draft) {
        self.drafts += 1;
        self.bytes += draft.size();
    }

    fn let_go(&mut self, draft: &Draft) {
        self.drafts -= 1;
        self.bytes -= draft.size();
    }

    fn forget_sent(&mut self) {
        if let Some(Sent { draft: Some(draft), .. }) = self.sent.pop_front() {
            self.let_go(&draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use vocab::RunId;

    use super::*;
    use crate::draft::Kind;

    const AT: WallTime = WallTime(7);

    fn refusal(n: u64) -> Draft {
        Draft::new(Kind::Refusal).run(RunId([1; 16])).put("n", n)
    }

    fn told(late: &mut Late) -> (usize, u64, u64) {
        late.take().map_or((0, 0, 0), |(kept, counts)| (kept.len(), counts.refused, counts.cut))
    }

    #[test]
    fn the_newest_are_kept_and_the_rest_is_counted() {
        let mut late = Late::default();
        for n in 0..LATE_RECORDS_MAX as u64 + 3 {
            late.keep(AT, refusal(n));
        }
        let (kept, counts) = late.take().unwrap();
        assert_eq!((kept.len(), counts.refused), (LATE_RECORDS_MAX, LATE_RECORDS_MAX as u64 + 3));
        assert_eq!((late.drafts, late.bytes, told(&mut late)), (0, 0, (0, 0, 0)));
    }

    #[test]
    fn bytes_have_a_limit_too() {
        let mut late = Late::default();
        let large = |n| refusal(n).put("list", vec![true; LATE_BYTES_MAX / 4]);
        (0..9).for_each(|n| late.keep(AT, large(n)));
        assert_eq!(told(&mut late), (3, 9, 0));
        late.keep(AT, refusal(1));
        late.keep(AT, refusal(2).put("list", vec![true; LATE_BYTES_MAX]));
        assert_eq!(told(&mut late), (1, 2, 0), "one that has no room drives nothing out");
    }

    #[test]
    fn what_was_on_its_way_is_kept_only_if_it_was_lost() {
        let mut late = Late::default();
        for seq in 5..9 {
            late.sent(Seq(seq), 5, AT, refusal(seq).of(Seq(seq - 1)));
        }
        late.reopen(7);
        let (kept, counts) = late.take().unwrap();
        let of: Vec<Option<Seq>> = kept.iter().map(|kept| kept.draft.of).collect();
        assert_eq!((of, counts.refused), (vec![Some(Seq(6)), None], 2));
        late.sent(Seq(9), 9, AT, refusal(9));
        late.sent(Seq(10), 10, AT, refusal(10));
        assert_eq!((late.sent.len(), told(&mut late)), (1, (0, 0, 0)), "what is durable is forgotten");
    }

    #[test]
    fn what_could_not_be_told_stays_counted() {
        let mut late = Late::default();
        late.count(Missed::Cut, AT);
        let (_, counts) = late.take().unwrap();
        late.put_back(counts);
        late.count(Missed::Refused, WallTime(9));
        let (_, counts) = late.take().unwrap();
        assert_eq!(counts, Counts { since: AT, refused: 1, cut: 1 });
    }
}
