//! `howdah recover`: nothing is left but the repository and its key, and the cluster is back.
//!
//! ```text
//! repository ─► its lineage ─► cluster file ─► plan ─► base_dir, keys ─► restore, recovery ─► up
//! ```
//! The machines that are gone may not be gone: the cluster that comes back begins a lineage of its own, and
//! writes nothing into that of the old one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use howdah_api::when;
use howdah_archive::restore::write::{Action, Destination, Over, check};
use howdah_base::NodeName;
use howdah_repo::name::LineageId;
use howdah_repo::storage::S3Options;
use howdah_repo::{Address, KeySource, Lineage, RepoError, Storage, StorageOptions};
use howdah_spec::{NodeKind, SecretRef};

use crate::archive::{door, lineages};
use crate::ask::known_node;
use crate::facts;
use crate::failure::Failure;
use crate::file::{self, ClusterFile};
use crate::prepare::{
    Caller, Layout, account, here, make_base, make_dir, passwords, prepare, secret,
};
use crate::restoring::kept::{self, Changes};
use crate::restoring::target::{MomentArgs, TARGETS};
use crate::restoring::{Planned, planned};
use crate::talk::{out, say};

/// Bring a cluster back on an empty machine, from its repository and the key
#[derive(clap::Args, Debug)]
#[command(after_help = TARGETS)]
pub struct Args {
    /// Its repository: a directory, or s3://bucket/prefix; the keys of S3 come from AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY
    #[arg(value_name = "REPOSITORY")]
    repository: String,
    /// The file with the repository's key; without one it is not sealed
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Of several clusters in the repository, this one
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Of several that were called so, this one
    #[arg(long)]
    lineage: Option<LineageId>,
    /// Which node this machine is [default: the first that has an address of it]
    #[arg(long, value_name = "NODE")]
    node: Option<NodeName>,
    /// Where the cluster is to lie [default: where it lay]
    #[arg(long, value_name = "DIR")]
    base_dir: Option<PathBuf>,
    #[command(flatten)]
    moment: MomentArgs,
    /// A tablespace goes elsewhere: OLD=NEW, two folders
    #[arg(long, value_name = "OLD=NEW")]
    tablespace: Vec<String>,
    /// Go by this cluster file, not by the one that the repository keeps
    #[arg(long = "use", value_name = "FILE")]
    instead: Option<PathBuf>,
    /// Print the cluster file that the repository keeps, and do nothing else
    #[arg(long)]
    print_file: bool,
    /// Print the plan, and touch nothing
    #[arg(long)]
    dry_run: bool,
    /// Start nothing when it is there
    #[arg(long)]
    no_start: bool,
    #[command(flatten)]
    s3: S3Args,
}

/// What an `s3://` needs that is not Amazon's.
#[derive(clap::Args, Debug)]
struct S3Args {
    /// Of a server that speaks S3, such as https://minio.example:9000
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    #[arg(long)]
    region: Option<String>,
    /// The bucket stands in the path, and not in the host's name [default: with an endpoint]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    path_style: Option<bool>,
    /// Who vouches for the endpoint, PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    crate::talk::warnings();
    let key = key(args)?;
    let place = place(args)?;
    let found = door::runtime()?.block_on(find(args, &place, &key))?;
    let Some((file, node, said, lineage)) = found else { return Ok(()) };
    if args.dry_run {
        said.iter().for_each(out);
        return Ok(());
    }
    make(args, &file, &node)?;
    said.iter().for_each(say);
    restore(args, &file, &node, lineage)?;
    start(args, &file, &node)
}

fn key(args: &Args) -> anyhow::Result<KeySource> {
    let Some(path) = &args.key_file else { return Ok(KeySource::None) };
    Ok(KeySource::File(std::path::absolute(path).context("find the working directory")?))
}

fn place(args: &Args) -> anyhow::Result<kept::Repository> {
    let text = &args.repository;
    let absolute = || -> anyhow::Result<String> {
        Ok(std::path::absolute(text.strip_prefix("file://").unwrap_or(text))?.display().to_string())
    };
    let text = if text.starts_with("s3://") { text.clone() } else { absolute()? };
    // As the storage takes them, written down: a node has another environment.
    let set = |names: [&str; 2]| {
        let mut values = names.into_iter().filter_map(|name| std::env::var(name).ok());
        values.find(|value| !value.is_empty())
    };
    let endpoint = || set(["AWS_ENDPOINT_URL", "AWS_ENDPOINT"]);
    let region = || set(["AWS_REGION", "AWS_DEFAULT_REGION"]);
    let endpoint = args.s3.endpoint.clone().or_else(endpoint);
    Ok(kept::Repository {
        address: text.parse::<Address>()?,
        // As in the cluster file.
        path_style: args.s3.path_style.unwrap_or(endpoint.is_some()),
        endpoint,
        region: args.s3.region.clone().or_else(region),
        ca: args.s3.ca.clone(),
    })
}

