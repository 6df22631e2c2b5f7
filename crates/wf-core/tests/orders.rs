//! Orders of events that happen rarely and hurt when they do, one test each, with nothing else in the world.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use wf_core::credentials::{Budget, CallId, CallOutcome, KeySpec, LeaseId, LeaseRequest, Policy, PoolSpec};
use wf_core::{
    AttemptEnd, AttemptId, Bounds, Effect, Event, Item, ItemId, ItemIndex, Kind, Outcome, PlanAction,
    Planned, Record, Saying, StopCause, StopSignal, Supervisor, Time,
};

const FIRST: AttemptId = AttemptId { item: ItemIndex(0), number: 1 };

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn bounds(with_keys: &[&str]) -> Bounds {
    Bounds {
        parallel: 1,
        kind: Kind::Command,
        timeout: None,
        idle_timeout: None,
        run_timeout: None,
        grace: Duration::from_secs(2),
        item_retries: 0,
        tempfail: Vec::new(),
        max_fail: Some(1),
        with_keys: with_keys.iter().map(|p| (*p).to_owned()).collect(),
        seed: 7,
    }
}

/// A run over items `a`, `b`, ... with `keys` keys, each alone in its group.
fn run(bounds: Bounds, items: usize, keys: usize) -> Supervisor {
    let item = |n: usize| Planned {
        item: Item { id: ItemId::new(&"abcdefgh"[n..=n]).unwrap(), timeout: None },
        action: PlanAction::Run,
        detail: String::new(),
    };
    let key = |n: usize| KeySpec {
        name: format!("k{n}"),
        provider: "p".into(),
        quota_group: None,
        max_in_flight: Some(1),
    };
    let keys = (0..keys).map(key).collect();
    let pool = PoolSpec { keys, limits: BTreeMap::new(), ..PoolSpec::default() };
    let policy = Policy {
        max_wait: Duration::from_secs(60),
        max_retries: Some(5),
        lease_time: Duration::from_secs(60),
        budget: Budget::Unlimited,
        seed: 7,
    };
    Supervisor::new(bounds, (0..items).map(item).collect(), pool, policy)
}

/// A run of commands over items `a`, `b`, ... in one slot, its first worker running since 0 ms.
fn running(with_keys: &[&str], items: usize) -> Supervisor {
    begun(run(bounds(with_keys), items, 1))
}

