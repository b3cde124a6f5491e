//! The old protocol of `scp` (`-O`): each file is an action of its own there, too, decided, masked in its length, and in the record.

use crate::sftp::{EMAIL, SSN, passes, place, replayed, sh, sha256, shared, show, start, text};
use crate::world::{json, run_of};

#[test]
fn files_and_directories_go_both_ways_and_each_is_in_the_record() {
    let scene = shared();
    let content = text(300_000);
    let dir = place(scene, "old", &[("there.txt", &content), ("empty", b"")]);
    place(scene, "old/deep", &[("one.txt", b"one\n"), ("two.txt", b"two\n")]);
    let far = dir.display();
    let script = format!(
        "set -e; cd $HOME; scp -Oq build:{far}/there.txt got; scp -Opq got build:{far}/back.txt; scp -Oqr build:{far}/deep d; \
         cat d/one.txt d/two.txt; mkdir -p up/in; echo new > up/in/n; scp -Oqr up build:{far}; scp -Oq 'build:{far}/*.txt' build:{far}/empty d; \
         ls d; cmp got d/back.txt; scp -Oq got up/in/n build:{far}/deep/; scp -Oq up/in/n build:left-here; ssh build 'cat left-here; rm left-here'"
    );
    let done = sh(scene, "scp-1", &script);
    passes(scene, &done);
    assert_eq!(
        done.out(),
        "one\ntwo\nback.txt\nempty\none.txt\nthere.txt\ntwo.txt\nnew\n",
        "{}",
        scene.gateway.explain(&done)
    );
    assert_eq!(std::fs::read(dir.join("back.txt")).unwrap(), content);
    assert_eq!(std::fs::read(dir.join("deep/got")).unwrap(), content);
    assert_eq!(std::fs::read(dir.join("up/in/n")).unwrap(), b"new\n");
    let shown = show(scene, "scp-1");
    assert!(!shown.to_string().contains("indeterminate"), "{shown}");
    let statement = |begins: String| {
        let actions = shown["actions"].as_array().unwrap().iter();
        let of = actions.filter(|action| action["statement"].as_str().unwrap().starts_with(&begins));
        of.map(|action| action["result"]["result"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for begins in [
        format!("READ {far}/there.txt (read) 300000 bytes mode 0644"),
        format!("WRITE {far}/back.txt or {far}/back.txt/got ("),
        format!("LIST {far}/deep ("),
        format!("READ {far}/deep/two.txt ("),
        format!("MKDIR {far} or {far}/up ("),
        format!("WRITE {far}/deep/n ("),
        format!("READ {far}/empty (read) 0 bytes"),
        "WRITE ~/left-here".to_owned(),
    ] {
        let all = statement(begins.clone());
        assert!(!all.is_empty() && all.iter().all(|result| result == "ok"), "{begins}: {all:?} in {shown}");
    }
    let touched = json(scene.gateway.site(), &["touched", &run_of(scene.gateway.site(), "scp-1"), "--json"]);
    for part in ["old/there.txt", "old/deep/one.txt", "old/up/in/n", "file/~/left-here", "program/scp"] {
        assert!(touched.to_string().contains(part), "{part} in {touched}");
    }
    let (whole, replayed) = (sha256(&content), replayed(scene, "scp-1"));
    for did in ["read", "wrote"] {
        let line = format!("{did} sha256 {whole} of 300000 bytes, the whole file");
        assert!(replayed.contains(&line), "{line} in {replayed}");
    }
    assert!(replayed.contains("line 17 of a file that is sent"), "a copy of a text can be replayed");
}

#[test]
fn a_value_in_a_file_is_masked_in_its_length() {
    let scene = shared();
    let mut content = text(200_000);
    // One alone, one encoded, one across where the gateway cuts.
    content.splice(100..100, format!(" {EMAIL}\n NTM2LTIyLTgzOTEgYW5kIG1vcmU=\n").bytes());
    for at in [65_536, 131_072] {
        content.splice(at - 6..at - 6 + 13, format!(" {SSN} ").bytes());
    }
    let dir = place(scene, "old-masks", &[("values.txt", &content)]);
    let far = dir.display();
    let done =
        sh(scene, "scp-2", &format!("cd $HOME; scp -Oq build:{far}/values.txt v && wc -c < v && cat v"));
    passes(scene, &done);
    let out = done.out();
    assert!(out.starts_with(&format!("{}\n", content.len())), "{}", &out[..40]);
    for secret in [SSN, EMAIL, "NTM2LTIy", &SSN[..7], "2-8391"] {
        assert!(!out.contains(secret), "{secret} came");
    }
    assert!(out.contains("[pii.email]"));
    let site = scene.gateway.site();
    let exposed = json(site, &["exposed", &run_of(site, "scp-2"), "--json"]).to_string();
    assert!(exposed.contains("pii.ssn") && exposed.contains("old-masks/values.txt"), "{exposed}");
    // What goes there goes as it is, and stands masked in the record.
    let done = sh(scene, "scp-2", &format!("cd $HOME; echo ' {SSN} ' > near; scp -Oq near build:{far}/near"));
    passes(scene, &done);
    assert_eq!(std::fs::read_to_string(dir.join("near")).unwrap(), format!(" {SSN} \n"));
    let replayed = replayed(scene, "scp-2");
    assert!(!replayed.contains(SSN) && !replayed.contains(EMAIL) && replayed.contains("[pii.ssn]"));
}

#[test]
fn a_file_that_policy_refuses_is_left_out_and_the_rest_goes_on() {
    let scene = shared();
    let named = format!("about {EMAIL}");
    let files = [("a.txt", &b"a\n"[..]), ("hidden.txt", b"x\n"), ("z.txt", b"z\n"), (&named, b"y\n")];
    let dir = place(scene, "old-refused", &files);
    let far = dir.display();
    let script = format!(
        "cd $HOME; scp -Oqr build:{far} got; echo $?; ls got; scp -Oq got/a.txt build:{far}/made; echo $?; \
         scp -Oq build:{far}/nothing x; echo $?; scp -Oq build:{far}/z.txt z && cat z"
    );
    let done = sh(scene, "sftp-reader", &script);
    assert_eq!(done.out(), "1\na.txt\nz.txt\n1\n1\nz\n", "{}", scene.gateway.explain(&done));
    for said in
        ["Nobody reads that.", "a value in the file's name", "This agent writes nothing.", "No such file"]
    {
        assert!(done.err().contains(said), "{said}: {}", done.err());
    }
    assert!(!done.all().contains(EMAIL) && !dir.join("made").exists(), "{}", done.all());
    let shown = show(scene, "sftp-reader").to_string();
    assert!(shown.contains("sftp-no-hidden") && shown.contains("sftp-no-writes"), "{shown}");
    // Nor are its times and its name told to whoever may not read it.
    let hidden = format!("cd $HOME; printf '\\0\\0' | ssh build scp -qpf {far}/hidden.txt | wc -c");
    let done = sh(scene, "sftp-reader", &hidden);
    assert_eq!(done.out().trim(), "0", "{}", scene.gateway.explain(&done));
    // What may not leave ends the copy: nobody takes a part of it for the file.
    let key = std::fs::read(scene.sshd.key()).unwrap();
    let dir = place(scene, "old-keys", &[("id", &key), ("plain.txt", b"plain\n")]);
    let far = dir.display();
    let script = format!(
        "cd $HOME; timeout 20 scp -Oq build:{far}/id s; echo $?; cat s; scp -Oq build:{far}/plain.txt p && cat p"
    );
    let done = sh(scene, "sftp-keyless", &script);
    assert!(done.out().starts_with("1\n") && done.out().ends_with("plain\n"), "{}", done.all());
    assert!(
        !done.out().contains("PRIVATE KEY") && done.err().contains("Private keys stay"),
        "{}",
        done.all()
    );
}

#[test]
fn much_goes_both_ways_and_arrives_as_it_is() {
    let scene = shared();
    let content = text(20_000_000);
    let dir = place(scene, "old-much", &[("big", &content)]);
    let far = dir.display();
    let script =
        format!("cd $HOME; scp -Oq build:{far}/big big && scp -Oq big build:{far}/back && sha256sum < big");
    let done = sh(scene, "scp-3", &script);
    passes(scene, &done);
    assert_eq!(done.out().split(' ').next().unwrap(), sha256(&content));
    assert_eq!(std::fs::read(dir.join("back")).unwrap(), content);
}

#[test]
fn one_that_ends_in_the_middle_leaves_one_outcome_for_each_intent() {
    let scene = start();
    let dir = place(&scene, "old-gone", &[("big", &text(20_000_000))]);
    let far = dir.display();
    // It stops reading, and is killed; and one whose host ends.
    // A line and a sentence without their ends, a listing of what may not be read, and more than a file's length.
    let script = format!(
        "printf 'C0644 5 x' | timeout 20 ssh build scp -qt {far}/cut; echo $?; printf '\\0\\1abc' | timeout 20 ssh build scp -qf {far}/big | wc -c; \
         timeout 20 ssh build scp -qpf {far}/big </dev/null; echo $?"
    );
    let done = sh(&scene, "scp-5", &script);
    let said: Vec<String> = done.out().lines().map(str::to_owned).collect();
    assert!(!said.iter().any(|line| line == "124"), "it waits for ever: {}", scene.gateway.explain(&done));
    let script = format!(
        "cd $HOME; scp -Oq -l 800 build:{far}/big big & sleep 2; kill -9 $!; wait $!; \
         (printf 'C0644 100 x\\n'; sleep 1; printf 'too little') | ssh build scp -qt {far}/cut; echo 'no scp' | ssh build scp -qt {far}/cut; true"
    );
    let done = sh(&scene, "scp-4", &script);
    passes(&scene, &done);
    assert!(!dir.join("cut").exists() || std::fs::read(dir.join("cut")).unwrap().len() <= 100);
    crate::world::eventually("the end of all", || {
        let shown = show(&scene, "scp-4");
        let all = shown["actions"].as_array()?.clone();
        all.iter().all(|action| !action["result"].is_null()).then_some(())
    });
    let records = crate::scan::records(&scene.gateway.stop().ledger());
    let count = |kind: &str| records.iter().filter(|record| record.has(kind)).count();
    let ended = records.iter().filter(|record| record.has("outcome") && record.has("result")).count();
    assert!(ended >= 4, "{ended}");
    assert_eq!(count("intent"), ended);
}

/// What a copy that failed has done is not called undone, and what was refused before it began is.
#[test]
fn the_record_does_not_call_undone_what_was_done() {
    let scene = start();
    let dir = place(&scene, "undone", &[("a.txt", b"a\n"), ("hidden.txt", b"x\n")]);
    let far = dir.display();
    let script = format!(
        "cd $HOME; scp -Oqr build:{far} got; echo $?; echo a > a.txt; scp -Oq a.txt build:{far}/nowhere/a.txt; echo $?; scp -Oq a.txt build:{far}/b.txt; echo $?"
    );
    let done = sh(&scene, "sftp-reader", &script);
    assert_eq!(done.out(), "1\n1\n1\n", "{}", scene.gateway.explain(&done));
    let done = sh(
        &scene,
        "scp-6",
        &format!("cd $HOME; echo a > a.txt; scp -Oq a.txt build:{far}/nowhere/a.txt; echo $?"),
    );
    assert_eq!(done.out(), "1\n", "{}", scene.gateway.explain(&done));
    let effects = |agent: &str| {
        let shown = show(&scene, agent);
        let actions = shown["actions"].as_array().unwrap().iter();
        let word = |field: &serde_json::Value| field.as_str().unwrap().split(' ').next().unwrap().to_owned();
        actions.map(|action| (word(&action["statement"]), word(&action["effect"]))).collect::<Vec<_>>()
    };
    let own = |all: &[(String, String)]| {
        all.iter().map(|(did, effect)| format!("{did} {effect}")).collect::<Vec<_>>()
    };
    let mut read = own(&effects("sftp-reader"));
    read.sort();
    // Of uploads nothing began, and the client went by itself; of the copy, one file was left out.
    for expect in [
        "LIST committed",
        "READ committed",
        "READ refused",
        "WRITE refused",
        "scp committed",
        "scp indeterminate",
    ] {
        assert!(read.iter().any(|one| one == expect), "{expect}: {read:?}");
    }
    assert!(!read.iter().any(|one| one.contains("rolled")), "{read:?}");
    let wrote = own(&effects("scp-6"));
    assert!(
        wrote.contains(&"WRITE indeterminate".to_owned()) && !wrote.iter().any(|one| one.contains("rolled")),
        "{wrote:?}"
    );
}
