//! Colours: when they are used, and which one a label gets.

use std::ffi::OsStr;
use std::sync::Arc;

/// What `--color` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal that knows colours, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// Never.
    Never,
}

/// Whether to colour what goes to one stream. `no_color` and `term` are the variables `NO_COLOR`
/// (<https://no-color.org>: set and not empty) and `TERM`.
pub fn wants_colours(
    choice: ColorChoice,
    is_terminal: bool,
    no_color: Option<&OsStr>,
    term: Option<&OsStr>,
) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            is_terminal && no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|t| t != "dumb")
        }
    }
}

/// What begins the lines of the coordinator.
pub const COORDINATOR: &str = "COORDINATOR";

/// SGR numbers of the colours of labels: readable on dark and light grounds, and not red, which is for trouble.
const LABEL_COLOURS: [u8; 10] = [36, 32, 33, 35, 34, 96, 92, 93, 95, 94];

/// `[label] `, coloured by the label where `colours` says so: the same label has the same colour in every run.
pub fn prefix(label: &str, colours: bool) -> Arc<[u8]> {
    let text = if !colours {
        format!("[{label}] ")
    } else if label == COORDINATOR {
        format!("\x1b[1m[{label}]\x1b[0m ")
    } else {
        format!("\x1b[{}m[{label}]\x1b[0m ", label_colour(label))
    };
    text.into_bytes().into()
}

fn label_colour(label: &str) -> u8 {
    // FNV-1a, 32 bits: neighbouring numbers differ in their last bytes and get different colours.
    let hash = label.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    LABEL_COLOURS[(hash as usize) % LABEL_COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_colours_are_used() {
        use ColorChoice::{Always, Auto, Never};
        let os = |text: &'static str| Some(OsStr::new(text));
        for (choice, is_terminal, no_color, term, expected) in [
            (Auto, true, None, os("xterm"), true),
            (Auto, true, None, None, true),
            (Auto, false, None, os("xterm"), false),
            (Auto, true, os("1"), os("xterm"), false),
            (Auto, true, os(""), os("xterm"), true),
            (Auto, true, None, os("dumb"), false),
            (Always, false, os("1"), os("dumb"), true),
            (Never, true, None, os("xterm"), false),
        ] {
            assert_eq!(wants_colours(choice, is_terminal, no_color, term), expected);
        }
    }

    #[test]
    fn labels() {
        let text = |label, colours| String::from_utf8(prefix(label, colours).to_vec()).unwrap();
        assert_eq!(text("LLD-42", false), "[LLD-42] ");
        assert_eq!(text(COORDINATOR, true), "\x1b[1m[COORDINATOR]\x1b[0m ");
        assert_eq!(text("LLD-42", true), text("LLD-42", true));
        let colours: std::collections::BTreeSet<u8> =
            (1..=10).map(|i| label_colour(&format!("LLD-{i}"))).collect();
        assert!(colours.len() >= 5, "neighbours differ: {colours:?}");
    }
}
