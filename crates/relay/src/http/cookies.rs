//! Cookies that services set for a run. They are credentials of the services', and nobody is shown one. What an agent brings
//! of its own instead is its own word, and no approver would see it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::limits::COOKIES_PER_RUN_MAX;

/// By digest, the newest last; the oldest are forgotten first.
#[derive(Default)]
pub(crate) struct Cookies(Mutex<VecDeque<[u8; 32]>>);

impl Cookies {
    /// A service sets one: `value` is the field's, as the client is given it.
    pub(super) fn set(&self, service: &str, value: &[u8]) {
        let pair = value.split(|b| *b == b';').next().unwrap_or(value);
        let digest = digest(service, pair);
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.retain(|known| *known != digest);
        set.push_back(digest);
        if set.len() > COOKIES_PER_RUN_MAX {
            set.pop_front();
        }
    }

    /// Whether the service set each of those in a field's value.
    pub(super) fn knows(&self, service: &str, value: &[u8]) -> bool {
        let set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        value.split(|b| *b == b';').all(|pair| set.contains(&digest(service, pair)))
    }
}

/// SHA-256 of whose cookie it is, and of its name and value.
fn digest(service: &str, pair: &[u8]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(service.as_bytes());
    context.update(&[0]);
    context.update(pair.trim_ascii());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_known_as_its_service_set_it_and_no_other() {
        let cookies = Cookies::default();
        assert!(!cookies.knows("shop", b"a=1"));
        cookies.set("shop", b"a=1; Path=/; HttpOnly");
        cookies.set("shop", b"b=");
        assert!(cookies.knows("shop", b"a=1") && cookies.knows("shop", b"b=; a=1"));
        for other in ["a=2", "a=1; c=3", "a=1,c=3", "a", "A=1", "Path=/", "a=1;", ""] {
            assert!(!cookies.knows("shop", other.as_bytes()), "{other}");
        }
        assert!(!cookies.knows("mail", b"a=1"), "another service's");
    }

    #[test]
    fn the_oldest_of_too_many_is_forgotten() {
        let cookies = Cookies::default();
        (0..=COOKIES_PER_RUN_MAX).for_each(|n| cookies.set("shop", format!("c={n}").as_bytes()));
        assert!(!cookies.knows("shop", b"c=0") && cookies.knows("shop", b"c=1"));
        assert!(cookies.knows("shop", format!("c={COOKIES_PER_RUN_MAX}").as_bytes()));
    }
}
