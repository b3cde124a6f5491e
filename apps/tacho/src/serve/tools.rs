//! What servers of MCP say of their tools, and who accepts that it has changed.

use std::sync::Arc;

use console::seat::{Failed, FailedKind, Operator, Role, Tool, Tools};
use relay::Served;
use relay::pins::Pins;

use super::{Shared, failed};

/// The seat of the tools.
pub struct ToolDesk(pub Arc<Shared>);

impl ToolDesk {
    fn servers(&self) -> impl Iterator<Item = (&str, &Pins)> {
        self.0.serving.resources.iter().filter_map(|served| match served {
            Served::Http(http) => Some((&*http.config.name, &http.config.mcp.as_ref()?.pins)),
            Served::Postgres(_) | Served::Ssh(_) => None,
        })
    }
}

impl Tools for ToolDesk {
    fn list(&self) -> Result<Vec<Tool>, Failed> {
        let of = |(resource, pins): (&str, &Pins)| {
            let resource = resource.to_owned();
            let tool = move |pinned: relay::pins::Pinned| Tool {
                resource: resource.clone(),
                tool: pinned.tool,
                changed: pinned.changed,
            };
            pins.list().into_iter().map(tool)
        };
        Ok(self.servers().flat_map(of).collect())
    }

    fn accept(&self, by: &Operator, resource: &str, tool: &str) -> Result<(), Failed> {
        if !by.has(Role::Admin) {
            return Err(failed(FailedKind::Forbidden, "this needs the role admin"));
        }
        let server = self.servers().find(|(name, _)| *name == resource);
        let (_, pins) = server.ok_or_else(|| {
            failed(FailedKind::NotFound, format!("there is no server of MCP {resource:?} here"))
        })?;
        if !pins.has_changed(tool) {
            let why =
                format!("what {resource} says of {tool:?} has not changed; `tacho tools` lists what has");
            return Err(failed(FailedKind::NotFound, why));
        }
        self.0.admin(&by.name, "accept-tool", &format!("{resource}/{tool}"), "done")?;
        pins.accept(tool).map(drop).map_err(|e| {
            failed(FailedKind::Unavailable, format!("it could not be remembered, and is refused still: {e}"))
        })
    }
}
