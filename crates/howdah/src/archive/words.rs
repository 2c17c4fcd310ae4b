//! How findings about backups are said, by several verbs.

use std::time::Duration;

use clap::ValueEnum;

/// For people, or for programs.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Shown {
    #[default]
    Text,
    Json,
}

/// Such as `0.4 s`, `12.3 s`, `3 min 20 s`, `2 h 5 min`.
pub fn time(ms: u64) -> String {
    let time = Duration::from_millis(ms);
    match time.as_secs() {
        0..120 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// This machine, for what is written down.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// This process, told from all others: what one began, none goes on with by chance.
pub fn process() -> String {
    format!("process {} on {}", std::process::id(), host())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_long_as_they_are() {
        let said = [0, 420, 12_345, 119_900, 200_000, 7_500_000].map(time);
        assert_eq!(said, ["0.0 s", "0.4 s", "12.3 s", "119.9 s", "3 min 20 s", "2 h 5 min"]);
    }
}
