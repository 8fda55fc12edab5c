//! What `model.toml` may say, and what is said of its mistakes.

use super::*;

fn parse(text: &str) -> Result<Model, Error> {
    Model::parse(text, "digits/model.toml", &toml::Table::new())
}

#[test]
fn an_empty_file_has_the_defaults() {
    let model = parse("").unwrap();
    assert_eq!(model, Model::default());
    assert_eq!(model.deadline.to_string(), "30s");
    assert_eq!((model.batch.max_rows.get(), model.batch.queue.get()), (8, 256));
    assert_eq!(model.warmup.runs(model.batch.max_rows), [1, 8]);
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
    assert_eq!(model.kind, Kind::Fake);
    assert_eq!(model.versions, Versions::These(vec![1, 3]));
    assert_eq!(model.warmup.runs(model.batch.max_rows), [4, 16]);
    assert_eq!(model.session.graph_optimization, GraphOptimization::Basic);
    let input = model.input.unwrap();
    assert_eq!((input.fit, input.filter), (Fit::Pad, Filter::Lanczos));
    assert_eq!((input.color, input.layout), (Some(Color::Bgr), Some(Layout::Nhwc)));
    assert_eq!(input.mean, Some(PerChannel::Each(vec![123.7, 116.0, 104.0])));
    assert_eq!(input.std, Some(PerChannel::All(58.0)));
    assert_eq!(model.output.unwrap().top_k.get(), 3);
    assert!(model.fake.ignore_terminate && !model.fake.echo);
}

#[test]
fn an_error_names_file_line_and_key() {
    #[rustfmt::skip]
    let cases = [
        ("deadline = 30", "1: deadline: `30` is not a duration: a whole number and one of us, ms, s, m, h, as in 250ms"),
        ("\nversions = \"newest\"", "2: versions: expected \"latest\", \"all\" or a list of version numbers"),
        ("versions = []", "1: versions = [] would serve nothing"),
        ("[batch]\nmax_rows = 0", "2: max_rows: invalid value: integer `0`, expected a nonzero usize"),
        ("[batch]\nmax_row = 1", "2: unknown field `max_row`, expected one of `max_rows`, `max_delay`, `queue`"),
        ("[batch]\nqueue = 2\n[bach]", "3: unknown field `bach`, expected one of"),
        ("[warmup]\nrows = [1, \"all\"]", "2: rows: expected a number of rows, at least 1, or \"max_rows\""),
        ("[input]\nkind = \"image\"\nfit = \"fill\"", "3: fit: unknown variant `fill`, expected one of `crop`, `stretch`, `pad`"),
        ("[input]\nkind = \"image\"\nsize = [224]", "3: size: invalid length 1, expected an array of length 2"),
        ("[input]\nkind = \"image\"\nmean = \"x\"", "3: mean: expected a number or a list of numbers, one per channel"),
        ("[input]\nsize = [2, 2]", "1: missing field `kind`"),
        ("[output]\nkind = \"classes\"", "2: kind: unknown variant `classes`, expected `classification`"),
        ("[fake]\nsleep = \"1s\"", "1: [fake] has no effect without kind = \"fake\""),
        ("a = ", "1: "),
        ("x", "1: "),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err().to_string();
        let expected = format!("digits/model.toml:{expected}");
        assert!(error.starts_with(&expected), "{text:?} gave {error}, not {expected}");
    }
}

#[test]
fn what_a_model_leaves_out_comes_from_the_defaults_at_any_depth() {
    let defaults = toml::from_str("deadline = \"5s\"\n[batch]\nmax_rows = 2\nqueue = 9").unwrap();
    let model = Model::parse("deadline = \"1s\"\n[batch]\nmax_rows = 4", "m", &defaults).unwrap();
    assert_eq!(model.deadline.to_string(), "1s");
    assert_eq!((model.batch.max_rows.get(), model.batch.queue.get()), (4, 9));
    assert_eq!(Model::parse("", "m", &defaults).unwrap().deadline.to_string(), "5s");
}
