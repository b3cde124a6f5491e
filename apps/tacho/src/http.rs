//! A small HTTP/1.1 client for the gateway's own API: one request a connection, over its Unix socket or loopback TCP.

use std::net::SocketAddr;
use std::path::PathBuf;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use zeroize::Zeroizing;

use crate::fault::Failure;
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_DEADLINE};

/// Where the API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Address {
    /// Reads `http://HOST:PORT` or `unix:PATH`. Only loopback: a token does not travel in clear.
    pub fn parse(url: &str) -> Result<Address, Failure> {
        if let Some(path) = url.strip_prefix("unix:") {
            return Ok(Address::Unix(path.into()));
        }
        let wrong = || {
            Failure::usage(format!(
                "{url:?} is not the address of a gateway; write http://127.0.0.1:PORT or unix:PATH"
            ))
        };
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
        let rest = rest.strip_prefix("localhost").map_or(rest.to_owned(), |port| format!("127.0.0.1{port}"));
        let address: SocketAddr = rest.parse().map_err(|_| wrong())?;
        if !address.ip().is_loopback() {
            return Err(Failure::usage(format!(
                "{url:?} is on another machine, and a token must not travel in clear; forward a port (`ssh -L`) and use that"
            )));
        }
        Ok(Address::Tcp(address))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "{}", path.display()),
            Address::Tcp(address) => write!(f, "http://{address}"),
        }
    }
}

/// Who is asking, and where.
pub struct Client {
    pub address: Address,
    pub token: Option<Zeroizing<String>>,
}

/// A whole response.
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug)]
pub enum NoReply {
    /// Nothing listens there.
    NobodyThere,
    /// The socket is there, and this user may not open it.
    Forbidden,
    Broken(String),
}

impl NoReply {
    pub fn into_failure(self, address: &Address) -> Failure {
        Failure::could_not(match self {
            NoReply::NobodyThere => format!("no gateway listens on {address}; start one with `tacho up`"),
            NoReply::Forbidden => {
                format!(
                    "you may not open {address}: it is open to the users that have a [[human]] with their uid in tacho.toml; \
                     operators reach the console by --url and a token"
                )
            }
            NoReply::Broken(why) => format!("the gateway on {address} did not answer: {why}; see its log"),
        })
    }
}

impl Client {
    pub async fn get(&self, path: &str) -> Result<Reply, NoReply> {
        self.send(Method::GET, path, Vec::new()).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Reply, NoReply> {
        let exchange = async {
            match &self.address {
                Address::Unix(socket) => {
                    self.exchange(
                        UnixStream::connect(socket).await.map_err(connect_error)?,
                        method,
                        path,
                        body,
                    )
                    .await
                }
                Address::Tcp(address) => {
                    self.exchange(
                        TcpStream::connect(address).await.map_err(connect_error)?,
                        method,
                        path,
                        body,
                    )
                    .await
                }
            }
        };
        tokio::time::timeout(HTTP_DEADLINE, exchange).await.unwrap_or_else(|_| {
            Err(NoReply::Broken(format!("no answer within {} s", HTTP_DEADLINE.as_secs())))
        })
    }

    async fn exchange<S>(
        &self,
        stream: S,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Reply, NoReply>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        // Over TCP the gateway answers to its own address only; over a socket file any name will do.
        let host = match &self.address {
            Address::Unix(_) => "localhost".to_owned(),
            Address::Tcp(address) => address.to_string(),
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.as_str()));
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|e| NoReply::Broken(e.to_string()))?;
        exchange(stream, request, HTTP_BODY_BYTES_MAX).await
    }
}

/// One request and its whole response, of at most `bytes_max`, on a connection of its own.
pub async fn exchange<S>(stream: S, request: Request<Full<Bytes>>, bytes_max: usize) -> Result<Reply, NoReply>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let broken = |e: hyper::Error| NoReply::Broken(e.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let respond = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), bytes_max);
        let body = body.collect().await.map_err(|e| NoReply::Broken(e.to_string()))?.to_bytes().to_vec();
        Ok(Reply { status, body })
    };
    // The connection drives the exchange, and ends with it.
    tokio::pin!(respond);
    tokio::select! {
        reply = &mut respond => reply,
        ended = connection => match ended {
            Ok(()) => respond.await,
            Err(error) => Err(broken(error)),
        },
    }
}

impl Reply {
    /// The gateway did what was asked; else its own sentence.
    pub fn done(&self) -> Result<(), Failure> {
        if (200..300).contains(&self.status) { Ok(()) } else { Err(self.failure()) }
    }

    /// The gateway's own sentence. 4xx is a no (1), or wrong use (2) for 400; 5xx could not (3).
    pub fn failure(&self) -> Failure {
        let sentence = serde_json::from_slice::<serde_json::Value>(&self.body).ok().and_then(|body| {
            let error = body.get("error")?;
            error.as_str().or_else(|| error.get("message")?.as_str()).map(str::to_owned)
        });
        let sentence =
            sentence.unwrap_or_else(|| format!("the gateway answered with status {}", self.status));
        match self.status {
            400 | 422 => Failure::usage(sentence),
            401 | 403 | 404 | 409 | 410 => Failure::no(sentence),
            _ => Failure::could_not(sentence),
        }
    }
}

fn connect_error(error: std::io::Error) -> NoReply {
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => NoReply::NobodyThere,
        std::io::ErrorKind::PermissionDenied => NoReply::Forbidden,
        _ => NoReply::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_travels_only_on_this_machine() {
        assert_eq!(
            Address::parse("http://localhost:7070/").unwrap(),
            Address::Tcp(([127, 0, 0, 1], 7070).into())
        );
        assert_eq!(Address::parse("unix:/run/x.sock").unwrap(), Address::Unix("/run/x.sock".into()));
        for bad in
            ["http://10.0.0.1:7070", "https://127.0.0.1:7070", "127.0.0.1:7070", "http://gw.internal:7070"]
        {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        assert!(Address::parse("http://10.0.0.1:7070").unwrap_err().lines[0].contains("ssh -L"));
    }

    #[test]
    fn the_gateways_own_sentence_reaches_the_user() {
        let reply = |status, body: &str| Reply { status, body: body.as_bytes().to_vec() }.failure();
        let failure = reply(403, r#"{"error":{"message":"you are in none of the groups"}}"#);
        assert_eq!(
            (failure.exit, failure.lines[0].as_str()),
            (crate::fault::Exit::No, "you are in none of the groups")
        );
        assert_eq!(reply(503, "").exit, crate::fault::Exit::CouldNot);
        assert_eq!(reply(400, r#"{"error":"x"}"#).exit, crate::fault::Exit::Usage);
    }

    #[tokio::test]
    async fn nobody_there_is_told_apart() {
        let client = Client { address: Address::Unix("/nonexistent/x.sock".into()), token: None };
        assert!(matches!(client.get("/").await, Err(NoReply::NobodyThere)));
    }
}
