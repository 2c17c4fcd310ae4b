//! Whether what a firing says still holds. An older "is primary" that is carried out after a
//! newer change is how two machines end up with one address.

use howdah_spec::HookEvent;

use crate::firing::Firing;
use crate::seen::{Role, Seen};

/// What may be done with a firing now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It may be told.
    Holds,
    /// Not known now: nothing is begun, what has begun goes on.
    Unsure,
    /// Not so now, and perhaps again: what has begun is ended, and begun anew then.
    Halted,
    /// Never again.
    Gone,
}

/// Judges `firing` by what is known now.
pub fn standing(firing: &Firing, seen: &Seen) -> Standing {
    use Standing::{Gone, Holds, Unsure};
    let gone_if = |gone| if gone { Gone } else { Holds };
    match firing.event {
        _ if firing.claims_lead() => of_own_lead(firing, seen),
        HookEvent::RoleChange => match seen.role {
            Role::Standby => Holds,
            Role::Primary => Gone,
            _ => Unsure,
        },
        HookEvent::LeaderChange => of_anothers_lead(firing, seen),
        HookEvent::Start | HookEvent::Restart => match seen.role.up() {
            Some(_) => gone_if(seen.role != firing.role),
            None => Unsure,
        },
        HookEvent::Stop => gone_if(seen.role.up() == Some(true)),
        HookEvent::Pause => gone_if(!seen.paused),
        HookEvent::Resume => gone_if(seen.paused),
        HookEvent::NodeLost | HookEvent::NodeBack if seen.store_away => Unsure,
        HookEvent::NodeLost => gone_if(is_alive(firing, seen)),
        HookEvent::NodeBack => gone_if(!is_alive(firing, seen)),
        HookEvent::Reload | HookEvent::Problem => Holds,
    }
}

/// A server that is down may come back as the primary of the same term; meanwhile nobody may be
/// led to it, and another may take over at any time.
fn of_own_lead(firing: &Firing, seen: &Seen) -> Standing {
    let another = seen.leader.is_some() && !seen.leader_is(&seen.node);
    if another || seen.term > firing.term || seen.role == Role::Standby {
        return Standing::Gone;
    }
    match seen.role {
        Role::Primary if seen.leads() => Standing::Holds,
        Role::Primary | Role::Unknown => Standing::Unsure,
        _ => Standing::Halted,
    }
}

fn of_anothers_lead(firing: &Firing, seen: &Seen) -> Standing {
    let same = |told: &crate::Leader| seen.leader_is(&told.node);
    match &seen.leader {
        _ if seen.term > firing.term => Standing::Gone,
        None => Standing::Unsure,
        Some(_) if firing.leader.as_ref().is_some_and(same) => Standing::Holds,
        Some(_) => Standing::Gone,
    }
}

fn is_alive(firing: &Firing, seen: &Seen) -> bool {
    firing.subject.as_ref().is_some_and(|node| seen.others.get(node) == Some(&true))
}
