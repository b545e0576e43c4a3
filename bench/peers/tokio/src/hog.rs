//! Echo beside a task that computes for a part of each period without awaiting anything.

use std::time::Instant;

use crate::options::{Hog, Options};
use crate::protocol::Protocol;
use crate::{server, tcp};
use tokio::time::sleep;

async fn compute(hog: Hog) {
    loop {
        let began = Instant::now();
        while began.elapsed() < hog.computes {}
        sleep(hog.pauses).await;
    }
}

pub fn run(options: &Options) {
    server::run(options, || {
        if let Some(hog) = options.hog {
            tokio::spawn(compute(hog));
        }
        tcp::start(options, Protocol::echo())
    });
}
