//! Tables played through: every way out, every bound, and tables that are wrong.

use super::*;

/// Plays a script of exits and writes down what happens.
struct Script {
    exits: Vec<Exit>,
    log: Vec<String>,
}

impl Host for Script {
    fn begins(&mut self, at: &Position, looped: bool, share: u16) -> Result<(), Halt> {
        let mark = if looped { "*" } else { "" };
        self.log.push(format!("{}{mark} {}.{} {share}", at.node, at.iteration, at.round));
        Ok(())
    }
    fn finished(&mut self, _: &Position, _: &Done, _: &Next) -> Result<(), Halt> {
        Ok(())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature is the table's")]
fn play(script: &mut Script, _: &Position) -> Result<Done, Halt> {
    let exit = if script.exits.is_empty() { Exit::Pass } else { script.exits.remove(0) };
    Ok(Done { exit, line: String::new() })
}

const AGAIN: Edge =
    Edge::Again { to: "work", counts: Counter::Iteration, past: Past::End(Ending::NeedsRevision) };
const ROUND: Edge = Edge::Again { to: "work", counts: Counter::Round(2), past: Past::To("judge") };

static TABLE: Workflow<Script> = Workflow {
    name: "test",
    prefix: "T-",
    nodes: &[
        Node { name: "load", run: play, exits: &[(Exit::Pass, Edge::To("work"))] },
        Node { name: "work", run: play, exits: &[(Exit::Pass, Edge::To("check"))] },
        Node { name: "check", run: play, exits: &[(Exit::Pass, Edge::To("judge")), (Exit::Findings, ROUND)] },
        Node {
            name: "judge",
            run: play,
            exits: &[
                (Exit::Pass, Edge::End(Ending::Approved)),
                (Exit::Findings, AGAIN),
                (Exit::Undecided, Edge::End(Ending::NeedsRevision)),
            ],
        },
    ],
};

static BAD: Workflow<Script> = Workflow {
    name: "bad",
    prefix: "",
    nodes: &[
        Node { name: "a", run: play, exits: &[(Exit::Pass, Edge::To("a"))] },
        Node { name: "b", run: play, exits: &[(Exit::Pass, Edge::To("z")), (Exit::Findings, ROUND)] },
        Node { name: "c", run: play, exits: &[] },
    ],
};

fn run(exits: &[Exit], max_iterations: u32) -> (Result<(Ending, bool), Halt>, Vec<String>) {
    let mut script = Script { exits: exits.to_vec(), log: Vec::new() };
    let end = drive(&TABLE, TABLE.start(), max_iterations, &mut script);
    (end, script.log)
}

#[test]
fn the_happy_path_is_the_table_from_top_to_bottom() {
    let (end, log) = run(&[], 5);
    assert_eq!(end.unwrap(), (Ending::Approved, false));
    assert_eq!(log, ["load 1.0 0", "work* 1.0 50", "check* 1.0 100", "judge* 1.0 150"]);
}

#[test]
fn rounds_are_bounded_within_an_iteration_and_begin_afresh_with_the_next() {
    use Exit::{Findings, Pass};
    let (end, log) = run(
        &[Pass, Pass, Findings, Pass, Findings, Pass, Findings, Findings, Pass, Findings, Pass, Pass, Pass],
        3,
    );
    assert_eq!(end.unwrap(), (Ending::Approved, false));
    let places: Vec<&str> = log.iter().map(|l| l.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(
        places,
        [
            "load 1.0",
            "work* 1.0",
            "check* 1.0",
            "work* 1.1",
            "check* 1.1",
            "work* 1.2",
            "check* 1.2",
            "judge* 1.2",
            "work* 2.0",
            "check* 2.0",
            "work* 2.1",
            "check* 2.1",
            "judge* 2.1",
        ]
    );
}

#[test]
fn iterations_end_at_the_bound_whatever_the_nodes_say() {
    for max in [0, 1, 2, 7] {
        let (end, log) = run(&[Exit::Pass; 4].map(|_| Exit::Pass), max);
        assert!(end.is_ok() && log.len() == 4);
        let mut exits = vec![Exit::Pass];
        for _ in 0..100 {
            exits.extend([Exit::Pass, Exit::Pass, Exit::Findings]);
        }
        let (end, log) = run(&exits, max);
        assert_eq!(end.unwrap(), (Ending::NeedsRevision, true));
        assert_eq!(log.len(), 1 + 3 * max.max(1) as usize);
    }
}

#[test]
fn a_way_out_that_is_not_in_the_table_is_an_error() {
    let (end, _) = run(&[Exit::Undecided], 1);
    assert!(matches!(end, Err(Halt::Failed(why)) if why.contains("no way out")));
    let at = Position { node: "gone".into(), ..TABLE.start() };
    let end = drive(&TABLE, at, 1, &mut Script { exits: vec![], log: vec![] });
    assert!(matches!(end, Err(Halt::Failed(why)) if why.contains("--redo")));
}

#[test]
fn problems_of_a_table_are_found() {
    assert_eq!(TABLE.problems(), Vec::<String>::new());
    assert_eq!(BAD.problems().len(), 5, "{:?}", BAD.problems());
}
