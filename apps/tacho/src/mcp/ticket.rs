//! What `tacho mcp` finds in the run's home: where each server's listener is, and the run's credential. Children of a client
//! of MCP inherit HOME and PATH and hardly more, so it cannot stand in a variable.

use std::path::Path;

use console::seat::MintedResource;
use serde::{Deserialize, Serialize};

use crate::fault::Failure;
use crate::limits::TICKETS_BYTES_MAX;
use crate::run::environment::{api_key, scheme};

/// The file in a run's home; only its user may read it.
pub const FILE: &str = ".tacho-mcp.json";

/// The way to one server of MCP.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ticket {
    pub name: String,
    pub scheme: String,
    pub host: String,
    pub port: u16,
    /// Where the listener serves it.
    pub path: String,
    /// Its client starts it.
    pub stdio: bool,
    /// The run is carried out again: the record answers, and no server is started.
    pub again: bool,
    /// The run's credential, as a bearer token.
    pub key: String,
}

impl Ticket {
    /// `host:port`, as URLs write it.
    pub fn authority(&self) -> String {
        format!("{}:{}", crate::run::environment::bracketed(&self.host), self.port)
    }
}

/// The file's text for a run that was minted. `again`: as in [`Ticket`].
pub fn text(resources: &[MintedResource], again: bool) -> String {
    let ticket = |resource: &MintedResource| Ticket {
        name: resource.name.clone(),
        scheme: scheme(resource).to_owned(),
        host: resource.host.clone(),
        port: resource.port,
        path: resource.settings.get("path").cloned().unwrap_or_else(|| "/".to_owned()),
        stdio: resource.settings.contains_key("stdio"),
        again,
        key: api_key(resource),
    };
    let tickets: Vec<Ticket> = resources.iter().filter(|r| r.kind == "mcp").map(ticket).collect();
    serde_json::json!(tickets).to_string()
}

/// Those of the run that this process is in.
pub fn all() -> Result<Vec<Ticket>, Failure> {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let path = Path::new(&home).join(FILE);
    let outside = || {
        Failure::usage(format!(
            "there is no {}: `tacho mcp` is started inside a run (`tacho run`), by whoever has the run's own HOME",
            path.display()
        ))
    };
    let file = std::fs::File::open(&path).map_err(|_| outside())?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(file, TICKETS_BYTES_MAX), &mut text)
        .map_err(|e| Failure::file("read", &path, &e))?;
    serde_json::from_str(&text)
        .map_err(|_| Failure::could_not(format!("{} is not what `tacho run` wrote", path.display())))
}

/// The one that is meant. `starts`: a command was given.
pub fn choose(all: Vec<Ticket>, name: Option<&str>, starts: bool) -> Result<Ticket, Failure> {
    let kind = if starts { "`upstream = \"stdio:\"`" } else { "a URL for upstream" };
    let listed = |tickets: &[Ticket]| {
        let names: Vec<&str> = tickets.iter().map(|ticket| ticket.name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    if let Some(name) = name {
        let there = listed(&all);
        let found = all.into_iter().find(|ticket| ticket.name == name);
        let found = found.ok_or_else(|| {
            Failure::usage(format!("no server of MCP is configured as {name:?}; there are: {there}"))
        })?;
        return match (found.stdio, starts) {
            (true, false) => Err(Failure::usage(format!(
                "{name} is a server that its client starts; write `tacho mcp {name} -- COMMAND`"
            ))),
            (false, true) => Err(Failure::usage(format!(
                "{name} is a server behind the gateway, and no command starts it; write `tacho mcp {name}`"
            ))),
            (true, true) | (false, false) => Ok(found),
        };
    }
    let mut fit: Vec<Ticket> = all.into_iter().filter(|ticket| ticket.stdio == starts).collect();
    match (fit.pop(), fit.is_empty()) {
        (Some(one), true) => Ok(one),
        (last, _) => {
            fit.extend(last);
            let there = listed(&fit);
            Err(Failure::usage(format!(
                "of the resources of kind mcp not exactly one has {kind}; name the one that is meant: {there}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets() -> Vec<Ticket> {
        let resource = |name: &str, kind: &str, stdio: bool| MintedResource {
            name: name.to_owned(),
            kind: kind.to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 7445,
            user: "run_1".to_owned(),
            password: "pw".to_owned(),
            database: None,
            certificate: None,
            settings: stdio.then(|| ("stdio".to_owned(), String::new())).into_iter().collect(),
        };
        let all =
            [resource("crm", "postgres", false), resource("files", "mcp", true), resource("a", "mcp", false)];
        serde_json::from_str(&text(&all, false)).unwrap()
    }

    fn chosen(name: Option<&str>, starts: bool) -> Result<String, String> {
        choose(tickets(), name, starts).map(|t| t.name.clone()).map_err(|f| f.to_string())
    }

    #[test]
    fn a_server_is_named_or_the_only_one_of_its_kind() {
        assert_eq!(tickets()[0].key, "run_1.pw");
        assert_eq!(chosen(None, true).unwrap(), "files");
        assert_eq!(chosen(None, false).unwrap(), "a");
        assert_eq!(chosen(Some("files"), true).unwrap(), "files");
        assert!(chosen(Some("files"), false).unwrap_err().contains("-- COMMAND"));
        assert!(chosen(Some("a"), true).unwrap_err().contains("write `tacho mcp a`"));
        assert!(chosen(Some("crm"), true).unwrap_err().contains("files, a"));
        let two: Vec<Ticket> = tickets().into_iter().chain(tickets()).collect();
        assert!(choose(two, None, true).err().unwrap().to_string().contains("files, files"));
    }
}
