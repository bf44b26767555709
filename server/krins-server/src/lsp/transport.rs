//! Drives an LSP service over a byte stream, in our own way rather than by `tower_lsp::Server`.
//!
//! What it promises, each with a test in `tests/transport.rs`:
//! - notifications run to completion, in arrival order; requests run beside them, each in its own task, at most
//!   [`Options::max_in_flight`]; one more is refused, never queued;
//! - `$/cancelRequest` takes effect when it is read, however many requests are in flight;
//! - exactly one reply per request; what a handler told the client before it returned is written before its reply;
//! - a client that leaves what it reads together with a reply lying is given more to read;
//! - a bad body, an unknown method or a panicking handler costs one error reply;
//! - memory stays bounded when the client does not read: senders wait, nothing piles up;
//! - end of input, `exit`, a closed output, or a vanished client end [`run`] within [`Options::grace`], in-flight requests
//!   or not. The caller then leaves by `std::process::exit`, because a blocked read of stdin cannot be cancelled.
//!
//! It must not know what any method does, apart from the lifecycle and the cancel.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::poll_immediate;
use futures::{FutureExt as _, Sink, SinkExt as _, Stream, StreamExt as _};
use krins_protocol::error::ErrorKind;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tower::Service;
use tower_lsp::Loopback;
use tower_lsp::jsonrpc::{Error, Id, Request, Response};

use super::envelope::{self, Incoming};
use super::frame::{self, Frame, FrameReader};
use super::parent::Watch;
use super::rpc;

/// A notification that takes longer than this is worth a line in the log: nothing else is read meanwhile.
const SLOW_TURN: Duration = Duration::from_millis(50);
/// At most this many waiting messages are written ahead of a reply, so that a flood cannot starve replies.
const AHEAD_OF_A_REPLY: usize = 128;
/// Written together when they are ready together.
const BATCH: usize = 64 * 1024;
/// For a client that [stops at replies](Options::stops_at_replies): how long after a write, and after each other, it is sent something
/// that means nothing. Nobody knows how soon it reads.
const NUDGES: [Duration; 4] =
    [Duration::from_millis(80), Duration::from_millis(400), Duration::from_secs(2), Duration::from_secs(10)];
/// What begins so may be ignored by whoever does not know it, as the LSP specification has it.
const NUDGE: &str = "$/krins/more";

/// The limits of a session.
pub struct Options {
    /// The largest body that is read, in bytes.
    pub max_frame: usize,
    /// Requests in flight; the next one is answered with `Overloaded`.
    pub max_in_flight: usize,
    /// Replies that wait for the client to read.
    pub max_queued: usize,
    /// A notification's handler is dropped after this long.
    pub notification_timeout: Duration,
    /// For `initialize` and `shutdown`, which run on the reader like notifications.
    pub lifecycle_timeout: Duration,
    /// How long a request of ours waits for the client.
    pub answer_timeout: Duration,
    /// The same where the client may ask a person.
    pub person_timeout: Duration,
    /// How long the client may read nothing while the queue is full.
    pub stuck_after: Duration,
    /// How long the end may take.
    pub grace: Duration,
    /// Ends the session when the client's process is gone.
    pub watch: Option<Watch>,
    /// Whether the client leaves what it reads together with a reply lying until more comes. Asked after each write.
    pub stops_at_replies: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Told of each notification that was not handled to its end, before anything else is read.
    pub lost: Box<dyn Fn(Lost<'_>) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_frame: 64 << 20,
            max_in_flight: 64,
            max_queued: 64,
            notification_timeout: Duration::from_secs(5),
            lifecycle_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(10),
            person_timeout: Duration::from_secs(300),
            stuck_after: Duration::from_secs(60),
            grace: Duration::from_millis(500),
            watch: None,
            stops_at_replies: Arc::new(|| false),
            lost: Box::new(|_| {}),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("max_frame", &self.max_frame)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_queued", &self.max_queued)
            .finish_non_exhaustive()
    }
}

