//! Forms: several pictures or rows in one request, as curl and browsers send them.

use crate::{
    harness::{Nginx, Pass, Reply, Server, program, read, source},
    wires,
};
use predictd_protocol::gateway::detect::Wire;
use serde_json::{Value, json};
use std::{fs, process::Command};

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=x");

/// A part: its headers without the disposition's type, and its content.
type Part<'a> = (&'a str, &'a [u8]);

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend_from_slice(b"--x\r\nContent-Disposition: form-data; ");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--x--\r\n");
    body
}

const PNG: &str = "name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png";

const BYTES: &str = "name=file; filename=a.bin\r\nContent-Type: application/octet-stream";

fn digit(number: usize) -> Vec<u8> {
    read(&format!("models/digits/samples/{number}.png"))
}

fn digits_form(numbers: &[usize]) -> Vec<u8> {
    let pictures: Vec<_> = numbers.iter().map(|number| digit(*number)).collect();
    form(&pictures.iter().map(|picture| (PNG, &picture[..])).collect::<Vec<_>>())
}

/// The best label of each result.
#[track_caller]
fn labels(answer: &Value) -> Vec<String> {
    let results = answer["results"].as_array().unwrap_or_else(|| panic!("{answer}"));
    results.iter().map(|result| result["classes"][0]["label"].as_str().unwrap().to_owned()).collect()
}

/// What the model makes of a picture's pixels, as its recipe has it.
fn raw_digit(number: usize) -> Vec<u8> {
    let picture = image::load_from_memory(&digit(number)).unwrap().into_luma8();
    picture.pixels().flat_map(|pixel| (f32::from(pixel.0[0]) / 255.0).to_le_bytes()).collect()
}

#[test]
fn each_file_is_a_result_in_the_order_of_the_form() {
    let server = Server::start();
    let numbers = [7, 3, 3, 1, 0, 9, 8, 2, 4, 5, 6];
    let expected: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    for wire in Wire::ALL {
        let ask = |body: &[u8]| wires::ask(&server, wire, "POST", "/predict/digits?top_k=2", &[FORM], body);
        let answer = ask(&digits_form(&numbers)).ok();
        assert_eq!(labels(&answer), expected, "{wire}");
        assert_eq!((&answer["model"], &answer["version"]), (&json!("digits"), &json!("1")));
        assert!(
            answer["results"]
                .as_array()
                .unwrap()
                .iter()
                .all(|result| { result["classes"].as_array().unwrap().len() == 2 })
        );
        // One is the same as without a form.
        let alone = wires::ask(&server, wire, "POST", "/predict/digits?top_k=2", &[], &digit(7));
        assert_eq!(ask(&digits_form(&[7])).body, alone.body, "{wire}");
    }
}

/// What a model takes whole has no rows, whatever its first dimension may be.
#[test]
fn a_file_for_a_model_without_rows_is_all_that_it_takes() {
    let server = Server::start();
    let numbers: Vec<u8> = [1.5f32, 2.5].iter().flat_map(|number| number.to_le_bytes()).collect();
    let ask =
        |target: &str, headers: &[(&str, &str)], body: &[u8]| server.ask("POST", target, headers, body).ok();
    let raw = ask("/predict/any_rank", &[("Content-Type", "application/octet-stream")], &numbers);
    let form = ask("/predict/any_rank", &[FORM], &form(&[(BYTES, &numbers)]));
    assert_eq!(form["results"], raw["results"]);
}

/// Whatever their size and format, and whatever is said of it.
#[test]
fn pictures_and_rows_may_be_mixed() {
    let server = Server::start();
    let large = image::load_from_memory(&digit(4)).unwrap().resize_exact(
        640,
        480,
        image::imageops::FilterType::Triangle,
    );
    let mut large_png = std::io::Cursor::new(Vec::new());
    large.write_to(&mut large_png, image::ImageFormat::Png).unwrap();
    let (two, five, rotated) = (digit(2), raw_digit(5), read("tests/data/images/rotated.jpg"));
    let webp = read("tests/data/images/webp_lossy.webp");
    let parts: [Part<'_>; 7] = [
        (PNG, &two),
        (BYTES, &five),
        ("name=a; filename=x", &rotated),
        // A blob of JavaScript has a type and no name of its own.
        ("name=b\r\nContent-Type: image/png", large_png.get_ref()),
        // What curl says of files that it does not know.
        (BYTES, &webp),
        ("name=c; filename=\"\"\r\nContent-Type: image/png", &two),
        ("name=\"d\"; filename=\"noname\"\r\ncontent-type:", &five),
    ];
    assert_eq!(
        labels(&server.ask("POST", "/predict/digits", &[FORM], &form(&parts)).ok()),
        ["2", "5", "7", "4", "7", "2", "5"]
    );
}

