//! What the jobs share.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::clock::{cpu_time, now};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

pub struct Job {
    pub name: &'static str,
    /// It makes no sense, or panics, on a runtime without threads.
    pub needs_threads: bool,
    /// One repetition, in ns per operation.
    pub measure: fn(&Runtime) -> f64,
}

static CPU_TIME: AtomicBool = AtomicBool::new(false);

/// From now on what is measured is the CPU time of the process and not the time that passes.
pub fn measure_cpu_time() {
    CPU_TIME.store(true, Ordering::Relaxed);
}

/// ns, of the clock that is measured by.
pub fn clock() -> u64 {
    if CPU_TIME.load(Ordering::Relaxed) {
        cpu_time()
    } else {
        now()
    }
}

/// What an operation took, of a repetition that began at `began`.
pub fn per_operation(began: u64, operations: usize) -> f64 {
    (clock() - began) as f64 / operations as f64
}

/// Measures `iterations` of `job`, awaited by the future that block_on runs on the calling thread,
/// as in tokio's own benchmarks.
pub fn on_root<F, Fut>(runtime: &Runtime, iterations: usize, operations: usize, job: F) -> f64
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    runtime.block_on(async {
        let began = clock();
        for _ in 0..iterations {
            job().await;
        }
        per_operation(began, iterations * operations)
    })
}

/// The same, awaited by a task, on a worker.
pub fn on_task<F, Fut>(runtime: &Runtime, iterations: usize, operations: usize, job: F) -> f64
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send,
{
    let task = runtime.spawn(async move {
        let began = clock();
        for _ in 0..iterations {
            job().await;
        }
        per_operation(began, iterations * operations)
    });
    runtime.block_on(task).unwrap()
}

/// Tasks count down; the last one wakes the one that waits.
///
/// It is never freed: so a task needs no more than where it is, as lido's tasks do, and the last one may
/// still be at it when the one that waits goes on.
pub struct CountDown {
    left: AtomicUsize,
    over: Notify,
}

impl CountDown {
    pub fn new(count: usize) -> &'static CountDown {
        Box::leak(Box::new(CountDown { left: AtomicUsize::new(count), over: Notify::new() }))
    }

    pub fn one(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.notify_one();
        }
    }

    pub async fn wait(&self) {
        self.over.notified().await;
    }
}
