//! Capture over real pipes: what lands in the log, what the console shows, what the driver hears.

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use wf_core::ItemIndex;

use super::reading::{Activity, WIDE_PIPE_BYTES};
use super::*;
use crate::console::OutputMode;
use crate::console::style::ColorChoice;
use crate::console::terminal::ConsoleOptions;

const KEY: &str = "AIzaSyExampleKey";

struct Fixture {
    dir: tempfile::TempDir,
    capture: Capture,
    console: Console,
    events: mpsc::Receiver<CaptureEvent>,
    stdout: PipeReader,
    stderr: PipeReader,
}

fn attempt() -> AttemptId {
    AttemptId { item: ItemIndex(0), number: 1 }
}

impl Fixture {
    fn new(output: OutputMode, max_log_bytes: u64) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let redactor = Redactor::new([("gemini-a", KEY.as_bytes())]).unwrap();
        let (stdout, out) = io::pipe().unwrap();
        let (stderr, err) = io::pipe().unwrap();
        let options = ConsoleOptions {
            output,
            progress: false,
            color: ColorChoice::Never,
            run_dir: dir.path().to_owned(),
            redactor: redactor.clone(),
        };
        let (out, err) = (File::from(OwnedFd::from(out)), File::from(OwnedFd::from(err)));
        let console = Console::start_on(options, out, err, None, None).unwrap();
        let (sender, events) = mpsc::channel(64);
        let capture = Capture::new(dir.path().to_owned(), max_log_bytes, redactor, console.clone(), sender);
        Fixture { dir, capture, console, events, stdout, stderr }
    }

    /// An attempt, and the ends its worker would hold.
    fn start(&self) -> (CaptureHandle, File, File) {
        let (out, worker_out) = output_pipe().unwrap();
        let (err, worker_err) = output_pipe().unwrap();
        let handle = self.capture.start(attempt(), "LLD-42".into(), out, err).unwrap();
        (handle, File::from(worker_out), File::from(worker_err))
    }

    /// Waits for the end of the output and returns what else was heard.
    async fn ended(&mut self) -> Vec<CaptureEvent> {
        let mut others = Vec::new();
        loop {
            let event = tokio::time::timeout(Duration::from_secs(60), self.events.recv()).await;
            match event.expect("it ends").expect("the capture is there") {
                CaptureEvent::OutputEnded(of) => {
                    assert_eq!(of, attempt());
                    return others;
                }
                other => others.push(other),
            }
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("LLD-42.log")).unwrap()
    }

    /// What the console wrote to stdout and stderr.
    async fn shown(mut self) -> (String, String) {
        self.console.finish().await;
        // The streams are closed with the last handle.
        drop((self.capture, self.console));
        let mut texts = [String::new(), String::new()];
        self.stdout.read_to_string(&mut texts[0]).unwrap();
        self.stderr.read_to_string(&mut texts[1]).unwrap();
        let [stdout, stderr] = texts;
        (stdout, stderr)
    }
}

