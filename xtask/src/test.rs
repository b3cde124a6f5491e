//! `cargo xtask test`: each check a step, the table at the end, one closing line.

use crate::corpus;
use crate::home::Home;
use crate::kubernetes;
use crate::regress;
use crate::setup::{self, Wanted};
use crate::step::{Ending, Steps, Stop, check, check_tests};
use crate::suites;
use crate::tidy;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// The whole of a cold build on two busy cores, and then some.
const BUILD_SECONDS_MAX: Duration = Duration::from_secs(2400);
/// The longest one test program may take.
const TEST_SECONDS_MAX: Duration = Duration::from_secs(1200);
const DEMO_SECONDS_MAX: Duration = Duration::from_secs(600);

/// As typed after `cargo xtask test`.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    all: bool,
    only: Option<String>,
    /// Chooses the slices of the suites that are too long to run whole.
    seed: u64,
}

impl Options {
    pub fn read(words: &[&str]) -> Result<Options, Stop> {
        let mut options = Options { all: false, only: None, seed: seed_of_commit() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let wrong = || Stop::Usage(format!("`cargo xtask test {word}` is not known or lacks its value"));
            match *word {
                "--all" => options.all = true,
                "--only" => options.only = Some((*words.next().ok_or_else(wrong)?).to_owned()),
                "--seed" => options.seed = words.next().and_then(|w| w.parse().ok()).ok_or_else(wrong)?,
                _ => return Err(wrong()),
            }
        }
        Ok(options)
    }

    /// What is built is wanted by each step behind it, too.
    fn wants(&self, step: &str) -> bool {
        let named = |name: &str| self.only.as_ref().is_none_or(|word| name.contains(word.as_str()));
        let mut behind = STEPS.iter().skip_while(|(name, _)| *name != BUILD).skip(1);
        named(step) || step == BUILD && behind.any(|(name, _)| named(name))
    }
}

/// Another one for each commit, and the same wherever that commit is tested; by the clock where there is no commit.
fn seed_of_commit() -> u64 {
    let head = Command::new("git").args(["rev-parse", "HEAD"]).output().ok();
    let head = head.filter(|said| said.status.success()).and_then(|said| String::from_utf8(said.stdout).ok());
    let hash = head.and_then(|text| u64::from_str_radix(text.get(..12)?, 16).ok());
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    hash.unwrap_or_else(now) % 1_000_000
}

pub fn run(options: Options) -> Result<(), Stop> {
    let home = setup::ready(if options.all { Wanted::All } else { Wanted::Test })?;
    println!("seed {} (the same slices again: cargo xtask test --seed {0})", options.seed);
    println!("building into {}", home.target.display());
    let mut steps = Steps::default();
    for (name, step) in STEPS {
        if options.wants(name) {
            steps.run(name, || step(&home, &options));
        }
    }
    steps.close()
}

type Step = fn(&Home, &Options) -> Ending;

const BUILD: &str = "build";
/// In the order of running: what is cheap and often wrong comes first.
const STEPS: &[(&str, Step)] = &[
    ("format", |home, _| check(home.cargo().args(["fmt", "--all", "--check"]), Duration::from_secs(120))),
    ("tidy", |home, _| tidy::check(home)),
    ("lints", |home, _| {
        let mut cargo = home.cargo();
        // `--all-targets` would leave out the tests with real servers, even where they are named.
        cargo.args(["clippy", "--workspace", "--lib", "--bins", "--examples", "--tests", "--benches"]);
        cargo.args(["--test", "real", "--locked", "--", "-D", "warnings"]);
        check(&mut cargo, BUILD_SECONDS_MAX)
    }),
    (BUILD, |home, _| {
        check(home.cargo().args(["build", "--workspace", "--all-targets", "--locked"]), BUILD_SECONDS_MAX)
    }),
    ("tests of each crate", |home, _| {
        // Always the whole workspace: another selection would build the dependencies with other features again.
        let mut cargo = home.cargo();
        cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
        check_tests(with_programs(&mut cargo, home), TEST_SECONDS_MAX)
    }),
    ("dependencies", dependencies),
    ("real servers and clients", |home, options| {
        // The server as judge is a step of its own, and so is a cluster.
        check_tests(real(home, options).args(["--", "--skip", JUDGE, "--skip", CLUSTER]), TEST_SECONDS_MAX)
    }),
    ("Kubernetes", cluster),
    ("demo", |home, _| {
        let Ok(program) = std::env::current_exe() else { return Ending::Failed(0, 1) };
        let mut demo = Command::new(program);
        check(demo.arg("demo").env("TACHO_BIN_DIR", home.programs()), DEMO_SECONDS_MAX)
    }),
    ("server as judge", judge),
    ("leak corpus", |home, _| corpus::check(home)),
    ("foreign suite: asyncpg", |home, options| foreign(home, options, "asyncpg")),
    ("foreign suite: pg8000", |home, options| foreign(home, options, "pg8000")),
    ("foreign suite: SQLAlchemy", |home, options| foreign(home, options, "sqlalchemy")),
    ("foreign suite: pgx", |home, options| foreign(home, options, "pgx")),
    ("foreign suite: pgxpool", |home, options| foreign(home, options, "pgxpool")),
    ("foreign suite: lib/pq", |home, options| foreign(home, options, "lib/pq")),
];

