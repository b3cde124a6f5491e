//! A client's message: what it asks.

use super::again::{STATE, can_be_asked};
use super::{META_CAPABILITIES, META_VERSION, Shape, Unreadable, message, range, shape, spliced};
use json::{Kind, Object, Value, folded, folds, string};
use std::collections::BTreeSet;
use std::ops::Range;
use vocab::Verb;

/// A message of a client's.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    /// As JSON. `None`: it is not answered.
    pub id: Option<String>,
    /// As it is said; of a response empty.
    pub method: String,
    /// The same as a constant, for records and policy.
    pub kind: &'static str,
    /// The tool, the prompt or the URI that it names; what `Mcp-Name` repeats.
    pub name: Option<String>,
    /// What it does to which part of the server.
    pub touches: Vec<(Verb, Vec<String>)>,
    /// The tool and its arguments, in one spelling for all that say the same: what a model's decision is held against.
    pub call: Option<String>,
    /// The revision that it says it is in.
    pub version: Option<String>,
    /// Why this is not all that it asks: the first reason.
    pub unknown: Option<&'static str>,
    /// Arguments that are no arrays and no objects, by name.
    scalars: Vec<(String, String)>,
    /// Names of all arguments.
    arguments: Vec<String>,
    /// It brings back what a server asked for.
    brings: bool,
    /// Where the client says what it can do for the server, and what it says.
    offers: Option<Offers>,
}

/// What a client says that it can do: where in the message, each by name, and what it says of it.
#[derive(Clone, PartialEq, Eq)]
struct Offers {
    range: Range<usize>,
    members: Vec<(String, String)>,
}

/// Arguments of a tool that are a part of its resource: `write_file/{path...}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolRoute {
    tool: String,
    places: Vec<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    argument: String,
    /// Its value is a path, each part of it a segment. Last only.
    rest: bool,
}

/// What is known of a method.
enum Does {
    /// It keeps the session, and touches nothing.
    Session,
    /// It is told of changes from now on.
    Listen,
    /// It reads a list.
    List(&'static [&'static str]),
    /// It names one of these, by this member of `params`.
    Named(Verb, &'static str, &'static str),
    Resource,
    Completion,
    Call,
}

fn known(method: &str) -> Option<(&'static str, Does)> {
    Some(match method {
        "initialize" => ("initialize", Does::Session),
        "server/discover" => ("server/discover", Does::Session),
        "ping" => ("ping", Does::Session),
        "logging/setLevel" => ("logging/setLevel", Does::Session),
        "subscriptions/listen" => ("subscriptions/listen", Does::Listen),
        "notifications/initialized" => ("notifications/initialized", Does::Session),
        "notifications/cancelled" => ("notifications/cancelled", Does::Session),
        "notifications/progress" => ("notifications/progress", Does::Session),
        "notifications/roots/list_changed" => ("notifications/roots/list_changed", Does::Session),
        "tools/list" => ("tools/list", Does::List(&["tools"])),
        "prompts/list" => ("prompts/list", Does::List(&["prompts"])),
        "resources/list" => ("resources/list", Does::List(&["resources"])),
        "resources/templates/list" => ("resources/templates/list", Does::List(&["resources"])),
        "tasks/get" => ("tasks/get", Does::Named(Verb::Read, "tasks", "taskId")),
        "tasks/result" => ("tasks/result", Does::Named(Verb::Read, "tasks", "taskId")),
        "tasks/update" => ("tasks/update", Does::Named(Verb::Write, "tasks", "taskId")),
        "tasks/cancel" => ("tasks/cancel", Does::Named(Verb::Write, "tasks", "taskId")),
        "prompts/get" => ("prompts/get", Does::Named(Verb::Read, "prompts", "name")),
        "resources/read" => ("resources/read", Does::Resource),
        "resources/subscribe" => ("resources/subscribe", Does::Resource),
        "resources/unsubscribe" => ("resources/unsubscribe", Does::Resource),
        "completion/complete" => ("completion/complete", Does::Completion),
        "tools/call" => ("tools/call", Does::Call),
        _ => return None,
    })
}

const NO_NAME: &str = "the request does not name what it asks for";
const METHOD: &str = "a method that is not known";
const FIELD: &str = "a structured field that is not known";
const NO_PATH: &str = "an argument that a rule names is no plain path";
const NO_ARGUMENT: &str = "an argument that a rule names is missing, or no single value";
const NO_URI: &str = "a URI whose path could be read in two ways";

