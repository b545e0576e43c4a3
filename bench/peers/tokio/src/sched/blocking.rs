//! Blocking sections.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use super::common::{on_task, CountDown, Job};
use crate::clock::now;
use crate::random::Random;
use tokio::runtime::Runtime;
use tokio::task::{block_in_place, spawn_blocking};

const TASKS: usize = 1_000;
const TASK_ITERATIONS: usize = 4;
const SECTIONS: usize = 1_000;
const DELAYS: usize = 20;
const BLOCKED_FOR: Duration = Duration::from_millis(1);

/// A number of xorshift's: what stands for a computation here.
fn compute() -> u64 {
    thread_local!(static RANDOM: RefCell<Random> = const { RefCell::new(Random::new()) });
    RANDOM.with(|random| random.borrow_mut().next())
}

/// Many tasks, each with one section in place.
fn cpu_bound(runtime: &Runtime) -> f64 {
    on_task(runtime, TASK_ITERATIONS, TASKS, || async {
        let tasks = CountDown::new(TASKS);
        for _ in 0..TASKS {
            tokio::spawn(async move {
                block_in_place(compute);
                tasks.one();
            });
        }
        tasks.wait().await;
    })
}

/// Many tasks, each of which hands its computation to the blocking threads and awaits it.
fn cpu_bound_spawn(runtime: &Runtime) -> f64 {
    on_task(runtime, TASK_ITERATIONS, TASKS, || async {
        let tasks = CountDown::new(TASKS);
        for _ in 0..TASKS {
            tokio::spawn(async move {
                spawn_blocking(compute).await.unwrap();
                tasks.one();
            });
        }
        tasks.wait().await;
    })
}

/// One task, one section after the other, none of which blocks. All but the first are almost free: the
/// task has lost its worker already.
fn section(runtime: &Runtime) -> f64 {
    on_task(runtime, 1, SECTIONS, || async {
        for _ in 0..SECTIONS {
            block_in_place(compute);
        }
    })
}

/// Sections between which the other tasks may go on.
fn section_yield(runtime: &Runtime) -> f64 {
    on_task(runtime, 1, SECTIONS, || async {
        for _ in 0..SECTIONS {
            block_in_place(compute);
            Requeue::default().await;
        }
    })
}

fn section_spawn(runtime: &Runtime) -> f64 {
    on_task(runtime, 1, SECTIONS, || async {
        for _ in 0..SECTIONS {
            spawn_blocking(compute).await.unwrap();
        }
    })
}

struct Neighbour {
    over: AtomicBool,
    largest_gap: AtomicU64,
}

/// Puts the task back into the queue. tokio's yield_now keeps it back, where no other thread finds it,
/// until the worker has looked at its reactor.
#[derive(Default)]
struct Requeue {
    queued: bool,
}

impl Future for Requeue {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.queued {
            return Poll::Ready(());
        }
        self.queued = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Goes on again and again, and notes how long it did not.
async fn watch(neighbour: Arc<Neighbour>) {
    let mut last = now();
    while !neighbour.over.load(Ordering::Relaxed) {
        Requeue::default().await;
        let this = now();
        neighbour.largest_gap.fetch_max(this - last, Ordering::Relaxed);
        last = this;
    }
}

/// The longest time that a task of the same worker does not go on while a section blocks: the median
/// of some sections.
fn section_delay(runtime: &Runtime) -> f64 {
    let task = runtime.spawn(async {
        let neighbour =
            Arc::new(Neighbour { over: AtomicBool::new(false), largest_gap: AtomicU64::new(0) });
        let watch = tokio::spawn(watch(neighbour.clone()));
        let mut gaps = [0; DELAYS];
        for gap in &mut gaps {
            for _ in 0..100 {
                Requeue::default().await;
            }
            neighbour.largest_gap.store(0, Ordering::Relaxed);
            block_in_place(|| thread::sleep(BLOCKED_FOR));
            Requeue::default().await;
            *gap = neighbour.largest_gap.load(Ordering::Relaxed);
        }
        neighbour.over.store(true, Ordering::Relaxed);
        watch.await.unwrap();
        gaps.sort_unstable();
        gaps[DELAYS / 2] as f64
    });
    runtime.block_on(task).unwrap()
}

pub const JOBS: &[Job] = &[
    Job { name: "cpu_bound", needs_threads: true, measure: cpu_bound },
    Job { name: "cpu_bound_spawn", needs_threads: false, measure: cpu_bound_spawn },
    Job { name: "section", needs_threads: true, measure: section },
    Job { name: "section_yield", needs_threads: true, measure: section_yield },
    Job { name: "section_spawn", needs_threads: false, measure: section_spawn },
    Job { name: "section_delay", needs_threads: true, measure: section_delay },
];
