//! Frames and segments, and the rule that tells a torn tail from a hole.

use seal::frame::{
    BodyLength, Damage, FrameFault, Frames, HeaderError, Kind, SEGMENT_HEADER_BYTES, ScanEnd, SegmentHeader,
    encode_batch, encode_frame, later_batch, scan_segment,
};
use seal::limits::{BODY_BYTES_MAX, ORIGIN_BYTES_MAX};
use seal::testkit::sample;

fn header() -> SegmentHeader {
    SegmentHeader { number: 3, first_seq: 70, first_batch: 9, origin: "gateway.example/1".into() }
}

/// Three batches: a record; a payload and its record; two payloads and their record. With where each frame ends.
fn segment() -> (Vec<u8>, Vec<(Kind, usize, usize)>) {
    let mut out = header().encode().unwrap().to_vec();
    for (batch, payloads) in [(9, 0), (10, 1), (11, 2)] {
        let offset = out.len() as u64;
        encode_batch(batch, offset, &mut out);
        (0..payloads).for_each(|n| encode_frame(Kind::Payload, &[n; 600], &mut out).unwrap());
        encode_frame(Kind::Record, &[0xaa; 300], &mut out).unwrap();
    }
    out.resize(8192, 0);
    let frames = Frames::of_segment(&out).map(|f| f.unwrap()).map(|f| (f.kind, f.offset, f.end())).collect();
    (out, frames)
}

#[test]
fn a_header_is_read_as_it_was_written_and_no_byte_of_it_is_free() {
    let bytes = header().encode().unwrap();
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header()));
    assert_eq!(SegmentHeader::decode(&bytes[..511]), Err(HeaderError::Short));
    for i in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes;
            changed[i] ^= 1 << bit;
            assert!(SegmentHeader::decode(&changed).is_err(), "byte {i}");
        }
    }
    let named = |n: usize| SegmentHeader { origin: "x".repeat(n), ..header() };
    assert!(named(ORIGIN_BYTES_MAX).encode().is_ok());
    assert_eq!(named(ORIGIN_BYTES_MAX + 1).encode(), Err(HeaderError::Origin));
    assert_eq!(named(0).encode(), Err(HeaderError::Origin));
}

#[test]
fn a_body_has_one_byte_to_the_limit() {
    let mut out = Vec::new();
    assert_eq!(encode_frame(Kind::Payload, &[], &mut out), Err(BodyLength(0)));
    assert_eq!(
        encode_frame(Kind::Payload, &vec![1; BODY_BYTES_MAX + 1], &mut out),
        Err(BodyLength(BODY_BYTES_MAX + 1))
    );
    assert!(out.is_empty());
    encode_frame(Kind::Payload, &vec![1; BODY_BYTES_MAX], &mut out).unwrap();
    let frame = Frames::new(&out, 0).next().unwrap().unwrap();
    assert_eq!((frame.body.len(), frame.end()), (BODY_BYTES_MAX, out.len()));
    out[..4].copy_from_slice(&(BODY_BYTES_MAX as u32 + 1).to_be_bytes());
    out.push(0);
    assert_eq!(Frames::new(&out, 0).next().unwrap().unwrap_err().fault, FrameFault::Length);
}

#[test]
fn after_an_error_frames_give_nothing_more() {
    let (mut bytes, frames) = segment();
    bytes[frames[1].1 + 20] ^= 1;
    let read: Vec<bool> = Frames::of_segment(&bytes).map(|frame| frame.is_ok()).collect();
    assert_eq!(read, [true, false]);
}

#[test]
fn a_whole_segment_ends_where_its_frames_end() {
    let (bytes, frames) = segment();
    let end = frames.last().unwrap().2;
    assert_eq!(scan_segment(&bytes, true), ScanEnd::Whole { end, next_batch: 12 });
    assert_eq!(scan_segment(&bytes, false), ScanEnd::Whole { end, next_batch: 12 });
    let empty = [&header().encode().unwrap()[..], &[0; 100]].concat();
    assert_eq!(scan_segment(&empty, true), ScanEnd::Whole { end: SEGMENT_HEADER_BYTES, next_batch: 9 });
}

/// A disk that lost everything of the last batch from some byte on.
#[test]
fn a_cut_in_the_last_batch_keeps_what_is_whole() {
    let (bytes, frames) = segment();
    let last_batch = frames.iter().rposition(|(kind, ..)| *kind == Kind::Batch).unwrap();
    let end = frames.last().unwrap().2;
    for cut in frames[last_batch].1..end {
        let mut torn = bytes.clone();
        torn[cut..].fill(0);
        // What is kept ends behind the last record or batch frame that is whole.
        let kept = frames
            .iter()
            .filter(|(kind, _, end)| *kind != Kind::Payload && *end <= cut)
            .map(|f| f.2)
            .max()
            .unwrap();
        let next = if kept < frames[last_batch].2 { 11 } else { 12 };
        match scan_segment(&torn, true) {
            ScanEnd::Torn { end, next_batch, .. } => {
                assert_eq!((end, next_batch), (kept, next), "cut at {cut}")
            }
            ScanEnd::Whole { end, next_batch } => {
                assert_eq!((end, next_batch), (kept, next), "cut at {cut}");
                assert!(
                    bytes[end..cut].iter().all(|b| *b == 0),
                    "cut at {cut}: bytes were left behind the end"
                );
            }
            ScanEnd::Hole { at, .. } => panic!("cut at {cut}: a hole at {at}"),
        }
        assert!(!matches!(scan_segment(&torn, false), ScanEnd::Torn { .. }));
    }
}

