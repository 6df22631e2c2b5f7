//! Workflows as data: nodes, the ways out of each, and the bounds of their loops. The engine knows no workflow.
//!
//! A node's function says *how it went* ([`Exit`]); the table says *where that leads* ([`Edge`]). Every way back is an
//! [`Edge::Again`], which counts and has a bound, so a table cannot describe a loop without end
//! ([`Workflow::problems`] proves it, and a test calls it for each table).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::halt::Halt;

/// A workflow: a table one reads.
pub struct Workflow<H: 'static> {
    /// Its name on the command line, such as `lld`.
    pub name: &'static str,
    /// What precedes an item's id in messages and file names, such as `LLD-`.
    pub prefix: &'static str,
    /// Its nodes, in the order of the happy path; work starts with the first.
    pub nodes: &'static [Node<H>],
}

/// One step of a workflow; its end is a durable checkpoint.
pub struct Node<H: 'static> {
    /// Its name on the console and in records, such as `N1_draft`; at most 64 bytes.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&mut H, &Position) -> Result<Done, Halt>,
    /// Where each way out leads. A node takes only ways out that are listed.
    pub exits: &'static [(Exit, Edge)],
}

/// How a node went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As hoped.
    Pass,
    /// Something is to be resolved by an earlier node.
    Findings,
    /// Going on is of no use: a person must look.
    Undecided,
}

/// Where a way out leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Forward, to the node of this name.
    To(&'static str),
    /// Back to an earlier node, so long as the bound allows.
    Again {
        /// The earlier node.
        to: &'static str,
        /// What is counted.
        counts: Counter,
        /// What happens instead once the bound is reached.
        past: Past,
    },
    /// The workflow is over.
    End(Ending),
}

/// What an [`Edge::Again`] counts, and what bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Iterations of the workflow: as many as the job's `max_iterations`. A new one starts its rounds afresh.
    Iteration,
    /// Rounds within an iteration: this many.
    Round(u32),
}

/// What follows a loop that has reached its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// Forward, to the node of this name.
    To(&'static str),
    /// The workflow is over.
    End(Ending),
}

/// How a workflow ends when it comes to an end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The document is approved and in its place.
    Approved,
    /// A person must look.
    NeedsRevision,
}

/// Where a workflow stands: the node to run next, and the counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The node's name.
    pub node: String,
    /// From 1.
    pub iteration: u32,
    /// Rounds already gone back within the iteration, from 0.
    pub round: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, iteration {}", self.node, self.iteration)
    }
}

/// What a node hands back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// How it went.
    pub exit: Exit,
    /// The same in one line, for the console.
    pub line: String,
}

impl Done {
    /// A node that went as hoped.
    pub fn pass(line: impl Into<String>) -> Done {
        Done { exit: Exit::Pass, line: line.into() }
    }

    /// A node that found something to resolve.
    pub fn findings(line: impl Into<String>) -> Done {
        Done { exit: Exit::Findings, line: line.into() }
    }

    /// A node that leaves the matter to a person.
    pub fn undecided(line: impl Into<String>) -> Done {
        Done { exit: Exit::Undecided, line: line.into() }
    }
}

/// What follows a finished node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Next {
    /// Another node.
    Node(Position),
    /// Nothing.
    End {
        /// How it ended.
        ending: Ending,
        /// Whether a loop's bound was the cause.
        at_bound: bool,
    },
}

/// What a workflow is played on: it announces, and it makes each step durable.
pub trait Host {
    /// A node is about to run. `share` is how far the workflow has come, in thousandths. An error keeps it from running.
    fn begins(&mut self, at: &Position, looped: bool, share: u16) -> Result<(), Halt>;
    /// A node has run; when this returns, its result is durable.
    fn finished(&mut self, at: &Position, done: &Done, next: &Next) -> Result<(), Halt>;
}

