//! The environment, behind a seam so that tests bring their own.

use std::ffi::OsString;

/// Environment variables by name.
pub trait Environ {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<OsString>;
    /// All names that are set.
    fn names(&self) -> Vec<OsString>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnviron;

impl Environ for ProcessEnviron {
    fn get(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn names(&self) -> Vec<OsString> {
        std::env::vars_os().map(|(name, _)| name).collect()
    }
}

/// An environment made for a test.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub struct FixedEnviron(pub std::collections::BTreeMap<String, OsString>);

#[cfg(test)]
impl FixedEnviron {
    pub fn of(pairs: &[(&str, &str)]) -> FixedEnviron {
        FixedEnviron(pairs.iter().map(|(n, v)| ((*n).to_owned(), OsString::from(v))).collect())
    }
}

#[cfg(test)]
impl Environ for FixedEnviron {
    fn get(&self, name: &str) -> Option<OsString> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<OsString> {
        self.0.keys().map(OsString::from).collect()
    }
}
