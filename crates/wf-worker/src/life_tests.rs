//! The whole worker as a process of its own: this test binary started again as a worker, with a supervisor of a few
//! lines on a real socket and the mock provider over real HTTP.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use interprocess::local_socket::traits::{Listener as _, Stream as _};
use interprocess::local_socket::{Listener, ListenerOptions, Stream};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wf_mock_llm::{Latency, MockConfig, MockKey, MockServer, Script};
use wf_protocol::{
    CallOutcome, Intake, JobVerdict, StopReason, ToSupervisor, ToWorker, VERSION, encode, socket_name,
};

use crate::checkpoint;
use crate::job::{Input, Job, Network, Role};

const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";

/// The bound of every wait; only a failing test gets there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says to this test binary that it is to be a worker.
const BE_WORKER: &str = "WF_TEST_BE_WORKER";

/// Not a test of its own: what the others start.
#[test]
fn worker_process() {
    if std::env::var_os(BE_WORKER).is_some() {
        // The harness would make any code 0 or 101.
        std::process::exit(i32::from(super::live()));
    }
}

/// What a supervisor does with a worker's message.
enum Act {
    /// The usual: grant what is asked for.
    Usual,
    /// Ask it to stop.
    Stop,
    /// Hang up.
    HangUp,
    /// Kill it.
    Kill,
    /// End it with SIGTERM.
    Terminate,
    /// Grant what is asked for, and act once the call is at the provider.
    InFlight(Box<Act>),
}

struct World {
    dir: tempfile::TempDir,
    mock: MockServer,
    job: Job,
}

struct Ended {
    code: Option<i32>,
    heard: Vec<ToSupervisor>,
    stdout: String,
}

impl World {
    fn new(config: MockConfig, kind: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        let mock = MockServer::start(config).unwrap();
        let role = |model: &str| Role {
            provider: "mock".into(),
            kind: kind.into(),
            model: model.into(),
            base_url: mock.base_url(),
            max_output_tokens: 8000,
            network: Network::default(),
        };
        fs::create_dir_all(dir.path().join("issues")).unwrap();
        fs::write(dir.path().join("issues/42.md"), "# Cache the index\n\nLookups are slow.\n").unwrap();
        let job = Job {
            workflow: "lld".into(),
            project_dir: dir.path().to_owned(),
            input: Input::File("issues/42.md".into()),
            output: "docs/lld/LLD-42.md".into(),
            our_output_sha256: None,
            lineage_dir: dir.path().join("lineage"),
            audit_file: dir.path().join("audit.jsonl"),
            max_iterations: 5,
            commit: false,
            drafter: role("drafter"),
            reviewer: role("reviewer"),
            prompts_dir: None,
            redo: false,
            call_timeout_ms: 60_000,
            code: None,
        };
        World { dir, mock, job }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn output(&self) -> String {
        fs::read_to_string(self.path("docs/lld/LLD-42.md")).unwrap()
    }

    /// Runs one worker process to its end. `act` is asked about each message that comes.
    fn run(&self, act: impl FnMut(&ToSupervisor) -> Act) -> Ended {
        let socket = self.path("s");
        let _ = fs::remove_file(&socket);
        let listener = ListenerOptions::new().name(socket_name(&socket).unwrap()).create_sync().unwrap();
        let mut worker = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "life::tests::worker_process", "--nocapture", "--test-threads=1"])
            .env(BE_WORKER, "1")
            .envs([
                ("WF_ITEM_ID", "42"),
                ("WF_WORKFLOW", "lld"),
                ("WF_RUN_ID", "r"),
                ("WF_ATTEMPT", "1"),
                ("WF_TOKEN", TOKEN),
            ])
            .env("WF_SOCKET", &socket)
            .env("WF_WORKFLOW_DB", self.path("checkpoints/lld_workflow_42.db"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = worker.stdout.take().unwrap();
        let reading = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        let heard = self.supervise(&listener, &worker, act);
        let code = wait(&mut worker);
        Ended { code, heard, stdout: reading.join().unwrap() }
    }

    fn supervise(
        &self,
        listener: &Listener,
        worker: &Child,
        mut act: impl FnMut(&ToSupervisor) -> Act,
    ) -> Vec<ToSupervisor> {
        let stream = listener.accept().unwrap();
        stream.set_recv_timeout(Some(PATIENCE)).unwrap();
        let send = |message: &ToWorker| {
            let _ = (&stream).write_all(&encode(message).unwrap());
        };
        let pid = Pid::from_raw(i32::try_from(worker.id()).unwrap());
        let (mut intake, mut heard, mut leases) = (Intake::new(), Vec::new(), 0);
        let key = self.mock.keys().remove(0);
        while let Some(message) = next(&stream, &mut intake) {
            let mut act = act(&message);
            if let Act::InFlight(then) = act {
                leases += 1;
                send(&grant(&message, leases, &key));
                assert!(self.mock.wait_for(PATIENCE, |c| c.total.in_flight == 1));
                act = *then;
            }
            match (act, &message) {
                (Act::Usual, ToSupervisor::Hello { version, token }) => {
                    assert_eq!((*version, token.expose()), (VERSION, TOKEN));
                    let job = serde_json::to_string(&self.job).unwrap();
                    send(&ToWorker::Welcome { version: VERSION, job });
                    intake.accept();
                }
                (Act::Usual, ToSupervisor::Acquire(_)) => {
                    leases += 1;
                    send(&grant(&message, leases, &key));
                }
                (Act::Usual | Act::InFlight(_), _) => {}
                (Act::Stop, _) => send(&ToWorker::Stop { reason: StopReason::Shutdown, grace_ms: 5000 }),
                (Act::HangUp, _) => return heard,
                (Act::Kill, _) => kill(pid, Signal::SIGKILL).unwrap(),
                (Act::Terminate, _) => kill(pid, Signal::SIGTERM).unwrap(),
            }
            heard.push(message);
        }
        heard
    }
}

fn grant(message: &ToSupervisor, lease: u64, key: &MockKey) -> ToWorker {
    let ToSupervisor::Acquire(request) = message else { panic!("{message:?}") };
    let (key, secret) = (key.name.clone(), key.secret.as_str().into());
    ToWorker::Granted { call: request.call, lease, key, secret, expires_ms: 60_000 }
}

/// The next message; `None` at the end of the connection.
fn next(mut stream: &Stream, intake: &mut Intake) -> Option<ToSupervisor> {
    let mut chunk = [0; 4096];
    loop {
        if let Some(message) = intake.next().unwrap() {
            return Some(message);
        }
        match stream.read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => intake.push(&chunk[..count]),
            // A killed worker may leave a reset connection.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("{error}"),
        }
    }
}

