//! `tacho`: the composition root and the command line.
//!
//! Reading order: [`cli`] (every verb and flag) -> [`config`] (what the operator wrote) -> [`up`] (wire it up) ->
//! [`run`] (an agent in a run of its own) -> the other verbs, one module each.
//!
//! **Invariant:** only this crate prints, reads the environment, and knows every other crate.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod again;
mod analyst;
mod approvals;
mod check;
mod cli;
mod config;
mod desk;
mod evidence;
mod fault;
mod files;
mod hex;
mod http;
mod init;
mod issuers;
mod limits;
mod mcp;
mod operators;
mod out;
mod paper;
mod people;
mod play;
mod policies;
mod proc;
mod run;
mod serve;
mod up;
mod users;
mod wired;
mod witness;
mod witnesses;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, RunsVerb, ToolsVerb, Verb};
use fault::{Failure, Outcome};

/// Sessions are served by many small pieces that live as long as one statement.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The one provider; a second call only finds it there.
    let _installed_already = rustls::crypto::ring::default_provider().install_default();
    let json = cli.json;
    dispatch(cli).unwrap_or_else(|failure: Failure| {
        out::failure(&failure, json);
        failure.exit.into()
    })
}

fn dispatch(cli: Cli) -> Outcome {
    let (config, json) = (&*cli.config, cli.json);
    match cli.verb {
        Verb::Init(args) => init::init(&args, json),
        Verb::Check(args) => check::check(config, &args, json),
        Verb::Up(args) => up::up(config, &args),
        Verb::Run(args) => run::run(config, &args),
        Verb::Runs(args) => match &args.verb {
            Some(RunsVerb::Revoke(args)) => approvals::revoke(config, args, json),
            Some(RunsVerb::Erase(args)) => approvals::erase(config, args, json),
            None => analyst::runs(config, &args.ledger, args.limit, json),
        },
        Verb::Tools(args) => match &args.verb {
            Some(ToolsVerb::Accept(args)) => approvals::accept_tool(config, args, json),
            None => approvals::tools(config, &args.api, json),
        },
        Verb::Show(args) => analyst::show(config, &args, json),
        Verb::Replay(args) if args.command.is_empty() => analyst::replay(config, &args, json),
        Verb::Replay(args) => again::again(config, &args, json),
        Verb::Who(args) => analyst::who(config, &args, json),
        Verb::Touched(args) => analyst::touched(config, &args, json),
        Verb::Exposed(args) => analyst::exposed(config, &args, json),
        Verb::Find(args) => analyst::find(config, &args, json),
        Verb::Diff(args) => analyst::diff(config, &args, json),
        Verb::Approvals(args) => approvals::list(config, &args, json),
        Verb::Approve(args) => approvals::approve(config, &args, json),
        Verb::Deny(args) => approvals::deny(config, &args, json),
        Verb::Verify(args) => analyst::verify(config, &args, json),
        Verb::Export(args) => analyst::export(config, &args, json),
        Verb::Status(api) => approvals::status(config, &api, json),
        Verb::Doctor => check::doctor(config, json),
        Verb::Witness(args) => witness::witness(&args, json),
        Verb::Policy(verb) => policies::policy(config, &verb, json),
        Verb::Operator(verb) => people::operator(config, &verb, json),
        Verb::Completions(args) => paper::completions(args.shell),
        Verb::Man(args) => paper::man(&args.dir, json),
        Verb::Mcp(args) => mcp::mcp(&args),
        Verb::Inside(args) => run::inside(&args.command),
    }
}
