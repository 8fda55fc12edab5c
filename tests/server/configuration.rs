//! The configuration as its users meet it: what `check` shows of it, and what is said of mistakes, by `serve` too.

use crate::harness::{abstract_socket, predictd, samples, source};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Output, Stdio},
};

/// A folder with a `predictd.toml`, in which predictd is run.
struct Place(tempfile::TempDir);

impl Place {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("predictd.toml"), config).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = predictd();
        command.args(arguments).envs(variables.iter().copied()).current_dir(self.path());
        command
    }

    /// Exit code, standard output, standard error.
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments, variables).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

/// File, flags, variables; exit code, lines of standard error (none: whatever they are).
type Refused = (
    &'static str,
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
    i32,
    &'static [&'static str],
);

#[test]
fn serve_and_check_refuse_the_same_by_the_same_words() {
    const UNIX: &str = "unix:@predictd-test-refused";
    #[rustfmt::skip]
    let cases: &[Refused] = &[
        ("wires = ['x']\n[limits]\nbodi = 1", &[], &[("PREDICTD_STRICT_MODELS", "yes")], 78, &[
            "predictd.toml:1:10: wires: \"x\" is not \"uwsgi\", \"fastcgi\" or \"http\"",
            "predictd.toml:3:1: limits.bodi: there is no such key; did you mean `body`?",
            "PREDICTD_STRICT_MODELS: \"yes\" is not true or false",
            "predictd: 3 errors in the configuration",
        ]),
        ("listen = [\n", &[], &[], 78, &[
            "predictd.toml:1:11: unclosed array, expected `]`",
            "  |",
            "1 | listen = [",
            "  |           ^",
            "predictd: 1 error in the configuration",
        ]),
        ("admin = '127.0.0.1:8090'", &[], &[], 78, &[
            "predictd.toml:1:9: admin: 127.0.0.1:8090 is taken by listen = 127.0.0.1:8090 already (default)",
            "predictd: 1 error in the configuration",
        ]),
        ("[workers]\npin = '1023'", &["--listen", UNIX], &[], 78, &[]),
        ("", &["--listen", UNIX, "--listen", UNIX], &[], 64, &[
            "error: --listen: \"unix:@predictd-test-refused\" is there twice",
            "",
            "For more information, try '--help'.",
        ]),
        ("", &["--admin", "0.0.0.0:8099"], &[], 64, &[
            "error: --admin: 0.0.0.0:8099 is reached by other machines, who could load and unload models: set admin_allow_remote = true if that is meant",
            "",
            "For more information, try '--help'.",
        ]),
    ];
    for (config, flags, variables, code, lines) in cases {
        let place = Place::new(config);
        let said = ["check", "serve"].map(|verb| {
            let arguments = [&[verb, "-c", "predictd.toml"], *flags].concat();
            let (exit, out, err) = place.run(&arguments, variables);
            assert_eq!((exit, out.as_str()), (*code, ""), "{config} {flags:?}: {err}");
            err
        });
        assert_eq!(said[0], said[1]);
        assert!(lines.is_empty() || said[0].lines().collect::<Vec<_>>() == *lines, "{}", said[0]);
    }
}

#[test]
fn flags_that_are_none_are_usage_errors() {
    for (flags, says) in [
        (&["--listen", "8090"][..], "'8090' is not an address: write unix:/path"),
        (&["--admin", "localhost:8099"], "'localhost:8099' is not an address"),
        (&["--models", ""], "a value is required for '--models <DIR>'"),
        (&["--models", "~/models"], "--models: \"~/models\" is not a whole path"),
        (&["--model", "a b=/x"], "'a b' is no name for a model"),
        (&["--model", "a="], "write NAME=PATH"),
        (&["--workers", "4"], "unexpected argument '--workers'"),
    ] {
        for verb in ["check", "serve"] {
            let (code, out, err) = Place::new("").run(&[&[verb], flags].concat(), &[]);
            assert_eq!((code, out.as_str()), (64, ""), "{flags:?}: {err}");
            assert!(err.starts_with("error: ") && err.contains(says) && err.contains("--help"), "{err}");
        }
    }
}

