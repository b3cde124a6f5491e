//! What an agent in a jail tried, counted without end and listed up to a limit, and how it comes into the record.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::desk;
use crate::fault::Failure;
use crate::limits::{JAIL_ADDRESSES_LISTED_MAX, JAIL_BATCH_MAX, JAIL_NAMES_LISTED_MAX, JAIL_REPORT_INTERVAL};

/// One thing that was tried. Nothing of it left the jail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Attempt {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    /// Another protocol of IP, by its number.
    Other {
        protocol: u8,
        to: IpAddr,
    },
    /// A name that nobody configured was asked for: ASCII, as a zone's file would have it.
    Name(String),
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attempt::Tcp(to) => write!(f, "tcp {to}"),
            Attempt::Udp(to) => write!(f, "udp {to}"),
            Attempt::Other { protocol, to } => write!(f, "protocol {protocol} {to}"),
            Attempt::Name(name) => write!(f, "name {name}"),
        }
    }
}

/// How much was tried in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    pub tcp: u64,
    pub udp: u64,
    pub other: u64,
    pub names: u64,
    /// Of the names together: what could have been said with them.
    pub name_bytes: u64,
    /// How many different ones are listed.
    pub listed: u64,
}

/// What was tried in one jail.
#[derive(Default)]
pub struct Book {
    seen: BTreeSet<Attempt>,
    names_seen: usize,
    /// Listed, and not recorded yet; oldest first.
    fresh: Vec<Attempt>,
    totals: Totals,
}

impl Book {
    /// Counts it, and lists it if it is new and there is room.
    pub fn note(&mut self, attempt: Attempt) {
        let totals = &mut self.totals;
        match &attempt {
            Attempt::Tcp(_) => totals.tcp += 1,
            Attempt::Udp(_) => totals.udp += 1,
            Attempt::Other { .. } => totals.other += 1,
            Attempt::Name(name) => {
                totals.names += 1;
                totals.name_bytes += name.len() as u64;
            }
        }
        // Names have room of their own: an agent that asks for many does not hide an address behind them.
        let is_name = matches!(attempt, Attempt::Name(_));
        let room = match is_name {
            true => self.names_seen < JAIL_NAMES_LISTED_MAX,
            false => self.seen.len() - self.names_seen < JAIL_ADDRESSES_LISTED_MAX,
        };
        if room && self.seen.insert(attempt.clone()) {
            self.names_seen += usize::from(is_name);
            self.totals.listed += 1;
            self.fresh.push(attempt);
        }
    }

    /// The oldest that are listed and not recorded.
    pub fn batch(&self) -> Vec<Attempt> {
        self.fresh.iter().take(JAIL_BATCH_MAX).cloned().collect()
    }
}

/// Has the gateway record what is in the book, as it comes.
pub struct Reporter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Failure>>,
}

impl Reporter {
    pub fn start(desk: &Path, token: &str, book: Arc<Mutex<Book>>) -> Reporter {
        let report = Report { desk: desk.to_owned(), token: Zeroizing::new(token.to_owned()), book };
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(JAIL_REPORT_INTERVAL) => {}
                    // A sender that is gone means stop, too.
                    _ = &mut stopped => break,
                }
                // What could not be recorded now stays in the book, and the end says so if it still cannot be.
                let _later = report.listed().await;
            }
            report.listed().await?;
            report.totals().await
        });
        Reporter { stop, task }
    }

    /// Everything in the book stands in the record when this returns.
    pub async fn finish(self) -> Result<(), Failure> {
        let _stopping = self.stop.send(());
        let unrecorded = |_| Err(Failure::could_not("what the agent tried could not be recorded"));
        self.task.await.unwrap_or_else(unrecorded)
    }
}

struct Report {
    desk: PathBuf,
    token: Zeroizing<String>,
    book: Arc<Mutex<Book>>,
}

impl Report {
    async fn listed(&self) -> Result<(), Failure> {
        loop {
            let batch = lock(&self.book).batch();
            if batch.is_empty() {
                return Ok(());
            }
            let sent = batch.len();
            self.send(batch, None).await?;
            lock(&self.book).fresh.drain(..sent);
        }
    }

    async fn totals(&self) -> Result<(), Failure> {
        let totals = lock(&self.book).totals;
        if totals == Totals::default() {
            return Ok(());
        }
        self.send(Vec::new(), Some(totals)).await
    }

    async fn send(&self, listed: Vec<Attempt>, totals: Option<Totals>) -> Result<(), Failure> {
        let (desk, token) = (self.desk.clone(), self.token.clone());
        let asked = tokio::task::spawn_blocking(move || desk::attempts(&desk, &token, listed, totals)).await;
        asked.unwrap_or_else(|_| Err(Failure::could_not("what the agent tried could not be recorded")))
    }
}

pub fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_is_counted_and_listed_once() {
        let mut book = Book::default();
        for _ in 0..3 {
            book.note(Attempt::Tcp("8.8.8.8:443".parse().unwrap()));
        }
        assert_eq!((book.totals.tcp, book.totals.listed, book.batch().len()), (3, 1, 1));
    }

    #[test]
    fn names_without_end_leave_room_for_an_address() {
        let mut book = Book::default();
        for n in 0..2 * JAIL_NAMES_LISTED_MAX {
            book.note(Attempt::Name(format!("{n:04}.example")));
        }
        for n in 0..=JAIL_ADDRESSES_LISTED_MAX {
            book.note(Attempt::Udp(SocketAddr::from(([10, 0, 0, 1], u16::try_from(n).unwrap()))));
        }
        assert_eq!(book.fresh.len(), JAIL_NAMES_LISTED_MAX + JAIL_ADDRESSES_LISTED_MAX);
        assert_eq!(book.totals.names, 2 * JAIL_NAMES_LISTED_MAX as u64);
        assert_eq!(book.totals.name_bytes, 12 * book.totals.names);
        assert_eq!(book.totals.udp, JAIL_ADDRESSES_LISTED_MAX as u64 + 1);
        assert_eq!(book.batch().len(), JAIL_BATCH_MAX);
    }
}
