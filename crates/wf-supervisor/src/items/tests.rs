//! What lists of items are taken, and what is refused.

#![expect(clippy::format_collect, reason = "tables of a few lines")]

use std::fs;

use proptest::prelude::*;

use super::text::id_of_text;
use super::*;

mod labels;

fn text_list(bytes: &[u8]) -> Result<Vec<ItemSpec>, ItemsError> {
    text::read("items.txt", bytes, false, "")
}

fn by_line(bytes: &[u8]) -> Result<Vec<ItemSpec>, ItemsError> {
    text::read("items.txt", bytes, true, "")
}

fn json_list(bytes: &[u8]) -> Result<Vec<ItemSpec>, ItemsError> {
    json_lines::read("items.jsonl", bytes, "", &mut Fields::default())
}

fn ids(items: &[ItemSpec]) -> Vec<&str> {
    items.iter().map(|i| i.id.as_str()).collect()
}

#[test]
fn plain_lists() {
    let items =
        text_list(b"\xef\xbb\xbf42\r\n\n  # a comment\n#\n# 42\n#tag\n 43\tFix  the login \r\n_x-1").unwrap();
    assert_eq!(ids(&items), ["42", "43", "_x-1"]);
    assert_eq!(items[0].text, None);
    assert_eq!(items[1].text.as_deref(), Some("Fix  the login"));
    assert_eq!((items[0].text_or_id(), items[1].text_or_id()), ("42", "Fix  the login"));
}

