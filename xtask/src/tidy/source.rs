//! The source tree in memory, and Rust text with everything but its code blanked out.

use std::io;
use std::path::{Path, PathBuf};

/// The files that rules look at, by their path from the root with `/`.
pub struct Tree {
    /// Where it was read.
    pub root: PathBuf,
    pub files: Vec<File>,
}

pub struct File {
    pub path: String,
    /// As it stands.
    pub text: String,
    /// For Rust: the text with comments and the insides of strings turned into blanks, lines kept.
    pub code: String,
    /// For Rust: which lines (from 0) are only compiled for tests.
    test: Vec<bool>,
}

/// A source file larger than this is not source.
const FILE_BYTES_MAX: u64 = 4 << 20;

impl Tree {
    /// Reads `.rs`, `.md`, `.toml` and `.py` files, without hidden folders and what is built.
    pub fn read(root: &Path) -> io::Result<Tree> {
        let mut tree = Tree { root: root.to_path_buf(), files: Vec::new() };
        walk(root, root, &mut tree)?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// For tests of rules.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Tree {
        let files = files.iter().map(|(path, text)| File::new(path, text)).collect();
        Tree { root: PathBuf::from(".."), files }
    }

    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    pub fn manifests(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with("/Cargo.toml"))
    }
}

impl File {
    pub fn new(path: &str, text: &str) -> File {
        let rust = path.ends_with(".rs");
        let code = if rust { code_of(text) } else { String::new() };
        let test = if rust { test_lines(path, &code) } else { Vec::new() };
        File { path: path.to_owned(), text: text.to_owned(), code, test }
    }

    /// Whether that line (from 1) is only compiled for tests.
    pub fn is_test(&self, line: usize) -> bool {
        self.test.get(line.wrapping_sub(1)).copied().unwrap_or(false)
    }

    /// The lines of code (from 1) with `word` in them, bounded by what is no part of a name.
    pub fn lines_with(&self, word: &str) -> Vec<usize> {
        let lines = self.code.lines().enumerate();
        lines.filter(|(_, line)| has_word(line, word)).map(|(n, _)| n + 1).collect()
    }
}

/// Whether `word` stands in `line` by itself.
pub fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let first = word.chars().next().is_some_and(is_name);
    let last = word.chars().next_back().is_some_and(is_name);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_name);
        let after = line[at + word.len()..].chars().next().is_some_and(is_name);
        !(first && before || last && after)
    })
}

fn walk(root: &Path, folder: &Path, tree: &mut Tree) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !name.starts_with('.') && !matches!(name.as_str(), "target" | "node_modules" | "__pycache__") {
                walk(root, &path, tree)?;
            }
            continue;
        }
        let wanted = [".rs", ".md", ".toml", ".py"].iter().any(|end| name.ends_with(end));
        if !kind.is_file() || !wanted || entry.metadata()?.len() > FILE_BYTES_MAX {
            continue;
        }
        let relative = path.strip_prefix(root).map_err(io::Error::other)?;
        let text = std::fs::read_to_string(&path)?;
        tree.files.push(File::new(&relative.to_string_lossy().replace('\\', "/"), &text));
    }
    Ok(())
}

/// Rust text with comments and the insides of literals blanked; every line stays where it is.
pub fn code_of(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = match literal(rest, code.chars().next_back()) {
            Some(length) => at + length,
            None => {
                code.push(bytes[at]);
                at += 1;
                continue;
            }
        };
        for c in &bytes[at..end] {
            code.push(if *c == '\n' { '\n' } else { ' ' });
        }
        at = end;
    }
    code
}

/// The length of the comment or literal that begins here, if one does.
fn literal(rest: &[char], before: Option<char>) -> Option<usize> {
    let starts = |word: &str| word.chars().zip(rest).filter(|(a, b)| a == *b).count() == word.len();
    if starts("//") {
        return Some(rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()));
    }
    if starts("/*") {
        return Some(block_comment(rest));
    }
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return quoted(rest, 0);
    }
    let prefix = rest.iter().take_while(|c| matches!(c, 'b' | 'r' | 'c')).count().min(2);
    if rest[..prefix].contains(&'r') {
        let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
        if rest.get(prefix + hashes) == Some(&'"') {
            return Some(raw_string(rest, prefix + hashes + 1, hashes));
        }
    }
    quoted(rest, prefix).or_else(|| character(rest, prefix))
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        match (rest[at], rest.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn raw_string(rest: &[char], from: usize, hashes: usize) -> usize {
    let closes = |at: usize| {
        rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (from..rest.len()).find(|at| closes(*at)).map_or(rest.len(), |at| at + 1 + hashes)
}

fn quoted(rest: &[char], prefix: usize) -> Option<usize> {
    (rest.get(prefix) == Some(&'"')).then(|| escaped_until(rest, prefix + 1, '"'))
}

/// A character literal and not a lifetime.
fn character(rest: &[char], prefix: usize) -> Option<usize> {
    let inside = rest.get(prefix + 1)?;
    let is = rest.get(prefix) == Some(&'\'') && (*inside == '\\' || rest.get(prefix + 2) == Some(&'\''));
    is.then(|| escaped_until(rest, prefix + 1, '\''))
}

fn escaped_until(rest: &[char], from: usize, end: char) -> usize {
    let mut at = from;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == end => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Marks the lines of `#[cfg(test)]` items; the whole file if its place says that it is a test.
fn test_lines(path: &str, code: &str) -> Vec<bool> {
    let lines = code.lines().count();
    let named = ["/tests/", "/tests.rs", "/benches/", "/testkit"].iter().any(|part| path.contains(part));
    let mut test = vec![named; lines];
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let first = code[..at].matches('\n').count();
        let last = first + item_after(&code[at..]).matches('\n').count();
        for line in test.iter_mut().take(last + 1).skip(first) {
            *line = true;
        }
    }
    test
}

/// From an attribute to the end of what it stands on: the matching brace, or a `;` before any brace.
fn item_after(code: &str) -> &str {
    let mut depth = 0usize;
    for (at, c) in code.char_indices().skip("#[cfg(test)]".len()) {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return &code[..=at],
            '}' => depth -= 1,
            ';' if depth == 0 => return &code[..=at],
            _ => (),
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_code_stays() {
        let text =
            "let a = \"x // y\"; // z\nlet b = r#\"q\"# + 'c' + '\\''; /* d /* e */ f */ g(b\"h\", br\"i\")";
        let code = code_of(text);
        assert_eq!(code.lines().count(), 2);
        for gone in ["x", "y", "z", "q", "'c'", "d", "e */", "h", "i"] {
            assert!(!code.lines().any(|l| has_word(l, gone)), "{gone} in {code}");
        }
        assert!(code.contains("let b =") && code.contains("g("));
    }

    #[test]
    fn a_lifetime_is_no_literal() {
        assert_eq!(code_of("fn f<'a>(x: &'a str) -> &'a str"), "fn f<'a>(x: &'a str) -> &'a str");
    }

    #[test]
    fn a_test_module_is_test_and_what_follows_is_not() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { if x {} }\n}\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}\n";
        let file = File::new("crates/x/src/lib.rs", text);
        let test: Vec<bool> = (1..=9).map(|line| file.is_test(line)).collect();
        assert_eq!(test, [false, true, true, true, true, false, true, true, false]);
        assert!(File::new("crates/x/tests/it/main.rs", text).is_test(1));
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("a todo!() b", "todo!"));
        assert!(!has_word("my_todo!()", "todo!"));
        assert!(has_word("Permit { x }", "Permit"));
        assert!(!has_word("Permits {", "Permit"));
    }
}
