//! Channels and one-shots.

use super::common::{on_task, Job};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

const CAPACITY: usize = 100;
const MESSAGES: usize = 10_000;
const CHANNEL_ITERATIONS: usize = 4;
const SENDERS: usize = 5;
const MESSAGES_EACH: usize = 1_000;
const ONESHOTS: usize = 10_000;
const ONESHOT_ITERATIONS: usize = 4;

/// `senders` tasks that send `each` messages, and their receiver.
async fn pass_messages(senders: usize, each: usize) {
    let (sender, mut receiver) = mpsc::channel(CAPACITY);
    for _ in 0..senders {
        let sender = sender.clone();
        tokio::spawn(async move {
            for i in 0..each {
                sender.send(i).await.unwrap();
            }
        });
    }
    drop(sender);
    let mut received = 0;
    while receiver.recv().await.is_some() {
        received += 1;
    }
    assert_eq!(received, senders * each);
}

fn channel(runtime: &Runtime) -> f64 {
    on_task(runtime, CHANNEL_ITERATIONS, MESSAGES, || pass_messages(1, MESSAGES))
}

fn channel_contended(runtime: &Runtime) -> f64 {
    on_task(runtime, CHANNEL_ITERATIONS, SENDERS * MESSAGES_EACH, || {
        pass_messages(SENDERS, MESSAGES_EACH)
    })
}

/// Made, sent and received by one task, which never waits.
fn oneshot(runtime: &Runtime) -> f64 {
    on_task(runtime, ONESHOT_ITERATIONS, ONESHOTS, || async {
        for i in 0..ONESHOTS {
            let (sender, receiver) = oneshot::channel();
            sender.send(i).unwrap();
            assert_eq!(receiver.await, Ok(i));
        }
    })
}

pub const JOBS: &[Job] = &[
    Job { name: "channel", needs_threads: false, measure: channel },
    Job { name: "channel_contended", needs_threads: false, measure: channel_contended },
    Job { name: "oneshot", needs_threads: false, measure: oneshot },
];
