//! What must always hold, over random worlds.

use proptest::prelude::*;

use super::plan::{Faults, GroupPlan, Scenario, Told};
use super::world::World;
use super::*;

fn group() -> impl Strategy<Value = GroupPlan> {
    (
        1_u8..4,
        prop_oneof![Just(None), Just(Some(1)), Just(Some(3))],
        prop_oneof![1 => Just(None), 4 => (4_u64..120).prop_map(Some)],
        prop_oneof![3 => Just(Told::Truth), 1 => Just(Told::TooMuch), 1 => Just(Told::Nothing)],
        prop_oneof![2 => Just(None), 1 => (2_000_u64..20_000).prop_map(Some)],
        prop_oneof![3 => Just(None), 1 => (5_u64..40).prop_map(Some)],
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(keys, max_in_flight, rpm, told, tpm, rpd, hints, counts_refused)| GroupPlan {
            keys,
            max_in_flight,
            rpm,
            told,
            tpm,
            rpd,
            hints,
            counts_refused,
        })
}

fn faults() -> impl Strategy<Value = Faults> {
    let rare = || prop_oneof![2 => Just(0_u64), 1 => 1_u64..60];
    (
        (rare(), rare(), rare(), rare(), rare(), rare()),
        0_usize..3,
        any::<bool>(),
        prop_oneof![Just(None), (5_u64..200).prop_map(Some)],
        prop_oneof![3 => Just(None), 1 => (0_u64..200).prop_map(Some)],
    )
        .prop_map(
            |(
                (transient, bad_request, crash, hang, duplicate, storm),
                revoked,
                overload,
                restart,
                unpaid,
            )| Faults {
                transient,
                bad_request,
                crash,
                hang,
                duplicate: duplicate * 10,
                storm,
                revoked_keys: revoked,
                overload,
                restart_after: restart,
                unpaid_after: unpaid,
            },
        )
}

fn scenario(faults: impl Strategy<Value = Faults>) -> impl Strategy<Value = Scenario> {
    (any::<u64>(), proptest::collection::vec(group(), 1..4), 1_u32..16, 1_u64..12, 1_u64..3, faults).prop_map(
        |(seed, groups, workers, calls, models, faults)| Scenario {
            seed,
            groups,
            workers,
            calls,
            models,
            faults,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 400, ..ProptestConfig::default() })]

    /// The observer and the world assert what must always hold at every step.
    #[test]
    fn whatever_goes_wrong_the_rules_hold(plan in scenario(faults())) {
        World::new(plan).run();
    }

    /// With limits as told and nothing else going wrong, nobody is ever refused, and nobody starves.
    #[test]
    fn with_true_limits_nothing_is_refused(plan in scenario(Just(Faults::default()))) {
        let mut plan = plan;
        for group in &mut plan.groups {
            (group.told, group.rpd) = (Told::Truth, None);
        }
        let tally = World::new(plan.clone()).run();
        prop_assert_eq!((tally.limited, tally.denied.len()), (0, 0));
        prop_assert_eq!(tally.answered, u64::from(plan.workers) * plan.calls);
        // All calls of all others at the slowest pace there is, and the longest latency of each.
        let all = u64::from(plan.workers) * plan.calls;
        let slowest = plan.groups.iter().map(|group| {
            let rpm = group.rpm.unwrap_or(600).min(group.tpm.map_or(600, |tpm| (tpm / 1_000).max(1)));
            secs(60 * all / rpm + 62 + 16 * all / u64::from(group.max_in_flight.unwrap_or(1)))
        });
        let bound = slowest.min().unwrap_or_default();
        prop_assert!(tally.longest_wait <= bound, "{:?} of {bound:?}", tally.longest_wait);
    }
}

fn benchmark(told: Told, calls: u64) -> Scenario {
    let group = GroupPlan {
        keys: 3,
        max_in_flight: None,
        rpm: Some(60),
        told,
        tpm: None,
        rpd: None,
        hints: true,
        counts_refused: false,
    };
    Scenario { seed: 1, groups: vec![group; 4], workers: 48, calls, models: 1, faults: Faults::default() }
}

/// The scenario of `quota.rs` in a world where everything is watched. The bound is what the quotas allow: 240 calls a
/// minute.
#[test]
fn the_batch_finishes_almost_as_soon_as_its_quotas_allow() {
    for (told, makespan, wasted) in
        [(Told::Truth, 1.12, 0.0), (Told::TooMuch, 1.12, 0.03), (Told::Nothing, 1.12, 0.03)]
    {
        let tally = World::new(benchmark(told, 25)).run();
        let bound = 48.0 * 25.0 / 240.0 * 60.0;
        let ratio = tally.took.as_secs_f64() / bound;
        let waste = tally.limited as f64 / tally.answered as f64;
        assert_eq!((tally.answered, tally.denied.len()), (1200, 0), "{told:?}: {tally:?}");
        assert!(ratio <= makespan, "{told:?}: {ratio:.3} of the bound");
        assert!(waste <= wasted, "{told:?}: {waste:.4} refused");
    }
}

#[test]
fn a_revoked_key_costs_two_calls() {
    let faults = Faults { revoked_keys: 1, ..Faults::default() };
    let mut plan = benchmark(Told::Truth, 10);
    plan.faults = faults;
    plan.groups.iter_mut().for_each(|group| group.max_in_flight = Some(1));
    let tally = World::new(plan).run();
    assert!(tally.on_revoked <= 2 && tally.denied.is_empty(), "{tally:?}");
}
