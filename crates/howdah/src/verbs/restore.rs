//! `howdah restore`: a backup and WAL, to a moment, into a directory. The plan is printed first, and what
//! cannot be reached is refused before anything is touched.

use std::path::{Path, PathBuf};

use howdah_archive::restore::write::{Action, Destination, Over, check};
use howdah_base::NodeName;

use crate::archive::door;
use crate::facts;
use crate::file::{self, ClusterFile, FileArg};
use crate::moment::{self, Asked, What};
use crate::prepare::{account, make_owned_dir};
use crate::restoring::alone::{self, Beginning};
use crate::restoring::target::{MomentArgs, TARGETS};
use crate::restoring::{Planned, carry_out, planned};
use crate::talk::{out, say};

/// Restore a backup to a moment: into an empty directory, over a damaged one, or the whole running cluster
#[derive(clap::Args, Debug)]
#[command(after_help = TARGETS)]
pub struct Args {
    #[command(flatten)]
    moment: MomentArgs,
    /// The data directory; empty, or not there yet
    #[arg(long, value_name = "DIR", required_unless_present = "cluster")]
    into: Option<PathBuf>,
    #[command(flatten)]
    whole: ClusterArgs,
    /// Over a data directory of this cluster, or a restore that was interrupted: what is right in it
    /// stays, what is not in the backup is removed
    #[arg(long)]
    delta: bool,
    /// With --delta: also where pg_control cannot be read, and nobody knows whose directory it is
    #[arg(long, requires = "delta")]
    force: bool,
    /// A tablespace goes elsewhere: OLD=NEW, two folders
    #[arg(long, value_name = "OLD=NEW")]
    tablespace: Vec<String>,
    /// What the server does when it is there
    #[arg(long, value_enum, default_value = "promote")]
    then: Then,
    /// Print the plan, and touch nothing
    #[arg(long)]
    dry_run: bool,
    /// Of this lineage [default: this cluster's]
    #[arg(long)]
    lineage: Option<String>,
    #[command(flatten)]
    file: FileArg,
    /// Recover, and make it the beginning of the cluster whose file is `--of`, as this node
    #[arg(long, hide = true, requires = "of", conflicts_with = "delta")]
    as_node: Option<NodeName>,
    #[arg(long, hide = true)]
    of: Option<PathBuf>,
    /// The cluster that it was goes on to live
    #[arg(long, hide = true)]
    clone: bool,
}

/// The running cluster itself.
#[derive(clap::Args, Debug)]
struct ClusterArgs {
    /// Not into a directory: take the whole running cluster there. The old data is kept
    #[arg(long, conflicts_with_all = ["into", "delta", "tablespace", "lineage"])]
    cluster: bool,
    /// With --cluster: remove the data that the last one has kept
    #[arg(long, requires = "cluster", conflicts_with_all = ["undo", "go_on"])]
    confirm: bool,
    /// With --cluster: go back to the data that the last one has kept
    #[arg(long, requires = "cluster", conflicts_with = "go_on")]
    undo: bool,
    /// With --cluster: finish a switch-over that was interrupted
    #[arg(long = "continue", requires = "cluster")]
    go_on: bool,
    /// With --cluster: do not ask
    #[arg(short, long, requires = "cluster")]
    yes: bool,
}

impl ClusterArgs {
    fn what(&self) -> What {
        match (self.confirm, self.undo, self.go_on) {
            (true, ..) => What::Confirm,
            (_, true, _) => What::Undo,
            (.., true) => What::Continue,
            _ => What::To,
        }
    }
}

/// `recovery_target_action`.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Then {
    Promote,
    Pause,
    Shutdown,
}

