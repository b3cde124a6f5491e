use crate::{Policy, PolicyError, SCHEMA, STARTER, Source};

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}

fn errors(files: &[Source]) -> Vec<PolicyError> {
    Policy::parse(files).expect_err("the policy is wrong")
}

/// One rule that is wrong in one way, and what is said of it.
#[track_caller]
fn check(rule: &str, line: usize, message: &str) {
    let errors = errors(&[source("a.cedar", rule)]);
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(errors.iter().any(|e| e.line == line && e.message.contains(message)), "{message}: {all:#?}");
}

#[test]
fn every_mistake_is_named_with_its_line() {
    check("permit (principal, action, resource)", 1, "unexpected end of input");
    check("// fine\n\npermit (principal, action, resource) when { };", 3, "cannot be empty");
    check("permit (principal, action == Action::\"raed\", resource);", 1, "raed");
    check("permit (principal in Agnet::\"x\", action, resource);", 1, "Agnet");
    check("permit (principal, action, resource)\nwhen { principal.humn in Group::\"x\" };", 2, "humn");
    check("permit (principal, action == Action::\"read\", resource) when { context.rows > 1 };", 1, "rows");
    check(
        "permit (principal, action == Action::\"read\", resource) when { context.task == \"x\" };",
        1,
        "task",
    );
    check(
        "permit (principal, action == Action::\"read\", resource == Class::\"pii\");",
        1,
        "unable to find an applicable action",
    );
    check("\n@neds(\"x\") forbid (principal, action, resource);", 2, "unknown annotation `@neds`");
    check("@needs(\"x\") permit (principal, action, resource);", 1, "only a forbid can carry @needs");
    check(
        "@needs(\"x\") forbid (principal, action, resource);",
        1,
        "no approval by `x` would lift this forbid",
    );
    check("@id(\"\") permit (principal, action, resource);", 1, "an @id has 1 to 128 characters");
    check("permit (principal == ?principal, action, resource);", 1, "template");
    check(
        "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);",
        2,
        "another rule has the id `a`",
    );
}

#[test]
fn one_mistake_is_said_once_by_the_rules_own_name() {
    let text = "@id(\"fine\")\npermit (principal, action, resource);\n\
                @id(\"mine\")\nforbid (principal, action, resource)\nwhen { context.nosuch == 1 };";
    let errors = errors(&[source("a.cedar", text)]);
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 1, "{all:#?}");
    assert_eq!(errors[0].line, 5);
    assert!(errors[0].message.contains("in rule `mine`"), "{all:#?}");
    assert!(
        errors[0].message.contains("(and the same for ") && !errors[0].message.contains("`0000"),
        "{all:#?}"
    );
}

#[test]
fn all_errors_of_all_files_come_at_once_in_order() {
    let files = [
        source("b.cedar", "permit (principal, action == Action::\"nope\", resource);\npermit (principal;\n"),
        source(
            "a.cedar",
            "permit (principal, action, resource) when { x };\n\nforbid (principal, actoin, resource);",
        ),
        source("c.cedar", "permit (principal, action, resource);"),
    ];
    let places: Vec<(String, usize)> = errors(&files).into_iter().map(|e| (e.file, e.line)).collect();
    for expect in [("a.cedar", 1), ("a.cedar", 3), ("b.cedar", 1), ("b.cedar", 2)] {
        assert!(places.contains(&(expect.0.to_owned(), expect.1)), "{expect:?} in {places:?}");
    }
    assert!(places.is_sorted());
    assert!(places.iter().all(|(file, _)| file != "c.cedar"));
}

#[test]
fn a_semicolon_in_a_string_or_comment_ends_no_rule() {
    let text = "// a; b\n@id(\"a;\\\"b\") permit (principal, action, resource); // c;\nforbid (principal, action == Action::\"define\", resource);";
    let policy = Policy::parse(&[source("p/x.cedar", text)]).unwrap();
    assert_eq!(policy.rules().map(ToString::to_string).collect::<Vec<_>>(), ["a;\"b", "x.cedar#2"]);
}

#[test]
fn the_hash_is_of_the_text_whatever_the_order_and_place_of_files() {
    let (a, b) = ("permit (principal, action, resource);\n", "// nothing\n//# file c.cedar\n");
    let one = Policy::parse(&[source("x/a.cedar", a), source("x/b.cedar", b)]).unwrap();
    let two = Policy::parse(&[source("y/b.cedar", b), source("y/a.cedar", a)]).unwrap();
    assert_eq!(one.hash(), two.hash());
    let again = Policy::from_canonical(one.canonical_text()).unwrap();
    assert_eq!((again.hash(), again.canonical_text()), (one.hash(), one.canonical_text()));
    let other = Policy::parse(&[source("x/a.cedar", &a.replace("permit", "forbid")), source("x/b.cedar", b)])
        .unwrap();
    assert_ne!(one.hash(), other.hash());
    assert_eq!(one.canonical_text().matches("\n//# file ").count(), 1, "a file cannot pose as two");
}

#[test]
fn an_empty_policy_is_one_that_refuses_everything() {
    assert_eq!(Policy::parse(&[]).unwrap().rules().len(), 0);
    assert_eq!(Policy::parse(&[source("a.cedar", "\n// nothing yet\n")]).unwrap().rules().len(), 0);
}

#[test]
fn the_limits_hold_at_their_edge() {
    use crate::limits::{FILE_BYTES_MAX, FILES_MAX};
    let file = |len: usize| [source("a.cedar", &" ".repeat(len))];
    assert!(Policy::parse(&file(FILE_BYTES_MAX)).is_ok());
    assert!(errors(&file(FILE_BYTES_MAX + 1))[0].message.contains("at most"));
    let files = |n: usize| (0..n).map(|i| source(&format!("{i}.cedar"), "")).collect::<Vec<_>>();
    assert!(Policy::parse(&files(FILES_MAX)).is_ok());
    assert!(errors(&files(FILES_MAX + 1))[0].message.contains("at most"));
}

#[test]
fn the_starter_policy_is_valid_and_the_schema_has_a_hash() {
    let policy = Policy::parse(&[source("starter.cedar", STARTER)]).unwrap();
    assert!(policy.rules().len() >= 6);
    assert_ne!(policy.schema_hash(), [0; 32]);
    assert!(SCHEMA.contains("action release"));
}