/// A notification whose effect is not known: a document it spoke of can no longer be trusted until it is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost<'a> {
    pub method: &'a str,
    /// `params.textDocument.uri`.
    pub uri: Option<&'a str>,
    pub why: LostWhy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostWhy {
    Panicked,
    TimedOut,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client said `exit`.
    Exit { after_shutdown: bool },
    /// The input ended.
    InputClosed { after_shutdown: bool },
    /// The output can no longer be written.
    OutputClosed,
    /// A header block made no sense.
    BrokenFraming,
    /// The client has stopped reading.
    ClientStuck,
    /// The client's process is gone although its pipes are open.
    ClientGone,
}

impl End {
    /// 0 after a proper `shutdown`, else 1, as the LSP specification has it.
    pub const fn exit_code(self) -> i32 {
        match self {
            Self::Exit { after_shutdown: true } | Self::InputClosed { after_shutdown: true } => 0,
            Self::Exit { .. }
            | Self::InputClosed { .. }
            | Self::OutputClosed
            | Self::BrokenFraming
            | Self::ClientStuck
            | Self::ClientGone => 1,
        }
    }
}

/// Runs `service` until the session ends. `socket` is the client side that came with the service.
pub async fn run<S, L, R, W>(service: S, socket: L, input: R, output: W, options: Options) -> End
where
    S: Service<Request, Response = Option<Response>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    L: Loopback,
    L::RequestStream: Send + 'static,
    L::ResponseSink: Send + 'static,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (requests, replies) = socket.split();
    let (out, queue) = mpsc::channel(options.max_queued);
    let answers = Arc::new(Answers::new(replies, &options));
    let _expiry = AbortOnDropHandle::new(tokio::spawn(expire(Arc::clone(&answers))));
    let writer = Writer {
        queue,
        requests: Box::new(requests),
        requests_open: true,
        answers: Arc::clone(&answers),
        output,
        stuck_after: options.stuck_after,
        stops_at_replies: Arc::clone(&options.stops_at_replies),
        nudges: Nudges::default(),
    };
    let mut writer = AbortOnDropHandle::new(tokio::spawn(writer.run()));
    let mut reader = FrameReader::new(input, options.max_frame);
    let mut session = Session {
        service,
        out,
        answers,
        tasks: JoinSet::new(),
        permits: Arc::new(Semaphore::new(options.max_in_flight)),
        calls: Arc::default(),
        begun: None,
        shut_down: false,
        options,
    };

    let end = loop {
        let frame = tokio::select! {
            biased;
            ended = &mut writer => break ended.unwrap_or(End::OutputClosed),
            () = gone(session.options.watch.as_ref()) => break End::ClientGone,
            frame = reader.next() => frame,
        };
        let end = match frame {
            Ok(Some(frame)) => session.turn(frame).await,
            Ok(None) => Some(End::InputClosed { after_shutdown: session.shut_down }),
            Err(error) => {
                tracing::error!("failed to {error}");
                Some(End::BrokenFraming)
            }
        };
        if let Some(end) = end {
            break end;
        }
    };
    session.finish(&mut writer).await;
    end
}

async fn gone(watch: Option<&Watch>) {
    match watch {
        Some(watch) => watch.gone().await,
        None => std::future::pending().await,
    }
}

/// Requests that begin in the order in which they came, up to where they first wait: what is spawned together is polled in any. They
/// take their places in a queue there.
const IN_TURN: [&str; 5] = ["krins/review", "krins/apply", "krins/undo", "krins/redo", "workspace/executeCommand"];

/// What the reader owns.
struct Session<S> {
    service: S,
    out: mpsc::Sender<Vec<u8>>,
    answers: Arc<Answers>,
    tasks: JoinSet<()>,
    permits: Arc<Semaphore>,
    calls: Arc<Calls>,
    /// Ends when the last of [`IN_TURN`] has begun.
    begun: Option<oneshot::Receiver<()>>,
    shut_down: bool,
    options: Options,
}

