//! Golden cases: lines and what they become, clients and what the rules say of them.
//!
//! What the lines become was compared with `pg_hba_file_rules` of PostgreSQL 15.18.

use super::*;

/// A rule as one line of words, quotes resolved.
fn shown(rule: &HbaRule) -> String {
    format!(
        "{:?} {:?} {:?} {} {:?} {:?}",
        rule.transport,
        rule.databases,
        rule.roles,
        match rule.address {
            None => "-".to_owned(),
            Some(AddressMatch::Masked { address, mask }) => format!("{address}/{mask}"),
            Some(other) => format!("{other:?}"),
        },
        rule.method,
        rule.options
    )
}

/// Cases are `line` and, below it, `=> what it becomes`.
fn check(cases: &str) {
    let mut lines = cases.lines().map(str::trim).filter(|line| !line.is_empty());
    while let Some(line) = lines.next() {
        let want = lines.next().and_then(|want| want.strip_prefix("=> ")).expect("an answer");
        let got = match HbaRule::parse(line) {
            Ok(rule) => {
                assert_eq!(rule.line, line);
                shown(&rule)
            }
            Err(error) => format!("refused: {}", error.message),
        };
        assert_eq!(got, want, "\nline: {line}");
    }
}

#[test]
fn lines_become_rules() {
    check(
        r#"
host all all all scram-sha-256
=> Host [All] [All] All ScramSha256 []
  hostssl  app,sameuser, replication	a,"all"  10.1.2.3/8 md5 # why
=> HostSsl [Name("app"), SameUser, Replication] [Name("a"), Name("all")] 10.1.2.3/255.0.0.0 Md5 []
hostnossl "all" all 10.0.0.0 255.0.255.0 reject
=> HostNoSsl [Name("all")] [All] 10.0.0.0/255.0.255.0 Reject []
host "a b,c#d" "say ""hi""" ::1/128 password
=> Host [Name("a b,c#d")] [Name("say \"hi\"")] ::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff Password []
host a"l"l "+group" 0.0.0.0/0 md5
=> Host [All] [Name("+group")] 0.0.0.0/0.0.0.0 Md5 []
hostnogssenc all all ::/0 md5
=> HostNoGssEnc [All] [All] ::/:: Md5 []
hostgssenc all all samehost md5
=> HostGssEnc [All] [All] SameHost Md5 []
local all postgres peer map=ops
=> Local [All] [Name("postgres")] - Peer [("map", "ops")]
hostssl all all all scram-sha-256 clientcert=verify-ca clientname=DN
=> HostSsl [All] [All] All ScramSha256 [("clientcert", "verify-ca"), ("clientname", "DN")]
hostssl all all all cert map="my map"
=> HostSsl [All] [All] All Cert [("map", "my map")]
"#,
    );
}

