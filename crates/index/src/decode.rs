//! Canonical bytes -> [`Record`]. Strict about what it does not know, and lossless about it: a record whose header can
//! be read is always kept, and what could not be read of its body is listed as flaws.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use seal::cbor::Value;
use seal::record::Header;
use vocab::{AskId, Bound, PolicyHash, RunId, Seq, WallTime};

use crate::limits::{FLAWS_MAX, SHARED_TEXT_BYTES_MAX, SHARED_TEXTS_MAX};
use crate::record::{
    Act, Approval, ApprovalVerdict, AskPart, At, Body, Cause, Chunk, Close, Column, Connect, Coverage,
    Decision, Delegation, Disconnect, Disposition, Epoch, Exposure, Flaw, FlawKind, Form, Gap, Governed,
    Head, Heartbeat, How, Open, Outcome, Param, Payload, Plan, PlanStep, Record, RefusalPart, Request,
    ResultColumn, ResultWord, Settled, Side, Signature, Span, Stage, Start, StepOf, Touch, Tripwire,
    VerbWord, VerdictWord,
};

/// Decodes records and shares the texts that repeat between them.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    texts: HashSet<Arc<str>>,
}

/// The header of a record could not be read. The verifier names the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a record cannot be read: {}; run `tacho verify`", self.0)
    }
}

impl std::error::Error for Unreadable {}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Decodes the canonical bytes of one record (FORMAT.md section 3).
    ///
    /// Errors: the header, or the CBOR itself, is malformed. A body of a known kind always decodes; see [`Record::flaws`].
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Record, Unreadable> {
        let header = Header::decode(bytes).map_err(|e| Unreadable(e.to_string()))?;
        let value = header.body().map_err(|e| Unreadable(e.to_string()))?;
        let head = Head {
            kind: self.share(header.kind),
            seq: Seq(header.seq),
            at: WallTime(header.at),
            run: header.link.as_ref().map(|link| (RunId(link.run), link.rseq)),
            session: header.sess,
            of: header.of.map(Seq),
            payloads: header
                .pay
                .iter()
                .map(|p| Payload { digest: p.digest, key: p.key, bytes: p.length })
                .collect(),
        };
        let mut flaws = Flaws::default();
        let body = self.body(header.kind, &value, &mut flaws);
        Ok(Record { head, body, flaws: flaws.list })
    }

    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(shared) = self.texts.get(text) {
            return shared.clone();
        }
        let new: Arc<str> = text.into();
        if text.len() <= SHARED_TEXT_BYTES_MAX && self.texts.len() < SHARED_TEXTS_MAX {
            self.texts.insert(new.clone());
        }
        new
    }

    fn body(&mut self, kind: &str, value: &Value, flaws: &mut Flaws) -> Body {
        let mut f = Fields::new(self, flaws, value, String::new());
        let body = match kind {
            "genesis" => {
                Body::Genesis { origin: f.text("origin"), key: f.text("key"), version: f.text("version") }
            }
            "start" => Body::Start(start(&mut f)),
            "stop" => Body::Stop { reason: f.text("reason") },
            "epoch" => Body::Epoch(epoch(&mut f)),
            "policy" => {
                Body::Policy { hash: f.bytes_of("hash"), text: f.text("text"), schema: f.bytes_of("schema") }
            }
            "catalog" => Body::Catalog {
                resource: f.text("resource"),
                hash: f.bytes_of("hash"),
                relations: f.uint("relations"),
                server: f.text("server"),
            },
            "heartbeat" => Body::Heartbeat(Heartbeat { runs: f.uint("runs"), sessions: f.uint("sessions") }),
            "gap" => Body::Gap(gap(&mut f)),
            "watch" => Body::Watch { who: f.text("who"), verb: f.text("verb"), subject: f.text("subject") },
            "admin" => Body::Admin {
                who: f.text("who"),
                verb: f.text("verb"),
                subject: f.text("subject"),
                result: f.text("result"),
            },
            "tombstone" => {
                Body::Tombstone { run: RunId(f.bytes_of("subject")), who: f.text("who"), why: f.text("why") }
            }
            "open" => Body::Open(Box::new(open(&mut f))),
            "close" => Body::Close(close(&mut f)),
            "connect" => Body::Connect(Box::new(connect(&mut f))),
            "disconnect" => Body::Disconnect(disconnect(&mut f)),
            "intent" => Body::Intent(Box::new(request(&mut f))),
            "refusal" => Body::Refusal(Box::new(request(&mut f)), Box::new(refusal(&mut f))),
            "ask" => {
                let request = request(&mut f);
                let ask = ask(&mut f, &request);
                Body::Ask(Box::new(request), Box::new(ask))
            }
            "approval" => Body::Approval(Box::new(approval(&mut f))),
            "outcome" => Body::Outcome(Box::new(outcome(&mut f))),
            "chunk" => Body::Chunk(Box::new(chunk(&mut f))),
            "plan" => Body::Plan(Box::new(plan(&mut f))),
            "decision" => Body::Decision(Box::new(decision(&mut f))),
            "note" => Body::Note {
                what: f.text("what"),
                detail: f.text_if("detail"),
                filter: f.byte_string_if("filter"),
                coverage: f.text_if("coverage").map(|text| coverage_of(&mut f, text)),
            },
            _ => return Body::Unknown,
        };
        f.finish();
        body
    }
}

