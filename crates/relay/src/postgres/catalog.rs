//! The upstream's catalog, read over the gateway's own connection.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};

use proto_postgres::message::{FromClient, FromUpstream};
use proto_postgres::reply::{DataRow, field};
use sql::catalog::{QUERIES, Rows};
use sql::{Governed, Snapshot};
use tokio::time::Instant;
use vocab::Tick;
use wire::RawField;

use super::dial::{DialError, Dialled, dial};
use super::resource::Resource;
use crate::entropy;
use crate::limits::{CATALOG_BYTES_MAX, CATALOG_READ, START_LOOK};

/// What names mean, and which columns are governed: one state of one upstream.
pub struct Catalog {
    pub snapshot: Snapshot,
    pub governed: Governed,
    /// `search_path` and role of a fresh session, as the upstream sees them.
    pub search_path: Vec<String>,
    pub role: String,
    /// SHA-256 of the snapshot's canonical bytes.
    pub hash: [u8; 32],
    /// When it began to be read.
    pub at: Tick,
    /// Of [`Shelf::changes`], by then.
    pub changes: u64,
    /// Names that an error may say.
    pub names: HashSet<Box<str>>,
}

/// Reads back what name resolution needs of a session: `search_path` and role, `$user` replaced; and its transaction's
/// isolation.
pub const SESSION_QUERY: &str = "SELECT pg_catalog.array_to_string(pg_catalog.current_schemas(false), E'\\n'), \
     current_user::pg_catalog.text, pg_catalog.current_setting('transaction_isolation')";

impl Catalog {
    /// Builds one from the answers to [`QUERIES`], in order, and to [`SESSION_QUERY`] last.
    pub fn build(resource: &Resource, began: Began, mut answers: Vec<Rows>) -> Result<Catalog, String> {
        let said = session_names(&answers.pop().ok_or("no answer about the session")?)?;
        let SessionNames { search_path, role, .. } = said;
        let snapshot = sql::catalog::snapshot(&answers).map_err(|e| e.to_string())?;
        let governed = Governed::bind(&snapshot, &resource.rules)
            .map_err(|errors| errors.iter().map(|e| e.to_string()).collect::<Vec<_>>().join("; "))?;
        let mut hash = [0u8; 32];
        hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, snapshot.canonical()).as_ref());
        let names = snapshot.names().into_iter().map(Box::from).collect();
        let Began { at, changes } = began;
        Ok(Catalog { snapshot, governed, search_path, role, hash, at, changes, names })
    }

    /// This one with the temporary tables of the session that read `own`. `None`: it has none, or a rule fits no more.
    pub fn as_seen_by(&self, own: &Catalog, resource: &Resource) -> Option<Catalog> {
        let snapshot = self.snapshot.as_seen_by(&own.snapshot)?;
        let governed = Governed::bind(&snapshot, &resource.rules).ok()?;
        let names = snapshot.names().into_iter().map(Box::from).collect();
        let (search_path, role) = (self.search_path.clone(), self.role.clone());
        // Its hash stays that of what upstream said: nobody has read this one.
        Some(Catalog { snapshot, governed, search_path, role, names, ..*self })
    }

    /// Dials, reads, and hangs up: within [`crate::limits::DIAL`] and [`CATALOG_READ`].
    pub async fn fetch(resource: &Resource) -> Result<Catalog, DialError> {
        let began = resource.catalog.begin();
        let upstream = &resource.config.upstream;
        let dialled = dial(
            upstream,
            resource.tls.as_ref(),
            &resource.config.vault,
            &[("application_name", "tachograph")],
        )
        .await?;
        let mut control = Control::new(dialled);
        control.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let mut answers = Vec::with_capacity(QUERIES.len() + 1);
        for query in QUERIES {
            answers.push(control.query(query.sql).await.map_err(|e| format!("{}: {e}", query.name))?);
        }
        answers.push(control.query(SESSION_QUERY).await?);
        Ok(Catalog::build(resource, began, answers)?)
    }
}

