//! Browser logins: a random cookie for an operator's name, and a second secret against forged forms.
//!
//! Logins live in memory only; the cookie itself is not kept, its hash is. Each use asks `auth` again who the operator
//! is now, by name and token, so that removing one ends the logins, also where another is added by that name.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use crate::limits::{LOGIN_IDLE, LOGIN_LIFE, LOGINS_MAX};

/// All browser logins.
pub struct Logins {
    table: Mutex<HashMap<Hash, Entry>>,
    random: SystemRandom,
}

type Hash = [u8; 32];

#[derive(Clone)]
struct Entry {
    operator: String,
    token: [u8; 32],
    form: String,
    made: Instant,
    used: Instant,
}

/// A login that was just made: shown to the browser once.
pub struct NewLogin {
    pub cookie: String,
}

/// A login as a page needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub operator: String,
    /// SHA-256 of the token that it was made with: another token's operator is another one, whatever the name.
    pub token: [u8; 32],
    /// Must come back with each form (CSRF).
    pub form: String,
}

/// The operating system gave no randomness, so nobody is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandom;

impl Logins {
    pub fn new() -> Logins {
        Logins { table: Mutex::new(HashMap::new()), random: SystemRandom::new() }
    }

    /// Makes a login. Where [`LOGINS_MAX`] exist, the one that was not used for longest ends.
    pub fn make(&self, operator: &str, token: &str, now: Instant) -> Result<NewLogin, NoRandom> {
        let (cookie, form) = (self.secret()?, self.secret()?);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, entry| entry.alive(now));
        if table.len() >= LOGINS_MAX
            && let Some(oldest) = table.iter().min_by_key(|(_, entry)| entry.used).map(|(hash, _)| *hash)
        {
            table.remove(&oldest);
        }
        table.insert(hash(&cookie), {
            let token = hash(token);
            Entry { operator: operator.to_owned(), token, form, made: now, used: now }
        });
        Ok(NewLogin { cookie })
    }

    /// The login behind a cookie, if it is alive. Looking it up by its hash takes no time that tells of the cookie.
    pub fn find(&self, cookie: &str, now: Instant) -> Option<Login> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = table.get_mut(&hash(cookie)).filter(|entry| entry.alive(now))?;
        entry.used = now;
        Some(Login { operator: entry.operator.clone(), token: entry.token, form: entry.form.clone() })
    }

    pub fn end(&self, cookie: &str) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(cookie));
    }

    /// 256 random bits as hexadecimal digits.
    fn secret(&self) -> Result<String, NoRandom> {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes).map_err(|_| NoRandom)?;
        Ok(answers::text::hex(&bytes))
    }
}

impl Login {
    /// Whether a form came from a page of this login. Compares hashes, so that time tells nothing.
    pub fn sent(&self, form: &str) -> bool {
        hash(&self.form) == hash(form)
    }
}

impl Entry {
    fn alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.made) < LOGIN_LIFE
            && now.saturating_duration_since(self.used) < LOGIN_IDLE
    }
}

fn hash(text: &str) -> Hash {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_ends_by_age_by_idleness_and_by_choice() {
        let (logins, start) = (Logins::new(), Instant::now());
        let made = |logins: &Logins| logins.make("ada", "t", start).map(|l| l.cookie).ok().unwrap();
        let cookie = made(&logins);
        assert_eq!(logins.find(&cookie, start).unwrap().operator, "ada");
        assert!(logins.find("other", start).is_none());
        assert!(logins.find(&cookie, start + LOGIN_IDLE).is_none(), "idle");
        let mut at = start;
        let busy = made(&logins);
        while at < start + LOGIN_LIFE - LOGIN_IDLE / 2 {
            assert!(logins.find(&busy, at).is_some(), "used before it is idle");
            at += LOGIN_IDLE / 2;
        }
        assert!(logins.find(&busy, start + LOGIN_LIFE).is_none(), "too old, though in use");
        let ended = made(&logins);
        logins.end(&ended);
        assert!(logins.find(&ended, start).is_none());
    }

    #[test]
    fn the_login_unused_for_longest_gives_way_at_the_limit() {
        let (logins, start) = (Logins::new(), Instant::now());
        let tick = |n: usize| start + std::time::Duration::from_millis(n as u64);
        let all: Vec<String> =
            (0..=LOGINS_MAX).map(|n| logins.make("ada", "t", tick(n)).ok().unwrap().cookie).collect();
        let now = tick(LOGINS_MAX);
        assert!(logins.find(&all[0], now).is_none());
        assert!(all[1..].iter().all(|cookie| logins.find(cookie, now).is_some()));
    }

    #[test]
    fn only_the_forms_own_secret_is_taken() {
        let logins = Logins::new();
        let now = Instant::now();
        let (a, b) = (logins.make("ada", "t", now).ok().unwrap(), logins.make("ada", "t", now).ok().unwrap());
        let (a, b) = (logins.find(&a.cookie, now).unwrap(), logins.find(&b.cookie, now).unwrap());
        assert!(a.sent(&a.form));
        assert!(!a.sent(&b.form) && !a.sent("") && !a.sent(&a.form[1..]));
    }
}
