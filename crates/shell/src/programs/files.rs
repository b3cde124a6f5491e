//! Programs whose operands are files.

use super::At;
use super::languages::with_suffix;
use super::options::{self, Found, Order};
use crate::limits::PATH_BYTES_MAX;
use crate::line::{Arg, Base, FileAccess, Opaque, Value};
use crate::walk::Walk;

/// What operands are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operands {
    All(FileAccess),
    /// All but the first: a pattern, a mode, an owner.
    AllButFirst(FileAccess),
    /// Read, and the last one written, or all below the value of `-t`.
    Copies,
    /// Read and deleted, and the last one written.
    Move,
    /// The last one written; the others are named in it.
    Link,
    /// The first read, the second written.
    Filter,
    /// None is a file.
    Words,
    /// The first an archive that is written, the rest read into it.
    Archive,
}

use FileAccess::{Attributes, Delete, List, Read, Write};
use Operands::{All, AllButFirst, Archive, Copies, Filter, Link, Move, Words};

/// Names, short options, long options, operands; see [`options`] for how they are written.
const TABLE: &[(&str, &str, &str, Operands)] = &[
    (
        "cat",
        "AbeEnstTuv",
        "show-all number-nonblank show-ends number squeeze-blank show-tabs show-nonprinting help version",
        All(Read),
    ),
    ("tac", "brs:", "before regex separator: help version", All(Read)),
    (
        "nl",
        "b:d:f:h:i:l:n:ps:v:w:",
        "body-numbering: number-format: number-separator: number-width: help version",
        All(Read),
    ),
    ("rev", "h", "help version", All(Read)),
    (
        "head",
        "c:n:qvz0123456789",
        "bytes: lines: quiet silent verbose zero-terminated help version",
        All(Read),
    ),
    (
        "tail",
        "c:n:s:fFqvz0123456789",
        "bytes: lines: follow# retry pid: sleep-interval: quiet silent verbose zero-terminated help version",
        All(Read),
    ),
    (
        "cut",
        "b:c:d:f:nsz",
        "bytes: characters: delimiter: fields: complement only-delimited output-delimiter: zero-terminated help version",
        All(Read),
    ),
    ("paste", "d:sz", "delimiters: serial zero-terminated help version", All(Read)),
    ("fold", "bsw:", "bytes spaces width: help version", All(Read)),
    ("fmt", "cstuw:p:g:", "width: help version", All(Read)),
    ("column", "tc:s:o:xnN:", "table separator: output-separator: help version", All(Read)),
    ("expand unexpand", "ait:", "initial all tabs: help version", All(Read)),
    ("wc", "clmLw", "bytes chars lines max-line-length words files0-from@ help version", All(Read)),
    (
        "md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum sum shasum",
        "bc^tzwa:l:rs",
        "binary check^ tag text zero ignore-missing quiet status strict warn algorithm: length: help version",
        All(Read),
    ),
    (
        "base64 base32 basenc",
        "diw:D",
        "decode ignore-garbage wrap: base64 base64url base32 base16 help version",
        All(Read),
    ),
    (
        "od",
        "A:j:N:S:t:vw#bcdDefFhHiIlLoOsxX",
        "address-radix: skip-bytes: read-bytes: format: output-duplicates width# help version",
        All(Read),
    ),
    (
        "hexdump hd",
        "bcCdn:os:vxe:f<",
        "canonical length: skip: no-squeezing format: format-file< help version",
        All(Read),
    ),
    (
        "strings",
        "afn:t:e:doT:w0123456789",
        "all print-file-name bytes: radix: encoding: help version",
        All(Read),
    ),
    (
        "comm",
        "123z",
        "check-order nocheck-order output-delimiter: total zero-terminated help version",
        All(Read),
    ),
    (
        "join",
        "a:e:ij:1:2:o:t:v:z",
        "ignore-case check-order nocheck-order header zero-terminated help version",
        All(Read),
    ),
    ("sdiff", "abBdEilstw:WZ", "ignore-case ignore-all-space width: help version", All(Read)),
    ("diff3", "aAeEimTxX3", "text merge help version", All(Read)),
    ("cmp", "bi:ln:s", "print-bytes ignore-initial: verbose bytes: quiet silent help version", All(Read)),
    (
        "diff colordiff",
        "abBcdeEfinNpPqrstTuU:C:wyW:x:X@Z",
        "brief recursive unified# context# text ignore-case ignore-all-space side-by-side width: new-file color# exclude: exclude-from@ report-identical-files help version",
        All(Read),
    ),
    (
        "file",
        "bcEhikLNnprsSvz!Z!0m|f@F:e:P:",
        "brief mime mime-type mime-encoding dereference uncompress! magic-file| files-from@ separator: exclude: help version",
        All(Read),
    ),
    ("zcat bzcat xzcat lzcat zstdcat", "fhLV", "force help version", All(Read)),
    (
        "sort",
        "bcCdfghik:MmnRrS:sT>t:uVzo>",
        "ignore-leading-blanks dictionary-order ignore-case general-numeric-sort human-numeric-sort key: field-separator: numeric-sort reverse random-sort random-source< stable unique version-sort zero-terminated merge check# output> buffer-size: temporary-directory> parallel: batch-size: compress-program| files0-from@ help version",
        All(Read),
    ),
    (
        "uniq",
        "cdDf:is:uw:z",
        "count repeated all-repeated# skip-fields: ignore-case skip-chars: unique check-chars: zero-terminated group# help version",
        Filter,
    ),
    (
        "shuf",
        "ei:n:o>rz",
        "echo input-range: head-count: output> random-source< repeat zero-terminated help version",
        All(Read),
    ),
    ("tsort", "", "help version", All(Read)),
    (
        "jq",
        "nrcsSCMaejR0f@L|",
        "null-input raw-output compact-output slurp sort-keys color-output monochrome-output exit-status raw-input join-output from-file@ tab indent: help version",
        AllButFirst(Read),
    ),
    // A script: it takes the next word for the value of these letters, and of few names.
    (
        "zgrep",
        "EFGPivwxcLlm:oqsbHhnTA:B:C:ae:f<IU",
        "extended-regexp fixed-strings basic-regexp perl-regexp ignore-case invert-match word-regexp line-regexp count color# colour# files-without-match files-with-matches only-matching quiet silent no-messages byte-offset with-filename no-filename line-number text help version",
        AllButFirst(Read),
    ),
    (
        "grep egrep fgrep rgrep",
        "EFGPivwxcLlm:oqsbHhnTZA:B:C:ae:f<IrRUzyd:D:0123456789",
        "extended-regexp fixed-strings basic-regexp perl-regexp regexp: file< ignore-case no-ignore-case invert-match word-regexp line-regexp count color# colour# files-without-match files-with-matches max-count: only-matching quiet silent no-messages byte-offset with-filename no-filename label: line-number initial-tab null after-context: before-context: context: text binary-files: devices: directories: exclude: exclude-from< exclude-dir: include: recursive dereference-recursive line-buffered binary null-data help version",
        AllButFirst(Read),
    ),
    (
        "rg",
        "ivwxclnoNSHhaz!e:f<g:t:T:A:B:C:m:uFPUsr:Lqj:",
        "ignore-case smart-case files-with-matches count regexp: file< glob: type: type-not: hidden no-ignore fixed-strings no-heading heading line-number no-line-number context: after-context: before-context: max-count: pre| json color: follow multiline files help version",
        AllButFirst(Read),
    ),
    (
        "cp",
        "abdfHilLnPprRsS:t>TuvxZ",
        "archive backup# copy-contents force interactive link dereference no-clobber no-dereference preserve# no-preserve: parents recursive reflink# remove-destination sparse: strip-trailing-slashes symbolic-link suffix: target-directory> no-target-directory update# verbose one-file-system help version",
        Copies,
    ),
    (
        "mv",
        "bfinS:t>TuvZ",
        "backup# force interactive no-clobber strip-trailing-slashes suffix: target-directory> no-target-directory update# verbose help version",
        Move,
    ),
    (
        "install",
        "bcCdDg:m:o:ps!S:t>TvZ",
        "backup# compare directory group: mode: owner: preserve-timestamps strip! strip-program| suffix: target-directory> no-target-directory verbose help version",
        Copies,
    ),
    (
        "ln",
        "bdfFiLnPrsS:t>Tv",
        "backup# directory force interactive logical no-dereference physical relative symbolic suffix: target-directory> no-target-directory verbose help version",
        Link,
    ),
    (
        "rm",
        "fiIrRdv",
        "force interactive# one-file-system no-preserve-root preserve-root# recursive dir verbose help version",
        All(Delete),
    ),
    ("link", "", "help version", Link),
    ("unlink", "", "help version", All(Delete)),
    ("rmdir", "v", "ignore-fail-on-non-empty verbose help version", All(Delete)),
    ("mkdir", "m:pvZ", "mode: parents verbose context# help version", All(Write)),
    ("touch", "acd:fhmr<t:", "no-create date: no-dereference reference< time: help version", All(Write)),
    ("mkfifo", "m:Z", "mode: context# help version", All(Write)),
    ("mknod", "m:Z", "mode: context# help version", Words),
    ("truncate", "cos:r<", "no-create io-blocks size: reference< help version", All(Write)),
    (
        "shred",
        "fn:s:uvxz",
        "force iterations: random-source< size: remove# verbose exact zero help version",
        All(Delete),
    ),
    (
        "fallocate",
        "l:o:nxpzdciv",
        "length: offset: keep-size punch-hole zero-range dig-holes verbose",
        All(Write),
    ),
    (
        "chmod",
        "cfvR",
        "changes no-preserve-root preserve-root quiet silent verbose reference< recursive help version",
        AllButFirst(Attributes),
    ),
    (
        "chown chgrp",
        "cfvhRHLP",
        "changes dereference no-dereference from: no-preserve-root preserve-root quiet silent verbose reference< recursive help version",
        AllButFirst(Attributes),
    ),
    ("chattr", "RVf", "", AllButFirst(Attributes)),
    ("setfacl", "bknRm:x:dP", "", All(Attributes)),
    ("getfacl lsattr", "acdeEsRLPtpnlvV", "", All(List)),
    (
        "ls dir vdir",
        "aAbBcCdDfFgGhHiI:klLmnNopqQrRsStT:uUvw:xXZ1",
        "all almost-all author escape block-size: ignore-backups color# directory dired classify# file-type format: full-time group-directories-first no-group human-readable si dereference-command-line hide: hyperlink# indicator-style: inode ignore: kibibytes dereference numeric-uid-gid literal hide-control-chars show-control-chars quote-name quoting-style: reverse recursive size sort: time: time-style: tabsize: width: context zero help version",
        All(List),
    ),
    ("stat", "Lfc:t", "dereference file-system format: printf: terse cached: help version", All(List)),
    (
        "du",
        "0aAB:bcDd:HhklLmPsSt:xX@",
        "null all apparent-size block-size: bytes total dereference-args max-depth: human-readable inodes separate-dirs si summarize threshold: time# exclude: exclude-from@ one-file-system files0-from@ help version",
        All(List),
    ),
    (
        "df",
        "aB:hHiklPt:Tvx:",
        "all block-size: human-readable si inodes local no-sync output# portability sync total type: print-type exclude-type: help version",
        All(List),
    ),
    ("tree", "adflL:xP:I:hpsugDiCno>N", "noreport dirsfirst du prune", All(List)),
    (
        "readlink realpath",
        "efmnqsvzLP",
        "canonicalize canonicalize-existing canonicalize-missing no-newline quiet silent verbose zero logical physical strip no-symlinks relative-to: relative-base: help version",
        All(List),
    ),
    ("namei", "xmolv", "", All(List)),
    (
        "gzip gunzip",
        "cdfhklLnNqrS:tvV123456789",
        "stdout to-stdout decompress uncompress force keep list name no-name quiet recursive suffix: test verbose fast best rsyncable help version",
        Move,
    ),
    (
        "bzip2 bunzip2",
        "cdfhkLqstvVz123456789",
        "stdout decompress compress force keep test quiet verbose small fast best help version",
        Move,
    ),
    (
        "xz unxz lzma unlzma",
        "cdefhHklqQS:tT:vVz0123456789",
        "stdout to-stdout decompress uncompress compress force keep list quiet suffix: test threads: verbose extreme help version",
        Move,
    ),
    // Behind `-T` and `-M` its numbers are attached, and are not read here.
    (
        "zstd unzstd",
        "cdfhklqrtvVzo>123456789",
        "stdout decompress uncompress compress force keep list quiet test verbose rm help version",
        Move,
    ),
    ("compress uncompress", "cdfvV", "", Move),
    ("zip", "rqj9876543210ymvT!", "recurse-paths quiet junk-paths symlinks unzip-command|", Archive),
    ("unzip", "lvtqonjpd>P:aCLu", "", All(Read)),
    ("xxd", "abeEipru", "help version", Filter),
    ("tee", "aip", "append ignore-interrupts output-error# help version", All(Write)),
    ("tr", "cCdst", "complement delete squeeze-repeats truncate-set1 help version", Words),
    ("iconv", "f:t:lco>s", "from-code: to-code: list output> silent verbose help version", All(Read)),
    ("dos2unix unix2dos", "kqo", "", All(Write)),
    ("basename dirname", "as:z", "multiple suffix: zero help version", Words),
    ("echo", "neE", "", Words),
    (
        "seq yes expr factor numfmt",
        "f:s:w",
        "format: separator: equal-width help version to: from: padding:",
        Words,
    ),
    ("ssh-keygen", "t:b:C:N:P:f>qlyE:vD|w|", "", All(Write)),
    ("openssl", "", "", Words),
    ("id whoami groups w uptime logname tty uname arch nproc free ps lscpu lsblk lsusb lspci", "", "", Words),
    (
        "dmesg",
        "wWTxkutf:l:",
        "follow follow-new ctime decode kernel userspace notime facility: level: since: until: help version",
        Words,
    ),
    (
        "date",
        "uRI#d:r<s:f@",
        "utc universal iso-8601# date: reference< rfc-3339: rfc-email set: help version",
        Words,
    ),
    ("hostname", "fisIdA", "fqdn short all-ip-addresses help version", Words),
    ("mktemp", "dp>quV", "directory dry-run quiet help version", All(Write)),
    ("sleep sync", "df", "data file-system help version", Words),
    ("logger", "t:p:sief<n:P:d", "tag: priority: stderr id# file< server: port:", Words),
    (
        "journalctl",
        "u:n#fexb#rko:S:U:p:t:ag:q",
        "unit: lines# follow no-pager output: since: until: priority: reverse boot# dmesg grep: system user identifier: all quiet",
        Words,
    ),
    (
        "systemctl",
        "alqfrn:o:H|M|p:P:t:s:",
        "no-pager all type: full quiet force user system now lines: output: property: state: signal: failed plain no-legend value show-types recursive",
        Words,
    ),
    ("who users", "abdHlmpqrstTuw", "", All(Read)),
    ("last lastb", "adFiRwxf<n:p:s:t:0123456789", "", Words),
    ("lastlog", "b:t:u:", "", Words),
    ("true false : pwd printenv getent locale tput clear reset stty", "", "", Words),
];

