//! Server parameters of the cluster file: which ones Howdah owns, which are gone from
//! PostgreSQL, which values would break its promise, and which the server that was found
//! does not take.

mod obsolete;
mod omitted;
mod owned;
mod safety;
mod server;
mod tables;
mod values;

use std::collections::BTreeMap;

pub use obsolete::{Obsolete, obsolete};
pub use owned::{Owned, owned};
pub use server::{BadDescription, ServerParameter, ServerParameters, VarType};

use crate::mistake::{Mistake, nearest};
use crate::parse::{MAJOR_MIN, Parsed};
use crate::types::ClusterSpec;

/// Where a complaint points, what is wrong, and a hint.
pub(crate) type Complain<'c> = dyn FnMut(&[&str], String, String) + 'c;

/// What can be said of the parameters before a server is found.
pub(crate) fn check_file(spec: &ClusterSpec, complain: &mut Complain<'_>) {
    let major = spec.postgresql.major.unwrap_or(MAJOR_MIN);
    for (path, settings) in all_settings(spec) {
        for name in settings.keys() {
            let place = format!("{path}.{name}");
            if let Some(gone) = obsolete(name).filter(|gone| gone.removed_in <= major) {
                complain(&[&place], gone.what(), gone.hint());
            } else if let Some(owned) = owned(name) {
                complain(&[&place], owned.what(name), owned.hint.to_owned());
            }
        }
    }
    safety::check(spec, complain);
}

/// What the server that was found does not take. `file` is the cluster file's name.
pub fn check_against(file: &str, parsed: &Parsed, server: &ServerParameters) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (path, settings) in all_settings(&parsed.spec) {
        let check = if path == PARAMETERS { check_value } else { check_in_session };
        for (name, value) in settings {
            let Err((what, hint)) = check(server, name, value) else { continue };
            let line = parsed.places.line(&format!("{path}.{name}"));
            mistakes.push(Mistake { file: file.to_owned(), line, what, hint });
        }
    }
    mistakes.sort();
    mistakes
}

const PARAMETERS: &str = "postgresql.parameters";

/// Every table of the file that holds parameters, with its path.
fn all_settings(spec: &ClusterSpec) -> Vec<(String, &BTreeMap<String, String>)> {
    let mut all = vec![(PARAMETERS.to_owned(), &spec.postgresql.parameters)];
    all.extend(spec.roles.iter().map(|(n, role)| (format!("roles.{n}.settings"), &role.settings)));
    let databases = spec.databases.iter();
    all.extend(databases.map(|(n, base)| (format!("databases.{n}.settings"), &base.settings)));
    all
}

/// What is wrong, and a hint.
type Wrong = (String, String);

fn check_in_session(server: &ServerParameters, name: &str, value: &str) -> Result<(), Wrong> {
    if server.get(name).is_some_and(|parameter| !parameter.settable_in_session()) {
        let what = format!("a role or database cannot set it: `{name}`");
        return Err((what, "move it to `[postgresql.parameters]`".to_owned()));
    }
    check_value(server, name, value)
}

/// Whether the server knows `name` and takes `value`.
pub(crate) fn check_value(server: &ServerParameters, name: &str, value: &str) -> Result<(), Wrong> {
    match server.get(name) {
        Some(parameter) => values::check(name, parameter, value),
        None => check_unlisted(server, name),
    }
}

/// A name that `--describe-config` does not print: hidden, of an extension, gone, or wrong.
fn check_unlisted(server: &ServerParameters, name: &str) -> Result<(), Wrong> {
    if omitted::is_known(name) {
        return Ok(());
    }
    if let Some(gone) = obsolete(name).filter(|gone| gone.removed_in <= server.major) {
        return Err((gone.what(), gone.hint()));
    }
    // A dotted name belongs to an extension or an application, whose names nobody can list;
    // only those of the two libraries that Howdah preloads are known.
    let ours = omitted::of_preloaded_library(name);
    if name.contains('.') && ours.is_none() {
        return Ok(());
    }
    let what = format!("PostgreSQL {} has no parameter `{name}`", server.major);
    let known = server.names().chain(ours.into_iter().flatten().copied());
    let hint = match nearest(name, known) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "drop it; all parameters are in PostgreSQL's documentation, chapter \
                 \"Server Configuration\""
            .to_owned(),
    };
    Err((what, hint))
}
