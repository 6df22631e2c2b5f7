//! Workers and providers that say anything: no number may panic, hang, or break the book-keeping.

use proptest::prelude::*;

use super::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>(), 0_u64..1000]
}

fn wait() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![
        Just(None),
        Just(Some(Duration::ZERO)),
        Just(Some(Duration::MAX)),
        number().prop_map(|n| Some(Duration::from_nanos(n))),
        number().prop_map(|n| Some(Duration::from_secs(n))),
    ]
}

fn dimension() -> impl Strategy<Value = Dimension> {
    prop_oneof![
        Just(Dimension::RequestsPerMinute),
        Just(Dimension::TokensPerMinute),
        Just(Dimension::RequestsPerDay),
    ]
}

fn hint() -> impl Strategy<Value = QuotaHint> {
    (dimension(), proptest::option::of(number()), proptest::option::of(number()), wait())
        .prop_map(|(dimension, limit, remaining, reset)| QuotaHint { dimension, limit, remaining, reset })
}

fn outcome() -> impl Strategy<Value = CallOutcome> {
    prop_oneof![
        (number(), number(), proptest::collection::vec(hint(), 0..4))
            .prop_map(|(tokens_in, tokens_out, hints)| CallOutcome::Ok { tokens_in, tokens_out, hints }),
        (
            proptest::option::of(dimension()),
            wait(),
            proptest::option::of(number()),
            any::<bool>(),
            proptest::collection::vec(hint(), 0..4)
        )
            .prop_map(|(dimension, retry_after, limit, slow_down, hints)| CallOutcome::Limited {
                dimension,
                retry_after,
                limit,
                slow_down,
                hints
            }),
        wait().prop_map(|retry_after| CallOutcome::Overloaded { retry_after }),
        Just(key_refused()),
        Just(CallOutcome::Billing { detail: String::new() }),
        Just(TRANSIENT),
        Just(CallOutcome::Abandoned),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    Ask { item: u32, call: u64, tokens: u64, model: u8, whole: bool, share: u16 },
    Return { which: usize, stray: bool, outcome: CallOutcome },
    Forget(u32),
    Sleep,
    Wait(Duration),
    Replace { name: u8, changed: bool },
    Restart(Duration),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_u32..4, 0_u64..3, number(), 0_u8..3, any::<bool>(), any::<u16>())
            .prop_map(|(item, call, tokens, model, whole, share)| Event::Ask {
                item, call, tokens, model, whole, share
            }),
        6 => (any::<usize>(), proptest::bool::weighted(0.1), outcome())
            .prop_map(|(which, stray, outcome)| Event::Return { which, stray, outcome }),
        1 => (0_u32..4).prop_map(Event::Forget),
        4 => Just(Event::Sleep),
        1 => number().prop_map(|n| Event::Wait(Duration::from_millis(n))),
        1 => (0_u8..4, any::<bool>()).prop_map(|(name, changed)| Event::Replace { name, changed }),
        1 => number().prop_map(|n| Event::Restart(Duration::from_secs(n))),
    ]
}

fn spec(rpm: u64, tpm: u64, rpd: u64) -> PoolSpec {
    let limits = QuotaLimits { rpm: Some(rpm), tpm: Some(tpm), rpd: Some(rpd) };
    let mut spec = exclusive(2);
    spec.keys.push(key("z", Some("g"), Some(0)));
    spec.limits.entry("g".into()).or_default().insert(None, limits);
    spec
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_said_breaks_the_books(
        (rpm, tpm, rpd, budget) in (number(), number(), number(), number()),
        max_wait in wait(),
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let policy = Policy { max_wait: max_wait.unwrap_or_default(), budget: Budget::Tokens(budget), ..policy() };
        let mut desk = Desk::with(spec(rpm, tpm, rpd), policy.clone());
        let mut out = Vec::new();
        let mut open: Vec<(AttemptId, LeaseId)> = Vec::new();
        for event in events {
            let now = desk.now;
            match event {
                Event::Ask { item, call, tokens, model, whole, share } => {
                    let request = LeaseRequest {
                        tokens, share, model: model.to_string(), whole_attempt: whole, ..wish(call)
                    };
                    desk.pool.request(attempt(item), request, now, &mut out);
                }
                Event::Return { which, stray, outcome } => {
                    let at = which.checked_rem(open.len()).unwrap_or_default();
                    let (who, lease) = open.get(at).copied().unwrap_or((attempt(9), LeaseId(9)));
                    let who = if stray { attempt(9) } else { who };
                    desk.pool.release(who, lease, &outcome, now, &mut out);
                }
                Event::Forget(item) => desk.pool.forget(attempt(item), now, &mut out),
                Event::Sleep => {
                    if let Some(due) = desk.pool.next_deadline() {
                        prop_assert!(due > now, "a deadline that has passed is a busy loop");
                        desk.now = due;
                        desk.pool.advance(due, &mut out);
                    }
                }
                Event::Wait(by) => {
                    desk.now = now + by;
                    desk.pool.advance(desk.now, &mut out);
                }
                Event::Replace { name, changed } => {
                    let spec = key(&char::from(b'a' + name).to_string(), None, Some(1));
                    desk.pool.add_or_replace_key(spec, changed, now, &mut out);
                }
                Event::Restart(later) => {
                    let kept = desk.pool.snapshot(now).aged(later);
                    for item in 0..4 {
                        desk.pool.forget(attempt(item), now, &mut out);
                    }
                    desk.pool = CredentialCoordinator::new(spec(rpm, tpm, rpd), policy.clone(), now);
                    desk.pool.restore(&kept, now);
                }
            }
            for decision in out.drain(..) {
                match decision {
                    Decision::Granted { who, lease, .. } => open.push((who, lease)),
                    Decision::Returned { lease, .. } => {
                        let at = open.iter().position(|(_, out)| *out == lease);
                        open.remove(at.expect("only what is out returns"));
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(open.len(), desk.pool.leases_out());
            let in_flight: u32 = desk.pool.status(desk.now).iter().map(|key| key.in_flight).sum();
            prop_assert!(in_flight as usize <= open.len());
            let _ = (desk.pool.condition(desk.now), desk.pool.usable_keys(desk.now));
        }
    }
}
