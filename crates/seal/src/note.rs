//! Signed checkpoints: C2SP `signed-note`, `tlog-checkpoint` and, for witnesses, `tlog-cosignature`.

use crate::base64;
use crate::limits::{NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX, ORIGIN_BYTES_MAX};
use crate::tree::{Hash, sha256_of};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;

/// Whether `name` can name a key and a ledger: not empty, at most [`ORIGIN_BYTES_MAX`] bytes, no white space, no
/// control character, no `+`.
pub fn is_name(name: &str) -> bool {
    let fits = (1..=ORIGIN_BYTES_MAX).contains(&name.len());
    fits && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// 0x01: Ed25519 over the text. The ledger's own keys.
    Ed25519,
    /// 0x04: Ed25519 over a time and the text. Witnesses.
    Cosignature,
}

impl Algorithm {
    fn byte(self) -> u8 {
        match self {
            Algorithm::Ed25519 => 1,
            Algorithm::Cosignature => 4,
        }
    }
}

/// A public key with a name: `NAME+HEX8+BASE64`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    public: [u8; 32],
}

impl VerifierKey {
    /// Errors: `Name`.
    pub fn new(name: &str, algorithm: Algorithm, public: [u8; 32]) -> Result<VerifierKey, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Name);
        }
        Ok(VerifierKey { name: name.to_owned(), algorithm, public })
    }

    /// Errors: `Key` unless the text is a name, the key's own hash and 33 bytes of a known algorithm.
    pub fn parse(text: &str) -> Result<VerifierKey, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = base64::decode(key).ok_or(NoteError::Key)?;
        let (algorithm, public) = match bytes.split_first() {
            Some((1, public)) => (Algorithm::Ed25519, public),
            Some((4, public)) => (Algorithm::Cosignature, public),
            _ => return Err(NoteError::Key),
        };
        let public = public.try_into().map_err(|_| NoteError::Key)?;
        let key = VerifierKey::new(name, algorithm, public)?;
        if hash == hex8(key.hash()) { Ok(key) } else { Err(NoteError::Key) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The key hash: first four bytes of `H(name || 0x0A || algorithm || public key)`.
    pub fn hash(&self) -> u32 {
        let h = sha256_of(&[self.name.as_bytes(), &[0x0a, self.algorithm.byte()], &self.public]);
        u32::from_be_bytes([h[0], h[1], h[2], h[3]])
    }

    fn accepts(&self, text: &str, signature: &[u8]) -> bool {
        let public = UnparsedPublicKey::new(&ED25519, &self.public);
        match self.algorithm {
            Algorithm::Ed25519 => public.verify(text.as_bytes(), signature).is_ok(),
            Algorithm::Cosignature => match signature.split_first_chunk::<8>() {
                Some((time, signature)) => {
                    let message = cosigned_message(text, u64::from_be_bytes(*time));
                    public.verify(message.as_bytes(), signature).is_ok()
                }
                None => false,
            },
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.algorithm.byte()][..], &self.public].concat();
        write!(f, "{}+{}+{}", self.name, hex8(self.hash()), base64::encode(&key))
    }
}

/// What is signed: a ledger's name, how many records it has, and the root over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// Three lines, each with its newline.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, base64::encode(&self.root))
    }

    /// Errors: `Checkpoint` unless [`Checkpoint::to_text`] gives the same text. Extension lines are refused.
    pub fn from_text(text: &str) -> Result<Checkpoint, NoteError> {
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::Checkpoint);
        };
        let root = base64::decode(root).and_then(|root| root.try_into().ok()).ok_or(NoteError::Checkpoint)?;
        let number: u64 = size.parse().map_err(|_| NoteError::Checkpoint)?;
        if !is_name(origin) || number.to_string() != size {
            return Err(NoteError::Checkpoint);
        }
        Ok(Checkpoint { origin: origin.to_owned(), size: number, root })
    }
}

/// A text with signatures, as it was read; which of them hold is [`SignedNote::verify`]'s answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<Signature>,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub name: String,
    pub key_hash: u32,
    /// What follows the key hash: 64 bytes for Ed25519, a time of 8 bytes before them for a cosignature.
    pub bytes: Vec<u8>,
}

impl Signature {
    /// The line with its newline.
    pub fn to_line(&self) -> String {
        let bytes = [&self.key_hash.to_be_bytes()[..], &self.bytes].concat();
        format!("\u{2014} {} {}\n", self.name, base64::encode(&bytes))
    }

    /// Whether the line bears the key's name and hash; that it holds is another question.
    pub fn is_by(&self, key: &VerifierKey) -> bool {
        self.key_hash == key.hash() && self.name == key.name
    }

    fn parse(line: &str) -> Option<Signature> {
        let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let bytes = base64::decode(encoded)?;
        let (hash, rest) = bytes.split_first_chunk::<4>()?;
        let whole = is_name(name) && !rest.is_empty();
        whole.then(|| Signature {
            name: name.to_owned(),
            key_hash: u32::from_be_bytes(*hash),
            bytes: rest.to_vec(),
        })
    }

