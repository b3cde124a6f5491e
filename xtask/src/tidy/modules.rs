//! Every source file is declared by the file above it; one that is not is never compiled and rots.

use super::Offence;
use super::source::{File, Tree, has_word};

pub fn reachable(tree: &Tree) -> Vec<Offence> {
    let mut offences = Vec::new();
    for file in tree.rust() {
        if file.code.trim().is_empty() {
            offences.push(Offence::new(&file.path, 0, "no code in it: take it out until there is some"));
        }
        if !is_root(&file.path) && !is_declared(tree, file) {
            offences.push(Offence::new(&file.path, 0, "no `mod` line declares it, so it is never compiled"));
        }
    }
    offences
}

/// What cargo compiles by itself.
fn is_root(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let folder = path.rsplit('/').nth(1).unwrap_or("");
    matches!(name, "lib.rs" | "main.rs" | "build.rs")
        || matches!(folder, "bin" | "examples" | "benches" | "tests") && !path.contains("/src/")
        || path.contains("/src/bin/")
}

fn is_declared(tree: &Tree, file: &File) -> bool {
    let Some((folder, name)) = file.path.rsplit_once('/') else { return false };
    let stem = name.trim_end_matches(".rs");
    let (folder, stem) = match stem {
        "mod" => folder.rsplit_once('/').unwrap_or(("", folder)),
        _ => (folder, stem),
    };
    let word = format!("mod {stem};");
    let above = [
        format!("{folder}/lib.rs"),
        format!("{folder}/main.rs"),
        format!("{folder}/mod.rs"),
        format!("{folder}.rs"),
    ];
    above
        .iter()
        .filter_map(|path| tree.file(path))
        .any(|parent| parent.code.lines().any(|line| has_word(line, &word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nobody_declares_is_found() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "mod b;\nmod d;"),
            ("crates/a/src/b.rs", "pub mod c;"),
            ("crates/a/src/b/c.rs", "fn x() {}"),
            ("crates/a/src/d/mod.rs", "fn x() {}"),
            ("crates/a/examples/e.rs", "fn main() {}"),
            ("crates/a/tests/it/main.rs", "mod f;"),
            ("crates/a/tests/it/f.rs", "fn x() {}"),
            ("crates/a/src/lost.rs", "fn x() {}"),
            ("crates/a/tests/it/lost.rs", "fn x() {}"),
        ]);
        let paths: Vec<String> = reachable(&tree).into_iter().map(|o| o.path).collect();
        assert_eq!(paths, ["crates/a/src/lost.rs", "crates/a/tests/it/lost.rs"]);
    }

    #[test]
    fn a_file_without_code_is_found() {
        let tree = Tree::of(&[("crates/a/src/lib.rs", "//! Soon.\n")]);
        assert_eq!(reachable(&tree).len(), 1);
    }
}
