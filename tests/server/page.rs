//! The admin interface's page: who gets it and under which policy, and what a real browser makes of it.

mod browser;

use crate::{
    deployment::{Deployment, patient},
    harness::{by_http, eventually, free_port, read, source},
};
use browser::Browser;
use serde_json::json;
use std::{net::TcpStream, thread};

const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", "index.html"),
    ("/page.css", "text/css; charset=utf-8", "page.css"),
    ("/page.js", "text/javascript; charset=utf-8", "page.js"),
    ("/figures.js", "text/javascript; charset=utf-8", "figures.js"),
    ("/fill.js", "text/javascript; charset=utf-8", "fill.js"),
    ("/try.js", "text/javascript; charset=utf-8", "try.js"),
];

fn text_of(name: &str) -> String {
    String::from_utf8(read(&format!("src/api/admin/page/{name}"))).unwrap()
}

#[test]
fn the_page_is_the_owners_and_says_what_it_may_do() {
    let deployment = Deployment::of(&[]);
    for (target, kind, name) in FILES {
        let reply = deployment.admin("GET", target, "");
        assert_eq!((reply.status, &*reply.body), (200, text_of(name).as_bytes()), "{target}");
        let head = deployment.admin("HEAD", target, "");
        assert_eq!((head.status, &*head.body), (200, &b""[..]), "{target}");
        for reply in [&reply, &head] {
            let header = |name| reply.header(name).unwrap_or_else(|| panic!("{target} has no {name}"));
            assert_eq!(header("content-type"), *kind);
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("referrer-policy"), "no-referrer");
            assert_eq!(header("cache-control"), "no-cache");
            assert_eq!(header("content-length"), text_of(name).len().to_string());
            let policy = header("content-security-policy");
            let mut parts: Vec<&str> = policy.split("; ").collect();
            parts.sort_unstable();
            let expected = [
                "base-uri 'none'",
                "connect-src 'self'",
                "default-src 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
                "img-src 'self' blob: data:",
                "script-src 'self'",
                "style-src 'self'",
            ];
            assert_eq!(parts, expected);
        }
        for method in ["GET", "HEAD"] {
            assert_eq!(deployment.server.ask(method, target, &[], b"").status, 404, "{target}");
        }
        deployment.admin("POST", target, "").error(405);
    }
}

#[test]
fn the_page_is_not_shown_to_foreign_pages() {
    let port = free_port();
    let deployment = Deployment::started("", &[], |command| {
        command.args(["--admin", &format!("127.0.0.1:{port}")]);
    });
    let own = format!("127.0.0.1:{port}");
    for (target, ..) in FILES {
        let ask = |headers: &[(&str, &str)]| {
            by_http(patient(TcpStream::connect(("127.0.0.1", port)).unwrap()), "GET", target, headers, b"")
        };
        assert_eq!(ask(&[("Host", &own)]).status, 200);
        ask(&[("Host", "evil.example")]).error(403);
        ask(&[("Host", &own), ("Origin", "https://evil.example")]).error(403);
    }
    drop(deployment);
}

/// What the policy would refuse, so that no browser is needed to find it; and texts are never read as HTML.
#[test]
fn the_pages_files_are_all_there_is_to_it() {
    let mut names: Vec<String> = std::fs::read_dir(source("src/api/admin/page"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut served: Vec<&str> = FILES.iter().map(|(.., name)| *name).collect();
    served.sort_unstable();
    assert_eq!(names, served);
    for name in served {
        let text = text_of(name);
        for forbidden in [
            "://",
            "\"//",
            "@import",
            "url(",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            " style=\"",
            " onclick=",
            " onload=",
            " onerror=",
            "<style",
            "javascript:",
        ] {
            assert!(!text.contains(forbidden), "{name} has {forbidden}");
        }
        assert!(text.lines().count() <= 350, "{name} is long");
    }
    let html = text_of("index.html");
    let ids: Vec<&str> = html.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let (mut unique, all) = (ids.clone(), ids.len());
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), all, "{ids:?}");
    // What scripts look for is there.
    for name in ["page.js", "try.js", "fill.js"] {
        for id in
            text_of(name).split("part('").skip(1).map(|rest| rest.split('\'').next().unwrap().to_owned())
        {
            assert!(ids.contains(&&*id), "{name} looks for {id}");
        }
    }
}

