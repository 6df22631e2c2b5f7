//! A hundred deaths at random moments: whatever is killed when, running the same command again brings every item to its
//! right end, whole, and nothing is left over.

use std::collections::BTreeMap;

use wf_tests::Project;
use wf_tests::mock::MockProvider;

use crate::deaths::{self, Chance, run_and_kill};

use super::{FLOWS, Flow, contents, item};

/// Kills in all.
const KILLS: u32 = 100;

/// What the moments and the victims depend on. Another seed is another hundred.
const SEED: u64 = 0x5eed;

/// How items fare in each round, and how they end.
const ITEMS: &[(&str, &str)] = &[
    ("approve@1", "approved"),
    ("approve@2", "approved"),
    ("approve@3", "approved"),
    ("misfit-once", "approved"),
    ("incomplete", "approved"),
    ("stagnate", "needs-revision"),
    ("discuss", "needs-revision"),
    ("garbage", "failed"),
];

/// Workers at once; each may lose the one reply that it had not kept yet.
const WORKERS: u64 = 3;

/// One after another until all hundred are dead: a list of items is run again and again until it is through, then comes
/// the next.
fn list(flow: &Flow, p: &Project, round: u32) -> Vec<String> {
    let ids: Vec<String> = (0..ITEMS.len()).map(|n| format!("r{round}-{n}")).collect();
    for (id, (script, _)) in ids.iter().zip(ITEMS) {
        flow.write_input(p, id, script);
    }
    p.write("items.txt", ids.join("\n"));
    ids
}

fn project() -> (Project, MockProvider) {
    let p = Project::new();
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, "");
    (p, mock)
}

/// Looks at everything that a list leaves when it is through.
fn check(flow: &Flow, p: &Project, ids: &[String], undisturbed: &BTreeMap<String, Vec<u8>>) {
    for (id, (script, outcome)) in ids.iter().zip(ITEMS) {
        let found = item(p, id);
        let ended = found["outcome"].as_str().unwrap_or_default();
        assert!(ended == *outcome || (ended == "skipped" && *outcome == "approved"), "{script}: {found:#}");
        let (output, draft) = (p.has(flow.output(id)), p.has(flow.draft(id)));
        assert_eq!((output, draft), (*outcome == "approved", *outcome == "needs-revision"), "{script}: {id}");
    }
    assert_eq!(&flow.results(p), undisturbed, "the results are not those of an undisturbed run");
}

/// What must not be left: unfinished files, locks of git, checkpoints of what is done.
fn assert_nothing_left_over(p: &Project) {
    deaths::assert_no_file_left_over(p);
    for name in contents(&p.path(".wf/checkpoints")).keys() {
        let of_open_item = ITEMS
            .iter()
            .enumerate()
            .any(|(n, (_, outcome))| *outcome != "approved" && name.contains(&format!("-{n}.db")));
        assert!(of_open_item, "the checkpoint {name} of an item that is done");
    }
}

#[test]
fn a_hundred_times_at_random_moments() {
    let mut chance = Chance(SEED);
    let (p, mock) = project();
    let (calm, its_mock) = project();
    let (mut kills, mut round) = (0, 0);
    while kills < KILLS {
        let flow = &FLOWS[round as usize % FLOWS.len()];
        let ids = list(flow, &p, round);
        list(flow, &calm, round);
        let command = format!("run items.txt -w {} -j{WORKERS}", flow.name);
        calm.run(&command).code(1);
        loop {
            let (killed, run) = run_and_kill(&p, &mock, &command, &mut chance);
            kills += u32::from(killed);
            let through = !killed && run.exit_code() == Some(1);
            assert!(killed || through, "nothing was killed, and yet\n{run}");
            if through {
                break;
            }
        }
        check(flow, &p, &ids, &flow.results(&calm));
        round += 1;
    }
    assert_nothing_left_over(&p);
    let paid_twice = mock.counters()["duplicates"].as_u64().unwrap_or(u64::MAX);
    assert!(
        paid_twice <= u64::from(kills) * WORKERS,
        "{paid_twice} replies were paid twice in {kills} deaths"
    );
    mock.stop();
    its_mock.stop();
}
