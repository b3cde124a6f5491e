//! A bundle (FORMAT.md section 6): one run, each record with its proof, under one signed checkpoint.

use std::convert::Infallible;
use std::io::Write;

use ledger::read::{Entry, Item, ReadError, Store};
use seal::Hash;
use seal::cbor::Value;
use seal::frame::{BUNDLE_MAGIC, BUNDLE_VERSION, Kind, encode_frame};
use seal::note::{Checkpoint, SignedNote, Standing, VerifierKey};
use seal::tree::{ProofError, Subtrees, consistency_proof, inclusion_proof, node_hash, root_at};
use serde::{Deserialize, Serialize};
use vocab::RunId;

use crate::desk::Cannot;
use crate::erasure::ErasureLine;
use crate::text::Text;

/// What went into a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    pub run: String,
    /// Records of the run that the bundle proves.
    pub records: u64,
    /// Records of the run after the last checkpoint: not in the bundle. Sign a checkpoint and export again.
    pub left_out: u64,
    pub payloads: u64,
    /// The bundle holds the run's payload key: whoever has it can read the results. Never where there are none.
    pub with_key: bool,
    /// The size of the tree that everything is proved against.
    pub checkpoint_size: u64,
    /// The run's `close` is in it, which proves that nothing is missing.
    pub complete: bool,
    pub bytes: u64,
    /// Set if the run's payloads were erased: what of them is in it, nobody can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<ErasureLine>,
}

/// Writes the bundle of `run` as of the last cosigned checkpoint that covers it, or the ledger's last. `key` is the run's
/// payload key, only if it is to be handed over too; it goes in where a record in the bundle has payloads. `witnesses`: those of the configuration; where there are any, only
/// what one of them cosigned is preferred.
///
/// Holds one hash per record twice: 64 bytes x records.
pub fn export_bundle(
    store: &Store,
    run: RunId,
    key: Option<&[u8; 32]>,
    witnesses: &[VerifierKey],
    out: &mut dyn Write,
) -> Result<Exported, Cannot> {
    let mut scan = Scan::over(store, run)?;
    scan.prefer_cosigned(store.cosigned(), witnesses);
    let Some((note, size)) = &scan.checkpoint else {
        return Err(Cannot::Ledger(
            "no checkpoint is signed yet, so nothing can be proved; try again".to_owned(),
        ));
    };
    let mut writer = Frames { out, bytes: 0 };
    let header = [&BUNDLE_MAGIC[..], &BUNDLE_VERSION.to_be_bytes(), &[0; 4]].concat();
    writer.raw(&header)?;
    writer.frame(Kind::Checkpoint, note)?;
    // Where no record names its commitment, nothing says whose key it is.
    let has_payloads = scan.run.iter().any(|entry| entry.seq.0 < *size && !entry.payloads.is_empty());
    let key = key.filter(|_| has_payloads);
    if let Some(key) = key {
        writer.frame(Kind::Key, key)?;
    }
    let mut exported = Exported {
        run: run.to_string(),
        records: 0,
        left_out: 0,
        payloads: 0,
        with_key: key.is_some(),
        checkpoint_size: *size,
        complete: false,
        bytes: 0,
        erased: scan.erased.clone(),
    };
    for (entry, link) in scan.keys.iter().filter(|(entry, _)| entry.seq.0 < *size) {
        writer.record(entry, *size, &scan.levels)?;
        if let Some((note, of)) = link {
            writer.frame(Kind::Checkpoint, note)?;
            writer.proof(entry, *of, &scan.levels)?;
            writer.growth(*of, *size, &scan.levels)?;
        }
    }
    for entry in &scan.run {
        if entry.seq.0 >= *size {
            exported.left_out += 1;
            continue;
        }
        for payload in &entry.payloads {
            writer.frame(Kind::Payload, &store.ciphertext(payload).map_err(cannot)?)?;
            exported.payloads += 1;
        }
        writer.record(entry, *size, &scan.levels)?;
        exported.records += 1;
        exported.complete = entry.kind == Some(ledger::Kind::Close);
    }
    exported.bytes = writer.bytes;
    if exported.records == 0 {
        return Err(Cannot::NoSuchRun(run.to_string()));
    }
    Ok(exported)
}

impl Exported {
    /// Writes it for a terminal, as a part of what says where it was written.
    pub fn render(&self, text: &mut Text) {
        let complete = if self.complete { "complete" } else { "the run is not closed in it" };
        text.line(&format!(
            "Bundle of run {}: {} records ({complete}), {} payloads, {} bytes, proved against a checkpoint of size {}.",
            self.run, self.records, self.payloads, self.bytes, self.checkpoint_size
        ));
        if self.left_out > 0 {
            text.line(&format!("{} records after the last checkpoint are left out.", self.left_out));
        }
        if let Some(erased) = &self.erased {
            text.line(&format!("The run's payloads were {}; the bundle does not say so.", erased.text()));
        }
        text.line(match (self.with_key, self.payloads) {
            (true, _) => "It holds the run's payload key.",
            (false, 0) => "It has no payloads, and so no key for them.",
            (false, _) => "Its payloads stay sealed.",
        });
    }
}

/// A signed checkpoint, and its size.
type Signed = (Vec<u8>, u64);

/// What one pass over a ledger finds.
struct Scan {
    checkpoint: Option<Signed>,
    levels: Levels,
    /// `genesis`, and each `epoch` with a key; of these the first checkpoint over it, which the key before it signed.
    keys: Vec<(Entry, Option<Signed>)>,
    run: Vec<Entry>,
    erased: Option<ErasureLine>,
}

