//! Leases of keys, seen by workers that take them, keep them, lose them and die with them.

use std::fmt::Write as _;

use wf_tests::{Project, lines};

const DO: &str = "-- wf-fixture-worker do={}";

/// A project with keys named `k1`, `k2`, ... of the provider `gemini`, each of which one call may use at a time.
fn with_keys(items: &str, keys: usize) -> Project {
    let p = Project::with_items(items);
    let mut toml = String::new();
    for n in 1..=keys {
        let secret = p.key_file(&format!("secret-number-{n}-abcdefghij"));
        // Writing to memory cannot fail.
        let _ = writeln!(
            toml,
            "[[keys]]\nname = \"k{n}\"\nprovider = \"gemini\"\nquota_group = \"g{n}\"\nmax_in_flight = 1\nsecret = {secret}"
        );
    }
    p.write("wf.toml", toml);
    p
}

#[test]
fn a_lease_of_a_worker_that_crashed_goes_back_to_the_pool() {
    let p = with_keys(
        "crash hello acquire=gemini/flash touch=held await=waits die=SIGKILL\n\
         next await=held hello touch=waits acquire=gemini/flash release=ok finished=approved\n",
        1,
    );
    let run = p.run(&format!("run items.txt -j2 {DO}"));
    run.code(1).prints("[next] granted k1\n");
    assert_eq!((p.outcome("crash"), p.outcome("next")), ("failed".to_owned(), "succeeded".to_owned()));
}

#[test]
fn a_lease_that_is_never_returned_goes_back_when_its_worker_ends() {
    let p = with_keys(
        "a hello acquire=gemini/flash\nb hello acquire=gemini/flash release=ok finished=approved\n",
        1,
    );
    p.run(&format!("run items.txt {DO}")).code(0).prints("[b] granted k1\n");
}

#[test]
fn when_all_keys_are_reserved_it_is_said_and_the_worker_waits() {
    let p = with_keys(
        "a hello acquire=gemini/flash touch=held await=go release=ok finished=approved\n\
         b await=held hello acquire=gemini/flash release=ok finished=approved\n",
        1,
    );
    let mut run = p.start(&format!("run items.txt -j2 {DO}"));
    run.wait_err("[COORDINATOR] Credential pool exhausted: ").wait_out("[b] waiting AllReserved");
    assert!(run.err().contains("reserved. Pausing 1 worker..."), "{}", run.err());
    p.write("go", "");
    let run = run.wait();
    run.code(0).prints("[b] granted k1\n").never_says("rate-limited").never_says("No usable key");
}

#[test]
fn waiting_for_a_key_stops_both_watchdogs() {
    let p = with_keys(
        "a hello acquire=gemini/flash touch=held await=go release=ok finished=approved\n\
         b await=held hello acquire=gemini/flash release=ok finished=approved\n",
        1,
    );
    p.write(
        "items.jsonl",
        r#"{"id": "a", "text": "hello acquire=gemini/flash touch=held await=go release=ok finished=approved", "timeout": "10m"}
{"id": "b", "text": "hello await=held acquire=gemini/flash release=ok finished=approved", "timeout": "2s"}
"#,
    );
    let mut run = p.start(&format!("run items.jsonl -j2 {DO}"));
    run.wait_out("[b] waiting AllReserved");
    // Longer than the watchdog of the one that waits.
    let begin = std::time::Instant::now();
    run.wait_for("three seconds to pass", |_| (begin.elapsed().as_secs() >= 3).then_some(()));
    p.write("go", "");
    run.wait().code(0).prints("[b] granted k1\n");
}

#[test]
fn a_limit_on_one_key_sends_the_next_call_to_another() {
    let p = with_keys(
        "a hello acquire=gemini/flash release=limited:50 acquire=gemini/flash release=ok finished=approved\n",
        2,
    );
    let run = p.run(&format!("run items.txt {DO}"));
    run.code(0).says_in_one_line(&[
        "[COORDINATOR] Rate limit hit on k",
        "Backing off for ",
        "1 of 2 keys usable.",
    ]);
    assert!(run.out().contains("granted k1") && run.out().contains("granted k2"), "{run}");
}

#[test]
fn when_all_keys_are_limited_it_is_said_until_when_and_calls_wait() {
    let p = with_keys(
        "a hello acquire=gemini/flash release=limited:2 acquire=gemini/flash release=ok finished=approved\n",
        1,
    );
    let run = p.run(&format!("run items.txt {DO}"));
    run.code(0)
        .says_in_one_line(&["[COORDINATOR] All keys rate-limited until ", "Pausing all workflows..."])
        .prints("[a] waiting RateLimited");
    assert_eq!(run.err().matches("All keys rate-limited").count(), 1, "one line per episode\n{run}");
}

