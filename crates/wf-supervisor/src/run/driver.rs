//! The loop: waits for what happens, asks the core what to do, does it.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use wf_core::{Event, Supervisor};

use super::capture::CaptureEvent;
use super::clock::Clock;
use super::hands::Hands;
use super::key_watch::KeyWatch;
use super::signals::Signals;

/// Events taken in one turn: their records go to the journal in one write.
const TURN: usize = 64;
/// Before a deadline is acted on, everybody who listens has a turn; then who heard something through another, and so on.
const HEARING: usize = 3;

/// Runs until the core says that it is over. Answers with the exit code.
pub async fn drive(
    mut supervisor: Supervisor,
    mut events: mpsc::Receiver<Event>,
    mut captured: mpsc::Receiver<CaptureEvent>,
    signals: &mut Signals,
    hands: &mut Hands,
    clock: Clock,
) -> (u8, Supervisor) {
    hands.open_pool(&supervisor);
    let mut keys = KeyWatch::new(hands.births());
    let interval = hands.progress_interval();
    let mut next_look = interval.map(|i| Instant::now() + i);
    let mut turn = VecDeque::from([Event::Begin]);
    loop {
        let mut effects = Vec::new();
        if !turn.is_empty() {
            for event in &turn {
                hands.note(event);
            }
            effects.extend(supervisor.handle_all(turn.drain(..), clock.now()));
        }
        let done = hands.carry_out(effects, &supervisor);
        if let Some(exit) = done.exit {
            keys.finish().await;
            // The core is done; trouble with its last wishes still decides.
            return (hands.last_trouble(&done.follow_ups).unwrap_or(exit), supervisor);
        }
        turn.extend(done.follow_ups);
        if done.read_keys {
            keys.read_now();
        }
        if done.suspend {
            hands.suspend(signals).await;
            turn.push_back(Event::Continue);
        }
        if !turn.is_empty() {
            continue;
        }
        keys.follow(supervisor.paused() > 0, hands.misses_a_key());
        let pool_due = hands.pool_due();
        let show = async {
            match pool_due {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let look = async {
            match next_look {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            biased;
            event = signals.next() => event,
            Some(event) = events.recv() => event,
            Some(told) = captured.recv() => hands.heard(told),
            (ring, changes) = keys.next(hands.ring()) => {
                turn.extend(hands.take_keys(ring, &changes, &supervisor));
                turn.extend(keys.was_asked_for().then_some(Event::KeysRead));
                continue;
            }
            () = clock.until(supervisor.next_deadline()) => Event::Tick,
            () = show => {
                turn.extend(hands.show_pool(&supervisor));
                continue;
            }
            () = look => {
                next_look = interval.map(|i| Instant::now() + i);
                hands.look(&supervisor);
                continue;
            }
            // Nothing else has happened yet: most workers ask for the next lease right after they returned one.
            () = yield_now(), if hands.holds_records() => {
                turn.extend(hands.write_held(&supervisor));
                continue;
            }
        };
        if matches!(event, Event::Tick) {
            // A deadline and an end may have come together: what can be heard now is heard first.
            for _ in 0..HEARING {
                yield_now().await;
            }
        }
        turn.push_back(event);
        while turn.len() < TURN {
            let next = events.try_recv().or_else(|_| captured.try_recv().map(|told| hands.heard(told)));
            let Ok(event) = next else { break };
            turn.push_back(event);
        }
    }
}
