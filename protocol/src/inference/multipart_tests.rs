//! Forms as clients send them, forms cut off, and what is none.

use super::*;

fn boundary(content_type: &str) -> Boundary {
    Boundary::of(content_type).unwrap().unwrap()
}

fn parse_text(text: &str) -> Result<Vec<Part>, Error> {
    parse(&Bytes::copy_from_slice(text.as_bytes()), &Boundary("x".into()), 10)
}

/// `\n` for the ends of lines.
fn lines(text: &str) -> String {
    text.replace('\n', "\r\n")
}

fn part(name: &str, filename: Option<&str>, content_type: Option<&str>, body: &'static str) -> Part {
    Part {
        name: name.into(),
        filename: filename.map(Into::into),
        content_type: content_type.map(Into::into),
        body: Bytes::from_static(body.as_bytes()),
    }
}

#[test]
fn forms_of_curl_and_of_browsers_are_read() {
    let curl = "--x\nContent-Disposition: form-data; name=\"file\"; filename=\"7.png\"\nContent-Type: image/png\n\nPNG\n--x--\n";
    assert_eq!(parse_text(&lines(curl)), Ok(vec![part("file", Some("7.png"), Some("image/png"), "PNG")]));
    let browser = "--x\nContent-Disposition: form-data; name=\"token\"\n\nabc\n--x\n\
        Content-Disposition: form-data; name=\"a b\"; filename=\"\"\nContent-Type: application/octet-stream\n\n\n--x\n\
        content-type: Text/Plain; charset=utf-8\ncontent-disposition: FORM-DATA; filename=\"ü.txt\"; name=a\n\n\
        hello\n\n--x--";
    assert_eq!(
        parse_text(&lines(browser)),
        Ok(vec![
            part("token", None, None, "abc"),
            part("a b", Some(""), Some("application/octet-stream"), ""),
            part("a", Some("ü.txt"), Some("text/plain"), "hello\r\n"),
        ])
    );
}

#[test]
fn a_boundary_is_one_only_as_a_whole_line() {
    let head = "--x\nContent-Disposition: form-data; name=a\n\n";
    for (content, expected) in [
        ("--x", "--x"),
        ("a\n--xy\nb", "a\r\n--xy\r\nb"),
        ("a\n--x y", "a\r\n--x y"),
        ("a--x\n", "a--x\r\n"),
        ("\n\n", "\r\n\r\n"),
        ("a\n--", "a\r\n--"),
    ] {
        // The first would be a delimiter at the beginning of a line.
        let begin = if content == "--x" { " " } else { "" };
        let form = lines(&format!("{head}{begin}{content}\n--x--\nepilogue\n--x\n"));
        let parts = parse_text(&form).unwrap();
        assert_eq!(parts.len(), 1, "{content:?}");
        assert_eq!(parts[0].body, format!("{begin}{expected}"), "{content:?}");
    }
}

#[test]
fn what_may_stand_around_parts_is_skipped() {
    let whole = "Content-Disposition: form-data; name=a\n\n1\n--x \t \nContent-Disposition: form-data; name=b\n\n--x--";
    let expected = Ok(vec![part("a", None, None, "1"), part("b", None, None, "")]);
    for before in ["", "preamble\n", "\n", "--y\n--xy\n"] {
        for behind in ["", "\n", "  \nepilogue", "\n--x\nanother form"] {
            let form = lines(&format!("{before}--x\n{whole}{behind}"));
            assert_eq!(parse_text(&form), expected, "{form:?}");
        }
    }
    assert_eq!(parse_text("--x--"), Ok(vec![]));
    assert_eq!(parse_text("--x--\r\n"), Ok(vec![]));
}

#[test]
fn a_form_cut_anywhere_is_no_form() {
    let whole = lines(
        "--x\nContent-Disposition: form-data; name=a\n\none\n--x\nContent-Disposition: form-data; name=b\n\ntwo\n--x--",
    );
    for length in 0..whole.len() {
        let error = parse_text(&whole[..length]).expect_err(&whole[..length]);
        assert!(matches!(error, Error::NoBegin | Error::Truncated(1 | 2)), "{length}: {error}");
    }
    assert_eq!(parse_text(&whole).unwrap().len(), 2);
}

