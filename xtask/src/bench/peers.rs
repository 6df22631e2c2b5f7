//! Other programs for the same work: which are here, and how the others could be.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use super::machine::first_line;
use crate::{check, say, shown, target_dir};

/// How to get GNU parallel.
pub const PARALLEL_INSTALL: &str = "`apt-get install parallel`, or `cargo xtask bench --install-peers`";
/// How to get `HyperQueue`.
pub const HYPERQUEUE_INSTALL: &str = "`pip install hyperqueue`, or `cargo xtask bench --install-peers`";
/// How to get litellm.
pub const LITELLM_INSTALL: &str = "`pip install litellm`, or `cargo xtask bench --install-peers`";
/// How to get async-batch-llm.
pub const ASYNC_BATCH_INSTALL: &str =
    "`pip install async-batch-llm openai`, or `cargo xtask bench --install-peers`";
/// How to get Python.
pub const PYTHON_INSTALL: &str = "`apt-get install python3`";
/// How to get xargs.
pub const XARGS_INSTALL: &str = "`apt-get install findutils`";

/// A program that is here.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its path.
    pub program: PathBuf,
    /// What it says it is.
    pub version: String,
}

/// Who is here.
pub struct Peers {
    /// GNU or BSD `xargs`.
    pub xargs: Option<Peer>,
    /// GNU parallel; not the program of that name in moreutils.
    pub parallel: Option<Peer>,
    /// Python 3.
    pub python: Option<Peer>,
    /// A Python that can import `HyperQueue`.
    pub hyperqueue: Option<Peer>,
    /// A Python that can import litellm.
    pub litellm: Option<Peer>,
    /// A Python that can import async-batch-llm and openai.
    pub async_batch: Option<Peer>,
}

impl Peers {
    /// Looks for them.
    pub fn find() -> Peers {
        let parallel = on_path("parallel").filter(|peer| peer.version.starts_with("GNU parallel"));
        Peers {
            xargs: on_path("xargs"),
            parallel,
            python: python(),
            hyperqueue: package("HyperQueue", "hyperqueue", "hyperqueue"),
            litellm: package("litellm", "litellm", "litellm"),
            async_batch: package("async-batch-llm", "async-batch-llm", "async_batch_llm, openai"),
        }
    }
}

/// Python's packages for peers get a directory of their own.
fn environment() -> PathBuf {
    target_dir().join("bench/peers")
}

fn on_path(name: &str) -> Option<Peer> {
    let path = std::env::var_os("PATH")?;
    let program = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file())?;
    let version = first_line(Command::new(&program).arg("--version"))?;
    Some(Peer { program, version })
}

/// The interpreter itself: what stands on the path is often a script that looks for it.
fn python() -> Option<Peer> {
    let here = on_path("python3")?;
    let program = first_line(Command::new(here.program).args(["-c", "import sys; print(sys.executable)"]))?;
    Some(Peer { program: program.into(), version: here.version })
}

/// A Python that has a package: of our own directory, or the system's. It is asked for its version and looked for, not
/// imported: some take seconds.
fn package(name: &str, distribution: &str, modules: &str) -> Option<Peer> {
    let ask = format!(
        "import importlib.metadata, importlib.util; \
         print('{name}', importlib.metadata.version('{distribution}')) \
         if all(map(importlib.util.find_spec, '{modules}'.split(', '))) else None"
    );
    let own = environment().join("bin/python");
    let program = if own.is_file() { own } else { python()?.program };
    let version = first_line(Command::new(&program).args(["-c", &ask]).stderr(Stdio::null()))?;
    (version != "None").then_some(Peer { program, version })
}

/// Installs what is missing: GNU parallel with `apt-get` (where we may), Python's packages with `pip` into a directory of the build.
pub fn install() {
    let peers = Peers::find();
    match (&peers.parallel, on_path("apt-get")) {
        (Some(parallel), _) => say(&format!("there already: {}", parallel.version)),
        (None, Some(apt)) if geteuid().is_root() => {
            try_to(Command::new(apt.program).args([
                "install",
                "--yes",
                "--no-install-recommends",
                "parallel",
            ]));
        }
        (None, _) => say(&format!("GNU parallel: not installed from here; {PARALLEL_INSTALL} as root")),
    }
    let packages = [
        (&peers.hyperqueue, "hyperqueue"),
        (&peers.litellm, "litellm"),
        // Its workers call through the provider's own SDK.
        (&peers.async_batch, "async-batch-llm openai"),
    ];
    let mut missing = Vec::new();
    for (peer, names) in packages {
        match peer {
            Some(peer) => say(&format!("there already: {}", peer.version)),
            None => missing.extend(names.split(' ')),
        }
    }
    match &peers.python {
        _ if missing.is_empty() => {}
        Some(python) => {
            let dir = environment();
            if try_to(Command::new(&python.program).args(["-m", "venv"]).arg(&dir)) {
                let mut pip = Command::new(dir.join("bin/python"));
                try_to(pip.args(["-m", "pip", "install", "--quiet"]).args(missing));
            }
        }
        None => say(&format!("{} need Python: {PYTHON_INSTALL}", missing.join(", "))),
    }
}

/// Runs it and says what came of it. A peer that cannot be installed is a row in a table, not an error.
fn try_to(command: &mut Command) -> bool {
    say(&format!("$ {}", shown(command)));
    let done = check(command);
    if let Err(error) = &done {
        say(&format!("{error:#}"));
    }
    done.is_ok()
}
