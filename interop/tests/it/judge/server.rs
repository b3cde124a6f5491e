//! The session that a script runs in, by its own connection.

use super::facts::Rows;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage};

/// As pg_regress connects.
pub async fn connect(port: u16, database: &str) -> Client {
    let address = format!(
        "host=127.0.0.1 port={port} user=postgres password={} dbname={database} sslmode=disable",
        interop::postgres::SUPER_PASSWORD
    );
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    tokio::spawn(connection);
    // What pg_regress sets.
    let settings = "SET statement_timeout = '20s'; SET timezone = 'PST8PDT'; SET datestyle = 'Postgres, MDY'; \
                    SET intervalstyle = 'postgres_verbose'";
    rows(&client, settings).await.unwrap();
    client
}

/// What makes something undone again.
pub fn around(inside: bool) -> (&'static str, &'static str) {
    match inside {
        true => ("SAVEPOINT judge", "ROLLBACK TO judge; RELEASE judge"),
        false => ("BEGIN", "ROLLBACK"),
    }
}

/// The rows of each statement of a text.
pub async fn each(client: &Client, sql: &str) -> Result<Vec<Rows>, Error> {
    let mut out = vec![Rows::new()];
    for message in client.simple_query(sql).await? {
        match message {
            SimpleQueryMessage::Row(row) => {
                let row = (0..row.len()).map(|i| row.try_get(i).ok().flatten().map(str::to_owned)).collect();
                out.last_mut().unwrap().push(row);
            }
            SimpleQueryMessage::CommandComplete(_) => out.push(Rows::new()),
            _ => {}
        }
    }
    Ok(out)
}

/// The rows of a text, of all its statements.
pub async fn rows(client: &Client, sql: &str) -> Result<Rows, Error> {
    Ok(each(client, sql).await?.concat())
}

/// Runs a text. `took_data`: the server has asked for the data.
pub async fn run(
    client: &Client,
    text: &str,
    data: Option<&str>,
    took_data: &mut bool,
) -> Result<Rows, Error> {
    use futures_util::{SinkExt, StreamExt};
    let lower = text.to_lowercase();
    if let Some(data) = data {
        begins(client, text).await?;
        let sink = client.copy_in::<_, bytes::Bytes>(text).await?;
        *took_data = true;
        tokio::pin!(sink);
        sink.send(bytes::Bytes::copy_from_slice(data.as_bytes())).await?;
        sink.finish().await?;
        return Ok(Rows::new());
    }
    if lower.starts_with("copy") && lower.contains("stdout") {
        let stream = client.copy_out(text).await?;
        tokio::pin!(stream);
        while let Some(chunk) = stream.next().await {
            chunk?;
        }
        return Ok(Rows::new());
    }
    rows(client, text).await
}

/// Whether a COPY FROM stdin gets as far as its data. tokio-postgres loses its place in the stream of answers where one
/// does not: so the same is asked of an empty file first, and undone. Files are for few, stdin is for all.
async fn begins(client: &Client, text: &str) -> Result<(), Error> {
    let lower = text.to_lowercase();
    let Some((place, word)) = ["stdin", "stdout"].iter().find_map(|word| Some((lower.find(word)?, word)))
    else {
        return Ok(());
    };
    let (before, after) = (&text[..place], &text[place + word.len()..]);
    let inside = match client.simple_query("SAVEPOINT judge").await {
        Err(error) if error.code() == Some(&SqlState::NO_ACTIVE_SQL_TRANSACTION) => false,
        done => done.map(|_| true)?,
    };
    let (begin, end) = around(inside);
    if !inside {
        client.simple_query(begin).await?;
    }
    let user = rows(client, "SELECT pg_catalog.quote_ident(current_user)").await?;
    let user = user.into_iter().flatten().flatten().next().unwrap_or_default();
    let may = format!(
        "SET LOCAL SESSION AUTHORIZATION DEFAULT; GRANT pg_read_server_files TO {user}; SET LOCAL ROLE {user}"
    );
    client.simple_query(&may).await?;
    let done = client.simple_query(&format!("{before}'/dev/null'{after}")).await;
    client.simple_query(end).await?;
    done.map(drop)
}