impl<S> Session<S>
where
    S: Service<Request, Response = Option<Response>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    /// Handles one frame; gives the end if that was it.
    async fn turn(&mut self, frame: Frame) -> Option<End> {
        while self.tasks.try_join_next().is_some() {}
        let message = match frame {
            Frame::Body(body) => frame::decode(&body),
            Frame::TooLarge(length) => {
                let text = format!("a message of {length} bytes is over the limit of {}", self.options.max_frame);
                tracing::warn!("{text}");
                self.refuse(Id::Null, envelope::error(ErrorKind::BadParams, text)).await;
                return None;
            }
        };
        match message.map(envelope::sort) {
            Ok(Incoming::Call { id, method, params }) => return self.call(id, method, params).await,
            Ok(Incoming::Reply(reply)) => self.answers.route(reply),
            Ok(Incoming::Invalid(id)) => self.refuse(id, Error::invalid_request()).await,
            Err(error) => {
                tracing::warn!("failed to read a message: {error}");
                self.refuse(Id::Null, Error::parse_error()).await;
            }
        }
        None
    }

    async fn call(&mut self, id: Option<Id>, method: String, params: Option<Value>) -> Option<End> {
        match (method.as_str(), id) {
            ("exit", _) => {
                self.notify(method, None).await;
                return Some(End::Exit { after_shutdown: self.shut_down });
            }
            ("initialize" | "shutdown", Some(id)) => self.lifecycle(id, method, params).await,
            ("$/cancelRequest", None) => self.cancel(params).await,
            (_, None) => self.notify(method, params).await,
            (_, Some(id)) => self.request(id, method, params).await,
        }
        None
    }

    /// `initialize` and `shutdown` are handled before anything else is read, so that nothing runs half initialized, a
    /// second `initialize` finds the first one finished, and `exit` knows how `shutdown` went.
    async fn lifecycle(&mut self, id: Id, method: String, params: Option<Value>) {
        if let (Some(watch), Some(pid)) =
            (&self.options.watch, params.as_ref().and_then(|params| params.get("processId")?.as_u64()))
        {
            watch.client(pid);
        }
        let is_shutdown = method == "shutdown";
        let Some(inner) = self.calls.begin(&id) else {
            return self.refuse(id, Error::invalid_request()).await;
        };
        let handled = self.invoke(build(method, Some(inner), params));
        let outcome = timeout(self.options.lifecycle_timeout, handled).await;
        let reply = match outcome {
            Ok(outcome) => conclude(id, outcome, &self.calls),
            Err(_) => {
                self.calls.end(&id);
                Response::from_error(id, envelope::error(ErrorKind::Internal, "timed out"))
            }
        };
        self.shut_down |= is_shutdown && reply.is_ok();
        self.send(&reply).await;
    }

    async fn notify(&mut self, method: String, params: Option<Value>) {
        let uri = params.as_ref().and_then(|params| params.pointer("/textDocument/uri")?.as_str()).map(str::to_owned);
        let started = Instant::now();
        let handled = self.invoke(build(method.clone(), None, params));
        let why = match timeout(self.options.notification_timeout, handled).await {
            Ok(Outcome::Done(_)) => None,
            Ok(Outcome::Panicked) => Some(LostWhy::Panicked),
            Err(_) => Some(LostWhy::TimedOut),
        };
        let took = started.elapsed();
        if took > SLOW_TURN {
            tracing::warn!(method, ?took, "a notification held up the reader");
        }
        if let Some(why) = why {
            tracing::error!(method, ?why, "failed to handle a notification");
            (self.options.lost)(Lost { method: &method, uri: uri.as_deref(), why });
            if why == LostWhy::Panicked {
                self.announce(&method).await;
            }
        }
    }

    async fn request(&mut self, id: Id, method: String, params: Option<Value>) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            let busy = envelope::error(ErrorKind::Overloaded, "too many requests in flight");
            return self.refuse(id, busy).await;
        };
        let Some(inner) = self.calls.begin(&id) else {
            return self.refuse(id, Error::invalid_request()).await;
        };
        let call = rpc::Call::begin(&id, &method, params.as_ref());
        let handled = self.invoke(build(method.clone(), Some(inner), params));
        let (calls, out) = (Arc::clone(&self.calls), self.out.clone());
        let turn = IN_TURN.contains(&method.as_str()).then(|| {
            let (begins, begun) = oneshot::channel::<()>();
            (self.begun.replace(begun), begins)
        });
        self.tasks.spawn(async move {
            let mut handled = pin!(call.within(handled));
            let mut outcome = None;
            if let Some((before, begins)) = turn {
                if let Some(before) = before {
                    // An error says that it has ended.
                    let _ = before.await;
                }
                outcome = poll_immediate(&mut handled).await;
                drop(begins);
            }
            let outcome = match outcome {
                Some(outcome) => outcome,
                None => handled.await,
            };
            let panicked = matches!(outcome, Outcome::Panicked);
            let reply = conclude(id, outcome, &calls);
            call.end(&reply);
            // The permit is held until the reply is queued: a client that does not read is soon refused.
            // A send fails only after the writer has ended, and then nobody listens.
            let _ = out.send(serialise(&reply)).await;
            drop(permit);
            if panicked && calls.first_panic() {
                let _ = out.send(serialise(&panic_message(&method))).await;
            }
        });
    }

    async fn cancel(&mut self, params: Option<Value>) {
        let id = params.and_then(|mut params| params.get_mut("id").map(Value::take)).and_then(envelope::read_id);
        if let Some(inner) = id.and_then(|id| self.calls.inner(&id)) {
            self.release(inner).await;
        }
    }

    /// Has the service drop what it keeps for a call: its abort handle, and with it the handler if that still runs.
    async fn release(&mut self, inner: i32) {
        let params = Some(json!({"id": inner}));
        self.invoke(build("$/cancelRequest".to_owned(), None, params)).await;
    }

    /// Starts a call. The service has registered its id when this returns, so a cancel finds it.
    fn invoke(&mut self, request: Request) -> impl Future<Output = Outcome> + Send + 'static + use<S> {
        let started = catch_unwind(AssertUnwindSafe(|| self.service.call(request)));
        async move {
            let Ok(handler) = started else {
                return Outcome::Panicked;
            };
            match AssertUnwindSafe(handler).catch_unwind().await {
                Ok(result) => Outcome::Done(result.ok().flatten()),
                Err(_) => Outcome::Panicked,
            }
        }
    }

    async fn refuse(&self, id: Id, error: Error) {
        self.send(&Response::from_error(id, envelope::explain(error))).await;
    }

    async fn announce(&self, method: &str) {
        if self.calls.first_panic() {
            self.send(&panic_message(method)).await;
        }
    }

    async fn send(&self, message: &impl Serialize) {
        // As above: it fails only when the session is over.
        let _ = self.out.send(serialise(message)).await;
    }

    /// Aborts what runs and lets the writer write what is queued, for as long as the grace lasts.
    async fn finish(self, writer: &mut AbortOnDropHandle<End>) {
        let Self { mut tasks, out, options, .. } = self;
        drop(out);
        tasks.abort_all();
        let drained = async {
            while tasks.join_next().await.is_some() {}
            if !writer.is_finished() {
                let _ = writer.await;
            }
        };
        if timeout(options.grace, drained).await.is_err() {
            tracing::warn!("left without having written everything");
        }
        // Dropping a set waits for nothing; a handler that never yields must not keep us.
        tasks.detach_all();
    }
}

