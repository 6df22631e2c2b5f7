//! The console as people see it: in files, in pipes that nobody reads, and on a terminal.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use nix::pty::{Winsize, openpty};

use super::*;

/// A console over a run's directory, where the test writes the logs itself.
struct Fixture {
    dir: tempfile::TempDir,
    options: ConsoleOptions,
}

impl Fixture {
    fn new(output: OutputMode) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let redactor = Redactor::new([("gemini-a", b"AIzaSyExample".as_slice())]).unwrap();
        let run_dir = dir.path().to_owned();
        let options = ConsoleOptions { output, progress: true, color: ColorChoice::Auto, run_dir, redactor };
        Fixture { dir, options }
    }

    fn start(self, stdout: impl Into<OwnedFd>, stderr: impl Into<OwnedFd>) -> (tempfile::TempDir, Console) {
        let (stdout, stderr) = (File::from(stdout.into()), File::from(stderr.into()));
        let term = Some(OsStr::new("xterm"));
        (self.dir, Console::start_on(self.options, stdout, stderr, None, term).unwrap())
    }
}

/// What capture does: bytes to the log, then a word to the console.
struct Worker {
    log: File,
    offset: u64,
    output: AttemptOutput,
}

impl Worker {
    fn new(dir: &tempfile::TempDir, console: &Console, item: u32, label: &str) -> Worker {
        let path = dir.path().join(format!("{label}.log"));
        let log = File::options().append(true).create(true).open(path).unwrap();
        let offset = log.metadata().unwrap().len();
        Worker { log, offset, output: console.open(ItemIndex(item), label.into()) }
    }

    fn write(&mut self, stream: Stream, text: &str) {
        self.log.write_all(text.as_bytes()).unwrap();
        self.output.segment(stream, self.offset, text.len() as u32);
        self.offset += text.len() as u64;
    }
}

async fn in_files(output: OutputMode, act: impl FnOnce(&tempfile::TempDir, &Console)) -> (String, String) {
    let [mut stdout, mut stderr] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    let (dir, console) = Fixture::new(output).start(stdout.reopen().unwrap(), stderr.reopen().unwrap());
    act(&dir, &console);
    console.finish().await;
    let mut texts = [String::new(), String::new()];
    stdout.read_to_string(&mut texts[0]).unwrap();
    stderr.read_to_string(&mut texts[1]).unwrap();
    let [stdout, stderr] = texts;
    (stdout, stderr)
}

fn two_items(dir: &tempfile::TempDir, console: &Console) {
    let mut a = Worker::new(dir, console, 1, "LLD-42");
    let mut b = Worker::new(dir, console, 2, "LLD-43");
    a.write(Stream::Stdout, "first half, ");
    b.write(Stream::Stdout, "whole line\n");
    b.write(Stream::Stderr, "warning: ");
    a.write(Stream::Stdout, "second half\nunfinished");
    b.write(Stream::Stderr, "odd\n");
    drop(b);
    console.close(ItemIndex(2));
    console.item_line("LLD-43", "FAILED: input issues/43.md not found");
    drop(a);
    // Its second attempt.
    Worker::new(dir, console, 1, "LLD-42").write(Stream::Stdout, "again\n");
    console.close(ItemIndex(1));
    console.coordinator("a text with AIzaSyExample and \x1b[2J");
}