/// Runs a workflow from `at` to its end.
///
/// `max_iterations` bounds the iterations; 0 counts as 1. A [`Halt`] leaves everything as the last
/// [`Host::finished`] made it durable.
pub fn drive<H: Host>(
    workflow: &Workflow<H>,
    mut at: Position,
    max_iterations: u32,
    host: &mut H,
) -> Result<(Ending, bool), Halt> {
    loop {
        let Some(node) = workflow.node(&at.node) else {
            return Err(Halt::Failed(format!(
                "the checkpoint stands at {}, which the {} workflow does not have; --redo starts anew",
                at.node, workflow.name
            )));
        };
        host.begins(&at, workflow.is_looped(node.name), workflow.share(&at, max_iterations))?;
        let done = (node.run)(host, &at)?;
        let next = workflow.follow(node, done.exit, &at, max_iterations)?;
        host.finished(&at, &done, &next)?;
        match next {
            Next::Node(position) => at = position,
            Next::End { ending, at_bound } => return Ok((ending, at_bound)),
        }
    }
}

impl<H> Workflow<H> {
    /// The position of work that has not begun.
    pub fn start(&self) -> Position {
        let node = self.nodes.first().map_or("", |n| n.name).to_owned();
        Position { node, iteration: 1, round: 0 }
    }

    fn node(&self, name: &str) -> Option<&'static Node<H>> {
        self.nodes.iter().find(|n| n.name == name)
    }

    fn index(&self, name: &str) -> usize {
        self.nodes.iter().position(|n| n.name == name).unwrap_or(0)
    }

    /// Where `exit` of `node` leads from `at`.
    fn follow(&self, node: &Node<H>, exit: Exit, at: &Position, max_iterations: u32) -> Result<Next, Halt> {
        let Some((_, edge)) = node.exits.iter().find(|(e, _)| *e == exit) else {
            return Err(Halt::Failed(format!(
                "{} of the {} workflow has no way out {exit:?}",
                node.name, self.name
            )));
        };
        let to = |name: &str| Position { node: name.to_owned(), ..at.clone() };
        Ok(match *edge {
            Edge::To(name) => Next::Node(to(name)),
            Edge::End(ending) => Next::End { ending, at_bound: false },
            Edge::Again { to: name, counts: Counter::Iteration, .. } if at.iteration < max_iterations => {
                Next::Node(Position { iteration: at.iteration + 1, round: 0, ..to(name) })
            }
            Edge::Again { to: name, counts: Counter::Round(bound), .. } if at.round < bound => {
                Next::Node(Position { round: at.round + 1, ..to(name) })
            }
            Edge::Again { past, .. } => match past {
                Past::To(name) => Next::Node(to(name)),
                Past::End(ending) => Next::End { ending, at_bound: true },
            },
        })
    }

    /// Whether iterations pass through the node.
    fn is_looped(&self, name: &str) -> bool {
        let here = self.index(name);
        self.nodes.iter().enumerate().any(|(from, node)| {
            node.exits.iter().any(|(_, edge)| match edge {
                Edge::Again { to, counts: Counter::Iteration, .. } => (self.index(to)..=from).contains(&here),
                _ => false,
            })
        })
    }

    /// How far a position is, in thousandths of the longest way; it never falls from one iteration to the next.
    fn share(&self, at: &Position, max_iterations: u32) -> u16 {
        let of = u64::from(max_iterations.max(1));
        let done = u64::from(at.iteration.clamp(1, max_iterations.max(1)) - 1);
        let nodes = self.nodes.len().max(1) as u64;
        let thousandths = (done * nodes + self.index(&at.node) as u64) * 1000 / (of * nodes);
        thousandths.min(1000) as u16
    }

    /// What is wrong with the table: targets that do not exist, ways forward that lead back, ways back that do not.
    /// Empty for a table whose every path ends.
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (from, node) in self.nodes.iter().enumerate() {
            if node.exits.is_empty() {
                found.push(format!("{} has no way out", node.name));
            }
            for (exit, edge) in node.exits {
                let (forward, back) = match *edge {
                    Edge::To(to) => (Some(to), None),
                    Edge::Again { to, past: Past::To(past), .. } => (Some(past), Some(to)),
                    Edge::Again { to, past: Past::End(_), .. } => (None, Some(to)),
                    Edge::End(_) => (None, None),
                };
                for (name, is_back) in forward.map(|n| (n, false)).into_iter().chain(back.map(|n| (n, true)))
                {
                    match self.nodes.iter().position(|n| n.name == name) {
                        None => {
                            found.push(format!("{} {exit:?} leads to {name}, which is no node", node.name));
                        }
                        Some(target) if (target <= from) != is_back => {
                            found.push(format!(
                                "{} {exit:?} leads to {name} in the wrong direction",
                                node.name
                            ));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
