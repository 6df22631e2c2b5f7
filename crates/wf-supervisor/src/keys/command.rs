//! Commands that print a secret: bounded in time, with all they leave behind, and nothing they say shown as it is.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wf_warden::{Exit, own};
use zeroize::Zeroizing;

use super::source::{SourceError, bounded};

/// After the end of a command somebody else may still hold its output: that long it is waited for, then it is swept.
const LINGER: Duration = Duration::from_secs(1);
/// The longest that killing what a command left may take.
const SWEEP: Duration = Duration::from_secs(2);
/// Of what a command says to people this many lines are shown, each of so many bytes.
const LINES: usize = 20;
const LINE_BYTES: u64 = 400;

/// What the command prints, within `time`.
pub(super) fn output_of(command: &[String], time: Duration) -> Result<Zeroizing<String>, SourceError> {
    static COMMANDS: AtomicU32 = AtomicU32::new(0);
    let Some((program, arguments)) = command.split_first() else {
        return Err(SourceError::Unsafe("the command is empty".to_owned()));
    };
    let absent = |why: &str| SourceError::Absent(format!("the command {program:?} {why}"));
    // By this everything that it starts is found again, wherever it hides. It stays in our session: a password store may
    // have to talk to a person.
    let number = COMMANDS.fetch_add(1, Ordering::Relaxed);
    let mark = format!("key-source-{}-{number}", std::process::id());
    let mut child = Command::new(program)
        .args(arguments)
        .env("WF_RUN_ID", &mark)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| absent(&format!("could not be started: {e}")))?;
    let secret = read_beside(&mut child, program).map_err(|error| {
        end(&mut child, &mark);
        absent(&format!("could not be read: {error}"))
    })?;
    let exit = match own::reap(child.id().cast_signed(), time) {
        Ok(exit) => exit,
        Err(error) => {
            end(&mut child, &mark);
            return Err(absent(&match error.kind() {
                ErrorKind::TimedOut => format!("did not finish within {}", crate::duration::format(time)),
                _ => format!("was lost: {error}"),
            }));
        }
    };
    let secret = secret.recv_timeout(LINGER.min(time)).or_else(|_| {
        sweep(&mark);
        secret.recv_timeout(LINGER)
    });
    match exit {
        Exit::Code(0) => {
            secret.unwrap_or_else(|_| Err(absent("left a process behind that holds its output")))
        }
        Exit::Code(code) => Err(absent(&format!("failed (exit status: {code})"))),
        Exit::Signal(signal) => Err(absent(&format!("was killed by signal {signal}"))),
    }
}

/// Reads both outputs, each in a thread that ends with it.
fn read_beside(
    child: &mut Child,
    program: &str,
) -> io::Result<mpsc::Receiver<Result<Zeroizing<String>, SourceError>>> {
    let (sender, receiver) = mpsc::channel();
    let name = format!("the command {program:?}");
    if let Some(stderr) = child.stderr.take() {
        let name = name.clone();
        let words = move || pass_on(stderr, &name);
        thread::Builder::new().name("key-words".to_owned()).spawn(words)?;
    }
    if let Some(stdout) = child.stdout.take() {
        // Nobody listens any more when the time was over.
        let read = move || drop(sender.send(bounded(stdout, &name)));
        thread::Builder::new().name("key-source".to_owned()).spawn(read)?;
    }
    Ok(receiver)
}

fn end(child: &mut Child, mark: &str) {
    // What cannot be killed cannot be waited for either; the sweep names it.
    let _ = child.kill();
    let _ = own::reap(child.id().cast_signed(), LINGER);
    sweep(mark);
}

fn sweep(mark: &str) {
    match own::kill_by_cookie(mark, SWEEP) {
        Ok(swept) => log::debug!("killed {} processes that a key command left", swept.killed.len()),
        Err(error) => log::warn!("cannot look for what a key command left: {error}"),
    }
}

/// Tells people what a command says on standard error, but for what may be a secret. The rest is read and forgotten, so that
/// the command need not wait for anybody.
fn pass_on(stderr: impl Read, name: &str) {
    let mut stderr = BufReader::new(stderr);
    for _ in 0..LINES {
        let mut line = Zeroizing::new(Vec::new());
        match stderr.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => log::warn!("{name} says: {}", veiled(&String::from_utf8_lossy(&line))),
        }
    }
    // An end that is no end is as good as one.
    let _ = io::copy(&mut stderr, &mut io::sink());
}

/// A line without what may be a secret: nobody knows yet what the secret is, so every word that could be one is left out.
fn veiled(line: &str) -> String {
    let mut shown = String::new();
    let ends =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '=' | ':' | ',' | ';' | '(' | ')');
    for part in line.trim_end().split_inclusive(ends) {
        let word = part.trim_end_matches(ends);
        let mixed = word.chars().any(|c| c.is_ascii_digit()) && word.chars().any(char::is_alphabetic);
        let is_suspect = word.len() >= 20 || (word.len() >= 8 && mixed);
        shown.push_str(if is_suspect { "[REDACTED]" } else { word });
        shown.extend(part[word.len()..].chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    shown.replace(|c: char| c.is_control(), "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        vec!["sh".into(), "-c".into(), script.into()]
    }

    #[test]
    fn what_a_command_says_is_shown_without_what_may_be_a_secret() {
        let table = [
            ("Error: gemini is not in the password store.\n", "Error: gemini is not in the password store."),
            ("key=AIzaSyD-1234567890 is old", "key=[REDACTED] is old"),
            ("using 'sk-abcdefghijklmnopqrstuvwxyz'", "using '[REDACTED]'"),
            ("\x1b[2J your key (touch it)", "?[2J your key (touch it)"),
            ("", ""),
        ];
        for (line, want) in table {
            assert_eq!(veiled(line), want);
        }
    }

    #[test]
    fn a_child_that_keeps_the_output_is_swept_and_the_secret_is_good() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("setsid sleep 600 & echo $! > {}; echo the-secret-itself", pid.display());
        let secret = output_of(&sh(&script), Duration::from_secs(60)).unwrap();
        assert_eq!(*secret, "the-secret-itself");
        // `setsid` may have forked; whoever held the pipe is gone, else there had been no end of it.
        let pid: i32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        let gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err()
            || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
        assert!(gone, "{pid}");
    }

    #[test]
    fn a_command_that_ends_its_output_and_stays_is_given_up() {
        let time = Duration::from_millis(50);
        let error = output_of(&sh("exec >&- 2>&-; sleep 600"), time).unwrap_err();
        assert_eq!(error, SourceError::Absent("the command \"sh\" did not finish within 50ms".into()));
    }
}
