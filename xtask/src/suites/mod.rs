//! Test suites that others wrote for their drivers, run twice: straight to a fresh server, and through the
//! gateway (with a policy that permits everything, and nothing governed). What passes directly has to
//! pass through it; `interop/suites/skips.txt` lists the exceptions with their reasons.
//!
//! A loss is a test that passes directly and fails through the gateway, twice each: other people's tests wait for
//! other people's timeouts, and a machine under load is slow. With `--all` each suite runs whole, and an exception whose
//! test passes is an error too; without it, a slice is chosen by the seed.

mod go;
mod python;
mod skips;

use crate::home::Home;
use crate::step::{Ending, Stop};
use interop::gateway::{Plan, Site};
use interop::postgres::{Postgres, SUPER_PASSWORD, debian};
use interop::process::tail;
use skips::Skips;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One suite, one way. The longest whole one takes 3 minutes directly on a busy machine.
const SUITE_SECONDS_MAX: Duration = Duration::from_secs(1200);
/// A slice of one, one way: some 20 seconds directly, and a busy machine may take ten times that.
const SLICE_SECONDS_MAX: Duration = Duration::from_secs(300);
/// Losses that are looked at again one by one. More are no accident of timing.
const RETRIES_MAX: usize = 60;

/// What a kind of suites knows how to do.
trait Suite {
    fn name(&self) -> &'static str;

    /// Gets sources and packages, if they are not there yet.
    fn prepare(&mut self, home: &Home) -> Result<(), Stop>;

    /// What slices are cut from: files, classes or tests, in a fixed order. Without `all`, those that take minutes are
    /// left out.
    fn units(&self, all: bool) -> Result<Vec<String>, Stop>;

    /// How many units make a slice.
    fn slice(&self) -> usize;

    /// Runs these units.
    fn run(&self, way: &Way, units: &[String], limit: Duration) -> Result<Report, Stop>;

    /// Runs the units that these tests are in; the report may have others too.
    fn again(&self, way: &Way, tests: &BTreeSet<String>, limit: Duration) -> Result<Report, Stop>;
}

/// Test -> whether it passed; what was skipped is not there.
type Outcomes = BTreeMap<String, bool>;

/// What a run of a suite has shown.
#[derive(Default)]
struct Report {
    outcomes: Outcomes,
    /// What it printed, for people.
    said: String,
}

impl Report {
    /// A test that passes and whose teardown errs has failed.
    fn put(&mut self, test: String, passed: bool) {
        self.outcomes.entry(test).and_modify(|so_far| *so_far &= passed).or_insert(passed);
    }
}

/// Where a suite connects.
struct Way {
    port: u16,
    user: String,
    password: String,
}

/// One suite: a step of its own.
pub fn check(home: &Home, name: &str, all: bool, seed: u64) -> Ending {
    let Some(mut suite) = suite(name) else { return Ending::Failed(0, 1) };
    if let Err(why) = suite.prepare(home) {
        let (Stop::Could(why) | Stop::Usage(why)) = why else { return Ending::Failed(0, 1) };
        return match all {
            true => failed(&why),
            // Without the network its source cannot be had: that is said, and no failure of ours.
            false => Ending::Skipped(why.lines().next().unwrap_or("it could not be prepared").to_owned()),
        };
    }
    match compare_both(home, suite.as_ref(), all, seed) {
        Ok(ending) => ending,
        Err(Stop::Could(why) | Stop::Usage(why)) => failed(&why),
        Err(Stop::Failed) => Ending::Failed(0, 1),
    }
}

fn suite(name: &str) -> Option<Box<dyn Suite>> {
    match python::suite(name) {
        Some(suite) => Some(Box::new(suite)),
        None => go::suite(name).map(|suite| Box::new(suite) as Box<dyn Suite>),
    }
}

fn failed(why: &str) -> Ending {
    println!("{why}");
    Ending::Failed(0, 1)
}

fn compare_both(home: &Home, suite: &dyn Suite, all: bool, seed: u64) -> Result<Ending, Stop> {
    let skips = Skips::read(home, suite.name())?;
    let units = suite.units(all)?;
    let (chosen, limit) = match all {
        true => (units, SUITE_SECONDS_MAX),
        false => (slice(&units, suite.slice(), seed), SLICE_SECONDS_MAX),
    };
    println!("{} units: {}", chosen.len(), chosen.join(" "));
    let directly = directly(|way| suite.run(way, &chosen, limit))?;
    if !directly.outcomes.values().any(|passed| *passed) {
        println!("{}", tail(&directly.said));
        return Ok(failed("no test passed even directly"));
    }
    let through = through(home, |way| suite.run(way, &chosen, limit))?;
    let first = compare(&directly.outcomes, &through.outcomes, |test| skips.covers(test));
    let mut bad = first.lost.clone();
    if !first.lost.is_empty() && first.lost.len() <= RETRIES_MAX {
        bad = lost_again(home, suite, &first.lost, limit)?;
    }
    println!(
        "{} tests pass both ways, {} need not, {} fail directly, {} lost",
        first.same + (first.lost.len() - bad.len()) as u64,
        first.skipped,
        directly.outcomes.values().filter(|passed| !**passed).count(),
        bad.len()
    );
    for test in &bad {
        println!("  lost: {test}");
    }
    // Not a failure by itself: what fails directly may fail by chance. To be looked at, since an error may be hidden.
    for test in &first.gained {
        println!("  passes through the gateway alone: {test}");
    }
    let mut stale = Vec::new();
    if all {
        stale = skips.stale(&directly.outcomes, &through.outcomes);
        for entry in &stale {
            println!(
                "  skips.txt: `{entry}` is needless: such a test passes through the gateway, or there is none"
            );
        }
    }
    let failed = (bad.len() + stale.len()) as u64;
    let passed = first.same + (first.lost.len() - bad.len()) as u64;
    Ok(if failed == 0 { Ending::Passed(passed) } else { Ending::Failed(passed, failed) })
}

