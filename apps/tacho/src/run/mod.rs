//! `tacho run`: one run of an unchanged agent.
//!
//! Reading order: [`run`] tells the story; [`separation`] how the agent is kept out; [`environment`] and [`home`]
//! what it is given; [`launch`] starts and waits; [`inside`] is the first process behind the separation; [`guard`] is what it
//! mounts; [`jail`] is the network that `--jail` leaves it.

pub mod environment;
pub mod guard;
mod home;
pub mod inside;
pub mod jail;
pub mod launch;
pub mod separation;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use hyper::Method;
use serde::Serialize;
use zeroize::Zeroizing;

use console::seat::{Mint, Minted};
use relay::again::Recording;

use crate::approvals::shaped;
use crate::cli;
use crate::config::{Config, Credential};
use crate::desk::Hold;
use crate::fault::{Failure, Outcome};
use crate::http::{Address, Client, NoReply};
use crate::{desk, up};
use environment::Brings;
use guard::Guard;
use jail::Jail;
use launch::{Home, Launch};
use separation::Separation;

/// The credential that an outer run gave us, if we are inside one.
const RUN_TOKEN: &str = "TACHO_RUN_TOKEN";

/// Mints a run, runs the command in it, and closes the run with the command's exit code.
pub fn run(config_file: &std::path::Path, args: &cli::Run) -> Outcome {
    let runtime = runtime()?;
    match std::env::var(RUN_TOKEN).ok().filter(|token| !token.is_empty()) {
        Some(token) => runtime.block_on(run_nested(args, Zeroizing::new(token))),
        None => runtime.block_on(run_outermost(&Config::load(config_file)?, args)),
    }
}

/// Refuses what only people outside of every run may do.
pub fn refuse_inside(what: &str) -> Result<(), Failure> {
    match std::env::var_os(RUN_TOKEN).filter(|token| !token.is_empty()) {
        Some(_) => {
            Err(Failure::usage(format!("inside a run nobody can {what}; the record is out of reach there")))
        }
        None => Ok(()),
    }
}

