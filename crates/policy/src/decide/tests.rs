use vocab::{
    Access, Class, ColumnUse, Group, Opaque, Position, ResourcePath, RuleId, Verb, Verdict, WallTime,
};

use crate::request::{Context, Parent, Principal, Release, Request, What};
use crate::{Policy, STARTER, Source};

/// The rules of the design's page, as they stand there.
const DESIGN: &str = r#"
@needs("dba")                                    // a forbid that an approval by group dba can lift
@id("writes-need-dba") @message("Writes wait for a dba.")
forbid (principal, action == Action::"write", resource in Resource::"crm") unless { context.approvals.contains("dba") };
@id("support-reads")
permit (principal in Agent::"support", action == Action::"read", resource in Resource::"crm");
@id("support-writes")
permit (principal in Agent::"support", action == Action::"write", resource in Resource::"crm");
@id("leads-see-email")
permit (principal, action == Action::"reveal", resource == Class::"pii.email") when { principal.human in Group::"support-leads" };
"#;

fn policy(text: &str) -> Policy {
    Policy::parse(&[Source { path: "policy/main.cedar".into(), text: text.into() }])
        .unwrap_or_else(|e| panic!("{e:?}"))
}

fn who(agent: &str) -> Principal {
    Principal {
        human: "ann".into(),
        human_groups: vec![Group("support-leads".into())],
        agent: agent.into(),
        run: "r1".into(),
        confined: true,
        parents: Vec::new(),
    }
}

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(text).unwrap()
}

fn access(verb: Verb, on: &str, columns: &[(&str, Position)]) -> Access {
    let columns = columns.iter().map(|(c, position)| ColumnUse { column: (*c).into(), position: *position });
    Access { verb, on: path(on), columns: columns.collect() }
}

fn asks(principal: Principal, accesses: Vec<Access>, context: Context) -> Request {
    Request { principal, resource: path("crm"), what: What::Action { accesses, opaque: None }, context }
}

fn approved(groups: &[&str]) -> Context {
    Context { approvals: groups.iter().map(|g| Group((*g).into())).collect(), ..Context::default() }
}

/// Decides, and checks that the slice, the replay of the canonical text and the policy read back from its own text
/// all say the same.
fn decide(policy: &Policy, request: &Request) -> String {
    let decision = policy.decide(request);
    assert_eq!(policy.slice(&request.principal).decide(request), decision, "sliced");
    assert_eq!(policy.replay(&request.canonical()).unwrap(), decision, "replayed");
    let again = Policy::from_canonical(policy.canonical_text()).unwrap();
    assert_eq!(again.hash(), policy.hash());
    assert_eq!(again.decide(request), decision, "from the canonical text");
    let words: Vec<&str> = match &decision.verdict {
        Verdict::Ask(groups) => groups.iter().map(|g| &*g.0).collect(),
        Verdict::Allow | Verdict::Refuse => decision.rules.iter().map(|r| &*r.0).collect(),
    };
    format!("{} {}", decision.verdict.as_str(), words.join(",")).trim_end().to_owned()
}

const T: &str = "crm/crm/public/customers";
const O: &str = "crm/crm/public/orders";

#[test]
fn the_rules_of_the_design_decide_as_it_says() {
    let policy = policy(DESIGN);
    let read = || access(Verb::Read, T, &[]);
    let write = |on| access(Verb::Write, on, &[]);
    let plain = Context::default;
    let table: &[(&str, Vec<Access>, Context, &str)] = &[
        // agent, accesses, context, verdict and rules (for ask: groups)
        ("support", vec![read()], plain(), "allow support-reads"),
        ("other", vec![read()], plain(), "refuse"),
        ("support", vec![access(Verb::Read, "erp/x", &[])], plain(), "refuse"),
        ("support", vec![write(O)], plain(), "ask dba"),
        ("support", vec![write(O)], approved(&["dba"]), "allow support-writes"),
        ("support", vec![write(O)], approved(&["others"]), "ask dba"),
        // No permit is Refuse, never Ask, though an approval would lift the forbid.
        ("other", vec![write(O)], plain(), "refuse writes-need-dba"),
        ("other", vec![write(O)], approved(&["dba"]), "refuse"),
        // One pair is refused: all is.
        ("support", vec![read(), write(O)], plain(), "ask dba"),
        ("support", vec![read(), access(Verb::Define, T, &[])], plain(), "refuse"),
        ("support", vec![write(O), access(Verb::Define, T, &[])], plain(), "refuse writes-need-dba"),
        // A request that touches nothing uses the connection, for which no rule here has a permit.
        ("support", vec![], plain(), "refuse"),
    ];
    for (agent, accesses, context, expect) in table {
        let request = asks(who(agent), accesses.clone(), context.clone());
        assert_eq!(decide(&policy, &request), *expect, "{agent} {accesses:?}");
    }
}

