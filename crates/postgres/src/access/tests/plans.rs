//! What is planned, as it is shown.

use std::collections::{BTreeMap, BTreeSet};

use howdah_base::Redacted;

use crate::access::scram::Verifier;
use crate::access::{
    Current, Database, Refusal, Rights, Role, Wanted, WantedDatabase, WantedRole, plan,
};

fn shown(current: &Current, wanted: &Wanted) -> String {
    let changes = plan(current, wanted, || [7; 16]).expect("possible");
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(current: &Current, wanted: &Wanted, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(shown(current, wanted), expected.join("\n"));
}

/// A new cluster: the superuser, the predefined roles, two extensions that could be installed.
fn fresh() -> Current {
    let predefined = ["pg_monitor", "pg_read_all_data", "pg_write_all_data", "pg_signal_backend"];
    let names = predefined.iter().chain(&["postgres"]).map(|&name| name.to_owned());
    let versions = [("citext", "1.6"), ("pg_trgm", "1.6")];
    Current {
        roles: names.map(|name| (name, Role::default())).collect(),
        databases: BTreeMap::new(),
        installable: versions.map(|(name, v)| (name.to_owned(), v.to_owned())).into(),
    }
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn app() -> WantedRole {
    WantedRole { password: Some(Redacted::new("hunter2".to_owned())), ..WantedRole::app("app") }
}

fn roles(roles: impl Into<Vec<WantedRole>>) -> Wanted {
    Wanted { roles: roles.into(), databases: Vec::new() }
}

fn databases(databases: impl Into<Vec<WantedDatabase>>) -> Wanted {
    Wanted { roles: vec![WantedRole::app("app")], databases: databases.into() }
}

/// [`fresh`] with the role `app` as the kind `app` leaves it.
fn with_app(role: Role) -> Current {
    let mut current = fresh();
    let rights = Rights { login: true, ..Rights::default() };
    current.roles.insert("app".to_owned(), Role { rights, ..role });
    current
}

#[test]
fn a_new_cluster_gets_everything_in_an_order_that_works() {
    let database = WantedDatabase {
        name: "shop".to_owned(),
        owner: Some("app".to_owned()),
        extensions: set(["citext", "pg_trgm"]),
        settings: texts([("statement_timeout", "30s")]),
    };
    let mut member = app();
    member.member_of = set(["staff"]);
    member.settings = texts([("search_path", "shop, \"$user\"")]);
    let wanted =
        Wanted { roles: vec![member, WantedRole::group("staff")], databases: vec![database] };
    check(
        &fresh(),
        &wanted,
        r#"
        CREATE ROLE "app" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT -1
        CREATE ROLE "staff" NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT -1
        ALTER ROLE "app" PASSWORD '***'
        GRANT "staff" TO "app"
        ALTER ROLE "app" SET "search_path" TO 'shop', '$user'
        CREATE DATABASE "shop" OWNER "app" TEMPLATE template0 ENCODING 'UTF8'
        ALTER DATABASE "shop" SET "statement_timeout" TO '30s'
        in shop: CREATE EXTENSION IF NOT EXISTS "citext" CASCADE
        in shop: CREATE EXTENSION IF NOT EXISTS "pg_trgm" CASCADE
        "#,
    );
}

#[test]
fn the_kinds_of_roles_get_what_they_are_for() {
    let kinds = [
        WantedRole::readonly("reader"),
        WantedRole::admin("boss"),
        WantedRole::monitor("watch"),
        WantedRole::backup("copy"),
    ];
    check(
        &fresh(),
        &roles(kinds),
        r#"
        CREATE ROLE "reader" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT -1
        CREATE ROLE "boss" LOGIN NOSUPERUSER CREATEDB CREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT -1
        CREATE ROLE "watch" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT -1
        CREATE ROLE "copy" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE REPLICATION NOBYPASSRLS CONNECTION LIMIT -1
        GRANT "pg_read_all_data" TO "reader"
        GRANT "pg_monitor" TO "boss"
        GRANT "pg_read_all_data" TO "boss"
        GRANT "pg_signal_backend" TO "boss"
        GRANT "pg_write_all_data" TO "boss"
        GRANT "pg_monitor" TO "watch"
        GRANT "pg_read_all_data" TO "copy"
        "#,
    );
    let mut newer = fresh();
    newer.roles.insert("pg_checkpoint".to_owned(), Role::default());
    let plan = shown(&newer, &roles([WantedRole::backup("copy")]));
    assert!(plan.contains(r#"GRANT "pg_checkpoint" TO "copy""#), "{plan}");
}

#[test]
fn only_what_differs_is_changed() {
    let mut wanted = WantedRole::app("app");
    wanted.rights.createdb = true;
    wanted.rights.connection_limit = 20;
    wanted.settings = texts([("work_mem", "8MB"), ("TimeZone", "UTC")]);
    wanted.member_of = set(["pg_monitor"]);
    let now = Role {
        member_of: set(["pg_read_all_data"]),
        settings: texts([("work_mem", "4MB"), ("timezone", "UTC"), ("jit", "off")]),
        ..Role::default()
    };
    check(
        &with_app(now),
        &roles([wanted]),
        r#"
        ALTER ROLE "app" CREATEDB CONNECTION LIMIT 20
        REVOKE "pg_read_all_data" FROM "app"
        GRANT "pg_monitor" TO "app"
        ALTER ROLE "app" RESET "jit"
        ALTER ROLE "app" SET "work_mem" TO '8MB'
        "#,
    );
}

#[test]
fn a_password_is_set_only_when_the_stored_verifier_is_not_its_own() {
    let stored =
        |verifier: String| Role { password: Some(Redacted::new(verifier)), ..Role::default() };
    let made = |password: &str| Verifier::new(password, [1; 16]).to_string();
    let set = r#"ALTER ROLE "app" PASSWORD '***'"#;
    check(&with_app(stored(made("hunter2"))), &roles([app()]), "");
    check(&with_app(stored(made("hunter3"))), &roles([app()]), set);
    check(
        &with_app(stored("md5d41d8cd98f00b204e9800998ecf8427e".to_owned())),
        &roles([app()]),
        set,
    );
    check(&with_app(Role::default()), &roles([app()]), set);
    check(&with_app(stored(made("any"))), &roles([WantedRole::app("app")]), "");
}

#[test]
fn a_ready_verifier_is_taken_as_it_is() {
    let ready = Verifier::new("hunter2", [1; 16]).to_string();
    let mut wanted = app();
    wanted.password = Some(Redacted::new(ready.clone()));
    let changes = plan(&with_app(Role::default()), &roles([wanted.clone()]), || [7; 16]);
    let changes = changes.expect("possible");
    assert_eq!(changes[0].sql.expose(), &format!("ALTER ROLE \"app\" PASSWORD '{ready}'"));
    let stored = Role { password: Some(Redacted::new(ready)), ..Role::default() };
    check(&with_app(stored), &roles([wanted]), "");
}

#[test]
fn no_secret_is_in_what_is_shown() {
    let changes = plan(&fresh(), &roles([app()]), || [7; 16]).expect("possible");
    let everything = format!("{changes:?}");
    assert!(!everything.contains("hunter2") && !everything.contains("SCRAM"), "{everything}");
    assert!(changes.iter().all(|change| !change.sql.expose().contains("hunter2")));
}

#[test]
fn a_database_follows_the_file_and_is_never_dropped() {
    let now = Database {
        owner: "postgres".to_owned(),
        extensions: texts([("citext", "1.5"), ("plpgsql", "1.0")]),
        settings: texts([("search_path", "\"App\", public"), ("work_mem", "4MB")]),
    };
    let mut current = with_app(Role::default());
    current.databases.insert("shop".to_owned(), now.clone());
    current.databases.insert("other".to_owned(), now);
    let wanted = WantedDatabase {
        name: "shop".to_owned(),
        owner: Some("app".to_owned()),
        extensions: set(["citext"]),
        settings: texts([("search_path", "\"App\",public")]),
    };
    check(
        &current,
        &databases([wanted]),
        r#"
        ALTER DATABASE "shop" OWNER TO "app"
        ALTER DATABASE "shop" RESET "work_mem"
        in shop: ALTER EXTENSION "citext" UPDATE
        "#,
    );
}

#[test]
fn what_nobody_names_is_left_alone() {
    let mut current = with_app(Role { member_of: set(["pg_monitor"]), ..Role::default() });
    current.databases.insert("shop".to_owned(), Database::default());
    check(&current, &Wanted::default(), "");
}

#[test]
fn everything_that_cannot_be_is_told_at_once() {
    let mut lost = WantedRole::app("app");
    lost.member_of = set(["nobody"]);
    let database = WantedDatabase {
        name: "shop".to_owned(),
        owner: Some("ghost".to_owned()),
        extensions: set(["timescaledb"]),
        ..WantedDatabase::default()
    };
    let template = WantedDatabase { name: "template1".to_owned(), ..WantedDatabase::default() };
    let wanted = Wanted {
        roles: vec![lost, WantedRole::app("postgres"), WantedRole::app("howdah_replicator")],
        databases: vec![database, template],
    };
    let refusals = plan(&fresh(), &wanted, || [7; 16]).expect_err("impossible");
    let owned = str::to_owned;
    assert_eq!(
        refusals,
        [
            Refusal::NoGroup { role: owned("app"), group: owned("nobody") },
            Refusal::ReservedRole(owned("postgres")),
            Refusal::ReservedRole(owned("howdah_replicator")),
            Refusal::NoOwner { database: owned("shop"), owner: owned("ghost") },
            Refusal::NoExtension { database: owned("shop"), extension: owned("timescaledb") },
            Refusal::ReservedDatabase(owned("template1")),
        ]
    );
}
