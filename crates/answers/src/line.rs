//! The parts that several answers share: citations, one action, one exposure. Own types, made for JSON.

use index::{Action, Column, Effect, Exposure, Noted, Open, Outcome, Param, Run, Told, Touch, Tripwire};
use serde::{Deserialize, Serialize};
use vocab::{AskId, Bound, Seq, WallTime};

use crate::decided::{CauseLine, cause_line};
use crate::limits::CITES_MAX;
use crate::text::{count, hex};

/// The records that a line rests on, by `seq`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cites {
    /// At most [`CITES_MAX`], in order.
    pub records: Vec<u64>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_records: u64,
}

impl Cites {
    pub fn one(seq: Seq) -> Cites {
        Cites { records: vec![seq.0], more_records: 0 }
    }

    /// Adds a record; one that is cited already is not cited again.
    pub fn add(&mut self, seq: Seq) {
        match self.records.binary_search(&seq.0) {
            Ok(_) => {}
            Err(at) if self.records.len() < CITES_MAX => self.records.insert(at, seq.0),
            Err(_) => self.more_records += 1,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// `12, 14-17 and 3 more`: neighbours joined, at most eight groups.
    pub fn text(&self) -> String {
        let mut groups: Vec<(u64, u64)> = Vec::new();
        for &seq in &self.records {
            match groups.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(seq) => *last = seq,
                _ => groups.push((seq, seq)),
            }
        }
        let shown = groups.iter().take(8);
        let text: Vec<String> =
            shown.map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
        let rest: u64 = groups.iter().skip(8).map(|(a, b)| b - a + 1).sum::<u64>() + self.more_records;
        match rest {
            0 => text.join(", "),
            rest => format!("{} and {rest} more", text.join(", ")),
        }
    }
}

impl FromIterator<Seq> for Cites {
    fn from_iter<I: IntoIterator<Item = Seq>>(seqs: I) -> Cites {
        let mut cites = Cites::default();
        seqs.into_iter().for_each(|seq| cites.add(seq));
        cites
    }
}

/// Which run an answer is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLine {
    pub run: String,
    pub human: Option<String>,
    pub by: Option<String>,
    pub agent: Option<String>,
    pub agent_version: Option<String>,
    pub task: Option<String>,
    pub opened: Option<String>,
    pub closed: Option<String>,
    /// `open`, or why it was closed.
    pub state: String,
    pub confined: Option<bool>,
    pub jailed: Option<bool>,
    pub sessions: u64,
    pub actions: u64,
    pub records: u64,
}