fn wait(worker: &mut Child) -> Option<i32> {
    let pid = Pid::from_raw(i32::try_from(worker.id()).unwrap());
    let (done, over): (Sender<()>, Receiver<()>) = mpsc::channel();
    let watching = thread::spawn(move || {
        if over.recv_timeout(PATIENCE).is_err() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    });
    let status = worker.wait().unwrap();
    done.send(()).unwrap();
    watching.join().unwrap();
    status.code()
}

fn approving(reviews: u32) -> MockConfig {
    MockConfig { plan: [("42".to_owned(), Script::Approve(reviews))].into(), ..MockConfig::default() }
}

fn usual(_: &ToSupervisor) -> Act {
    Act::Usual
}

fn verdict(ended: &Ended) -> Option<(JobVerdict, String)> {
    match ended.heard.last() {
        Some(ToSupervisor::Finished { verdict, detail, .. }) => Some((*verdict, detail.clone())),
        _ => None,
    }
}

fn is_acquire(message: &ToSupervisor) -> bool {
    matches!(message, ToSupervisor::Acquire(_))
}

#[test]
fn a_worker_makes_a_document_in_every_dialect() {
    for kind in ["gemini", "anthropic", "openai"] {
        let world = World::new(approving(3), kind);
        let ended = world.run(usual);
        assert_eq!(
            verdict(&ended),
            Some((JobVerdict::Approved, "approved after 3 reviews".into())),
            "{kind}"
        );
        assert_eq!(ended.code, Some(0), "{}", ended.stdout);
        assert!(world.output().contains("## Verification & Testing"), "{}", world.output());
        let counters = world.mock.counters();
        assert_eq!((counters.total.calls, counters.duplicates), (6, 0), "{counters:?}");
        let released = |m: &&ToSupervisor| {
            matches!(m, ToSupervisor::Release { outcome: CallOutcome::Ok { tokens_out: 1.., .. }, .. })
        };
        assert_eq!(ended.heard.iter().filter(released).count(), 6);
        for line in [">>> Executing: N1_draft (iteration 3 of 5)", "<<< N4_finalize: docs/lld/LLD-42.md"] {
            assert!(ended.stdout.contains(line), "{}", ended.stdout);
        }
    }
}

