//! nginx: what stands before most services, as the upstream and as the peer in the benchmarks of HTTP.

use crate::limits::START_SECONDS_MAX;
use crate::place::{Scratch, free_port, is_open, is_root};
use crate::process::{Daemon, Trouble};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running nginx. Stopped when dropped.
#[must_use]
#[derive(Debug)]
pub struct Nginx {
    // Declared first, so dropped first.
    daemon: Daemon,
    pub port: u16,
    _scratch: Scratch,
}

impl Nginx {
    /// One server with `inside` in it, and `beside` beside it.
    pub fn start(beside: &str, inside: &str) -> Result<Nginx, Trouble> {
        let wrap = |why| Trouble::Start { what: "nginx".to_owned(), why };
        let scratch = Scratch::new("nginx").map_err(wrap)?;
        let port = free_port().map_err(wrap)?;
        let dir = scratch.path();
        let settings = dir.join("nginx.conf");
        std::fs::write(&settings, configuration(dir, port, beside, inside)).map_err(wrap)?;
        let mut command = Command::new(program());
        command.args(["-e", "stderr", "-c"]).arg(&settings);
        let mut daemon = Daemon::start(&mut command, &dir.join("log"), "TERM")?;
        daemon.wait_ready(START_SECONDS_MAX, || is_open(port))?;
        Ok(Nginx { daemon, port, _scratch: scratch })
    }

    /// The master's; its workers are its children.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }
}

fn configuration(dir: &Path, port: u16, beside: &str, inside: &str) -> String {
    let dir = dir.display();
    // Workers of another user could not read a scratch directory.
    let user = if is_root() { "user root;\n" } else { "" };
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
        .collect();
    format!(
        "{user}daemon off;\nworker_processes auto;\npid {dir}/pid;\nevents {{ worker_connections 1024; }}\n\
         http {{\n{places}access_log off;\nkeepalive_requests 100000000;\nsendfile on;\ntcp_nodelay on;\n\
         types {{ application/json json; text/plain txt; }}\n{beside}\n\
         server {{\nlisten 127.0.0.1:{port};\n{inside}\n}}\n}}\n"
    )
}

/// Debian keeps it in /usr/sbin, which is not on everybody's PATH.
fn program() -> PathBuf {
    let debian = Path::new("/usr/sbin/nginx");
    if debian.is_file() { debian.to_path_buf() } else { PathBuf::from("nginx") }
}
