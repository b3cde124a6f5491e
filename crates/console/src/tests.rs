//! The console as its callers see it: who may do what, and what keeps strangers' pages out.

use std::sync::{Arc, Mutex};

use answers::{Answer, Cannot, Chain, Desk, Look, NotWatched, Sealed, Verified, Watch, Watched};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_service::Service;
use vocab::{AskId, RunId, WallTime};

use crate::seat::{
    Approvals, Asked, Auth, Caller, Credential, Decided, Evidence, Failed, FailedKind, Grant, GrantForm,
    Inbox, LiveRun, Mint, Minted, MintedProxy, MintedResource, Operator, Peer, Process, Role, Runs, Signs,
    Status, Tool, Tools, Workload,
};
use crate::serve::router;
use crate::{Console, Listener, Parts, limits, serve};

#[path = "../../answers/tests/it/story.rs"]
mod story;

const ASK: &str = "77777777777777777777777777777777";
const RUN: &str = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";

/// The port from which a process inside a run calls.
const INSIDE: u16 = 50_666;

fn tcp(port: u16) -> Peer {
    Peer::Tcp { client: ([127, 0, 0, 1], port).into(), console: ([127, 0, 0, 1], 7070).into() }
}

/// Everything behind the console, with a list of what was done.
struct Rest {
    index: index::Index,
    chain: Chain,
    done: Mutex<Vec<String>>,
    broken_watch: bool,
    /// `lou` is no longer an operator.
    without_lou: Mutex<bool>,
    /// What waits.
    asked: Mutex<Asked>,
}

impl Rest {
    fn note(&self, what: String) {
        self.done.lock().unwrap().push(what);
    }

    fn done(&self) -> Vec<String> {
        std::mem::take(&mut self.done.lock().unwrap())
    }
}

fn person(name: &str) -> Option<Operator> {
    let roles = match name {
        "ann" => vec![Role::Approver],
        "aud" => vec![Role::Auditor],
        "adm" => vec![Role::Admin],
        "lou" => vec![Role::Approver, Role::Auditor, Role::Admin],
        "nil" => vec![],
        _ => return None,
    };
    Some(Operator { name: name.to_owned(), roles, groups: vec!["dba".to_owned()] })
}

fn workload() -> Workload {
    Workload {
        name: "ci:repo".to_owned(),
        issuer: "ci".to_owned(),
        human: "ada".to_owned(),
        iss: "https://ci.example".to_owned(),
        subject: "repo".to_owned(),
        id: None,
        actors: Vec::new(),
        digest: [1; 32],
        ticket: [2; 32],
        expires: 1,
        agent: None,
        agent_version: None,
        groups: Vec::new(),
        claims: Vec::new(),
        involved: vec!["ada".to_owned()],
    }
}

impl Auth for Rest {
    fn authenticate(&self, credential: Credential<'_>) -> Option<Caller> {
        match credential {
            Credential::Token("run-token") => {
                Some(Caller::Run { run: RunId([1; 16]), human: "ada".to_owned() })
            }
            Credential::Token("workload-token") => Some(Caller::Workload(Box::new(workload()))),
            Credential::Token(token) => person(token.strip_prefix("token-")?).map(Caller::Operator),
            Credential::Peer { uid: 1000, .. } => person("lou").map(Caller::Operator),
            Credential::Peer { .. } => None,
        }
    }

    fn admits(&self, _: &str, peer: Peer) -> Result<(), String> {
        match peer {
            Peer::Tcp { client, .. } if client.port() == INSIDE => Err("inside a run".to_owned()),
            Peer::Tcp { .. } | Peer::Unix { .. } => Ok(()),
        }
    }

    fn process(&self, pid: i32) -> Option<Process> {
        Some(Process { pid, started: 1 })
    }

    fn current(&self, name: &str, _: &[u8; 32]) -> Option<Operator> {
        person(name).filter(|p| p.name != "lou" || !*self.without_lou.lock().unwrap())
    }
}

impl Approvals for Rest {
    fn list(&self, by: &Operator) -> Result<Vec<Asked>, Failed> {
        self.note(format!("list by {}", by.name));
        Ok(vec![self.asked.lock().unwrap().clone()])
    }

    fn approve(&self, by: &Operator, ask: AskId, grant: &Grant) -> Result<Decided, Failed> {
        let form = match grant.form {
            GrantForm::Once => "once".to_owned(),
            GrantForm::Shape { minutes } => format!("shape {minutes}"),
        };
        self.note(format!("approve {form} by {} signed {}", by.name, grant.signature.is_some()));
        if ask == (AskId([9; 16])) {
            return Err(Failed { kind: FailedKind::Gone, why: "it expired".to_owned() });
        }
        Ok(Decided { ask: ask.to_string(), verdict: "granted".into(), by: by.name.clone(), record: 5 })
    }

    fn deny(&self, by: &Operator, ask: AskId, reason: &str) -> Result<Decided, Failed> {
        self.note(format!("deny by {}: {reason}", by.name));
        Ok(Decided { ask: ask.to_string(), verdict: "denied".into(), by: by.name.clone(), record: 6 })
    }
}

impl Runs for Rest {
    fn list_live(&self) -> Result<Vec<LiveRun>, Failed> {
        Ok(vec![LiveRun {
            run: RUN.to_owned(),
            human: "ada".to_owned(),
            by: "ada".to_owned(),
            agent: "support".to_owned(),
            task: None,
            since: "2026-09-21T14:13:20.000Z".to_owned(),
            sessions: 1,
            waiting: 0,
        }])
    }

