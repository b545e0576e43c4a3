//! What the TCP jobs answer: echo, and requests that are counted and not understood. The same lines as
//! ../../common/protocol.c.

use memchr::memchr;

/// The most that is read, and given to `reply`, at once: into a buffer that connections share.
pub const READ_MAX: usize = 65_536;

const HTTP_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

/// Where a connection is within a request.
#[derive(Default)]
pub struct State {
    /// Bytes that belong to a string.
    skip: usize,
    /// That are still to come.
    strings: usize,
    /// The kind of line that has begun, its first byte.
    line: u8,
    /// Of what ends a request.
    matched: usize,
    /// That the line says.
    number: usize,
}

impl State {
    /// True: it was the whole request.
    fn end_of_line(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        let number = std::mem::take(&mut self.number);
        match line {
            b'*' => self.strings = number,
            b'$' => self.skip = number.saturating_add(2), // the string and the line end behind it
            _ => return line != b'\r' && line != b'\n',
        }
        false
    }

    /// A string has been passed. True: it was the last one.
    fn end_of_string(&mut self) -> bool {
        self.strings = self.strings.wrapping_sub(1);
        self.strings == 0
    }
}

fn count_commands(state: &mut State, mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some((&byte, rest)) = bytes.split_first() {
        if state.skip > 0 {
            let part = state.skip.min(bytes.len());
            bytes = &bytes[part..];
            state.skip -= part;
            count += usize::from(state.skip == 0 && state.end_of_string());
            continue;
        }
        bytes = rest;
        if state.line == 0 {
            state.line = byte;
        } else if byte.is_ascii_digit() {
            state.number = state.number.wrapping_mul(10).wrapping_add(usize::from(byte - b'0'));
        }
        if byte == b'\n' {
            count += usize::from(state.end_of_line());
        }
    }
    count
}

/// Heads end with an empty line, and no request has a body.
fn count_heads(state: &mut State, mut bytes: &[u8]) -> usize {
    let mut count = 0;
    loop {
        if state.matched == 0 {
            match memchr(b'\r', bytes) {
                Some(at) => bytes = &bytes[at..],
                None => return count,
            }
        }
        let (byte, rest) = match bytes.split_first() {
            Some((&byte, rest)) => (byte, rest),
            None => return count,
        };
        bytes = rest;
        if byte == b"\r\n\r\n"[state.matched] {
            state.matched += 1;
        } else {
            state.matched = usize::from(byte == b'\r');
        }
        if state.matched == 4 {
            state.matched = 0;
            count += 1;
        }
    }
}

/// The answer to requests that are counted.
struct Counted {
    count: fn(&mut State, &[u8]) -> usize,
    length: usize,
    /// As many in a row as there can be in one read.
    answers: Vec<u8>,
}

impl Counted {
    /// `shortest`: the length of what is counted as a request, at least.
    fn new(count: fn(&mut State, &[u8]) -> usize, answer: &[u8], shortest: usize) -> Counted {
        let answers = answer.repeat(READ_MAX / shortest + 1);
        Counted { count, length: answer.len(), answers }
    }
}

pub struct Protocol(Option<Counted>);

impl Protocol {
    /// The request is the answer.
    pub fn echo() -> Protocol {
        Protocol(None)
    }

    pub fn ping() -> Protocol {
        Protocol(Some(Counted::new(count_commands, b"+PONG\r\n", "x\n".len())))
    }

    pub fn http() -> Protocol {
        Protocol(Some(Counted::new(count_heads, HTTP_ANSWER, "\r\n\r\n".len())))
    }

    /// What is to be sent for these bytes: nothing if no request has ended yet.
    pub fn reply<'a>(&'a self, state: &mut State, bytes: &'a [u8]) -> &'a [u8] {
        match &self.0 {
            None => bytes,
            Some(counted) => &counted.answers[..(counted.count)(state, bytes) * counted.length],
        }
    }
}
