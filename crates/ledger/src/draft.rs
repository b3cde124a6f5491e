//! What may be recorded, and by whom it was made safe.
//!
//! A field of a record takes only [`Recordable`] types: ids, numbers, the words of `vocab`, digests, constants, and
//! text that `mask` has been over. A string from a peer does not type-check.
//!
//! ```compile_fail
//! let from_a_peer: String = std::env::args().next().unwrap();
//! let draft = ledger::Draft::new(ledger::Kind::Note).put("what", from_a_peer);
//! ```
//! ```compile_fail
//! let from_a_peer: String = std::env::args().next().unwrap();
//! let draft = ledger::Draft::new(ledger::Kind::Note).put("what", from_a_peer.as_str());
//! ```
//! ```
//! // The twin: a constant is recordable.
//! let constant: &'static str = "cancel";
//! let draft = ledger::Draft::new(ledger::Kind::Note).put("what", constant);
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::net::SocketAddr;

use mask::{Filter, MaskedBytes, MaskedField, MaskedRow, MaskedText, Print};
use seal::cbor::Encoder;
use vocab::{
    AskId, Class, Durability, Group, MaskKind, Opaque, PolicyHash, Position, ResourcePath, RuleId, RunId,
    Seq, SessionId, Verb, Verdict, WallTime,
};

use crate::limits::{NAME_BYTES_MAX, OPERATOR_TEXT_BYTES_MAX, PAYLOAD_BYTES_MAX, PAYLOADS_MAX};
use sealed::Sealed;

/// What most records hold, in bytes and in fields: asked for at once, they need not grow.
const RECORD_BYTES_USUAL: usize = 512;
const FIELDS_USUAL: usize = 24;

/// The kinds of record: docs/RECORDS.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Genesis,
    Start,
    Stop,
    Epoch,
    Policy,
    Catalog,
    Heartbeat,
    Gap,
    Watch,
    Admin,
    Tombstone,
    Open,
    Close,
    Connect,
    Disconnect,
    Intent,
    Refusal,
    Ask,
    Approval,
    Outcome,
    Chunk,
    Plan,
    Decision,
    Note,
}

impl Kind {
    pub const ALL: [Kind; 24] = [
        Kind::Genesis,
        Kind::Start,
        Kind::Stop,
        Kind::Epoch,
        Kind::Policy,
        Kind::Catalog,
        Kind::Heartbeat,
        Kind::Gap,
        Kind::Watch,
        Kind::Admin,
        Kind::Tombstone,
        Kind::Open,
        Kind::Close,
        Kind::Connect,
        Kind::Disconnect,
        Kind::Intent,
        Kind::Refusal,
        Kind::Ask,
        Kind::Approval,
        Kind::Outcome,
        Kind::Chunk,
        Kind::Plan,
        Kind::Decision,
        Kind::Note,
    ];

    /// The word in a record's `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Genesis => "genesis",
            Kind::Start => "start",
            Kind::Stop => "stop",
            Kind::Epoch => "epoch",
            Kind::Policy => "policy",
            Kind::Catalog => "catalog",
            Kind::Heartbeat => "heartbeat",
            Kind::Gap => "gap",
            Kind::Watch => "watch",
            Kind::Admin => "admin",
            Kind::Tombstone => "tombstone",
            Kind::Open => "open",
            Kind::Close => "close",
            Kind::Connect => "connect",
            Kind::Disconnect => "disconnect",
            Kind::Intent => "intent",
            Kind::Refusal => "refusal",
            Kind::Ask => "ask",
            Kind::Approval => "approval",
            Kind::Outcome => "outcome",
            Kind::Chunk => "chunk",
            Kind::Plan => "plan",
            Kind::Decision => "decision",
            Kind::Note => "note",
        }
    }

    pub fn parse(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Belongs to a run.
    pub fn of_run(self) -> bool {
        match self {
            Kind::Open | Kind::Close | Kind::Connect | Kind::Disconnect | Kind::Intent | Kind::Refusal => {
                true
            }
            Kind::Ask | Kind::Approval | Kind::Outcome | Kind::Chunk => true,
            Kind::Plan | Kind::Decision | Kind::Note => true,
            Kind::Genesis | Kind::Start | Kind::Stop | Kind::Epoch | Kind::Policy | Kind::Catalog => false,
            Kind::Heartbeat | Kind::Gap | Kind::Watch | Kind::Admin | Kind::Tombstone => false,
        }
    }

    /// Begins something new, so that it needs admission; the others finish what was admitted, or are the gateway's.
    pub fn needs_admission(self) -> bool {
        matches!(self, Kind::Open | Kind::Connect | Kind::Intent | Kind::Ask)
    }

    /// Ends something that was admitted: may use what a run has of overdraft.
    pub(crate) fn settles(self) -> bool {
        matches!(self, Kind::Outcome | Kind::Refusal | Kind::Disconnect | Kind::Approval | Kind::Close)
    }

    /// Written by the ledger alone: an outsider's draft of it is refused.
    pub(crate) fn reserved(self) -> bool {
        matches!(
            self,
            Kind::Genesis
                | Kind::Start
                | Kind::Stop
                | Kind::Epoch
                | Kind::Heartbeat
                | Kind::Gap
                | Kind::Tombstone
                | Kind::Open
                | Kind::Close
        )
    }
}

