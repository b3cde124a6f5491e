//! The exceptions: `interop/suites/skips.txt`.

use super::Outcomes;
use crate::home::Home;
use crate::step::Stop;

/// Those of one suite.
pub struct Skips {
    /// Tests, or with a `*` at the end the beginnings of their names.
    entries: Vec<String>,
    /// Those of them that pass or fail by chance.
    by_chance: Vec<String>,
}

/// What a reason begins with, where a test depends on who is faster.
const BY_CHANCE: &str = "by chance: ";

impl Skips {
    pub fn read(home: &Home, suite: &str) -> Result<Skips, Stop> {
        let path = home.source.join("interop/suites/skips.txt");
        let text = std::fs::read_to_string(&path)
            .map_err(|why| Stop::Could(format!("{}: {why}", path.display())))?;
        Skips::parse(&text, suite)
    }

    fn parse(text: &str, suite: &str) -> Result<Skips, Stop> {
        let (mut entries, mut by_chance) = (Vec::new(), Vec::new());
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next().map(str::trim)) {
                (Some(of), Some(test), Some(reason)) if reason.len() > 10 => {
                    if of == suite {
                        entries.push(test.to_owned());
                        by_chance.extend(reason.starts_with(BY_CHANCE).then(|| test.to_owned()));
                    }
                }
                _ => return Err(Stop::Could(format!("skips.txt: `{line}` names no reason"))),
            }
        }
        Ok(Skips { entries, by_chance })
    }

    /// Whether a test need not pass through the gateway.
    pub fn covers(&self, test: &str) -> bool {
        self.entries.iter().any(|entry| matches(entry, test))
    }

    /// Entries that excuse nothing: in whole runs of the suite, no test of theirs passes directly and fails through the
    /// gateway.
    pub fn stale(&self, directly: &Outcomes, through: &Outcomes) -> Vec<String> {
        let excuses = |entry: &&String| {
            let mut lost = directly.iter().filter(|(test, passed)| {
                **passed && through.get(*test) != Some(&true) && matches(entry, test)
            });
            lost.next().is_some()
        };
        let certain = self.entries.iter().filter(|entry| !self.by_chance.contains(entry));
        certain.filter(|entry| !excuses(entry)).cloned().collect()
    }
}

fn matches(entry: &str, test: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(prefix) => test.starts_with(prefix),
        None => test == entry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(pairs: &[(&str, bool)]) -> Outcomes {
        pairs.iter().map(|(test, passed)| ((*test).to_owned(), *passed)).collect()
    }

    #[test]
    fn an_exception_has_a_reason() {
        assert!(Skips::parse("asyncpg tests/a.py::b\n", "asyncpg").is_err());
        let text = "# why\nasyncpg tests/a.py::* starts a server of its own\n";
        assert!(Skips::parse(text, "asyncpg").is_ok_and(|skips| skips.covers("tests/a.py::b")));
        assert!(Skips::parse(text, "pg8000").is_ok_and(|skips| !skips.covers("tests/a.py::b")));
    }

    #[test]
    fn an_exception_that_excuses_nothing_is_stale() {
        let text = "s a always fails through it\ns b passes by now, both ways\ns c* there is no such test\n\
                    s d by chance: who is faster\n";
        let skips = Skips::parse(text, "s").unwrap();
        let directly = outcomes(&[("a", true), ("b", true)]);
        let through = outcomes(&[("a", false), ("b", true)]);
        assert_eq!(skips.stale(&directly, &through), ["b", "c*"]);
    }
}
