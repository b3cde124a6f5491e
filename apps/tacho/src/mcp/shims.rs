//! Programs of a run's PATH that stand before the real ones, and where those are.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use console::seat::MintedResource;

use crate::fault::Failure;

/// The folder of the run's home that comes first in its PATH.
pub const FOLDER: &str = ".tacho-shims";

/// Programs and their texts, for those that resources name. `tacho` is this program's own file.
pub fn programs(resources: &[MintedResource], tacho: &Path) -> Vec<(String, String)> {
    let of = |resource: &MintedResource| {
        let names = resource.settings.get("stdio").cloned().unwrap_or_default();
        let name = resource.name.clone();
        let tacho = quoted(tacho.as_os_str());
        names
            .split_whitespace()
            .map(|program| {
                (program.to_owned(), format!("#!/bin/sh\nexec {tacho} mcp {name} -- {program} \"$@\"\n"))
            })
            .collect::<Vec<_>>()
    };
    let over_ssh = resources.iter().any(|resource| resource.kind == "ssh");
    let ssh = SSH.iter().filter(|_| over_ssh).map(|program| ((*program).to_owned(), ssh_shim(program)));
    resources.iter().flat_map(of).chain(ssh).collect()
}

/// Clients of OpenSSH, which look for their configuration in the user's own home, whatever HOME says.
const SSH: &[&str] = &["ssh", "scp", "sftp"];

/// The same program, with the configuration of the home that this shim is in. Wherever in PATH its folder is, it is not found again: git
/// puts one of its own before all.
fn ssh_shim(program: &str) -> String {
    format!(
        r#"#!/bin/sh
shims=${{0%/*}}
path=:$PATH:
while case $path in *":$shims:"*) true ;; *) false ;; esac; do
    path=${{path%%":$shims:"*}}:${{path#*":$shims:"}}
done
path=${{path#:}}
PATH=${{path%:}}
exec {program} -F "${{shims%/*}}/.ssh/config" "$@"
"#
    )
}

fn quoted(path: &OsStr) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

/// The program that a command means: a path as it is, a name by PATH, and never a shim.
pub fn real(program: &OsStr, path: Option<OsString>) -> Result<PathBuf, Failure> {
    if program.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(program));
    }
    let path = path.unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| !folder.ends_with(FOLDER));
    let found = folders.map(|folder| folder.join(program)).find(|file| is_executable(file));
    found.ok_or_else(|| {
        Failure::could_not(format!("there is no program {} in PATH to start", program.display()))
    })
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_is_never_the_real_program() {
        let dir = crate::files::scratch("shims");
        let (shims, bin) = (dir.join(FOLDER), dir.join("bin"));
        for folder in [&shims, &bin] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("server"), "").unwrap();
            std::fs::set_permissions(folder.join("server"), PermissionsExt::from_mode(0o755)).unwrap();
        }
        std::fs::write(shims.join("only-a-shim"), "").unwrap();
        let path = std::env::join_paths([&shims, &bin]).ok();
        assert_eq!(real(OsStr::new("server"), path.clone()).unwrap(), bin.join("server"));
        assert!(real(OsStr::new("only-a-shim"), path.clone()).is_err());
        assert_eq!(real(OsStr::new("./x"), path).unwrap(), Path::new("./x"));
    }

    #[test]
    fn a_shim_says_which_server_is_meant() {
        let resource = MintedResource {
            name: "files".to_owned(),
            kind: "mcp".to_owned(),
            host: String::new(),
            port: 0,
            user: String::new(),
            password: String::new(),
            database: None,
            certificate: None,
            settings: [("stdio".to_owned(), "a b".to_owned())].into(),
        };
        let made = programs(&[resource], Path::new("/opt/it's/tacho"));
        assert_eq!(made.len(), 2);
        assert_eq!(made[1].1, "#!/bin/sh\nexec '/opt/it'\\''s/tacho' mcp files -- b \"$@\"\n");
    }

    #[test]
    fn a_shim_of_ssh_finds_the_real_one_wherever_it_stands_in_path() {
        let dir = crate::files::scratch("ssh-shims");
        let (shims, bin, own) = (dir.join(FOLDER), dir.join("bin"), dir.join("own"));
        for (folder, name, text) in [
            (&shims, "ssh", ssh_shim("ssh")),
            (&bin, "ssh", "#!/bin/sh\necho \"$PATH\" \"$@\"\n".to_owned()),
            (&own, "other", String::new()),
        ] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join(name), text).unwrap();
            std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
        let config = dir.join(".ssh/config");
        for before in [vec![&shims], vec![&own, &shims], vec![&shims, &own, &shims, &shims]] {
            let folders = before.iter().copied().chain([&bin]);
            let path = std::env::join_paths(folders).unwrap();
            let rest: Vec<String> = before
                .iter()
                .filter(|f| **f != &shims)
                .chain([&&bin])
                .map(|f| f.display().to_string())
                .collect();
            let done = std::process::Command::new("/bin/sh")
                .args(["-c", "ssh a 'b c'"])
                .env("PATH", path)
                .output()
                .unwrap();
            let said = String::from_utf8(done.stdout).unwrap();
            assert_eq!(said.trim_end(), format!("{} -F {} a b c", rest.join(":"), config.display()));
        }
    }
}