mod sealed {
    pub trait Sealed {
        fn encode(&self, out: &mut Vec<u8>);

        /// Levels of arrays and maps.
        fn depth(&self) -> u8 {
            0
        }

        /// A map in it has a key twice.
        fn broken(&self) -> bool {
            false
        }
    }
}

/// May stand in a record or a payload. Sealed: only this crate says what is safe to keep.
pub trait Recordable: Sealed {}

impl<T: Sealed + ?Sized> Recordable for T {}

/// A map under construction: the body of a record, or a map in it. Keys are constants.
#[derive(Clone, Default)]
pub struct Map {
    /// Values as they are encoded, in the order of the puts.
    arena: Vec<u8>,
    /// In canonical order.
    entries: Vec<Entry>,
    depth: u8,
    /// A key was put twice, here or in a map within.
    broken: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    key: &'static str,
    start: usize,
    end: usize,
}

impl Map {
    pub fn new() -> Map {
        Map::default()
    }

    /// Adds a field. The same key twice makes the record malformed, and the append refuses it.
    pub fn put(mut self, key: &'static str, value: impl Recordable) -> Map {
        self.insert(key, &value);
        self
    }

    /// Adds an optional field: absent if `None`.
    pub fn put_some(self, key: &'static str, value: Option<impl Recordable>) -> Map {
        match value {
            Some(value) => self.put(key, value),
            None => self,
        }
    }

    /// With room for a record of the common size.
    fn for_record() -> Map {
        Map {
            arena: Vec::with_capacity(RECORD_BYTES_USUAL),
            entries: Vec::with_capacity(FIELDS_USUAL),
            ..Map::default()
        }
    }

    /// Adds the fields of another map, as they were encoded.
    pub(crate) fn extend(&mut self, other: &Map) {
        let offset = self.arena.len();
        self.arena.extend_from_slice(&other.arena);
        for entry in &other.entries {
            self.place(Entry { start: entry.start + offset, end: entry.end + offset, ..*entry });
        }
        self.depth = self.depth.max(other.depth);
        self.broken |= other.broken;
    }

    pub(crate) fn insert(&mut self, key: &'static str, value: &impl Recordable) {
        let start = self.arena.len();
        value.encode(&mut self.arena);
        self.place(Entry { key, start, end: self.arena.len() });
        self.depth = self.depth.max(value.depth());
        self.broken |= value.broken();
    }

    fn place(&mut self, entry: Entry) {
        let at = self.entries.partition_point(|there| key_order(there.key, entry.key).is_lt());
        self.broken |= self.entries.get(at).is_some_and(|there| there.key == entry.key);
        self.entries.insert(at, entry);
    }

    /// Bytes of the encoded map, about.
    pub(crate) fn size(&self) -> usize {
        self.arena.len() + self.entries.iter().map(|entry| entry.key.len() + 2).sum::<usize>() + 5
    }

