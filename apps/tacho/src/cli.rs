//! The one definition of every verb and flag. Help, man pages and shell completions are made from it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The door between AI agents and your databases: decides each request, masks what comes back, and keeps a record that proves it.
#[derive(Debug, Parser)]
#[command(
    name = "tacho",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, short = 'c', global = true, value_name = "FILE", env = "TACHO_CONFIG", default_value = crate::config::FILE_NAME)]
    pub config: PathBuf,

    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    pub json: bool,

    #[command(subcommand)]
    pub verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer is no: not verified, exposed, refused, not found
  2  wrong use: flags, configuration, policy
  3  could not: a file, a socket, an upstream
`tacho run` exits with the command's own code, or 128 + N if signal N ended it.";

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write a commented tacho.toml, a starter policy and an auditor's key; asks nothing and overwrites nothing.
    Init(Init),
    /// Validate configuration and policy, reach each upstream, and show the rules as resolved.
    Check(Check),
    /// Run the gateway: data path, approvals and console.
    Up(Up),
    /// Run an unchanged agent inside a run of its own; starts a gateway for its life if none is up.
    Run(Run),
    /// List runs, newest first; or revoke one, or erase what one was shown.
    Runs(Runs),
    /// List what servers of MCP say of their tools, or accept that it has changed.
    Tools(Tools),
    /// Show one run: actions, verdicts, approvals, exposures.
    Show(OfRun),
    /// Step through a run as the agent saw it; with a command, carry it out again, answered out of the record.
    Replay(Replay),
    /// Who initiated a run: human, caller, agent, approvers.
    Who(OfRun),
    /// What a run touched: resources, columns, rows.
    Touched(OfRun),
    /// Whether sensitive data was exposed, in a run or (with --value) anywhere.
    Exposed(Exposed),
    /// Search all runs: `table:customers verb:write since:2h`.
    Find(Find),
    /// Compare two runs.
    Diff(Diff),
    /// List the requests that wait for a person, or show one whole.
    Approvals(Approvals),
    /// Approve a request that waits.
    Approve(Approve),
    /// Deny a request that waits.
    Deny(Deny),
    /// Verify a ledger directory or a bundle, offline.
    Verify(Verify),
    /// Export a run as evidence.
    Export(Export),
    /// Health of the running gateway: ledger, runs, resources, and what is wrong.
    Status(Api),
    /// What is wrong with this installation, and how to mend it.
    Doctor,
    /// Cosign other gateways' checkpoints, so that their past cannot be rewritten (C2SP tlog-witness).
    Witness(Witness),
    /// Check, test or replay the policy.
    #[command(subcommand)]
    Policy(Policy),
    /// People who may approve, audit or administer over the API.
    #[command(subcommand)]
    Operator(Operator),
    /// Speak to a server of MCP over standard input and output, through the gateway. For MCP configurations of agents in a
    /// run.
    Mcp(Mcp),
    /// Print a completion script.
    Completions(Completions),
    /// Write the man pages into a directory.
    Man(Man),
    /// The first process inside a run's namespaces. Started by `tacho run` only.
    #[command(hide = true)]
    Inside(Inside),
}

#[derive(Debug, Args)]
pub struct Init {
    /// Where to write.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Encrypt the auditor's key with the passphrase in this file (its first line).
    #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
    pub passphrase_file: Option<PathBuf>,
    /// Keep the auditor's key without a passphrase, and do not remark on it.
    #[arg(long)]
    pub no_passphrase: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    /// Do not reach the upstreams.
    #[arg(long)]
    pub offline: bool,
}

