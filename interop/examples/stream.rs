//! Reads a large result row by row and throws it away: the client of the streaming benchmark.
//!
//! `stream CONNECTION_STRING QUERY` prints rows, bytes and seconds.

use std::pin::pin;
use std::time::Instant;
use tokio_postgres::{NoTls, SimpleQueryMessage};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [connection, query] = &words[..] else {
        eprintln!("usage: stream CONNECTION_STRING QUERY");
        std::process::exit(2);
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(stream(connection, query))
}

async fn stream(connection: &str, query: &str) -> Result<(), Box<dyn std::error::Error>> {
    let (client, driver) = tokio_postgres::connect(connection, NoTls).await?;
    let driver = tokio::spawn(driver);
    let begun = Instant::now();
    let (mut rows, mut bytes) = (0u64, 0u64);
    let mut messages = pin!(client.simple_query_raw(query).await?);
    while let Some(message) = next(&mut messages).await {
        if let SimpleQueryMessage::Row(row) = message? {
            rows += 1;
            bytes += (0..row.len()).map(|n| row.get(n).map_or(0, str::len) as u64).sum::<u64>();
        }
    }
    println!("{rows} {bytes} {:.6}", begun.elapsed().as_secs_f64());
    drop(client);
    drop(driver.await);
    Ok(())
}

/// The one stream combinator that is needed here.
async fn next<S: futures_core::Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| std::pin::Pin::new(&mut *stream).poll_next(context)).await
}
