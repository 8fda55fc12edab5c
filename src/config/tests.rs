//! The configuration from outside: what is in force, where it comes from, and what differs between two.

use super::*;
use crate::os::cpus::CpuId;

/// A file `predictd.toml` with this text, these variables and flags.
pub(super) fn from(text: &str, environment: &[(&str, &str)], overrides: Overrides) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictd.toml");
    std::fs::write(&file, text).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    load(Some(&file), environment, overrides)
}

pub(super) fn from_text(text: &str) -> Config {
    from(text, &[], Overrides::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Every key but those of `[defaults]`, which have none, with its default, in the order of the example.
const DEFAULTS: [(&str, &str); 39] = [
    ("listen", r#"["127.0.0.1:8090"]"#),
    ("admin", r#""127.0.0.1:8099""#),
    ("admin_hosts", "[]"),
    ("admin_allow_remote", "false"),
    ("uwsgi_stats", r#""""#),
    ("wires", r#"["uwsgi", "fastcgi", "http"]"#),
    ("models", r#""models""#),
    ("cache", r#""""#),
    ("pidfile", r#""""#),
    ("strict_models", "true"),
    ("socket.mode", r#""0660""#),
    ("socket.owner", r#""""#),
    ("socket.group", r#""""#),
    ("socket.backlog", "4096"),
    ("socket.allow_users", "[]"),
    ("workers.count", r#""auto""#),
    ("workers.pin", r#""auto""#),
    ("workers.threads", "1"),
    ("workers.slow_after", r#""250ms""#),
    ("workers.stuck_after", r#""5s""#),
    ("workers.max_stuck", r#""auto""#),
    ("limits.head", r#""64KiB""#),
    ("limits.body", r#""64MiB""#),
    ("limits.in_flight", r#""auto""#),
    ("limits.pixels", "50000000"),
    ("limits.connections", "8192"),
    ("limits.head_timeout", r#""10s""#),
    ("limits.body_timeout", r#""60s""#),
    ("limits.write_timeout", r#""60s""#),
    ("limits.idle_timeout", r#""75s""#),
    ("limits.drain", r#""30s""#),
    ("onnxruntime.library", r#""auto""#),
    ("onnxruntime.providers", r#"["cpu"]"#),
    ("onnxruntime.fallback", "false"),
    ("log.level", r#""info""#),
    ("log.format", r#""text""#),
    ("log.file", r#""""#),
    ("log.access", "true"),
    ("log.access_file", r#""""#),
];

#[test]
fn the_example_holds_every_key_with_its_default() {
    let example: toml::Table = EXAMPLE.parse().unwrap();
    let in_example = |key: &str| {
        key.split('.').try_fold(&toml::Value::Table(example.clone()), |value, part| value.get(part)).cloned()
    };
    let own: Vec<&str> = reading::schema().names().filter(|key| !key.starts_with("defaults.")).collect();
    assert_eq!(own, DEFAULTS.map(|(key, _)| key), "a key was added, and not here");
    let mut last = 0;
    for (key, default) in DEFAULTS {
        let value = in_example(key).unwrap_or_else(|| panic!("the example has no {key}"));
        assert_eq!(value.to_string(), default, "{key}");
        // Each stands where people read it: commented above, in the order in which `check` prints it.
        let line = format!("{} = ", schema::split(key).1);
        let at = last + EXAMPLE[last..].find(&format!("\n{line}")).unwrap_or_else(|| panic!("{key}")) + 1;
        let above = EXAMPLE[..at].lines().next_back().unwrap();
        assert!(above.starts_with('#') || above.starts_with(char::is_alphabetic), "{key}: no comment above");
        last = at;
    }
    let leaves = |table: &toml::Table| table.values().filter(|value| !value.is_table()).count();
    let tables = example.values().filter_map(toml::Value::as_table);
    assert_eq!(leaves(&example) + tables.map(leaves).sum::<usize>(), DEFAULTS.len());

    // What is in force without anything set is the example, as canonical values have it.
    let config = from_text("");
    assert!(config.settings.iter().all(|setting| setting.origin == Origin::Default));
    assert_eq!(config.settings, from_text(EXAMPLE).settings);
    assert!(config.notes.is_empty() && from_text(EXAMPLE).notes.is_empty(), "{:?}", config.notes);
}

#[test]
fn defaults_mean_what_they_say() {
    let config = from_text("");
    assert_eq!(config.listen, ["127.0.0.1:8090".parse().unwrap()]);
    assert_eq!(config.admin, Some("127.0.0.1:8099".parse().unwrap()));
    assert_eq!((config.uwsgi_stats, config.cache, config.pidfile), (None, None, None));
    assert_eq!(config.socket.options, SocketOptions { mode: 0o660, owner: None, group: None, backlog: 4096 });
    assert_eq!((config.workers.count, config.workers.pin, config.workers.max_stuck), (None, Pin::Auto, None));
    assert_eq!((config.limits.body, config.limits.in_flight), (64 << 20, None));
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(75));
    assert_eq!((config.onnxruntime.library, config.onnxruntime.providers), (None, vec![Provider::Cpu]));
    assert_eq!((config.log.level, config.log.json, config.log.file), (tracing::Level::INFO, false, None));
}

#[test]
fn every_key_of_predictd_toml_is_read() {
    let config = from_text(
        r#"
        listen = ["unix:/run/p.sock", "[::1]:1"]
        admin = "unix:/run/admin.sock"
        admin_hosts = ["Models.Example.org"]
        uwsgi_stats = "127.0.0.1:9191"
        wires = ["http"]
        models = "/m"
        cache = "/c"
        pidfile = "/p"
        strict_models = false
        [socket]
        mode = "0600"
        owner = "www-data"
        group = "33"
        backlog = 16
        allow_users = ["www-data", 33]
        [workers]
        count = 2
        pin = "off"
        threads = 1
        slow_after = "1s"
        stuck_after = "2s"
        max_stuck = 3
        [limits]
        head = "1KiB"
        body = "1MB"
        in_flight = "2MB"
        pixels = 4
        connections = 5
        head_timeout = "6s"
        body_timeout = "7s"
        write_timeout = "8s"
        idle_timeout = "9s"
        drain = "0ms"
        [onnxruntime]
        library = "/l.so"
        providers = ["tensorrt", "cuda", "cpu"]
        fallback = true
        [log]
        level = "debug"
        format = "json"
        file = "/log"
        access = true
        access_file = "/access"
        "#,
    );
    let path = |text: &str| Some(PathBuf::from(text));
    assert_eq!(config.listen, ["unix:/run/p.sock", "[::1]:1"].map(|text| text.parse().unwrap()));
    assert_eq!(config.admin, Some("unix:/run/admin.sock".parse().unwrap()));
    assert_eq!(config.admin_hosts, ["models.example.org"]);
    assert_eq!(config.uwsgi_stats, Some("127.0.0.1:9191".parse().unwrap()));
    assert_eq!((config.models, config.cache, config.pidfile), ("/m".into(), path("/c"), path("/p")));
    let (name, id) = (Account::Name("www-data".into()), Account::Id(33));
    assert_eq!(
        config.socket,
        Socket {
            options: SocketOptions {
                mode: 0o600,
                owner: Some(name.clone()),
                group: Some(id.clone()),
                backlog: 16,
            },
            allow_users: vec![name, id],
        }
    );
    let seconds = Duration::from_secs;
    assert_eq!(
        config.workers,
        Workers {
            count: Some(2),
            pin: Pin::Off,
            threads: 1,
            slow_after: seconds(1),
            stuck_after: seconds(2),
            max_stuck: Some(3),
        }
    );
    assert_eq!(
        config.limits,
        Limits {
            head: 1 << 10,
            body: 1_000_000,
            in_flight: Some(2_000_000),
            pixels: 4,
            connections: 5,
            head_timeout: seconds(6),
            body_timeout: seconds(7),
            write_timeout: seconds(8),
            idle_timeout: seconds(9),
            drain: Duration::ZERO,
            wires: [predictd_protocol::gateway::detect::Wire::Http].into_iter().collect(),
        }
    );
    let providers = vec![Provider::TensorRt, Provider::Cuda, Provider::Cpu];
    assert_eq!(config.onnxruntime, OnnxRuntime { library: path("/l.so"), providers, fallback: true });
    let (level, file, access_file) = (tracing::Level::DEBUG, path("/log"), path("/access"));
    assert_eq!(config.log, Log { level, json: true, file, access: true, access_file });
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let file = "listen = ['127.0.0.1:1']\n[limits]\nbody = '1MiB'\nhead = '1KiB'";
    let environment = [("PREDICTD_LISTEN", "127.0.0.1:2, 127.0.0.1:3"), ("PREDICTD_LIMITS__BODY", "2MiB")];
    let config = from(file, &environment, Overrides::default()).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:2".parse().unwrap(), "127.0.0.1:3".parse().unwrap()]);
    assert_eq!((config.limits.body, config.limits.head), (2 << 20, 1 << 10));
    let overrides = Overrides {
        listen: vec!["unix:/a,b".into()],
        admin: Some(String::new()),
        models: Some("/m".into()),
        ..Overrides::default()
    };
    let config = from(file, &environment, overrides).unwrap();
    assert_eq!(config.listen, ["unix:/a,b".parse().unwrap()]);
    assert_eq!((config.admin.as_ref(), &*config.models), (None, Path::new("/m")));
    let origin =
        |key: &str| config.settings.iter().find(|setting| setting.key == key).unwrap().origin.brief();
    for (key, from) in [
        ("listen", "--listen"),
        ("admin", "--admin"),
        ("models", "--models"),
        ("limits.body", "PREDICTD_LIMITS__BODY"),
        ("limits.head", "predictd.toml:4"),
        ("limits.drain", "default"),
    ] {
        assert_eq!(origin(key), from, "{key}");
    }
}

#[test]
fn of_two_models_with_one_name_the_last_counts() {
    let models = [("a", "/x"), ("b", "/y"), ("a", "/z")].map(|(name, path)| (name.to_owned(), path.into()));
    let overrides = Overrides { extra_models: models.to_vec(), ..Overrides::default() };
    let config = from("", &[], overrides).unwrap();
    assert_eq!(config.extra_models, [("a".to_owned(), "/z".into()), ("b".to_owned(), "/y".into())]);
    assert_eq!(config.notes, ["--model a is given twice: /z counts"]);
}

#[test]
fn variables_are_read_as_the_key_has_it() {
    let environment = [
        ("PREDICTD_SOCKET__MODE", "0600"),
        ("PREDICTD_WORKERS__COUNT", "2"),
        ("PREDICTD_WORKERS__MAX_STUCK", "auto"),
        ("PREDICTD_WORKERS__PIN", "0"),
        ("PREDICTD_STRICT_MODELS", "false"),
        ("PREDICTD_LIMITS__DRAIN", "5s"),
        ("PREDICTD_LISTEN", "unix:/x"),
        ("PREDICTD_SOCKET__ALLOW_USERS", "www-data, 33,"),
        ("PREDICTD_DEFAULTS__VERSIONS", "1,3"),
        ("PREDICTD_DEFAULTS__WARMUP__ROWS", "1,max_rows"),
        ("PREDICTD_DEFAULTS__INPUT__KIND", "image"),
        ("PREDICTD_DEFAULTS__INPUT__SIZE", "28,32"),
        ("PREDICTD_DEFAULTS__INPUT__MEAN", "0.5"),
        ("PREDICTD_DEFAULTS__INPUT__STD", "1,2,3"),
        ("PATH", "/bin"),
    ];
    let config = from("", &environment, Overrides::default()).unwrap();
    let workers = &config.workers;
    assert_eq!((workers.count, workers.max_stuck), (Some(2), None));
    assert_eq!(workers.pin, Pin::Cpus(vec![CpuId(0)]));
    assert_eq!((config.socket.options.mode, config.strict_models), (0o600, false));
    assert_eq!(config.socket.allow_users, [Account::Name("www-data".into()), Account::Id(33)]);
    assert_eq!(config.limits.drain, Duration::from_secs(5));
    let model = model::Model::parse("", "model.toml", &config.defaults).unwrap();
    assert_eq!(model.versions, model::Versions::These(vec![1, 3]));
    let input = model.input.unwrap();
    assert_eq!((input.size, input.mean), (Some([28, 32]), Some(model::PerChannel::All(0.5))));
    assert_eq!(input.std, Some(model::PerChannel::Each(vec![1.0, 2.0, 3.0])));
    assert!(!config.notes.iter().any(|note| note.contains("names no key")), "{:?}", config.notes);
}

#[test]
fn unknown_variables_are_named_with_the_nearest_that_is_known() {
    for (name, near) in [
        ("PREDICTD_LIMITS__BODI", "; did you mean PREDICTD_LIMITS__BODY?"),
        ("PREDICTD_LIMITS_BODY", "; did you mean PREDICTD_LIMITS__BODY?"),
        ("PREDICTD_BODY", "; did you mean PREDICTD_LIMITS__BODY?"),
        ("PREDICTD_CONECTIONS", "; did you mean PREDICTD_LIMITS__CONNECTIONS?"),
        ("PREDICTD_limits__body", "; did you mean PREDICTD_LIMITS__BODY?"),
        ("PREDICTD_QWERTZUIOP", ""),
        ("PREDICTD_\u{1b}[2J", ""),
    ] {
        let config = from("", &[(name, "1")], Overrides::default()).unwrap();
        let name = name.escape_debug();
        let expected = format!("the variable {name} names no key of the configuration, and is ignored{near}");
        assert_eq!(config.notes, [expected]);
    }
}

#[test]
fn the_variable_of_the_python_client_is_no_mistake() {
    let config = from("", &[("PREDICTD_ADDRESS", "unix:/run/predictd/predictd.sock")], Overrides::default());
    assert_eq!(config.unwrap().notes, [""; 0]);
}

#[test]
fn a_variable_that_is_no_text_is_wrong_only_if_it_is_ours() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let with = |name: &[u8]| load(None, [(bytes(name), bytes(b"\xff"))].into_iter(), Overrides::default());
    assert!(with(b"OTHER").unwrap().notes.is_empty());
    assert!(with(b"\xff").unwrap().notes.is_empty());
    assert_eq!(with(b"PREDICTD_\xff").unwrap().notes.len(), 1);
    let error = with(b"PREDICTD_MODELS").unwrap_err();
    assert_eq!(error.to_string(), "PREDICTD_MODELS: \"\u{fffd}\" is not UTF-8");
}

#[test]
fn paths_are_from_the_working_directory_and_absolute() {
    let here = std::env::current_dir().unwrap();
    let config = from_text("models = 'm'\ncache = './c/../d'\n[log]\nfile = '/l'");
    assert_eq!((config.models, config.cache), (here.join("m"), Some(here.join("c/../d"))));
    assert_eq!(config.log.file, Some("/l".into()));
    let shown = config.settings.iter().find(|setting| setting.key == "models").unwrap();
    assert_eq!(shown.value.as_str(), here.join("m").to_str());
}

#[test]
fn a_file_that_cannot_be_one_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let says = |file: &Path| Config::load(Some(file)).unwrap_err().to_string();
    let missing = folder.path().join("none.toml");
    assert!(says(&missing).ends_with("none.toml cannot be read: No such file or directory (os error 2)"));
    assert!(says(folder.path()).contains("cannot be read: Is a directory"));
    let file = folder.path().join("f");
    std::fs::write(&file, b"models = 'm'\nx = '\xff'").unwrap();
    assert!(says(&file).ends_with("f:2:6: the byte 0xff is not UTF-8, which TOML is"), "{}", says(&file));
    std::fs::write(&file, "#".repeat(2 << 20)).unwrap();
    assert!(says(&file).ends_with("is larger than 1MiB: this is no configuration"));
}

#[test]
fn what_is_set_without_an_effect_is_noted() {
    for (text, notes) in [
        ("admin = ''\nadmin_hosts = ['a']", &["admin_hosts is set, and has no effect: admin is off"][..]),
        ("admin_allow_remote = true", &["has no effect: other machines do not reach the address of admin"]),
        (
            "[socket]\nmode = '0600'",
            &["socket.mode is set, and has no effect: no address of listen is unix:/path"],
        ),
        ("listen = ['unix:@x']\n[socket]\nmode = '0600'", &["socket.mode is set"]),
        // systemd makes its file.
        ("listen = ['fd:x']\n[socket]\nmode = '0600'", &["socket.mode is set"]),
        ("listen = ['fd:x']\n[socket]\nallow_users = [1]", &[]),
        ("[socket]\nallow_users = [1]", &["no address of listen is a Unix socket"]),
        ("[log]\naccess = false\naccess_file = '/x'", &["log.access is false"]),
        ("[onnxruntime]\nfallback = true", &["there is one provider only"]),
        ("uwsgi_stats = '0.0.0.0:9191'", &["reached by other machines"]),
        ("[workers]\ncount = 4096", &["workers.count = 4096 is more than the "]),
        ("uwsgi_stats = '127.0.0.1:9191'", &[]),
        ("pidfile = '/x'", &[]),
        ("pidfile = ''", &[]),
        ("models = '/x'", &[]),
    ] {
        let config = from_text(text);
        let said = notes.iter().all(|part| config.notes.iter().any(|note| note.contains(part)));
        assert!(said && config.notes.is_empty() == notes.is_empty(), "{text}: {:?}", config.notes);
    }
}

#[test]
fn what_differs_is_told_with_what_it_takes() {
    use Effect::{Reload, Restart};
    let old = from_text("");
    assert!(old.changes(&from_text("")).is_empty());
    for (text, key, effect) in [
        ("listen = ['unix:/x']", "listen", Restart),
        ("admin = ''", "admin", Restart),
        ("wires = ['http']", "wires", Reload),
        ("models = '/x'", "models", Reload),
        ("cache = '/x'", "cache", Reload),
        ("pidfile = '/x'", "pidfile", Restart),
        ("strict_models = false", "strict_models", Reload),
        ("[socket]\nmode = '0600'", "socket.mode", Restart),
        ("[socket]\nallow_users = [33]", "socket.allow_users", Reload),
        ("[workers]\ncount = 1", "workers.count", Restart),
        ("[limits]\nbody = '1MiB'", "limits.body", Reload),
        ("[limits]\ndrain = '1s'", "limits.drain", Reload),
        ("[onnxruntime]\nlibrary = '/x'", "onnxruntime.library", Restart),
        ("[log]\nlevel = 'warn'", "log.level", Reload),
        ("[log]\naccess = false", "log.access", Reload),
        ("[log]\nformat = 'json'", "log.format", Restart),
        ("[defaults]\ndeadline = '1s'", "defaults.deadline", Reload),
        ("[defaults.batch]\nqueue = 9", "defaults.batch.queue", Reload),
    ] {
        let new = from_text(text);
        for (changes, turned) in [(old.changes(&new), false), (new.changes(&old), true)] {
            let [change] = &changes[..] else { panic!("{text}: {changes:?}") };
            assert_eq!((change.key.as_str(), change.effect), (key, effect), "{text}");
            let added = if turned { &change.is } else { &change.was };
            assert_eq!(added.is_none(), key.starts_with("defaults"), "{text}");
        }
        assert_ne!(new, old, "{text}");
    }
    let change = &old.changes(&from_text("[limits]\nbody = '1MiB'"))[0];
    assert_eq!(change.to_string(), "limits.body: \"64MiB\" becomes \"1MiB\"");
    let change = &old.changes(&from_text("[defaults]\ndeadline = '1s'"))[0];
    assert_eq!(change.to_string(), "defaults.deadline: not set becomes \"1s\"");
}

#[test]
fn what_means_the_same_is_the_same_wherever_it_is_written() {
    let here = std::env::current_dir().unwrap();
    let models = here.join("models").display().to_string();
    let variables = [("PREDICTD_LIMITS__BODY", "64 MiB"), ("PREDICTD_MODELS", &*models)];
    for (text, environment) in [
        ("models = 'models'", &[][..]),
        ("\n\n[limits]\nbody = '65536KiB'\nidle_timeout = '75000ms'", &[]),
        ("[workers]\ncount = 'auto'\n[socket]\nmode = '660'", &[]),
        ("", &variables),
    ] {
        let same = from(text, environment, Overrides::default()).unwrap();
        assert_eq!(same.changes(&from_text("")), [], "{text}");
        assert_eq!(same.settings, from_text("").settings);
        assert_eq!(same.defaults, from_text("").defaults);
    }
    let one = from_text("[defaults]\ndeadline = '60s'\n[defaults.input]\nkind = 'image'\nmean = [1, 2.0]");
    let other = from_text("[defaults.input]\nmean = [1.0, 2]\nkind = 'image'\n[defaults]\ndeadline = '1m'");
    assert_eq!(one, other);
    assert_ne!(one.defaults, from_text("").defaults);
}
