//! What the mock reviewer finds, and how the mock drafter takes it up.

use crate::draw;

/// A finding of a review.
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    /// In bold at its beginning.
    pub title: &'static str,
    /// What is wrong.
    pub text: &'static str,
    /// What the next draft says about it.
    pub resolution: &'static str,
}

const BLOCKING: [Finding; 5] = [
    Finding {
        title: "Unbounded retries",
        text: "Nothing limits how often the operation is repeated, so an outage turns into a flood of requests.",
        resolution: "An operation is attempted at most five times, with full jitter between half a second and \
                     twenty seconds, and the whole of it ends after two minutes.",
    },
    Finding {
        title: "Secrets in the log",
        text: "The design logs whole requests; tokens in their headers would end up on disk.",
        resolution: "Only method, path and status of a request are logged. A test searches the log of a full run for \
                     the token it used.",
    },
    Finding {
        title: "Path traversal",
        text: "A name that comes from outside is joined to a directory without a check.",
        resolution: "Names from outside must match a fixed pattern of letters, digits, dashes and underscores before \
                     they become part of a path; anything else is refused with the name in the message.",
    },
    Finding {
        title: "Data loss on interruption",
        text: "Output files are written in place, so a crash leaves half of one behind.",
        resolution: "Files are written beside their destination, flushed to disk and renamed, so that a reader finds \
                     the old or the new one and nothing in between.",
    },
    Finding {
        title: "No way back",
        text: "The migration changes stored records and has no description of how to undo it.",
        resolution: "The migration keeps the old records until the next release, and the command that goes back is \
                     part of this change and of its tests.",
    },
];

const HIGH: [Finding; 5] = [
    Finding {
        title: "Observability",
        text: "An operator cannot tell from the outside whether work is waiting or stuck.",
        resolution: "Waiting and working are counted separately and shown by the status command, with the reason and \
                     the expected end of each wait.",
    },
    Finding {
        title: "Error messages",
        text: "Failures are reported as codes that only the author understands.",
        resolution: "Every failure is reported as a sentence that says what happened, to which file, and what to do \
                     next.",
    },
    Finding {
        title: "Concurrency",
        text: "Two processes may do the same work at the same time.",
        resolution: "Work is claimed under a lock before it begins; who comes second is told who holds it.",
    },
    Finding {
        title: "Compatibility",
        text: "It is not said what happens to files that an older version wrote.",
        resolution: "Files carry a format version. Older ones are read, newer ones are refused with both versions \
                     named.",
    },
    Finding {
        title: "Resource use",
        text: "Memory grows with the size of the input.",
        resolution: "Input is read in pieces of 64 KiB; a test with an input of one gigabyte bounds the memory at \
                     twenty megabytes.",
    },
];

/// A suggestion that does not stand in the way of an approval.
pub const SUGGESTION: Finding = Finding {
    title: "Naming",
    text: "Some names in the proposed changes abbreviate; spelling them out costs nothing.",
    resolution: "Names are spelled out.",
};

/// The blocking and the high-priority finding of an item's `review`-th review (from 1). Neighbouring reviews differ.
pub fn of_review(item: &str, review: u32) -> (Finding, Finding) {
    let at = |salt: &[u8], n: usize| {
        let first = draw::hash(&[salt, item.as_bytes()]) % n as u64;
        ((first + u64::from(review)) % n as u64) as usize
    };
    (BLOCKING[at(b"blocking", BLOCKING.len())], HIGH[at(b"high", HIGH.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_reviews_find_different_things() {
        for review in 1..20 {
            let (now, next) = (of_review("42", review), of_review("42", review + 1));
            assert_ne!(now.0.title, next.0.title);
            assert_ne!(now.1.title, next.1.title);
        }
    }
}