/// A slice of somebody's test suite, or the whole with `--all`.
fn foreign(home: &Home, options: &Options, name: &str) -> Ending {
    suites::check(home, name, options.all, options.seed)
}

/// Beginning of the names of the tests that need a cluster of Kubernetes.
const CLUSTER: &str = "kubernetes::";
/// And of those among them that need a node, on which containers run.
const NODE: &str = "kubernetes::node";

/// A cluster is built once, with `--all` or by its own command.
fn cluster(home: &Home, options: &Options) -> Ending {
    if options.all
        && let Err(why) = kubernetes::ready(home)
    {
        println!("{why:?}");
        return Ending::Failed(0, 1);
    }
    let Some(folder) = kubernetes::find(home) else {
        return Ending::Skipped("cargo xtask setup kubernetes builds it".to_owned());
    };
    let mut cargo = real(home, options);
    cargo.env("INTEROP_KUBERNETES", folder).args(["--", CLUSTER]);
    if let Err(why) = interop::kubernetes::node::allowed() {
        println!("skipped: what needs a node of the cluster: {why}");
        cargo.args(["--skip", NODE]);
    }
    check_tests(&mut cargo, TEST_SECONDS_MAX)
}

/// Beginning of the names of the tests in which the server says what a statement does.
const JUDGE: &str = "judge::of_";
/// PostgreSQL's 200 scripts, each statement judged in four ways: half an hour on two busy cores.
const JUDGE_SECONDS_MAX: Duration = Duration::from_secs(5400);

fn judge(home: &Home, options: &Options) -> Ending {
    let scripts = match regress::sources(home) {
        Ok(scripts) => scripts,
        Err(why) => {
            return Ending::Skipped(format!("PostgreSQL's regression scripts cannot be had: {why:?}"));
        }
    };
    let mut cargo = real(home, options);
    cargo.env("INTEROP_REGRESS", scripts).args(["--", "--nocapture", JUDGE]);
    match corpus::find(home) {
        Some(corpus) => drop(cargo.env("LEAKCORPUS", corpus)),
        None => {
            println!("skipped: the statements of the leak corpus, which is not beside the source tree");
            cargo.args(["--skip", "judge::of_the_leak_corpus"]);
        }
    }
    check_tests(&mut cargo, JUDGE_SECONDS_MAX)
}

/// `cargo test` of the tests with real servers.
fn real(home: &Home, options: &Options) -> Command {
    let mut cargo = home.cargo();
    cargo.args(["test", "--workspace", "--locked", "--no-fail-fast", "--test", "real"]);
    cargo.env("INTEROP_SEED", options.seed.to_string());
    if options.all {
        cargo.env("INTEROP_ALL", "1");
    }
    with_programs(&mut cargo, home);
    cargo
}

/// Tells the tests where the programs are that they start.
fn with_programs<'a>(cargo: &'a mut Command, home: &Home) -> &'a mut Command {
    cargo
        .env("TACHO_BIN_DIR", home.programs())
        .env("INTEROP_VENV", home.venv())
        .env("INTEROP_NODE", home.node())
        .env("INTEROP_JDBC", setup::JDBC_JAR)
}

/// Licences, bans and sources of what we depend on (deny.toml). The advisory database lives on the
/// network, so it is not asked here.
fn dependencies(home: &Home, options: &Options) -> Ending {
    let ours = home.cache.join("tools");
    let bin = ours.join("bin/cargo-deny");
    if options.all && !bin.exists() && !setup::on_path("cargo-deny") {
        let mut install = home.cargo();
        install.args(["install", "--locked", "--version", "^0.18", "cargo-deny", "--root"]).arg(&ours);
        if let failed @ Ending::Failed(..) = check(&mut install, BUILD_SECONDS_MAX) {
            return failed;
        }
    }
    let mut deny = if bin.exists() {
        Command::new(&bin)
    } else if setup::on_path("cargo-deny") {
        Command::new("cargo-deny")
    } else {
        return Ending::Skipped(
            "cargo-deny is not installed; `cargo xtask test --all` installs it".to_owned(),
        );
    };
    // What it reads are the sources of all platforms' crates, of which a build has got its own alone.
    let fetched = check(home.cargo().args(["fetch", "--locked"]), BUILD_SECONDS_MAX);
    if let Ending::Failed(..) = fetched {
        return match options.all {
            true => fetched,
            false => Ending::Skipped("the sources of other platforms' crates cannot be had".to_owned()),
        };
    }
    deny.current_dir(&home.source).args(["--offline", "check", "bans", "licenses", "sources"]);
    check(&mut deny, Duration::from_secs(300))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_wrong_ones_refused() {
        let got = Options::read(&["--all", "--seed", "7", "--only", "tidy"]).unwrap();
        assert_eq!(got, Options { all: true, only: Some("tidy".to_owned()), seed: 7 });
        let of = |word| {
            let options = Options::read(&["--only", word]).unwrap();
            STEPS.iter().map(|(name, _)| *name).filter(|name| options.wants(name)).collect::<Vec<_>>()
        };
        assert_eq!(of("tidy"), ["tidy"]);
        assert_eq!(of("lib/pq"), ["build", "foreign suite: lib/pq"]);
        for wrong in [&["--seed"][..], &["--seed", "x"], &["--only"], &["everything"]] {
            assert!(matches!(Options::read(wrong), Err(Stop::Usage(_))), "{wrong:?}");
        }
    }
}
