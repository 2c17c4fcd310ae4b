//! What clients cost that have connected and say nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::ground::ROLE;
use super::pooler::{Pooler, Socket};

/// A client may wait so long until it is let in.
const LET_IN_MAX: Duration = Duration::from_secs(30);

/// What so many of them cost.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    pub clients: u32,
    /// Resident memory for one, kB.
    pub each_kb: f64,
    /// Processor time in a second in which nothing happens.
    pub rest: Duration,
    /// Until all were in.
    pub took: Duration,
}

pub fn measure(pooler: &Pooler, clients: u32) -> Result<Idle> {
    // Pools and buffers that there are anyway.
    let warm: Vec<_> = (0..50).map(|_| connect(pooler)).collect::<Result<_>>()?;
    let before = pooler.resident_kb();
    let begun = Instant::now();
    let all: Vec<_> = (0..clients).map(|_| connect(pooler)).collect::<Result<_>>()?;
    let took = begun.elapsed();
    let each_kb = pooler.resident_kb().saturating_sub(before) as f64 / f64::from(clients);
    let rested = pooler.processor();
    std::thread::sleep(Duration::from_secs(2));
    let rest = pooler.processor().saturating_sub(rested) / 2;
    drop((warm, all));
    Ok(Idle { clients, each_kb, rest, took })
}

/// StartupMessage and everything up to ReadyForQuery.
fn connect(pooler: &Pooler) -> Result<TcpStream> {
    let (host, database) = pooler.place(Socket::Tcp);
    let mut socket = TcpStream::connect((host, pooler.port)).context("connect")?;
    socket.set_read_timeout(Some(LET_IN_MAX))?;
    let body = format!("\0\x03\0\0user\0{ROLE}\0database\0{database}\0\0");
    let len = u32::try_from(body.len() + 4)?;
    socket.write_all(&[&len.to_be_bytes()[..], body.as_bytes()].concat())?;
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while !said.ends_with(b"Z\0\0\0\x05I") {
        let read = socket.read(&mut buffer).context("be let in")?;
        ensure!(read > 0, "not let in: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buffer[..read]);
    }
    Ok(socket)
}
