//! A disk that is full, a directory that is read-only, a database that is broken: a clear error, exit code 125, and
//! nothing overwritten.

use std::fs;

use wf_tests::{Finished, Project, SmallDisk};

const DO: &str = "-- wf-fixture-worker do={}";

/// All that was recorded is whole: every line of the journal is an event, and the commands that read it work.
#[track_caller]
fn is_intact(p: &Project) {
    let text = p.read(p.latest().join("journal.jsonl"));
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    for line in whole.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    p.run("list").code(0);
    p.run("show").code(0);
}

#[track_caller]
fn is_full(run: &Finished) {
    run.code(125);
    let says = |words: &[&str]| words.iter().any(|word| run.err().to_lowercase().contains(word));
    assert!(says(&["no space left", "disk", "file too large"]), "it does not say what is wrong\n{run}");
}

#[test]
fn a_full_disk_ends_the_run_with_125_and_the_rest_is_done_when_there_is_room() {
    let p = Project::new();
    let state = p.path("state");
    fs::create_dir(&state).unwrap();
    let Some(disk) = SmallDisk::mount(&state, 2 << 20) else {
        // Mounting takes a privilege; the next test fills a disk for everybody.
        return;
    };
    p.write("items.txt", "a count=starts\nb count=starts flood=8000000\nc count=starts\n");
    let run = p.run(&format!("run items.txt --state-dir state --output none {DO}"));
    is_full(&run);
    assert!(!p.sorted_lines("starts").contains(&"c 1".to_owned()), "nothing more is started\n{run}");
    // Room again: what was recorded counts.
    for log in fs::read_dir(fs::canonicalize(state.join("runs/latest")).unwrap()).unwrap().flatten() {
        if log.file_name() == "b.log" {
            fs::remove_file(log.path()).unwrap();
        }
    }
    p.write("items.txt", "a count=starts\nc count=starts\n");
    p.run(&format!("run items.txt --state-dir state {DO}")).code(0).says("1 of 2 already done");
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1", "c 1"]);
    p.run("list --state-dir state").code(0);
    drop(disk);
}

#[test]
fn files_that_may_not_grow_end_the_run_with_125() {
    let p = Project::with_items("a count=starts\nb count=starts flood=4000000\nc count=starts\n");
    // Enough for the database and the journal, too little for a log.
    let run = p.supervisor(&format!("run items.txt --output none {DO}")).with_file_size_limit(1 << 20).run();
    is_full(&run);
    is_intact(&p);
    assert!(!p.sorted_lines("starts").contains(&"c 1".to_owned()), "nothing more is started\n{run}");
    p.write("items.txt", "a count=starts\nc count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(0).says("1 of 2 already done");
}

#[test]
fn a_disk_that_is_full_from_the_start_starts_nothing() {
    let p = Project::with_items("a count=starts\n");
    let run = p.supervisor(&format!("run items.txt {DO}")).with_file_size_limit(1).run();
    is_full(&run);
    assert_eq!(p.sorted_lines("starts"), Vec::<String>::new());
}

#[test]
fn a_state_directory_that_cannot_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let p = Project::with_items("a count=starts\n");
    p.write("locked/file", "");
    fs::set_permissions(p.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    // Permissions do not hold root back, so there the path leads through a file.
    let dir = if nix::unistd::geteuid().is_root() { "locked/file/state" } else { "locked/state" };
    let run = p.run(&format!("run items.txt --state-dir {dir} {DO}"));
    run.code(125).says("locked");
    assert_eq!(p.sorted_lines("starts"), Vec::<String>::new());
}

#[test]
fn a_read_only_file_system_is_told() {
    use nix::mount::{MsFlags, mount};
    let p = Project::with_items("a count=starts\n");
    let state = p.path("state");
    fs::create_dir(&state).unwrap();
    let Some(disk) = SmallDisk::mount(&state, 1 << 20) else { return };
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, &state, None::<&str>, flags, None::<&str>).unwrap();
    p.run(&format!("run items.txt --state-dir state {DO}"))
        .code(125)
        .says_in_one_line(&["state", "ead-only"]);
    assert_eq!(p.sorted_lines("starts"), Vec::<String>::new());
    drop(disk);
}

