#!/usr/bin/env bash
# `make run`: predictd on a Unix socket and nginx in front of it on 127.0.0.1:$PORT, until Ctrl-C. Both run
# unprivileged in a private temporary folder, and whichever ends first, nothing is left behind. Where nginx cannot
# be had, predictd serves by its own HTTP on the same port.
# shellcheck disable=SC2317  # clean_up and is_ready are called indirectly
set -euo pipefail

# Debian keeps nginx where an ordinary user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin
root=$(dirname "$(dirname "$(readlink -f "$0")")")
port=${PORT:-8080}

target=$(cd "$root" && realpath -m "${CARGO_TARGET_DIR:-target}")
binary=$target/release/predictd
library=$target/lib/libonnxruntime.so.1.28.0
models=$root/models
dir=''
nginx_wanted=yes
predictd_pid='' nginx_pid=''
impatient=''
# Should this script be killed outright, its children end too.
unprivileged=(setpriv --no-new-privs --pdeathsig TERM)

main() {
    cd "$root"
    require_free_port
    prepare
    # The building took its time.
    require_free_port

    trap clean_up EXIT
    trap 'say "stopping"; exit 0' INT TERM HUP
    make_private_folder
    start_predictd
    [[ -z $nginx_wanted ]] || start_nginx
    wait_until_ready
    say_hello
    stay
}

say() { printf 'run: %s\n' "$*" >&2; }
fail() { say "$@"; exit 69; }

# Asks as nginx will, so that the answer is the same: in use, not allowed, not a port.
require_free_port() {
    command -v python3 >/dev/null || return 0
    python3 - "$port" <<'END' || exit 69
import socket, sys
try:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(sys.argv[1])))
        listener.listen()
except (OSError, OverflowError, ValueError) as error:
    sys.exit(f"run: cannot listen on 127.0.0.1:{sys.argv[1]}: {error}\nrun: on another port: make run PORT=8081")
END
}

prepare() {
    local needed=(cc)
    [[ -n ${ORT_DYLIB_PATH:-} ]] || needed+=(onnxruntime)
    command -v cargo >/dev/null || fail "cargo is not here: install Rust first (rustup)"
    if ! scripts/setup.sh "${needed[@]}" nginx; then
        scripts/setup.sh "${needed[@]}"
        nginx_wanted=''
        say "NO NGINX, and it cannot be installed (see above): predictd will serve HTTP by itself"
    fi
    cargo build --release --bin predictd
}

make_private_folder() {
    # Not in TMPDIR: the path of a Unix socket has to fit in 107 bytes.
    dir=$(mktemp -d /tmp/predictd-run.XXXXXX)
    ((EUID != 0)) || drop_root
}

# Root runs neither server: they belong to whoever called sudo, or else to nobody.
drop_root() {
    local user=${SUDO_UID:-0} group=${SUDO_GID:-0}
    if ((user == 0)); then
        user=$(id -u nobody) group=$(id -g nobody)
    fi
    unprivileged+=(--reuid "$user" --regid "$group" --clear-groups)
    chown "$user:$group" "$dir"
    if ! "${unprivileged[@]}" test -x "$binary" -a -r "$models/digits/model.onnx" -a -r "$library"; then
        say "uid $user cannot read $root: serving from a copy"
        mkdir "$dir/release" "$dir/lib"
        cp "$binary" "$dir/release/"
        [[ -n ${ORT_DYLIB_PATH:-} ]] || cp "$library"* "$dir/lib/"
        cp -r "$models" "$dir/models"
        chown -R "$user:$group" "$dir"
        binary=$dir/release/predictd models=$dir/models
    fi
}

# In a session of its own: Ctrl-C is ours to pass on, in the right order.
start_predictd() {
    local listen=127.0.0.1:$port
    [[ -z $nginx_wanted ]] || listen=unix:$dir/predictd.sock
    TMPDIR=$dir setsid "${unprivileged[@]}" "$binary" serve --listen "$listen" --admin '' --models "$models" </dev/null &
    predictd_pid=$!
}

