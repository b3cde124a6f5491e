//! Programs that reach other hosts and containers.

use super::At;
use super::options::{self, Found, Order, attached};
use super::recode::names_shown;
use super::wrappers::joined_code;
use crate::line::{Arg, Base, FileAccess, Inside, Opaque, Value};
use crate::walk::{By, Input, Walk};

pub(super) fn reach(walk: &mut Walk, at: &At<'_>) -> bool {
    match at.base {
        "ssh" | "slogin" => ssh(walk, at),
        "scp" => scp(walk, at),
        "sftp" => sftp(walk, at),
        "sftp-server" => walk.opaque(Opaque::Interactive, at.span),
        "rsync" => rsync(walk, at),
        "curl" => curl(walk, at),
        "wget" => wget(walk, at),
        "nc" | "ncat" | "netcat" => nc(walk, at),
        "telnet" => telnet(walk, at),
        "ping" | "ping6" | "fping" | "traceroute" | "tracepath" | "mtr" | "nmap" | "dig" | "nslookup"
        | "host" | "whois" | "ssh-keyscan" | "ssh-copy-id" | "showmount" | "arping" | "drill" => {
            probes(walk, at)
        }
        "docker" | "podman" | "nerdctl" => container(walk, at),
        "ctr" | "crictl" | "lxc" | "lxc-attach" => walk.opaque(Opaque::Container, at.span),
        "kubectl" | "oc" => kubectl(walk, at),
        _ => return false,
    }
    true
}

/// Settings of `ssh -o` that start nothing and lead nowhere else.
const SSH_SETTINGS: &[&str] = &[
    "batchmode",
    "connecttimeout",
    "connectionattempts",
    "stricthostkeychecking",
    "loglevel",
    "serveraliveinterval",
    "serveralivecountmax",
    "tcpkeepalive",
    "compression",
    "identitiesonly",
    "passwordauthentication",
    "pubkeyauthentication",
    "preferredauthentications",
    "kbdinteractiveauthentication",
    "numberofpasswordprompts",
    "addressfamily",
    "requesttty",
    "hostkeyalgorithms",
    "kexalgorithms",
    "ciphers",
    "macs",
    "checkhostip",
    "visualhostkey",
    "gssapiauthentication",
];

const SSH_SHORT: &str = "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E>e:F<I|i<J:L:l:m:O:o:p:P:Q:R:S:W:w:";

/// What the options of ssh, scp and sftp have in common.
fn ssh_options(walk: &mut Walk, at: &At<'_>, found: &Found) {
    for setting in found.values(&["o"]) {
        let text = setting.value.starts().to_ascii_lowercase();
        let name = text.split(['=', ' ', '\t']).next().unwrap_or("").to_owned();
        let value = text.get(name.len()..).unwrap_or("");
        let plain = |c: char| c.is_ascii_alphanumeric() || "=._,+@*-".contains(c);
        let nowhere = setting.value.literal().is_some() && text == "userknownhostsfile=/dev/null";
        let known =
            SSH_SETTINGS.contains(&&*name) && setting.value.literal().is_some() && value.chars().all(plain);
        if !known && !nowhere {
            walk.opaque(Opaque::Configuration, setting.at);
        }
    }
    if found.has(&["F", "L", "R", "D", "W", "w", "A", "X", "Y", "O", "M", "S", "P"]) && at.base != "scp"
        || found.has(&["F", "A"])
    {
        walk.opaque(Opaque::Configuration, at.span);
    }
    for jumps in found.values(&["J"]).cloned().collect::<Vec<_>>() {
        for jump in jumps.value.starts().split(',') {
            url(walk, at, &attached(&jumps, jump), FileAccess::Read);
        }
    }
}

/// `user@host`, `ssh://user@host:port`.
fn login(walk: &mut Walk, at: &At<'_>, arg: &Arg, port: Option<String>) {
    let text = arg.value.starts();
    let bare = text.strip_prefix("ssh://").or_else(|| text.strip_prefix("sftp://"));
    let named = bare.unwrap_or(text);
    let named = if bare.is_some() { named.split('/').next().unwrap_or(named) } else { named };
    let (user, host) = match named.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, named),
    };
    let (host, port) = match host.rsplit_once(':') {
        Some((host, digits)) if bare.is_some() => (host, Some(digits.to_owned())),
        _ => (host, port),
    };
    let value = match attached(arg, host).value {
        Value::Literal(host) => host_named(&host),
        other => other,
    };
    walk.host(at.index, value, user, port, arg.at);
}

