//! Tests of the checkpoint: durable steps, replies never asked for twice, and files that are not what they should be.

use super::kept::with_suffix;
use super::*;

fn role(model: &str) -> Role {
    Role {
        provider: "p".into(),
        kind: "gemini".into(),
        model: model.into(),
        base_url: "http://127.0.0.1:1".into(),
        max_output_tokens: 100,
        network: crate::job::Network::default(),
    }
}

fn identity() -> Identity {
    Identity { item: "42".into(), workflow: "lld".into(), drafter: role("d"), reviewer: role("r") }
}

fn at(node: &str, iteration: u32) -> Position {
    Position { node: node.into(), iteration, round: 0 }
}

fn in_dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoints/lld_workflow_42.db");
    (dir, path)
}

fn call(iteration: u32, purpose: &'static str) -> CallName {
    CallName { at: at("N1_draft", iteration), purpose }
}

fn reply(text: &str) -> Reply {
    Reply { text: text.into(), truncated: true, tokens_in: 3, tokens_out: u64::MAX }
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let (_dir, path) = in_dir();
    let (mut first, standing) = Checkpoint::open(&path, &identity()).unwrap();
    assert_eq!(standing, None);
    first.keep_reply(&call(1, "draft"), &reply("text")).unwrap();
    let next = Next::Node(at("N2_check", 1));
    first.commit(&at("N1_draft", 1), "drafted", &next, r#"{"a":1}"#, "abc").unwrap();
    drop(first);

    let asked = Identity { drafter: role("another"), ..identity() };
    let (second, standing) = Checkpoint::open(&path, &asked).unwrap();
    assert_eq!(standing, Some((next, r#"{"a":1}"#.to_owned())));
    assert_eq!(second.identity(), &identity(), "a resumed item keeps its models");
    let kept = second.reply(&call(1, "draft")).unwrap().unwrap();
    assert_eq!((kept.text.as_str(), kept.truncated, kept.tokens_out), ("text", true, i64::MAX as u64));
    assert_eq!(second.reply(&call(2, "draft")).unwrap(), None);
    assert_eq!(second.reply(&call(1, "mend")).unwrap(), None);
}

#[test]
fn a_reply_outlives_a_worker_that_was_killed_right_after_it() {
    let (_dir, path) = in_dir();
    let (mut checkpoint, _) = Checkpoint::open(&path, &identity()).unwrap();
    checkpoint.keep_reply(&call(1, "draft"), &reply("paid")).unwrap();
    // What is on disk now is what a SIGKILL leaves: the log is not folded back.
    let killed = path.with_file_name("killed.db");
    fs::copy(&path, &killed).unwrap();
    fs::copy(with_suffix(&path, "-wal"), with_suffix(&killed, "-wal")).unwrap();
    let (resumed, standing) = Checkpoint::open(&killed, &identity()).unwrap();
    assert_eq!(standing, None);
    assert_eq!(resumed.reply(&call(1, "draft")).unwrap().unwrap().text, "paid");
}

#[test]
fn spent_replies_answer_no_more_and_a_new_one_may_take_their_place() {
    let (_dir, path) = in_dir();
    let (mut checkpoint, _) = Checkpoint::open(&path, &identity()).unwrap();
    checkpoint.keep_reply(&call(1, "draft"), &reply("bad")).unwrap();
    checkpoint.keep_reply(&call(2, "draft"), &reply("other")).unwrap();
    checkpoint.spend_replies(&at("N1_draft", 1)).unwrap();
    assert_eq!(checkpoint.reply(&call(1, "draft")).unwrap(), None);
    assert_eq!(checkpoint.reply(&call(2, "draft")).unwrap().unwrap().text, "other");
    checkpoint.keep_reply(&call(1, "draft"), &reply("good")).unwrap();
    assert_eq!(checkpoint.reply(&call(1, "draft")).unwrap().unwrap().text, "good");
}

#[test]
fn a_restart_spends_all_replies_and_goes_where_it_is_told() {
    let (_dir, path) = in_dir();
    let (mut checkpoint, _) = Checkpoint::open(&path, &identity()).unwrap();
    checkpoint.keep_reply(&call(1, "draft"), &reply("old")).unwrap();
    checkpoint.restart(&identity(), Some((&at("N1_draft", 1), "{}"))).unwrap();
    assert_eq!(checkpoint.reply(&call(1, "draft")).unwrap(), None);
    drop(checkpoint);
    let (mut checkpoint, standing) = Checkpoint::open(&path, &identity()).unwrap();
    assert_eq!(standing, Some((Next::Node(at("N1_draft", 1)), "{}".to_owned())));
    let new = Identity { reviewer: role("new"), ..identity() };
    checkpoint.restart(&new, None).unwrap();
    drop(checkpoint);
    let (checkpoint, standing) = Checkpoint::open(&path, &identity()).unwrap();
    assert_eq!((standing, checkpoint.identity()), (None, &new));
}

#[test]
fn two_workers_cannot_hold_one_checkpoint() {
    let (_dir, path) = in_dir();
    let (_held, _) = Checkpoint::open(&path, &identity()).unwrap();
    assert!(matches!(Checkpoint::open(&path, &identity()), Err(CheckpointError::Held { .. })));
}

#[test]
fn what_a_worker_leaves_that_was_killed_while_making_it_is_no_checkpoint_yet() {
    let (_dir, path) = in_dir();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = WAL;").unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 0, "a header and nothing else");
    assert_eq!(peek(&path).unwrap(), None);
    let (_, standing) = Checkpoint::open(&path, &identity()).unwrap();
    assert_eq!(standing, None);
}

#[test]
fn files_that_are_no_checkpoint_are_refused_and_left_as_they_are() {
    let (_dir, path) = in_dir();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let made_by = |sql: &str| {
        let _ = fs::remove_file(&path);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        fs::read(&path).unwrap()
    };
    let ours = format!("PRAGMA application_id = {APPLICATION};");
    let table = "CREATE TABLE work (identity TEXT, input_sha256 TEXT, next TEXT, state TEXT)";
    let cases = [
        ("prose", b"this is no database at all, not even a page of one".repeat(40)),
        ("another program's", made_by("CREATE TABLE t (x)")),
        ("newer", made_by(&format!("{ours} PRAGMA user_version = 2; CREATE TABLE t (x)"))),
        ("no table", made_by(&format!("{ours} PRAGMA user_version = 1; CREATE TABLE t (x)"))),
        ("no row", made_by(&format!("{ours} PRAGMA user_version = 1; {table};"))),
        (
            "bad identity",
            made_by(&format!(
                "{ours} PRAGMA user_version = 1; {table}; INSERT INTO work VALUES ('{{', 1, 2, 3);"
            )),
        ),
        (
            "a blob",
            made_by(&format!(
                "{ours} PRAGMA user_version = 1; {table}; INSERT INTO work VALUES (x'ff', 1, 2, 3);"
            )),
        ),
    ];
    for (name, bytes) in cases {
        fs::write(&path, &bytes).unwrap();
        let error = Checkpoint::open(&path, &identity()).unwrap_err();
        assert!(error.is_cured_by_redo(), "{name}: {error}");
        assert_eq!(
            matches!(error, CheckpointError::OtherSchema { found: 2, .. }),
            name == "newer",
            "{error}"
        );
        assert!(error.to_string().contains("--redo"), "{name}: {error}");
        assert!(peek(&path).is_err(), "{name}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name} was changed");
    }
    // A damaged page in the middle of a file that is otherwise ours.
    fs::remove_file(&path).unwrap();
    let (mut checkpoint, _) = Checkpoint::open(&path, &identity()).unwrap();
    checkpoint
        .commit(&at("N0_load", 1), "", &Next::Node(at("N1_draft", 1)), &"x".repeat(50_000), "")
        .unwrap();
    drop(checkpoint);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..20_000].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(Checkpoint::open(&path, &identity()), Err(CheckpointError::Corrupt { .. })));
    // Somebody's words in the place of one that has all its pages in its log, as that of a killed worker.
    let (_dir, path) = in_dir();
    let (checkpoint, _) = Checkpoint::open(&path, &identity()).unwrap();
    checkpoint.leave_unmerged();
    drop(checkpoint);
    assert!(fs::metadata(with_suffix(&path, "-wal")).unwrap().len() > 0);
    fs::write(&path, "words".repeat(2000)).unwrap();
    assert!(matches!(peek(&path), Err(CheckpointError::Corrupt { .. })));
    assert!(matches!(Checkpoint::open(&path, &identity()), Err(CheckpointError::Corrupt { .. })));
}

#[test]
fn a_file_of_no_bytes_is_a_fresh_start_and_other_work_is_refused() {
    let (_dir, path) = in_dir();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, b"").unwrap();
    assert_eq!(peek(&path).unwrap(), None);
    drop(Checkpoint::open(&path, &identity()).unwrap());
    let other = Identity { item: "43".into(), ..identity() };
    let error = Checkpoint::open(&path, &other).unwrap_err();
    assert!(error.to_string().contains("is of item 42 of workflow lld, not of item 43"), "{error}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(Checkpoint::open(&path, &identity()), Err(CheckpointError::Io { .. })));
}

#[test]
fn a_peek_sees_what_a_killed_worker_left_and_changes_nothing() {
    let (dir, path) = in_dir();
    assert_eq!(peek(&path).unwrap(), None);
    let (mut checkpoint, _) = Checkpoint::open(&path, &identity()).unwrap();
    assert_eq!(peek(&path).unwrap(), None, "no node has finished");
    let next = Next::Node(at("N3_review", 2));
    checkpoint.commit(&at("N2_check", 2), "", &next, "{}", "abc").unwrap();
    let listing = || {
        let mut files: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|e| e.unwrap().path())
            .map(|p| (p.clone(), fs::read(p).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = listing();
    let seen = peek(&path).unwrap().unwrap();
    assert_eq!((seen.next, seen.input_sha256.as_deref()), (next, Some("abc")));
    assert!(listing() == before);
    drop((checkpoint, dir));
}

#[test]
fn setting_aside_loses_nothing_and_removing_leaves_nothing() {
    let (_dir, path) = in_dir();
    for n in 1..3 {
        let (checkpoint, _) = Checkpoint::open(&path, &identity()).unwrap();
        drop(checkpoint);
        assert_eq!(set_aside(&path).unwrap(), with_suffix(&path, &format!(".aside-{n}")));
    }
    drop(Checkpoint::open(&path, &identity()).unwrap());
    remove(&path).unwrap();
    remove(&path).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["lld_workflow_42.db.aside-1", "lld_workflow_42.db.aside-2"]);
}

#[test]
fn a_discarded_checkpoint_frees_its_name_at_once_and_goes_at_the_next_start_at_the_latest() {
    let (_dir, path) = in_dir();
    let dir = path.parent().unwrap();
    assert_eq!(discard(&path).unwrap_or_default(), None);
    let (checkpoint, _) = Checkpoint::open(&path, &identity()).unwrap();
    checkpoint.leave_unmerged();
    drop(checkpoint);
    let done = discard(&path).unwrap().unwrap();
    assert_eq!(fs::read_dir(dir).unwrap().count(), 2, "the database and its log");
    let (next, standing) = Checkpoint::open(&path, &identity()).unwrap();
    assert_eq!(standing, None);
    next.leave_unmerged();
    drop(next);
    remove(&done).unwrap();
    assert!(path.exists() && with_suffix(&path, "-wal").exists());
    discard(&path).unwrap();
    fs::write(dir.join("lld_workflow_x.done.db"), "").unwrap();
    remove_discarded(dir);
    let left: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["lld_workflow_x.done.db"]);
    remove_discarded(&dir.join("missing"));
}
