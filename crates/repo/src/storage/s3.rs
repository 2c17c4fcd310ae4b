//! S3 and what speaks like it, by `object_store`. One attempt a call: retries are ours, because
//! after a lost answer a conditional write must be read back before it is judged.
//!
//! Every object is written by one PUT with `If-None-Match: *`. Completing a multipart upload is
//! not conditional everywhere, and no object of a repository is as large as one PUT may be.

use std::fs;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    Certificate, ClientOptions, Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutPayload, RetryConfig,
};

use super::S3Options;
use super::driver::{Created, Driver, Fault, Listed};
use crate::RepoError;

#[derive(Debug)]
pub(super) struct S3 {
    store: AmazonS3,
    prefix: String,
}

/// A server that does not even accept a connection within it counts as away.
const CONNECT: Duration = Duration::from_secs(5);

impl S3 {
    pub(super) fn open(bucket: &str, prefix: &str, options: &S3Options) -> Result<S3, RepoError> {
        let refuse = |what: String| RepoError::refused(what, "look at the repository's options");
        // The role of a machine has its own retries; these are of the calls for objects.
        let none = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_retry(none)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_bulk_delete(true)
            .with_client_options(client(options)?);
        builder = builder.with_virtual_hosted_style_request(!options.path_style);
        let endpoint = options.endpoint.clone();
        let endpoint = endpoint.or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(host_of(&endpoint, bucket, options.path_style));
        }
        if let Some(region) = &options.region {
            builder = builder.with_region(region);
        } else if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() {
            builder = builder.with_region("us-east-1");
        }
        if let (Some(key), Some(secret)) = (&options.access_key, &options.secret_key) {
            builder = builder.with_access_key_id(key.expose());
            builder = builder.with_secret_access_key(secret.expose());
        }
        let store = builder.build().map_err(|error| refuse(error.to_string()))?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Path::parse(&prefix).map_err(|error| refuse(error.to_string()))?;
        Ok(S3 { store, prefix })
    }

    fn path(&self, name: &str) -> Result<Path, Fault> {
        let full = format!("{}{name}", self.prefix);
        Path::parse(full.trim_end_matches('/')).map_err(|error| Fault::Refused(error.to_string()))
    }

    fn below(&self, path: &Path) -> Option<String> {
        path.as_ref().strip_prefix(&self.prefix).map(str::to_owned)
    }

    fn listed(&self, about: ObjectMeta) -> Option<Listed> {
        let modified_ms = about.last_modified.timestamp_millis();
        Some(Listed { name: self.below(&about.location)?, size: about.size, modified_ms })
    }
}

/// Of a server named by its endpoint, the bucket's own host is one below it.
fn host_of(endpoint: &str, bucket: &str, path_style: bool) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) if !path_style => format!("{scheme}://{bucket}.{host}"),
        _ => endpoint.to_owned(),
    }
}

