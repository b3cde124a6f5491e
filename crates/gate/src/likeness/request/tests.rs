//! Labelled pairs of a tool call and what is asked.

use vocab::{Access, Action, ResourcePath, RunId, Seq, Verb, WallTime};

use super::*;
use crate::cause::{Causes, Shown};
use crate::likeness::{Arguments, Asking, How, Saying};
use mask::MaskedText;

const RUN: RunId = RunId([7; 16]);

fn shown() -> Shown {
    Shown { of: Seq(1), tool: MaskedText::constant("http"), step: None }
}

fn members(all: &[(&str, &str)]) -> Vec<Member> {
    let signs = |text: &str| text.replace('#', &NO_TEXT.to_string()).replace('!', &READ_ON.to_string());
    let member = |(name, value): &(&str, &str)| (signs(&name.replace('.', &BELOW.to_string())), signs(value));
    all.iter().map(member).collect()
}

/// `METHOD target` and a body, as they reach the service `billing.example`.
fn requested(line: &str, body: &[(&str, &str)]) -> Requested {
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.replace("%20", " "))
    };
    Requested {
        method: method.to_owned(),
        hosts: vec!["127.0.0.1".to_owned(), "billing.example".to_owned()],
        paths: vec![path.to_owned(), path.replace("%20", " ")],
        query: query.map(str::to_owned),
        pairs: query.iter().flat_map(|query| query.split('&')).map(pair).collect(),
        body: Some(members(body)),
        typed: true,
    }
}

/// How a call of `tool` says what is asked.
fn how(tool: &str, arguments: &[(&str, &str)], text: &str, asking: Asking<'_>) -> Option<How> {
    let causes = Causes::new();
    let spelled = format!("{tool} {arguments:?}");
    let members = members(arguments);
    let strings: Vec<String> =
        [spelled.clone()].into_iter().chain(members.iter().map(|m| m.1.clone())).collect();
    let scalars: Vec<String> = members.iter().map(|(_, value)| value.clone()).collect();
    let names: Vec<String> =
        [tool.to_owned()].into_iter().chain(members.iter().map(|m| m.0.clone())).collect();
    let said = Arguments {
        tool,
        spelled: Some(&spelled),
        members: Some(&members),
        strings: &strings,
        scalars: &scalars,
        names: &names,
    };
    causes.decided(RUN, (Seq(1), WallTime(0)), None, said, false, shown());
    let on = ResourcePath::parse("billing/users").unwrap();
    let access = Access { verb: Verb::Read, on, columns: Vec::new() };
    let action = Action { accesses: vec![access], ..Action::default() };
    let saying = Saying { text, values: Vec::new(), unsaid: false, action: &action, asking };
    causes.unused(RUN, &saying, WallTime(0)).map(|(how, _)| how)
}

/// A tool, its arguments, a request, its body, and whether the call says the request.
type Pair<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a [(&'a str, &'a str)], bool);

