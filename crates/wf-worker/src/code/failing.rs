//! Which tests failed: a set that is the same when the same tests fail again, whatever the runner prints around them.
//!
//! Known are the lines of `cargo test`, pytest, `unittest`, `go test`, Jest and TAP. Where none of them names a test, the
//! compiler's errors are the set, and where there are none either, the last lines of the output. Numbers that change
//! from run to run (durations, addresses, ports, process ids) are taken out of what is no name.

use std::collections::BTreeSet;

/// Most members of a set.
const MEMBERS: usize = 200;

/// Longest member, in characters.
const CHARS: usize = 200;

/// How many lines stand for an output in which nothing is known.
const LAST_LINES: usize = 15;

/// The failing set of an output, sorted. Never empty for an output that has any text.
pub fn failing(output: &str) -> Vec<String> {
    let lines: Vec<&str> = output.lines().map(str::trim_end).collect();
    let named: BTreeSet<String> = lines.iter().filter_map(|line| test(line)).map(bounded).collect();
    if !named.is_empty() {
        return named.into_iter().take(MEMBERS).collect();
    }
    let errors: BTreeSet<String> =
        lines.iter().filter(|line| is_error(line)).map(|line| bounded(steady(line))).collect();
    if !errors.is_empty() {
        return errors.into_iter().take(MEMBERS).collect();
    }
    let told: Vec<&&str> = lines.iter().filter(|line| !line.trim().is_empty()).collect();
    let last = told.len().saturating_sub(LAST_LINES);
    let last: BTreeSet<String> = told[last..].iter().map(|line| bounded(steady(line))).collect();
    last.into_iter().collect()
}

/// Whether a runner named a test that failed.
pub fn names_a_test(output: &str) -> bool {
    output.lines().any(|line| test(line.trim_end()).is_some())
}

/// An output without colours and other escape sequences, and with what a carriage return overwrites taken out.
pub fn plain(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if chars.next_if_eq(&'[').is_some() {
                    // A control sequence ends with a letter or one of a few signs (ECMA-48, 5.4).
                    while chars.next_if(|c| !('@'..='~').contains(c)).is_some() {}
                }
                chars.next();
            }
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => plain.truncate(plain.rfind('\n').map_or(0, |at| at + 1)),
            '\n' | '\t' => plain.push(c),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

/// The test that a line says has failed.
fn test(line: &str) -> Option<&str> {
    cargo(line).or_else(|| pytest(line)).or_else(|| unittest(line)).or_else(|| others(line))
}

/// `test cache::drops_stale ... FAILED`, or, also where it is told to be quiet, `---- cache::drops_stale stdout ----`
fn cargo(line: &str) -> Option<&str> {
    if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
        return Some(name);
    }
    let (name, end) = line.strip_prefix("test ")?.split_once(" ... ")?;
    end.starts_with("FAILED").then_some(name.trim_end_matches(" - should panic"))
}

/// `FAILED tests/test_cache.py::test_stale - assert 1 == 2`, `ERROR tests/test_cache.py - ModuleNotFoundError: ...`
fn pytest(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("FAILED ").or_else(|| line.strip_prefix("ERROR "))?;
    let name = rest.split(" - ").next()?.trim();
    (name.contains(".py") && !name.contains(' ') || name.contains("::")).then_some(name)
}

/// `FAIL: test_stale (tests.test_cache.Cache.test_stale)`
fn unittest(line: &str) -> Option<&str> {
    let name = line.strip_prefix("FAIL: ").or_else(|| line.strip_prefix("ERROR: "))?;
    (name.starts_with("test") || name.starts_with("setUp") || name.contains(" (")).then_some(name)
}

/// `--- FAIL: TestStale (0.00s)`, `  ● cache › drops stale`, `not ok 3 - drops stale`
fn others(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix("--- FAIL: ") {
        return rest.split(" (").next();
    }
    if let Some(rest) = line.strip_prefix("● ") {
        return Some(rest);
    }
    let rest = line.strip_prefix("not ok ")?;
    Some(rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches([' ', '-']))
}

/// `error[E0425]: cannot find function`, `src/cache.c:12:3: error: ...`, `SyntaxError: invalid syntax`
fn is_error(line: &str) -> bool {
    let line = line.trim_start();
    let of_python = line.split_once(": ").is_some_and(|(kind, _)| {
        kind.ends_with("Error") && kind.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'))
    });
    line.starts_with("error[") || line.starts_with("error: ") || line.contains(": error: ") || of_python
}

/// A line without what changes from run to run: numbers of any form, but for those in names such as `E0432`.
fn steady(line: &str) -> String {
    let mut steady = String::with_capacity(line.len());
    let mut chars = line.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let in_name = steady.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        if in_name {
            steady.push(c);
        } else if c == '0' && chars.next_if_eq(&'x').is_some() {
            while chars.next_if(char::is_ascii_hexdigit).is_some() {}
            steady.push('#');
        } else if c.is_ascii_digit() {
            while chars.next_if(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).is_some() {}
            steady.push('#');
        } else {
            steady.push(c);
        }
    }
    steady
}

