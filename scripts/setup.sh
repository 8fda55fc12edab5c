#!/usr/bin/env bash
# Makes this machine ready for what is named, and does nothing where it is ready already:
#
#     scripts/setup.sh [nginx] [wrk] [curl] [cc] [c++] [make] [shellcheck] [onnxruntime] [models]
#                      [haproxy] [lighttpd] [apache2] [cgi-fcgi] [uwsgi] [uwsgi-python3] [uwsgi_curl]
#                      [uwsgitop] [tritonclient] [perf_analyzer] [systemd-analyze] [openapi] [deb] [promtool] [python]
#                      [python-headers] [django] [chromium] [chromium-driver]
#
# Commands come by apt-get (through sudo where we are not root), ONNX Runtime by scripts/onnxruntime.py, real models
# by models/fetch.py into target/models, and uwsgi_curl, uwsgitop, tritonclient, perf_analyzer, a validator of OpenAPI
# and what a Django site runs on by pip and cargo-deb by cargo into a place of their own, target/tools; what tests the
# Python package by pip into target/python.
# Exit 69: something is missing and cannot be installed here; the text says why.
set -euo pipefail

# Debian keeps nginx where an ordinary user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin
here=$(dirname "$(readlink -f "$0")")

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 69; }
have() { command -v "$1" >/dev/null; }

# Python alone cannot fetch a package on Debian, where both pip and venv are packages of their own.
can_fetch() {
    have python3 && { python3 -c 'import pip' || python3 -c 'import ensurepip'; } 2>/dev/null
}

has_python_headers() {
    have python3 && python3 -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_paths()["include"], "Python.h").read_bytes()' 2>/dev/null
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo ${CI:+--non-interactive} "$@"; fi
}

apt() {
    # sudo drops the environment, and a proxy with it.
    as_root env DEBIAN_FRONTEND=noninteractive ${http_proxy:+"http_proxy=$http_proxy"} \
        ${https_proxy:+"https_proxy=$https_proxy"} apt-get -qq -o DPkg::Lock::Timeout=120 "$@"
}

install_packages() {
    local log
    have apt-get || fail "missing: $*. There is no apt-get here: install them by other means"
    ((EUID == 0)) || have sudo || fail "missing: $*. Only root can install them, and there is no sudo: apt-get install $*"
    log=$(mktemp)
    # shellcheck disable=SC2064  # the file's name is wanted now
    trap "rm -f '$log'" EXIT
    if ((EUID == 0)); then say "apt-get update"; else say "apt-get update (sudo may ask for your password)"; fi
    # One broken source must not keep the others' packages from us.
    apt update </dev/null >"$log" 2>&1 || { tail -n 5 "$log" >&2; say "apt-get update failed; going on with the lists at hand"; }
    say "apt-get install $*"
    apt install --yes --no-install-recommends "$@" </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "apt-get install $* failed"; }
}

# Debian starts what it installs. Whoever only wanted to try predictd did not ask for a server on port 80.
stop_services() {
    local service
    [[ -d /run/systemd/system ]] || return 0
    for service in "$@"; do
        say "switching Debian's own $service service off again (on: systemctl enable --now $service)"
        as_root systemctl disable --now "$service" >/dev/null 2>&1 || say "that failed: $service may be running"
    done
}

has_tools() { [[ -x $tools/bin/python && -x $tools/bin/pip ]]; }

make_tools() {
    has_tools || python3 -m venv "$tools" >&2 || fail "python3 -m venv failed; on Debian: apt-get install python3-venv"
}

# By their hashes: what pip fetches is run.
pip_install() {
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes "${@:3}" -r "$1" >&2 ||
        fail "pip could not fetch $2; it says why above"
}

install_uwsgi_curl() {
    [[ ! -x $tools/bin/uwsgi_curl ]] || return 0
    make_tools
    say "pip install uwsgi-tools 1.1.1 into $tools"
    pip_install /dev/stdin uwsgi-tools <<END
uwsgi-tools==1.1.1 --hash=sha256:7d557c83b1803962ea73c2f19688b0d5e7d212f382d0a1a0a4586ae0f34f4cb2
END
}

# There is only its source, so that what makes a package of it is fetched by its hash, too.
install_uwsgitop() {
    [[ ! -x $tools/bin/uwsgitop ]] || return 0
    make_tools
    say "pip install uwsgitop 0.12 into $tools"
    pip_install /dev/stdin setuptools <<END
setuptools==80.9.0 --hash=sha256:062d34222ad13e0cc312a4c02d73f059e86a4acbfbdea8f8f76b28c99f306922
END
    pip_install /dev/stdin uwsgitop --no-build-isolation <<END
uwsgitop==0.12 --hash=sha256:4f9330951f0fb9633226de36cf0c28c04dcf323efab608834aa81f638b6019b2
END
}

