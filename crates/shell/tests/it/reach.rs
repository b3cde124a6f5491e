//! Lines that reach a file, a directory or a program by a way that is easily overlooked: each names it, or is opaque. And their honest
//! neighbours, which are neither.

use super::support::shown;

#[track_caller]
fn check(line: &str, expect: &str) {
    assert_eq!(shown(line), expect, "{line}");
}

#[track_caller]
fn has(line: &str, part: &str) {
    let shown = shown(line);
    let all = shown.split(' ').chain([&*shown]).any(|word| word == part);
    assert!(all, "{line}: {shown}");
}

#[track_caller]
fn known(line: &str) {
    let shown = shown(line);
    assert!(!shown.contains(" !") && !shown.starts_with("refused"), "{line}: {shown}");
}

/// Each line is opaque for this.
#[track_caller]
fn opaque(why: &str, lines: &[&str]) {
    for line in lines {
        has(line, &format!("!{why}"));
    }
}

#[test]
fn each_compressor_has_its_own_options() {
    for line in [
        "gzip -dcf -M /s/a.gz",
        "gzip -dc -T /s/a.gz",
        "gunzip -cf -M /s/a.gz",
        "bzip2 -dc -S /s/a.bz2",
        "bzip2 -dc -M /s/a",
        "zstd -dcf -T /s/a",
        "zstd -dcf -M /s/a",
        "zstd -dcf -b /s/a",
        "uncompress -c -b /s/a.Z",
    ] {
        has(line, "!OptionUnknown");
    }
    check("gzip -dc /s/a.gz", "gzip(<-dc> </s/a.gz>) r=</s/a.gz>");
    check("xz -dc -T 0 /s/a.xz", "xz(<-dc> <-T> <0> </s/a.xz>) r=</s/a.xz>");
    check("zstd -dc /s/a.zst", "zstd(<-dc> </s/a.zst>) r=</s/a.zst>");
    check("bzip2 -dck /s/a.bz2", "bzip2(<-dck> </s/a.bz2>) r=</s/a.bz2>");
    opaque("PathUnknown", &["gzip -l /s/a", "gzip -tv /s/a", "gunzip -c /s/a"]);
}

#[test]
fn what_tar_packs_is_below_the_directory_before_it() {
    has("cd /o/a && tar cf - -C /o ../s/x", "r=</o/../s/x>");
    has("tar cf - a -C /o b", "r=<a>");
    has("tar cf - a -C /o b", "r=</o/b>");
    has("tar cf - -C ~/o ../x", "r=<HOME:/o/../x>");
    has("cd /o && tar cf - -C a b", "r=</o>><a/b>");
    opaque("PathUnknown", &["tar cf - -C /o *", "tar cf - -C \"$d\" a", "tar cf - -C /o -C ../s a"]);
    has("tar xf /o/x.tar a -C /o", "w=<.>");
    check("tar xf /o/x.tar -C /o a", "tar(<xf> </o/x.tar> <-C> </o> <a>) r=</o/x.tar> w=</o> !MakesLinks");
    check("tar cf x.tar -C /o sub", "tar(<cf> <x.tar> <-C> </o> <sub>) w=<x.tar> l=</o> r=</o/sub>");
}

#[test]
fn words_that_look_like_something_else_are_what_their_programs_take_them_for() {
    has("tar cf /o/x -N /f/s a", "l=</f/s>");
    has("tar cf /o/x --mtime=./s a", "l=<./s>");
    has("tar cf /o/x --mtime=2020-01-01 a", "r=<a>");
    opaque("PathUnknown", &["tar cf /o/x -N \"$x\" a"]);
    check("tail +2 f", "tail(<+2> <f>) r=<f>");
    has("tail +2 f g", "r=<+2>");
    opaque("OptionUnknown", &["busybox --install /o", "toybox --install /o"]);
}

#[test]
fn what_may_bring_links_is_opaque() {
    opaque(
        "MakesLinks",
        &[
            "tar xf /o/x.tar",
            "tar -x -f - -C /o",
            "tar --get --file=/o/x.tar -C /o",
            "cat /o/x.tar | tar xf - -C /o",
            "unzip -q /o/a.zip -d /o/x",
            "unzip /o/a.zip",
            "busybox unzip /o/a.zip",
            "rsync --server -logDtpre.iLsfxCIvu . /o",
            "rsync --server -rle.iLsfxCIvu --safe-links . /o",
            "rsync -a h:/x /o",
            "rsync -rl h:/x /o",
            "rsync -r --links h::x /o",
            "rsync --no-links -a h:/x /o",
            "git clone https://h/a.git",
            "git restore a",
            "git restore -SW a",
            "git -c core.symlinks=true clone https://h/a.git",
            "wget ftp://h/a",
            "wget FTP://h/a",
            "wget h:a",
        ],
    );
    for line in [
        "tar tf /o/x.tar",
        "tar xOf /o/x.tar a",
        "unzip -l /o/a.zip",
        "unzip -p /o/a.zip",
        "rsync --server -re.iLsfxCIvu . /o",
        "rsync --server -ogDtpre.iLsfxCIvu . /o",
        "rsync --server -logDtpre.iLsfxCIvu --munge-links . /o",
        "rsync --server --sender -logDtpre.iLsfxCIvu . /o",
        "rsync -a --no-links h:/x /o",
        "rsync -a --munge-links h:/x /o",
        "rsync -rt h:/x /o",
        "rsync -a /x h:/o",
        "rsync -a /x /o",
        "git -c core.symlinks=false clone https://h/a.git",
        "git -c core.symlinks=false restore a",
        "git clone -n https://h/a.git",
        "git restore --staged a",
        "git reset a",
        "wget http://h/a",
        "wget h:8080/a",
    ] {
        known(line);
    }
}

