//! A ledger taken apart, for those who forge one.

use super::writer::Writer;
use crate::cbor::{Value, decode};
use crate::frame::{Frames, Kind, SegmentHeader, encode_batch, encode_frame};
use crate::note::{Checkpoint, SignedNote, Signer};
use crate::payload::body_digest;
use crate::tree::{Frontier, leaf_hash};
use std::collections::BTreeMap;

/// What stands in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Batch,
    Payload(Vec<u8>),
    /// Canonical bytes, unless they were forged otherwise.
    Record(Vec<u8>),
    Checkpoint(Vec<u8>),
}

impl Item {
    /// A record's map.
    pub fn value(&self) -> Option<Value> {
        match self {
            Item::Record(bytes) => Some(decode(bytes).unwrap()),
            _ => None,
        }
    }

    pub fn is_kind(&self, kind: &str) -> bool {
        self.value().is_some_and(|value| value.get("kind").and_then(Value::as_text) == Some(kind))
    }

    pub fn is_of(&self, run: &[u8; 16]) -> bool {
        self.value().is_some_and(|value| value.get("run").and_then(Value::as_bytes) == Some(run))
    }
}

/// A whole ledger as items, segment by segment.
#[derive(Clone, Debug)]
pub struct Items {
    pub origin: String,
    pub segment_bytes: usize,
    pub segments: Vec<Vec<Item>>,
}

impl Items {
    pub fn parse(segments: &[Vec<u8>]) -> Items {
        let origin = SegmentHeader::decode(&segments[0]).unwrap().origin;
        let parsed = segments.iter().map(|segment| {
            Frames::of_segment(segment)
                .map(|frame| frame.unwrap())
                .map(|frame| match frame.kind {
                    Kind::Batch => Item::Batch,
                    Kind::Payload => Item::Payload(frame.body.to_vec()),
                    Kind::Record => Item::Record(frame.body.to_vec()),
                    Kind::Checkpoint => Item::Checkpoint(frame.body.to_vec()),
                    Kind::Inclusion | Kind::Growth | Kind::Key => panic!("a bundle's frame in a segment"),
                })
                .collect()
        });
        Items { origin, segment_bytes: segments[0].len(), segments: parsed.collect() }
    }

    /// Lays the items out again, with right headers, CRCs, batch numbers and offsets.
    pub fn render(&self) -> Vec<Vec<u8>> {
        let (mut first_seq, mut next_batch) = (0, 0);
        let mut rendered = Vec::new();
        for (number, items) in (0..).zip(&self.segments) {
            let header =
                SegmentHeader { number, first_seq, first_batch: next_batch, origin: self.origin.clone() };
            let mut out = header.encode().unwrap().to_vec();
            for item in items {
                match item {
                    Item::Batch => {
                        let offset = out.len() as u64;
                        encode_batch(next_batch, offset, &mut out);
                        next_batch += 1;
                    }
                    Item::Payload(body) => encode_frame(Kind::Payload, body, &mut out).unwrap(),
                    Item::Record(body) => {
                        encode_frame(Kind::Record, body, &mut out).unwrap();
                        first_seq += 1;
                    }
                    Item::Checkpoint(body) => encode_frame(Kind::Checkpoint, body, &mut out).unwrap(),
                }
            }
            assert!(out.len() <= self.segment_bytes);
            out.resize(self.segment_bytes, 0);
            rendered.push(out);
        }
        rendered
    }

    /// Where the `n`th item for which `wanted` holds stands: segment and index.
    pub fn find(&self, n: usize, wanted: impl Fn(&Item) -> bool) -> (usize, usize) {
        self.segments
            .iter()
            .enumerate()
            .flat_map(|(s, items)| items.iter().enumerate().map(move |(i, item)| (s, i, item)))
            .filter(|(_, _, item)| wanted(item))
            .map(|(s, i, _)| (s, i))
            .nth(n)
            .expect("no such item")
    }

    /// Replaces fields of one record (dotted paths are not needed: `body` is given whole).
    pub fn edit(&mut self, (segment, index): (usize, usize), change: impl FnOnce(&mut Vec<(String, Value)>)) {
        let item = &mut self.segments[segment][index];
        let Some(Value::Map(mut fields)) = item.value() else { panic!("not a record") };
        change(&mut fields);
        *item = Item::Record(Value::Map(fields).to_bytes());
    }

    /// Removes every item for which `gone` holds.
    pub fn retain(&mut self, keep: impl Fn(&Item) -> bool) {
        self.segments.iter_mut().for_each(|items| items.retain(&keep));
    }

    /// Removes everything after the given item.
    pub fn cut_after(&mut self, (segment, index): (usize, usize)) {
        self.segments.truncate(segment + 1);
        self.segments[segment].truncate(index + 1);
    }

