//! Programs that write what they read in another form, or in pieces: what detectors know in their input they do not know in their
//! output, whichever way that is looked at. Such a command is opaque ([`Opaque::Recodes`]): what it shows cannot be known.
//!
//! It does not matter where the output goes, since a file that it is written to can be shown by another command. Programs that show
//! lines as they are, some of them or in another order, are not among these, nor are counts and digests. Short encodings that
//! detectors see through (base64, hex) are: their lines end anywhere.

use super::At;
use super::options::{Found, attached};
use crate::beside::{hides_begin, hides_end};
use crate::line::{Arg, Opaque, Value};
use crate::walk::Walk;

/// Programs whose options are read: those whatever they are given, and those that are given what makes them one.
pub(super) fn options(walk: &mut Walk, at: &At<'_>, found: &Found) {
    let has = |names: &[&str]| found.has(names);
    let parts = |names: &[&str]| found.values(names).any(|value| !separates(value));
    let recodes = match at.base {
        "fmt" | "tsort" | "rev" | "fold" | "od" | "hexdump" | "hd" | "xxd" | "base64" | "base32"
        | "basenc" | "iconv" | "zip" => true,
        "gzip" | "bzip2" | "xz" | "lzma" | "zstd" | "compress" => {
            !has(&["d", "decompress", "uncompress", "l", "list", "t", "test"])
        }
        "tr" => !tr_is_plain(found),
        // `^I` for a tab, `M-` for what is no ASCII.
        "cat" => has(&["A", "e", "t", "T", "v", "show-all", "show-tabs", "show-nonprinting"]),
        // `\t` in names.
        "dir" | "vdir" => true,
        "stat" => {
            let lines = found.values(&["c", "format"]).any(|format| !names_shown(format, "nN", "\n"));
            lines || found.values(&["printf"]).any(|format| !names_shown(format, "nN", ""))
        }
        "ls" => has(&["b", "escape", "Q", "quote-name", "quoting-style", "hyperlink"]),
        "unexpand" => true,
        // What is left of a file may begin or end in the middle of a value.
        "truncate" => {
            let whole = |size: &Arg| size.value.literal() == Some("0");
            !found.values(&["s", "size"]).all(whole) || has(&["r", "reference"])
        }
        "fallocate" => {
            has(&["c", "i", "p", "z", "collapse-range", "insert-range", "punch-hole", "zero-range"])
        }
        "shred" => has(&["s", "size"]),
        "cut" => {
            let blank = |by: &Arg| by.value.literal() == Some(" ") || separates(by);
            has(&["b", "bytes", "c", "characters"])
                || !found.values(&["d", "delimiter"]).all(blank)
                || parts(&["output-delimiter"])
        }
        "head" | "tail" => has(&["c", "bytes"]) || at.args.iter().any(counts_otherwise),
        "grep" | "egrep" | "fgrep" | "zgrep" | "rgrep" => {
            let colour = found
                .values(&["color", "colour"])
                .any(|v| !matches!(v.value.literal(), Some("never" | "auto")));
            has(&["o", "only-matching"]) || colour || names_beside(at, found)
        }
        "rg" => {
            let colour = |v: &Arg| !matches!(v.value.literal(), Some("never" | "auto"));
            has(&["o", "r", "json"]) || found.values(&["color"]).any(colour) || names_beside(at, found)
        }
        "tac" => has(&["b", "before", "r", "regex", "s", "separator"]),
        "cmp" => has(&["l", "verbose", "b", "print-bytes"]),
        // Side by side, lines end where the column does.
        "sdiff" => true,
        "diff" | "colordiff" => {
            let formed = |(name, _): &(String, Option<Arg>)| {
                matches!(&**name, "y" | "side-by-side" | "W" | "width") || name.ends_with("format")
            };
            found.seen.iter().any(formed)
        }
        // A table has more blanks between words, and some values are words.
        "column" if has(&["t", "table"]) => true,
        "column" => parts(&["s", "separator", "o", "output-separator"]),
        "paste" => parts(&["d", "delimiters"]),
        "join" => parts(&["t"]),
        "nl" => {
            // It counts from there on.
            let known = |arg: &Arg| arg.value.literal().is_some();
            parts(&["s", "number-separator"]) || !found.values(&["v", "i"]).all(known)
        }
        "comm" => parts(&["output-delimiter"]),
        "date" => {
            let known = |arg: &Arg| arg.value.literal().is_some();
            has(&["f"]) || !found.values(&["d", "date", "s", "set"]).chain(&found.operands).all(known)
        }
        "basename" | "dirname" => found.operands.iter().any(|arg| arg.value.literal().is_none()),
        "jq" if has(&["j", "join-output", "a"]) => true,
        // Text becomes a string, with `\t` for a tab.
        "jq" if has(&["R", "raw-input"]) && !has(&["r", "raw-output"]) => true,
        "jq" => !found.operands.first().is_none_or(|filter| filter.value.literal().is_some_and(jq_shows)),
        _ => false,
    };
    if recodes {
        walk.opaque(Opaque::Recodes, at.span);
    }
}