#[test]
fn git_names_the_directory_in_which_it_runs() {
    for line in
        ["git show HEAD:s", "git log -p", "git ls-files", "git tag", "git branch", "git grep x", "git reflog"]
    {
        has(&format!("cd /r && {line}"), "r=</r>><.>");
    }
    for line in [
        "git branch x",
        "git branch -l x",
        "git branch -d x",
        "git tag v1",
        "git tag -d v1",
        "git reset -q",
        "git add -A",
        "git rm -r --cached a",
        "git mv a b",
        "git init",
        "git symbolic-ref HEAD refs/heads/x",
        "git reflog expire",
        "git restore a",
    ] {
        has(&format!("cd /r && {line}"), "w=</r>><.>");
    }
    check("git -C /x add a", "git(<-C> </x> <add> <a>) w=</x> w=</x>><a>");
    check("git -C /x diff a", "git(<-C> </x> <diff> <a>) r=</x> r=</x>><a>");
    check("git branch --list", "git(<branch> <--list>) r=<.>");
    check("git tag -l v1", "git(<tag> <-l> <v1>) r=<.>");
    check("git --version", "git(<--version>)");
    check("git version", "git(<version>)");
    check("git init /x", "git(<init> </x>) w=</x>");
    opaque("Directory", &["git -C /o -C ../s log", "git -C a -C b add c"]);
    has("git -C /o -C /s log", "r=</s>");
    opaque(
        "Configuration",
        &["git --git-dir=/s/.git log", "git --git-dir /s/.git log", "git --work-tree=/s status"],
    );
    opaque(
        "Environment",
        &["GIT_DIR=/s/.git git log", "export GIT_WORK_TREE=/s; git status", "GIT_DIR=/s/.git; git log"],
    );
    // Such a value is attached, or there is none.
    has("git diff --no-index --unified /s/a /o/b", "r=</s/a>");
    has("git describe --abbrev v1", "git(<describe> <--abbrev> <v1>) r=<.>");
}

#[test]
fn options_of_cd_may_stand_in_one_word() {
    for options in ["-PL", "-LP", "-L -P", "-e", "-P -e", "-@", "-Pe@L", "-L --", "--"] {
        has(&format!("cd {options} /o && cat x"), "r=</o>><x>");
        has(&format!("cd {options} && cat x"), "r=<HOME:>><x>");
    }
    has("cd -- -PL && cat x", "r=<-PL>><x>");
    opaque(
        "Directory",
        &[
            "cd -x && cat x",
            "cd -P \"$d\" && cat x",
            "cd -\"$d\" && cat x",
            "cd - && cat x",
            "cd a b && cat x",
        ],
    );
}

#[test]
fn what_happens_before_a_cd_happens_where_the_line_is() {
    check("cd /o | cat x", "cd(</o>) cat(<x>) r=<x>");
    check("true | cd /o; cat x", "true() cd(</o>) cat(<x>) r=<x> !Directory");
    has("cd /o <<< \"$(cat x >&2)\"", "r=<x>");
    has("cd /o < <(cat x)", "r=<x>");
    has("A=$(cat x) cd /o", "r=<x>");
    has("cd /o \"$(cat x)\"", "r=<x>");
    has("cd /o && cat <<< \"$(cat x)\"", "r=</o>><x>");
}

#[test]
fn a_variable_that_decides_is_not_set_unseen() {
    opaque(
        "Environment",
        &[
            "mapfile -t HOME <<< /s; cat ~/a",
            "readarray -t HOME < a",
            "mapfile -t PATH < a",
            "mapfile -n 1 -s 1 -t HOME < a",
            "printf '%n' PATH; date",
            "printf 'x%-5lnx' PATH",
            "printf -v x '%n' PATH",
            "printf -- '%n' PATH",
            "printf \"$f\" PATH",
            "printf \"%d$f\" PATH",
            "exec {PATH}<a && date",
            "cat {HOME}<a",
            "TEXTDOMAIN=a; date",
            "TEXTDOMAINDIR=/o; date",
            "LANGUAGE=../../o; date",
        ],
    );
    opaque("Indirect", &["echo $\"hello\"", "cat a; echo x$\"$y\""]);
    opaque("OptionUnknown", &["mapfile -r a < /o/x", "read -O x"]);
    opaque("StartsPrograms", &["mapfile -C id -c 1 a < /o/x"]);
    opaque("Arithmetic", &["read -r a -p b"]);
    known("mapfile -t a < /o/x");
    known("printf '%s%%n\\n' a");
    known("printf \"n: $n\"");
    known("exec {fd}<a");
}