    pub(crate) fn levels(&self) -> u8 {
        self.depth.saturating_add(1)
    }

    /// Whether a key was put twice, here or in a map within.
    pub(crate) fn repeats(&self) -> bool {
        self.broken
    }

    /// Appends its canonical bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size());
        self.write(&mut out);
        out
    }
}

impl Sealed for Map {
    fn encode(&self, out: &mut Vec<u8>) {
        Encoder::new(out).map(self.entries.len());
        for Entry { key, start, end } in &self.entries {
            Encoder::new(out).text(key);
            out.extend_from_slice(&self.arena[*start..*end]);
        }
    }

    fn depth(&self) -> u8 {
        self.levels()
    }

    fn broken(&self) -> bool {
        self.repeats()
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| entry.key)).finish()
    }
}

/// A record to be appended.
#[must_use = "a draft is evidence only once it is appended"]
pub struct Draft {
    pub(crate) kind: Kind,
    pub(crate) run: Option<RunId>,
    pub(crate) session: Option<SessionId>,
    pub(crate) of: Option<Seq>,
    pub(crate) body: Map,
    pub(crate) payloads: Vec<PayloadPlain>,
    pub(crate) with_next: bool,
}

impl Draft {
    pub fn new(kind: Kind) -> Draft {
        Draft {
            kind,
            run: None,
            session: None,
            of: None,
            body: Map::for_record(),
            payloads: Vec::new(),
            with_next: false,
        }
    }

    /// Nobody waits for this record by itself: it becomes durable with the next one, or within
    /// [`KEEPER_MILLIS`](crate::limits::KEEPER_MILLIS). Saves a sync where another record must follow.
    pub fn with_next(mut self) -> Draft {
        self.with_next = true;
        self
    }

    pub fn run(mut self, run: RunId) -> Draft {
        self.run = Some(run);
        self
    }

    pub fn session(mut self, session: SessionId) -> Draft {
        self.session = Some(session);
        self
    }

    /// The record that this one answers.
    pub fn of(mut self, of: Seq) -> Draft {
        self.of = Some(of);
        self
    }

    /// Adds a field of the body.
    pub fn put(mut self, key: &'static str, value: impl Recordable) -> Draft {
        self.body.insert(key, &value);
        self
    }

    /// Adds an optional field of the body: absent if `None`.
    pub fn put_some(self, key: &'static str, value: Option<impl Recordable>) -> Draft {
        match value {
            Some(value) => self.put(key, value),
            None => self,
        }
    }

    /// Adds the fields of a map that was made before: what many records have in common is encoded once.
    pub fn with(mut self, fields: &Map) -> Draft {
        self.body.extend(fields);
        self
    }

    /// Adds a payload, which will be encrypted with the run's key. At most [`PAYLOADS_MAX`].
    pub fn payload(mut self, payload: PayloadPlain) -> Draft {
        self.payloads.push(payload);
        self
    }

    /// The same once more, for the case that this one is lost.
    pub(crate) fn again(&self) -> Draft {
        Draft {
            body: self.body.clone(),
            payloads: self.payloads.iter().map(|payload| PayloadPlain(payload.0.clone())).collect(),
            ..*self
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.body.entries.iter().any(|entry| entry.key == key)
    }

    /// Bytes of it, about.
    pub(crate) fn size(&self) -> usize {
        self.body.size() + self.payloads.iter().map(|payload| payload.0.size()).sum::<usize>()
    }

    pub(crate) fn too_many_payloads(&self) -> bool {
        self.payloads.len() > PAYLOADS_MAX
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Draft({}, {} bytes, {} payloads)",
            self.kind.as_str(),
            self.body.size(),
            self.payloads.len()
        )
    }
}

/// A piece of the reel before it is encrypted: docs/RECORDS.md, "Payloads". It too holds nothing raw.
pub struct PayloadPlain(pub(crate) Map);

impl PayloadPlain {
    /// `t` is `asked`, `result`, `rows` or `copy`; the other fields are in `map`.
    pub fn new(t: &'static str, map: Map) -> PayloadPlain {
        PayloadPlain(map.put("t", t))
    }

