//! Rounds of chance: `lld`, `implement` and commands, killed at random moments and at system calls, with damaged state;
//! the same command must bring each to its end. `cargo xtask chaos --rounds N --seed S` runs as many as wanted, the
//! plain tests a few.
//!
//! Round `n` depends on nothing but `seed + n`, so that a failed one can be had again alone.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use wf_tests::mock::MockProvider;
use wf_tests::{Finished, Project, files_below};

use crate::deaths::{self, Chance, run_and_kill};
use crate::implement::{SHELL, prompts_paid_twice, shell_project};

/// Rounds, and the first one's seed, unless the environment says otherwise.
const ROUNDS: (&str, u64) = ("WF_CHAOS_ROUNDS", 5);
const SEED: (&str, u64) = ("WF_CHAOS_SEED", 2026);

/// Workers at once; each may lose the one reply that it had not kept yet.
const WORKERS: u64 = 3;
/// Items of a batch.
const ITEMS: usize = 5;
/// Blows that a batch is dealt at most before it may come to its end.
const BLOWS: u64 = 4;

/// System calls at which a batch is hurt worst: what makes things durable, visible, or somebody else's.
const CALLS: [&str; 11] = [
    "fsync",
    "fdatasync",
    "rename",
    "unlink",
    "openat",
    "write",
    "flock",
    "connect",
    "execve",
    "close",
    "sendmsg",
];

fn number((name, default): (&str, u64)) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

/// What was done, counted for the last line.
#[derive(Default)]
struct Tally {
    batches: u64,
    moments: u64,
    calls: u64,
    damages: u64,
    replies: u64,
    twice: u64,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Lld,
    Implement,
    Commands,
}

impl Work {
    fn command(self) -> String {
        match self {
            Work::Lld => format!("run items.txt -w lld -j{WORKERS}"),
            Work::Implement => format!("run items.txt -w implement -j{WORKERS}"),
            Work::Commands => format!("run items.txt -j{WORKERS} -- wf-fixture-worker do={{}}"),
        }
    }

    fn project(self, ids: &[String]) -> (Project, MockProvider) {
        let names: Vec<&str> = ids.iter().map(String::as_str).collect();
        let p = match self {
            Work::Implement => shell_project(&names),
            Work::Lld | Work::Commands => Project::new(),
        };
        let fates = ids.iter().enumerate().map(|(n, id)| format!(" --plan {id}=approve@{}", n % 3 + 1));
        let plan = fates.collect::<Vec<_>>().concat();
        let mock = MockProvider::start(&p, &format!("--profile instant{plan}"));
        mock.configure(&p, 2, if matches!(self, Work::Implement) { SHELL } else { "" });
        match self {
            Work::Lld => {
                for id in ids {
                    p.write(
                        &format!("issues/{id}.md"),
                        format!("# Part {id}\n\nPeople copy numbers by hand.\n"),
                    );
                }
                p.write("items.txt", ids.join("\n"));
            }
            Work::Commands => {
                let text =
                    |id: &String| format!("{id} count=starts out=1 out=2 out=3 out=4 touch=done-{id}\n");
                p.write("items.txt", ids.iter().map(text).collect::<String>());
            }
            Work::Implement => {}
        }
        (p, mock)
    }

    /// Whether what a done item is about is really there.
    fn is_there(self, p: &Project, id: &str) -> bool {
        match self {
            Work::Lld => p.has(format!("docs/lld/LLD-{id}.md")),
            Work::Implement => Command::new("git")
                .args(["cat-file", "-e", &format!("wf/impl-{id}:tests/item_{id}.sh")])
                .current_dir(p.dir())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
            Work::Commands => p.has(format!("done-{id}")),
        }
    }
}