#[test]
fn few_languages_say_their_version_alone() {
    for line in [
        "tclsh --version",
        "wish --help",
        "erl -V",
        "tclsh8.6 --version",
        "node -V",
        "php -V",
        "lua --help",
        "guile --version",
    ] {
        has(line, "!CodeFromInput");
    }
    for line in [
        "python3 --version",
        "python3 -V",
        "perl -V",
        "perl --version",
        "node --version",
        "php --help",
        "java --version",
    ] {
        known(line);
    }
}

#[test]
fn values_of_options_are_where_the_programs_look_for_them() {
    opaque(
        "OptionUnknown",
        &[
            "unzip -p -x /s/a.zip -x foo /o/b.zip",
            "unzip -p /o/b.zip -x foo",
            "unzip /o/a.zip -p",
            "journalctl -n --vacuum-time=1s",
            "journalctl --lines --rotate",
            "uniq +0 /s/a",
            "script -t/o/x -c id /o/y",
            "zgrep --context /o/x /s/a.gz",
        ],
    );
    opaque("PathUnknown", &["unzip -l '/o/*.zip'", "unzip -l /o/a"]);
    opaque(
        "Configuration",
        &["systemctl -p status enable foo", "systemctl -t status link /o/x", "systemctl -P status mask foo"],
    );
    has("tree -l /s", "l=</s>");
    has("tree -L 2 /s", "l=</s>");
    has("du -B 1 /s", "l=</s>");
    for line in [
        "journalctl -n 5 -u x",
        "journalctl -n5 -u x --no-pager",
        "systemctl show -p MainPID x",
        "systemctl -t service list-units",
        "unzip -p /o/a.zip b",
        "last -n 5",
        "df -B M /o",
    ] {
        known(line);
    }
    has("lsattr", "l=<.>");
}

#[test]
fn a_pattern_lists_whatever_takes_it() {
    has("echo /s/*", "l=</s>");
    has("printf '%s\\n' /s/*", "l=</s>");
    has("cd /s && echo *", "l=</s>><**>");
    has("true ~/x/?", "l=<HOME:/x>");
    has("set -- /s/*; echo \"$1\"", "l=</s>");
    has("a=(/s/*); echo \"${a[0]}\"", "l=</s>");
    has("for f in /s/*; do echo \"$f\"; done", "l=</s>");
    has("for f in /s/{a,b}*; do echo \"$f\"; done", "l=</s>");
    has("cd /s; for f in *; do echo \"$f\"; done", "!Directory");
    has("sudo echo /s/*", "l=</s>");
    has("[ -f /s/* ]", "l=</s>");
    check("ls /s/*", "ls(<*/s/*>) l=</s>");
    check("echo '/s/*' \"/s/*\" /s/\\*", "echo(</s/*> </s/*> </s/*>)");
    check("x=/s/*", "x=<*/s/*> -()");
    known("curl -s https://h/a?b=c");
}

#[test]
fn a_pattern_in_a_directory_that_is_known_lists_it() {
    check("ls a*.txt", "ls(<*a*.txt>) l=<.>");
    check("du -sh /var/*", "du(<-sh> <*/var/*>) l=</var>");
    check("ls -d /*", "ls(<-d> <*/*>) l=</>");
    check("ls ~/x*", "ls(<*HOME:/x*>) l=<HOME:>");
    check("grep -rn x a --include=*.py", "grep(<-rn> <x> <a> <*--include=*.py>) r=<a> l=<.>");
    // A name may be an option.
    check("ls *.txt", "ls(<**.txt>) l=<**.txt>");
    has("ls -b*", "l=<*-b*>");
    // Several directories, and files that are read or changed.
    has("ls /a/*/c*", "l=<*/a/*/c*>");
    has("ls '/s[1]'/*", "l=<*/s\\[1\\]/*>");
    has("cat /s/*", "r=<*/s/*>");
    has("chmod a* f", "m=<*a*>");
    has("grep a* f", "r=<*a*>");
    has("rm /s/*", "d=<*/s/*>");
    opaque(
        "ArgumentUnknown",
        &["timeout a* id", "docker exec a* id", "flock a* id", "grep x a --include=$x"],
    );
}

