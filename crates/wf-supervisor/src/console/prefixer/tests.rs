//! Lines: tables with colours and without, and properties over any bytes in any pieces.

use super::*;
use proptest::prelude::*;

fn run(colours: bool, pieces: &[&[u8]]) -> Vec<u8> {
    let mut prefixer = Prefixer::new(b"[X] ".as_slice().into(), colours);
    let mut out = Vec::new();
    for piece in pieces {
        prefixer.push(piece, &mut out);
    }
    prefixer.close(&mut out);
    out
}

fn shown(colours: bool, input: &str) -> String {
    let out = run(colours, &[input.as_bytes()]);
    let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
    assert_eq!(out, run(colours, &bytes), "byte by byte");
    String::from_utf8(out).unwrap()
}

#[test]
fn lines_and_returns() {
    for (input, expected) in [
        ("", ""),
        ("one\ntwo\n", "[X] one\n[X] two\n"),
        ("unfinished", "[X] unfinished\n"),
        ("\n\n", "[X] \n[X] \n"),
        ("dos\r\nunix\n", "[X] dos\n[X] unix\n"),
        ("pty\r\r\nx\n", "[X] pty\n[X] x\n"),
        ("a\n\r\nb\n", "[X] a\n[X] \n[X] b\n"),
        ("\r 10%\r 20%\r\n", "[X]  10%\n[X]  20%\n"),
        ("\r\r\r", ""),
        ("over\rwritten", "[X] over\n[X] written\n"),
        ("nul \0 byte\n", "[X] nul \0 byte\n"),
        ("tab\tbell\x07\n", "[X] tab\tbell\x07\n"),
    ] {
        assert_eq!(shown(false, input), expected, "without colours: {input:?}");
        assert_eq!(shown(true, input), expected, "with them: {input:?}");
    }
}

#[test]
fn colours_end_with_their_line() {
    for (input, expected) in [
        ("\x1b[31mred\nplain\n", "[X] \x1b[31mred\x1b[0m\n[X] plain\n"),
        ("\x1b[31mred\x1b[0m\n", "[X] \x1b[31mred\x1b[0m\n"),
        ("\x1b[1;31mred\x1b[m\n", "[X] \x1b[1;31mred\x1b[m\n"),
        ("\x1b[38;5;0mblack\n", "[X] \x1b[38;5;0mblack\x1b[0m\n"),
        ("\x1b[4:3mcurly\r\n", "[X] \x1b[4:3mcurly\x1b[0m\n"),
        ("\x1b[31mred", "[X] \x1b[31mred\x1b[0m\n"),
    ] {
        assert_eq!(shown(true, input), expected, "{input:?}");
    }
}

#[test]
fn where_no_colours_are_wanted_none_pass() {
    for (input, expected) in [
        ("\x1b[31mred\nplain\n", "[X] red\n[X] plain\n"),
        ("\x1b[1;38;5;0mblack\x1b[0m ground\n", "[X] black ground\n"),
        ("\x1b[31mcut\x1b[", "[X] cut\n"),
    ] {
        assert_eq!(shown(false, input), expected, "{input:?}");
    }
}

