//! What is said of mistakes: of all of a file in one go, each with its place, its key and what would be right.

use super::{Overrides, tests::from};

/// Texts of a predictd.toml and what is said of each, the name of the file before the place left out.
#[rustfmt::skip]
const FILE: &[(&str, &[&str])] = &[
    // Keys that there are not, with the nearest that there is, or its place.
    ("[limits]\nbodi = '1MiB'", &["2:1: limits.bodi: there is no such key; did you mean `body`?"]),
    ("bodi = '1MiB'", &["1:1: bodi: there is no such key; did you mean `body`, which belongs to [limits]?"]),
    ("body = '1MiB'", &["1:1: body: there is no such key here: `body` belongs to [limits]"]),
    ("[limits]\nlisten = []", &["2:1: limits.listen: there is no such key here: `listen` belongs to the top of the file, above the first [table]"]),
    ("[limit]\nbody = '1MiB'", &["1:2: limit: there is no such key; did you mean `limits`?"]),
    ("max_rows = 3", &["1:1: max_rows: there is no such key here: `max_rows` belongs to [defaults.batch]"]),
    ("[batch]\nmax_rows = 3", &["1:2: batch: there is no such key here: `batch` is the table [defaults.batch]"]),
    ("[workers]\nprocesses = 4", &["2:1: workers.processes: there is no such key; [workers] has count, max_stuck, pin, slow_after, stuck_after, threads"]),
    ("[defaults.batch]\nmax_row = 3", &["2:1: defaults.batch.max_row: there is no such key; did you mean `max_rows`?"]),
    ("\"a\\u001b\" = 1\n", &["1:1: \"a\\u{1b}\": there is no such key; the top of the file has admin, admin_allow_remote, admin_hosts, cache, defaults, limits, listen, log, models, onnxruntime, pidfile, socket, strict_models, uwsgi_stats, wires, workers"]),
    // Values of another kind.
    ("[limits]\nbody = 64", &["2:8: limits.body: 64 is not a size: a whole number and one of B, KiB, MiB, GiB, TiB, KB, MB, GB, TB, as in \"64MiB\""]),
    ("[limits]\nbody = '64m'", &["2:8: limits.body: \"64m\" is not a size: a whole number and one of B, KiB, MiB, GiB, TiB, KB, MB, GB, TB, as in \"64MiB\"; did you mean \"64MiB\"?"]),
    ("[limits]\ndrain = '30 seconds'", &["2:9: limits.drain: \"30 seconds\" is not a duration: a whole number and one of us, ms, s, m, h, as in \"250ms\"; did you mean \"30s\"?"]),
    ("[limits]\ndrain = '-1s'", &["2:9: limits.drain: \"-1s\" is not a duration: a whole number and one of us, ms, s, m, h, as in \"250ms\""]),
    ("[limits.body]\nx = 1", &["1:1: limits.body: a table is not a size: a whole number and one of B, KiB, MiB, GiB, TiB, KB, MB, GB, TB, as in \"64MiB\""]),
    ("strict_models = 'true'", &["1:17: strict_models: \"true\" is not true or false; write true, without quotes"]),
    ("[workers]\ncount = '2'", &["2:9: workers.count: \"2\" is not \"auto\" or a whole number; write 2, without quotes"]),
    ("[workers]\ncount = 'Auto'", &["2:9: workers.count: \"Auto\" is not \"auto\" or a whole number; did you mean \"auto\"?"]),
    ("[workers]\ncount = 1.5\nthreads = 1e3", &["2:9: workers.count: 1.5 is not \"auto\" or a whole number", "3:11: workers.threads: 1000.0 is not a whole number"]),
    ("workers = 4", &["1:1: workers: 4 is not a table: write [workers], and below it count, max_stuck, pin, slow_after, stuck_after, threads"]),
    ("[[log]]\nlevel = 'info'", &["1:3: log: a list is not a table: write [log], and below it access, access_file, file, format, level"]),
    ("models = 1979-05-27", &["1:10: models: a date is not a path"]),
    ("models = ''", &["1:10: models: \"\" is not a path"]),
    ("models = '~/models'", &["1:10: models: \"~/models\" is not a whole path: ~ means nothing here (write ./~ for a folder of that name)"]),
    ("[workers]\npin = '3-1'", &["2:7: workers.pin: \"3-1\" is not \"auto\", \"off\" or a list of cores like \"0-3,8\""]),
    ("[socket]\nmode = 660", &["2:8: socket.mode: 660 is not a mode: write it in octal, like \"0660\""]),
    ("[socket]\nmode = '+660'", &["2:8: socket.mode: \"+660\" is not a mode: write it in octal, like \"0660\""]),
    ("[socket]\nmode = '0444'", &["2:8: socket.mode: \"0444\" lets nobody connect: that takes write permission, as in \"0660\""]),
    ("[socket]\nowner = 'a b'\nallow_users = [33, -1, 'x:y']", &["2:9: socket.owner: \"a b\" is not the name or number of a user", "3:20: socket.allow_users: -1 is not the name or number of a user", "3:24: socket.allow_users: \"x:y\" is not the name or number of a user"]),
    ("admin_hosts = ['http://x']", &["1:16: admin_hosts: \"http://x\" is not the name of a host, without scheme and port"]),
    ("[log]\nlevel = 'warning'", &["2:9: log.level: \"warning\" is not \"error\", \"warn\", \"info\", \"debug\" or \"trace\"; did you mean \"warn\"?"]),
    ("[log]\nformat = 'xml'", &["2:10: log.format: \"xml\" is not \"text\" or \"json\""]),
    ("[onnxruntime]\nlibrary = true", &["2:11: onnxruntime.library: true is not \"auto\" or a path"]),
    ("[onnxruntime]\nlibrary = '~/x'", &["2:11: onnxruntime.library: \"~/x\" is not a whole path: ~ means nothing here (write ./~ for a folder of that name)"]),
    // Too little, too much.
    ("[workers]\ncount = 0\nthreads = -1", &["2:9: workers.count: 0 is too small: at least 1", "3:11: workers.threads: -1 is too small: at least 1"]),
    ("[workers]\nmax_stuck = 99999999999999999999", &["2:13: workers.max_stuck: 99999999999999999999 is too large: at most 1048576"]),
    ("[limits]\nhead = '1MiB'", &["2:8: limits.head: \"1MiB\" is too large: at most 64KiB"]),
    ("[limits]\nbody = '0B'", &["2:8: limits.body: \"0B\" is too small: at least 1B"]),
    ("[limits]\nbody = '99999999999999999999MiB'", &["2:8: limits.body: \"99999999999999999999MiB\" is too large: at most 1024TiB"]),
    ("[limits]\nin_flight = '99999999999999999999MiB'", &["2:13: limits.in_flight: \"99999999999999999999MiB\" is too large: at most 1024TiB"]),
    ("[limits]\nidle_timeout = '0s'", &["2:16: limits.idle_timeout: \"0s\" is too small: at least 1us"]),
    ("[limits]\ndrain = '99999999h'", &["2:9: limits.drain: \"99999999h\" is too large: at most 876000h"]),
    // Lists.
    ("listen = []", &["1:10: listen: [] is not a list of one or more, each an address: write unix:/path, unix:@name, 127.0.0.1:8090, [::1]:8090 or fd:NAME"]),
    ("listen = '127.0.0.1:8090'", &["1:10: listen: \"127.0.0.1:8090\" is not a list: write [\"127.0.0.1:8090\"]"]),
    ("listen = ['x', 'unix:y', 1]", &[
        "1:11: listen: 'x' is not an address: write unix:/path, unix:@name, 127.0.0.1:8090, [::1]:8090 or fd:NAME",
        "1:16: listen: 'unix:y' is not an address: write unix:/path, unix:@name, 127.0.0.1:8090, [::1]:8090 or fd:NAME",
        "1:26: listen: 1 is not an address: write unix:/path, unix:@name, 127.0.0.1:8090, [::1]:8090 or fd:NAME",
    ]),
    ("listen = ['[::1]:1', '[::1]:1']", &["1:22: listen: \"[::1]:1\" is there twice"]),
    ("wires = []", &["1:9: wires: [] is not a list of one or more, each \"uwsgi\", \"fastcgi\" or \"http\""]),
    ("wires = ['fastcg', 'http', 'http']", &["1:10: wires: \"fastcg\" is not \"uwsgi\", \"fastcgi\" or \"http\"; did you mean \"fastcgi\"?", "1:28: wires: \"http\" is there twice"]),
    ("[onnxruntime]\nproviders = []", &["2:13: onnxruntime.providers: [] is not a list of one or more, each \"cpu\", \"cuda\", \"tensorrt\", \"migraphx\" or \"openvino\""]),
    ("[onnxruntime]\nproviders = ['CUDA', 'cpu']", &["2:14: onnxruntime.providers: \"CUDA\" is not \"cpu\", \"cuda\", \"tensorrt\", \"migraphx\" or \"openvino\"; did you mean \"cuda\"?"]),
    ("[onnxruntime]\nproviders = ['cuda', 'cuda']", &["2:22: onnxruntime.providers: \"cuda\" is there twice"]),
    ("[onnxruntime]\nproviders = ['cpu', 'cuda']", &["2:14: onnxruntime.providers: \"cpu\" has to be the last, since it runs everything: what follows is never used"]),
    // What cannot both be.
    ("admin = '127.0.0.1:8090'", &["1:9: admin: 127.0.0.1:8090 is taken by listen = 127.0.0.1:8090 already (default)"]),
    ("admin = '127.0.0.1:1'\nlisten = ['unix:/x', '0.0.0.0:1']", &["2:22: listen: 0.0.0.0:1 is taken by admin = 127.0.0.1:1 already (predictd.toml:1)"]),
    ("listen = ['[::]:1', '127.0.0.1:1']", &["1:21: listen: 127.0.0.1:1 is taken by listen = [::]:1 already (predictd.toml:1)"]),
    ("uwsgi_stats = '127.0.0.1:8099'", &["1:15: uwsgi_stats: 127.0.0.1:8099 is taken by admin = 127.0.0.1:8099 already (default)"]),
    ("listen = ['127.0.0.1:x']\nadmin = '127.0.0.1:8090'", &["1:11: listen: '127.0.0.1:x' is not an address: write unix:/path, unix:@name, 127.0.0.1:8090, [::1]:8090 or fd:NAME"]),
    ("admin = '0.0.0.0:8099'", &["1:9: admin: 0.0.0.0:8099 is reached by other machines, who could load and unload models: set admin_allow_remote = true if that is meant"]),
    ("[limits]\nin_flight = '1MiB'", &["2:13: limits.in_flight: in_flight = 1MiB has no room for one body = 64MiB"]),
    ("[limits]\nin_flight = '1MiB'\nbody = '2MiB'", &["3:8: limits.body: in_flight = 1MiB has no room for one body = 2MiB"]),
    ("[log]\nfile = '/x'\naccess_file = '/x'", &["3:15: log.access_file: /x is taken by log.file = /x already (predictd.toml:2)"]),
    ("pidfile = '/x'\nlisten = ['unix:/x']", &["2:11: listen: /x is taken by pidfile = /x already (predictd.toml:1)"]),
    ("[defaults.batch]\nmax_delay = '60s'", &["2:13: defaults.batch.max_delay: max_delay = 1m is not less than deadline = 30s: requests would end before they run"]),
    ("[defaults.fake]\nsleep = '1s'", &["2:9: defaults.fake.sleep: has no effect without kind = \"fake\""]),
    ("[defaults.input]\nsize = [2, 2]", &["2:8: defaults.input.size: [input] means nothing without a kind: write kind = \"image\" there too"]),
    ("[defaults.output]", &["1:11: defaults.output: the table is empty; remove it, or write kind"]),
    // No TOML, and what is wrong besides.
    ("listen = [", &["1:11: unclosed array, expected `]`\n  |\n1 | listen = [\n  |           ^"]),
    ("[limits]\nbody = 64MiB\nhead = 1\nhead = 2\n", &[
        "2:8: a text has to be in quotes: \"64MiB\"\n  |\n2 | body = 64MiB\n  |        ^^^^^",
        "3:8: limits.head: 1 is not a size: a whole number and one of B, KiB, MiB, GiB, TiB, KB, MB, GB, TB, as in \"64MiB\"",
        "4:1: `head` is there twice\n  |\n4 | head = 2\n  | ^^^^",
    ]),
    ("strict_models = yes", &["1:17: a text has to be in quotes: \"yes\"; what is no text is true or false\n  |\n1 | strict_models = yes\n  |                 ^^^"]),
    ("[workers]\ncount = 0\n[limits\nbody = 3", &["2:9: workers.count: 0 is too small: at least 1", "3:8: unclosed table, expected `]`\n  |\n3 | [limits\n  |        ^"]),
];

