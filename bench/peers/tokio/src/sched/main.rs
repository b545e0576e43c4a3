//! tokio-sched [--scheduler multi_thread|current_thread] [--workers N] [--cpu] [--json] [--repeat N]
//! [NAME...]: tokio's own scheduler benchmarks, and the like.
//!
//! The twin of bench/sched.c: the same jobs with the same parameters under the same names, and the
//! same output, NAME MEDIAN MIN MAX in ns per operation.

mod blocking;
mod common;
mod messages;
mod notify;
mod report;
mod spawn;
mod switch;

use std::process::exit;

use common::{Job, Setup};
use tokio::runtime::{Builder, Runtime};

/// Of a runtime that has blocking jobs; what tokio-threadpool's benchmark had.
const MAX_BLOCKING: usize = 20;

fn all_jobs() -> Vec<&'static Job> {
    [spawn::JOBS, switch::JOBS, notify::JOBS, messages::JOBS, blocking::JOBS]
        .into_iter()
        .flatten()
        .collect()
}

struct Options {
    setup: Setup,
    repetitions: usize,
    json: bool,
    jobs: Vec<&'static Job>,
}

fn fail(problem: &str) -> ! {
    eprintln!("tokio-sched: {problem}");
    exit(2)
}

fn number(name: &str, value: Option<String>) -> usize {
    match value.as_deref().map(str::parse) {
        Some(Ok(number)) if number > 0 => number,
        _ => fail(&format!("{name} needs a number of at least 1")),
    }
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

fn parse() -> Options {
    let mut options = Options {
        setup: Setup { workers: 1, current_thread: false },
        repetitions: 9,
        json: false,
        jobs: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--scheduler" => match arguments.next().as_deref() {
                Some("multi_thread") => options.setup.current_thread = false,
                Some("current_thread") => options.setup.current_thread = true,
                _ => fail("--scheduler must be multi_thread or current_thread"),
            },
            "--workers" => options.setup.workers = number(&argument, arguments.next()),
            "--repeat" => options.repetitions = number(&argument, arguments.next()),
            "--cpu" => common::measure_cpu_time(),
            "--json" => options.json = true,
            "--version" => {
                println!("{}", env!("PEER_VERSIONS"));
                exit(0)
            }
            name => options.jobs.push(find(name)),
        }
    }
    if options.setup.current_thread && options.setup.workers != 1 {
        fail("current_thread has one worker");
    }
    if options.jobs.is_empty() {
        options.jobs = all_jobs();
    }
    options
}

fn runtime(setup: &Setup) -> Runtime {
    let mut builder = if setup.current_thread {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder
        .worker_threads(setup.workers)
        .max_blocking_threads(MAX_BLOCKING)
        .enable_all()
        .build()
        .unwrap_or_else(|error| fail(&format!("no runtime: {error}")))
}

fn main() {
    let options = parse();
    let mut report = report::Report::new(options.json);
    for job in &options.jobs {
        if job.needs_threads && options.setup.current_thread {
            continue;
        }
        let runtime = runtime(&options.setup);
        (job.measure)(&runtime); // warms up
        let values = (0..options.repetitions).map(|_| (job.measure)(&runtime)).collect();
        report.figure(job.name, values);
    }
    report.end();
}
