//! Configured resources as the data path takes them. A credential leaves the environment's name and becomes a secret here.

use std::path::PathBuf;

use relay::config::{
    Address, Changed, ColumnMask, HttpResource, Masks, McpService, ModelService, Pem, PostgresResource,
    Prompts, ResourceConfig, SshLogin, SshResource, UpstreamTls,
};
use relay::pins::Pins;
use relay::vault::{Secret, Vault};

use crate::config::{
    Config, Credential, Database, Host, HostKeys, HttpUpstream, KeyPair, Mcp, Reel, Resource, Service,
    SshHost, Tls, Tripwire, What,
};
use crate::fault::{Exit, Failure};

/// A resource for the data path.
pub fn resource(resource: &Resource, config: &Config) -> Result<ResourceConfig, Failure> {
    match &resource.what {
        What::Postgres(database) => postgres(resource, database, config).map(ResourceConfig::Postgres),
        What::Http(service) => http(resource, service, config).map(ResourceConfig::Http),
        What::Ssh(host) => ssh(resource, host, config).map(ResourceConfig::Ssh),
    }
}

/// A PostgreSQL database for the data path.
pub fn postgres(
    resource: &Resource,
    database: &Database,
    config: &Config,
) -> Result<PostgresResource, Failure> {
    let upstream = &database.upstream;
    let address = match &upstream.host {
        Host::Tcp(host) => Address::Tcp { host: host.clone(), port: upstream.port },
        Host::Unix(directory) => Address::Unix(directory.join(format!(".s.PGSQL.{}", upstream.port))),
    };
    let tls = match (upstream.tls, &upstream.root_certificates) {
        (Tls::Disable, _) => UpstreamTls::Disable,
        (Tls::VerifyFull, roots) => UpstreamTls::full(roots.clone()),
        (Tls::VerifyCa, Some(roots)) => UpstreamTls::VerifyCa { roots: roots.clone() },
        (Tls::VerifyCa, None) => {
            return Err(Failure::usage(format!("resource {:?}: verify-ca needs sslrootcert", resource.name)));
        }
    };
    let listen = resource.listen.ok_or_else(|| {
        Failure::usage(format!("resource {:?}: a database needs a `listen` of its own", resource.name))
    })?;
    Ok(PostgresResource {
        name: resource.name.as_str().into(),
        listen,
        upstream: relay::config::Upstream {
            address,
            database: upstream.database.clone(),
            user: upstream.role.clone(),
            tls,
            client_certificate: resource.client_certificate.as_ref().map(pems),
        },
        vault: vault(resource)?,
        masks: database
            .masks
            .iter()
            .map(|m| ColumnMask {
                schema: m.column.schema.clone(),
                table: m.column.table.clone(),
                column: m.column.column.clone(),
                class: m.class.clone(),
                kind: m.kind.clone(),
            })
            .collect(),
        vouch: database.vouch.iter().map(|f| format!("{}.{}", f.schema, f.name)).collect(),
        vouch_extensions: database.vouch_extensions.clone(),
        reel: reel(resource.reel),
        durability: config.gateway.durability,
        read_only: database.read_only,
        connections_per_run: database.connections_per_run,
        statement_timeout: database.statement_timeout,
        lock_timeout: database.lock_timeout,
        idle_in_transaction_timeout: database.idle_in_transaction_timeout,
        approval_timeout: config.gateway.approval_timeout,
        hold_in_transaction: database.hold_in_transaction,
        tripwire: tripwire(resource.tripwire),
        client_tls: resource.tls.as_ref().map(files),
    })
}

/// An HTTP service for the data path.
pub fn http(resource: &Resource, service: &Service, config: &Config) -> Result<HttpResource, Failure> {
    let mut of_cluster = service.cluster.clone();
    let (upstream, vault) = match &service.login {
        None => {
            let tls = match service.upstream.https {
                true => UpstreamTls::full(service.upstream.root_certificates.clone()),
                false => UpstreamTls::Disable,
            };
            let own = resource.client_certificate.as_ref().map(pems);
            (reached(service, &service.upstream, tls, own), vault(resource)?)
        }
        Some(login) => {
            let wrong = |lines: Vec<String>| {
                let line = |line| format!("resource {:?}: {line}", resource.name);
                Failure { exit: Exit::CouldNot, lines: lines.into_iter().map(line).collect() }
            };
            let cluster = login.read().map_err(wrong)?;
            let tls = cluster.tls();
            of_cluster.iter_mut().for_each(|of| of.namespace.clone_from(&cluster.namespace));
            let server = cluster.server;
            let (vault, own) = cluster.login.into_vault();
            (reached(service, &server, tls, own), vault)
        }
    };
    let masks = service.masks.iter().map(|mask| (mask.path.clone(), mask.rule.clone()));
    Ok(HttpResource {
        name: resource.name.as_str().into(),
        listen: resource.listen,
        upstream,
        vault,
        inject: service.inject.clone(),
        routes: service.routes.clone(),
        model: service.model.map(|model| ModelService {
            prompts: if model.masks_prompts { Prompts::Mask } else { Prompts::Report },
        }),
        mcp: service.mcp.as_ref().map(|mcp| server(resource, mcp, config)).transpose()?,
        cluster: of_cluster,
        masks: match service.mcp {
            Some(_) => Masks::of_server(masks).into(),
            None => Masks::new(masks).into(),
        },
        text: service.text,
        reel: reel(resource.reel),
        durability: config.gateway.durability,
        approval_timeout: config.gateway.approval_timeout,
        tripwire: tripwire(resource.tripwire),
        client_tls: resource.tls.as_ref().map(files),
    })
}

