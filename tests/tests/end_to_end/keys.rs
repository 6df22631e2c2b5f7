//! The key pool as an operator sees it: `keys` and `show` while a run lives, keys that are added to it, what the next run
//! remembers.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use wf_tests::mock::MockProvider;
use wf_tests::processes::is_alive;
use wf_tests::{Project, Running, lines, wait_until};

const DO: &str = "-- wf-fixture-worker do={}";

/// A `wf.toml` with keys of the provider `gemini`, each with a project of its own: name and what `secret` is to be.
fn configure(p: &Project, keys: &[(&str, String)], more: &str) {
    let mut toml = String::new();
    for (name, secret) in keys {
        // Writing to memory cannot fail.
        let _ =
            writeln!(toml, "[[keys]]\nname = \"{name}\"\nprovider = \"gemini\"\nquota_group = \"g-{name}\"");
        let _ = writeln!(toml, "max_in_flight = 1\nsecret = {secret}");
    }
    p.write("wf.toml", toml + more);
}

/// A private file with a secret, and what `secret` in `wf.toml` is to be for it.
fn secret_file(p: &Project, name: &str, secret: &str) -> (PathBuf, String) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = p.write(name, secret);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it was just written");
    let source = format!("{{ file = {:?} }}", path.display().to_string());
    (path, source)
}

/// Replaces a private file at once, as a careful operator does.
fn replace_secret(p: &Project, name: &str, secret: &str) {
    let (path, _) = secret_file(p, &format!("{name}.new"), secret);
    fs::rename(path, p.path(name)).expect("it was just written");
}

/// Waits until `keys --json` of the live run shows what is looked for.
fn wait_keys<T>(run: &mut Running, p: &Project, what: &str, look: impl Fn(&[Value]) -> Option<T>) -> T {
    run.wait_for(what, |_| look(p.run("keys --json").code(0).json().as_array()?))
}

fn mock_calls(mock: &MockProvider, key: &str, what: &str) -> u64 {
    mock.counters()["keys"][key][what].as_u64().expect("the mock counts calls by key")
}

/// An issue per id for the workflow `lld`, approved by its first review.
fn issues(p: &Project, ids: &[String]) {
    for id in ids {
        let text = format!(
            "# Export part {id} as CSV\n\n<!-- mock: approve@1 -->\n\nPeople copy numbers by hand.\n\n\
             - The report page has a button that downloads a CSV file\n- A report without rows has the header alone\n"
        );
        p.write(&format!("issues/{id}.md"), text);
    }
}

