//! Attempts that end by themselves or are ended: output, exit, environment, refusals, signals, stops.
#![expect(clippy::unwrap_used, reason = "a wrong assumption of a test is its failure")]

mod common;

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{Harness, fixture, line, rest, shell, state_of};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wf_warden::{Exit, Order, Outputs, Report, Setup, Spawn};

#[test]
fn output_and_exit_code_arrive() {
    let mut harness = Harness::new();
    let (_, mut streams) = harness.start_spawn(&shell("echo out; echo err >&2; exit 7"));
    harness.expect_exit(Exit::Code(7), true);
    assert_eq!(rest(&mut streams.stdout), "out\n");
    assert_eq!(rest(&mut streams.stderr), "err\n");
}

#[test]
fn a_warden_serves_one_attempt_after_the_other() {
    let mut harness = Harness::new();
    for code in [0, 1, 3, 75, 125, 255] {
        harness.start_spawn(&shell(&format!("exit {code}")));
        harness.expect_exit(Exit::Code(code), true);
    }
}

#[test]
fn death_by_any_signal_is_reported() {
    let mut harness = Harness::new();
    for signal in [libc::SIGHUP, libc::SIGKILL, libc::SIGSEGV, libc::SIGTERM, libc::SIGPIPE, 40] {
        harness.start_spawn(&shell(&format!("kill -{signal} $$")));
        harness.expect_exit(Exit::Signal(signal), true);
    }
}

/// Lines of the fixture's `state`.
fn state(harness: &mut Harness, spawn: &Spawn) -> Vec<String> {
    let (_, mut streams) = harness.start_spawn(spawn);
    let text = rest(&mut streams.stdout);
    assert_eq!(rest(&mut streams.stderr), "");
    harness.expect_exit(Exit::Code(0), true);
    text.lines().map(str::to_owned).collect()
}

/// What this test program was itself given beyond the standard three is passed on, as by `xargs`.
fn inherited_descriptors() -> String {
    let mut inherited = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let number: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("02000000");
        let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
        if number > 2 && flags & libc::O_CLOEXEC == 0 {
            let target = fs::read_link(entry.path()).unwrap().display().to_string();
            inherited.push(format!(",{number}={}", target.split(':').next().unwrap()));
        }
    }
    inherited.sort();
    inherited.concat()
}

#[test]
fn a_worker_starts_clean() {
    // The lock is held by the warden, and not by the worker.
    let lock = tempfile::tempfile().unwrap();
    let mut harness = Harness::with(Setup { slot: 3, soft_nofile: Some(123), lock: Some(lock.as_fd()) });
    let directory = tempfile::tempdir().unwrap();
    let cwd = directory.path().canonicalize().unwrap();
    let lines = state(&mut harness, &Spawn { cwd: cwd.clone(), ..fixture(&["state"]) });
    let expected = [
        "SigBlk=0".to_owned(),
        // SIGPIPE: the fixture's own runtime.
        "SigIgn=1000".to_owned(),
        "leads_group=true".to_owned(),
        "session_of_parent=true".to_owned(),
        "nofile=123".to_owned(),
        format!("cwd={}", cwd.display()),
        "terminal=false".to_owned(),
        format!("open=0=/dev/null,1=pipe,2=pipe{}", inherited_descriptors()),
        "env PATH=/usr/local/bin:/usr/bin:/bin".to_owned(),
        format!("env WF_RUN_ID={}", harness.cookie),
    ];
    assert_eq!(lines, expected);
    harness.start_spawn(&shell("kill -PIPE $$"));
    harness.expect_exit(Exit::Signal(libc::SIGPIPE), true);
}

#[test]
fn an_attempt_has_its_own_variables() {
    let mut harness = Harness::new();
    let mark = OsString::from(&harness.cookie);
    let set = [("WF_RUN_ID", mark), ("LANG", "C".into()), ("EMPTY", OsString::new())];
    let spawn = Spawn {
        set_env: set.map(|(name, value)| (name.into(), value)).into(),
        unset_env: vec!["PATH".into(), "NOT_THERE".into()],
        ..fixture(&["state"])
    };
    let variables = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter_map(|line| line.strip_prefix("env ").map(str::to_owned)).collect()
    };
    let mark = format!("WF_RUN_ID={}", harness.cookie);
    assert_eq!(variables(state(&mut harness, &spawn)), [&mark, "LANG=C", "EMPTY="]);
    assert_eq!(
        variables(state(&mut harness, &fixture(&["state"]))),
        ["PATH=/usr/local/bin:/usr/bin:/bin", &mark],
        "what one attempt had is no other's"
    );
}

