//! The HTTP API, version 1: JSON in, JSON out (docs/JSON.md). Each handler begins with who may call it.
//!
//! Callers show a bearer token, or are the peer of a Unix socket. Cookies are never looked at here, so that no page of
//! another site can call it.

use answers::{Answer, Look, Scope, moment, to_json};
use axum::Router;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequestParts, Json, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use vocab::{AskId, RunId, Seq};

use crate::fault::Fault;
use crate::limits::{SHAPE_MINUTES_MAX, TEXT_BYTES_MAX, TOKEN_BYTES_MAX};
use crate::newcomer::proved;
use crate::seat::{Caller, Grant, GrantForm, Inbox, Live, Mint, Operator, Peer, Role, ToolList};
use crate::state::{Console, operator};

const AUDITOR: &[Role] = &[Role::Auditor];
const APPROVER: &[Role] = &[Role::Approver];
const ADMIN: &[Role] = &[Role::Admin];
const INBOX: &[Role] = &[Role::Approver, Role::Auditor];
const LIVE: &[Role] = &[Role::Admin, Role::Auditor];
const ANY: &[Role] = &[];

pub(crate) fn routes() -> Router<Console> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/live", get(live))
        .route("/v1/runs", get(runs).post(mint))
        .route("/v1/runs/{run}", get(show))
        .route("/v1/runs/{run}/who", get(who))
        .route("/v1/runs/{run}/touched", get(touched))
        .route("/v1/runs/{run}/exposed", get(exposed))
        .route("/v1/runs/{run}/replay", get(replay))
        .route("/v1/runs/{run}/report", get(report))
        .route("/v1/runs/{run}/close", post(close))
        .route("/v1/runs/{run}/revoke", post(revoke))
        .route("/v1/runs/{run}/erase", post(erase))
        .route("/v1/exposed", get(exposed_range))
        .route("/v1/diff", get(diff))
        .route("/v1/find", get(find))
        .route("/v1/tools", get(tools))
        .route("/v1/tools/accept", post(accept))
        .route("/v1/approvals", get(approvals))
        .route("/v1/approvals/{ask}/approve", post(approve))
        .route("/v1/approvals/{ask}/deny", post(deny))
}

/// Whoever calls the API.
struct Api(Caller);

impl FromRequestParts<Console> for Api {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Api, Fault> {
        let peer = parts.extensions.get::<Peer>().copied();
        let mut shown = parts.headers.get_all(header::AUTHORIZATION).iter();
        if let Some(value) = shown.next() {
            let token = value.to_str().ok().and_then(bearer);
            let one = token.filter(|t| !t.is_empty() && t.len() <= TOKEN_BYTES_MAX && shown.next().is_none());
            let caller = console.by_token(one.ok_or_else(Fault::unauthenticated)?).await?;
            match &caller {
                Caller::Operator(operator) => console.admits(&operator.name, peer).await?,
                Caller::Workload(workload) => {
                    console.admits(&format!("issuer {}", workload.issuer), peer).await?
                }
                Caller::Run { .. } => return Ok(Api(caller)),
            }
            proved(parts);
            return Ok(Api(caller));
        }
        match peer {
            Some(Peer::Unix { uid, process }) => {
                let caller = console.by_peer(uid, process).await?;
                proved(parts);
                Ok(Api(caller))
            }
            Some(Peer::Tcp { .. }) | None => Err(Fault::unauthenticated()),
        }
    }
}

/// The token of an `Authorization` header; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

type Answered = Result<Response, Fault>;
type Asked<T> = Result<Query<T>, QueryRejection>;
type Sent<T> = Result<Json<T>, JsonRejection>;

async fn status(State(console): State<Console>, Api(caller): Api) -> Answered {
    operator(caller, ANY)?;
    json(&console.blocking(|parts| parts.evidence.status()).await??)
}

async fn live(State(console): State<Console>, Api(caller): Api) -> Answered {
    let by = operator(caller, LIVE)?;
    console.watch(&by, Look::Runs, "live").await?;
    json(&Live { runs: console.blocking(|parts| parts.runs.list_live()).await?? })
}

async fn runs(State(console): State<Console>, Api(caller): Api) -> Answered {
    let by = operator(caller, AUDITOR)?;
    json(&console.ask(&by, |desk| desk.runs()).await?)
}

async fn show(State(console): State<Console>, Api(caller): Api, Path(run): Path<String>) -> Answered {
    let by = operator(caller, AUDITOR)?;
    json(&console.ask(&by, move |desk| desk.show(&run)).await?)
}

async fn who(State(console): State<Console>, Api(caller): Api, Path(run): Path<String>) -> Answered {
    let by = operator(caller, AUDITOR)?;
    json(&console.ask(&by, move |desk| desk.who(&run)).await?)
}

