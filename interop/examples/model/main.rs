//! A language model as far as its clients can tell: Chat Completions, Responses and Messages, streamed or not. What it says stands
//! in a script, so that nothing needs a network and each run hears the same.
//!
//! `model questions PORT LOG [CERT KEY]`: answers what the tests ask; each request is a line of JSON in LOG.
//! `model turns PORT FILE`: one turn after the other, as the demo's FILE has them.
//! `model orders PORT`: does what its task and, after it, what any tool's result orders, as injected models do.
//!
//! Reading order: `script` (what it says) -> `dialect` (in whose words) -> `http`.

mod dialect;
mod http;
mod script;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use dialect::Dialect;
use http::{Answer, Request};
use script::Script;
use serde_json::{Value, json};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Err(why) = run(&words) {
        eprintln!("model: {why}");
        std::process::exit(2);
    }
}

fn run(words: &[&str]) -> Result<(), Box<dyn std::error::Error>> {
    let (script, log, port, tls) = match words {
        ["questions", port, log, rest @ ..] => {
            let tls = match rest {
                [] => None,
                [certificate, key] => Some(http::tls(Path::new(certificate), Path::new(key))?),
                _ => return Err("usage: model questions PORT LOG [CERT KEY]".into()),
            };
            (Script::Questions, Some(Mutex::new(File::create(log)?)), port, tls)
        }
        ["turns", port, file] => {
            (Script::Turns(serde_json::from_slice(&std::fs::read(file)?)?), None, port, None)
        }
        ["orders", port] => (Script::Orders, None, port, None),
        _ => return Err("usage: model questions|turns|orders PORT ...".into()),
    };
    let model = Model { script, log, number: AtomicU64::new(1) };
    http::serve(port.parse()?, tls, move |request| model.answer(request))?;
    Ok(())
}

struct Model {
    script: Script,
    log: Option<Mutex<File>>,
    /// The next answer's.
    number: AtomicU64,
}

impl Model {
    fn answer(&self, request: &Request) -> Answer {
        let path = request.path.strip_prefix("/v1").unwrap_or(&request.path);
        let dialect = match (&*request.method, path) {
            ("POST", "/chat/completions") => Dialect::Chat,
            ("POST", "/responses") => Dialect::Responses,
            ("POST", "/messages") => Dialect::Messages,
            ("GET", "/models") | ("POST", "/strange") => return Answer::Whole(200, models()),
            _ => return Answer::Whole(404, json!({"error": {"message": "there is nothing here"}})),
        };
        let said = serde_json::from_slice(&request.body).ok().and_then(|body| {
            self.note(request, &body);
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            Some(dialect.answer(&body, number, &self.script.says(&dialect.asked(&body)?, &body)?))
        });
        said.unwrap_or_else(|| {
            Answer::Whole(400, json!({"error": {"message": "the script has nothing to say to that"}}))
        })
    }

    /// A line of the log. What cannot be written shows as a test that does not find it.
    fn note(&self, request: &Request, body: &Value) {
        let Some(log) = &self.log else { return };
        let headers: Value =
            request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let line = json!({"path": request.path, "headers": headers, "body": body});
        if let Ok(mut log) = log.lock() {
            drop(log.write_all(format!("{line}\n").as_bytes()));
        }
    }
}

fn models() -> Value {
    let only = json!({"id": "scripted-1", "object": "model", "created": 1, "owned_by": "us"});
    json!({"object": "list", "data": [only]})
}
