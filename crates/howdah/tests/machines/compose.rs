//! The compose file, judged without an engine: by the main rules of its schema, and by whether
//! every path, port, verb and variable that it names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use yaml_rust2::{Yaml, YamlLoader, yaml::Hash};

use crate::rig::Site;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn read(name: &str) -> String {
    fs::read_to_string(deploy().join(name)).expect(name)
}

/// The document, with `<<: *anchor` carried out as YAML 1.1 has it.
fn document() -> Yaml {
    let mut all = YamlLoader::load_from_str(&read("compose.yaml")).expect("YAML");
    assert_eq!(all.len(), 1);
    merged(all.remove(0))
}

fn merged(value: Yaml) -> Yaml {
    match value {
        Yaml::Hash(hash) => {
            let mut whole = Hash::new();
            let key = Yaml::String("<<".to_owned());
            if let Some(Yaml::Hash(below)) = hash.get(&key) {
                whole.extend(below.clone());
            }
            for (name, value) in hash.into_iter().filter(|(name, _)| *name != key) {
                whole.insert(name, merged(value));
            }
            Yaml::Hash(whole)
        }
        Yaml::Array(all) => Yaml::Array(all.into_iter().map(merged).collect()),
        other => other,
    }
}

fn names(value: &Yaml) -> BTreeSet<String> {
    let hash = value.as_hash().expect("a mapping");
    hash.keys().map(|key| key.as_str().expect("a name").to_owned()).collect()
}