/// A server whose page a browser can open: with a model of measurements, one of pictures, and fakes.
fn with_page(config: &str, more: &[(&str, &str)]) -> (Deployment, u16) {
    let port = free_port();
    (with_page_at(port, config, more), port)
}

fn with_page_at(port: u16, config: &str, more: &[(&str, &str)]) -> Deployment {
    let samples =
        ["iris/model.onnx", "iris/model.toml", "iris/labels.txt", "digits/model.onnx", "digits/model.toml"];
    let samples = samples.map(|path| (path, read(&format!("models/{path}"))));
    let mut files: Vec<(&str, &[u8])> = samples.iter().map(|(path, content)| (*path, &**content)).collect();
    files.extend(more.iter().map(|(path, content)| (*path, content.as_bytes())));
    let mut deployment = Deployment::started(config, &files, |command| {
        command.args(["--admin", &format!("127.0.0.1:{port}")]);
    });
    deployment.server.process.wait_until_it_listens(port);
    deployment
}

#[track_caller]
fn nothing_in_the_console(browser: &Browser) {
    assert_eq!(browser.console(), [""; 0]);
}

#[test]
#[ignore = "it takes Chromium: scripts/test.sh browser"]
fn a_browser_shows_what_is_there_and_what_is_wrong() {
    let config = "strict_models = false\n[workers]\ncount = 2\nslow_after = '250ms'\nstuck_after = '1s'\nmax_stuck = 100";
    let fakes = [
        ("slow/model.toml", "kind = 'fake'\n[fake]\nsleep = '20s'"),
        (
            "wedge/model.toml",
            "kind = 'fake'\ndeadline = '500ms'\n[fake]\nsleep = '60s'\nignore_terminate = true",
        ),
        ("hostile/model.toml", "[batch]\n\"<img src=x:><b id=bold>bold</b>\" = 1"),
    ];
    let (deployment, port) = with_page(config, &fakes);
    let browser = Browser::open(&format!("http://127.0.0.1:{port}/"));
    browser.wait_for("header", "ready");
    browser.wait_for("header", env!("CARGO_PKG_VERSION"));
    assert_eq!(browser.run("return document.querySelectorAll('#workers > li').length"), 2);
    browser.wait_for("#workers", "idle");
    for name in ["iris", "digits", "slow", "wedge", "hostile"] {
        browser.wait_for("#models th", name);
    }
    // The words of a model's settings are words.
    browser.wait_for("#alarms", "<b id=bold>bold</b>");
    browser.wait_for("#models", "<b id=bold>bold</b>");
    assert_eq!(browser.run("return document.querySelectorAll('#bold, section img[src=\"x:\"]').length"), 0);

    let served: Vec<_> =
        (0..5).map(|_| deployment.server.post("/predict/iris", "[[5.1, 3.5, 1.4, 0.2]]")).collect();
    served.iter().for_each(|reply| reply.ok_or_empty());
    browser.wait_for("[data-is='fine']", "5");
    browser.wait_for("[data-is='p50']", "ms");
    thread::scope(|scope| {
        scope.spawn(|| deployment.server.post("/predict/slow?timeout=3s", "[[1, 2]]").error(504));
        browser.wait_for("#alarms", "a run of slow/1 on worker");
        browser.wait_for("#workers", "slow/1");
        browser.wait_for("#announcement", "slow");
    });
    eventually("it is over", || !browser.text("#alarms").contains("a run of slow/1"));
    deployment.server.post("/predict/wedge", "[[1, 2]]").error(504);
    browser.wait_for("#alarms", "a run of wedge/1 on worker");
    browser.wait_for("#workers .bad", "stuck");
    browser.wait_for("#models .bad", "closed");
    browser.wait_for("[data-is='failed']", "2");
    nothing_in_the_console(&browser);
}

