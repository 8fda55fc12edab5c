//! `predictd top`, on a terminal and without one.

use crate::{
    harness::{Server, Terminal, abstract_socket, packet, predictd, samples},
    pool::with_fakes,
    process::Process,
};
use std::{
    io::Write,
    os::unix::net::UnixStream,
    process::{Command, Output},
};

const IRIS: &str = r#"{"inputs": {"measurements": [[5.1, 3.5, 1.4, 0.2]]}}"#;

fn top(admin: &str) -> Command {
    let mut command = predictd();
    command.args(["top", "--interval", "100ms", "--admin", admin]);
    command
}

fn admin(server: &Server) -> String {
    format!("unix:{}", server.folder.path().join("admin.sock").display())
}

/// Its figures, in the row of a table that begins with this.
fn row<'a>(screen: &'a str, first: &str) -> Vec<&'a str> {
    let words = |line: &'a str| line.split_whitespace().collect::<Vec<_>>();
    screen.lines().map(words).find(|words| words.first() == Some(&first)).unwrap_or_default()
}

#[test]
fn the_view_is_live_and_minds_its_keys() {
    let server = Server::start();
    let mut terminal = Terminal::start(top(&admin(&server)), 80, 40);
    terminal.wait_for("requests     0/s   2xx 0/s");
    let begun = format!("process {}, ready", server.process.id());
    let screen = terminal.wait_for(&begun);
    assert!(screen.contains("\nWORKER") && screen.contains("\nMODEL"), "{screen}");
    std::thread::scope(|scope| {
        let (ended, is_ended) = std::sync::mpsc::sync_channel::<()>(1);
        let (ask, server) = (is_ended, &server);
        scope.spawn(move || {
            while ask.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                server.post("/predict/iris", IRIS).ok();
            }
        });
        terminal.wait_until("requests are seen", |screen| {
            let row = row(screen, "iris");
            row.get(4).and_then(|rate| rate.parse().ok()).is_some_and(|rate: f64| rate > 0.0)
        });
        terminal.wait_until("and how long they take", |screen| {
            screen.lines().any(|line| line.starts_with("latency      mean ") && !line.contains("mean -"))
        });
        ended.send(()).unwrap();
    });
    terminal.wait_until("they are over", |screen| row(screen, "iris").get(4) == Some(&"0"));
    terminal.press("s");
    terminal.wait_for("s sort: requests/s");
    terminal.press("?");
    terminal.wait_for("any key          back");
    terminal.press("x");
    terminal.wait_until("the help is gone", |screen| !screen.contains("any key"));
    terminal.press("p");
    terminal.wait_for("PAUSED");
    terminal.press("p");
    terminal.wait_until("it goes on", |screen| !screen.contains("PAUSED"));
    let narrow = terminal.wait_until("a row of keys", |screen| screen.contains("q quit"));
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    terminal.resize(200, 50);
    terminal.wait_until("wide columns, and the keys below", |screen| {
        screen.contains("ANSWERED") && screen.lines().nth(49).is_some_and(|line| line.starts_with("q quit"))
    });
    terminal.resize(80, 24);
    terminal.wait_until("and narrow ones", |screen| {
        !screen.contains("ANSWERED") && screen.lines().nth(23).is_some_and(|line| line.starts_with("q quit"))
    });
    terminal.press("q");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn every_end_leaves_the_terminal_as_it_was() {
    let server = Server::start();
    for (how, code) in [("\x03", 0), ("\x1b", 0), ("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let mut terminal = Terminal::start(top(&admin(&server)), 80, 24);
        terminal.wait_for("q quit");
        if how.len() == 1 {
            terminal.press(how);
        } else {
            terminal.signal(how);
        }
        assert_eq!(terminal.end().0, Some(code), "{how:?}");
    }
}

#[test]
fn a_server_that_is_gone_is_waited_for() {
    let (admin, listen) = (abstract_socket("top-admin"), abstract_socket("top"));
    let start = || {
        let mut command = predictd();
        command.args(["serve", "--admin", &admin, "--listen", &listen, "--models"]).arg(samples());
        let process = Process::start(command);
        process.wait_for_line("phase=\"ready\"");
        process
    };
    let mut first = start();
    let mut terminal = Terminal::start(top(&admin), 80, 24);
    terminal.wait_for(&format!("process {}, ready", first.id()));
    first.signal("TERM");
    assert!(first.wait().success());
    let gone = terminal.wait_for("NO ANSWER for ");
    assert!(gone.contains(&format!("no server answers on {admin}")), "{gone}");
    assert!(gone.contains("iris"), "what was known is still there:\n{gone}");
    let second = start();
    terminal.wait_until("the new one is there", |screen| {
        screen.contains(&format!("process {}, ready", second.id())) && !screen.contains("NO ANSWER")
    });
    terminal.wait_for("requests     0/s");
    terminal.press("q");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn slow_and_stuck_runs_stand_out_with_and_without_colours() {
    let config = "workers = { count = 2, pin = 'off', stuck_after = '100ms' }";
    let server = with_fakes(
        config,
        &[
            ("wedge", "deadline = '300ms'\n[fake]\nsleep = '1h'\nignore_terminate = true"),
            ("sleepy", "[fake]\nsleep = '1h'"),
        ],
    );
    let body = br#"{"inputs": {"input": [[1]]}}"#;
    // Who goes away in the end, so that nothing sleeps for longer.
    let ask = |model: &str| {
        let mut stream = UnixStream::connect(server.socket()).unwrap();
        let head = packet("POST", &format!("/predict/{model}"), &[], body.len());
        stream.write_all(&[&head, &body[..]].concat()).unwrap();
        stream
    };
    let _asked = [ask("wedge"), ask("sleepy")];
    let mut coloured = Terminal::start(top(&admin(&server)), 80, 24);
    let mut plain = {
        let mut command = top(&admin(&server));
        command.env("NO_COLOR", "1");
        Terminal::start(command, 80, 24)
    };
    for terminal in [&coloured, &plain] {
        let screen = terminal.wait_until("both are seen", |screen| {
            screen.contains(" STUCK ") && screen.contains(" SLOW ") && screen.contains(" sleepy ")
        });
        assert!(screen.contains(" is stuck: it did not end when told to"), "{screen}");
    }
    // Select graphic rendition with a colour of the foreground, ECMA-48 8.3.117.
    let has_colours = |terminal: &Terminal| terminal.raw().contains("38;5;1");
    assert!(has_colours(&coloured) && !has_colours(&plain), "{:?}", plain.raw());
    assert!(plain.raw().contains("\x1b[7m"), "reversed instead: {:?}", plain.raw());
    for terminal in [&mut coloured, &mut plain] {
        terminal.press("q");
    }
    assert_eq!([coloured.end().0, plain.end().0], [Some(0); 2]);
}

#[test]
fn without_a_terminal_there_is_one_screen() {
    let server = Server::start();
    let run = |command: &mut Command| -> Output { command.output().unwrap() };
    let output = run(top(&admin(&server)).env("COLUMNS", "80"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.starts_with("predictd ") && text.contains("\nWORKER") && text.contains("\nMODEL"), "{text}");
    assert!(!text.contains('\x1b') && !text.contains("quit"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(row(&text, "iris").get(4), Some(&"0"), "figures are of an interval: {text}");
    for model in ["digits", "iris", "odd_names"] {
        assert!(!row(&text, model).is_empty(), "all models are there, {model} too: {text}");
    }

    let mut dumb = top(&admin(&server));
    dumb.env("TERM", "dumb");
    let terminal = Terminal::start(dumb, 80, 100);
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(0));
    assert!(screen.contains("WORKER") && !screen.contains("quit"), "{screen}");

    let mut once = top(&admin(&server));
    once.arg("--once");
    let (code, screen) = Terminal::start(once, 80, 100).end();
    assert_eq!(code, Some(0));
    assert!(screen.contains("WORKER") && !screen.contains("quit"), "{screen}");
}

#[test]
fn nobody_to_ask_is_said_before_anything_is_drawn() {
    let nobody = abstract_socket("top-nobody");
    let (code, screen) = Terminal::start(top(&nobody), 120, 24).end();
    assert_eq!(code, Some(69));
    assert!(screen.starts_with(&format!("predictd: no server answers on {nobody}: ")), "{screen}");
    let output = top("127.0.0.1:1").args(["--interval", "1ms"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "too often");
}
