//! The transport's promises, over a pipe in memory and a small service that misbehaves on request.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use krins_server::lsp::frame::{self, Frame, FrameReader};
use krins_server::lsp::transport::{self, End, Lost, LostWhy, Options};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;
use tower_lsp::jsonrpc::Result;
use tower_lsp::ls_types::{
    ApplyWorkspaceEditResponse, DidChangeTextDocumentParams, InitializeParams, InitializeResult, MessageType,
    WorkspaceEdit,
};
use tower_lsp::{Client, LanguageServer, LspService};

/// What a test can see of the service, and what it can make it do.
#[derive(Debug, Default)]
struct World {
    versions: Mutex<Vec<i32>>,
    running: AtomicUsize,
    dropped: AtomicUsize,
    ticks: AtomicUsize,
    sent: AtomicUsize,
    initialize_panics: AtomicBool,
}

struct Service {
    client: Client,
    world: Arc<World>,
}

/// Counts a handler that runs, and one that ended in any way.
struct Running(Arc<World>);

impl Running {
    fn start(world: &Arc<World>) -> Self {
        world.running.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(world))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl LanguageServer for Service {
    async fn initialize(&self, _: InitializeParams) -> Result<InitializeResult> {
        assert!(!self.world.initialize_panics.load(Ordering::SeqCst), "asked to");
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(InitializeResult::default())
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    /// Jittered awaits, which reorder changes in a transport that runs them side by side.
    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        let version = params.text_document.version;
        assert!(version >= 0, "a negative version");
        let jitter = (version.unsigned_abs() * 7919) % 5;
        tokio::time::sleep(Duration::from_millis(u64::from(jitter))).await;
        self.world.versions.lock().unwrap().push(version);
    }
}

impl Service {
    async fn echo(&self, params: Value) -> Result<Value> {
        Ok(params)
    }

    /// Waits for ever.
    async fn hang(&self, _: Value) -> Result<Value> {
        let _running = Running::start(&self.world);
        std::future::pending().await
    }

    async fn panics(&self, _: Value) -> Result<Value> {
        let _running = Running::start(&self.world);
        tokio::task::yield_now().await;
        panic!("asked to")
    }

    /// Blocks its thread.
    async fn block(&self, params: Value) -> Result<Value> {
        std::thread::sleep(Duration::from_millis(params["ms"].as_u64().unwrap()));
        Ok(Value::Null)
    }

    /// Asks the client for its configuration and gives what it said.
    async fn ask(&self, _: Value) -> Result<Value> {
        let answer = self.client.configuration(Vec::new()).await?;
        Ok(Value::from(answer))
    }

    /// As a person is asked.
    async fn ask_person(&self, _: Value) -> Result<Value> {
        let edit = WorkspaceEdit::default();
        let ApplyWorkspaceEditResponse { applied, .. } = self.client.apply_edit(edit).await?;
        Ok(Value::from(applied))
    }

    /// Sends `count` messages of `size` bytes, then replies.
    async fn flood(&self, params: Value) -> Result<Value> {
        let text = "x".repeat(usize::try_from(params["size"].as_u64().unwrap()).unwrap());
        for _ in 0..params["count"].as_u64().unwrap() {
            self.client.log_message(MessageType::LOG, &text).await;
            self.world.sent.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Value::Null)
    }

    /// Works, and never talks.
    async fn tick(&self, _: Value) -> Result<Value> {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.world.ticks.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A notification that never ends.
    async fn stall(&self, _: Value) {
        std::future::pending::<()>().await;
    }
}

/// The editor's end.
struct Editor {
    input: Option<WriteHalf<DuplexStream>>,
    output: FrameReader<ReadHalf<DuplexStream>>,
    world: Arc<World>,
    session: JoinHandle<End>,
}

impl Editor {
    fn start(options: Options) -> Self {
        Self::with_pipe(options, 64 * 1024)
    }

