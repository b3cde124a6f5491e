use super::*;
use crate::testkit::Numbers;
use flate2::{Compress, Compression, Crc, FlushCompress};
use zstd_safe::{CCtx, CParameter};

const TEXT: &[u8] = br#"{"id": 1, "note": "one two three two one", "ssn": "536-22-8391"}
"#;

/// Of Google's encoder: [`TEXT`] three times.
const BR: &str = "1bc200f89d0576db05f1ef499a43653566940a6e7b20734b953d4350a7535a960a4133edae2f4072908d324c05a0d0a48c8b3725eb074e65c8afe458bc0a94f712678e65bddb1ea7b100";
/// The same with a window of 16 MiB.
const BR_WIDE: &str = "1fc200f89d0576db05f1ef499a43653566940a6e7b20734b953d4350a7535a960a4133edae2f4072908d324c05a0d0a48c8b3725eb074e65c8afe458bc0a94f712678e65bddb1ea7b100";
/// 8 MiB of zeros.
const BR_BOMB: &str = "cbffff3ff82700e2b14020f7fe6f";
const BR_FLUSHED: [&str; 3] = ["0b0580646174613a206f6e650a0a", "5000805f5ae18dee4e11a24a04600b", "03"];

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn deflated(data: &[u8], zlib: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 1024);
    let mut stream = Compress::new(Compression::default(), zlib);
    stream.compress_vec(data, &mut out, FlushCompress::Finish).unwrap();
    out
}

fn member(data: &[u8], flags: u8, fields: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(data);
    let head = [&[0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 3], fields].concat();
    [&head[..], &deflated(data, false), &crc.sum().to_le_bytes(), &crc.amount().to_le_bytes()].concat()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    member(data, 0, b"")
}

fn zstd(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 1024);
    let mut context = CCtx::create();
    context.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
    context.compress2(&mut out, data).unwrap();
    out
}

/// What comes of pieces; an error if one of them, or the end, is refused.
fn decode(encodings: &[Encoding], pieces: &[&[u8]]) -> Result<Vec<u8>, Undecodable> {
    let mut decoder = Decoder::of(encodings).unwrap().unwrap();
    let mut out = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            let decoded = decoder.pull()?;
            assert!(decoded.len() <= DECODED_PIECE_BYTES_MAX);
            if decoded.is_empty() {
                break;
            }
            out.extend_from_slice(decoded);
        }
    }
    decoder.finish().map(|()| out)
}

/// One body in each coding.
fn samples() -> Vec<(Vec<Encoding>, Vec<u8>, Vec<u8>)> {
    let text = TEXT.repeat(3);
    vec![
        (vec![Encoding::Gzip], gzip(&text), text.clone()),
        (vec![Encoding::Gzip], [gzip(TEXT), gzip(b""), gzip(&TEXT.repeat(2))].concat(), text.clone()),
        (vec![Encoding::Gzip], member(&text, 0x0c, b"\x02\x00exname\0"), text.clone()),
        (vec![Encoding::Deflate], deflated(&text, true), text.clone()),
        (vec![Encoding::Deflate], deflated(&text, false), text.clone()),
        (vec![Encoding::Br], bytes(BR), text.clone()),
        (vec![Encoding::Br], bytes(&BR_FLUSHED.concat()), b"data: one\n\ndata: two\n\n".to_vec()),
        (vec![Encoding::Zstd], zstd(&text), text.clone()),
        (vec![Encoding::Zstd], [zstd(TEXT), zstd(b""), zstd(&TEXT.repeat(2))].concat(), text.clone()),
        (vec![Encoding::Br, Encoding::Gzip], gzip(&bytes(BR)), text.clone()),
        (vec![Encoding::Gzip, Encoding::Identity, Encoding::Zstd], zstd(&gzip(&text)), text),
    ]
}

#[test]
fn every_coding_is_undone_however_it_is_cut_and_not_without_its_end() {
    for (encodings, encoded, text) in samples() {
        let all: Vec<&[u8]> = encoded.chunks(1).collect();
        assert_eq!(decode(&encodings, &all).as_deref(), Ok(&text[..]), "{encodings:?}");
        for at in 0..encoded.len() {
            let (a, b) = encoded.split_at(at);
            assert_eq!(decode(&encodings, &[a, b]).as_deref(), Ok(&text[..]), "{encodings:?} cut at {at}");
        }
    }
    for (encodings, encoded, text) in samples() {
        for at in 1..encoded.len() {
            // The end of a member or frame, where another follows, is an end.
            let cut = decode(&encodings, &[&encoded[..at]]);
            assert!(
                cut == Err(CUT) || cut.as_ref().is_ok_and(|cut| text.starts_with(cut)),
                "{encodings:?} at {at}"
            );
        }
        assert_eq!(decode(&encodings, &[&encoded[..encoded.len() - 1]]), Err(CUT), "{encodings:?}");
    }
}