/// Programs of [`TABLE`] whose options do not matter: they reach no file of the line's and start nothing.
const HARMLESS: &[&str] = &[
    "id", "whoami", "groups", "w", "uptime", "logname", "tty", "uname", "arch", "nproc", "free", "ps",
    "true", "false", ":", "pwd", "printenv", "locale", "kill", "killall", "seq", "yes", "expr", "factor",
    "numfmt", "echo",
];

const PLAIN_VERBS: &[&str] = &[
    "status",
    "start",
    "stop",
    "restart",
    "reload",
    "try-restart",
    "reload-or-restart",
    "is-active",
    "is-enabled",
    "is-failed",
    "is-system-running",
    "show",
    "list-units",
    "list-timers",
    "list-unit-files",
    "list-dependencies",
    "cat",
    "edit",
    "daemon-reload",
    "reset-failed",
];

pub(super) fn reach(walk: &mut Walk, at: &At<'_>) -> bool {
    match at.base {
        "find" => find(walk, at),
        "dd" => dd(walk, at),
        "tar" | "gtar" => tar(walk, at),
        "openssl" => openssl(walk, at),
        "psql" => psql(walk, at),
        "pgrep" | "pkill" => processes(walk, at),
        "cpio" | "pax" | "lz4" | "bsdtar" | "ar" | "7z" | "7za" | "rar" | "unrar" => {
            walk.opaque(Opaque::OptionUnknown, at.span)
        }
        base if HARMLESS.contains(&base) => {}
        base => {
            let Some((_, short, long, operands)) =
                TABLE.iter().find(|row| row.0.split(' ').any(|n| n == base))
            else {
                return false;
            };
            let found = match at.base {
                "chmod" => chmod(walk, at, short, long),
                _ => options::read(walk, at, short, long, Order::Mixed),
            };
            operands_of(walk, at, *operands, &found);
            let word = found.operands.first().and_then(|a| a.value.literal());
            match (at.base, word) {
                ("getent", database) => {
                    const FILES: [&str; 6] =
                        ["passwd", "group", "shadow", "gshadow", "services", "protocols"];
                    match database.filter(|name| FILES.contains(name)) {
                        Some(name) => {
                            walk.file(at.index, Value::Literal(format!("/etc/{name}")), Read, at.span);
                        }
                        // Names' addresses and the like are asked of other hosts.
                        None => walk.opaque(Opaque::HostUnknown, at.span),
                    }
                }
                // The verbs that are plain; others mount, link, set or load.
                ("systemctl", verb)
                    if !found.operands.is_empty() && !verb.is_some_and(|v| PLAIN_VERBS.contains(&v)) =>
                {
                    walk.opaque(Opaque::Configuration, at.span);
                }
                ("systemctl", Some("edit")) => walk.opaque(Opaque::Interactive, at.span),
                _ => {}
            }
            if at.base == "unzip" && !found.has(&["l", "t", "p", "v"]) {
                walk.opaque(Opaque::MakesLinks, at.span);
                if !found.has(&["d"]) {
                    name(walk, at, &here(at), Write);
                }
            }
            if at.base == "zip" && found.has(&["m"]) {
                name(walk, at, found.operands.get(1..).unwrap_or(&[]), Delete);
            }
            particular(walk, at, &found);
            super::recode::options(walk, at, &found);
            if at.base == "ssh-keygen" {
                // The same option names the key that is made and the key that is read.
                let keys: Vec<Arg> = found.values(&["f"]).cloned().collect();
                name(walk, at, &keys, Read);
                // The public half stands beside it.
                let public = |key: &Arg| Arg { at: key.at, value: with_suffix(&key.value, ".pub") };
                name(walk, at, &keys.iter().map(public).collect::<Vec<_>>(), Write);
            }
        }
    }
    true
}

