//! tokio-echo [--listen ADDRESS] [--workers N] [--hog MS:PERIOD]: sends back what it is sent.
//!
//! The twin of bench/hog_echo.c. The hog is a task that computes for MS of every PERIOD milliseconds
//! without awaiting anything.

use std::io;
use std::process::exit;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{signal, SignalKind};
use tokio::time::sleep;

/// As much as lido's echo takes at a time.
const BUFFER: usize = 65_536;

#[derive(Clone, Copy)]
struct Hog {
    computes: Duration,
    pauses: Duration,
}

struct Options {
    listen: String,
    workers: usize,
    hog: Option<Hog>,
}

fn parse_hog(text: &str) -> Option<Hog> {
    let (computes, period) = text.split_once(':')?;
    let computes: u64 = computes.parse().ok()?;
    let pauses = period.parse::<u64>().ok()?.checked_sub(computes)?;
    Some(Hog { computes: Duration::from_millis(computes), pauses: Duration::from_millis(pauses) })
}

fn parse() -> Option<Options> {
    let mut options = Options { listen: "127.0.0.1:0".to_string(), workers: 1, hog: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next()?;
        match argument.as_str() {
            "--listen" => options.listen = value,
            "--workers" => options.workers = value.parse().ok().filter(|workers| *workers > 0)?,
            "--hog" => options.hog = Some(parse_hog(&value)?),
            _ => return None,
        }
    }
    Some(options)
}

async fn echo(mut peer: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    peer.set_nodelay(true)?;
    loop {
        let n = peer.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        peer.write_all(&buffer[..n]).await?;
    }
}

async fn hog(hog: Hog) {
    loop {
        let began = Instant::now();
        while began.elapsed() < hog.computes {}
        sleep(hog.pauses).await;
    }
}

/// A task, so that accepting has a worker and does not go through the thread that waits for the end.
async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (peer, _) = listener.accept().await?;
        tokio::spawn(echo(peer));
    }
}

async fn run(options: Options) -> io::Result<()> {
    let listener = TcpListener::bind(&options.listen).await?;
    let mut told_to_end = signal(SignalKind::terminate())?;
    println!("listening on {}", listener.local_addr()?);
    if let Some(what) = options.hog {
        tokio::spawn(hog(what));
    }
    let server = tokio::spawn(serve(listener));
    told_to_end.recv().await;
    server.abort();
    Ok(())
}

fn main() -> io::Result<()> {
    let options = parse().unwrap_or_else(|| {
        eprintln!("usage: tokio-echo [--listen ADDRESS] [--workers N] [--hog MS:PERIOD]");
        exit(2)
    });
    let runtime =
        Builder::new_multi_thread().worker_threads(options.workers).enable_all().build()?;
    let result = runtime.block_on(run(options));
    runtime.shutdown_background();
    result
}