fn storage(place: &kept::Repository) -> anyhow::Result<Storage> {
    let s3 = S3Options {
        endpoint: place.endpoint.clone(),
        region: place.region.clone(),
        path_style: place.path_style,
        ca_file: place.ca.clone(),
        allow_http: place.endpoint.as_deref().is_some_and(|at| at.starts_with("http://")),
        ..S3Options::default()
    };
    Ok(Storage::open(&StorageOptions { s3, ..StorageOptions::at(place.address.clone()) })?)
}

type Found = (ClusterFile, NodeName, Vec<String>, LineageId);

/// The cluster and the way to the moment, printed; `None` when that was all. Nothing is touched.
async fn find(
    args: &Args,
    place: &kept::Repository,
    key: &KeySource,
) -> anyhow::Result<Option<Found>> {
    let repository = howdah_repo::Repository::open(storage(place)?, key).await;
    let repository = repository.map_err(|error| match error {
        RepoError::Absent { .. } => anyhow::Error::from(
            Failure::failed(format!("no repository is there: `{}`", place.address))
                .hint("is it mounted? is the prefix right?"),
        ),
        RepoError::Key { what, .. } if args.key_file.is_none() => {
            Failure::bad_input(what).hint("name the file with its key: --key-file").into()
        }
        other => other.into(),
    })?;
    let lineage = lineage(args, &repository).await?;
    let text = match &args.instead {
        Some(path) => file::read(path)?,
        None => lineage.cluster_file().await?.map(|(_, text)| text).ok_or_else(|| {
            Failure::failed("the repository keeps no cluster file of it")
                .hint("name one with --use")
        })?,
    };
    if args.print_file {
        out(text);
        return Ok(None);
    }
    let planned = planned(&lineage, args.moment.wish()?).await?;
    let base_dir = args.base_dir.as_deref().map(std::path::absolute).transpose()?;
    let node = node(args, &text, base_dir.as_deref())?;
    let changes = Changes {
        base_dir: base_dir.as_deref(),
        repository: place,
        node: &node,
        major: planned.about.postgres_version / 10_000,
        key: args.key_file.is_some(),
    };
    let (file, said) = kept::for_here(&text, &changes)?;
    let data_dir = &file.spec.nodes[&node].data_dir;
    out(format!("cluster       {}, as node {node} of it", file.spec.cluster));
    out(planned.shown(&args.moment.to, data_dir).trim_end());
    look(args, &file, &node, &lineage, &planned).await?;
    Ok(Some((file, node, said, lineage.id())))
}

/// To the second.
fn moment(unix_ms: i64) -> String {
    when::rfc3339(u64::try_from(unix_ms / 1000 * 1000).unwrap_or(0))
}

/// The only one that no other one has taken the place of.
async fn lineage(args: &Args, repository: &howdah_repo::Repository) -> anyhow::Result<Lineage> {
    if let Some(id) = args.lineage {
        return Ok(repository.lineage(id));
    }
    let all = match &args.cluster {
        Some(name) => lineages::named(repository, name).await?,
        None => lineages::all(repository).await?,
    };
    let all: Vec<&lineages::Named> = all.iter().collect();
    let newest = lineages::present(&all).await?;
    let mut listed = Vec::new();
    for (lineage, about) in &newest {
        let name = lineages::name_of(about).unwrap_or(&about.cluster);
        let at = lineages::newest_ms(lineage).await?;
        listed.push(format!("{} ({name}, written to last at {})", lineage.id(), moment(at)));
    }
    match newest[..] {
        [(lineage, _)] => {
            out(format!("lineage       {}", listed.concat()));
            Ok(lineage.clone())
        }
        [] => Err(Failure::failed("the repository has no such cluster").into()),
        _ => Err(Failure::bad_input("the repository has several clusters")
            .hint(format!("name one with --cluster or --lineage: {}", listed.join(", ")))
            .into()),
    }
}