/// `chmod -x file`: a mode that begins with a dash stands among the options, before all else.
fn chmod(walk: &mut Walk, at: &At<'_>, short: &str, long: &str) -> Found {
    match at.args.split_first() {
        Some((first, rest)) if is_mode(first) && !rest.iter().any(is_mode) => {
            options::read(walk, &At { args: rest, ..*at }, short, long, Order::Mixed)
        }
        _ => options::read(walk, at, short, long, Order::Mixed),
    }
}

fn is_mode(arg: &Arg) -> bool {
    let letters = arg.value.literal().and_then(|text| text.strip_prefix('-'));
    letters.is_some_and(|letters| !letters.is_empty() && letters.chars().all(|c| "rwxXst".contains(c)))
}

/// `pgrep` and `pkill` take numbers out of a file with `-F`. What is read as one may be a signal's name (`-FPE`), too.
fn processes(walk: &mut Walk, at: &At<'_>) {
    for (place, arg) in at.args.iter().enumerate() {
        let text = arg.value.starts();
        let may_be_option = match &arg.value {
            Value::Unknown { one, .. } => !one || text.is_empty(),
            Value::Pattern(..) => text.is_empty(),
            Value::Literal(_) | Value::Below(..) => false,
        };
        if may_be_option || text.starts_with('-') && arg.value.literal().is_none() {
            walk.opaque(Opaque::ArgumentUnknown, arg.at);
        }
        let value = match text.strip_prefix("--") {
            Some(long) if long.starts_with("pi") => Some(long.split_once('=').map_or("", |(_, value)| value)),
            Some(_) => None,
            None => text.strip_prefix('-').and_then(|short| short.split_once('F')).map(|(_, value)| value),
        };
        match (value, at.args.get(place + 1)) {
            (Some(""), Some(next)) => walk.file(at.index, next.value.clone(), Read, next.at),
            (Some(""), None) | (None, _) => {}
            (Some(value), _) => {
                walk.file(at.index, options::attached(arg, value).value, Read, arg.at);
            }
        }
    }
}

