//! The network: one HTTP request, bounded in time and size, abandoned within a moment of a stop request.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ureq::Agent;
use wf_protocol::Secret;
use wf_providers::{
    Delivery, Dialect, End, Incoming, Prompt, Refusal, Reply, Request, Wanted, build_request, clean_message,
};

use crate::job::Role;
use crate::llm::{Sent, Wire};
use crate::proxy::Route;
use crate::stop::{Raced, Stop};

/// How long connecting may take, TLS included.
const CONNECT: Duration = Duration::from_secs(15);

/// What a call is given beyond its limit before its thread counts as stuck: the limit itself is ureq's to keep.
const SLACK: Duration = Duration::from_secs(2);

/// How much of a body is read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// How much of a connection's bytes is kept on their way out, and in: the greatest head of a response that ureq takes
/// (64 KiB) must fit.
const OUT_BYTES: usize = 16 * 1024;
const IN_BYTES: usize = 80 * 1024;

/// How much is read behind the end mark of a stream.
const DRAINED_BYTES: u64 = 1024;

/// An HTTP client that goes this way and follows no redirect: a redirect would carry the key to wherever it points.
/// Refusals are no errors of it.
pub fn agent(route: &Route) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(route.proxy().cloned())
        .timeout_connect(Some(CONNECT))
        .input_buffer_size(IN_BYTES)
        .output_buffer_size(OUT_BYTES)
        .user_agent(concat!("wf-supervisor/", env!("CARGO_PKG_VERSION")))
        .build();
    config.new_agent()
}

/// Sends over `ureq`. Connections are kept between calls.
pub struct Http {
    /// One for each way, made when it is first gone.
    agents: Mutex<BTreeMap<String, Agent>>,
    stop: Stop,
}

impl Http {
    /// Sends until `stop`.
    pub fn new(stop: Stop) -> Http {
        Http { agents: Mutex::default(), stop }
    }

    fn agent(&self, role: &Role) -> Result<Agent, Refusal> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        // A role's address decides whether the environment's proxy is for it, so it is part of the way.
        let way = format!("{} {}", role.network.proxy.as_deref().unwrap_or_default(), role.base_url);
        if let Some(agent) = agents.get(&way) {
            return Ok(agent.clone());
        }
        let route =
            Route::choose(role.network.proxy.as_deref(), &role.base_url, |name| std::env::var(name).ok())
                .map_err(|detail| Refusal::RequestRefused { detail })?;
        Ok(agents.entry(way).or_insert_with(|| agent(&route)).clone())
    }
}

impl Wire for Http {
    fn send(&self, role: &Role, prompt: &Prompt, secret: &Secret, limit: Duration) -> Sent {
        let dialect: Dialect = match role.kind.parse() {
            Ok(dialect) => dialect,
            Err(unknown) => return refused(Refusal::RequestRefused { detail: format!("{unknown}") }),
        };
        let agent = match self.agent(role) {
            Ok(agent) => agent,
            Err(refusal) => return refused(refusal),
        };
        let delivery = if role.network.stream { Delivery::Streamed } else { Delivery::Whole };
        let request = build_request(dialect, &role.base_url, &role.model, secret.expose(), prompt, delivery);
        let limits = Limits { total: limit, stall: role.network.stall().filter(|_| role.network.stream) };
        let working = agent.clone();
        match self.stop.race(limit + SLACK, move || exchange(&working, dialect, &request, limits)) {
            Ok(Raced::Done(reply)) => Sent::Replied(reply),
            Ok(Raced::Stopped(cause)) => {
                // The provider is told at once that nobody waits any more.
                agent.shutdown();
                Sent::Abandoned(cause)
            }
            Ok(Raced::TimedOut) => refused(timed_out(limit)),
            Err(error) => refused(Refusal::Transient { detail: format!("no thread for the call: {error}") }),
        }
    }
}

#[derive(Clone, Copy)]
struct Limits {
    total: Duration,
    stall: Option<Duration>,
}

fn refused(refusal: Refusal) -> Sent {
    Sent::Replied(Reply::Refused(refusal))
}

fn timed_out(limit: Duration) -> Refusal {
    Refusal::Transient { detail: format!("no complete reply within {} s", limit.as_secs_f32()) }
}

fn exchange(agent: &Agent, dialect: Dialect, request: &Request, limits: Limits) -> Reply {
    let config = agent.post(&request.url).config().timeout_global(Some(limits.total));
    let mut call = config.timeout_per_read(limits.stall).build();
    for (name, value) in &request.headers {
        call = call.header(*name, value);
    }
    let response = match call.send(request.body.as_bytes()) {
        Ok(response) => response,
        Err(error) => return Reply::Refused(fault(&error, limits)),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let headers = response.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let mut incoming = Incoming::new(dialect, response.status().as_u16(), headers.collect());
    let mut body = response.into_body().into_reader();
    let mut piece = vec![0; PIECE_BYTES];
    let end = loop {
        match body.read(&mut piece) {
            Ok(0) => break End::AsAnnounced,
            Ok(bytes) if incoming.push(&piece[..bytes]) == Wanted::More => {}
            Ok(_) => {
                // The rest is a few bytes; when they are read the connection can serve the next call. Nobody waits for
                // them, and without the thread the connection is merely closed.
                let drain = move || io::copy(&mut body.take(DRAINED_BYTES), &mut io::sink());
                let _ = thread::Builder::new().name("drain".into()).spawn(drain);
                break End::AsAnnounced;
            }
            Err(error) => break End::Cut(fault(&ureq::Error::from(error), limits).detail().to_owned()),
        }
    };
    incoming.finish(end, now)
}

/// A call that brought no reply. Most causes pass; those that lie in the request do not.
fn fault(error: &ureq::Error, limits: Limits) -> Refusal {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Global | ureq::Timeout::PerCall) => timed_out(limits.total),
        ureq::Error::Timeout(ureq::Timeout::PerRead) => {
            let silence = limits.stall.unwrap_or(limits.total).as_secs_f32();
            Refusal::Transient { detail: format!("the streamed reply stood still for {silence} s") }
        }
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
#[path = "http_tests.rs"]
mod tests;
