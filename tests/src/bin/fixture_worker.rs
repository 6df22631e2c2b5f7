//! `wf-fixture-worker`: a worker that misbehaves on command. See `wf_tests::fixture`.

fn main() -> std::process::ExitCode {
    wf_tests::fixture::main()
}
