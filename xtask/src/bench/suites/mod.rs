//! The suites, each in a file of its own.

mod output;
mod scale;
mod spawn;
mod speedup;
mod stop;

use anyhow::Result;

use super::Bench;
use super::report::Finding;

/// Something that is measured.
pub struct Suite {
    /// What the command line and the files call it.
    pub name: &'static str,
    /// What it asks, in a few words.
    pub question: &'static str,
    /// What is done, and what it is compared with.
    pub work: &'static str,
    /// How it is done.
    pub run: fn(&Bench) -> Result<Finding>,
}

/// All of them, in the order in which they are run and shown.
pub const SUITES: [Suite; 5] = [
    Suite {
        name: "spawn",
        question: "what does it cost to run a process under supervision?",
        work: spawn::WORK,
        run: spawn::run,
    },
    Suite {
        name: "speedup",
        question: "how much faster is a batch with several workers?",
        work: speedup::WORK,
        run: speedup::run,
    },
    Suite {
        name: "output",
        question: "what does it cost to prefix, log and redact all that workers write?",
        work: output::WORK,
        run: output::run,
    },
    Suite {
        name: "stop",
        question: "how long after Ctrl+C, or after the supervisor was killed, is everything gone?",
        work: stop::WORK,
        run: stop::run,
    },
    Suite {
        name: "scale",
        question: "does an item, or a worker, cost more when there are many?",
        work: scale::WORK,
        run: scale::run,
    },
];