#[test]
fn curl_and_nginx_bring_forms_by_every_wire() {
    let server = Server::start();
    for pass in [Pass::Uwsgi, Pass::FastCgi, Pass::Http] {
        let nginx = Nginx::by(&server, pass);
        let curl = |arguments: &[String]| {
            let mut curl = Command::new(program("curl"));
            curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "60"]).args(arguments);
            let output = curl.arg(format!("{}/predict/digits?top_k=1", nginx.url)).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{pass:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
            labels(&serde_json::from_str(&said).unwrap())
        };
        let file = |path: &str| ["-F".into(), format!("file=@{}", source(path).display())];
        let mut arguments: Vec<String> =
            (0..10).rev().flat_map(|at| file(&format!("models/digits/samples/{at}.png"))).collect();
        assert_eq!(curl(&arguments), ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"], "{pass:?}");
        // Types that curl does not know, a field, and a form that is compressed on the way back.
        arguments = ["bmp.bmp", "webp_lossless.webp", "animated.gif", "cmyk.jpg"]
            .iter()
            .flat_map(|name| file(&format!("tests/data/images/{name}")))
            .collect();
        arguments.extend(["-F".into(), "csrfmiddlewaretoken=abc".into(), "--compressed".into()]);
        assert_eq!(curl(&arguments), ["7"; 4], "{pass:?}");
    }
}

#[test]
fn rows_are_files_too() {
    let server = Server::start();
    let row = |numbers: [f32; 4]| numbers.map(f32::to_le_bytes).concat();
    let (setosa, virginica) = (row([5.1, 3.5, 1.4, 0.2]), row([6.7, 3.0, 5.2, 2.3]));
    let answer = server.ask(
        "POST",
        "/predict/iris",
        &[FORM],
        &form(&[(BYTES, &setosa), ("name=a; filename=b", &virginica), (BYTES, &setosa)]),
    );
    assert_eq!(labels(&answer.ok()), ["setosa", "virginica", "setosa"]);
    // A model of one fixed shape runs once for each.
    let six =
        |factor: f32| (1..=6).flat_map(|number| (number as f32 * factor).to_le_bytes()).collect::<Vec<_>>();
    let (once, twice) = (six(1.0), six(2.0));
    let answer =
        server.ask("POST", "/predict/mul_1", &[FORM], &form(&[(BYTES, &once), (BYTES, &twice)])).ok();
    let alone = |body: &[u8]| {
        let headers = [("Content-Type", "application/octet-stream")];
        server.ask("POST", "/predict/mul_1", &headers, body).ok()["results"][0].clone()
    };
    assert_eq!(answer["results"], json!([alone(&once), alone(&twice)]));
    assert_ne!(answer["results"][0], answer["results"][1]);
}

/// A copy of the digits' model with other settings.
fn digits_with(settings: &str, config: &str) -> Server {
    let models = tempfile::tempdir().unwrap();
    let folder = models.path().join("some_digits");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("model.onnx"), read("models/digits/model.onnx")).unwrap();
    let toml = String::from_utf8(read("models/digits/model.toml")).unwrap();
    fs::write(folder.join("model.toml"), format!("{settings}\n{toml}")).unwrap();
    Server::with_arguments(config, |command| {
        command.arg("--model").arg(format!("some_digits={}", folder.display()));
    })
}

#[test]
fn files_are_a_batch_where_the_model_can_be_batched() {
    let numbers: Vec<usize> = (0..16).map(|at| at % 10).collect();
    let expected: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    for (settings, most) in [("[batch]\nmax_rows = 8\nmax_delay = '200ms'", 8), ("[batch]\nmax_rows = 1", 1)]
    {
        let server = digits_with(settings, "[workers]\ncount = 1");
        let answer = server.ask("POST", "/predict/some_digits?batched", &[FORM], &digits_form(&numbers)).ok();
        assert_eq!(labels(&answer), expected, "{settings}");
        let line = server.process.wait_for_line("?batched");
        assert!(line.contains(&format!("batch_rows={most}")), "{line}");
        let stats = server.get("/v2/models/some_digits/stats").ok();
        let stats = &stats["model_stats"][0];
        assert_eq!(stats["inference_count"], 16, "{stats}");
        assert_eq!(stats["execution_count"], 16 / most, "{stats}");
    }
}

