//! ONNX Runtime: the only file that names `ort`, and one of the two where `unsafe` may stand.
//!
//! One session per model, shared by all workers, so that there is one copy of the weights. After a session has been
//! made nothing calls a method of it that needs `&mut`; every run has its own options and values.
#![allow(unsafe_code)]

use super::{
    engine::{Engine, Interrupt, RunError, Signature, Terminate},
    message::one_line,
};
use crate::config::model::GraphOptimization;
use bytes::Bytes;
use half::{bf16, f16};
use ort::{
    AsPointer,
    environment::Environment,
    ep::CPU,
    logging::LogLevel,
    memory::Allocator,
    session::{NoSelectedOutputs, RunOptions, Session, builder::GraphOptimizationLevel},
    value::{
        DynValue, DynValueRef, Outlet, PrimitiveTensorElementType, TensorElementType, TensorRef, ValueType,
    },
};
use predictd_protocol::inference::{
    spec::TensorSpec,
    tensor::{Data, Datatype, Element, Tensor},
};
use std::{
    borrow::Cow,
    error::Error as _,
    ffi::CString,
    path::Path,
    ptr::{self, NonNull},
    sync::Arc,
};

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
}

/// ONNX Runtime, once it has been opened. There can be one in a process.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
    minor_version: Option<u32>,
}

/// Why ONNX Runtime or a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The library is no ONNX Runtime, or too old.
    #[error("ONNX Runtime cannot be started: {0}")]
    Library(String),
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
        Ok(Self { environment, minor_version: ort::util::probe(path) })
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
    session: Arc<Session>,
    signature: Signature,
    input_names: Vec<CString>,
    output_names: Vec<CString>,
    shrinks: Shrinks,
}

/// Which runs give the arena's memory back, which else keeps what the largest run needed for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shrinks {
    /// There is no arena, or every run is as large as every other.
    Never,
    /// Those of more rows.
    Over(usize),
    /// Sizes other than the rows' vary, so that any run may be the largest.
    Always,
}

impl Shrinks {
    fn of(signature: &Signature, options: &Options) -> Self {
        let specs = || signature.inputs.iter().chain(&signature.outputs);
        if !options.memory_arena || specs().all(|spec| spec.shape.iter().all(Option::is_some)) {
            Self::Never
        } else if signature.has_free_rows() && specs().all(|spec| spec.shape[1..].iter().all(Option::is_some))
        {
            Self::Over(options.usual_rows)
        } else {
            Self::Always
        }
    }

    fn after(self, inputs: &[Tensor]) -> bool {
        match self {
            Self::Never => false,
            Self::Over(rows) => {
                inputs.iter().any(|input| input.shape().first().is_some_and(|first| *first > rows))
            }
            Self::Always => true,
        }
    }
}