#[test]
fn a_wait_beyond_max_wait_interrupts_the_item() {
    let p =
        with_keys("a hello acquire=gemini/flash release=limited:3600 acquire=gemini/flash\nb exit=0\n", 1);
    let run = p.run(&format!("run items.txt -j2 --max-wait 500ms {DO}"));
    run.code(75).prints("[a] denied MaxWait");
    assert_eq!((p.outcome("a"), p.outcome("b")), ("interrupted".to_owned(), "succeeded".to_owned()));
    assert_eq!(p.summary()["counts"]["failed"], 0);
}

#[test]
fn a_pool_whose_keys_are_all_refused_is_dead_and_says_why() {
    let p = with_keys(
        "a hello acquire=gemini/flash release=refused acquire=gemini/flash release=refused acquire=gemini/flash\n\
         b hello acquire=gemini/flash release=refused acquire=gemini/flash release=refused acquire=gemini/flash\n\
         c count=starts\n",
        2,
    );
    let run = p.run(&format!("run items.txt {DO}"));
    run.code(75).says_in_one_line(&["[COORDINATOR] No usable key left", "k1", "k2"]);
    run.never_says("All keys rate-limited").never_says("pool exhausted");
    assert_eq!(p.outcome("c"), "not-started", "nothing more is started\n{run}");
    assert_eq!(p.summary()["counts"]["failed"], 0, "a dead pool is no failure of an item\n{run}");
}

#[test]
fn a_pool_without_credit_is_dead_too() {
    let p = with_keys("a hello acquire=gemini/flash release=billing acquire=gemini/flash\n", 1);
    let run = p.run(&format!("run items.txt {DO}"));
    run.code(75).says("[COORDINATOR] No usable key left");
}

#[test]
fn a_provider_without_a_key_is_denied_at_once() {
    let p = with_keys("a hello acquire=anthropic/claude\n", 1);
    p.run(&format!("run items.txt {DO}")).prints("[a] denied NoSuchProvider");
}

#[test]
fn a_request_that_is_refused_harms_no_key() {
    let p = with_keys(
        "a hello acquire=gemini/flash release=bad-request finished=failed\n\
         b hello acquire=gemini/flash release=ok finished=approved\n",
        1,
    );
    p.run(&format!("run items.txt {DO}")).code(1).prints("[b] granted k1\n");
}

#[test]
fn the_token_budget_is_counted_over_resumes() {
    // Each call uses 1,000 tokens.
    let p = with_keys(
        "a hello acquire=gemini/flash release=ok count=paid acquire=gemini/flash release=ok count=paid finished=approved\n",
        1,
    );
    let run = p.run(&format!("run items.txt --budget-tokens 1500 {DO}"));
    run.code(75).prints("[a] denied Budget");
    assert_eq!(p.sorted_lines("paid").len(), 1);
    p.run(&format!("run items.txt --budget-tokens 1500 {DO}")).code(75).prints("[a] denied Budget");
    assert_eq!(p.sorted_lines("paid").len(), 1, "the first run's tokens count");
    p.run(&format!("run items.txt --budget-tokens 9000 {DO}")).code(0);
}

#[test]
fn the_pool_is_shown_while_and_after_a_run() {
    let p = with_keys("a hello acquire=gemini/flash release=limited:600 finished=approved\n", 2);
    p.run(&format!("run items.txt {DO}")).code(0);
    let keys = p.run("keys --json").code(0).json();
    assert_eq!(keys.as_array().map(Vec::len), Some(2), "{keys:#}");
    // The block outlives the run, so that the next one does not find it out again.
    assert!(keys.to_string().contains("limited"), "{keys:#}");
}

#[test]
fn a_stop_wakes_a_worker_that_waits_for_a_key() {
    let p = with_keys("a hello acquire=gemini/flash release=limited:3600 acquire=gemini/flash\n", 1);
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_out("[a] waiting RateLimited");
    run.signal(nix::sys::signal::Signal::SIGINT);
    run.wait().code(130);
    assert_eq!(p.outcome("a"), "interrupted");
}

#[test]
fn with_key_waits_for_a_key_before_it_starts_and_returns_it_at_the_end() {
    let p = with_keys("a touch=up await=go\nb out=b\n", 1);
    let mut run = p.start(&format!("run items.txt -j2 --with-key gemini {DO}"));
    run.wait_file("up").wait_err("Credential pool exhausted");
    p.write("go", "");
    run.wait().code(0).prints("[b] b\n");
}

#[test]
fn five_workers_on_two_keys_all_get_their_turn() {
    let (before, after) =
        ("acquire=gemini/flash release=ok ".repeat(3), "acquire=gemini/flash release=ok ".repeat(2));
    let items = lines(5, |n| {
        format!("i{n} hello {before} acquire=gemini/flash release=limited:1 {after} finished=approved\n")
    });
    let p = with_keys(&items, 2);
    let run = p.run(&format!("run items.txt -j5 {DO}"));
    run.code(0);
    assert_eq!(p.summary()["totals"]["calls"], 5 * 6);
}
