//! The network: one HTTP request, bounded in time and size, abandoned within a moment of a stop request.

use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ureq::{Agent, Proxy};
use wf_protocol::Secret;
use wf_providers::{Dialect, Prompt, Refusal, Reply, Request, build_request, clean_message, read_reply};

use crate::job::Role;
use crate::llm::{Sent, Wire};
use crate::stop::{Raced, Stop};

/// Most bytes of a reply, after decompression.
const BODY_BYTES: u64 = 32 * 1024 * 1024;

/// How long connecting may take, TLS included.
const CONNECT: Duration = Duration::from_secs(15);

/// What a call is given beyond its limit before its thread counts as stuck: the limit itself is ureq's to keep.
const SLACK: Duration = Duration::from_secs(2);

/// Sends over `ureq`. Connections are kept between calls.
pub struct Http {
    agent: Agent,
    stop: Stop,
}

impl Http {
    /// Sends until `stop`.
    pub fn new(stop: Stop) -> Http {
        let config = Agent::config_builder()
            // Refusals are for the classifier, and a redirect would carry the key to wherever it points.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .user_agent(concat!("wf-worker/", env!("CARGO_PKG_VERSION")))
            .build();
        Http { agent: config.new_agent(), stop }
    }
}

impl Wire for Http {
    fn send(&self, role: &Role, prompt: &Prompt, secret: &Secret, limit: Duration) -> Sent {
        let dialect: Dialect = match role.kind.parse() {
            Ok(dialect) => dialect,
            Err(unknown) => return refused(Refusal::RequestRefused { detail: format!("{unknown}") }),
        };
        let request = build_request(dialect, &role.base_url, &role.model, secret.expose(), prompt);
        let agent = self.agent.clone();
        match self.stop.race(limit + SLACK, move || exchange(&agent, &request, limit)) {
            Ok(Raced::Done(Ok(raw))) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Sent::Replied(read_reply(dialect, raw.status, &raw.headers, &raw.body, now))
            }
            Ok(Raced::Done(Err(refusal))) => refused(refusal),
            Ok(Raced::Stopped(cause)) => Sent::Abandoned(cause),
            Ok(Raced::TimedOut) => refused(timed_out(limit)),
            Err(error) => refused(Refusal::Transient { detail: format!("no thread for the call: {error}") }),
        }
    }
}

fn refused(refusal: Refusal) -> Sent {
    Sent::Replied(Reply::Refused(refusal))
}

fn timed_out(limit: Duration) -> Refusal {
    Refusal::Transient { detail: format!("no complete reply within {} s", limit.as_secs_f32()) }
}

struct Raw {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn exchange(agent: &Agent, request: &Request, limit: Duration) -> Result<Raw, Refusal> {
    let faulty = |error: &ureq::Error| fault(error, limit);
    // The environment's proxy is for TLS alone: through its tunnel it sees the host's name and no key.
    let proxy = if request.url.starts_with("https://") { Proxy::try_from_env() } else { None };
    let mut call = agent.post(&request.url).config().timeout_global(Some(limit)).proxy(proxy).build();
    for (name, value) in &request.headers {
        call = call.header(*name, value);
    }
    let response = call.send(request.body.as_bytes()).map_err(|e| faulty(&e))?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let mut body = Vec::new();
    let mut reader = response.into_body().into_reader().take(BODY_BYTES + 1);
    if let Err(error) = reader.read_to_end(&mut body) {
        return Err(faulty(&ureq::Error::from(error)));
    }
    if body.len() as u64 > BODY_BYTES {
        // Asking again would bring the same flood.
        return Err(Refusal::RequestRefused {
            detail: format!("the reply is larger than {BODY_BYTES} bytes"),
        });
    }
    Ok(Raw { status, headers, body })
}

/// A call that brought no reply. Most causes pass; those that lie in the request do not.
fn fault(error: &ureq::Error, limit: Duration) -> Refusal {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Global | ureq::Timeout::PerCall) => timed_out(limit),
        ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::InvalidProxyUrl
        | ureq::Error::LargeResponseHeader(..) => {
            Refusal::RequestRefused { detail: clean_message(&error.to_string()) }
        }
        other => Refusal::Transient { detail: clean_message(&other.to_string()) },
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::stop::Cause;

    const LONG: Duration = Duration::from_secs(60);

