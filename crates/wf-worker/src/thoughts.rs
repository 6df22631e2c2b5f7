//! Thinking aloud, taken out of an answer before anything is read.

use std::borrow::Cow;

use crate::edits::{Mark, mark};
use crate::fences::{self, Fence};

/// The elements in which models think: of `DeepSeek`, Qwen and others, of prompts that ask for it.
const NAMES: [&str; 6] = ["think", "thinking", "reasoning", "thought", "thoughts", "scratchpad"];

/// The answer without thoughts. `None`: thoughts begin and do not end, so that nothing tells them from the answer.
///
/// A closing mark alone ends thoughts that began with the answer: some chat templates put the opening one into the prompt.
/// Inside of fences and edit blocks such lines are text.
pub fn without(answer: &str) -> Option<Cow<'_, str>> {
    if !answer.contains('<') || !NAMES.iter().any(|name| find(answer, &format!("{name}>")).is_some()) {
        return Some(Cow::Borrowed(answer));
    }
    let mut kept = String::with_capacity(answer.len());
    let mut thinking: Option<&str> = None;
    let mut seen = false;
    let mut fence: Option<Fence> = None;
    let mut in_block = false;
    for line in answer.split_inclusive('\n') {
        if let Some(name) = thinking {
            if let Some(at) = find(line, &format!("</{name}>")) {
                thinking = None;
                kept.push_str(line[at + name.len() + 3..].trim_start_matches([' ', '\t']));
            }
            continue;
        }
        let text = line.trim_end();
        match mark(text) {
            Some(Mark::Search) => in_block = true,
            Some(Mark::Replace) => in_block = false,
            _ => {}
        }
        match (fence, fences::opens(text)) {
            (None, Some((opened, _))) => fence = Some(opened),
            (Some(open), Some((found, ""))) if fences::closes(open, found) => fence = None,
            _ => {}
        }
        if fence.is_some() || in_block {
            kept.push_str(line);
            continue;
        }
        let start = text.trim_start();
        if let Some(name) = NAMES.iter().find(|name| starts(start, &format!("<{name}>"))) {
            seen = true;
            match find(line, &format!("</{name}>")) {
                Some(at) => kept.push_str(line[at + name.len() + 3..].trim_start_matches([' ', '\t'])),
                None => thinking = Some(name),
            }
            continue;
        }
        let closed = NAMES.iter().find_map(|name| {
            let end = format!("</{name}>");
            Some(find(line, &end)? + end.len())
        });
        match closed {
            Some(after) if !seen => {
                seen = true;
                kept.clear();
                kept.push_str(line[after..].trim_start_matches([' ', '\t']));
            }
            _ => kept.push_str(line),
        }
    }
    thinking.is_none().then_some(Cow::Owned(kept))
}

fn starts(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Where `needle`, which is in small letters and ends in its only `>`, stands in any case.
fn find(text: &str, needle: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'>', bytes).find_map(|end| {
        let start = (end + 1).checked_sub(needle.len())?;
        bytes[start..=end].eq_ignore_ascii_case(needle.as_bytes()).then_some(start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_go_and_text_that_looks_like_them_stays() {
        for (answer, left) in [
            ("# T\n", Some("# T\n")),
            ("<think>\n## not\n</think>\n\n# T\n", Some("\n\n# T\n")),
            ("<think>short</think># T\n", Some("# T\n")),
            ("<Thinking>\nx\n</THINKING>\n# T\n<reasoning>\ny\n</reasoning>\nend\n", Some("\n# T\n\nend\n")),
            ("plan\n### FILE: a\n</think>\n# T\n", Some("\n# T\n")),
            ("# T\n```\n<think>\n```\nend\n", Some("# T\n```\n<think>\n```\nend\n")),
            ("### FILE: t\n```jinja\n</think>\n```\n", Some("### FILE: t\n```jinja\n</think>\n```\n")),
            ("<think>\nnever ends", None),
            ("a <think> in a line\n", Some("a <think> in a line\n")),
            ("List<think>\n", Some("List<think>\n")),
        ] {
            assert_eq!(without(answer).as_deref(), left, "{answer:?}");
        }
    }

    #[test]
    fn a_large_answer_is_read_once() {
        let large = "</thin> <think ".repeat(300_000);
        assert_eq!(without(&large).as_deref(), Some(large.as_str()));
    }
}
