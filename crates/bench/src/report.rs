//! The rounds as a table, for the screen and for `benches/results`.

use std::fmt::Write as _;
use std::time::Duration;

use crate::idle::Idle;
use crate::round::Measured;
use crate::{Fault, Stack};

/// Everything that was measured of one stack.
#[derive(Clone, Debug)]
pub struct Account {
    pub name: &'static str,
    pub description: String,
    pub rounds: Vec<Measured>,
    pub idle: Option<Idle>,
}

impl Account {
    /// Nothing measured yet.
    pub fn of(stack: &dyn Stack) -> Account {
        Account {
            name: stack.name(),
            description: stack.description(),
            rounds: Vec::new(),
            idle: None,
        }
    }
}

/// The whole report in Markdown.
pub fn markdown(date: &str, command: &str, facts: &[String], accounts: &[Account]) -> String {
    let mut text = format!("# Failover, measured on {date}\n\nMade by `{command}`.\n\n");
    text.push_str(HOW);
    text.push_str("\n## Longest write gap\n\n");
    text.push_str(&gaps(accounts));
    text.push_str("\n## What a keeper costs at rest\n\n");
    text.push_str(&idle(accounts));
    text.push_str("\n## Every round\n\n");
    text.push_str(&rounds(accounts));
    text.push_str("\n## What ran\n\n");
    for account in accounts {
        writeln!(text, "- {}: {}", account.name, account.description).expect("a string takes it");
    }
    for fact in facts {
        writeln!(text, "- {fact}").expect("a string takes it");
    }
    text
}

const HOW: &str = "\
One client writes a row every 5 ms, each in its own commit, and reconnects as soon as it is cut
off. The gap is the longest time between two acknowledged commits. The stacks take turns in the
same run, round by round, while the other one idles; a round starts on a cluster that has been
whole for 8 seconds, and the fault comes at a
varying time after that, so that it meets polling loops at different points. Host loss is kill -9
of every process of the primary's node at once: connections are reset, where a lost machine would
leave them hanging. With `--load` clients of pgbench write besides, the built-in script at scale 10,
from before each fault until the client that is measured has stopped. On machines the network goes dark first, and nothing is reset. \"Lost\" counts acknowledged rows that the next primary lacks.
";

/// Median, least and most, for each fault and stack.
pub fn gaps(accounts: &[Account]) -> String {
    let mut text = String::from(
        "| fault | stack | median | min | max | n | lost rows | client errors (median) | \
         commit (median) | whole again (median) |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for fault in Fault::ALL {
        for account in accounts {
            let of_fault = || account.rounds.iter().filter(move |round| round.fault == fault);
            let gaps = sorted(of_fault().map(|round| round.gap));
            let (Some(least), Some(most)) = (gaps.first(), gaps.last()) else { continue };
            writeln!(
                text,
                "| {} | {} | **{}** | {} | {} | {} | {} | {} | {} | {} |",
                fault.words(),
                account.name,
                seconds(median(&gaps)),
                seconds(*least),
                seconds(*most),
                gaps.len(),
                of_fault().map(|round| round.lost).sum::<usize>(),
                median(&sorted(of_fault().map(|round| round.errors))),
                millis(median(&sorted(of_fault().map(|round| round.commit)))),
                seconds(median(&sorted(of_fault().map(|round| round.whole_again)))),
            )
            .expect("a string takes it");
        }
    }
    text
}

fn idle(accounts: &[Account]) -> String {
    let mut text = String::from(
        "One node's processes without PostgreSQL, over 30 s (for Howdah: agent and guard, proxy \
         and HTTP included; for Patroni: Patroni alone, without etcd and HAProxy).\n\n\
         | stack | processor, % of a core | RSS | PSS |\n|---|---|---|---|\n",
    );
    for account in accounts {
        let Some(idle) = account.idle else { continue };
        writeln!(
            text,
            "| {} | {:.2} | {:.1} MB | {:.1} MB |",
            account.name,
            idle.cpu_percent,
            idle.resident_kb as f64 / 1024.0,
            idle.proportional_kb as f64 / 1024.0
        )
        .expect("a string takes it");
    }
    text
}

fn rounds(accounts: &[Account]) -> String {
    let mut text = String::from("| stack | fault | gap of each round, in order |\n|---|---|---|\n");
    for account in accounts {
        for fault in Fault::ALL {
            let of_fault = account.rounds.iter().filter(|round| round.fault == fault);
            let gaps: Vec<String> = of_fault.map(|round| seconds(round.gap)).collect();
            writeln!(text, "| {} | {} | {} |", account.name, fault.words(), gaps.join(", "))
                .expect("a string takes it");
        }
    }
    text
}

fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values
}

/// The middle one; of an even number, the greater of the two in the middle.
fn median<T: Copy + Default>(sorted: &[T]) -> T {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_fault_and_stack_that_was_measured() {
        let round = |fault, gap_ms| Measured {
            fault,
            gap: Duration::from_millis(gap_ms),
            lost: 1,
            errors: 2,
            commit: Duration::from_micros(1500),
            whole_again: Duration::from_secs(3),
        };
        let account = Account {
            name: "A",
            description: String::new(),
            rounds: vec![
                round(Fault::Crash, 900),
                round(Fault::Crash, 100),
                round(Fault::Crash, 500),
                round(Fault::Switchover, 70),
            ],
            idle: None,
        };
        let lines: Vec<String> = gaps(&[account]).lines().skip(2).map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "| PostgreSQL crash | A | **0.50 s** | 0.10 s | 0.90 s | 3 | 3 | 2 | 1.5 ms | 3.00 s |",
                "| switchover | A | **0.07 s** | 0.07 s | 0.07 s | 1 | 1 | 2 | 1.5 ms | 3.00 s |",
            ]
        );
    }
}
