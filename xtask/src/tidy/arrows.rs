//! The arrows that must never exist (ARCHITECTURE.md), over the manifests and cargo's own tree.

use super::Offence;
use super::source::{File, Tree};
use crate::home::Home;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// From any of the left to any of the right, over however many steps. A name that ends in `*` is a prefix.
struct Arrow {
    from: &'static [&'static str],
    to: &'static [&'static str],
    why: &'static str,
}

const FORBIDDEN: &[Arrow] = &[
    Arrow { from: &["vocab"], to: &["*"], why: "the nouns depend on nothing of ours" },
    Arrow {
        from: &["wire", "vocab", "json", "values"],
        to: &["proto-*"],
        why: "2: what all protocols share knows none of them",
    },
    Arrow { from: &["proto-*"], to: &["proto-*"], why: "2: a protocol does not know another" },
    Arrow {
        from: &["proto-*"],
        to: &["policy", "gate", "ledger", "mask"],
        why: "3: a decoder cannot decide, record or release",
    },
    Arrow {
        from: &["ledger", "index", "answers", "console", "tacho-verify"],
        to: &["relay", "proto-*"],
        why: "5: the analyst's side holds no credential and cannot reach an upstream",
    },
    Arrow {
        from: &["relay", "gate"],
        to: &["index", "answers", "console"],
        why: "6: the data plane never reads what is derived from it",
    },
    Arrow {
        from: &["seal"],
        to: &["*"],
        why: "a third party reimplements it from one page, so it stands alone",
    },
    Arrow {
        from: &["proto-*", "json", "values", "sql", "shell", "policy", "mask", "seal", "oidc", "terminal"],
        to: &["ledger", "gate", "relay", "index", "answers", "console"],
        why: "1: sans-IO crates stand below whatever has IO",
    },
];

/// What an outsider audits with depends on these alone.
const VERIFIER: (&str, &[&str]) = ("tacho-verify", &["seal"]);

/// Crates under arrow 1, and what must not be anywhere below them.
const PURE: &[&str] = &[
    "proto-postgres",
    "proto-http",
    "proto-ssh",
    "proto-kubernetes",
    "json",
    "values",
    "sql",
    "shell",
    "policy",
    "mask",
    "seal",
    "oidc",
    "terminal",
];
const RUNTIMES: &[&str] =
    &["tokio", "mio", "hyper", "rustls", "socket2", "async-io", "smol", "reqwest", "rand"];

pub fn between_crates(tree: &Tree) -> Vec<Offence> {
    let graph = Graph::read(tree);
    let mut offences: Vec<Offence> = FORBIDDEN.iter().flat_map(|arrow| graph.breaches(arrow)).collect();
    for to in graph.reached(VERIFIER.0).iter().filter(|to| !VERIFIER.1.contains(&to.as_str())) {
        offences.push(Offence::new(
            graph.path(VERIFIER.0),
            0,
            format!("tacho-verify -> {to}: it depends on seal alone"),
        ));
    }
    offences
}

pub fn lints(tree: &Tree) -> Vec<Offence> {
    let lacks = |file: &&File| !file.text.replace(' ', "").contains("[lints]\nworkspace=true");
    let found = tree.manifests().filter(lacks);
    found.map(|file| Offence::new(&file.path, 0, "lacks `[lints] workspace = true`")).collect()
}

/// Asks cargo what stands below the sans-IO crates, through whatever.
pub fn foreign(home: &Home, tree: &Tree) -> Vec<Offence> {
    let graph = Graph::read(tree);
    PURE.iter()
        .filter(|name| graph.edges.contains_key(**name))
        .flat_map(|name| below(home, &graph, name))
        .collect()
}

fn below(home: &Home, graph: &Graph, name: &str) -> Vec<Offence> {
    let mut cargo = home.cargo();
    cargo.args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--package", name]);
    let text = match interop::process::finish(&mut cargo, b"", Duration::from_secs(120)) {
        Ok(done) if done.status.success() => done.out(),
        Ok(done) => return vec![Offence::new(graph.path(name), 0, format!("cargo tree: {}", done.err()))],
        Err(trouble) => return vec![Offence::new(graph.path(name), 0, trouble.to_string())],
    };
    let found = runtimes_in(&text);
    found
        .into_iter()
        .map(|bad| Offence::new(graph.path(name), 0, format!("{name} -> ... -> {bad}: arrow 1")))
        .collect()
}

/// The names of runtimes in `cargo tree --prefix none`.
fn runtimes_in(tree: &str) -> BTreeSet<String> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| RUNTIMES.contains(name)).map(str::to_owned).collect()
}

/// Who depends on whom among our crates; dev-dependencies are not part of it.
struct Graph {
    edges: BTreeMap<String, BTreeSet<String>>,
    paths: BTreeMap<String, String>,
}

impl Graph {
    fn read(tree: &Tree) -> Graph {
        let packages: Vec<(String, &File)> =
            tree.manifests().filter_map(|file| Some((package_name(file)?, file))).collect();
        let ours: BTreeSet<&str> = packages.iter().map(|(name, _)| name.as_str()).collect();
        let mut graph = Graph { edges: BTreeMap::new(), paths: BTreeMap::new() };
        for (name, file) in &packages {
            let to = dependencies(&file.text).into_iter().filter(|d| ours.contains(d.as_str()));
            graph.edges.insert(name.clone(), to.collect());
            graph.paths.insert(name.clone(), file.path.clone());
        }
        graph
    }

