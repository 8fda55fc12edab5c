//! `predictd`: an application server for models.

use std::process::ExitCode;

fn main() -> ExitCode {
    predictd::os::process::disable_onnxruntime_telemetry();
    predictd::cli::main()
}
