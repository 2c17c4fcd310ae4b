//! Parameters that a standby needs at least as high as its primary: which values this node's next
//! start gets, by what the other nodes have in force.

use howdah_base::record::Member;
use howdah_ha::{Directory, StoreView};
use howdah_spec::effective::sizes::{self, Place, Sizes};

use crate::agent::Agent;

impl Agent {
    /// The values for this node's files now.
    pub fn sizes(&self, store: &StoreView) -> Sizes {
        let wanted = self.wanted_sizes();
        let me = &self.shared.config.node;
        let in_force = |member: &Member| !member.sizes.is_empty();
        let others = || store.members.values().filter(|m| m.node != *me && in_force(m));
        let own = self.facts.as_ref().map(|facts| &facts.sizes);
        if self.is_or_was_primary(store) {
            let standbys = others().map(|member| &member.sizes).collect();
            return sizes::due(&wanted, &Place::Primary { own, standbys });
        }
        let leader = store.leader.as_ref().map(|leader| &leader.value.node);
        let mut at_least: Vec<&Sizes> =
            others().filter(|m| Some(&m.node) == leader).map(|member| &member.sizes).collect();
        if own.is_none() {
            at_least.push(&self.disk.sizes);
        }
        sizes::due(&wanted, &Place::Standby { at_least })
    }

    /// One sentence for each value that waits for other nodes.
    pub fn held_sizes(&self) -> Vec<String> {
        let wanted = self.wanted_sizes();
        sizes::held(&wanted, &self.conf.sizes)
            .into_iter()
            .filter(|name| self.conf.sizes.contains_key(*name))
            .map(|name| {
                let (want, has) = (wanted[name], self.conf.sizes[name]);
                let first = if want > has { "the standbys have" } else { "the primary has" };
                format!(
                    "`{name}` stays {has} here until {first} been restarted with {want}; hint: \
                     howdah restart --pending"
                )
            })
            .collect()
    }

    fn wanted_sizes(&self) -> Sizes {
        let config = &self.shared.config;
        let spec = self.shared.spec();
        if config.is_witness() {
            return Sizes::default();
        }
        let major = config.major();
        sizes::wanted(&howdah_spec::effective(&spec, &config.node, &config.machine, major))
    }

    /// A standby that is started to be promoted is still one.
    fn is_or_was_primary(&self, store: &StoreView) -> bool {
        let on_disk = match &self.disk.directory {
            Directory::Ready(facts) => facts.was_primary,
            _ => false,
        };
        let primary = self.facts.as_ref().map_or(on_disk, |facts| facts.running.primary);
        store.leader_mine && primary
    }
}
