//! An HTTP service: its upstream URL, where its credential goes, its routes, and what of its answers is governed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use mask::body::{JsonPath, PathRule};
use proto_http::action::{Route, Routes};
use proto_http::mcp::ToolRoute;
use relay::config::{ClusterService, Inject, Version};
use vocab::MaskKind;

use super::cluster::Login;
use super::raw::{RawMask, RawResource};
use super::reader::At;
use super::resolve::Resolver;
use crate::limits::{MASKS_PER_RESOURCE_MAX, ROUTES_PER_RESOURCE_MAX};

/// A service that is reached over HTTP.
#[derive(Clone, Debug)]
pub struct Service {
    pub upstream: HttpUpstream,
    pub inject: Inject,
    pub routes: Routes,
    /// Set where it serves a language model (`kind = "llm"`).
    pub model: Option<Model>,
    /// Set where it is a server of MCP (`kind = "mcp"`).
    pub mcp: Option<Mcp>,
    /// Set where it is the API of a cluster (`kind = "kubernetes"`).
    pub cluster: Option<ClusterService>,
    /// Set where something else than the URL says where a cluster is and who the gateway is there: it is read when it is dialled.
    pub login: Option<Login>,
    pub masks: Vec<PathMask>,
    /// Answers that are not JSON are masked by detectors alone.
    pub text: bool,
    /// Of HTTP, towards the service.
    pub version: Version,
}

/// What is particular about a language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Whose clients find it by their own variables: OpenAI's or Anthropic's.
    pub anthropic: bool,
    /// What is found in what leaves for it is masked; else reported.
    pub masks_prompts: bool,
}

/// What is particular about a server of MCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mcp {
    /// Arguments of tools that are a part of their resources.
    pub routes: Vec<ToolRoute>,
    /// Arguments whose values policy sees.
    pub open: Vec<String>,
    /// A tool whose description changes is refused; else reported.
    pub refuses_changed: bool,
    /// Set where its client starts it, by `tacho mcp` (`upstream = "stdio:"`): there is nothing to dial.
    pub stdio: Option<Stdio>,
}

/// What is particular about a server that its client starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stdio {
    /// Programs that a run finds as `tacho mcp` of this resource.
    pub shims: Vec<String>,
}

/// The upstream of a server that its client starts.
pub const STDIO: &str = "stdio:";

/// A governed place in JSON answers: its path as it was written, and read.
#[derive(Clone, Debug)]
pub struct PathMask {
    pub path: String,
    pub rule: PathRule,
}

/// `https://host:port/base`, or `http://` on the machine itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUpstream {
    pub https: bool,
    pub host: String,
    pub port: u16,
    /// Empty, or a path that begins with a slash and does not end with one.
    pub base: String,
    /// Authorities to trust instead of the system's.
    pub root_certificates: Option<PathBuf>,
}

impl HttpUpstream {
    /// Reads a URL. Errors: every sentence that is wrong with it; none repeats what could be a password.
    pub fn parse(url: &str, insecure: bool) -> Result<HttpUpstream, Vec<String>> {
        let (https, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => {
                return Err(vec!["it has to begin with https:// (or http:// on this machine)".into()]);
            }
        };
        let mut wrong = Vec::new();
        let (authority, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            wrong.push(
                "it holds a user or password, which this file must not; put it into an environment variable or a file \
                 and write credential = { env = \"NAME\" } or { file = \"PATH\" }"
                    .to_owned(),
            );
        }
        if rest.contains(['?', '#']) {
            wrong.push("it has a query or a fragment; a resource is a host and a path".to_owned());
        }
        let (host, port) = host_and_port(authority, if https { 443 } else { 80 }, &mut wrong);
        let base = base.trim_end_matches('/').to_owned();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
        let odd = |segment: &str| matches!(segment, "." | "..");
        if !base.bytes().all(plain) || base.contains("//") || base.split('/').any(odd) {
            wrong.push("its path is not of plain segments, as /v2/eu".to_owned());
        }
        let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !https && !local && !insecure {
            wrong.push(
                "http:// would talk to another machine without proof of who it is; use https:// (with ca = \"FILE\" for \
                 your own authority), or add insecure = true to the resource to accept that"
                    .to_owned(),
            );
        }
        match wrong.is_empty() {
            true => Ok(HttpUpstream { https, host, port, base, root_certificates: None }),
            false => Err(wrong),
        }
    }

    /// Nothing that could be dialled: what `Host` says to a server that its client started, and the only path there.
    fn stdio() -> HttpUpstream {
        let (host, base) = ("stdio".to_owned(), "/mcp".to_owned());
        HttpUpstream { https: false, host, port: 80, base, root_certificates: None }
    }

