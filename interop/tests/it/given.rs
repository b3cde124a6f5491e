//! What a driver is given stands in the record under its text, whatever format it came in: it is found by its value, and of what
//! nobody was given a no is proved. And what was prepared, answered and told is said as it was.

use crate::world::{POLICY, drivers, json, newest_run, own, own_site, run_of, upstream};
use interop::gateway::{Gateway, Site};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::{Finished, finish};
use serde_json::Value;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// What `exposed --value -` answers.
fn exposed(site: &Site, value: &str) -> Value {
    let said = site.ask(&["exposed", "--value", "-", "--json"], value).unwrap();
    serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("{}", said.all()))
}

fn python(gateway: &Gateway, agent: &str, script: &str) -> Finished {
    let words = [&drivers().python(), Path::new("-c"), Path::new(script)];
    let done = gateway.run_to_end(agent, &words, "").unwrap();
    assert!(done.status.success(), "{}", gateway.explain(&done));
    done
}

const PSYCOPG: &str = "import psycopg\n\
    with psycopg.connect(autocommit=True) as c:\n    \
    cursor = c.cursor(binary=True)\n    \
    print(cursor.execute('SELECT * FROM given_1').fetchall())\n";

const ASYNCPG: &str = "import asyncio, asyncpg, os\n\
    async def main():\n    \
    c = await asyncpg.connect(os.environ['DATABASE_URL'])\n    \
    print(await c.fetch('SELECT * FROM given_2'))\n    \
    await c.close()\n\
    asyncio.run(main())\n";

const COPY: &str = "import psycopg\n\
    with psycopg.connect(autocommit=True) as c:\n    \
    with c.cursor().copy('COPY given_3 TO STDOUT (FORMAT binary)') as copy:\n        \
    print(sum(len(data) for data in copy))\n";

const TEXT: &str = "import psycopg\n\
    with psycopg.connect(autocommit=True) as c:\n    \
    print(c.execute('SELECT * FROM given_4').fetchall())\n";

/// One row in each of four tables, all of whose values end in the table's number.
fn fill(database: &str) {
    upstream()
        .admin(database, "CREATE TYPE mood AS ENUM ('quebec-1', 'quebec-2', 'quebec-3', 'quebec-4')")
        .unwrap();
    upstream().admin(database, "CREATE DOMAIN birthday AS date").unwrap();
    for k in 1..=4 {
        let table = format!(
            "CREATE TABLE given_{k} (id int PRIMARY KEY, account bigint, n bigint, d date, amount numeric(20,4), u uuid, \
             at timestamptz, f float8, address inet, mac macaddr, span interval, raw bytea, list bigint[], \
             band int8range, feels mood, born birthday); \
             INSERT INTO given_{k} VALUES (1, 700000012{k}, 400000012{k}, '2001-02-0{k}', 123456.780{k}, \
             'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1{k}', '2001-02-03 04:05:06.12345{k}+00', 271828.12{k}, \
             '10.20.30.4{k}', '08:00:2b:01:02:0{k}', '{k} years 2 mons 3 days', 'secret-bytes-{k}', \
             '{{500000012{k}}}', '[600000012{k},6900000000)', 'quebec-{k}', '1961-03-0{k}'); \
             GRANT SELECT ON given_{k} TO crm_app"
        );
        upstream().admin(database, &table).unwrap();
    }
}

/// Of one table's row, all but what stands in the column that a rule governs.
fn values(k: usize) -> Vec<String> {
    [
        "400000012",
        "2001-02-0",
        "123456.780",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
        "2001-02-03 04:05:06.12345",
        "271828.12",
        "10.20.30.4",
        "08:00:2b:01:02:0",
        "secret-bytes-",
        "500000012",
        "600000012",
        "quebec-",
        "1961-03-0",
    ]
    .iter()
    .map(|value| match *value {
        at if at.starts_with("2001-02-03 ") => format!("{at}{k}+00"),
        value => format!("{value}{k}"),
    })
    .chain([format!("{k} year{} 2 mons 3 days", if k == 1 { "" } else { "s" })])
    .collect()
}

