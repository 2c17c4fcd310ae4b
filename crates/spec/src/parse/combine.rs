//! Combinations of values that cannot work, each value being fine by itself.

mod machines;
mod members;
mod surroundings;

use std::time::Duration;

use howdah_base::Span;

use super::report::Report;
use crate::types::{ClusterSpec, Durability, NodeKind, NodeSpec};

/// A lease below this ends during an ordinary pause of the disk or the scheduler.
const LEASE_MIN: Duration = Duration::from_secs(2);
/// A server or a disk that is only slow answers within this.
const HEALTH_BOUND_MIN: Duration = Duration::from_secs(3);
/// What has not been found out after this long is as good as never.
const HEALTH_BOUND_MAX: Duration = Duration::from_secs(600);

pub(super) fn check(report: &Report<'_>, spec: &ClusterSpec) {
    check_timings(report, spec);
    check_health(report, spec);
    check_durability(report, spec);
    check_run_as(report, spec);
    machines::check(report, spec);
    members::check(report, spec);
    surroundings::check(report, spec);
    crate::parameters::check_file(spec, &mut |paths, what, hint| {
        report.conflict(paths, what, hint);
    });
}

fn check_timings(report: &Report<'_>, spec: &ClusterSpec) {
    let ha = &spec.ha;
    let (lease, renew, margin) = (ha.lease.0, ha.renew.0, ha.margin.0);
    let rule = |broken: bool, paths: &[&str], what: String, hint: &str| {
        if broken {
            report.conflict(paths, what, hint.to_owned());
        }
    };
    rule(
        lease < LEASE_MIN,
        &["ha.lease"],
        format!("the lease is shorter than 2s: `{}`", ha.lease),
        "write `lease = \"6s\"`; a shorter one ends during an ordinary pause of the machine",
    );
    rule(
        renew.is_zero(),
        &["ha.renew"],
        "never renewed: `0s`".to_owned(),
        "write `renew = \"1s\"`",
    );
    rule(
        lease >= LEASE_MIN && renew * 3 > lease,
        &["ha.renew", "ha.lease"],
        format!("three renewals do not fit into the lease of {}: `{}`", ha.lease, ha.renew),
        "make `renew` at most a third of `lease`, so that two may fail",
    );
    rule(
        margin.is_zero(),
        &["ha.margin"],
        "no margin for clocks that drift: `0s`".to_owned(),
        "write `margin = \"500ms\"`",
    );
    rule(
        renew * 3 <= lease && margin + renew * 2 > lease,
        &["ha.margin", "ha.lease", "ha.renew"],
        format!("the margin leaves no time for a second renewal: `{}`", ha.margin),
        "make `margin` smaller than `lease` less two times `renew`",
    );
    rule(
        ha.drain_timeout >= ha.switchover_timeout,
        &["ha.drain_timeout", "ha.switchover_timeout"],
        format!("a switchover is given up before it has drained: `{}`", ha.drain_timeout),
        "make `drain_timeout` shorter than `switchover_timeout`",
    );
    rule(
        ha.start_timeout.0.is_zero(),
        &["ha.start_timeout"],
        "a server has no time to start: `0s`".to_owned(),
        "write `start_timeout = \"60s\"`",
    );
}

fn check_health(report: &Report<'_>, spec: &ClusterSpec) {
    let ha = &spec.ha;
    for (key, bound) in
        [("hung_after", ha.hung_after), ("disk_stalled_after", ha.disk_stalled_after)]
    {
        if bound.0 < HEALTH_BOUND_MIN {
            let what = format!("a busy machine alone takes that long: `{bound}`");
            let hint = format!("write at least `{key} = \"{}\"`", Span(HEALTH_BOUND_MIN));
            report.conflict(&[&format!("ha.{key}")], what, hint);
        }
        if bound.0 > HEALTH_BOUND_MAX {
            let what = format!("clients would wait that long for a failover: `{bound}`");
            let hint = format!("write at most `{key} = \"{}\"`", Span(HEALTH_BOUND_MAX));
            report.conflict(&[&format!("ha.{key}")], what, hint);
        }
    }
}

fn check_durability(report: &Report<'_>, spec: &ClusterSpec) {
    if spec.nodes.is_empty() {
        return;
    }
    let mut data = spec.nodes.values().filter(|node| node.kind == NodeKind::Data);
    if data.all(|node| node.tags.no_failover) {
        let hint = "take the tag `no_failover` from one node".to_owned();
        report.conflict(&["nodes"], "no node may be primary: `no_failover`".to_owned(), hint);
    }
    if !spec.strict {
        return;
    }
    if spec.durability == Durability::Async {
        let what = "with durability `async` nothing is waited for: `strict`".to_owned();
        let hint = "drop `strict`, or write `durability = \"quorum\"`".to_owned();
        report.conflict(&["strict", "durability"], what, hint);
        return;
    }
    // The primary does not vote for itself, so someone else must be able to.
    let votes = |node: &&NodeSpec| node.kind == NodeKind::Data && !node.tags.no_sync;
    if spec.nodes.values().filter(votes).count() < 2 {
        let what = "every commit would wait for ever, without a second voter: `strict`".to_owned();
        let hint = "add a node without the tag `no_sync`, or drop `strict`".to_owned();
        report.conflict(&["strict", "nodes"], what, hint);
    }
}

fn check_run_as(report: &Report<'_>, spec: &ClusterSpec) {
    let user = spec.run_as.as_str();
    if user == "root" {
        let hint = "name a user of its own, such as `postgres`".to_owned();
        report.conflict(&["run_as"], format!("PostgreSQL refuses to run as `{user}`"), hint);
    } else if user.is_empty() || user.contains(|c: char| c.is_whitespace() || c == ':') {
        let hint = "write a system user, such as `postgres`".to_owned();
        report.conflict(&["run_as"], format!("not a system user: `{user}`"), hint);
    }
}
