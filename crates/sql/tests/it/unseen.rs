//! Code of users' own that no name in a statement tells of: operators, casts, comparisons, and words of a newer grammar.

use sql::{Names, Snapshot, Vouched, analyze, catalog, parse};
use vocab::ResourcePath;

/// The corpus's catalog with rows of these queries added.
pub(super) fn with(rows: &[(&str, &[&str])]) -> Snapshot {
    let text = std::fs::read_to_string(super::testdata().join("catalog.json")).unwrap();
    let mut results: Vec<catalog::Rows> = serde_json::from_str(&text).unwrap();
    for (query, row) in rows {
        let at = catalog::QUERIES.iter().position(|q| q.name == *query).unwrap();
        let field = |text: &&str| (!text.is_empty()).then(|| (*text).to_owned());
        results[at].push(row.iter().map(field).collect());
    }
    catalog::snapshot(&results).unwrap()
}

const F: (&str, &[&str]) =
    ("functions", &["20000", "app", "f", "2", "0", "f", "v", "t", "o", "sql", "f", "", "16"]);
/// A row type of a user's, and a table with a column of it.
const TYPES: [(&str, &[&str]); 7] = [
    ("relations", &["20010", "app", "box2", "c", "p", "20011"]),
    ("types", &["20011", "app", "box2", "c", "0", "0", "20010", "0"]),
    ("types", &["20012", "app", "_box2", "b", "0", "20011", "0", "0"]),
    ("relations", &["20020", "app", "boxes", "r", "p", "20021"]),
    ("types", &["20021", "app", "boxes", "c", "0", "0", "20020", "0"]),
    ("columns", &["20020", "1", "id", "23", "integer", "", "t", "f", "b", "integer", "-1"]),
    ("columns", &["20020", "2", "v", "20011", "app.box2", "", "f", "f", "c", "app.box2", "-1"]),
];

fn opaque(snapshot: &Snapshot, text: &str) -> bool {
    let governed = super::governed(snapshot);
    let statements = parse(text).unwrap();
    let names: Names = super::names();
    let root = ResourcePath::root("crm");
    let found = analyze(&statements[0], snapshot, &governed, &names, &Vouched::default(), &root);
    found.action.opaque.is_some()
}

fn check(snapshot: &Snapshot, opaque_ones: &[&str], others: &[&str]) {
    let wrong = |texts: &[&str], expected: bool| {
        texts.iter().filter(|t| opaque(snapshot, t) != expected).map(|t| (*t).to_owned()).collect()
    };
    let (seen, hurt): (Vec<String>, Vec<String>) = (wrong(opaque_ones, true), wrong(others, false));
    assert!(seen.is_empty(), "code runs unseen: {seen:#?}");
    assert!(hurt.is_empty(), "called opaque without need: {hurt:#?}");
}

fn operators(names: &[&str], left: &str, right: &str) -> Snapshot {
    let rows: Vec<[&str; 7]> =
        names.iter().map(|name| ["20001", "app", name, "20000", left, right, "16"]).collect();
    let mut all = vec![F];
    all.extend(TYPES);
    all.extend(rows.iter().map(|row| ("operators", &row[..])));
    with(&all)
}