#[test]
fn a_value_is_found_in_whatever_format_it_was_given_and_of_another_a_no_is_proved() {
    let site = own_site("given", |plan| {
        plan.durability = "os".to_owned();
        let accounts = (1..=4)
            .map(|k| (format!("public.given_{k}.account"), "fin.account".to_owned(), "null".to_owned()));
        plan.masks.extend(accounts);
        plan.policy = format!(
            "{POLICY}\n@id(\"seer-sees\")\npermit (principal in Agent::\"seer\", action == Action::\"reveal\", \
             resource == Class::\"fin.account\");\n@id(\"raw-does\")\n\
             permit (principal in Agent::\"raw\", action == Action::\"opaque\", resource);"
        );
    });
    fill("given");
    let gateway = site.up().unwrap();
    let site = gateway.site();
    for (k, script) in [(1, PSYCOPG), (2, ASYNCPG), (3, COPY), (4, TEXT)] {
        let done = python(&gateway, "seer", script);
        for value in values(k) {
            let answer = exposed(site, &value);
            assert_eq!(answer["answer"], "maybe", "{k} {value}: {answer}\n{}", done.all());
        }
        let answer = exposed(site, &format!("700000012{k}"));
        assert_eq!(answer["answer"], "yes", "{k}: {answer}\n{}", done.all());
        let others = (0..12).map(|n| match n % 4 {
            0 => format!("40000009{n:02}"),
            1 => format!("2003-04-{n:02}"),
            2 => format!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380f{n:02}"),
            _ => format!("secret-bytes-{n}0"),
        });
        let answers: Vec<Value> = others.map(|other| exposed(site, &other)["answer"].clone()).collect();
        assert!(answers.iter().all(|answer| answer == "no"), "{k}: {answers:?}");
    }
    let bytes = exposed(site, r"\x7365637265742d62797465732d31");
    assert_eq!(bytes["answer"], "maybe", "{bytes}");
    // What is made in a query has a type that is not known before it comes: it needs the permission for what cannot be known.
    let made = COPY.replace("given_3", "(SELECT n + 1 AS more FROM given_3)");
    let driver = drivers().python();
    let words = [&driver, Path::new("-c"), Path::new(&made)];
    let refused = gateway.run_to_end("seer", &words, "").unwrap();
    assert!(!refused.status.success() && refused.err().contains("opaque"), "{}", refused.all());
    python(&gateway, "raw", &made);
    let answer = exposed(site, "4000000999");
    assert!(answer["answer"] == "not-found" || answer["answer"] == "maybe", "{answer}");
}