    /// Makes every record consistent again: seq, rseq, rprev, payload digests, close counts and roots. `of` is moved
    /// with the record that it names.
    pub fn relink(&mut self) {
        let (mut seq, mut moved) = (0u64, BTreeMap::new());
        let mut runs: BTreeMap<Vec<u8>, (Frontier, [u8; 32])> = BTreeMap::new();
        let mut payloads: Vec<Vec<u8>> = Vec::new();
        for item in self.segments.iter_mut().flatten() {
            match item {
                Item::Payload(body) => payloads.push(body.clone()),
                Item::Record(bytes) => {
                    let Value::Map(mut fields) = decode(bytes).unwrap() else { panic!("not a record") };
                    moved.insert(uint(&fields, "seq"), seq);
                    set(&mut fields, "seq", Value::Uint(seq));
                    if let Some(of) = field(&fields, "of").and_then(Value::as_u64) {
                        set(&mut fields, "of", Value::Uint(*moved.get(&of).unwrap_or(&of)));
                    }
                    relink_payloads(&mut fields, &std::mem::take(&mut payloads));
                    let run = field(&fields, "run").and_then(Value::as_bytes).map(<[u8]>::to_vec);
                    let state = run.map(|run| runs.entry(run).or_default());
                    if let Some((tree, last)) = &state {
                        set(&mut fields, "rseq", Value::Uint(tree.size()));
                        set(&mut fields, "rprev", Value::Bytes(last.to_vec()));
                        relink_close(&mut fields, tree);
                    }
                    *bytes = Value::Map(fields).to_bytes();
                    if let Some((tree, last)) = state {
                        *last = leaf_hash(bytes);
                        tree.append(*last);
                    }
                    seq += 1;
                }
                Item::Batch | Item::Checkpoint(_) => {}
            }
        }
    }

    /// Signs every checkpoint anew over what is before it. `key` gives the key for a size, or `None` to leave that
    /// checkpoint as it is.
    pub fn resign(&mut self, key: impl Fn(u64) -> Option<Signer>) {
        let mut tree = Frontier::new();
        for item in self.segments.iter_mut().flatten() {
            match item {
                Item::Record(bytes) => tree.append(leaf_hash(bytes)),
                Item::Checkpoint(note) => {
                    let checkpoint =
                        Checkpoint { origin: self.origin.clone(), size: tree.size(), root: tree.root() };
                    if let Some(signer) = key(tree.size()) {
                        *note = signer.sign(&checkpoint).to_bytes();
                    }
                }
                Item::Batch | Item::Payload(_) => {}
            }
        }
    }

    /// The checkpoints, oldest first.
    pub fn notes(&self) -> Vec<SignedNote> {
        let bodies = self.segments.iter().flatten().filter_map(|item| match item {
            Item::Checkpoint(body) => Some(SignedNote::parse(body).unwrap()),
            _ => None,
        });
        bodies.collect()
    }

    /// The signing key that the writer had for `generation`.
    pub fn signer(&self, generation: u8) -> Signer {
        Writer::signer(&self.origin, generation)
    }
}

/// Sets or adds a field of a map.
pub(super) fn set(fields: &mut Vec<(String, Value)>, key: &str, value: Value) {
    match fields.iter_mut().find(|(k, _)| k == key) {
        Some((_, old)) => *old = value,
        None => fields.push((key.to_owned(), value)),
    }
}

fn field<'a>(fields: &'a [(String, Value)], key: &str) -> Option<&'a Value> {
    fields.iter().find(|(k, _)| k == key).map(|(_, value)| value)
}

fn uint(fields: &[(String, Value)], key: &str) -> u64 {
    field(fields, key).and_then(Value::as_u64).unwrap()
}

fn relink_payloads(fields: &mut Vec<(String, Value)>, payloads: &[Vec<u8>]) {
    let key = field(fields, "pay").and_then(|pay| pay.as_array()?.first()?.as_array()?.get(1).cloned());
    fields.retain(|(name, _)| name != "pay");
    if !payloads.is_empty() {
        let key = key.unwrap_or(Value::Bytes(vec![0; 32]));
        let entry = |body: &Vec<u8>| {
            let digest = Value::Bytes(body_digest(body).to_vec());
            Value::Array(vec![digest, key.clone(), Value::Uint(body.len() as u64)])
        };
        set(fields, "pay", Value::Array(payloads.iter().map(entry).collect()));
    }
}

fn relink_close(fields: &mut [(String, Value)], tree: &Frontier) {
    if field(fields, "kind").and_then(Value::as_text) != Some("close") {
        return;
    }
    if let Some((_, Value::Map(body))) = fields.iter_mut().find(|(key, _)| key == "body") {
        set(body, "count", Value::Uint(tree.size()));
        set(body, "root", Value::Bytes(tree.root().to_vec()));
    }
}
