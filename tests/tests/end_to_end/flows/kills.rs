//! A hundred deaths at random moments: whatever is killed when, running the same command again brings every item to its
//! right end, whole, and nothing is left over.

use std::collections::BTreeMap;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wf_tests::mock::MockProvider;
use wf_tests::{Finished, Project, Running, files_below, processes, wait_until};

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

/// Chance that can be had again: splitmix64.
struct Chance(u64);

impl Chance {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

#[derive(Clone, Copy, Debug)]
enum Victim {
    Supervisor(Signal),
    Worker,
    Warden,
}

impl Victim {
    fn choose(chance: &mut Chance) -> Victim {
        match chance.below(8) {
            0..3 => Victim::Supervisor(Signal::SIGKILL),
            3 => Victim::Supervisor(Signal::SIGINT),
            4 => Victim::Supervisor(Signal::SIGTERM),
            5..7 => Victim::Worker,
            _ => Victim::Warden,
        }
    }

    /// Kills one, if there is one at the moment.
    fn kill(self, run: &Running, chance: &mut Chance) -> bool {
        let wardens = run.wardens();
        let victims: Vec<i32> = match self {
            Victim::Supervisor(signal) => {
                run.signal(signal);
                return true;
            }
            Victim::Warden => wardens.iter().map(|warden| warden.pid).collect(),
            Victim::Worker => {
                wardens.iter().flat_map(|warden| processes::children(warden.pid)).map(|w| w.pid).collect()
            }
        };
        if victims.is_empty() {
            return false;
        }
        let victim = victims[usize::try_from(chance.below(victims.len() as u64)).unwrap_or(0)];
        // It may have ended since it was found, and then nothing is killed.
        kill(Pid::from_raw(victim), Signal::SIGKILL).is_ok()
    }
}

fn calls(mock: &MockProvider) -> u64 {
    mock.counters()["total"]["calls"].as_u64().expect("the mock counts calls")
}

/// Runs the command until the moment comes or it ends by itself, and says whether something was killed then. The moment
/// is that of a line of output, or at the latest that of a call: those after it are not answered, so that even a test
/// that is slow to look finds the run where it was to be.
fn run_and_kill(p: &Project, mock: &MockProvider, command: &str, chance: &mut Chance) -> (bool, Finished) {
    let before = calls(mock);
    let (lines, most_calls) = (chance.below(60), chance.below(8));
    let victim = Victim::choose(chance);
    mock.control(&format!("{{\"hold_after\": {most_calls}}}"));
    let mut run = p.start(command);
    let came = wait_until("the moment, or the end", || {
        let has_come = run.out().matches('\n').count() as u64 >= lines || calls(mock) - before > most_calls;
        if has_come { Some(true) } else { run.has_ended().then_some(false) }
    });
    let killed = came && !run.has_ended() && victim.kill(&run, chance);
    mock.control("{\"hold\": false}");
    (killed, run.wait())
}

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
    for path in files_below(p.dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_unfinished = name.contains("wf-tmp") || name.starts_with(".tmp");
        let is_lock = path.extension().is_some_and(|ending| ending == "lock");
        let is_lock_of_git = is_lock && path.components().any(|c| c.as_os_str() == ".git");
        assert!(!is_unfinished && !is_lock_of_git, "left over: {}", path.display());
    }
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
