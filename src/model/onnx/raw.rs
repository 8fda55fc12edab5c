//! What ONNX Runtime can and the safe binding cannot, by the C interface: runs of one session at the same time, strings of
//! any bytes, and values of any kind read where they are.
//!
//! One of the two files where `unsafe` may stand. Its functions are safe: what a call needs is looked at before it.
#![allow(unsafe_code)]

use bytes::Bytes;
use ort::{
    AsPointer,
    memory::{Allocator, MemoryInfo},
    session::{NoSelectedOutputs, RunOptions, Session},
    sys::{self, ONNXTensorElementDataType as Element, ONNXType},
};
use predictd_protocol::inference::{
    strings::Strings,
    tensor::{self, Data, Datatype, Tensor},
};
use std::{
    ffi::CString,
    marker::PhantomData,
    ptr::{self, NonNull},
    slice,
};

/// Runs `session` once; the outputs are those of these names, in their order. Several threads may run one session at the
/// same time, as long as its providers are the CPU's. An output may be an input's memory.
pub(super) fn run<'a>(
    session: &Session,
    options: &RunOptions<NoSelectedOutputs>,
    input_names: &[CString],
    inputs: &[Value<'a>],
    output_names: &[CString],
) -> ort::Result<Vec<ort::Result<Value<'a>>>> {
    assert_eq!(input_names.len(), inputs.len(), "each input has a name");
    let input_names: Vec<_> = input_names.iter().map(|name| name.as_ptr()).collect();
    let inputs: Vec<_> = inputs.iter().map(|input| input.raw.as_ptr().cast_const()).collect();
    let output_names: Vec<_> = output_names.iter().map(|name| name.as_ptr()).collect();
    let mut outputs = vec![ptr::null_mut(); output_names.len()];
    // SAFETY: every pointer is valid for the whole call, since the caller's references are, and the vectors are this frame's;
    // the arrays are as long as the lengths say, and ONNX Runtime fills the outputs, null until then, with values for us.
    // Several threads may be in `Run` of one session at once: with the CPU provider it changes nothing of the session but
    // what it locks itself (and nobody uses the session through `&mut`, which a shared reference excludes).
    let status = check(unsafe {
        (ort::api().Run)(
            session.ptr().cast_mut(),
            options.ptr(),
            input_names.as_ptr(),
            inputs.as_ptr(),
            inputs.len(),
            output_names.as_ptr(),
            output_names.len(),
            outputs.as_mut_ptr(),
        )
    });
    // Of a run that failed there may be some: they are taken over, to be released.
    let outputs = outputs.into_iter().map(Value::owning).collect();
    status.map(|()| outputs)
}

/// What a model says of the dimensions of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    /// How many there are.
    Rank,
    /// Nothing: there may be any number.
    AnyRank,
    /// It is none of the tensors that are meant here: not dense, not a tensor, or optional.
    NoTensor,
}

/// What the model of `session` declares its input `at` to be, which must be there.
pub(super) fn declared_input(session: &Session, at: usize) -> ort::Result<Declared> {
    assert!(at < session.inputs().len(), "there is no such input");
    declared(session, at, ort::api().SessionGetInputTypeInfo)
}

/// The same of an output.
pub(super) fn declared_output(session: &Session, at: usize) -> ort::Result<Declared> {
    assert!(at < session.outputs().len(), "there is no such output");
    declared(session, at, ort::api().SessionGetOutputTypeInfo)
}

/// A function of ONNX Runtime's that tells the type of an input or output.
type TypeInfo =
    unsafe extern "system" fn(*const sys::OrtSession, usize, *mut *mut sys::OrtTypeInfo) -> sys::OrtStatusPtr;

