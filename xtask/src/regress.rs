//! PostgreSQL's own regression scripts, out of Debian's source package of the server that is installed: the statements
//! that our reading of SQL is judged by. Kept in the cache.

use crate::home::Home;
use crate::step::Stop;
use interop::postgres::debian;
use interop::process::{Finished, finish};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const DOWNLOAD_SECONDS_MAX: Duration = Duration::from_secs(300);

/// `src/test/regress`. An error is why it cannot be had.
pub fn sources(home: &Home) -> Result<PathBuf, Stop> {
    let major = major()?;
    let folder = home.cache.join("regress").join(&major);
    let scripts = folder.join("src/test/regress");
    if scripts.join("sql/test_setup.sql").is_file() {
        return Ok(scripts);
    }
    println!("PostgreSQL {major}'s regression scripts into {}", folder.display());
    let could = |why: std::io::Error| Stop::Could(format!("{}: {why}", folder.display()));
    let work = folder.join("download");
    drop(std::fs::remove_dir_all(&folder));
    let tarball = crate::debian::source(&work, &format!("postgresql-{major}"))?;
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(&tarball).arg("-C").arg(&folder);
    tar.args([
        "--strip-components=1",
        "--wildcards",
        "*/src/test/regress/sql/*",
        "*/src/test/regress/data/*",
    ]);
    must(finish(&mut tar, b"", DOWNLOAD_SECONDS_MAX)?)?;
    std::fs::remove_dir_all(&work).map_err(could)?;
    Ok(scripts)
}

/// The major version of the server, whose scripts they have to be.
fn major() -> Result<String, Stop> {
    let mut version = Command::new(debian()?.bin.join("postgres"));
    let said = finish(version.arg("--version"), b"", Duration::from_secs(20))?.out();
    let number = said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let major = number.and_then(|number| number.split('.').next());
    major.map(str::to_owned).ok_or_else(|| Stop::Could(format!("`{said}` names no version")))
}

fn must(done: Finished) -> Result<(), Stop> {
    if done.status.success() { Ok(()) } else { Err(Stop::Could(done.all())) }
}
