//! Leases: who gets one, who waits, and that each comes back once.

use super::*;

#[test]
fn a_free_key_is_leased_at_once_and_needs_no_timer_but_its_own() {
    let mut desk = Desk::new(exclusive(1));
    assert_eq!(desk.pool.next_deadline(), None);
    let (lease, _) = desk.lease(1);
    assert_eq!(desk.pool.next_deadline(), Some(Time::ZERO + secs(600)));
    assert_eq!(desk.pool.condition(desk.now), Condition::Exhausted);
    assert_eq!(desk.give_back(1, lease, &OK), []);
    assert_eq!(desk.pool.next_deadline(), None);
    assert_eq!(desk.pool.condition(desk.now), Condition::Usable);
}

#[test]
fn when_all_keys_are_reserved_calls_wait_and_people_hear_of_it_once() {
    let mut desk = Desk::new(exclusive(2));
    let (first, _) = desk.lease(1);
    let (second, _) = desk.lease(2);
    let out = desk.ask(3);
    assert_eq!(notices(&out), [&Notice::Exhausted { provider: None, keys: 2, waiting: 1 }]);
    assert_eq!(waits(&out), [(3, WaitReason::AllReserved)]);
    assert!(desk.pool.waiting(attempt(3)) && !desk.pool.waiting(attempt(1)));
    assert_eq!(waits(&desk.ask(4)), [(4, WaitReason::AllReserved)]);

    let out = desk.give_back(1, first, &OK);
    let [(3, third, _)] = grants(&out)[..] else { panic!("{out:?}") };
    assert_eq!(out.len(), 1, "the other waits on for the same reason: {out:?}");
    assert!(!desk.pool.waiting(attempt(3)));
    assert_eq!(grants(&desk.give_back(2, second, &OK)).len(), 1);
    desk.give_back(3, third, &OK);

    // A minute without anybody waiting ends the episode.
    desk.wait(secs(30));
    desk.lease(5);
    assert_eq!(notices(&desk.ask(6)).len(), 0, "the same episode");
    desk.forget(6);
    desk.wait(secs(61));
    assert_eq!(notices(&desk.ask(7)).len(), 1, "another one");
}

#[test]
fn a_lease_returns_once_and_only_from_its_owner() {
    let mut desk = Desk::new(exclusive(1));
    let (lease, _) = desk.lease(1);
    let mut out = Vec::new();
    let now = desk.now;
    assert_eq!(desk.pool.release(attempt(2), lease, &OK, now, &mut out), Release::Foreign);
    assert_eq!(desk.pool.release(attempt(1), LeaseId(99), &OK, now, &mut out), Release::NotOut);
    assert_eq!(out, []);
    desk.give_back(1, lease, &OK);
    assert_eq!(desk.pool.release(attempt(1), lease, &OK, now, &mut out), Release::NotOut);
    assert_eq!(out, []);
    assert_eq!(desk.pool.leases_out(), 0);
}

#[test]
fn a_lease_is_taken_back_at_its_deadline_and_a_late_return_changes_nothing() {
    let mut desk = Desk::new(exclusive(1));
    let (lease, _) = desk.lease(1);
    desk.ask(2);
    let out = desk.sleep();
    assert_eq!(desk.now, Time::ZERO + secs(600));
    assert!(matches!(out[0], Decision::Returned { outcome: "abandoned", .. }), "{out:?}");
    assert_eq!(grants(&out).len(), 1, "the other is served: {out:?}");
    let mut out = Vec::new();
    assert_eq!(desk.pool.release(attempt(1), lease, &OK, desk.now, &mut out), Release::NotOut);
    assert_eq!(desk.pool.leases_out(), 1);
}

#[test]
fn an_attempt_that_is_over_leaves_nothing_behind() {
    let mut desk = Desk::new(exclusive(1));
    desk.lease(1);
    desk.ask(2);
    desk.ask(3);
    assert_eq!(desk.forget(2), []);
    let out = desk.forget(1);
    assert!(matches!(out[0], Decision::Returned { outcome: "abandoned", .. }), "{out:?}");
    assert_eq!(grants(&out).iter().map(|g| g.0).collect::<Vec<_>>(), [3]);
    desk.forget(3);
    assert_eq!((desk.pool.leases_out(), desk.pool.waiting_calls(), desk.pool.next_deadline()), (0, 0, None));
}

#[test]
fn out_of_step_requests_change_nothing() {
    let mut desk = Desk::new(exclusive(1));
    desk.lease(1);
    desk.ask(2);
    let mut out = Vec::new();
    assert_eq!(desk.pool.request(attempt(1), wish(1), desk.now, &mut out), Asked::AlreadyLeased);
    assert_eq!(desk.pool.request(attempt(2), wish(1), desk.now, &mut out), Asked::AlreadyWaiting);
    for call in 2..=u64::from(MAX_OPEN_CALLS) {
        assert_eq!(desk.pool.request(attempt(2), wish(call), desk.now, &mut out), Asked::Accepted);
    }
    out.clear();
    assert_eq!(desk.pool.request(attempt(2), wish(99), desk.now, &mut out), Asked::TooMany);
    assert_eq!(out, []);
}