fn bounded(text: impl AsRef<str>) -> String {
    text.as_ref().trim().chars().take(CHARS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CARGO: &str = "running 3 tests\ntest cache::keeps ... ok\ntest cache::stale ... FAILED\ntest big - should panic ... FAILED\n\n\
        failures:\n\n---- cache::stale stdout ----\nthread 'cache::stale' (81231) panicked at src/cache.rs:9:5:\n\n\
        failures:\n    cache::stale\n\ntest result: FAILED. 1 passed; 2 failed; 0 ignored; finished in 0.31s\n\n\
        error: test failed, to rerun pass `--lib`\n";
    const COMPILER: &str = "   Compiling demo v0.1.0 (/tmp/x9)\nerror[E0432]: unresolved import `demo::cache`\n --> tests/cache.rs:1:11\n\
        error: could not compile `demo` (test \"cache\") due to 1 previous error\n";
    const PYTEST: &str = "=== test session starts ===\ncollected 2 items\n\ntests/test_cache.py .F   [100%]\n\
        E       assert 1 == 2\n=== short test summary info ===\nFAILED tests/test_cache.py::test_stale[a b] - assert 1 == 2\n\
        ERROR tests/test_none.py - ModuleNotFoundError: No module named 'x'\n=== 1 failed, 1 passed, 1 error in 0.04s ===\n";
    const UNITTEST: &str = "F.E\n======\nERROR: test_load (tests.test_a.A.test_load)\n------\nTraceback (most recent call last):\n\
        NameError: name 'x' is not defined\n======\nFAIL: test_stale (tests.test_a.A.test_stale)\n\
        AssertionError: 1 != 2\n\nRan 3 tests in 0.002s\n\nFAILED (failures=1, errors=1)\n";

    #[test]
    fn the_runners_name_their_failing_tests() {
        for (output, set) in [
            (CARGO, vec!["big", "cache::stale"]),
            ("F.\n---- cache::stale stdout ----\nthread panicked\n", vec!["cache::stale"]),
            (PYTEST, vec!["tests/test_cache.py::test_stale[a b]", "tests/test_none.py"]),
            (
                UNITTEST,
                vec!["test_load (tests.test_a.A.test_load)", "test_stale (tests.test_a.A.test_stale)"],
            ),
            (
                "=== RUN TestA\n--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/b (0.01s)\nFAIL\n",
                vec!["TestA", "TestA/b"],
            ),
            ("  ● cache › drops stale\n\n  expect(1)\n", vec!["cache › drops stale"]),
            ("TAP version 13\nok 1 - a\nnot ok 2 - b\n", vec!["b"]),
        ] {
            assert_eq!(failing(output), set, "{output}");
        }
    }

    #[test]
    fn without_names_errors_are_the_set_and_without_those_the_last_lines() {
        assert_eq!(
            failing(COMPILER),
            [
                "error: could not compile `demo` (test \"cache\") due to # previous error",
                "error[E0432]: unresolved import `demo::cache`"
            ]
        );
        assert_eq!(failing("a.c:12:3: error: expected ';'\n"), ["a.c:# error: expected ';'"]);
        let shell = "run-tests.sh: 12: sum: not found\nfailed after 0.31s at 0x7ffd pid 4711\n";
        assert_eq!(failing(shell), ["failed after #s at # pid #", "run-tests.sh: # sum: not found"]);
        assert_eq!(failing(""), Vec::<String>::new());
    }

    #[test]
    fn what_changes_from_run_to_run_does_not_change_the_set() {
        for output in [CARGO, COMPILER, PYTEST, UNITTEST, "boom after 1.5s in process 77\n"] {
            let again =
                output.replace("0.", "3.").replace("81231", "9").replace("77", "123").replace("1.5", "2.25");
            assert_eq!(failing(output), failing(&again));
        }
        assert_ne!(failing(CARGO), failing(&CARGO.replace("test big", "test small")));
    }

    #[test]
    fn colours_and_overwritten_lines_are_taken_out() {
        assert_eq!(plain(b"\x1b[1;31mtest a ... FAILED\x1b[0m\r\n"), "test a ... FAILED\n");
        assert_eq!(plain(b"10 %\r50 %\rdone\nx\x07\xff"), "done\nx\u{fffd}");
        assert_eq!(failing(&plain(b"test a ... \x1b[31mFAILED\x1b[0m")), ["a"]);
    }

    proptest! {
        #[test]
        fn every_output_has_a_bounded_set_and_one_with_text_has_members(output in "(?s).{0,400}") {
            let plain = plain(output.as_bytes());
            let set = failing(&plain);
            prop_assert_eq!(set.is_empty(), plain.trim().is_empty());
            prop_assert!(set.len() <= MEMBERS && set.iter().all(|m| m.chars().count() <= CHARS));
        }
    }
}
