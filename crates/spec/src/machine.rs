//! What a node's machine offers PostgreSQL: memory and cores, within the limits of its cgroup.

use howdah_base::Bytes;

/// A machine, as the defaults that depend on it see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Machine {
    /// What may be used: the machine's memory or the cgroup's limit, whichever is less.
    pub memory: Bytes,
    pub cores: u32,
    /// Nodes that share this machine, and so its memory.
    pub nodes_here: u32,
}

/// The texts that tell about a machine; each is `None` when its file is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MachineTexts<'t> {
    /// `/proc/meminfo`.
    pub meminfo: Option<&'t str>,
    /// cgroup v2: `memory.max`.
    pub memory_max: Option<&'t str>,
    /// cgroup v2: `cpu.max`, quota and period in microseconds.
    pub cpu_max: Option<&'t str>,
    /// cgroup v1: `memory.limit_in_bytes`.
    pub memory_limit_in_bytes: Option<&'t str>,
    /// cgroup v1: `cpu.cfs_quota_us`.
    pub cpu_cfs_quota_us: Option<&'t str>,
    /// cgroup v1: `cpu.cfs_period_us`.
    pub cpu_cfs_period_us: Option<&'t str>,
}

/// Assumed when nothing tells the memory: small enough to start anywhere.
const MEMORY_UNKNOWN: Bytes = Bytes(1 << 30);

impl Machine {
    /// `cores` are those that this process may run on, before the cgroup's quota.
    pub fn from_texts(texts: &MachineTexts<'_>, cores: u32, nodes_here: u32) -> Machine {
        let memory = [
            texts.meminfo.and_then(mem_total),
            texts.memory_max.and_then(number),
            texts.memory_limit_in_bytes.and_then(number),
        ];
        let quotas = [
            texts.cpu_max.and_then(cores_v2),
            cores_v1(texts.cpu_cfs_quota_us, texts.cpu_cfs_period_us),
        ];
        let memory = memory.into_iter().flatten().min().map_or(MEMORY_UNKNOWN, Bytes);
        let cores = quotas.into_iter().flatten().chain([cores]).min().unwrap_or(cores);
        Machine { memory, cores: cores.max(1), nodes_here: nodes_here.max(1) }
    }

    /// One node's part of the memory.
    pub fn memory_of_node(&self) -> Bytes {
        Bytes(self.memory.0 / u64::from(self.nodes_here.max(1)))
    }
}

/// `MemTotal:  8040144 kB`.
fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    number(line.trim().strip_suffix("kB")?)?.checked_mul(1024)
}

/// A limit in bytes. `max` (v2) is no number, so no limit; v1 writes a huge number instead,
/// which is never the least.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// `200000 100000` is two cores; `max 100000` is no limit.
fn cores_v2(cpu_max: &str) -> Option<u32> {
    let (quota, period) = cpu_max.trim().split_once(' ')?;
    cores(number(quota)?, number(period)?)
}

/// A quota of -1 is no limit.
fn cores_v1(quota: Option<&str>, period: Option<&str>) -> Option<u32> {
    cores(number(quota?)?, number(period?)?)
}

/// Half a core too many costs less than half a core unused: rounded up.
fn cores(quota: u64, period: u64) -> Option<u32> {
    let whole = quota.checked_add(period.checked_sub(1)?)?.checked_div(period)?;
    u32::try_from(whole).ok().filter(|cores| *cores > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       16384000 kB\nMemFree:         1 kB\n";

    fn machine(texts: MachineTexts<'_>) -> (u64, u32) {
        let machine = Machine::from_texts(&texts, 8, 1);
        (machine.memory.0, machine.cores)
    }

    #[test]
    fn without_a_cgroup_the_machine_counts() {
        let texts = MachineTexts { meminfo: Some(MEMINFO), ..MachineTexts::default() };
        assert_eq!(machine(texts), (16_384_000 * 1024, 8));
        assert_eq!(machine(MachineTexts::default()), (1 << 30, 8));
    }

    #[test]
    fn limits_of_cgroup_v2_are_respected() {
        let none = MachineTexts {
            meminfo: Some(MEMINFO),
            memory_max: Some("max\n"),
            cpu_max: Some("max 100000\n"),
            ..MachineTexts::default()
        };
        assert_eq!(machine(none), (16_384_000 * 1024, 8));
        let some = MachineTexts {
            memory_max: Some("4294967296\n"),
            cpu_max: Some("150000 100000\n"),
            ..none
        };
        assert_eq!(machine(some), (4 << 30, 2));
    }

    #[test]
    fn limits_of_cgroup_v1_are_respected() {
        let none = MachineTexts {
            meminfo: Some(MEMINFO),
            memory_limit_in_bytes: Some("9223372036854771712\n"),
            cpu_cfs_quota_us: Some("-1\n"),
            cpu_cfs_period_us: Some("100000\n"),
            ..MachineTexts::default()
        };
        assert_eq!(machine(none), (16_384_000 * 1024, 8));
        let some = MachineTexts {
            memory_limit_in_bytes: Some("2147483648\n"),
            cpu_cfs_quota_us: Some("400000\n"),
            ..none
        };
        assert_eq!(machine(some), (2 << 30, 4));
    }
}
