//! Where secrets come from: variables, files, commands.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wf_providers::Dialect;
use zeroize::Zeroizing;

use super::command::output_of;
use super::secret::MAX_SECRET_BYTES;
use crate::config::Environ;
use crate::items::placeholders::shown;

/// How long a command may take to print a secret; long enough for a person to unlock a password store.
pub const COMMAND_TIME: Duration = Duration::from_secs(60);

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Variable {
        /// Its name.
        name: String,
        /// Which of the secrets separated by commas, from 0; `None` takes the value whole.
        part: Option<usize>,
    },
    /// A file that only its owner can read; absolute.
    File(PathBuf),
    /// A program and its arguments; no shell is involved.
    Command(Vec<String>),
}

/// Why there is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// It is not there now and may come: the key waits for it.
    Absent(String),
    /// It is there and must not be used as it is: an operator has to mend it.
    Unsafe(String),
}

impl SecretSource {
    /// Whether a secret can be expected without reading it.
    pub fn seems_present(&self, environ: &dyn Environ) -> bool {
        match self {
            SecretSource::Variable { name, .. } => environ.get(name).is_some_and(|value| !value.is_empty()),
            SecretSource::File(path) => path.exists(),
            SecretSource::Command(_) => true,
        }
    }

    /// Reads the secret. Variables come from `environ`; a file or command is read anew each time, and may block for
    /// as long as `command_time`.
    pub fn read(
        &self,
        environ: &dyn Environ,
        command_time: Duration,
    ) -> Result<Zeroizing<String>, SourceError> {
        match self {
            SecretSource::Variable { name, part } => variable(environ, name, *part),
            SecretSource::File(path) => file(path),
            SecretSource::Command(command) => output_of(command, command_time),
        }
    }

    /// How people should see it.
    pub fn words(&self) -> String {
        match self {
            SecretSource::Variable { name, .. } => name.clone(),
            SecretSource::File(path) => path.display().to_string(),
            SecretSource::Command(command) => shown(&command.iter().map(Into::into).collect::<Vec<_>>()),
        }
    }
}

/// The secrets in a provider's usual variable, separated by commas; blanks around them and empty ones do not count.
pub fn parts(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// The variable a provider's keys are taken from without configuration: the first of its usual ones that is set.
pub fn usual_variable(dialect: Dialect, environ: &dyn Environ) -> Option<(&'static str, Zeroizing<String>)> {
    dialect.key_variables().iter().find_map(|name| {
        let value = Zeroizing::new(environ.get(name)?.into_string().ok()?);
        let has_any = parts(&value).next().is_some();
        has_any.then_some((*name, value))
    })
}

fn variable(
    environ: &dyn Environ,
    name: &str,
    part: Option<usize>,
) -> Result<Zeroizing<String>, SourceError> {
    let absent = || SourceError::Absent(format!("the variable {name} is not set"));
    let value = environ.get(name).filter(|value| !value.is_empty()).ok_or_else(absent)?;
    let value = Zeroizing::new(
        value
            .into_string()
            .map_err(|_| SourceError::Unsafe(format!("the variable {name} is not valid UTF-8")))?,
    );
    match part {
        Some(index) => parts(&value).nth(index).map(|p| Zeroizing::new(p.to_owned())).ok_or_else(absent),
        None if value.contains(',') => Err(SourceError::Unsafe(format!(
            "the variable {name} holds a comma; give each of several keys a variable of its own"
        ))),
        None => Ok(value),
    }
}

fn file(path: &Path) -> Result<Zeroizing<String>, SourceError> {
    let absent = |why: &dyn std::fmt::Display| SourceError::Absent(format!("{}: {why}", path.display()));
    // A pipe that nobody writes to would be waited for without an end.
    let file = wf_worker::open_regular(path).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::IsADirectory => {
            SourceError::Unsafe(format!("{}: {error}", path.display()))
        }
        _ => absent(&error),
    })?;
    // Of the open file, not of the path: what was checked is what is read.
    let meta = file.metadata().map_err(|e| absent(&e))?;
    let mode = meta.mode() & 0o7777;
    if mode & 0o177 != 0 {
        return Err(SourceError::Unsafe(format!(
            "{} has mode {mode:04o}, others may read it: chmod 600 {}",
            path.display(),
            path.display()
        )));
    }
    bounded(file, &path.display().to_string())
}

/// Reads a secret whole, without its final newline.
pub(super) fn bounded(reader: impl Read, name: &str) -> Result<Zeroizing<String>, SourceError> {
    // All at once: a buffer that grows would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES + 3));
    reader
        .take(MAX_SECRET_BYTES as u64 + 3)
        .read_to_end(&mut bytes)
        .map_err(|e| SourceError::Absent(format!("{name}: {e}")))?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| SourceError::Unsafe(format!("what {name} holds is not valid UTF-8")))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(SourceError::Absent(format!("{name} is empty")));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// The usual variables of all providers.
pub fn usual_variables() -> impl Iterator<Item = &'static str> {
    Dialect::ALL.into_iter().flat_map(|dialect| dialect.key_variables().iter().copied())
}
