//! Every combination of facts that matters, and what holds for all of them.

use proptest::prelude::*;

use super::*;

const RUN: &str = "2026-11-21T05-14-49Z-7f3a";
const OUTPUT: &str = "docs/lld/LLD-42.md";
const START: &str = "issues/42.md -> docs/lld/LLD-42.md";

fn last(outcome: Option<Outcome>, fingerprint: &str) -> LastWork {
    LastWork { run: RUN.to_owned(), outcome, fingerprint: fingerprint.to_owned(), owes_redo: false }
}

fn at() -> Checkpoint {
    Checkpoint::At { node: "N3_review".to_owned(), iteration: 2 }
}

fn facts<'a>(last: Option<&'a LastWork>, checkpoint: &'a Checkpoint) -> ItemFacts<'a> {
    ItemFacts {
        fingerprint: "now",
        last,
        input: InputState::Present,
        output: Some(OUTPUT),
        output_on_disk: None,
        output_of_ours: None,
        checkpoint,
        held_by: None,
        redo: false,
        by_all: false,
        start: START,
    }
}

/// How the last run that did something ended for the item; `None` when it was killed.
type Last = Option<Outcome>;

struct Case {
    last: Option<Last>,
    same: bool,
    checkpoint: Checkpoint,
    /// The output on disk and as we wrote it.
    output: (Option<&'static str>, Option<&'static str>),
    redo: bool,
    by_all: bool,
    expected: (PlanAction, &'static str, CheckpointUse, bool),
}

#[test]
fn table() {
    use CheckpointUse::{Continue, SetAside};
    use Outcome::{Approved, Failed, Interrupted, NeedsRevision, NotStarted, Skipped, TimedOut};
    use PlanAction::{Fail, Keep, Rerun, Resume, Run, Skip};
    const NO: CheckpointUse = CheckpointUse::None;
    let case = |last, same, checkpoint, output, flags: &str, expected| Case {
        last,
        same,
        checkpoint,
        output,
        redo: flags.contains("redo"),
        by_all: flags.contains("all"),
        expected,
    };
    let none = || Checkpoint::None;
    let corrupt = || Checkpoint::Corrupt("not a database".to_owned());
    let (absent, ours, foreign, edited) =
        ((None, None), (Some("h"), Some("h")), (Some("x"), None), (Some("x"), Some("h")));
    let gone = (None, Some("h"));
    let cases = [
        // Nothing known.
        case(None, true, none(), absent, "", (Run, START, NO, false)),
        case(None, true, none(), absent, "all", (Run, START, NO, false)),
        case(
            None,
            true,
            none(),
            foreign,
            "all",
            (Keep, "docs/lld/LLD-42.md exists and is not ours", NO, false),
        ),
        case(
            None,
            true,
            none(),
            foreign,
            "all redo",
            (Keep, "docs/lld/LLD-42.md exists and is not ours", NO, false),
        ),
        case(
            None,
            true,
            none(),
            foreign,
            "",
            (
                Run,
                "issues/42.md -> docs/lld/LLD-42.md; docs/lld/LLD-42.md is not ours and stays, the new one goes to docs/lld/LLD-42.new.md",
                NO,
                true,
            ),
        ),
        case(None, true, at(), absent, "", (Resume, "at N3_review, iteration 2", Continue, false)),
        case(
            None,
            true,
            corrupt(),
            absent,
            "",
            (
                Fail,
                "its checkpoint cannot be used: not a database; --redo sets it aside and starts again",
                NO,
                false,
            ),
        ),
        // Done.
        case(Some(Some(Approved)), true, none(), ours, "", (Skip, "done in run 7f3a", NO, false)),
        case(Some(Some(Approved)), true, none(), ours, "all", (Skip, "done in run 7f3a", NO, false)),
        case(Some(Some(Skipped)), true, none(), ours, "", (Skip, "done in run 7f3a", NO, false)),
        case(
            Some(Some(Approved)),
            true,
            none(),
            edited,
            "",
            (Skip, "done in run 7f3a; docs/lld/LLD-42.md was changed since and stays", NO, false),
        ),
        case(
            Some(Some(Approved)),
            true,
            none(),
            foreign,
            "",
            (
                Skip,
                "done in run 7f3a; docs/lld/LLD-42.md stays, as nothing tells whether it is what was written then",
                NO,
                false,
            ),
        ),
        case(
            Some(Some(Approved)),
            true,
            none(),
            gone,
            "",
            (Rerun, "docs/lld/LLD-42.md is gone since run 7f3a", NO, false),
        ),
        case(
            Some(Some(Approved)),
            true,
            none(),
            ours,
            "redo",
            (Run, "issues/42.md -> docs/lld/LLD-42.md again, done in run 7f3a", NO, false),
        ),
        case(
            Some(Some(Approved)),
            true,
            at(),
            ours,
            "redo",
            (Run, "issues/42.md -> docs/lld/LLD-42.md again, done in run 7f3a", SetAside, false),
        ),
        case(
            Some(Some(Approved)),
            true,
            none(),
            edited,
            "redo",
            (
                Run,
                "issues/42.md -> docs/lld/LLD-42.md again, done in run 7f3a; docs/lld/LLD-42.md is not ours and stays, the new one goes to docs/lld/LLD-42.new.md",
                NO,
                true,
            ),
        ),
        // Done, but changed since.
        case(
            Some(Some(Approved)),
            false,
            none(),
            ours,
            "",
            (Rerun, "input changed since run 7f3a", NO, false),
        ),
        case(
            Some(Some(Approved)),
            false,
            none(),
            ours,
            "all",
            (Rerun, "input changed since run 7f3a", NO, false),
        ),
        case(
            Some(Some(Approved)),
            false,
            none(),
            edited,
            "",
            (
                Rerun,
                "input changed since run 7f3a; docs/lld/LLD-42.md is not ours and stays, the new one goes to docs/lld/LLD-42.new.md",
                NO,
                true,
            ),
        ),
        // Needs revision.
        case(
            Some(Some(NeedsRevision)),
            true,
            at(),
            absent,
            "",
            (PlanAction::NeedsRevision, "needs revision since run 7f3a; --redo continues it", NO, false),
        ),
        case(
            Some(Some(NeedsRevision)),
            true,
            at(),
            absent,
            "redo",
            (Resume, "at N3_review, iteration 2", Continue, false),
        ),
        case(Some(Some(NeedsRevision)), true, none(), absent, "redo", (Run, START, NO, false)),
        case(
            Some(Some(NeedsRevision)),
            false,
            at(),
            absent,
            "",
            (Rerun, "input changed since run 7f3a", SetAside, false),
        ),
        // Begun.
        case(
            Some(Some(Interrupted)),
            true,
            at(),
            absent,
            "",
            (Resume, "at N3_review, iteration 2", Continue, false),
        ),
        case(
            Some(Some(Interrupted)),
            true,
            at(),
            absent,
            "redo",
            (Resume, "at N3_review, iteration 2", Continue, false),
        ),
        case(
            Some(Some(Interrupted)),
            true,
            Checkpoint::Opaque,
            absent,
            "",
            (Resume, "from its checkpoint", Continue, false),
        ),
        case(Some(Some(Interrupted)), true, none(), absent, "", (Run, START, NO, false)),
        case(Some(None), true, at(), absent, "", (Resume, "at N3_review, iteration 2", Continue, false)),
        case(Some(None), true, none(), absent, "", (Run, START, NO, false)),
        case(
            Some(Some(Failed)),
            true,
            at(),
            absent,
            "",
            (Resume, "at N3_review, iteration 2", Continue, false),
        ),
        case(
            Some(Some(Failed)),
            true,
            none(),
            absent,
            "",
            (Run, "issues/42.md -> docs/lld/LLD-42.md, failed in run 7f3a", NO, false),
        ),
        case(
            Some(Some(TimedOut)),
            true,
            none(),
            absent,
            "",
            (Run, "issues/42.md -> docs/lld/LLD-42.md, timed-out in run 7f3a", NO, false),
        ),
        case(
            Some(Some(Failed)),
            true,
            corrupt(),
            absent,
            "",
            (
                Fail,
                "its checkpoint cannot be used: not a database; --redo sets it aside and starts again",
                NO,
                false,
            ),
        ),
        case(
            Some(Some(Failed)),
            true,
            corrupt(),
            absent,
            "redo",
            (
                Run,
                "issues/42.md -> docs/lld/LLD-42.md, its checkpoint set aside: not a database",
                SetAside,
                false,
            ),
        ),
        case(
            Some(Some(Interrupted)),
            false,
            at(),
            absent,
            "",
            (Rerun, "input changed since run 7f3a", SetAside, false),
        ),
        case(
            Some(Some(Interrupted)),
            false,
            corrupt(),
            absent,
            "",
            (Rerun, "input changed since run 7f3a", SetAside, false),
        ),
        case(
            Some(Some(Interrupted)),
            true,
            at(),
            foreign,
            "",
            (
                Resume,
                "at N3_review, iteration 2; docs/lld/LLD-42.md is not ours and stays, the new one goes to docs/lld/LLD-42.new.md",
                Continue,
                true,
            ),
        ),
        // Never begun.
        case(Some(Some(NotStarted)), true, none(), absent, "", (Run, START, NO, false)),
        case(Some(Some(NotStarted)), false, none(), absent, "", (Run, START, NO, false)),
        case(
            Some(Some(NotStarted)),
            false,
            at(),
            absent,
            "",
            (Rerun, "input changed since run 7f3a", SetAside, false),
        ),
    ];
    for (number, c) in cases.iter().enumerate() {
        let work = c.last.map(|outcome| last(outcome, if c.same { "now" } else { "then" }));
        let mut facts = facts(work.as_ref(), &c.checkpoint);
        (facts.output_on_disk, facts.output_of_ours) = c.output;
        (facts.redo, facts.by_all) = (c.redo, c.by_all);
        let (action, words, checkpoint, beside) = c.expected;
        let expected = Decision { action, words: words.to_owned(), checkpoint, beside };
        assert_eq!(decide(&facts), expected, "case {number}: {facts:?}");
    }
}

#[test]
fn what_stops_an_item_whatever_else_is_true() {
    let work = last(Some(Outcome::Approved), "now");
    let checkpoint = at();
    let holder = Holder { run: RUN.to_owned(), pid: 4711 };
    let held = ItemFacts { held_by: Some(&holder), redo: true, ..facts(Some(&work), &checkpoint) };
    let decision = decide(&held);
    assert_eq!(decision.action, PlanAction::Fail);
    assert_eq!(decision.words, "run 2026-11-21T05-14-49Z-7f3a (process 4711) is working on it");
    let input = InputState::Unusable("input issues/42.md not found");
    let missing = ItemFacts { input, ..facts(Some(&work), &checkpoint) };
    assert_eq!(
        decide(&missing),
        Decision {
            action: PlanAction::Fail,
            words: "input issues/42.md not found".to_owned(),
            checkpoint: CheckpointUse::None,
            beside: false
        }
    );
}

#[test]
fn commands() {
    let command = |last, checkpoint| ItemFacts {
        input: InputState::NotNeeded,
        output: None,
        start: "./agent 42",
        ..facts(last, checkpoint)
    };
    let none = Checkpoint::None;
    let done = last(Some(Outcome::Succeeded), "now");
    assert_eq!(decide(&command(Some(&done), &none)).action, PlanAction::Skip);
    let changed = last(Some(Outcome::Succeeded), "then");
    let decision = decide(&command(Some(&changed), &none));
    assert_eq!(decision.action, PlanAction::Rerun);
    assert_eq!(decision.words, "command, text or environment changed since run 7f3a");
    assert_eq!(decide(&command(None, &none)).words, "./agent 42");
}

#[test]
fn names() {
    for (output, expected) in [
        ("docs/lld/LLD-42.md", "docs/lld/LLD-42.new.md"),
        ("a.b/c", "a.b/c.new"),
        (".hidden", ".hidden.new"),
        ("x.tar.gz", "x.tar.new.gz"),
    ] {
        assert_eq!(beside(output), expected);
    }
    assert_eq!(short_run(RUN), "7f3a");
    assert_eq!(short_run(""), "");
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    use Outcome::*;
    proptest::sample::select(vec![
        Approved,
        Succeeded,
        Skipped,
        NeedsRevision,
        Interrupted,
        NotStarted,
        Failed,
        TimedOut,
    ])
}

fn any_checkpoint() -> impl Strategy<Value = Checkpoint> {
    prop_oneof![
        Just(Checkpoint::None),
        Just(at()),
        Just(Checkpoint::Opaque),
        Just(Checkpoint::Corrupt("torn".to_owned()))
    ]
}

fn hash() -> impl Strategy<Value = Option<&'static str>> {
    proptest::sample::select(vec![None, Some("h"), Some("x")])
}

