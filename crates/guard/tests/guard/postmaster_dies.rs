//! The postmaster is killed: its backends must not go on without it, as they would without a
//! guard (`guard_dies` sees one do so).

use std::path::PathBuf;
use std::time::Instant;

use howdah_guard::ExitStatus;
use nix::sys::signal::Signal;

use crate::site::{Site, in_ms, send};

#[tokio::test]
async fn a_busy_backend_does_not_outlive_its_postmaster() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    let pid = site.start(&guard, Some(in_ms(60_000))).await;
    site.busy_backend();
    let before = site.survivors().len();
    let killed_at = Instant::now();
    send(pid, Signal::SIGKILL);
    site.until("no process is left", || site.survivors().is_empty());
    let none_left = killed_at.elapsed();
    let exit = site.exit(&mut events).await;
    let told = killed_at.elapsed();
    eprintln!(
        "{before} processes; postmaster killed -> none left: {none_left:?} -> told: {told:?}; \
         by the guard: {:?}",
        exit.empty_at.since(exit.ended_at)
    );
    assert_eq!((exit.status, exit.fenced), (ExitStatus::Signal(9), false));
    assert!(none_left.as_millis() < 1_000, "{none_left:?}");

    // The next start finds the place empty and recovers.
    site.start(&guard, Some(in_ms(60_000))).await;
}

#[tokio::test]
async fn a_program_that_a_backend_left_running_does_not_outlive_the_server() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    site.start(&guard, None).await;
    // An orphan in a session of its own, in another directory, and no PostgreSQL process: only
    // that it became the guard's child tells whose it is.
    let file = site.dir.join("orphan.pid");
    let script = format!("(cd /; setsid sleep 600 >/dev/null 2>&1 & echo $! >{})", file.display());
    site.sql(&format!("copy (select 1) to program '{script}'")).expect("started");
    let pid: i32 =
        std::fs::read_to_string(&file).expect("its id").trim().parse().expect("a number");
    let process = PathBuf::from(format!("/proc/{pid}"));
    assert!(process.exists());
    site.stop(&guard, &mut events).await;
    assert!(!process.exists(), "it is left");
}

#[tokio::test]
async fn a_crashed_backend_ends_the_server() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    site.start(&guard, Some(in_ms(60_000))).await;
    site.busy_backend();
    let busy = "select pid from pg_stat_activity where query ^@ 'do'";
    let pid = site.sql(busy).expect("a backend").parse().expect("a number");
    send(pid, Signal::SIGKILL);
    // restart_after_crash = off: the postmaster ends by itself, with its own status.
    assert_eq!(site.exit(&mut events).await.status, ExitStatus::Code(1));
}
