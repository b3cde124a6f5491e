//! Sizes, nesting and bytes that must cost a refusal and nothing else.

use super::seed::Seed;
use shell::{RefusedKind, limits};
use std::time::{Duration, Instant};

/// Half the stack of a runtime's worker.
fn on_a_worker(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap().join().unwrap();
}

fn refused(text: &str) -> Option<RefusedKind> {
    shell::line(text.as_bytes()).err().map(|r| r.kind)
}

/// Openings and closings, each of which nests.
const NESTS: &[(&str, &str)] = &[
    ("(", ")"),
    ("{ ", " ;}"),
    ("$(", ")"),
    ("echo $(", ")"),
    ("echo \"$(", ")\""),
    ("echo ${x:-", "}"),
    ("echo \"${x:-", "}\""),
    ("echo $((", "))"),
    ("echo $((1+$((", "))))"),
    ("if ", "; then a; fi"),
    ("while ", "; do a; done"),
    ("for x in a; do ", "; done"),
    ("case a in a) ", ";; esac"),
    ("f() { ", " ;}"),
    ("cat <(", ")"),
    ("! ", ""),
    ("a=(", ")"),
    ("[[ ( ", " ) ]]"),
    ("((", "))"),
    ("sh -c '", "'"),
    ("env ", ""),
    ("sudo ", ""),
    ("find -exec ", ""),
    ("xargs ", ""),
    ("timeout 1 ", ""),
    ("time ", ""),
    ("{a,", "}"),
    ("{", ""),
    ("echo {a,b}", ""),
    ("echo {{a,b},", "}"),
    ("$[", "]"),
    ("echo `", "`"),
    ("cat <<E\n$(", ")\nE\n"),
    ("a | ", ""),
    ("a && ", ""),
    ("a;", ""),
    (">x ", ""),
    ("\\", ""),
    ("'", "'"),
    ("\"", "\""),
];

#[test]
fn absurd_nesting_is_refused_or_opaque_and_quick() {
    on_a_worker(|| {
        for (open, close) in NESTS {
            for n in [10, 47, 48, 49, 100, 1_000, 20_000] {
                let text = format!("{}a{}", open.repeat(n), close.repeat(n));
                let start = Instant::now();
                let _ = shell::line(text.as_bytes());
                assert!(start.elapsed() < Duration::from_secs(5), "{open} {n}");
            }
        }
    });
}

#[test]
fn the_depth_has_a_limit_and_what_is_at_it_is_read() {
    let nested = |n: usize| format!("{}a{}", "(".repeat(n).replace('(', "( "), ")".repeat(n));
    on_a_worker(move || {
        assert_eq!(refused(&nested(limits::DEPTH_MAX - 1)), None);
        assert_eq!(refused(&nested(limits::DEPTH_MAX + 1)), Some(RefusedKind::TooDeep));
    });
}

#[test]
fn scripts_inside_scripts_count_as_levels() {
    // Each level quotes the one before it; the text grows, and so it is refused by one limit or the other.
    let mut text = "cat /x".to_owned();
    for _ in 0..6 {
        text = format!("sh -c \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    }
    on_a_worker(move || {
        let line = shell::line(text.as_bytes()).unwrap();
        assert_eq!(line.commands.len(), 7);
        let deep = "sudo ".repeat(limits::DEPTH_MAX + 1) + "rm /x";
        let line = shell::line(deep.as_bytes()).unwrap();
        assert!(line.opaque.iter().any(|(why, _)| *why == shell::Opaque::TooDeep));
    });
}

#[test]
fn sizes_at_their_limits() {
    let fits = format!("echo {}", "a".repeat(limits::TEXT_BYTES_MAX - 5));
    assert_eq!(refused(&fits), None);
    assert_eq!(refused(&(fits + "a")), Some(RefusedKind::TooLong));
    assert_eq!(refused(&"a;".repeat(limits::COMMANDS_MAX)), None);
    let many = shell::line("a;".repeat(limits::COMMANDS_MAX + 1).as_bytes()).unwrap();
    assert!(many.opaque.iter().any(|(why, _)| *why == shell::Opaque::TooDeep));
    assert_eq!(refused(&"a ".repeat(limits::NODES_MAX)), Some(RefusedKind::TooMany));
    let braces = format!("echo {}", "{a,b}".repeat(6));
    assert_eq!(shell::line(braces.as_bytes()).unwrap().commands[0].args.len(), limits::BRACES_MAX);
    let more = format!("echo {}", "{a,b}".repeat(7));
    assert_eq!(shell::line(more.as_bytes()).unwrap().commands[0].args.len(), 1);
}

#[test]
fn bytes_that_no_command_has_are_refused() {
    for bad in
        ["a\0b", "a\rb", "ls\r\n", "a\u{1b}[0m", "a\u{7f}", "a\u{85}", "echo '\u{1}'", "cat <<E\n\u{2}\nE"]
    {
        assert_eq!(refused(bad), Some(RefusedKind::ControlCharacter), "{bad:?}");
    }
    assert_eq!(shell::line(b"echo \xff").unwrap_err().kind, RefusedKind::NotUtf8);
    assert_eq!(shell::line(b"echo \xc3").unwrap_err().at, 5);
    assert_eq!(refused("echo \u{e9}\t\u{1f600}"), None);
}

/// The body of a fuzzer: whatever the bytes, it returns, and says no more than there is.
fn fuzz(bytes: &[u8]) {
    let Ok(line) = shell::line(bytes) else { return };
    let inside = |at: &shell::Span| at.start <= at.end && at.end as usize <= bytes.len();
    assert!(line.commands.iter().all(|c| inside(&c.at)), "{bytes:?}");
    assert!(line.opaque.iter().all(|(_, at)| inside(at)), "{bytes:?}");
    assert!(line.differences.iter().all(|(_, at)| inside(at)), "{bytes:?}");
    assert!(line.literals.iter().all(|l| inside(&l.at)), "{bytes:?}");
    for (at, command) in line.commands.iter().enumerate() {
        assert!(command.place.parent.is_none_or(|parent| parent < at), "{bytes:?}");
    }
}

#[test]
fn mutated_lines_do_no_harm() {
    on_a_worker(|| {
        let lines: Vec<&str> = include_str!("table.rs").split('"').filter(|part| part.len() > 3).collect();
        let mut seed = Seed::new(20_261_127);
        let start = Instant::now();
        for _ in 0..20_000 {
            let mut bytes = seed.one(&lines).as_bytes().to_vec();
            if seed.below(3) == 0 {
                bytes.extend_from_slice(seed.one(&lines).as_bytes());
            }
            for _ in 0..=seed.below(4) {
                let at = seed.below(bytes.len());
                match seed.below(3) {
                    0 => bytes[at] = *seed.one(b"'\"\\`$(){}[];&|<>#\n!*?~= \x00\xffaE0"),
                    1 => bytes.insert(at, *seed.one(b"'\"\\`$(){}[];&|<>#\n!*?~=,. ")),
                    _ => {
                        bytes.remove(at);
                    }
                }
                if bytes.is_empty() {
                    break;
                }
            }
            fuzz(&bytes);
        }
        assert!(start.elapsed() < Duration::from_secs(120));
    });
}