/// A host's name or address, where all who read it find the same; else it cannot be known. One dot at the end is no part of it.
fn host_named(text: &str) -> Value {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let plain = inner
            .parse::<core::net::Ipv6Addr>()
            .is_ok_and(|a| a.to_string() == inner && !inner.contains('.'));
        return if plain { Value::Literal(text.to_owned()) } else { Value::unknown() };
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let last = name.rsplit('.').next().unwrap_or(name);
    // `1`, `0x7f.1`: numbers that are addresses, too.
    let number = last.bytes().all(|b| b.is_ascii_digit()) || last.to_ascii_lowercase().starts_with("0x");
    // `10.0.0.1-254`: many addresses to nmap.
    let range = name.contains('-') && !name.bytes().any(|b| b.is_ascii_alphabetic());
    let sure = !name.is_empty()
        && !range
        && !name.starts_with(['-', '.'])
        && !name.ends_with('.')
        && name.bytes().all(plain)
        && (!number || name.parse::<core::net::Ipv4Addr>().is_ok());
    if sure { Value::Literal(name.to_owned()) } else { Value::unknown() }
}

/// What stands before `://`, if it is a scheme; none if there is no `://`.
fn scheme(text: &str) -> Result<Option<&str>, ()> {
    let Some((front, _)) = text.split_once("://") else { return Ok(None) };
    let plain = front.starts_with(|c: char| c.is_ascii_alphabetic())
        && front.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
    if plain { Ok(Some(front)) } else { Err(()) }
}

fn ssh(walk: &mut Walk, at: &At<'_>) {
    let first = options::read(walk, at, SSH_SHORT, "", Order::First);
    ssh_options(walk, at, &first);
    let Some((host, behind)) = first.operands.split_first() else {
        // `-V` and `-Q` reach nobody.
        if !first.has(&["V", "Q"]) {
            walk.opaque(Opaque::HostUnknown, at.span);
        }
        return;
    };
    // Options may stand behind the host, too.
    let more = At { args: behind, ..*at };
    let second = options::read(walk, &more, SSH_SHORT, "", Order::First);
    ssh_options(walk, at, &second);
    let port = second
        .value(&["p"])
        .or_else(|| first.value(&["p"]))
        .and_then(|a| a.value.literal().map(str::to_owned));
    login(walk, at, host, port);
    if first.has(&["s"]) || second.has(&["s"]) {
        return walk.opaque(Opaque::Interactive, at.span);
    }
    // Of several, or with a user in the host's name, versions take one or the other.
    let users = first.values(&["l"]).chain(second.values(&["l"])).count();
    let ports = first.values(&["p"]).chain(second.values(&["p"])).count();
    if users > 0 || ports > 1 || ports == 1 && host.value.starts().contains("://") {
        walk.opaque(Opaque::HostUnknown, at.span);
    }
    // An empty command is none.
    let empty = |arg: &Arg| arg.value.literal().is_some_and(|text| text.trim().is_empty());
    if !second.operands.iter().all(empty) {
        return joined_code(walk, at, &second.operands, Inside::Remote, at.scene);
    }
    match &at.scene.input {
        Input::Text(text) => {
            let text = text.clone();
            walk.script_of_input(&text, at.span, &at.scene.within(at.index, Inside::Remote), By::Another);
        }
        Input::Inherited | Input::Script | Input::Other => walk.opaque(Opaque::Interactive, at.span),
    }
}

/// `host:path`: a path on another host. False if it is none.
pub(super) fn remote_path(walk: &mut Walk, at: &At<'_>, arg: &Arg) -> bool {
    let text = arg.value.starts();
    if text.contains("://") {
        if text.starts_with("file:") {
            walk.host(at.index, Value::unknown(), None, None, arg.at);
        } else {
            url(walk, at, arg, FileAccess::Read);
        }
        return true;
    }
    let Some((front, _)) =
        text.split_once(':').filter(|(front, _)| !front.contains('/') && !front.is_empty())
    else {
        return false;
    };
    let whole = Arg { at: arg.at, value: Value::Literal(front.to_owned()) };
    login(walk, at, &whole, None);
    true
}

/// Sources, and a target that is the last: local ones are files, others hosts.
fn transfer(walk: &mut Walk, at: &At<'_>, operands: &[Arg]) {
    let Some((target, sources)) = operands.split_last() else { return };
    for source in sources {
        if !other_side(walk, at, source) {
            walk.file(at.index, source.value.clone(), FileAccess::Read, source.at);
        }
    }
    if !other_side(walk, at, target) {
        let access = if sources.is_empty() { FileAccess::List } else { FileAccess::Write };
        walk.file(at.index, target.value.clone(), access, target.at);
    }
}

