//! Values that are cut over the events of a stream.

use super::*;
use crate::detect::tests::Random;
use crate::detect::{Detectors, SCANNED};
use crate::limits::*;
use crate::taint::Taint;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P";
const IBAN: &str = "DE89 3704 0044 0532 0130 00";
const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKC\n-----END PRIVATE KEY-----";

fn stream() -> Setup {
    Setup::new(Media::EventStream)
}

/// How a stream says a piece of a text.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Chat,
    ChatCall(u32),
    Messages(u32),
    MessagesCall(u32),
    Responses(u32),
    ResponsesCall(u32),
    Plain,
}

const SHAPES: [Shape; 7] = [
    Shape::Chat,
    Shape::ChatCall(0),
    Shape::Messages(0),
    Shape::MessagesCall(1),
    Shape::Responses(0),
    Shape::ResponsesCall(2),
    Shape::Plain,
];

impl Shape {
    /// The `n`-th event.
    fn event(self, n: usize, piece: &str) -> String {
        let json = piece.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let chunk =
            "\"id\":\"chatcmpl-9\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\"";
        let padding = &"aZ3kQ9xT0bLm"[n % 12..];
        match self {
            Shape::Chat => format!(
                "data: {{{chunk},\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{json}\"}},\"finish_reason\":null}}]}}\n\n"
            ),
            Shape::ChatCall(i) => format!(
                "data: {{{chunk},\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":{i},\"function\":{{\"arguments\":\"{json}\"}}}}]}}}}]}}\n\n"
            ),
            Shape::Messages(i) => format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{i},\"delta\":{{\"type\":\"text_delta\",\"text\":\"{json}\"}}}}\n\n"
            ),
            Shape::MessagesCall(i) => format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{i},\"delta\":{{\"type\":\"input_json_delta\",\"partial_json\":\"{json}\"}}}}\n\n"
            ),
            Shape::Responses(i) => format!(
                "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"sequence_number\":{n},\"item_id\":\"msg_{i}\",\"output_index\":{i},\"content_index\":0,\"delta\":\"{json}\",\"logprobs\":[],\"obfuscation\":\"{padding}\"}}\n\n"
            ),
            Shape::ResponsesCall(i) => format!(
                "event: response.function_call_arguments.delta\ndata: {{\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":{n},\"item_id\":\"fc_{i}\",\"output_index\":{i},\"delta\":\"{json}\",\"obfuscation\":\"{padding}\"}}\n\n"
            ),
            Shape::Plain => format!("data: {}\n\n", piece.replace('\n', "\ndata: ")),
        }
    }

    fn stream(self, pieces: &[&str]) -> String {
        pieces.iter().enumerate().map(|(n, piece)| self.event(n, piece)).collect()
    }

    /// What the pieces of the shape say together.
    fn read(self, out: &[u8]) -> String {
        let out = std::str::from_utf8(out).unwrap();
        let name = match self {
            Shape::Chat => "\"content\":\"",
            Shape::ChatCall(_) => "\"arguments\":\"",
            Shape::Messages(_) => "\"text\":\"",
            Shape::MessagesCall(_) => "\"partial_json\":\"",
            Shape::Responses(_) | Shape::ResponsesCall(_) => "\"delta\":\"",
            Shape::Plain => {
                let data = out.split("\n\n").map(|event| {
                    event
                        .split('\n')
                        .map(|line| line.strip_prefix("data: ").unwrap_or(line))
                        .collect::<Vec<_>>()
                });
                return data.map(|lines| lines.join("\n")).collect();
            }
        };
        let mark = match self {
            Shape::ChatCall(i) => format!("[{{\"index\":{i},"),
            Shape::Messages(i) | Shape::MessagesCall(i) => format!("\"index\":{i},"),
            Shape::Responses(i) | Shape::ResponsesCall(i) => format!("\"output_index\":{i},"),
            Shape::Chat | Shape::Plain => String::new(),
        };
        let events = out.split("\n\n").filter(|event| event.contains(&mark));
        let after = events.filter_map(|event| event.split_once(name).map(|(_, after)| after));
        after.map(unescaped).collect()
    }
}

/// What stands before the string's end.
fn unescaped(after: &str) -> String {
    let (mut out, mut chars) = (String::new(), after.chars());
    loop {
        match chars.next().unwrap() {
            '"' => return out,
            '\\' => match chars.next().unwrap() {
                'n' => out.push('\n'),
                c => out.push(c),
            },
            c => out.push(c),
        }
    }
}

