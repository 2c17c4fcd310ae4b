//! The examples of `examples/hooks`, as their cluster file calls them, as far as they can run
//! without Amazon, a name server or a chat: programs of those names note what they are told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_base::Term;
use howdah_hooks::Role;
use howdah_spec::{ClusterSpec, Context, HookAction, HookEvent};

use crate::server::{Act, HttpServer};
use crate::world::{World, until};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hooks")
}

/// The cluster file of the examples.
fn cluster() -> ClusterSpec {
    let text = fs::read_to_string(folder().join("hooks.toml")).expect("the example");
    let context = Context { default_base: "/var/lib/howdah".into(), relative_to: "/".into() };
    howdah_spec::parse("hooks.toml", &text, &context)
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Takes one hook over from the file, with its places on this machine.
fn take(world: &mut World, hook: &str) {
    let mut spec = cluster().hooks.remove(hook).expect("a hook of the example");
    let here = world.path().display().to_string();
    let scripts = format!("{}/", folder().canonicalize().expect("the folder").display());
    if let HookAction::Command(words) = &mut spec.action {
        for word in words.iter_mut() {
            *word = word
                .replace("/etc/howdah/hooks/", &scripts)
                .replace("/etc/howdah/", &format!("{here}/"))
                .replace("/etc/patroni/", &format!("{here}/"));
        }
        let path = std::env::var("PATH").expect("a PATH");
        let before = ["/usr/bin/env".to_owned(), format!("PATH={here}:{path}")];
        words.splice(0..0, before);
    }
    world.hooks.insert(hook.to_owned(), spec);
}

/// A program that notes its arguments, one a line, and then does as `lines` say.
fn program(world: &World, name: &str, lines: &str) {
    let path = world.path().join(name);
    let note = world.path().join("told").display().to_string();
    let text = format!("#!/bin/sh\nprintf '%s\\n' {name} \"$@\" -- >> {note}\n{lines}\n");
    fs::write(&path, text).expect("a program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
}

#[tokio::test]
async fn route53_is_told_by_the_new_primary_alone() {
    let mut world = World::new();
    take(&mut world, "dns");
    program(&world, "aws", "test \"$2\" = wait || echo /change/C123");
    world.follows("n2", 6);
    let running = world.start();
    world.is_idle().await;
    assert_eq!(world.lines("told"), Vec::<String>::new(), "a standby has nothing to say");
    world.leads(7);
    world.has_lines("told", 10).await;
    world.is_idle().await;
    let told = world.lines("told").join("\n");
    let (change, wait) = told.split_once("\n--\n").expect("two calls");
    let (before, rest) = change.split_once("--change-batch\n").expect("a batch");
    assert_eq!(
        before,
        "aws\nroute53\nchange-resource-record-sets\n--hosted-zone-id\nZ0123456789ABC\n"
    );
    let (batch, after) = rest.split_once("\n--query\n").expect("a query");
    assert_eq!(after, "ChangeInfo.Id\n--output\ntext");
    let batch: serde_json::Value = serde_json::from_str(batch).expect("json");
    let expected = serde_json::json!({
        "Comment": "shop: n1 leads, term 7",
        "Changes": [{
            "Action": "UPSERT",
            "ResourceRecordSet": {
                "Name": "db.example.com",
                "Type": "CNAME",
                "TTL": 10,
                "ResourceRecords": [{ "Value": "n1.example.com" }]
            }
        }]
    });
    assert_eq!(batch, expected);
    assert_eq!(wait, "aws\nroute53\nwait\nresource-record-sets-changed\n--id\n/change/C123\n--");
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_name_server_is_told_in_one_update() {
    let mut world = World::new();
    take(&mut world, "inside-dns");
    program(&world, "nsupdate", &format!("cat > {}/update", world.path().display()));
    world.leads(7);
    let running = world.start();
    world.is_idle().await;
    let key = world.path().join("dns.key").display().to_string();
    assert_eq!(world.lines("told"), ["nsupdate", "-k", &key, "-t", "10", "--"]);
    let update = [
        "server ns1.example.com 53",
        "update delete db.example.com.",
        "update add db.example.com. 10 CNAME n1.example.com.",
        "send",
    ];
    assert_eq!(world.lines("update"), update);
    // An address instead of a name.
    for (term, host, record) in [(8, "10.0.0.2", "A 10.0.0.2"), (9, "fd00::2", "AAAA fd00::2")] {
        fs::remove_file(world.path().join("update")).expect("noted");
        world.seen.send_modify(|seen| {
            seen.term = Term(term);
            seen.leader.as_mut().expect("a leader").host = host.to_owned();
        });
        world.has_lines("update", 4).await;
        assert_eq!(world.lines("update")[2], format!("update add db.example.com. 10 {record}"));
        world.is_idle().await;
    }
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_chat_hears_a_sentence() {
    let mut world = World::new();
    let server = HttpServer::start(&[Act::Answer(503, "busy")], None).await;
    take(&mut world, "chat");
    let address = world.path().join("chat.address");
    fs::write(&address, format!("http://127.0.0.1:{}/services/T0/B0/xyz\n", server.port))
        .expect("it");
    world.leads(7);
    let running = world.start();
    world.is_idle().await;
    let asked = server.asked();
    assert_eq!(asked.len(), 2, "refused once, then taken");
    assert!(asked[1].head.starts_with("POST /services/T0/B0/xyz HTTP/1.1"), "{}", asked[1].head);
    assert_eq!(asked[1].body, serde_json::json!({ "text": "shop: n1 leads now (term 7)" }));
    assert_eq!(asked[0].header("idempotency-key"), asked[1].header("idempotency-key"));

    // What would break a careless JSON.
    let ugly = "a \"quoted\" \\ thing\non two lines";
    world.seen.send_modify(|seen| seen.problems = vec![ugly.to_owned()]);
    until("it is told", || server.asked().len() == 3, || format!("{:#?}", server.asked())).await;
    let text = "shop: problem: a \"quoted\" \\ thing on two lines";
    assert_eq!(server.asked()[2].body, serde_json::json!({ "text": text }));
    world.is_idle().await;
    running.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_script_for_patroni_gets_its_three_arguments() {
    let mut world = World::new();
    take(&mut world, "old-script");
    program(&world, "callback.sh", "");
    world.leads(7);
    let running = world.start();
    world.is_idle().await;
    world.is(Role::Stopped, 7, None);
    world.has_lines("told", 15).await;
    world.follows("n2", 8);
    world.has_lines("told", 25).await;
    world.is_idle().await;
    let told = world.lines("told").join(" ");
    let calls: Vec<_> = told.split(" --").map(str::trim).filter(|call| !call.is_empty()).collect();
    let expected = [
        "callback.sh on_start primary shop",
        "callback.sh on_role_change primary shop",
        "callback.sh on_stop primary shop",
        "callback.sh on_start replica shop",
        "callback.sh on_role_change replica shop",
    ];
    assert_eq!(calls, expected);
    running.stop(Duration::ZERO).await;
}

#[test]
fn the_other_hooks_of_the_file_are_as_its_words_say() {
    let spec = cluster();
    let vip = spec.vip.expect("a virtual IP");
    assert_eq!(format!("{}/{} {}", vip.address, vip.prefix, vip.interface), "10.0.0.10/24 eth0");
    let events = &spec.hooks["events"];
    assert!(events.on.contains(&HookEvent::Problem));
    let address = "https://events.example.com/howdah".to_owned();
    assert_eq!(events.action, HookAction::Webhook(address));
}

/// The unit's command line is the one that the helper is started with elsewhere.
#[test]
fn the_unit_starts_the_helper_as_it_is_started_elsewhere() {
    let unit = fs::read_to_string(folder().join("howdah-vip-helper.service")).expect("the unit");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/howdah "));
    let options = howdah_hooks::vip::HelperOptions {
        socket: "/var/lib/howdah/shop/nodes/n1/state/vip.sock".into(),
        address: "10.0.0.10".parse().expect("an address"),
        prefix: 24,
        interface: "eth0".to_owned(),
        owner: None,
    };
    let words: Vec<_> =
        options.arguments().into_iter().map(|w| w.into_string().expect("text")).collect();
    assert_eq!(line, Some(words.join(" ").as_str()));
}
