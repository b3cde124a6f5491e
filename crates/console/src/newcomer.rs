//! Connections that have shown no person's credential: any agent can hold them open, and must not hold people off with them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;
use tokio::sync::Notify;

/// Of one listener, oldest first.
#[derive(Default)]
pub(crate) struct Newcomers(Mutex<VecDeque<Arc<Notify>>>);

impl Newcomers {
    pub(crate) fn enter(self: &Arc<Newcomers>) -> Arc<Newcomer> {
        let cut = Arc::new(Notify::new());
        self.waiting().push_back(cut.clone());
        Arc::new(Newcomer { among: self.clone(), cut })
    }

    /// Ends the one that has been here longest, so that another has its place.
    pub(crate) fn cut_oldest(&self) {
        if let Some(oldest) = self.waiting().pop_front() {
            oldest.notify_one();
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, until it has shown a person's credential.
pub(crate) struct Newcomer {
    among: Arc<Newcomers>,
    cut: Arc<Notify>,
}

impl Newcomer {
    /// Resolves when another connection is to have its place.
    pub(crate) async fn is_cut(&self) {
        self.cut.notified().await;
    }

    fn proved(&self) {
        self.among.waiting().retain(|other| !Arc::ptr_eq(other, &self.cut));
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.proved();
    }
}

/// The connection of this request is a person's, or a program's that mints runs: it keeps its place.
pub(crate) fn proved(parts: &Parts) {
    if let Some(newcomer) = parts.extensions.get::<Arc<Newcomer>>() {
        newcomer.proved();
    }
}
