//! Collects the findings of a tier from its lines.

use crate::boxes::boxes;
use crate::nothing::{blames, contrasts, is_category, is_none};

/// A text in one line without emphasis and without a box in front.
pub(crate) fn plain(text: &str) -> String {
    let text = boxes(text).first().map_or(text, |_| after_box(text));
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let bare = word.replace("**", "");
        if !bare.is_empty() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&bare);
        }
    }
    line
}

fn after_box(text: &str) -> &str {
    text.find([']', '☑', '☒', '☐']).map_or(text, |at| {
        let mark = text[at..].chars().next().map_or(0, char::len_utf8);
        &text[at + mark..]
    })
}

/// The findings of one tier. What is neither a list item, nor a row of a table, nor begins with a title in bold is prose
/// and no finding: nothing tells praise from blame in it.
#[derive(Default)]
pub(crate) struct Collector {
    findings: Vec<String>,
    item: Option<Item>,
    after_blank: bool,
    table_rows: usize,
    /// Paragraphs that are no findings; whoever knows the verdict judges them.
    prose: Vec<String>,
    /// The last of them goes on in the next line.
    in_paragraph: bool,
    /// It was said that there is nothing: what follows in prose says why.
    nothing: bool,
}

struct Item {
    indent: usize,
    text: String,
    /// Lines that belong to it: list items below it, and lines it goes on with.
    below: Vec<Below>,
    /// Begun by a title in bold instead of a list mark.
    titled: bool,
    /// Its box is marked, or it is crossed out as resolved: checked, and no finding.
    settled: bool,
}

struct Below {
    text: String,
    listed: bool,
    /// It begins with an empty box.
    open: bool,
    /// It begins with a marked box.
    settled: bool,
}

impl Below {
    fn new(content: &str, listed: bool) -> Below {
        let first = boxes(content).first().map(|ticked| ticked.marked);
        let settled = first == Some(true) || is_crossed_out(content);
        Below { text: plain(content), listed, open: first == Some(false), settled }
    }
}

impl Collector {
    /// Takes a line of the tier.
    pub(crate) fn line(&mut self, line: &str) {
        let text = line.trim();
        if text.is_empty() {
            self.after_blank = true;
            self.in_paragraph = false;
            return;
        }
        let after_blank = std::mem::take(&mut self.after_blank);
        let indent = line.len() - line.trim_start().len();
        if text.starts_with('|') {
            self.row(text);
            return;
        }
        self.table_rows = 0;
        if let Some(content) = list_item(text) {
            match &mut self.item {
                Some(item) if !item.titled && indent > item.indent => {
                    item.below.push(Below::new(content, true));
                }
                _ => self.begin(indent, content, false),
            }
            return;
        }
        match &mut self.item {
            Some(item) if !after_blank || indent > item.indent || (item.titled && item.below.is_empty()) => {
                if begins_finding(text) && indent <= item.indent {
                    self.begin(indent, text, true);
                } else if let Some(Below { text: last, .. }) = item.below.last_mut() {
                    last.push(' ');
                    last.push_str(&plain(text));
                } else {
                    item.below.push(Below::new(text, false));
                }
            }
            _ => {
                self.end_item();
                if begins_finding(text) {
                    self.begin(indent, text, true);
                } else {
                    self.paragraph(text);
                }
            }
        }
    }

    /// Takes a line of prose.
    fn paragraph(&mut self, text: &str) {
        match self.prose.last_mut() {
            Some(last) if self.in_paragraph => {
                last.push(' ');
                last.push_str(text);
            }
            _ => self.prose.push(text.to_owned()),
        }
        self.in_paragraph = true;
    }

    /// The first paragraph that blames, unless it was said before that there is nothing.
    pub(crate) fn blame(&self) -> Option<String> {
        let mut prose = self.prose.iter().map(|text| plain(text));
        let mut nothing = self.nothing;
        prose.find(|text| {
            let says_nothing = is_none(text);
            let found = (!nothing || contrasts(text)) && !says_nothing && blames(text);
            nothing |= says_nothing;
            found
        })
    }