#[test]
fn operators_that_the_parser_puts_in_run_too() {
    let snapshot = operators(&["=", ">=", "<="], "23", "25");
    check(
        &snapshot,
        &[
            "SELECT 3000 >= '1'::text",
            "SELECT 3000 BETWEEN '1'::text AND '2'::text",
            "SELECT 3000 BETWEEN SYMMETRIC '1'::text AND '2'::text",
            "SELECT CASE 3000 WHEN '1'::text THEN 1 END",
            "SELECT 3000 IN (SELECT '1'::text)",
            "SELECT 3000 IN (SELECT '1')",
            "SELECT 3000 IN (SELECT status FROM orders)",
            "SELECT id FROM orders WHERE id = $1",
            "SELECT id FROM orders WHERE id = status",
            "SELECT 3000 NOT IN (SELECT '1'::text)",
            "SELECT 3000 IS DISTINCT FROM '1'::text",
            "SELECT nullif(3000, '1'::text)",
            "SELECT 3000 = ANY (ARRAY['1'::text])",
            "SELECT (3000, 1) = ('1'::text, 1)",
            "SELECT 1 FROM (SELECT 3000 AS a) AS x JOIN (SELECT '1'::text AS a) AS y USING (a)",
            "SELECT 1 FROM (SELECT 3000 AS a) AS x NATURAL JOIN (SELECT '1'::text AS a) AS y",
        ],
        &[
            "SELECT 3000 < 1",
            "SELECT - 1",
            "SELECT CASE WHEN id > 1 THEN 1 END FROM orders",
            "SELECT id FROM orders WHERE id = 3 AND id IN (1, 2) AND id BETWEEN 1 AND 5",
            "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE status = 'open'",
            "SELECT id FROM orders JOIN (SELECT id FROM customers) AS c USING (id)",
            "SELECT CASE id WHEN 1 THEN 2 END FROM orders WHERE id IN (SELECT id FROM customers)",
        ],
    );
    check(&operators(&["<", ">"], "23", "25"), &["SELECT 3000 NOT BETWEEN '1'::text AND '2'::text"], &[]);
}

#[test]
fn an_operator_of_types_of_a_users_own_leaves_others_alone() {
    let snapshot = operators(&["=", "<"], "20011", "20011");
    check(
        &snapshot,
        &["SELECT id FROM boxes WHERE v = v", "SELECT $1 = $2", "SELECT '1' = '2'"],
        &[
            "SELECT id FROM orders WHERE id = 3",
            "SELECT id FROM orders AS o WHERE o.id = $1",
            "SELECT o.id FROM orders AS o JOIN customers AS c ON c.id = o.customer_id",
            "SELECT id FROM (SELECT id FROM orders) AS o WHERE id IN (1, 2)",
            "SELECT id FROM orders JOIN (SELECT id FROM customers) AS c USING (id)",
            "SELECT CASE id WHEN 1 THEN 2 END FROM orders",
            "SELECT $1::text = 'a'",
        ],
    );
}

#[test]
fn an_operator_of_a_type_that_others_become_by_a_cast_may_be_meant() {
    let mut rows = vec![F, ("operators", &["20001", "app", "=", "20000", "20011", "20011", "16"])];
    rows.extend(TYPES);
    rows.push(("casts", &["23", "20011", "0", "i"]));
    check(&with(&rows), &["SELECT id FROM orders WHERE id = 3.5"], &["SELECT id FROM orders WHERE id > 3.5"]);
}

fn cast(source: &str, target: &str, context: &str) -> Snapshot {
    let row = [source, target, "20000", context];
    let mut rows = vec![F, ("casts", &row[..])];
    rows.extend(TYPES);
    with(&rows)
}

#[test]
fn casts_run_where_a_value_of_their_type_is() {
    check(
        &cast("20011", "25", "i"),
        &[
            "SELECT v::text FROM boxes",
            "SELECT upper(v) FROM boxes",
            "SELECT id FROM boxes WHERE v LIKE '%'",
            "SELECT b FROM boxes AS b",
            "SELECT upper(ARRAY[v]) FROM boxes",
            "UPDATE boxes SET id = 1 WHERE v LIKE 'a'",
            "SELECT '(1,2)'::box2",
            "SELECT '{}'::box2[]",
        ],
        &["SELECT id FROM boxes", "SELECT id::text FROM orders", "INSERT INTO orders (id) VALUES (1)"],
    );
    check(
        &cast("20011", "25", "e"),
        &[
            "SELECT v::text FROM boxes",
            "SELECT text(v) FROM boxes",
            "SELECT (b.v).text FROM boxes AS b",
            "SELECT to_json(v) FROM boxes",
        ],
        &["SELECT v FROM boxes", "SELECT concat(v, id) FROM boxes"],
    );
    check(
        &cast("25", "20011", "a"),
        &["INSERT INTO boxes (v) VALUES ('a'::text)", "UPDATE boxes SET v = 'a'::text"],
        &["SELECT v FROM boxes"],
    );
    check(&cast("20021", "25", "i"), &["SELECT upper(b) FROM boxes AS b"], &["SELECT id::text FROM orders"]);
    check(&cast("23", "25", "i"), &["SELECT upper(id) FROM orders"], &["BEGIN"]);
}

