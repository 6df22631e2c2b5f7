//! Putting the audit records of all items of a run into one file, in order of time.
//!
//! Each worker writes a file of its own, so that no two write to one. The order is made by an external merge sort:
//! memory is bounded by [`CHUNK_BYTES`], open files by [`FAN_IN`], whatever the number of items.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use super::StoreError;
use super::atomic::write_atomic;
use super::lines::{Line, LineReader, MAX_LINE_BYTES};
use super::run_dir::RunDir;

/// How many bytes of lines are sorted in memory at once.
const CHUNK_BYTES: usize = 8 << 20;

/// How many sorted parts are merged at once.
const FAN_IN: usize = 64;

/// What was put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consolidated {
    /// Records written.
    pub records: u64,
    /// Lines left out, because they are no JSON objects.
    pub unreadable: u64,
    /// Files whose last line has no end; that line is left out.
    pub torn: u64,
}

/// Writes the run's `audit.jsonl` from the files of its items, whole or not at all. Records of one moment stay in the
/// order of their files' names. Without any such file, nothing is written.
///
/// `redact` may change a line before it is written; it must not add a line end.
pub fn consolidate(run: &RunDir, redact: &mut dyn FnMut(&mut Vec<u8>)) -> Result<Consolidated, StoreError> {
    consolidate_in_chunks(run, redact, CHUNK_BYTES)
}

fn consolidate_in_chunks(
    run: &RunDir,
    redact: &mut dyn FnMut(&mut Vec<u8>),
    chunk_bytes: usize,
) -> Result<Consolidated, StoreError> {
    let files = item_files(run.path())?;
    if files.is_empty() {
        return Ok(Consolidated::default());
    }
    let path = run.audit();
    let mut sorter = Sorter::new(run.path(), chunk_bytes);
    let mut result = Consolidated::default();
    for file in &files {
        read_file(file, &mut sorter, &mut result)?;
    }
    write_atomic(&path, |out| {
        sorter.finish(&mut |line| {
            redact(line);
            result.records += 1;
            line.push(b'\n');
            out.write_all(line).map_err(StoreError::writing(&path))
        })
    })?;
    Ok(result)
}

