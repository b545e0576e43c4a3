#!/bin/sh
# dlclose of what uses lido: a plug-in that is linked to the shared library, and one that has the archive in it.

# shellcheck disable=SC2046 # pkg-config prints arguments, which are to be split into words

needs="pkg-config readelf"
# shellcheck source=tests/install/installed.sh
. "$(dirname -- "$0")/installed.sh"

strict="-std=gnu11 -Wall -Wextra -Werror"
# shellcheck disable=SC2086
$CC $strict "$here/host.c" -pthread -ldl -o host

# shellcheck disable=SC2086
$CC $strict -fPIC -shared "$here/plugin.c" $(pkg-config --cflags --libs lido) -o shared.so
env LD_LIBRARY_PATH="$lib" ./host ./shared.so || fail "a plug-in with the shared library"
echo "ok: a plug-in with the shared library"

# shellcheck disable=SC2086
$CC $strict -fPIC -shared "$here/plugin.c" $(pkg-config --cflags lido) -Wl,-Bstatic \
    $(pkg-config --static --libs lido) -Wl,-Bdynamic -o static.so
! readelf -d static.so | grep -q 'NEEDED.*liblido' || fail "the archive is not in the plug-in"
./host ./static.so || fail "a plug-in with the archive in it"
echo "ok: a plug-in with the archive in it"
