//! The client against a supervisor of a few lines.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;

use interprocess::local_socket::traits::{Listener as _, Stream as _};
use interprocess::local_socket::{Listener, ListenerOptions, Stream};
use tempfile::TempDir;

use super::*;
use crate::{Intake, ToWorker, encode, socket_name};

const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";

/// The bound of every wait in these tests; only a failing one gets there.
const PATIENCE: Duration = Duration::from_secs(30);

struct Peer {
    stream: Stream,
    intake: Intake,
}

impl Peer {
    fn accept(listener: &Listener) -> Peer {
        let stream = listener.accept().unwrap();
        stream.set_recv_timeout(Some(PATIENCE)).unwrap();
        Peer { stream, intake: Intake::new() }
    }

    /// The next message; `None` at the end of the connection.
    fn read(&mut self) -> Option<ToSupervisor> {
        let mut chunk = [0; 100];
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

    fn grant(&self, call: u64, lease: u64) {
        self.send(&ToWorker::Granted {
            call,
            lease,
            key: "gemini-a".into(),
            secret: "s3cr3t".into(),
            expires_ms: 60_000,
        });
    }

    fn waiting(&self, call: u64, reason: WaitReason) {
        self.send(&ToWorker::Waiting { call, reason, wait_ms: Some(1500) });
    }

    fn assert_released(&mut self, lease: u64, outcome: CallOutcome) {
        assert_eq!(self.read(), Some(ToSupervisor::Release { lease, outcome }));
    }

    fn assert_acquired(&mut self, call: u64) {
        assert_eq!(self.read(), Some(ToSupervisor::Acquire(request(call))));
    }
}

fn request(call: u64) -> LeaseRequest {
    LeaseRequest { call, provider: "gemini".into(), model: "flash".into(), tokens: 1000, share: 250 }
}

fn listen() -> (TempDir, PathBuf, Listener) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = ListenerOptions::new().name(socket_name(&path).unwrap()).create_sync().unwrap();
    (dir, path, listener)
}

