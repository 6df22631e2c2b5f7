//! Diagnostics (`WF_LOG`, `-v`): to stderr, and through the console as long as there is one, so that they break no line.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use env_logger::{Builder, Target};
use log::LevelFilter;

use crate::console::terminal::Console;

static CONSOLE: Mutex<Option<Console>> = Mutex::new(None);

/// Sets diagnostics up. `WF_LOG` overrules `-v` and `-q`.
pub fn start(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Info,
        (false, 2) => LevelFilter::Debug,
        (false, _) => LevelFilter::Trace,
    };
    let mut builder = Builder::new();
    // The libraries below have their own idea of what is worth telling.
    builder.filter_level(LevelFilter::Warn).filter_module("wf_", level).parse_env("WF_LOG");
    builder
        .format(|out, record| writeln!(out, "{}: {}", record.level().as_str().to_lowercase(), record.args()));
    builder.target(Target::Pipe(Box::new(Sink))).init();
}

/// From now on diagnostics are lines of this console.
pub fn to_console(console: &Console) {
    *CONSOLE.lock().unwrap_or_else(PoisonError::into_inner) = Some(console.clone());
}

/// From now on they go to stderr again.
pub fn to_stderr() {
    *CONSOLE.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(console) = &*CONSOLE.lock().unwrap_or_else(PoisonError::into_inner) {
            for line in String::from_utf8_lossy(bytes).lines() {
                console.coordinator(line);
            }
        } else {
            io::stderr().lock().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
