//! What the supervisor in the background says is said in the terminal too, as long as `up` waits.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use howdah_base::NodeName;
use tokio::time::sleep;

use super::given_up::GivenUp;
use crate::talk::say;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// More at once is read at the next look.
const READ_BYTES_MAX: u64 = 64 << 10;

/// The end of the supervisor's log.
#[derive(Debug)]
pub struct Relay {
    log: File,
    /// A line that is not yet complete.
    rest: Vec<u8>,
    nodes: Vec<NodeName>,
    pub given_up: GivenUp,
}

impl Relay {
    /// From the end of the log as it is now. Called before the supervisor is started.
    pub fn of(log: &Path, nodes: Vec<NodeName>) -> anyhow::Result<Relay> {
        let open = || {
            let mut log = File::open(log)?;
            log.seek(SeekFrom::End(0))?;
            std::io::Result::Ok(log)
        };
        let log = open().with_context(|| format!("read log: `{}`", log.display()))?;
        Ok(Relay { log, rest: Vec::new(), nodes, given_up: GivenUp::new() })
    }

    /// Passes on what comes, for as long as it is polled.
    pub async fn run(&mut self) -> ! {
        loop {
            self.pass_on();
            sleep(LOOK_EVERY).await;
        }
    }

    /// What is there by now.
    pub fn pass_on(&mut self) {
        // A log that cannot be read is no reason to give the cluster up.
        let _ = (&mut self.log).take(READ_BYTES_MAX).read_to_end(&mut self.rest);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            say(line);
            self.given_up.hear(line, self.nodes.iter().cloned());
        }
    }
}
