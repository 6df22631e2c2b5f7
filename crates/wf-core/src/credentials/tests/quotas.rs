//! Quotas: blocks, days, pacing, and what is learned of limits.

use super::*;

/// Keys `a` and `b` in one group, `c` in another; three calls at once on each.
fn two_groups() -> PoolSpec {
    let keys =
        [("a", "one"), ("b", "one"), ("c", "two")].map(|(name, group)| key(name, Some(group), Some(3)));
    PoolSpec { keys: keys.into(), ..PoolSpec::default() }
}

#[test]
fn a_429_blocks_the_whole_group_for_that_model_and_nothing_else() {
    let mut desk = Desk::new(two_groups());
    let (key, out) = desk.call(1, &limited(Some(56)));
    assert_eq!(key, KeyIndex(0));
    let [Notice::RateLimit { key: KeyIndex(0), dimension, wait, usable: 1, total: 3 }] = notices(&out)[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!(*dimension, Some(Dimension::RequestsPerMinute));
    assert!(*wait >= secs(56) && *wait <= secs(62), "as told, and up to a tenth: {wait:?}");
    assert_eq!(state(&desk), [KeyState::RateLimited, KeyState::RateLimited, KeyState::Available]);
    assert_eq!(desk.pool.usable_keys(desk.now), 1);
    let keys: Vec<u16> = (2..5).map(|item| desk.lease(item).1.0).collect();
    assert_eq!(keys, [2, 2, 2], "the other group serves");
    let other = desk.ask_for(6, LeaseRequest { model: "pro".into(), ..wish(1) });
    assert!(one_grant(&other).is_some(), "so does the same group for another model");
}

#[test]
fn when_all_groups_are_limited_that_is_told_once_with_the_earliest_end() {
    let mut desk = Desk::new(two_groups());
    desk.call(1, &limited(Some(60)));
    desk.call(2, &limited(Some(30)));
    assert!(matches!(desk.pool.condition(desk.now), Condition::Limited(_)));
    let out = desk.ask(1);
    let [Notice::AllLimited { provider: None, until }] = notices(&out)[..] else { panic!("{out:?}") };
    assert!(*until >= desk.now + secs(30) && *until <= desk.now + secs(33));
    assert_eq!(waits(&out), [(1, WaitReason::RateLimited)]);
    assert_eq!(notices(&desk.ask(2)).len(), 0);
    let until = *until;
    let out = desk.sleep();
    assert_eq!((desk.now, grants(&out)[0].2), (until, KeyIndex(2)));
    assert_eq!(grants(&out).len(), 1, "the group restarts with one call");
}

#[test]
fn stragglers_extend_nothing() {
    let mut desk = Desk::new(two_groups());
    let leases: Vec<_> = (0..4).map(|item| (item, desk.lease(item))).collect();
    let of_one: Vec<_> = leases.into_iter().filter(|(_, (_, key))| key.0 < 2).collect();
    assert!(of_one.len() >= 2);
    let mut told = 0;
    let mut until = None;
    for (item, (lease, _)) in of_one {
        told += notices(&desk.give_back(item, lease, &limited(Some(60 + 600 * u64::from(item))))).len();
        let now_until = desk.pool.status(desk.now)[0].until;
        assert!(until.is_none() || until == now_until, "moved by a straggler");
        until = now_until;
    }
    assert_eq!(told, 1, "a storm is one notice");
}

#[test]
fn after_a_block_the_group_restarts_with_one_call_and_doubles() {
    let mut desk = Desk::new(PoolSpec { keys: vec![key("a", None, None)], ..PoolSpec::default() });
    desk.call(0, &limited(Some(10)));
    for item in 0..20 {
        desk.ask(item);
    }
    let mut open = grants(&desk.sleep());
    let mut rounds = vec![open.len()];
    while rounds.len() < 4 {
        let mut next = Vec::new();
        for (item, lease, _) in open {
            next.extend(grants(&desk.give_back(item, lease, &OK)));
        }
        open = next;
        rounds.push(open.len());
    }
    assert_eq!(rounds, [1, 2, 4, 8]);
}

const UNNAMED: CallOutcome = CallOutcome::Limited {
    dimension: None,
    retry_after: None,
    limit: None,
    slow_down: false,
    hints: Vec::new(),
};

/// Refused once per wait, without any hint; the waits.
fn bare_waits(desk: &mut Desk, outcome: &CallOutcome, times: usize) -> Vec<u64> {
    let mut waits = Vec::new();
    for _ in 0..times {
        desk.call(1, outcome);
        let wait = desk.pool.status(desk.now)[0].until.expect("blocked").since(desk.now);
        desk.wait(wait);
        waits.push(wait);
    }
    // Up to a tenth is added at random.
    let fits = |wait: &Duration, plain: u64| *wait >= secs(plain) && *wait <= secs(plain).mul_f64(1.1);
    let plain = [4, 8, 16, 32, 60, 900, 1800, 3600];
    let name = |wait| plain.into_iter().find(|p| fits(wait, *p)).unwrap_or_else(|| panic!("{wait:?}"));
    waits.iter().map(name).collect()
}

#[test]
fn without_hints_waits_double_up_to_a_minute_and_then_the_minute_is_not_the_cause() {
    let mut desk = Desk::with(exclusive(1), Policy { max_retries: Some(99), ..policy() });
    desk.call(2, &OK);
    assert_eq!(bare_waits(&mut desk, &UNNAMED, 7), [4, 8, 16, 32, 60, 900, 1800]);
    desk.call(1, &OK);
    assert_eq!(bare_waits(&mut desk, &UNNAMED, 2), [4, 8], "a success forgets them");
    desk.call(1, &OK);
    assert_eq!(
        bare_waits(&mut desk, &limited(None), 6),
        [4, 8, 16, 32, 60, 60],
        "a limit of a minute by name"
    );
}

#[test]
fn two_calls_are_lost_to_a_day_that_was_used_up_before_and_that_nobody_names() {
    let mut desk = Desk::with(exclusive(1), Policy { max_retries: Some(99), ..policy() });
    assert_eq!(bare_waits(&mut desk, &UNNAMED, 4), [60, 900, 1800, 3600]);
}

#[test]
fn a_groups_first_call_goes_alone_for_a_second_and_pacing_makes_up_for_it() {
    let mut desk = Desk::new(limits("g", QuotaLimits { rpm: Some(60), ..QuotaLimits::default() }));
    desk.wait(secs(10));
    desk.lease(1);
    for item in [2, 3, 4, 5] {
        assert!(grants(&desk.ask(item)).is_empty());
    }
    let served = |out: &[Decision]| grants(out).iter().map(|(item, ..)| *item).collect::<Vec<u32>>();
    assert_eq!(served(&desk.wait(secs(1))), [2]);
    assert_eq!(served(&desk.wait(Duration::from_millis(50))), [3], "what the second could have used");
    assert!(served(&desk.wait(Duration::from_millis(900))).is_empty(), "and then as paced");
    assert_eq!(served(&desk.wait(Duration::from_millis(100))), [4]);
}

#[test]
fn where_calls_are_due_often_the_first_is_hardly_alone() {
    let mut desk = Desk::new(limits("g", QuotaLimits { rpm: Some(1200), ..QuotaLimits::default() }));
    desk.wait(secs(10));
    desk.lease(1);
    assert!(grants(&desk.ask(2)).is_empty());
    assert_eq!(
        grants(&desk.wait(Duration::from_millis(60))).len(),
        1,
        "a little more than the twentieth of a second"
    );
}

#[test]
fn slow_down_also_cuts_the_rate() {
    let mut desk = Desk::new(limits("g", QuotaLimits { rpm: Some(60), ..QuotaLimits::default() }));
    desk.wait(secs(2));
    let slow_down = |slow_down| CallOutcome::Limited {
        dimension: Some(Dimension::RequestsPerMinute),
        retry_after: Some(secs(1)),
        limit: None,
        slow_down,
        hints: Vec::new(),
    };
    let believed = |desk: &Desk| desk.pool.status(desk.now)[0].quotas[0].requests.map(|r| r.0);
    desk.call(1, &slow_down(false));
    assert_eq!(believed(&desk), Some(60), "too little was sent to learn from");
    desk.wait(secs(5));
    desk.call(1, &slow_down(true));
    assert_eq!(believed(&desk), Some(30));
}

#[test]
fn the_headers_of_a_refusal_are_believed_like_those_of_an_answer() {
    let mut desk = Desk::new(exclusive(1));
    let hints = vec![QuotaHint {
        dimension: Dimension::RequestsPerMinute,
        limit: Some(20),
        remaining: Some(0),
        reset: Some(secs(60)),
    }];
    let outcome = CallOutcome::Limited {
        dimension: Some(Dimension::TokensPerMinute),
        retry_after: Some(secs(1)),
        limit: None,
        slow_down: false,
        hints,
    };
    desk.call(1, &outcome);
    assert_eq!(desk.pool.status(desk.now)[0].quotas[0].requests.map(|r| r.0), Some(20));
}

#[test]
fn without_a_known_midnight_the_hint_of_a_used_up_day_is_believed() {
    let day = |retry_after| CallOutcome::Limited {
        dimension: Some(Dimension::RequestsPerDay),
        retry_after,
        limit: None,
        slow_down: false,
        hints: Vec::new(),
    };
    let mut desk = Desk::new(exclusive(1));
    desk.call(1, &day(Some(secs(420))));
    desk.ask(1);
    desk.sleep();
    assert!(desk.now >= Time::ZERO + secs(420) && desk.now <= Time::ZERO + secs(462), "{:?}", desk.now);

    // But one that was followed in vain is believed no more.
    let mut desk =
        Desk::with(exclusive(1), Policy { max_retries: Some(99), max_wait: secs(90 * 3600), ..policy() });
    assert_eq!(bare_waits(&mut desk, &day(Some(secs(4))), 4), [4, 900, 1800, 3600]);

    // Without a hint there are probes, rarer each time.
    let mut desk =
        Desk::with(exclusive(1), Policy { max_retries: Some(99), max_wait: secs(90 * 3600), ..policy() });
    desk.call(1, &day(None));
    let mut waited = Vec::new();
    for _ in 0..4 {
        let before = desk.now;
        desk.ask(1);
        let (_, lease, _) = grants(&desk.sleep())[0];
        waited.push(desk.now.since(before).as_secs() / 60);
        desk.give_back(1, lease, &day(None));
    }
    assert_eq!(waited, [15, 30, 60, 120]);
}

#[test]
fn a_model_that_few_groups_serve_is_found_however_many_do_not() {
    let mut desk = Desk::new(exclusive(12));
    let none = CallOutcome::Limited {
        dimension: None,
        retry_after: None,
        limit: Some(0),
        slow_down: false,
        hints: Vec::new(),
    };
    for _ in 0..11 {
        desk.call(1, &none);
    }
    desk.call(1, &OK);
    assert!(!desk.pool.is_dead());
    let kept = desk.pool.snapshot(desk.now);
    let mut next = Desk::new(exclusive(12));
    next.pool.restore(&kept.aged(secs(60)), Time::ZERO);
    let (key, _) = next.call(1, &OK);
    assert_eq!(key, KeyIndex(11), "the next run does not ask the others again");
}

#[test]
fn a_used_up_day_lasts_until_midnight_with_one_probe() {
    let mut spec = exclusive(1);
    spec.midnights.insert("gemini".into(), vec![Time::ZERO + secs(8 * 3600)]);
    let mut desk = Desk::new(spec);
    let day = CallOutcome::Limited {
        dimension: Some(Dimension::RequestsPerDay),
        retry_after: Some(secs(30)),
        limit: None,
        slow_down: false,
        hints: Vec::new(),
    };
    desk.call(1, &day);
    assert_eq!(state(&desk), [KeyState::DayExhausted]);
    let until = desk.pool.status(desk.now)[0].until.expect("an end");
    assert!(until >= Time::ZERO + secs(8 * 3600));
    assert_eq!(waits(&desk.ask(1)), [(1, WaitReason::RateLimited)]);
    let out = desk.sleep();
    assert_eq!(desk.now, Time::ZERO + secs(900), "the probe");
    let (_, lease, _) = grants(&out)[0];
    assert_eq!(notices(&desk.give_back(1, lease, &day)).len(), 0, "no news");
    desk.ask(1);
    let out = desk.sleep();
    assert_eq!(grants(&out).len(), 1);
    assert!(desk.now >= until, "no second probe, and never earlier");
}

#[test]
fn a_probe_that_is_answered_ends_the_day_early() {
    let mut desk = Desk::new(exclusive(1));
    let dimension = Some(Dimension::RequestsPerDay);
    desk.call(
        1,
        &CallOutcome::Limited {
            dimension,
            retry_after: None,
            limit: None,
            slow_down: false,
            hints: Vec::new(),
        },
    );
    desk.ask(1);
    let (_, lease, _) = grants(&desk.sleep())[0];
    desk.give_back(1, lease, &OK);
    assert_eq!(state(&desk), [KeyState::Available]);
}

#[test]
fn a_limit_of_zero_means_the_model_is_not_for_this_group() {
    let mut desk = Desk::new(two_groups());
    let none = CallOutcome::Limited {
        dimension: None,
        retry_after: None,
        limit: Some(0),
        slow_down: false,
        hints: Vec::new(),
    };
    let (_, out) = desk.call(1, &none);
    assert_eq!(
        notices(&out),
        [&Notice::NoQuota { key: KeyIndex(0), group: "one".into(), model: "flash".into() }]
    );
    let (key, out) = desk.call(1, &none);
    assert_eq!(key, KeyIndex(2));
    assert!(matches!(notices(&out)[..], [Notice::NoQuota { .. }, Notice::Dead { .. }]), "{out:?}");
    let out = desk.ask(1);
    let [(1, DenyCause::PoolDead(text))] = denials(&out)[..] else { panic!("{out:?}") };
    assert!(text.contains("b: its quota for flash is zero"), "{text}");
}

#[test]
fn known_limits_are_paced_from_the_first_call() {
    let mut desk = Desk::new(limits("g", QuotaLimits { rpm: Some(60), ..QuotaLimits::default() }));
    for item in 0..5 {
        assert_eq!(waits(&desk.ask(item)), [(item, WaitReason::Pacing)]);
    }
    let mut at = Vec::new();
    while desk.pool.waiting_calls() > 0 {
        let out = desk.sleep();
        at.extend(grants(&out).iter().map(|_| desk.now.since_start().as_millis()));
    }
    assert_eq!(at, [1020, 2040, 3061, 4081, 5102]);
}

#[test]
fn the_day_is_counted_and_starts_anew() {
    let mut spec = limits("g", QuotaLimits { rpd: Some(2), ..QuotaLimits::default() });
    spec.midnights.insert("gemini".into(), vec![Time::ZERO + secs(100)]);
    let mut desk = Desk::new(spec);
    desk.call(1, &OK);
    desk.call(2, &OK);
    assert_eq!(waits(&desk.ask(3)), [(3, WaitReason::RateLimited)]);
    assert_eq!(grants(&desk.sleep()).len(), 1);
    assert_eq!(desk.now, Time::ZERO + secs(100));
}

#[test]
fn headers_correct_the_local_view_downwards() {
    let mut desk = Desk::new(limits("g", QuotaLimits { rpm: Some(600), ..QuotaLimits::default() }));
    desk.wait(secs(1));
    let hints = vec![QuotaHint {
        dimension: Dimension::RequestsPerMinute,
        limit: Some(60),
        remaining: Some(0),
        reset: Some(secs(60)),
    }];
    desk.call(1, &CallOutcome::Ok { tokens_in: 1, tokens_out: 1, hints });
    assert_eq!(desk.pool.status(desk.now)[0].quotas[0].requests.map(|r| r.0), Some(60));
    desk.ask(2);
    let before = desk.now;
    desk.sleep();
    assert_eq!(desk.now.since(before), secs(1), "one of sixty comes back after a second");
}

#[test]
fn what_is_left_of_a_limit_that_is_news_is_there_at_the_pace_of_the_limit() {
    // How long the third of three calls waits, each of a thousandth of the limit.
    let third_waits = |remaining| {
        let mut desk = Desk::new(limits("g", QuotaLimits::default()));
        let hints = vec![QuotaHint {
            dimension: Dimension::TokensPerMinute,
            limit: Some(1000 * wish(1).tokens),
            remaining: Some(remaining),
            reset: None,
        }];
        desk.call(1, &CallOutcome::Ok { tokens_in: 1, tokens_out: 1, hints });
        desk.ask(2);
        desk.ask(3);
        while desk.pool.waiting_calls() > 0 {
            desk.sleep();
        }
        desk.now.since_start().as_millis()
    };
    assert_eq!(third_waits(1000 * wish(1).tokens), 61, "a thousandth of a minute");
    assert!(third_waits(0) > 1000, "what was used comes back as it was used");
}

#[test]
fn a_surprise_teaches_the_measured_rate() {
    let mut desk = Desk::new(limits("g", QuotaLimits { rpm: Some(120), ..QuotaLimits::default() }));
    let mut accepted = 0;
    while desk.now < Time::ZERO + secs(90) {
        desk.ask(1);
        while desk.pool.waiting(attempt(1)) {
            desk.sleep();
        }
        let lease = LeaseId(desk.pool.status(desk.now)[0].calls);
        desk.give_back(1, lease, &OK);
        accepted += 1;
        desk.wait(Duration::from_millis(700));
    }
    assert!(accepted > 100);
    desk.call(1, &limited(Some(2)));
    let believed = desk.pool.status(desk.now)[0].quotas[0].requests.map(|r| r.0);
    assert!(believed.is_some_and(|rpm| (75..90).contains(&rpm)), "{believed:?}");
}
