//! ONNX Runtime itself, on small models. Needs the library, as all that serves does.

use super::*;
use crate::model::library;
use std::{
    ptr,
    slice::from_ref,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

const OPTIONS: Options = Options {
    threads: 1,
    optimization: GraphOptimization::All,
    memory_arena: true,
    usual_rows: 8,
    copies: 1,
};

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        // Tests run in target/debug/deps, a floor below the program.
        let beside = std::env::current_exe().unwrap().with_file_name("../../lib");
        let library = std::fs::read_dir(beside)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|end| end != "sha256" && end != "txt"));
        Runtime::start(&library::find(library.as_deref()).unwrap()).unwrap()
    })
}

fn load(model: &str) -> Onnx {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(model).join("model.onnx");
    Onnx::load(runtime(), &path, &OPTIONS).unwrap_or_else(|error| panic!("{model}: {error}"))
}

fn run(engine: &Onnx, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
    engine.run(inputs, &Interrupt::default())
}

fn floats(shape: &[usize], seed: u32) -> Tensor {
    let count: usize = shape.iter().product();
    let mix =
        |index: usize| u32::try_from(index).unwrap().wrapping_mul(2_654_435_761).wrapping_add(seed * 40_503);
    #[expect(clippy::cast_precision_loss, reason = "any number will do")]
    let numbers: Vec<f32> = (0..count).map(|index| (mix(index) >> 8) as f32 / (1 << 24) as f32).collect();
    Tensor::from_numbers(shape.to_vec(), numbers).unwrap()
}

#[test]
fn a_signature_is_the_models() {
    let iris = load("models/iris");
    let print = |specs: &[TensorSpec]| {
        specs
            .iter()
            .map(|spec| format!("{} {} {}", spec.name, spec.datatype, spec.dims()))
            .collect::<Vec<_>>()
    };
    assert_eq!(print(&iris.signature().inputs), ["measurements FP32 [-1, 4]"]);
    assert_eq!(print(&iris.signature().outputs), ["probabilities FP32 [-1, 3]", "species INT64 [-1]"]);
    assert!(iris.signature().has_free_rows());
    assert!(!load("tests/data/models/busy").signature().has_free_rows());
}

#[test]
fn every_datatype_goes_through_unchanged() {
    for (name, datatype) in [
        ("bool", Datatype::Bool),
        ("uint8", Datatype::Uint8),
        ("uint16", Datatype::Uint16),
        ("uint32", Datatype::Uint32),
        ("uint64", Datatype::Uint64),
        ("int8", Datatype::Int8),
        ("int16", Datatype::Int16),
        ("int32", Datatype::Int32),
        ("int64", Datatype::Int64),
        ("float16", Datatype::Fp16),
        ("bfloat16", Datatype::Bf16),
        ("float", Datatype::Fp32),
        ("double", Datatype::Fp64),
    ] {
        let engine = load(&format!("tests/data/models/identity_{name}"));
        assert_eq!(engine.signature().inputs[0].datatype, datatype);
        let size = 6 * datatype.size().unwrap();
        // At every alignment, and empty.
        for offset in 0..9 {
            let bytes: Vec<u8> = (0..size + offset).map(|byte| u8::try_from(byte % 2).unwrap()).collect();
            let input = Tensor::from_bytes(datatype, vec![2, 3], Bytes::from(bytes).slice(offset..)).unwrap();
            assert_eq!(run(&engine, from_ref(&input)).unwrap(), [input], "{name} at {offset}");
        }
        let empty = Tensor::from_bytes(datatype, vec![0, 3], Bytes::new()).unwrap();
        assert_eq!(run(&engine, from_ref(&empty)).unwrap(), [empty]);
    }
}

#[test]
fn strings_are_any_bytes() {
    let engine = load("tests/data/models/identity_string");
    let all: Vec<u8> = (0..=255).collect();
    let texts = [
        "".into(),
        "ü".into(),
        "a\0b".into(),
        Bytes::from(all.repeat(1000)),
        b"\xff\xfe"[..].into(),
        "\0".into(),
    ];
    for count in 0..=texts.len() {
        let strings = Tensor::from_strings(vec![1, count], texts[..count].iter().collect()).unwrap();
        assert_eq!(run(&engine, from_ref(&strings)).unwrap(), [strings]);
    }
}

