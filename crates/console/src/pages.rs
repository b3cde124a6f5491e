//! The web pages: runs, one run, the approvals inbox, search. No script, no asset from elsewhere.
//!
//! A browser logs in with an operator token and gets an HttpOnly, SameSite=Strict cookie. Each form carries the login's
//! second secret, and a form from another origin is refused before it is read.

use std::time::Instant;

use answers::html::{Attr, Html};
use answers::text::count;
use answers::{
    Exposed, Found, Look, Moment, Runs as RunsAnswer, Scope, Show, Touched, Who, action_html, decision_html,
    exposed_html, plan_html, prevents_html, sessions_html, shows_any, three_html,
};
use axum::Router;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Extension, Form, FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::api::{Approve, ask_id, report_response, run_id, short};
use crate::fault::Fault;
use crate::limits::{LOGIN_LIFE, PAGE_ACTIONS_MAX, TOKEN_BYTES_MAX};
use crate::login::Login;
use crate::newcomer::proved;
use crate::seat::{Asked, Caller, LiveRun, Operator, Peer, Role};
use crate::state::{Console, operator};
use crate::style::sheet;

const COOKIE: &str = "tacho_login";

pub(crate) fn routes() -> Router<Console> {
    Router::new()
        .route("/", get(home))
        .route("/style.css", get(style))
        .route("/login", get(login_page).post(login))
        .route("/logout", post(logout))
        .route("/runs", get(runs))
        .route("/runs/{run}", get(run))
        .route("/runs/{run}/report", get(report))
        .route("/runs/{run}/revoke", post(revoke))
        .route("/find", get(find))
        .route("/approvals", get(approvals))
        .route("/approvals/{ask}/approve", post(approve))
        .route("/approvals/{ask}/deny", post(deny))
}

/// A person at a browser.
struct Person {
    by: Operator,
    login: Login,
}

/// Why a page was not made.
enum NoPage {
    /// Nobody is logged in: to the form.
    LogIn,
    Fault(Fault),
}

impl FromRequestParts<Console> for Person {
    type Rejection = NoPage;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Person, NoPage> {
        let cookie = cookie(&parts.headers).ok_or(NoPage::LogIn)?;
        let login = console.logins().find(&cookie, Instant::now()).ok_or(NoPage::LogIn)?;
        match console.current(&login).await? {
            Some(by) => {
                console.admits(&by.name, parts.extensions.get::<Peer>().copied()).await?;
                proved(parts);
                Ok(Person { by, login })
            }
            None => {
                console.logins().end(&cookie);
                Err(NoPage::LogIn)
            }
        }
    }
}

impl Person {
    fn with(self, roles: &[Role]) -> Result<Person, NoPage> {
        operator(Caller::Operator(self.by.clone()), roles)?;
        Ok(self)
    }
}

/// A form, after the checks that it came from a page of ours.
#[derive(Deserialize)]
struct Checked {
    form: String,
}

type Page = Result<Response, NoPage>;
type Sent<T> = Result<Form<T>, FormRejection>;

async fn home(person: Person) -> Page {
    let to = if person.by.has(Role::Auditor) || person.by.has(Role::Admin) { "/runs" } else { "/approvals" };
    Ok(Redirect::to(to).into_response())
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], sheet()).into_response()
}

async fn login_page() -> Response {
    page(StatusCode::OK, "Log in", None, |html| login_form(html, None))
}

#[derive(Deserialize)]
struct LoginForm {
    token: String,
}

