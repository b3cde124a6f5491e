//! Words that a program is started with, and no shell between.

use crate::seed::Seed;
use crate::support::{shown, shown_words};
use shell::limits::{NODES_MAX, TEXT_BYTES_MAX};
use shell::{RefusedKind, Span};

fn check(words: &[&str], expect: &str) {
    assert_eq!(shown_words(words), expect, "{words:?}");
}

#[test]
fn no_character_of_a_word_is_a_shells() {
    check(&[], "");
    check(&["ls"], "ls() l=<.>");
    check(&["cat", "/etc/a b"], "cat(</etc/a b>) r=</etc/a b>");
    check(&["cat", "*"], "cat(<*>) r=<*>");
    check(&["cat", "~/x"], "cat(<~/x>) r=<~/x>");
    check(
        &["echo", "a;", "rm", "-rf", "/", ">x", "|", "&&", "$(id)", "`id`", "$X", "{a,b}", "#"],
        "echo(<a;> <rm> <-rf> </> <>x> <|> <&&> <$(id)> <`id`> <$X> <{a,b}> <#>)",
    );
    check(&["echo", "", "'"], "echo(<> <'>)");
    check(&["A=1", "ls"], "A=1(<ls>)");
    check(&["ls;id"], "ls;id()");
}

#[test]
fn a_shell_that_is_started_reads_its_script() {
    for words in [
        &["sh", "-c", "cat /a; rm b"][..],
        &["/bin/bash", "-c", "cat /a; rm b"],
        &["env", "sh", "-c", "cat /a; rm b"],
    ] {
        let read = shown_words(words);
        assert!(read.contains("cat(</a>) r=</a>") && read.contains("rm(<b>)"), "{read}");
    }
    let opaque = [&["sh"][..], &["sh", "-c", "$X"], &["python3", "-c", "x"], &["sh", "-c", "eval $1"], &[""]];
    for words in opaque {
        assert!(!shell::argv(words).unwrap().is_known(), "{words:?}");
    }
}

/// Where no word has a character that a shell would see, a line of the words is read as the words are.
#[test]
fn plain_words_are_read_as_their_line() {
    let plain = [
        "cat", "cp", "a", "/etc/x", "-r", "-n", "tar", "czf", "grep", "sudo", "env", "find", "curl", "rm",
        "sh", "-c", "ls", "x.y",
    ];
    let mut seed = Seed::new(11);
    for _ in 0..20_000 {
        let words: Vec<&str> = (0..1 + seed.below(6)).map(|_| plain[seed.below(plain.len())]).collect();
        assert_eq!(shown_words(&words), shown(&words.join(" ")), "{words:?}");
    }
}

#[test]
fn words_have_their_places_and_are_bounded() {
    let line = shell::argv(&["cat", "ab", "c"]).unwrap();
    let spans: Vec<Span> = line.literals.iter().map(|literal| literal.at).collect();
    assert_eq!(spans, [Span { start: 0, end: 3 }, Span { start: 4, end: 6 }, Span { start: 7, end: 8 }]);
    let refused = |words: &[&str]| shell::argv(words).map_err(|refused| refused.kind).map(drop);
    assert_eq!(refused(&["echo", "a\0"]), Err(RefusedKind::ControlCharacter));
    assert_eq!(refused(&["echo", "\u{1b}[2J"]), Err(RefusedKind::ControlCharacter));
    let long = |n: usize| refused(&["echo", &"x".repeat(n - 5)]);
    assert_eq!(long(TEXT_BYTES_MAX), Ok(()));
    assert_eq!(long(TEXT_BYTES_MAX + 1), Err(RefusedKind::TooLong));
    assert_eq!(refused(&vec![""; NODES_MAX]), Ok(()));
    assert_eq!(refused(&vec![""; NODES_MAX + 1]), Err(RefusedKind::TooMany));
}