async fn touched(State(console): State<Console>, Api(caller): Api, Path(run): Path<String>) -> Answered {
    let by = operator(caller, AUDITOR)?;
    json(&console.ask(&by, move |desk| desk.touched(&run)).await?)
}

async fn exposed(State(console): State<Console>, Api(caller): Api, Path(run): Path<String>) -> Answered {
    let by = operator(caller, AUDITOR)?;
    json(&console.ask(&by, move |desk| desk.exposed(&Scope::Run(&run))).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Between {
    from: Option<u64>,
    to: Option<u64>,
}

async fn replay(
    State(console): State<Console>,
    Api(caller): Api,
    Path(run): Path<String>,
    between: Asked<Between>,
) -> Answered {
    let by = operator(caller, AUDITOR)?;
    let Between { from, to } = asked(between)?;
    json(&console.ask(&by, move |desk| desk.replay(&run, from.map(Seq), to.map(Seq))).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportQuery {
    #[serde(default)]
    results: bool,
}

/// The page for lawyers; the only answer that is not JSON.
async fn report(
    State(console): State<Console>,
    Api(caller): Api,
    Path(run): Path<String>,
    query: Asked<ReportQuery>,
) -> Answered {
    let by = operator(caller, AUDITOR)?;
    let results = asked(query)?.results;
    let page = console.at_desk(&by, move |desk| desk.report(&run, results).map(|r| r.to_html())).await?;
    Ok(report_response(page))
}

/// The report carries its own style sheet, and may do nothing else.
pub(crate) fn report_response(page: String) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, page).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    since: String,
    until: Option<String>,
}

async fn exposed_range(State(console): State<Console>, Api(caller): Api, range: Asked<Range>) -> Answered {
    let by = operator(caller, AUDITOR)?;
    let Range { since, until } = asked(range)?;
    let answer = console.at_desk(&by, move |desk| {
        let read = |text: &str| moment(text, desk.now);
        let (Some(from), Some(to)) = (read(&since), until.as_deref().map_or(Some(desk.now), read)) else {
            return Ok(None);
        };
        desk.exposed(&Scope::Range { from, to }).map(Some)
    });
    let why = "since and until are times: 30s, 15m, 2h, 7d, 2026-11-26 or 2026-11-26T14:00:00Z";
    json(&answer.await?.ok_or_else(|| Fault::wrong(why))?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sides {
    left: String,
    right: String,
}

async fn diff(State(console): State<Console>, Api(caller): Api, sides: Asked<Sides>) -> Answered {
    let by = operator(caller, AUDITOR)?;
    let Sides { left, right } = asked(sides)?;
    json(&console.ask(&by, move |desk| desk.diff(&left, &right)).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Find {
    q: String,
}

async fn find(State(console): State<Console>, Api(caller): Api, query: Asked<Find>) -> Answered {
    let by = operator(caller, AUDITOR)?;
    let Find { q } = asked(query)?;
    json(&console.ask(&by, move |desk| desk.find(&q)).await?)
}

async fn approvals(State(console): State<Console>, Api(caller): Api) -> Answered {
    let by = operator(caller, INBOX)?;
    console.watch(&by, Look::Approvals, "inbox").await?;
    json(&Inbox { approvals: console.blocking(move |parts| parts.approvals.list(&by)).await?? })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approve {
    /// `once` (the default) or `shape`.
    #[serde(default)]
    pub form: Option<String>,
    #[serde(default)]
    pub minutes: Option<u32>,
    #[serde(default)]
    pub signature: Option<String>,
}

impl Approve {
    /// Errors: a form that is not known, or minutes without `shape`, or `shape` without minutes.
    pub(crate) fn grant(self) -> Result<Grant, Fault> {
        let form = match (self.form.as_deref(), self.minutes) {
            (None | Some("once"), None) => GrantForm::Once,
            (Some("shape"), Some(minutes)) if (1..=SHAPE_MINUTES_MAX).contains(&minutes) => {
                GrantForm::Shape { minutes }
            }
            (Some("shape"), _) => {
                return Err(Fault::wrong(&format!("shape needs minutes, from 1 to {SHAPE_MINUTES_MAX}")));
            }
            (None | Some("once"), Some(_)) => {
                return Err(Fault::wrong("minutes go with the form shape only"));
            }
            (Some(other), _) => return Err(Fault::wrong(&format!("no form {other:?}; once or shape"))),
        };
        Ok(Grant { form, signature: self.signature })
    }
}

async fn approve(
    State(console): State<Console>,
    Api(caller): Api,
    Path(ask): Path<String>,
    body: Sent<Approve>,
) -> Answered {
    let by = operator(caller, APPROVER)?;
    let (ask, grant) = (ask_id(&ask)?, sent(body)?.grant()?);
    json(&console.blocking(move |parts| parts.approvals.approve(&by, ask, &grant)).await??)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deny {
    reason: String,
}

async fn deny(
    State(console): State<Console>,
    Api(caller): Api,
    Path(ask): Path<String>,
    body: Sent<Deny>,
) -> Answered {
    let by = operator(caller, APPROVER)?;
    let (ask, reason) = (ask_id(&ask)?, short("reason", sent(body)?.reason)?);
    json(&console.blocking(move |parts| parts.approvals.deny(&by, ask, &reason)).await??)
}

async fn mint(State(console): State<Console>, Api(caller): Api, body: Sent<Mint>) -> Answered {
    let request = sent(body)?;
    let name = match &caller {
        Caller::Operator(operator) => Some(&operator.name),
        Caller::Run { human, .. } => Some(human),
        // A token of an issuer's has no role: policy alone says whom it may start runs for (`delegate`).
        Caller::Workload(_) => None,
    };
    let for_another = name.zip(request.for_.as_ref()).is_some_and(|(name, other)| other != name);
    if for_another {
        operator(caller.clone(), ADMIN)?;
    }
    json(&console.blocking(move |parts| parts.runs.mint(&caller, &request)).await??)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Close {
    #[serde(default)]
    status: Option<i64>,
}

/// Whoever minted the run, a person or the run around it: the seat knows.
async fn close(
    State(console): State<Console>,
    Api(caller): Api,
    Path(run): Path<String>,
    body: Sent<Close>,
) -> Answered {
    let (run, status) = (run_id(&run)?, sent(body)?.status);
    console.blocking(move |parts| parts.runs.close(&caller, run, status)).await??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

async fn revoke(
    State(console): State<Console>,
    Api(caller): Api,
    Path(run): Path<String>,
    body: Sent<Reason>,
) -> Answered {
    let (by, run, reason) = ordered(caller, &run, body)?;
    console.blocking(move |parts| parts.runs.revoke(&by, run, &reason)).await??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn erase(
    State(console): State<Console>,
    Api(caller): Api,
    Path(run): Path<String>,
    body: Sent<Reason>,
) -> Answered {
    let (by, run, reason) = ordered(caller, &run, body)?;
    console.blocking(move |parts| parts.runs.erase(&by, run, &reason)).await??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Which administrator wants something done to which run, and why.
fn ordered(caller: Caller, run: &str, body: Sent<Reason>) -> Result<(Operator, RunId, String), Fault> {
    Ok((operator(caller, ADMIN)?, run_id(run)?, short("reason", sent(body)?.reason)?))
}

async fn tools(State(console): State<Console>, Api(caller): Api) -> Answered {
    let _by = operator(caller, LIVE)?;
    json(&ToolList { tools: console.blocking(move |parts| parts.tools.list()).await?? })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accept {
    resource: String,
    tool: String,
    digest: String,
}

async fn accept(State(console): State<Console>, Api(caller): Api, body: Sent<Accept>) -> Answered {
    let by = operator(caller, ADMIN)?;
    let Accept { resource, tool, digest } = sent(body)?;
    console.blocking(move |parts| parts.tools.accept(&by, &resource, &tool, &digest)).await??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) fn ask_id(text: &str) -> Result<AskId, Fault> {
    AskId::parse(text).ok_or_else(|| Fault::wrong("an approval's id is 32 hexadecimal digits"))
}

/// A whole id: what changes something is not given a prefix.
pub(crate) fn run_id(text: &str) -> Result<RunId, Fault> {
    RunId::parse(text).ok_or_else(|| Fault::wrong("this needs the run's whole id, 32 hexadecimal digits"))
}

/// A text that goes into a record or to people.
pub(crate) fn short(what: &str, text: String) -> Result<String, Fault> {
    match text.trim() {
        "" => Err(Fault::wrong(&format!("the {what} is empty"))),
        text if text.len() > TEXT_BYTES_MAX => {
            Err(Fault::wrong(&format!("the {what} is {} bytes long; at most {TEXT_BYTES_MAX}", text.len())))
        }
        text => Ok(text.to_owned()),
    }
}

fn asked<T>(query: Asked<T>) -> Result<T, Fault> {
    query.map(|Query(query)| query).map_err(|rejection| Fault::wrong(&rejection.body_text()))
}

fn sent<T>(body: Sent<T>) -> Result<T, Fault> {
    body.map(|Json(body)| body).map_err(|rejection| Fault {
        status: rejection.status(),
        kind: "wrong",
        why: rejection.body_text(),
    })
}

fn json<A: Answer>(answer: &A) -> Answered {
    Ok(([(header::CONTENT_TYPE, "application/json")], to_json(answer)).into_response())
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            shape: &'static str,
            kind: &'static str,
            error: &'a str,
        }
        let body = Body { shape: "tacho.error/1", kind: self.kind, error: &self.why };
        let body = serde_json::to_string(&body).unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let value = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}
