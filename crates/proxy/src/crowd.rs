//! How many clients there are of each database, role and address, and whether one more may come.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use howdah_wire::ErrorResponse;

use crate::policy::Policy;

/// What clients are counted by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Database(String),
    Role(String),
    Address(IpAddr),
}

/// All clients of a process.
#[derive(Clone, Default, Debug)]
pub(crate) struct Crowd(Arc<Mutex<BTreeMap<Kind, u32>>>);

/// One client of them, for as long as it is there.
#[derive(Debug)]
pub(crate) struct Member {
    crowd: Crowd,
    kinds: [Kind; 3],
}

impl Crowd {
    /// Lets a client in, unless there are too many of its kind.
    ///
    /// # Errors
    /// What it is told.
    pub fn enter(
        &self,
        policy: &Policy,
        database: &str,
        role: &str,
        from: IpAddr,
    ) -> Result<Member, ErrorResponse> {
        let limits = [
            policy.database_clients_max(database),
            policy.role_clients_max(role),
            policy.address_clients_max,
        ];
        let kinds = [Kind::Database(database.into()), Kind::Role(role.into()), Kind::Address(from)];
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, limit) in kinds.iter().zip(limits) {
            let there = counts.get(kind).copied().unwrap_or_default();
            if let Some(limit) = limit.filter(|limit| there >= *limit) {
                let (of, name, key) = match kind {
                    Kind::Database(name) => ("database", name.clone(), "database_clients_max"),
                    Kind::Role(name) => ("role", name.clone(), "role_clients_max"),
                    Kind::Address(address) => {
                        ("address", address.to_string(), "address_clients_max")
                    }
                };
                let message = format!("too many clients of {of} \"{name}\"");
                let hint = format!("`{limit}` are allowed (`{key}`, or `clients_max` of its own)");
                return Err(ErrorResponse::fatal("53300", message).hint(hint));
            }
        }
        for kind in &kinds {
            *counts.entry(kind.clone()).or_default() += 1;
        }
        drop(counts);
        Ok(Member { crowd: self.clone(), kinds })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut counts = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        for kind in &self.kinds {
            if let Some(count) = counts.get_mut(kind) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(kind);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::policy::Own;

    #[test]
    fn each_kind_has_its_own_limit_and_nothing_stays_counted() {
        let mut policy = Policy { database_clients_max: Some(3), ..Policy::default() };
        let two = Own { clients_max: Some(2), ..Own::default() };
        policy.roles.insert("app".to_owned(), two);
        let crowd = Crowd::default();
        let enter = |database, role| {
            let from = Ipv4Addr::LOCALHOST.into();
            crowd.enter(&policy, database, role, from).map_err(|error| error.message)
        };
        let _one = enter("shop", "app").expect("let in");
        let two = enter("shop", "app").expect("let in");
        assert_eq!(enter("shop", "app").expect_err("full"), "too many clients of role \"app\"");
        let _three = enter("shop", "jobs").expect("let in");
        let full = "too many clients of database \"shop\"";
        assert_eq!(enter("shop", "jobs").expect_err("full"), full);
        drop(two);
        let _other = enter("shop", "app").expect("let in");
        drop((_one, _three, _other));
        assert!(crowd.0.lock().expect("not poisoned").is_empty());
    }
}
