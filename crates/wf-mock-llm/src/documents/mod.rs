//! The embedded documents: credible drafts and reviews that depend on the item alone.

mod findings;
pub mod implement;
mod issue;
mod lld;
mod review;
mod revision;

pub use review::review;

use crate::context::Context;
use crate::script::Script;

/// A request of a workflow's node, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Which node, iteration and item.
    pub context: &'a Context,
    /// The item's title.
    pub title: &'a str,
    /// Everything but the system prompt.
    pub prompt: &'a str,
    /// How the item fares.
    pub script: Script,
    /// Replies this node has had in this iteration.
    pub earlier: u32,
}

/// Length of the longest replies: more than any model writes, less than clients refuse to read.
pub const HUGE_BYTES: usize = 20 << 20;

/// A reply of [`HUGE_BYTES`] that repeats a line.
fn noise(line: &str) -> String {
    line.repeat(HUGE_BYTES.div_ceil(line.len()))
}

/// A draft: the first one from the input, later ones by taking up the last review's findings.
pub fn draft(asked: &Asked<'_>) -> String {
    if asked.context.iteration > 1
        && let Some(revised) = revision::revise(asked)
    {
        return revised;
    }
    if asked.script == Script::Huge && asked.earlier == 0 {
        return noise("## This design has no end, and every heading of it is the same\n");
    }
    let is_complete = asked.script != Script::Incomplete || asked.context.iteration > 1 || asked.earlier > 0;
    match asked.context.workflow.as_str() {
        "issue" => issue::draft(asked, is_complete),
        _ => lld::draft(asked, is_complete),
    }
}

/// The title of the document a prompt was written for: its first heading of the first level, without a label such as
/// `LLD-42:`.
pub fn title(prompt: &str) -> Option<String> {
    let heading = input(prompt).lines().find_map(|line| line.strip_prefix("# "))?.trim();
    let title = match heading.split_once(": ") {
        Some((label, rest)) if label.contains('-') && !label.contains(' ') => rest.trim(),
        _ => heading,
    };
    (!title.is_empty()).then(|| title.chars().take(120).collect())
}

/// The input in a prompt: what stands in `<input>` or `<design>` tags, as the built-in worker's prompts have it; else
/// everything.
fn input(prompt: &str) -> &str {
    tagged(prompt, "<input", "</input>").or_else(|| tagged(prompt, "<design", "</design>")).unwrap_or(prompt)
}

/// What stands between the last pair of these tags, the rest of the opening tag left out.
fn tagged<'a>(prompt: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let end = prompt.rfind(close)?;
    let start = prompt[..end]
        .rfind(&format!("\n{open}"))
        .map_or_else(|| prompt.starts_with(open).then_some(0), Some)?;
    prompt[start..end].split_once('>').map(|(_, inside)| inside)
}

/// Words that a mechanical check takes for something left unwritten.
const UNWRITTEN: [&str; 5] = ["TODO", "TBD", "FIXME", "TKTK", "XXX"];

/// What the document asks for: its first list items of a reasonable length.
fn points(prompt: &str) -> Vec<String> {
    const MOST: usize = 4;
    let after_title = input(prompt).lines().skip_while(|line| !line.starts_with("# ")).skip(1);
    let mut in_fence = false;
    let mut points = Vec::new();
    for line in after_title {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        }
        let item = line.strip_prefix("- ").or_else(|| line.strip_prefix("* "));
        if in_fence || item.is_none() || points.len() == MOST {
            continue;
        }
        let text =
            item.unwrap_or_default().trim_start_matches("[ ]").trim().trim_end_matches(['.', ';', ',']);
        // Brackets would look like leftover placeholders to a mechanical check, and a bar would break a table.
        if (15..=160).contains(&text.chars().count())
            && !text.contains(['<', '>', '{', '}', '[', ']', '|'])
            && !UNWRITTEN.iter().any(|word| text.contains(word))
        {
            points.push(text.to_owned());
        }
    }
    points
}

#[cfg(test)]
mod tests;