/// [`remote_path`], where a shell on the other host may read the path: of other characters than a name's, it is code.
fn other_side(walk: &mut Walk, at: &At<'_>, arg: &Arg) -> bool {
    let remote = remote_path(walk, at, arg);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./~@:+,=-".contains(c);
    if remote && !arg.value.literal().is_some_and(|text| text.chars().all(plain)) {
        walk.opaque(Opaque::InlineCode, arg.at);
    }
    remote
}

fn scp(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(walk, at, "1234tfd6ABCOpqRrTvc:D|F<i<J:l:o:P:S|X:", "", Order::Mixed);
    ssh_options(walk, at, &found);
    // The old protocol starts a shell's command on the other host.
    if found.has(&["O"]) {
        walk.opaque(Opaque::InlineCode, at.span);
    }
    // The first operand ends the options: what looks like one behind it is a file.
    let operand = at.args.iter().position(|a| found.operands.first() == Some(a)).unwrap_or(at.args.len());
    let behind = at.args.get(operand..).unwrap_or(&[]);
    if behind.iter().any(|a| a.value.starts().starts_with('-')) || found.has(&["t"]) && found.has(&["f"]) {
        walk.opaque(Opaque::OptionUnknown, at.span);
    }
    // The other side of a copy, which `scp` starts over SSH.
    let server = if found.has(&["t"]) {
        Some(FileAccess::Write)
    } else if found.has(&["f"]) {
        Some(FileAccess::Read)
    } else {
        None
    };
    match server {
        None => transfer(walk, at, &found.operands),
        Some(access) => {
            for file in &found.operands {
                walk.file(at.index, file.value.clone(), access, file.at);
            }
        }
    }
}

fn sftp(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(walk, at, "46AaCfNpqrvB:b<c:D|F<i<J:l:o:P:R:S|s|X:", "", Order::Mixed);
    ssh_options(walk, at, &found);
    walk.opaque(Opaque::Interactive, at.span);
    if let Some(host) = found.operands.first()
        && !remote_path(walk, at, host)
    {
        login(walk, at, host, None);
    }
}

const RSYNC_LONG: &str = "exclude: include: exclude-from@ include-from@ files-from@ filter@ delete delete-after delete-before delete-during delete-delay delete-excluded delete-missing-args force progress stats partial inplace append append-verify archive verbose recursive compress compress-level: rsh| rsync-path| dry-run human-readable update checksum bwlimit: timeout: contimeout: port: password-file< log-file> out-format: info: no-owner no-group no-perms no-times no-o no-g no-p chmod: chown: usermap: groupmap: numeric-ids links no-links no-l munge-links copy-links safe-links copy-unsafe-links perms times owner group devices specials relative mkpath size-only ignore-times ignore-existing existing max-size: min-size: backup omit-dir-times one-file-system whole-file no-whole-file itemize-changes list-only remove-source-files quiet sparse hard-links acls xattrs version help";

fn rsync(walk: &mut Walk, at: &At<'_>) {
    if at.args.first().is_some_and(|a| a.value.literal() == Some("--server")) {
        return rsync_server(walk, at);
    }
    let found =
        options::read(walk, at, "vqcaRubdlLkKHpEAXogOJDtSnWxmIzyPhi46rB:T>M|f@e|0", RSYNC_LONG, Order::Mixed);
    transfer(walk, at, &found.operands);
    if found.values(&["out-format"]).any(|format| !names_shown(format, "fnL", "\n")) {
        walk.opaque(Opaque::Recodes, at.span);
    }
    let Some((target, sources)) = found.operands.split_last() else { return };
    let deletes = found.seen.iter().any(|(name, _)| name.starts_with("delete"));
    let local = |arg: &Arg| !arg.value.starts().split('/').next().unwrap_or("").contains(':');
    if deletes && local(target) {
        walk.file(at.index, target.value.clone(), FileAccess::Delete, target.at);
    }
    if local(target) && !sources.iter().all(local) && rsync_links(&found) {
        walk.opaque(Opaque::MakesLinks, at.span);
    }
    if found.has(&["remove-source-files"]) {
        for source in sources.iter().filter(|s| local(s)) {
            walk.file(at.index, source.value.clone(), FileAccess::Delete, source.at);
        }
    }
}

/// Whether links are copied as links: the last option that says so counts.
fn rsync_links(found: &Found) -> bool {
    let says = |name: &str| match name {
        "a" | "archive" | "l" | "links" => Some(true),
        "no-links" | "no-l" => Some(false),
        _ => None,
    };
    let last = found.seen.iter().rev().find_map(|(name, _)| says(name));
    last == Some(true) && !found.has(&["munge-links"])
}

