//! What `model.toml` may say, and what is said of its mistakes.

use super::{super::units::Duration as Span, *};

fn parse(text: &str) -> Result<Model, Error> {
    Model::parse(text, "model.toml", &Defaults::default())
}

/// The example, and the example with everything that is behind a # for want of a default.
fn examples() -> [String; 2] {
    let commented = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let uncomment = |line: &str| if commented(line) { line[1..].to_owned() } else { line.to_owned() };
    let all: Vec<String> = reading::EXAMPLE.lines().map(uncomment).collect();
    [reading::EXAMPLE.to_owned(), all.join("\n")]
}

#[test]
fn the_example_holds_every_key_with_its_default() {
    let [example, all] = examples();
    let table: toml::Table = all.parse().unwrap();
    let mut last = 0;
    for key in schema().names() {
        let value = key
            .split('.')
            .try_fold(&toml::Value::Table(table.clone()), |value, part| value.get(part))
            .cloned();
        assert!(value.is_some(), "the example has no {key}");
        let name = key.rsplit('.').next().unwrap();
        let at =
            all[last..].find(&format!("\n{name} = ")).unwrap_or_else(|| panic!("{key} is not in its place"));
        last += at + 1;
    }
    let leaves = |table: &toml::Table| table.values().filter(|value| !value.is_table()).count();
    let tables = table.values().filter_map(toml::Value::as_table);
    assert_eq!(leaves(&table) + tables.map(leaves).sum::<usize>(), schema().names().count());

    // Said by itself the example changes nothing.
    assert_eq!(parse(&example).unwrap(), Model::default());
    // What is behind a # and has a default shows it.
    let all = parse(&all.replace("kind = \"onnx\"", "kind = \"fake\"")).unwrap();
    let least = parse("kind = 'fake'\n[input]\nkind = 'image'\n[output]\nkind = 'classification'").unwrap();
    let (input, bare) = (all.input.unwrap(), least.input.unwrap());
    assert_eq!((input.kind, input.fit, input.filter), (bare.kind, bare.fit, bare.filter));
    let (output, bare) = (all.output.unwrap(), least.output.unwrap());
    assert_eq!((output.kind, output.top_k), (bare.kind, bare.top_k));
    assert_eq!(all.fake, least.fake);
    // And what has none shows something else.
    assert!(input.scale.is_some_and(|scale| (scale - 1.0 / 255.0).abs() < f64::EPSILON));
    assert_eq!(bare.labels, None);
}

#[test]
fn defaults_are_those_that_are_promised() {
    let model = Model::default();
    assert_eq!((model.kind, model.deadline.to_string()), (Kind::Onnx, "30s".into()));
    assert_eq!(model.versions, Versions::Latest);
    assert_eq!((model.batch.max_rows.get(), model.batch.queue.get()), (8, 256));
    assert_eq!(model.batch.max_delay, Span::default());
    assert_eq!(model.warmup.runs(model.batch.max_rows), [1, 8]);
    assert_eq!((model.session.threads, model.session.copies.get()), (None, 1));
    assert!(model.session.memory_arena);
    assert_eq!(model.session.graph_optimization, GraphOptimization::All);
    assert_eq!((model.input, model.output), (None, None));
    assert_eq!(model.fake, Fake::default());
    let output = parse("[output]\nkind = 'classification'").unwrap().output.unwrap();
    assert_eq!((output.top_k.get(), output.softmax), (5, None));
}

