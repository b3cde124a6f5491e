//! Suites that pytest runs. Their sources come from the package index as source packages.

use super::{Report, Suite, Way};
use crate::home::Home;
use crate::setup;
use crate::step::{Stop, watch};
use interop::process::{Finished, finish};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const DOWNLOAD_SECONDS_MAX: Duration = Duration::from_secs(300);

/// What the suites import and the drivers do not bring.
const PACKAGES: &[&str] = &["distro==1.9.0", "pytest-mock==3.17.0", "pytz==2026.6"];

pub struct Pytest {
    name: &'static str,
    package: &'static str,
    /// The folder that the source package unpacks to.
    folder: &'static str,
    /// Folders of tests, below `folder`.
    tests: &'static [&'static str],
    /// Files of `tests` that are no business of a gateway.
    without: &'static [&'static str],
    slice: usize,
    /// The units are classes that one file imports, and not files.
    classes: bool,
    source: PathBuf,
    python: PathBuf,
}

/// SQLAlchemy's suite for dialects, which imports its classes from the package.
const DIALECT: &str = "test/dialect/test_suite.py";

pub fn suite(name: &str) -> Option<Pytest> {
    let suite = |name, package, folder, tests, slice| Pytest {
        name,
        package,
        folder,
        tests,
        without: &[],
        slice,
        classes: false,
        source: PathBuf::new(),
        python: PathBuf::new(),
    };
    Some(match name {
        "asyncpg" => Pytest {
            // Style checks of its own source, tests without a server, tests that start a server of their own.
            without: &[
                "test__sourcecode.py",
                "test_subinterpreters.py",
                "test_scram.py",
                "test_adversity.py",
                "test_utils.py",
            ],
            ..suite("asyncpg", "asyncpg==0.32.0", "asyncpg-0.32.0", &["tests"], 2)
        },
        "pg8000" => Pytest {
            without: &["test_benchmarks.py"],
            ..suite(
                "pg8000",
                "pg8000==1.31.6",
                "pg8000-1.31.6",
                &["test/dbapi", "test/legacy", "test/native"],
                3,
            )
        },
        "sqlalchemy" => Pytest {
            classes: true,
            ..suite(
                "sqlalchemy",
                "SQLAlchemy==2.1.9",
                "sqlalchemy-2.1.9",
                &["lib/sqlalchemy/testing/suite"],
                5,
            )
        },
        _ => return None,
    })
}

impl Suite for Pytest {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&mut self, home: &Home) -> Result<(), Stop> {
        setup::python_packages(home, PACKAGES)?;
        self.python = home.venv().join("bin/python");
        self.source = self.unpack(&home.cache.join("suites"))?;
        Ok(())
    }

    fn units(&self, _all: bool) -> Result<Vec<String>, Stop> {
        let mut units = Vec::new();
        for folder in self.tests {
            for entry in std::fs::read_dir(self.source.join(folder)).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_test = name.starts_with("test_") && name.ends_with(".py");
                match (is_test && !self.without.contains(&name.as_str()), self.classes) {
                    (false, _) => {}
                    (true, false) => units.push(format!("{folder}/{name}")),
                    (true, true) => units.extend(classes_in(&entry.path())),
                }
            }
        }
        units.sort();
        Ok(units)
    }

    fn slice(&self) -> usize {
        self.slice
    }

    fn run(&self, way: &Way, units: &[String], limit: Duration) -> Result<Report, Stop> {
        self.pytest(way, units, &["--tb=no"], limit)
    }

    fn again(&self, way: &Way, tests: &BTreeSet<String>, limit: Duration) -> Result<Report, Stop> {
        let units: BTreeSet<String> = match self.classes {
            false => tests.clone(),
            true => tests.iter().filter_map(|test| class_of(test)).collect(),
        };
        let units: Vec<String> = units.into_iter().collect();
        self.pytest(way, &units, &["--tb=short"], limit)
    }
}

