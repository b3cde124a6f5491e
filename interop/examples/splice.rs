//! The least that a proxy can do: copy bytes both ways. The floor in `cargo xtask bench postgres`.
//!
//! `splice LISTEN_PORT UPSTREAM_PORT`, on one thread, with buffers of 16 KiB.

use std::net::Ipv4Addr;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

const BUFFER_BYTES: usize = 16 << 10;

fn main() -> std::io::Result<()> {
    let ports: Vec<u16> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [listen, upstream] = ports[..] else {
        eprintln!("usage: splice LISTEN_PORT UPSTREAM_PORT");
        std::process::exit(2);
    };
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(listen, upstream))
}

async fn serve(listen: u16, upstream: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen)).await?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A connection that ends badly ends: a benchmark sees it on the client's side.
            drop(splice(client, upstream).await);
        });
    }
}

async fn splice(mut client: TcpStream, upstream: u16) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}
