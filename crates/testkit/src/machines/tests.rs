//! The network itself: what arrives, what vanishes, and that nothing is left behind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::wait;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(5);

fn three() -> Option<Machines> {
    let machines = Machines::new(&["a", "b", "c"]);
    if machines.is_none() {
        eprintln!("no network namespaces here: nothing was shown");
    }
    machines
}

fn at(machine: &Machine, port: u16) -> SocketAddr {
    SocketAddr::from((machine.address, port))
}

/// A socket that lives on a machine, whoever holds it.
fn udp(machine: &Machine) -> UdpSocket {
    let socket = machine.space().inside(|| UdpSocket::bind(at(machine, 7))).expect("bound");
    socket.set_read_timeout(Some(SHORT)).expect("a timeout");
    socket
}

/// Until it arrives, or long enough to say that it does not.
fn arrives(from: &UdpSocket, to: &UdpSocket, within: Duration) -> bool {
    let target = to.local_addr().expect("an address");
    let mut bytes = [0; 16];
    // The first packet may wait for an answer to "who has", and for a link to come up.
    wait::found_within(within, || {
        from.send_to(b"hello", target).ok()?;
        to.recv(&mut bytes).ok()
    })
    .is_some()
}

#[test]
fn machines_reach_each_other_and_only_by_their_own_addresses() {
    let Some(machines) = three() else { return };
    let (a, b) = (machines.machine("a"), machines.machine("b"));
    let listener = b.space().inside(|| TcpListener::bind(at(b, 7))).expect("bound");
    let stream = a.space().inside(|| TcpStream::connect_timeout(&at(b, 7), LONG));
    let (_, peer) = listener.accept().expect("accepted");
    assert!(stream.is_ok());
    assert_eq!(peer.ip(), a.address);
    a.space().inside(|| TcpListener::bind(at(b, 8))).expect_err("that address is b's");
    TcpStream::connect_timeout(&at(b, 7), LONG).expect("the test sits at the desk");
    assert_eq!(listener.accept().expect("accepted").1.ip(), machines.desk().address);
}

#[test]
fn a_cut_holds_in_its_direction_only_and_heals() {
    let Some(machines) = three() else { return };
    let [a, b, c] = ["a", "b", "c"].map(|name| udp(machines.machine(name)));
    let cables = machines.cables();
    let pairs = [(&a, &b), (&b, &a), (&a, &c), (&c, &b)];
    let check = |wanted: [bool; 4]| {
        for (which, ((from, to), wanted)) in pairs.iter().zip(wanted).enumerate() {
            let within = if wanted { LONG } else { SHORT };
            assert_eq!(arrives(from, to, within), wanted, "pair {which}");
        }
    };
    check([true; 4]);
    cables.cut_one_way("a", "b");
    check([false, true, true, true]);
    cables.cut("a", "b");
    check([false, false, true, true]);
    cables.heal("a", "b");
    check([true; 4]);
    cables.isolate("b");
    check([false, false, true, false]);
    cables.rejoin("b");
    check([true; 4]);
    cables.go_dark("b");
    check([false, false, true, false]);
    cables.come_back("b");
    check([true; 4]);
}

#[test]
fn an_open_connection_hangs_while_it_is_cut_and_goes_on_after() {
    let Some(machines) = three() else { return };
    let (a, b) = (machines.machine("a"), machines.machine("b"));
    let listener = b.space().inside(|| TcpListener::bind(at(b, 7))).expect("bound");
    let stream = a.space().inside(|| TcpStream::connect_timeout(&at(b, 7), LONG));
    let (mut near, mut far) = (stream.expect("connected"), listener.accept().expect("accepted").0);
    far.set_read_timeout(Some(SHORT)).expect("a timeout");
    let mut byte = [0];
    machines.cables().cut_one_way("a", "b");
    near.write_all(b"x").expect("the system takes it");
    far.read(&mut byte).expect_err("and it does not arrive");
    machines.cables().heal("a", "b");
    far.set_read_timeout(Some(LONG)).expect("a timeout");
    assert_eq!(far.read(&mut byte).expect("it is sent again"), 1);
    // Nobody listens there: the refusal comes back, where a cut would say nothing.
    let refused = a.space().inside(|| TcpStream::connect_timeout(&at(b, 9), LONG));
    assert_eq!(refused.expect_err("refused").kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_machine_is_killed_with_everything_on_it_and_nothing_beside() {
    let Some(machines) = three() else { return };
    let start = |name: &str| {
        let mut command = machines.machine(name).command("sh");
        // A session of its own, and a child: neither is found by its parent.
        command.args(["-c", "setsid sleep 1000 & sleep 1000"]).process_group(0);
        command.spawn().expect("sh starts")
    };
    let (mut on_a, mut on_b) = (start("a"), start("b"));
    for name in ["a", "b"] {
        let machine = machines.machine(name);
        wait::until(
            "both programs run",
            LONG,
            || (machine.processes().len() >= 3).then_some(()),
            || format!("{:#?}", machine.processes()),
        );
    }
    machines.machine("a").kill_all();
    assert!(!on_a.wait().expect("collected").success());
    assert!(on_b.try_wait().expect("asked").is_none());
    let spaces: Vec<Space> = machines.all().map(|machine| machine.space().clone()).collect();
    drop(machines);
    assert!(!on_b.wait().expect("collected").success());
    assert!(spaces.iter().all(|space| !space.path().exists()));
}

#[test]
fn what_a_killed_test_left_is_swept() {
    let Some(machines) = three() else { return };
    let mut child = Command::new("true").spawn().expect("it starts");
    let dead = child.id();
    child.wait().expect("collected");
    let left = Space::add(&format!("{PREFIX}{dead}-1-a")).expect("made");
    sweep();
    assert!(!left.path().exists());
    assert!(Path::new("/run/netns").join(machines.desk().space().name()).exists());
}

#[test]
fn what_is_cut_is_silent_and_what_is_slow_waits() {
    let Some(machines) = three() else { return };
    let cables = machines.cables();
    wait::until("links are up", LONG, || cables.reaches("a", "b").then_some(()), String::new);
    cables.cut_one_way("b", "a");
    assert!(!cables.reaches("a", "b"), "no answer comes back");
    assert!(cables.reaches("a", "c"));
    cables.heal("a", "b");
    assert!(cables.reaches("a", "b"));
    assert_eq!(cables.held_back("a"), 0);
    assert!(cables.slow_down("a", 8), "slowed down");
    let (one, other) = (udp(machines.machine("a")), udp(machines.machine("b")));
    let target = other.local_addr().expect("an address");
    // Four kilobytes at a kilobyte a second.
    (0..4).for_each(|_| drop(one.send_to(&[0; 1_000], target)));
    wait::until("packets wait", LONG, || (cables.held_back("a") > 0).then_some(()), String::new);
    cables.speed_up("a");
    assert_eq!(cables.held_back("a"), 0);
    assert!(cables.reaches("a", "b"));
}
