use super::*;
use crate::limits::{CELLS_MAX, COLUMNS_MAX};

fn after(columns: u32, rows: u32, bytes: &[u8]) -> Screen {
    let mut screen = Screen::new(Size::new(columns, rows));
    screen.feed(bytes);
    screen
}

fn check(bytes: &[u8], expect: &[&str]) {
    let mut text = after(10, 3, bytes).text();
    text.truncate(text.iter().rposition(|row| !row.is_empty()).map_or(0, |at| at + 1));
    assert_eq!(text, expect, "{}", bytes.escape_ascii());
}

#[test]
fn a_screen_shows_what_a_person_saw() {
    check(b"hello\r\nworld", &["hello", "world"]);
    check(b"secret\rpublic", &["public"]);
    check(b"12\x083", &["13"]);
    check(b"abc\x1b[2Dx", &["axc"]);
    check(b"0123456789ab", &["0123456789", "ab"]);
    check(b"a\r\nb\r\nc\r\nd", &["b", "c", "d"]);
    check(b"shell\x1b[?1049h\x1b[Heditor\x1b[?1049l", &["shell"]);
    check(b"\x1b]0;title\x07a\x1b]52;c;cm0gLXJm\x1b\\b\x1bP+q\x1b\\c", &["abc"]);
    check(b"a\x7fb", &["ab"]);
    check("größe 数x".as_bytes(), &["größe 数x"]);
    check(b"\x1b(0qx\x1b(Bq", &["\u{2500}\u{2502}q"]);
}

#[test]
fn pieces_may_be_cut_anywhere() {
    let whole = "a\x1b[1;31mé\x1b[0m数\r\n\x1b]0;t\x1b\\\u{1f4a9}\x1b[2;5Hz".as_bytes();
    let expect = after(20, 4, whole).painted(20);
    for at in 0..=whole.len() {
        let mut screen = after(20, 4, &whole[..at]);
        screen.feed(&whole[at..]);
        assert_eq!(screen.painted(20), expect, "cut at {at}");
    }
}

#[test]
fn a_resize_wraps_lines_anew() {
    let mut screen = after(10, 3, b"0123456789ab");
    screen.resize(Size::new(20, 3));
    assert_eq!(screen.text()[0], "0123456789ab");
    assert_eq!(screen.size(), (20, 3));
    screen.resize(Size::new(u32::MAX, u32::MAX));
    assert_eq!(screen.size(), (1_000, 65));
}

#[test]
fn what_is_painted_is_text_and_colours() {
    let screen = after(10, 2, b"a\x1b[1;4;31mb\x1b[0;48;2;1;2;3mc\x1b[0m d  \r\nx\x1b[7my\x1b[5mz");
    let expect = ["a\x1b[0;1;4;38;5;1mb\x1b[0;48;2;1;2;3mc\x1b[0m d", "x\x1b[0;7myz"];
    let found = screen.painted(10);
    assert_eq!(found[0], expect[0]);
    assert!(
        found[1].starts_with(&expect[1][..expect[1].len() - 1]) && found[1].ends_with("\x1b[0m"),
        "{:?}",
        found[1]
    );
    assert_eq!(
        screen.painted(2)[0],
        "a\x1b[0;1;4;38;5;1mb\x1b[0m",
        "what is beyond the window is not painted"
    );
}

#[test]
fn a_character_that_is_wider_or_narrower_than_its_cell_is_replaced() {
    let screen = after(12, 1, "a\u{301}\u{202e}\u{200b}\u{2028}数b".as_bytes());
    assert_eq!(screen.painted(12), ["a\u{fffd}\u{fffd}\u{fffd}\u{fffd}数b"]);
    assert_eq!(screen.painted(6), ["a\u{fffd}\u{fffd}\u{fffd}\u{fffd}"], "half of a character is none");
}

#[test]
fn what_input_has_it_do_is_bounded() {
    let mut screen = after(10, 3, b"a");
    screen.work = 31;
    screen.feed(b"\x1b[J");
    assert!(!screen.exhausted());
    screen.feed(b"b");
    assert!(screen.exhausted(), "as much as may be, and no more");
    screen.feed(b"c\x1b[2J");
    screen.resize(Size::new(4, 4));
    assert_eq!((screen.text()[0].as_str(), screen.size()), ("ab", (10, 3)), "it stands still");
    let mut screen = after(10, 3, b"a");
    screen.work = 100;
    screen.feed(b"\x1b[65535b");
    assert!(screen.exhausted());
}

