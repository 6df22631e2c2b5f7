//! Keys never show up: not on the console, not in a file of the supervisor, not in the environment of anybody.

use wf_tests::processes::{contains, environ, wardens};
use wf_tests::{Finished, Project, files_below};

const DO: &str = "-- wf-fixture-worker do={}";
/// The secrets of the project below; nothing else looks like them.
const FILE_KEY: &str = "file-Kq7hZb3mX9cV2nR5tW8y";
const ENV_KEY: &str = "env-Jd4sPf6gH1kL0aQz7xUe";

/// A project with one key from a file and one from the variable `MY_KEY`.
fn with_keys(items: &str) -> Project {
    let p = Project::with_items(items);
    let from_file = p.key_file(&format!("{FILE_KEY}\n"));
    let key = |name: &str, secret: &str| {
        format!("[[keys]]\nname = \"{name}\"\nprovider = \"gemini\"\nsecret = {secret}\n")
    };
    let toml = key("from-file", &from_file) + &key("from-env", "{ env = \"MY_KEY\" }");
    p.write("wf.toml", toml);
    p
}

/// Checks that neither key is on the console or in the state directory.
#[track_caller]
fn nowhere(p: &Project, run: &Finished) {
    for key in [FILE_KEY, ENV_KEY] {
        run.never_says(key);
        assert!(!run.command.contains(key));
        p.assert_nowhere_in_state(key.as_bytes());
    }
}

#[test]
fn a_key_that_a_worker_prints_is_replaced_on_the_console_and_in_every_file() {
    let p = with_keys(&format!(
        "whole out={FILE_KEY}\nin-text out=before-{ENV_KEY}-after\nerr err={FILE_KEY}\ntwice out={FILE_KEY}{FILE_KEY}\n"
    ));
    // The items' texts have the keys too, and texts stand in no file.
    let run = p.supervisor(&format!("run items.txt -j4 {DO}")).env("MY_KEY", ENV_KEY).run();
    run.code(0)
        .prints("[whole] [REDACTED:from-file]\n")
        .prints("[in-text] before-[REDACTED:from-env]-after\n")
        .prints("[twice] [REDACTED:from-file][REDACTED:from-file]\n")
        .says("[err] [REDACTED:from-file]\n");
    assert_eq!(String::from_utf8(p.log("whole")).unwrap(), "[REDACTED:from-file]\n");
    nowhere(&p, &run);
}

#[test]
fn a_key_that_arrives_in_two_pieces_is_replaced() {
    let p = with_keys(&format!("a halves={FILE_KEY}\nb halves=x{ENV_KEY}y\n"));
    let run = p.supervisor(&format!("run items.txt -j2 {DO}")).env("MY_KEY", ENV_KEY).run();
    run.code(0).prints("[a] [REDACTED:from-file]\n").prints("[b] x[REDACTED:from-env]y\n");
    nowhere(&p, &run);
}

#[test]
fn a_key_over_a_cut_of_a_long_line_is_replaced() {
    // Somewhere in the flood of bytes without a line end a line is cut; wherever that is, no key is cut open.
    let p = with_keys("");
    let word = format!("{FILE_KEY}.");
    p.write("words", word.repeat(40_000));
    p.write("items.txt", "a\n");
    let run = p
        .supervisor(["run", "items.txt", "--", "sh", "-c", "cat words; : {id}"])
        .env("MY_KEY", ENV_KEY)
        .run();
    run.code(0);
    nowhere(&p, &run);
    let log = String::from_utf8(p.log("a")).unwrap();
    assert_eq!(log, "[REDACTED:from-file].".repeat(40_000));
}

#[test]
fn a_beginning_of_a_key_that_is_none_is_not_lost() {
    let p = with_keys(&format!("a raw={}\n", &FILE_KEY[..10]));
    let run = p.supervisor(&format!("run items.txt {DO}")).env("MY_KEY", ENV_KEY).run();
    assert_eq!(run.code(0).out(), format!("[a] {}\n", &FILE_KEY[..10]));
    assert_eq!(p.log("a"), &FILE_KEY.as_bytes()[..10]);
}