/// Connects to a peer that answers the hello with `answer`.
fn connect_to(answer: Option<ToWorker>) -> (Result<(Client, String), ClientError>, Peer) {
    let (_dir, path, listener) = listen();
    let peer = thread::spawn(move || {
        let mut peer = Peer::accept(&listener);
        assert_eq!(peer.read(), Some(ToSupervisor::Hello { version: VERSION, token: TOKEN.into() }));
        peer.intake.accept();
        match answer {
            Some(answer) => peer.send(&answer),
            None => (&peer.stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap(),
        }
        peer
    });
    let client = Client::connect(&path, &TOKEN.into());
    (client, peer.join().unwrap())
}

fn pair() -> (Client, Peer) {
    let (client, peer) = connect_to(Some(ToWorker::Welcome { version: VERSION, job: "{}".into() }));
    (client.unwrap().0, peer)
}

fn acquire(client: &Client, call: u64) -> Result<Grant, AcquireError> {
    client.acquire(&request(call), &mut |_| ())
}

#[test]
fn a_call_waits_is_granted_and_returned_once() {
    let (client, mut peer) = pair();
    let worker = thread::spawn(move || {
        let mut reasons = Vec::new();
        let grant = client.acquire(&request(7), &mut |waiting| reasons.push(waiting)).unwrap();
        assert_eq!((grant.lease(), grant.key(), grant.secret().expose()), (3, "gemini-a", "s3cr3t"));
        assert!(grant.left() <= Duration::from_secs(60));
        assert!(!format!("{grant:?}").contains("s3cr3t"));
        client.progress("N1_draft", 1, 500);
        client.release(grant, CallOutcome::Abandoned);
        client.checkpointed("N1_draft");
        client.finished(JobVerdict::Approved, "done", None);
        reasons
    });
    peer.assert_acquired(7);
    peer.waiting(7, WaitReason::RateLimited);
    peer.waiting(99, WaitReason::Overloaded);
    peer.grant(7, 3);
    assert_eq!(
        peer.read(),
        Some(ToSupervisor::Progress { node: "N1_draft".into(), iteration: 1, share: 500 })
    );
    peer.assert_released(3, CallOutcome::Abandoned);
    assert_eq!(peer.read(), Some(ToSupervisor::Checkpointed { node: "N1_draft".into() }));
    let finished =
        ToSupervisor::Finished { verdict: JobVerdict::Approved, detail: "done".into(), output: None };
    assert_eq!(peer.read(), Some(finished));
    assert_eq!(peer.read(), None, "closed with the last handle, and nothing came after");
    let reasons = worker.join().unwrap();
    let first = Waiting { reason: WaitReason::RateLimited, wait: Some(Duration::from_millis(1500)) };
    // The grant may overtake the reason to wait before anyone looked at it.
    assert!(reasons.is_empty() || reasons == [first], "{reasons:?}");
}

#[test]
fn each_reason_to_wait_is_told() {
    let (client, mut peer) = pair();
    let (told, tells) = mpsc::channel();
    let worker = thread::spawn(move || {
        let grant = client.acquire(&request(1), &mut |waiting| told.send(waiting.reason).unwrap()).unwrap();
        drop(grant);
    });
    peer.assert_acquired(1);
    for reason in [WaitReason::Pacing, WaitReason::AllReserved, WaitReason::Pacing] {
        peer.waiting(1, reason);
        assert_eq!(tells.recv_timeout(PATIENCE), Ok(reason));
    }
    peer.grant(1, 8);
    peer.assert_released(8, CallOutcome::Abandoned);
    worker.join().unwrap();
    assert_eq!(peer.read(), None);
}

#[test]
fn a_denial_says_all_it_has_to() {
    let (client, mut peer) = pair();
    let worker = thread::spawn(move || acquire(&client, 2).map(|_| ()));
    peer.assert_acquired(2);
    let detail = "waited 24h for quota".to_owned();
    peer.send(&ToWorker::Denied {
        call: 2,
        cause: DenyCause::MaxWait,
        detail: detail.clone(),
        passing: true,
    });
    let denied = AcquireError::Denied { cause: DenyCause::MaxWait, detail, passing: true };
    assert_eq!(worker.join().unwrap(), Err(denied));
    assert_eq!(peer.read(), None);
}

#[test]
fn a_stop_wakes_a_waiting_call_and_a_late_grant_goes_back() {
    let (client, mut peer) = pair();
    let waiting = client.clone();
    let worker = thread::spawn(move || acquire(&waiting, 5).map(|_| ()));
    peer.assert_acquired(5);
    peer.send(&ToWorker::Stop { reason: StopReason::Watchdog, grace_ms: 5000 });
    assert_eq!(worker.join().unwrap(), Err(AcquireError::Stopped(StopReason::Watchdog)));
    assert_eq!(client.stop_requested(), Some(StopReason::Watchdog));
    peer.grant(5, 11);
    peer.assert_released(11, CallOutcome::Abandoned);
    assert_eq!(
        acquire(&client, 6).map(|_| ()),
        Err(AcquireError::Stopped(StopReason::Watchdog)),
        "nothing is sent"
    );
    client.checkpointed("N1_draft");
    assert_eq!(
        peer.read(),
        Some(ToSupervisor::Checkpointed { node: "N1_draft".into() }),
        "what is done is told"
    );
    drop(client);
    assert_eq!(peer.read(), None);
}

#[test]
fn a_grant_that_crosses_a_stop_goes_back() {
    let (client, mut peer) = pair();
    let inner = client.clone();
    let told = client.clone();
    let (sent, came) = mpsc::channel();
    let worker = thread::spawn(move || {
        // The stop and the grant are both there when the callback returns.
        client.acquire(&request(5), &mut |_| came.recv_timeout(PATIENCE).unwrap()).map(|_| ())
    });
    peer.assert_acquired(5);
    peer.waiting(5, WaitReason::Pacing);
    peer.grant(5, 12);
    let (stopped, stops) = mpsc::channel();
    inner.on_stop(Box::new(move |reason| stopped.send(reason).unwrap()));
    peer.send(&ToWorker::Stop { reason: StopReason::Shutdown, grace_ms: 5000 });
    assert_eq!(stops.recv_timeout(PATIENCE), Ok(StopReason::Shutdown));
    // The worker may have taken the grant before the callback was ever called: then it is returned by its drop.
    let _ = sent.send(());
    let _ = worker.join().unwrap();
    peer.assert_released(12, CallOutcome::Abandoned);
    drop((inner, told));
    assert_eq!(peer.read(), None, "and only once");
}

#[test]
fn a_stop_of_its_own_does_the_same() {
    let (client, mut peer) = pair();
    let (told, tells) = mpsc::channel();
    let early = told.clone();
    client.on_stop(Box::new(move |reason| early.send(("early", reason)).unwrap()));
    let handler = client.clone();
    let worker = thread::spawn(move || acquire(&client, 5).map(|_| ()));
    peer.assert_acquired(5);
    handler.stop(StopReason::Shutdown);
    handler.stop(StopReason::PoolDead);
    assert_eq!(worker.join().unwrap(), Err(AcquireError::Stopped(StopReason::Shutdown)));
    handler.on_stop(Box::new(move |reason| told.send(("late", reason)).unwrap()));
    let tells: Vec<_> = tells.try_iter().collect();
    assert_eq!(
        tells,
        [("early", StopReason::Shutdown), ("late", StopReason::Shutdown)],
        "each once, first reason"
    );
    assert_eq!(handler.loss(), None);
}

#[test]
fn a_lost_supervisor_is_a_stop() {
    type Ending = fn(Peer);
    let endings: [(Ending, &str); 4] = [
        (drop, "the supervisor closed the connection"),
        (
            |peer| (&peer.stream).write_all(&[0xff; 8]).unwrap(),
            "the supervisor's message cannot be read: a frame of 4294967295 bytes, 1048576 are allowed",
        ),
        (
            |peer| peer.send(&ToWorker::Welcome { version: 1, job: String::new() }),
            "the supervisor sent a second welcome",
        ),
        (
            |peer| {
                let detail = "node is empty".to_owned();
                peer.send(&ToWorker::Refused { code: RefusalCode::Malformed, detail });
            },
            "the supervisor refused this worker (Malformed): node is empty",
        ),
    ];
    for (ending, words) in endings {
        let (client, mut peer) = pair();
        let (told, tells) = mpsc::channel();
        client.on_stop(Box::new(move |reason| told.send(reason).unwrap()));
        let waiting = client.clone();
        let worker = thread::spawn(move || acquire(&waiting, 5).map(|_| ()));
        peer.assert_acquired(5);
        ending(peer);
        assert_eq!(worker.join().unwrap(), Err(AcquireError::Lost));
        assert_eq!(tells.recv_timeout(PATIENCE), Ok(StopReason::Shutdown));
        assert_eq!(client.stop_requested(), Some(StopReason::Shutdown));
        assert_eq!(client.loss().as_deref(), Some(words));
        client.checkpointed("nobody hears this, and nothing breaks");
    }
}

#[test]
fn two_calls_may_wait_but_not_one_twice() {
    let (client, mut peer) = pair();
    let acquire_in_thread = |call| {
        let client = client.clone();
        thread::spawn(move || acquire(&client, call).map(|grant| grant.lease()))
    };
    let first = acquire_in_thread(1);
    peer.assert_acquired(1);
    let second = acquire_in_thread(2);
    peer.assert_acquired(2);
    assert_eq!(acquire(&client, 1).map(|_| ()), Err(AcquireError::InProgress(1)));
    peer.grant(2, 20);
    peer.assert_released(20, CallOutcome::Abandoned);
    peer.grant(1, 10);
    peer.assert_released(10, CallOutcome::Abandoned);
    assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(10), Ok(20)));
    // A second grant for one call, or one for a call that nobody made, is a lease that has to go back.
    peer.grant(1, 11);
    peer.assert_released(11, CallOutcome::Abandoned);
}

