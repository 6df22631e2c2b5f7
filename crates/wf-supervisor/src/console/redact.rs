//! Replaces secrets in streams of bytes, wherever the borders of the pieces fall.
//!
//! A stream is searched leftmost-longest for every form of every secret ([`patterns`]). What a piece ends with is
//! withheld only while it is a proper prefix of a pattern, so a line that ends in a newline is never late.

mod patterns;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, RwLock};

use aho_corasick::packed;
use aho_corasick::{AhoCorasick, AhoCorasickBuilder, Anchored, Input, MatchKind, StartKind};

/// The shortest secret that is looked for, in bytes. Anything shorter would be found in ordinary text; who
/// configures one is told so before a run begins.
pub const MIN_SECRET_BYTES: usize = 8;

/// How many bytes of a pattern the first, fast search looks at. Keys of one provider share their first bytes, so a
/// large pool looks at fewer of them and needs no more prefixes than a small one.
const PREFIX_BYTES: std::ops::RangeInclusive<usize> = 4..=8;

/// Prefixes the fast search is good for: it sorts them into 8 or 16 classes and tries all of a class.
const MAX_PREFIXES: usize = 48;

/// All secrets of a run, shared by everything that writes. Clones see the same set, and its changes.
#[derive(Clone, Default)]
pub struct Redactor {
    set: Arc<RwLock<Arc<PatternSet>>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} patterns)", self.current().sorted.len())
    }
}

/// Why a set of secrets was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RedactError {
    /// The secret of this name has fewer than [`MIN_SECRET_BYTES`] bytes.
    #[error("the secret of {0} is shorter than {MIN_SECRET_BYTES} bytes and could not be kept out of logs")]
    TooShort(String),
    /// Together they are too large for one automaton.
    #[error("the secrets cannot be searched for: {0}")]
    Automaton(#[from] aho_corasick::BuildError),
}

impl Redactor {
    /// A redactor for these secrets, each with the name that stands for it: `[REDACTED:name]`.
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Redactor, RedactError> {
        let redactor = Redactor::default();
        redactor.replace(secrets)?;
        Ok(redactor)
    }

    /// Takes another set of secrets from now on, in every clone and every live stream. Bytes that have been passed
    /// on stay as they are. On an error the old set stays.
    pub fn replace<'a>(
        &self,
        secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), RedactError> {
        let set = Arc::new(PatternSet::build(secrets)?);
        *self.set.write().unwrap_or_else(std::sync::PoisonError::into_inner) = set;
        Ok(())
    }

    /// A stream of its own over this set.
    pub fn stream(&self) -> StreamRedactor {
        StreamRedactor { redactor: self.clone(), held: Vec::new() }
    }

    /// Redacts a whole text.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let set = self.current();
        if set.find(text.as_bytes(), 0).is_none() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        set.redact(text.as_bytes(), 0, true, &mut out);
        // A secret that is not UTF-8 could be cut out of the middle of a character.
        Cow::Owned(
            String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
        )
    }

    fn current(&self) -> Arc<PatternSet> {
        Arc::clone(&self.set.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// The redaction of one stream, piece by piece. For any way to cut a stream into pieces, the concatenated results
/// equal the redaction of the whole (as long as the set stays the same).
pub struct StreamRedactor {
    redactor: Redactor,
    /// The withheld end: a proper prefix of a pattern, hence shorter than the longest one.
    held: Vec<u8>,
}

impl fmt::Debug for StreamRedactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamRedactor({} bytes withheld)", self.held.len())
    }
}

impl StreamRedactor {
    /// Redacts the next piece and returns what is certain by now: a part of `piece` itself where nothing was found
    /// (no byte is copied), else the content of `scratch`, which is overwritten.
    pub fn push<'a>(&mut self, piece: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let set = self.redactor.current();
        if self.held.is_empty() {
            let hold = set.hold_from(piece, 0);
            // A match that begins at `hold` or after it is not certain yet; one before it is.
            if set.find(piece, 0).is_none_or(|found| found.start >= hold) {
                self.held.extend_from_slice(&piece[hold..]);
                return &piece[..hold];
            }
            scratch.clear();
            let rest = set.redact(piece, hold, false, scratch);
            self.held.extend_from_slice(&piece[rest..]);
        } else {
            self.held.extend_from_slice(piece);
            scratch.clear();
            let hold = set.hold_from(&self.held, 0);
            let rest = set.redact(&self.held, hold, false, scratch);
            self.held.drain(..rest);
            self.held.shrink_to(set.longest);
        }
        scratch
    }

    /// Ends the stream: what was withheld cannot become a longer secret any more.
    pub fn finish<'a>(&mut self, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        scratch.clear();
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.redactor.current().redact(&held, held.len(), true, scratch);
        }
        scratch
    }

    /// How many bytes are withheld.
    #[cfg(test)]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }
}

/// A pattern, and what stands for it.
type Form = (Box<[u8]>, Arc<[u8]>);

/// One occurrence of a pattern.
struct Found {
    start: usize,
    end: usize,
    pattern: usize,
}

