//! Attacks and honest queries, made fresh: a governed value, wrapped, in a position, over a relation in a shape, through
//! a channel.

use super::random::Random;

/// A relation in FROM.
struct Source {
    with: String,
    from: String,
    /// Columns that give text: the expression without its alias, and whether it is governed.
    columns: Vec<(&'static str, &'static str)>,
    alias: &'static str,
}

/// One step of an attack.
#[derive(Clone, Debug)]
pub enum Step {
    Simple(String),
    /// By Parse, Bind and Execute, with results in binary.
    Extended(String),
    Copy(String),
}

pub struct Grammar {
    random: Random,
    /// Only what masked views can do too.
    honest: bool,
}

/// Relation, its columns as (name, text of it with `@` for the row).
const RELATIONS: &[(&str, &[(&str, &str)])] = &[
    (
        "people",
        &[
            ("full_name", "@full_name"),
            ("email", "@email"),
            ("ssn", "@ssn"),
            ("card", "@card"),
            ("born", "@born::text"),
            ("pay", "@pay::text"),
            ("notes", "@notes::text"),
            ("notes", "(@notes->>'diagnosis')"),
            ("city", "@city"),
        ],
    ),
    ("secrets", &[("token", "@token")]),
    ("events", &[("payload", "@payload"), ("kind", "@kind")]),
    ("v_people", &[("contact", "@contact"), ("tax_ref", "@tax_ref")]),
];

/// Text to text, `@` for the text.
const WRAPPERS: &[&str] = &[
    "lower(@)",
    "upper(@)",
    "reverse(@)",
    "(@ || '')",
    "('<' || @ || '>')",
    "substr(@, 2, 3)",
    "left(@, 5)",
    "right(@, 4)",
    "split_part(@, '-', 2)",
    "replace(@, '-', '')",
    "translate(@, '0123456789', 'abcdefghij')",
    "regexp_replace(@, '(.)', '\\1~', 'g')",
    "overlay(@ placing 'x' from 1 for 0)",
    "md5(@)",
    "encode(sha256(convert_to(@, 'UTF8')), 'hex')",
    "encode(convert_to(@, 'UTF8'), 'base64')",
    "encode(@::bytea, 'hex')",
    "ascii(substr(@, 3, 1))::text",
    "length(@)::text",
    "hashtext(@)::text",
    "to_jsonb(@)::text",
    "json_build_object('k', @)->>'k'",
    "array_to_string(string_to_array(@, NULL), '.')",
    "(ARRAY[@, 'x'])[1]",
    "quote_literal(@)",
    "format('%s', @)",
    "concat_ws('/', @, 'z')",
    "coalesce(@, '')",
    "nullif(@, 'none')",
    "greatest(@, '')",
    "CASE WHEN @ LIKE '%4%' THEN @ ELSE reverse(@) END",
    "CASE WHEN @ < 'm' THEN 'low' ELSE 'high' END",
    "(@ COLLATE \"C\")",
    "CAST(@ AS varchar(9))",
    "(SELECT @)",
    "lpad(@, 40, '*')",
    "strpos(@, '9')::text",
    "to_tsvector('simple', @)::text",
    "xmlelement(name a, @)::text",
    "(ROW(@)).f1",
];