    /// Whether the ledger takes it: one value may be longer than a payload.
    pub fn fits(&self) -> bool {
        self.0.size() <= PAYLOAD_BYTES_MAX
    }
}

impl fmt::Debug for PayloadPlain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayloadPlain({} bytes)", self.0.size())
    }
}

/// A name that the operator wrote into the configuration, or that the gateway's own identity map gave: human,
/// agent, role, host. Never a peer's word: the source scan lists who calls this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// `None` if `text` is longer than [`NAME_BYTES_MAX`] or has control characters.
    pub fn configured(text: &str) -> Option<Name> {
        (text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)).then(|| Name(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that the operator wrote, such as a policy. Never a peer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorText(Box<str>);

impl OperatorText {
    /// `None` if `text` is longer than [`OPERATOR_TEXT_BYTES_MAX`].
    pub fn new(text: &str) -> Option<OperatorText> {
        (text.len() <= OPERATOR_TEXT_BYTES_MAX).then(|| OperatorText(text.into()))
    }
}

/// What a client is told in its protocol's own form: an SQLSTATE (five of `0-9A-Z`), or an HTTP status or an exit status
/// (three digits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    text: [u8; 5],
    len: usize,
}

impl Code {
    /// An SQLSTATE. `None` unless every byte is an upper-case letter or a digit.
    pub fn new(text: [u8; 5]) -> Option<Code> {
        text.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()).then_some(Code { text, len: 5 })
    }

    /// An HTTP status, or an exit status. `None` unless it has three digits.
    pub fn status(status: u16) -> Option<Code> {
        let digit = |n: u16| b'0' + u8::try_from(n % 10).unwrap_or(0);
        let text = [digit(status / 100), digit(status / 10), digit(status), 0, 0];
        (100..=999).contains(&status).then_some(Code { text, len: 3 })
    }

    pub fn as_str(&self) -> &str {
        // The constructors admit ASCII only, and no more than five bytes.
        self.text.get(..self.len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or("XX000")
    }
}

/// SHA-256 of something that is no secret: a configuration, a schema, a policy request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// `SHA-256(32 random bytes || bytes)`: says nothing about the bytes to whom the opening is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Commitment(pub(crate) [u8; 32]);

impl Commitment {
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The random bytes of a [`Commitment`]. Goes into a payload, never into a record.
#[derive(Clone, PartialEq, Eq)]
pub struct Opening(pub(crate) [u8; 32]);

impl Opening {
    /// The field `open` of a payload.
    pub fn into_payload(self, t: &'static str, map: Map) -> PayloadPlain {
        let mut map = map;
        map.insert("open", &Raw(&self.0));
        PayloadPlain::new(t, map)
    }

    /// Whether `commitment` is to `bytes` under this opening.
    pub fn opens(&self, commitment: &Commitment, bytes: &[u8]) -> bool {
        seal::payload::commitment(&self.0, bytes) == commitment.0
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening(32 bytes)")
    }
}

/// Bytes of the ledger's own making: keys' digests, sealed keys, roots.
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

/// Text of the ledger's own making: origins, verifier keys, versions.
pub(crate) struct OwnText<'a>(pub(crate) &'a str);

macro_rules! recordable {
    ($($type:ty => |$value:ident, $out:ident| $body:expr;)*) => {
        $(impl Sealed for $type {
            fn encode(&self, $out: &mut Vec<u8>) {
                let $value = self;
                $body
            }
        })*
    };
}

recordable! {
    u8 => |v, out| Encoder::new(out).uint(u64::from(*v));
    u16 => |v, out| Encoder::new(out).uint(u64::from(*v));
    u32 => |v, out| Encoder::new(out).uint(u64::from(*v));
    u64 => |v, out| Encoder::new(out).uint(*v);
    i16 => |v, out| Encoder::new(out).int(i64::from(*v));
    i32 => |v, out| Encoder::new(out).int(i64::from(*v));
    i64 => |v, out| Encoder::new(out).int(*v);
    bool => |v, out| Encoder::new(out).bool(*v);
    &'static str => |v, out| Encoder::new(out).text(v);
    RunId => |v, out| Encoder::new(out).bytes(&v.0);
    AskId => |v, out| Encoder::new(out).bytes(&v.0);
    SessionId => |v, out| Encoder::new(out).uint(v.0);
    Seq => |v, out| Encoder::new(out).uint(v.0);
    WallTime => |v, out| Encoder::new(out).uint(v.0);
    PolicyHash => |v, out| Encoder::new(out).bytes(&v.0);
    Verb => |v, out| Encoder::new(out).text(v.as_str());
    Position => |v, out| Encoder::new(out).text(v.as_str());
    Verdict => |v, out| Encoder::new(out).text(v.as_str());
    Durability => |v, out| Encoder::new(out).text(v.as_str());
    MaskKind => |v, out| Encoder::new(out).text(v.as_str());
    Class => |v, out| Encoder::new(out).text(v.as_str());
    ResourcePath => |v, out| Encoder::new(out).text(v.as_str());
    RuleId => |v, out| Encoder::new(out).text(&v.0);
    Group => |v, out| Encoder::new(out).text(&v.0);
    Opaque => |v, out| Encoder::new(out).text(v.0);
    Name => |v, out| Encoder::new(out).text(&v.0);
    OperatorText => |v, out| Encoder::new(out).text(&v.0);
    Code => |v, out| Encoder::new(out).text(v.as_str());
    SocketAddr => |v, out| Encoder::new(out).text(&v.to_string());
    Digest => |v, out| Encoder::new(out).bytes(&v.0);
    Commitment => |v, out| Encoder::new(out).bytes(&v.0);
    Print => |v, out| Encoder::new(out).bytes(&v.0);
    Filter => |v, out| Encoder::new(out).bytes(&v.to_bytes());
    MaskedText => |v, out| Encoder::new(out).text(v.as_str());
    MaskedBytes => |v, out| Encoder::new(out).bytes(v.as_bytes());
    MaskedField<'_> => |v, out| match v.as_bytes() {
        Some(bytes) => Encoder::new(out).bytes(bytes),
        None => Encoder::new(out).null(),
    };
    Raw<'_> => |v, out| Encoder::new(out).bytes(v.0);
    OwnText<'_> => |v, out| Encoder::new(out).text(v.0);
}

