//! The session against written scripts: one line per rule. `live` does the same against a real server.

use bytes::BytesMut;
use proto_postgres::frame::{Decoder, Frame};
use proto_postgres::limits::OUTSTANDING_MAX;
use proto_postgres::message::*;
use proto_postgres::reply::{DataRow, Fields, RowDescription};
use proto_postgres::session::*;
use wire::{RawField, Side, kind};

fn frame(message: FromUpstream) -> Frame {
    let mut decoder = Decoder::upstream();
    decoder.authenticated();
    let mut wire = BytesMut::new();
    message.encode(&mut wire).unwrap();
    decoder.next(&mut wire).unwrap().unwrap()
}

/// A script of replies, one letter each, as on the wire; `e` is a FATAL.
fn reply(letter: u8) -> Frame {
    let formats = || CopyFormats { overall: Format::Text, columns: vec![Format::Text] };
    frame(match letter {
        b'1' => FromUpstream::ParseComplete,
        b'2' => FromUpstream::BindComplete,
        b'3' => FromUpstream::CloseComplete,
        b't' => FromUpstream::ParameterDescription { types: vec![23] },
        b'T' => FromUpstream::RowDescription(RowDescription::default()),
        b'n' => FromUpstream::NoData,
        b'D' => FromUpstream::DataRow(DataRow::build([None]).unwrap()),
        b'C' => FromUpstream::CommandComplete { tag: RawField::from_static(b"SELECT 1") },
        b'I' => FromUpstream::EmptyQuery,
        b's' => FromUpstream::PortalSuspended,
        b'G' => FromUpstream::CopyIn(formats()),
        b'H' => FromUpstream::CopyOut(formats()),
        b'W' => FromUpstream::CopyBoth(formats()),
        b'd' => FromUpstream::CopyData(RawField::from_static(b"1\n")),
        b'c' => FromUpstream::CopyDone,
        b'E' => FromUpstream::Error(Fields::new("ERROR", "22012", "division by zero")),
        b'e' => FromUpstream::Error(Fields::new("FATAL", "57P01", "terminating connection")),
        b'N' => FromUpstream::Notice(Fields::new("NOTICE", "00000", "hello")),
        b'S' => FromUpstream::ParameterStatus {
            name: RawField::from_static(b"TimeZone"),
            value: RawField::from_static(b"UTC"),
        },
        b'A' => FromUpstream::Notification {
            pid: 1,
            channel: RawField::from_static(b"c"),
            payload: RawField::default(),
        },
        b'Z' => FromUpstream::ReadyForQuery(TxStatus::Idle),
        b'V' => FromUpstream::FunctionCallResponse { result: None },
        b'K' => FromUpstream::BackendKeyData { pid: 1, key: RawField::from_static(b"1234") },
        other => panic!("no reply {:?}", char::from(other)),
    })
}

/// A script of what is sent: P B D(escribe portal) d(escribe statement) E C S x(poison) Q c(CopyDone) f(CopyFail).
fn what(letter: u8) -> What {
    match letter {
        b'P' => What::Parse,
        b'B' => What::Bind,
        b'D' => What::DescribePortal,
        b'd' => What::DescribeStatement,
        b'E' => What::Execute,
        b'C' => What::Close,
        b'S' => What::Sync,
        b'x' => What::Poison,
        b'Q' => What::SimpleQuery,
        b'c' => What::CopyDone,
        b'f' => What::CopyFail,
        other => panic!("nothing is sent as {:?}", char::from(other)),
    }
}

struct Run {
    session: Session,
    op: u64,
}

impl Run {
    fn new() -> Run {
        Run { session: Session::new(TxStatus::Idle), op: 0 }
    }

    fn send(&mut self, letters: &str) -> Vec<Fate> {
        letters.bytes().map(|letter| self.try_send(letter).unwrap()).collect()
    }

    fn try_send(&mut self, letter: u8) -> Result<Fate, wire::Fault> {
        self.op += 1;
        self.session.sent(Sent::shown(self.op, what(letter)))
    }

    /// The number of the message that each reply answers; 0 for what comes of itself.
    fn replies(&mut self, letters: &str) -> Vec<u64> {
        letters
            .bytes()
            .map(|l| self.session.on_upstream(&reply(l)).unwrap().of.map_or(0, |sent| sent.op))
            .collect()
    }
}