/// Whatever is fed: no panic, the screen has its size, and what is painted has no effect but colours.
#[test]
fn any_bytes_will_do() {
    let parts: [&[u8]; 24] = [
        b"\x1b[",
        b"\x1b]",
        b"\x1bP",
        b"\x1b_",
        b"\x1b",
        b";",
        b":",
        b"65535",
        b"0",
        b"7",
        b"?1049h",
        b"?1049l",
        b"?6h",
        b"2;3r",
        b"H",
        b"J",
        b"8;999;999t",
        b"b",
        b"\x9b",
        b"\xc2\x9b",
        "数".as_bytes(),
        b"\r\n",
        b"x",
        b"\x1b[4h",
    ];
    let letters = b"@ABCDEFGHIJKLMPSTXZ`abdefghlmnprstuWc";
    for seed in 1..=400u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % below as u64) as usize
        };
        let mut screen = Screen::new(Size::new(1 + next(30) as u32, 1 + next(12) as u32));
        for _ in 0..200 {
            match next(8) {
                0 => screen.resize(Size::new(1 + next(40) as u32, 1 + next(12) as u32)),
                1 => screen.feed(&[next(256) as u8, next(256) as u8]),
                2 => screen.feed(&[b'\x1b', b'[', b'0' + next(10) as u8, letters[next(letters.len())]]),
                _ => screen.feed(parts[next(parts.len())]),
            }
            let (columns, rows) = screen.size();
            assert!(columns * rows <= CELLS_MAX as usize && columns <= COLUMNS_MAX.into());
        }
        let (columns, rows) = screen.size();
        assert_eq!(screen.text().len(), rows);
        screen.painted(columns).iter().for_each(|row| harmless(row));
    }
}

fn harmless(row: &str) {
    let mut rest = row;
    while let Some(at) = rest.find(|c: char| c.is_control()) {
        let sequence = rest[at..].strip_prefix("\x1b[").expect("SGR alone");
        let end = sequence.find(|c: char| !matches!(c, '0'..='9' | ';')).unwrap();
        assert!(sequence[end..].starts_with('m'), "{row:?}");
        rest = &sequence[end..];
    }
}

#[test]
fn lines_are_read_over_their_rows() {
    let mut screen = after(10, 4, b"0123456789ab\r\nshort\r\nzz");
    assert_eq!(screen.lines()[..3], ["0123456789ab", "short", "zz"]);
    assert_eq!(after(10, 4, b"0123456789ab").line(), "0123456789ab");
    assert_eq!(after(10, 4, b"0123456789ab\x1b[A").line(), "0123456789ab", "from its first row, too");
    assert_eq!(after(10, 4, b"one\r\ntwo").line(), "two");
}

#[test]
fn the_cursor_is_at_the_end_where_nothing_stands_behind_it() {
    for (bytes, expect) in [
        (&b""[..], true),
        (b"abc", true),
        (b"abc\r", false),
        (b"abc\r\n", true),
        (b"a\r\nb\x1b[A", false),
        (b"a\x1b[3;5Hb\x1b[1;1H", false),
        (b"a\x1b[3;5H", true),
    ] {
        assert_eq!(after(10, 4, bytes).is_at_end(), expect, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_written_behind_all_else_moves_nothing_and_all_else_may() {
    let moved = |before: &[u8], then: &[u8]| {
        let mut screen = after(10, 3, before);
        let _before = screen.moved();
        let apart = !screen.is_at_end() || screen.is_coloured();
        screen.feed(then);
        screen.moved() || apart
    };
    for (before, then) in [
        (&b""[..], &b"a b"[..]),
        (b"a\r\n", b"b"),
        (b"a", b"b\r\n"),
        (b"a\x1b[1;31mred\x1b[0m\r\n", b"b"),
        (b"", b"\x1b[38:2:1:2:3mx\x1b[m"),
        (b"", b"wrapped over rows"),
    ] {
        assert!(!moved(before, then), "{} {}", before.escape_ascii(), then.escape_ascii());
    }
    for (before, then) in [
        (&b"abc"[..], &b"\x08x"[..]),
        (b"abc\r", b"x"),
        (b"abc\x1b", b"[1Dx"),
        (b"ab\x1b[0m", b"c"),
        (b"a", b"\tb"),
        (b"", b"abc\rx"),
        (b"\x1b[?7l", b"0123456789ab"),
        (b"", b"a\x1b[2;2Hb"),
        (b"", "a\u{9b}1Db".as_bytes()),
        (b"", b"a\x07b"),
        (b"a", b"\x00b"),
        (b"a", b"\x7fb"),
        (b"a", b"\x18b"),
        (b"a", b"\x1b]0;title\x07b"),
    ] {
        assert!(moved(before, then), "{} {}", before.escape_ascii(), then.escape_ascii());
    }
}
