#!/bin/sh
# The installed tree serves its users: a program builds and runs against it through pkg-config and
# through find_package, with the archive and with the shared library, as C and as C++.

# shellcheck disable=SC2046,SC2086 # pkg-config prints arguments, which are to be split into words

CXX=${CXX:-g++}
needs="pkg-config $CXX readelf"
# shellcheck source=tests/install/installed.sh
. "$(dirname -- "$0")/installed.sh"

# ran PROGRAM shared|static [LIBRARY PATH]: it runs, and depends on liblido.so or does not.
ran() {
    linked=static
    ! readelf -d "$1" | grep -q 'NEEDED.*liblido\.so\.0' || linked=shared
    [ $linked = "$2" ] || fail "$1 is linked to the $linked library"
    env ${3:+"LD_LIBRARY_PATH=$3"} "$1" "$LIDO_VERSION" || fail "$1 exited with $?"
    echo "ok: $1"
}

[ "$(pkg-config --modversion lido)" = "$LIDO_VERSION" ] || fail "lido.pc has another version"
readelf -d "$lib/liblido.so" | grep -q 'SONAME.*\[liblido\.so\.0\]' || fail "soname"

strict="-std=c11 -Wall -Wextra -Wpedantic -Werror"
$CC $strict "$here/program.c" $(pkg-config --cflags --libs lido) -o ./pkgconfig-shared
ran ./pkgconfig-shared shared "$lib"

$CC $strict "$here/program.c" $(pkg-config --cflags lido) -Wl,-Bstatic \
    $(pkg-config --static --libs lido) -Wl,-Bdynamic -o ./pkgconfig-static
ran ./pkgconfig-static static

$CXX -x c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror "$here/program.c" \
    $(pkg-config --cflags --libs lido) -o ./pkgconfig-cxx
ran ./pkgconfig-cxx shared "$lib"

# CMake writes the prefix that it found into the programs, so these need no LD_LIBRARY_PATH.
{
    "$CMAKE" -S "$here" -B cmake -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$CC" \
        -DLIDO_VERSION="$LIDO_VERSION" -G "${CMAKE_GENERATOR:-Ninja}" &&
        "$CMAKE" --build cmake
} >cmake.log 2>&1 || {
    cat cmake.log >&2
    fail "find_package(lido)"
}
ran ./cmake/find-package-shared shared
ran ./cmake/find-package-static static

# The load tool needs nothing but itself.
tool=$(env -u LD_LIBRARY_PATH "$prefix/bin/lido-load" --version) || fail "lido-load exited with $?"
[ "$tool" = "lido-load $LIDO_VERSION" ] || fail "lido-load says: $tool"
echo "ok: lido-load"

if grep -rIl -e "$LIDO_BUILD" -e "$work/first" "$prefix"; then
    fail "the files above name the build directory or the first prefix"
fi