fn ids(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[test]
fn keys_and_show_tell_how_the_pool_of_a_live_run_stands() {
    let p = Project::with_items(
        "a hello acquire=gemini/flash touch=held await=go release=ok finished=approved\n\
         b await=held hello acquire=gemini/flash release=ok finished=approved\n",
    );
    let secret = "live-pool-secret-0123456789";
    configure(&p, &[("k1", p.key_file(secret))], "[quota.g-k1]\nrpm = 600\nrpd = 1000\n");
    let mut run = p.start(&format!("run items.txt -j2 {DO}"));
    run.wait_out("[b] waiting AllReserved");
    let key = wait_keys(&mut run, &p, "a reserved key", |keys| {
        (keys[0]["state"] == "reserved").then(|| keys[0].clone())
    });
    assert_eq!(key["run"], p.run_id());
    assert_eq!((&key["left_day"], &key["live"]["reserved"]), (&999.into(), &1.into()), "{key:#}");
    let requests = &key["live"]["quotas"][0]["requests"];
    assert_eq!((&requests["limit"], &requests["from"]), (&600.into(), &"configured".into()), "{key:#}");
    let text = p.run("keys");
    text.code(0).prints(&format!("run {}, pool at ", p.run_id())).prints("reserved (1)").prints("600 rpm");
    let show = run.wait_for("the paused item", |_| {
        let show = p.run("show");
        show.out().contains("paused").then_some(show)
    });
    show.code(0).prints("all keys are reserved").prints("reserved (1)").prints("2 workers, 1 paused");
    let show = p.run("show --json").code(0).json();
    assert_eq!(show["state"], "running");
    assert_eq!(
        (&show["items"][0]["state"], &show["items"][1]["state"]),
        (&"running".into(), &"paused".into())
    );
    assert_eq!(show["pool"]["paused"][0]["item"], "b", "{show:#}");
    for text in [text.out(), key.to_string(), show.to_string()] {
        assert!(!text.contains(secret), "{text}");
    }
    p.write("go", "");
    run.wait().code(0);
    assert!(!p.latest().join("pool.json").exists(), "it goes with the run");
    let summary = p.summary();
    assert_eq!(summary["keys"][0]["calls"], 2, "{summary:#}");
    assert_eq!(summary["keys"][0]["tokens_in"], summary["totals"]["tokens_in"]);
    assert_eq!(summary["keys"][0]["share"], 3, "2 of 600 in a minute: {summary:#}");
    p.run("show").code(0).prints("of quota");
    assert_eq!(p.run("keys --json").json()[0]["state"], "available");
}

#[test]
fn an_idle_run_writes_nothing() {
    let p = Project::with_items(
        "a hello acquire=gemini/flash touch=held await=go release=ok finished=approved\n",
    );
    configure(&p, &[("k1", p.key_file("idle-run-secret-0123456789"))], "");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("held");
    wait_keys(&mut run, &p, "a reserved key", |keys| (keys[0]["state"] == "reserved").then_some(()));
    let sleeps = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
    };
    // Whatever was still to be done is done within a second; from then on it does not wake up once.
    let mut before = None;
    let begin = std::time::Instant::now();
    wait_until("three seconds without waking up", || {
        let (now, passed) = (sleeps(run.pid()), begin.elapsed());
        let (count, since) = *before.get_or_insert((now, passed));
        if count != now {
            before = Some((now, passed));
        }
        (count == now && passed.saturating_sub(since).as_secs() >= 3).then_some(())
    });
    p.write("go", "");
    run.wait().code(0);
}

#[test]
fn a_key_in_a_file_is_added_to_a_run_that_waits() {
    let p = Project::with_items(
        "a hello acquire=gemini/flash release=limited:3600 acquire=gemini/flash release=ok finished=approved\n",
    );
    let (_, old) = secret_file(&p, "old.key", "the-old-secret-0123456789");
    let source = format!("{{ file = {:?} }}", p.path("new.key").display().to_string());
    configure(&p, &[("old", old), ("new", source)], "");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_err("All keys rate-limited until ");
    // Its source breaks and is mended meanwhile: said once, and the run goes on.
    fs::remove_file(p.path("old.key")).unwrap();
    run.wait_err("key old cannot be read anew: ");
    let (path, _) = secret_file(&p, "prepared.key", "the-new-secret-0123456789");
    fs::rename(path, p.path("new.key")).unwrap();
    run.wait_err("Key new was read anew and is tried");
    let run = run.wait();
    run.code(0).prints("[a] granted new\n");
    assert_eq!(run.err().matches("key old cannot be read anew").count(), 1, "{run}");
    p.assert_nowhere_in_state(b"the-new-secret-0123456789");
}

#[test]
fn a_key_from_a_command_is_added_to_a_run_that_waits() {
    let p = Project::with_items(
        "a hello acquire=gemini/flash release=limited:3600 acquire=gemini/flash secret release=ok finished=approved\n",
    );
    let (_, old) = secret_file(&p, "old.key", "the-old-secret-0123456789");
    let command = format!("{{ command = [\"cat\", {:?}] }}", p.path("new.key").display().to_string());
    configure(&p, &[("old", old), ("new", command)], "");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_err("All keys rate-limited until ");
    secret_file(&p, "new.key", "the-new-secret-0123456789\n");
    let run = run.wait();
    run.code(0).says("Key new was read anew and is tried").prints("[a] granted new\n");
    run.never_says("the-new-secret").never_says("FAILED");
}