#[test]
fn a_refusal_says_which_rule_or_what_is_not_permitted() {
    let policy = policy(DESIGN);
    let decision = policy.decide(&asks(who("other"), vec![access(Verb::Read, T, &[])], Context::default()));
    assert_eq!(decision.message.as_deref(), Some("No rule permits `read` on `crm/crm/public/customers`."));
    assert_eq!(decision.failed, Some(("read", T.to_owned())));
    let decision =
        policy.decide(&asks(who("support"), vec![access(Verb::Write, T, &[])], Context::default()));
    assert_eq!(decision.message.as_deref(), Some("Writes wait for a dba."));
    assert_eq!(decision.needs(), [Group("dba".into())]);
}

#[test]
fn opaque_is_one_pair_more_and_needs_its_own_permit() {
    let opaque = |text: &str| {
        let request = Request {
            what: What::Action { accesses: vec![access(Verb::Read, T, &[])], opaque: Some(Opaque("a test")) },
            ..asks(who("support"), vec![], Context::default())
        };
        decide(&policy(text), &request)
    };
    assert_eq!(opaque(DESIGN), "refuse");
    let rule =
        "@id(\"opaque\") permit (principal, action == Action::\"opaque\", resource == Resource::\"crm\");";
    assert_eq!(opaque(&format!("{DESIGN}{rule}")), "allow opaque,support-reads");
}

#[test]
fn a_rule_that_names_a_column_knows_it_where_the_table_is_asked() {
    let policy = policy(
        r#"permit (principal, action == Action::"read", resource in Resource::"crm");
           @id("whole") forbid (principal, action == Action::"read", resource)
           when { resource.depth == 1 && Resource::"crm/t/ssn" in resource };"#,
    );
    for (column, expect) in [("ssn", Verdict::Refuse), ("name", Verdict::Allow)] {
        let read = access(Verb::Read, "crm/t", &[(column, Position::Output)]);
        let request = asks(who("support"), vec![read], Context::default());
        decide(&policy, &request);
        assert_eq!(policy.decide(&request).verdict, expect, "{column}");
    }
}

#[test]
fn columns_are_resources_below_their_table() {
    use Position::{Output, Predicate};
    let table_permit =
        "@id(\"t\") permit (principal, action, resource == Resource::\"crm/crm/public/customers\");";
    let name_permit =
        "@id(\"n\") permit (principal, action, resource == Resource::\"crm/crm/public/customers/name\");";
    let ssn_forbid =
        "@id(\"f\") forbid (principal, action, resource == Resource::\"crm/crm/public/customers/ssn\");";
    let by_name = "@id(\"f\") forbid (principal, action == Action::\"read\", resource) when { resource.name like \"ss*\" };";
    let by_use = "@id(\"f\") forbid (principal, action == Action::\"read\", resource == Resource::\"crm/crm/public/customers/ssn\") \
                  when { context.at.contains(\"predicate\") };";
    let lifted = "@id(\"f\") @needs(\"dba\") forbid (principal, action, resource == Resource::\"crm/crm/public/customers/ssn\") \
                  unless { [\"a\"].contains(\"b\") };";
    let by_approval = "@id(\"f\") @needs(\"dba\") forbid (principal, action == Action::\"read\", \
                       resource == Resource::\"crm/crm/public/customers/ssn\") unless { context.approvals.contains(\"dba\") };";
    assert!(Policy::parse(&[Source { path: "a.cedar".into(), text: lifted.into() }]).is_err());
    type Row<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, Position)], &'a str);
    let rows: &[Row<'_>] = &[
        (
            "a permit on the table covers its columns",
            &[table_permit],
            &[("name", Output), ("ssn", Output)],
            "allow t",
        ),
        (
            "a forbid on a column binds where it is used",
            &[table_permit, ssn_forbid],
            &[("ssn", Predicate)],
            "refuse f",
        ),
        ("and not where it is not", &[table_permit, ssn_forbid], &[("name", Output)], "allow t"),
        ("a forbid by a column's name binds", &[table_permit, by_name], &[("ssn", Output)], "refuse f"),
        ("a forbid by use does not bind another use", &[table_permit, by_use], &[("ssn", Output)], "allow t"),
        ("and binds its own", &[table_permit, by_use], &[("ssn", Output), ("ssn", Predicate)], "refuse f"),
        ("permits on all used columns do for the table", &[name_permit], &[("name", Output)], "allow n"),
        (
            "one column without a permit refuses",
            &[name_permit],
            &[("name", Output), ("ssn", Predicate)],
            "refuse",
        ),
        ("no column at all needs the table's permit", &[name_permit], &[], "refuse"),
        ("an approval lifts a column's forbid", &[table_permit, by_approval], &[("ssn", Output)], "ask dba"),
    ];
    for (what, rules, columns, expect) in rows {
        let request = asks(who("support"), vec![access(Verb::Read, T, columns)], Context::default());
        assert_eq!(decide(&policy(&rules.concat()), &request), *expect, "{what}");
    }
}