impl<T: Sealed> Sealed for [T] {
    fn encode(&self, out: &mut Vec<u8>) {
        Encoder::new(out).array(self.len());
        self.iter().for_each(|item| item.encode(out));
    }

    fn depth(&self) -> u8 {
        self.iter().map(Sealed::depth).max().unwrap_or(0).saturating_add(1)
    }

    fn broken(&self) -> bool {
        self.iter().any(Sealed::broken)
    }
}

impl<T: Sealed> Sealed for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_slice().encode(out);
    }

    fn depth(&self) -> u8 {
        self.as_slice().depth()
    }

    fn broken(&self) -> bool {
        self.as_slice().broken()
    }
}

impl<T: Sealed + ?Sized> Sealed for &T {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }

    fn depth(&self) -> u8 {
        (**self).depth()
    }

    fn broken(&self) -> bool {
        (**self).broken()
    }
}

/// A row of the reel: an array of bytes or null, as the client saw them.
impl Sealed for MaskedRow<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        let cells = self.cells();
        Encoder::new(out).array(cells.len());
        for cell in cells {
            match cell {
                Some(bytes) => Encoder::new(out).bytes(bytes),
                None => Encoder::new(out).null(),
            }
        }
    }

    fn depth(&self) -> u8 {
        1
    }
}

impl<T: Sealed, const N: usize> Sealed for [T; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_slice().encode(out);
    }

    fn depth(&self) -> u8 {
        self.as_slice().depth()
    }

    fn broken(&self) -> bool {
        self.as_slice().broken()
    }
}

/// `None` is CBOR's null: a NULL cell. For a field that is absent use `put_some`.
impl<T: Sealed> Sealed for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.encode(out),
            None => Encoder::new(out).null(),
        }
    }

    fn depth(&self) -> u8 {
        self.as_ref().map_or(0, Sealed::depth)
    }

    fn broken(&self) -> bool {
        self.as_ref().is_some_and(Sealed::broken)
    }
}