#[test]
fn an_expansion_without_quotes_may_bring_a_pattern() {
    opaque(
        "PathUnknown",
        &[
            "d=/s; echo $d/*",
            "d='/s/*'; echo $d",
            "d=\"/s/*\"; for f in $d; do echo \"$f\"; done",
            "d=/s/*; a=($d); echo \"${a[0]}\"",
            "echo $d; d='/s/?'",
            "echo $((1))*",
            "echo $?*",
            "echo x$HOME/*",
            "x='*'; d=/s/$x; echo $d",
            "read -r d; echo $d",
            "read -r; echo $REPLY",
            "for d in '/s/*'; do echo $d; done",
            "for d; do echo $d; done",
            "printf -v d '/s/*'; echo $d",
            "mapfile -t a < /o/x; echo ${a[0]}",
            "echo $(cat /o/x)",
            "echo `cat /o/x`",
            "for f in $(cat /o/x); do echo \"$f\"; done",
            "echo ${x:-/s/*}",
            "echo ${x:-$(cat /o/x)}",
            "echo $(date '+/s/*')",
            ": '/s/*'; echo $_",
            "sh -c 'echo $1' x '/s/*'",
            "set -- '/s/*'; echo $@",
            "f() { echo $*; }; f '/s/*'",
            "echo $BASH_EXECUTION_STRING",
            "export d='/s/*'; echo $d",
            "true ${d:='/s/*'}; echo $d",
            "yes '/s/*' & echo $(pgrep -a yes)",
            "echo $(pgrep -fl yes)",
            "echo $(pgrep --list-full yes)",
            "echo $(ps -ef | pgrep -u ada -la)",
        ],
    );
    for line in [
        "echo \"$(cat /o/x)\"",
        "d='/s/*'; echo \"$d\"",
        "for f in a b; do echo $f; done",
        "d=/o; echo $d",
        "n=5; echo $n $? $# $$",
        "for i in $(seq 3); do echo $i; done",
        "n=$(wc -l < /o/x); echo $n",
        "kill $(pgrep -xn nginx)",
        "echo $USER $LANG",
        "exec {fd}<a; echo $fd",
    ] {
        known(line);
    }
}

#[test]
fn a_link_leads_where_its_text_says_from_where_it_is() {
    opaque(
        "Directory",
        &[
            "cd /o/a && ln -s ../s/x l",
            "ln -s a/../../s l",
            "ln -s .. l",
            "ln -s ../../x sub",
            "ln -sr /s/x l",
            "ln --symbolic ../x l",
            "cp -s ../x l",
            "cp --symbolic-link ../x .",
            "ln -st /o ../x",
            "ln -s x /o/a/l",
        ],
    );
    check(
        "cd /o && ln -s v2 now",
        "cd(</o>) ln(<-s> <v2> <now>) r=</o>><v2> w=</o>><v2> w=</o>><now> r=</o>><now/v2> w=</o>><now/v2>",
    );
    check("ln -s /o/v2 /o/now", "ln(<-s> </o/v2> </o/now>) r=</o/v2> w=</o/v2> w=</o/now>");
}

#[test]
fn a_program_by_a_relative_path_is_in_a_directory_that_is_known() {
    opaque("Directory", &["cd /o; ./x", "cd \"$d\" && ./x", "cd - && bin/x", "cd /o || ./x"]);
    known("cd /o && ./x");
    known("./x");
    known("cd /o; cat /a");
}

#[test]
fn what_puts_something_beside_a_value_or_cuts_it_is_opaque() {
    opaque(
        "Recodes",
        &[
            "cat -A /o/x",
            "cat -T /o/x",
            "cat -t /o/x",
            "cat -v /o/x",
            "cat -e /o/x",
            "cat --show-tabs /o/x",
            "ls -b /o",
            "ls -Q /o",
            "column -t /o/x",
            "unexpand -a /o/x",
            "jq -R . /o/x",
            "truncate -s 14 /o/x",
            "truncate -r /o/y /o/x",
            "fallocate -z -o 0 -l 5 /o/x",
            "fallocate -c -o 0 -l 4096 /o/x",
            "fallocate -i -o 0 -l 4096 /o/x",
            "fallocate -p -o 0 -l 5 /o/x",
            "shred -n0 -z -s 5 /o/x",
            "dd if=/o/a of=/o/x conv=notrunc",
            "dd if=/dev/stdin of=/o/x conv=sync",
            "rsync --append /o/a /o/b",
            "curl -r 0-5 file:///o/x",
            "ulimit -f 1; cp /o/a /o/b",
            "ulimit 1",
            "ulimit -Sf 1",
            "printf ab 1<> /o/x",
            "set -x; x=$(cat /o/x)",
            "set -eux; [ \"$x\" = a ]",
            "set -o xtrace; echo \"$x\"",
            "bash -xc 'echo \"$x\"'",
            "x=\"$(cat /o/x)\"; set",
            "read -r x < /o/x; declare -p x",
            "mapfile a < /o/x; declare -p",
            "export x=\"$y\"; export -p",
            "echo \"${x@Q}\"",
            "head -5c /o/x",
        ],
    );
    for line in [
        "cat -n /o/x",
        "cat -bsE /o/x",
        "ls -la /o",
        "jq -Rr . /o/x",
        "truncate -s 0 /o/x",
        "shred -u /o/x",
        "dd if=/o/a of=/o/x conv=fsync",
        "ulimit -n 4096",
        "ulimit -a",
        "set -ex; cat /o/x",
        "set",
        "declare -p",
        "column -c 80 /o/x",
    ] {
        known(line);
    }
}

