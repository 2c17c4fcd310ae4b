//! Stories that are told on the embedded store too.

use howdah_testkit::store::on_etcd;

use crate::{
    agent_frozen, agent_killed, all_nodes_killed, apply, bootstrap, host_lost, newcomers,
    postmaster_killed, rejoin, standbys_lost, switchover, taken_back, up_and_down,
};

#[test]
fn bootstrap() {
    on_etcd(bootstrap::three_started_at_once_make_one_database);
}

#[test]
fn agent_killed() {
    on_etcd(agent_killed::agent_killed_and_started_again_leaves_postgresql_and_the_term_alone);
}

#[test]
fn guard_killed() {
    on_etcd(agent_killed::guard_killed_takes_postgresql_with_it_and_the_cluster_heals);
}

#[test]
fn agent_frozen_in_async() {
    on_etcd(agent_frozen::agent_frozen_in_async_the_old_server_ends_before_the_new_term_begins);
}

#[test]
fn agent_frozen_in_quorum() {
    on_etcd(agent_frozen::agent_frozen_in_quorum_every_acknowledged_row_is_on_the_new_primary);
}

#[test]
fn host_lost_in_quorum() {
    on_etcd(host_lost::host_lost_in_quorum_loses_no_acknowledged_row);
}

#[test]
fn all_nodes_killed() {
    on_etcd(all_nodes_killed::all_nodes_killed_in_quorum);
}

#[test]
fn standby_lost() {
    on_etcd(standbys_lost::one_standby_lost_hardly_anyone_notices);
}

#[test]
fn postmaster_killed() {
    on_etcd(postmaster_killed::postmaster_killed_in_quorum);
}

#[test]
fn switchover() {
    on_etcd(switchover::switchover_under_load_in_quorum);
}

#[test]
fn newcomers() {
    on_etcd(newcomers::newcomers_wait_through_switchovers_and_a_rolling_restart);
}

#[test]
fn rejoin() {
    on_etcd(rejoin::old_primary_with_wal_that_nobody_else_has_is_rewound);
}

#[test]
fn apply() {
    on_etcd(apply::apply_changes_parameters_roles_and_databases);
}

#[test]
fn up_and_down() {
    on_etcd(up_and_down::up_twice_goes_on_where_it_was);
}

#[test]
fn taken_back() {
    on_etcd(taken_back::the_way_back_is_open_until_it_is_confirmed);
}

#[test]
fn held_nodes_keep_the_store() {
    on_etcd(taken_back::whoever_is_killed_at_it_leaves_a_word_and_nothing_that_writes);
}
