//! Keeps keys out of the records: what people type, what workers say of themselves and what providers say of a key may
//! contain one, and everything on disk derives from the records.

use std::borrow::Cow;

use wf_core::{AttemptEnd, Record};

use crate::console::redact::Redactor;

/// Replaces every key in the texts of these records that come from outside.
pub fn redact(records: &mut [Record], redactor: &Redactor) {
    let clean = |text: &mut String| {
        if let Cow::Owned(redacted) = redactor.redact(text) {
            *text = redacted;
        }
    };
    for record in records {
        match record {
            Record::RunStarted { argv, name, .. } => argv.iter_mut().chain(name).for_each(clean),
            Record::ItemEnded { detail, output, .. } => {
                clean(detail);
                if let Some(output) = output {
                    clean(&mut output.path);
                }
            }
            Record::ItemPlanned { detail, .. } => clean(detail),
            Record::Pool { message } => clean(message),
            Record::Progress { node, .. } | Record::Checkpointed { node, .. } => clean(node),
            Record::LeaseGranted { model, .. } => clean(model),
            Record::AttemptEnded { end, leftovers, .. } => {
                if let AttemptEnd::NotSpawned { why } = end {
                    clean(why);
                }
                for leftover in leftovers {
                    clean(&mut leftover.name);
                }
            }
            Record::AttemptStarted { .. }
            | Record::Spawned { .. }
            | Record::Connected { .. }
            | Record::LeaseReturned { .. }
            | Record::Asked { .. }
            | Record::Killed { .. }
            | Record::KeyUsed { .. }
            | Record::Stopping { .. }
            | Record::RunEnded { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_typed_or_said_is_in_no_record() {
        let redactor = Redactor::new([("k", &b"hunter2hunter2"[..])]).unwrap();
        let why = "cannot execute /bin/hunter2hunter2".to_owned();
        let item = wf_core::ItemId::new("a").unwrap();
        let mut records = [
            Record::RunStarted {
                run: "r".into(),
                pid: 1,
                version: "0".into(),
                workflow: "command".into(),
                work: String::new(),
                prefix: String::new(),
                argv: vec!["run".into(), "--key=hunter2hunter2".into()],
                parallel: 1,
                items: 1,
                mock: false,
                name: Some("hunter2hunter2".into()),
            },
            Record::AttemptEnded {
                item,
                attempt: 1,
                end: AttemptEnd::NotSpawned { why },
                verdict: None,
                wall_ms: 0,
                leftovers: Vec::new(),
                unnamed: 0,
                log_bytes: None,
            },
            Record::Pool { message: "refused: hunter2hunter2".into() },
        ];
        redact(&mut records, &redactor);
        let shown = format!("{records:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(shown.matches("[REDACTED:k]").count(), 4);
    }
}