/// Programs whose words are looked at, and some of which nothing else is known here.
pub(super) fn words(walk: &mut Walk, at: &At<'_>) {
    let recodes = match at.base {
        "dd" => dd(at.args),
        "openssl" => openssl(at.args),
        "tar" | "gtar" => tar(at.args),
        "printf" => printf(at.args),
        "expr" => at.args.iter().any(|arg| arg.value.literal().is_none()),
        // Of numbers that it reads, if it is given none.
        "factor" => at.args.is_empty() || at.args.iter().any(|arg| arg.value.literal().is_none()),
        // A number beside one that is not known says what that is.
        "seq" => at.args.iter().any(|arg| arg.value.literal().is_none()),
        "ps" => ps(at.args),
        "pgrep" | "pkill" => pgrep(at.args),
        "docker" | "podman" | "nerdctl" => container(at.args),
        // What they run has a terminal, or a screen: its lines end where the column does.
        "watch" | "script" => true,
        "stty" => !at.args.iter().all(|arg| matches!(arg.value.literal(), Some("size" | "speed" | "sane"))),
        "git" => git(at.args),
        "read" | "mapfile" | "readarray" => at
            .args
            .iter()
            .any(|arg| arg.value.starts().starts_with('-') && arg.value.starts().contains(['n', 'N', 'd'])),
        "getopts" => at.args.iter().skip(2).any(|arg| arg.value.literal().is_none()),
        "numfmt" | "split" | "csplit" | "pr" | "colrm" | "uuencode" | "uudecode" | "recode" | "rot13"
        | "caesar" | "pigz" | "pbzip2" | "brotli" | "lzop" | "zstdmt" | "age" | "mcrypt" | "ccrypt"
        | "qrencode" | "figlet" | "toilet" | "banner" | "cowsay" => true,
        // What rsync starts over SSH, and compresses; and what it puts behind the beginning of another file.
        "rsync" => {
            let served = at.args.first().is_some_and(|a| a.value.literal() == Some("--server"));
            served && at.args.iter().any(compresses)
                || !served && at.args.iter().any(|arg| arg.value.starts().starts_with("--append"))
        }
        _ => false,
    };
    if recodes {
        walk.opaque(Opaque::Recodes, at.span);
    }
}

/// `+6c`, as old forms write it: from the sixth character on. `+6` is the line.
fn counts_otherwise(arg: &Arg) -> bool {
    let Some(count) = arg.value.starts().strip_prefix('+') else { return false };
    arg.value.literal().is_none() || !count.bytes().all(|b| b.is_ascii_digit())
}