#[test]
fn each_mistake_in_the_file_is_said_with_its_place() {
    for (text, expected) in FILE {
        let error = from(text, &[], Overrides::default()).unwrap_err().to_string();
        let folder = error.split("predictd.toml:").next().unwrap();
        let said = error.replace(&format!("{folder}predictd.toml:"), "\u{1}");
        let said: Vec<&str> = said.split('\u{1}').skip(1).map(|line| line.trim_end_matches('\n')).collect();
        assert_eq!(&said, expected, "{text}");
    }
}

#[test]
fn all_mistakes_of_all_layers_are_said_in_one_go_by_the_layers() {
    let text = "wires = ['x']\nfoo = 1\n[limits]\nbody = 64";
    let environment = [("PREDICTD_WORKERS__COUNT", "many"), ("PREDICTD_LIMITS__HEAD", "1MiB")];
    let overrides = Overrides { models: Some("~".into()), ..Overrides::default() };
    let error = from(text, &environment, overrides).unwrap_err();
    assert!(!error.is_usage());
    let error = error.to_string();
    let begins: Vec<_> = error
        .lines()
        .map(|line| line.split("predictd.toml").last().unwrap().split(": ").next().unwrap())
        .collect();
    let expected = [":1:10", ":2:1", ":4:8", "PREDICTD_LIMITS__HEAD", "PREDICTD_WORKERS__COUNT", "--models"];
    assert_eq!(begins, expected, "{error}");
}