    /// The time of a cosignature, in seconds since 1970; meaningless until [`SignedNote::verify`] said `Good`.
    pub fn cosigned_at(&self) -> Option<u64> {
        self.bytes.split_first_chunk::<8>().map(|(time, _)| u64::from_be_bytes(*time))
    }
}

/// What a note says about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Standing {
    /// The key has signed the text.
    Good,
    /// A line bears the key's name and hash, but does not hold.
    Bad,
    /// No line bears the key's name and hash.
    Absent,
}

impl SignedNote {
    /// Reads a note of at most [`NOTE_BYTES_MAX`] bytes with one to [`NOTE_SIGNATURES_MAX`] signatures.
    ///
    /// Errors: `Note`. Nothing is verified yet.
    pub fn parse(bytes: &[u8]) -> Result<SignedNote, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Note);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::Note)?;
        if whole.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteError::Note);
        }
        let (text, lines) = whole.rsplit_once("\n\n").ok_or(NoteError::Note)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Note)?;
        if text.is_empty() || lines.split('\n').count() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::Note);
        }
        let signatures: Option<Vec<Signature>> = lines.split('\n').map(Signature::parse).collect();
        Ok(SignedNote { text: format!("{text}\n"), signatures: signatures.ok_or(NoteError::Note)? })
    }

    /// Makes a note of a text, which must end with a newline, and signatures over it.
    pub fn new(text: String, signatures: Vec<Signature>) -> SignedNote {
        SignedNote { text, signatures }
    }

    /// The signed text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature, such as a witness's.
    pub fn push(&mut self, signature: Signature) {
        self.signatures.push(signature);
    }

    /// Errors: `Checkpoint`.
    pub fn checkpoint(&self) -> Result<Checkpoint, NoteError> {
        Checkpoint::from_text(&self.text)
    }

    /// `Good` if at least one line bears the key's name and hash and every such line holds.
    pub fn verify(&self, key: &VerifierKey) -> Standing {
        let mut lines = self.signatures.iter().filter(|line| line.is_by(key)).peekable();
        if lines.peek().is_none() {
            Standing::Absent
        } else if lines.all(|s| key.accepts(&self.text, &s.bytes)) {
            Standing::Good
        } else {
            Standing::Bad
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let lines: String = self.signatures.iter().map(Signature::to_line).collect();
        format!("{}\n{lines}", self.text).into_bytes()
    }
}

/// A private key with a name. `Debug` shows the public half.
pub struct Signer {
    key: VerifierKey,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// From a seed of 32 random bytes, which the caller erases.
    ///
    /// Errors: `Name`.
    pub fn from_seed(name: &str, algorithm: Algorithm, seed: &[u8; 32]) -> Result<Signer, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Key)?;
        Signer::from_pair(name, algorithm, pair)
    }

    /// From a PKCS#8 document, of version 1 or 2.
    ///
    /// Errors: `Name`; `Key` if the document is no Ed25519 key.
    pub fn from_pkcs8(name: &str, algorithm: Algorithm, document: &[u8]) -> Result<Signer, NoteError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document).map_err(|_| NoteError::Key)?;
        Signer::from_pair(name, algorithm, pair)
    }

    fn from_pair(name: &str, algorithm: Algorithm, pair: Ed25519KeyPair) -> Result<Signer, NoteError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| NoteError::Key)?;
        Ok(Signer { key: VerifierKey::new(name, algorithm, public)?, pair })
    }

    pub fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// The signed note over a checkpoint, as it stands in a C frame.
    pub fn sign(&self, checkpoint: &Checkpoint) -> SignedNote {
        let text = checkpoint.to_text();
        let signature = self.signature(self.pair.sign(text.as_bytes()).as_ref());
        SignedNote { text, signatures: vec![signature] }
    }

    /// A witness's signature over a note's text at a time, in seconds since 1970.
    pub fn cosign(&self, note: &SignedNote, seconds: u64) -> Signature {
        let signed = self.pair.sign(cosigned_message(&note.text, seconds).as_bytes());
        self.signature(&[&seconds.to_be_bytes()[..], signed.as_ref()].concat())
    }

    fn signature(&self, bytes: &[u8]) -> Signature {
        Signature { name: self.key.name.clone(), key_hash: self.key.hash(), bytes: bytes.to_vec() }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.key)
    }
}

/// What is wrong with a note or key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteError {
    Name,
    Key,
    Checkpoint,
    Note,
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoteError::Name => {
                "not a key name: 1 to 255 bytes without white space, control characters or '+'"
            }
            NoteError::Key => "not a verifier key (NAME+HASH+BASE64) of an algorithm known here",
            NoteError::Checkpoint => "not a checkpoint: origin, size and root, a line each, and no more",
            NoteError::Note => "not a signed note: a text, an empty line, and signature lines",
        })
    }
}

impl std::error::Error for NoteError {}

fn cosigned_message(text: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

fn hex8(hash: u32) -> String {
    format!("{hash:08x}")
}