#[test]
fn a_burial_spares_the_command_of_a_key_source() {
    let p = Project::with_items(
        "a hello acquire=gemini/flash release=limited:3600 acquire=gemini/flash release=ok finished=approved\n\
         b touch=b-up await=go\n",
    );
    let (_, old) = secret_file(&p, "old.key", "the-old-secret-0123456789");
    // Absent at the start; later it takes its time, until the warden beside it was buried or is waiting to be.
    let script = format!(
        "cd {:?} && test -f go-on && touch reading && while ! test -f answer; do sleep 0.05; done; cat new.key",
        p.dir().display().to_string()
    );
    configure(&p, &[("old", old), ("new", format!("{{ command = [\"sh\", \"-c\", {script:?}] }}"))], "");
    let mut run = p.start(&format!("run items.txt -j2 {DO}"));
    run.wait_err("All keys rate-limited until ").wait_file("b-up");
    secret_file(&p, "new.key", "the-new-secret-0123456789");
    p.write("go-on", "");
    run.wait_file("reading");
    let b = p.journal().iter().find(|e| e["event"] == "attempt_started" && e["item"] == "b").unwrap()["slot"]
        .clone();
    let wardens = run.wait_wardens(2);
    let warden = wardens.iter().find(|w| w.command.ends_with(&format!(" {b}"))).unwrap();
    kill(Pid::from_raw(warden.pid), Signal::SIGKILL).unwrap();
    wait_until("the warden's death", || (!is_alive(warden.pid)).then_some(()));
    p.write("answer", "");
    p.write("go", "");
    let run = run.wait();
    run.says("Key new was read anew and is tried").prints("[a] granted new\n");
    assert_eq!(p.outcome("a"), "succeeded");
}

#[test]
fn a_check_says_which_keys_are_good() {
    let p = Project::new();
    let mock = MockProvider::start(&p, "--profile instant --keys 2 --revoke mock-b");
    let mut toml = format!(
        "[providers.gemini]\nbase_url = \"{}\"\n[providers.gone]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\n",
        mock.base_url
    );
    let secrets = [&mock.keys[0].1, &mock.keys[1].1, "nobody-answers-0123456789"];
    for (name, (provider, secret)) in
        [("good", ("gemini", secrets[0])), ("revoked", ("gemini", secrets[1])), ("far", ("gone", secrets[2]))]
    {
        let source = p.key_file(secret);
        let _ = writeln!(toml, "[[keys]]\nname = \"{name}\"\nprovider = \"{provider}\"\nsecret = {source}");
    }
    p.write("wf.toml", &toml);
    let run = p.run("keys --check --json");
    let rows = run.code(1).json();
    let check = |n: usize| rows[n]["check"].as_str().unwrap_or_default().to_owned();
    assert_eq!(check(0), "ok");
    assert!(check(1).starts_with("the key was refused: "), "{rows:#}");
    assert!(check(2).starts_with("no answer: "), "{rows:#}");
    for secret in secrets {
        run.never_says(secret);
    }
    assert_eq!(mock.counters()["key_checks"], 2, "one harmless request each");
    assert_eq!(mock.counters()["total"]["ok"], 0);
    p.write("wf.toml", toml.split("[[keys]]\nname = \"revoked\"").next().unwrap());
    p.run("keys --check").code(0).prints("CHECK").prints("ok");
    mock.stop();
}

#[test]
fn a_second_run_does_not_find_out_again_that_a_key_is_refused_or_its_day_used_up() {
    let p = Project::new();
    let mock =
        MockProvider::start(&p, "--profile instant --keys 3 --groups 3 --revoke mock-a --exhaust-day mock-2");
    mock.configure(&p, 3, "");
    let first = ids(1..5);
    issues(&p, &ids(1..9));
    p.write("items.txt", first.join("\n"));
    let run = p.run("run items.txt -j4");
    run.code(0).says("Key mock-a was refused by its provider and is not used any more");
    run.says_in_one_line(&["The day's requests of mock-b are used up. Nothing is sent before "]);
    let refused = mock_calls(&mock, "mock-a", "refused");
    let limited = mock_calls(&mock, "mock-b", "limited");
    assert!(refused > 0 && limited > 0, "{:#}", mock.counters());
    let keys = p.run("keys --json").json();
    assert!(keys[0]["state"].as_str().unwrap().starts_with("quarantined: "), "{keys:#}");
    assert_eq!(keys[1]["state"], "day-exhausted");

    p.write("items.txt", ids(5..9).join("\n"));
    let run = p.run("run items.txt -j4");
    run.code(0).says_in_one_line(&[
        "From earlier runs: mock-a is quarantined (",
        "; the day of mock-b is used up until ",
        "1 of 3 keys usable.",
    ]);
    assert_eq!(mock_calls(&mock, "mock-a", "refused"), refused, "{run}");
    assert_eq!(mock_calls(&mock, "mock-b", "limited"), limited, "{run}");
    mock.stop();
}

