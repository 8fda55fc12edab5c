//! Compressed requests and answers: the same as without, within the same limits.

use crate::{
    harness::{Nginx, Pass, Reply, Server, program, read},
    wires,
};
use flate2::{Compression, read as reading, write as writing};
use predictd_protocol::gateway::detect::Wire;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    process::Command,
    time::{Duration, Instant},
};

const CODINGS: [&str; 2] = ["gzip", "deflate"];

const SETOSA: &str = "[[5.1, 3.5, 1.4, 0.2]]";

fn pack(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = writing::GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        _ => {
            let mut encoder = writing::ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// The answer without its compression.
fn unpacked(mut reply: Reply) -> Reply {
    let mut body = Vec::new();
    match reply.header("content-encoding") {
        Some("gzip") => reading::GzDecoder::new(&reply.body[..]).read_to_end(&mut body).unwrap(),
        Some("deflate") => reading::ZlibDecoder::new(&reply.body[..]).read_to_end(&mut body).unwrap(),
        other => panic!("{other:?}"),
    };
    reply.body = body;
    reply
}

/// Rows of eight numbers that differ.
fn rows(count: usize) -> Value {
    let row = |row: usize| (0..8).map(|at| json!((row * 8 + at) as f64 / 4.0)).collect::<Value>();
    (0..count).map(row).collect()
}

/// Target, headers, body.
type Asked<'a> = (&'a str, &'a [(&'a str, &'a str)], Vec<u8>);

#[test]
fn a_compressed_request_is_the_request_it_was() {
    let server = Server::start();
    let json = |body: Value| body.to_string().into_bytes();
    let large = rows(5000);
    let seven = read("models/digits/samples/7.png");
    let raw: Vec<u8> = [5.1f32, 3.5, 1.4, 0.2].iter().flat_map(|number| number.to_le_bytes()).collect();
    let requests: [Asked<'_>; 8] = [
        ("/predict/iris", &[("Content-Type", "application/json")], SETOSA.into()),
        ("/predict/iris", &[], SETOSA.into()),
        ("/predict/iris?top_k=1", &[("Content-Type", "application/octet-stream")], raw.repeat(10_000)),
        ("/predict/digits", &[("Content-Type", "image/png")], seven.clone()),
        ("/predict/digits", &[], seven),
        ("/predict/half", &[], json(large.clone())),
        ("/v1/models/half:predict", &[], json(json!({ "instances": large }))),
        (
            "/v2/models/half/infer",
            &[],
            json(json!({ "inputs": [
            { "name": "x", "datatype": "FP32", "shape": [5000, 8], "data": large }] })),
        ),
    ];
    for (target, headers, body) in requests {
        let plain = wires::ask(&server, Wire::Uwsgi, "POST", target, headers, &body);
        assert_eq!(plain.status, 200, "{target}: {}", String::from_utf8_lossy(&plain.body));
        for coding in CODINGS {
            let headers = [headers, &[("Content-Encoding", coding)]].concat();
            for wire in Wire::ALL {
                let reply = wires::ask(&server, wire, "POST", target, &headers, &pack(coding, &body));
                let said = String::from_utf8_lossy(&reply.body[..reply.body.len().min(300)]);
                assert!(reply.body == plain.body, "{wire} {target} {coding}: {said}");
            }
        }
        let headers = [headers, &[("Content-Encoding", "identity")]].concat();
        assert!(server.ask("POST", target, &headers, &body).body == plain.body, "{target}");
    }
}

#[test]
fn the_length_of_the_json_is_that_before_compression_both_ways() {
    let server = Server::start();
    let numbers: Vec<f32> = (0..8000).map(|number| (number % 10) as f32).collect();
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let head = json!({
        "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1000, 8],
            "parameters": { "binary_data_size": bytes.len() } }],
        "outputs": [{ "name": "y", "parameters": { "binary_data": true } }],
    })
    .to_string();
    let body = [head.as_bytes(), &bytes].concat();
    let length = head.len().to_string();
    for coding in CODINGS {
        for wire in Wire::ALL {
            let headers = [
                ("Inference-Header-Content-Length", &*length),
                ("Content-Encoding", coding),
                ("Accept-Encoding", coding),
            ];
            let reply =
                wires::ask(&server, wire, "POST", "/v2/models/half/infer", &headers, &pack(coding, &body));
            assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
            assert!(reply.body.len() < 8000, "{}", reply.body.len());
            assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
            let reply = unpacked(reply);
            let length: usize = reply.header("inference-header-content-length").unwrap().parse().unwrap();
            let (head, tensor) = reply.body.split_at(length);
            let head: Value = serde_json::from_slice(head).unwrap();
            assert_eq!(head["outputs"][0]["parameters"]["binary_data_size"], tensor.len());
            let half: Vec<u8> = numbers.iter().flat_map(|number| (number / 2.0).to_le_bytes()).collect();
            assert!(tensor == half, "{wire} {coding}");
        }
    }
}

