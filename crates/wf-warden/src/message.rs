//! What supervisor and warden say to each other, and its bytes. Pure: no descriptor is touched here.
//!
//! Both ends are the same program, so there is no version; yet decoding is total, since a worker that writes to a
//! descriptor that it should not have must not be able to crash anybody.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// A command to start, for one attempt.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Spawn {
    /// The file to execute: an absolute path, found by the supervisor. No search, no shell.
    pub program: PathBuf,
    /// All of `argv`, the name under which the program is called (`argv[0]`) included.
    pub argv: Vec<OsString>,
    /// Variables to set, beside those that the warden was started with. Names without `=`.
    pub set_env: Vec<(OsString, OsString)>,
    /// Variables of the warden's own environment that this worker is not to have.
    pub unset_env: Vec<OsString>,
    /// The directory to start in, absolute.
    pub cwd: PathBuf,
}

/// Values may be keys (`--with-key`), so only names are shown.
impl fmt::Debug for Spawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&OsString> = self.set_env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Spawn")
            .field("program", &self.program)
            .field("argv", &self.argv)
            .field("set_env", &names)
            .field("unset_env", &self.unset_env)
            .field("cwd", &self.cwd)
            .finish()
    }
}

/// What the supervisor may ask of a warden beside starting a command. An order that finds no attempt (it has just
/// ended, and said so) does nothing and is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Send this signal to the worker's process group.
    Signal(i32),
    /// SIGKILL to the worker's group; when the worker has already exited, to all that it left. What has left the group
    /// is stopped until the sweep, so that it does not grow meanwhile.
    Kill,
    /// The worker's output was read as far as it is wanted: kill and reap all that is left, the worker included, and
    /// answer with [`Report::Swept`].
    Sweep,
    /// SIGSTOP to the whole tree, and to whatever is spawned from now on. Answered with [`Report::Frozen`].
    Freeze,
    /// SIGCONT to all that [`Order::Freeze`] has stopped.
    Thaw,
}

/// A message from the supervisor, as it arrives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ToWarden {
    /// The first one, with the run lock's descriptor if `lock`: it must not take those of a command that follows closely.
    Setup {
        soft_nofile: Option<u64>,
        lock: bool,
    },
    /// With two descriptors: the write ends for stdout and stderr. Wiped by whoever has used it.
    Spawn(Spawn),
    Order(Order),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(u8),
    /// This signal killed it; real-time signals included.
    Signal(i32),
}

/// A process that outlived the worker which caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its process id while it lived.
    pub pid: i32,
    /// Its short name, as `ps -o comm` shows it (15 bytes at most on Linux); `?` where it could not be read.
    pub name: String,
}

/// What a sweep found. Names stop at [`Swept::MOST_NAMES`] each, so that a fork bomb does not fill the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// What was still alive when the worker had ended, and is dead now.
    pub killed: Vec<Leftover>,
    /// What could not be killed: another user's, or uninterruptible. It may hold the item's files open.
    pub unkillable: Vec<Leftover>,
    /// How many more there were than the two lists name.
    pub unnamed: u32,
}

impl Swept {
    /// The most entries in each of the lists.
    pub const MOST_NAMES: usize = 64;

    /// True when there was nothing to clean up.
    pub fn is_empty(&self) -> bool {
        self.killed.is_empty() && self.unkillable.is_empty() && self.unnamed == 0
    }

    pub(crate) fn note_killed(&mut self, pid: i32, name: &str) {
        note(&mut self.killed, &mut self.unnamed, pid, name);
    }

    /// What could not be killed was not killed, whatever was noted when it was tried.
    pub(crate) fn note_unkillable(&mut self, pid: i32, name: &str) {
        self.killed.retain(|leftover| leftover.pid != pid);
        note(&mut self.unkillable, &mut self.unnamed, pid, name);
    }
}

fn note(list: &mut Vec<Leftover>, unnamed: &mut u32, pid: i32, name: &str) {
    if list.iter().any(|leftover| leftover.pid == pid) {
        return;
    }
    if list.len() < Swept::MOST_NAMES {
        list.push(Leftover { pid, name: name.to_owned() });
    } else {
        *unnamed = unnamed.saturating_add(1);
    }
}

/// What a warden tells. Exactly one of [`Report::SpawnFailed`], [`Report::Exited`] with `alone`, and
/// [`Report::Swept`] ends an attempt; then, and only then, the warden takes the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The worker runs, as the leader of a process group with this number.
    Spawned {
        /// Its process id.
        pid: i32,
    },
    /// No process was made.
    SpawnFailed {
        /// The error number.
        errno: i32,
        /// True when the machine is short of something (processes, memory, descriptors): worth another try later.
        shortage: bool,
        /// The reason as a clause for a person: `command not found: /usr/bin/frob`.
        text: String,
    },
    /// The worker has exited.
    Exited {
        /// How.
        exit: Exit,
        /// True: it was the last of its tree and is reaped; the attempt is over. False: it is kept unreaped, so that its
        /// group's number cannot pass to a stranger, until [`Order::Sweep`]. Its pipes may still be open.
        alone: bool,
    },
    /// Nothing of the attempt is left but what `unkillable` names. If the worker itself is there, it never exited.
    Swept(Swept),
    /// Everything below stands still, or could not be made to within a moment.
    Frozen,
    /// The warden cannot go on and ends, killing what is below it. Then its socket closes.
    Broken(String),
}

