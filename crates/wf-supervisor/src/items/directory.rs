//! A directory of files as a list: each is an item, called as the file is, with its content as text.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::collector::Collector;
use super::fields::Fields;
use super::lines::MAX_LINE_BYTES;
use super::pattern::natural;
use super::{ItemSpec, ItemsError};

/// Reads all files of `dir` but hidden ones and editors' copies, in natural order (2 before 10); directories in it are left out.
pub fn read(
    dir: &Path,
    name: &str,
    prefix: &'static str,
    fields: &mut Fields<'_>,
) -> Result<Vec<ItemSpec>, ItemsError> {
    let unreadable = |error| ItemsError::one(format!("{name} cannot be read: {error}"));
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if !file.starts_with('.') && !file.ends_with('~') && !entry.path().is_dir() {
            names.push(file);
        }
    }
    names.sort_by(|one, other| natural(one, other));
    let mut list = Collector::new(name, prefix).counting("file");
    for (index, file) in names.iter().enumerate() {
        let id = file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem);
        let item = content(&dir.join(file)).and_then(|text| {
            let object = [("id", id), ("text", &text), ("file", file)];
            fields.item(
                &object
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), Value::from(value)))
                    .collect::<Map<_, _>>(),
            )
        });
        match item {
            Ok(item) => list.add(index + 1, item),
            Err(clause) => list.problem(format!("{name}/{file}: {clause}")),
        }
    }
    list.finish()
}

fn content(path: &Path) -> Result<String, String> {
    let file = wf_worker::open_regular(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_LINE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_LINE_BYTES {
        return Err("the file is larger than 16 MiB".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "the file is not valid UTF-8".to_owned())?;
    // As a shell's `$(cat FILE)` has it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end_matches(['\n', '\r']);
    if text.trim().is_empty() {
        return Err("the file is empty".to_owned());
    }
    Ok(text.to_owned())
}