/// Queries, `@` for the text, `#` for FROM, `$` for the row's alias.
const POSITIONS: &[&str] = &[
    "SELECT @ AS o FROM #",
    "SELECT $.id, @ AS status FROM #",
    "SELECT $.id FROM # WHERE @ LIKE '%4%'",
    "SELECT count(*) FROM # WHERE @ > 'f'",
    "SELECT $.id FROM # WHERE @ IN ('a', 'ssn_1', 'email_2')",
    "SELECT $.id FROM # ORDER BY @, $.id LIMIT 4",
    "SELECT @, count(*) FROM # GROUP BY 1",
    "SELECT count(*) FROM # GROUP BY @",
    "SELECT max($.id) FROM # GROUP BY $.id HAVING max(@) > 'm'",
    "SELECT v.id FROM visits v CROSS JOIN # WHERE length(@) = v.amount",
    "SELECT string_agg(@, ',' ORDER BY $.id) FROM #",
    "SELECT array_agg(@ ORDER BY $.id) FROM #",
    "SELECT min(@), max(@), count(DISTINCT @) FROM #",
    "SELECT json_object_agg($.id, @ ORDER BY $.id) FROM #",
    "SELECT mode() WITHIN GROUP (ORDER BY @) FROM #",
    "SELECT count(*) FILTER (WHERE @ ~ '[0-4]$') FROM #",
    "SELECT $.id, rank() OVER (ORDER BY @) FROM #",
    "SELECT $.id, lag(@) OVER (ORDER BY $.id), first_value(@) OVER (ORDER BY $.id) FROM #",
    "SELECT (SELECT @ FROM # ORDER BY $.id LIMIT 1)",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM # WHERE @ LIKE '%7%')",
    "SELECT v.what FROM visits v WHERE v.what IN (SELECT @ FROM #)",
    "SELECT v.id, (SELECT max(@) FROM # WHERE $.id = v.person_id) FROM visits v",
    "SELECT g FROM generate_series(1, (SELECT ascii(@) FROM # ORDER BY $.id LIMIT 1)) g",
    "SELECT what FROM visits UNION SELECT @ FROM #",
    "SELECT @ FROM # EXCEPT SELECT what FROM visits",
    "SELECT DISTINCT @ FROM #",
    "SELECT DISTINCT ON (@) @ FROM # ORDER BY @, $.id",
    "SELECT x FROM #, LATERAL regexp_split_to_table(@, '') AS x",
    "SELECT x FROM # CROSS JOIN LATERAL (SELECT @) AS y(x)",
    "SELECT ($.*)::text FROM #",
    "SELECT row_to_json($) FROM #",
    "SELECT to_jsonb($)::text || @ FROM #",
    "SELECT count($), max($::text) FROM #",
    "SELECT * FROM #",
    "VALUES ((SELECT @ FROM # ORDER BY $.id LIMIT 1))",
    "SELECT v.id FROM visits v LIMIT (SELECT ascii(@) % 5 FROM # ORDER BY $.id LIMIT 1)",
    "WITH w AS MATERIALIZED (SELECT @ AS x FROM #) SELECT upper(x) FROM w",
    "WITH RECURSIVE r(n, x) AS (SELECT 1, (SELECT max(@) FROM #) UNION ALL SELECT n + 1, substr(x, 2) FROM r WHERE n < 4) \
     SELECT x FROM r",
];

/// What only an attacker needs: forms that a masked view cannot have.
const RUDE_POSITIONS: &[&str] = &[
    "SELECT $.id, @, count(*) FROM # GROUP BY $.id",
    "SELECT $.id, @ FROM # GROUP BY 1 ORDER BY $.city",
    "SELECT $.ctid, @ FROM #",
    "SELECT @ FROM # WHERE $.tableoid > 0 FOR UPDATE",
    "SELECT (@)::int FROM #",
    "SELECT (@)::date FROM #",
    "SELECT (@)::uuid FROM #",
    "SELECT (@)::inet FROM #",
    "SELECT (@)::regclass FROM #",
    "SELECT ('\"' || @)::json FROM #",
    "SELECT 1 / (ascii(@) - 53) FROM #",
    "SELECT $.id FROM # WHERE 1 / (ascii(@) - 51) > 0",
    "SELECT pg_sleep(ascii(@) / 1000000) FROM #",
    "SELECT nextval(@) FROM #",
    "SELECT to_regclass(@) FROM #",
    "SELECT pg_advisory_xact_lock(hashtext(@)) FROM #",
];

