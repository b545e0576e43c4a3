//! The servers that answer by the bytes that came.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::options::Options;
use crate::protocol::{Protocol, State, READ_MAX};
use crate::server;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

thread_local! {
    /// For what is read and answered within one poll: nothing is left in it when the next task goes on, so
    /// all connections of a thread share it.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_MAX]);
}

/// One read and, if that is enough for an answer, one write. Ends with what the peer did not take of the
/// answer, or with nothing when the peer has ended.
struct Exchange<'a> {
    peer: &'a mut TcpStream,
    protocol: &'static Protocol,
    state: &'a mut State,
}

impl Exchange<'_> {
    /// Returns what cannot be sent at once.
    fn send(&mut self, context: &mut Context<'_>, reply: &[u8]) -> io::Result<Vec<u8>> {
        if reply.is_empty() {
            return Ok(Vec::new()); // because an empty write is a system call
        }
        let sent = match Pin::new(&mut *self.peer).poll_write(context, reply) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        Ok(reply[sent..].to_vec())
    }

    fn answer(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Option<Vec<u8>>>> {
        let mut input = ReadBuf::new(buffer);
        if Pin::new(&mut *self.peer).poll_read(context, &mut input)?.is_pending() {
            return Poll::Pending;
        }
        if input.filled().is_empty() {
            return Poll::Ready(Ok(None));
        }
        let reply = self.protocol.reply(self.state, input.filled());
        Poll::Ready(self.send(context, reply).map(Some))
    }
}

impl Future for Exchange<'_> {
    type Output = io::Result<Option<Vec<u8>>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        BUFFER.with(|buffer| self.answer(context, &mut buffer.borrow_mut()))
    }
}

async fn answer(mut peer: TcpStream, protocol: &'static Protocol) -> io::Result<()> {
    let mut state = State::default();
    while let Some(unsent) = (Exchange { peer: &mut peer, protocol, state: &mut state }).await? {
        peer.write_all(&unsent).await?;
    }
    Ok(())
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
