#!/usr/bin/env bash
# A Debian package of predictd, with ONNX Runtime in it, in target/debian: scripts/deb.sh [--profile dev]
# DEBFULLNAME and DEBEMAIL say who builds it.
set -euo pipefail

cd "$(dirname "$(dirname "$(readlink -f "$0")")")"
scripts/setup.sh deb
# Where Cargo.toml has it.
scripts/onnxruntime.py target/lib
: "${DEBFULLNAME:=$(id -un)}" "${DEBEMAIL:=$(id -un)@$(uname -n)}"
exec "${CARGO_TARGET_DIR:-target}/tools/cargo-deb/bin/cargo-deb" --maintainer "$DEBFULLNAME <$DEBEMAIL>" --strip --no-dbgsym "$@"