/// What some of the programs make of their words besides.
fn particular(walk: &mut Walk, at: &At<'_>, found: &Found) {
    let starts = |text: &str| found.operands.iter().any(|arg| arg.value.starts().starts_with(text));
    match at.base {
        // `@file`: more arguments, also in place of an option's value.
        "strings" if at.args.iter().any(may_be_arguments) => walk.opaque(Opaque::ArgumentsFromInput, at.span),
        "tree" => tree(walk, at),
        "setfacl" | "getfacl" if starts("-") => walk.opaque(Opaque::ArgumentsFromInput, at.span),
        "jq" => jq_filter(walk, at, found.operands.first()),
        // Lists of patterns end where they end; names are made whole; `@` takes names from the input.
        "zip" => {
            let plain = |arg: &Arg| arg.value.literal().is_some_and(|n| n.ends_with(".zip"));
            if starts("@") || !found.operands.first().is_some_and(plain) {
                walk.opaque(Opaque::ArgumentUnknown, at.span);
            }
        }
        // Its options are words, and an operand ends them.
        "xxd" => {
            let options = at.args.iter().take_while(|a| a.value.starts().starts_with('-')).count();
            let words = at.args.get(..options).unwrap_or(&[]);
            let behind = at.args.get(options..).unwrap_or(&[]);
            let odd =
                behind.iter().any(|a| a.value.starts().starts_with('-') && a.value.literal() != Some("-"));
            if odd || words.iter().any(|a| a.value.starts().len() > 2) {
                walk.opaque(Opaque::OptionUnknown, at.span);
            }
        }
        // A character set with a `/` may be a file.
        "iconv"
            if found.seen.iter().any(|(_, value)| {
                value.as_ref().is_some_and(|v| {
                    v.value.starts().trim_end_matches("//TRANSLIT").trim_end_matches("//IGNORE").contains('/')
                })
            }) && found.has(&["f", "t", "from-code", "to-code"]) =>
        {
            walk.opaque(Opaque::OptionUnknown, at.span);
        }
        "logger" => {
            for host in found.values(&["n", "server"]).cloned().collect::<Vec<_>>() {
                super::network::host_port(walk, at, &host);
            }
        }
        // What is read may be the file with another ending.
        "zcat" | "gunzip" | "zgrep" | "uncompress" => ending(walk, at, &found.operands),
        "gzip" if found.has(&["d", "decompress", "uncompress", "l", "list", "t", "test"]) => {
            ending(walk, at, &found.operands)
        }
        "unzip" => unzip(walk, at, found.operands.first()),
        // `+1`: characters that are skipped, in its old form.
        "uniq" if starts("+") => walk.opaque(Opaque::OptionUnknown, at.span),
        "shred" => name(walk, at, &found.operands, Write),
        // A device is another name for what it leads to.
        "mknod" => {
            name(walk, at, found.operands.get(..1).unwrap_or(&[]), Write);
            let pipe = found.operands.get(1).is_some_and(|kind| kind.value.literal() == Some("p"));
            if found.operands.len() != 2 || !pipe {
                walk.opaque(Opaque::PathUnknown, at.span);
            }
        }
        // The link stands here.
        "ln" if found.operands.len() == 1 && !found.has(&["t", "target-directory"]) => {
            name(walk, at, &here(at), Write);
        }
        "ssh-keygen" if !found.has(&["f"]) || !found.operands.is_empty() => {
            walk.opaque(Opaque::PathUnknown, at.span);
        }
        _ => {}
    }
    // What was there before moves to a name that is not said, and a suffix with a `/` leads elsewhere.
    let saves = matches!(at.base, "cp" | "mv" | "ln" | "install");
    if saves && found.has(&["b", "backup", "S", "suffix"]) {
        walk.opaque(Opaque::PathUnknown, at.span);
    }
    if matches!(at.base, "ln" | "cp") && found.has(&["s", "symbolic", "symbolic-link"]) {
        symbolic(walk, at, found);
    }
}

/// Whether a word is, or may turn out to be, `@file`.
fn may_be_arguments(arg: &Arg) -> bool {
    let text = arg.value.starts();
    match &arg.value {
        Value::Literal(_) => text.starts_with('@'),
        Value::Below(..) => false,
        Value::Pattern(..) => text.starts_with(['@', '*', '?', '[']),
        Value::Unknown { one, .. } => !one || text.is_empty() || text.starts_with('@'),
    }
}

/// Its letters go on behind one that takes a value, and the value is the next word that none has taken.
fn tree(walk: &mut Walk, at: &At<'_>) {
    let takes = |c: char| "LPIo".contains(c);
    for arg in at.args {
        let text = arg.value.starts();
        let letters = text.strip_prefix('-').filter(|letters| !letters.starts_with('-')).unwrap_or("");
        if letters.find(takes).is_some_and(|place| place + 1 < letters.len()) {
            walk.opaque(Opaque::OptionUnknown, arg.at);
        }
    }
}

/// A relative symbolic link leads from where it is, and that may be another place tomorrow: one that climbs leads anywhere then.
fn symbolic(walk: &mut Walk, at: &At<'_>, found: &Found) {
    let Some((last, front)) = found.operands.split_last() else { return };
    let targeted = found.has(&["t", "target-directory"]);
    let sources = if targeted || front.is_empty() { &*found.operands } else { front };
    let relative =
        |arg: &&Arg| !arg.value.starts().starts_with('/') && !matches!(arg.value, Value::Below(..));
    let climbs = |arg: &Arg| arg.value.starts().split('/').any(|segment| segment == "..");
    let away = targeted || last.value.literal().is_none_or(|text| text.contains('/'));
    let some = sources.iter().any(|arg| relative(&arg));
    // `-r` makes a text that climbs of whatever it is given.
    let made = found.has(&["r", "relative"]) && at.base == "ln";
    if made || some && away || sources.iter().any(|arg| relative(&arg) && climbs(arg)) {
        return walk.opaque(Opaque::Directory, at.span);
    }
    // The last word may be a directory: the link is in it then.
    if !front.is_empty() {
        for arg in sources.iter().filter(relative) {
            let below = [joined(last, arg)];
            name(walk, at, &below, Read);
            name(walk, at, &below, Write);
        }
    }
}

