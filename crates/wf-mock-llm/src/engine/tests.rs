//! The server's decisions in virtual time.

use super::*;
use crate::config::{Latency, Limits, MockKey};
use crate::faults::Faults;
use crate::quota::Window;
use crate::script::Script;
use crate::wire::Form;

fn key(name: &str, group: &str) -> MockKey {
    MockKey { name: name.into(), secret: format!("secret-of-{name}"), group: group.into() }
}

/// Three keys of two groups.
fn engine(change: impl FnOnce(&mut MockConfig)) -> Engine {
    let keys = vec![key("a", "one"), key("b", "one"), key("c", "two")];
    let mut config = MockConfig { keys, ..MockConfig::default() };
    change(&mut config);
    Engine::new(config)
}

fn now(seconds: u64) -> Now {
    Now { mock: Duration::from_secs(seconds), unix: Duration::from_secs(1_795_262_400 + seconds) }
}

fn call(prompt: &str) -> Call {
    Call {
        dialect: Dialect::Gemini,
        model: "m".into(),
        system: String::new(),
        prompt: prompt.into(),
        max_output_tokens: None,
        form: Form::Whole,
    }
}

fn node(node: &str, iteration: u32, prompt: &str) -> Call {
    let system = format!("wf-context: workflow=lld node={node} iteration={iteration} item=42");
    Call { system, ..call(prompt) }
}

/// The status of a call that is over at once.
fn status(engine: &mut Engine, key: &str, prompt: &str, seconds: u64) -> u16 {
    let plan = engine.begin(&call(prompt), Some(&format!("secret-of-{key}")), now(seconds));
    if let Some(ticket) = plan.ticket {
        engine.end(ticket, true);
    }
    plan.reply.status
}

#[test]
fn keys_of_a_group_share_its_limit_and_models_do_not() {
    let mut engine = engine(|config| config.limits.rpm = Some(2));
    assert_eq!(status(&mut engine, "a", "1", 0), 200);
    assert_eq!(status(&mut engine, "b", "2", 0), 200);
    assert_eq!(status(&mut engine, "a", "3", 0), 429);
    assert_eq!(status(&mut engine, "c", "3", 0), 200);
    let other_model = Call { model: "n".into(), ..call("3") };
    assert_eq!(engine.begin(&other_model, Some("secret-of-a"), now(0)).reply.status, 200);
    assert_eq!(status(&mut engine, "b", "3", 60), 200);
    let one = &engine.counters.groups["one"];
    assert_eq!((one.minute_max, one.tally.limited, one.tally.ok), (2, 1, 3));
    assert_eq!(engine.counters.keys["a"].limited, 1);
}

#[test]
fn a_limit_of_tokens_counts_input_and_output() {
    let mut engine = engine(|config| config.limits.tpm = Some(60));
    let long = "word ".repeat(20);
    assert_eq!(status(&mut engine, "a", &long, 0), 200);
    assert_eq!(status(&mut engine, "a", &long, 1), 429);
    assert_eq!(status(&mut engine, "a", &long, 61), 200);
    let tally = engine.counters.total;
    assert_eq!(tally.tokens_in, 2 * 25);
    assert!(tally.tokens_out > 20);
    assert_eq!(
        engine.counters.groups["one"].minute_max_tokens,
        u64::midpoint(tally.tokens_in, tally.tokens_out)
    );
}

#[test]
fn one_call_at_a_time_per_key_where_that_is_the_limit() {
    let mut engine = engine(|config| config.key_concurrency = Some(1));
    let first = engine.begin(&call("1"), Some("secret-of-a"), now(0)).ticket.unwrap();
    assert_eq!(status(&mut engine, "a", "2", 0), 429);
    assert_eq!(status(&mut engine, "b", "2", 0), 200);
    engine.end(first, true);
    assert_eq!(status(&mut engine, "a", "2", 0), 200);
    assert_eq!(engine.counters.keys["a"].in_flight_max, 1);
    assert_eq!(engine.counters.total.in_flight, 0);
}

#[test]
fn revoked_unknown_and_missing_keys() {
    let mut engine = engine(|config| config.revoked = ["a".to_owned()].into());
    assert_eq!(status(&mut engine, "a", "1", 0), 400);
    assert_eq!(status(&mut engine, "z", "1", 0), 400);
    assert_eq!(engine.begin(&call("1"), None, now(0)).reply.status, 403);
    assert_eq!(engine.counters.keys["a"].refused, 1);
    assert_eq!(engine.counters.unknown_key, 2);
    assert_eq!(engine.counters.total.refused, 3);
    assert_eq!(engine.check_key(Dialect::Gemini, Some("secret-of-a"), now(0)).status, 400);
    assert_eq!(engine.check_key(Dialect::Gemini, Some("secret-of-b"), now(0)).status, 200);
}

#[test]
fn groups_without_credit_or_day_are_refused_and_others_are_not() {
    let mut engine = engine(|config| {
        config.no_credit.insert("one".into());
        config.day_exhausted.insert("two".into());
    });
    let broke = engine.begin(&call("1"), Some("secret-of-a"), now(0)).reply;
    assert!(broke.status == 400 && broke.body.contains("billing"), "{}", broke.body);
    let spent = engine.begin(&call("1"), Some("secret-of-c"), now(0)).reply;
    assert!(spent.status == 429 && spent.body.contains("PerDay"), "{}", spent.body);
}

