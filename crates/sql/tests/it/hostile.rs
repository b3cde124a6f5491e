//! Sizes and nesting that must cost a refusal and nothing else, on a thread with the stack of a runtime's worker.

use std::collections::BTreeSet;

use sql::{Effect, Vouched, analyze, limits, parse, rewrite};
use vocab::ResourcePath;

fn on_a_worker(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}

fn through(text: &str) -> Result<(), &'static str> {
    let statements = parse(text).map_err(|e| e.code)?;
    let snapshot = super::snapshot();
    let governed = super::governed(&snapshot);
    let names = super::names();
    for statement in &statements {
        let found =
            analyze(statement, &snapshot, &governed, &names, &Vouched::default(), &ResourcePath::root("crm"));
        let _ = rewrite(statement, &found, &snapshot, &governed, &names, &BTreeSet::new());
    }
    Ok(())
}

#[test]
fn deep_nesting_is_refused_before_it_is_parsed() {
    on_a_worker(|| {
        let n = 100_000;
        let deep = [
            format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
            format!("SELECT {}1", "-".to_owned() + &" - ".repeat(n)),
            format!("SELECT {}true", "NOT ".repeat(n)),
            format!("SELECT 1{}", "+1".repeat(n)),
            format!("SELECT 1{}", "::int".repeat(n)),
            format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n)),
            format!("SELECT 1{}", " UNION SELECT 1".repeat(n / 10)),
            format!("SELECT 1{}", " UNION ALL SELECT 1, 2".repeat(n / 10)),
            format!("SELECT * FROM a{}", " JOIN a ON true".repeat(n / 10)),
            format!("SELECT * FROM a{}", " NATURAL JOIN a".repeat(n / 10)),
            format!("SELECT {}1{}", "ARRAY[".repeat(n), "]".repeat(n)),
            format!("SELECT {}1", "a BETWEEN 1 AND NOT ".repeat(n / 10)),
            format!("SELECT {}1{}", "f(".repeat(n), ")".repeat(n)),
            format!("SELECT {}1{}", "(SELECT ".repeat(n), ")".repeat(n)),
            format!("SELECT a{}", " COLLATE \"C\"".repeat(n / 10)),
            format!("SELECT a{}", " IS NULL".repeat(n / 10)),
            format!("SELECT a{}", " AT TIME ZONE 'x'".repeat(n / 10)),
            format!("SELECT {}", "'a' || ".repeat(n) + "'a'"),
            format!("{}SELECT 1", "EXPLAIN ".repeat(n)),
        ];
        for text in deep {
            let start = &text[..40];
            assert!(matches!(through(&text), Err("54001" | "54000" | "42601")), "{start}");
        }
    });
}

#[test]
fn nesting_at_the_limit_fits_the_stack() {
    on_a_worker(|| {
        for n in (1..limits::DEPTH_MAX).step_by(17).chain([limits::DEPTH_MAX - 4]) {
            let shapes = [
                format!("SELECT {}1{}", "(".repeat(n / 2), ")".repeat(n / 2)),
                format!("SELECT {}1{}", "f(".repeat(n / 3), ")".repeat(n / 3)),
                format!("SELECT 1{}", "+1".repeat(n / 2)),
                format!("SELECT {}true", "NOT ".repeat(n)),
                format!("SELECT 1{}", " UNION SELECT 1".repeat(n / 2)),
                format!("SELECT {}ssn{} FROM customers", "(SELECT ".repeat(n / 3), ")".repeat(n / 3)),
                format!("SELECT * FROM {}customers{}", "(SELECT * FROM ".repeat(n / 5), ") x".repeat(n / 5)),
            ];
            for text in shapes {
                let _ = through(&text);
            }
        }
    });
}

