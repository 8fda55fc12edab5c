#!/usr/bin/env bash
# Everything that CI runs, in tiers, the quick ones first: scripts/test.sh [TIER...]
set -euo pipefail

cd "$(dirname "$(dirname "$(readlink -f "$0")")")"
# A proxy, which setup.sh may need, is not asked for servers of this machine.
export no_proxy=localhost,127.0.0.1,::1${no_proxy:+,$no_proxy}${NO_PROXY:+,$NO_PROXY}
tiers=(scripts check front_ends browser root clients django goldens fuzz run package python)
not_run=()

# The scripts themselves.
tier_scripts() {
    scripts/setup.sh shellcheck
    shellcheck scripts/*.sh scripts/deb/p*[!l] tests/package/*.sh .ci/run
    # Python as old as what we promise to the client's users.
    python3 - scripts/*.py tests/yardstick/*.py tests/clients/*.py tests/openapi/*.py models/*.py \
        python/predictd/*.py python/predictd/*/*.py \
        tests/django/*.py tests/django/*/*.py tests/django/mailroom/*/*.py <<'END'
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

# The tests that `make check` leaves out: the other front ends and clients, more ways to set nginx up, the document of the
# interface against a validator, and metrics against Prometheus' own tool.
tier_front_ends() {
    scripts/setup.sh nginx curl haproxy lighttpd apache2 cgi-fcgi uwsgi uwsgi-python3 uwsgi_curl uwsgitop systemd-analyze promtool openapi c++ onnxruntime
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run ${CI:+--locked} --workspace --run-ignored only -E 'not test(/^(inference_clients|golden|life::as_root|page)::/)'
    else
        cargo test ${CI:+--locked} --workspace --lib --bins --tests -- --ignored --skip inference_clients:: --skip golden:: --skip life::as_root:: --skip page::
    fi
}

# The admin interface's page in a real browser.
tier_browser() {
    scripts/setup.sh onnxruntime chromium chromium-driver
    cargo test ${CI:+--locked} --test server -- --ignored page::
}

# Whether `as_root` works, for a tier that cannot be run otherwise.
can_be_root() {
    as_root=()
    ((EUID == 0)) || as_root=(sudo -n "--preserve-env=CI,ORT_DYLIB_PATH")
    "${as_root[@]}" true 2>/dev/null || { not_run+=("$1: it takes root, or a sudo that asks for no password"); return 1; }
}

# The tests of other users, each of whom only root can be.
tier_root() {
    local runner=() program=${CARGO_TARGET_DIR:-$PWD/target}/debug/predictd
    can_be_root root || return 0
    ((EUID == 0)) || runner=(--config "target.'cfg(unix)'.runner = '${as_root[*]}'")
    scripts/setup.sh onnxruntime
    cargo test ${CI:+--locked} --test server --no-run
    "${as_root[@]}" setpriv --reuid=47110 --regid=47110 --clear-groups test -r "$PWD/Cargo.toml" -a -x "$program" ||
        { not_run+=("root: other users cannot get at $PWD, or at $program"); return; }
    cargo test ${CI:+--locked} "${runner[@]}" --test server -- --ignored life::as_root::
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

# The first user: a Django site under uWSGI, gunicorn and runserver, with its model in the web process and in predictd.
tier_django() {
    scripts/setup.sh nginx cc python-headers onnxruntime django
    cargo build ${CI:+--locked} --bin predictd
    "${CARGO_TARGET_DIR:-target}/tools/bin/python" -B -m pytest -p no:cacheprovider tests/django
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

# Debian's package under a systemd of its own.
tier_package() {
    can_be_root package || return 0
    command -v apt-get >/dev/null || { not_run+=("package: this is no Debian"); return; }
    scripts/setup.sh curl deb systemd-analyze
    rm -rf "${CARGO_TARGET_DIR:-target}/debian"
    scripts/deb.sh
    "${as_root[@]}" tests/package/systemd.sh "${CARGO_TARGET_DIR:-target}"/debian/predictd_*.deb || {
        (($? == 69)) || return 1
        not_run+=("package: no systemd can be started here")
    }
}

# The Python package: its client against the server, and all of it installed as a user does.
tier_python() {
    local tools
    tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/python
    scripts/setup.sh onnxruntime python
    cargo build ${CI:+--locked} --bin predictd
    "$tools/bin/ruff" format --no-cache --check python
    "$tools/bin/ruff" check --no-cache python
    "$tools/bin/mypy" --cache-dir="$tools/mypy"
    # pytest's own types are no longer for Python 3.9.
    "$tools/bin/mypy" --cache-dir="$tools/mypy" --python-version 3.11 python/tests
    "$tools/bin/python" -B -m pytest -p no:cacheprovider -m ''
}

main() {
    local tier started skipped
    (($#)) || set -- "${tiers[@]}"
    for tier in "$@"; do
        [[ " ${tiers[*]} " == *" $tier "* ]] || { echo "test: no tier $tier; there are: ${tiers[*]}" >&2; exit 64; }
    done
    for tier in "$@"; do
        printf '\ntest: tier %s\n' "$tier" >&2
        started=$SECONDS skipped=${#not_run[@]}
        # Not `tier || ...`, which would switch errexit off inside.
        "tier_$tier"
        ((${#not_run[@]} > skipped)) || printf 'test: tier %s passed in %d s\n' "$tier" $((SECONDS - started)) >&2
    done
    # Last, so that nobody misses it.
    ((${#not_run[@]} == 0)) || printf '\ntest: *** NOT RUN *** tier %s\n' "${not_run[@]}" >&2
}

main "$@"