proptest! {
    #[test]
    fn holds_for_all(
        outcome in proptest::option::of(proptest::option::of(any_outcome())),
        same: bool, redo: bool, by_all: bool, has_output: bool,
        checkpoint in any_checkpoint(), on_disk in hash(), ours in hash(),
    ) {
        let work = outcome.map(|o| last(o, if same { "now" } else { "then" }));
        let mut facts = facts(work.as_ref(), &checkpoint);
        facts.output = has_output.then_some(OUTPUT);
        facts.output_on_disk = on_disk.filter(|_| has_output);
        facts.output_of_ours = ours;
        (facts.redo, facts.by_all) = (redo, by_all);
        let d = decide(&facts);
        let works = matches!(d.action, PlanAction::Run | PlanAction::Resume | PlanAction::Rerun);
        prop_assert!(!d.words.is_empty());
        // A file that is not ours is never in the way of a write.
        let foreign = facts.output_on_disk.is_some() && facts.output_on_disk != ours;
        prop_assert_eq!(d.beside, works && foreign);
        // A checkpoint is continued exactly by a resume, and a start never runs into one.
        prop_assert_eq!(d.checkpoint == CheckpointUse::Continue, d.action == PlanAction::Resume);
        if works && d.action != PlanAction::Resume {
            prop_assert_eq!(d.checkpoint == CheckpointUse::SetAside, checkpoint != Checkpoint::None);
        }
        // Nothing of another fingerprint is continued, nothing done is paid for twice unasked.
        if work.is_some() && !same {
            prop_assert_ne!(d.action, PlanAction::Resume);
            prop_assert_ne!(d.action, PlanAction::Skip);
        }
        if d.action == PlanAction::Skip {
            prop_assert!(!redo && same);
        }
        if !redo && same && outcome.flatten().is_some_and(Outcome::is_done) && (!has_output || on_disk.is_some()) {
            prop_assert_eq!(d.action, PlanAction::Skip);
        }
    }
}
