#!/usr/bin/env bash
# Boots a systemd of its own on this system, over an overlay in memory, and there installs a Debian package of predictd, uses,
# upgrades and purges it. Nothing of it is left when this ends. Root only: tests/package/systemd.sh PACKAGE.deb
# Exit 69: there can be no such thing here.
set -euo pipefail

readonly SOCKET=/run/predictd/predictd.sock CONFIG=/etc/predictd/predictd.toml

say() { printf 'package: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
cannot() { say "$*"; exit 69; }

wait_for() {
    local what=$1 tried
    shift
    for ((tried = 0; tried < 300; tried++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    fail "in 30 s it did not happen that $what"
}

# ---- Outside: from this system to process 1 of another one ----

outside() {
    local package=$1 here mount
    here=$(readlink -f "$0")
    [[ -x /lib/systemd/systemd ]] || cannot "there is no systemd here"
    mount=$(findmnt --noheadings --types cgroup2 --output TARGET | head -n 1)
    [[ -n $mount ]] || cannot "there is no cgroup2 here"
    group=$mount/predictd-test-$$
    mkdir "$group" 2>/dev/null || cannot "no control group can be made in $mount"
    console=$(mktemp)
    trap 'leave' EXIT
    (
        echo "$BASHPID" >"$group/cgroup.procs"
        exec unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup "$here" --boot "$package"
    ) >"$console" 2>&1 </dev/null &
    unshare=$!
    (wait_for "systemd is up" is_up) || cannot "systemd does not come up here: $(tail -n 3 "$console")"
    enter /srv/systemd.sh --inside
}

leave() {
    local status=$?
    ((status == 0)) || { say "what systemd has said:"; tail -n 20 "$console" >&2; }
    kill -KILL "$unshare" 2>/dev/null || true
    wait "$unshare" 2>/dev/null || true
    for ((tried = 0; tried < 50; tried++)); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.1
    done
    rm -f "$console"
}

enter() {
    local process
    process=$(pgrep --parent "$unshare")
    nsenter --target "$process" --mount --pid --uts --ipc --net --cgroup --root="/proc/$process/root" --wd="/proc/$process/root" "$@"
}

is_up() {
    [[ $(enter systemctl is-system-running) == running ]]
}

# ---- The first process there ----

boot() {
    local package=$1 root=/mnt/root kind
    mount --make-rprivate /
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/written /mnt/work $root
    mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/written,workdir=/mnt/work $root
    for kind in proc:proc sysfs:sys cgroup2:sys/fs/cgroup tmpfs:run; do
        mount -t "${kind%:*}" none "$root/${kind#*:}"
    done
    mount --rbind /dev $root/dev
    cp "$package" $root/srv/predictd.deb
    cp "$0" $root/srv/systemd.sh
    # Of this system's services none, and nobody who forbids to start ours.
    rm -rf $root/etc/systemd/system $root/usr/lib/systemd/system/*.wants $root/usr/sbin/policy-rc.d $root/etc/fstab
    mkdir $root/etc/systemd/system
    printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=systemd-journald.service\n' >$root/etc/systemd/system/default.target
    export container=predictd
    exec chroot $root /lib/systemd/systemd --system --log-target=console
}

# ---- Inside: as one who installs it ----

as() {
    local user=$1
    shift
    setpriv --reuid="$user" --regid="$user" --init-groups "$@"
}

ask() { as "$1" curl --silent --show-error --fail --unix-socket "$socket" -d '[[5.1, 3.5, 1.4, 0.2]]' http://x/predict/iris; }

property() { systemctl show --property "$1" --value predictd; }

is_new() { [[ $(property MainPID) != "$1" && $(property ActiveState) == active ]]; }

# Does something while nginx's user asks all the time; each is answered.
under_load() {
    rm -f /srv/enough
    (
        count=0
        while [[ ! -e /srv/enough ]]; do
            ask www-data >/srv/answer 2>&1 || fail "a request failed: $(cat /srv/answer)"
            count=$((count + 1))
        done
        ((count > 20)) || fail "that was no load: $count requests"
        say "$count requests meanwhile, all answered"
    ) &
    "$@"
    sleep 0.5
    touch /srv/enough
    wait $!
}

install_it() { dpkg --install /srv/predictd.deb >/srv/dpkg 2>&1 || { cat /srv/dpkg >&2; fail "dpkg could not install it"; }; }

inside() {
    export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
    local before socket=$SOCKET
    trap '(($? == 0)) || { journalctl --no-pager --lines 30 --unit predictd; } >&2' EXIT

    install_it
    wait_for "it is active" is_new 0
    [[ $(systemctl is-enabled predictd) == enabled ]] || fail "it is not enabled"
    cp -r /usr/share/predictd/models/iris /var/lib/predictd/models/
    systemctl reload predictd
    [[ $(property StatusText) == "serving 1 model on unix:$SOCKET" ]] || fail "its status is $(property StatusText)"
    [[ $(ask www-data) == *'"label":"setosa"'* ]] || fail "nginx's user gets: $(ask www-data)"
    ! ask nobody 2>/dev/null || fail "nobody is let in"
    predictd doctor -c $CONFIG >/srv/found 2>&1 || { cat /srv/found >&2; fail "doctor finds something"; }
    curl --silent http://127.0.0.1:8099/status | grep --quiet '"waiting":0' || fail "it cannot see how many connections wait"
    say "installed, and serves"

    before=$(property MainPID)
    echo '# mine' >>$CONFIG
    upgrade() { install_it && wait_for "the new program takes over" is_new "$before"; }
    under_load upgrade
    grep --quiet '# mine' $CONFIG || fail "the upgrade has changed the configuration"
    say "upgraded"

    mkdir /run/systemd/system/predictd.service.d
    printf '[Service]\nWatchdogSec=1\n' >/run/systemd/system/predictd.service.d/watchdog.conf
    systemctl daemon-reload
    systemctl restart predictd
    before=$(property MainPID)
    kill -STOP "$before"
    wait_for "the watchdog sees that it does nothing" is_new "$before"
    [[ $(property NRestarts) == 1 ]] || fail "it was started $(property NRestarts) times"
    wait_for "it answers again" ask www-data
    rm -r /run/systemd/system/predictd.service.d
    systemctl daemon-reload
    say "watched, and started again"

    systemctl stop predictd
    [[ $(property Result) == success && $(property ExecMainStatus) == 0 ]] || fail "its end was $(property Result), $(property ExecMainStatus)"
    [[ ! -e $SOCKET ]] || fail "its socket is left"
    ! pgrep --uid predictd >/dev/null || fail "a process is left"
    sed --in-place "s|unix:$SOCKET|fd:predictd|" $CONFIG
    systemctl start predictd.socket predictd.service
    socket=/run/predictd.sock
    under_load systemctl restart predictd
    say "restarted under systemd's socket"

    rm -r /var/lib/predictd/models/iris
    dpkg --purge predictd >/srv/dpkg 2>&1 || { cat /srv/dpkg >&2; fail "dpkg could not purge it"; }
    for left in /etc/predictd /var/lib/predictd /var/cache/predictd /var/log/predictd /usr/lib/predictd /usr/share/predictd \
        /usr/share/doc/predictd /usr/bin/predictd /run/predictd.sock /usr/lib/systemd/system/predictd.service; do
        [[ ! -e $left ]] || fail "$left is left"
    done
    ! getent passwd predictd >/dev/null || fail "its user is left"
    ! pgrep predictd >/dev/null || fail "it still runs"
    say "stopped and purged"
}

case ${1:-} in
--boot) boot "$2" ;;
--inside) inside ;;
*.deb) outside "$(readlink -f "$1")" ;;
*) echo "usage: tests/package/systemd.sh PACKAGE.deb" >&2; exit 64 ;;
esac
