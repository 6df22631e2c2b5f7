//! Ending everything in a tree, also when it grows.

use std::collections::HashSet;
use std::time::Instant;

use super::{Known, this, walk};
use crate::raw;

/// How often a tree is gone through for stopping before it is killed as it is.
const MOST_STOPS: usize = 16;

/// The ending of one tree, over as many blows as it takes.
///
/// Each blow first stops everybody, until nobody new turns up, and then kills. A tree under SIGKILL alone can grow back
/// where it is cut: children see their parent die, parents see their child die, and fork; and while they do, hundreds
/// of them leave the killer little time on the processor. Who is stopped notices nothing and takes no time.
#[derive(Default)]
pub(crate) struct Strike {
    stopped: HashSet<(i32, u64)>,
}

impl Strike {
    /// Stops all that is below this process through the children that `roots` lists.
    pub(crate) fn stop(&mut self, roots: impl Fn() -> Vec<i32>, deadline: Instant) {
        for _ in 0..MOST_STOPS {
            let mut new = false;
            walk(children(&roots), |process, stat| {
                if self.stopped.insert((process.pid(), stat.start)) {
                    new = true;
                    let _ = process.signal(libc::SIGSTOP);
                }
            });
            if !new || Instant::now() >= deadline {
                return;
            }
        }
    }

    /// One blow at the same. What it kills takes a moment to end, and what forked at the wrong moment is for the next
    /// blow.
    pub(crate) fn blow(&mut self, roots: impl Fn() -> Vec<i32>, deadline: Instant) {
        self.stop(&roots, deadline);
        walk(children(&roots), |process, _| {
            let _ = process.signal(libc::SIGKILL);
        });
        // Direct children are unreaped, so their numbers are theirs. This reaches those that `/proc` hides (another
        // user's under `hidepid`), and all of them where there is no `pidfd_send_signal`.
        for child in roots() {
            let _ = raw::kill(child, libc::SIGKILL);
        }
    }
}

fn children(roots: &impl Fn() -> Vec<i32>) -> impl Iterator<Item = (i32, Known)> {
    roots().into_iter().map(|child| (child, Known::ChildOf(this())))
}
