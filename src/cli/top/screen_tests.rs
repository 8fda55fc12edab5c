//! Tests of `screen.rs`.

use super::*;
use crate::telemetry::snapshot::{
    Alarm, Connections, Counts, Cpu, Done, Memory, Model, ModelTimes, Requests, Snapshot, Worker,
};

fn times(count: u64, total_s: f64, p50_s: f64) -> Times {
    let mut buckets = vec![0; 20];
    let at = crate::telemetry::snapshot::bounds_s().position(|bound| bound > p50_s).unwrap_or_default();
    buckets[at] = count;
    Times { count, total_s, p50_s: Some(p50_s), p99_s: Some(p50_s), buckets }
}

fn worker(number: usize, state: &str, model: &str, for_s: f64) -> Worker {
    let is_idle = state == "idle";
    Worker {
        worker: number,
        cpu: (number <= 2).then(|| number - 1),
        spare: number > 2,
        state: state.into(),
        model: (!is_idle).then(|| model.to_owned()),
        version: (!is_idle).then(|| "1".to_owned()),
        rows: usize::from(!is_idle),
        for_s,
        requests: if is_idle { vec![] } else { vec!["c7d199381069f6547d9ce8385ecb7999".into()] },
        done: Done { executions: 12_345, busy_s: 1.0, ..Done::default() },
        ..Worker::default()
    }
}

fn model(name: &str, state: &str, count: u64) -> Model {
    Model {
        name: name.into(),
        version: Some("1".into()),
        state: state.into(),
        queue_rows: 9,
        queue_limit: 16,
        counts: Counts {
            requests_success: count,
            rows: 2 * count,
            executions: count / 2,
            executions_rows: 2 * count,
            requests_failed: [("deadline".to_owned(), count / 10), ("full".to_owned(), 0)].into(),
            ..Counts::default()
        },
        time: ModelTimes {
            queue: times(count, count as f64 * 0.0008, 0.0008),
            run: times(count, count as f64 * 0.0031, 0.0031),
            ..ModelTimes::default()
        },
        ..Model::default()
    }
}

fn snapshot(seconds: u64) -> Snapshot {
    let alarm = |kind: &str, text: &str| Alarm { kind: kind.into(), text: text.into(), for_s: 6.8 };
    Snapshot {
        version: "0.1.0".into(),
        pid: 4711,
        phase: "ready".into(),
        ready: true,
        uptime_s: 8000.0 + seconds as f64,
        cpu_s: Cpu { user: 1.5 * seconds as f64, system: 0.13 * seconds as f64 },
        memory: Memory {
            rss_bytes: 212 << 20,
            in_flight_bytes: 300 << 20,
            in_flight_limit_bytes: 512 << 20,
            ..Memory::default()
        },
        connections: Connections { open: 14, limit: 8192, accepted: 1000 * seconds, refused: 0 },
        requests: Requests {
            received: 1000 * seconds,
            under_way: 12,
            answered: [(
                "uwsgi".to_owned(),
                [("200".to_owned(), 900 * seconds), ("503".to_owned(), 100 * seconds)].into(),
            )]
            .into(),
            latency: [("uwsgi".to_owned(), times(1000 * seconds, 4.0 * seconds as f64, 0.004))].into(),
            ..Requests::default()
        },
        rejected: [("full".to_owned(), 3 * seconds)].into(),
        sockets: vec![Socket {
            address: "unix:/run/predictd/predictd.sock".into(),
            waiting: Some(3),
            backlog: Some(4096),
            ..Socket::default()
        }],
        workers: vec![
            worker(1, "idle", "", 0.0),
            worker(2, "stuck", "wedge", 6.8),
            worker(3, "slow", "echo", 0.4),
        ],
        models: vec![model("echo", "ready", 500 * seconds), model("wedge", "closed", 0)],
        alarms: vec![
            alarm("stuck", "a run of wedge/1 on worker 2 is stuck: it did not end when told to"),
            alarm("slow", "a run of echo/1 on worker 3 is slow"),
        ],
        ..Snapshot::default()
    }
}