fn begun(mut supervisor: Supervisor) -> Supervisor {
    let _ = supervisor.handle(Event::Begin, at(0));
    for _ in 0..4 {
        if let Some(due) = supervisor.next_deadline().filter(|due| *due == at(0)) {
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
            (300, Event::WardenLost { attempt: FIRST, leftovers: Vec::new(), unnamed: 0 }),
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

#[test]
fn an_attempt_that_got_no_key_never_had_a_process() {
    let mut supervisor = run(bounds(&["nobody"]), 1, 1);
    let effects = play(&mut supervisor, [(0, Event::Begin)]);
    let ends: Vec<&AttemptEnd> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Record(Record::AttemptEnded { end, .. }) => Some(end),
            _ => None,
        })
        .collect();
    let why = "no key of the provider nobody is configured".to_owned();
    assert_eq!(ends, [&AttemptEnd::NotSpawned { why }]);
    assert_eq!((outcome(&effects), finished(&effects)), (Some(Outcome::Failed), Some(1)));

    // Waiting for a key in vain is no failure.
    let two_slots = Bounds { parallel: 2, ..bounds(&["p"]) };
    let mut supervisor = run(two_slots, 2, 1);
    let mut effects = play(&mut supervisor, [(0, Event::Begin)]);
    effects.extend(play(&mut supervisor, [(0, Event::Spawned { attempt: FIRST, pid: 7 })]));
    while outcome(&effects).is_none() {
        let due = supervisor.next_deadline().expect("--max-wait ends it");
        effects.extend(supervisor.handle(Event::Tick, due));
    }
    assert_eq!(outcome(&effects), Some(Outcome::Interrupted));
}

fn sayings(effects: &[Effect]) -> Vec<&Saying> {
    let mut said = Vec::new();
    for effect in effects {
        if let Effect::Say(saying) = effect {
            said.push(saying);
        }
    }
    said
}

#[test]
fn a_first_ctrl_c_during_another_stop_is_answered_and_names_the_exit_code() {
    let bounds = Bounds { run_timeout: Some(Duration::from_secs(1)), ..bounds(&[]) };
    let mut supervisor = begun(run(bounds, 1, 1));
    let effects = play(&mut supervisor, [(1_000, Event::Tick)]);
    assert!(matches!(sayings(&effects)[..], [Saying::Stopping { cause: StopCause::RunTimeout, .. }]));
    let effects = play(&mut supervisor, [(1_500, Event::Signal(StopSignal::Interrupt))]);
    let grace = Duration::from_millis(1_500);
    let (cause, signal) = (StopCause::Operator, Some(StopSignal::Interrupt));
    assert_eq!(sayings(&effects), [&Saying::Stopping { cause, signal, workers: 1, grace }]);
    assert!(!effects.iter().any(|e| matches!(e, Effect::Ask { .. } | Effect::Kill { .. })), "{effects:?}");
    let effects = play(
        &mut supervisor,
        [
            (2_000, Event::Signal(StopSignal::Interrupt)),
            (2_001, killed(true)),
            (2_002, Event::OutputEnded { attempt: FIRST }),
        ],
    );
    assert!(effects.iter().any(|e| matches!(e, Effect::Kill { .. })), "the second one kills");
    assert_eq!(finished(&effects), Some(130), "graver than 124");
}

#[test]
fn a_worker_that_says_its_progress_in_a_loop_fills_no_journal() {
    let mut supervisor = running(&[], 1);
    let progress = |n: u32| Event::Progress { attempt: FIRST, node: "n".into(), iteration: n, share: 1 };
    let effects = play(&mut supervisor, (0..100_000_u32).map(|n| (u64::from(n / 100), progress(n))));
    let records = effects.iter().filter(|e| matches!(e, Effect::Record(_))).count();
    assert!(records <= 1_010, "{records} within a second");
    assert!(matches!(sayings(&effects)[..], [Saying::Chatter { .. }]), "and it is said once");
}

fn acquire(call: u64) -> Event {
    let request = LeaseRequest {
        call: CallId(call),
        provider: "p".into(),
        model: "m".into(),
        tokens: 1,
        share: 0,
        whole_attempt: false,
    };
    Event::Acquire { attempt: FIRST, request }
}

fn release(lease: u64, outcome: CallOutcome) -> Event {
    Event::Release { attempt: FIRST, lease: LeaseId(lease), outcome }
}

/// A run whose only key was refused twice, and its worker asks a third time.
fn with_a_dead_pool() -> (Supervisor, Vec<Effect>) {
    let mut supervisor = running(&[], 2);
    let refused = || CallOutcome::KeyRefused { detail: "revoked".into() };
    let effects = play(
        &mut supervisor,
        [
            (1_000, acquire(1)),
            (1_100, release(1, refused())),
            (1_200, acquire(2)),
            (1_300, release(2, refused())),
            (1_400, acquire(3)),
        ],
    );
    (supervisor, effects)
}

fn is_told_to_stop(effects: &[Effect]) -> bool {
    effects.iter().any(|e| matches!(e, Effect::Ask { .. }))
}

#[test]
fn a_dead_pool_ends_the_run_only_after_the_key_sources_were_read_once_more() {
    let (mut supervisor, effects) = with_a_dead_pool();
    assert_eq!(effects.iter().filter(|e| matches!(e, Effect::ReadKeys)).count(), 1, "{effects:?}");
    assert!(!is_told_to_stop(&effects), "{effects:?}");
    let effects = play(&mut supervisor, [(1_500, Event::KeysRead)]);
    assert!(is_told_to_stop(&effects), "{effects:?}");
    assert!(matches!(sayings(&effects)[..], [Saying::Stopping { cause: StopCause::PoolDead, .. }]));
    let denied = |e: &Effect| matches!(e, Effect::Tell { reply: wf_core::Reply::Denied { .. }, .. });
    assert!(effects.iter().any(denied), "{effects:?}");
    let effects =
        play(&mut supervisor, [(1_600, exit(75, true)), (1_601, Event::OutputEnded { attempt: FIRST })]);
    assert_eq!(finished(&effects), Some(75));
}

#[test]
fn a_key_that_an_operator_brought_in_time_saves_the_run() {
    let (mut supervisor, _) = with_a_dead_pool();
    let spec = KeySpec { name: "k0".into(), provider: "p".into(), quota_group: None, max_in_flight: Some(1) };
    let effects = play(&mut supervisor, [(1_500, Event::KeyChanged(spec)), (1_500, Event::KeysRead)]);
    assert!(!is_told_to_stop(&effects), "{effects:?}");
    let granted = |e: &Effect| matches!(e, Effect::Tell { reply: wf_core::Reply::Granted { .. }, .. });
    assert!(effects.iter().any(granted), "{effects:?}");
    assert_eq!(supervisor.paused(), 0);
}

#[test]
fn key_sources_that_do_not_answer_keep_no_dead_run_alive() {
    let (mut supervisor, _) = with_a_dead_pool();
    let due = supervisor.next_deadline().unwrap();
    assert_eq!(due, at(16_300));
    let effects: Vec<Effect> = supervisor.handle(Event::Tick, due).into_iter().collect();
    assert!(is_told_to_stop(&effects), "{effects:?}");
}

#[test]
fn while_fewer_than_two_keys_are_usable_fewer_workers_are_started() {
    let bounds = Bounds { parallel: 6, kind: Kind::Workflow, max_fail: None, ..bounds(&[]) };
    let mut supervisor = run(bounds, 8, 3);
    let started = |effects: &[Effect]| effects.iter().filter(|e| matches!(e, Effect::Start { .. })).count();
    assert_eq!(started(&play(&mut supervisor, [(0, Event::Begin)])), 6, "all keys are usable");
    let attempt = |n| AttemptId { item: ItemIndex(n), number: 1 };
    let mut lease = 0;
    let mut call = |supervisor: &mut Supervisor, n: u32, ms: u64| {
        lease += 1;
        let request = LeaseRequest {
            call: CallId(lease),
            provider: "p".into(),
            model: "m".into(),
            tokens: 1,
            share: 0,
            whole_attempt: false,
        };
        let retry_after = Some(Duration::from_secs(30));
        let outcome = CallOutcome::Limited {
            dimension: None,
            retry_after,
            limit: None,
            slow_down: false,
            hints: Vec::new(),
        };
        let acquire = Event::Acquire { attempt: attempt(n), request };
        let release = Event::Release { attempt: attempt(n), lease: LeaseId(lease), outcome };
        play(supervisor, [(ms, acquire), (ms, release)])
    };
    for n in 0..6 {
        let _ = supervisor.handle(Event::Spawned { attempt: attempt(n), pid: n }, at(0));
        let _ = supervisor.handle(Event::Connected { attempt: attempt(n) }, at(0));
    }
    call(&mut supervisor, 0, 10);
    call(&mut supervisor, 1, 10);
    let end = |n, ms| {
        let exited = Event::Exited { attempt: attempt(n), end: AttemptEnd::Exited { code: 0 }, alone: true };
        [(ms, exited), (ms, Event::OutputEnded { attempt: attempt(n) })]
    };
    assert_eq!(started(&play(&mut supervisor, end(2, 20))), 0, "one of three keys feeds two of six workers");
    let due = supervisor.next_deadline().expect("it looks again when a key comes back");
    assert!((at(30_010)..=at(33_010)).contains(&due), "{due:?}");
    let effects: Vec<Effect> = supervisor.handle(Event::Tick, due).into_iter().collect();
    assert_eq!(started(&effects), 1, "two keys are usable again");
}

#[test]
fn a_command_that_says_not_now_is_put_off_for_longer_each_time_until_the_longest_wait_is_over() {
    let bounds = Bounds { tempfail: vec![75, 69], ..bounds(&[]) };
    let mut supervisor = begun(run(bounds.clone(), 2, 1));
    let says = |code| AttemptEnd::Exited { code };
    let (mut now, mut waits, mut effects) = (Time::ZERO, Vec::new(), Vec::new());
    let mut attempt = FIRST;
    let second = AttemptId { item: ItemIndex(1), number: 1 };
    while outcome(&effects).is_none() {
        assert!(attempt.number < 10, "{waits:?}");
        effects.extend(supervisor.handle(Event::Exited { attempt, end: says(75), alone: true }, now));
        effects.extend(supervisor.handle(Event::OutputEnded { attempt }, now));
        if attempt == FIRST {
            // The slot is free for others meanwhile.
            let starts = |e: &Effect| matches!(e, Effect::Start { attempt, .. } if *attempt == second);
            assert!(effects.iter().any(starts), "{effects:?}");
            let _ = supervisor.handle(Event::Spawned { attempt: second, pid: 8 }, now);
            let _ = supervisor.handle(Event::Exited { attempt: second, end: says(0), alone: true }, now);
            let _ = supervisor.handle(Event::OutputEnded { attempt: second }, now);
        }
        let said = sayings(&effects).into_iter().rev().find_map(|saying| match saying {
            Saying::PutOff { wait, code: 75, .. } => Some(*wait),
            _ => None,
        });
        if outcome(&effects).is_some() {
            break;
        }
        assert_eq!(supervisor.put_off().0, 1);
        waits.push(said.unwrap());
        let due = supervisor.next_deadline().unwrap();
        assert_eq!(due, now + said.unwrap(), "nothing happens before");
        now = due;
        effects.extend(supervisor.handle(Event::Tick, now));
        attempt.number += 1;
        effects.extend(supervisor.handle(Event::Spawned { attempt, pid: 9 }, now));
        assert_eq!(supervisor.put_off().0, 0);
    }
    assert_eq!(outcome(&effects), Some(Outcome::Interrupted), "--max-wait is a minute here");
    assert_eq!(now, at(60_000), "tried once more at the very end: {waits:?}");
    assert!(waits[0] >= Duration::from_secs(15) && waits[0] <= Duration::from_secs(30), "{waits:?}");
    assert_eq!(finished(&effects), Some(75), "and it is no failure, whatever --max-fail says");

    // Another code is a failure, so is a signal, and an item that is put off when the run is stopped is interrupted.
    let mut supervisor = begun(run(bounds.clone(), 1, 1));
    let effects = play(&mut supervisor, [(0, exit(7, true)), (1, Event::OutputEnded { attempt: FIRST })]);
    assert_eq!(outcome(&effects), Some(Outcome::Failed));
    let mut supervisor = begun(run(bounds, 1, 1));
    let effects = play(
        &mut supervisor,
        [
            (0, exit(69, true)),
            (1, Event::OutputEnded { attempt: FIRST }),
            (500, Event::Signal(StopSignal::Interrupt)),
        ],
    );
    assert_eq!((outcome(&effects), finished(&effects)), (Some(Outcome::Interrupted), Some(130)));
}

#[test]
fn an_end_that_is_there_already_wins_over_a_watchdog() {
    let bounds = Bounds { parallel: 2, timeout: Some(Duration::from_secs(3)), ..bounds(&[]) };
    let second = AttemptId { item: ItemIndex(1), number: 1 };
    let end = |attempt| Event::Exited { attempt, end: AttemptEnd::Exited { code: 0 }, alone: true };
    let both = || {
        let mut supervisor = begun(run(bounds.clone(), 2, 1));
        let _ = play(&mut supervisor, [(0, Event::Spawned { attempt: second, pid: 8 })]);
        supervisor
    };
    // Both ended in time and that is heard when their time is over: one as late as a busy machine is, one after the
    // supervisor alone stood still for seconds.
    for late in [3_200, 4_500] {
        let mut supervisor = both();
        let events = [end(FIRST), Event::Tick, end(second)];
        let effects: Vec<Effect> = supervisor.handle_all(events, at(late)).into_iter().collect();
        assert!(!effects.iter().any(|e| matches!(e, Effect::Ask { .. })), "{late}: {effects:?}");
        assert!(sayings(&effects).is_empty(), "{late}: {effects:?}");
    }
    // Where it takes a moment to be heard after a late awakening, that moment is there.
    let mut supervisor = both();
    let effects = play(&mut supervisor, [(4_500, Event::Tick), (4_700, end(FIRST)), (4_700, end(second))]);
    assert!(!effects.iter().any(|e| matches!(e, Effect::Ask { .. })), "{effects:?}");
    let mut supervisor = both();
    let effects = play(&mut supervisor, [(4_500, Event::Tick), (5_600, Event::Tick)]);
    let asked = effects.iter().filter(|e| matches!(e, Effect::Ask { .. })).count();
    assert_eq!(asked, 2, "but not for ever");
}
