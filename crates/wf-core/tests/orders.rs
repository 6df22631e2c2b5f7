//! Orders of events that happen rarely and hurt when they do, one test each, with nothing else in the world.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use wf_core::credentials::{Budget, KeySpec, Policy, PoolSpec};
use wf_core::{
    AttemptEnd, AttemptId, Bounds, Effect, Event, Item, ItemId, ItemIndex, Kind, Outcome, PlanAction,
    Planned, Record, StopSignal, Supervisor, Time,
};

const FIRST: AttemptId = AttemptId { item: ItemIndex(0), number: 1 };

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

/// A run of commands over items `a`, `b`, ... in one slot, its first worker running since 0 ms.
fn running(with_keys: &[&str], items: usize) -> Supervisor {
    let bounds = Bounds {
        parallel: 1,
        kind: Kind::Command,
        timeout: None,
        idle_timeout: None,
        run_timeout: None,
        grace: Duration::from_secs(2),
        item_retries: 0,
        max_fail: Some(1),
        with_keys: with_keys.iter().map(|p| (*p).to_owned()).collect(),
        seed: 7,
    };
    let item = |n: usize| Planned {
        item: Item { id: ItemId::new(&"abc"[n..=n]).unwrap(), timeout: None },
        action: PlanAction::Run,
        detail: String::new(),
    };
    let key = KeySpec { name: "k".into(), provider: "p".into(), quota_group: None, max_in_flight: Some(1) };
    let pool = PoolSpec { keys: vec![key], limits: BTreeMap::new(), ..PoolSpec::default() };
    let policy = Policy {
        max_wait: Duration::from_secs(60),
        max_retries: 5,
        lease_time: Duration::from_secs(60),
        budget: Budget::Unlimited,
        seed: 7,
    };
    let mut supervisor = Supervisor::new(bounds, (0..items).map(item).collect(), pool, policy);
    let _ = supervisor.handle(Event::Begin, at(0));
    for _ in 0..4 {
        if let Some(due) = supervisor.next_deadline() {
            let _ = supervisor.handle(Event::Tick, due);
        }
    }
    let _ = supervisor.handle(Event::Spawned { attempt: FIRST, pid: 7 }, at(0));
    supervisor
}

/// Hands the events over and answers with all effects.
fn play(supervisor: &mut Supervisor, events: impl IntoIterator<Item = (u64, Event)>) -> Vec<Effect> {
    events.into_iter().flat_map(|(ms, event)| supervisor.handle(event, at(ms))).collect()
}

fn exit(code: u8, alone: bool) -> Event {
    Event::Exited { attempt: FIRST, end: AttemptEnd::Exited { code }, alone }
}

fn killed(alone: bool) -> Event {
    Event::Exited { attempt: FIRST, end: AttemptEnd::Signalled { signal: 9 }, alone }
}

fn outcome(effects: &[Effect]) -> Option<Outcome> {
    effects.iter().find_map(|effect| match effect {
        Effect::Record(Record::ItemEnded { outcome, .. }) => Some(*outcome),
        _ => None,
    })
}

fn finished(effects: &[Effect]) -> Option<u8> {
    effects.iter().find_map(|effect| match effect {
        Effect::Finish { exit } => Some(*exit),
        _ => None,
    })
}

#[test]
fn a_second_signal_between_the_kill_and_the_news_of_it_does_not_wait_for_a_sweep() {
    let mut supervisor = running(&[], 1);
    let effects = play(
        &mut supervisor,
        [
            (100, Event::Signal(StopSignal::Interrupt)),
            (2_100, Event::Tick),
            (2_101, Event::Signal(StopSignal::Interrupt)),
            (2_102, killed(true)),
            (2_103, Event::OutputEnded { attempt: FIRST }),
        ],
    );
    assert!(effects.iter().any(|e| matches!(e, Effect::Kill { .. })));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Sweep { .. })), "nothing would answer it");
    assert_eq!(finished(&effects), Some(130));
}

