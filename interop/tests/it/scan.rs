//! Reading what the gateway left on its disk without any code of the gateway's: records, and a search for secrets in
//! every form in which they would still be secrets.

use aho_corasick::AhoCorasick;
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::finish;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The canonical bytes of one record.
pub struct Record(pub Vec<u8>);

impl Record {
    /// Whether a text of less than 24 bytes stands in it as a CBOR text of its own.
    pub fn has(&self, text: &str) -> bool {
        assert!(text.len() < 24);
        let head = 0x60 | u8::try_from(text.len()).unwrap();
        holds(&self.0, &[&[head], text.as_bytes()].concat())
    }
}

/// All records of a ledger, in order (docs/FORMAT.md, section 2).
pub fn records(ledger: &Path) -> Vec<Record> {
    let mut segments = files_below(&ledger.join("segment"));
    segments.retain(|path| path.extension().is_some_and(|ext| ext == "seg"));
    segments.sort();
    let mut records = Vec::new();
    for segment in segments {
        let bytes = std::fs::read(segment).unwrap();
        let mut at = 512;
        while let Some(head) = bytes.get(at..at + 9) {
            let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            if length == 0 {
                break;
            }
            if head[8] == b'R' {
                records.push(Record(bytes[at + 9..at + 9 + length].to_vec()));
            }
            at += 9 + length;
        }
    }
    records
}

/// A search for many secrets at once.
pub struct Net {
    needles: AhoCorasick,
    names: Vec<String>,
}

impl Net {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Net {
        let (mut needles, mut names) = (Vec::new(), Vec::new());
        for secret in secrets {
            for (form, needle) in forms(secret) {
                needles.push(needle);
                names.push(format!("{secret} as {form}"));
            }
        }
        Net { needles: AhoCorasick::new(needles).unwrap(), names }
    }

    /// What of the secrets is in these bytes, or in what inflates out of them.
    pub fn search(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = self.plain(bytes);
        for inflated in inflate(bytes) {
            found.extend(self.plain(&inflated));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn plain(&self, bytes: &[u8]) -> Vec<&str> {
        self.needles.find_iter(bytes).map(|found| &*self.names[found.pattern().as_usize()]).collect()
    }

    /// Every file below a folder: `FILE holds SECRET as FORM`.
    pub fn search_files(&self, folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for file in files_below(folder) {
            let mut bytes = std::fs::read(&file).unwrap_or_default();
            // A segment is full of zeros from where it ends.
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
            found.extend(self.search(&bytes).iter().map(|what| format!("{} holds {what}", file.display())));
        }
        found
    }
}

/// What zlib and gzip streams in these bytes hold. Python's standard library inflates.
fn inflate(bytes: &[u8]) -> Vec<Vec<u8>> {
    const HEADS: [&[u8]; 5] = [b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b"];
    if !HEADS.iter().any(|head| holds(bytes, head)) {
        return Vec::new();
    }
    const SCRIPT: &str = "\
import sys, zlib
data = sys.stdin.buffer.read()
out = []
for head in (b'\\x78\\x01', b'\\x78\\x5e', b'\\x78\\x9c', b'\\x78\\xda', b'\\x1f\\x8b'):
    at = data.find(head)
    while at >= 0:
        try:
            out.append(zlib.decompressobj(47).decompress(data[at:], 1 << 24))
        except zlib.error:
            pass
        at = data.find(head, at + 1)
sys.stdout.buffer.write(b'\\n'.join(out))
";
    let done =
        finish(Command::new("/usr/bin/python3").args(["-c", SCRIPT]), bytes, CLIENT_SECONDS_MAX).unwrap();
    assert!(done.status.success(), "{}", done.all());
    vec![done.stdout]
}

/// The forms in which a value would still be that value.
fn forms(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let utf16 = |big: bool| {
        value
            .encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    };
    let mut forms = vec![
        ("raw", value.as_bytes().to_vec()),
        ("hex", hex.clone().into_bytes()),
        ("HEX", hex.to_uppercase().into_bytes()),
        ("UTF-16LE", utf16(false)),
        ("UTF-16BE", utf16(true)),
        ("reversed", value.bytes().rev().collect()),
    ];
    // At each of the three alignments the middle of the base64 text is the same whatever stands around.
    for shift in 0..3 {
        let mut padded = vec![0; shift];
        padded.extend_from_slice(value.as_bytes());
        let text = base64(&padded);
        let inner = &text[(shift * 4).div_ceil(3)..text.len() - 4];
        forms.push(("base64", inner.to_vec()));
    }
    forms
}

pub fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = (word >> (18 - 6 * place)) & 63;
            out.push(if place <= group.len() { ALPHABET[digit as usize] } else { b'=' });
        }
    }
    out
}

pub fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => (),
            }
        }
    }
    files
}

#[test]
fn the_search_finds_what_is_planted_in_each_form_and_nothing_else() {
    let net = Net::new(["402-81-1957", "another-secret"]);
    for (form, needle) in forms("402-81-1957") {
        let mut file = vec![7; 100];
        file.extend_from_slice(&needle);
        file.extend_from_slice(&[9; 100]);
        assert!(!net.search(&file).is_empty(), "{form}");
    }
    assert!(net.search(&[7; 300]).is_empty());
    assert!(net.search(b"402-81-1958 and x\x9c and \x1f\x8b").is_empty());
    let script = "import sys, zlib, gzip; sys.stdout.buffer.write(b'before' + zlib.compress(b'is 402-81-1957') + b'after')";
    let packed =
        finish(Command::new("/usr/bin/python3").args(["-c", script]), b"", CLIENT_SECONDS_MAX).unwrap();
    assert_eq!(net.search(&packed.stdout), ["402-81-1957 as raw"]);
}
