#!/bin/sh
# build.sh DIR: builds what lido is measured beside into DIR/PEER/release. Without network: all that is
# needed comes from Debian's packages (for tokio: librust-tokio-dev, cargo, rustc; a newer cargo will do).
# Exit status 1 if a peer is missing; the others are there then.

set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$1"
out=$(CDPATH='' cd -- "$1" && pwd)

if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    printf '%s\n' "peers: tokio is missing: there is no cargo or no rustc" >&2
    exit 1
fi
# In the folder of the project, because that is where cargo looks for where to find the crates.
cd "$here/tokio"
if ! CARGO_TARGET_DIR=$out/tokio cargo build --release --offline --quiet; then
    printf '%s\n' "peers: tokio is missing: it could not be built" >&2
    exit 1
fi
