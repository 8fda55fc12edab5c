//! ONNX Runtime: with `raw` and `provider` the only files that name `ort`.
//!
//! One session per model, shared by all workers, so that there is one copy of the weights. After a session has been
//! made nothing calls a method of it that needs `&mut`; every run has its own options and values. On what is not the CPU
//! a session runs once at a time, and there may be several.

mod provider;
mod raw;

use super::{
    arena::Shrinks,
    copies::{Copies, Wait},
    engine::{Engine, Interrupt, RunError, Signature, Terminate},
    message::one_line,
};
use crate::config::{Provider, model::GraphOptimization};
use bytes::Bytes;
use ort::{
    environment::Environment,
    logging::LogLevel,
    memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType},
    session::{NoSelectedOutputs, RunOptions, Session, builder::GraphOptimizationLevel},
    sys::ONNXTensorElementDataType,
    value::{Outlet, ValueType},
};
use predictd_protocol::inference::{
    document::{Document, Map},
    spec::TensorSpec,
    tensor::{Datatype, Tensor},
};
use provider::Providers;
use raw::{Declared, Kind, Value};
use std::{error::Error as _, ffi::CString, path::Path, sync::Arc};

/// Outputs up to this many bytes are copied, so that ONNX Runtime has its memory back at once.
const COPY_UP_TO: usize = 16 * 1024;

/// How a model is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Threads of one run.
    pub threads: usize,
    /// What may be done to the graph.
    pub optimization: GraphOptimization,
    /// Whether memory is kept between runs.
    pub memory_arena: bool,
    /// Rows that a run usually has at most; what larger runs needed is given back after them.
    pub usual_rows: usize,
    /// Sessions, where they cannot be shared.
    pub copies: usize,
}

/// ONNX Runtime, once it has been opened. There can be one in a process.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
    minor_version: Option<u32>,
    providers: Providers,
}