#[test]
fn comparisons_run_where_a_value_of_their_type_is() {
    let mut rows = vec![F, ("classes", &["20011", "20000"][..])];
    rows.extend(TYPES);
    check(
        &with(&rows),
        &[
            "SELECT id FROM boxes ORDER BY v",
            "SELECT DISTINCT v FROM boxes",
            "SELECT greatest(v, v) FROM boxes",
            "SELECT v FROM boxes UNION SELECT v FROM boxes",
        ],
        &["SELECT id FROM boxes ORDER BY id", "SELECT DISTINCT status FROM orders"],
    );
}

#[test]
fn words_of_a_newer_grammar_are_names_to_an_older_server() {
    for name in
        ["json_scalar", "json_serialize", "json_value", "json_query", "json_exists", "json", "merge_action"]
    {
        let row = ["20000", "app", name, "1", "0", "f", "v", "t", "o", "sql", "f", "", "16"];
        let known = with(&[("functions", &row)]);
        let text = match name {
            "json_value" | "json_query" | "json_exists" => format!("SELECT {name}('{{}}', '$')"),
            "merge_action" => "SELECT merge_action()".to_owned(),
            _ => format!("SELECT {name}('1')"),
        };
        assert!(opaque(&known, &text), "{text}");
        assert!(!opaque(&super::snapshot(), &text), "{text}");
    }
    for name in ["json_object", "json_array", "json_arrayagg"] {
        let row = ["20000", "app", name, "1", "0", "f", "v", "t", "o", "sql", "f", "", "16"];
        let known = with(&[("functions", &row)]);
        assert!(opaque(&known, &format!("SELECT {name}('1')")), "{name}");
    }
    let column: &[&str] = &["16397", "9", "system_user", "25", "text", "", "f", "f", "b", "text", "-1"];
    assert!(opaque(&with(&[("columns", column)]), "SELECT system_user FROM orders"));
    let named: &[&str] = &["20011", "app", "json", "d", "25", "0", "0", "0"];
    let rows: [(&str, &[&str]); 3] = [F, ("types", named), ("casts", &["20011", "25", "20000", "e"])];
    assert!(opaque(&with(&rows), "SELECT '1'::json"));
}

/// Types of what stands beside an operator are looked for among as many columns as names are, and no more.
#[test]
fn types_of_operands_are_looked_for_to_a_limit() {
    let snapshot = operators(&["="], "23", "25");
    let of = |text: &str| {
        let (governed, statements, names) =
            (super::governed(&snapshot), parse(text).unwrap(), super::names());
        let root = ResourcePath::root("crm");
        let found = analyze(&statements[0], &snapshot, &governed, &names, &Vouched::default(), &root);
        found.refuse.map(|reason| reason.code)
    };
    let wide = |of: usize| (0..of).map(|i| format!("1 AS c{i}")).collect::<Vec<_>>().join(",");
    let columns = wide(1_600);
    let from: Vec<String> = (0..12).map(|i| format!("(SELECT {columns}) s{i}")).collect();
    let names = |name: &str, n: usize| vec![name; n].join(",");
    for text in [
        format!("SELECT 1 FROM {} WHERE 1 IN ({})", from.join(","), names("zz", 100_000)),
        format!("SELECT 1 FROM {} WHERE 1 IN ({})", from.join(","), names("s3.zz", 50_000)),
        format!(
            "SELECT 1 FROM (SELECT {columns}) a JOIN (SELECT {columns}) b USING ({})",
            names("c7", 100_000)
        ),
    ] {
        assert!(of(&text).is_some(), "{}", &text[text.len() - 40..]);
    }
    let few = format!(
        "SELECT 1 FROM (SELECT {columns}) a JOIN (SELECT {columns}) b USING (c1, c2, c3) WHERE c4 = 1"
    );
    assert!(!matches!(of(&few), Some("54001")));
}
