/*
 * The four system calls that every request makes, as -errno and without passing through libc: there
 * they are cancellation points, which in a process with threads costs two atomic operations and
 * some thirty instructions each, and they write to errno, which nobody wants here. (So a thread that
 * carries a worker is not to be cancelled with pthread_cancel.)
 *
 * The sanitizers learn from libc's functions what was written and in which order; their builds use those.
 */
#ifndef LIDO_OS_HOT_H
#define LIDO_OS_HOT_H

#include "base/sanitize.h"

#if defined(__x86_64__) && defined(__linux__) && !defined(LIDO__ASAN) && !defined(LIDO__TSAN)
#include "os/hot_linux_x86_64.h"
#else
#include "os/hot_libc.h"
#endif

#endif