/// Lines around a match stand behind the file's name and a `-`, where names are shown.
fn names_beside(at: &At<'_>, found: &Found) -> bool {
    let digit = |name: &String| name.len() == 1 && name.bytes().all(|b| b.is_ascii_digit());
    let around = found.has(&["A", "B", "C", "context", "after-context", "before-context"])
        || found.seen.iter().any(|(name, _)| digit(name));
    let given = found.has(&["e", "f", "regexp", "file"]);
    let files = found.operands.get(usize::from(!given)..).unwrap_or(&[]);
    let goes_on = found.has(&["r", "R", "recursive", "dereference-recursive", "d", "directories"]);
    let several = files.len() != 1 && !files.is_empty()
        || files.iter().any(|file| file.value.literal().is_none())
        || goes_on
        || matches!(at.base, "rgrep" | "rg");
    let hidden = found.has(&["h", "no-filename"]) && at.base != "rg";
    around && (found.has(&["H", "with-filename"]) || several && !hidden)
}

/// Colours and marks in lines, forms of its own, and lines around a match behind a file's name and a `-`.
fn git(args: &[Arg]) -> bool {
    let at = |name: &str| args.iter().position(|arg| arg.value.literal() == Some(name));
    let cluster = |arg: &Arg, letters: fn(char) -> bool| {
        let text = arg.value.starts();
        text.starts_with('-') && !text.starts_with("--") && text.contains(letters)
    };
    let behind = |name: &str, letters: fn(char) -> bool| {
        at(name).is_some_and(|place| args.iter().skip(place).any(|arg| cluster(arg, letters)))
    };
    let around =
        behind("grep", |c| matches!(c, 'A' | 'B' | 'C' | '0'..='9')) || behind("shortlog", |c| c == 'w');
    let formed = args.iter().enumerate().any(|(place, arg)| {
        let text = arg.value.starts();
        let colour = text.starts_with("--color") && !matches!(text, "--color=never" | "--color=auto");
        let format = match (text, text.strip_prefix("--format=").or_else(|| text.strip_prefix("--pretty="))) {
            ("--format", _) => args.get(place + 1).is_some_and(|next| !git_format(next, next.value.starts())),
            (_, Some(format)) => !git_format(arg, format),
            _ => false,
        };
        colour || format || text.starts_with("--word-diff")
    });
    around || formed
}

/// Whether such a form shows its parts whole, each apart from what is beside it: `%h %an: %s`.
fn git_format(arg: &Arg, format: &str) -> bool {
    const SHOW: &[&str] = &[
        "h", "H", "t", "T", "p", "P", "s", "b", "B", "d", "D", "an", "ae", "ad", "ar", "ai", "aI", "as",
        "cn", "ce", "cd", "cr", "ci", "cI", "cs",
    ];
    let format = format.replace("%n", "\n");
    let mut parts = format.split('%');
    let mut before = parts.next().and_then(|text| text.chars().last());
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(part.len());
        let (name, behind) = part.split_at(end);
        if !SHOW.contains(&name) || before.is_some_and(hides_begin) || hides_end(behind) {
            return false;
        }
        before = Some(behind.chars().last().unwrap_or('%'));
    }
    arg.value.literal().is_some()
}

/// Columns of `ps` that no value is in: numbers, times, names of users and states.
const PS_COLUMNS: &[&str] = &[
    "%cpu",
    "%mem",
    "bsdstart",
    "bsdtime",
    "c",
    "class",
    "cls",
    "comm",
    "cp",
    "cputime",
    "cputimes",
    "cpuid",
    "egid",
    "egroup",
    "etime",
    "etimes",
    "euid",
    "euser",
    "f",
    "flag",
    "flags",
    "gid",
    "group",
    "lstart",
    "lwp",
    "maj_flt",
    "majflt",
    "min_flt",
    "minflt",
    "ni",
    "nice",
    "nlwp",
    "pcpu",
    "pgid",
    "pgrp",
    "pid",
    "pmem",
    "policy",
    "ppid",
    "pri",
    "psr",
    "rgid",
    "rgroup",
    "rss",
    "rssize",
    "rsz",
    "rtprio",
    "ruid",
    "ruser",
    "s",
    "sess",
    "session",
    "sid",
    "size",
    "spid",
    "start",
    "start_time",
    "stat",
    "state",
    "stime",
    "sz",
    "tgid",
    "thcount",
    "tid",
    "time",
    "tname",
    "tt",
    "tty",
    "ucomm",
    "uid",
    "user",
    "vsize",
    "vsz",
    "wchan",
];