fn start(f: &mut Fields<'_>) -> Start {
    Start {
        version: f.text("version"),
        config: f.bytes_of("config"),
        policy: f.bytes_of("policy"),
        durability: f.text("durability"),
        recovered: f.uint("recovered"),
        adopted: f.uint_if("adopted").unwrap_or(0),
        torn: f.uint("torn"),
    }
}

fn epoch(f: &mut Fields<'_>) -> Epoch {
    Epoch {
        epoch: f.uint("epoch"),
        sealed: f.list("sealed", |item| item.as_bytes().map(<[u8]>::to_vec)),
        auditors: f.list("auditors", Value::as_bytes_of),
        key: f.text_if("key"),
    }
}

fn gap(f: &mut Fields<'_>) -> Gap {
    Gap {
        from: WallTime(f.uint("from")),
        to: WallTime(f.uint("to")),
        refused: f.uint("refused"),
        told: f.uint_if("told").unwrap_or(0),
        cut: f.uint("cut"),
        why: f.text("why"),
    }
}

fn open(f: &mut Fields<'_>) -> Open {
    Open {
        human: f.text("human"),
        by: f.text("by"),
        agent: f.text("agent"),
        agent_version: f.text_if("agent_version"),
        task: f.text_if("task"),
        parent: f.bytes_of_if("parent").map(RunId),
        confined: f.boolean("confined"),
        jailed: f.boolean_if("jailed").unwrap_or(false),
        argv: f.texts("argv"),
        uid: f.uint("uid"),
        chain: f.map_if("chain", delegation),
    }
}

fn delegation(f: &mut Fields<'_>) -> Delegation {
    Delegation {
        issuer: f.text("issuer"),
        iss: f.text("iss"),
        sub: f.text("sub"),
        acts: f.maps("acts", |act| (act.text("sub"), act.text_if("iss"))),
        jti: f.text_if("jti"),
        token: f.bytes_of("token"),
        exp: f.uint("exp"),
        claims: f.maps("claims", |claim| (claim.text("claim"), claim.text("value"))),
    }
}

fn close(f: &mut Fields<'_>) -> Close {
    Close { count: f.uint("count"), root: f.bytes_of("root"), why: f.text("why"), status: f.int_if("status") }
}

fn connect(f: &mut Fields<'_>) -> Connect {
    Connect {
        resource: f.text("resource"),
        client: f.text("client"),
        upstream: f.text("upstream"),
        upstream_id: f.uint("upstream_id"),
        tls_client: f.boolean("tls_client"),
        tls_upstream: f.boolean("tls_upstream"),
        role: f.text("role"),
        server: f.text("server"),
        options: f.text_map("options"),
    }
}

fn disconnect(f: &mut Fields<'_>) -> Disconnect {
    Disconnect {
        why: f.text("why"),
        client_bytes: f.uint("client_bytes"),
        upstream_bytes: f.uint("upstream_bytes"),
    }
}