#[test]
fn a_changed_secret_under_the_same_name_ends_a_quarantine() {
    // While the other key is out, the one in doubt is asked for again, and refused again.
    let p = Project::with_items(
        "b hello acquire=gemini/flash touch=held await=refused release=ok finished=approved\n\
         a await=held hello acquire=gemini/flash release=refused acquire=gemini/flash release=refused touch=refused \
         finished=approved\n",
    );
    let (_, k1) = secret_file(&p, "k1.key", "the-first-secret-0123456789");
    let (_, k2) = secret_file(&p, "k2.key", "the-other-secret-0123456789");
    configure(&p, &[("k1", k1), ("k2", k2)], "");
    p.run(&format!("run items.txt -j2 {DO}")).code(0).says("Key k2 was refused by its provider");
    let next = |id: &str| {
        p.write("items.txt", format!("{id} hello acquire=gemini/flash release=ok finished=approved\n"));
        p.run(&format!("run items.txt {DO}"))
    };
    next("c").code(0).says("From earlier runs: k2 is quarantined (so said the fixture). 1 of 2 keys usable.");
    replace_secret(&p, "k2.key", "the-changed-secret-0123456789");
    next("d").code(0).never_says("From earlier runs");
    assert_eq!(p.run("keys --json").json()[1]["state"], "available");
}