/// Errors: the server is one that no session can be had with. One that cannot be asked now is looked at by each session.
pub async fn fits(resource: &Resource) -> Result<(), String> {
    let upstream = &resource.config.upstream;
    let asked = dial(upstream, resource.tls.as_ref(), &resource.config.vault, &[]);
    match tokio::time::timeout(START_LOOK, asked).await {
        Ok(Err(why)) if why.is_newer() => Err(why.to_string()),
        Ok(Ok(_) | Err(_)) | Err(_) => Ok(()),
    }
}

/// What the upstream login may do that no agent's should (DESIGN section 8, L0), as words for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Powers {
    /// What goes past the masks: the login is never a superuser, an owner, one that replicates or that reads files.
    pub never: Vec<&'static str>,
    /// What is more than an agent needs.
    pub more: Vec<&'static str>,
}

const NEVER: [&str; 5] = [
    "is a superuser",
    "may become a superuser (SET ROLE)",
    "may replicate",
    "reads or writes files of its host, or runs programs there",
    "owns governed tables or views",
];
const MORE: [&str; 3] = ["bypasses row security", "makes roles", "owns other tables or views"];

/// What a role may do that this one is a member of, it may do by SET ROLE. Errors are sentences for the operator.
pub async fn powers(resource: &Resource, governed: &Governed) -> Result<Powers, String> {
    let upstream = &resource.config.upstream;
    let dialled = dial(upstream, resource.tls.as_ref(), &resource.config.vault, &[])
        .await
        .map_err(|e| e.said(resource.gate.detectors()))?;
    let rows = Control::new(dialled).query(&powers_query(governed)).await?;
    match &rows[..] {
        [row] if row.len() == NEVER.len() + MORE.len() => {
            let (never, more) = row.split_at(NEVER.len());
            Ok(Powers { never: words(&NEVER, never), more: words(&MORE, more) })
        }
        _ => Err("the upstream did not say what its login may do".into()),
    }
}