#[track_caller]
fn check(sent: &str, replies: &str, answers: &[u64]) {
    let mut run = Run::new();
    assert!(run.send(sent).iter().all(|fate| *fate == Fate::Outstanding));
    assert_eq!(run.replies(replies), answers);
    assert!(run.session.is_idle(), "all of {sent} is answered by {replies}");
}

/// `replies` are in order but for the last.
#[track_caller]
fn out_of_order(sent: &str, replies: &str) {
    let mut run = Run::new();
    assert!(run.send(sent).iter().all(|fate| *fate == Fate::Outstanding));
    let (last, before) = replies.as_bytes().split_last().unwrap();
    run.replies(std::str::from_utf8(before).unwrap());
    let fault = run.session.on_upstream(&reply(*last)).unwrap_err();
    assert_eq!((fault.side, fault.kind), (Side::Upstream, kind::OUT_OF_ORDER), "{sent} {replies}");
}

#[test]
fn replies_answer_what_was_sent_in_order() {
    check("PdBDES", "1tT2TDDCZ", &[1, 2, 2, 3, 4, 5, 5, 5, 6]);
    check("PdBDES", "1tn2nCZ", &[1, 2, 2, 3, 4, 5, 6]);
    check("BESBES", "2CZ2DsZ", &[1, 2, 3, 4, 5, 5, 6]);
    check("PBECS", "12I3Z", &[1, 2, 3, 4, 5]);
    check("SSS", "ZZZ", &[1, 2, 3]);
    check("BES", "2HddcCZ", &[1, 2, 2, 2, 2, 2, 3]);
    check("BES", "2HcCZ", &[1, 2, 2, 2, 3]);
}

#[test]
fn a_query_is_answered_up_to_ready() {
    check("Q", "TDDCZ", &[1; 5]);
    check("Q", "CTDCCZ", &[1; 6]);
    check("Q", "IZ", &[1; 2]);
    check("Q", "TDEZ", &[1; 4]);
    check("Q", "THddcCTCZ".strip_prefix('T').unwrap(), &[1; 8]);
    check("QQ", "EZCZ", &[1, 1, 2, 2]);
    check("QS", "CEZZ", &[1, 1, 1, 2]);
}

#[test]
fn what_comes_of_itself_may_come_at_any_time() {
    check("PBES", "NS1AN2DSDNCAZN", &[1, 0, 1, 0, 2, 2, 3, 0, 3, 3, 3, 0, 4, 0]);
    check("", "NSA", &[0, 0, 0]);
}