/// What a relative word means in a directory that the line names.
fn joined(directory: &Arg, arg: &Arg) -> Arg {
    let below = |front: &str, path: &str| format!("{}/{path}", front.trim_end_matches('/'));
    let value = match (&directory.value, &arg.value) {
        (front, _) if front.bytes() > PATH_BYTES_MAX => Value::unknown(),
        (_, Value::Literal(path)) if path.starts_with('/') => arg.value.clone(),
        (_, Value::Below(Base::Home | Base::HomeOf(_), _)) => arg.value.clone(),
        (Value::Literal(front), Value::Literal(path)) => Value::Literal(below(front, path)),
        (Value::Below(base, front), Value::Literal(path)) => Value::Below(base.clone(), below(front, path)),
        _ => Value::unknown(),
    };
    Arg { at: arg.at, value }
}

fn ending(walk: &mut Walk, at: &At<'_>, operands: &[Arg]) {
    let skip = usize::from(at.base == "zgrep");
    let whole = |arg: &&Arg| {
        let text = arg.value.starts();
        text == "-" || text.ends_with(".gz") || text.ends_with(".Z") || text.ends_with(".tgz")
    };
    if !operands.iter().skip(skip).all(|arg| whole(&arg)) {
        walk.opaque(Opaque::PathUnknown, at.span);
    }
}

/// Its archive ends the options, but for `-d`; a name without `.zip` is made whole, and one with `*` is a pattern.
fn unzip(walk: &mut Walk, at: &At<'_>, archive: Option<&Arg>) {
    let plain = |arg: &Arg| {
        let text = arg.value.starts();
        text.ends_with(".zip") && !text.contains(['*', '?', '['])
    };
    if !archive.is_some_and(plain) {
        walk.opaque(Opaque::PathUnknown, at.span);
    }
    let behind = at.args.iter().skip_while(|arg| archive != Some(arg));
    if behind.map(|arg| arg.value.starts()).any(|text| text.starts_with('-') && text != "-d") {
        walk.opaque(Opaque::OptionUnknown, at.span);
    }
}

/// A filter is plain unless it reads modules, the environment or the names of files.
fn jq_filter(walk: &mut Walk, at: &At<'_>, filter: Option<&Arg>) {
    let Some(filter) = filter else { return };
    let reaches = ["import", "include", "input_filename", "modulemeta", "env", "ENV", "get_search_list"];
    let plain = filter.value.literal().is_some_and(|text| {
        !text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| reaches.contains(&word))
    });
    if !plain {
        walk.opaque(Opaque::InlineCode, at.span);
    }
}

fn name(walk: &mut Walk, at: &At<'_>, args: &[Arg], access: FileAccess) {
    for arg in args {
        if access == Read && arg.value.literal() == Some("-") {
            continue;
        }
        walk.file(at.index, arg.value.clone(), access, arg.at);
    }
}

