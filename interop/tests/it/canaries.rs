//! P4: the record holds no raw secret. A thousand canaries go through every path that a value can take; then every file
//! of the gateway's, what people were shown, and what was exported is searched for each, in each of its forms.

use crate::people::{operator, waiting, with_token};
use crate::raw::{Raw, bind, code, extended, field, message, query};
use crate::scan::Net;
use crate::world::{Dice, UPSTREAM_PASSWORD, json, own, seed, upstream};
use interop::gateway::{Gateway, Lease};

/// How many of each kind. Together 1,000.
const SSNS: usize = 250;
const CARDS: usize = 250;
const MAILS: usize = 100;
const WORDS: usize = 400;

pub struct Canaries {
    pub ssn: Vec<String>,
    pub card: Vec<String>,
    pub mail: Vec<String>,
    /// Of no form that a detector knows: only that they are literals or governed keeps them out.
    word: Vec<String>,
}

impl Canaries {
    pub fn new(seed: u64) -> Canaries {
        let mut dice = Dice(seed);
        let ssn = |dice: &mut Dice| {
            let area = 100 + dice.below(565);
            format!("{area:03}-{:02}-{:04}", 1 + dice.below(98), 1 + dice.below(9998))
        };
        let card = |dice: &mut Dice| {
            let digits: Vec<u64> = [4, 5, 3, 9].into_iter().chain((0..11).map(|_| dice.below(10))).collect();
            let doubled = |(at, digit): (usize, &u64)| match at % 2 {
                0 => (digit * 2) / 10 + (digit * 2) % 10,
                _ => *digit,
            };
            let sum: u64 = digits.iter().enumerate().map(doubled).sum();
            let text: String = digits.iter().map(u64::to_string).collect();
            format!("{text}{}", (10 - sum % 10) % 10)
        };
        let letters = |dice: &mut Dice, n: usize| -> String {
            (0..n).map(|_| char::from(b"bcdfghjklmnpqrstvwxz"[dice.below(20) as usize])).collect()
        };
        Canaries {
            ssn: (0..SSNS).map(|_| ssn(&mut dice)).collect(),
            card: (0..CARDS).map(|_| card(&mut dice)).collect(),
            mail: (0..MAILS)
                .map(|_| format!("{}@{}.example.com", letters(&mut dice, 9), letters(&mut dice, 5)))
                .collect(),
            word: (0..WORDS).map(|_| letters(&mut dice, 14)).collect(),
        }
    }

    /// Those of a form that detectors know.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        let kinds = [&self.ssn, &self.card, &self.mail];
        kinds.into_iter().flatten().map(String::as_str)
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        let kinds = [&self.ssn, &self.card, &self.mail, &self.word];
        kinds.into_iter().flatten().map(String::as_str)
    }
}

/// The upstream's tables: each canary is in a governed column, and some in text that nobody declared.
fn plant(database: &str, canaries: &Canaries) {
    let mut sql = String::from(
        "CREATE TABLE vault (id serial PRIMARY KEY, ssn text UNIQUE, card text, email text, word text);\n\
         CREATE TABLE letters (id serial PRIMARY KEY, body text);\n\
         CREATE TABLE strict (n int, word text CHECK (length(word) < 5));\n\
         CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE NOTICE 'pad gets %', NEW.t; RETURN NEW; END$$;\n\
         CREATE TRIGGER shout BEFORE INSERT ON pad FOR EACH ROW EXECUTE FUNCTION shout();\n\
         GRANT SELECT, INSERT, UPDATE, DELETE ON vault, letters, strict TO crm_app;\n\
         GRANT USAGE ON SEQUENCE vault_id_seq, letters_id_seq TO crm_app;\n",
    );
    for n in 0..SSNS {
        sql.push_str(&format!(
            "INSERT INTO vault (ssn, card, email, word) VALUES ('{}', '{}', '{}', '{}');\n",
            canaries.ssn[n],
            canaries.card[n],
            canaries.mail[n % MAILS],
            canaries.word[n]
        ));
        sql.push_str(&format!(
            "INSERT INTO letters (body) VALUES ('my number is {}, my card {}, write to {}');\n",
            canaries.ssn[n],
            canaries.card[n],
            canaries.mail[n % MAILS]
        ));
    }
    upstream().admin(database, &sql).unwrap();
}

fn gateway(database: &str) -> Gateway {
    own(database, |plan| {
        plan.durability = "os".to_owned();
        plan.resource_lines = "reel = \"full\"".to_owned();
        for (column, class) in
            [("ssn", "pii.ssn"), ("card", "pii.card"), ("email", "pii.email"), ("word", "secret.word")]
        {
            plan.masks.push((format!("public.vault.{column}"), class.to_owned(), "row-token".to_owned()));
        }
    })
}

