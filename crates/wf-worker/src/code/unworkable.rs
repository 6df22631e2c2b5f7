//! Whether a test command that failed before anything was changed is one that cannot work here at all: its runner is not
//! installed, or does not take its arguments.
//!
//! What a design may add is no such thing: a manifest, a rule, a script. A project may begin with nothing.

use super::failing::names_a_test;

/// Runners that are started as a module of an interpreter.
const RUNNERS: [&str; 8] = ["behave", "coverage", "nose", "nose2", "nox", "pytest", "tox", "trial"];

/// Whether it is, by how it exited and what it wrote. One that named a failing test has run it.
pub fn is_unworkable(code: Option<i32>, output: &str) -> bool {
    !names_a_test(output) && (is_not_run(code) || output.lines().any(says_so))
}

/// A shell's words for "cannot be executed" and "not found" (POSIX, 2.8.2).
fn is_not_run(code: Option<i32>) -> bool {
    matches!(code, Some(126 | 127))
}

fn says_so(line: &str) -> bool {
    let line = line.trim();
    // `/usr/bin/python3: No module named pytest`; a module that a test imports stands in quotation marks.
    let runner =
        line.split_once(": No module named ").map(|(_, name)| name.split('.').next().unwrap_or(name));
    runner.is_some_and(|name| RUNNERS.contains(&name))
        || line.starts_with("error: no such command")
        || line.starts_with("error: unexpected argument")
        || line.contains("error: unrecognized arguments: ")
        || line.starts_with("error: toolchain '") && line.contains("is not installed")
        // `make: *** [Makefile:2: test] Error 127`
        || line.starts_with("make") && (line.ends_with("] Error 127") || line.ends_with("] Error 126"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_cannot_work_is_told_from_tests_that_fail() {
        for (code, output, unworkable) in [
            (Some(127), "sh: 1: pytest: not found\n", true),
            (Some(126), "", true),
            (Some(1), "/usr/bin/python3: No module named pytest\n", true),
            (Some(1), "/usr/bin/python3: No module named pytest.__main__; 'pytest' is a package\n", true),
            (Some(101), "error: no such command: `nextest`\n\nhelp: ...\n", true),
            (Some(4), "usage: pytest [options]\npytest: error: unrecognized arguments: --cov\n", true),
            (Some(2), "sh: 1: jest: not found\nmake: *** [Makefile:2: test] Error 127\n", true),
            (Some(1), "", false),
            (None, "", false),
            (Some(127), "sh: 3: tool: not found\nnot ok - tests/tool.sh\n", false),
            (Some(2), "ERROR tests/test_a.py - ModuleNotFoundError: No module named 'cache'\n", false),
            (Some(1), "ModuleNotFoundError: No module named 'pytest'\nERROR: test_a (unittest.x)\n", false),
            (Some(101), "error: could not find `Cargo.toml` in `/x`\n", false),
            (Some(2), "make: *** No rule to make target 'test'.  Stop.\n", false),
            (Some(101), "error[E0432]: unresolved import `demo::cache`\n", false),
        ] {
            assert_eq!(is_unworkable(code, output), unworkable, "{code:?} {output}");
        }
    }
}
