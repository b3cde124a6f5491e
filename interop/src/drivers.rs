//! Python's and Node's drivers, where an agent can reach them.
//!
//! `tacho run` by root runs the agent as another user, who cannot enter root's home, and so not the
//! cache in it. [`Drivers::stage`] links the packages into a scratch directory and writes starters
//! (`python`, `node`) that know where they are.

use crate::limits::CLIENT_SECONDS_MAX;
use crate::place::Scratch;
use crate::process::{Trouble, finish};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// Programs that start an interpreter with the drivers in its path. Removed when dropped.
#[must_use]
#[derive(Debug)]
pub struct Drivers {
    scratch: Scratch,
}

impl Drivers {
    /// From the folders that `cargo xtask setup` made: `INTEROP_VENV` and `INTEROP_NODE`, else below
    /// the cache directory.
    pub fn stage() -> Result<Drivers, Trouble> {
        Drivers::stage_from(&folder("INTEROP_VENV", "venv")?, folder("INTEROP_NODE", "node").ok().as_deref())
    }

    /// From a given virtual environment and, where Node is wanted, a folder with `node_modules`.
    pub fn stage_from(venv: &Path, node: Option<&Path>) -> Result<Drivers, Trouble> {
        let wrap = |why| Trouble::Start { what: "the drivers' starters".to_owned(), why };
        let scratch = Scratch::new("drivers").map_err(wrap)?;
        let python = std::fs::canonicalize(venv.join("bin/python")).map_err(wrap)?;
        link_tree(&site_packages(venv)?, &scratch.path().join("site"))?;
        let site = scratch.path().join("site");
        let script =
            format!("PYTHONDONTWRITEBYTECODE=1 PYTHONPATH='{}' exec '{}'", site.display(), python.display());
        starter(&scratch.path().join("python"), &script).map_err(wrap)?;
        if let Some(node) = node {
            link_tree(&node.join("node_modules"), &scratch.path().join("node_modules"))?;
            let modules = scratch.path().join("node_modules");
            starter(&scratch.path().join("node"), &format!("NODE_PATH='{}' exec node", modules.display()))
                .map_err(wrap)?;
        }
        Ok(Drivers { scratch })
    }

    pub fn python(&self) -> PathBuf {
        self.scratch.path().join("python")
    }

    pub fn node(&self) -> PathBuf {
        self.scratch.path().join("node")
    }

    /// Writes a file that an agent can read; returns its path. Whole at once: another test's agent may be reading the one
    /// that is there, and an empty program ends well and says nothing.
    pub fn file(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = self.scratch.path().join(name);
        let new = self.scratch.path().join(format!("{name}.new-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        std::fs::write(&new, text)?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o644))?;
        std::fs::rename(&new, &path)?;
        Ok(path)
    }

    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }
}

/// The `site-packages` of the virtual environment that `cargo xtask setup` made.
pub fn packages() -> Result<PathBuf, Trouble> {
    site_packages(&folder("INTEROP_VENV", "venv")?)
}

fn folder(variable: &str, name: &str) -> Result<PathBuf, Trouble> {
    if let Some(given) = std::env::var_os(variable) {
        return Ok(PathBuf::from(given));
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let found = cache.map(|cache| cache.join("tachograph").join(name)).filter(|path| path.is_dir());
    found.ok_or_else(|| Trouble::Missing {
        what: format!("the folder of the drivers ({variable})"),
        remedy: "run `cargo xtask setup`".to_owned(),
    })
}

/// The `site-packages` of a virtual environment.
pub fn site_packages(venv: &Path) -> Result<PathBuf, Trouble> {
    let pythons = std::fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
    let found = pythons.map(|python| python.path().join("site-packages")).find(|path| path.is_dir());
    found.ok_or_else(|| Trouble::Missing {
        what: format!("a Python environment in {}", venv.display()),
        remedy: "run `cargo xtask setup`".to_owned(),
    })
}

/// Hard links where both are on one file system, copies where not.
pub fn link_tree(from: &Path, to: &Path) -> Result<(), Trouble> {
    for flags in ["-rlL", "-rL"] {
        let done = finish(Command::new("cp").arg(flags).arg(from).arg(to), b"", CLIENT_SECONDS_MAX)?;
        if done.status.success() {
            return Ok(());
        }
        drop(std::fs::remove_dir_all(to));
    }
    Err(Trouble::Missing {
        what: format!("a copy of {}", from.display()),
        remedy: "look at the free space of the disk".to_owned(),
    })
}

fn starter(path: &Path, script: &str) -> io::Result<()> {
    std::fs::write(path, format!("#!/bin/sh\n{script} \"$@\"\n"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