#[test]
fn a_rule_about_where_a_column_is_used_is_asked_of_each_column() {
    use Position::{Output, Predicate};
    let permit = "@id(\"p\") permit (principal, action, resource in Resource::\"crm\");";
    let by_use = "@id(\"f\") forbid (principal, action == Action::\"read\", resource in Resource::\"crm/crm/public/customers\") \
                  when { context.at.contains(\"predicate\") };";
    let by_equal = "@id(\"f\") forbid (principal, action == Action::\"read\", resource in Resource::\"crm\") when { context has at && [\"predicate\", \"join\"].containsAny(context.at) };";
    let spared = "@id(\"s\") permit (principal, action, resource in Resource::\"crm\") unless { context.at.contains(\"predicate\") };";
    type Row<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, Position)], &'a str);
    let rows: &[Row<'_>] = &[
        (
            "a forbid by use binds on a column that no rule names",
            &[permit, by_use],
            &[("ssn", Predicate)],
            "refuse f",
        ),
        ("and not another use", &[permit, by_use], &[("ssn", Output)], "allow p"),
        ("however it reads the use", &[permit, by_equal], &[("ssn", Predicate)], "refuse f"),
        ("", &[permit, by_equal], &[("ssn", Output)], "allow p"),
        ("a permit by use does not cover another", &[spared], &[("ssn", Predicate)], "refuse"),
        ("not even beside its own", &[spared], &[("name", Output), ("ssn", Predicate)], "refuse"),
        ("and permits its own", &[spared], &[("name", Output), ("ssn", Output)], "allow s"),
        ("and what uses no column", &[spared], &[], "allow s"),
        ("another permit covers all", &[spared, permit], &[("ssn", Predicate)], "allow p,s"),
    ];
    for (what, rules, columns, expect) in rows {
        let request = asks(who("support"), vec![access(Verb::Read, T, columns)], Context::default());
        assert_eq!(decide(&policy(&rules.concat()), &request), *expect, "{what}");
    }
    let reads_at = |text: &str| policy(text).rules[0].reads_at;
    assert!(reads_at(by_use) && reads_at(by_equal) && reads_at(spared));
    assert!(!reads_at(
        "permit (principal, action, resource) when { context.hour < 7 && context.kind == \"at\" };"
    ));
}

#[test]
fn an_evaluation_error_refuses_whatever_else_permits() {
    let permit = "@id(\"p\") permit (principal, action, resource);";
    for error in [
        "forbid (principal, action == Action::\"read\", resource) when { context.values + 9223372036854775807 > 0 };",
        "permit (principal, action == Action::\"read\", resource) when { context.values * 9223372036854775807 > 0 };",
        "@needs(\"dba\") forbid (principal, action == Action::\"read\", resource) \
         when { context.values + 9223372036854775807 > 0 } unless { context.approvals.contains(\"dba\") };",
        "forbid (principal, action == Action::\"read\", resource) when { context.values - resource.depth - 9223372036854775807 - 9 < 0 };",
    ] {
        let policy = policy(&format!("{permit}@id(\"e\") {error}"));
        let context = Context { values: 2, ..Context::default() };
        let request = asks(who("support"), vec![access(Verb::Read, T, &[])], context);
        assert_eq!(decide(&policy, &request), "refuse e", "{error}");
    }
}

