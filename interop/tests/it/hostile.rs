//! What bad input gets: its own connection ended, with a reason in the record, and nobody else disturbed.

use crate::raw::{Raw, code, extended, field, message, query, startup};
use crate::world::{Dice, all, own, seed};
use interop::gateway::{Gateway, Lease};
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

const LENGTHS: [u32; 12] =
    [0, 1, 3, 4, 5, 8, 255, (1 << 20) + 1, 1 << 26, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF];
const TYPES: &[u8] = b"QPBDEHSCXFdcfp\0R\xff";

fn gateway(database: &str) -> Gateway {
    own(database, |plan| plan.durability = "os".to_owned())
}

/// Far below every deadline of the gateway's, and above what a busy machine costs.
const SOON: Duration = Duration::from_secs(4);

/// Somebody who does nothing wrong, and must not notice.
struct Bystander {
    client: Raw,
    slowest: Duration,
}

impl Bystander {
    fn new(gateway: &Gateway, lease: &Lease) -> Bystander {
        Bystander { client: Raw::log_in(gateway, lease), slowest: Duration::ZERO }
    }

    fn look(&mut self) {
        let begun = Instant::now();
        assert_eq!(code(&self.client.query("SELECT count(*) FROM orders").unwrap()), None);
        self.slowest = self.slowest.max(begun.elapsed());
    }
}

/// Resident memory of the gateway, in KiB.
fn memory(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// States from which a client may go wrong; each gives a connection in it.
fn states(gateway: &Gateway, lease: &Lease) -> Vec<(&'static str, Raw)> {
    let logged_in = || Raw::log_in(gateway, lease);
    let after = |bytes: &[u8]| {
        let mut client = logged_in();
        client.send(bytes);
        client
    };
    let mut asked = Raw::knock(gateway.site().port);
    asked.send(&startup(&[("user", lease.user()), ("database", lease.variable("PGDATABASE"))]));
    let mut tls = Raw::knock(gateway.site().port);
    tls.send(&[0, 0, 0, 8, 4, 210, 22, 47]);
    let parsed = message(b'P', b"\0select $1::text\0\0\0");
    vec![
        ("before the startup message", Raw::knock(gateway.site().port)),
        ("in the middle of TLS", tls),
        ("asked for a password", asked),
        ("idle", logged_in()),
        ("parsed", after(&parsed)),
        ("a query is running", after(&query("select count(*) from generate_series(1, 100000)"))),
        ("copying in", after(&query("copy pad (t) from stdin"))),
        ("in a failed pipeline", after(&message(b'B', b"\0nothing\0\0\0\0\0\0\0"))),
    ]
}

#[test]
fn a_length_of_any_value_in_any_state_costs_its_own_connection_at_most() {
    let gateway = gateway("hostile_length");
    let lease = gateway.lease("tester").unwrap();
    let mut bystander = Bystander::new(&gateway, &lease);
    bystander.look();
    let before = memory(&gateway);
    let mut dice = Dice(seed());
    for length in LENGTHS {
        for (n, (state, mut client)) in states(&gateway, &lease).into_iter().enumerate() {
            let kind = TYPES[(dice.below(TYPES.len() as u64)) as usize];
            let mut bytes = if n == 0 { Vec::new() } else { vec![kind] };
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&[0; 64]);
            client.send(&bytes);
            let _already_closed = client.stream.shutdown(Shutdown::Write);
            // It ends, whatever it was; that it does not hang is what `read_to_end` checks.
            client.read_to_end();
            assert!(!client.seen.windows(5).any(|w| w == b"panic"), "{state}, {length}, {kind}");
        }
        bystander.look();
    }
    let grown = memory(&gateway).saturating_sub(before);
    assert!(grown < 64 << 10, "the gateway has grown by {grown} KiB");
    assert!(bystander.slowest < SOON, "the bystander waited {:?}", bystander.slowest);
    let reasons = ends(gateway);
    assert!(reasons > 40, "only {reasons} ends with a reason are in the record");
}