fn has_strace() -> bool {
    Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Runs the command under a tracer that kills whoever makes a system call for the n-th time. Each process counts for
/// itself, so that workers, wardens and the supervisor all have their turn.
fn run_and_kill_at_a_call(p: &Project, command: &str, chance: &mut Chance) -> Finished {
    let call = CALLS[usize::try_from(chance.below(CALLS.len() as u64)).unwrap_or(0)];
    let nth = 1 + chance.below(25);
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={nth}"));
    p.supervisor(command).via(["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]).run()
}

/// Damages one file of the state directory, and says which and how.
fn damage(p: &Project, chance: &mut Chance) -> Option<String> {
    let files: Vec<_> = files_below(&p.path(".wf"))
        .into_iter()
        // Worktrees are git's.
        .filter(|path| {
            !path.starts_with(p.path(".wf/worktrees")) && path.metadata().is_ok_and(|m| m.len() > 0)
        })
        .collect();
    let path = files.get(usize::try_from(chance.below(files.len().max(1) as u64)).ok()?)?;
    let mut bytes = fs::read(path).ok()?;
    let at = usize::try_from(chance.below(bytes.len() as u64)).ok()?;
    let how = match chance.below(6) {
        0 => {
            bytes.truncate(at);
            "cut"
        }
        1 => {
            bytes[at] ^= 1 << chance.below(8);
            "flipped a bit of"
        }
        2 => {
            bytes[at..].fill(0);
            "zeroed the tail of"
        }
        3 => {
            bytes.extend_from_within(at..);
            "doubled the tail of"
        }
        4 => {
            bytes.splice(at.., (0..64).map(|_| chance.below(256) as u8));
            "ended in garbage"
        }
        _ => {
            bytes.clear();
            "emptied"
        }
    };
    fs::write(path, bytes).ok()?;
    Some(format!("{how} {}", path.strip_prefix(p.dir()).unwrap_or(Path::new("?")).display()))
}

/// What lies unfinished in a directory that runs share may be another run's, so it is left for an hour. Lets that hour
/// pass, and says whether it is of concern to anything.
fn grow_old_in_state(p: &Project) -> bool {
    let is_unfinished =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".wf-tmp-"));
    let unfinished: Vec<_> = files_below(&p.path(".wf")).into_iter().filter(is_unfinished).collect();
    for path in &unfinished {
        let old = SystemTime::now() - Duration::from_secs(7200);
        let old = TimeSpec::from(old.duration_since(UNIX_EPOCH).expect("it is later than 1970"));
        utimensat(AT_FDCWD, path, &old, &old, UtimensatFlags::NoFollowSymlink)
            .expect("a file of ours can be aged");
    }
    !unfinished.is_empty()
}

/// No panic, and an exit code that means something.
#[track_caller]
fn assert_sane(run: &Finished, what: &str) {
    let known = run.exit_code().is_some_and(|code| [0, 1, 2, 3, 75, 125].contains(&code));
    assert!(known && !run.err().contains("panicked"), "{what}\n{run}");
}

/// With damaged state nothing is promised but this: every verb answers, and nothing is called done that is not there.
fn check_damaged(work: Work, p: &Project, ids: &[String], what: &str) {
    for verb in ["list", "show", "keys", &format!("logs {}", ids[0])] {
        assert_sane(&p.run(verb), what);
    }
    let run = p.run(&work.command());
    assert_sane(&run, what);
    if run.exit_code() == Some(0) {
        for id in ids {
            assert!(work.is_there(p, id), "{what}: {id} is called done, and nothing is there\n{run}");
        }
    }
}

fn round(seed: u64, at_calls: bool, tally: &mut Tally) {
    let mut chance = Chance(seed);
    let work = [Work::Lld, Work::Implement, Work::Commands][usize::try_from(seed % 3).unwrap_or(0)];
    let ids: Vec<String> = (1..=ITEMS).map(|n| n.to_string()).collect();
    let (p, mock) = work.project(&ids);
    let command = work.command();
    let (mut deaths, mut damaged) = (0, None);
    for _ in 0..=chance.below(BLOWS) {
        tally.batches += 1;
        if at_calls && chance.below(3) == 0 {
            let run = run_and_kill_at_a_call(&p, &command, &mut chance);
            // One process at most of each slot, and the supervisor.
            deaths += 1;
            tally.calls += u64::from(run.exit_code() != Some(0));
        } else {
            let (killed, _) = run_and_kill(&p, &mock, &command, &mut chance);
            deaths += u64::from(killed);
            tally.moments += u64::from(killed);
        }
        if chance.below(6) == 0 {
            damaged = damage(&p, &mut chance);
            break;
        }
    }
    if let Some(what) = damaged {
        tally.damages += 1;
        check_damaged(work, &p, &ids, &format!("{work:?}: {what}"));
    } else {
        p.run(&command).code(0);
        for id in &ids {
            let outcome = p.outcome(id);
            assert!(
                ["approved", "succeeded", "skipped"].contains(&outcome.as_str()),
                "{work:?}: {id} {outcome}"
            );
            assert!(work.is_there(&p, id), "{work:?}: {id} is {outcome}, and nothing is there");
        }
        if grow_old_in_state(&p) {
            p.run("clean").code(0);
        }
        deaths::assert_no_file_left_over(&p);
        let twice = prompts_paid_twice(&mock);
        assert!(twice <= deaths * WORKERS, "{work:?}: {twice} replies were paid twice in {deaths} deaths");
        if matches!(work, Work::Commands) {
            let starts = p.sorted_lines("starts");
            for id in &ids {
                let count = starts.iter().filter(|line| line.split(' ').next() == Some(id)).count() as u64;
                assert!(
                    (1..=1 + deaths).contains(&count),
                    "{id} was started {count} times in {deaths} deaths"
                );
            }
        }
        tally.twice += twice;
    }
    tally.replies += mock.counters()["total"]["ok"].as_u64().unwrap_or(0);
    mock.stop();
}

#[test]
fn whatever_dies_whenever_the_same_command_brings_it_to_its_end() {
    let (rounds, first) = (number(ROUNDS), number(SEED));
    let at_calls = has_strace();
    let mut tally = Tally::default();
    for seed in first..first + rounds {
        let result = catch_unwind(AssertUnwindSafe(|| round(seed, at_calls, &mut tally)));
        if let Err(panic) = result {
            println!("this round again: cargo xtask chaos --rounds 1 --seed {seed}");
            resume_unwind(panic);
        }
    }
    let Tally { batches, moments, calls, damages, replies, twice } = tally;
    println!(
        "{rounds} rounds from seed {first}: {batches} batches, {moments} deaths at random moments, {calls} batches \
         hurt at a system call{}, {damages} damaged states; {twice} of {replies} replies were paid twice (each was \
         lost with the process that had just got it)",
        if at_calls { "" } else { " (skipped: strace is not installed)" }
    );
}
