//! What is measured: each row is one kind of work.

use super::pooler::Socket;

/// How pgbench asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Simple,
    Extended,
    Prepared,
}

/// What pgbench asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Script {
    /// `SELECT :aid`, which costs the server next to nothing.
    Constant,
    /// pgbench's `select-only`.
    Row,
    /// A connection for each `SELECT 1`.
    Connect,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Row {
    pub socket: Socket,
    pub script: Script,
    pub protocol: Protocol,
    pub clients: u32,
    /// The most that Howdah's processor time may be of PgBouncer's.
    pub reach: Option<f64>,
}

impl Protocol {
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Simple => "simple",
            Protocol::Extended => "extended",
            Protocol::Prepared => "prepared",
        }
    }
}

impl Row {
    pub fn name(&self) -> String {
        let socket = match self.socket {
            Socket::Tcp => "TCP",
            Socket::Unix => "Unix",
            Socket::Tls => "TLS",
        };
        let script = match self.script {
            Script::Constant => "",
            Script::Row => " select-only",
            Script::Connect => " connect",
        };
        format!("{socket} c={} {}{script}", self.clients, self.protocol.word())
    }
}

/// What several threads are measured by, beside one: a processor time of at most a tenth more.
pub fn of_threads() -> Vec<Row> {
    let row = |protocol, clients| Row {
        socket: Socket::Tcp,
        script: Script::Constant,
        protocol,
        clients,
        reach: Some(1.1),
    };
    vec![
        row(Protocol::Simple, 8),
        row(Protocol::Simple, 64),
        row(Protocol::Prepared, 8),
        row(Protocol::Prepared, 64),
    ]
}

/// All of them, the ones with a figure to reach first.
pub fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    for socket in [Socket::Tcp, Socket::Unix] {
        for clients in [1, 8, 64] {
            for protocol in [Protocol::Simple, Protocol::Extended, Protocol::Prepared] {
                let reach = match (clients, protocol) {
                    (1, _) => 1.0,
                    (8, Protocol::Prepared) => 0.85,
                    (8, _) => 1.0,
                    (_, Protocol::Prepared) => 0.75,
                    _ => 0.9,
                };
                let script = Script::Constant;
                rows.push(Row { socket, script, protocol, clients, reach: Some(reach) });
            }
        }
    }
    let further =
        |socket, script, protocol, clients| Row { socket, script, protocol, clients, reach: None };
    rows.extend([
        further(Socket::Tcp, Script::Row, Protocol::Simple, 8),
        further(Socket::Tcp, Script::Row, Protocol::Prepared, 64),
        further(Socket::Tcp, Script::Constant, Protocol::Simple, 500),
        further(Socket::Tcp, Script::Constant, Protocol::Simple, 1_000),
        further(Socket::Tls, Script::Constant, Protocol::Simple, 1),
        further(Socket::Tls, Script::Constant, Protocol::Simple, 8),
        further(Socket::Tls, Script::Constant, Protocol::Prepared, 64),
        further(Socket::Tcp, Script::Connect, Protocol::Simple, 8),
        further(Socket::Tls, Script::Connect, Protocol::Simple, 8),
    ]);
    rows
}