/// Runs the command before a gateway of its own, configured as `here`, that is answered by `recording`. Returns the command's
/// exit code. `config` is the installation's, whose belongings the agent must not see either, nor what is `secret`.
pub fn again(
    config: &Config,
    here: Config,
    secret: Vec<PathBuf>,
    recording: Arc<dyn Recording>,
    args: &cli::Run,
) -> Result<u8, Failure> {
    runtime()?.block_on(async {
        let (separation, mut guard) = separated(config, args).await?;
        if !separation.confines() {
            return Err(Failure::could_not(
                "this kernel gives no user namespaces to you, so the command could look at the record that answers it; start as root",
            ));
        }
        guard.extend(separation::guarded(&here));
        guard.hide.extend(secret);
        let gateway = up::start(here.clone(), Some(recording))?;
        let context = Context { secret: secrets(config), again: true, ..Context::new(&here, separation, guard) };
        let status = context.run(args).await;
        gateway.stop()?;
        status
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    // The separated processes die with this thread (`PDEATHSIG`), so it is the one that waits for them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::could_not(format!("cannot start: {e}; is the machine out of memory?")))
}

/// How the agent is kept out, and from what.
async fn separated(config: &Config, args: &cli::Run) -> Result<(Separation, Guard), Failure> {
    let separation = Separation::choose(config)?;
    if !separation.confines() {
        if args.jail {
            return Err(Failure::could_not(
                "the agent cannot be jailed here: this kernel gives no user namespaces to you; start as root, or leave out --jail",
            ));
        }
        let sentence = "the agent cannot be separated from the gateway here: this kernel gives no user namespaces to you";
        if args.confined {
            return Err(Failure::could_not(format!("{sentence}; start as root, or leave out --confined")));
        }
        eprintln!(
            "tacho: {sentence}; the run is recorded as unconfined, and P6 and P8 are not claimed for it"
        );
    }
    let mut guard = separation::guarded(config);
    separation::make_ready(&separation);
    guard.secrets.extend(args.token_file.iter().filter_map(|file| std::path::absolute(file).ok()));
    if args.jail {
        launch::try_jail(&separation, &guard).await?;
    }
    Ok((separation, guard))
}

async fn run_outermost(config: &Config, args: &cli::Run) -> Outcome {
    let (separation, guard) = separated(config, args).await?;
    let token = args.token_file.as_deref().map(issuers_token).transpose()?;
    let client = Client { address: Address::Unix(config.gateway.control.clone()), token };
    let own_gateway = match client.get("/v1/ready").await {
        Ok(_) => None,
        // Whoever starts a gateway may do without a token; one that shows a token means the gateway that judges it.
        Err(NoReply::NobodyThere) if args.token_file.is_some() => {
            return Err(NoReply::NobodyThere.into_failure(&client.address));
        }
        Err(NoReply::NobodyThere) => Some(up::start(config.clone(), None)?),
        Err(other) => return Err(other.into_failure(&client.address)),
    };
    let outcome = Context { client, ..Context::new(config, separation, guard) }.run(args).await;
    if let Some(gateway) = own_gateway {
        gateway.stop()?;
    }
    outcome.map(ExitCode::from)
}

/// Inside a run the token mints children; the configuration is out of reach, and the outer separation holds.
async fn run_nested(args: &cli::Run, token: Zeroizing<String>) -> Outcome {
    if args.on_behalf.is_some() {
        return Err(Failure::usage("inside a run, a run is always for the same human; leave out --for"));
    }
    if args.token_file.is_some() {
        return Err(Failure::usage("inside a run, the run's own credential mints; leave out --token-file"));
    }
    let url = std::env::var("TACHO_URL").map_err(|_| {
        Failure::usage(
            "TACHO_RUN_TOKEN is set and TACHO_URL is not; start the agent with `tacho run`, which sets both",
        )
    })?;
    let client = Client { address: Address::parse(&url)?, token: Some(token) };
    let context = Context {
        client,
        url,
        secret: Vec::new(),
        guard: Guard::default(),
        separation: Separation::Inherited,
        again: false,
        upstreams: Vec::new(),
        desk: None,
    };
    context.run(args).await.map(ExitCode::from)
}

/// The variables that hold upstream credentials.
fn secrets(config: &Config) -> Vec<String> {
    let names = config.resources.iter().filter_map(|resource| match &resource.credential {
        Credential::Env(name) => Some(name.clone()),
        Credential::None | Credential::File(_) | Credential::Command(_) => None,
    });
    names.collect()
}

/// What a run needs beside its own arguments.
struct Context {
    client: Client,
    url: String,
    /// Variables that hold upstream credentials.
    secret: Vec<String>,
    guard: Guard,
    separation: Separation,
    /// A run is carried out again: what the command prints goes to standard error, and servers of MCP stay where they are.
    again: bool,
    /// Names that may stand for a resource inside a jail.
    upstreams: Vec<jail::Upstream>,
    /// Where the run is held; inside a run there is no such place, and the outer run holds all of its children.
    desk: Option<std::path::PathBuf>,
}

/// The body of `POST /v1/runs/RUN/close`.
#[derive(Serialize)]
struct Close {
    status: i64,
}

impl Context {
    /// Before the gateway of `config`.
    fn new(config: &Config, separation: Separation, guard: Guard) -> Context {
        Context {
            client: Client { address: Address::Unix(config.gateway.control.clone()), token: None },
            url: format!("http://{}", config.gateway.console),
            secret: secrets(config),
            guard,
            separation,
            again: false,
            upstreams: jail::upstreams(config),
            desk: Some(desk::path(config)),
        }
    }

    /// Returns the command's exit code.
    async fn run(mut self, args: &cli::Run) -> Result<u8, Failure> {
        let minted = self.mint(args).await?;
        // If this process dies, so does the run; if the run ends, so does the agent. Kept until the run is closed.
        let mut hold = self.desk.as_deref().map(|socket| Hold::take(socket, &minted.token)).transpose()?;
        let ended = self.launch(args, &minted, hold.as_mut()).await;
        let status = ended.as_ref().map_or(125, |code| i64::from(*code));
        let remark = ended.as_ref().ok().and_then(|code| self.separation.remark(&args.command, *code));
        remark.iter().for_each(|remark| eprintln!("tacho: {remark}"));
        self.renew(args);
        self.close(&minted, status).await?;
        ended
    }

    /// Tokens live for minutes, and whoever puts them there puts newer ones there.
    fn renew(&mut self, args: &cli::Run) {
        if let Some(Ok(token)) = args.token_file.as_deref().map(issuers_token) {
            self.client.token = Some(token);
        }
    }

    async fn mint(&self, args: &cli::Run) -> Result<Minted, Failure> {
        let body = Mint {
            agent: args.agent.clone(),
            agent_version: args.agent_version.clone(),
            for_: args.on_behalf.clone(),
            task: args.task.clone(),
            argv: args.command.iter().map(|word| printable(word)).collect(),
            confined: self.separation.confines(),
            jailed: args.jail,
        };
        let body = serde_json::to_vec(&body).map_err(|e| Failure::could_not(e.to_string()))?;
        let reply = self.client.send(Method::POST, "/v1/runs", body).await;
        shaped(&reply.map_err(|e| e.into_failure(&self.client.address))?)
    }

    /// From here on the credentials live; whatever happens, the run is closed after it.
    async fn launch(&self, args: &cli::Run, minted: &Minted, hold: Option<&mut Hold>) -> Result<u8, Failure> {
        let home = Home::new(&self.separation)?;
        let login = crate::users::name_of(self.separation.uid());
        let brings = Brings {
            run: &minted.run,
            token: &minted.token,
            url: &self.url,
            resources: &minted.resources,
            proxy: minted.proxy.as_ref(),
            home: home.path(),
            login: &login,
        };
        let own = launch::own_program()?;
        let environment = environment::build(std::env::vars_os(), &args.env, &self.secret, &brings)?;
        let mut jail = match &self.desk {
            Some(desk) if args.jail => {
                Some(Jail::new(home.path(), minted, &self.url, &self.upstreams, desk)?)
            }
            // Inside a run the outer one's jail is where this one is; the gateway has looked whether it has one.
            Some(_) | None => None,
        };
        let launch = Launch {
            separation: &self.separation,
            command: &args.command,
            environment,
            home: &home,
            home_files: home::files(&minted.resources, minted.proxy.as_ref(), &own, home.path(), self.again),
            guard: self.guard.clone(),
            quiet: self.again,
            hold,
            jail: jail.as_mut(),
        };
        let ended = launch.run().await;
        if let Some(jail) = jail
            && let Err(failure) = jail.close().await
        {
            eprintln!("tacho: {failure}");
        }
        ended
    }

    async fn close(&self, minted: &Minted, status: i64) -> Result<(), Failure> {
        let path = format!("/v1/runs/{}/close", minted.run);
        let body = serde_json::to_vec(&Close { status }).map_err(|e| Failure::could_not(e.to_string()))?;
        let sent = self.client.send(Method::POST, &path, body).await;
        match sent.map_err(|e| e.into_failure(&self.client.address))?.done() {
            Ok(()) => Ok(()),
            // Revoked, or expired: the run is over, which is what was asked.
            Err(failure) if failure.exit == crate::fault::Exit::No => {
                eprintln!("tacho: {failure}");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}

/// The token of an issuer in a file that somebody else writes, so that its mode is theirs to choose.
fn issuers_token(file: &std::path::Path) -> Result<Zeroizing<String>, Failure> {
    use std::io::Read;
    let mut text = Zeroizing::new(String::new());
    let limit = u64::try_from(oidc::limits::TOKEN_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(2);
    let read = std::fs::File::open(file).and_then(|opened| opened.take(limit).read_to_string(&mut text));
    read.map_err(|e| Failure::file("read the token in", file, &e))?;
    let token = text.trim();
    match oidc::Token::looks_like_one(token) && token.len() <= oidc::limits::TOKEN_BYTES_MAX {
        true => Ok(Zeroizing::new(token.to_owned())),
        false => Err(Failure::usage(format!(
            "{} holds no token of an issuer: three parts in base64url, as eyJ...; it is one line, and nothing else",
            file.display()
        ))),
    }
}

/// A command's words as text: what is not UTF-8 or is a backslash is escaped, so nothing is lost.
pub fn printable(word: &std::ffi::OsStr) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut out = String::new();
    for chunk in word.as_bytes().utf8_chunks() {
        out.push_str(&chunk.valid().replace('\\', "\\\\"));
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out
}

/// `tacho inside`
pub fn inside(command: &[OsString]) -> Outcome {
    inside::inside(command)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_word_that_is_not_text_loses_nothing() {
        assert_eq!(printable(std::ffi::OsStr::from_bytes(b"a\xff\\x")), "a\\xff\\\\x");
    }
}
