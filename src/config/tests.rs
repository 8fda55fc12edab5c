//! The configuration from outside.

use super::*;

fn from_text(text: &str, environment: &[(&str, &str)], overrides: Overrides) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictd.toml");
    std::fs::write(&file, text).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(Some(&file), environment, overrides)
}

fn refused(text: &str) -> String {
    from_text(text, &[], Overrides::default()).unwrap_err().to_string()
}

#[test]
fn the_example_holds_every_key_with_its_default() {
    let example: Raw = toml::from_str(EXAMPLE).unwrap();
    assert_eq!(example, Raw::default());
    // And each key of the example is one: an unknown one would have been refused. None may be missing either.
    let mut count = 0;
    let table: toml::Table = EXAMPLE.parse().unwrap();
    for (key, value) in &table {
        for inner in value.as_table().map(|table| table.keys().collect::<Vec<_>>()).unwrap_or_default() {
            assert!(EXAMPLE.lines().any(|line| line.starts_with(&format!("{inner} ="))), "{key}.{inner}");
            count += 1;
        }
        count += usize::from(!value.is_table());
    }
    assert_eq!(count, KEYS, "a key was added to the code and not to the example, or the other way round");
}

/// Keys of the configuration, `[defaults]` aside.
const KEYS: usize = 39;

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let config = from_text("", &[], Overrides::default()).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:8090".parse().unwrap()]);
    let file = "listen = ['127.0.0.1:1']\n[limits]\nbody = '1MiB'\nhead = '1KiB'";
    let environment = [("PREDICTD_LISTEN", "127.0.0.1:2, 127.0.0.1:3"), ("PREDICTD_LIMITS__BODY", "2MiB")];
    let config = from_text(file, &environment, Overrides::default()).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:2".parse().unwrap(), "127.0.0.1:3".parse().unwrap()]);
    assert_eq!((config.limits.body, config.limits.head), (2 << 20, 1 << 10));
    let overrides =
        Overrides { listen: vec!["unix:/x".into()], models: Some("m".into()), ..Overrides::default() };
    let config = from_text(file, &environment, overrides).unwrap();
    assert_eq!(config.listen, ["unix:/x".parse().unwrap()]);
    assert_eq!(config.models, Path::new("m"));
}

#[test]
fn variables_are_read_as_the_key_has_it() {
    let environment = [
        ("PREDICTD_SOCKET__MODE", "0600"),
        ("PREDICTD_WORKERS__COUNT", "3"),
        ("PREDICTD_STRICT_MODELS", "false"),
        ("PREDICTD_LIMITS__DRAIN", "5s"),
        ("PATH", "/bin"),
    ];
    let config = from_text("", &environment, Overrides::default()).unwrap();
    assert_eq!((config.socket.mode, config.workers.count, config.strict_models), (0o600, Some(3), false));
    assert_eq!(config.limits.drain, Duration::from_secs(5));
    assert!(config.notes.is_empty(), "{:?}", config.notes);
    let config = from_text("", &[("PREDICTD_LIMITS__BODI", "1")], Overrides::default()).unwrap();
    assert_eq!(
        config.notes,
        ["the variable PREDICTD_LIMITS__BODI names no key of the configuration, and is ignored"]
    );
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, says) in [
        ("[limits]\nbodi = '1MiB'", &["line 2", "unknown field `bodi`", "`body`"][..]),
        ("[limits]\nbody = 64", &["line 2", "a whole number and one of"]),
        ("listen = 'x'", &["line 1", "invalid type"]),
        ("listen = []", &["listen: there is no address"]),
        (
            "listen = ['x', 'unix:y']",
            &["listen: 'x' is not an address", "listen: 'unix:y' is not an address"],
        ),
        ("[socket]\nmode = '999'", &["socket.mode: '999' is not a mode"]),
        (
            "[workers]\ncount = 0\nthreads = 0",
            &["workers.count: must be at least 1", "workers.threads: must"],
        ),
        ("[workers]\npin = '3-1'", &["workers.pin: '3-1' is not"]),
        ("[workers]\ncount = 'many'", &["line 2", "expected \"auto\" or a value"]),
        ("[limits]\nhead = '1MiB'", &["limits.head: at most 64KiB"]),
        ("wires = ['gopher']", &["line 1", "gopher", "uwsgi"]),
        ("listen = [", &["line 1"]),
    ] {
        let error = refused(text);
        for part in says {
            assert!(error.contains(part), "{text}: {error}");
        }
    }
    let error = load(Some(Path::new("/nowhere.toml")), std::iter::empty(), Overrides::default()).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere.toml cannot be read: No such file"), "{error}");
}

#[test]
fn cores_are_listed_as_taskset_lists_them() {
    assert_eq!(parse_pin("auto"), Ok(Pin::Auto));
    assert_eq!(parse_pin("0-2, 8,1"), Ok(Pin::Cpus([0, 1, 2, 8].map(CpuId).to_vec())));
    for text in ["", "a", "1-", "-1", "1,,2", "5000"] {
        assert!(parse_pin(text).is_err(), "{text}");
    }
}

#[test]
fn a_key_without_effect_is_noted() {
    let config = from_text("pidfile = '/x'", &[], Overrides::default()).unwrap();
    assert_eq!(config.notes, ["pidfile is set, and has no effect in this version"]);
}
