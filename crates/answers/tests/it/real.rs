//! A ledger that the gateway's own ledger wrote: keys, reels, fingerprints, filters, proofs, from end to end.

use std::path::PathBuf;

use answers::{
    Answer, AuditorProber, Cannot, Chain, Desk, Holder, Offline, Reels, Scope, StoreReels, chain,
    export_bundle, verify,
};
use index::Follower;
use ledger::keys::{AuditorSecret, GatewayKey, RunKeys};
use ledger::{
    Config, Digest, Draft, Ended, Kind, Ledger, Map, Name, PayloadPlain, RealDisk, SystemClock, SystemRandom,
};
use mask::FilterBuilder;
use seal::note::VerifierKey;
use seal::verify::{Options, verify_bundle};
use vocab::{Class, Durability, PolicyHash, RunId, Verb, Verdict, WallTime};

const SEEN: &[u8] = b"123-45-6789";
const RELEASED: &[u8] = b"grace.hopper@navy.example";
const NEVER: &[u8] = b"987-65-4320";

/// A directory of its own, with a ledger that ended.
struct World {
    root: PathBuf,
    run: RunId,
    auditor: AuditorSecret,
    verifier_key: VerifierKey,
}

fn name(text: &str) -> Name {
    Name::configured(text).unwrap()
}

