//! Verbs that need no gateway.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use crate::place::{Place, json, list};

#[test]
fn help_is_as_recorded() {
    let place = Place::new("help");
    let verbs: &[&[&str]] = &[
        &[],
        &["init"],
        &["check"],
        &["up"],
        &["run"],
        &["runs"],
        &["runs", "revoke"],
        &["runs", "erase"],
        &["tools"],
        &["tools", "accept"],
        &["mcp"],
        &["show"],
        &["replay"],
        &["who"],
        &["touched"],
        &["exposed"],
        &["find"],
        &["diff"],
        &["approvals"],
        &["approve"],
        &["deny"],
        &["verify"],
        &["export"],
        &["status"],
        &["doctor"],
        &["policy"],
        &["policy", "check"],
        &["policy", "test"],
        &["policy", "replay"],
        &["operator"],
        &["operator", "add"],
        &["operator", "list"],
        &["operator", "remove"],
        &["completions"],
        &["man"],
    ];
    let mut all = String::new();
    for verb in verbs {
        let mut words = verb.to_vec();
        words.push("--help");
        all.push_str(&format!("$ tacho {}\n{}\n", words.join(" "), place.expect(0, &words)));
    }
    let golden = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("testdata/help.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::create_dir_all(golden.parent().unwrap()).unwrap();
        fs::write(&golden, &all).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap();
    assert!(expected == all, "the help changed; UPDATE_EXPECT=1 rewrites {}", golden.display());
}

#[test]
fn init_is_idempotent_and_overwrites_nothing() {
    let place = Place::new("init");
    let first = json(&place.expect(0, &["init", "--json"]));
    assert_eq!(first["shape"], "tacho.initialised/1");
    assert_eq!(first["wrote"].as_array().unwrap().len(), 4, "{first}");
    let key = place.path("home/.config/tacho/auditor.key");
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    fs::write(place.path("policy/starter.cedar"), "// mine\n").unwrap();
    let before: Vec<Vec<u8>> = ["tacho.toml", "policy/starter.cedar", "home/.config/tacho/auditor.key"]
        .map(|f| fs::read(place.path(f)).unwrap())
        .into();
    let second = json(&place.expect(0, &["init", "--json"]));
    assert_eq!(second["wrote"].as_array().unwrap().len(), 0, "{second}");
    assert_eq!(second["auditor"], first["auditor"]);
    let after: Vec<Vec<u8>> = ["tacho.toml", "policy/starter.cedar", "home/.config/tacho/auditor.key"]
        .map(|f| fs::read(place.path(f)).unwrap())
        .into();
    assert!(before == after);
}

#[test]
fn a_passphrase_protects_the_auditors_key() {
    let place = Place::new("passphrase");
    fs::write(place.path("pass"), "correct horse\n").unwrap();
    assert!(place.expect_err(2, &["init", "--passphrase-file", "pass"]).contains("chmod 600"));
    fs::set_permissions(place.path("pass"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    place.expect(0, &["init", "--passphrase-file", "pass"]);
    let key = fs::read_to_string(place.path("home/.config/tacho/auditor.key")).unwrap();
    assert!(key.contains("pbkdf2-hmac-sha256"), "{key}");
}

#[test]
fn what_init_writes_passes_check() {
    let place = Place::new("check");
    place.init();
    let answer = json(&place.expect(0, &["check", "--offline", "--json"]));
    assert_eq!(answer["shape"], "tacho.check/1");
    assert!(answer["rules"].as_array().unwrap().iter().any(|r| r == "reads"), "{answer}");
    place.expect(0, &["policy", "check"]);
    place.expect(0, &["policy", "test"]);
    place.expect(0, &["doctor"]);
}

#[test]
fn every_error_of_configuration_and_policy_is_told_at_once_with_its_line_and_exit_2() {
    let place = Place::new("errors");
    place.init();
    fs::write(place.path("bad.toml"), "[gateway]\ndurability = \"no\"\nconsol = \"x\"\n").unwrap();
    let told = place.expect_err(2, &["check", "--config", "bad.toml"]);
    assert!(
        told.contains("bad.toml:2: ")
            && told.contains("bad.toml:3: ")
            && told.contains("did you mean `console`"),
        "{told}"
    );
    let told = json(&place.expect_err(2, &["check", "--config", "bad.toml", "--json"]));
    assert_eq!((told["exit"].as_u64(), told["errors"].as_array().unwrap().len()), (Some(2), 2), "{told}");
    fs::write(
        place.path("policy/bad.cedar"),
        "permit (principal, action == Action::\"raed\", resource);\nforbid;\n",
    )
    .unwrap();
    let told = place.expect_err(2, &["policy", "check"]);
    assert!(told.contains("bad.cedar:"), "{told}");
    place.expect_err(2, &["check", "--offline"]);
}

#[test]
fn what_cannot_be_done_is_exit_3_and_says_what_to_do() {
    let place = Place::new("cannot");
    assert!(place.expect_err(3, &["check"]).contains("tacho init"));
    place.init();
    for verb in ["status", "approvals"] {
        assert!(place.expect_err(3, &[verb]).contains("tacho up"), "{verb}");
    }
    place.expect_err(3, &["runs"]);
    place.expect_err(3, &["verify", "no-such-file"]);
    place.expect_err(2, &["frobnicate"]);
    place.expect_err(2, &["exposed", "--value", "123-45-6789"]);
    place.expect_err(2, &["inside", "--", "true"]);
}

#[test]
fn an_operators_token_is_shown_once_and_kept_nowhere() {
    let place = Place::new("operator");
    place.init();
    place.expect_err(2, &["operator", "add", "ada"]);
    place.expect_err(2, &["operator", "add", "a b", "--role", "auditor"]);
    let added =
        json(&place.expect(0, &["operator", "add", "ada", "--role", "approver", "--group", "dba", "--json"]));
    let token = added["token"].as_str().unwrap();
    let file = place.path("tacho-keys/operators.toml");
    assert!(!fs::read_to_string(&file).unwrap().contains(&token["tacho-op-".len()..]));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(place.path("tacho-keys")).unwrap().mode() & 0o777, 0o700);
    place.expect_err(1, &["operator", "add", "ada", "--role", "admin"]);
    assert!(place.expect(0, &["operator", "list"]).contains("dba"));
    place.expect(0, &["operator", "remove", "ada"]);
    place.expect_err(1, &["operator", "remove", "ada"]);
}

#[test]
fn two_administrators_at_once_lose_nobody() {
    let place = Place::new("operators");
    place.init();
    let names: Vec<String> = (0..8).map(|n| format!("operator-{n}")).collect();
    let mut adding: Vec<_> = names
        .iter()
        .map(|name| {
            place
                .tacho(&["operator", "add", name, "--role", "auditor"])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    assert!(adding.iter_mut().all(|child| child.wait().unwrap().success()));
    let listed = place.expect(0, &["operator", "list"]);
    assert!(names.iter().all(|name| listed.contains(name.as_str())), "{listed}");
}

#[test]
fn completions_and_man_pages_come_from_the_flags() {
    let place = Place::new("paper");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.expect(0, &["completions", shell]);
        assert!(script.contains("agent-version"), "{shell}");
    }
    place.expect(0, &["man", "man"]);
    let pages = list(&place.path("man"));
    for page in
        ["tacho.1", "tacho-run.1", "tacho-policy-check.1", "tacho-operator-add.1", "tacho-runs-revoke.1"]
    {
        assert!(pages.contains(&page.to_owned()), "{page} in {pages:?}");
    }
    assert!(!pages.iter().any(|p| p.contains("inside")), "{pages:?}");
    assert!(fs::read_to_string(place.path("man/tacho-run.1")).unwrap().contains("agent\\-version"));
}
