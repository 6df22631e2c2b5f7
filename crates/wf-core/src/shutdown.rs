//! The shutdown ladder: a run only ever climbs it.

use std::time::Duration;

use crate::{Counts, StopCause, StopSignal, Time};

/// How far a run has come on its way down. The order is the order of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Items are started as slots come free.
    Running,
    /// Nothing more is started; what runs may finish.
    Finishing,
    /// Workers were asked to stop and have their grace period.
    Asking,
    /// Workers are killed.
    Killing,
}

/// The same signal again within this time is one signal: `timeout` signals the process and its group, and a terminal's
/// closing may arrive twice.
pub const DEBOUNCE: Duration = Duration::from_millis(200);

/// Where the run stands, and why.
#[derive(Debug)]
pub struct Ladder {
    stage: Stage,
    /// The first signal names the exit code.
    signal: Option<StopSignal>,
    last: Option<(StopSignal, Time)>,
    run_timeout: bool,
    trouble: bool,
    cause: Option<StopCause>,
}

impl Ladder {
    /// At the top.
    pub fn new() -> Ladder {
        Ladder {
            stage: Stage::Running,
            signal: None,
            last: None,
            run_timeout: false,
            trouble: false,
            cause: None,
        }
    }

    /// Where the run stands.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Why workers were asked to stop.
    pub fn cause(&self) -> Option<StopCause> {
        self.cause
    }

    /// Climbs to `stage`; answers whether that is higher than before.
    pub fn climb(&mut self, stage: Stage) -> bool {
        let higher = stage > self.stage;
        self.stage = self.stage.max(stage);
        higher
    }

    /// Notes why the run stops.
    pub fn note(&mut self, cause: StopCause) {
        match cause {
            StopCause::RunTimeout => self.run_timeout = true,
            StopCause::Trouble => self.trouble = true,
            StopCause::Operator | StopCause::PoolDead | StopCause::Timeout | StopCause::Idle => {}
        }
        self.cause.get_or_insert(cause);
    }

    /// A signal came: the stage it calls for, or nothing when it is the echo of the last one.
    pub fn signal(&mut self, signal: StopSignal, now: Time) -> Option<Stage> {
        let echo = self.last.is_some_and(|(last, at)| last == signal && now.since(at) < DEBOUNCE);
        if echo {
            return None;
        }
        // Counted from the last one that was taken: whoever keeps Ctrl+C pressed is heard.
        self.last = Some((signal, now));
        let first = self.signal.is_none();
        self.signal.get_or_insert(signal);
        Some(if first && signal != StopSignal::Quit { Stage::Asking } else { Stage::Killing })
    }

    /// The signal that stopped the run, if one did.
    pub fn stopped_by(&self) -> Option<StopSignal> {
        self.signal
    }

    /// The supervisor's exit code: of all that is true of the run, the gravest.
    pub fn exit_code(&self, counts: &Counts) -> u8 {
        if self.trouble {
            125
        } else if let Some(signal) = self.signal {
            signal.exit_code()
        } else if self.run_timeout {
            124
        } else if counts.interrupted + counts.not_started > 0 {
            75
        } else if counts.failures() > 0 {
            1
        } else if counts.needs_revision > 0 {
            3
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_signal_kills_but_an_echo_is_no_second_signal() {
        let mut ladder = Ladder::new();
        let at = Time::from_millis;
        assert_eq!(ladder.signal(StopSignal::Interrupt, at(1_000)), Some(Stage::Asking));
        assert_eq!(ladder.signal(StopSignal::Interrupt, at(1_150)), None);
        assert_eq!(ladder.signal(StopSignal::Interrupt, at(1_600)), Some(Stage::Killing));
        assert_eq!(ladder.exit_code(&Counts::default()), 130);
    }

    #[test]
    fn a_key_that_is_held_down_is_heard_as_the_second_signal() {
        let mut ladder = Ladder::new();
        let heard: Vec<Stage> =
            (0..20).filter_map(|n| ladder.signal(StopSignal::Interrupt, Time::from_millis(n * 30))).collect();
        assert_eq!(heard, [Stage::Asking, Stage::Killing, Stage::Killing]);
    }

    #[test]
    fn another_signal_at_once_is_a_second_one_and_quit_needs_no_first() {
        let mut ladder = Ladder::new();
        assert_eq!(ladder.signal(StopSignal::Hangup, Time::ZERO), Some(Stage::Asking));
        assert_eq!(ladder.signal(StopSignal::Terminate, Time::ZERO), Some(Stage::Killing));
        assert_eq!(ladder.exit_code(&Counts::default()), 129, "the first signal names the exit code");
        assert_eq!(Ladder::new().signal(StopSignal::Quit, Time::ZERO), Some(Stage::Killing));
    }

    #[test]
    fn the_gravest_truth_gives_the_exit_code() {
        let counts = |f: fn(&mut Counts)| {
            let mut counts = Counts { approved: 3, ..Counts::default() };
            f(&mut counts);
            counts
        };
        let plain = Ladder::new();
        assert_eq!(plain.exit_code(&counts(|_| {})), 0);
        assert_eq!(plain.exit_code(&counts(|c| c.skipped = 1)), 0);
        assert_eq!(plain.exit_code(&counts(|c| c.needs_revision = 1)), 3);
        assert_eq!(plain.exit_code(&counts(|c| (c.needs_revision, c.failed) = (1, 1))), 1);
        assert_eq!(plain.exit_code(&counts(|c| c.timed_out = 1)), 1);
        assert_eq!(plain.exit_code(&counts(|c| (c.failed, c.not_started) = (1, 1))), 75);
        assert_eq!(plain.exit_code(&counts(|c| (c.failed, c.interrupted) = (1, 1))), 75);
        let mut late = Ladder::new();
        late.note(StopCause::RunTimeout);
        assert_eq!(late.exit_code(&counts(|c| c.interrupted = 1)), 124);
        late.signal(StopSignal::Terminate, Time::ZERO);
        assert_eq!(late.exit_code(&counts(|c| c.interrupted = 1)), 143);
        late.note(StopCause::Trouble);
        assert_eq!(late.exit_code(&counts(|c| c.interrupted = 1)), 125);
    }
}
