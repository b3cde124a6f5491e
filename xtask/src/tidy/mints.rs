//! Tokens that only their own module can make, and secrets that do not show themselves.
//!
//! The compiler enforces this where a field is private; the scan finds the day on which somebody
//! makes a field public, derives `Clone`, or adds a second constructor inside the crate.

use super::Offence;
use super::source::{File, Tree};

struct Token {
    name: &'static str,
    /// The files in which an expression may make one.
    mints: &'static [&'static str],
    /// Whether it may be copied: only what is spent by looking at it.
    copies: bool,
}

const TOKENS: &[Token] = &[
    Token { name: "Permit", mints: &["crates/gate/src/token.rs"], copies: false },
    Token { name: "Release", mints: &["crates/gate/src/token.rs"], copies: false },
    Token { name: "Intent", mints: &["crates/gate/src/token.rs"], copies: false },
    Token { name: "Durable", mints: &["crates/ledger/src/receipt.rs"], copies: false },
    Token { name: "MaskedBytes", mints: &["crates/mask/src/"], copies: false },
    Token { name: "MaskedField", mints: &["crates/mask/src/"], copies: false },
    Token { name: "MaskedRow", mints: &["crates/mask/src/"], copies: false },
    Token { name: "MaskedText", mints: &["crates/mask/src/text.rs"], copies: true },
];

pub fn tokens(tree: &Tree) -> Vec<Offence> {
    TOKENS.iter().flat_map(|token| of_token(tree, token)).collect()
}

/// Types whose bytes are keys, passwords or tokens.
pub fn secrets(tree: &Tree) -> Vec<Offence> {
    let mut offences = Vec::new();
    for file in tree.rust().filter(|file| file.path.starts_with("crates/") || file.path.starts_with("apps/"))
    {
        for definition in definitions(file)
            .into_iter()
            .filter(|d| d.name.ends_with("Secret") || d.name.ends_with("Password"))
        {
            for shown in ["Debug", "Serialize", "Clone", "Copy", "Display"] {
                if definition.derives(shown) {
                    let what = format!(
                        "`{}` derives {shown}: a secret does not print, copy or serialise",
                        definition.name
                    );
                    offences.push(Offence::new(&file.path, definition.line, what));
                }
            }
        }
    }
    offences
}

fn of_token(tree: &Tree, token: &Token) -> Vec<Offence> {
    let at_home = |file: &File| token.mints.iter().any(|mint| file.path.starts_with(mint));
    let homes: Vec<&File> = tree.rust().filter(|file| at_home(file)).collect();
    let definition = homes.iter().find_map(|file| {
        let found = definitions(file).into_iter().find(|d| d.name == token.name)?;
        Some((*file, found))
    });
    let Some((home, definition)) = definition else {
        let what = format!(
            "`{}` is not defined in {}: move the rule with the type",
            token.name,
            token.mints.join(", ")
        );
        return vec![Offence::new("xtask/src/tidy/mints.rs", 0, what)];
    };
    let mut offences = Vec::new();
    let mut offend =
        |line, what: &str| offences.push(Offence::new(&home.path, line, format!("`{}` {what}", token.name)));
    if !definition.attributes.contains("must_use") && !token.copies {
        offend(definition.line, "is not #[must_use]");
    }
    for derived in ["Clone", "Copy", "Default", "Deserialize", "Serialize"] {
        if definition.derives(derived) && !(token.copies && derived == "Clone") {
            offend(
                definition.line,
                &format!("derives {derived}: a token is made in one place and spent once"),
            );
        }
    }
    // Where the whole crate is the mint, its modules may set fields; others never.
    let crate_mints = token.mints.iter().all(|mint| mint.ends_with('/'));
    let body = if crate_mints { definition.body.replace("pub(crate)", "") } else { definition.body.clone() };
    if body.contains("pub ") || body.contains("pub(") {
        offend(definition.line, "has a field that others can set");
    }
    if !definition.docs.contains("compile_fail") {
        offend(definition.line, "has no `compile_fail` doctest that shows the forgery");
    }
    offences.extend(
        tree.rust()
            .filter(|file| !at_home(file) && in_same_crate(file, token))
            .flat_map(|file| made_in(file, token)),
    );
    offences
}

/// Elsewhere the compiler refuses; inside the crate only this scan does.
fn in_same_crate(file: &File, token: &Token) -> bool {
    let part = |path: &str| path.split("/src/").next().map(str::to_owned);
    token.mints.iter().any(|mint| part(mint) == part(&file.path))
}

