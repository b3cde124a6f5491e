//! An auditor's key pair: the public half seals, the secret half opens and lives with a person.

use std::fmt;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use ring::pbkdf2;
use seal::tree::sha256_of;
use vocab::RunId;
use zeroize::Zeroizing;

use super::{EpochKey, KeyError, RunKey, RunKeys, Secret32, epoch_info, hex, run_info, unhex, unwrap, wrap};
use crate::clock::{NoRandom, Random, random};
use crate::limits::PASSPHRASE_ROUNDS;

pub(super) const AUDITOR_PREFIX: &str = "tacho-auditor-";

/// An auditor's public key (X25519).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditorKey([u8; 32]);

impl AuditorKey {
    pub fn from_bytes(bytes: [u8; 32]) -> AuditorKey {
        AuditorKey(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Result<AuditorKey, KeyError> {
        let hex = text.trim().strip_prefix(AUDITOR_PREFIX).ok_or(KeyError::NotAnAuditorKey)?;
        let bytes = unhex(hex).ok_or(KeyError::NotAnAuditorKey)?;
        Ok(AuditorKey(bytes.as_slice().try_into().map_err(|_| KeyError::NotAnAuditorKey)?))
    }

    /// Which auditor, in records: the first eight bytes of SHA-256("tacho auditor key v1" || key).
    pub fn id(&self) -> [u8; 8] {
        let hash = sha256_of(&[b"tacho auditor key v1", &self.0]);
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        id
    }

    pub(super) fn seal(
        &self,
        secret: &[u8; 32],
        info: &[u8],
        aad: &[u8],
        source: &dyn Random,
    ) -> Result<Vec<u8>, KeyError> {
        let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&self.0)
            .map_err(|_| KeyError::NotAnAuditorKey)?;
        let mut drawn = Drawn::new(source)?;
        let (encapsulated, sealed) =
            hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
                &OpModeS::Base,
                &key,
                info,
                secret,
                aad,
                &mut drawn,
            )
            .map_err(|_| KeyError::NotAnAuditorKey)?;
        let mut out = encapsulated.to_bytes().to_vec();
        out.extend_from_slice(&sealed);
        Ok(out)
    }
}

impl fmt::Display for AuditorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{AUDITOR_PREFIX}{}", hex(&self.0))
    }
}

impl fmt::Debug for AuditorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An auditor's secret key. Lives with a person, never below the data directory.
pub struct AuditorSecret {
    pub(super) secret: Secret32,
    public: AuditorKey,
}

impl AuditorSecret {
    pub fn generate(source: &dyn Random) -> Result<AuditorSecret, KeyError> {
        AuditorSecret::from_secret(Zeroizing::new(random(source)?))
    }

