//! The units of systemd: written, judged by systemd itself where it is installed, taken back.

use std::fs;
use std::process::Command;

use howdah_base::record::ServerState;

use crate::rig::{Site, text};

#[test]
fn units_are_written_verified_and_removed() {
    let site = Site::new();
    let root = site.path("root");
    let at = root.display().to_string();
    let (file, words) = (site.file(), ["install", "--node", "n1"]);
    let shown = site.ok(&[&words[..], &["--dry-run", "-f", &file]].concat());
    assert!(!root.exists() && !site.base(1).exists(), "--dry-run changes nothing");
    assert!(shown.contains("ExecStart=") && shown.contains("KillMode=process"), "{shown}");

    let said = site.refused(&[&words[..], &["--root", &at, "-f", &file]].concat());
    assert!(said.contains("--copy"), "this binary is in nobody's trusted folder: {said}");
    let wrote = site.ok(&[&words[..], &["--copy", "--root", &at, "-f", &file]].concat());
    assert!(root.join("usr/local/bin/howdah").exists(), "{wrote}");
    assert!(site.base(1).join("tls/n1.crt").exists(), "folders and keys are made");
    let folder = root.join("etc/systemd/system");
    let names = ["howdah-test@.service", "howdah-test-certs.service", "howdah-test-certs.timer"];
    for name in names {
        assert!(folder.join(name).exists(), "{name}\n{wrote}");
    }
    let unit = fs::read_to_string(folder.join(names[0])).expect("a unit");
    let start = format!("run --node %i --file {}", site.resolved(1));
    assert!(unit.contains(&start), "{unit}");
    if !verify(&root) {
        eprintln!("systemd-analyze is not installed: the units were not verified");
    }

    site.ok(&["install", "--uninstall", "--root", &at, "-f", &file]);
    assert_eq!(fs::read_dir(&folder).expect("folder").count(), 0);
    assert!(site.base(1).join("tls/n1.crt").exists(), "data stays");
}

/// systemd reads what was written; it complains about what it does not know.
fn verify(root: &std::path::Path) -> bool {
    let folder = root.join("etc/systemd/system");
    // It looks for programs in the system's own tree.
    let program = root.join("usr/local/bin/howdah").display().to_string();
    for name in ["howdah-test@.service", "howdah-test-certs.service"] {
        let path = folder.join(name);
        let unit = fs::read_to_string(&path).expect("a unit");
        fs::write(&path, unit.replace("/usr/local/bin/howdah", &program)).expect("write");
    }
    fs::copy(folder.join("howdah-test@.service"), folder.join("howdah-test@n1.service"))
        .expect("an instance");
    let files = ["howdah-test@n1.service", "howdah-test-certs.service", "howdah-test-certs.timer"];
    let done = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(files.map(|name| folder.join(name)))
        .output();
    fs::remove_file(folder.join("howdah-test@n1.service")).expect("removed");
    let Ok(done) = done else { return false };
    let said = text(&done.stderr);
    assert!(done.status.success(), "{said}");
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("howdah-test")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    true
}

/// What the unit's restart does to the node: another agent, the same server, no other leader.
#[test]
fn an_agent_that_leaves_is_followed_by_another_and_nobody_notices() {
    let site = Site::prepared();
    let agent = site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    let postmaster = || {
        let path = site.base(1).join("nodes/n1/data/postmaster.pid");
        fs::read_to_string(path).expect("a server").lines().next().map(str::to_owned)
    };
    let (server, term) = (postmaster(), site.status(1).expect("a status").term);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(agent), nix::sys::signal::Signal::SIGUSR2)
        .expect("a signal");
    assert_eq!(site.wait_for_end(agent).code(), Some(75), "the unit starts another then");
    assert_eq!(postmaster(), server, "the server goes on without an agent");
    site.run("n1", 1);
    site.wait_for("n1", ServerState::Primary);
    assert_eq!(postmaster(), server);
    assert_eq!(site.status(1).expect("a status").term, term, "and nobody took over");
}

/// `systemctl` is played by a script: what it says of the job decides which signal is sent.
#[test]
fn a_restart_leaves_the_server_and_a_stop_does_not() {
    let site = Site::new();
    let bin = site.path("bin");
    fs::create_dir(&bin).expect("a folder");
    let unit = "howdah-test@n1.service";
    for (job, wanted) in [("restart", "12"), ("stop", "15"), ("", "15")] {
        let script = format!("#!/bin/sh\necho '17 {unit} {job} running'\n");
        fs::write(bin.join("systemctl"), script).expect("write");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(bin.join("systemctl"), executable).expect("chmod");
        // A process that tells by its exit code which signal it got. It is not our child, so that
        // nobody has to collect it before it is gone.
        let heard = site.path("heard");
        fs::remove_file(&heard).ok();
        let script = "trap 'echo 12 > heard; exit' USR2; trap 'echo 15 > heard; exit' TERM; \
                      echo $$ > pid; while :; do sleep 0.05; done";
        fs::remove_file(site.path("pid")).ok();
        let outer = format!("({script}) > /dev/null 2>&1 &").replace("$$", "$(sh -c 'echo $PPID')");
        let started = Command::new("sh")
            .args(["-c", &outer])
            .current_dir(site.path(""))
            .status()
            .expect("sh");
        assert!(started.success());
        let pid = site.wait("the process runs", || {
            let pid = fs::read_to_string(site.path("pid")).ok()?;
            pid.ends_with('\n').then(|| pid.trim().to_owned())
        });
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH"));
        let done = Command::new(crate::rig::BINARY)
            .args(["unit-stop", "--unit", unit, &format!("--pid={pid}")])
            .env("PATH", path)
            .output()
            .expect("unit-stop");
        assert!(done.status.success(), "{}", text(&done.stderr));
        let got = site.wait("a signal arrived", || {
            let got = fs::read_to_string(&heard).ok()?;
            got.ends_with('\n').then(|| got.trim().to_owned())
        });
        assert_eq!(got, wanted, "{job}");
    }
    let gone = site.howdah(&["unit-stop", "--unit", unit, "--pid="]);
    assert!(gone.status.success(), "a node that has ended needs no signal");
}
