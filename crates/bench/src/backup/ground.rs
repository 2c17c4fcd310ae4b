//! The server that is backed up: one node of Howdah's, with pgbench's tables and one of text.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use howdah_testkit::{Cluster, Node};

use super::spent;
use super::tools::size_of;
use crate::howdah::binary;

/// A running cluster of one node with a repository.
#[derive(Debug)]
pub struct Ground {
    pub cluster: Cluster,
    binary: PathBuf,
}

/// Words of PostgreSQL's own descriptions, which compress as text does.
const TEXT: &str = "create table notes as with words as materialized (select array_agg(word) w from \
    (select distinct regexp_split_to_table(description, '[^A-Za-z]+') word from pg_description) d) \
    select g id, (select string_agg(w[1 + (random() * (cardinality(w) - 1))::int + 0 * n], ' ') \
    from generate_series(1, 70 + g % 20) n) body from words, generate_series(1, $ROWS) g";

impl Ground {
    /// `scale` is pgbench's; the text has a fifth of its bytes.
    pub fn start(scale: u32) -> Result<Ground> {
        let binary = binary()?;
        let setup = Cluster::of(1, binary.clone());
        let cluster = setup.set("backup", "repository", "\"archive/bench\"").start();
        let ground = Ground { cluster, binary };
        let rows = u64::from(scale) * 5_000;
        let scale = scale.to_string();
        run(ground
            .as_postgres("pgbench")
            .args(["-i", "-q", "-s", &scale, "-F", "90", "postgres"]))?;
        ground.sql(&TEXT.replace("$ROWS", &rows.to_string()))?;
        ground.sql("vacuum analyze")?;
        ground.sql("checkpoint")?;
        Ok(ground)
    }

    pub fn node(&self) -> &Node {
        self.cluster.primary()
    }

    /// Without a bound in time.
    fn sql(&self, sql: &str) -> Result<()> {
        run(self.as_postgres("psql").args(["-Xqc", sql, "postgres"]))
    }

    /// A program that talks to the server as its own user, over its Unix socket.
    pub fn as_postgres(&self, program: &str) -> Command {
        let node = self.node();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", program]);
        command.env("PGHOST", node.state_dir.join("run")).env("PGUSER", "postgres");
        command.env("PGPORT", node.ports.postgres.to_string()).current_dir("/");
        command
    }

    pub fn binary(&self) -> &Path {
        &self.binary
    }

    pub fn repository(&self) -> PathBuf {
        self.cluster.scratch().join("archive/bench")
    }

    /// Bytes of the data directory without WAL.
    pub fn bytes(&self) -> Result<u64> {
        let sql = "select sum(pg_database_size(oid))::bigint from pg_database";
        Ok(self.node().sql(sql)?.trim().parse()?)
    }

    /// The processor time that its agent has had so far.
    pub fn agent(&self) -> Result<Duration> {
        let end = Instant::now() + Duration::from_secs(2);
        loop {
            // It is looked for among all processes, which come and go meanwhile.
            match self.node().agent_pid() {
                Some(process) => return spent::of_process(process),
                None => ensure!(Instant::now() < end, "the node has no agent"),
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// What an agent spends that has nothing to do, a second.
    pub fn idle(&self) -> Result<Duration> {
        const SECONDS: u32 = 10;
        self.calm()?;
        let before = self.agent()?;
        sleep(Duration::from_secs(SECONDS.into()));
        Ok(self.agent()?.saturating_sub(before) / SECONDS)
    }

    /// Waits until its agent has shipped all WAL and put it together: what was written before a row, by the
    /// other tool's backup too, is not that row's.
    pub fn calm(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(120);
        let (mut size, mut spent, mut since) = (0, Duration::ZERO, Instant::now());
        while since.elapsed() < Duration::from_secs(3) {
            ensure!(Instant::now() < end, "the agent still writes to its repository after 120 s");
            let now = size_of(&self.repository());
            let had = self.agent()?;
            if now != size || had.saturating_sub(spent) > Duration::from_millis(100) {
                (size, spent, since) = (now, had, Instant::now());
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// A row on each hundredth page: the first that lives there, for those of an earlier round are dead.
    pub fn update_spread(&self) -> Result<()> {
        let sql = "do $$ declare pages bigint = pg_relation_size('pgbench_accounts') / 8192; changed bigint; \
                   begin update pgbench_accounts set abalance = abalance + 1 where ctid = any (array(select \
                   (select ctid from pgbench_accounts where ctid >= format('(%s,0)', page)::tid \
                   and ctid < format('(%s,0)', page + 1)::tid limit 1) \
                   from generate_series(0, pages - 1, 100) page)); \
                   get diagnostics changed = row_count; \
                   if changed < pages / 200 then raise 'only % rows on % pages', changed, pages; end if; end $$";
        self.sql(sql)?;
        self.sql("checkpoint")?;
        Ok(())
    }

    /// One row of a hundred, wherever it is.
    pub fn update_random(&self) -> Result<()> {
        let sql = "update pgbench_accounts set abalance = abalance + 1 where random() < 0.01";
        self.sql(sql)?;
        self.sql("checkpoint")?;
        Ok(())
    }

    /// Segments that are complete, the oldest first; so many are written first.
    pub fn segments(&self, count: usize) -> Result<Vec<PathBuf>> {
        for _ in 0..=count {
            self.sql("insert into notes select -id, body from notes limit 30000")?;
            self.sql("select pg_switch_wal()")?;
        }
        let sql = "select string_agg(name, ' ' order by name desc) from pg_ls_waldir() \
                   where length(name) = 24 and name < pg_walfile_name(pg_current_wal_lsn())";
        let node = self.node();
        let names = node.sql(sql)?;
        let mut newest: Vec<_> = names.split(' ').take(count).collect();
        newest.reverse();
        Ok(newest.into_iter().map(|name| node.data_dir.join("pg_wal").join(name)).collect())
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