#[test]
fn more_files_than_may_wait_take_their_turns() {
    let server = digits_with("[batch]\nmax_rows = 4\nqueue = 4", "[workers]\ncount = 2");
    let numbers: Vec<usize> = (0..100).map(|at| at * 7 % 10).collect();
    let expected: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    let answer = server.ask("POST", "/predict/some_digits?top_k=1", &[FORM], &digits_form(&numbers));
    assert_eq!(labels(&answer.ok()), expected);
}

#[test]
fn what_is_wrong_with_a_file_is_said_of_that_file() {
    let server = Server::start();
    let seven = digit(7);
    let truncated = read("tests/data/images/truncated.png");
    let bomb = read("tests/data/images/bomb.png");
    let row = 5.1f32.to_le_bytes().repeat(4);
    let picture = |name: &str| format!("name=\"picture\"; filename=\"{name}\"\r\nContent-Type: image/png");
    let [b, bomb_png, empty_png] = ["b.png", "bomb.png", "empty.png"].map(picture);
    let cases: [(&str, Vec<Part<'_>>, u16, &str); 16] = [
        (
            "digits",
            vec![(PNG, &seven), (&b, &truncated)],
            422,
            "part 2 ('picture', \"b.png\"): model 'digits': the PNG is truncated",
        ),
        (
            "digits",
            vec![(&bomb_png, &bomb), (PNG, &seven)],
            422,
            "part 1 ('picture', \"bomb.png\"): model 'digits': 60000 x 60000 pixels is over the limit",
        ),
        (
            "digits",
            vec![("name=a", b"1"), (&empty_png, b"")],
            422,
            "part 2 ('picture', \"empty.png\"): model 'digits': this is no JPEG, PNG,",
        ),
        (
            "digits",
            vec![(BYTES, b"hello")],
            415,
            "part 1 ('file', \"a.bin\"): 5 bytes are neither an image nor one row of model 'digits'",
        ),
        (
            "digits",
            vec![("name=a; filename=b.txt\r\nContent-Type: text/plain", b"hello")],
            415,
            "part 1 ('a', \"b.txt\"): content type 'text/plain' is not taken in a form",
        ),
        (
            "digits",
            vec![("name=a; filename=b\r\nContent-Type: application/json", b"[[1]]")],
            415,
            "content type 'application/json' is not taken in a form",
        ),
        (
            "iris",
            vec![(BYTES, &row), (PNG, &seven)],
            415,
            "part 2 ('file', \"a.png\"): model 'iris' takes no images",
        ),
        (
            "iris",
            vec![(BYTES, &[0; 32])],
            400,
            "part 1 ('file', \"a.bin\"): 32 bytes are 2 rows of model 'iris', and a file is one",
        ),
        ("iris", vec![(BYTES, &[0; 15])], 415, "15 bytes are neither an image nor one row of model 'iris'"),
        (
            "add_sub",
            vec![(BYTES, &[0; 64])],
            415,
            "64 bytes are neither an image nor one row of model 'add_sub'",
        ),
        ("digits", vec![], 400, "the form has no file: a part is one if it has a filename"),
        ("digits", vec![("name=\"file\"", &seven)], 400, "the form has no file"),
        (
            "digits",
            vec![("name=file; filename=\"\"\r\nContent-Type: application/octet-stream", b"")],
            400,
            "the form has no file",
        ),
        (
            "digits",
            vec![(PNG, &seven), ("name=top_k", b"3")],
            400,
            "the form has a field 'top_k': say that in the query, /predict/MODEL?top_k=...",
        ),
        (
            "digits",
            vec![("name=timeout\r\nContent-Type: text/plain", b"1s"), (PNG, &seven)],
            400,
            "the form has a field 'timeout'",
        ),
        ("none", vec![(PNG, &seven)], 404, "there is no model 'none'"),
    ];
    for (model, parts, status, says) in cases {
        let error = server.ask("POST", &format!("/predict/{model}"), &[FORM], &form(&parts)).error(status);
        assert!(error.starts_with(says) || error.contains(says), "{says}: {error}");
    }
    let many = form(&vec![(BYTES, &row[..]); 1025]);
    let error = server.ask("POST", "/predict/iris", &[FORM], &many).error(413);
    assert_eq!(error, "the form has more than 1024 parts");
    let most = form(&vec![(BYTES, &row[..]); 1024]);
    assert_eq!(labels(&server.ask("POST", "/predict/iris", &[FORM], &most).ok()).len(), 1024);
}

#[test]
fn what_is_no_form_is_refused() {
    let server = Server::start();
    let whole = digits_form(&[1, 2]);
    let long = form(&[(&format!("name=a; filename={}", "b".repeat(9000)), b"1")]);
    for wire in Wire::ALL {
        let ask = |content_type: &str, body: &[u8]| {
            wires::ask(&server, wire, "POST", "/predict/digits", &[("Content-Type", content_type)], body)
        };
        for (content_type, body, says) in [
            (FORM.1, &whole[..whole.len() - 5], "the form is truncated: part 2 does not end"),
            (FORM.1, &whole[..60], "the form is truncated: part 1 does not end"),
            (FORM.1, b"", "the form does not begin"),
            (FORM.1, &long, "the head of part 1 is over the limit"),
            ("multipart/form-data; boundary=y", &whole, "the form does not begin"),
            ("multipart/form-data", &whole, "needs a boundary"),
        ] {
            let error = ask(content_type, body).error(400);
            assert!(error.contains(says), "{wire} {content_type}: {error}");
        }
        let error = ask("multipart/mixed; boundary=x", &whole).error(415);
        assert!(
            error.contains("'multipart/mixed' is not taken here") && error.contains("multipart/form-data"),
            "{error}"
        );
        assert_eq!(
            labels(&ask("Multipart/Form-Data; Boundary=\"x\"; charset=utf-8", &whole).ok()),
            ["1", "2"]
        );
    }
}

#[test]
fn a_form_may_be_compressed_and_is_read_by_a_worker_then() {
    let server = Server::start();
    let numbers: Vec<usize> = (0..200).map(|at| at % 10).collect();
    let form = digits_form(&numbers);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &form).unwrap();
    let packed = encoder.finish().unwrap();
    let expected = server.ask("POST", "/predict/digits", &[FORM], &form);
    assert_eq!(labels(&expected.ok()).len(), 200);
    for wire in Wire::ALL {
        let headers = [FORM, ("Content-Encoding", "gzip")];
        let reply: Reply = wires::ask(&server, wire, "POST", "/predict/digits", &headers, &packed);
        assert!(reply.body == expected.body, "{wire}");
        let error =
            wires::ask(&server, wire, "POST", "/predict/digits", &headers, &packed[..packed.len() / 2]);
        assert_eq!(error.error(400), "the gzip body is truncated", "{wire}");
    }
}

