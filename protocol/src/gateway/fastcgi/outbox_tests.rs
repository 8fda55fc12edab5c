//! Turns, and what goes before them.

use super::{super::tests::lines, *};

fn push(outbox: &mut Outbox, id: u16, head: &[u8], body: Bytes) {
    outbox.push(id, head, [body].into());
}

/// Everything to write, in writes of at most `most` bytes.
fn write(outbox: &mut Outbox, most: usize) -> Vec<u8> {
    let mut output = Vec::new();
    loop {
        let part: Vec<u8> = outbox.chunks().flatten().copied().take(most).collect();
        if part.is_empty() {
            return output;
        }
        outbox.advance(part.len());
        output.extend(part);
    }
}

/// Type, id and length of each record.
fn shape(bytes: &[u8]) -> Vec<(u8, u16, u16)> {
    let mut shape = Vec::new();
    let mut rest = bytes;
    while let Some((head, content)) = rest.split_first_chunk() {
        let header = Header::decode(*head).unwrap();
        shape.push((header.kind, header.id, header.length));
        rest = &content[usize::from(header.length) + usize::from(header.padding)..];
    }
    shape
}

#[test]
fn a_small_answer_is_one_slice() {
    let mut outbox = Outbox::default();
    push(&mut outbox, 1, b"head", Bytes::from_static(b"body"));
    assert_eq!(outbox.chunks().count(), 1);
    assert_eq!(
        lines(&write(&mut outbox, 1)),
        ["6 1 headbody", "6 1 ", "3 1 \\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00"]
    );
}

#[test]
fn an_empty_answer_is_an_end() {
    let mut outbox = Outbox::default();
    push(&mut outbox, 1, b"", Bytes::new());
    assert_eq!(shape(&write(&mut outbox, 100)), [(6, 1, 0), (3, 1, 8)]);
}

#[test]
fn a_long_body_is_sliced_and_not_copied() {
    let body = Bytes::from(vec![7; 100_000]);
    let mut outbox = Outbox::default();
    push(&mut outbox, 1, b"head", body.clone());
    let inside = body.as_ptr_range();
    assert_eq!(outbox.chunks().filter(|chunk| inside.contains(&chunk.as_ptr())).count(), 2);
    let output = write(&mut outbox, 1000);
    let full = u16::try_from(RECORD_MAX).unwrap();
    let last = u16::try_from(100_004 - 3 * RECORD_MAX).unwrap();
    assert_eq!(
        shape(&output),
        [(6, 1, full), (6, 1, full), (6, 1, full), (6, 1, last), (6, 1, 0), (3, 1, 8)]
    );
}

#[test]
fn a_body_in_pieces_is_sent_in_their_order_and_not_copied() {
    let pieces = [vec![1; 10], vec![], vec![2; 40_000], vec![3; 5_000]].map(Bytes::from);
    let mut outbox = Outbox::default();
    outbox.push(1, b"head", pieces.clone().into());
    let inside = |chunk: &[u8]| pieces.iter().any(|piece| piece.as_ptr_range().contains(&chunk.as_ptr()));
    assert!(outbox.chunks().any(inside));
    let output = write(&mut outbox, 1000);
    let full = u16::try_from(RECORD_MAX).unwrap();
    assert_eq!(
        shape(&output),
        [(6, 1, 14), (6, 1, full), (6, 1, 7_232), (6, 1, 5_000), (6, 1, 0), (3, 1, 8)]
    );
    let mut content = Vec::new();
    let mut rest = &output[..];
    while let Some((head, more)) = rest.split_first_chunk() {
        let header = Header::decode(*head).unwrap();
        let (this, next) = more.split_at(header.length.into());
        content.extend_from_slice(if header.kind == 6 { this } else { &[] });
        rest = &next[usize::from(header.padding)..];
    }
    assert_eq!(content, [b"head", &pieces.concat()[..]].concat());
}

#[test]
fn answers_take_turns_record_by_record() {
    let mut outbox = Outbox::default();
    for id in 1..=3 {
        push(&mut outbox, id, b"h", Bytes::from(vec![id.to_be_bytes()[1]; 4 * RECORD_MAX - 1]));
    }
    let shape = shape(&write(&mut outbox, 4096));
    let ids: Vec<_> = shape.iter().filter(|(.., length)| *length > 8).map(|(_, id, _)| *id).collect();
    assert_eq!(
        ids,
        [1, 1, 1, 2, 3, 1, 2, 3, 2, 3, 2, 3],
        "two of the first were framed when the others came"
    );
}

#[test]
fn a_small_record_overtakes_what_is_not_framed() {
    let mut outbox = Outbox::default();
    push(&mut outbox, 1, b"", Bytes::from(vec![0; 1 << 20]));
    outbox.push_small(&super::super::record::unknown_type(9));
    let output = write(&mut outbox, 10_000);
    let at = shape(&output).iter().position(|(kind, ..)| *kind == 11).unwrap();
    assert_eq!(at, AHEAD / RECORD_MAX);
    assert_eq!(output.iter().filter(|byte| **byte == 9).count(), 1);
}

#[test]
fn a_short_answer_does_not_wait_for_a_long_one() {
    let mut outbox = Outbox::default();
    push(&mut outbox, 1, b"", Bytes::from(vec![0; 10 << 20]));
    push(&mut outbox, 2, b"", Bytes::from_static(b"short"));
    let output = write(&mut outbox, 10_000);
    let at = shape(&output).iter().position(|record| *record == (3, 2, 8)).unwrap();
    assert!(at < 10, "{at}");
}

#[test]
fn an_answer_cut_short_still_ends() {
    let mut outbox = Outbox::default();
    push(&mut outbox, 1, b"", Bytes::from(vec![0; 1 << 20]));
    assert_eq!((outbox.waiting(), outbox.contains(1)), (1, true));
    assert!(outbox.cut(1) && !outbox.cut(1));
    let shape = shape(&write(&mut outbox, 1 << 20));
    assert_eq!(shape[AHEAD / RECORD_MAX..], [(6, 1, 0), (3, 1, 8)]);
    assert_eq!((outbox.waiting(), outbox.unsent(), outbox.framed()), (0, 0, 0));
}

#[test]
fn a_long_head_goes_over_records() {
    let mut outbox = Outbox::default();
    push(&mut outbox, 1, &vec![b'h'; RECORD_MAX * 3], Bytes::from_static(b"body"));
    let output = write(&mut outbox, 777);
    assert_eq!(shape(&output).len(), 6);
    assert!(lines(&output)[3].ends_with("body"));
}

#[test]
fn only_so_much_is_framed_ahead() {
    let mut outbox = Outbox::default();
    for id in 1..=64 {
        push(&mut outbox, id, b"h", Bytes::from(vec![0; 1 << 20]));
    }
    assert!(outbox.framed() <= AHEAD + RECORD_MAX);
    assert!(outbox.unsent() > 64 << 20);
    while outbox.unsent() > 0 {
        outbox.advance(9999);
        assert!(outbox.framed() <= AHEAD + RECORD_MAX + 64 * 24, "{}", outbox.framed());
    }
}