/// One request, from what was asked to what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionLine {
    /// The record that stands for it.
    pub record: u64,
    pub run: String,
    pub at: String,
    pub session: Option<u64>,
    pub resource: Option<String>,
    pub via: String,
    pub verbs: Vec<String>,
    pub touches: Vec<TouchLine>,
    pub functions: Vec<String>,
    /// Literals are masked.
    pub statement: String,
    /// What was sent instead, if it differs; literals are masked.
    pub sent: Option<String>,
    pub params: Vec<ParamLine>,
    /// Further ones, which are only in the reel.
    pub params_more: u64,
    pub verdict: String,
    pub rules: Vec<String>,
    pub policy: String,
    pub opaque: Option<String>,
    pub governed: Vec<GovernedLine>,
    pub ask: Option<AskLine>,
    pub refusals: Vec<RefusalLine>,
    /// `committed`, `rolled-back`, `pending`, `indeterminate` or `refused`.
    pub effect: String,
    pub result: Option<ResultLine>,
    pub exposures: Vec<ExposureLine>,
    pub tripwires: Vec<TripwireLine>,
    /// What of a class it told its resource.
    #[serde(default)]
    pub told: Vec<ToldLine>,
    pub transaction: String,
    pub durability: String,
    /// The decisions that explain it.
    #[serde(default)]
    pub causes: Vec<CauseLine>,
    /// No decision explains it, though one had been issued before it.
    #[serde(default)]
    pub orphan: bool,
    /// Every record about it.
    #[serde(flatten)]
    pub cites: Cites,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TouchLine {
    pub verb: String,
    pub on: String,
    pub columns: Vec<ColumnLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnLine {
    pub column: String,
    pub at: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamLine {
    #[serde(rename = "type")]
    pub type_: u64,
    pub format: u64,
    pub size: i64,
    pub mask: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GovernedLine {
    pub on: String,
    pub class: String,
    #[serde(rename = "as")]
    pub as_: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskLine {
    pub ask: String,
    pub record: u64,
    pub groups: Vec<String>,
    pub expires: String,
    /// What would change, as whoever was asked was shown.
    pub changes: Option<String>,
    pub approvals: Vec<ApprovalLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalLine {
    pub record: u64,
    pub at: String,
    pub verdict: String,
    pub by: Option<String>,
    pub form: Option<String>,
    pub until: Option<String>,
    pub reason: Option<String>,
    pub signed: bool,
    pub signatures: Vec<SignatureLine>,
}

/// An approver's SSH signature. It verifies with `ssh-keygen -Y verify` under the namespace `tachograph-approval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureLine {
    pub by: String,
    /// The public key that the gateway held for `by`.
    pub key: String,
    /// What is signed, written again out of the question's record.
    pub text: String,
    pub signature: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalLine {
    pub record: u64,
    pub code: String,
    pub message: String,
    /// Bytes of the response had left before it was refused.
    pub partial: bool,
    /// When it was refused, if no record was possible then.
    pub late: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultLine {
    pub record: u64,
    pub result: String,
    pub state: String,
    pub settled: Option<String>,
    pub code: Option<String>,
    pub tag: Option<String>,
    pub rows: u64,
    pub bytes: u64,
    /// Of a model, masked: what it says that it thought.
    pub reasoning: Option<String>,
    /// Of a model: the kinds of what its provider did by itself.
    pub hosted: Vec<String>,
    /// `complete`, or `partial: ` and why.
    pub coverage: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposureLine {
    pub on: String,
    pub class: String,
    pub at: String,
    pub what: String,
    pub by: String,
    pub rows: u64,
    pub cells: u64,
    #[serde(flatten)]
    pub cites: Cites,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TripwireLine {
    pub detector: String,
    pub class: String,
    pub channel: String,
    pub act: String,
    #[serde(flatten)]
    pub cites: Cites,
}

/// Values of a class that were on their way to a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldLine {
    pub class: String,
    /// `None`: its connection is not recorded.
    pub resource: Option<String>,
    /// Host and port.
    pub upstream: Option<String>,
    /// The resource is a model, at a provider.
    pub model: bool,
    /// Where in the request: `prompt`, `request`, `request-header`, `query`, `path`.
    pub channel: String,
    /// `masked`, `in-clear`, `refused`, `unknown`.
    pub what: String,
    #[serde(flatten)]
    pub cites: Cites,
}

impl ActionLine {
    /// Which functions an opaque action would have run, and what makes them known. Functions of PostgreSQL's own, and names
    /// that no function has, stand in the record below `pg_catalog`.
    pub fn functions_text(&self) -> Option<String> {
        let why = self.opaque.as_deref().filter(|_| !self.functions.is_empty())?;
        let name = |function: &String| function.strip_prefix("pg_catalog.").unwrap_or(function).to_owned();
        let functions = self.functions.iter().map(name).collect::<Vec<_>>().join(", ");
        let hint = match why.contains("nobody vouches") {
            true => " (`vouch` in tacho.toml names functions of yours that only read their arguments)",
            false => "",
        };
        Some(format!("functions: {functions}{hint}"))
    }
}

impl ExposureLine {
    /// How many values, as far as that was counted: detectors count the rows in which they found any.
    pub fn amount(&self) -> String {
        match (self.cells, self.rows, &*self.by) {
            (0, 0, "detector") => "values that are not counted".to_owned(),
            (0, rows, "detector") => format!("values in {}", count(rows, "row")),
            (cells, ..) => count(cells, "cell"),
        }
    }
}

impl ToldLine {
    /// To whom, in words.
    pub fn whom(&self) -> String {
        let resource = self.resource.as_deref().unwrap_or("a resource that is not recorded");
        match &self.upstream {
            Some(upstream) => format!("{resource} ({upstream})"),
            None => resource.to_owned(),
        }
    }

    /// What became of it, in words.
    pub fn became(&self) -> &'static str {
        match &*self.what {
            "masked" => "masked on its way",
            "in-clear" => "sent in clear",
            "refused" => "refused, not sent",
            _ => "unknown",
        }
    }
}

impl TripwireLine {
    /// Whether it is of an answer. What was found in a request stands among what was told.
    pub fn is_of_answer(&self) -> bool {
        !matches!(&*self.channel, "prompt" | "request" | "request-header" | "query" | "path" | "input")
    }
}

/// A moment as RFC 3339 in UTC, to the millisecond.
pub fn time(at: WallTime) -> String {
    let ms = at.0 / 1_000_000;
    match i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
        Some(moment) => format!("{moment:.3}"),
        None => format!("{} ns since 1970", at.0),
    }
}

pub fn run_line(run: &Run) -> RunLine {
    let open = run.open.as_ref().map(|o| &o.what);
    let text = |pick: fn(&Open) -> &str| open.map(|o| pick(o).to_owned());
    RunLine {
        run: run.id.to_string(),
        human: text(|o| &o.human),
        by: text(|o| &o.by),
        agent: text(|o| &o.agent),
        agent_version: open.and_then(|o| owned(o.agent_version.as_deref())),
        task: open.and_then(|o| owned(o.task.as_deref())),
        opened: run.open.as_ref().map(|o| time(o.at)),
        closed: run.close.as_ref().map(|c| time(c.at)),
        state: run.close.as_ref().map_or("open".to_owned(), |c| c.what.why.to_string()),
        confined: open.map(|o| o.confined),
        jailed: open.map(|o| o.jailed),
        sessions: run.sessions.len() as u64,
        actions: run.actions.len() as u64,
        records: run.records.len() as u64,
    }
}

pub fn action_line(run: &Run, action: &Action) -> ActionLine {
    let request = action.request();
    ActionLine {
        record: action.cite().0,
        run: run.id.to_string(),
        at: time(action.asked.at),
        session: action.session,
        resource: run.resource_of(action.session).map(|r| r.to_string()),
        via: request.via.to_string(),
        verbs: request.verbs.iter().map(ToString::to_string).collect(),
        touches: request.touches.iter().map(touch_line).collect(),
        functions: request.functions.iter().map(ToString::to_string).collect(),
        statement: request.statement.to_string(),
        sent: owned(request.sent.as_deref()),
        params: request.params.iter().map(param_line).collect(),
        params_more: request.params_more,
        verdict: request.verdict.to_string(),
        rules: request.rules.iter().map(ToString::to_string).collect(),
        policy: hex(&request.policy),
        opaque: owned(request.opaque.as_deref()),
        governed: request.governed.iter().map(governed_line).collect(),
        ask: ask_line(action),
        refusals: action.refusals.iter().map(refusal_line).collect(),
        effect: run.effect(action).as_str().to_owned(),
        result: action.answer().map(|outcome| result_line(action, outcome)),
        exposures: exposure_lines(action.exposures()),
        tripwires: action.tripwires().map(|(seq, t)| tripwire_line(seq, t)).collect(),
        told: told_lines(action.told().map(|told| (run, action, told))),
        transaction: request.tx.to_string(),
        durability: request.durability.to_string(),
        causes: action.causes.iter().map(cause_line).collect(),
        orphan: run.is_orphan(action),
        cites: action.records.iter().copied().collect(),
    }
}

/// Adds up exposures that differ in nothing but their counts.
pub fn exposure_lines<'a>(all: impl Iterator<Item = (Seq, &'a Exposure)>) -> Vec<ExposureLine> {
    let mut lines: std::collections::BTreeMap<[String; 5], ExposureLine> = std::collections::BTreeMap::new();
    for (seq, e) in all {
        let key = [&*e.on, &*e.class, e.at.as_str(), e.what.as_str(), &*e.by].map(str::to_owned);
        let [on, class, at, what, by] = key.clone();
        let line = lines.entry(key).or_insert_with(|| ExposureLine {
            on,
            class,
            at,
            what,
            by,
            rows: 0,
            cells: 0,
            cites: Cites::default(),
        });
        line.rows = line.rows.saturating_add(e.rows);
        line.cells = line.cells.saturating_add(e.cells);
        line.cites.add(seq);
    }
    lines.into_values().collect()
}

/// What requests told resources, each but once with all its records.
pub fn told_lines<'a>(all: impl Iterator<Item = (&'a Run, &'a Action, Told<'a>)>) -> Vec<ToldLine> {
    let mut lines: std::collections::BTreeMap<[String; 5], ToldLine> = std::collections::BTreeMap::new();
    for (run, action, told) in all {
        let connect = action.session.and_then(|id| run.sessions.get(&id)?.connect.as_ref()).map(|c| &c.what);
        let resource = connect.map(|c| c.resource.to_string());
        let upstream = connect.map(|c| c.upstream.to_string());
        let what = told.became.as_str();
        let [class, channel, what] = [told.class, told.channel, what].map(str::to_owned);
        let key = [
            class.clone(),
            resource.clone().unwrap_or_default(),
            upstream.clone().unwrap_or_default(),
            channel.clone(),
            what.clone(),
        ];
        // An older record has no kind of the resource; it had tripwires of prompts alone.
        let kind = connect.and_then(|c| c.options.get("kind"));
        let model = kind.map_or(told.channel == "prompt", |kind| &**kind == "llm");
        let line = lines.entry(key).or_insert_with(|| ToldLine {
            class,
            resource,
            upstream,
            model,
            channel,
            what,
            cites: Cites::default(),
        });
        line.cites.add(told.seq);
    }
    lines.into_values().collect()
}

pub fn tripwire_line(seq: Seq, tripwire: &Tripwire) -> TripwireLine {
    TripwireLine {
        detector: tripwire.detector.to_string(),
        class: tripwire.class.to_string(),
        channel: tripwire.channel.to_string(),
        act: tripwire.act.to_string(),
        cites: Cites::one(seq),
    }
}

pub fn touch_line(touch: &Touch) -> TouchLine {
    TouchLine {
        verb: touch.verb.to_string(),
        on: touch.on.to_string(),
        columns: touch.columns.iter().map(column_line).collect(),
    }
}

pub fn column_line(column: &Column) -> ColumnLine {
    ColumnLine { column: column.name.to_string(), at: column.at.to_string() }
}

pub fn coverage_text(coverage: &index::Coverage) -> String {
    match coverage {
        index::Coverage::Complete => "complete".to_owned(),
        index::Coverage::Partial(why) => format!("partial: {why}"),
    }
}

/// How an action ended, in a word or two: `refused 42501`, `12 rows`, `error 23505`, `waiting`.
pub fn ending(action: &ActionLine) -> String {
    if let Some(refusal) = action.refusals.last() {
        let partial = if refusal.partial { ", partly released" } else { "" };
        return format!("refused {}{partial}", refusal.code);
    }
    let Some(result) = &action.result else {
        return if action.effect == Effect::Pending.as_str() {
            "waiting".into()
        } else {
            action.effect.clone()
        };
    };
    match (&*result.result, &result.code) {
        ("ok", _) if action.effect == Effect::Prepared.as_str() => format!("prepared, by {}", action.via),
        ("ok", _) if result.tag.is_some() => result.tag.clone().unwrap_or_default(),
        ("ok", _) => format!("{} rows", result.rows),
        (word, Some(code)) => format!("{word} {code}"),
        (word, None) => word.to_owned(),
    }
}

fn ask_line(action: &Action) -> Option<AskLine> {
    let ask = action.ask.as_ref()?;
    Some(AskLine {
        ask: AskId(ask.what.ask).to_string(),
        record: ask.seq.0,
        groups: ask.what.groups.iter().map(ToString::to_string).collect(),
        expires: time(ask.what.expires),
        changes: ask.what.changes.as_deref().map(str::to_owned),
        approvals: action.approvals.iter().map(|approval| approval_line(approval, &ask.what.bound)).collect(),
    })
}

fn approval_line(approval: &Noted<index::Approval>, bound: &Bound) -> ApprovalLine {
    let what = &approval.what;
    let form = what.form.as_ref().map(ToString::to_string).unwrap_or_default();
    let form = what.minutes.map_or(form.clone(), |minutes| format!("{form} {minutes}"));
    let signature = |signed: &index::Signature| SignatureLine {
        by: signed.by.to_string(),
        key: signed.key.to_string(),
        text: bound.to_sign(&form),
        signature: signed.signature.to_string(),
    };
    ApprovalLine {
        record: approval.seq.0,
        at: time(approval.at),
        verdict: what.verdict.to_string(),
        by: owned(what.by.as_deref()),
        form: what.form.as_ref().map(ToString::to_string),
        until: what.until.map(time),
        reason: owned(what.reason.as_deref()),
        signed: what.signature.is_some() || !what.signatures.is_empty(),
        signatures: what.signatures.iter().map(signature).collect(),
    }
}

fn refusal_line(refusal: &Noted<index::RefusalPart>) -> RefusalLine {
    RefusalLine {
        record: refusal.seq.0,
        code: refusal.what.code.to_string(),
        message: refusal.what.message.to_string(),
        partial: refusal.what.partial,
        late: refusal.what.late.map(time),
    }
}

fn result_line(action: &Action, outcome: &Noted<Outcome>) -> ResultLine {
    let what = &outcome.what;
    ResultLine {
        record: outcome.seq.0,
        result: what.result.to_string(),
        state: what.state.to_string(),
        settled: action.settled.as_ref().map(|s| s.what.to_string()),
        code: owned(what.code.as_deref()),
        tag: owned(what.tag.as_deref()),
        rows: what.rows,
        bytes: what.bytes,
        reasoning: owned(what.reasoning.as_deref()),
        hosted: what.hosted.iter().map(ToString::to_string).collect(),
        coverage: coverage_text(&what.coverage),
    }
}

fn param_line(param: &Param) -> ParamLine {
    ParamLine { type_: param.type_, format: param.format, size: param.size, mask: param.mask.to_string() }
}

fn governed_line(governed: &index::Governed) -> GovernedLine {
    GovernedLine {
        on: governed.on.to_string(),
        class: governed.class.to_string(),
        as_: governed.as_.to_string(),
    }
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(crate) fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_are_sorted_joined_and_bounded() {
        let cites: Cites = [9, 3, 4, 5, 3].map(Seq).into_iter().collect();
        assert_eq!(cites.text(), "3-5, 9");
        let many: Cites = (0..=CITES_MAX as u64).map(|n| Seq(n * 2)).collect();
        assert_eq!((many.records.len(), many.more_records), (CITES_MAX, 1));
        assert!(many.text().ends_with("and 993 more"), "{}", many.text());
    }

    #[test]
    fn times_are_utc_to_the_millisecond() {
        assert_eq!(time(WallTime(1_790_000_000_123_999_999)), "2026-09-21T14:13:20.123Z");
        assert_eq!(time(WallTime(u64::MAX)), "2554-07-21T23:34:33.709Z");
    }
}
