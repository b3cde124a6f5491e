//! Kubernetes for the tests: a real API server and a real kubelet, built once out of Debian's source package, which has all
//! that they are made of in it. Kept in the cache, outside the source tree; etcd, kubectl and what runs containers are Debian's own.
//!
//! Debian has no binary package of either; nothing is fetched but from where the system's packages come.

use crate::debian;
use crate::home::Home;
use crate::setup;
use crate::step::{Stop, follow};
use interop::kubernetes::{API_SERVER, KUBELET};
use interop::process::finish;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Ten minutes on two idle cores.
const BUILD_SECONDS_MAX: Duration = Duration::from_secs(5400);
const UNPACK_SECONDS_MAX: Duration = Duration::from_secs(300);

/// The version that Debian 12 has, and the commit from which it was made: what the programs say of themselves.
const VERSION: &str = "1.20.2";
const COMMIT: &str = "faecb196815e248d3ecfb03c680a4507229c2a56";
/// The compiler; Kubernetes of that age is not built by much newer ones.
const GO: &str = "/usr/lib/go-1.19/bin";
/// Where Debian keeps libraries of Go's.
const GOCODE: &str = "/usr/share/gocode/src/github.com";
/// The copies of 2020 that come with Kubernetes are not taken by Go 1.18 and later; Debian's are.
const NEWER: [&str; 2] = ["modern-go/reflect2", "json-iterator/go"];

const TO_BUILD: &[&str] = &[
    "golang-1.19-go",
    "golang-github-json-iterator-go-dev",
    "golang-github-modern-go-reflect2-dev",
    "make",
    "rsync",
];

/// A program that Debian has, its package, and the service that comes with it. Any of them may be there from elsewhere.
const PROGRAMS: [(&str, &str, Option<&str>); 5] = [
    ("etcd", "etcd-server", Some("etcd.service")),
    ("kubectl", "kubernetes-client", None),
    ("runc", "runc", None),
    ("containerd", "containerd", Some("containerd.service")),
    ("ctr", "containerd", None),
];
/// What containers are made of: it is there under the same name, and of no use here, where this package is not.
const BUSYBOX: &str = "busybox-static";
/// systemd's own test of whether it runs the machine (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
const SERVICE_SECONDS_MAX: Duration = Duration::from_secs(60);

/// The folder with the programs, if they were built and Debian's are there.
pub fn find(home: &Home) -> Option<PathBuf> {
    let folder = home.kubernetes();
    let built = [API_SERVER, KUBELET].iter().all(|program| folder.join(program).is_file());
    let installed = PROGRAMS.iter().all(|(program, ..)| setup::on_path(program)) && has_busybox();
    (built && installed).then_some(folder)
}

fn has_busybox() -> bool {
    Path::new("/var/lib/dpkg/info").join(format!("{BUSYBOX}.list")).is_file()
}

/// Builds and installs what is missing.
pub fn ready(home: &Home) -> Result<PathBuf, Stop> {
    for (program, package, service) in PROGRAMS {
        let had = setup::on_path(program);
        setup::packages(&[package], || setup::on_path(program))?;
        if let Some(service) = service.filter(|_| !had) {
            stays_off(service)?;
        }
    }
    setup::packages(&[BUSYBOX], has_busybox)?;
    match find(home) {
        Some(folder) => Ok(folder),
        None => build(&home.kubernetes()),
    }
}

/// Ends and disables a service that a package has brought: the tests start what they need themselves.
fn stays_off(service: &str) -> Result<(), Stop> {
    if !setup::on_path("systemctl") {
        return Ok(());
    }
    let mut systemctl = Command::new("systemctl");
    systemctl.arg("disable");
    if Path::new(BOOTED).is_dir() {
        systemctl.arg("--now");
    }
    let done = finish(systemctl.arg(service), b"", SERVICE_SECONDS_MAX)?;
    if done.status.success() { Ok(()) } else { Err(Stop::Could(done.all())) }
}

