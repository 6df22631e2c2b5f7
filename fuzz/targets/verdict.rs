//! The verdict parser reads anything, and approves nothing that gives a reason not to.
//!
//! `cargo +nightly fuzz run verdict fuzz/corpus/verdict crates/wf-review/fixtures`

#![no_main]

use libfuzzer_sys::fuzz_target;
use wf_review::{Form, Verdict, parse};

fuzz_target!(|document: &str| {
    let review = parse(document);
    if review.verdict == Verdict::Approved {
        assert!(review.blocking.is_empty() && review.contradiction.is_none() && review.form != Form::None);
    }
    for finding in [&review.blocking, &review.high, &review.suggestions].into_iter().flatten() {
        assert!(!finding.is_empty() && !finding.contains('\n'));
    }
    // A reviewer who only quotes has decided nothing.
    let quoted: String = document.lines().map(|line| ["> ", line, "\n"].concat()).collect();
    assert_eq!(parse(&quoted).verdict, Verdict::Unparseable);
    // An answer for the verdict alone overrules no finding.
    let (blocks, settled) = (!review.blocking.is_empty(), review.settled_by("[x] **APPROVED**"));
    assert!(!blocks || settled.verdict != Verdict::Approved);
});
