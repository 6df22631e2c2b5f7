//! Refusals that are no quota's: what each does to its call, its key, its group and its provider.

use super::*;

/// One row of "Bounded retries": the refusal, how often the call is repeated, and the cause it ends with.
/// Asks for item 1 and gives each lease back with this outcome until the call is denied: how often that was, and why.
fn until_denied(desk: &mut Desk, outcome: &CallOutcome) -> (u32, DenyCause) {
    let (mut sent, mut out) = (0, desk.ask(1));
    loop {
        if let Some((_, cause)) = denials(&out).first() {
            return (sent, (*cause).clone());
        }
        out = match grants(&out)[..] {
            [(1, lease, _)] => {
                sent += 1;
                desk.give_back(1, lease, outcome);
                desk.ask(1)
            }
            _ => desk.sleep(),
        };
    }
}

#[test]
fn every_refusal_has_its_bound() {
    let overloaded = CallOutcome::Overloaded { retry_after: None };
    let refused = CallOutcome::RequestRefused { detail: "no such model".into() };
    let rows: [(&CallOutcome, u32, DenyCause); 6] = [
        (&limited(Some(1)), 5, DenyCause::RateLimited { attempts: 6 }),
        (&TRANSIENT, 3, DenyCause::Unreachable { attempts: 4, detail: String::new() }),
        (&overloaded, 3, DenyCause::Unreachable { attempts: 4, detail: "the provider is overloaded".into() }),
        (
            &CallOutcome::Abandoned,
            3,
            DenyCause::Unreachable { attempts: 4, detail: "the lease came back without an answer".into() },
        ),
        (&key_refused(), 1, DenyCause::KeyRefused("API key not valid".into())),
        (&refused, 0, DenyCause::Refused("no such model".into())),
    ];
    for (outcome, repetitions, cause) in rows {
        let mut desk = Desk::new(exclusive(3));
        let (sent, denied) = until_denied(&mut desk, outcome);
        assert_eq!((sent, denied), (repetitions + 1, cause), "{outcome:?}");
    }
}

#[test]
fn a_fault_is_repeated_later_and_the_worker_is_told() {
    let mut desk = Desk::new(exclusive(2));
    desk.call(1, &TRANSIENT);
    let out = desk.ask(1);
    assert_eq!(waits(&out), [(1, WaitReason::Backoff)]);
    assert!(desk.pool.waiting(attempt(1)), "its watchdogs are paused");
    assert_eq!(grants(&desk.sleep()).len(), 1);
    assert!(desk.now >= Time::from_millis(500) && desk.now <= Time::from_millis(5_000));
}

#[test]
fn repetitions_after_faults_are_rationed_for_the_whole_pool() {
    let mut desk = Desk::new(PoolSpec { keys: vec![key("a", None, None)], ..PoolSpec::default() });
    let leases: Vec<_> = (0..8).map(|item| desk.lease(item).0).collect();
    for (item, lease) in (0..).zip(leases) {
        desk.give_back(item, lease, &TRANSIENT);
        desk.ask(item);
    }
    // Eight repetitions fail again, and so on: in the first minute no more than 20 may go out.
    let mut sent = 0;
    while let Some(next) = desk.pool.next_deadline().filter(|at| *at <= Time::ZERO + secs(60)) {
        for (item, lease, _) in grants(&desk.advance(next)) {
            sent += 1;
            desk.give_back(item, lease, &TRANSIENT);
            desk.ask(item);
        }
    }
    assert!((10..=20).contains(&sent), "{sent}");
}

