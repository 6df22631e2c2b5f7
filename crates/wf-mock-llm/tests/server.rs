//! A client's view of the running server: real HTTP over loopback, read by the classifier that workers use.

#![expect(clippy::unwrap_used, reason = "clippy excepts test functions only, not what they share")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use wf_mock_llm::{Control, Counters, Fault, Fixtures, Limits, MockConfig, MockServer, Script, Window};
use wf_providers::{
    Answer, Delivery, Dialect, Dimension, End, Incoming, Prompt, Refusal, Reply, Request, build_key_check,
    build_request,
};

/// Long enough for a crowded machine; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

struct Client {
    agent: ureq::Agent,
    base_url: String,
    secret: String,
    dialect: Dialect,
    delivery: Delivery,
}

/// What came back, or why nothing did.
type Sent = Result<(u16, Vec<(String, String)>, Vec<u8>), String>;

impl Client {
    fn new(server: &MockServer, dialect: Dialect) -> Client {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Client {
            agent: config.into(),
            base_url: server.base_url(),
            secret: server.keys()[0].secret.clone(),
            dialect,
            delivery: Delivery::Whole,
        }
    }

    fn send(&self, request: &Request) -> Sent {
        let mut builder = ureq::http::Request::builder().method(request.method).uri(&request.url);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let response = self.agent.run(builder.body(request.body.clone()).map_err(|e| e.to_string())?);
        let mut response = response.map_err(|e| e.to_string())?;
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
        let (status, headers) = (response.status().as_u16(), headers.collect());
        let body = response.body_mut().read_to_vec().map_err(|e| e.to_string())?;
        Ok((status, headers, body))
    }

    fn request(&self, prompt: &Prompt) -> Request {
        build_request(self.dialect, &self.base_url, "mock-1", &self.secret, prompt, self.delivery)
    }

    /// Asks, and reads the reply as a worker does.
    fn ask(&self, prompt: &Prompt) -> Reply {
        let (status, headers, body) = self.send(&self.request(prompt)).expect("a reply");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut incoming = Incoming::new(self.dialect, status, headers);
        incoming.push(&body);
        incoming.finish(End::AsAnnounced, now)
    }

    fn answer(&self, prompt: &Prompt) -> Answer {
        match self.ask(prompt) {
            Reply::Answer(answer) => answer,
            Reply::Refused(refusal) => panic!("refused: {refusal:?}"),
        }
    }

    fn refusal(&self, prompt: &Prompt) -> Refusal {
        match self.ask(prompt) {
            Reply::Refused(refusal) => refusal,
            Reply::Answer(answer) => panic!("answered: {answer:?}"),
        }
    }

    fn http(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base_url));
        let mut response = self.agent.run(request.body(body.to_owned()).unwrap()).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }
}

fn start(change: impl FnOnce(&mut MockConfig)) -> MockServer {
    let mut config = MockConfig::default();
    change(&mut config);
    MockServer::start(config).expect("a server on a free port")
}

fn hello(n: u32) -> Prompt {
    Prompt::ask("Be brief.", format!("Hello {n}"), 100)
}

fn node(node: &str, iteration: u32, text: &str) -> Prompt {
    let system = format!("You help.\n\nwf-context: workflow=lld node={node} iteration={iteration} item=42");
    Prompt::ask(system, text, 8_000)
}

#[test]
fn every_dialect_answers_on_the_same_port() {
    let server = start(|config| config.limits = Limits { rpm: Some(100), tpm: Some(100_000), rpd: None });
    for dialect in Dialect::ALL {
        let client = Client::new(&server, dialect);
        let answer = client.answer(&hello(1));
        assert!(answer.text.contains("a prompt of 2 words"), "{}", answer.text);
        assert!(answer.tokens_in > 0 && answer.tokens_out > 0 && !answer.truncated);
        assert_eq!(answer.hints.len(), if dialect == Dialect::Gemini { 0 } else { 2 });

        let check = client.send(&build_key_check(dialect, &server.base_url(), &client.secret)).unwrap();
        assert_eq!(wf_providers::read_key_check(dialect, check.0, &check.1, &check.2, Duration::ZERO), None);
        let bad = client.send(&build_key_check(dialect, &server.base_url(), "nobody's")).unwrap();
        let bad = wf_providers::read_key_check(dialect, bad.0, &bad.1, &bad.2, Duration::ZERO);
        assert!(matches!(bad, Some(Refusal::KeyRefused { .. })), "{bad:?}");
    }
    let counters = server.counters();
    assert_eq!((counters.total.calls, counters.total.ok, counters.key_checks), (3, 3, 6));
    assert_eq!((counters.prompts, counters.duplicates), (1, 2), "the same prompt in three dialects");
}

