//! Encryption, towards clients and towards servers.

use std::fs;
use std::os::unix::fs::chown;
use std::time::SystemTime;

use howdah_tls::Authority;

use crate::rig::Site;

const TLS: &str = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";

/// A CA in the site's directory `name`, with a certificate of the node `app` for this machine.
fn authority(site: &Site, name: &str) -> String {
    howdah_tls::install_provider();
    let dir = site.path(name);
    let cluster = "test".parse().expect("a name");
    let ca = Authority::open_or_create(&dir, &cluster, SystemTime::now()).expect("a CA");
    ca.node(&"app".parse().expect("a name"), "127.0.0.1", None).expect("a certificate");
    dir.display().to_string()
}

#[test]
fn clients_must_encrypt_where_it_is_asked_for_and_may_show_a_certificate() {
    let site = Site::start();
    let dir = authority(&site, "tls");
    let files =
        format!("client_tls_key_file = {dir}/app.key\nclient_tls_cert_file = {dir}/app.crt\n");
    let who = "select current_user";
    {
        let lines = format!("auth_type = scram-sha-256\nclient_tls_sslmode = require\n{files}");
        let pooler = site.pool("", &lines);
        let plain = pooler.psql_to(
            "host=127.0.0.1 user=app dbname=postgres sslmode=disable",
            "secret",
            who,
        );
        assert_eq!(plain, "FATAL:  SSL required");
        let conninfo = format!(
            "host=127.0.0.1 user=app dbname=postgres sslmode=verify-full sslrootcert={dir}/ca.crt"
        );
        assert_eq!(pooler.psql_to(&conninfo, "secret", who), "app");
    }
    let lines = format!(
        "auth_type = cert\nclient_tls_sslmode = verify-full\nclient_tls_ca_file = {dir}/ca.crt\n{files}"
    );
    let pooler = site.pool("", &lines);
    let with = |user: &str, certificate: &str| {
        let conninfo =
            format!("host=127.0.0.1 user={user} dbname=postgres sslmode=require {certificate}");
        pooler.psql_to(&conninfo, "", who)
    };
    let shown = format!("sslcert={dir}/app.crt sslkey={dir}/app.key");
    assert_eq!(with("app", &shown), "app");
    let other = with("postgres", &shown);
    assert_eq!(other, "FATAL:  password authentication failed for user \"postgres\"");
    let none = with("app", "sslcert=/nowhere");
    assert!(none != "app", "{none}");
}

#[test]
fn servers_are_encrypted_to_and_verified_as_far_as_it_is_asked_for() {
    let site = Site::start();
    let (dir, foreign) = (authority(&site, "tls"), authority(&site, "foreign"));
    let data = site.sql("show data_directory");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&data).expect("there"));
    for file in ["app.crt", "app.key"] {
        let to = format!("{data}/{file}");
        fs::copy(format!("{dir}/{file}"), &to).expect("copied");
        chown(&to, Some(owner), Some(owner)).expect("owned");
    }
    for (name, value) in [("ssl_cert_file", "app.crt"), ("ssl_key_file", "app.key"), ("ssl", "on")]
    {
        site.sql(&format!("alter system set {name} = '{value}'"));
    }
    site.sql("select pg_reload_conf()");
    for (lines, encrypted) in [
        ("server_tls_sslmode = disable".to_owned(), "f"),
        ("server_tls_sslmode = prefer".to_owned(), "t"),
        (format!("server_tls_sslmode = verify-ca\nserver_tls_ca_file = {dir}/ca.crt"), "t"),
        (format!("server_tls_sslmode = verify-full\nserver_tls_ca_file = {dir}/ca.crt"), "t"),
    ] {
        let pooler = site.pool("", &format!("auth_type = scram-sha-256\n{lines}"));
        assert_eq!(pooler.psql("app", "secret", "postgres", TLS), encrypted, "{lines}");
    }
    let foreign = format!(
        "auth_type = scram-sha-256\nquery_wait_timeout = 1\nserver_tls_sslmode = verify-ca\n\
         server_tls_ca_file = {foreign}/ca.crt"
    );
    let pooler = site.pool("", &foreign);
    let said = pooler.psql("app", "secret", "postgres", TLS);
    assert!(said.starts_with("FATAL:  no server became free in time"), "{said}");
    assert!(
        site.log().contains("UnknownIssuer") || site.log().contains("certificate"),
        "{}",
        site.log()
    );
    drop(pooler);
    // A certificate that is its own authority.
    for (from, file) in [("ca.crt", "app.crt"), ("ca.key", "app.key")] {
        let to = format!("{data}/{file}");
        fs::copy(format!("{dir}/{from}"), &to).expect("copied");
        chown(&to, Some(owner), Some(owner)).expect("owned");
    }
    site.sql("select pg_reload_conf()");
    let lines = format!(
        "auth_type = scram-sha-256\nserver_tls_sslmode = verify-ca\nserver_tls_ca_file = {dir}/ca.crt"
    );
    let pooler = site.pool("", &lines);
    let seen = || (pooler.psql("app", "secret", "postgres", TLS) == "t").then_some(());
    howdah_testkit::wait::until("it is trusted", crate::rig::WITHIN, seen, || site.log());
    drop(pooler);
    let pooler = site.pool("", &foreign);
    let said = pooler.psql("app", "secret", "postgres", TLS);
    assert!(said.starts_with("FATAL:  no server became free in time"), "{said}");
}