#[test]
fn an_answer_is_compressed_for_those_who_take_it_and_if_it_is_worth_it() {
    let server = Server::start();
    let large = rows(3000).to_string();
    let plain = server.post("/predict/half", &large);
    assert!(plain.body.len() > 64 << 10);
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("Accept-Encoding")));
    for (accept, coding) in [
        ("gzip", Some("gzip")),
        ("deflate", Some("deflate")),
        ("br, gzip;q=0.5", Some("gzip")),
        ("*", Some("gzip")),
        ("gzip;q=0, deflate", Some("deflate")),
        ("identity;q=0", None),
        ("br", None),
        ("identity, gzip;q=0.2", None),
    ] {
        for wire in Wire::ALL {
            let headers = [("Accept-Encoding", accept)];
            let reply = wires::ask(&server, wire, "POST", "/predict/half", &headers, large.as_bytes());
            assert_eq!(reply.header("content-encoding"), coding, "{wire} {accept}");
            assert_eq!(reply.header("vary"), Some("Accept-Encoding"), "{wire} {accept}");
            if coding.is_none() {
                assert!(reply.body == plain.body, "{wire} {accept}");
                continue;
            }
            assert!(reply.body.len() < plain.body.len() / 2, "{} of {}", reply.body.len(), plain.body.len());
            assert!(unpacked(reply).body == plain.body, "{wire} {accept}");
        }
    }
    // One packet either way, unless the client does not take it so.
    let small =
        |accept| server.ask("POST", "/predict/iris", &[("Accept-Encoding", accept)], SETOSA.as_bytes());
    let reply = small("gzip");
    reply.ok();
    assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, None));
    unpacked(small("gzip, identity;q=0")).ok();
    // An error is small, and told in plain text.
    let reply = server.ask("POST", "/predict/none", &[("Accept-Encoding", "gzip")], b"[]");
    assert_eq!(reply.error(404), "there is no model 'none'");
}

#[test]
fn what_runs_no_model_is_compressed_too_and_head_says_so() {
    let server = Server::start();
    let accept = [("Accept-Encoding", "gzip, identity;q=0")];
    for target in ["/v1/models/iris/metadata", "/v1/models"] {
        let plain = server.get(target);
        for wire in Wire::ALL {
            let reply = wires::ask(&server, wire, "GET", target, &accept, b"");
            assert_eq!(reply.header("vary"), Some("Accept-Encoding"), "{wire} {target}");
            let length = reply.body.len().to_string();
            assert_eq!(unpacked(reply).ok(), plain.ok(), "{wire} {target}");
            let mut stream = wires::connect(&server);
            stream.write_all(&wires::request(wire, "HEAD", target, &accept, b"")).unwrap();
            let head = match wire {
                Wire::Http => Reply::receive_head(&mut stream),
                _ => wires::answer(wire, &mut stream),
            };
            assert_eq!((head.status, head.body.len()), (200, 0), "{wire} {target}");
            assert_eq!(head.header("content-encoding"), Some("gzip"), "{wire} {target}");
            assert_eq!(head.header("content-length"), Some(&*length), "{wire} {target}");
        }
    }
}

/// tritonclient's asynchronous client asks so, and unpacks nothing but what infer answers.
#[test]
fn what_v2_tells_of_models_is_never_compressed() {
    let server = Server::start();
    let accept = [("Accept-Encoding", "gzip, deflate, br")];
    for target in ["/v2/models/iris", "/v2/models/iris/config", "/v2/models/iris/stats", "/v2/models/stats"] {
        let reply = server.ask("GET", target, &accept, b"");
        reply.ok();
        assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, None), "{target}");
    }
}

#[test]
fn what_is_no_compressed_body_is_said() {
    let server = Server::start();
    let whole = pack("gzip", SETOSA.as_bytes());
    for wire in Wire::ALL {
        let ask = |coding: &str, body: &[u8]| {
            wires::ask(&server, wire, "POST", "/predict/iris", &[("Content-Encoding", coding)], body)
        };
        for coding in ["br", "zstd", "gzip, deflate"] {
            let reply = ask(coding, SETOSA.as_bytes());
            assert_eq!(reply.header("accept-encoding"), Some("gzip, deflate"), "{wire}");
            let error = reply.error(415);
            let expected = format!(
                "content encoding '{coding}' is not taken here; send gzip, deflate or identity, and one of them"
            );
            assert_eq!(error, expected, "{wire}");
        }
        for (coding, body, says) in [
            ("gzip", &whole[..whole.len() - 3], "the gzip body is truncated"),
            ("gzip", b"", "the gzip body is truncated"),
            ("gzip", SETOSA.as_bytes(), "the body is no valid gzip"),
            ("deflate", &whole[..], "the body is no valid deflate"),
            (
                "gzip",
                &[&whole[..], b"more"].concat(),
                "4 bytes are left in the body behind the end of its gzip",
            ),
        ] {
            assert_eq!(ask(coding, body).error(400), says, "{wire}");
        }
        ask("gzip", &whole).ok();
    }
}

