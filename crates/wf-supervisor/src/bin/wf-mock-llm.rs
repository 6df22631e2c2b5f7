//! `wf-mock-llm`: the mock GenAI server, for development and benchmarks.

fn main() -> std::process::ExitCode {
    wf_mock_llm::main()
}