#[test]
fn an_item_goes_through_draft_and_review_until_it_is_approved() {
    let server = start(|_| ());
    let client = Client::new(&server, Dialect::Gemini);
    let input = "<input id=\"42\">\n# Retry uploads\n<!-- mock: approve@3 -->\n</input>";
    let mut document = client.answer(&node("N1_draft", 1, input)).text;
    for iteration in 1..=3 {
        assert!(document.contains("# LLD-42: Retry uploads"), "{document}");
        let asked = format!("{input}\n<document>\n{document}\n</document>");
        let review = client.answer(&node("N3_review", iteration, &asked)).text;
        assert_eq!(review.contains("[x] **APPROVED**"), iteration == 3, "{review}");
        let next = client.answer(&node("N1_draft", iteration + 1, &asked)).text;
        assert_ne!(next, document);
        document = next;
    }
    let counters = server.counters();
    assert_eq!(counters.duplicates, 0);
    assert_eq!(counters.answered["lld/N3_review/2/42"], 1);
}

#[test]
fn limits_are_refused_and_counted_and_end() {
    let server = start(|config| {
        config.limits.rpm = Some(2);
        config.window = Window::Sliding;
        // A minute is 60 ms, so that waiting it out costs nothing.
        config.time_scale = 1_000.0;
    });
    for (n, dialect) in (0..).zip(Dialect::ALL) {
        let mut client = Client::new(&server, dialect);
        let (mut refused, mut answered) = (0, 0);
        // A crowded machine may take longer than a minute between two calls; the limit is met sooner or later.
        for attempt in 0..10_000 {
            client.secret = server.keys()[attempt % 2 * 2].secret.clone();
            match client.ask(&hello(n * 100_000 + attempt as u32)) {
                Reply::Answer(_) => answered += 1,
                Reply::Refused(Refusal::Limited { dimension, retry_after, limit, .. }) => {
                    assert_eq!((dimension, limit), (Some(Dimension::RequestsPerMinute), Some(2)));
                    let wait = retry_after.expect("a hint");
                    assert!(wait <= Duration::from_millis(61), "{wait:?}");
                    refused += 1;
                    thread::sleep(wait);
                }
                Reply::Refused(other) => panic!("{other:?}"),
            }
            if refused > 2 && answered > 4 {
                break;
            }
        }
        assert!(refused > 2 && answered > 4, "{dialect}: {refused} refused, {answered} answered");
    }
    let counters = server.counters();
    assert_eq!(counters.total.calls, counters.total.ok + counters.total.limited);
    assert_eq!(counters.groups["mock-1"].minute_max, 2);
    assert_eq!(counters.groups["mock-2"].tally.calls, 0);
}

#[test]
fn a_revoked_key_is_refused_and_its_neighbour_is_not() {
    let server = start(|_| ());
    let mut client = Client::new(&server, Dialect::Gemini);
    client.answer(&hello(1));
    server.control(&Control { revoke: vec!["mock-a".into()], ..Control::default() }).unwrap();
    let refusal = client.refusal(&hello(1));
    assert!(matches!(&refusal, Refusal::KeyRefused { detail } if detail.contains("HTTP 400")), "{refusal:?}");
    client.secret = server.keys()[1].secret.clone();
    client.answer(&hello(2));
    assert_eq!(server.counters().keys["mock-a"].refused, 1);
}

#[test]
fn faults_on_request() {
    let server = start(|_| ());
    for dialect in Dialect::ALL {
        let client = Client::new(&server, dialect);
        let next = vec![Fault::Overloaded, Fault::Failed, Fault::Limited, Fault::NoCredit, Fault::KeyRefused];
        server.control(&Control { next, ..Control::default() }).unwrap();
        assert!(matches!(client.refusal(&hello(1)), Refusal::Overloaded { .. }));
        assert!(matches!(client.refusal(&hello(1)), Refusal::Transient { .. }));
        assert!(matches!(client.refusal(&hello(1)), Refusal::Limited { retry_after: Some(_), .. }));
        assert!(matches!(client.refusal(&hello(1)), Refusal::Billing { .. }));
        assert!(matches!(client.refusal(&hello(1)), Refusal::KeyRefused { .. }));
        client.answer(&hello(1));
    }
}