/// Every way in and out of a session.
fn talk(client: &mut Raw, c: &Canaries) {
    let (ssn, card, word) = (&c.ssn, &c.card, &c.word);
    let mut say = |sql: String| drop(client.query(&sql).unwrap());
    // Results: every governed cell, by name, by star, by expression, through cursors, in errors.
    say("SELECT * FROM vault".into());
    say("SELECT body FROM letters".into());
    say("SELECT ssn::int FROM vault".into());
    say("SELECT 1 / (length(word) - 14) FROM vault".into());
    say("BEGIN; DECLARE k CURSOR FOR SELECT * FROM vault".into());
    say("FETCH 100 FROM k; FETCH ALL FROM k; CLOSE k".into());
    say("COMMIT".into());
    for n in 0..WORDS {
        let (w, s, k) = (&word[n], &ssn[n % SSNS], &card[n % CARDS]);
        match n % 20 {
            0 => say(format!("SELECT id FROM vault WHERE word = '{w}' OR ssn = '{s}'")),
            1 => say(format!("INSERT INTO vault (word, ssn) VALUES ('{w}', 'x{n}{s}')")),
            2 => say(format!("SELECT '{w}'::int")),
            3 => say(format!("SELECT '{w}'::date, '{s}'::inet")),
            4 => say(format!("SELECT '{s}' AS literal, $${w}$$ AS dollars, E'{w}\\n' AS escaped")),
            5 => say(format!("INSERT INTO strict VALUES (1, '{w}')")),
            6 => say(format!("INSERT INTO vault (ssn) VALUES ('{s}')")),
            7 => say(format!("INSERT INTO pad (t) VALUES ('{w}')")),
            8 => say(format!("/* {s} {k} */ SELECT 1 -- {s}")),
            9 => say(format!("SELECT 1 AS \"{s}\"")),
            10 => say(format!("SELECT * FROM \"{s}\".\"{k}\"")),
            11 => say(format!(
                "PREPARE p{n}(text) AS SELECT id FROM vault WHERE word = $1; EXECUTE p{n}('{w}')"
            )),
            12 => say(format!("SET application_name = '{s}'; SET search_path = \"{s}\"; RESET search_path")),
            13 => say(format!("SELECT {} AS n", k)),
            14 => say(format!("SELECT pg_sleep('{w}'); SELECT query_to_xml('{w}', true, true, '{s}')")),
            15 => say(format!("SELECT id FROM vault WHERE word LIKE '{w}%' AND note = '{s}'")),
            16 => say(format!("SELECT '{w}")),
            17 => say(format!("SAVEPOINT \"{s}\"; NOTIFY x, '{w}'")),
            18 => say(format!("DROP TABLE \"{s}\"; ALTER ROLE crm_app PASSWORD '{w}'")),
            _ => say(format!("UPDATE vault SET word = '{w}' WHERE ssn = '{s}' RETURNING *")),
        }
    }
    // Parameters, as text and in binary, right and wrong.
    for n in 0..WORDS {
        let (w, s) = (word[n].as_bytes(), ssn[n % SSNS].as_bytes());
        let sql =
            ["SELECT id FROM vault WHERE word = $1::text AND ssn = $2::text", "SELECT $1::int, $2::text"]
                [n % 2];
        client.send(&extended(sql, &[((n % 3 % 2) as i16, w), ((n % 2) as i16, s)]));
        client.until_ready().unwrap();
    }
    // Answers in binary, and a portal read in pieces.
    client.send(&message(b'P', b"\0SELECT * FROM vault\0\0\0"));
    client.send(&message(b'B', b"\0\0\0\0\0\0\0\x01\0\x01"));
    for _ in 0..3 {
        client.send(&message(b'E', b"\0\0\0\0\x50"));
    }
    client.send(&message(b'S', b""));
    client.until_ready().unwrap();
    // A Bind without its Parse, an unknown statement with a name that is a secret.
    client.send(&bind(&[(0, word[0].as_bytes())]));
    client.send(&message(b'D', format!("S{}\0", ssn[0]).as_bytes()));
    client.send(&message(b'S', b""));
    client.until_ready().unwrap();
    copies(client, c);
}

/// COPY in and out, as text, CSV and binary; good rows, bad rows, and a client that gives up.
fn copies(client: &mut Raw, c: &Canaries) {
    for form in ["", " WITH (FORMAT csv)", " WITH (FORMAT binary)"] {
        client.query(&format!("COPY vault TO STDOUT{form}")).unwrap();
        client.query(&format!("COPY (SELECT body FROM letters) TO STDOUT{form}")).unwrap();
    }
    let lines = |separator: &str| -> String {
        (0..200).map(|n| format!("{}{separator}{}\n", c.word[n], c.card[n])).collect()
    };
    let ends = [message(b'c', b""), message(b'f', format!("{}\0", c.word[1]).as_bytes())];
    for (sql, data) in [
        ("COPY vault (word, card) FROM STDIN", lines("\t")),
        ("COPY vault (word, card) FROM STDIN WITH (FORMAT csv)", lines(",")),
        ("COPY strict (n, word) FROM STDIN", lines("\t")),
        ("COPY pad (id, t) FROM STDIN", lines("\t")),
    ] {
        for end in &ends {
            client.send(&query(sql));
            client.send(&message(b'd', data.as_bytes()));
            client.send(end);
            client.until_ready().unwrap();
        }
    }
}

