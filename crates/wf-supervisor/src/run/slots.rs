//! The slots of the pool: a warden in each, orders down, reports up.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex, Notify, mpsc};
use wf_core::{AttemptEnd, AttemptId, Event, Leftover, Slot};
use wf_warden::{Exit, Order, Outputs, Received, Report, Setup, Spawn, Swept, Warden, own};

/// The longest that the burial of a lost warden and of its tree may take.
const BURIAL: Duration = Duration::from_secs(10);
/// The longest that the trees may take to stand still before the supervisor stops itself all the same.
const FREEZE: Duration = Duration::from_secs(1);
/// The longest that wardens may take, all together, to end once the run is over.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long to wait for one of them before looking whether somebody is in a hurry.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// All slots of a run.
#[derive(Debug)]
pub struct Slots {
    seats: Vec<Rc<Seat>>,
    house: Rc<House>,
}

/// What it takes to start a warden.
#[derive(Debug)]
struct House {
    exe: PathBuf,
    /// The workers' environment, keys removed.
    env: Vec<(OsString, OsString)>,
    soft_nofile: Option<u64>,
    lock: OwnedFd,
    events: mpsc::Sender<Event>,
    /// Process ids of the living wardens.
    living: RefCell<BTreeSet<i32>>,
    /// A burial sweeps all children that are not living wardens, so no other child may be born or live beside it.
    births: Arc<Mutex<()>>,
}

/// A slot and its warden.
#[derive(Debug)]
struct Seat {
    slot: Slot,
    warden: RefCell<Option<Warden>>,
    /// The attempt that the warden's reports are about.
    current: Cell<Option<AttemptId>>,
    frozen: Cell<bool>,
    /// Something is left to be written.
    nudge: Notify,
    /// A freeze was answered.
    still: Notify,
}

/// What it takes to start the wardens of a run.
#[derive(Debug)]
pub struct Opening {
    /// How many.
    pub count: u16,
    /// The workers' environment, keys removed.
    pub env: Vec<(OsString, OsString)>,
    /// The soft limit of open files that workers are to have.
    pub soft_nofile: Option<u64>,
    /// The run's lock: it lasts as long as anything of the run lives.
    pub lock: OwnedFd,
    /// Where events go.
    pub events: mpsc::Sender<Event>,
}

impl Slots {
    /// Starts a warden in every slot.
    pub fn open(opening: Opening) -> io::Result<Slots> {
        let house = Rc::new(House {
            exe: this_program()?,
            env: opening.env,
            soft_nofile: opening.soft_nofile,
            lock: opening.lock,
            events: opening.events,
            living: RefCell::default(),
            births: Arc::default(),
        });
        let mut slots = Slots { seats: Vec::new(), house };
        for n in 0..opening.count {
            let seat = Rc::new(Seat {
                slot: Slot(n),
                warden: RefCell::new(None),
                current: Cell::new(None),
                frozen: Cell::new(false),
                nudge: Notify::new(),
                still: Notify::new(),
            });
            slots.house.fill(&seat)?;
            slots.seats.push(seat);
        }
        Ok(slots)
    }

    /// Orders the start of an attempt. Its answer is an event; an error means that nothing was sent.
    pub fn start(
        &self,
        slot: Slot,
        attempt: AttemptId,
        spawn: &Spawn,
        stdout: BorrowedFd<'_>,
        stderr: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let seat = self.seat(slot);
        let mut warden = seat.warden.borrow_mut();
        // Another is on its way: no fault of the item, which can start in a moment.
        let lost = || io::Error::new(io::ErrorKind::WouldBlock, "the slot's warden was lost");
        let warden = warden.as_mut().ok_or_else(lost)?;
        seat.current.set(Some(attempt));
        let ordered = warden.spawn(spawn, Outputs { stdout, stderr });
        seat.nudge_if_needed(warden);
        ordered
    }

    /// Gives an order about the slot's attempt. A lost warden is told of by an event, once.
    pub fn order(&self, slot: Slot, order: Order) {
        let seat = self.seat(slot);
        if let Some(warden) = seat.warden.borrow_mut().as_mut() {
            if let Err(error) = warden.send(order) {
                log::warn!("slot {}: cannot order {order:?}: {error}", slot.0);
            }
            seat.nudge_if_needed(warden);
        }
    }

