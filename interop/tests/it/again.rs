//! `tacho replay RUN -- COMMAND`: unchanged agents carried out again out of the record, with the upstreams stopped or untouched.

use crate::world::{client, drivers, newest_run, own, run_of, upstream};
use crate::{http, mcp, models};
use interop::gateway::Site;
use interop::process::Finished;
use serde_json::Value;
use std::path::Path;

/// Carries a run out again. What was found, and how `tacho` ended.
fn again(site: &Site, run: &str, flags: &[&str], words: &[&str]) -> (Finished, Value) {
    let said = [&["replay", run, "--json"][..], flags, &["--"], words].concat();
    let done = site.ask(&said, "").unwrap();
    // What the command prints goes to standard error.
    let found = serde_json::from_str(&done.out()).unwrap_or_else(|_| panic!("{}", done.all()));
    (done, found)
}

#[track_caller]
fn same(found: &Value) {
    assert!(found["divergence"].is_null(), "{found:#}");
    assert_eq!(found["asked"], found["recorded"], "{found:#}");
    assert_eq!(found["status"], found["status_then"], "{found:#}");
}

/// What asyncpg's pools send when a connection goes back.
const POOLS_RESET: &str = r#"
@id("pools-reset-again")
permit (principal in Agent::"tester", action == Action::"execute", resource == Resource::"crm/again/pg_catalog/pg_advisory_unlock_all");
"#;

#[test]
fn every_driver_has_its_conversation_again_without_a_server() {
    let gateway = own("again", |plan| plan.policy.push_str(POOLS_RESET));
    let python = drivers().python();
    let pad = || upstream().admin("again", "SELECT count(*), max(id) FROM pad").unwrap();
    // The pool of asyncpg asks twenty things at once, by names of statements that count in the order in which they are made.
    for (program, flags) in [
        ("psycopg3_client.py", &[][..]),
        ("psycopg2_client.py", &[]),
        ("pg8000_client.py", &[]),
        ("sqlalchemy_client.py", &[]),
        ("asyncpg_client.py", &["--any-values"]),
    ] {
        let path = client(program);
        let words = [python.to_str().unwrap(), path.to_str().unwrap()];
        let paths = words.map(Path::new);
        let done = gateway.run_to_end("tester", &paths, "").unwrap();
        assert!(done.status.success(), "{program}: {}", gateway.explain(&done));
        let before = pad();
        let (done, found) = again(gateway.site(), &newest_run(gateway.site()), flags, &words);
        assert!(done.err().contains("conversation complete"), "{program}: {}", done.all());
        same(&found);
        assert_eq!(pad(), before, "{program}: nothing was written again");
    }
}

#[test]
fn langgraph_plans_again_to_its_end() {
    let scene = models::scene();
    let (python, program) = (drivers().python(), client("langgraph_agent.py"));
    let task = "Look at order 3. plan: who has it, sql: SELECT customer_id FROM orders WHERE id = 3 \
                | what it is worth, sql: SELECT amount FROM orders WHERE id = 3";
    for dialect in ["chat", "responses", "messages"] {
        let agent = format!("again-{dialect}");
        let words = [python.to_str().unwrap(), program.to_str().unwrap(), dialect, task];
        let done = scene.gateway().run_to_end(&agent, &words.map(Path::new), "").unwrap();
        assert!(done.status.success(), "{}", scene.gateway().explain(&done));
        let site = scene.gateway().site();
        let (again, found) = again(site, &run_of(site, &agent), &[], &words);
        same(&found);
        assert!(again.err().contains(&done.out()), "it says the same: {} and {}", done.out(), again.err());
    }
}

/// What curl and psql do, as the agent `tester` of the models' gateway: each step one program.
fn steps(scene: &models::Scene, agent: &str, script: &str) -> String {
    let words = ["/bin/sh", "-c", script].map(Path::new);
    let done = scene.gateway().run_to_end(agent, &words, "").unwrap();
    assert!(done.status.success(), "{}", scene.gateway().explain(&done));
    run_of(scene.gateway().site(), agent)
}

