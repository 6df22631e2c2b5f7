//! What the server saw, counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The truth from the other side of the wire. Served as JSON at `GET /__mock/counters`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Everything together.
    pub total: Tally,
    /// By key name.
    pub keys: BTreeMap<String, Tally>,
    /// By quota group.
    pub groups: BTreeMap<String, GroupTally>,
    /// Calls with a key the server does not know, or none.
    pub unknown_key: u64,
    /// Calls that were not understood (HTTP 400 and 404); no key is charged with them.
    pub not_understood: u64,
    /// Requests that only checked a key.
    pub key_checks: u64,
    /// Different prompts that got a whole answer.
    pub prompts: u64,
    /// Whole answers to prompts that had got one before: calls that were paid twice.
    pub duplicates: u64,
    /// Whole answers by `workflow/node/iteration/item`.
    pub answered: BTreeMap<String, u64>,
}

/// Counts of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// All calls.
    pub calls: u64,
    /// Answered in full.
    pub ok: u64,
    /// Refused with 429.
    pub limited: u64,
    /// Refused with 503 or 529.
    pub overloaded: u64,
    /// Refused for the key's or the account's sake.
    pub refused: u64,
    /// Answered with 500, cut, or dropped.
    pub errors: u64,
    /// Given up by the client before the answer was there.
    pub abandoned: u64,
    /// At work now.
    pub in_flight: u64,
    /// The most at work at once.
    pub in_flight_max: u64,
    /// Tokens of the inputs of answered calls.
    pub tokens_in: u64,
    /// Tokens of the outputs of answered calls.
    pub tokens_out: u64,
}

/// Counts of a quota group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupTally {
    /// Its calls.
    #[serde(flatten)]
    pub tally: Tally,
    /// The most requests of one model that were admitted within any minute of the server's clock.
    pub minute_max: u64,
    /// The most tokens of one model that were admitted within any minute of the server's clock.
    pub minute_max_tokens: u64,
}

/// What was admitted in the last minute.
#[derive(Clone, Debug, Default)]
pub struct LastMinute {
    admitted: VecDeque<(Duration, u64)>,
    tokens: u64,
}

impl LastMinute {
    /// Adds a call and returns the requests and tokens of the minute that ends with it.
    pub fn admit(&mut self, now: Duration, tokens: u64) -> (u64, u64) {
        while let Some((at, old)) = self.admitted.front()
            && now >= *at + Duration::from_secs(60)
        {
            self.tokens -= old;
            self.admitted.pop_front();
        }
        self.admitted.push_back((now, tokens));
        self.tokens += tokens;
        (self.admitted.len() as u64, self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_slides() {
        let mut minute = LastMinute::default();
        let at = Duration::from_secs;
        assert_eq!(minute.admit(at(0), 5), (1, 5));
        assert_eq!(minute.admit(at(59), 7), (2, 12));
        assert_eq!(minute.admit(at(60), 1), (2, 8));
        assert_eq!(minute.admit(at(600), 1), (1, 1));
    }

    #[test]
    fn counters_are_read_back_from_their_json() {
        let mut counters = Counters::default();
        counters.groups.insert("g".into(), GroupTally { minute_max: 3, ..GroupTally::default() });
        let json = serde_json::to_string(&counters).unwrap();
        assert_eq!(serde_json::from_str::<Counters>(&json).unwrap(), counters);
    }
}
