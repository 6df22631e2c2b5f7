//! A worker's environment: the warden's own, with the differences of one attempt.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use zeroize::Zeroize;

/// The variables that the warden was started with, ready to be passed on.
pub(crate) struct Environment {
    base: Vec<Variable>,
}

struct Variable {
    name_bytes: usize,
    entry: CString,
}

impl Variable {
    fn name(&self) -> &[u8] {
        &self.entry.as_bytes()[..self.name_bytes]
    }
}

/// The environment of one command, as `execve` wants it. What was set for it is wiped afterwards: it may be a key.
pub(crate) struct Entries<'a>(Vec<Cow<'a, CStr>>);

impl<'a> Entries<'a> {
    /// All `NAME=VALUE` strings.
    pub(crate) fn as_slice(&self) -> &[Cow<'a, CStr>] {
        &self.0
    }
}

impl Drop for Entries<'_> {
    fn drop(&mut self) {
        for entry in self.0.drain(..) {
            if let Cow::Owned(entry) = entry {
                entry.into_bytes().zeroize();
            }
        }
    }
}

impl Environment {
    /// Reads this process's environment, once.
    pub(crate) fn of_this_process() -> Environment {
        Environment::new(std::env::vars_os())
    }

    fn new(variables: impl Iterator<Item = (OsString, OsString)>) -> Environment {
        let base = variables
            .filter_map(|(name, value)| {
                let entry = entry(&name, &value)?;
                Some(Variable { name_bytes: name.len(), entry })
            })
            .collect();
        Environment { base }
    }

    /// The base without `unset` and with `set`, which wins over both; of two equal names in `set` the later one does.
    /// The error is the name that cannot be one, or whose value has a NUL.
    pub(crate) fn with<'a>(
        &'a self,
        set: &[(OsString, OsString)],
        unset: &[OsString],
    ) -> Result<Entries<'a>, OsString> {
        let kept = |variable: &&Variable| {
            let name = variable.name();
            !set.iter().any(|(other, _)| other.as_bytes() == name)
                && !unset.iter().any(|other| other.as_bytes() == name)
        };
        let mut entries = Entries(Vec::with_capacity(self.base.len() + set.len()));
        entries
            .0
            .extend(self.base.iter().filter(kept).map(|variable| Cow::Borrowed(variable.entry.as_c_str())));
        for (position, (name, value)) in set.iter().enumerate() {
            if !set[position + 1..].iter().any(|(later, _)| later == name) {
                entries.0.push(Cow::Owned(entry(name, value).ok_or_else(|| name.clone())?));
            }
        }
        Ok(entries)
    }
}

/// `NAME=VALUE`; `None` where the kernel or libc would read it as something else.
pub(crate) fn entry(name: &OsStr, value: &OsStr) -> Option<CString> {
    let name = name.as_bytes();
    if name.is_empty() || name.contains(&b'=') {
        return None;
    }
    CString::new([name, b"=", value.as_bytes()].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        list.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn check(set: &[(&str, &str)], unset: &[&str], expected: &[&str]) {
        let environment = Environment::new(pairs(&[("A", "1"), ("AB", "2"), ("C", "x=y")]).into_iter());
        let unset: Vec<OsString> = unset.iter().map(OsString::from).collect();
        let set = pairs(set);
        let entries = environment.with(&set, &unset).unwrap();
        let shown: Vec<&str> = entries.as_slice().iter().map(|entry| entry.to_str().unwrap()).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn differences_are_applied() {
        check(&[], &[], &["A=1", "AB=2", "C=x=y"]);
        check(&[("D", "4")], &["A"], &["AB=2", "C=x=y", "D=4"]);
        check(&[("A", "new")], &["A", "B"], &["AB=2", "C=x=y", "A=new"]);
        check(&[("C", ""), ("C", "last")], &[], &["A=1", "AB=2", "C=last"]);
    }

    #[test]
    fn names_and_values_that_lie_are_refused() {
        let environment = Environment::new(std::iter::empty());
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0y")] {
            assert_eq!(environment.with(&pairs(&[(name, value)]), &[]).err(), Some(name.into()));
        }
    }
}
