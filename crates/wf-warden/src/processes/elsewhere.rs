//! Without `/proc` nothing can be seen below the direct children, which waiting finds.

use std::io;

use super::Known;

/// Cannot be made here.
pub(crate) enum Process {}

/// Cannot be read here.
pub(crate) struct Stat {
    pub(crate) name: String,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) start: u64,
}

impl Stat {
    pub(crate) fn is_dead(&self) -> bool {
        false
    }

    pub(crate) fn is_stopped(&self) -> bool {
        false
    }
}

impl Process {
    pub(crate) fn open(_pid: i32) -> io::Result<Process> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn pid(&self) -> i32 {
        match *self {}
    }

    pub(crate) fn stat(&self) -> Option<Stat> {
        match *self {}
    }

    pub(crate) fn environment_has(&self, _entry: &[u8]) -> bool {
        match *self {}
    }

    pub(crate) fn signal(&self, _signal: i32) -> io::Result<()> {
        match *self {}
    }
}

/// Cannot be made here.
pub(crate) enum OwnChildren {}

impl OwnChildren {
    pub(crate) fn open() -> io::Result<OwnChildren> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn list(&self) -> io::Result<Vec<i32>> {
        match *self {}
    }
}

pub(crate) fn of_this_process() -> io::Result<Vec<i32>> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn all() -> io::Result<Vec<i32>> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn walk(_roots: impl IntoIterator<Item = (i32, Known)>, _visit: impl FnMut(&Process, &Stat)) {}