impl Scan {
    fn over(store: &Store, run: RunId) -> Result<Scan, Cannot> {
        let mut scan = Scan {
            checkpoint: None,
            levels: Levels::default(),
            keys: Vec::new(),
            run: Vec::new(),
            erased: None,
        };
        let mut cursor = store.cursor();
        while let Some(item) = cursor.next_item().map_err(cannot)? {
            match item {
                Item::Checkpoint(_, note) => {
                    let checkpoint = note.checkpoint().map_err(|e| Cannot::Ledger(e.to_string()))?;
                    scan.checkpoint = Some((note.to_bytes(), checkpoint.size));
                    if let [_, .., (_, link @ None)] = &mut *scan.keys {
                        *link = scan.checkpoint.clone();
                    }
                }
                Item::Record(entry) => scan.take(*entry, run),
            }
        }
        Ok(scan)
    }

    /// Of the checkpoints over the whole run, one that a witness cosigned says more than a newer one that none did. The
    /// files they come from are nobody's to vouch for: each is held against the ledger's keys and the witnesses'.
    fn prefer_cosigned(&mut self, notes: Vec<SignedNote>, witnesses: &[VerifierKey]) {
        let Some(last) = self.run.last().map(|entry| entry.seq.0) else { return };
        let newest = self.checkpoint.as_ref().map_or(0, |(_, size)| *size);
        let of_this_tree = |note: SignedNote| {
            let Checkpoint { size, root, .. } = note.checkpoint().ok()?;
            let fits = (last + 1..=newest).contains(&size);
            let same = fits && root_at(&self.levels, size).is_ok_and(|ours| ours == root);
            let signed = same && self.key_at(size).is_some_and(|key| note.verify(&key) == Standing::Good);
            let seen = |witness: &VerifierKey| note.verify(witness) == Standing::Good;
            let cosigned = signed && (witnesses.is_empty() || witnesses.iter().any(seen));
            cosigned.then(|| (note.to_bytes(), size))
        };
        if let Some(best) = notes.into_iter().filter_map(of_this_tree).max_by_key(|(_, size)| *size) {
            self.checkpoint = Some(best);
        }
    }

    /// The key that signed the checkpoint of this size: the last one that a smaller checkpoint had named.
    fn key_at(&self, size: u64) -> Option<VerifierKey> {
        let named = |(_, link): &&(Entry, Option<Signed>)| match link {
            None => false,
            Some((_, of)) => *of < size,
        };
        let (entry, _) = self.keys.iter().skip(1).rfind(named).or(self.keys.first())?;
        VerifierKey::parse(entry.body.get("key")?.as_text()?).ok()
    }

    fn take(&mut self, entry: Entry, run: RunId) {
        self.levels.push(entry.leaf);
        self.erased = ErasureLine::of_entry(&entry, run).or(self.erased.take());
        let rotates = entry.kind == Some(ledger::Kind::Epoch)
            && entry.body.get("key").is_some_and(|k| k != &Value::Null);
        if entry.kind == Some(ledger::Kind::Genesis) || rotates {
            self.keys.push((entry, None));
        } else if entry.run == Some(run) {
            self.run.push(entry);
        }
    }
}

/// Hashes of all complete subtrees, level by level: two hashes per record, and any proof in a few look-ups.
#[derive(Default)]
struct Levels(Vec<Vec<Hash>>);

impl Levels {
    fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if self.0.len() == level {
                self.0.push(Vec::new());
            }
            self.0[level].push(hash);
            match self.0[level][..] {
                [.., left, right] if self.0[level].len().is_multiple_of(2) => hash = node_hash(&left, &right),
                _ => break,
            }
        }
    }
}

impl Subtrees for Levels {
    type Error = Infallible;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        // Asked only for complete subtrees within the size: each was pushed.
        Ok(self.0[usize::from(level)][index as usize])
    }
}

struct Frames<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Frames<'_> {
    fn raw(&mut self, bytes: &[u8]) -> Result<(), Cannot> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|e| Cannot::Ledger(format!("the bundle cannot be written: {e}")))
    }

    fn frame(&mut self, kind: Kind, body: &[u8]) -> Result<(), Cannot> {
        let mut frame = Vec::with_capacity(body.len() + 16);
        encode_frame(kind, body, &mut frame).map_err(|e| Cannot::Ledger(e.to_string()))?;
        self.raw(&frame)
    }

    fn record(&mut self, entry: &Entry, size: u64, levels: &Levels) -> Result<(), Cannot> {
        self.frame(Kind::Record, &entry.bytes)?;
        self.proof(entry, size, levels)
    }

    fn proof(&mut self, entry: &Entry, size: u64, levels: &Levels) -> Result<(), Cannot> {
        self.path(Kind::Inclusion, entry.seq.0, inclusion_proof(levels, entry.seq.0, size))
    }

    /// That the tree of size `old`, which a link's key signed, is a part of the one that the bundle is proved against.
    fn growth(&mut self, old: u64, new: u64, levels: &Levels) -> Result<(), Cannot> {
        self.path(Kind::Growth, old, consistency_proof(levels, old, new))
    }

    fn path(
        &mut self,
        kind: Kind,
        of: u64,
        proof: Result<Vec<Hash>, ProofError<Infallible>>,
    ) -> Result<(), Cannot> {
        let proof = proof.map_err(|e| Cannot::Ledger(e.to_string()))?;
        let mut body = of.to_be_bytes().to_vec();
        body.extend_from_slice(&(proof.len() as u16).to_be_bytes());
        proof.iter().for_each(|hash| body.extend_from_slice(hash));
        self.frame(kind, &body)
    }
}

fn cannot(error: ReadError) -> Cannot {
    Cannot::Ledger(error.to_string())
}