    /// The slot's warden does not answer: kills it. Its reader notices, buries it and tells.
    pub fn replace(&self, slot: Slot) {
        if let Some(warden) = self.seat(slot).warden.borrow().as_ref() {
            warden.kill();
        }
    }

    /// Stops every tree. Returns when all stand still, or after a moment.
    pub async fn freeze(&self) {
        for seat in &self.seats {
            seat.frozen.set(seat.warden.borrow().is_none());
            self.order(seat.slot, Order::Freeze);
        }
        let all_still = async {
            for seat in &self.seats {
                while !seat.frozen.get() {
                    seat.still.notified().await;
                }
            }
        };
        let _ = tokio::time::timeout(FREEZE, all_still).await;
    }

    /// Lets every tree go on.
    pub fn thaw(&self) {
        for seat in &self.seats {
            self.order(seat.slot, Order::Thaw);
        }
    }

    /// Held by whoever starts a child that is no warden, for as long as it lives.
    pub fn births(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.house.births)
    }

    /// Lets all wardens end, with whatever is still below them.
    pub fn close(self) -> Leaving {
        // All sockets first, so that they end at the same time.
        let pids = self.seats.iter().filter_map(|seat| seat.warden.borrow_mut().take().map(Warden::close));
        Leaving(pids.collect())
    }

    fn seat(&self, slot: Slot) -> &Rc<Seat> {
        &self.seats[usize::from(slot.0)]
    }
}

/// Wardens that were let go, by process id: they end by themselves unless somebody stopped them.
#[derive(Debug)]
pub struct Leaving(Vec<i32>);

impl Leaving {
    /// Reaps them all. Those that have not ended in time, or when somebody is in a hurry, are killed, and what was below
    /// them is swept. Blocks, within a bound; answers with what had to be done.
    pub fn end(self, hurry: &AtomicBool) -> Vec<String> {
        let deadline = Instant::now() + FAREWELL;
        let mut late = Vec::new();
        for pid in self.0 {
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() || hurry.load(Ordering::Relaxed) {
                    late.push(format!("warden {pid} did not end and was killed"));
                    own::kill_child(pid);
                    if let Err(error) = own::reap(pid, BURIAL) {
                        late.push(format!("warden {pid} cannot be killed: {error}"));
                    }
                    break;
                }
                match own::reap(pid, left.min(LOOK_AROUND)) {
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                    Ok(_) => break,
                    Err(error) => {
                        late.push(format!("warden {pid} cannot be reaped: {error}"));
                        break;
                    }
                }
            }
        }
        if !late.is_empty()
            && let Err(error) = own::sweep_orphans(&[], BURIAL)
        {
            late.push(format!("what was below them cannot be swept: {error}"));
        }
        late
    }
}

/// The program that is running, to be started again as a warden.
fn this_program() -> io::Result<PathBuf> {
    // The link is right, too, when the file was replaced by an upgrade since we started.
    if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { std::env::current_exe() }
}

impl House {
    /// Starts a warden for the seat, and the task that hears it.
    fn fill(self: &Rc<Self>, seat: &Rc<Seat>) -> io::Result<()> {
        let setup = Setup {
            slot: usize::from(seat.slot.0),
            soft_nofile: self.soft_nofile,
            lock: Some(self.lock.as_fd()),
        };
        let warden = Warden::start(&self.exe, &self.env, setup)?;
        // The copy is owned by the value that watches it, so it cannot be closed underneath.
        #[expect(
            deprecated,
            reason = "its successor is for owners that may close early, which an OwnedFd cannot"
        )]
        let ear = AsyncFd::new(warden.as_fd().try_clone_to_owned()?)?;
        self.living.borrow_mut().insert(warden.pid());
        *seat.warden.borrow_mut() = Some(warden);
        tokio::task::spawn_local(hear(Rc::clone(self), Rc::clone(seat), ear));
        Ok(())
    }

    /// Buries the seat's warden with its tree, starts another, and tells of the loss.
    async fn bury(self: &Rc<Self>, seat: &Rc<Seat>, warden: Warden, attempt: Option<AttemptId>) {
        let _alone = self.births.lock().await;
        self.living.borrow_mut().remove(&warden.pid());
        let spare: Vec<i32> = self.living.borrow().iter().copied().collect();
        let buried = tokio::task::spawn_blocking(move || warden.bury(&spare, BURIAL)).await;
        let (leftovers, unnamed) = match buried {
            Ok(Ok(swept)) => leftovers(swept),
            Ok(Err(error)) => {
                log::warn!("slot {}: cannot bury its warden: {error}", seat.slot.0);
                (Vec::new(), 0)
            }
            Err(error) => {
                log::warn!("slot {}: the burial of its warden failed: {error}", seat.slot.0);
                (Vec::new(), 0)
            }
        };
        if let Err(error) = self.fill(seat) {
            let what = format!("cannot start a warden for slot {}: {error}", seat.slot.0);
            let _ = self.events.send(Event::Trouble { what }).await;
        }
        if let Some(attempt) = attempt {
            let _ = self.events.send(Event::WardenLost { attempt, leftovers, unnamed }).await;
        }
    }
}

