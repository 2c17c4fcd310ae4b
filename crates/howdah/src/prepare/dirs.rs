//! The folders of a cluster: made once, with the right owner and mode, and never taken over
//! from somebody else.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;
use howdah_base::NodeName;
use howdah_spec::{NodeKind, NodeSpec, StoreSpec};
use nix::unistd::{Uid, User};

use super::Layout;
use super::account::Account;
use super::lock::Lock;
use crate::failure::Failure;
use crate::moment::hold;

/// base_dir itself, with the marker that tells it from any other folder.
pub fn make_base(layout: &Layout, cluster: &str) -> anyhow::Result<()> {
    let base = layout.base();
    make_parents(base)?;
    make(base, 0o755)?;
    check_owner(base)?;
    if layout.marker().exists() {
        return Ok(());
    }
    // Another node of this machine may be at it: its half-made marker is not somebody else's file.
    let _lock = Lock::wait_for_folder(base)?;
    if layout.marker().exists() {
        return Ok(());
    }
    if !is_empty(base)? {
        return Err(Failure::failed(format!(
            "base_dir is not empty and was not made by howdah: `{}`",
            base.display()
        ))
        .hint("name an empty folder, or one that does not exist yet, as base_dir")
        .into());
    }
    write(&layout.marker(), 0o644, format!("cluster {cluster}\n").as_bytes())
}

/// Whoever made it goes on with it; root goes on with anybody's.
fn check_owner(base: &Path) -> anyhow::Result<()> {
    let meta = fs::metadata(base).with_context(|| format!("look at: `{}`", base.display()))?;
    let owner = Uid::from_raw(meta.uid());
    if owner == Uid::effective() || Uid::effective().is_root() {
        return Ok(());
    }
    let name = User::from_uid(owner).ok().flatten();
    let name = name.map_or_else(|| owner.to_string(), |user| user.name);
    Err(Failure::failed(format!("base_dir belongs to user {name}: `{}`", base.display()))
        .hint(format!("run it as {name}, or set another base_dir"))
        .into())
}

/// Everything below base_dir but its files; and directories of this machine's `nodes` that lie
/// elsewhere.
pub fn make_all(
    layout: &Layout,
    store: &StoreSpec,
    nodes: &BTreeMap<NodeName, NodeSpec>,
    server: &Account,
) -> anyhow::Result<()> {
    make(&layout.tls(), 0o755)?;
    make(&layout.nodes(), 0o755)?;
    make_owned(&layout.secrets(), 0o700, server)?;
    if let StoreSpec::Embedded { path } = store {
        make_given(layout, path, server)?;
    }
    let managed = matches!(store, StoreSpec::Etcd(etcd) if etcd.managed);
    if managed {
        make_owned(&layout.store(), 0o700, server)?;
    }
    for (name, node) in nodes {
        make_owned(&layout.node(name), 0o755, server)?;
        make_node(layout, node, server)?;
        if managed {
            server.act(|| make(&layout.store_member(name), 0o700))?;
        }
    }
    Ok(())
}

fn make_node(layout: &Layout, node: &NodeSpec, server: &Account) -> anyhow::Result<()> {
    // While a cluster is taken to a moment, its place may be free for the one that comes there.
    if node.kind == NodeKind::Data && !hold::is_held(node) {
        make_given(layout, &node.data_dir, server)?;
    }
    make_given(layout, &node.state_dir, server)?;
    server.act(|| {
        make(&node.state_dir.join("run"), 0o700)?;
        make(&super::layout::log_dir(node), 0o700)
    })
}

/// A folder that the file names: private to the server's user, wherever it lies.
pub fn make_given(layout: &Layout, dir: &Path, server: &Account) -> anyhow::Result<()> {
    if server.act(|| Ok(dir.is_dir()))? {
        return server.check_reach(dir);
    }
    let parent = dir.parent().unwrap_or(Path::new("/"));
    if !parent.starts_with(layout.base()) {
        make_parents(dir)?;
        make_owned(dir, 0o700, server)?;
        return server.check_reach(dir);
    }
    if parent.starts_with(layout.nodes()) && parent != layout.nodes() {
        // The parent is the server's own: root does not reach into it.
        return server.act(|| make(dir, 0o700));
    }
    make_owned(dir, 0o700, server)
}

/// Makes `dir` for `owner`. Its parent belongs to whoever prepares.
pub fn make_owned(dir: &Path, mode: u32, owner: &Account) -> anyhow::Result<()> {
    make(dir, mode)?;
    owner.own(dir)
}

/// Makes one folder with exactly this mode, whatever the umask; leaves one that exists alone.
pub fn make(dir: &Path, mode: u32) -> anyhow::Result<()> {
    match DirBuilder::new().mode(mode).create(dir) {
        Ok(()) => fs::set_permissions(dir, Permissions::from_mode(mode))
            .with_context(|| format!("set the mode of: `{}`", dir.display())),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("make folder: `{}`", dir.display())),
    }
}

fn make_parents(dir: &Path) -> anyhow::Result<()> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(parent)
        .with_context(|| format!("make folder: `{}`", parent.display()))
}

fn is_empty(dir: &Path) -> anyhow::Result<bool> {
    let mut entries =
        fs::read_dir(dir).with_context(|| format!("read folder: `{}`", dir.display()))?;
    Ok(entries.next().is_none())
}

/// Writes a whole file so that a reader sees the old one or the new one, and never one with
/// wider rights than `mode`.
pub fn write(path: &Path, mode: u32, content: &[u8]) -> anyhow::Result<()> {
    let name = path.file_name().unwrap_or(OsStr::new("file")).to_string_lossy();
    let new = path.with_file_name(format!(".{name}.new"));
    let write = || {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let _ = fs::remove_file(&new);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("write file: `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_else_is_not_taken_over() {
        let top = std::env::temp_dir().join(format!("howdah-dirs-{}", std::process::id()));
        let layout = Layout::new(&top.join("base"));
        make_base(&layout, "demo").expect("made");
        make_base(&layout, "demo").expect("made before");
        fs::remove_file(layout.marker()).expect("removed");
        fs::write(top.join("base/precious"), "").expect("written");
        let error = make_base(&layout, "demo").expect_err("refused").to_string();
        assert!(error.starts_with("base_dir is not empty"), "{error}");
        fs::remove_dir_all(&top).expect("removed");
    }

    #[test]
    fn several_make_it_at_the_same_time() {
        let top = std::env::temp_dir().join(format!("howdah-dirs-race-{}", std::process::id()));
        for round in 0..20 {
            let layout = Layout::new(&top.join(format!("base-{round}")));
            std::thread::scope(|scope| {
                let makers: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| make_base(&layout, "demo"))).collect();
                for maker in makers {
                    maker.join().expect("no panic").expect("made");
                }
            });
        }
        fs::remove_dir_all(&top).expect("removed");
    }

    #[test]
    fn a_file_is_never_wider_than_its_mode() {
        let path = std::env::temp_dir().join(format!("howdah-write-{}", std::process::id()));
        for content in ["one", "two"] {
            write(&path, 0o600, content.as_bytes()).expect("written");
            let mode = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert_eq!(fs::read_to_string(&path).expect("read"), content);
        }
        fs::remove_file(&path).expect("removed");
    }
}
