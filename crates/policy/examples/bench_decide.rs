//! What a decision costs under 50 rules. `cargo run --release -p policy --example bench_decide`

use std::time::Instant;

use policy::{Context, Policy, Principal, Request, Source, What};
use vocab::{Access, ColumnUse, Position, ResourcePath, Verb};

fn main() {
    let policy = match Policy::parse(&[Source { path: "bench.cedar".into(), text: rules() }]) {
        Ok(policy) => policy,
        Err(errors) => return errors.iter().for_each(|e| eprintln!("{e}")),
    };
    let request = request();
    rate("slice", 200, || drop(policy.slice(&request.principal)));
    let slice = policy.slice(&request.principal);
    println!("verdict: {:?}", slice.decide(&request).verdict);
    rate("decide, whole policy", 2_000, || drop(policy.decide(&request)));
    rate("decide, slice", 2_000, || drop(slice.decide(&request)));
    rate("canonical text", 10_000, || drop(request.canonical()));
    rate("depends on context", 10_000, || {
        std::hint::black_box(slice.depends_on_context(&request));
    });
}

/// Fifty rules over five agents and ten schemas, half of them with conditions.
fn rules() -> String {
    let rule = |i: usize| {
        let (effect, agent) = (if i.is_multiple_of(10) { "forbid" } else { "permit" }, i % 5);
        let verb = ["read", "write", "define", "execute", "connect"][i / 5 % 5];
        let when =
            if i.is_multiple_of(2) { "when { context.values < 100 && context.hour >= 0 }" } else { "" };
        format!(
            "@id(\"r{i}\") {effect} (principal in Agent::\"a{agent}\", action == Action::\"{verb}\", resource in Resource::\"crm/crm/s{}\") {when};\n",
            i % 10
        )
    };
    (0..50).map(rule).collect()
}

/// Two tables with eight columns each.
fn request() -> Request {
    let schema = ResourcePath::root("crm").join("crm").join("s1");
    let columns = |n| ColumnUse { column: format!("c{n}").into(), position: Position::Output };
    let access =
        |table| Access { verb: Verb::Read, on: schema.join(table), columns: (0..8).map(columns).collect() };
    let principal = Principal {
        human: "ann".into(),
        human_groups: Vec::new(),
        agent: "a1".into(),
        run: "r".into(),
        confined: true,
        parents: Vec::new(),
    };
    let what = What::Action { accesses: vec![access("orders"), access("customers")], opaque: None };
    Request { principal, resource: ResourcePath::root("crm"), what, context: Context::default() }
}

/// Prints the best of five rounds.
fn rate(name: &str, times: u32, mut work: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        (0..times).for_each(|_| work());
        best = best.min(start.elapsed().as_secs_f64() / f64::from(times));
    }
    println!("{name:24} {:8.1} us", best * 1e6);
}
