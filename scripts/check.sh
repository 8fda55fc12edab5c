#!/usr/bin/env bash
# The inner loop: format, lints, tests (through real nginx), documentation.
set -euo pipefail

# Debian keeps nginx where an ordinary user's PATH does not look.
export PATH=$PATH:/usr/sbin:/sbin
# A proxy, which setup.sh may need, is not asked for servers of this machine.
export no_proxy=localhost,127.0.0.1,::1${no_proxy:+,$no_proxy}${NO_PROXY:+,$NO_PROXY}
# Who changes Cargo.toml wants Cargo.lock to follow; CI wants what was committed.
locked=${CI:+--locked}

# A C++ compiler is for libFuzzer, in the crate of the fuzz targets.
scripts/setup.sh nginx curl c++ onnxruntime

set -x
cargo fmt --all --check
cargo clippy ${locked:+"$locked"} --workspace --all-targets -- -D warnings
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run ${locked:+"$locked"} --workspace
    cargo test ${locked:+"$locked"} --workspace --doc
else
    cargo test ${locked:+"$locked"} --workspace
fi
RUSTDOCFLAGS='-D warnings' cargo doc ${locked:+"$locked"} --workspace --no-deps
