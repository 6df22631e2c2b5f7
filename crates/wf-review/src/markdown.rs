//! Reads the lines of a review: its sections, findings, boxes and verdict lines.

use crate::boxes::boxes;
use crate::findings::{Collector, is_settled, list_item, plain};
use crate::nothing::is_none;
use crate::outline::{Outline, Section, after_verdict, heading, is_ranked, label, meaning, names_a_part};
use crate::undone::says_undone;
use crate::words::{Stated, any_word, leading_word, quote, stated};
use crate::{Verdict, gate};

/// A verdict with the line that says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) stated: Stated,
    pub(crate) line: String,
}

/// The verdict of a part of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfPart {
    /// The part's heading.
    pub(crate) name: String,
    /// The first word of the verdict, in small letters.
    pub(crate) word: String,
    pub(crate) said: Said,
}

/// What the lines say.
#[derive(Default)]
pub(crate) struct Scan {
    /// The marked boxes with a verdict.
    pub(crate) marked: Vec<Said>,
    /// There are boxes with a verdict, marked or not.
    pub(crate) boxes_seen: bool,
    /// The verdict lines of the document.
    pub(crate) lines: Vec<Said>,
    /// Those of its parts.
    pub(crate) parts: Vec<OfPart>,
    /// A paragraph among the blocking findings that says what is wrong.
    pub(crate) blame: Option<String>,
    /// A line that says that nothing was reviewed.
    pub(crate) undone: Option<String>,
    /// The questions for a person.
    pub(crate) questions: Vec<String>,
    pub(crate) blocking: Vec<String>,
    pub(crate) high: Vec<String>,
    pub(crate) suggestions: Vec<String>,
    pub(crate) gate_failed: bool,
    /// What a person is to be asked, best guess.
    pub(crate) question: Option<String>,
}

/// What the template says beside its third box; it is no question.
const TEMPLATE_REASON: &str = "Needs Orchestrator decision";

/// Lines that are indented this far are code, as far as verdicts go.
const CODE_INDENT: usize = 4;

struct Reader {
    scan: Scan,
    outline: Outline,
    blocking: Collector,
    high: Collector,
    suggestions: Collector,
    questions: Vec<String>,
    /// What stands beside a marked DISCUSS.
    reason: Option<String>,
    /// The first sentence that asks something.
    asking: Option<String>,
    /// A verdict's heading stood in the line before.
    verdict_next: bool,
    /// The heading of the part that the lines are in, where it is not the document's own.
    part: Option<String>,
}

/// Reads the reviewer's own lines.
pub(crate) fn scan(prose: &str) -> Scan {
    let mut reader = Reader {
        scan: Scan::default(),
        outline: Outline::new(),
        blocking: Collector::default(),
        high: Collector::default(),
        suggestions: Collector::default(),
        questions: Vec::new(),
        reason: None,
        asking: None,
        verdict_next: false,
        part: None,
    };
    prose.lines().for_each(|line| reader.line(line));
    let mut scan = reader.scan;
    reader.blocking.end_item();
    scan.blame = reader.blocking.blame();
    scan.blocking = reader.blocking.finish();
    scan.high = reader.high.finish();
    scan.suggestions = reader.suggestions.finish();
    let questions = Some(reader.questions.join(" ")).filter(|text| !text.is_empty());
    scan.question = questions.or(reader.reason).or(reader.asking);
    scan.questions = reader.questions;
    scan
}

impl Reader {
    fn line(&mut self, line: &str) {
        let text = line.trim();
        if text.is_empty() {
            if let Some(collector) = self.collector(self.outline.section()) {
                collector.line(line);
            }
            return;
        }
        let indent = line
            .chars()
            .take_while(|c| c.is_whitespace())
            .map(|c| if c == '\t' { 4 } else { 1 })
            .sum::<usize>();
        let listed = list_item(text);
        let content = listed.unwrap_or(text);
        if let Some(heading) = heading(text).filter(is_ranked) {
            self.part = names_a_part(&heading).then(|| plain(heading.text));
        }
        let parts = self.scan.parts.len();
        if indent < CODE_INDENT {
            let stated = self.boxes(content, listed.is_some()) || self.verdict_line(text, listed.is_some());
            self.verdict_next &= !stated;
            if self.scan.parts.len() > parts {
                // A part's verdict begins no section: what follows belongs where it belonged.
                return;
            }
            if stated && self.outline.section() != Section::Other {
                self.enter(text);
                return;
            }
        }
        if self.enter(text) {
            return;
        }
        self.tier_in_a_list(listed);
        if self.outline.section() == Section::Gate || gate::is_labelled(content) {
            self.scan.gate_failed |= gate::failed(content);
        }
        if let Some(collector) = self.collector(self.outline.section()) {
            collector.line(line);
        } else if self.outline.section() == Section::Questions && !is_none(content) && !is_settled(content) {
            match self.questions.last_mut() {
                // A question goes on in the next lines.
                Some(last) if listed.is_none() && indent > 0 => {
                    last.push(' ');
                    last.push_str(&plain(content));
                }
                _ => self.questions.push(plain(content)),
            }
        }
        let is_told = matches!(self.outline.section(), Section::Other | Section::Verdict | Section::Gate);
        if is_told && self.scan.undone.is_none() && says_undone(content) {
            self.scan.undone = Some(quote(&plain(content)));
        }
        if self.asking.is_none() && content.ends_with('?') {
            self.asking = Some(plain(content));
        }
    }