fn build(folder: &Path) -> Result<PathBuf, Stop> {
    println!(
        "Kubernetes {VERSION} into {}: ten minutes on two idle cores, 4 GB while it lasts",
        folder.display()
    );
    setup::packages(TO_BUILD, || {
        Path::new(GO).join("go").is_file()
            && NEWER.iter().all(|library| Path::new(GOCODE).join(library).is_dir())
            && setup::on_path("make")
            && setup::on_path("rsync")
    })?;
    let could = |why: std::io::Error| Stop::Could(format!("{}: {why}", folder.display()));
    let work = folder.join("work");
    drop(std::fs::remove_dir_all(&work));
    let tarball = debian::source(&work, "kubernetes")?;
    if !tarball.to_string_lossy().contains(VERSION) {
        return Err(Stop::Could(format!(
            "this system's source package is not {VERSION}: {}",
            tarball.display()
        )));
    }
    let source = work.join("source");
    unpack(&tarball, &source)?;
    newer(&source).map_err(could)?;
    make(&work, &source)?;
    for program in [API_SERVER, KUBELET] {
        // Whole at once: half a program would be found.
        let (new, built) = (folder.join(format!("{program}.new")), source.join("_output/local/bin"));
        std::fs::copy(built.join(platform()).join(program), &new).map_err(could)?;
        std::fs::rename(&new, folder.join(program)).map_err(could)?;
    }
    std::fs::remove_dir_all(&work).map_err(could)?;
    Ok(folder.to_path_buf())
}

fn unpack(tarball: &Path, into: &Path) -> Result<(), Stop> {
    std::fs::create_dir_all(into).map_err(|why| Stop::Could(format!("{}: {why}", into.display())))?;
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(tarball).arg("-C").arg(into).arg("--strip-components=1");
    let done = finish(&mut tar, b"", UNPACK_SECONDS_MAX)?;
    if done.status.success() { Ok(()) } else { Err(Stop::Could(done.all())) }
}

/// Puts Debian's copies in the place of those that are too old.
fn newer(source: &Path) -> std::io::Result<()> {
    for library in NEWER {
        let to = source.join("vendor/github.com").join(library);
        drop(std::fs::remove_dir_all(&to));
        std::fs::create_dir_all(&to)?;
        for entry in std::fs::read_dir(Path::new(GOCODE).join(library))?.flatten() {
            let name = entry.file_name();
            if is_source(&name.to_string_lossy()) {
                // Debian's may be a link into a folder of another name: its content counts.
                std::fs::copy(entry.path(), to.join(&name))?;
            }
        }
    }
    Ok(())
}

fn is_source(name: &str) -> bool {
    (name.ends_with(".go") && !name.ends_with("_test.go")) || name.ends_with(".s")
}

/// As upstream builds it, but with nothing from the network: no module proxy, and the libraries that came with it.
fn make(work: &Path, source: &Path) -> Result<(), Stop> {
    let version = work.join("version");
    let (major, minor) = VERSION.split_once('.').unwrap_or((VERSION, ""));
    let minor = minor.split('.').next().unwrap_or(minor);
    let text = format!(
        "KUBE_GIT_COMMIT='{COMMIT}'\nKUBE_GIT_TREE_STATE='clean'\nKUBE_GIT_VERSION='v{VERSION}'\n\
         KUBE_GIT_MAJOR='{major}'\nKUBE_GIT_MINOR='{minor}'\n"
    );
    std::fs::write(&version, text).map_err(|why| Stop::Could(format!("{}: {why}", version.display())))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut make = Command::new("make");
    make.current_dir(source).arg(format!("WHAT=cmd/{API_SERVER} cmd/{KUBELET}"));
    make.env("PATH", format!("{GO}:{path}")).env("KUBE_GIT_VERSION_FILE", &version);
    make.envs([("GOFLAGS", "-mod=vendor"), ("GO111MODULE", "on"), ("CGO_ENABLED", "0")]);
    make.envs([("GOPROXY", "off"), ("GOSUMDB", "off")]);
    match follow(&mut make, BUILD_SECONDS_MAX, |_| ()) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Stop::Could(format!("the build of Kubernetes: {status}; what it said is above"))),
        Err(text) => Err(Stop::Could(text)),
    }
}

/// As Go calls it.
fn platform() -> &'static str {
    if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_papers_of_a_library_are_left_where_they_are() {
        let names = ["any.go", "any_test.go", "reflect2_amd64.s", "README.md", "go.mod"];
        assert_eq!(names.map(is_source), [true, false, true, false, false]);
    }
}
