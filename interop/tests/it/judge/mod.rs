//! The server as judge of what we say a statement does: over PostgreSQL's own regression scripts and the leak corpus.
//!
//! A statement that writes and is called a read, or a relation, column or function that is missed, is a failed test; so
//! is a governed column that a rewritten statement still names. What we refuse or call opaque is counted, and may not
//! become more than `shares.txt` says.

mod court;
mod engine;
mod facts;
mod script;
mod server;

use court::{Court, Record};
use facts::mix;
use interop::postgres::{Postgres, debian};
use interop::process::finish;
use script::{Ends, Item, cut, interpolate};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// Scripts whose objects others use: run once, by psql, into the database that all others are copies of.
const BASE: &[&str] = &[
    "test_setup",
    "create_function_c",
    "create_misc",
    "create_operator",
    "create_procedure",
    "create_table",
    "create_type",
    "create_schema",
    "create_index",
    "create_aggregate",
    "create_function_sql",
    "create_cast",
    "create_view",
];

/// Not judged, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("test_setup", "makes the database that the others are copies of"),
    ("psql", "tests psql"),
    ("psql_crosstab", "tests psql"),
    ("infinite_recurse", "kills its backend on some machines"),
    ("tablespace", "needs a directory of the server's"),
    ("largeobject", "needs files of the server's"),
    ("vacuum_parallel", "VACUUM alone"),
    ("maintain_every", "VACUUM alone"),
    ("euc_kr", "for another encoding"),
    ("stats", "waits for statistics to be sent"),
];

/// Of the scripts that are listed in `shares.txt`, in a run that is not of all.
const SLICE: usize = 6;
/// Statements of one script that are judged in such a run: the longest would take the time of all others.
const SLICE_STATEMENTS_MAX: usize = 120;

fn seed() -> u64 {
    std::env::var("INTEROP_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

fn all() -> bool {
    std::env::var_os("INTEROP_ALL").is_some()
}

/// `src/test/regress` of the server's version: `cargo xtask test` gets it and says where.
fn sources() -> PathBuf {
    let named = std::env::var_os("INTEROP_REGRESS");
    PathBuf::from(named.expect("INTEROP_REGRESS: PostgreSQL's src/test/regress; `cargo xtask test` sets it"))
}

#[test]
fn of_postgresqls_own_statements_nothing_is_missed() {
    let scripts = chosen();
    println!("seed {}: {}", seed(), scripts.join(" "));
    let server = Postgres::start_with(&debian().unwrap(), &["autovacuum=off"]).unwrap();
    make_base(&server);
    let queue = Mutex::new(scripts);
    let records: Mutex<BTreeMap<String, Record>> = Mutex::default();
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (queue, records, server) = (&queue, &records, &server);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                loop {
                    let Some(script) = queue.lock().unwrap().pop() else { break };
                    let record = runtime.block_on(judge(server, worker, &script));
                    println!("{script}: {} of {} refused", record.refused, record.known);
                    record.wrong.iter().for_each(|wrong| println!("WRONG {wrong}"));
                    record.broken.iter().for_each(|broken| println!("BROKEN {broken}"));
                    records.lock().unwrap().insert(script, record);
                }
            });
        }
    });
    report(&records.into_inner().unwrap());
}

#[test]
fn of_the_leak_corpus_nothing_is_missed() {
    let folder =
        PathBuf::from(std::env::var_os("LEAKCORPUS").expect("LEAKCORPUS: `cargo xtask test` sets it"));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let server = Postgres::start().unwrap();
    server.admin("postgres", "CREATE DATABASE leakcorpus").unwrap();
    server.admin("leakcorpus", &read("schema_pg.sql")).unwrap();
    let cases = read("attacks.jsonl") + &read("benign.jsonl");
    let lines = cases.lines().filter(|line| line.starts_with('{'));
    let cases: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let record = runtime.block_on(async {
        let mut court = Court::new(server.port, "leakcorpus", seed()).await;
        // What only a superuser may do reaches out of the database.
        let ours = |case: &&Value| case["protocol"] == "postgresql" && case["needs"].is_null();
        for case in cases.iter().filter(ours) {
            court.reconnect(None).await;
            court.place = case["id"].as_str().unwrap_or_default().to_owned();
            let steps = case["steps"].as_array().cloned().unwrap_or_default();
            for text in steps.iter().chain([case]).filter_map(|step| step["q"].as_str()) {
                drop(court.statement(text, None).await);
            }
        }
        std::mem::take(&mut court.record)
    });
    report(&BTreeMap::from([("leak corpus".to_owned(), record)]));
}