fn declared(session: &Session, at: usize, ask: TypeInfo) -> ort::Result<Declared> {
    let (mut info, mut kind, mut tensor) = (ptr::null_mut(), 0i32, ptr::null());
    // SAFETY: session and place are valid, as those who call this have seen to. What is told is ours until it is released
    // here; `tensor` is a part of it, asked only where it is there. For the kind as a number see `Value::kind`.
    unsafe {
        check(ask(session.ptr(), at, &mut info))?;
        let asked = check((ort::api().GetOnnxTypeFromTypeInfo)(info, (&raw mut kind).cast()))
            .and_then(|()| check((ort::api().CastTypeInfoToTensorInfo)(info, &mut tensor)));
        let has_shape = asked.map(|()| !tensor.is_null() && (ort::api().TensorTypeAndShape_HasShape)(tensor));
        (ort::api().ReleaseTypeInfo)(info);
        Ok(match has_shape? {
            _ if kind != ONNXType::ONNX_TYPE_TENSOR as i32 => Declared::NoTensor,
            true => Declared::Rank,
            false => Declared::AnyRank,
        })
    }
}

/// A value as ONNX Runtime has it, released with this.
pub(super) struct Value<'a> {
    raw: NonNull<sys::OrtValue>,
    /// The numbers of an input are not copied, nor are they if they are an output.
    borrowed: PhantomData<&'a Tensor>,
}

// SAFETY: a value is counted atomically and belongs to no thread; once it is made, only its release changes it.
unsafe impl Send for Value<'_> {}
// SAFETY: as above.
unsafe impl Sync for Value<'_> {}

/// What a value can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tensor,
    Sequence,
    Map,
}

impl<'a> Value<'a> {
    /// Takes over what ONNX Runtime made for us.
    fn owning(raw: *mut sys::OrtValue) -> ort::Result<Self> {
        let raw = NonNull::new(raw).ok_or_else(|| ort::Error::new("it is missing"))?;
        Ok(Self { raw, borrowed: PhantomData })
    }

    fn made_by(make: impl FnOnce(&mut *mut sys::OrtValue) -> sys::OrtStatusPtr) -> ort::Result<Self> {
        let mut raw = ptr::null_mut();
        check(make(&mut raw))?;
        Self::owning(raw)
    }

    /// An input; `memory` says that it is where we can read it.
    pub(super) fn of(tensor: &'a Tensor, memory: &MemoryInfo<'static>) -> ort::Result<Self> {
        let dims: Vec<i64> = tensor.shape().iter().map(|dim| *dim as i64).collect();
        let element = element(tensor.datatype());
        let strings = match tensor.data() {
            Data::Numbers(bytes) => {
                let size = tensor.datatype().size().unwrap_or(1);
                assert!(bytes.as_ptr().addr().is_multiple_of(size), "the caller has aligned it");
                // SAFETY: the bytes are as many as datatype and shape say, since they are a tensor, and lie aligned; this
                // value does not outlive them, and ONNX Runtime does not write to what it is given as an input.
                return Self::made_by(|made| unsafe {
                    (ort::api().CreateTensorWithDataAsOrtValue)(
                        memory.ptr(),
                        bytes.as_ptr().cast_mut().cast(),
                        bytes.len(),
                        dims.as_ptr(),
                        dims.len(),
                        element,
                        made,
                    )
                });
            }
            Data::Strings(strings) => strings,
            Data::Documents(_) => return Err(ort::Error::new("a document can be no input")),
        };
        let allocator = Allocator::default();
        // SAFETY: the allocator is ONNX Runtime's own, which lasts; the dimensions are as many as is said.
        let value = Self::made_by(|made| unsafe {
            let allocator = allocator.ptr().cast_mut();
            (ort::api().CreateTensorAsOrtValue)(allocator, dims.as_ptr(), dims.len(), element, made)
        })?;
        for (at, string) in strings.iter().enumerate() {
            let mut buffer = ptr::null_mut();
            // SAFETY: the value is a tensor of strings, ours alone until it is returned. The buffer is that of its string
            // `at`, as long as was asked for, until the next call that changes the string.
            unsafe {
                let resized = ort::api().GetResizedStringTensorElementBuffer;
                check(resized(value.raw.as_ptr(), at, string.len(), &mut buffer))?;
                ptr::copy_nonoverlapping(string.as_ptr(), buffer.cast(), string.len());
            }
        }
        Ok(value)
    }

