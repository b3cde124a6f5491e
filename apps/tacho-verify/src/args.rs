//! The arguments, by hand: four options are no reason for a dependency in a verifier.

use crate::read::{Failure, read_given};
use crate::{COULD_NOT_READ, WRONG_USE};
use seal::note::{Algorithm, VerifierKey};
use seal::verify::{Known, Options};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

const USAGE: &str = "\
Verifies a ledger directory or an evidence bundle, offline.

Usage: tacho-verify [OPTIONS] PATH

PATH is a bundle, or a directory: the gateway's data, its ledger, or the ledger's segments.

Options:
  --key KEY        the ledger's first verifier key, known from elsewhere
  --witness KEY    a witness's verifier key; one of those given must have cosigned records of what is verified,
                   of a bundle its run's (repeatable)
  --known FILE     a checkpoint held elsewhere, which the ledger must continue (repeatable)
  --live           the gateway may be writing: report a torn tail instead of refusing it
  --json           print the verdict as JSON
  -h, --help       print this
  -V, --version    print the version

Exit codes: 0 verified, 1 not verified, 2 wrong use, 3 could not read.
";

pub(crate) enum Command {
    Verify(Box<Request>),
    Print(&'static str),
}

pub(crate) struct Request {
    pub path: PathBuf,
    pub options: Options,
    pub json: bool,
}

/// Why there is nothing to do.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub message: String,
    pub code: u8,
}

pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Wrong> {
    let mut args = args.into_iter();
    let (mut options, mut json, mut path) = (Options::default(), false, None);
    let mut only_paths = false;
    while let Some(arg) = args.next() {
        let flag = arg.to_str().filter(|_| !only_paths).unwrap_or("");
        let (flag, inline) = match flag.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(OsString::from(value))),
            _ => (flag, None),
        };
        let mut value =
            || inline.clone().or_else(|| args.next()).ok_or_else(|| wrong(format!("{flag} needs a value")));
        match flag {
            "--key" if options.anchor.is_some() => return Err(wrong("--key is given twice".into())),
            "--key" => options.anchor = Some(key(flag, &value()?, Algorithm::Ed25519)?),
            "--witness" => options.witnesses.push(key(flag, &value()?, Algorithm::Cosignature)?),
            "--known" => options.known.push(known(&value()?)?),
            "--live" if inline.is_none() => options.live = true,
            "--json" if inline.is_none() => json = true,
            "-h" | "--help" => return Ok(Command::Print(USAGE)),
            "-V" | "--version" => {
                return Ok(Command::Print(concat!("tacho-verify ", env!("CARGO_PKG_VERSION"), "\n")));
            }
            "--" => only_paths = true,
            _ if flag.starts_with('-') && flag.len() > 1 => {
                return Err(wrong(format!("unknown option {flag}; --help lists them")));
            }
            _ if path.is_some() => return Err(wrong("more than one PATH is given".into())),
            _ => path = Some(PathBuf::from(arg)),
        }
    }
    let path = path.ok_or_else(|| wrong("no PATH is given; --help says how".into()))?;
    Ok(Command::Verify(Box::new(Request { path, options, json })))
}

fn wrong(message: String) -> Wrong {
    Wrong { message, code: WRONG_USE }
}

fn key(flag: &str, text: &OsStr, algorithm: Algorithm) -> Result<VerifierKey, Wrong> {
    let key = text.to_str().and_then(|text| VerifierKey::parse(text).ok());
    key.filter(|key| key.algorithm() == algorithm).ok_or_else(|| {
        let kind = match algorithm {
            Algorithm::Ed25519 => "a ledger's verifier key (Ed25519)",
            Algorithm::Cosignature => "a witness's verifier key (timestamped Ed25519)",
        };
        wrong(format!("{flag}: not {kind}, NAME+HASH+BASE64"))
    })
}

fn known(path: &OsStr) -> Result<Known, Wrong> {
    let path = Path::new(path);
    let note = read_given(path).map_err(|failure| match failure {
        Failure::Unreadable { what, .. } => {
            Wrong { message: format!("--known {}: {what}", path.display()), code: COULD_NOT_READ }
        }
        Failure::NotVerified(finding) => wrong(finding.to_string()),
    })?;
    Known::parse(&note).map_err(|error| wrong(format!("--known {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str]) -> Result<Command, u8> {
        parse(args.iter().map(OsString::from)).map_err(|wrong| wrong.code)
    }

    #[test]
    fn wrong_use_is_told_from_what_cannot_be_read() {
        let witness = seal::testkit::Writer::witness("w").verifier_key().to_string();
        let ledger = seal::testkit::Writer::signer("gw", 0).verifier_key().to_string();
        for args in [
            &[][..],
            &["a", "b"],
            &["--nonsense", "a"],
            &["--key"],
            &["--key", "nonsense", "a"],
            &["--key", &witness, "a"],
            &["--witness", &ledger, "a"],
            &["--key", &ledger, "--key", &ledger, "a"],
            &["--json=yes", "a"],
        ] {
            assert_eq!(check(args).err(), Some(WRONG_USE), "{args:?}");
        }
        assert_eq!(check(&["--known", "/nowhere/at/all", "a"]).err(), Some(COULD_NOT_READ));
        let key = format!("--key={ledger}");
        let Ok(Command::Verify(request)) =
            check(&[&key, "--witness", &witness, "--live", "--json", "--", "-a"])
        else {
            panic!("refused")
        };
        assert_eq!(request.path, Path::new("-a"));
        assert!(request.json && request.options.live && request.options.anchor.is_some());
        assert_eq!(request.options.witnesses.len(), 1);
    }
}
