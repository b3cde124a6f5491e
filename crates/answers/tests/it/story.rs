//! Ledgers for tests, record by record, with bodies as RECORDS.md has them. Shared with the console's tests.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;

use seal::cbor::Value;
use seal::testkit::{Items, Writer, map, text};

pub const ORIGIN: &str = "gateway.example/1";
pub const A: [u8; 16] = [0xa1; 16];
pub const B: [u8; 16] = [0xb2; 16];
pub const CUSTOMERS: &str = "crm/crm/public/customers";

pub type Field = (&'static str, Value);

/// A ledger under construction.
pub struct Story {
    writer: Writer,
    /// What the writer cannot say by itself: bodies of `open`, other sessions.
    bodies: BTreeMap<u64, Value>,
    sessions: BTreeMap<u64, Option<u64>>,
}

impl Story {
    /// Genesis, start, policy, epoch and a catalog of `crm`.
    pub fn new() -> Story {
        let mut story = Story {
            writer: Writer::new(ORIGIN, 256 << 10),
            bodies: BTreeMap::new(),
            sessions: BTreeMap::new(),
        };
        story.start();
        let policy = [
            ("hash", bytes32(3)),
            ("text", text("permit (principal, action, resource);")),
            ("schema", bytes32(4)),
        ];
        story.writer.gateway("policy", &map(&policy));
        story.epoch(1);
        story.catalog();
        story
    }

    /// The same, and run `A` with its session on `crm`.
    pub fn with_run() -> Story {
        let mut story = Story::new();
        story.open(A, &[]);
        story.connect(A);
        story
    }

    pub fn start(&mut self) -> u64 {
        let body = [
            ("version", text("0.1.0")),
            ("config", bytes32(1)),
            ("policy", bytes32(3)),
            ("durability", text("sync")),
            ("recovered", Value::Uint(0)),
            ("torn", Value::Uint(0)),
        ];
        self.writer.gateway("start", &map(&body))
    }

    pub fn epoch(&mut self, number: u64) -> u64 {
        let sealed = Value::Array(vec![Value::Bytes(vec![number as u8; 80])]);
        let auditors = Value::Array(vec![Value::Bytes(vec![9; 8])]);
        self.writer.gateway(
            "epoch",
            &map(&[("epoch", Value::Uint(number)), ("sealed", sealed), ("auditors", auditors)]),
        )
    }

    pub fn catalog(&mut self) -> u64 {
        let body = [
            ("resource", text("crm")),
            ("hash", bytes32(5)),
            ("relations", Value::Uint(12)),
            ("server", text("PostgreSQL 15.14")),
        ];
        self.writer.gateway("catalog", &map(&body))
    }

    pub fn gateway(&mut self, kind: &str, fields: &[Field]) -> u64 {
        self.writer.gateway(kind, &map(fields))
    }

    pub fn open(&mut self, run: [u8; 16], with: &[Field]) -> u64 {
        let seq = self.writer.open(run);
        let body = [
            ("human", text("ada")),
            ("by", text("ada")),
            ("agent", text("support")),
            ("agent_version", text("2.1")),
            ("task", text("refund of ticket 4711")),
            ("confined", Value::Bool(true)),
            ("argv", texts(&["python", "agent.py"])),
            ("uid", Value::Uint(1000)),
        ];
        self.bodies.insert(seq, over(&body, with));
        seq
    }

    pub fn connect(&mut self, run: [u8; 16]) -> u64 {
        let body = [
            ("resource", text("crm")),
            ("client", text("127.0.0.1:50422")),
            ("upstream", text("db.internal:5432")),
            ("upstream_id", Value::Uint(4242)),
            ("tls_client", Value::Bool(false)),
            ("tls_upstream", Value::Bool(true)),
            ("role", text("app")),
            ("server", text("PostgreSQL 15.14")),
            ("options", map(&[("application_name", text("psql"))])),
        ];
        self.writer.record("connect", Some(run), None, &map(&body), &[])
    }

    /// A connection to a service over HTTP; its session has the number of its record.
    pub fn connect_to(&mut self, run: [u8; 16], resource: &str, kind: &str) -> u64 {
        let body = [
            ("resource", text(resource)),
            ("client", text("127.0.0.1:50423")),
            ("upstream", text(&format!("{resource}.internal:443"))),
            ("upstream_id", Value::Uint(0)),
            ("tls_client", Value::Bool(false)),
            ("tls_upstream", Value::Bool(true)),
            ("role", text("")),
            ("server", text("")),
            ("options", map(&[("kind", text(kind))])),
        ];
        let seq = self.writer.record("connect", Some(run), None, &map(&body), &[]);
        self.in_session(seq, Some(seq));
        seq
    }

    pub fn disconnect(&mut self, run: [u8; 16], connect: u64) -> u64 {
        let body = [
            ("why", text("closed by client")),
            ("client_bytes", Value::Uint(900)),
            ("upstream_bytes", Value::Uint(1200)),
        ];
        self.writer.record("disconnect", Some(run), Some(connect), &map(&body), &[])
    }

    pub fn close(&mut self, run: [u8; 16]) -> u64 {
        self.writer.close(run)
    }

    /// That the run's payload key was destroyed.
    pub fn erase(&mut self, run: [u8; 16]) -> u64 {
        let body =
            [("subject", Value::Bytes(run.to_vec())), ("who", text("olga")), ("why", text("request 4711"))];
        self.gateway("tombstone", &body)
    }

    /// Any record of a run.
    pub fn record(&mut self, kind: &str, run: [u8; 16], of: Option<u64>, body: &Value) -> u64 {
        self.writer.record(kind, Some(run), of, body, &[])
    }

    pub fn intent(&mut self, run: [u8; 16], with: &[Field]) -> u64 {
        self.writer.record("intent", Some(run), None, &request(with), &[])
    }

    pub fn refusal(&mut self, run: [u8; 16], of: Option<u64>, with: &[Field]) -> u64 {
        let refusal = [
            ("verdict", text("refuse")),
            ("code", text("42501")),
            ("message", text("refused by rule no-drop")),
            ("rules", texts(&["no-drop"])),
        ];
        self.writer.record("refusal", Some(run), of, &over_value(request(&refusal), with), &[])
    }

    pub fn ask(&mut self, run: [u8; 16], with: &[Field]) -> u64 {
        let ask = [
            ("verdict", text("ask")),
            ("ask", Value::Bytes(vec![0x77; 16])),
            ("groups", texts(&["dba"])),
            ("rules", texts(&["writes-need-dba"])),
            ("expires", Value::Uint(1_790_000_120_000_000_000)),
        ];
        self.writer.record("ask", Some(run), None, &over_value(request(&ask), with), &[])
    }

    pub fn approval(&mut self, run: [u8; 16], ask: u64, with: &[Field]) -> u64 {
        let body = [
            ("ask", Value::Bytes(vec![0x77; 16])),
            ("verdict", text("granted")),
            ("by", text("grace")),
            ("form", text("once")),
        ];
        self.writer.record("approval", Some(run), Some(ask), &over(&body, with), &[])
    }

    /// The intent that follows a granted ask.
    pub fn intent_of(&mut self, run: [u8; 16], ask: u64, with: &[Field]) -> u64 {
        self.writer.record("intent", Some(run), Some(ask), &request(with), &[])
    }

    pub fn outcome(&mut self, run: [u8; 16], intent: u64, with: &[Field]) -> u64 {
        self.outcome_with(run, intent, with, &[])
    }

    pub fn outcome_with(&mut self, run: [u8; 16], intent: u64, with: &[Field], payloads: &[&[u8]]) -> u64 {
        let body = [
            ("result", text("ok")),
            ("state", text("final")),
            ("tag", text("SELECT 2")),
            ("rows", Value::Uint(2)),
            ("bytes", Value::Uint(120)),
            ("exposures", Value::Array(vec![])),
            ("tripwires", Value::Array(vec![])),
            ("coverage", text("complete")),
        ];
        self.writer.record("outcome", Some(run), Some(intent), &over(&body, with), payloads)
    }

    pub fn chunk(&mut self, run: [u8; 16], intent: u64, n: u64, with: &[Field]) -> u64 {
        self.chunk_with(run, intent, n, with, &[])
    }

    pub fn chunk_with(
        &mut self,
        run: [u8; 16],
        intent: u64,
        n: u64,
        with: &[Field],
        payloads: &[&[u8]],
    ) -> u64 {
        let body = [
            ("n", Value::Uint(n)),
            ("to", text("client")),
            ("rows", Value::Uint(1000)),
            ("bytes", Value::Uint(65536)),
            ("exposures", Value::Array(vec![])),
            ("tripwires", Value::Array(vec![])),
        ];
        self.writer.record("chunk", Some(run), Some(intent), &over(&body, with), payloads)
    }

    pub fn checkpoint(&mut self) {
        self.writer.checkpoint();
    }

    /// Begins a batch, as each group of records does.
    pub fn batch(&mut self) {
        self.writer.batch();
    }

    /// Says of record `seq` that it is of that session, or of none.
    pub fn in_session(&mut self, seq: u64, session: Option<u64>) {
        self.sessions.insert(seq, session);
    }

    pub fn rotate(&mut self, generation: u8) {
        self.writer.rotate(generation);
    }

    /// The segments, with everything consistent and signed.
    pub fn segments(self) -> Vec<Vec<u8>> {
        let segments = self.writer.finish();
        let mut items = Items::parse(&segments);
        let (bodies, sessions) = (self.bodies, self.sessions);
        for (seq, body) in bodies {
            let at = items.find(0, |item| is_seq(item, seq));
            items.edit(at, |fields| set(fields, "body", body));
        }
        for (seq, session) in sessions {
            let at = items.find(0, |item| is_seq(item, seq));
            items.edit(at, |fields| {
                fields.retain(|(key, _)| key != "sess");
                fields.extend(session.map(|s| ("sess".to_owned(), Value::Uint(s))));
            });
        }
        items.relink();
        items.resign(|_| Some(Writer::signer(ORIGIN, 0)));
        items.render()
    }
}

fn is_seq(item: &seal::testkit::Item, seq: u64) -> bool {
    item.value().is_some_and(|value| value.get("seq").and_then(Value::as_u64) == Some(seq))
}

fn set(fields: &mut Vec<(String, Value)>, key: &str, value: Value) {
    fields.retain(|(k, _)| k != key);
    fields.push((key.to_owned(), value));
}

/// A request's fields, as `intent` has them: a read of two columns of `customers`, one of them masked.
pub fn request(with: &[Field]) -> Value {
    let body = [
        ("via", text("query")),
        ("verbs", texts(&["read"])),
        ("touches", Value::Array(vec![touch("read", CUSTOMERS, &[("name", "output"), ("ssn", "output")])])),
        ("functions", Value::Array(vec![])),
        ("statement", text("SELECT name, ssn FROM customers WHERE id = $1")),
        ("asked", bytes32(6)),
        ("sending", bytes32(7)),
        ("params", Value::Array(vec![])),
        ("verdict", text("allow")),
        ("rules", texts(&["support-reads"])),
        ("policy", bytes32(3)),
        ("request", bytes32(8)),
        ("governed", Value::Array(vec![])),
        ("prints", Value::Array(vec![])),
        ("tx", text("idle")),
        ("durability", text("sync")),
    ];
    over(&body, with)
}

pub fn touch(verb: &str, on: &str, columns: &[(&str, &str)]) -> Value {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let at: Vec<&str> = columns.iter().map(|(_, at)| *at).collect();
    map(&[("verb", text(verb)), ("on", text(on)), ("cols", texts(&names)), ("at", texts(&at))])
}

pub fn touches(verb: &str, on: &str, columns: &[(&str, &str)]) -> Value {
    Value::Array(vec![touch(verb, on, columns)])
}

pub fn exposure(what: &str, by: &str) -> Value {
    map(&[
        ("on", text("crm/crm/public/customers/ssn")),
        ("class", text("pii.ssn")),
        ("at", text("output")),
        ("what", text(what)),
        ("by", text(by)),
        ("rows", Value::Uint(2)),
        ("cells", Value::Uint(2)),
    ])
}

pub fn exposures(what: &str, by: &str) -> Value {
    Value::Array(vec![exposure(what, by)])
}

pub fn tripwires(act: &str) -> Value {
    found_in("rows", act)
}

pub fn found_in(channel: &str, act: &str) -> Value {
    Value::Array(vec![map(&[
        ("detector", text("card")),
        ("class", text("pii.card")),
        ("channel", text(channel)),
        ("act", text(act)),
    ])])
}

pub fn governed() -> Value {
    Value::Array(vec![map(&[
        ("on", text("crm/crm/public/customers/ssn")),
        ("class", text("pii.ssn")),
        ("as", text("row-token")),
    ])])
}

pub fn result_columns(names: &[&str]) -> Value {
    let column = |name: &&str| map(&[("name", text(name)), ("type", Value::Uint(25))]);
    Value::Array(names.iter().map(column).collect())
}

/// The payload of a result: two columns of text.
pub fn rows(columns: &[&str], rows: &[&[Option<&str>]]) -> Vec<u8> {
    let field = |name: &&str| Value::Array(vec![text(name), Value::Uint(25), Value::Uint(0)]);
    let cell = |cell: &Option<&str>| cell.map_or(Value::Null, |c| Value::Bytes(c.as_bytes().to_vec()));
    let row = |row: &&[Option<&str>]| Value::Array(row.iter().map(cell).collect());
    map(&[
        ("t", text("rows")),
        ("fields", Value::Array(columns.iter().map(field).collect())),
        ("rows", Value::Array(rows.iter().map(row).collect())),
    ])
    .to_bytes()
}

pub fn texts(all: &[&str]) -> Value {
    Value::Array(all.iter().map(|t| text(t)).collect())
}

pub fn bytes32(fill: u8) -> Value {
    Value::Bytes(vec![fill; 32])
}

pub fn uints(all: &[u64]) -> Value {
    Value::Array(all.iter().map(|n| Value::Uint(*n)).collect())
}

/// The fields of `body`, with those of `with` in their place or added. `Null` takes a field away.
fn over(body: &[Field], with: &[Field]) -> Value {
    over_value(map(body), with)
}

fn over_value(body: Value, with: &[Field]) -> Value {
    let Value::Map(mut fields) = body else { panic!("a body is a map") };
    for (key, value) in with {
        fields.retain(|(k, _)| k != key);
        if *value != Value::Null {
            fields.push(((*key).to_owned(), value.clone()));
        }
    }
    Value::Map(fields)
}

/// The whole story: every kind of record but decisions (they have their own), two runs, and two records of kinds that
/// nobody knows.
pub fn whole() -> Story {
    told(true)
}

/// The whole story without the kinds that nobody knows, which the ledger's own cursor refuses to pass over.
pub fn known() -> Story {
    told(false)
}

fn told(strange: bool) -> Story {
    let mut s = Story::new();
    s.open(A, &[]);
    let connect = s.connect(A);
    // A masked read, with its result on the reel.
    let read = s.intent(
        A,
        &[
            ("governed", governed()),
            ("sent", text("SELECT name, ssn FROM (SELECT id, name, 'ssn_' || id AS ssn FROM customers) customers WHERE id = $1")),
            ("params", Value::Array(vec![map(&[
                ("type", Value::Uint(23)),
                ("format", Value::Uint(0)),
                ("size", Value::Uint(4)),
                ("mask", text("9999")),
            ])])),
        ],
    );
    let payload = rows(&["name", "ssn"], &[&[Some("Grace"), Some("ssn_7")], &[Some("<b>Ada</b>"), None]]);
    s.outcome_with(
        A,
        read,
        &[
            ("exposures", exposures("masked", "rewrite")),
            ("columns", result_columns(&["name", "ssn"])),
            ("filter", Value::Bytes(vec![1, 0, 0xff])),
        ],
        &[&payload],
    );
    // A transaction: pending until its commit settles it.
    let begin = s
        .intent(A, &[("statement", text("BEGIN")), ("touches", Value::Array(vec![])), ("verbs", texts(&[]))]);
    s.outcome(A, begin, &[("tag", text("BEGIN")), ("rows", Value::Uint(0))]);
    let insert = s.intent(
        A,
        &[
            ("statement", text("INSERT INTO notes (customer, body) VALUES (9, 'xxxx')")),
            ("verbs", texts(&["write"])),
            (
                "touches",
                touches("write", "crm/crm/public/notes", &[("customer", "write"), ("body", "write")]),
            ),
            ("tx", text("in")),
        ],
    );
    s.outcome(
        A,
        insert,
        &[("state", text("pending")), ("tag", text("INSERT 0 1")), ("rows", Value::Uint(0))],
    );
    let commit = s.intent(
        A,
        &[
            ("statement", text("COMMIT")),
            ("touches", Value::Array(vec![])),
            ("verbs", texts(&[])),
            ("tx", text("in")),
        ],
    );
    s.outcome(
        A,
        commit,
        &[
            ("tag", text("COMMIT")),
            ("rows", Value::Uint(0)),
            ("settles", uints(&[insert])),
            ("settled", text("committed")),
        ],
    );
    // Refused outright.
    s.refusal(
        A,
        None,
        &[
            ("statement", text("DROP TABLE customers")),
            ("verbs", texts(&["define"])),
            ("touches", touches("define", CUSTOMERS, &[])),
        ],
    );
    // Asked and granted.
    let update: [Field; 3] = [
        ("statement", text("UPDATE customers SET name = 'xxx' WHERE id = 9")),
        ("verbs", texts(&["write"])),
        ("touches", touches("write", CUSTOMERS, &[("name", "write"), ("id", "predicate")])),
    ];
    let ask = s.ask(A, &update);
    s.approval(A, ask, &[("reason", text("ticket 4711"))]);
    let granted = s.intent_of(A, ask, &update);
    s.outcome(A, granted, &[("tag", text("UPDATE 1")), ("rows", Value::Uint(1))]);
    s.record("note", A, None, &map(&[("what", text("cancel")), ("detail", text("by the client"))]));
    s.disconnect(A, connect);
    s.close(A);
    s.batch();
    // Run B: a child, that sees too much, and is still open.
    s.open(
        B,
        &[
            ("agent", text("reporter")),
            ("parent", Value::Bytes(A.to_vec())),
            ("by", text("svc-reports")),
            ("confined", Value::Bool(false)),
            ("task", Value::Null),
            ("agent_version", Value::Null),
        ],
    );
    s.connect(B);
    let big = s.intent(B, &[("statement", text("COPY customers TO STDOUT")), ("via", text("query"))]);
    s.chunk(B, big, 0, &[("exposures", exposures("revealed", "grant:reveal-ssn"))]);
    s.chunk(B, big, 1, &[("tripwires", tripwires("masked"))]);
    s.outcome(
        B,
        big,
        &[("rows", Value::Uint(2000)), ("coverage", text("partial: binary column of unknown type"))],
    );
    let unknown = s.intent(
        B,
        &[
            ("opaque", text("a function of unknown effect")),
            ("verbs", texts(&["opaque"])),
            ("functions", texts(&["public.mystery"])),
            ("statement", text("SELECT public.mystery()")),
            ("touches", Value::Array(vec![])),
            ("durability", text("os")),
        ],
    );
    s.outcome(B, unknown, &[("exposures", exposures("unknown", "none")), ("tripwires", tripwires("own"))]);
    s.intent(
        B,
        &[
            ("statement", text("SELECT pg_sleep(1)")),
            ("touches", Value::Array(vec![])),
            ("functions", texts(&["pg_catalog.pg_sleep"])),
        ],
    );
    s.ask(
        B,
        &[
            ("statement", text("DELETE FROM customers")),
            ("verbs", texts(&["write"])),
            ("touches", touches("write", CUSTOMERS, &[])),
        ],
    );
    if strange {
        s.record("plan-step", B, None, &map(&[("step", Value::Uint(1))]));
    }
    s.batch();
    s.gateway("heartbeat", &[("runs", Value::Uint(1)), ("sessions", Value::Uint(1))]);
    s.gateway("watch", &[("who", text("grace")), ("verb", text("show")), ("subject", text("a1a1a1a1"))]);
    s.gateway(
        "admin",
        &[
            ("who", text("root")),
            ("verb", text("policy-reload")),
            ("subject", text("policy")),
            ("result", text("done")),
        ],
    );
    s.gateway(
        "gap",
        &[
            ("from", Value::Uint(1_700_000_000_000_000_000)),
            ("to", Value::Uint(1_700_000_001_000_000_000)),
            ("refused", Value::Uint(3)),
            ("cut", Value::Uint(1)),
            ("why", text("disk full")),
        ],
    );
    if strange {
        s.gateway("witnessed-elsewhere", &[("x", Value::Uint(1))]);
    }
    s.gateway(
        "tombstone",
        &[
            ("subject", Value::Bytes(vec![0xcc; 16])),
            ("who", text("root")),
            ("why", text("asked by the customer")),
        ],
    );
    s.gateway("stop", &[("reason", text("asked"))]);
    s.checkpoint();
    s
}
