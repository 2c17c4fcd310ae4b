//! Who the servers run as, and acting as that user.
//!
//! Root prepares, but touches what the server's user owns only *as* that user: a link that
//! this user may have planted then leads nowhere that it could not go itself.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, Gid, Group, Uid, User};

use crate::failure::Failure;

/// A system user with its primary group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub name: String,
    pub uid: Uid,
    pub gid: Gid,
}

/// The user that servers run as: `run_as` when Howdah is root, otherwise whoever started it.
pub fn server_account(run_as: &str) -> anyhow::Result<Account> {
    if !Uid::effective().is_root() {
        return current();
    }
    let user = User::from_name(run_as).context("look up the server's user")?;
    let user = user.ok_or_else(|| {
        Failure::bad_input(format!("run_as names a user that does not exist: `{run_as}`"))
            .hint(format!("useradd --system {run_as}, or name another user as run_as"))
    })?;
    if user.uid.is_root() {
        return Err(Failure::bad_input("PostgreSQL refuses to run as root; run_as is `root`")
            .hint("name an ordinary user as run_as, such as `postgres`")
            .into());
    }
    Ok(Account { name: user.name, uid: user.uid, gid: user.gid })
}

/// The one who typed the command; behind `sudo`, the one who typed `sudo`.
pub fn invoker() -> anyhow::Result<Account> {
    let sudo = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
    match sudo {
        Some(uid) if Uid::effective().is_root() => of_uid(Uid::from_raw(uid)),
        _ => current(),
    }
}

fn current() -> anyhow::Result<Account> {
    of_uid(Uid::effective())
}

/// A user id without an entry in passwd (a container's, say) is still somebody.
fn of_uid(uid: Uid) -> anyhow::Result<Account> {
    let user = User::from_uid(uid).context("look up the current user")?;
    Ok(user.map_or_else(
        || Account { name: uid.to_string(), uid, gid: Gid::effective() },
        |user| Account { name: user.name, uid: user.uid, gid: user.gid },
    ))
}

impl Account {
    pub fn group(&self) -> String {
        let group = Group::from_gid(self.gid).ok().flatten();
        group.map_or_else(|| self.gid.to_string(), |group| group.name)
    }

    /// Whether this process can give files to others and has another user to become.
    fn is_other(&self) -> bool {
        Uid::effective().is_root() && !self.uid.is_root()
    }

    /// Runs `what` with this user's rights on files. The process is root again afterwards, or
    /// does not go on.
    pub fn act<T>(&self, what: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        if !self.is_other() {
            return what();
        }
        let groups = nix::unistd::getgroups()?;
        nix::unistd::initgroups(&self.c_name()?, self.gid).context("take on groups")?;
        nix::unistd::setegid(self.gid).context("take on the group")?;
        nix::unistd::seteuid(self.uid).context("take on the user")?;
        let result = what();
        nix::unistd::seteuid(Uid::from_raw(0)).expect("a process whose real user is root");
        nix::unistd::setegid(Gid::from_raw(0)).expect("root may");
        nix::unistd::setgroups(&groups).expect("root may");
        result
    }

    /// Becomes this user for good. Before any thread starts: the kernel keeps a user a thread.
    pub fn become_for_good(&self) -> anyhow::Result<()> {
        if !self.is_other() {
            return Ok(());
        }
        nix::unistd::initgroups(&self.c_name()?, self.gid).context("take on groups")?;
        nix::unistd::setgid(self.gid).context("take on the group")?;
        nix::unistd::setuid(self.uid).context("take on the user")?;
        anyhow::ensure!(nix::unistd::seteuid(Uid::from_raw(0)).is_err(), "root is still in reach");
        Ok(())
    }

    /// Gives `path` to this user; nothing to do for a user who made it.
    pub fn own(&self, path: &Path) -> anyhow::Result<()> {
        if Uid::effective().is_root() {
            std::os::unix::fs::lchown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
                .with_context(|| format!("give to {}: `{}`", self.name, path.display()))?;
        }
        Ok(())
    }

    /// Asks the kernel, as this user, whether `dir` can be entered; names the folder that
    /// blocks if not.
    pub fn check_reach(&self, dir: &Path) -> anyhow::Result<()> {
        let blocked = self.act(|| Ok(first_closed(dir)))?;
        let Some(blocked) = blocked else { return Ok(()) };
        let mode = std::fs::metadata(&blocked).map(|meta| meta.mode() & 0o777).unwrap_or(0);
        Err(Failure::failed(format!(
            "user {} cannot enter a folder on the way to {}: `{}` (mode {mode:03o})",
            self.name,
            dir.display(),
            blocked.display()
        ))
        .hint(format!("set base_dir to a folder outside, or chmod o+x {}", blocked.display()))
        .into())
    }

    fn c_name(&self) -> anyhow::Result<CString> {
        CString::new(self.name.as_str()).context("use the user's name")
    }
}

/// The first folder from the root down to `dir` that exists and cannot be entered.
fn first_closed(dir: &Path) -> Option<PathBuf> {
    let mut ways: Vec<&Path> = dir.ancestors().collect();
    ways.reverse();
    let closed = ways.into_iter().find(|way| {
        let entered =
            nix::unistd::faccessat(AT_FDCWD, *way, AccessFlags::X_OK, AtFlags::AT_EACCESS);
        entered == Err(nix::errno::Errno::EACCES)
    });
    closed.map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_does_not_exist_is_bad_input() {
        if !Uid::effective().is_root() {
            return;
        }
        for name in ["no-such-user", "root"] {
            let error = server_account(name).expect_err("refused");
            let failure = error.downcast_ref::<Failure>().expect("a failure");
            assert_eq!(failure.exit, crate::failure::Exit::BadInput);
        }
    }

    #[test]
    fn the_folder_that_blocks_is_named() {
        let Ok(Some(nobody)) = User::from_name("nobody") else { return };
        if !Uid::effective().is_root() {
            return;
        }
        let nobody = Account { name: nobody.name, uid: nobody.uid, gid: nobody.gid };
        let top = std::env::temp_dir().join(format!("howdah-reach-{}", std::process::id()));
        let inner = top.join("closed/inner");
        std::fs::create_dir_all(&inner).expect("made");
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(top.join("closed"), closed).expect("set");
        let error = nobody.check_reach(&inner).expect_err("blocked").to_string();
        assert!(error.contains("closed` (mode 700)"), "{error}");
        assert!(nobody.check_reach(&top).is_ok());
        assert!(Uid::effective().is_root(), "root again");
        std::fs::remove_dir_all(&top).expect("removed");
    }
}
