//! Upstream credentials. Read when an upstream is dialled, in memory for as long as the login takes; a plugin's token for as long as
//! it is good, and ten minutes at most ([`exec`]).
//!
//! **Invariant:** no type here prints, serializes or clones a secret (P6).

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use zeroize::Zeroizing;

mod exec;

pub use exec::{Edition, Exec, Plugin};

/// A password. `Debug` shows its length.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(Zeroizing::new(bytes))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// Where a credential comes from.
pub enum Vault {
    /// Trust or peer authentication, or a client certificate: no password is ever sent.
    None,
    /// Taken out of the gateway's environment at start-up.
    Held(Secret),
    File(PathBuf),
    /// A program and its arguments; the first line of its output is the password.
    Command(Vec<String>),
    /// A credential plugin of client-go, which gives a token and says until when it is good.
    Exec(Exec),
}

/// Longest password taken from a file or command, in bytes. Cloud tokens are under 4 KiB.
const SECRET_BYTES_MAX: usize = 16 << 10;
/// How long a credential command may run.
const COMMAND: Duration = Duration::from_secs(10);

impl Vault {
    /// A password: the first line. Errors are sentences for the operator and hold no secret.
    pub async fn fetch(&self) -> Result<Option<Secret>, String> {
        match self {
            Vault::None => Ok(None),
            Vault::Held(secret) => Ok(Some(Secret::new(secret.expose().to_vec()))),
            Vault::Exec(exec) => exec.token().await.map(Some),
            Vault::File(_) | Vault::Command(_) => {
                let whole = self.fetch_whole().await?;
                whole.map(|Secret(mut bytes)| first_line(std::mem::take(&mut *bytes))).transpose()
            }
        }
    }

    /// All of it: a private key has many lines. Errors as above.
    pub async fn fetch_whole(&self) -> Result<Option<Secret>, String> {
        let secret = match self {
            Vault::None => return Ok(None),
            Vault::Held(secret) => Secret::new(secret.expose().to_vec()),
            Vault::File(path) => Secret::new(
                tokio::fs::read(path)
                    .await
                    .map_err(|e| format!("cannot read the credential file {}: {e}", path.display()))?,
            ),
            Vault::Command(words) => run(words).await?,
            Vault::Exec(exec) => exec.token().await?,
        };
        match secret.0.len() {
            0 => Err("the credential is empty".into()),
            1..=SECRET_BYTES_MAX => Ok(Some(secret)),
            _ => Err(format!("the credential is larger than {SECRET_BYTES_MAX} bytes")),
        }
    }
}

async fn run(words: &[String]) -> Result<Secret, String> {
    let [program, arguments @ ..] = words else { return Err("the credential command is empty".into()) };
    let shown = format!("credential command `{program}`");
    output(Command::new(program).args(arguments), &shown, SECRET_BYTES_MAX).await
}

/// What a program prints, at most `most` bytes within [`COMMAND`]. It is killed if it prints or takes more. Errors are sentences
/// for the operator without anything of it.
async fn output(command: &mut Command, shown: &str, most: usize) -> Result<Secret, String> {
    let cannot = |e: std::io::Error| format!("cannot run the {shown}: {e}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    // It never grows: what a growing vector leaves behind is not wiped.
    let mut printed = Zeroizing::new(Vec::with_capacity(most + 64));
    let done = async {
        if let Some(stdout) = child.stdout.take() {
            stdout.take(most as u64 + 1).read_to_end(&mut printed).await?;
        }
        match printed.len() <= most {
            true => child.wait().await.map(Some),
            false => Ok(None),
        }
    };
    let status = tokio::time::timeout(COMMAND, done)
        .await
        .map_err(|_| format!("the {shown} ran longer than {} s", COMMAND.as_secs()))?
        .map_err(cannot)?;
    match status {
        None => Err(format!("the {shown} printed more than {most} bytes")),
        Some(status) if status.success() => Ok(Secret(printed)),
        Some(status) => Err(format!("the {shown} failed: {status}")),
    }
}

fn first_line(bytes: Vec<u8>) -> Result<Secret, String> {
    let mut bytes = Zeroizing::new(bytes);
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(format!("the credential is larger than {SECRET_BYTES_MAX} bytes"));
    }
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    bytes.truncate(end);
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    match bytes.is_empty() {
        true => Err("the credential is empty".into()),
        false => Ok(Secret(bytes)),
    }
}