#[test]
fn what_cuts_or_joins_what_it_shows_by_an_option_is_opaque() {
    opaque(
        "Recodes",
        &[
            "ps -o args:77,pid -p 1",
            "ps -o pid,args:77",
            "ps -o args,pid",
            "ps axo args,pid",
            "ps -oargs,pid",
            "ps -o args -o pid",
            "ps -oargs -opid",
            "ps -auxo args o pid",
            "ps -eo pid,args=x",
            "ps -eO args",
            "ps -o %a5%p",
            "ps --format=args,pid",
            "ps --format args --format pid",
            "ps --cols 77",
            "ps --cols=77",
            "ps --columns 77 -ef",
            "ps --width 77 -ef",
            "ps --wid 77 -ef",
            "ps \"$x\"",
            "ps -p $x",
            "ps -C -p \"$x\"",
            "ps o -p \"$x\"",
            "busybox ps -o args,pid",
            "\\time -f %C5 id",
            "/usr/bin/time --format=5%C id",
            "env time -f \"$x\" id",
            "pgrep -fa -d '' x",
            "pgrep -fad5 x",
            "pgrep -fa --delimiter=5 x",
            "pgrep -fa --delim 5 x",
            "pgrep -fa --delimiter= x",
            "pgrep -fa -d \"$x\" x",
            "seq 1 \"$x\" 9000000000000000",
            "seq $x",
            "nl -v \"$x\" /o/x",
            "docker inspect -f '{{printf \"%x\" .Config.Env}}' web",
            "docker inspect -sf '{{slice . 0 5}}' web",
            "docker inspect -f='{{.A | len}}' web",
            "podman ps --format '{{.ID}}{{.Names}}'",
            "nerdctl ps --format=5{{.Names}}",
            "docker ps --format '{{.Names}}5'",
            "docker ps --format \"$x\"",
            "docker inspect \"$x\"",
            "docker top web -o args:77,pid",
            "docker top $x",
            "docker exec -t web id",
            "watch -n1 id",
            "script -qc id /o/x",
            "runuser -P -u bob -- id",
            "stty cols 77",
        ],
    );
    opaque("ArgumentUnknown", &["pgrep x$y"]);
    for line in [
        "ps aux",
        "ps -ef --forest",
        "ps auxww",
        "ps -ef --sort=-%cpu",
        "ps -eo pid,user:20,%cpu,%mem,args --sort=-%mem",
        "ps axo pid,stat,cmd",
        "ps -o pid= -p 1,2",
        "ps -o args= -p 1",
        "ps -C nginx -o pid=",
        "ps -p $$ -o ppid=",
        "ps -fp 1",
        "ps --no-headers -u root",
        "\\time -f '%e %C' id",
        "\\time -v id",
        "pgrep -d, x",
        "pgrep -fa nginx",
        "seq 1 2 9",
        "nl -v 5 /o/x",
        "docker inspect web",
        "docker inspect --format json web",
        "docker inspect -f '{{json .Config}}' web",
        "docker inspect -f '{{.State.Status}}' web",
        "docker ps --format 'table {{.Names}}\\t{{.Status}}'",
        "docker ps --format '{{.Names}}: {{.Image}}' -f name=web",
        "docker logs -f \"$x\"",
        "docker top web",
        "docker top web -o pid,args",
        "docker exec -i web id",
        "stty size",
    ] {
        known(line);
    }
}

#[test]
fn programs_that_run_what_their_words_are_do_not_pass_for_unknown_ones() {
    opaque(
        "StartsPrograms",
        &[
            "fd -x rm",
            "fdfind -HX rm",
            "fd . --exec rm",
            "fd . --exec-batch=rm",
            "fd \"$x\" id",
            "x86_64 id",
            "systemd-inhibit id",
            "ssh-agent id",
            "/lib64/ld-linux-x86-64.so.2 /bin/cat /etc/shadow",
            "/lib/ld-musl-x86_64.so.1 /bin/cat",
            "ld.so id",
            "gosu bob id",
            "tini -- id",
            "numactl -l id",
            "git-shell -c 'git-upload-pack a'",
        ],
    );
    opaque("RunsOthers", &["poetry run id", "just build", "pytest", "bunx x"]);
    opaque("InlineCode", &["rename 's/a/b/' x"]);
    for line in ["fd -e txt --exclude a x", "fd --extension rs a", "ld-frob x"] {
        known(line);
    }
    check("fd a", "fd(<a>)");
}

#[test]
fn a_shell_with_code_may_read_its_input_too() {
    opaque(
        "CodeFromInput",
        &[
            "sh -sc true",
            "sh -c -s true",
            "sh -s -c true",
            "sh -cs true",
            "bash -sc true",
            "env sh -sc true",
            "sudo -u ada sh -sc true",
            "find /o -exec sh -sc true \\;",
            "find /o -exec sh -sc true {} +",
            "busybox ash -sec true",
            "sh -sc true <<< 'rm /s/x'",
            "xargs -0 sh -sc true",
        ],
    );
    known("sh -ec true");
    known("bash -euo pipefail -c true");
}