    /// Nothing that is known yet: a kubeconfig says where it is.
    fn elsewhere() -> HttpUpstream {
        HttpUpstream {
            https: true,
            host: "kubeconfig".to_owned(),
            port: 443,
            base: String::new(),
            root_certificates: None,
        }
    }

    /// What `Host` says: the port where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.https, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// As it was configured, for people and records.
    pub fn address(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.base)
    }
}

fn host_and_port(authority: &str, usual: u16, wrong: &mut Vec<String>) -> (String, u16) {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let (host, port) = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let port = match port {
        "" => usual,
        digits => digits.parse().ok().filter(|port| *port != 0).unwrap_or_else(|| {
            wrong.push("its port is not a number from 1 to 65535".to_owned());
            0
        }),
    };
    let name = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if host.is_empty() || !(name(host) || host.parse::<Ipv6Addr>().is_ok()) {
        wrong.push("its host is not a name or an address".to_owned());
    }
    (host.to_ascii_lowercase(), port)
}

impl Resolver<'_> {
    pub(super) fn service(&mut self, place: &str, raw: RawResource<'_>, kind: &str) -> Option<Service> {
        let stdio = self.stdio(place, &raw, kind);
        let started = stdio.is_some();
        let login = if kind == "kubernetes" { self.login(place, &raw) } else { None };
        let parse = |url: &str| match (&stdio, &login) {
            (Some(_), _) => Ok(HttpUpstream::stdio()),
            (None, Some(_)) => Ok(HttpUpstream::elsewhere()),
            (None, None) => HttpUpstream::parse(url, raw.insecure),
        };
        let upstream = raw.upstream.and_then(|url| match parse(url.value) {
            Ok(upstream) => Some(upstream),
            Err(wrong) => {
                wrong.iter().for_each(|w| {
                    self.problems.at(&url.span, format!("{place}: of the upstream's URL: {w}"))
                });
                None
            }
        });
        let root_certificates = raw.ca.map(|ca| self.path(ca.value));
        let model = match kind == "llm" {
            true => Some(self.model(place, raw.dialect.as_ref(), raw.prompts.as_ref())?),
            false => None,
        };
        let mcp = match kind == "mcp" {
            true => {
                let mcp = self.mcp(place, &raw.tools, &raw.open_arguments, raw.changed_tools.as_ref());
                Some(Mcp { stdio, ..mcp })
            }
            false => None,
        };
        let inject = match raw.inject {
            Some(inject) if inject.value == "sigv4" => {
                self.sigv4(place, &inject, raw.region.as_ref(), raw.service.as_ref())
            }
            Some(inject) => self.inject(place, &inject),
            None if model.is_some_and(|model| model.anthropic) => {
                Some(Inject::Header("x-api-key".to_owned()))
            }
            None => Some(Inject::Bearer),
        };
        let routes = self.routes(place, &raw.routes);
        let (masks, cluster) = match kind == "kubernetes" {
            true => {
                let (masks, cluster) = self.cluster(place, raw.masks, raw.impersonate);
                (masks, Some(cluster))
            }
            false => (self.path_masks(place, raw.masks), None),
        };
        let text = match raw.text {
            None => false,
            Some(text) if text.value == "opaque" => false,
            Some(text) => {
                if text.value != "detectors" {
                    let what = format!(
                        "{place}: text = {:?} is not known; it is opaque (the default) or detectors",
                        text.value
                    );
                    self.problems.at(&text.span, what);
                }
                true
            }
        };
        let version = match (kind, &raw.http) {
            // Each session has a connection of its own, and an exec begins in HTTP/1.1 anyway.
            ("kubernetes", None) => Version::One,
            _ => self.version(place, raw.http.as_ref(), started),
        };
        let upstream = HttpUpstream { root_certificates, ..upstream? };
        Some(Service {
            upstream,
            inject: inject?,
            routes: routes?,
            model,
            mcp,
            cluster,
            login,
            masks,
            text,
            version,
        })
    }

    /// `stdio`: the service is a server of MCP that its client starts.
    fn version(&mut self, place: &str, http: Option<&At<&str>>, stdio: bool) -> Version {
        let Some(at) = http else { return Version::Offered };
        let wrong = match at.value {
            "1.1" => return Version::One,
            "2" if !stdio => return Version::Two,
            "2" => format!(
                "{place}: http = \"2\" is for services that are dialled; upstream = \"{STDIO}\" is not"
            ),
            other => format!("{place}: http = {other:?} is not known; it is \"1.1\" or \"2\""),
        };
        self.problems.at(&at.span, wrong);
        Version::Offered
    }

    fn mcp(&mut self, place: &str, tools: &[At<&str>], open: &[At<&str>], changed: Option<&At<&str>>) -> Mcp {
        if let Some(first_too_many) = tools.get(ROUTES_PER_RESOURCE_MAX) {
            let what = format!("{place}: there are more than {ROUTES_PER_RESOURCE_MAX} tools");
            self.problems.at(&first_too_many.span, what);
        }
        let mut routes = Vec::new();
        for text in tools {
            match ToolRoute::parse(text.value) {
                Ok(route) => routes.push(route),
                Err(why) => self.problems.at(&text.span, format!("{place}: tool {:?}: {why}", text.value)),
            }
        }
        let refuses_changed = changed.is_none_or(|changed| changed.value != "report");
        if let Some(at) = changed.filter(|changed| !matches!(changed.value, "refuse" | "report")) {
            let what = format!(
                "{place}: changed_tools = {:?} is not known; it is refuse (the default) or report",
                at.value
            );
            self.problems.at(&at.span, what);
        }
        let open = open.iter().map(|name| name.value.to_owned()).collect();
        Mcp { routes, open, refuses_changed, stdio: None }
    }

    /// A server that its client starts: it has no address, and nobody to show a credential to.
    fn stdio(&mut self, place: &str, raw: &RawResource<'_>, kind: &str) -> Option<Stdio> {
        let stdio = kind == "mcp" && raw.upstream.as_ref().is_some_and(|url| url.value == STDIO);
        let mut shims = Vec::new();
        for shim in &raw.shims {
            match is_program(shim.value) {
                true if stdio => shims.push(shim.value.to_owned()),
                true => self.problems.at(
                    &shim.span,
                    format!(
                        "{place}: `shims` is for a server that its client starts; write upstream = {STDIO:?}"
                    ),
                ),
                false => self.problems.at(
                    &shim.span,
                    format!(
                        "{place}: shim {:?} is not the name of a program; use letters, digits and - _ . +",
                        shim.value
                    ),
                ),
            }
        }
        if !stdio {
            return None;
        }
        let inject = raw.inject.as_ref().map(|at| at.span.clone());
        let ca = raw.ca.as_ref().map(|at| at.span.clone());
        for (key, at) in [("inject", inject), ("ca", ca)] {
            if let Some(at) = at {
                self.problems
                    .at(&at, format!("{place}: `{key}` means nothing where its client starts the server"));
            }
        }
        Some(Stdio { shims })
    }

    fn model(
        &mut self,
        place: &str,
        dialect: Option<&At<&str>>,
        prompts: Option<&At<&str>>,
    ) -> Option<Model> {
        let anthropic = match dialect.map(|dialect| dialect.value) {
            None | Some("openai") => Some(false),
            Some("anthropic") => Some(true),
            Some(_) => None,
        };
        let masks_prompts = match prompts.map(|prompts| prompts.value) {
            None | Some("mask") => Some(true),
            Some("report") => Some(false),
            Some(_) => None,
        };
        for (key, at, wrong, right) in [
            ("dialect", dialect, anthropic.is_none(), "openai (the default) or anthropic"),
            ("prompts", prompts, masks_prompts.is_none(), "mask (the default) or report"),
        ] {
            if let (Some(at), true) = (at, wrong) {
                let what = format!("{place}: {key} = {:?} is not known; it is {right}", at.value);
                self.problems.at(&at.span, what);
            }
        }
        Some(Model { anthropic: anthropic?, masks_prompts: masks_prompts? })
    }

    /// Whose signature it is: a region and a service, as `eu-central-1` and `s3`.
    fn sigv4(
        &mut self,
        place: &str,
        inject: &At<&str>,
        region: Option<&At<&str>>,
        service: Option<&At<&str>>,
    ) -> Option<Inject> {
        let word = |text: &&At<&str>| {
            let text = text.value;
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        match (region.filter(word), service.filter(word)) {
            (Some(region), Some(service)) => {
                Some(Inject::SigV4 { region: region.value.to_owned(), service: service.value.to_owned() })
            }
            _ => {
                self.problems.at(
                    &inject.span,
                    format!("{place}: inject = \"sigv4\" needs region = \"eu-central-1\" and service = \"s3\", or others"),
                );
                None
            }
        }
    }

    fn inject(&mut self, place: &str, text: &At<&str>) -> Option<Inject> {
        let token = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        let inject = match text.value.split_once(':') {
            None if text.value == "bearer" => Some(Inject::Bearer),
            None if text.value == "basic" => Some(Inject::Basic),
            Some(("header", name)) if token(name) => Some(Inject::Header(name.to_owned())),
            Some(("query", name)) if token(name) => Some(Inject::Query(name.to_owned())),
            _ => None,
        };
        if inject.is_none() {
            self.problems.at(
                &text.span,
                format!("{place}: inject = {:?} is not known; it is bearer (the default), basic (of user:password), header:NAME, query:NAME or sigv4", text.value),
            );
        }
        inject
    }

    fn routes(&mut self, place: &str, raw: &[At<&str>]) -> Option<Routes> {
        if let Some(first_too_many) = raw.get(ROUTES_PER_RESOURCE_MAX) {
            let what = format!("{place}: there are more than {ROUTES_PER_RESOURCE_MAX} routes");
            self.problems.at(&first_too_many.span, what);
        }
        let mut routes = Vec::new();
        for text in raw {
            match Route::parse(text.value) {
                Ok(route) => routes.push(route),
                Err(why) => self.problems.at(&text.span, format!("{place}: route {:?}: {why}", text.value)),
            }
        }
        match Routes::new(routes) {
            Ok(routes) => Some(routes),
            Err(why) => {
                self.problems
                    .at(&raw.first().map_or(0..0, |r| r.span.clone()), format!("{place}: routes: {why}"));
                None
            }
        }
    }

    pub(super) fn path_masks(&mut self, place: &str, raw: Vec<RawMask<'_>>) -> Vec<PathMask> {
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for (n, raw) in raw.into_iter().enumerate() {
            if let Some(column) = &raw.column {
                let what = format!("{place}: a mask of an HTTP service has a `path`, no `column`");
                self.problems.at(&column.span, what);
            }
            if raw.path.is_none() && raw.column.is_none() {
                let what = format!("a mask of {place}: `path` is missing; write path = \"$..ssn\"");
                self.problems.at(&raw.span, what);
            }
            let (Some(path_text), Some(class_text)) = (raw.path, raw.class) else { continue };
            if n == MASKS_PER_RESOURCE_MAX {
                let what = format!("{place}: there are more than {MASKS_PER_RESOURCE_MAX} masks");
                self.problems.at(&path_text.span, what);
            }
            let class = self.class(place, &class_text);
            let kind = match &raw.kind {
                Some(kind) => self.mask_kind(place, kind),
                None => Some(MaskKind::Redact),
            };
            let path = match JsonPath::parse(path_text.value) {
                Ok(path) => Some(path),
                Err(why) => {
                    self.problems.at(&path_text.span, format!("{place}: path {:?}: {why}", path_text.value));
                    None
                }
            };
            let (Some(class), Some(kind), Some(path)) = (class, kind, path) else { continue };
            if !seen.insert(path_text.value.to_owned()) {
                let what = format!("{place}: {:?} has two masks; keep one", path_text.value);
                self.problems.at(&path_text.span, what);
            }
            match PathRule::new(path, class, kind) {
                Ok(rule) => out.push(PathMask { path: path_text.value.to_owned(), rule }),
                Err(why) => self.problems.at(&path_text.span, format!("{place}: {why}")),
            }
        }
        out
    }
}