fn request(f: &mut Fields<'_>) -> Request {
    Request {
        via: f.text("via"),
        kind: f.text_if("kind"),
        approved: f.texts_if("approved"),
        verbs: f.words("verbs", VerbWord::parse, VerbWord::is_strange),
        touches: f.maps("touches", touch),
        functions: f.texts("functions"),
        statement: f.text("statement"),
        sent: f.text_if("sent"),
        asked: f.bytes_of("asked"),
        sending: f.bytes_of("sending"),
        params: f.maps("params", param),
        params_more: f.uint_if("params_more").unwrap_or(0),
        verdict: f.word("verdict", VerdictWord::parse, VerdictWord::is_strange),
        rules: f.texts("rules"),
        policy: f.bytes_of("policy"),
        request: f.bytes_of("request"),
        request_text: f.text_if("request_text"),
        opaque: f.text_if("opaque"),
        governed: f.maps("governed", governed),
        prints: f.list("prints", Value::as_bytes_of),
        tx: f.text("tx"),
        durability: f.text("durability"),
        causes: f.maps_if("causes", cause),
        shows: f.list_if("shows", |value| value.as_u64().map(Seq)),
        tripwires: f.maps_if("tripwires", tripwire),
    }
}

fn cause(f: &mut Fields<'_>) -> Cause {
    Cause {
        decision: Seq(f.uint("decision")),
        how: f.word("how", How::parse, How::is_strange),
        percent: f.uint_if("percent"),
        span: f.map_if("span", span),
    }
}

fn span(f: &mut Fields<'_>) -> Span {
    Span {
        side: f.word("in", Side::parse, Side::is_strange),
        from: f.uint("from"),
        to: f.uint("to"),
        of: f.uint("of"),
    }
}

/// `cols` and `at` stand side by side: the first column at the first position, and so on. Either is absent where the
/// resource has no columns.
fn touch(f: &mut Fields<'_>) -> Touch {
    let verb = f.word("verb", VerbWord::parse, VerbWord::is_strange);
    let on = f.text("on");
    let names = f.texts_if("cols");
    let at = f.words_if("at", At::parse, At::is_strange);
    if names.len() != at.len() {
        f.flaw("at", FlawKind::WrongType);
    }
    let unplaced = || At::Strange("unknown".into());
    let at = at.into_iter().map(Some).chain(std::iter::repeat(None));
    let columns =
        names.into_iter().zip(at).map(|(name, at)| Column { name, at: at.unwrap_or_else(unplaced) });
    Touch { verb, on, columns: columns.collect() }
}

fn param(f: &mut Fields<'_>) -> Param {
    Param {
        type_: f.uint("type"),
        format: f.uint("format"),
        size: f.int("size"),
        mask: f.text("mask"),
        print: f.bytes_of_if("print"),
    }
}

fn governed(f: &mut Fields<'_>) -> Governed {
    Governed { on: f.text("on"), class: f.text("class"), as_: f.text("as") }
}

fn refusal(f: &mut Fields<'_>) -> RefusalPart {
    RefusalPart {
        code: f.text("code"),
        message: f.text("message"),
        partial: f.boolean_if("partial").unwrap_or(false),
        late: f.uint_if("late").map(WallTime),
    }
}

fn ask(f: &mut Fields<'_>, request: &Request) -> AskPart {
    let (ask, expires) = (f.bytes_of("ask"), WallTime(f.uint("expires")));
    let bound = Bound {
        ask: AskId(ask),
        statement: request.statement.clone(),
        sent: request.sent.clone(),
        params: request.params.iter().map(|param| param.mask.clone()).collect(),
        values: f.bytes_of_if("values"),
        asked: request.asked,
        sending: request.sending,
        request: request.request,
        policy: PolicyHash(request.policy),
        expires,
    };
    AskPart { ask, groups: f.texts("groups"), expires, changes: f.text_if("changes"), bound }
}

fn approval(f: &mut Fields<'_>) -> Approval {
    Approval {
        ask: f.bytes_of("ask"),
        verdict: f.word("verdict", ApprovalVerdict::parse, ApprovalVerdict::is_strange),
        by: f.text_if("by"),
        form: f.word_if("form", Form::parse, Form::is_strange),
        until: f.uint_if("until").map(WallTime),
        minutes: f.uint_if("minutes"),
        reason: f.text_if("reason"),
        signatures: f.maps_if("signatures", signature),
        signature: f.text_if("signature"),
    }
}