/// Its long options that say which processes are shown, or in which order. Only a format has a width in it.
const PS_LONG: &[&str] = &[
    "--cumulative",
    "--deselect",
    "--forest",
    "--format",
    "--group",
    "--Group",
    "--headers",
    "--help",
    "--no-headers",
    "--no-heading",
    "--pid",
    "--ppid",
    "--quick-pid",
    "--sid",
    "--sort",
    "--tty",
    "--user",
    "--User",
    "--version",
];

/// A width that is asked for, and words of a process (`args`) in another column than the last one, where they are cut. How its words
/// are taken depends on all of them, so that each is looked at as if it were a format.
fn ps(args: &[Arg]) -> bool {
    let mut words_shown = false;
    for (place, arg) in args.iter().enumerate() {
        let Some(text) = arg.value.literal() else {
            if !ps_process(args.get(..place).unwrap_or(&[]), arg) {
                return true;
            }
            continue;
        };
        let (name, value) =
            if text.starts_with("--") { text.split_once('=').unwrap_or((text, "")) } else { ("", text) };
        let format = name.is_empty() && text.contains('o') || name == "--format";
        if !name.is_empty() && !PS_LONG.contains(&name) || words_shown && format {
            return true;
        }
        let items: Vec<&str> = value.split([',', ' ', '\t']).collect();
        let (last, front) = items.split_last().unwrap_or((&"", &[]));
        // `-O` puts its columns before others.
        let cut = name.is_empty() && text.contains('O') || !front.iter().all(|item| ps_column(item));
        if cut || !ps_column(last) && last.trim_end_matches('=').contains([':', '%', '=']) {
            return true;
        }
        let last = last.trim_end_matches('=');
        words_shown |= ["args", "cmd", "command", "environ"].iter().any(|words| last.ends_with(words));
    }
    false
}

/// `pid`, `pid=`, `user:20`, `-%cpu` to sort by, and numbers of processes.
fn ps_column(item: &str) -> bool {
    let item = item.trim_end_matches('=').trim_start_matches(['+', '-']);
    let (name, width) = item.split_once(':').unwrap_or((item, ""));
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    number(width) && (PS_COLUMNS.contains(&name) || number(name))
}

/// Whether a word that is not known can only be a process's number: behind `-p`, which no option before it takes.
fn ps_process(before: &[Arg], arg: &Arg) -> bool {
    let words: Option<Vec<&str>> = before.iter().map(|arg| arg.value.literal()).collect();
    let flag = |word: &str| matches!(word, "-f" | "-F" | "-l" | "-w" | "-ww" | "-fww");
    let options = match words.as_deref() {
        Some([options @ .., "-p" | "--pid" | "--ppid"]) => options,
        _ => return false,
    };
    let alone =
        matches!(options, [] | ["-o", _]) || matches!(options, [first] | [first, "-o", _] if flag(first));
    alone && arg.value.starts().is_empty() && !may_be_several(arg)
}

/// What stands between the command lines that it lists.
fn pgrep(args: &[Arg]) -> bool {
    args.iter().enumerate().any(|(place, arg)| {
        let text = arg.value.starts();
        let value = match text.strip_prefix("--") {
            Some(long) if long.starts_with('d') => long.split_once('=').map_or("", |(_, value)| value),
            Some(_) => return false,
            None => match text.strip_prefix('-').and_then(|short| short.split_once('d')) {
                Some((_, value)) => value,
                None => return false,
            },
        };
        match (value, args.get(place + 1)) {
            // An empty one is the next word, and behind `=` none at all.
            ("", _) if text.contains('=') => true,
            ("", Some(next)) => !separates(next),
            (_, _) => !separates(&attached(arg, value)),
        }
    })
}