#[test]
#[ignore = "it takes Chromium: scripts/test.sh browser"]
fn a_browser_tries_models_by_json_and_by_picture() {
    let (_deployment, port) = with_page("", &[("echo/model.toml", "kind = 'fake'")]);
    let browser = Browser::open(&format!("http://127.0.0.1:{port}/"));
    let choose = |name: &str| {
        eventually(name, || browser.text("#model").contains(name));
        browser.click(&format!("#model option[value='[\"{name}\",null]']"));
    };
    let written = || browser.run("return document.getElementById('text').value");
    choose("iris");
    eventually("an example of its shape", || {
        written() == json!(r#"{"inputs": {"measurements": [[0, 0, 0, 0]]}}"#)
    });
    browser.clear("#text");
    browser.keys("#text", r#"{"inputs": {"measurements": [[5.1, 3.5, 1.4, 0.2]]}}"#);
    browser.click("#ask");
    browser.wait_for("#outcome", "200 OK, ");
    browser.wait_for("#outcome", "request ");
    browser.wait_for("#results li:first-child", "setosa");

    choose("digits");
    eventually("it is asked with a picture", || !browser.text("#picture").is_empty());
    browser.file("#file", &source("models/digits/samples/3.png"));
    browser.click("#ask");
    browser.wait_for("#results li:first-child [data-is='label']", "3");
    assert_eq!(browser.run("return document.getElementById('preview').naturalWidth > 0"), true);

    choose("echo");
    browser.click("input[value='json']");
    browser.clear("#text");
    browser.keys("#text", "[[1.5, 2]]");
    browser.click("#ask");
    browser.wait_for("#results pre", r#"{"output": [1.5, 2]}"#);
    // What was written for another is there again.
    choose("iris");
    eventually("what was written", || written().as_str().unwrap().contains("5.1"));
    nothing_in_the_console(&browser);

    browser.clear("#text");
    browser.keys("#text", "[[1]]");
    browser.click("#ask");
    browser.wait_for("#outcome.bad", "400 Bad Request");
    browser.wait_for("#outcome.bad", "model 'iris'");
    assert_eq!(browser.text("#results"), "");
    let console = browser.console();
    assert!(console.iter().all(|line| line.starts_with("\"network\"")), "{console:?}");
}

#[test]
#[ignore = "it takes Chromium: scripts/test.sh browser"]
fn where_the_server_is_gone_the_page_says_so_until_it_is_back() {
    let (mut deployment, port) = with_page("", &[]);
    let browser = Browser::open(&format!("http://127.0.0.1:{port}/"));
    (0..3).for_each(|_| deployment.server.post("/predict/iris", "[[5.1, 3.5, 1.4, 0.2]]").ok_or_empty());
    browser.wait_for("#models", "iris");
    browser.wait_for("#well", "Nothing is wrong.");
    nothing_in_the_console(&browser);
    // What answers nothing is as good as gone.
    deployment.server.process.signal("STOP");
    browser.wait_for("#silence", "gives no status since");
    deployment.server.process.signal("CONT");
    eventually("it is back", || browser.text("#silence").is_empty());

    deployment.server.process.signal("TERM");
    deployment.server.process.wait();
    browser.wait_for("#silence", "there is no connection");
    assert_eq!(browser.text("#well"), "");
    browser.wait_for("#models", "iris");

    let anew = with_page_at(port, "", &[]);
    eventually("another is there", || browser.text("#silence").is_empty());
    browser.wait_for("[data-is='process']", &format!("process {}", anew.server.process.id()));
    browser.wait_for("#well", "Nothing is wrong.");
    // It counts from 0, and no less.
    anew.server.post("/predict/iris", "[[5.1, 3.5, 1.4, 0.2]]").ok_or_empty();
    browser.wait_for("[data-is='fine']", "1");
    let console = browser.console();
    assert!(console.iter().all(|line| line.starts_with("\"network\"")), "{console:?}");
}
