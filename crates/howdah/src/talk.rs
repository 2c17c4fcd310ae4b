//! The two voices of the command line: data on stdout, talk on stderr.
//!
//! A closed pipe (`howdah logs | head`) is no error: whoever read has seen enough.

use std::io::{ErrorKind, Write};
use std::process;

/// Data: what a script would read.
pub fn out(text: impl AsRef<str>) {
    put(std::io::stdout().lock(), text.as_ref());
}

/// Talk: progress, warnings, hints, errors.
pub fn say(text: impl AsRef<str>) {
    put(std::io::stderr().lock(), text.as_ref());
}

/// What is noticed below a verb is told as it is to a node's log, warnings and errors only.
pub fn warnings() {
    let told = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).without_time();
    // A second call, as tests make it, finds the first one's.
    let _ = told.with_ansi(false).with_target(false).with_writer(std::io::stderr).try_init();
}

fn put(mut to: impl Write, text: &str) {
    let line = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
    let written = to.write_all(line.as_bytes()).and_then(|()| to.flush());
    if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        process::exit(0);
    }
}