#[test]
fn the_first_request_that_differs_is_named() {
    let scene = models::scene();
    let site = scene.gateway().site();
    let psql = |sql: &str| format!("psql -X -At -c \"{sql}\"");
    let (first, second) = ("SELECT amount FROM orders WHERE id = 2", "SELECT count(*) FROM orders");
    let model = r#"curl -sS "$OPENAI_BASE_URL/chat/completions" -H "Authorization: Bearer $OPENAI_API_KEY" -H 'Content-Type: application/json' -d '{"model": "scripted-1", "messages": [{"role": "user", "content": "Hello at 2026-11-27T03:04:05Z"}]}'"#;
    let script = format!("{}; {}; {model}", psql(first), psql(second));
    let run = steps(scene, "differing", &script);
    let once_more = |flags: &[&str], script: &str| again(site, &run, flags, &["/bin/sh", "-c", script]);

    let (done, found) = once_more(&[], &script);
    same(&found);
    assert_eq!(done.status.code(), Some(0), "{}", done.all());

    let other = script.replace("count(*)", "max(id)");
    let (done, found) = once_more(&[], &other);
    let parted = &found["divergence"];
    assert_eq!((&parted["how"], &parted["after"]), (&"other".into(), &1.into()), "{found:#}");
    assert!(parted["now"] == "SELECT max(id) FROM orders" && parted["then"] == second, "{found:#}");
    assert!(parted["record"].is_u64() && parted["at"] == 7, "{found:#}");
    assert_eq!(done.status.code(), Some(1), "{}", done.all());

    let values = script.replace("id = 2", "id = 3");
    let (_, found) = once_more(&[], &values);
    assert_eq!((&found["divergence"]["how"], &found["asked"]), (&"values".into(), &0.into()), "{found:#}");
    let (_, found) = once_more(&["--any-values"], &values);
    same(&found);
    assert_eq!(found["other_values"], 1, "{found:#}");

    let later = script.replace("2026-11-27T03:04:05Z", "2027-01-01T00:00:00Z");
    let (_, found) = once_more(&[], &later);
    assert_eq!(
        (&found["divergence"]["how"], &found["divergence"]["resource"]),
        (&"values".into(), &"openai".into())
    );
    let (_, found) = once_more(&["--any-values"], &later);
    same(&found);

    let (_, found) = once_more(&[], &psql(first));
    assert_eq!(
        (&found["divergence"]["how"], &found["divergence"]["then"]),
        (&"ended".into(), &second.into())
    );
    let (done, found) = once_more(&[], &format!("{script}; exit 3"));
    assert!(
        found["divergence"].is_null() && found["status"] == 3 && done.status.code() == Some(1),
        "{found:#}"
    );
    let seen = scene.seen();
    assert_eq!(
        (seen.matches("Hello at 2026").count(), seen.matches("Hello at 2027").count()),
        (1, 0),
        "reached"
    );

    let said = site.ask(&["replay", &run, "--", "/bin/sh", "-c", &other], "").unwrap().out();
    assert!(said.contains("DIFFERS after 1 request") && said.contains("now       SELECT max(id)"), "{said}");
    assert!(said.contains("no upstream was reached"), "{said}");
}