#[test]
fn one_refused_call_quarantines_nothing_and_the_same_call_elsewhere_proves_it() {
    let mut desk = Desk::new(exclusive(2));
    let (bad, out) = desk.call(1, &key_refused());
    assert_eq!(notices(&out).len(), 0);
    assert_eq!(desk.pool.status(desk.now)[usize::from(bad.0)].state, KeyState::Suspect);
    let (good, out) = desk.call(1, &OK);
    assert_ne!(good, bad, "another key is tried");
    assert_eq!(notices(&out), [&Notice::Quarantined { key: bad, detail: "API key not valid".into() }]);
    assert_eq!(desk.pool.usable_keys(desk.now), 1);
    for item in 2..10 {
        assert_eq!(desk.call(item, &OK).0, good);
    }
}

#[test]
fn a_request_that_is_refused_with_every_key_is_to_blame_itself() {
    let mut desk = Desk::new(exclusive(3));
    desk.call(1, &key_refused());
    desk.call(1, &key_refused());
    assert!(matches!(denials(&desk.ask(1))[..], [(1, DenyCause::KeyRefused(_))]));
    let keys: Vec<_> = (2..5).map(|item| desk.lease(item)).collect();
    for (item, (lease, _)) in (2..).zip(keys) {
        assert_eq!(notices(&desk.give_back(item, lease, &OK)).len(), 0);
    }
    assert_eq!(state(&desk), [KeyState::Available; 3]);
}

#[test]
fn a_suspect_serves_last_and_one_call_at_a_time() {
    let mut desk = Desk::new(PoolSpec {
        keys: vec![key("a", None, None), key("b", None, Some(1))],
        ..PoolSpec::default()
    });
    let (suspect, _) = desk.call(1, &key_refused());
    assert_eq!(suspect, KeyIndex(0));
    assert_eq!(desk.lease(2).1, KeyIndex(1));
    let (lease, key) = desk.lease(3);
    assert_eq!(key, suspect);
    assert_eq!(waits(&desk.ask(4)), [(4, WaitReason::AllReserved)]);
    let out = desk.give_back(3, lease, &OK);
    assert_eq!(grants(&out).len(), 1, "cleared, and without a bound of its own: {out:?}");
    assert!(one_grant(&desk.ask(5)).is_some());
}

#[test]
fn a_pool_without_a_usable_key_denies_all_and_names_each_reason() {
    let mut desk = Desk::new(exclusive(2));
    let (first, _) = desk.lease(1);
    let (second, _) = desk.lease(2);
    desk.ask(3);
    let out = desk.give_back(1, first, &CallOutcome::Billing { detail: "no credit".into() });
    assert_eq!(notices(&out), [&Notice::Billing { key: KeyIndex(0), detail: "no credit".into() }]);
    assert!(!desk.pool.is_dead());
    let out = desk.give_back(2, second, &key_refused());
    let [(3, lease, _)] = grants(&out)[..] else { panic!("a suspect still serves: {out:?}") };
    assert_eq!(waits(&desk.ask(1)), [(1, WaitReason::AllReserved)]);
    let out = desk.give_back(3, lease, &key_refused());
    let told = notices(&out);
    assert!(matches!(told[0], Notice::Quarantined { key: KeyIndex(1), .. }));
    let reasons = vec![
        (KeyIndex(0), "out of credit: no credit".to_owned()),
        (KeyIndex(1), "refused by the provider: API key not valid".to_owned()),
    ];
    assert_eq!(told[1..], [&Notice::Dead { provider: None, reasons }]);
    let text = "a: out of credit: no credit; b: refused by the provider: API key not valid";
    assert_eq!(denials(&out), [(1, &DenyCause::PoolDead(text.into()))]);
    assert!(desk.pool.is_dead());
    assert_eq!((desk.pool.condition(desk.now), desk.pool.usable_keys(desk.now)), (Condition::Dead, 0));
    let out = desk.ask(9);
    assert!(matches!(denials(&out)[..], [(9, DenyCause::PoolDead(_))]));
    assert_eq!(notices(&out).len(), 0, "told once");
}