/// A disk that lost or garbled one sector: in the last batch it is torn, before it it is a hole.
#[test]
fn damage_before_a_later_batch_is_a_hole_and_after_the_last_a_torn_tail() {
    let (bytes, frames) = segment();
    let last = frames.iter().rfind(|(kind, ..)| *kind == Kind::Batch).unwrap();
    let end = frames.last().unwrap().2;
    for i in SEGMENT_HEADER_BYTES..end {
        for xor in [0xff, 1] {
            let mut changed = bytes.clone();
            changed[i] ^= xor;
            match scan_segment(&changed, true) {
                ScanEnd::Hole { at, cause: Damage::Frame(_) } => assert!(at <= i && i < last.1, "byte {i}"),
                ScanEnd::Torn { end, cause: Damage::Frame(_), .. } => {
                    assert!(end <= i && i >= last.1, "byte {i}")
                }
                other => panic!("byte {i}: {other:?}"),
            }
            assert!(matches!(scan_segment(&changed, false), ScanEnd::Hole { .. }), "byte {i}");
        }
    }
    for i in end..bytes.len() {
        let mut changed = bytes.clone();
        changed[i] = 1;
        assert!(matches!(scan_segment(&changed, true), ScanEnd::Torn { end: kept, .. } if kept == end));
    }
}

/// A later batch counts as one only if it stands where it says and its number is higher.
#[test]
fn bytes_that_look_like_a_batch_elsewhere_do_not_make_a_hole() {
    let (bytes, frames) = segment();
    let end = frames.last().unwrap().2;
    let torn_at = frames[frames.len() - 1].1;
    for (number, offset, hole) in [(12, end + 100, true), (11, end + 100, false), (12, end + 101, false)] {
        let mut changed = bytes.clone();
        changed[torn_at + 30] ^= 1;
        let mut batch = Vec::new();
        encode_batch(number, offset as u64, &mut batch);
        changed[end + 100..end + 100 + batch.len()].copy_from_slice(&batch);
        let scanned = scan_segment(&changed, true);
        assert_eq!(matches!(scanned, ScanEnd::Hole { .. }), hole, "{number} at {offset}: {scanned:?}");
    }
}

#[test]
fn what_was_written_whole_and_is_wrong_is_never_a_torn_tail() {
    let whole = |frames: &dyn Fn(&mut Vec<u8>)| {
        let mut out = header().encode().unwrap().to_vec();
        frames(&mut out);
        out.resize(8192, 0);
        scan_segment(&out, true)
    };
    let hole = |scan: ScanEnd| matches!(scan, ScanEnd::Hole { .. });
    assert!(hole(whole(&|out| encode_frame(Kind::Record, b"r", out).unwrap())), "no batch frame first");
    assert!(hole(whole(&|out| encode_batch(10, 512, out))), "a number too high");
    assert!(hole(whole(&|out| encode_batch(9, 511, out))), "a wrong offset");
    assert!(hole(whole(&|out| {
        encode_batch(9, 512, out);
        encode_frame(Kind::Key, b"k", out).unwrap();
    })));
    assert!(hole(whole(&|out| {
        encode_batch(9, 512, out);
        encode_frame(Kind::Payload, b"p", out).unwrap();
        let offset = out.len() as u64;
        encode_batch(10, offset, out);
    })));
    assert!(hole(scan_segment(&[0; 8192], true)));
}

/// The sample ledger's segments are whole to the scanner too.
#[test]
fn the_sample_is_whole() {
    for segment in sample().segments {
        assert!(matches!(scan_segment(&segment, false), ScanEnd::Whole { .. }));
    }
}

/// A tail that is full of the magic of batches, under lengths of whole bodies, is read in one pass.
#[test]
fn a_hostile_tail_is_told_from_a_hole_in_no_time() {
    let mut bytes = header().encode().unwrap().to_vec();
    let unit = [&(BODY_BYTES_MAX as u32).to_be_bytes()[..], &[0; 4], b"BTACHOBAT"].concat();
    bytes.extend([0, 0, 0, 1]);
    bytes.extend(unit.repeat((16 << 20) / unit.len()));
    assert_eq!(later_batch(&bytes, SEGMENT_HEADER_BYTES, 0), None);
    let (offset, mut whole) = (bytes.len(), Vec::new());
    encode_batch(9, offset as u64, &mut whole);
    bytes.extend(whole);
    assert_eq!(later_batch(&bytes, SEGMENT_HEADER_BYTES, 9), Some(offset));
}