/// `rsync --server [--sender] -OPTIONS . PATH...`: what rsync starts over SSH.
fn rsync_server(walk: &mut Walk, at: &At<'_>) {
    let sends = at.args.iter().any(|a| a.value.literal() == Some("--sender"));
    let plain = [
        "--server",
        "--sender",
        "--numeric-ids",
        "--partial",
        "--inplace",
        "--ignore-errors",
        "--existing",
        "--force",
        "--size-only",
        "--checksum",
        "--no-implied-dirs",
        "--ignore-existing",
        "--append",
        "--stats",
        "--munge-links",
    ];
    let mut deletes = false;
    let mut paths = false;
    let has = |name: &str| at.args.iter().any(|a| a.value.literal() == Some(name));
    let links = !sends && !has("--munge-links");
    for arg in at.args {
        let text = arg.value.starts();
        if paths {
            if text.starts_with('-') {
                walk.opaque(Opaque::OptionUnknown, arg.at);
            }
            let access = if sends { FileAccess::Read } else { FileAccess::Write };
            walk.file(at.index, arg.value.clone(), access, arg.at);
            if deletes && !sends {
                walk.file(at.index, arg.value.clone(), FileAccess::Delete, arg.at);
            }
        } else if arg.value.literal() == Some(".") {
            paths = true;
        } else if DELETES.contains(&text) && arg.value.literal().is_some() {
            deletes = true;
        } else if links && server_letters(text) && server_flags(text).contains('l') {
            walk.opaque(Opaque::MakesLinks, arg.at);
        } else if !(plain.contains(&text) || server_letters(text)) || arg.value.literal().is_none() {
            walk.opaque(Opaque::OptionUnknown, arg.at);
        }
    }
    if !paths {
        walk.opaque(Opaque::PathUnknown, at.span);
    }
}

const DELETES: &[&str] = &[
    "--delete",
    "--delete-before",
    "--delete-during",
    "--delete-after",
    "--delete-delay",
    "--delete-excluded",
];

/// Of `-vlogDtpre.iLsfxC` what stands before `e.`: behind it is what the client can do.
fn server_flags(text: &str) -> &str {
    text.split_once("e.").map_or(text, |(flags, _)| flags)
}

/// `-vlogDtpre.iLsfxC`: known letters. Not `s`: by it the arguments come from input.
fn server_letters(text: &str) -> bool {
    let Some(letters) = text.strip_prefix('-') else { return false };
    let flags = server_flags(letters);
    let able = letters.get(flags.len() + 2..).unwrap_or("");
    !letters.is_empty()
        && flags.chars().all(|c| "vlogDtprRzcuWSnkKLHAXUNOJdxmhqIiE".contains(c))
        && able.bytes().all(|b| b.is_ascii_alphabetic() || b == b'.')
}

/// The host of a URL; `file:` names a file.
pub(super) fn url(walk: &mut Walk, at: &At<'_>, arg: &Arg, access: FileAccess) {
    let text = arg.value.starts();
    if let Some(path) = text.strip_prefix("file://").filter(|path| path.starts_with('/')) {
        if path.contains(['%', '{', '}', '[', ']', '#', '?', '\\']) {
            walk.opaque(Opaque::PathUnknown, arg.at);
        }
        return walk.file(at.index, attached(arg, path).value, access, arg.at);
    }
    let named = scheme(text);
    let file = text.get(..5).is_some_and(|front| front.eq_ignore_ascii_case("file:"));
    if named.is_err() || file || text.contains('\\') {
        return walk.host(at.index, Value::unknown(), None, None, arg.at);
    }
    let rest = if named == Ok(None) { text } else { text.split_once("://").map_or(text, |(_, rest)| rest) };
    let end = rest.find(['/', '?', '#']);
    let authority = rest.get(..end.unwrap_or(rest.len())).unwrap_or("");
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user.split(':').next().map(str::to_owned), host),
        None => (None, authority),
    };
    let bracket = host.rfind(']').unwrap_or(0);
    let (name, port) = match host.get(bracket..).and_then(|tail| tail.rfind(':')) {
        Some(colon) => (host.get(..bracket + colon).unwrap_or(host), host.get(bracket + colon + 1..)),
        None => (host, None),
    };
    // Before the path starts, what follows may still be of the host; and curl makes several of `{a,b}`.
    let sure = (arg.value.literal().is_some() || end.is_some())
        && authority.matches('@').count() < 2
        && !authority.contains(['{', '}', ','])
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let value = if sure { host_named(name) } else { Value::unknown() };
    let port = port.map(str::to_owned);
    walk.host(at.index, value, user, port, arg.at);
}