/// A program's name without a path, which no shell reads as more.
fn is_program(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.+@".contains(&b);
    !name.is_empty() && name.len() <= 63 && !name.starts_with(['-', '.']) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_path() {
        let url = HttpUpstream::parse("https://API.example.com/v2/", false).unwrap();
        assert_eq!((url.host.as_str(), url.port, url.base.as_str()), ("api.example.com", 443, "/v2"));
        assert_eq!(url.address(), "https://api.example.com/v2");
        let url = HttpUpstream::parse("http://[::1]:8080", false).unwrap();
        assert_eq!((url.address().as_str(), url.base.as_str()), ("http://[::1]:8080", ""));
    }

    #[test]
    fn every_error_of_a_url_is_reported_at_once_and_no_password() {
        let wrong = HttpUpstream::parse("http://app:hunter2@api.example.com:0/a//b?x=1", false).unwrap_err();
        let wrong = wrong.join("; ");
        for part in ["credential = ", "query", "port", "plain segments", "insecure = true"] {
            assert!(wrong.contains(part), "{part} in {wrong}");
        }
        assert!(!wrong.contains("hunter2"), "{wrong}");
        assert!(HttpUpstream::parse("postgres://a@b/c", false).is_err());
        assert!(HttpUpstream::parse("http://api.example.com", true).is_ok());
    }
}