#[test]
fn what_was_refused_is_refused_again_and_inside_a_run_nobody_looks() {
    let scene = models::scene();
    let site = scene.gateway().site();
    let refused = r#"curl -sS "$OPENAI_BASE_URL/chat/completions" -H "Authorization: Bearer $OPENAI_API_KEY" -H 'Content-Type: application/json' -d '{"model": "expensive-9", "messages": [{"role": "user", "content": "x"}]}'"#;
    let script = format!(
        "psql -X -At -c 'DELETE FROM orders' 2>&1; {refused}; psql -X -At -c 'SELECT name FROM customers WHERE id = 1'"
    );
    let run = steps(scene, "refused-again", &script);
    let then = site.ask(&["replay", &run], "").unwrap().out();
    let (done, found) = again(site, &run, &[], &["/bin/sh", "-c", &script]);
    same(&found);
    let said = done.err();
    assert!(
        said.contains("ERROR:") && said.contains("DETAIL:") && said.contains("only-this-model"),
        "{said} {then}"
    );
    let inside = format!("tacho replay {run} -- true");
    let inside =
        scene.gateway().run_to_end("tester", &["/bin/sh", "-c", &inside].map(Path::new), "").unwrap();
    assert_ne!(inside.status.code(), Some(0), "{}", inside.all());
}

#[test]
fn tools_answer_again_without_their_server() {
    let scene = mcp::scene();
    let (python, program) = (drivers().python(), client("mcp_client.py"));
    for era in ["new", "old"] {
        let agent = format!("tools-again-{era}");
        let script = format!(
            "{} {} {era} tools list 'call find {{\"id\": 12}}' 'call burn {{\"what\": \"again\"}}' 'read memo://notes/a'",
            python.display(),
            program.display()
        );
        let done = scene.sh(&agent, &script);
        assert!(done.status.success() && !done.out().is_empty(), "{}", done.all());
        let (again, found) = again(scene.site(), &scene.run_of(&agent), &[], &["/bin/sh", "-c", &script]);
        same(&found);
        assert!(again.err().contains(&done.out()), "{} and {}", done.out(), again.err());
    }
}

#[test]
fn plain_requests_are_answered_again_and_the_first_other_one_is_named() {
    let scene = http::scene();
    let site = scene.gateway.site();
    let program = "import os, requests, sys\n\
        service = os.environ['BILLING_URL']\n\
        with requests.Session() as s:\n\
        \x20   for path in ('/users', '/users/1', '/users/9'):\n\
        \x20       print(s.get(service + path, params={'again': 1}).text)\n\
        \x20   print(s.post(service + '/echo?again=1', json={'say': sys.argv[1]}).text)";
    let program = drivers().file("http_again.py", program).unwrap();
    let (python, program) = (drivers().python().display().to_string(), program.display().to_string());
    let curl = "curl -sS -i \"$BILLING_URL/users/2?again=1\"";
    let script = format!("{curl}; {python} {program} hello; curl -sS \"$BILLING_URL/events?again=1\"");
    let done =
        scene.gateway.run_to_end("http-again", &["/bin/sh", "-c", &script].map(Path::new), "").unwrap();
    assert!(done.status.success(), "{}", scene.gateway.explain(&done));
    assert!(
        done.out().contains("*******8391") && done.out().contains("{\"say\": \"hello\"}"),
        "{}",
        done.all()
    );
    let run = run_of(site, "http-again");
    let sent = || scene.seen().iter().filter(|seen| seen["target"].to_string().contains("again=1")).count();
    let once = sent();
    assert_eq!(once, 6, "{:?}", scene.seen().last());
    let once_more = |script: &str| again(site, &run, &[], &["/bin/sh", "-c", script]);

    let (done_again, found) = once_more(&script);
    same(&found);
    assert_eq!(done_again.status.code(), Some(0), "{}", done_again.all());
    // All but what the gateway says of the moment.
    let lines =
        |text: &str| text.lines().filter(|l| !l.starts_with("Date: ")).map(str::to_owned).collect::<Vec<_>>();
    let (then, now) = (lines(&done.out()), lines(&done_again.err()));
    assert!(then.iter().all(|line| now.contains(line)), "{then:#?} and {now:#?}");

    for (from, to, after, then, now) in [
        ("users/2?again=1", "users/3?again=1", 0, "/users/2", "/users/3"),
        ("users/2?again=1", "users/2?again=2", 0, "again=1", "again=2"),
        ("http_again.py hello", "http_again.py bye", 4, "hello", "bye"),
        (
            "curl -sS \"$BILLING_URL/events",
            "curl -sS -X DELETE \"$BILLING_URL/events",
            5,
            "GET /events",
            "DELETE /events",
        ),
    ] {
        let (done, found) = once_more(&script.replace(from, to));
        let parted = &found["divergence"];
        assert_eq!((&parted["after"], &parted["resource"]), (&after.into(), &"billing".into()), "{found:#}");
        assert!(parted["how"] == "other" || parted["how"] == "values", "{found:#}");
        assert!(
            parted["then"].to_string().contains(then) && parted["now"].to_string().contains(now),
            "{found:#}"
        );
        assert_eq!(done.status.code(), Some(1), "{}", done.all());
    }
    let (_, found) = once_more(curl);
    assert_eq!((&found["divergence"]["how"], &found["asked"]), (&"ended".into(), &1.into()), "{found:#}");
    assert_eq!(sent(), once, "it was sent again");
}

