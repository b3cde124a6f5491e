//! How fast detectors read: MB/s on clean and dense text. `cargo run --release -p mask --example bench_scan`
//! (with `-- body`: bodies alone; with `-- output`: what programs write; with a word behind either, one kind of that).

use std::time::Instant;

use mask::body::{Body, JsonPath, Media, PathRule};
use mask::{Detectors, FilterBuilder, FilterKey, FilterStream, Known, Shape};
use vocab::{Class, MaskKind};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("body") => return body(&Detectors::new(), std::env::args().nth(2).as_deref()),
        Some("output") => return output(std::env::args().nth(2).as_deref()),
        _ => {}
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
    body(&detectors, None);
    output(None);
}

/// What a program writes, in pieces of a packet of SSH: masked, and then put into filters, one for 64 KiB.
fn output(only: Option<&str>) {
    let detectors = Detectors::new().of_programs();
    let known = Known::new([0; 16]);
    for (name, bytes) in outputs().into_iter().filter(|(name, _)| only.is_none_or(|only| *name == only)) {
        rate(&format!("output, {name}"), bytes.len(), || {
            let mut body = Body::new(Media::Output, [].into(), Default::default());
            let pieces = bytes.chunks(32 << 10);
            pieces
                .map(|piece| body.push(&detectors, &known, piece).map_or(0, |out| out.as_bytes().len()))
                .sum()
        });
        rate(&format!("hear, {name}"), bytes.len(), || {
            let mut findings = Vec::new();
            bytes.chunks(32 << 10).for_each(|piece| detectors.scan_deep(piece, &mut findings));
            findings.len()
        });
        rate(&format!("filter, {name}"), bytes.len(), || {
            let (key, mut builder, mut stream) =
                (FilterKey::new(&[0; 16]), FilterBuilder::new(), FilterStream::new());
            let pieces = bytes.chunks(64 << 10);
            pieces
                .map(|piece| {
                    stream.piece(&mut builder, &key, piece);
                    builder.take().to_bytes().len()
                })
                .sum()
        });
    }
}

/// 8 MiB of each.
fn outputs() -> Vec<(&'static str, Vec<u8>)> {
    const BYTES: usize = 8 << 20;
    let mut drawn = 1_u64;
    let mut draw = move || {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        drawn >> 33
    };
    let mut lines = |line: &mut dyn FnMut(u64) -> String| {
        let mut all = Vec::with_capacity(BYTES + 4096);
        while all.len() < BYTES {
            all.extend_from_slice(line(draw()).as_bytes());
        }
        all
    };
    let mut n = 0_u64;
    // The log of `cargo xtask bench ssh`.
    let log = lines(&mut |_| {
        n += 1;
        format!(
            "2026-11-27T12:{:02}:{:02}.{:03}Z INFO worker-{} request {n} GET /api/v1/items/{} 200 {} bytes in {} us\n",
            n / 60_000 % 60,
            n / 1_000 % 60,
            n % 1_000,
            n % 16,
            n * 7919 % 100_000,
            n * 31 % 65_536,
            n * 17 % 9_000
        )
    });
    let json = lines(&mut |r| {
        format!(
            "{{\"level\":\"info\",\"ts\":\"2026-11-27T12:{:02}:{:02}Z\",\"trace\":\"{:016x}\",\"msg\":\"path \\\"/srv/app/{}\\\" served\\n\"}}\n",
            r % 60,
            r / 60 % 60,
            r.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            r % 10_000
        )
    });
    let words = [
        "the", "quick", "request", "of", "service", "returned", "without", "error", "a", "42", "items,",
        "and", "left",
    ];
    let prose = lines(&mut |r| {
        let at = |n: u64| words[(r.rotate_left(n as u32 * 7) % words.len() as u64) as usize];
        (0..9).map(|n| format!("{} ", at(n))).collect::<String>() + "\n"
    });
    let paths = lines(&mut |r| {
        format!(
            "/usr/share/doc/package-{}/examples/src/module_{}/file{}.rs:{}: fn of_{}\n",
            r % 91,
            r % 83,
            r % 71,
            r % 997,
            r % 13
        )
    });
    let colours =
        lines(&mut |r| format!("\x1b[32mok\x1b[0m test {} ... \x1b[1m{}\x1b[m ms\n", r % 10_000, r % 100));
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut base64 = lines(&mut |r| {
        let mut r = r;
        let line = (0..76).map(|_| {
            r = r.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(DIGITS[(r >> 58) as usize])
        });
        line.chain(['\n']).collect::<String>()
    });
    base64.truncate(BYTES);
    let bytes: Vec<u8> =
        base64.iter().zip(log.iter().cycle()).map(|(a, b)| a.wrapping_mul(37) ^ b.rotate_left(3)).collect();
    vec![
        ("log", log),
        ("json", json),
        ("prose", prose),
        ("paths", paths),
        ("colours", colours),
        ("base64", base64),
        ("bytes", bytes),
        ("zeros", vec![0; BYTES]),
    ]
}

