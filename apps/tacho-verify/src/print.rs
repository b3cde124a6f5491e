//! From a verdict to what a person or a program reads.

use crate::Failure;
use seal::text::{deceives, visible};
use seal::verify::{Options, Report, Seen, Subject, beyond};
use std::fmt::Write;

/// A page for a person.
pub(crate) fn text(verdict: &Result<Report, Failure>, options: &Options) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = match verdict {
        Ok(report) => write_report(&mut out, report, options),
        Err(Failure::NotVerified(finding)) => writeln!(
            out,
            "NOT VERIFIED\n  rule     {}: {}\n  where    segment {}, offset {}, seq {}\n  detail   {}",
            finding.rule,
            finding.rule.sentence(),
            finding.segment,
            finding.offset,
            finding.seq,
            if finding.detail.is_empty() { "-" } else { &finding.detail }
        ),
        Err(Failure::Unreadable { path, what }) => writeln!(out, "COULD NOT READ {}: {what}", path.display()),
    };
    // An origin, a key's name and what was found come out of the evidence.
    out.lines().map(|line| visible(line) + "\n").collect()
}

fn write_report(out: &mut String, report: &Report, options: &Options) -> std::fmt::Result {
    let Report { origin, records, bytes, payloads, segments, runs, open_runs, covered, open, .. } = report;
    match report.subject {
        Subject::Ledger => {
            writeln!(out, "VERIFIED ledger {origin}")?;
            writeln!(
                out,
                "  records  {records} in {segments} segments ({bytes} bytes), {payloads} payloads"
            )?;
            writeln!(out, "  runs     {runs}, of which {open_runs} open")?;
        }
        Subject::Bundle { run, complete, .. } => {
            writeln!(out, "VERIFIED bundle of run {} of ledger {origin}", hex(&run))?;
            writeln!(out, "  records  {records} ({bytes} bytes), {payloads} payloads")?;
            let whole = if complete {
                "nothing is missing"
            } else {
                "no close in this bundle: the run was open when it was made, or the end was cut off"
            };
            writeln!(out, "  run      {whole}")?;
        }
    }
    let from = report.first_checkpoint.map_or(0, |seen| seen.size);
    writeln!(
        out,
        "  sealed   {covered} records by {} checkpoints, the first over {from}",
        report.checkpoints
    )?;
    if *open > 0 {
        writeln!(out, "  OPEN     {open} records after the last checkpoint are not sealed yet")?;
    }
    if let Some(torn) = report.torn {
        writeln!(out, "  TORN     the last batch is not whole; it was left out from offset {torn} on")?;
    }
    let anchored =
        if report.anchored { "as given" } else { "NOT ANCHORED: taken from the ledger itself (see --key)" };
    writeln!(out, "  key      {}, {anchored}; changed {} times", report.key, report.rotations)?;
    let far = |after| match report.subject {
        Subject::Ledger => beyond("ledger", *records, after),
        Subject::Bundle { records, .. } => beyond("run", records, after),
    };
    match report.witnessed.zip(report.after_witnessed) {
        Some((seen, after)) => writeln!(
            out,
            "  witness  cosigned {} records at {}; {}",
            seen.size,
            utc(seen.seconds),
            far(after)
        )?,
        None => writeln!(
            out,
            "  witness  NOT WITNESSED: whoever holds the signing key could cut or rewrite the end"
        )?,
    }
    match report.known_size.zip(report.after_known) {
        None => writeln!(out, "  known    no checkpoint held elsewhere was given (see --known)")?,
        Some((size, after)) => {
            let own = if options.known.is_empty() { " (the ledger's own copies)" } else { "" };
            writeln!(
                out,
                "  known    continues {} checkpoints{own}, up to {size} records; {}",
                report.known,
                far(after)
            )?;
        }
    }
    for warning in &report.warnings {
        writeln!(out, "  warning  seq {}: {}", warning.seq, warning.text)?;
    }
    if report.more_warnings > 0 {
        writeln!(out, "  warning  and {} more", report.more_warnings)?;
    }
    Ok(())
}

