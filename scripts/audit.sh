#!/usr/bin/env bash
# cargo-deny over the dependencies, by deny.toml. Licences, bans and sources need nothing but the packages; known
# vulnerabilities need a database from the network. Exit 0 means that all of it was looked at: what could not be
# is exit 69, never a quiet pass.
set -euo pipefail

cd "$(dirname "$(dirname "$(readlink -f "$0")")")"

if ! cargo deny --version >/dev/null 2>&1; then
    echo "audit: NOTHING WAS CHECKED: cargo-deny is not here (cargo install --locked cargo-deny)" >&2
    exit 69
fi

cargo deny check --hide-inclusion-graph licenses bans sources

if ! fetched=$(cargo deny fetch db 2>&1); then
    printf '%s\n' "$fetched" | tail -n 3 >&2
    echo "audit: KNOWN VULNERABILITIES WERE NOT CHECKED: their database cannot be fetched" >&2
    exit 69
fi
cargo deny check --disable-fetch advisories