#[test]
fn a_value_that_is_wrong_is_wrong_even_where_another_wins() {
    let error = from("[limits]\nbody = 64", &[("PREDICTD_LIMITS__BODY", "64MiB")], Overrides::default());
    assert!(error.unwrap_err().to_string().contains("predictd.toml:2:8: limits.body"));
}

#[test]
fn variables_and_flags_are_named_when_they_are_wrong() {
    let flags = |listen: &[&str], admin: Option<&str>| Overrides {
        listen: listen.iter().map(|text| (*text).to_owned()).collect(),
        admin: admin.map(str::to_owned),
        ..Overrides::default()
    };
    let no_flags = || flags(&[], None);
    for (environment, overrides, expected, usage) in [
        (
            &[("PREDICTD_LIMITS__BODY", "64")][..],
            no_flags(),
            "PREDICTD_LIMITS__BODY: \"64\" is not a size: a whole number and one of B, KiB, MiB, GiB, TiB, KB, MB, GB, TB, as in \"64MiB\"",
            false,
        ),
        (
            &[("PREDICTD_WORKERS__COUNT", "0")],
            no_flags(),
            "PREDICTD_WORKERS__COUNT: 0 is too small: at least 1",
            false,
        ),
        (
            &[("PREDICTD_STRICT_MODELS", "yes")],
            no_flags(),
            "PREDICTD_STRICT_MODELS: \"yes\" is not true or false",
            false,
        ),
        (
            &[("PREDICTD_WIRES", " , ")],
            no_flags(),
            "PREDICTD_WIRES: [] is not a list of one or more, each \"uwsgi\", \"fastcgi\" or \"http\"",
            false,
        ),
        (
            &[("PREDICTD_WIRES", "http,gopher")],
            no_flags(),
            "PREDICTD_WIRES: \"gopher\" is not \"uwsgi\", \"fastcgi\" or \"http\"",
            false,
        ),
        (
            &[("PREDICTD_ADMIN", "127.0.0.1:8090")],
            no_flags(),
            "PREDICTD_ADMIN: 127.0.0.1:8090 is taken by listen = 127.0.0.1:8090 already (default)",
            false,
        ),
        (
            &[("PREDICTD_ADMIN", "127.0.0.1:7")],
            flags(&["127.0.0.1:7"], None),
            "--listen: 127.0.0.1:7 is taken by admin = 127.0.0.1:7 already (PREDICTD_ADMIN)",
            true,
        ),
        (
            &[("PREDICTD_DEFAULTS__INPUT__SIZE", "2,2")],
            no_flags(),
            "PREDICTD_DEFAULTS__INPUT__SIZE: [input] means nothing without a kind: write kind = \"image\" there too",
            false,
        ),
        (&[], flags(&["127.0.0.1:7", "127.0.0.1:7"], None), "--listen: \"127.0.0.1:7\" is there twice", true),
        (
            &[],
            flags(&[], Some("[::]:8099")),
            "--admin: [::]:8099 is reached by other machines, who could load and unload models: set admin_allow_remote = true if that is meant",
            true,
        ),
    ] {
        let error = from("", environment, overrides).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.is_usage()), (expected, usage));
    }
}

#[test]
fn cores_that_are_not_ours_are_refused() {
    let error = from("[workers]\npin = '0-1023'", &[], Overrides::default()).unwrap_err().to_string();
    assert!(error.contains("predictd.toml:2:7: workers.pin: this process may not run on "), "{error}");
    assert!(error.contains(": it has the cores "), "{error}");
}
