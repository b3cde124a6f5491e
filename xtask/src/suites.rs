//! Test suites that others wrote for their drivers, run twice: straight to a fresh server, and through the
//! gateway (with a policy that permits everything, and nothing governed). What passes directly has to
//! pass through it; `interop/suites/skips.txt` lists the exceptions with their reasons.
//!
//! The sources come from the package index as source packages. Without `--all`, a slice is chosen by the seed.

use crate::home::Home;
use crate::step::{Ending, Stop};
use interop::gateway::{Plan, Site};
use interop::postgres::{Postgres, SUPER_PASSWORD, debian};
use interop::process::finish;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const DOWNLOAD_SECONDS_MAX: Duration = Duration::from_secs(300);
/// One suite, one way. The longest takes 3 minutes directly on a busy machine.
const SUITE_SECONDS_MAX: Duration = Duration::from_secs(900);

struct Suite {
    name: &'static str,
    package: &'static str,
    /// The folder that the source package unpacks to.
    folder: &'static str,
    /// Files of tests, from which slices are chosen; below `folder`.
    tests: &'static [&'static str],
    /// Files of `tests` that are no business of a gateway.
    without: &'static [&'static str],
    slice: usize,
    arguments: fn(&Way, &[String]) -> Vec<String>,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "asyncpg",
        package: "asyncpg==0.32.0",
        folder: "asyncpg-0.32.0",
        tests: &["tests"],
        // Style checks of its own source, tests without a server, tests that start a server of their own.
        without: &[
            "test__sourcecode.py",
            "test_subinterpreters.py",
            "test_scram.py",
            "test_adversity.py",
            "test_utils.py",
        ],
        slice: 4,
        arguments: |_, files| files.to_vec(),
    },
    Suite {
        name: "pg8000",
        package: "pg8000==1.31.6",
        folder: "pg8000-1.31.6",
        tests: &["test/dbapi", "test/native"],
        without: &["test_benchmarks.py"],
        slice: 4,
        arguments: |_, files| files.to_vec(),
    },
    Suite {
        name: "sqlalchemy",
        package: "SQLAlchemy==2.1.9",
        folder: "sqlalchemy-2.1.9",
        tests: &["lib/sqlalchemy/testing/suite"],
        without: &[],
        slice: 2,
        arguments: |way, files| {
            let mut words =
                vec!["test/dialect/test_suite.py".to_owned(), "-p".to_owned(), "no:logging".to_owned()];
            words.extend(["--dburi".to_owned(), way.url("postgresql+psycopg")]);
            let classes: Vec<String> = files.iter().flat_map(|file| classes_in(Path::new(file))).collect();
            words.extend(["-k".to_owned(), classes.join(" or ")]);
            words
        },
    },
];

/// All suites; each is a check of its own, counted by its tests.
pub fn check(home: &Home, all: bool, seed: u64) -> Ending {
    let (mut passed, mut failed) = (0, 0);
    for suite in SUITES {
        match one(home, suite, all, seed) {
            Ok((good, bad)) => {
                passed += good;
                failed += bad;
            }
            Err(stop) => {
                println!("{}: {stop:?}", suite.name);
                failed += 1;
            }
        }
    }
    if failed == 0 { Ending::Passed(passed) } else { Ending::Failed(passed, failed) }
}

fn one(home: &Home, suite: &Suite, all: bool, seed: u64) -> Result<(u64, u64), Stop> {
    let source = unpack(home, suite)?;
    let files = suite.files(&source);
    let chosen = if all { files } else { slice(&files, suite.slice, seed) };
    println!("\n--- {}: {}", suite.name, chosen.join(" "));
    let directly = {
        let server = server()?;
        let way = Way { port: server.port, user: "postgres".to_owned(), password: SUPER_PASSWORD.to_owned() };
        outcomes(home, suite, &source, &way, &chosen)?
    };
    let through = {
        let server = server()?;
        let site = Site::new_with(&plan(), &server, &home.programs().join("tacho"))?;
        let gateway = site.up()?;
        let lease = gateway.lease("suite")?;
        let way = Way {
            port: gateway.site().port,
            user: lease.user().to_owned(),
            password: lease.password().to_owned(),
        };
        outcomes(home, suite, &source, &way, &chosen)?
    };
    let skips = Skips::read(home)?;
    let compared = compare(&directly, &through, |test| skips.reason(suite.name, test));
    println!(
        "{}: {} pass both ways, {} skipped with a reason, {} lost",
        suite.name,
        compared.same,
        compared.skipped,
        compared.lost.len()
    );
    for test in &compared.lost {
        println!("  lost: {test}");
    }
    Ok((compared.same, compared.lost.len() as u64))
}

