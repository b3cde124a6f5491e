//! A bundle: one run with its proofs.

use super::ledger::{
    Pending, Runs, check_genesis_place, check_of, check_signature, own_lines, read_checkpoint,
    read_epoch_key, read_genesis,
};
use super::{Broken, Finding, Options, Report, Rule, Seen, Subject, Trust, Watch, broken};
use crate::frame::{
    BUNDLE_HEADER_BYTES, BUNDLE_MAGIC, BUNDLE_VERSION, Frame, FrameFault, Frames, Kind, be32, be64,
};
use crate::limits::PROOF_HASHES_MAX;
use crate::note::{Checkpoint, SignedNote, VerifierKey};
use crate::payload::{body_digest, key_commitment};
use crate::record::Header;
use crate::tree::{Hash, leaf_hash, verify_consistency, verify_inclusion};

/// Verifies a whole bundle: FORMAT.md, section 6.
///
/// Every signing key but the first is proved by a link: a checkpoint that the key before it signed, over the epoch that
/// names it. A growth proves that the tree of that checkpoint is a part of the bundle's, so that a key says nothing of
/// what was sealed with the one before. Without links (version 1) anybody can name a key of their own behind a foreign
/// genesis, so that the anchor says nothing where the key has changed; without growths (version 2) the holder of the last
/// key can replace what is older than it, so that the anchor says nothing of a run that began before. What vouches for such a
/// bundle is a known checkpoint or a witness, or nobody, and then an anchor that was given is reported as `key-anchor`.
///
/// A known checkpoint is held against the bundle's and, by their growths, the links'. One of another size cannot be
/// compared; that is reported as `known-checkpoint`, not passed over.
pub fn verify_bundle(bytes: &[u8], options: &Options) -> Result<Report, Finding> {
    let mut bundle = Bundle::new(options.clone());
    bundle.header(bytes).map_err(|broken| bundle.finding(0, broken))?;
    let mut frames = Frames::new(bytes, BUNDLE_HEADER_BYTES);
    for frame in frames.by_ref() {
        match frame {
            Ok(frame) => bundle.frame(&frame).map_err(|broken| bundle.finding(frame.offset, broken))?,
            Err(error) => return Err(bundle.finding(error.offset, bad_frame(error.fault))),
        }
    }
    let end = frames.offset();
    if end != bytes.len() {
        return Err(bundle.finding(end, Broken(Rule::BundleOrder, "bytes follow the last frame".into())));
    }
    match bundle.last_rules() {
        Ok(proved) => Ok(bundle.report(proved, end as u64)),
        Err(broken) => Err(bundle.finding(end, broken)),
    }
}

struct Bundle {
    trust: Trust,
    watch: Watch,
    sealed: Option<(SignedNote, Checkpoint, usize)>,
    /// The ledger's keys in order, the first from `genesis`.
    keys: Vec<VerifierKey>,
    run: Option<[u8; 16]>,
    /// The seq of each of the run's records: they rise.
    run_seqs: Vec<u64>,
    runs: Runs,
    payloads: Pending,
    due: Due,
    /// From 2 on, after each epoch with a key stands its link; from 3 on, with its growth.
    version: u32,
    /// The link of the last key.
    last_link: Option<Checkpoint>,
    next_seq: u64,
    payload_key: Option<[u8; 32]>,
    /// Key commitments that the run's records name; the first, and whether there is another.
    commitment: Option<Hash>,
    several: bool,
    records: u64,
    payload_count: u64,
}

/// What the next frame must be, about a record's seq and leaf hash.
enum Due {
    Nothing,
    /// The inclusion proof of the record; whether a link follows that.
    Proof(u64, Hash, bool),
    /// The checkpoint of an epoch's link.
    Link(u64, Hash),
    /// The epoch's inclusion proof in the tree of that checkpoint.
    LinkProof(u64, Hash, Checkpoint),
    /// The proof that the tree of that checkpoint is a part of the bundle's.
    Growth(Checkpoint),
}

impl Due {
    /// Holds the kind of the next frame against what is due.
    fn allows(&self, kind: Kind) -> Result<(), Broken> {
        match self {
            Due::Nothing => Ok(()),
            Due::Proof(..) | Due::LinkProof(..) if kind == Kind::Inclusion => Ok(()),
            Due::Link(..) if kind == Kind::Checkpoint => Ok(()),
            Due::Growth(_) if kind == Kind::Growth => Ok(()),
            Due::Proof(..) => broken(Rule::BundleOrder, "a record has no inclusion proof"),
            Due::Link(..) => broken(Rule::BundleOrder, "no checkpoint of the key before it names a key"),
            Due::LinkProof(..) => broken(Rule::BundleOrder, "a key has no inclusion proof"),
            Due::Growth(_) => broken(Rule::BundleOrder, "a link has no consistency proof"),
        }
    }
}