    /// Takes what stands in the heading's own line.
    pub(crate) fn content(&mut self, text: &str) {
        self.end_item();
        let text = plain(text.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '['));
        if !is_none(&text) && !is_category(&text) {
            self.findings.push(text);
        }
    }

    /// A heading inside of the tier, or the tier's end.
    pub(crate) fn end_item(&mut self) {
        self.table_rows = 0;
        self.in_paragraph = false;
        let Some(mut item) = self.item.take() else { return };
        if item.settled {
            // What is checked is no finding; an open box below it is.
            self.findings
                .extend(item.below.into_iter().filter(|b| b.open && !is_none(&b.text)).map(|b| b.text));
            return;
        }
        item.below.retain(|below| !below.settled);
        let (listed, continued): (Vec<_>, Vec<_>) = item.below.into_iter().partition(|below| below.listed);
        let rest: Vec<&str> = listed.iter().map(|b| b.text.as_str()).filter(|text| !is_none(text)).collect();
        let more: Vec<&str> = continued.iter().map(|b| b.text.as_str()).collect();
        let title_only = item.text.ends_with(':') || is_category(&item.text) || item.titled;
        if is_none(&item.text) && !more.iter().any(|text| contrasts(text)) {
            // "No issues found", and below it why; or one nevertheless.
            self.nothing = true;
            let open = |below: &&Below| (below.open && !is_none(&below.text)) || contrasts(&below.text);
            self.findings.extend(listed.iter().filter(open).map(|below| below.text.clone()));
        } else if title_only && listed.is_empty() && more.is_empty() && is_category(&item.text) {
            // A category without a word about it.
        } else if title_only
            && rest.is_empty()
            && more.iter().all(|text| is_none(text))
            && !(listed.is_empty() && more.is_empty())
        {
            // A category in which there is nothing.
        } else {
            self.findings.push([vec![item.text.as_str()], more, rest].concat().join(" "));
        }
    }

    /// All findings so far.
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.end_item();
        self.findings
    }

    fn begin(&mut self, indent: usize, content: &str, titled: bool) {
        // A title in bold over a list is a category; what is wrong in it is in the list.
        if self
            .item
            .as_ref()
            .is_some_and(|item| item.titled && item.below.is_empty() && !titled && is_title(&item.text))
        {
            self.item = None;
        }
        self.end_item();
        let settled = is_settled(content);
        self.item = Some(Item { indent, text: plain(content), below: Vec::new(), titled, settled });
    }

    /// A row of a table: the first two are its head.
    fn row(&mut self, text: &str) {
        if self.table_rows == 0 {
            self.end_item();
        }
        self.table_rows += 1;
        if self.table_rows <= 2 {
            return;
        }
        let cells =
            text.trim_matches('|').split('|').map(plain).filter(|cell| cell.contains(char::is_alphanumeric));
        let cells: Vec<_> = cells.collect();
        let numbering = |cell: &String| cell.bytes().all(|b| b.is_ascii_digit());
        if !cells.iter().all(|cell| is_none(cell) || numbering(cell)) {
            self.findings.push(cells.join(": "));
        }
    }
}

/// Whether a text begins with a marked box or is crossed out: it is settled.
pub(crate) fn is_settled(content: &str) -> bool {
    boxes(content).first().is_some_and(|ticked| ticked.marked) || is_crossed_out(content)
}

/// Whether a text is crossed out, or says in bold that it is resolved: `~~Open question?~~ **RESOLVED: answer**`.
fn is_crossed_out(text: &str) -> bool {
    let text = boxes(text).first().map_or(text, |_| after_box(text));
    let text = text.trim_start_matches(['*', '_', ' ']);
    let resolved = text.contains("**RESOLVED") || text.contains("**Resolved");
    text.starts_with("~~") && (resolved || text.trim_end_matches(['*', '_', ' ', '.']).ends_with("~~"))
        || text.starts_with("RESOLVED")
}

/// Whether a line outside of a list begins a finding: with a title in bold, or with a box.
fn begins_finding(text: &str) -> bool {
    text.starts_with("**") || !boxes(text).is_empty()
}

/// A title without a text after it.
fn is_title(text: &str) -> bool {
    text.split_once(':').is_none_or(|(_, rest)| rest.trim().is_empty())
}

/// The content of a list item: `- a`, `* a`, `+ a`, `• a`, `1. a`, `2) a`.
pub(crate) fn list_item(text: &str) -> Option<&str> {
    let bullet = text.strip_prefix(['-', '*', '+', '•']);
    let numbered = || {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if (1..=3).contains(&digits) { text[digits..].strip_prefix(['.', ')']) } else { None }
    };
    let content = bullet.or_else(numbered)?;
    (content.is_empty() || content.starts_with(char::is_whitespace)).then(|| content.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_in_every_shape() {
        let cases: [(&str, &[&str]); 19] = [
            ("- [ ] **Key:** it is\n  logged\n- [x] No issues found", &["Key: it is logged"]),
            ("* one\n+ two\n1. three\n• four", &["one", "two", "three", "four"]),
            (
                "- **Security**\n  - No issues found\n- **Cost**\n  - unbounded\n  - slow",
                &["Cost unbounded slow"],
            ),
            ("- No issues found\n  - but a loop", &["but a loop"]),
            ("**Key:** it is logged\n\n**Loop:** no bound", &["Key: it is logged", "Loop: no bound"]),
            ("**Security**\n- No issues found\n**Cost**\n- unbounded", &["unbounded"]),
            ("**Security**\nNo issues found.\n\n**Cost**\n\nNone.", &[]),
            ("**The key is logged**\n\nIt must not be.", &["The key is logged It must not be."]),
            ("**The key is logged**", &["The key is logged"]),
            ("**Cost**\n\n**Legal**", &[]),
            ("Some praise in a paragraph.\n\nMore of it.", &[]),
            (
                "| # | Issue | Severity |\n|---|---|---|\n| 1 | Key logged | high |\n| - | None | |",
                &["1: Key logged: high"],
            ),
            ("[ ] **Key:** logged\n[ ] **Loop:** endless", &["Key: logged", "Loop: endless"]),
            ("No blocking issues found. LLD is approved for implementation.", &[]),
            ("- [x] **Input:** handled by the schema\n  - [ ] but not its size", &["but not its size"]),
            ("- [ ] No issues found.\n    - **Scope:** a worktree each\n    - **Bounds:** five rounds", &[]),
            ("- [ ] No issues found.\n    - [ ] the loop has no bound", &["the loop has no bound"]),
            (
                "- ~~Who pays?~~ **RESOLVED: the team**\n- [x] ~~Bound?~~\n- [ ] Key is logged",
                &["Key is logged"],
            ),
            ("- **Cost**\n  - [x] bounded\n  - slow", &["Cost slow"]),
        ];
        for (text, findings) in cases {
            let mut collector = Collector::default();
            text.lines().for_each(|line| collector.line(line));
            assert_eq!(collector.finish(), findings, "{text:?}");
        }
    }
}