/// Why ONNX Runtime or a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The library is no ONNX Runtime, or too old.
    #[error("ONNX Runtime cannot be started: {0}")]
    Library(String),
    /// What models are to be run on is not there.
    #[error("{0} cannot start: {1} ([onnxruntime] providers; with fallback = true the next would be tried)")]
    Provider(&'static str, String),
    /// The file is no model, or one that this runtime cannot run.
    #[error("{0}")]
    Model(String),
    /// A kind of value that has no place in the protocol.
    #[error("{0} '{1}' is of a kind that cannot be served: {2}")]
    Unsupported(&'static str, String, String),
}

impl Runtime {
    /// Opens the library at `path`.
    ///
    /// # Errors
    /// Where it is none, or too old: the interface of 1.24 is needed.
    pub fn start(path: &Path) -> Result<Self, LoadError> {
        let builder = ort::init_from(path).map_err(|error| {
            LoadError::Library(match error {
                // The loader's own words are one level down.
                ort::LoadDynamicError::Dlopen { error, .. } => {
                    error.source().map_or_else(|| error.to_string(), ToString::to_string)
                }
                other => other.to_string(),
            })
        })?;
        let environment = builder.with_name("predictd").with_telemetry(false).build();
        let environment = environment.map_err(|error| LoadError::Library(error.to_string()))?;
        environment.set_log_level(LogLevel::Fatal);
        Ok(Self { environment, minor_version: ort::util::probe(path), providers: Providers::cpu() })
    }

    /// Models are run on these, in the order of preference.
    ///
    /// # Errors
    /// Where one of them cannot start, unless there is a `fallback`; then it is passed over with a warning.
    pub fn on(self, providers: &[Provider], fallback: bool) -> Result<Self, LoadError> {
        let providers = Providers::start(&self.environment, providers, fallback)?;
        Ok(Self { providers, ..self })
    }

    /// What they should have been run on too, a line for each that cannot start: to be told to whoever asked for it.
    #[must_use]
    pub fn passed_over(&self) -> &[String] {
        self.providers.passed_over()
    }

    /// What models are run on.
    #[must_use]
    pub fn providers(&self) -> String {
        self.providers.names()
    }

    /// The library's version, as far as it is known.
    #[must_use]
    pub fn version(&self) -> String {
        self.minor_version
            .map_or_else(|| "ONNX Runtime 1".to_owned(), |minor| format!("ONNX Runtime 1.{minor}"))
    }
}

/// A model that ONNX Runtime runs.
#[derive(Debug)]
pub struct Onnx {
    sessions: Sessions,
    signature: Signature,
    input_names: Vec<CString>,
    output_names: Vec<CString>,
    shrinks: Shrinks,
    /// That inputs are in main memory.
    memory: MemoryInfo<'static>,
}

/// What runs it.
#[derive(Debug)]
enum Sessions {
    /// One, by any number of threads at once.
    Shared(Arc<Session>),
    /// Some, each by one thread at a time.
    Exclusive(Arc<Copies<Arc<Session>>>),
}

impl Onnx {
    /// Loads the model at `path`.
    ///
    /// # Errors
    /// What is wrong with the model, in one line.
    pub fn load(runtime: &Runtime, path: &Path, options: &Options) -> Result<Self, LoadError> {
        Self::load_as(runtime, path, options, runtime.providers.are_shared())
    }

    fn load_as(runtime: &Runtime, path: &Path, options: &Options, shared: bool) -> Result<Self, LoadError> {
        let failed = |error: ort::Error| LoadError::Model(one_line(error.message()));
        let make = || commit(runtime, path, options).map(Arc::new).map_err(failed);
        let session = make()?;
        let inputs = session
            .inputs()
            .iter()
            .enumerate()
            .map(|(at, outlet)| input_spec(outlet, raw::declared_input(&session, at).map_err(failed)?));
        let inputs = inputs.collect::<Result<_, _>>()?;
        let outputs = session
            .outputs()
            .iter()
            .enumerate()
            .map(|(at, outlet)| output_spec(outlet, raw::declared_output(&session, at).map_err(failed)?));
        let outputs = outputs.collect::<Result<_, _>>()?;
        let mut row_names: Vec<String> =
            session.inputs().iter().chain(session.outputs()).filter_map(row_name).collect();
        row_names.sort();
        row_names.dedup();
        let signature = Signature { inputs, outputs, row_names };
        let names = |specs: &[TensorSpec]| {
            specs.iter().map(|spec| CString::new(&*spec.name)).collect::<Result<_, _>>()
        };
        let nul = |_| LoadError::Model("a tensor's name has a NUL in it".into());
        let memory = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUInput);
        Ok(Self {
            sessions: if shared {
                Sessions::Shared(session)
            } else {
                let others = (1..options.copies).map(|_| make());
                let all = std::iter::once(Ok(session)).chain(others);
                Sessions::Exclusive(Copies::new(all.collect::<Result<_, _>>()?))
            },
            input_names: names(&signature.inputs).map_err(nul)?,
            output_names: names(&signature.outputs).map_err(nul)?,
            shrinks: Shrinks::of(&signature, options.memory_arena, options.usual_rows),
            signature,
            memory: memory.map_err(failed)?,
        })
    }
}

fn commit(runtime: &Runtime, path: &Path, options: &Options) -> ort::Result<Session> {
    let level = match options.optimization {
        GraphOptimization::Off => GraphOptimizationLevel::Disable,
        GraphOptimization::Basic => GraphOptimizationLevel::Level1,
        GraphOptimization::Extended => GraphOptimizationLevel::Level2,
        GraphOptimization::All => GraphOptimizationLevel::All,
    };
    let builder = Session::builder(&runtime.environment)?
        .with_log_level(LogLevel::Fatal)?
        .with_optimization_level(level)?
        .with_inter_threads(1)?
        .with_intra_threads(options.threads)?
        // A worker that spins takes its core from the others.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?;
    runtime.providers.register(builder, options.memory_arena)?.commit_from_file(path)
}