#[test]
fn cut_and_dropped_replies_are_errors_and_slow_ones_arrive() {
    let server = start(|_| ());
    let client = Client::new(&server, Dialect::Gemini);
    let draft = node("N1_draft", 1, "# Retry");
    let whole = client.answer(&draft).text;
    server
        .control(&Control { next: vec![Fault::Cut, Fault::Dropped, Fault::Slow], ..Control::default() })
        .unwrap();
    let cut = client.send(&client.request(&draft));
    assert!(cut.is_err(), "{cut:?}");
    let dropped = client.send(&client.request(&draft));
    assert!(dropped.is_err(), "{dropped:?}");
    assert_eq!(client.answer(&draft).text, whole);
    assert!(server.wait_for(PATIENCE, |counters| counters.total.in_flight == 0));
    let counters = server.counters();
    assert_eq!((counters.total.ok, counters.total.errors, counters.duplicates), (2, 2, 1));
}

#[test]
fn streams_arrive_whole_slowly_cut_or_with_an_error_inside() {
    let server = start(|_| ());
    for dialect in Dialect::ALL {
        let mut client = Client::new(&server, dialect);
        let draft = node("N1_draft", 1, "# Retry");
        let whole = client.answer(&draft);
        client.delivery = Delivery::Streamed;
        let next = vec![Fault::None, Fault::Slow, Fault::Cut, Fault::Dropped, Fault::ErrorInside];
        server.control(&Control { next, ..Control::default() }).unwrap();
        assert_eq!(client.answer(&draft), whole);
        assert_eq!(client.answer(&draft), whole);
        assert!(client.send(&client.request(&draft)).is_err(), "cut");
        assert!(client.send(&client.request(&draft)).is_err(), "dropped");
        let inside = client.refusal(&draft);
        assert!(matches!(inside, Refusal::Overloaded { .. } | Refusal::Transient { .. }), "{inside:?}");
    }
    assert!(server.wait_for(PATIENCE, |counters| counters.total.in_flight == 0));
    let total = server.counters().total;
    assert_eq!((total.ok, total.errors), (9, 9));
}

#[test]
fn a_stalled_stream_ends_when_its_client_leaves() {
    let server = start(|_| ());
    let mut client = Client::new(&server, Dialect::Anthropic);
    client.delivery = Delivery::Streamed;
    server.control(&Control { next: vec![Fault::Stalled], ..Control::default() }).unwrap();
    let mut stream = open(&server, &client.request(&node("N1_draft", 1, "# Retry")));
    let mut begun = [0; 4096];
    let bytes = stream.read(&mut begun).unwrap();
    assert!(String::from_utf8_lossy(&begun[..bytes]).contains("text/event-stream"));
    drop(stream);
    assert!(server.wait_for(PATIENCE, |counters| counters.total.abandoned == 1));
}

#[test]
fn a_cut_reply_ends_in_its_middle() {
    let server = start(|_| ());
    let client = Client::new(&server, Dialect::Gemini);
    server.control(&Control { next: vec![Fault::Cut], ..Control::default() }).unwrap();
    let raw = exchange(&server, &client.request(&node("N1_draft", 1, "# Retry")));
    let (head, body) = raw.split_once("\r\n\r\n").expect("a head");
    let declared = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert_eq!(body.len(), declared.parse::<usize>().unwrap() / 2);
}

/// Sends a request by hand and reads until the server closes.
fn exchange(server: &MockServer, request: &Request) -> String {
    let mut stream = open(server, request);
    let mut raw = Vec::new();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_to_end(&mut raw).expect("the server closes in time");
    String::from_utf8(raw).unwrap()
}

fn open(server: &MockServer, request: &Request) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let path = request.url.strip_prefix(&server.base_url()).unwrap();
    let mut head =
        vec![format!("{} {path} HTTP/1.1", request.method), "host: mock".into(), "connection: close".into()];
    head.extend(request.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    head.push(format!("content-length: {}", request.body.len()));
    stream.write_all(format!("{}\r\n\r\n{}", head.join("\r\n"), request.body).as_bytes()).unwrap();
    stream
}

#[test]
fn calls_can_be_held_and_a_client_that_goes_away_is_noticed() {
    let server = start(|_| ());
    let client = Client::new(&server, Dialect::Gemini);
    let hold = |hold| server.control(&Control { hold: Some(hold), ..Control::default() }).unwrap();
    hold(true);
    let gone = open(&server, &client.request(&hello(1)));
    let (done, answered) = mpsc::channel();
    let waiting = Client::new(&server, Dialect::Gemini);
    let thread = thread::spawn(move || done.send(waiting.answer(&hello(2)).text).unwrap());
    assert!(server.wait_for(PATIENCE, |counters| counters.total.in_flight == 2));
    drop(gone);
    assert!(server.wait_for(PATIENCE, |counters| counters.total.abandoned == 1));
    assert!(answered.try_recv().is_err());
    hold(false);
    assert!(answered.recv_timeout(PATIENCE).unwrap().contains("a prompt of 2 words"));
    thread.join().unwrap();
    let counters = server.counters();
    assert_eq!((counters.total.in_flight, counters.total.in_flight_max, counters.total.ok), (0, 2, 1));
    assert_eq!(counters.prompts, 1, "what nobody received was not paid");
}

