//! Figures side by side. Absolute numbers of a shared machine mean little: every figure is a ratio between things that
//! ran in turns, in one run, or CPU time of one process.
//!
//! Reading order: [`table`] (a figure and its target) -> [`ledger`] (appends, verification) -> [`ways`] (PostgreSQL and
//! each way to it) -> [`traffic`] (pgbench) -> [`bulk`] (streams, memory, start-up) -> [`http`] (a service, and each way to
//! it) -> [`ssh`] (a host, and each way to it) -> [`kubernetes`] (an API server, and each way to it).

mod bulk;
mod http;
mod kubernetes;
mod ledger;
mod ssh;
mod table;
mod traffic;
mod ways;

use crate::home::{Home, given_programs};
use crate::setup::{self, Wanted};
use crate::step::{Stop, follow};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use table::Table;

const BUILD_SECONDS_MAX: Duration = Duration::from_secs(3600);
/// One program that takes figures.
const BENCH_SECONDS_MAX: Duration = Duration::from_secs(300);

/// How much is measured, and where the programs are.
struct Bench {
    /// Shorter and fewer: to see that it works, not to believe it.
    quick: bool,
    release: PathBuf,
    venv: PathBuf,
    table: Table,
}

const WHAT: [&str; 11] = [
    "all",
    "ledger",
    "postgres",
    "traffic",
    "latency",
    "first",
    "stream",
    "idle",
    "http",
    "ssh",
    "kubernetes",
];

pub fn run(words: &[&str]) -> Result<(), Stop> {
    let usage = || Stop::Usage(format!("cargo xtask bench {} [--quick]", WHAT.join("|")));
    let (what, quick) = match words {
        [what] => (*what, false),
        [what, "--quick"] => (*what, true),
        _ => return Err(usage()),
    };
    if !WHAT.contains(&what) {
        return Err(usage());
    }
    let home = setup::ready(Wanted::Test)?;
    // Programs built elsewhere, with the examples below them.
    let given = given_programs();
    if given.is_none() {
        build(&home)?;
    }
    let begun = Instant::now();
    let release = given.unwrap_or_else(|| home.target.join("release"));
    let mut bench = Bench { quick, release, venv: home.venv(), table: Table::default() };
    if matches!(what, "all" | "ledger") {
        bench.ledger()?;
    }
    if !matches!(what, "ledger" | "http" | "ssh" | "kubernetes") {
        bench.postgres(what)?;
    }
    if matches!(what, "all" | "http") {
        bench.http(&home)?;
    }
    if matches!(what, "all" | "ssh") {
        bench.ssh()?;
    }
    match (what, kubernetes::programs(&home)) {
        ("all" | "kubernetes", Some(programs)) => bench.kubernetes(&programs)?,
        // They take longer to build than all the rest to measure.
        ("all", None) => println!("\nSKIPPED: kubernetes ({})", kubernetes::MISSING),
        ("kubernetes", None) => return Err(Stop::Could(kubernetes::MISSING.to_owned())),
        _ => {}
    }
    println!("\n{}", bench.table);
    println!("Measured in {} s, not counting the build.", begun.elapsed().as_secs());
    Ok(())
}

/// Everything that is measured, optimised, in one selection of packages.
fn build(home: &Home) -> Result<(), Stop> {
    println!("\n=== build (release)");
    let mut cargo = home.cargo();
    cargo.args(["build", "--release", "--locked", "--workspace", "--bins", "--examples"]);
    match follow(&mut cargo, BUILD_SECONDS_MAX, |_| ()) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Stop::Could(format!("the build: {status}"))),
        Err(text) => Err(Stop::Could(text)),
    }
}

impl Bench {
    /// One of the programs below `examples`, to its end; each line that it prints.
    fn example(&self, name: &str, arguments: &[String]) -> Result<Vec<String>, Stop> {
        let mut lines = Vec::new();
        let mut command = Command::new(self.release.join("examples").join(name));
        match follow(command.args(arguments), BENCH_SECONDS_MAX, |line| lines.push(line.to_owned())) {
            Ok(status) if status.success() => Ok(lines),
            Ok(status) => Err(Stop::Could(format!("{name}: {status}"))),
            Err(text) => Err(Stop::Could(text)),
        }
    }
}

/// The number behind `NAME` in a line `figure NAME NUMBER` of a program's output.
fn figure(lines: &[String], name: &str) -> Result<f64, Stop> {
    let value = lines.iter().find_map(|line| {
        let rest = line.strip_prefix("figure ")?.strip_prefix(name)?.strip_prefix(' ')?;
        rest.trim().parse::<f64>().ok()
    });
    value.ok_or_else(|| Stop::Could(format!("no figure `{name}` was printed")))
}

fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * at) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle_and_nothing_has_none() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn a_figure_is_found_by_its_whole_name() {
        let lines = ["figure raw-8 12.5".to_owned(), "figure raw 7".to_owned(), "noise".to_owned()];
        assert_eq!(figure(&lines, "raw").ok(), Some(7.0));
        assert_eq!(figure(&lines, "raw-8").ok(), Some(12.5));
        assert!(figure(&lines, "absent").is_err());
    }
}
