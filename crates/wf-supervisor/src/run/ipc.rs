//! The local socket: who may connect, what they say, what they are told.
//!
//! A connection is nobody until its hello named a token that is registered, unused and, for the built-in worker, comes
//! from that worker's own process. Whatever is wrong with one connection is logged and closes that one.

mod connection;
mod strangers;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use interprocess::local_socket::ListenerOptions;
use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::StreamCommon as _;
use interprocess::local_socket::traits::tokio::Listener as _;
use tokio::sync::{Notify, mpsc, oneshot};
use wf_core::{AttemptId, Event};
use wf_protocol::limits::HELLO_TIMEOUT;
use wf_protocol::{
    Intake, Refusal, RefusalCode, Secret, ToSupervisor, ToWorker, VERSION, encode, socket_name,
};

use self::connection::Connection;
use self::strangers::Strangers;
use super::translate;

/// Messages that wait for a worker to read them, at most; a worker that does not read is cut off.
const UNREAD: usize = 64;

/// The socket and everybody who may speak on it.
#[derive(Debug)]
pub struct Ipc {
    path: PathBuf,
    desk: Rc<Desk>,
}

/// What connections need to know.
#[derive(Debug)]
struct Desk {
    /// As many as there are running attempts: a look-up by token may walk them.
    tickets: RefCell<HashMap<AttemptId, Ticket>>,
    lines: RefCell<HashMap<AttemptId, Line>>,
    /// Connections that have not said hello yet.
    strangers: RefCell<Strangers>,
    /// A process id became known, or a ticket was revoked.
    news: Notify,
    events: mpsc::Sender<Event>,
}

impl Desk {
    /// Says why a connection was closed, once for an episode.
    fn closed(&self, pid: Option<u32>, why: &str) {
        if self.strangers.borrow_mut().is_news(pid, why, Instant::now()) {
            log::warn!("{why}");
        } else {
            log::debug!("{why}");
        }
    }
}

/// The way to a connected worker. Dropping it ends the connection, whatever the worker does or does not read.
#[derive(Debug)]
struct Line {
    messages: mpsc::Sender<ToWorker>,
    _alive: oneshot::Sender<()>,
}

/// An attempt's right to one connection.
#[derive(Debug)]
struct Ticket {
    token: Secret,
    job: String,
    used: bool,
    /// Whether only the attempt's own process may use it.
    own_process_only: bool,
    pid: Option<u32>,
}

impl Ipc {
    /// Listens on `path`, a name of at most 100 bytes in a directory that only this user can enter.
    pub fn listen(path: &Path, events: mpsc::Sender<Event>) -> io::Result<Ipc> {
        let name = socket_name(path).map_err(io::Error::other)?;
        let listener = ListenerOptions::new().name(name).create_tokio()?;
        let desk = Rc::new(Desk {
            tickets: RefCell::default(),
            lines: RefCell::default(),
            strangers: RefCell::default(),
            news: Notify::new(),
            events,
        });
        tokio::task::spawn_local(accept(listener, Rc::clone(&desk)));
        Ok(Ipc { path: path.to_owned(), desk })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives an attempt its token: 128 random bits, good for one connection, dead with the attempt.
    pub fn register(&self, attempt: AttemptId, job: String, own_process_only: bool) -> io::Result<Secret> {
        let mut bits = [0u8; 16];
        getrandom::fill(&mut bits).map_err(io::Error::other)?;
        let token = Secret::from(format!("{:032x}", u128::from_ne_bytes(bits)));
        let ticket = Ticket { token: token.clone(), job, used: false, own_process_only, pid: None };
        self.desk.tickets.borrow_mut().insert(attempt, ticket);
        Ok(token)
    }

    /// Notes the process id of an attempt, against which a hello may have to be checked.
    pub fn set_pid(&self, attempt: AttemptId, pid: u32) {
        if let Some(ticket) = self.desk.tickets.borrow_mut().get_mut(&attempt) {
            ticket.pid = Some(pid);
        }
        self.desk.news.notify_waiters();
    }

    /// Sends a message to an attempt's worker; `false` when there is no connection. A worker that lets its messages pile up
    /// is cut off.
    pub fn tell(&self, attempt: AttemptId, message: ToWorker) -> bool {
        let mut lines = self.desk.lines.borrow_mut();
        let Some(line) = lines.get(&attempt) else { return false };
        let is_sent = line.messages.try_send(message).is_ok();
        if !is_sent {
            lines.remove(&attempt);
        }
        is_sent
    }

    /// The attempt is over: its token is worth nothing any more and its connection is closed.
    pub fn revoke(&self, attempt: AttemptId) {
        self.desk.tickets.borrow_mut().remove(&attempt);
        self.desk.lines.borrow_mut().remove(&attempt);
        self.desk.news.notify_waiters();
    }
}

async fn accept(listener: Listener, desk: Rc<Desk>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                tokio::task::spawn_local(serve(stream, Rc::clone(&desk)));
            }
            // Out of descriptors, or the peer is gone already: the next connection is another matter.
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: Stream, desk: Rc<Desk>) {
    let peer = match stream.peer_creds() {
        Ok(peer) => peer,
        Err(error) => return log::warn!("closed a connection of unknown origin: {error}"),
    };
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
    let shown = pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    if peer.euid() != Some(nix::unistd::geteuid().as_raw()) {
        return desk.closed(pid, &format!("closed a connection of another user's process {shown}"));
    }
    let stream = match Connection::new(stream) {
        Ok(stream) => stream,
        Err(error) => return desk.closed(pid, &format!("closed the connection of process {shown}: {error}")),
    };
    let mut intake = Intake::new();
    let (number, shown_out) = desk.strangers.borrow_mut().enter(pid);
    let late = |detail| Err(Refusal { code: RefusalCode::Malformed, detail });
    let greeting = tokio::select! {
        greeting = tokio::time::timeout(HELLO_TIMEOUT, greet(&stream, &mut intake, &desk, pid)) => greeting
            .unwrap_or_else(|_| late(format!("no hello within {} s", HELLO_TIMEOUT.as_secs()))),
        _ = shown_out => late("silent, and too many others wait to say hello".to_owned()),
    };
    desk.strangers.borrow_mut().leave(number);
    let result = match greeting {
        Ok(None) => Ok(()),
        Ok(Some((attempt, job))) => attend(&stream, intake, &desk, attempt, job).await,
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = result {
        desk.closed(pid, &format!("closed the connection of process {shown}: {}", refusal.detail));
        if let Ok(frame) = encode(&refusal.message()) {
            // Whoever sends nonsense may well not read either.
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&frame)).await;
        }
    }
}