const PAIRS: &[Pair<'_>] = &[
    // Reads need no word for their method.
    ("fetch", &[("path", "/users/2")], "GET /users/2", &[], true),
    ("fetch", &[("path", "/users/2")], "HEAD /users/2", &[], true),
    ("fetch", &[("path", "users/2")], "GET /users/2", &[], true),
    ("fetch", &[("url", "https://billing.example/users/2")], "GET /users/2", &[], true),
    ("fetch", &[("url", "http://127.0.0.1:7441/users/2?full=1")], "GET /users/2?full=1", &[], true),
    ("fetch", &[("path", "/search"), ("params.q", "ada osei")], "GET /search?q=ada%20osei", &[], true),
    ("fetch", &[("path", "/search"), ("q", "ada osei")], "GET /search?q=ada%20osei", &[], true),
    ("fetch", &[("path", "/users/ada osei")], "GET /users/ada%20osei", &[], true),
    ("fetch", &[("path", "/users/2"), ("timeout", "30")], "GET /users/2", &[], true),
    ("fetch", &[("path", "/users/2"), ("headers.Accept", "text/plain")], "GET /users/2", &[], true),
    ("fetch", &[("path", "/users/2"), ("body", "")], "GET /users/2", &[], true),
    ("http_get", &[("url", "/users/2")], "GET /users/2", &[], true),
    ("fetch", &[("url", "https://other.example/users/2")], "GET /users/2", &[], false),
    ("fetch", &[("url", "https://billing.example.evil.example/users/2")], "GET /users/2", &[], false),
    ("fetch", &[("url", "ftp://billing.example/users/2")], "GET /users/2", &[], false),
    ("fetch", &[("path", "/users/2")], "GET /users/20", &[], false),
    ("fetch", &[("path", "/users/2")], "GET /users/2/card", &[], false),
    ("fetch", &[("path", "/users/2")], "GET /users/2?expand=card", &[], false),
    ("fetch", &[("path", "/users?limit=1")], "GET /users", &[], false),
    ("fetch", &[("path", "/users"), ("params.limit", "1")], "GET /users", &[], false),
    ("fetch", &[("path", "/search"), ("params.q", "ada")], "GET /search?q=bo", &[], false),
    // What a query cannot say of JSON, and one name twice: which of the two counts is the server's to say.
    ("fetch", &[("path", "/search"), ("params.a.b", "5")], "GET /search?a\u{1f}b=5", &[], false),
    ("fetch", &[("path", "/search"), ("params.a", "#5")], "GET /search?a=\u{1e}5", &[], false),
    ("fetch", &[("path", "/search"), ("params.a", "#5")], "GET /search?a=5", &[], true),
    ("fetch", &[("path", "/search"), ("params.a.#0", "5")], "GET /search?a\u{1f}\u{1e}0=5", &[], false),
    ("fetch", &[("path", "/search"), ("params.a", "1"), ("a", "2")], "GET /search?a=1&a=2", &[], false),
    ("fetch", &[("path", "/search"), ("params.a", "1"), ("a", "2")], "GET /search?a=2&a=1", &[], false),
    ("fetch", &[("path", "/search?a=1&a=2")], "GET /search?a=1&a=2", &[], true),
    ("fetch", &[("path", "/search?a=1&a=2")], "GET /search?a=2&a=1", &[], false),
    ("note", &[("text", "see /users/2 for more")], "GET /users/2", &[], false),
    ("note", &[("text", "users/2")], "GET /users/2", &[], false),
    // Another method than a read's must be said.
    ("fetch", &[("path", "/users/2")], "DELETE /users/2", &[], false),
    ("fetch", &[("url", "http://billing.example/users/2")], "DELETE /users/2", &[], false),
    ("http_get", &[("path", "/users/2")], "DELETE /users/2", &[], false),
    ("fetch", &[("method", "GET"), ("path", "/users/2")], "DELETE /users/2", &[], false),
    ("fetch", &[("method", "DELETE"), ("path", "/users/2")], "GET /users/2", &[], false),
    ("fetch", &[("path", "/users/2"), ("why", "DELETE")], "DELETE /users/2", &[], false),
    ("note", &[("text", "do not DELETE /users/2")], "DELETE /users/2", &[], false),
    ("get_or_delete", &[("path", "/users/2")], "DELETE /users/2", &[], false),
    ("http_get", &[("path", "/users/2"), ("method", "DELETE")], "DELETE /users/2", &[], false),
    ("fetch", &[("method", "DELETE"), ("path", "/users/2")], "DELETE /users/2", &[], true),
    (
        "fetch",
        &[("method", "delete"), ("url", "https://billing.example/users/2")],
        "DELETE /users/2",
        &[],
        true,
    ),
    ("call", &[("request", "DELETE /users/2")], "DELETE /users/2", &[], true),
    ("delete_user", &[("path", "/users/2")], "DELETE /users/2", &[], true),
    ("requests_delete", &[("url", "/users/2")], "DELETE /users/2", &[], true),
    ("fetch", &[("method", "DELETE"), ("path", "/users/2")], "DELETE /users/3", &[], false),
    ("fetch", &[("method", "DELETE"), ("path", "/users/2")], "DELETE /users/2?all=1", &[], false),
    ("fetch", &[("method", "DELETE"), ("path", "/users/2")], "DELETE /users", &[], false),
    // A body, in an argument of its own or among the others.
    (
        "http",
        &[("method", "POST"), ("path", "/pay"), ("json.to", "ada"), ("json.cents", "500")],
        "POST /pay",
        PAY,
        true,
    ),
    (
        "http",
        &[("method", "POST"), ("path", "/pay"), ("body.cents", "500"), ("body.to", "ada")],
        "POST /pay",
        PAY,
        true,
    ),
    (
        "http",
        &[("method", "POST"), ("path", "/pay"), ("to", "ada"), ("cents", "500")],
        "POST /pay",
        PAY,
        true,
    ),
    ("post", &[("path", "/pay"), ("data.to", "ada"), ("data.cents", "500")], "POST /pay", PAY, true),
    ("post", &[("path", "/note"), ("body", "of today")], "POST /note", &[("", "of today")], true),
    ("http", &[("path", "/pay"), ("json.to", "ada"), ("json.cents", "500")], "POST /pay", PAY, false),
    ("post", &[("path", "/pay"), ("json.to", "ada"), ("json.cents", "5")], "POST /pay", PAY, false),
    ("post", &[("path", "/pay"), ("json.cents", "ada"), ("json.to", "500")], "POST /pay", PAY, false),
    ("post", &[("path", "/pay"), ("json.from", "ada"), ("json.cents", "500")], "POST /pay", PAY, false),
    ("post", &[("path", "/pay"), ("json.to", "ada")], "POST /pay", PAY, false),
    (
        "post",
        &[("path", "/pay"), ("json.to", "ada"), ("json.cents", "500"), ("json.dry", "true")],
        "POST /pay",
        PAY,
        false,
    ),
    ("put", &[("path", "/pay"), ("json.to", "ada"), ("json.cents", "500")], "POST /pay", PAY, false),
    ("post", &[("path", "/note"), ("body", "of today")], "POST /note", &[("", "of tomorrow")], false),
    // A place, a type and a name of the service's are kept apart.
    ("post", &[("path", "/u"), ("json.role", "admin")], "POST /u?role=admin", &[], false),
    ("post", &[("path", "/u"), ("params.role", "admin")], "POST /u", &[("role", "admin")], false),
    ("post", &[("path", "/u"), ("params.role", "admin")], "POST /u?role=admin", &[], true),
    ("post", &[("path", "/u"), ("json.role", "admin")], "POST /u", &[("data.role", "admin")], false),
    ("post", &[("path", "/u"), ("json.data.role", "admin")], "POST /u", &[("data.role", "admin")], true),
    ("post", &[("path", "/u"), ("json.cents", "#500")], "POST /u", &[("cents", "500")], false),
    ("post", &[("path", "/u"), ("json.cents", "#500")], "POST /u", &[("cents", "#500")], true),
    ("fetch", &[("path", "/u"), ("params.cents", "#500")], "GET /u?cents=500", &[], true),
    ("post", &[("path", "/u"), ("json.of.0", "x")], "POST /u", &[("of.#0", "x")], false),
    ("post", &[("path", "/u"), ("body!.a", "b")], "POST /u", &[("a", "b")], true),
    ("post", &[("path", "/u"), ("json.filter!.$ne", "#null")], "POST /u", &[("filter.$ne", "#null")], false),
    (
        "post",
        &[("path", "/u"), ("json.0.a", "1"), ("json.1.a", "2")],
        "POST /u",
        &[("0.a", "2"), ("1.a", "1")],
        false,
    ),
];

