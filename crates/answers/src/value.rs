//! `exposed --value`: did this exact value ever reach an agent, or come from one?
//!
//! Fingerprints and filters are keyed by epoch, and only an auditor can open the keys. The answer is *yes* with records,
//! or *no* over the range that was searched; a record that cannot say no is listed, and then the answer is neither.

use std::collections::BTreeMap;

use index::{Effect, Epoch, Noted, PrintPlace};
use serde::{Deserialize, Serialize};
use vocab::Seq;

use crate::desk::{Cannot, Desk, ProofLine};
use crate::exposed::Prevent;
use crate::limits::VALUE_BYTES_MAX;
use crate::line::{Cites, RunLine, run_line};
use crate::shape::Answer;
use crate::text::{Text, count};
use crate::watch::Look;

/// An auditor's way to ask about a value: holds the epoch keys, never the question.
pub trait Prober {
    /// The fingerprints that `value` would have under the key of this epoch: one for each class and normal form.
    fn prints(&self, epoch: &Noted<Epoch>, value: &[u8]) -> Result<Vec<[u8; 16]>, String>;

    /// Whether a filter made under the key of this epoch may hold `value`. `None`: the filter cannot say.
    fn may_contain(&self, epoch: &Noted<Epoch>, filter: &[u8], value: &[u8]) -> Result<Option<bool>, String>;
}

/// Whether a value was seen. The value itself is not in the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueAnswer {
    /// `yes`: an exact fingerprint was found on its way to an agent. `sent`: an agent sent it, and none was given it.
    /// `masked`: the gateway saw it and masked it. `maybe`: a filter may hold it. `no`: proved over the range.
    /// `not-found`: not found, and not proved.
    pub answer: String,
    /// Length of the value in bytes, and no more of it.
    pub value_bytes: u64,
    pub seen: Vec<SeenLine>,
    /// Records whose filter may hold it, or each of its words: of the largest one in a few hundred does by chance, of a
    /// small one almost none.
    pub maybe: Vec<MaybeLine>,
    pub first_record: Option<u64>,
    pub last_record: Option<u64>,
    pub epochs: u64,
    pub filters: u64,
    pub prevents: Vec<ValuePrevent>,
    pub limits: Vec<String>,
    pub proof: ProofLine,
}

/// Where a fingerprint of the value stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenLine {
    pub run: RunLine,
    /// `literal`, `parameter` or `copy` (the agent sent it), `decision` (a model gave it to the agent), `revealed`, `masked`, `refused` or `unknown`.
    pub place: String,
    pub on: Option<String>,
    pub class: Option<String>,
    #[serde(flatten)]
    pub cites: Cites,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaybeLine {
    pub run: RunLine,
    /// The record that says that the run's payloads were erased: nobody can look any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<u64>,
    #[serde(flatten)]
    pub cites: Cites,
}

/// Why a no is not proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValuePrevent {
    pub what: String,
    pub why: String,
    #[serde(flatten)]
    pub cites: Cites,
}

