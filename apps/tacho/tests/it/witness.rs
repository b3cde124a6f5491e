//! A real witness and a real gateway: what continues is cosigned, what was cut or rewritten is found, and nothing that
//! a client or a crash does makes a witness sign two histories.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use seal::frame::{Frames, Kind};
use seal::note::{Algorithm, Checkpoint, SignedNote, Signer, Standing, VerifierKey};
use seal::tree::{consistency_proof, leaf_hash};
use seal::witness::Submission;

use crate::place::{Place, eventually, json, list, text};

const NAME: &str = "witness.example/w1";

/// `tacho witness`, killed when dropped.
struct Witness {
    place: Place,
    port: u16,
    key: String,
    log: String,
    child: Option<Child>,
}

impl Witness {
    fn new(log: &str) -> Witness {
        let place = Place::new("witness");
        let keygen = ["witness", "keygen", "--name", NAME, "--key", "w.key", "--state", "state"];
        let key = place.expect(0, &keygen).trim().to_owned();
        let port = interop::place::free_port().unwrap();
        let mut witness = Witness { place, port, key, log: log.to_owned(), child: None };
        witness.start();
        witness
    }

    fn start(&mut self) {
        let listen = format!("127.0.0.1:{}", self.port);
        let words =
            ["witness", "--listen", &listen, "--key", "w.key", "--state", "state", "--log", &self.log];
        self.child = Some(self.place.tacho(&words).stderr(Stdio::null()).spawn().unwrap());
        eventually("the witness listens", || TcpStream::connect(&listen).is_ok());
    }

