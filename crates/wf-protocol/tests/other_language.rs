//! The worker in Python that `docs/protocol.md` shows really works: it is cut out of the page and talked to.
#![expect(clippy::unwrap_used, reason = "all of this is test code, also what is outside of a `#[test]`")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use interprocess::local_socket::ListenerOptions;
use interprocess::local_socket::Stream;
use interprocess::local_socket::traits::{Listener as _, Stream as _};
use wf_protocol::{
    CallOutcome, Intake, JobVerdict, LeaseRequest, StopReason, ToSupervisor, ToWorker, VERSION, WaitReason,
    encode, socket_name,
};

const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";

/// A running Python, ended with the test.
struct Worker(Option<Child>);

impl Worker {
    fn output(mut self) -> Output {
        self.0.take().expect("taken once").wait_with_output().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Peer {
    stream: Stream,
    intake: Intake,
}

impl Peer {
    fn read(&mut self) -> Option<ToSupervisor> {
        let mut chunk = [0; 64];
        loop {
            if let Some(message) = self.intake.next().unwrap() {
                return Some(message);
            }
            let count = (&self.stream).read(&mut chunk).unwrap();
            if count == 0 {
                self.intake.finish().unwrap();
                return None;
            }
            self.intake.push(&chunk[..count]);
        }
    }

    fn send(&self, message: &ToWorker) {
        (&self.stream).write_all(&encode(message).unwrap()).unwrap();
    }
}

fn script() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let page = std::fs::read_to_string(path).unwrap();
    let script: Vec<_> = page
        .lines()
        .skip_while(|line| *line != "```python")
        .skip(1)
        .take_while(|line| *line != "```")
        .collect();
    script.join("\n")
}

/// Starts the page's worker and reads its hello; `None`, with a line that says so, where there is no Python.
fn start() -> Option<(Worker, Peer)> {
    if Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_err() {
        // Not `eprintln!`, which a passing test swallows.
        let reason = b"skipped: python3 is not installed, so the worker in docs/protocol.md cannot be run\n";
        std::io::stderr().write_all(reason).unwrap();
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = ListenerOptions::new().name(socket_name(&path).unwrap()).create_sync().unwrap();
    let child = Command::new("python3")
        .args(["-c", &script()])
        .env("WF_SOCKET", &path)
        .env("WF_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let worker = Worker(Some(child));
    // In a thread, because a worker that dies before it connects would leave `accept` waiting for ever.
    let (accepted, accepts) = mpsc::channel();
    thread::spawn(move || accepted.send(listener.accept()));
    let stream = accepts.recv_timeout(Duration::from_secs(30)).expect("the worker connects").unwrap();
    stream.set_recv_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut peer = Peer { stream, intake: Intake::new() };
    assert_eq!(peer.read(), Some(ToSupervisor::Hello { version: VERSION, token: TOKEN.into() }));
    peer.intake.accept();
    Some((worker, peer))
}

fn assert_asks(peer: &mut Peer) {
    peer.send(&ToWorker::Welcome { version: VERSION, job: "{\"text\": \"é\"}".repeat(50) });
    assert_eq!(peer.read(), Some(ToSupervisor::Progress { node: "ask".into(), iteration: 1, share: 0 }));
    let (provider, model) = ("gemini".into(), "gemini-2.5-flash".into());
    assert_eq!(
        peer.read(),
        Some(ToSupervisor::Acquire(LeaseRequest { call: 1, provider, model, tokens: 1200, share: 0 }))
    );
    peer.send(&ToWorker::Waiting { call: 1, reason: WaitReason::RateLimited, wait_ms: Some(1 << 40) });
}

#[test]
fn the_pages_worker_asks_and_finishes() {
    let Some((worker, mut peer)) = start() else { return };
    assert_asks(&mut peer);
    peer.send(&ToWorker::Granted {
        call: 1,
        lease: u64::MAX,
        key: "gemini-a".into(),
        secret: "s3cr3t".into(),
        expires_ms: 70_000,
    });
    let outcome = CallOutcome::Ok { tokens_in: 900, tokens_out: 300, hints: Vec::new() };
    assert_eq!(peer.read(), Some(ToSupervisor::Release { lease: u64::MAX, outcome }));
    assert_eq!(peer.read(), Some(ToSupervisor::Checkpointed { node: "ask".into() }));
    let (verdict, detail) = (JobVerdict::Approved, "asked with gemini-a".to_owned());
    assert_eq!(peer.read(), Some(ToSupervisor::Finished { verdict, detail, output: None }));
    assert_eq!(peer.read(), None);
    let output = worker.output();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_pages_worker_stops_and_survives_no_supervisor() {
    let Some((worker, mut peer)) = start() else { return };
    assert_asks(&mut peer);
    peer.send(&ToWorker::Stop { reason: StopReason::Shutdown, grace_ms: 5000 });
    let (verdict, detail) = (JobVerdict::Interrupted, "stopped".to_owned());
    assert_eq!(peer.read(), Some(ToSupervisor::Finished { verdict, detail, output: None }));
    assert_eq!(worker.output().status.code(), Some(75));

    let Some((worker, mut peer)) = start() else { return };
    assert_asks(&mut peer);
    drop(peer);
    assert_eq!(worker.output().status.code(), Some(75));
}
