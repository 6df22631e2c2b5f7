//! What a worker learns from its environment.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Longest item text that is read from a file, in bytes.
const TEXT_BYTES: u64 = 16 * 1024 * 1024;

/// The `WF_*` variables, but for those of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `WF_ITEM_ID`.
    pub item: String,
    /// `WF_ITEM_TEXT`, or the content of `WF_ITEM_TEXT_FILE`; `None` where it is empty or no more than the id.
    pub text: Option<String>,
    /// `WF_WORKFLOW`, which the job must agree with.
    pub workflow: String,
    /// `WF_RUN_ID`.
    pub run: String,
    /// `WF_ATTEMPT`, from 1.
    pub attempt: u32,
    /// `WF_WORKFLOW_DB`.
    pub checkpoint: PathBuf,
}

impl Settings {
    /// Reads them through `variable`. The error is a sentence that names the variable.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Settings, String> {
        let text = |name: &str| match variable(name).map(OsString::into_string) {
            None => Err(format!("{name} is not set")),
            Some(Err(_)) => Err(format!("{name} is not UTF-8")),
            Some(Ok(value)) => Ok(value),
        };
        let item = text("WF_ITEM_ID")?;
        let attempt = text("WF_ATTEMPT")?;
        let note = match variable("WF_ITEM_TEXT_FILE") {
            Some(path) => Some(read_text(&PathBuf::from(path))?),
            None => variable("WF_ITEM_TEXT").map(|_| text("WF_ITEM_TEXT")).transpose()?,
        };
        Ok(Settings {
            text: note.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty() && *t != item),
            item,
            workflow: text("WF_WORKFLOW")?,
            run: text("WF_RUN_ID")?,
            attempt: attempt.parse().map_err(|_| format!("WF_ATTEMPT is not a number: {attempt:?}"))?,
            checkpoint: variable("WF_WORKFLOW_DB").map(PathBuf::from).ok_or("WF_WORKFLOW_DB is not set")?,
        })
    }
}

fn read_text(path: &PathBuf) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("WF_ITEM_TEXT_FILE {} cannot be read: {e}", path.display());
    let mut text = String::new();
    File::open(path).and_then(|f| f.take(TEXT_BYTES).read_to_string(&mut text)).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(change: &[(&str, Option<&str>)]) -> Result<Settings, String> {
        let mut variables: BTreeMap<&str, &str> = [
            ("WF_ITEM_ID", "42"),
            ("WF_WORKFLOW", "lld"),
            ("WF_RUN_ID", "r"),
            ("WF_ATTEMPT", "2"),
            ("WF_WORKFLOW_DB", "/x.db"),
        ]
        .into();
        for (name, value) in change {
            match value {
                Some(value) => variables.insert(name, value),
                None => variables.remove(name),
            };
        }
        Settings::read(|name| variables.get(name).map(OsString::from))
    }

    #[test]
    fn text_is_what_says_more_than_the_id() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("text");
        std::fs::write(&file, "from a file\n").unwrap();
        for (change, text) in [
            (vec![], None),
            (vec![("WF_ITEM_TEXT", Some("42"))], None),
            (vec![("WF_ITEM_TEXT", Some(" more "))], Some("more")),
            (vec![("WF_ITEM_TEXT_FILE", file.to_str())], Some("from a file")),
        ] {
            assert_eq!(read(&change).unwrap().text.as_deref(), text, "{change:?}");
        }
        assert_eq!(read(&[]).unwrap().attempt, 2);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for name in ["WF_ITEM_ID", "WF_WORKFLOW", "WF_RUN_ID", "WF_ATTEMPT", "WF_WORKFLOW_DB"] {
            assert!(read(&[(name, None)]).unwrap_err().contains(name));
        }
        assert!(read(&[("WF_ATTEMPT", Some("two"))]).unwrap_err().contains("WF_ATTEMPT"));
        assert!(
            read(&[("WF_ITEM_TEXT_FILE", Some("/nonexistent"))]).unwrap_err().contains("WF_ITEM_TEXT_FILE")
        );
    }
}
