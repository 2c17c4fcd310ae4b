//! The cluster file that a repository keeps, for a machine on which nothing of the cluster is left.
//!
//! Secrets are not in it, only where they were. Howdah's own are made anew. Those of roles are in the
//! data, as verifiers: a role whose password is not here keeps the one that it had.

use std::path::Path;

use howdah_base::NodeName;
use howdah_repo::Address;
use howdah_spec::backup::{RepositorySpec, S3Spec};
use howdah_spec::{ClusterSpec, SecretRef, to_toml};

use crate::file::{self, ClusterFile};
use crate::prepare::relocate::relocate;
use crate::prepare::{Layout, secret};

/// What differs from the file that was kept.
#[derive(Debug)]
pub struct Changes<'a> {
    /// Where the cluster is to lie; where it lay when `None`.
    pub base_dir: Option<&'a Path>,
    pub repository: &'a Repository,
    pub node: &'a NodeName,
    pub major: u32,
    /// There is a key, which is kept where Howdah keeps its own when it is not where the file says.
    pub key: bool,
}

/// Where the repository is now.
#[derive(Debug)]
pub struct Repository {
    pub address: Address,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: bool,
    pub ca: Option<std::path::PathBuf>,
}

/// The file for this machine, and what was changed in it, in words.
pub fn for_here(text: &str, changes: &Changes<'_>) -> anyhow::Result<(ClusterFile, Vec<String>)> {
    let spec = read(Path::new("/howdah.toml"), text)?;
    let base = changes.base_dir.unwrap_or(&spec.base_dir);
    let layout = Layout::new(base);
    let text = relocate(&to_toml(&spec), &spec.base_dir, base);
    let mut spec = read(&layout.file(), &text)?;
    let mut said = Vec::new();
    spec.first_node = Some(changes.node.clone());
    spec.postgresql.major = Some(changes.major);
    without_passwords(&mut spec, &mut said);
    point_to(&mut spec, &layout, changes, &mut said);
    let text = to_toml(&spec);
    let spec = read(&layout.file(), &text)?;
    let typed = format!(" -f {}", layout.file().display());
    Ok((ClusterFile { path: layout.file(), text, spec, typed, client: None }, said))
}

/// The nodes of a file that was kept, before it is known which of them is here.
pub fn read(path: &Path, text: &str) -> anyhow::Result<ClusterSpec> {
    Ok(file::parse(path, text).map_err(|mistakes| file::rejected(&mistakes))?)
}

fn is_here(source: &SecretRef) -> bool {
    secret::read(source).is_ok_and(|found| found.is_some())
}

fn without_passwords(spec: &mut ClusterSpec, said: &mut Vec<String>) {
    for (name, role) in &mut spec.roles {
        if role.password.as_ref().is_some_and(|source| !is_here(source)) {
            role.password = None;
            said.push(format!(
                "role {name} keeps its password, which Howdah does not know any more"
            ));
        }
    }
    if spec.http.password.as_ref().is_some_and(|source| !is_here(source)) {
        (spec.http.user, spec.http.password) = (None, None);
        said.push("the HTTP user's password is not here: nobody logs in by it".to_owned());
    }
}

fn point_to(
    spec: &mut ClusterSpec,
    layout: &Layout,
    changes: &Changes<'_>,
    said: &mut Vec<String>,
) {
    let Some(backup) = &mut spec.backup else { return };
    let now = changes.repository;
    match (&now.address, &mut backup.repository) {
        (Address::Directory(path), place) => *place = RepositorySpec::Directory(path.clone()),
        (Address::S3 { bucket, prefix }, RepositorySpec::S3(s3)) => {
            (s3.bucket, s3.prefix) = (bucket.clone(), prefix.clone());
            // Where it was found, and nothing of where it was: that may be gone.
            if s3.endpoint != now.endpoint {
                let at = now.endpoint.as_deref().unwrap_or("Amazon's");
                said.push(format!("the repository's endpoint is {at} now"));
            }
            s3.endpoint = now.endpoint.clone();
            s3.region = now.region.clone().unwrap_or_else(|| REGION.to_owned());
            s3.path_style = now.path_style;
            s3.ca = now.ca.clone();
            let keys = [&s3.access_key, &s3.secret_key];
            if keys.into_iter().flatten().any(|source| !is_here(source)) {
                (s3.access_key, s3.secret_key) = (None, None);
                said.push("the storage's keys come from the environment now".to_owned());
            }
        }
        (Address::S3 { bucket, prefix }, place) => {
            *place = RepositorySpec::S3(S3Spec {
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                endpoint: now.endpoint.clone(),
                region: now.region.clone().unwrap_or_else(|| REGION.to_owned()),
                path_style: now.path_style,
                ca: now.ca.clone(),
                access_key: None,
                secret_key: None,
            });
        }
    }
    let is_missing = backup.key.as_ref().is_some_and(|source| !is_here(source));
    if changes.key && is_missing {
        backup.key = Some(SecretRef::File(layout.client_secrets().join(KEY)));
    }
}

