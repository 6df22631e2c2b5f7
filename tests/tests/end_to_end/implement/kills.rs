//! Deaths at random moments while code is written: branches, worktrees and git's locks are what a death can spoil here.

use std::collections::BTreeMap;

use wf_tests::Project;
use wf_tests::mock::MockProvider;

use super::{SHELL, assert_green, assert_tidy, git, prompts_paid_twice, shell_project};
use crate::deaths::{self, Chance, run_and_kill};

/// Kills in all.
const KILLS: u32 = 40;

/// What the moments and the victims depend on.
const SEED: u64 = 0xc0de;

/// How items fare in each round, and how they end.
const ITEMS: &[(&str, &str)] = &[
    ("approve@1", "approved"),
    ("approve@2", "approved"),
    ("hostile", "approved"),
    ("incomplete", "approved"),
    ("red", "needs-revision"),
    ("garbage", "failed"),
];

/// Rounds that there are designs for: each takes a kill at least.
const ROUNDS: u32 = KILLS;

/// Workers at once; each may lose the one reply that it had not kept yet.
const WORKERS: u64 = 3;

/// The items of a round: `1` to `6`, then `7` to `12`; such as begin with another's name are among them.
fn ids(round: u32) -> Vec<String> {
    let of_each = u32::try_from(ITEMS.len()).expect("there are few");
    (1..=of_each).map(|n| (round * of_each + n).to_string()).collect()
}

fn project() -> (Project, MockProvider) {
    let all: Vec<String> = (0..ROUNDS).flat_map(ids).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let p = shell_project(&all);
    let plan: Vec<String> = all
        .iter()
        .zip(ITEMS.iter().cycle())
        .map(|(id, (script, _))| format!(" --plan {id}={script}"))
        .collect();
    let mock = MockProvider::start(&p, &format!("--profile instant{}", plan.concat()));
    mock.configure(&p, 2, SHELL);
    (p, mock)
}

/// What an item's branch has: its files, and what its commits say. The worktree's files where there is one.
fn result(p: &Project, id: &str) -> BTreeMap<String, String> {
    let branch = format!("wf/impl-{id}");
    let mut result = BTreeMap::from([
        ("tree".to_owned(), git(p.dir(), &["ls-tree", "-r", &branch])),
        ("log".to_owned(), git(p.dir(), &["log", "--format=%B%aN", &format!("main..{branch}")])),
    ]);
    let worktree = p.path(format!(".wf/worktrees/impl-{id}"));
    for file in wf_tests::files_below(&worktree) {
        let name = file.strip_prefix(&worktree).unwrap_or(&file).display().to_string();
        // Says where the worktree is.
        if name != ".git" {
            result.insert(name, p.read(&file));
        }
    }
    result
}

#[test]
fn forty_times_at_random_moments() {
    let mut chance = Chance(SEED);
    let (p, mock) = project();
    let (calm, its_mock) = project();
    let (mut kills, mut kept) = (0, Vec::new());
    for round in 0.. {
        if kills >= KILLS {
            break;
        }
        let ids = ids(round);
        for p in [&p, &calm] {
            p.write("items.txt", ids.join("\n"));
        }
        let command = format!("run items.txt -w implement -j{WORKERS}");
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
        for (id, (script, outcome)) in ids.iter().zip(ITEMS) {
            let ended = p.outcome(id);
            assert!(
                ended == *outcome || (ended == "skipped" && *outcome == "approved"),
                "{script}: {id} {ended}"
            );
            assert_eq!(result(&p, id), result(&calm, id), "{script}: {id}");
            if *outcome == "approved" {
                assert_green(&p, id);
            } else {
                kept.push(id.clone());
            }
        }
    }
    assert_tidy(&p, &kept.iter().map(String::as_str).collect::<Vec<_>>());
    deaths::assert_no_file_left_over(&p);
    assert_eq!(
        git(p.dir(), &["branch", "--format=%(refname)"]),
        git(calm.dir(), &["branch", "--format=%(refname)"])
    );
    let administered = std::fs::read_dir(p.path(".git/worktrees")).into_iter().flatten().count();
    assert_eq!(administered, kept.len(), "git knows of worktrees that are gone");
    let paid_twice = prompts_paid_twice(&mock) - prompts_paid_twice(&its_mock);
    assert!(
        paid_twice <= u64::from(kills) * WORKERS,
        "{paid_twice} replies were paid twice in {kills} deaths"
    );
    mock.stop();
    its_mock.stop();
}
