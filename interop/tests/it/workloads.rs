//! Runs for machines: a token of an issuer that the operator trusts mints a run, and the record says whose token it was.
//!
//! The issuer is PyJWT behind Python's HTTPS; whoever shows the token is curl.

use crate::issuer::{Issuer, now};
use crate::people::{asked, operator, waiting, with_token};
use crate::scan::{Net, files_below, records};
use crate::world::{eventually, json};
use interop::gateway::{Gateway, Site};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::{Finished, finish};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// What the API said: the status, and the body.
struct Said {
    status: String,
    body: Value,
}

/// `curl` with a token.
fn curl(gateway: &Gateway, token: &str, method: &str, path: &str, body: &str) -> Said {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-w", "\n%{http_code}", "-X", method, "-H", &format!("Authorization: Bearer {token}")]);
    if !body.is_empty() {
        curl.args(["-H", "content-type: application/json", "-d", body]);
    }
    curl.arg(format!("http://127.0.0.1:{}{path}", gateway.site().console));
    let out = finish(&mut curl, b"", CLIENT_SECONDS_MAX).unwrap().out();
    let (body, status) = out.rsplit_once('\n').unwrap_or(("", &out));
    Said { status: status.to_owned(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
}

fn mint(gateway: &Gateway, token: &str, body: &str) -> Said {
    curl(gateway, token, "POST", "/v1/runs", body)
}

/// The run, minted.
#[track_caller]
fn minted(gateway: &Gateway, token: &str, body: &str) -> Value {
    let said = mint(gateway, token, body);
    assert_eq!(said.status, "200", "{}\n{}", said.body, gateway.log());
    said.body
}

/// psql with what was minted.
fn psql(minted: &Value, sql: &str) -> Finished {
    let crm = minted["resources"].as_array().unwrap().iter().find(|r| r["name"] == "crm").unwrap();
    let text = |name: &str| crm[name].as_str().unwrap().to_owned();
    let mut psql = Command::new("psql");
    psql.args(["-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    psql.env("PGHOST", text("host")).env("PGPORT", crm["port"].to_string()).env("PGUSER", text("user"));
    psql.env("PGPASSWORD", text("password")).env("PGDATABASE", text("database"));
    finish(&mut psql, b"", CLIENT_SECONDS_MAX).unwrap()
}

fn id(minted: &Value) -> &str {
    minted["run"].as_str().unwrap()
}

/// Nothing of a token is kept: not it, not its signature, not its claims as they came.
fn holds_no(site: &Site, tokens: &[&str]) {
    let parts: Vec<&str> =
        tokens.iter().flat_map(|token| [*token].into_iter().chain(token.split('.').skip(1))).collect();
    let net = Net::new(parts.iter().copied());
    assert!(!net.search(tokens[0].as_bytes()).is_empty(), "the net holds");
    for file in files_below(&site.data()) {
        assert_eq!(net.search(&std::fs::read(&file).unwrap()), Vec::<&str>::new(), "{}", file.display());
    }
}

#[test]
fn a_job_of_ci_mints_a_run_and_the_record_says_by_which_token() {
    let issuer = Issuer::new();
    let served = issuer.serve();
    let site = issuer.site("ci_job");
    let checked = site.check().unwrap();
    assert!(checked.out().contains("issuer ci: 1 key(s)"), "{}", checked.all());
    let gateway = site.up().unwrap();
    let token = issuer.sign("k1", "RS256", &issuer.job("job-1"));
    let run = minted(&gateway, &token, r#"{"task":"release 1.2"}"#);
    assert_eq!(run["human"], "ops");
    let done = psql(&run, "insert into pad (t) values ('by the job') returning t");
    assert_eq!(done.out(), "by the job\nINSERT 0 1\n", "{}", gateway.explain(&done));
    assert!(psql(&run, "select ssn from customers where id = 1").out().starts_with("ssn_1"));

    // It was good for one run, also after a crash.
    let again = mint(&gateway, &token, "{}");
    assert_eq!(
        (again.status.as_str(), again.body["kind"].as_str()),
        ("403", Some("forbidden")),
        "{}",
        again.body
    );
    let close = format!("/v1/runs/{}/close", id(&run));
    let other = issuer.sign("k1", "RS256", &issuer.job("job-2"));
    assert_eq!(curl(&gateway, &other, "POST", &close, r#"{"status":0}"#).status, "204", "the same caller's");
    assert_eq!(curl(&gateway, &token, "POST", &close, r#"{"status":0}"#).status, "410");
    let gateway = gateway.crash().up().unwrap();
    assert_eq!(mint(&gateway, &token, "{}").status, "403");

    let who = json(gateway.site(), &["who", id(&run), "--json"]);
    assert_eq!(who["run"]["human"], "ops", "{who}");
    assert_eq!(who["run"]["by"], "ci:repo:org/app:ref:refs/heads/main", "{who}");
    assert_eq!(who["run"]["agent"], "deployer", "{who}");
    assert_eq!(who["run"]["agent_version"], "f2ca1bb6c7e907d06dafe4687e579fce76b37e4e", "{who}");
    assert_eq!((&who["delegated"], &who["run"]["state"]), (&json!(true), &json!("exited")), "{who}");
    let chain = &who["chain"];
    assert_eq!(chain["issuer"], "ci", "{who}");
    assert_eq!(
        (chain["iss"].as_str(), chain["jti"].as_str()),
        (Some(&*issuer.iss()), Some("job-1")),
        "{who}"
    );
    assert_eq!(chain["sub"], "repo:org/app:ref:refs/heads/main", "{who}");
    assert_eq!(chain["claims"][0], json!({"claim": "ref", "value": "refs/heads/main"}), "{who}");
    assert_eq!(chain["token"].as_str().map(str::len), Some(64), "{who}");
    for verb in ["who", "show"] {
        let text = gateway.site().ask(&[verb, id(&run)], "").unwrap().out();
        assert!(
            text.contains("chain          repo:org/app:ref:refs/heads/main (ci, https://localhost"),
            "{text}"
        );
    }
    let page = gateway.site().ask(&["export", id(&run), "--as", "html", "--output", "-"], "").unwrap().out();
    assert!(page.contains("Delegation chain"), "{page}");
    let site = gateway.stop();
    let told = |r: &crate::scan::Record| r.has("tokens-refused") && r.has("1 ci spent");
    assert!(records(&site.ledger()).iter().any(told), "a token that is shown again is told");
    let verified = site.ask(&["verify"], "").unwrap();
    assert!(verified.status.success(), "{}", verified.all());
    holds_no(&site, &[&token, &other]);
    drop(served);
}

#[test]
fn a_projected_service_account_mints_as_often_as_is_configured() {
    let issuer = Issuer::new();
    let gateway = issuer.site("k8s_job").up().unwrap();
    let now = now();
    let claims = json!({
        "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["tacho"], "iat": now, "nbf": now,
        "exp": now + 3607, "sub": "system:serviceaccount:jobs:tester", "jti": "aed34954",
        "kubernetes.io": {
            "namespace": "jobs", "node": {"name": "n1"}, "pod": {"name": "tester-7"},
            "serviceaccount": {"name": "tester", "uid": "14ee3fa4"},
        },
    });
    let token = issuer.sign("k1", "RS256", &claims);
    // Somebody else answers for it, and nobody has permitted that.
    let refused = mint(&gateway, &token, "{}");
    assert!(
        refused.status == "403" && refused.body["error"].as_str().unwrap().contains("delegate"),
        "{}",
        refused.body
    );
    let rules = gateway.site().dir().join("policy/more.cedar");
    let rule = "@id(\"k8s\")\npermit (principal in Agent::\"tester\", action == Action::\"delegate\", resource == Human::\"ada\")\n\
                when { principal.human == Human::\"k8s:system:serviceaccount:jobs:tester\" };\n";
    std::fs::write(rules, rule).unwrap();
    gateway.signal("HUP");
    // What was refused has cost none of its two runs.
    let run = eventually("the rule is in force", || {
        let said = mint(&gateway, &token, "{}");
        (said.status == "200").then_some(said.body)
    });
    assert_eq!(psql(&run, "select 7").out(), "7\n");
    assert_eq!(
        mint(&gateway, &token, r#"{"agent":"raw"}"#).status,
        "403",
        "the token says which agent it is"
    );
    let second = minted(&gateway, &token, r#"{"agent":"tester"}"#);
    assert_ne!(id(&second), id(&run));
    assert_eq!(mint(&gateway, &token, "{}").status, "403");
    let mut elsewhere = claims;
    elsewhere["kubernetes.io"]["namespace"] = json!("other");
    assert_eq!(mint(&gateway, &issuer.sign("k1", "RS256", &elsewhere), "{}").status, "401");

    // An admin ends a run; its credentials are dead at once.
    let admin = operator(&gateway, "root", "admin", "none");
    let revoke = format!("/v1/runs/{}/revoke", id(&run));
    assert_eq!(curl(&gateway, &token, "POST", &revoke, r#"{"reason":"x"}"#).status, "403", "it is no admin");
    assert_eq!(curl(&gateway, &admin, "POST", &revoke, r#"{"reason":"x"}"#).status, "204");
    assert!(!psql(&run, "select 8").status.success());
    assert_eq!(psql(&second, "select 9").out(), "9\n");
}

#[test]
fn a_token_opens_no_other_door_and_a_bad_one_opens_none() {
    let issuer = Issuer::new();
    let served = issuer.serve();
    let gateway = issuer.site("bad_tokens").up().unwrap();
    let good = issuer.sign("k1", "RS256", &issuer.job("job-1"));
    let nobody = curl(&gateway, "nonsense", "POST", "/v1/runs", "{}");
    assert_eq!(nobody.status, "401");

    for (method, path, body) in [
        ("GET", "/v1/status", ""),
        ("GET", "/v1/live", ""),
        ("GET", "/v1/runs", ""),
        ("GET", "/v1/exposed?since=1h", ""),
        ("GET", "/v1/find?q=verb:read", ""),
        ("GET", "/v1/tools", ""),
        ("POST", "/v1/tools/accept", r#"{"resource":"a","tool":"b"}"#),
        ("GET", "/v1/approvals", ""),
        ("POST", "/v1/approvals/00000000000000000000000000000001/approve", "{}"),
        ("POST", "/v1/approvals/00000000000000000000000000000001/deny", r#"{"reason":"x"}"#),
    ] {
        assert_eq!(curl(&gateway, &good, method, path, body).status, "403", "{method} {path}");
    }
    // Nobody else's run, either: this one is of the machine's own user.
    let lease = gateway.lease("tester").unwrap();
    let close = format!("/v1/runs/{}/close", lease.variable("TACHO_RUN"));
    assert_eq!(curl(&gateway, &good, "POST", &close, "{}").status, "403");
    for (body, status) in [
        (r#"{"for":"ada"}"#, "403"),
        (r#"{"for":"eve"}"#, "400"),
        (r#"{"agent":"tester"}"#, "403"),
        (r#"{"human":"ada"}"#, "422"),
    ] {
        assert_eq!(mint(&gateway, &good, body).status, status, "{body}");
    }

    issuer.key("evil", "RS256");
    issuer.script(&["drop", "evil"], "");
    let with = |name: &str, value: Value| {
        let mut job = issuer.job("job-2");
        job[name] = value;
        issuer.sign("k1", "RS256", &job)
    };
    let long = "x".repeat(20_000);
    let bad = [
        ("of another key", issuer.sign("evil", "RS256", &issuer.job("job-2"))),
        ("of another branch", with("ref", json!("refs/heads/mine"))),
        ("for others", with("aud", json!("sts.amazonaws.com"))),
        ("for others, too", with("aud", json!(["tacho", "other"]))),
        ("expired", with("exp", json!(now() - 100))),
        ("not yet", with("nbf", json!(now() + 1_000))),
        ("by another issuer", with("iss", json!("https://evil.example"))),
        ("by another algorithm", issuer.sign("k1", "PS256", &issuer.job("job-2"))),
        ("bent", format!("{}B", &good[..good.len() - 1])),
        ("cut", good[..good.len() - 30].to_owned()),
        ("too long", format!("{good}{long}")),
        ("a part too many", format!("{good}.{good}")),
    ];
    for (what, token) in &bad {
        let said = mint(&gateway, token, "{}");
        // Past the largest head there is not even an answer of ours.
        let long = token.len() > 16 << 10;
        assert!(said.status == "401" || (long && said.status == "431"), "{what}: {}", said.status);
        assert!(long || said.body == nobody.body, "{what}: whoever shows it is told nothing: {}", said.body);
    }
    assert_eq!(minted(&gateway, &good, "{}")["human"], "ops", "what was refused has spent nothing");

    let site = gateway.stop();
    let refused: Vec<_> =
        records(&site.ledger()).into_iter().filter(|r| r.has("admin") && r.has("tokens-refused")).collect();
    assert!(!refused.is_empty() && refused.len() <= bad.len(), "{} records", refused.len());
    let tokens: Vec<&str> = bad.iter().filter(|(what, _)| *what != "too long").map(|(_, t)| &**t).collect();
    holds_no(&site, &tokens);
    drop(served);
}

#[test]
fn keys_rotate_and_an_issuer_that_is_down_lets_nobody_new_in() {
    let issuer = Issuer::new();
    let site = issuer.site("rotation");
    let checked = site.check().unwrap();
    assert!(!checked.status.success() && checked.out().contains("issuer ci: its keys"), "{}", checked.all());
    let gateway = site.up().unwrap();
    let job = |kid: &str, alg: &str, id: &str| issuer.sign(kid, alg, &issuer.job(id));
    assert_eq!(mint(&gateway, &job("k1", "RS256", "1"), "{}").status, "401", "no keys, no runs");
    let status = gateway.site().ask(&["status"], "").unwrap().all();
    assert!(status.contains("issuer ci: its keys could not be read"), "{status}");

    let served = issuer.serve();
    let first = job("k1", "RS256", "2");
    eventually("the issuer is asked again", || (mint(&gateway, &first, "{}").status == "200").then_some(()));
    // A new key, of another algorithm; the old one is gone.
    issuer.key("k2", "ES256");
    issuer.script(&["drop", "k1"], "");
    let second = job("k2", "ES256", "3");
    eventually("the new key is found", || (mint(&gateway, &second, "{}").status == "200").then_some(()));
    assert_eq!(mint(&gateway, &job("k1", "RS256", "4"), "{}").status, "401", "the old key is good no more");
    issuer.key("k3", "EdDSA");
    let third = job("k3", "EdDSA", "5");
    eventually("another new key is found", || (mint(&gateway, &third, "{}").status == "200").then_some(()));

    // What is known stays good while the issuer is down; what is not known is refused.
    drop(served);
    assert_eq!(mint(&gateway, &job("k3", "EdDSA", "6"), "{}").status, "200");
    issuer.key("k4", "ES256");
    assert_eq!(mint(&gateway, &job("k4", "ES256", "7"), "{}").status, "401");
    // Somebody else answers at its place.
    let other = issuer.impostor();
    let impostor = other.serve();
    let token = other.sign("k1", "RS256", &issuer.job("8"));
    assert_eq!(mint(&gateway, &token, "{}").status, "401");
    drop(impostor);
}

#[test]
fn two_humans_do_not_mix_and_nobody_in_a_chain_approves() {
    let issuer = Issuer::new();
    let served = issuer.serve();
    let gateway = issuer.site("chains").up().unwrap();
    let sign = |claims: &Value| issuer.sign("k1", "RS256", claims);
    let (ada, bob) = (
        sign(&issuer.person("00u-ada", "ada@example.org", "a-1")),
        sign(&issuer.person("00u-bob", "bob@example.org", "b-1")),
    );
    let runs = [(&ada, "ada"), (&bob, "bob")].map(|(token, human)| {
        let run = minted(&gateway, token, r#"{"agent":"tester"}"#);
        assert_eq!(run["human"], human);
        assert_eq!(psql(&run, &format!("select 1 as of_{human}")).out(), "1\n");
        run
    });
    let close = format!("/v1/runs/{}/close", id(&runs[1]));
    assert_eq!(curl(&gateway, &ada, "POST", &close, "{}").status, "403", "another's run");
    for (run, human) in runs.iter().zip(["ada", "bob"]) {
        let shown = json(gateway.site(), &["show", id(run), "--json"]);
        assert_eq!((&shown["run"]["human"], &shown["run"]["by"]), (&json!(human), &json!(human)), "{shown}");
        assert_eq!(shown["chain"]["sub"], format!("00u-{human}"), "{shown}");
        assert!(shown["actions"].to_string().contains(&format!("of_{human}")), "{shown}");
        assert!(!shown.to_string().contains("@example.org"), "an address is masked: {shown}");
    }
    let stranger = sign(&issuer.person("00u-eve", "eve@example.org", "e-1"));
    assert_eq!(mint(&gateway, &stranger, r#"{"agent":"tester"}"#).status, "401", "nobody who is known");
    let mut unproved = issuer.person("00u-ada", "ada@example.org", "a-2");
    unproved["email_verified"] = json!(false);
    assert_eq!(mint(&gateway, &sign(&unproved), r#"{"agent":"tester"}"#).status, "401");

    // A group that the token claims is one of policy's, under the issuer's name.
    let scribe =
        minted(&gateway, &sign(&issuer.person("00u-ada", "ada@example.org", "a-4")), r#"{"agent":"scribe"}"#);
    assert_eq!(psql(&scribe, "insert into pad (t) values ('claimed')").out(), "INSERT 0 1\n");
    let mut outsider = issuer.person("00u-ada", "ada@example.org", "a-5");
    outsider["groups"] = json!(["readers", "releases"]);
    let outsider = minted(&gateway, &sign(&outsider), r#"{"agent":"scribe"}"#);
    assert!(!psql(&outsider, "insert into pad (t) values ('claimed')").status.success());

    // Ada's token, exchanged by Bob, and then by a service.
    let mut exchanged = issuer.person("00u-ada", "ada@example.org", "a-3");
    exchanged["act"] =
        json!({"sub": "svc-planner", "act": {"sub": "00u-bob", "iss": "https://other.example"}});
    let run = minted(&gateway, &sign(&exchanged), r#"{"agent":"asker"}"#);
    let who = json(gateway.site(), &["who", id(&run), "--json"]);
    assert_eq!(
        (&who["run"]["human"], &who["run"]["by"]),
        (&json!("ada"), &json!("idp:svc-planner")),
        "{who}"
    );
    let acts =
        json!([{"sub": "00u-bob", "iss": "https://other.example"}, {"sub": "svc-planner", "iss": null}]);
    assert_eq!(who["chain"]["acts"], acts, "{who}");
    // By somebody whom policy does not let act for her.
    exchanged["act"] = json!({"sub": "svc-other"});
    assert_eq!(mint(&gateway, &sign(&exchanged), r#"{"agent":"asker"}"#).status, "403");

    let [ada, bob, lena] = ["ada", "bob", "lena"].map(|name| operator(&gateway, name, "approver", "leads"));
    let asks = run.clone();
    let agent = std::thread::spawn(move || psql(&asks, "update orders set status = 'by_chain' where id = 1"));
    let ask = waiting(&gateway, &lena, "status");
    for own in [&ada, &bob] {
        let said = with_token(&gateway, own, &["approve", &ask]);
        assert!(!said.status.success(), "{}", said.all());
    }
    assert!(asked(&gateway, &lena, "status").is_some(), "it waits still");
    let said = with_token(&gateway, &lena, &["approve", &ask]);
    assert!(said.status.success(), "{}", said.all());
    assert_eq!(agent.join().unwrap().out(), "UPDATE 1\n");
    // Each decision comes out the same again, what the tokens claimed included.
    let replayed = json(gateway.site(), &["policy", "replay", "--json"]);
    assert!(replayed["decided"].as_u64() >= Some(5), "{replayed}");
    for none in ["different", "unfaithful", "unread"] {
        assert_eq!(replayed[none], json!([]), "{replayed}");
    }
    drop(served);
}

#[test]
fn a_process_inside_a_run_mints_by_its_runs_credential_alone() {
    let issuer = Issuer::new();
    let served = issuer.serve();
    let gateway = issuer.site("inside").up().unwrap();
    let token = issuer.sign("k1", "RS256", &issuer.job("job-1"));
    let curl = format!(
        "curl -s -o /dev/null -w '%{{http_code}}' -X POST -H 'Authorization: Bearer {token}' \
         -H 'content-type: application/json' -d '{{}}' $TACHO_URL/v1/runs"
    );
    let words = ["/bin/sh", "-c", &curl].map(Path::new);
    let done = gateway.run_to_end("tester", &words, "").unwrap();
    assert_eq!(done.out(), "403", "{}", gateway.explain(&done));
    assert_eq!(minted(&gateway, &token, "{}")["human"], "ops", "from outside it does");
    let site = gateway.stop();
    let refused = |r: &crate::scan::Record| r.has("operator-refused") && r.has("issuer ci");
    assert!(records(&site.ledger()).iter().any(refused));
    drop(served);
}

/// `tacho run` of a job: by its token, and not as the user that runs the tests.
#[test]
fn a_job_starts_its_agent_by_its_token_and_a_child_has_the_same_chain() {
    let issuer = Issuer::new();
    let served = issuer.serve();
    let gateway = issuer.site("job_run").up().unwrap();
    let file = issuer.dir().join("token");
    let write = |id: &str| std::fs::write(&file, issuer.sign("k1", "RS256", &issuer.job(id)) + "\n").unwrap();
    let script = format!(
        "echo RUN $TACHO_RUN; psql -X -At -c 'select 11 as by_the_job'; cat {} >/dev/null 2>&1 && [ -s {} ] && echo SEEN; \
         curl -s -X POST -H \"Authorization: Bearer $TACHO_RUN_TOKEN\" -H 'content-type: application/json' \
         -d '{{\"agent\":\"tester\"}}' $TACHO_URL/v1/runs | grep -o '\"run\": *\"[0-9a-f]*'",
        file.display(),
        file.display()
    );
    let start = || {
        let mut run = gateway.site().tacho();
        run.args(["run", "--agent", "deployer", "--token-file"]).arg(&file);
        finish(run.args(["--", "/bin/sh", "-c", &script]), b"", CLIENT_SECONDS_MAX).unwrap()
    };
    write("job-1");
    let spawns = "@id(\"spawns\")\npermit (principal in Agent::\"deployer\", action == Action::\"spawn\", resource);\n";
    std::fs::write(gateway.site().dir().join("policy/more.cedar"), spawns).unwrap();
    gateway.signal("HUP");
    eventually("the rule is in force", || gateway.log().contains("the policy is reloaded").then_some(()));
    let done = start();
    assert!(done.status.success() && done.out().contains("11\n"), "{}", gateway.explain(&done));
    let confined = json(gateway.site(), &["runs", "--json"])["runs"]
        .as_array()
        .unwrap()
        .iter()
        .all(|r| r["confined"] == true);
    assert!(!confined || !done.out().contains("SEEN"), "the token is hidden: {}", done.out());
    let word =
        |start: &str| done.out().lines().find_map(|l| l.strip_prefix(start).map(str::to_owned)).unwrap();
    let run = word("RUN ");
    let child = done.out().rsplit('"').next().unwrap().trim().to_owned();
    let who = json(gateway.site(), &["who", &run, "--json"]);
    assert_eq!((&who["run"]["state"], &who["chain"]["jti"]), (&json!("exited"), &json!("job-1")), "{who}");
    let of_child = json(gateway.site(), &["who", &child, "--json"]);
    assert_eq!(of_child["parents"][0]["run"], run, "{of_child}");
    assert_eq!(of_child["chain"], who["chain"], "a child has the chain of the run around it");

    let again = start();
    assert_eq!(again.status.code(), Some(1), "a token is good once: {}", again.all());
    write("job-2");
    assert!(start().status.success());
    std::fs::write(&file, "no token\n").unwrap();
    assert_eq!(start().status.code(), Some(2));
    let site = gateway.stop();
    let mut run = site.tacho();
    write("job-3");
    run.args(["run", "--agent", "deployer", "--token-file"]).arg(&file).args(["--", "/bin/true"]);
    let alone = finish(&mut run, b"", CLIENT_SECONDS_MAX).unwrap();
    assert_eq!(alone.status.code(), Some(3), "no gateway of its own: {}", alone.all());
    drop(served);
}
