#!/bin/sh
# The library is hardened, tells its users how their code is to be, and takes what the user's environment says about
# flags.

needs="readelf nm pkg-config"
# shellcheck source=tests/install/installed.sh
. "$(dirname -- "$0")/installed.sh"

# has WHAT COMMAND...: the output of the command has WHAT in it.
has() {
    what=$1
    shift
    "$@" | grep -q -e "$what" || fail "no \"$what\" in what is said by: $*"
    echo "ok: $what"
}

library=$lib/liblido.so
has 'GNU_RELRO' readelf -lW "$library"
has 'BIND_NOW' readelf -dW "$library"
has 'NODELETE' readelf -dW "$library"
has 'GNU_STACK.* RW ' readelf -lW "$library"
has ' U __stack_chk_fail' nm -D "$library"
has ' U __vsnprintf_chk' nm -D "$library"
! readelf -dW "$library" | grep -q TEXTREL || fail "the library has relocations in its code"

# A frame that is larger than the guard touches each page on its way: in the library and in the code of its users.
if echo 'int x;' | $CC -fstack-clash-protection -x c -c - -o probe.o 2>/dev/null; then
    has '-fstack-clash-protection' pkg-config --cflags lido
    has '-fstack-clash-protection' cat "$lib/cmake/lido/lido-targets.cmake"
    has '-fstack-clash-protection' grep '"command".*/epoll\.c"' "$LIDO_BUILD/compile_commands.json"
fi

# The user's flags reach the compiler and the linker, and go before lido's own where both say something.
env CFLAGS="-DOF_THE_USER=1 -D_FORTIFY_SOURCE=1 -fno-stack-protector" LDFLAGS="-Wl,--build-id=0x1d05c0de1d05c0de" \
    "$CMAKE" -S "$LIDO_SOURCE" -B flags -G "${CMAKE_GENERATOR:-Ninja}" -DCMAKE_C_COMPILER="$CC" -DLIDO_TESTS=OFF \
    -DLIDO_EXAMPLES=OFF -DLIDO_BENCH=OFF -DLIDO_LOAD=OFF -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >flags.log 2>&1 || {
    cat flags.log >&2
    fail "the configuration with flags of the user's"
}
commands=flags/compile_commands.json
has 'OF_THE_USER=1' cat $commands
! grep -q -e '_FORTIFY_SOURCE=2' -e 'stack-protector-strong' $commands || fail "flags of the user's are overridden"
"$CMAKE" --build flags --target lido >flags.log 2>&1 || {
    cat flags.log >&2
    fail "the build with flags of the user's"
}
has 'Build ID: 1d05c0de1d05c0de' readelf -nW flags/liblido.so