fn signature(f: &mut Fields<'_>) -> Signature {
    Signature { by: f.text("by"), key: f.text("key"), signature: f.text("signature") }
}

fn outcome(f: &mut Fields<'_>) -> Outcome {
    let settles: Vec<Seq> = f.list_if("settles", |item| item.as_u64().map(Seq));
    Outcome {
        result: f.word("result", ResultWord::parse, ResultWord::is_strange),
        state: f.word("state", Stage::parse, Stage::is_strange),
        settles,
        settled: f.word_if("settled", Settled::parse, Settled::is_strange),
        code: f.text_if("code"),
        tag: f.text_if("tag"),
        rows: f.uint("rows"),
        bytes: f.uint("bytes"),
        reasoning: f.text_if("reasoning"),
        hosted: f.texts_if("hosted"),
        columns: f.maps_if("columns", result_column),
        exposures: f.maps("exposures", exposure),
        tripwires: f.maps("tripwires", tripwire),
        filter: f.byte_string_if("filter"),
        coverage: coverage(f),
    }
}

fn coverage(f: &mut Fields<'_>) -> Coverage {
    let text = f.text("coverage");
    coverage_of(f, text)
}

fn coverage_of(f: &mut Fields<'_>, text: Arc<str>) -> Coverage {
    match text.strip_prefix("partial: ") {
        _ if &*text == "complete" => Coverage::Complete,
        Some(why) => Coverage::Partial(why.into()),
        None => {
            f.flaw("coverage", FlawKind::UnknownWord);
            Coverage::Partial(text)
        }
    }
}

fn result_column(f: &mut Fields<'_>) -> ResultColumn {
    ResultColumn { name: f.text("name"), type_: f.uint("type"), on: f.text_if("on") }
}

fn exposure(f: &mut Fields<'_>) -> Exposure {
    Exposure {
        on: f.text("on"),
        class: f.text("class"),
        at: f.word("at", At::parse, At::is_strange),
        what: f.word("what", Disposition::parse, Disposition::is_strange),
        by: {
            let by = f.text("by");
            match f.text_if("rule") {
                Some(rule) => format!("{by}:{rule}").into(),
                None => by,
            }
        },
        rows: f.uint("rows"),
        cells: f.uint("cells"),
        prints: f.list_if("prints", Value::as_bytes_of),
    }
}

fn tripwire(f: &mut Fields<'_>) -> Tripwire {
    Tripwire {
        detector: f.text("detector"),
        class: f.text("class"),
        channel: f.text("channel"),
        act: f.word("act", Act::parse, Act::is_strange),
    }
}

fn chunk(f: &mut Fields<'_>) -> Chunk {
    Chunk {
        n: f.uint("n"),
        to: f.text("to"),
        rows: f.uint("rows"),
        bytes: f.uint("bytes"),
        prints: f.list_if("prints", Value::as_bytes_of),
        exposures: f.maps("exposures", exposure),
        tripwires: f.maps("tripwires", tripwire),
        filter: f.byte_string_if("filter"),
        sending: f.byte_string_if("sending"),
    }
}

fn plan(f: &mut Fields<'_>) -> Plan {
    Plan {
        form: f.text("form"),
        steps: f.maps("steps", |f| PlanStep { text: f.text("text"), status: f.text_if("status") }),
        more: f.uint_if("more").unwrap_or(0),
        decision: f.uint_if("decision").map(Seq),
    }
}

fn decision(f: &mut Fields<'_>) -> Decision {
    Decision {
        n: f.uint("n"),
        model: f.text("model"),
        tool: f.text("tool"),
        call: f.text_if("call"),
        arguments: f.text("arguments"),
        step: f.map_if("step", |f| StepOf { plan: Seq(f.uint("plan")), n: f.uint("n"), how: f.text("how") }),
        told_by: f.list_if("told_by", |value| value.as_u64().map(Seq)),
        prints: f.list_if("prints", Value::as_bytes_of),
    }
}