    fn mint(&self, by: &Caller, request: &Mint) -> Result<Minted, Failed> {
        let who = match by {
            Caller::Operator(operator) => operator.name.clone(),
            Caller::Run { run, .. } => format!("run {run}"),
            Caller::Workload(workload) => workload.name.clone(),
        };
        self.note(format!("mint {} by {who} for {:?}", request.agent, request.for_));
        let resource = MintedResource {
            name: "crm".into(),
            kind: "postgres".into(),
            host: "127.0.0.1".into(),
            port: 6432,
            user: "run".into(),
            password: "minted-password".into(),
            database: None,
            certificate: None,
            settings: Default::default(),
        };
        Ok(Minted {
            run: RUN.into(),
            human: "ada".into(),
            token: "minted-token".into(),
            resources: vec![resource],
            proxy: None,
        })
    }

    fn close(&self, _: &Caller, run: RunId, status: Option<i64>) -> Result<(), Failed> {
        self.note(format!("close {run} {status:?}"));
        Ok(())
    }

    fn revoke(&self, by: &Operator, run: RunId, reason: &str) -> Result<(), Failed> {
        self.note(format!("revoke {run} by {}: {reason}", by.name));
        Ok(())
    }

    fn erase(&self, by: &Operator, run: RunId, reason: &str) -> Result<(), Failed> {
        self.note(format!("erase {run} by {}: {reason}", by.name));
        Ok(())
    }
}

