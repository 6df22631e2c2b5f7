//! The story of one item in one run: what the journal and the item's audit say, in order of time.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use wf_core::{AttemptEnd, ItemId, Record};

use super::{ShowOptions, clock};
use crate::store::StoreError;
use crate::store::journal_reader::{Entry, JournalReader};
use crate::store::layout::StateDir;
use crate::store::lines::{Line, LineReader};
use crate::store::name::how_to_read;
use crate::store::run_dir::RunDir;
use crate::store::summary::{ItemSummary, RunSummary};
use crate::store::tail;
use crate::store::text::{counted, duration_ms, grouped, one_line, plan_word};

/// How much of a text from outside a line of the story has room for, in characters.
const TEXT_CHARS: usize = 300;

pub(super) fn show_item(
    state: &StateDir,
    run: &RunDir,
    summary: &RunSummary,
    name: &str,
    options: &ShowOptions,
    out: &mut dyn Write,
) -> Result<(), StoreError> {
    let Some(item) = summary.find(name) else {
        return Err(StoreError::UnknownItem {
            item: name.to_owned(),
            run: summary.run.clone(),
            near: Vec::new(),
        });
    };
    let files = files(state, run, summary, item);
    if options.json {
        return write_json(run, summary, item, &files, out);
    }
    write_head(summary, item, &files, options, out).map_err(StoreError::Output)?;
    let mut audit = AuditReader::open(&run.item_audit(&item.id))?;
    let mut next_audit = audit.next()?;
    let mut tell = |at: Timestamp, text: &str| {
        writeln!(out, "{}  {text}", clock(at, &options.time_zone, "%H:%M:%S%.3f")).map_err(StoreError::Output)
    };
    for entry in events(run, &item.id)? {
        let (entry, _) = entry?;
        while let Some((line, _)) = next_audit.take_if(|(line, _)| line.ts <= entry.at) {
            tell(line.ts, &line.words())?;
            next_audit = audit.next()?;
        }
        tell(entry.at, &words(&entry.record))?;
    }
    while let Some((line, _)) = next_audit {
        tell(line.ts, &line.words())?;
        next_audit = audit.next()?;
    }
    if item.outcome.is_some_and(|outcome| !outcome.is_done()) {
        write_end_of_output(run, summary, item, out)?;
    }
    Ok(())
}

/// The last lines of what the item wrote, which is where the reason stands.
fn write_end_of_output(
    run: &RunDir,
    summary: &RunSummary,
    item: &ItemSummary,
    out: &mut dyn Write,
) -> Result<(), StoreError> {
    let label = summary.label(item);
    let path = run.log(&label);
    let tail = tail::last_lines(&path, 0..u64::MAX, tail::LINES).map_err(StoreError::reading(&path))?;
    if tail.lines.is_empty() {
        return Ok(());
    }
    let how = if tail.is_cut {
        format!(" (all of it: {} --run {})", how_to_read(summary.position(item), &label), summary.run)
    } else {
        String::new()
    };
    let write = |out: &mut dyn Write| {
        writeln!(out, "\nthe end of its output{how}:")?;
        tail.lines.iter().try_for_each(|line| writeln!(out, "| {}", tail::plain(line)))
    };
    write(out).map_err(StoreError::Output)
}

/// What there is on disk of the item, by name.
fn files(
    state: &StateDir,
    run: &RunDir,
    summary: &RunSummary,
    item: &ItemSummary,
) -> Vec<(&'static str, PathBuf)> {
    let work = summary.work();
    let mut files = Vec::new();
    if let Some(output) = &item.output {
        // Relative to the project, as the worker named it.
        files.push(("output", PathBuf::from(one_line(&output.path, TEXT_CHARS).into_owned())));
    }
    let places = [
        ("log", run.log(&summary.label(item))),
        ("audit", run.item_audit(&item.id)),
        ("lineage", state.lineage(&work, &item.id)),
        ("checkpoint", state.checkpoint(&work, &item.id)),
        ("worktree", state.worktree(work.realm, &item.id)),
    ];
    files.extend(
        places
            .into_iter()
            .filter(|(name, path)| path.exists() && (*name != "worktree" || summary.workflow == "implement")),
    );
    files
}

