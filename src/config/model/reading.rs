//! The keys of `model.toml`: of which kind each is, and what two of them cannot both say.

use super::{
    Batch, ClassificationOutput, Color, Fake, Filter, Fit, GraphOptimization, ImageInput, InputKind,
    Kind as Runs, Layout, Model, OutputKind, PerChannel, Session, Versions, Warmup, WarmupRows,
};
use crate::config::{
    document::Document,
    keys::Keys,
    kind::{Kind, Name, Number, Read, Truth, Whole, commas, list, time, unless, whole, words},
    layers::{Layer, Merged},
    problem::{Problem, Problems},
    schema::Schema,
};
use config::{Value, ValueKind};
use std::{num::NonZeroUsize, sync::LazyLock, time::Duration};

/// The commented file that holds every key, those with a default with that.
pub(in crate::config) const EXAMPLE: &str = include_str!("../example.model.toml");

static DEFAULTS: LazyLock<Layer> = LazyLock::new(|| Layer::of_defaults(EXAMPLE));

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let defaults = Merged::of([&*DEFAULTS]);
    let mut keys = Keys::of(&defaults);
    meant(&mut keys);
    keys.into_schema([], |word| {
        crate::config::reading::is_own(word).then_some("predictd.toml, the server's own file")
    })
});

/// The keys that a model.toml may have.
pub(in crate::config) fn schema() -> &'static Schema {
    &SCHEMA
}

/// What the server's `[defaults]` say, for models that do not say it themselves.
#[derive(Clone, Debug, Default)]
pub struct Defaults(Layer);

impl Defaults {
    /// What is in `[defaults]`.
    pub(in crate::config) fn of(server: &Merged) -> Self {
        Self(server.below(TABLE, &SCHEMA))
    }
}

impl PartialEq for Defaults {
    /// Wherever it is written.
    fn eq(&self, other: &Self) -> bool {
        self.0.canonical(&SCHEMA) == other.0.canonical(&SCHEMA)
    }
}

/// Where the server's own file has these keys.
pub(in crate::config) const TABLE: &str = "defaults";

/// Why a `model.toml` cannot be taken, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Problem::line).collect::<Vec<_>>().join("; "))]
pub struct Error(Vec<Problem>);

impl Error {
    /// Each thing that is wrong.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl Model {
    /// Reads a `model.toml`. `file` is only for errors; what `text` leaves out is taken from `defaults`.
    ///
    /// # Errors
    /// Everything that is wrong, with its place.
    pub fn parse(text: &str, file: &str, defaults: &Defaults) -> Result<Self, Error> {
        let mut problems = Problems::default();
        let layer = Layer::of_file(&Document { file: Some(file), text }, &SCHEMA, &mut problems);
        let values = Merged::of([&*DEFAULTS, &defaults.0, &layer]);
        let model = meant(&mut Keys::of(&values));
        contradictions(&model, &values, "", file, &mut problems);
        // Whoever reads this need not know where the server has its own file.
        problems.finish().map_err(|found| Error(found.into_iter().map(Problem::without_folder).collect()))?;
        Ok(model)
    }
}

/// Whether `[defaults]` alone would do for a model.
pub(in crate::config) fn check_defaults(defaults: &Defaults, problems: &mut Problems) {
    let values = Merged::of([&*DEFAULTS, &defaults.0]);
    contradictions(&meant(&mut Keys::of(&values)), &values, TABLE, "", problems);
}

/// As many rows as nobody joins, few enough to allocate.
const MAX_ROWS: u64 = 1 << 16;

fn meant(keys: &mut Keys<'_>) -> Model {
    Model {
        kind: keys.read("kind", words(&[("onnx", Runs::Onnx), ("fake", Runs::Fake)])),
        deadline: keys.read("deadline", time(MICROSECOND)),
        versions: keys.read("versions", VersionsKind),
        batch: Batch {
            max_rows: positive(keys.read("batch.max_rows", whole(1..=MAX_ROWS))),
            max_delay: keys.read("batch.max_delay", time(Duration::ZERO)),
            queue: positive(keys.read("batch.queue", whole(1..=1 << 24))),
        },
        warmup: Warmup {
            rows: keys
                .read("warmup.rows", list(unless("max_rows", whole(1..=MAX_ROWS))))
                .into_iter()
                .map(|rows| rows.map_or(WarmupRows::MaxRows, |rows| WarmupRows::Rows(positive(rows))))
                .collect(),
        },
        session: Session {
            threads: keys.find("session.threads", whole(1..=1024)).map(positive),
            copies: positive(keys.read("session.copies", whole(1..=1024))),
            memory_arena: keys.read("session.memory_arena", Truth),
            graph_optimization: keys.read("session.graph_optimization", words(OPTIMIZATIONS)),
        },
        input: image_input(keys),
        output: classification_output(keys),
        fake: fake(keys),
    }
}

