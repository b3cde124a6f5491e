//! The two programs as they are given away: optimised, stripped, with man pages, completions and
//! checksums.

use crate::home::Home;
use crate::setup::{self, Wanted};
use crate::step::{Stop, follow};
use interop::process::finish;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const BUILD_SECONDS_MAX: Duration = Duration::from_secs(3600);
const SHORT_SECONDS_MAX: Duration = Duration::from_secs(60);
const PROGRAMS: &[&str] = &["tacho", "tacho-verify"];

pub fn run() -> Result<(), Stop> {
    let home = setup::ready(Wanted::Demo)?;
    let mut cargo = home.cargo();
    cargo.args(["build", "--locked", "--profile", "dist"]);
    for name in PROGRAMS {
        cargo.args(["--package", name]);
    }
    must(follow(&mut cargo, BUILD_SECONDS_MAX, |_| ()).map(|status| status.success()), "the build")?;
    let folder =
        home.target.join(format!("tachograph-{}-{}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH));
    drop(std::fs::remove_dir_all(&folder));
    fill(&home, &folder)?;
    let mut sums = Command::new("sha256sum");
    let sums = finish(sums.current_dir(&folder).args(PROGRAMS), b"", SHORT_SECONDS_MAX)?;
    write(&folder.join("SHA256SUMS"), &sums.stdout)?;
    println!("{}\n{}", folder.display(), sums.out());
    Ok(())
}

fn fill(home: &Home, folder: &Path) -> Result<(), Stop> {
    let could = |why: std::io::Error| Stop::Could(format!("{}: {why}", folder.display()));
    std::fs::create_dir_all(folder.join("completions")).map_err(could)?;
    for name in PROGRAMS {
        std::fs::copy(home.target.join("dist").join(name), folder.join(name)).map_err(could)?;
    }
    for name in [
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/FORMAT.md",
        "docs/RECORDS.md",
        "contrib/verify.py",
    ] {
        let file = Path::new(name).file_name().unwrap_or(name.as_ref());
        std::fs::copy(home.source.join(name), folder.join(file)).map_err(could)?;
    }
    let tacho = folder.join("tacho");
    let man = finish(Command::new(&tacho).arg("man").arg(folder.join("man")), b"", SHORT_SECONDS_MAX)?;
    must(Ok(man.status.success()), "`tacho man`")?;
    for shell in ["bash", "zsh", "fish"] {
        let script = finish(Command::new(&tacho).args(["completions", shell]), b"", SHORT_SECONDS_MAX)?;
        must(Ok(script.status.success()), "`tacho completions`")?;
        write(&folder.join("completions").join(format!("tacho.{shell}")), &script.stdout)?;
    }
    Ok(())
}

fn must(done: Result<bool, String>, what: &str) -> Result<(), Stop> {
    match done {
        Ok(true) => Ok(()),
        Ok(false) => Err(Stop::Could(format!("{what} failed"))),
        Err(text) => Err(Stop::Could(text)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Stop> {
    std::fs::write(path, bytes).map_err(|why| Stop::Could(format!("{}: {why}", path.display())))
}
