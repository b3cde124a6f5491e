//! The analyst's verbs: thin glue over `answers`, reading the ledger's directory itself, so that they work offline.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use answers::{
    Answer, AuditorProber, Cannot, Desk, Edition, Look, NoReel, Offline, Scope, VerifyAnswer, Watch,
    asciicast, export_bundle,
};
use ledger::keys::{AuditorSecret, KeyError};
use seal::note::{Algorithm, VerifierKey};
use seal::verify::{Known, Options};
use serde::{Deserialize, Serialize};
use vocab::Seq;
use zeroize::Zeroizing;

use crate::cli::{self, ExportAs, LedgerArgs, ReplayAs};
use crate::config::Config;
use crate::desk::ThroughGateway;
use crate::evidence::{Book, Keys, LEDGER, ledger_in, verify as verify_ledger};
use crate::fault::{Failure, Outcome};
use crate::limits::NOTE_BYTES_MAX;
use crate::play::{self, Pace};
use crate::{desk, files, out};
use answers::limits::VALUE_BYTES_MAX;

/// What an analyst's verb reads, and who reads it.
pub struct Reading {
    book: Book,
    who: String,
    watch: Box<dyn Watch>,
}

impl Reading {
    pub fn open(config_file: &Path, args: &LedgerArgs) -> Result<Reading, Failure> {
        let auditor = auditor(args)?;
        let who = caller();
        if let Some(path) = &args.ledger {
            return Ok(Reading {
                book: Book::open(path, Keys::load(None, auditor), Vec::new(), false)?,
                who,
                watch: Box::new(Offline),
            });
        }
        let config = Config::load(config_file)?;
        let keys = Keys::load(Some(&config.gateway.keys), auditor);
        let book = Book::open(&config.gateway.data, keys, config.witness_keys(), true)?;
        Ok(Reading { book, who, watch: Box::new(ThroughGateway { socket: desk::path(&config) }) })
    }

