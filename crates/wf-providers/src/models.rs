//! The models that are used where the configuration names none: one dated table.

use crate::Dialect;

/// The day on which the names below were last compared with their sources.
pub const MODELS_AS_OF: &str = "2026-11-21";

/// A provider's default models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultModels {
    /// For the drafter, and for a reviewer of another provider.
    pub first: &'static str,
    /// For a reviewer that has to share the drafter's provider.
    pub second: &'static str,
    /// Where the names come from.
    pub source: &'static str,
}

/// The default models of a provider, as of [`MODELS_AS_OF`].
///
/// Generally available models only: previews are withdrawn at short notice, and free projects have no quota for
/// some of them.
pub const fn default_models(dialect: Dialect) -> DefaultModels {
    match dialect {
        Dialect::Gemini => DefaultModels {
            first: "gemini-3.6-flash",
            second: "gemini-3.5-flash",
            source: "ai.google.dev/gemini-api/docs/models (stable models)",
        },
        Dialect::Anthropic => DefaultModels {
            first: "claude-opus-5-5",
            second: "claude-sonnet-5-5",
            source: "platform.claude.com/docs/en/models/overview (current models)",
        },
        Dialect::OpenAi => DefaultModels {
            first: "gpt-5.5",
            second: "gpt-5.4",
            source: "chat model ids of the npm package @ai-sdk/openai 3.0.83",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_has_two_different_models_and_a_source() {
        for dialect in Dialect::ALL {
            let models = default_models(dialect);
            assert_ne!(models.first, models.second);
            assert!(!models.source.is_empty());
        }
    }
}