#[test]
fn grouped_output_is_redacted_too() {
    let p = with_keys(&format!("a out={FILE_KEY} halves={ENV_KEY}\n"));
    let run = p.supervisor(&format!("run items.txt --output grouped {DO}")).env("MY_KEY", ENV_KEY).run();
    run.code(0).prints("[REDACTED:from-file]").prints("[REDACTED:from-env]");
    nowhere(&p, &run);
}

#[test]
fn a_key_on_the_command_line_of_a_worker_is_in_no_record() {
    // Whoever puts a key there shows it to the whole machine; the supervisor at least does not write it down.
    let p = with_keys("a\n");
    let joblog = p.path("jobs");
    let run = p
        .supervisor(["run", "items.txt", "--joblog", joblog.to_str().unwrap(), "--", "true", FILE_KEY])
        .env("MY_KEY", ENV_KEY)
        .run();
    run.code(0).never_says(FILE_KEY);
    p.assert_nowhere_in_state(FILE_KEY.as_bytes());
    assert!(!contains(&p.read_bytes("jobs"), FILE_KEY.as_bytes()), "{}", p.read("jobs"));
    p.run("show").never_says(FILE_KEY);
}

#[test]
fn variables_with_keys_are_removed_and_one_line_says_so() {
    let p = with_keys("a env\n");
    let usual = "usual-Xy7Wv5Ut3Sr1Qp9On";
    let run = p
        .supervisor(&format!("run items.txt {DO}"))
        .env("MY_KEY", ENV_KEY)
        .env("ANTHROPIC_API_KEY", usual)
        .env("URL_WITH_KEY", format!("https://host/?key={ENV_KEY}"))
        .env("HARMLESS", "stays")
        .run();
    run.code(0).prints("[a] HARMLESS=stays\n");
    for name in ["MY_KEY", "ANTHROPIC_API_KEY", "URL_WITH_KEY"] {
        assert!(!run.out().contains(&format!("[a] {name}=")), "{name} is still there\n{run}");
    }
    run.says_in_one_line(&["MY_KEY", "ANTHROPIC_API_KEY", "URL_WITH_KEY", "--with-key", "--pass-env"]);
    let lines = run.err().lines().filter(|line| line.contains("--pass-env")).count();
    assert_eq!(lines, 1, "{run}");
    nowhere(&p, &run);
}

#[test]
fn nothing_is_said_of_variables_where_none_was_removed() {
    let p = Project::with_items("a\n");
    p.run("run items.txt -- true").code(0).never_says("--pass-env");
}

#[test]
fn pass_env_keeps_a_variable() {
    let p = Project::with_items("a env\n");
    let run = p
        .supervisor(&format!("run items.txt --pass-env OPENAI_API_KEY {DO}"))
        .env("OPENAI_API_KEY", ENV_KEY)
        .env("GEMINI_API_KEY", FILE_KEY)
        .run();
    // Its value is a key, so what the worker prints of it is replaced.
    run.code(0).prints("[a] OPENAI_API_KEY=[REDACTED:");
    assert!(!run.out().contains("GEMINI_API_KEY="), "{run}");
    run.never_says(ENV_KEY).never_says(FILE_KEY);
    p.assert_nowhere_in_state(ENV_KEY.as_bytes());
}

#[test]
fn with_key_hands_a_key_over_in_the_providers_variable() {
    let p = Project::new();
    p.write("items.txt", "a\nb\n");
    let check = format!("test \"$GEMINI_API_KEY\" = {FILE_KEY} && echo has it: {{id}}");
    let run = p
        .supervisor(["run", "items.txt", "-j2", "--with-key", "gemini", "--", "sh", "-c", &check])
        .env("GEMINI_API_KEY", FILE_KEY)
        .run();
    assert_eq!(run.code(0).sorted_out(), ["[a] has it: a", "[b] has it: b"]);
}