impl<A: Sealed, B: Sealed> Sealed for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        Encoder::new(out).array(2);
        self.0.encode(out);
        self.1.encode(out);
    }

    fn depth(&self) -> u8 {
        self.0.depth().max(self.1.depth()).saturating_add(1)
    }

    fn broken(&self) -> bool {
        self.0.broken() || self.1.broken()
    }
}

impl<A: Sealed, B: Sealed, C: Sealed> Sealed for (A, B, C) {
    fn encode(&self, out: &mut Vec<u8>) {
        Encoder::new(out).array(3);
        self.0.encode(out);
        self.1.encode(out);
        self.2.encode(out);
    }

    fn depth(&self) -> u8 {
        self.0.depth().max(self.1.depth()).max(self.2.depth()).saturating_add(1)
    }

    fn broken(&self) -> bool {
        self.0.broken() || self.1.broken() || self.2.broken()
    }
}

/// The order of two text keys in a canonical map: by their encoded bytes, so a shorter one comes first.
fn key_order(a: &str, b: &str) -> Ordering {
    (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: &impl Recordable) -> Vec<u8> {
        let mut out = Vec::new();
        value.encode(&mut out);
        out
    }

    #[test]
    fn a_map_is_written_in_canonical_order_whatever_the_order_of_puts() {
        let one = Map::new().put("b", 1u64).put("aa", true).put("a", "x");
        let two = Map::new().put("a", "x").put("b", 1u64).put("aa", true);
        assert_eq!(encoded(&one), encoded(&two));
        assert_eq!(encoded(&one), [0xA3, 0x61, b'a', 0x61, b'x', 0x61, b'b', 1, 0x62, b'a', b'a', 0xF5]);
    }

    #[test]
    fn fields_made_before_are_as_if_they_were_put_now() {
        let nested = || Map::new().put("x", vec![1u64]);
        let before = Map::new().put("aa", true).put("l", nested());
        let draft = Draft::new(Kind::Note).put("b", 1u64).with(&before).put("c", 2u64);
        let whole = Map::new().put("b", 1u64).put("aa", true).put("l", nested()).put("c", 2u64);
        assert_eq!(encoded(&draft.body), encoded(&whole));
        assert_eq!(draft.body.levels(), whole.levels());
        assert!(draft.with(&Map::new().put("c", 3u64)).body.repeats());
    }

    #[test]
    fn a_key_put_twice_is_noticed_at_any_depth() {
        let twice = Map::new().put("a", 1u64).put("b", 1u64).put("a", 2u64);
        assert!(twice.repeats());
        assert!(!Map::new().put("a", 1u64).put("b", 1u64).repeats());
        assert!(Map::new().put("list", vec![(1u64, Some(twice))]).repeats());
    }

    #[test]
    fn depth_counts_arrays_and_maps() {
        assert_eq!(Map::new().levels(), 1);
        let nested = Map::new().put("l", vec![Map::new().put("x", vec![1u64])]);
        assert_eq!(nested.levels(), 4);
    }

    #[test]
    fn names_and_codes_are_narrow() {
        assert!(Name::configured("support-agent").is_some());
        assert!(Name::configured("two\nlines").is_none());
        assert!(Name::configured(&"x".repeat(NAME_BYTES_MAX)).is_some());
        assert!(Name::configured(&"x".repeat(NAME_BYTES_MAX + 1)).is_none());
        assert!(Code::new(*b"42501").is_some());
        assert!(Code::new(*b"4250a").is_none());
    }

    #[test]
    fn every_kind_has_its_own_word() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn a_commitment_opens_only_for_its_bytes() {
        let opening = Opening([7; 32]);
        let commitment = Commitment(seal::payload::commitment(&[7; 32], b"select 1"));
        assert!(opening.opens(&commitment, b"select 1"));
        assert!(!opening.opens(&commitment, b"select 2"));
        assert!(!Opening([8; 32]).opens(&commitment, b"select 1"));
    }
}
