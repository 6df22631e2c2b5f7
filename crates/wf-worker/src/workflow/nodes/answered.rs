//! A drafter's answer about files: asked for, checked as a whole, sent back once with the reasons where it cannot be used.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::context;

use super::site::{self, Site};
use crate::checkpoint::Reply;
use crate::code::answer::{self, Change, FILE_BYTES, Named};
use crate::code::changes::Entry;
use crate::code::left_out;
use crate::code::path::{Refusal, SafePath};
use crate::code::tree::Fault;
use crate::console::one_line;
use crate::edits;
use crate::halt::Halt;
use crate::lineage;
use crate::workflow::code::FILES_BYTES;
use crate::workflow::work::{Question, Work};

/// Most reasons told at once, and longest path in one, in bytes.
const REASONS: usize = 10;
const PATH_BYTES: usize = 200;

/// An answer that can be used.
pub struct Answered {
    /// What the model wrote.
    pub text: String,
    /// The files it changes; `None`: removed.
    pub changed: BTreeMap<SafePath, Option<String>>,
    /// Those of them that were not there before.
    pub new: BTreeSet<SafePath>,
}

impl Answered {
    /// The same in a line.
    pub fn line(&self) -> String {
        let names: Vec<&str> = self.changed.keys().take(3).map(SafePath::as_str).collect();
        let count = match self.changed.len() {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        };
        let more = if self.changed.len() > names.len() { ", ..." } else { "" };
        format!("{count}: {}{more}", names.join(", "))
    }
}

/// Why an answer is not used.
enum Unusable {
    /// For a reason the model can be told.
    Told(String),
    /// Because the work cannot go on.
    Halt(Halt),
}

impl From<Halt> for Unusable {
    fn from(halt: Halt) -> Unusable {
        Unusable::Halt(halt)
    }
}

impl From<answer::Problem> for Unusable {
    fn from(problem: answer::Problem) -> Unusable {
        Unusable::Told(problem.to_string())
    }
}

/// Asks, and once more with the reasons. All of an answer is used, or nothing; nothing is written by this.
pub fn ask(work: &mut Work, site: &Site, mut question: Question) -> Result<Answered, Halt> {
    let reply = work.ask(&question)?;
    let problem = match usable(work, site, &reply) {
        Ok(answered) => return Ok(answered),
        Err(Unusable::Halt(halt)) => return Err(halt),
        Err(Unusable::Told(problem)) => problem,
    };
    work.trace(lineage::Kind::Reply, &reply.text)?;
    work.console.say(&format!("the drafter's answer cannot be used: {problem}; asking once more"));
    let text = work.render(work.kind.mend, context! { problem })?;
    let earlier = Some((std::mem::replace(&mut question.text, text), reply.text));
    let mended = work.ask(&Question { purpose: "mend", earlier, ..question })?;
    match usable(work, site, &mended) {
        Ok(answered) => Ok(answered),
        Err(Unusable::Halt(halt)) => Err(halt),
        Err(Unusable::Told(problem)) => {
            let kept = work.trace(lineage::Kind::Reply, &mended.text)?;
            Err(Halt::BadReply(format!(
                "the drafter's answer cannot be used, also when asked again: {problem}; it is kept in {}",
                work.shown(&kept)
            )))
        }
    }
}

fn usable(work: &Work, site: &Site, reply: &Reply) -> Result<Answered, Unusable> {
    if reply.truncated {
        let limit = work.job.drafter.max_output_tokens;
        return Err(Unusable::Told(format!("it was cut off at the limit of {limit} tokens")));
    }
    let named = answer::read(&reply.text)?;
    let mut refused = Vec::new();
    let mut placed = Vec::new();
    for Named { path, change } in named {
        match allowed(work, site, &path) {
            Ok(found) => placed.push((found, change)),
            Err(Unusable::Told(why)) => refused.push(format!("path {:?} {why}", one_line(&path, PATH_BYTES))),
            Err(halt) => return Err(halt),
        }
    }
    reasons(refused)?;
    let known = known(work, site, &placed)?;
    apply(work, site, reply, placed, &known)
}

/// A path as the model named it, links resolved.
fn allowed(work: &Work, site: &Site, path: &str) -> Result<SafePath, Unusable> {
    let safe = SafePath::read(path).map_err(|why| Unusable::Told(why.to_string()))?;
    let found = site.tree.resolve(&safe).map_err(|fault| match fault {
        Fault::Refused(why) => Unusable::Told(why),
        Fault::Io(error) => Unusable::Halt(Halt::Failed(format!("{safe} cannot be used: {error}"))),
    })?;
    // As it was named and as links make it.
    if site::is_records(work, &safe)? || site::is_records(work, &found)? {
        return Err(Unusable::Told(Refusal::State.to_string()));
    }
    if work.state.code.frozen && work.state.code.tests.contains(found.as_str()) {
        return Err(Unusable::Told("is a frozen test: change the code, not the tests".into()));
    }
    Ok(found)
}

