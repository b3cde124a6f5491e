//! Calls of programs that do much by which they only say something: of themselves, of the host.

use super::At;
use crate::line::Arg;

/// Whether all that a command does is to say something. Each word has to be known, and each is one that is listed.
pub(super) fn only(at: &At<'_>) -> bool {
    let words: Option<Vec<&str>> = at.args.iter().map(|arg: &Arg| arg.value.literal()).collect();
    let Some(words) = words else { return false };
    match (at.base, &*words) {
        // Not of programs by which a project chooses its own version: cargo, go, npm, those of Java.
        (
            "make" | "gmake" | "cmake" | "ninja" | "gcc" | "cc" | "g++" | "clang" | "ld" | "patch" | "strace"
            | "dpkg" | "rpm" | "apt" | "apt-get",
            ["--version"],
        ) => true,
        ("mount", [] | ["-l"]) | ("crontab", ["-l"]) => true,
        (
            "dpkg",
            ["-l" | "--list" | "-s" | "--status" | "-L" | "--listfiles" | "-S" | "--search", names @ ..],
        ) => names.iter().all(|name| !name.starts_with('-')),
        // One with a `/` is a file.
        ("apt", ["list" | "show", rest @ ..]) => rest.iter().all(|word| {
            let listed = matches!(*word, "--installed" | "--upgradable" | "--all-versions" | "-a");
            listed || !word.starts_with('-') && !word.contains('/')
        }),
        ("ip", words) => ip(words),
        ("top", words) => top(words),
        _ => false,
    }
}

/// `ip a`, `ip -br link show dev eth0`.
fn ip(words: &[&str]) -> bool {
    let option = |word: &&&str| matches!(**word, "-4" | "-6" | "-br" | "-brief" | "-o" | "-s" | "-d");
    let rest = words.get(words.iter().take_while(option).count()..).unwrap_or(&[]);
    let Some((object, verb)) = rest.split_first() else { return false };
    let known = ["a", "addr", "address", "l", "link", "r", "route", "n", "neigh", "rule"].contains(object);
    known && verb.first().is_none_or(|verb| ["show", "list", "ls"].contains(verb))
}

/// `top -bn1`: so many times, and never asked for a key.
fn top(words: &[&str]) -> bool {
    let count = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match words {
        ["-b", rest @ ..] => match rest {
            ["-n", times] => count(times),
            [times] => times.strip_prefix("-n").is_some_and(count),
            _ => false,
        },
        ["-bn", times] => count(times),
        [times] => times.strip_prefix("-bn").is_some_and(count),
        _ => false,
    }
}