    /// A server that answers one request with these bytes, and what it was sent.
    fn server(answer: impl FnOnce(TcpStream) + Send + 'static) -> (Role, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while reader.read_line(&mut head).unwrap() > 2 {}
            let length = head.to_lowercase();
            let length: usize =
                length.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let _ = tell.send(head + &String::from_utf8(body).unwrap());
            answer(stream);
        });
        let role = Role {
            provider: "p".into(),
            kind: "gemini".into(),
            model: "m".into(),
            base_url,
            max_output_tokens: 9,
        };
        (role, told)
    }

    fn send(role: &Role, stop: &Stop, limit: Duration) -> Sent {
        Http::new(stop.clone()).send(role, &Prompt::ask("s", "u", 9), &"sesame-sesame".into(), limit)
    }

    fn write(bytes: &str) -> impl FnOnce(TcpStream) + Send + 'static {
        let bytes = bytes.to_owned();
        move |mut stream: TcpStream| {
            let _ = stream.write_all(bytes.as_bytes());
        }
    }

    #[test]
    fn an_answer_comes_back_and_the_key_is_in_its_header() {
        let body = r#"{"candidates":[{"content":{"parts":[{"text":"hello"}]},"finishReason":"STOP"}]}"#;
        let (role, told) =
            server(write(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())));
        let Sent::Replied(Reply::Answer(answer)) = send(&role, &Stop::new(), LONG) else { panic!() };
        assert_eq!(answer.text, "hello");
        let sent = told.recv().unwrap();
        assert!(sent.starts_with("POST /v1beta/models/m:generateContent HTTP/1.1\r\n"), "{sent}");
        assert!(sent.contains("x-goog-api-key: sesame-sesame\r\n"), "{sent}");
    }

    #[test]
    fn refusals_and_faults_are_told_apart() {
        for (answer, transient) in [
            ("HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n", false),
            ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ncut", true),
            ("nonsense\r\n\r\n", true),
            ("", true),
        ] {
            let (role, _told) = server(write(answer));
            let sent = send(&role, &Stop::new(), LONG);
            let Sent::Replied(Reply::Refused(refusal)) = sent else { panic!("{answer}: {sent:?}") };
            assert_eq!(matches!(refusal, Refusal::Transient { .. }), transient, "{answer}: {refusal:?}");
        }
        let (role, _told) =
            server(write("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"));
        assert!(
            matches!(send(&role, &Stop::new(), LONG), Sent::Replied(Reply::Refused(_))),
            "no redirect is followed"
        );
    }

    #[test]
    fn nobody_there_bad_addresses_and_unknown_kinds_are_refusals() {
        let role = |base_url: &str, kind: &str| Role {
            provider: "p".into(),
            kind: kind.into(),
            model: "m".into(),
            base_url: base_url.into(),
            max_output_tokens: 9,
        };
        for (role, transient) in [
            (role("http://127.0.0.1:1", "gemini"), true),
            (role("http://[nonsense", "gemini"), false),
            (role("http://127.0.0.1:1", "cohere"), false),
        ] {
            let sent = send(&role, &Stop::new(), LONG);
            let Sent::Replied(Reply::Refused(refusal)) = sent else { panic!("{sent:?}") };
            assert_eq!(matches!(refusal, Refusal::Transient { .. }), transient, "{refusal:?}");
        }
    }

    #[test]
    fn a_silent_server_is_left_at_the_limit_and_at_a_stop_request() {
        let (role, _told) = server(|stream| {
            thread::park_timeout(LONG);
            drop(stream);
        });
        let sent = send(&role, &Stop::new(), Duration::from_millis(50));
        let Sent::Replied(Reply::Refused(Refusal::Transient { detail })) = sent else { panic!("{sent:?}") };
        assert!(detail.contains("no complete reply"), "{detail}");

        let stop = Stop::new();
        let asker = stop.clone();
        let (role, _told) = server(move |stream| {
            asker.request(Cause::Signal);
            thread::park_timeout(LONG);
            drop(stream);
        });
        assert_eq!(send(&role, &stop, LONG), Sent::Abandoned(Cause::Signal));
    }

    #[test]
    fn a_flood_is_cut_off() {
        let (role, _told) = server(|mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n");
            while stream.write_all(&[b' '; 8192]).is_ok() {}
        });
        let sent = send(&role, &Stop::new(), LONG);
        let Sent::Replied(Reply::Refused(Refusal::RequestRefused { detail })) = sent else {
            panic!("{sent:?}")
        };
        assert!(detail.contains("larger than"), "{detail}");
    }
}
