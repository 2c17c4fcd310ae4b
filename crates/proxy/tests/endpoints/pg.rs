//! A PostgreSQL of the test's own, which lets in only who comes from the proxy's address.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use howdah_testkit::PortLease;

const BIN: &str = "/usr/lib/postgresql/15/bin";
pub const PASSWORD: &str = "secret";

/// One running server with the superuser `app`; stopped and removed when dropped.
pub struct Pg {
    pub dir: PathBuf,
    pub port: u16,
    _ports: PortLease,
}

impl Pg {
    pub fn start() -> Pg {
        let mut ports = PortLease::take();
        let port = ports.next_port();
        let dir = std::env::temp_dir().join(format!("howdah-proxy-{}-{port}", std::process::id()));
        fs::create_dir(&dir).expect("a new directory");
        fs::write(dir.join("password"), PASSWORD).expect("the password file");
        Command::new("chown").args(["-R", "postgres"]).arg(&dir).status().expect("chown");
        let pg = Pg { dir, port, _ports: ports };
        let password = pg.dir.join("password").display().to_string();
        pg.run("initdb", &["-N", "-U", "app", "-A", "scram-sha-256", "--pwfile", &password]);
        let rule = "hostnossl all,replication all 127.72.68.1/32 scram-sha-256\n";
        fs::write(pg.data().join("pg_hba.conf"), rule).expect("pg_hba.conf");
        pg.boot();
        pg
    }

    /// A second server with the same content.
    pub fn copy(&self) -> Pg {
        let mut ports = PortLease::take();
        let port = ports.next_port();
        let name = format!("howdah-proxy-{}-{port}", std::process::id());
        let pg = Pg { dir: self.dir.with_file_name(name), port, _ports: ports };
        self.run("pg_ctl", &["stop", "-w", "-m", "fast"]);
        let copied = Command::new("cp").arg("-a").args([&self.dir, &pg.dir]).status();
        assert!(copied.expect("cp").success());
        self.boot();
        pg.boot();
        pg
    }

    /// From now on it lets in others too, by this line of `pg_hba.conf`.
    pub fn lets_in(&self, rule: &str) {
        let path = self.data().join("pg_hba.conf");
        let rules = fs::read_to_string(&path).expect("pg_hba.conf");
        fs::write(path, format!("{rules}{rule}\n")).expect("pg_hba.conf");
        self.run("pg_ctl", &["stop", "-w", "-m", "fast"]);
        self.boot();
    }

    /// From now on it is a standby that follows nobody.
    pub fn stands_by(&self) {
        fs::write(self.data().join("standby.signal"), "").expect("standby.signal");
        self.run("pg_ctl", &["stop", "-w", "-m", "fast"]);
        self.boot();
    }

    fn boot(&self) {
        let options = format!(
            "-c port={} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off",
            self.port
        );
        let log = self.dir.join("log").display().to_string();
        self.run("pg_ctl", &["start", "-w", "-o", &options, "-l", &log]);
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn run(&self, program: &str, args: &[&str]) {
        let output = Command::new("runuser")
            .args(["-u", "postgres", "--"])
            .arg(Path::new(BIN).join(program))
            .arg("-D")
            .arg(self.data())
            .args(args)
            .current_dir("/tmp")
            .output()
            .expect("runuser");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {args:?}: {said}");
    }
}

impl Drop for Pg {
    fn drop(&mut self) {
        self.run("pg_ctl", &["stop", "-w", "-m", "immediate"]);
        fs::remove_dir_all(&self.dir).expect("the directory is removed");
    }
}