# What makes Debian packages.
install_cargo_deb() {
    local version=3.8.0 log=$tools/cargo-deb.txt
    [[ ! -x $tools/cargo-deb/bin/cargo-deb || $("$tools/cargo-deb/bin/cargo-deb" --version) != "cargo-deb $version" ]] || return 0
    say "cargo install cargo-deb $version into $tools (minutes)"
    mkdir -p "$tools"
    # A target folder of its own, so that it is not built with our profiles' settings, and is gone afterwards.
    CARGO_TARGET_DIR=$tools/cargo-deb/target cargo install --quiet --locked --debug --root "$tools/cargo-deb" "cargo-deb@$version" >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; fail "cargo could not install cargo-deb"; }
    rm -rf "$tools/cargo-deb/target" "$log"
}

# What FOLDER/requirements.txt names, unless that is there already: NAME FOLDER.
install_required() {
    local name=$1 wanted=$here/../$2/requirements.txt installed=$tools/$1.txt
    ! cmp --quiet "$wanted" "$installed" || return 0
    make_tools
    "$tools/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$name is pinned for Python 3.11 and newer"
    say "pip install $name into $tools"
    pip_install "$wanted" "$name"
    cp "$wanted" "$installed"
}

# Django, the newest uWSGI and gunicorn, and what the site of tests/django loads.
install_django() {
    ! cmp --quiet "$here/../tests/django/requirements.txt" "$tools/django.txt" || return 0
    make_tools
    # uWSGI is built here: not by whatever setuptools is the newest.
    pip_install /dev/stdin setuptools <<END
setuptools==84.2.1 --hash=sha256:ca140b45d5325a9478f880e351484f62fef15f336462e449ca0c03c873d589c2
wheel==0.48.0 --hash=sha256:3217dcc807155e45db462d7ef2431f5ddda0d7273b700d05a67b271ceb1287ab
packaging==26.3 --hash=sha256:d7193f7c8e4e93f444fde0262bf90af30e16fa0ad0ad44cb553c87339b23cd1c
END
    # This variable is the option's opposite: 0 is no isolation.
    PIP_NO_BUILD_ISOLATION=0 install_required django tests/django
}

main() {
    local thing package target tools packages=() services=()
    target=$(cd "$here/.." && realpath -m "${CARGO_TARGET_DIR:-target}")
    tools=$target/tools
    for thing in "$@"; do
        case $thing in
        onnxruntime) { have python3 && "$here/onnxruntime.py" --check 2>/dev/null; } || can_fetch || packages+=(python3-venv) ;;
        models) can_fetch || packages+=(python3-venv) ;;
        cc) have cc || packages+=(gcc libc6-dev) ;;
        c++) have c++ || packages+=(g++) ;;
        nginx | wrk | curl | make | shellcheck | haproxy | lighttpd | chromium) have "$thing" || packages+=("$thing") ;;
        # The programs without the services.
        apache2) have apache2 || packages+=(apache2-bin) ;;
        python-headers) has_python_headers || packages+=(python3-dev) ;;
        uwsgi) have uwsgi || packages+=(uwsgi-core) ;;
        # Whatever it cannot load, it ends well.
        uwsgi-python3) [[ -z $(uwsgi --plugin python3 --version 2>&1 >/dev/null) ]] || packages+=(uwsgi-plugin-python3) ;;
        cgi-fcgi) have cgi-fcgi || packages+=(libfcgi-bin) ;;
        deb) have dpkg-shlibdeps || packages+=(dpkg-dev) ;;
        systemd-analyze) have systemd-analyze || packages+=(systemd) ;;
        chromium-driver) have chromedriver || packages+=(chromium-driver) ;;
        promtool) have promtool || packages+=(prometheus) ;;
        uwsgi_curl | uwsgitop | tritonclient | perf_analyzer | openapi | django)
            has_tools || python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
            ;;
        python) tools=$target/python has_tools || python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv) ;;
        *) say "there is nothing called $thing to set up"; exit 64 ;;
        esac
    done
    if ((${#packages[@]})); then
        install_packages "${packages[@]}"
        for package in "${packages[@]}"; do
            case $package in nginx | haproxy | lighttpd | prometheus) services+=("$package") ;; esac
        done
        stop_services "${services[@]}"
    fi
    if [[ " $* " == *" onnxruntime "* ]]; then
        "$here/onnxruntime.py"
    fi
    for thing in "$@"; do
        case $thing in
        models) "$here/../models/fetch.py" --all --dir "$target/models" >&2 || fail "the models that tests need cannot be had" ;;
        uwsgi_curl) install_uwsgi_curl ;;
        uwsgitop) install_uwsgitop ;;
        tritonclient) install_required tritonclient tests/clients ;;
        deb) install_cargo_deb ;;
        python) tools=$target/python install_required python-package python/tests ;;
        openapi) install_required openapi-spec-validator tests/openapi ;;
        django) install_django ;;
        perf_analyzer) make_tools && "$here/perf_analyzer.sh" "$tools" ;;
        esac
    done
}

main "$@"