#[test]
fn the_second_evaluation_must_allow_every_pair() {
    let rules = r#"
@id("p") permit (principal, action, resource);
@id("a") @needs("dba") forbid (principal, action == Action::"write", resource) unless { context.approvals.contains("dba") };
@id("b") @needs("sec, dba") forbid (principal, action == Action::"write", resource == Resource::"crm/crm/public/orders")
  unless { context.approvals.contains("sec") && context.approvals.contains("dba") };
@id("c") forbid (principal, action == Action::"write", resource == Resource::"crm/crm/public/never");
@id("d") @needs("dba") forbid (principal, action == Action::"write", resource == Resource::"crm/crm/public/night")
  when { context.hour < 6 } unless { context.approvals.contains("dba") && context.confined_hours };
"#;
    let rules = rules.replace(" && context.confined_hours", " && context.hour > 3");
    let policy = policy(&rules);
    let write = |on: &str| access(Verb::Write, on, &[]);
    let never = "crm/crm/public/never";
    let night = "crm/crm/public/night";
    let rows: &[(Vec<Access>, Context, &str)] = &[
        (vec![write(T)], Context::default(), "ask dba"),
        (vec![write(O)], Context::default(), "ask dba,sec"),
        (vec![write(O)], approved(&["dba"]), "ask sec"),
        (vec![write(O)], approved(&["sec", "dba"]), "allow p"),
        (vec![write(never)], Context::default(), "refuse a,c"),
        (vec![write(T), write(never)], approved(&["dba"]), "refuse c"),
        // Midnight in 1970: the approval alone would not lift it.
        (vec![write(night)], Context::default(), "refuse a,d"),
        (
            vec![write(night)],
            Context { now: WallTime(4 * 3_600_000_000_000), ..Context::default() },
            "ask dba",
        ),
    ];
    for (accesses, context, expect) in rows {
        let request = asks(who("support"), accesses.clone(), context.clone());
        assert_eq!(decide(&policy, &request), *expect, "{accesses:?}");
    }
}

#[test]
fn a_child_may_do_only_what_each_of_its_parents_may() {
    let policy = policy(DESIGN);
    let child = |agent: &str, parents: &[&str]| {
        let parents = parents.iter().map(|p| Parent { agent: (*p).into(), run: format!("run-{p}").into() });
        Principal { parents: parents.collect(), ..who(agent) }
    };
    let read = |who| decide(&policy, &asks(who, vec![access(Verb::Read, T, &[])], Context::default()));
    assert_eq!(read(child("support", &["support"])), "allow support-reads");
    assert_eq!(read(child("support", &["support", "other"])), "refuse");
    assert_eq!(read(child("other", &["support"])), "refuse");
}

#[test]
fn a_class_is_masked_unless_reveal_is_permitted() {
    let policy = policy(DESIGN);
    let classes = ["pii.email", "pii.ssn"].map(|c| Class::new(c).unwrap());
    let seen = |groups: &[&str]| {
        let who = Principal { human_groups: groups.iter().map(|g| Group((*g).into())).collect(), ..who("x") };
        let sliced = policy.slice(&who).reveals(&who, &path("crm"), &Context::default(), &classes);
        assert_eq!(policy.reveals(&who, &path("crm"), &Context::default(), &classes), sliced);
        sliced.into_iter().map(|(class, rule)| format!("{class} {rule}")).collect::<Vec<_>>()
    };
    assert_eq!(seen(&["support-leads"]), ["pii.email leads-see-email"]);
    assert_eq!(seen(&["others"]), [""; 0]);
}

#[test]
fn what_is_passed_over_without_an_evaluation_is_not_permitted() {
    let rules = [
        "permit (principal, action, resource);",
        "permit (principal, action, resource in Resource::\"crm\");",
        "permit (principal in Agent::\"support\", action == Action::\"reveal\", resource in Class::\"pii\");",
        "permit (principal, action == Action::\"reveal\", resource == Class::\"pii.ssn\") when { context.kind == \"SELECT\" };",
        "permit (principal, action in [Action::\"read\", Action::\"reveal\"], resource is Class) when { resource == Class::\"pii\" };",
        "permit (principal, action == Action::\"reveal\", resource); forbid (principal, action == Action::\"reveal\", resource in Class::\"pii\");",
        "forbid (principal, action == Action::\"reveal\", resource);",
        "permit (principal, action == Action::\"read\", resource);",
    ];
    let classes = ["pii", "pii.email", "pii.ssn", "secret.x"].map(|c| Class::new(c).unwrap());
    let (mut some, mut none) = (0, 0);
    for rule in rules {
        let policy = policy(rule);
        for agent in ["support", "other"] {
            for kind in ["SELECT", "UPDATE"] {
                let context = Context { kind: kind.into(), ..Context::default() };
                let seen = policy.reveals(&who(agent), &path("crm"), &context, &classes);
                for class in &classes {
                    let request = Request {
                        principal: who(agent),
                        resource: path("crm"),
                        what: What::Reveal(class.clone()),
                        context: context.clone(),
                    };
                    let allowed = policy.decide(&request).allowed();
                    assert_eq!(seen.contains_key(class), allowed, "{rule}: {agent}, {kind}, {class}");
                    *if allowed { &mut some } else { &mut none } += 1;
                }
            }
        }
    }
    assert!(some > 20 && none > 20, "{some} and {none}");
}