/// How a handler ended.
enum Outcome {
    Done(Option<Response>),
    Panicked,
}

/// The one reply to the request `id`, taken off the list of calls.
fn conclude(id: Id, outcome: Outcome, calls: &Calls) -> Response {
    let body = match outcome {
        Outcome::Done(Some(response)) => response.into_parts().1,
        // The service is silent about unknown `$/` methods and about calls after `exit`.
        Outcome::Done(None) => Err(Error::method_not_found()),
        Outcome::Panicked => {
            let text = "a bug in krins made this request fail; its log says where";
            Err(envelope::error(ErrorKind::Internal, text))
        }
    };
    calls.end(&id);
    Response::from_parts(id, body.map_err(envelope::explain))
}

fn build(method: String, inner: Option<i32>, params: Option<Value>) -> Request {
    let mut request = Request::build(method);
    if let Some(inner) = inner {
        request = request.id(i64::from(inner));
    }
    if let Some(params) = params {
        request = request.params(params);
    }
    request.finish()
}

fn panic_message(method: &str) -> Request {
    // 1 is MessageType.Error.
    Request::build("window/showMessage")
        .params(json!({"type": 1, "message": format!("Krins: a bug made {method} fail; the log says where")}))
        .finish()
}

fn serialise(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("JSON values have string keys and serialise")
}

