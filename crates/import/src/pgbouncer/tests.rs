//! Inis as text, and what they come to.

use super::*;
use crate::pgbouncer::options::QUERY;
use howdah_spec::PoolMode;
use std::time::Duration;

fn of(text: &str) -> Read {
    read("a.ini", text, &mut |path| match path {
        "more.ini" => Ok("[pgbouncer]\nmax_client_conn = 77\nbad_key = 1\n".to_owned()),
        "self.ini" => Ok("%include self.ini\n".to_owned()),
        _ => Err(format!("cannot read the file, not found: `{path}`")),
    })
}

/// A file with one database and these lines of `[pgbouncer]`.
fn with(lines: &str) -> Read {
    of(&format!("[databases]\nd = host=h\n[pgbouncer]\n{lines}\n"))
}

#[test]
fn the_file_of_a_seed_is_followed_line_by_line() {
    let read = of("[databases]
bookreader = host=postgres port=5432 dbname=bookreader
[pgbouncer]
listen_addr = *
listen_port = 6432
auth_type = md5
auth_file = /etc/pgbouncer/userlist.txt
admin_users = postgres
stats_users = stats, postgres
# Connection pooling
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 50
min_pool_size = 10
reserve_pool_size = 10
reserve_pool_timeout = 3
max_db_connections = 100
max_user_connections = 100
server_idle_timeout = 600
server_lifetime = 3600
server_connect_timeout = 15
query_timeout = 0
query_wait_timeout = 120
client_idle_timeout = 0
log_connections = 1
log_disconnections = 1
log_pooler_errors = 1
application_name_add_host = 1
ignore_startup_parameters = extra_float_digits
");
    assert_eq!((&read.warnings[..], &read.mistakes[..]), (&[][..], &[][..]));
    let Settings { pool, listen, auth, times, startup, console, .. } = read.settings;
    assert_eq!(listen.addresses, [ListenAddr::All]);
    assert_eq!((pool.mode, pool.clients_max, pool.size), (PoolMode::Transaction, 1000, 50));
    assert_eq!((pool.min, pool.reserve, pool.reserve_wait), (10, 10, Duration::from_secs(3)));
    assert_eq!((pool.database_servers_max, pool.user_servers_max), (Some(100), Some(100)));
    assert_eq!((auth.kind, auth.query.as_str()), (AuthType::Md5, QUERY));
    assert_eq!((times.query, times.wait), (None, Some(Duration::from_secs(120))));
    assert_eq!(
        (startup.adds_host, &startup.ignored[..]),
        (true, &["extra_float_digits".into()][..])
    );
    assert_eq!(console.watchers, ["stats", "postgres"]);
}

#[test]
fn the_other_seeds_file_has_a_key_that_pgbouncer_lacks() {
    let read = of("[databases]
insurance_lead_gen = host=primary-db.insurance-lead-gen.internal port=5432 dbname=insurance_lead_gen

[pgbouncer]
pool_mode = session
max_client_conn = 10000
default_pool_size = 100
min_pool_size = 25
reserve_pool_size = 50
reserve_pool_timeout = 3
query_timeout = 30
idle_timeout = 900
server_lifetime = 3600
");
    let taken =
        "a.ini:12: `idle_timeout`: PgBouncer has no such key; taken for `server_idle_timeout`";
    assert_eq!((&read.warnings[..], &read.mistakes[..]), (&[taken.to_owned()][..], &[][..]));
    assert_eq!(read.settings.times.server_idle, Some(Duration::from_secs(900)));
    assert_eq!(read.settings.times.query, Some(Duration::from_secs(30)));
}

#[test]
fn all_mistakes_are_told_at_once_with_their_place_and_without_passwords() {
    let read = of("stray = 1
[databases]
a = host=h password=secret port=x
b = host='h
c = host=h colour=red
pgbouncer = host=h
[pgbouncer]
listen_port = 99999
pool_mode = fast
pol_mode = session
auth_type = pam
server_reset_query = select 1
auth_type = cert
client_tls_sslmode = require
nonsense
%include gone.ini
%include more.ini
[peers]
1 = host=h
[users]
app = pool_size=many
[other]
x = 1
");
    assert_eq!(
        read.mistakes,
        [
            "a.ini:1: it stands before any section: `stray`",
            "a.ini:3: database a, not a number in its range: `port=x`",
            "a.ini:4: database b, a quote is not closed",
            "a.ini:5: database c, not a key of a database: `colour=red`",
            "a.ini:6: that name is the console's",
            "a.ini:8: listen_port is not a number in its range: `99999`",
            "a.ini:9: pool_mode is not one of session, transaction, statement: `fast`",
            "a.ini:10: not a key of PgBouncer's: `pol_mode`",
            "a.ini:11: auth_type is not spoken here: use scram-sha-256 or cert: `pam`",
            "a.ini:15: not name = value",
            "a.ini:16: cannot read the file, not found: `gone.ini`",
            "more.ini:3: not a key of PgBouncer's: `bad_key`",
            "a.ini:21: user app, not a number in its range: `pool_size=many`",
            "a.ini:23: not a section of PgBouncer's: `other`",
            "`client_tls_sslmode` needs `client_tls_key_file` and `client_tls_cert_file`",
            "`auth_type = cert` needs `client_tls_sslmode = verify-ca` or `verify-full`",
            "`[databases]` names none",
        ]
    );
    let reset = "a.ini:12: `server_reset_query`: DISCARD ALL it is, in every mode; leave it out";
    assert_eq!(read.warnings[0], reset);
    assert!(read.warnings[1].starts_with("a.ini:19: peers 1: one process serves"), "{read:?}");
    assert_eq!(read.settings.pool.clients_max, 77);
}

#[test]
fn a_file_that_includes_itself_ends() {
    let read = with("%include self.ini");
    assert_eq!(read.mistakes, ["self.ini:1: too many files are included"]);
}

#[test]
fn a_password_is_never_in_a_mistake() {
    let read =
        of("[databases]\na = host=h password=hunter2 pool_mode=x\n\"b\" = password='hunter2'' \n");
    assert_eq!(read.mistakes.len(), 3, "{read:?}");
    assert!(!format!("{read:?}").contains("hunter2"), "{read:?}");
}

#[test]
fn every_key_stands_in_the_document() {
    let document = include_str!("../../../../docs/pgbouncer.md");
    for option in OPTIONS.iter().copied().flatten() {
        let row = document.lines().find(|line| line.starts_with(&format!("| `{}` |", option.name)));
        let row = row.unwrap_or_else(|| panic!("`{}` has no row", option.name));
        let counts = if option.reloads { "| now |" } else { "| start |" };
        assert!(row.contains(counts), "{row}");
        if let Takes::Not(why) = option.takes {
            assert!(row.contains(why), "{row}: {why}");
        }
    }
}

/// Each key has a value that is not its default: it moves a setting, or is named in a warning.
#[test]
fn every_key_is_followed_or_named_and_every_default_is_taken() {
    let before = format!("{:?}", with("").settings);
    for option in OPTIONS.iter().copied().flatten() {
        let value = other_value(option);
        let read = with(&format!("{} = {value}", option.name));
        let mistakes: Vec<_> =
            read.mistakes.iter().filter(|mistake| mistake.starts_with("a.ini")).collect();
        assert!(mistakes.is_empty(), "{}: {mistakes:?}", option.name);
        let moved = format!("{:?}", read.settings) != before;
        let named = read.warnings.iter().any(|note| note.contains(&format!("`{}`", option.name)));
        assert!(moved || named, "{} = {value} has no effect", option.name);
        let read = with(&format!("{} = {}", option.name, option.default));
        let mistakes: Vec<_> =
            read.mistakes.iter().filter(|mistake| mistake.starts_with("a.ini")).collect();
        assert!(mistakes.is_empty(), "{}: {mistakes:?}", option.name);
    }
}

fn other_value(option: &Opt) -> &'static str {
    match option.name {
        "listen_addr" => "127.0.0.1, ::1",
        "unix_socket_mode" => "0700",
        "pool_mode" => "statement",
        "auth_type" => "trust",
        "client_tls_sslmode" | "server_tls_sslmode" => "verify-full",
        "client_tls_protocols" | "server_tls_protocols" => "tlsv1.3",
        "server_reset_query" => "",
        _ if option.default == "1" => "0",
        _ if option.default == "0" => "1",
        _ => "7",
    }
}

#[test]
fn databases_are_read_as_connection_strings() {
    let read = of("[databases]
* = host=/run/pg
\"odd \"\"name\" = host=a,b port=5433 dbname='with space' user=u password='it''s' pool_size=3
x = pool_mode=statement max_db_connections=0 timezone=UTC connect_query='select 1'
");
    assert_eq!(read.mistakes, [""; 0]);
    let odd = &read.settings.databases["odd \"name"];
    assert_eq!((&odd.hosts[..], odd.port), (&["a".to_owned(), "b".to_owned()][..], Some(5433)));
    assert_eq!(odd.name.as_deref(), Some("with space"));
    assert_eq!(odd.password.as_ref().map(|text| text.expose().as_str()), Some("it's"));
    assert_eq!(odd.own.size, Some(3));
    assert_eq!(read.settings.databases["x"].begins_with, [("timezone".into(), "UTC".into())]);
    assert!(read.settings.fallback.is_some());
    assert_eq!(read.warnings.len(), 1, "{:?}", read.warnings);
}

#[test]
fn a_user_list_has_two_quoted_fields_a_line() {
    let (users, bad) = userlist(
        "; comment\n\"app\" \"se\"\"cret\"\n\"md\" \"md5abc\" \"more\"\napp secret\n\"\" \"x\"\n\"open\n",
    );
    let users: Vec<_> =
        users.iter().map(|(name, text)| (name.as_str(), text.expose().as_str())).collect();
    assert_eq!(users, [("app", "se\"cret"), ("md", "md5abc")]);
    assert_eq!(bad, [4, 5, 6]);
}

#[test]
fn variables_of_the_images_are_an_ini() {
    let of = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ini_of(&pairs.collect())
    };
    // edoburu/pgbouncer, as a seed has it.
    let said = of(&[
        ("DATABASE_URL", "postgres://janua:p%40ss@postgres:5432/janua?sslmode=require"),
        ("POOL_MODE", "transaction"),
        ("MAX_CLIENT_CONN", "1000"),
        ("SERVER_RESET_QUERY", "DISCARD ALL"),
        ("AUTH_TYPE", "scram-sha-256"),
    ])
    .expect("a database");
    assert_eq!(
        said.ini,
        "[databases]\n\"janua\" = host='postgres' port='5432' dbname='janua'\n\n[pgbouncer]\n\
         admin_users = janua\nauth_type = scram-sha-256\nlisten_addr = *\nlisten_port = 5432\n\
         max_client_conn = 1000\npool_mode = transaction\nserver_reset_query = DISCARD ALL\n\
         unix_socket_dir = \n"
    );
    assert_eq!(said.userlist, "\"janua\" \"p@ss\"\n");
    // pgbouncer/pgbouncer, as another seed has it.
    let said = of(&[
        ("DATABASES_HOST", "postgres"),
        ("DATABASES_PORT", "5432"),
        ("DATABASES_USER", "bookreader_app"),
        ("DATABASES_PASSWORD", "secret"),
        ("DATABASES_DBNAME", "bookreader"),
        ("PGBOUNCER_POOL_MODE", "transaction"),
        ("PGBOUNCER_LISTEN_PORT", "6432"),
    ])
    .expect("a database");
    assert!(
        said.ini.starts_with(
            "[databases]\n\"bookreader\" = host='postgres' port='5432' dbname='bookreader' \
             user='bookreader_app' password='secret'\n"
        ),
        "{}",
        said.ini
    );
    assert!(said.ini.contains("pool_mode = transaction\n"), "{}", said.ini);
    let read = read("environment", &said.ini, &mut |_| Err(String::new()));
    assert_eq!((read.mistakes.len(), read.warnings.len()), (0, 0), "{read:?}");
    // bitnami/pgbouncer.
    let said = of(&[("POSTGRESQL_HOST", "db"), ("PGBOUNCER_DATABASE", "*")]).expect("a database");
    assert!(said.ini.starts_with("[databases]\n* = host='db'\n"), "{}", said.ini);
    assert!(of(&[("PATH", "/bin")]).is_none());
    // What is none of PgBouncer's, and what Kubernetes adds.
    let said = of(&[
        ("DB_HOST", "db"),
        ("PGBOUNCER_POOL_MODUS", "session"),
        ("PGBOUNCER_POOL_MODE", "fast"),
        ("PGBOUNCER_PORT", "tcp://10.0.0.1:6432"),
        ("PGBOUNCER_PORT_6432_TCP_ADDR", "10.0.0.1"),
        ("PGBOUNCER_SERVICE_HOST", "10.0.0.1"),
    ])
    .expect("a database");
    assert_eq!(said.unknown, ["PGBOUNCER_POOL_MODUS"]);
    let line = said.ini.lines().position(|line| line == "pool_mode = fast").expect("there") + 1;
    assert_eq!(said.places.get(&line).map(String::as_str), Some("PGBOUNCER_POOL_MODE"));
    assert!(said.ini.contains("listen_port = 5432\n"), "{}", said.ini);
}