/// What prints as this JSON.
fn printed(tensor: &Tensor) -> String {
    let mut json = Vec::new();
    predictd_protocol::inference::nested::write(tensor, &mut json);
    String::from_utf8(json).unwrap()
}

#[test]
fn sequences_and_maps_are_documents() {
    let x = Tensor::from_numbers(vec![2, 2], vec![1f32, 2.0, 3.0, -1.0]).unwrap();
    let none = x.rows(0..0).unwrap();
    let classifier = load("tests/data/models/classifier");
    let outputs: Vec<_> = classifier
        .signature()
        .outputs
        .iter()
        .map(|spec| format!("{} {} {}", spec.name, spec.datatype, spec.dims()))
        .collect();
    assert_eq!(outputs, ["label INT64 [-1]", "probabilities BYTES [-1]"]);
    let answered = run(&classifier, from_ref(&x)).unwrap();
    assert_eq!(answered[1].shape(), [2]);
    // Keys in their order as numbers.
    let first = printed(&answered[1].row(0).unwrap());
    assert!(first.starts_with("{\"0\":0.00027083") && first.contains(",\"9\":0.0018"), "{first}");
    assert!(first.contains(",\"10\":0.0642") && first.ends_with('}'), "{first}");
    assert_eq!(
        run(&classifier, from_ref(&none)).unwrap()[1],
        Tensor::from_documents(vec![0], vec![]).unwrap()
    );

    let named = run(&load("tests/data/models/classifier_of_names"), from_ref(&x)).unwrap();
    let first = printed(&named[1].row(0).unwrap());
    assert!(first.starts_with(r#"{"\"ü\"":0.01155"#) && first.contains(",\"ant\":0.8113"), "{first}");

    let sequence = load("tests/data/models/sequence");
    assert_eq!(printed(&run(&sequence, from_ref(&x)).unwrap()[0]), "[[1.0,2.0],[3.0,-1.0]]");
    assert_eq!(printed(&run(&sequence, from_ref(&none)).unwrap()[0]), "[]");
}

#[test]
fn what_is_optional_is_there_or_said_to_be_missing() {
    let engine = load("tests/data/models/optional");
    let x = Tensor::from_numbers(vec![2], vec![1f32, 2.0]).unwrap();
    let asked = |give: bool| [x.clone(), Tensor::from_numbers(vec![], vec![give]).unwrap()];
    assert_eq!(run(&engine, &asked(true)).unwrap(), from_ref(&x));
    assert_eq!(
        run(&engine, &asked(false)).unwrap_err().to_string(),
        "output 'y' is optional, and the model gave none"
    );
}

#[test]
fn an_input_may_have_any_number_of_dimensions() {
    let engine = load("tests/data/models/any_rank");
    assert!(engine.signature().inputs[0].any_rank && !engine.signature().has_free_rows());
    for shape in [&[][..], &[3], &[2, 0, 3]] {
        let input = floats(shape, 1);
        assert_eq!(run(&engine, from_ref(&input)).unwrap(), [input]);
    }
    assert!(!load("tests/data/models/scalars").signature().inputs[0].any_rank, "none is a number of them");
}

#[test]
fn what_no_request_can_bring_is_refused_by_name() {
    for (model, says) in [
        ("gives_float8", "output 'y' is of a kind that cannot be served: Tensor<f8_e4m3fn>(n)"),
        ("takes_map", "input 'x' is of a kind that cannot be served: Map<String, f32>"),
        ("takes_sequence", "input 'x' is of a kind that cannot be served: Sequence<Tensor<f32>(n, m)>"),
        ("takes_sparse", "input 'x' is of a kind that cannot be served: Tensor<f32>(3, 3), sparse"),
    ] {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/refused").join(model).join("model.onnx");
        let error = Onnx::load(runtime(), &path, &OPTIONS).unwrap_err().to_string();
        assert_eq!(error, says);
    }
}

/// The value that a graph gives then is the very one that it was given, over memory of ours.
#[test]
fn an_output_that_is_an_input_outlives_it() {
    let engine = load("tests/data/models/pass_through");
    for columns in [3, 100_000] {
        let input = floats(&[2, columns], 1);
        let before = floats(&[2, columns], 1);
        let outputs = run(&engine, &[input]).unwrap();
        // Whoever gets the memory that is free now writes to it.
        let others: Vec<Tensor> = (2..6).map(|seed| floats(&[2, columns], seed)).collect();
        assert_eq!(outputs[0], before);
        drop(others);
    }
}

#[test]
fn a_large_output_outlives_its_run_and_its_model() {
    let engine = load("tests/data/models/identity_float");
    let input = floats(&[100, 1000], 1);
    let output = run(&engine, from_ref(&input)).unwrap();
    drop(engine);
    assert_eq!(output, [input]);
}

#[test]
fn a_failed_run_says_why_without_telling_where_in_the_source() {
    let fail = run(&load("tests/data/models/fail_at_run"), &[floats(&[1, 3], 1)]).unwrap_err().to_string();
    assert!(fail.contains("requested shape:{7,11}"), "{fail}");
    let lookup = load("tests/data/models/lookup");
    let index = |index: i64| Tensor::from_numbers(vec![1], vec![index]).unwrap();
    let far = run(&lookup, &[index(10)]).unwrap_err().to_string();
    assert!(far.contains("idx=10 must be within the inclusive range [-10,9]"), "{far}");
    for text in [fail, far] {
        assert!(!text.contains(".cc") && !text.contains("::") && !text.contains('/'), "{text}");
    }
    assert!(run(&lookup, &[index(9)]).is_ok());
}

#[test]
fn what_is_no_model_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let iris = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/iris/model.onnx")).unwrap();
    for (content, says) in [
        (&b"not a model"[..], "Protobuf parsing failed"),
        (b"", "does not have a graph"),
        (&iris[..iris.len() / 2], "Protobuf parsing failed"),
    ] {
        std::fs::write(&path, content).unwrap();
        let error = Onnx::load(runtime(), &path, &OPTIONS).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{error}");
        assert!(!error.contains(folder.path().to_str().unwrap()), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = Onnx::load(runtime(), &path, &OPTIONS).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
}

/// How the stress below runs one model.
struct Stressed {
    engine: Onnx,
    inputs: Vec<Vec<Tensor>>,
    answers: Vec<Vec<Tensor>>,
}

impl Stressed {
    fn new(model: &str, inputs: Vec<Vec<Tensor>>) -> Self {
        let engine = load(model);
        let answers = inputs.iter().map(|inputs| run(&engine, inputs).unwrap()).collect();
        Self { engine, inputs, answers }
    }
}

/// One session, many threads: every answer is bit for bit that of a run by itself, while other runs on the same session
/// are terminated at any moment.
#[test]
fn shared_sessions_answer_right_while_other_runs_are_terminated() {
    let batches = |shape: &[usize]| (1..=4).map(|rows| vec![floats(&[&[rows], shape].concat(), 7)]).collect();
    let strings = |text: &str| Tensor::from_strings(vec![2], [text, "ü"].into_iter().collect()).unwrap();
    let busy = |rounds: i64| vec![floats(&[1, 256], 3), Tensor::from_numbers(vec![], vec![rounds]).unwrap()];
    let stressed = [
        Stressed::new("models/digits", batches(&[1, 28, 28])),
        Stressed::new("models/iris", batches(&[4])),
        Stressed::new("tests/data/models/string_join", vec![vec![strings("a"), strings("b")]]),
        Stressed::new("tests/data/models/busy", vec![busy(1), busy(50)]),
    ];
    let endless = busy(1_000_000_000);
    let done = AtomicBool::new(false);
    let (mut answered, mut terminated) = (0, 0);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|caller| {
                let (stressed, done) = (&stressed, &done);
                scope.spawn(move || {
                    let rounds = (0usize..).take_while(|round| *round < 500 || !done.load(Ordering::Relaxed));
                    rounds.fold(0, |count, round| {
                        let model = &stressed[(caller + round) % stressed.len()];
                        let case = round % model.inputs.len();
                        let outputs = run(&model.engine, &model.inputs[case]).unwrap();
                        assert!(outputs == model.answers[case], "another answer than before");
                        count + 1
                    })
                })
            })
            .collect();
        let terminators: Vec<_> = (0..2)
            .map(|seed| {
                let (stressed, endless) = (&stressed, &endless);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    (0..60).filter(|_| is_terminated(stressed, endless, &mut random)).count()
                })
            })
            .collect();
        terminated += terminators.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>();
        done.store(true, Ordering::Relaxed);
        answered += callers.into_iter().map(|caller| caller.join().unwrap()).sum::<usize>();
    });
    assert!(answered >= 2000, "{answered}");
    assert!(terminated >= 30, "{terminated}");
}