/// Which one this machine becomes.
fn node(args: &Args, text: &str, base_dir: Option<&Path>) -> anyhow::Result<NodeName> {
    let spec = kept::read(Path::new("/howdah.toml"), text)?;
    if let Some(named) = &args.node {
        return Ok(known_node(&spec, named)?.0.clone());
    }
    let layout = Layout::new(base_dir.unwrap_or(&spec.base_dir));
    let here = here::here(&spec, &layout);
    let data = |name: &&NodeName| here.get(*name).is_some_and(|node| node.kind == NodeKind::Data);
    let first = spec.first_node.as_ref().filter(data).or_else(|| here.keys().find(data));
    first.cloned().ok_or_else(|| {
        Failure::bad_input("no node of the cluster has an address of this machine")
            .hint("--print-file > FILE, write its addresses into it, then --use FILE --node NODE")
            .into()
    })
}

/// Everything that would keep it from being done.
async fn look(
    args: &Args,
    file: &ClusterFile,
    node: &NodeName,
    lineage: &Lineage,
    planned: &Planned,
) -> anyhow::Result<()> {
    let own = &file.spec.nodes[node];
    // What this command has made, and not finished, it goes on with.
    let other = || std::fs::read_to_string(&file.path).is_ok_and(|text| text != file.text);
    if own.data_dir.join("howdah.json").exists() || other() {
        let what = format!("a cluster lies there already: `{}`", file.spec.base_dir.display());
        let hint =
            "howdah up, or howdah restore --delta; to begin anew, move it away, or --base-dir";
        return Err(Failure::refused(what).hint(hint).into());
    }
    facts::install(&file.spec, &own.data_dir)?;
    let destination = Destination {
        data_dir: own.data_dir.clone(),
        tablespaces: planned.tablespaces(&args.tablespace)?,
        jobs: 1,
        recovery: planned.recovery(file, lineage, Action::Promote)?,
    };
    Ok(check(lineage, &planned.label, &destination, Over::Interrupted).await?)
}

/// base_dir with all that belongs to a cluster, and the key.
fn make(args: &Args, file: &ClusterFile, node: &NodeName) -> anyhow::Result<()> {
    let layout = Layout::new(&file.spec.base_dir);
    let server = account::server_account(&file.spec.run_as)?;
    let invoker = account::invoker()?;
    let kept = layout.client_secrets();
    let own_key = file.spec.backup.as_ref().and_then(|backup| match &backup.key {
        Some(SecretRef::File(path)) if path.starts_with(&kept) && !path.exists() => Some(path),
        _ => None,
    });
    if let (Some(path), Some(from)) = (own_key, &args.key_file) {
        server.check_reach(layout.base())?;
        make_base(&layout, file.spec.cluster.as_str())?;
        make_dir(&layout.tls(), 0o755)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = secret::read_file(from)?.context("read the repository's key")?;
        let secrets = BTreeMap::from([(name, text.expose().clone())]);
        passwords::keep(&layout, &server, &invoker, &secret::make_up()?, &secrets)?;
    }
    prepare(file, Caller::PrepareFor(node))?;
    Ok(())
}

/// As the servers' user, in a process of its own: this one may have to be root once more.
fn restore(
    args: &Args,
    file: &ClusterFile,
    node: &NodeName,
    lineage: LineageId,
) -> anyhow::Result<()> {
    let path = file.path.display().to_string();
    let mut command = Command::new(std::env::current_exe().context("find this executable")?);
    command.args(["restore", "--file", &path, "--of", &path]);
    command.args(["--as-node", node.as_str(), "--lineage", &lineage.to_string()]);
    command.arg("--into").arg(&file.spec.nodes[node].data_dir).args(args.moment.words());
    for tablespace in &args.tablespace {
        command.args(["--tablespace", tablespace]);
    }
    let status = command.status().context("run howdah restore")?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::failed("the cluster is not back; it said why above")
        .hint("mend that, and give this command again: it goes on with what is there")
        .into())
}

fn start(args: &Args, file: &ClusterFile, node: &NodeName) -> anyhow::Result<()> {
    let path = file.path.display();
    if !here::is_one_machine(&file.spec) {
        out(format!("the data is back; start it here: howdah run --node {node} -f {path}"));
        for other in file.spec.nodes.keys().filter(|other| *other != node) {
            out(format!("let {other} in: howdah token create {other} -f {path}"));
        }
        return Ok(());
    }
    if args.no_start {
        out(format!("the data is back; start it: howdah up -f {path}"));
        return Ok(());
    }
    let exe = std::env::current_exe().context("find this executable")?;
    let status = Command::new(exe).args(["up", "--detach", "-f"]).arg(&file.path).status();
    anyhow::ensure!(status.context("run howdah up")?.success(), "howdah up did not end well");
    say(format!(
        "hint: it begins a lineage of its own, which has no backup yet: howdah backup -f {path}"
    ));
    Ok(())
}
