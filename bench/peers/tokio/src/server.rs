//! What all servers have in common: when they say that they listen, and when they end.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use crate::options::{fail, Options};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{signal, SignalKind};

const BACKLOG: u32 = 4096;

/// As many descriptors as there may be.
fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a limit of this thread's own.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0 {
                return Ok(());
            }
        }
    }
    Err(io::Error::last_os_error())
}

async fn until_told_to_end(start: impl FnOnce() -> io::Result<SocketAddr>) -> io::Result<()> {
    raise_descriptor_limit()?;
    let mut told_to_end = signal(SignalKind::terminate())?;
    println!("listening on {}", start()?);
    told_to_end.recv().await;
    Ok(())
}

/// `start` begins to serve, by tasks, and returns where.
pub fn run(options: &Options, start: impl FnOnce() -> io::Result<SocketAddr>) {
    let runtime = options.runtime();
    if let Err(error) = runtime.block_on(until_told_to_end(start)) {
        fail(&error.to_string());
    }
    runtime.shutdown_background();
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    SockRef::from(&socket).set_nodelay(true)?; // its connections have this from it
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept<S, F>(listener: TcpListener, serve: S)
where
    S: Fn(TcpStream) -> F,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((peer, _)) => {
                tokio::spawn(serve(peer));
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => (),
            Err(error) => fail(&format!("accept: {error}")),
        }
    }
}

/// Serves each connection by a task; one that breaks ends its task. Accepting is a task, too, so that a
/// worker does it and not the thread that waits for the end.
pub fn start_tcp<S, F>(address: SocketAddr, serve: S) -> io::Result<SocketAddr>
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = listen(address)?;
    let address = listener.local_addr()?;
    tokio::spawn(accept(listener, serve));
    Ok(address)
}