#[test]
fn no_process_has_a_key_in_its_environment() {
    let p = with_keys("a pid=a-pid await=go\nb leak=b-leak touch=b-up await=go\n");
    let mut run = p
        .supervisor(&format!("run items.txt -j2 {DO}"))
        .env("MY_KEY", ENV_KEY)
        .env("GEMINI_API_KEY", "usual-Xy7Wv5Ut3Sr1Qp9On")
        .start();
    run.wait_file("a-pid").wait_file("b-up");
    let mut everybody = vec![run.pid(), p.read_pid("a-pid"), p.read_pid("b-leak")];
    everybody.extend(run.wait_wardens(2).iter().map(|warden| warden.pid));
    for pid in everybody {
        let environ = environ(pid);
        for key in [ENV_KEY, FILE_KEY, "usual-Xy7Wv5Ut3Sr1Qp9On"] {
            assert!(!contains(&environ, key.as_bytes()), "process {pid} has a key in its environment");
        }
    }
    for warden in wardens(run.pid()) {
        assert!(!contains(warden.command.as_bytes(), ENV_KEY.as_bytes()));
    }
    p.write("go", "");
    run.wait().code(0);
}

#[test]
fn a_worker_with_a_lease_gets_the_key_and_what_it_prints_of_it_is_replaced() {
    let p = with_keys("a hello acquire=gemini/flash secret release=ok finished=approved\n");
    let run = p.supervisor(&format!("run items.txt {DO}")).env("MY_KEY", ENV_KEY).run();
    run.code(0).prints("[a] the key is [REDACTED:from-");
    nowhere(&p, &run);
}

#[test]
fn diagnostics_have_no_key_either() {
    let p = with_keys("a hello acquire=gemini/flash secret release=ok finished=approved\n");
    let run =
        p.supervisor(&format!("run items.txt -vv {DO}")).env("MY_KEY", ENV_KEY).env("WF_LOG", "trace").run();
    run.code(0);
    nowhere(&p, &run);
}

#[test]
fn the_key_list_shows_names_and_never_a_secret() {
    let p = with_keys("a\n");
    for options in ["keys", "keys --json", "keys -v"] {
        let run = p.supervisor(options).env("MY_KEY", ENV_KEY).run();
        run.code(0).prints("from-file").prints("from-env").prints("gemini");
        run.never_says(FILE_KEY).never_says(ENV_KEY);
    }
    let json = p.supervisor("keys --json").env("MY_KEY", ENV_KEY).run().json();
    assert_eq!(json.as_array().map(Vec::len), Some(2), "{json:#}");
}

#[test]
fn the_socket_is_in_a_private_directory_of_the_user() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    let p = Project::with_items("a touch=up await=go\n");
    let mut run = p.start(&format!("run items.txt {DO}"));
    run.wait_file("up");
    let runtime = p.environment().into_iter().find(|(name, _)| name == "XDG_RUNTIME_DIR").unwrap().1;
    let mut sockets = files_below(std::path::Path::new(&runtime));
    sockets.retain(|path| path.metadata().is_ok_and(|meta| meta.file_type().is_socket()));
    assert_eq!(sockets.len(), 1, "{sockets:?}");
    let mode = sockets[0].parent().unwrap().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    p.write("go", "");
    run.wait().code(0);
}

#[test]
fn a_key_in_a_command_or_a_text_is_in_no_plan_no_id_and_no_file_name() {
    let p = with_keys(&format!("{FILE_KEY} is my key\nsay {ENV_KEY} twice {ENV_KEY}\nplain\n"));
    let lower = FILE_KEY.to_lowercase();
    for options in ["--dry-run", "--dry-run --json", ""] {
        let command = format!("run items.txt --lines {options} -- true --api-key {ENV_KEY} {{}}");
        let run = p.supervisor(&command).env("MY_KEY", ENV_KEY).run();
        run.code(0).never_says(FILE_KEY).never_says(&lower[..20]).never_says(ENV_KEY);
        assert!(run.out().contains("redacted-from-file-is-my-key-") || options.is_empty(), "{run}");
    }
    assert!(p.listing().iter().all(|name| !name.contains(&lower[..20])), "{:?}", p.listing());
}

#[test]
fn a_plan_says_that_no_key_is_there() {
    let p = Project::with_items("a\n");
    p.run("run items.txt --dry-run --with-key gemini -- true")
        .code(0)
        .says("no API key of the provider gemini");
    p.run("run items.txt --dry-run -- true").code(0).never_says("API key");
}