#[test]
fn a_learned_limit_is_known_to_the_next_run() {
    let calls = "acquire=gemini/flash release=ok ".repeat(8);
    let p = Project::with_items(&format!(
        "a hello {calls}acquire=gemini/flash release=limited:1 finished=approved\n"
    ));
    configure(&p, &[("k1", p.key_file("learning-secret-0123456789"))], "");
    p.run(&format!("run items.txt {DO}")).code(0);
    let open = rusqlite::Connection::open(p.path(".wf/history.db")).unwrap();
    let text: String =
        open.query_row("SELECT value FROM pool_state WHERE name = 'real'", [], |row| row.get(0)).unwrap();
    let kept: Value = serde_json::from_str(&text).unwrap();
    let learned = kept["pool"]["quotas"][0]["learned_rpm"].as_f64().expect("a rate was learned");
    p.write("items.txt", "b hello acquire=gemini/flash touch=held await=go release=ok finished=approved\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("held");
    let requests = wait_keys(&mut run, &p, "a known limit", |keys| {
        let requests = &keys[0]["live"]["quotas"][0]["requests"];
        requests.is_object().then(|| requests.clone())
    });
    assert_eq!(requests["from"], "learned", "{requests:#}");
    assert_eq!(requests["limit"], learned as u64, "without having been refused anything");
    p.write("go", "");
    run.wait().code(0);
}

#[test]
fn what_was_found_out_survives_a_kill_and_a_restart_makes_no_burst() {
    let p = Project::new();
    // A minute of the mock's is a second, so 20 of its requests per minute are 1,200 of ours.
    let mock = MockProvider::start(
        &p,
        "--profile instant --keys 2 --groups 2 --group-rpm 20 --time-scale 60 --revoke mock-a",
    );
    mock.configure(&p, 2, "[quota.mock-1]\nrpm = 1200\n[quota.mock-2]\nrpm = 1200\n");
    let all = ids(1..17);
    issues(&p, &all);
    p.write("items.txt", all.join("\n"));
    let mut run = p.start("run items.txt -j4");
    run.wait_err("Key mock-a was refused by its provider");
    // It is on disk a moment later, with the run's next look at its pool.
    wait_until("the quarantine to be on disk", || {
        let db = p.path(".wf/history.db");
        let open =
            rusqlite::Connection::open_with_flags(db, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        let row = open
            .query_row("SELECT value FROM pool_state WHERE name = 'real'", [], |row| row.get::<_, String>(0));
        row.ok().filter(|text| text.contains("\"name\":\"mock-a\"")).map(drop)
    });
    run.kill_nine();
    let refused = mock_calls(&mock, "mock-a", "refused");
    p.run("run items.txt -j4").code(0).says("From earlier runs: mock-a is quarantined");
    assert_eq!(mock_calls(&mock, "mock-a", "refused"), refused);
    let counters = mock.counters();
    assert_eq!(counters["total"]["limited"], 0, "{counters:#}");
    assert!(counters["groups"]["mock-2"]["minute_max"].as_u64() <= Some(20), "{counters:#}");
    mock.stop();
}

#[test]
fn a_corrupt_memory_of_the_pool_is_said_and_kept() {
    let p = Project::with_items("a hello acquire=gemini/flash release=limited:600 finished=approved\n");
    configure(&p, &[("k1", p.key_file("corrupt-secret-0123456789"))], "");
    p.run(&format!("run items.txt {DO}")).code(0);
    let open = || rusqlite::Connection::open(p.path(".wf/history.db")).unwrap();
    open().execute("UPDATE pool_state SET value = '{\"at\": gar' WHERE name = 'real'", []).unwrap();
    p.run("keys").code(0).says("cannot be read");
    p.write("items.txt", "b hello acquire=gemini/flash release=ok finished=approved\n");
    let run = p.run(&format!("run items.txt {DO}"));
    run.code(0).says_in_one_line(&[
        "warning: ",
        "history.db",
        "cannot be read",
        "kept there as",
        "real.unreadable-",
    ]);
    let kept: String = open()
        .query_row("SELECT value FROM pool_state WHERE name LIKE 'real.unreadable-%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, "{\"at\": gar");
    p.run("keys").code(0).never_says("cannot be read");
}

#[test]
fn counters_of_another_day_are_dropped() {
    let p = Project::with_items("a hello acquire=gemini/flash release=ok finished=approved\n");
    configure(&p, &[("k1", p.key_file("another-day-secret-0123456789"))], "[quota.g-k1]\nrpd = 1\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    p.write("items.txt", "b hello acquire=gemini/flash release=ok finished=approved\n");
    let again = format!("run items.txt --max-wait 300ms {DO}");
    p.run(&again).code(75).prints("[b] denied MaxWait").says("the day of k1 is used up until ");
    let open = rusqlite::Connection::open(p.path(".wf/history.db")).unwrap();
    let text: String =
        open.query_row("SELECT value FROM pool_state WHERE name = 'real'", [], |row| row.get(0)).unwrap();
    let mut kept: Value = serde_json::from_str(&text).unwrap();
    kept["at"] = "2026-01-01T00:00:00Z".into();
    open.execute("UPDATE pool_state SET value = ?1 WHERE name = 'real'", [kept.to_string()]).unwrap();
    drop(open);
    p.run(&again).code(0).prints("[b] granted k1\n");
}

#[test]
fn a_run_directory_that_is_gone_is_no_fault_of_the_next_item() {
    let p = Project::new();
    p.write("items.txt", lines(3, |n| format!("i{n}\n")));
    let script = "test {id} = i0 && rm -rf \"$WF_RUN_DIR\"; exit 0";
    let run = p.run(["run", "items.txt", "--", "sh", "-c", script]);
    run.code(125).says_in_one_line(&["[COORDINATOR] ERROR: cannot open the log of i1 in "]);
    run.never_says("FAILED");
}

#[test]
fn a_warden_that_stands_still_at_the_end_is_killed_at_the_next_signal() {
    let p = Project::with_items("a touch=a-up await=go\nb exit=0\n");
    let mut run = p.start(&format!("run items.txt -j2 {DO}"));
    run.wait_file("a-up");
    run.wait_for("the end of b", |_| {
        p.journal().iter().any(|e| e["event"] == "item_ended" && e["item"] == "b").then_some(())
    });
    let a = p.journal().iter().find(|e| e["event"] == "attempt_started" && e["item"] == "a").unwrap()["slot"]
        .clone();
    let wardens = run.wait_wardens(2);
    let idle = wardens.iter().find(|w| !w.command.ends_with(&format!(" {a}"))).unwrap();
    kill(Pid::from_raw(idle.pid), Signal::SIGSTOP).unwrap();
    p.write("go", "");
    run.wait_for("the end of the run", |_| {
        p.journal().iter().any(|e| e["event"] == "run_ended").then_some(())
    });
    run.signal(Signal::SIGINT);
    let run = run.wait();
    run.code(0).says("[COORDINATOR] Killing what is left...").says("did not end and was killed");
}
