//! The network against real sockets: answers, faults, limits, and a stop request in every phase of a call.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::job::Network;
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
        network: Network { stream: false, ..Network::default() },
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
    let sent = send(&role, &Stop::new(), LONG);
    let Sent::Replied(Reply::Refused(Refusal::RequestRefused { detail })) = sent else { panic!("{sent:?}") };
    assert!(detail.contains("redirects to http://127.0.0.1:1/") && detail.contains("base_url"), "{detail}");
}

#[test]
fn nobody_there_bad_addresses_and_unknown_kinds_are_refusals() {
    let role = |base_url: &str, kind: &str| Role {
        provider: "p".into(),
        kind: kind.into(),
        model: "m".into(),
        base_url: base_url.into(),
        max_output_tokens: 9,
        network: Network::default(),
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
    let Sent::Replied(Reply::Refused(Refusal::RequestRefused { detail })) = sent else { panic!("{sent:?}") };
    assert!(detail.contains("larger than"), "{detail}");
}

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

fn chunk(text: &str, finish: &str) -> String {
    format!("data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}{finish}}}]}}\n\n")
}

fn streaming(mut role: Role, stall: Option<Duration>) -> Role {
    role.network =
        Network { stream: true, stall_ms: stall.map(|d| d.as_millis() as u64), ..Network::default() };
    role
}

#[test]
fn a_streamed_answer_is_put_together() {
    let body = [chunk("hel", ""), chunk("lo", ",\"finishReason\":\"STOP\"")].concat();
    let (role, told) = server(write(&format!("{STREAM}{body}")));
    let sent = send(&streaming(role, None), &Stop::new(), LONG);
    let Sent::Replied(Reply::Answer(answer)) = sent else { panic!("{sent:?}") };
    assert_eq!(answer.text, "hello");
    let sent = told.recv().unwrap();
    assert!(sent.starts_with("POST /v1beta/models/m:streamGenerateContent?alt=sse HTTP/1.1"), "{sent}");
}

#[test]
fn a_stream_that_is_cut_or_stands_still_is_a_passing_fault() {
    let (role, _told) = server(write(&format!("{STREAM}{}", chunk("hel", ""))));
    let sent = send(&streaming(role, None), &Stop::new(), LONG);
    assert!(matches!(sent, Sent::Replied(Reply::Refused(Refusal::Transient { .. }))), "{sent:?}");

    let half = format!("{STREAM}{}", chunk("hel", ""));
    let (role, _told) = server(move |mut stream| {
        let _ = stream.write_all(half.as_bytes());
        thread::park_timeout(LONG);
        drop(stream);
    });
    let sent = send(&streaming(role, Some(Duration::from_millis(50))), &Stop::new(), LONG);
    let Sent::Replied(Reply::Refused(Refusal::Transient { detail })) = sent else { panic!("{sent:?}") };
    assert!(detail.contains("stood still for 0.05 s"), "{detail}");
}

#[test]
fn a_slow_stream_is_bounded_by_the_call_s_limit_alone() {
    let (role, _told) = server(|mut stream| {
        let _ = stream.write_all(STREAM.as_bytes());
        while stream.write_all(b": still here\n\n").is_ok() {
            thread::park_timeout(Duration::from_millis(5));
        }
    });
    let role = streaming(role, Some(LONG));
    let sent = send(&role, &Stop::new(), Duration::from_millis(100));
    let Sent::Replied(Reply::Refused(Refusal::Transient { detail })) = sent else { panic!("{sent:?}") };
    assert!(detail.contains("no complete reply within 0.1 s"), "{detail}");
}

/// A stop request is heard while the call is in this phase; the server's side sees the connection close.
fn stopped_in(role: &Role, reached: &mpsc::Receiver<()>) {
    let stop = Stop::new();
    let sent = thread::scope(|scope| {
        let sending = scope.spawn(|| send(role, &stop, LONG));
        reached.recv_timeout(LONG).expect("the phase is reached");
        stop.request(Cause::Signal);
        sending.join().unwrap()
    });
    assert_eq!(sent, Sent::Abandoned(Cause::Signal));
}

#[test]
fn a_stop_request_ends_a_call_in_every_phase_of_the_reply() {
    let cut_json = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"cand".to_owned();
    let half_head = "HTTP/1.1 200 OK\r\nx-half: ".to_owned();
    for (begun, stream) in [
        (String::new(), false),
        (half_head, false),
        (cut_json, false),
        (STREAM.to_owned(), true),
        (format!("{STREAM}{}data: {{\"cand", chunk("hel", "")), true),
    ] {
        let (tell, reached) = mpsc::channel();
        let (closed, gone) = mpsc::channel();
        let (mut role, _told) = server(move |mut socket| {
            socket.write_all(begun.as_bytes()).unwrap();
            tell.send(()).unwrap();
            // Until the client closes; nothing more is sent by it.
            let _ = socket.read(&mut [0]);
            let _ = closed.send(());
        });
        role.network.stream = stream;
        stopped_in(&role, &reached);
        gone.recv_timeout(LONG).expect("the connection is closed, not only forgotten");
    }
}

#[test]
fn a_stop_request_ends_a_call_that_still_connects() {
    // A port whose queue of connections is full answers no further one.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
    }
    // The other phase without a byte from the server: TLS was begun.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = format!("https://{}", silent.local_addr().unwrap());
    for (base_url, accepts) in [(format!("http://{address}"), false), (tls, true)] {
        let (tell, reached) = mpsc::channel();
        let listener = silent.try_clone().unwrap();
        thread::spawn(move || {
            let mut begun = accepts.then(|| listener.accept().unwrap().0);
            if let Some(stream) = &mut begun {
                stream.read_exact(&mut [0; 5]).unwrap();
            }
            tell.send(()).unwrap();
            thread::park_timeout(LONG);
        });
        let role = Role {
            provider: "p".into(),
            kind: "gemini".into(),
            model: "m".into(),
            base_url,
            max_output_tokens: 9,
            network: Network { proxy: Some("off".into()), ..Network::default() },
        };
        stopped_in(&role, &reached);
    }
}

#[test]
fn a_configured_proxy_gets_a_tunnel_and_no_key() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while reader.read_line(&mut head).unwrap() > 2 {}
        let _ = tell.send(head);
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    });
    let role = Role {
        provider: "p".into(),
        kind: "openai".into(),
        model: "m".into(),
        base_url: "https://api.provider.example".into(),
        max_output_tokens: 9,
        network: Network { proxy: Some(proxy), ..Network::default() },
    };
    let sent = send(&role, &Stop::new(), LONG);
    assert!(matches!(sent, Sent::Replied(Reply::Refused(Refusal::Transient { .. }))), "{sent:?}");
    let head = told.recv_timeout(LONG).unwrap();
    assert!(head.starts_with("CONNECT api.provider.example:443 ") && !head.contains("sesame"), "{head}");
}
