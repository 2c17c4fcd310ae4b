//! `howdah install`: this machine's nodes as services of systemd.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use howdah_base::NodeName;
use howdah_spec::ClusterSpec;
use nix::unistd::Uid;

use crate::ask::known_node;
use crate::failure::{Failure, why};
use crate::file::{ClusterFile, FileArg};
use crate::prepare::{Caller, Layout, here, prepare, write_file};
use crate::talk::{out, say};
use crate::units::Service;

/// Make this machine's nodes services of systemd
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only this node [default: the nodes of this machine]
    #[arg(long, value_name = "NODE")]
    node: Option<NodeName>,
    /// Start them too, now and after each boot
    #[arg(long, conflicts_with = "uninstall")]
    now: bool,
    /// Print the units; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Stop the services and remove the units; folders and data stay
    #[arg(long)]
    uninstall: bool,
    /// Copy this program to /usr/local/bin and let the services run that
    #[arg(long)]
    copy: bool,
    /// Below which folder etc/systemd lies, when an image of a system is made
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
    #[command(flatten)]
    file: FileArg,
}

/// Where `--copy` puts the program.
const COPY: &str = "/usr/local/bin/howdah";
/// Folders of programs that only root can change, by every distribution's custom.
const TRUSTED: [&str; 4] = ["/usr/", "/bin/", "/sbin/", "/opt/"];
/// It is there while systemd manages the machine (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load()?;
    let program = if args.uninstall { COPY.into() } else { program(args)? };
    let layout = Layout::new(&file.spec.base_dir);
    let resolved = layout.file();
    let service = Service { cluster: &file.spec.cluster, program: &program, file: &resolved };
    if args.dry_run {
        for unit in service.units(&args.root) {
            out(format!("# {}\n{}", unit.path.display(), unit.text));
        }
        return Ok(());
    }
    if !Uid::effective().is_root() {
        return Err(Failure::failed("only root can install services")
            .hint("sudo howdah install, or see what it would do: howdah install --dry-run")
            .into());
    }
    let nodes = nodes(args, &file.spec, &layout)?;
    if args.uninstall {
        return uninstall(args, &service, &nodes);
    }
    install(args, &file, &service, &nodes)
}

/// The program that the services run: one that nobody but root can replace.
fn program(args: &Args) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    if args.copy {
        return Ok(COPY.into());
    }
    if args.dry_run || TRUSTED.iter().any(|folder| own.starts_with(folder)) {
        return Ok(own);
    }
    Err(Failure::failed(format!(
        "root's services should not run a program that others may replace: `{}`",
        own.display()
    ))
    .hint("howdah install --copy puts it into /usr/local/bin; a package puts it into /usr/bin")
    .into())
}

fn nodes(args: &Args, spec: &ClusterSpec, layout: &Layout) -> anyhow::Result<Vec<NodeName>> {
    if let Some(node) = &args.node {
        return Ok(vec![known_node(spec, node)?.0.clone()]);
    }
    let nodes: Vec<NodeName> = here::here(spec, layout).into_keys().collect();
    if nodes.is_empty() {
        let names: Vec<&str> = spec.nodes.keys().map(NodeName::as_str).collect();
        return Err(Failure::bad_input("no node's host is an address of this machine")
            .hint(format!("howdah install --node NODE ({})", names.join(", ")))
            .into());
    }
    Ok(nodes)
}

fn install(
    args: &Args,
    file: &ClusterFile,
    service: &Service<'_>,
    nodes: &[NodeName],
) -> anyhow::Result<()> {
    for node in nodes {
        prepare(file, Caller::PrepareFor(node))?;
    }
    if args.copy {
        copy_program(&args.root)?;
    }
    for unit in service.units(&args.root) {
        let folder = unit.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
        write_file(&unit.path, 0o644, unit.text.as_bytes())?;
        out(format!("wrote `{}`", unit.path.display()));
    }
    let units = units(service, nodes);
    if args.root != Path::new("/") || !Path::new(BOOTED).exists() {
        say("systemd does not run here; where it does, this enables and starts the services:");
        say(format!("  systemctl enable --now {}", units.join(" ")));
        return Ok(());
    }
    systemctl(&["daemon-reload"])?;
    let mut words = vec!["enable"];
    words.extend(args.now.then_some("--now"));
    words.extend(units.iter().map(String::as_str));
    systemctl(&words)?;
    if !args.now {
        say(format!("they start with the next boot, or by: systemctl start {}", units.join(" ")));
    }
    Ok(())
}

fn units(service: &Service<'_>, nodes: &[NodeName]) -> Vec<String> {
    let nodes = nodes.iter().map(|node| service.node_unit(node));
    nodes.chain([service.timer()]).collect()
}

fn uninstall(args: &Args, service: &Service<'_>, nodes: &[NodeName]) -> anyhow::Result<()> {
    if args.root == Path::new("/") && Path::new(BOOTED).exists() {
        let units = units(service, nodes);
        let mut words = vec!["disable", "--now"];
        words.extend(units.iter().map(String::as_str));
        systemctl(&words)?;
    }
    for unit in service.units(&args.root) {
        match fs::remove_file(&unit.path) {
            Ok(()) => out(format!("removed `{}`", unit.path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let shown = unit.path.display();
                return Err(
                    Failure::failed(format!("cannot remove, {}: `{shown}`", why(&error))).into()
                );
            }
        }
    }
    say("folders and data are where they were; howdah down --purge removes them");
    Ok(())
}

/// By way of a new file: a program that runs cannot be written to, but it can be replaced.
fn copy_program(root: &Path) -> anyhow::Result<()> {
    let target = root.join(COPY.trim_start_matches('/'));
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
    let new = target.with_extension("new");
    fs::copy("/proc/self/exe", &new).with_context(|| format!("write `{}`", new.display()))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).context("set its mode")?;
    fs::rename(&new, &target).with_context(|| format!("write `{}`", target.display()))?;
    out(format!("wrote `{}`", target.display()));
    Ok(())
}

fn systemctl(words: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("systemctl").args(words).stdin(Stdio::null()).status();
    let status = status.context("run systemctl")?;
    if status.success() {
        return Ok(());
    }
    let words = words.join(" ");
    Err(Failure::failed(format!("systemctl did not do it, {status}: `systemctl {words}`"))
        .hint("what it said stands above; `journalctl -xe` has more")
        .into())
}
