//! What the arguments of well-known programs mean: files, hosts, other programs.
//!
//! GNU's and BSD's common options (coreutils 9, findutils 4.9, tar 1.34, OpenSSH 9, git 2.39, curl 7.88). An option that is not
//! listed makes the command opaque; a program that is not listed is left as its words.

mod awk;
mod builtins;
mod files;
mod git;
mod languages;
mod network;
mod options;
mod recode;
mod tells;
mod wrappers;

use crate::line::{Arg, Opaque, Span, Value};
use crate::walk::{Scene, Walk};

/// A command that is looked at.
pub(crate) struct At<'a> {
    pub index: usize,
    pub base: &'a str,
    pub args: &'a [Arg],
    pub scene: &'a Scene,
    pub span: Span,
}

/// Says what `base` with `args` reaches, as far as that is known here.
pub(crate) fn reach(walk: &mut Walk, index: usize, base: &str, args: &[Arg], scene: &Scene) {
    let span = walk.line.commands.get(index).map_or_else(Span::default, |command| command.at);
    let at = At { index, base, args, scene, span };
    let known = builtins::reach(walk, &at)
        || wrappers::reach(walk, &at)
        || languages::reach(walk, &at)
        || network::reach(walk, &at)
        || git::reach(walk, &at)
        || files::reach(walk, &at)
        || starts_others(walk, &at);
    if known {
        walk.known(index);
    }
    recode::words(walk, &at);
}

/// Programs that take commands while they run, or at another time, that start others, or change the system.
fn starts_others(walk: &mut Walk, at: &At<'_>) -> bool {
    let why = match at.base {
        "vi" | "vim" | "view" | "nvim" | "vimdiff" | "ex" | "ed" | "emacs" | "emacsclient" | "nano"
        | "pico" | "joe" | "mcedit" | "less" | "more" | "most" | "pg" | "man" | "info" | "pinfo" | "ftp"
        | "lftp" | "ncftp" | "tftp" | "telnet" | "gdb" | "lldb" | "mail" | "mailx" | "mutt" | "irb"
        | "tig" | "lynx" | "w3m" | "links" | "elinks" | "mc" | "ranger" | "tmux" | "screen" | "byobu"
        | "dialog" | "expect" | "minicom" | "bc" | "dc" | "mysql" | "mariadb" | "mongo" | "mongosh"
        | "redis-cli" | "sqlite3" | "sqlplus" | "fzf" | "top" | "htop" | "visudo" | "sudoedit" | "vipw"
        | "vigr" | "debugfs" => Opaque::Interactive,
        "at" | "batch" | "crontab" | "anacron" | "systemd-run" | "inotifywait" | "incrontab" | "entr"
        | "atrm" => Opaque::Later,
        "patch" | "gpg" | "gpg2" | "make" | "gmake" | "ninja" | "cmake" | "ant" | "mvn" | "gradle"
        | "rake" | "npm" | "npx" | "yarn" | "pnpm" | "pip" | "pip3" | "pipx" | "uv" | "uvx" | "cargo"
        | "go" | "gem" | "bundle" | "composer" | "apt" | "apt-get" | "dpkg" | "rpm" | "yum" | "dnf"
        | "apk" | "snap" | "ansible" | "ansible-playbook" | "terraform" | "helm" | "vagrant" | "gcc"
        | "cc" | "g++" | "clang" | "ld" | "run-parts" | "logrotate" | "supervisorctl" | "just" | "task"
        | "tox" | "nox" | "pytest" | "py.test" | "poetry" | "pipenv" | "pdm" | "hatch" | "conda" | "bunx"
        | "jest" | "mocha" | "rspec" | "scons" | "meson" | "bazel" | "docker-compose" => Opaque::RunsOthers,
        "mount"
        | "ldconfig"
        | "iptables-restore"
        | "losetup"
        | "ip"
        | "dmsetup"
        | "insmod"
        | "modprobe"
        | "kexec"
        | "update-alternatives" => Opaque::Configuration,
        "strace" | "ltrace" | "perf" | "valgrind" | "socat" | "parallel" | "start-stop-daemon"
        | "unshare" | "nsenter" | "bwrap" | "firejail" | "tcpdump" | "capsh" | "choom" | "prlimit"
        | "setarch" | "linux32" | "linux64" | "setpriv" | "sg" | "newgrp" | "pkexec" | "machinectl"
        | "dbus-run-session" | "xvfb-run" | "fakeroot" | "faketime" | "daemon" | "daemonize" | "rlwrap"
        | "unbuffer" | "chronic" | "ts" | "pee" | "sponge" | "split" | "zrun" | "uniq_c" | "x86_64"
        | "i386" | "i486" | "i586" | "i686" | "uname26" | "systemd-inhibit" | "systemd-cat"
        | "systemd-nspawn" | "ssh-agent" | "git-shell" | "gosu" | "su-exec" | "setuidgid" | "chpst"
        | "envdir" | "tini" | "dumb-init" | "numactl" | "cpulimit" | "cgexec" | "eatmydata" | "proot"
        | "sshpass" | "autossh" | "torsocks" | "torify" | "proxychains" | "proxychains4" | "dtach"
        | "hyperfine" => Opaque::StartsPrograms,
        // One of its kinds runs code of perl, and which one a host has is not known.
        "rename" | "prename" | "file-rename" | "perl-rename" => Opaque::InlineCode,
        "fd" | "fdfind" if at.args.iter().any(may_start) => Opaque::StartsPrograms,
        base if is_loader(base) => Opaque::StartsPrograms,
        _ => return false,
    };
    if !tells::only(at) {
        walk.opaque(why, at.span);
    }
    true
}

