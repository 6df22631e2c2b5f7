//! Plans of small projects, from the disk to what `--dry-run` prints.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use wf_core::Outcome;

use super::*;
use crate::cli::{self, GlobalArgs, Verb};
use crate::commands::plan::render;
use crate::config::environ::FixedEnviron;
use crate::config::{Configuration, Project};

#[derive(Default)]
struct FixedPast {
    last: BTreeMap<String, LastWork>,
    ours: BTreeMap<String, String>,
    checkpoints: BTreeMap<String, Checkpoint>,
}

impl Past for FixedPast {
    fn last(&self, id: &ItemId) -> Option<LastWork> {
        self.last.get(id.as_str()).cloned()
    }
    fn output_of_ours(&self, id: &ItemId) -> Option<String> {
        self.ours.get(id.as_str()).cloned()
    }
    fn checkpoint(&self, id: &ItemId) -> Checkpoint {
        self.checkpoints.get(id.as_str()).cloned().unwrap_or(Checkpoint::None)
    }
    fn holder(&self, _: &ItemId) -> Option<Holder> {
        None
    }
}

fn settings(dir: &Path, words: &[&str]) -> Settings {
    let environ = FixedEnviron::of(&[("GEMINI_API_KEY", "gemini-secret")]);
    let global = GlobalArgs { config: None, state_dir: None, verbose: 0, quiet: false, color: None };
    let args: Vec<OsString> = ["wf-supervisor", "run"].iter().chain(words).map(OsString::from).collect();
    let Verb::Run(args) = cli::parse(&args).unwrap().verb else { panic!() };
    let project = Project::locate(&global, &environ, dir).unwrap();
    Configuration::load(project, &environ).unwrap().settings(&args, &environ).unwrap()
}

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn items(ids: &[&str]) -> Vec<ItemSpec> {
    ids.iter().map(|id| ItemSpec::bare(ItemId::new(id).unwrap())).collect()
}

fn text(plan: &Plan, json: bool) -> String {
    let mut out = Vec::new();
    render(plan, json, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(tree(&path));
        }
        all.push(path);
    }
    all.sort();
    all
}

/// The example of the documentation, made real.
fn example(dir: &Path) -> (Settings, FixedPast) {
    for id in 42..=46 {
        write(dir, &format!("issues/{id}.md"), &format!("issue {id}"));
    }
    write(dir, "docs/lld/LLD-45.md", "by hand");
    write(dir, "docs/lld/LLD-46.md", "ours");
    let settings = settings(dir, &["--all", "--dry-run"]);
    let fresh = Plan::make(&settings, items(&["42", "43", "44", "45", "46"]), true, &NoPast);
    let mut past = FixedPast::default();
    let mut did = |id: &str, outcome, fingerprint: &str| {
        let run = "2026-11-21T05-14-49Z-7f3a".to_owned();
        past.last.insert(
            id.to_owned(),
            LastWork { run, outcome: Some(outcome), fingerprint: fingerprint.to_owned(), owes_redo: false },
        );
    };
    did("43", Outcome::Interrupted, &fresh.items[1].fingerprint);
    did("44", Outcome::Approved, "another");
    did("46", Outcome::Approved, &fresh.items[4].fingerprint);
    past.checkpoints.insert("43".to_owned(), Checkpoint::At { node: "N3_review".to_owned(), iteration: 2 });
    past.ours.insert("46".to_owned(), hash_file(&dir.join("docs/lld/LLD-46.md")).unwrap().0);
    (settings, past)
}

