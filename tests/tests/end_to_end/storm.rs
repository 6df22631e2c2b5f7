//! Every fault at once: what the pool is for.

use wf_tests::mock::MockProvider;
use wf_tests::processes::{children, contains, environ};
use wf_tests::{Project, Running, lines};

const WORKERS: u32 = 48;

/// What the processes of a run show of themselves to everybody.
fn shown_by_processes(run: &Running) -> Vec<u8> {
    let mut shown = Vec::new();
    let mut next = vec![run.pid()];
    while let Some(pid) = next.pop() {
        shown.extend(environ(pid));
        for child in children(pid) {
            shown.extend(child.command.as_bytes());
            next.push(child.pid);
        }
    }
    shown
}

#[test]
fn forty_eight_workers_on_twelve_keys_come_through_a_storm_of_every_fault() {
    let p = Project::new();
    // A minute of the mock's is a second: ten calls of each project in every second.
    let mock = MockProvider::start(
        &p,
        "--profile instant --keys 12 --groups 6 --group-rpm 600 --time-scale 60 --latency 3s --seed 5 \
         --revoke mock-a --no-credit mock-2 --exhaust-day mock-3",
    );
    mock.control(
        r#"{"faults": {"limited": 0.15, "overloaded": 0.01, "failed": 0.01, "cut": 0.01, "dropped": 0.01, "slow": 0.1,
            "per_prompt": 1}}"#,
    );
    mock.configure(&p, 12, "[run]\nmax_parallel = 48\n");
    for n in 0..WORKERS {
        let text = format!(
            "# Export part {n} as CSV\n\n<!-- mock: approve@1 -->\n\nPeople copy numbers by hand.\n\n\
             - The report page has a button that downloads a CSV file\n- A report without rows has the header alone\n"
        );
        p.write(&format!("issues/{n}.md"), text);
    }
    p.write("items.txt", lines(WORKERS, |n| format!("{n}\n")));
    let mut run = p.start(&format!("run items.txt -j{WORKERS} -v"));
    run.wait_for("the run's end", |running| {
        let shown = shown_by_processes(running);
        for (name, secret, _) in &mock.keys {
            assert!(!contains(&shown, secret.as_bytes()), "a process shows the secret of {name}");
        }
        p.has(".wf/runs/latest").then(|| p.latest().join("summary.json").exists().then_some(())).flatten()
    });
    let run = run.wait();
    run.code(0).never_says("FAILED").never_says("INTERRUPTED").never_says("No usable key left");
    let (summary, counters) = (p.summary(), mock.counters());
    assert_eq!(summary["counts"]["approved"], WORKERS, "{summary:#}");
    assert_eq!(summary["totals"]["attempts"], WORKERS, "no worker met a failure: {summary:#}");
    for (kind, what) in [("limited", "429"), ("refused", "a bad key"), ("errors", "lost replies")] {
        assert!(counters["total"][kind].as_u64() > Some(0), "the storm had {what}: {counters:#}");
    }

    // Both sides of the wire counted the same.
    assert_eq!(summary["totals"]["calls"], counters["total"]["calls"], "{run}");
    for key in summary["keys"].as_array().unwrap() {
        let name = key["name"].as_str().unwrap();
        let seen = &counters["keys"][name];
        // A mock that was never called with a key may not list it.
        assert_eq!(key["calls"].as_u64(), seen["calls"].as_u64().or(Some(0)), "{name}: {key:#} {seen:#}");
    }
    let sum = |what: &str| -> u64 {
        summary["keys"].as_array().unwrap().iter().filter_map(|key| key[what].as_u64()).sum()
    };
    assert_eq!(summary["totals"]["calls"], sum("calls"));
    assert_eq!(summary["totals"]["tokens_in"], sum("tokens_in"));
    assert_eq!(summary["totals"]["tokens_out"], sum("tokens_out"));

    // What people were told of it fits a screen.
    let told = run.err().lines().filter(|line| line.starts_with("[COORDINATOR] ")).count();
    assert!(told < 60, "{told} lines\n{run}");
    run.says("Key mock-a was refused by its provider");
    for (name, secret, _) in &mock.keys {
        run.never_says(secret);
        assert!(!run.command.contains(secret.as_str()), "{name}");
        p.assert_nowhere_in_state(secret.as_bytes());
    }
    mock.stop();
}
