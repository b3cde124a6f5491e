//! Rules, and how far the paths of all of them have come at a value: a bit for each number of steps that led there.
//!
//! Values are many and rules name few of them. So the bits of several rules stand in one word, and what most names and indices
//! do to it, which is nothing but go one further in, is done for all at once; the steps that ask for this one name are looked up.

use std::sync::Arc;

use super::PathRule;
use super::names::tag;
use super::path::Step;
use crate::limits::BODY_PATH_STEPS_MAX;

/// How one value stands in another.
#[derive(Clone, Copy)]
pub(super) enum Edge<'a> {
    /// A name, and its [`tag`].
    Key(&'a [u8], u32),
    Index(u64),
}

pub(super) struct Rules {
    all: Arc<[PathRule]>,
    words: Vec<Word>,
    /// Where the steps of each rule begin.
    places: Vec<Place>,
    /// The steps that ask for a name, sorted by its tag.
    names: Vec<Asked<u32>>,
    /// Those that ask for an index.
    indices: Vec<Asked<u64>>,
    /// One bit for each of 256 kinds of tags: whether there may be a step that asks for one.
    tags: [u64; 4],
    naming: bool,
}

/// What 64 steps make of a value.
#[derive(Clone, Copy, Default)]
struct Word {
    /// Those of which a path begins.
    begin: u64,
    /// Those that any value takes.
    any: u64,
    /// Those that are taken at any depth.
    stays: u64,
    /// Where a path ends.
    ends: u64,
}

/// A bit.
#[derive(Clone, Copy)]
struct Place {
    word: usize,
    bit: u32,
}

/// A step that asks for one value.
struct Asked<T> {
    what: T,
    rule: usize,
    step: usize,
}

/// The steps of a path and its end are in one word.
const _: () = assert!(BODY_PATH_STEPS_MAX < 64);

impl Rules {
    pub(super) fn new(all: Arc<[PathRule]>) -> Rules {
        let mut rules = Rules {
            naming: all.iter().any(|rule| rule.names),
            all,
            words: Vec::new(),
            places: Vec::new(),
            names: Vec::new(),
            indices: Vec::new(),
            tags: [0; 4],
        };
        let (all, mut next) = (rules.all.clone(), 64);
        for (rule, steps) in all.iter().map(|rule| rule.path.steps()).enumerate() {
            if next + steps.len() >= 64 {
                rules.words.push(Word::default());
                next = 0;
            }
            rules.add(rule, steps, next as u32);
            next += steps.len() + 1;
        }
        rules.names.sort_unstable_by_key(|asked| asked.what);
        rules
    }

