use crate::examples::run;
use crate::{Policy, STARTER, Source};

fn files(text: &str) -> Vec<Source> {
    vec![Source { path: "policy/x.cedar".into(), text: text.into() }]
}

#[test]
fn the_starter_policy_passes_its_own_examples() {
    let files = files(STARTER);
    let report = run(&Policy::parse(&files).unwrap(), &files);
    assert_eq!(report.failures, []);
    assert!(report.ran >= 8, "{}", report.ran);
}

#[test]
fn an_example_that_the_policy_decides_otherwise_fails_with_its_line() {
    let text = "@id(\"r\") permit (principal, action == Action::\"read\", resource);\n\
                // example: read crm/a by x => allow r\n\
                // example: read crm/a by x => allow s\n\
                  // example: read crm/a + write crm/b by x => allow\n";
    let files = files(text);
    let report = run(&Policy::parse(&files).unwrap(), &files);
    assert_eq!(report.ran, 3);
    let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        failures,
        [
            "policy/x.cedar:3: expected allow s, got allow r: read crm/a by x",
            "policy/x.cedar:4: expected allow, got refuse: read crm/a + write crm/b by x"
        ]
    );
}

#[test]
fn an_example_that_cannot_be_read_fails_and_says_why() {
    let rows = [
        ("read crm by x", "an example ends with `=> VERDICT`"),
        ("read crm by x => perhaps", "`perhaps` is no verdict: allow, refuse or ask"),
        ("read crm => allow", "an example says ` by AGENT`"),
        ("devour crm by x => allow", "`devour` is no verb"),
        ("read crm/t(a by x => allow", "`)` is missing behind the columns"),
        ("read crm by x with colour=blue => allow", "`colour` is no key of an example"),
        ("read crm by x with rows=many => allow", "`many` is no number"),
        ("reveal PII by x => allow", "`PII` is no class"),
        ("read crm by x hello => allow", "`hello` was not expected here"),
    ];
    for (example, expect) in rows {
        let files = files(&format!("permit (principal, action, resource);\n// example: {example}\n"));
        let report = run(&Policy::parse(&files).unwrap(), &files);
        assert_eq!(report.failures.len(), 1, "{example}");
        assert_eq!(report.failures[0].message, expect, "{example}");
    }
}

#[test]
fn every_key_reaches_the_rules() {
    let rows = [
        ("context.approvals.contains(\"g\")", "approved=f,g"),
        ("context has task && context.task == \"t\"", "task=t"),
        ("context.kind == \"SELECT\"", "kind=SELECT"),
        ("context.resource_kind == \"ssh\"", "resource-kind=ssh"),
        ("context.functions.contains(\"public.f\")", "function=public.f"),
        ("context.arguments.contains(\"mode=fast\")", "argument=path,mode=fast"),
        ("context.classes.contains(\"pii.ssn\")", "class=pii.ssn"),
        ("context.unix == 86400 && context.weekday == 5 && context.hour == 0", "at=86400"),
        ("context.in_transaction", "in-transaction=yes"),
        ("!principal.confined", "confined=no"),
        ("context.values == 3", "values=3"),
        ("context.largest_value == 4", "largest=4"),
    ];
    for (condition, pair) in rows {
        let text = format!(
            "@id(\"r\") permit (principal, action == Action::\"read\", resource) when {{ {condition} }};\n\
             // example: read crm by x with {pair} => allow r\n\
             // example: read crm by x => refuse\n"
        );
        let files = files(&text);
        assert_eq!(run(&Policy::parse(&files).unwrap(), &files).failures, [], "{pair}");
    }
}
