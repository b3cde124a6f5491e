//! Upstream credentials. Read when an upstream is dialled, in memory for as long as the login takes.
//!
//! **Invariant:** no type here prints, serializes or clones a secret (P6).

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use zeroize::Zeroizing;

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
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(COMMAND, child)
        .await
        .map_err(|_| format!("the credential command `{program}` ran longer than {} s", COMMAND.as_secs()))?
        .map_err(|e| format!("cannot run the credential command `{program}`: {e}"))?;
    match output.status.success() {
        true => Ok(Secret::new(output.stdout)),
        false => Err(format!("the credential command `{program}` failed: {}", output.status)),
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
