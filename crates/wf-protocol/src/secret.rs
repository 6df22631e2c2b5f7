//! A string that no log can show and that leaves no copy of itself behind.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A key or a token. `Debug` hides it, dropping overwrites it; on the wire it is a plain string.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that sends it on.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Secret {
        Secret(secret)
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Secret {
        Secret(secret.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use crate::{ToSupervisor, ToWorker};

    #[test]
    fn no_message_shows_a_secret() {
        let granted = ToWorker::Granted {
            call: 1,
            lease: 2,
            key: "gemini-a".into(),
            secret: "hunter2hunter2".into(),
            expires_ms: 3,
        };
        let hello = ToSupervisor::Hello { version: 1, token: "hunter2hunter2".into() };
        for shown in [format!("{granted:?}"), format!("{granted:#?}"), format!("{hello:?}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("[secret]"), "{shown}");
        }
        assert!(format!("{granted:?}").contains("gemini-a"), "what is no secret is still shown");
    }
}