/// The time is the whole form's, however many runs there are.
#[test]
fn a_form_has_one_deadline_and_one_cancellation() {
    let server = digits_with("[batch]\nmax_rows = 1\nqueue = 8", "[workers]\ncount = 1");
    let form = digits_form(&(0..1000).map(|at| at % 10).collect::<Vec<_>>());
    let error = server.ask("POST", "/predict/some_digits?timeout=5ms", &[FORM], &form).error(504);
    assert_eq!(error, "model 'some_digits' gave no answer within 5 ms");
    let stream = {
        let mut stream = wires::connect(&server);
        let bytes = wires::request(Wire::Uwsgi, "POST", "/predict/some_digits?left", &[FORM], &form);
        std::io::Write::write_all(&mut stream, &bytes).unwrap();
        stream
    };
    drop(stream);
    server.process.wait_for_line("the client went away");
    // Nothing of either is left in the way.
    let answer = server.ask("POST", "/predict/some_digits", &[FORM], &digits_form(&[5]));
    assert_eq!(labels(&answer.ok()), ["5"]);
    let stats = server.get("/v2/models/some_digits/stats").ok();
    let count = stats["model_stats"][0]["inference_count"].as_u64().unwrap();
    assert!(count < 1900, "{count}: what nobody waits for is not run");
}
