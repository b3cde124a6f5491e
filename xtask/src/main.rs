//! What a developer, a newcomer and the continuous integration call: `cargo xtask COMMAND`.
//!
//! Reading order: [`home`] (where things are kept) -> [`setup`] (what has to be installed) ->
//! [`step`] (a timed step and the table at the end) -> [`test`], [`tidy`], [`demo`], [`bench`],
//! [`release`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bench;
mod corpus;
mod debian;
mod demo;
mod home;
mod kubernetes;
mod regress;
mod release;
mod setup;
mod step;
mod suites;
mod test;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  demo [--stay]      the whole thing in a few minutes: a real PostgreSQL, the gateway before it, an agent
                     that reads, is masked, refused, asks, and is asked to leak; then the three answers;
                     --stay waits for Enter before the gateway stops, so that its pages can be looked at
  test [--all] [--seed N] [--only WORD]
                     format, lints, tidy, unit tests, real servers and clients; --all adds what takes longer,
                     --only runs the steps whose name has WORD
  setup [--all]      install what the two commands above need (they call it themselves)
  setup kubernetes   build an API server and a kubelet for the tests of Kubernetes, once: some ten minutes
  tidy               the rules of the house over the source alone: arrows, mint sites, bans, documents
  bench WHAT         figures side by side: ledger, postgres, http, ssh, all
  release            the two binaries, stripped and optimised, with their checksums

Environment: XDG_CACHE_HOME (else ~/.cache) holds tachograph/{target,venv,kubernetes,...}; CARGO_TARGET_DIR wins over target/.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.split_first() {
        Some((&"test", rest)) => test::Options::read(rest).and_then(test::run),
        Some((&"setup", [])) => setup::ready(setup::Wanted::Test).map(drop),
        Some((&"setup", ["kubernetes"])) => {
            home::Home::find().and_then(|home| kubernetes::ready(&home)).map(|_folder| ())
        }
        Some((&"setup", ["--all"])) => setup::ready(setup::Wanted::All).map(drop),
        Some((&"tidy", [])) => tidy::run(),
        Some((&"bench", rest)) => bench::run(rest),
        Some((&"demo", [])) => demo::run(false),
        Some((&"demo", ["--stay"])) => demo::run(true),
        Some((&"release", [])) => release::run(),
        Some((&("help" | "--help" | "-h"), _)) | None => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(_) => {
            eprintln!("xtask does not know `{}`\n\n{HELP}", words.join(" "));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(step::Stop::Failed) => ExitCode::from(1),
        Err(step::Stop::Usage(text)) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
        Err(step::Stop::Could(text)) => {
            eprintln!("could not go on: {text}");
            ExitCode::from(3)
        }
    }
}