    /// SIGKILL.
    fn crash(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn key(&self) -> VerifierKey {
        VerifierKey::parse(&self.key).unwrap()
    }

    /// What it cosigned last, as an auditor gets it from its operator.
    fn checkpoint(&self) -> PathBuf {
        let state = self.place.path("state");
        let name = list(&state).into_iter().find(|name| name.ends_with(".checkpoint")).unwrap();
        state.join(name)
    }

    fn cosigned(&self) -> Checkpoint {
        let note = SignedNote::parse(&fs::read(self.checkpoint()).unwrap()).unwrap();
        assert_eq!(note.verify(&self.key()), Standing::Good);
        note.checkpoint().unwrap()
    }

    fn post(&self, call: &str, body: &[u8]) -> (u16, String) {
        let head = format!(
            "POST {call} HTTP/1.1\r\nHost: w\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    fn raw(&self, request: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        // A witness that hangs up early has answered already.
        let _whole = stream.read_to_end(&mut answer);
        let answer = text(&answer);
        (answer.split(' ').nth(1).unwrap_or("0").parse().unwrap(), answer)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.crash();
        }
    }
}

/// A gateway that has a ledger, and the ledger's first key.
fn gateway(name: &str) -> (Place, String) {
    let mut place = Place::new(name);
    place.init();
    place.up();
    let key = first_key(&place);
    place.down();
    (place, key)
}

fn first_key(place: &Place) -> String {
    json(&place.expect(0, &["verify", "--json"]))["proved"]["key"].as_str().unwrap().to_owned()
}

fn watched_by(place: &Place, witness: &Witness) {
    let mut config = fs::read_to_string(place.path("tacho.toml")).unwrap();
    config.push_str(&format!(
        "\n[[witness]]\nurl = \"http://127.0.0.1:{}\"\nkey = \"{}\"\n",
        witness.port, witness.key
    ));
    fs::write(place.path("tacho.toml"), config).unwrap();
}

fn act(place: &Place) {
    place.expect(0, &["run", "--agent", "support", "--", "true"]);
}

fn status(place: &Place) -> serde_json::Value {
    json(&text(&place.run(&["status", "--json"]).stdout))
}

fn witnessed(place: &Place) -> u64 {
    status(place)["witnesses"][0]["size"].as_u64().unwrap()
}

fn caught_up(place: &Place) {
    eventually("the witness has it all", || {
        let status = status(place);
        let line = &status["witnesses"][0];
        line["behind"] == 0 && line["behind_since"].is_null() && line["size"].as_u64() > Some(0)
    });
}

fn ledger(place: &Place) -> PathBuf {
    place.path("tacho-data/ledger")
}

/// `tacho-verify` and the verifier in Python, with the witness's key.
fn outsiders(path: &Path, more: &[&str]) -> [Output; 2] {
    let beside = Path::new(env!("CARGO_BIN_EXE_tacho")).with_file_name("tacho-verify");
    let ours = if beside.is_file() { beside } else { interop::programs::verifier().unwrap() };
    let mut python = Command::new("/usr/bin/python3");
    python.arg(interop::programs::source("../contrib/verify.py"));
    [Command::new(ours), python]
        .map(|mut verifier| verifier.arg(path).arg("--json").args(more).output().unwrap())
}

#[test]
fn checkpoints_are_cosigned_and_every_verifier_says_up_to_where() {
    let (mut place, log) = gateway("cosigned");
    let witness = Witness::new(&log);
    watched_by(&place, &witness);
    for _ in 0..2 {
        // Each start turns the checkpoint key twice on its way; the witness follows.
        place.up();
        act(&place);
        caught_up(&place);
        let verified = json(&place.expect(0, &["verify", "--witness", &witness.key, "--json"]));
        assert!(verified["proved"]["witnessed"].as_u64() >= Some(witnessed(&place)), "{verified}");
        assert!(place.expect(0, &["status"]).contains(NAME));
        place.down();
    }
    // The last checkpoint of a gateway that stops is shown, too.
    for said in outsiders(&ledger(&place), &["--witness", &witness.key, "--key", &log]) {
        let said = json(&text(&said.stdout));
        assert_eq!(said["verified"], true, "{said}");
        assert_eq!(said["witnessed"], said["covered"], "{said}");
        assert_eq!(said["open"], 0, "{said}");
    }
    let run = json(&place.expect(0, &["runs", "--json"]))["runs"][0]["run"].as_str().unwrap().to_owned();
    place.expect(0, &["export", &run, "--as", "bundle", "--output", "run.bundle"]);
    for said in outsiders(&place.path("run.bundle"), &["--witness", &witness.key]) {
        assert_eq!(said.status.code(), Some(0), "{}", text(&said.stdout));
    }
    let exposed = place.run(&["exposed", &run]);
    assert!(!text(&exposed.stdout).to_lowercase().contains("not witnessed"), "{}", text(&exposed.stdout));
    let stranger = Witness::new(&log);
    for said in outsiders(&ledger(&place), &["--witness", &stranger.key]) {
        assert_eq!(json(&text(&said.stdout))["rule"], "not-witnessed");
    }
}

#[test]
fn a_witness_that_was_away_is_told_of_every_key_since() {
    let (mut place, log) = gateway("away");
    let mut witness = Witness::new(&log);
    watched_by(&place, &witness);
    place.up();
    caught_up(&place);
    witness.crash();
    for _ in 0..3 {
        act(&place); // nothing waits for a witness
        place.down();
        place.up();
    }
    act(&place);
    eventually("the lag is told", || {
        let line = &status(&place)["witnesses"][0];
        line["behind"].as_u64() > Some(0) && line["behind_since"].is_string() && line["detail"].is_string()
    });
    witness.start();
    caught_up(&place);
    assert_eq!(witness.cosigned().size, witnessed(&place));
}

/// Cuts the ledger back to its checkpoint number `keep` and takes away every copy of a later one, as root can.
fn cut_back(place: &Place, keep: usize) -> u64 {
    let segment = ledger(place).join("segment/0000000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let frames = Frames::of_segment(&bytes).map(Result::unwrap).filter(|f| f.kind == Kind::Checkpoint);
    let frame = frames.clone().nth(keep).unwrap();
    let (end, note) = (frame.offset + 9 + frame.body.len(), frame.body.to_vec());
    drop(frames);
    bytes[end..].fill(0);
    fs::write(&segment, bytes).unwrap();
    fs::write(ledger(place).join("checkpoint"), &note).unwrap();
    fs::remove_dir_all(ledger(place).join("witness")).unwrap();
    fs::remove_dir_all(ledger(place).join("tile")).unwrap();
    SignedNote::parse(&note).unwrap().checkpoint().unwrap().size
}

fn alarmed(place: &Place, words: &str) {
    eventually("the alarm", || {
        let alarms = status(place)["alarms"].to_string();
        alarms.contains(NAME) && alarms.contains(words) && place.said().contains("ALARM")
    });
}

fn checkpoints(place: &Place) -> usize {
    let bytes = fs::read(ledger(place).join("segment/0000000000.seg")).unwrap();
    Frames::of_segment(&bytes).filter(|f| f.as_ref().unwrap().kind == Kind::Checkpoint).count()
}

#[test]
fn a_record_that_root_cut_back_and_wrote_anew_is_found() {
    let (mut place, log) = gateway("cut");
    let witness = Witness::new(&log);
    watched_by(&place, &witness);
    place.up();
    caught_up(&place);
    let before = checkpoints(&place);
    for _ in 0..8 {
        act(&place);
    }
    caught_up(&place);
    place.down();
    let seen = witness.cosigned();
    // With the key at hand root can sign any tree. The witness asks for the proof.
    let seed = fs::read(place.path("tacho-keys/checkpoint.key")).unwrap();
    let root = Signer::from_seed(&seen.origin, Algorithm::Ed25519, seed[..].try_into().unwrap()).unwrap();
    let forged = |old, size| {
        let note = root.sign(&Checkpoint { origin: seen.origin.clone(), size, root: [1; 32] });
        let body = Submission::new(old, Vec::new(), note).unwrap().to_bytes();
        witness.post("/add-checkpoint", &body).0
    };
    assert_eq!((forged(seen.size, seen.size), forged(seen.size, seen.size + 1)), (409, 422));
    assert_eq!((forged(0, 5), forged(5, 5)), (409, 409));
    // Within one epoch, so that the key at hand signs what is written anew.
    let kept = cut_back(&place, before + 1);
    assert!(kept + 8 < seen.size, "{kept} of {}", seen.size);
    // The ledger alone is whole; who has what the witness signed knows better.
    assert_eq!(place.run(&["verify"]).status.code(), Some(0));
    let known = witness.checkpoint().display().to_string();
    for said in outsiders(&ledger(&place), &["--witness", &witness.key, "--known", &known]) {
        assert_eq!(json(&text(&said.stdout))["rule"], "known-checkpoint", "{}", text(&said.stdout));
    }
    for said in outsiders(&ledger(&place), &["--witness", &witness.key]) {
        assert_eq!(json(&text(&said.stdout))["rule"], "not-witnessed", "{}", text(&said.stdout));
    }
    place.up();
    alarmed(&place, "records were cut off");
    // With as many records as before it is another past.
    while status(&place)["records"].as_u64() < Some(seen.size + 4) {
        act(&place);
    }
    place.down();
    place.up();
    alarmed(&place, "another ledger has this name and key");
    assert_eq!(witness.cosigned(), seen, "nothing of it was signed");
    place.down();
    let bytes = fs::read(ledger(&place).join("segment/0000000000.seg")).unwrap();
    assert!(bytes.windows(16).any(|w| w == b"witness-conflict"), "the alarm is in the record");
    for said in outsiders(&ledger(&place), &["--witness", &witness.key, "--known", &known]) {
        assert_eq!(json(&text(&said.stdout))["rule"], "known-checkpoint", "{}", text(&said.stdout));
    }
}

/// A log of our own, whose key the test holds: all roots and proofs of up to so many records.
struct Log {
    signer: Signer,
    leaves: Vec<seal::Hash>,
}

impl Log {
    fn new(records: u64) -> Log {
        let signer = Signer::from_seed("log.example", Algorithm::Ed25519, &[5; 32]).unwrap();
        Log { signer, leaves: (0..records).map(|n| leaf_hash(&n.to_be_bytes())).collect() }
    }

    fn key(&self) -> String {
        self.signer.verifier_key().to_string()
    }

    fn fork(&self, at: usize) -> Log {
        let mut fork = Log::new(self.leaves.len() as u64);
        fork.leaves[at] = [0xee; 32];
        fork
    }

    fn submission(&self, old: u64, size: u64) -> Vec<u8> {
        let root = seal::tree::root_at(&self.leaves, size).unwrap();
        let origin = "log.example".to_owned();
        let note = self.signer.sign(&Checkpoint { origin, size, root });
        let proof = consistency_proof(&self.leaves, old.min(size), size).unwrap();
        Submission::new(old, proof, note).unwrap().to_bytes()
    }
}

#[test]
fn each_answer_is_the_specifications() {
    let log = Log::new(40);
    let witness = Witness::new(&log.key());
    let add = |body: &[u8]| witness.post("/add-checkpoint", body);
    let (status, said) = add(&log.submission(0, 7));
    assert_eq!(status, 200, "{said}");
    let line = said.split("\r\n\r\n").nth(1).unwrap();
    assert!(line.starts_with(&format!("\u{2014} {NAME} ")) && line.ends_with('\n'), "{line:?}");
    let (status, said) = add(&log.submission(0, 9));
    assert_eq!(status, 409);
    assert!(said.to_lowercase().contains("content-type: text/x.tlog.size\r\n"), "{said}");
    assert!(said.ends_with("\r\n\r\n7\n"), "{said}");
    assert_eq!(add(&log.submission(7, 20)).0, 200);
    assert_eq!(add(&log.submission(20, 20)).0, 200, "the same again");
    assert_eq!(add(&log.submission(7, 20)).0, 409);
    assert_eq!(add(&log.submission(7, 9)).0, 409, "back");
    assert_eq!(add(&log.fork(3).submission(20, 20)).0, 409, "another tree of this size");
    assert_eq!(add(&log.fork(3).submission(20, 30)).0, 422, "another tree, larger");
    assert_eq!(add(&log.submission(21, 20)).0, 400, "from above");
    let mut other = Log::new(40);
    other.signer = Signer::from_seed("log.example", Algorithm::Ed25519, &[6; 32]).unwrap();
    assert_eq!(add(&other.submission(20, 30)).0, 403, "another key");
    let elsewhere = String::from_utf8(log.submission(20, 30)).unwrap().replace("log.example", "elsewhere");
    assert_eq!(add(elsewhere.as_bytes()).0, 404, "another log");
    for bad in [&b""[..], b"old 20\n", b"old 020\n\nx", b"\xff\xff\n\n", b"old 20\n\n\n\n"] {
        assert_eq!(add(bad).0, 400, "{bad:?}");
        assert_eq!(witness.post("/add-key", bad).0, 400, "{bad:?}");
    }
    assert_eq!(witness.post("/add-something", b"").0, 404);
    assert_eq!(witness.raw(b"GET /add-checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n").0, 405);
    assert_eq!(add(&vec![b'a'; 1 << 20]).0, 413);
    // After all of it, what is true is cosigned.
    assert_eq!(add(&log.submission(20, 40)).0, 200);
    assert_eq!(witness.cosigned().size, 40);
}

#[test]
fn a_witness_that_is_killed_signs_no_second_tree() {
    let log = Log::new(4_000);
    let mut witness = Witness::new(&log.key());
    let (mut size, mut state) = (0, 88_172_645_463_325_252_u64);
    let mut signed = std::collections::BTreeMap::new();
    for round in 0..12 {
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let (steps, wait) = (1 + random() % 20, Duration::from_micros(random() % 3_000));
        for _ in 0..steps {
            let next = (size + 1 + random() % 9).min(4_000);
            if witness.post("/add-checkpoint", &log.submission(size, next)).0 == 200 {
                signed.insert(next, seal::tree::root_at(&log.leaves, next).unwrap());
                size = next;
            }
        }
        // One that is on its way when the witness dies: cosigned or not, its state is whole.
        let next = size + 3;
        let mut stream = TcpStream::connect(("127.0.0.1", witness.port)).unwrap();
        let body = log.submission(size, next);
        let head =
            format!("POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        std::thread::sleep(wait);
        witness.crash();
        let mut answer = Vec::new();
        let _whole = stream.read_to_end(&mut answer);
        let answered = answer.starts_with(b"HTTP/1.1 200");
        witness.start();
        // Neither less nor another of what was signed.
        let fork = log.fork(0);
        for old in signed.keys().rev().take(3) {
            let (status, said) = witness.post("/add-checkpoint", &fork.submission(*old, *old));
            assert_eq!(status, 409, "round {round}: {said}");
            assert_eq!(witness.post("/add-checkpoint", &fork.submission(*old, old + 50)).0 / 100, 4);
        }
        let (status, said) = witness.post("/add-checkpoint", &log.submission(0, next));
        assert_eq!(status, 409, "{said}");
        let knows: u64 = said.lines().last().unwrap().parse().unwrap();
        assert!(knows == size || knows == next, "round {round}: {knows}, and {size} was signed last");
        assert!(!answered || knows == next, "round {round}: a signature left before it was durable");
        size = knows;
    }
    // A memory that is gone is not begun anew under the same key.
    witness.crash();
    fs::rename(witness.place.path("state"), witness.place.path("gone")).unwrap();
    let words =
        ["witness", "--listen", "127.0.0.1:0", "--key", "w.key", "--state", "state", "--log", &witness.log];
    assert!(witness.place.expect_err(3, &words).contains("memory"));
}

#[test]
fn a_client_that_stalls_stops_nobody_else() {
    let log = Log::new(10);
    let witness = Witness::new(&log.key());
    let stalled: Vec<TcpStream> = (0..8)
        .map(|n| {
            let mut stream = TcpStream::connect(("127.0.0.1", witness.port)).unwrap();
            let begun = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\nold";
            stream.write_all(&begun[..if n % 2 == 0 { 20 } else { begun.len() }]).unwrap();
            stream
        })
        .collect();
    let begun = std::time::Instant::now();
    assert_eq!(witness.post("/add-checkpoint", &log.submission(0, 4)).0, 200);
    assert!(begun.elapsed() < Duration::from_secs(5));
    for mut stream in stalled {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // It ends by itself: an answer, or the connection's end.
        let _ended = stream.read_to_end(&mut Vec::new()).unwrap();
    }
    assert_eq!(witness.post("/add-checkpoint", &log.submission(4, 10)).0, 200);
}
