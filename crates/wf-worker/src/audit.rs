//! The item's audit trail: a JSON object per line, appended with one write each.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

/// What happened, where, and at what cost. Absent fields are left out of the line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Entry<'a> {
    /// The node's name.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub node: &'a str,
    /// From 1; 0 is left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub iteration: u32,
    /// `node-started`, `node-finished`, `waiting`, `call`, `refused`, `reused`, `written`, `finished`, ...
    pub event: &'a str,
    /// The provider of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<&'a str>,
    /// The model of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// The name of the key of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// Tokens of a call's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_in: Option<u64>,
    /// Tokens of a call's output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_out: Option<u64>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// A review's verdict, or how the item ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<&'a str>,
    /// The same in words for a person.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub detail: &'a str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[derive(Serialize)]
struct Line<'a> {
    ts: jiff::Timestamp,
    run: &'a str,
    item: &'a str,
    workflow: &'a str,
    attempt: u32,
    #[serde(flatten)]
    entry: &'a Entry<'a>,
}

/// Appends an item's audit lines.
pub struct Audit {
    /// The file; made when the first line is written.
    pub file: PathBuf,
    /// The run's id.
    pub run: String,
    /// The item's id.
    pub item: String,
    /// The workflow's name.
    pub workflow: String,
    /// From 1.
    pub attempt: u32,
    opened: OnceLock<File>,
    complained: AtomicBool,
}

impl Audit {
    /// Audit lines of this attempt, appended to `file`.
    pub fn new(file: PathBuf, run: &str, item: &str, workflow: &str, attempt: u32) -> Audit {
        let complained = AtomicBool::new(false);
        let opened = OnceLock::new();
        Audit {
            file,
            run: run.into(),
            item: item.into(),
            workflow: workflow.into(),
            attempt,
            opened,
            complained,
        }
    }

    /// Appends a line. A line that cannot be written is reported once and does not stop paid work.
    pub fn record(&self, entry: &Entry<'_>) {
        if let Err(error) = self.append(entry)
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            log::warn!("audit {} cannot be written: {error}", self.file.display());
        }
    }

    fn append(&self, entry: &Entry<'_>) -> io::Result<()> {
        let ts = jiff::Timestamp::now();
        let (run, item, workflow) = (&self.run, &self.item, &self.workflow);
        let line = Line { ts, run, item, workflow, attempt: self.attempt, entry };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        // One write, so that a killed worker leaves at most one torn line, and only at the end.
        let mut file = if let Some(file) = self.opened.get() {
            file
        } else {
            let file = OpenOptions::new().append(true).create(true).open(&self.file)?;
            self.opened.get_or_init(|| file)
        };
        if file.write(&bytes)? < bytes.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "the line was cut short"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_fields_that_are_known_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("workflow-audit-42.jsonl");
        let audit = Audit::new(file.clone(), "r", "42", "lld", 2);
        audit.record(&Entry { event: "finished", verdict: Some("approved"), ..Entry::default() });
        audit.record(&Entry {
            event: "call",
            node: "N1_draft",
            iteration: 1,
            tokens_in: Some(0),
            ..Entry::default()
        });
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<serde_json::Map<String, serde_json::Value>> =
            text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let fields = |n: usize| lines[n].keys().map(String::as_str).collect::<Vec<_>>().join(" ");
        assert_eq!(fields(0), "attempt event item run ts verdict workflow");
        assert_eq!(fields(1), "attempt event item iteration node run tokens_in ts workflow");
        assert!(lines[0]["ts"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn a_directory_that_is_gone_does_not_stop_the_work() {
        Audit::new("/nonexistent/x.jsonl".into(), "r", "1", "lld", 1).record(&Entry::default());
    }
}