/// `host:port`, or `host`.
pub(super) fn host_port(walk: &mut Walk, at: &At<'_>, arg: &Arg) {
    url(walk, at, arg, FileAccess::Read);
}

/// The name under which what a URL names is stored, where no other one is given.
fn stored(walk: &mut Walk, at: &At<'_>, arg: &Arg) {
    let value = match arg.value.literal() {
        Some(text) if text.contains(['%', '{', '}', '[', ']', '\\', '*']) => Value::unknown(),
        Some(text) if at.base == "wget" && text.contains(['?', '#']) => Value::unknown(),
        Some(text) => {
            let path = text.split(['?', '#']).next().unwrap_or(text);
            let path = path.split_once("://").map_or(path, |(_, rest)| rest);
            match path.rsplit_once('/').map_or("", |(_, name)| name) {
                // Some make up a name of their own.
                "" if at.base == "curl" => Value::unknown(),
                "" => Value::Literal("index.html".to_owned()),
                name => Value::Literal(name.to_owned()),
            }
        }
        None => Value::unknown(),
    };
    walk.file(at.index, value, FileAccess::Write, arg.at);
}

const CURL_SHORT: &str =
    "0123469aBfgGiIjJklLMnNOpqRsSvVZA:b:c>C:d:D>e:E<F:h:H:K|m:o>P:Q|r:t:T<u:U:w:x:X:y:Y:z<";
const CURL_LONG: &str = "anyauth append basic cacert< capath< cert< cert-type: ciphers: compressed config| connect-timeout: connect-to: continue-at: cookie: cookie-jar> create-dirs crlf data: data-ascii: data-binary: data-raw: data-urlencode: digest disable dump-header> fail fail-with-body fail-early form: form-string: get globoff head header: help http1.0 http1.1 http2 http3 include insecure ipv4 ipv6 json: junk-session-cookies keepalive-time: key< key-type: limit-rate: list-only location location-trusted max-filesize: max-redirs: max-time: negotiate netrc netrc-file< next no-buffer no-keepalive no-progress-meter no-sessionid noproxy: ntlm output> output-dir: parallel pass: path-as-is post301 post302 post303 progress-bar proto: proxy: proxy-user: range: raw referer: remote-header-name remote-name remote-name-all remote-time request: resolve: retry: retry-all-errors retry-connrefused retry-delay: retry-max-time: show-error silent socks5: socks5-hostname: speed-limit: speed-time: ssl ssl-reqd stderr> tcp-nodelay time-cond: tlsv1.2 tlsv1.3 tls-max: trace> trace-ascii> unix-socket: upload-file< url: url-query: user: user-agent: verbose version write-out: no-fail";

fn curl(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(walk, at, CURL_SHORT, CURL_LONG, Order::Mixed);
    for (name, value) in &found.seen {
        let Some(value) = value else { continue };
        curl_value(walk, at, name, value);
    }
    let urls: Vec<Arg> = found.values(&["url"]).chain(&found.operands).cloned().collect();
    let uploads = found.has(&["T", "upload-file"]);
    let stores = found.has(&["O", "remote-name", "remote-name-all"]);
    for arg in &urls {
        url(walk, at, arg, FileAccess::Read);
        if uploads {
            uploaded(walk, at, arg);
        }
        if stores {
            stored(walk, at, arg);
        }
    }
    if urls.is_empty() && !found.has(&["V", "version", "h", "help"]) {
        walk.opaque(Opaque::HostUnknown, at.span);
    }
    let follows = found.has(&["L", "location", "location-trusted"]);
    // Behind `--next` others count.
    if follows && (found.has(&["next"]) || !is_zero(found.value(&["max-redirs"]))) {
        walk.any_host(at.index, at.span);
    }
    if found.has(&["n", "netrc"]) {
        walk.file(at.index, Value::Below(Base::Home, "/.netrc".to_owned()), FileAccess::Read, at.span);
    }
    if found.has(&["r", "range", "C", "continue-at"]) {
        walk.opaque(Opaque::Recodes, at.span);
    }
    // A server's header names the file, or another host.
    if found.has(&["J", "remote-header-name"]) {
        walk.opaque(Opaque::PathUnknown, at.span);
    }
    // Also names that begin at the root are below it.
    for directory in found.values(&["output-dir"]).cloned().collect::<Vec<_>>() {
        walk.file(at.index, directory.value, FileAccess::Write, directory.at);
        walk.opaque(Opaque::PathUnknown, at.span);
    }
    if found.has(&["connect-to", "resolve", "unix-socket"]) {
        walk.opaque(Opaque::HostUnknown, at.span);
    }
}