#[test]
fn clients_speak_a_version_that_is_allowed() {
    let site = Site::start();
    let dir = authority(&site, "tls");
    let files =
        format!("client_tls_key_file = {dir}/app.key\nclient_tls_cert_file = {dir}/app.crt\n");
    let old = "host=127.0.0.1 user=app dbname=postgres sslmode=require \
               ssl_max_protocol_version=TLSv1.2";
    for (protocols, let_in) in [("secure", true), ("tlsv1.3", false)] {
        let lines = format!(
            "auth_type = scram-sha-256\nclient_tls_sslmode = require\n{files}\
             client_tls_protocols = {protocols}"
        );
        let pooler = site.pool("", &lines);
        let said = pooler.psql_to(old, "secret", "select 'in'");
        assert_eq!(said == "in", let_in, "{protocols}: {said}");
        let new = old.replace("ssl_max", "ssl_min").replace("1.2", "1.3");
        assert_eq!(pooler.psql_to(&new, "secret", "select 'in'"), "in");
    }
}

#[test]
fn servers_are_shown_a_certificate_and_speak_a_version_that_is_allowed() {
    let site = Site::start();
    let dir = authority(&site, "tls");
    let data = site.sql("show data_directory");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&data).expect("there"));
    for file in ["app.crt", "app.key", "ca.crt"] {
        let to = format!("{data}/{file}");
        fs::copy(format!("{dir}/{file}"), &to).expect("copied");
        chown(&to, Some(owner), Some(owner)).expect("owned");
    }
    for (name, value) in [
        ("ssl_cert_file", "app.crt"),
        ("ssl_key_file", "app.key"),
        ("ssl_ca_file", "ca.crt"),
        ("ssl_max_protocol_version", "TLSv1.2"),
        ("ssl", "on"),
    ] {
        site.sql(&format!("alter system set {name} = '{value}'"));
    }
    site.sql("select pg_reload_conf()");
    let base = "auth_type = scram-sha-256\nserver_tls_sslmode = require\nquery_wait_timeout = 20\n";
    let shown = "select client_dn from pg_stat_ssl where pid = pg_backend_pid()";
    {
        let pooler = site.pool("", base);
        assert_eq!(pooler.psql("app", "secret", "postgres", shown), "");
    }
    {
        let files =
            format!("server_tls_key_file = {dir}/app.key\nserver_tls_cert_file = {dir}/app.crt");
        let pooler = site.pool("", &format!("{base}{files}"));
        let said = pooler.psql("app", "secret", "postgres", shown);
        assert!(said.contains("CN=app"), "{said}");
    }
    let only = format!("{}server_tls_protocols = tlsv1.3", base.replace("= 20", "= 1"));
    let pooler = site.pool("", &only);
    let said = pooler.psql("app", "secret", "postgres", shown);
    assert!(said.starts_with("FATAL:  no server became free in time"), "{said}");
}