fn is_count(text: &str) -> bool {
    text.strip_prefix('+')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn operands_of(walk: &mut Walk, at: &At<'_>, operands: Operands, found: &Found) {
    let all = &*found.operands;
    let (front, last) = match all.split_last() {
        Some((last, front)) if !front.is_empty() => (front, std::slice::from_ref(last)),
        _ => (all, &[][..]),
    };
    let target = found.has(&["t", "target-directory"]);
    match operands {
        All(_) if at.base == "tee" && found.has(&["a"]) => name(walk, at, all, FileAccess::Append),
        All(access) => {
            // `tail +2 f`: a count, in its old form.
            let counts = at.base == "tail" && at.args.len() <= 2 && all.first() == at.args.first();
            let counts = counts && all.first().is_some_and(|arg| is_count(arg.value.starts()));
            name(walk, at, all.get(usize::from(counts)..).unwrap_or(&[]), access);
            if all.is_empty() && matches!(at.base, "ls" | "dir" | "vdir" | "du" | "tree" | "lsattr") {
                name(walk, at, &here(at), List);
            }
        }
        AllButFirst(access) => {
            let pattern_given = match at.base {
                "jq" => found.has(&["f", "from-file"]),
                "chmod" => found.has(&["reference"]) || at.args.iter().any(is_mode),
                "chown" | "chgrp" | "chattr" => found.has(&["reference"]),
                "rg" if found.has(&["files"]) => true,
                _ => found.has(&["e", "f", "regexp", "file"]),
            };
            let skip = usize::from(!pattern_given);
            // How many words the first becomes decides which one is a pattern: take them all for files.
            let unclear = matches!(
                all.first().map(|a| &a.value),
                Some(Value::Unknown { one: false, .. } | Value::Pattern(..))
            );
            name(walk, at, all.get(if unclear { 0 } else { skip }..).unwrap_or(&[]), access);
            let recursive = ["r", "R", "recursive", "dereference-recursive", "d", "directories"];
            let below = found.has(&recursive) || matches!(at.base, "rgrep" | "rg");
            if all.is_empty() || below && all.len() <= skip {
                name(walk, at, &here(at), access);
            }
        }
        Copies if at.base == "install" && found.has(&["d", "directory"]) => name(walk, at, all, Write),
        Copies | Move => {
            let compressed = operands == Move && at.base != "mv";
            let sources = if target || compressed { all } else { front };
            let stays =
                compressed && found.has(&["c", "stdout", "to-stdout", "k", "keep", "t", "test", "l", "list"]);
            name(walk, at, sources, Read);
            if at.base == "cp" && found.has(&["l", "link", "s", "symbolic-link"]) {
                name(walk, at, sources, Write);
            }
            if operands == Move && !stays {
                name(walk, at, sources, Delete);
            }
            let writes = !found.has(&["c", "stdout", "to-stdout", "t", "test", "l", "list"]) && compressed;
            let made: Vec<Arg> =
                if writes { all.iter().map(|arg| recoded(at, found, arg)).collect() } else { Vec::new() };
            name(walk, at, &made, Write);
            name(walk, at, if target || compressed { &[] } else { last }, Write);
        }
        Link => {
            // What a link leads to is not read now; but who may read or write the link may do that to it.
            let sources = if target || last.is_empty() { all } else { front };
            name(walk, at, sources, Read);
            name(walk, at, sources, Write);
            name(walk, at, last, Write);
        }
        Filter => {
            name(walk, at, all.get(..1).unwrap_or(&[]), Read);
            name(walk, at, all.get(1..).unwrap_or(&[]), Write);
        }
        Archive => {
            name(walk, at, all.get(..1).unwrap_or(&[]), Write);
            name(walk, at, all.get(1..).unwrap_or(&[]), Read);
        }
        Words => {}
    }
}

/// The name that a file has once it is compressed, or is no more.
fn recoded(at: &At<'_>, found: &Found, arg: &Arg) -> Arg {
    let family = Family::of(at.base);
    let opens = at.base.contains("un") || found.has(&["d", "decompress", "uncompress"]);
    let plain = !found.has(&["S", "suffix", "o", "r", "recursive", "N", "name"]);
    let value = match arg.value.literal().filter(|_| plain) {
        Some(path) if opens => family.opened(path).map_or_else(Value::unknown, Value::Literal),
        Some(path) => Value::Literal(format!("{path}{}", family.suffix)),
        None => Value::unknown(),
    };
    Arg { at: arg.at, value }
}

/// How the programs of one format call what they make.
struct Family {
    suffix: &'static str,
    /// Endings of what they open, and what stands in their place then.
    endings: &'static [(&'static str, &'static str)],
    /// Put behind a name that has none of these; else such a file is left alone.
    other: Option<&'static str>,
}

impl Family {
    fn of(base: &str) -> Family {
        let (suffix, endings, other): (_, &[_], _) = match base {
            "gzip" | "gunzip" => {
                (".gz", &[(".gz", ""), (".tgz", ".tar"), (".taz", ".tar"), (".z", ""), (".Z", "")], None)
            }
            "bzip2" | "bunzip2" => {
                (".bz2", &[(".bz2", ""), (".bz", ""), (".tbz2", ".tar"), (".tbz", ".tar")], Some(".out"))
            }
            "xz" | "unxz" => {
                (".xz", &[(".xz", ""), (".txz", ".tar"), (".lzma", ""), (".tlz", ".tar"), (".lz", "")], None)
            }
            "lzma" | "unlzma" => (".lzma", &[(".lzma", ""), (".tlz", ".tar")], None),
            "zstd" | "unzstd" => (".zst", &[(".zst", ""), (".tzst", ".tar"), (".gz", ""), (".xz", "")], None),
            // `uncompress` is gzip's, or looks for the name with `.Z`.
            _ => (".Z", &[(".Z", ""), (".gz", ""), (".tgz", ".tar")], None),
        };
        Family { suffix, endings, other }
    }

    fn opened(&self, path: &str) -> Option<String> {
        let known =
            self.endings.iter().find_map(|(ending, instead)| Some((path.strip_suffix(ending)?, instead)));
        match (known, self.other) {
            (Some((bare, instead)), _) => Some(format!("{bare}{instead}")),
            (None, Some(behind)) => Some(format!("{path}{behind}")),
            (None, None) => None,
        }
    }
}

fn here(at: &At<'_>) -> [Arg; 1] {
    [Arg { at: at.span, value: Value::Literal(".".to_owned()) }]
}

/// All that is below a starting point, as a pattern.
fn below(arg: &Arg) -> Arg {
    let value = match &arg.value {
        long if long.bytes() > PATH_BYTES_MAX => Value::unknown(),
        Value::Literal(path) => {
            let escaped: String = path
                .chars()
                .flat_map(|c| if "*?[]\\".contains(c) { vec!['\\', c] } else { vec![c] })
                .collect();
            Value::Pattern(Base::Written, format!("{}/**", escaped.trim_end_matches('/')))
        }
        Value::Below(base, path) => Value::Pattern(base.clone(), format!("{path}/**")),
        Value::Pattern(base, path) => Value::Pattern(base.clone(), format!("{path}/**")),
        Value::Unknown { .. } => Value::unknown(),
    };
    Arg { at: arg.at, value }
}

fn find(walk: &mut Walk, at: &At<'_>) {
    let is_start = |arg: &&Arg| !arg.value.starts().starts_with(['-', '(', '!', ')', ',']);
    let mut args = at.args;
    while let Some(arg) = args.first().filter(|a| matches!(a.value.literal(), Some("-H" | "-L" | "-P"))) {
        let _ = arg;
        args = &args[1..];
    }
    let count = args.iter().take_while(is_start).count();
    let (starts, tests) = args.split_at(count);
    let starts = if starts.is_empty() { here(at).to_vec() } else { starts.to_vec() };
    name(walk, at, &starts, List);
    let found: Vec<Arg> = starts.iter().map(below).collect();
    if starts.iter().any(|s| matches!(s.value, Value::Unknown { .. } | Value::Pattern(..))) {
        walk.opaque(Opaque::ArgumentUnknown, at.span);
    }
    if tests.iter().any(|test| matches!(test.value, Value::Pattern(..) | Value::Unknown { one: false, .. })) {
        walk.opaque(Opaque::ArgumentUnknown, at.span);
    }
    let mut rest = tests.iter();
    let mut deletes = false;
    while let Some(test) = rest.next() {
        let Some(word) = test.value.literal() else {
            walk.opaque(Opaque::ArgumentUnknown, test.at);
            continue;
        };
        match word {
            "-exec" | "-ok" => {
                let words = exec_words(walk, test, &mut rest);
                exec(walk, at, &words, &found);
            }
            // It runs in the directory of what is found.
            "-execdir" | "-okdir" => {
                let words = exec_words(walk, test, &mut rest);
                walk.elsewhere(|walk| exec(walk, at, &words, &found));
            }
            "-delete" => deletes = true,
            "-fprint" | "-fprint0" | "-fls" => {
                if let Some(file) = rest.next() {
                    name(walk, at, std::slice::from_ref(file), Write);
                }
            }
            "-printf" | "-fprintf" => {
                if test.value.literal() == Some("-fprintf")
                    && let Some(file) = rest.next()
                {
                    name(walk, at, std::slice::from_ref(file), Write);
                }
                if rest.next().is_some_and(|format| !super::recode::names_shown(format, "fpPhHl", "")) {
                    walk.opaque(Opaque::Recodes, test.at);
                }
            }
            "-newer" | "-anewer" | "-cnewer" | "-samefile" => {
                if let Some(file) = rest.next() {
                    name(walk, at, std::slice::from_ref(file), List);
                }
            }
            "-name" | "-iname" | "-path" | "-ipath" | "-wholename" | "-iwholename" | "-regex" | "-iregex"
            | "-type" | "-xtype" | "-size" | "-mtime" | "-mmin" | "-atime" | "-amin" | "-ctime" | "-cmin"
            | "-maxdepth" | "-mindepth" | "-user" | "-group" | "-uid" | "-gid" | "-perm" | "-links"
            | "-inum" | "-regextype" | "-lname" | "-ilname" | "-fstype" | "-newermt" | "-used" => {
                if rest.next().is_some_and(|value| {
                    matches!(value.value, Value::Unknown { one: false, .. } | Value::Pattern(..))
                }) {
                    walk.opaque(Opaque::ArgumentUnknown, test.at);
                }
            }
            "("
            | ")"
            | "!"
            | ","
            | "-a"
            | "-and"
            | "-o"
            | "-or"
            | "-not"
            | "-print"
            | "-print0"
            | "-ls"
            | "-prune"
            | "-quit"
            | "-empty"
            | "-readable"
            | "-writable"
            | "-executable"
            | "-true"
            | "-false"
            | "-depth"
            | "-mount"
            | "-xdev"
            | "-follow"
            | "-daystart"
            | "-noleaf"
            | "-nouser"
            | "-nogroup"
            | "-ignore_readdir_race" => {}
            _ => walk.opaque(Opaque::OptionUnknown, test.at),
        }
    }
    if deletes {
        name(walk, at, &found, Delete);
    }
}

/// The words up to `;`, or up to the `+` right behind `{}`; where finds differ, or a word may be one of them, it is opaque.
fn exec_words<'a>(walk: &mut Walk, test: &Arg, rest: &mut impl Iterator<Item = &'a Arg>) -> Vec<Arg> {
    let mut words: Vec<Arg> = Vec::new();
    for arg in rest {
        match arg.value.literal() {
            Some(";") => return words,
            Some("+") => {
                let whole = words.last().is_some_and(|word| word.value.literal() == Some("{}"));
                if whole && test.value.literal().is_some_and(|name| name.starts_with("-exec")) {
                    return words;
                }
                walk.opaque(Opaque::ArgumentUnknown, arg.at);
            }
            None if matches!(arg.value.starts(), "" | ";" | "+") => {
                walk.opaque(Opaque::ArgumentUnknown, arg.at);
            }
            _ => {}
        }
        words.push(arg.clone());
    }
    walk.opaque(Opaque::ArgumentUnknown, test.at);
    words
}