/// Whether a word of `fd` is `-x`, `-X`, `--exec` or `--exec-batch`, or may turn out to be.
fn may_start(arg: &Arg) -> bool {
    let text = arg.value.starts();
    let short = text.starts_with('-') && !text.starts_with("--");
    let known = match &arg.value {
        Value::Literal(_) | Value::Below(..) => true,
        Value::Pattern(..) => !text.is_empty() && !text.starts_with(['-', '*', '?', '[']),
        Value::Unknown { one, .. } => *one && !text.is_empty() && !text.starts_with('-'),
    };
    !known
        || short && text.contains(['x', 'X'])
        || text.starts_with("--ex") && !text.starts_with("--exc") && !text.starts_with("--ext")
}

/// `ld.so`, `ld-linux-x86-64.so.2`, `ld-musl-x86_64.so.1`: it runs the program that its words name.
fn is_loader(base: &str) -> bool {
    base.starts_with("ld.so")
        || base.starts_with("ld-") && base.contains(".so")
        || base.starts_with("ld64.so")
}

/// Whether a program may take from its standard input, as far as its words say.
pub(crate) fn may_read_input(written: &str, args: &[Arg]) -> bool {
    const NEVER: &[&str] = &[
        "echo",
        "printf",
        "cd",
        "pwd",
        "true",
        "false",
        ":",
        "test",
        "[",
        "ls",
        "stat",
        "mkdir",
        "rmdir",
        "touch",
        "chmod",
        "chown",
        "chgrp",
        "export",
        "set",
        "unset",
        "exit",
        "return",
        "id",
        "whoami",
        "date",
        "uname",
        "hostname",
        "sleep",
        "kill",
        "mktemp",
        "dirname",
        "basename",
        "readlink",
        "realpath",
        "du",
        "df",
        "ps",
        "systemctl",
        "which",
        "type",
        "umask",
        "shift",
        "break",
        "continue",
        "readonly",
        "local",
        "declare",
        "wait",
        "trap",
        // What they run is looked at by itself.
        "env",
        "nice",
        "nohup",
        "timeout",
        "command",
        "builtin",
        "setsid",
        "sudo",
        "doas",
    ];
    let base = written.rsplit('/').next().unwrap_or(written);
    let plain =
        |arg: &Arg| arg.value.literal().is_some_and(|text| !text.starts_with('-') && text != "/dev/stdin");
    match base {
        "rm" | "cp" | "mv" | "ln" => args.iter().any(|a| {
            let text = a.value.starts();
            a.value.literal().is_none() && text.is_empty()
                || text.starts_with('-') && text.contains(['i', 'I'])
        }),
        "cat" => args.is_empty() || !args.iter().all(plain),
        _ => !NEVER.contains(&base),
    }
}