    /// What it is.
    pub(super) fn kind(&self) -> ort::Result<Kind> {
        let (mut is_there, mut kind) = (0, 0i32);
        // SAFETY: the value is valid, and so is the place of the answer.
        check(unsafe { (ort::api().HasValue)(self.raw.as_ptr(), &mut is_there) })?;
        if is_there == 0 {
            return Err(ort::Error::new("optional, and the model gave none"));
        }
        // SAFETY: as before, and there is something that has a kind. That is an enumeration of 32 bits, which a newer library
        // may have more words for than ours: so it is read as a number.
        check(unsafe { (ort::api().GetValueType)(self.raw.as_ptr(), (&raw mut kind).cast()) })?;
        [
            (ONNXType::ONNX_TYPE_TENSOR, Kind::Tensor),
            (ONNXType::ONNX_TYPE_SEQUENCE, Kind::Sequence),
            (ONNXType::ONNX_TYPE_MAP, Kind::Map),
        ]
        .into_iter()
        .find(|(word, _)| *word as i32 == kind)
        .map(|(_, kind)| kind)
        .ok_or_else(|| ort::Error::new("neither a tensor nor a sequence nor a map"))
    }

    /// Datatype and shape of a tensor.
    pub(super) fn tensor_type(&self) -> ort::Result<(Datatype, Vec<usize>)> {
        if self.kind()? != Kind::Tensor {
            return Err(ort::Error::new("no tensor"));
        }
        let (mut element, mut dims, mut rank) = (0i32, ptr::null(), 0);
        // SAFETY: the value is a tensor, the places of the answers are valid, and the dimensions are its own, read while it
        // is borrowed; there may be none, and then no place either.
        let dims = unsafe {
            let ask = ort::api().GetTensorElementTypeAndShapeDataReference;
            check(ask(self.raw.as_ptr(), (&raw mut element).cast(), &mut dims, &mut rank))?;
            if rank == 0 { &[] } else { slice::from_raw_parts(dims, rank) }
        };
        let datatype =
            datatype(element).ok_or_else(|| ort::Error::new("of a datatype that is not served"))?;
        let shape = dims.iter().map(|dim| usize::try_from(*dim)).collect::<Result<_, _>>();
        Ok((datatype, shape.map_err(ort::Error::wrap)?))
    }

    /// The elements of a tensor of numbers.
    pub(super) fn numbers(&self) -> ort::Result<&[u8]> {
        let (datatype, shape) = self.tensor_type()?;
        let length =
            datatype.size().zip(tensor::elements(&shape)).and_then(|(size, count)| count.checked_mul(size));
        let length = length.ok_or_else(|| ort::Error::new("not of numbers, or too many"))?;
        let mut data = ptr::null_mut();
        // SAFETY: the value is a tensor of numbers in main memory, since it is an output of the CPU provider or was made by
        // the default allocator; it has as many bytes as its datatype and shape say, which nobody writes to while it is
        // borrowed. Of none there may be no place.
        unsafe {
            check((ort::api().GetTensorMutableData)(self.raw.as_ptr(), &mut data))?;
            Ok(if length == 0 { &[] } else { slice::from_raw_parts(data.cast(), length) })
        }
    }

