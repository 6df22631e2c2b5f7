//! Placeholders of commands: `{}` and its kin, with GNU parallel's meanings.
//!
//! Semantics of `{.} {/} {//} {/.}` after the manual of GNU parallel 20240222, section "replacement strings": purely
//! textual, no file system, no special case for hidden files (`.bashrc` without extension is empty).

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// One of the replaced words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Text,
    NoExtension,
    BaseName,
    Directory,
    BaseNameNoExtension,
    Position,
    Slot,
    Id,
    Run,
    Attempt,
}

const WORDS: [(&[u8], Placeholder); 10] = [
    (b"{}", Placeholder::Text),
    (b"{.}", Placeholder::NoExtension),
    (b"{/}", Placeholder::BaseName),
    (b"{//}", Placeholder::Directory),
    (b"{/.}", Placeholder::BaseNameNoExtension),
    (b"{#}", Placeholder::Position),
    (b"{%}", Placeholder::Slot),
    (b"{id}", Placeholder::Id),
    (b"{run}", Placeholder::Run),
    (b"{attempt}", Placeholder::Attempt),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Placeholder(Placeholder),
}

/// What the placeholders stand for in one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// TEXT, or the id where there is none.
    pub text: &'a str,
    /// The item's id.
    pub id: &'a str,
    /// The item's position in the run, from 1.
    pub position: u64,
    /// The worker slot, from 1.
    pub slot: u32,
    /// The run's id.
    pub run: &'a str,
    /// Which try it is within this run, from 1.
    pub attempt: u32,
}

/// A command as typed, ready to be filled in for each item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    typed: Vec<OsString>,
    arguments: Vec<Vec<Piece>>,
}

impl Template {
    /// Reads a command: program and arguments, at least the program.
    pub fn new(command: &[OsString]) -> Template {
        let mut arguments: Vec<Vec<Piece>> = command.iter().map(|a| pieces(a.as_bytes())).collect();
        let any = arguments.iter().flatten().any(|piece| matches!(piece, Piece::Placeholder(_)));
        if !any {
            arguments.push(vec![Piece::Placeholder(Placeholder::Text)]);
        }
        Template { typed: command.to_vec(), arguments }
    }

    /// The program's name, where it is the same for all items and attempts.
    pub fn program(&self) -> Option<&OsStr> {
        let is_fixed = |piece: &Piece| matches!(piece, Piece::Literal(_));
        let name = self.typed.first().filter(|_| self.arguments[0].iter().all(is_fixed));
        // `"./agent {}"` in quotes is a line for a shell, whatever is filled in.
        let as_line = || {
            let begins_fixed = matches!(self.arguments[0].first(), Some(Piece::Literal(_)));
            self.typed.first().filter(|word| begins_fixed && word.as_bytes().contains(&b' '))
        };
        name.or_else(as_line).map(OsString::as_os_str)
    }

    /// The command as typed.
    pub fn typed(&self) -> &[OsString] {
        &self.typed
    }

    /// Whether TEXT itself becomes part of an argument.
    pub fn carries_text(&self) -> bool {
        self.arguments.iter().flatten().any(Piece::carries_text)
    }

    /// An upper bound of the longest argument, in bytes, for an item with a text of `text_bytes`.
    pub fn longest_argument_bytes(&self, text_bytes: usize) -> usize {
        // Ids, run ids and numbers are all shorter than this.
        const SHORT: usize = 160;
        let length = |piece: &Piece| match piece {
            Piece::Literal(bytes) => bytes.len(),
            piece if piece.carries_text() => text_bytes.max(SHORT),
            Piece::Placeholder(_) => SHORT,
        };
        self.arguments.iter().map(|a| a.iter().map(length).sum()).max().unwrap_or(0)
    }

    /// Program and arguments for one attempt. What is filled in is never looked at again, so a text that contains `{}`
    /// stays as it is.
    pub fn render(&self, fill: &Fill<'_>) -> Vec<OsString> {
        self.arguments
            .iter()
            .map(|argument| {
                let mut bytes = Vec::new();
                for piece in argument {
                    match piece {
                        Piece::Literal(literal) => bytes.extend_from_slice(literal),
                        Piece::Placeholder(placeholder) => {
                            bytes.extend_from_slice(placeholder.value(fill).as_bytes());
                        }
                    }
                }
                OsString::from_vec(bytes)
            })
            .collect()
    }
}

