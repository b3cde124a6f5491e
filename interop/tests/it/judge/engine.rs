//! What we say of a statement: `crates/sql` as a program of its own, asked in JSON.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The example `rewrite` of `crates/sql`. It ends when its input does.
pub struct Engine {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// The catalog queries: name, SQL.
    pub queries: Vec<(String, String)>,
}

impl Engine {
    pub fn start() -> Engine {
        let program = interop::programs::example("rewrite").unwrap();
        let mut command = Command::new(program);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut engine = Engine { child, input, output, queries: Vec::new() };
        engine.queries = serde_json::from_value(engine.ask(&json!({ "queries": true }))).unwrap();
        engine
    }

    /// One question. That it dies of one is what the test must say.
    pub fn ask(&mut self, question: &Value) -> Value {
        let input = self.input.as_mut().unwrap();
        // In one write: a pipe that is written to in words wakes its reader for each.
        let sent = input.write_all(format!("{question}\n").as_bytes());
        let mut line = String::new();
        let read = sent.and_then(|()| self.output.read_line(&mut line));
        match read.ok().and_then(|_| serde_json::from_str(&line).ok()) {
            Some(answer) => answer,
            None => panic!("crates/sql died of {}", question["sql"]),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.child.wait());
    }
}