#[test]
fn some_calls_can_go_through_before_the_others_are_held() {
    let server = start(|_| ());
    let client = Client::new(&server, Dialect::Gemini);
    client.answer(&hello(1));
    server.control(&Control { hold_after: Some(2), ..Control::default() }).unwrap();
    client.answer(&hello(2));
    client.answer(&hello(3));
    let held = open(&server, &client.request(&hello(4)));
    assert!(server.wait_for(PATIENCE, |counters| counters.total.in_flight == 1));
    assert_eq!(server.counters().total.ok, 3);
    server.control(&Control { hold: Some(false), ..Control::default() }).unwrap();
    assert!(server.wait_for(PATIENCE, |counters| counters.total.ok == 4));
    drop(held);
}

#[test]
fn counters_and_controls_over_http() {
    let server = start(|_| ());
    let client = Client::new(&server, Dialect::OpenAi);
    client.answer(&hello(1));
    let (status, json) = client.http("GET", "/__mock/counters", "");
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Counters>(&json).unwrap(), server.counters());
    let fields: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(fields["keys"]["mock-a"]["ok"], 1);
    assert_eq!(fields["groups"]["mock-1"]["minute_max"], 1);

    assert_eq!(client.http("POST", "/__mock/control", r#"{"overloaded":true}"#).0, 200);
    assert!(matches!(client.refusal(&hello(1)), Refusal::Overloaded { .. }));
    let (status, what) = client.http("POST", "/__mock/control", r#"{"overload":false}"#);
    assert!(status == 400 && what.contains("overload"), "{status} {what}");
    assert_eq!(
        client.http("POST", "/__mock/control", r#"{"overloaded":false,"reset_counters":true}"#).0,
        200
    );
    assert_eq!(server.counters().total.calls, 0);
    assert_eq!(client.http("GET", "/favicon.ico", "").0, 404);
}

#[test]
fn requests_that_are_none_do_no_harm() {
    let server = start(|_| ());
    let client = Client::new(&server, Dialect::Gemini);
    let mut request = client.request(&hello(1));
    request.body = "{".into();
    let (status, headers, body) = client.send(&request).unwrap();
    let reply = wf_providers::read_reply(Dialect::Gemini, status, &headers, &body, Duration::ZERO);
    assert!(matches!(&reply, Reply::Refused(Refusal::RequestRefused { .. })), "{reply:?}");
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.write_all(b"\x16\x03\x01 not HTTP at all\r\n\r\n").unwrap();
    client.answer(&hello(1));
    assert_eq!(server.counters().not_understood, 1);
}

#[test]
fn fixtures_replace_the_embedded_replies() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("lld")).unwrap();
    std::fs::write(dir.path().join("lld/N3_review.2.md"), "second look at {{item}}").unwrap();
    let server = start(|config| {
        config.fixtures = Fixtures::load(dir.path()).unwrap();
        config.plan.insert("42".into(), Script::Approve(1));
    });
    let client = Client::new(&server, Dialect::Anthropic);
    assert!(client.answer(&node("N3_review", 1, "# T")).text.contains("[x] **APPROVED**"));
    assert_eq!(client.answer(&node("N3_review", 2, "# T")).text, "second look at 42");
}

#[test]
fn many_clients_at_once_are_all_counted() {
    let server = start(|_| ());
    thread::scope(|scope| {
        for worker in 0..8 {
            let client = Client::new(&server, Dialect::ALL[worker % 3]);
            scope.spawn(move || {
                for n in 0..25 {
                    client.answer(&hello(worker as u32 * 1_000 + n));
                }
            });
        }
    });
    let counters = server.counters();
    assert_eq!((counters.total.ok, counters.prompts, counters.duplicates), (200, 200, 0));
    assert_eq!(counters.total.in_flight, 0);
}

#[test]
fn stopping_ends_calls_at_work() {
    let server = start(|_| ());
    server.control(&Control { hold: Some(true), ..Control::default() }).unwrap();
    let client = Client::new(&server, Dialect::Gemini);
    let request = client.request(&hello(1));
    let at_work = thread::spawn(move || client.send(&request));
    assert!(server.wait_for(PATIENCE, |counters| counters.total.in_flight == 1));
    server.stop();
    assert!(at_work.join().unwrap().is_err());
}
