//! Accepting: each connection on one of the workers, and no more than there may be.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

use crate::counts::{Stranger, TurnedAway};
use crate::gateway::Workers;
use crate::limits::{SESSIONS_MAX, UNPROVED_MAX};

/// Serves one listener until the task is dropped; `serve` carries a connection to its end.
pub(crate) async fn accept<S, F>(
    listener: TcpListener,
    workers: Workers,
    strangers: Arc<TurnedAway>,
    serve: S,
) where
    S: Fn(TcpStream, SocketAddr, Arc<Newcomer>) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let sessions = Arc::new(Semaphore::new(SESSIONS_MAX));
    let newcomers = Arc::new(Newcomers::default());
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Out of descriptors, or the peer was gone already: others are served on.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Ok(place) = sessions.clone().try_acquire_owned() else {
            strangers.add(Stranger::Full);
            drop(stream);
            continue;
        };
        let Ok(stream) = stream.into_std() else { continue };
        let (serve, strangers) = (serve.clone(), strangers.clone());
        let newcomer = Arc::new(newcomers.enter());
        workers.next().spawn(async move {
            // The stream belongs to the runtime that drives it.
            if let Ok(stream) = TcpStream::from_std(stream) {
                tokio::select! {
                    () = serve(stream, address, newcomer.clone()) => {}
                    () = newcomer.cut.notified() => strangers.add(Stranger::Full),
                }
            }
            drop(place);
        });
    }
}

/// Connections of one listener that have not shown whose they are, oldest first.
#[derive(Default)]
struct Newcomers(Mutex<VecDeque<Arc<Notify>>>);

impl Newcomers {
    /// One more; with too many of them the oldest is cut.
    fn enter(self: &Arc<Newcomers>) -> Newcomer {
        let cut = Arc::new(Notify::new());
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(cut.clone());
        if waiting.len() > UNPROVED_MAX
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.notify_one();
        }
        Newcomer { among: self.clone(), cut }
    }
}

/// A connection, until it has shown whose it is.
pub(crate) struct Newcomer {
    among: Arc<Newcomers>,
    cut: Arc<Notify>,
}

impl Newcomer {
    /// It has shown a run's credential: it keeps its place.
    pub fn proved(&self) {
        let mut waiting = self.among.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|other| !Arc::ptr_eq(other, &self.cut));
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.proved();
    }
}
