//! Passwords that `patroni.yml` has in the clear, put where the cluster file looks for them: who
//! asked Patroni's REST API with one asks Howdah's with the same.

use std::fs;
use std::path::Path;

use anyhow::Context;
use howdah_base::Redacted;
use howdah_import::patroni::PatroniConfig;
use howdah_spec::{SecretRef, StoreSpec};

use super::tell;
use crate::prepare::{Prepared, secret};

/// Only into files in Howdah's own folder that are missing, or that hold what Howdah made up.
pub fn keep(prepared: &Prepared, config: &PatroniConfig) -> anyhow::Result<()> {
    if let Some(password) = &config.restapi.password {
        put(prepared, prepared.spec.http.password.as_ref(), password)?;
    }
    let store = match &prepared.spec.store {
        StoreSpec::Etcd(etcd) => etcd.password.as_ref(),
        StoreSpec::Embedded { .. } => None,
    };
    match config.dcs.as_ref().and_then(|dcs| dcs.password.as_ref()) {
        Some(password) => put(prepared, store, password),
        None => Ok(()),
    }
}

fn put(
    prepared: &Prepared,
    place: Option<&SecretRef>,
    password: &Redacted<String>,
) -> anyhow::Result<()> {
    let Some(SecretRef::File(path)) = place else { return Ok(()) };
    let folder = prepared.layout.client_secrets();
    let path = folder.join(path);
    let there = secret::read_file(&path)?;
    let mine = there.is_none() || there == made_up(prepared, &path)?;
    if path.parent() != Some(&folder) || !mine || there.as_ref() == Some(password) {
        return Ok(());
    }
    if there.is_none() {
        crate::prepare::write_file(&path, 0o640, password.expose().as_bytes())?;
        prepared.server.own(&path)?;
    } else {
        // In place: owner and mode are right already.
        fs::write(&path, password.expose()).context("write the password")?;
    }
    tell(format!("the password of patroni.yml is in `{}`", path.display()));
    Ok(())
}

fn made_up(prepared: &Prepared, path: &Path) -> anyhow::Result<Option<Redacted<String>>> {
    let token = secret::read_file(&prepared.layout.token())?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(token.map(|token| secret::derive(&token, &name)))
}