fn texts(value: &Yaml) -> Vec<String> {
    let all = value.as_vec().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

/// The keys of the Compose Specification that this file uses, and nothing else: a key that is
/// mistyped is an error of the engine, which is not here to say so.
#[test]
fn the_file_follows_the_schema() {
    let file = document();
    let top = names(&file);
    let known = ["name", "services", "networks", "volumes", "x-node"];
    assert!(top.iter().all(|key| known.contains(&key.as_str())), "{top:?}");
    let known = [
        "build",
        "image",
        "init",
        "restart",
        "stop_signal",
        "stop_grace_period",
        "shm_size",
        "networks",
        "hostname",
        "environment",
        "volumes",
        "ports",
    ];
    let (volumes, networks) = (names(&file["volumes"]), names(&file["networks"]));
    for (name, service) in file["services"].as_hash().expect("services") {
        let name = name.as_str().expect("a name");
        let keys = names(service);
        assert!(keys.iter().all(|key| known.contains(&key.as_str())), "{name}: {keys:?}");
        assert!(service["init"].as_bool().is_some(), "{name}");
        let restart = service["restart"].as_str().expect("a word");
        assert!(["no", "always", "on-failure", "unless-stopped"].contains(&restart));
        assert_eq!(service["hostname"].as_str(), Some(name), "its host in howdah.toml");
        for network in texts(&service["networks"]) {
            assert!(networks.contains(&network), "{name}: {network}");
        }
        for volume in texts(&service["volumes"]) {
            let parts: Vec<&str> = volume.split(':').collect();
            assert!(matches!(parts.len(), 2 | 3) && parts[1].starts_with('/'), "{volume}");
            assert!(parts.get(2).is_none_or(|mode| *mode == "ro"), "{volume}");
            let from = parts[0];
            let there = match from.strip_prefix("./") {
                Some(path) => deploy().join(path).exists(),
                None => volumes.contains(from),
            };
            assert!(there, "{name}: {volume}");
        }
        let build = &service["build"];
        let context = deploy().join(build["context"].as_str().expect("a path"));
        let dockerfile = context.join(build["dockerfile"].as_str().expect("a path"));
        assert!(dockerfile.exists(), "{}", dockerfile.display());
    }
}

#[test]
fn every_container_is_a_node_and_the_first_invites_the_others() {
    let file = document();
    let site = Site::new();
    let written = deploy().join("howdah.toml").display().to_string();
    // By the binary itself: what it would run, ports and all.
    let checked = site.howdah(&["init", "--help"]);
    assert!(checked.status.success());
    let spec = howdah_spec::parse(
        "howdah.toml",
        &read("howdah.toml"),
        &howdah_spec::Context { default_base: "/nowhere".into(), relative_to: "/nowhere".into() },
    );
    let spec = spec.unwrap_or_else(|mistakes| panic!("{written}: {mistakes}"));
    let nodes: BTreeSet<String> = spec.nodes.keys().map(|node| node.as_str().to_owned()).collect();
    assert_eq!(names(&file["services"]), nodes);
    let mut invited = BTreeSet::new();
    let mut founders = Vec::new();
    for (name, service) in file["services"].as_hash().expect("services") {
        let name = name.as_str().expect("a name");
        let environment = &service["environment"];
        assert_eq!(environment["HOWDAH_NODE"].as_str(), Some(name));
        if let Some(others) = environment["HOWDAH_INVITE"].as_str() {
            founders.push(name.to_owned());
            invited.extend(others.split_whitespace().map(str::to_owned));
        }
        let node = &spec.nodes[&name.parse::<howdah_base::NodeName>().expect("a node")];
        let open = [node.rw_port, node.ro_port, node.any_port, node.http_port];
        for port in texts(&service["ports"]) {
            let parts: Vec<&str> = port.split(':').collect();
            let [address, outside, inside] = parts[..] else { panic!("{port}") };
            assert_eq!(address, "127.0.0.1", "no port of a demonstration is open to the world");
            assert!(open.contains(&inside.parse().expect("a port")), "{name}: {port}");
            assert!(outside.parse::<u16>().is_ok(), "{port}");
        }
        let place = spec.base_dir.parent().expect("a parent").display().to_string();
        let kept = texts(&service["volumes"]);
        assert!(kept.iter().any(|volume| volume.ends_with(&format!(":{place}"))), "{kept:?}");
    }
    assert_eq!(founders.len(), 1, "one founds the cluster: {founders:?}");
    invited.insert(founders.remove(0));
    assert_eq!(invited, nodes, "and invites all others");
    let exposed = read("Dockerfile");
    let exposed = exposed.lines().find_map(|line| line.strip_prefix("EXPOSE ")).expect("EXPOSE");
    let exposed: BTreeSet<u16> = exposed.split(' ').map(|p| p.parse().expect("a port")).collect();
    for node in spec.nodes.values() {
        let ports = [
            node.rw_port,
            node.ro_port,
            node.any_port,
            node.peer_port,
            node.postgres_port,
            node.http_port,
            node.store_port,
            node.store_peer_port,
        ];
        assert_eq!(exposed, ports.into());
    }
}

/// Each command that the files tell somebody to type, or type themselves, is one of the binary's.
#[test]
fn every_command_is_one_of_the_binarys() {
    let site = Site::new();
    let mut tried = 0;
    for name in ["compose.yaml", "entrypoint.sh", "Dockerfile"] {
        for line in read(name).lines() {
            let Some((before, rest)) = line.split_once("howdah ") else { continue };
            let starts = before.is_empty() || before.ends_with([' ', '`', '(']);
            let words: Vec<&str> = rest.split_whitespace().collect();
            let is_verb = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            let Some(verb) = words.first().filter(|word| starts && is_verb(word)) else { continue };
            let prose = before.trim_start().starts_with('#') && !before.contains("exec");
            if prose || before.contains("mkdir") || before.contains("--package") {
                continue;
            }
            let nested = words.get(1).filter(|word| is_verb(word) && *verb == "token");
            let help =
                [&[*verb][..], nested.map(std::slice::from_ref).unwrap_or_default(), &["--help"]];
            let help = site.ok(&help.concat());
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(help.contains(flag), "{name}: `{flag}` in `{line}`\n{help}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 6, "the commands were not found: {tried}");
}

/// The entrypoint, played through with a `howdah` that only writes down what it was told.
#[test]
fn the_entrypoint_founds_or_joins_once() {
    let site = Site::new();
    let script = read("entrypoint.sh");
    for variable in ["HOWDAH_NODE", "HOWDAH_INVITE"] {
        assert!(script.contains(variable), "{variable}");
    }
    let place = |name: &str| site.path(name).display().to_string();
    fs::create_dir_all(site.path("base/tls")).expect("a folder");
    fs::create_dir_all(site.path("tokens")).expect("a folder");
    fs::create_dir_all(site.path("bin")).expect("a folder");
    // Where it would lie in a container.
    let script = script
        .replace("/var/lib/howdah/demo", &place("base"))
        .replace("/run/howdah-tokens", &place("tokens"))
        .replace("sleep 2", "sleep 0.05");
    fs::write(site.path("entrypoint.sh"), script).expect("write");
    let said = place("said");
    let howdah = format!(
        "#!/bin/sh\necho \"$*\" >> {said}\n\
         case $1 in\n\
         prepare) touch {base}/tls/db1.crt ;;\n\
         token) echo howdah join word-of-$3 ;;\n\
         join) cat >> {said}; touch {base}/tls/db2.crt ;;\n\
         esac\n",
        base = place("base")
    );
    fs::write(site.path("bin/howdah"), howdah).expect("write");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(site.path("bin/howdah"), executable).expect("chmod");
    let start = |node: &str, invite: &str| {
        fs::remove_file(&said).ok();
        let path = format!("{}:{}", place("bin"), std::env::var("PATH").expect("PATH"));
        let done = std::process::Command::new("sh")
            .arg(site.path("entrypoint.sh"))
            .env("PATH", path)
            .env("HOWDAH_NODE", node)
            .env("HOWDAH_INVITE", invite)
            .status();
        assert!(done.expect("sh").success(), "{node}");
        fs::read_to_string(&said).expect("what it did")
    };
    let run = |node: &str| format!("run --node {node} --file {}/howdah.toml\n", place("base"));
    let first = start("db1", "db2 db3");
    assert!(first.starts_with("prepare --node db1 --file /etc/howdah/howdah.toml\n"), "{first}");
    assert!(first.contains("token create db3 --valid 1d"), "{first}");
    assert!(first.ends_with(&run("db1")), "{first}");
    assert_eq!(crate::rig::mode(&site.path("tokens/db2")), 0o600);
    let joined = start("db2", "");
    let wanted = format!("join - --node db2\nhowdah join word-of-db2\n{}", run("db2"));
    assert_eq!(joined, wanted);
    assert!(!site.path("tokens/db2").exists(), "a token that is used lies nowhere");
    assert_eq!(start("db2", ""), run("db2"), "and once is enough");
    assert_eq!(start("db1", "db2 db3"), run("db1"));
}
