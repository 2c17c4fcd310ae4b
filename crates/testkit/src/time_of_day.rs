//! A node's own time of day, set forward and back while it runs: a small library in front of libc
//! answers for the clock (`time_of_day.c`). The clocks that only run on stay as they are.
//!
//! Why not libfaketime: its shared memory is root's, whom servers are not, and stays when they are
//! killed.
//!
//! The agent and the guard get it by their environment; PostgreSQL, which Howdah starts with one of
//! its own, by a script in the place of `postgres`.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a node's processes are started with so that their time of day can be set.
#[derive(Debug)]
pub(crate) struct TimeOfDay {
    library: PathBuf,
    off: PathBuf,
}

impl TimeOfDay {
    /// Of a node below `dir`, where [`prepare`] has been; it begins with the true time.
    #[track_caller]
    pub(crate) fn of(dir: &Path, node: &str) -> TimeOfDay {
        let off = dir.join(node);
        fs::write(&off, 0_i64.to_ne_bytes()).expect("write how far the time is off");
        TimeOfDay { library: dir.join(LIBRARY), off }
    }

    /// Seconds that the node's time of day is ahead of the true one.
    #[track_caller]
    pub(crate) fn set(&self, seconds: i64) {
        let file = fs::OpenOptions::new().write(true).open(&self.off);
        let file = file.expect("open how far the time is off");
        file.write_all_at(&seconds.to_ne_bytes(), 0).expect("write how far the time is off");
    }

    pub(crate) fn put_into(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env(OFF, &self.off);
    }
}

/// Compiles the library into `dir`; gives the directory of PostgreSQL's programs to be used.
#[track_caller]
pub(crate) fn prepare(dir: &Path, programs: &Path) -> PathBuf {
    let ours = dir.join("bin");
    fs::create_dir_all(&ours).expect("make a directory for programs");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(dir.join(LIBRARY));
    compile.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/time_of_day.c"));
    let compiled = compile.output().expect("run `cc`");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    for entry in fs::read_dir(programs).expect("list PostgreSQL's programs").flatten() {
        symlink(entry.path(), ours.join(entry.file_name())).expect("link a program");
    }
    let script = ours.join("postgres");
    fs::remove_file(&script).expect("take the link to `postgres` away");
    fs::write(&script, postgres(dir, &programs.join("postgres"))).expect("write `postgres`");
    let may_run = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&script, may_run).expect("let `postgres` run");
    ours
}

/// It knows its node by the data directory among its arguments.
fn postgres(dir: &Path, program: &Path) -> String {
    let (dir, program) = (dir.display(), program.display());
    format!(
        "#!/bin/sh\n\
         for argument; do\n\
         \x20   case $argument in */nodes/*/data) node=${{argument%/data}}; node=${{node##*/}} ;; esac\n\
         done\n\
         if [ -n \"$node\" ]; then\n\
         \x20   export LD_PRELOAD={dir}/{LIBRARY} {OFF}={dir}/$node\n\
         fi\n\
         exec {program} \"$@\"\n"
    )
}

const LIBRARY: &str = "time_of_day.so";
const OFF: &str = "HOWDAH_TEST_TIME_OFF";
