//! What the documents name exists: files (`crates/gate/src/story.rs`), folders, globs
//! (`crates/proto/*`), and tests (`interop/tests/it/main.rs::name_of_the_test`).

use super::Offence;
use super::source::Tree;

/// A name in backticks that begins so is a path of ours.
const TOPS: &[&str] = &["crates/", "apps/", "docs/", "contrib/", "xtask/", "interop/", "demo/", ".ci/"];
/// And these, by their whole names.
const ROOT_FILES: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "BENCHMARKS.md",
    "CONTRIBUTING.md",
    "deny.toml",
    "clippy.toml",
];

pub fn names(tree: &Tree) -> Vec<Offence> {
    let documents = tree.files.iter().filter(|file| file.path.ends_with(".md"));
    let mut offences = Vec::new();
    for document in documents {
        for (number, line) in document.text.lines().enumerate() {
            for name in quoted(line).chain(linked(line)) {
                if let Some(what) = wrong(tree, name) {
                    offences.push(Offence::new(&document.path, number + 1, what));
                }
            }
        }
    }
    offences
}

/// What is wrong with a name, if it is one of ours.
fn wrong(tree: &Tree, name: &str) -> Option<String> {
    let (path, test) = match name.split_once("::") {
        Some((path, test)) => (path, Some(test)),
        None => (name, None),
    };
    let ours = TOPS.iter().any(|top| path.starts_with(top)) || ROOT_FILES.contains(&path);
    if !ours || path.contains(char::is_whitespace) {
        return None;
    }
    if !exists(tree, path) {
        return Some(format!("names `{path}`, which does not exist"));
    }
    let test = test?;
    let function = format!("fn {test}(");
    let found = tree
        .file(path)
        .is_some_and(|file| file.code.contains(&function) || file.text.contains(&format!("def {test}(")));
    (!found).then(|| format!("names the test `{test}`, which is not in {path}"))
}

/// In the tree, or (shell scripts and the like, which the tree does not hold) beside it.
fn exists(tree: &Tree, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let (front, back) = path.split_once('*').unwrap_or((path, ""));
    let glob = path.contains('*');
    tree.files.iter().any(|file| {
        if glob {
            file.path.strip_prefix(front).is_some_and(|rest| rest.contains(back))
        } else {
            file.path == path || file.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
        }
    }) || (!glob && tree.root.join(path).exists())
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The targets of links, without what leads elsewhere.
fn linked(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.map(|target| target.split('#').next().unwrap_or(target)).filter(|target| !target.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Vec<String> {
        let tree =
            Tree::of(&[("README.md", text), ("crates/gate/src/story.rs", "fn a_permit_is_spent_once() {}")]);
        names(&tree).into_iter().map(|offence| offence.what).collect()
    }

    #[test]
    fn what_exists_is_good() {
        let text = "`crates/gate` `crates/gate/` `crates/*/src/story.rs` `crates/gate/src/story.rs::a_permit_is_spent_once`\n\
                    [here](crates/gate/src/story.rs) [there](https://example.org/crates/x) `cargo xtask test`";
        assert_eq!(check(text), Vec::<String>::new());
    }

    #[test]
    fn what_is_gone_is_found() {
        for text in [
            "`crates/gone/src/lib.rs`",
            "`crates/gon*`",
            "[a](docs/GONE.md)",
            "`CONTRIBUTING.md`x `crates/gone`",
            "`crates/gate/src/story.rs::no_such_test`",
        ] {
            assert!(!check(text).is_empty(), "{text}");
        }
    }
}
