//! The approver's and the admin's verbs, over the gateway's HTTP API.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use answers::{Answer, from_json};
use console::seat::{Asked, Decided, Inbox, Status, ToolList};
use hyper::Method;
use serde::Serialize;
use vocab::{AskId, Bound, PolicyHash, WallTime};

use crate::cli::{self, Api};
use crate::config::Config;
use crate::fault::{Failure, Outcome};
use crate::http::{Address, Client};
use crate::limits::REASON_BYTES_MAX;
use crate::serve::approvals::form_words;
use crate::{operators, out};

pub fn list(config: &Path, args: &cli::Approvals, json: bool) -> Outcome {
    let all = block_on(inbox(&client(config, &args.api)?))?;
    match &args.id {
        Some(id) => out::answer(&find(all, id)?, json),
        None => out::answer(&all, json),
    }
}

pub fn approve(config: &Path, args: &cli::Approve, json: bool) -> Outcome {
    let client = client(config, &args.api)?;
    let decided: Decided = block_on(async {
        let asked = find(inbox(&client).await?, &args.id)?;
        shown(&asked)?;
        let text = || bound(&asked).map(|bound| bound.to_sign(&form_words(args.shape)));
        let signature = match &args.sign {
            Some(key) => Some(sign(key, &text()?)?),
            None => None,
        };
        let form = if args.shape.is_some() { "shape" } else { "once" };
        let body = ApproveBody { form, minutes: args.shape, signature };
        answer(&client, Method::POST, &format!("/v1/approvals/{}/approve", asked.ask), &body).await
    })?;
    out::answer(&decided, json)
}

pub fn deny(config: &Path, args: &cli::Deny, json: bool) -> Outcome {
    let reason = short(args.reason.as_deref().unwrap_or("denied on the command line"))?;
    let client = client(config, &args.api)?;
    let decided: Decided = block_on(async {
        let asked = find(inbox(&client).await?, &args.id)?;
        answer(&client, Method::POST, &format!("/v1/approvals/{}/deny", asked.ask), &ReasonBody { reason })
            .await
    })?;
    out::answer(&decided, json)
}

pub fn status(config: &Path, api: &Api, json: bool) -> Outcome {
    let client = client(config, api)?;
    let status: Status = block_on(async {
        let reply = client.get("/v1/status").await.map_err(|e| e.into_failure(&client.address))?;
        shaped(&reply)
    })?;
    out::answer(&status, json)
}

pub fn revoke(config: &Path, args: &cli::Revoke, json: bool) -> Outcome {
    let reason = short(args.reason.as_deref().unwrap_or("revoked on the command line"))?;
    let client = client(config, &args.api)?;
    let begins = hex_digits(&args.run)?;
    let run = block_on(async {
        let run = live_run(&client, &begins).await?;
        let body =
            serde_json::to_vec(&ReasonBody { reason }).map_err(|e| Failure::could_not(e.to_string()))?;
        let sent = client.send(Method::POST, &format!("/v1/runs/{run}/revoke"), body).await;
        sent.map_err(|e| e.into_failure(&client.address))?.done().map(|()| run)
    })?;
    let line = format!("run {run} is revoked: its credentials are dead and its connections cut");
    out::answer(&out::Told { lines: vec![line] }, json)
}

pub fn erase(config: &Path, args: &cli::Erase, json: bool) -> Outcome {
    let reason = short(&args.reason)?;
    let client = client(config, &args.api)?;
    let run = hex_digits(&args.run)?;
    if run.len() < 32 {
        return Err(Failure::usage("this cannot be undone: give the run's whole id, as `tacho show` has it"));
    }
    block_on(async {
        let body =
            serde_json::to_vec(&ReasonBody { reason }).map_err(|e| Failure::could_not(e.to_string()))?;
        let sent = client.send(Method::POST, &format!("/v1/runs/{run}/erase"), body).await;
        sent.map_err(|e| e.into_failure(&client.address))?.done()
    })?;
    let line =
        format!("run {run} is erased: its key is gone, and with it what it was shown; its record stays");
    out::answer(&out::Told { lines: vec![line] }, json)
}

pub fn tools(config: &Path, api: &Api, json: bool) -> Outcome {
    let client = client(config, api)?;
    let tools: ToolList = block_on(async {
        let reply = client.get("/v1/tools").await.map_err(|e| e.into_failure(&client.address))?;
        shaped(&reply)
    })?;
    out::answer(&tools, json)
}

pub fn accept_tool(config: &Path, args: &cli::AcceptTool, json: bool) -> Outcome {
    let client = client(config, &args.api)?;
    let (resource, tool, digest) = (args.resource.as_str(), args.tool.as_str(), args.digest.as_str());
    let body = serde_json::to_vec(&AcceptBody { resource, tool, digest });
    let body = body.map_err(|e| Failure::could_not(e.to_string()))?;
    block_on(async {
        let sent = client.send(Method::POST, "/v1/tools/accept", body).await;
        sent.map_err(|e| e.into_failure(&client.address))?.done()
    })?;
    let line = format!("{resource}/{tool} is accepted as {digest} describes it");
    out::answer(&out::Told { lines: vec![line] }, json)
}

/// The API as this command line reaches it: the control socket of this machine, or a URL with a token.
pub fn client(config: &Path, api: &Api) -> Result<Client, Failure> {
    let token = operators::find_token(api.token_file.as_deref())?;
    let address = match &api.url {
        Some(url) => Address::parse(url)?,
        None => Address::Unix(Config::load(config)?.gateway.control),
    };
    Ok(Client { address, token })
}