fn with(
    now: &Snapshot,
    before: &Snapshot,
    columns: usize,
    rows: usize,
    change: fn(&mut View<'_>),
) -> Vec<Line> {
    let mut view = View {
        figures: Figures::of(now, Some(before), Order::Name),
        history: None,
        order: Order::Name,
        skipped: 0,
        mode: "every 1.0 s".into(),
        silence: None,
        has_keys: true,
    };
    change(&mut view);
    view.lines(columns, rows)
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.to_string().trim_end().to_owned() + "\n").collect()
}

#[test]
fn all_of_it_fits_eighty_columns_and_twenty_four_rows() {
    let shown = text(&with(&snapshot(2), &snapshot(1), 80, 24, |_| {}));
    let expected = "\
predictd 0.1.0, process 4711, ready, up 2 h 13 min                   every 1.0 s
requests     1000/s   2xx 900/s   4xx 0/s   5xx 100/s   refused: full 3.0/s
latency      mean 4.0 ms   p50 3.5 ms   p99 5.0 ms   12 under way
process      cpu 163 %   memory 212 MiB   in flight 300 MiB of 512 MiB   files 0
connections  14 open of 8192   1000/s new
waiting at   unix:/run/predictd/predictd.sock 3 of 4096

     6.8 s  a run of wedge/1 on worker 2 is stuck: it did not end when told to
     6.8 s  a run of echo/1 on worker 3 is slow

WORKER   CORE  STATE     FOR  MODEL  VER  ROWS  RUNS/S  ROWS/S  BUSY  FAILED
     1      0  idle                                  0       0   0 %       0
     2      1  STUCK   6.8 s  wedge  1       1       0       0   0 %       0
     3  spare  SLOW   400 ms  echo   1       1       0       0   0 %       0

MODEL  VER  STATE   QUEUE  REQ/S  ROWS/S  BATCH    WAIT     RUN     P99  FAIL/S
echo   1    ready    9/16    550    1000    4.0  800 us  3.1 ms  5.0 ms      50
wedge  1    CLOSED   9/16      0       0      -       -       -       -       0





q quit   s sort: name   p pause   ? help
";
    assert_eq!(shown, expected);
}

#[test]
fn no_line_is_wider_and_no_screen_longer_than_there_is_room() {
    let (before, mut now) = (snapshot(1), snapshot(2));
    now.models = (0..70).map(|at| model(&format!("a-model-of-a-long-name-{at}"), "ready", 9)).collect();
    now.workers = (1..65).map(|at| worker(at, "running", "a-model-of-a-long-name-1", 0.1)).collect();
    now.alarms = vec![now.alarms[0].clone(); 40];
    for (columns, rows) in [(40, 10), (61, 17), (80, 24), (132, 43), (200, 50), (300, 100), (80, 1), (80, 0)]
    {
        let lines = with(&now, &before, columns, rows, |view| {
            view.silence = Some(("no server answers on unix:/run/predictd/admin.sock: gone".into(), 9.0));
        });
        assert!(lines.len() <= rows, "{columns}x{rows}: {} lines", lines.len());
        if rows >= 24 {
            let shown = text(&lines);
            assert!(shown.contains("\nWORKER") && shown.contains("\nMODEL"), "{columns}x{rows}:\n{shown}");
        }
        for line in lines {
            assert!(line.width() <= columns, "{columns}x{rows}: {line}");
        }
    }
}

#[test]
fn what_has_no_room_is_counted_and_scrolled_to() {
    let (before, mut now) = (snapshot(1), snapshot(2));
    now.alarms.clear();
    now.models = (10..40).map(|at| model(&format!("m{at}"), "ready", 9)).collect();
    let names = |lines: &[Line]| -> Vec<String> {
        let shown = text(lines);
        let rows = shown.lines().filter(|line| line.starts_with('m') || line.starts_with('…'));
        rows.map(|line| line.split("  ").next().unwrap_or_default().to_owned()).collect()
    };
    let first = names(&with(&now, &before, 80, 24, |_| {}));
    assert_eq!((&*first[0], &*first[first.len() - 1]), ("m10", "… 21 more"));
    let later = names(&with(&now, &before, 80, 24, |view| view.skipped = 3));
    assert_eq!((&*later[0], &*later[later.len() - 1]), ("m13", "… 3 above, 18 more"));
    let last = names(&with(&now, &before, 80, 24, |view| view.skipped = 29));
    assert_eq!((&*last[last.len() - 2], &*last[last.len() - 1]), ("m39", "… 21 above"));
    let all = with(&now, &before, 80, usize::MAX, |view| view.has_keys = false);
    assert!(text(&all).trim_end().lines().last().is_some_and(|line| line.starts_with("m39")));
}

