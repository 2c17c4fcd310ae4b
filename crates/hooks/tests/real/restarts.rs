//! Once a change, also when the agent ends in the middle of it.

use std::fs;
use std::time::Duration;

use howdah_hooks::Role;
use howdah_spec::HookEvent;

use crate::world::{World, until};

const COUNT: &str = "echo $HOWDAH_FIRING_ID >> $here/told";

#[tokio::test]
async fn a_change_that_was_told_is_not_told_again() {
    let mut world = World::new();
    world.script("dns", &[HookEvent::RoleChange, HookEvent::LeaderChange], COUNT);
    world.leads(7);
    for _ in 0..3 {
        let running = world.start();
        world.is_idle().await;
        // Through all that a restarted agent sees before it knows.
        world.is(Role::Unknown, 7, None);
        world.leads(7);
        running.stop(Duration::from_secs(5)).await;
    }
    let told = world.lines("told");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("shop-on_role_change-7-n1-"), "{told:?}");
    assert!(told[1].starts_with("shop-on_leader_change-7-n1-"), "{told:?}");
}

#[tokio::test]
async fn one_that_was_begun_is_tried_again_with_the_same_id() {
    let mut world = World::new();
    let script = "echo $HOWDAH_FIRING_ID >> $here/told
        while ! test -e $here/go; do sleep 0.05; done";
    world.script("dns", &[HookEvent::RoleChange], script);
    world.leads(7);
    let running = world.start();
    world.has_lines("told", 1).await;
    running.stop(Duration::ZERO).await;
    assert_eq!(world.open().expect("a journal")["dns"], 1);

    let running = world.start();
    world.has_lines("told", 2).await;
    fs::write(world.path().join("go"), "").expect("go");
    world.is_idle().await;
    running.stop(Duration::ZERO).await;
    let told = world.lines("told");
    assert_eq!(told[0], told[1]);
}

/// The agent was killed: its hook runs on, and is ended before it is repeated.
#[tokio::test]
async fn what_a_killed_agent_left_running_is_ended_first() {
    let mut world = World::new();
    let script = "echo begin $$ >> $here/told
        while ! test -e $here/go; do sleep 0.05; done
        echo end $$ >> $here/told";
    world.script("dns", &[HookEvent::RoleChange], script);
    world.leads(7);
    let agent =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let running = {
        let _inside = agent.enter();
        world.start()
    };
    world.has_lines("told", 1).await;
    let id = fs::read_to_string(world.path().join("hooks.json")).expect("a journal");
    let id = id.split('"').find(|word| word.starts_with("shop-on_role_change-7-")).expect("an id");
    // A process of the firing that no runtime knows, as after a kill -9.
    let mut left = std::process::Command::new("/bin/sh")
        .arg(world.path().join("dns.sh"))
        .env("HOWDAH_HOOK", "dns")
        .env("HOWDAH_FIRING_ID", id)
        .spawn()
        .expect("a hook that was left");
    world.has_lines("told", 2).await;
    std::mem::forget(running);
    agent.shutdown_background();

    let running = world.start();
    until("the older one is dead", || left.try_wait().expect("status").is_some(), String::new)
        .await;
    world.has_lines("told", 3).await;
    fs::write(world.path().join("go"), "").expect("go");
    world.is_idle().await;
    running.stop(Duration::ZERO).await;
    let told = world.lines("told");
    let ends: Vec<_> = told.iter().filter(|line| line.starts_with("end")).collect();
    assert_eq!(ends, [&told[2].replace("begin", "end")], "{told:?}");
}

/// What came while no agent ran is told late; what does not hold any more is not told.
#[tokio::test]
async fn a_change_without_an_agent_is_told_late() {
    let mut world = World::new();
    let script = "echo $HOWDAH_ROLE $HOWDAH_TERM >> $here/told
        while test $HOWDAH_ROLE = primary && ! test -e $here/go; do sleep 0.05; done";
    world.script("dns", &[HookEvent::RoleChange], script);
    world.leads(7);
    let running = world.start();
    world.has_lines("told", 1).await;
    running.stop(Duration::ZERO).await;

    world.follows("n2", 8);
    fs::write(world.path().join("go"), "").expect("go");
    let running = world.start();
    world.has_lines("told", 2).await;
    world.is_idle().await;
    running.stop(Duration::ZERO).await;
    assert_eq!(world.lines("told"), ["primary 7", "standby 8"]);
}

#[tokio::test]
async fn a_node_that_stops_lets_its_last_hook_end() {
    let mut world = World::new();
    world.script("log", &[HookEvent::Stop], "sleep 0.3; echo $HOWDAH_EVENT >> $here/told");
    world.leads(7);
    let running = world.start();
    world.is_idle().await;
    world.is(Role::Stopped, 7, None);
    // The agent has ended, and nobody publishes anything any more.
    let unknown = world.seen.borrow().clone();
    world.seen = tokio::sync::watch::Sender::new(unknown);
    running.stop(Duration::from_secs(10)).await;
    assert_eq!(world.lines("told"), ["on_stop"]);
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_is_put_aside_and_said() {
    let mut world = World::new();
    world.script("dns", &[HookEvent::RoleChange], COUNT);
    fs::write(world.path().join("hooks.json"), "{\"state\": 7").expect("half a journal");
    world.leads(7);
    let running = world.start();
    world.has_lines("told", 1).await;
    world.is_idle().await;
    running.stop(Duration::ZERO).await;
    assert!(world.path().join("hooks.json.unreadable").exists());
}

/// A full or missing disk keeps no hook back.
#[tokio::test]
async fn a_journal_that_cannot_be_written_keeps_no_hook_back() {
    let mut world = World::new();
    world.script("dns", &[HookEvent::RoleChange], COUNT);
    // Where the next journal is written to stands a folder.
    fs::create_dir(world.path().join("hooks.json.new")).expect("a folder");
    world.leads(7);
    let running = world.start();
    world.has_lines("told", 1).await;
    let problems = running.problems.clone();
    let seen = || format!("{:?}", problems.borrow());
    let told = || problems.borrow().iter().any(|p| p.starts_with("the journal of hooks cannot be"));
    until("the problem is told", told, seen).await;
    running.stop(Duration::ZERO).await;
}
