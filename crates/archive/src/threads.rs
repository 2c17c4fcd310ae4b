//! Threads that share one work: the first error ends them all.

use tokio::task::JoinSet;

use crate::stop::Stop;

/// Why such a work failed.
pub trait Fails: Send + 'static {
    /// A thread of it has panicked.
    fn ended(panic: String) -> Self;
    /// It was told to stop, and knows not why.
    fn is_stopped(&self) -> bool;
}

/// Runs `thread` on `jobs` threads, until all of them have ended.
pub async fn run<E: Fails>(
    jobs: usize,
    stop: &Stop,
    thread: impl Fn() -> Result<(), E> + Clone + Send + 'static,
) -> Result<(), E> {
    let mut threads = JoinSet::new();
    for _ in 0..jobs.max(1) {
        let (thread, stop) = (thread.clone(), stop.clone());
        threads.spawn_blocking(move || thread().inspect_err(|_| stop.stop()));
    }
    let mut failed: Option<E> = None;
    while let Some(ended) = threads.join_next().await {
        let done = ended.unwrap_or_else(|panic| {
            stop.stop();
            Err(E::ended(panic.to_string()))
        });
        if let Err(error) = done
            && failed.as_ref().is_none_or(E::is_stopped)
        {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}
