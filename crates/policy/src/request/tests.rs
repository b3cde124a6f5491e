use vocab::{Access, Class, ColumnUse, Group, Opaque, Position, ResourcePath, Verb, WallTime};

use super::{Context, Parent, Principal, Release, Request, What};

fn full(what: What) -> Request {
    Request {
        principal: Principal {
            human: "ann b%c".into(),
            human_groups: vec![Group("z".into()), Group("a".into())],
            agent: "support".into(),
            run: "0199".into(),
            confined: true,
            parents: vec![Parent { agent: "planner".into(), run: "0198".into() }],
        },
        resource: ResourcePath::root("crm"),
        what,
        context: Context {
            approvals: vec![Group("dba".into())],
            task: Some("".into()),
            resource_kind: "postgres".into(),
            kind: "ALTER TABLE".into(),
            functions: vec!["public.g".into(), "public.f".into()],
            arguments: vec!["path".into(), "mode=a b".into()],
            decided: Some("same".into()),
            decided_by_result: true,
            in_transaction: true,
            now: WallTime(1_700_000_000_000_000_001),
            classes: vec![Class::new("pii.ssn").unwrap()],
            values: 3,
            largest_value: 11,
        },
    }
}

fn action() -> What {
    let column = |name: &str, position| ColumnUse { column: name.into(), position };
    let table = ResourcePath::root("crm").join("db").join("public").join("a/b\n");
    What::Action {
        accesses: vec![
            Access { verb: Verb::Write, on: table.clone(), columns: vec![] },
            Access {
                verb: Verb::Read,
                on: table,
                columns: vec![column("ssn", Position::Predicate), column("n m", Position::WriteSource)],
            },
        ],
        opaque: Some(Opaque("DO block")),
    }
}

#[test]
fn the_canonical_text_is_this() {
    let expect = "\
tacho-request 1
human ann%20b%25c
group a
group z
agent support
run 0199
confined yes
parent planner 0198
resource crm
approval dba
task %-
resource-kind postgres
kind ALTER%20TABLE
function public.f
function public.g
argument mode=a%20b
argument path
decided same
decided-by-result
in-transaction yes
now 1700000000000000001
class pii.ssn
values 3 11
access read crm/db/public/a%252Fb%0A
column n%20m write-source
column ssn predicate
access write crm/db/public/a%252Fb%0A
opaque
action
";
    assert_eq!(full(action()).canonical(), expect);
}

#[test]
fn canonical_text_reads_back_to_itself() {
    let whats = [
        action(),
        What::Action { accesses: vec![], opaque: None },
        What::Reveal(Class::new("pii.email").unwrap()),
        What::Release(Release { rows: 1, bytes: u64::MAX, tripwires: 0 }),
        What::Delegate("bob\u{2028}x".into()),
        What::Spawn("\0".into()),
    ];
    for what in whats {
        let text = full(what).canonical();
        assert_eq!(Request::parse(&text).unwrap().canonical(), text);
    }
}

#[test]
fn order_and_repetition_do_not_matter() {
    let one = full(action());
    let mut two = one.clone();
    two.principal.human_groups.reverse();
    two.context.functions.push("public.f".into());
    if let What::Action { accesses, .. } = &mut two.what {
        accesses.reverse();
        accesses[0].columns.reverse();
        let again = accesses[0].clone();
        accesses.push(again);
    }
    assert_eq!(one.canonical(), two.canonical());
}

#[test]
fn any_line_dropped_doubled_or_swapped_is_refused() {
    let text = full(action()).canonical();
    let lines: Vec<&str> = text.lines().collect();
    let optional = [
        "group",
        "parent",
        "approval",
        "task",
        "function",
        "argument",
        "decided",
        "decided-by-result",
        "class",
        "access",
        "column",
        "opaque",
    ];
    for i in 0..lines.len() {
        let word = lines[i].split(' ').next().unwrap();
        let mut without = lines.clone();
        without.remove(i);
        let read = Request::parse(&(without.join("\n") + "\n"));
        // Leaving out an entry of a list gives another request, never this one.
        match read {
            Ok(other) => {
                assert!(optional.contains(&word), "{word}");
                assert_ne!(other.canonical(), text);
            }
            Err(e) => assert!(e.line >= 1),
        }
        let mut doubled = lines.clone();
        doubled.insert(i, lines[i]);
        let twice = Request::parse(&(doubled.join("\n") + "\n"));
        // A parent is one more run in the chain; an access without columns is one more pair.
        assert!(twice.is_err() || word == "parent" || word == "access", "{word} twice");
        if i + 1 < lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(i, i + 1);
            let read = Request::parse(&(swapped.join("\n") + "\n"));
            // A column behind another access is another request.
            assert!(read.is_err() || word == "column", "{word} swapped");
        }
    }
    assert!(Request::parse(text.trim_end()).is_err());
    assert!(Request::parse(&text.replace("yes", "maybe")).is_err());
    assert!(Request::parse(&text.replace("%20", " ")).is_err());
}