/// Those that the upstream did not deny.
fn words(all: &[&'static str], said: &[Option<String>]) -> Vec<&'static str> {
    all.iter().zip(said).filter(|(_, may)| may.as_deref() != Some("f")).map(|(word, _)| *word).collect()
}

/// One row, a truth for each of [`NEVER`] and [`MORE`]. Of a superuser, who may do all of it, it says what is its own.
fn powers_query(governed: &Governed) -> String {
    let governed: Vec<String> = governed.relations().map(|oid| oid.to_string()).collect();
    let governed = format!("c.oid = ANY ('{{{}}}'::pg_catalog.oid[])", governed.join(","));
    let member = |of: &str| {
        let member = format!("pg_catalog.pg_has_role({of}, 'MEMBER')");
        format!("CASE WHEN r.rolsuper THEN {of} = r.oid ELSE {member} END")
    };
    let attribute = |name: &str| {
        format!("EXISTS (SELECT 1 FROM pg_catalog.pg_roles s WHERE s.{name} AND {})", member("s.oid"))
    };
    let owns = |which: &str| {
        format!(
            "EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
             AND {which} AND {})",
            member("c.relowner")
        )
    };
    let files = "'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'";
    let columns = [
        "r.rolsuper".to_owned(),
        format!("NOT r.rolsuper AND {}", attribute("rolsuper")),
        attribute("rolreplication"),
        format!(
            "EXISTS (SELECT 1 FROM pg_catalog.pg_roles s WHERE s.rolname IN ({files}) AND {})",
            member("s.oid")
        ),
        owns(&governed),
        attribute("rolbypassrls"),
        attribute("rolcreaterole"),
        owns(&format!("NOT ({governed})")),
    ];
    format!("SELECT {} FROM pg_catalog.pg_roles r WHERE r.rolname = current_user", columns.join(", "))
}

/// The answer to [`SESSION_QUERY`].
pub struct SessionNames {
    pub search_path: Vec<String>,
    pub role: String,
    /// Its transaction reads all of what it reads as of its first statement.
    pub frozen: bool,
}

pub fn session_names(rows: &Rows) -> Result<SessionNames, String> {
    let [row] = &rows[..] else { return Err("the upstream did not say its search_path".into()) };
    let [Some(path), Some(role), Some(isolation)] = &row[..] else {
        return Err("the upstream did not say its search_path".into());
    };
    Ok(SessionNames {
        search_path: path.split('\n').filter(|s| !s.is_empty()).map(String::from).collect(),
        role: role.clone(),
        frozen: !isolation.starts_with("read "),
    })
}

/// The gateway's own connection: asks, and keeps nothing. All that it asks has its answers within [`CATALOG_READ`].
pub struct Control {
    dialled: Dialled,
    until: Instant,
    budget: Budget,
}

/// What is still taken of an upstream's answers.
pub struct Budget(usize);

impl Budget {
    pub fn of_catalog() -> Budget {
        Budget(CATALOG_BYTES_MAX)
    }

    /// Errors: it is used up.
    pub fn take(&mut self, row: &DataRow) -> Result<(), String> {
        // A cell that is kept is larger than its bytes.
        let cost = row.byte_len() + row.cells().count() * size_of::<Option<String>>();
        self.0 = self.0.checked_sub(cost).ok_or("the catalog is larger than the gateway takes")?;
        Ok(())
    }
}

impl Control {
    pub fn new(dialled: Dialled) -> Control {
        Control { dialled, until: Instant::now() + CATALOG_READ, budget: Budget::of_catalog() }
    }

    /// One statement, its rows as text.
    pub async fn query(&mut self, sql: &str) -> Result<Rows, String> {
        let until = self.until;
        match tokio::time::timeout_at(until, self.answer(sql)).await {
            Ok(answer) => answer,
            Err(_late) => Err(format!("no answer within {} s", CATALOG_READ.as_secs())),
        }
    }

    async fn answer(&mut self, sql: &str) -> Result<Rows, String> {
        let budget = &mut self.budget;
        let Dialled { leg, decoder, input, .. } = &mut self.dialled;
        let mut out = bytes::BytesMut::new();
        let message = FromClient::Query { sql: RawField::copy_from(sql.as_bytes()) };
        message.encode(&mut out).map_err(|f| f.inward.to_string())?;
        leg.drain(&mut out).await.map_err(|e| e.to_string())?;
        let (mut rows, mut failed) = (Vec::new(), None);
        loop {
            let Some(frame) = decoder.next(input).map_err(|f| f.inward.to_string())? else {
                match leg.fill(input).await {
                    Ok(0) => return Err("the upstream closed the gateway's own connection".into()),
                    Ok(_) => continue,
                    Err(e) => return Err(e.to_string()),
                }
            };
            match FromUpstream::decode(&frame).map_err(|f| f.inward.to_string())? {
                FromUpstream::DataRow(row) => {
                    budget.take(&row)?;
                    rows.push(text_row(&row)?);
                }
                FromUpstream::Error(fields) => {
                    let text = |code| fields.get(code).and_then(RawField::to_str).unwrap_or("?").to_string();
                    failed = Some(format!("{}: {}", text(field::SQLSTATE), text(field::MESSAGE)));
                }
                FromUpstream::ReadyForQuery(_) => return failed.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }
}

/// A row of text cells. Errors: a cell that is not UTF-8.
pub fn text_row(row: &DataRow) -> Result<Vec<Option<String>>, String> {
    row.cells()
        .map(|cell| match cell {
            None => Ok(None),
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.to_string())),
                Err(_) => Err("a name in the catalog is not UTF-8".to_string()),
            },
        })
        .collect()
}

/// The newest catalog of a resource, and when to read another.
///
/// **Invariant:** it is read over the gateway's own connection: what a session reads has its `search_path`, its role and its
/// temporary tables, which mean nothing to others.
/// **Invariant:** between what may make a definition take effect and the word that it has, one is counted as landing; both
/// ends are changes. So who had an answer while none was landing, and no change since the catalog was read that decided
/// the statement, knows that its names meant what they mean there.
#[derive(Default)]
pub struct Shelf {
    newest: RwLock<Option<Arc<Catalog>>>,
    changes: AtomicU64,
    landing: AtomicU64,
    fetching: tokio::sync::Mutex<()>,
    /// Why the last attempt to read one failed, if it did.
    trouble: RwLock<Option<String>>,
    /// How many have failed, and how the last of them did.
    failed: RwLock<(u64, Option<DialError>)>,
}

