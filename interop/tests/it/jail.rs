//! In a jail, what is configured works through its variables with unchanged clients, and nothing else is there.

use crate::http::scene;
use crate::world::{SECRETS, client, drivers, upstream};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::{Finished, finish};
use serde_json::Value;

/// Runs a shell script as a jailed agent of a gateway before a database and an HTTP service.
fn sh(agent: &str, script: &str) -> Finished {
    let mut run = scene().gateway.site().tacho();
    run.args(["run", "--jail", "--agent", agent, "--", "/bin/sh", "-c", script]);
    finish(&mut run, b"", CLIENT_SECONDS_MAX).unwrap()
}

#[track_caller]
fn good(done: &Finished) {
    assert!(done.status.success(), "{}", scene().gateway.explain(done));
    SECRETS.iter().for_each(|secret| assert!(!done.all().contains(secret), "{secret}: {}", done.all()));
}

/// The notes of the newest run of an agent, each as one line.
fn notes(agent: &str) -> Vec<String> {
    let show = scene().json(&["show", &scene().run_of(agent), "--json"]);
    assert_eq!(show["run"]["jailed"], true, "{show}");
    let line = |note: &Value| format!("{} {}", note["what"], note["detail"]).replace('"', "");
    show["notes"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn clients_of_postgres_do_not_notice() {
    let programs = [
        (drivers().python(), "psycopg3_client.py"),
        (drivers().python(), "asyncpg_client.py"),
        (drivers().node(), "node_client.js"),
    ];
    for (interpreter, program) in programs {
        let done = sh("tester", &format!("{} {}", interpreter.display(), client(program).display()));
        good(&done);
        assert!(done.out().contains("conversation complete"), "{}", done.all());
    }
    let done = sh(
        "tester",
        "psql -Atc 'SELECT ssn FROM customers WHERE id = 1'; psql \"$DATABASE_URL\" -Atc 'SELECT 7'",
    );
    good(&done);
    assert_eq!(done.out(), "ssn_1\n7\n");
}

#[test]
fn clients_of_http_do_not_notice() {
    let python = "import os, json, httpx, requests, urllib.request\n\
        assert requests.get(os.environ['BILLING_URL'] + '/users/1').json()['ssn'] == '*******8391'\n\
        ask = urllib.request.Request(os.environ['BILLING_BASE_URL'] + '/users/1')\n\
        ask.add_header('X-Api-Key', os.environ['BILLING_API_KEY'])\n\
        assert json.load(urllib.request.urlopen(ask))['ssn'] == '*******8391'\n\
        how = [(dict(), 'HTTP/1.1'), (dict(http2=True), 'HTTP/1.1'), (dict(http1=False, http2=True), 'HTTP/2')]\n\
        for options, version in how:\n\
        \x20   with httpx.Client(**options) as c:\n\
        \x20       said = [c.get(os.environ['BILLING_URL'] + '/users/1') for _ in range(3)]\n\
        \x20       assert {a.http_version for a in said} == {version}, said\n\
        \x20       assert {a.json()['ssn'] for a in said} == {'*******8391'}, said\n\
        big = {'rows': ['x' * 1000] * 3000}\n\
        with httpx.Client(http1=False, http2=True) as c:\n\
        \x20   assert c.post(os.environ['BILLING_URL'] + '/echo', json=big).json() == big\n\
        assert requests.post(os.environ['BILLING_URL'] + '/echo', json=big).json() == big\n\
        print('done')";
    let script = drivers().file("jailed_http.py", python).unwrap();
    let done = sh("tester", &format!("{} {}", drivers().python().display(), script.display()));
    good(&done);
    assert_eq!(done.out(), "done\n");
    let node = "const r = await fetch(process.env.BILLING_BASE_URL + '/users/1', \
        {headers: {Authorization: 'Bearer ' + process.env.BILLING_API_KEY}}); console.log((await r.json()).ssn)";
    let script = drivers().file("jailed_fetch.mjs", node).unwrap();
    let done = sh("tester", &format!("curl -sS $BILLING_URL/users/1; echo; node {}", script.display()));
    good(&done);
    assert_eq!(done.out().matches("*******8391").count(), 2, "{}", done.all());
    // The resource's own name is one that the jail's resolver knows.
    let named = "curl -sS -o /dev/null -w '%{http_code}' -H \"X-Api-Key: $BILLING_API_KEY\" \
        http://billing:${BILLING_BASE_URL##*:}/users/1";
    assert_eq!(sh("tester", named).out(), "200");
}

#[test]
fn the_upstream_itself_is_not_there() {
    let port = upstream().port;
    let direct = format!(
        "PGHOST=127.0.0.1 PGPORT={port} psql -Atc 'SELECT 1' && echo OUT; \
         node -e \"fetch('http://192.0.2.7:81/').catch(e => console.log(e.cause.code))\""
    );
    let done = sh("blind", &direct);
    assert_eq!(done.out(), "ECONNREFUSED\n", "{}", done.all());
    let notes = notes("blind");
    assert!(notes.contains(&format!("attempt-tcp 127.0.0.1:{port}")), "{notes:#?}");
    assert!(notes.contains(&"attempt-tcp 192.0.2.7:81".to_owned()), "{notes:#?}");
}