    fn from_secret(secret: Secret32) -> Result<AuditorSecret, KeyError> {
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&*secret)
            .map_err(|_| KeyError::NotAnAuditorKey)?;
        let public = X25519HkdfSha256::sk_to_pk(&private).to_bytes();
        let public = AuditorKey(public.as_slice().try_into().map_err(|_| KeyError::NotAnAuditorKey)?);
        Ok(AuditorSecret { secret, public })
    }

    pub fn public(&self) -> AuditorKey {
        self.public
    }

    /// The text of the key's file. `None` writes the secret in clear: only where the file itself is protected.
    pub fn to_text(
        &self,
        passphrase: Option<&[u8]>,
        source: &dyn Random,
    ) -> Result<Zeroizing<String>, KeyError> {
        let (kdf, secret) = match passphrase {
            None => ("none".to_owned(), Zeroizing::new(hex(&*self.secret))),
            Some(passphrase) => {
                let salt: [u8; 16] = random(source)?;
                let key = stretch(passphrase, &salt, PASSPHRASE_ROUNDS);
                let wrapped = wrap(&key, &self.secret, self.public.as_bytes(), source)?;
                let kdf = format!("pbkdf2-hmac-sha256 {PASSPHRASE_ROUNDS} {}", hex(&salt));
                (kdf, Zeroizing::new(hex(&wrapped)))
            }
        };
        let (public, secret) = (self.public, secret.as_str());
        Ok(Zeroizing::new(format!("tacho-auditor-key 1\npublic {public}\nkdf {kdf}\nsecret {secret}\n")))
    }

    /// Reads what [`AuditorSecret::to_text`] wrote.
    pub fn from_text(text: &str, passphrase: Option<&[u8]>) -> Result<AuditorSecret, KeyError> {
        let mut lines = text.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name);
        let bad = KeyError::NotAnAuditorKey;
        let (Some(""), Some(public), Some(kdf), Some(secret)) =
            (field("tacho-auditor-key 1"), field("public "), field("kdf "), field("secret "))
        else {
            return Err(bad);
        };
        let public = AuditorKey::parse(public)?;
        let stored = Zeroizing::new(unhex(secret).ok_or(KeyError::NotAnAuditorKey)?);
        let secret = match kdf.split(' ').collect::<Vec<_>>()[..] {
            ["none"] => Zeroizing::new(stored.as_slice().try_into().map_err(|_| KeyError::NotAnAuditorKey)?),
            ["pbkdf2-hmac-sha256", rounds, salt] => {
                let rounds = rounds.parse().ok().filter(|&r| (1..=100_000_000).contains(&r)).ok_or(bad)?;
                let salt = unhex(salt).ok_or(KeyError::NotAnAuditorKey)?;
                let key = stretch(passphrase.ok_or(KeyError::PassphraseNeeded)?, &salt, rounds);
                unwrap(&key, &stored, public.as_bytes()).ok_or(KeyError::WrongPassphrase)?
            }
            _ => return Err(bad),
        };
        let loaded = AuditorSecret::from_secret(secret)?;
        if loaded.public != public {
            return Err(KeyError::NotAnAuditorKey);
        }
        Ok(loaded)
    }

    /// Opens the fingerprint key of an epoch: one of `sealed` in the ledger's `epoch` record.
    pub fn open_epoch(&self, origin: &str, epoch: u64, sealed: &[u8]) -> Result<EpochKey, KeyError> {
        let secret = self.open(&epoch_info(origin), &epoch.to_be_bytes(), sealed)?;
        Ok(EpochKey::new(epoch, &secret))
    }

    /// Opens the payload key of a run out of the `run-keys` file.
    pub fn open_run(&self, origin: &str, keys: &RunKeys, run: RunId) -> Result<RunKey, KeyError> {
        let entry = keys.entry(run).ok_or(KeyError::Erased(run))?;
        let id = self.public.id();
        let sealed = entry.sealed.iter().find(|(of, _)| *of == id).ok_or(KeyError::DoesNotOpen)?;
        Ok(RunKey::new(run, self.open(&run_info(origin), &run.0, &sealed.1)?))
    }

    fn open(&self, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Secret32, KeyError> {
        let (encapsulated, ciphertext) = sealed.split_at_checked(32).ok_or(KeyError::DoesNotOpen)?;
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&*self.secret)
            .map_err(|_| KeyError::DoesNotOpen)?;
        let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated)
            .map_err(|_| KeyError::DoesNotOpen)?;
        let opened = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &private,
            &encapsulated,
            info,
            ciphertext,
            aad,
        )
        .map(Zeroizing::new)
        .map_err(|_| KeyError::DoesNotOpen)?;
        Ok(Zeroizing::new(opened.as_slice().try_into().map_err(|_| KeyError::DoesNotOpen)?))
    }
}

impl fmt::Debug for AuditorSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditorSecret({})", self.public)
    }
}

fn stretch(passphrase: &[u8], salt: &[u8], rounds: u32) -> Secret32 {
    let mut key = Zeroizing::new([0; 32]);
    let rounds = std::num::NonZeroU32::new(rounds).unwrap_or(std::num::NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, passphrase, &mut *key);
    key
}

/// A seed drawn once from [`Random`], stretched by SHA-256 in counter mode into what HPKE asks for: HPKE's generator
/// may not fail, ours may.
struct Drawn {
    seed: Secret32,
    count: u64,
}

impl Drawn {
    fn new(source: &dyn Random) -> Result<Drawn, NoRandom> {
        Ok(Drawn { seed: Zeroizing::new(random(source)?), count: 0 })
    }
}

impl hpke::rand_core::TryRng for Drawn {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut out = [0; 4];
        self.try_fill_bytes(&mut out)?;
        Ok(u32::from_be_bytes(out))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut out = [0; 8];
        self.try_fill_bytes(&mut out)?;
        Ok(u64::from_be_bytes(out))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in out.chunks_mut(32) {
            let block =
                Zeroizing::new(sha256_of(&[b"tacho drawn v1", &*self.seed, &self.count.to_be_bytes()]));
            chunk.copy_from_slice(&block[..chunk.len()]);
            self.count += 1;
        }
        Ok(())
    }
}

impl hpke::rand_core::TryCryptoRng for Drawn {}
