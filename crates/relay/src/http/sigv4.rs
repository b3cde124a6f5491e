//! AWS Signature Version 4: a request is signed with a key that never travels. Spec: "Signature Version 4 signing process",
//! AWS IAM User Guide; for S3, "Authenticating Requests: Using the Authorization Header".
//!
//! What is signed is what the writer sends, behind the permit: the method, path and query of the request line, `Host`,
//! `Content-Type` and every `X-Amz-` field, and the hash of the whole body, which is held. A body that goes on behind what is
//! held is refused before, and so is a query that brings a signature.

use ring::{digest, hmac};
use zeroize::Zeroizing;

use super::credential::percent_encoded;
use crate::entropy::hex;
use crate::vault::Secret;

/// What begins so is the signature's, in fields and in the query.
pub(super) const SIGNED: &str = "x-amz-";
/// Of the fields that begin so, those that the gateway says itself.
pub(super) const OURS: &[&str] = &["x-amz-date", "x-amz-content-sha256", "x-amz-security-token"];

/// Signs for one service in one region.
pub(super) struct Signer {
    id: String,
    secret: Zeroizing<Vec<u8>>,
    token: Option<Zeroizing<String>>,
    region: String,
    service: String,
}

impl Signer {
    /// The credential is `ID:SECRET`, or `ID:SECRET:TOKEN` of a session. Errors: a sentence for the operator.
    pub(super) fn new(credential: &Secret, region: &str, service: &str) -> Result<Signer, String> {
        let wrong = || {
            "the credential is not ID:SECRET or ID:SECRET:TOKEN, which inject = \"sigv4\" needs".to_owned()
        };
        let text = std::str::from_utf8(credential.expose()).map_err(|_| wrong())?;
        let mut parts = text.splitn(3, ':');
        let (Some(id), Some(secret), token) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) || secret.is_empty() {
            return Err(wrong());
        }
        Ok(Signer {
            id: id.to_owned(),
            secret: Zeroizing::new([b"AWS4", secret.as_bytes()].concat()),
            token: token.map(|token| Zeroizing::new(token.to_owned())),
            region: region.to_owned(),
            service: service.to_owned(),
        })
    }

    /// The fields that sign a whole request as our own encoder wrote it. `now`: seconds since 1970. `None`: it is no request.
    pub(super) fn fields(&self, request: &[u8], now: u64) -> Option<Zeroizing<Vec<u8>>> {
        let end = memchr::memmem::find(request, b"\r\n\r\n")?;
        let (head, body) = (std::str::from_utf8(request.get(..end)?).ok()?, request.get(end + 4..)?);
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?, first.next()?);
        let mut signed: Vec<(String, String)> = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let name = name.to_ascii_lowercase();
            if name == "host" || name == "content-type" || name.starts_with(SIGNED) {
                signed.push((name, value.to_owned()));
            }
        }
        let (hash, date) = (hashed(body), stamp(now));
        let mut own = vec![("x-amz-date", date.as_str()), ("x-amz-content-sha256", hash.as_str())];
        own.extend(self.token.as_ref().map(|token| ("x-amz-security-token", token.as_str())));
        signed.extend(own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let authorization = self.authorization(method, target, signed, &hash, &date);
        let mut out = Zeroizing::new(Vec::new());
        for (name, value) in own.into_iter().chain([("Authorization", authorization.as_str())]) {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        Some(out)
    }

    fn authorization(
        &self,
        method: &str,
        target: &str,
        signed: Vec<(String, String)>,
        payload: &str,
        date: &str,
    ) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (names, fields) = canonical_fields(signed);
        let path = canonical_path(path, self.service == "s3");
        let canonical = format!("{method}\n{path}\n{}\n{fields}\n{names}\n{payload}", canonical_query(query));
        let day = date.get(..8).unwrap_or(date);
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let words = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hashed(canonical.as_bytes()));
        let mut key = mac(&self.secret, day.as_bytes());
        for part in [self.region.as_str(), self.service.as_str(), "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        let signature = hex(&mac(&key, words.as_bytes()));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.id
        )
    }
}

/// The signature in what was sent: behind the request line, before anything of the client's.
pub(super) fn signature_in(sent: &[u8]) -> Option<&[u8]> {
    const FIELD: &[u8] = b"\r\nAuthorization: AWS4-HMAC-SHA256 ";
    const NAME: &[u8] = b"Signature=";
    let field = sent.get(memchr::memmem::find(sent, FIELD)? + FIELD.len()..)?;
    let field = field.get(..memchr::memchr(b'\r', field)?)?;
    field.get(memchr::memmem::find(field, NAME)? + NAME.len()..)
}

fn mac(key: &[u8], words: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), words).as_ref().to_vec())
}

