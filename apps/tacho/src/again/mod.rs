//! `tacho replay RUN -- COMMAND`: the unchanged agent once more, answered out of the record.
//!
//! The command is in a jail, unless somebody takes it out of it: the live gateway would not know that it is inside a run. What
//! it prints goes to standard error, since the report is what stands on standard output.
//!
//! A gateway of its own stands in a directory that goes with it. It mints a run as ever, so that the agent finds what it found;
//! behind it is no upstream but [`tape::Tape`]. Reading order: [`again`] tells the story, [`tape`] which answer belongs to what
//! is asked, [`report`] what came of it.

mod report;
mod tape;
mod volatile;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vocab::Durability;

use crate::analyst::Reading;
use crate::cli;
use crate::config::{Config, Credential};
use crate::fault::{Failure, Outcome};
use crate::{files, hex, operators, out, run};
use report::Again;
use tape::Tape;

/// Carries a run out again with `args.command`.
pub fn again(config_file: &Path, args: &cli::Replay, json: bool) -> Outcome {
    run::refuse_inside("carry a run out again")?;
    let config = Config::load(config_file)?;
    let taped = Reading::open(config_file, &args.ledger)?.ask(|desk| desk.taped(&args.run))?;
    let (id, status_then, proof) = (taped.run.to_string(), taped.status, taped.proof.clone());
    let recorded = taped.exchanges.len() as u64;
    let command = cli::Run {
        agent: taped.agent.clone(),
        agent_version: taped.agent_version.clone(),
        on_behalf: None,
        task: taped.task.clone(),
        env: args.env.clone(),
        confined: false,
        jail: !args.no_jail,
        command: args.command.clone(),
        token_file: None,
    };
    let tape = Arc::new(Tape::new(taped, args.any_values));
    let place = Place::new()?;
    let ledger = &args.ledger;
    let secret = [&ledger.ledger, &ledger.auditor_key, &ledger.passphrase_file].into_iter().flatten();
    let secret = secret.filter_map(|path| std::path::absolute(path).ok()).collect();
    let status = run::again(&config, place.config(&config)?, secret, tape.clone(), &command)?;
    let (counts, parted) = tape.end();
    out::answer(&Again::new(id, recorded, counts, parted, (status, status_then), !args.no_jail, proof), json)
}

/// Where the gateway of a re-execution stands. It goes with this.
struct Place(PathBuf);

impl Place {
    fn new() -> Result<Place, Failure> {
        let name = format!("tacho-again-{}", hex::encode(&operators::random::<8>()?));
        let path = std::env::temp_dir().join(name);
        files::own_dir(&path)?;
        Ok(Place(path))
    }

    /// `config` with everything that a gateway writes or listens on put here, and without a credential.
    fn config(&self, config: &Config) -> Result<Config, Failure> {
        let mut here = config.clone();
        let gateway = &mut here.gateway;
        gateway.origin = None;
        gateway.data = self.0.join("data");
        gateway.keys = self.0.join("keys");
        gateway.control = self.0.join("run").join("control.sock");
        gateway.durability = Durability::Os;
        gateway.auditors = Vec::new();
        gateway.console = free_address()?;
        if let Some(proxy) = &mut gateway.proxy {
            proxy.set_port(0);
        }
        for resource in &mut here.resources {
            (resource.credential, resource.client_certificate) = (Credential::None, None);
            if let Some(listen) = &mut resource.listen {
                listen.set_port(0);
            }
        }
        here.witnesses = Vec::new();
        Ok(here)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left holds nothing but that there was a run.
        let _left_for_the_next_boot = std::fs::remove_dir_all(&self.0);
    }
}

/// An address of this machine that nobody listens on now.
fn free_address() -> Result<std::net::SocketAddr, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.map_err(|e| Failure::could_not(format!("cannot find a free port: {e}")))
}
