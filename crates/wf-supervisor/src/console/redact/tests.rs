//! Redaction: tables, and the property that borders of pieces do not matter.

use super::*;
use proptest::prelude::*;

const KEYS: [(&str, &[u8]); 3] =
    [("a", b"sk-aaaaaaaab"), ("long", b"sk-aaaaaaaab-and-more"), ("inner", b"aaaaaaaa")];

fn whole(redactor: &Redactor, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    redactor.current().redact(bytes, bytes.len(), true, &mut out);
    out
}

fn pieces<'a>(redactor: &Redactor, parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut stream, mut scratch, mut out) = (redactor.stream(), Vec::new(), Vec::new());
    for part in parts {
        out.extend_from_slice(stream.push(part, &mut scratch));
        assert!(stream.held_bytes() < redactor.current().longest.max(1), "bounded");
    }
    out.extend_from_slice(stream.finish(&mut scratch));
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn table() {
    let redactor = Redactor::new(KEYS).unwrap();
    for (input, expected) in [
        ("", ""),
        ("nothing here\n", "nothing here\n"),
        ("key=sk-aaaaaaaab.", "key=[REDACTED:a]."),
        ("key=sk-aaaaaaaab-and-more.", "key=[REDACTED:long]."),
        ("sk-aaaaaaaab-and-mor", "[REDACTED:a]-and-mor"),
        ("sk-aaaaaaaa", "sk-[REDACTED:inner]"),
        ("aaaaaaaaaaaaaaaaaaa", "[REDACTED:inner][REDACTED:inner]aaa"),
        ("sk-aaaaaaaabsk-aaaaaaaab", "[REDACTED:a][REDACTED:a]"),
        ("sk-sk-sk-aaaaaaa", "sk-sk-sk-aaaaaaa"),
    ] {
        assert_eq!(text(&whole(&redactor, input.as_bytes())), expected);
        assert_eq!(redactor.redact(input), expected);
        assert_eq!(text(&pieces(&redactor, input.as_bytes().chunks(1))), expected, "byte by byte");
    }
}

#[test]
fn without_a_match_nothing_is_copied_and_only_a_prefix_is_withheld() {
    let redactor = Redactor::new(KEYS).unwrap();
    let (mut stream, mut scratch) = (redactor.stream(), Vec::new());
    let line = b"an ordinary line\n".as_slice();
    assert!(std::ptr::eq(stream.push(line, &mut scratch), line));
    assert_eq!(stream.push(b"password: s", &mut scratch), b"password: ");
    assert_eq!(stream.push(b"ecret", &mut scratch), b"secret");
    assert_eq!(stream.push(b"sk-aaaaaaaab", &mut scratch), b"", "it may become the longer one");
    assert_eq!(stream.push(b"\n", &mut scratch), b"[REDACTED:a]\n");
    assert_eq!(stream.held_bytes(), 0);
}

#[test]
fn without_secrets_everything_passes() {
    let redactor = Redactor::default();
    assert_eq!(text(&pieces(&redactor, b"sk-aaaaaaaab".chunks(3))), "sk-aaaaaaaab");
}

#[test]
fn a_live_stream_takes_a_new_set() {
    let redactor = Redactor::new([("old", b"old-secret".as_slice())]).unwrap();
    let (mut stream, mut scratch) = (redactor.stream(), Vec::new());
    assert_eq!(stream.push(b"old-sec", &mut scratch), b"");
    redactor.replace([("old", b"old-secret".as_slice()), ("new", b"new-secret")]).unwrap();
    assert_eq!(stream.push(b"ret new-s", &mut scratch), b"[REDACTED:old] ");
    redactor.replace([("new", b"new-secret".as_slice())]).unwrap();
    assert_eq!(stream.push(b"ecret.", &mut scratch), b"[REDACTED:new].");
    redactor.replace([]).unwrap();
    assert_eq!(stream.push(b"old-sec", &mut scratch), b"old-sec");
}

#[test]
fn a_short_secret_is_refused_and_the_old_set_stays() {
    let redactor = Redactor::new(KEYS).unwrap();
    let error = redactor.replace([("tiny", b"1234567".as_slice())]).unwrap_err();
    assert!(matches!(&error, RedactError::TooShort(name) if name == "tiny"));
    assert_eq!(redactor.redact("sk-aaaaaaaab"), "[REDACTED:a]");
}

#[test]
fn debug_shows_no_secret() {
    let redactor = Redactor::new(KEYS).unwrap();
    let mut stream = redactor.stream();
    stream.push(b"sk-aaaaaaaab", &mut Vec::new());
    // A withheld end is part of a secret.
    assert!(!format!("{redactor:?}").contains("aaaa"));
    assert!(!format!("{stream:?}").contains("97, 97, 97"));
}

#[test]
fn many_keys_fall_back_to_the_automaton_alone() {
    let keys: Vec<(String, String)> = (0..500)
        .map(|i: u32| (format!("k{i}"), format!("{:08x}-{i}", i.wrapping_mul(0x9e37_79b9))))
        .collect();
    let redactor =
        Redactor::new(keys.iter().map(|(name, secret)| (name.as_str(), secret.as_bytes()))).unwrap();
    for (name, secret) in &keys {
        assert_eq!(redactor.redact(&format!("<{secret}>")), format!("<[REDACTED:{name}]>"));
    }
}

/// Texts over few letters, so that patterns overlap, repeat and break off often.
fn hostile_text() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"sk-aaaaaaaab".to_vec()),
        Just(b"sk-aaaaaaaab-and-more".to_vec()),
        Just(b"sk-aaaaaaa".to_vec()),
        Just(b"-and-mor".to_vec()),
        Just(b"abababcabab".to_vec()),
        Just(b"\n".to_vec()),
        proptest::collection::vec(
            prop_oneof![Just(b'a'), Just(b'b'), Just(b's'), Just(b'k'), Just(b'-')],
            0..20
        ),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn pieces_equal_the_whole(input in hostile_text(), cuts in proptest::collection::vec(1usize..40, 1..40)) {
        let secrets = [("p", b"abababcabab".as_slice()), ("q", b"babcabababab")];
        let redactor = Redactor::new(KEYS.into_iter().chain(secrets)).unwrap();
        let (mut rest, mut parts, mut cut) = (input.as_slice(), Vec::new(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (part, tail) = rest.split_at(rest.len().min(*cut.next().expect("it cycles")));
            parts.push(part);
            rest = tail;
        }
        prop_assert_eq!(text(&pieces(&redactor, parts.into_iter())), text(&whole(&redactor, &input)));
    }

    /// The two-step search finds what the automaton alone defines.
    #[test]
    fn whole_equals_the_automaton(input in hostile_text()) {
        let redactor = Redactor::new(KEYS).unwrap();
        let set = redactor.current();
        let plain = set.automaton.as_ref().unwrap().replace_all_bytes(&input, &set.replacements);
        prop_assert_eq!(text(&whole(&redactor, &input)), text(&plain));
    }
}
