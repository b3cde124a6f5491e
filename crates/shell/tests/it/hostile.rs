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
    let named = |n: usize| shell::line(format!("cat {}", "a".repeat(n)).as_bytes()).unwrap().is_known();
    assert!(named(limits::PATH_BYTES_MAX) && !named(limits::PATH_BYTES_MAX + 1));
    let gone =
        |n: usize| shell::line(format!("cd {} && cat x", "a".repeat(n)).as_bytes()).unwrap().is_known();
    assert!(gone(limits::PATH_BYTES_MAX) && !gone(limits::PATH_BYTES_MAX + 1));
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

/// The longest line that is made of so many pieces, and read: one of more is refused at once.
fn longest(make: impl Fn(usize) -> String) -> String {
    let mut times = limits::TEXT_BYTES_MAX;
    loop {
        let long = make(0).len() + times * (make(1).len() - make(0).len()) > limits::TEXT_BYTES_MAX;
        if !long && refused(&make(times)) != Some(RefusedKind::TooMany) {
            return make(times);
        }
        times = times * 3 / 4;
    }
}

/// One piece as often as may be, between what begins and what ends a line.
fn filled(begin: &str, piece: &str, end: &str) -> String {
    longest(|times| format!("{begin}{}{end}", piece.repeat(times)))
}

/// Pieces of two kinds, equally many.
fn halves(begin: &str, front: &str, middle: &str, back: &str, end: &str) -> String {
    longest(|times| format!("{begin}{}{middle}{}{end}", front.repeat(times), back.repeat(times)))
}

