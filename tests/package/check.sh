#!/usr/bin/env bash
# Installs, uses, upgrades and purges a Debian package of predictd, on this system but for what is written: that goes
# to an overlay in memory, which is gone with this process. Root only: tests/package/check.sh PACKAGE.deb
# Exit 69: there can be no such overlay here.
set -euo pipefail

readonly SOCKET=/run/predictd/predictd.sock CONFIG=/etc/predictd/predictd.toml UNIT=/usr/lib/systemd/system/predictd.service

say() { printf 'package: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# All that follows sees the system through an overlay.
enter() {
    local package here root
    package=$(readlink -f "$1") here=$(readlink -f "$0")
    [[ -n ${PREDICTD_OVERLAY:-} ]] || PREDICTD_OVERLAY=1 exec unshare --mount --pid --fork --kill-child "$here" "$package"
    root=/mnt/root
    { mount -t tmpfs tmpfs /mnt && mkdir /mnt/written /mnt/work $root &&
        mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/written,workdir=/mnt/work $root; } ||
        { say "there can be no overlay of / here"; exit 69; }
    mount -t proc proc $root/proc
    mount --rbind /dev $root/dev
    mount --rbind /sys $root/sys
    # What is running here is not what a package's scripts may talk to.
    mount -t tmpfs tmpfs $root/run
    mount -t tmpfs tmpfs $root/tmp
    cp "$package" $root/tmp/predictd.deb
    cp "$here" $root/tmp/check.sh
    exec chroot $root /tmp/check.sh --inside
}

as() {
    local user=$1
    shift
    setpriv --reuid="$user" --regid="$user" --init-groups "$@"
}

# As the unit starts it: the same command, user and folders.
start() {
    local command folder
    command=$(sed -n 's/^ExecStart=//p' $UNIT)
    for folder in RuntimeDirectory:/run StateDirectory:/var/lib CacheDirectory:/var/cache LogsDirectory:/var/log; do
        install -d -o predictd -g predictd "${folder#*:}/$(sed -n "s/^${folder%:*}=//p" $UNIT)"
    done
    # shellcheck disable=SC2086  # a command is words
    as "$(sed -n 's/^User=//p' $UNIT)" env -i PATH="$PATH" $command >>/tmp/log 2>&1 </dev/null &
    wait_for "it is ready" curl --silent --fail --unix-socket $SOCKET http://x/v2/health/ready
}

wait_for() {
    local what=$1 tried
    shift
    for ((tried = 0; tried < 600; tried++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    cat /tmp/log >&2
    fail "it did not happen that $what"
}

is_gone() { ! kill -0 "$1"; }

ask() { as "$1" curl --silent --show-error --unix-socket $SOCKET -d '[[5.1, 3.5, 1.4, 0.2]]' http://x/predict/iris; }

inside() {
    export DEBIAN_FRONTEND=noninteractive
    local old
    dpkg --install /tmp/predictd.deb >/tmp/dpkg 2>&1 || { cat /tmp/dpkg >&2; fail "dpkg could not install it"; }
    [[ $(dpkg-query --show --showformat='${Status}' predictd) == 'install ok installed' ]] || fail "it is not installed"
    getent passwd predictd >/dev/null || fail "its user is missing"
    predictd check -c $CONFIG >/tmp/checked 2>&1 || { cat /tmp/checked >&2; fail "check refuses what is installed"; }

    start
    # As README.Debian has it.
    cp -r /usr/share/predictd/models/iris /var/lib/predictd/models/
    as predictd predictd reload -c $CONFIG >&2
    [[ $(ask www-data) == *'"label":"setosa"'* ]] || fail "nginx's user gets: $(ask www-data)"
    ! ask nobody 2>/dev/null || fail "nobody is let in"
    predictd doctor -c $CONFIG >/tmp/found 2>&1 || { cat /tmp/found >&2; fail "doctor finds something"; }

    say "an upgrade"
    echo '# mine' >>$CONFIG
    dpkg --install /tmp/predictd.deb >/tmp/dpkg 2>&1 || { cat /tmp/dpkg >&2; fail "dpkg could not upgrade it"; }
    grep --quiet '# mine' $CONFIG || fail "the upgrade has changed the configuration"
    # As postinst has it, where there is systemd.
    old=$(pgrep --uid predictd predictd)
    kill -USR2 "$old"
    wait_for "the new program takes over" is_gone "$old"
    [[ $(ask www-data) == *'"label":"setosa"'* ]] || fail "after the upgrade: $(ask www-data)"
    old=$(pgrep --uid predictd predictd)
    kill "$old"
    wait_for "it ends" is_gone "$old"

    say "a purge"
    rm -r /var/lib/predictd/models/iris
    dpkg --purge predictd >/tmp/dpkg 2>&1 || { cat /tmp/dpkg >&2; fail "dpkg could not purge it"; }
    for left in /etc/predictd /var/lib/predictd /var/cache/predictd /var/log/predictd /usr/lib/predictd /usr/share/predictd \
        /usr/share/doc/predictd /usr/bin/predictd $UNIT; do
        [[ ! -e $left ]] || fail "$left is left"
    done
    ! getent passwd predictd >/dev/null || fail "its user is left"
    say "installed, used, upgraded and purged"
}

case ${1:-} in
--inside) inside ;;
*.deb) enter "$1" ;;
*) echo "usage: tests/package/check.sh PACKAGE.deb" >&2; exit 64 ;;
esac
