//! The one image of a container that there is: Debian's static busybox with a link for each of its commands, made without a
//! registry.
//!
//! The archive has the form of `docker save` (image specification v1.2: `manifest.json`, a configuration, a layer), which
//! containerd imports.

use crate::limits::CLIENT_SECONDS_MAX;
use crate::process::{Finished, Trouble, finish};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its name, in full: a pod that names it so never asks a registry.
pub const IMAGE: &str = "docker.io/local/box:1";

/// Where Debian's `busybox-static` puts it, and `busybox` one that is of no use here.
const BUSYBOX: &str = "/bin/busybox";
const FOLDERS: [&str; 9] = ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var"];

/// Writes the archive into `dir`, an empty directory.
pub fn write(dir: &Path) -> Result<PathBuf, Trouble> {
    let wrap = |why| Trouble::Start { what: "an image for containers".to_owned(), why };
    let root = dir.join("root");
    fill(&root, &commands()?).map_err(wrap)?;
    stands_alone(&root)?;
    let layer = dir.join("layer.tar");
    let mut tar = Command::new("tar");
    tar.args(["--owner=0", "--group=0", "--numeric-owner", "-cf"]).arg(&layer).arg("-C").arg(&root).arg(".");
    done(&mut tar)?;
    let digest = done(Command::new("sha256sum").arg(&layer))?.out();
    let digest = digest.split_whitespace().next().unwrap_or_default();
    fs::write(dir.join("config.json"), configuration(digest)).map_err(wrap)?;
    let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["{IMAGE}"],"Layers":["layer.tar"]}}]"#);
    fs::write(dir.join("manifest.json"), manifest).map_err(wrap)?;
    let archive = dir.join("image.tar");
    let mut tar = Command::new("tar");
    tar.arg("-cf").arg(&archive).arg("-C").arg(dir).args(["manifest.json", "config.json", "layer.tar"]);
    done(&mut tar)?;
    Ok(archive)
}

/// The commands that this busybox has.
fn commands() -> Result<Vec<String>, Trouble> {
    if !Path::new(BUSYBOX).is_file() {
        return Err(missing());
    }
    let listed = done(Command::new(BUSYBOX).arg("--list"))?.out();
    Ok(listed.lines().filter(|name| *name != "busybox").map(str::to_owned).collect())
}

fn fill(root: &Path, commands: &[String]) -> io::Result<()> {
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::copy(BUSYBOX, root.join("bin/busybox"))?;
    for command in commands {
        symlink("busybox", root.join("bin").join(command))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")
}

/// That it needs no library, which would not be there.
fn stands_alone(root: &Path) -> Result<(), Trouble> {
    let mut tried = Command::new("/usr/sbin/chroot");
    tried.arg(root).args(["/bin/busybox", "true"]);
    let tried = finish(&mut tried, b"", CLIENT_SECONDS_MAX)?;
    if tried.status.success() { Ok(()) } else { Err(missing()) }
}

fn missing() -> Trouble {
    Trouble::Missing {
        what: format!("a {BUSYBOX} that needs no libraries (Debian: busybox-static)"),
        remedy: "run `cargo xtask setup kubernetes`".to_owned(),
    }
}

/// A container that is told nothing sleeps: so does the one that holds a pod together.
fn configuration(layer: &str) -> String {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{{"Cmd":["/bin/sleep","2147483647"],"Env":["PATH=/bin"],"WorkingDir":"/"}},"rootfs":{{"type":"layers","diff_ids":["sha256:{layer}"]}}}}"#
    )
}

fn done(command: &mut Command) -> Result<Finished, Trouble> {
    let done = finish(command, b"", CLIENT_SECONDS_MAX)?;
    match done.status.success() {
        true => Ok(done),
        false => Err(Trouble::Died {
            what: command.get_program().to_string_lossy().into_owned(),
            said: done.all(),
        }),
    }
}