#[test]
fn what_stands_behind_the_end_is_refused() {
    for (encodings, encoded, _) in samples() {
        for behind in [&b"\0"[..], b"GET / HTTP/1.1", &bytes(BR)] {
            assert!(decode(&encodings, &[&encoded, behind]).is_err(), "{encodings:?}");
            assert!(decode(&encodings, &[&[&encoded[..], behind].concat()]).is_err(), "{encodings:?}");
        }
    }
    assert_eq!(decode(&[Encoding::Gzip], &[&gzip(b"a"), b"b"]), Err(BEHIND));
}

#[test]
fn a_changed_bit_gives_nothing_that_was_not_encoded_where_there_is_a_checksum() {
    for (encodings, encoded, text) in samples() {
        let summed =
            encodings[0] != Encoding::Br && !(encodings == [Encoding::Deflate] && encoded[0] != 0x78);
        for bit in 0..encoded.len() * 8 {
            let mut changed = encoded.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let decoded = decode(&encodings, &[&changed]);
            assert!(!summed || decoded.is_err() || decoded.as_ref() == Ok(&text), "{encodings:?}, bit {bit}");
        }
    }
}

#[test]
fn random_bytes_are_refused_and_nothing_else() {
    let mut numbers = Numbers::new(7);
    for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Br, Encoding::Zstd] {
        for _ in 0..3_000 {
            let noise: Vec<u8> = (0..numbers.below(200)).map(|_| numbers.below(256) as u8).collect();
            let cut = numbers.below(noise.len() + 1);
            let (a, b) = noise.split_at(cut);
            assert_eq!(decode(&[encoding], &[a, b]).ok(), decode(&[encoding], &[&noise]).ok());
        }
    }
}

#[test]
fn what_was_flushed_comes_out_without_what_follows() {
    let mut decoder = Decoder::of(&[Encoding::Br]).unwrap().unwrap();
    for (piece, expect) in BR_FLUSHED.iter().zip(["data: one\n\n", "data: two\n\n", ""]) {
        decoder.push(&bytes(piece));
        assert_eq!(decoder.pull(), Ok(expect.as_bytes()));
    }
    assert_eq!(decoder.finish(), Ok(()));

    let mut stream = Compress::new(Compression::default(), true);
    let mut decoder = Decoder::of(&[Encoding::Deflate]).unwrap().unwrap();
    for n in 0..2_000 {
        let event = format!("data: {n}\n\n");
        let mut out = Vec::with_capacity(256);
        stream.compress_vec(event.as_bytes(), &mut out, FlushCompress::Sync).unwrap();
        decoder.push(&out);
        assert_eq!(decoder.pull(), Ok(event.as_bytes()));
        assert_eq!(decoder.pull(), Ok(&b""[..]));
    }

    let mut context = CCtx::create();
    let mut decoder = Decoder::of(&[Encoding::Zstd]).unwrap().unwrap();
    for n in 0..2_000 {
        let event = format!("data: {n}\n\n");
        let mut out = Vec::with_capacity(256);
        {
            let mut to = zstd_safe::OutBuffer::around(&mut out);
            context.compress_stream(&mut to, &mut zstd_safe::InBuffer::around(event.as_bytes())).unwrap();
            assert_eq!(context.flush_stream(&mut to), Ok(0));
        }
        decoder.push(&out);
        assert_eq!(decoder.pull(), Ok(event.as_bytes()));
        assert_eq!(decoder.pull(), Ok(&b""[..]));
    }
}

