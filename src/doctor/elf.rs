//! Which libraries a shared library needs, read from its file without loading it.
//!
//! 64-bit little-endian ELF, as on every machine that ONNX Runtime is made for. Nothing is trusted: every offset is checked,
//! and every loop has an end.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// What the dynamic section says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dynamic {
    /// Names of libraries.
    pub(super) needed: Vec<String>,
    /// Where to look for them first, `$ORIGIN` in place.
    pub(super) search: Vec<String>,
}

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const NEEDED: u64 = 1;
const STRING_TABLE: u64 = 5;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;

const HEADERS_MAX: usize = 256;
const ENTRIES_MAX: usize = 4096;
const NAME_MAX: usize = 4096;

/// Reads it.
pub(super) fn dynamic(path: &Path) -> io::Result<Dynamic> {
    let file = File::open(path)?;
    let read = |offset: u64, length: usize| -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match file.read_at(&mut bytes[filled..], offset.checked_add(filled as u64)?).ok()? {
                0 => break,
                more => filled += more,
            }
        }
        bytes.truncate(filled);
        Some(bytes)
    };
    parse(&read).ok_or_else(|| io::Error::other("it is no 64-bit ELF library"))
}

fn parse(read: &dyn Fn(u64, usize) -> Option<Vec<u8>>) -> Option<Dynamic> {
    let head = read(0, 64)?;
    // Magic, 64 bits, little-endian.
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = u64_at(&head, 32)?;
    let size = usize::from(u16_at(&head, 54)?);
    let count = usize::from(u16_at(&head, 56)?).min(HEADERS_MAX);
    let (mut loads, mut section) = (Vec::new(), None);
    for number in 0..count {
        let header = read(table.checked_add((number * size) as u64)?, 56)?;
        let (kind, offset, address, length) =
            (u32_at(&header, 0)?, u64_at(&header, 8)?, u64_at(&header, 16)?, u64_at(&header, 32)?);
        match kind {
            LOAD => loads.push((address, offset, length)),
            DYNAMIC => section = Some((offset, length)),
            _ => {}
        }
    }
    let Some((offset, length)) = section else { return Some(Dynamic::default()) };
    let entries = read(offset, usize::try_from(length).ok()?.min(ENTRIES_MAX * 16))?;
    let entries: Vec<(u64, u64)> = entries
        .chunks_exact(16)
        .map_while(|entry| Some((u64_at(entry, 0)?, u64_at(entry, 8)?)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let (_, strings) = *entries.iter().find(|(tag, _)| *tag == STRING_TABLE)?;
    let strings = loads.iter().find_map(|(address, offset, length)| {
        let inside = strings.checked_sub(*address)?;
        (inside < *length).then(|| offset.checked_add(inside))?
    })?;
    let string = |at: u64| -> Option<String> {
        let bytes = read(strings.checked_add(at)?, NAME_MAX)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        String::from_utf8(bytes[..end].to_vec()).ok()
    };
    let mut dynamic = Dynamic::default();
    for (tag, value) in entries {
        match tag {
            NEEDED => dynamic.needed.push(string(value)?),
            RPATH | RUNPATH => dynamic.search.extend(string(value)?.split(':').map(str::to_owned)),
            _ => {}
        }
    }
    Some(dynamic)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_program_needs_the_c_library() {
        let dynamic = dynamic(&std::env::current_exe().unwrap()).unwrap();
        assert!(dynamic.needed.iter().any(|name| name == "libc.so.6"), "{dynamic:?}");
    }

    #[test]
    fn what_is_no_library_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.so");
        for content in [&b""[..], b"x", b"\x7fELF\x01\x01", &[0x7f; 100]] {
            std::fs::write(&path, content).unwrap();
            assert!(dynamic(&path).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_damaged_library_ends(changes in proptest::collection::vec((0usize..8192, any::<u8>()), 0..30)) {
            let mut bytes = std::fs::read("/proc/self/exe").unwrap();
            bytes.truncate(1 << 20);
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            let _ = parse(&|offset, length| {
                let from = usize::try_from(offset).ok()?.min(bytes.len());
                Some(bytes[from..from.saturating_add(length).min(bytes.len())].to_vec())
            });
        }
    }
}