/// Where a bucket is when nobody says so.
const REGION: &str = "us-east-1";

/// The name of the repository's key among the secrets.
pub const KEY: &str = "backup.key";

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: &str = "cluster = \"shop\"\nbase_dir = \"/old/shop\"\n[nodes.n1]\n[nodes.n2]\n\
        [http]\nuser = \"admin\"\npassword = { file = \"http\" }\n\
        [roles.app]\nkind = \"app\"\npassword = { file = \"app.password\" }\n\
        [roles.reader]\nkind = \"readonly\"\npassword = { env = \"PATH\" }\n\
        [backup]\nrepository = \"/old/shop/archive\"\nkey = { file = \"/etc/gone/key\" }\n";

    fn here(address: &str, base_dir: Option<&str>, key: bool) -> (ClusterSpec, Vec<String>) {
        let repository = Repository {
            address: address.parse().expect("an address"),
            endpoint: Some("https://s3.example:9000".to_owned()),
            region: None,
            path_style: true,
            ca: None,
        };
        let node = "n2".parse().expect("a name");
        let (base_dir, repository, node) = (base_dir.map(Path::new), &repository, &node);
        let changes = Changes { base_dir, repository, node, major: 17, key };
        let (file, said) = for_here(KEPT, &changes).unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(file.path, file.spec.base_dir.join("howdah.toml"));
        (file.spec, said)
    }

    #[test]
    fn it_lies_elsewhere_and_knows_where_its_repository_is_now() {
        let (spec, said) = here("/mnt/copy", Some("/new"), true);
        assert_eq!(spec.base_dir, Path::new("/new"));
        assert_eq!(
            spec.nodes.values().next().map(|n1| n1.data_dir.starts_with("/new")),
            Some(true)
        );
        assert_eq!(spec.first_node.as_ref().map(NodeName::as_str), Some("n2"));
        assert_eq!(spec.postgresql.major, Some(17));
        let backup = spec.backup.expect("as before");
        assert_eq!(backup.repository, RepositorySpec::Directory("/mnt/copy".into()));
        let key = Path::new("/new/client/secrets/backup.key").to_owned();
        assert_eq!(backup.key, Some(SecretRef::File(key)));
        assert!(spec.roles["app"].password.is_none() && spec.roles["reader"].password.is_some());
        assert_eq!((spec.http.user, spec.http.password), (None, None));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("role app keeps its password"), "{said:?}");
    }

    #[test]
    fn a_repository_that_was_a_folder_may_be_in_s3_now() {
        let (spec, _) = here("s3://bucket/shop", None, false);
        assert_eq!(spec.base_dir, Path::new("/old/shop"));
        let backup = spec.backup.expect("as before");
        assert_eq!(backup.key, Some(SecretRef::File("/etc/gone/key".into())), "none was named");
        let RepositorySpec::S3(s3) = backup.repository else { panic!("{backup:?}") };
        assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("bucket", "shop"));
        assert_eq!(s3.endpoint.as_deref(), Some("https://s3.example:9000"));
        assert!(s3.path_style);
    }

    #[test]
    fn of_where_the_bucket_was_nothing_stays() {
        const GONE: &str = "cluster = \"shop\"\nbase_dir = \"/old/shop\"\n[nodes.n1]\n\
            [backup]\nrepository = \"s3://old/shop\"\n\
            [backup.s3]\nendpoint = \"https://gone.example:9000\"\nregion = \"eu-gone-1\"\n\
            path_style = true\nca = \"/etc/gone.pem\"\n";
        let repository = Repository {
            address: "s3://bucket/shop".parse().expect("an address"),
            endpoint: None,
            region: Some("eu-here-1".to_owned()),
            path_style: false,
            ca: None,
        };
        let node = "n1".parse().expect("a name");
        let (repository, node) = (&repository, &node);
        let changes = Changes { base_dir: None, repository, node, major: 17, key: false };
        let (file, said) = for_here(GONE, &changes).unwrap_or_else(|error| panic!("{error:#}"));
        let backup = file.spec.backup.expect("as before");
        let RepositorySpec::S3(s3) = backup.repository else { panic!("{backup:?}") };
        assert_eq!((s3.bucket.as_str(), s3.region.as_str()), ("bucket", "eu-here-1"));
        assert_eq!((s3.endpoint, s3.path_style, s3.ca), (None, false, None));
        assert!(said.iter().any(|said| said.contains("endpoint is Amazon's now")), "{said:?}");
    }
}
