//! Where our own programs are.

use crate::limits::BUILD_SECONDS_MAX;
use crate::process::{Trouble, finish, tail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// `tacho`, built if it is not there.
pub fn tacho() -> Result<PathBuf, Trouble> {
    program("tacho")
}

/// `tacho-verify`, built if it is not there.
pub fn verifier() -> Result<PathBuf, Trouble> {
    program("tacho-verify")
}

/// An example of one of the crates, built if it is not there.
pub fn example(name: &str) -> Result<PathBuf, Trouble> {
    program(&format!("examples/{name}"))
}

/// A file of the source tree. Cargo names the package to what it runs; a path compiled in would be that of another
/// checkout where two of them share a target directory.
pub fn source(path: &str) -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    Path::new(&package).join("..").join(path)
}

/// `TACHO_BIN_DIR` is what xtask built. A plain `cargo test` builds them first, once, beside the test.
fn program(name: &str) -> Result<PathBuf, Trouble> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| std::env::var_os("TACHO_BIN_DIR").map(PathBuf::from).or_else(build));
    let found = folder.as_ref().map(|folder| folder.join(name)).filter(|path| path.is_file());
    found.ok_or_else(|| Trouble::Missing {
        what: format!("the program {name}"),
        remedy: "run `cargo xtask test`, or `cargo build --workspace --all-targets`".to_owned(),
    })
}

/// A client that is a workspace of its own below `interop/foreign`, built beside what is ours: its crates come over the network, once.
pub fn foreign(folder: &str, name: &str) -> Result<PathBuf, Trouble> {
    let wrap = |why| Trouble::Start { what: name.to_owned(), why };
    let test = std::env::current_exe().map_err(wrap)?;
    let target = test.ancestors().nth(3).unwrap_or(Path::new("target")).join("foreign").join(folder);
    let mut cargo = cargo(&format!("interop/foreign/{folder}"));
    let done =
        finish(cargo.args(["build", "--locked", "--target-dir"]).arg(&target), b"", BUILD_SECONDS_MAX)?;
    match done.status.success() {
        true => Ok(target.join("debug").join(name)),
        false => Err(Trouble::Died { what: name.to_owned(), said: tail(&done.all()) }),
    }
}

fn cargo(folder: &str) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(source(folder));
    cargo
}

/// Builds into the target directory in which the running test stands: TARGET/debug/deps/it-...
fn build() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let folder =
        test.ancestors().find(|path| path.ends_with("debug") || path.ends_with("release"))?.to_path_buf();
    let mut cargo = cargo("");
    cargo.args(["build", "--quiet", "--workspace", "--bins", "--examples"]);
    cargo.arg("--target-dir").arg(folder.parent()?).stdin(Stdio::null());
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.status().ok()?.success().then_some(folder)
}
