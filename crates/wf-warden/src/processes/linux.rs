//! The `/proc` of Linux, `proc(5)`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::dir::Dir;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::sys::uio::pread;

use super::{Known, MOST_IN_A_WALK, this};
use crate::raw;

/// An open `/proc/<pid>`. It stands for one process as a pidfd does: when that is gone and reaped, everything here fails,
/// also when another process has got the number.
pub(crate) struct Process {
    pid: i32,
    directory: OwnedFd,
}

/// What `/proc/<pid>/stat` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) name: String,
    pub(crate) state: u8,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    threads: u32,
    /// When it began, in clock ticks since boot. With the number it names a process for good.
    pub(crate) start: u64,
}

impl Stat {
    fn parse(text: &[u8]) -> Option<Stat> {
        // The name stands in brackets and may itself contain brackets, spaces and newlines.
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let name = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
        Some(Stat {
            name,
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            threads: fields.get(17)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }

    /// Dead and perhaps not reaped. A process whose first thread has ended looks like a zombie and lives on.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }

    /// Stopped, by a signal or a tracer.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }
}

impl Process {
    /// Opens `/proc/<pid>`.
    pub(crate) fn open(pid: i32) -> io::Result<Process> {
        let directory = open(format!("/proc/{pid}").as_str(), directory_flags(), Mode::empty())?;
        Ok(Process { pid, directory })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Its state now; `None` when it is gone.
    pub(crate) fn stat(&self) -> Option<Stat> {
        let mut file = self.file("stat").ok()?;
        // 52 numbers of 20 digits at most, and a name.
        let mut buffer = [0; 2048];
        let count = file.read(&mut buffer).ok()?;
        Stat::parse(&buffer[..count])
    }

    /// Adds its children, those of all its threads.
    fn children(&self, stat: &Stat, into: &mut Vec<i32>) {
        let Ok(main) = self.children_of_thread(self.pid, into) else { return };
        if !main || stat.threads <= 1 {
            return;
        }
        let Ok(mut tasks) = Dir::openat(&self.directory, "task", directory_flags(), Mode::empty()) else {
            return;
        };
        for entry in tasks.iter().flatten() {
            let thread = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok());
            if let Some(thread) = thread.filter(|thread| *thread != self.pid) {
                let _ = self.children_of_thread(thread, into);
            }
        }
    }

    /// False where the thread is gone.
    fn children_of_thread(&self, thread: i32, into: &mut Vec<i32>) -> io::Result<bool> {
        match self.file(&format!("task/{thread}/children")) {
            Ok(mut file) => {
                let mut text = Vec::new();
                file.read_to_end(&mut text)?;
                into.extend(numbers(&text));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether this `NAME=VALUE` is in the environment it was started with. False where that may not be read: a user
    /// may read it of exactly those processes that he may also kill, but for programs that hide it.
    pub(crate) fn environment_has(&self, entry: &[u8]) -> bool {
        // The kernel bounds arguments and environment together to less than this.
        const MOST_BYTES: u64 = 8 << 20;
        let mut bytes = Vec::new();
        let Ok(file) = self.file("environ") else { return false };
        file.take(MOST_BYTES).read_to_end(&mut bytes).is_ok()
            && bytes.split(|byte| *byte == 0).any(|other| other == entry)
    }

    /// Sends it a signal; never to another process that has its number.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        raw::signal_through(self.directory.as_fd(), signal)
    }

    fn file(&self, path: &str) -> io::Result<File> {
        let file = openat(&self.directory, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(File::from(file))
    }
}

/// The children of this thread, kept open: for a program of one thread.
pub(crate) struct OwnChildren(OwnedFd);

impl OwnChildren {
    /// Fails where there is no `/proc`, or the kernel was built without `CONFIG_PROC_CHILDREN`.
    pub(crate) fn open() -> io::Result<OwnChildren> {
        let path = format!("/proc/self/task/{}/children", std::process::id());
        Ok(OwnChildren(open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?))
    }

    /// Zombies are listed too. The kernel promises a complete list only while none of the children dies
    /// (`proc_pid_task_children`...); a list of exactly one that is a zombie is complete: nothing else was left to
    /// have children that could fall to us meanwhile.
    pub(crate) fn list(&self) -> io::Result<Vec<i32>> {
        const AT_ONCE: usize = 4096;
        let mut text = vec![0; AT_ONCE];
        let mut filled = 0;
        loop {
            let count = pread(
                &self.0,
                &mut text[filled..],
                i64::try_from(filled).map_err(|_| io::ErrorKind::FileTooLarge)?,
            )?;
            filled += count;
            // The kernel fills a page as long as there are entries, so much less than one is the end of the list.
            if count < AT_ONCE / 2 {
                return Ok(numbers(&text[..filled]).collect());
            }
            text.resize(filled + AT_ONCE, 0);
        }
    }
}

/// The children of all threads of this process.
pub(crate) fn of_this_process() -> io::Result<Vec<i32>> {
    let process = Process::open(this())?;
    let stat = process.stat().ok_or(io::ErrorKind::InvalidData)?;
    let mut children = Vec::new();
    process.children(&stat, &mut children);
    Ok(children)
}

/// All processes that can be seen.
pub(crate) fn all() -> io::Result<Vec<i32>> {
    let entries = std::fs::read_dir("/proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Goes through trees, parents before children. A process that is no longer who it was expected to be by the time it is
/// looked at is passed over, unless it has fallen to this process, which is as good. `visit` is called with the living
/// when their children are already noted, so that killing them hides nothing. Stops after [`MOST_IN_A_WALK`].
pub(crate) fn walk(roots: impl IntoIterator<Item = (i32, Known)>, mut visit: impl FnMut(&Process, &Stat)) {
    let this = this();
    let mut queue: VecDeque<(i32, Known)> = roots.into_iter().collect();
    let mut children = Vec::new();
    for _ in 0..MOST_IN_A_WALK {
        let Some((pid, known)) = queue.pop_front() else { return };
        let Ok(process) = Process::open(pid) else { continue };
        let Some(stat) = process.stat() else { continue };
        let expected = match known {
            Known::ChildOf(parent) => stat.parent == parent || stat.parent == this,
            Known::BegunAt(ticks) => stat.start == ticks,
        };
        if stat.is_dead() || !expected {
            continue;
        }
        process.children(&stat, &mut children);
        queue.extend(children.drain(..).map(|child| (child, Known::ChildOf(pid))));
        visit(&process, &stat);
    }
}

fn directory_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC
}

fn numbers(text: &[u8]) -> impl Iterator<Item = i32> {
    text.split(u8::is_ascii_whitespace).filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let tail = "S 11 12 13 0 -1 4194304 1 0 0 0 2 3 0 0 20 0 7 0 98765 1 2 3\n";
        for name in ["sleep", "a b", ") R 1 2 3", "((", "x\ny", ""] {
            let stat = Stat::parse(format!("10 ({name}) {tail}").as_bytes()).unwrap();
            let expected =
                Stat { name: name.to_owned(), state: b'S', parent: 11, group: 12, threads: 7, start: 98765 };
            assert_eq!(stat, expected);
        }
        for bad in ["", "10 (x", "10 (x) S 1", "10 )x( S 1 2", "10 (x) S 1 2 3 4 x"] {
            assert_eq!(Stat::parse(bad.as_bytes()), None);
        }
    }

    #[test]
    fn only_a_process_without_living_threads_is_dead() {
        let stat =
            |state, threads| Stat { name: String::new(), state, parent: 1, group: 1, threads, start: 0 };
        assert!(stat(b'Z', 1).is_dead());
        assert!(!stat(b'Z', 2).is_dead(), "its first thread has ended, the others run");
        assert!(!stat(b'S', 1).is_dead());
    }

    #[test]
    fn this_process_is_found() {
        let this = this();
        assert!(all().unwrap().contains(&this));
        let process = Process::open(this).unwrap();
        let stat = process.stat().unwrap();
        assert_eq!(stat.parent, nix::unistd::getppid().as_raw());
        let path = std::env::var("PATH").unwrap();
        assert!(process.environment_has(format!("PATH={path}").as_bytes()));
        assert!(!process.environment_has(b"PATH="));
    }
}