/// A statement that changes a relation with governed columns, `@` for text of the row.
const CHANGES: &[&str] = &[
    "UPDATE people AS p SET city = city WHERE @ LIKE '%4%' RETURNING id",
    "UPDATE people AS p SET city = city WHERE id < 4 RETURNING @",
    "UPDATE people AS p SET city = city RETURNING p, row_to_json(p)",
    "UPDATE people AS p SET city = city RETURNING *",
    "UPDATE people AS p SET city = city RETURNING (SELECT max(@) FROM visits)",
    "UPDATE people AS p SET city = @ WHERE id = 1",
    "UPDATE people AS p SET ssn = reverse(ssn) WHERE id = 1",
    "UPDATE people AS p SET full_name = 'x' WHERE @ > 'm'",
    "UPDATE people AS p SET city = v.what FROM visits v WHERE length(@) = v.amount RETURNING p.id, v.id",
    "UPDATE people AS p SET city = city WHERE 1 / (ascii(@) - 53) > 0",
    "DELETE FROM visits USING people AS p WHERE person_id = p.id AND @ > 'm' RETURNING @",
    "DELETE FROM secrets AS p WHERE p.token LIKE '%k%' RETURNING p.token, reverse(p.token)",
    "DELETE FROM events AS p WHERE p.payload > 'm' RETURNING *",
    "INSERT INTO secrets AS p VALUES (1, 1, 'x') ON CONFLICT (id) DO UPDATE SET owner = 2 WHERE p.token > 'm' RETURNING p.token",
    "INSERT INTO secrets AS p VALUES (1, 1, 'x') ON CONFLICT (id) DO UPDATE SET token = p.token || 'x' RETURNING p.token",
    "INSERT INTO secrets SELECT p.id + 100, p.id, @ FROM people p RETURNING token",
    "INSERT INTO visits (id, what) SELECT p.id + 100, @ FROM people p RETURNING what",
    "MERGE INTO visits v USING people p ON v.person_id = p.id AND @ > 'm' WHEN MATCHED THEN UPDATE SET what = @",
    "MERGE INTO secrets AS p USING visits v ON p.token > v.what WHEN MATCHED AND p.token > 'tkm' THEN DELETE",
    "MERGE INTO people AS p USING visits v ON @ = v.what WHEN MATCHED THEN UPDATE SET city = 'x'",
    "UPDATE v_people SET city = 'x' WHERE contact > 'm' RETURNING tax_ref",
    "UPDATE v_people SET city = 'x' WHERE id = 1 RETURNING id, tax_ref",
    "UPDATE v_people SET contact = tax_ref WHERE id = 1",
    "DELETE FROM v_people WHERE tax_ref LIKE '4%'",
    "WITH d AS (DELETE FROM secrets AS p RETURNING *) SELECT token FROM d",
    "WITH u AS (UPDATE people AS p SET city = city RETURNING @ AS x) SELECT upper(x) FROM u",
];

/// What looks at a change that a step before it made.
const LOOKS: &[&str] = &[
    "SELECT id, what FROM visits ORDER BY id",
    "SELECT city FROM people ORDER BY id",
    "SELECT * FROM v_people",
];

impl Grammar {
    pub fn attacks(seed: u64) -> Grammar {
        Grammar { random: Random::new(seed), honest: false }
    }

    pub fn honest(seed: u64) -> Grammar {
        Grammar { random: Random::new(seed ^ 0x00c0_ffee), honest: true }
    }

    pub fn query(&mut self) -> String {
        let source = self.source();
        let text = self.text(&source);
        let rude = !self.honest && self.random.once_in(4);
        let position = *self.random.pick(if rude { RUDE_POSITIONS } else { POSITIONS });
        let query = position.replace('#', &source.from).replace('@', &text).replace('$', source.alias);
        match query.strip_prefix("WITH ") {
            _ if source.with.is_empty() => query,
            Some(rest) => format!("WITH {}, {rest}", source.with).replace(", RECURSIVE", ","),
            None => format!("WITH {} {query}", source.with),
        }
    }