/// The client's requests in flight.
///
/// The service knows each by a number of ours: a client may use ids that the service cannot cancel (above 2^31), and after a
/// panic the service believes the call to be running still, which must not block the client's id.
#[derive(Debug, Default)]
struct Calls(Mutex<CallTable>);

#[derive(Debug, Default)]
struct CallTable {
    inner: HashMap<Id, i32>,
    next: i32,
    panicked: bool,
}

impl Calls {
    fn table(&self) -> MutexGuard<'_, CallTable> {
        // No method leaves the table half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call; `None` when its id is in flight already.
    fn begin(&self, id: &Id) -> Option<i32> {
        let mut table = self.table();
        if table.inner.contains_key(id) {
            return None;
        }
        table.next = table.next.wrapping_add(1) & i32::MAX;
        let inner = table.next;
        table.inner.insert(id.clone(), inner);
        Some(inner)
    }

    fn inner(&self, id: &Id) -> Option<i32> {
        self.table().inner.get(id).copied()
    }

    fn end(&self, id: &Id) {
        self.table().inner.remove(id);
    }

    /// True once.
    fn first_panic(&self) -> bool {
        !std::mem::replace(&mut self.table().panicked, true)
    }
}

type Replies = Box<dyn FnMut(Response) + Send>;

/// Our requests that the client has not answered yet.
struct Answers {
    replies: Mutex<Replies>,
    asked: Mutex<Vec<(Id, Instant)>>,
    /// Told when there is one more.
    more: Notify,
    answer_timeout: Duration,
    person_timeout: Duration,
}

impl Answers {
    fn new<K>(mut sink: K, options: &Options) -> Self
    where
        K: Sink<Response> + Unpin + Send + 'static,
    {
        let replies: Replies = Box::new(move |reply| {
            // The sink is a table lookup: it is always ready, and refuses only after `exit`.
            let _ = sink.send(reply).now_or_never();
        });
        Self {
            replies: Mutex::new(replies),
            asked: Mutex::default(),
            more: Notify::new(),
            answer_timeout: options.answer_timeout,
            person_timeout: options.person_timeout,
        }
    }

    fn asked(&self) -> MutexGuard<'_, Vec<(Id, Instant)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request that is about to be written.
    fn expect(&self, request: &Request) {
        let Some(id) = request.id() else { return };
        let limit = match request.method() {
            "window/showMessageRequest" | "workspace/applyEdit" => self.person_timeout,
            _ => self.answer_timeout,
        };
        self.asked().push((id.clone(), Instant::now() + limit));
        self.more.notify_one();
    }

    /// Hands a reply to who waits for it. One that nobody waits for, or no longer, is dropped.
    fn route(&self, reply: Response) {
        let known = {
            let mut asked = self.asked();
            let at = asked.iter().position(|(id, _)| id == reply.id());
            at.map(|at| asked.swap_remove(at)).is_some()
        };
        if known {
            self.hand_over(reply);
        } else {
            tracing::debug!(id = %reply.id(), "a reply that nobody waits for");
        }
    }

    fn hand_over(&self, reply: Response) {
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        (*replies)(reply);
    }

    /// Answers what the client has left unanswered for too long.
    fn expire(&self, now: Instant) {
        let mut late = Vec::new();
        self.asked().retain(|(id, deadline)| {
            let keep = *deadline > now;
            if !keep {
                late.push(id.clone());
            }
            keep
        });
        for id in late {
            tracing::warn!(%id, "the client did not answer in time");
            let error = Error {
                message: "the client did not answer in time".into(),
                ..envelope::error(ErrorKind::Overloaded, "")
            };
            self.hand_over(Response::from_error(id, error));
        }
    }
}

