//! Tasks that come and go.

use super::common::{clock, on_root, on_task, per_operation, CountDown, Job};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const SPAWNS: usize = 10_000;
const SPAWN_ITERATIONS: usize = 4;
const DEPTH: usize = 1_000;
const CHAINS: usize = 50;
const JOINS: usize = 1_000;
const JOIN_ITERATIONS: usize = 20;

async fn spawn_many() {
    let tasks = CountDown::new(SPAWNS);
    for _ in 0..SPAWNS {
        tokio::spawn(async move { tasks.one() });
    }
    tasks.wait().await;
}

fn spawn_many_local(runtime: &Runtime) -> f64 {
    on_root(runtime, SPAWN_ITERATIONS, SPAWNS, spawn_many)
}

fn spawn_many_task(runtime: &Runtime) -> f64 {
    on_task(runtime, SPAWN_ITERATIONS, SPAWNS, spawn_many)
}

/// Gives the room for the handles back, so that it is there the next time.
async fn join_all(mut tasks: Vec<JoinHandle<()>>) -> Vec<JoinHandle<()>> {
    for task in tasks.drain(..) {
        task.await.unwrap();
    }
    tasks
}

/// Spawned by a thread that is not the runtime's; joined by a task, because waking that thread for each of
/// them would be another thing to measure.
fn spawn_many_remote_idle(runtime: &Runtime) -> f64 {
    let mut tasks = Vec::with_capacity(SPAWNS);
    let began = clock();
    for _ in 0..SPAWN_ITERATIONS {
        for _ in 0..SPAWNS {
            tasks.push(runtime.spawn(async {}));
        }
        tasks = runtime.block_on(runtime.spawn(join_all(tasks))).unwrap();
    }
    per_operation(began, SPAWN_ITERATIONS * SPAWNS)
}

fn spawn_link(chain: &'static CountDown, left: usize) {
    if left == 0 {
        chain.one();
    } else {
        tokio::spawn(async move { spawn_link(chain, left - 1) });
    }
}

fn chained_spawn(runtime: &Runtime) -> f64 {
    on_task(runtime, CHAINS, DEPTH, || async {
        let chain = CountDown::new(1);
        spawn_link(chain, DEPTH);
        chain.wait().await;
    })
}

fn spawn_join(runtime: &Runtime) -> f64 {
    on_task(runtime, JOIN_ITERATIONS, JOINS, || async {
        for _ in 0..JOINS {
            tokio::spawn(async {}).await.unwrap();
        }
    })
}

pub const JOBS: &[Job] = &[
    Job { name: "spawn_many_local", needs_threads: false, measure: spawn_many_local },
    Job { name: "spawn_many_task", needs_threads: false, measure: spawn_many_task },
    Job { name: "spawn_many_remote_idle", needs_threads: false, measure: spawn_many_remote_idle },
    Job { name: "chained_spawn", needs_threads: false, measure: chained_spawn },
    Job { name: "spawn_join", needs_threads: false, measure: spawn_join },
];
