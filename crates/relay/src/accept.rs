//! Accepting: each connection on one of the workers, and no more than there may be.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::counts::{Stranger, TurnedAway};
use crate::gateway::Workers;
use crate::limits::SESSIONS_MAX;

/// Serves one listener until the task is dropped; `serve` carries a connection to its end.
pub(crate) async fn accept<S, F>(
    listener: TcpListener,
    workers: Workers,
    strangers: Arc<TurnedAway>,
    serve: S,
) where
    S: Fn(TcpStream, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let sessions = Arc::new(Semaphore::new(SESSIONS_MAX));
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
        let serve = serve.clone();
        workers.next().spawn(async move {
            // The stream belongs to the runtime that drives it.
            if let Ok(stream) = TcpStream::from_std(stream) {
                serve(stream, address).await;
            }
            drop(place);
        });
    }
}
