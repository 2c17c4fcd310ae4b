//! One round: a healthy cluster, a writing client, a fault, and the longest time that the
//! client could not write.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use howdah_testkit::{Writer, wait, writer};

use crate::load::Load;
use crate::{Fault, Stack};

/// What one round showed.
#[derive(Clone, Debug)]
pub struct Measured {
    pub fault: Fault,
    /// The longest time between two acknowledged commits.
    pub gap: Duration,
    /// Acknowledged rows that the next primary lacks.
    pub lost: usize,
    /// Errors that the client saw.
    pub errors: usize,
    /// A commit in the middle of the round.
    pub commit: Duration,
    /// From the fault until the cluster was whole again, the lost node back included.
    pub whole_again: Duration,
}

/// A cluster must have been whole for this long before it is hurt: health checks with several
/// samples (HAProxy's `rise`) have then seen it too.
const SETTLED: Duration = Duration::from_secs(8);
/// A load runs for so long before the fault, so that there is WAL behind the last checkpoint.
const LOADED_FOR: Duration = Duration::from_secs(5);
const WHOLE_WITHIN: Duration = Duration::from_secs(300);
/// The client goes on writing for this long after the fault was dealt with.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// Runs one round. `phase` delays the fault, so that rounds do not all meet a polling loop at
/// the same point of its cycle; `load` is how many clients of pgbench write besides.
pub fn run(stack: &mut dyn Stack, fault: Fault, phase: Duration, load: u32) -> Result<Measured> {
    settle(stack)?;
    let plan = stack.plan();
    let load = (load > 0).then(|| Load::start(&plan, load)).transpose()?;
    let client = Writer::start(plan.clone());
    client.wait_for_rows(200, Duration::from_secs(30));
    // Not a wait for anything: it is the phase itself.
    thread::sleep(if load.is_some() { phase + LOADED_FOR } else { phase });

    let before = stack.incarnation();
    let struck = Instant::now();
    stack.inflict(fault)?;
    let dealt_with = wait::found_within(WHOLE_WITHIN, || {
        let now = stack.incarnation();
        (now.is_some() && now != before && client.acknowledged_after(struck) > 0).then_some(())
    });
    if dealt_with.is_none() {
        bail!("{} never recovered\n{}", stack.name(), stack.logs());
    }
    let recovered = Instant::now();
    wait::found_within(WHOLE_WITHIN, || {
        let enough = recovered.elapsed() >= AFTERWARDS;
        (enough && client.acknowledged_after(recovered) >= 200).then_some(())
    });
    let journal = client.stop();
    drop(load);

    stack.bring_back()?;
    settle(stack)?;
    let whole_again = struck.elapsed().saturating_sub(SETTLED);
    let present = writer::rows(&plan)?;
    let Some(gap) = journal.longest_gap(struck) else { bail!("no row after the fault") };
    Ok(Measured {
        fault,
        gap: gap.length,
        lost: journal.missing_from(&present).len(),
        errors: journal.errors.len(),
        commit: journal.median_took().unwrap_or_default(),
        whole_again,
    })
}

/// Waits until the cluster has been whole for [`SETTLED`].
pub fn settle(stack: &dyn Stack) -> Result<()> {
    let deadline = Instant::now() + WHOLE_WITHIN;
    while Instant::now() < deadline {
        let whole = wait::found_within(WHOLE_WITHIN, || stack.amiss().is_none().then_some(()));
        if whole.is_some() && wait::stays(SETTLED, || stack.amiss().is_none()) {
            return Ok(());
        }
    }
    bail!("{} is not whole: {:?}\n{}", stack.name(), stack.amiss(), stack.logs())
}