/// The part of what `check` prints that is TOML.
fn toml(out: &str) -> String {
    out.lines().take_while(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

#[test]
fn check_shows_what_is_in_force_and_where_it_comes_from() {
    let place = Place::new(
        "listen = ['unix:/run/predictd/predictd.sock']\n[limits]\nbody = '65536KiB'\nhead = '1KiB'",
    );
    let models = samples();
    let arguments = ["check", "-c", "predictd.toml", "--models", models.to_str().unwrap()];
    let variables = [("PREDICTD_LIMITS__HEAD", "2KiB"), ("PREDICTD_LIMITS__BODI", "1")];
    let (code, out, err) = place.run(&arguments, &variables);
    assert_eq!(code, 0, "{out}{err}");
    let origin = |key: &str| {
        let line = out.lines().find(|line| line.split(' ').next() == Some(key));
        line.unwrap_or_else(|| panic!("{key}: {out}")).rsplit_once("  # ").unwrap()
    };
    assert_eq!(origin("listen").1, "predictd.toml:1");
    assert_eq!(origin("models").1, "--models");
    assert_eq!(origin("limits.head").1, "PREDICTD_LIMITS__HEAD");
    assert!(origin("limits.body").0.trim_end().ends_with("= \"64MiB\""), "{out}");
    let file = place.path().canonicalize().unwrap().join("predictd.toml");
    assert!(out.starts_with(&format!("# {}\n", file.display())), "{out}");
    assert!(out.contains("\n# 35 other keys have their defaults; --all shows them\n\n"), "{out}");
    assert!(!out.contains("workers.count") && !out.contains('\u{1b}'), "{out}");
    assert_eq!(
        err,
        "warning: the variable PREDICTD_LIMITS__BODI names no key of the configuration, and is ignored; did you mean PREDICTD_LIMITS__BODY?\n"
    );
}

#[test]
fn what_check_shows_of_all_keys_is_a_configuration_that_means_the_same() {
    let place = Place::new("models = 'm'\n[defaults]\ndeadline = '5s'\n[defaults.batch]\nmax_rows = 4");
    fs::create_dir(place.path().join("m")).unwrap();
    let show = |file: &str| {
        let (code, out, err) = place.run(&["check", "--all", "-c", file], &[]);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        toml(&out)
    };
    let first = show("predictd.toml");
    assert_eq!(first.lines().count(), 1 + 39 + 2, "{first}");
    let models = place.path().canonicalize().unwrap().join("m");
    assert!(first.contains(&format!("= \"{}\"", models.display())), "absolute, from where it runs: {first}");
    fs::write(place.path().join("again.toml"), &first).unwrap();
    let values = |toml: &str| -> Vec<String> {
        toml.lines().skip(1).map(|line| line.split("  # ").next().unwrap().trim_end().to_owned()).collect()
    };
    assert_eq!(values(&show("again.toml")), values(&first));
}

#[test]
fn check_shows_each_model_and_why_requests_cannot_share_its_runs() {
    let place = Place::new("");
    let models = place.path().join("models");
    let iris = fs::read(source("models/iris/model.onnx")).unwrap();
    for (name, settings) in [
        ("alone", "[batch]\nmax_rows = 1"),
        ("bad", "[batch]\nmax_row = 1\n[warmup]\nrows = 3x\n"),
        ("shared", "[batch]\nmax_rows = 5\n[output]\nkind = 'classification'\ntensor = 'probabilities'"),
    ] {
        fs::create_dir_all(models.join(name)).unwrap();
        fs::write(models.join(name).join("model.onnx"), &iris).unwrap();
        fs::write(models.join(name).join("model.toml"), settings).unwrap();
    }
    let fixed = format!("fixed={}", source("tests/data/models/busy").display());
    let (code, out, err) = place.run(&["check", "--model", &fixed], &[]);
    assert_eq!((code, err.as_str()), (78, ""), "{out}");
    for part in [
        "ok      alone version 1  loaded in ",
        "        runs   one by one: batch.max_rows = 1\n",
        "FAILED  bad\n        model.toml:2:1: batch.max_row: there is no such key; did you mean `max_rows`?\n        model.toml:4:8: a text has to be in quotes: \"3x\"\n          |\n        4 | rows = 3x\n          |        ^^\n",
        "ok      shared version 1",
        "        in     measurements FP32 [-1, 4]\n        out    probabilities FP32 [-1, 3], as classes\n               species INT64 [-1]\n        runs   up to 5 rows together\n",
        "ok      fixed version 1",
        "        in     x FP32 [-1, 256]\n               rounds INT64 []\n        out    y FP32 [-1, 256]\n        runs   one by one: its input 'rounds' is a single value\n",
        "\n1 of 4 models cannot be served\n",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    // The start says the same in one line.
    let (code, _, err) = place.run(&["serve", "--admin", "", "--listen", &abstract_socket("bad")], &[]);
    assert_eq!(code, 78, "{err}");
    let last = err.lines().last().unwrap();
    let says = "model 'bad': model.toml:2:1: batch.max_row: there is no such key; did you mean `max_rows`?; model.toml:4:8: a text";
    assert!(last.starts_with("predictd: ") && last.contains(says), "{err}");
}

#[test]
fn check_shows_the_configuration_also_where_there_is_no_onnx_runtime() {
    let place = Place::new("strict_models = false");
    let nowhere = [("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")];
    let (code, out, err) = place.run(&["check", "-c", "predictd.toml"], &nowhere);
    assert_eq!(code, 69, "{err}");
    assert!(out.contains("strict_models = false  # predictd.toml:1\n"), "{out}");
    assert!(err.contains("/nowhere/libonnxruntime.so"), "{err}");
}

#[test]
fn check_goes_on_when_nobody_reads() {
    let place = Place::new("");
    fs::create_dir(place.path().join("models")).unwrap();
    let mut command = place.command(&["check", "--all"], &[]);
    let mut check = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(1, check.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "# no file: defaults, environment and flags\n");
    assert_eq!(check.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    check.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}