/// The text masked in one piece, and how often each detector found something.
fn whole(text: &str) -> (String, Vec<(&'static str, u64)>) {
    let mut findings = Vec::new();
    shared().scan(text.as_bytes(), &mut findings);
    let mut counts: Vec<(&'static str, u64)> = Vec::new();
    for finding in &findings {
        match counts.iter_mut().find(|(detector, _)| *detector == finding.detector) {
            Some((_, n)) => *n += 1,
            None => counts.push((finding.detector, 1)),
        }
    }
    counts.sort();
    (String::from_utf8(crate::field::replace(text.as_bytes(), &findings)).unwrap(), counts)
}

#[track_caller]
fn cut_is_masked(shape: Shape, text: &str, pieces: &[&str]) {
    let (expect, counts) = whole(text);
    let (out, found) = stream().whole(shape.stream(pieces).as_bytes()).unwrap();
    // A number alone is JSON, and its placeholder a string.
    let said = shape.read(&out);
    let said = if matches!(shape, Shape::Plain) { said.replace('"', "") } else { said };
    assert_eq!(said, expect, "{shape:?} {pieces:?}");
    let found: Vec<(&str, u64)> = found.tripped.iter().map(|h| (h.detector, h.count)).collect();
    assert_eq!(found, counts, "{shape:?} {pieces:?}");
}

#[test]
fn a_value_is_found_wherever_it_is_cut_over_two_events_and_over_three() {
    let pair = format!("{KEY_ID} {SECRET}");
    let values =
        [EMAIL, CARD, "4111-1111-1111-1111", SSN, IBAN, JWT, &pair, PEM, "postgres://app:s3cr3t@db/x"];
    for value in values {
        let text = format!("say {value} now");
        for shape in SHAPES {
            if matches!(shape, Shape::Plain) && value == PEM {
                continue;
            }
            let step = if text.len() > 60 { 5 } else { 1 };
            for first in 0..=text.len() {
                let (a, rest) = text.split_at(first);
                cut_is_masked(shape, &text, &[a, rest]);
                for second in (0..=rest.len()).step_by(step) {
                    let (b, c) = rest.split_at(second);
                    cut_is_masked(shape, &text, &[a, b, c]);
                }
            }
        }
    }
}

#[test]
fn a_value_is_found_in_single_letters_and_in_text_of_any_script() {
    let mut texts = vec![
        format!("mail {EMAIL} or {SSN}, card {CARD}."),
        format!("{EMAIL} first, then {IBAN}"),
        format!("{{\"to\": \"{EMAIL}\", \"card\": \"{CARD}\"}}"),
        format!("{PEM} and {JWT}"),
    ];
    texts.push(format!("\u{8054}\u{7cfb} {EMAIL}\u{3002}"));
    for text in texts {
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        for shape in &SHAPES[..6] {
            cut_is_masked(*shape, &text, &letters);
        }
    }
    // Nothing parts it from the word before.
    let pieces = ["\u{8054}", "\u{7cfb}jo", ".doe", "@", "example", ".com", " ok"];
    let (out, _) = stream().whole(Shape::Chat.stream(&pieces).as_bytes()).unwrap();
    assert_eq!(Shape::Chat.read(&out), "\u{8054}[pii.email] ok");
}

#[test]
fn what_comes_out_is_the_same_however_the_bytes_were_split() {
    let events = ["Write to jo", ".doe@exa", "mple.com", " and 536-9", "0-4399", "."];
    for shape in SHAPES {
        let masked = ["Write to [pii.email]", "", "", " and [pii.ssn]", "", "."];
        let found = stream().check(&shape.stream(&events), &shape.stream(&masked));
        let expect = [("email", Form::Raw, Act::Masked, 1), ("us-ssn", Form::Raw, Act::Masked, 1)];
        assert_eq!(hits(&found), expect);
    }
    let kept =
        "event: a\r\ndata: {\"t\": \"jo\" }\r\n\r\n: ping\r\n\r\n\r\ndata: {\"t\":\"hn\"}\r\n\r\nid: 7\n\n";
    assert_eq!(stream().passes(kept), Found::default());
    stream().check(
        "data: {\"t\":\ndata: \"a \\u006ao\" }\n\n: ping\n\ndata: {\"t\":\"@example.com \\\" \"}\nid: 1\n\ndata: {\"t\":\"x\"}\n\n",
        "data: {\"t\": \"a [pii.email]\" }\n\n: ping\n\nid: 1\ndata: {\"t\":\" \\\" \"}\n\ndata: {\"t\":\"x\"}\n\n",
    );
}

#[test]
fn texts_that_take_turns_are_told_apart() {
    let pairs = [
        [Shape::ChatCall(0), Shape::ChatCall(1)],
        [Shape::Messages(0), Shape::Messages(1)],
        [Shape::Responses(0), Shape::Responses(1)],
        [Shape::ResponsesCall(0), Shape::ResponsesCall(1)],
        [Shape::MessagesCall(0), Shape::MessagesCall(1)],
    ];
    let (first, second) = (format!("to {EMAIL} now"), format!("of {SSN} now"));
    for [a, b] in pairs {
        for cut in 1..first.len() {
            for other in 1..second.len() {
                let (a1, a2) = first.split_at(cut);
                let (b1, b2) = second.split_at(other);
                let text = [(a, a1), (b, b1), (a, a2), (b, b2)];
                let text: String = text.iter().enumerate().map(|(n, (s, piece))| s.event(n, piece)).collect();
                let (out, found) = stream().whole(text.as_bytes()).unwrap();
                // Of both together more may look like a value, and is taken out too.
                let (x, y) = (a.read(&out), b.read(&out));
                assert!(!x.contains("jo") && !x.contains("doe") && !x.contains("exa"), "{x:?} {cut} {other}");
                assert!(!y.contains("4399") && !y.contains("536-"), "{y:?} {cut} {other}");
                let all: Vec<&str> = found.tripped.iter().map(|h| h.detector).collect();
                assert_eq!(all, ["email", "us-ssn"], "{text}");
            }
        }
    }
}

#[test]
fn an_id_that_changes_with_each_event_parts_no_text() {
    let event = |n: usize, piece: &str| format!("data: {{\"id\":\"{n}f{n}\",\"delta\":\"{piece}\"}}\n\n");
    let pieces = ["to jo.", "doe@", "example", ".com."];
    let text: String = pieces.iter().enumerate().map(|(n, piece)| event(n, piece)).collect();
    let (out, _) = stream().whole(text.as_bytes()).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("to [pii.email]"));
}

#[test]
fn what_the_run_knows_passes_in_pieces() {
    let text = Shape::Chat.stream(&["to jo", ".doe@exa", "mple.com", " and 536-90", "-4399."]);
    let found = stream().knows(Origin::Echo, EMAIL).knows(Origin::Own, SSN).passes(&text);
    let expect = [("email", Form::Raw, Act::Echo, 1), ("us-ssn", Form::Raw, Act::Own, 1)];
    assert_eq!(hits(&found), expect);
    // A known address with a longer one: the whole counts.
    let text = Shape::Chat.stream(&["to x", "jo.doe@example.com."]);
    stream().knows(Origin::Echo, EMAIL).check(&text, &Shape::Chat.stream(&["to [pii.email]", "."]));
}

#[test]
fn what_a_rule_says_of_a_place_holds_in_pieces() {
    let event = |piece: &str| format!("data: {{\"t\":\"{piece}\"}}\n\n");
    let text = ["to jo", "@example.com", " x"].map(event).concat();
    let null = stream().rules([rule("$.t", "pii.email", MaskKind::Null)]);
    null.check(&text, &"data: {\"t\":null}\n\n".repeat(3));
    let shown = stream().rules([rule("$.t", "pii.email", MaskKind::Null)]).reveals(&["pii.email"]);
    let found = shown.passes(&text);
    assert_eq!(hits(&found), [("email", Form::Raw, Act::Revealed, 1)]);
}

#[test]
fn what_a_run_was_shown_is_found_in_pieces() {
    let taint = Taint::new([5; 16]);
    taint.remember(&class("pii.name"), b"Chiara Lund of Turin");
    let detectors = Detectors::new().with(Arc::new(taint));
    let mut body = Body::new(Media::EventStream, [].into(), BTreeSet::new());
    let (known, text) = (Known::new([5; 16]), Shape::Chat.stream(&["for Chiara", " Lund of", " Turin", "."]));
    let out = body.push(&detectors, &known, text.as_bytes()).unwrap();
    let (rest, found) = body.finish(&detectors, &known).unwrap();
    assert_eq!(Shape::Chat.read(out.then(rest).as_bytes()), "for [pii.name].");
    assert_eq!(hits(&found), [("taint", Form::Raw, Act::Masked, 1)]);
}

#[test]
fn rows_are_no_text() {
    let row = |value: &str| format!("data: {{\"mail\":\"{value}\",\"n\":\"1\"}}\n\n");
    let rows = |values: &[&str]| values.iter().map(|value| row(value)).collect::<String>();
    let many = ["a@example.com", "b@example.com", "c@example.com"];
    let found = stream().check(&rows(&many), &rows(&["[pii.email]"; 3]));
    assert_eq!(hits(&found), [("email", Form::Raw, Act::Masked, 3)]);
    let known = || stream().knows(Origin::Echo, many[0]).knows(Origin::Echo, many[1]);
    let texts = rows(&[many[0], many[1], "none", many[0], "none"]);
    known().passes(&texts);
    let mut body = Body::new(Media::EventStream, [].into(), BTreeSet::new());
    let out: Vec<u8> = texts
        .split_inclusive("\n\n")
        .flat_map(|row| {
            let out = body.push(shared(), &known().known, row.as_bytes()).unwrap();
            out.then(body.let_go(shared(), &known().known)).into_vec()
        })
        .collect();
    assert_eq!(out, texts.as_bytes());
    let cards = ["4111111111111111", "5500005555555559"];
    let found = stream().check(&rows(&cards), &rows(&["[pii.card]"; 2]));
    assert_eq!(hits(&found), [("card", Form::Raw, Act::Masked, 2)]);
}

/// How many events were released after each of them had come.
fn pace(events: &[String]) -> Vec<usize> {
    let known = Known::new([5; 16]);
    let mut body = Body::new(Media::EventStream, [].into(), BTreeSet::new());
    let mut out = 0;
    let released = events.iter().map(|event| {
        let more = body.push(shared(), &known, event.as_bytes()).unwrap();
        out += more.as_bytes().windows(2).filter(|pair| pair == b"\n\n").count();
        assert_eq!(body.waits(), events.iter().position(|other| other == event).is_some_and(|n| out <= n));
        out
    });
    released.collect()
}

#[test]
fn prose_leaves_one_event_late_at_most() {
    let prose = "The quick (brown) fox, seen in 2024, jumps over 13 lazy dogs: \u{e9}t\u{e9}, \u{4f60}\u{597d}. It has 7 of 9 lives";
    let words: Vec<&str> = prose.split_inclusive(' ').collect();
    let led: Vec<String> = std::iter::once(words[0].trim_end().to_owned())
        .chain(words[1..].iter().map(|word| format!(" {}", word.trim_end())))
        .collect();
    let begins = [
        "data: {\"id\":\"chatcmpl-9\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[]}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    ];
    for shape in SHAPES {
        for words in [words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), led.clone()] {
            let begin = match shape {
                Shape::Chat => &begins[..1],
                Shape::Messages(_) => &begins[1..],
                _ => &begins[..0],
            };
            let said = words.iter().enumerate().map(|(n, word)| shape.event(n, word));
            let events: Vec<String> = begin.iter().map(|e| (*e).to_owned()).chain(said).collect();
            for (n, released) in pace(&events).into_iter().enumerate().skip(begin.len() + 1) {
                assert!(released >= n, "{shape:?}: {released} of {} at {}", n + 1, events[n]);
            }
        }
    }
}

#[test]
fn a_word_in_pieces_waits_for_its_end_and_what_is_constant_for_one_event() {
    let event = |piece: &str| Shape::Chat.event(0, piece);
    assert_eq!(pace(&["in", "ter", "nal", " "].map(event)), [0, 0, 0, 3]);
    let state = |n: usize| format!("data: {{\"state\":\"running\",\"v\":\"1\",\"n\":{n}}}\n\n");
    let events: Vec<String> = (0..8).map(state).collect();
    assert_eq!(pace(&events), [0, 0, 2, 3, 4, 5, 6, 7]);
    // Once is not enough to be waited for long.
    let other = |n: usize| format!("data: {{\"n{n}\":\"jo\"}}\n\n");
    let events: Vec<String> = (0..8).map(other).collect();
    assert_eq!(pace(&events), [0, 0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_waits_can_be_let_go_and_the_rest_of_a_value_is_replaced() {
    let known = Known::new([5; 16]);
    let mut body = Body::new(Media::EventStream, [].into(), BTreeSet::new());
    let push = |body: &mut Body, piece: &str| {
        let out = body.push(shared(), &known, Shape::Chat.event(0, piece).as_bytes()).unwrap();
        Shape::Chat.read(out.as_bytes())
    };
    assert_eq!(push(&mut body, "to jo"), "");
    assert!(body.waits());
    assert_eq!(Shape::Chat.read(body.let_go(shared(), &known).as_bytes()), "to jo");
    assert!(!body.waits());
    assert_eq!(push(&mut body, ".doe@exam"), "");
    assert_eq!(push(&mut body, "ple.com. And 536-90-4399"), "[pii.email]");
    let rest = body.let_go(shared(), &known);
    assert_eq!(Shape::Chat.read(rest.as_bytes()), ". And [pii.ssn]");
    assert_eq!(push(&mut body, " x"), "");
    let (rest, found) = body.finish(shared(), &known).unwrap();
    assert_eq!(Shape::Chat.read(rest.as_bytes()), " x");
    let expect = [("email", Form::Raw, Act::Masked, 1), ("us-ssn", Form::Raw, Act::Masked, 1)];
    assert_eq!(hits(&found), expect);
}

#[test]
fn a_value_that_was_let_go_and_goes_on_counts_once() {
    let known = Known::new([5; 16]);
    for (pieces, expect) in [
        (&["to jo@example.co", "m. x"][..], "to [pii.email]. x"),
        (
            &["-----BEGIN PRIVATE KEY-----\nMIIE", "owIBAAKC", "\n-----END PRIVATE KEY-----."],
            "[secret.private_key].",
        ),
        (&["no 536-90-", "4399, "], "no 536-90-[pii.ssn], "),
    ] {
        let mut body = Body::new(Media::EventStream, [].into(), BTreeSet::new());
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(
                body.push(shared(), &known, Shape::Chat.event(0, piece).as_bytes()).unwrap().into_vec(),
            );
            out.extend(body.let_go(shared(), &known).into_vec());
        }
        let (rest, found) = body.finish(shared(), &known).unwrap();
        out.extend(rest.into_vec());
        assert_eq!(Shape::Chat.read(&out), expect);
        assert_eq!(found.tripped.iter().map(|h| h.count).collect::<Vec<_>>(), [1], "{expect}");
    }
}

#[test]
fn messages_wait_for_nothing() {
    let known = Known::new([5; 16]);
    let mut body = Body::messages([].into(), BTreeSet::new());
    let text = Shape::Chat.event(0, &format!("to {EMAIL}, or jo"));
    let out = body.push(shared(), &known, text.as_bytes()).unwrap();
    assert_eq!(Shape::Chat.read(out.as_bytes()), "to [pii.email], or jo");
    assert!(!body.waits());
    let out = body.push(shared(), &known, format!("data: to {EMAIL}\n\n").as_bytes()).unwrap();
    assert_eq!(out.as_bytes(), b"data: to [pii.email]\n\n");
}

#[test]
fn a_value_over_more_events_than_are_held_is_refused() {
    let begins = Shape::Chat.event(0, "-----BEGIN PRIVATE KEY-----");
    let stream_of = |n: usize| format!("{begins}{}", Shape::Chat.event(0, "A").repeat(n - 1));
    let setup = stream();
    let (out, _) = setup.whole(stream_of(BODY_EVENTS_HELD_MAX).as_bytes()).unwrap();
    assert_eq!(Shape::Chat.read(&out), "[secret.private_key]");
    assert!(setup.whole(stream_of(BODY_EVENTS_HELD_MAX + 1).as_bytes()).is_err());
    // A word, or one that another text goes on beside, is let go.
    let word =
        format!("data: {{\"a\":\"jo@exa\"}}\n\n{}", "data: {\"n\":1}\n\n".repeat(BODY_EVENTS_HELD_MAX + 1));
    assert_eq!(setup.whole(word.as_bytes()).unwrap().0, word.as_bytes());
}

#[test]
fn what_is_held_is_bounded() {
    let known = Known::new([5; 16]);
    let mut body = Body::new(Media::EventStream, [].into(), BTreeSet::new());
    let (mut came, mut left) = (0usize, 0usize);
    let mut push = |body: &mut Body, text: &str| {
        came += text.len();
        left += body.push(shared(), &known, text.as_bytes()).unwrap().as_bytes().len();
        came - left
    };
    // One word without an end: what is longer than an address is let go.
    for n in 0..2_000 {
        let held = push(&mut body, &Shape::Chat.event(n, "abcdefgh"));
        assert!(held <= 10 * Shape::Chat.event(n, "abcdefgh").len(), "{held}");
    }
    // Digits without an end.
    for n in 0..2_000 {
        let held = push(&mut body, &Shape::Chat.event(n, &format!("{n:04}")));
        assert!(held <= 12 * Shape::Chat.event(n, "0000").len(), "{held}");
    }
    // Places without an end, many in each event.
    for n in 0..200 {
        let places: Vec<String> = (0..500).map(|i| format!("\"p{n}x{i}\":\"jo\"")).collect();
        let event = format!("data: {{{}}}\n\n", places.join(","));
        assert!(push(&mut body, &event) <= 6 * event.len());
    }
    assert!(body.finish(shared(), &known).is_ok());
}

/// A token whose five segments are as long as they may be, but for the last.
fn long_jwt(last: usize) -> String {
    let header = format!("{{\"alg\":\"none\",\"x\":\"{}\"}}", "a".repeat(6_144 - 21));
    let segment = "A".repeat(JWT_SEGMENT_BYTES_MAX);
    let header = base64(header.as_bytes());
    assert!(header.len() == JWT_SEGMENT_BYTES_MAX && JWT_SEGMENTS_MAX == 5);
    format!("{header}.{segment}.{segment}.{segment}.{}", "A".repeat(last))
}

/// A piece of a text that is marked in three ways.
fn marked(mark: u32, piece: &str) -> String {
    format!("data: {{\"index\":{mark},\"type\":{mark},\"id\":{mark},\"t\":\"{piece}\"}}\n\n")
}

/// How many bytes were scanned for each of the stream, and what came of it.
fn cost(text: &str) -> (usize, String, Found) {
    SCANNED.set(0);
    let (out, found) = stream().whole(text.as_bytes()).unwrap();
    (SCANNED.get() / text.len(), String::from_utf8(out).unwrap(), found)
}

#[test]
fn what_is_scanned_is_linear_in_a_stream_that_goes_on_with_an_open_candidate() {
    let round = marked(2, " ") + &marked(1, " ") + &marked(1, &long_jwt(4_000));
    let round = round + &marked(1, "A").repeat(BODY_EVENTS_HELD_MAX - 10) + &marked(1, " ");
    let (times, out, found) = cost(&round.repeat(2));
    assert!(times <= 128, "{times} looks a byte");
    assert!(!out.contains("eyJ") && !out.contains("AA") && !out.contains("\"A"));
    assert_eq!(hits(&found), [("jwt", Form::Raw, Act::Masked, 2)]);
}

#[test]
fn what_is_scanned_is_linear_in_a_stream_that_has_an_open_candidate_let_go() {
    let begin = marked(2, "'") + &marked(1, "'") + &marked(1, &long_jwt(4_000));
    for between in [2, 5, 9] {
        let turn = marked(1, "A") + &"data: {\"n\":1}\n\n".repeat(between);
        let (times, out, found) = cost(&(begin.clone() + &turn.repeat(3_000)));
        assert!(times <= 128, "{between}: {times} looks a byte");
        assert!(!out.contains("eyJ") && !out.contains("AA") && !out.contains("\"A"));
        assert_eq!(hits(&found), [("jwt", Form::Raw, Act::Masked, 1)]);
    }
}

#[test]
fn each_text_with_an_open_candidate_is_let_go_in_its_turn() {
    let known = Known::new([5; 16]);
    let mut body = Body::new(Media::EventStream, [].into(), BTreeSet::new());
    let ends = |bytes: &[u8]| bytes.windows(2).filter(|pair| pair == b"\n\n").count();
    let mut held = 0;
    let begin = marked(2, "'") + &marked(1, "'") + &marked(1, &long_jwt(4_000));
    let turn = marked(1, "A") + &"data: {\"n\":1}\n\n".repeat(2);
    for text in std::iter::once(&begin).chain(std::iter::repeat_n(&turn, 3_000)) {
        held += ends(text.as_bytes());
        held -= ends(body.push(shared(), &known, text.as_bytes()).unwrap().as_bytes());
        assert!(held <= 400, "{held} events");
    }
}

#[test]
fn a_long_value_is_found_in_pieces_and_what_stands_around_it() {
    let mut random = Random(17);
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----", "MIIEowIBAAKC\n".repeat(900));
    for (n, value) in [&long_jwt(9), &pem, &pem[..9_000], &long_jwt(0)[..20_000]].into_iter().enumerate() {
        for shape in &SHAPES[..6] {
            let text = format!("to {EMAIL}: {value}! {SSN}, {value}! {CARD} ");
            let (mut rest, mut pieces) = (&text[..], Vec::new());
            while !rest.is_empty() {
                let most = if n == 0 || random.next().is_multiple_of(9) { 300 } else { 30 };
                let (piece, after) = rest.split_at(rest.len().min(1 + random.next() as usize % most));
                pieces.push(piece);
                rest = after;
            }
            cut_is_masked(*shape, &text, &pieces);
        }
    }
}

#[test]
fn what_follows_a_long_value_waits_for_no_more_events_than_pay_for_a_look() {
    for (length, most) in [(100, 1), (900, 2), (8_000, 9)] {
        let known = Known::new([5; 16]);
        let mut body = Body::new(Media::EventStream, [].into(), BTreeSet::new());
        let value = format!("eyJhbGciOiJIUzI1NiJ9.{}", "A".repeat(length));
        let pieces = ["see ", &value].into_iter().chain(std::iter::repeat(" and"));
        let mut events = pieces.map(|piece| Shape::Chat.event(0, piece));
        let mut push = || body.push(shared(), &known, events.next().unwrap().as_bytes()).unwrap();
        let first = [push(), push()].map(|out| Shape::Chat.read(out.as_bytes())).concat();
        assert_eq!(first, "see ");
        let late = (1..).find(|_| Shape::Chat.read(push().as_bytes()).starts_with("[secret.jwt]")).unwrap();
        assert!(late <= most, "{length}: {late} events");
        // Then each word goes when the next has come.
        (0..50).for_each(|_| assert_eq!(Shape::Chat.read(push().as_bytes()), " and"));
    }
}

#[test]
fn a_value_that_ended_is_decided_before_too_much_is_held() {
    for short in 0..12 {
        let end = "-----END PRIVATE KEY-----";
        let body = BODY_EVENTS_HELD_MAX - 1 - end.len() - short;
        let letters = "A".repeat(body) + end + &" x".repeat(20);
        let pieces = letters.chars().map(|c| Shape::Chat.event(0, &c.to_string()));
        let text: String =
            std::iter::once(Shape::Chat.event(0, "-----BEGIN PRIVATE KEY-----")).chain(pieces).collect();
        let (out, _) = stream().whole(text.as_bytes()).unwrap();
        assert_eq!(Shape::Chat.read(&out), format!("[secret.private_key]{}", " x".repeat(20)), "{short}");
    }
}

#[test]
fn random_texts_in_random_pieces_say_no_value() {
    let mut random = Random(5);
    let values = [EMAIL, CARD, SSN, IBAN, JWT, KEY_ID, "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"];
    let words = [" the word ", ", ", "\n", " (", ") ", " 12 ", " x-y ", ": \"", "\" ", " \u{e9}t\u{e9} "];
    for round in 0..300 {
        let mut text = String::from("begin ");
        for _ in 0..1 + random.next() % 6 {
            text += words[(random.next() % 10) as usize];
            text += " ";
            text += values[(random.next() % 7) as usize];
            text += " ";
            text += words[(random.next() % 10) as usize];
        }
        let mut chars = text.chars().peekable();
        let mut pieces = Vec::new();
        while chars.peek().is_some() {
            let n = 1 + (random.next() % 9) as usize;
            pieces.push(chars.by_ref().take(n).collect::<String>());
        }
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let shape = SHAPES[(random.next() % 6) as usize];
        let (out, _) = stream().whole(shape.stream(&pieces).as_bytes()).unwrap();
        assert_eq!(shape.read(&out), whole(&text).0, "round {round}: {pieces:?}");
    }
}
