//! Clocks, in ns.

use std::mem::MaybeUninit;

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: clock_gettime fills in what it is given; these clocks exist.
    let time = unsafe {
        assert_eq!(libc::clock_gettime(clock, time.as_mut_ptr()), 0);
        time.assume_init()
    };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The time that passes.
pub fn now() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// The CPU time of the process.
pub fn cpu_time() -> u64 {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}
