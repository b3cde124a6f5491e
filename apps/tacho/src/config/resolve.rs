//! From what was typed to what is meant, table by table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use vocab::MaskKind;

use super::proxy::Reached;
use super::raw::{RawConfig, RawGateway, RawHuman, RawMask, RawResource, RawWitness};
use super::reader::{At, Problems};
use super::{
    CONNECTIONS_PER_RUN_DEFAULT, Config, Credential, Database, Gateway, HOLD_IN_TRANSACTION_DEFAULT,
    HttpUpstream, Human, Mask, REEL_DEFAULT, Resource, STDIO, Tripwire, Upstream, What, Witness,
};
use crate::limits::{
    APPROVAL_TIMEOUT_MAX, MASKS_PER_RESOURCE_MAX, RESOURCES_MAX, RUN_LIFETIME_MAX, SOCKET_PATH_BYTES_MAX,
    WITNESSES_MAX,
};

/// What stands before an extension's name in `vouch`.
const EXTENSION: &str = "extension:";

/// Turns what was typed into what is meant. Goes on after an error, to find the next.
pub(super) struct Resolver<'p> {
    pub(super) base: PathBuf,
    pub(super) problems: &'p mut Problems,
}

impl Resolver<'_> {
    pub(super) fn config(&mut self, file: &Path, bytes: &[u8], raw: RawConfig<'_>) -> Option<Config> {
        let humans = self.humans(raw.humans);
        let witnesses = self.witnesses(raw.witnesses);
        let issuers = self.issuers(raw.issuers, &humans);
        let gateway = match raw.gateway {
            Some(gateway) => self.gateway(gateway, &humans),
            None => {
                self.problems
                    .at(&(0..0), "there is no [gateway] table; `tacho init` writes a file that has one");
                None
            }
        };
        let resources = self.resources(raw.resources, gateway.as_ref());
        let mut digest = [0; 32];
        digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        Some(Config {
            file: file.to_owned(),
            digest,
            gateway: gateway?,
            resources,
            humans,
            witnesses,
            issuers,
        })
    }

    fn gateway(&mut self, raw: RawGateway<'_>, humans: &[Human]) -> Option<Gateway> {
        let data = self.path_or(raw.data.as_ref(), "tacho-data");
        let sibling = |name: &str| data.parent().unwrap_or(&data).join(name);
        let keys = raw.keys.as_ref().map_or_else(|| sibling("tacho-keys"), |k| self.path(k.value));
        let control =
            raw.control.as_ref().map_or_else(|| sibling("tacho-run/control.sock"), |c| self.path(c.value));
        let policy = self.path_or(raw.policy.as_ref(), "policy");
        self.apart(&data, "data", &keys, "keys", raw.keys.as_ref().or(raw.data.as_ref()));
        self.apart(&data, "data", &control, "control", raw.control.as_ref().or(raw.data.as_ref()));
        for (key, dir, at) in [
            ("data", &*data, raw.data.as_ref()),
            ("keys", &*keys, raw.keys.as_ref()),
            ("control", control.parent().unwrap_or(&control), raw.control.as_ref()),
        ] {
            self.own_directory(key, dir, &policy, at);
        }
        self.apart(&keys, "keys", &control, "control", raw.control.as_ref().or(raw.keys.as_ref()));
        if control.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let span = raw.control.as_ref().map_or(0..0, |c| c.span.clone());
            let long = control.as_os_str().len();
            self.problems.at(
                &span,
                format!("[gateway]: the control socket's path has {long} bytes, and the system takes {SOCKET_PATH_BYTES_MAX}; set control = to a shorter one"),
            );
        }
        let agent_user = raw.agent_user.and_then(|user| self.agent_user(&user, humans));
        let console = self.console(raw.console.as_ref())?;
        Some(Gateway {
            origin: self.origin(raw.origin.as_ref()),
            proxy: raw.proxy.and_then(|proxy| self.proxy(&proxy, console)),
            console,
            durability: self.durability(raw.durability.as_ref()),
            auditors: raw.auditors.iter().filter_map(|key| self.auditor(key)).collect(),
            approval_timeout: self.at_most(
                raw.approval_timeout,
                "approval_timeout",
                APPROVAL_TIMEOUT_MAX,
                120,
            ),
            run_lifetime: self.at_most(raw.run_lifetime, "run_lifetime", RUN_LIFETIME_MAX, 24 * 3600),
            agent_user,
            data,
            keys,
            control,
            policy,
        })
    }

    fn resources(&mut self, raw: Vec<RawResource<'_>>, gateway: Option<&Gateway>) -> Vec<Resource> {
        if let Some(first_too_many) = raw.get(RESOURCES_MAX) {
            self.problems.at(
                &first_too_many.span,
                format!("there are more than {RESOURCES_MAX} resources; run a second gateway"),
            );
        }
        let mut names = BTreeMap::new();
        let proxy = gateway.and_then(|gateway| gateway.proxy);
        let mut listens: BTreeMap<SocketAddr, String> = BTreeMap::new();
        listens.extend(gateway.map(|gateway| (gateway.console, "the console".to_owned())));
        listens.extend(proxy.map(|proxy| (proxy, "the proxy".to_owned())));
        let (mut out, mut reached) = (Vec::new(), Reached::new(proxy));
        for raw in raw {
            if let Some(name) = &raw.name
                && names.insert(name.value.to_owned(), ()).is_some()
            {
                self.problems.at(
                    &name.span,
                    format!("{}: another resource has this name; names are unique", raw.place),
                );
            }
            let (place, listen_span) = (raw.place.clone(), raw.listen.as_ref().map(|l| l.span.clone()));
            let upstream_span = raw.upstream.as_ref().map_or(0..0, |upstream| upstream.span.clone());
            self.has_a_way(&raw, proxy.is_some() || gateway.is_none());
            let Some(resource) = self.resource(raw) else { continue };
            if let Some(listen) = resource.listen
                && let Some(taken) = listens.insert(listen, place.clone())
            {
                let span = listen_span.unwrap_or(0..0);
                self.problems
                    .at(&span, format!("{place}: {taken} listens on {listen} already; choose another port"));
            }
            self.reaches(&mut reached, &place, &upstream_span, &resource);
            out.push(resource);
        }
        out
    }

    fn resource(&mut self, mut raw: RawResource<'_>) -> Option<Resource> {
        let place = raw.place.clone();
        let name = raw.name.take().and_then(|name| self.name(&place, &name));
        let kind = raw.kind.take().and_then(|kind| self.kind(&place, &kind));
        let listen_span = raw.listen.as_ref().map(|listen| listen.span.clone());
        // Absent, or there and perhaps wrong.
        let listen = raw.listen.take().map(|at| self.address(&format!("{place}: `listen`"), &at));
        let credential_kind = raw.credential.as_mut().and_then(|credential| credential.kind.take());
        let credential = self.credential(&place, raw.credential.take());
        let client_certificate = raw.client_certificate.take().and_then(|pair| self.pair(pair));
        let tls = raw.tls.take().and_then(|pair| self.pair(pair));
        let reel = raw.reel.take().map_or(REEL_DEFAULT, |reel| self.reel(&place, &reel));
        let tripwire = raw.tripwire.take().map_or(Tripwire::Mask, |word| self.tripwire(&place, &word));
        let kind = kind?;
        for (of, key, span) in raw.of_one_kind.iter().filter(|(of, ..)| !of.split(", ").any(|of| of == kind))
        {
            let instead = match (*key, kind) {
                ("ca", "postgres") => "; a database's is sslrootcert=FILE in upstream",
                _ => "",
            };
            self.problems.at(span, format!("{place}: `{key}` is for kind {of}, and this is {kind}{instead}"));
        }
        let stdio = kind == "mcp" && raw.upstream.as_ref().is_some_and(|url| url.value == STDIO);
        let unused = credential.as_ref().is_some_and(|credential| *credential != Credential::None)
            || client_certificate.is_some()
            || tls.is_some();
        if stdio && unused {
            let what =
                "credential, client_certificate and tls mean nothing where its client starts the server";
            self.problems.at(&raw.span, format!("{place}: {what}; leave them out"));
        }
        if let Some(at) = credential_kind.as_ref().filter(|_| kind != "ssh") {
            let what = format!("{place}: the `kind` of a credential is for kind ssh, and this is {kind}");
            self.problems.at(&at.span, what);
        }
        let elsewhere = ["kubeconfig:", "in-cluster:"];
        let elsewhere = kind == "kubernetes"
            && raw
                .upstream
                .as_ref()
                .is_some_and(|url| elsewhere.iter().any(|from| url.value.starts_with(from)));
        let logs_in = credential.as_ref().is_some_and(|credential| *credential != Credential::None);
        if elsewhere && (logs_in || client_certificate.is_some()) {
            let what = "credential and client_certificate mean nothing where a kubeconfig or the pod says who the gateway is";
            self.problems.at(&raw.span, format!("{place}: {what}; leave them out"));
        }
        let what = match kind {
            "ssh" => {
                if credential == Some(Credential::None) {
                    let what = "`credential` is missing; write credential = { file = \"id_ed25519\" }, or { env = \"NAME\", kind = \"password\" }";
                    self.problems.at(&raw.span, format!("{place}: {what}"));
                }
                self.ssh(&place, raw, credential_kind.as_ref()).map(What::Ssh)
            }
            "http" | "llm" | "mcp" | "kubernetes" => {
                let remote = listen.flatten().is_some_and(|listen| !listen.ip().is_loopback());
                if remote && tls.is_none() && kind == "kubernetes" {
                    let what = "the gateway's own certificate names this machine alone; listen on 127.0.0.1, or give tls = { cert = \"...\", key = \"...\" }";
                    self.problems.at(&listen_span.unwrap_or(0..0), format!("{place}: {what}"));
                } else if remote && tls.is_none() {
                    self.problems.at(
                        &listen_span.unwrap_or(0..0),
                        format!("{place}: without `tls` the run's credential would cross the network in the clear; listen on 127.0.0.1, or give tls = {{ cert = \"...\", key = \"...\" }}"),
                    );
                }
                self.service(&place, raw, kind).map(What::Http)
            }
            _ => self.database(&place, raw).map(What::Postgres),
        };
        Some(Resource {
            name: name?,
            listen: match listen {
                Some(read) => Some(read?),
                None => None,
            },
            credential: credential?,
            client_certificate,
            tls,
            reel,
            tripwire,
            what: what?,
        })
    }

    fn database(&mut self, place: &str, raw: RawResource<'_>) -> Option<Database> {
        let upstream = raw.upstream.and_then(|url| match Upstream::parse(url.value, raw.insecure) {
            Ok(mut upstream) => {
                upstream.root_certificates = upstream.root_certificates.map(|p| self.path(&p));
                Some(upstream)
            }
            Err(wrong) => {
                wrong.iter().for_each(|w| {
                    self.problems.at(&url.span, format!("{place}: of the upstream's URL: {w}"))
                });
                None
            }
        });
        let masks = self.masks(place, raw.masks);
        let (mut vouch, mut vouch_extensions) = (Vec::new(), Vec::new());
        for named in &raw.vouch {
            match named.value.strip_prefix(EXTENSION) {
                Some(extension) => vouch_extensions.push(extension.to_owned()),
                None => vouch.extend(self.function(place, named)),
            }
        }
        let hold_in_transaction = raw.hold_in_transaction.map_or(HOLD_IN_TRANSACTION_DEFAULT, |hold| {
            if hold.value > APPROVAL_TIMEOUT_MAX {
                let most = APPROVAL_TIMEOUT_MAX.as_secs();
                self.problems.at(&hold.span, format!("{place}: `hold_in_transaction` is at most {most}s"));
            }
            hold.value
        });
        Some(Database {
            upstream: upstream?,
            read_only: raw.read_only,
            connections_per_run: raw.connections_per_run.map_or(CONNECTIONS_PER_RUN_DEFAULT, |c| c.value),
            statement_timeout: raw.statement_timeout.map(|t| t.value),
            lock_timeout: raw.lock_timeout.map(|t| t.value),
            idle_in_transaction_timeout: raw.idle_in_transaction_timeout.map(|t| t.value),
            vouch,
            vouch_extensions,
            hold_in_transaction,
            masks,
        })
    }

    fn humans(&mut self, raw: Vec<RawHuman<'_>>) -> Vec<Human> {
        let (mut names, mut uids) = (BTreeSet::new(), BTreeSet::new());
        let mut out = Vec::new();
        for raw in raw {
            let Some(name) = raw
                .name
                .and_then(|name| self.name("human", &name).map(|value| At { value, span: name.span }))
            else {
                continue;
            };
            let place = format!("human {:?}", name.value);
            if !names.insert(name.value.clone()) {
                self.problems
                    .at(&name.span, format!("{place}: another human has this name; names are unique"));
            }
            if let Some(uid) = &raw.uid
                && !uids.insert(uid.value)
            {
                self.problems.at(
                    &uid.span,
                    format!("{place}: another human has uid {}; a uid is one person", uid.value),
                );
            }
            let groups = raw.groups.iter().filter_map(|group| self.name(&place, group)).collect();
            let uid = raw.uid.and_then(|uid| u32::try_from(uid.value).ok());
            out.push(Human { name: name.value, uid, groups, delegate: raw.delegate });
        }
        out
    }

    fn witnesses(&mut self, raw: Vec<RawWitness<'_>>) -> Vec<Witness> {
        if let Some(first_too_many) = raw.get(WITNESSES_MAX) {
            self.problems.at(
                &first_too_many.span,
                format!("there are more than {WITNESSES_MAX} witnesses; each signs each checkpoint"),
            );
        }
        let mut out: Vec<Witness> = Vec::new();
        for raw in raw {
            let (Some(url), Some(key)) = (raw.url, raw.key) else { continue };
            let (url, key_span) = (self.witness_url(&url, raw.ca.as_ref()), key.span.clone());
            let (Some(url), Some(key)) = (url, self.witness_key(&key)) else { continue };
            if out.iter().any(|other| other.key.hash() == key.hash()) {
                self.problems
                    .at(&key_span, "witness: another witness has this key; two signatures of one count once");
            }
            out.push(Witness { url, key });
        }
        out
    }

    /// What travels is signed and holds no secret, so plain HTTP is good enough for it on any network.
    fn witness_url(&mut self, url: &At<&str>, ca: Option<&At<&str>>) -> Option<HttpUpstream> {
        match HttpUpstream::parse(url.value, true) {
            Ok(mut upstream) => {
                upstream.root_certificates = ca.map(|ca| self.path(ca.value));
                Some(upstream)
            }
            Err(wrong) => {
                wrong.iter().for_each(|w| self.problems.at(&url.span, format!("witness: of its URL: {w}")));
                None
            }
        }
    }

    fn masks(&mut self, place: &str, raw: Vec<RawMask<'_>>) -> Vec<Mask> {
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for (n, raw) in raw.into_iter().enumerate() {
            if let Some(path) = &raw.path {
                self.problems
                    .at(&path.span, format!("{place}: a mask of a database has a `column`, no `path`"));
            }
            if raw.column.is_none() && raw.path.is_none() {
                self.problems.at(
                    &raw.span,
                    format!("a mask of {place}: `column` is missing; write column = \"schema.table.column\""),
                );
            }
            let (Some(column_text), Some(class_text)) = (raw.column, raw.class) else { continue };
            if n == MASKS_PER_RESOURCE_MAX {
                self.problems.at(
                    &column_text.span,
                    format!("{place}: there are more than {MASKS_PER_RESOURCE_MAX} masks"),
                );
            }
            let column = self.column(place, &column_text);
            let class = self.class(place, &class_text);
            let kind = match raw.kind {
                Some(kind) => self.mask_kind(place, &kind),
                None => Some(MaskKind::RowToken),
            };
            let (Some(column), Some(class), Some(kind)) = (column, class, kind) else { continue };
            if !seen.insert(column.clone()) {
                self.problems.at(&column_text.span, format!("{place}: {column} has two masks; keep one"));
            }
            out.push(Mask { column, class, kind });
        }
        out
    }
}
