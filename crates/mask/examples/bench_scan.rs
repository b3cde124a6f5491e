//! How fast detectors read: MB/s on clean and dense text. `cargo run --release -p mask --example bench_scan`
//! (with `-- body`: bodies alone).

use std::time::Instant;

use mask::body::{Body, JsonPath, Media, PathRule};
use mask::{Detectors, Known, Shape};
use vocab::{Class, MaskKind};

fn main() {
    if std::env::args().nth(1).as_deref() == Some("body") {
        return body(&Detectors::new());
    }
    let built = Instant::now();
    let detectors = Detectors::new();
    println!("{:24} {:8.1} ms", "build", built.elapsed().as_secs_f64() * 1e3);
    let prose = "The quick brown fox jumps over the lazy dog while nobody in particular is watching it. ";
    let rows = "48213\tWidget, large\t19.95\t2024-03-17 11:02:45\tshipped\t7\t1028\tnote: left at the door\n";
    let dense =
        "jo.doe@example.com\t536-90-4399\t4111 1111 1111 1111\t+1 415 555 0100\tDE89370400440532013000\n";
    for (name, line) in [("clean prose", prose), ("clean rows", rows), ("dense rows", dense)] {
        let text = line.repeat((8 << 20) / line.len());
        rate(&format!("scan, {name}"), text.len(), || {
            let mut findings = Vec::new();
            detectors.scan(text.as_bytes(), &mut findings);
            findings.len()
        });
        rate(&format!("scan_deep, {name}"), text.len(), || {
            let mut findings = Vec::new();
            detectors.scan_deep(text.as_bytes(), &mut findings);
            findings.len()
        });
        let shapes = [Shape::Text; 10];
        rate(&format!("fields, {name}"), text.len(), || {
            let mut findings = Vec::new();
            for row in text.lines() {
                let cells = row.split('\t').map(|c| Some(c.as_bytes()));
                let _ = std::hint::black_box(mask::fields(&detectors, cells, &shapes, &mut findings));
            }
            findings.len()
        });
    }
    body(&detectors);
}

/// A body of JSON as a service answers with: objects with a governed value each, in pieces of 64 KiB.
fn body(detectors: &Detectors) {
    let object = |n: usize| {
        format!(
            "{{\"id\": {n}, \"name\": \"Customer Number {n}\", \"ssn\": \"{:03}-{:02}-{:04}\", \"city\": \"Springfield\"}}",
            100 + n % 600,
            10 + n % 80,
            1000 + n % 9000
        )
    };
    let json = format!("[{}]", (0..80_000).map(object).collect::<Vec<_>>().join(", "));
    let path = JsonPath::parse("$..ssn").expect("a path");
    let class = Class::new("pii.ssn").expect("a class");
    let rule = PathRule::new(path, class, MaskKind::Partial { keep: 4 }).expect("a rule");
    let known = Known::new([0; 16]);
    for (name, rules) in [("body, JSON, no rule", vec![]), ("body, JSON, a rule", vec![rule])] {
        rate(name, json.len(), || {
            let mut body = Body::new(Media::Json, rules.clone().into(), Default::default());
            let pieces = json.as_bytes().chunks(64 << 10);
            pieces
                .map(|piece| body.push(detectors, &known, piece).map_or(0, |out| out.as_bytes().len()))
                .sum()
        });
    }
}

/// Prints the best of five.
fn rate(name: &str, bytes: usize, mut work: impl FnMut() -> usize) {
    let mut best = f64::MAX;
    let mut found = 0;
    for _ in 0..5 {
        let start = Instant::now();
        found = std::hint::black_box(work());
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:24} {:8.0} MB/s  {found} findings", bytes as f64 / best / 1e6);
}
