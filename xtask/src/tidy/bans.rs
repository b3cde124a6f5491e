//! Words that may not stand in the source, each with its reason and its exceptions.

use super::Offence;
use super::source::{File, Tree};

/// Paths below one of these are where a ban holds.
type Places = &'static [&'static str];

struct Ban {
    words: &'static [&'static str],
    why: &'static str,
    places: Places,
    /// Whether it holds in tests too.
    in_tests: bool,
    /// Paths (or folders, ending in `/`) where it may stand, and why.
    allowed: &'static [(&'static str, &'static str)],
}

const EVERYWHERE: Places = &["crates/", "apps/", "xtask/", "interop/"];
const OURS: Places = &["crates/", "apps/"];
/// Crates through which a peer's bytes go.
const DATA_PATH: Places = &[
    "crates/wire/",
    "crates/proto/",
    "crates/sql/",
    "crates/shell/",
    "crates/mask/",
    "crates/gate/",
    "crates/ledger/",
    "crates/seal/",
    "crates/relay/",
];
/// Arrow 1 of ARCHITECTURE.md.
pub const SANS_IO: Places = &[
    "crates/proto/",
    "crates/sql/",
    "crates/shell/",
    "crates/policy/",
    "crates/mask/",
    "crates/seal/",
    "crates/oidc/",
    "crates/terminal/",
];

const BANS: &[Ban] = &[
    Ban {
        words: &["unbounded_channel", "unbounded", "mpsc::channel()"],
        why: "every queue has a limit; use a bounded channel and say what happens when it is full",
        places: EVERYWHERE,
        in_tests: false,
        allowed: &[],
    },
    Ban {
        words: &["SystemTime::now"],
        why: "the wall clock is read in one place; take a Wall or a Tick as an argument",
        places: OURS,
        in_tests: false,
        allowed: &[
            ("crates/ledger/src/clock.rs", "the one place for records"),
            (
                "crates/relay/src/entropy.rs",
                "the data plane's clock: monotonic ticks with the wall clock beside them",
            ),
            ("apps/tacho/src/evidence.rs", "the analyst's now: shown, never recorded"),
        ],
    },
    Ban {
        words: &["tokio::spawn", "spawn_local", "task::spawn"],
        why: "tasks are started where their end is awaited: in relay, console and the applications",
        places: &["crates/"],
        in_tests: false,
        allowed: &[
            ("crates/relay/", "accepts connections; each session is a task"),
            ("crates/console/", "serves HTTP"),
        ],
    },
    Ban {
        words: &["println!", "print!", "eprintln!", "eprint!", "dbg!"],
        why: "a library does not write to the terminal; return it, or record it",
        places: &["crates/"],
        in_tests: false,
        allowed: &[],
    },
    Ban {
        words: &["from_utf8_lossy", "to_string_lossy"],
        why: "bytes stay bytes on the data path; what is not UTF-8 is refused or kept as it is",
        places: DATA_PATH,
        in_tests: false,
        allowed: &[],
    },
    Ban {
        words: &["#[ignore"],
        why: "a test that does not run is no test: mend it or take it out",
        places: EVERYWHERE,
        in_tests: true,
        allowed: &[],
    },
    Ban {
        words: &["todo!", "unimplemented!"],
        why: "what is not there yet is refused with an error that says so",
        places: EVERYWHERE,
        in_tests: true,
        allowed: &[],
    },
    Ban {
        words: &["unsafe"],
        why: "no unsafe code of ours",
        places: EVERYWHERE,
        in_tests: true,
        allowed: &[],
    },
];

const IO: Ban = Ban {
    words: &[
        "tokio",
        "std::net",
        "std::fs",
        "std::env",
        "std::thread",
        "std::process",
        "SystemTime",
        "Instant",
        "SystemRandom",
        "ring::rand",
        "getrandom",
        "rand",
    ],
    why: "arrow 1: bytes, time and ids come in, steps come out (STYLE: sans-IO)",
    places: SANS_IO,
    in_tests: false,
    allowed: &[("crates/sql/src/statement.rs", "a deep tree is read on a thread with a stack of its own")],
};

pub fn words(tree: &Tree) -> Vec<Offence> {
    BANS.iter().flat_map(|ban| breaches(tree, ban)).collect()
}

pub fn sans_io(tree: &Tree) -> Vec<Offence> {
    breaches(tree, &IO)
}