const PAY: &[(&str, &str)] = &[("to", "ada"), ("cents", "500")];

#[test]
fn of_labelled_pairs_each_is_told_right() {
    let mut wrong = Vec::new();
    for (tool, arguments, line, body, says) in PAIRS {
        let request = requested(line, body);
        let target = line.split_once(' ').unwrap().1;
        let text = body.iter().fold(target.to_owned(), |text, (_, value)| format!("{text} {value}"));
        let same = how(tool, arguments, &text, Asking::Request(&request)) == Some(How::Same);
        if same != *says {
            wrong.push(format!("{tool} {arguments:?}: {line} {body:?}: {same}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), PAIRS.len(), wrong.join("\n"));
    assert!(PAIRS.len() >= 50);
}

#[test]
fn a_text_that_is_the_whole_request_says_it_and_a_body_that_is_not_known_is_said_by_nothing() {
    let request = requested("POST /pay", PAY);
    let text = r#"/pay {"to": "ada", "cents": 500}"#;
    let line = format!("POST {text}");
    let said =
        |line: &str, request: &Requested| how("http", &[("request", line)], text, Asking::Request(request));
    assert_eq!(said(&line, &request), Some(How::Same));
    assert_ne!(said(text, &request), Some(How::Same), "no method");
    let unknown = Requested { body: None, ..request };
    assert_ne!(said(&line, &unknown), Some(How::Same));
}

#[test]
fn of_a_text_that_is_the_whole_request_white_space_counts_but_in_json() {
    let said = |line: &str, text: &str, request: &Requested| {
        how("http", &[("request", line)], text, Asking::Request(request)) == Some(How::Same)
    };
    let read = Requested { body: Some(Vec::new()), ..requested("GET /users/2", &[]) };
    assert!(said("GET /users/2", "/users/2 ", &read) && !said("GET /users/2;", "/users/2 ", &read));
    let json = requested("POST /pay", PAY);
    assert!(said(r#"POST /pay {"to":  "ada", "cents": 500}"#, r#"/pay {"to": "ada", "cents": 500}"#, &json));
    let note = requested("POST /notes", &[("", "two  words")]);
    assert!(said("POST /notes two  words", "/notes two  words", &note));
    for other in [
        "POST /notes two words",
        "POST /notes two\nwords",
        "POST /notes two  words;",
        " POST /notes two  words",
    ] {
        assert!(!said(other, "/notes two  words", &note), "{other:?}");
    }
    // A quote in the target begins nothing.
    let quoted = requested("POST /pay?q='", &[("note", "it's  b")]);
    let text = |note: &str| format!("/pay?q=' {{\"note\": \"{note}\"}}");
    assert!(said(&format!("POST {}", text("it's  b")), &text("it's  b"), &quoted));
    assert!(!said(&format!("POST {}", text("it's b")), &text("it's  b"), &quoted));
    // A form is no JSON, whatever it begins with.
    let form = Requested { typed: false, ..requested("POST /pay", &[("{\"a\": 1}", "")]) };
    assert!(!said("POST /pay {\"a\":  1}", "/pay {\"a\": 1}", &form));
}

#[test]
fn a_call_of_a_tool_is_said_by_that_call_alone() {
    let asked = r#"delete_user [("id", "2")]"#;
    let call = |tool, arguments: &[(&str, &str)]| how(tool, arguments, asked, Asking::Call);
    assert_eq!(call("delete_user", &[("id", "2")]), Some(How::Same));
    for (tool, arguments) in [
        ("delete_user", &[("id", "3")][..]),
        ("delete_user", &[("id", "2"), ("force", "true")]),
        ("delete_user", &[("user", "2")]),
        ("delete_user", &[]),
        ("get_user", &[("id", "2")]),
        ("delete_user_card", &[("id", "2")]),
        // What another call was to write down.
        ("note", &[("text", asked)]),
        ("note", &[("text", "SELECT 1; delete_user [(\"id\", \"2\")]")]),
        ("run", &[("code", "x = `delete_user [(\"id\", \"2\")]`")]),
    ] {
        let how = call(tool, arguments);
        assert!(!matches!(how, Some(How::Same | How::Part)), "{tool} {arguments:?}: {how:?}");
    }
}

#[test]
fn a_method_is_a_part_of_what_is_carried_out() {
    let causes = Causes::new();
    let said = members(&[("method", "PUT"), ("path", "/users/2")]);
    let arguments = Arguments { tool: "http", members: Some(&said), ..Arguments::default() };
    causes.decided(RUN, (Seq(1), WallTime(0)), None, arguments, false, shown());
    let action = Action::default();
    let use_up = |line: &str| {
        let request = requested(line, &[]);
        let asking = Asking::Request(&request);
        let saying = Saying { text: "/users/2 ", values: Vec::new(), unsaid: false, action: &action, asking };
        causes.use_up(RUN, &saying, WallTime(0))
    };
    assert!(!use_up("GET /users/2") && use_up("PUT /users/2") && !use_up("PUT /users/2"));
    assert!(!use_up("PUT /users/2?"), "in another spelling neither");
}
