//! A secret in memory: zeroed when dropped, never shown.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The shortest secret that is taken, in bytes: replacing a shorter one in workers' output would garble it.
pub const MIN_SECRET_BYTES: usize = 8;
/// The longest secret that is taken, in bytes. It has to fit an HTTP header and one frame of the protocol.
pub const MAX_SECRET_BYTES: usize = 16 * 1024;

/// A key's secret. `Debug` shows the key's name, there is no `Display`, and clones share one copy.
#[derive(Clone)]
pub struct Secret {
    name: Arc<str>,
    text: Arc<Zeroizing<String>>,
}

impl Secret {
    /// Checks a secret; the error is a clause that does not repeat it.
    pub fn new(name: &str, text: Zeroizing<String>) -> Result<Secret, String> {
        if text.len() < MIN_SECRET_BYTES {
            return Err(format!("the secret is shorter than {MIN_SECRET_BYTES} bytes"));
        }
        if text.len() > MAX_SECRET_BYTES {
            return Err("the secret is longer than 16 KiB".to_owned());
        }
        if text.contains(['\n', '\r']) {
            return Err("the secret has more than one line".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("the secret contains control characters".to_owned());
        }
        if !text.is_ascii() || text.trim_ascii().len() != text.len() {
            return Err("the secret has characters around or in it that no HTTP header takes".to_owned());
        }
        Ok(Secret { name: name.into(), text: Arc::new(text) })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The secret itself: for the frame to a worker that holds a lease, for redaction, and for nothing else.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        *self.text == *other.text
    }
}

impl Eq for Secret {}
