//! Where things are found, and what is said about the pool.

use super::*;

#[test]
fn where_things_are() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("repo/.git")).unwrap();
    fs::create_dir_all(root.join("repo/sub/deep")).unwrap();
    let deep = root.join("repo/sub/deep");
    let global = |config: Option<&str>, state: Option<&str>| GlobalArgs {
        config: config.map(PathBuf::from),
        state_dir: state.map(PathBuf::from),
        verbose: 0,
        quiet: false,
        color: None,
    };
    let none = FixedEnviron::default();

    let project = Project::locate(&global(None, None), &none, &deep).unwrap();
    assert_eq!(
        (&project.dir, &project.state_dir, &project.config_file),
        (&deep, &root.join("repo/.wf"), &None)
    );
    let project = Project::locate(&global(None, None), &none, root).unwrap();
    assert_eq!(project.state_dir, root.join(".wf"));

    fs::write(root.join("repo/sub/wf.toml"), "").unwrap();
    let project = Project::locate(&global(None, None), &none, &deep).unwrap();
    assert_eq!((&project.dir, &project.state_dir), (&root.join("repo/sub"), &root.join("repo/sub/.wf")));
    assert_eq!(project.shown(&deep.join("x")), "x");

    let project = Project::locate(&global(None, Some("state")), &none, &deep).unwrap();
    assert_eq!(project.state_dir, deep.join("state"));
    let environ =
        FixedEnviron::of(&[("WF_SUPERVISOR_CONFIG", "../wf.toml"), ("WF_SUPERVISOR_STATE_DIR", "/s")]);
    let project = Project::locate(&global(None, None), &environ, &deep).unwrap();
    assert_eq!(
        (project.config_file, project.state_dir),
        (Some(deep.join("../wf.toml")), PathBuf::from("/s"))
    );
    let error = Project::locate(&global(Some("no.toml"), None), &none, &deep).unwrap_err();
    assert!(error.to_string().ends_with("no.toml does not exist"));
}

#[test]
fn warnings_about_the_pool() {
    let text = "[quota.idle]\nrpm = 3\n[providers.far]\nkind = \"openai\"\nbase_url = \"http://example.com\"\nallow_http = true";
    insta::assert_snapshot!(settings(text, &[], &["--", "true"]).unwrap().warnings.join("\n"), @r#"
    no key is in the quota group "idle" of wf.toml
    keys and documents travel to http://example.com without encryption (provider "far")
    "#);
    for (url, loopback) in [
        ("localhost:1/x", true),
        ("127.0.0.1", true),
        ("[::1]:80", true),
        ("10.0.0.1", false),
        ("localhost.evil", false),
    ] {
        assert_eq!(is_loopback(url), loopback, "{url}");
    }
}