    /// The elements of a tensor of strings, in one piece of memory.
    pub(super) fn strings(&self) -> ort::Result<Strings> {
        let (datatype, shape) = self.tensor_type()?;
        if datatype != Datatype::Bytes {
            return Err(ort::Error::new("not of strings"));
        }
        let count = tensor::elements(&shape).ok_or_else(|| ort::Error::new("too many strings"))?;
        let mut length = 0;
        // SAFETY: the value is a tensor of strings; the places of the answers are valid, and as large as is said.
        let (text, begins) = unsafe {
            check((ort::api().GetStringTensorDataLength)(self.raw.as_ptr(), &mut length))?;
            let (mut text, mut begins) = (vec![0u8; length], vec![0; count]);
            let ask = ort::api().GetStringTensorContent;
            check(ask(self.raw.as_ptr(), text.as_mut_ptr().cast(), length, begins.as_mut_ptr(), count))?;
            (Bytes::from(text), begins)
        };
        // Each ends where the next begins.
        let ends = begins.into_iter().skip(1).chain((count > 0).then_some(length)).collect();
        Ok(Strings::in_place(text, ends, 0))
    }

    /// The value for as long as it is wanted, unless its numbers are those of one of the `inputs` that it was made of: a graph
    /// may give what it was given.
    pub(super) fn outliving(self, inputs: &[Self]) -> Result<Value<'static>, Self> {
        let mine = self.numbers().map(<[u8]>::as_ptr);
        let is_in = |input: &Self| match (&mine, input.numbers()) {
            (Ok(mine), Ok(theirs)) => theirs.as_ptr_range().contains(mine),
            _ => false,
        };
        if inputs.iter().any(is_in) {
            return Err(self);
        }
        let raw = self.raw;
        std::mem::forget(self);
        Ok(Value { raw, borrowed: PhantomData })
    }

    /// How many items a sequence has.
    pub(super) fn items(&self) -> ort::Result<usize> {
        let mut count = 0;
        // SAFETY: the value is valid, which is all that is asked of it, and so is the place of the answer.
        check(unsafe { (ort::api().GetValueCount)(self.raw.as_ptr(), &mut count) })?;
        Ok(count)
    }

    /// A copy of an item of a sequence, or of a map's keys (0) or values (1).
    pub(super) fn item(&self, at: usize) -> ort::Result<Value<'static>> {
        let at = at.try_into().map_err(ort::Error::wrap)?;
        let allocator = Allocator::default();
        // SAFETY: the value is valid, which is all that is asked of it: there is an error for what has no such item. The
        // allocator is ONNX Runtime's own, which lasts.
        Value::made_by(|made| unsafe {
            (ort::api().GetValue)(self.raw.as_ptr(), at, allocator.ptr().cast_mut(), made)
        })
    }
}

impl Drop for Value<'_> {
    fn drop(&mut self) {
        // SAFETY: the value was made for us, and nobody else releases it.
        unsafe { (ort::api().ReleaseValue)(self.raw.as_ptr()) };
    }
}

/// What a call of ONNX Runtime's says.
fn check(status: sys::OrtStatusPtr) -> ort::Result<()> {
    // SAFETY: a status is given by a call, to be released by who asked; each is passed here once.
    unsafe { ort::Error::result_from_status(status) }
}

/// ONNX Runtime's word for each datatype.
const ELEMENTS: [(Element, Datatype); 14] = [
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, Datatype::Bool),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, Datatype::Uint8),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, Datatype::Uint16),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, Datatype::Uint32),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, Datatype::Uint64),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, Datatype::Int8),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, Datatype::Int16),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, Datatype::Int32),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, Datatype::Int64),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, Datatype::Fp16),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, Datatype::Bf16),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, Datatype::Fp32),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, Datatype::Fp64),
    (Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, Datatype::Bytes),
];

/// The datatype of that word, which may be one that a newer library has and we have not.
pub(super) fn datatype(element: i32) -> Option<Datatype> {
    ELEMENTS.iter().find(|(word, _)| *word as i32 == element).map(|(_, datatype)| *datatype)
}

fn element(datatype: Datatype) -> Element {
    let found = ELEMENTS.iter().find(|(_, other)| *other == datatype);
    found.expect("all datatypes are there").0
}
