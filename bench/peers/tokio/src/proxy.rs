//! Copies both ways between each connection and one of its own.

use std::io;
use std::net::SocketAddr;

use crate::options::{fail, Options};
use crate::server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;

/// tokio's copy_bidirectional has 8 KiB, which cannot be changed.
const BUFFER: usize = 65_536;

async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..n]).await?;
    }
}

/// Over when both ways have ended, or one has broken.
async fn relay(mut near: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut far = TcpStream::connect(to).await?;
    far.set_nodelay(true)?;
    let (near_reader, near_writer) = near.split();
    let (far_reader, far_writer) = far.split();
    tokio::try_join!(copy(near_reader, far_writer), copy(far_reader, near_writer))?;
    Ok(())
}

pub fn run(options: &Options) {
    let to = options.to.unwrap_or_else(|| fail("proxy needs --to"));
    server::run(options, || server::start_tcp(options.listen, move |near| relay(near, to)));
}
