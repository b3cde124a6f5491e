//! The rules, by name. A name is part of the format: other verifiers use the same.

use std::fmt;

macro_rules! rules {
    ($($rule:ident $name:literal $sentence:literal)*) => {
        /// Each rule that a ledger or bundle can break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $sentence] $rule,)*
        }

        impl Rule {
            pub const ALL: &[Rule] = &[$(Rule::$rule),*];

            /// The name in reports: lower case, with hyphens.
            pub fn name(self) -> &'static str {
                match self { $(Rule::$rule => $name),* }
            }

            /// What is wrong, as a sentence without a full stop.
            pub fn sentence(self) -> &'static str {
                match self { $(Rule::$rule => $sentence),* }
            }
        }
    };
}

rules! {
    Empty "empty" "there is no record"
    SegmentHeader "segment-header" "the segment's header does not check"
    SegmentOrder "segment-order" "the segment does not follow the one before it"
    SegmentOrigin "segment-origin" "the segment belongs to another ledger"
    FrameLength "frame-length" "a frame's length is over the limit or past the end of the file"
    FrameCrc "frame-crc" "a frame's CRC is wrong"
    FrameKind "frame-kind" "a frame's kind is unknown or has no place here"
    TailNotZero "tail-not-zero" "something other than zeros follows the last frame"
    TornTail "torn-tail" "the last batch was not written whole"
    BatchMissing "batch-missing" "a segment's first frame is not a batch frame"
    BatchFrame "batch-frame" "a batch frame is malformed"
    BatchOrder "batch-order" "a batch's number does not follow the one before it"
    BatchOffset "batch-offset" "a batch does not stand where it says"
    PayloadOrphan "payload-orphan" "a payload is not followed by its record"
    PayloadDigest "payload-digest" "a record's payloads are not the ones it names"
    RecordSize "record-size" "a record is over the limit"
    RecordCbor "record-cbor" "a record is not canonical CBOR"
    RecordHeader "record-header" "a record's fields are not what they must be"
    RecordSeq "record-seq" "a record's seq does not follow the one before it"
    RecordOf "record-of" "a record answers one that is not before it"
    Genesis "genesis" "the ledger does not begin with a genesis record, or has a second one"
    EpochKey "epoch-key" "an epoch's key is not a key of this ledger, or the last change is not signed yet"
    RunField "run-field" "a record of this kind must be in a run, or must not be"
    RunOpen "run-open" "a run does not begin with open, or is opened twice"
    RunSequence "run-sequence" "a record's rseq does not follow the one before it in the run"
    RunChain "run-chain" "a record does not hold the hash of the one before it in the run"
    RunClosed "run-closed" "a record follows its run's close"
    CloseCount "close-count" "a close does not count its run's records"
    CloseRoot "close-root" "a close does not hold the root over its run's records"
    CheckpointNote "checkpoint-note" "a checkpoint is not a signed note over origin, size and root"
    CheckpointOrigin "checkpoint-origin" "a checkpoint is of another ledger"
    CheckpointSignature "checkpoint-signature" "a checkpoint is not signed by the key of its time"
    CheckpointSize "checkpoint-size" "a checkpoint does not count the records before it"
    CheckpointRoot "checkpoint-root" "a checkpoint's root is not the root over the records before it"
    Cosignature "cosignature" "a witness's signature does not hold"
    NoCheckpoint "no-checkpoint" "nothing is sealed: there is no checkpoint"
    OpenTail "open-tail" "too many records follow the last checkpoint"
    KeyAnchor "key-anchor" "the ledger does not begin with the given key, or it is not proved that its keys come from that one"
    KnownCheckpoint "known-checkpoint" "the ledger does not continue the known checkpoint"
    NotWitnessed "not-witnessed" "no checkpoint bears the signature of a given witness"
    BundleHeader "bundle-header" "the file does not begin as a bundle of version 1, 2 or 3"
    BundleOrder "bundle-order" "a frame or record of the bundle is missing, or stands where it must not"
    BundleProof "bundle-proof" "a record is not in the tree that the bundle's checkpoint signs"
    BundleKey "bundle-key" "the bundle's payload key is not the one that its records name"
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
