//! Whether another's lease is over: judged by this node's own clock too, since it last saw a
//! renewal (PROTOCOL section 1).
//!
//! A store may end a lease early by a fault of its own (etcd before 3.4.31: a leader of etcd that
//! was replaced while it hung goes on and ends what its successor has prolonged). The holder then
//! still has the right to write: it counts from before it sent the renewal that others saw, less
//! a margin. So that its key has vanished is not enough; whoever has also seen no renewal for the
//! whole length of a lease knows that the right is over, and before that nobody does.
//!
//! The other way round this node's clock alone is not enough either: a key that the store has
//! prolonged by itself may be renewed by its holder until it is gone, in the same term, so what
//! others have said of the end of that term would not be final.

use std::borrow::Cow;

use howdah_base::Tick;

use crate::{Memory, Versioned, View};

/// The revision that such a leader's key is given here: none has it in the store.
pub(crate) const VANISHED: u64 = 0;

/// Until when a leader whose key has vanished may still have the right to write; `None` when it
/// has none, gave it up, or is this node.
pub(crate) fn over_at(memory: &mut Memory, view: &View, now: Tick) -> Option<Tick> {
    let store = &view.store;
    if !store.reachable {
        return None;
    }
    let beat = store.beat.as_ref();
    let known = |revision| memory.beat.filter(|(seen, _)| *seen == revision);
    memory.beat = beat.map(|b| known(b.revision).unwrap_or((b.revision, now)));
    let others = beat.is_some_and(|b| b.value.node != view.me && b.value.term == store.term);
    let over = memory.beat.filter(|_| others && store.leader.is_none())?.1 + view.settings.lease;
    (over > now).then_some(over)
}

/// `view` in which such a leader still leads.
pub(crate) fn judge(view: &View, over: Option<Tick>) -> Cow<'_, View> {
    let Some(beat) = view.store.beat.as_ref().filter(|_| over.is_some()) else {
        return Cow::Borrowed(view);
    };
    let mut judged = view.clone();
    judged.store.leader = Some(Versioned { value: beat.value.clone(), revision: VANISHED });
    Cow::Owned(judged)
}
