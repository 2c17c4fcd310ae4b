//! What the cluster file asks for, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use howdah_base::Redacted;

/// All roles and databases of the file. Names are unique.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    pub roles: Vec<WantedRole>,
    pub databases: Vec<WantedDatabase>,
}

/// A role as the file wants it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WantedRole {
    pub name: String,
    pub rights: Rights,
    /// In clear, or a SCRAM verifier. `None` leaves the role's password as it is.
    pub password: Option<Redacted<String>>,
    /// The roles that it is a member of, and no others.
    pub member_of: BTreeSet<String>,
    /// Predefined roles that older majors do not have: member where there is such a role.
    pub member_of_if_there: BTreeSet<String>,
    /// `ALTER ROLE ... SET`, and no others.
    pub settings: BTreeMap<String, String>,
}

/// The attributes of a role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    pub login: bool,
    pub superuser: bool,
    pub createdb: bool,
    pub createrole: bool,
    pub replication: bool,
    pub bypassrls: bool,
    /// -1: no limit.
    pub connection_limit: i32,
}

impl Default for Rights {
    /// No right at all, not even to log in.
    fn default() -> Rights {
        Rights {
            login: false,
            superuser: false,
            createdb: false,
            createrole: false,
            replication: false,
            bypassrls: false,
            connection_limit: -1,
        }
    }
}

/// A database as the file wants it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WantedDatabase {
    pub name: String,
    /// `None`: the superuser for a new database, as it is for one that exists.
    pub owner: Option<String>,
    /// Created where missing, updated to the installed version; others are left alone.
    pub extensions: BTreeSet<String>,
    /// `ALTER DATABASE ... SET`, and no others.
    pub settings: BTreeMap<String, String>,
}

/// The kinds of roles in the file.
impl WantedRole {
    /// Logs in. What else it may, it may as the owner of its database: `pg_database_owner`
    /// owns the schema `public` there since PostgreSQL 14.
    pub fn app(name: &str) -> WantedRole {
        WantedRole::named(name, Rights { login: true, ..Rights::default() }, &[])
    }

    /// Reads every table there is and will be.
    pub fn readonly(name: &str) -> WantedRole {
        WantedRole::named(name, Rights { login: true, ..Rights::default() }, &["pg_read_all_data"])
    }

    /// Whatever an operator does day by day, short of a superuser.
    pub fn admin(name: &str) -> WantedRole {
        WantedRole::named(
            name,
            Rights { login: true, createdb: true, createrole: true, ..Rights::default() },
            &["pg_monitor", "pg_signal_backend", "pg_read_all_data", "pg_write_all_data"],
        )
    }

    /// Reads statistics and settings.
    pub fn monitor(name: &str) -> WantedRole {
        WantedRole::named(name, Rights { login: true, ..Rights::default() }, &["pg_monitor"])
    }

    /// Copies the cluster, physically or logically.
    pub fn backup(name: &str) -> WantedRole {
        let rights = Rights { login: true, replication: true, ..Rights::default() };
        let mut role = WantedRole::named(name, rights, &["pg_read_all_data"]);
        role.member_of_if_there = BTreeSet::from(["pg_checkpoint".to_owned()]);
        role
    }

    /// Cannot log in; others are members of it.
    pub fn group(name: &str) -> WantedRole {
        WantedRole::named(name, Rights::default(), &[])
    }

    fn named(name: &str, rights: Rights, member_of: &[&str]) -> WantedRole {
        let member_of = member_of.iter().map(|&role| role.to_owned()).collect();
        WantedRole { name: name.to_owned(), rights, member_of, ..WantedRole::default() }
    }
}