impl Onnx {
    /// Loads the model at `path`.
    ///
    /// # Errors
    /// What is wrong with the model, in one line.
    pub fn load(runtime: &Runtime, path: &Path, options: &Options) -> Result<Self, LoadError> {
        let session =
            commit(runtime, path, options).map_err(|error| LoadError::Model(one_line(error.message())))?;
        let inputs = session.inputs().iter().map(|outlet| spec("input", outlet)).collect::<Result<_, _>>()?;
        // What is no tensor is left out here, and not asked for in a run.
        let outputs: Vec<TensorSpec> =
            session.outputs().iter().filter_map(|outlet| spec("output", outlet).ok()).collect();
        if let (Some(outlet), true) = (session.outputs().first(), outputs.is_empty()) {
            spec("output", outlet)?;
        }
        let mut row_names: Vec<String> =
            session.inputs().iter().chain(session.outputs()).filter_map(row_name).collect();
        row_names.sort();
        row_names.dedup();
        let signature = Signature { inputs, outputs, row_names };
        let names = |specs: &[TensorSpec]| {
            specs.iter().map(|spec| CString::new(&*spec.name)).collect::<Result<_, _>>()
        };
        let nul = |_| LoadError::Model("a tensor's name has a NUL in it".into());
        Ok(Self {
            session: Arc::new(session),
            input_names: names(&signature.inputs).map_err(nul)?,
            output_names: names(&signature.outputs).map_err(nul)?,
            shrinks: Shrinks::of(&signature, options),
            signature,
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
    let cpu = CPU::default().with_arena_allocator(options.memory_arena).build();
    Session::builder(&runtime.environment)?
        .with_log_level(LogLevel::Fatal)?
        .with_optimization_level(level)?
        .with_inter_threads(1)?
        .with_intra_threads(options.threads)?
        // A worker that spins takes its core from the others.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_execution_providers([cpu])?
        .commit_from_file(path)
}

fn spec(kind: &'static str, outlet: &Outlet) -> Result<TensorSpec, LoadError> {
    let unsupported = || LoadError::Unsupported(kind, outlet.name().to_owned(), outlet.dtype().to_string());
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else { return Err(unsupported()) };
    Ok(TensorSpec {
        name: outlet.name().to_owned(),
        datatype: datatype(*ty).ok_or_else(unsupported)?,
        shape: shape.iter().map(|dim| usize::try_from(*dim).ok()).collect(),
    })
}

/// What the model calls its first dimension if that may be of any size. Names that tf2onnx makes up, `unk__7`, say nothing.
fn row_name(outlet: &Outlet) -> Option<String> {
    let ValueType::Tensor { shape, dimension_symbols, .. } = outlet.dtype() else { return None };
    let free = shape.first().is_some_and(|dim| *dim < 0);
    let name =
        dimension_symbols.first().filter(|name| free && !name.is_empty() && !name.starts_with("unk__"))?;
    Some(name.clone())
}

fn datatype(element: TensorElementType) -> Option<Datatype> {
    Some(match element {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

impl Engine for Onnx {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(&self, inputs: &[Tensor], interrupt: &Interrupt) -> Result<Vec<Tensor>, RunError> {
        assert_eq!(inputs.len(), self.input_names.len(), "the caller has checked the inputs");
        let failed = |error: ort::Error| RunError::Failed(one_line(error.message()));
        // The numbers are borrowed from the request's body where they lie aligned there, else from a copy.
        let aligned: Vec<Aligned<'_>> = inputs.iter().map(Aligned::of).collect();
        let values =
            aligned.iter().map(Aligned::to_value).collect::<ort::Result<Vec<_>>>().map_err(failed)?;
        let mut options = RunOptions::new().map_err(failed)?;
        if self.shrinks.after(inputs) {
            options.set("memory.enable_memory_arena_shrinkage", "cpu:0").map_err(failed)?;
        }
        let options = Arc::new(options);

        let input_names: Vec<_> = self.input_names.iter().map(|name| name.as_ptr()).collect();
        let input_values: Vec<_> = values.iter().map(Value::ptr).collect();
        let output_names: Vec<_> = self.output_names.iter().map(|name| name.as_ptr()).collect();
        let mut outputs = Outputs(vec![ptr::null_mut(); output_names.len()]);

        let status = interrupt.while_running(Arc::new(Termination(Arc::clone(&options))), || {
            // SAFETY: every pointer is valid for the whole call: the session is held by `self`, options, names and
            // values by this frame; the arrays are as long as the lengths say, and ONNX Runtime fills the outputs, null
            // until then, with values of its own. Several threads may be in `Run` of one session at once: with the CPU
            // provider it changes nothing of the session but what it locks itself (and the session is never used
            // through `&mut` after it was made).
            unsafe {
                let status = (ort::api().Run)(
                    self.session.ptr().cast_mut(),
                    options.ptr(),
                    input_names.as_ptr(),
                    input_values.as_ptr(),
                    input_values.len(),
                    output_names.as_ptr(),
                    output_names.len(),
                    outputs.0.as_mut_ptr(),
                );
                ort::Error::result_from_status(status)
            }
        })?;
        if let Err(error) = status {
            return Err(if interrupt.is_terminated() { RunError::Terminated } else { failed(error) });
        }
        let outputs = outputs.into_values();
        outputs
            .into_iter()
            .map(|value| tensor(value?, &self.session))
            .collect::<ort::Result<_>>()
            .map_err(failed)
    }
}

/// What a run is ended by.
struct Termination(Arc<RunOptions<NoSelectedOutputs>>);

impl Terminate for Termination {
    fn terminate(&self) {
        let _ = self.0.terminate();
    }
}

/// The outputs of a run, released with it unless they were taken.
struct Outputs(Vec<*mut ort::sys::OrtValue>);

impl Outputs {
    /// Takes the outputs over; one that is missing is an error.
    fn into_values(mut self) -> Vec<ort::Result<DynValue>> {
        let values = std::mem::take(&mut self.0).into_iter().map(|output| {
            let output = NonNull::new(output).ok_or_else(|| ort::Error::new("an output is missing"))?;
            // SAFETY: ONNX Runtime made the value for us in a run that succeeded, and nobody else has it; it was
            // allocated by the CPU provider, which is the default allocator's.
            Ok(unsafe { DynValue::from_ptr(output, Some(&Allocator::default())) })
        });
        values.collect()
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        for output in self.0.iter().filter(|output| !output.is_null()) {
            // SAFETY: the value was made for us and has not been taken over.
            unsafe { (ort::api().ReleaseValue)(*output) };
        }
    }
}

/// Calls a generic function with the Rust type of a datatype of numbers.
macro_rules! with_number {
    ($datatype:expr, $function:ident($($argument:expr),*), $otherwise:expr) => {
        match $datatype {
            Datatype::Bool => $function::<bool>($($argument),*),
            Datatype::Uint8 => $function::<u8>($($argument),*),
            Datatype::Uint16 => $function::<u16>($($argument),*),
            Datatype::Uint32 => $function::<u32>($($argument),*),
            Datatype::Uint64 => $function::<u64>($($argument),*),
            Datatype::Int8 => $function::<i8>($($argument),*),
            Datatype::Int16 => $function::<i16>($($argument),*),
            Datatype::Int32 => $function::<i32>($($argument),*),
            Datatype::Int64 => $function::<i64>($($argument),*),
            Datatype::Fp16 => $function::<f16>($($argument),*),
            Datatype::Bf16 => $function::<bf16>($($argument),*),
            Datatype::Fp32 => $function::<f32>($($argument),*),
            Datatype::Fp64 => $function::<f64>($($argument),*),
            Datatype::Bytes => $otherwise,
        }
    };
}

/// An input whose numbers can be read where they are.
struct Aligned<'a>(Cow<'a, Tensor>);

impl<'a> Aligned<'a> {
    fn of(tensor: &'a Tensor) -> Self {
        fn realign<T: Number>(tensor: &Tensor, bytes: &[u8]) -> Option<Tensor> {
            if tensor.numbers::<T>().is_some() {
                return None;
            }
            let numbers = bytes.chunks_exact(size_of::<T>()).map(|piece| T::of(piece)).collect();
            Some(Tensor::from_numbers(tensor.shape().to_vec(), numbers).expect("as many numbers as before"))
        }
        let copy = match tensor.data() {
            Data::Numbers(bytes) => with_number!(tensor.datatype(), realign(tensor, bytes), None),
            Data::Strings(_) => None,
        };
        Self(copy.map_or(Cow::Borrowed(tensor), Cow::Owned))
    }

    fn to_value(&self) -> ort::Result<Value<'_>> {
        fn borrow<T: Number>(tensor: &Tensor) -> ort::Result<Value<'_>> {
            let numbers = tensor.numbers::<T>().expect("aligned before");
            TensorRef::from_array_view((tensor.shape(), numbers))
                .map(|value| Value::Borrowed(value.into_dyn()))
        }
        let tensor = &*self.0;
        match tensor.data() {
            Data::Numbers(_) => {
                with_number!(tensor.datatype(), borrow(tensor), unreachable!("strings are no numbers"))
            }
            Data::Strings(strings) => {
                let texts = strings
                    .iter()
                    .map(|text| String::from_utf8(text.to_vec()))
                    .collect::<Result<Vec<_>, _>>();
                let texts = texts.map_err(|_| ort::Error::new("a string is not UTF-8"))?;
                let value = ort::value::Tensor::from_string_array((tensor.shape(), &texts[..]))?;
                Ok(Value::Owned(value.into_dyn()))
            }
        }
    }
}

/// An input as ONNX Runtime has it.
enum Value<'a> {
    /// Over memory of ours.
    Borrowed(DynValueRef<'a>),
    /// In memory of its own.
    Owned(DynValue),
}

impl Value<'_> {
    fn ptr(&self) -> *const ort::sys::OrtValue {
        match self {
            Self::Borrowed(value) => value.ptr(),
            Self::Owned(value) => value.ptr(),
        }
    }
}

/// A number that both sides know.
trait Number: Element + PrimitiveTensorElementType + bytemuck::CheckedBitPattern + std::fmt::Debug {
    /// Reads one that may not be aligned.
    fn of(piece: &[u8]) -> Self {
        bytemuck::checked::pod_read_unaligned(piece)
    }
}

impl<T: Element + PrimitiveTensorElementType + bytemuck::CheckedBitPattern + std::fmt::Debug> Number for T {}

/// Takes an output over, its memory included unless that is little.
fn tensor(value: DynValue, session: &Arc<Session>) -> ort::Result<Tensor> {
    fn numbers<T: Number>(value: DynValue, session: &Arc<Session>) -> ort::Result<Tensor> {
        let (shape, data) = value.try_extract_tensor::<T>()?;
        let shape = dims(shape);
        let bytes = bytemuck::cast_slice(data);
        let bytes = if bytes.len() <= COPY_UP_TO {
            Bytes::copy_from_slice(bytes)
        } else {
            Bytes::from_owner(Kept::<T> {
                value,
                _session: Arc::clone(session),
                element: std::marker::PhantomData,
            })
        };
        Tensor::from_bytes(T::DATATYPE, shape, bytes).map_err(ort::Error::wrap)
    }
    fn strings(value: &DynValue) -> ort::Result<Tensor> {
        let (shape, texts) = value.try_extract_strings()?;
        Tensor::from_strings(dims(shape), texts.into_iter().map(Bytes::from).collect())
            .map_err(ort::Error::wrap)
    }
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err(ort::Error::new("an output is no tensor"));
    };
    let datatype = datatype(*ty).ok_or_else(|| ort::Error::new("an output has an unknown datatype"))?;
    with_number!(datatype, numbers(value, session), strings(&value))
}

fn dims(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect()
}

/// An output that is read where ONNX Runtime put it.
struct Kept<T> {
    value: DynValue,
    /// Its memory is the session's.
    _session: Arc<Session>,
    element: std::marker::PhantomData<fn() -> T>,
}

impl<T: Number> AsRef<[u8]> for Kept<T> {
    fn as_ref(&self) -> &[u8] {
        let (_, data) = self.value.try_extract_tensor::<T>().expect("it has been extracted before");
        bytemuck::cast_slice(data)
    }
}

#[cfg(test)]
#[path = "onnx_tests.rs"]
mod tests;