#[test]
fn refusals_of_text() {
    let long = format!("{}\n", "a".repeat(129));
    let many = "a/b\n".repeat(13);
    let table: &[(&str, &[u8])] = &[
        ("traversal", b"ok\n../../etc/passwd\n"),
        ("slash", b"a/b\n"),
        ("dash", b"ok\n\n-rf\n"),
        ("hash", b"#42\n"),
        ("hash with text", b"#42 Fix it\n"),
        ("hash and word", b"#42x\nok\n#\xc3\xa9\n"),
        ("accent", "käse\n".as_bytes()),
        ("escape", b"\x1b[31m\n"),
        ("too long", long.as_bytes()),
        ("twice", b"a\nb\n\na\n"),
        ("case", b"a-B\nx\nA-b\n"),
        ("not UTF-8", b"ok\n\xff\xfe\n"),
        ("UTF-16", b"\xff\xfe4\x002\x00\n"),
        ("NUL", b"4\x002\n"),
        ("empty", b""),
        ("nothing but comments", b"\n# one\n"),
        ("several", b"a/b\nok\n../c\nok\n"),
        ("many", many.as_bytes()),
    ];
    let shown: String = table
        .iter()
        .map(|(name, bytes)| match text_list(bytes) {
            Ok(items) => format!("{name}\n    taken: {}\n", ids(&items).join(" ")),
            Err(error) => format!("{name}\n    {}\n", error.to_string().replace('\n', "\n    ")),
        })
        .collect();
    insta::assert_snapshot!(shown, @r##"
    traversal
        items.txt:2: "../../etc/passwd": an id may not begin with '.'
        if every line is an item's text, add --lines
    slash
        items.txt:1: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        if every line is an item's text, add --lines
    dash
        items.txt:3: "-rf": an id may not begin with '-'
        if every line is an item's text, add --lines
    hash
        items.txt:1: "#42" looks like a comment; write 42
    hash with text
        items.txt:1: "#42" looks like a comment; write 42
    hash and word
        taken: ok
    accent
        items.txt:1: "käse": 'ä' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        if every line is an item's text, add --lines
    escape
        items.txt:1: "\u{1b}[31m": '\u{1b}' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        if every line is an item's text, add --lines
    too long
        items.txt:1: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"...: an id longer than 128 characters
        if every line is an item's text, add --lines
    twice
        items.txt:4: duplicate id a (first in line 1)
    case
        items.txt:3: duplicate id A-b: a-B (first in line 1) differs only in case, and some systems take their files for one
    not UTF-8
        items.txt:2: the line is not valid UTF-8
    UTF-16
        items.txt:1: this is UTF-16; save the file as UTF-8
    NUL
        items.txt:1: the line contains a NUL byte (a list whose items end with NUL is read with -0)
    empty
        the list is empty: items.txt has no items
    nothing but comments
        the list is empty: items.txt has no items
    several
        items.txt:1: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        items.txt:3: "../c": an id may not begin with '.'
        items.txt:4: duplicate id ok (first in line 2)
        if every line is an item's text, add --lines
    many
        items.txt:1: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        items.txt:2: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        items.txt:3: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        items.txt:4: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        items.txt:5: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        items.txt:6: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        items.txt:7: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        items.txt:8: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        items.txt:9: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        items.txt:10: "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        ... and 3 more
        if every line is an item's text, add --lines
    "##);
}

#[test]
fn texts_by_line() {
    let items =
        by_line("Fix the login!\n\n# skipped\n  indented {} \nКириллица\n../../etc/passwd\n".as_bytes())
            .unwrap();
    assert_eq!(items[0].text.as_deref(), Some("Fix the login!"));
    assert_eq!(items[1].text.as_deref(), Some("  indented {} "));
    insta::assert_snapshot!(ids(&items).join("\n"), @r"
    fix-the-login-c674fb76ea
    indented-3306d981e7
    item-87711c1317
    etc-passwd-3754d6cb3a
    ");
    // The id belongs to the text: lines before it change nothing.
    assert_eq!(by_line(b"new\nFix the login!\n").unwrap()[1].id, items[0].id);
    assert_ne!(id_of_text("Fix"), id_of_text("fix"));

    insta::assert_snapshot!(by_line(b"a\nb\na\n").unwrap_err(), @"items.txt:3: the same line twice (lines 1 and 3): leave one out; --repeat N does every item N times");
    assert_eq!(by_line(b"#42 Fix it\n").unwrap()[0].text.as_deref(), Some("#42 Fix it"));
}

#[test]
fn json() {
    let items = json_list(
        br#"{"id": "a", "text": "two\nlines", "timeout": "1m30s", "env": {"B": "2", "A": "1"}}
{"instance_id": "django__django-11099", "problem_statement": "...", "text": ""}

{"custom_id": "request-1", "id": null, "body": {}}
{"id": 42, "custom_id": "ignored", "text": null}"#,
    )
    .unwrap();
    assert_eq!(ids(&items), ["a", "django__django-11099", "request-1", "42"]);
    assert_eq!(items[0].timeout, Some(Duration::from_secs(90)));
    assert_eq!(*items[0].env, [("A".into(), "1".into()), ("B".into(), "2".into())]);
    assert_eq!((items[0].text.as_deref(), items[1].text.as_deref()), (Some("two\nlines"), None));
}

#[test]
fn refusals_of_json() {
    let table = [
        "{",
        "42",
        "[1]",
        "{}",
        r#"{"text": "x"}"#,
        r#"{"id": ""}"#,
        r#"{"id": "a b"}"#,
        r##"{"id": "#7"}"##,
        r#"{"id": -1}"#,
        r#"{"id": 1.5}"#,
        r#"{"id": true}"#,
        r#"{"id": "a", "text": 1}"#,
        r#"{"id": "a", "text": "x\u0000"}"#,
        r#"{"id": "a", "timeout": 30}"#,
        r#"{"id": "a", "timeout": "30"}"#,
        r#"{"id": "a", "timeout": "0s"}"#,
        r#"{"id": "a", "env": []}"#,
        r#"{"id": "a", "env": {"A": 1}}"#,
        r#"{"id": "a", "env": {"WF_TOKEN": "x"}}"#,
        r#"{"id": "a", "env": {"A=B": "x"}}"#,
        r#"{"id": "a", "env": {"": "x"}}"#,
        r#"{"id": "a"} trailing"#,
    ];
    let shown: String = table
        .iter()
        .map(|line| format!("{line}\n    {}\n", json_list(line.as_bytes()).unwrap_err()))
        .collect();
    insta::assert_snapshot!(shown, @r##"
    {
        items.jsonl:1: not a JSON object (column 1): EOF while parsing an object
    42
        items.jsonl:1: not a JSON object: each line needs one of its own, such as {"id": "42"}
    [1]
        items.jsonl:1: not a JSON object: each line needs one of its own, such as {"id": "42"}
    {}
        items.jsonl:1: the object has none of id, instance_id, custom_id, task_id, number; --id-field NAME names another
    {"text": "x"}
        items.jsonl:1: the object has none of id, instance_id, custom_id, task_id, number (it has: text); --id-field NAME names another
    {"id": ""}
        items.jsonl:1: "id" is "": an empty id
    {"id": "a b"}
        items.jsonl:1: "id" is "a b": ' ' is not allowed in an id (letters, digits, '_', '-' and '.' are)
    {"id": "#7"}
        items.jsonl:1: "id" is "#7": '#' is not allowed in an id (letters, digits, '_', '-' and '.' are); write 7
    {"id": -1}
        items.jsonl:1: "id" is neither a string nor a whole number
    {"id": 1.5}
        items.jsonl:1: "id" is neither a string nor a whole number
    {"id": true}
        items.jsonl:1: "id" is neither a string nor a whole number
    {"id": "a", "text": 1}
        items.jsonl:1: "text" is not a string
    {"id": "a", "text": "x\u0000"}
        items.jsonl:1: "text" contains a NUL
    {"id": "a", "timeout": 30}
        items.jsonl:1: "timeout" is not a string such as "30s"
    {"id": "a", "timeout": "30"}
        items.jsonl:1: "timeout": 30 has no unit: write 30s, 30m or 30h
    {"id": "a", "timeout": "0s"}
        items.jsonl:1: "timeout": more than 0 is needed
    {"id": "a", "env": []}
        items.jsonl:1: "env" is not an object of strings
    {"id": "a", "env": {"A": 1}}
        items.jsonl:1: "env": the value of "A" is not a string
    {"id": "a", "env": {"WF_TOKEN": "x"}}
        items.jsonl:1: "env": "WF_TOKEN" belongs to the supervisor, as all names with WF_ do
    {"id": "a", "env": {"A=B": "x"}}
        items.jsonl:1: "env": "A=B" cannot be the name of a variable
    {"id": "a", "env": {"": "x"}}
        items.jsonl:1: "env": "" cannot be the name of a variable
    {"id": "a"} trailing
        items.jsonl:1: not a JSON object (column 13): trailing characters
    "##);
    assert!(json_list(&[b"[".repeat(100_000), b"\n".to_vec()].concat()).is_err());
}

#[test]
fn named_items() {
    let names = |ids: &[&str]| {
        let source = ItemSource::Named(ids.iter().map(|i| (*i).to_owned()).collect());
        load(&source, Reading::default(), Path::new("."), &b""[..]).map(|loaded| loaded.items)
    };
    assert_eq!(ids(&names(&["42", "x"]).unwrap()), ["42", "x"]);
    insta::assert_snapshot!(names(&["", "-rf", "#42", "a/b", "ok", "OK", "ok"]).unwrap_err(), @r##"
    --item "": an empty id
    --item "-rf": an id may not begin with '-'
    --item "#42": '#' is not allowed in an id (letters, digits, '_', '-' and '.' are); write 42
    --item "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
    duplicate id OK: ok differs only in case, and some systems take their files for one
    duplicate id ok
    "##);
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let from = |name: &str, lines: bool| {
        let source = ItemSource::File(PathBuf::from(name));
        let reading = Reading { by_line: lines, ..Reading::default() };
        load(&source, reading, dir.path(), &b""[..])
            .map(|loaded| loaded.items.len())
            .map_err(|e| e.to_string())
    };
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("a.jsonl"), "{\"id\": \"a\"}\n").unwrap();
    fs::write(dir.path().join("b.txt"), "a b\n").unwrap();
    insta::assert_snapshot!(from("missing.txt", false).unwrap_err(), @"the items file missing.txt does not exist");
    insta::assert_snapshot!(from("sub", false).unwrap_err(), @"the list is empty: sub has no items");
    insta::assert_snapshot!(from("a.jsonl", true).unwrap_err(), @"--lines reads text, but a.jsonl has JSON objects with ids of their own");
    assert_eq!((from("a.jsonl", false), from("b.txt", true)), (Ok(1), Ok(1)));
}

#[test]
fn long_lines_and_texts() {
    let mut bytes = vec![b'a'; lines::MAX_LINE_BYTES + 10];
    bytes.extend_from_slice(b"\nok\n");
    insta::assert_snapshot!(text_list(&bytes).unwrap_err(), @"items.txt:1: the line is longer than 16 MiB");

    let long = format!("a {}\nb short\n", "x".repeat(MAX_INLINE_TEXT_BYTES + 1));
    let items = text_list(long.as_bytes()).unwrap();
    assert!(items[0].text_goes_to_file() && !items[1].text_goes_to_file());
    let template = |word: &str| Template::new(&["agent".into(), word.into()]);
    assert_eq!(check_command(&items, &template("{id}")), Ok(()));
    insta::assert_snapshot!(check_command(&items, &template("{}")).unwrap_err(), @"a: its text has 65537 bytes, too long for an argument: use {id} in the command and let it read the file named in WF_ITEM_TEXT_FILE");
    assert!(check_command(&items, &template("none")).is_err());

    let items = text_list(format!("a {}", "x".repeat(60_000)).as_bytes()).unwrap();
    assert_eq!(check_command(&items, &template("{}{}")), Ok(()));
    insta::assert_snapshot!(check_command(&items, &template("{}{}{}")).unwrap_err(), @"a: an argument of the command would be longer than 128 KiB");
}

#[test]
fn a_hundred_thousand_items() {
    let list: String = (1..=100_000).map(|n| format!("item-{n} text {n}\n")).collect();
    let items = text_list(list.as_bytes()).unwrap();
    assert_eq!(items.len(), 100_000);
    assert!(size_of::<ItemSpec>() <= 96, "{}", size_of::<ItemSpec>());
}

#[test]
fn inputs_of_a_pattern() {
    let dir = tempfile::tempdir().unwrap();
    let touch = |path: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    };
    for path in
        ["issues/10.md", "issues/2.md", "issues/a.md", "issues/a b.md", "issues/.hidden.md", "issues/b.txt"]
    {
        touch(path);
    }
    touch("d/x-7/doc-7.md");
    touch("d/x-8/doc-9.md");
    touch("d/x-9");
    fs::create_dir(dir.path().join("issues/dir.md")).unwrap();

    let found = |pattern: &str| Pattern::new(pattern).unwrap().inputs(dir.path(), "").unwrap();
    let (items, warnings) = found("issues/{id}.md");
    assert_eq!(ids(&items), ["2", "10", "a"]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].ends_with(
        "issues/a b.md is left out: ' ' is not allowed in an id (letters, digits, '_', '-' and '.' are)"
    ));
    assert_eq!(ids(&found("d/x-{id}/doc-{id}.md").0), ["7"]);
    assert_eq!(ids(&found("none/{id}.md").0), [""; 0]);
    assert_eq!(Pattern::new("docs/LLD-{id}.md").unwrap().path(&items[0].id), PathBuf::from("docs/LLD-2.md"));
    for (pattern, part) in
        [("issues/all.md", "has no {id}"), ("issues/{id}/", "is a directory"), ("{id}\0", "NUL")]
    {
        assert!(Pattern::new(pattern).unwrap_err().contains(part), "{pattern}");
    }
}

#[test]
fn fingerprints_tell_work_apart() {
    let item = |id: &str, text: Option<&str>, env: &[(&str, &str)]| ItemSpec {
        id: ItemId::new(id).unwrap(),
        text: text.map(Into::into),
        timeout: None,
        env: env.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
    };
    let words = |words: &[&str]| words.iter().map(Into::into).collect::<Vec<std::ffi::OsString>>();
    let base = command_fingerprint(&words(&["a", "b"]), Path::new("/p"), &item("x", None, &[]));
    let others = [
        command_fingerprint(&words(&["ab"]), Path::new("/p"), &item("x", None, &[])),
        command_fingerprint(&words(&["a", "b"]), Path::new("/q"), &item("x", None, &[])),
        command_fingerprint(&words(&["a", "b"]), Path::new("/p"), &item("y", None, &[])),
        command_fingerprint(&words(&["a", "b"]), Path::new("/p"), &item("x", Some("t"), &[])),
        command_fingerprint(&words(&["a", "b"]), Path::new("/p"), &item("x", None, &[("A", "1")])),
        command_fingerprint(&words(&["a", "b"]), Path::new("/p"), &item("x", None, &[("A1", "")])),
        workflow_fingerprint("lld", &[b"input"], &item("x", None, &[])),
        workflow_fingerprint("issue", &[b"input"], &item("x", None, &[])),
        workflow_fingerprint("lld", &[b"inp", b"ut"], &item("x", None, &[])),
    ];
    let all: std::collections::BTreeSet<&String> = others.iter().chain([&base]).collect();
    assert_eq!(all.len(), others.len() + 1);
    let patient = ItemSpec { timeout: Some(Duration::from_secs(1)), ..item("x", None, &[]) };
    assert_eq!(base, command_fingerprint(&words(&["a", "b"]), Path::new("/p"), &patient));
}

proptest! {
    #[test]
    fn any_bytes_give_items_or_sentences(bytes in proptest::collection::vec(any::<u8>(), 0..200), lines: bool) {
        for result in [text::read("x", &bytes[..], lines, "LLD-"), json_lines::read("x", &bytes[..], "", &mut Fields::default())] {
            match result {
                Ok(items) => {
                    prop_assert!(!items.is_empty());
                    let distinct: std::collections::BTreeSet<String> =
                        items.iter().map(|i| i.id.as_str().to_ascii_lowercase()).collect();
                    prop_assert_eq!(distinct.len(), items.len());
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn any_text_has_an_id(text in "\\PC{0,300}") {
        prop_assert_eq!(id_of_text(&text), id_of_text(&text));
    }

    #[test]
    fn lists_are_read_as_written(list in proptest::collection::btree_map("[a-z0-9_][a-z0-9_-]{0,20}", "[a-z{}]{0,5}( [^\\s\0]{1,5}){0,3}", 1..20)) {
        let file: String = list.iter().map(|(id, text)| format!("{id} {text}\r\n")).collect();
        let items = text_list(file.as_bytes()).unwrap();
        let read: Vec<(String, String)> =
            items.iter().map(|i| (i.id.to_string(), i.text.as_deref().unwrap_or("").to_owned())).collect();
        let written: Vec<(String, String)> =
            list.iter().map(|(id, text)| (id.clone(), text.trim_ascii().to_owned())).collect();
        prop_assert_eq!(read, written);
    }
}

/// Reads a file of this name from a directory of its own.
fn from_file(name: &str, bytes: &[u8], reading: Reading<'_>) -> Result<Loaded, ItemsError> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    load(&ItemSource::File(name.into()), reading, dir.path(), &b""[..])
}

/// Items as lines: id and text.
fn told(loaded: &Loaded) -> String {
    let lines =
        loaded.items.iter().map(|item| format!("{}: {}\n", item.id, item.text.as_deref().unwrap_or("-")));
    let notices = loaded.notices.iter().map(|notice| format!("({notice})\n"));
    lines.chain(notices).collect()
}

#[test]
fn lists_as_people_have_them() {
    let read = |name: &str, text: &str| told(&from_file(name, text.as_bytes(), Reading::default()).unwrap());
    insta::assert_snapshot!(read("a.ndjson", "{\"id\":\"astropy__astropy-12907\",\"problem_statement\":\"Fix it\"}\n"), @"
    astropy__astropy-12907: Fix it
    (1 of 1 objects have no `text`: `problem_statement` is taken (--text-field NAME takes another))
    ");
    insta::assert_snapshot!(read("a.json", "[{\"number\": 7, \"title\": \"Crash\", \"body\": \"On start\"}, \"say hello\"]"), @"
    7: Crash

    On start
    say-hello-3cad3da3db: say hello
    (1 of 2 objects have no `text`: `title` with `body` is taken (--text-field NAME takes another))
    (1 of 2 have no id (id, instance_id, custom_id, task_id, number): it is made of the text (--id-field NAME names one))
    ");
    insta::assert_snapshot!(read("a.csv", "\u{feff}ID,Text,timeout\r\n1,\"a, \"\"b\"\"\nc\",\r\n2,d,90s\r\n"), @r#"
    1: a, "b"
    c
    2: d
    "#);
    assert_eq!(read("a.csv", "id;text\n1;a, b\n"), "1: a, b\n");
    insta::assert_snapshot!(read("a.tsv", "id\ttext\n1\tone two\n"), @"1: one two");
    insta::assert_snapshot!(read("a.jsonl", "{\"id\":\"a\",\"prompt\":\"hello\"}\n{\"id\":\"b\",\"instruction\":\"Add\",\"input\":\"1 2\"}\n"), @"
    a: hello
    b: Add

    1 2
    (1 of 2 objects have no `text`: `instruction` with `input` is taken (--text-field NAME takes another))
    (1 of 2 objects have no `text`: `prompt` is taken (--text-field NAME takes another))
    ");
    let named = Reading { id_field: Some("key"), text_field: Some("goal"), ..Reading::default() };
    let list = from_file("a.csv", b"key,goal,prompt\nk1,win,lose\n", named).unwrap();
    assert_eq!(told(&list), "k1: win\n");
    let nul = Reading { by_nul: true, ..Reading::default() };
    let list = from_file("a.txt", b"./a b\0#c\nd\0", nul).unwrap();
    assert_eq!(list.items.iter().map(ItemSpec::text_or_id).collect::<Vec<_>>(), ["./a b", "#c\nd"]);
}

#[test]
fn a_directory_of_files_is_a_list() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("10.md", "ten\n"), ("2.md", "two\n\n"), (".hidden", "x"), ("2.md~", "x")] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    fs::create_dir(dir.path().join("deeper")).unwrap();
    let read = || load(&ItemSource::File(".".into()), Reading::default(), dir.path(), &b""[..]);
    assert_eq!(told(&read().unwrap()), "2: two\n10: ten\n");
    fs::write(dir.path().join("2.txt"), "again").unwrap();
    fs::write(dir.path().join("3.md"), "\n").unwrap();
    nix::unistd::mkfifo(&dir.path().join("4.md"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    insta::assert_snapshot!(read().unwrap_err(), @"
    .: file 2: duplicate id 2 (first in file 1)
    ./3.md: the file is empty
    ./4.md: it is a pipe, not a regular file
    ");
}

#[test]
fn lists_that_cannot_be_meant() {
    let table: &[(&str, &[u8])] = &[
        ("a.csv", b"1,fix it\n2,mend it\n"),
        ("a.csv", b"id:text\n1:a\n"),
        ("a.csv", b"id,text\n1\n1,a,b\n../x,y\n"),
        ("a.csv", b"id,text\n1,\xff\n"),
        ("a.json", b"{\"id\": 1}"),
        ("a.json", b"{\"id\": 1}\n{\"id\": 2}\n"),
        ("a.json", b"[1, {\"id\": \"a/b\"}, {}]"),
        ("a.txt", b"one\rtwo\rthree"),
        ("a.txt", b"a\0b\0"),
        ("a.txt", b"a..b\na.lock\na.\n.a\n"),
    ];
    let refused = table.iter().map(|(name, bytes)| {
        let refused = from_file(name, bytes, Reading::default()).unwrap_err();
        format!(
            "{}\n    {}\n",
            String::from_utf8_lossy(bytes).escape_debug(),
            refused.to_string().replace('\n', "\n    ")
        )
    });
    insta::assert_snapshot!(refused.collect::<String>(), @r#"
    1,fix it\n2,mend it\n
        a.csv:1: the first line must name the columns, such as id,text; it has: 1, fix it. --id-field and --text-field say what other columns are; a list without a header is read from a .txt file
    id:text\n1:a\n
        a.csv:1: the first line must name the columns, such as id,text; it has: id:text. --id-field and --text-field say what other columns are; a list without a header is read from a .txt file
    id,text\n1\n1,a,b\n../x,y\n
        a.csv:2: the line has 1 instead of 2 fields
        a.csv:3: the line has 3 instead of 2 fields
        a.csv:4: "id" is "../x": an id may not begin with '.'
    id,text\n1,�\n
        a.csv:2: the line is not valid UTF-8
    {\"id\": 1}
        a.json: not a list: [{"id": "42", "text": "..."}, ...] is read
    {\"id\": 1}\n{\"id\": 2}\n
        a.json: not JSON: trailing characters at line 2 column 1; a file with an object per line is called .jsonl
    [1, {\"id\": \"a/b\"}, {}]
        a.json: element 1: neither an object nor a text
        a.json: element 2: "id" is "a/b": '/' is not allowed in an id (letters, digits, '_', '-' and '.' are)
        a.json: element 3: the object has none of id, instance_id, custom_id, task_id, number; --id-field NAME names another
    one\rtwo\rthree
        a.txt:1: a carriage return inside the line: if lines end in CR alone, convert the file (tr '\r' '\n')
    a\0b\0
        a.txt:1: the line contains a NUL byte (a list whose items end with NUL is read with -0)
    a..b\na.lock\na.\n.a\n
        a.txt:1: "a..b": an id may not have ".." in it
        a.txt:2: "a.lock": an id may not end in ".lock"
        a.txt:3: "a.": an id may not end in "."
        a.txt:4: ".a": an id may not begin with '.'
        if every line is an item's text, add --lines
    "#);
    let lines = Reading { by_line: true, ..Reading::default() };
    insta::assert_snapshot!(from_file("a.txt", b"a\nsame line\nsame line\n", lines).unwrap_err(), @"a.txt:3: the same line twice (lines 2 and 3): leave one out; --repeat N does every item N times");
    let textless =
        from_file("a.jsonl", b"{\"id\": 1, \"goal\": \"win\"}\n{\"id\": 2}\n", Reading::default()).unwrap();
    insta::assert_snapshot!(textless.textless.unwrap(), @"1 of 2 objects have no `text` (they have: goal): --text-field NAME says which field it is");
    let field = Reading { text_field: Some("goal"), ..Reading::default() };
    insta::assert_snapshot!(from_file("a.jsonl", b"{\"id\": 1}\n", field).unwrap_err(), @r#"a.jsonl:1: there is no field "goal" (--text-field)"#);
    insta::assert_snapshot!(from_file("a.txt", b"1\n", field).unwrap_err(), @"--text-field names a field of .jsonl, .json, .csv and .tsv files, and these items have none");
}