/// A form of docker's, which may cut what it shows, put two of them side by side, or write them in another form.
fn container(args: &[Arg]) -> bool {
    let Some((subcommand, rest)) = args.split_first() else { return false };
    let (clusters, formed) = match subcommand.value.literal() {
        // It gives what follows to `ps`.
        Some("top") => return rest.iter().any(may_be_several) || ps(rest.get(1..).unwrap_or(&[])),
        // Of others `-f` is a filter, or goes on.
        Some("inspect" | "info" | "version") => (true, true),
        Some("ps" | "images" | "stats" | "history" | "diff") => (false, true),
        _ => (false, false),
    };
    formed
        && rest.iter().enumerate().any(|(place, arg)| {
            let text = arg.value.starts();
            if arg.value.literal().is_none()
                && (text.is_empty() || text.starts_with('-') || may_be_several(arg))
            {
                return true;
            }
            let short = text.strip_prefix('-').filter(|short| clusters && !short.starts_with('-'));
            let long = text.strip_prefix("--format");
            let Some(value) = short.and_then(|short| short.split_once('f')).map(|(_, value)| value).or(long)
            else {
                return false;
            };
            match (value, rest.get(place + 1)) {
                ("", Some(next)) => !next.value.literal().is_some_and(template_shows),
                _ => !template_shows(value.strip_prefix('=').unwrap_or(value)),
            }
        })
}

/// `{{.Names}}: {{.Status}}`: fields as they are, each apart from what is beside it.
fn template_shows(format: &str) -> bool {
    let format = format.strip_prefix("table ").unwrap_or(format);
    let format = format.replace("\\t", "\t").replace("\\n", "\n");
    let mut parts = format.split("{{");
    let mut before = parts.next().and_then(|text| text.chars().last());
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    for part in parts {
        let Some((action, behind)) = part.split_once("}}") else { return false };
        let field = action.trim_matches(' ');
        let field = field.strip_prefix("json ").unwrap_or(field);
        let plain = field.starts_with('.') && field.chars().all(name);
        if !plain || before.is_some_and(hides_begin) || hides_end(behind) {
            return false;
        }
        // Where nothing stands between two, the second is right behind the first.
        before = Some(behind.chars().last().unwrap_or('%'));
    }
    true
}

/// Whether text that is cut or joined there has its values whole: no value that detectors know has such a character in it.
/// A colon is in URLs with a password, which are not known without their scheme; `/etc/passwd` and logs are cut there daily.
pub(super) fn separates(arg: &Arg) -> bool {
    let plain = |c: char| matches!(c, '\t' | '\n' | ',' | ';' | '|' | ':');
    // `\t` and `\n` are written out.
    let text = arg.value.literal().map(|text| text.replace("\\t", "\t").replace("\\n", "\n"));
    text.is_some_and(|text| !text.is_empty() && text.chars().all(plain))
}

/// Lines are joined by something, or blanks made fewer.
fn tr_is_plain(found: &Found) -> bool {
    let squeezes = found.has(&["s", "squeeze-repeats"]);
    let other = found.has(&["c", "C", "complement", "t", "truncate-set1"]);
    if found.has(&["d", "delete"]) {
        // Without the end of its line a value stands beside the next line's.
        let carriage = |set: &Arg| matches!(set.value.literal(), Some("\\r" | "\r"));
        return !other && !squeezes && matches!(&*found.operands, [set] if carriage(set));
    }
    match (&*found.operands, other) {
        ([set], false) => is_blank(set, squeezes),
        ([from, to], false) => is_blank(from, false) && is_blank(to, true),
        _ => false,
    }
}

