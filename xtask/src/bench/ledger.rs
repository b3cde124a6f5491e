//! Appends against the disk's own group commit, and the verifier on one core.

use super::{Bench, Stop, figure};

impl Bench {
    pub fn ledger(&mut self) -> Result<(), Stop> {
        println!("\n=== durable appends, beside the disk's own group commit of as many bytes");
        let seconds = if self.quick { "0.5" } else { "1.5" };
        let lines = self.example("bench_append", &["-".to_owned(), seconds.to_owned()])?;
        for waiters in [1, 8, 32] {
            let allowed = figure(&lines, &format!("group-{waiters}"))?;
            let ours = figure(&lines, &format!("sync-{waiters}"))?;
            let name = format!("durable appends, {waiters} waiting: ledger / the disk's own group commit");
            self.table.at_least(
                &name,
                0.8,
                ours / allowed,
                "x",
                &format!("{ours:.0} / {allowed:.0} a second"),
            );
        }
        println!("\n=== the verifier");
        let rounds = if self.quick { "1" } else { "5" };
        let lines = self.example("bench_verify", &["1000000".to_owned(), rounds.to_owned()])?;
        let records = figure(&lines, "records-per-second")? / 1e6;
        let volume = figure(&lines, "bytes-per-second")? / 1e9;
        let detail = format!("or 1 GB/s: {volume:.2} GB/s; records of {:.0} bytes", volume * 1e3 / records);
        self.table.at_least("tacho-verify on one core", 1.0, records, "M records/s", &detail);
        Ok(())
    }
}