fn is_zero(count: Option<&Arg>) -> bool {
    count.is_some_and(|count| count.value.literal() == Some("0"))
}

/// What is sent to a `file:` is written there; in a directory, under the name of what is sent.
fn uploaded(walk: &mut Walk, at: &At<'_>, arg: &Arg) {
    let Some(path) = arg.value.starts().strip_prefix("file://") else { return };
    if path.ends_with('/') {
        walk.opaque(Opaque::PathUnknown, arg.at);
    }
    walk.file(at.index, attached(arg, path).value, FileAccess::Write, arg.at);
}

/// Values that may name a file: `@file`, `name=@file`, `name=<file`; a cookie without `=`, or behind `@`, is a file.
fn curl_value(walk: &mut Walk, at: &At<'_>, name: &str, value: &Arg) {
    let text = value.value.starts();
    let output = matches!(name, "w" | "write-out") && (text.contains("%output") || text.starts_with('@'));
    // Parts behind `;` may be headers out of a file; a `,` brings more files.
    let form = matches!(name, "F" | "form") && !form_is_plain(text);
    if output || form {
        walk.opaque(Opaque::OptionUnknown, value.at);
    }
    let path = match name {
        "d" | "data" | "data-ascii" | "data-binary" | "json" | "H" | "header" => text.strip_prefix('@'),
        "w" | "write-out" => text.strip_prefix('@'),
        "data-urlencode" | "url-query" => {
            text.split_once('@').map(|(_, path)| path).filter(|_| !text.contains('='))
        }
        "F" | "form" => text.split_once('=').and_then(|(_, v)| v.strip_prefix(['@', '<'])),
        "b" | "cookie" => text.strip_prefix('@').or_else(|| Some(text).filter(|_| !text.contains('='))),
        "x" | "proxy" | "socks5" | "socks5-hostname" => return url(walk, at, value, FileAccess::Read),
        _ => return,
    };
    // An unknown value may begin with the sign.
    if value.value.literal().is_none() && text.is_empty() {
        return walk.opaque(Opaque::ArgumentUnknown, value.at);
    }
    let Some(path) = path else { return };
    let path = if matches!(name, "F" | "form") { path.split(';').next().unwrap_or(path) } else { path };
    if path.contains(['%', '{', '}', '[', ']', '#', ',']) {
        walk.opaque(Opaque::PathUnknown, value.at);
    }
    if path != "-" {
        let path = path.to_owned();
        walk.file(at.index, attached(value, &path).value, FileAccess::Read, value.at);
    }
}

fn form_is_plain(text: &str) -> bool {
    let mut parts = text.split(';');
    let first = parts.next().unwrap_or("");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/+._-".contains(c);
    let file = first.split_once('=').is_some_and(|(_, value)| value.starts_with(['@', '<']));
    let several = text.contains(['"', '\\']) || file && first.contains(',');
    !several
        && parts.all(|part| {
            let value = part.strip_prefix("type=").or_else(|| part.strip_prefix("filename="));
            value.is_some_and(|value| value.chars().all(plain))
        })
}

const WGET_LONG: &str = "output-document> output-file> append-output+ input-file@ execute| config| use-askpass| quiet verbose no-verbose continue timestamping tries: timeout: connect-timeout: wait: limit-rate: no-check-certificate ca-certificate< certificate< private-key< user: password: http-user: http-password: header: user-agent: referer: post-data: post-file< body-file< body-data: method: save-cookies> load-cookies< directory-prefix: recursive level: no-parent mirror page-requisites spider no-clobber show-progress progress: max-redirect: content-disposition trust-server-names no-proxy inet4-only inet6-only background debug server-response no-cookies compression: help version";

