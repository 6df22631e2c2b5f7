//! The forms in which a secret shows up in output: as it is, escaped for JSON or an address, or in base64.
//!
//! A form that a worker makes up itself is out of reach, and the documentation says so.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Every form of `secret` to look for, without duplicates. For a plain key most forms coincide.
pub fn forms(secret: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::from([secret.to_vec()]);
    if let Ok(text) = std::str::from_utf8(secret) {
        for ascii_only in [false, true] {
            for style in [Json::Plain, Json::SlashEscaped, Json::HtmlSafe] {
                forms.insert(json(text, ascii_only, style));
            }
        }
    }
    // What is left as it is differs: RFC 3986, Python's `quote`, JavaScript's `encodeURI` and
    // `encodeURIComponent`, and HTML forms.
    for safe in ["-_.~", "-_.~/", "-_.~!*'()", "-_.~!*'();/?:@&=+$,#", "-_.*"] {
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            forms.insert(percent(secret, safe.as_bytes(), digits, false));
            forms.insert(percent(secret, safe.as_bytes(), digits, true));
        }
    }
    for before in 0..3 {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            forms.insert(base64_inside(secret, before, engine));
        }
    }
    forms
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Json {
    /// Only what must be escaped.
    Plain,
    /// `/` as `\/`, as PHP writes it.
    SlashEscaped,
    /// `<`, `>` and `&` as `\u003c` and so on, as Go writes them.
    HtmlSafe,
}

/// The inside of a JSON string (RFC 8259, section 7).
fn json(text: &str, ascii_only: bool, style: Json) -> Vec<u8> {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '/' if style == Json::SlashEscaped => out.push_str("\\/"),
            '<' | '>' | '&' if style == Json::HtmlSafe => push_utf16(&mut out, c),
            c if c < ' ' || (ascii_only && !c.is_ascii()) => push_utf16(&mut out, c),
            c => out.push(c),
        }
    }
    out.into_bytes()
}

fn push_utf16(out: &mut String, c: char) {
    let mut units = [0; 2];
    for unit in c.encode_utf16(&mut units) {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

fn percent(bytes: &[u8], safe: &[u8], digits: &[u8; 16], plus_for_space: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &b in bytes {
        if b.is_ascii_alphanumeric() || safe.contains(&b) {
            out.push(b);
        } else if b == b' ' && plus_for_space {
            out.push(b'+');
        } else {
            out.extend([b'%', digits[usize::from(b >> 4)], digits[usize::from(b & 15)]]);
        }
    }
    out
}

/// The characters of a base64 text that the secret alone determines, when `before` bytes (modulo 3) precede it:
/// those whose six bits all come from it. Characters at its ends also carry bits of its neighbours.
fn base64_inside(secret: &[u8], before: usize, engine: &impl base64::Engine) -> Vec<u8> {
    let mut padded = vec![0; before];
    padded.extend_from_slice(secret);
    let text = engine.encode(&padded).into_bytes();
    let first = (before * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    text[first..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    fn has(secret: &str, form: &str) -> bool {
        forms(secret.as_bytes()).contains(form.as_bytes())
    }

    #[test]
    fn a_plain_key_has_itself_and_three_alignments() {
        assert_eq!(forms(b"AIzaSyExampleKey").len(), 4);
    }

    #[test]
    fn escaped_forms() {
        assert!(has("pass\"word\n1", r#"pass\"word\n1"#));
        assert!(has("pässwörter", "p\\u00e4ssw\\u00f6rter"));
        assert!(has("a/b/c/d/e", r"a\/b\/c\/d\/e"));
        assert!(has("a<b>c&defg", r"a\u003cb\u003ec\u0026defg"));
        assert!(has("a/b+c=d e", "a%2Fb%2Bc%3Dd%20e"));
        assert!(has("a/b+c=d e", "a/b%2bc%3dd+e"));
    }

    #[test]
    fn every_alignment_is_found_between_any_neighbours() {
        let secret = b"\xfb\xff-secret/\x00?";
        for engine in [&STANDARD, &URL_SAFE] {
            for before in 0..7 {
                for after in 0..4 {
                    let mut whole = vec![0xa7; before];
                    whole.extend_from_slice(secret);
                    whole.extend(vec![0x5c; after]);
                    let text = engine.encode(&whole).into_bytes();
                    let found = forms(secret).iter().any(|f| memchr::memmem::find(&text, f).is_some());
                    assert!(found, "{before} bytes before, {after} after");
                }
            }
        }
    }

    #[test]
    fn no_form_is_short_enough_to_match_by_chance() {
        assert!(forms(b"12345678").iter().all(|f| f.len() >= 8));
    }
}