#[test]
fn what_cannot_be_judged_is_refused() {
    check(
        r#"
# only a comment
=> refused: the rule ends where a connection type is expected: `# only a comment`
host all all 10.0.0.0/8
=> refused: the rule ends where an authentication method is expected: `host all all 10.0.0.0/8`
host,local all all all md5
=> refused: only one of a connection type fits here: `host,local`
Host all all all md5
=> refused: not a connection type: `Host`
include other.conf
=> refused: not a connection type: `include`
host samerole all all md5
=> refused: membership in a role is not judged at endpoints yet: `samerole`
host all +staff all md5
=> refused: membership in a role is not judged at endpoints yet: `+staff`
host @dbs all all md5
=> refused: names are not read from another file: `@dbs`
host all "/^app.*$" all md5
=> refused: regular expressions are not judged at endpoints yet: `/^app.*$`
host all all samenet md5
=> refused: networks of the machine are not judged at endpoints yet: `samenet`
host all all .example.com md5
=> refused: host names are not judged at endpoints, addresses are: `.example.com`
host all all 127.1/8 md5
=> refused: host names are not judged at endpoints, addresses are: `127.1`
host all all 10.0.0.0/33 md5
=> refused: not a CIDR mask: `10.0.0.0/33`
host all all ::1/129 md5
=> refused: not a CIDR mask: `::1/129`
host all all 10.0.0.0 ffff:: md5
=> refused: not a mask for this address: `ffff::`
host all all 10.0.0.0 md5
=> refused: not a mask for this address: `md5`
host all all all trust
=> refused: howdah lets nobody in without proof: `trust`
host all all all ldap ldapserver=x
=> refused: not a method that howdah knows: `ldap`
host all all all peer
=> refused: only `local` lines can ask for: `peer`
host all all all cert
=> refused: only `hostssl` lines can ask for: `cert`
host all all all md5 clientcert=verify-full
=> refused: not an option of this rule: `clientcert=verify-full`
hostssl all all all md5 colour
=> refused: not an option of this rule: `colour`
host "all all all md5
=> refused: a quote is not closed: `host "all all all md5`
host all all all md5 \
=> refused: a rule ends with a backslash: `host all all all md5 \`
"#,
    );
}

#[test]
fn a_line_cannot_smuggle_in_another() {
    for line in ["host all all all md5\nhost all all all trust", "host all all all md5\0"] {
        assert!(HbaRule::parse(line).is_err(), "{line:?}");
    }
    assert!(HbaRule::parse(&format!("host {} all all md5", "x".repeat(256))).is_err());
}

#[test]
fn a_refusal_ends_with_a_hint() {
    let error = HbaRule::parse("host all all all trust").expect_err("refused").to_string();
    assert!(error.contains("proof: `trust`\nhint: write `scram-sha-256`"), "{error}");
}

/// Cases are `database user address [tls] [replication] [samehost] => verdict`: the verdict is
/// the number of the rule, `-` before it for a reject, or `none`.
fn judged(rules: &[&str], cases: &str) {
    let rules: Vec<_> =
        rules.iter().map(|line| HbaRule::parse(line).expect("a valid rule")).collect();
    let number = |rule| rules.iter().position(|r| std::ptr::eq(r, rule)).expect("listed") + 1;
    for case in cases.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (who, want) = case.split_once(" => ").expect("a verdict");
        let words: Vec<_> = who.split_whitespace().collect();
        let who = Who {
            database: words[0],
            user: words[1],
            address: words[2].parse().expect("an address"),
            same_host: words[3..].contains(&"samehost"),
            tls: words[3..].contains(&"tls"),
            replication: words[3..].contains(&"replication"),
        };
        let got = match judge(&rules, &who) {
            Verdict::Allow(rule) => number(rule).to_string(),
            Verdict::Reject(rule) => format!("-{}", number(rule)),
            Verdict::NoRule => "none".to_owned(),
        };
        assert_eq!(got, want, "\nclient: {case}");
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    judged(
        &[
            "local all all peer",
            "host all mallory all reject",
            "hostssl app all 10.0.0.0/8 scram-sha-256",
            "hostnossl sameuser all 10.0.0.0 255.255.0.0 md5",
        ],
        "
        app mallory 10.1.1.1 tls => -2
        app bob 10.1.1.1 tls => 3
        app bob 10.1.1.1 => none
        bob bob 10.0.9.9 => 4
        bob bob 10.1.0.0 => none
        bob bob 10.0.9.9 tls => none
        app bob 11.0.0.0 tls => none
        ",
    );
}

#[test]
fn a_proxied_client_never_matches_a_local_line() {
    judged(&["local all all md5"], "app bob 127.0.0.1 samehost => none");
}

#[test]
fn replication_matches_only_its_own_word() {
    judged(
        &["host all,app,sameuser all all md5", "host replication all all md5"],
        "
        app bob 10.0.0.1 replication => 2
        app bob 10.0.0.1 => 1
        ",
    );
    judged(&["host replication all all md5"], "replication bob 10.0.0.1 => none");
    judged(&["host \"replication\" all all md5"], "replication bob 10.0.0.1 => 1");
}

#[test]
fn families_do_not_mix_and_samehost_is_this_machine() {
    judged(
        &["host all all 10.0.0.0/8 md5", "host all all ::/0 md5", "host all all samehost md5"],
        "
        a b 10.2.3.4 => 1
        a b ::ffff:10.2.3.4 => 2
        a b 192.0.2.1 => none
        a b 192.0.2.1 samehost => 3
        ",
    );
}

#[test]
fn a_client_is_told_in_postgresql_s_words() {
    let rules = [HbaRule::parse("host all mallory all reject").expect("valid")];
    let cert = [HbaRule::parse("hostssl all all all cert").expect("valid")];
    let who = Who {
        database: "app",
        user: "bob",
        address: "10.0.0.1".parse().expect("an address"),
        same_host: false,
        tls: false,
        replication: false,
    };
    let told = |who: &Who<'_>| judge(&rules, who).refusal(who).expect("kept out");
    assert_eq!(
        told(&who),
        r#"no pg_hba.conf entry for host "10.0.0.1", user "bob", database "app", no encryption"#
    );
    assert_eq!(
        told(&Who { user: "mallory", tls: true, ..who }),
        r#"pg_hba.conf rejects connection for host "10.0.0.1", user "mallory", database "app", SSL encryption"#
    );
    assert_eq!(
        told(&Who { replication: true, ..who }),
        r#"no pg_hba.conf entry for replication connection from host "10.0.0.1", user "bob", no encryption"#
    );
    let who = Who { tls: true, ..who };
    assert!(judge(&cert, &who).refusal(&who).expect("kept out").starts_with("client certificates"));
}

#[test]
fn a_demand_for_a_certificate_is_seen() {
    let wants = |line| HbaRule::parse(line).expect("a valid rule").wants_certificate();
    assert!(wants("hostssl all all all cert"));
    assert!(wants("hostssl all all all md5 clientcert=verify-full"));
    assert!(!wants("hostssl all all all md5"));
}
