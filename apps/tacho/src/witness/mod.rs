//! `tacho witness`: a C2SP tlog-witness for another machine. It cosigns what continues what it cosigned before, and
//! nothing else; whoever rewrites a ledger has to rewrite this memory, too.
//!
//! Reading order: `seal::witness` (what is asked, what is refused) -> [`state`] (what is known, durable before a
//! signature leaves) -> [`serve`] (HTTP, with limits).

mod limits;
mod serve;
mod state;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use seal::note::{Algorithm, Signer, VerifierKey, is_name};
use zeroize::Zeroizing;

use crate::cli::{self, WitnessVerb};
use crate::fault::{Failure, Outcome};
use crate::{files, hex, out};

use limits::KEY_FILE_BYTES_MAX;
use state::State;

pub fn witness(args: &cli::Witness, json: bool) -> Outcome {
    if let Some(WitnessVerb::Keygen(args)) = &args.verb {
        return keygen(args, json);
    }
    let (Some(listen), Some(key), Some(state)) = (args.listen, &args.key, &args.state) else {
        return Err(Failure::usage("a witness needs --listen, --key, --state and --log"));
    };
    let signer = load(key)?;
    let logs = args.log.iter().map(|log| log_key(log)).collect::<Result<Vec<_>, _>>()?;
    let state = State::open(state, signer, logs)?;
    run(listen, state)
}

fn run(listen: SocketAddr, state: State) -> Outcome {
    crate::up::runtime()?.block_on(async {
        let (mut term, mut int, _) = crate::up::signals()?;
        let listener = tokio::net::TcpListener::bind(listen).await.map_err(|e| {
            Failure::could_not(format!("cannot listen on {listen}: {e}; give --listen a free address"))
        })?;
        let address = listener.local_addr().unwrap_or(listen);
        eprintln!("tacho: witness {} listens on http://{address}", state.key());
        for (origin, size) in state.known() {
            eprintln!("tacho: {origin} is cosigned up to {size} records");
        }
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            () = serve::serve(listener, Arc::new(state)) => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// A key, and the empty memory that belongs to it. Neither is made by itself later: a witness that begins anew under an
/// old key would sign a second history.
fn keygen(args: &cli::WitnessKeygen, json: bool) -> Outcome {
    if !is_name(&args.name) {
        return Err(Failure::usage(format!("{:?} is not a name: no spaces, no '+'", args.name)));
    }
    let seed = Zeroizing::new(relay::entropy::random::<32>());
    let signer = signer(&args.name, &seed)?;
    if args.key.exists() {
        return Err(taken(&args.key));
    }
    if !State::make(&args.state, signer.verifier_key())? {
        return Err(Failure::could_not(format!(
            "{} holds a witness's memory already; give --state another directory",
            args.state.display()
        )));
    }
    let text = Zeroizing::new(format!("{}\n{}\n", args.name, hex::encode(&*seed)));
    if !files::write_new(&args.key, 0o600, text.as_bytes())? {
        return Err(taken(&args.key));
    }
    out::answer(&out::Told { lines: vec![signer.verifier_key().to_string()] }, json)
}

fn taken(key: &Path) -> Failure {
    Failure::could_not(format!(
        "{} is there already, and nothing is overwritten; give --key another file",
        key.display()
    ))
}

fn load(path: &Path) -> Result<Signer, Failure> {
    let text = files::read_private(path, KEY_FILE_BYTES_MAX)?.map(Zeroizing::new).ok_or_else(|| {
        Failure::could_not(format!("there is no {}; make one with `tacho witness keygen`", path.display()))
    })?;
    let seed = text
        .split_once('\n')
        .and_then(|(name, seed)| Some((name, Zeroizing::new(hex::decode::<32>(seed.strip_suffix('\n')?)?))));
    let (name, seed) =
        seed.ok_or_else(|| Failure::usage(format!("{} is not a witness's key", path.display())))?;
    signer(name, &seed)
}

fn signer(name: &str, seed: &[u8; 32]) -> Result<Signer, Failure> {
    Signer::from_seed(name, Algorithm::Cosignature, seed).map_err(|e| Failure::usage(e.to_string()))
}

fn log_key(text: &str) -> Result<VerifierKey, Failure> {
    match VerifierKey::parse(text) {
        Ok(key) if key.algorithm() == Algorithm::Ed25519 => Ok(key),
        _ => Err(Failure::usage(format!(
            "--log {text}: not a ledger's verifier key, NAME+HASH+BASE64; `tacho up` prints it"
        ))),
    }
}