#[test]
fn what_stands_behind_the_user_goes_to_the_users_shell() {
    opaque(
        "InlineCode",
        &[
            "su root -- -c 'rm /s/x' <<< true",
            "runuser root -- -c 'rm /s/x' <<< true",
            "su - root -- -c 'rm /s/x'",
            "su root -c true -- -c 'rm /s/x'",
            "su root -c true x",
            "su root -c -s",
            "su root -c -s -- 'rm /s/x'",
            "su root -- +x -c 'rm /s/x'",
            "su root - <<< true",
        ],
    );
    opaque("ScriptFile", &["su root /o/x.sh", "su - root /o/x.sh", "runuser ada /o/x.sh"]);
    has("su root /o/x.sh", "r=</o/x.sh>");
    has("su - root - -c true", "!InlineCode");
    known("su - bob -c 'cat /a'");
    known("su bob -c 'cat /a'");
    known("runuser -u bob -- cat /a");
}

#[test]
fn bash_knows_its_long_options_behind_one_dash() {
    opaque(
        "ShellSettings",
        &[
            "bash -norc pipefail true",
            "bash -norc errexit true",
            "bash -norc nounset true",
            "bash -norc xtrace true",
            "rbash -norc pipefail true",
            "sh -norc pipefail true",
            "bash -help -c true",
            "bash -posix -c true",
            "bash -login -c true",
            "zsh -oexec pipefail true",
        ],
    );
    known("bash --norc -c true");
    known("bash -co pipefail 'ls /'");
}

#[test]
fn sudo_has_a_shell_expand_what_has_a_dollar() {
    opaque(
        "InlineCode",
        &[
            "sudo -s cat '/o/$SUDO_COMMAND'",
            "sudo -i cat '/o/$SUDO_COMMAND'",
            "sudo --shell -u ada cat '/o/$HOME'",
            "sudo --login echo '$x'",
            "sudo -s cat $'/s/a\nb'",
            "sudo -s cat /o/*",
            "sudo -s echo \"$x\"",
            "sudo -s '$x'",
        ],
    );
    known("sudo -s cat '/o/a b'");
    known("sudo cat '/o/$HOME'");
}

#[test]
fn curl_writes_where_it_sends_to_a_file() {
    has("curl -T /o/mine file:///s/target", "w=</s/target>");
    has("curl --upload-file /o/mine --url file:///s/target", "w=</s/target>");
    has("curl -sT- file:///s/target < /o/mine", "w=</s/target>");
    has("curl -aT /o/mine http://h/ file:///s/target", "w=</s/target>");
    opaque("PathUnknown", &["curl -T /o/mine file:///s/"]);
    opaque("HostUnknown", &["curl -T /o/mine file://localhost/s/target", "curl -T /o/mine FILE:///s/target"]);
    opaque(
        "OptionUnknown",
        &[
            "curl -sL --proto-redir all http://good/x",
            "curl -sL --proto-redir +file http://good/x",
            "curl --proto-default file /s/x",
        ],
    );
    known("curl -sL --proto https https://h/x");
    check("curl -T /a ftp://h/", "curl(<-T> </a> <ftp://h/>) r=</a> h=<h>");
}

#[test]
fn curl_reads_cookies_behind_a_sign() {
    has("curl -b @/s/secret http://h/", "r=</s/secret>");
    has("curl -b @/s/a=b http://h/", "r=</s/a=b>");
    has("curl --cookie @/s/a=b http://h/", "r=</s/a=b>");
    has("curl -b /s/jar http://h/", "r=</s/jar>");
    check("curl -b a=b http://h/", "curl(<-b> <a=b> <http://h/>) h=<h>");
}

#[test]
fn letters_of_tree_go_on_behind_one_that_takes_a_word() {
    opaque(
        "OptionUnknown",
        &[
            "tree -oC /s/target /d",
            "tree -Po x /s/target /d",
            "tree -Lo 2 /s/target",
            "tree -I-o x /s/target",
            "tree -LC 2 /d",
            "tree -L2 /d",
        ],
    );
    check("tree -CL 2 /d", "tree(<-CL> <2> </d>) l=</d>");
    check("tree -a -o /o/x -P 'a*' /d", "tree(<-a> <-o> </o/x> <-P> <a*> </d>) w=</o/x> l=</d>");
}

#[test]
fn options_of_openssl_are_those_of_its_command() {
    opaque(
        "OptionUnknown",
        &[
            "openssl crl -verify -out /s/target -in x.pem",
            "openssl passwd -salt -in /s/x",
            "openssl crl --verify -in x",
        ],
    );
    opaque("PathUnknown", &["openssl x509 -in /o/a -CA /s/ca.pem -CAkey /s/k -out /o/b"]);
    check(
        "openssl dgst -verify /o/k -signature /o/s /o/x",
        "openssl(<dgst> <-verify> </o/k> <-signature> </o/s> </o/x>) r=</o/k> r=</o/s> r=</o/x>",
    );
    known("openssl crl -in /o/x -noout -text");
}