const MICROSECOND: Duration = Duration::from_micros(1);

fn positive(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("its kind begins at 1")
}

const OPTIMIZATIONS: &[(&str, GraphOptimization)] = &[
    ("off", GraphOptimization::Off),
    ("basic", GraphOptimization::Basic),
    ("extended", GraphOptimization::Extended),
    ("all", GraphOptimization::All),
];

fn image_input(keys: &mut Keys<'_>) -> Option<ImageInput> {
    let kind = keys.find_leader("input.kind", words(&[("image", InputKind::Image)]));
    let tensor = keys.find("input.tensor", Name("the name of an input"));
    let size = keys.find("input.size", HeightAndWidth);
    let fit = keys
        .find("input.fit", words(&[("crop", Fit::Crop), ("stretch", Fit::Stretch), ("pad", Fit::Pad)]))
        .unwrap_or_default();
    let short_side = keys.find("input.short_side", SIDE);
    let filter = keys.find("input.filter", words(FILTERS)).unwrap_or_default();
    let color =
        keys.find("input.color", words(&[("rgb", Color::Rgb), ("bgr", Color::Bgr), ("grey", Color::Grey)]));
    let layout = keys.find("input.layout", words(&[("NCHW", Layout::Nchw), ("NHWC", Layout::Nhwc)]));
    let scale = keys.find("input.scale", Number);
    let mean = keys.find("input.mean", PerChannelKind);
    let std = keys.find("input.std", PerChannelKind);
    kind.map(|kind| ImageInput {
        kind,
        tensor,
        size,
        fit,
        short_side,
        filter,
        color,
        layout,
        scale,
        mean,
        std,
    })
}

const FILTERS: &[(&str, Filter)] = &[
    ("bicubic", Filter::Bicubic),
    ("bilinear", Filter::Bilinear),
    ("lanczos", Filter::Lanczos),
    ("nearest", Filter::Nearest),
];

fn classification_output(keys: &mut Keys<'_>) -> Option<ClassificationOutput> {
    let kind = keys.find_leader("output.kind", words(&[("classification", OutputKind::Classification)]));
    let tensor = keys.find("output.tensor", Name("the name of an output"));
    let labels = keys.find("output.labels", Name("the name of a file")).map(Into::into);
    let top_k = keys.find("output.top_k", whole(1..=1 << 24)).unwrap_or(5);
    let softmax = keys.find("output.softmax", Truth);
    kind.map(|kind| ClassificationOutput { kind, tensor, labels, top_k: positive(top_k), softmax })
}

fn fake(keys: &mut Keys<'_>) -> Fake {
    let default = Fake::default();
    Fake {
        load: keys.find("fake.load", time(Duration::ZERO)).unwrap_or(default.load),
        sleep: keys.find("fake.sleep", time(Duration::ZERO)).unwrap_or(default.sleep),
        spin: keys.find("fake.spin", time(Duration::ZERO)).unwrap_or(default.spin),
        ignore_terminate: keys.find("fake.ignore_terminate", Truth).unwrap_or(default.ignore_terminate),
        panic: keys.find("fake.panic", Truth).unwrap_or(default.panic),
        echo: keys.find("fake.echo", Truth).unwrap_or(default.echo),
    }
}