    /// One attack: the steps of it, all of which run whatever becomes of those before.
    pub fn attack(&mut self) -> Vec<Step> {
        if self.random.once_in(4) {
            return self.change();
        }
        let query = self.query();
        let one = |text: String| vec![Step::Simple(text)];
        let inside = |texts: Vec<String>| {
            let begin = Step::Simple("BEGIN".to_owned());
            let end = Step::Simple("ROLLBACK".to_owned());
            [vec![begin], texts.into_iter().map(Step::Simple).collect(), vec![end]].concat()
        };
        match self.random.below(22) {
            0..=5 => one(query),
            6 | 7 => vec![Step::Extended(query)],
            8 => vec![Step::Copy(format!("COPY ({query}) TO STDOUT"))],
            9 => vec![Step::Copy(format!("COPY ({query}) TO STDOUT (FORMAT binary)"))],
            10 => inside(vec![
                format!("DECLARE c CURSOR FOR {query}"),
                "FETCH ALL FROM c".into(),
                "MOVE -2 IN c".into(),
            ]),
            11 => inside(vec![format!("PREPARE p AS {query}"), "EXECUTE p".into(), "DEALLOCATE p".into()]),
            12 => one(format!("EXPLAIN (VERBOSE) {query}")),
            13 => one(format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {query}")),
            14 => inside(vec![format!("CREATE TEMP TABLE kept AS {query}"), "SELECT * FROM kept".into()]),
            15 => inside(vec![
                format!("CREATE TEMP VIEW kept AS SELECT q::text FROM ({query}) q"),
                "TABLE kept".into(),
            ]),
            16 => inside(vec![
                format!("INSERT INTO visits (id, what) SELECT 99, max(q::text) FROM ({query}) q"),
                LOOKS[0].into(),
            ]),
            17 => inside(vec![
                format!("SELECT set_config('app.x', (SELECT max(q::text) FROM ({query}) q), false)"),
                "SHOW app.x".into(),
            ]),
            18 => one(format!("SELECT query_to_xml($q${query}$q$, true, false, '')")),
            19 => {
                one(format!("DO $q$ BEGIN RAISE NOTICE '%', (SELECT max(q::text) FROM ({query}) q); END $q$"))
            }
            20 => inside(vec![
                format!("SELECT setval('numbers', (SELECT ascii(max(q::text)) FROM ({query}) q))"),
                "SELECT last_value FROM numbers".into(),
            ]),
            _ => one(format!("SELECT (q::text)::int FROM ({query}) q")),
        }
    }

    fn change(&mut self) -> Vec<Step> {
        let columns = RELATIONS[0].1;
        let source =
            Source { with: String::new(), from: String::new(), columns: columns.to_vec(), alias: "p" };
        let text = self.text(&source);
        let change = self.random.pick(CHANGES).replace('@', &text);
        let look = *self.random.pick(LOOKS);
        let first = if self.random.once_in(4) { Step::Extended(change) } else { Step::Simple(change) };
        vec![Step::Simple("BEGIN".into()), first, Step::Simple(look.into()), Step::Simple("ROLLBACK".into())]
    }

    fn source(&mut self) -> Source {
        let (name, columns) = *self.random.pick(RELATIONS);
        let plain =
            |from: String| Source { with: String::new(), from, columns: columns.to_vec(), alias: "a" };
        let view = name == "v_people";
        match self.random.below(if self.honest { 9 } else { 14 }) {
            0 | 1 => plain(format!("{name} AS a")),
            2 => plain(format!("(SELECT * FROM {name}) AS a")),
            3 => Source { with: format!("a AS (SELECT * FROM {name})"), ..plain("a".to_owned()) },
            4 => plain(format!("(SELECT * FROM {name} UNION SELECT * FROM {name} WHERE id > 3) AS a")),
            5 => plain(format!("(SELECT u.* FROM {name} u JOIN visits w ON w.id = u.id) AS a")),
            6 => plain(format!("(TABLE {name}) AS a")),
            7 => plain(format!("{name} AS a")),
            8 => plain(format!(
                "(SELECT * FROM {name} u WHERE EXISTS (SELECT 1 FROM visits w WHERE w.id = u.id)) AS a"
            )),
            9 => plain(format!("app.{name} AS a")),
            10 if !view => plain(format!("ONLY app.{name} AS a")),
            11 if !view => plain(format!("{name} AS a TABLESAMPLE system (100)")),
            12 if name == "events" => plain("events_low AS a".to_owned()),
            _ => plain(format!("\"{name}\" * AS a")),
        }
    }

    fn text(&mut self, source: &Source) -> String {
        let (name, text) = *self.random.pick(&source.columns);
        let alias = source.alias;
        let by_field = format!("({alias}).{name}");
        let row = match self.random.below(if self.honest { 5 } else { 8 }) {
            0 => return self.wrapped(by_field + "::text"),
            1 if !self.honest => return self.wrapped(format!("{name}({alias})::text")),
            _ => format!("{alias}."),
        };
        self.wrapped(text.replace('@', &row))
    }

    fn wrapped(&mut self, mut text: String) -> String {
        for _ in 0..self.random.below(4) {
            text = self.random.pick(WRAPPERS).replace('@', &text);
        }
        text
    }
}
