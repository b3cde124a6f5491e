//! Two databases that differ in governed values alone, behind a gateway each. Whatever a client can tell apart, it has
//! learned from a governed value.

use super::net::{Net, Tap};
use super::random::Random;
use interop::gateway::{Gateway, Lease, Plan};
use interop::postgres::{Postgres, SUPER_PASSWORD, debian};
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage};

const ROLE: &str = "agent";

/// Everything is open but what is governed, so that an attack fails at the mask and not at the door.
const POLICY: &str = r#"
permit (principal, action in [Action::"connect", Action::"read", Action::"write", Action::"define", Action::"call"], resource);
"#;

/// Column, class, kind.
const GOVERNED: &[(&str, &str, &str)] = &[
    ("app.people.full_name", "pii.name", "row-token"),
    ("app.people.email", "pii.email", "row-token"),
    ("app.people.ssn", "pii.ssn", "row-token"),
    ("app.people.card", "pii.card", "partial:4"),
    ("app.people.born", "pii.dob", "bucket:1"),
    ("app.people.pay", "pii.salary", "null"),
    ("app.people.notes", "pii.notes", "redact"),
    ("app.secrets.token", "secret.api_key", "row-token"),
    ("app.events.payload", "pii.notes", "redact"),
];

/// In the database itself: what reading through the gateway should give. Made by hand, not by our code.
const MASKED: &str = r#"
CREATE SCHEMA masked;
CREATE VIEW masked.people AS SELECT id, ('full_name_' || id)::text AS full_name, ('email_' || id)::text AS email,
  ('ssn_' || id)::text AS ssn, (repeat('*', length(card) - 4) || right(card, 4))::text AS card,
  make_date(extract(year FROM born)::int, 1, 1) AS born, NULL::numeric(10,2) AS pay, '{}'::jsonb AS notes, city, joined
  FROM app.people;
CREATE VIEW masked.secrets AS SELECT id, owner, ('token_' || id)::text AS token FROM app.secrets;
CREATE VIEW masked.events AS SELECT id, at, kind, 'redacted'::text AS payload FROM app.events;
CREATE VIEW masked.v_people AS SELECT id, email AS contact, ssn AS tax_ref, city FROM masked.people;
"#;

pub struct Side {
    pub client: Client,
    pub tap: Tap,
    pub net: Net,
    /// Straight to the server, where the masked views hide the tables.
    pub direct: Client,
    address: String,
    _lease: Lease,
    _gateway: Gateway,
    _server: Postgres,
}

impl Side {
    /// `variant`: which governed values. `without`: a governed column that the gateway is not told of.
    pub async fn start(seed: u64, variant: u64, without: Option<&str>) -> Side {
        // Nothing may move statistics, pages or the visibility map at a time of its own: a plan, and with it the order
        // out of a hash, would differ between two databases for no reason that an agent has learned.
        let server = Postgres::start_with(&debian().unwrap(), &["autovacuum = off"]).unwrap();
        let values = Values::new(seed, variant);
        server.admin("postgres", &format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'")).unwrap();
        server.admin("postgres", "CREATE DATABASE attacked").unwrap();
        server.admin("attacked", &values.schema()).unwrap();
        server.admin("attacked", MASKED).unwrap();
        server.admin("attacked", "VACUUM (FREEZE, ANALYZE)").unwrap();
        let masks = GOVERNED.iter().filter(|(column, ..)| Some(*column) != without);
        let plan = Plan {
            database: "attacked".to_owned(),
            role: ROLE.to_owned(),
            password: ROLE.to_owned(),
            policy: POLICY.to_owned(),
            masks: masks.map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect(),
            durability: "os".to_owned(),
            gateway_lines: String::new(),
            resource_lines: String::new(),
            tables: String::new(),
        };
        let gateway = Gateway::start(&plan, &server).unwrap();
        let lease = gateway.lease("attacker").unwrap();
        let tap = Tap::before(gateway.site().port).await;
        let address = format!(
            "host=127.0.0.1 port={} user={} password={} dbname=attacked sslmode=disable",
            tap.port,
            lease.user(),
            lease.password()
        );
        let client = connect(&address).await;
        let straight = format!(
            "host=127.0.0.1 port={} user=postgres password={SUPER_PASSWORD} dbname=attacked sslmode=disable",
            server.port
        );
        let direct = connect(&straight).await;
        direct.batch_execute("SET search_path = masked, app").await.unwrap();
        let net = Net::new(&values.texts, &values.whole);
        Side { client, tap, net, direct, address, _lease: lease, _gateway: gateway, _server: server }
    }

    /// A new session, where the last one was ended.
    pub async fn again(&mut self) {
        if self.client.is_closed() {
            self.client = connect(&self.address).await;
        }
    }
}

async fn connect(address: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The rows of a query's text results, sorted: without ORDER BY their order is the plan's.
pub async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
    let mut out = Vec::new();
    for message in client.simple_query(sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            out.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect::<Vec<_>>());
        }
    }
    out.sort();
    Ok(out)
}