impl Args {
    fn over(&self) -> Over {
        match self.delta {
            _ if self.as_node.is_some() => Over::Interrupted,
            true => Over::Directory { force: self.force },
            false => Over::Nothing,
        }
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    crate::talk::warnings();
    let file = args.file.load_for_backups()?;
    let Some(into) = args.into.as_ref().filter(|_| !args.whole.cluster) else {
        let (dry_run, yes) = (args.dry_run, args.whole.yes);
        let asked = Asked { what: args.whole.what(), moment: &args.moment, dry_run, yes };
        return moment::run(file, &asked);
    };
    let of = args.of.as_deref().map(file::load).transpose()?;
    let begins = of.as_ref().zip(args.as_node.as_ref());
    let data_dir = std::path::absolute(into)?;
    alone::check_still(of.as_ref().unwrap_or(&file), &data_dir)?;
    let (planned, destination) = door::runtime()?.block_on(prepare(args, &file, &data_dir))?;
    if args.dry_run {
        return Ok(());
    }
    let server = account::server_account(&of.as_ref().unwrap_or(&file).spec.run_as)?;
    if !data_dir.exists() {
        make_owned_dir(&data_dir, 0o700, &server)?;
    }
    server.become_for_good()?;
    let _no_node_starts = alone::hold(of.as_ref().unwrap_or(&file), &data_dir)?;
    door::runtime()?.block_on(async {
        let lineage = door::lineage(&file, args.lineage.as_deref()).await?;
        carry_out(&lineage, &planned, &destination, args.over()).await?;
        if let Some((of, node)) = begins {
            let data_dir = &data_dir;
            let to = Beginning { file: of, node, data_dir, clone: args.clone };
            alone::begin(&to, &lineage).await?;
        }
        anyhow::Ok(())
    })?;
    if begins.is_none() {
        out(format!("restored into `{}`", into.display()));
        let (then, to) = (args.then, &args.moment.to);
        say(start_hint(&file, &destination.data_dir, then, to));
    }
    Ok(())
}

/// Prints the plan, and looks whether it can be carried out; nothing is touched.
async fn prepare(
    args: &Args,
    file: &ClusterFile,
    data_dir: &Path,
) -> anyhow::Result<(Planned, Destination)> {
    let lineage = door::lineage(file, args.lineage.as_deref()).await?;
    let planned = planned(&lineage, args.moment.wish()?).await?;
    if args.as_node.is_none() {
        out(planned.shown(&args.moment.to, data_dir).trim_end());
        if args.delta {
            out("              what is right there stays, what is not in the backup goes");
        }
    }
    let action = match args.then {
        Then::Promote => Action::Promote,
        Then::Pause => Action::Pause,
        Then::Shutdown => Action::Shutdown,
    };
    let destination = Destination {
        data_dir: data_dir.to_owned(),
        tablespaces: planned.tablespaces(&args.tablespace)?,
        jobs: usize::try_from(door::backup(file)?.jobs)?,
        recovery: planned.recovery(file, &lineage, action)?,
    };
    check(&lineage, &planned.label, &destination, args.over()).await?;
    Ok((planned, destination))
}

/// It is a server's directory with the cluster's configuration, and must not come up as one of its
/// nodes: a port, a socket, a log and a size of its own. Nobody is let in before the target: a `pg_dump`
/// that comes early would take a table as it was on the way there, and pg_ctl does not wait for that.
/// Where it is to pause at the target it could not be looked at otherwise.
fn start_hint(file: &ClusterFile, data_dir: &Path, then: Then, to: &str) -> String {
    let bin = facts::install(&file.spec, data_dir).map(|install| install.bin_dir);
    let bin = bin.unwrap_or_default();
    let pg_ctl = format!("{} -D {}", bin.join("pg_ctl").display(), data_dir.display());
    let ready = format!("{} -h /tmp -p 5999", bin.join("pg_isready").display());
    let runs = format!("{pg_ctl} status >/dev/null");
    let (early, wait) = match then {
        // The end of all WAL is no target to PostgreSQL.
        Then::Pause if to != "latest" => ("on", PAUSES.to_owned()),
        Then::Pause | Then::Promote => {
            let wait = format!("until {ready} || ! {runs}; do sleep 1; done");
            ("off", format!("then wait until it is there; it lets nobody in before: {wait}"))
        }
        Then::Shutdown => {
            ("off", format!("then wait until it has ended: while {runs}; do sleep 1; done"))
        }
    };
    format!(
        "hint: as user {}: {pg_ctl} -w -l {LOG} -o \"-p 5999 -k /tmp -c listen_addresses= \
         -c hot_standby={early} -c shared_buffers=128MB -c ssl=off -c synchronous_standby_names= \
         -c logging_collector=off -c max_logical_replication_workers=0 \
         -c cron.launch_active_jobs=off\" start\nhint: {wait}",
        file.spec.run_as,
    )
}

const LOG: &str = "/tmp/restored.log";
const PAUSES: &str = "it answers before it is there; `select pg_get_wal_replay_pause_state()` \
                      says `paused` once it is";