#[test]
fn every_key_is_read() {
    let model = parse(
        r#"
        kind = "fake"
        deadline = "250ms"
        versions = [1, 3]
        [batch]
        max_rows = 16
        max_delay = "2ms"
        queue = 32
        [warmup]
        rows = ["max_rows", 4, 99]
        [session]
        threads = 2
        copies = 3
        memory_arena = false
        graph_optimization = "basic"
        [input]
        kind = "image"
        tensor = "images"
        size = [224, 160]
        fit = "pad"
        short_side = 256
        filter = "lanczos"
        color = "bgr"
        layout = "NHWC"
        scale = 1
        mean = [123.7, 116, 104]
        std = 58
        [output]
        kind = "classification"
        tensor = "probabilities"
        labels = "names.json"
        top_k = 3
        softmax = false
        [fake]
        sleep = "1s"
        spin = "5ms"
        ignore_terminate = true
        panic = true
        echo = false
        "#,
    )
    .unwrap();
    assert_eq!((model.kind, model.deadline.to_string()), (Kind::Fake, "250ms".into()));
    assert_eq!(model.versions, Versions::These(vec![1, 3]));
    assert_eq!((model.batch.queue.get(), model.batch.max_delay.to_string()), (32, "2ms".into()));
    assert_eq!(model.warmup.runs(model.batch.max_rows), [4, 16]);
    assert_eq!((model.session.threads.unwrap().get(), model.session.copies.get()), (2, 3));
    assert!(!model.session.memory_arena);
    assert_eq!(model.session.graph_optimization, GraphOptimization::Basic);
    let input = model.input.unwrap();
    assert_eq!((input.tensor.as_deref(), input.size), (Some("images"), Some([224, 160])));
    assert_eq!((input.fit, input.filter, input.short_side), (Fit::Pad, Filter::Lanczos, Some(256)));
    assert_eq!((input.color, input.layout), (Some(Color::Bgr), Some(Layout::Nhwc)));
    assert_eq!(input.scale, Some(1.0));
    assert_eq!(input.mean, Some(PerChannel::Each(vec![123.7, 116.0, 104.0])));
    assert_eq!(input.std, Some(PerChannel::All(58.0)));
    let output = model.output.unwrap();
    assert_eq!((output.top_k.get(), output.softmax), (3, Some(false)));
    assert_eq!((output.tensor.as_deref(), output.labels), (Some("probabilities"), Some("names.json".into())));
    let fake = model.fake;
    assert_eq!((fake.sleep.to_string(), fake.spin.to_string()), ("1s".into(), "5ms".into()));
    assert!(fake.ignore_terminate && fake.panic && !fake.echo);
}

#[test]
fn each_mistake_is_said_with_its_place() {
    #[rustfmt::skip]
    let cases: &[(&str, &[&str])] = &[
        ("deadline = 30", &["1:12: deadline: 30 is not a duration: a whole number and one of us, ms, s, m, h, as in \"250ms\""]),
        ("deadline = '0s'", &["1:12: deadline: \"0s\" is too small: at least 1us"]),
        ("\nversions = \"newest\"", &["2:12: versions: \"newest\" is not \"latest\", \"all\" or a list of version numbers"]),
        ("versions = []", &["1:12: versions: [] is not \"latest\", \"all\" or a list of version numbers"]),
        ("versions = [1, 1, -1]", &["1:16: versions: 1 is there twice", "1:19: versions: -1 is too small: at least 0"]),
        ("kind = 'fak'", &["1:8: kind: \"fak\" is not \"onnx\" or \"fake\"; did you mean \"fake\"?"]),
        ("[batch]\nmax_rows = 0", &["2:12: batch.max_rows: 0 is too small: at least 1"]),
        ("[batch]\nmax_rows = 1000000000000", &["2:12: batch.max_rows: 1000000000000 is too large: at most 65536"]),
        ("[batch]\nmax_row = 1\n[warmup]\nrow = 1", &["2:1: batch.max_row: there is no such key; did you mean `max_rows`?", "4:1: warmup.row: there is no such key; did you mean `rows`?"]),
        ("[batch]\nqueue = 2\n[bach]", &["3:2: bach: there is no such key; did you mean `batch`?"]),
        ("[batch]\ndeadline = '3s'", &["2:1: batch.deadline: there is no such key here: `deadline` belongs to the top of the file, above the first [table]"]),
        ("queue = 2", &["1:1: queue: there is no such key here: `queue` belongs to [batch]"]),
        ("[limits]\nbody = '1MiB'", &["1:2: limits: there is no such key here: `limits` belongs to predictd.toml, the server's own file"]),
        ("[warmup]\nrows = [1, \"all\", 0]", &["2:12: warmup.rows: \"all\" is not \"max_rows\" or a whole number", "2:19: warmup.rows: 0 is too small: at least 1"]),
        ("[input]\nkind = \"image\"\nfit = \"croped\"", &["3:7: input.fit: \"croped\" is not \"crop\", \"stretch\" or \"pad\"; did you mean \"crop\"?"]),
        ("[input]\nkind = \"image\"\nlayout = \"nchw\"", &["3:10: input.layout: \"nchw\" is not \"NCHW\" or \"NHWC\"; did you mean \"NCHW\"?"]),
        ("[input]\nkind = \"image\"\nsize = [224]", &["3:8: input.size: a list is not a list of height and width in pixels, as in [224, 224]"]),
        ("[input]\nkind = \"image\"\nmean = \"x\"", &["3:8: input.mean: \"x\" is not a number or a list of numbers, one per channel"]),
        ("[input]\nkind = \"image\"\nmean = [1, \"2\"]\nstd = nan", &["3:12: input.mean: \"2\" is not a number; write 2, without quotes", "4:7: input.std: nan is not a number or a list of numbers, one per channel"]),
        ("[input]\nsize = [2, 2]", &["2:8: input.size: [input] means nothing without a kind: write kind = \"image\" there too"]),
        ("[output]\nkind = \"classes\"\ntop_k = 0", &["2:8: output.kind: \"classes\" is not \"classification\"", "3:9: output.top_k: 0 is too small: at least 1"]),
        ("[output]\nkind = \"classification\"\nlabels = ''", &["3:10: output.labels: \"\" is not the name of a file"]),
        ("[fake]\nsleep = \"1s\"", &["2:9: fake.sleep: has no effect without kind = \"fake\""]),
        ("deadline = '1s'\n[batch]\nmax_delay = '1s'", &["3:13: batch.max_delay: max_delay = 1s is not less than deadline = 1s: requests would end before they run"]),
        ("a = ", &["1:5: there is no value"]),
        ("x", &["1:2: key with no value, expected `=`"]),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err();
        let expected: Vec<_> = expected.iter().map(|line| format!("model.toml:{line}")).collect();
        assert_eq!(error.to_string(), expected.join("; "), "{text}");
        assert_eq!(error.problems().len(), expected.len());
    }
}

