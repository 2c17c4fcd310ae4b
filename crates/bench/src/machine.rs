//! Facts about the machine, without which a figure means nothing.

use std::fs;
use std::process::Command;

/// This crate's folder, which lies in the repository that was built.
const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// One line each.
pub fn facts() -> Vec<String> {
    vec![
        format!("processor: {} x {}", cores(), value("/proc/cpuinfo", "model name")),
        format!("memory: {}", value("/proc/meminfo", "MemTotal")),
        format!("kernel: {}", output("uname", &["-sr"])),
        format!("system: {}", value_of("/etc/os-release", "PRETTY_NAME", '=').replace('"', "")),
        format!("file system of /tmp: {}", output("stat", &["-f", "-c", "%T", "/tmp"])),
        format!("PostgreSQL: {}", output("psql", &["--version"])),
        format!("revision: {}", output("git", &["-C", HERE, "describe", "--always", "--dirty"])),
        format!("load at the end: {}", first_line("/proc/loadavg")),
    ]
}

/// Today, as `2026-11-21`.
pub fn today() -> String {
    output("date", &["+%F"])
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn value(path: &str, key: &str) -> String {
    value_of(path, key, ':')
}

fn value_of(path: &str, key: &str, separator: char) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split_once(separator)).map(|(_, value)| value.trim());
    value.unwrap_or("unknown").to_owned()
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".to_owned())
}