/// Where a suite connects.
struct Way {
    port: u16,
    user: String,
    password: String,
}

impl Way {
    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}:{}@127.0.0.1:{}/postgres", self.user, self.password, self.port)
    }
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

/// The source package, downloaded once.
fn unpack(home: &Home, suite: &Suite) -> Result<PathBuf, Stop> {
    let folder = home.cache.join("suites");
    let source = folder.join(suite.folder);
    if source.is_dir() {
        return Ok(source);
    }
    let could = |why: std::io::Error| Stop::Could(format!("{}: {why}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(could)?;
    let name = suite.package.split('=').next().unwrap_or(suite.package);
    let mut pip = Command::new(home.venv().join("bin/python"));
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name, "--dest"])
        .arg(&folder)
        .arg(suite.package);
    must(finish(&mut pip, b"", DOWNLOAD_SECONDS_MAX)?)?;
    let mut tar = Command::new("tar");
    tar.arg("xzf").arg(folder.join(format!("{}.tar.gz", suite.folder))).arg("-C").arg(&folder);
    must(finish(&mut tar, b"", DOWNLOAD_SECONDS_MAX)?)?;
    // A package without its compiled part would be found before the installed one.
    drop(std::fs::rename(source.join("asyncpg"), source.join("asyncpg.not-compiled")));
    for file in ["test/dbapi/conftest.py", "test/native/conftest.py"] {
        // pg8000 takes host, port and password from the environment, and a user of its own.
        let path = source.join(file);
        if let Ok(text) = std::fs::read_to_string(&path) {
            let text =
                text.replace("\"user\": \"postgres\"", "\"user\": environ.get(\"PGUSER\", \"postgres\")");
            std::fs::write(&path, text).map_err(could)?;
        }
    }
    Ok(source)
}

fn must(done: interop::process::Finished) -> Result<(), Stop> {
    if done.status.success() { Ok(()) } else { Err(Stop::Could(done.all())) }
}

impl Suite {
    fn files(&self, source: &Path) -> Vec<String> {
        let mut files = Vec::new();
        for folder in self.tests {
            for entry in std::fs::read_dir(source.join(folder)).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with("test_")
                    && name.ends_with(".py")
                    && !self.without.contains(&name.as_str())
                {
                    files.push(source.join(folder).join(name).display().to_string());
                }
            }
        }
        files.sort();
        files
    }
}

/// `count` of the files, chosen by the seed.
fn slice(files: &[String], count: usize, seed: u64) -> Vec<String> {
    let mut rest = files.to_vec();
    let mut chosen = Vec::new();
    let mut state = seed;
    while chosen.len() < count && !rest.is_empty() {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        chosen.push(rest.swap_remove((state >> 33) as usize % rest.len()));
    }
    chosen.sort();
    chosen
}

/// SQLAlchemy's suite is one file that imports classes from several; a slice names the classes.
fn classes_in(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let classes = text.lines().filter_map(|line| line.strip_prefix("class ")?.split(['(', ':']).next());
    classes.filter(|name| name.ends_with("Test")).map(str::to_owned).collect()
}

/// Test -> whether it passed; what was skipped is not there.
type Outcomes = BTreeMap<String, bool>;

fn outcomes(
    home: &Home,
    suite: &Suite,
    source: &Path,
    way: &Way,
    files: &[String],
) -> Result<Outcomes, Stop> {
    let mut pytest = Command::new(home.venv().join("bin/python"));
    pytest.current_dir(source).args([
        "-m",
        "pytest",
        "-q",
        "-rA",
        "--tb=no",
        "--no-header",
        "-p",
        "no:cacheprovider",
    ]);
    pytest.args((suite.arguments)(way, files));
    pytest.env("PGHOST", "127.0.0.1").env("PGPORT", way.port.to_string()).env("PGDATABASE", "postgres");
    pytest.env("PGUSER", &way.user).env("PGPASSWORD", &way.password).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut outcomes = Outcomes::new();
    let done = finish(&mut pytest, b"", SUITE_SECONDS_MAX)?;
    for line in done.out().lines() {
        if let Some((test, passed)) = outcome(line) {
            // A test that passes and whose teardown errs has failed.
            outcomes.entry(test).and_modify(|so_far| *so_far &= passed).or_insert(passed);
        }
    }
    match outcomes.values().any(|passed| *passed) {
        true => Ok(outcomes),
        false => Err(Stop::Could(format!(
            "no test of {} passed at all:\n{}",
            suite.name,
            interop::process::tail(&done.all())
        ))),
    }
}