/// What the end of a bundle has established.
struct Proved {
    checkpoint: Checkpoint,
    offset: u64,
    key: VerifierKey,
    run: [u8; 16],
    /// Whether the first key, and so an anchor, says whose run this is.
    by_first_key: bool,
}

impl Bundle {
    fn new(options: Options) -> Bundle {
        Bundle {
            trust: Trust::new(options),
            watch: Watch::default(),
            sealed: None,
            keys: Vec::new(),
            run: None,
            run_seqs: Vec::new(),
            runs: Runs::default(),
            payloads: Pending::default(),
            due: Due::Nothing,
            version: BUNDLE_VERSION,
            last_link: None,
            next_seq: 0,
            payload_key: None,
            commitment: None,
            several: false,
            records: 0,
            payload_count: 0,
        }
    }

    fn finding(&self, offset: usize, Broken(rule, detail): Broken) -> Finding {
        Finding { segment: 0, offset: offset as u64, seq: self.next_seq, rule, detail }
    }

    fn header(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let header = bytes.first_chunk::<BUNDLE_HEADER_BYTES>();
        match header.filter(|h| h[..8] == BUNDLE_MAGIC && be32(&h[12..]) == 0).map(|h| be32(&h[8..12])) {
            Some(version @ 1..=BUNDLE_VERSION) => {
                self.version = version;
                Ok(())
            }
            _ => broken(Rule::BundleHeader, ""),
        }
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Broken> {
        if self.sealed.is_none() {
            if frame.kind != Kind::Checkpoint {
                return broken(Rule::BundleOrder, "the first frame is not a checkpoint");
            }
            let (note, checkpoint) = read_checkpoint(frame.body)?;
            self.sealed = Some((note, checkpoint, frame.offset));
            return Ok(());
        }
        self.due.allows(frame.kind)?;
        match frame.kind {
            Kind::Payload => {
                self.payloads.push(body_digest(frame.body), frame.body.len());
                self.payload_count += 1;
                Ok(())
            }
            Kind::Record => self.record(frame.body),
            Kind::Inclusion => self.inclusion(frame.body),
            Kind::Growth => self.growth(frame.body),
            Kind::Key => self.payload_key(frame.body),
            Kind::Batch => broken(Rule::FrameKind, "a segment's frame in a bundle"),
            Kind::Checkpoint => self.link(frame.body),
        }
    }

    fn record(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let record = Header::decode(bytes)?;
        // The run begins anew: its records may stand before the last epoch's in the ledger.
        let begins = record.link.is_some() && self.run.is_none();
        if record.seq < self.next_seq && !begins {
            return broken(Rule::RecordSeq, format!("it says {}", record.seq));
        }
        if begins {
            self.watch.last_at = 0;
        }
        check_of(&record)?;
        self.payloads.check(&record)?;
        check_genesis_place(&record)?;
        let leaf = leaf_hash(bytes);
        self.runs.step(&record, leaf)?;
        match &record.link {
            Some(link) => self.of_run(&record, link.run)?,
            None => self.of_gateway(&record)?,
        }
        self.watch.at(record.seq, record.at);
        self.due = Due::Proof(record.seq, leaf, self.linked() && record.kind == "epoch");
        Ok(())
    }

    fn of_run(&mut self, record: &Header<'_>, run: [u8; 16]) -> Result<(), Broken> {
        if self.keys.is_empty() {
            return broken(Rule::BundleOrder, "genesis does not come first");
        }
        match self.run {
            None => self.run = Some(run),
            Some(of) if of != run => return broken(Rule::BundleOrder, "a record of another run"),
            Some(_) => {}
        }
        self.run_seqs.push(record.seq);
        for pay in record.pay.iter() {
            self.several |= *self.commitment.get_or_insert(pay.key) != pay.key;
        }
        Ok(())
    }

    fn of_gateway(&mut self, record: &Header<'_>) -> Result<(), Broken> {
        if self.run.is_some() {
            return broken(Rule::BundleOrder, "a record of the gateway after the run's");
        }
        match (record.kind, self.keys.first()) {
            ("genesis", _) => {
                let (origin, key) = read_genesis(record)?;
                self.trust.at_genesis(&origin, &key)?;
                self.keys.push(key);
                Ok(())
            }
            ("epoch", Some(first)) => match read_epoch_key(record, first.name())? {
                Some(_) if self.last_link.as_ref().is_some_and(|link| link.size > record.seq) => {
                    broken(Rule::EpochKey, "no checkpoint since the last change")
                }
                Some(key) => {
                    self.keys.push(key);
                    Ok(())
                }
                None => broken(Rule::BundleOrder, "an epoch without a key"),
            },
            _ => broken(Rule::BundleOrder, "a record that is neither genesis, a key's epoch nor the run's"),
        }
    }

    fn inclusion(&mut self, body: &[u8]) -> Result<(), Broken> {
        match (std::mem::replace(&mut self.due, Due::Nothing), &self.sealed) {
            (Due::Proof(seq, leaf, link), Some((_, checkpoint, _))) => {
                check_inclusion(body, seq, &leaf, checkpoint)?;
                self.next_seq = seq + 1; // below the tree's size, as has just been proved
                self.records += 1;
                self.due = if link { Due::Link(seq, leaf) } else { Due::Nothing };
                Ok(())
            }
            (Due::LinkProof(seq, leaf, link), _) => {
                check_inclusion(body, seq, &leaf, &link)?;
                if self.version >= 3 {
                    self.due = Due::Growth(link);
                } else {
                    self.last_link = Some(link);
                }
                Ok(())
            }
            _ => broken(Rule::BundleOrder, "an inclusion proof without its record"),
        }
    }

    /// The proof that what a link's key has signed still stands in the bundle's tree.
    fn growth(&mut self, body: &[u8]) -> Result<(), Broken> {
        let (Due::Growth(link), Some((_, sealed, _))) =
            (std::mem::replace(&mut self.due, Due::Nothing), &self.sealed)
        else {
            return broken(Rule::BundleOrder, "a consistency proof without its link");
        };
        let Some((_, proof)) = read_proof(body).filter(|(of, _)| *of == link.size) else {
            return broken(Rule::BundleProof, "the proof is malformed or of another size");
        };
        if !verify_consistency(link.size, &link.root, sealed.size, &sealed.root, &proof) {
            return broken(Rule::BundleProof, "what the key before signed is no part of this tree");
        }
        self.trust.at_size(link.size, &mut || link.root)?;
        self.last_link = Some(link);
        Ok(())
    }

    /// The checkpoint over an epoch that the key before the epoch's signed.
    fn link(&mut self, body: &[u8]) -> Result<(), Broken> {
        let (Due::Link(seq, leaf), Some((_, sealed, _)), [.., before, _]) =
            (&self.due, &self.sealed, &*self.keys)
        else {
            return broken(Rule::BundleOrder, "a second checkpoint");
        };
        let (note, link) = read_checkpoint(body)?;
        if link.origin != before.name() {
            return broken(Rule::CheckpointOrigin, link.origin);
        }
        check_signature(&note, &[before])?;
        if !(seq + 1..=sealed.size).contains(&link.size) {
            return broken(Rule::CheckpointSize, format!("it says {}", link.size));
        }
        self.due = Due::LinkProof(*seq, *leaf, link);
        Ok(())
    }

    fn payload_key(&mut self, body: &[u8]) -> Result<(), Broken> {
        match (self.payload_key, body.try_into()) {
            (None, Ok(key)) => {
                self.payload_key = Some(key);
                self.payloads.must_be_empty("the key follows")
            }
            (Some(_), _) => broken(Rule::BundleKey, "a second one"),
            (None, Err(_)) => broken(Rule::BundleKey, "it has not 32 bytes"),
        }
    }

    fn last_rules(&mut self) -> Result<Proved, Broken> {
        self.payloads.must_be_empty("the bundle ends")?;
        if !matches!(self.due, Due::Nothing) {
            return broken(Rule::BundleOrder, "a proof or a link is missing");
        }
        let (Some((note, checkpoint, offset)), Some(run), [first, ..]) =
            (&self.sealed, self.run, &*self.keys)
        else {
            return broken(Rule::BundleOrder, "checkpoint, genesis or run is missing");
        };
        if checkpoint.origin != first.name() {
            return broken(Rule::CheckpointOrigin, checkpoint.origin.clone());
        }
        let signers = self.signers(checkpoint)?;
        check_signature(note, &signers)?;
        if self.payload_key.is_some_and(|key| self.several || self.commitment != Some(key_commitment(&key))) {
            return broken(Rule::BundleKey, "");
        }
        let own = signers.iter().map(|key| own_lines(note, key)).sum();
        self.trust.at_size(checkpoint.size, &mut || checkpoint.root)?;
        self.trust.cosignatures(note, checkpoint.size, own)?;
        self.trust.at_end(checkpoint.size, self.run_from())?;
        let proved = Proved {
            checkpoint: checkpoint.clone(),
            offset: *offset as u64,
            key: first.clone(),
            run,
            by_first_key: self.by_first_key(),
        };
        if !proved.by_first_key {
            self.trust.without_anchor(self.version, proved.checkpoint.size)?;
            let text = format!(
                "a bundle of version {} does not prove this run by its first key: --key says nothing of it",
                self.version
            );
            self.watch.warn(0, text);
        }
        Ok(proved)
    }

    /// The seq of the run's first record.
    fn run_from(&self) -> u64 {
        self.run_seqs.first().copied().unwrap_or(0)
    }

    /// How many of the run's records are after so many.
    fn after(&self, size: u64) -> u64 {
        (self.run_seqs.len() - self.run_seqs.partition_point(|seq| *seq < size)) as u64
    }

    fn linked(&self) -> bool {
        self.version >= 2
    }

    /// Whether what the first key has signed, itself or through the keys that follow from it, is all of the run.
    fn by_first_key(&self) -> bool {
        match &self.last_link {
            _ if self.keys.len() == 1 => true,
            None => false,
            Some(link) => self.version >= 3 || self.run_from() >= link.size,
        }
    }

    /// The keys of which one must have signed the bundle's checkpoint. The first checkpoint over a change of keys is
    /// signed with the old one; which checkpoint this is, only the link says.
    fn signers(&self, sealed: &Checkpoint) -> Result<Vec<&VerifierKey>, Broken> {
        let latest = self.keys.iter().rev();
        match &self.last_link {
            None if self.linked() => Ok(latest.take(1).collect()),
            None => Ok(latest.take(2).collect()),
            Some(link) if link.size < sealed.size => Ok(latest.take(1).collect()),
            Some(link) if link.root == sealed.root => Ok(latest.skip(1).take(1).collect()),
            Some(_) => broken(Rule::CheckpointRoot, "a link has another root at its size"),
        }
    }

    fn report(self, proved: Proved, bytes: u64) -> Report {
        let complete = self.runs.is_closed(&proved.run);
        let Checkpoint { origin, size, root } = proved.checkpoint;
        let seen = Seen { size, root, segment: 0, offset: proved.offset };
        Report {
            subject: Subject::Bundle { run: proved.run, records: self.run_seqs.len() as u64, complete },
            origin,
            key: proved.key,
            anchored: proved.by_first_key && self.trust.options.anchor.is_some(),
            rotations: self.keys.len() as u64 - 1,
            segments: 0,
            batches: 0,
            records: self.records,
            payloads: self.payload_count,
            bytes,
            runs: 1,
            open_runs: u64::from(!complete),
            checkpoints: 1,
            first_checkpoint: Some(seen),
            last_checkpoint: Some(seen),
            covered: size,
            open: 0,
            root,
            witnessed: self.trust.witnessed,
            after_witnessed: self.trust.witnessed.map(|seen| self.after(seen.size)),
            unknown_signatures: self.trust.unknown_signatures,
            known: self.trust.matched.len() as u64,
            known_size: self.trust.known_size,
            after_known: self.trust.known_size.map(|size| self.after(size)),
            torn: None,
            warnings: self.watch.warnings,
            more_warnings: self.watch.more,
        }
    }
}

fn bad_frame(fault: FrameFault) -> Broken {
    let rule = match fault {
        FrameFault::Length => Rule::FrameLength,
        FrameFault::Crc => Rule::FrameCrc,
        FrameFault::Kind => Rule::FrameKind,
        FrameFault::AfterEnd => Rule::TailNotZero,
    };
    Broken(rule, fault.to_string())
}

fn check_inclusion(body: &[u8], seq: u64, leaf: &Hash, checkpoint: &Checkpoint) -> Result<(), Broken> {
    let Some(proof) = read_proof(body).filter(|(of, _)| *of == seq).map(|(_, hashes)| hashes) else {
        return broken(Rule::BundleProof, "the proof is malformed or of another record");
    };
    if verify_inclusion(leaf, seq, checkpoint.size, &proof, &checkpoint.root) {
        Ok(())
    } else {
        broken(Rule::BundleProof, "")
    }
}

/// The body of an `I` or `G` frame: u64 seq or size, u16 number of hashes, hashes.
fn read_proof(body: &[u8]) -> Option<(u64, Vec<Hash>)> {
    let (head, rest) = body.split_first_chunk::<10>()?;
    let count = usize::from(u16::from_be_bytes([head[8], head[9]]));
    let (hashes, trailing) = rest.as_chunks::<32>();
    let whole = count == hashes.len() && count <= PROOF_HASHES_MAX && trailing.is_empty();
    whole.then(|| (be64(head), hashes.to_vec()))
}