/// Somebody is asked, and shown what an approver sees: values too, but of no class.
fn approval(gateway: &Gateway, lease: &Lease, c: &Canaries) -> Vec<u8> {
    let mut shown = Vec::new();
    let lead = operator(gateway, "lena", "approver", "leads");
    let mut client = Raw::log_in(gateway, lease);
    for n in 0..3 {
        let (w, s) = (&c.word[n], &c.ssn[n]);
        client.send(&query(&format!(
            "UPDATE orders SET note = '{w}', status = '{s}' /* {s} */ WHERE note = '{w}'"
        )));
        let ask = waiting(gateway, &lead, "orders");
        for words in [vec!["approvals"], vec!["approvals", "--json"], vec!["deny", &ask, "--reason", "no"]] {
            let said = with_token(gateway, &lead, &words);
            shown.extend_from_slice(said.all().as_bytes());
        }
        let answer = client.until_ready().unwrap();
        assert_eq!(code(&answer).as_deref(), Some("42501"), "{}", field(&answer[0].1, b'M'));
    }
    shown
}

/// Where the first one that was found stands.
pub fn around(shown: &[u8], found: &str) -> String {
    let text = String::from_utf8_lossy(shown);
    let secret = found.split_once(" as ").map_or(found, |(secret, _)| secret);
    let at = text.find(secret).unwrap_or_default();
    text[text.floor_char_boundary(at.saturating_sub(300))..text.ceil_char_boundary(at + 100)].to_owned()
}

#[test]
fn of_a_thousand_canaries_none_is_left_in_any_file_page_or_export() {
    let canaries = Canaries::new(seed());
    let gateway = gateway("canaries");
    plant("canaries", &canaries);
    let lease = gateway.lease("tester").unwrap();
    let asker = gateway.lease("asker").unwrap();
    let mut shown = Vec::new();
    let mut client = Raw::log_in(&gateway, &lease);
    talk(&mut client, &canaries);
    let told = approval(&gateway, &asker, &canaries);
    let of_a_class = canaries.ssn.iter().chain(&canaries.card).chain(&canaries.mail);
    let classed = Net::new(of_a_class.map(String::as_str));
    let found = classed.search(&told);
    assert!(found.is_empty(), "shown to an approver: {found:?}\n{}", around(&told, found[0]));
    let reading = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &reading);
    for sql in ["SELECT * FROM vault", "SELECT body FROM letters", "COPY vault TO STDOUT"] {
        assert_eq!(code(&client.query(sql).unwrap()), None, "{sql}");
    }
    let reader = reading.variable("TACHO_RUN").to_owned();
    let (site, run) = (gateway.site(), lease.variable("TACHO_RUN").to_owned());
    let actions = json(site, &["show", &run, "--json"])["run"]["actions"].as_u64().unwrap();
    assert!(actions > 800, "only {actions} actions were recorded");
    // What the analyst is shown and takes away, results included.
    for words in [
        vec!["show", &run],
        vec!["show", &run, "--json"],
        vec!["who", &run],
        vec!["touched", &run, "--json"],
        vec!["exposed", &run, "--json"],
        vec!["find", "verb:read", "--json"],
        vec!["find", "table:vault"],
        vec!["export", &run, "--as", "html", "-o", "run.html"],
        vec!["export", &run, "--as", "bundle", "--with-key", "-o", "run.bundle"],
        // With what came back: of a run that only read, since an answer may hold what the run itself has sent.
        vec!["replay", &reader, "--json"],
        vec!["export", &reader, "--as", "html", "--results", "-o", "reader.html"],
    ] {
        let said = site.ask(&words, "").unwrap();
        assert!(said.status.code() != Some(2), "{words:?}: {}", said.all());
        shown.extend_from_slice(&said.stdout);
        shown.extend_from_slice(&said.stderr);
    }
    drop((client, lease, asker, reading));
    let site = gateway.stop();
    let net = Net::new(canaries.all().chain([UPSTREAM_PASSWORD]));
    let found = net.search(&shown);
    assert!(found.is_empty(), "shown or exported: {found:?}\n{}", around(&shown, found[0]));
    let mut found = net.search_files(&site.dir());
    found.extend(net.search_files(site.dir().parent().unwrap()));
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The net is not torn: one that is planted is caught, in a file beside the others and in an answer.
    std::fs::write(site.data().join("planted"), format!("x{}y", canaries.word[399])).unwrap();
    assert_eq!(net.search_files(&site.dir()).len(), 1);
    shown.extend_from_slice(&crate::scan::base64(canaries.ssn[7].as_bytes()));
    assert_eq!(net.search(&shown).len(), 1);
}