/// The parser writes what stands behind `SET (a, b) =` once for each name.
#[test]
fn what_the_parser_would_write_again_and_again_is_refused_before_it_is_parsed() {
    let list = |what: &str, n: usize| vec![what; n].join(",");
    let ones = list("1", 1_500);
    let sets = |more: &str| format!("SET {more}({}) = (SELECT {ones})", list("t", 1_500));
    let (set, second) = (sets(""), sets("a = 1, "));
    let nested = (0..40).fold("SELECT 1, 1".to_owned(), |inner, _| {
        format!("WITH x AS (UPDATE pad SET (t, t) = ({inner})) SELECT 1, 1")
    });
    for text in [
        format!("UPDATE pad {set}"),
        format!("UPDATE pad {second} WHERE id = 1"),
        format!("WITH x AS (UPDATE pad {set} RETURNING t) SELECT FROM x"),
        format!("INSERT INTO pad VALUES (1) ON CONFLICT (id) DO UPDATE {set}"),
        format!("MERGE INTO pad USING x ON true WHEN MATCHED THEN UPDATE {set} WHEN NOT MATCHED THEN DELETE"),
        format!("UPDATE pad SET (t[1], \"t\"{}) /* , */ = set.from - (SELECT {ones})", ", t".repeat(1_498)),
        format!("UPDATE pad SET ({}) = a.where IS DISTINCT FROM ({ones})", list("t", 1_500)),
        format!("SELECT 1; UPDATE pad {set}"),
        nested,
        // What is long by itself counts as well.
        format!("SELECT {}", list("a", limits::TREE_TOKENS_MAX / 2 + 1)),
    ] {
        assert_eq!(parse(&text).map(|all| all.len()).map_err(|e| e.code), Err("54000"), "{}", &text[..40]);
    }
    // Two tokens a name, but for the last: the limit is met exactly.
    assert!(parse(&format!("SELECT {}", list("a", limits::TREE_TOKENS_MAX / 2))).is_ok());
    let pairs = vec!["(a, b) = (1, 2)"; 60].join(" OR ");
    for text in [
        format!(
            "UPDATE pad SET ({}) = (SELECT {} FROM x WHERE id IN ({ones}))",
            list("t", 50),
            list("a", 50)
        ),
        format!("UPDATE pad SET (a, b) = (1, 2), (c, d) = (3, 4) WHERE {pairs}"),
        format!("SELECT {} FROM pad WHERE {pairs}", list("(a, b) = (1, 2)", 1_000)),
    ] {
        assert!(parse(&text).is_ok(), "{}", &text[..40]);
    }
}

#[test]
fn names_among_many_columns_end_at_a_limit() {
    let from: Vec<String> = (0..1900).map(|i| format!("customers c{i}")).collect();
    let from = from.join(", ");
    let snapshot = super::snapshot();
    let governed = super::governed(&snapshot);
    let refused = |text: &str| {
        let (statements, names) = (parse(text).unwrap(), super::names());
        let root = ResourcePath::root("crm");
        analyze(&statements[0], &snapshot, &governed, &names, &Vouched::default(), &root)
            .refuse
            .map(|r| r.code)
    };
    for text in [
        format!("SELECT 1 FROM {from} WHERE 1 IN ({})", vec!["id"; 60_000].join(",")),
        format!("SELECT {} FROM {from}", vec!["name"; 30_000].join(",")),
        format!("SELECT {} FROM {from}", vec!["c7.name"; 60_000].join(",")),
        format!("SELECT {} FROM {from}", vec!["*"; 60_000].join(",")),
        format!("SELECT {} FROM customers c", vec!["(c).name"; 45_000].join(",")),
        format!("SELECT 1 FROM {from} GROUP BY {}", vec!["id"; 60_000].join(",")),
    ] {
        let end = refused(&text);
        assert!(
            matches!(end, Some("54001" | "54011")),
            "{} ... {}: {end:?}",
            &text[..20],
            &text[text.len() - 40..]
        );
    }
    assert_eq!(refused(&format!("SELECT {} FROM customers", vec!["name"; 1_600].join(","))), None);
}

#[test]
fn a_setting_is_what_the_server_makes_of_it() {
    let snapshot = super::snapshot();
    let governed = super::governed(&snapshot);
    let names = super::names();
    let of = |text: &str| {
        let statements = parse(text).unwrap();
        analyze(&statements[0], &snapshot, &governed, &names, &Vouched::default(), &ResourcePath::root("crm"))
    };
    for call in [
        "'standard_conforming_strings', '1'::numeric(2,-1)::text, false",
        "'standard_conforming_strings', 1::text, false",
        "'standard_conforming_strings', true::text, false",
        "'standard_conforming_strings.x'::varchar(27), 'off', false",
        "'standard_conforming_strings.x'::char(27), 'off', false",
        "'public.standard_conforming_strings'::regclass::text, 'off', false",
        "'search_path.x'::varchar(11), 'alt', false",
        "'role.x'::varchar(4), 'owner', false",
        "'transaction_read_only', '1'::numeric(2,-1)::text, false",
        "'client_encoding', 'SJISUTF8'::varchar(4), false",
        "'search_path', 'alt', 'fal'",
    ] {
        let found = of(&format!("SELECT set_config({call})"));
        let value = |effect: &Effect| matches!(effect, Effect::Set { value: Some(_), .. });
        let read = found.effects.iter().any(value);
        assert!(
            found.refuse.is_some() || found.action.opaque.is_some() || !read,
            "{call}: {:?}",
            found.effects
        );
    }
    for call in ["'search_path', 'public'::text, true", "'application_name'::varchar, 'x', 'f'"] {
        let found = of(&format!("SELECT set_config({call})"));
        assert!(found.refuse.is_none() && found.action.opaque.is_none(), "{call}");
    }
    let cut = of("SELECT nextval('orders_id_seq2'::varchar(13))");
    assert!(cut.action.opaque.is_some(), "nobody knows which sequence that is");
}

