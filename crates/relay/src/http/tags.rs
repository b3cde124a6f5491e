//! A service's entity tags (RFC 9110, 8.8.3). Many are a digest of the content as the service has it, with the values that the client
//! is not shown: whoever knows the rest tries all of them in a second. So the client gets each tag under a key of this
//! process's and of its run's, always the same for the same tag, and gives it back as it got it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proto_http::frame::Headers;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use vocab::RunId;
use wire::RawField;

use crate::entropy;

/// The fields in which a client says what it has.
const CONDITIONS: [&str; 3] = ["if-match", "if-none-match", "if-range"];
/// A longer one is not passed on.
const TAG_BYTES_MAX: usize = 1_024;

/// The keys of one service's tags.
pub(super) struct Tags {
    seals: LessSafeKey,
    /// A nonce is made of what is sealed under it: the same one never seals two tags.
    nonces: hmac::Key,
}

impl Tags {
    /// Errors: the library takes no such key, which does not happen.
    pub(super) fn new() -> Result<Tags, String> {
        let key = UnboundKey::new(&AES_256_GCM, &entropy::random::<32>()).map_err(|e| e.to_string())?;
        let nonces = hmac::Key::new(hmac::HMAC_SHA256, &entropy::random::<32>());
        Ok(Tags { seals: LessSafeKey::new(key), nonces })
    }

    /// A service's tag as a run gets it. `None`: it is none, or longer than any.
    pub(super) fn seal(&self, run: RunId, value: &[u8]) -> Option<RawField> {
        let (weak, tag) = parse(value.trim_ascii())?;
        let digest = hmac::sign(&self.nonces, &[&run.0, tag].concat());
        let nonce: [u8; NONCE_LEN] = *digest.as_ref().first_chunk()?;
        let mut bytes = tag.to_vec();
        let used = Nonce::assume_unique_for_key(nonce);
        self.seals.seal_in_place_append_tag(used, Aad::from(&run.0), &mut bytes).ok()?;
        let sealed = URL_SAFE_NO_PAD.encode([&nonce[..], &bytes].concat());
        Some(RawField::copy_from(format!("{weak}\"{sealed}\"").as_bytes()))
    }

    /// Puts the service's own tags in the places of those that its run was given. What else stands there stays.
    pub(super) fn open_all(&self, run: RunId, headers: &Headers) -> Headers {
        let mut out = Headers::new();
        for (name, value) in headers.iter() {
            let conditional =
                CONDITIONS.iter().any(|known| name.as_bytes().eq_ignore_ascii_case(known.as_bytes()));
            let opened = if conditional { self.opened(run, value.as_bytes()) } else { None };
            out.push(name.clone(), opened.unwrap_or_else(|| value.clone()));
        }
        out
    }

    /// `None`: none of its run's stands in it.
    fn opened(&self, run: RunId, value: &[u8]) -> Option<RawField> {
        let mut parts = value.split(|b| *b == b'"').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let mut any = false;
        // Between quotes: every second one.
        for part in parts.iter_mut().skip(1).step_by(2) {
            if let Some(tag) = self.open(run, part) {
                (*part, any) = (tag, true);
            }
        }
        any.then(|| RawField::new(parts.join(&b'"').into()))
    }

    fn open(&self, run: RunId, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let nonce = Nonce::assume_unique_for_key(*bytes.first_chunk::<NONCE_LEN>()?);
        let mut rest = bytes.split_off(NONCE_LEN);
        let length = self.seals.open_in_place(nonce, Aad::from(&run.0), &mut rest).ok()?.len();
        rest.truncate(length);
        Some(rest)
    }
}

/// What says that a tag is weak, and what stands between its quotes.
fn parse(value: &[u8]) -> Option<(&'static str, &[u8])> {
    let (weak, quoted) = match value.strip_prefix(b"W/") {
        Some(quoted) => ("W/", quoted),
        None => ("", value),
    };
    let tag = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let opaque = tag.iter().all(|b| *b == 0x21 || (0x23..=0x7e).contains(b) || *b >= 0x80);
    (opaque && tag.len() <= TAG_BYTES_MAX).then_some((weak, tag))
}

/// Whether a field's name says that it is a digest of the content, or holds a tag that is no condition's.
pub(super) fn is_digest(name: &[u8]) -> bool {
    const WORDS: [&str; 9] =
        ["hash", "checksum", "digest", "md5", "sha1", "sha256", "sha512", "crc32", "etag"];
    let name = name.to_ascii_lowercase();
    // What a registry of containers names its content by, which has no values.
    let named = matches!(&name[..], b"etag" | b"docker-content-digest");
    !named && WORDS.iter().any(|word| memchr::memmem::find(&name, word.as_bytes()).is_some())
}

const _: () = assert!(NONCE_LEN + MAX_TAG_LEN < TAG_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u8) -> RunId {
        RunId([n; 16])
    }

    #[test]
    fn a_tag_comes_back_as_it_was_and_shows_nothing_on_its_way() {
        let tags = Tags::new().unwrap();
        for (tag, weak) in
            [("\"v1\"", false), ("W/\"22-rXjSKQ3i\"", true), ("\"\"", false), ("\"\u{e9},x\"", false)]
        {
            let sealed = tags.seal(run(1), tag.as_bytes()).unwrap();
            assert_eq!(tags.seal(run(1), tag.as_bytes()).unwrap().as_bytes(), sealed.as_bytes());
            assert_eq!(sealed.as_bytes().starts_with(b"W/"), weak);
            let text = sealed.to_str().unwrap().to_owned();
            assert!(!text.contains(tag.trim_matches(['W', '/', '"'])) || tag.len() < 4, "{text}");
            let mut headers = Headers::new();
            headers.push(
                RawField::from_static(b"IF-None-match"),
                RawField::new(format!("\"other\", {text}").into()),
            );
            headers.push(RawField::from_static(b"X-Other"), RawField::new(text.clone().into()));
            let opened = tags.open_all(run(1), &headers);
            let values: Vec<&[u8]> = opened.iter().map(|(_, value)| value.as_bytes()).collect();
            assert_eq!(values, [format!("\"other\", {tag}").as_bytes(), text.as_bytes()]);
            // Another run's says nothing.
            let others = tags.open_all(run(2), &headers);
            assert_eq!(others.get("if-none-match"), headers.get("if-none-match"));
            assert_ne!(tags.seal(run(2), tag.as_bytes()).unwrap().as_bytes(), sealed.as_bytes());
        }
        for odd in ["v1", "\"a\"b\"", "\"a", "W/v", "w/\"a\"", "\"a b\""] {
            assert_eq!(tags.seal(run(1), odd.as_bytes()), None, "{odd}");
        }
        for same in ["*", "\"plain\"", "Wed, 21 Oct 2015 07:28:00 GMT", "\"", ""] {
            assert_eq!(tags.opened(run(1), same.as_bytes()), None, "{same}");
        }
    }

    #[test]
    fn digests_are_known_by_their_names() {
        for yes in [
            "X-Goog-Hash",
            "x-amz-checksum-sha256",
            "x-ms-blob-content-md5",
            "X-Checksum-Sha1",
            "x-linked-etag",
        ] {
            assert!(is_digest(yes.as_bytes()), "{yes}");
        }
        for no in ["ETag", "Docker-Content-Digest", "Content-Type", "x-request-id"] {
            assert!(!is_digest(no.as_bytes()), "{no}");
        }
    }
}
