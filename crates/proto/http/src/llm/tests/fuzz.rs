//! No bytes panic, and a stream has one meaning however it is split.

use super::*;

const DIALECTS: [Dialect; 3] = [Dialect::Chat, Dialect::Responses, Dialect::Messages];

/// Pieces of which bodies and events are made; many are whole values, so that what they make is read far.
const WORDS: &[&str] = &[
    r#""model":"m","#,
    r#""messages":["#,
    r#""input":["#,
    r#""output":["#,
    r#""choices":["#,
    r#""content":["#,
    r#"{"role":"user","content":"x"},"#,
    r#"{"type":"text","text":"x"},"#,
    r#""tools":[{"type":"function"}],"#,
    r#"{"type":"tool_use","id":"t","name":"n","input":{"a":1}},"#,
    r#""delta":{"content":"x"},"#,
    r#""index":0,"#,
    r#""index":18446744073709551615,"#,
    r#""output_index":-1,"#,
    r#""output_index":0,"#,
    r#""stream":1e9,"#,
    r#""item":{"type":"function_call","call_id":"c","name":"n","arguments":"{"},"#,
    r#""delta":"x","#,
    r#""type":"response.output_item.done","#,
    r#""type":"response.output_text.delta","#,
    r#""type":"message_start","#,
    r#""message":{"model":"m"},"#,
    r#""type":"content_block_start","#,
    r#""type":"content_block_delta","#,
    r#""content_block":{"type":"text"},"#,
    r#""delta":{"type":"text_delta","text":"x"},"#,
    r#""type":"message_stop","#,
    r#""delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"n"}}]},"#,
    r#""finish_reason":"stop","#,
    "{",
    "}",
    "[",
    "]",
    "}]",
    ",",
    ":",
    "\"",
    "\\",
    "\\ud800",
    "null",
    "1",
    " ",
    "data: {",
    "data:",
    "event: error",
    "data: [DONE]",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    ": c\n",
    "}\n\n",
    "}]}\n\n",
    "\"e\":0}\n\n",
    "]}\n\n",
    "\u{feff}",
    "ä",
];

fn outcome(dialect: Dialect, bytes: &[u8], cuts: &[usize]) -> Result<(Vec<Call>, Answer), Unreadable> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for cut in cuts {
        let (front, back) = rest.split_at((*cut).min(rest.len()));
        pieces.push(front);
        rest = back;
    }
    pieces.push(rest);
    streamed(dialect, &pieces)
}

#[test]
fn random_words_do_not_panic_and_are_one_stream_however_split() {
    let (mut numbers, mut read) = (Numbers::new(0x5eed), 0);
    for _ in 0..30_000 {
        let text = numbers.text(WORDS, 24);
        for dialect in DIALECTS {
            let _ = (prompt(dialect, text.as_bytes()), answer(dialect, text.as_bytes()));
            let cuts = [numbers.below(9), numbers.below(40), numbers.below(3)];
            let whole = outcome(dialect, text.as_bytes(), &[]);
            assert!(outcome(dialect, text.as_bytes(), &cuts) == whole, "{text:?} at {cuts:?}");
            read += usize::from(whole.is_ok());
        }
    }
    assert!(read > 0, "nothing was read to its end");
}

/// Shapes that are read to their end; each byte of each is replaced.
#[test]
fn changed_bytes_do_not_panic() {
    let bodies = [
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"}]},
            {"role":"assistant","tool_calls":[
            {"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":[1]}"}}]}],"tools":[]}"#,
        r#"{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
            {"role":"user","content":"x"}]}"#,
        r#"{"model":"m","system":"s","messages":[{"role":"assistant","content":[
            {"type":"tool_use","id":"t","name":"n","input":{}}]}]}"#,
        r#"{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#,
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n\
         data: [DONE]\n\n",
        "data: {\"type\":\"message_start\",\"message\":{}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
    ];
    let replacements = [0, b'"', b'\\', b'{', b'}', b'[', b',', b':', b'\n', b'\r', b'9', b'-', 0x80, 0xff];
    for body in bodies {
        for at in 0..body.len() {
            for replacement in replacements {
                let mut bytes = body.as_bytes().to_vec();
                bytes[at] = replacement;
                for dialect in DIALECTS {
                    let _ = (prompt(dialect, &bytes), answer(dialect, &bytes));
                    let _ = outcome(dialect, &bytes, &[at]);
                }
            }
        }
    }
}
