//! Keys: the gateway's own, those of runs, those that prove a host, and those by which the gateway logs in there.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::ssh_key::{Fingerprint, LineEnding};
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::KEYS;
use crate::entropy;
use crate::limits::SSH_PINS_MAX;
use crate::tls::write_private;
use crate::vault::Secret;

/// A run's public key, by which it proves itself: the 32 bytes of Ed25519 (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RunKey([u8; 32]);

impl RunKey {
    /// `None`: a kind that no run has.
    pub(super) fn of(key: &PublicKey) -> Option<RunKey> {
        key.key_data().ed25519().map(|key| RunKey(key.0))
    }
}

/// A new key for a run: its public half, and the private one in OpenSSH's own form. Errors: it cannot be written, which does not
/// happen.
pub(crate) fn make_run_key() -> Result<(RunKey, Zeroizing<String>), String> {
    let key = made("tacho run")?;
    let public = RunKey::of(key.public_key()).ok_or("the run's key is of the wrong kind")?;
    let private =
        key.to_openssh(LineEnding::LF).map_err(|e| format!("a run's key cannot be written: {e}"))?;
    Ok((public, private))
}

fn made(comment: &str) -> Result<PrivateKey, String> {
    let seed = Zeroizing::new(entropy::random::<32>());
    let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
    PrivateKey::new(pair, comment).map_err(|e| format!("cannot make a key: {e}"))
}

/// The key by which the gateway proves itself to clients.
pub(in crate::ssh) struct HostKey {
    private: PrivateKey,
    public: String,
}

impl HostKey {
    /// Takes the key from the directory of keys, or makes one there. Errors are sentences for the operator.
    pub(in crate::ssh) fn open(keys: &Path) -> Result<HostKey, String> {
        let file = keys.join("ssh-host.key");
        let private = match fs::read(&file) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                let mode = fs::metadata(&file).map_err(|e| format!("{}: {e}", file.display()))?.mode();
                if mode & 0o077 != 0 {
                    return Err(format!(
                        "{} can be read by others (mode {:o}); chmod 600 it, or delete it and have a new one made",
                        file.display(),
                        mode & 0o777
                    ));
                }
                PrivateKey::from_openssh(&*text).map_err(|e| format!("{} is no key: {e}", file.display()))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = made("tachograph")?;
                let text =
                    key.to_openssh(LineEnding::LF).map_err(|e| format!("a key cannot be written: {e}"))?;
                write_private(&file, text.as_bytes())?;
                key
            }
            Err(error) => return Err(format!("cannot read {}: {error}", file.display())),
        };
        let mut public = private.public_key().clone();
        public.set_comment("");
        let public =
            public.to_openssh().map_err(|e| format!("{} has no public half: {e}", file.display()))?;
        Ok(HostKey { private, public: public.trim_end().to_owned() })
    }

    /// `ssh-ed25519 AAAA...`, as clients pin it.
    pub(in crate::ssh) fn public(&self) -> &str {
        &self.public
    }

    pub(super) fn private(&self) -> PrivateKey {
        self.private.clone()
    }
}

/// The keys of which a host has to prove one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned(Vec<KeyData>);

/// The name of a key's algorithm, and SHA-256 of the key as OpenSSH writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyKind {
    pub algorithm: String,
    pub fingerprint: String,
    /// `ssh-ed25519 AAAA...`, as a configuration pins it.
    pub line: String,
}

impl KeyKind {
    pub(super) fn of(key: &PublicKey) -> KeyKind {
        let plain = PublicKey::new(key.key_data().clone(), "");
        KeyKind {
            algorithm: key.algorithm().to_string(),
            fingerprint: Fingerprint::new(HashAlg::Sha256, key.key_data()).to_string(),
            line: plain.to_openssh().map(|line| line.trim_end().to_owned()).unwrap_or_default(),
        }
    }
}

