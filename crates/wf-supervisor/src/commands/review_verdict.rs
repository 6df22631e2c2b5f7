//! `wf-supervisor review-verdict`: what reviews say, for people and for scripts.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use wf_review::{Review, Verdict, parse};

use crate::exit;

/// The largest document that is read.
const MAX_DOCUMENT_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Serialize)]
struct Row {
    file: String,
    #[serde(flatten)]
    review: Review,
}

/// Parses every document; `-` is `stdin`. Writes verdicts to `out` and what cannot be read to `err`.
///
/// The exit code: 0 all approved, 1 not all, 2 when one could not be read.
pub fn review_verdict(
    files: &[PathBuf],
    json: bool,
    stdin: &mut dyn Read,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let mut rows = Vec::new();
    let mut code = exit::OK;
    for file in files {
        let name = file.display().to_string();
        match read(file, stdin) {
            Ok(text) => {
                let review = parse(&text);
                if review.verdict != Verdict::Approved {
                    code = code.max(exit::FAILED);
                }
                rows.push(Row { file: name, review });
            }
            Err(why) => {
                code = exit::REFUSED;
                writeln!(err, "error: {name} cannot be read: {why}")?;
            }
        }
    }
    if json {
        serde_json::to_writer_pretty(&mut *out, &rows)?;
        writeln!(out)?;
    } else {
        for row in &rows {
            write_row(row, out)?;
        }
    }
    Ok(code)
}

fn read(file: &Path, stdin: &mut dyn Read) -> Result<String, String> {
    let mut reader: Box<dyn Read + '_> = if file == Path::new("-") {
        Box::new(stdin)
    } else {
        Box::new(File::open(file).map_err(|e| e.to_string())?)
    };
    let mut bytes = Vec::new();
    reader.by_ref().take(MAX_DOCUMENT_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
        return Err("it is larger than 16 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not valid UTF-8".to_owned())
}

fn write_row(row: &Row, out: &mut dyn Write) -> io::Result<()> {
    let review = &row.review;
    write!(out, "{}: {}", row.file, review.verdict.word())?;
    if review.verdict != Verdict::Unparseable {
        write!(out, " ({})", review.form.word())?;
    }
    for (findings, word) in
        [(&review.blocking, "blocking"), (&review.high, "high"), (&review.suggestions, "suggestions")]
    {
        if !findings.is_empty() {
            write!(out, ", {} {word}", findings.len())?;
        }
    }
    writeln!(out)?;
    if let Some(contradiction) = &review.contradiction {
        writeln!(out, "  contradiction: {}", plain(contradiction))?;
    }
    for (part, word) in &review.sections {
        writeln!(out, "  part {}: {}", plain(part), plain(word))?;
    }
    for (findings, word) in [(&review.blocking, "blocking"), (&review.high, "high")] {
        for finding in findings {
            writeln!(out, "  {word}: {}", plain(finding))?;
        }
    }
    Ok(())
}

/// A reviewer's words must not steer the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const APPROVED: &str =
        "## Verdict\n[x] **APPROVED** - Ready\n[ ] **REVISE** - Fix\n[ ] **DISCUSS** - Ask\n";
    const REVISE: &str =
        r#"{"verdict": "REVISE", "blocking_issues": ["No \u001b[31mlimit"], "suggestions": ["Shorter"]}"#;

    fn run(files: &[&str], json: bool, stdin: &str) -> (u8, String, String) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("approved.md"), APPROVED).unwrap();
        fs::write(dir.path().join("revise.md"), REVISE).unwrap();
        fs::write(dir.path().join("nothing.md"), "Looks nice.").unwrap();
        fs::write(dir.path().join("binary.md"), b"\xff\xfe").unwrap();
        let paths: Vec<PathBuf> =
            files.iter().map(|f| if *f == "-" { PathBuf::from("-") } else { dir.path().join(f) }).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = review_verdict(&paths, json, &mut stdin.as_bytes(), &mut out, &mut err).unwrap();
        let text =
            |bytes| String::from_utf8(bytes).unwrap().replace(&format!("{}/", dir.path().display()), "");
        (code, text(out), text(err))
    }

    #[test]
    fn exit_codes() {
        for (files, code) in [
            (&["approved.md"][..], 0),
            (&["approved.md", "approved.md"], 0),
            (&["approved.md", "revise.md"], 1),
            (&["nothing.md"], 1),
            (&["missing.md"], 2),
            (&["binary.md", "revise.md"], 2),
            (&["revise.md", "missing.md", "approved.md"], 2),
        ] {
            assert_eq!(run(files, false, "").0, code, "{files:?}");
        }
        assert_eq!(run(&["-"], false, APPROVED).0, 0);
        assert_eq!(run(&["-"], false, "").0, 1);
    }

    #[test]
    fn for_people_and_for_scripts() {
        let files = ["approved.md", "revise.md", "nothing.md", "missing.md", "binary.md"];
        let (_, out, err) = run(&files, false, "");
        insta::assert_snapshot!(out, @r"
    approved.md: approved (boxes)
    revise.md: revise (json), 1 blocking, 1 suggestions
      blocking: No �[31mlimit
    nothing.md: unparseable
    ");
        insta::assert_snapshot!(err, @r"
    error: missing.md cannot be read: No such file or directory (os error 2)
    error: binary.md cannot be read: it is not valid UTF-8
    ");
        let (_, out, _) = run(&["revise.md"], true, "");
        insta::assert_snapshot!(out, @r#"
        [
          {
            "file": "revise.md",
            "verdict": "revise",
            "form": "json",
            "blocking": [
              "No \u001b[31mlimit"
            ],
            "high": [],
            "suggestions": [
              "Shorter"
            ],
            "questions": [],
            "sections": {},
            "contradiction": null
          }
        ]
        "#);
    }
}
