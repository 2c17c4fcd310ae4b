//! SHOW CLIENTS, SERVERS and SOCKETS: one row a connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::console::seen::{ConsoleSeen, Seen};
use crate::console::table::{Column, Kind, Row, Table};
use crate::data::{ClientSeen, Ends, ServerSeen, SocketSeen, us};

const COLUMNS: [Column; 21] = [
    ("type", Kind::Text),
    ("user", Kind::Text),
    ("database", Kind::Text),
    ("replication", Kind::Text),
    ("state", Kind::Text),
    ("addr", Kind::Text),
    ("port", Kind::Int4),
    ("local_addr", Kind::Text),
    ("local_port", Kind::Int4),
    ("connect_time", Kind::Text),
    ("request_time", Kind::Text),
    ("wait", Kind::Int4),
    ("wait_us", Kind::Int4),
    ("close_needed", Kind::Int4),
    ("ptr", Kind::Text),
    ("link", Kind::Text),
    ("remote_pid", Kind::Int4),
    ("tls", Kind::Text),
    ("application_name", Kind::Text),
    ("prepared_statements", Kind::Int4),
    ("id", Kind::Int4),
];
/// Of PgBouncer's own buffers: there are none here.
const BUFFERS: [Column; 7] = [
    ("recv_pos", Kind::Int4),
    ("pkt_pos", Kind::Int4),
    ("pkt_remain", Kind::Int4),
    ("send_pos", Kind::Int4),
    ("send_remain", Kind::Int4),
    ("pkt_avail", Kind::Int4),
    ("send_avail", Kind::Int4),
];
const OF_CLIENTS: [Column; 2] = [("endpoint", Kind::Text), ("pinned", Kind::Int4)];
const OF_SERVERS: [Column; 2] = [("endpoint", Kind::Text), ("node", Kind::Text)];

pub(in crate::console) fn clients(seen: &Seen) -> Table {
    let mut table = Table::new(&[&COLUMNS[..], &OF_CLIENTS].concat());
    for (thread, client) in &seen.clients {
        let row = client_row(seen, *thread, client, "");
        let row = row.and(endpoint(seen, *thread, &client.socket));
        table.add(row.and(u8::from(client.pinned)));
    }
    for console in &seen.consoles {
        table.add(console_row(seen, console, "active").and("").and(0));
    }
    table
}

pub(in crate::console) fn servers(seen: &Seen) -> Table {
    let mut table = Table::new(&[&COLUMNS[..], &OF_SERVERS].concat());
    for (thread, server) in &seen.servers {
        let row = server_row(seen, *thread, server, "");
        let row = row.and(endpoint(seen, *thread, &server.socket));
        table.add(row.and(&server.node));
    }
    table
}

/// Both. `busy`: those only that do something.
pub(in crate::console) fn sockets(seen: &Seen, busy: bool) -> Table {
    let mut table = Table::new(&[&COLUMNS[..], &BUFFERS].concat());
    let buffers = [0; BUFFERS.len()];
    for (thread, client) in &seen.clients {
        if !busy || client.asked.is_some() {
            table.add(client_row(seen, *thread, client, "cl_").and_all(buffers));
        }
    }
    for console in &seen.consoles {
        table.add(console_row(seen, console, "cl_active").and_all(buffers));
    }
    for (thread, server) in &seen.servers {
        if !busy || server.socket.link.is_some() {
            table.add(server_row(seen, *thread, server, "sv_").and_all(buffers));
        }
    }
    table
}

fn client_row(seen: &Seen, thread: usize, client: &ClientSeen, prefix: &str) -> Row {
    let state = match (client.waits, client.socket.link) {
        (Some(_), _) => "waiting",
        (None, Some(_)) => "active",
        (None, None) if prefix.is_empty() => "idle",
        (None, None) => "active",
    };
    let waits = client.waits.or(client.asked).map_or(0, |at| us(seen.at.duration_since(at)));
    let asked = client.asked.unwrap_or(client.socket.came);
    let how = How {
        kind: "C",
        state: format!("{prefix}{state}"),
        asked,
        waits_us: waits,
        close_needed: false,
        process: 0,
    };
    socket_row(seen, thread, &client.socket, how)
}

fn server_row(seen: &Seen, thread: usize, server: &ServerSeen, prefix: &str) -> Row {
    let how = How {
        kind: "S",
        state: format!("{prefix}{}", server.state),
        asked: server.since,
        waits_us: 0,
        close_needed: server.close_needed,
        process: server.process,
    };
    socket_row(seen, thread, &server.socket, how)
}

/// What clients and servers tell differently.
struct How {
    kind: &'static str,
    state: String,
    asked: Instant,
    waits_us: u64,
    close_needed: bool,
    process: u32,
}

fn socket_row(seen: &Seen, thread: usize, socket: &SocketSeen, how: How) -> Row {
    let key = seen.key(thread, socket.pool);
    let row = Row::default().and(how.kind).and(key.map_or("(nouser)", |key| &key.user));
    let row = row.and(key.map_or("(nodb)", |key| &key.database)).and("none").and(how.state);
    let row = ends(row, socket.ends).and(when(seen, socket.came)).and(when(seen, how.asked));
    let row = row.and_all([how.waits_us / 1_000_000, how.waits_us % 1_000_000]);
    let row = row.and(u8::from(how.close_needed)).and(pointer(socket.id));
    let row = row.and(socket.link.map(pointer).unwrap_or_default()).and(how.process);
    let row = row.and(socket.tls).and(&socket.application_name);
    row.and(socket.prepared).and(socket.id)
}

fn console_row(seen: &Seen, console: &ConsoleSeen, state: &str) -> Row {
    let row = Row::default().and("C").and(&console.user).and("pgbouncer").and("none").and(state);
    let row = ends(row, console.ends).and(when(seen, console.came)).and(when(seen, seen.at));
    let row = row.and_all([0; 3]).and(pointer(console.id)).and("").and(0);
    row.and(console.tls).and(&console.application_name).and(0).and(console.id)
}

fn ends(row: Row, ends: Ends) -> Row {
    [ends.peer, ends.local].into_iter().fold(row, |row, end| {
        let ip =
            end.map_or("unix".to_owned(), |end: SocketAddr| end.ip().to_canonical().to_string());
        row.and(ip).and(end.map_or(0, |end| end.port()))
    })
}

fn endpoint(seen: &Seen, thread: usize, socket: &SocketSeen) -> &'static str {
    seen.key(thread, socket.pool).map_or("", |key| key.endpoint.name())
}

/// Where PgBouncer keeps a connection; here its number, which is as good for telling who is linked
/// to whom.
fn pointer(id: u64) -> String {
    format!("{id:#x}")
}

fn when(seen: &Seen, at: Instant) -> String {
    let ago = seen.at.saturating_duration_since(at);
    text(seen.unix.checked_sub(ago).unwrap_or(UNIX_EPOCH))
}

/// `2026-01-31 23:59:59 UTC`.
fn text(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = howdah_base::calendar::date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_dates() {
        for (seconds, want) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_798_761_599, "2026-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(text(UNIX_EPOCH + Duration::from_secs(seconds)), want);
        }
    }
}
