use super::*;
use crate::frame::{Decoder, Head, Incoming};
use bytes::BytesMut;

fn head(mut decoder: Decoder, text: &str) -> Head {
    match decoder.next(&mut BytesMut::from(text.as_bytes())) {
        Ok(Incoming::Head(head)) => head,
        other => panic!("{other:?}: {text}"),
    }
}

fn request(minor: u8, fields: &str) -> Request {
    let text = format!("POST / HTTP/1.{minor}\r\nHost: a\r\n{fields}\r\n");
    Request::new(head(Decoder::client(), &text)).unwrap()
}

fn response(status: u16, fields: &str) -> Response {
    let mut decoder = Decoder::upstream();
    decoder.answers(false);
    Response::new(head(decoder, &format!("HTTP/1.1 {status} X\r\n{fields}\r\n"))).unwrap()
}

const EMPTY: &str = "Content-Length: 0\r\n";

fn after(minor: u8, asked: &str, answered: &str) -> (bool, bool) {
    let mut session = Session::new();
    session.on_request(&request(minor, asked)).unwrap();
    session.on_request_end().unwrap();
    assert_eq!(session.on_response(&response(200, answered)), Ok(Seen::Final));
    let after = session.on_response_end().unwrap();
    assert!(session.is_idle());
    (after.client, after.upstream)
}

#[test]
fn each_connection_goes_on_if_both_its_ends_say_so() {
    assert_eq!(after(1, "", EMPTY), (true, true));
    assert_eq!(after(1, "Connection: close\r\n", EMPTY), (false, true));
    assert_eq!(after(1, "", "Connection: close\r\nContent-Length: 0\r\n"), (true, false));
    assert_eq!(after(1, "", ""), (true, false), "until close becomes chunks");
    assert_eq!(after(0, "", EMPTY), (false, true));
    assert_eq!(after(0, "Connection: keep-alive\r\n", EMPTY), (true, true));
    assert_eq!(after(0, "Connection: keep-alive\r\n", "Transfer-Encoding: chunked\r\n"), (false, true));
    assert_eq!(after(0, "Connection: keep-alive\r\n", ""), (false, false));
}

#[test]
fn a_request_waits_until_the_one_before_is_answered() {
    let mut session = Session::new();
    assert!(session.is_idle());
    session.on_request(&request(1, "")).unwrap();
    session.on_request_end().unwrap();
    assert!(!session.is_idle());
    assert_eq!(session.on_request(&request(1, "")), Err(why::REQUEST_OVERLAPS.on(Side::Gateway)));
    assert_eq!(session.on_request_end(), Err(why::UNFINISHED_REQUEST.on(Side::Gateway)));
    assert_eq!(session.on_response_end(), Err(why::UNFINISHED_RESPONSE.on(Side::Gateway)));
    assert_eq!(session.on_response(&response(200, EMPTY)), Ok(Seen::Final));
    assert_eq!(session.on_response(&response(200, EMPTY)), Err(why::RESPONSE_TWICE.on(Side::Upstream)));
    assert_eq!(session.on_answer(false), Err(why::UNFINISHED_REQUEST.on(Side::Gateway)));
    assert!(session.on_response_end().is_ok());
}

#[test]
fn a_response_without_a_request_is_upstreams_fault() {
    let fault = Session::new().on_response(&response(200, EMPTY)).unwrap_err();
    assert_eq!(fault, why::NO_EXCHANGE.on(Side::Upstream));
}

#[test]
fn a_response_before_the_requests_end_ends_both_connections() {
    let mut session = Session::new();
    session.on_request(&request(1, "Content-Length: 5\r\n")).unwrap();
    assert_eq!(session.on_response(&response(413, EMPTY)), Ok(Seen::Final));
    assert_eq!(session.on_response_end(), Ok(After { client: false, upstream: false }));
}

#[test]
fn a_100_is_shown_once_to_a_client_that_waits_for_it() {
    let mut session = Session::new();
    session.on_request(&request(1, "Expect: 100-continue\r\nContent-Length: 5\r\n")).unwrap();
    assert!(session.holds_back());
    assert_eq!(session.on_response(&response(100, "")), Ok(Seen::Show));
    assert!(!session.holds_back());
    assert_eq!(session.on_response(&response(100, "")), Ok(Seen::Drop));
    assert_eq!(session.on_response(&response(103, "")), Ok(Seen::Show));
    assert_eq!(session.on_response(&response(200, EMPTY)), Ok(Seen::Final));
}

#[test]
fn a_100_that_we_gave_is_not_shown_again() {
    let mut session = Session::new();
    session.on_request(&request(1, "Expect: 100-continue\r\nContent-Length: 5\r\n")).unwrap();
    session.continued();
    assert!(!session.holds_back());
    assert_eq!(session.on_response(&response(100, "")), Ok(Seen::Drop));
}

#[test]
fn interim_responses_do_not_reach_http_1_0() {
    let mut session = Session::new();
    session.on_request(&request(0, "")).unwrap();
    assert_eq!(session.on_response(&response(103, "")), Ok(Seen::Drop));
}

#[test]
fn interim_responses_are_limited_and_101_is_refused() {
    let mut session = Session::new();
    session.on_request(&request(1, "")).unwrap();
    for _ in 0..INTERIM_RESPONSES_MAX {
        assert_eq!(session.on_response(&response(103, "")), Ok(Seen::Show));
    }
    assert_eq!(session.on_response(&response(103, "")), Err(why::INTERIM_TOO_MANY.on(Side::Upstream)));
    assert_eq!(session.on_response(&response(101, "")), Err(why::SWITCHED.on(Side::Upstream)));
}

#[test]
fn an_answer_of_ours_keeps_the_client_only_behind_a_whole_request() {
    let answered = |whole: bool, sent_upstream: bool| {
        let mut session = Session::new();
        session.on_request(&request(1, "Content-Length: 5\r\n")).unwrap();
        if whole {
            session.on_request_end().unwrap();
        }
        let keeps = session.may_keep_client();
        let after = session.on_answer(sent_upstream).unwrap();
        assert_eq!((after.client, session.is_idle()), (keeps, true));
        (after.client, after.upstream)
    };
    assert_eq!(answered(true, false), (true, true));
    assert_eq!(answered(false, false), (false, true));
    assert_eq!(answered(false, true), (false, false));
    assert_eq!(answered(true, true), (true, false));
    assert!(!Session::new().may_keep_client());
}
