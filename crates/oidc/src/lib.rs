//! Tokens that somebody else's issuer made: OpenID Connect, projected service accounts, tokens of CI, exchanged ones.
//!
//! A compact JWS (RFC 7515) whose claims are a JWT (RFC 7519), with the chain of actors of a token exchange (RFC 8693). Sans-IO:
//! bytes, keys and time come in; a [`Verified`] comes out, or the one reason why not.
//!
//! Unsupported *and refused*: encrypted tokens, `none` and every algorithm with a shared secret, keys that come in the token
//! itself (`jwk`, `jku`, `x5u`, `x5c`), critical headers, detached payloads, tokens that are bound to a key (`cnf`), JSON that
//! says a name twice.
//!
//! **Invariant:** an algorithm belongs to a key. What the token's header says of it can only agree.
//!
//! Reading order: [`token`] (what was shown) -> [`keys`] (who could have signed it) -> [`rules`] (what it has to say).

mod json;
pub mod keys;
pub mod limits;
pub mod rules;
pub mod token;

pub use keys::{Algorithm, KeySet, KeysError};
pub use rules::{Actor, Path, Rules, Verified};
pub use token::{Refused, Token};

#[cfg(test)]
mod tests;
