//! The server itself: sockets, clocks and a thread around the [`Engine`].

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::body::ReplyBody;
use crate::config::{MockConfig, MockKey};
use crate::control::Control;
use crate::counters::Counters;
use crate::engine::{Delivery, Engine, Now, Plan, Ticket};
use crate::wire::{Dialect, Encoded, Refusal, Route, route};

/// The largest request that is read.
const LARGEST_BODY_BYTES: usize = 16 << 20;

/// How long a request's body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(60);

/// How long a connection may be idle. Longer than any client's pool keeps one, so that a reuse never meets a close.
const IDLE_TIME: Duration = Duration::from_secs(600);

/// Connections at once; more wait in the listener's queue.
const MOST_CONNECTIONS: usize = 4_096;

/// A running mock server. Dropping it stops it; calls at work are then cut off.
#[derive(Debug)]
pub struct MockServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    engine: Mutex<Engine>,
    /// Notified whenever the counters may have changed.
    changed: Condvar,
    /// The number of the first call that stays at work, if any does.
    hold_from: watch::Sender<Option<u64>>,
    /// Calls begun so far.
    begun: AtomicU64,
    started: Instant,
    time_scale: f64,
}

impl MockServer {
    /// Starts a server on a thread of its own, listening on the loopback interface.
    pub fn start(config: MockConfig) -> io::Result<MockServer> {
        config.check().map_err(|what| io::Error::new(io::ErrorKind::InvalidInput, what))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let shared = Arc::new(Shared {
            time_scale: config.time_scale,
            engine: Mutex::new(Engine::new(config)),
            changed: Condvar::new(),
            hold_from: watch::Sender::new(None),
            begun: AtomicU64::new(0),
            started: Instant::now(),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("mock-llm".to_owned())
            .spawn(move || runtime.block_on(serve(listener, serving, stopped)))?;
        Ok(MockServer { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, such as `http://127.0.0.1:40123`; the same for all dialects.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The keys it knows.
    pub fn keys(&self) -> Vec<MockKey> {
        self.shared.engine().config.keys.clone()
    }

    /// What it has seen so far.
    pub fn counters(&self) -> Counters {
        self.shared.engine().counters.clone()
    }

    /// Waits until the counters fulfil a condition, for at most `most`; whether they did.
    pub fn wait_for(&self, most: Duration, mut condition: impl FnMut(&Counters) -> bool) -> bool {
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.engine(), most, |engine| !condition(&engine.counters));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Changes its behaviour from now on; what is wrong with the request comes back as a sentence.
    pub fn control(&self, control: &Control) -> Result<(), String> {
        self.shared.control(control)
    }

    /// Stops it and waits for its thread to end.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the thread is gone already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// The state. A panic elsewhere leaves counts that are off by one at worst, so a poisoned lock is used on.
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Engine) -> T) -> T {
        let result = change(&mut self.engine());
        self.changed.notify_all();
        result
    }

    fn control(&self, control: &Control) -> Result<(), String> {
        self.change(|engine| control.apply(engine))?;
        if let Some(more) = control.hold_after {
            self.hold_from.send_replace(Some(self.begun.load(Ordering::Relaxed) + more));
        }
        if let Some(hold) = control.hold {
            self.hold_from.send_replace(hold.then_some(0));
        }
        Ok(())
    }

    fn now(&self) -> Now {
        Now {
            mock: self.started.elapsed().mul_f64(self.time_scale),
            unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }
}

/// A call at work, ended exactly once: by its last byte, or by being dropped with its connection.
struct AtWork {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
}

impl AtWork {
    fn end(&mut self, delivered: bool) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.change(|engine| engine.end(ticket, delivered));
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.end(false);
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => return,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: some connection has to end first.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Replies are written in one piece; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| handle(Arc::clone(&shared), request));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(IDLE_TIME);
            // An error is a client that went away, or a reply that was cut on purpose.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Reply = Response<ReplyBody<Box<dyn FnMut() + Send>>>;

async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Reply> {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let route = route(head.method.as_str(), head.uri.path(), |name| header(name).is_some());
    let address = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let secret = |dialect: Dialect| dialect.secret(header, head.uri.query().unwrap_or_default());
    let body = match timeout(BODY_TIME, Limited::new(body, LARGEST_BODY_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Ok(plain(413, "the request is larger than 16 MiB, or was cut")),
        Err(_) => return Ok(plain(408, "the request's body did not arrive within a minute")),
    };
    match route {
        Route::Generate(dialect, model) => {
            let now = shared.now();
            let call = match dialect.read(model, &address, &body) {
                Ok(call) => call,
                Err(what) => {
                    let refusal = Refusal::BadRequest(what);
                    return Ok(whole(shared.change(|engine| engine.not_understood(dialect, &refusal, now))));
                }
            };
            let secret = secret(dialect);
            let plan = shared.change(|engine| engine.begin(&call, secret.as_deref(), now));
            deliver(shared, plan).await
        }
        Route::Models(dialect) => {
            let (secret, now) = (secret(dialect), shared.now());
            Ok(whole(shared.change(|engine| engine.check_key(dialect, secret.as_deref(), now))))
        }
        Route::Counters => {
            let counters =
                serde_json::to_string_pretty(&shared.engine().counters).map_err(io::Error::other)?;
            Ok(whole(Encoded { status: 200, headers: Vec::new(), body: counters + "\n", is_stream: false }))
        }
        Route::Control => match Control::read(&body).and_then(|control| shared.control(&control)) {
            Ok(()) => Ok(plain(200, "done")),
            Err(what) => Ok(plain(400, &what)),
        },
        Route::Unknown => {
            shared.change(|engine| engine.counters.not_understood += 1);
            Ok(plain(404, "nothing is served here"))
        }
    }
}

async fn deliver(shared: Arc<Shared>, plan: Plan) -> io::Result<Reply> {
    let mut hold_from = shared.hold_from.subscribe();
    let is_at_work = plan.ticket.is_some();
    let number = shared.begun.fetch_add(u64::from(is_at_work), Ordering::Relaxed);
    let mut at_work = AtWork { shared, ticket: plan.ticket };
    if !plan.delay.is_zero() {
        sleep(plan.delay).await;
    }
    if is_at_work {
        // The sender lives as long as the server, so an error cannot come before its end.
        let _ = hold_from.wait_for(|from| from.is_none_or(|from| number < from)).await;
    }
    if plan.delivery == Delivery::Dropped {
        at_work.end(true);
        return Err(io::Error::other("dropped on purpose"));
    }
    Ok(response(plan.reply, plan.delivery, Box::new(move || at_work.end(true))))
}

fn whole(reply: Encoded) -> Reply {
    response(reply, Delivery::Whole, Box::new(|| ()))
}

fn plain(status: u16, message: &str) -> Reply {
    whole(Encoded::json(status, &serde_json::json!({ "message": message })))
}

fn response(reply: Encoded, delivery: Delivery, done: Box<dyn FnMut() + Send>) -> Reply {
    let kind = if reply.is_stream { "text/event-stream" } else { "application/json" };
    let mut response = Response::new(ReplyBody::new(reply.body, reply.is_stream, delivery, done));
    *response.status_mut() = hyper::StatusCode::from_u16(reply.status).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}
