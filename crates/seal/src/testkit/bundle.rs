//! A bundle of one run, cut out of a ledger.

use crate::cbor::{Value, decode};
use crate::frame::{BUNDLE_MAGIC, BUNDLE_VERSION, Frames, Kind, encode_frame};
use crate::tree::{Hash, consistency_proof, inclusion_proof, leaf_hash};

/// A bundle as frames, so that a test can change one.
#[derive(Clone, Debug)]
pub struct BundleParts {
    pub frames: Vec<(Kind, Vec<u8>)>,
}

impl BundleParts {
    /// The bundle of `run` as of the ledger's last checkpoint.
    pub fn cut(segments: &[Vec<u8>], run: &[u8; 16], key: Option<[u8; 32]>) -> BundleParts {
        let frames: Vec<(Kind, &[u8])> = segments
            .iter()
            .flat_map(|segment| Frames::of_segment(segment).map(|frame| frame.unwrap()))
            .map(|frame| (frame.kind, frame.body))
            .collect();
        let last = frames.iter().rposition(|(kind, _)| *kind == Kind::Checkpoint).unwrap();
        let sealed = &frames[..last];
        let leaves: Vec<Hash> = sealed
            .iter()
            .filter(|(kind, _)| *kind == Kind::Record)
            .map(|(_, body)| leaf_hash(body))
            .collect();
        let mut out = vec![(Kind::Checkpoint, frames[last].1.to_vec())];
        let mut of_run = Vec::new();
        let mut payloads = Vec::new();
        let mut seq = 0;
        for (i, (kind, body)) in sealed.iter().enumerate() {
            match kind {
                Kind::Payload => payloads.push((Kind::Payload, body.to_vec())),
                Kind::Record => {
                    let record = decode(body).unwrap();
                    let part = match record.get("run").and_then(Value::as_bytes) {
                        Some(of) if of == run => Some(&mut of_run),
                        None if is_of_keys(&record) => Some(&mut out),
                        _ => None,
                    };
                    if let Some(part) = part {
                        part.append(&mut payloads);
                        part.push((Kind::Record, body.to_vec()));
                        part.push((Kind::Inclusion, proof(&leaves, seq)));
                        if seq > 0 && is_of_keys(&record) {
                            part.extend(link(&frames[i..=last], &leaves, seq));
                        }
                    }
                    payloads.clear();
                    seq += 1;
                }
                _ => {}
            }
        }
        out.append(&mut of_run);
        out.extend(key.map(|key| (Kind::Key, key.to_vec())));
        BundleParts { frames: out }
    }

    pub fn render(&self) -> Vec<u8> {
        let mut out = [&BUNDLE_MAGIC[..], &BUNDLE_VERSION.to_be_bytes(), &[0; 4]].concat();
        self.frames.iter().for_each(|(kind, body)| encode_frame(*kind, body, &mut out).unwrap());
        out
    }
}

/// The bundle of `run` as of the ledger's last checkpoint, in bytes.
pub fn bundle(segments: &[Vec<u8>], run: &[u8; 16], key: Option<[u8; 32]>) -> Vec<u8> {
    BundleParts::cut(segments, run, key).render()
}

/// Genesis, or an epoch that changes the signing key.
fn is_of_keys(record: &Value) -> bool {
    let kind = record.get("kind").and_then(Value::as_text);
    let has_key = record.get("body").is_some_and(|body| body.get("key").is_some());
    kind == Some("genesis") || kind == Some("epoch") && has_key
}

/// The first checkpoint over an epoch, whose frames begin with it, the epoch's proof in that tree, and that tree's growth.
fn link(frames: &[(Kind, &[u8])], leaves: &Vec<Hash>, seq: u64) -> [(Kind, Vec<u8>); 3] {
    let at = frames.iter().position(|(kind, _)| *kind == Kind::Checkpoint).unwrap();
    let before = frames[..at].iter().filter(|(kind, _)| *kind == Kind::Record).count();
    let of_size = leaves[..seq as usize + before].to_vec();
    let old = of_size.len() as u64;
    let growth = path(old, &consistency_proof(leaves, old, leaves.len() as u64).unwrap());
    [
        (Kind::Checkpoint, frames[at].1.to_vec()),
        (Kind::Inclusion, proof(&of_size, seq)),
        (Kind::Growth, growth),
    ]
}

fn proof(leaves: &Vec<Hash>, seq: u64) -> Vec<u8> {
    path(seq, &inclusion_proof(leaves, seq, leaves.len() as u64).unwrap())
}

fn path(of: u64, hashes: &[Hash]) -> Vec<u8> {
    let mut body = of.to_be_bytes().to_vec();
    body.extend_from_slice(&(hashes.len() as u16).to_be_bytes());
    hashes.iter().for_each(|hash| body.extend_from_slice(hash));
    body
}