fn write(label: &str) -> World {
    let root = std::env::temp_dir().join(format!("tacho-real-{label}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&root));
    std::fs::create_dir_all(&root).unwrap();
    let auditor = AuditorSecret::generate(&SystemRandom::new()).unwrap();
    let mut config = Config::new(root.join("data"), root.join("keys"), "0.1.0");
    config.origin = Some("gateway.example/real".to_owned());
    config.segment_bytes = 4 << 20;
    config.auditors = vec![auditor.public()];
    let (ledger, _) = Ledger::open(config, RealDisk, SystemClock::new(), SystemRandom::new()).unwrap();
    let catalog = Draft::new(Kind::Catalog)
        .put("resource", name("crm"))
        .put("hash", Digest([5; 32]))
        .put("relations", 3u64)
        .put("server", name("PostgreSQL 15.14"));
    drop(ledger.append(catalog).unwrap().wait().unwrap());
    let open = Draft::new(Kind::Open)
        .put("human", name("ada"))
        .put("by", name("ada"))
        .put("agent", name("support"))
        .put("confined", true)
        .put("argv", vec![name("psql")])
        .put("uid", 1000u64);
    let (run, receipt) = ledger.open_run(open).unwrap();
    drop(receipt.wait().unwrap());
    act(&ledger, run);
    drop(ledger.close_run(run, Ended::Exited, Some(0)).unwrap().wait().unwrap());
    ledger.shutdown("asked").unwrap();
    let mut follower = Follower::new(&ledger::read::Store::open(&root.join("data")).unwrap());
    follower.refresh().unwrap();
    let verifier_key = VerifierKey::parse(&follower.index().genesis().unwrap().what.key).unwrap();
    World { root, run, auditor, verifier_key }
}

/// Connects and reads: the gateway saw one SSN, masked it, and released an address.
fn act(ledger: &Ledger, run: RunId) {
    let connect = Draft::new(Kind::Connect)
        .run(run)
        .put("resource", name("crm"))
        .put("client", "127.0.0.1:1")
        .put("upstream", "127.0.0.1:5432")
        .put("upstream_id", 1u64)
        .put("tls_client", false)
        .put("tls_upstream", true)
        .put("role", name("app"))
        .put("server", name("PostgreSQL 15.14"))
        .put("options", Map::new());
    let connect = ledger.append(connect).unwrap();
    let session = vocab::SessionId(connect.seq().0);
    drop(connect.wait().unwrap());
    let (_, asked) = ledger.commitment(b"SELECT name, ssn FROM customers").unwrap();
    let (opening, sending) = ledger.commitment(b"SELECT name, 'x' FROM customers").unwrap();
    let touch = Map::new()
        .put("verb", Verb::Read)
        .put("on", "crm/crm/public/customers")
        .put("cols", vec!["name", "ssn"])
        .put("at", vec!["output", "output"]);
    let intent = Draft::new(Kind::Intent)
        .run(run)
        .session(session)
        .put("via", "query")
        .put("verbs", vec![Verb::Read])
        .put("touches", vec![touch])
        .put("functions", Vec::<Name>::new())
        .put("statement", "SELECT name, ssn FROM customers")
        .put("asked", asked)
        .put("sending", sending)
        .put("params", Vec::<Map>::new())
        .put("verdict", Verdict::Allow)
        .put("rules", vec!["support-reads"])
        .put("policy", PolicyHash([3; 32]))
        .put("request", Digest([4; 32]))
        .put("governed", Vec::<Map>::new())
        .put("prints", Vec::<Map>::new())
        .put("tx", "idle")
        .put("durability", Durability::Sync);
    let intent = ledger.append(intent).unwrap();
    let of = intent.seq();
    drop(intent.wait().unwrap());
    let mut filter = FilterBuilder::new();
    filter.cell(&ledger.filter_key(), RELEASED);
    let exposure = Map::new()
        .put("on", "crm/crm/public/customers/ssn")
        .put("class", Class::new("pii.ssn").unwrap())
        .put("at", "output")
        .put("what", "masked")
        .put("by", "detector")
        .put("rows", 1u64)
        .put("cells", 1u64)
        .put("prints", vec![ledger.print(&Class::new("pii.ssn").unwrap(), SEEN)]);
    let column = Map::new().put("name", "mail").put("type", 25u64);
    let fields = vec![("mail", 25u64, 0u64)];
    let payload = Map::new().put("fields", fields).put("rows", vec![vec!["grace.hopper@navy.example"]]);
    let outcome = Draft::new(Kind::Outcome)
        .run(run)
        .session(session)
        .of(of)
        .put("result", "ok")
        .put("state", "final")
        .put("tag", "SELECT 1")
        .put("rows", 1u64)
        .put("bytes", 25u64)
        .put("columns", vec![column])
        .put("exposures", vec![exposure])
        .put("tripwires", Vec::<Map>::new())
        .put("filter", filter.take())
        .put("coverage", "complete")
        .payload(opening.into_payload("rows", payload.clone()))
        .payload(PayloadPlain::new("rows", payload));
    drop(ledger.append(outcome).unwrap().wait().unwrap());
}

impl World {
    /// Asks at a desk over the directory, as one who holds this key.
    fn ask<T>(&self, holder: Option<Holder<'_>>, question: impl FnOnce(&Desk<'_>) -> T) -> T {
        let store = ledger::read::Store::open(&self.root.join("data")).unwrap();
        let mut follower = Follower::new(&store);
        follower.refresh().unwrap();
        let options = Options { anchor: Some(self.verifier_key.clone()), ..Options::default() };
        let verdict = verify(&self.root.join("data"), &options, &mut |_, _| {}).unwrap();
        assert!(verdict.is_ok(), "{verdict:?}");
        let keys = RunKeys::load(&RealDisk, &self.root.join("keys")).unwrap();
        let held =
            holder.map(|holder| StoreReels { store: &store, follower: &follower, keys: &keys, holder });
        let reels: &dyn Reels = held.as_ref().map_or(&answers::Sealed, |held| held);
        let chain: Chain = chain(&verdict, &[]);
        question(&Desk {
            index: follower.index(),
            chain: &chain,
            now: WallTime(2_000_000_000_000_000_000),
            who: "grace",
            watch: &Offline,
            reels,
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.root));
    }
}

#[test]
fn what_the_ledger_writes_is_understood_whole_and_proves_the_claim() {
    let world = write("claim");
    world.ask(None, |desk| {
        assert!(desk.index.flawed().is_empty(), "{:?}", desk.index.flawed());
        assert!(desk.index.unknown().is_empty(), "{:?}", desk.index.unknown());
        let exposed = desk.exposed(&Scope::Run(&world.run.to_string())).unwrap();
        assert_eq!((exposed.answer.as_str(), exposed.exit_code()), ("proved", 0), "{:?}", exposed.prevents);
        assert_eq!(exposed.proof.key.as_deref(), Some("anchored"));
        assert!(!exposed.proof.watched, "offline, and the answer says so");
    });
}

#[test]
fn both_keys_open_the_reel_and_nobody_else_does() {
    let world = write("reel");
    let gateway = GatewayKey::load(&RealDisk, &world.root.join("keys")).unwrap();
    let run = world.run.to_string();
    for holder in [Holder::Gateway(&gateway), Holder::Auditor(&world.auditor)] {
        let replay = world.ask(Some(holder), |desk| desk.replay(&run, None, None)).unwrap();
        assert!(replay.to_text().contains("grace.hopper@navy.example"));
        assert_eq!(replay.steps[0].rows.len(), 2);
    }
    let stranger = AuditorSecret::generate(&SystemRandom::new()).unwrap();
    for holder in [None, Some(Holder::Auditor(&stranger))] {
        let error = world.ask(holder, |desk| desk.replay(&run, None, None)).unwrap_err();
        assert!(matches!(error, Cannot::NoKey(_)) && error.exit_code() == 3, "{error:?}");
    }
}

#[test]
fn an_auditor_finds_a_value_and_proves_that_another_was_not_there() {
    // A filter says maybe by chance, one time in 256, of what it does not have: not four times in a row.
    let mut said = Vec::new();
    for n in 0..4 {
        let world = write(&format!("value-{n}"));
        let ask = |value: &'static [u8], auditor: &AuditorSecret| {
            world.ask(None, |desk| {
                let prober = AuditorProber::new(auditor, "gateway.example/real", desk.index, value);
                desk.exposed_value(value, &prober).unwrap()
            })
        };
        assert_eq!(ask(RELEASED, &world.auditor).answer, "maybe");
        let stranger = AuditorSecret::generate(&SystemRandom::new()).unwrap();
        let unknown = ask(SEEN, &stranger);
        assert_eq!((unknown.answer.as_str(), unknown.exit_code()), ("not-found", 3));
        let why = "not sealed to this auditor";
        assert!(unknown.prevents.iter().any(|p| p.why.contains(why)), "{unknown:?}");
        let (seen, never) = (ask(SEEN, &world.auditor), ask(NEVER, &world.auditor));
        assert_eq!(seen.seen.len(), 1, "{seen:?}");
        let other = ask(b" 123456789 ", &world.auditor).answer;
        let answers = (seen.answer, other, never.answer.clone(), never.exit_code());
        if answers == ("masked".to_owned(), "masked".to_owned(), "no".to_owned(), 0) {
            return;
        }
        said.push(answers);
    }
    panic!("{said:?}");
}

#[test]
fn its_bundle_verifies_against_the_gateways_key() {
    let world = write("bundle");
    let store = ledger::read::Store::open(&world.root.join("data")).unwrap();
    let mut bytes = Vec::new();
    let exported = export_bundle(&store, world.run, None, &[], &mut bytes).unwrap();
    assert!(exported.complete && exported.payloads == 2, "{exported:?}");
    let options = Options { anchor: Some(world.verifier_key.clone()), ..Options::default() };
    let report = verify_bundle(&bytes, &options);
    assert!(report.is_ok(), "{report:?}");
}
