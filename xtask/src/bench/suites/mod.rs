//! The suites, each in a file of its own.

mod grant;
mod output;
mod quota;
mod scale;
mod spawn;
mod speedup;
mod stop;
mod worker;

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
pub const SUITES: [Suite; 8] = [
    Suite {
        name: "spawn",
        question: "what does it cost to run a process under supervision?",
        work: spawn::WORK,
        run: spawn::run,
    },
    Suite {
        name: "worker",
        question: "what does it cost to run a workflow as an item?",
        work: worker::WORK,
        run: worker::run,
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
        name: "grant",
        question: "how long does a worker wait for a key that is free?",
        work: grant::WORK,
        run: grant::run,
    },
    Suite {
        name: "quota",
        question: "how much of its quotas does a batch use, and how much of its calls is wasted?",
        work: quota::WORK,
        run: quota::run,
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
