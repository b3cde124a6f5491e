//! Whatever a line says that is not the shell's own is a literal, so that a mask can reach it.

use super::seed::Seed;

/// Lines with `@` where a secret may stand.
const PLACES: &[&str] = &[
    "echo @",
    "echo a@b",
    "echo '@'",
    "echo \"@\"",
    "echo \"a $x @ b\"",
    "echo $'@'",
    "echo $'\\xff@'",
    "x=@ ls",
    "x=\"@\" ls",
    "a@b=1",
    "export x=@",
    "ls # @",
    "cat <<E\n@\nE",
    "cat <<'E'\n@\nE",
    "cat <<-E\n\t@ $x\n\tE",
    "cat <<E@\nx\nE@",
    "cat <<< @",
    "cat > @",
    "cat @>x",
    "echo $(echo @)",
    "echo `echo @`",
    "echo \"`echo \\\"@\\\"`\"",
    "echo ${x:-@}",
    "echo \"${x:-@}\"",
    "echo ${x@@}",
    "echo ${x/@/b}",
    "echo ${a@}",
    "echo $a@",
    "echo $((1+@))",
    "echo $[@]",
    "((a=@))",
    "for ((i=@;;)); do ls; done",
    "for x in @ b; do ls; done",
    "for a@ in b; do ls; done",
    "case @ in a) ls;; esac",
    "case x in @) ls;; esac",
    "[[ a == @ ]]",
    "[[ a =~ (@|b) ]]",
    "f@() { ls; }",
    "function f@ { ls; }",
    "sh -c 'echo @'",
    "a=(1 @ 2)",
    "ls <(echo @)",
    "{ ls @; } 2> @",
    "ssh h 'echo @'",
    "ls\\\n@",
    "echo {a,@}",
    "eval \"echo @\"",
];

#[test]
fn a_secret_anywhere_in_a_line_is_in_a_literal() {
    for secret in ["536904399", "ck_canary_9fQ2", "4111"] {
        for place in PLACES {
            // `@` of an expansion is written `@@`.
            let line =
                place.replace("@@", "\u{1}").replace('@', secret).replace('\u{1}', &format!("@{secret}"));
            let Ok(found) = shell::line(line.as_bytes()) else { continue };
            let mut left = String::new();
            let mut at = 0;
            for literal in &found.literals {
                let (start, end) = (literal.at.start as usize, literal.at.end as usize);
                assert!(at <= start && start <= end, "{line}: {:?}", found.literals);
                left.push_str(&line[at..start]);
                left.push('.');
                at = end;
            }
            left.push_str(&line[at..]);
            assert!(!left.contains(secret), "{line}: {left}");
        }
    }
}

#[test]
fn most_of_these_lines_are_read() {
    let read = PLACES.iter().filter(|p| shell::line(p.replace('@', "s").as_bytes()).is_ok()).count();
    assert!(read + 4 >= PLACES.len(), "{read} of {}", PLACES.len());
}

#[test]
fn a_literal_has_the_text_without_its_quotes() {
    let line = shell::line(b"echo 'a b'c \"d$x e\" # f").unwrap();
    let values: Vec<&str> = line.literals.iter().map(|l| &*l.value).collect();
    assert_eq!(values, ["echo", "a bc", "d", "x", " e", " f"]);
}

#[test]
fn literals_are_in_order_and_apart_whatever_the_line() {
    let mut seed = Seed::new(7);
    for _ in 0..3_000 {
        let with = *seed.one(&["s", "", "'", "$", "\\"]);
        let mut line: String =
            (0..4).map(|_| *seed.one(PLACES)).collect::<Vec<_>>().join(*seed.one(&[";", "\n", " "]));
        line = line.replace('@', with);
        let Ok(found) = shell::line(line.as_bytes()) else { continue };
        let mut at = 0;
        for literal in &found.literals {
            assert!(
                at <= literal.at.start && literal.at.start <= literal.at.end,
                "{line:?} {:?}",
                found.literals
            );
            assert!(line.get(literal.at.start as usize..literal.at.end as usize).is_some(), "{line:?}");
            at = literal.at.end;
        }
    }
}