impl Seat {
    fn nudge_if_needed(&self, warden: &Warden) {
        if warden.wants_to_write() {
            self.nudge.notify_one();
        }
    }

    /// The next report, `Ok(None)` when there is none now, `Err` when the warden is lost.
    fn next(&self) -> Result<Option<Report>, String> {
        let mut warden = self.warden.borrow_mut();
        let Some(warden) = warden.as_mut() else { return Err(String::new()) };
        match warden.receive() {
            Ok(Received::Report(report)) => Ok(Some(report)),
            Ok(Received::Closed) => Err("it ended".into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn event(&self, report: Report) -> Option<Event> {
        let attempt = match report {
            Report::Frozen => {
                self.frozen.set(true);
                self.still.notify_one();
                return None;
            }
            Report::Broken(why) => {
                log::error!("slot {}: its warden cannot go on: {why}", self.slot.0);
                return None;
            }
            _ => self.current.get()?,
        };
        Some(match report {
            Report::Spawned { pid } => Event::Spawned { attempt, pid: pid.unsigned_abs() },
            Report::SpawnFailed { shortage, text, .. } => {
                self.current.set(None);
                Event::SpawnFailed { attempt, shortage, why: text }
            }
            Report::Exited { exit, alone } => {
                if alone {
                    self.current.set(None);
                }
                let end = match exit {
                    Exit::Code(code) => AttemptEnd::Exited { code },
                    Exit::Signal(signal) => AttemptEnd::Signalled { signal },
                };
                Event::Exited { attempt, end, alone }
            }
            Report::Swept(swept) => {
                self.current.set(None);
                let (leftovers, unnamed) = leftovers(swept);
                Event::Swept { attempt, leftovers, unnamed }
            }
            Report::Frozen | Report::Broken(_) => return None,
        })
    }
}

/// Hears a warden until it is gone.
async fn hear(house: Rc<House>, seat: Rc<Seat>, ear: AsyncFd<OwnedFd>) {
    let why = loop {
        let mut interest = Interest::READABLE;
        if seat.warden.borrow().as_ref().is_some_and(Warden::wants_to_write) {
            interest = interest.add(Interest::WRITABLE);
        }
        let mut guard = tokio::select! {
            ready = ear.ready(interest) => match ready {
                Ok(guard) => guard,
                Err(error) => break error.to_string(),
            },
            () = seat.nudge.notified() => continue,
        };
        if guard.ready().is_writable()
            && let Some(warden) = seat.warden.borrow_mut().as_mut()
            && let Err(error) = warden.flush()
        {
            break error.to_string();
        }
        match seat.next() {
            Ok(Some(report)) => {
                // The end of the run is the only reason why nobody listens.
                if let Some(event) = seat.event(report)
                    && house.events.send(event).await.is_err()
                {
                    return;
                }
            }
            Ok(None) => guard.clear_ready(),
            Err(why) => break why,
        }
    };
    let lost = seat.warden.borrow_mut().take();
    if let Some(warden) = lost {
        log::warn!("slot {}: lost warden {}: {why}", seat.slot.0, warden.pid());
        drop(ear);
        // What it was about is known now; by the end of the burial the slot may have another attempt.
        let attempt = seat.current.take();
        house.bury(&seat, warden, attempt).await;
    }
}

/// What a sweep found, and how many more than it names.
fn leftovers(swept: Swept) -> (Vec<Leftover>, u32) {
    let named = |l: wf_warden::Leftover, killed| Leftover { pid: l.pid.unsigned_abs(), name: l.name, killed };
    let killed = swept.killed.into_iter().map(|l| named(l, true));
    let all = killed.chain(swept.unkillable.into_iter().map(|l| named(l, false)));
    (all.collect(), swept.unnamed)
}
