//! What a statement costs before a byte of it goes upstream: parsed, resolved, decided and rewritten when its text is
//! new; looked up when it is not. One thread, no wire. Part of `cargo xtask bench`.
//!
//! `first_sight PORT DATABASE ROLE PASSWORD POLICY_FILE QUERY_FILE`: `{n}` in the query is another number each time. The
//! catalog is that of the database, with `public.pgbench_tellers.filler` governed.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gate::{Gate, Who};
use ledger::{Config, Ledger, RealDisk, SystemClock, SystemRandom};
use mask::Detectors;
use policy::{Policy, Principal, Source};
use relay::config::{Address, ColumnMask, PostgresResource, Reel, Tripwire, Upstream, UpstreamTls};
use relay::postgres::Resource;
use relay::postgres::catalog::Catalog;
use relay::postgres::plan::{Plan, Plans, SessionNames};
use relay::runs::Registry;
use relay::tls;
use relay::vault::{Secret, Vault};
use sql::Names;
use vocab::{Class, Durability, MaskKind, ResourcePath, RunId, SessionId};

type Error = Box<dyn std::error::Error>;

const LOOKUPS: usize = 100_000;
/// As many as a session keeps.
const CACHED: usize = relay::limits::ANALYSES_MAX;

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [port, database, role, password, policy, query] = &words[..] else {
        return Err("usage: first_sight PORT DATABASE ROLE PASSWORD POLICY_FILE QUERY_FILE".into());
    };
    let dir = std::env::temp_dir().join(format!("first_sight-{}", std::process::id()));
    let measured = (|| {
        let upstream = Upstream {
            address: Address::Tcp { host: "127.0.0.1".to_owned(), port: port.parse()? },
            database: database.clone(),
            user: role.clone(),
            tls: UpstreamTls::Disable,
            client_certificate: None,
        };
        let resource = resource(&dir, upstream, password, &std::fs::read_to_string(policy)?)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let catalog = runtime.block_on(Catalog::fetch(&resource))?;
        measure(&resource, &catalog, &std::fs::read_to_string(query)?)
    })();
    std::fs::remove_dir_all(&dir)?;
    measured
}

fn measure(resource: &Resource, catalog: &Catalog, query: &str) -> Result<(), Error> {
    let who = who(resource);
    let names = Names {
        search_path: catalog.search_path.clone(),
        role: catalog.role.clone(),
        database: resource.config.upstream.database.clone(),
        ..Names::default()
    };
    let pins = resource.pins(&who);
    let texts: Vec<String> = (0..CACHED).map(|n| query.replace("{n}", &n.to_string())).collect();
    // As a session does it, one after the other; the plans stay.
    let mut made = Vec::with_capacity(CACHED);
    let begun = on_processor()?;
    for text in &texts {
        let said = (sql::parse(text)?.pop(), Default::default());
        let names = SessionNames { names: &names, behind: &|_| None };
        made.push(Plan::make(resource, &who, pins, catalog, names, false, said));
    }
    let first_us = micros(on_processor()? - begun, CACHED);
    let begun = on_processor()?;
    for text in &texts {
        black_box(sql::parse(text)?);
    }
    let parse_us = micros(on_processor()? - begun, CACHED);
    if made.iter().any(|plan| plan.refuse.is_some() || plan.subject.sent().is_none()) {
        return Err("the query is refused, or not rewritten: it is not what should be measured".into());
    }
    let plans: Plans =
        texts.iter().map(|text| text.as_str().into()).zip(made.into_iter().map(Arc::new)).collect();
    let text = query.replace("{n}", "7");
    let begun = on_processor()?;
    for _ in 0..LOOKUPS {
        let plan = plans.get(black_box(&*text)).ok_or("the cache lost a text")?;
        let context = || plan.context(false, &[]);
        black_box(plan.verdict(&resource.gate, &who, context, &BTreeSet::new()));
    }
    let again_us = micros(on_processor()? - begun, LOOKUPS);
    println!("{} bytes", text.len());
    println!("figure parse-us {parse_us:.1}");
    println!("figure plan-us {:.1}", first_us - parse_us);
    println!("figure first-us {first_us:.1}");
    println!("figure again-us {again_us:.3}");
    Ok(())
}

/// How long this thread was on a processor: a busy machine counts no more than an idle one.
fn on_processor() -> Result<Duration, Error> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = stat.split(' ').next().ok_or("schedstat")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}

fn micros(all: Duration, count: usize) -> f64 {
    all.as_secs_f64() * 1e6 / count as f64
}

fn resource(dir: &Path, upstream: Upstream, password: &str, policy: &str) -> Result<Resource, Error> {
    let mut config = Config::new(dir.join("ledger"), dir.join("keys"), "bench");
    config.durability = Durability::Os;
    let (ledger, _) = Ledger::open(config, RealDisk, SystemClock::new(), SystemRandom::new())?;
    let detectors = Arc::new(Detectors::new());
    let source = Source { path: "rules.cedar".to_owned(), text: policy.to_owned() };
    let policy = Policy::parse(&[source]).map_err(|errors| format!("{errors:?}"))?;
    let gate = Gate::new(ledger.clone(), detectors.clone(), policy)?;
    let (certificate, key) = tls::own_certificate(&dir.join("keys"))?;
    let class = Class::new("pii.notes").ok_or("a class")?;
    let config = PostgresResource {
        name: "crm".into(),
        listen: ([127, 0, 0, 1], 0).into(),
        upstream,
        vault: Vault::Held(Secret::new(password.as_bytes().to_vec())),
        masks: vec![ColumnMask {
            schema: "public".to_owned(),
            table: "pgbench_tellers".to_owned(),
            column: "filler".to_owned(),
            class,
            kind: MaskKind::Redact,
        }],
        vouch: Vec::new(),
        vouch_extensions: Vec::new(),
        reel: Reel::None,
        durability: Durability::Os,
        read_only: true,
        connections_per_run: 1,
        statement_timeout: None,
        lock_timeout: None,
        idle_in_transaction_timeout: None,
        approval_timeout: Duration::from_secs(1),
        hold_in_transaction: Duration::from_secs(1),
        tripwire: Tripwire::Mask,
        client_tls: None,
    };
    Ok(Resource::new(config, gate, Registry::new(ledger, detectors), (&certificate, &key))?)
}

fn who(resource: &Resource) -> Who {
    Who {
        run: RunId([1; 16]),
        session: SessionId(1),
        human: "ada".into(),
        by: "ada".into(),
        involved: std::sync::Arc::from([]),
        agent: "bench".into(),
        task: None,
        resource: "crm".into(),
        durability: Durability::Os,
        principal: Principal {
            human: "ada".into(),
            human_groups: Vec::new(),
            agent: "bench".into(),
            run: "1".into(),
            confined: true,
            parents: Vec::new(),
        },
        root: ResourcePath::root(&resource.config.name),
    }
}
