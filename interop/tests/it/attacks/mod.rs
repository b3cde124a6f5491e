//! Our own attacks, made anew in each run, against a real gateway: none may bring back a governed value in any shape.
//!
//! Two nets. One looks for the values in every byte that the gateway sends. The other does not know what it looks for:
//! the same attack runs against two databases that differ in governed values alone, and the answers must be the same
//! bytes. A value that comes back enciphered, one bit of it, a count or an error that depends on it are all caught there.
//! And the honest queries that the same grammar makes give what views with the masks give, made by hand in the database.

mod grammar;
mod net;
mod random;
mod world;

use futures_util::StreamExt;
use grammar::{Grammar, Step};
use net::Net;
use tokio_postgres::Client;
use world::{Side, rows};

/// Of each kind, in a default run; with `INTEROP_ALL` as many as the promise is about.
const ATTACKS: usize = 400;
const ATTACKS_ALL: usize = 10_000;
const HONEST: usize = 250;
const HONEST_ALL: usize = 3_000;

fn seed() -> u64 {
    std::env::var("INTEROP_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

fn all() -> bool {
    std::env::var_os("INTEROP_ALL").is_some()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[derive(Default)]
struct Outcome {
    answered: usize,
    leaked: Vec<String>,
    told_apart: Vec<String>,
}

#[test]
fn no_attack_learns_anything_of_a_governed_value() {
    let count = if all() { ATTACKS_ALL } else { ATTACKS };
    let outcome = block_on(attack(seed(), count, None));
    println!(
        "seed {}: {count} attacks, {} answered, the others refused or in error",
        seed(),
        outcome.answered
    );
    assert!(outcome.leaked.is_empty(), "{} leaked:\n{}", outcome.leaked.len(), outcome.leaked.join("\n"));
    let apart = &outcome.told_apart;
    assert!(apart.is_empty(), "{} told the two databases apart:\n{}", apart.len(), apart.join("\n"));
    assert!(outcome.answered > count / 5, "almost nothing was answered: the attacks are not attacks");
}

#[test]
fn a_column_that_nobody_declared_is_caught_by_both_nets() {
    let outcome = block_on(attack(seed(), 150, Some("app.people.full_name")));
    assert!(!outcome.leaked.is_empty(), "the net has a hole");
    assert!(!outcome.told_apart.is_empty(), "the two databases look the same, and are not");
}

#[test]
fn honest_queries_give_what_masked_views_give() {
    let count = if all() { HONEST_ALL } else { HONEST };
    let (good, wrong) = block_on(honest(seed(), count));
    println!("seed {}: {good} of {count} honest queries compared", seed());
    assert!(wrong.is_empty(), "{} of them wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(good > count / 2, "only {good} of {count} honest queries run at all");
}

async fn attack(seed: u64, count: usize, without: Option<&str>) -> Outcome {
    let (mut one, mut other) = (Side::start(seed, 1, without).await, Side::start(seed, 2, without).await);
    let mut grammar = Grammar::attacks(seed);
    let mut outcome = Outcome::default();
    for _ in 0..count {
        let steps = grammar.attack();
        for side in [&mut one, &mut other] {
            side.again().await;
            drop(side.tap.take());
        }
        let answered = play(&one.client, &steps).await;
        play(&other.client, &steps).await;
        outcome.answered += usize::from(answered);
        let (a, b) = (one.tap.take(), other.tap.take());
        if let Some(found) = caught(&one.net, &a, &b).or_else(|| caught(&other.net, &b, &a)) {
            outcome.leaked.push(format!("{found}: {steps:?}"));
        }
        let (a, b) = (same_sight(&a), same_sight(&b));
        if a != b {
            outcome.told_apart.push(format!("{steps:?}\n    {}", difference(&a, &b)));
        }
    }
    outcome
}

/// A piece of a governed value that `own` has and the other database does not: in ten thousand hashes six digits stand
/// together by chance, and then in both.
fn caught(net: &Net, own: &[u8], other: &[u8]) -> Option<String> {
    net.catch(own).filter(|found| net.catch(other).as_ref() != Some(found))
}

/// Whether anything but transaction control was answered.
async fn play(client: &Client, steps: &[Step]) -> bool {
    let mut answered = false;
    for step in steps {
        answered |= match step {
            Step::Simple(sql) => {
                let done = client.simple_query(sql).await.is_ok();
                done && !matches!(sql.as_str(), "BEGIN" | "ROLLBACK")
            }
            Step::Extended(sql) => client.query(sql.as_str(), &[]).await.is_ok(),
            Step::Copy(sql) => match client.copy_out(sql.as_str()).await {
                Ok(stream) => {
                    let mut stream = std::pin::pin!(stream);
                    while let Some(Ok(_)) = stream.next().await {}
                    true
                }
                Err(_) => false,
            },
        };
    }
    answered
}

/// The messages without what counts up by itself: OIDs of tables, numbers of records.
fn same_sight(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [kind, a, b, c, d, body @ ..] = rest {
        let length = (u32::from_be_bytes([*a, *b, *c, *d]) as usize).saturating_sub(4).min(body.len());
        let (body, after) = body.split_at(length);
        match kind {
            // When a driver closes its statements is its own affair, and so is the end of that.
            b'3' | b'Z' => {}
            b'T' => {
                out.push(*kind);
                described(body, &mut out);
            }
            // The number of the record that a refusal names.
            b'E' => {
                out.push(*kind);
                let record = body.windows(7).position(|w| w == b"record ").map_or(body.len(), |at| at + 7);
                let (before, after) = body.split_at(record);
                out.extend_from_slice(before);
                out.extend(after.iter().skip_while(|b| b.is_ascii_digit()));
            }
            _ => {
                out.push(*kind);
                out.extend_from_slice(body);
            }
        }
        rest = after;
    }
    out
}

/// A RowDescription: name, table, column, type, size, modifier, format of each field.
fn described(body: &[u8], out: &mut Vec<u8>) {
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some(end) = rest.iter().position(|b| *b == 0) {
        out.extend_from_slice(&rest[..=end]);
        let Some((fixed, after)) = rest[end + 1..].split_at_checked(18) else { break };
        out.extend_from_slice(&fixed[12..]);
        rest = after;
    }
}

fn difference(a: &[u8], b: &[u8]) -> String {
    let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let piece = &bytes[at.saturating_sub(60)..(at + 60).min(bytes.len())];
        String::from_utf8_lossy(piece).replace(|c: char| c.is_control(), "·")
    };
    format!("{}\n    {}", around(a), around(b))
}

async fn honest(seed: u64, count: usize) -> (usize, Vec<String>) {
    let mut side = Side::start(seed, 1, None).await;
    let mut grammar = Grammar::honest(seed);
    let (mut good, mut wrong) = (0, Vec::new());
    for _ in 0..count {
        let query = grammar.query();
        let Ok(expected) = rows(&side.direct, &query).await else { continue };
        side.again().await;
        match rows(&side.client, &query).await {
            Ok(got) if got == expected => good += 1,
            Ok(got) => wrong.push(format!("{query}\n    got {got:?}\n    not {expected:?}")),
            Err(error) => {
                let said = error.as_db_error().map_or_else(|| error.to_string(), |e| e.to_string());
                wrong.push(format!("{query}\n    {said}"));
            }
        }
    }
    (good, wrong)
}
