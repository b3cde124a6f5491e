//! Connections of the agent's, from a listener in the jail to the gateway's own under the same address.
//!
//! The gateway sees this process as the client; whose the connection is, it learns from the credential, as always. For the
//! gateway's API, where a process is asked for, this process stands for the agent (`serve::auth`).

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::limits::JAIL_HANDSHAKE;

/// A listener that came as a descriptor.
pub fn listener(descriptor: OwnedFd) -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(descriptor);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Until the task is dropped; with it, its connections end.
pub async fn serve(listener: TcpListener, to: SocketAddr, room: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        // Room first: who comes when there is none waits in the listener's backlog.
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                connections.spawn(async move {
                    carry(client, to).await;
                    drop(place);
                });
            }
            // A client that is gone already, or no descriptors: wait a little rather than spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Bytes both ways until both ends have closed. A gateway that is not there is a closed connection.
async fn carry(mut client: TcpStream, to: SocketAddr) {
    let Ok(Ok(mut gateway)) = tokio::time::timeout(JAIL_HANDSHAKE, TcpStream::connect(to)).await else {
        return;
    };
    for stream in [&client, &gateway] {
        // Without it small messages wait; that is slow and nothing worse.
        let _slow = stream.set_nodelay(true);
    }
    // An end that breaks off is the other's end, too.
    let _broken = copy_bidirectional(&mut client, &mut gateway).await;
}
