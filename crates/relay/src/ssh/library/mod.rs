//! The one place that knows the crate `russh`: SSH's transport (RFC 4253), authentication (RFC 4252) and channels (RFC 4254), towards
//! clients (`client`) and towards hosts (`upstream`).
//!
//! What it leaves to whoever uses it, and what is done here about that:
//!
//! - It starts a task for each connection and reads on for as long as its stream does. Every stream is therefore a
//!   [`stream::Cuttable`], and whoever made the connection cuts it.
//! - It hands data to a channel's queue and waits for room there, during which nothing else of the connection moves: with two
//!   channels, or with one that reads and writes, both ends can wait for each other for ever. Towards clients nothing waits here
//!   (`lane`); towards hosts one program runs on a connection.
//! - It grants a client more window as soon as data came, whether or not anybody took them. While too much waits here the grant is two
//!   bytes, and comes late (`client`).
//! - It sends an exit status past data that wait for window. Nothing is handed to it that the window does not take.
//! - It forgets a channel that it closed first, but for some bytes: a connection has so many channels and no more
//!   ([`crate::limits::SSH_CHANNELS_IN_ALL_MAX`]).
//! - It refuses a channel of a kind that it does not know by itself, and says nothing of that. It numbers it all the same: the next
//!   channel's number tells (`client`). Where none follows, there is no record of it.
//!
//! **Algorithms**: what no attack of Terrapin's kind (CVE-2023-48795) touches with a peer that does not know strict key exchange:
//! AES-GCM, and AES-CTR with MACs beside the text; never ChaCha20-Poly1305, CBC or `-etm`. Strict key exchange is offered, and
//! holds where the peer offers it. No SHA-1, no Diffie-Hellman over finite fields, no `none`, no compression.

mod client;
mod keys;
mod lane;
mod stream;
mod tunnel;
mod upstream;

use std::borrow::Cow;

use russh::keys::{Algorithm, EcdsaCurve};
use russh::{Preferred, cipher, compression, kex, mac};

pub(super) use client::{Ask, Guard, Opening, Serving, serve};
pub(super) use keys::{HostKey, Login};
pub use keys::{KeyKind, Pinned, read_pins};
pub(crate) use keys::{RunKey, make_run_key};
pub(super) use lane::{Beside, Gone, Lane, Request, Stdin, Terminal};
pub(super) use russh::Sig;
pub(super) use stream::Cut;
pub(super) use tunnel::{Came, NoTunnel, Target, TunnelEar, TunnelMouth, is_loopback};
pub(super) use upstream::{Dialled, Ear, Mouth, NotDialled, Said, Upstream, dial};

/// What this end says that it is. No version: whoever knocks need not know it.
const ID: &str = "SSH-2.0-Tachograph";

const KEX: &[kex::Name] = &[
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::MLKEM768X25519_SHA256,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

const MACS: &[mac::Name] = &[mac::HMAC_SHA256, mac::HMAC_SHA512];

/// Of keys of hosts and of those who log in. RSA is not built in: the crate has an open advisory (RUSTSEC-2023-0071).
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// What is offered; `keys`: of these algorithms.
fn preferred(keys: Cow<'static, [Algorithm]>) -> Preferred {
    Preferred {
        kex: Cow::Borrowed(KEX),
        key: keys,
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(CIPHERS),
        mac: Cow::Borrowed(MACS),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_weak_is_offered() {
        let offered = preferred(Cow::Borrowed(KEYS));
        let names = offered.kex.iter().map(AsRef::<str>::as_ref);
        let names = names.chain(offered.cipher.iter().map(AsRef::as_ref));
        let names: Vec<&str> = names.chain(offered.mac.iter().map(AsRef::as_ref)).collect();
        for weak in ["sha1", "group", "cbc", "3des", "chacha20", "etm", "none", "arcfour", "md5"] {
            assert!(names.iter().all(|name| !name.contains(weak)), "{weak} in {names:?}");
        }
        assert_eq!(names[0], "curve25519-sha256");
        assert!(names.contains(&"kex-strict-s-v00@openssh.com"));
        assert!(offered.key.iter().all(|key| !key.as_str().contains("rsa") && !key.as_str().contains("dss")));
    }
}
