//! A terminal made of thin air: a pty whose other side is the test.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::pty::{Winsize, openpty};
use nix::unistd::ttyname;

use crate::wait_until;

/// A terminal; see [`Call::on_terminal`](crate::Call::on_terminal).
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    path: PathBuf,
    shown: Arc<Mutex<Vec<u8>>>,
    /// Keeps the terminal open while nobody else has it: else its end would be read before anybody came.
    _slave: OwnedFd,
}

impl Terminal {
    /// A terminal of this many columns and 24 rows.
    pub fn new(columns: u16) -> Terminal {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a pty can be had");
        let path = ttyname(&pty.slave).expect("a pty has a name");
        let screen = File::from(pty.master);
        let keyboard = screen.try_clone().expect("a descriptor can be duplicated");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let store = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut screen = screen;
            let mut chunk = vec![0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut chunk) {
                store.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..count]);
            }
        });
        Terminal { keyboard, path, shown, _slave: pty.slave }
    }

    /// Its device.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Types keys, such as `"\x03"` for Ctrl+C.
    pub fn type_keys(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).expect("a terminal takes keys");
    }

    /// All that was written to it so far, control sequences included.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits until it shows these words.
    #[track_caller]
    pub fn wait_shown(&self, words: &str) {
        wait_until(&format!("{words:?} on the terminal; it shows {}", self.shown()), || {
            self.shown().contains(words).then_some(())
        });
    }
}