#[test]
fn random_bytes_in_any_state_reach_nobody_else() {
    let gateway = gateway("hostile_random");
    let lease = gateway.lease("tester").unwrap();
    let mut bystander = Bystander::new(&gateway, &lease);
    let mut dice = Dice(seed() ^ 0xABCD);
    let rounds = if all() { 60 } else { 4 };
    for _ in 0..rounds {
        for (n, (_, mut client)) in states(&gateway, &lease).into_iter().enumerate() {
            let mut bytes: Vec<u8> = (0..1 + dice.below(600)).map(|_| dice.below(256) as u8).collect();
            // Half of them with a header that is right, so that what is behind it is read.
            if n > 2 && dice.below(2) == 0 {
                let kind = TYPES[dice.below(14) as usize];
                bytes = message(kind, &bytes);
            }
            client.send(&bytes);
            let _already_closed = client.stream.shutdown(Shutdown::Write);
            client.read_to_end();
        }
        bystander.look();
    }
    assert!(bystander.slowest < SOON, "the bystander waited {:?}", bystander.slowest);
    // And nothing of it was read as a write.
    assert_eq!(crate::world::upstream().admin("hostile_random", "select count(*) from orders").unwrap(), "6");
}

#[test]
fn handshakes_that_stall_keep_nobody_out_however_many() {
    let gateway = gateway("hostile_stalled");
    let lease = gateway.lease("tester").unwrap();
    let mut bystander = Bystander::new(&gateway, &lease);
    let half = startup(&[("user", lease.user())]);
    // More than there are places.
    let stalled: Vec<TcpStream> = (0..600)
        .map(|n| {
            let mut stream = TcpStream::connect(("127.0.0.1", gateway.site().port)).unwrap();
            let part: &[u8] = match n % 4 {
                0 => b"",
                1 => &half[..5],
                2 => &half[..half.len() - 1],
                _ => &[0, 0, 0, 8, 4, 210, 22, 47],
            };
            stream.write_all(part).unwrap();
            stream
        })
        .collect();
    for _ in 0..5 {
        bystander.look();
        let begun = Instant::now();
        let mut newcomer = Raw::log_in(&gateway, &lease);
        assert_eq!(code(&newcomer.query("SELECT 1").unwrap()), None);
        assert!(begun.elapsed() < SOON, "a newcomer waited {:?}", begun.elapsed());
    }
    assert!(bystander.slowest < SOON, "the bystander waited {:?}", bystander.slowest);
    drop(stalled);
}

/// What is not for clients to ask is refused in the protocol's own form, and recorded.
#[test]
fn messages_and_sessions_that_do_not_exist_here_are_refused_by_their_names() {
    let gateway = gateway("hostile_messages");
    let lease = gateway.lease("tester").unwrap();
    let (port, user) = (gateway.site().port, lease.user());
    for (what, bytes) in [
        ("replication", startup(&[("user", user), ("database", "x"), ("replication", "database")])),
        ("protocol 2", [&[0, 0, 0, 9, 0, 2, 0, 0][..], &[0]].concat()),
        ("protocol 4", [&[0, 0, 0, 9, 0, 4, 0, 0][..], &[0]].concat()),
    ] {
        let mut client = Raw::knock(port);
        client.send(&bytes);
        client.read_to_end();
        assert!(client.seen.first() == Some(&b'E'), "{what}: {:?}", client.seen);
    }
    let mut client = Raw::log_in(&gateway, &lease);
    // FunctionCall of `version()`.
    client.send(&message(b'F', &[0, 0, 0, 89, 0, 0, 0, 0, 0, 0]));
    assert!(code(&client.until_ready().unwrap()).is_some(), "a function call was answered");
    // Plaintext after a request for TLS is not a startup message.
    let mut client = Raw::knock(port);
    client.send(&[&[0, 0, 0, 8, 4, 210, 22, 47][..], &startup(&[("user", user)])].concat());
    client.read_to_end();
    assert!(!client.seen.contains(&b'R'), "it was asked for a password in clear behind TLS");
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&extended("select 1; select 2", &[]));
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42601"));
    assert!(ends(gateway) > 0);
}

