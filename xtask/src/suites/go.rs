//! Suites of Debian's Go packages, compiled from the sources that the packages bring.

use super::{Report, Suite, Way};
use crate::home::Home;
use crate::setup;
use crate::step::{Stop, watch};
use interop::process::finish;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const COMPILE_SECONDS_MAX: Duration = Duration::from_secs(600);
const LIST_SECONDS_MAX: Duration = Duration::from_secs(30);

/// Where Debian's golang-1.19-go has its compiler, and its libraries their sources.
const GO: &str = "/usr/lib/go-1.19/bin/go";
const SOURCES: &str = "/usr/share/gocode";

pub struct Go {
    name: &'static str,
    /// Debian's package.
    package: &'static str,
    /// The folder of the Go package, below `src`.
    folder: &'static str,
    slice: usize,
    /// Tests that take minutes: not in slices.
    long: &'static [&'static str],
    /// The compiled suite.
    program: PathBuf,
}

pub fn suite(name: &str) -> Option<Go> {
    let pgx = "golang-github-jackc-pgx-v4-dev";
    let suite = |name, package, folder, slice| Go {
        name,
        package,
        folder,
        slice,
        long: &[],
        program: PathBuf::new(),
    };
    Some(match name {
        "pgx" => Go {
            // A hundred thousand notifications, a few at a time.
            long: &["TestListenNotifyWhileBusyIsSafe"],
            ..suite("pgx", pgx, "github.com/jackc/pgx/v4", 60)
        },
        "pgxpool" => suite("pgxpool", pgx, "github.com/jackc/pgx/v4/pgxpool", 20),
        "lib/pq" => suite("lib/pq", "golang-github-lib-pq-dev", "github.com/lib/pq", 60),
        _ => return None,
    })
}

impl Suite for Go {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&mut self, home: &Home) -> Result<(), Stop> {
        let source = self.source();
        setup::packages(&["golang-1.19-go", self.package], || Path::new(GO).exists() && source.is_dir())?;
        let folder = home.cache.join("suites");
        std::fs::create_dir_all(&folder)
            .map_err(|why| Stop::Could(format!("could not make {}: {why}", folder.display())))?;
        self.program = folder.join(format!("{}.test", self.name.replace('/', "-")));
        let mut go = Command::new(GO);
        go.current_dir(&source).args(["test", "-c", "-o"]).arg(&self.program).arg(".");
        go.env("GO111MODULE", "off").env("GOPATH", SOURCES).env("GOFLAGS", "").env("GOTOOLCHAIN", "local");
        go.env("GOCACHE", home.cache.join("go")).env("HOME", &home.cache);
        let done = finish(&mut go, b"", COMPILE_SECONDS_MAX)?;
        match done.status.success() {
            true => Ok(()),
            false => Err(Stop::Could(format!("{} does not compile\n{}", self.name, done.all()))),
        }
    }

    fn units(&self, all: bool) -> Result<Vec<String>, Stop> {
        let mut list = Command::new(&self.program);
        let done = finish(list.args(["-test.list", "."]).current_dir(self.source()), b"", LIST_SECONDS_MAX)?;
        let text = done.out();
        let is_test = |line: &&str| line.starts_with("Test") || line.starts_with("Example");
        let wanted = |line: &&str| is_test(line) && (all || !self.long.contains(line));
        let mut units: Vec<String> = text.lines().filter(wanted).map(str::to_owned).collect();
        units.sort();
        match units.is_empty() {
            true => Err(Stop::Could(format!("{} lists no tests\n{}", self.name, done.all()))),
            false => Ok(units),
        }
    }

    fn slice(&self) -> usize {
        self.slice
    }

    fn run(&self, way: &Way, units: &[String], limit: Duration) -> Result<Report, Stop> {
        let mut suite = Command::new(&self.program);
        suite.current_dir(self.source()).arg("-test.v");
        suite.arg(format!("-test.timeout={}s", limit.as_secs().saturating_sub(5)));
        suite.arg(format!("-test.run=^({})$", units.join("|")));
        suite.env("PGHOST", "127.0.0.1").env("PGPORT", way.port.to_string()).env("PGDATABASE", "postgres");
        suite.env("PGUSER", &way.user).env("PGPASSWORD", &way.password).env("PGSSLMODE", "disable");
        let connect = format!(
            "host=127.0.0.1 port={} user={} password={} dbname=postgres sslmode=disable",
            way.port, way.user, way.password
        );
        suite.env("PGX_TEST_DATABASE", connect);
        let mut report = Report::default();
        let ended = watch(&mut suite, limit, |line| {
            if let Some((test, passed)) = outcome(line) {
                report.put(test, passed);
            }
            report.said.push_str(line);
            report.said.push('\n');
        });
        if let Err(late) = ended {
            println!("{late}");
        }
        Ok(report)
    }

    fn again(&self, way: &Way, tests: &BTreeSet<String>, limit: Duration) -> Result<Report, Stop> {
        // What is below a test runs with it.
        let tops: BTreeSet<String> =
            tests.iter().filter_map(|test| test.split('/').next()).map(str::to_owned).collect();
        self.run(way, &tops.into_iter().collect::<Vec<_>>(), limit)
    }
}

impl Go {
    fn source(&self) -> PathBuf {
        Path::new(SOURCES).join("src").join(self.folder)
    }
}

/// `    --- PASS: TestA/b (0.01s)`, which may stand behind what the test itself has printed.
fn outcome(line: &str) -> Option<(String, bool)> {
    let (_, rest) = line.split_once("--- ")?;
    let (word, rest) = rest.split_once(": ")?;
    let passed = match word {
        "PASS" => true,
        "FAIL" => false,
        _ => return None,
    };
    let (test, took) = rest.rsplit_once(" (")?;
    took.ends_with("s)").then(|| (test.to_owned(), passed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_lines_are_read() {
        assert_eq!(outcome("--- PASS: TestA (0.01s)"), Some(("TestA".to_owned(), true)));
        assert_eq!(outcome("    --- FAIL: TestA/b_c (1.00s)"), Some(("TestA/b_c".to_owned(), false)));
        assert_eq!(outcome("--- SKIP: TestA (0.00s)"), None);
        assert_eq!(outcome("=== RUN   TestA"), None);
        assert_eq!(outcome("ok"), None);
    }
}