/// What the base has of these files. Refused are those that no commit of this repository could have.
fn known(
    work: &Work,
    site: &Site,
    placed: &[(SafePath, Change)],
) -> Result<BTreeMap<String, Entry>, Unusable> {
    let changes = site.changes(work);
    let mut paths: BTreeSet<&str> = placed.iter().flat_map(|(path, _)| path.above()).collect();
    paths.extend(placed.iter().map(|(path, _)| path.as_str()));
    let known = changes.entries(&paths.into_iter().collect::<Vec<_>>())?;
    let mut refused = Vec::new();
    for (path, _) in placed {
        let is_submodule = |path: &str| known.get(path) == Some(&Entry::Submodule);
        if path.above().chain([path.as_str()]).any(is_submodule) {
            refused
                .push(format!("path {:?} lies in a submodule, which is another repository", path.as_str()));
        } else if !known.contains_key(path.as_str()) && changes.ignores(path)? {
            refused.push(format!(
                "path {:?} is ignored by git, so it would not be part of the change",
                path.as_str()
            ));
        }
    }
    reasons(refused)?;
    Ok(known)
}

fn apply(
    work: &Work,
    site: &Site,
    reply: &Reply,
    placed: Vec<(SafePath, Change)>,
    known: &BTreeMap<String, Entry>,
) -> Result<Answered, Unusable> {
    let mut before: BTreeMap<SafePath, Option<String>> = BTreeMap::new();
    let mut after: BTreeMap<SafePath, Option<String>> = BTreeMap::new();
    let mut refused = Vec::new();
    for (path, change) in placed {
        if !before.contains_key(&path) {
            before.insert(path.clone(), current(work, site, &path, known)?);
        }
        let now = after.get(&path).unwrap_or(&before[&path]);
        match made(now.as_deref(), change) {
            Ok(text) => {
                after.insert(path, text);
            }
            Err(why) => refused.push(format!("{path}: {why}")),
        }
    }
    reasons(refused)?;
    after.retain(|path, text| before[path] != *text);
    if after.is_empty() {
        return Err(Unusable::Told("it changes nothing".into()));
    }
    let kept = work.state.code.files.iter().filter(|(path, _)| !before.keys().any(|p| p.as_str() == *path));
    let texts = kept.map(|(_, text)| text).chain(after.values());
    if texts.flatten().map(String::len).sum::<usize>() > FILES_BYTES {
        return Err(Unusable::Told(format!("the changed files have more than {FILES_BYTES} bytes together")));
    }
    let new = after.keys().filter(|path| before[*path].is_none()).cloned().collect();
    Ok(Answered { text: reply.text.clone(), changed: after, new })
}

/// A file's text before the answer: as an earlier node left it, else as the base has it.
fn current(
    work: &Work,
    site: &Site,
    path: &SafePath,
    known: &BTreeMap<String, Entry>,
) -> Result<Option<String>, Unusable> {
    if let Some(text) = work.state.code.files.get(path.as_str()) {
        return Ok(text.clone());
    }
    match known.get(path.as_str()) {
        None => Ok(None),
        Some(Entry::File(id)) => {
            let bytes = site.changes(work).content(id, FILE_BYTES)?;
            let bytes =
                bytes.ok_or_else(|| Unusable::Told(format!("{path} is larger than {FILE_BYTES} bytes")))?;
            String::from_utf8(bytes).map(Some).map_err(|_| Unusable::Told(format!("{path} is no text")))
        }
        Some(_) => Err(Unusable::Told(format!("{path} is a directory"))),
    }
}

/// What a change makes of a text; or why it cannot.
fn made(now: Option<&str>, change: Change) -> Result<Option<String>, String> {
    match (change, now) {
        (Change::Whole(text), _) if text.len() > FILE_BYTES => {
            Err(format!("it is larger than {FILE_BYTES} bytes"))
        }
        (Change::Whole(text), Some(now)) => {
            whole(&text, now)?;
            Ok(Some(with_ends_of(now, text)))
        }
        (Change::Whole(text), None) => Ok(Some(text)),
        (Change::Delete, Some(_)) => Ok(None),
        (Change::Delete, None) => Err("it cannot be deleted, because it does not exist".into()),
        (Change::Edits(_), None) => {
            Err("there is nothing to edit: it does not exist, so give it whole".into())
        }
        (Change::Edits(edits), Some(text)) => {
            for edit in &edits {
                whole(&edit.replace, text)?;
            }
            let edited = edits::apply(text, &edits).map_err(|problem| problem.to_string())?;
            Ok(Some(with_ends_of(text, edited)))
        }
    }
}

/// What says that the rest is left out would leave it out.
fn whole(text: &str, before: &str) -> Result<(), String> {
    match left_out::line(text, before) {
        Some((number, line)) => Err(format!(
            "line {number} stands for what is left out ({line:?}): give all of it, or edit blocks for what changes"
        )),
        None => Ok(()),
    }
}

/// Lines are compared without their ends; the ends stay as the file has them.
fn with_ends_of(before: &str, text: String) -> String {
    let is_dos = before.contains("\r\n") && !before.replace("\r\n", "").contains('\n');
    if is_dos { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text }
}

fn reasons(mut refused: Vec<String>) -> Result<(), Unusable> {
    if refused.is_empty() {
        return Ok(());
    }
    let more = refused.len().saturating_sub(REASONS);
    refused.truncate(REASONS);
    if more > 0 {
        refused.push(format!("and {more} more"));
    }
    Err(Unusable::Told(refused.join("; ")))
}