/// What is right key by key and makes no sense together. `table` is where the keys are in the file that is spoken of, `file` that
/// file if it is a model's own.
fn contradictions(model: &Model, values: &Merged, table: &str, file: &str, problems: &mut Problems) {
    let full = |key: &str| if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
    let first_of = |part: &str| {
        let mut keys =
            SCHEMA.names().filter(|key| key.strip_prefix(part).is_some_and(|rest| rest.starts_with('.')));
        keys.find(|key| values.value(key).is_some())
    };
    for (part, kind, there) in
        [("input", "image", model.input.is_some()), ("output", "classification", model.output.is_some())]
    {
        if let Some(first) = first_of(part)
            && !there
            && !problems.concerns(&full(&format!("{part}.kind")))
        {
            let what = format!("[{part}] means nothing without a kind: write kind = \"{kind}\" there too");
            problems.add(values.origin(first), &full(first), what);
        }
    }
    if let Some(first) = first_of("fake")
        && model.kind != Runs::Fake
        && !problems.concerns(&full("kind"))
    {
        problems.add(values.origin(first), &full(first), "has no effect without kind = \"fake\"");
    }
    let (delay, deadline) = ("batch.max_delay", "deadline");
    if model.batch.max_delay >= model.deadline
        && ![delay, deadline].iter().any(|key| problems.concerns(&full(key)))
    {
        // What the file itself says is later than what any other says.
        let age = |key: &&str| (values.origin(key).is_in(file), values.origin(key));
        let later = [deadline, delay].into_iter().max_by_key(age).unwrap_or(delay);
        let (delay, deadline) = (model.batch.max_delay, model.deadline);
        let what = format!(
            "max_delay = {delay} is not less than deadline = {deadline}: requests would end before they run"
        );
        problems.add(values.origin(later), &full(later), what);
    }
}

/// `"latest"`, `"all"` or a list of numbers.
#[derive(Debug)]
struct VersionsKind;

impl VersionsKind {
    const WORDS: [(&str, Versions); 2] = [("latest", Versions::Latest), ("all", Versions::All)];

    fn these() -> impl Kind<Out = Vec<u64>> {
        list(whole(0..=i64::MAX.unsigned_abs())).not_empty()
    }
}

impl Kind for VersionsKind {
    type Out = Versions;

    fn expected(&self) -> String {
        "\"latest\", \"all\" or a list of version numbers".into()
    }

    fn read(&self, value: &Value) -> Read<Versions> {
        match &value.kind {
            ValueKind::Array(items) if !items.is_empty() => Self::these().read(value).map(Versions::These),
            ValueKind::String(text) => {
                let known = Self::WORDS.into_iter().find(|(word, _)| word == text);
                known.map(|(_, versions)| versions).ok_or_else(|| self.is_not(value))
            }
            _ => Err(self.is_not(value)),
        }
    }

    fn typed(&self, text: &str) -> ValueKind {
        if Self::WORDS.iter().any(|(word, _)| *word == text) {
            text.into()
        } else {
            Self::these().typed(text)
        }
    }

    fn show(&self, out: &Versions) -> toml::Value {
        match out {
            Versions::These(versions) => Self::these().show(versions),
            Versions::Latest => "latest".into(),
            Versions::All => "all".into(),
        }
    }
}

/// Pixels; how many make sense is the recipe's to say.
const SIDE: Whole<usize> = whole(0..=1 << 24);

/// `[224, 160]`
#[derive(Debug)]
struct HeightAndWidth;

impl Kind for HeightAndWidth {
    type Out = [usize; 2];

    fn expected(&self) -> String {
        "a list of height and width in pixels, as in [224, 224]".into()
    }

    fn read(&self, value: &Value) -> Read<[usize; 2]> {
        match &value.kind {
            ValueKind::Array(items) if items.len() == 2 => Ok([SIDE.read(&items[0])?, SIDE.read(&items[1])?]),
            _ => Err(self.is_not(value)),
        }
    }

    fn typed(&self, text: &str) -> ValueKind {
        commas(text, |item| SIDE.typed(item))
    }

    fn show(&self, out: &[usize; 2]) -> toml::Value {
        out.iter().map(|side| SIDE.show(side)).collect::<Vec<_>>().into()
    }
}

/// A number, or a list of one per channel.
#[derive(Debug)]
struct PerChannelKind;

impl Kind for PerChannelKind {
    type Out = PerChannel;

    fn expected(&self) -> String {
        "a number or a list of numbers, one per channel".into()
    }

    fn read(&self, value: &Value) -> Read<PerChannel> {
        match &value.kind {
            ValueKind::Array(items) if !items.is_empty() => {
                items.iter().map(|item| Number.read(item)).collect::<Result<_, _>>().map(PerChannel::Each)
            }
            _ => Number.read(value).map(PerChannel::All).map_err(|_| self.is_not(value)),
        }
    }

    fn typed(&self, text: &str) -> ValueKind {
        if text.contains(',') { commas(text, |item| Number.typed(item)) } else { Number.typed(text) }
    }

    fn show(&self, out: &PerChannel) -> toml::Value {
        match out {
            PerChannel::All(number) => Number.show(number),
            PerChannel::Each(numbers) => {
                numbers.iter().map(|number| Number.show(number)).collect::<Vec<_>>().into()
            }
        }
    }
}
