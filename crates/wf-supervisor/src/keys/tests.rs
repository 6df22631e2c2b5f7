//! Where secrets come from, what is refused, and what workers do not get.

#![expect(clippy::format_collect, reason = "tables of a few lines")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::environment::{removal_notice, removed_variables};
use super::*;
use crate::config::environ::FixedEnviron;

fn variable(name: &str) -> SecretSource {
    SecretSource::Variable { name: name.to_owned(), part: None }
}

fn key(name: &str, source: SecretSource) -> KeyConfig {
    KeyConfig {
        name: name.to_owned(),
        provider: "gemini".to_owned(),
        source,
        quota_group: None,
        max_in_flight: None,
    }
}

fn pool(keys: Vec<KeyConfig>) -> PoolSettings {
    PoolSettings { keys, ..PoolSettings::default() }
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn names(removed: &[OsString]) -> Vec<&str> {
    removed.iter().map(|n| n.to_str().unwrap()).collect()
}

#[test]
fn keys_without_configuration() {
    let environ = FixedEnviron::of(&[
        ("GEMINI_API_KEY", "first-secret, second-secret ,,"),
        ("GOOGLE_API_KEY", "not-used-here"),
        ("OPENAI_API_KEY", "openai-secret"),
        ("ANTHROPIC_API_KEY", ""),
    ]);
    let keys = default_keys(&environ);
    let shown: Vec<&str> = keys.iter().map(|k| k.name.as_str()).collect();
    assert_eq!(shown, ["gemini-1", "gemini-2", "openai"]);
    let (ring, warnings) = KeyRing::load(&pool(keys), &environ).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(ring.secret(KeyIndex(1)).unwrap().expose(), "second-secret");
    assert!(ring.has("openai") && !ring.has("anthropic"));
    assert_eq!(ring.require(&["gemini", "openai"]).map_err(|e| e.to_string()), Ok(()));

    let google =
        default_keys(&FixedEnviron::of(&[("GOOGLE_API_KEY", "google-secret"), ("GEMINI_API_KEY", " , ")]));
    assert_eq!((google[0].name.as_str(), google[0].source.words()), ("gemini", "GOOGLE_API_KEY".to_owned()));
}

#[test]
fn no_key() {
    let (ring, _) = KeyRing::load(&pool(vec![]), &FixedEnviron::default()).unwrap();
    insta::assert_snapshot!(ring.require(&["gemini"]).unwrap_err(), @r"
    there is no API key
    Set GEMINI_API_KEY (or GOOGLE_API_KEY), ANTHROPIC_API_KEY or OPENAI_API_KEY, or name keys in wf.toml ('wf-supervisor init' writes one), or try --mock, which needs none.
    ");
    let keys = vec![key("a", variable("UNSET")), key("b", SecretSource::File("/no/such/file".into()))];
    let (ring, warnings) = KeyRing::load(&pool(keys), &FixedEnviron::default()).unwrap();
    insta::assert_snapshot!(warnings.join("\n"), @r"
    key a is not usable: the variable UNSET is not set
    key b is not usable: /no/such/file: No such file or directory (os error 2)
    ");
    insta::assert_snapshot!(ring.require(&["gemini"]).unwrap_err(), @r"
    there is no API key
      a: the variable UNSET is not set
      b: /no/such/file: No such file or directory (os error 2)
    Set GEMINI_API_KEY (or GOOGLE_API_KEY), ANTHROPIC_API_KEY or OPENAI_API_KEY, or name keys in wf.toml ('wf-supervisor init' writes one), or try --mock, which needs none.
    ");
}

#[test]
fn secrets_that_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("open");
    write(&open, "a-good-secret\n", 0o640);
    let file = |text: &str| {
        let path = dir.path().join("file");
        write(&path, text, 0o600);
        SecretSource::File(path)
    };
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let environ = FixedEnviron::of(&[
        ("SHORT", "1234567"),
        ("COMMA", "first-secret,second-secret"),
        ("CONTROL", "secret\u{7}secret"),
        ("SPACE", " secret-secret"),
        ("ACCENT", "sécret-secret"),
    ]);
    let sources = [
        variable("SHORT"),
        variable("COMMA"),
        variable("CONTROL"),
        variable("SPACE"),
        variable("ACCENT"),
        SecretSource::File(open),
        SecretSource::File(dir.path().to_owned()),
        SecretSource::File(pipe),
        file("two-lines\nsecond-line\n"),
        SecretSource::Command(vec!["sh".into(), "-c".into(), "head -c 20000 /dev/zero | tr '\\0' x".into()]),
    ];
    let shown: String = sources
        .into_iter()
        .map(|source| {
            let error = KeyRing::load(&pool(vec![key("k", source)]), &environ).unwrap_err();
            assert_eq!(error.code(), 2);
            let text = error.to_string();
            assert!(
                !text.contains("1234567") && !text.contains("second") && !text.contains("secret-secret"),
                "{text}"
            );
            format!("{}\n", text.replace(&dir.path().display().to_string(), "DIR"))
        })
        .collect();
    insta::assert_snapshot!(shown, @r"
    key k: the secret is shorter than 8 bytes (from SHORT)
    key k: the variable COMMA holds a comma; give each of several keys a variable of its own
    key k: the secret contains control characters (from CONTROL)
    key k: the secret has characters around or in it that no HTTP header takes (from SPACE)
    key k: the secret has characters around or in it that no HTTP header takes (from ACCENT)
    key k: DIR/open has mode 0640, others may read it: chmod 600 DIR/open
    key k: DIR: it is a directory
    key k: DIR/pipe: it is a pipe, not a regular file
    key k: the secret has more than one line (from DIR/file)
    key k: the secret is longer than 16 KiB (from sh -c 'head -c 20000 /dev/zero | tr '\''\0'\'' x')
    ");
}

#[test]
fn files_and_commands() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    write(&path, "file-secret\r\n", 0o400);
    let keys = vec![
        key("file", SecretSource::File(path)),
        key("command", SecretSource::Command(vec!["printf".into(), "%s\\n".into(), "command-secret".into()])),
        key(
            "failing",
            SecretSource::Command(vec!["sh".into(), "-c".into(), "echo half-secret; exit 3".into()]),
        ),
        key("missing", SecretSource::Command(vec!["/no/such/program".into()])),
        key("twin", variable("TWIN")),
    ];
    let environ = FixedEnviron::of(&[("TWIN", "file-secret")]);
    let (ring, warnings) = KeyRing::load(&pool(keys), &environ).unwrap();
    let secrets: Vec<&str> = ring.secrets().map(Secret::expose).collect();
    assert_eq!(secrets, ["file-secret", "command-secret"]);
    insta::assert_snapshot!(warnings.join("\n"), @r#"
    key failing is not usable: the command "sh" failed (exit status: 3)
    key missing is not usable: the command "/no/such/program" could not be started: No such file or directory (os error 2)
    key twin is not used: it has the same secret as file
    "#);
    assert_eq!(format!("{:?}", ring.secrets().next().unwrap()), "Secret(file)");
    assert!(!format!("{ring:?}").contains("file-secret"));
}

#[test]
fn a_command_that_hangs_is_given_up() {
    let source = SecretSource::Command(vec!["sleep".into(), "600".into()]);
    let result = source.read(&FixedEnviron::default(), Duration::from_millis(50));
    assert_eq!(result, Err(SourceError::Absent("the command \"sleep\" did not finish within 50ms".into())));
}

#[test]
fn a_waiting_run_gets_new_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    write(&path("a"), "first-secret", 0o600);
    write(&path("d"), "stays-secret", 0o600);
    let keys = vec![
        key("a", SecretSource::File(path("a"))),
        key("b", SecretSource::File(path("b"))),
        key("c", variable("C")),
        key("d", SecretSource::File(path("d"))),
    ];
    let environ = FixedEnviron::of(&[("C", "from-environment")]);
    let (mut ring, _) = KeyRing::load(&pool(keys), &environ).unwrap();
    let wiped = FixedEnviron::default();
    let births = tokio::sync::Mutex::default();
    assert_eq!(ring.reload(&wiped, COMMAND_TIME, &births), []);

    write(&path("a"), "second-secret", 0o600);
    write(&path("b"), "brand-new-secret", 0o600);
    fs::remove_file(path("d")).unwrap();
    let changes = ring.reload(&wiped, COMMAND_TIME, &births);
    let [
        KeyChange::Changed(KeyIndex(0)),
        KeyChange::Appeared(KeyIndex(1)),
        KeyChange::Refused(KeyIndex(3), why),
    ] = &changes[..]
    else {
        panic!("{changes:?}")
    };
    assert!(why.contains("No such file"), "{why}");
    assert_eq!(ring.reload(&wiped, COMMAND_TIME, &births), [], "a fault is told once, while it lasts");
    let secrets: Vec<&str> = ring.secrets().map(Secret::expose).collect();
    assert_eq!(secrets, ["second-secret", "brand-new-secret", "from-environment", "stays-secret"]);

    write(&path("a"), "second-secret", 0o644);
    write(&path("b"), "short", 0o600);
    let changes = ring.reload(&wiped, COMMAND_TIME, &births);
    assert!(matches!(&changes[..], [KeyChange::Refused(KeyIndex(0), _), KeyChange::Refused(KeyIndex(1), _)]));
    assert_eq!(ring.secrets().count(), 4);
    write(&path("a"), "second-secret", 0o600);
    assert_eq!(ring.reload(&wiped, COMMAND_TIME, &births), []);
    write(&path("a"), "second-secret", 0o644);
    assert_eq!(ring.reload(&wiped, COMMAND_TIME, &births).len(), 1, "a new fault is a new episode");
}

#[test]
fn usable_keys_come_first_and_a_key_that_appears_takes_the_next_number() {
    let config = |name: &str| KeyConfig {
        name: name.into(),
        provider: "gemini".into(),
        source: SecretSource::File("/nowhere".into()),
        quota_group: None,
        max_in_flight: None,
    };
    let secret =
        |name: &str| Secret::new(name, zeroize::Zeroizing::new(format!("secret-of-{name}"))).unwrap();
    let mut ring = KeyRing {
        entries: [("a", false), ("b", true), ("c", false), ("d", true)]
            .map(|(name, has)| Entry {
                is_faulty: false,
                config: config(name),
                secret: if has { Ok(secret(name)) } else { Err("not there".into()) },
            })
            .to_vec(),
    };
    let names = |specs: Vec<KeySpec>| specs.into_iter().map(|spec| spec.name).collect::<Vec<_>>();
    ring.number_usable_first();
    assert_eq!(names(ring.specs()), ["b", "d"]);
    // The reading finds them where they are now: b, d, a, c.
    ring.entries[3].secret = Ok(secret("c"));
    ring.entries[0].secret = Ok(Secret::new("b", zeroize::Zeroizing::new("another-secret".into())).unwrap());
    let changes = [KeyChange::Changed(KeyIndex(0)), KeyChange::Appeared(KeyIndex(3))];
    assert_eq!(names(ring.take_changes(&changes, 2)), ["b", "c"]);
    assert_eq!(names(ring.specs()), ["b", "d", "c"]);
    assert_eq!(ring.secret(KeyIndex(2)).unwrap().expose(), "secret-of-c");
}

#[test]
fn what_workers_do_not_get() {
    let environ = FixedEnviron::of(&[
        ("GEMINI_API_KEY", "first-secret,second-secret"),
        ("GOOGLE_API_KEY", "x"),
        ("MY_KEY", "configured-secret"),
        ("COPY", "prefix configured-secret suffix"),
        ("URL", "https://h/?key=second-secret"),
        ("FROM_FILE", "Bearer file-secret"),
        ("PATH", "/bin"),
        ("X", "x"),
    ]);
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("key"), "file-secret", 0o600);
    let pool = pool(vec![key("m", variable("MY_KEY")), key("f", SecretSource::File(dir.path().join("key")))]);
    let (ring, _) = KeyRing::load(&pool, &environ).unwrap();
    let removed = removed_variables(&environ, &pool, &ring, &[]);
    assert_eq!(names(&removed), ["COPY", "FROM_FILE", "GEMINI_API_KEY", "GOOGLE_API_KEY", "MY_KEY", "URL"]);
    let removed = removed_variables(&environ, &pool, &ring, &["MY_KEY".into(), "URL".into()]);
    assert_eq!(names(&removed), ["COPY", "FROM_FILE", "GEMINI_API_KEY", "GOOGLE_API_KEY"]);
    insta::assert_snapshot!(removal_notice(&removed).unwrap(), @"removed from the commands' environment: COPY, FROM_FILE, GEMINI_API_KEY, GOOGLE_API_KEY (--with-key PROVIDER leases a key per attempt, --pass-env NAME keeps a variable)");
    assert_eq!(removal_notice(&[]), None);
    // Without reading a single source, as in a mock run.
    let removed = removed_variables(&environ, &pool, &KeyRing::default(), &[]);
    assert_eq!(names(&removed), ["COPY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "MY_KEY", "URL"]);
}

proptest! {
    #[test]
    fn no_message_repeats_a_secret(text in "\\PC{0,40}") {
        if let Err(why) = Secret::new("k", Zeroizing::new(text.clone())) {
            prop_assert!(text.len() < 6 || !why.contains(&text));
        }
    }
}