#[test]
fn who_waits_reads_on_when_the_call_that_read_has_its_answer() {
    let (client, mut peer) = pair();
    for round in 0..50 {
        let calls = [1, 2, 3].map(|n| 10 * round + n);
        let threads = calls.map(|call| {
            let client = client.clone();
            let thread = thread::spawn(move || acquire(&client, call).map(|grant| grant.lease()));
            peer.assert_acquired(call);
            thread
        });
        // In the order in which they came, so each time whoever reads is the next to leave.
        for (call, thread) in calls.into_iter().zip(threads) {
            peer.waiting(call, WaitReason::Pacing);
            peer.grant(call, call);
            peer.assert_released(call, CallOutcome::Abandoned);
            assert_eq!(thread.join().unwrap(), Ok(call));
        }
    }
}

#[test]
fn an_answer_reaches_its_call_whoever_reads_it() {
    // Many at once, so that threads are interrupted anywhere.
    let pairs = [(); 24].map(|()| pair());
    let threads = pairs.map(|(client, mut peer)| {
        let worker = thread::spawn(move || {
            for call in 1..=90 {
                assert_eq!(acquire(&client, call).unwrap().lease(), call);
                // Now and then, until the watching thread is back at its work: it wakes with the first answer after that, and
                // may look at the socket when the next one comes.
                if call % 3 == 0 {
                    thread::park_timeout(Duration::from_millis(25));
                }
            }
        });
        let peer = thread::spawn(move || {
            for call in 1..=90 {
                peer.assert_acquired(call);
                peer.grant(call, call);
                peer.assert_released(call, CallOutcome::Abandoned);
            }
        });
        (worker, peer)
    });
    for (worker, peer) in threads {
        peer.join().unwrap();
        worker.join().unwrap();
    }
}