fn breaches(tree: &Tree, ban: &Ban) -> Vec<Offence> {
    let mut offences: Vec<Offence> =
        tree.rust().filter(|file| holds(ban, file)).flat_map(|file| in_file(ban, file)).collect();
    // An exception for a file that is gone is dead weight and a trap: the next file of that name has it.
    for (path, _) in ban.allowed {
        let alive = tree.files.iter().any(|file| file.path.starts_with(path));
        if !alive && tree.file("Cargo.toml").is_some() {
            offences.push(Offence::new(
                "xtask/src/tidy/bans.rs",
                0,
                format!("allows {path}, which does not exist"),
            ));
        }
    }
    offences
}

fn holds(ban: &Ban, file: &File) -> bool {
    let inside = ban.places.iter().any(|place| file.path.starts_with(place));
    // Examples are programs for people: benchmarks print and read clocks.
    let example = file.path.contains("/examples/") && !ban.in_tests;
    inside && !example && !ban.allowed.iter().any(|(path, _)| file.path.starts_with(path))
}

fn in_file(ban: &Ban, file: &File) -> Vec<Offence> {
    let mut offences = Vec::new();
    for word in ban.words {
        let lines = file.lines_with(word);
        for line in lines.into_iter().filter(|line| ban.in_tests || !file.is_test(*line)) {
            offences.push(Offence::new(&file.path, line, format!("`{word}`: {}", ban.why)));
        }
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offends(path: &str, text: &str) -> bool {
        let tree = Tree::of(&[(path, text)]);
        !words(&tree).is_empty()
    }

    #[test]
    fn each_word_is_found_where_it_is_banned() {
        for (path, text) in [
            ("crates/gate/src/a.rs", "let (a, b) = tokio::sync::mpsc::unbounded_channel();"),
            ("crates/gate/src/a.rs", "let (a, b) = std::sync::mpsc::channel();"),
            ("crates/gate/src/a.rs", "let now = SystemTime::now();"),
            ("crates/gate/src/a.rs", "tokio::spawn(async {});"),
            ("crates/gate/src/a.rs", "println!();"),
            ("crates/wire/src/a.rs", "String::from_utf8_lossy(b);"),
            ("crates/wire/src/a.rs", "#[cfg(test)] mod tests { #[ignore] fn a() {} }"),
            ("apps/tacho/src/a.rs", "fn a() { todo!() }"),
            ("interop/tests/it/a.rs", "fn a() { unimplemented!() }"),
            ("crates/wire/src/a.rs", "fn a() { unsafe { b() } }"),
        ] {
            let text = text.replace("mpsc::channel();", "mpsc::channel();\n");
            assert!(offends(path, &text), "{path}: {text}");
        }
    }

    #[test]
    fn a_word_may_stand_where_it_is_not_banned() {
        for (path, text) in [
            ("crates/gate/src/a.rs", "// SystemTime::now\nlet a = \"todo!\";"),
            ("crates/gate/src/a.rs", "#[cfg(test)]\nmod tests { fn a() { SystemTime::now(); } }"),
            ("crates/ledger/src/clock.rs", "SystemTime::now()"),
            ("crates/relay/src/listen.rs", "tokio::spawn(a)"),
            ("apps/tacho/src/main.rs", "println!()"),
            ("crates/ledger/examples/bench_append.rs", "println!()"),
            ("crates/gate/src/a.rs", "let (a, b) = mpsc::channel(16);"),
        ] {
            assert!(!offends(path, text), "{path}: {text}");
        }
    }

    #[test]
    fn a_sans_io_crate_may_not_read_a_clock_or_a_file() {
        for text in [
            "use std::fs;",
            "use std::time::Instant;",
            "ring::rand::SystemRandom::new()",
            "async fn a() { tokio::b() }",
        ] {
            assert!(
                !sans_io(&Tree::of(&[("crates/proto/postgres/src/frame.rs", text)])).is_empty(),
                "{text}"
            );
            assert!(sans_io(&Tree::of(&[("crates/relay/src/a.rs", text)])).is_empty(), "{text}");
        }
    }

    #[test]
    fn an_exception_for_a_file_that_is_gone_is_found() {
        let tree = Tree::of(&[("Cargo.toml", "")]);
        assert!(words(&tree).iter().any(|o| o.what.contains("crates/ledger/src/clock.rs")));
    }
}