    fn path(&self, name: &str) -> &str {
        self.paths.get(name).map_or("Cargo.toml", String::as_str)
    }

    /// All that `from` depends on, itself left out.
    fn reached(&self, from: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&str> = vec![from];
        while let Some(name) = next.pop() {
            for to in self.edges.get(name).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to);
                }
            }
        }
        seen.remove(from);
        seen
    }

    fn breaches(&self, arrow: &Arrow) -> Vec<Offence> {
        let mut offences = Vec::new();
        for from in self.edges.keys().filter(|name| matches(arrow.from, name)) {
            for to in self.reached(from).iter().filter(|to| matches(arrow.to, to)) {
                offences.push(Offence::new(self.path(from), 0, format!("{from} -> {to}: {}", arrow.why)));
            }
        }
        offences
    }
}

fn matches(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => *pattern == name,
    })
}

fn package_name(manifest: &File) -> Option<String> {
    let line = manifest
        .text
        .lines()
        .skip_while(|l| l.trim() != "[package]")
        .find(|l| l.trim_start().starts_with("name"))?;
    line.split('"').nth(1).map(str::to_owned)
}

/// The names below `[dependencies]`, `[dependencies.NAME]` and the same of a target; not those of tests and builds.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            inside = header == "dependencies" || header.ends_with(".dependencies");
            let named = header
                .rsplit_once("dependencies.")
                .filter(|(front, _)| front.is_empty() || front.ends_with('.'));
            found.extend(named.map(|(_, name)| name.to_owned()));
        } else if inside && !line.starts_with('#') {
            let name: String =
                line.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect();
            if !name.is_empty() {
                found.insert(name);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, on: &[&str]) -> (String, String) {
        let lines: String = on.iter().map(|d| format!("{d}.workspace = true\n")).collect();
        let text =
            format!("[package]\nname = \"{name}\"\n\n[lints]\nworkspace = true\n\n[dependencies]\n{lines}");
        (format!("crates/{name}/Cargo.toml"), text)
    }

    fn offences(crates: &[(&str, &[&str])]) -> Vec<String> {
        let files: Vec<(String, String)> = crates.iter().map(|(name, on)| manifest(name, on)).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
        between_crates(&Tree::of(&files)).into_iter().map(|o| o.what).collect()
    }

    #[test]
    fn what_the_design_draws_is_permitted() {
        let good: &[(&str, &[&str])] = &[
            ("vocab", &[]),
            ("wire", &["vocab"]),
            ("seal", &[]),
            ("ledger", &["seal", "vocab"]),
            ("gate", &["ledger"]),
            ("proto-postgres", &["wire"]),
            ("relay", &["gate", "proto-postgres"]),
            ("index", &["ledger"]),
            ("tacho-verify", &["seal"]),
        ];
        assert_eq!(offences(good), Vec::<String>::new());
    }

    #[test]
    fn each_forbidden_arrow_is_found() {
        let bad: &[&[(&str, &[&str])]] = &[
            &[("vocab", &["wire"]), ("wire", &[])],
            &[("wire", &["proto-postgres"]), ("proto-postgres", &[])],
            &[("proto-redis", &["proto-postgres"]), ("proto-postgres", &[])],
            &[("proto-postgres", &["mask"]), ("mask", &[])],
            &[("index", &["relay"]), ("relay", &[])],
            &[("gate", &["answers"]), ("answers", &[])],
            &[("seal", &["vocab"]), ("vocab", &[])],
            &[("policy", &["ledger"]), ("ledger", &[])],
            &[("tacho-verify", &["seal", "vocab"]), ("seal", &[]), ("vocab", &[])],
        ];
        for crates in bad {
            assert_eq!(offences(crates).len(), 1, "{crates:?}");
        }
    }

    #[test]
    fn an_arrow_through_a_third_crate_is_found() {
        let crates: &[(&str, &[&str])] = &[("relay", &["between"]), ("between", &["index"]), ("index", &[])];
        assert_eq!(offences(crates).len(), 1);
    }

    #[test]
    fn dependencies_of_tests_and_builds_are_no_arrows() {
        let text = "[dev-dependencies]\na = \"1\"\n[build-dependencies]\nb = \"1\"\n[dependencies]\n# c\nd = \"1\"\n\
                    [dependencies.e]\nversion = \"1\"\n[target.'cfg(unix)'.dependencies]\nf.workspace = true\n[dev-dependencies.g]\nx = 1";
        let names: Vec<String> = dependencies(text).into_iter().collect();
        assert_eq!(names, ["d", "e", "f"]);
    }

    #[test]
    fn a_runtime_anywhere_below_is_found() {
        assert_eq!(runtimes_in("sql v0.1.0 (/x)\npg_query v18\ntokio v1.54.0 (*)\n").len(), 1);
        assert_eq!(runtimes_in("sql v0.1.0 (/x)\ntokio-like v1\n").len(), 0);
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        assert_eq!(lints(&Tree::of(&[("crates/a/Cargo.toml", "[package]\nname = \"a\"\n")])).len(), 1);
    }
}