impl Pytest {
    /// The source package, downloaded once.
    fn unpack(&self, folder: &Path) -> Result<PathBuf, Stop> {
        let source = folder.join(self.folder);
        let could = |why: std::io::Error| Stop::Could(format!("{}: {why}", folder.display()));
        if source.is_dir() {
            adapt(&source).map_err(could)?;
            return Ok(source);
        }
        std::fs::create_dir_all(folder).map_err(could)?;
        let name = self.package.split('=').next().unwrap_or(self.package);
        let mut pip = Command::new(&self.python);
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name, "--dest"])
            .arg(folder)
            .arg(self.package);
        must(&format!("the source of {}", self.package), finish(&mut pip, b"", DOWNLOAD_SECONDS_MAX)?)?;
        // Unpacked beside, and moved when it is whole: a broken one is not found the next time.
        let aside = folder.join(format!("{}.unpacking", self.name));
        drop(std::fs::remove_dir_all(&aside));
        std::fs::create_dir_all(&aside).map_err(could)?;
        let mut tar = Command::new("tar");
        tar.arg("xzf").arg(folder.join(format!("{}.tar.gz", self.folder))).arg("-C").arg(&aside);
        must("tar", finish(&mut tar, b"", DOWNLOAD_SECONDS_MAX)?)?;
        let unpacked = aside.join(self.folder);
        // A package without its compiled part would be found before the installed one.
        drop(std::fs::rename(unpacked.join("asyncpg"), unpacked.join("asyncpg.not-compiled")));
        adapt(&unpacked).map_err(could)?;
        std::fs::rename(&unpacked, &source).map_err(could)?;
        drop(std::fs::remove_dir_all(&aside));
        Ok(source)
    }

    fn pytest(&self, way: &Way, units: &[String], more: &[&str], limit: Duration) -> Result<Report, Stop> {
        let mut pytest = Command::new(&self.python);
        pytest.current_dir(&self.source);
        pytest.args(["-m", "pytest", "-v", "--no-header", "--color=no", "-p", "no:cacheprovider"]);
        pytest.args(["-o", "console_output_style=classic", "-o", "addopts=", "--maxfail=0"]).args(more);
        match self.classes {
            false => pytest.args(units),
            true => pytest.args([DIALECT, "-p", "no:logging", "--dburi", &way.url("postgresql+psycopg")]),
        };
        if self.classes {
            pytest.args(["-k", &units.join(" or ")]);
        }
        pytest.env("PGHOST", "127.0.0.1").env("PGPORT", way.port.to_string()).env("PGDATABASE", "postgres");
        pytest.env("PGUSER", &way.user).env("PGPASSWORD", &way.password);
        pytest.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        let mut report = Report::default();
        let ended = watch(&mut pytest, limit, |line| {
            if let Some((test, passed)) = outcome(line) {
                report.put(test, passed);
            }
            report.said.push_str(line);
            report.said.push('\n');
        });
        if let Err(late) = ended {
            println!("{}", late.replace(&way.password, "[password]"));
        }
        Ok(report)
    }
}

impl Way {
    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}:{}@127.0.0.1:{}/postgres", self.user, self.password, self.port)
    }
}

/// pg8000 takes host, port and password from the environment, and a user of its own: here the user too.
fn adapt(source: &Path) -> std::io::Result<()> {
    for folder in ["dbapi", "legacy", "native"] {
        let path = source.join("test").join(folder).join("conftest.py");
        if let Ok(text) = std::fs::read_to_string(&path) {
            let ours =
                text.replace("\"user\": \"postgres\"", "\"user\": environ.get(\"PGUSER\", \"postgres\")");
            if ours != text {
                std::fs::write(&path, ours)?;
            }
        }
    }
    Ok(())
}

fn must(what: &str, done: Finished) -> Result<(), Stop> {
    match done.status.success() {
        true => Ok(()),
        false => Err(Stop::Could(format!("{what} cannot be had\n{}", done.all()))),
    }
}

/// SQLAlchemy's suite is one file that imports classes from several.
fn classes_in(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let classes = text.lines().filter_map(|line| line.strip_prefix("class ")?.split(['(', ':']).next());
    classes.filter(|name| name.ends_with("Test")).map(str::to_owned).collect()
}

/// `test/dialect/test_suite.py::CTETest_postgresql+psycopg_15_20::test_x`: `CTETest`.
fn class_of(test: &str) -> Option<String> {
    let class = test.split("::").nth(1)?;
    Some(class.split_once("_postgresql").map_or(class, |(class, _)| class).to_owned())
}

/// `tests/a.py::C::t PASSED`. A test in whose teardown something errs has a second line.
fn outcome(line: &str) -> Option<(String, bool)> {
    let (test, word) = line.rsplit_once(' ')?;
    let passed = match word {
        "PASSED" => true,
        "FAILED" | "ERROR" => false,
        _ => return None,
    };
    (test.contains("::") && test.contains(".py")).then(|| (test.trim().to_owned(), passed))
}

#[cfg(test)]
mod tests {
    use super::super::Outcomes;
    use super::*;

    #[test]
    fn pytests_lines_are_read() {
        let line = "tests/test_a.py::B::test_c[x y] PASSED";
        assert_eq!(outcome(line), Some(("tests/test_a.py::B::test_c[x y]".to_owned(), true)));
        assert_eq!(outcome("a.py::c FAILED"), Some(("a.py::c".to_owned(), false)));
        assert_eq!(outcome("a.py::c ERROR"), Some(("a.py::c".to_owned(), false)));
        assert_eq!(outcome("a.py::c SKIPPED (no)"), None);
        assert_eq!(outcome("3 passed in 1s"), None);
    }

    #[test]
    fn a_teardown_that_errs_fails_its_test() {
        let mut report = Report::default();
        for line in ["a.py::c PASSED", "a.py::c ERROR", "a.py::d PASSED"] {
            outcome(line).into_iter().for_each(|(test, passed)| report.put(test, passed));
        }
        assert_eq!(
            report.outcomes,
            Outcomes::from([("a.py::c".to_owned(), false), ("a.py::d".to_owned(), true)])
        );
    }

    #[test]
    fn a_class_is_found_in_its_generated_name() {
        let test = "test/dialect/test_suite.py::CTETest_postgresql+psycopg_15_20::test_x";
        assert_eq!(class_of(test).as_deref(), Some("CTETest"));
    }
}
