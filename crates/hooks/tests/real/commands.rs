//! Commands: what they are told, how they end, what is left of them.

use std::time::Duration;

use howdah_base::Span;
use howdah_hooks::Role;
use howdah_spec::{HookAction, HookEvent};
use howdah_testkit::process;

use crate::world::{World, until};

#[tokio::test]
async fn a_command_is_told_everything_and_is_called_once() {
    let mut world = World::new();
    let print = "env | grep ^HOWDAH_ | sort > $here/env; echo \"$@\" > $here/arguments";
    let hook = world.script("dns", &[HookEvent::RoleChange], print);
    hook.patroni_arguments = true;
    world.leads(7);
    let running = world.start();
    world.is_idle().await;
    let expected = [
        "HOWDAH_CLUSTER=shop",
        "HOWDAH_EVENT=on_role_change",
        "HOWDAH_HOOK=dns",
        "HOWDAH_LEADER=n1",
        "HOWDAH_LEADER_HOST=n1.example.com",
        "HOWDAH_LEADER_PORT=5433",
        "HOWDAH_LEADER_RW_PORT=6432",
        "HOWDAH_NODE=n1",
        "HOWDAH_PREVIOUS_ROLE=none",
        "HOWDAH_REASON=leads; renews in time",
        "HOWDAH_ROLE=primary",
        "HOWDAH_RULE=101",
        "HOWDAH_SUBJECT=",
        "HOWDAH_TERM=7",
        "HOWDAH_TEXT=shop: n1 is primary now (term 7)",
        "HOWDAH_TIMELINE=3",
    ];
    let told = world.lines("env");
    let id = told.iter().find(|line| line.starts_with("HOWDAH_FIRING_ID=")).expect("an id");
    assert!(id.starts_with("HOWDAH_FIRING_ID=shop-on_role_change-7-n1-"), "{id}");
    let rest: Vec<_> = told.iter().filter(|line| *line != id).collect();
    assert_eq!(rest, expected);
    assert_eq!(world.lines("arguments"), ["on_role_change primary shop"]);
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn one_that_hangs_is_killed_with_its_children_tried_again_and_given_up() {
    let mut world = World::new();
    // A child in the group, one in a session of its own, and one that has lost its parent too.
    let hang = "echo $$ >> $here/pids
        sleep 1000 & echo $! >> $here/pids
        setsid sh -c 'echo $$ >> '$here'/pids; exec sleep 1000' &
        (setsid sh -c 'echo $$ >> '$here'/pids; exec sleep 1000' &)
        echo this is how far it came
        wait; sleep 1000";
    let hook = world.script("dns", &[HookEvent::RoleChange], hang);
    hook.timeout = Span(Duration::from_millis(500));
    hook.attempts = 2;
    world.leads(7);
    let running = world.start();
    let problems = running.problems.clone();
    until(
        "the hook is given up",
        || !problems.borrow().is_empty(),
        || format!("{:?} {:?}", world.lines("pids"), problems.borrow()),
    )
    .await;
    assert_eq!(
        *problems.borrow(),
        ["hook `dns` failed 2 times: it was killed with its children, not ended within `500ms`: \
          this is how far it came"]
    );
    let pids: Vec<i32> =
        world.lines("pids").iter().map(|pid| pid.parse().expect("a pid")).collect();
    assert_eq!(pids.len(), 8, "two attempts of four processes");
    let alive: Vec<_> = pids.iter().filter(|pid| process::is_alive(**pid)).collect();
    assert!(alive.is_empty(), "still there: {alive:?}");
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_success_clears_the_problem_of_an_earlier_failure() {
    let mut world = World::new();
    let script = "test \"$HOWDAH_ROLE\" = standby || { echo no such zone >&2; exit 3; }";
    world.script("dns", &[HookEvent::RoleChange], script).attempts = 1;
    world.leads(7);
    let running = world.start();
    let problems = running.problems.clone();
    let seen = || format!("{:?}", problems.borrow());
    until("the failure is told", || !problems.borrow().is_empty(), seen).await;
    assert_eq!(*problems.borrow(), ["hook `dns` failed once: exit status: 3: no such zone"]);
    world.follows("n2", 8);
    until("it is no problem any more", || problems.borrow().is_empty(), seen).await;
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_problem_with_a_hint() {
    let mut world = World::new();
    let words = vec!["update-dns-that-nobody-has".to_owned()];
    world.hook("dns", &[HookEvent::RoleChange], HookAction::Command(words)).attempts = 1;
    world.leads(7);
    let running = world.start();
    let problems = running.problems.clone();
    let seen = || format!("{:?}", problems.borrow());
    until("the failure is told", || !problems.borrow().is_empty(), seen).await;
    let problem = problems.borrow()[0].clone();
    assert!(
        problem.contains("cannot start `update-dns-that-nobody-has`: No such file"),
        "{problem}"
    );
    assert!(problem.contains("hint: name the program with its whole path"), "{problem}");
    running.stop(Duration::ZERO).await;
}

/// The order in which two machines would end up with one address: "is primary" hangs, the node
/// is deposed, and the older call must not come through after the newer one.
#[tokio::test]
async fn an_older_role_is_killed_and_never_told_after_the_newer_one() {
    let mut world = World::new();
    let script = "echo begin $HOWDAH_ROLE $HOWDAH_TERM >> $here/told
        if test $HOWDAH_ROLE = primary; then
            while ! test -e $here/go; do sleep 0.05; done
        fi
        echo end $HOWDAH_ROLE $HOWDAH_TERM >> $here/told";
    world.script("vip", &[HookEvent::RoleChange], script);
    world.leads(7);
    let running = world.start();
    world.has_lines("told", 1).await;
    world.is(Role::Stopping, 7, None);
    world.follows("n2", 8);
    world.has_lines("told", 3).await;
    // Now the older one would end at once, if it were still there.
    std::fs::write(world.path().join("go"), "").expect("go");
    world.is_idle().await;
    assert_eq!(world.lines("told"), ["begin primary 7", "begin standby 8", "end standby 8"]);

    world.leads(9);
    world.has_lines("told", 5).await;
    world.is_idle().await;
    assert_eq!(world.lines("told")[3..], ["begin primary 9", "end primary 9"]);
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn hooks_do_not_wait_for_each_other_but_each_for_itself() {
    let mut world = World::new();
    let on = [HookEvent::Start, HookEvent::RoleChange];
    let slow = "echo begin $HOWDAH_EVENT >> $here/slow
        while ! test -e $here/go; do sleep 0.05; done
        echo end $HOWDAH_EVENT >> $here/slow";
    world.script("slow", &on, slow);
    world.script("quick", &on, "echo $HOWDAH_EVENT >> $here/quick");
    world.leads(7);
    let running = world.start();
    assert_eq!(world.has_lines("quick", 2).await, ["on_start", "on_role_change"]);
    assert_eq!(world.lines("slow"), ["begin on_start"]);
    std::fs::write(world.path().join("go"), "").expect("go");
    world.is_idle().await;
    let order = ["begin on_start", "end on_start", "begin on_role_change", "end on_role_change"];
    assert_eq!(world.lines("slow"), order);
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn what_it_leaves_in_the_background_ends_with_it() {
    let mut world = World::new();
    world.script("dns", &[HookEvent::RoleChange], "setsid sleep 1000 & echo $! > $here/pid");
    world.leads(7);
    let running = world.start();
    world.is_idle().await;
    let pid: i32 = world.lines("pid")[0].parse().expect("a pid");
    assert!(!process::is_alive(pid), "{pid} is still there");
    running.stop(Duration::ZERO).await;
}