#[test]
fn every_script_of_the_mock_ends_as_it_says() {
    use JobVerdict::{Approved, Failed, NeedsRevision};
    for (script, ends, code, says) in [
        (Script::Approve(1), Approved, 0, "approved after 1 review"),
        (Script::GarbageOnce, Approved, 0, "approved after 1 review"),
        (Script::Incomplete, Approved, 0, "approved after"),
        (Script::Never, NeedsRevision, 3, "not approved after 5 iterations"),
        (Script::Stagnate, NeedsRevision, 3, "stagnated"),
        (Script::Discuss, NeedsRevision, 3, "a person must decide"),
        (Script::Block, NeedsRevision, 3, "not approved after 5 iterations"),
        (Script::Garbage, Failed, 1, "no verdict can be read"),
        (Script::Unmarked, Failed, 1, "no verdict can be read"),
        (Script::Fenced, Approved, 0, "approved after 2 reviews"),
        (Script::MisfitOnce, Approved, 0, "approved after 2 reviews"),
        (
            Script::Misfit,
            Failed,
            1,
            "the drafter's answer cannot be used, also when asked again: edit block 1",
        ),
        (Script::Huge, Approved, 0, "approved after 1 review"),
    ] {
        let config = MockConfig { plan: [("42".to_owned(), script)].into(), ..MockConfig::default() };
        let world = World::new(config, "gemini");
        let ended = world.run(usual);
        let (verdict, detail) = verdict(&ended).unwrap();
        assert_eq!((verdict, ended.code), (ends, Some(code)), "{script:?}: {detail}\n{}", ended.stdout);
        assert!(detail.starts_with(says), "{script:?}: {detail}");
    }
}

#[test]
fn a_worker_that_is_killed_anywhere_loses_at_most_the_call_in_flight() {
    let whole = World::new(approving(2), "gemini");
    let messages = whole.run(usual).heard.len();
    for k in 1..messages {
        let world = World::new(approving(2), "gemini");
        let mut seen = 0;
        let killed = world.run(|_| {
            seen += 1;
            if seen == k + 1 { Act::Kill } else { Act::Usual }
        });
        // The signal may come too late: after its last lease a worker waits for nobody.
        assert!(matches!(killed.code, None | Some(0)), "killed at message {k}: {}", killed.stdout);
        let resumed = world.run(usual);
        assert_eq!(resumed.code, Some(0), "killed at message {k}: {}", resumed.stdout);
        assert_eq!(world.output(), whole.output());
        let counters = world.mock.counters();
        assert!(counters.duplicates <= 1, "killed at message {k}: {counters:?}");
        // What was reported as answered is never asked for again.
        let answered = |e: &Ended| {
            let is = |m: &&ToSupervisor| {
                matches!(m, ToSupervisor::Release { outcome: CallOutcome::Ok { .. }, .. })
            };
            e.heard.iter().filter(is).count() as u64
        };
        assert!(answered(&killed) + answered(&resumed) <= 4, "killed at message {k}");
    }
}

#[test]
fn every_kind_of_stop_ends_a_call_in_flight_with_75() {
    for (how, says) in [(Act::Stop, true), (Act::Terminate, true), (Act::HangUp, false)] {
        let world = World::new(MockConfig { latency: Latency::fixed(PATIENCE), ..approving(1) }, "gemini");
        let mut how = Some(how);
        let ended = world.run(|message| match how.take_if(|_| is_acquire(message)) {
            Some(how) => Act::InFlight(Box::new(how)),
            None => Act::Usual,
        });
        assert_eq!(ended.code, Some(75), "{}", ended.stdout);
        if says {
            assert_eq!(verdict(&ended).unwrap().0, JobVerdict::Interrupted);
            let is_abandoned =
                |m: &ToSupervisor| matches!(m, ToSupervisor::Release { outcome: CallOutcome::Abandoned, .. });
            assert!(ended.heard.iter().any(is_abandoned), "{:?}", ended.heard);
        }
        let seen = checkpoint::peek(&world.path("checkpoints/lld_workflow_42.db")).unwrap().unwrap();
        assert_eq!(seen.ending(), None);
    }
}

#[test]
fn a_worker_that_waits_for_a_lease_stops_as_well() {
    for how in [|| Act::Stop, || Act::Terminate, || Act::HangUp] {
        let world = World::new(approving(1), "gemini");
        let ended = world.run(|message| if is_acquire(message) { how() } else { Act::Usual });
        assert_eq!(ended.code, Some(75), "{}", ended.stdout);
        assert_eq!(world.mock.counters().total.calls, 0);
    }
}

#[test]
fn started_by_hand_it_says_what_it_is() {
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "life::tests::worker_process", "--nocapture"])
        .env(BE_WORKER, "1")
        .env_remove("WF_SOCKET")
        .env_remove("WF_TOKEN")
        .output()
        .unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(
        said.contains("wf-worker runs one item of a built-in workflow for `wf-supervisor run`"),
        "{said}"
    );
}

#[test]
fn a_job_that_cannot_be_read_is_a_failure_with_a_reason() {
    let mut world = World::new(approving(1), "gemini");
    world.job.workflow = "implement".into();
    let ended = world.run(usual);
    let (verdict, detail) = verdict(&ended).unwrap();
    assert_eq!((verdict, ended.code), (JobVerdict::Failed, Some(1)));
    assert!(detail.contains("WF_WORKFLOW says \"lld\", the job says \"implement\""), "{detail}");
    assert!(!Path::new(&world.path("checkpoints")).exists(), "nothing was begun");
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_s_memory_is_closed() {
    super::forbid_dumps().unwrap();
    assert!(!nix::sys::prctl::get_dumpable().unwrap());
}
