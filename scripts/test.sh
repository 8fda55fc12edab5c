#!/usr/bin/env bash
# Everything that CI runs, in tiers, the quick ones first: scripts/test.sh [TIER...]
set -euo pipefail

cd "$(dirname "$(dirname "$(readlink -f "$0")")")"
# A proxy, which setup.sh may need, is not asked for servers of this machine.
export no_proxy=localhost,127.0.0.1,::1${no_proxy:+,$no_proxy}${NO_PROXY:+,$NO_PROXY}
tiers=(scripts check front_ends clients goldens fuzz run)

# The scripts themselves.
tier_scripts() {
    scripts/setup.sh shellcheck
    shellcheck scripts/*.sh .ci/run
    # Python as old as what we promise to the client's users.
    python3 - scripts/*.py tests/yardstick/*.py tests/clients/*.py tests/openapi/*.py models/*.py <<'END'
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path).read(), path, feature_version=(3, 9))
END
}

# Format, lints, unit and integration tests, documentation.
tier_check() {
    scripts/setup.sh curl
    scripts/check.sh
}

# The tests that `make check` leaves out: the other front ends and clients, more ways to set nginx up, and the document of
# the interface against a validator.
tier_front_ends() {
    scripts/setup.sh nginx curl haproxy lighttpd apache2 cgi-fcgi uwsgi uwsgi_curl systemd-analyze openapi c++ onnxruntime
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run ${CI:+--locked} --workspace --run-ignored only -E 'not test(/^(inference_clients|golden)::/)'
    else
        cargo test ${CI:+--locked} --workspace --lib --bins --tests -- --ignored --skip inference_clients:: --skip golden::
    fi
}

# Real clients of the inference protocols: NVIDIA's tritonclient and perf_analyzer, and plain HTTP for the others.
tier_clients() {
    local wanted=(nginx onnxruntime tritonclient)
    # NVIDIA makes it for nothing else, and there is no test of it elsewhere.
    [[ $(uname -m) != x86_64 ]] || wanted+=(perf_analyzer)
    scripts/setup.sh "${wanted[@]}"
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run ${CI:+--locked} --test server --run-ignored only -E 'test(/^inference_clients::/)'
    else
        cargo test ${CI:+--locked} --test server -- --ignored inference_clients::
    fi
}

# Real models, fetched into target/models, against the answers that ONNX Runtime gives from Python.
tier_goldens() {
    scripts/setup.sh c++ onnxruntime models
    cargo test ${CI:+--locked} --test server -- --ignored golden::
}

# A smoke run of every fuzz target.
tier_fuzz() {
    SECONDS_EACH=${SECONDS_EACH:-10} scripts/fuzz.sh
}

# README's first screen.
tier_run() {
    scripts/setup.sh curl
    scripts/first_screen.py
}

main() {
    local tier started
    (($#)) || set -- "${tiers[@]}"
    for tier in "$@"; do
        [[ " ${tiers[*]} " == *" $tier "* ]] || { echo "test: no tier $tier; there are: ${tiers[*]}" >&2; exit 64; }
    done
    for tier in "$@"; do
        printf '\ntest: tier %s\n' "$tier" >&2
        started=$SECONDS
        # Not `tier || ...`, which would switch errexit off inside.
        "tier_$tier"
        printf 'test: tier %s passed in %d s\n' "$tier" $((SECONDS - started)) >&2
    done
}

main "$@"
