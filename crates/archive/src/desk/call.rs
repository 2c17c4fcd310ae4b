//! The side of a command: it asks the agent, in as little time as it can. No runtime, no thread.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::talk::{Answer, BYTES_MAX, HERE, Request};

/// An agent that is there says so at once.
const HERE_WITHIN: Duration = Duration::from_secs(2);
/// It gives a storage a minute, and its words some time.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// What the agent at `socket` says; `None` when nobody is there, or hangs, or leaves before it has
/// answered. To ask once more, or to do it by oneself, is always right: what is there already is
/// found there.
pub fn ask(socket: &Path, request: &Request) -> Option<Answer> {
    match try_to_ask(socket, request) {
        Ok(Answer::Yourself) | Err(_) => None,
        Ok(answer) => Some(answer),
    }
}

fn try_to_ask(socket: &Path, request: &Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(HERE_WITHIN))?;
    stream.set_read_timeout(Some(HERE_WITHIN))?;
    stream.write_all(&request.encode())?;
    stream.shutdown(Shutdown::Write)?;
    let mut here = [0];
    stream.read_exact(&mut here)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut answer = Vec::new();
    stream.take(BYTES_MAX as u64).read_to_end(&mut answer)?;
    let answer = Answer::decode(&answer).filter(|_| here == [HERE]);
    answer.ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))
}