#[test]
fn a_class_stands_in_its_family() {
    let policy = policy(
        "@id(\"all-pii\") permit (principal, action == Action::\"reveal\", resource in Class::\"pii\");",
    );
    let classes = ["pii.email", "pii", "piix", "secret.x"].map(|c| Class::new(c).unwrap());
    let seen = policy.reveals(&who("x"), &path("crm"), &Context::default(), &classes);
    assert_eq!(seen.keys().map(Class::as_str).collect::<Vec<_>>(), ["pii", "pii.email"]);
}

#[test]
fn a_response_is_released_unless_a_rule_forbids_it() {
    let rules = r#"
@id("big") @needs("dba") forbid (principal, action == Action::"release", resource in Resource::"crm")
  when { context.rows > 1000 } unless { context.approvals.contains("dba") };
@id("ssn") forbid (principal, action == Action::"release", resource) when { context.classes.contains("pii.ssn") };
"#;
    let policy = policy(rules);
    let release = |rows, class: Option<&str>| {
        let classes = class.iter().filter_map(|c| Class::new(c)).collect();
        let context = Context { classes, ..Context::default() };
        let what = What::Release(Release { rows, bytes: 9, tripwires: 0 });
        decide(&policy, &Request { what, ..asks(who("x"), vec![], context) })
    };
    assert_eq!(release(1000, None), "allow");
    assert_eq!(release(1001, None), "ask dba");
    assert_eq!(release(1, Some("pii.email")), "allow");
    assert_eq!(release(1, Some("pii.ssn")), "refuse ssn");
    assert_eq!(release(1001, Some("pii.ssn")), "refuse big,ssn");
}

