#!/bin/sh
# build.sh DIR: builds the peers in Rust and in Go, the programs DIR/tokio and DIR/golang. Without network:
# all that is needed comes from Debian's packages (librust-tokio-dev, cargo, rustc; golang-go).
# Exit status 1 if a peer is missing; the others are there then.

set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$1/work"
out=$(CDPATH='' cd -- "$1" && pwd)
result=0

missing() {
    printf '%s\n' "peers: $1 is missing: $2" >&2
    result=1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# In the folder of the project, because that is where cargo looks for where to find the crates.
compile_tokio() {
    cd "$here/tokio" &&
        CARGO_TARGET_DIR=$out/work/tokio cargo build --release --offline --quiet &&
        cp "$out/work/tokio/release/tokio-peer" "$out/tokio"
}

compile_golang() {
    cd "$here/go" &&
        GOENV=off GOFLAGS=-mod=mod GOPROXY=off CGO_ENABLED=0 \
            GOPATH=$out/work/go GOCACHE=$out/work/go-cache go build -o "$out/golang" .
}

# None is left of an earlier build, so that what is there is what was built now.
rm -rf "$out/tokio" "$out/golang"

if ! have cargo || ! have rustc; then
    missing tokio "there is no cargo or no rustc"
elif ! (compile_tokio); then
    missing tokio "it could not be built"
fi

if ! have go; then
    missing golang "there is no go"
elif ! (compile_golang); then
    missing golang "it could not be built"
fi
exit $result
