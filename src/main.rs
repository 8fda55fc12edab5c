//! `predictd`: an application server for models.

use std::process::ExitCode;

fn main() -> ExitCode {
    if !predictd::os::process::disable_onnxruntime_telemetry() {
        eprintln!("predictd: warning: ORT_DISABLE_TELEMETRY cannot be set (no /proc?); set it yourself");
    }
    predictd::cli::main()
}