start_nginx() {
    local packaged
    packaged=$(nginx -V 2>&1 | sed -n 's/.*--conf-path=\([^ ]*\).*/\1/p')
    cp "$(dirname "${packaged:-/etc/nginx/nginx.conf}")/uwsgi_params" "$root/nginx/uwsgi.conf" "$dir/"
    cat >"$dir/nginx.conf" <<END
daemon    off;
pid       nginx.pid;
error_log stderr warn;
events { }
http {
    access_log off;
    client_body_temp_path tmp_body;
    proxy_temp_path       tmp_proxy;
    fastcgi_temp_path     tmp_fastcgi;
    uwsgi_temp_path       tmp_uwsgi;
    scgi_temp_path        tmp_scgi;
    upstream predictd { server unix:$dir/predictd.sock; }
    server {
        listen 127.0.0.1:$port;
        include uwsgi.conf;
    }
}
END
    chmod a+r "$dir"/{nginx.conf,uwsgi.conf,uwsgi_params}
    # Before it, nginx would only fill the screen with failed connects.
    wait_for "predictd's socket" test -S "$dir/predictd.sock"
    setsid "${unprivileged[@]}" nginx -p "$dir/" -c nginx.conf -e stderr </dev/null &
    nginx_pid=$!
}

wait_until_ready() {
    wait_for "an answer to GET /v2/health/ready" is_ready
}

# By bash alone, as curl may not be here, and as a proxy in the environment is not meant for this.
is_ready() (
    local status
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    printf 'GET /v2/health/ready HTTP/1.0\r\n\r\n' >&3
    IFS= read -r -t 5 status <&3 && [[ $status == *" 200 "* ]]
) 2>/dev/null

# wait_for WHAT COMMAND...
wait_for() {
    local what=$1 end=$((SECONDS + 120))
    shift
    until "$@"; do
        require_alive
        ((SECONDS < end)) || fail "waited two minutes in vain for $what"
        sleep 0.1
    done
}

require_alive() {
    kill -0 "$predictd_pid" 2>/dev/null || { wait "$predictd_pid" || ended "$predictd_pid" $?; ended "$predictd_pid" 0; }
    [[ -n $nginx_pid ]] || return 0
    kill -0 "$nginx_pid" 2>/dev/null || { wait "$nginx_pid" || ended "$nginx_pid" $?; ended "$nginx_pid" 0; }
}

# ended PID CODE
ended() {
    local name=predictd
    [[ $1 == "$predictd_pid" ]] || name=nginx
    say "$name ended by itself, with exit code $2; what it said is above"
    exit $(($2 ? $2 : 70))
}

say_hello() {
    local url=http://127.0.0.1:$port picture by="nginx and predictd"
    printf -v picture %q "$root/models/digits/samples/7.png"
    [[ -n $nginx_wanted ]] || by="predictd (without nginx)"
    cat <<END

Ready: $by on $url, until Ctrl-C. In another terminal:

curl --data-binary @$picture $url/predict/digits
curl -H 'Content-Type: application/json' -d '{"inputs": {"measurements": [[5.1, 3.5, 1.4, 0.2]]}}' $url/predict/iris
curl $url/v2/models/digits

END
}

stay() {
    local pid='' code=0
    wait -n -p pid || code=$?
    ended "$pid" "$code"
}

# nginx first, so that no request finds its upstream gone.
clean_up() {
    trap 'impatient=yes' INT TERM HUP
    stop "$nginx_pid" QUIT
    stop "$predictd_pid" TERM
    [[ -z $dir ]] || rm -rf "$dir"
}

# stop PID SIGNAL: what is in flight may take its deadline (30 s), unless Ctrl-C is pressed again.
stop() {
    local tenths
    [[ -n $1 ]] || return 0
    kill "-$2" "$1" 2>/dev/null || true
    for ((tenths = 0; tenths < 350; tenths++)); do
        kill -0 "$1" 2>/dev/null || break
        [[ -z $impatient ]] || break
        # Ctrl-C ends the sleep too.
        sleep 0.1 || true
    done
    # Its whole session, for a master that died may have left workers.
    kill -KILL -- "-$1" 2>/dev/null || true
}

main