/// The patterns of all secrets, ready to search.
#[derive(Default)]
struct PatternSet {
    /// Finds the longest pattern at a place; `None` when there is no secret.
    automaton: Option<AhoCorasick>,
    /// Finds places where a pattern may begin, at several gigabytes per second. `None` where the processor has no
    /// suitable instructions or there are too many different prefixes; then the automaton searches alone.
    prefixes: Option<packed::Searcher>,
    /// What stands for each pattern, by its number in the automaton.
    replacements: Vec<Arc<[u8]>>,
    /// All patterns in order of their bytes.
    sorted: Vec<Box<[u8]>>,
    /// Whether a pattern begins with the byte.
    first: Vec<bool>,
    /// Bytes of the longest pattern.
    longest: usize,
}

impl PatternSet {
    fn build<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<PatternSet, RedactError> {
        let mut forms: Vec<Form> = Vec::new();
        for (name, secret) in secrets {
            if secret.len() < MIN_SECRET_BYTES {
                return Err(RedactError::TooShort(name.to_owned()));
            }
            let replacement: Arc<[u8]> = format!("[REDACTED:{name}]").into_bytes().into();
            for pattern in patterns::forms(secret) {
                forms.push((pattern.into(), Arc::clone(&replacement)));
            }
        }
        // Stable: of two keys with the same secret, the first named stands for it.
        forms.sort_by(|a, b| a.0.cmp(&b.0));
        forms.dedup_by(|a, b| a.0 == b.0);
        let (sorted, replacements): (Vec<_>, Vec<_>) = forms.into_iter().unzip();
        if sorted.is_empty() {
            return Ok(PatternSet::default());
        }
        let automaton = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .start_kind(StartKind::Both)
            .build(&sorted)?;
        let mut first = vec![false; 256];
        for pattern in &sorted {
            first[usize::from(pattern[0])] = true;
        }
        let starts = |len: usize| {
            let mut starts: Vec<&[u8]> = sorted.iter().map(|p| &p[..p.len().min(len)]).collect();
            starts.dedup();
            starts
        };
        let prefixes = PREFIX_BYTES
            .rev()
            .map(starts)
            .find(|starts| starts.len() <= MAX_PREFIXES)
            .and_then(|starts| packed::Config::new().builder().extend(starts).build());
        let longest = sorted.iter().map(|p| p.len()).max().unwrap_or(0);
        Ok(PatternSet { automaton: Some(automaton), prefixes, replacements, sorted, first, longest })
    }

    /// The first and there the longest pattern in `bytes[from..]`.
    fn find(&self, bytes: &[u8], mut from: usize) -> Option<Found> {
        let automaton = self.automaton.as_ref()?;
        let found = |m: aho_corasick::Match| Found {
            start: m.start(),
            end: m.end(),
            pattern: m.pattern().as_usize(),
        };
        let Some(prefixes) = &self.prefixes else {
            return automaton.find(Input::new(bytes).range(from..)).map(found);
        };
        while let Some(candidate) = prefixes.find_in(bytes, (from..bytes.len()).into()) {
            let at = candidate.start();
            if let Some(m) = automaton.find(Input::new(bytes).range(at..).anchored(Anchored::Yes)) {
                return Some(found(m));
            }
            from = at + 1;
        }
        None
    }

    /// The first place at or after `from` whose rest is a proper prefix of a pattern; `bytes.len()` if none is.
    fn hold_from(&self, bytes: &[u8], from: usize) -> usize {
        let earliest = bytes.len().saturating_sub(self.longest.saturating_sub(1)).max(from);
        (earliest..bytes.len())
            .find(|&at| {
                let rest = &bytes[at..];
                self.first[usize::from(rest[0])] && self.is_proper_prefix(rest)
            })
            .unwrap_or(bytes.len())
    }

    fn is_proper_prefix(&self, bytes: &[u8]) -> bool {
        // Patterns that begin with `bytes` follow it directly in their order; the first may be equal to it.
        let at = self.sorted.partition_point(|p| &**p <= bytes);
        self.sorted.get(at).is_some_and(|p| p.starts_with(bytes))
    }

    /// Appends the redaction of `bytes` to `out`, as far as it is certain; returns where the uncertain rest begins.
    /// `hold` is [`Self::hold_from`] of the beginning. When `last`, nothing follows and all is certain.
    fn redact(&self, bytes: &[u8], mut hold: usize, last: bool, out: &mut Vec<u8>) -> usize {
        if last {
            hold = bytes.len();
        }
        let mut from = 0;
        while let Some(found) = self.find(bytes, from) {
            if found.start >= hold {
                break;
            }
            out.extend_from_slice(&bytes[from..found.start]);
            out.extend_from_slice(&self.replacements[found.pattern]);
            from = found.end;
            if from > hold {
                // The withheld end began inside this occurrence, which is certain because it began earlier.
                hold = self.hold_from(bytes, from);
            }
        }
        out.extend_from_slice(&bytes[from..hold]);
        hold
    }
}
