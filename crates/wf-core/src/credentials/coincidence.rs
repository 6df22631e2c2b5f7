//! Keys without a configured group that seem to share one quota.
//!
//! Being refused at the same time is no sign by itself: equal keys under equal load are, as long as their limits are being
//! found out. The sign is that a key which keeps to a limit that was told is refused while another one is blocked, and
//! hardly ever answered then.
//!
//! In the simulation (tests/quota.rs) keys that share a fixed window are named, and keys that share nothing never are.
//! Without the condition on told limits all twelve independent keys of a provider without headers were accused.

use std::collections::{BTreeMap, BTreeSet};

use crate::Time;

/// Times one of a pair was refused while the other was blocked before that is told.
const SIGNS: u32 = 3;

/// A group's latest block.
#[derive(Clone, Copy, Debug)]
struct Blocked {
    group: usize,
    began: Time,
    until: Time,
}

/// What was seen of two groups: one refused, or answered, during the other's block.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    refused: u32,
    answered: u32,
    is_told: bool,
}

/// What was seen of the groups of one class.
#[derive(Clone, Debug, Default)]
pub(super) struct Coincidences {
    blocks: Vec<Blocked>,
    pairs: BTreeMap<(usize, usize), Pair>,
}

impl Coincidences {
    /// A call of `group` that went out at `granted` was answered.
    pub(super) fn answered(&mut self, group: usize, granted: Time) {
        for block in &self.blocks {
            if block.group != group && block.began < granted && granted < block.until {
                let pair = self.pairs.entry((block.group.min(group), block.group.max(group))).or_default();
                pair.answered = pair.answered.saturating_add(1);
            }
        }
    }

    /// A block of `group` begins with the refusal of a call that went out at `granted`. Answers with all groups that seem to share its quota, when there is one more of them.
    pub(super) fn blocked(
        &mut self,
        group: usize,
        granted: Time,
        now: Time,
        until: Time,
    ) -> Option<BTreeSet<usize>> {
        self.blocks.retain(|block| block.until > now && block.group != group);
        let mut is_news = false;
        for block in self.blocks.iter().filter(|block| block.began < granted) {
            let pair = self.pairs.entry((block.group.min(group), block.group.max(group))).or_default();
            pair.refused = pair.refused.saturating_add(1);
            let is_sign = pair.refused >= SIGNS && pair.refused > pair.answered;
            is_news |= is_sign && !pair.is_told;
            pair.is_told |= is_sign;
        }
        self.blocks.push(Blocked { group, began: now, until });
        is_news.then(|| self.shared_with(group))
    }

    fn shared_with(&self, group: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([group]);
        loop {
            let before = found.len();
            for ((a, b), _) in self.pairs.iter().filter(|(_, pair)| pair.is_told) {
                if found.contains(a) || found.contains(b) {
                    found.extend([*a, *b]);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }
}