#[derive(Debug, Args)]
pub struct Up {
    /// Print one line when ready, then nothing; for service managers.
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Run {
    /// The agent's name, as policy knows it.
    #[arg(long, value_name = "NAME")]
    pub agent: String,
    /// The agent's version.
    #[arg(long, value_name = "TEXT")]
    pub agent_version: Option<String>,
    /// The human whom the run is for, if not you; needs `delegate`.
    #[arg(long = "for", value_name = "HUMAN")]
    pub on_behalf: Option<String>,
    /// Mint the run by the token of an [[issuer]] in this file, at a gateway that is up, and not as the user that you are. The
    /// file is read again when the run is closed, and is hidden from the agent.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// What the run is about.
    #[arg(long, value_name = "TEXT")]
    pub task: Option<String>,
    /// Let the agent see this variable of your environment, or set it: NAME or NAME=VALUE.
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// Fail if the agent cannot be separated from the gateway, instead of running it unconfined.
    #[arg(long)]
    pub confined: bool,
    /// Put the agent into an empty network, with the gateway's listeners in it and nothing else; what else it tries to
    /// reach is refused and recorded. Fails where the kernel refuses any part of it.
    #[arg(long)]
    pub jail: bool,
    /// The agent's command.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Mcp {
    /// The resource; may be left out where only one comes into question.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// The server's command, for a resource with upstream = "stdio:": it is started here, with the agent's rights. Without
    /// one the server is the resource's own, behind the gateway.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Runs {
    #[command(subcommand)]
    pub verb: Option<RunsVerb>,
    /// How many to list.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

#[derive(Debug, Subcommand)]
pub enum RunsVerb {
    /// End a run at once: its credentials die and its connections are cut.
    Revoke(Revoke),
    /// Destroy the key of a run that is over: what it was shown is read by nobody any more, and its record stays and verifies.
    Erase(Erase),
}

#[derive(Debug, Args)]
pub struct Revoke {
    /// The run: its id, or at least six digits of it.
    pub run: String,
    /// Why; it is recorded.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub api: Api,
}

#[derive(Debug, Args)]
pub struct Erase {
    /// The run: its whole id.
    pub run: String,
    /// Why; it is recorded.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    #[command(flatten)]
    pub api: Api,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Tools {
    #[command(subcommand)]
    pub verb: Option<ToolsVerb>,
    #[command(flatten)]
    pub api: Api,
}

#[derive(Debug, Subcommand)]
pub enum ToolsVerb {
    /// Take what a server says of a tool, as `tacho tools` showed it, for what it is to say. It is listed and called again.
    Accept(AcceptTool),
}

#[derive(Debug, Args)]
pub struct AcceptTool {
    /// The resource.
    pub resource: String,
    /// The tool.
    pub tool: String,
    /// The digest that `tacho tools` shows with the new description.
    pub digest: String,
    #[command(flatten)]
    pub api: Api,
}

/// Where to read the record: the configured ledger, or a copy.
#[derive(Clone, Debug, Args)]
pub struct LedgerArgs {
    /// Read this ledger directory or bundle instead of the configured one.
    #[arg(long, value_name = "PATH")]
    pub ledger: Option<PathBuf>,
    /// The auditor's secret key, for what is sealed.
    #[arg(long, value_name = "FILE", env = "TACHO_AUDITOR_KEY")]
    pub auditor_key: Option<PathBuf>,
    /// The auditor's passphrase, if its key has one (first line of a file).
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct OfRun {
    /// The run: its id, or at least six digits of it.
    pub run: String,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

#[derive(Debug, Args)]
pub struct Replay {
    /// The run: its id, or at least six digits of it.
    pub run: String,
    /// Begin at this record. With --as or --text: the command or terminal over SSH that the record is of, or the session that
    /// begins with it.
    #[arg(long, value_name = "SEQ")]
    pub at: Option<u64>,
    /// Play in time, this many times faster; 0 shows all at once. Commands and terminals over SSH are played on a terminal: space
    /// stops and goes on, the arrows seek 5 s, `.` goes to what happens next, `q` ends it.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub speed: f64,
    /// Playing in time: make no pause longer than this.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "speed")]
    pub idle: Option<Duration>,
    /// Write what was said over SSH as a recording for players of asciinema's.
    #[arg(long = "as", value_name = "FORM", requires = "output", conflicts_with_all = ["speed", "text"])]
    pub form: Option<ReplayAs>,
    /// Where to write the recording; `-` is standard output.
    #[arg(long, short, value_name = "FILE", requires = "form")]
    pub output: Option<PathBuf>,
    /// Show the screen of a command or terminal over SSH as text: after the record --at, if that is of a piece of output, or else
    /// at the end.
    #[arg(long, conflicts_with = "speed")]
    pub text: bool,
    /// With --text: the screen so long after the beginning (`12.5s`).
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "text")]
    pub time: Option<Duration>,
    /// Carrying out again: go on where a request differs in nothing but values (literals and parameters of SQL; times, long
    /// numbers and random ids of HTTP).
    #[arg(long, requires = "command")]
    pub any_values: bool,
    /// Carrying out again: as of `tacho run`.
    #[arg(long, value_name = "NAME", requires = "command")]
    pub env: Vec<String>,
    /// Carrying out again: leave the command this machine's network, where it may reach what it can without the gateway.
    #[arg(long, requires = "command")]
    pub no_jail: bool,
    #[command(flatten)]
    pub ledger: LedgerArgs,
    /// Carry the run out again with this command: it is answered out of the record, no upstream is reached, and the first
    /// request that differs is named.
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["at", "speed", "idle", "form", "output", "text", "time"])]
    pub command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReplayAs {
    /// Version 3.
    Asciicast,
    /// Version 2, for older players.
    Asciicast2,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("subject").required(true).args(["run", "value"]))]
pub struct Exposed {
    /// The run: its id, or at least six digits of it.
    pub run: Option<String>,
    /// Ask of one value, read from standard input (write `-`), whether it ever reached an agent.
    #[arg(long, value_name = "-", value_parser = only_dash)]
    pub value: Option<String>,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

const FIND_KEYS: &str = "\
Keys:
  resource, table, column, verb, function, tool, human, agent, run, class, exposure,
  tripwire, verdict, effect, rule, approver, code, via, text; since, until
A dash before a term negates it; a term without a key is text.
Times are 2h, 1d or 2026-09-21T14:13:20Z.
  tacho find table:customers verb:write since:2h -human:ada";

#[derive(Debug, Args)]
#[command(after_help = FIND_KEYS)]
pub struct Find {
    /// Terms, all of which must hold.
    #[arg(required = true)]
    pub query: Vec<String>,
    /// How many to list.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

#[derive(Debug, Args)]
pub struct Diff {
    pub left: String,
    pub right: String,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// How to reach a running gateway's API, and as whom.
#[derive(Clone, Debug, Args)]
pub struct Api {
    /// The gateway's address, if it is not this machine's: http://HOST:PORT.
    #[arg(long, value_name = "URL", env = "TACHO_URL")]
    pub url: Option<String>,
    /// A file that holds your operator token; else TACHO_OPERATOR_TOKEN, else ~/.config/tacho/token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Approvals {
    /// Show this request whole: its id, or at least six digits of it.
    pub id: Option<String>,
    #[command(flatten)]
    pub api: Api,
}

#[derive(Debug, Args)]
pub struct Approve {
    /// The request: its id, or at least six digits of it.
    pub id: String,
    /// Sign the approval with this SSH key; the signature is recorded.
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
    /// Approve this statement's shape in this run for some minutes, not only this request.
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=i64::from(gate::limits::SHAPE_MINUTES_MAX)))]
    pub shape: Option<u32>,
    #[command(flatten)]
    pub api: Api,
}

#[derive(Debug, Args)]
pub struct Deny {
    /// The request: its id, or at least six digits of it.
    pub id: String,
    /// Why; the agent sees it.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub api: Api,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// A ledger directory or a bundle; the configured ledger if none is given.
    pub path: Option<PathBuf>,
    /// The ledger's verifier key, as you got it by another way than the ledger.
    #[arg(long, value_name = "VERIFIER_KEY")]
    pub key: Option<String>,
    /// A witness whose signature you trust.
    #[arg(long, value_name = "VERIFIER_KEY")]
    pub witness: Vec<String>,
    /// A checkpoint you kept; the ledger has to continue it.
    #[arg(long, value_name = "FILE")]
    pub known: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportAs {
    /// One file with the run's records and the proofs that they are in the ledger.
    Bundle,
    /// One self-contained page that a lawyer can read.
    Html,
}

#[derive(Debug, Args)]
pub struct Export {
    /// The run: its id, or at least six digits of it.
    pub run: String,
    #[arg(long = "as", value_name = "FORM", default_value = "bundle")]
    pub form: ExportAs,
    /// Where to write; `-` is standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Put the run's key into the bundle, so that its holder can read the payloads.
    #[arg(long)]
    pub with_key: bool,
    /// Show on the page what came back, where a key opens it.
    #[arg(long)]
    pub results: bool,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Validate the policy; every error at once.
    Check {
        /// The policy directory, if not the configured one.
        dir: Option<PathBuf>,
    },
    /// Run the examples that stand beside the rules.
    Test {
        /// The policy directory, if not the configured one.
        dir: Option<PathBuf>,
    },
    /// Decide recorded runs again under a policy, and list what differs.
    Replay {
        /// The policy directory, if not the configured one.
        dir: Option<PathBuf>,
        /// Only this run.
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        #[command(flatten)]
        ledger: LedgerArgs,
    },
}

/// What an operator may do over the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// Answer requests that wait for the operator's groups.
    Approver,
    /// Read the record.
    Auditor,
    /// Revoke and erase runs, reload the policy.
    Admin,
}

#[derive(Debug, Subcommand)]
pub enum Operator {
    /// Add an operator and print the token, once.
    Add {
        /// The person's name: the same as the human's, so that nobody approves a run of their own.
        name: String,
        #[arg(long, value_name = "ROLE", required = true)]
        role: Vec<Role>,
        /// A group whose approvals this person gives.
        #[arg(long, value_name = "GROUP")]
        group: Vec<String>,
        /// The person's SSH public key, for signed approvals.
        #[arg(long, value_name = "FILE")]
        ssh_key: Option<PathBuf>,
    },
    /// List operators.
    List,
    /// Remove an operator; the token dies at once.
    Remove { name: String },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Witness {
    #[command(subcommand)]
    pub verb: Option<WitnessVerb>,
    /// Where gateways reach it: HOST:PORT.
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub listen: Option<std::net::SocketAddr>,
    /// The witness's key, as `keygen` made it.
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Option<PathBuf>,
    /// What the witness has cosigned, as `keygen` made it. Never restore an old copy of it.
    #[arg(long, value_name = "DIR", required = true)]
    pub state: Option<PathBuf>,
    /// A ledger's first verifier key; later ones are followed. Repeatable.
    #[arg(long, value_name = "VERIFIER_KEY", required = true)]
    pub log: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum WitnessVerb {
    /// Make a witness's key and its empty memory, and print the verifier key.
    Keygen(WitnessKeygen),
}

#[derive(Debug, Args)]
pub struct WitnessKeygen {
    /// The witness's name, as signatures show it: best a URL without its scheme.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// Where to write the key; a file that is not there yet.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Where to keep what it has cosigned.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
}

#[derive(Debug, Args)]
pub struct Completions {
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct Inside {
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Man {
    /// The directory, made if it is not there.
    pub dir: PathBuf,
}

/// `12.5` or `12.5s`.
fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    let duration = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    duration.ok_or_else(|| "it reads 12.5 or 12.5s".to_owned())
}

fn only_dash(text: &str) -> Result<String, String> {
    match text {
        "-" => Ok(text.to_owned()),
        _ => Err("a value on the command line would stay in the shell's history; write `--value -` and give it on standard input".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(words)
    }

    #[test]
    fn the_help_of_find_has_every_key() {
        for key in answers::Key::ALL {
            let named = |word: &str| word == key.as_str();
            assert!(FIND_KEYS.split(|c: char| !c.is_ascii_alphanumeric()).any(named), "{}", key.as_str());
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_agents_command_is_taken_as_it_is() {
        let cli = parse(&["tacho", "run", "--agent", "a", "--", "psql", "--json", "-c", "select 1"]).unwrap();
        assert!(!cli.json);
        let Verb::Run(run) = cli.verb else { panic!() };
        assert_eq!(run.command, ["psql", "--json", "-c", "select 1"]);
        assert!(parse(&["tacho", "run", "--agent", "a", "psql"]).is_err(), "a command needs its --");
        assert!(parse(&["tacho", "run", "--", "psql"]).is_err(), "an agent has a name");
    }

    #[test]
    fn every_verb_takes_json_after_it() {
        for verb in ["check", "runs", "approvals", "status", "doctor"] {
            assert!(parse(&["tacho", verb, "--json"]).unwrap().json, "{verb}");
        }
        assert!(parse(&["tacho", "show", "abcdef", "--json"]).unwrap().json);
    }

    #[test]
    fn a_value_is_never_an_argument() {
        assert!(parse(&["tacho", "exposed", "--value", "-"]).is_ok());
        let error = parse(&["tacho", "exposed", "--value", "123-45-6789"]).unwrap_err().to_string();
        assert!(error.contains("history"), "{error}");
        assert!(parse(&["tacho", "exposed"]).is_err());
        assert!(parse(&["tacho", "exposed", "abcdef", "--value", "-"]).is_err());
    }

    #[test]
    fn a_replay_is_one_thing_at_a_time() {
        let replay = |flags: &[&str]| {
            let cli = parse(&[&["tacho", "replay", "abcdef"], flags].concat())?;
            let Verb::Replay(replay) = cli.verb else { panic!() };
            Ok::<Replay, clap::Error>(replay)
        };
        let time = replay(&["--text", "--time", "12.5s"]).unwrap().time;
        assert_eq!(time, Some(Duration::from_millis(12_500)));
        assert_eq!(replay(&["--speed", "2", "--idle", "1"]).unwrap().idle, Some(Duration::from_secs(1)));
        assert!(replay(&["--as", "asciicast", "-o", "-", "--at", "7"]).is_ok());
        let wrong: [&[&str]; 9] = [
            &["--as", "asciicast"],
            &["--output", "x"],
            &["--time", "1"],
            &["--text", "--time", "-1"],
            &["--text", "--time", "soon"],
            &["--idle", "1"],
            &["--text", "--speed", "1"],
            &["--as", "asciicast", "-o", "x", "--text"],
            &["--text", "--", "true"],
        ];
        for flags in wrong {
            assert!(replay(flags).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn runs_lists_revokes_and_erases() {
        assert!(matches!(parse(&["tacho", "runs"]).unwrap().verb, Verb::Runs(Runs { verb: None, .. })));
        let cli = parse(&["tacho", "runs", "revoke", "abcdef", "--reason", "strange"]).unwrap();
        assert!(matches!(cli.verb, Verb::Runs(Runs { verb: Some(RunsVerb::Revoke(_)), .. })));
        let erase = ["tacho", "runs", "erase", "abcdef", "--reason", "asked to"];
        let cli = parse(&erase).unwrap();
        assert!(matches!(cli.verb, Verb::Runs(Runs { verb: Some(RunsVerb::Erase(_)), .. })));
        assert!(parse(&erase[..4]).is_err(), "nothing is erased without a reason");
    }

    #[test]
    fn a_witness_serves_or_makes_a_key() {
        let serve =
            ["tacho", "witness", "--listen", "127.0.0.1:0", "--key", "k", "--state", "s", "--log", "x"];
        assert!(matches!(parse(&serve).unwrap().verb, Verb::Witness(Witness { verb: None, .. })));
        assert!(parse(&serve[..8]).is_err(), "a witness has a log");
        let keygen = ["tacho", "witness", "keygen", "--name", "w", "--key", "k", "--state", "s"];
        assert!(matches!(parse(&keygen).unwrap().verb, Verb::Witness(Witness { verb: Some(_), .. })));
    }

    #[test]
    fn wrong_use_is_exit_2_and_help_is_0() {
        assert_eq!(parse(&["tacho", "frobnicate"]).unwrap_err().exit_code(), 2);
        assert_eq!(parse(&["tacho"]).unwrap_err().exit_code(), 2);
        assert_eq!(parse(&["tacho", "--help"]).unwrap_err().exit_code(), 0);
    }
}
