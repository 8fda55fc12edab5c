//! Records whole and in pieces.

use super::*;
use proptest::prelude::*;

/// The records of a stream that is fed in pieces of `size`.
fn cut(bytes: &[u8], size: usize) -> Result<Vec<(Header, Vec<u8>)>, Error> {
    let mut framer = Framer::default();
    let mut records = Vec::new();
    let mut open = None;
    for mut input in bytes.chunks(size) {
        while let Some(piece) = framer.piece(&mut input)? {
            match piece {
                Piece::Start(header) => assert!(open.replace((header, Vec::new())).is_none()),
                Piece::Content(part) => open.as_mut().unwrap().1.extend_from_slice(part),
                Piece::End => records.push(open.take().unwrap()),
            }
        }
        assert!(input.is_empty());
    }
    Ok(records)
}

#[test]
fn a_record_is_padded_to_eight_bytes_of_zero() {
    for (length, total) in [(0, 8), (1, 16), (7, 16), (8, 16), (9, 24), (65_535, 65_544)] {
        let mut output = BytesMut::new();
        put(STDOUT, 0x0102, &vec![0xff; length], &mut output).unwrap();
        assert_eq!(output.len(), total);
        assert_eq!(output[..4], [1, 6, 1, 2]);
        assert_eq!(output[7], 0);
        assert!(output[8 + length..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn fixed_bodies_are_as_the_specification_has_them() {
    let begin = Begin { role: 0x0102, flags: 3 };
    assert_eq!(begin.record(0x0405), [1, 1, 4, 5, 0, 8, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0]);
    assert_eq!(Begin::decode([1, 2, 3, 9, 9, 9, 9, 9]), begin);
    let end = End { app_status: 0x0102_0304, protocol_status: UNKNOWN_ROLE };
    assert_eq!(end.record(1), [1, 3, 0, 1, 0, 8, 0, 0, 1, 2, 3, 4, 3, 0, 0, 0]);
    assert_eq!(End::decode([1, 2, 3, 4, 3, 9, 9, 9]), end);
    assert_eq!(unknown_type(99)[8], 99);
    assert_eq!([REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED], [0, 1, 2]);
}

#[test]
fn a_stream_ends_with_an_empty_record() {
    let mut output = BytesMut::new();
    put_stream(STDIN, 1, &vec![7; 65_529], &mut output);
    let lengths: Vec<_> = cut(&output, 1000).unwrap().iter().map(|(header, _)| header.length).collect();
    assert_eq!(lengths, [65_528, 1, 0]);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        records in prop::collection::vec((any::<u8>(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        size in 1..50usize,
    ) {
        let mut output = BytesMut::new();
        for (kind, id, content) in &records {
            put(*kind, *id, content, &mut output).unwrap();
        }
        let read = cut(&output, size).unwrap();
        let read: Vec<_> = read.into_iter().map(|(header, content)| (header.kind, header.id, content)).collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn a_header_is_what_it_was(kind: u8, id: u16, length: u16, padding: u8) {
        let header = Header { kind, id, length, padding };
        prop_assert_eq!(Header::decode(header.encode()), Ok(header));
    }

    #[test]
    fn pieces_do_not_depend_on_the_cuts(bytes in prop::collection::vec(0..3u8, 0..400), size in 1..30usize) {
        prop_assert_eq!(cut(&bytes, size), cut(&bytes, 1000));
    }
}