#[test]
fn after_an_error_everything_up_to_sync_is_skipped() {
    let mut run = Run::new();
    run.send("PBEPBESPBES");
    run.replies("12D");
    let event = run.session.on_upstream(&reply(b'E')).unwrap();
    let Kind::Error { skipped, fatal, .. } = event.kind else { panic!("an error") };
    assert_eq!((event.of.unwrap().op, fatal), (3, false));
    assert_eq!(skipped.iter().map(|sent| sent.op).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!(run.replies("Z12CZ"), [7, 8, 9, 10, 11]);
}

#[test]
fn what_is_sent_after_an_error_and_before_sync_is_discarded_a_query_too() {
    let mut run = Run::new();
    run.send("PB");
    run.replies("E");
    assert!(run.session.skipping() && !run.session.is_idle());
    assert_eq!(run.send("BEQPx"), [Fate::Discarded; 5]);
    assert_eq!(run.send("SPS"), [Fate::Outstanding; 3]);
    assert_eq!(run.replies("Z1Z"), [8, 9, 10]);
}

#[test]
fn a_poison_fails_and_skips_and_must_not_parse() {
    let mut run = Run::new();
    run.send("PBExBES");
    run.replies("12C");
    let event = run.session.on_upstream(&reply(b'E')).unwrap();
    assert_eq!(event.of.unwrap().what, What::Poison);
    assert!(!event.shown(true), "the client gets the gateway's refusal instead");
    assert_eq!(run.replies("Z"), [7]);
    out_of_order("x", "1");
}

#[test]
fn a_commit_that_fails_at_sync_discards_nothing() {
    check("BESPS", "2CEZ1Z", &[1, 2, 3, 3, 4, 5]);
    out_of_order("SP", "EE");
}

#[test]
fn a_fatal_error_ends_the_session_whatever_is_outstanding() {
    for sent in ["", "PBES", "Q", "S"] {
        let mut run = Run::new();
        run.send(sent);
        let event = run.session.on_upstream(&reply(b'e')).unwrap();
        let Kind::Error { skipped, fatal, .. } = event.kind else { panic!("an error") };
        assert_eq!((skipped.len(), fatal), (sent.len().saturating_sub(1), true));
        assert!(!run.session.is_idle());
        assert_eq!(run.try_send(b'S').unwrap_err().side, Side::Gateway);
        assert_eq!(run.session.on_upstream(&reply(b'N')).unwrap_err().kind, kind::OUT_OF_ORDER);
    }
}

#[test]
fn copy_in_ends_with_what_the_client_sends() {
    for (end, replies) in [("c", "C"), ("f", "E")] {
        let mut run = Run::new();
        run.send("PBE");
        run.replies("12G");
        assert_eq!(run.session.copying(), Some(Copying::In));
        for letter in *b"SPBEQ" {
            assert_eq!(run.try_send(letter).unwrap_err().kind, kind::OUT_OF_ORDER);
        }
        assert_eq!(run.send(end), [Fate::Outstanding]);
        assert_eq!(run.session.copying(), None);
        assert_eq!(run.send("cS"), [Fate::Discarded, Fate::Outstanding]);
        assert_eq!(run.replies(replies), [3]);
        assert_eq!(run.replies("Z").len(), 1);
        assert!(run.session.is_idle());
    }
}

#[test]
fn a_copy_that_upstream_ends_discards_the_end_that_is_on_its_way() {
    let mut run = Run::new();
    run.send("PBE");
    run.replies("12G");
    run.send("cS");
    let event = run.session.on_upstream(&reply(b'E')).unwrap();
    let Kind::Error { skipped, .. } = event.kind else { panic!("an error") };
    assert_eq!(skipped.iter().map(|sent| sent.what).collect::<Vec<_>>(), [What::CopyDone]);
    run.replies("Z");
    assert!(run.session.is_idle());

    let mut run = Run::new();
    run.send("Q");
    run.replies("GE");
    assert_eq!(run.session.copying(), None);
    assert_eq!(run.send("c"), [Fate::Discarded]);
    run.replies("Z");
    assert!(run.session.is_idle());
}

#[test]
fn a_copy_in_a_query_goes_on_to_the_next_statement() {
    let mut run = Run::new();
    run.send("Q");
    run.replies("CG");
    run.send("cQ");
    assert_eq!(run.replies("CTDCZ"), [1; 5]);
    assert_eq!(run.replies("GE"), [3; 2]);
    assert_eq!(run.replies("Z"), [3]);
}

#[test]
fn copy_in_with_anything_in_flight_behind_it_is_a_fault() {
    out_of_order("ES", "G");
    out_of_order("QS", "G");
    out_of_order("E", "GC");
    let mut run = Run::new();
    run.send("E");
    run.replies("G");
    run.send("f");
    assert!(run.session.on_upstream(&reply(b'C')).is_err(), "a CopyFail cannot succeed");
}

#[test]
fn the_end_of_a_copy_outside_of_one_is_ignored_as_upstream_does() {
    let mut run = Run::new();
    assert_eq!(run.send("cPfS"), [Fate::Discarded, Fate::Outstanding, Fate::Discarded, Fate::Outstanding]);
    assert_eq!(run.replies("1Z"), [2, 4]);
}

/// Every reply at every place where it does not belong.
#[test]
fn what_the_protocol_does_not_allow_at_this_point_is_a_fault_of_upstreams() {
    let all = b"123tTnDCIsGHWdcEZVK";
    let allowed: &[(&str, &str, &str)] = &[
        ("", "", ""),
        ("P", "", "1E"),
        ("B", "", "2E"),
        ("C", "", "3E"),
        ("d", "", "tE"),
        ("d", "t", "TnE"),
        ("D", "", "TnE"),
        ("E", "", "DCIsGHE"),
        ("E", "D", "DCsE"),
        ("E", "G", "E"),
        ("E", "H", "dcE"),
        ("E", "Hd", "dcE"),
        ("E", "Hc", "CE"),
        ("S", "", "ZE"),
        ("S", "E", "Z"),
        ("x", "", "E"),
        ("Q", "", "TCIGHE"),
        ("Q", "T", "DCE"),
        ("Q", "C", "TCGHEZ"),
        ("Q", "I", "Z"),
        ("Q", "E", "Z"),
        ("Q", "G", "E"),
        ("Q", "H", "dcE"),
        ("Q", "Hc", "CE"),
    ];
    for (sent, before, fits) in allowed {
        for letter in all {
            let mut run = Run::new();
            run.send(sent);
            run.replies(before);
            let result = run.session.on_upstream(&reply(*letter));
            let fit = fits.as_bytes().contains(letter);
            assert_eq!(result.is_ok(), fit, "{:?} after {before:?} for {sent:?}", char::from(*letter));
        }
    }
}

#[test]
fn hidden_replies_are_not_shown_but_errors_are() {
    let mut session = Session::new(TxStatus::Idle);
    let mut send = |what, hidden| {
        let fate = session.sent(Sent { op: 7, what, hidden }).unwrap();
        assert_eq!(fate, Fate::Outstanding);
    };
    send(What::Parse, true);
    send(What::Bind, true);
    send(What::DescribePortal, false);
    send(What::Execute, false);
    send(What::Parse, true);
    send(What::Sync, false);
    let mut shown = String::new();
    for letter in *b"N12nDCEZ" {
        let event = session.on_upstream(&reply(letter)).unwrap();
        if event.shown(true) {
            shown.push(char::from(letter));
        }
    }
    assert_eq!(shown, "NDCEZ");
}

/// A Query of two statements, as the table in the documentation has it.
#[test]
fn a_translated_query_shows_what_a_query_shows() {
    let check = |replies: &str, expect: &str| {
        let mut session = Session::new(TxStatus::Idle);
        for (op, what, hidden) in [
            (1, What::Parse, true),
            (1, What::Bind, true),
            (1, What::DescribePortal, false),
            (1, What::Execute, false),
            (2, What::Parse, true),
            (2, What::Bind, true),
            (2, What::DescribePortal, false),
            (2, What::Execute, false),
            (3, What::Close, true),
            (3, What::Sync, false),
        ] {
            assert_eq!(session.sent(Sent { op, what, hidden }).unwrap(), Fate::Outstanding);
        }
        let mut translation = Translation::new(2);
        let mut seen = String::new();
        for letter in replies.bytes() {
            for event in translation.pass(session.on_upstream(&reply(letter)).unwrap()) {
                seen.push(match event.kind {
                    Kind::Complete(_) => 'C',
                    Kind::Ready(_) => 'Z',
                    Kind::RowDescription(_) => 'T',
                    Kind::DataRow(_) => 'D',
                    Kind::Error { .. } => 'E',
                    Kind::Notice(_) => 'N',
                    other => panic!("{other:?}"),
                });
            }
        }
        assert_eq!(seen, expect);
    };
    check("12nC12TDDC3Z", "CTDDCZ");
    check("12TDC12nC3NEZ", "TDCNEZ");
    check("12nC12TDEZ", "CTDEZ");
    check("EZ", "EZ");
}

#[test]
fn outstanding_messages_are_bounded() {
    let mut session = Session::new(TxStatus::Idle);
    for op in 0..OUTSTANDING_MAX as u64 {
        assert_eq!(session.sent(Sent::shown(op, What::Sync)).unwrap(), Fate::Outstanding);
    }
    let fault = session.sent(Sent::shown(0, What::Sync)).unwrap_err();
    assert_eq!((fault.side, fault.kind), (Side::Gateway, kind::TOO_MANY));
    session.on_upstream(&reply(b'Z')).unwrap();
    assert!(session.sent(Sent::shown(0, What::Sync)).is_ok());
}

#[test]
fn the_transaction_is_as_upstream_last_said() {
    let mut run = Run::new();
    run.send("SSS");
    for status in [TxStatus::InTransaction, TxStatus::Failed, TxStatus::Idle] {
        run.session.on_upstream(&frame(FromUpstream::ReadyForQuery(status))).unwrap();
        assert_eq!(run.session.tx(), status);
    }
}