    fn with_pipe(options: Options, capacity: usize) -> Self {
        let world = Arc::<World>::default();
        let for_service = Arc::clone(&world);
        let (service, socket) = LspService::build(|client| Service { client, world: for_service })
            .custom_method("test/echo", Service::echo)
            .custom_method("test/hang", Service::hang)
            .custom_method("test/panic", Service::panics)
            .custom_method("test/block", Service::block)
            .custom_method("test/ask", Service::ask)
            .custom_method("test/askPerson", Service::ask_person)
            .custom_method("test/flood", Service::flood)
            .custom_method("test/tick", Service::tick)
            .custom_method("test/stall", Service::stall)
            .finish();
        let (ours, theirs) = tokio::io::duplex(capacity);
        let (input, output) = tokio::io::split(theirs);
        let session = tokio::spawn(transport::run(service, socket, input, output, options));
        let (output, input) = tokio::io::split(ours);
        Self { input: Some(input), output: FrameReader::new(output, 64 << 20), world, session }
    }

    async fn initialized(options: Options) -> Self {
        let mut editor = Self::start(options);
        editor.handshake().await;
        editor
    }

    async fn handshake(&mut self) {
        self.request(0, "initialize", json!({"capabilities": {}})).await;
        assert!(self.reply(0).await.get("result").is_some());
        self.notify("initialized", json!({})).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    async fn send(&mut self, message: Value) {
        self.raw(&frame::encode(message.to_string().as_bytes())).await;
    }

    async fn request(&mut self, id: i64, method: &str, params: Value) {
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
    }

    async fn notify(&mut self, method: &str, params: Value) {
        self.send(json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }

    async fn change(&mut self, version: i32) {
        let document = json!({"uri": "file:///a.ts", "version": version});
        self.notify("textDocument/didChange", json!({"textDocument": document, "contentChanges": []})).await;
    }

    async fn cancel(&mut self, id: impl Into<Value>) {
        self.notify("$/cancelRequest", json!({"id": id.into()})).await;
    }

    async fn next(&mut self) -> Value {
        let frame = tokio::time::timeout(Duration::from_secs(10), self.output.next()).await;
        match frame.expect("a message within 10 s").expect("a sound frame") {
            Some(Frame::Body(body)) => serde_json::from_slice(&body).expect("JSON"),
            other => panic!("no message but {other:?}"),
        }
    }

    /// The next message, which must be the reply to `id`.
    async fn reply(&mut self, id: impl Into<Value>) -> Value {
        let message = self.next().await;
        assert_eq!(message["id"], id.into(), "{message}");
        assert!(message.get("method").is_none(), "{message}");
        message
    }

    async fn echo(&mut self, id: i64) {
        self.request(id, "test/echo", json!({"n": id})).await;
        assert_eq!(self.reply(id).await["result"], json!({"n": id}));
    }

    async fn until(&self, what: &str, done: impl Fn(&World) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !done(&self.world) {
            assert!(Instant::now() < deadline, "not within 10 s: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn hang(&mut self, ids: std::ops::Range<i64>) {
        let count = ids.end - ids.start;
        for id in ids {
            self.request(id, "test/hang", json!({})).await;
        }
        let count = usize::try_from(count).unwrap();
        self.until("the requests run", |world| world.running.load(Ordering::SeqCst) == count).await;
    }

    /// The end of the session, which must come within `limit`.
    async fn ended(&mut self, limit: Duration) -> End {
        let end = tokio::time::timeout(limit, &mut self.session).await;
        end.unwrap_or_else(|_| panic!("still running after {limit:?}")).expect("no panic")
    }

    /// No message, for a while.
    async fn silent(&mut self) {
        let more = tokio::time::timeout(Duration::from_millis(150), self.output.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

fn kind(message: &Value) -> &str {
    message["error"]["data"]["kind"].as_str().unwrap_or_else(|| panic!("no kind: {message}"))
}

fn code(message: &Value) -> i64 {
    message["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {message}"))
}

/// There is a client whose waiting for a reply leaves the function that reads, with all that it has read beside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_at_replies_is_given_more_to_read() {
    let mut editor = Editor::initialized(Options { stops_at_replies: Arc::new(|| true), ..Options::default() }).await;
    editor.request(1, "test/echo", json!({})).await;
    let mut nudged = 0;
    while nudged < 3 {
        let message = editor.next().await;
        if message["method"] == "$/krins/more" {
            assert!(message.get("id").is_none(), "{message}");
            nudged += 1;
        }
    }

    let mut editor = Editor::initialized(Options::default()).await;
    editor.echo(1).await;
    editor.silent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_handled_in_the_order_they_came() {
    let mut editor = Editor::initialized(Options::default()).await;
    editor.hang(100..140).await;
    for version in 1..=40 {
        editor.change(version).await;
    }
    editor.echo(1).await;
    assert_eq!(*editor.world.versions.lock().unwrap(), (1..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_with_64_in_flight_is_answered_at_once() {
    let mut editor = Editor::initialized(Options::default()).await;
    let mut took = Vec::new();
    editor.hang(1000..1064).await;
    for round in 0..100 {
        let id = 1000 + round;
        let started = Instant::now();
        editor.cancel(id).await;
        let reply = editor.reply(id).await;
        took.push(started.elapsed());
        assert_eq!((code(&reply), kind(&reply)), (-32800, "Cancelled"));
        // The next one takes the freed place.
        editor.request(id + 64, "test/hang", json!({})).await;
    }
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100 - 1]);
    report("cancel with 64 in flight", p50, p99);
    assert!(p99 < Duration::from_millis(200), "p50 {p50:?}, p99 {p99:?}");
    let running = editor.world.running.load(Ordering::SeqCst);
    assert!(running <= 64, "a cancelled handler still runs: {running}");
}

/// Figures go where a person who asks for them finds them.
fn report(what: &str, p50: Duration, p99: Duration) {
    if let Some(path) = std::env::var_os("KRINS_TEST_FIGURES") {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{what}: p50 {p50:?}, p99 {p99:?}").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_cancel_there_is_one_reply_and_nothing_else() {
    let mut editor = Editor::initialized(Options::default()).await;
    editor.hang(1..2).await;
    editor.cancel(1).await;
    editor.cancel(1).await;
    assert_eq!(code(&editor.reply(1).await), -32800);
    editor.cancel(1).await;
    editor.cancel(77).await;
    editor.silent().await;
    assert_eq!(editor.world.dropped.load(Ordering::SeqCst), 1, "the handler was dropped");
    // The id is free again.
    editor.echo(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_finds_any_id_a_client_may_use() {
    let mut editor = Editor::initialized(Options::default()).await;
    for id in [json!("a string"), json!(5_000_000_000_i64), json!(-1), json!("")] {
        editor.send(json!({"jsonrpc": "2.0", "id": id, "method": "test/hang", "params": {}})).await;
        editor.cancel(id.clone()).await;
        assert_eq!(code(&editor.reply(id).await), -32800);
    }
    for params in [json!({}), json!(null), json!({"id": [1]}), json!({"id": null}), json!([7])] {
        editor.notify("$/cancelRequest", params).await;
    }
    editor.echo(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_65th_request_is_refused_and_replies_still_come_through() {
    let mut editor = Editor::initialized(Options::default()).await;
    editor.request(1, "test/ask", json!({})).await;
    let question = editor.next().await;
    assert_eq!(question["method"], "workspace/configuration");
    editor.hang(100..163).await;
    editor.request(200, "test/echo", json!({})).await;
    let refused = editor.reply(200).await;
    assert_eq!((code(&refused), kind(&refused)), (-32803, "Overloaded"));
    assert_eq!(refused["error"]["data"]["retryable"], true);
    assert!(refused["error"]["message"].as_str().unwrap().contains("too many requests in flight"));
    // The client's answer is not a request: it frees the one that waits for it.
    editor.send(json!({"jsonrpc": "2.0", "id": question["id"], "result": [7]})).await;
    assert_eq!(editor.reply(1).await["result"], json!([7]));
    editor.echo(2).await;
    // Changes and cancels are not requests either.
    editor.request(201, "test/hang", json!({})).await;
    editor.change(1).await;
    editor.cancel(100).await;
    assert_eq!(code(&editor.reply(100).await), -32800);
    assert_eq!(*editor.world.versions.lock().unwrap(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_in_flight_is_not_taken_twice() {
    let mut editor = Editor::initialized(Options::default()).await;
    editor.hang(1..2).await;
    editor.request(1, "test/echo", json!({})).await;
    assert_eq!(code(&editor.reply(1).await), -32600);
    editor.cancel(1).await;
    assert_eq!(code(&editor.reply(1).await), -32800);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_body_costs_one_reply() {
    let mut editor = Editor::initialized(Options::default()).await;
    let deep = "[".repeat(100_000);
    for body in [b"{".as_slice(), b"", b"\xff\xfe", b"{\"a\":\"\\ud83d", deep.as_bytes()] {
        editor.raw(&frame::encode(body)).await;
        assert_eq!(code(&editor.reply(Value::Null).await), -32700);
    }
    for body in [json!([]), json!(1), json!({}), json!({"id": {}, "method": "x"})] {
        editor.send(body).await;
        assert_eq!(code(&editor.reply(Value::Null).await), -32600);
    }
    // Half a pair, as a paste cut in two sends it.
    let lone = br#"{"jsonrpc":"2.0","id":5,"method":"test/echo","params":["\ud83d"]}"#;
    editor.raw(&frame::encode(lone)).await;
    assert_eq!(editor.reply(5).await["result"], json!(["\u{fffd}"]));
    // Headers in another case, order and with other line ends.
    let body = br#"{"jsonrpc":"2.0","id":6,"method":"test/echo","params":[]}"#;
    let header = format!("content-type: x\ncontent-LENGTH:{}\n\n", body.len());
    editor.raw(&[header.as_bytes(), body].concat()).await;
    assert_eq!(editor.reply(6).await["result"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_over_the_cap_costs_one_reply() {
    let mut editor = Editor::initialized(Options { max_frame: 1000, ..Options::default() }).await;
    let big = json!({"jsonrpc": "2.0", "id": 1, "method": "test/echo", "params": ["x".repeat(2000)]});
    editor.send(big).await;
    let refused = editor.reply(Value::Null).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("over the limit of 1000"));
    editor.echo(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_header_ends_the_session() {
    let mut editor = Editor::initialized(Options::default()).await;
    editor.raw(b"no header\r\n\r\n").await;
    let end = editor.ended(Duration::from_secs(2)).await;
    assert_eq!((end, end.exit_code()), (End::BrokenFraming, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_one_failed_request() {
    let mut editor = Editor::initialized(Options::default()).await;
    for id in [1, 1, 2] {
        editor.request(id, "test/panic", json!({})).await;
        let reply = editor.reply(id).await;
        assert_eq!((code(&reply), kind(&reply)), (-32603, "Internal"));
        if id == 1 && editor.world.dropped.load(Ordering::SeqCst) == 1 {
            // Said once, not at every panic.
            let told = editor.next().await;
            assert_eq!(told["method"], "window/showMessage");
        }
        editor.echo(1).await;
    }
    editor.silent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_initialize_can_be_tried_again() {
    let mut editor = Editor::start(Options::default());
    editor.world.initialize_panics.store(true, Ordering::SeqCst);
    editor.request(1, "initialize", json!({"capabilities": {}})).await;
    assert_eq!(code(&editor.reply(1).await), -32603);
    editor.world.initialize_panics.store(false, Ordering::SeqCst);
    editor.handshake().await;
    editor.echo(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_notification_is_told() {
    let lost = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&lost);
    let options = Options {
        notification_timeout: Duration::from_millis(50),
        lost: Box::new(move |Lost { method, uri, why }| {
            notes.lock().unwrap().push((method.to_owned(), uri.map(str::to_owned), why));
        }),
        ..Options::default()
    };
    let mut editor = Editor::initialized(options).await;
    editor.change(-1).await;
    assert_eq!(editor.next().await["method"], "window/showMessage");
    editor.notify("test/stall", json!({})).await;
    editor.change(1).await;
    editor.echo(1).await;
    assert_eq!(
        *lost.lock().unwrap(),
        [
            ("textDocument/didChange".to_owned(), Some("file:///a.ts".to_owned()), LostWhy::Panicked),
            ("test/stall".to_owned(), None, LostWhy::TimedOut),
        ]
    );
    assert_eq!(*editor.world.versions.lock().unwrap(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_input_ends_it_with_requests_in_flight() {
    let mut editor = Editor::initialized(Options::default()).await;
    editor.hang(1..33).await;
    let started = Instant::now();
    editor.input.as_mut().unwrap().shutdown().await.unwrap();
    let end = editor.ended(Duration::from_secs(1)).await;
    report("end of input with 32 in flight", started.elapsed(), started.elapsed());
    assert_eq!((end, end.exit_code()), (End::InputClosed { after_shutdown: false }, 1));
    assert_eq!(editor.world.running.load(Ordering::SeqCst), 0, "a handler outlived the session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_does_not_keep_the_session() {
    let mut editor = Editor::initialized(Options::default()).await;
    editor.request(1, "test/block", json!({"ms": 3000})).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    editor.input.as_mut().unwrap().shutdown().await.unwrap();
    editor.ended(Duration::from_millis(1500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_cut_by_the_end_of_input_ends_it() {
    let mut editor = Editor::initialized(Options::default()).await;
    editor.raw(b"Content-Length: 10\r\n\r\n{}").await;
    editor.input.as_mut().unwrap().shutdown().await.unwrap();
    assert_eq!(editor.ended(Duration::from_secs(1)).await, End::BrokenFraming);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_ends_it_with_the_input_open() {
    for (shutdown_first, expected) in [(true, 0), (false, 1)] {
        let mut editor = Editor::initialized(Options::default()).await;
        editor.hang(100..110).await;
        if shutdown_first {
            // Params and an `exit` sent without waiting for the reply: both are seen in the wild.
            editor.request(1, "shutdown", json!({})).await;
        }
        editor.notify("exit", json!({})).await;
        if shutdown_first {
            assert_eq!(editor.reply(1).await["result"], Value::Null);
        }
        let end = editor.ended(Duration::from_secs(1)).await;
        assert_eq!(end, End::Exit { after_shutdown: shutdown_first });
        assert_eq!(end.exit_code(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_output_ends_it() {
    let mut editor = Editor::initialized(Options::default()).await;
    editor.request(1, "test/echo", json!({})).await;
    let Editor { input, output, session, .. } = editor;
    drop((input, output));
    let end = tokio::time::timeout(Duration::from_secs(1), session).await.unwrap().unwrap();
    assert_eq!(end.exit_code(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lifecycle_is_lenient_but_not_blind() {
    let mut editor = Editor::start(Options::default());
    editor.request(1, "test/echo", json!({})).await;
    assert_eq!(code(&editor.reply(1).await), -32002);
    editor.request(2, "shutdown", Value::Null).await;
    assert_eq!(code(&editor.reply(2).await), -32002);
    editor.change(1).await;
    // All at once, without waiting for the reply.
    editor.request(3, "initialize", json!({"capabilities": {}})).await;
    editor.send(json!({"jsonrpc": "2.0", "method": "initialized"})).await;
    editor.change(2).await;
    editor.request(4, "initialize", json!({"capabilities": {}})).await;
    assert!(editor.reply(3).await.get("result").is_some());
    assert_eq!(code(&editor.reply(4).await), -32600, "a second initialize");
    editor.request(5, "test/unknown", json!({})).await;
    assert_eq!(code(&editor.reply(5).await), -32601);
    editor.request(6, "$/unknown", json!({})).await;
    assert_eq!(code(&editor.reply(6).await), -32601);
    editor.notify("$/unknown", json!({})).await;
    editor.notify("test/unknown", json!({})).await;
    editor.request(7, "textDocument/hover", json!({"a": 1})).await;
    let wrong = editor.reply(7).await;
    assert_eq!((code(&wrong), kind(&wrong)), (-32602, "BadParams"));
    editor.request(8, "textDocument/didChange", json!({})).await;
    assert_eq!(code(&editor.reply(8).await), -32600, "a notification sent as a request");
    editor.request(9, "shutdown", json!({})).await;
    assert_eq!(editor.reply(9).await["result"], Value::Null);
    editor.request(10, "test/echo", json!({})).await;
    assert_eq!(code(&editor.reply(10).await), -32600, "a request after shutdown");
    assert_eq!(*editor.world.versions.lock().unwrap(), [2]);
    editor.input.as_mut().unwrap().shutdown().await.unwrap();
    assert_eq!(editor.ended(Duration::from_secs(1)).await.exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_is_not_waited_for_without_end() {
    let options = Options {
        answer_timeout: Duration::from_millis(100),
        person_timeout: Duration::from_secs(30),
        ..Options::default()
    };
    let mut editor = Editor::initialized(options).await;
    editor.request(1, "test/ask", json!({})).await;
    let question = editor.next().await;
    let failed = editor.reply(1).await;
    assert!(failed["error"]["message"].as_str().unwrap().contains("did not answer in time"), "{failed}");
    // The late answer, one to nothing, and one that is an error: all ignored.
    editor.send(json!({"jsonrpc": "2.0", "id": question["id"], "result": []})).await;
    editor.send(json!({"jsonrpc": "2.0", "id": 4711, "result": []})).await;
    editor.send(json!({"jsonrpc": "2.0", "id": "x", "error": {"code": 1}})).await;
    editor.echo(2).await;
    // A person has longer.
    editor.request(3, "test/askPerson", json!({})).await;
    let question = editor.next().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    editor.send(json!({"jsonrpc": "2.0", "id": question["id"], "result": {"applied": true}})).await;
    assert_eq!(editor.reply(3).await["result"], true);
    // An answer after the asking request was cancelled.
    editor.request(4, "test/ask", json!({})).await;
    let question = editor.next().await;
    editor.cancel(4).await;
    assert_eq!(code(&editor.reply(4).await), -32800);
    editor.send(json!({"jsonrpc": "2.0", "id": question["id"], "result": []})).await;
    editor.echo(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handler_says_is_written_before_its_reply() {
    let mut editor = Editor::initialized(Options::default()).await;
    for id in 1..200 {
        let count = id % 4;
        editor.request(id, "test/flood", json!({"count": count, "size": 1})).await;
        for _ in 0..count {
            assert_eq!(editor.next().await["method"], "window/logMessage");
        }
        editor.reply(id).await;
    }
}

/// Resident memory in KiB.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_costs_no_memory_and_stops_nobody() {
    let mut editor = Editor::initialized(Options::default()).await;
    editor.request(1, "test/tick", json!({})).await;
    for id in 100..110 {
        editor.request(id, "test/flood", json!({"count": 20_000, "size": 10_000})).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (before, ticks) = (resident(), editor.world.ticks.load(Ordering::SeqCst));
    let sent = editor.world.sent.load(Ordering::SeqCst);
    // 10 x 20 000 x 10 kB is 2 GB; what was taken is what the pipe and the queues hold.
    assert!(sent < 300, "{sent} messages were taken from the handlers");
    editor.change(1).await;
    editor.until("a change is applied", |world| *world.versions.lock().unwrap() == [1]).await;
    editor.cancel(105).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let grown = resident().saturating_sub(before);
    // Other tests run in this process; 2 GB would still show.
    assert!(grown < 64 * 1024, "grown by {grown} KiB");
    assert!(editor.world.ticks.load(Ordering::SeqCst) > ticks + 20, "the handlers stand still");
    // It reads again: everything is there.
    let mut seen = 0;
    while seen < 1000 {
        let message = editor.next().await;
        if message["method"] == "window/logMessage" {
            seen += 1;
        } else {
            assert_eq!((&message["id"], code(&message)), (&json!(105), -32800));
        }
    }
    editor.notify("exit", Value::Null).await;
    editor.ended(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_again_ends_the_session() {
    let options = Options { stuck_after: Duration::from_millis(200), ..Options::default() };
    let mut editor = Editor::with_pipe(options, 4096);
    editor.handshake().await;
    let mut ended = false;
    for id in 1..2000 {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "test/echo", "params": {"x": "y".repeat(200)}});
        let bytes = frame::encode(body.to_string().as_bytes());
        let written = tokio::time::timeout(Duration::from_secs(5), editor.input.as_mut().unwrap().write_all(&bytes));
        if !matches!(written.await, Ok(Ok(()))) {
            ended = true;
            break;
        }
    }
    assert!(ended, "2000 requests were taken without a reply being read");
    assert_eq!(editor.ended(Duration::from_secs(5)).await, End::ClientStuck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_client_with_nothing_piled_up_is_waited_for() {
    let options = Options { stuck_after: Duration::from_millis(50), ..Options::default() };
    let mut editor = Editor::with_pipe(options, 4096);
    editor.handshake().await;
    editor.request(1, "test/flood", json!({"count": 3, "size": 10_000})).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    for _ in 0..3 {
        assert_eq!(editor.next().await["method"], "window/logMessage");
    }
    editor.reply(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_request_is_quick() {
    let mut editor = Editor::initialized(Options::default()).await;
    let mut took = Vec::new();
    for id in 1..2001 {
        let started = Instant::now();
        editor.echo(id).await;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    report("bare request in memory", p50, p99);
    assert!(p99 < Duration::from_millis(20), "p50 {p50:?}, p99 {p99:?}");
}
