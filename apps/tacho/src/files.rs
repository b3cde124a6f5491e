//! Private files: written whole or not at all, readable by their owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::fault::Failure;

/// The operator's own directory: `$XDG_CONFIG_HOME/tacho` or `~/.config/tacho`.
pub fn config_home() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(base.join("tacho"))
}

/// Reads text from a file that nobody else can read. `None` if there is no such file.
pub fn read_private(path: &Path, bytes_max: usize) -> Result<Option<String>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::file("read", path, &e)),
    };
    let mode = file.metadata().map_err(|e| Failure::file("read", path, &e))?.mode();
    if mode & 0o077 != 0 {
        return Err(Failure::usage(format!(
            "{} can be read or changed by others (mode {:o}); run: chmod 600 {}",
            path.display(),
            mode & 0o777,
            path.display()
        )));
    }
    let mut text = String::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_string(&mut text).map_err(|e| Failure::file("read", path, &e))?;
    if text.len() > bytes_max {
        return Err(Failure::usage(format!("{} is larger than {bytes_max} bytes", path.display())));
    }
    Ok(Some(text))
}

/// Makes a directory (and those above it) for its owner alone.
pub fn make_private_dir(path: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| Failure::file("make the directory", path, &e))
}

/// The same for a directory that may be there: then it has to be closed to others already.
pub fn own_dir(path: &Path) -> Result<(), Failure> {
    make_private_dir(path)?;
    let mode = fs::metadata(path).map_err(|e| Failure::file("look at", path, &e))?.mode();
    if mode & 0o077 != 0 {
        return Err(Failure::usage(format!(
            "{} can be entered by others (mode {:o}); run: chmod 700 {}",
            path.display(),
            mode & 0o777,
            path.display()
        )));
    }
    Ok(())
}

/// Replaces a file in one step: a reader sees the old or the new text, never a part.
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |e: &std::io::Error| Failure::file("write", path, e);
    if let Some(parent) = path.parent() {
        make_private_dir(parent)?;
    }
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let written = create_new(&beside, 0o600, bytes).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        let _the_first_error_counts = fs::remove_file(&beside);
        return Err(failed(&error));
    }
    Ok(())
}

/// Keeps others who ask here out of a directory until it is dropped: what is read is what is replaced.
#[must_use]
pub struct Turn {
    _locked: File,
}

/// Waits for the turn at the directory of `path`.
pub fn turn_at(path: &Path) -> Result<Turn, Failure> {
    let dir = path.parent().unwrap_or(Path::new("."));
    make_private_dir(dir)?;
    let locked = File::open(dir).and_then(|file| file.lock().map(|()| file));
    locked.map(|file| Turn { _locked: file }).map_err(|e| Failure::file("lock", dir, &e))
}

/// Writes a file that must not be there yet. `false`, and nothing is touched, if it is.
pub fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<bool, Failure> {
    match create_new(path, mode, bytes) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Failure::file("write", path, &e)),
    }
}

fn create_new(path: &Path, mode: u32, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// An empty directory for one test, below the system's temporary directory.
#[cfg(test)]
pub fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("tacho-test-{name}-{}", std::process::id()));
    let _left_by_another = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}