/// One line of JSON, version 1.
pub(crate) fn json(verdict: &Result<Report, Failure>) -> String {
    let mut object = Object::new();
    object.number("version", 1);
    match verdict {
        Ok(report) => {
            object.bool("verified", true);
            report_fields(&mut object, report);
        }
        Err(Failure::NotVerified(finding)) => {
            object.bool("verified", false);
            object.string("rule", finding.rule.name());
            object.string("sentence", finding.rule.sentence());
            object.number("segment", finding.segment);
            object.number("offset", finding.offset);
            object.number("seq", finding.seq);
            object.string("detail", &finding.detail);
        }
        Err(Failure::Unreadable { path, what }) => {
            object.string("error", &format!("{}: {what}", path.display()));
        }
    }
    object.finish() + "\n"
}

fn report_fields(object: &mut Object, report: &Report) {
    match report.subject {
        Subject::Ledger => object.string("subject", "ledger"),
        Subject::Bundle { run, records, complete } => {
            object.string("subject", "bundle");
            object.string("run", &hex(&run));
            object.number("run_records", records);
            object.bool("complete", complete);
        }
    }
    object.string("origin", &report.origin);
    object.string("key", &report.key.to_string());
    object.bool("anchored", report.anchored);
    for (name, n) in [
        ("rotations", report.rotations),
        ("segments", report.segments),
        ("batches", report.batches),
        ("records", report.records),
        ("payloads", report.payloads),
        ("bytes", report.bytes),
        ("runs", report.runs),
        ("open_runs", report.open_runs),
        ("checkpoints", report.checkpoints),
        ("covered", report.covered),
        ("open", report.open),
        ("known", report.known),
        ("unknown_signatures", report.unknown_signatures),
    ] {
        object.number(name, n);
    }
    object.string("root", &hex(&report.root));
    object.raw("first_checkpoint", &seen(report.first_checkpoint));
    object.raw("last_checkpoint", &seen(report.last_checkpoint));
    object.raw("witnessed", &number(report.witnessed.map(|w| w.size)));
    object.raw("after_witnessed", &number(report.after_witnessed));
    object.raw("known_size", &number(report.known_size));
    object.raw("after_known", &number(report.after_known));
    object.raw("witnessed_at", &number(report.witnessed.map(|w| w.seconds)));
    object.raw("torn", &number(report.torn));
    let warnings: Vec<String> = report
        .warnings
        .iter()
        .map(|w| format!("{{\"seq\":{},\"text\":{}}}", w.seq, quoted(&w.text)))
        .collect();
    object.raw("warnings", &format!("[{}]", warnings.join(",")));
    object.number("more_warnings", report.more_warnings);
}

fn number(n: Option<u64>) -> String {
    n.map_or("null".into(), |n| n.to_string())
}

fn seen(seen: Option<Seen>) -> String {
    seen.map_or("null".into(), |seen| {
        let Seen { size, root, segment, offset } = seen;
        format!("{{\"size\":{size},\"root\":\"{}\",\"segment\":{segment},\"offset\":{offset}}}", hex(&root))
    })
}

/// A flat JSON object under construction.
struct Object(String);

impl Object {
    fn new() -> Object {
        Object(String::new())
    }

    fn number(&mut self, name: &str, n: u64) {
        self.raw(name, &n.to_string());
    }

    fn bool(&mut self, name: &str, b: bool) {
        self.raw(name, if b { "true" } else { "false" });
    }

    fn string(&mut self, name: &str, text: &str) {
        self.raw(name, &quoted(text));
    }

    fn raw(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0 += &quoted(name);
        self.0.push(':');
        self.0 += value;
    }

    fn finish(self) -> String {
        self.0 + "}"
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            c if deceives(c) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A moment as RFC 3339 in UTC. The days since 1970 become a date in the calendar of 400 years, which begin in March.
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let since_march = days + 719_468;
    let (era, day) = (since_march / 146_097, since_march % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{of_month:02}T{:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::{json, text, utc};
    use seal::testkit::Writer;
    use seal::verify::{Options, Verifier};

    #[test]
    fn an_origin_moves_no_cursor_and_looks_like_no_other() {
        let segments = Writer::new("gate\u{202e}way\u{200b}", 8192).finish();
        let mut verifier = Verifier::new(Options::default());
        verifier.push_segment(0, &segments[0], true).unwrap();
        let verdict = Ok(verifier.finish().unwrap());
        let shown = text(&verdict, &Options::default());
        assert!(shown.starts_with("VERIFIED ledger gate\\u{202e}way\\u{200b}\n"), "{shown}");
        assert!(json(&verdict).contains("\"origin\":\"gate\\u202eway\\u200b\""));
    }

    #[test]
    fn a_witness_says_when_as_everything_else_does() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_860_130, "2026-11-28T10:02:10Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }
}