#[test]
fn a_bomb_is_over_the_limit_and_takes_no_more_memory_than_that() {
    let server = Server::with("[limits]\nbody = '4MiB'");
    let fits = format!("{SETOSA}{}", " ".repeat((4 << 20) - SETOSA.len()));
    let ask = |wire, coding: &str, body: &[u8]| {
        let headers = [("Content-Encoding", coding), ("Content-Type", "application/json")];
        wires::ask(&server, wire, "POST", "/predict/iris", &headers, &pack(coding, body))
    };
    for coding in CODINGS {
        ask(Wire::Uwsgi, coding, fits.as_bytes()).ok();
        let error = ask(Wire::Uwsgi, coding, format!("{fits} ").as_bytes()).error(413);
        assert_eq!(error, "the uncompressed body is over the limit of 4194304 bytes");
    }
    let before = server.peak();
    for coding in CODINGS {
        let bomb = vec![b' '; 256 << 20];
        ask(Wire::Uwsgi, coding, &bomb).error(413);
        for wire in [Wire::FastCgi, Wire::Http] {
            ask(wire, coding, &bomb[..8 << 20]).error(413);
        }
    }
    let after = server.peak();
    assert!(after < before + (16 << 20), "{after} bytes, {before} before");
    server.post("/predict/iris", SETOSA).ok();
}

#[test]
fn what_a_body_grows_to_counts_as_held() {
    let server = Server::with("[limits]\nin_flight = '4MiB'\nbody = '4MiB'");
    let padded =
        |length: usize| pack("gzip", [SETOSA, &" ".repeat(length - SETOSA.len())].concat().as_bytes());
    let headers = [("Content-Encoding", "gzip"), ("Content-Type", "application/json")];
    for wire in Wire::ALL {
        let ask = |body: &[u8]| wires::ask(&server, wire, "POST", "/predict/iris", &headers, body);
        // Many times in turn: what was counted is given back.
        for _ in 0..4 {
            ask(&padded(3 << 20)).ok();
            // With what it is compressed to it is more.
            let refused = ask(&padded(4 << 20));
            assert_eq!(refused.header("retry-after"), Some("1"), "{wire}");
            assert!(refused.error(503).contains("fill the memory there is for them"), "{wire}");
        }
    }
}

/// Uncompressing is the pool's work, like any other: within the deadline, and only in the way of workers.
#[test]
fn a_long_body_has_no_more_time_than_others() {
    let server = Server::with("[workers]\ncount = 1");
    let body = pack("gzip", format!("{SETOSA}{}", " ".repeat(60 << 20)).as_bytes());
    let headers = [("Content-Encoding", "gzip"), ("Content-Type", "application/json")];
    let begun = Instant::now();
    let error = server.ask("POST", "/predict/iris?timeout=2ms", &headers, &body).error(504);
    assert_eq!(error, "model 'iris' gave no answer within 2 ms");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    server.ask("POST", "/predict/iris", &headers, &body).ok();
}

/// curl as people use it, through nginx as we ship it.
#[test]
fn curl_compresses_and_uncompresses_through_nginx() {
    let server = Server::start();
    let body = json!({ "instances": rows(3000) }).to_string();
    let folder = tempfile::tempdir().unwrap();
    let (plain, packed) = (folder.path().join("body.json"), folder.path().join("body.json.gz"));
    std::fs::write(&plain, &body).unwrap();
    std::fs::write(&packed, pack("gzip", body.as_bytes())).unwrap();
    let expected = server.post("/v1/models/half:predict", &body).ok();
    for pass in [Pass::Uwsgi, Pass::FastCgi, Pass::Http] {
        let nginx = Nginx::by(&server, pass);
        let target = "/v1/models/half:predict";
        for (file, arguments) in [
            (&plain, &["--compressed"][..]),
            (&packed, &["-H", "Content-Encoding: gzip"][..]),
            (&packed, &["--compressed", "-H", "Content-Encoding: gzip"][..]),
        ] {
            let mut curl = Command::new(program("curl"));
            curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "60"]).args(arguments);
            curl.arg("--data-binary").arg(format!("@{}", file.display()));
            curl.args(["--dump-header", "/dev/stderr"]).arg(format!("{}{target}", nginx.url));
            let output = curl.output().unwrap();
            let head = String::from_utf8_lossy(&output.stderr).to_lowercase();
            assert!(output.status.success(), "{pass:?} {arguments:?}: {head}");
            let asked = arguments.contains(&"--compressed");
            assert_eq!(head.contains("content-encoding: gzip"), asked, "{pass:?} {arguments:?}: {head}");
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(answer == expected, "{pass:?} {arguments:?}");
        }
    }
}
