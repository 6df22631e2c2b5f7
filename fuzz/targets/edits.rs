//! A drafter's answer is read and its edits are made, whatever it is; what comes out is a document within bounds.
//!
//! The input is a document and an answer with a NUL between them.

#![no_main]

use libfuzzer_sys::fuzz_target;
// Its crate would bring a database and an HTTP client along.
#[path = "../../crates/wf-worker/src/edits.rs"]
mod edits;
use edits::{DOCUMENT_BYTES, Draft, apply, read};

fuzz_target!(|input: &str| {
    let (document, answer) = input.split_once('\0').unwrap_or(("# T\none\ntwo\none\n", input));
    match read(answer) {
        Ok(Draft::Whole(whole)) => assert!(!whole.trim().is_empty() && whole.len() <= DOCUMENT_BYTES),
        Ok(Draft::Edits(edits)) => {
            assert!(edits.iter().all(|edit| !edit.search.trim().is_empty()));
            if let Ok(changed) = apply(document, &edits) {
                assert!(!changed.trim().is_empty() && changed.len() <= DOCUMENT_BYTES && changed.ends_with('\n'));
            }
        }
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
});
