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

fn put(mut to: impl Write, text: &str) {
    let line = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
    let written = to.write_all(line.as_bytes()).and_then(|()| to.flush());
    if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        process::exit(0);
    }
}
