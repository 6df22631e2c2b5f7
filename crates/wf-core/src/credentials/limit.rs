//! What is believed of one per-minute limit: configured, stated by the provider, or learned from refusals.

use super::bucket::Rate;

/// Of the accept rate measured before a surprising refusal, this much is used from then on.
const OF_MEASURED: f64 = 0.97;
/// One lesson halves the rate at most: a count of the last minute is low, too, when there was little to do.
const LOWEST_OF_CURRENT: f64 = 0.5;
/// By which share of itself a learned rate grows within a minute of full use: in the first minute, and at most.
const FIRST_STEP: f64 = 0.01;
const LARGEST_STEP: f64 = 0.2;
/// Fewer accepted calls than this teach nothing of a rate.
const LEAST_ACCEPTED: u64 = 5;

/// A rate found by being refused.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Learned {
    per_minute: f64,
    /// Units accepted since.
    accepted: f64,
}

/// Where a limit is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitOrigin {
    /// The operator wrote it down.
    Configured,
    /// The provider said so in a reply.
    Stated,
    /// It was measured: refusals came although what was configured or stated was kept, or nothing was.
    Learned,
}

impl LimitOrigin {
    /// The word people see.
    pub fn word(self) -> &'static str {
        match self {
            LimitOrigin::Configured => "configured",
            LimitOrigin::Stated => "stated",
            LimitOrigin::Learned => "learned",
        }
    }
}

/// One per-minute limit of a quota group for a model.
#[derive(Clone, Debug, Default)]
pub(super) struct Limit {
    configured: Option<u64>,
    stated: Option<u64>,
    learned: Option<Learned>,
}

impl Limit {
    pub(super) fn configured(limit: Option<u64>) -> Limit {
        // A configured zero would be a group that never serves: configuration refuses it, and here it means nothing.
        Limit { configured: limit.filter(|n| *n > 0), ..Limit::default() }
    }

    /// The limit as told, by the operator or the provider; the stricter where they differ.
    pub(super) fn told(&self) -> Option<u64> {
        match (self.configured, self.stated) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }

    /// The provider names its limit. Zero stands for "unknown" with some of them.
    pub(super) fn state(&mut self, limit: u64) {
        if limit > 0 {
            self.stated = Some(limit);
        }
    }

    /// The rate to keep, if any is known: 98 % of what was told (`of_told`), or less where less was measured.
    pub(super) fn rate(&self, of_told: fn(u64) -> Rate) -> Option<Rate> {
        match self.learned {
            Some(learned) => Some(Rate::measured(learned.per_minute)),
            None => self.told().map(of_told),
        }
    }

    /// Units per minute to expect.
    pub(super) fn expected(&self) -> Option<u64> {
        self.learned.map(|l| l.per_minute as u64).or(self.told())
    }

    /// Where [`Limit::expected`] is from.
    pub(super) fn origin(&self) -> Option<LimitOrigin> {
        match (self.learned, self.configured, self.stated) {
            (Some(_), ..) => Some(LimitOrigin::Learned),
            (None, Some(configured), stated) if stated.is_none_or(|stated| configured <= stated) => {
                Some(LimitOrigin::Configured)
            }
            (None, _, Some(_)) => Some(LimitOrigin::Stated),
            (None, ..) => None,
        }
    }

    /// What was learned, for the next run.
    pub(super) fn learned(&self) -> Option<f64> {
        self.learned.map(|l| l.per_minute)
    }

    /// What an earlier run learned.
    pub(super) fn restore(&mut self, per_minute: f64) {
        if per_minute.is_finite() && per_minute >= 1.0 {
            self.learned = Some(Learned { per_minute, accepted: 0.0 });
        }
    }

    /// A call was refused although the pace was kept: the limit is not what was believed. `accepted` units were accepted
    /// within the last minute; `whole` when a whole minute was watched.
    pub(super) fn refused_although_paced(&mut self, accepted: u64, whole: bool) {
        let current =
            self.learned.map(|l| l.per_minute).or(self.told().map(|n| n as f64 * super::bucket::SHARE));
        let measured = accepted as f64 * OF_MEASURED;
        let floor = current.map_or(0.0, |c| c * LOWEST_OF_CURRENT);
        if accepted < LEAST_ACCEPTED || (!whole && measured < floor) {
            return;
        }
        let ceiling = current.unwrap_or(f64::MAX);
        self.learned = Some(Learned { per_minute: measured.clamp(floor, ceiling).max(1.0), accepted: 0.0 });
    }

    /// The provider asks for a lower rate: half of what was used. `accepted` units were accepted within the last minute.
    pub(super) fn slow_down(&mut self, accepted: u64) {
        let current = self.learned.map(|l| l.per_minute).or(self.told().map(|n| n as f64));
        let per_minute = current.unwrap_or(f64::MAX).min(accepted.max(1) as f64) * LOWEST_OF_CURRENT;
        let floor = current.map_or(1.0, |c| c * LOWEST_OF_CURRENT);
        self.learned = Some(Learned { per_minute: per_minute.max(floor).max(1.0), accepted: 0.0 });
    }

    /// `units` were accepted: a learned rate creeps up with use until what was told is reached again. It begins with a
    /// hundredth per minute of full use and doubles that every minute, so a rate that was nearly right is seldom
    /// refused and one that was far too low is soon left behind.
    pub(super) fn accepted(&mut self, units: u64) {
        let Some(learned) = &mut self.learned else { return };
        let minutes = learned.accepted / learned.per_minute;
        learned.accepted += units as f64;
        learned.per_minute += units as f64 * (FIRST_STEP * minutes.exp2()).min(LARGEST_STEP);
        let reached = learned.per_minute;
        if self.told().is_some_and(|told| reached >= told as f64 * super::bucket::SHARE) {
            self.learned = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_of_two_told_limits_counts() {
        let mut limit = Limit::configured(Some(60));
        limit.state(0);
        assert_eq!(limit.told(), Some(60));
        limit.state(40);
        assert_eq!(limit.told(), Some(40));
        limit.state(100);
        assert_eq!(limit.told(), Some(60));
    }

    #[test]
    fn a_wrong_limit_is_corrected_to_the_measured_rate_and_creeps_back() {
        let mut limit = Limit::configured(Some(100));
        limit.refused_although_paced(75, true);
        assert_eq!(limit.learned(), Some(72.75));
        for _ in 0..73 {
            limit.accepted(1);
        }
        assert_eq!(limit.expected(), Some(73), "a hundredth in the first minute");
        for _ in 0..400 {
            limit.accepted(1);
        }
        assert_eq!((limit.learned(), limit.expected()), (None, Some(100)));
    }

    #[test]
    fn little_evidence_changes_little() {
        let mut limit = Limit::configured(Some(100));
        limit.refused_although_paced(30, false);
        assert_eq!(limit.learned(), None, "half a minute says nothing against a told limit");
        limit.refused_although_paced(6, true);
        assert_eq!(limit.learned(), Some(49.0), "never more than half at once");
        let mut unknown = Limit::default();
        unknown.refused_although_paced(2, false);
        assert_eq!(unknown.learned(), None);
        unknown.refused_although_paced(60, false);
        assert_eq!(unknown.expected(), Some(58));
    }
}
