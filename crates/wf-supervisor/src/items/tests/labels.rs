//! Ids that a workflow's prefix makes alike: they would share a log, their lines' prefix and their checkpoint.

use super::*;

#[test]
fn ids_that_a_prefix_makes_alike_are_duplicates() {
    let refused = |list: &str, prefix| text::read("items.txt", list.as_bytes(), false, prefix).unwrap_err();
    insta::assert_snapshot!(refused("42\n43\n\nLLD-42\n", "LLD-"), @"items.txt:4: duplicate id LLD-42: 42 (first in line 1) is called LLD-42 as well");
    insta::assert_snapshot!(refused("LLD-a\nA\n", "LLD-"), @"items.txt:2: duplicate id A: LLD-a (first in line 1) is called LLD-A as well");
    insta::assert_snapshot!(refused("LLD-7\nlld-7\n", "LLD-"), @"items.txt:2: duplicate id lld-7: LLD-7 (first in line 1) differs only in case, and some systems take their files for one");

    let json = b"{\"id\": \"ISSUE-1\"}\n{\"id\": 1}\n";
    let error = json_lines::read("items.jsonl", &json[..], "ISSUE-", &mut Fields::default()).unwrap_err();
    insta::assert_snapshot!(error, @"items.jsonl:2: duplicate id 1: ISSUE-1 (first in line 1) is called ISSUE-1 as well");
    let names = ItemSource::Named(vec!["IMPL-x".into(), "x".into()]);
    let error = load(&names, Reading { prefix: "IMPL-", ..Reading::default() }, Path::new("."), &b""[..])
        .unwrap_err();
    insta::assert_snapshot!(error, @"duplicate id x: IMPL-x is called IMPL-x as well");

    let dir = tempfile::tempdir().unwrap();
    for name in ["5.md", "LLD-5.md"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let pattern = Pattern::new("{id}.md").unwrap();
    insta::assert_snapshot!(pattern.inputs(dir.path(), "LLD-").unwrap_err(), @"duplicate id LLD-5: 5 is called LLD-5 as well");
    assert_eq!(ids(&pattern.inputs(dir.path(), "ISSUE-").unwrap().0), ["5", "LLD-5"]);
}

#[test]
fn ids_with_labels_of_their_own_are_all_taken() {
    for (list, prefix) in
        [("42\nLLD-42\n", ""), ("42\nLLD-42\n", "ISSUE-"), ("42\nlld-42\nLLD-LLD-43\n", "LLD-")]
    {
        let items = text::read("items.txt", list.as_bytes(), false, prefix).unwrap();
        assert_eq!(items.len(), list.lines().count(), "{prefix:?}");
    }
}