#[test]
fn where_workers_have_no_room_the_troubled_come_first() {
    let (before, mut now) = (snapshot(1), snapshot(2));
    let states = [(9, "running"), (17, "slow"), (25, "stuck")];
    let state = |at| states.iter().find(|(number, _)| *number == at).map_or("idle", |(_, state)| *state);
    now.workers = (1..65).map(|at| worker(at, state(at), "echo", 0.4)).collect();
    let numbers = |rows| -> Vec<String> {
        let lines = with(&now, &before, 80, rows, |view| view.has_keys = false);
        let table = lines.iter().map(ToString::to_string).skip_while(|line| !line.starts_with("WORKER"));
        let numbers = table.skip(1).map(|line| line.split_whitespace().next().unwrap_or_default().to_owned());
        numbers.take(5).collect()
    };
    assert_eq!(numbers(24), ["25", "17", "9", "1", "2"]);
    assert_eq!(numbers(usize::MAX), ["1", "2", "3", "4", "5"]);
}

#[test]
fn silence_is_above_all_and_what_is_older_steps_back() {
    let lines = with(&snapshot(2), &snapshot(1), 80, 24, |view| {
        view.silence = Some(("no server answers on unix:/x: Connection refused".into(), 72.0));
    });
    let said = "NO ANSWER for 1 min 12 s: no server answers on unix:/x: Connection refused; what";
    assert_eq!(text(&lines).lines().nth(1), Some(said));
    let inks: Vec<Ink> = lines.iter().flat_map(|line| line.0.iter().map(|piece| piece.ink)).collect();
    assert!(inks.iter().all(|ink| matches!(ink, Ink::Aside | Ink::Bad)), "{inks:?}");
    assert_eq!(inks.iter().filter(|ink| **ink == Ink::Bad).count(), 2, "two lines");
}

#[test]
fn what_is_wrong_is_in_its_ink() {
    let (before, mut now) = (snapshot(1), snapshot(2));
    now.ready = false;
    now.phase = "draining".into();
    let lines = with(&now, &before, 80, 24, |_| {});
    let ink = |text: &str| {
        let pieces = lines.iter().flat_map(|line| &line.0);
        pieces.filter(|piece| piece.text.trim() == text).map(|piece| piece.ink).next()
    };
    for (text, expected) in [
        ("draining", Ink::Warn),
        ("NOT READY", Ink::Bad),
        ("2xx 900/s", Ink::Good),
        ("4xx 0/s", Ink::Plain),
        ("5xx 100/s", Ink::Bad),
        ("in flight 300 MiB of 512 MiB", Ink::Warn),
        ("unix:/run/predictd/predictd.sock 3 of 4096", Ink::Plain),
        ("STUCK", Ink::Bad),
        ("SLOW", Ink::Warn),
        ("idle", Ink::Aside),
        ("CLOSED", Ink::Bad),
        ("9/16", Ink::Warn),
        ("50", Ink::Bad),
    ] {
        assert_eq!(ink(text), Some(expected), "{text}\n{}", self::text(&lines));
    }
}

#[test]
fn two_tables_share_rows() {
    for (rows, first, second, expected) in [
        (20, 5, 7, (5, 7)),
        (20, 5, 70, (5, 15)),
        (20, 70, 5, (15, 5)),
        (20, 70, 70, (10, 10)),
        (0, 3, 3, (0, 0)),
        (usize::MAX, 70, 70, (70, 70)),
    ] {
        assert_eq!(shares(rows, first, second), expected, "{rows} for {first} and {second}");
    }
}
