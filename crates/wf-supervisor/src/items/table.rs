//! Items files with columns: `.csv` and `.tsv`, the first line names them.

use std::io::BufRead;

use serde_json::{Map, Value};

use super::collector::Collector;
use super::fields::{Fields, is_known};
use super::{ItemSpec, ItemsError};

/// Reads all items of `reader`; `source` names it in messages, `prefix` precedes ids in labels. A comma separates columns, or
/// what `delimiter` says; where a comma should and the first line has none, a semicolon, as spreadsheets write it in half of
/// Europe.
pub fn read(
    source: &str,
    mut reader: impl BufRead,
    delimiter: u8,
    prefix: &'static str,
    fields: &mut Fields<'_>,
) -> Result<Vec<ItemSpec>, ItemsError> {
    let delimiter = match delimiter {
        b',' => {
            separator(&mut reader).map_err(|e| ItemsError::one(format!("{source} cannot be read: {e}")))?
        }
        other => other,
    };
    let mut table =
        csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(reader);
    let mut list = Collector::new(source, prefix);
    let mut columns: Option<Vec<String>> = None;
    let mut record = csv::StringRecord::new();
    loop {
        match table.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return list.finish(),
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                let clause = match error.kind() {
                    csv::ErrorKind::Utf8 { .. } => "the line is not valid UTF-8".to_owned(),
                    _ => error.to_string(),
                };
                return Err(ItemsError::one(format!("{source}:{line}: {clause}")));
            }
        }
        let line = record.position().map_or(0, csv::Position::line) as usize;
        let Some(columns) = &columns else {
            columns = Some(header(source, &record, fields)?);
            continue;
        };
        if record.len() != columns.len() {
            list.problem_at(
                line,
                &format!("the line has {} instead of {} fields", record.len(), columns.len()),
            );
            continue;
        }
        let object: Map<String, Value> =
            columns.iter().cloned().zip(record.iter().map(Value::from)).collect();
        match fields.row(&object) {
            Ok(item) => list.add(line, item),
            Err(clause) => list.problem_at(line, &clause),
        }
    }
}

/// What separates the columns that the first line names.
fn separator(reader: &mut impl BufRead) -> std::io::Result<u8> {
    let start = reader.fill_buf()?;
    let first = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(if first.contains(&b';') && !first.contains(&b',') { b';' } else { b',' })
}

/// The names of the columns. A first line that names nothing known is an item somebody forgot a header for.
fn header(source: &str, record: &csv::StringRecord, fields: &Fields<'_>) -> Result<Vec<String>, ItemsError> {
    let clean = |name: &str| name.trim_start_matches('\u{feff}').trim().to_owned();
    let names: Vec<String> = record.iter().map(clean).map(|name| known_spelling(&name)).collect();
    let wanted =
        |name: &String| is_known(name) || fields.id_field == Some(name) || fields.text_field == Some(name);
    if names.iter().any(wanted) {
        return Ok(names);
    }
    let shown = names.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    Err(ItemsError::one(format!(
        "{source}:1: the first line must name the columns, such as id,text; it has: {shown}. --id-field and --text-field \
         say what other columns are; a list without a header is read from a .txt file"
    )))
}

/// `ID` and `Text` are what spreadsheets make of them.
fn known_spelling(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    if is_known(&lower) { lower } else { name.to_owned() }
}
