//! Clients that connect anew for every row, through every node's `rw`, while the primary
//! moves: none is ever let in to a server that cannot write.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use howdah_testkit::{Plan, wait, writer};

use crate::three;

#[test]
fn fresh_connections_through_rw_never_meet_a_read_only_server() {
    let cluster = three().start();
    let hosts = cluster.hosts(|ports| ports.rw);
    let (done, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(|| {
                let plan = Plan::to(vec![host.clone()]);
                while !done.load(Ordering::Relaxed) {
                    // A refusal is fine while nobody is primary; a read-only server never is.
                    if let Ok(answer) = writer::query(&plan, "SHOW transaction_read_only") {
                        asked.fetch_add(1, Ordering::Relaxed);
                        if answer != ["off"] {
                            wrong.lock().expect("nobody panics with it").push(answer);
                        }
                    }
                }
            });
        }
        let moved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..3 {
                more(&asked, 100);
                cluster.howdah_ok(&["switchover"]);
                more(&asked, 100);
                cluster.wait_whole();
            }
        }));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = moved {
            std::panic::resume_unwind(panic);
        }
    });
    let wrong = wrong.into_inner().expect("nobody panicked with it");
    assert!(wrong.is_empty(), "{} read-only servers behind rw: {wrong:?}", wrong.len());
}

fn more(asked: &AtomicU32, connections: u32) {
    let from = asked.load(Ordering::Relaxed);
    wait::until(
        "fresh connections are let in",
        Duration::from_secs(60),
        || (asked.load(Ordering::Relaxed) >= from + connections).then_some(()),
        || format!("{} were let in", asked.load(Ordering::Relaxed) - from),
    );
}