fn chosen() -> Vec<String> {
    let folder = std::fs::read_dir(sources().join("sql")).unwrap();
    let mut scripts: Vec<String> = folder
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".sql")?.to_owned()))
        .filter(|name| !WITHOUT.iter().any(|(without, _)| without == name))
        .collect();
    if let Ok(only) = std::env::var("JUDGE_ONLY") {
        return only.split_whitespace().map(str::to_owned).collect();
    }
    scripts.sort_by_key(|name| mix(seed(), name));
    if !all() {
        // Of those whose share is known.
        let listed = listed();
        scripts.retain(|name| listed.contains_key(name));
        scripts.truncate(SLICE);
    }
    scripts
}

fn make_base(server: &Postgres) {
    server.admin("postgres", "CREATE DATABASE base").unwrap();
    let stage = server.dir().join("regress");
    std::fs::create_dir(&stage).unwrap();
    let mut copy = std::process::Command::new("cp");
    copy.arg("-r").arg(sources().join("data")).arg(&stage);
    assert!(finish(&mut copy, b"", Duration::from_secs(60)).unwrap().status.success());
    for script in BASE {
        let mut psql = server.admin_psql("base");
        psql.args(["-q", "-v", "ON_ERROR_STOP=0", "-f"]).arg(sources().join(format!("sql/{script}.sql")));
        psql.env("PG_ABS_SRCDIR", &stage).env("PG_LIBDIR", "/nowhere").env("PG_DLSUFFIX", ".so");
        // Errors are what regression tests are full of.
        drop(finish(&mut psql, b"", Duration::from_secs(120)).unwrap());
    }
    assert_eq!(server.admin("base", "SELECT count(*) FROM tenk1").unwrap(), "10000");
}

async fn judge(server: &Postgres, worker: usize, name: &str) -> Record {
    let database = format!("judge_{worker}_{name}");
    server.admin("postgres", &format!("CREATE DATABASE \"{database}\" TEMPLATE base")).unwrap();
    let text = std::fs::read(sources().join(format!("sql/{name}.sql"))).unwrap();
    // Some have bytes that are wrong on purpose, in data.
    let text = String::from_utf8_lossy(&text);
    let mut court = Court::new(server.port, &database, seed()).await;
    court.place = name.to_owned();
    play(&mut court, &text, &server.dir().join("regress")).await;
    if court.is_lost() {
        court.record.wrong.push(format!("{name}: the connection was lost, and the rest not judged"));
    }
    std::mem::take(&mut court.record)
}

/// Plays a script as psql would.
async fn play(court: &mut Court, script: &str, stage: &Path) {
    let mut variables = HashMap::from([
        ("abs_srcdir".to_owned(), stage.display().to_string()),
        ("abs_builddir".to_owned(), stage.display().to_string()),
    ]);
    let mut items = VecDeque::from(cut(script));
    let mut left = if all() { usize::MAX } else { SLICE_STATEMENTS_MAX };
    while let Some(item) = items.pop_front().filter(|_| left > 0) {
        left -= 1;
        match item {
            Item::Data(_) => {}
            Item::Meta(line) => meta(court, &line, &mut variables).await,
            Item::Statement { text, ends } => {
                let text = interpolate(&text, &variables);
                let data = match items.front() {
                    Some(Item::Data(data)) => Some(data.clone()),
                    _ => None,
                };
                let data = data.as_deref();
                // Several COPYs in one message are beyond tokio-postgres.
                if ends == Ends::Several && text.to_lowercase().contains("copy ") {
                    continue;
                }
                let done = match ends {
                    Ends::Several => {
                        court.stale = true;
                        court.run(&text, None).await
                    }
                    _ => court.statement(&text, data).await,
                };
                if let Some(data) = data.filter(|_| done.is_err() && !court.took_data) {
                    // A COPY that fails before it begins has no data: what follows is statements.
                    let statements = cut(data);
                    items.pop_front();
                    statements.into_iter().rev().for_each(|item| items.push_front(item));
                }
                let Ok(rows) = done else { continue };
                match ends {
                    Ends::Gexec => {
                        for text in rows.into_iter().flatten().flatten() {
                            drop(court.statement(&text, None).await);
                        }
                    }
                    // The scripts name one column, last: `... AS name \gset`.
                    Ends::Gset => {
                        let name = text.split_whitespace().last().unwrap_or_default().to_owned();
                        if let Some(Some(value)) = rows.into_iter().flatten().next() {
                            variables.insert(name, value);
                        }
                    }
                    Ends::Plain | Ends::Several => {}
                }
            }
        }
    }
}