/// The data of one side.
struct Values {
    inserts: String,
    texts: Vec<String>,
    whole: Vec<String>,
}

impl Values {
    fn new(seed: u64, variant: u64) -> Values {
        // What masks show is the same on both sides: the key, lengths, a card's end, a year.
        let mut shared = Random::new(seed);
        let mut own = Random::new(seed ^ variant.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut values = Values { inserts: String::new(), texts: Vec::new(), whole: Vec::new() };
        for id in 1..=8 {
            // Of one length on both sides: a longer value fills more of its page, and the order of rows without ORDER BY
            // and the planner's estimates show how full pages are (SECURITY.md, "What no layer covers").
            let name = format!("{} {}", own.consonants(7), own.consonants(8));
            let email = format!("{}@{}.test", own.consonants(9), own.consonants(8));
            let ssn = format!("{}-{}-{}", own.digits(3), own.digits(2), own.digits(4));
            let card = format!("{}{}", own.digits(12), shared.digits(4));
            let year = 1950 + shared.below(50);
            let born = format!("{year}-{:02}-{:02}", 2 + own.below(11), 2 + own.below(27));
            // How often a value stands there is in the planner's statistics, and must not show.
            let mut pay = format!("{}.{}", 100_000 + own.below(800_000), 10 + own.below(90));
            if let Some(before) = values.whole.last().filter(|_| variant == 2 && id % 4 != 0) {
                pay.clone_from(before);
            }
            let note = own.consonants(12);
            let city = ["Leeds", "Graz", "Turin", "Riga"][shared.below(4) as usize];
            values.inserts.push_str(&format!(
                "INSERT INTO people VALUES ({id}, '{name}', '{email}', '{ssn}', '{card}', '{born}', {pay}, \
                 '{{\"diagnosis\": \"{note}\"}}', '{city}', '2024-01-0{id}');\n"
            ));
            let token = format!("tk{}", own.consonants(18));
            let payload = own.consonants(16);
            values.inserts.push_str(&format!("INSERT INTO secrets VALUES ({id}, {id}, '{token}');\n"));
            let at = 1 + shared.below(200);
            values
                .inserts
                .push_str(&format!("INSERT INTO events VALUES ({id}, {at}, 'k{}', '{payload}');\n", id % 3));
            let what = ["call", "visit", "mail"][shared.below(3) as usize];
            values.inserts.push_str(&format!("INSERT INTO visits VALUES ({id}, {id}, '{what}', {at});\n"));
            values.texts.extend([name, email, ssn, card[..12].to_owned(), note, token, payload]);
            values.whole.extend([born, pay]);
        }
        // The shared parts of a value are no canaries.
        values.texts.iter_mut().for_each(|text| *text = text.replace(".test", ""));
        values
    }

    fn schema(&self) -> String {
        format!(
            "CREATE SCHEMA app; SET search_path = app;
             CREATE TABLE people (id int PRIMARY KEY, full_name text NOT NULL, email text NOT NULL UNIQUE,
               ssn text NOT NULL, card text NOT NULL, born date NOT NULL, pay numeric(10,2) NOT NULL CHECK (pay >= 0),
               notes jsonb NOT NULL, city text NOT NULL, joined date NOT NULL);
             CREATE TABLE secrets (id int PRIMARY KEY, owner int REFERENCES people (id), token text NOT NULL);
             CREATE TABLE visits (id int PRIMARY KEY, person_id int REFERENCES people (id), what text, amount int);
             CREATE TABLE events (id int, at int, kind text, payload text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
             CREATE TABLE events_low PARTITION OF events FOR VALUES FROM (0) TO (100);
             CREATE TABLE events_high PARTITION OF events FOR VALUES FROM (100) TO (1000);
             CREATE VIEW v_people AS SELECT id, email AS contact, ssn AS tax_ref, city FROM people;
             CREATE SEQUENCE numbers;
             {}
             GRANT USAGE, CREATE ON SCHEMA app TO {ROLE};
             GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES ON ALL TABLES IN SCHEMA app TO {ROLE};
             GRANT ALL ON ALL SEQUENCES IN SCHEMA app TO {ROLE};
             GRANT TEMPORARY, CREATE ON DATABASE attacked TO {ROLE};
             ALTER ROLE {ROLE} SET search_path = app, public;",
            self.inserts
        )
    }
}
