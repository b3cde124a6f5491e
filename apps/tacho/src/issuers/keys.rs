//! An issuer's keys: read from a file or asked for, kept for a while, and never believed for longer than that.
//!
//! A file is read again when it changes. A URL is asked when the keys are older than [`KEYS_FRESH`], and for a key that is not
//! known at most every [`KEYS_PAUSE`]. An issuer that does not answer keeps its keys until they are [`KEYS_AGE_MAX`] old.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HOST};
use oidc::limits::KEYS_BYTES_MAX;
use oidc::{Algorithm, KeySet, Refused, Rules, Token, Verified};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;

use crate::config::{HttpUpstream, Issuer, KeysFrom};
use crate::fault::Failure;
use crate::http::{NoReply, exchange};
use crate::limits::{DISCOVERY_BYTES_MAX, ISSUER_DEADLINE, KEYS_AGE_MAX, KEYS_FRESH, KEYS_PAUSE};

/// The keys of one issuer.
pub struct Keys {
    issuer: String,
    from: KeysFrom,
    allowed: Vec<Algorithm>,
    tls: Option<Arc<rustls::ClientConfig>>,
    state: Mutex<State>,
    /// Held by who asks the issuer: one at a time.
    asking: Mutex<()>,
}

#[derive(Default)]
struct State {
    set: Option<Arc<KeySet>>,
    /// When the set was read, and when that was last tried.
    read: Option<Instant>,
    tried: Option<Instant>,
    /// The file as it was read.
    stamp: Option<(std::time::SystemTime, u64)>,
    trouble: Option<String>,
}

impl Keys {
    /// Errors: certificates that cannot be used.
    pub fn of(issuer: &Issuer) -> Result<Keys, Failure> {
        let url = match &issuer.keys {
            KeysFrom::File(_) => None,
            KeysFrom::Url(url) | KeysFrom::Discovery(url) => Some(url),
        };
        let tls = match url.filter(|url| url.https) {
            None => relay::config::UpstreamTls::Disable,
            Some(url) => relay::config::UpstreamTls::full(url.root_certificates.clone()),
        };
        let tls = relay::tls::client_config(&tls, None)
            .map_err(|e| Failure::could_not(format!("issuer {}: {e}", issuer.name)))?;
        Ok(Keys {
            issuer: issuer.rules.issuer.clone(),
            from: issuer.keys.clone(),
            allowed: issuer.rules.algorithms.clone(),
            tls,
            state: Mutex::default(),
            asking: Mutex::default(),
        })
    }

    /// Whether the token is good by the keys of now. Blocks while the issuer is asked.
    pub fn verify(
        &self,
        rules: &Rules,
        token: &Token<'_>,
        handle: &Handle,
        now: u64,
    ) -> Result<Verified, Refused> {
        let set = self.current(handle).ok_or(Refused::NoKeys)?;
        match rules.verify(token, &set, now) {
            // Perhaps the key is new.
            Err(Refused::UnknownKey) if !matches!(self.from, KeysFrom::File(_)) => {
                let newer = self.newer(&set, handle).ok_or(Refused::UnknownKey)?;
                rules.verify(token, &newer, now)
            }
            other => other,
        }
    }

    /// Reads them now, whatever is kept. How many there are of use; for `tacho check`.
    pub async fn look(&self) -> Result<usize, String> {
        let bytes = match &self.from {
            KeysFrom::File(path) => read_file(path)?,
            KeysFrom::Url(_) | KeysFrom::Discovery(_) => self.fetch().await?,
        };
        self.parse(&bytes).map(|set| set.usable())
    }