impl Desk<'_> {
    /// Searches all records for `value`. The `watch` record says that a value was asked for, and nothing about it.
    pub fn exposed_value(&self, value: &[u8], prober: &dyn Prober) -> Result<ValueAnswer, Cannot> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(Cannot::TooLong { what: "value", bytes: value.len(), limit: VALUE_BYTES_MAX });
        }
        let proof = self.look(Look::Exposed, "a value")?;
        let mut search = Search::default();
        self.search_prints(value, prober, &mut search);
        self.search_filters(value, prober, &mut search);
        self.search_prevents(&mut search);
        let answer = search.answer();
        let cited = search.seen.values().chain(search.maybe.values()).flat_map(|cites| &cites.records);
        let proof = self.sealing(proof, cited.map(|seq| Seq(*seq)));
        Ok(ValueAnswer {
            answer: answer.to_owned(),
            value_bytes: value.len() as u64,
            seen: search.seen.into_iter().filter_map(|(at, cites)| self.seen_line(at, cites)).collect(),
            maybe: search.maybe.into_iter().filter_map(|(run, cites)| self.maybe_line(run, cites)).collect(),
            first_record: self.index.seen().first.map(|s| s.0),
            last_record: self.index.seen().last.map(|s| s.0),
            epochs: self.index.epochs().len() as u64,
            filters: search.filters,
            prevents: search.prevents.into_iter().map(prevent_line).collect(),
            limits: limits(),
            proof,
        })
    }

    fn search_prints(&self, value: &[u8], prober: &dyn Prober, search: &mut Search) {
        for epoch in self.index.epochs() {
            match prober.prints(epoch, value) {
                Err(why) => {
                    search.prevent(Prevent::Unread, format!("an epoch's key: {why}"), Some(epoch.seq))
                }
                Ok(prints) => prints.iter().flat_map(|p| self.index.prints(p)).for_each(|p| search.see(p)),
            }
        }
    }

    /// A filter is made before its record is appended, so it is under the epoch in force there or the one before.
    fn search_filters(&self, value: &[u8], prober: &dyn Prober, search: &mut Search) {
        let epochs = self.index.epochs();
        for filter in self.index.filters() {
            let Some(bytes) = &filter.bytes else {
                search.prevent(
                    Prevent::NoCoverage,
                    "it released rows and has no filter".into(),
                    Some(filter.seq),
                );
                continue;
            };
            let until = self.index.epoch_of(filter.seq).map_or(0, |at| at + 1);
            let in_force = epochs.get(until.saturating_sub(2)..until).unwrap_or(&[]);
            if in_force.is_empty() {
                search.prevent(Prevent::NoCoverage, "no epoch was begun before it".into(), Some(filter.seq));
            }
            search.filters += 1;
            for epoch in in_force {
                match prober.may_contain(epoch, bytes, value) {
                    Ok(Some(true)) => search.maybe.entry(filter.run).or_default().add(filter.seq),
                    Ok(Some(false)) => {}
                    Ok(None) => {
                        let why = "its filter cannot say: the value or each of its words is too short, or it held too much";
                        search.prevent(Prevent::NoCoverage, why.into(), Some(filter.seq));
                    }
                    Err(why) => search.prevent(Prevent::Unread, why, Some(filter.seq)),
                }
            }
        }
    }

    /// Everything else that keeps a "not found" from being a "no".
    fn search_prevents(&self, search: &mut Search) {
        let mut records = Vec::new();
        for run in self.index.runs() {
            records.extend(run.records.iter().copied());
            let released = |a: &&index::Action| {
                run.effect(a) != Effect::Refused && a.outcomes.is_empty() && !a.chunks.is_empty()
            };
            for action in run.actions.iter().filter(released) {
                search.prevent(
                    Prevent::NoCoverage,
                    "bytes were released, and no outcome followed".into(),
                    Some(action.cite()),
                );
            }
        }
        records.sort();
        let mut found = crate::exposed::Prevents::default();
        self.chain_prevents(&records, &mut found);
        for line in found.finish() {
            search.prevents.insert((line.what, line.why), line.cites);
        }
        for strange in self.index.unknown() {
            search.prevent(
                Prevent::UnknownKind,
                format!("a record of kind {:?}", &*strange.kind),
                Some(strange.seq),
            );
        }
        for (seq, _, flaws) in self.index.flawed() {
            flaws.iter().for_each(|flaw| search.prevent(Prevent::Unread, flaw.to_string(), Some(*seq)));
        }
        for (first, last) in &self.index.seen().holes {
            search.prevent(
                Prevent::Hole,
                format!("records {} to {} are not here", first.0, last.0),
                Some(*first),
            );
        }
        if self.index.epochs().is_empty() {
            search.prevent(Prevent::Empty, "no epoch is recorded, so there is nothing to ask".into(), None);
        }
    }

    fn seen_line(&self, (run, place, on, class): SeenKey, cites: Cites) -> Option<SeenLine> {
        Some(SeenLine { run: run_line(self.index.run(run)?), place, on, class, cites })
    }

    fn maybe_line(&self, run: vocab::RunId, cites: Cites) -> Option<MaybeLine> {
        let run = self.index.run(run)?;
        Some(MaybeLine { run: run_line(run), erased: run.erased.map(|seq| seq.0), cites })
    }
}

impl Answer for ValueAnswer {
    const SHAPE: &'static str = "tacho.exposed-value/1";

    fn proof(&self) -> Option<&ProofLine> {
        Some(&self.proof)
    }