fn wget(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(
        walk,
        at,
        "46bcdEFhHkKLmNpqrSvVxO>o>a+i@e|P:t:T:w:Q:l:A:R:D:U:B:I:X:n#",
        WGET_LONG,
        Order::Mixed,
    );
    let follows = found.has(&["r", "recursive", "m", "mirror", "p", "page-requisites"]);
    let named = found.has(&["O", "output-document"]);
    // Its own names for what it stores, and files of its own.
    let stores = ["x", "E", "K", "b", "background", "content-disposition", "trust-server-names"];
    if found.operands.is_empty() && !found.has(&["V", "version", "h", "help", "i", "input-file"]) {
        walk.opaque(Opaque::HostUnknown, at.span);
    }
    if follows || found.has(&stores) {
        walk.opaque(Opaque::PathUnknown, at.span);
    }
    for directory in found.values(&["P", "directory-prefix"]).cloned().collect::<Vec<_>>() {
        walk.file(at.index, directory.value, FileAccess::Write, directory.at);
    }
    let redirects = !found.operands.is_empty() && !is_zero(found.value(&["max-redirect"]));
    if redirects {
        walk.any_host(at.index, at.span);
    }
    // To FTP, too, whose lists it reads for times.
    if redirects && found.has(&["N", "timestamping"]) {
        walk.opaque(Opaque::MakesLinks, at.span);
    }
    let elsewhere = named || follows || found.has(&["P", "directory-prefix", "spider"]);
    for arg in &found.operands {
        url(walk, at, arg, FileAccess::Read);
        // A list of FTP's has links in it.
        if may_be_ftp(arg.value.starts()) {
            walk.opaque(Opaque::MakesLinks, arg.at);
        }
        if !elsewhere {
            stored(walk, at, arg);
        }
    }
}

/// `ftp://host/x`, and to wget `host:x`.
fn may_be_ftp(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    let port = rest.split('/').next().unwrap_or("");
    let numbered = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    !numbered && !["http", "https"].iter().any(|name| scheme.eq_ignore_ascii_case(name))
}

fn nc(walk: &mut Walk, at: &At<'_>) {
    let found = options::read(
        walk,
        at,
        "46ClnNrtUuvzq:i:p:s:w:x:e|c|",
        "exec| sh-exec| lua-exec| listen ssl proxy: wait: verbose udp keep-open send-only recv-only",
        Order::Mixed,
    );
    if found.has(&["x", "proxy", "l", "listen", "U"]) {
        walk.opaque(Opaque::HostUnknown, at.span);
    }
    if let Some(host) = found.operands.first() {
        let port = found.operands.get(1).and_then(|a| a.value.literal().map(str::to_owned));
        login(walk, at, host, port);
    }
}

fn telnet(walk: &mut Walk, at: &At<'_>) {
    walk.opaque(Opaque::Interactive, at.span);
    let words: Vec<&Arg> = at.args.iter().filter(|a| !a.value.starts().starts_with('-')).collect();
    if let Some(host) = words.first() {
        let port = words.get(1).and_then(|a| a.value.literal().map(str::to_owned));
        walk.host(at.index, host.value.clone(), None, port, host.at);
    }
}

/// Every word that is no option and no number may be a host, and is taken for one.
fn probes(walk: &mut Walk, at: &At<'_>) {
    // Keys, lists of hosts and files of their own; whois asks a host that the line does not name.
    if matches!(at.base, "ssh-copy-id" | "ssh-keyscan" | "fping" | "showmount" | "arping" | "drill" | "whois")
    {
        walk.opaque(Opaque::OptionUnknown, at.span);
    }
    for arg in at.args.iter().filter(|a| a.value.starts().starts_with(['-', '+'])) {
        if !arg.value.literal().is_some_and(|text| probe_option(at.base, text)) {
            walk.opaque(Opaque::OptionUnknown, arg.at);
        }
    }
    if at.base == "nslookup" && !at.args.iter().any(|a| !a.value.starts().starts_with('-')) {
        walk.opaque(Opaque::Interactive, at.span);
    }
    let mut before = "";
    for arg in at.args {
        let text = arg.value.starts();
        let front = std::mem::replace(&mut before, text);
        let valued = match at.base {
            "ping" | "ping6" => matches!(front, "-c" | "-W"),
            "nmap" | "dig" => front == "-p",
            _ => false,
        };
        let number = arg.value.literal().is_some()
            && valued
            && text.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b',');
        // A name of a network card.
        let card = matches!(at.base, "ping" | "ping6")
            && front == "-I"
            && arg.value.literal().is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric()));
        if card {
            continue;
        }
        if !text.starts_with(['-', '+']) && !number {
            let host = text.trim_start_matches('@').to_owned();
            login(walk, at, &attached(arg, &host), None);
        }
    }
}

