//! Tasks that go on in turn.

use super::common::{on_task, CountDown, Job};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

const YIELDERS: usize = 200;
const YIELDS: usize = 1_000;
const YIELD_ITERATIONS: usize = 1;
const PINGS: usize = 1_000;
const PING_ITERATIONS: usize = 20;

fn yield_many(runtime: &Runtime) -> f64 {
    on_task(runtime, YIELD_ITERATIONS, YIELDERS * YIELDS, || async {
        let tasks = CountDown::new(YIELDERS);
        for _ in 0..YIELDERS {
            tokio::spawn(async move {
                for _ in 0..YIELDS {
                    tokio::task::yield_now().await;
                }
                tasks.one();
            });
        }
        tasks.wait().await;
    })
}

/// Spawns a peer, sends it something and awaits its answer.
async fn play() {
    let (ping, pinged) = oneshot::channel();
    let (pong, ponged) = oneshot::channel();
    tokio::spawn(async move {
        pinged.await.unwrap();
        pong.send(()).unwrap();
    });
    ping.send(()).unwrap();
    ponged.await.unwrap();
}

fn ping_pong(runtime: &Runtime) -> f64 {
    on_task(runtime, PING_ITERATIONS, PINGS, || async {
        let games = CountDown::new(PINGS);
        tokio::spawn(async move {
            for _ in 0..PINGS {
                tokio::spawn(async move {
                    play().await;
                    games.one();
                });
            }
        });
        games.wait().await;
    })
}

pub const JOBS: &[Job] = &[
    Job { name: "yield_many", needs_threads: false, measure: yield_many },
    Job { name: "ping_pong", needs_threads: false, measure: ping_pong },
];