/// When a catalog began to be read.
#[derive(Clone, Copy)]
pub struct Began {
    at: Tick,
    changes: u64,
}

impl Began {
    /// What is read is as of when there were so many changes.
    pub fn as_of(self, changes: u64) -> Began {
        Began { changes, ..self }
    }
}

impl Shelf {
    /// The newest, read again if something changed it or it is older than `CATALOG_AGE`.
    pub async fn current(&self, resource: &Resource) -> Result<Arc<Catalog>, DialError> {
        self.newest_that(resource, |catalog| self.is_current(catalog)).await
    }

    /// One that began to be read behind this moment.
    pub async fn since(&self, resource: &Resource, moment: Tick) -> Result<Arc<Catalog>, DialError> {
        self.newest_that(resource, |catalog| catalog.at > moment).await
    }

    async fn newest_that(
        &self,
        resource: &Resource,
        will_do: impl Fn(&Catalog) -> bool,
    ) -> Result<Arc<Catalog>, DialError> {
        if let Some(newest) = self.newest().filter(|newest| will_do(newest)) {
            return Ok(newest);
        }
        let failed = self.failures().0;
        let _one_at_a_time = self.fetching.lock().await;
        if let Some(newest) = self.newest().filter(|newest| will_do(newest)) {
            return Ok(newest);
        }
        // One has failed while this one waited for it. Each of a hundred would wait as long again.
        if let (now, Some(error)) = self.failures()
            && now != failed
        {
            return Err(error);
        }
        let fetched = Catalog::fetch(resource).await;
        let detectors = resource.gate.detectors();
        self.reached(fetched.as_ref().err().map(|error| error.said(detectors)));
        if let Err(error) = &fetched {
            let mut failed = self.failed.write().unwrap_or_else(PoisonError::into_inner);
            *failed = (failed.0 + 1, Some(error.clone()));
        }
        let catalog = Arc::new(fetched?);
        resource.record_catalog(&catalog);
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(catalog.clone());
        Ok(catalog)
    }

    /// Keeps whether the upstream was reached at the last attempt, and why not.
    pub fn reached(&self, trouble: Option<String>) {
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Why the upstream could not be asked at the last attempt. `None`: it answered, or nobody has asked yet.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a catalog is built with whose reading begins now.
    pub fn begin(&self) -> Began {
        Began { at: entropy::tick(), changes: self.changes() }
    }

    /// How often what names mean may have changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(SeqCst)
    }

    /// Whether nothing has changed what names mean since it was read, and it is not old.
    pub fn is_current(&self, catalog: &Catalog) -> bool {
        let age = entropy::tick().0.saturating_sub(catalog.at.0);
        u128::from(age) < crate::limits::CATALOG_AGE.as_nanos() && catalog.changes == self.changes()
    }

    /// Whether nothing has changed since there were so many changes, and nothing may change now. `own`: how many of what
    /// is landing is the asker's.
    pub fn is_at_rest(&self, changes: u64, own: u64) -> bool {
        // In this order: what has landed meanwhile is a change by then.
        self.landing.load(SeqCst) <= own && self.changes() == changes
    }

    fn failures(&self) -> (u64, Option<DialError>) {
        self.failed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn newest(&self) -> Option<Arc<Catalog>> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A definition that may take effect at any moment, until this is dropped.
pub struct Landing {
    resource: Arc<Resource>,
    /// How many changes there were before it.
    pub before: u64,
}

impl Landing {
    pub fn begin(resource: Arc<Resource>) -> Landing {
        resource.catalog.landing.fetch_add(1, SeqCst);
        let before = resource.catalog.changes.fetch_add(1, SeqCst);
        Landing { resource, before }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.resource.catalog.changes.fetch_add(1, SeqCst);
        self.resource.catalog.landing.fetch_sub(1, SeqCst);
    }
}
