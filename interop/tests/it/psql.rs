//! psql and pgbench, which everybody has.

use crate::world::{UPSTREAM_PASSWORD, drivers, gateway, good, nothing_leaked, sh, upstream};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::finish;
use std::process::Command;

/// What psql asks the catalog for. Each must print the same as straight to the server.
const BACKSLASH: &[&str] = &[
    "\\d",
    "\\d customers",
    "\\d+ orders",
    "\\d pad",
    "\\dt+",
    "\\di",
    "\\ds",
    "\\dv",
    "\\dm",
    "\\dn",
    "\\dn+",
    "\\df",
    "\\du",
    "\\dp",
    "\\dT",
    "\\dx",
    "\\l",
    "\\dC",
    "\\do",
    "\\dd",
    "\\dD",
    "\\sf abs(integer)",
];

#[test]
fn every_backslash_command_prints_what_it_prints_directly() {
    let numbered = BACKSLASH.iter().enumerate();
    let text: String = numbered.map(|(n, command)| format!("\\echo === {n}\n{command}\n")).collect();
    let file = drivers().file("backslash.sql", &text).unwrap();
    let script = format!("psql -X -P pager=off -f '{}' 2>&1", file.display());
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).env("PGHOST", "127.0.0.1").env("PGPORT", upstream().port.to_string());
    shell.env("PGUSER", "crm_app").env("PGDATABASE", "crm").env("PGPASSWORD", UPSTREAM_PASSWORD);
    let mut directly = || finish(&mut shell, b"", CLIENT_SECONDS_MAX).unwrap().out();
    // Tests beside this one make databases and fill tables: what differs must differ from what is said before and after.
    let mut same = [false; BACKSLASH.len() + 1];
    for _ in 0..5 {
        let (before, through, after) = (directly(), sh("tester", &script).out(), directly());
        assert!(before.matches("=== ").count() == BACKSLASH.len() && !before.contains("ERROR"), "{before}");
        let said = before.split("=== ").zip(after.split("=== ")).zip(through.split("=== "));
        for (same, ((before, after), through)) in same.iter_mut().zip(said) {
            *same |= before == through || after == through;
            assert!(*same || before != after, "directly:\n{before}\nthrough:\n{through}");
        }
        if same.iter().all(|same| *same) {
            return;
        }
    }
    panic!("the server never stood still");
}

#[test]
fn copy_goes_both_ways() {
    let done = sh(
        "tester",
        "cd /tmp && f=$(mktemp) && seq 1 1000 | sed 's/^/psql-/' > $f && \
         psql -X -v ON_ERROR_STOP=1 -c \"\\copy pad (t) from '$f'\" && \
         psql -X -v ON_ERROR_STOP=1 -At -c \"\\copy (select t from pad where t like 'psql-%') to stdout\" | sort -u | wc -l && \
         psql -X -c '\\copy customers to stdout csv header'; rm -f $f",
    );
    good(&done);
    assert!(done.out().contains("COPY 1000\n1000\n"), "{}", done.all());
    assert!(done.out().contains("id,name,email,ssn,card,city"), "{}", done.all());
    nothing_leaked(&done);
}

#[test]
fn watch_repeats_until_it_is_interrupted() {
    let done = sh(
        "tester",
        "printf \"select 'again'\\n\\\\\\\\watch 0.2\\n\" | timeout --foreground -s INT 10 psql -X -At; true",
    );
    assert!(done.out().matches("again").count() >= 3, "{}", done.all());
}

#[test]
fn an_interrupt_cancels_the_statement() {
    let script = "timeout --foreground -s INT 8 psql -X -At \
                  -c 'select count(*) from generate_series(1, 60000) a, generate_series(1, 60000) b'; true";
    let done = sh("tester", script);
    assert!(done.err().contains("canceling statement due to user request"), "{}", gateway().explain(&done));
    assert!(done.took.as_secs() < 40, "{}", done.all());
}

#[test]
fn pgbench_runs_in_all_three_protocols() {
    for mode in ["simple", "extended", "prepared"] {
        let done = sh("tester", &format!("pgbench -n -M {mode} -c 4 -j 2 -t 20"));
        good(&done);
        assert!(
            done.out().contains("number of transactions actually processed: 80/80"),
            "{mode}: {}",
            done.all()
        );
    }
    assert!(upstream().admin("crm", "SELECT count(*) >= 240 FROM pgbench_history").unwrap() == "t");
}