#[test]
fn what_comes_while_no_call_waits_is_heard() {
    let (client, mut peer) = pair();
    let (stopped, stops) = mpsc::channel();
    client.on_stop(Box::new(move |reason| stopped.send(reason).unwrap()));
    let worker = {
        let client = client.clone();
        thread::spawn(move || acquire(&client, 1).map(|grant| grant.lease()))
    };
    peer.assert_acquired(1);
    peer.grant(1, 4);
    peer.assert_released(4, CallOutcome::Abandoned);
    assert_eq!(worker.join().unwrap(), Ok(4));
    peer.send(&ToWorker::Stop { reason: StopReason::PoolDead, grace_ms: 5000 });
    assert_eq!(stops.recv_timeout(PATIENCE), Ok(StopReason::PoolDead));
    assert_eq!(client.loss(), None);
    drop(peer);
    while client.loss().is_none() {
        thread::yield_now();
    }
}

#[test]
fn a_panic_while_waiting_leaks_no_lease() {
    let (client, mut peer) = pair();
    let handle = client.clone();
    let worker =
        thread::spawn(move || client.acquire(&request(1), &mut |_| panic!("on purpose")).map(|_| ()));
    peer.assert_acquired(1);
    peer.waiting(1, WaitReason::Pacing);
    assert!(worker.join().is_err());
    peer.grant(1, 4);
    peer.assert_released(4, CallOutcome::Abandoned);
    drop(handle);
    assert_eq!(peer.read(), None);
}

#[test]
fn what_is_over_its_bounds_is_cut_or_not_sent() {
    let (client, mut peer) = pair();
    let bad = LeaseRequest { model: "m".repeat(129), ..request(1) };
    let refused = client.acquire(&bad, &mut |_| ()).map(|_| ());
    assert!(
        matches!(refused, Err(AcquireError::Invalid(FieldError::TooLong { field: "model", .. }))),
        "{refused:?}"
    );
    client.progress("", 1, 2000);
    assert_eq!(peer.read(), Some(ToSupervisor::Progress { node: "_".into(), iteration: 1, share: 1000 }));
    client.finished(JobVerdict::Failed, &"x".repeat(2 << 20), Some(("p".repeat(5000), "0".repeat(64))));
    let detail = "x".repeat(4096);
    assert_eq!(
        peer.read(),
        Some(ToSupervisor::Finished { verdict: JobVerdict::Failed, detail, output: None })
    );
    assert_eq!(client.stop_requested(), None, "nothing of this costs the connection");
}

#[test]
fn a_bad_answer_to_the_hello_is_told() {
    let answers = [
        (
            Some(ToWorker::Refused { code: RefusalCode::Token, detail: "no such token".into() }),
            "the supervisor refused the connection (Token): no such token",
        ),
        (
            Some(ToWorker::Welcome { version: 9, job: String::new() }),
            "the supervisor speaks version 9 of the protocol, this worker 2: install both together",
        ),
        (
            Some(ToWorker::Stop { reason: StopReason::Shutdown, grace_ms: 0 }),
            "the supervisor's first message is not an answer to the hello",
        ),
        (None, "the supervisor's answer cannot be read: a frame of 1347703880 bytes, 1048576 are allowed"),
    ];
    for (answer, words) in answers {
        let (client, _peer) = connect_to(answer);
        assert_eq!(client.unwrap_err().to_string(), words);
    }
}

#[test]
fn without_a_supervisor_the_error_says_what_is_missing() {
    let (dir, path, listener) = listen();
    let absent = dir.path().join("absent");
    let error = Client::connect(&absent, &TOKEN.into()).unwrap_err();
    assert!(matches!(&error, ClientError::Connect { path, .. } if *path == absent), "{error}");
    let error = Client::connect(&path, &"short".into()).unwrap_err();
    assert_eq!(error.to_string(), "WF_TOKEN is unusable: token is not 32 hexadecimal digits");
    // Accepted and closed at once.
    let peer = thread::spawn(move || drop(Peer::accept(&listener)));
    let error = Client::connect(&path, &TOKEN.into()).unwrap_err();
    assert!(matches!(error, ClientError::Broken(_)), "{error}");
    peer.join().unwrap();
}