/// The row, the count and the columns are said with the statement that gave them, though it was prepared before, and its
/// transaction ended later.
#[test]
fn replay_shows_what_a_driver_was_given_with_what_it_ran() {
    let site = own_site("given_replay", |plan| plan.durability = "os".to_owned());
    fill("given_replay");
    let gateway = site.up().unwrap();
    let site = gateway.site();
    python(&gateway, "tester", ASYNCPG);
    let replay = json(site, &["replay", &run_of(site, "tester"), "--json"]);
    let given = |via: &str| -> Vec<&Value> {
        let steps = replay["steps"].as_array().unwrap().iter();
        let of_it = |step: &&Value| {
            step["action"]["via"] == via && step["action"]["statement"].to_string().contains("FROM given_2")
        };
        steps.filter(of_it).collect()
    };
    let [executed] = given("execute")[..] else { panic!("{replay}") };
    assert_eq!(executed["columns"][2], "n", "{executed}");
    let row = &executed["rows"][0];
    assert_eq!((&row[2], &row[3]), (&"4000000122".into(), &"2001-02-02".into()), "{executed}");
    assert_eq!(row[5], "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12", "{executed}");
    assert_eq!(executed["action"]["effect"], "committed");
    for prepared in given("describe").into_iter().chain(given("parse")) {
        assert_eq!(prepared["action"]["effect"], "prepared", "{prepared}");
        assert_eq!(prepared["rows"].as_array().unwrap().len(), 0, "{prepared}");
    }
    // One row was given in a transaction that was undone to a savepoint.
    python(
        &gateway,
        "tester",
        "import psycopg\nc = psycopg.connect(autocommit=True)\nfor s in ['BEGIN', 'SAVEPOINT a', \
         'SELECT n FROM given_1', 'ROLLBACK TO a', 'COMMIT']:\n    c.execute(s)",
    );
    let shown = json(site, &["replay", &newest_run(site), "--json"]);
    let step = shown["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["action"]["statement"].to_string().contains("given_1"));
    let step = step.unwrap_or_else(|| panic!("{shown}"));
    assert_eq!(
        (&step["action"]["result"]["rows"], &step["action"]["result"]["tag"]),
        (&1.into(), &"SELECT 1".into()),
        "{step}"
    );
    assert_eq!(step["action"]["effect"], "rolled-back", "{step}");
    assert_eq!(step["rows"].as_array().unwrap().len(), 1, "{step}");
}

#[test]
fn what_was_prepared_or_explained_and_never_ran_is_no_write() {
    let gateway = own("given_prepared", |plan| plan.durability = "os".to_owned());
    let site = gateway.site();
    python(
        &gateway,
        "tester",
        "import asyncio, asyncpg, os\n\
         async def main():\n    \
         c = await asyncpg.connect(os.environ['DATABASE_URL'])\n    \
         await c.prepare(\"DELETE FROM orders WHERE id = $1\")\n    \
         await c.execute(\"PREPARE undo AS UPDATE orders SET status = 'x'\")\n    \
         await c.execute(\"EXPLAIN DELETE FROM orders\")\n    \
         await c.close()\n\
         asyncio.run(main())\n",
    );
    let run = run_of(site, "tester");
    let touched = json(site, &["touched", &run, "--json"]);
    let lines = touched["touches"].as_array().unwrap();
    let writes = |table: &str| {
        let of_it = |line: &&Value| line["verb"] == "write" && line["on"].as_str().unwrap().ends_with(table);
        lines.iter().find(of_it).unwrap_or_else(|| panic!("{touched}")).clone()
    };
    let orders = writes("/orders");
    assert_eq!((&orders["committed"], &orders["prepared"]), (&0.into(), &orders["actions"]), "{orders}");
    let words = site.ask(&["find", "effect:committed", "verb:write", &format!("run:{run}")], "").unwrap();
    assert!(words.out().contains("Nothing found"), "{}", words.all());
    let show = site.ask(&["show", &run], "").unwrap();
    assert!(show.out().contains("prepared, by "), "{}", show.all());
    python(
        &gateway,
        "tester",
        "import psycopg\nc = psycopg.connect(autocommit=True)\nc.execute('EXPLAIN (ANALYZE) DELETE FROM pad')",
    );
    let touched = json(site, &["touched", &newest_run(site), "--json"]);
    let ran = touched["touches"].as_array().unwrap().iter().find(|line| line["verb"] == "write").unwrap();
    assert_eq!((&ran["committed"], &ran["prepared"]), (&1.into(), &0.into()), "{touched}");
}

const LISTENS: &str = "import psycopg\n\
    c = psycopg.connect(autocommit=True)\n\
    c.execute('LISTEN pads')\n\
    print([n.payload for n in c.notifies(timeout=30, stop_after=1)])\n\
    c.execute(\"NOTIFY pads, 'romeo sierra-y-7788'\")\n\
    print(c.execute('SELECT 7').fetchall())\n";

/// The application tells whoever listens a value that no detector knows, while nothing is asked and beside an answer.
#[test]
fn what_a_notification_says_is_on_the_record_and_a_rule_forbids_to_listen() {
    let gateway = own("given_told", |plan| {
        plan.durability = "os".to_owned();
        plan.policy = format!(
            "{POLICY}\n@id(\"listens\")\npermit (principal, action == Action::\"execute\", \
             resource in Resource::\"crm/given_told/channels\");\n@id(\"deaf\")\nforbid (principal in Agent::\"deaf\", \
             action == Action::\"execute\", resource in Resource::\"crm/given_told/channels/pads\");"
        );
    });
    let site = gateway.site();
    let mut listens = gateway.run("tester", &[&drivers().python(), Path::new("-c"), Path::new(LISTENS)]);
    let listening = thread::spawn(move || finish(&mut listens, b"", CLIENT_SECONDS_MAX));
    while !listening.is_finished() {
        upstream().admin("given_told", "SELECT pg_notify('pads', 'romeo sierra-x-7788')").unwrap();
        thread::sleep(Duration::from_millis(200));
    }
    let done = listening.join().unwrap().unwrap();
    assert!(
        done.status.success() && done.out().contains("romeo sierra-x-7788"),
        "{}",
        gateway.explain(&done)
    );
    for said in ["sierra-x-7788", "romeo sierra-x-7788", "sierra-y-7788"] {
        let answer = exposed(site, said);
        assert_eq!(answer["answer"], "maybe", "{said}: {answer}");
    }
    assert_eq!(exposed(site, "sierra-z-7788")["answer"], "no");
    let run = run_of(site, "tester");
    let all = json(site, &["exposed", &run, "--json"]);
    assert_eq!(all["answer"], "none-observed", "{all}");
    assert!(all["prevents"].to_string().contains("a notification's payload has no columns"), "{all}");
    let replay = site.ask(&["replay", &run], "").unwrap();
    assert!(replay.out().contains("NOTIFICATION on pads: romeo sierra-x-7788"), "{}", replay.all());
    let words = [&drivers().python(), Path::new("-c"), Path::new(LISTENS)];
    let done = gateway.run_to_end("deaf", &words, "").unwrap();
    assert!(!done.status.success() && done.all().contains("deaf"), "{}", done.all());
}