#[test]
fn releases_are_decided_only_where_a_rule_can_concern_them() {
    let check = |rules: &str, expect: bool| {
        let found = policy(rules).decides_releases(&who("support"), &path("crm"));
        assert_eq!(found, expect, "{rules}");
    };
    check(r#"permit (principal, action == Action::"read", resource);"#, false);
    check(r#"forbid (principal in Agent::"other", action == Action::"release", resource);"#, false);
    check(r#"forbid (principal, action == Action::"release", resource in Resource::"billing");"#, false);
    check(r#"forbid (principal, action == Action::"release", resource) when { context.rows > 9 };"#, true);
    check(r#"permit (principal in Agent::"support", action, resource);"#, true);
}

#[test]
fn delegating_and_spawning_need_their_own_permits() {
    let rules = r#"
@id("d") permit (principal, action == Action::"delegate", resource == Human::"bob") when { principal.human in Group::"support-leads" };
@id("s") permit (principal in Agent::"planner", action == Action::"spawn", resource == Agent::"worker");
"#;
    let policy = policy(rules);
    let ask =
        |agent, what| decide(&policy, &Request { what, ..asks(who(agent), vec![], Context::default()) });
    assert_eq!(ask("x", What::Delegate("bob".into())), "allow d");
    assert_eq!(ask("x", What::Delegate("eve".into())), "refuse");
    assert_eq!(ask("planner", What::Spawn("worker".into())), "allow s");
    assert_eq!(ask("worker", What::Spawn("worker".into())), "refuse");
}

#[test]
fn a_verdict_is_cacheable_if_no_rule_that_can_apply_reads_context() {
    let policy = policy(DESIGN);
    let depends = |agent, verb, on| {
        let request =
            asks(who(agent), vec![access(verb, on, &[("ssn", Position::Output)])], Context::default());
        assert_eq!(
            policy.slice(&request.principal).depends_on_context(&request),
            policy.depends_on_context(&request)
        );
        policy.depends_on_context(&request)
    };
    assert!(!depends("support", Verb::Read, T));
    assert!(depends("support", Verb::Write, T));
    assert!(!depends("support", Verb::Write, "erp/x"), "the rule's scope is another resource");
    // A verdict that is said not to depend on context does not change with it.
    let contexts =
        [Context::default(), approved(&["dba"]), Context { in_transaction: true, ..Context::default() }];
    for context in contexts {
        let request = asks(who("support"), vec![access(Verb::Read, T, &[])], context);
        assert_eq!(decide(&policy, &request), "allow support-reads");
    }
    // A rule on a column that reads context makes the table's verdict depend on it.
    let column = "forbid (principal, action == Action::\"read\", resource == Resource::\"crm/crm/public/customers/ssn\") \
                  when { context.hour > 3 };";
    let policy = self::policy(&format!("{DESIGN}{column}"));
    let request = |column| {
        asks(who("support"), vec![access(Verb::Read, T, &[(column, Position::Output)])], Context::default())
    };
    assert!(policy.depends_on_context(&request("ssn")));
    assert!(!policy.depends_on_context(&request("name")));
}

#[test]
fn a_run_only_reads_where_no_permit_can_concern_another_verb() {
    const CRM: &str =
        r#"permit (principal, action in [Action::"connect", Action::"read"], resource in Resource::"crm");"#;
    let check = |rules: &str, expect: bool| {
        let policy = policy(&format!("{CRM}{rules}"));
        let who = who("support");
        assert_eq!(policy.only_reads(&who, &path("crm")), expect, "{rules}");
        assert_eq!(policy.slice(&who).only_reads(&who, &path("crm")), expect, "sliced: {rules}");
    };
    check("", true);
    check(r#"permit (principal, action == Action::"reveal", resource == Class::"pii.email");"#, true);
    check(r#"forbid (principal, action == Action::"write", resource);"#, true);
    check(r#"permit (principal in Agent::"other", action == Action::"write", resource);"#, true);
    check(r#"permit (principal, action == Action::"write", resource in Resource::"billing");"#, true);
    check(r#"permit (principal, action == Action::"write", resource in Resource::"crmx");"#, true);
    check(
        r#"permit (principal, action == Action::"write", resource in Resource::"crm/crm/public/orders");"#,
        false,
    );
    check(r#"permit (principal, action == Action::"write", resource) when { context.hour == 3 };"#, false);
    check(r#"permit (principal, action == Action::"opaque", resource in Resource::"crm");"#, false);
    check(r#"permit (principal in Agent::"support", action, resource);"#, false);
    // What a parent may not do, the child may not.
    let writes = policy(&format!(
        r#"{CRM} permit (principal in Agent::"child", action == Action::"write", resource);"#
    ));
    let parents = vec![Parent { agent: "support".into(), run: "r0".into() }];
    assert!(!writes.only_reads(&who("child"), &path("crm")));
    assert!(writes.only_reads(&Principal { parents, ..who("child") }, &path("crm")));
}

#[test]
fn what_no_permit_can_concern_or_a_rule_forbids_whole_can_never_be_done() {
    let check = |rules: &str, expect: bool| {
        let policy = policy(rules);
        let who = who("support");
        let keep = path("tools/tools/keep");
        assert_eq!(policy.never(&who, Verb::Call, &keep), expect, "{rules}");
        assert_eq!(policy.slice(&who).never(&who, Verb::Call, &keep), expect, "sliced: {rules}");
    };
    let below =
        r#"permit (principal, action == Action::"call", resource in Resource::"tools/tools/keep/srv");"#;
    check("", true);
    check(below, false);
    check(r#"permit (principal, action, resource) when { context.hour == 3 };"#, false);
    check(r#"permit (principal, action == Action::"call", resource in Resource::"tools/tools/find");"#, true);
    check(r#"permit (principal in Agent::"other", action, resource);"#, true);
    for forbid in [
        r#"forbid (principal, action == Action::"call", resource in Resource::"tools/tools");"#,
        r#"forbid (principal in Agent::"support", action, resource);"#,
    ] {
        check(&format!("{below}{forbid}"), true);
    }
    for forbid in [
        r#"forbid (principal, action == Action::"call", resource == Resource::"tools/tools/keep");"#,
        r#"forbid (principal, action == Action::"call", resource in Resource::"tools/tools/keep/etc");"#,
        r#"forbid (principal in Agent::"other", action, resource);"#,
        r#"forbid (principal, action, resource) when { context.hour == 3 };"#,
        r#"@needs("leads") forbid (principal, action, resource) unless { context.approvals.contains("leads") };"#,
    ] {
        check(&format!("{below}{forbid}"), false);
    }
}

#[test]
fn a_request_beyond_the_limits_is_refused() {
    let policy = policy("@id(\"p\") permit (principal, action, resource);");
    let many = |n| asks(who("x"), vec![access(Verb::Read, T, &[]); n], Context::default());
    assert_eq!(policy.decide(&many(crate::limits::ACCESSES_MAX)).verdict, Verdict::Allow);
    assert_eq!(policy.decide(&many(crate::limits::ACCESSES_MAX + 1)).verdict, Verdict::Refuse);
    // Each is a resource of its own, as deep as one may lie.
    let deep = |n: usize| {
        let below = vec!["d"; crate::limits::DEPTH_MAX - 1].join("/");
        let accesses = (0..n).map(|i| access(Verb::Read, &format!("r{i}/{below}"), &[]));
        asks(who("x"), accesses.collect(), Context::default())
    };
    let most = crate::limits::ANCESTORS_MAX / crate::limits::DEPTH_MAX;
    assert_eq!(policy.decide(&deep(most)).verdict, Verdict::Allow);
    assert_eq!(policy.decide(&deep(most + 1)).verdict, Verdict::Refuse);
}

#[test]
fn a_slice_decides_as_the_whole_over_a_hundred_rules() {
    let mut text = String::from(STARTER);
    for i in 0..100 {
        let (agent, verb) = (i % 7, ["read", "write", "define", "execute"][i % 4]);
        let effect = if i % 5 == 0 { "forbid" } else { "permit" };
        let when = if i % 3 == 0 { format!("when {{ context.values > {} }}", i % 4) } else { String::new() };
        text += &format!(
            "@id(\"g{i}\") {effect} (principal in Agent::\"a{agent}\", action == Action::\"{verb}\", resource in Resource::\"crm/t{}\") {when};\n",
            i % 11
        );
    }
    let policy = policy(&text);
    let mut seen = std::collections::BTreeSet::new();
    for agent in 0..8 {
        for table in 0..11 {
            for verb in [Verb::Read, Verb::Write, Verb::Define, Verb::Execute, Verb::Opaque] {
                for values in 0..3 {
                    let context = Context { values, ..Context::default() };
                    let accesses = vec![access(verb, &format!("crm/t{table}"), &[("c", Position::Output)])];
                    let request = asks(who(&format!("a{agent}")), accesses, context);
                    let slice = policy.slice(&request.principal);
                    let decision = slice.decide(&request);
                    assert_eq!(decision, policy.decide(&request));
                    assert_eq!(slice.depends_on_context(&request), policy.depends_on_context(&request));
                    seen.insert(decision.verdict.as_str());
                }
            }
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["allow", "ask", "refuse"]);
}

#[test]
fn names_cannot_forge_structure() {
    let policy = policy(DESIGN);
    let evil = "support\nagent support";
    let request = asks(who(evil), vec![access(Verb::Read, T, &[])], Context::default());
    assert_eq!(decide(&policy, &request), "refuse");
    assert!(!request.canonical().contains("\nagent support\n"));
    // A table whose name has a slash is not the column of another.
    let table = path("crm").join("crm").join("public").join("customers/ssn");
    let forbid =
        "@id(\"f\") forbid (principal, action, resource == Resource::\"crm/crm/public/customers/ssn\");";
    let policy = self::policy(&format!("{DESIGN}{forbid}"));
    let request = asks(
        who("support"),
        vec![Access { verb: Verb::Read, on: table, columns: vec![] }],
        Context::default(),
    );
    assert_eq!(decide(&policy, &request), "allow support-reads");
}

#[test]
fn rules_come_out_sorted_and_once() {
    let policy = policy(
        "@id(\"z\") permit (principal, action, resource); @id(\"a\") permit (principal, action, resource);",
    );
    let request =
        asks(who("x"), vec![access(Verb::Read, T, &[]), access(Verb::Read, O, &[])], Context::default());
    assert_eq!(policy.decide(&request).rules, [RuleId("a".into()), RuleId("z".into())]);
}