/// Options that name no file and no host. A value that is not a number is taken for a host.
fn probe_option(base: &str, text: &str) -> bool {
    let number = |front: &str| {
        text.strip_prefix(front).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
    };
    let listed: &[&str] = match base {
        "ping" | "ping6" => &["-4", "-6", "-n", "-q", "-v", "-W", "-c", "-I"],
        "nmap" => &[
            "-sV", "-sT", "-sS", "-sU", "-sn", "-Pn", "-n", "-F", "-A", "-O", "-v", "-6", "--open", "-T3",
            "-T4",
        ],
        "dig" => {
            &["-4", "-6", "-x", "-t", "-p", "+short", "+noall", "+answer", "+trace", "+tcp", "+norecurse"]
        }
        "host" | "mtr" | "traceroute" | "tracepath" | "traceroute6" => &["-4", "-6", "-n", "-a", "-v"],
        _ => &[],
    };
    let valued: &[&str] = match base {
        "ping" | "ping6" => &["-c", "-W"],
        "nmap" | "dig" => &["-p"],
        _ => &[],
    };
    listed.contains(&text) || valued.iter().any(|front| number(front))
}

fn container(walk: &mut Walk, at: &At<'_>) {
    let Some((subcommand, rest)) = at.args.split_first() else { return };
    let at = At { args: rest, ..*at };
    match subcommand.value.literal() {
        Some(
            "ps" | "images" | "info" | "version" | "logs" | "inspect" | "top" | "stats" | "port" | "diff"
            | "history",
        ) => {}
        Some("exec") => {
            let found = options::read(
                walk,
                &at,
                "dite:u:w:",
                "detach interactive tty env: env-file@ user: workdir: privileged detach-keys:",
                Order::First,
            );
            if found.has(&["w", "workdir"]) {
                walk.opaque(Opaque::Directory, at.span);
            }
            // On a terminal lines end where the column does.
            if found.has(&["t", "tty"]) {
                walk.opaque(Opaque::Recodes, at.span);
            }
            for setting in found.values(&["e", "env"]).cloned().collect::<Vec<_>>() {
                let name = setting.value.starts().split('=').next().unwrap_or("").to_owned();
                walk.variable_set(&name, setting.at);
            }
            walk.inner_call(at.index, found.operands.get(1..).unwrap_or(&[]), Inside::Container, at.scene);
        }
        Some("cp") => {
            let found = options::read(walk, &at, "aLq", "archive follow-link quiet", Order::Mixed);
            copies(walk, &at, &found.operands);
        }
        _ => walk.opaque(Opaque::Container, at.span),
    }
}

/// `docker cp` and `kubectl cp`: `name:path` is inside a container.
fn copies(walk: &mut Walk, at: &At<'_>, operands: &[Arg]) {
    let inside = |arg: &Arg| {
        arg.value.starts().split_once(':').is_some_and(|(front, _)| !front.starts_with(['/', '.']))
    };
    for (place, arg) in operands.iter().enumerate() {
        let access = if place == 0 { FileAccess::Read } else { FileAccess::Write };
        if inside(arg) {
            walk.opaque(Opaque::Container, arg.at);
        } else if arg.value.literal() != Some("-") {
            walk.file(at.index, arg.value.clone(), access, arg.at);
        }
    }
}

fn kubectl(walk: &mut Walk, at: &At<'_>) {
    let place = at.args.iter().position(|a| a.value.literal() == Some("--"));
    let words: Vec<&str> = at.args.iter().map(|a| a.value.starts()).collect();
    let valued =
        ["-n", "--namespace", "--context", "--cluster", "--user", "-s", "--server", "--request-timeout"];
    let named =
        |place: usize| place.checked_sub(1).and_then(|p| words.get(p)).is_some_and(|w| valued.contains(w));
    let subcommand =
        (0..words.len()).find(|p| !named(*p) && !words.get(*p).is_some_and(|w| w.starts_with('-')));
    match subcommand.and_then(|p| words.get(p)) {
        Some(&"exec") => match place {
            Some(place) => {
                walk.opaque(Opaque::HostUnknown, at.span);
                walk.inner_call(
                    at.index,
                    at.args.get(place + 1..).unwrap_or(&[]),
                    Inside::Container,
                    at.scene,
                );
            }
            None => walk.opaque(Opaque::Container, at.span),
        },
        Some(&"cp") => {
            walk.opaque(Opaque::HostUnknown, at.span);
            let skip = at.args.iter().position(|a| a.value.literal() == Some("cp")).map_or(0, |p| p + 1);
            let at = At { args: at.args.get(skip..).unwrap_or(&[]), ..*at };
            let found =
                options::read(walk, &at, "c:n:", "container: namespace: no-preserve retries:", Order::Mixed);
            copies(walk, &at, &found.operands);
        }
        // What a cluster is asked for is in the cluster's own language.
        _ => walk.opaque(Opaque::Container, at.span),
    }
}
