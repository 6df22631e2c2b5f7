//! Any status, headers and body of any dialect are read: no panic, bounded words, bounded waits.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use wf_providers::{
    Dialect, LONGEST_HINT, LONGEST_MESSAGE_CHARS, Refusal, Reply, read_key_check, read_reply,
};

fuzz_target!(|input: (u8, u16, u64, Vec<(String, String)>, &[u8])| {
    let (dialect, status, now, headers, body) = input;
    let dialect = Dialect::ALL[usize::from(dialect) % Dialect::ALL.len()];
    let now = Duration::from_secs(now);
    let _ = read_key_check(dialect, status, &headers, body, now);
    match read_reply(dialect, status, &headers, body, now) {
        Reply::Answer(answer) => {
            assert!((200..300).contains(&status));
            assert!(!answer.text.is_empty() || answer.truncated);
        }
        Reply::Refused(refusal) => {
            assert!(refusal.detail().chars().count() <= LONGEST_MESSAGE_CHARS);
            if let Refusal::Limited { retry_after: Some(wait), .. }
            | Refusal::Overloaded { retry_after: Some(wait), .. } = refusal
            {
                assert!(wait <= LONGEST_HINT);
            }
        }
    }
});