#[derive(Serialize)]
struct ApproveBody {
    form: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    minutes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

#[derive(Serialize)]
struct AcceptBody<'a> {
    resource: &'a str,
    tool: &'a str,
    digest: &'a str,
}

#[derive(Serialize)]
struct ReasonBody<'a> {
    reason: &'a str,
}

async fn inbox(client: &Client) -> Result<Inbox, Failure> {
    let reply = client.get("/v1/approvals").await.map_err(|e| e.into_failure(&client.address))?;
    shaped(&reply)
}

async fn answer<A: Answer>(
    client: &Client,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> Result<A, Failure> {
    let body = serde_json::to_vec(body).map_err(|e| Failure::could_not(e.to_string()))?;
    shaped(&client.send(method, path, body).await.map_err(|e| e.into_failure(&client.address))?)
}

/// An answer of the gateway's, held against its documented shape.
pub fn shaped<A: Answer>(reply: &crate::http::Reply) -> Result<A, Failure> {
    reply.done()?;
    let text = std::str::from_utf8(&reply.body).unwrap_or_default();
    from_json(text)
        .map_err(|e| Failure::could_not(format!("{e}; use the same version of gateway and command line")))
}

/// The request that `id` begins; one and no other.
fn find(inbox: Inbox, id: &str) -> Result<Asked, Failure> {
    let id = hex_digits(id)?;
    let mut fits = inbox.approvals.into_iter().filter(|asked| asked.ask.starts_with(&id));
    match (fits.next(), fits.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Failure::usage(format!("{id} begins several requests; type more of it"))),
        (None, _) => Err(Failure::no(format!(
            "no request {id} waits for you: it was answered, expired, or is for another group; `tacho approvals` lists them"
        ))),
    }
}

/// The live run that `begins` begins; what changes something is asked for by the whole id.
async fn live_run(client: &Client, begins: &str) -> Result<String, Failure> {
    if begins.len() == 32 {
        return Ok(begins.to_owned());
    }
    let reply = client.get("/v1/live").await.map_err(|e| e.into_failure(&client.address))?;
    let live: console::seat::Live = shaped(&reply)?;
    let fits: Vec<String> =
        live.runs.into_iter().map(|run| run.run).filter(|run| run.starts_with(begins)).collect();
    match fits.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::no(format!("no live run begins with {begins}; `tacho runs` lists all"))),
        _ => Err(Failure::usage(format!("{begins} begins several live runs; type more of it"))),
    }
}

fn hex_digits(id: &str) -> Result<String, Failure> {
    let id = id.to_ascii_lowercase();
    if !(6..=32).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!(
            "{id:?} is not an id: give at least six of its hexadecimal digits"
        )));
    }
    Ok(id)
}

fn short(reason: &str) -> Result<&str, Failure> {
    if reason.len() > REASON_BYTES_MAX {
        return Err(Failure::usage(format!(
            "the reason is longer than {REASON_BYTES_MAX} bytes; say it shorter"
        )));
    }
    Ok(reason)
}

/// Shows a request whole, where no answer is expected. Nobody approves what could not be shown.
fn shown(asked: &Asked) -> Result<(), Failure> {
    let whole = asked.to_text_within(None);
    std::io::stderr().lock().write_all(whole.as_bytes()).map_err(|e| {
        Failure::could_not(format!(
            "the request cannot be shown ({e}), so it is not approved; see where standard error goes"
        ))
    })
}

/// What an approver signs, of what they were shown.
fn bound(asked: &Asked) -> Result<Bound, Failure> {
    let signs = &asked.signs;
    let read = || {
        Some(Bound {
            ask: AskId::parse(&asked.ask)?,
            statement: asked.statement.as_str().into(),
            sent: asked.sent.as_deref().map(Into::into),
            params: asked.params.iter().map(|param| param.as_str().into()).collect(),
            values: match &signs.values {
                Some(values) => Some(crate::hex::decode(values)?),
                None => None,
            },
            asked: crate::hex::decode(&signs.asked)?,
            sending: crate::hex::decode(&signs.sending)?,
            request: crate::hex::decode(&signs.request)?,
            policy: PolicyHash(crate::hex::decode(&signs.policy)?),
            expires: WallTime(signs.expires),
        })
    };
    read()
        .ok_or_else(|| Failure::could_not("the gateway says of the request what cannot be signed".to_owned()))
}

/// The namespace of our signatures: one made for anything else does not verify here.
pub const SIGNATURE_NAMESPACE: &str = "tachograph-approval";

/// Signs with `ssh-keygen -Y sign`, which asks for a passphrase or uses the agent as the user is used to.
fn sign(key: &Path, text: &str) -> Result<String, Failure> {
    let failed = |why: String| {
        Failure::could_not(format!(
            "cannot sign with {}: {why}; try `ssh-keygen -Y sign` by hand",
            key.display()
        ))
    };
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-q", "-n", SIGNATURE_NAMESPACE, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(|e| failed(e.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
    match (output.status.success(), String::from_utf8(output.stdout)) {
        (true, Ok(signature)) => Ok(signature),
        (true, Err(_)) => Err(failed("the signature is not text".to_owned())),
        (false, _) => Err(failed(output.status.to_string())),
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|e| Failure::could_not(format!("cannot start: {e}; is the machine out of memory?")))?
        .block_on(work)
}
