//! How a verb fails: an exit code, a sentence, and the next command to type.
//!
//! Everything else that goes wrong is an `anyhow` error and ends with [`Exit::Failed`].

use std::fmt;
use std::io::{self, ErrorKind};

use howdah_base::ask::NodeReceipt;

use crate::talk::say;

/// Exit codes, after sysexits.h where it has one. Part of the interface: scripts branch on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    Failed = 1,
    /// The cluster file or the arguments are wrong (EX_USAGE).
    BadInput = 64,
    /// No node answers (EX_UNAVAILABLE).
    NoNode = 69,
    /// What was asked for has not happened in time (EX_TEMPFAIL).
    TimedOut = 75,
    /// It was told to end (SIGINT, SIGTERM), and has: as a shell says it.
    Cancelled = 130,
    /// It could not be found out. PostgreSQL ends on a `restore_command` with such a code, where it
    /// takes one below 126 for an answer.
    Unknown = 200,
    /// A node was refused for a reason that another start does not change (EX_CONFIG).
    Refused = 78,
}

impl Exit {
    /// How a node ends that will not get better by trying again: who keeps it does not.
    pub const FINAL: [Exit; 2] = [Exit::BadInput, Exit::Refused];
}

/// An error whose exit code or hint matters.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    /// The next command to type, or the next thing to do.
    pub hint: Option<String>,
    /// What came of it on each node, where that differs.
    pub nodes: Vec<NodeReceipt>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hint: None, nodes: Vec::new() }
    }

    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Failed, message)
    }

    pub fn bad_input(message: impl Into<String>) -> Failure {
        Failure::new(Exit::BadInput, message)
    }

    pub fn refused(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Refused, message)
    }

    /// The same failure, of a question that has no answer.
    pub fn made_unknown(error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<Failure>() {
            Ok(failure) => Failure { exit: Exit::Unknown, ..failure }.into(),
            Err(error) => Failure::new(Exit::Unknown, format!("{error:#}")).into(),
        }
    }

    /// The same failure, of a node that another start does not mend.
    pub fn made_final(error: anyhow::Error) -> anyhow::Error {
        match error.downcast::<Failure>() {
            Ok(failure) => Failure { exit: Exit::Refused, ..failure }.into(),
            Err(error) => error,
        }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Why a file cannot be used, without libc's capital letter and number where there is a word.
pub fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "not found".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Says what went wrong, once, and gives the exit code for it.
pub fn report(error: &anyhow::Error) -> u8 {
    let failure = error.downcast_ref::<Failure>();
    let text = format!("{error:#}");
    if !text.is_empty() {
        say(format!("howdah: {text}"));
    }
    if let Some(hint) = failure.and_then(|failure| failure.hint.as_ref()) {
        say(format!("hint: {hint}"));
    }
    failure.map_or(Exit::Failed, |failure| failure.exit) as u8
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_context_does_not_hide_the_exit_code() {
        let error: anyhow::Error = Failure::new(Exit::NoNode, "no node answers").into();
        let wrapped = Err::<(), _>(error).context("read status").expect_err("an error");
        assert_eq!(report(&wrapped), 69);
    }
}
