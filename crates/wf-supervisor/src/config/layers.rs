//! Defaults, `wf.toml`, environment, command line: later wins, and each value remembers where it came from.

use std::fmt;

use super::document::nearest;
use super::environ::Environ;
use super::project::text_of;
use super::schema::{FileConfig, RunValue};
use crate::exit::{Trouble, refused};

const PREFIX: &str = "WF_SUPERVISOR_";
/// Variables that are not settings of a run.
const GLOBAL: &[&str] = &["config", "state_dir", "color"];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An option.
    CommandLine,
    /// An environment variable.
    Variable(String),
    /// The configuration file, with the line.
    File(String, usize),
    /// Nothing was said.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::CommandLine => f.write_str("command line"),
            Origin::Variable(name) => f.write_str(name),
            Origin::File(path, line) => write!(f, "{path}:{line}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A resolved setting, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name in `[run]`.
    pub name: &'static str,
    /// Its value as it would be written.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.name, self.value, self.origin)
    }
}

/// The layers below the command line, and a record of what was taken from where.
pub struct Layers<'a> {
    environ: &'a dyn Environ,
    file: &'a FileConfig,
    /// The configuration file as people should see it.
    file_name: String,
    settings: Vec<Setting>,
}

type Found<T> = Option<(T, Origin)>;

impl<'a> Layers<'a> {
    /// `file_name` is how messages call the configuration file.
    pub fn new(environ: &'a dyn Environ, file: &'a FileConfig, file_name: String) -> Layers<'a> {
        Layers { environ, file, file_name, settings: Vec::new() }
    }

    /// A setting with one value. `read` is used for environment and file; `option` has been read by the command line.
    pub fn one<T>(
        &mut self,
        name: &'static str,
        option: Option<T>,
        read: impl Fn(&str) -> Result<T, String>,
        default: T,
        show: impl Fn(&T) -> String,
    ) -> Result<(T, Origin), Trouble> {
        let (value, origin) = match option {
            Some(value) => (value, Origin::CommandLine),
            None => self.below(name, read)?.unwrap_or((default, Origin::Default)),
        };
        self.settings.push(Setting { name, value: show(&value), origin: origin.clone() });
        Ok((value, origin))
    }

    /// Refuses a value that is wrong, also where it has no meaning: it will have one in another run.
    pub fn check<T>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<(), Trouble> {
        self.below(name, read).map(drop)
    }

    /// A setting that is a list; a later layer replaces an earlier one. In the environment it is separated by commas.
    pub fn many(
        &mut self,
        name: &'static str,
        options: &[String],
        check: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Vec<String>, Trouble> {
        let (list, origin) = if options.is_empty() {
            match self.variable(name)? {
                Some((text, variable)) => {
                    let list =
                        text.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect();
                    (list, Origin::Variable(variable))
                }
                None => match self.file.run.get(name) {
                    Some((RunValue::Many(list), line)) => {
                        (list.clone(), Origin::File(self.file_name.clone(), *line))
                    }
                    _ => (Vec::new(), Origin::Default),
                },
            }
        } else {
            (options.to_vec(), Origin::CommandLine)
        };
        for word in &list {
            check(word).map_err(|clause| Trouble::Refused(format!("{origin}: {name}: {clause}")))?;
        }
        let value = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        self.settings.push(Setting { name, value, origin });
        Ok(list)
    }

    /// A choice of one invocation: an option or a variable, never `wf.toml`. Not recorded unless it was made.
    pub fn choice<T>(
        &mut self,
        name: &'static str,
        option: Option<T>,
        read: impl Fn(&str) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> Result<Option<T>, Trouble> {
        let found = match option {
            Some(value) => Some((value, Origin::CommandLine)),
            None => self.in_environment(name, &read)?,
        };
        Ok(found.map(|(value, origin)| {
            self.settings.push(Setting { name, value: show(&value), origin });
            value
        }))
    }

    /// Replaces the shown value of a setting that was changed after it was read.
    pub fn corrected(&mut self, name: &str, value: String) {
        if let Some(setting) = self.settings.iter_mut().find(|s| s.name == name) {
            setting.value = value;
        }
    }

    /// All settings in the order they were asked for, and warnings about variables that mean nothing.
    pub fn finish(self, known: &[&str]) -> (Vec<Setting>, Vec<String>) {
        let known: Vec<String> = known.iter().chain(GLOBAL).map(|name| variable_name(name)).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let mut warnings: Vec<String> = self
            .environ
            .names()
            .iter()
            .filter_map(|name| name.to_str())
            .filter(|name| name.starts_with(PREFIX) && !known.contains(name))
            .map(|name| match nearest(name, &known) {
                Some(near) => format!("the variable {name} means nothing here; did you mean {near}?"),
                None => format!("the variable {name} means nothing here"),
            })
            .collect();
        warnings.sort();
        (self.settings, warnings)
    }

    fn below<T>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Found<T>, Trouble> {
        if let Some(found) = self.in_environment(name, &read)? {
            return Ok(Some(found));
        }
        let Some((RunValue::One(text), line)) = self.file.run.get(name) else { return Ok(None) };
        let origin = Origin::File(self.file_name.clone(), *line);
        match read(text) {
            Ok(value) => Ok(Some((value, origin))),
            Err(clause) => refused(format!("{origin}: run.{name}: {clause}")),
        }
    }

    fn in_environment<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Found<T>, Trouble> {
        match self.variable(name)? {
            None => Ok(None),
            Some((text, variable)) => match read(&text) {
                Ok(value) => Ok(Some((value, Origin::Variable(variable)))),
                Err(clause) => refused(format!("{variable}: {clause}")),
            },
        }
    }

    fn variable(&self, name: &str) -> Result<Option<(String, String)>, Trouble> {
        let variable = variable_name(name);
        match text_of(self.environ.get(&variable)) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some((text, variable))),
            Some(Err(_)) => refused(format!("{variable}: the value is not valid UTF-8")),
        }
    }
}

fn variable_name(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}
