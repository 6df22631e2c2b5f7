//! The built-in worker's binary; all of it is in the library `wf-worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wf_worker::main()
}
