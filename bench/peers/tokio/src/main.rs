//! tokio as a peer of lido; ../../README.md says what the jobs are.

mod clock;
mod hog;
mod options;
mod protocol;
mod proxy;
mod random;
mod report;
mod sched;
mod server;
mod tcp;
mod timers;
mod udp;

use options::Options;

struct Job {
    name: &'static str,
    run: fn(&Options),
}

const JOBS: &[Job] = &[
    Job { name: "echo", run: tcp::echo },
    Job { name: "ping", run: tcp::ping },
    Job { name: "http", run: tcp::http },
    Job { name: "udp", run: udp::run },
    Job { name: "proxy", run: proxy::run },
    Job { name: "hog", run: hog::run },
    Job { name: "timers", run: timers::run },
    Job { name: "sched", run: sched::run },
];

fn say_jobs() {
    let names: Vec<_> = JOBS.iter().map(|job| job.name).collect();
    println!("{}", names.join(" "));
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = arguments.split_first().unwrap_or_else(|| options::refuse());
    match (name.as_str(), rest) {
        ("--version", []) => println!("{}", env!("PEER_VERSIONS")),
        ("--jobs", []) => say_jobs(),
        _ => match JOBS.iter().find(|job| job.name == name) {
            Some(job) => (job.run)(&options::parse(rest)),
            None => options::refuse(),
        },
    }
}
