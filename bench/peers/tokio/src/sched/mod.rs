//! tokio's own scheduler benchmarks, and the like.
//!
//! The twin of bench/sched.c: the same jobs with the same parameters under the same names, and the
//! same output, NAME MEDIAN MIN MAX in ns per operation.

mod blocking;
mod common;
mod messages;
mod notify;
mod spawn;
mod switch;

use crate::options::{fail, Options};
use crate::report::Report;
use common::Job;

fn all_jobs() -> Vec<&'static Job> {
    [spawn::JOBS, switch::JOBS, notify::JOBS, messages::JOBS, blocking::JOBS]
        .into_iter()
        .flatten()
        .collect()
}

fn find(name: &str) -> &'static Job {
    match all_jobs().into_iter().find(|job| job.name == name) {
        Some(job) => job,
        None => {
            let names: Vec<_> = all_jobs().iter().map(|job| job.name).collect();
            fail(&format!("no benchmark {name}. There are: {}", names.join(" ")))
        }
    }
}

/// Those that are named, or all.
fn chosen(names: &[String]) -> Vec<&'static Job> {
    if names.is_empty() {
        all_jobs()
    } else {
        names.iter().map(|name| find(name)).collect()
    }
}

pub fn run(options: &Options) {
    let jobs = chosen(&options.names);
    let mut report = Report::new(options.json);
    if options.cpu {
        common::measure_cpu_time();
    }
    for job in jobs {
        if job.needs_threads && options.current_thread {
            continue;
        }
        let runtime = options.runtime();
        (job.measure)(&runtime); // warms up
        let values = (0..options.repeat).map(|_| (job.measure)(&runtime)).collect();
        report.figure(job.name, values);
    }
    report.end();
}