#[test]
fn an_unknown_provider_is_denied_at_once() {
    let mut desk = Desk::new(exclusive(1));
    let out = desk.ask_for(1, LeaseRequest { provider: "anthropic".into(), ..wish(1) });
    assert_eq!(denials(&out), [(1, &DenyCause::NoSuchProvider("anthropic".into()))]);
    assert!(!desk.pool.is_dead());
}

#[test]
fn the_least_progress_goes_first_and_repetitions_before_all() {
    let mut desk = Desk::new(exclusive(1));
    let (lease, _) = desk.lease(1);
    for (item, share) in [(2, 900), (3, 100), (4, 500)] {
        desk.ask_for(item, LeaseRequest { share, ..wish(1) });
    }
    let out = desk.give_back(1, lease, &TRANSIENT);
    let [(3, lease, _)] = grants(&out)[..] else { panic!("{out:?}") };
    desk.ask_for(1, LeaseRequest { share: 1000, ..wish(1) });
    desk.wait(secs(21));
    let out = desk.give_back(3, lease, &OK);
    let [(1, lease, _)] = grants(&out)[..] else { panic!("{out:?}") };
    let out = desk.give_back(1, lease, &OK);
    assert_eq!(grants(&out)[0].0, 4);
}

#[test]
fn patience_ends_and_asking_again_does_not_renew_it() {
    let mut desk = Desk::with(exclusive(1), Policy { max_wait: secs(60), ..policy() });
    desk.lease(1);
    desk.ask(2);
    let out = desk.sleep();
    assert_eq!((desk.now, denials(&out)), (Time::ZERO + secs(60), vec![(2, &DenyCause::MaxWait)]));
    assert_eq!(denials(&desk.ask(2)), [(2, &DenyCause::MaxWait)]);
    assert!(!desk.pool.waiting(attempt(2)));
}

#[test]
fn who_can_be_served_at_the_end_of_his_patience_is_served() {
    let mut desk = Desk::with(exclusive(1), Policy { max_wait: secs(60), lease_time: secs(60), ..policy() });
    desk.lease(1);
    desk.ask(2);
    let out = desk.sleep();
    assert_eq!((grants(&out).len(), denials(&out).len()), (1, 0));
}

#[test]
fn waits_of_one_call_add_up() {
    let mut desk = Desk::with(exclusive(1), Policy { max_wait: secs(60), ..policy() });
    let (first, _) = desk.lease(1);
    desk.ask(2);
    desk.wait(secs(50));
    let out = desk.give_back(1, first, &OK);
    let [(2, second, _)] = grants(&out)[..] else { panic!("{out:?}") };
    desk.give_back(2, second, &limited(Some(30)));
    // Ten seconds of its patience are left, and the block is longer: nobody waits for that in vain.
    let out = desk.ask(2);
    let [(2, DenyCause::Beyond { wait, max_wait })] = denials(&out)[..] else { panic!("{out:?}") };
    assert!(*wait >= secs(30) && *max_wait == secs(60), "{out:?}");
    assert!(denials(&out)[0].1.to_string().contains("--max-wait is 1m"));
}

#[test]
fn the_budget_refuses_the_call_that_would_cross_it() {
    let mut desk = Desk::with(exclusive(2), Policy { budget: Budget::Tokens(250), ..policy() });
    let (first, _) = desk.lease(1);
    let (second, _) = desk.lease(2);
    assert_eq!(waits(&desk.ask(3)).len(), 1, "perhaps the others use less than they reserved");
    let full = CallOutcome::Ok { tokens_in: 60, tokens_out: 40, hints: Vec::new() };
    assert_eq!(denials(&desk.give_back(1, first, &full)), []);
    assert_eq!(denials(&desk.give_back(2, second, &full)), [(3, &DenyCause::Budget)]);
    assert_eq!(one_grant(&desk.ask_for(4, LeaseRequest { tokens: 50, ..wish(1) })).map(|g| g.1.0), Some(0));
}

#[test]
fn a_command_may_hold_a_key_for_its_whole_attempt() {
    let mut desk = Desk::new(exclusive(1));
    let whole = LeaseRequest { whole_attempt: true, ..wish(0) };
    let out = desk.ask_for(1, whole.clone());
    assert!(matches!(out[..], [Decision::Granted { expires: Time::NEVER, .. }]), "{out:?}");
    assert_eq!(desk.pool.next_deadline(), None, "it has no deadline");
    assert_eq!(waits(&desk.ask_for(2, whole)), [(2, WaitReason::AllReserved)]);
    assert_eq!(grants(&desk.forget(1)).len(), 1);
}

#[test]
fn five_hundred_waiters_are_served_in_order_and_told_once() {
    let mut desk = Desk::new(exclusive(4));
    let mut out: Vec<Decision> = (0..500).flat_map(|item| desk.ask(item)).collect();
    assert_eq!((grants(&out).len(), waits(&out).len(), notices(&out).len()), (4, 496, 1));
    let mut open = grants(&out);
    let mut served = Vec::new();
    while let Some((item, lease, _)) = open.pop() {
        served.push(item);
        out = desk.give_back(item, lease, &OK);
        assert!(out.len() <= 1, "{out:?}");
        open.extend(grants(&out));
    }
    served.sort_unstable();
    assert_eq!(served, (0..500).collect::<Vec<_>>());
}
