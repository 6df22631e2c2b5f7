//! What a request is answered with: a fixture, a document of the built-in workflows, or a few plain words.

use crate::config::MockConfig;
use crate::context::Context;
use crate::documents::{self, Asked, HUGE_BYTES};
use crate::draw;
use crate::script::Script;
use crate::wire::{Answer, Call};

/// Writes the reply. `earlier` is how many replies this node has had in this iteration: a reviewer who is asked again
/// for the verdict may answer differently.
pub fn write(config: &MockConfig, context: Option<&Context>, call: &Call, earlier: u32) -> String {
    let Some(context) = context else {
        let mark = draw::hash(&[call.system.as_bytes(), call.prompt.as_bytes()]);
        let words = call.prompt.split_whitespace().count();
        return format!("A reply of the mock server to a prompt of {words} words (mark {mark:016x}).\n");
    };
    let title = documents::title(&call.prompt).unwrap_or_else(|| format!("item {}", context.item));
    if let Some(text) = config.fixtures.reply(context, &title, earlier) {
        return text;
    }
    let asked = Asked {
        context,
        title: &title,
        prompt: &call.prompt,
        script: script(config, context, call),
        earlier,
    };
    if context.node.ends_with("tests") {
        documents::implement::tests(&asked)
    } else if context.node.ends_with("code") {
        documents::implement::code(&asked)
    } else if context.node.ends_with("draft") {
        documents::draft(&asked)
    } else if context.node.ends_with("review") {
        documents::review(&asked)
    } else {
        format!("The mock server has nothing particular to say in {} about \"{title}\".\n", context.node)
    }
}

/// Counts tokens, four bytes each, and ends the text at the request's bound.
pub fn bounded(mut text: String, call: &Call) -> Answer {
    let tokens = |bytes: usize| (bytes as u64).div_ceil(4);
    // A server that sends twenty megabytes minds no bound.
    let minds = |_: &u64| text.len() < HUGE_BYTES;
    let bound = call.max_output_tokens.filter(minds).unwrap_or(u64::MAX);
    let truncated = tokens(text.len()) > bound;
    if truncated {
        let mut end = usize::try_from(bound.saturating_mul(4)).unwrap_or(text.len()).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    Answer {
        tokens_in: tokens(call.system.len() + call.prompt.len()),
        tokens_out: tokens(text.len()),
        text,
        truncated,
    }
}

/// The plan wins over the document, the document over chance.
fn script(config: &MockConfig, context: &Context, call: &Call) -> Script {
    let planned = config.plan.get(&context.item).copied();
    planned
        .or_else(|| Script::chosen_by(&call.prompt))
        .unwrap_or_else(|| Script::by_chance(config.seed, &context.item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Dialect, Form};

    fn call(system: &str, prompt: &str) -> Call {
        Call {
            dialect: Dialect::Gemini,
            model: "m".into(),
            system: system.into(),
            prompt: prompt.into(),
            max_output_tokens: None,
            form: Form::Whole,
        }
    }

    fn verdict(config: &MockConfig, prompt: &str) -> &'static str {
        let system = "wf-context: workflow=lld node=N3_review iteration=1 item=42";
        let call = call(system, prompt);
        let text = write(config, Context::find(system).as_ref(), &call, 0);
        let marked = |word: &str| text.contains(&format!("[x] **{word}**"));
        ["APPROVED", "REVISE", "DISCUSS"].into_iter().find(|word| marked(word)).unwrap_or("none")
    }

    #[test]
    fn the_plan_comes_before_the_document_and_the_document_before_chance() {
        let mut config = MockConfig::default();
        let by_chance = Script::by_chance(config.seed, "42");
        let expected = if by_chance == Script::Approve(1) { "APPROVED" } else { "REVISE" };
        assert_eq!(verdict(&config, "# T"), expected);
        assert_eq!(verdict(&config, "# T\n<!-- mock: discuss -->"), "DISCUSS");
        config.plan.insert("42".into(), Script::Approve(1));
        assert_eq!(verdict(&config, "# T\n<!-- mock: discuss -->"), "APPROVED");
    }

    #[test]
    fn strangers_get_plain_words_that_depend_on_their_prompt() {
        let config = MockConfig::default();
        let reply = |prompt| write(&config, None, &call("", prompt), 0);
        assert_eq!(reply("one two"), reply("one two"));
        assert!(reply("one two").contains("a prompt of 2 words"));
        assert_ne!(reply("one two"), reply("one too"));
    }
}