/// Reads the hello and finds out whose connection this is. `None`: it was closed before it said anything.
async fn greet(
    stream: &Connection,
    intake: &mut Intake,
    desk: &Desk,
    pid: Option<u32>,
) -> Result<Option<(AttemptId, String)>, Refusal> {
    let token = loop {
        match intake.next()? {
            Some(ToSupervisor::Hello { token, .. }) => break token,
            Some(_) => return Err(Refusal::token()),
            None if fill(stream, intake).await => {}
            None => {
                note_end(intake);
                return Ok(None);
            }
        }
    };
    loop {
        // Whoever waits for news must be registered for them before looking.
        let news = desk.news.notified();
        {
            let mut tickets = desk.tickets.borrow_mut();
            let found = tickets.iter_mut().find(|(_, t)| t.token == token && !t.used);
            let (attempt, ticket) = found.ok_or_else(Refusal::token)?;
            // The process id is told by the warden, on another descriptor: it may come after the hello.
            if !ticket.own_process_only || ticket.pid.is_some() {
                if ticket.own_process_only && ticket.pid != pid {
                    return Err(Refusal::token());
                }
                ticket.used = true;
                intake.accept();
                return Ok(Some((*attempt, std::mem::take(&mut ticket.job))));
            }
        }
        news.await;
    }
}

/// Serves a worker whose hello was good, until its connection ends or its attempt does.
async fn attend(
    stream: &Connection,
    intake: Intake,
    desk: &Desk,
    attempt: AttemptId,
    job: String,
) -> Result<(), Refusal> {
    // Before there is a line on which anything else could be said: the welcome is the first message, whatever came along
    // with the hello.
    if !welcome(stream, job).await {
        return Ok(());
    }
    let (messages, unread) = mpsc::channel(UNREAD);
    let (alive, cut) = oneshot::channel();
    desk.lines.borrow_mut().insert(attempt, Line { messages, _alive: alive });
    // A send fails only when the run is over, and with it everything here.
    let _ = desk.events.send(Event::Connected { attempt }).await;
    let result = tokio::select! {
        result = listen(stream, intake, attempt, desk) => result,
        () = speak(stream, unread) => Ok(()),
        _ = cut => Ok(()),
    };
    desk.lines.borrow_mut().remove(&attempt);
    let _ = desk.events.send(Event::Disconnected { attempt }).await;
    result
}

/// Answers the hello; `false` when the worker is gone or does not read.
async fn welcome(stream: &Connection, job: String) -> bool {
    let Ok(frame) = encode(&ToWorker::Welcome { version: VERSION, job }) else {
        log::error!("a job does not fit into a frame");
        return false;
    };
    matches!(tokio::time::timeout(HELLO_TIMEOUT, stream.write_all(&frame)).await, Ok(Ok(())))
}

/// Takes in messages until the connection ends.
async fn listen(
    stream: &Connection,
    mut intake: Intake,
    attempt: AttemptId,
    desk: &Desk,
) -> Result<(), Refusal> {
    loop {
        while let Some(message) = intake.next()? {
            let Some(event) = translate::event(attempt, message) else { continue };
            if desk.events.send(event).await.is_err() {
                return Ok(());
            }
        }
        if !fill(stream, &mut intake).await {
            note_end(&intake);
            return Ok(());
        }
    }
}

/// A peer that ends inside a frame is gone: there is nobody to tell but the log.
fn note_end(intake: &Intake) {
    if let Err(refusal) = intake.finish() {
        log::warn!("a connection ended in the middle: {}", refusal.detail);
    }
}

/// Sends messages as they come until the attempt is over or the worker is gone.
async fn speak(stream: &Connection, mut unread: mpsc::Receiver<ToWorker>) {
    while let Some(message) = unread.recv().await {
        let Ok(frame) = encode(&message) else {
            log::error!("a message to a worker does not fit into a frame");
            return;
        };
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// Reads some bytes; `false` at the end of the connection.
async fn fill(stream: &Connection, intake: &mut Intake) -> bool {
    let mut bytes = [0u8; 4096];
    match stream.read(&mut bytes).await {
        Ok(0) | Err(_) => false,
        Ok(n) => {
            intake.push(&bytes[..n]);
            true
        }
    }
}