fn write_head(
    summary: &RunSummary,
    item: &ItemSummary,
    files: &[(&'static str, PathBuf)],
    options: &ShowOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    write!(out, "{} in run {}: {}", summary.label(item), summary.run, item.word())?;
    let detail = if item.detail.is_empty() { item.node.as_deref().unwrap_or_default() } else { &item.detail };
    if !detail.is_empty() {
        write!(out, ": {}", one_line(detail, TEXT_CHARS))?;
    }
    if let Some(live) = item.live_words(summary, options.now, &options.time_zone) {
        write!(out, "\n{live}")?;
    }
    write!(
        out,
        "\n{} in {}",
        duration_ms(item.wall_ms),
        counted(item.attempts.into(), "attempt", "attempts")
    )?;
    if item.attempts > 1 && item.last_attempt_ms > 0 {
        write!(out, ", the last took {}", duration_ms(item.last_attempt_ms))?;
    }
    if item.waited_ms > 0 {
        write!(out, ", {} of it waiting for quota", duration_ms(item.waited_ms))?;
    }
    if item.calls > 0 {
        write!(
            out,
            "; {}, {} repeated; {} tokens in, {} out",
            counted(item.calls.into(), "call", "calls"),
            item.retries,
            grouped(item.tokens_in),
            grouped(item.tokens_out)
        )?;
    }
    writeln!(out)?;
    for (name, path) in files {
        writeln!(out, "{name:10} {}", path.display())?;
    }
    writeln!(out)
}

/// Lines of the journal and of the audit go through as they stand, one at a time.
fn write_json(
    run: &RunDir,
    summary: &RunSummary,
    item: &ItemSummary,
    files: &[(&'static str, PathBuf)],
    out: &mut dyn Write,
) -> Result<(), StoreError> {
    let json = |value: &dyn Fn(&mut Vec<u8>) -> serde_json::Result<()>| {
        let mut bytes = Vec::new();
        value(&mut bytes).map_err(|e| StoreError::Output(e.into()))?;
        Ok::<_, StoreError>(bytes)
    };
    let paths: serde_json::Map<_, _> =
        files.iter().map(|(name, path)| ((*name).to_owned(), path.display().to_string().into())).collect();
    let run_json = json(&|bytes| serde_json::to_writer(bytes, &summary.run))?;
    let item_json = json(&|bytes| serde_json::to_writer(bytes, &summary.item_json(item)))?;
    let files_json = json(&|bytes| serde_json::to_writer(bytes, &paths))?;
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(StoreError::Output);
    for (name, value) in
        [("{\n\"run\": ", run_json), (",\n\"item\": ", item_json), (",\n\"files\": ", files_json)]
    {
        put(name.as_bytes())?;
        put(&value)?;
    }
    put(b",\n\"events\": [")?;
    let mut separator: &[u8] = b"\n";
    for entry in events(run, &item.id)? {
        put(separator)?;
        put(&entry?.1)?;
        separator = b",\n";
    }
    put(b"],\n\"audit\": [")?;
    let mut audit = AuditReader::open(&run.item_audit(&item.id))?;
    separator = b"\n";
    while let Some((_, raw)) = audit.next()? {
        put(separator)?;
        put(&raw)?;
        separator = b",\n";
    }
    put(b"]\n}\n")
}

/// The records about one item, with their lines.
fn events(
    run: &RunDir,
    id: &ItemId,
) -> Result<impl Iterator<Item = Result<(Entry, Vec<u8>), StoreError>>, StoreError> {
    let mut reader = JournalReader::open(&run.journal())?;
    let id = id.clone();
    Ok(std::iter::from_fn(move || {
        loop {
            match reader.next_raw().transpose()? {
                Ok((entry, _)) if item_of(&entry.record) != Some(&id) => {}
                found => return Some(found),
            }
        }
    }))
}

fn item_of(record: &Record) -> Option<&ItemId> {
    match record {
        Record::ItemPlanned { item, .. }
        | Record::AttemptStarted { item, .. }
        | Record::Spawned { item, .. }
        | Record::Connected { item, .. }
        | Record::Progress { item, .. }
        | Record::Checkpointed { item, .. }
        | Record::LeaseGranted { item, .. }
        | Record::LeaseReturned { item, .. }
        | Record::Asked { item, .. }
        | Record::Killed { item, .. }
        | Record::AttemptEnded { item, .. }
        | Record::ItemEnded { item, .. } => Some(item),
        Record::RunStarted { .. }
        | Record::Pool { .. }
        | Record::KeyUsed { .. }
        | Record::Stopping { .. }
        | Record::RunEnded { .. } => None,
    }
}

/// A record of an item in words.
fn words(record: &Record) -> String {
    let text = |text: &str| one_line(text, TEXT_CHARS).into_owned();
    match record {
        Record::ItemPlanned { action, detail, .. } => {
            let action = plan_word(*action);
            if detail.is_empty() {
                format!("planned: {action}")
            } else {
                format!("planned: {action}, {}", text(detail))
            }
        }
        Record::AttemptStarted { attempt, slot, .. } => {
            format!("attempt {attempt} begins in slot {}", slot.0 + 1)
        }
        Record::Spawned { pid, .. } => format!("process {pid} started"),
        Record::Connected { .. } => "worker connected".to_owned(),
        Record::Progress { node, iteration, share, .. } => {
            format!("{} (iteration {iteration}), {} % done", text(node), share / 10)
        }
        Record::Checkpointed { node, .. } => format!("{} checkpointed", text(node)),
        Record::LeaseGranted { lease, key, model, waited_ms, .. } => {
            format!(
                "call {lease} granted after {}: key {}, model {}",
                duration_ms(*waited_ms),
                text(key),
                text(model)
            )
        }
        Record::LeaseReturned { lease, outcome, tokens_in, tokens_out, .. } => {
            let spent = format!("{} tokens in, {} out", grouped(*tokens_in), grouped(*tokens_out));
            format!("call {lease} returned: {}, {spent}", text(outcome))
        }
        Record::Asked { why, .. } => format!("asked to stop: {}", text(why)),
        Record::Killed { why, .. } => format!("killed: {}", text(why)),
        Record::AttemptEnded { attempt, end, wall_ms, leftovers, unnamed, .. } => {
            let end = match end {
                AttemptEnd::Exited { code } => format!("exited with code {code}"),
                AttemptEnd::Signalled { signal } => format!("ended by signal {signal}"),
                AttemptEnd::NotSpawned { why } => format!("could not start: {}", text(why)),
                AttemptEnd::Lost => "was lost".to_owned(),
            };
            let mut words = format!("attempt {attempt} {end} after {}", duration_ms(*wall_ms));
            for leftover in leftovers.iter().take(10) {
                let fate = if leftover.killed { "killed" } else { "could not be killed" };
                let _ = write!(words, "; left {} ({}), {fate}", text(&leftover.name), leftover.pid);
            }
            let more = leftovers.len().saturating_sub(10) as u64 + u64::from(*unnamed);
            if more > 0 {
                let _ = write!(words, "; and {} more", grouped(more));
            }
            words
        }
        Record::ItemEnded { outcome, detail, .. } => {
            if detail.is_empty() {
                outcome.to_string()
            } else {
                format!("{outcome}: {}", text(detail))
            }
        }
        Record::RunStarted { .. }
        | Record::Pool { .. }
        | Record::KeyUsed { .. }
        | Record::Stopping { .. }
        | Record::RunEnded { .. } => String::new(),
    }
}

/// A line of an item's audit; the fields are those of `docs/usage.md`, each of which may be missing.
#[derive(Deserialize)]
struct AuditLine {
    ts: Timestamp,
    event: Option<String>,
    node: Option<String>,
    iteration: Option<u64>,
    provider: Option<String>,
    model: Option<String>,
    key: Option<String>,
    tokens_in: Option<u64>,
    tokens_out: Option<u64>,
    duration_ms: Option<u64>,
    verdict: Option<String>,
    detail: Option<String>,
}

impl AuditLine {
    fn words(&self) -> String {
        let text =
            |text: &Option<String>| text.as_deref().map(|text| one_line(text, TEXT_CHARS).into_owned());
        let mut words = format!("audit: {}", text(&self.event).unwrap_or_default());
        if let Some(node) = text(&self.node) {
            let _ = write!(words, " in {node}");
        }
        if let Some(iteration) = self.iteration {
            let _ = write!(words, " (iteration {iteration})");
        }
        let parts = [
            text(&self.verdict).map(|verdict| format!("verdict {verdict}")),
            text(&self.provider).map(|provider| format!("provider {provider}")),
            text(&self.model).map(|model| format!("model {model}")),
            text(&self.key).map(|key| format!("key {key}")),
            self.tokens_in.map(|tokens| format!("{} tokens in", grouped(tokens))),
            self.tokens_out.map(|tokens| format!("{} tokens out", grouped(tokens))),
            self.duration_ms.map(duration_ms),
            text(&self.detail),
        ];
        for (i, part) in parts.into_iter().flatten().filter(|part| !part.is_empty()).enumerate() {
            words.push_str(if i == 0 { ": " } else { ", " });
            words.push_str(&part);
        }
        words
    }
}

/// The lines of an audit file that can be read; a missing file has none.
struct AuditReader {
    lines: Option<LineReader<BufReader<File>>>,
    path: PathBuf,
}

impl AuditReader {
    fn open(path: &Path) -> Result<AuditReader, StoreError> {
        let lines = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            opened => Some(LineReader::new(BufReader::new(opened.map_err(StoreError::reading(path))?))),
        };
        Ok(AuditReader { lines, path: path.to_owned() })
    }

    fn next(&mut self) -> Result<Option<(AuditLine, Vec<u8>)>, StoreError> {
        let Some(lines) = &mut self.lines else { return Ok(None) };
        while let Some(line) = lines.next_line().map_err(StoreError::reading(&self.path))? {
            if let Line::Whole(raw) = line
                && let Ok(line) = serde_json::from_slice(raw)
            {
                return Ok(Some((line, raw.to_vec())));
            }
        }
        Ok(None)
    }
}