#[test]
fn what_cannot_start_is_refused_in_clear_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let write = |name: &str, mode: u32, bytes: &[u8]| {
        fs::write(path(name), bytes).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    write("plain", 0o644, b"echo");
    write("lost", 0o755, b"#!/no/such/interpreter\n");
    write("binary", 0o755, b"\0\0\0\0not for this machine");
    std::os::unix::fs::symlink("/no/such/target", path("dangling")).unwrap();
    let command = |program: &Path| Spawn { program: program.into(), ..fixture(&[]) };
    let long =
        Spawn { argv: vec!["true".into(), "x".repeat(1 << 18).into()], ..command(Path::new("/bin/true")) };
    let odd = |name: &str| Spawn { set_env: vec![(name.into(), "".into())], ..fixture(&["state"]) };
    let table = [
        (command(&path("none")), libc::ENOENT, "command not found: {}/none"),
        (command(&path("plain/none")), libc::ENOTDIR, "command not found: {}/plain/none"),
        (
            command(&path("dangling")),
            libc::ENOENT,
            "command not found: {}/dangling is a symbolic link to nothing",
        ),
        (command(&path("plain")), libc::EACCES, "not executable: {}/plain (chmod +x makes it so)"),
        (command(directory.path()), libc::EACCES, "not a command: {} is a directory"),
        (
            command(&path("lost")),
            libc::ENOENT,
            "cannot execute {}/lost: the interpreter in its first line, or its dynamic loader, does not exist",
        ),
        (
            command(&path("binary")),
            libc::ENOEXEC,
            "not executable here: {}/binary is no script and no program for this machine",
        ),
        (long, libc::E2BIG, "argument list too long for /bin/true (the longest argument has 262144 bytes)"),
        (
            Spawn { cwd: path("gone"), ..fixture(&["state"]) },
            libc::ENOENT,
            "cannot enter the directory {}/gone: No such file or directory",
        ),
        (odd("A=B"), libc::EINVAL, "the environment variable A=B cannot be set"),
        (
            Spawn { argv: vec!["a\0b".into()], ..fixture(&[]) },
            libc::EINVAL,
            "an argument contains a NUL byte",
        ),
    ];
    let mut harness = Harness::new();
    for (spawn, errno, text) in table {
        let text = text.replace("{}", &directory.path().display().to_string());
        let (report, mut streams) = harness.spawn(&spawn);
        assert_eq!(report, Report::SpawnFailed { errno, shortage: false, text });
        assert_eq!(rest(&mut streams.stdout), "", "its pipes are closed");
    }
    harness.start_spawn(&shell("exit 4"));
    harness.expect_exit(Exit::Code(4), true);
}

#[test]
fn a_script_without_an_interpreter_is_the_shells() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    fs::write(&script, "echo \"$0: $1, $2\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut harness = Harness::new();
    let argv = ["script", "one", "two"].map(OsString::from).into();
    let (_, mut streams) = harness.start_spawn(&Spawn { program: script.clone(), argv, ..fixture(&[]) });
    harness.expect_exit(Exit::Code(0), true);
    assert_eq!(rest(&mut streams.stdout), format!("{}: one, two\n", script.display()));
}

#[test]
fn a_long_command_line_passes_in_pieces() {
    let mut harness = Harness::new();
    let mut spawn = fixture(&["count"]);
    spawn.argv.extend(std::iter::repeat_n(OsString::from("x".repeat(100_000)), 15));
    let (_, mut streams) = harness.start_spawn(&spawn);
    assert_eq!(rest(&mut streams.stdout), "1500000\n");
    harness.expect_exit(Exit::Code(0), true);
}

#[test]
fn a_slot_has_one_attempt_at_a_time() {
    let mut harness = Harness::new();
    let (_, _streams) = harness.start(&["sleeper"]);
    let (report, _) = harness.spawn(&fixture(&["sleeper"]));
    let Report::SpawnFailed { errno: libc::EBUSY, shortage: false, .. } = report else {
        panic!("{report:?}");
    };
    harness.end_attempt();
}

#[test]
fn orders_without_an_attempt_are_silent() {
    let mut harness = Harness::new();
    for order in [Order::Signal(libc::SIGTERM), Order::Kill, Order::Sweep, Order::Thaw] {
        harness.send(order);
    }
    let (report, _) = harness.spawn(&shell("exit 6"));
    assert!(matches!(report, Report::Spawned { .. }), "{report:?}");
    harness.expect_exit(Exit::Code(6), true);
}

#[test]
fn a_polite_worker_ends_in_its_own_way() {
    let mut harness = Harness::new();
    let script = "trap 'echo bye; exit 75' TERM; sleep 100 & echo ready; wait";
    let (_, mut streams) = harness.start_spawn(&shell(script));
    assert_eq!(line(&mut streams.stdout), "ready");
    harness.send(Order::Signal(libc::SIGTERM));
    harness.send(Order::Signal(libc::SIGCONT));
    // The shell's `sleep` got the signal too, and may be dead a moment after it, or not at all when it came before `exec`.
    match harness.next() {
        Report::Exited { exit: Exit::Code(75), alone: true } => {}
        Report::Exited { exit: Exit::Code(75), alone: false } => drop(harness.sweep()),
        other => panic!("{other:?}"),
    }
    assert_eq!(rest(&mut streams.stdout), "bye\n");
}

