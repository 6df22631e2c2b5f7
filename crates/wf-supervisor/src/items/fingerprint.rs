//! What makes an item the same work: a hash over everything that *done* depends on.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::ItemSpec;

/// Of an item of a command: template, directory, item environment, id and text. In lower-case hexadecimal.
pub fn command_fingerprint(template: &[OsString], directory: &Path, item: &ItemSpec) -> String {
    let mut fields = Fields::new("command");
    fields.list(template.iter().map(|argument| argument.as_bytes()));
    fields.field(directory.as_os_str().as_bytes());
    fields.item(item);
    fields.finish()
}

/// Of an item of a built-in workflow: its name, id, text, item environment, and what its input is: the bytes of a file,
/// or the command line that makes it (running it is no part of planning). In lower-case hexadecimal.
pub fn workflow_fingerprint(workflow: &str, input: &[&[u8]], item: &ItemSpec) -> String {
    let mut fields = Fields::new("workflow");
    fields.field(workflow.as_bytes());
    fields.list(input.iter().copied());
    fields.item(item);
    fields.finish()
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Fields with their lengths before them, so that no two lists of fields make the same bytes.
struct Fields(Sha256);

impl Fields {
    fn new(kind: &str) -> Fields {
        let mut fields = Fields(Sha256::new());
        fields.field(kind.as_bytes());
        fields
    }

    fn field(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn list<'a>(&mut self, fields: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.0.update((fields.len() as u64).to_le_bytes());
        for field in fields {
            self.field(field);
        }
    }

    fn item(&mut self, item: &ItemSpec) {
        self.field(item.id.as_str().as_bytes());
        self.field(item.text.as_deref().unwrap_or_default().as_bytes());
        self.0.update((item.env.len() as u64).to_le_bytes());
        for (name, value) in &item.env {
            self.field(name.as_bytes());
            self.field(value.as_bytes());
        }
    }

    fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}
