//! Where a repository is and how it is reached, as the cluster file says it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use howdah_base::Redacted;

use super::Limits;
use crate::RepoError;

/// Everything that [`super::Storage::open`] needs.
#[derive(Clone, Debug)]
pub struct StorageOptions {
    pub address: Address,
    pub s3: S3Options,
    pub limits: Limits,
}

impl StorageOptions {
    pub fn at(address: Address) -> StorageOptions {
        StorageOptions { address, s3: S3Options::default(), limits: Limits::default() }
    }
}

/// `file:///dir`, an absolute path, or `s3://bucket/prefix`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    Directory(PathBuf),
    S3 { bucket: String, prefix: String },
}

/// How to speak to S3. What is left out comes from the usual variables of the environment
/// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`,
/// `AWS_ENDPOINT_URL`), or, for the keys, from the machine's role.
#[derive(Clone, Default, Debug)]
pub struct S3Options {
    /// Of a server that is not Amazon's: `https://minio.example:9000`.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// The bucket in the path instead of in the host's name, as most servers but Amazon's ask.
    pub path_style: bool,
    /// CA certificates to trust besides the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Without it only `https` is spoken.
    pub allow_http: bool,
    pub access_key: Option<Redacted<String>>,
    pub secret_key: Option<Redacted<String>>,
}

impl FromStr for Address {
    type Err = RepoError;

    fn from_str(text: &str) -> Result<Address, RepoError> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_matches('/');
            let fine = |part: &str| !matches!(part, "" | "." | "..") && part.is_ascii();
            if fine(bucket) && (prefix.is_empty() || prefix.split('/').all(fine)) {
                return Ok(Address::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
            }
        }
        let path = text.strip_prefix("file://").unwrap_or(text);
        if path.starts_with('/') && path.len() > 1 {
            return Ok(Address::Directory(PathBuf::from(path)));
        }
        Err(RepoError::refused(format!("not the address of a repository: `{text}`"), HINT))
    }
}

const HINT: &str = "write `file:///srv/backups`, `/srv/backups` or `s3://bucket/prefix`";

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Directory(path) => write!(f, "file://{}", path.display()),
            Address::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Address::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, same) in [
            ("/srv/b", "file:///srv/b"),
            ("file:///srv/b", "file:///srv/b"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), same);
        }
        for bad in ["", "/", "srv/b", "s3://", "s3:///x", "s3://b/../c", "http://x/y"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let secret_key = Some(Redacted::new("hunter2".to_owned()));
        let options = S3Options { secret_key, ..S3Options::default() };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
