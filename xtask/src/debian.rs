//! Debian's source packages, from where the system's packages come; nothing of the system's package lists is changed.

use crate::step::Stop;
use interop::process::finish;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Package lists or a source package, on a slow line.
const DOWNLOAD_SECONDS_MAX: Duration = Duration::from_secs(300);

/// Downloads a source package into `work`, a directory of its own; its original tarball there.
pub fn source(work: &Path, package: &str) -> Result<PathBuf, Stop> {
    let could = |why: std::io::Error| Stop::Could(format!("{}: {why}", work.display()));
    for name in ["lists/partial", "cache/archives/partial", "parts"] {
        std::fs::create_dir_all(work.join(name)).map_err(could)?;
    }
    source_lists(&work.join("parts")).map_err(could)?;
    download(work, package)
}

/// The system's package sources, as sources of source packages.
fn source_lists(into: &Path) -> std::io::Result<()> {
    let parts = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let files = parts.map(|entry| entry.path()).chain([PathBuf::from("/etc/apt/sources.list")]);
    for (i, file) in files.enumerate() {
        let extension = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        if matches!(extension, "list" | "sources") {
            std::fs::write(into.join(format!("{i}.{extension}")), as_sources(&text))?;
        }
    }
    Ok(())
}

fn as_sources(text: &str) -> String {
    let line = |line: &str| match (line.strip_prefix("deb "), line.strip_prefix("Types:")) {
        (Some(rest), _) => format!("deb-src {rest}\n"),
        (_, Some(_)) => "Types: deb-src\n".to_owned(),
        _ if line.starts_with("deb-src ") => String::new(),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The original tarball, of the newest version that is really there.
fn download(work: &Path, package: &str) -> Result<PathBuf, Stop> {
    let apt = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(work).args(["-q", "-o", "Dir::Etc::sourcelist=/dev/null"]);
        for (name, folder) in
            [("Dir::Etc::sourceparts", "parts"), ("Dir::State::lists", "lists"), ("Dir::Cache", "cache")]
        {
            command.arg("-o").arg(format!("{name}={}", work.join(folder).display()));
        }
        command
    };
    // A source that cannot be reached is no harm if another has the package.
    drop(finish(apt("apt-get").arg("update"), b"", DOWNLOAD_SECONDS_MAX)?);
    let known = finish(apt("apt-cache").args(["showsrc", package]), b"", DOWNLOAD_SECONDS_MAX)?.out();
    let versions: Vec<&str> = known.lines().filter_map(|line| line.strip_prefix("Version: ")).collect();
    for version in versions.iter().rev() {
        let wanted = format!("{package}={version}");
        let done =
            finish(apt("apt-get").args(["source", "--download-only", &wanted]), b"", DOWNLOAD_SECONDS_MAX)?;
        if done.status.success() {
            let files = std::fs::read_dir(work).into_iter().flatten().flatten().map(|entry| entry.path());
            let original = |path: &PathBuf| path.to_string_lossy().contains(".orig.tar");
            if let Some(tarball) = files.into_iter().find(original) {
                return Ok(tarball);
            }
        }
    }
    Err(Stop::Could(format!("no source package {package} among {} versions", versions.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_package_source_become_sources_of_sources() {
        assert_eq!(as_sources("Types: deb\nURIs: x\n"), "Types: deb-src\nURIs: x\n");
        assert_eq!(as_sources("deb http://x y\ndeb-src http://x y\n# z\n"), "deb-src http://x y\n# z\n");
    }
}