fn defaults(text: &str) -> Defaults {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictd.toml");
    std::fs::write(&file, text).unwrap();
    crate::config::Config::load(Some(&file)).unwrap().defaults
}

#[test]
fn what_a_model_leaves_out_comes_from_the_defaults_at_any_depth() {
    let defaults = defaults(
        "[defaults]\ndeadline = \"5s\"\n[defaults.batch]\nmax_rows = 2\nqueue = 9\n[defaults.input]\nkind = \"image\"\nmean = [1, 2, 3]",
    );
    let model =
        Model::parse("deadline = \"1s\"\n[batch]\nmax_rows = 4\n[input]\nmean = 7", "m", &defaults).unwrap();
    assert_eq!(model.deadline.to_string(), "1s");
    assert_eq!((model.batch.max_rows.get(), model.batch.queue.get()), (4, 9));
    assert_eq!(model.input.unwrap().mean, Some(PerChannel::All(7.0)));
    assert_eq!(Model::parse("", "m", &defaults).unwrap().deadline.to_string(), "5s");
}

#[test]
fn what_a_model_and_the_defaults_cannot_both_say_is_the_models_fault() {
    let says = |text: &str, server: &str| {
        Model::parse(text, "model.toml", &defaults(server)).unwrap_err().to_string()
    };
    let cannot = "max_delay = 5s is not less than deadline = 2s: requests would end before they run";
    assert_eq!(
        says("\ndeadline = '2s'", "[defaults.batch]\nmax_delay = '5s'"),
        format!("model.toml:2:12: deadline: {cannot}")
    );
    assert_eq!(
        says("[batch]\nmax_delay = '5s'", "[defaults]\ndeadline = '2s'"),
        format!("model.toml:2:13: batch.max_delay: {cannot}")
    );
    // Where only the defaults can be blamed, no folder is told.
    assert_eq!(
        says("kind = 'onnx'", "[defaults]\nkind = 'fake'\n[defaults.fake]\nspin = '1s'"),
        "predictd.toml:4:8: fake.spin: has no effect without kind = \"fake\""
    );
}