#[test]
fn the_command_is_in_a_jail_unless_somebody_takes_it_out() {
    let scene = models::scene();
    let site = scene.gateway().site();
    let script = "psql -X -At -c 'SELECT 1'; ! curl -s --max-time 2 http://192.0.2.1/";
    let mut run = site.tacho();
    run.args(["run", "--agent", "jailed-again", "--jail", "--", "/bin/sh", "-c", script]);
    let done = interop::process::finish(&mut run, b"", interop::limits::CLIENT_SECONDS_MAX).unwrap();
    assert!(done.status.success(), "{}", done.all());
    for flags in [&[][..], &["--no-jail"]] {
        let (done, found) = again(site, &run_of(site, "jailed-again"), flags, &["/bin/sh", "-c", script]);
        assert!(done.err().contains("1\n"), "{}", done.all());
        same(&found);
        assert_eq!(found["jailed"], flags.is_empty(), "{found:#}");
    }
}

#[test]
fn what_is_asked_in_another_session_order_or_place_is_another_request() {
    let scene = models::scene();
    let site = scene.gateway().site();
    let psql = |words: &str| format!("psql -X -q -At {words}");
    let told = |to: &str| {
        format!(
            r#"curl -sS "$OPENAI_BASE_URL/chat/completions" -H "Authorization: Bearer $OPENAI_API_KEY" -H 'Content-Type: application/json' -d '{{"model": "scripted-1", "messages": [{{"role": "user", "content": "Write to {to}"}}]}}'"#
        )
    };
    let (inside, alone) = (psql("-c BEGIN -c 'SELECT 1' -c ROLLBACK"), psql("-c 'SELECT 2'"));
    let script = format!("{inside}; {alone}; {}", told("ada.osei@example.com"));
    let run = steps(scene, "orderly", &script);
    let differs = |script: &str| {
        let (done, found) = again(site, &run, &[], &["/bin/sh", "-c", script]);
        assert_eq!(done.status.code(), Some(1), "{}", done.all());
        found["divergence"].clone()
    };
    let swapped = script.replace("-c BEGIN -c 'SELECT 1'", "-c 'SELECT 1' -c BEGIN");
    assert!(differs(&swapped)["how"].is_string());
    let apart = format!("{}; {}", psql("-c BEGIN"), script.replace("-c BEGIN ", ""));
    assert!(differs(&apart)["how"].is_string(), "what was in one session is in two");
    let elsewhere = format!("export PGOPTIONS='-c search_path=pg_catalog'; {script}");
    assert!(differs(&elsewhere)["now"].to_string().contains("search_path=pg_catalog"));
    let masked = script.replace("ada.osei@", "eve@");
    assert_eq!(differs(&masked)["how"], "values", "what the record masks is compared, too");
    let (_, found) = again(site, &run, &[], &["/bin/sh", "-c", &script]);
    same(&found);
}
