//! `predictd`: an application server for models.

use predictd::{cli, os};
use std::process::ExitCode;

fn main() -> ExitCode {
    if !os::process::disable_onnxruntime_telemetry() {
        eprintln!("predictd: warning: ORT_DISABLE_TELEMETRY cannot be set (no /proc?); set it yourself");
    }
    match os::upgrade::Handover::take() {
        Ok(handover) => cli::main(handover),
        Err(error) => {
            eprintln!("predictd: the sockets that were to be handed over cannot be taken: {error}");
            ExitCode::from(70)
        }
    }
}