impl Piece {
    fn carries_text(&self) -> bool {
        use Placeholder::{BaseName, BaseNameNoExtension, Directory, NoExtension, Text};
        matches!(self, Piece::Placeholder(Text | NoExtension | BaseName | Directory | BaseNameNoExtension))
    }
}

impl Placeholder {
    fn value<'a>(self, fill: &Fill<'a>) -> Cow<'a, str> {
        match self {
            Placeholder::Text => Cow::Borrowed(fill.text),
            Placeholder::NoExtension => Cow::Borrowed(without_extension(fill.text)),
            Placeholder::BaseName => Cow::Borrowed(base_name(fill.text)),
            Placeholder::Directory => Cow::Borrowed(directory(fill.text)),
            Placeholder::BaseNameNoExtension => Cow::Borrowed(without_extension(base_name(fill.text))),
            Placeholder::Position => Cow::Owned(fill.position.to_string()),
            Placeholder::Slot => Cow::Owned(fill.slot.to_string()),
            Placeholder::Id => Cow::Borrowed(fill.id),
            Placeholder::Run => Cow::Borrowed(fill.run),
            Placeholder::Attempt => Cow::Owned(fill.attempt.to_string()),
        }
    }
}

fn pieces(argument: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut rest = argument;
    while let Some(first) = rest.first() {
        if let Some((word, placeholder)) = WORDS.iter().find(|(word, _)| rest.starts_with(word)) {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Placeholder(*placeholder));
            rest = &rest[word.len()..];
        } else {
            literal.push(*first);
            rest = &rest[1..];
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    pieces
}

/// All before the last dot after the last slash; all of it where there is no such dot.
fn without_extension(text: &str) -> &str {
    let name = text.rfind('/').map_or(0, |slash| slash + 1);
    text[name..].rfind('.').map_or(text, |dot| &text[..name + dot])
}

/// All after the last slash; so a path that ends in a slash has an empty base name.
fn base_name(text: &str) -> &str {
    text.rfind('/').map_or(text, |slash| &text[slash + 1..])
}

/// The directory as Perl's `File::Basename::dirname` and dirname(1) see it: trailing slashes do not count.
fn directory(text: &str) -> &str {
    let Some(first) = text.chars().next() else { return "." };
    let trimmed = text.trim_end_matches('/');
    match trimmed.rfind('/') {
        Some(slash) => {
            let parent = trimmed[..slash].trim_end_matches('/');
            if parent.is_empty() { "/" } else { parent }
        }
        None if first == '/' => "/",
        None => ".",
    }
}

/// A command line as a person would type it, for messages: words with anything unusual in single quotes.
pub fn shown(command: &[OsString]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./=:,+@%{}#".contains(&b);
    let word = |argument: &OsStr| {
        let text = argument.to_string_lossy();
        if !text.is_empty() && text.bytes().all(plain) {
            text.into_owned()
        } else {
            let escaped: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            format!("'{}'", escaped.replace('\'', "'\\''"))
        }
    };
    command.iter().map(|a| word(a)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(words: &[&str]) -> Template {
        Template::new(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn fill(text: &str) -> Fill<'_> {
        Fill { text, id: "i-1", position: 7, slot: 2, run: "2026-11-21T05-14-49Z-7f3a", attempt: 3 }
    }

    fn rendered(words: &[&str], text: &str) -> Vec<String> {
        template(words).render(&fill(text)).into_iter().map(|a| a.into_string().unwrap()).collect()
    }

    #[test]
    fn meanings() {
        // text, {.}, {/}, {//}, {/.}
        for (text, no_extension, base, dir, base_no_extension) in [
            ("foo.jpg", "foo", "foo.jpg", ".", "foo"),
            ("foo", "foo", "foo", ".", "foo"),
            ("subdir/foo.jpg", "subdir/foo", "foo.jpg", "subdir", "foo"),
            ("sub.dir/foo.jpg", "sub.dir/foo", "foo.jpg", "sub.dir", "foo"),
            ("sub.dir/bar", "sub.dir/bar", "bar", "sub.dir", "bar"),
            ("a/b.tar.gz", "a/b.tar", "b.tar.gz", "a", "b.tar"),
            (".bashrc", "", ".bashrc", ".", ""),
            ("home/.bashrc", "home/", ".bashrc", "home", ""),
            ("foo.", "foo", "foo.", ".", "foo"),
            ("a/b/", "a/b/", "", "a", ""),
            ("a.d/", "a.d/", "", ".", ""),
            ("a//b", "a//b", "b", "a", "b"),
            ("/", "/", "", "/", ""),
            ("//", "//", "", "/", ""),
            ("/foo", "/foo", "foo", "/", "foo"),
            ("/foo/", "/foo/", "", "/", ""),
            ("..", ".", "..", ".", "."),
            ("a/..", "a/.", "..", "a", "."),
            ("", "", "", ".", ""),
            ("fix the bug", "fix the bug", "fix the bug", ".", "fix the bug"),
            ("ä.ö/ü.ß", "ä.ö/ü", "ü.ß", "ä.ö", "ü"),
        ] {
            assert_eq!(
                rendered(&["{}", "{.}", "{/}", "{//}", "{/.}"], text),
                [text, no_extension, base, dir, base_no_extension],
                "{text:?}"
            );
        }
    }

    #[test]
    fn inside_arguments_and_beside_other_braces() {
        assert_eq!(
            rendered(&["x{}y", "--n={#}/{%}", "{id}-{run}-{attempt}", "{}{}"], "T"),
            ["xTy", "--n=7/2", "i-1-2026-11-21T05-14-49Z-7f3a-3", "TT"]
        );
        assert_eq!(
            rendered(&["{", "}", "{ }", "{foo}", "{{}}", "${HOME}", "{1}", "{}"], "T"),
            ["{", "}", "{ }", "{foo}", "{T}", "${HOME}", "{1}", "T"]
        );
    }

    #[test]
    fn appended_when_none_appears() {
        assert_eq!(rendered(&["echo", "{foo}"], "a b"), ["echo", "{foo}", "a b"]);
        assert_eq!(rendered(&["echo", "{#}"], "a b"), ["echo", "7"]);
        assert!(template(&["echo"]).carries_text());
        assert!(!template(&["echo", "{id}"]).carries_text());
        assert!(template(&["echo", "{/.}"]).carries_text());
    }

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        assert_eq!(rendered(&["{}", "{id}"], "{id} {}"), ["{id} {}", "i-1"]);
    }

    #[test]
    fn shown_as_typed() {
        let words = ["./agent", "--name=x", "two words", "it's", "", "{}", "a\u{1b}[2J"].map(OsString::from);
        assert_eq!(shown(&words), "./agent --name=x 'two words' 'it'\\''s' '' {} 'a\u{fffd}[2J'");
    }

    proptest! {
        #[test]
        fn parts_make_the_whole(text in "[a./é]{0,12}") {
            let base = base_name(&text);
            prop_assert!(text.ends_with(base) && !base.contains('/'));
            prop_assert!(text.starts_with(without_extension(&text)));
            let cut = &text[without_extension(&text).len()..];
            prop_assert!(cut.is_empty() || (cut.starts_with('.') && cut[1..].find(['.', '/']).is_none()));
            prop_assert!(!directory(&text).is_empty());
            prop_assert!(directory(&text) == "/" || !directory(&text).ends_with('/'));
        }

        #[test]
        fn arguments_without_placeholders_stay(args in proptest::collection::vec("[^{]*", 1..4), text in ".*") {
            let words: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut expected = args.clone();
            expected.push(text.clone());
            prop_assert_eq!(rendered(&words, &text), expected);
        }

        #[test]
        fn the_bound_holds(args in proptest::collection::vec("(\\{\\}|\\{id\\}|\\{/\\}|x){0,6}", 1..4), text in "[a/.]{0,300}") {
            let words: Vec<&str> = args.iter().map(String::as_str).collect();
            let template = template(&words);
            let longest = template.render(&fill(&text)).iter().map(|a| a.len()).max().unwrap_or(0);
            prop_assert!(longest <= template.longest_argument_bytes(text.len()));
        }
    }
}