#[test]
fn the_end_of_a_worker_counts_although_its_sweep_was_ordered_in_the_same_moment() {
    // Killed, and not gone within the bound: swept. The news of its end crosses the order.
    let mut supervisor = running(&[], 1);
    let effects = play(
        &mut supervisor,
        [
            (100, Event::Signal(StopSignal::Interrupt)),
            (2_100, Event::Tick),
            (7_100, Event::Tick),
            (7_101, killed(true)),
            (7_102, Event::OutputEnded { attempt: FIRST }),
        ],
    );
    assert!(effects.iter().any(|e| matches!(e, Effect::Sweep { .. })));
    assert_eq!(finished(&effects), Some(130));
}

#[test]
fn suspension_moves_no_deadline_that_was_set_after_it() {
    let mut supervisor = running(&[], 1);
    let _ = play(
        &mut supervisor,
        [(1_000, Event::Suspend), (21_000, Event::Signal(StopSignal::Terminate)), (21_000, Event::Continue)],
    );
    assert_eq!(supervisor.next_deadline(), Some(at(23_000)), "the grace period, from the signal on");
}

#[test]
fn a_command_that_exits_with_0_because_it_was_asked_to_is_not_done() {
    let mut supervisor = running(&[], 1);
    let effects = play(
        &mut supervisor,
        [
            (100, Event::Signal(StopSignal::Interrupt)),
            (200, exit(0, true)),
            (201, Event::OutputEnded { attempt: FIRST }),
        ],
    );
    assert_eq!(outcome(&effects), Some(Outcome::Interrupted));
}

#[test]
fn a_connection_that_ends_takes_no_key_of_the_whole_attempt() {
    let mut supervisor = running(&["p"], 2);
    let returned = |effects: &[Effect]| {
        effects.iter().any(|e| matches!(e, Effect::Record(Record::LeaseReturned { .. })))
    };
    let effects = play(
        &mut supervisor,
        [(100, Event::Connected { attempt: FIRST }), (200, Event::Disconnected { attempt: FIRST })],
    );
    assert!(!returned(&effects), "{effects:?}");
    let effects = play(&mut supervisor, [(300, exit(0, true))]);
    assert!(returned(&effects), "{effects:?}");
}

#[test]
fn a_worker_whose_connection_is_gone_is_asked_by_a_signal() {
    let mut supervisor = running(&[], 1);
    let effects = play(
        &mut supervisor,
        [
            (100, Event::Connected { attempt: FIRST }),
            (200, Event::Disconnected { attempt: FIRST }),
            (300, Event::Signal(StopSignal::Terminate)),
        ],
    );
    assert!(effects.iter().any(|e| matches!(e, Effect::Ask { connected: false, .. })), "{effects:?}");
}

#[test]
fn news_of_a_lost_warden_concern_only_the_attempt_it_held() {
    let mut supervisor = running(&[], 2);
    let _ = play(&mut supervisor, [(100, exit(0, true)), (101, Event::OutputEnded { attempt: FIRST })]);
    let second = AttemptId { item: ItemIndex(1), number: 1 };
    let effects = play(
        &mut supervisor,
        [
            (200, Event::Spawned { attempt: second, pid: 8 }),
            (300, Event::WardenLost { attempt: FIRST, leftovers: Vec::new() }),
        ],
    );
    assert_eq!(outcome(&effects), None);
    assert_eq!(supervisor.workers(), 1);
}

#[test]
fn a_start_that_finds_the_machine_short_costs_no_attempt_and_has_a_number_of_its_own() {
    let mut supervisor = running(&[], 2);
    let _ = play(&mut supervisor, [(100, exit(0, true)), (101, Event::OutputEnded { attempt: FIRST })]);
    let second = |number| AttemptId { item: ItemIndex(1), number };
    let failed = Event::SpawnFailed { attempt: second(1), shortage: true, why: "no processes".into() };
    let _ = play(&mut supervisor, [(200, failed)]);
    let due = supervisor.next_deadline().unwrap();
    let effects: Vec<Effect> = supervisor.handle(Event::Tick, due).into_iter().collect();
    let is_second = |e: &Effect| matches!(e, Effect::Start { attempt, .. } if *attempt == second(2));
    assert!(effects.iter().any(is_second), "{effects:?}");
}
