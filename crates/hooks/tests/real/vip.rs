//! The virtual IP between machines that are network namespaces.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use howdah_base::Tick;
use howdah_hooks::vip::{HelperOptions, Reply, Request, spawn_helper};
use howdah_hooks::{HooksConfig, Role, Running, Vip};
use howdah_spec::VipSpec;
use howdah_testkit::process;
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{User, chown};

use crate::network::Network;
use crate::world::{World, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_howdah-hooks-test");
const FOUR: &str = "10.77.0.10";
const SIX: &str = "fd77::10";

fn now() -> Tick {
    let time = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).expect("a clock"));
    Tick(u64::try_from(time.as_millis()).expect("small"))
}

fn spec(address: &str) -> VipSpec {
    let prefix = if address.contains(':') { 64 } else { 24 };
    let address = address.parse().expect("an address");
    VipSpec { address, prefix, interface: "eth0".to_owned() }
}

/// A machine of the network with its helper, and the node on it, which is this process.
struct Node {
    world: World,
    spec: VipSpec,
    socket: PathBuf,
    helper: i32,
}

impl Node {
    fn new(network: &mut Network, machine: &str, address: &str) -> Node {
        let world = World::new();
        let mut node =
            Node { spec: spec(address), socket: world.path().join("vip.sock"), helper: 0, world };
        node.start_helper(network, machine);
        node
    }

    fn start_helper(&mut self, network: &mut Network, machine: &str) {
        let words = words(&self.options());
        self.helper = network.start(machine, PROGRAM, &words);
    }

    fn options(&self) -> HelperOptions {
        HelperOptions {
            socket: self.socket.clone(),
            address: self.spec.address,
            prefix: self.spec.prefix,
            interface: self.spec.interface.clone(),
            owner: None,
        }
    }

    fn start(&self) -> Running {
        let config = HooksConfig {
            hooks: self.world.hooks.clone(),
            state_dir: self.world.path().to_owned(),
            vip: Some(Vip { spec: self.spec.clone(), socket: self.socket.clone() }),
            ca_file: None,
        };
        howdah_hooks::start(config, self.world.seen.subscribe())
    }

    /// Leads for so long, without a renewal.
    fn leads_for(&self, term: u64, long: Duration) {
        self.world.seen.send_modify(|seen| seen.leads_until = Some(now() + long));
        self.world.leads(term);
    }
}

fn words(options: &HelperOptions) -> Vec<String> {
    let words = options.arguments();
    words.into_iter().map(|word| word.into_string().expect("text")).collect()
}

fn ask(socket: &Path, request: Request) -> Reply {
    let mut stream = UnixStream::connect(socket).expect("the helper");
    let mut line = serde_json::to_vec(&request).expect("json");
    line.push(b'\n');
    stream.write_all(&line).expect("asked");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    serde_json::from_str(&answer).expect("a reply")
}

