//! Who listens on a port of this machine, as far as this user may know: the kernel's table of
//! sockets, and the descriptors of processes (proc(5)).

use std::fs;
use std::path::Path;

/// The state LISTEN in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// `postgres (process 4711)`, when it is known.
pub fn on(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).ok());
    let sockets: Vec<String> = tables
        .iter()
        .flatten()
        .flat_map(|table| table.lines())
        .filter_map(|line| listener(line, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter(|process| holds(&process.path(), &sockets)).find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (process {pid})", name.trim()))
    })
}

/// The inode of the socket of this line, if it listens on `port`.
fn listener(line: &str, port: u16) -> Option<&str> {
    let mut fields = line.split_whitespace();
    let (_, at) = fields.nth(1)?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    (u16::from_str_radix(at, 16).ok()? == port && state == LISTEN).then_some(inode)
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        let target = fs::read_link(descriptor.path()).unwrap_or_default();
        sockets.iter().any(|socket| target.as_os_str() == socket.as_str())
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_very_process_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let found = on(port).expect("known");
        assert!(found.ends_with(&format!("(process {})", std::process::id())), "{found}");
        drop(listener);
        assert_eq!(on(port), None);
    }
}
