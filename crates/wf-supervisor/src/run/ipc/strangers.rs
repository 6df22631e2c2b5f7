//! Connections that have not said hello yet: few of each process and few in all. Whoever comes is let in at once, and the
//! oldest that is silent goes for it, so nobody keeps a neighbour waiting.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Of one process, at most. A worker needs one.
const OF_A_PROCESS: usize = 8;
/// Of all processes, at most.
const OF_ALL: usize = 64;
/// What is told of connections that are closed is told once within this time,
const EPISODE: Duration = Duration::from_secs(60);
/// and so many different things at most.
const MOST_TOLD: usize = 8;

/// Who has not said hello yet, and what was told of those that were closed.
#[derive(Debug, Default)]
pub struct Strangers {
    /// In the order of coming.
    waiting: Vec<Stranger>,
    next: u64,
    episode: Option<Instant>,
    told: HashSet<(Option<u32>, String)>,
}

#[derive(Debug)]
struct Stranger {
    number: u64,
    pid: Option<u32>,
    /// Dropping it ends the connection.
    _stays: oneshot::Sender<()>,
}

impl Strangers {
    /// One more connection of a process: its number, and what ends when it has to go. Another one may have to go for it.
    pub fn enter(&mut self, pid: Option<u32>) -> (u64, oneshot::Receiver<()>) {
        let its = || self.waiting.iter().enumerate().filter(|(_, stranger)| stranger.pid == pid);
        let leaves = if its().count() >= OF_A_PROCESS {
            its().next().map(|(at, _)| at)
        } else {
            (self.waiting.len() >= OF_ALL).then_some(0)
        };
        if let Some(at) = leaves {
            self.waiting.remove(at);
        }
        let (stays, goes) = oneshot::channel();
        self.next += 1;
        self.waiting.push(Stranger { number: self.next, pid, _stays: stays });
        (self.next, goes)
    }

    /// It said hello, or is gone.
    pub fn leave(&mut self, number: u64) {
        self.waiting.retain(|stranger| stranger.number != number);
    }

    /// Whether people should hear why a connection was closed.
    pub fn is_news(&mut self, pid: Option<u32>, why: &str, now: Instant) -> bool {
        if self.episode.is_none_or(|began| now.duration_since(began) >= EPISODE) {
            self.episode = Some(now);
            self.told.clear();
        }
        self.told.len() < MOST_TOLD && self.told.insert((pid, why.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_silent_one_of_the_same_process_goes_for_a_new_one() {
        let mut strangers = Strangers::default();
        let (good, mut stays) = strangers.enter(Some(1));
        let mut of_bad: Vec<_> = (0..200).map(|_| strangers.enter(Some(2)).1).collect();
        let gone = of_bad.iter_mut().filter_map(|goes| goes.try_recv().err());
        let gone = gone.filter(|error| *error == oneshot::error::TryRecvError::Closed).count();
        assert_eq!(gone, 200 - OF_A_PROCESS);
        assert_eq!(
            stays.try_recv(),
            Err(oneshot::error::TryRecvError::Empty),
            "another process is none the worse"
        );
        strangers.leave(good);
        assert_eq!(strangers.waiting.len(), OF_A_PROCESS);
        for pid in 100..300 {
            strangers.enter(Some(pid));
        }
        assert_eq!(strangers.waiting.len(), OF_ALL);
    }

    #[test]
    fn an_episode_is_told_once() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let told = (0..500).filter(|_| strangers.is_news(Some(2), "no hello", now)).count();
        assert_eq!(told, 1);
        assert!(
            strangers.is_news(Some(2), "wrong token", now) && strangers.is_news(Some(3), "no hello", now)
        );
        let told = (0..500).filter(|pid| strangers.is_news(Some(*pid), "another", now)).count();
        assert_eq!(told, MOST_TOLD - 3);
        assert!(strangers.is_news(Some(2), "no hello", now + EPISODE), "and again where it goes on");
    }
}