    fn render(&self, text: &mut Text) {
        text.line(self.sentence());
        if !self.seen.is_empty() {
            text.blank();
            let row = |s: &SeenLine| {
                let who = [&s.run.agent, &s.run.human].map(|t| t.clone().unwrap_or_else(|| "unknown".into()));
                let [agent, human] = who;
                vec![
                    s.place.clone(),
                    s.on.clone().unwrap_or_default(),
                    s.run.run.clone(),
                    agent,
                    human,
                    s.cites.text(),
                ]
            };
            let headers = ["SEEN", "COLUMN", "RUN", "AGENT", "HUMAN", "RECORDS"];
            text.table(&headers, &self.seen.iter().map(row).collect::<Vec<_>>());
        }
        for maybe in &self.maybe {
            let erased = maybe.erased.map(|seq| format!(" (erased, record {seq})")).unwrap_or_default();
            text.line(&format!(
                "  a filter of run {}{erased} may hold it: records {}",
                maybe.run.run,
                maybe.cites.text()
            ));
        }
        text.blank();
        if let (Some(first), Some(last)) = (self.first_record, self.last_record) {
            let counts = format!("{}, {}", count(self.epochs, "epoch"), count(self.filters, "filter"));
            text.pair("searched", &format!("records {first} to {last}, {counts}"));
        }
        for prevent in &self.prevents {
            text.line(&format!("Not proved: {} {} {}", prevent.what, prevent.why, prevent.cites.text()));
        }
        self.limits.iter().for_each(|limit| text.line(&format!("Not covered: {limit}")));
        text.line(&self.proof.text());
    }

    /// 0 only for a proved no; 1 if it was given to an agent; 3 if neither can be said.
    fn exit_code(&self) -> u8 {
        match &*self.answer {
            "no" => 0,
            "yes" => 1,
            _ => 3,
        }
    }
}

impl ValueAnswer {
    fn sentence(&self) -> &'static str {
        match &*self.answer {
            "yes" => "YES: this value was given to an agent.",
            "sent" => "An agent sent this value; no record says that one was given it.",
            "masked" => {
                "The gateway saw this value and masked it; no record says that an agent was given it."
            }
            "maybe" if self.maybe.iter().all(|maybe| maybe.erased.is_some()) => {
                "MAYBE: a filter has it, or each of its words; by chance few have. What those records released was \
                 erased: nobody can tell any more."
            }
            "maybe" => {
                "MAYBE: a filter has it, or each of its words; by chance few have. Replay those records."
            }
            "no" => "No: this value reached no agent, over the range below.",
            _ => "Not found, and not proved: see below.",
        }
    }
}

type SeenKey = (vocab::RunId, String, Option<String>, Option<String>);

#[derive(Default)]
struct Search {
    seen: BTreeMap<SeenKey, Cites>,
    maybe: BTreeMap<vocab::RunId, Cites>,
    prevents: BTreeMap<(String, String), Cites>,
    filters: u64,
}

impl Search {
    fn see(&mut self, print: &index::Print) {
        let (place, on, class) = match &print.place {
            PrintPlace::Literal => ("literal".to_owned(), None, None),
            PrintPlace::Parameter => ("parameter".to_owned(), None, None),
            PrintPlace::Copy => ("copy".to_owned(), None, None),
            PrintPlace::Decision => ("decision".to_owned(), None, None),
            PrintPlace::Cell { on, class, what } => {
                (what.to_string(), Some(on.to_string()), Some(class.to_string()))
            }
        };
        self.seen.entry((print.run, place, on, class)).or_default().add(print.seq);
    }

    fn prevent(&mut self, what: Prevent, why: String, seq: Option<Seq>) {
        let cites = self.prevents.entry((what.as_str().to_owned(), why)).or_default();
        seq.into_iter().for_each(|seq| cites.add(seq));
    }

    fn answer(&self) -> &'static str {
        let any = |places: &[&str]| self.seen.keys().any(|(_, place, ..)| places.contains(&place.as_str()));
        let other = self
            .seen
            .keys()
            .any(|(_, p, ..)| !["literal", "parameter", "copy", "masked", "refused"].contains(&p.as_str()));
        match () {
            () if other => "yes",
            () if !self.maybe.is_empty() => "maybe",
            () if !self.prevents.is_empty() && self.seen.is_empty() => "not-found",
            () if any(&["literal", "parameter", "copy"]) => "sent",
            () if any(&["masked", "refused"]) => "masked",
            () => "no",
        }
    }
}

fn prevent_line(((what, why), cites): ((String, String), Cites)) -> ValuePrevent {
    ValuePrevent { what, why, cites }
}

fn limits() -> Vec<String> {
    vec![
        "values shorter than six characters, those that stood right beside a letter, a digit or one of _-.@+, and encodings of \
         an agent's own"
            .into(),
        "of values in PostgreSQL's binary formats, other spellings than the server's own in ISO style and UTC".into(),
        "values that were masked by the database itself: the gateway never saw them".into(),
    ]
}