fn input_spec(outlet: &Outlet, declared: Declared) -> Result<TensorSpec, LoadError> {
    let tensor = tensor_type(outlet.dtype()).filter(|_| !is_sparse(outlet, declared));
    let (datatype, shape) = tensor.ok_or_else(|| unsupported("input", outlet, declared))?;
    let any_rank = declared == Declared::AnyRank;
    let shape = if any_rank { vec![None] } else { shape };
    Ok(TensorSpec { name: outlet.name().to_owned(), datatype, shape, any_rank })
}

/// What is no tensor is one of JSON documents: a map is one, a sequence has one for each item.
fn output_spec(outlet: &Outlet, declared: Declared) -> Result<TensorSpec, LoadError> {
    let given = match without_option(outlet.dtype()) {
        ValueType::Map { .. } => Some((Datatype::Bytes, vec![])),
        ValueType::Sequence(items) => match **items {
            ValueType::Map { .. } => Some((Datatype::Bytes, vec![None])),
            ref items => tensor_type(items).map(|_| (Datatype::Bytes, vec![None])),
        },
        tensor => tensor_type(tensor),
    };
    let given = given.filter(|_| !is_sparse(outlet, declared));
    let (datatype, shape) = given.ok_or_else(|| unsupported("output", outlet, declared))?;
    // Of any rank, most likely it has rows; the trial before it is batched shows.
    let shape = if declared == Declared::AnyRank { vec![None] } else { shape };
    Ok(TensorSpec { name: outlet.name().to_owned(), datatype, shape, any_rank: false })
}

fn tensor_type(value_type: &ValueType) -> Option<(Datatype, Vec<Option<usize>>)> {
    let ValueType::Tensor { ty, shape, .. } = without_option(value_type) else { return None };
    let element: ONNXTensorElementDataType = (*ty).into();
    let shape = shape.iter().map(|dim| usize::try_from(*dim).ok()).collect();
    Some((raw::datatype(element as i32)?, shape))
}

/// An optional input has to be given all the same: there is no way to say that it is not.
fn without_option(value_type: &ValueType) -> &ValueType {
    match value_type {
        ValueType::Optional(content) => content,
        other => other,
    }
}

/// The binding takes a sparse tensor for a dense one.
fn is_sparse(outlet: &Outlet, declared: Declared) -> bool {
    declared == Declared::NoTensor && matches!(outlet.dtype(), ValueType::Tensor { .. })
}

fn unsupported(kind: &'static str, outlet: &Outlet, declared: Declared) -> LoadError {
    let sparse = if is_sparse(outlet, declared) { ", sparse" } else { "" };
    LoadError::Unsupported(kind, outlet.name().to_owned(), format!("{}{sparse}", outlet.dtype()))
}

/// What the model calls its first dimension if that may be of any size. Names that tf2onnx makes up, `unk__7`, say nothing.
fn row_name(outlet: &Outlet) -> Option<String> {
    let ValueType::Tensor { shape, dimension_symbols, .. } = outlet.dtype() else { return None };
    let free = shape.first().is_some_and(|dim| *dim < 0);
    let name =
        dimension_symbols.first().filter(|name| free && !name.is_empty() && !name.starts_with("unk__"))?;
    Some(name.clone())
}

impl Engine for Onnx {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&self, inputs: &[Tensor], interrupt: &Interrupt) -> Result<Vec<Tensor>, RunError> {
        assert_eq!(inputs.len(), self.input_names.len(), "the caller has checked the inputs");
        let failed = |error: ort::Error| RunError::Failed(one_line(error.message()));
        // The numbers are borrowed from the request's body where they lie aligned there, else from a copy.
        let aligned: Vec<_> = inputs.iter().map(Tensor::aligned).collect();
        let values = aligned
            .iter()
            .map(|input| Value::of(input, &self.memory))
            .collect::<ort::Result<Vec<_>>>()
            .map_err(failed)?;
        let mut options = RunOptions::new().map_err(failed)?;
        if self.shrinks.after(inputs) {
            options.set("memory.enable_memory_arena_shrinkage", "cpu:0").map_err(failed)?;
        }
        let options = Arc::new(options);

