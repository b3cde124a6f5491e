//! nghttp2's own programs before the gateway: many streams, small windows, CONTINUATION, padding, trailers, fields without end.

use super::scene::scene;
use super::{MASKED, without_secrets};
use crate::world::drivers;

/// `h2load` of nghttp2: each of `n` requests has an answer, and a good one.
#[track_caller]
fn loads(n: u32, words: &str) {
    let script = format!("h2load -n {n} {words} -H \"authorization: Bearer $ONE_API_KEY\"");
    let done = scene().sh("tester", &script.replace("URL", "$ONE_BASE_URL"));
    let all = format!("{n} succeeded, 0 failed, 0 errored, 0 timeout");
    let good = format!("status codes: {n} 2xx, 0 3xx, 0 4xx, 0 5xx");
    assert!(done.out().contains(&all) && done.out().contains(&good), "{}", scene().gateway.explain(&done));
    assert!(done.out().contains("Application protocol: h2c"), "{}", done.out());
}

#[test]
fn h2load_has_an_answer_to_each_of_many_streams_in_windows_of_any_size() {
    loads(400, "-c 2 -m 32 URL/users/1");
    loads(30, "-c 30 -m 1 URL/users/1");
    // A window of 1,023 bytes for a stream, and for a connection; 2 MB of rows are behind it.
    loads(3, "-c 1 -m 3 -w 10 URL/many");
    loads(2, "-c 1 -m 2 -W 14 URL/many");
    let body = drivers().file("h2load-body", &format!("\"{}\"", "x".repeat(1 << 20))).unwrap();
    let echo = format!("-c 2 -m 4 -d {} -H 'content-type: application/json' URL/echo", body.display());
    loads(16, &echo);
}

#[test]
fn nghttps_frames_are_read_and_what_they_hold_is_decided() {
    let ask = |words: &str| {
        let done = scene().sh(
            "tester",
            &format!("nghttp {words} -H \"authorization: Bearer $ONE_API_KEY\"")
                .replace("URL", "$ONE_BASE_URL"),
        );
        without_secrets(&done.all());
        done
    };
    for words in [
        "URL/users/1",
        "-b 255 URL/users/1",
        "-p 256 URL/users/1",
        "--no-dep URL/users/1",
        "-w 10 -W 10 URL/users/1",
    ] {
        assert_eq!(ask(words).out().trim_end(), MASKED, "{words}");
    }
    // It opens them before it has the settings: those above 32 were not looked at, and may come again.
    let many = ask("-v -m 50 URL/users/1?probe=nghttp-many");
    let seen = |word: &str| scene().seen().iter().filter(|seen| seen.to_string().contains(word)).count();
    let good = many.out().matches(":status: 200").count();
    assert_eq!((good, many.out().matches("REFUSED_STREAM").count(), seen("probe=nghttp-many")), (32, 18, 32));

    // Fields of more than a frame holds.
    let large = ask("-v --continuation URL/users/1?probe=nghttp-large");
    let sent = large.out();
    let length = sent.split("send HEADERS frame <length=").nth(1).and_then(|rest| rest.split(',').next());
    assert!(length.unwrap().parse::<u32>().unwrap() > 16_384, "{sent}");
    assert!(sent.contains(":status: 200") && seen("probe=nghttp-large") == 1, "{sent}");

    // What comes behind a body is read, and goes no further: nobody has decided it.
    let body = drivers().file("nghttp-body", "{\"say\": \"with a trailer\"}").unwrap();
    for (probe, more) in [("nghttp-known", ""), ("nghttp-open", "--no-content-length")] {
        let words =
            format!("-v {more} --trailer 'x-behind: trailing-value' -H 'content-type: application/json'");
        let trailed = ask(&format!("{words} -d {} URL/echo?probe={probe}", body.display()));
        assert!(
            trailed.out().contains(":status: 200") && trailed.out().contains("with a trailer\"}"),
            "{}",
            trailed.out()
        );
        assert_eq!((seen(probe), seen("trailing-value")), (1, 0));
    }
}

#[test]
fn curl_is_told_of_fields_without_end_and_the_connection_serves_on() {
    let url = "$ONE_URL/users/1";
    // More than the words of a command may hold.
    let fields = "m=$(printf '%8000s' | tr ' ' m); for n in 1 2 3 4 5 6 7 8 9 10 11 12; do set -- \"$@\" -H \"x-much: $m\"; done";
    let script = format!(
        "{fields}; curl -sS --http2-prior-knowledge -o /dev/null -w '%{{http_code}} ' \"$@\" {url}?probe=curl-much; \
         curl -sS --http2-prior-knowledge {url}"
    );
    let done = scene().sh("tester", &script);
    assert!(!done.out().starts_with("200") && done.out().ends_with(MASKED), "{}", done.all());
    assert!(!scene().seen().iter().any(|seen| seen.to_string().contains("curl-much")), "it was sent");
}
