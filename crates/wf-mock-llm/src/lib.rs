//! wf-mock-llm
