#!/usr/bin/env bash
# Puts NVIDIA's perf_analyzer into TOOLS, a virtual environment, and does nothing where it is there already:
#
#     scripts/perf_analyzer.sh TOOLS      then TOOLS/bin/perf_analyzer runs
#
# pip fetches it by its hash. It needs a newer C library than Debian 12 has: where it does not start, Debian 13's
# libraries are fetched from the mirror that this machine's own packages come from, checked by Debian's signature,
# and unpacked beside it. Nothing is installed.
# Exit 69: it cannot be had here; the text says why.
set -euo pipefail

version=2.60.0
sha256=23ef56b107ae9233e5cf09fbdf508dd9b936a52f1bae2f63f53c8117087b3f25
release=trixie
packages=(libc6 libgcc-s1 libssl3t64 libstdc++6 libzstd1 zlib1g)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf 'perf_analyzer: %s\n' "$*" >&2; }
fail() { say "$@"; exit 69; }

fetch_program() {
    say "pip download perf-analyzer $version"
    # pip looks for this machine's own kind of packages, unless it is told which.
    "$tools/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --platform manylinux_2_38_x86_64 --require-hashes --dest "$work" -r /dev/stdin >&2 <<END ||
perf-analyzer==$version --hash=sha256:$sha256
END
        fail "pip could not fetch perf-analyzer; it says why above"
    "$tools/bin/python" -m zipfile --extract "$work"/perf_analyzer-*.whl "$work/wheel"
    install -D "$work/wheel/perf_analyzer/bin/perf_analyzer" "$work/made/perf_analyzer"
}

# Where this machine's own release comes from.
mirror() {
    # shellcheck source=/dev/null
    . /etc/os-release
    [[ ${ID:-} == debian ]] || return 0
    # shellcheck disable=SC2016  # apt fills these in
    apt-get indextargets --no-release-info --format '$(COMPONENT) $(RELEASE) $(REPO_URI)' |
        awk -v release="${VERSION_CODENAME:-}" '$1 == "main" && $2 == release { print $3; exit }'
}

# apt-get with folders and lists of its own, and without what this machine does after an update.
private_apt() { apt-get -qq --config-file "$work/apt/conf" "$@"; }

configure_apt() {
    local apt=$work/apt
    mkdir -p "$apt"/{lists,cache/archives}/partial
    echo "deb [signed-by=$keyring] $1 $release main" >"$apt/sources.list"
    cat >"$apt/conf" <<END
Dir::State::status "/dev/null";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
}

fetch_libraries() {
    local from package
    from=$(mirror)
    [[ $from ]] || fail "it does not start with this machine's libraries, and this is not a Debian, whose newer ones could be fetched"
    [[ -e $keyring ]] || fail "$keyring is missing; on Debian: apt-get install debian-archive-keyring"
    say "apt-get download ${packages[*]} of Debian's $release"
    mkdir "$work/packages" "$work/root"
    configure_apt "$from"
    private_apt update >&2 || fail "apt-get update failed for Debian's $release"
    (cd "$work/packages" && private_apt download "${packages[@]}" >&2) || fail "apt-get download failed"
    for package in "$work"/packages/*.deb; do
        dpkg-deb --extract "$package" "$work/root"
    done
    mv "$work/root/usr/lib/x86_64-linux-gnu" "$work/made/lib"
}

starts() { "$@" --version >"$work/said" 2>&1; }

main() {
    local made loader=
    tools=${1:?which folder?}
    made=$tools/perf_analyzer-$version
    [[ ! -e $made ]] || exit 0
    [[ $(uname -sm) == "Linux x86_64" ]] || fail "NVIDIA makes it for Linux on x86_64 only"
    work=$(mktemp -d "$tools/perf_analyzer.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    fetch_program
    if ! starts "$work/made/perf_analyzer"; then
        fetch_libraries
        # shellcheck disable=SC2016  # for the launcher to say
        loader='"$here/lib/ld-linux-x86-64.so.2" --library-path "$here/lib" '
        starts "$work/made/lib/ld-linux-x86-64.so.2" --library-path "$work/made/lib" "$work/made/perf_analyzer" ||
            fail "it does not start with Debian's $release libraries either: $(tail -n 3 "$work/said")"
    fi
    cat >"$work/launcher" <<END
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")/../perf_analyzer-$version
exec $loader"\$here/perf_analyzer" "\$@"
END
    chmod +x "$work/launcher"
    mv "$work/launcher" "$tools/bin/perf_analyzer"
    # Last, as it says that all is there.
    mv "$work/made" "$made"
}

main "$@"