/// The longest name of a tool or prompt, and URI, in bytes.
const NAME_BYTES_MAX: usize = 2_048;
/// Most parts of a URI, or of an argument that is a path: each is a level of the resource.
const PARTS_MAX: usize = 64;
/// The longest name of an argument, in bytes.
const ARGUMENT_BYTES_MAX: usize = 256;
/// Most arguments of one call.
const ARGUMENTS_MAX: usize = 1_024;

/// Reads the body of a POST. Errors: what is no single message, a known method without what it must name.
pub fn asked(body: &[u8], routes: &[ToolRoute], open: &[String]) -> Result<Asked, Unreadable> {
    let value = message(body)?;
    let whole = value.object()?;
    let (id, method) = match shape(whole)? {
        Shape::Request { id, method } => (Some(id), method),
        Shape::Notification { method } => (None, method),
        Shape::Response { .. } => (None, String::new()),
    };
    let known = if method.is_empty() { Some(("response", Does::Session)) } else { known(&method) };
    let (kind, does) = known.map_or(("other", None), |(kind, does)| (kind, Some(does)));
    let mut asked = Asked {
        id,
        method,
        kind,
        name: None,
        touches: Vec::new(),
        call: None,
        version: None,
        unknown: None,
        scalars: Vec::new(),
        arguments: Vec::new(),
        brings: false,
        offers: None,
    };
    let params = match whole.get("params")? {
        None => None,
        Some(params) => Some(params.object()?),
    };
    if let Some(params) = params {
        asked.meta(value.raw, params)?;
        let state = params.get("requestState")?.and_then(|state| state.text().ok());
        if state.is_some_and(|state| state.starts_with(STATE)) {
            return Err(Unreadable(
                "what the gateway gave its client to bring back is not brought back as it was given",
            ));
        }
        asked.brings = params.get("requestState")?.is_some() || params.get("inputResponses")?.is_some();
    }
    match (does, params) {
        (None, _) => asked.unknown = Some(METHOD),
        (Some(Does::Listen), Some(params)) => asked.listen(params)?,
        (Some(Does::Session | Does::Listen), _) => asked.touches.push((Verb::Connect, Vec::new())),
        (Some(Does::List(under)), _) => asked.touches.push((Verb::Read, owned(under))),
        (Some(_), None) => return Err(Unreadable(NO_NAME)),
        (Some(Does::Named(verb, under, key)), Some(params)) => {
            let name = named(params, key)?;
            asked.touches.push((verb, owned(&[under, &name])));
            asked.name = Some(name);
        }
        (Some(Does::Resource), Some(params)) => {
            let uri = named(params, "uri")?;
            asked.uri(&uri)?;
            asked.name = Some(uri);
        }
        (Some(Does::Completion), Some(params)) => asked.completion(params)?,
        (Some(Does::Call), Some(params)) => asked.call(params, routes, open)?,
    }
    Ok(asked)
}

fn owned(segments: &[&str]) -> Vec<String> {
    segments.iter().map(|segment| (*segment).to_owned()).collect()
}

fn named(params: Object<'_, '_>, key: &str) -> Result<String, Unreadable> {
    let name = params.need(key, NO_NAME)?;
    match name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        true => Err(Unreadable("a name is longer than 2,048 bytes, or has control characters")),
        false => Ok(name.to_owned()),
    }
}

impl Asked {
    /// The names of the arguments, and of those in `open` that are no arrays and no objects `name=value`.
    pub fn arguments(&self, open: &[String]) -> Vec<String> {
        let values = self.scalars.iter().filter(|(name, _)| open.contains(name));
        let values = values.map(|(name, value)| format!("{name}={value}"));
        self.arguments.iter().cloned().chain(values).collect()
    }

    /// Whether some argument says `value`, as a header repeats it.
    pub fn says(&self, value: &str) -> bool {
        self.scalars.iter().any(|(_, said)| said == value)
    }

    /// What the client says that it can do for the server: `sampling`, `elicitation`, `roots` and others.
    pub fn offers(&self) -> impl Iterator<Item = &str> {
        self.offers.iter().flat_map(|offers| offers.members.iter().map(|(name, _)| name.as_str()))
    }

    /// Whether its client shows its user forms and sends it again: a request that may be answered by a question
    /// (2026-07-28), and brings nothing back to a server.
    pub fn can_be_asked(&self) -> bool {
        let offers = self.offers.iter().flat_map(|offers| &offers.members);
        let elicitation =
            offers.filter(|(name, _)| name == "elicitation").map(|(_, raw)| raw.as_str()).next();
        let may = matches!(self.kind, "tools/call" | "prompts/get" | "resources/read") && self.id.is_some();
        may && !self.brings && can_be_asked(self.version.as_deref(), elicitation)
    }

