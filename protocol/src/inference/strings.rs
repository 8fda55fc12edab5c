//! Many strings in one piece of memory. Each costs eight bytes besides its own, however short it is, so that a body of very
//! short ones does not become many times as large.

use bytes::Bytes;
use std::{
    fmt,
    ops::{Index, Range},
    sync::Arc,
};

/// The elements of a `BYTES` tensor: any bytes, not only text. A clone, and a [`part`](Self::part), copy nothing.
#[derive(Clone, Default)]
pub struct Strings {
    bytes: Bytes,
    /// Where each ends in `bytes`; the next begins there.
    ends: Arc<Vec<usize>>,
    /// Those that are ours.
    range: Range<usize>,
    /// Bytes in front of each that are not its own.
    gap: usize,
}

impl Strings {
    /// Strings that end at `ends` in `bytes`, with `gap` bytes in front of each.
    ///
    /// # Panics
    /// Where an end is before the one before it and the gap, or behind `bytes`.
    #[must_use]
    pub fn in_place(bytes: Bytes, ends: Vec<usize>, gap: usize) -> Self {
        let mut begin = 0usize;
        for end in &ends {
            assert!(begin.checked_add(gap).is_some_and(|begin| begin <= *end), "strings follow each other");
            begin = *end;
        }
        assert!(begin <= bytes.len(), "strings lie in their bytes");
        Self { bytes, range: 0..ends.len(), ends: Arc::new(ends), gap }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// They, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.range.clone().map(|at| self.at(at))
    }

    /// Some of them, not copied.
    ///
    /// # Panics
    /// Where there are not so many.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len(), "a part of what there is");
        let range = self.range.start + range.start..self.range.start + range.end;
        Self { range, ..self.clone() }
    }

    fn at(&self, at: usize) -> &[u8] {
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin + self.gap..self.ends[at]]
    }
}

impl Index<usize> for Strings {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        assert!(index < self.len(), "there are {} strings, and none at {index}", self.len());
        self.at(self.range.start + index)
    }
}

impl PartialEq for Strings {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|string| string.escape_ascii().to_string())).finish()
    }
}

impl<S: AsRef<[u8]>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut gathered = Gathered::default();
        strings.into_iter().for_each(|string| gathered.push(string.as_ref()));
        gathered.into()
    }
}

/// Strings as they come, one by one.
#[derive(Default)]
pub(super) struct Gathered {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Gathered {
    pub(super) fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
    }
}

impl From<Gathered> for Strings {
    fn from(Gathered { bytes, ends }: Gathered) -> Self {
        Self { bytes: bytes.into(), range: 0..ends.len(), ends: Arc::new(ends), gap: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_what_they_were_wherever_they_lie() {
        let gathered: Strings = ["a", "", "bcd"].into_iter().collect();
        let placed = Strings::in_place(Bytes::from_static(b"--a----bcd"), vec![3, 5, 10], 2);
        assert_eq!(gathered, placed);
        assert_eq!(format!("{placed:?}"), r#"["a", "", "bcd"]"#);
        assert_eq!((&placed[2], placed.len(), placed.iter().len()), (&b"bcd"[..], 3, 3));
        let part = placed.part(1..3);
        assert_eq!(part, ["", "bcd"].into_iter().collect());
        assert_eq!(part.part(1..2), ["bcd"].into_iter().collect());
        assert_eq!(&part[1], b"bcd");
        assert!(part.part(2..2).is_empty() && Strings::default().is_empty());
        assert_ne!(part, placed);
    }

    #[test]
    fn strings_that_are_not_there_have_no_place() {
        for (ends, gap) in
            [(vec![5], 0), (vec![2, 1], 0), (vec![1], 2), (vec![2, 3], 2), (vec![4], usize::MAX)]
        {
            let placed = || Strings::in_place(Bytes::from_static(b"abcd"), ends.clone(), gap);
            assert!(std::panic::catch_unwind(placed).is_err(), "{ends:?} {gap}");
        }
    }
}
