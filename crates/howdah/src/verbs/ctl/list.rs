//! `list` and `topology`, once or again and again.

use std::thread::sleep;
use std::time::Duration;

use howdah_api::when;

use super::args::View;
use super::members::{self, service_info};
use crate::ask::{Asker, block_on};
use crate::file::ClusterFile;
use crate::output::Format;
use crate::talk::out;

/// ANSI: screen erased, cursor to the top left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

pub fn run(file: &ClusterFile, view: &View, format: Format) -> anyhow::Result<()> {
    let asker = Asker::of_file(file);
    again(view.watch.period(), || {
        let status = block_on(asker.status())?;
        let mut text = String::new();
        if view.timestamp {
            let now = when::now_unix_ms();
            text = when::rfc3339(now - now % 1_000).replacen('T', " ", 1) + "\n";
        }
        text += &members::table(&status, view.extended, format).print(format);
        if format == Format::Pretty {
            text += &service_info(&status);
        }
        Ok(text)
    })
}

pub fn topology(file: &ClusterFile, period: Option<Duration>) -> anyhow::Result<()> {
    let asker = Asker::of_file(file);
    again(period, || {
        let status = block_on(asker.status())?;
        Ok(members::topology(&status).print(Format::Pretty) + &service_info(&status))
    })
}

/// Prints what `look` sees, every `period` until Ctrl-C, or once.
pub fn again(
    period: Option<Duration>,
    look: impl Fn() -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let Some(period) = period else {
        out(look()?);
        return Ok(());
    };
    loop {
        // A cluster that does not answer for a while is what a watcher wants to see through.
        let text = look().unwrap_or_else(|error| format!("{error:#}\n"));
        out(format!("{CLEAR}{text}"));
        sleep(period);
    }
}