fn hashed(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Names joined by `;`, and a line for each name: sorted, fields of one name joined by a comma, spaces in a row as one.
fn canonical_fields(mut fields: Vec<(String, String)>) -> (String, String) {
    // Stable: fields of one name stay in their order.
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    let (mut names, mut lines): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (name, value) in fields {
        let value = value.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        match (names.last() == Some(&name), lines.last_mut()) {
            (true, Some(line)) => line.push_str(&format!(",{value}")),
            _ => {
                lines.push(format!("{name}:{value}"));
                names.push(name);
            }
        }
    }
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    (names.join(";"), lines)
}

/// S3 has each segment encoded once, and every other service what stands in the request line once more.
fn canonical_path(path: &str, once: bool) -> String {
    let segment = |segment: &str| match once {
        true => encoded(&decoded(segment)),
        false => encoded(segment.as_bytes()),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Pairs in the order of their encoded names and values.
fn canonical_query(query: &str) -> String {
    let pair = |piece: &str| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        (encoded(&decoded(name)), encoded(&decoded(value)))
    };
    let mut pairs: Vec<_> = query.split('&').filter(|piece| !piece.is_empty()).map(pair).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn encoded(bytes: &[u8]) -> String {
    percent_encoded(bytes).iter().map(|b| char::from(*b)).collect()
}

/// Each escape undone once. What is no escape stays; a target with one was refused.
fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    out
}

/// `20150830T123600Z`. The calendar is the Gregorian, by eras of 400 years that begin in March.
fn stamp(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", time / 3_600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn signer(id: &str, secret: &str, service: &str) -> Signer {
        Signer::new(&Secret::new(format!("{id}:{secret}").into_bytes()), "us-east-1", service).unwrap()
    }

    fn signature(
        signer: &Signer,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        payload: &str,
        date: &str,
    ) -> String {
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let whole = signer.authorization(method, target, fields, payload, date);
        whole.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    /// Of AWS's own test suite: `get-vanilla`, `get-vanilla-query-order-key-case`, `post-vanilla`.
    #[test]
    fn the_published_vectors_are_signed_as_published() {
        let signer = signer("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "service");
        let date = "20150830T123600Z";
        let fields = [("x-amz-date", date), ("host", "example.amazonaws.com")];
        for (method, target, expect) in [
            ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (
                "GET",
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ] {
            assert_eq!(signature(&signer, method, target, &fields, EMPTY, date), expect, "{method} {target}");
        }
    }

    /// "Example: GET Object" of the S3 API reference.
    #[test]
    fn the_published_example_of_s3_is_signed_as_published() {
        let signer = signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "s3");
        let date = "20130524T000000Z";
        let fields = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", date),
        ];
        let expect = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert_eq!(signature(&signer, "GET", "/test.txt", &fields, EMPTY, date), expect);
    }

    #[test]
    fn what_is_signed_is_read_in_one_way() {
        assert_eq!(canonical_path("/a b%20c/d", false), "/a%20b%2520c/d");
        assert_eq!(canonical_path("/a%20b/%7Ed", true), "/a%20b/~d");
        assert_eq!(canonical_query("b=2&a=%7E&a=1&c"), "a=1&a=~&b=2&c=");
        let fields = |all: &[(&str, &str)]| {
            canonical_fields(all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
        };
        assert_eq!(
            fields(&[("b", " 1  2 "), ("a", "x"), ("b", "3")]),
            ("a;b".into(), "a:x\nb:1 2,3\n".into())
        );
        assert_eq!(stamp(1_440_938_160), "20150830T123600Z");
        assert_eq!((stamp(0), stamp(1_709_164_800)), ("19700101T000000Z".into(), "20240229T000000Z".into()));
    }

    #[test]
    fn a_request_gets_its_fields_and_no_secret() {
        let signer =
            Signer::new(&Secret::new(b"AKID:the-secret-key:the-token".to_vec()), "eu-west-1", "s3").unwrap();
        let request =
            b"PUT /b/k?x=1 HTTP/1.1\r\nHost: s3.example\r\nX-Amz-Acl: private\r\nContent-Length: 2\r\n\r\nhi";
        let fields = signer.fields(request, 0).unwrap();
        let text = std::str::from_utf8(&fields).unwrap();
        let sent =
            [b"PUT /?Signature=a HTTP/1.1\r\n", &fields[..], b"X: Signature=b\r\n\r\nSignature=c"].concat();
        let signature = signature_in(&sent).unwrap();
        assert!(
            signature.len() == 64
                && text.ends_with(&format!("{}\r\n", std::str::from_utf8(signature).unwrap()))
        );
        assert!(
            text.contains(
                "SignedHeaders=host;x-amz-acl;x-amz-content-sha256;x-amz-date;x-amz-security-token,"
            ),
            "{text}"
        );
        assert!(
            text.contains(&format!("x-amz-content-sha256: {}\r\n", hashed(b"hi")))
                && text.contains("the-token")
        );
        assert!(!text.contains("the-secret-key") && text.ends_with("\r\n"), "{text}");
        assert!(signer.fields(b"no request", 0).is_none());
        for wrong in ["", "AKID", "AKID:", ":x", "AK ID:x"] {
            assert!(Signer::new(&Secret::new(wrong.as_bytes().to_vec()), "r", "s").is_err(), "{wrong}");
        }
    }
}
