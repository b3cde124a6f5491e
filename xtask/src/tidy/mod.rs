//! The rules of the house, checked over the source alone: ARCHITECTURE.md says what they are for.
//!
//! Each rule is a function from the [`Tree`] to what offends it, and each has tests that it can fail.
//! An exception stands in an allow-list, with its reason, beside the rule.

mod arrows;
mod bans;
mod documents;
mod mints;
mod modules;
mod source;

use crate::home::Home;
use crate::step::{Ending, Stop};
use source::Tree;
use std::fmt;

/// Something that offends a rule: where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    path: String,
    /// From 1; 0 if the whole file is meant.
    line: usize,
    what: String,
}

impl Offence {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Offence {
        Offence { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

type Rule = fn(&Tree) -> Vec<Offence>;

const RULES: &[(&str, Rule)] = &[
    ("arrows between our crates", arrows::between_crates),
    ("every crate takes the workspace's lints", arrows::lints),
    ("sans-IO crates use no socket, file, clock or randomness", bans::sans_io),
    ("banned words", bans::words),
    ("tokens have one mint", mints::tokens),
    ("secrets do not print, copy or serialise", mints::secrets),
    ("every source file is a module of something", modules::reachable),
    ("documents name files and tests that exist", documents::names),
];

/// `cargo xtask tidy`.
pub fn run() -> Result<(), Stop> {
    match check(&Home::find()?) {
        Ending::Failed(..) => Err(Stop::Failed),
        _ => Ok(()),
    }
}

/// All rules; each is one check.
pub fn check(home: &Home) -> Ending {
    let tree = match Tree::read(&home.source) {
        Ok(tree) => tree,
        Err(why) => {
            println!("could not read the source tree: {why}");
            return Ending::Failed(0, 1);
        }
    };
    let mut results: Vec<(&str, Vec<Offence>)> =
        RULES.iter().map(|(name, rule)| (*name, rule(&tree))).collect();
    results.push(("sans-IO crates depend on no runtime, through nobody", arrows::foreign(home, &tree)));
    let failed = results.iter().filter(|(_, offences)| !offences.is_empty()).count() as u64;
    for (name, offences) in &results {
        println!("{} {name}", if offences.is_empty() { "ok    " } else { "BROKEN" });
        for offence in offences {
            println!("       {offence}");
        }
    }
    let passed = results.len() as u64 - failed;
    if failed == 0 { Ending::Passed(passed) } else { Ending::Failed(passed, failed) }
}