async fn meta(court: &mut Court, line: &str, variables: &mut HashMap<String, String>) {
    let mut words = line.split_whitespace();
    match words.next() {
        Some("c" | "connect") => {
            court.reconnect(None).await;
            if let Some(user) = words.nth(1) {
                drop(court.run(&format!("SET SESSION AUTHORIZATION {user}"), None).await);
            }
        }
        Some("set") => {
            let Some(name) = words.next() else { return };
            let value: String = words.map(|w| interpolate(w, variables).replace('\'', "")).collect();
            variables.insert(name.to_owned(), value);
        }
        _ => {}
    }
}

/// `shares.txt`: how many statements of a script may be refused or opaque.
fn listed() -> HashMap<String, usize> {
    let text =
        std::fs::read_to_string(interop::programs::source("interop/tests/it/judge/shares.txt")).unwrap();
    let share = |line: &str| {
        let (name, share) = line.split_once(": ")?;
        Some((name.to_owned(), share.split(' ').next()?.parse().ok()?))
    };
    let listed: HashMap<String, usize> = text.lines().filter_map(share).collect();
    assert!(listed.len() > 20, "shares.txt cannot be read");
    listed
}

/// Scripts of which we refuse more than is listed. Of those that are not listed it may be half.
fn over_their_share(records: &BTreeMap<String, Record>) -> Vec<String> {
    let listed = listed();
    let over = |(name, record): (&String, &Record)| {
        let most = listed.get(name).copied().unwrap_or(record.known / 2);
        (record.refused > most + 2).then(|| format!("{name}: {} of {}", record.refused, record.known))
    };
    records.iter().filter_map(over).collect()
}

/// Prints the shares and fails on what is wrong.
fn report(records: &BTreeMap<String, Record>) {
    let mut sum = Record::default();
    for record in records.values() {
        sum.good += record.good;
        sum.known += record.known;
        sum.refused += record.refused;
        sum.depended += record.depended;
        sum.explained += record.explained;
        sum.ran += record.ran;
        sum.refreshed += record.refreshed;
        sum.refreshing += record.refreshing;
        sum.masked += record.masked;
        for (why, n) in &record.mask_refused {
            *sum.mask_refused.entry(why.clone()).or_default() += n;
        }
        sum.broken.extend(record.broken.iter().cloned());
        sum.wrong.extend(record.wrong.iter().cloned());
    }
    println!(
        "{} statements ran; {} read or change rows, {} of them refused or opaque ({:.1} %)\njudged by what they depend \
         on: {}, by their plans: {}, by what they did: {}\nwith governed columns: {} rewritten and accepted, {} broken, \
         {} refused\nthe catalog was read {} times in {:.1} s",
        sum.good,
        sum.known,
        sum.refused,
        100.0 * sum.refused as f64 / sum.known.max(1) as f64,
        sum.depended,
        sum.explained,
        sum.ran,
        sum.masked,
        sum.broken.len(),
        sum.mask_refused.values().sum::<usize>(),
        sum.refreshed,
        sum.refreshing.as_secs_f64()
    );
    for (why, n) in &sum.mask_refused {
        println!("{n:6} {why}");
    }
    let over = over_their_share(records);
    assert!(over.is_empty(), "more is refused or opaque than `shares.txt` says:\n{}", over.join("\n"));
    assert!(sum.depended > 0 && sum.ran > 0 && sum.masked > 0, "nothing was judged");
    assert!(sum.broken.is_empty(), "the server takes what we rewrite no more:\n{}", sum.broken.join("\n"));
    assert!(sum.wrong.is_empty(), "{} wrong:\n{}", sum.wrong.len(), sum.wrong.join("\n"));
}
