//! One file per feature: a statement a line, and what it does and becomes. `UPDATE_EXPECT=1` writes the answers.

use std::collections::BTreeSet;
use std::fmt::Write;

use sql::{Governed, Names, Snapshot, TempRelation, Vouched, analyze, parse, rewrite};
use vocab::ResourcePath;

fn describe(text: &str, snapshot: &Snapshot, governed: &Governed, names: &Names) -> String {
    let mut out = String::new();
    let statements = match parse(text) {
        Ok(statements) => statements,
        Err(error) => return format!("  error {} {error}\n", error.code),
    };
    let root = ResourcePath::root("crm");
    for statement in &statements {
        let found = analyze(statement, snapshot, governed, names, &Vouched::default(), &root);
        writeln!(out, "  {}{}", found.action.kind, if found.pure_read { " (pure read)" } else { "" })
            .unwrap();
        for access in &found.action.accesses {
            let columns: Vec<String> =
                access.columns.iter().map(|c| format!("{}:{}", c.column, c.position.as_str())).collect();
            writeln!(out, "    {} {} {}", access.verb.as_str(), access.on, columns.join(" ")).unwrap();
        }
        for effect in &found.effects {
            writeln!(out, "    effect {effect:?}").unwrap();
        }
        for function in &found.action.functions {
            writeln!(out, "    function {function}").unwrap();
        }
        if let Some(carried) = &found.carried {
            let class =
                |field: &Option<sql::CopyField>| field.as_ref().map_or("-", |f| f.class.as_str()).to_owned();
            let fields: Vec<String> = carried.fields.iter().map(class).collect();
            let header = if carried.header { " names" } else { "" };
            writeln!(out, "    carries {:?}{header}: {}", carried.form, fields.join(" ")).unwrap();
        }
        if let Some(opaque) = found.action.opaque {
            writeln!(out, "    opaque: {}", opaque.0).unwrap();
        }
        match rewrite(statement, &found, snapshot, governed, names, &BTreeSet::new()) {
            Err(reason) => writeln!(out, "    refuse {}: {}", reason.code, reason.sentence).unwrap(),
            Ok(made) => match made.text {
                Some(text) => writeln!(out, "    -> {text}").unwrap(),
                None => writeln!(out, "    unchanged").unwrap(),
            },
        }
    }
    out
}

#[test]
fn statements_do_and_become_what_their_files_say() {
    let snapshot = super::snapshot();
    let governed = super::governed(&snapshot);
    let names = super::names();
    let mut wrong = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(super::testdata()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "golden") {
            continue;
        }
        files += 1;
        let old = std::fs::read_to_string(&path).unwrap();
        let mut new = String::new();
        // A line that is not indented is a statement or, after `--`, a comment; what is indented is the answer.
        for line in old.lines().filter(|l| !l.starts_with(' ')) {
            writeln!(new, "{line}").unwrap();
            if !line.is_empty() && !line.starts_with("--") {
                new.push_str(&describe(line, &snapshot, &governed, &names));
            }
        }
        if new != old && std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &new).unwrap();
        } else if new != old {
            let line = new.lines().zip(old.lines()).find(|(a, b)| a != b);
            wrong.push(format!("{}: {line:?}", path.display()));
        }
    }
    assert!(files > 5, "no goldens found");
    assert!(wrong.is_empty(), "UPDATE_EXPECT=1 writes them anew:\n{}", wrong.join("\n"));
}

#[test]
fn what_discards_temporary_relations_defines_them() {
    let snapshot = super::snapshot();
    let governed = super::governed(&snapshot);
    let mut names = super::names();
    let verbs = |text: &str, names: &Names| describe(text, &snapshot, &governed, names);
    for text in ["DISCARD TEMP", "DISCARD ALL"] {
        assert!(verbs(text, &names).contains("    connect crm/leakcorpus"), "there is none");
    }
    names.temp.push(TempRelation { name: "tt".into(), columns: None });
    for text in ["DISCARD TEMP", "DISCARD ALL"] {
        assert!(verbs(text, &names).contains("    define crm/leakcorpus/pg_temp/tt"), "{text}");
    }
    assert!(!verbs("DISCARD PLANS", &names).contains("define"));
}
