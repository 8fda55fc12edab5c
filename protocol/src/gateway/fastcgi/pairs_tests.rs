//! Pairs of every length.

use super::*;
use proptest::prelude::*;

type Pair<'a> = (&'a [u8], &'a [u8]);

fn all(block: &[u8]) -> Vec<Result<Pair<'_>, CutOff>> {
    decode(block).collect()
}

#[test]
fn lengths_take_one_byte_or_four() {
    let mut block = BytesMut::new();
    encode(&[b'a'; 127], &[b'b'; 128], &mut block).unwrap();
    assert_eq!(block[..5], [127, 0x80, 0, 0, 128]);
    assert_eq!(all(&block), [Ok((&[b'a'; 127][..], &[b'b'; 128][..]))]);
    assert_eq!(all(b"\x80\0\0\x01\x80\0\0\0a"), [Ok((&b"a"[..], &b""[..]))]);
}

#[test]
fn a_pair_past_the_end_is_the_last() {
    let check = |block: &[u8], length| assert_eq!(all(block), [Err(CutOff { length })], "{block:?}");
    check(b"\x01", 0);
    check(b"\x80\0\0", 0);
    check(b"\x01\x80\0\0", 0);
    check(b"\x01\x01a", 2);
    check(b"\x05\0abcd", 5);
    check(b"\xff\xff\xff\xff\xff\xff\xff\xff", 0xffff_fffe);
    assert_eq!(all(b"\0\0\x01\0"), [Ok((&b""[..], &b""[..])), Err(CutOff { length: 1 })]);
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        pairs in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..300), prop::collection::vec(any::<u8>(), 0..300)), 0..10),
    ) {
        let mut block = BytesMut::new();
        for (name, value) in &pairs {
            encode(name, value, &mut block).unwrap();
        }
        let read: Result<Vec<_>, _> =
            decode(&block).map(|pair| pair.map(|(name, value)| (name.to_vec(), value.to_vec()))).collect();
        prop_assert_eq!(read, Ok(pairs));
    }

    #[test]
    fn anything_ends(block in prop::collection::vec(any::<u8>(), 0..200)) {
        let read = all(&block);
        prop_assert!(read.len() <= block.len() / 2 + 1);
        let taken: usize = read.iter().flatten().map(|(name, value)| name.len() + value.len() + 2).sum();
        prop_assert!(taken <= block.len());
    }
}