/// The items' audit files, by name.
fn item_files(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(StoreError::reading(directory))? {
        let entry = entry.map_err(StoreError::reading(directory))?;
        let name = entry.file_name();
        let is_audit =
            name.to_str().is_some_and(|n| n.starts_with("workflow-audit-") && n.ends_with(".jsonl"));
        // A link or a pipe would be none of a worker's making.
        if is_audit && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// What the order needs of a record.
#[derive(Deserialize)]
struct Stamp {
    ts: Option<String>,
}

fn read_file(path: &Path, sorter: &mut Sorter, result: &mut Consolidated) -> Result<(), StoreError> {
    let file = File::open(path).map_err(StoreError::reading(path))?;
    let mut lines = LineReader::new(BufReader::with_capacity(64 * 1024, file));
    let mut last = i64::MIN;
    while let Some(line) = lines.next_line().map_err(StoreError::reading(path))? {
        let Line::Whole(line) = line else {
            result.unreadable += 1;
            continue;
        };
        let Ok(stamp) = serde_json::from_slice::<Stamp>(line) else {
            result.unreadable += 1;
            continue;
        };
        let at = stamp.ts.and_then(|ts| ts.parse::<Timestamp>().ok()).map(Timestamp::as_microsecond);
        // Without a time of its own a record stays behind the one before it.
        last = at.unwrap_or(last);
        sorter.add(last, line)?;
    }
    result.torn += u64::from(lines.is_torn());
    Ok(())
}

/// Sorts lines by time; those of one time stay in the order they came.
struct Sorter {
    directory: PathBuf,
    chunk_bytes: usize,
    lines: Vec<(i64, Vec<u8>)>,
    bytes: usize,
    /// Sorted parts, by age within each level: level n+1 has [`FAN_IN`] of level n in it.
    levels: Vec<Vec<File>>,
}

/// Where sorted lines go.
type Sink<'a> = dyn FnMut(&mut Vec<u8>) -> Result<(), StoreError> + 'a;

impl Sorter {
    fn new(directory: &Path, chunk_bytes: usize) -> Sorter {
        Sorter {
            directory: directory.to_owned(),
            chunk_bytes,
            lines: Vec::new(),
            bytes: 0,
            levels: Vec::new(),
        }
    }

    fn add(&mut self, at: i64, line: &[u8]) -> Result<(), StoreError> {
        self.bytes += line.len() + size_of::<(i64, Vec<u8>)>();
        self.lines.push((at, line.to_vec()));
        if self.bytes > self.chunk_bytes {
            self.spill()?;
        }
        Ok(())
    }

    /// Puts the lines in memory into a part; parts of a full level become one of the next.
    fn spill(&mut self) -> Result<(), StoreError> {
        let mut lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        lines.sort_by_key(|(at, _)| *at);
        let mut part = self.part()?;
        for (at, line) in &lines {
            write_part(&mut part, *at, line).map_err(StoreError::writing(&self.directory))?;
        }
        let mut part = rewound(part).map_err(StoreError::writing(&self.directory))?;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(part);
            if self.levels[level].len() < FAN_IN {
                break;
            }
            let full = std::mem::take(&mut self.levels[level]);
            let mut merged = self.part()?;
            let directory = &self.directory;
            merge(full, directory, &mut |at, line| {
                write_part(&mut merged, at, line).map_err(StoreError::writing(directory))
            })?;
            part = rewound(merged).map_err(StoreError::writing(&self.directory))?;
        }
        Ok(())
    }

    fn finish(mut self, sink: &mut Sink<'_>) -> Result<(), StoreError> {
        if self.levels.is_empty() {
            self.lines.sort_by_key(|(at, _)| *at);
            return self.lines.iter_mut().try_for_each(|(_, line)| sink(line));
        }
        self.spill()?;
        // The oldest lines are in the highest level.
        let parts = self.levels.into_iter().rev().flatten().collect();
        merge(parts, &self.directory, &mut |_, line| sink(line))
    }

    /// A file without a name: it goes with this process, whatever becomes of it.
    fn part(&self) -> Result<BufWriter<File>, StoreError> {
        let file = tempfile::tempfile_in(&self.directory).map_err(StoreError::writing(&self.directory))?;
        Ok(BufWriter::new(file))
    }
}

fn rewound(part: BufWriter<File>) -> io::Result<File> {
    let mut file = part.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

/// A line of a part: its time as 8 bytes, its length as 4, its bytes.
fn write_part(part: &mut BufWriter<File>, at: i64, line: &[u8]) -> io::Result<()> {
    part.write_all(&at.to_le_bytes())?;
    let length = u32::try_from(line.len()).map_err(io::Error::other)?;
    part.write_all(&length.to_le_bytes())?;
    part.write_all(line)
}

fn read_part(part: &mut BufReader<File>) -> io::Result<Option<(i64, Vec<u8>)>> {
    use io::Read;
    if part.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let (mut at, mut length) = ([0; 8], [0; 4]);
    part.read_exact(&mut at)?;
    part.read_exact(&mut length)?;
    let mut line = vec![0; (u32::from_le_bytes(length) as usize).min(MAX_LINE_BYTES)];
    part.read_exact(&mut line)?;
    Ok(Some((i64::from_le_bytes(at), line)))
}

fn merge(
    parts: Vec<File>,
    directory: &Path,
    sink: &mut dyn FnMut(i64, &mut Vec<u8>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut readers: Vec<BufReader<File>> = parts.into_iter().map(BufReader::new).collect();
    let mut heads = BinaryHeap::new();
    for (place, reader) in readers.iter_mut().enumerate() {
        if let Some((at, line)) = read_part(reader).map_err(StoreError::reading(directory))? {
            heads.push(Reverse((at, place, line)));
        }
    }
    while let Some(Reverse((at, place, mut line))) = heads.pop() {
        sink(at, &mut line)?;
        if let Some((at, line)) = read_part(&mut readers[place]).map_err(StoreError::reading(directory))? {
            heads.push(Reverse((at, place, line)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::run_dir::RunId;
    use super::super::testing::{at, id, state};
    use super::*;

    fn run() -> (tempfile::TempDir, RunDir) {
        let (dir, state) = state();
        let run = state.run(&RunId::parse("2026-11-21T05-14-49Z-7f3a").unwrap());
        fs::create_dir(run.path()).unwrap();
        (dir, run)
    }

    fn line(ms: i64, text: &str) -> String {
        format!("{{\"ts\":\"{}\",\"event\":\"{text}\"}}\n", at(ms))
    }

    fn consolidated(run: &RunDir, chunk_bytes: usize) -> (Consolidated, String) {
        let result = consolidate_in_chunks(run, &mut |_| {}, chunk_bytes).unwrap();
        (result, fs::read_to_string(run.audit()).unwrap())
    }

    #[test]
    fn records_of_all_items_are_in_order_of_time() {
        let (_dir, run) = run();
        fs::write(run.item_audit(&id("1")), [line(0, "a"), line(20, "d"), line(20, "e")].concat()).unwrap();
        fs::write(run.item_audit(&id("2")), [line(10, "b"), line(15, "c"), line(20, "f")].concat()).unwrap();
        let (result, text) = consolidated(&run, CHUNK_BYTES);
        assert_eq!(result, Consolidated { records: 6, unreadable: 0, torn: 0 });
        let events: Vec<&str> = text.lines().map(|line| &line[line.len() - 3..line.len() - 2]).collect();
        assert_eq!(events, ["a", "b", "c", "d", "e", "f"]);
        // Again, with the result already there.
        assert_eq!(consolidated(&run, CHUNK_BYTES).1, text);
    }

    #[test]
    fn torn_and_foreign_lines_are_left_out_and_counted() {
        let (_dir, run) = run();
        let torn = &line(50, "torn")[..20];
        let text = [
            &line(5, "b"),
            "nonsense\n",
            "{\"event\":\"untimed\"}\n",
            "{\"ts\":\"no\",\"event\":\"odd\"}\n",
            torn,
        ];
        fs::write(run.item_audit(&id("1")), text.concat()).unwrap();
        fs::write(run.item_audit(&id("2")), [line(6, "c"), line(0, "a")].concat()).unwrap();
        fs::create_dir(run.path().join("workflow-audit-3.jsonl")).unwrap();
        let (result, text) = consolidated(&run, CHUNK_BYTES);
        assert_eq!(result, Consolidated { records: 5, unreadable: 1, torn: 1 });
        let expected = [
            &line(0, "a"),
            &line(5, "b"),
            "{\"event\":\"untimed\"}\n",
            "{\"ts\":\"no\",\"event\":\"odd\"}\n",
            &line(6, "c"),
        ];
        assert_eq!(text, expected.concat());
    }

    #[test]
    fn a_run_without_audit_has_no_audit_file() {
        let (_dir, run) = run();
        assert_eq!(consolidate(&run, &mut |_| {}).unwrap(), Consolidated::default());
        assert!(!run.audit().exists());
    }

    #[test]
    fn lines_can_be_redacted() {
        let (_dir, run) = run();
        fs::write(run.item_audit(&id("1")), line(0, "sk-secret")).unwrap();
        let mut redact = |line: &mut Vec<u8>| {
            *line =
                String::from_utf8(std::mem::take(line)).unwrap().replace("sk-secret", "[REDACTED:a]").into();
        };
        consolidate(&run, &mut redact).unwrap();
        assert_eq!(fs::read_to_string(run.audit()).unwrap(), line(0, "[REDACTED:a]"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever the times, and with parts on disk over several levels: the order is that of a stable sort.
        #[test]
        fn the_order_does_not_depend_on_the_memory(times in proptest::collection::vec(0..50_i64, 0..600)) {
            let (_dir, run) = run();
            let lines: Vec<(i64, String)> =
                times.iter().enumerate().map(|(i, ms)| (*ms, line(*ms, &i.to_string()))).collect();
            let half = lines.len() / 2;
            for (name, part) in [("1", &lines[..half]), ("2", &lines[half..])] {
                let text: String = part.iter().map(|(_, line)| line.as_str()).collect();
                fs::write(run.item_audit(&id(name)), text).unwrap();
            }
            let mut expected = lines;
            expected.sort_by_key(|(ms, _)| *ms);
            let expected: String = expected.into_iter().map(|(_, line)| line).collect();
            for chunk_bytes in [1, 500, CHUNK_BYTES] {
                prop_assert_eq!(&consolidated(&run, chunk_bytes).1, &expected);
            }
            prop_assert_eq!(fs::read_dir(run.path()).unwrap().count(), 3);
        }
    }
}