    pub fn ask<A>(&self, ask: impl FnOnce(&Desk<'_>) -> Result<A, Cannot>) -> Result<A, Failure> {
        self.book.ask(&self.who, &*self.watch, ask)
    }

    /// Asks one question and prints its answer.
    fn answer<A: Answer>(&self, json: bool, ask: impl FnOnce(&Desk<'_>) -> Result<A, Cannot>) -> Outcome {
        out::answer(&self.ask(ask)?, json)
    }
}

pub fn runs(config: &Path, args: &LedgerArgs, limit: usize, json: bool) -> Outcome {
    Reading::open(config, args)?.answer(json, |desk| {
        let mut runs = desk.runs()?;
        runs.runs.truncate(limit);
        Ok(runs)
    })
}

pub fn show(config: &Path, args: &cli::OfRun, json: bool) -> Outcome {
    Reading::open(config, &args.ledger)?.answer(json, |desk| desk.show(&args.run))
}

pub fn who(config: &Path, args: &cli::OfRun, json: bool) -> Outcome {
    Reading::open(config, &args.ledger)?.answer(json, |desk| desk.who(&args.run))
}

pub fn touched(config: &Path, args: &cli::OfRun, json: bool) -> Outcome {
    Reading::open(config, &args.ledger)?.answer(json, |desk| desk.touched(&args.run))
}

pub fn exposed(config: &Path, args: &cli::Exposed, json: bool) -> Outcome {
    let reading = Reading::open(config, &args.ledger)?;
    if let Some(run) = &args.run {
        return reading.answer(json, |desk| desk.exposed(&Scope::Run(run)));
    }
    let Some(auditor) = reading.book.auditor() else {
        return Err(Failure::could_not(
            "values are recorded as fingerprints that only an auditor's key can ask about; give --auditor-key FILE",
        ));
    };
    let value = value_from_stdin()?;
    let prober = AuditorProber::new(auditor, reading.book.origin(), reading.book.index(), &value);
    reading.answer(json, |desk| desk.exposed_value(&value, &prober))
}

pub fn find(config: &Path, args: &cli::Find, json: bool) -> Outcome {
    Reading::open(config, &args.ledger)?.answer(json, |desk| {
        let mut found = desk.find(&args.query.join(" "))?;
        let kept = found.actions.len().min(args.limit);
        found.more_actions += u64::try_from(found.actions.len() - kept).unwrap_or(u64::MAX);
        found.actions.truncate(kept);
        Ok(found)
    })
}

pub fn diff(config: &Path, args: &cli::Diff, json: bool) -> Outcome {
    Reading::open(config, &args.ledger)?.answer(json, |desk| desk.diff(&args.left, &args.right))
}

/// Shows a run's steps; with `--speed` as they came in time, that many times faster. What went over SSH is also a recording or a
/// screen.
pub fn replay(config: &Path, args: &cli::Replay, json: bool) -> Outcome {
    if !(args.speed >= 0.0 && args.speed.is_finite()) {
        return Err(Failure::usage(
            "--speed is how many times faster than it was: 1, 10, or 0 for all at once",
        ));
    }
    let (reading, at) = (Reading::open(config, &args.ledger)?, args.at.map(Seq));
    if let (Some(form), Some(output)) = (args.form, &args.output) {
        return recording(&reading, args, form, output, json);
    }
    if args.text {
        let time = args.time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        return reading.answer(json, |desk| desk.seen(&args.run, at, time));
    }
    if json || args.speed == 0.0 {
        return reading.answer(json, |desk| desk.replay(&args.run, at, None));
    }
    in_time(&reading, args)
}

/// Plays the steps, each as long after the one before as it was.
fn in_time(reading: &Reading, args: &cli::Replay) -> Outcome {
    let (replay, casts) = reading.ask(|desk| desk.replay_in_time(&args.run, args.at.map(Seq)))?;
    let pace = Pace { speed: args.speed, idle: args.idle };
    if let Some(broken) = replay.proof.broken() {
        out::print(&format!("{}\n\n", answers::text::visible(&broken)))?;
    }
    let (mut due, mut reached) = (Instant::now(), Duration::ZERO);
    for (step, cast) in replay.steps.iter().zip(casts) {
        let after = Duration::from_millis(step.after_ms);
        let pause = pace.pause(after.saturating_sub(reached));
        // A pause that is longer than any clock goes ends with the analyst's patience.
        due = due.checked_add(pause).unwrap_or(due);
        std::thread::sleep(if pause == Duration::MAX {
            pause
        } else {
            due.saturating_duration_since(Instant::now())
        });
        reached = reached.max(after);
        let mut text = answers::text::Text::within(out::terminal_width());
        match cast.filter(|_| play::can_play()) {
            None => step.render(&mut text),
            Some(cast) => {
                reached = reached.max(after.saturating_add(Duration::from_nanos(cast.length())));
                if !play::play(cast, pace)? {
                    break;
                }
                due = Instant::now();
                // Its output was seen.
                answers::ReplayStep { data: Vec::new(), ..step.clone() }.render(&mut text);
            }
        }
        out::print(&text.finish())?;
    }
    Ok(std::process::ExitCode::from(replay.exit()))
}

/// Writes a recording of what went over SSH.
fn recording(reading: &Reading, args: &cli::Replay, form: ReplayAs, output: &Path, json: bool) -> Outcome {
    let cast = reading.ask(|desk| desk.cast(&args.run, args.at.map(Seq)))?;
    let (edition, name) = match form {
        ReplayAs::Asciicast => (Edition::V3, "asciicast"),
        ReplayAs::Asciicast2 => (Edition::V2, "asciicast2"),
    };
    let out = Out { form: name, output, json, broken: cast.proof.broken() };
    written(cast.run.clone(), asciicast(&cast, edition).as_bytes(), None, out)
}

/// Verifies the configured ledger, while a gateway may be writing it, or what is at the path, which must be whole.
pub fn verify(config: &Path, args: &cli::Verify, json: bool) -> Outcome {
    let mut options = Options {
        anchor: args.key.as_deref().map(|key| verifier_key("--key", key, Algorithm::Ed25519)).transpose()?,
        ..Options::default()
    };
    for key in &args.witness {
        options.witnesses.push(verifier_key("--witness", key, Algorithm::Cosignature)?);
    }
    for file in &args.known {
        options.known.push(known(file)?);
    }
    let path = match &args.path {
        Some(path) => ledger_in(path),
        None => {
            let config = Config::load(config)?;
            let watch = ThroughGateway { socket: desk::path(&config) };
            watch.watch(&caller(), Look::Verify, "ledger").map_err(|e| Failure::could_not(e.to_string()))?;
            options.live = true;
            if options.witnesses.is_empty() {
                (options.witnesses, options.witness_optional) = (config.witness_keys(), true);
            }
            config.gateway.data.join(LEDGER)
        }
    };
    out::answer(&VerifyAnswer::new(&verify_ledger(&path, &options)?), json)
}

/// What was exported, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub run: String,
    pub form: String,
    pub file: String,
    pub bytes: u64,
    /// Of a bundle: what is in it.
    pub bundle: Option<answers::Exported>,
    /// Why the record that it was taken out of does not verify, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

impl Answer for Written {
    const SHAPE: &'static str = "tacho.export/1";

    fn exit_code(&self) -> u8 {
        if self.broken.is_some() { 3 } else { 0 }
    }

    fn render(&self, text: &mut answers::text::Text) {
        self.broken.iter().for_each(|broken| text.line(broken));
        text.line(&format!(
            "wrote {} of run {} into {} ({} bytes)",
            self.form, self.run, self.file, self.bytes
        ));
        if let Some(bundle) = &self.bundle {
            bundle.render(text);
        }
    }
}

pub fn export(config: &Path, args: &cli::Export, json: bool) -> Outcome {
    let reading = Reading::open(config, &args.ledger)?;
    let broken = reading.book.broken();
    let (run, bytes, bundle) = match args.form {
        ExportAs::Html => {
            let report = reading.ask(|desk| desk.report(&args.run, args.results))?;
            (report.show.run.run.clone(), report.to_html().into_bytes(), None)
        }
        ExportAs::Bundle => bundle(&reading, args)?,
    };
    let form = match args.form {
        ExportAs::Html => "html",
        ExportAs::Bundle => "bundle",
    };
    let out = Out { form, output: &args.output, json, broken };
    written(run, &bytes, bundle, out)
}

/// Where to, and what is said of it.
struct Out<'a> {
    form: &'a str,
    output: &'a Path,
    json: bool,
    broken: Option<String>,
}

/// Writes what was taken out of the ledger into a file, or to standard output.
fn written(
    run: String,
    bytes: &[u8],
    bundle: Option<answers::Exported>,
    Out { form, output, json, broken }: Out<'_>,
) -> Outcome {
    if output == Path::new("-") {
        out::bytes(bytes)?;
        return match broken {
            Some(broken) => Err(Failure::could_not(broken)),
            None => Ok(std::process::ExitCode::SUCCESS),
        };
    }
    let failed = |e: &std::io::Error| Failure::file("write", output, e);
    let mut file = BufWriter::new(File::create(output).map_err(|e| failed(&e))?);
    file.write_all(bytes).map_err(|e| failed(&e))?;
    file.into_inner().map_err(|e| failed(e.error()))?.sync_all().map_err(|e| failed(&e))?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let file = output.display().to_string();
    out::answer(&Written { run, form: form.to_owned(), file, bytes: length, bundle, broken }, json)
}

fn bundle(
    reading: &Reading,
    args: &cli::Export,
) -> Result<(String, Vec<u8>, Option<answers::Exported>), Failure> {
    let Some(store) = reading.book.store() else {
        return Err(Failure::usage("that is a bundle already; copy it"));
    };
    // The look is recorded before anything is taken out.
    let run = reading.ask(|desk| {
        let run = desk.find_run(&args.run)?.id;
        desk.watch.watch(desk.who, Look::Export, &run.to_string())?;
        Ok(run)
    })?;
    let key = match args.with_key {
        true => Some(reading.book.run_key(run).map_err(|why| no_key(&why))?),
        false => None,
    };
    let mut bytes = Vec::new();
    let exported =
        export_bundle(store, run, key.as_ref().map(|k| k.expose()), reading.book.witnesses(), &mut bytes)
            .map_err(|e| crate::evidence::cannot(&e))?;
    Ok((run.to_string(), bytes, Some(exported)))
}

fn no_key(why: &NoReel) -> Failure {
    Failure::could_not(match why {
        NoReel::NoKey(why) | NoReel::Damaged(why) => why.clone(),
        NoReel::Erased => "the run's key was destroyed; export without --with-key".to_owned(),
    })
}

/// The operating system's user, as `watch` records and answers name who looked.
pub fn caller() -> String {
    crate::users::name_of(rustix::process::getuid().as_raw())
}

/// The value on standard input, without the newline that a shell adds.
fn value_from_stdin() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut value = Zeroizing::new(Vec::new());
    let limit = u64::try_from(VALUE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let read = std::io::stdin().lock().take(limit).read_to_end(&mut value);
    read.map_err(|e| Failure::could_not(format!("cannot read the value from standard input: {e}")))?;
    if value.last() == Some(&b'\n') {
        value.pop();
    }
    match value.len() {
        0 => Err(Failure::usage(
            "there is no value on standard input; pipe it in: `printf %s VALUE | tacho exposed --value -`",
        )),
        length if length > VALUE_BYTES_MAX => {
            Err(Failure::usage(format!("the value is longer than {VALUE_BYTES_MAX} bytes")))
        }
        _ => Ok(value),
    }
}

fn verifier_key(flag: &str, text: &str, algorithm: Algorithm) -> Result<VerifierKey, Failure> {
    match VerifierKey::parse(text) {
        Ok(key) if key.algorithm() == algorithm => Ok(key),
        Ok(_) => Err(Failure::usage(format!(
            "{flag}: that key is of another kind; a ledger's key goes to --key, a witness's to --witness"
        ))),
        Err(error) => Err(Failure::usage(format!("{flag}: {error}; it reads NAME+HASH+BASE64"))),
    }
}

fn known(file: &Path) -> Result<Known, Failure> {
    let bytes = std::fs::read(file).map_err(|e| Failure::file("read", file, &e))?;
    if bytes.len() > NOTE_BYTES_MAX {
        return Err(Failure::usage(format!("{} is larger than a checkpoint can be", file.display())));
    }
    Known::parse(&bytes)
        .map_err(|e| Failure::usage(format!("{} is not a signed checkpoint: {e}", file.display())))
}

fn auditor(args: &LedgerArgs) -> Result<Option<AuditorSecret>, Failure> {
    let named = args.auditor_key.clone();
    let default = || files::config_home().map(|home| home.join("auditor.key")).filter(|path| path.is_file());
    let Some(path) = named.clone().or_else(default) else { return Ok(None) };
    let Some(text) = files::read_private(&path, 4096)?.map(Zeroizing::new) else {
        return Err(Failure::could_not(format!(
            "there is no auditor's key {}; check --auditor-key",
            path.display()
        )));
    };
    let passphrase = args.passphrase_file.as_deref().map(passphrase).transpose()?;
    match AuditorSecret::from_text(&text, passphrase.as_ref().map(|p| p.as_bytes())) {
        Ok(secret) => Ok(Some(secret)),
        // A key that nobody asked for, under a passphrase that nobody gave, is not used.
        Err(KeyError::PassphraseNeeded) if named.is_none() => Ok(None),
        Err(KeyError::PassphraseNeeded) => Err(Failure::could_not(format!(
            "{} has a passphrase; give it with --passphrase-file FILE",
            path.display()
        ))),
        Err(error) => Err(Failure::could_not(format!("{}: {error}", path.display()))),
    }
}

/// The first line of a file that nobody else can read.
pub fn passphrase(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = files::read_private(file, 4096)?.map(Zeroizing::new);
    let line = text.as_ref().and_then(|t| t.lines().next()).filter(|line| !line.is_empty());
    line.map(|line| Zeroizing::new(line.to_owned())).ok_or_else(|| {
        Failure::could_not(format!("{} holds no passphrase; write it into the first line", file.display()))
    })
}