/// Those of `tests` that pass directly and fail through the gateway once more.
fn lost_again(
    home: &Home,
    suite: &dyn Suite,
    tests: &BTreeSet<String>,
    limit: Duration,
) -> Result<BTreeSet<String>, Stop> {
    let direct = directly(|way| suite.again(way, tests, limit))?;
    let second = through(home, |way| suite.again(way, tests, limit))?;
    let word = |outcome: Option<&bool>| match outcome {
        Some(true) => "passes",
        Some(false) => "fails",
        None => "does not end",
    };
    let mut lost = BTreeSet::new();
    for test in tests {
        let (d, t) = (direct.outcomes.get(test), second.outcomes.get(test));
        println!("  again: {test} {} directly and {} through the gateway", word(d), word(t));
        if d == Some(&true) && t != Some(&true) {
            lost.insert(test.clone());
        }
    }
    if !lost.is_empty() {
        println!("--- through the gateway\n{}", tail(&second.said));
    }
    Ok(lost)
}

fn directly(work: impl FnOnce(&Way) -> Result<Report, Stop>) -> Result<Report, Stop> {
    let server = server()?;
    work(&Way { port: server.port, user: "postgres".to_owned(), password: SUPER_PASSWORD.to_owned() })
}

fn through(home: &Home, work: impl FnOnce(&Way) -> Result<Report, Stop>) -> Result<Report, Stop> {
    let server = server()?;
    let gateway = Site::new_with(&plan(), &server, &home.programs().join("tacho"))?.up()?;
    let lease = gateway.lease("suite")?;
    let (user, password) = (lease.user().to_owned(), lease.password().to_owned());
    let report = work(&Way { port: gateway.site().port, user, password });
    if gateway.log().contains("panicked") {
        println!("--- gateway\n{}", tail(&gateway.log()));
        return Err(Stop::Could("the gateway panicked".to_owned()));
    }
    report
}

/// A server as the suites want one. Each gets its own: they leave things behind.
fn server() -> Result<Postgres, Stop> {
    let server = Postgres::start_with(&debian()?, &[])?;
    let sql = "CREATE SCHEMA test_schema; CREATE SCHEMA test_schema_2; CREATE EXTENSION hstore; CREATE EXTENSION citext;";
    server.admin("postgres", sql)?;
    Ok(server)
}

fn plan() -> Plan {
    Plan {
        database: "postgres".to_owned(),
        role: "postgres".to_owned(),
        password: SUPER_PASSWORD.to_owned(),
        policy: "permit (principal, action, resource);\n".to_owned(),
        masks: Vec::new(),
        durability: "os".to_owned(),
        gateway_lines: String::new(),
        resource_lines: String::new(),
        tables: String::new(),
    }
}

/// `count` of the units, chosen by the seed.
fn slice(units: &[String], count: usize, seed: u64) -> Vec<String> {
    let mut rest = units.to_vec();
    let mut chosen = Vec::new();
    let mut state = seed;
    while chosen.len() < count && !rest.is_empty() {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        chosen.push(rest.swap_remove((state >> 33) as usize % rest.len()));
    }
    chosen.sort();
    chosen
}

#[derive(Default, Debug, PartialEq, Eq)]
struct Compared {
    same: u64,
    skipped: u64,
    /// Pass directly, and not through the gateway.
    lost: BTreeSet<String>,
    /// Pass through the gateway, and fail directly.
    gained: BTreeSet<String>,
}

fn compare(directly: &Outcomes, through: &Outcomes, excused: impl Fn(&str) -> bool) -> Compared {
    let mut compared = Compared::default();
    for test in directly.iter().filter(|(_, passed)| **passed).map(|(test, _)| test) {
        match (through.get(test), excused(test)) {
            (Some(true), _) => compared.same += 1,
            (_, true) => compared.skipped += 1,
            _ => drop(compared.lost.insert(test.clone())),
        }
    }
    let gained = directly.iter().filter(|(test, passed)| !**passed && through.get(*test) == Some(&true));
    compared.gained = gained.map(|(test, _)| test.clone()).collect();
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_directly_and_not_through_is_lost() {
        let directly: Outcomes = [("a", true), ("b", true), ("c", false), ("d", true), ("e", true)]
            .map(|(t, p)| (t.to_owned(), p))
            .into();
        let through: Outcomes =
            [("a", true), ("b", false), ("c", true), ("e", false)].map(|(t, p)| (t.to_owned(), p)).into();
        let compared = compare(&directly, &through, |test| test == "e");
        assert_eq!((compared.same, compared.skipped), (1, 1));
        assert_eq!(compared.lost.into_iter().collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(compared.gained.into_iter().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn one_seed_chooses_one_slice() {
        let units: Vec<String> = (0..20).map(|n| format!("{n:02}")).collect();
        assert_eq!(slice(&units, 4, 7), slice(&units, 4, 7));
        assert_ne!(slice(&units, 4, 7), slice(&units, 4, 8));
        assert_eq!(slice(&units, 100, 7), units);
    }

    #[test]
    fn every_name_is_a_suite() {
        for name in ["asyncpg", "pg8000", "sqlalchemy", "pgx", "pgxpool", "lib/pq"] {
            assert_eq!(suite(name).map(|suite| suite.name()), Some(name));
        }
    }
}