    /// Goes on to another section, if the line begins one.
    fn enter(&mut self, text: &str) -> bool {
        let Some(heading) = heading(text) else { return false };
        if !self.outline.enter(&heading) {
            return false;
        }
        self.blocking.end_item();
        self.high.end_item();
        self.suggestions.end_item();
        let section = self.outline.section();
        match section {
            Section::Gate => self.scan.gate_failed |= gate::failed(text),
            Section::Questions
                if heading.content.contains(char::is_alphanumeric) && !is_none(heading.content) =>
            {
                self.questions.push(plain(heading.content.trim_start_matches([':', '*', ' '])));
            }
            _ => {
                // "No Tier 1 issues: ready to go"
                if let Some(collector) = self.collector(section)
                    && !is_none(heading.text)
                {
                    collector.content(heading.content);
                }
            }
        }
        true
    }

    fn collector(&mut self, section: Section) -> Option<&mut Collector> {
        match section {
            Section::Blocking => Some(&mut self.blocking),
            Section::High => Some(&mut self.high),
            Section::Suggestions => Some(&mut self.suggestions),
            Section::Gate | Section::Questions | Section::Verdict | Section::Other => None,
        }
    }

    /// `- **Tier 1:** the key is logged`, in a summary.
    fn tier_in_a_list(&mut self, listed: Option<&str>) {
        if self.collector(self.outline.section()).is_some() {
            return;
        }
        let Some(heading) = listed.and_then(label) else { return };
        let Some(section) = meaning(heading.text) else { return };
        if let Some(collector) = self.collector(section)
            && !is_none(heading.text)
        {
            collector.content(heading.content);
        }
    }

    /// Takes a line of verdict boxes; says whether it was one.
    fn boxes(&mut self, content: &str, listed: bool) -> bool {
        let after = after_verdict(content).map(|rest| rest.trim_start_matches([':', '*', '_', ' ', '-']));
        let ticked = boxes(after.unwrap_or(content));
        let in_verdict = self.outline.section() == Section::Verdict;
        // Among findings and checks, only a word in capitals is the verdict's: "- [ ] **Discuss:** ..." is a finding.
        let in_prose = self.outline.section() == Section::Other && !listed;
        let strict = !in_verdict && !in_prose;
        let mut any = false;
        for ticked in ticked {
            let Some(word) = leading_word(ticked.label) else { continue };
            if !word.shouted && (strict || word.goes_on()) {
                continue;
            }
            if word.goes_on() && word.verdict != Verdict::Approved && !in_verdict {
                continue;
            }
            any = true;
            self.scan.boxes_seen = true;
            if ticked.marked {
                if word.verdict == Verdict::Discuss {
                    self.note_reason(ticked.label);
                }
                self.scan.marked.push(Said { stated: word.stated(), line: quote(content) });
            }
        }
        any
    }

    /// Takes a verdict line, or the first line under a verdict's heading; says whether it was one.
    fn verdict_line(&mut self, text: &str, listed: bool) -> bool {
        let in_tier = self.collector(self.outline.section()).is_some();
        if listed && in_tier {
            return false;
        }
        let Some(rest) = after_verdict(list_item(text).unwrap_or(text)) else {
            return self.verdict_next && self.bare_word(text);
        };
        let rest = rest.trim_start_matches(['*', '_', ' ', '`', ')']);
        let value = rest.trim_start_matches([':', '-', '–', '—', '=', '|', '→', ' ', '*', '_']);
        let separated = rest.len() != value.len() && rest.starts_with([':', '-', '–', '—', '=', '|', '→']);
        if !rest.contains(char::is_alphanumeric) {
            self.verdict_next = true;
            return false;
        }
        if !separated {
            return false;
        }
        let word = first_word(value);
        let value = stated(value);
        // The head of a table is no verdict.
        if rest.starts_with('|') && matches!(value, Stated::Unknown(_)) {
            return false;
        }
        self.push_line(value, text, word);
        true
    }

    /// `APPROVED` alone, in the line after a heading.
    fn bare_word(&mut self, text: &str) -> bool {
        self.verdict_next = false;
        let Some(word) = any_word(text) else { return false };
        if word.goes_on() && !word.shouted {
            return false;
        }
        let stated = word.stated();
        self.push_line(stated, text, first_word(text));
        true
    }

    fn push_line(&mut self, stated: Stated, text: &str, word: String) {
        let said = Said { stated, line: quote(text) };
        let in_heading = heading(text).is_some_and(|heading| is_ranked(&heading));
        if let Some(name) = self.part.clone().filter(|_| !in_heading) {
            self.scan.parts.push(OfPart { name, word, said });
            return;
        }
        let Said { stated, .. } = &said;
        if *stated == Stated::Clear(Verdict::Discuss) {
            self.note_reason(text);
        }
        self.scan.lines.push(said);
    }

    /// Keeps what stands after the word DISCUSS.
    fn note_reason(&mut self, text: &str) {
        let at = text.to_ascii_uppercase().find("DISCUSS").map_or(text.len(), |at| at + "DISCUSS".len());
        let reason = plain(text[at..].trim_start_matches(|c: char| !c.is_alphanumeric()));
        if self.reason.is_none() && !reason.is_empty() && reason != TEMPLATE_REASON {
            self.reason = Some(reason);
        }
    }
}

/// The first word of a verdict, in small letters.
fn first_word(text: &str) -> String {
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase()
}