#[test]
fn a_deaf_worker_is_killed() {
    let mut harness = Harness::new();
    let (_, mut streams) = harness.start(&["deaf"]);
    assert_eq!(line(&mut streams.stdout), "ready");
    harness.send(Order::Signal(libc::SIGTERM));
    harness.send(Order::Kill);
    // By SIGKILL, so SIGTERM was not heard.
    harness.expect_exit(Exit::Signal(libc::SIGKILL), true);
}

#[test]
fn a_sweep_ends_a_living_worker_too() {
    let mut harness = Harness::new();
    let (pid, mut streams) = harness.start(&["deaf"]);
    assert_eq!(line(&mut streams.stdout), "ready");
    harness.send(Order::Sweep);
    harness.expect_exit(Exit::Signal(libc::SIGKILL), false);
    let Report::Swept(swept) = harness.next() else { panic!("no sweep") };
    assert!(swept.is_empty(), "the worker itself is no leftover: {swept:?}");
    assert_eq!(state_of(pid), None);
}

#[test]
fn a_warden_is_deaf_to_what_was_meant_for_others() {
    let mut harness = Harness::new();
    let (_, mut streams) = harness.start(&["ticker"]);
    let warden = Pid::from_raw(harness.warden().pid());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1] {
        kill(warden, signal).unwrap();
    }
    line(&mut streams.stdout);
    assert_eq!(line(&mut streams.stdout), "tick");
    harness.end_attempt();
}

#[test]
fn a_frozen_tree_stands_still_and_goes_on() {
    let mut harness = Harness::new();
    let (leader, mut streams) = harness.start(&["ticker"]);
    let child: i32 = line(&mut streams.stdout).parse().unwrap();
    assert_eq!(line(&mut streams.stdout), "tick");
    for _ in 0..3 {
        harness.send(Order::Freeze);
        assert_eq!(harness.next(), Report::Frozen);
        assert_eq!([state_of(leader), state_of(child)], [Some('T'); 2], "the child has a group of its own");
        harness.send(Order::Thaw);
        // More than a pipe holds: it must have been written after the thaw.
        for _ in 0..20 {
            assert_eq!(line(&mut streams.stdout), "tick");
        }
    }
    harness.send(Order::Freeze);
    assert_eq!(harness.next(), Report::Frozen);
    // The stopped die as well.
    harness.end_attempt();
    assert_eq!([state_of(leader), state_of(child)], [None, None]);
}

#[test]
fn what_was_stopped_before_stays_stopped() {
    let mut harness = Harness::new();
    let (leader, mut streams) = harness.start(&["ticker"]);
    let child: i32 = line(&mut streams.stdout).parse().unwrap();
    kill(Pid::from_raw(child), Signal::SIGSTOP).unwrap();
    while state_of(child) != Some('T') {
        // A tick is the pace; the bound is the one of reading it.
        line(&mut streams.stdout);
    }
    harness.send(Order::Freeze);
    assert_eq!(harness.next(), Report::Frozen);
    harness.send(Order::Thaw);
    while state_of(leader) == Some('T') {
        line(&mut streams.stdout);
    }
    assert_eq!(state_of(child), Some('T'));
    harness.end_attempt();
}

#[test]
fn a_spawn_into_a_frozen_slot_is_stopped_too() {
    let mut harness = Harness::new();
    harness.send(Order::Freeze);
    assert_eq!(harness.next(), Report::Frozen);
    let (pid, mut streams) = harness.start(&["deaf"]);
    assert_eq!(state_of(pid), Some('T'));
    harness.send(Order::Thaw);
    assert_eq!(line(&mut streams.stdout), "ready");
    harness.end_attempt();
}

#[test]
fn thousands_of_attempts_leave_no_descriptor_and_no_zombie() {
    // A tenth of a descriptor lost per attempt would use up this limit long before the end.
    let mut harness = Harness::with(Setup { soft_nofile: Some(16), ..Setup::default() });
    let null = fs::File::options().write(true).open("/dev/null").unwrap();
    let spawn = Spawn { program: "/bin/true".into(), ..fixture(&[]) };
    for _ in 0..2000 {
        let outputs = Outputs { stdout: null.as_fd(), stderr: null.as_fd() };
        harness.warden().spawn(&spawn, outputs).unwrap();
        assert!(matches!(harness.next(), Report::Spawned { .. }));
        harness.expect_exit(Exit::Code(0), true);
    }
    let warden = harness.warden().pid();
    let children = fs::read_to_string(format!("/proc/{warden}/task/{warden}/children")).unwrap();
    assert_eq!(children, "");
}
