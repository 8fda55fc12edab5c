//! What ONNX Runtime runs models on: the CPU, or another that has to be there and start. One that does not is an error that
//! says why, unless it may be passed over, which is said too.

use super::{LoadError, one_line};
use crate::config::Provider;
use ort::{
    environment::Environment,
    ep::{CPU, CUDA, ExecutionProviderDispatch, MIGraphX, OpenVINO, TensorRT},
    session::{Session, builder::SessionBuilder},
};

/// What models are run on, in the order of preference: each can start.
#[derive(Clone, Debug)]
pub(super) struct Providers {
    list: Vec<Provider>,
    /// Whether what the others cannot do may be done by the CPU.
    cpu_helps: bool,
    /// What was wanted too and cannot start, and why.
    passed_over: Vec<String>,
}

impl Providers {
    /// The CPU alone.
    pub(super) fn cpu() -> Self {
        Self { list: vec![Provider::Cpu], cpu_helps: true, passed_over: Vec::new() }
    }

    /// Those of `wanted` that can start: all of them, or where there is a `fallback`, as many as do, and the CPU.
    pub(super) fn start(
        environment: &Environment,
        wanted: &[Provider],
        fallback: bool,
    ) -> Result<Self, LoadError> {
        let (mut list, mut passed_over) = (Vec::new(), Vec::new());
        for &provider in wanted {
            let started = Session::builder(environment).and_then(|builder| {
                let registered = builder.with_execution_providers([dispatch(provider, true)]);
                registered.map(drop).map_err(|error| ort::Error::new(error.message()))
            });
            match started {
                Ok(()) => list.push(provider),
                Err(error) => {
                    let reason = one_line(error.message());
                    if !fallback {
                        return Err(LoadError::Provider(name(provider), reason));
                    }
                    passed_over
                        .push(format!("{} cannot start, and is passed over: {reason}", name(provider)));
                }
            }
        }
        if list.is_empty() {
            list.push(Provider::Cpu);
        }
        Ok(Self { cpu_helps: fallback || list.contains(&Provider::Cpu), list, passed_over })
    }

    /// Whether it is the CPU alone: then all workers may use one session.
    pub(super) fn are_shared(&self) -> bool {
        self.list == [Provider::Cpu]
    }

    /// A line for each that cannot start.
    pub(super) fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// Their names, in order.
    pub(super) fn names(&self) -> String {
        self.list.iter().map(|provider| name(*provider)).collect::<Vec<_>>().join(", ")
    }

    /// Has a session be made for them.
    pub(super) fn register(
        &self,
        builder: SessionBuilder,
        memory_arena: bool,
    ) -> ort::Result<SessionBuilder> {
        let all: Vec<_> = self.list.iter().map(|provider| dispatch(*provider, memory_arena)).collect();
        let builder = builder.with_execution_providers(all)?;
        Ok(if self.cpu_helps { builder } else { builder.with_disable_cpu_fallback()? })
    }
}

fn dispatch(provider: Provider, memory_arena: bool) -> ExecutionProviderDispatch {
    let provider = match provider {
        Provider::Cpu => CPU::default().with_arena_allocator(memory_arena).build(),
        Provider::Cuda => CUDA::default().build(),
        Provider::TensorRt => TensorRT::default().build(),
        Provider::MiGraphX => MIGraphX::default().build(),
        Provider::OpenVino => OpenVINO::default().build(),
    };
    // Else one that does not start would be passed over in silence.
    provider.error_on_failure()
}

fn name(provider: Provider) -> &'static str {
    match provider {
        Provider::Cpu => "CPU",
        Provider::Cuda => "CUDA",
        Provider::TensorRt => "TensorRT",
        Provider::MiGraphX => "MIGraphX",
        Provider::OpenVino => "OpenVINO",
    }
}
