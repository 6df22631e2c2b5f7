//! Peers on the socket that break the protocol: their connection is closed with a logged reason, nobody else is harmed.

use wf_tests::Project;

const DO: &str = "-- wf-fixture-worker do={}";

/// An item that talks nonsense beside one that is well-behaved until the first is done.
fn beside_a_good_worker(nonsense: &str, answer: &str) {
    let p = Project::with_items(&format!(
        "good hello progress=N1 touch=good-up await=bad-done acquire=gemini/flash release=ok finished=approved\n\
         bad await=good-up nonsense={nonsense} touch=bad-done\n"
    ));
    let run = p
        .supervisor(&format!("run items.txt -j2 -v {DO}"))
        .env("GEMINI_API_KEY", "a-key-nobody-sees-0123456789")
        .env("WF_LOG", "debug")
        .run();
    run.code(0).prints(&format!("[bad] {nonsense}: {answer}\n")).prints("[good] granted gemini\n");
    assert_eq!((p.outcome("good"), p.outcome("bad")), ("succeeded".to_owned(), "succeeded".to_owned()));
}

#[test]
fn another_version_is_refused() {
    beside_a_good_worker("version", "refused Version, closed");
}

#[test]
fn a_wrong_token_is_refused() {
    beside_a_good_worker("token", "refused Token, closed");
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_header() {
    beside_a_good_worker("oversized", "refused TooLarge, closed");
}

#[test]
fn a_frame_that_is_no_message_is_refused() {
    beside_a_good_worker("malformed", "refused Malformed, closed");
}

#[test]
fn a_connection_that_ends_inside_a_frame_is_closed() {
    beside_a_good_worker("truncated", "closed");
}

#[test]
fn a_first_message_that_is_no_hello_is_refused() {
    beside_a_good_worker("early", "refused Malformed, closed");
}

#[test]
fn a_token_is_good_for_one_connection() {
    let p = Project::with_items("a hello nonsense=reuse progress=N2 out=still-here finished=approved\n");
    let run = p.run(&format!("run items.txt {DO}"));
    run.code(0).prints("[a] reuse: refused Token, closed\n").prints("[a] still-here\n");
}

#[test]
fn the_token_of_an_attempt_that_is_over_is_refused() {
    let p = Project::new();
    // The second item says hello with what the first one was given.
    p.write("items.txt", "a\nb\n");
    let script = "if test {id} = a; then echo $WF_TOKEN > token; else WF_TOKEN=$(cat token) wf-fixture-worker nonsense=reuse; fi";
    let run = p.run(["run", "items.txt", "--", "sh", "-c", script]);
    run.code(0).prints("[b] reuse: refused Token, closed\n");
}

#[test]
fn a_worker_that_was_refused_may_still_say_hello_with_its_own_token() {
    let p = Project::with_items(
        "a nonsense=token nonsense=malformed nonsense=oversized hello out=welcome finished=approved\n",
    );
    p.run(&format!("run items.txt {DO}")).code(0).prints("[a] welcome\n");
}

#[test]
fn a_reason_is_logged() {
    let p = Project::with_items("a nonsense=token nonsense=oversized\n");
    let run = p.supervisor(&format!("run items.txt -vv {DO}")).run();
    run.code(0);
    let err = run.err().to_lowercase();
    assert!(err.contains("token") && (err.contains("1048577") || err.contains("too large")), "{run}");
}

#[test]
fn connections_that_never_speak_keep_nobody_out() {
    let p = Project::with_items(
        "bad idle=200 touch=open await=done\ngood await=open hello acquire=gemini/flash release=ok touch=done\n",
    );
    let run = p
        .supervisor(&format!("run items.txt -j2 {DO}"))
        .env("GEMINI_API_KEY", "a-key-nobody-sees-0123456789")
        .run();
    run.code(0).prints("[good] granted gemini\n");
}

#[test]
fn a_second_hello_closes_the_connection_and_its_worker_alone() {
    let p = Project::with_items("bad nonsense=twice\ngood hello out=fine finished=approved\n");
    let run = p.run(&format!("run items.txt -j2 --grace 2s {DO}"));
    run.prints("[bad] twice: welcome, refused Malformed, closed\n").prints("[good] fine\n");
    assert_eq!(p.outcome("good"), "succeeded");
}

#[test]
fn a_stranger_gets_in_neither_with_the_socket_alone_nor_with_nonsense() {
    use std::io::{Read as _, Write as _};
    let p = Project::with_items("a hello out=up await=go finished=approved\n");
    let mut run = p.start([
        "run",
        "items.txt",
        "--",
        "sh",
        "-c",
        "echo $WF_SOCKET > socket; exec wf-fixture-worker do=\"$WF_ITEM_TEXT\"; : {id}",
    ]);
    run.wait_out("[a] up");
    let mut link = std::os::unix::net::UnixStream::connect(p.read("socket").trim()).unwrap();
    let _ = link.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut answer = Vec::new();
    let _ = link.read_to_end(&mut answer);
    assert!(answer.len() < 200, "{answer:?}");
    p.write("go", "");
    run.wait().code(0);
}
