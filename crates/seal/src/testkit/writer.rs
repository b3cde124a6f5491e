//! A gateway's ledger, written to memory.

use crate::cbor::Value;
use crate::frame::{
    BATCH_FRAME_BYTES, FRAME_HEADER_BYTES, Kind, SEGMENT_HEADER_BYTES, SegmentHeader, encode_batch,
    encode_frame,
};
use crate::note::{Algorithm, Checkpoint, SignedNote, Signer};
use crate::payload::{body_digest, key_commitment, seal_payload};
use crate::record::{Fields, Link, PayloadRef, encode};
use crate::tree::{Frontier, leaf_hash, sha256_of};
use std::collections::BTreeMap;

/// What a batch frame, a checkpoint and a frame header may need on top of a record.
const RESERVE_BYTES: usize = 1024;

/// Writes records into segments of a fixed size, and begins a new one when the next record might not fit.
pub struct Writer {
    origin: String,
    segment_bytes: usize,
    full: Vec<Vec<u8>>,
    current: Vec<u8>,
    number: u64,
    next_batch: u64,
    tree: Frontier,
    runs: BTreeMap<[u8; 16], (Frontier, [u8; 32])>,
    signer: Signer,
    next_signer: Option<Signer>,
    notes: Vec<SignedNote>,
    at: u64,
    nonce: u64,
}

impl Writer {
    /// Begins a ledger: genesis, and a checkpoint over it.
    pub fn new(origin: &str, segment_bytes: usize) -> Writer {
        let signer = Writer::signer(origin, 0);
        let mut writer = Writer {
            origin: origin.to_owned(),
            segment_bytes,
            full: Vec::new(),
            current: Vec::new(),
            number: 0,
            next_batch: 0,
            tree: Frontier::new(),
            runs: BTreeMap::new(),
            signer,
            next_signer: None,
            notes: Vec::new(),
            at: 1_790_000_000_000_000_000,
            nonce: 0,
        };
        writer.begin_segment();
        writer.batch();
        let key = writer.signer.verifier_key().to_string();
        let body = [("key", text(&key)), ("origin", text(origin)), ("version", text("0.1.0"))];
        writer.gateway("genesis", &map(&body));
        writer.checkpoint();
        writer
    }

    /// The `generation`th signing key of every test ledger of that origin.
    pub fn signer(origin: &str, generation: u8) -> Signer {
        Signer::from_seed(origin, Algorithm::Ed25519, &[generation + 1; 32]).unwrap()
    }

    /// A witness whose key depends on its name only.
    pub fn witness(name: &str) -> Signer {
        Signer::from_seed(name, Algorithm::Cosignature, &sha256_of(&[b"witness", name.as_bytes()])).unwrap()
    }

    /// Begins a batch.
    pub fn batch(&mut self) {
        if self.free() < RESERVE_BYTES {
            self.new_segment();
        }
        let offset = self.current.len() as u64;
        encode_batch(self.next_batch, offset, &mut self.current);
        self.next_batch += 1;
    }

    /// Ends the segment and begins the next one, without a batch in it.
    pub fn new_segment(&mut self) {
        let mut done = std::mem::take(&mut self.current);
        done.resize(self.segment_bytes, 0);
        self.full.push(done);
        self.number += 1;
        self.begin_segment();
    }

    fn begin_segment(&mut self) {
        let header = SegmentHeader {
            number: self.number,
            first_seq: self.tree.size(),
            first_batch: self.next_batch,
            origin: self.origin.clone(),
        };
        self.current = Vec::with_capacity(self.segment_bytes);
        self.current.extend_from_slice(&header.encode().unwrap());
    }

    fn free(&self) -> usize {
        self.segment_bytes - self.current.len()
    }

    /// Sets the clock on, or back.
    pub fn pass(&mut self, seconds: i64) {
        self.at = self.at.checked_add_signed(seconds * 1_000_000_000).unwrap();
    }

    /// A record of the gateway itself. Returns its seq.
    pub fn gateway(&mut self, kind: &str, body: &Value) -> u64 {
        self.record(kind, None, None, body, &[])
    }

    pub fn open(&mut self, run: [u8; 16]) -> u64 {
        let body =
            [("agent", text("support")), ("argv", Value::Array(vec![text("psql")])), ("human", text("ada"))];
        self.runs.insert(run, (Frontier::new(), [0; 32]));
        self.record("open", Some(run), None, &map(&body), &[])
    }

    /// Closes a run with its count and root.
    pub fn close(&mut self, run: [u8; 16]) -> u64 {
        let (tree, _) = &self.runs[&run];
        let body = [
            ("count", Value::Uint(tree.size())),
            ("root", Value::Bytes(tree.root().to_vec())),
            ("why", text("exited")),
        ];
        self.record("close", Some(run), None, &map(&body), &[])
    }

