//! The same requests to Debian's Patroni and to Howdah, in every state, get the same codes.

use std::collections::BTreeSet;

use howdah_testkit::process;
use nix::sys::signal::Signal;

use crate::differences::DIFFERENCES;
use crate::pair::{Names, Pair, Whom};
use crate::questions::{MALFORMED, OF_THE_PRIMARY, OF_THE_STANDBY, PAUSED, WITHOUT_LEADER};

#[test]
fn the_same_requests_get_the_same_codes() {
    let mut pair = Pair::start();
    // Until the server stops for it: what Patroni's postmaster makes of its own end.
    pair.howdah.expect_error("terminating");
    let names = Names::of_now(&pair.howdah);
    running(&mut pair, &names);
    paused(&mut pair, &names);
    starting(&mut pair, &names);
    let names = switched(&mut pair, &names);
    without_leader(&mut pair, &names);
    judge(&pair);
}

fn running(pair: &mut Pair, names: &Names) {
    pair.ask_everything("primary", Whom::Leader, names);
    pair.ask_everything("standby", Whom::Standby, names);
    pair.ask_all("primary", Whom::Leader, names, MALFORMED);
    pair.ask_all("standby", Whom::Standby, names, MALFORMED);
    pair.ask_all("primary", Whom::Leader, names, OF_THE_PRIMARY);
    pair.ask_all("standby", Whom::Standby, names, OF_THE_STANDBY);
    pair.wait_for(Whom::Standby, names, "/sync");
}

fn paused(pair: &mut Pair, names: &Names) {
    const PAUSE: &[crate::questions::Request] = &[("PATCH", "/config", Some(r#"{"pause": true}"#))];
    const RESUME: &[crate::questions::Request] =
        &[("PATCH", "/config", Some(r#"{"pause": null}"#))];
    pair.ask_all("primary", Whom::Leader, names, PAUSE);
    for whom in [Whom::Leader, Whom::Standby] {
        let number = pair.of_patroni(whom);
        pair.patroni.wait_until(number, "paused", |body| body["pause"] == true);
    }
    pair.ask_everything("paused primary", Whom::Leader, names);
    pair.ask_everything("paused standby", Whom::Standby, names);
    pair.ask_all("paused primary", Whom::Leader, names, PAUSED);
    pair.shut_standbys_down(names);
    pair.ask_everything("stopped standby", Whom::Standby, names);
    pair.ask_all("paused primary", Whom::Leader, names, RESUME);
    pair.wait_for(Whom::Standby, names, "/sync");
}

fn starting(pair: &mut Pair, names: &Names) {
    // A standby accepts connections when it has replayed as far as its pages on disk are. So its
    // checkpoint is to begin before what fills the table, and its pages are to be written after it.
    const FILL: &str = "SET synchronous_commit = remote_apply; \
                        CREATE TABLE much AS SELECT g, repeat('x', 500) \
                        FROM generate_series(1, 300000) g";
    pair.sql(Whom::Leader, names, "CHECKPOINT");
    pair.sql(Whom::Leader, names, FILL);
    pair.sql(Whom::Standby, names, "CHECKPOINT");
    let frozen = pair.keep_standbys_starting(names);
    pair.ask_everything("starting standby", Whom::Standby, names);
    for pid in frozen {
        process::signal(pid, Signal::SIGCONT);
    }
    pair.wait_for(Whom::Standby, names, "/sync");
}

/// The primaries change hands, by a switchover and back by a failover.
fn switched(pair: &mut Pair, names: &Names) -> Names {
    let back = Names { leader: names.standby.clone(), standby: names.leader.clone() };
    pair.ask_all(
        "primary",
        Whom::Leader,
        names,
        &[("POST", "/switchover", Some(r#"{"leader": "{leader}", "candidate": "{standby}"}"#))],
    );
    pair.has_switched();
    pair.ask_all(
        "primary",
        Whom::Leader,
        &back,
        &[("POST", "/failover", Some(r#"{"candidate": "{standby}"}"#))],
    );
    pair.has_switched();
    names.clone()
}

fn without_leader(pair: &mut Pair, names: &Names) {
    let standby = pair.of_patroni(Whom::Standby);
    pair.patroni.write_file(standby, true);
    pair.howdah.file.set(&format!("nodes.{}.tags", names.standby), "no_failover", "true");
    pair.howdah.write_file();
    pair.howdah.howdah_ok(&["apply"]);
    pair.ask_all("standby", Whom::Standby, names, &[("POST", "/reload", None)]);
    let tagged = |body: &serde_json::Value| body["tags"]["nofailover"] == true;
    pair.patroni.wait_until(standby, "its tag", tagged);
    pair.patroni.stop_node(pair.of_patroni(Whom::Leader));
    let alone = |body: &serde_json::Value| body["cluster_unlocked"] == true;
    pair.patroni.wait_until(standby, "no leader", alone);
    pair.howdah.node(&names.leader).stop();
    let node = pair.howdah.node(&names.standby);
    pair.howdah.wait_for("no leader", crate::pair::WITHIN, || {
        node.status().ok()?.leader.is_none().then_some(())
    });
    pair.ask_everything("standby without leader", Whom::Standby, names);
    pair.ask_all("standby without leader", Whom::Standby, names, MALFORMED);
    pair.ask_all("standby without leader", Whom::Standby, names, WITHOUT_LEADER);
}

/// Every difference is one of the list, and the list has no other.
fn judge(pair: &Pair) {
    assert!(pair.asked > 2_000, "only {} questions were asked", pair.asked);
    let codes: Vec<u16> = pair.codes.keys().copied().collect();
    let all = [200, 202, 400, 401, 404, 409, 411, 412, 422, 500, 501, 502, 503];
    assert_eq!(codes, all, "each of Patroni's codes was provoked: {:?}", pair.codes);
    let mut seen = BTreeSet::new();
    let mut unknown = String::new();
    for case in &pair.differences {
        match DIFFERENCES.iter().position(|known| (known.is)(case)) {
            Some(number) => {
                seen.insert(number);
            }
            None => unknown += &format!("{case}\n"),
        }
    }
    let stale: String = DIFFERENCES
        .iter()
        .enumerate()
        .filter(|(number, _)| !seen.contains(number))
        .map(|(_, known)| format!("not seen any more: {}\n", known.why))
        .collect();
    assert!(unknown.is_empty() && stale.is_empty(), "Patroni's code, Howdah's:\n{unknown}{stale}");
}

/// Whoever comes from Patroni reads of each difference before he meets it.
#[test]
fn each_difference_is_told_in_the_docs() {
    let docs = include_str!("../../../../docs/patroni.md");
    let flat = docs.split_whitespace().collect::<Vec<_>>().join(" ");
    for known in DIFFERENCES {
        assert!(flat.contains(known.why), "docs/patroni.md does not say: {}", known.why);
    }
}