#[test]
fn one_dead_provider_is_enough_when_it_is_asked_for() {
    let mut spec = exclusive(1);
    spec.keys.push(KeySpec { provider: "anthropic".into(), ..key("z", None, None) });
    let mut desk = Desk::new(spec);
    let (_, out) = desk.call(1, &CallOutcome::Billing { detail: "x".into() });
    assert!(matches!(notices(&out)[1], Notice::Dead { provider: Some(name), .. } if name == "gemini"));
    assert!(desk.pool.is_dead());
}

#[test]
fn a_changed_key_gets_a_new_chance() {
    let mut desk = Desk::new(exclusive(1));
    desk.call(1, &key_refused());
    desk.call(2, &key_refused());
    assert!(desk.pool.is_dead());
    let mut out = Vec::new();
    desk.pool.add_or_replace_key(key("a", None, Some(1)), false, desk.now, &mut out);
    assert!(desk.pool.is_dead(), "the same secret changes nothing");
    desk.pool.add_or_replace_key(key("a", None, Some(1)), true, desk.now, &mut out);
    assert!(!desk.pool.is_dead());
    assert_eq!(desk.call(3, &OK).0, KeyIndex(0));
}

#[test]
fn an_added_key_serves_who_waits() {
    let mut desk = Desk::new(exclusive(1));
    desk.call(1, &limited(Some(3600)));
    assert_eq!(waits(&desk.ask(1)).len(), 1);
    let mut out = Vec::new();
    let added = desk.pool.add_or_replace_key(key("b", None, Some(1)), true, desk.now, &mut out);
    assert_eq!(grants(&out).iter().map(|g| Some(g.2)).collect::<Vec<_>>(), [added]);
    // The same name in another group is another key.
    let moved = desk.pool.add_or_replace_key(key("b", Some("g"), None), true, desk.now, &mut out);
    assert_eq!((desk.pool.total_keys(), desk.pool.key_name(moved.expect("room"))), (2, "b"));
}

#[test]
fn an_overloaded_provider_is_left_alone_then_probed_once() {
    let mut desk = Desk::new(exclusive(4));
    let leases: Vec<_> = (0..4).map(|item| desk.lease(item).0).collect();
    let hint = CallOutcome::Overloaded { retry_after: Some(secs(30)) };
    let mut told = Vec::new();
    for (item, lease) in (0..).zip(leases) {
        told.extend(notices(&desk.give_back(item, lease, &hint)).into_iter().cloned());
    }
    let [Notice::Overloaded { provider, wait }] = &told[..] else { panic!("{told:?}") };
    assert!(provider == "gemini" && *wait >= secs(30) && *wait <= secs(33));
    let until = desk.now + *wait;
    for item in 10..14 {
        assert_eq!(waits(&desk.ask(item)), [(item, WaitReason::Overloaded)]);
    }
    let out = desk.sleep();
    assert_eq!((desk.now, grants(&out).len()), (until, 1), "one probe: {out:?}");
    let (item, lease, _) = grants(&out)[0];
    let out = desk.give_back(item, lease, &OK);
    assert_eq!(grants(&out).len(), 2, "then a ramp: {out:?}");
}

#[test]
fn without_a_bound_of_the_user_a_call_goes_on_while_its_patience_lasts() {
    // Others use the quota up each time, so every one of its attempts is refused.
    let mut desk = Desk::with(exclusive(1), Policy { max_retries: None, max_wait: secs(3600), ..policy() });
    let (sent, _) = until_denied(&mut desk, &limited(Some(20)));
    assert!(sent > 20 && sent < 200, "{sent} times");
    assert!(desk.now.since_start() > secs(3_000) && desk.now.since_start() < secs(3_700), "{:?}", desk.now);
}

#[test]
fn a_provider_out_of_reach_is_tried_no_more_often_than_asked_for() {
    let mut desk = Desk::with(exclusive(1), Policy { max_retries: Some(1), ..policy() });
    let (_, denied) = until_denied(&mut desk, &TRANSIENT);
    assert_eq!(denied, DenyCause::Unreachable { attempts: 2, detail: String::new() });
}