    /// `body`, from which this was read, without those offers that `goes` takes.
    pub fn without_offers(&self, body: &[u8], goes: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
        let Offers { range, members } = self.offers.as_ref()?;
        if !members.iter().any(|(name, _)| goes(name)) {
            return None;
        }
        let mut rest = String::from("{");
        for (name, raw) in members.iter().filter(|(name, _)| !goes(name)) {
            if rest.len() > 1 {
                rest.push(',');
            }
            string(&mut rest, name);
            rest.push(':');
            rest.push_str(raw);
        }
        rest.push('}');
        let text = std::str::from_utf8(body).ok()?;
        // White space before the message is not a part of it.
        let from = text.len() - text.trim_start_matches([' ', '\t', '\n', '\r']).len();
        Some(spliced(text, range.start + from..range.end + from, &rest).into_bytes())
    }

    fn meta(&mut self, text: &str, params: Object<'_, '_>) -> Result<(), Unreadable> {
        let meta = params.object("_meta")?;
        self.version = match meta.map(|meta| meta.text(META_VERSION)).transpose()?.flatten() {
            Some(version) => Some(version.to_owned()),
            None if self.method == "initialize" => params.text("protocolVersion")?.map(str::to_owned),
            None => None,
        };
        let offered = match self.method == "initialize" {
            true => params.get("capabilities")?,
            false => meta.map(|meta| meta.get(META_CAPABILITIES)).transpose()?.flatten(),
        };
        if let Some(offered) = offered {
            let members = offered.object()?.members().iter();
            let members = members.map(|(name, value)| (name.to_string(), value.raw.to_owned()));
            self.offers = Some(Offers { range: range(text, offered.raw), members: members.collect() });
        }
        Ok(())
    }

    /// A URI is its scheme and the parts of its path. One that has an authority where `file:` has none, empty parts or escapes
    /// is read in several ways.
    fn uri(&mut self, uri: &str) -> Result<(), Unreadable> {
        let (scheme, rest) = uri.split_once("://").map_or((None, uri), |(scheme, rest)| (Some(scheme), rest));
        let file = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("file"));
        let inside = if file { rest.strip_prefix('/') } else { Some(rest) };
        let parts: Vec<&str> = inside.unwrap_or(rest).split('/').take(PARTS_MAX + 2).collect();
        if parts.len() > PARTS_MAX {
            return Err(Unreadable("a URI has more than 64 parts"));
        }
        let (last, others) = parts.split_last().unwrap_or((&"", &[]));
        let odd = |part: &str| matches!(part, "." | "..");
        if inside.is_none()
            || others.iter().any(|part| part.is_empty())
            || parts.iter().any(|part| odd(part))
            || uri.contains(['%', '\\', ';'])
        {
            self.unknown = Some(NO_URI);
        }
        let mut path = owned(&["resources"]);
        path.extend(scheme.map(|scheme| format!("{scheme}:")));
        path.extend(
            others.iter().chain([last]).filter(|part| !part.is_empty()).map(|part| (*part).to_owned()),
        );
        self.touches.push((Verb::Read, path));
        Ok(())
    }

    /// `subscriptions/listen` (2026-07-28): what it wants to hear of.
    fn listen(&mut self, params: Object<'_, '_>) -> Result<(), Unreadable> {
        self.touches.push((Verb::Connect, Vec::new()));
        let Some(wanted) = params.object("notifications")? else { return Ok(()) };
        if wanted.has_structure_beside(&["resourceSubscriptions"]) {
            self.unknown = Some(FIELD);
        }
        let uris = wanted.items("resourceSubscriptions")?;
        if uris.len() > PARTS_MAX {
            return Err(Unreadable("more than 64 resources are listened to at once"));
        }
        uris.iter().try_for_each(|uri| self.uri(uri.text()?))
    }

    fn completion(&mut self, params: Object<'_, '_>) -> Result<(), Unreadable> {
        let to = params.object("ref")?.ok_or(Unreadable(NO_NAME))?;
        match to.text("type")? {
            Some("ref/prompt") => {
                self.touches.push((Verb::Read, owned(&["prompts", &named(to, "name")?])));
            }
            Some("ref/resource") => self.uri(&named(to, "uri")?)?,
            _ => self.unknown = Some("a completion of what is not known"),
        }
        Ok(())
    }

    fn call(
        &mut self,
        params: Object<'_, '_>,
        routes: &[ToolRoute],
        open: &[String],
    ) -> Result<(), Unreadable> {
        const KNOWN: &[&str] = &["name", "arguments", "_meta", "task", "inputResponses", "requestState"];
        let tool = named(params, "name")?;
        if params.has_structure_beside(KNOWN) {
            self.unknown = Some(FIELD);
        }
        let mut canonical = String::from("{}");
        let members = match params.get("arguments")? {
            None => &[][..],
            Some(arguments) => {
                canonical.clear();
                arguments.canonical(&mut canonical);
                arguments.object()?.members()
            }
        };
        if members.len() > ARGUMENTS_MAX {
            return Err(Unreadable("the call has more than 1,024 arguments"));
        }
        let places = routes.iter().flat_map(|route| &route.places).map(|place| &place.argument);
        let decided: Vec<&String> = places.chain(open).collect();
        let mut seen = BTreeSet::new();
        for (name, value) in members {
            let other = |known: &&String| ***known != **name && folds(name, known);
            // Policy is told `name` and `name=value`.
            let doubtful = name.len() > ARGUMENT_BYTES_MAX || name.contains('=');
            if doubtful || !seen.insert(folded(name)) || decided.iter().any(other) {
                return Err(Unreadable("an argument is named in a way that readers take differently"));
            }
            self.arguments.push(name.to_string());
            self.scalars.extend(scalar(value).map(|said| (name.to_string(), said)));
        }
        let own = || routes.iter().filter(|route| route.tool == tool);
        for route in own() {
            match route.path(&self.scalars) {
                Ok(path) => self.touches.push((Verb::Call, path)),
                Err(why) => {
                    self.touches.push((Verb::Call, owned(&["tools", &tool])));
                    self.unknown.get_or_insert(why);
                }
            }
        }
        if own().next().is_none() {
            self.touches.push((Verb::Call, owned(&["tools", &tool])));
        }
        self.call = Some(format!("{tool} {canonical}"));
        self.name = Some(tool);
        Ok(())
    }
}