/// `find -exec`: in place of `{}` stands what is below the starting point, if there is one.
fn exec(walk: &mut Walk, at: &At<'_>, words: &[Arg], found: &[Arg]) {
    let path = match found {
        [one] => one.value.clone(),
        _ => Value::unknown(),
    };
    // Before so many are made.
    let places = words.iter().filter(|arg| arg.value.literal() == Some("{}")).count();
    if !walk.would_repeat(places, path.bytes()) {
        return walk.opaque(Opaque::TooDeep, at.span);
    }
    let put = |arg: &Arg| match arg.value.literal() {
        Some("{}") => Arg { at: arg.at, value: path.clone() },
        Some(text) if text.contains("{}") => {
            let starts = text.split("{}").next().unwrap_or("").to_owned();
            Arg { at: arg.at, value: Value::Unknown { starts, one: true } }
        }
        _ => arg.clone(),
    };
    let words: Vec<Arg> = words.iter().map(put).collect();
    walk.inner_call(at.index, &words, crate::line::Inside::Wrapped, at.scene);
}

fn dd(walk: &mut Walk, at: &At<'_>) {
    for arg in at.args {
        let starts = arg.value.starts();
        let value = |skip: usize| options::attached(arg, starts.get(skip..).unwrap_or("")).value;
        if starts.starts_with("if=") {
            walk.file(at.index, value(3), Read, arg.at);
        } else if starts.starts_with("of=") {
            walk.file(at.index, value(3), Write, arg.at);
        }
        let several = matches!(arg.value, Value::Unknown { one: false, .. });
        if several || arg.value.literal().is_none() && !starts.contains('=') {
            walk.opaque(Opaque::ArgumentUnknown, arg.at);
        }
    }
}

fn openssl(walk: &mut Walk, at: &At<'_>) {
    const COMMANDS: &[&str] = &[
        "enc",
        "dgst",
        "md5",
        "sha1",
        "sha256",
        "sha512",
        "base64",
        "rand",
        "x509",
        "rsa",
        "pkey",
        "genrsa",
        "verify",
        "passwd",
        "version",
        "ciphers",
        "crl",
        "asn1parse",
        "s_client",
        "s_server",
    ];
    const PLAIN: &[&str] = &[
        "-pbkdf2",
        "-salt",
        "-nosalt",
        "-a",
        "-A",
        "-d",
        "-e",
        "-p",
        "-base64",
        "-hex",
        "-r",
        "-binary",
        "-c",
        "-noout",
        "-text",
        "-subject",
        "-issuer",
        "-dates",
        "-enddate",
        "-startdate",
        "-fingerprint",
        "-serial",
        "-modulus",
        "-pubkey",
        "-pubin",
        "-pubout",
        "-check",
        "-des3",
        "-md5",
        "-v",
        "-1",
        "-5",
        "-6",
        "-stdin",
    ];
    let command = at.args.first().and_then(|arg| arg.value.literal());
    if !command.is_some_and(|name| COMMANDS.contains(&name)) {
        // Without one it takes commands from its input; others run programs or read settings.
        walk.opaque(Opaque::Interactive, at.span);
    }
    let mut args = at.args.iter().peekable();
    while let Some(arg) = args.next() {
        let Some(word) = arg.value.literal() else {
            walk.opaque(Opaque::ArgumentUnknown, arg.at);
            continue;
        };
        // Two dashes are one.
        let word = if word.starts_with("--") { word.get(1..).unwrap_or(word) } else { word };
        // The next serial number is in a file beside it.
        if word == "-CA" {
            walk.opaque(Opaque::PathUnknown, arg.at);
        }
        let access = match word {
            // A flag there.
            "-verify" if command == Some("crl") => {
                walk.opaque(Opaque::OptionUnknown, arg.at);
                continue;
            }
            // The text of one.
            "-salt" if command == Some("passwd") => {
                walk.opaque(Opaque::OptionUnknown, arg.at);
                continue;
            }
            "-in" | "-inkey" | "-cert" | "-key" | "-CAfile" | "-CA" | "-CAkey" | "-kfile" | "-rand"
            | "-signkey" | "-signature" | "-verify" | "-prverify" | "-sign" | "-certfile" | "-extfile"
            | "-untrusted" => Read,
            "-out" | "-keyout" | "-writerand" | "-sigout" => Write,
            "-config" | "-engine" | "-provider" | "-provider-path" => {
                walk.opaque(Opaque::Configuration, arg.at);
                continue;
            }
            "-connect" | "-proxy" => {
                if let Some(value) = args.next() {
                    super::network::host_port(walk, at, value);
                }
                continue;
            }
            "s_client" | "s_server" => {
                walk.opaque(Opaque::Interactive, arg.at);
                continue;
            }
            "-pass" | "-passin" | "-passout" => {
                let value = args.next();
                if value.is_some_and(|v| v.value.literal().is_none()) {
                    walk.opaque(Opaque::ArgumentUnknown, arg.at);
                }
                let file =
                    value.and_then(|a| a.value.starts().strip_prefix("file:").map(|p| (a, p.to_owned())));
                if let Some((value, path)) = file {
                    walk.file(at.index, options::attached(value, &path).value, Read, value.at);
                }
                continue;
            }
            word if word.starts_with('-') => {
                let digest = ["-aes-", "-aes1", "-aes2", "-sha"].iter().any(|front| word.starts_with(front));
                if matches!(word, "-iter" | "-S" | "-K" | "-k" | "-iv" | "-md") {
                    args.next();
                } else if !digest && !PLAIN.contains(&word) {
                    walk.opaque(Opaque::OptionUnknown, arg.at);
                }
                continue;
            }
            // The subcommand; every other word may be a file, and is taken for one.
            _ if std::ptr::eq(arg, &at.args[0]) => continue,
            _ => {
                walk.file(at.index, arg.value.clone(), Read, arg.at);
                continue;
            }
        };
        if let Some(value) = args.next() {
            // A URI, or a list.
            if value.value.starts().contains([':', ';']) {
                walk.opaque(Opaque::PathUnknown, value.at);
            }
            walk.file(at.index, value.value.clone(), access, value.at);
        }
    }
}