#[test]
fn a_bomb_is_not_read_to_its_end() {
    let zeros = vec![0; 8 << 20];
    let bombs = [
        (vec![Encoding::Gzip], gzip(&zeros)),
        (vec![Encoding::Deflate], deflated(&zeros, true)),
        (vec![Encoding::Br], bytes(BR_BOMB)),
        (vec![Encoding::Zstd], zstd(&zeros)),
        (vec![Encoding::Gzip, Encoding::Gzip], gzip(&gzip(&zeros))),
        (vec![Encoding::Br, Encoding::Zstd], zstd(&bytes(BR_BOMB))),
    ];
    for (encodings, bomb) in bombs {
        let mut decoder = Decoder::of(&encodings).unwrap().unwrap();
        decoder.push(&bomb);
        let mut came = 0;
        let why = loop {
            match decoder.pull() {
                Ok(piece) => came += piece.len() as u64,
                Err(why) => break why,
            }
        };
        let most = DECODED_FREE_BYTES + DECODED_RATIO_MAX * bomb.len() as u64;
        assert!(why == BOMB && came <= most, "{encodings:?}: {came} bytes of {}", bomb.len());
        assert_eq!(decoder.pull(), Err(BOMB), "it stays refused");
        assert_eq!(decoder.finish(), Err(BOMB));
    }
    // What is small is none, however well it was packed; and nothing is decoded that nobody asks for.
    let small = gzip(&zeros[..DECODED_FREE_BYTES as usize]);
    assert_eq!(decode(&[Encoding::Gzip], &[&small]).unwrap().len() as u64, DECODED_FREE_BYTES);
}

#[test]
fn what_says_nothing_is_read_up_to_a_limit() {
    let empty = gzip(b"");
    let members = |n: usize| decode(&[Encoding::Gzip], &[&empty.repeat(n)]);
    let most = PADDING_FREE_BYTES as usize / empty.len();
    assert_eq!(members(most), Ok(Vec::new()));
    assert_eq!(members(most + 1), Err(PADDED));
    // A skippable frame of zstd, and the longest name of a gzip member.
    let skipped = |n: u32| [&[0x50, 0x2a, 0x4d, 0x18], &n.to_le_bytes()[..], &vec![7; n as usize]].concat();
    assert!(decode(&[Encoding::Zstd], &[&skipped(60_000)]).is_ok());
    assert_eq!(decode(&[Encoding::Zstd], &[&skipped(70_000)]), Err(PADDED));
    let named = |n: usize| member(b"a", 8, &[&vec![b'n'; n][..], b"\0"].concat());
    assert_eq!(decode(&[Encoding::Gzip], &[&named(GZIP_HEADER_BYTES_MAX - 11)]).as_deref(), Ok(&b"a"[..]));
    let long = named(GZIP_HEADER_BYTES_MAX - 10);
    let (a, b) = long.split_at(GZIP_HEADER_BYTES_MAX);
    assert!(decode(&[Encoding::Gzip], &[&long]).is_err() && decode(&[Encoding::Gzip], &[a, b]).is_err());
}

#[test]
fn windows_and_dictionaries_have_limits() {
    assert!(decode(&[Encoding::Br], &[&bytes(BR)]).is_ok());
    assert_eq!(
        decode(&[Encoding::Br], &[&bytes(BR_WIDE)]),
        Err(Undecodable("the window of a br stream is larger than 8 MiB"))
    );
    // The larger windows of another format.
    assert!(decode(&[Encoding::Br], &[&[0x11, 0x17, 0x3b]]).is_err());
    let frame = |head: &[u8]| [&[0x28, 0xb5, 0x2f, 0xfd], head, &[1, 0, 0]].concat();
    assert_eq!(decode(&[Encoding::Zstd], &[&frame(&[0x20, 0])]), Ok(Vec::new()));
    assert!(decode(&[Encoding::Zstd], &[&frame(&[0x21, 7, 0])]).is_err(), "a dictionary");
    assert_eq!(decode(&[Encoding::Zstd], &[&frame(&[0, 13 << 3])]), Ok(Vec::new()));
    assert!(decode(&[Encoding::Zstd], &[&frame(&[0, 13 << 3 | 1])]).is_err(), "more than 8 MiB");
    // zlib's header with a dictionary.
    assert!(decode(&[Encoding::Deflate], &[&[0x78, 0xbb, 0, 0, 0, 1, 3, 0, 0, 0, 0, 1]]).is_err());
}

#[test]
fn what_is_not_known_is_not_undone() {
    assert!(Decoder::of(&[]).unwrap().is_none());
    assert!(Decoder::of(&[Encoding::Identity]).unwrap().is_none());
    assert!(Decoder::of(&[Encoding::Gzip, Encoding::Unknown]).is_err());
    assert!(Decoder::of(&[Encoding::Gzip; CODINGS_MAX]).is_ok());
    assert!(Decoder::of(&[Encoding::Gzip; CODINGS_MAX + 1]).is_err());
    // Some services name a coding and send nothing.
    for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Br, Encoding::Zstd] {
        assert_eq!(decode(&[encoding], &[]), Ok(Vec::new()));
        assert_eq!(decode(&[encoding], &[b""]), Ok(Vec::new()));
    }
}
