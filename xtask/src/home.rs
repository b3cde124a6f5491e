//! Where things are kept: the source tree, and a cache outside it.

use crate::step::Stop;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The places that every command works with.
pub struct Home {
    /// The root of the source tree.
    pub source: PathBuf,
    /// `$XDG_CACHE_HOME/tachograph`, else `$HOME/.cache/tachograph`.
    pub cache: PathBuf,
    /// What the cargo that we start builds into: `CARGO_TARGET_DIR` if it is set, else `cache/target`.
    pub target: PathBuf,
}

impl Home {
    pub fn find() -> Result<Home, Stop> {
        // As cargo says it now: a path compiled in would be that of another checkout with the same target directory.
        let source = std::env::var_os("CARGO_MANIFEST_DIR")
            .and_then(|package| Path::new(&package).parent().map(Path::to_path_buf))
            .ok_or_else(|| Stop::Could("run it as `cargo xtask`".to_owned()))?;
        let cache = cache_directory(
            std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from),
            std::env::var_os("HOME").map(PathBuf::from),
        )
        .ok_or_else(|| {
            Stop::Could("neither XDG_CACHE_HOME nor HOME is set to an absolute path".to_owned())
        })?;
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(given) => source.join(given),
            None => cache.join("target"),
        };
        std::fs::create_dir_all(&cache)
            .map_err(|why| Stop::Could(format!("could not make {}: {why}", cache.display())))?;
        Ok(Home { source, cache, target })
    }

    /// The cargo that started us, at the root of the source tree, with our target directory.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.source).env("CARGO_TARGET_DIR", &self.target);
        // What cargo tells of xtask's own package is not for a nested cargo: build scripts that ask to be run again when such
        // a variable changes (ring's does) would build half of the tree anew each time that xtask and a plain cargo alternate.
        for (name, _) in std::env::vars_os() {
            let of_package =
                |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
            if name.to_str().is_some_and(of_package) {
                cargo.env_remove(name);
            }
        }
        cargo
    }

    /// Where `tacho` and `tacho-verify` are: `TACHO_BIN_DIR` if it is set (programs built elsewhere), else what we build.
    pub fn programs(&self) -> PathBuf {
        given_programs().unwrap_or_else(|| self.target.join("debug"))
    }

    /// The folder of the virtual environment with the Python drivers.
    pub fn venv(&self) -> PathBuf {
        self.cache.join("venv")
    }

    /// The folder of Kubernetes' programs, which `cargo xtask setup kubernetes` builds.
    pub fn kubernetes(&self) -> PathBuf {
        self.cache.join("kubernetes")
    }

    /// The folder in which npm's packages are installed.
    pub fn node(&self) -> PathBuf {
        self.cache.join("node")
    }
}

/// The folder that `TACHO_BIN_DIR` names.
pub fn given_programs() -> Option<PathBuf> {
    std::env::var_os("TACHO_BIN_DIR").map(PathBuf::from)
}

/// XDG says that a relative path is to be ignored.
fn cache_directory(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let cache = xdg.filter(absolute).or_else(|| home.filter(absolute).map(|h| h.join(".cache")))?;
    Some(cache.join("tachograph"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_xdg_says_else_below_home() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(cache_directory(path("/c"), path("/h")), path("/c/tachograph"));
        assert_eq!(cache_directory(path("relative"), path("/h")), path("/h/.cache/tachograph"));
        assert_eq!(cache_directory(None, path("/h")), path("/h/.cache/tachograph"));
        assert_eq!(cache_directory(None, None), None);
    }
}