/// A line of pytest's summary.
fn outcome(line: &str) -> Option<(String, bool)> {
    let (word, rest) = line.split_once(' ')?;
    let passed = match word {
        "PASSED" => true,
        "FAILED" | "ERROR" => false,
        _ => return None,
    };
    let test = rest.split(" - ").next()?.trim();
    test.contains("::").then(|| (test.to_owned(), passed))
}

#[derive(Default, Debug, PartialEq, Eq)]
struct Compared {
    same: u64,
    skipped: u64,
    /// Pass directly, and not through the gateway.
    lost: BTreeSet<String>,
}

fn compare<'a>(
    directly: &Outcomes,
    through: &Outcomes,
    reason: impl Fn(&str) -> Option<&'a str>,
) -> Compared {
    let mut compared = Compared::default();
    for test in directly.iter().filter(|(_, passed)| **passed).map(|(test, _)| test) {
        match (through.get(test), reason(test)) {
            (Some(true), _) => compared.same += 1,
            (_, Some(_)) => compared.skipped += 1,
            _ => drop(compared.lost.insert(test.clone())),
        }
    }
    compared
}

/// The exceptions.
struct Skips {
    entries: Vec<(String, String, String)>,
}

impl Skips {
    fn read(home: &Home) -> Result<Skips, Stop> {
        let path = home.source.join("interop/suites/skips.txt");
        Skips::parse(
            &std::fs::read_to_string(&path)
                .map_err(|why| Stop::Could(format!("{}: {why}", path.display())))?,
        )
    }

    fn parse(text: &str) -> Result<Skips, Stop> {
        let mut entries = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next().map(str::trim)) {
                (Some(suite), Some(test), Some(reason)) if reason.len() > 10 => {
                    entries.push((suite.to_owned(), test.to_owned(), reason.to_owned()));
                }
                _ => return Err(Stop::Could(format!("skips.txt: `{line}` names no reason"))),
            }
        }
        Ok(Skips { entries })
    }

    fn reason(&self, suite: &str, test: &str) -> Option<&str> {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => test.starts_with(prefix),
            None => test == pattern,
        };
        self.entries
            .iter()
            .find(|(s, pattern, _)| s == suite && fits(pattern))
            .map(|(_, _, reason)| reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pytests_summary_is_read() {
        assert_eq!(outcome("PASSED a.py::B::c"), Some(("a.py::B::c".to_owned(), true)));
        assert_eq!(outcome("FAILED a.py::c[x] - AssertionError: no"), Some(("a.py::c[x]".to_owned(), false)));
        assert_eq!(outcome("SKIPPED [1] a.py:3: no"), None);
        assert_eq!(outcome("3 passed in 1s"), None);
    }

    #[test]
    fn what_passes_directly_and_not_through_is_lost() {
        let directly: Outcomes = [("a", true), ("b", true), ("c", false), ("d", true), ("e", true)]
            .map(|(t, p)| (t.to_owned(), p))
            .into();
        let through: Outcomes =
            [("a", true), ("b", false), ("c", false), ("e", false)].map(|(t, p)| (t.to_owned(), p)).into();
        let compared = compare(&directly, &through, |test| (test == "e").then_some("a reason"));
        assert_eq!((compared.same, compared.skipped), (1, 1));
        assert_eq!(compared.lost.into_iter().collect::<Vec<_>>(), ["b", "d"]);
    }

    #[test]
    fn an_exception_has_a_reason() {
        assert!(Skips::parse("asyncpg tests/a.py::b\n").is_err());
        let skips = Skips::parse("# why\nasyncpg tests/a.py::* starts a server of its own\n").unwrap();
        assert!(skips.reason("asyncpg", "tests/a.py::b").is_some());
        assert!(skips.reason("pg8000", "tests/a.py::b").is_none());
    }

    #[test]
    fn one_seed_chooses_one_slice() {
        let files: Vec<String> = (0..20).map(|n| format!("{n:02}")).collect();
        assert_eq!(slice(&files, 4, 7), slice(&files, 4, 7));
        assert_ne!(slice(&files, 4, 7), slice(&files, 4, 8));
        assert_eq!(slice(&files, 100, 7), files);
    }
}
