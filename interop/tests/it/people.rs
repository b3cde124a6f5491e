//! People beside the agent: operators with their tokens, and what waits for them.

use crate::world::eventually;
use interop::gateway::Gateway;
use interop::process::{Finished, finish};
use serde_json::Value;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Adds an operator; the token that is printed once.
pub fn operator(gateway: &Gateway, name: &str, role: &str, group: &str) -> String {
    let words = ["operator", "add", name, "--role", role, "--group", group, "--json"];
    let said = gateway.site().ask(&words, "").unwrap();
    let answer: Value = serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("{}", said.all()));
    answer["token"].as_str().unwrap().to_owned()
}

/// `tacho WORDS` as an operator.
pub fn with_token(gateway: &Gateway, token: &str, words: &[&str]) -> Finished {
    finish(gateway.site().tacho().args(words).env("TACHO_OPERATOR_TOKEN", token), b"", PATIENCE).unwrap()
}

/// What waits and holds `word`, if anything does.
pub fn asked(gateway: &Gateway, token: &str, word: &str) -> Option<Value> {
    let said = with_token(gateway, token, &["approvals", "--json"]);
    let inbox: Value = serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("{}", said.all()));
    inbox["approvals"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|asked| asked.to_string().contains(word))
        .cloned()
}

/// The id of the request that holds `word`, once it waits.
pub fn waiting(gateway: &Gateway, token: &str, word: &str) -> String {
    let found = eventually(&format!("nothing with {word} waits"), || asked(gateway, token, word));
    found["ask"].as_str().unwrap().to_owned()
}