/// Bytes that are no message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl ToWarden {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            ToWarden::Setup { soft_nofile, lock } => {
                out.push(0);
                out.push(u8::from(soft_nofile.is_some()));
                out.extend_from_slice(&soft_nofile.unwrap_or(0).to_le_bytes());
                out.push(u8::from(*lock));
            }
            ToWarden::Spawn(spawn) => spawn.encode(out),
            ToWarden::Order(Order::Signal(signal)) => {
                out.push(2);
                out.extend_from_slice(&signal.to_le_bytes());
            }
            ToWarden::Order(Order::Kill) => out.push(3),
            ToWarden::Order(Order::Sweep) => out.push(4),
            ToWarden::Order(Order::Freeze) => out.push(5),
            ToWarden::Order(Order::Thaw) => out.push(6),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<ToWarden, Malformed> {
        let mut rest = Rest(bytes);
        let message = match rest.byte()? {
            0 => {
                let (given, limit) = (rest.bool()?, u64::from_le_bytes(rest.array()?));
                ToWarden::Setup { soft_nofile: given.then_some(limit), lock: rest.bool()? }
            }
            1 => ToWarden::Spawn(Spawn::decode(&mut rest)?),
            2 => ToWarden::Order(Order::Signal(rest.i32()?)),
            3 => ToWarden::Order(Order::Kill),
            4 => ToWarden::Order(Order::Sweep),
            5 => ToWarden::Order(Order::Freeze),
            6 => ToWarden::Order(Order::Thaw),
            _ => return Err(Malformed),
        };
        rest.end(message)
    }
}

impl Report {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Report::Spawned { pid } => {
                out.push(0);
                out.extend_from_slice(&pid.to_le_bytes());
            }
            Report::SpawnFailed { errno, shortage, text } => {
                out.push(1);
                out.extend_from_slice(&errno.to_le_bytes());
                out.push(u8::from(*shortage));
                put(out, text.as_bytes());
            }
            Report::Exited { exit, alone } => {
                let (kind, number) = match *exit {
                    Exit::Code(code) => (0, i32::from(code)),
                    Exit::Signal(signal) => (1, signal),
                };
                out.extend_from_slice(&[2, kind]);
                out.extend_from_slice(&number.to_le_bytes());
                out.push(u8::from(*alone));
            }
            Report::Swept(swept) => {
                out.push(3);
                for list in [&swept.killed, &swept.unkillable] {
                    put_count(out, list.len());
                    for leftover in list {
                        out.extend_from_slice(&leftover.pid.to_le_bytes());
                        put(out, leftover.name.as_bytes());
                    }
                }
                out.extend_from_slice(&swept.unnamed.to_le_bytes());
            }
            Report::Frozen => out.push(4),
            Report::Broken(text) => {
                out.push(5);
                put(out, text.as_bytes());
            }
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Report, Malformed> {
        let mut rest = Rest(bytes);
        let report = match rest.byte()? {
            0 => Report::Spawned { pid: rest.i32()? },
            1 => Report::SpawnFailed { errno: rest.i32()?, shortage: rest.bool()?, text: rest.text()? },
            2 => {
                let exit = match (rest.byte()?, rest.i32()?) {
                    (0, code) => Exit::Code(u8::try_from(code).map_err(|_| Malformed)?),
                    (1, signal) => Exit::Signal(signal),
                    _ => return Err(Malformed),
                };
                Report::Exited { exit, alone: rest.bool()? }
            }
            3 => Report::Swept(Swept {
                killed: rest.leftovers()?,
                unkillable: rest.leftovers()?,
                unnamed: u32::from_le_bytes(rest.array()?),
            }),
            4 => Report::Frozen,
            5 => Report::Broken(rest.text()?),
            _ => return Err(Malformed),
        };
        rest.end(report)
    }
}

