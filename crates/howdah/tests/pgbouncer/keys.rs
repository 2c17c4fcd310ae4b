//! Which test sees the effect of which key, and that no key is without one.

use std::collections::BTreeMap;

use howdah_import::pgbouncer::{OPTIONS, Opt, Takes};

use crate::rig::Site;

/// Files of tests, and what stands in them.
const FILES: [(&str, &str); 8] = [
    ("doors", include_str!("doors.rs")),
    ("life", include_str!("life.rs")),
    ("logins", include_str!("logins.rs")),
    ("operator", include_str!("operator.rs")),
    ("pools", include_str!("pools.rs")),
    ("sizes", include_str!("sizes.rs")),
    ("times", include_str!("times.rs")),
    ("tls", include_str!("tls.rs")),
];

/// Tests, and the keys whose effects they see.
const SEEN: [(&str, &[&str]); 28] = [
    (
        "doors::it_listens_where_it_is_told_to_as_whom_it_is_told_to",
        &["listen_addr", "listen_port", "listen_backlog", "user", "unix_socket_group"],
    ),
    ("doors::two_may_listen_at_one_port_where_both_say_so", &["so_reuseport", "unix_socket_dir"]),
    ("pools::clients_and_servers_meet_over_unix_sockets", &["unix_socket_mode"]),
    ("doors::silent_connections_are_probed_as_the_keys_say", &["tcp_keepalive", "tcp_keepidle"]),
    (
        "doors::a_client_that_takes_nothing_is_given_up_after_tcp_user_timeout",
        &["tcp_user_timeout"],
    ),
    ("doors::whoever_is_let_in_stands_in_the_log_unless_it_is_told_not_to", &["log_connections"]),
    ("life::a_quit_waits_for_nothing", &["pidfile"]),
    ("pools::transactions_share_servers_and_sessions_do_not", &["pool_mode", "default_pool_size"]),
    ("pools::max_client_conn_counts_everybody", &["max_client_conn"]),
    ("sizes::servers_are_there_before_they_are_asked_for", &["min_pool_size"]),
    (
        "sizes::a_reserve_is_for_those_who_have_waited",
        &["reserve_pool_size", "reserve_pool_timeout"],
    ),
    (
        "sizes::limits_hold_over_pools",
        &[
            "max_db_connections",
            "max_user_connections",
            "max_db_client_connections",
            "max_user_client_connections",
        ],
    ),
    ("pools::limits_of_clients_and_of_waits_are_kept", &["query_wait_timeout", "query_timeout"]),
    (
        "times::what_takes_too_long_ends",
        &[
            "transaction_timeout",
            "idle_transaction_timeout",
            "client_idle_timeout",
            "client_login_timeout",
        ],
    ),
    (
        "times::servers_go_when_nobody_uses_them_and_when_they_are_old",
        &["server_idle_timeout", "idle_timeout", "server_lifetime"],
    ),
    (
        "times::a_server_that_is_none_is_waited_for_and_tried_again_as_the_keys_say",
        &["server_connect_timeout", "server_login_retry"],
    ),
    ("logins::a_password_is_proved_in_every_way_and_nobody_tells_who_is_known", &["auth_type"]),
    ("life::files_are_read_anew_and_bad_ones_change_nothing", &["auth_file"]),
    ("logins::rules_judge_by_the_way_and_the_address", &["auth_hba_file"]),
    ("logins::roles_that_no_list_has_are_asked_of_their_server", &["auth_user"]),
    (
        "logins::roles_are_asked_for_by_the_query_and_in_the_database_that_are_named",
        &["auth_query", "auth_dbname"],
    ),
    ("operator::whoever_is_named_commands_or_looks", &["admin_users", "stats_users"]),
    (
        "tls::clients_must_encrypt_where_it_is_asked_for_and_may_show_a_certificate",
        &[
            "client_tls_sslmode",
            "client_tls_key_file",
            "client_tls_cert_file",
            "client_tls_ca_file",
        ],
    ),
    (
        "tls::servers_are_encrypted_to_and_verified_as_far_as_it_is_asked_for",
        &["server_tls_sslmode", "server_tls_ca_file"],
    ),
    ("tls::clients_speak_a_version_that_is_allowed", &["client_tls_protocols"]),
    (
        "tls::servers_are_shown_a_certificate_and_speak_a_version_that_is_allowed",
        &["server_tls_key_file", "server_tls_cert_file", "server_tls_protocols"],
    ),
    (
        "pools::databases_lead_where_they_say",
        &["ignore_startup_parameters", "application_name_add_host"],
    ),
    ("operator::a_key_is_set_until_everything_is_read_anew", &["default_pool_size"]),
];

fn followed() -> impl Iterator<Item = &'static Opt> {
    let all = OPTIONS.iter().copied().flatten();
    all.filter(|option| matches!(option.takes, Takes::Sets(_)))
}

/// The text of a test: from its name up to the next line that closes something outermost.
fn body(test: &str) -> Option<&'static str> {
    let (file, name) = test.split_once("::")?;
    let (_, text) = FILES.iter().find(|(known, _)| *known == file)?;
    let from = text.find(&format!("#[test]\nfn {name}()"))?;
    let len = text[from..].find("\n}\n")?;
    Some(&text[from..from + len])
}

#[test]
fn every_key_that_is_followed_is_seen_in_a_test() {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (test, keys) in SEEN {
        let body = body(test).unwrap_or_else(|| panic!("there is no such test: {test}"));
        // A list of users is written by the rig, and its name is what a test writes.
        for key in keys {
            let file = *key == "auth_file" && body.contains("users.txt");
            assert!(file || body.contains(key), "{test} does not name `{key}`");
            seen.insert(key, test);
        }
    }
    let without: Vec<_> =
        followed().map(|option| option.name).filter(|name| !seen.contains_key(name)).collect();
    assert!(without.is_empty(), "no test sees {without:?}");
    let unknown: Vec<_> =
        seen.keys().filter(|key| !followed().any(|option| option.name == **key)).collect();
    assert!(unknown.is_empty(), "these are not followed: {unknown:?}");
}

#[test]
fn every_other_key_is_named_in_a_warning_that_says_what_to_do() {
    let site = Site::start();
    site.write("users.txt", "");
    let others = || {
        let all = OPTIONS.iter().copied().flatten();
        all.filter_map(|option| match option.takes {
            Takes::Not(why) => Some((option, why)),
            Takes::Sets(_) => None,
        })
    };
    let lines: String =
        others().map(|(option, _)| format!("{} = {}x\n", option.name, option.default)).collect();
    site.write("a.ini", &site.ini("", &lines));
    let file = site.path("a.ini").display().to_string();
    let check = || {
        let checked = site.ends(&[&file, "--check"]);
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success(), "{said}");
        said
    };
    let said = check();
    for (option, why) in others() {
        let warning = format!("`{}`: {why}", option.name);
        assert!(said.contains(&warning), "`{warning}` is not in:\n{said}");
    }
    let lines: String =
        others().map(|(option, _)| format!("{} = {}\n", option.name, option.default)).collect();
    site.write("a.ini", &site.ini("", &lines));
    assert_eq!(check().trim(), "the files can be used", "a default says nothing");
}