        let run = |session: &Arc<Session>| {
            let outputs = raw::run(session, &options, &self.input_names, &values, &self.output_names)?;
            Ok((Arc::clone(session), outputs))
        };
        let ran = match &self.sessions {
            Sessions::Shared(session) => {
                let termination = Termination { run: Arc::clone(&options), wait: None };
                interrupt.while_running(Arc::new(termination), || run(session))?
            }
            Sessions::Exclusive(copies) => {
                let wait = Arc::new(copies.wait());
                let termination = Termination { run: Arc::clone(&options), wait: Some(Arc::clone(&wait)) };
                let ran = interrupt.while_running(Arc::new(termination), || wait.then(run))?;
                ran.ok_or(RunError::Terminated)?
            }
        };
        let (session, outputs) = ran
            .map_err(|error| if interrupt.is_terminated() { RunError::Terminated } else { failed(error) })?;
        let outputs = self.signature.outputs.iter().zip(outputs).map(|(spec, value)| {
            let tensor = value.and_then(|value| tensor(value, &values, &session));
            tensor.map_err(|error| {
                RunError::Failed(format!("output '{}' is {}", spec.name, one_line(error.message())))
            })
        });
        outputs.collect()
    }
}

/// What a run is ended by, or the wait for a session.
struct Termination {
    run: Arc<RunOptions<NoSelectedOutputs>>,
    wait: Option<Arc<Wait<Arc<Session>>>>,
}

impl Terminate for Termination {
    fn terminate(&self) {
        let _ = self.run.terminate();
        if let Some(wait) = &self.wait {
            wait.give_up();
        }
    }
}

/// What an output is, its memory taken over unless that is little or an input's.
fn tensor<'a>(value: Value<'a>, inputs: &[Value<'a>], session: &Arc<Session>) -> ort::Result<Tensor> {
    match value.kind()? {
        Kind::Tensor => {}
        Kind::Map => {
            let document = document(value, inputs, session)?;
            return Tensor::from_documents(vec![], vec![document]).map_err(ort::Error::wrap);
        }
        Kind::Sequence => {
            let items = (0..value.items()?).map(|at| document(value.item(at)?, inputs, session));
            let items = items.collect::<ort::Result<Vec<_>>>()?;
            return Tensor::from_documents(vec![items.len()], items).map_err(ort::Error::wrap);
        }
    }
    let (datatype, shape) = value.tensor_type()?;
    if datatype == Datatype::Bytes {
        return Tensor::from_strings(shape, value.strings()?).map_err(ort::Error::wrap);
    }
    let bytes = match value.numbers()? {
        few if few.len() <= COPY_UP_TO => Bytes::copy_from_slice(few),
        _ => match value.outliving(inputs) {
            Ok(value) => Bytes::from_owner(Kept { value, _session: Arc::clone(session) }),
            Err(value) => Bytes::copy_from_slice(value.numbers()?),
        },
    };
    Tensor::from_bytes(datatype, shape, bytes).map_err(ort::Error::wrap)
}

fn document<'a>(value: Value<'a>, inputs: &[Value<'a>], session: &Arc<Session>) -> ort::Result<Document> {
    if value.kind()? != Kind::Map {
        return tensor(value, inputs, session).map(Document::Tensor);
    }
    let part = |at| tensor(value.item(at)?, inputs, session);
    Map::new(part(0)?, part(1)?).map(Document::Map).map_err(ort::Error::wrap)
}

/// An output that is read where ONNX Runtime put it.
struct Kept {
    value: Value<'static>,
    /// Its memory is the session's.
    _session: Arc<Session>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        self.value.numbers().expect("they have been read before")
    }
}

#[cfg(test)]
#[path = "onnx_tests.rs"]
mod tests;
