//! The servers that answer by the bytes that came.

use std::io;
use std::net::SocketAddr;

use crate::options::Options;
use crate::protocol::{Protocol, State, READ_MAX};
use crate::server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn answer(mut peer: TcpStream, protocol: &'static Protocol) -> io::Result<()> {
    let mut buffer = vec![0; READ_MAX];
    let mut state = State::default();
    loop {
        let n = peer.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        peer.write_all(protocol.reply(&mut state, &buffer[..n])).await?;
    }
}

/// The protocol lives as long as the program.
pub fn start(options: &Options, protocol: Protocol) -> io::Result<SocketAddr> {
    let protocol: &'static Protocol = Box::leak(Box::new(protocol));
    server::start_tcp(options.listen, move |peer| answer(peer, protocol))
}

pub fn echo(options: &Options) {
    server::run(options, || start(options, Protocol::echo()));
}

pub fn ping(options: &Options) {
    server::run(options, || start(options, Protocol::ping()));
}

pub fn http(options: &Options) {
    server::run(options, || start(options, Protocol::http()));
}
