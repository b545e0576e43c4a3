//! Notifications that come through the reactor: tokio-reactor's notify_many, with a pipe for each
//! task in place of a registration of mio's own.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::io::FromRawFd;
use std::thread::available_parallelism;

use super::common::{on_task, CountDown, Job};
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;
use tokio::runtime::Runtime;

const TASKS_PER_CORE: usize = 100;
const NOTIFICATIONS: usize = 500;
const ITERATIONS: usize = 1;

/// The ends to read and to write.
fn pipe() -> io::Result<(File, File)> {
    let mut fds = [0; 2];
    // SAFETY: the descriptors are new, and nobody else's.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((File::from_raw_fd(fds[0]), File::from_raw_fd(fds[1])))
    }
}

/// What was written is read whole at each notification, so the next one is waited for without
/// trying in vain first.
async fn notify_itself() -> io::Result<()> {
    let (reader, mut writer) = pipe()?;
    let mut reader = AsyncFd::with_interest(reader, Interest::READABLE)?;
    let mut buffer = [0; 64];
    for _ in 0..NOTIFICATIONS {
        writer.write_all(&[1])?;
        let mut guard = reader.readable_mut().await?;
        assert_eq!(guard.get_inner_mut().read(&mut buffer)?, 1);
        guard.clear_ready();
    }
    Ok(())
}

fn notify_many(runtime: &Runtime) -> f64 {
    let tasks_in_all = TASKS_PER_CORE * available_parallelism().map_or(1, |cores| cores.get());
    on_task(runtime, ITERATIONS, tasks_in_all * NOTIFICATIONS, move || async move {
        let tasks = CountDown::new(tasks_in_all);
        for _ in 0..tasks_in_all {
            tokio::spawn(async move {
                notify_itself().await.unwrap();
                tasks.one();
            });
        }
        tasks.wait().await;
    })
}

pub const JOBS: &[Job] = &[Job { name: "notify_many", needs_threads: false, measure: notify_many }];