/// A set of ends of lines and tabs; `space`: and of spaces, which some values have in them.
fn is_blank(set: &Arg, space: bool) -> bool {
    let Value::Literal(text) = &set.value else { return false };
    let text = text.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t");
    text.chars().all(|c| matches!(c, '\t' | '\n' | '\r') || c == ' ' && space)
}

/// A copy of the whole, block by block, or of nothing that anybody has. With `notrunc` the rest of what was there stands behind it, and
/// with `sync` zeros stand in it where a pipe gives less than a block.
fn dd(args: &[Arg]) -> bool {
    let made = ["if=/dev/zero", "if=/dev/urandom", "if=/dev/random"];
    // Of several the last one counts.
    if args.iter().filter(|arg| arg.value.starts().starts_with("if=")).count() > 1 {
        return true;
    }
    if args.iter().any(|arg| arg.value.literal().is_some_and(|text| made.contains(&text))) {
        return false;
    }
    let plain = |arg: &Arg| {
        let text = arg.value.starts();
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        match name {
            "if" | "of" | "bs" | "status" => true,
            "conv" => value.split(',').all(|conv| {
                matches!(conv, "fsync" | "fdatasync" | "noerror" | "sparse" | "excl" | "nocreat")
            }),
            _ => false,
        }
    };
    !args.iter().all(plain)
}

/// Its commands that show a certificate, a digest or a version.
fn openssl(args: &[Arg]) -> bool {
    const SHOW: &[&str] = &[
        "dgst", "md5", "sha1", "sha256", "sha512", "rand", "x509", "genrsa", "verify", "passwd", "version",
        "ciphers", "crl", "s_client", "s_server",
    ];
    let der = args.iter().any(|arg| matches!(arg.value.literal(), Some("DER" | "der")));
    der || args
        .first()
        .is_some_and(|first| first.value.literal().is_none_or(|command| !SHOW.contains(&command)))
}

/// An archive that is compressed while it is made.
fn tar(args: &[Arg]) -> bool {
    let cluster = |n: usize, text: &str| n == 0 || text.starts_with('-') && !text.starts_with("--");
    let letters = |letters: &[char]| {
        args.iter().enumerate().any(|(n, arg)| {
            let text = arg.value.starts();
            cluster(n, text) && text.contains(letters)
        })
    };
    let long =
        |names: &[&str]| args.iter().any(|arg| names.iter().any(|name| arg.value.starts().starts_with(name)));
    let makes = letters(&['c', 'r', 'u']) || long(&["--cr", "--app", "--up"]);
    makes
        && (letters(&['z', 'j', 'J', 'Z', 'a', 'I'])
            || long(&["--gz", "--bz", "--xz", "--lz", "--zst", "--comp", "--auto", "--use"]))
}

/// Of words that cannot be known it writes not the whole, or something right beside it.
fn printf(args: &[Arg]) -> bool {
    let is = |arg: &Arg, text: &str| arg.value.literal() == Some(text);
    let args = match args {
        [first, _, rest @ ..] if is(first, "-v") => rest,
        all => all,
    };
    let args = match args {
        [first, rest @ ..] if is(first, "--") => rest,
        all => all,
    };
    let Some((format, words)) = args.split_first() else { return false };
    if words.iter().all(|word| word.value.literal().is_some()) {
        return false;
    }
    // `'x` is the number of the character.
    if words.iter().any(|word| word.value.starts().starts_with(['\'', '"'])) {
        return true;
    }
    let Some(format) = format.value.literal() else { return true };
    let format = format.replace("%%", " ").replace("\\n", "\n").replace("\\t", "\t");
    let mut parts = format.split('%');
    let head = parts.next().unwrap_or("");
    let (mut before, mut count, mut tail) = (head.chars().last(), 0, "");
    for part in parts {
        let Some(behind) = part.strip_prefix('s') else { return true };
        if before.is_some_and(hides_begin) || hides_end(behind) {
            return true;
        }
        before = Some(behind.chars().last().unwrap_or('%'));
        (count, tail) = (count + 1, behind);
    }
    // For more words it is taken again, and its head stands right behind its tail.
    let more = words.len() > count || words.iter().any(may_be_several);
    let between = format!("{tail}{head}");
    count > 0 && more && between.chars().last().is_none_or(|last| hides_begin(last) || hides_end(&between))
}

