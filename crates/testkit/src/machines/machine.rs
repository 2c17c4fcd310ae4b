//! One machine: a namespace and its processes. Files are not apart: a test gives each machine
//! directories of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ip;
use crate::process::{self, Process};

/// A machine of [`super::Machines`].
#[derive(Debug)]
pub struct Machine {
    pub name: String,
    pub address: Ipv4Addr,
    /// The other end of its cable, in the switch.
    pub(super) port: String,
    space: Space,
}

impl Machine {
    pub(super) fn new(name: &str, address: Ipv4Addr, port: &str, space: Space) -> Machine {
        Machine { name: name.to_owned(), address, port: port.to_owned(), space }
    }

    pub fn space(&self) -> &Space {
        &self.space
    }

    /// A program that will run on this machine, with nothing on its standard input.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.space.command(program)
    }

    /// Everything that runs on it.
    pub fn processes(&self) -> Vec<Process> {
        self.space.processes()
    }

    /// SIGKILL to everything on it, until nothing is left: the power is cut.
    #[track_caller]
    pub fn kill_all(&self) {
        let what = format!("every process on {} is gone", self.name);
        process::kill_until_none(&what, || self.processes());
    }
}

/// A network namespace, by its name in `/run/netns`.
#[derive(Clone, Debug)]
pub struct Space {
    name: String,
}

impl Space {
    pub(super) fn named(name: &str) -> Space {
        Space { name: name.to_owned() }
    }

    pub(super) fn add(name: &str) -> Option<Space> {
        ip(&format!("netns add {name}")).then(|| Space::named(name))
    }

    pub(super) fn delete(&self) {
        ip(&format!("netns del {}", self.name));
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// `ip` in it, which must succeed.
    #[track_caller]
    pub(super) fn ip(&self, words: &str) {
        assert!(ip(&format!("-n {} {words}", self.name)), "`ip {words}` in {}", self.name);
    }

    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command.stdin(Stdio::null());
        command
    }

    /// Moves the calling thread, and what it starts from now on, into it.
    #[track_caller]
    pub fn enter(&self) {
        let file = File::open(self.path()).expect("the namespace");
        nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET).expect("enter it");
    }

    /// Runs `work` on a thread in it.
    #[track_caller]
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let entered = || {
            self.enter();
            work()
        };
        std::thread::scope(|scope| scope.spawn(entered).join()).expect("the work in a namespace")
    }

    /// Whose network this is, this process itself excepted: a thread of it may be here.
    pub(super) fn processes(&self) -> Vec<Process> {
        let Ok(meta) = fs::metadata(self.path()) else { return Vec::new() };
        let wanted = format!("net:[{}]", meta.ino());
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let is_here = |process: &Process| {
            let link = fs::read_link(format!("/proc/{}/ns/net", process.pid));
            process.pid != own && link.is_ok_and(|link| link.as_os_str() == wanted.as_str())
        };
        process::all().into_iter().filter(is_here).collect()
    }
}
