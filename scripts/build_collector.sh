#!/usr/bin/env bash
# Builds the Collector and the backends that tests/collector needs, where they are missing or their sources changed.
#
#   scripts/build_collector.sh [DIR]    DIR: where the programs go, by default $CCAGENT_TOOLS, else
#                                       ${XDG_CACHE_HOME:-~/.cache}/ccagent-tools
#
# What it builds, and from which releases, stands in tests/collector/parts. It needs Go and a source of Go modules.
# Exit codes: 0 all is there; 3 there is no Go, nothing was built; 1 a build failed, its log is in DIR.
set -euo pipefail

sources="$(cd "$(dirname "$0")/../tests/collector/parts" && pwd)"
tools="${1:-${CCAGENT_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/ccagent-tools}}"
builder=go.opentelemetry.io/collector/cmd/builder@v0.159.0
link=(-trimpath -ldflags "-s -w")

if ! command -v go >/dev/null; then
    echo "no Go here: the Collector and its backends are not built, tests/collector will skip"
    exit 3
fi
mkdir -p "$tools"
tools="$(cd "$tools" && pwd)"
if command -v flock >/dev/null; then
    exec 9>"$tools/.lock"
    flock 9 # whoever builds at the same time is waited for
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export GOFLAGS=-mod=mod GOWORK=off
renice -n 10 $$ >/dev/null # tests may run meanwhile

# What a part is built from: this script, its files, the version of Go.
key() { { go version; cat "$0"; find "$sources/$1"* -type f | LC_ALL=C sort | xargs cat; } | cksum; }

otelcol() {
    GOBIN="$work" GOFLAGS='' go install "$builder" &&
        "$work/builder" --config "$sources/otelcol.yaml" --skip-strict-versioning &&
        mv otelcol/otelcol "$work/out"
}

victoria() {
    cp "$sources/victoria/go.mod" . &&
        go build "${link[@]}" -o "$work/out/" tool
}

jaeger() {
    # With its own list of checksums: the public database of checksums does not know every module that it wants.
    cp "$sources/jaeger/go.mod" . &&
        go mod download github.com/jaegertracing/jaeger &&
        cat "$(go list -m -f '{{.Dir}}' github.com/jaegertracing/jaeger)/go.sum" >>go.sum &&
        go build "${link[@]}" -o "$work/out/jaeger" tool
}

for part in otelcol victoria jaeger; do
    now="$(key "$part")"
    [[ "$(cat "$tools/.$part.key" 2>/dev/null)" == "$now" ]] && continue
    SECONDS=0
    rm -rf "$work/in" "$work/out"
    mkdir "$work/in" "$work/out"
    if ! (cd "$work/in" && "$part") >"$tools/$part.log" 2>&1; then
        tail -n 15 "$tools/$part.log"
        echo "$part was not built; the whole log: $tools/$part.log"
        exit 1
    fi
    rm -f "$tools/.$part.key"
    mv -f "$work"/out/* "$tools/"
    echo "$now" >"$tools/.$part.key"
    echo "$part: built in $SECONDS s"
done