fn psql(walk: &mut Walk, at: &At<'_>) {
    let short = "aAbc:d:eEf<F:h:HlL+no>p:P:qR:sStT:U:v:VwWxXz0129";
    let long = "command: dbname: file< host: port: username: output> log-file+ no-password password tuples-only csv html expanded set: variable: no-psqlrc quiet no-align single-transaction list help version";
    let found = options::read(walk, at, short, long, Order::Mixed);
    match found.value(&["h", "host"]).cloned() {
        Some(host) => walk.host(
            at.index,
            host.value,
            None,
            found.value(&["p", "port"]).and_then(|p| p.value.literal().map(str::to_owned)),
            host.at,
        ),
        None => walk.opaque(Opaque::HostUnknown, at.span),
    }
    // A database's language, and backslash commands that start programs.
    walk.opaque(Opaque::InlineCode, at.span);
}

fn tar(walk: &mut Walk, at: &At<'_>) {
    let short = "Acdrtuxf:zjJZavwkOpPhlC:T@X@I|F|b:g>H:K:L:mM!nN:oRsSUV:W";
    let long = "create extract get list append update diff compare delete concatenate file: gzip bzip2 xz zstd lzma auto-compress verbose directory: files-from@ exclude-from@ exclude: use-compress-program| checkpoint# checkpoint-action| to-command| info-script| new-volume-script| rsh-command| rmt-command| to-stdout keep-old-files overwrite preserve-permissions same-owner no-same-owner no-same-permissions strip-components: wildcards no-recursion one-file-system owner: group: mode: mtime: sort: numeric-owner absolute-names dereference totals exclude-vcs remove-files null help version";
    // The old form: letters without a dash come first, and their values follow in order.
    let mut args = at.args.to_vec();
    if let Some(Value::Literal(first)) = args.first().map(|a| &a.value)
        && !first.starts_with('-')
        && !first.is_empty()
    {
        args = old_form(&args, short);
    }
    let at = At { args: &args, ..*at };
    let found = options::read(walk, &at, short, long, Order::Mixed);
    let has = |names: &[&str]| found.has(names);
    // Of several archives the first is meant, or all; of several directories each is below the one before.
    let directories: Vec<&Arg> = found.values(&["C", "directory"]).collect();
    if found.values(&["f", "file"]).count() > 1
        || directories.iter().skip(1).any(|d| !d.value.starts().starts_with('/'))
        || has(&["d", "diff", "compare"])
        || found.operands.iter().any(|a| a.value.starts().starts_with('@'))
    {
        walk.opaque(Opaque::PathUnknown, at.span);
    }
    // A date, or the file that has it.
    for date in found.values(&["N", "mtime"]).cloned().collect::<Vec<_>>() {
        if date.value.literal().is_none_or(|text| text.starts_with(['/', '.'])) {
            walk.file(at.index, date.value, List, date.at);
        }
    }
    let makes = has(&["c", "create", "r", "append", "u", "update", "A", "concatenate"]);
    let takes = has(&["x", "extract", "get"]);
    if let Some(archive) = found.value(&["f", "file"]).cloned().filter(|a| a.value.literal() != Some("-")) {
        if let Some((host, _)) = archive.value.starts().split_once(':')
            && !host.contains('/')
        {
            walk.opaque(Opaque::StartsPrograms, archive.at);
            walk.host(at.index, Value::Literal(host.to_owned()), None, None, archive.at);
        }
        walk.file(
            at.index,
            archive.value.clone(),
            if makes || has(&["delete"]) { Write } else { Read },
            archive.at,
        );
    } else if found.value(&["f", "file"]).is_none() {
        walk.opaque(Opaque::PathUnknown, at.span);
    }
    let into: Vec<Arg> = found.values(&["C", "directory"]).cloned().collect();
    name(walk, &at, &into, if takes { Write } else { List });
    if takes && !has(&["O", "to-stdout"]) {
        walk.opaque(Opaque::MakesLinks, at.span);
    }
    let stays = tar_directories(&found).any(|directory| directory.is_none());
    if makes {
        let removes = has(&["remove-files"]);
        for (arg, directory) in found.operands.iter().zip(tar_directories(&found)) {
            let from = [directory.map_or_else(|| arg.clone(), |directory| joined(directory, arg))];
            name(walk, &at, &from, Read);
            if removes {
                name(walk, &at, &from, Delete);
            }
        }
    } else if takes && has(&["P", "absolute-names"]) {
        // Where the files go, the archive says.
        walk.opaque(Opaque::PathUnknown, at.span);
    } else if takes && stays && !has(&["O", "to-stdout"]) {
        name(walk, &at, &here(&at), Write);
    } else if !takes && !has(&["t", "list", "d", "diff", "compare", "delete", "help", "version"]) {
        walk.opaque(Opaque::OptionUnknown, at.span);
    }
}

/// The directory to which `tar` goes before each of its operands: the last `-C` before it. Of no operands it is where one would be.
fn tar_directories(found: &Found) -> impl Iterator<Item = Option<&Arg>> {
    let mut options = found.seen.iter().zip(&found.before).peekable();
    let mut directory = None;
    (0..found.operands.len().max(1)).map(move |place| {
        while let Some(((name, value), _)) = options.next_if(|(_, before)| **before <= place) {
            if matches!(&**name, "C" | "directory") {
                directory = value.as_ref();
            }
        }
        directory
    })
}

fn old_form(args: &[Arg], short: &str) -> Vec<Arg> {
    let Some((first, rest)) = args.split_first() else { return Vec::new() };
    let letters = first.value.starts().to_owned();
    let mut rest = rest.iter();
    let mut made = Vec::new();
    for letter in letters.chars() {
        made.push(Arg { at: first.at, value: Value::Literal(format!("-{letter}")) });
        let takes = short.find(letter).and_then(|p| short.get(p + letter.len_utf8()..)?.chars().next());
        if takes.is_some_and(|kind| ":<>@|".contains(kind)) {
            made.extend(rest.next().cloned());
        }
    }
    made.extend(rest.cloned());
    made
}