    /// A rule, whose steps begin at a bit of the last word.
    fn add(&mut self, rule: usize, steps: &[Step], bit: u32) {
        self.places.push(Place { word: self.words.len() - 1, bit });
        let Some(word) = self.words.last_mut() else { return };
        word.begin |= 1 << bit;
        word.ends |= 1 << (bit as usize + steps.len());
        for (step, says) in steps.iter().enumerate() {
            let here = 1 << (bit as usize + step);
            match says {
                Step::Any => word.any |= here,
                Step::Index(index) => self.indices.push(Asked { what: *index, rule, step }),
                Step::Name(name) | Step::Descendant(name) => {
                    let what = tag(name.as_bytes());
                    self.tags[(what >> 30) as usize] |= 1 << (what >> 24 & 63);
                    self.names.push(Asked { what, rule, step });
                }
            }
            if matches!(says, Step::Descendant(_)) {
                word.stays |= here;
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn all(&self) -> &[PathRule] {
        &self.all
    }

    pub(super) fn rule(&self, rule: usize) -> &PathRule {
        &self.all[rule]
    }

    /// Whether a rule tells which members stand at its path.
    pub(super) fn naming(&self) -> bool {
        self.naming
    }

    /// How many words say how far all paths have come.
    pub(super) fn words(&self) -> usize {
        self.words.len()
    }

    /// At the root. Says whether a path ends there.
    pub(super) fn begin(&self, to: &mut [u64]) -> bool {
        to.iter_mut().zip(&self.words).for_each(|(to, word)| *to = word.begin);
        self.end(to)
    }

    /// One value further in. Says whether a path ends there. Each of the words says of as many rules how far they have come.
    #[inline]
    pub(super) fn follow(&self, from: &[u64], edge: Edge<'_>, to: &mut [u64]) -> bool {
        let mut ends = 0;
        let mut one = |word: &Word, from: u64, to: &mut u64| {
            *to = (from & word.any) << 1 | from & word.stays;
            ends |= *to & word.ends;
        };
        match (&self.words[..], from, &mut *to) {
            // As mostly.
            ([word], [from], [to]) => one(word, *from, to),
            (words, from, to) => {
                words.iter().zip(from).zip(to).for_each(|((word, from), to)| one(word, *from, to));
            }
        }
        match edge {
            Edge::Key(name, tag) if self.may_ask_for(tag) => self.take_named(name, tag, from, to),
            Edge::Index(index) if !self.indices.is_empty() => {
                let asked = self.indices.iter().filter(|asked| asked.what == index);
                asked.for_each(|asked| self.take(asked, from, to));
            }
            Edge::Key(..) | Edge::Index(_) => return ends != 0,
        }
        self.end(to)
    }

    #[inline]
    fn may_ask_for(&self, tag: u32) -> bool {
        self.tags[(tag >> 30) as usize] >> (tag >> 24 & 63) & 1 == 1
    }

    /// Takes the steps that ask for a name.
    #[inline(never)]
    fn take_named(&self, name: &[u8], tag: u32, from: &[u64], to: &mut [u64]) {
        let first = self.names.partition_point(|asked| asked.what < tag);
        for asked in self.names[first..].iter().take_while(|asked| asked.what == tag) {
            if self.says(asked.rule, asked.step).is_some_and(|says| says.as_bytes() == name) {
                self.take(asked, from, to);
            }
        }
    }

    /// The name that a step asks for.
    fn says(&self, rule: usize, step: usize) -> Option<&str> {
        match self.all[rule].path.steps().get(step)? {
            Step::Name(name) | Step::Descendant(name) => Some(name),
            Step::Any | Step::Index(_) => None,
        }
    }

    /// Takes a step, if what stands before it led there.
    fn take<T>(&self, asked: &Asked<T>, from: &[u64], to: &mut [u64]) {
        let Place { word, bit } = self.places[asked.rule];
        let bit = bit as usize + asked.step;
        to[word] |= (from[word] >> bit & 1) << (bit + 1);
    }

    fn end(&self, at: &[u64]) -> bool {
        self.words.iter().zip(at).any(|(word, at)| word.ends & at != 0)
    }

    /// The rules whose paths end here, in their order.
    pub(super) fn ending<'a>(&'a self, at: &'a [u64]) -> impl Iterator<Item = (usize, &'a PathRule)> {
        self.all.iter().enumerate().filter(|(rule, of)| {
            let Place { word, bit } = self.places[*rule];
            at[word] >> (bit as usize + of.path.steps().len()) & 1 == 1
        })
    }
}

#[cfg(test)]
mod tests {
    use vocab::{Class, MaskKind};

    use super::super::path::JsonPath;
    use super::*;
    use crate::detect::tests::Random;

    const NAMES: [&str; 5] = ["a", "b", "metadata", "annotations", "a name longer than any word"];

    fn path(random: &mut Random, steps: u64) -> JsonPath {
        let mut text = "$".to_owned();
        for _ in 0..random.next() % (steps + 1) {
            let name = NAMES[random.next() as usize % 5];
            text += &match random.next() % 6 {
                0 => "[*]".to_owned(),
                1 => format!("[{}]", random.next() % 3),
                2 if !name.contains(' ') => format!("..{name}"),
                _ => format!("['{name}']"),
            };
        }
        JsonPath::parse(&text).unwrap()
    }

    /// One path by itself: a bit for each number of steps that led to a value.
    fn follow_alone(path: &JsonPath, from: u64, edge: Edge<'_>) -> u64 {
        let mut to = 0;
        for (i, step) in path.steps().iter().enumerate().filter(|(i, _)| from >> i & 1 == 1) {
            let fits = match (step, edge) {
                (Step::Any, _) => true,
                (Step::Name(name) | Step::Descendant(name), Edge::Key(key, _)) => name.as_bytes() == key,
                (Step::Index(wanted), Edge::Index(index)) => *wanted == index,
                (Step::Name(_) | Step::Descendant(_), Edge::Index(_)) | (Step::Index(_), Edge::Key(..)) => {
                    false
                }
            };
            let stays = matches!(step, Step::Descendant(_));
            to |= u64::from(fits) << (i + 1) | u64::from(stays) << i;
        }
        to
    }

    fn rules<'a>(paths: impl IntoIterator<Item = &'a JsonPath>) -> Rules {
        let class = Class::new("pii.x").unwrap();
        let rule = |path: &JsonPath| PathRule::new(path.clone(), class.clone(), MaskKind::Null).unwrap();
        Rules::new(paths.into_iter().map(rule).collect())
    }

    #[test]
    fn a_path_leads_where_rfc_9535_says() {
        let (key, index) = (|k: &'static str| Edge::Key(k.as_bytes(), tag(k.as_bytes())), Edge::Index);
        let cases: [(&str, &[Edge<'_>], bool); 18] = [
            ("$", &[], true),
            ("$", &[key("a")], false),
            ("$.a", &[key("a")], true),
            ("$.a", &[key("a"), key("a")], false),
            ("$['a b\\'\\\\']", &[key("a b'\\")], true),
            ("$.*", &[index(3)], true),
            ("$[*]", &[key("x")], true),
            ("$[0]", &[index(0)], true),
            ("$[0]", &[key("0")], false),
            ("$.a[*].b", &[key("a"), index(7), key("b")], true),
            ("$..a", &[key("x"), index(1), key("a")], true),
            ("$..a", &[key("a"), key("a")], true),
            ("$..a.b", &[key("a"), key("a"), key("b")], true),
            ("$..a.b", &[key("a"), key("x"), key("b")], false),
            ("$.x..a", &[key("a")], false),
            ("$.\u{e9}1", &[key("\u{e9}1")], true),
            ("$['']", &[key("")], true),
            ("$..a", &[key("A")], false),
        ];
        // Alone, and behind so many others that its word is another.
        let other = JsonPath::parse("$.x[3].y").unwrap();
        for others in [0, 1, 15, 16, 40] {
            for (text, edges, ends) in &cases {
                let path = JsonPath::parse(text).unwrap();
                let rules = rules(std::iter::repeat_n(&other, others).chain([&path]));
                let mut at = vec![0; rules.words()];
                rules.begin(&mut at);
                for edge in *edges {
                    let from = at.clone();
                    rules.follow(&from, *edge, &mut at);
                }
                assert_eq!(
                    rules.ending(&at).any(|(rule, _)| rule == others),
                    *ends,
                    "{text} behind {others}"
                );
            }
        }
    }

    #[test]
    fn all_rules_together_come_as_far_as_each_alone() {
        let mut ended = 0;
        for seed in 0..3_000 {
            let mut random = Random(seed);
            let most = [2, 4, 32][random.next() as usize % 3];
            let paths: Vec<JsonPath> = (0..random.next() % 12).map(|_| path(&mut random, most)).collect();
            let rules = rules(&paths);
            let mut plain = vec![1; paths.len()];
            let mut at = vec![0; rules.words()];
            let mut ends = rules.begin(&mut at);
            for _ in 0..8 {
                let expect: Vec<usize> =
                    (0..paths.len()).filter(|&i| plain[i] >> paths[i].steps().len() & 1 == 1).collect();
                assert_eq!(rules.ending(&at).map(|(i, _)| i).collect::<Vec<_>>(), expect, "seed {seed}");
                assert_eq!(ends, !expect.is_empty(), "seed {seed}");
                ended += expect.len();
                let (name, index) = (NAMES[random.next() as usize % 5].as_bytes(), random.next() % 3);
                let edge = match random.next() % 3 {
                    0 => Edge::Index(index),
                    _ => Edge::Key(name, tag(name)),
                };
                plain.iter_mut().zip(&paths).for_each(|(at, path)| *at = follow_alone(path, *at, edge));
                let from = at.clone();
                ends = rules.follow(&from, edge, &mut at);
            }
        }
        assert!(ended > 3_000, "{ended}");
    }
}
