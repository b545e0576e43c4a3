//! Sends each datagram back. Each worker has a socket of its own, between which the kernel deals.

use std::io;
use std::net::SocketAddr;

use crate::options::{fail, Options};
use crate::server;
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;

const LARGEST: usize = 65_536;

/// `shared`: other workers may have a socket on the same address, too.
fn bind(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

async fn echo(socket: UdpSocket) {
    let mut buffer = vec![0; LARGEST];
    loop {
        match socket.recv_from(&mut buffer).await {
            // What cannot be sent is lost, as datagrams may be.
            Ok((n, from)) => drop(socket.send_to(&buffer[..n], from).await),
            Err(error) => fail(&format!("receive: {error}")),
        }
    }
}

fn start(options: &Options) -> io::Result<SocketAddr> {
    let shared = options.workers > 1;
    let first = bind(options.listen, shared)?;
    let address = first.local_addr()?;
    for _ in 1..options.workers {
        tokio::spawn(echo(bind(address, shared)?));
    }
    tokio::spawn(echo(first));
    Ok(address)
}

pub fn run(options: &Options) {
    server::run(options, || start(options));
}
