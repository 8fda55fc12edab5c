//! Forms.

use bytes::Bytes;
use predictd_protocol::inference::multipart::{Boundary, Part, parse};

/// The first line is the boundary, the rest a form. Parts lie in the form, in their order and apart; written and read again
/// they are the same.
pub fn multipart(data: &[u8]) {
    let Some(line) = data.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(text) = str::from_utf8(&data[..line]) else { return };
    if text.contains(['"', '\\']) {
        return;
    }
    let Ok(boundary) = Boundary::of(&format!("multipart/form-data; boundary=\"{text}\"")) else { return };
    let boundary = boundary.expect("this is the type of a form");
    let form = Bytes::copy_from_slice(&data[line + 1..]);
    let Ok(parts) = parse(&form, &boundary, MOST) else { return };
    assert!(parts.len() <= MOST);
    let mut free = form.as_ptr_range();
    for Part { name, filename, body, .. } in &parts {
        let range = body.as_ptr_range();
        assert!(body.is_empty() || free.start < range.start && range.end < free.end);
        free.start = free.start.max(range.end);
        assert!(name.len() + filename.as_ref().map_or(0, String::len) <= 3 * form.len());
    }
    if parts.iter().all(can_be_written) {
        let read = parse(&write(&parts, text), &boundary, MOST);
        assert_eq!(read.as_ref(), Ok(&parts));
    }
}

const MOST: usize = 8;

/// A name that came percent-encoded may hold what no header can, and quoted it may be too long.
fn can_be_written(part: &Part) -> bool {
    let fine =
        |text: &str| text.len() < 1000 && !text.contains(|character: char| character.is_ascii_control());
    fine(&part.name)
        && part.filename.as_deref().is_none_or(fine)
        && part.content_type.as_deref().is_none_or(fine)
}

fn write(parts: &[Part], boundary: &str) -> Bytes {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut form = Vec::new();
    for Part { name, filename, content_type, body } in parts {
        let mut head = format!("--{boundary}\r\nContent-Disposition: form-data; name={}", quoted(name));
        if let Some(filename) = filename {
            head += &format!("; filename={}", quoted(filename));
        }
        if let Some(content_type) = content_type {
            head += &format!("\r\nContent-Type: {content_type}");
        }
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(b"\r\n\r\n");
        form.extend_from_slice(body);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(format!("--{boundary}--").as_bytes());
    form.into()
}
