//! A program, called without a shell: in a group of its own, ended with everything it started.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use howdah_spec::HookSpec;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::output::Output;
use super::processes::{Marks, end_group, end_marked};
use crate::calls::{Attempt, Outcome};

/// After its end, so long for the last of its output: the pipe stays open while a process that
/// it left holds it.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// A killed process that waits for a dead disk does not end; it must not hold up what follows.
const COLLECTED_WITHIN: Duration = Duration::from_secs(2);

/// How it came to its end.
enum End {
    Exited(std::io::Result<ExitStatus>),
    TimedOut,
    Killed,
}

/// Runs `words` within the hook's timeout. What it says is logged; the end of it is part of a
/// failure.
pub async fn run(
    words: &[String],
    spec: &HookSpec,
    attempt: &Attempt,
    kill: oneshot::Receiver<()>,
) -> Outcome {
    let Some((program, arguments)) = words.split_first() else {
        return Outcome::Failed("no program is named; hint: write `command = [...]`".to_owned());
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(attempt.firing.environment(&attempt.hook))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if spec.patroni_arguments {
        command.args(attempt.firing.patroni_arguments());
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Outcome::Failed(not_started(program, &error)),
    };
    let output = Output::default();
    let listening = listen(&mut child, &output);
    let end = tokio::select! {
        status = child.wait() => End::Exited(status),
        () = tokio::time::sleep(spec.timeout.0) => End::TimedOut,
        _ = kill => End::Killed,
    };
    let left = end_all(child, attempt).await;
    let _ = timeout(LAST_WORDS, listening).await;
    if !left.is_empty() {
        tracing::warn!(hook = attempt.hook, "processes of a hook do not end: `{left:?}`");
    }
    judge(end, spec, attempt, &output)
}

fn listen(child: &mut Child, output: &Output) -> tokio::task::JoinHandle<()> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (out, err) = (output.clone(), output.clone());
    tokio::spawn(async move {
        let stdout = async {
            if let Some(stdout) = stdout {
                out.collect(stdout).await;
            }
        };
        let stderr = async {
            if let Some(stderr) = stderr {
                err.collect(stderr).await;
            }
        };
        tokio::join!(stdout, stderr);
    })
}

/// Also after a good end: what a hook leaves in the background would act when it no longer holds.
async fn end_all(mut child: Child, attempt: &Attempt) -> Vec<i32> {
    // `None` once it has been collected: then its number may be another's.
    if let Some(leader) = child.id() {
        end_group(leader);
        let _ = timeout(COLLECTED_WITHIN, child.wait()).await;
    }
    end_marked(Marks::new(&attempt.hook, &attempt.firing.id)).await
}

fn judge(end: End, spec: &HookSpec, attempt: &Attempt, output: &Output) -> Outcome {
    let said = output.on_one_line();
    let with = |what: String| if said.is_empty() { what } else { format!("{what}: {said}") };
    let status = match end {
        End::Exited(Ok(status)) if status.success() => {
            if !said.is_empty() {
                tracing::info!(hook = attempt.hook, id = attempt.firing.id, "it says: {said}");
            }
            return Outcome::Succeeded;
        }
        End::Exited(Ok(status)) => status,
        End::Exited(Err(error)) => return Outcome::Failed(format!("it was lost: {error}")),
        End::TimedOut => {
            let timeout = spec.timeout;
            return Outcome::Failed(with(format!(
                "it was killed with its children, not ended within `{timeout}`"
            )));
        }
        End::Killed => return Outcome::Killed,
    };
    Outcome::Failed(with(status.to_string()))
}

fn not_started(program: &str, error: &std::io::Error) -> String {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    let hint = match error.kind() {
        NotFound => "; hint: name the program with its whole path",
        PermissionDenied => "; hint: it must be executable by the user that runs Howdah",
        _ => "",
    };
    format!("cannot start `{program}`: {error}{hint}")
}