fn client(options: &S3Options) -> Result<ClientOptions, RepoError> {
    // How long a whole call may take is the caller's to bound, by how much it moves.
    let mut client = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT)
        .with_allow_http(options.allow_http);
    if let Some(path) = &options.ca_file {
        let unread = |error: String| {
            let what = format!("cannot read CA certificates of `{}`: {error}", path.display());
            RepoError::refused(what, "name a PEM file that Howdah's user may read")
        };
        let pem = fs::read(path).map_err(|error| unread(error.to_string()))?;
        let found =
            Certificate::from_pem_bundle(&pem).map_err(|error| unread(error.to_string()))?;
        if found.is_empty() {
            return Err(unread("it holds none".to_owned()));
        }
        for certificate in found {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

#[async_trait]
impl Driver for S3 {
    async fn create(&self, name: &str, content: Bytes) -> Result<Created, Fault> {
        let path = self.path(name)?;
        let payload = PutPayload::from_bytes(content);
        match self.store.put_opts(&path, payload, PutMode::Create.into()).await {
            Ok(_) => Ok(Created::New),
            Err(error) if is_conflict(&error) => Err(Fault::Passing(said(&error))),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Exists),
            // Of a write it speaks of the bucket.
            Err(error @ Error::NotFound { .. }) => Err(Fault::Refused(said(&error))),
            Err(error) => Err(fault(error)),
        }
    }

    async fn get(&self, name: &str, most: u64) -> Result<Bytes, Fault> {
        let found = self.store.get(&self.path(name)?).await.map_err(fault)?;
        if found.meta.size > most {
            let what = format!("{} bytes are more than any object has", found.meta.size);
            return Err(Fault::Refused(what));
        }
        let size = found.meta.size;
        let bytes = found.bytes().await.map_err(fault)?;
        if bytes.len() as u64 != size {
            return Err(Fault::Passing(format!("{} bytes of {size} came", bytes.len())));
        }
        Ok(bytes)
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Fault> {
        self.store.get_range(&self.path(name)?, range).await.map_err(fault)
    }

    async fn head(&self, name: &str) -> Result<u64, Fault> {
        self.store.head(&self.path(name)?).await.map(|about| about.size).map_err(fault)
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>, Fault> {
        let folder = self.path(folder)?;
        let found = match after {
            Some(after) => self.store.list_with_offset(Some(&folder), &self.path(after)?),
            None => self.store.list(Some(&folder)),
        };
        let found: Vec<ObjectMeta> = found.try_collect().await.map_err(fault)?;
        Ok(found.into_iter().filter_map(|about| self.listed(about)).collect())
    }

    async fn files(&self, folder: &str) -> Result<Vec<Listed>, Fault> {
        let found = self.store.list_with_delimiter(Some(&self.path(folder)?)).await;
        let found = found.map_err(fault)?.objects;
        Ok(found.into_iter().filter_map(|about| self.listed(about)).collect())
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, Fault> {
        let found = self.store.list_with_delimiter(Some(&self.path(folder)?)).await;
        let found = found.map_err(fault)?.common_prefixes;
        Ok(found.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
    }

    async fn delete(&self, name: &str) -> Result<(), Fault> {
        self.store.delete(&self.path(name)?).await.map_err(fault)
    }
}

/// S3 says 409 when another request for the same name is under way: nothing is decided yet.
fn is_conflict(error: &Error) -> bool {
    let text = error.to_string();
    text.contains("ConditionalRequestConflict") || text.contains("409 Conflict")
}

/// What a server says in its XML (S3's API reference, Error Responses), without the rest of it; of anything
/// else all.
fn said(error: &Error) -> String {
    let text = error.to_string();
    let part = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        rest.split_once('<').map(|(part, _)| part.trim())
    };
    match (part("Code"), part("Message")) {
        (Some(code), Some(message)) => format!("the storage says {code}, {message}"),
        (Some(code), None) => format!("the storage says {code}"),
        _ => text,
    }
}

fn fault(error: Error) -> Fault {
    match error {
        // A bucket that is gone is no answer about what was in it.
        Error::NotFound { source, .. } if source.to_string().contains("NoSuchBucket") => {
            Fault::Refused("there is no such bucket".to_owned())
        }
        Error::NotFound { .. } => Fault::Absent,
        Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. } => Fault::Refused(said(&error)),
        other => Fault::Passing(said(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_stands_in_the_path_or_in_the_hosts_name() {
        let endpoint = "https://minio.example:9000";
        assert_eq!(host_of(endpoint, "b", true), endpoint);
        assert_eq!(host_of(endpoint, "b", false), "https://b.minio.example:9000");
    }

    #[test]
    fn a_conflict_decides_nothing_and_a_missing_bucket_says_nothing() {
        let said_by = |text: &str| Box::new(std::io::Error::other(text.to_owned()));
        let conflict = |text| Error::AlreadyExists { path: "p".to_owned(), source: said_by(text) };
        assert!(is_conflict(&conflict("status code: 409 Conflict: <Error>")));
        assert!(!is_conflict(&conflict("status code: 412 Precondition Failed: <Error>")));
        let missing = |text| Error::NotFound { path: "p".to_owned(), source: said_by(text) };
        assert_eq!(fault(missing("<Code>NoSuchKey</Code>")), Fault::Absent);
        assert!(matches!(fault(missing("<Code>NoSuchBucket</Code>")), Fault::Refused(_)));
        let xml = "403 Forbidden: <?xml version=\"1.0\"?><Error><Code>InvalidAccessKeyId</Code>\
                   <Message>No such key.</Message><RequestId>7</RequestId></Error>";
        let denied = Error::PermissionDenied { path: "p".to_owned(), source: said_by(xml) };
        assert_eq!(said(&denied), "the storage says InvalidAccessKeyId, No such key.");
        let denied = Error::PermissionDenied { path: "p".to_owned(), source: said_by("403") };
        assert!(matches!(fault(denied), Fault::Refused(_)));
    }
}
