//! The virtual IP's two ends as programs, for the tests that freeze and kill them.
//!
//! `howdah-hooks-test vip-helper --socket S --address A/P --interface I [--owner UID]`
//! `howdah-hooks-test leader STATE SOCKET A/P INTERFACE LEASE_MS`: a node that leads for ever,
//! renewing its deadline.
//! `howdah-hooks-test listen PORT`: takes connections and says nothing, as a busy server.
//! `howdah-hooks-test connect ADDRESS:PORT FILE`: a client that waits; FILE says what for.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use howdah_base::{Term, Tick};
use howdah_hooks::vip::{HelperOptions, run_helper};
use howdah_hooks::{HooksConfig, Leader, Role, Seen, Vip};
use howdah_spec::VipSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{User, setgid, setgroups, setuid};
use tokio::sync::watch;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.first().map(String::as_str) {
        Some("vip-helper") => run_helper(options(&words)).map_err(|error| error.to_string()),
        Some("leader") => {
            become_postgres();
            lead(&words[1..]);
            Ok(())
        }
        Some("listen") => {
            listen(&words[1]);
            Ok(())
        }
        Some("connect") => {
            connect(&words[1], &words[2]);
            Ok(())
        }
        other => Err(format!("not a word: {other:?}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

/// On IPv6 and IPv4 at once, as a server on all addresses.
fn listen(port: &str) {
    let port = port.parse().expect("a port");
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("listen");
    let _held: Vec<_> = listener.incoming().collect();
}

fn connect(address: &str, file: &str) {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.write_all(b"a question").expect("asked");
    std::fs::write(file, "waits").expect("noted");
    let ended = match stream.read(&mut [0]) {
        Ok(count) => format!("{count} bytes"),
        Err(error) => error.kind().to_string(),
    };
    std::fs::write(file, ended).expect("noted");
}

fn options(words: &[String]) -> HelperOptions {
    let value = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        Some(words[at + 1].clone())
    };
    let vip =
        vip(&value("--address").expect("--address"), value("--interface").expect("--interface"));
    HelperOptions {
        socket: PathBuf::from(value("--socket").expect("--socket")),
        address: vip.address,
        prefix: vip.prefix,
        interface: vip.interface,
        owner: value("--owner").map(|owner| owner.parse().expect("a uid")),
    }
}

fn vip(address: &str, interface: String) -> VipSpec {
    let (ip, prefix) = address.split_once('/').expect("address/prefix");
    VipSpec {
        address: ip.parse().expect("an address"),
        prefix: prefix.parse().expect("bits"),
        interface,
    }
}

/// As the agent is: without any right to change addresses.
fn become_postgres() {
    let user = User::from_name("postgres").expect("users").expect("the user postgres");
    setgroups(&[user.gid]).expect("leave root's groups");
    setgid(user.gid).expect("the group postgres");
    setuid(user.uid).expect("the user postgres");
}

fn lead(words: &[String]) {
    let [state, socket, address, interface, lease] = words else { panic!("five words: {words:?}") };
    let lease = Duration::from_millis(lease.parse().expect("milliseconds"));
    let config = HooksConfig {
        hooks: BTreeMap::new(),
        state_dir: PathBuf::from(state),
        vip: Some(Vip { spec: vip(address, interface.clone()), socket: PathBuf::from(socket) }),
        ca_file: None,
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (told, seen) = watch::channel(leading(lease));
        let _running = howdah_hooks::start(config, seen);
        let mut renewal = tokio::time::interval(lease / 8);
        loop {
            renewal.tick().await;
            told.send_replace(leading(lease));
        }
    });
}

fn leading(lease: Duration) -> Seen {
    let time = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).expect("a clock"));
    let now = Tick(u64::try_from(time.as_millis()).expect("small"));
    let node = "n1".parse().expect("a name");
    let unknown = Seen::unknown("shop".parse().expect("a name"), node);
    let leader = Leader {
        node: unknown.node.clone(),
        host: "localhost".to_owned(),
        postgres_port: 5433,
        rw_port: 6432,
    };
    Seen {
        role: Role::Primary,
        term: Term(7),
        leader: Some(leader),
        leads_until: Some(now + lease),
        ..unknown
    }
}
