//! Deaths at moments and of victims that chance chooses, the same again for the same seed.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wf_tests::mock::MockProvider;
use wf_tests::{Finished, Project, Running, files_below, processes, wait_until};

/// Chance that can be had again: splitmix64.
pub struct Chance(pub u64);

impl Chance {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
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
pub fn run_and_kill(
    p: &Project,
    mock: &MockProvider,
    command: &str,
    chance: &mut Chance,
) -> (bool, Finished) {
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

/// What must not be left anywhere: unfinished files, locks of git.
#[track_caller]
pub fn assert_no_file_left_over(p: &Project) {
    for path in files_below(p.dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_unfinished = name.contains("wf-tmp") || name.starts_with(".tmp");
        let is_lock = path.extension().is_some_and(|ending| ending == "lock");
        let is_lock_of_git = is_lock && path.components().any(|c| c.as_os_str() == ".git");
        assert!(
            !is_unfinished && !is_lock_of_git,
            "left over: {} beside {:?}",
            path.display(),
            path.parent().map(files_below)
        );
    }
}