    /// A record of a run, with payloads sealed under the run's key.
    pub fn record(
        &mut self,
        kind: &str,
        run: Option<[u8; 16]>,
        of: Option<u64>,
        body: &Value,
        payloads: &[&[u8]],
    ) -> u64 {
        let sealed: Vec<Vec<u8>> = payloads.iter().map(|plain| self.seal(run.unwrap(), plain)).collect();
        let commitment = run.map(|run| key_commitment(&run_key(run)));
        let pay: Vec<PayloadRef> = sealed
            .iter()
            .map(|p| PayloadRef { digest: body_digest(p), key: commitment.unwrap(), length: p.len() as u64 })
            .collect();
        let seq = self.tree.size();
        self.at += 1_000_000;
        let link = run.map(|run| {
            let (tree, last) = &self.runs[&run];
            Link { run, rseq: tree.size(), rprev: *last }
        });
        let body = body.to_bytes();
        let fields =
            Fields { seq, at: self.at, kind, link, sess: run.map(|_| 7), of, pay: &pay, body: &body };
        let mut bytes = Vec::with_capacity(body.len() + 256);
        encode(&fields, &mut bytes).unwrap();
        self.make_room(&sealed, bytes.len());
        for p in &sealed {
            encode_frame(Kind::Payload, p, &mut self.current).unwrap();
        }
        encode_frame(Kind::Record, &bytes, &mut self.current).unwrap();
        let leaf = leaf_hash(&bytes);
        self.tree.append(leaf);
        if let Some(run) = run {
            let (tree, last) = self.runs.get_mut(&run).unwrap();
            tree.append(leaf);
            *last = leaf;
        }
        seq
    }

    fn make_room(&mut self, sealed: &[Vec<u8>], record: usize) {
        let payloads: usize = sealed.iter().map(|p| p.len() + FRAME_HEADER_BYTES).sum();
        let need = payloads + record + FRAME_HEADER_BYTES + RESERVE_BYTES;
        assert!(
            need + SEGMENT_HEADER_BYTES + BATCH_FRAME_BYTES <= self.segment_bytes,
            "segments are too small"
        );
        if self.free() < need {
            self.new_segment();
            self.batch();
        }
    }

    fn seal(&mut self, run: [u8; 16], plain: &[u8]) -> Vec<u8> {
        self.nonce += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.nonce.to_be_bytes());
        seal_payload(&run_key(run), nonce, &self.origin, plain).unwrap()
    }

    /// Announces the next signing key; it signs every checkpoint after the next one.
    pub fn rotate(&mut self, generation: u8) -> u64 {
        let signer = Writer::signer(&self.origin, generation);
        let body =
            [("epoch", Value::Uint(generation.into())), ("key", text(&signer.verifier_key().to_string()))];
        let seq = self.gateway("epoch", &map(&body));
        self.next_signer = Some(signer);
        seq
    }

    /// Signs everything so far, in the open batch.
    pub fn checkpoint(&mut self) -> SignedNote {
        self.checkpoint_with(|_| Vec::new())
    }

    /// A checkpoint that bears a witness's signature too.
    pub fn witnessed_checkpoint(&mut self, witness: &Signer, seconds: u64) -> SignedNote {
        self.checkpoint_with(|note| vec![witness.cosign(note, seconds)])
    }

    fn checkpoint_with(
        &mut self,
        more: impl FnOnce(&SignedNote) -> Vec<crate::note::Signature>,
    ) -> SignedNote {
        let checkpoint =
            Checkpoint { origin: self.origin.clone(), size: self.tree.size(), root: self.tree.root() };
        let mut note = self.signer.sign(&checkpoint);
        more(&note).into_iter().for_each(|line| note.push(line));
        encode_frame(Kind::Checkpoint, &note.to_bytes(), &mut self.current).unwrap();
        if let Some(next) = self.next_signer.take() {
            self.signer = next;
        }
        self.notes.push(note.clone());
        note
    }

    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// All checkpoints so far, oldest first.
    pub fn notes(&self) -> &[SignedNote] {
        &self.notes
    }

    /// Takes the segments that are full, so that a long ledger need not stand in memory.
    pub fn take_full(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.full)
    }

    /// The segments, each of its full size.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        self.current.resize(self.segment_bytes, 0);
        self.full.push(self.current);
        self.full
    }
}

/// The payload key of a test run.
pub fn run_key(run: [u8; 16]) -> [u8; 32] {
    sha256_of(&[b"run key", &run])
}

pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}