fn reached(
    service: &Service,
    upstream: &HttpUpstream,
    tls: UpstreamTls,
    client_certificate: Option<(Pem, Pem)>,
) -> relay::config::HttpUpstream {
    relay::config::HttpUpstream {
        version: service.version,
        host: upstream.host.clone(),
        port: upstream.port,
        base: upstream.base.clone(),
        authority: upstream.authority(),
        tls,
        client_certificate,
    }
}

/// A host for the data path.
pub fn ssh(resource: &Resource, host: &SshHost, config: &Config) -> Result<SshResource, Failure> {
    let listen = resource.listen.ok_or_else(|| {
        Failure::usage(format!("resource {:?}: a host needs a `listen` of its own", resource.name))
    })?;
    let pins = match &host.keys {
        HostKeys::None => None,
        HostKeys::Here(pinned) => Some(pinned.clone()),
        HostKeys::KnownHosts(file) => {
            let text = std::fs::read_to_string(file).map_err(|e| Failure::file("read", file, &e))?;
            let named =
                |why| Failure::could_not(format!("resource {:?}: {}: {why}", resource.name, file.display()));
            Some(relay::ssh::read_pins(&text, &host.host, host.port).map_err(named)?)
        }
    };
    Ok(SshResource {
        name: resource.name.as_str().into(),
        listen,
        host: host.host.clone(),
        port: host.port,
        user: host.user.clone(),
        pins,
        vault: vault(resource)?,
        login: match host.password {
            true => SshLogin::Password,
            false => SshLogin::Key { certificate: host.certificate.clone() },
        },
        login_shell: host.login_shell,
        reel: reel(resource.reel),
        durability: config.gateway.durability,
        approval_timeout: config.gateway.approval_timeout,
        tripwire: tripwire(resource.tripwire),
    })
}

/// A server of MCP, with what it said of its tools so far.
fn server(resource: &Resource, mcp: &Mcp, config: &Config) -> Result<McpService, Failure> {
    let path = config.gateway.keys.join(format!("tools-{}", resource.name));
    Ok(McpService {
        routes: mcp.routes.clone(),
        open: mcp.open.clone(),
        stdio: mcp.stdio.is_some(),
        changed: if mcp.refuses_changed { Changed::Refuse } else { Changed::Report },
        pins: Pins::open(&path).map_err(|e| Failure::file("read", &path, &e))?,
    })
}

fn files(pair: &KeyPair) -> (PathBuf, PathBuf) {
    (pair.cert.clone(), pair.key.clone())
}

fn pems(pair: &KeyPair) -> (Pem, Pem) {
    (pair.cert.clone().into(), pair.key.clone().into())
}

fn reel(reel: Reel) -> relay::config::Reel {
    match reel {
        Reel::Full => relay::config::Reel::Full,
        Reel::Head { bytes } => relay::config::Reel::Head { bytes },
        Reel::None => relay::config::Reel::None,
    }
}

fn tripwire(tripwire: Tripwire) -> relay::config::Tripwire {
    match tripwire {
        Tripwire::Mask => relay::config::Tripwire::Mask,
        Tripwire::Cut => relay::config::Tripwire::Cut,
    }
}

fn vault(resource: &Resource) -> Result<Vault, Failure> {
    Ok(match &resource.credential {
        Credential::None => Vault::None,
        Credential::File(path) => Vault::File(path.clone()),
        Credential::Command(words) => Vault::Command(words.clone()),
        Credential::Env(name) => {
            use std::os::unix::ffi::OsStringExt;
            let value = std::env::var_os(name).filter(|v| !v.is_empty()).ok_or_else(|| {
                Failure::could_not(format!(
                    "resource {:?}: the environment variable {name} is not set; set it for the gateway",
                    resource.name
                ))
            })?;
            Vault::Held(Secret::new(value.into_vec()))
        }
    })
}
