//! Every limit, at it and one beyond; and what is held.

use super::*;
use crate::limits::*;

/// Readable whole and in a few pieces.
#[track_caller]
fn read(media: Media, input: &str, readable: bool) {
    let setup = Setup::new(media);
    let cuts = [input.len() / 3, input.len() / 3 + 1, input.len() - 1];
    assert_eq!(setup.whole(input.as_bytes()).is_ok(), readable, "{} bytes", input.len());
    assert_eq!(setup.split(input.as_bytes(), cuts).is_ok(), readable, "{} bytes, in pieces", input.len());
}

#[test]
fn json_is_nested_strings_are_long_and_names_are_many_up_to_a_limit() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let string = |n: usize| format!("[\"{}\"]", "a ".repeat(n)[..n].to_owned());
    let escaped = |n: usize| format!("{{\"{}\":1}}", "\\\\".repeat(n)[..n].to_owned());
    let number = |n: usize| format!("[{}]", "1".repeat(n));
    let names = |n: usize| {
        let inner: Vec<String> = (0..n - 1).map(|i| format!("\"{i}\":1")).collect();
        format!("{{\"outer\":{{{}}}}}", inner.join(","))
    };
    let long = |n: usize| {
        let name = |i: usize, n: usize| format!("\"{i}{}\":1", "n".repeat(n - 1));
        let all: Vec<String> =
            (0..4).map(|i| name(i, BODY_TOKEN_BYTES_MAX - 1)).chain([name(4, n)]).collect();
        format!("{{{}}}", all.join(","))
    };
    let cases: [(&dyn Fn(usize) -> String, usize); 6] = [
        (&nested, BODY_DEPTH_MAX),
        (&string, BODY_TOKEN_BYTES_MAX),
        (&escaped, BODY_TOKEN_BYTES_MAX),
        (&number, BODY_TOKEN_BYTES_MAX),
        (&names, BODY_KEYS_MAX),
        (&long, BODY_KEY_BYTES_MAX - 4 * (BODY_TOKEN_BYTES_MAX - 1)),
    ];
    for (text, max) in cases {
        read(Media::Json, &text(max), true);
        read(Media::Json, &text(max + 1), false);
    }
    // Whoever has more room says so, up to another.
    let longer = |text: &str, longest: usize| {
        let setup = Setup::new(Media::Json);
        let mut body = Body::new(Media::Json, [].into(), BTreeSet::new()).longest(longest);
        let (first, rest) = text.as_bytes().split_at(text.len() / 3);
        let read =
            [first, rest].into_iter().try_for_each(|half| body.push(shared(), &setup.known, half).map(drop));
        read.and_then(|()| body.finish(shared(), &setup.known)).is_ok()
    };
    for (longest, max) in [(usize::MAX, BODY_TOKEN_BYTES_MOST), (2 << 20, 2 << 20)] {
        for text in [&string, &escaped] as [&dyn Fn(usize) -> String; 2] {
            let text = |n| text(n).replace('{', "[").replace('}', "]").replace(":1", "");
            assert!(longer(&text(max), longest), "{max}");
            assert!(!longer(&text(max + 1), longest), "{max}");
        }
    }
    // What is closed is no longer kept.
    read(Media::Json, &format!("[{},{}]", names(BODY_KEYS_MAX), names(BODY_KEYS_MAX)), true);
}

#[test]
fn forms_events_and_parts_are_long_up_to_a_limit() {
    let pairs = |n: usize| vec!["a=1"; n].join("&");
    let pair = |n: usize| format!("x=1&a={}&y=2", "+".repeat(n - 2));
    read(Media::Form, &pairs(BODY_FORM_PAIRS_MAX), true);
    read(Media::Form, &pairs(BODY_FORM_PAIRS_MAX + 1), false);
    read(Media::Form, &pair(BODY_FORM_PAIR_BYTES_MAX), true);
    read(Media::Form, &pair(BODY_FORM_PAIR_BYTES_MAX + 1), false);

    let event = |n: usize| format!("data: 1\n\ndata: {}\n\n", "a ".repeat(n)[..n - 8].to_owned());
    let message = |n: usize, longest: usize| {
        let setup = Setup::new(Media::EventStream);
        let mut body = Body::messages([].into(), BTreeSet::new()).longest(longest);
        body.push(shared(), &setup.known, event(n).as_bytes()).is_ok()
    };
    for (longest, max) in [(6, BODY_EVENT_BYTES_MAX), (2 << 20, 2 << 20)] {
        assert!(message(max, longest) && !message(max + 1, longest), "{max}");
    }
    let lines = |n: usize| format!("{}\n", "data\n".repeat(n));
    read(Media::EventStream, &event(BODY_EVENT_BYTES_MAX), true);
    read(Media::EventStream, &event(BODY_EVENT_BYTES_MAX + 1), false);
    read(Media::EventStream, &lines(BODY_EVENT_LINES_MAX), true);
    read(Media::EventStream, &lines(BODY_EVENT_LINES_MAX + 1), false);

    let parts = || Media::Multipart { boundary: "b".into() };
    let many = |n: usize| format!("{}--b--", "--b\r\n\r\nx\r\n".repeat(n));
    // The line's end belongs to the header.
    let header = |n: usize| format!("--b\r\nA: {}\r\n\r\nx\r\n--b--", "a ".repeat(n)[..n - 5].to_owned());
    read(parts(), &many(BODY_PARTS_MAX), true);
    read(parts(), &many(BODY_PARTS_MAX + 1), false);
    for (length, readable) in [(BODY_PART_HEADER_BYTES_MAX, true), (BODY_PART_HEADER_BYTES_MAX + 1, false)] {
        read(parts(), &header(length), readable);
        let setup = Setup::new(parts());
        let text = header(length);
        assert_eq!(setup.split(text.as_bytes(), 1..text.len()).is_ok(), readable);
    }
}