/// Each would take minutes, or more memory than there is, if the work grew with the square of the line.
#[test]
fn lines_of_the_full_size_take_little() {
    let long = "a/".repeat(2_000);
    let far = "a/".repeat(32_000);
    let stars = "*".repeat(60_000);
    let lines = vec![
        // One word, and what braces make of it.
        filled("echo {a,b}", "x", ""),
        filled("echo {a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", "x", ""),
        filled("echo ", "x", "{a,b}"),
        filled("echo {x,", "{", "}"),
        filled("echo ", "{a}", ""),
        filled("echo ", "{a,b}", ""),
        filled("echo ", "{1..3}x", ""),
        filled("echo {", "a,", "b}"),
        filled("echo {{{{{{{{", "x", ",a}}}}}}}}"),
        filled("echo ", "{a,b}xxxxxxxxxx ", ""),
        filled("echo ", "{{{a,b},c},d}xxxxxxxxxxxxxxxxxxxxxxxxxxxx ", ""),
        filled("echo {a,b}", "'x'", ""),
        filled("echo {a,b}", "$x", ""),
        filled("echo ", "[", ""),
        filled("echo ", "*", ""),
        filled("echo ", "~", ""),
        filled("echo a=", ":~", ""),
        filled("echo \"", "$x", "\""),
        filled("echo \"", "`x`", "\""),
        filled("echo ", "\\a", ""),
        filled("echo ", "''", ""),
        filled("", "#", ""),
        filled("", "\n", ""),
        // Many words.
        filled("cat ", "x ", ""),
        filled("cat ", "$x ", ""),
        filled("cat ", "* ", ""),
        filled("rm -v ", "x ", ""),
        filled("mv ", "x ", "y"),
        filled("gzip ", "x ", ""),
        filled("cat ", "-b ", ""),
        filled("ls ", "--all ", ""),
        filled("", "x=1 ", "true"),
        filled("env ", "x=1 ", "true"),
        filled("export ", "x=1 ", ""),
        filled("test ", "\"$x\" ", ""),
        filled("test ", "a ", "\"$x\""),
        filled("[ ", "a[ ", "]"),
        filled("", ">x ", ""),
        filled("cat ", "<x ", ""),
        filled("for x in ", "* ", "; do a; done"),
        filled("a=(", "* ", ")"),
        filled("trap '", "a;", "' EXIT"),
        filled("sh -c '", "cat x;", "'"),
        filled("", "a;", ""),
        filled("", "a|", "a"),
        filled("", "a&&", "a"),
        filled("", "cd a;", "cat x"),
        filled("", "cd a&&", "cat x"),
        filled("", "cd /a;", "cat x"),
        filled("", "f(){ a;};", "f"),
        filled("", "if a; then b; fi;", ""),
        filled("", "[[ a ]];", ""),
        filled("", "case a in b) c;; esac;", ""),
        filled("cat ", "<<E ", "\n"),
        // Words of one kind with words of another.
        filled(&format!("cd /{long} && "), "cat x &&", "a"),
        filled(&format!("cd {long} && cat "), "x ", ""),
        filled(&format!("cd {long} && "), "./x &&", "a"),
        filled(&format!("cd {long} && ln -s "), "x ", "y"),
        filled(&format!("cd {far} && cat "), "x ", ""),
        filled(&format!("cd {far} && "), "x &&", "a"),
        filled(&format!("cd {long} && "), "cd a &&", "cat x"),
        halves("", "cd aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&&", "", "x&&", "x"),
        filled(&format!("tar cf x -C /{long} "), "a ", ""),
        filled(&format!("tar cf x -C /{far} "), "a ", ""),
        halves("tar cf x ", "-C /a ", "", "a ", ""),
        halves("tar cf x ", "a ", "", "-C /a ", ""),
        filled("tar cf x ", "-C /a b ", ""),
        filled("ln -s ", "a ", &format!("/{long}")),
        filled("ln -s ", "a ", &"a".repeat(60_000)),
        filled("cp -rs ", "a ", &"a".repeat(4_000)),
        halves("find ", "a ", "", "-delete ", ""),
        halves("find ", "a ", "", "-exec a {} ; ", ""),
        filled(&format!("find '{stars}' -exec a "), "{} ", "\\;"),
        filled(&format!("find '{}' ", "*".repeat(2_000)), "-exec a {} \\; ", ""),
        filled(&format!("find {far} "), "-delete ", ""),
        filled("find a ", "-exec sh -s {} \\; ", &format!("<<'E'\n{}\nE", "#".repeat(60_000))),
        filled("find a ", "-exec sh \\; ", &format!("<<'E'\n{}\nE", "a ".repeat(30_000))),
        filled(&format!("{}sh <<'E'\n", "nice ".repeat(40)), "a;", "\nE"),
        filled(&format!("sudo -u {} sh -c '", "u".repeat(60_000)), "a;", "'"),
        filled(&format!("tar cf x -C ~{} ", "u".repeat(60_000)), "a ", ""),
        halves("wget ", "-q ", "", "h ", ""),
        halves("curl ", "-s ", "", "h ", ""),
        halves("sed -i ", "-ep ", "", "h ", ""),
        halves("ssh ", "-J a ", "", "h ", ""),
        halves("rsync ", "-v ", "", "h:a ", ""),
        halves("scp ", "-v ", "", "h:a ", ""),
        halves("xargs -I a ", "-t ", "b ", "aaaa ", ""),
        halves("env ", "-u x ", "", "x=1 ", "a"),
        halves("awk ", "-F: ", "", "a=1 ", ""),
        halves("grep ", "-e a ", "", "b ", ""),
        halves("git diff ", "-p ", "", "b ", ""),
        halves("docker exec ", "-e A=1 ", "", "b ", ""),
        halves("openssl dgst ", "-hex ", "", "b ", ""),
        halves("ssh-keygen ", "-f a ", "", "b ", ""),
        halves("sudo ", "-u a ", "", "b ", ""),
        halves("", "f(){ a;};", "", "sh -c a;", ""),
        halves("", "x=$x ", "", "y=* ", ""),
        halves("", "x=* ;", "", "echo $x;", ""),
        format!("awk '{}' a", "/a/".repeat(40_000)),
        format!("sed '{}' a", "p;".repeat(60_000)),
        format!("sed '{}' a", "s/[a/b/;".repeat(15_000)),
        format!("sed '{}p' a", "1,".repeat(60_000)),
        format!("jq '{}' a", ".a|".repeat(40_000)),
        format!("printf '{}' \"$x\"", "%s ".repeat(40_000)),
        format!("git log --format='{}'", "%h ".repeat(40_000)),
        format!("curl -F 'a={}' h", ";type=a".repeat(15_000)),
        format!("curl http://{}/", "a.".repeat(60_000)),
        format!("env -u {} a", "a".repeat(120_000)),
        // Parts of words, bodies and scripts.
        filled("echo $((1", "+1", "))"),
        filled("echo ${x:-", "a", "}"),
        filled("echo \"${x:-", "$x", "}\""),
        filled("echo `", "\\\\", "`"),
        filled("echo $'", "\\x41", "'"),
        filled("", "\\\n", "a"),
        filled("case a in a", "|a", ") b;; esac"),
        filled("[[ a =~ ", "a", " ]]"),
        filled("[[ a", " && a", " ]]"),
        filled("echo ", "\"a\"", ""),
        filled("echo ", "a\"$x\"", ""),
        filled("", "x+=a ", "a"),
        filled("", "{fd}>x ", "a"),
        filled("cat <<E\n", "a\n", "E"),
        filled("cat <<E\n", "$x", "\nE"),
        halves("cat", " <<E", "\n", "E\n", ""),
        halves("f(){ a;};", "$(a)", ";", "f;", ""),
        filled(&"watch ".repeat(40), "a ", ""),
        filled(&"xargs -I a ".repeat(40), "a ", ""),
        filled(&"sudo env nice ".repeat(15), "a ", ""),
    ];
    on_a_worker(move || {
        for line in lines {
            assert!(line.len() <= limits::TEXT_BYTES_MAX);
            let _ = shell::line(line.as_bytes());
        }
        let mut words = vec!["tar", "cf", "x", "-C", &long];
        words.resize(limits::NODES_MAX, "a");
        for program in ["tar", "ln", "find", "cat", "git", "sh"] {
            words[0] = program;
            assert!(shell::argv(&words).is_ok(), "{program}");
        }
    });
}