/// What is wrong with one record; bounded.
#[derive(Default)]
struct Flaws {
    list: Vec<Flaw>,
}

impl Flaws {
    fn add(&mut self, field: String, kind: FlawKind) {
        match self.list.len() {
            n if n < FLAWS_MAX - 1 => self.list.push(Flaw { field: field.into(), kind }),
            n if n < FLAWS_MAX => self.list.push(Flaw { field: field.into(), kind: FlawKind::More }),
            _ => {}
        }
    }
}

/// Takes the fields of one map, each by its name, and knows afterwards which were not taken.
struct Fields<'a> {
    decoder: &'a mut Decoder,
    flaws: &'a mut Flaws,
    entries: &'a [(String, Value)],
    taken: Vec<bool>,
    path: String,
}

impl<'a> Fields<'a> {
    fn new(decoder: &'a mut Decoder, flaws: &'a mut Flaws, value: &'a Value, path: String) -> Fields<'a> {
        let entries = match value.as_map() {
            Some(entries) => entries,
            None => {
                flaws.add(path.clone(), FlawKind::WrongType);
                &[]
            }
        };
        Fields { decoder, flaws, entries, taken: vec![false; entries.len()], path }
    }

    /// Every field that was not asked for is one that this version does not know.
    fn finish(self) {
        let untaken = self.entries.iter().zip(&self.taken).filter(|(_, taken)| !**taken);
        for ((key, _), _) in untaken {
            self.flaws.add(format!("{}{key}", self.path), FlawKind::UnknownField);
        }
    }

    fn flaw(&mut self, key: &str, kind: FlawKind) {
        self.flaws.add(format!("{}{key}", self.path), kind);
    }

    fn take(&mut self, key: &str) -> Option<&'a Value> {
        let at = self.entries.iter().position(|(k, _)| k == key)?;
        if let Some(taken) = self.taken.get_mut(at) {
            *taken = true;
        }
        self.entries.get(at).map(|(_, value)| value)
    }

    /// The field through `read`. Absent: `None`. Of another type: `None` and a flaw.
    fn optional<T>(&mut self, key: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.take(key)?;
        let read = read(value);
        if read.is_none() {
            self.flaw(key, FlawKind::WrongType);
        }
        read
    }

    /// As [`Fields::optional`], but absence is a flaw too.
    fn required<T>(&mut self, key: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        if !self.entries.iter().any(|(k, _)| k == key) {
            self.flaw(key, FlawKind::Missing);
        }
        self.optional(key, read)
    }

    fn uint(&mut self, key: &str) -> u64 {
        self.required(key, Value::as_u64).unwrap_or(0)
    }

    fn uint_if(&mut self, key: &str) -> Option<u64> {
        self.optional(key, Value::as_u64)
    }

    fn int(&mut self, key: &str) -> i64 {
        self.required(key, Value::as_i64).unwrap_or(0)
    }

    fn int_if(&mut self, key: &str) -> Option<i64> {
        self.optional(key, Value::as_i64)
    }

    fn boolean(&mut self, key: &str) -> bool {
        self.required(key, Value::as_bool).unwrap_or(false)
    }

    fn boolean_if(&mut self, key: &str) -> Option<bool> {
        self.optional(key, Value::as_bool)
    }

    fn text(&mut self, key: &str) -> Arc<str> {
        match self.required(key, Value::as_text) {
            Some(text) => self.decoder.share(text),
            None => "".into(),
        }
    }

    fn text_if(&mut self, key: &str) -> Option<Arc<str>> {
        let text = self.optional(key, Value::as_text)?;
        Some(self.decoder.share(text))
    }

    fn bytes_of<const N: usize>(&mut self, key: &str) -> [u8; N] {
        self.required(key, Value::as_bytes_of).unwrap_or([0; N])
    }

    fn bytes_of_if<const N: usize>(&mut self, key: &str) -> Option<[u8; N]> {
        self.optional(key, Value::as_bytes_of)
    }

    fn byte_string_if(&mut self, key: &str) -> Option<Vec<u8>> {
        self.optional(key, |value| value.as_bytes().map(<[u8]>::to_vec))
    }