/// What the one damaged index holds that was set aside.
#[track_caller]
fn set_aside(p: &Project) -> Vec<u8> {
    let aside: Vec<_> = fs::read_dir(p.path(".wf"))
        .expect("the run has a state directory")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("history.db.damaged-"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    fs::read(aside[0].path()).expect("it was just found")
}

#[test]
fn a_corrupt_history_is_kept_and_made_again() {
    let p = Project::with_items("a count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    let broken = b"this is no database, but somebody may want to look at it".repeat(100);
    p.write(".wf/history.db", &broken);
    let run = p.run(&format!("run items.txt {DO}"));
    run.code(0).says("history.db was damaged").says("1 of 1 already done");
    assert_eq!(set_aside(&p), broken);
    assert_eq!(p.sorted_lines("starts"), ["a 1"]);
    p.run(&format!("run items.txt {DO}")).code(0).never_says("damaged");
}

#[test]
fn a_history_that_was_cut_is_kept_and_made_again() {
    let p = Project::with_items("a count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    let whole = p.read_bytes(".wf/history.db");
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(p.path(format!(".wf/history.db{suffix}")));
    }
    let cut = &whole[..whole.len() / 2 + 100];
    p.write(".wf/history.db", cut);
    let run = p.run(&format!("run items.txt {DO}"));
    run.code(0).says("history.db was damaged").says("1 of 1 already done");
    assert_eq!(set_aside(&p), cut);
}

#[test]
fn a_history_of_a_newer_version_is_refused_and_kept() {
    let p = Project::with_items("a count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    let path = p.path(".wf/history.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 9999).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    p.run(&format!("run items.txt {DO}")).code(125).says_in_one_line(&["history.db", "newer"]);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(p.sorted_lines("starts"), ["a 1"]);
}

#[test]
fn a_database_of_another_program_is_refused_and_kept() {
    let p = Project::with_items("a\n");
    p.run("run items.txt -- true").code(0);
    let path = p.path(".wf/history.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(p.path(format!(".wf/history.db{suffix}")));
    }
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);").unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    p.run("run items.txt -- true").code(125).says("history.db");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_missing_history_is_made_again_from_the_journals() {
    let p = Project::with_items("a count=starts\nb count=starts need=mended\n");
    p.run(&format!("run items.txt {DO}")).code(1);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(p.path(format!(".wf/history.db{suffix}")));
    }
    p.write("mended", "");
    p.run(&format!("run items.txt {DO}")).code(0).says("1 of 2 already done in run ");
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1", "b 1"]);
    assert!(p.has(".wf/history.db"));
}

#[test]
fn a_missing_history_is_made_again_also_from_a_killed_runs_torn_journal() {
    let p = Project::with_items("a count=starts\nb count=starts touch=up await=go\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("up");
    run.kill_nine();
    let journal = p.latest().join("journal.jsonl");
    let mut text = fs::read(&journal).unwrap();
    text.extend_from_slice(b"{\"ts\":\"2026-1");
    fs::write(&journal, text).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(p.path(format!(".wf/history.db{suffix}")));
    }
    p.write("go", "");
    p.run(&format!("run items.txt {DO}")).code(0).says("1 of 2 already done in run ");
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1", "b 1"]);
}

