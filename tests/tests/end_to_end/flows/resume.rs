//! Stopped after each of its nodes, a workflow goes on where it was: nothing is paid twice, and the result is the same.

use nix::sys::signal::Signal;
use wf_tests::Project;
use wf_tests::mock::MockProvider;

use super::{Flow, answered};

/// How an attempt comes to its end before its work does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Ctrl+C: workers are asked.
    Asked,
    /// SIGKILL of the supervisor.
    Killed,
    /// The watchdog of the attempt.
    TimedOut,
}

/// The ids of the items that are stopped: one for each node of the way.
fn ids(flow: &Flow) -> Vec<String> {
    (0..flow.way.len()).map(|k| (100 + k).to_string()).collect()
}

fn project(flow: &Flow) -> (Project, MockProvider) {
    let p = Project::new();
    let ids = ids(flow);
    for id in &ids {
        flow.write_input(&p, id, "approve@2");
    }
    p.write("items.txt", ids.join("\n"));
    let mock = MockProvider::start(&p, "--profile instant");
    mock.configure(&p, 2, "");
    (p, mock)
}

fn stopped_after_each_node(flow: &str, stop: Stop) {
    let flow = Flow::find(flow);
    let (whole, its_mock) = project(flow);
    whole.run(&format!("run items.txt -w {} -j4", flow.name)).code(0);

    let (p, mock) = project(flow);
    for (k, id) in ids(flow).iter().enumerate() {
        let (node, calls) = flow.way[k];
        // Whoever goes on after this node comes to a call that is not answered.
        mock.control(&format!("{{\"hold_after\": {calls}}}"));
        let limit = if stop == Stop::TimedOut { "--timeout 1s" } else { "" };
        let command = format!("run --item {id} -w {} --item-retries 0", flow.name);
        let mut run = p.start(&format!("{command} {limit}"));
        let line = format!("[{}] <<< {node}:", flow.label(id));
        let times = flow.way[..=k].iter().filter(|(name, _)| *name == node).count();
        let seen = |out: &str| out.matches(&line).count() == times;
        if stop != Stop::TimedOut {
            run.wait_for(&line, |run| seen(&run.out()).then_some(()));
            // After the last call nothing holds it, and it may be through.
            if !run.has_ended() {
                run.signal(if stop == Stop::Asked { Signal::SIGINT } else { Signal::SIGKILL });
            }
        }
        let run = run.wait();
        if calls < flow.way[flow.way.len() - 1].1 {
            let ends = match stop {
                Stop::Asked => Some(130),
                Stop::Killed => None,
                Stop::TimedOut => Some(1),
            };
            assert_eq!(run.exit_code(), ends, "{stop:?} after {node}: {run}");
            assert!(!p.has(flow.output(id)), "{stop:?} after {node}: {run}");
        }
        mock.control("{\"hold\": false}");
        p.run(&command).code(0);
        assert_eq!(flow.lineage(&p, id), flow.lineage(&whole, id), "{stop:?} after {node}");
    }
    assert_eq!(flow.results(&p), flow.results(&whole));
    // No call was answered that was not kept, so none was made twice.
    assert_eq!(answered(&mock), answered(&its_mock));
    assert_eq!(mock.counters()["duplicates"], 0);
    mock.stop();
    its_mock.stop();
}

#[test]
fn issue_asked() {
    stopped_after_each_node("issue", Stop::Asked);
}

#[test]
fn issue_killed() {
    stopped_after_each_node("issue", Stop::Killed);
}

#[test]
fn issue_timed_out() {
    stopped_after_each_node("issue", Stop::TimedOut);
}

#[test]
fn lld_asked() {
    stopped_after_each_node("lld", Stop::Asked);
}

#[test]
fn lld_killed() {
    stopped_after_each_node("lld", Stop::Killed);
}

#[test]
fn lld_timed_out() {
    stopped_after_each_node("lld", Stop::TimedOut);
}