/// From one machine to the other; the client learns it from what is announced alone.
async fn moves(address: &str) {
    let mut network = Network::new();
    let a = Node::new(&mut network, "a", address);
    let b = Node::new(&mut network, "b", address);
    let (running_a, running_b) = (a.start(), b.start());
    let shown = |network: &Network| {
        format!(
            "a: {:?}\nb: {:?}\nclient: {:?}\n{:?} {:?}",
            network.address("a", address),
            network.address("b", address),
            network.believed(address),
            running_a.problems.borrow(),
            running_b.problems.borrow()
        )
    };
    let (mac_a, mac_b) = (network.mac("a"), network.mac("b"));
    b.world.follows("n1", 7);
    a.leads_for(7, Duration::from_secs(60));
    until("a has it", || network.has("a", address), || shown(&network)).await;
    let knocked = || {
        network.knock(address);
        network.believed(address).as_ref() == Some(&mac_a)
    };
    until("the client reaches it there", knocked, || shown(&network)).await;

    a.world.is(Role::Stopping, 7, None);
    until("a has given it up", || !network.has("a", address), || shown(&network)).await;
    b.leads_for(8, Duration::from_secs(60));
    until("b has it", || network.has("b", address), || shown(&network)).await;
    // From here on the client sends nothing.
    let believes = || network.believed(address).as_ref() == Some(&mac_b);
    until("the client knows where it is", believes, || shown(&network)).await;
    assert!(!network.has("a", address));

    // And back, while the other one still thinks that it may hold it for long.
    b.world.follows("n2", 9);
    until("b has given it up", || !network.has("b", address), || shown(&network)).await;
    a.leads_for(9, Duration::from_secs(60));
    let believes = || network.believed(address).as_ref() == Some(&mac_a);
    until("the client knows where it is again", believes, || shown(&network)).await;
    assert!(running_a.problems.borrow().is_empty(), "{:?}", running_a.problems.borrow());
    running_a.stop(Duration::ZERO).await;
    running_b.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn it_moves_with_the_primary_ipv4() {
    moves(FOUR).await;
}

#[tokio::test]
async fn it_moves_with_the_primary_ipv6() {
    moves(SIX).await;
}

/// A client that waits for an answer would else wait until its own TCP gives up.
async fn waiting_clients_are_reset(address: &str) {
    let mut network = Network::new();
    let node = Node::new(&mut network, "a", address);
    let running = node.start();
    node.leads_for(7, Duration::from_secs(60));
    until("it has it", || network.has("a", address), String::new).await;
    network.start("a", PROGRAM, &["listen".to_owned(), "7777".to_owned()]);
    let at =
        if address.contains(':') { format!("[{address}]:7777") } else { format!("{address}:7777") };
    let own = if address.contains(':') { "[fd77::2]:7777" } else { "10.77.0.2:7777" };
    for (name, to) in [("first", at.as_str()), ("second", at.as_str()), ("own", own)] {
        let file = node.world.path().join(name).display().to_string();
        let words = ["connect".to_owned(), to.to_owned(), file.clone()];
        let says = || std::fs::read_to_string(&file).is_ok_and(|text| text == "waits");
        // It may be that nobody listens yet.
        let mut client = network.start("c", PROGRAM, &words);
        until(
            "a client waits",
            || {
                if !says() && network.has_ended(client) {
                    client = network.start("c", PROGRAM, &words);
                }
                says()
            },
            String::new,
        )
        .await;
    }
    node.world.follows("n2", 8);
    until("it is gone", || !network.has("a", address), String::new).await;
    let told = Instant::now();
    for name in ["first", "second"] {
        let reset = || node.world.lines(name) == ["connection reset"];
        until("a client is told", reset, || format!("{:?}", node.world.lines(name))).await;
    }
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    assert_eq!(node.world.lines("own"), ["waits"], "whom it does not concern is left alone");
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn waiting_clients_are_reset_ipv4() {
    waiting_clients_are_reset(FOUR).await;
}

#[tokio::test]
async fn waiting_clients_are_reset_ipv6() {
    waiting_clients_are_reset(SIX).await;
}

/// The hook that is told of the role finds the address where it belongs.
#[tokio::test]
async fn it_is_there_before_hooks_are_called_and_gone_before_they_are() {
    let mut network = Network::new();
    let mut node = Node::new(&mut network, "a", FOUR);
    let machine = network.name("a");
    let script = format!(
        "ip -n {machine} -oneline address show dev eth0 | grep -q {FOUR}/ && has=yes || has=no
         echo $HOWDAH_ROLE $has >> $here/told"
    );
    node.world.script("dns", &[howdah_spec::HookEvent::RoleChange], &script);
    let running = node.start();
    node.leads_for(7, Duration::from_secs(60));
    node.world.has_lines("told", 1).await;
    node.world.follows("n2", 8);
    node.world.has_lines("told", 2).await;
    node.leads_for(9, Duration::from_secs(60));
    let told = node.world.has_lines("told", 3).await;
    assert_eq!(told, ["primary yes", "standby no", "primary yes"]);
    running.stop(Duration::ZERO).await;
}

/// A leader as a process of the user `postgres`, which renews its lease of so many milliseconds.
fn start_leader(network: &mut Network, node: &Node, lease_ms: u64) -> i32 {
    let state = node.world.path().join("state");
    std::fs::create_dir(&state).expect("a state_dir");
    let user = User::from_name("postgres").expect("users").expect("the user postgres");
    chown(&state, Some(user.uid), Some(user.gid)).expect("given to postgres");
    let words = [
        "leader".to_owned(),
        state.display().to_string(),
        node.socket.display().to_string(),
        format!("{FOUR}/24"),
        "eth0".to_owned(),
        lease_ms.to_string(),
    ];
    network.start("a", PROGRAM, &words)
}

/// A helper that `postgres` may speak to. Its folder is that user's, as `state_dir` is.
fn start_helper_for_postgres(network: &mut Network, node: &mut Node) {
    let user = User::from_name("postgres").expect("users").expect("the user postgres");
    process::signal(node.helper, Signal::SIGKILL);
    let folder = node.world.path().join("run");
    std::fs::create_dir(&folder).expect("a folder");
    chown(&folder, Some(user.uid), Some(user.gid)).expect("given to postgres");
    node.socket = folder.join("vip.sock");
    let options = HelperOptions { owner: Some(user.uid.as_raw()), ..node.options() };
    node.helper = network.start("a", PROGRAM, &words(&options));
}

#[tokio::test]
async fn a_frozen_agent_loses_it_before_its_deadline() {
    const LEASE_MS: u64 = 4000;
    let mut network = Network::new();
    let mut node = Node::new(&mut network, "a", FOUR);
    start_helper_for_postgres(&mut network, &mut node);
    let agent = start_leader(&mut network, &node, LEASE_MS);
    let shown = || format!("{:?}", network.address("a", FOUR));
    until("it has it", || network.has("a", FOUR), shown).await;
    let held = Instant::now();
    let long = Duration::from_millis(LEASE_MS + 1000);
    let kept = howdah_testkit::wait::stays(long, || network.has("a", FOUR));
    assert!(kept, "it was lost after {:?}, although it was renewed", held.elapsed());

    process::signal(agent, Signal::SIGSTOP);
    let frozen = Instant::now();
    until("it is gone", || !network.has("a", FOUR), shown).await;
    let took = frozen.elapsed();
    assert!(took < Duration::from_millis(LEASE_MS), "only after {took:?}");

    process::signal(agent, Signal::SIGCONT);
    until("it is back", || network.has("a", FOUR), shown).await;
    process::signal(agent, Signal::SIGKILL);
    until("it is gone with its agent", || !network.has("a", FOUR), shown).await;
}

/// The kernel holds the deadline too.
#[tokio::test]
async fn a_frozen_helper_and_a_killed_one_lose_it_too() {
    let mut network = Network::new();
    let mut node = Node::new(&mut network, "a", FOUR);
    let running = node.start();
    let shown = |network: &Network| {
        format!("{:?} {:?}", network.address("a", FOUR), running.problems.borrow())
    };
    node.leads_for(7, Duration::from_secs(4));
    until("it has it", || network.has("a", FOUR), || shown(&network)).await;
    let line = network.address("a", FOUR).expect("there");
    assert!(line.contains("valid_lft 3sec") || line.contains("valid_lft 2sec"), "{line}");
    process::signal(node.helper, Signal::SIGSTOP);
    let says = |what: &str| running.problems.borrow().iter().any(|problem| problem.contains(what));
    let told = || says("the virtual IP `10.77.0.10` has no helper: no answer within 500 ms");
    until("the problem is told", told, || shown(&network)).await;
    until("it is gone", || !network.has("a", FOUR), || shown(&network)).await;

    process::signal(node.helper, Signal::SIGCONT);
    node.leads_for(7, Duration::from_secs(4));
    until("it has it again", || network.has("a", FOUR), || shown(&network)).await;
    process::signal(node.helper, Signal::SIGKILL);
    until("it is gone", || !network.has("a", FOUR), || shown(&network)).await;

    // Another helper comes, and the agent finds it.
    node.start_helper(&mut network, "a");
    node.leads_for(7, Duration::from_secs(60));
    until("it has it once more", || network.has("a", FOUR), || shown(&network)).await;
    until("no problem is left", || running.problems.borrow().is_empty(), || shown(&network)).await;

    let helper = node.helper;
    process::signal(helper, Signal::SIGTERM);
    until("told to end, it removes it", || !network.has("a", FOUR), || shown(&network)).await;
    let ended = |network: &mut Network| network.has_ended(helper);
    until("and ends", || ended(&mut network), String::new).await;
    running.stop(Duration::ZERO).await;
}

/// Set by hand, or left by a helper that was killed: for ever, as far as the kernel knows.
#[tokio::test]
async fn what_was_left_on_the_interface_goes() {
    let mut network = Network::new();
    network.ip("a", &format!("address add {FOUR}/32 dev eth0"));
    network.ip("b", &format!("address add {FOUR}/24 dev eth0"));
    let _nobody_asks = Node::new(&mut network, "a", FOUR);
    let standby = Node::new(&mut network, "b", FOUR);
    standby.world.follows("n2", 7);
    let started = Instant::now();
    let running = standby.start();
    let shown = || format!("{:?} {:?}", network.address("a", FOUR), network.address("b", FOUR));
    until("a standby has given it up", || !network.has("b", FOUR), shown).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    until("without an agent it goes too", || !network.has("a", FOUR), shown).await;
    running.stop(Duration::ZERO).await;
}

/// An agent that starts anew while its server leads finds the address held, and holds on.
#[tokio::test]
async fn a_restarted_agent_keeps_it() {
    let mut network = Network::new();
    let node = Node::new(&mut network, "a", FOUR);
    let running = node.start();
    node.leads_for(7, Duration::from_secs(5));
    until("it has it", || network.has("a", FOUR), String::new).await;
    running.stop(Duration::ZERO).await;
    // What a restarted agent sees first.
    node.world.is(Role::Unknown, 0, None);
    let running = node.start();
    let kept = howdah_testkit::wait::stays(Duration::from_secs(1), || network.has("a", FOUR));
    assert!(kept, "lost while nothing was known");
    node.leads_for(7, Duration::from_secs(60));
    until(
        "it is held for longer",
        || {
            ask(&node.socket, Request::State)
                .until
                .is_some_and(|at| at > now() + Duration::from_secs(10))
        },
        || format!("{:?}", ask(&node.socket, Request::State)),
    )
    .await;
    assert!(network.has("a", FOUR));
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn the_helper_does_nothing_else_and_for_nobody_else() {
    let mut network = Network::new();
    let mut node = Node::new(&mut network, "a", FOUR);
    start_helper_for_postgres(&mut network, &mut node);
    until("it listens", || node.socket.exists(), String::new).await;
    let mode = std::fs::metadata(&node.socket).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o077, 0, "others may speak to it: {mode:o}");
    for (until, why) in [
        (Tick(0), "the deadline has passed"),
        (now() + Duration::from_secs(3600), "the deadline is too far off"),
    ] {
        let reply = ask(&node.socket, Request::Hold { until });
        assert!(reply.error.as_ref().is_some_and(|error| error.starts_with(why)), "{reply:?}");
        assert!(!reply.holds && !network.has("a", FOUR));
    }
    let mut stream = UnixStream::connect(&node.socket).expect("the helper");
    stream.write_all(b"{\"ask\":\"format the disk\"}\n").expect("asked");
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).expect("an answer");
    assert!(answer.contains("not a request"), "{answer}");
    // An endless line is no request either.
    let mut stream = UnixStream::connect(&node.socket).expect("the helper");
    stream.write_all(&[b'x'; 5000]).ok();
    let hung_up = BufReader::new(&stream).read_line(&mut answer).map_or(true, |count| count == 0);
    assert!(hung_up, "{answer}");
    assert!(!ask(&node.socket, Request::State).holds);
    // A second one does not work beside it.
    let options = HelperOptions { socket: node.socket.clone(), ..node.options() };
    let second = network.start("a", PROGRAM, &words(&options));
    until("a second one ends", || network.has_ended(second), String::new).await;
}

#[tokio::test]
async fn without_the_right_to_it_the_problem_has_a_hint() {
    let mut network = Network::new();
    let mut node = Node::new(&mut network, "a", FOUR);
    process::signal(node.helper, Signal::SIGKILL);
    until("it is dead", || network.has_ended(node.helper), String::new).await;
    let socket = node.world.path().join("other.sock");
    node.socket = socket;
    let mut all = vec!["--bounding-set=-net_admin".to_owned(), PROGRAM.to_owned()];
    all.extend(words(&node.options()));
    node.helper = network.start("a", "setpriv", &all);
    let running = node.start();
    node.leads_for(7, Duration::from_secs(60));
    let problem = || running.problems.borrow().first().cloned().unwrap_or_default();
    let told =
        || problem().contains("cannot be held: not allowed to change addresses: `eth0`; hint:");
    until("the problem is told", told, problem).await;
    running.stop(Duration::ZERO).await;
}

/// As `howdah run` does it, while it is still root.
#[tokio::test]
async fn a_helper_is_started_once_and_replaced_when_the_address_is_another() {
    let mut network = Network::new();
    let node = Node::new(&mut network, "a", FOUR);
    process::signal(node.helper, Signal::SIGKILL);
    until("it is dead", || network.has_ended(node.helper), String::new).await;
    let exe = node.world.path().join("howdah");
    let line = format!("#!/bin/sh\nexec ip netns exec {} {PROGRAM} \"$@\"\n", network.name("a"));
    std::fs::write(&exe, line).expect("a program");
    std::fs::set_permissions(&exe, PermissionsExt::from_mode(0o755)).expect("executable");
    let log = node.world.path().join("vip-helper.log");

    let options = node.options();
    spawn_helper(&exe, &options, &log).expect("the first");
    let first = ask(&node.socket, Request::Hold { until: now() + Duration::from_secs(60) });
    assert!(first.holds && network.has("a", FOUR), "{first:?}");
    spawn_helper(&exe, &options, &log).expect("it is there");
    assert_eq!(ask(&node.socket, Request::State).pid, first.pid);

    let other = HelperOptions { address: "10.77.0.11".parse().expect("an address"), ..options };
    spawn_helper(&exe, &other, &log).expect("another");
    let second = ask(&node.socket, Request::State);
    assert_ne!(second.pid, first.pid);
    assert!(!network.has("a", FOUR), "the first one's address is still there");
    assert!(!process::is_alive(i32::try_from(first.pid).expect("a pid")));
    ask(&node.socket, Request::Leave);

    let nowhere = HelperOptions { interface: "eth7".to_owned(), ..other };
    let error = spawn_helper(&exe, &nowhere, &log).expect_err("there is no such interface");
    assert!(error.to_string().contains("the helper did not come up, it ended"), "{error}");
    let said = std::fs::read_to_string(&log).expect("a log");
    assert!(said.contains("there is no such interface: `eth7`"), "{said}");
}