/// Reads keys, one a line: `ssh-ed25519 AAAA...`, or as lines of `known_hosts` for this host and port (sshd(8), "SSH_KNOWN_HOSTS FILE
/// FORMAT"): names by commas, `[host]:port`, no patterns, no hashed names, no certificate authorities. Errors are sentences for the
/// operator: there is no key, or one that is not understood.
pub fn read_pins(text: &str, host: &str, port: u16) -> Result<Pinned, String> {
    let bracketed = format!("[{host}]:{port}");
    let means = |name: &str| name == bracketed || (port == 22 && name == host);
    let mut pins = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let first = line.split_whitespace().next().unwrap_or_default();
        let rest = line[first.len()..].trim_start();
        let key = match first {
            _ if first.starts_with('@') => {
                return Err(format!("`{first}` of known_hosts is not understood here; pin the key"));
            }
            _ if Algorithm::new(first).is_ok_and(|known| !matches!(known, Algorithm::Other(_))) => line,
            _ if first.starts_with('|') => {
                return Err("hashed names of known_hosts are not understood here; pin the key".to_owned());
            }
            _ if first.split(',').any(means) => rest,
            _ => continue,
        };
        let key = PublicKey::from_openssh(key).map_err(|e| format!("a line is no public key: {e}"))?;
        if !KEYS.contains(&key.algorithm()) {
            // Of several kinds that a host has, those that are understood are enough.
            continue;
        }
        pins.push(key.key_data().clone());
    }
    match pins.len() {
        0 => Err(format!(
            "there is no key of {bracketed} that is understood; Ed25519 and ECDSA are, RSA is not"
        )),
        1..=SSH_PINS_MAX => Ok(Pinned(pins)),
        _ => Err(format!("there are more than {SSH_PINS_MAX} keys")),
    }
}

impl Pinned {
    pub(super) fn has(&self, key: &PublicKey) -> bool {
        self.0.iter().any(|pinned| pinned == key.key_data())
    }

    /// The kinds of key among them, as they are offered.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        KEYS.iter().filter(|kind| self.0.iter().any(|pinned| pinned.algorithm() == **kind)).cloned().collect()
    }
}

/// How the gateway logs in at a host.
pub(in crate::ssh) enum Login {
    Password(Zeroizing<String>),
    Key(Arc<PrivateKey>),
    Certificate(Arc<PrivateKey>, Box<Certificate>),
}

impl Login {
    /// Errors are sentences for the operator and hold no secret.
    pub(in crate::ssh) fn password(secret: &Secret) -> Result<Login, String> {
        let text =
            std::str::from_utf8(secret.expose()).map_err(|_| "the password is not UTF-8".to_owned())?;
        Ok(Login::Password(Zeroizing::new(text.to_owned())))
    }

    /// `certificate`: what a certificate's file says, where there is one. Errors as above.
    pub(in crate::ssh) fn key(secret: &Secret, certificate: Option<&str>) -> Result<Login, String> {
        let text =
            std::str::from_utf8(secret.expose()).map_err(|_| "the private key is not text".to_owned())?;
        let key = russh::keys::decode_secret_key(text, None).map_err(|e| {
            format!("the private key cannot be read ({e}); it is Ed25519 or ECDSA, without a passphrase")
        })?;
        if !KEYS.contains(&key.algorithm()) {
            return Err(format!("a key of {} is not understood; Ed25519 and ECDSA are", key.algorithm()));
        }
        let key = Arc::new(key);
        let Some(certificate) = certificate else { return Ok(Login::Key(key)) };
        let certificate = Certificate::from_openssh(certificate.trim())
            .map_err(|e| format!("the certificate cannot be read: {e}"))?;
        match certificate.public_key() == key.public_key().key_data() {
            true => Ok(Login::Certificate(key, Box::new(certificate))),
            false => Err("the certificate is not of this private key".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn a_pin_is_a_key_or_a_line_of_known_hosts_for_this_host() {
        let pin = read_pins(KEY, "h", 22).unwrap();
        for line in [
            format!("h {KEY}"),
            format!("a,[h]:22,b {KEY} comment"),
            format!("# x\n\nother {KEY}\nh {KEY}\n"),
        ] {
            assert_eq!(read_pins(&line, "h", 22), Ok(pin.clone()), "{line}");
        }
        assert_eq!(read_pins(&format!("[h]:2222 {KEY}"), "h", 2222), Ok(pin));
        for wrong in [
            String::new(),
            format!("other {KEY}"),
            format!("h {KEY}"),
            format!("@cert-authority h {KEY}"),
            format!("|1|aa|bb {KEY}"),
            "ssh-ed25519 nothing".to_owned(),
        ] {
            assert!(read_pins(&wrong, "h", 2222).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_runs_key_is_its_own_and_can_be_read_back() {
        let (public, private) = make_run_key().unwrap();
        let (other, _) = make_run_key().unwrap();
        assert!(public != other);
        let read = PrivateKey::from_openssh(private.as_bytes()).unwrap();
        assert!(RunKey::of(read.public_key()) == Some(public));
    }
}