#[test]
fn values_that_are_revealed_are_handed_out_up_to_a_limit() {
    let setup = Setup::new(Media::Json).rules([rule("$[*]", "pii.x", MaskKind::Null)]).reveals(&["pii.x"]);
    let text = format!("[\"{}\",\"{}\"{}]", "v".repeat(4096), "v".repeat(4097), ",1".repeat(1_500));
    let (_, found) = setup.whole(text.as_bytes()).unwrap();
    let [governed] = &found.governed[..] else { panic!("{found:?}") };
    assert_eq!((governed.cells, governed.values.len()), (1_502, BODY_REVEALED_VALUES_MAX));
    assert_eq!(governed.values.iter().map(Vec::len).max(), Some(BODY_REVEALED_BYTES_MAX));
}

/// The most that was taken and not given back, of a body that repeats `piece`; nothing in it is replaced.
fn most_held(media: Media, first: &str, piece: &str, bytes: usize) -> usize {
    let known = Known::new([5; 16]);
    let mut body = Body::new(media, [].into(), BTreeSet::new());
    let (mut taken, mut given, mut most) = (0, 0, 0);
    let block = piece.repeat(4_096 / piece.len());
    for block in std::iter::once(first).chain(std::iter::repeat(&block[..])) {
        given += body.push(shared(), &known, block.as_bytes()).unwrap().as_bytes().len();
        taken += block.len();
        most = most.max(taken - given);
        if taken > bytes {
            return most;
        }
    }
    most
}

#[test]
fn what_is_held_of_a_long_body_is_bounded() {
    let block = 4_096 + 64;
    let cases = [
        (Media::Json, "[0", " ", BODY_WINDOW_RAW_BYTES),
        (Media::Json, "[0", ",0", BODY_WINDOW_RAW_BYTES),
        (Media::Json, "[0", ",[[],{}]", BODY_WINDOW_RAW_BYTES),
        (Media::Json, "[0", ",{\"name\":\"some words\",\"n\":17}", BODY_WINDOW_RAW_BYTES),
        (Media::JsonLines, "", "{\"a\":1}\n", 64),
        (Media::EventStream, "", "data: {\"a\":1}\n\n", 64),
        (Media::Text, "", "a line of words\n", 64),
        (Media::Text, "", "no line's end ", BODY_LINE_BYTES_MAX + LOOK_BEHIND_BYTES),
        (Media::Multipart { boundary: "b".into() }, "--b\r\n\r\n", "a line\r\n", LOOK_BEHIND_BYTES),
    ];
    for (media, first, piece, max) in cases {
        let held = most_held(media.clone(), first, piece, 1 << 20);
        assert!(held <= max + block, "{media:?} of {piece:?}: {held}");
    }
    // Each token waits for its context, and the longest white space stands between two.
    let sparse = format!(",{}0", " ".repeat(4_094));
    assert!(most_held(Media::Json, "[0", &sparse, 6 << 20) <= (1_024 + 2) * BODY_GAP_BYTES_MAX);
}

#[test]
fn what_a_rule_leaves_out_is_not_held() {
    let known = Known::new([5; 16]);
    let rules: Arc<[PathRule]> = [rule("$.a", "pii.x", MaskKind::Null)].into();
    let mut body = Body::new(Media::Json, rules, BTreeSet::new());
    let mut out = body.push(shared(), &known, b"{\"a\":[0").unwrap().into_vec();
    for _ in 0..1_000 {
        let piece = body.push(shared(), &known, ",{\"b\":\"words\"}".repeat(100).as_bytes()).unwrap();
        assert!(piece.as_bytes().is_empty());
    }
    assert!(body.push(shared(), &known, b"],\"b\":1}").is_ok());
    out.extend(body.finish(shared(), &known).unwrap().0.into_vec());
    assert_eq!(out, b"{\"a\":null,\"b\":1}");
}