#[test]
fn strings_takes_arguments_out_of_a_file_in_place_of_any_word() {
    opaque(
        "ArgumentsFromInput",
        &[
            "strings -n @/o/args /o/f",
            "strings --bytes @/o/args /o/f",
            "strings -- @/o/args",
            "strings -n \"$n\" /o/f",
            "strings *",
            "strings -n * /o/f",
        ],
    );
    check("strings -n 8 /o/f", "strings(<-n> <8> </o/f>) r=</o/f>");
    known("strings /o/*.bin");
}

#[test]
fn git_clones_a_path_that_is_there_before_a_host() {
    has("git clone good.host:x/../../srv/repo out", "r=<good.host:x/../../srv/repo>");
    has("git clone git@h:a/b out", "r=<git@h:a/b>");
    has("git clone git@h:a/b out", "h=git@<h>");
    has("cd /o && git clone h:x out", "r=</o>><h:x>");
    has("git clone /o/x out", "r=</o/x.git>");
    has("git clone /o/x out", "r=</o/x.bundle>");
    has("git fetch /o/x", "r=</o/x.git>");
    check("git clone https://h/a.git out", "git(<clone> <https://h/a.git> <out>) w=<out> h=<h> !MakesLinks");
}

#[test]
fn what_is_made_has_the_name_that_its_program_gives() {
    for (line, name) in [
        ("gunzip a.tgz", "a.tar"),
        ("gzip -d a.taz", "a.tar"),
        ("gunzip a.gz", "a"),
        ("bunzip2 a.gz", "a.gz.out"),
        ("bunzip2 a.tbz2", "a.tar"),
        ("bzip2 -d a", "a.out"),
        ("unxz a.txz", "a.tar"),
        ("unzstd a.tzst", "a.tar"),
        ("uncompress a.Z", "a"),
        ("xz a.gz", "a.gz.xz"),
        ("git clone https://h/a.git.git", "a.git"),
        ("git clone https://h/a/.git", "a"),
        ("git clone https://h/a//.git/", "a"),
        ("git clone https://h:8080/", "h"),
        ("git clone https://h/.git", "h"),
        ("git clone https://u:p@h", "h"),
        ("git clone h:a", "a"),
        ("git clone h:a/2222", "2222"),
        ("git clone ssh://h:22/a/b:c.git", "c"),
        ("curl -O 'http://h/a?b/c'", "a"),
        ("wget http://h/a/", "index.html"),
    ] {
        has(line, &format!("w=<{name}>"));
    }
    opaque(
        "PathUnknown",
        &[
            "unxz a.gz",
            "unlzma a.xz",
            "unzstd a",
            "gunzip a-gz",
            "git clone /o/x.bundle",
            "git clone 'https://h/a b'",
            "curl -O http://h/a/",
        ],
    );
}

#[test]
fn who_may_write_a_link_may_write_what_it_leads_to() {
    for line in [
        "ln -s /srv/deploy.sh /o/x; echo y >> /o/x",
        "ln /srv/deploy.sh /o/x",
        "ln -t /o /srv/deploy.sh",
        "ln /srv/deploy.sh",
        "link /srv/deploy.sh /o/x",
        "cp -l /srv/deploy.sh /o/x",
        "cp --link /srv/deploy.sh /o/x",
        "cp -s /srv/deploy.sh /o/x",
        "cp -rsf -t /o /srv/deploy.sh",
        "cp --symbolic-link /srv/deploy.sh /o/x",
    ] {
        has(line, "r=</srv/deploy.sh>");
        has(line, "w=</srv/deploy.sh>");
    }
    has("cd /o && ln -s v2 now", "w=</o>><now/v2>");
    check("cp -L /a /b", "cp(<-L> </a> </b>) r=</a> w=</b>");
}

#[test]
fn what_only_tells_is_known() {
    for line in [
        "make --version",
        "gcc --version",
        "dpkg -l",
        "dpkg -l 'linux-*'",
        "dpkg -L bash",
        "apt list --installed",
        "apt show bash",
        "ip a",
        "ip -br link show dev eth0",
        "ip route",
        "mount",
        "top -bn1",
        "top -b -n 1",
        "crontab -l",
        "git remote -v",
        "git remote get-url origin",
        "git status -u",
        "git status -uno",
    ] {
        known(line);
    }
    check("git remote -v", "git(<remote> <-v>) r=<.>");
    opaque(
        "RunsOthers",
        &[
            "make",
            "make --version x",
            "make -f x --version",
            "dpkg -i x.deb",
            "dpkg -l -i x.deb",
            "dpkg -l \"$x\"",
            "apt list -o APT::x=y",
            "apt show ./x.deb",
            "npm --version",
            "cargo --version",
            "git commit -m x",
            "git pull",
            "git push",
        ],
    );
    opaque(
        "Configuration",
        &[
            "mount /dev/x /o",
            "mount -a",
            "ldconfig",
            "ldconfig /o",
            "iptables-restore /o/x",
            "losetup -f /s/x",
            "ip -b /s/x",
            "ip netns exec a sh",
            "ip link set eth0 down",
            "ip addr add 1.2.3.4/8 dev eth0",
            "ip addr restore",
        ],
    );
    opaque("Interactive", &["top", "top -bc", "top -n1", "top -bn1 -c"]);
    opaque("Later", &["crontab /o/x", "crontab -l -u root", "crontab -e"]);
    opaque("HostUnknown", &["git remote show origin", "git remote update"]);
    opaque("StartsPrograms", &["strace id", "git log --ext-diff", "tar cf x -I id a", "parallel id ::: a"]);
}

