//! A changed `[backup]` comes into force only with the right key: with a wrong one, WAL would stop
//! going into the repository, and backups with it.

use std::time::Duration;

use howdah_api::Ask;
use howdah_base::NodeName;
use howdah_base::ask::{Refusal, RefusalClass};
use howdah_repo::RepoError;
use howdah_spec::backup::BackupSpec;
use howdah_spec::{ClusterSpec, NodeKind};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::open;
use crate::node::read_again;

/// A storage that does not answer within this is no reason to keep a file out: the status tells of it.
const WITHIN: Duration = Duration::from_secs(10);

/// Why a file that is to come into force must not: `node` cannot open the repository that it names.
/// What the file says of anything else is not looked at here, and a witness, which backs nothing up and
/// has no key, looks at nothing.
pub async fn refusal(asked: &Ask, now: Option<&ClusterSpec>, node: &NodeName) -> Option<Refusal> {
    let (Ask::Apply { text, .. }, Some(now)) = (asked, now) else { return None };
    now.nodes.get(node).filter(|own| own.kind == NodeKind::Data)?;
    let wanted = read_again(text, now).ok()?.backup?;
    if now.backup.as_ref().is_some_and(|now| is_opened_alike(now, &wanted)) {
        return None;
    }
    // Keys may be read from a disk that hangs, or be what a command prints.
    let runtime = Handle::current();
    let opening = spawn_blocking(move || runtime.block_on(open::open_there(&wanted)).map(drop));
    let opened = timeout(WITHIN, opening).await.ok()?.ok()?;
    let error = opened.err()?;
    let Some(RepoError::Key { what, hint }) = error.downcast_ref() else { return None };
    let message = format!("node `{node}` cannot open the repository that `[backup]` names: {what}");
    Some(Refusal::new(message).hint(hint).class(RefusalClass::Precondition))
}

fn is_opened_alike(one: &BackupSpec, other: &BackupSpec) -> bool {
    one.repository == other.repository && one.cipher == other.cipher && one.key == other.key
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use howdah_repo::{KeySource, Repository, Storage};

    use super::*;

    fn file(place: &Path, backup: &str) -> String {
        let place = place.display();
        format!(
            "cluster = \"demo\"\nbase_dir = \"{place}\"\n[nodes.n1]\n[backup]\n\
             repository = \"{place}/r\"\n{backup}"
        )
    }

    fn spec(place: &Path, backup: &str) -> ClusterSpec {
        crate::file::parse(&place.join("howdah.toml"), &file(place, backup)).expect("a file")
    }

    fn apply(place: &Path, backup: &str) -> Ask {
        Ask::Apply { text: file(place, backup), revision: None }
    }

    fn node(name: &str) -> NodeName {
        name.parse().expect("a name")
    }

    #[tokio::test]
    async fn another_key_or_cipher_than_the_repositorys_is_refused() {
        let place = std::env::temp_dir().join(format!("howdah-opens-{}", std::process::id()));
        std::fs::create_dir_all(&place).expect("a folder");
        for (name, byte) in [("right", '1'), ("wrong", '2')] {
            let file = place.join(name);
            std::fs::write(&file, byte.to_string().repeat(64)).expect("a key");
            std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("ours alone");
        }
        let key = |name: &str| format!("key = {{ file = \"{}/{name}\" }}\n", place.display());
        let (right, wrong, none) = (key("right"), key("wrong"), "cipher = \"none\"\n");
        let now = spec(&place, &right);
        // No repository is there yet: whoever leads makes it.
        assert_eq!(refusal(&apply(&place, &wrong), Some(&now), &node("n1")).await, None);

        let backup = now.backup.as_ref().expect("backups");
        let storage: Storage = open::storage(backup).expect("a storage");
        let source = KeySource::File(place.join("right"));
        Repository::create(storage, &source, 7, 0).await.expect("made");
        let said = async |backup: &str, now: &ClusterSpec| {
            refusal(&apply(&place, backup), Some(now), &node("n1"))
                .await
                .map(|refusal| refusal.error)
        };
        assert_eq!(said(&right, &now).await, None);
        assert_eq!(said(&right, &spec(&place, none)).await, None);
        let of_key = said(&wrong, &now).await.expect("refused");
        assert!(of_key.contains("the key is not this repository's"), "{of_key}");
        let of_cipher = said(none, &now).await.expect("refused");
        assert!(of_cipher.contains("sealed with `aes-256-gcm`, not with `none`"), "{of_cipher}");
        let absent = said(&key("gone"), &now).await.expect("refused");
        assert!(absent.contains("gone"), "{absent}");
        // What was in force so far has nothing to do with whoever changes something else.
        assert_eq!(said(&wrong, &spec(&place, &wrong)).await, None);
        assert_eq!(refusal(&Ask::Pause, Some(&now), &node("n1")).await, None);
        let mut witness = spec(&place, &right);
        witness.nodes.get_mut(&node("n1")).expect("it is there").kind = NodeKind::Witness;
        assert_eq!(said(&wrong, &witness).await, None, "it has no key");
        assert!(of_key.starts_with("node `n1` cannot open"), "{of_key}");
        std::fs::remove_dir_all(&place).expect("removed");
    }
}
