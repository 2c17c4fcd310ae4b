//! The secrets of a cluster and the folder of the one who uses it: the API's token, roles'
//! passwords, and `client/` with everything that `psql` needs.
//!
//! Two users read here: the servers' user creates the roles, the invoker logs in with them.
//! Where they differ, files belong to the invoker and the servers' group may read them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use howdah_base::Redacted;
use howdah_spec::{ClusterSpec, SecretRef};

use super::{Account, Layout, client, dirs, secret};
use crate::failure::Failure;

/// `roles`: whether a server runs here, whose roles need their passwords.
pub fn make(
    layout: &Layout,
    spec: &ClusterSpec,
    server: &Account,
    invoker: &Account,
    roles: bool,
) -> anyhow::Result<()> {
    let users = Users { server, invoker };
    users.make_dir(&layout.client())?;
    users.make_dir(&layout.client_secrets())?;
    let token = make_token(layout, server)?;
    let maker = Maker { layout, users: &users, token: &token };
    let passwords = maker.make_passwords(spec, roles)?;
    let ca = layout.tls().join("ca.crt");
    let ca = fs::read(&ca).with_context(|| format!("read file: `{}`", ca.display()))?;
    users.write_own(&layout.client_ca(), &ca)?;
    users.write_own(&layout.client_token(), token.expose().as_bytes())?;
    let pgpass = client::pgpass(spec, &passwords);
    users.write_own(&layout.client_pgpass(), pgpass.expose().as_bytes())
}

/// What the cluster gave a machine that joins: its token, and files of the folder of secrets.
pub fn keep(
    layout: &Layout,
    server: &Account,
    invoker: &Account,
    token: &Redacted<String>,
    secrets: &BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let users = Users { server, invoker };
    users.make_dir(&layout.client())?;
    users.make_dir(&layout.client_secrets())?;
    dirs::make_owned(&layout.secrets(), 0o700, server)?;
    server.act(|| dirs::write(&layout.token(), 0o600, token.expose().as_bytes()))?;
    for (name, text) in secrets {
        let path = layout.client_secrets().join(name);
        anyhow::ensure!(
            path.parent() == Some(&layout.client_secrets()) && !name.starts_with('.'),
            "a secret of the cluster has a path for its name: `{name}`"
        );
        users.write_shared(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Lets both users read a file that was just made.
pub fn share(server: &Account, invoker: &Account, path: &Path) -> anyhow::Result<()> {
    let users = Users { server, invoker };
    let content = fs::read(path).with_context(|| format!("read file: `{}`", path.display()))?;
    users.write_shared(path, &content)
}

/// # Errors
/// The servers' user cannot read it.
pub fn check_server_reads(
    server: &Account,
    invoker: &Account,
    whose: &str,
    path: &Path,
) -> anyhow::Result<()> {
    Users { server, invoker }.check_server_reads(whose, path)
}

fn make_token(layout: &Layout, server: &Account) -> anyhow::Result<Redacted<String>> {
    server.act(|| {
        if let Some(token) = secret::read_file(&layout.token())? {
            return Ok(token);
        }
        let token = secret::make_up()?;
        dirs::write(&layout.token(), 0o600, token.expose().as_bytes())?;
        Ok(token)
    })
}

/// Makes what the file refers to.
struct Maker<'a> {
    layout: &'a Layout,
    users: &'a Users<'a>,
    /// The cluster's, from which passwords are made: every machine of the cluster has it, so
    /// each makes the same one for a role that comes later.
    token: &'a Redacted<String>,
}

impl Maker<'_> {
    fn make_passwords(
        &self,
        spec: &ClusterSpec,
        roles: bool,
    ) -> anyhow::Result<Vec<(String, Redacted<String>)>> {
        let mut passwords = Vec::new();
        for (name, role) in spec.roles.iter().filter(|_| roles) {
            let Some(source) = &role.password else { continue };
            if let Some(password) =
                self.make_password(&format!("role {name}'s password"), source)?
            {
                passwords.push((name.clone(), password));
            }
        }
        if let Some(source) = &spec.http.password {
            self.make_password("the HTTP user's password", source)?;
        }
        Ok(passwords)
    }

    /// Reads a password; makes one up where the file lies in our own folder and is missing.
    fn make_password(
        &self,
        whose: &str,
        source: &SecretRef,
    ) -> anyhow::Result<Option<Redacted<String>>> {
        let found = secret::read(source).with_context(|| format!("read {whose}"));
        if let Some(password) = found? {
            if let SecretRef::File(path) = source {
                self.users.check_server_reads(whose, path)?;
            }
            return Ok(Some(password));
        }
        let SecretRef::File(path) = source else { return Ok(None) };
        if path.parent() != Some(&self.layout.client_secrets()) {
            return Err(missing(whose, path).into());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let password = secret::derive(self.token, &name);
        self.users.write_shared(path, password.expose().as_bytes())?;
        Ok(Some(password))
    }
}

/// Howdah makes up passwords in its own folder only: elsewhere, a missing file is a mistake.
fn missing(whose: &str, path: &Path) -> Failure {
    Failure::bad_input(format!("the file of {whose} does not exist: `{}`", path.display()))
        .hint("write the password into it, or name one without a folder: howdah makes that up")
}

/// The two who read.
struct Users<'a> {
    server: &'a Account,
    invoker: &'a Account,
}

impl Users<'_> {
    fn is_one(&self) -> bool {
        self.server.uid == self.invoker.uid
    }

    /// Who files belong to that both read: the invoker's user with the servers' group.
    fn shared(&self) -> Account {
        Account { gid: self.server.gid, ..self.invoker.clone() }
    }

    /// The servers' user may go through, and list nothing.
    fn make_dir(&self, dir: &Path) -> anyhow::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        dirs::make_owned(dir, if self.is_one() { 0o700 } else { 0o710 }, &self.shared())
    }

    fn write_shared(&self, path: &Path, content: &[u8]) -> anyhow::Result<()> {
        dirs::write(path, if self.is_one() { 0o600 } else { 0o640 }, content)?;
        self.shared().own(path)
    }

    /// For the invoker alone. libpq refuses a pgpass file that a group may read.
    fn write_own(&self, path: &Path, content: &[u8]) -> anyhow::Result<()> {
        if fs::read(path).is_ok_and(|there| there == content) {
            return Ok(());
        }
        dirs::write(path, 0o600, content)?;
        self.invoker.own(path)
    }

    fn check_server_reads(&self, whose: &str, path: &Path) -> anyhow::Result<()> {
        if self.server.act(|| Ok(fs::File::open(path).is_ok()))? {
            return Ok(());
        }
        let (user, group) = (&self.server.name, self.server.group());
        Err(Failure::failed(format!(
            "user {user} cannot read the file of {whose}: `{}`",
            path.display()
        ))
        .hint(format!("chgrp {group} {0} && chmod g+r {0}", path.display()))
        .into())
    }
}