#[test]
fn a_deleted_state_directory_means_that_nothing_is_done() {
    let p = Project::with_items("a count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    fs::remove_dir_all(p.path(".wf")).unwrap();
    p.run(&format!("run items.txt {DO}")).code(0);
    assert_eq!(p.sorted_lines("starts"), ["a 1", "a 1"]);
}

#[test]
fn a_state_directory_that_vanishes_during_the_run_is_no_silent_loss() {
    let p = Project::with_items("a touch=up await=go\nb count=starts\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("up");
    fs::remove_dir_all(p.path(".wf")).unwrap();
    p.write("go", "");
    run.wait().code(125);
}

#[test]
fn a_joblog_that_cannot_be_written_is_told_before_anything_starts() {
    let p = Project::with_items("a count=starts\n");
    let run = p.run(&format!("run items.txt --joblog nowhere/jobs {DO}"));
    run.says("nowhere/jobs");
    assert!(matches!(run.exit_code(), Some(2 | 125)), "{run}");
    assert_eq!(p.sorted_lines("starts"), Vec::<String>::new());
}

#[test]
fn a_worker_that_finds_no_room_is_interrupted_and_the_run_stops() {
    let p = Project::new();
    p.write("issues/1.md", "# One\n\nIt is slow.\n");
    p.write("issues/2.md", "# Two\n\nIt is slow.\n");
    let docs = p.path(".wf/mock/docs");
    fs::create_dir_all(&docs).unwrap();
    let Some(disk) = SmallDisk::mount(&docs, 4096) else { return };
    fs::write(docs.join("filler"), [b'x'; 4096]).unwrap();
    let run = p.run("run -w lld --mock --item 1 --item 2 --parallel 1");
    is_full(&run);
    run.says_in_one_line(&["LLD-1.md", "No space left on device", "run the same command again"]);
    assert!(run.err().contains("1 interrupted"), "{run}");
    assert!(!run.out().contains("LLD-2] >>>"), "nothing more is started\n{run}");
    drop(disk);
    let again = p.run("run -w lld --mock --item 1 --item 2 --parallel 1");
    again.code(0);
}

#[test]
fn a_journal_damaged_in_its_middle_is_named_and_what_the_rest_proves_counts() {
    let p = Project::with_items("a count=starts\nb count=starts\nc count=starts hang\n");
    let command = "run items.txt -j1 -- wf-fixture-worker do={}";
    let mut run = p.start(command);
    run.wait_err("b succeeded");
    run.kill_nine();
    let path = p.latest().join("journal.jsonl");
    let text = p.read(&path);
    let hit = |line: &&str| line.contains("\"item_ended\"") && line.contains("\"a\"");
    let line = text.lines().find(hit).expect("the first item has ended");
    let damaged = text.replace(line, &"\0".repeat(30));
    assert_ne!(damaged, text);
    std::fs::write(&path, damaged).unwrap();
    p.run("show").code(0).prints("journal.jsonl: line ").prints("cannot be read");

    p.write("items.txt", "a count=starts\nb count=starts\n");
    let again = p.run(command);
    again.code(0).says("journal.jsonl: line ").says("2 of 2 already done in run ");
    assert_eq!(p.sorted_lines("starts"), ["a 1", "b 1", "c 1"], "nothing is done twice");

    // What was proven is kept when the damaged journal goes, and found there by an index that is made again.
    p.run("clean --keep 0").code(0);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(p.path(format!(".wf/history.db{suffix}")));
    }
    p.run(command).code(0).says("2 of 2 already done");
}

#[test]
fn a_run_that_was_killed_before_it_began_is_said_so() {
    let p = Project::with_items("a count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    let early = p.path(".wf/runs/2036-11-21T05-14-49Z-7f3a");
    fs::create_dir(&early).unwrap();
    p.run("list").code(0).prints("before it began");
    p.run("show 7f3a").code(0).prints("was killed before it began");
    fs::write(early.join("journal.jsonl"), "").unwrap();
    p.run("show 7f3a").code(0).prints("was killed before it began");
    p.run(&format!("run items.txt {DO}")).code(0).says("1 of 1 already done");
}

#[test]
fn a_state_directory_that_another_user_made_is_refused() {
    // Only root can give a directory away.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let give = |path: std::path::PathBuf| {
        std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
    };
    let p = Project::with_items("a count=starts\n");
    fs::create_dir(p.path(".wf")).unwrap();
    give(p.path(".wf"));
    p.run(&format!("run items.txt {DO}")).code(2).says_in_one_line(&[".wf", "belongs to another user"]);
    p.assert_only(&["items.txt"]);

    let p = Project::with_items("a count=starts\n");
    p.run(&format!("run items.txt {DO}")).code(0);
    for part in ["runs", "checkpoints", "lineage", "history.db"] {
        give(p.path(".wf").join(part));
        let run = p.run(&format!("run items.txt --redo {DO}"));
        run.code(2).says_in_one_line(&[part, "belongs to another user"]);
        std::os::unix::fs::chown(p.path(".wf").join(part), Some(0), None).unwrap();
    }
    assert_eq!(p.sorted_lines("starts"), ["a 1"]);
}