#[test]
fn faults_come_in_the_order_they_were_asked_for() {
    let mut engine = engine(|_| ());
    engine.next.extend([Fault::Overloaded, Fault::Limited, Fault::Failed, Fault::KeyRefused, Fault::None]);
    let statuses: Vec<u16> = (0..6).map(|n| status(&mut engine, "a", &n.to_string(), 0)).collect();
    assert_eq!(statuses, [503, 429, 500, 400, 200, 200]);
    engine.next.extend([Fault::Cut, Fault::Dropped]);
    for delivery in [Delivery::Cut, Delivery::Dropped] {
        let plan = engine.begin(&call("x"), Some("secret-of-a"), now(0));
        assert_eq!(plan.delivery, delivery);
        engine.end(plan.ticket.unwrap(), true);
    }
    let total = engine.counters.total;
    assert_eq!((total.ok, total.overloaded, total.limited, total.errors, total.refused), (2, 1, 1, 3, 1));
}

#[test]
fn chance_does_not_depend_on_the_order_of_calls() {
    let faults = Faults { limited: 0.3, overloaded: 0.2, failed: 0.1, ..Faults::default() };
    let run = |order: &mut dyn Iterator<Item = u32>| {
        let mut engine = engine(|config| {
            config.faults = faults;
            config.latency = Latency { median: Duration::from_secs(1), sigma: 0.5 };
        });
        let mut seen: Vec<_> = order
            .map(|n| {
                let plan = engine.begin(&call(&n.to_string()), Some("secret-of-a"), now(0));
                (n, plan.reply.status, plan.delay)
            })
            .collect();
        seen.sort_unstable();
        seen
    };
    let forward = run(&mut (0..200));
    assert_eq!(forward, run(&mut (0..200).rev()));
    let ok = forward.iter().filter(|(_, status, _)| *status == 200).count();
    assert!((50..110).contains(&ok), "{ok}");
}

#[test]
fn a_prompt_meets_no_more_faults_than_the_bound() {
    let mut engine = engine(|config| {
        config.faults = Faults { limited: 0.5, overloaded: 0.5, per_prompt: 2, ..Faults::default() };
    });
    for prompt in 0..50 {
        let statuses: Vec<u16> = (0..3).map(|_| status(&mut engine, "a", &prompt.to_string(), 0)).collect();
        assert!(statuses[0] != 200 && statuses[1] != 200 && statuses[2] == 200, "{statuses:?}");
    }
}

#[test]
fn an_answer_that_is_paid_twice_is_counted() {
    let mut engine = engine(|_| ());
    for _ in 0..2 {
        let plan = engine.begin(&node("N1_draft", 1, "# T"), Some("secret-of-a"), now(0));
        engine.end(plan.ticket.unwrap(), true);
    }
    let abandoned = engine.begin(&node("N1_draft", 2, "# T"), Some("secret-of-a"), now(0));
    engine.end(abandoned.ticket.unwrap(), false);
    let counters = &engine.counters;
    assert_eq!((counters.prompts, counters.duplicates, counters.total.abandoned), (1, 1, 1));
    assert_eq!(counters.answered["lld/N1_draft/1/42"], 2);
    assert_eq!(counters.answered.get("lld/N1_draft/2/42"), None);
    engine.reset_counters();
    assert_eq!((engine.counters.total.calls, engine.counters.duplicates), (0, 0));
    assert!(engine.counters.keys.contains_key("c"), "every key stays listed");
}

#[test]
fn an_answer_ends_at_the_request_s_bound() {
    let mut engine = engine(|_| ());
    let bounded = Call { max_output_tokens: Some(10), ..node("N1_draft", 1, "# Größe") };
    let reply = engine.begin(&bounded, Some("secret-of-a"), now(0)).reply;
    assert!(
        reply.body.contains("MAX_TOKENS") && reply.body.contains("\"candidatesTokenCount\":10"),
        "{}",
        reply.body
    );
}

#[test]
fn a_scaled_clock_scales_latencies_and_waits() {
    let mut engine = engine(|config| {
        config.time_scale = 60.0;
        config.latency = Latency::fixed(Duration::from_secs(30));
        config.limits = Limits { rpm: Some(1), ..Limits::default() };
        config.window = Window::Fixed;
    });
    let first = engine.begin(&call("1"), Some("secret-of-a"), now(30));
    assert_eq!(first.delay, Duration::from_millis(500));
    let refused = engine.begin(&call("2"), Some("secret-of-a"), now(30)).reply;
    assert!(refused.body.contains("\"retryDelay\":\"0.500s\""), "{}", refused.body);
}

#[test]
fn the_reviewer_who_is_asked_again_answers_differently_where_the_script_says_so() {
    let mut engine = engine(|config| config.plan = [("42".to_owned(), Script::GarbageOnce)].into());
    let ask = |engine: &mut Engine, prompt: &str| {
        let plan = engine.begin(&node("N3_review", 1, prompt), Some("secret-of-a"), now(0));
        engine.end(plan.ticket.unwrap(), true);
        plan.reply.body.contains("[x] **APPROVED**")
    };
    assert!(!ask(&mut engine, "# T"));
    assert!(ask(&mut engine, "# T\nThe verdict alone, please."));
}