#[test]
fn the_example_of_the_documentation() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, past) = example(dir.path());
    let Work::Workflow(workflow) = &settings.work else { panic!() };
    let InputSource::File(pattern) = &workflow.input else { panic!() };
    let before = tree(dir.path());
    let (items, _) = pattern.inputs(&settings.project.dir, "LLD-").unwrap();
    let plan = Plan::make(&settings, items, true, &past);
    insta::assert_snapshot!(text(&plan, false), @r"
    run     42  issues/42.md -> docs/lld/LLD-42.md
    resume  43  at N3_review, iteration 2
    rerun   44  input changed since run 7f3a
    keep    45  docs/lld/LLD-45.md exists and is not ours
    skip    46  done in run 7f3a
    3 to work on, 1 kept, 1 done: at most 60 calls, about 0.9 M tokens
    ");
    insta::assert_snapshot!(text(&plan, true), @r#"
    {
      "items": [
        {
          "id": "42",
          "action": "run",
          "detail": "issues/42.md -> docs/lld/LLD-42.md",
          "node": null,
          "iteration": null,
          "beside": false,
          "last_run": null
        },
        {
          "id": "43",
          "action": "resume",
          "detail": "at N3_review, iteration 2",
          "node": "N3_review",
          "iteration": 2,
          "beside": false,
          "last_run": "2026-11-21T05-14-49Z-7f3a"
        },
        {
          "id": "44",
          "action": "rerun",
          "detail": "input changed since run 7f3a",
          "node": null,
          "iteration": null,
          "beside": false,
          "last_run": "2026-11-21T05-14-49Z-7f3a"
        },
        {
          "id": "45",
          "action": "keep",
          "detail": "docs/lld/LLD-45.md exists and is not ours",
          "node": null,
          "iteration": null,
          "beside": false,
          "last_run": null
        },
        {
          "id": "46",
          "action": "skip",
          "detail": "done in run 7f3a",
          "node": null,
          "iteration": null,
          "beside": false,
          "last_run": "2026-11-21T05-14-49Z-7f3a"
        }
      ],
      "to_work_on": 3,
      "kept": 1,
      "done": 1,
      "needs_revision": 0,
      "cannot_start": 0,
      "calls_at_most": 60,
      "tokens_about": 900000
    }
    "#);
    assert_eq!(plan.nothing_line(workflow, Path::new("/p")), None);
    assert_eq!(plan.done_line().as_deref(), Some("1 of 5 already done in run 7f3a; --redo repeats them"));
    assert_eq!(tree(dir.path()), before, "a plan writes nothing");
}

#[test]
fn inputs_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "issues/1.md", "x");
    fs::create_dir_all(dir.path().join("issues/3.md")).unwrap();
    let settings = settings(dir.path(), &["--item", "x"]);
    let plan = Plan::make(&settings, items(&["1", "2", "3"]), false, &NoPast);
    insta::assert_snapshot!(text(&plan, false), @r"
    run     1  issues/1.md -> docs/lld/LLD-1.md
    fail    2  input issues/2.md not found
    fail    3  input issues/3.md cannot be read: it is a directory
    1 to work on, 2 unable to start: at most 20 calls, about 0.3 M tokens
    ");
    assert!(!plan.all_inputs_unusable());
    assert!(Plan::make(&settings, items(&["2", "3"]), false, &NoPast).all_inputs_unusable());
}

#[test]
fn nothing_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), &["--all"]);
    let Work::Workflow(workflow) = &settings.work else { panic!() };
    let line = |ids: &[&str]| {
        Plan::make(&settings, items(ids), true, &NoPast).nothing_line(workflow, Path::new("/p"))
    };
    insta::assert_snapshot!(line(&[]).unwrap(), @"nothing to do: no file matches issues/{id}.md in /p");
    write(dir.path(), "issues/1.md", "x");
    write(dir.path(), "docs/lld/LLD-1.md", "x");
    insta::assert_snapshot!(line(&["1"]).unwrap(), @"nothing to do: 1 of 1 inputs (issues/{id}.md) have their output");
    write(dir.path(), "issues/2.md", "x");
    assert_eq!(line(&["1", "2"]), None);
}

#[test]
fn commands() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), &["--item", "x", "--", "./agent", "--task", "{}", "{#}"]);
    let mut list = items(&["a", "b"]);
    list[1].text = Some("two words".into());
    let plan = Plan::make(&settings, list, false, &NoPast);
    insta::assert_snapshot!(text(&plan, false), @r"
    run     a  ./agent --task a 1
    run     b  ./agent --task 'two words' 2
    2 to work on
    ");
}

#[test]
fn outputs_of_the_mock_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "issues/1.md", &"x".repeat(100_000));
    write(dir.path(), "docs/lld/LLD-1.md", "by hand");
    let settings = settings(dir.path(), &["--item", "1", "--mock"]);
    let plan = Plan::make(&settings, items(&["1"]), false, &NoPast);
    insta::assert_snapshot!(text(&plan, false), @r"
    run     1  issues/1.md -> .wf/mock/docs/lld/LLD-1.md
    1 to work on: at most 20 calls, about 0.7 M tokens
    ");
}
