//! Whether a design says of itself that a person approved it.

use crate::markdown::prose;

/// Whether a line `Status: approved` stands above the first section: bold, as a list item, in a table's row or in front
/// matter, with or without words behind it.
pub fn says_approved(design: &str) -> bool {
    prose(design).take_while(|line| !line.starts_with("## ")).any(|line| {
        let plain: String = line.chars().filter(|c| !matches!(c, '*' | '`' | '>' | '#')).collect();
        let plain = plain.trim_matches([' ', '\t', '-', '|']).to_lowercase();
        let Some((key, value)) = plain.split_once([':', '|']) else { return false };
        let value = value.trim_start_matches([':', '|', ' ', '\t']);
        let word = value.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        key.trim() == "status" && word == "approved"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_in_its_usual_forms_above_the_first_section() {
        for line in [
            "Status: approved",
            "**Status:** Approved",
            "- **Status**: APPROVED (2026-11-21, K.)",
            "| Status | Approved |",
            "> status: approved, with thanks",
        ] {
            assert!(says_approved(&format!("# LLD-42: x\n\n{line}\n\n## Context\n")), "{line}");
        }
        assert!(says_approved("---\nstatus: approved\n---\n# x\n"));
        for text in [
            "# x\n\nStatus: draft\n",
            "# x\n\nStatus: not approved\n",
            "# x\n\nStatus: approvedish\n",
            "# x\n\nThe status is: approved\n",
            "# x\n\n## Context\n\nStatus: approved\n",
            "# x\n\n```\nStatus: approved\n```\n",
            "",
        ] {
            assert!(!says_approved(text), "{text:?}");
        }
    }
}
