# What makes an error in lido, or in a program that uses it, end in an abort and not in an exploit. For the library,
# not for its tests. A flag of the user's about the same (CFLAGS) is left as it is.

include(CheckCCompilerFlag)

option(LIDO_HARDEN "Harden the library: stack protector, fortified calls, read-only relocations" ON)

# A large frame touches each of its pages, so that none can skip the guard below a fiber's stack. Also for the code
# of those who use lido, which is what runs there.
check_c_compiler_flag(-fstack-clash-protection LIDO_HAS_STACK_CLASH_PROTECTION)
set(lido_user_flags)
if(LIDO_HAS_STACK_CLASH_PROTECTION)
    set(lido_user_flags -fstack-clash-protection)
endif()

# add_flag(VARIABLE FLAG ABOUT): unless the user says something about it.
function(add_flag variable flag about)
    if(NOT CMAKE_C_FLAGS MATCHES ${about})
        set(${variable} ${${variable}} ${flag} PARENT_SCOPE)
    endif()
endfunction()

set(lido_hardening_compile)
set(lido_hardening_link)
if(LIDO_HARDEN)
    add_flag(lido_hardening_compile -fstack-protector-strong stack-protector)
    if(lido_user_flags)
        add_flag(lido_hardening_compile ${lido_user_flags} stack-clash-protection)
    endif()
    # Without optimisation there is nothing to fortify, and sanitizers look at the calls themselves.
    if(NOT LIDO_SANITIZE AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
        add_flag(lido_hardening_compile -D_FORTIFY_SOURCE=2 _FORTIFY_SOURCE)
    endif()
    set(lido_hardening_link LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack)
endif()

# Where a request passes through, only frames that hold a buffer of bytes have a canary, and there are none on its way;
# -strong would add one for each op and list whose address is taken, which is 8 instructions per echo.
file(GLOB lido_request_sources CONFIGURE_DEPENDS
    src/time/*.c src/reactor/*.c src/sched/*.c src/fiber/*.c src/sync/*.c
    src/os/posix_clock.c src/os/linux_clock.c src/net/stream.c src/net/op.c src/io/copy.c)
if("-fstack-protector-strong" IN_LIST lido_hardening_compile)
    set_source_files_properties(${lido_request_sources} PROPERTIES
        COMPILE_OPTIONS "-fstack-protector;--param=ssp-buffer-size=1")
endif()

# Threads that have run fibers have a destructor in lido to call at their end, and a signal handler may be in it: it
# cannot be unmapped by dlclose, nor can a plug-in that has the archive in it.
set(lido_unloading LINKER:-z,nodelete)
