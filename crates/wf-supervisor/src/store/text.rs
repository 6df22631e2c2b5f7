//! How figures and foreign texts are written for people.

use std::borrow::Cow;
use std::fmt::Write as _;

use wf_core::PlanAction;

/// A duration in at most three figures and two units: `0ms`, `850ms`, `12.3s`, `4m05s`, `1h02m`, `3d04h`.
pub fn duration_ms(ms: u64) -> String {
    let seconds = ms / 1000;
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{seconds}.{}s", ms % 1000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600_000..86_400_000 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A number in groups of three: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A foreign text on one line and without anything a terminal would obey: control and format characters become spaces.
/// Cut, with an ellipsis, at `limit` characters.
pub fn one_line(text: &str, limit: usize) -> Cow<'_, str> {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    if text.len() <= limit && !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut line = String::new();
    for (i, c) in text.trim().chars().enumerate() {
        if i == limit {
            line.push('…');
            break;
        }
        line.push(if obeyed(c) { ' ' } else { c });
    }
    Cow::Owned(line)
}

/// "1 item", "2 items".
pub fn counted(number: u64, one: &str, many: &str) -> String {
    let mut text = grouped(number);
    let _ = write!(text, " {}", if number == 1 { one } else { many });
    text
}

/// The word for what is planned, as in the journal.
pub fn plan_word(action: PlanAction) -> &'static str {
    match action {
        PlanAction::Run => "run",
        PlanAction::Resume => "resume",
        PlanAction::Rerun => "rerun",
        PlanAction::Keep => "keep",
        PlanAction::Skip => "skip",
        PlanAction::NeedsRevision => "needs-revision",
        PlanAction::Fail => "fail",
    }
}

/// A size as people say it: `0 B`, `999 B`, `1.2 kB`, `35 MB`, `1.2 GB`.
pub fn about_bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        let is_last = unit == "TB";
        if size < 999.5 || is_last {
            return if unit == "B" || size >= 9.95 {
                format!("{size:.0} {unit}")
            } else {
                format!("{size:.1} {unit}")
            };
        }
        size /= 1000.0;
    }
    unreachable!("the last unit takes everything")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1.0s"),
            (59_999, "59.9s"),
            (60_000, "1m00s"),
            (245_000, "4m05s"),
            (3_720_000, "1h02m"),
            (273_600_000, "3d04h"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration_ms(ms), text);
        }
    }

    #[test]
    fn numbers() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "item", "items"), "1 item");
        assert_eq!(counted(1500, "item", "items"), "1,500 items");
    }

    #[test]
    fn nothing_a_terminal_obeys_comes_through() {
        assert_eq!(one_line("plain", 10), "plain");
        assert_eq!(one_line("a\x1b[31mb\r\nc\u{202e}", 40), "a [31mb  c ");
        assert_eq!(one_line("äöüäöü", 4), "äöüä…");
    }

    #[test]
    fn sizes_have_two_digits_at_least() {
        let sizes = [0, 999, 1000, 1234, 9_949, 9_960, 999_499, 999_500, 1_200_000_000, u64::MAX];
        assert_eq!(
            sizes.map(about_bytes),
            [
                "0 B",
                "999 B",
                "1.0 kB",
                "1.2 kB",
                "9.9 kB",
                "10 kB",
                "999 kB",
                "1.0 MB",
                "1.2 GB",
                "18446744 TB"
            ]
        );
    }
}