    fn list<T>(&mut self, key: &str, read: impl Fn(&'a Value) -> Option<T>) -> Vec<T> {
        let items = self.required(key, Value::as_array).unwrap_or(&[]);
        self.items(key, items, read)
    }

    fn list_if<T>(&mut self, key: &str, read: impl Fn(&'a Value) -> Option<T>) -> Vec<T> {
        let items = self.optional(key, Value::as_array).unwrap_or(&[]);
        self.items(key, items, read)
    }

    fn items<T>(&mut self, key: &str, items: &'a [Value], read: impl Fn(&'a Value) -> Option<T>) -> Vec<T> {
        let mut list = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            match read(item) {
                Some(item) => list.push(item),
                None => self.flaw(&format!("{key}.{n}"), FlawKind::WrongType),
            }
        }
        list
    }

    fn texts(&mut self, key: &str) -> Vec<Arc<str>> {
        let texts = self.list(key, Value::as_text);
        texts.into_iter().map(|text| self.decoder.share(text)).collect()
    }

    fn texts_if(&mut self, key: &str) -> Vec<Arc<str>> {
        let texts = self.list_if(key, Value::as_text);
        texts.into_iter().map(|text| self.decoder.share(text)).collect()
    }

    fn text_map(&mut self, key: &str) -> BTreeMap<Arc<str>, Arc<str>> {
        let entries = self.required(key, Value::as_map).unwrap_or(&[]);
        let mut map = BTreeMap::new();
        for (name, value) in entries {
            match value.as_text() {
                Some(text) => {
                    let (name, text) = (self.decoder.share(name), self.decoder.share(text));
                    map.insert(name, text);
                }
                None => self.flaw(&format!("{key}.{name}"), FlawKind::WrongType),
            }
        }
        map
    }

    /// A word out of a closed list. One that is not in it is kept, and is a flaw.
    fn word<W>(&mut self, key: &str, parse: fn(&str) -> W, strange: fn(&W) -> bool) -> W {
        let text = self.required(key, Value::as_text).unwrap_or("");
        self.known(key, parse(text), strange)
    }

    fn word_if<W>(&mut self, key: &str, parse: fn(&str) -> W, strange: fn(&W) -> bool) -> Option<W> {
        let text = self.optional(key, Value::as_text)?;
        Some(self.known(key, parse(text), strange))
    }

    fn words<W>(&mut self, key: &str, parse: fn(&str) -> W, strange: fn(&W) -> bool) -> Vec<W> {
        let texts = self.list(key, Value::as_text);
        texts.into_iter().map(|text| self.known(key, parse(text), strange)).collect()
    }

    fn words_if<W>(&mut self, key: &str, parse: fn(&str) -> W, strange: fn(&W) -> bool) -> Vec<W> {
        let texts = self.list_if(key, Value::as_text);
        texts.into_iter().map(|text| self.known(key, parse(text), strange)).collect()
    }

    fn known<W>(&mut self, key: &str, word: W, strange: fn(&W) -> bool) -> W {
        if strange(&word) {
            self.flaw(key, FlawKind::UnknownWord);
        }
        word
    }

    fn map_if<T>(&mut self, key: &str, read: fn(&mut Fields<'_>) -> T) -> Option<T> {
        let map = self.optional(key, |value| value.as_map().map(|_| value))?;
        self.each(key, std::slice::from_ref(map), read).pop()
    }

    fn maps<T>(&mut self, key: &str, read: fn(&mut Fields<'_>) -> T) -> Vec<T> {
        let items = self.required(key, Value::as_array).unwrap_or(&[]);
        self.each(key, items, read)
    }

    fn maps_if<T>(&mut self, key: &str, read: fn(&mut Fields<'_>) -> T) -> Vec<T> {
        let items = self.optional(key, Value::as_array).unwrap_or(&[]);
        self.each(key, items, read)
    }

    fn each<T>(&mut self, key: &str, items: &[Value], read: fn(&mut Fields<'_>) -> T) -> Vec<T> {
        let mut list = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            let path = format!("{}{key}.{n}.", self.path);
            let mut inner = Fields::new(self.decoder, self.flaws, item, path);
            list.push(read(&mut inner));
            inner.finish();
        }
        list
    }
}