#[test]
fn what_is_no_form_is_said() {
    let long = format!("--x\nA: {}\n\n", "a".repeat(HEAD));
    let many = format!("--x\n{}\n\n", "A: b\n".repeat(HEADERS + 1));
    let parts = format!("{}--x--", "--x\nContent-Disposition: form-data; name=a\n\n\n".repeat(11));
    let base64 = "--x\nContent-Disposition: form-data; name=a\nContent-Transfer-Encoding: base64\n\n\n--x--";
    for (form, expected) in [
        ("", Error::NoBegin),
        ("{\"inputs\": []}", Error::NoBegin),
        ("--y\nContent-Disposition: form-data; name=a\n\n1\n--y--", Error::NoBegin),
        ("--x\n\nno head\n--x--", Error::NoName(1)),
        ("--x\nContent-Disposition: attachment; name=a\n\n1\n--x--", Error::NoName(1)),
        ("--x\nContent-Disposition: form-data; filename=a\n\n1\n--x--", Error::NoName(1)),
        (
            "--x\nContent-Disposition: form-data; name=a\n\n1\n--x\nContent-Type: a/b\n\n\n--x--",
            Error::NoName(2),
        ),
        ("--x\nno header\n\n1\n--x--", Error::Head(1)),
        (&long, Error::HeadTooLarge(1)),
        (&many, Error::HeadTooLarge(1)),
        (&parts, Error::TooMany(10)),
        (base64, Error::TransferEncoding(1, "base64".into())),
    ] {
        assert_eq!(parse_text(&lines(form)), Err(expected), "{form}");
    }
    let bare = "--x\r\nContent-Disposition: form-data; name=a\r\n\n--x\r\n\r\n--x--";
    assert_eq!(parse_text(bare), Err(Error::Head(1)));
}

#[test]
fn parameters_are_quoted_or_not() {
    for (parameters, expected) in [
        ("name=a", Some("a")),
        (" name = a ; x=y", Some("a")),
        ("x=\"; name=b\"; NAME=\"a\"", Some("a")),
        ("x; name=a", Some("a")),
        (r#"name="a \"b\" \\ C:\dir; c""#, Some(r#"a "b" \ C:\dir; c"#)),
        ("name=\"a", Some("a")),
        ("name=", Some("")),
        ("filename=a", None),
        ("", None),
        ("name", None),
    ] {
        assert_eq!(parameter(parameters, "name").as_deref(), expected, "{parameters}");
    }
    let extended = "--x\nContent-Disposition: form-data; name=a; filename*=UTF-8''caf%C3%A9.png\n\n1\n--x--";
    assert_eq!(parse_text(&lines(extended)).unwrap()[0].filename.as_deref(), Some("café.png"));
}

#[test]
fn the_boundary_comes_with_the_content_type() {
    assert_eq!(boundary("multipart/form-data; boundary=x"), Boundary("x".into()));
    assert_eq!(
        boundary("Multipart/Form-Data ; charset=utf-8; Boundary=\"a b'()+_,-./:=?\""),
        Boundary("a b'()+_,-./:=?".into())
    );
    let longest = "b".repeat(70);
    assert_eq!(boundary(&format!("multipart/form-data; boundary={longest}")), Boundary(longest));
    for other in ["", "image/png", "multipart/mixed; boundary=x", "multipart/form-data-x; boundary=x"] {
        assert_eq!(Boundary::of(other), Ok(None), "{other}");
    }
    let too_long = format!("multipart/form-data; boundary={}", "b".repeat(71));
    for bad in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=ü",
        &too_long,
    ] {
        assert_eq!(Boundary::of(bad), Err(Error::Boundary), "{bad}");
    }
}

#[test]
fn parts_are_slices_of_the_body() {
    let form = Bytes::from(lines("--x\nContent-Disposition: form-data; name=a\n\nabc\n--x--"));
    let parts = parse(&form, &Boundary("x".into()), 1).unwrap();
    assert!(form.as_ptr_range().contains(&parts[0].body.as_ptr()));
}