/// Sleeps while nothing is asked.
async fn expire(answers: Arc<Answers>) {
    loop {
        let first = answers.asked().iter().map(|(_, deadline)| *deadline).min();
        let Some(first) = first else {
            answers.more.notified().await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep_until(first.into()) => answers.expire(Instant::now()),
            () = answers.more.notified() => {}
        }
    }
}

/// The only place that writes to the output.
struct Writer<W> {
    queue: mpsc::Receiver<Vec<u8>>,
    requests: Box<dyn Stream<Item = Request> + Send + Unpin>,
    requests_open: bool,
    answers: Arc<Answers>,
    output: W,
    stuck_after: Duration,
    stops_at_replies: Arc<dyn Fn() -> bool + Send + Sync>,
    nudges: Nudges,
}

/// When the client is nudged next.
#[derive(Default)]
struct Nudges {
    at: Option<Instant>,
    left: &'static [Duration],
}

impl Nudges {
    fn begin(&mut self) {
        self.left = &NUDGES;
        self.step();
    }

    fn step(&mut self) {
        self.at = self.left.split_off_first().map(|wait| Instant::now() + *wait);
    }

    async fn due(&self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    async fn run(mut self) -> End {
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                reply = self.queue.recv() => {
                    let last = reply.is_none();
                    self.add_reply(&mut batch, reply);
                    if last {
                        return self.write(&batch).await.err().unwrap_or(End::OutputClosed);
                    }
                }
                request = self.requests.next(), if self.requests_open => match request {
                    Some(request) => self.add_request(&mut batch, &request),
                    None => self.requests_open = false,
                },
                () = self.nudges.due() => {
                    let nudge = Request::build(NUDGE).params(json!({})).finish();
                    if let Err(end) = self.write(&frame::encode(&serialise(&nudge))).await {
                        return end;
                    }
                    self.nudges.step();
                    continue;
                }
            }
            while batch.len() < BATCH {
                let Ok(reply) = self.queue.try_recv() else { break };
                self.add_reply(&mut batch, Some(reply));
            }
            if let Err(end) = self.write(&batch).await {
                return end;
            }
            if (self.stops_at_replies)() {
                self.nudges.begin();
            }
        }
    }

    /// Adds a reply, and before it what its handler has sent: the handler had sent it before it returned, so it waits in
    /// the stream by now.
    fn add_reply(&mut self, batch: &mut Vec<u8>, reply: Option<Vec<u8>>) {
        for _ in 0..AHEAD_OF_A_REPLY {
            match self.requests.next().now_or_never() {
                Some(Some(request)) => self.add_request(batch, &request),
                Some(None) | None => break,
            }
        }
        if let Some(reply) = reply {
            batch.extend(frame::encode(&reply));
        }
    }

    fn add_request(&self, batch: &mut Vec<u8>, request: &Request) {
        self.answers.expect(request);
        batch.extend(frame::encode(&serialise(request)));
    }

    async fn write(&mut self, batch: &[u8]) -> Result<(), End> {
        let Self { queue, output, stuck_after, .. } = self;
        let stuck = |queue: &mpsc::Receiver<Vec<u8>>| queue.len() >= queue.max_capacity();
        let mut rest = batch;
        while !rest.is_empty() {
            let write = output.write(rest);
            let written = watched(write, *stuck_after, || stuck(queue)).await?;
            rest = &rest[written..];
            if written == 0 {
                return Err(End::OutputClosed);
            }
        }
        watched(output.flush(), *stuck_after, || stuck(queue)).await
    }
}

/// Waits for an output operation, and gives up when it has made no progress for `limit` while work piles up. A client that is
/// merely paused, with nothing piled up, is waited for.
async fn watched<T>(
    operation: impl Future<Output = std::io::Result<T>>,
    limit: Duration,
    piled_up: impl Fn() -> bool,
) -> Result<T, End> {
    let mut operation: Pin<&mut _> = pin!(operation);
    loop {
        match timeout(limit, &mut operation).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => {
                tracing::info!("failed to write to the client: {error}");
                return Err(End::OutputClosed);
            }
            Err(_) if piled_up() => {
                tracing::error!(?limit, "the client has stopped reading");
                return Err(End::ClientStuck);
            }
            Err(_) => {}
        }
    }
}
