//! The three families of wire format, and what is fixed about each provider.

use std::fmt;
use std::str::FromStr;

/// A wire format. Any compatible server speaks one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// Google's Gemini API (`generativelanguage.googleapis.com`), not Vertex AI.
    Gemini,
    /// Anthropic's Messages API.
    Anthropic,
    /// OpenAI's Chat Completions API, and the many servers that imitate it.
    OpenAi,
}

/// A word that names no dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDialect(String);

impl fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a kind of provider (gemini, anthropic and openai are)", self.0)
    }
}

impl std::error::Error for UnknownDialect {}

impl Dialect {
    /// Every dialect there is.
    pub const ALL: [Dialect; 3] = [Dialect::Gemini, Dialect::Anthropic, Dialect::OpenAi];

    /// The word of the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::Gemini => "gemini",
            Dialect::Anthropic => "anthropic",
            Dialect::OpenAi => "openai",
        }
    }

    /// Where the provider itself listens: scheme and host, without a trailing slash.
    ///
    /// Source: the "API reference" pages of ai.google.dev, platform.claude.com and platform.openai.com.
    pub const fn default_base_url(self) -> &'static str {
        match self {
            Dialect::Gemini => "https://generativelanguage.googleapis.com",
            Dialect::Anthropic => "https://api.anthropic.com",
            Dialect::OpenAi => "https://api.openai.com",
        }
    }

    /// The environment variables in which the provider's own SDKs look for a key, the usual one first.
    ///
    /// Source: the README files of `google-genai`, `anthropic` and `openai` (Python).
    pub const fn key_variables(self) -> &'static [&'static str] {
        match self {
            Dialect::Gemini => &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
            Dialect::Anthropic => &["ANTHROPIC_API_KEY"],
            Dialect::OpenAi => &["OPENAI_API_KEY"],
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(word: &str) -> Result<Dialect, UnknownDialect> {
        Dialect::ALL.into_iter().find(|d| d.name() == word).ok_or_else(|| UnknownDialect(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_nothing_else() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.name().parse(), Ok(dialect));
            assert!(!dialect.default_base_url().ends_with('/'));
        }
        let refused = "Gemini".parse::<Dialect>().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "\"Gemini\" is not a kind of provider (gemini, anthropic and openai are)"
        );
    }
}
