//! A bound on how much a worker may have written into the journal.
//!
//! Progress, checkpoints and hellos are recorded as they come, and each record is kept for ever. A worker that says them
//! in a loop would fill the disk; one that works enters a few nodes between two calls.

use crate::Time;

/// Records at once. A workflow of five iterations against a mock without latency makes a hundred.
const BURST: u64 = 1000;
/// Records a second beyond that.
pub const PER_SECOND: u64 = 10;

/// One worker's allowance.
#[derive(Debug)]
pub struct Chatter {
    /// Thousandths of a record that are left.
    level: u64,
    filled: Time,
    was_told: bool,
}

impl Chatter {
    /// A worker that has said nothing yet.
    pub fn new(now: Time) -> Chatter {
        Chatter { level: BURST * 1000, filled: now, was_told: false }
    }

    /// Whether one more may be recorded.
    pub fn take(&mut self, now: Time) -> bool {
        let ms = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        self.level = self.level.saturating_add(ms.saturating_mul(PER_SECOND)).min(BURST * 1000);
        self.filled = now;
        let enough = self.level >= 1000;
        if enough {
            self.level -= 1000;
        }
        enough
    }

    /// Whether people are to hear that something was left out: once.
    pub fn is_news(&mut self) -> bool {
        !std::mem::replace(&mut self.was_told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_at_once_and_then_ten_a_second() {
        let mut chatter = Chatter::new(Time::ZERO);
        let taken = |chatter: &mut Chatter, now| (0..5000).filter(|_| chatter.take(now)).count();
        assert_eq!(taken(&mut chatter, Time::ZERO), 1000);
        assert_eq!(taken(&mut chatter, Time::from_millis(1_000)), 10);
        assert_eq!(taken(&mut chatter, Time::from_millis(u64::MAX)), 1000);
        assert_eq!((chatter.is_news(), chatter.is_news()), (true, false));
    }
}