/// Variables that decide which programs run, what they load, where they look, or how a shell reads.
pub(crate) fn decides(name: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "LD_", "DYLD_", "GIT_", "BASH", "PYTHON", "PERL", "RUBY", "NODE_", "NPM_", "JAVA_", "JDK_", "LUA_",
        "PHP", "SSH_", "DOCKER_", "RSYNC_", "GCONV_", "EPOCH", "DBUS_", "SYSTEMD_", "XDG_",
    ];
    const NAMES: &[&str] = &[
        "PATH",
        "IFS",
        "ENV",
        "PROMPT_COMMAND",
        "PS0",
        "PS1",
        "PS2",
        "PS4",
        "SHELL",
        "SHELLOPTS",
        "EDITOR",
        "VISUAL",
        "PAGER",
        "MANPAGER",
        "MANOPT",
        "LESS",
        "LESSOPEN",
        "LESSCLOSE",
        "LESSEDIT",
        "BROWSER",
        "HOME",
        "PWD",
        "OLDPWD",
        "CDPATH",
        "GLOBIGNORE",
        "GLOBSORT",
        "FPATH",
        "ZDOTDIR",
        "NULLCMD",
        "READNULLCMD",
        "TAR_OPTIONS",
        "TAPE",
        "SUDO_ASKPASS",
        "SUDO_EDITOR",
        "CURL_HOME",
        "WGETRC",
        "KUBECONFIG",
        "POSIXLY_CORRECT",
        "POSIX_ME_HARDER",
        "EXINIT",
        "VIMINIT",
        "TERMINFO",
        "NLSPATH",
        "LOCPATH",
        "TEXTDOMAIN",
        "TEXTDOMAINDIR",
        "LANGUAGE",
        "LOCALDOMAIN",
        "TZDIR",
        "TERMCAP",
        "TERMINFO_DIRS",
        "MALLOC_CONF",
        "CLASSPATH",
        "OPENSSL_CONF",
        "OPENSSL_ENGINES",
        "PSQLRC",
        "PSQL_EDITOR",
        "PGSERVICEFILE",
        "PGSYSCONFDIR",
        "MYSQL_HOME",
        "TMPDIR",
        "HOSTALIASES",
        "RES_OPTIONS",
        "AWKPATH",
        "AWKLIBPATH",
        // bash evaluates what some of these are set to as arithmetic.
        "RANDOM",
        "SRANDOM",
        "LINENO",
        "HISTCMD",
        "OPTIND",
        "OPTERR",
        "SECONDS",
        "UID",
        "EUID",
        "PPID",
        "GROUPS",
        "DIRSTACK",
        "FUNCNAME",
        "FUNCNEST",
        "PIPESTATUS",
        "MAILCHECK",
        "MAILPATH",
        "TMOUT",
        "COLUMNS",
        "LINES",
        "HISTSIZE",
        "HISTFILE",
        "HISTFILESIZE",
        "EXECIGNORE",
        "CHILD_MAX",
        "INPUTRC",
        "TIMEFORMAT",
        "SYSTEM_WGETRC",
        "ZIPOPT",
        "UNZIP",
        "UNZIPOPT",
        "ZIPINFO",
        "GZIP",
        "BZIP2",
        "XZ_OPT",
        "XZ_DEFAULTS",
        "ZSTD_CLEVEL",
        "MAGIC",
        "RIPGREP_CONFIG_PATH",
        "SSLKEYLOGFILE",
        "GREP_OPTIONS",
        "FCEDIT",
        "MORE",
        "MOST_EDITOR",
        "ACK_PAGER",
    ];
    let proxy = name.to_ascii_lowercase().ends_with("_proxy");
    proxy || NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Variables that are known to decide nothing but how a program talks.
pub(crate) fn is_harmless(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "LANG",
        "LC_ALL",
        "LC_COLLATE",
        "LC_CTYPE",
        "LC_MESSAGES",
        "LC_NUMERIC",
        "LC_TIME",
        "TZ",
        "TERM",
        "NO_COLOR",
        "CLICOLOR",
        "DEBIAN_FRONTEND",
    ];
    NAMES.contains(&name)
}

/// Whether a variable has its programs show what they have without a pager.
pub(crate) fn is_no_pager(name: &str, value: Option<&str>) -> bool {
    matches!(name, "PAGER" | "GIT_PAGER") && value == Some("cat")
}

/// Whether a variable of those has a value that names no file: `Europe/Berlin`, and not `:/etc/shadow`.
pub(crate) fn is_harmless_value(name: &str, value: &str) -> bool {
    if name == "LANG" || name.starts_with("LC_") {
        return is_plain_locale(value);
    }
    let zone = name == "TZ" && !value.starts_with([':', '/']) && !value.contains("..");
    zone || !value.contains([':', '/'])
}

/// `C`, `POSIX`, `C.UTF-8`, `de_DE.UTF-8`.
fn is_plain_locale(value: &str) -> bool {
    let (language, set) = value.split_once('.').unwrap_or((value, ""));
    let plain = matches!(language, "" | "C" | "POSIX");
    let named = language.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    plain && set.is_empty() || named && matches!(set, "UTF-8" | "utf8" | "UTF8" | "utf-8")
}