    /// What went wrong when the keys were last read.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.state().trouble.clone()?;
        Some(format!("its keys could not be read ({}): {trouble}", self.from.describe()))
    }

    /// The keys, if there are any that may be believed still.
    fn current(&self, handle: &Handle) -> Option<Arc<KeySet>> {
        if matches!(self.from, KeysFrom::File(_)) {
            return self.of_file();
        }
        let young = |state: &State| state.read.is_some_and(|read| read.elapsed() < KEYS_FRESH);
        if !young(&self.state()) {
            // Who has keys that may be believed does not wait for somebody else's question.
            let kept = self.state().read.is_some_and(|read| read.elapsed() < KEYS_AGE_MAX);
            let turn = match self.asking.try_lock() {
                Err(TryLockError::WouldBlock) if kept => None,
                Err(TryLockError::WouldBlock) => {
                    Some(self.asking.lock().unwrap_or_else(PoisonError::into_inner))
                }
                Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
                Ok(turn) => Some(turn),
            };
            let tried = self.state().tried.is_some_and(|tried| tried.elapsed() < KEYS_PAUSE);
            if turn.is_some() && !tried && !young(&self.state()) {
                self.ask(handle);
            }
        }
        let state = self.state();
        let good = state.read.is_some_and(|read| read.elapsed() < KEYS_AGE_MAX);
        state.set.clone().filter(|_| good)
    }

    /// A set that was read after `known`, if there is one or the issuer may be asked again.
    fn newer(&self, known: &Arc<KeySet>, handle: &Handle) -> Option<Arc<KeySet>> {
        let other = |state: &State| state.set.clone().filter(|set| !Arc::ptr_eq(set, known));
        let _turn = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = other(&self.state()) {
            return Some(set);
        }
        if self.state().tried.is_some_and(|tried| tried.elapsed() < KEYS_PAUSE) {
            return None;
        }
        self.ask(handle);
        other(&self.state())
    }

    fn of_file(&self) -> Option<Arc<KeySet>> {
        let KeysFrom::File(path) = &self.from else { return None };
        let stamp = std::fs::metadata(path).ok().and_then(|m| Some((m.modified().ok()?, m.len())));
        let mut state = self.state();
        if state.stamp.is_none() || state.stamp != stamp {
            let read = read_file(path).and_then(|bytes| self.parse(&bytes));
            state.stamp = stamp;
            // A file that is wrong knows no key.
            (state.set, state.trouble) = match read {
                Ok(set) => (Some(Arc::new(set)), None),
                Err(why) => (None, Some(why)),
            };
        }
        state.set.clone()
    }

    /// Asks the issuer, and keeps what it says. What it said before stays, if it says nothing.
    fn ask(&self, handle: &Handle) {
        self.state().tried = Some(Instant::now());
        let said = handle.block_on(self.fetch()).and_then(|bytes| self.parse(&bytes));
        let mut state = self.state();
        // A silent issuer is left alone for as long as one that answered.
        state.tried = Some(Instant::now());
        match said {
            Ok(set) => {
                (state.set, state.read, state.trouble) = (Some(Arc::new(set)), Some(Instant::now()), None);
            }
            Err(why) => state.trouble = Some(why),
        }
    }

    async fn fetch(&self) -> Result<Vec<u8>, String> {
        match &self.from {
            KeysFrom::File(_) => Err("they are in a file".to_owned()),
            KeysFrom::Url(url) => self.get(url, "", KEYS_BYTES_MAX).await,
            KeysFrom::Discovery(issuer) => {
                let said = self.get(issuer, "/.well-known/openid-configuration", DISCOVERY_BYTES_MAX).await?;
                self.get(&discovered(&said, &self.issuer, issuer)?, "", KEYS_BYTES_MAX).await
            }
        }
    }

    async fn get(&self, url: &HttpUpstream, below: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let exchanged = tokio::time::timeout(ISSUER_DEADLINE, self.dial(url, below, bytes_max)).await;
        let reply =
            exchanged.unwrap_or_else(|_| Err(format!("no answer within {} s", ISSUER_DEADLINE.as_secs())));
        reply.map_err(|why| format!("{}{below}: {why}", url.address()))
    }

    async fn dial(&self, url: &HttpUpstream, below: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let path = format!("{}{below}", url.base);
        let request = Request::get(if path.is_empty() { "/" } else { &path })
            .header(HOST, url.authority())
            .header(ACCEPT, "application/json")
            .body(Full::new(Bytes::new()))
            .map_err(|e| e.to_string())?;
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|e| e.to_string())?;
        let reply = match self.tls.as_ref().filter(|_| url.https) {
            None => exchange(stream, request, bytes_max).await,
            Some(tls) => {
                let name = ServerName::try_from(url.host.clone())
                    .map_err(|_| format!("`{}` is no name that a certificate can prove", url.host))?;
                let proved =
                    TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(|e| e.to_string())?;
                exchange(proved, request, bytes_max).await
            }
        };
        match reply {
            // Where else it sends us is not followed: the configuration says where the keys are.
            Ok(reply) if reply.status == 200 => Ok(reply.body),
            Ok(reply) => Err(format!("it answered {}", reply.status)),
            Err(NoReply::Broken(why)) => Err(why),
            Err(NoReply::NobodyThere | NoReply::Forbidden) => Err("it did not answer".to_owned()),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<KeySet, String> {
        KeySet::parse(bytes, &self.allowed).map_err(|e| e.to_string())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_file(path: &std::path::Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let limit = u64::try_from(KEYS_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|e| e.to_string())
}

/// Where the keys are, as the issuer says (OpenID Connect Discovery 1.0, 4.3): it has to name itself exactly, and what was
/// proved by TLS is not continued without.
fn discovered(said: &[u8], issuer: &str, asked: &HttpUpstream) -> Result<HttpUpstream, String> {
    let said: serde_json::Value = serde_json::from_slice(said).map_err(|_| "it is no JSON".to_owned())?;
    if said.get("issuer").and_then(serde_json::Value::as_str) != Some(issuer) {
        return Err("it names another `issuer` than the configuration".to_owned());
    }
    let place = said.get("jwks_uri").and_then(serde_json::Value::as_str);
    let place = place.ok_or_else(|| "it has no `jwks_uri`".to_owned())?;
    let mut url =
        HttpUpstream::parse(place, false).map_err(|wrong| format!("its `jwks_uri`: {}", wrong.join("; ")))?;
    if asked.https && !url.https {
        return Err("its `jwks_uri` is not https".to_owned());
    }
    url.root_certificates = asked.root_certificates.clone();
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_stays_with_the_issuer_and_with_tls() {
        let asked = HttpUpstream::parse("https://idp.example/o", false).unwrap();
        let find = |said: &str| discovered(said.as_bytes(), "https://idp.example/o", &asked);
        let good = r#"{"issuer":"https://idp.example/o","jwks_uri":"https://keys.example/o/jwks"}"#;
        assert_eq!(find(good).unwrap().address(), "https://keys.example/o/jwks");
        for (bad, why) in [
            (good.replace("/o\"", "/o/\""), "another `issuer`"),
            (good.replace("https://keys.example", "http://localhost"), "not https"),
            (good.replace("https://keys.example", "http://keys.example"), "without proof"),
            (good.replace("jwks_uri", "other"), "no `jwks_uri`"),
            ("[".to_owned(), "no JSON"),
        ] {
            let said = find(&bad).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