#[tokio::test]
async fn prefixed() {
    let (stdout, stderr) = in_files(OutputMode::Prefixed, two_items).await;
    // Which item's line comes first depends on how far the writer was.
    let mut lines: Vec<&str> = stdout.lines().collect();
    lines.sort_by_key(|line| line.split(' ').next());
    insta::assert_snapshot!(lines.join("\n"), @r"
    [LLD-42] first half, second half
    [LLD-42] unfinished
    [LLD-42] again
    [LLD-43] whole line
    ");
    insta::assert_snapshot!(stderr, @r"
    [LLD-43] warning: odd
    [LLD-43] FAILED: input issues/43.md not found
    [COORDINATOR] a text with [REDACTED:gemini-a] and
    ");
}

#[tokio::test]
async fn grouped() {
    let (stdout, stderr) = in_files(OutputMode::Grouped, two_items).await;
    insta::assert_snapshot!(stdout, @r"
    [LLD-43] whole line
    [LLD-42] first half, second half
    [LLD-42] unfinished
    [LLD-42] again
    ");
    insta::assert_snapshot!(stderr, @r"
    [LLD-43] warning: odd
    [LLD-43] FAILED: input issues/43.md not found
    [COORDINATOR] a text with [REDACTED:gemini-a] and
    ");
}

#[tokio::test]
async fn none() {
    let (stdout, stderr) = in_files(OutputMode::None, two_items).await;
    insta::assert_snapshot!(stdout, @"");
    insta::assert_snapshot!(stderr, @r"
    [LLD-43] FAILED: input issues/43.md not found
    [COORDINATOR] a text with [REDACTED:gemini-a] and
    ");
}

#[tokio::test]
async fn progress_where_no_bar_can_be_drawn() {
    let elapsed = Duration::from_secs(40);
    let state = ProgressState { total: 3, complete: 1, running: 2, elapsed, ..ProgressState::default() };
    let (_, stderr) = in_files(OutputMode::Prefixed, |_, console| {
        assert_eq!(console.progress_interval(), Some(Duration::from_secs(30)));
        console.progress(|| unreachable!("no bar is drawn"));
        console.progress_tick(state.clone());
        console.finished("LLD-42", Outcome::Approved, Duration::from_secs(75), 1, state);
        console.end_progress();
        console.text("the summary\n");
    })
    .await;
    insta::assert_snapshot!(stderr, @r"
    [COORDINATOR] 1/3 workflows complete after 40s, eta 1m; 2 running
    [COORDINATOR] LLD-42 approved in 1m15s (1/3 complete)
    the summary
    ");
}

#[tokio::test]
async fn a_group_that_was_never_closed_is_shown_at_the_end() {
    let (stdout, _) = in_files(OutputMode::Grouped, |dir, console| {
        Worker::new(dir, console, 1, "X").write(Stream::Stdout, "late\n");
    })
    .await;
    assert_eq!(stdout, "[X] late\n");
}

#[tokio::test]
async fn a_log_that_is_gone_is_said_once() {
    let (stdout, stderr) = in_files(OutputMode::Prefixed, |dir, console| {
        let mut worker = Worker::new(dir, console, 1, "X");
        std::fs::remove_file(dir.path().join("X.log")).unwrap();
        worker.write(Stream::Stdout, "one\n");
        worker.write(Stream::Stderr, "two\n");
        worker.write(Stream::Stdout, "three\n");
    })
    .await;
    assert_eq!(stdout, "");
    insta::assert_snapshot!(stderr, @r"[COORDINATOR] X.log cannot be read (No such file or directory (os error 2)): a part of its output is not shown here");
}

/// Everything a pipe gives, with its end.
fn read_all(mut reader: io::PipeReader) -> String {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_blocked_stdout_delays_nobody_and_loses_no_line() {
    let (reader, writer) = io::pipe().unwrap();
    let (dir, console) = Fixture::new(OutputMode::Prefixed).start(writer, File::create("/dev/null").unwrap());
    let mut workers: Vec<Worker> =
        (0..3).map(|i| Worker::new(&dir, &console, i, &format!("item{i}"))).collect();
    // Far more than a pipe holds, and nobody reads it.
    let rounds = 20_000;
    for round in 0..rounds {
        for worker in &mut workers {
            worker.write(Stream::Stdout, &format!("line {round} of a worker that does not wait\n"));
        }
    }
    drop(workers);
    let reading = std::thread::spawn(|| read_all(reader));
    console.finish().await;
    let text = reading.join().unwrap();
    for item in 0..3 {
        let prefix = format!("[item{item}] ");
        let mine: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
        assert_eq!(mine.len(), rounds);
        assert!(mine.iter().enumerate().all(|(i, line)| line.starts_with(&format!("line {i} of"))));
    }
}

#[tokio::test]
async fn the_rest_of_a_blocked_stdout_can_be_skipped() {
    let (reader, writer) = io::pipe().unwrap();
    let (dir, console) = Fixture::new(OutputMode::Prefixed).start(writer, File::create("/dev/null").unwrap());
    let mut worker = Worker::new(&dir, &console, 0, "X");
    worker.write(Stream::Stdout, &"y\n".repeat(100_000));
    let unlogged = worker.output.unlogged(Stream::Stdout, b"z\n".to_vec()).unwrap();
    console.skip_rest();
    console.finish().await;
    assert!(unlogged.await.is_err(), "who waits for the terminal is let go");
    drop(reader);
}

#[tokio::test]
async fn a_closed_stdout_leaves_stderr_and_the_run_alone() {
    let (reader, writer) = io::pipe().unwrap();
    let (errors, stderr) = io::pipe().unwrap();
    drop(reader);
    let (dir, console) = Fixture::new(OutputMode::Prefixed).start(writer, stderr);
    let mut worker = Worker::new(&dir, &console, 0, "X");
    worker.write(Stream::Stdout, &"y\n".repeat(100_000));
    worker.write(Stream::Stderr, "still here\n");
    drop(worker);
    console.finish().await;
    drop(console);
    assert_eq!(read_all(errors), "[X] still here\n");
}

#[tokio::test]
async fn a_full_disk_under_stdout_is_said_on_stderr() {
    let (errors, stderr) = io::pipe().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (dir, console) = Fixture::new(OutputMode::Prefixed).start(full, stderr);
    Worker::new(&dir, &console, 0, "X").write(Stream::Stdout, "y\n");
    console.finish().await;
    insta::assert_snapshot!(read_all(errors), @r"[COORDINATOR] output could not be written (No space left on device (os error 28)); it goes on in the logs");
}

#[tokio::test]
async fn bytes_in_no_log_keep_their_place() {
    let (reader, writer) = io::pipe().unwrap();
    let (dir, console) = Fixture::new(OutputMode::Prefixed).start(writer, File::create("/dev/null").unwrap());
    let mut worker = Worker::new(&dir, &console, 0, "X");
    worker.write(Stream::Stdout, "in the log, ");
    worker.output.unlogged(Stream::Stdout, b"and ".to_vec()).unwrap().await.unwrap();
    worker.output.unlogged(Stream::Stdout, b"not\n".to_vec()).unwrap().await.unwrap();
    drop(worker);
    console.finish().await;
    assert_eq!(read_all(reader), "[X] in the log, and not\n");
}

#[tokio::test]
async fn a_terminal_with_a_bar() {
    let size = Winsize { ws_row: 24, ws_col: 72, ws_xpixel: 0, ws_ypixel: 0 };
    let mut steps = Vec::new();
    let pty = openpty(Some(&size), None).unwrap();
    let slave = File::from(pty.slave);
    let (dir, console) = Fixture::new(OutputMode::Prefixed).start(slave.try_clone().unwrap(), slave);
    assert_eq!(console.progress_interval(), Some(Duration::from_secs(1)));
    let mut master = File::from(pty.master);
    let mut seen = |until: &str| {
        let mut text = String::new();
        while !text.ends_with(until) {
            let mut byte = [0];
            master.read_exact(&mut byte).unwrap();
            text.push(char::from(byte[0]));
        }
        text.escape_debug().to_string()
    };
    let mut state = ProgressState { total: 4, running: 2, ..ProgressState::default() };
    console.progress(|| state.clone());
    steps.push(seen("2 running"));
    let mut worker = Worker::new(&dir, &console, 0, "LLD-42");
    worker.write(Stream::Stdout, "\x1b[31mred\x1b[2K\n");
    steps.push(seen("2 running"));
    console.coordinator("a message");
    steps.push(seen("2 running"));
    drop(worker);
    state.complete = 1;
    state.running = 1;
    state.elapsed = Duration::from_secs(60);
    console.finished("LLD-42", Outcome::Approved, Duration::from_secs(60), 1, state);
    steps.push(seen("after 1m00s"));
    console.end_progress();
    console.text("summary\n");
    console.finish().await;
    steps.push(seen("summary\r\n"));
    insta::assert_snapshot!(steps.join("\n"), @r"
    [          ] 0/4 workflows complete, 2 running
    \r\u{1b}[J\u{1b}[95m[LLD-42]\u{1b}[0m \u{1b}[31mred\u{1b}[0m\r\n[          ] 0/4 workflows complete, 2 running
    \r\u{1b}[J\u{1b}[1m[COORDINATOR]\u{1b}[0m a message\r\n[          ] 0/4 workflows complete, 2 running
    \r\u{1b}[J[==>       ] 1/4 workflows complete, 1 running, eta 3m, after 1m00s
    \r\u{1b}[Jsummary\r\n
    ");
}