/// Whether a format of `find -printf`, `stat -c` or rsync shows `names` whole, each apart from what is beside it: the format is written
/// for each file, with `end` behind it. A `/` stands before most names anyway, and rsync's `%L` brings its own blanks.
pub(super) fn names_shown(format: &Arg, names: &str, end: &str) -> bool {
    let Some(format) = format.value.literal() else { return false };
    let format = format.replace("%%", " ").replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\n");
    let twice = format!("{format}{end}").repeat(2);
    let mut parts = twice.split('%');
    // What stands right before; a directive does where there is none.
    let mut text = parts.next().unwrap_or("").chars().last().unwrap_or(' ');
    let mut named = false;
    for part in parts {
        let part = part.trim_start_matches(|c: char| "-+ #0'".contains(c) || c.is_ascii_digit());
        let Some(letter) = part.chars().next() else { return false };
        let is_name = names.contains(letter);
        let leads = letter == 'L' || text == '/';
        // Of a time a second letter says which part.
        let dated = "ABCT".contains(letter) && end.is_empty();
        let letters = letter.len_utf8() + usize::from(dated);
        let behind = part.get(letters..).unwrap_or("");
        if letter == '.' || is_name && !leads && hides_begin(text) || named && text == DIRECTIVE && !leads {
            return false;
        }
        if is_name && hides_end(behind) && !behind.starts_with('/') {
            return false;
        }
        named = is_name;
        text = behind.chars().last().unwrap_or(DIRECTIVE);
    }
    true
}

/// In the place of a text's last character: something is written there. No value is found right behind it.
const DIRECTIVE: char = '%';

fn may_be_several(arg: &Arg) -> bool {
    matches!(arg.value, Value::Unknown { one: false, .. } | Value::Pattern(..))
}

/// `-vlogDtprze.iLs`: behind the dot is what the client can do.
fn compresses(arg: &Arg) -> bool {
    let text = arg.value.starts();
    let flags = text.split('.').next().unwrap_or("");
    text.contains("compress") || flags.starts_with('-') && !flags.starts_with("--") && flags.contains('z')
}

/// A filter that chooses parts of its input: `.a[].b`, `length`, `select(.a == 1)`.
fn jq_shows(filter: &str) -> bool {
    const SHOW: &[&str] = &[
        "keys",
        "length",
        "select",
        "map",
        "type",
        "sort",
        "sort_by",
        "group_by",
        "unique",
        "unique_by",
        "has",
        "and",
        "or",
        "not",
        "null",
        "true",
        "false",
        "empty",
        "to_entries",
        "first",
        "last",
        "if",
        "then",
        "else",
        "end",
        "any",
        "all",
    ];
    // Text in quotes could be put beside a value, a range is a piece of it.
    if filter.contains(['@', '"', '+', '-', '*', '/', ':', '$', '%', '\\', '#']) {
        return false;
    }
    let mut before = ' ';
    let mut rest = filter;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        before = rest.get(..start).and_then(|text| text.chars().last()).unwrap_or(before);
        let word = rest.get(start..).unwrap_or("");
        let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(word.len());
        let (word, behind) = word.split_at(end);
        if before != '.' && !SHOW.contains(&word) {
            return false;
        }
        (rest, before) = (behind, ' ');
    }
    true
}

/// Whether one of a sed script's commands makes something else of the lines.
pub(super) fn sed_command_recodes(command: char) -> bool {
    matches!(command, 's' | 'y' | 'l')
}