impl Spawn {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(1);
        put(out, self.program.as_os_str().as_bytes());
        put(out, self.cwd.as_os_str().as_bytes());
        put_count(out, self.argv.len());
        for argument in &self.argv {
            put(out, argument.as_bytes());
        }
        put_count(out, self.set_env.len());
        for (name, value) in &self.set_env {
            put(out, name.as_bytes());
            put(out, value.as_bytes());
        }
        put_count(out, self.unset_env.len());
        for name in &self.unset_env {
            put(out, name.as_bytes());
        }
    }

    fn decode(rest: &mut Rest<'_>) -> Result<Spawn, Malformed> {
        Ok(Spawn {
            program: PathBuf::from(rest.os_string()?),
            cwd: PathBuf::from(rest.os_string()?),
            argv: rest.list(Rest::os_string)?,
            set_env: rest.list(|rest| Ok((rest.os_string()?, rest.os_string()?)))?,
            unset_env: rest.list(Rest::os_string)?,
        })
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // A count that does not fit makes a frame far over the limit, which is refused before it is sent.
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// The part of a message that is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.byte()? != 0)
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn count(&mut self) -> Result<usize, Malformed> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| Malformed)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count()?;
        self.take(length)
    }

    fn os_string(&mut self) -> Result<OsString, Malformed> {
        Ok(OsString::from_vec(self.bytes()?.to_vec()))
    }

    fn text(&mut self) -> Result<String, Malformed> {
        Ok(OsStr::from_bytes(self.bytes()?).to_string_lossy().into_owned())
    }

    /// Every element takes four bytes at least, so a lying count is found out before it is believed.
    fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Rest<'a>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.count()?;
        if count > self.0.len() / 4 {
            return Err(Malformed);
        }
        (0..count).map(|_| element(self)).collect()
    }

    fn leftovers(&mut self) -> Result<Vec<Leftover>, Malformed> {
        self.list(|rest| Ok(Leftover { pid: rest.i32()?, name: rest.text()? }))
    }

    fn end<T>(self, value: T) -> Result<T, Malformed> {
        if self.0.is_empty() { Ok(value) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn os_string() -> impl Strategy<Value = OsString> {
        vec(any::<u8>(), 0..40).prop_map(OsString::from_vec)
    }

    fn leftovers() -> impl Strategy<Value = Vec<Leftover>> {
        vec((any::<i32>(), ".{0,15}").prop_map(|(pid, name)| Leftover { pid, name }), 0..5)
    }

    fn to_warden() -> impl Strategy<Value = ToWarden> {
        let spawn = (
            os_string(),
            os_string(),
            vec(os_string(), 0..5),
            vec((os_string(), os_string()), 0..5),
            vec(os_string(), 0..5),
        )
            .prop_map(|(program, cwd, argv, set_env, unset_env)| {
                ToWarden::Spawn(Spawn { program: program.into(), cwd: cwd.into(), argv, set_env, unset_env })
            });
        prop_oneof![
            any::<(Option<u64>, bool)>()
                .prop_map(|(soft_nofile, lock)| ToWarden::Setup { soft_nofile, lock }),
            spawn,
            any::<i32>().prop_map(|signal| ToWarden::Order(Order::Signal(signal))),
            prop::sample::select(vec![Order::Kill, Order::Sweep, Order::Freeze, Order::Thaw])
                .prop_map(ToWarden::Order),
        ]
    }

    fn report() -> impl Strategy<Value = Report> {
        let exit = prop_oneof![any::<u8>().prop_map(Exit::Code), any::<i32>().prop_map(Exit::Signal)];
        prop_oneof![
            any::<i32>().prop_map(|pid| Report::Spawned { pid }),
            (any::<i32>(), any::<bool>(), ".{0,40}")
                .prop_map(|(errno, shortage, text)| Report::SpawnFailed { errno, shortage, text }),
            (exit, any::<bool>()).prop_map(|(exit, alone)| Report::Exited { exit, alone }),
            (leftovers(), leftovers(), any::<u32>()).prop_map(|(killed, unkillable, unnamed)| {
                Report::Swept(Swept { killed, unkillable, unnamed })
            }),
            Just(Report::Frozen),
            ".{0,40}".prop_map(Report::Broken),
        ]
    }

    proptest! {
        #[test]
        fn what_is_sent_to_a_warden_arrives(message in to_warden()) {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            prop_assert_eq!(ToWarden::decode(&bytes), Ok(message));
            bytes.push(0);
            prop_assert_eq!(ToWarden::decode(&bytes), Err(Malformed));
        }

        #[test]
        fn what_a_warden_reports_arrives(report in report()) {
            let mut bytes = Vec::new();
            report.encode(&mut bytes);
            prop_assert_eq!(Report::decode(&bytes), Ok(report));
            bytes.pop();
            prop_assert_eq!(Report::decode(&bytes), Err(Malformed));
        }

        #[test]
        fn no_bytes_are_too_strange_to_be_refused(tag in 0..8u8, bytes in vec(any::<u8>(), 0..60)) {
            let bytes = [vec![tag], bytes].concat();
            let _ = ToWarden::decode(&bytes);
            let _ = Report::decode(&bytes);
        }
    }

    #[test]
    fn a_lying_count_allocates_nothing() {
        let mut bytes = vec![3];
        bytes.extend_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Report::decode(&bytes), Err(Malformed));
    }

    #[test]
    fn values_of_variables_are_not_shown() {
        let spawn = Spawn { set_env: vec![("API_KEY".into(), "hunter22".into())], ..Spawn::default() };
        let shown = format!("{:?}", ToWarden::Spawn(spawn));
        assert!(shown.contains("API_KEY") && !shown.contains("hunter22"), "{shown}");
    }
}
