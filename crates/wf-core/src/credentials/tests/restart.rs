//! What one run leaves to the next.

use super::*;

fn again(desk: &Desk, spec: PoolSpec, later: Duration) -> Desk {
    let kept = serde_json::to_string(&desk.pool.snapshot(desk.now)).expect("plain values");
    let kept: PoolSnapshot = serde_json::from_str(&kept).expect("as written");
    let mut next = Desk::new(spec);
    next.pool.restore(&kept.aged(later), Time::ZERO);
    next
}

#[test]
fn blocks_outlive_a_run_and_go_on_ending() {
    let mut desk = Desk::new(exclusive(1));
    desk.call(1, &limited(Some(100)));
    let until = desk.pool.status(desk.now)[0].until.expect("blocked");
    let mut next = again(&desk, exclusive(1), secs(40));
    assert_eq!(waits(&next.ask(1)), [(1, WaitReason::RateLimited)]);
    next.sleep();
    assert_eq!(next.now + secs(40), until);
    let mut much_later = again(&desk, exclusive(1), secs(4_000));
    assert!(one_grant(&much_later.ask(1)).is_some());
}

#[test]
fn a_quarantined_key_is_not_rediscovered() {
    let mut desk = Desk::new(exclusive(2));
    let (bad, _) = desk.call(1, &key_refused());
    desk.call(1, &OK);
    let mut next = again(&desk, exclusive(2), secs(10));
    assert_eq!(next.pool.status(next.now)[usize::from(bad.0)].state, KeyState::Quarantined);
    for item in 0..4 {
        assert_ne!(next.call(item, &OK).0, bad);
    }
    let gone = again(&desk, PoolSpec::default(), secs(10));
    assert_eq!(gone.pool.total_keys(), 0, "what is no longer configured is skipped");
}

#[test]
fn a_run_that_would_begin_dead_tries_each_key_once() {
    let mut desk = Desk::new(exclusive(1));
    desk.call(1, &key_refused());
    desk.call(2, &key_refused());
    assert!(desk.pool.is_dead());
    let mut next = again(&desk, exclusive(1), secs(10));
    assert!(!next.pool.is_dead());
    let (lease, _) = next.lease(1);
    assert_eq!(waits(&next.ask(2)).len(), 1, "one probe");
    let out = next.give_back(1, lease, &key_refused());
    assert!(next.pool.is_dead());
    assert!(matches!(denials(&out)[..], [(2, DenyCause::PoolDead(_))]), "{out:?}");
    let mut next = again(&desk, exclusive(1), secs(10));
    next.call(1, &OK);
    assert_eq!(next.pool.usable_keys(next.now), 1, "the operator had it enabled again");
}

#[test]
fn credit_that_came_back_is_found_by_the_next_run() {
    let mut desk = Desk::new(exclusive(1));
    desk.call(1, &CallOutcome::Billing { detail: "no credit".into() });
    assert!(desk.pool.is_dead());
    let mut next = again(&desk, exclusive(1), secs(10));
    next.call(1, &OK);
    assert_eq!(next.pool.status(next.now)[0].state, KeyState::Available);
}

#[test]
fn the_days_count_goes_on_and_ends_at_midnight() {
    let spec = || limits("g", QuotaLimits { rpd: Some(3), ..QuotaLimits::default() });
    let mut desk = Desk::new(spec());
    desk.call(1, &OK);
    desk.call(2, &OK);
    let mut next = again(&desk, spec(), secs(3600));
    next.call(1, &OK);
    assert_eq!(waits(&next.ask(2)), [(2, WaitReason::RateLimited)]);
    next.sleep();
    assert_eq!(next.now, Time::ZERO + secs(23 * 3600));
    let mut tomorrow = again(&desk, spec(), secs(25 * 3600));
    for item in 0..3 {
        tomorrow.call(item, &OK);
    }
}

#[test]
fn a_restart_causes_no_burst() {
    let spec = || limits("g", QuotaLimits { rpm: Some(30), tpm: Some(6_000), ..QuotaLimits::default() });
    let mut desk = Desk::new(spec());
    for run in 0..20 {
        // Each run ends after its first call; only the wall clock goes on.
        desk = again(&desk, spec(), secs(0));
        desk.ask(1);
        while desk.pool.waiting(attempt(1)) {
            desk.sleep();
        }
        assert!(desk.now.since_start() >= secs(2), "run {run} began with a burst");
    }
}
