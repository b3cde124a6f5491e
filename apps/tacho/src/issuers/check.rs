//! What `tacho check` says of an issuer.

use super::keys::Keys;
use crate::check::Finding;
use crate::config::Issuer;

/// Whether its keys can be had: without them none of its tokens mints a run. `offline`: nobody is asked.
pub async fn trusted(issuer: &Issuer, offline: bool) -> Finding {
    let (name, from) = (&issuer.name, issuer.keys.describe());
    let whom = issuer.owner.as_deref().unwrap_or("the human that it names");
    let then = format!("a token of its mints up to {} run(s) for {whom}", issuer.runs_per_token);
    if offline {
        return Finding::good(format!("issuer {name}: keys from {from}, not read now; {then}"));
    }
    let keys = match Keys::of(issuer) {
        Ok(keys) => keys.look().await,
        Err(failure) => Err(failure.to_string()),
    };
    match keys {
        Ok(count) => Finding::good(format!("issuer {name}: {count} key(s) of use from {from}; {then}")),
        Err(why) => Finding::wrong(
            format!("issuer {name}: its keys could not be read from {from}: {why}"),
            "see `keys` of the issuer; until then none of its tokens is taken",
        ),
    }
}
