//! The command line. Whatever is wrong with it ends the program with a message.

use std::net::SocketAddr;
use std::process::exit;
use std::str::FromStr;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// Of a runtime that has blocking jobs; what tokio-threadpool's benchmark had.
const MAX_BLOCKING: usize = 20;

#[derive(Clone, Copy)]
pub struct Hog {
    pub computes: Duration,
    pub pauses: Duration,
}

pub struct Options {
    pub listen: SocketAddr,
    pub workers: usize,
    pub current_thread: bool,
    pub to: Option<SocketAddr>,
    pub hog: Option<Hog>,
    /// How often `timers` and `sched` measure.
    pub repeat: usize,
    /// Of `sched` only: CPU time in place of the time that passes, the form of its output, and which of
    /// the benchmarks; none means all.
    pub cpu: bool,
    pub json: bool,
    pub names: Vec<String>,
}

const USAGE: &str = "\
usage: tokio --version | --jobs
       tokio JOB [--flavor multi|current] [--listen ADDRESS] [--workers N] [--to ADDRESS] [--copy]
             [--hog MS:PERIOD] [--repeat N]
       tokio sched [--flavor multi|current] [--workers N] [--repeat N] [--cpu] [--json] [NAME...]";

pub fn refuse() -> ! {
    eprintln!("{USAGE}");
    exit(2)
}

pub fn fail(problem: &str) -> ! {
    eprintln!("tokio: {problem}");
    exit(2)
}

fn parsed<T: FromStr>(name: &str, value: &str) -> T {
    value.parse().unwrap_or_else(|_| fail(&format!("{name}: not understood: {value}")))
}

fn at_least_one(name: &str, value: &str) -> usize {
    match parsed(name, value) {
        0 => fail(&format!("{name} needs a number of at least 1")),
        number => number,
    }
}

fn parse_hog(text: &str) -> Option<Hog> {
    let (computes, period) = text.split_once(':')?;
    let computes: u64 = computes.parse().ok()?;
    let pauses = period.parse::<u64>().ok()?.checked_sub(computes)?;
    Some(Hog { computes: Duration::from_millis(computes), pauses: Duration::from_millis(pauses) })
}

fn is_current_thread(flavor: &str) -> bool {
    match flavor {
        "multi" => false,
        "current" => true,
        _ => fail("--flavor must be multi or current"),
    }
}

impl Options {
    fn set(&mut self, name: &str, value: &str) {
        match name {
            "--listen" => self.listen = parsed(name, value),
            "--workers" => self.workers = at_least_one(name, value),
            "--flavor" => self.current_thread = is_current_thread(value),
            "--to" => self.to = Some(parsed(name, value)),
            "--repeat" => self.repeat = at_least_one(name, value),
            "--hog" => match parse_hog(value) {
                Some(hog) => self.hog = Some(hog),
                None => fail(&format!("--hog: not understood: {value}")),
            },
            _ => refuse(),
        }
    }

    pub fn runtime(&self) -> Runtime {
        let mut builder = if self.current_thread {
            Builder::new_current_thread()
        } else {
            Builder::new_multi_thread()
        };
        builder
            .worker_threads(self.workers)
            .max_blocking_threads(MAX_BLOCKING)
            .enable_all()
            .build()
            .unwrap_or_else(|error| fail(&format!("no runtime: {error}")))
    }
}

pub fn parse(arguments: &[String]) -> Options {
    let mut options = Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: 1,
        current_thread: false,
        to: None,
        hog: None,
        repeat: 9,
        cpu: false,
        json: false,
        names: Vec::new(),
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            // What the proxy does anyway: tokio has no splice.
            "--copy" => (),
            "--cpu" => options.cpu = true,
            "--json" => options.json = true,
            name if name.starts_with('-') => {
                options.set(name, rest.next().unwrap_or_else(|| refuse()))
            }
            name => options.names.push(name.to_string()),
        }
    }
    if options.current_thread && options.workers != 1 {
        fail("--flavor current has one worker: --workers must be 1");
    }
    options
}
