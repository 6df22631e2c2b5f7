//! The pool as shown, and checks against a provider on loopback.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::thread;

use super::*;
use crate::config::environ::FixedEnviron;
use crate::config::tests::configuration;

const TOML: &str = r#"
[[keys]]
name = "gemini-a"
provider = "gemini"
secret = { env = "KEY_A" }
quota_group = "project-1"
[[keys]]
name = "local"
provider = "local"
secret = { env = "KEY_B" }
max_in_flight = 2
[[keys]]
name = "later"
provider = "openai"
secret = { file = "/no/such/file" }
[quota.project-1]
rpm = 60
tpm = 1_000_000
[quota.project-1.models.big]
rpm = 5
[providers.local]
kind = "openai"
base_url = "http://127.0.0.1:9"
"#;

fn shown(toml: &str, check: Option<Ask<'_>>, json: bool) -> (u8, String) {
    let environ = FixedEnviron::of(&[("KEY_A", "first-secret"), ("KEY_B", "second-secret")]);
    let config = configuration(toml, &environ).unwrap();
    let limited = KeyStanding {
        left_minute: Some(3),
        left_day: Some(1200),
        state: Some("limited".to_owned()),
        until: Some("2026-11-21T05:16:10Z".parse().unwrap()),
    };
    let remembered = BTreeMap::from([("gemini-a".to_owned(), limited)]);
    let standings = Standings { remembered, live: None };
    let mut out = Vec::new();
    let code = keys(&config, &environ, &standings, check, json, &TimeZone::UTC, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("-secret"), "{text}");
    (code, text)
}

#[test]
fn the_pool() {
    insta::assert_snapshot!(shown(TOML, None, false).1, @r"
    NAME      PROVIDER  GROUP      LIMITS                           LEFT/MIN  LEFT/DAY  STATE      UNTIL                 FROM
    gemini-a  gemini    project-1  60 rpm, 1000000 tpm, 1 by model  3         1200      limited    2026-11-21T05:16:10Z  KEY_A
    local     local     its own    learned                          -         -         available  -                     KEY_B
    later     openai    its own    learned                          -         -         absent     -                     /no/such/file
    ");
    insta::assert_snapshot!(shown(TOML, None, true).1, @r#"
    [
      {
        "name": "gemini-a",
        "provider": "gemini",
        "quota_group": "project-1",
        "source": "KEY_A",
        "rpm": 60,
        "tpm": 1000000,
        "rpd": null,
        "models": {
          "big": {
            "rpm": 5,
            "tpm": null,
            "rpd": null
          }
        },
        "max_in_flight": null,
        "left_minute": 3,
        "left_day": 1200,
        "state": "limited",
        "until": "2026-11-21T05:16:10Z"
      },
      {
        "name": "local",
        "provider": "local",
        "quota_group": null,
        "source": "KEY_B",
        "rpm": null,
        "tpm": null,
        "rpd": null,
        "max_in_flight": 2,
        "left_minute": null,
        "left_day": null,
        "state": "available",
        "until": null
      },
      {
        "name": "later",
        "provider": "openai",
        "quota_group": null,
        "source": "/no/such/file",
        "rpm": null,
        "tpm": null,
        "rpd": null,
        "max_in_flight": null,
        "left_minute": null,
        "left_day": null,
        "state": "absent",
        "until": null
      }
    ]
    "#);
    insta::assert_snapshot!(shown("", None, false).1, @"no keys: set GEMINI_API_KEY (GOOGLE_API_KEY), ANTHROPIC_API_KEY or OPENAI_API_KEY, or name keys in wf.toml (wf-supervisor init writes one)");
    assert_eq!(shown("", None, true), (0, "[]\n".to_owned()));
}

#[test]
fn checks() {
    let ask = |_: &PoolSettings, key: &KeyConfig, secret: &Secret| {
        if key.name == "local" {
            Ok(())
        } else {
            Err(format!("the key was refused: {} is bad", secret.expose()))
        }
    };
    let (code, text) = shown(TOML, Some(&ask), false);
    assert_eq!(code, 1);
    insta::assert_snapshot!(text, @r"
    NAME      PROVIDER  GROUP      LIMITS                           LEFT/MIN  LEFT/DAY  STATE      UNTIL                 FROM           CHECK
    gemini-a  gemini    project-1  60 rpm, 1000000 tpm, 1 by model  3         1200      limited    2026-11-21T05:16:10Z  KEY_A          the key was refused: [REDACTED:gemini-a] is bad
    local     local     its own    learned                          -         -         available  -                     KEY_B          ok
    later     openai    its own    learned                          -         -         absent     -                     /no/such/file  /no/such/file: No such file or directory (os error 2)
    ");
    let environ = FixedEnviron::default();
    let empty = configuration("", &environ).unwrap();
    let error =
        keys(&empty, &environ, &Standings::default(), Some(&ask), false, &TimeZone::UTC, &mut Vec::new())
            .unwrap_err();
    assert_eq!(error.code(), 2);
}

/// Answers one request with `reply` and gives back the request's head.
fn provider(reply: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap() == 0 {
                break;
            }
        }
        stream.write_all(reply.as_bytes()).unwrap();
        head
    });
    (url, serve)
}

fn asked(reply: &'static str) -> (Result<(), String>, String) {
    let (url, serve) = provider(reply);
    let environ = FixedEnviron::of(&[("KEY", "first-secret")]);
    let toml = format!(
        "[providers.gemini]\nbase_url = \"{url}\"\n[[keys]]\nname = \"k\"\nprovider = \"gemini\"\nsecret = {{ env = \"KEY\" }}"
    );
    let config = configuration(&toml, &environ).unwrap();
    let (ring, _) = KeyRing::load(&config.pool, &environ).unwrap();
    let result = ask_provider(&config.pool, &config.pool.keys[0], ring.secrets().next().unwrap());
    (result, serve.join().unwrap())
}

#[test]
fn a_good_and_a_bad_key() {
    let (result, head) = asked("HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"models\": []}");
    assert_eq!(result, Ok(()));
    assert!(head.starts_with("GET /v1beta/models HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-goog-api-key: first-secret"));
    assert!(!head.lines().next().unwrap().contains("secret"), "the key is in a header, never in the address");

    let body = r#"{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}"#;
    let reply = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (result, _) = asked(Box::leak(reply.into_boxed_str()));
    assert!(result.unwrap_err().starts_with("the key was refused"));

    let (result, _) =
        asked("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n");
    assert!(result.is_err(), "a redirect is not followed");
    let (result, _) = asked("");
    assert!(result.unwrap_err().starts_with("no answer: "));
}
