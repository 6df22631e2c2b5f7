//! Exit codes, and the two ways in which a command cannot do what it was asked.

/// Every item approved, succeeded or skipped; or a command that did what it was asked.
pub const OK: u8 = 0;
/// At least one item failed or timed out.
pub const FAILED: u8 = 1;
/// Wrong usage, items or configuration, or no key: nothing was started.
pub const REFUSED: u8 = 2;
/// The supervisor could not do its own work: disk, socket, database.
pub const BROKEN: u8 = 125;

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// What was asked cannot be done as it was asked; nothing was started or written.
    #[error("{0}")]
    Refused(String),
    /// The supervisor's own work went wrong.
    #[error("{0:#}")]
    Broken(#[from] anyhow::Error),
}

impl Trouble {
    /// The exit code that tells a caller which of the two it was.
    pub fn code(&self) -> u8 {
        match self {
            Trouble::Refused(_) => REFUSED,
            Trouble::Broken(_) => BROKEN,
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        Trouble::Broken(error.into())
    }
}

impl From<crate::store::StoreError> for Trouble {
    fn from(error: crate::store::StoreError) -> Trouble {
        if error.exit_code() == REFUSED {
            Trouble::Refused(error.to_string())
        } else {
            Trouble::Broken(error.into())
        }
    }
}

/// Shorthand for a refusal in a sentence.
pub fn refused<T>(sentence: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Refused(sentence.into()))
}
