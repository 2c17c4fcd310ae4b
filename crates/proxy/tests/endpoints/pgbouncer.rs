//! Debian's PgBouncer, run by hand for a comparison.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::pg::{PASSWORD, Pg};
use crate::rig::until;

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// Ended when dropped. `app` may command and log in everywhere.
pub struct PgBouncer {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl PgBouncer {
    /// In front of this server, with pools of two servers.
    pub async fn start(pg: &Pg) -> PgBouncer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its number").port();
        drop(listener);
        let dir = pg.dir.join("pgbouncer");
        fs::create_dir(&dir).expect("a new directory");
        let users = dir.join("users");
        fs::write(&users, format!("\"app\" \"{PASSWORD}\"\n\"other\" \"\"\n")).expect("the users");
        let ini = format!(
            "[databases]\npostgres = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
             admin_users = app\nstats_users = watcher\npool_mode = transaction\n\
             default_pool_size = 2\n",
            pg.port,
            users.display()
        );
        fs::write(dir.join("pgbouncer.ini"), ini).expect("the ini");
        Command::new("chown").args(["-R", "postgres"]).arg(&dir).status().expect("chown");
        let child = Command::new("setpriv")
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", PROGRAM, "-q"])
            .arg(dir.join("pgbouncer.ini"))
            .current_dir("/tmp")
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv, and PgBouncer (`scripts/setup.sh test` installs it)");
        let own = PgBouncer { child, dir, port };
        until("PgBouncer listens", async || match TcpStream::connect(own.address()) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        })
        .await;
        own
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