/// Waits until the log satisfies `condition`, by letting the capture run.
async fn until(path: &Path, condition: impl Fn(&[u8]) -> bool) {
    let waiting = async {
        while !condition(&std::fs::read(path).unwrap()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the bytes arrive");
}

#[tokio::test]
async fn a_secret_in_two_pieces_reaches_neither_log_nor_console() {
    let mut fixture = Fixture::new(OutputMode::Prefixed, u64::MAX);
    let (_handle, mut out, mut err) = fixture.start();
    let log = fixture.dir.path().join("LLD-42.log");
    let (first, second) = KEY.split_at(7);
    write!(out, "key={first}").unwrap();
    until(&log, |bytes| bytes == b"key=").await;
    writeln!(err, "warn").unwrap();
    until(&log, |bytes| bytes == b"key=warn\n").await;
    write!(out, "{second}\nthe end: ").unwrap();
    out.write_all(b"A").unwrap();
    drop((out, err));
    let events = fixture.ended().await;
    assert!(events.iter().all(|e| matches!(e, CaptureEvent::Output(of) if *of == attempt())));
    assert!(!events.is_empty());
    assert_eq!(fixture.log(), "key=warn\n[REDACTED:gemini-a]\nthe end: A");
    let (stdout, stderr) = fixture.shown().await;
    assert_eq!(stdout, "[LLD-42] key=[REDACTED:gemini-a]\n[LLD-42] the end: A\n");
    assert_eq!(stderr, "[LLD-42] warn\n");
}

#[tokio::test]
async fn a_silent_attempt_leaves_an_empty_log_and_no_activity() {
    let mut fixture = Fixture::new(OutputMode::Prefixed, u64::MAX);
    let (_handle, out, err) = fixture.start();
    drop((out, err));
    assert_eq!(fixture.ended().await.len(), 0);
    assert_eq!(fixture.log(), "");
}

#[tokio::test]
async fn a_second_attempt_appends() {
    let mut fixture = Fixture::new(OutputMode::Prefixed, u64::MAX);
    for text in ["first, unfinished", "second\n"] {
        let (_handle, mut out, _) = fixture.start();
        out.write_all(text.as_bytes()).unwrap();
        drop(out);
        fixture.ended().await;
    }
    assert_eq!(fixture.log(), "first, unfinishedsecond\n");
    assert_eq!(fixture.shown().await.0, "[LLD-42] first, unfinished\n[LLD-42] second\n");
}

#[tokio::test]
async fn a_leftover_that_holds_the_pipe_does_not_hold_the_end() {
    let mut fixture = Fixture::new(OutputMode::Prefixed, u64::MAX);
    let (handle, mut out, err) = fixture.start();
    // Not yet read when the stop comes, and the end is a part of a key.
    write!(out, "last words {}", &KEY[..5]).unwrap();
    handle.stop();
    fixture.ended().await;
    assert_eq!(fixture.log(), format!("last words {}", &KEY[..5]));
    let error = out.write_all(b"more").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "nobody reads it any more");
    drop(err);
}

#[test]
fn activity_is_reported_at_once_and_then_now_and_then() {
    let start = Instant::now();
    let mut activity = Activity::default();
    let reports = (0..1000).filter(|&ms| {
        let now = start + Duration::from_millis(ms);
        let due = activity.is_due(now);
        if due {
            activity.reported = Some(now);
        }
        due
    });
    assert_eq!(reports.collect::<Vec<u64>>(), [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
}

#[tokio::test]
async fn a_full_log_says_so_and_the_console_goes_on() {
    let mut fixture = Fixture::new(OutputMode::Prefixed, 10);
    let (_handle, mut out, err) = fixture.start();
    out.write_all(b"0123456789 and the rest\n").unwrap();
    let log = fixture.dir.path().join("LLD-42.log");
    until(&log, |bytes| bytes.ends_with(b"stops here\n")).await;
    out.write_all(b"and more\n").unwrap();
    drop((out, err));
    fixture.ended().await;
    insta::assert_snapshot!(fixture.log(), @r"
    0123456789
    [COORDINATOR] this log has reached run.max_log (10 bytes) and stops here
    ");
    let (stdout, stderr) = fixture.shown().await;
    assert_eq!(stdout, "[LLD-42] 0123456789 and the rest\n[LLD-42] and more\n");
    insta::assert_snapshot!(stderr, @"[COORDINATOR] LLD-42.log has reached run.max_log (10 bytes) and stops; the rest is shown here only");
}

#[tokio::test]
async fn a_broken_log_is_told_once_and_the_pipes_are_drained() {
    let mut fixture = Fixture::new(OutputMode::Prefixed, u64::MAX);
    let (out, worker) = output_pipe().unwrap();
    let (err, _) = output_pipe().unwrap();
    let path = fixture.dir.path().join("LLD-42.log");
    let log = ItemLog::broken(&path);
    let _handle = fixture.capture.start_into(log, attempt(), "LLD-42".into(), out, err).unwrap();
    // More than all pipes together hold, while nobody reads the console.
    let writing =
        std::thread::spawn(move || File::from(worker).write_all(&vec![b'\n'; 4 * WIDE_PIPE_BYTES as usize]));
    let events = fixture.ended().await;
    writing.join().unwrap().unwrap();
    let failures: Vec<_> = events.iter().filter(|e| matches!(e, CaptureEvent::LogFailed { .. })).collect();
    let [CaptureEvent::LogFailed { attempt: of, path: told, .. }] = failures.as_slice() else {
        panic!("one failure: {failures:?}");
    };
    assert_eq!((*of, told), (attempt(), &path));
    fixture.console.skip_rest();
}

#[tokio::test]
async fn a_console_nobody_reads_delays_no_worker() {
    let mut fixture = Fixture::new(OutputMode::Prefixed, u64::MAX);
    let (_handle, out, err) = fixture.start();
    drop(err);
    let lines = 200_000;
    let writing = std::thread::spawn(move || {
        let mut out = io::BufWriter::new(out);
        (0..lines).try_for_each(|i| writeln!(out, "line {i}"))
    });
    fixture.ended().await;
    writing.join().unwrap().unwrap();
    assert_eq!(fixture.log().lines().count(), lines);
    let stdout = std::mem::replace(&mut fixture.stdout, io::pipe().unwrap().0);
    let reading = std::thread::spawn(move || {
        let (mut text, mut stdout) = (String::new(), stdout);
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    fixture.shown().await;
    let text = reading.join().unwrap();
    assert!(text.lines().enumerate().all(|(i, line)| line == format!("[LLD-42] line {i}")));
    assert_eq!(text.lines().count(), lines);
}