#[test]
fn what_only_looks_is_known_with_its_options() {
    for line in [
        "git config --get user.email",
        "git config --list",
        "git stash list",
        "git clean -nd",
        "git clean --dry-run",
        "git -c color.ui=never status --short",
        "git -c core.pager=cat log -1",
        "PAGER=cat git log -1",
        "GIT_PAGER=cat git diff",
        "rg --files",
        "dmesg -wT",
        "ping -c 1 -I eth0 h",
        "awk '!seen[$0]++' /o/a",
        "awk '{print $1\" \"$2}' /o/a",
        "awk '{print NR\": \"$0, \"n\"}' /o/a",
        "awk '$1==\"x\" {print}' /o/a",
    ] {
        known(line);
    }
    check("git stash list", "git(<stash> <list>) r=<.>");
    check("git config --get a.b", "git(<config> <--get> <a.b>) r=<.>");
    check("rg --files /o", "rg(<--files> </o>) r=</o>");
    check("ping -I eth0 h", "ping(<-I> <eth0> <h>) h=<h>");
    opaque(
        "Configuration",
        &[
            "git config user.email x",
            "git config --get --file=/o/x a",
            "git stash",
            "git stash list x",
            "git -c color.ui=always status",
            "git -c core.pager=less log",
        ],
    );
    opaque("RunsOthers", &["git clean -fd", "git clean -nf", "git clean -nd /o"]);
    opaque("Environment", &["PAGER=less git log", "PAGER=\"$x\" git log", "PAGER+=cat git log"]);
    opaque("OptionUnknown", &["dmesg -C"]);
    opaque(
        "Recodes",
        &[
            "awk '{print \"n\" $1}' /o/a",
            "awk '{print $1\"n\"}' /o/a",
            "awk '{print $1\"\"$2}' /o/a",
            "awk '{print $1\"-\"$2}' /o/a",
            "awk '{print \" \" \"5\" $1}' /o/a",
            "awk '{print \"5/\"$1\"/ \"}' /o/a",
            "awk '{print \"\\x35\" $1}' /o/a",
        ],
    );
    opaque("AwkProgram", &["awk '{print \" \" > \"x\"}' /o/a", "awk '{print \" \" | \"id\"}' /o/a"]);
}

#[test]
fn awk_writes_only_where_it_prints() {
    for line in [
        "awk '$3 > 100 {print $1}' /o/f",
        "awk '$3 > 100 {print $1} $4 > 5 {print}' /o/f",
        "awk '{if ($3 > 100) print $1}' /o/f",
        "awk '{n++; print $1} END {if (n > 3) print n}' /o/f",
    ] {
        known(line);
    }
    opaque(
        "AwkProgram",
        &[
            "awk '{print $1 > $2}' /o/f",
            "awk '{print > x}' /o/f",
            "awk '{print $1,\n$2 > $3}' /o/f",
            "awk '{print ($3 > 100)}' /o/f",
            "awk '$3 > 1 {print $1 > $2}' /o/f",
            "awk '{print \";\" > $2}' /o/f",
            "awk '{print /;/ > $2}' /o/f",
            "awk '{print $1 # ;\n}; $3 > 5' /o/f",
            "awk '{printf($1) > $2}' /o/f",
            "awk '{print $1 >> $2}' /o/f",
        ],
    );
}

#[test]
fn letters_that_give_a_pattern_are_those_of_the_program() {
    check("jq -e .a /o/f", "jq(<-e> <.a> </o/f>) r=</o/f>");
    check("chmod -f 644 /o/f", "chmod(<-f> <644> </o/f>) m=</o/f>");
    check("chown -f ada /o/f", "chown(<-f> <ada> </o/f>) m=</o/f>");
    check("chattr -f +i /o/f", "chattr(<-f> <+i> </o/f>) m=</o/f>");
    check("chmod -x /o/f", "chmod(<-x> </o/f>) m=</o/f>");
    check("chmod -x -R /o/d", "chmod(<-x> <-R> </o/d>) m=</o/d>");
    check("chmod 644 -- -x", "chmod(<644> <--> <-x>) m=<644> m=<-x>");
    check("grep -f /o/p /o/f", "grep(<-f> </o/p> </o/f>) r=</o/p> r=</o/f>");
    opaque("OptionUnknown", &["chmod 644 -x /o/f", "chmod -x -w /o/f", "chmod -Rx /o/d"]);
}