/// Each is in the record under its own name, beside how many there were.
#[test]
fn replication_and_gss_are_told_apart_in_the_record() {
    let gateway = gateway("hostile_kinds");
    let lease = gateway.lease("tester").unwrap();
    let (port, user) = (gateway.site().port, lease.user());
    for mode in ["database", "true"] {
        let mut client = Raw::knock(port);
        client.send(&startup(&[("user", user), ("database", "x"), ("replication", mode)]));
        client.read_to_end();
        let length = client.seen.len().min(5);
        assert_eq!(field(&client.seen[length..], b'C'), "0A000", "{mode}: {:?}", client.seen);
    }
    const GSS_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 48];
    for _ in 0..3 {
        let mut client = Raw::knock(port);
        client.send(GSS_REQUEST);
        let _hung_up = client.stream.shutdown(Shutdown::Write);
        client.read_to_end();
        assert_eq!(client.seen, b"N");
    }
    // Who goes on without it is no stranger.
    let mut client = Raw::knock(port);
    let mut answer = [0; 1];
    for (said, expect) in [
        (GSS_REQUEST.to_vec(), b'N'),
        (startup(&[("user", user), ("database", lease.variable("PGDATABASE"))]), b'R'),
    ] {
        client.send(&said);
        std::io::Read::read_exact(&mut client.stream, &mut answer).unwrap();
        assert_eq!(answer[0], expect);
    }
    drop(client);
    drop(lease);
    let records = crate::scan::records(&gateway.stop().ledger());
    // A record every ten seconds: they may stand in two.
    let counted = |what: &str| -> u32 {
        let of = |record: &crate::scan::Record| {
            let text = String::from_utf8_lossy(&record.0).into_owned();
            let before =
                text.split(&format!(" {what}")).next().filter(|before| *before != text)?.chars().last();
            before?.to_digit(10)
        };
        records.iter().filter(|record| record.has("turned-away")).filter_map(of).sum()
    };
    assert_eq!((counted("replication"), counted("gss")), (2, 3), "they are not in the record by name");
}

/// The highest that the gateway's memory was since this was last asked, in KiB.
fn peak(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = line.trim().trim_end_matches(" kB").parse().unwrap();
    // proc(5): 5 starts the measure again.
    std::fs::write(format!("/proc/{}/clear_refs", gateway.pid()), "5").unwrap();
    peak
}

/// A length that a client declares and does not send reserves nothing: one connection costs 1 MiB at most.
#[test]
fn a_declared_length_costs_one_connection_a_mebibyte_at_most() {
    // What a busy gateway's memory moves by itself: the MiB of zeros with which the ledger's next segment is filled, a thread's
    // arena, a buffer of the ledger's.
    const NOISE_KIB: u64 = 2 << 10;
    let gateway = gateway("hostile_one");
    let lease = gateway.lease("tester").unwrap();
    // Everything that is made once is made.
    for (_, mut client) in states(&gateway, &lease) {
        let _already_closed = client.stream.shutdown(Shutdown::Write);
        client.read_to_end();
    }
    for length in LENGTHS {
        for (n, (state, mut client)) in states(&gateway, &lease).into_iter().enumerate() {
            let mut bytes = if n == 0 { Vec::new() } else { vec![TYPES[n % TYPES.len()]] };
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&[0; 64]);
            let _before = peak(&gateway);
            let before = memory(&gateway);
            client.send(&bytes);
            let _already_closed = client.stream.shutdown(Shutdown::Write);
            client.read_to_end();
            let grown = peak(&gateway).saturating_sub(before);
            assert!(grown <= (1 << 10) + NOISE_KIB, "{state}, {length}: {grown} KiB");
        }
    }
}

/// How many records say why a connection ended or never began.
fn ends(gateway: Gateway) -> usize {
    let site = gateway.stop();
    let records = crate::scan::records(&site.ledger());
    let of = |kind: &str| records.iter().filter(|r| r.has("why") && r.has(kind)).count();
    let strangers = records.iter().filter(|record| record.has("turned-away")).count();
    assert!(strangers > 0, "strangers are not in the record");
    of("disconnect")
}
