//! On a terminal: the bar, the prefixes, the keys.

use wf_tests::processes::is_stopped;
use wf_tests::{Project, Terminal, wait_until};

const DO: &str = "-- wf-fixture-worker do={}";

#[test]
fn a_terminal_shows_prefixed_lines_and_a_bar() {
    let p = Project::with_items("a out=hello\nb touch=up await=go err=bye\n");
    let terminal = Terminal::new(100);
    let mut run =
        p.supervisor(&format!("run items.txt {DO}")).on_terminal(&terminal).env("TERM", "xterm").start();
    run.wait_file("up");
    terminal.wait_shown("hello");
    terminal.wait_shown("1/2 items complete");
    p.write("go", "");
    run.wait().code(0);
    terminal.wait_shown("journal and logs in");
    let shown = terminal.shown();
    assert!(shown.contains("[a]") && shown.contains("bye"), "{shown}");
}

#[test]
fn prefixes_have_colours_on_a_terminal_and_none_where_they_are_not_wanted() {
    let show = |words: &str, variable: Option<(&str, &str)>| {
        let p = Project::with_items("a out=hello\n");
        let terminal = Terminal::new(100);
        let mut call = p.supervisor(words).on_terminal(&terminal).env("TERM", "xterm");
        if let Some((name, value)) = variable {
            call = call.env(name, value);
        }
        call.run().code(0);
        terminal.wait_shown("journal and logs in");
        let shown = terminal.shown();
        shown.lines().find(|line| line.contains("hello")).unwrap_or_default().to_owned()
    };
    let command = "run items.txt --progress none";
    let coloured = |line: &str| line.contains("\x1b[") && line.contains('m');
    assert!(coloured(&show(&format!("{command} {DO}"), None)));
    let plain = show(&format!("{command} {DO}"), Some(("NO_COLOR", "1")));
    assert!(plain.contains("[a] hello") && !coloured(&plain), "{plain:?}");
    let plain = show(&format!("{command} --color never {DO}"), None);
    assert!(plain.contains("[a] hello") && !coloured(&plain), "{plain:?}");
    assert!(coloured(&show(&format!("{command} --color always {DO}"), Some(("NO_COLOR", "1")))));
}

#[test]
fn ctrl_c_on_the_terminal_reaches_the_supervisor_alone() {
    // A worker that got the terminal's SIGINT would die of it instead of being asked.
    let p =
        Project::with_items("a hello out=up await-stop touch=asked finished=interrupted\nb sigterm=term\n");
    let terminal = Terminal::new(80);
    let run =
        p.supervisor(&format!("run items.txt -j2 {DO}")).on_terminal(&terminal).env("TERM", "xterm").start();
    terminal.wait_shown("up");
    terminal.wait_shown("ready");
    terminal.type_keys("\x03");
    run.wait().code(130);
    assert!(p.has("asked") && p.has("term"));
    terminal.wait_shown("Shutting down");
}

#[test]
fn ctrl_z_stops_everybody_and_fg_goes_on() {
    let p = Project::with_items("a pid=pid out=up await=go\n");
    let terminal = Terminal::new(80);
    let run =
        p.supervisor(&format!("run items.txt {DO}")).on_terminal(&terminal).env("TERM", "xterm").start();
    terminal.wait_shown("up");
    let worker = p.read_pid("pid");
    // A session leader whose group is orphaned is not stopped by the terminal, so the signal is sent as a shell's.
    run.signal(nix::sys::signal::Signal::SIGSTOP);
    wait_until("the supervisor to stop", || is_stopped(run.pid()).then_some(()));
    run.signal(nix::sys::signal::Signal::SIGCONT);
    p.write("go", "");
    run.wait().code(0);
    assert!(!wf_tests::processes::is_alive(worker));
}

#[test]
fn workers_have_no_terminal() {
    let p = Project::with_items("a tty stdin\n");
    let terminal = Terminal::new(80);
    p.supervisor(&format!("run items.txt {DO}")).on_terminal(&terminal).env("TERM", "xterm").run().code(0);
    terminal.wait_shown("no terminal");
    terminal.wait_shown("stdin /dev/null");
}

#[test]
fn a_closed_terminal_is_a_hangup() {
    let p = Project::with_items("a leak=leak orphan=orphan out=up hang\n");
    let terminal = Terminal::new(80);
    let run =
        p.supervisor(&format!("run items.txt {DO}")).on_terminal(&terminal).env("TERM", "xterm").start();
    terminal.wait_shown("up");
    run.signal(nix::sys::signal::Signal::SIGHUP);
    drop(terminal);
    run.wait().code(129);
    assert_eq!(p.outcome("a"), "interrupted");
}

#[test]
fn a_narrow_terminal_is_no_trouble() {
    for columns in [1, 10, 20] {
        let p = Project::with_items("a out=hello\nb exit=1\n");
        let terminal = Terminal::new(columns);
        p.supervisor(&format!("run items.txt {DO}"))
            .on_terminal(&terminal)
            .env("TERM", "xterm")
            .run()
            .code(1);
        terminal.wait_shown("hello");
    }
}

#[test]
fn a_terminal_that_stands_still_delays_no_item() {
    let p = Project::with_items("a out=up await=stopped flood=2000000 touch=done\n");
    let terminal = Terminal::new(80);
    let run =
        p.supervisor(&format!("run items.txt {DO}")).on_terminal(&terminal).env("TERM", "xterm").start();
    terminal.wait_shown("up");
    // Ctrl+S.
    terminal.type_keys("\x13");
    p.write("stopped", "");
    wait_until("the run's record", || p.has(".wf/runs/latest/summary.json").then_some(()));
    assert!(p.has("done"));
    assert_eq!(p.log("a").len(), "up\n".len() + 2_000_000);
    // Ctrl+Q.
    terminal.type_keys("\x11");
    run.wait().code(0);
}
