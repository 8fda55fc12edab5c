#!/usr/bin/env bash
# Makes this machine ready for what is named, and does nothing where it is ready already:
#
#     scripts/setup.sh [nginx] [wrk] [curl] [cc] [c++] [make] [shellcheck] [onnxruntime]
#
# Commands come by apt-get (through sudo where we are not root), ONNX Runtime by scripts/onnxruntime.py.
# Exit 69: something is missing and cannot be installed here; the text says why.
set -euo pipefail

# Debian keeps nginx where an ordinary user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin
here=$(dirname "$(readlink -f "$0")")

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 69; }
have() { command -v "$1" >/dev/null; }

# Python alone cannot fetch a package on Debian, where both pip and venv are packages of their own.
can_fetch_onnxruntime() {
    {
        have python3 &&
            { "$here/onnxruntime.py" --check || python3 -c 'import pip' || python3 -c 'import ensurepip'; }
    } 2>/dev/null
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
stop_nginx_service() {
    [[ -d /run/systemd/system ]] || return 0
    say "switching Debian's own nginx service off again (on: systemctl enable --now nginx)"
    as_root systemctl disable --now nginx >/dev/null 2>&1 || say "that failed: nginx may be listening on port 80"
}

main() {
    local thing packages=()
    for thing in "$@"; do
        case $thing in
        onnxruntime) can_fetch_onnxruntime || packages+=(python3-venv) ;;
        cc) have cc || packages+=(gcc libc6-dev) ;;
        c++) have c++ || packages+=(g++) ;;
        nginx | wrk | curl | make | shellcheck) have "$thing" || packages+=("$thing") ;;
        *) say "there is nothing called $thing to set up"; exit 64 ;;
        esac
    done
    if ((${#packages[@]})); then
        install_packages "${packages[@]}"
        [[ " ${packages[*]} " != *" nginx "* ]] || stop_nginx_service
    fi
    if [[ " $* " == *" onnxruntime "* ]]; then
        "$here/onnxruntime.py"
    fi
}

main "$@"
