//! How an item fares with its reviewer.

use std::fmt;
use std::str::FromStr;

use crate::draw;

/// What the reviews of one item say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// `approve@N`: approved by the N-th review, after N − 1 revisions.
    Approve(u32),
    /// `never`: every review asks for something new.
    Never,
    /// `stagnate`: every review asks for the same again.
    Stagnate,
    /// `discuss`: a person must decide.
    Discuss,
    /// `block`: rejected, with blocking findings, every time.
    Block,
    /// `garbage`: the reviewer never gives a verdict.
    Garbage,
    /// `garbage-once`: the first reply of each review has no verdict, the next one approves.
    GarbageOnce,
    /// `unmarked`: every review leaves the verdict's boxes as the template has them.
    Unmarked,
    /// `fenced`: the first review quotes an approval in a fence and gives no verdict of its own; asked again, it asks for
    /// a revision. Then as `approve@2`.
    Fenced,
    /// `misfit`: the edits of the first revision match nowhere, also when they are sent back.
    Misfit,
    /// `misfit-once`: the edits of the first revision match nowhere, those that follow do. Else as `approve@2`.
    MisfitOnce,
    /// `huge`: the first reply to each question has 20 MiB; asked again, as `approve@1`.
    Huge,
    /// `incomplete`: the first draft lacks a section, which the mechanical check finds, or the first tests pass before
    /// there is code; then as `approve@1`.
    Incomplete,
    /// `red`: the code never makes its tests pass.
    Red,
    /// `hostile`: the first code of each iteration names files outside of the project; then as `approve@1`.
    Hostile,
}

/// Every script, as messages name them.
pub const SCRIPTS: &str = "approve@N, never, stagnate, discuss, block, garbage, garbage-once, unmarked, fenced, misfit, \
                           misfit-once, huge, incomplete, red, hostile";

/// A text that is no [`Script`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadScript(String);

impl fmt::Display for BadScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no script ({SCRIPTS} are)", self.0)
    }
}

impl std::error::Error for BadScript {}

impl FromStr for Script {
    type Err = BadScript;

    fn from_str(text: &str) -> Result<Script, BadScript> {
        let bad = || BadScript(text.chars().take(64).collect());
        Ok(match text.trim() {
            "approve" => Script::Approve(1),
            "never" => Script::Never,
            "stagnate" => Script::Stagnate,
            "discuss" => Script::Discuss,
            "block" => Script::Block,
            "garbage" => Script::Garbage,
            "garbage-once" => Script::GarbageOnce,
            "unmarked" => Script::Unmarked,
            "fenced" => Script::Fenced,
            "misfit" => Script::Misfit,
            "misfit-once" => Script::MisfitOnce,
            "huge" => Script::Huge,
            "incomplete" => Script::Incomplete,
            "red" => Script::Red,
            "hostile" => Script::Hostile,
            other => {
                let reviews = other.strip_prefix("approve@").ok_or_else(bad)?;
                Script::Approve(reviews.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?)
            }
        })
    }
}

impl Script {
    /// The script a document chooses for itself: `<!-- mock: approve@2 -->`. The first one counts, so that what a model
    /// adds later changes nothing.
    pub fn chosen_by(document: &str) -> Option<Script> {
        document.split("<!--").skip(1).find_map(|rest| {
            let comment = rest.split_once("-->")?.0;
            comment.trim().strip_prefix("mock:")?.parse().ok()
        })
    }

    /// What happens to an item that nobody planned for. Every item is approved in the end: a fifth of them at once,
    /// three fifths after one revision, a fifth after two. The shares are close together so that a few items make an
    /// even load.
    pub fn by_chance(seed: u64, item: &str) -> Script {
        match draw::hash(&[b"script", &seed.to_le_bytes(), item.as_bytes()]) % 10 {
            0..=1 => Script::Approve(1),
            2..=7 => Script::Approve(2),
            _ => Script::Approve(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_read_and_nonsense_is_named() {
        assert_eq!("approve".parse(), Ok(Script::Approve(1)));
        assert_eq!("approve@3".parse(), Ok(Script::Approve(3)));
        assert_eq!(" garbage-once ".parse(), Ok(Script::GarbageOnce));
        for script in crate::script::SCRIPTS.split(", ") {
            script.replace('N', "7").parse::<Script>().unwrap();
        }
        for bad in ["", "approve@0", "approve@-1", "approve@x", "reject"] {
            let error = bad.parse::<Script>().unwrap_err();
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn a_document_may_choose() {
        let chosen = Script::chosen_by;
        assert_eq!(chosen("# Title\n<!-- mock: approve@2 -->\ntext"), Some(Script::Approve(2)));
        assert_eq!(chosen("<!-- a note --><!--mock:never--><!-- mock: approve -->"), Some(Script::Never));
        assert_eq!(chosen("<!-- mock: nonsense --> <!-- mock: discuss"), None);
        assert_eq!(chosen("mock: never"), None);
    }

    /// Calls per item: a draft and a review per round.
    fn calls(item: &str) -> u32 {
        match Script::by_chance(0, item) {
            Script::Approve(reviews) => 2 * reviews,
            other => panic!("{other:?} does not end approved"),
        }
    }

    #[test]
    fn the_usual_six_items_are_an_even_load_for_three_workers() {
        let numbered = |from: u32| (from..from + 6).map(|n| n.to_string()).collect::<Vec<_>>();
        let named = |prefix: &str| (1..=6).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
        for items in [
            numbered(1),
            numbered(10),
            numbered(41),
            numbered(42),
            numbered(100),
            numbered(101),
            named("item-"),
            named("issue-"),
        ] {
            let mut workers = [0_u32; 3];
            for item in &items {
                let next = workers.iter_mut().min().unwrap();
                *next += calls(item);
            }
            let total: u32 = workers.iter().sum();
            let longest = workers.iter().max().unwrap();
            assert!(longest * 2 < total, "{items:?}: {longest} of {total}");
        }
    }

    #[test]
    fn some_are_approved_at_once_and_some_are_not() {
        let rounds: Vec<u32> = (0..200).map(|n| calls(&n.to_string())).collect();
        for calls in [2, 4, 6] {
            assert!(rounds.iter().filter(|n| **n == calls).count() > 20);
        }
    }
}