#[test]
fn ordinary_depths_are_not_refused() {
    let concat = format!("SELECT {}'z' FROM orders", "item || ',' || ".repeat(50));
    let joins = format!(
        "SELECT 1 FROM orders o0{}",
        (1..40)
            .map(|i| format!(" JOIN orders o{i} ON o{i}.id = o0.id AND o{i}.item = o0.item"))
            .collect::<String>()
    );
    let list = format!(
        "SELECT * FROM orders WHERE id IN ({})",
        (0..5_000).map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
    );
    let ands = format!(
        "SELECT * FROM orders WHERE {}",
        (0..500).map(|i| format!("id <> {i}")).collect::<Vec<_>>().join(" AND ")
    );
    let values = format!(
        "INSERT INTO orders VALUES {}",
        (0..2_000).map(|i| format!("({i}, 1, 'x', 1.5, 'new', now())")).collect::<Vec<_>>().join(", ")
    );
    for text in [concat, joins, list, ands, values] {
        assert_eq!(through(&text), Ok(()), "{}", &text[..60]);
    }
}

#[test]
fn sizes_beyond_a_limit_are_refused() {
    let long = format!("SELECT '{}'", "x".repeat(limits::TEXT_BYTES_MAX));
    assert_eq!(parse(&long).unwrap_err().code, "54000");
    let many = "SELECT 1;".repeat(limits::STATEMENTS_MAX + 1);
    assert_eq!(parse(&many).unwrap_err().code, "54000");
    assert_eq!(parse(&"SELECT 1;".repeat(limits::STATEMENTS_MAX)).unwrap().len(), limits::STATEMENTS_MAX);
    assert_eq!(parse("SELECT '\0'").unwrap_err().code, "22021");
}

/// Bytes changed at random places of real statements: no panic, and what is rewritten parses.
#[test]
fn broken_statements_never_panic() {
    let seeds = [
        "SELECT c.ssn, o.* FROM app.customers c JOIN orders o ON o.customer_id = c.id WHERE c.email LIKE 'a%'",
        "UPDATE customers SET country = 'X' WHERE ssn = '1' RETURNING id, ssn, customers.*",
        "WITH t AS (DELETE FROM api_keys WHERE secret = 'x' RETURNING *) SELECT * FROM t",
        "COPY customers (id, ssn) TO STDOUT WITH (FORMAT csv)",
        "SELECT * FROM ONLY (customers) TABLESAMPLE system (10) REPEATABLE (1), LATERAL (TABLE customers) x",
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let snapshot = super::snapshot();
    let governed = super::governed(&snapshot);
    let names = super::names();
    let pieces = [
        "(",
        ")",
        ",",
        "'",
        "\"",
        " ",
        "*",
        ".",
        ";",
        "$1",
        "ssn",
        "customers",
        "ONLY",
        "--",
        "/*",
        "U&",
        "AS",
        "::",
    ];
    for round in 0..4_000 {
        let mut text = seeds[round % seeds.len()].to_owned();
        for _ in 0..1 + next(4) {
            let at = next(text.len());
            match next(3) {
                0 => text.insert_str(at, pieces[next(pieces.len())]),
                1 => drop(text.remove(at)),
                _ => text.truncate(text.len().max(2) - 1),
            }
        }
        for statement in parse(&text).unwrap_or_default() {
            let found = analyze(
                &statement,
                &snapshot,
                &governed,
                &names,
                &Vouched::default(),
                &ResourcePath::root("crm"),
            );
            let made = rewrite(&statement, &found, &snapshot, &governed, &names, &BTreeSet::new());
            if let Some(text) = made.ok().and_then(|made| made.text) {
                assert_eq!(parse(&text).unwrap().len(), 1);
            }
        }
    }
}
