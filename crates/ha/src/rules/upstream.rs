//! Whom a standby streams from and is copied from: the leader, unless the cluster file names a
//! standby and that one can do it now.

use howdah_base::record::{Leader, Member, ServerState};
use howdah_base::{DirectoryId, NodeName, Term};

use super::Case;

/// The standby that this node is to stream from: it streams itself, on the leader's timeline, and
/// has made this node's slot of this term.
pub(crate) fn cascade(case: &Case<'_>, leader: &Leader) -> Option<(NodeName, Term)> {
    let wanted = case.view.settings.replicate_from.as_ref()?;
    let member = relays(case, leader, wanted)?;
    let id = case.view.local.announced.as_ref()?;
    member.slots.contains(id).then(|| (wanted.clone(), leader.term))
}

/// The standby that a copy is made from: one that the file names for this, else the leader.
pub(crate) fn copy_source<'a>(case: &'a Case<'_>, leader: &Leader) -> Option<&'a Member> {
    let fit = |m: &&Member| m.clone_from && relays(case, leader, &m.node).is_some();
    let near = |m: &&Member| (m.position.map(|p| p.lsn), std::cmp::Reverse(m.node.clone()));
    case.view.store.members.values().filter(fit).max_by_key(near)
}

/// `node` as a standby that others may depend on: it streams the leader's own timeline.
pub(crate) fn relays<'a>(
    case: &'a Case<'_>,
    leader: &Leader,
    node: &NodeName,
) -> Option<&'a Member> {
    let members = &case.view.store.members;
    let timeline = members.get(&leader.node)?.history.as_ref()?.timeline;
    let member = members.get(node).filter(|m| m.node != case.view.me && m.node != leader.node)?;
    let on_it = member.history.as_ref().is_some_and(|history| history.timeline == timeline);
    (member.server == ServerState::Streaming && on_it).then_some(member)
}

/// The leader needs no slot for a directory that streams from another standby by wish of the
/// file: nobody would use it, and it would hold WAL back. It gets one again once it does not.
pub(crate) fn is_relayed(case: &Case<'_>, member: &Member) -> bool {
    let me = &case.view.me;
    member.streaming_from.as_ref().is_some_and(|from| from != me)
        && member.streaming_from == member.replicate_from
}

/// Directories for which a standby makes slots: of nodes that the file lets stream from it.
pub fn cascaded<'a>(
    members: impl IntoIterator<Item = &'a Member>,
    me: &NodeName,
) -> Vec<&'a DirectoryId> {
    let of = |member: &'a Member| {
        let named = member.replicate_from.as_ref() == Some(me);
        member.directory.as_ref().filter(|_| named && member.node != *me)
    };
    members.into_iter().filter_map(of).collect()
}
