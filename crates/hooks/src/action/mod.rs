//! One attempt to tell a hook, bounded in time, that can be ended from outside.

mod command;
mod https;
mod output;
mod processes;
mod webhook;

use std::path::PathBuf;

use howdah_spec::{HookAction, HookSpec};
use tokio::sync::oneshot;

use crate::calls::{Attempt, Outcome};

pub use processes::{Marks, end_marked};

/// Carries the attempt out, within the hook's timeout. `kill` ends it at once, with everything
/// that it has started; so does dropping its sender.
pub async fn attempt(
    spec: HookSpec,
    attempt: Attempt,
    ca_file: Option<PathBuf>,
    kill: oneshot::Receiver<()>,
) -> Outcome {
    match &spec.action {
        HookAction::Command(words) => command::run(words, &spec, &attempt, kill).await,
        HookAction::Webhook(address) => {
            tokio::select! {
                outcome = webhook::post(address, &spec, &attempt, ca_file) => outcome,
                _ = kill => Outcome::Killed,
            }
        }
    }
}
