//! What a provider says, made fit to be shown to people and kept in a journal.

/// The longest text taken over from a provider, in characters, the mark of the cut included.
pub const LONGEST_MESSAGE_CHARS: usize = 500;

/// How much of a body is looked at in search of words. A refusal says what it has to say at the beginning.
const LOOKED_AT_BYTES: usize = 64 * 1024;

/// A provider's words as one bounded line: runs of white space become one space, control characters and the
/// invisible ones that reorder or hide text on a terminal go, and what is over [`LONGEST_MESSAGE_CHARS`] is cut.
pub fn clean_message(words: &str) -> String {
    let mut line = String::new();
    let mut chars = 0;
    let mut gap = false;
    for c in words.chars() {
        if c.is_whitespace() || c.is_control() {
            gap = true;
            continue;
        }
        if is_invisible(c) {
            continue;
        }
        let wanted = if gap && chars > 0 { 2 } else { 1 };
        if chars + wanted > LONGEST_MESSAGE_CHARS - 1 {
            line.push('…');
            break;
        }
        if wanted == 2 {
            line.push(' ');
        }
        line.push(c);
        chars += wanted;
        gap = false;
    }
    line
}

/// Zero-width and bidirectional formatting characters: they would let a message rewrite the line it stands in.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The beginning of a body as text, whatever its bytes are.
pub(crate) fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(LOOKED_AT_BYTES)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_become_one_clean_line() {
        for (words, line) in [
            ("", ""),
            ("  Quota\n\texceeded  ", "Quota exceeded"),
            ("a\u{1b}[31mred\u{7}", "a [31mred"),
            ("key\u{202e}drowssap", "keydrowssap"),
        ] {
            assert_eq!(clean_message(words), line);
        }
    }

    #[test]
    fn a_megabyte_of_prose_is_cut() {
        let line = clean_message(&"word ".repeat(200_000));
        assert!(line.chars().count() <= LONGEST_MESSAGE_CHARS);
        assert!(line.ends_with('…'));
    }

    proptest! {
        #[test]
        fn nothing_gets_through_that_a_terminal_would_obey(words in any::<String>()) {
            let line = clean_message(&words);
            prop_assert!(line.chars().count() <= LONGEST_MESSAGE_CHARS);
            prop_assert!(!line.chars().any(char::is_control));
        }
    }
}
