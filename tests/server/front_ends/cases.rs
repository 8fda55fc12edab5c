//! What must hold through every front end.

use super::{BODY_LIMIT, FrontEnd, Quirk};
use crate::harness::{PATIENCE, Reply, eventually, read};
use serde_json::{Value, json};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Within this the end of a client is known. 50 ms where nothing else runs; tests share their cores.
const SOON: Duration = Duration::from_secs(1);

const MEASUREMENTS: &str = "[[5.1, 3.5, 1.4, 0.2]]";

/// 8 MiB: so many rows of 16 bytes.
const MANY_ROWS: usize = 512 * 1024;

/// Two kinds of flowers in no order.
fn is_setosa(row: usize) -> bool {
    row.wrapping_mul(2_654_435_761) & 0x8000 == 0
}

fn many_rows() -> Vec<u8> {
    let bytes = |row: [f32; 4]| row.map(f32::to_le_bytes).concat();
    let (setosa, virginica) = (bytes([5.1, 3.5, 1.4, 0.2]), bytes([6.7, 3.0, 5.2, 2.3]));
    let rows: Vec<_> = (0..MANY_ROWS).map(|row| if is_setosa(row) { &setosa } else { &virginica }).collect();
    rows.into_iter().flatten().copied().collect()
}

#[track_caller]
fn check_many(reply: &Reply) {
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!(reply.status, 200, "{}", text.chars().take(300).collect::<String>());
    let labels: Vec<_> =
        text.split(r#""label":""#).skip(1).map(|rest| rest.starts_with("setosa\"")).collect();
    assert_eq!(labels.len(), MANY_ROWS);
    assert!(labels.iter().enumerate().all(|(row, setosa)| *setosa == is_setosa(row)));
}

#[track_caller]
fn check_setosa(answer: &Value) {
    assert_eq!(answer["results"][0]["classes"][0]["label"], "setosa", "{answer}");
}

/// The first request, so that there is no kept connection that it could come by.
pub(super) fn an_upload_that_is_cut_off_is_forgotten(front_end: &FrontEnd) {
    let half = vec![0; MANY_ROWS * 8];
    let upload = front_end.begin("/predict/iris?cut=off", half.len() * 2, &half);
    if front_end.has(Quirk::HoldsUploads) {
        assert_eq!(front_end.connections(), 0);
    } else {
        eventually("predictd hears of an upload", || front_end.connections() > 0);
    }
    drop(upload);
    eventually("the upload's connection is closed", || front_end.connections() == 0);
    check_setosa(&front_end.post("/predict/iris?after=it", MEASUREMENTS).ok());
    front_end.server.process.wait_for_line("after=it");
    assert!(!front_end.server.process.has_line("cut=off"), "half a request is no request");
}

pub(super) fn head_says_what_get_does(front_end: &FrontEnd) {
    let get = front_end.ask("GET", "/v2/models/iris", &[], b"");
    assert_eq!(get.ok()["name"], "iris");
    assert_eq!(get.header("content-type"), Some("application/json"));
    let head = front_end.ask("HEAD", "/v2/models/iris", &[], b"");
    assert_eq!((head.status, &head.body[..]), (200, &b""[..]));
    assert_eq!(head.header("content-type"), get.header("content-type"));
    if !front_end.has(Quirk::DropsLength) {
        assert_eq!(head.header("content-length"), Some(&*get.body.len().to_string()));
    }
}

pub(super) fn a_path_comes_through_as_it_was(front_end: &FrontEnd) {
    let error = front_end.ask("GET", "/no/such%20place/%C3%BC?top_k=0", &[], b"").error(404);
    assert_eq!(error, "there is nothing at /no/such%20place/%C3%BC");
    let slash = front_end.ask_anyone("GET", "/no/such%2Fplace", &[], b"");
    let is_ours = slash.header("x-request-id").is_some();
    assert_eq!((slash.status, is_ours), (404, !front_end.has(Quirk::RefusesEncodedSlash)));
    let error = front_end.post("/predict/iris?top_k=0&x=%2F", MEASUREMENTS).error(400);
    assert_eq!(error, "top_k must be a whole number from 1, got '0'");
}

pub(super) fn a_small_body_is_answered(front_end: &FrontEnd) {
    let named = json!({ "inputs": { "measurements": [[5.1, 3.5, 1.4, 0.2]] } }).to_string();
    let headers = ["Content-Type: application/json"];
    check_setosa(&front_end.ask("POST", "/predict/iris", &headers, named.as_bytes()).ok());
    // As curl sends it by itself: as a form.
    let picture = read("models/digits/samples/7.png");
    let answer = front_end.post("/predict/digits?top_k=1", picture).ok();
    assert_eq!(answer["results"][0]["classes"][0]["label"], "7", "{answer}");
}

pub(super) fn a_large_body_comes_through_whole(front_end: &FrontEnd) {
    let headers = ["Content-Type: application/octet-stream"];
    check_many(&front_end.ask("POST", "/predict/iris?top_k=1", &headers, &many_rows()));
}

pub(super) fn a_chunked_body_is_a_body(front_end: &FrontEnd) {
    let headers = ["Content-Type: application/octet-stream", "Transfer-Encoding: chunked"];
    let row = &many_rows()[..16];
    for (rows, check) in
        [(row, (|reply| check_setosa(&reply.ok())) as fn(&Reply)), (&many_rows(), check_many)]
    {
        let refused = front_end.quirks.iter().find_map(|quirk| match quirk {
            Quirk::RefusesChunked { longer_than, status } if rows.len() > *longer_than => Some(*status),
            _ => None,
        });
        if let Some(status) = refused {
            let reply = front_end.ask_anyone("POST", "/predict/iris?top_k=1", &headers, rows);
            assert_eq!((reply.status, reply.header("x-request-id")), (status, None));
        } else {
            check(&front_end.ask("POST", "/predict/iris?top_k=1", &headers, rows));
        }
    }
}

pub(super) fn repeated_headers_do_no_harm(front_end: &FrontEnd) {
    let headers =
        ["X-Repeated: a", "X-Repeated: b", "Cookie: a=1", "Cookie: b=2", "Accept: a/b", "Accept: */*"];
    check_setosa(&front_end.ask("POST", "/predict/iris", &headers, MEASUREMENTS.as_bytes()).ok());
}

pub(super) fn a_request_id_comes_through(front_end: &FrontEnd) {
    let id = |headers: &[&str]| {
        front_end.ask("GET", "/v2", headers, b"").header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id(&["X-Request-Id: a.B_1:-"]), "a.B_1:-");
    let fresh = id(&["X-Request-Id: not one"]);
    assert!(fresh.len() == 32 && fresh.bytes().all(|byte| byte.is_ascii_hexdigit()), "{fresh}");
}

pub(super) fn a_body_over_the_limit_is_told_so(front_end: &FrontEnd) {
    let body = vec![0; BODY_LIMIT + (1 << 20)];
    // With `Expect: 100-continue`, as curl has it for such bodies, and without.
    for expect in ["Expect: 100-continue", "Expect:"] {
        let error = front_end.ask("POST", "/predict/iris", &[expect], &body).error(413);
        assert_eq!(error, format!("the body of {} bytes is over the limit of {BODY_LIMIT}", body.len()));
    }
    let refuses_chunked = |quirk: &Quirk| matches!(quirk, Quirk::RefusesChunked { .. });
    if !front_end.quirks.iter().any(refuses_chunked) {
        let chunked = ["Transfer-Encoding: chunked"];
        let error = front_end.ask("POST", "/predict/iris", &chunked, &body).error(413);
        assert!(error.contains("over the limit of 9437184"), "{error}");
    }
    check_setosa(&front_end.post("/predict/iris", MEASUREMENTS).ok());
}

/// As soon as the length is announced, and not a byte later than the front end makes it.
pub(super) fn a_body_over_the_limit_is_refused_before_it_comes(front_end: &FrontEnd) {
    if front_end.has(Quirk::HoldsUploads) {
        return;
    }
    let body = vec![0; BODY_LIMIT + (1 << 20)];
    let refusals = || front_end.server.process.count_lines("refused: ");
    for _ in 0..16 {
        let begun = refusals();
        let mut client = front_end.begin("/predict/iris", body.len(), b"");
        for quirk in front_end.quirks {
            match *quirk {
                Quirk::WaitsForBody { bytes } => {
                    client.write_all(&body[..1024]).unwrap();
                    check_silent(&mut client);
                    assert_eq!(refusals(), begun);
                    client.write_all(&body[1024..=bytes]).unwrap();
                }
                Quirk::ReadsAfterUpload => {
                    eventually("the refusal is on its way", || refusals() > begun);
                    check_silent(&mut client);
                    client.write_all(&body).unwrap();
                }
                _ => {}
            }
        }
        if front_end.has(Quirk::KeepsRefused) {
            Reply::receive(&mut client).error(413);
            check_silent(&mut client);
        } else {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert_eq!(Reply::read(&answer).status, 413, "{}", String::from_utf8_lossy(&answer));
        }
        eventually("the refusal is in the log", || refusals() > begun);
    }
    check_setosa(&front_end.post("/predict/iris", MEASUREMENTS).ok());
}

/// Nothing comes, not even the end.
#[track_caller]
fn check_silent(client: &mut TcpStream) {
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let read = client.read(&mut [0; 1024]);
    assert!(matches!(&read, Err(error) if error.kind() == ErrorKind::WouldBlock), "{read:?}");
    client.set_read_timeout(Some(PATIENCE)).unwrap();
}

pub(super) fn a_connection_is_kept(front_end: &FrontEnd) {
    let url = front_end.url("/predict/iris?top_k=1");
    let mut arguments =
        vec!["--write-out", "\n%{http_code} %{num_connects}\n", "--data-binary", MEASUREMENTS];
    arguments.extend([&*url; 5]);
    let output = String::from_utf8(front_end.curl(&arguments, b"")).unwrap();
    let connects: Vec<_> = output.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(connects, ["200 1", "200 0", "200 0", "200 0", "200 0"], "{output}");
    assert_eq!(output.matches("setosa").count(), 5, "{output}");
}

pub(super) fn a_run_that_nobody_waits_for_is_ended(front_end: &FrontEnd) {
    let server = &front_end.server;
    let deaf = front_end.has(Quirk::DeafWhileWaiting);
    let body = json!({ "inputs": { "rounds": 2_000_000_000, "x": [vec![0.5; 256]] } }).to_string();
    let target = if deaf { "/predict/busy?gone&timeout=3s" } else { "/predict/busy?gone" };
    let client = front_end.begin(target, body.len(), body.as_bytes());
    // The only worker is busy: nobody else is served.
    eventually("the run has begun", || server.post("/predict/iris?timeout=50ms", MEASUREMENTS).status == 504);
    let left = Instant::now();
    drop(client);
    let line = server.process.wait_for_line("?gone");
    if deaf {
        assert!(line.contains("status=504"), "{line}");
    } else {
        assert!(line.contains("the client went away"), "{line}");
        assert!(left.elapsed() < SOON, "{:?}", left.elapsed());
    }
    check_setosa(&server.post("/predict/iris?timeout=5s", MEASUREMENTS).ok());
}

pub(super) fn an_answer_that_nobody_takes_is_dropped(front_end: &FrontEnd) {
    let before = front_end.connections();
    let rows = many_rows();
    let mut client = front_end.begin("/predict/iris?top_k=1&untaken", rows.len(), &rows);
    client.read_exact(&mut [0; 12]).unwrap();
    drop(client);
    eventually("the answer's connection is closed", || front_end.connections() <= before);
    check_setosa(&front_end.post("/predict/iris", MEASUREMENTS).ok());
}

pub(super) fn sixteen_clients_at_once_get_each_its_own_answer(front_end: &FrontEnd) {
    let sixteen = |number: i32| json!(vec![number; 16]);
    std::thread::scope(|scope| {
        for client in 0..16 {
            scope.spawn(move || {
                for round in 0..4 {
                    let number = client * 1000 + round;
                    let body = json!({ "inputs": { "a": [sixteen(number)], "b": [sixteen(7)] } }).to_string();
                    let reply = front_end.ask("POST", "/predict/add_sub", &[], body.as_bytes());
                    let (sum, difference) = (sixteen(number + 7), sixteen(number - 7));
                    let expected = json!([{ "outputs": { "sum": sum, "difference": difference } }]);
                    assert_eq!(reply.ok()["results"], expected);
                }
            });
        }
    });
}