#[test]
fn no_terminal_is_steered_wherever_it_is() {
    for (input, expected) in [
        ("up\x1b[A over\x1b[2K\n", "[X] up over\n"),
        ("\x1b[2K\x1b[1G\rbar\n", "[X] bar\n"),
        ("\x1b]0;title\x07text\n", "[X] text\n"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", "[X] link\n"),
        ("\x1bPdevice\x1b\\ok\n", "[X] ok\n"),
        ("\x1b(0lqqk\n", "[X] lqqk\n"),
        ("\x1bcreset\n", "[X] reset\n"),
        ("\x1b[?25lhidden\n", "[X] hidden\n"),
        ("\x1b[>4;2mmode\n", "[X] mode\n"),
        ("back\x08\x08space\x0e\x0f\x05\n", "[X] backspace\n"),
        ("open\x1b]0;no end\nnext\n", "[X] open\n[X] next\n"),
        ("cut\x1b[3\n1mnext\n", "[X] cut\n[X] 1mnext\n"),
        ("\u{9b}31mc1 \u{e9} \u{b0}\n", "[X] 31mc1 \u{e9} \u{b0}\n"),
        ("\x1b\x1b[A.\n", "[X] .\n"),
        ("\x1b]0;t\x1b[Amore\n", "[X] more\n"),
        ("\x1b[\u{e9}\n", "[X] \u{e9}\n"),
    ] {
        assert_eq!(shown(true, input), expected, "{input:?}");
        if !input.contains("31mc1") {
            assert_eq!(shown(false, input), expected, "without colours: {input:?}");
        }
    }
    // What is left when a sequence is taken out must not become one.
    assert_eq!(run(true, &[b"\xc2\x1b[A\x9b31m\n"]), b"[X] \xc231m\n");
    let long = format!("\x1b[{}Hend\n", "1;".repeat(5000));
    assert_eq!(shown(true, &long), "[X] end\n");
}

#[test]
fn long_lines_come_in_pieces() {
    let exact = "x".repeat(MAX_PIECE_BYTES);
    assert_eq!(shown(false, &format!("{exact}\n")), format!("[X] {exact}\n"));
    assert_eq!(shown(false, &format!("{exact}yz\nnext")), format!("[X] {exact}\n[X] ... yz\n[X] next\n"));
    let odd = format!("x{}", "é".repeat(MAX_PIECE_BYTES / 2));
    let (first, rest) = odd.split_at(MAX_PIECE_BYTES - 1);
    assert_eq!(shown(false, &odd), format!("[X] {first}\n[X] ... {rest}\n"));
    let coloured = format!("{}\x1b[31mred", &exact[2..]);
    let expected = format!("[X] {}\n[X] ... \x1b[31mred\x1b[0m\n", &exact[2..]);
    assert_eq!(shown(true, &coloured), expected, "a sequence is not cut");
}

#[test]
fn a_line_without_an_end_is_held_within_its_bound() {
    let mut prefixer = Prefixer::new(b"[X] ".as_slice().into(), false);
    let mut out = Vec::new();
    for _ in 0..1000 {
        prefixer.push(&[0xff; 1000], &mut out);
        assert!(prefixer.line.capacity() <= 2 * MAX_PIECE_BYTES);
        out.clear();
    }
    prefixer.push(b"\n", &mut out);
    assert!(prefixer.line.capacity() <= KEPT_BYTES, "and given back");
}

fn any_output() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..30),
        4 => proptest::sample::select(vec![
            "\r", "\n", "\r\n", "\x1b[31m", "\x1b[0m", "\x1b[", "\x1b]0;t", "\x1b\\", "\x07", "\u{9b}", "é", "\x1b", "m", "1;",
        ]).prop_map(|s| s.as_bytes().to_vec()),
        1 => (0usize..20_000).prop_map(|n| vec![b'x'; n]),
    ];
    proptest::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn borders_of_pieces_do_not_matter(
        input in any_output(), sizes in proptest::collection::vec(1usize..5000, 1..8), colours: bool,
    ) {
        let (mut pieces, mut rest, mut size) = (Vec::new(), input.as_slice(), sizes.iter().cycle());
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(rest.len().min(*size.next().expect("it cycles")));
            pieces.push(piece);
            rest = tail;
        }
        prop_assert!(run(colours, &pieces) == run(colours, &[&input]));
    }

    #[test]
    fn every_line_is_prefixed_bounded_and_stays_in_its_place(input in any_output(), colours: bool) {
        let out = run(colours, &[&input]);
        prop_assert!(out.is_empty() || out.ends_with(b"\n"));
        let limit = MAX_PIECE_BYTES + 4 + CONTINUED.len() + COLOURS_OFF.len();
        for line in out.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            prop_assert!(line.starts_with(b"[X] ") && line.len() <= limit);
            prop_assert!(!line.contains(&b'\r'));
            if line.len() <= MAX_PIECE_BYTES {
                // Only colours are left.
                let mut prefixer = Prefixer::new([].as_slice().into(), colours);
                let mut again = Vec::new();
                prefixer.push(line, &mut again);
                prefixer.close(&mut again);
                prop_assert_eq!(again.len(), line.len() + 1);
            }
        }
    }

    #[test]
    fn no_other_byte_is_lost(input in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let input: Vec<u8> = input.into_iter().filter(|b| !is_special(*b)).collect();
        let out = run(false, &[&input]);
        let mut lines: Vec<&[u8]> = out.split(|&b| b == b'\n').collect();
        prop_assert!(lines.pop().is_some_and(<[u8]>::is_empty));
        let mut joined = lines.iter().map(|l| &l[4..]).collect::<Vec<_>>().join(&b'\n');
        if input.ends_with(b"\n") {
            joined.push(b'\n');
        }
        prop_assert_eq!(joined, input);
    }
}