async fn login(
    State(console): State<Console>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    form: Sent<LoginForm>,
) -> Page {
    same_origin(&headers)?;
    let Form(LoginForm { token }) = form.map_err(rejected)?;
    let token = token.trim();
    let found = match token.len() {
        1..=TOKEN_BYTES_MAX => console.by_token(token).await.and_then(|caller| operator(caller, &[])),
        _ => Err(Fault::unauthenticated()),
    };
    let Ok(by) = found else {
        let wrong = Some("That token belongs to no operator. `tacho operator add NAME` makes one.");
        return Ok(page(StatusCode::UNAUTHORIZED, "Log in", None, |html| login_form(html, wrong)));
    };
    console.admits(&by.name, peer.map(|Extension(peer)| peer)).await?;
    let login = console.logins().make(&by.name, token, Instant::now()).map_err(|_| Fault::stopping())?;
    let secure = if console.secure() { "; Secure" } else { "" };
    let life = LOGIN_LIFE.as_secs();
    let cookie =
        format!("{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age={life}{secure}", login.cookie);
    let mut response = Redirect::to("/").into_response();
    let value = HeaderValue::from_str(&cookie).map_err(|_| Fault::stopping())?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

async fn logout(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    form: Sent<Checked>,
) -> Page {
    checked(&person, &headers, &form.map_err(rejected)?.0.form)?;
    if let Some(cookie) = cookie(&headers) {
        console.logins().end(&cookie);
    }
    let mut response = Redirect::to("/login").into_response();
    let gone = HeaderValue::from_static("tacho_login=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    response.headers_mut().insert(header::SET_COOKIE, gone);
    Ok(response)
}

async fn runs(State(console): State<Console>, person: Person) -> Page {
    let person = person.with(&[Role::Auditor, Role::Admin])?;
    let live = if person.by.has(Role::Admin) {
        console.watch(&person.by, Look::Runs, "live").await?;
        console.blocking(|parts| parts.runs.list_live()).await?.map_err(Fault::from)?
    } else {
        Vec::new()
    };
    let all = if person.by.has(Role::Auditor) {
        Some(console.ask(&person.by, |desk| desk.runs()).await?)
    } else {
        None
    };
    Ok(page(StatusCode::OK, "Runs", Some(&person), |html| {
        live_html(html, &live, &person.login);
        all.iter().for_each(|all| runs_html(html, all));
    }))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    from: usize,
}

async fn run(
    State(console): State<Console>,
    person: Person,
    Path(run): Path<String>,
    from: Result<Query<After>, QueryRejection>,
) -> Page {
    let person = person.with(&[Role::Auditor])?;
    let from = from.map_or(0, |Query(from)| from.from);
    let made = console.at_desk(&person.by, move |desk| {
        let show = desk.show(&run)?;
        let id = show.run.run.clone();
        Ok((desk.who(&id)?, desk.touched(&id)?, desk.exposed(&Scope::Run(&id))?, show))
    });
    let (who, touched, exposed, show) = made.await?;
    let title = format!("Run {}", show.run.run);
    Ok(page(StatusCode::OK, &title, Some(&person), |html| {
        run_html(html, &who, &touched, &exposed, &show, from)
    }))
}

async fn report(State(console): State<Console>, person: Person, Path(run): Path<String>) -> Page {
    let person = person.with(&[Role::Auditor])?;
    let made = console.at_desk(&person.by, move |desk| desk.report(&run, true).map(|r| r.to_html()));
    Ok(report_response(made.await?))
}

#[derive(Deserialize)]
struct ReasonForm {
    form: String,
    #[serde(default)]
    reason: String,
}

async fn revoke(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(run): Path<String>,
    form: Sent<ReasonForm>,
) -> Page {
    let Form(sent) = form.map_err(rejected)?;
    checked(&person, &headers, &sent.form)?;
    let person = person.with(&[Role::Admin])?;
    let (run, reason) = (run_id(&run)?, short("reason", sent.reason)?);
    let done = console.blocking(move |parts| parts.runs.revoke(&person.by, run, &reason));
    done.await?.map_err(Fault::from)?;
    Ok(Redirect::to("/runs").into_response())
}

#[derive(Deserialize)]
struct FindQuery {
    #[serde(default)]
    q: String,
}

async fn find(
    State(console): State<Console>,
    person: Person,
    query: Result<Query<FindQuery>, QueryRejection>,
) -> Page {
    let person = person.with(&[Role::Auditor])?;
    let q = query.map(|Query(query)| query.q).unwrap_or_default();
    if q.trim().is_empty() {
        return Ok(page(StatusCode::OK, "Find", Some(&person), |html| find_form(html, "", None)));
    }
    let asked = q.clone();
    match console.ask(&person.by, move |desk| desk.find(&asked)).await {
        Ok(found) => Ok(page(StatusCode::OK, "Find", Some(&person), |html| {
            find_form(html, &q, None);
            found_html(html, &found);
        })),
        Err(fault) if fault.status == StatusCode::BAD_REQUEST => {
            Ok(page(fault.status, "Find", Some(&person), |html| find_form(html, &q, Some(&fault.why))))
        }
        Err(fault) => Err(fault.into()),
    }
}

async fn approvals(State(console): State<Console>, person: Person) -> Page {
    let person = person.with(&[Role::Approver, Role::Auditor])?;
    console.watch(&person.by, Look::Approvals, "inbox").await?;
    let by = person.by.clone();
    let waiting = console.blocking(move |parts| parts.approvals.list(&by)).await?.map_err(Fault::from)?;
    Ok(page(StatusCode::OK, "Approvals", Some(&person), |html| inbox_html(html, &waiting, &person)))
}

#[derive(Deserialize)]
struct ApproveForm {
    form: String,
    /// `once` or `shape`.
    grant: String,
    #[serde(default)]
    minutes: String,
}

async fn approve(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(ask): Path<String>,
    form: Sent<ApproveForm>,
) -> Page {
    let Form(sent) = form.map_err(rejected)?;
    checked(&person, &headers, &sent.form)?;
    let person = person.with(&[Role::Approver])?;
    let minutes = match (&*sent.grant, sent.minutes.trim()) {
        ("shape", minutes) => Some(minutes.parse().map_err(|_| Fault::wrong("minutes is a whole number"))?),
        _ => None,
    };
    let grant = Approve { form: Some(sent.grant), minutes, signature: None }.grant()?;
    let ask = ask_id(&ask)?;
    let done = console.blocking(move |parts| parts.approvals.approve(&person.by, ask, &grant));
    done.await?.map_err(Fault::from)?;
    Ok(Redirect::to("/approvals").into_response())
}

async fn deny(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(ask): Path<String>,
    form: Sent<ReasonForm>,
) -> Page {
    let Form(sent) = form.map_err(rejected)?;
    checked(&person, &headers, &sent.form)?;
    let person = person.with(&[Role::Approver])?;
    let (ask, reason) = (ask_id(&ask)?, short("reason", sent.reason)?);
    let done = console.blocking(move |parts| parts.approvals.deny(&person.by, ask, &reason));
    done.await?.map_err(Fault::from)?;
    Ok(Redirect::to("/approvals").into_response())
}

/// A form is taken only from a page of ours: the browser says the origin, and the form brings the login's secret.
fn checked(person: &Person, headers: &HeaderMap, secret: &str) -> Result<(), Fault> {
    same_origin(headers)?;
    if person.login.sent(secret) {
        return Ok(());
    }
    Err(Fault::forbidden("this form is not from a page of this login; load the page again"))
}

/// Browsers name where a form came from, in `Sec-Fetch-Site` and `Origin`. A form from elsewhere is refused, and one
/// from a browser too old to say is left to the form's secret.
fn same_origin(headers: &HeaderMap) -> Result<(), Fault> {
    let named = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = named("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let host = named("host").unwrap_or("");
    let origin = named("origin").is_none_or(|origin| {
        origin
            .split_once("://")
            .is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && rest == host)
    });
    if site && origin { Ok(()) } else { Err(Fault::forbidden("this form comes from another site")) }
}

/// The login cookie, if there is exactly one.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned());
    let one = ours.next().filter(|value| value.len() <= TOKEN_BYTES_MAX)?;
    ours.next().is_none().then_some(one)
}

fn rejected(rejection: FormRejection) -> NoPage {
    NoPage::Fault(Fault { status: rejection.status(), kind: "wrong", why: rejection.body_text() })
}

impl From<Fault> for NoPage {
    fn from(fault: Fault) -> NoPage {
        NoPage::Fault(fault)
    }
}

impl IntoResponse for NoPage {
    fn into_response(self) -> Response {
        match self {
            NoPage::LogIn => Redirect::to("/login").into_response(),
            NoPage::Fault(fault) => page(fault.status, "Not done", None, |html| {
                html.leaf("h1", "", "Not done");
                html.tag("pre", "", |html| html.block(&fault.why));
                html.constant("<p><a href=\"/\">Back</a></p>");
            }),
        }
    }
}

fn page(status: StatusCode, title: &str, person: Option<&Person>, body: impl FnOnce(&mut Html)) -> Response {
    let mut html = Html::new();
    html.constant(HEAD);
    html.leaf("title", "", &format!("{title} - Tachograph"));
    html.constant("</head><body>\n");
    html.tag("nav", "", |html| nav(html, person));
    html.tag("main", "", body);
    html.constant("</body></html>\n");
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html.finish()).into_response()
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
<link rel=\"stylesheet\" href=\"/style.css\">\n";

fn nav(html: &mut Html, person: Option<&Person>) {
    html.constant("<a class=\"brand\" href=\"/\">Tachograph</a>");
    let Some(Person { by, login }) = person else { return };
    if by.has(Role::Auditor) || by.has(Role::Admin) {
        html.constant("<a href=\"/runs\">Runs</a>");
    }
    if by.has(Role::Approver) || by.has(Role::Auditor) {
        html.constant("<a href=\"/approvals\">Approvals</a>");
    }
    if by.has(Role::Auditor) {
        html.constant("<a href=\"/find\">Find</a>");
    }
    let roles: Vec<&str> = by.roles.iter().map(|role| role.as_str()).collect();
    html.tag("span", "me", |html| {
        html.text(&format!("{} ({})", by.name, roles.join(", ")));
        form(html, "/logout".to_owned(), login, |html| {
            html.constant("<button class=\"quiet\">Log out</button>")
        });
    });
}

/// A form that posts, with the login's secret in it.
fn form(html: &mut Html, to: String, login: &Login, inner: impl FnOnce(&mut Html)) {
    let attributes = [("method", Attr::new("post")), ("action", Attr::new(to))];
    html.tag_with("form", "", &attributes, |html| {
        let hidden =
            [("type", Attr::new("hidden")), ("name", Attr::new("form")), ("value", Attr::new(&login.form))];
        html.open("input", "", &hidden);
        inner(html);
    });
}

fn login_form(html: &mut Html, wrong: Option<&str>) {
    html.leaf("h1", "", "Log in");
    wrong.iter().for_each(|why| html.leaf("p", "bad", why));
    html.constant(
        "<form method=\"post\" action=\"/login\" class=\"login\"><label>Operator token \
         <input type=\"password\" name=\"token\" autocomplete=\"off\" required autofocus></label>\
         <button>Log in</button></form>\
         <p class=\"soft\">Everything that you look at here is itself recorded.</p>",
    );
}

fn live_html(html: &mut Html, live: &[LiveRun], login: &Login) {
    if live.is_empty() {
        return;
    }
    html.leaf("h1", "", "Live runs");
    for run in live {
        html.tag("article", "ask", |html| {
            html.leaf("p", "line", &format!("{} for {}, since {}", run.agent, run.human, run.since));
            html.leaf("p", "soft", &format!("run {}, {}, {} waiting", run.run, count(run.sessions, "session"), run.waiting));
            form(html, format!("/runs/{}/revoke", run.run), login, |html| {
                html.constant("<input name=\"reason\" placeholder=\"Reason\" required maxlength=\"500\"> <button class=\"deny\">Revoke</button>");
            });
        });
    }
}

fn runs_html(html: &mut Html, all: &RunsAnswer) {
    html.leaf("h1", "", "Runs");
    if all.runs.is_empty() {
        html.leaf("p", "soft", "No run is recorded yet. `tacho run --agent NAME -- COMMAND` makes one.");
        return;
    }
    html.tag("table", "", |html| {
        html.constant("<thead><tr><th>Opened</th><th>Human</th><th>Agent</th><th>Task</th><th>State</th><th class=\"n\">Actions</th><th>Run</th></tr></thead>");
        html.tag("tbody", "", |html| {
            for run in &all.runs {
                html.tag("tr", "", |html| {
                    let text = |t: &Option<String>| t.clone().unwrap_or_default();
                    html.leaf("td", "when", &text(&run.opened));
                    html.leaf("td", "", &text(&run.human));
                    html.leaf("td", "", &text(&run.agent));
                    html.leaf("td", "", &text(&run.task));
                    html.leaf("td", if run.state == "open" { "open" } else { "" }, &run.state);
                    html.leaf("td", "n", &run.actions.to_string());
                    html.tag("td", "code", |html| run_link(html, &run.run));
                });
            }
        });
    });
    html.leaf("p", "soft", &all.proof.text());
}

fn run_link(html: &mut Html, run: &str) {
    let short: String = run.chars().take(12).collect();
    html.tag_with("a", "", &[("href", Attr::new(format!("/runs/{run}")))], |html| html.text(&short));
}

fn run_html(html: &mut Html, who: &Who, touched: &Touched, exposed: &Exposed, show: &Show, from: usize) {
    html.leaf("h1", "", &format!("Run {}", show.run.run));
    show.run.task.iter().for_each(|task| html.leaf("p", "", &format!("Task: {task}")));
    three_html(html, who, touched, exposed);
    html.tag("p", "soft", |html| {
        html.text(&format!(
            "{} actions, {} records, {}. ",
            show.run.actions, show.run.records, show.run.state
        ));
        let href = [("href", Attr::new(format!("/runs/{}/report", show.run.run)))];
        html.tag_with("a", "", &href, |html| html.text("Report for print"));
    });
    show.erasure.iter().for_each(|it| html.leaf("p", "soft", &format!("Payloads: {}", it.text())));
    for (name, value) in show.chain.iter().flat_map(|chain| chain.pairs()) {
        html.leaf("p", "soft", &format!("{name}: {value}"));
    }
    if !exposed.prevents.is_empty() {
        html.tag("details", "", |html| {
            html.leaf("summary", "", "What prevents the statement \"unmasked: 0\"");
            prevents_html(html, exposed);
        });
    }
    if shows_any(exposed) {
        html.leaf("h2", "", "Exposed");
        exposed_html(html, exposed);
    }
    html.leaf("h2", "", "Touched");
    let row = |t: &answers::TouchedLine| {
        vec![t.on.clone(), t.verb.clone(), t.columns_text(), t.effects(), t.cites.text()]
    };
    html.table(
        &["Resource", "Verb", "Columns", "Effect", "Records"],
        &[0, 2],
        &touched.touches.iter().map(row).collect::<Vec<_>>(),
    );
    html.leaf("h2", "", "Timeline");
    sessions_html(html, &show.sessions, false);
    show.decided.sentence().iter().for_each(|decided| html.leaf("p", "soft", decided));
    timeline(html, show, from);
    if !show.unread.is_empty() {
        html.leaf("h2", "", "Records that are not understood whole");
        let row = |u: &answers::UnreadLine| vec![format!("#{}", u.record), u.kind.clone(), u.why.clone()];
        html.table(&["Record", "Kind", "Why"], &[], &show.unread.iter().map(row).collect::<Vec<_>>());
    }
    html.leaf("p", "soft", &show.proof.text());
}

fn timeline(html: &mut Html, show: &Show, from: usize) {
    let moments = show.timeline();
    for moment in moments.iter().skip(from).take(PAGE_ACTIONS_MAX) {
        match moment {
            Moment::Action(action) => action_html(html, action),
            Moment::Plan(plan) => plan_html(html, plan),
            Moment::Decision(decision) => decision_html(html, decision),
        }
    }
    let next = from.saturating_add(PAGE_ACTIONS_MAX);
    if next < moments.len() {
        let what = if show.decisions.is_empty() { "actions" } else { "actions and decisions" };
        let href = [("href", Attr::new(format!("/runs/{}?from={next}", show.run.run)))];
        html.tag_with("a", "", &href, |html| html.text(&format!("{} more {what}", moments.len() - next)));
    }
}

fn find_form(html: &mut Html, q: &str, wrong: Option<&str>) {
    html.leaf("h1", "", "Find");
    html.tag_with("form", "find", &[("method", Attr::new("get")), ("action", Attr::new("/find"))], |html| {
        let input = [
            ("name", Attr::new("q")),
            ("value", Attr::new(q)),
            ("maxlength", Attr::new(4096)),
            ("aria-label", Attr::new("Query")),
        ];
        html.open("input", "", &input);
        html.constant("<button>Find</button>");
    });
    wrong.iter().for_each(|why| html.tag("pre", "bad", |html| html.block(why)));
    html.leaf(
        "p",
        "soft",
        "table:customers verb:write since:2h human:ada class:pii.ssn verdict:refuse \"free text\"",
    );
}

fn found_html(html: &mut Html, found: &Found) {
    html.leaf(
        "h2",
        "",
        &format!("{} actions in {} runs", found.actions.len() as u64 + found.more_actions, found.runs.len()),
    );
    for action in found.actions.iter().take(PAGE_ACTIONS_MAX) {
        html.tag("p", "soft", |html| run_link(html, &action.run));
        action_html(html, action);
    }
    let more = (found.actions.len().saturating_sub(PAGE_ACTIONS_MAX)) as u64 + found.more_actions;
    if more > 0 {
        html.leaf("p", "soft", &format!("and {more} more; narrow the query"));
    }
    if !found.unread.is_empty() {
        html.leaf(
            "p",
            "open",
            &format!("{} records are not understood whole; the query may miss them.", found.unread.len()),
        );
    }
    html.leaf("p", "soft", &found.proof.text());
}

fn inbox_html(html: &mut Html, waiting: &[Asked], person: &Person) {
    html.leaf("h1", "", "Approvals");
    if waiting.is_empty() {
        html.leaf("p", "soft", "Nothing waits for approval.");
    }
    for ask in waiting {
        html.tag("article", "ask", |html| asked_html(html, ask, person));
    }
}

/// The resolved action first, then the statement, then who asks and what the rules say, then the decision.
fn asked_html(html: &mut Html, ask: &Asked, person: &Person) {
    html.tag("ul", "touches", |html| ask.touches.iter().for_each(|touch| html.leaf("li", "", touch)));
    html.tag("pre", "", |html| html.block(&ask.statement));
    if let Some(says) = &ask.says {
        html.leaf("p", "label", "With its values, which the record does not have:");
        html.tag("pre", "", |html| html.block(says));
    }
    if let Some(sent) = &ask.sent {
        html.leaf(
            "p",
            "label",
            "Would be sent instead, so that governed values are masked where they are read:",
        );
        html.tag("pre", "sent", |html| html.block(sent));
    }
    if let Some(changes) = &ask.changes {
        html.leaf("p", "label", "What it would change:");
        html.tag("pre", "changes", |html| html.block(changes));
    }
    for param in ask.numbered_params() {
        html.leaf("p", "label", &format!("Parameter {param}"));
    }
    for line in ask.decided() {
        html.leaf("p", "label", &format!("Decided: {line}"));
    }
    let seconds = ask.expires_in_ms / 1000;
    let task = ask.task.as_ref().map(|task| format!(", task \"{task}\"")).unwrap_or_default();
    html.leaf("p", "", &format!("{} for {}{task}, on {}", ask.agent, ask.human, ask.resource));
    html.leaf(
        "p",
        "soft",
        &format!(
            "run {}, record #{}, asked {}, expires at {} ({seconds} s after this page was made)",
            ask.run, ask.record, ask.at, ask.expires
        ),
    );
    html.leaf("p", "soft", &format!("rules {}; groups {}", ask.rules.join(", "), ask.groups.join(", ")));
    if let Some(message) = &ask.message {
        html.leaf("p", "label", message);
    }
    if ask.in_transaction {
        html.leaf("p", "open", "It is inside an open transaction, which waits too.");
    }
    if !person.by.has(Role::Approver) {
        return;
    }
    html.tag("div", "decide", |html| {
        ask.forms.iter().for_each(|grant| grant_form(html, ask, grant, &person.login));
        form(html, format!("/approvals/{}/deny", ask.ask), &person.login, |html| {
            html.constant("<input name=\"reason\" placeholder=\"Reason\" required maxlength=\"500\"> <button class=\"deny\">Deny</button>");
        });
    });
}

fn grant_form(html: &mut Html, ask: &Asked, grant: &str, login: &Login) {
    form(html, format!("/approvals/{}/approve", ask.ask), login, |html| {
        match grant {
        "once" => html.constant("<input type=\"hidden\" name=\"grant\" value=\"once\"><button>Approve once</button>"),
        "shape" => html.constant(
            "<input type=\"hidden\" name=\"grant\" value=\"shape\"><button>Approve this shape</button> for \
             <input name=\"minutes\" value=\"15\" size=\"3\" inputmode=\"numeric\" aria-label=\"minutes\"> minutes",
        ),
        // A form that this version does not know is not offered.
        _ => {}
    }
    });
}
