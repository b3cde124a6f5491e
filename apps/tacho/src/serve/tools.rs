//! What servers of MCP say of their tools, and who accepts that it has changed.

use std::sync::Arc;

use console::seat::{Failed, FailedKind, Operator, Role, Tool, Tools};
use mask::Shape;
use relay::Served;
use relay::pins::{Accepted, Pins};

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

    /// All of a definition, with what detectors know in it masked.
    fn shown(&self, definition: &str) -> Option<String> {
        let cell = [Some(definition.as_bytes())];
        let masked = mask::fields(self.0.gate.detectors(), cell, &[Shape::Text], &mut Vec::new());
        String::from_utf8(masked.cells().flatten().next()?.to_vec()).ok()
    }
}

impl Tools for ToolDesk {
    fn list(&self) -> Result<Vec<Tool>, Failed> {
        let of = |(resource, pins): (&str, &Pins)| {
            let resource = resource.to_owned();
            let tool = move |pinned: relay::pins::Pinned| {
                let now = pinned.now.and_then(|now| Some((now.digest, self.shown(&now.definition)?)));
                let (digest, says) = now.unzip();
                let (resource, tool) = (resource.clone(), pinned.tool);
                Tool { resource, tool, changed: pinned.changed, digest, says }
            };
            pins.list().into_iter().map(tool)
        };
        Ok(self.servers().flat_map(of).collect())
    }

    fn accept(&self, by: &Operator, resource: &str, tool: &str, digest: &str) -> Result<(), Failed> {
        if !by.has(Role::Admin) {
            return Err(failed(FailedKind::Forbidden, "this needs the role admin"));
        }
        let server = self.servers().find(|(name, _)| *name == resource);
        let (_, pins) = server.ok_or_else(|| {
            failed(FailedKind::NotFound, format!("there is no server of MCP {resource:?} here"))
        })?;
        taken(pins.would_accept(tool, digest), resource, tool)?;
        self.0.admin(&by.name, "accept-tool", &format!("{resource}/{tool} {digest}"), "done")?;
        let accepted = pins.accept(tool, digest).map_err(|e| {
            failed(FailedKind::Unavailable, format!("it could not be remembered, and is refused still: {e}"))
        })?;
        taken(accepted, resource, tool)
    }
}

/// Errors: it was not accepted.
fn taken(accepted: Accepted, resource: &str, tool: &str) -> Result<(), Failed> {
    match accepted {
        Accepted::Done => Ok(()),
        Accepted::Nothing => {
            let why =
                format!("what {resource} says of {tool:?} has not changed; `tacho tools` lists what has");
            Err(failed(FailedKind::NotFound, why))
        }
        Accepted::Another => {
            let why = format!(
                "that is not the digest of what {resource} says of {tool:?} now; `tacho tools` shows both, once a \
                 client has listed the tools"
            );
            Err(failed(FailedKind::Gone, why))
        }
    }
}
