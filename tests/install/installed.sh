# Read by the tests of this folder: installs lido in a folder of the test's own, and says where. Needs tools: those
# that are named in $needs; the test is skipped without them.

set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
CMAKE=${CMAKE:-cmake}
CC=${CC:-cc}

for tool in $needs; do
    command -v "$tool" >/dev/null || {
        echo "skipped: no $tool"
        exit 77
    }
done

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Installed in one place and used in another: nothing in it may name where it was.
"$CMAKE" --install "$LIDO_BUILD" --prefix "$work/first" >install.log || {
    cat install.log >&2
    exit 1
}
mv first moved
prefix=$work/moved
lib=$(dirname "$(find "$prefix" -name liblido.a)")
PKG_CONFIG_PATH=$lib/pkgconfig
export PKG_CONFIG_PATH