impl Tools for Rest {
    fn list(&self) -> Result<Vec<Tool>, Failed> {
        let (digest, says) = (Some("5d21e7".into()), Some(r#"{"name":"read"}"#.into()));
        Ok(vec![Tool { resource: "files".into(), tool: "read".into(), changed: true, digest, says }])
    }

    fn accept(&self, by: &Operator, resource: &str, tool: &str, digest: &str) -> Result<(), Failed> {
        self.note(format!("accept {resource} {tool} {digest} by {}", by.name));
        Ok(())
    }
}

impl Watch for Rest {
    fn watch(&self, who: &str, look: Look, subject: &str) -> Result<Watched, NotWatched> {
        if self.broken_watch {
            return Err(NotWatched("the disk is full".to_owned()));
        }
        self.note(format!("{who} looks: {} {subject}", look.as_str()));
        Ok(Watched::Recorded(None))
    }
}

impl Evidence for Rest {
    fn with_desk(&self, who: &str, ask: &mut dyn FnMut(&Desk<'_>)) -> Result<(), Cannot> {
        let desk = Desk {
            index: &self.index,
            chain: &self.chain,
            now: WallTime(1_790_086_400_000_000_000),
            who,
            watch: self,
            reels: &Sealed,
        };
        ask(&desk);
        Ok(())
    }

    fn status(&self) -> Result<Status, Failed> {
        Ok(Status {
            version: "0.1.0".into(),
            origin: "gateway.example/1".into(),
            since: "2026-09-21T14:13:20.000Z".into(),
            durability: "sync".into(),
            policy: "03".repeat(32),
            records: 40,
            open_records: 0,
            runs: 1,
            sessions: 1,
            waiting: 1,
            free_bytes: 1 << 30,
            resources: vec![],
            proxy: None,
            witnesses: vec![],
            alarms: vec![],
        })
    }
}

fn asked(statement: &str) -> Asked {
    Asked {
        ask: ASK.to_owned(),
        record: 18,
        at: "2026-09-21T14:13:20.000Z".to_owned(),
        expires: "2026-09-21T14:15:20.000Z".to_owned(),
        expires_in_ms: 91_000,
        run: RUN.to_owned(),
        human: "ada".to_owned(),
        agent: "support 2.1".to_owned(),
        task: Some("refund of ticket 4711".to_owned()),
        resource: "crm".to_owned(),
        groups: vec!["dba".to_owned()],
        rules: vec!["writes-need-dba".to_owned()],
        message: Some("Writes to customers need a DBA.".to_owned()),
        verbs: vec!["write".to_owned()],
        touches: vec!["write crm/crm/public/customers (name)".to_owned()],
        statement: statement.to_owned(),
        sent: None,
        says: None,
        changes: None,
        params: vec!["int4 9999".to_owned()],
        param_values: vec![],
        in_transaction: true,
        because: None,
        signs: Signs::default(),
        forms: vec!["once".to_owned(), "shape".to_owned()],
    }
}

struct World {
    rest: Arc<Rest>,
    router: Router,
    console: Console,
}

fn world() -> World {
    world_with(story::whole(), false)
}

fn world_with(story: story::Story, broken_watch: bool) -> World {
    let index = index::Bundle::of_segments(&story.segments()).unwrap().index;
    let chain = Chain::Verified(Verified {
        covered: index.next(),
        anchored: true,
        witnessed: None,
        checkpoint: "gateway.example/1".to_owned(),
        no_close: false,
        torn: None,
    });
    let rest = Arc::new(Rest {
        index,
        chain,
        done: Mutex::default(),
        broken_watch,
        without_lou: Mutex::new(false),
        asked: Mutex::new(asked("UPDATE customers SET name = 'xxx' WHERE id = 9")),
    });
    let console = Console::new(Parts {
        auth: rest.clone(),
        approvals: rest.clone(),
        runs: rest.clone(),
        tools: rest.clone(),
        evidence: rest.clone(),
        hosts: vec!["127.0.0.1:7070".to_owned(), "localhost:7070".to_owned()],
        secure: false,
    });
    World { rest, router: router(console.clone()), console }
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl World {
    async fn send(&self, mut request: Request<Body>) -> Got {
        if request.extensions().get::<Peer>().is_none() {
            request.extensions_mut().insert(tcp(50_000));
        }
        let mut router = self.router.clone();
        let response = router.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 8 << 20).await.unwrap();
        Got { status: parts.status, headers: parts.headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn api(&self, method: Method, path: &str, token: Option<&str>, body: &str) -> Got {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:7070");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Logs in at the form; returns the cookie.
    async fn log_in(&self, token: &str) -> String {
        let got = self.form("/login", None, &format!("token={token}"), &[]).await;
        assert_eq!(got.status, StatusCode::SEE_OTHER, "{}", got.body);
        let cookie = got.headers["set-cookie"].to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn page(&self, path: &str, cookie: Option<&str>) -> Got {
        let mut request = Request::builder().uri(path).header("host", "127.0.0.1:7070");
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn form(&self, path: &str, cookie: Option<&str>, body: &str, headers: &[(&str, &str)]) -> Got {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", "127.0.0.1:7070")
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// The secret that the forms of this login carry.
    async fn secret(&self, cookie: &str) -> String {
        let page = self.page("/approvals", Some(cookie)).await.body;
        let at = page.find("name=\"form\" value=\"").unwrap() + 19;
        page[at..at + 64].to_owned()
    }
}

/// Who may call a route: nobody, approver, auditor, admin, an operator without a role, a run, a workload.
const WHO: [(&str, Option<&str>); 8] = [
    ("nobody", None),
    ("a stranger", Some("token-eve")),
    ("approver", Some("token-ann")),
    ("auditor", Some("token-aud")),
    ("admin", Some("token-adm")),
    ("no role", Some("token-nil")),
    ("a run", Some("run-token")),
    ("a workload", Some("workload-token")),
];

#[test]
fn one_request_is_shown_whole_and_a_list_says_where_it_is_short() {
    let long = format!("UPDATE t\n  SET a = 1 -- {}\u{202e}\nWHERE id = 7", "x".repeat(400));
    let asked = Asked {
        sent: Some("UPDATE t SET a = mask(1)".to_owned()),
        changes: Some("1 row\nof t".to_owned()),
        ..asked(&long)
    };
    let whole = asked.to_text();
    for line in
        long.replace('\u{202e}', "\\u{202e}").lines().chain(["UPDATE t SET a = mask(1)", "1 row", "of t"])
    {
        assert!(whole.contains(&format!("    | {line}\n")), "{line} in {whole}");
    }
    assert!(whole.contains("  is sent as\n"), "{whole}");
    let list = Inbox { approvals: vec![asked] }.to_text();
    assert!(list.contains(&format!("  shortened    whole: tacho approvals {ASK}\n")), "{list}");
}

#[test]
fn an_approver_reads_the_task_and_which_parameter_is_which() {
    let asked = Asked { params: vec!["xxxx".to_owned(), "99".to_owned()], ..asked("SELECT $1, $2") };
    let text = Inbox { approvals: vec![asked] }.to_text();
    for line in
        ["  task         refund of ticket 4711\n", "  parameter    $1 xxxx\n", "  parameter    $2 99\n"]
    {
        assert!(text.contains(line), "{text}");
    }
    let decided = Decided { ask: ASK.to_owned(), verdict: "denied".into(), by: "lena".into(), record: 18 };
    assert_eq!(decided.to_text(), format!("{ASK} denied by lena (asked in record 18)\n"));
}

#[tokio::test]
async fn each_route_serves_the_roles_that_it_is_for_and_no_other() {
    const N: u16 = 401;
    const F: u16 = 403;
    let revoke = format!("/v1/runs/{RUN}/revoke");
    let erase = format!("/v1/runs/{RUN}/erase");
    let close = format!("/v1/runs/{RUN}/close");
    let approve = format!("/v1/approvals/{ASK}/approve");
    let deny = format!("/v1/approvals/{ASK}/deny");
    let reason = r#"{"reason":"because"}"#;
    let tool = r#"{"resource":"files","tool":"read","digest":"5d21e7"}"#;
    let for_self = r#"{"agent":"support"}"#;
    let for_other = r#"{"agent":"support","for":"bob"}"#;
    #[rustfmt::skip]
    let table: Vec<(Method, &str, &str, [u16; 8])> = vec![
        //                                          nobody stranger approver auditor admin none run workload
        (Method::GET,  "/v1/status", "",                      [N, N, 200, 200, 200, 200, F, F]),
        (Method::GET,  "/v1/live", "",                        [N, N, F,   200, 200, F,   F, F]),
        (Method::GET,  "/v1/runs", "",                        [N, N, F,   200, F,   F,   F, F]),
        (Method::GET,  "/v1/runs/a1a1a1", "",                 [N, N, F,   200, F,   F,   F, F]),
        (Method::GET,  "/v1/runs/a1a1a1/who", "",             [N, N, F,   200, F,   F,   F, F]),
        (Method::GET,  "/v1/runs/a1a1a1/touched", "",         [N, N, F,   200, F,   F,   F, F]),
        (Method::GET,  "/v1/runs/a1a1a1/exposed", "",         [N, N, F,   200, F,   F,   F, F]),
        (Method::GET,  "/v1/runs/a1a1a1/replay", "",          [N, N, F,   409, F,   F,   F, F]),
        (Method::GET,  "/v1/runs/a1a1a1/report", "",          [N, N, F,   200, F,   F,   F, F]),
        (Method::GET,  "/v1/exposed?since=2d", "",            [N, N, F,   200, F,   F,   F, F]),
        (Method::GET,  "/v1/diff?left=a1a1a1&right=b2b2b2", "", [N, N, F, 200, F,   F,   F, F]),
        (Method::GET,  "/v1/find?q=verb:read", "",            [N, N, F,   200, F,   F,   F, F]),
        (Method::GET,  "/v1/approvals", "",                   [N, N, 200, 200, F,   F,   F, F]),
        (Method::POST, &approve, "{}",                        [N, N, 200, F,   F,   F,   F, F]),
        (Method::POST, &deny, reason,                         [N, N, 200, F,   F,   F,   F, F]),
        (Method::POST, "/v1/runs", for_self,                  [N, N, 200, 200, 200, 200, 200, 200]),
        (Method::POST, "/v1/runs", for_other,                 [N, N, F,   F,   200, F,   F, 200]),
        (Method::POST, &close, r#"{"status":0}"#,             [N, N, 204, 204, 204, 204, 204, 204]),
        (Method::POST, &revoke, reason,                       [N, N, F,   F,   204, F,   F, F]),
        (Method::POST, &erase, reason,                        [N, N, F,   F,   204, F,   F, F]),
        (Method::GET,  "/v1/tools", "",                       [N, N, F,   200, 200, F,   F, F]),
        (Method::POST, "/v1/tools/accept", tool,              [N, N, F,   F,   204, F,   F, F]),
    ];
    let world = world();
    for (method, path, body, expected) in table {
        for ((who, token), expected) in WHO.into_iter().zip(expected) {
            world.rest.done();
            let got = world.api(method.clone(), path, token, body).await;
            assert_eq!(got.status.as_u16(), expected, "{method} {path} by {who}: {}", got.body);
            if expected >= 400 && expected != 409 {
                assert_eq!(world.rest.done(), Vec::<String>::new(), "{method} {path} by {who} did nothing");
                assert!(got.body.starts_with("{\"shape\":\"tacho.error/1\""), "{}", got.body);
            }
        }
    }
}

#[tokio::test]
async fn every_view_by_a_person_is_watched() {
    let world = world();
    let id = "a1".repeat(16);
    let table = [
        ("/v1/runs", "runs all".to_owned()),
        ("/v1/live", "runs live".to_owned()),
        ("/v1/runs/a1a1a1", format!("show {id}")),
        ("/v1/runs/a1a1a1/who", format!("who {id}")),
        ("/v1/runs/a1a1a1/touched", format!("touched {id}")),
        ("/v1/runs/a1a1a1/exposed", format!("exposed {id}")),
        ("/v1/runs/a1a1a1/replay", format!("replay {id}")),
        ("/v1/runs/a1a1a1/report", format!("export {id}")),
        ("/v1/find?q=verb:read", "find verb:read".to_owned()),
        ("/v1/approvals", "approvals inbox".to_owned()),
    ];
    for (path, look) in &table {
        world.rest.done();
        world.api(Method::GET, path, Some("token-aud"), "").await;
        assert!(world.rest.done().contains(&format!("aud looks: {look}")), "{path}");
    }
    let blind = world_with(story::whole(), true);
    for (path, _) in &table {
        let got = blind.api(Method::GET, path, Some("token-aud"), "").await;
        assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {}", got.body);
        assert!(!got.body.contains("customers"), "{path}");
    }
}

#[tokio::test]
async fn an_answer_reads_back_as_its_shape() {
    let world = world();
    let got = world.api(Method::GET, "/v1/runs/a1a1a1/touched", Some("token-aud"), "").await;
    let touched: answers::Touched = answers::from_json(&got.body).unwrap();
    assert!(touched.touches.iter().any(|t| t.on == story::CUSTOMERS));
    let got = world.api(Method::GET, "/v1/approvals", Some("token-ann"), "").await;
    let inbox: crate::seat::Inbox = answers::from_json(&got.body).unwrap();
    assert_eq!(inbox.approvals[0].ask, ASK);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let world = world();
    let approve = format!("/v1/approvals/{ASK}/approve");
    let gone = format!("/v1/approvals/{}/approve", "09".repeat(16));
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(limits::TEXT_BYTES_MAX + 1));
    let deny = format!("/v1/approvals/{ASK}/deny");
    let table: [(Method, &str, &str, u16, &str); 13] = [
        (Method::POST, &approve, r#"{"form":"twice"}"#, 400, "once or shape"),
        (Method::POST, &approve, r#"{"form":"shape"}"#, 400, "shape needs minutes"),
        (Method::POST, &approve, r#"{"form":"shape","minutes":0}"#, 400, "shape needs minutes"),
        (Method::POST, &approve, r#"{"form":"shape","minutes":1441}"#, 400, "shape needs minutes"),
        (Method::POST, &approve, r#"{"minutes":5}"#, 400, "shape only"),
        (Method::POST, &approve, r#"{"as":"root"}"#, 422, "unknown field"),
        (Method::POST, "/v1/approvals/7/approve", "{}", 400, "32 hexadecimal digits"),
        (Method::POST, &gone, "{}", 410, "expired"),
        (Method::POST, &deny, r#"{"reason":"  "}"#, 400, "empty"),
        (Method::POST, &deny, &long, 400, "at most"),
        (Method::GET, "/v1/find?q=verb:reed", "", 400, "no verb"),
        (Method::GET, "/v1/runs/ffffff", "", 404, "no run"),
        (Method::GET, "/v1/exposed?since=yesterday", "", 400, "are times"),
    ];
    for (method, path, body, status, why) in table {
        let got = world.api(method.clone(), path, Some("token-lou"), body).await;
        assert_eq!(got.status.as_u16(), status, "{method} {path} {body}: {}", got.body);
        assert!(got.body.contains(why), "{path} {body}: {}", got.body);
    }
    let big = format!(r#"{{"reason":"{}"}}"#, "x".repeat(limits::BODY_BYTES_MAX));
    let got = world.api(Method::POST, &deny, Some("token-lou"), &big).await;
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_json_body_must_say_that_it_is_json() {
    let world = world();
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v1/approvals/{ASK}/approve"))
        .header("host", "127.0.0.1:7070")
        .header("authorization", "Bearer token-ann")
        .header("content-type", "text/plain")
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(world.send(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(world.rest.done(), Vec::<String>::new());
}

#[tokio::test]
async fn only_known_hosts_are_served() {
    let world = world();
    let ask = async |hosts: &[&str]| {
        let mut request = Request::builder().uri("/v1/status").header("authorization", "Bearer token-aud");
        for host in hosts {
            request = request.header("host", *host);
        }
        world.send(request.body(Body::empty()).unwrap()).await.status.as_u16()
    };
    assert_eq!(ask(&["127.0.0.1:7070"]).await, 200);
    assert_eq!(ask(&["LOCALHOST:7070"]).await, 200);
    for bad in [
        &["evil.example"][..],
        &["127.0.0.1"],
        &["127.0.0.1:7070.evil.example"],
        &[],
        &["127.0.0.1:7070", "evil.example"],
    ] {
        assert_eq!(ask(bad).await, 421, "{bad:?}");
    }
}

#[tokio::test]
async fn every_answer_forbids_scripts_and_framing() {
    let world = world();
    let cookie = world.log_in("token-lou").await;
    for path in [
        "/login",
        "/runs",
        "/approvals",
        "/find",
        "/runs/a1a1a1",
        "/nothing",
        "/style.css",
        "/runs/a1a1a1/report",
    ] {
        let got = world.page(path, Some(&cookie)).await;
        let policy = got.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("script-src"), "{path}");
        assert_eq!(got.headers["x-content-type-options"], "nosniff");
        assert_eq!(got.headers["cache-control"], "no-store");
        assert!(!got.body.contains("<script") && !got.body.contains(" onclick"), "{path}");
        for elsewhere in ["http://", "https://", "src="] {
            assert!(!got.body.contains(elsewhere), "{path} {elsewhere}");
        }
    }
}

#[tokio::test]
async fn the_api_looks_at_no_cookie_and_the_pages_at_no_token() {
    let world = world();
    let cookie = world.log_in("token-lou").await;
    assert_eq!(world.page("/v1/runs", Some(&cookie)).await.status, StatusCode::UNAUTHORIZED);
    let got = world.api(Method::GET, "/runs", Some("token-lou"), "").await;
    assert_eq!((got.status, got.headers["location"].to_str().unwrap()), (StatusCode::SEE_OTHER, "/login"));
}

#[tokio::test]
async fn pages_follow_the_roles_too() {
    let world = world();
    #[rustfmt::skip]
    let table = [
        //                            approver auditor admin  none
        ("/runs",                     [403,    200,    200,   403]),
        ("/runs/a1a1a1",              [403,    200,    403,   403]),
        ("/runs/a1a1a1/report",       [403,    200,    403,   403]),
        ("/find?q=verb:read",         [403,    200,    403,   403]),
        ("/approvals",                [200,    200,    403,   403]),
    ];
    let mut cookies = Vec::new();
    for token in ["token-ann", "token-aud", "token-adm", "token-nil"] {
        cookies.push(world.log_in(token).await);
    }
    for (path, expected) in table {
        assert_eq!(world.page(path, None).await.status, StatusCode::SEE_OTHER, "{path} without a login");
        for (cookie, expected) in cookies.iter().zip(expected) {
            assert_eq!(world.page(path, Some(cookie)).await.status.as_u16(), expected, "{path}");
        }
    }
}

#[tokio::test]
async fn the_pages_are_as_expected() {
    let world = world();
    let cookie = world.log_in("token-lou").await;
    let secret = world.secret(&cookie).await;
    let pages = [
        ("login", "/login"),
        ("runs", "/runs"),
        ("run_a", "/runs/a1a1a1"),
        ("run_b", "/runs/b2b2b2"),
        ("approvals", "/approvals"),
        ("find", "/find?q=table:customers"),
        ("find_wrong", "/find?q=tabel:customers"),
    ];
    for (name, path) in pages {
        let page = world.page(path, Some(&cookie)).await.body.replace(&secret, "SECRET");
        let path = format!("{}/tests/expect/{name}.html", std::env::var("CARGO_MANIFEST_DIR").unwrap());
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
            std::fs::write(&path, &page).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            expected == page,
            "{name} differs; UPDATE_EXPECT=1 rewrites it, and the diff is the review\n{page}"
        );
    }
}

#[tokio::test]
async fn an_auditor_sees_the_inbox_and_no_buttons() {
    let world = world();
    let auditor = world.log_in("token-aud").await;
    let page = world.page("/approvals", Some(&auditor)).await.body;
    assert!(page.contains("UPDATE customers") && !page.contains("/approve\""));
    let approver = world.log_in("token-ann").await;
    assert!(world.page("/approvals", Some(&approver)).await.body.contains("/approve\""));
}

#[tokio::test]
async fn a_run_cannot_log_in_and_a_wrong_token_gets_no_cookie() {
    let world = world();
    for token in ["run-token", "workload-token", "token-eve", "", "x"] {
        let got = world.form("/login", None, &format!("token={token}"), &[]).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{token}");
        assert!(!got.headers.contains_key("set-cookie"));
    }
    let long = "x".repeat(limits::TOKEN_BYTES_MAX + 1);
    assert_eq!(
        world.form("/login", None, &format!("token={long}"), &[]).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_form_is_taken_only_from_a_page_of_this_login() {
    let world = world();
    let cookie = world.log_in("token-lou").await;
    let other = world.log_in("token-lou").await;
    let (secret, others) = (world.secret(&cookie).await, world.secret(&other).await);
    let approve = format!("/approvals/{ASK}/approve");
    let deny = format!("/approvals/{ASK}/deny");
    let revoke = format!("/runs/{RUN}/revoke");
    let posts =
        [(approve.as_str(), "grant=once"), (&deny, "reason=no"), (&revoke, "reason=no"), ("/logout", "")];
    for (path, rest) in posts {
        for bad in ["", "form=", &format!("form={others}"), &format!("form={}", "0".repeat(64))] {
            world.rest.done();
            let got = world.form(path, Some(&cookie), &format!("{bad}&{rest}"), &[]).await;
            assert!(got.status.is_client_error(), "{path} {bad}: {}", got.status);
            assert_eq!(world.rest.done(), Vec::<String>::new(), "{path} {bad} did nothing");
        }
        for header in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:7071"),
        ] {
            let got = world.form(path, Some(&cookie), &format!("form={secret}&{rest}"), &[header]).await;
            assert_eq!(got.status, StatusCode::FORBIDDEN, "{path} {header:?}");
            assert_eq!(world.rest.done(), Vec::<String>::new(), "{path} {header:?} did nothing");
        }
    }
    let ours = [("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:7070")];
    let got =
        world.form(&approve, Some(&cookie), &format!("form={secret}&grant=shape&minutes=15"), &ours).await;
    assert_eq!(
        (got.status, world.rest.done()),
        (StatusCode::SEE_OTHER, vec!["approve shape 15 by lou signed false".to_owned()])
    );
    let got = world.form(&deny, Some(&cookie), &format!("form={secret}&reason=too+broad"), &ours).await;
    assert_eq!(
        (got.status, world.rest.done()),
        (StatusCode::SEE_OTHER, vec!["deny by lou: too broad".to_owned()])
    );
    world.form(&revoke, Some(&cookie), &format!("form={secret}&reason=leak"), &ours).await;
    assert_eq!(world.rest.done(), vec![format!("revoke {RUN} by lou: leak")]);
}

#[tokio::test]
async fn a_login_form_from_another_site_is_refused() {
    let world = world();
    let got = world.form("/login", None, "token=token-lou", &[("origin", "https://evil.example")]).await;
    assert_eq!(got.status, StatusCode::FORBIDDEN);
    assert!(!got.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn logging_out_and_ceasing_to_be_an_operator_end_a_login() {
    let world = world();
    let cookie = world.log_in("token-lou").await;
    let secret = world.secret(&cookie).await;
    world.form("/logout", Some(&cookie), &format!("form={secret}"), &[]).await;
    assert_eq!(world.page("/runs", Some(&cookie)).await.status, StatusCode::SEE_OTHER);
    let cookie = world.log_in("token-lou").await;
    assert_eq!(world.page("/runs", Some(&cookie)).await.status, StatusCode::OK);
    *world.rest.without_lou.lock().unwrap() = true;
    assert_eq!(world.page("/runs", Some(&cookie)).await.status, StatusCode::SEE_OTHER);
    *world.rest.without_lou.lock().unwrap() = false;
    assert_eq!(world.page("/runs", Some(&cookie)).await.status, StatusCode::SEE_OTHER, "and it stays ended");
}

#[tokio::test]
async fn two_cookies_of_our_name_are_none() {
    let world = world();
    let cookie = world.log_in("token-lou").await;
    let twice = format!("{cookie}; tacho_login=other");
    assert_eq!(world.page("/runs", Some(&twice)).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn hostile_text_in_an_ask_is_shown_and_becomes_no_markup() {
    let hostile = "</pre><script>alert(1)</script>\u{202e}\" onfocus=\"x";
    let world = world();
    let text = || hostile.to_owned();
    *world.rest.asked.lock().unwrap() = Asked {
        run: text(),
        human: text(),
        agent: text(),
        task: Some(text()),
        resource: text(),
        groups: vec![text()],
        rules: vec![text()],
        message: Some(text()),
        touches: vec![text()],
        sent: Some(text()),
        changes: Some(text()),
        params: vec![text()],
        forms: vec![text(), "once".to_owned()],
        ask: text(),
        ..asked(hostile)
    };
    let cookie = world.log_in("token-lou").await;
    let page = world.page("/approvals", Some(&cookie)).await.body;
    assert!(!page.contains("<script") && !page.contains('\u{202e}') && !page.contains("\" onfocus"));
    assert!(
        page.matches("&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}&quot; onfocus=&quot;x").count() > 10
    );
    let query = "/find?q=%3Cscript%3Ealert(1)%3C/script%3E";
    let got = world.page(query, Some(&cookie)).await;
    assert!(
        !got.body.contains("<script") && got.body.contains("&lt;script&gt;"),
        "a query comes back escaped"
    );
}

#[tokio::test]
async fn an_approver_reads_why_and_that_a_transaction_waits() {
    let world = world();
    let cookie = world.log_in("token-ann").await;
    let page = world.page("/approvals", Some(&cookie)).await.body;
    assert!(page.contains("Writes to customers need a DBA.") && page.contains("int4 9999"));
    assert!(page.contains("inside an open transaction") && page.contains("customers (name)"));
}

#[test]
fn what_is_minted_does_not_print() {
    let resource = MintedResource {
        name: "crm".into(),
        kind: "postgres".into(),
        host: "h".into(),
        port: 1,
        user: "u".into(),
        password: "canary-password".into(),
        database: None,
        certificate: None,
        settings: Default::default(),
    };
    let minted = Minted {
        run: RUN.into(),
        human: "ada".into(),
        token: "canary-token".into(),
        resources: vec![resource.clone()],
        proxy: Some(MintedProxy {
            host: "h".into(),
            port: 2,
            user: "u".into(),
            password: "canary-proxy".into(),
            certificate: String::new(),
        }),
    };
    let printed = format!(
        "{minted:?} {resource:?} {:?} {:?} {}",
        minted.proxy,
        Credential::Token("canary"),
        answers::Answer::to_text(&minted)
    );
    assert!(!printed.contains("canary"), "{printed}");
}

/// A listener on loopback, and what stops it.
async fn listening(world: &World) -> (std::net::SocketAddr, tokio::sync::oneshot::Sender<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = serve(Listener::Tcp(listener), world.console.clone(), async move { drop(stopped.await) });
    drop(tokio::spawn(served));
    (address, stop)
}

async fn exchange(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn it_serves_over_tcp_and_stops_when_told() {
    let world = world();
    let (address, stop) = listening(&world).await;
    let connect = || tokio::net::TcpStream::connect(address);
    let get = "GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1:7070\r\nAuthorization: Bearer token-aud\r\nConnection: close\r\n\r\n";
    let answer = exchange(connect().await.unwrap(), get).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("tacho.status/1"), "{answer}");
    // hyper looks at its limit between reads, and the last one may pass it by a buffer.
    let long = format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:7070\r\nX: {}\r\n\r\n",
        "x".repeat(2 * limits::HEAD_BYTES_MAX)
    );
    let answer = exchange(connect().await.unwrap(), &long).await;
    assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
    stop.send(()).unwrap();
    let refused = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        while connect().await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    assert!(refused.await.is_ok(), "the listener is closed");
}

/// An agent can open as many as it likes, and say half a head on each.
#[tokio::test]
async fn who_shows_nothing_keeps_nobody_out() {
    let world = world();
    let (address, _stop) = listening(&world).await;
    let connect = || tokio::net::TcpStream::connect(address);
    let get = "GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1:7070\r\nAuthorization: Bearer token-aud\r\n\r\n";
    let ask = async |stream: &mut tokio::net::TcpStream| {
        stream.write_all(get.as_bytes()).await.unwrap();
        let (mut said, mut piece) = (String::new(), [0; 4096]);
        while !said.contains("tacho.status/1") {
            let n = stream.read(&mut piece).await.unwrap();
            assert!(n > 0, "cut: {said}");
            said.push_str(std::str::from_utf8(&piece[..n]).unwrap());
        }
    };
    let mut kept = connect().await.unwrap();
    ask(&mut kept).await;
    let mut flood = Vec::new();
    for _ in 0..2 * limits::CONNECTIONS_MAX {
        let mut stream = connect().await.unwrap();
        drop(stream.write_all(b"GET / HTTP/1.1\r\nHost").await);
        flood.push(stream);
    }
    let soon = std::time::Duration::from_secs(5);
    let asked = async {
        ask(&mut connect().await.unwrap()).await;
        ask(&mut kept).await;
    };
    assert!(tokio::time::timeout(soon, asked).await.is_ok(), "no answer");
}

#[tokio::test]
async fn over_a_unix_socket_the_kernel_names_the_caller() {
    let world = world();
    let path = std::env::temp_dir().join(format!("tacho-console-{}.sock", std::process::id()));
    drop(std::fs::remove_file(&path));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let served = serve(Listener::Unix(listener), world.console.clone(), std::future::pending());
    drop(tokio::spawn(served));
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let uid = stream.peer_cred().unwrap().uid();
    let answer = exchange(stream, "GET /v1/runs HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n").await;
    // The fake knows uid 1000 and nobody else.
    let expected = if uid == 1000 { "HTTP/1.1 200" } else { "HTTP/1.1 401" };
    assert!(answer.starts_with(expected), "uid {uid}: {answer}");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_peer_is_who_the_kernel_says_and_a_token_goes_before() {
    let world = world();
    let ask = async |uid: u32, token: Option<&str>| {
        let mut request = Request::builder().uri("/v1/runs").header("host", "whatever");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer::Unix { uid, process: Some(Process { pid: 7, started: 1 }) });
        world.send(request).await.status.as_u16()
    };
    assert_eq!(ask(1000, None).await, 200);
    assert_eq!(ask(1001, None).await, 401);
    assert_eq!(ask(1000, Some("token-ann")).await, 403, "who shows a token is who the token says");
    assert_eq!(ask(1000, Some("token-eve")).await, 401, "a wrong token is not forgiven for the peer's sake");
}

/// A token that an agent got hold of is worth nothing to it: not for the API, not for a login, nor a login's cookie.
#[tokio::test]
async fn a_process_inside_a_run_is_no_operator_whatever_it_shows() {
    let world = world();
    let cookie = world.log_in("token-lou").await;
    world.rest.done();
    let json = r#"{"reason":"because"}"#;
    let approve = format!("/v1/approvals/{ASK}/approve");
    let (api, page) = ("authorization", "cookie");
    for (method, path, header, value, body) in [
        (Method::GET, "/v1/approvals", api, "Bearer token-lou", ""),
        (Method::POST, &*approve, api, "Bearer token-lou", "{}"),
        (Method::POST, &*format!("/v1/runs/{RUN}/revoke"), api, "Bearer token-lou", json),
        (Method::POST, "/v1/runs", api, "Bearer workload-token", r#"{"agent":"support"}"#),
        (Method::POST, "/login", "x", "y", "token=token-lou"),
        (Method::GET, "/approvals", page, &*cookie, ""),
    ] {
        for (peer, expected) in [(Some(tcp(INSIDE)), 403), (None, 403), (Some(tcp(50_000)), 200)] {
            let mut request = Request::builder().method(method.clone()).uri(path).header(header, value);
            request = request.header("host", "127.0.0.1:7070");
            let form = path == "/login";
            request = request.header(
                "content-type",
                if form { "application/x-www-form-urlencoded" } else { "application/json" },
            );
            let mut request = request.body(Body::from(body.to_owned())).unwrap();
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            let got = world.router.clone().call(request).await.unwrap().status().as_u16();
            let got = if matches!(got, 204 | 303) { 200 } else { got };
            assert_eq!(got, expected, "{method} {path} from {peer:?}");
            let done = world.rest.done();
            assert!(expected == 200 || done.is_empty(), "{method} {path} from {peer:?} did {done:?}");
        }
    }
    // The run's own credential is for children, and children it may have.
    let mut request =
        Request::builder().method(Method::POST).uri("/v1/runs").header("host", "127.0.0.1:7070");
    request = request.header("authorization", "Bearer run-token").header("content-type", "application/json");
    let mut request = request.body(Body::from(r#"{"agent":"support"}"#)).unwrap();
    request.extensions_mut().insert(tcp(INSIDE));
    assert_eq!(world.send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_page_of_a_run_shows_the_three_answers_first() {
    let world = world();
    let cookie = world.log_in("token-aud").await;
    let page = world.page("/runs/b2b2b2", Some(&cookie)).await.body;
    let order: Vec<usize> = ["started agent", "1 resource read", "EXPOSED", "Timeline"]
        .iter()
        .map(|t| page.find(t).unwrap())
        .collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test]
async fn a_page_of_a_run_that_a_token_minted_has_its_chain() {
    use seal::cbor::Value;
    use seal::testkit::{map, text};
    let mut story = story::Story::new();
    let act = map(&[("sub", text("svc <b>"))]);
    let claim = map(&[("claim", text("repository")), ("value", text("org/app"))]);
    let chain = map(&[
        ("issuer", text("ci")),
        ("iss", text("https://ci.example")),
        ("sub", text("repo:org/app")),
        ("acts", Value::Array(vec![act])),
        ("token", story::bytes32(7)),
        ("exp", Value::Uint(1_790_000_000)),
        ("claims", Value::Array(vec![claim])),
    ]);
    story.open(story::A, &[("chain", chain)]);
    let world = world_with(story, false);
    let cookie = world.log_in("token-aud").await;
    let page = world.page("/runs/a1a1a1", Some(&cookie)).await.body;
    for part in [
        "repo:org/app (ci, https://ci.example), then svc &lt;b&gt;",
        "repository = org/app",
        &"07".repeat(32),
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[tokio::test]
async fn a_page_of_a_run_has_decisions_between_actions() {
    use seal::cbor::Value;
    use seal::testkit::{map, text};
    let mut story = story::Story::with_run();
    let asked = story.intent(story::A, &[("statement", text("POST /v1/chat/completions"))]);
    story.in_session(asked, Some(8));
    let body = [
        ("n", Value::Uint(0)),
        ("model", text("gpt-x")),
        ("tool", text("run_sql")),
        ("arguments", text("{}")),
    ];
    let issued = story.record("decision", story::A, Some(asked), &map(&body));
    // An older record does not tell where.
    let older = map(&[("decision", Value::Uint(issued)), ("how", text("within"))]);
    story.intent(story::A, &[("causes", Value::Array(vec![older]))]);
    let span =
        [("from", Value::Uint(7)), ("in", text("decided")), ("of", Value::Uint(60)), ("to", Value::Uint(21))];
    let cause = [("decision", Value::Uint(issued)), ("how", text("within")), ("span", map(&span))];
    story.intent(story::A, &[("causes", Value::Array(vec![map(&cause)]))]);
    let world = world_with(story, false);
    let cookie = world.log_in("token-aud").await;
    let page = world.page("/runs/a1a1a1", Some(&cookie)).await.body;
    let why = format!("because of decision #{issued} (matched: within");
    let (older, newer) = (format!("{why})"), format!("{why}, bytes 7-21 of 60 of an argument)"));
    let order = ["1 decision; 2 actions explained", "POST /v1/chat", "run_sql by gpt-x", &older, &newer];
    let order = order.map(|text| page.find(text));
    assert!(order.is_sorted() && order[0].is_some(), "{order:?}");
}