/// Ends a run at some moment: an endless one, or one that may be over by then.
fn is_terminated(stressed: &[Stressed], endless: &[Tensor], random: &mut fastrand::Rng) -> bool {
    let busy = &stressed[3];
    let model = if random.bool() { busy } else { &stressed[random.usize(..4)] };
    let inputs = if ptr::eq(model, busy) { endless } else { &model.inputs[0] };
    let interrupt = Interrupt::default();
    let result = std::thread::scope(|scope| {
        let run = scope.spawn(|| model.engine.run(inputs, &interrupt));
        for _ in 0..random.u32(..200) {
            std::thread::yield_now();
        }
        interrupt.terminate();
        run.join().unwrap()
    });
    match result {
        Err(RunError::Terminated) => true,
        Ok(outputs) => {
            assert!(outputs == model.answers[0], "another answer than before");
            false
        }
        Err(other) => panic!("{other}"),
    }
}

/// The library of the tests is of the CPU alone.
#[test]
fn a_provider_that_cannot_start_is_an_error_or_passed_over() {
    use Provider::{Cpu, Cuda, TensorRt};
    let on = |providers: &[Provider], fallback| runtime().clone().on(providers, fallback);
    assert_eq!(on(&[Cpu], false).unwrap().providers(), "CPU");
    for (providers, name) in
        [(&[Cuda, Cpu][..], "CUDA"), (&[Cuda], "CUDA"), (&[TensorRt, Cuda, Cpu], "TensorRT")]
    {
        let error = on(providers, false).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name} cannot start: ")), "{error}");
        assert!(error.contains("not enabled in this build"), "{error}");
        assert!(!error.contains('\n') && !error.contains(".cc"), "{error}");
        let passed_over = on(providers, true).unwrap();
        assert_eq!(passed_over.providers(), "CPU");
        assert!(
            passed_over.passed_over()[0].starts_with(&format!("{name} cannot start, and is passed over: "))
        );
        assert!(passed_over.providers.are_shared());
    }
}

