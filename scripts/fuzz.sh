#!/usr/bin/env bash
# Runs every fuzz target (or those named) for SECONDS_EACH seconds, on the stable compiler: what cargo-fuzz adds to
# these flags is a sanitizer, which needs the nightly one, and which code without `unsafe` can do without.
#
#     scripts/fuzz.sh [TARGET...]
#
# What it learns stays in target/fuzz/corpus. A crash is saved in target/fuzz/artifacts: cut it down, name it after its
# cause, and put it into fuzz/corpus/TARGET.
set -euo pipefail

cd "$(dirname "$(dirname "$(readlink -f "$0")")")"
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
seconds=${SECONDS_EACH:-60}

build() {
    local host flags
    host=$(rustc -vV | sed -n 's/^host: //p')
    flags="--cfg fuzzing -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1 -Cpasses=sancov-module"
    flags+=" -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
    flags+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
    # --target keeps the flags away from build scripts and procedural macros.
    RUSTFLAGS=$flags cargo build ${CI:+--locked} --quiet --release --package predictd-fuzz --bins \
        --target "$host" --target-dir "$target"
    programs=$target/$host/release
}

fuzz() {
    local name=$1 seeds=()
    mkdir -p "$target/corpus/$name" "$target/artifacts/$name"
    [[ ! -d fuzz/corpus/$name ]] || seeds=("fuzz/corpus/$name")
    printf 'fuzz: %s for %s s\n' "$name" "$seconds" >&2
    # What it finds new goes into the first folder.
    "$programs/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$target/artifacts/$name/" "$target/corpus/$name" "${seeds[@]}"
}

main() {
    local file
    if ((!$#)); then
        for file in fuzz/fuzz_targets/*.rs; do set -- "$@" "$(basename "$file" .rs)"; done
    fi
    scripts/setup.sh c++
    build
    for file in "$@"; do fuzz "$file"; done
}

main "$@"