fn scalar(value: &Value<'_>) -> Option<String> {
    match &value.kind {
        Kind::Text(text) => Some(text.to_string()),
        Kind::Number | Kind::Bool(_) => Some(value.raw.to_owned()),
        Kind::Null | Kind::Array(_) | Kind::Object(_) => None,
    }
}

impl ToolRoute {
    /// Reads `TOOL/{argument}/{argument...}`. Errors: a sentence for whoever wrote it.
    pub fn parse(text: &str) -> Result<ToolRoute, &'static str> {
        let (mut tool, mut places) = (text, Vec::new());
        while let Some((before, last)) = tool.rsplit_once('/')
            && let Some(name) = last.strip_prefix('{').and_then(|last| last.strip_suffix('}'))
        {
            let (name, rest) = name.strip_suffix("...").map_or((name, false), |name| (name, true));
            if name.is_empty() || name.contains(['{', '}']) {
                return Err("a placeholder is {argument}, or at the end {argument...}");
            }
            if rest && !places.is_empty() {
                return Err("{argument...} must be the last");
            }
            places.insert(0, Place { argument: name.to_owned(), rest });
            tool = before;
        }
        if tool.is_empty() || tool.contains(['{', '}']) || places.is_empty() {
            return Err("it is TOOL/{argument}, or TOOL/{argument...} for an argument that is a path");
        }
        Ok(ToolRoute { tool: tool.to_owned(), places })
    }

    pub fn tool(&self) -> &str {
        &self.tool
    }

    fn path(&self, scalars: &[(String, String)]) -> Result<Vec<String>, &'static str> {
        let mut path = owned(&["tools", &self.tool]);
        for place in &self.places {
            let found = scalars.iter().find(|(name, _)| *name == place.argument);
            let value = found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty());
            let value = value.ok_or(NO_ARGUMENT)?;
            if !place.rest {
                path.push(value.to_owned());
                continue;
            }
            let inside = value.strip_prefix('/').unwrap_or(value);
            let inside = inside.strip_suffix('/').unwrap_or(inside);
            let odd = |part: &str| matches!(part, "" | "." | "..");
            if inside.split('/').take(PARTS_MAX + 1).count() > PARTS_MAX {
                return Err(NO_PATH);
            }
            if value.contains(['\\', '~', '\0', ';']) || (!inside.is_empty() && inside.split('/').any(odd)) {
                return Err(NO_PATH);
            }
            path.extend(inside.split('/').filter(|part| !part.is_empty()).map(str::to_owned));
        }
        Ok(path)
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asked({}, {} touched, unknown {:?})", self.kind, self.touches.len(), self.unknown)
    }
}
