//! One connection of a data thread: a socket that does not block, TLS or none, what could not be
//! written yet, and what has been read and not been followed.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustls::{Connection, ProtocolVersion};

use super::look::Ends;
use super::poller::{Arm, Ready};

/// Stretches of one vectored write; what is beyond them is copied.
const SLICES_MAX: usize = 32;

/// A socket and its encryption, as whoever opened it hands it over.
pub(crate) struct Line {
    pub socket: TcpStream,
    pub tls: Option<Box<Connection>>,
}

pub(super) struct Conn {
    line: Line,
    ends: Ends,
    /// Read, and not used up: the beginning of a message, or what waits for a server.
    pub rest: Vec<u8>,
    /// What the socket did not take.
    out: Vec<u8>,
    /// There may be something to read.
    pub readable: bool,
    /// The other side has hung up.
    pub gone: bool,
    /// By what its socket tells that it takes more.
    pub arm: Option<Arm>,
}

impl Conn {
    pub fn new(line: Line) -> io::Result<Conn> {
        line.socket.set_nonblocking(true)?;
        let mut line = line;
        if let Some(tls) = &mut line.tls {
            tls.set_buffer_limit(None);
        }
        // What TLS has decrypted already nobody tells.
        let (peer, local) = (line.socket.peer_addr().ok(), line.socket.local_addr().ok());
        let ends = Ends { peer, local };
        Ok(Conn {
            line,
            ends,
            rest: Vec::new(),
            out: Vec::new(),
            readable: true,
            gone: false,
            arm: None,
        })
    }

    pub fn socket(&self) -> &TcpStream {
        &self.line.socket
    }

    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// The version of TLS, or nothing.
    pub fn tls(&self) -> &'static str {
        self.line.tls.as_ref().map_or("", |tls| version(tls.protocol_version()))
    }

    pub fn note(&mut self, ready: Ready) {
        self.readable |= ready.read;
        self.gone |= ready.gone;
    }

    /// Reads what is there; `None`: nothing is, and its next readiness will be told.
    ///
    /// # Errors
    /// The connection is over; its orderly end is `UnexpectedEof`.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let read = match &mut self.line.tls {
                Some(tls) => read_tls(&self.line.socket, tls, into),
                None => (&self.line.socket).read(into),
            };
            return match read {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => {
                    // Less than there was room for: it is empty (epoll(7)), and tells of more.
                    let all = len < into.len() && self.line.tls.is_none() && !self.gone;
                    self.readable &= !all;
                    Ok(Some(len))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    Ok(None)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Writes all of it, now or as soon as the socket takes it.
    pub fn send<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        match &mut self.line.tls {
            Some(tls) => {
                for slice in slices {
                    tls.writer().write_all(slice)?;
                }
                self.flush()
            }
            None if self.out.is_empty() => self.send_now(slices),
            None => {
                slices.for_each(|slice| self.out.extend_from_slice(slice));
                Ok(())
            }
        }
    }

    fn send_now<'a>(&mut self, mut slices: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let mut first: [&[u8]; SLICES_MAX] = [&[]; SLICES_MAX];
        let mut count = 0;
        for (place, slice) in first.iter_mut().zip(&mut slices) {
            *place = slice;
            count += 1;
        }
        let first = &first[..count];
        let mut written = match *first {
            [] => 0,
            [one] => written((&self.line.socket).write(one))?,
            ref more => written(write_all(&self.line.socket, more))?,
        };
        for slice in first.iter().copied().chain(slices) {
            let gone = written.min(slice.len());
            written -= gone;
            self.out.extend_from_slice(&slice[gone..]);
        }
        if self.out.is_empty() { Ok(()) } else { self.flush() }
    }

    /// Writes what has been left over, as far as the socket takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        let flushed = self.flush_now();
        let blocked = self.is_blocked();
        match &mut self.arm {
            Some(arm) => flushed.and(arm.set(&self.line.socket, blocked)),
            None => flushed,
        }
    }

    fn flush_now(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.line.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut &self.line.socket) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        }
        while !self.out.is_empty() {
            match written((&self.line.socket).write(&self.out))? {
                0 => return Ok(()),
                len => drop(self.out.drain(..len)),
            }
        }
        if self.out.capacity() > KEPT {
            self.out = Vec::new();
        }
        Ok(())
    }

    /// The other side reads too slowly: nothing more is to be read for it.
    pub fn is_blocked(&self) -> bool {
        !self.out.is_empty() || self.line.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Keeps what has not been used of what came.
    pub fn keep(&mut self, came: &[u8]) {
        self.rest.clear();
        self.rest.extend_from_slice(came);
        if self.rest.is_empty() && self.rest.capacity() > KEPT {
            self.rest = Vec::new();
        }
    }

    /// The last word, as far as it goes out at once.
    pub fn close(mut self, word: &[u8]) {
        let _ = self.send(std::iter::once(word));
        if let Some(tls) = &mut self.line.tls {
            tls.send_close_notify();
        }
        let _ = self.flush();
        let _ = self.line.socket.shutdown(Shutdown::Write);
    }
}

/// As OpenSSL calls it.
pub(crate) fn version(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    }
}

/// A buffer that has grown beyond this is given back when it is empty.
const KEPT: usize = 4 * 1024;

/// Bytes that are put together for a plain write, which costs less than a vectored one.
const SMALL: usize = 1_024;

fn write_all(mut socket: &TcpStream, slices: &[&[u8]]) -> io::Result<usize> {
    if slices.iter().map(|slice| slice.len()).sum::<usize>() <= SMALL {
        let mut small = [0; SMALL];
        let mut len = 0;
        for slice in slices {
            small[len..len + slice.len()].copy_from_slice(slice);
            len += slice.len();
        }
        return socket.write(&small[..len]);
    }
    let mut vectors = [IoSlice::new(&[]); SLICES_MAX];
    for (vector, slice) in vectors.iter_mut().zip(slices) {
        *vector = IoSlice::new(slice);
    }
    socket.write_vectored(&vectors[..slices.len()])
}

fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => Ok(0),
        other => other,
    }
}

fn read_tls(mut socket: &TcpStream, tls: &mut Connection, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        if tls.read_tls(&mut socket)? == 0 {
            return Ok(0);
        }
        tls.process_new_packets()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if tls.wants_write() {
            match tls.write_tls(&mut socket) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }
}