/// As for a GPU, whose sessions run once at a time.
#[test]
fn exclusive_sessions_answer_as_a_shared_one_and_a_wait_for_one_can_be_ended() {
    let exclusive = |model: &str, copies| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(model).join("model.onnx");
        Onnx::load_as(runtime(), &path, &Options { copies, ..OPTIONS }, false).unwrap()
    };
    let (shared, copies) = (load("models/digits"), exclusive("models/digits", 2));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (shared, copies) = (&shared, &copies);
            scope.spawn(move || {
                for round in 0..20 {
                    let input = floats(&[2, 1, 28, 28], thread * 100 + round);
                    assert_eq!(
                        run(copies, from_ref(&input)).unwrap(),
                        run(shared, from_ref(&input)).unwrap()
                    );
                }
            });
        }
    });
    let busy = exclusive("tests/data/models/busy", 1);
    let endless = [floats(&[1, 256], 1), Tensor::from_numbers(vec![], vec![i64::MAX]).unwrap()];
    let (first, second) = (Interrupt::default(), Interrupt::default());
    std::thread::scope(|scope| {
        let runs = [&first, &second].map(|interrupt| {
            let (busy, endless) = (&busy, &endless);
            scope.spawn(move || busy.run(endless, interrupt))
        });
        // Whichever of them runs, the other waits; both are told to end.
        std::thread::park_timeout(std::time::Duration::from_millis(50));
        second.terminate();
        first.terminate();
        for run in runs {
            assert!(matches!(run.join().unwrap(), Err(RunError::Terminated)));
        }
    });
}
