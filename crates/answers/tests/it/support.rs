//! A desk over a story, and expectations that rewrite themselves (`UPDATE_EXPECT=1`).

use std::cell::RefCell;
use std::path::PathBuf;

use answers::{
    Answer, BundleReels, Chain, Desk, Look, NotWatched, Reels, Sealed, Verified, Watch, Watched, from_json,
    to_json,
};
use index::Bundle;
use seal::testkit::run_key;
use vocab::{Seq, WallTime};

use crate::story::{A, ORIGIN, Story};

/// A day after the stories begin.
pub const NOW: WallTime = WallTime(1_790_086_400_000_000_000);

/// Notes who looked at what.
#[derive(Default)]
pub struct Watcher {
    pub seen: RefCell<Vec<String>>,
    pub broken: bool,
}

impl Watch for Watcher {
    fn watch(&self, who: &str, look: Look, subject: &str) -> Result<Watched, NotWatched> {
        if self.broken {
            return Err(NotWatched("the disk is full".to_owned()));
        }
        self.seen.borrow_mut().push(format!("{who} {} {subject}", look.as_str()));
        Ok(Watched::Recorded(None))
    }
}

/// A ledger in memory, read.
pub struct Case {
    pub bundle: Bundle,
    pub chain: Chain,
    pub watcher: Watcher,
    /// Whether the payload key of run `A` is at hand.
    pub key: bool,
}

impl Case {
    /// Verified, anchored, witnessed, every record covered.
    pub fn new(story: Story) -> Case {
        let bundle = Bundle::of_segments(&story.segments()).unwrap();
        let chain = Chain::Verified(Verified {
            covered: bundle.index.next(),
            anchored: true,
            witnessed: Some((vec!["witness.example/one".to_owned()], Seq(5))),
            checkpoint: "gateway.example/1\n5\nroot\n".to_owned(),
            no_close: false,
            torn: None,
        });
        Case { bundle, chain, watcher: Watcher::default(), key: false }
    }

    /// Asks something at a desk.
    pub fn ask<T>(&self, question: impl FnOnce(&Desk<'_>) -> T) -> T {
        let opened = Bundle { key: self.key.then(|| run_key(A)), ..clone(&self.bundle) };
        let open = BundleReels { bundle: &opened, origin: ORIGIN };
        let reels: &dyn Reels = if self.key { &open } else { &Sealed };
        question(&Desk {
            index: &self.bundle.index,
            chain: &self.chain,
            now: NOW,
            who: "grace",
            watch: &self.watcher,
            reels,
        })
    }
}

fn clone(bundle: &Bundle) -> Bundle {
    Bundle {
        index: bundle.index.clone(),
        payloads: bundle.payloads.clone(),
        checkpoint: bundle.checkpoint.clone(),
        key: bundle.key,
    }
}

/// Holds the answer's text and JSON against the files of that name, and reads the JSON back.
pub fn check<A: Answer + PartialEq + std::fmt::Debug>(name: &str, answer: &A) {
    expect(&format!("{name}.txt"), &answer.to_text());
    let json = to_json(answer);
    expect(&format!("{name}.json"), &json);
    assert_eq!(&from_json::<A>(&json).unwrap(), answer, "{name}: the JSON reads back as it was written");
}

/// Holds `found` against a file in `tests/expect`.
pub fn expect(name: &str, found: &str) {
    let path = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("tests/expect").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == found,
        "{name} differs; UPDATE_EXPECT=1 rewrites it, and the diff is the review.\n--- expected\n{expected}\n--- found\n{found}"
    );
}
