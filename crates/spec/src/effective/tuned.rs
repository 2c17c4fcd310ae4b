//! Values that follow from the machine's memory and cores, each with its formula in words.
//!
//! M is the memory of one node: the machine's (or its cgroup's), divided by the nodes that
//! share it. Parameters that a standby may not have less of than its primary are not here:
//! machines may differ.

use howdah_base::Bytes;

use crate::machine::Machine;
use crate::types::ClusterSpec;

/// A value and how it came about.
pub(super) struct Tuned {
    pub value: String,
    pub formula: String,
}

const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;

/// Sorts and hashes that a connection is taken to run at once.
const SORTS_PER_CONNECTION: u64 = 4;

pub(super) fn of(spec: &ClusterSpec, machine: &Machine) -> Vec<(&'static str, Tuned)> {
    let mut all = memory(spec, machine);
    all.extend(cores(machine));
    all
}

fn memory(spec: &ClusterSpec, machine: &Machine) -> Vec<(&'static str, Tuned)> {
    let memory = machine.memory_of_node().0;
    let m = match machine.nodes_here {
        0 | 1 => format!("M = {}", rounded(memory)),
        nodes => format!("M = {} / {nodes} nodes = {}", rounded(machine.memory.0), rounded(memory)),
    };
    let connections = number(spec, "max_connections").unwrap_or(200).max(1);
    let workers = number(spec, "autovacuum_max_workers").unwrap_or(3).max(1);

    let shared_buffers = (memory / 4).max(16 * MB);
    let sorts = connections * SORTS_PER_CONNECTION;
    let work_mem = (memory.saturating_sub(shared_buffers) / sorts).clamp(4 * MB, 64 * MB);
    let maintenance = (memory / 16).clamp(64 * MB, 2 * GB);
    let autovacuum = (maintenance / workers).max(16 * MB);
    let size = |bytes: u64, rule: String| Tuned {
        value: whole_megabytes(bytes).to_string(),
        formula: format!("{rule}; {m}"),
    };
    vec![
        ("shared_buffers", size(shared_buffers, "M / 4, at least 16MB".to_owned())),
        ("effective_cache_size", size((memory / 4 * 3).max(16 * MB), "M * 3 / 4".to_owned())),
        (
            "work_mem",
            size(
                work_mem,
                format!(
                    "(M - shared_buffers) / ({connections} connections * \
                     {SORTS_PER_CONNECTION}), from 4MB to 64MB"
                ),
            ),
        ),
        ("maintenance_work_mem", size(maintenance, "M / 16, from 64MB to 2GB".to_owned())),
        (
            "autovacuum_work_mem",
            size(autovacuum, format!("maintenance_work_mem / {workers} workers, at least 16MB")),
        ),
    ]
}

fn cores(machine: &Machine) -> Vec<(&'static str, Tuned)> {
    let c = format!("C = {}", machine.cores);
    let count = |value: u32, rule: &str| Tuned {
        value: value.to_string(),
        formula: format!("{rule}; {c}"),
    };
    let half = (machine.cores / 2).clamp(1, 4);
    vec![
        // At most the max_worker_processes that all nodes have.
        ("max_parallel_workers", count(machine.cores.clamp(2, 16), "C cores, from 2 to 16")),
        ("max_parallel_workers_per_gather", count(half, "C / 2, from 1 to 4")),
        ("max_parallel_maintenance_workers", count(half, "C / 2, from 1 to 4")),
    ]
}

fn number(spec: &ClusterSpec, name: &str) -> Option<u64> {
    spec.postgresql.parameters.get(name)?.trim().parse().ok()
}

fn whole_megabytes(bytes: u64) -> Bytes {
    Bytes(bytes / MB * MB)
}

/// For the formula: to the megabyte.
fn rounded(bytes: u64) -> String {
    whole_megabytes(bytes).to_string()
}