/// Bodies of JSON as services answer with.
fn body(detectors: &Detectors, only: Option<&str>) {
    let meant = |name: &str| only.is_none_or(|only| name.contains(only));
    let known = Known::new([0; 16]);
    let rule = |path: &str, class: &str, kind: MaskKind| {
        let path = JsonPath::parse(path).expect("a path");
        PathRule::new(path, Class::new(class).expect("a class"), kind).expect("a rule")
    };
    for (name, json, pieces, rules) in bodies(rule).into_iter().filter(|(name, ..)| meant(name)) {
        rate(&format!("body, JSON, {name}"), json.len(), || {
            let mut body = Body::new(Media::Json, rules.clone().into(), Default::default());
            let pieces = json.as_bytes().chunks(pieces);
            pieces
                .map(|piece| body.push(detectors, &known, piece).map_or(0, |out| out.as_bytes().len()))
                .sum()
        });
    }
    if meant("fields") {
        let pods = pods();
        rate("fields, pods", pods.len(), || {
            let pieces = pods.as_bytes().chunks(64 << 10);
            pieces
                .map(|piece| {
                    mask::fields(detectors, [Some(piece)], &[Shape::Text], &mut Vec::new()).into_cells().len()
                })
                .sum()
        });
    }
}

/// What it is, the body, how long its pieces are, and the rules.
type Case = (&'static str, String, usize, Vec<PathRule>);

fn bodies(rule: impl Fn(&str, &str, MaskKind) -> PathRule) -> Vec<Case> {
    let ssn = rule("$..ssn", "pii.ssn", MaskKind::Partial { keep: 4 });
    let env = ["$..env[*].value", "$..annotations['kubectl.kubernetes.io/last-applied-configuration']"];
    let env = env.map(|path| rule(path, "config.env", MaskKind::Redact));
    let phone = rule("$..contact.phone", "pii.phone", MaskKind::Null);
    vec![
        ("no rule", customers(), 64 << 10, vec![]),
        ("a rule", customers(), 64 << 10, vec![ssn]),
        ("pods", pods(), 16 << 10, env.into()),
        ("orders", orders(), 64 << 10, vec![phone]),
    ]
}

/// Objects with a governed value each.
fn customers() -> String {
    let object = |n: usize| {
        format!(
            "{{\"id\": {n}, \"name\": \"Customer Number {n}\", \"ssn\": \"{:03}-{:02}-{:04}\", \"city\": \"Springfield\"}}",
            100 + n % 600,
            10 + n % 80,
            1000 + n % 9000
        )
    };
    format!("[{}]", (0..80_000).map(object).collect::<Vec<_>>().join(", "))
}

/// A list of a cluster's pods, as an API server writes it.
fn pods() -> String {
    format!("{{\"kind\":\"PodList\",\"items\":[{}]}}\n", (0..3_000).map(pod).collect::<Vec<_>>().join(","))
}

/// Printed over lines, with fractions, escapes, and letters beyond ASCII.
fn orders() -> String {
    let order = |n: usize| {
        format!(
            "  {{\n    \"order\": {n},\n    \"price\": {}.{:02},\n    \"weight\": -{}.5e-3,\n    \"paid\": true,\n    \"customer\": \"J\u{f6}rg \
             M\u{fc}ller\",\n    \"link\": \"https://shop.internal/orders?after={n}&city=New%20York\",\n    \"note\": \"left \\\"at the door\\\"\\n\",\n    \
             \"contact\": {{\n      \"phone\": \"555 01{:02}\",\n      \"language\": null\n    }}\n  }}",
            n % 500,
            n % 100,
            n % 9 + 1,
            n % 100
        )
    };
    format!("[\n{}\n]\n", (0..30_000).map(order).collect::<Vec<_>>().join(",\n"))
}

fn pod(n: usize) -> String {
    let container = |name: &str| {
        format!(
            "{{\"name\":\"{name}\",\"image\":\"registry.internal/shop/{name}:1.27.4\",\"args\":[\"--listen=:8080\"],\"ports\":[{{\"name\":\"http\",\
             \"containerPort\":8080,\"protocol\":\"TCP\"}}],\"env\":[{{\"name\":\"MODE\",\"value\":\"production\"}},{{\"name\":\"HOST\",\
             \"value\":\"shop.internal\"}}],\"resources\":{{\"limits\":{{\"memory\":\"256Mi\"}},\"requests\":{{\"cpu\":\"100m\",\"memory\":\
             \"128Mi\"}}}},\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\",\"imagePullPolicy\":\
             \"IfNotPresent\"}}"
        )
    };
    let managed = |name: &str| {
        format!(
            "\"k:{{\\\"name\\\":\\\"{name}\\\"}}\":{{\".\":{{}},\"f:args\":{{}},\"f:env\":{{\".\":{{}},\"k:{{\\\"name\\\":\\\"HOST\\\"}}\":{{\".\":{{}},\
             \"f:name\":{{}},\"f:value\":{{}}}}}},\"f:image\":{{}},\"f:imagePullPolicy\":{{}},\"f:name\":{{}},\"f:ports\":{{\".\":{{}}}},\
             \"f:resources\":{{\".\":{{}},\"f:limits\":{{\".\":{{}},\"f:memory\":{{}}}}}},\"f:terminationMessagePath\":{{}}}}"
        )
    };
    format!(
        "{{\"metadata\":{{\"name\":\"web-7d4b9c6f5-{n:05}\",\"generateName\":\"web-7d4b9c6f5-\",\"namespace\":\"default\",\"uid\":\
         \"{:08x}-8c1c-4d0b-9d3a-{:012x}\",\"resourceVersion\":\"{}\",\"creationTimestamp\":\"2026-11-27T12:00:01Z\",\"labels\":{{\"app\":\
         \"web\",\"pod-template-hash\":\"7d4b9c6f5\",\"tier\":\"front\"}},\"annotations\":{{\"example.org/team\":\"checkout\"}},\
         \"managedFields\":[{{\"manager\":\"curl\",\"operation\":\"Update\",\"apiVersion\":\"v1\",\"time\":\"2026-11-27T12:00:01Z\",\
         \"fieldsType\":\"FieldsV1\",\"fieldsV1\":{{\"f:metadata\":{{\"f:generateName\":{{}},\"f:labels\":{{\".\":{{}},\"f:app\":{{}}}}}},\
         \"f:spec\":{{\"f:containers\":{{{},{}}}}}}}}}]}},\"spec\":{{\"containers\":[{},{}],\"restartPolicy\":\"Always\",\"dnsPolicy\":\
         \"ClusterFirst\",\"schedulerName\":\"default-scheduler\"}},\"status\":{{\"phase\":\"Pending\",\"qosClass\":\"Burstable\"}}}}",
        n * 2_654_435_761 % 0xffff_ffff,
        n * 7_919,
        1_000 + n,
        managed("web"),
        managed("proxy"),
        container("web"),
        container("proxy")
    )
}

/// Time of this thread on a processor, in seconds: what else runs does not count.
fn busy() -> f64 {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    said.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}

/// Prints the best of five turns, each of so many runs that the clock, which goes in steps of a few milliseconds, tells them apart.
fn rate(name: &str, bytes: usize, mut work: impl FnMut() -> usize) {
    let mut best = f64::MAX;
    let mut found = 0;
    for _ in 0..5 {
        let (start, mut runs, mut took) = (busy(), 0.0, 0.0);
        while took < 0.2 {
            found = std::hint::black_box(work());
            runs += 1.0;
            took = busy() - start;
        }
        best = best.min(took / runs);
    }
    println!("{name:24} {:8.0} MB/s  {found} findings", bytes as f64 / best / 1e6);
}