fn made_in(file: &File, token: &Token) -> Vec<Offence> {
    let mut offences = Vec::new();
    for form in [format!("{} {{", token.name), format!("{}(", token.name)] {
        for line in file.lines_with(&form) {
            let text = file.code.lines().nth(line - 1).unwrap_or("");
            let defines =
                ["impl", "struct", "enum", "for ", "->", "fn "].iter().any(|word| text.contains(word));
            if !defines && !is_variant(text, &form) && !file.is_test(line) {
                offences.push(Offence::new(
                    &file.path,
                    line,
                    format!("makes a `{}` outside its mint", token.name),
                ));
            }
        }
    }
    offences
}

/// `What::Release(...)` is a variant of `What`, and no `Release`.
fn is_variant(text: &str, form: &str) -> bool {
    let before = text.find(form).and_then(|at| text[..at].strip_suffix("::"));
    let of = before.and_then(|path| path.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next());
    of.is_some_and(|name| name.starts_with(char::is_uppercase))
}

struct Definition {
    name: String,
    line: usize,
    attributes: String,
    docs: String,
    body: String,
}

impl Definition {
    fn derives(&self, word: &str) -> bool {
        self.attributes.lines().any(|line| line.contains("derive(") && super::source::has_word(line, word))
    }
}

/// The structs of a file with what stands above them.
fn definitions(file: &File) -> Vec<Definition> {
    let lines: Vec<&str> = file.text.lines().collect();
    let code: Vec<&str> = file.code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in code.iter().enumerate().filter(|(at, _)| !file.is_test(at + 1)) {
        let Some((_, rest)) = line.split_once("struct ") else { continue };
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let above = lines[..at].iter().rev().take_while(|l| is_above(l)).copied().collect::<Vec<_>>();
        let (docs, attributes): (Vec<&str>, Vec<&str>) =
            above.into_iter().partition(|l| l.trim_start().starts_with("//"));
        let body = struct_body(&code[at..]);
        found.push(Definition {
            name,
            line: at + 1,
            attributes: attributes.join("\n"),
            docs: docs.join("\n"),
            body,
        });
    }
    found
}

fn is_above(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with("#[")
}

/// From the name to the closing brace or semicolon, without the visibility of the struct itself.
fn struct_body(code: &[&str]) -> String {
    let text = code.join("\n");
    let from = text.find("struct ").unwrap_or(0);
    let mut depth = 0usize;
    for (at, c) in text[from..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return text[from..from + at].to_owned(),
            '}' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return text[from..from + at].to_owned(),
            _ => (),
        }
    }
    text[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERMIT: Token = Token { name: "Permit", mints: &["crates/gate/src/token.rs"], copies: false };
    const GOOD: &str = "/// ```compile_fail\n/// ```\n#[must_use = \"spent\"]\npub struct Permit {\n    seq: u64,\n}\nfn mint() -> Permit {\n    Permit { seq: 1 }\n}\n";

    fn offences(home: &str, other: &str) -> Vec<String> {
        let tree = Tree::of(&[("crates/gate/src/token.rs", home), ("crates/gate/src/story.rs", other)]);
        of_token(&tree, &PERMIT).into_iter().map(|o| o.what).collect()
    }

    #[test]
    fn a_good_token_offends_nobody() {
        assert_eq!(
            offences(
                GOOD,
                "impl Permit {}\nfn a(p: Permit) {}\nfn b() -> Permit {\nlet v = What::Permit(1);"
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_way_to_weaken_a_token_is_found() {
        for (home, other) in [
            (GOOD.replace("#[must_use = \"spent\"]\n", ""), ""),
            (GOOD.replace("#[must_use", "#[derive(Debug, Clone)]\n#[must_use"), ""),
            (GOOD.replace("#[must_use", "#[derive(Default)]\n#[must_use"), ""),
            (GOOD.replace("    seq: u64", "    pub seq: u64"), ""),
            (GOOD.replace("    seq: u64", "    pub(crate) seq: u64"), ""),
            (GOOD.replace("compile_fail", "text"), ""),
            (GOOD.replace("struct Permit", "struct Renamed"), ""),
            (GOOD.to_owned(), "let p = Permit { seq: 2 };"),
            (GOOD.to_owned(), "let p = token::Permit { seq: 2 };"),
        ] {
            assert_eq!(offences(&home, other).len(), 1, "{home}{other}");
        }
    }

    #[test]
    fn a_secret_that_prints_or_copies_is_found() {
        let at = |text| secrets(&Tree::of(&[("crates/relay/src/vault.rs", text)])).len();
        assert_eq!(at("#[derive(Clone, Debug)]\npub struct UpstreamPassword(Vec<u8>);"), 2);
        assert_eq!(at("pub struct Secret(Vec<u8>);"), 0);
    }
}
