//! A headless editor: starts a real server over stdio and plays one [`Persona`] to it.
//!
//! It answers the server's requests by itself, as an editor's main loop does, while the test waits for something else. It is
//! strict: dropping it shuts the server down properly, and fails when the server leaves with another code than 0, when a byte on
//! stdout belongs to no frame, or when a message was left unread.
//!
//! ```no_run
//! # use krins_tests::{client::Client, personas::Persona, workspace::Workspace};
//! let workspace = Workspace::from_fixture("//- /src/a.ts\nexport const a = 1;\n");
//! let mut client = Client::builder(&workspace).persona(Persona::HELIX).start();
//! client.initialize();
//! client.open("src/a.ts");
//! let status = client.request("krins/status", serde_json::json!({})).unwrap();
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::editor::{Editor, Outbox, Person, Reply};
use crate::personas::{Changes, Dismissal, Persona};
use crate::text::{self, Encoding};
use crate::wire::{self, Read1};
use crate::workspace::{Workspace, path_of};

/// How long a test waits for what should come at once.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How late a shuffled change is.
const SHUFFLED: Duration = Duration::from_millis(15);
/// How much of the server's stderr is kept for a failure's message.
const STDERR_KEPT: usize = 32 * 1024;

/// An error reply.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    pub data: Value,
}

impl RpcError {
    /// `data.kind`.
    pub fn kind(&self) -> Option<&str> {
        self.data["kind"].as_str()
    }
}

/// A request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "a reply that nobody reads fails the test"]
pub struct Ticket(i64);

/// A request of the server's, and how it was answered.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub params: Value,
    /// `None` when the person was away and no reply was sent.
    pub answer: Option<Reply>,
}

/// How to start a [`Client`].
#[derive(Debug)]
pub struct Builder {
    /// `None` is the `krins` under test, which is not looked for before it is needed.
    program: Option<PathBuf>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    root: PathBuf,
    persona: Persona,
}

impl Builder {
    pub fn persona(mut self, persona: Persona) -> Self {
        self.persona = persona;
        self
    }

    /// Another server than `krins lsp --stdio`.
    pub fn program(mut self, program: impl Into<PathBuf>, args: &[&str]) -> Self {
        self.program = Some(program.into());
        self.args = args.iter().map(|&arg| arg.to_owned()).collect();
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Starts the server. Nothing is sent yet.
    pub fn start(self) -> Client {
        let program = self.program.unwrap_or_else(crate::binary::krins);
        let mut command = Command::new(&program);
        command.args(&self.args).env_clear().envs(self.env).current_dir(&self.root);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("failed to start {}: {error}", program.display()));
        Client::over(child, started, self.root, self.persona)
    }
}

/// The editor at one end of the pipe.
#[derive(Debug)]
pub struct Client {
    child: Child,
    root: PathBuf,
    shared: Arc<Shared>,
    started: Instant,
    next_id: i64,
    initialized: Option<Value>,
    finished: Option<ExitStatus>,
    /// The test has ended the session itself, in its own way.
    released: bool,
}

#[derive(Debug)]
struct Shared {
    persona: Persona,
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    editor: Mutex<Editor>,
    to_server: Mutex<Option<Sender<Vec<u8>>>>,
    paused: Mutex<bool>,
    resumed: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    replies: BTreeMap<i64, Value>,
    notifications: VecDeque<(String, Value)>,
    asked: VecDeque<Asked>,
    progress: Vec<Value>,
    log: Vec<String>,
    diagnostics: BTreeMap<String, Value>,
    ignored: BTreeSet<String>,
    stray: Vec<String>,
    stderr: Vec<u8>,
    /// Every message so far.
    count: usize,
    ended: bool,
}

impl Client {
    /// `krins lsp --stdio` in a workspace, with the workspace's environment and nothing else.
    pub fn builder(workspace: &Workspace) -> Builder {
        Builder {
            program: None,
            args: vec!["lsp".to_owned(), "--stdio".to_owned()],
            env: workspace.env(),
            root: workspace.root().to_owned(),
            persona: Persona::VSCODE,
        }
    }

    /// Starts and initializes.
    pub fn start(workspace: &Workspace, persona: Persona) -> Self {
        let mut client = Self::builder(workspace).persona(persona).start();
        client.initialize();
        client
    }

    fn over(mut child: Child, started: Instant, root: PathBuf, persona: Persona) -> Self {
        let (mut stdin, mut stdout, mut stderr) = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => (stdin, std::io::BufReader::new(stdout), stderr),
            _ => panic!("a child started with pipes has them"),
        };
        // Unbounded: the test never blocks on a server that does not read.
        let (sender, frames) = mpsc::channel::<Vec<u8>>();
        let editor = Editor::new(persona.first_version);
        let shared = Arc::new(Shared {
            persona,
            inbox: Mutex::default(),
            arrived: Condvar::new(),
            editor: Mutex::new(editor),
            to_server: Mutex::new(Some(sender)),
            paused: Mutex::new(false),
            resumed: Condvar::new(),
        });
        thread::spawn(move || {
            // A server that is gone is noticed by whoever waits for it.
            while let Ok(frame) = frames.recv() {
                if stdin.write_all(&frame).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        });
        let reader = Arc::clone(&shared);
        thread::spawn(move || {
            loop {
                reader.wait_while_paused();
                match wire::read(&mut stdout) {
                    Read1::Message(message) => reader.take(message),
                    Read1::End => break,
                    Read1::Stray(text) => {
                        lock(&reader.inbox).stray.push(text);
                        break;
                    }
                }
            }
            lock(&reader.inbox).ended = true;
            reader.arrived.notify_all();
        });
        let notes = Arc::clone(&shared);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut chunk) {
                let kept = &mut lock(&notes.inbox).stderr;
                kept.extend_from_slice(&chunk[..read]);
                let over = kept.len().saturating_sub(STDERR_KEPT);
                kept.drain(..over);
            }
        });
        Self { child, root, shared, started, next_id: 1, initialized: None, finished: None, released: false }
    }

    // Lifecycle.

    /// Sends `initialize` as the persona does and `initialized`; gives the server's result.
    pub fn initialize(&mut self) -> Value {
        let params = self.shared.persona.initialize_params(&self.root);
        self.initialize_with(params)
    }

    /// The same with params of the test's own.
    pub fn initialize_with(&mut self, params: Value) -> Value {
        let result =
            self.request("initialize", params).unwrap_or_else(|error| panic!("failed to initialize: {error:?}"));
        let capabilities = &result["capabilities"];
        let named = capabilities["positionEncoding"].as_str().unwrap_or("utf-16");
        let offered = self.shared.persona.encodings();
        // A client that offers nothing has utf-16, and every client must take it.
        assert!(named == "utf-16" || offered.iter().any(|one| one == named), "the server chose {named} of {offered:?}");
        let sync = &capabilities["textDocumentSync"];
        let kind = sync.as_u64().or_else(|| sync["change"].as_u64());
        {
            let mut editor = lock(&self.shared.editor);
            editor.encoding = Encoding::named(named).unwrap_or_else(|| panic!("{named} is no encoding"));
            editor.incremental = kind == Some(2);
            editor.save_with_text = sync["save"]["includeText"] == true;
        }
        self.notify("initialized", json!({}));
        self.initialized = Some(result.clone());
        result
    }

    /// The same without a folder, as an editor does that has a single file open.
    pub fn initialize_without_folder(&mut self) -> Value {
        let mut params = self.shared.persona.initialize_params(&self.root);
        for key in ["rootUri", "rootPath", "workspaceFolders"] {
            params[key] = Value::Null;
        }
        self.initialize_with(params)
    }

    /// The result of `initialize`.
    pub fn server(&self) -> &Value {
        self.initialized.as_ref().expect("initialized")
    }

    pub fn persona(&self) -> &Persona {
        &self.shared.persona
    }

    /// When the process was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `shutdown` and `exit`; gives the exit status. Checks everything that dropping checks.
    pub fn close(mut self) -> ExitStatus {
        self.leave();
        self.check();
        self.finished.expect("it has left")
    }

    /// Closes the server's stdin and nothing else. The test takes over the end.
    pub fn close_stdin(&mut self) {
        self.released = true;
        lock(&self.shared.to_server).take();
    }

    /// Kills the server. The test takes over the end.
    pub fn kill(&mut self) {
        self.released = true;
        // It may have ended by itself.
        let _ = self.child.kill();
    }

    /// The test ends the session itself; dropping only cleans up.
    pub fn release(&mut self) {
        self.released = true;
    }

    /// Waits for the process to end by itself.
    pub fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while self.finished.is_none() {
            self.finished = self.child.try_wait().expect("it is our child");
            if self.finished.is_none() {
                if Instant::now() > deadline {
                    return None;
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        self.finished
    }

    /// Resident memory in KiB.
    #[cfg(target_os = "linux")]
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// What the server has written to stderr, at most its last 32 KiB.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.inbox().stderr).into_owned()
    }

    /// Stops or goes on reading the server's output.
    pub fn pause_reading(&self, paused: bool) {
        *lock(&self.shared.paused) = paused;
        self.shared.resumed.notify_all();
    }

    // Talking.

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// The server's error reply.
    pub fn request(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        let ticket = self.send_request(method, params);
        self.await_reply(ticket)
    }

    /// Sends a request. Changes the server has not been told of go first, as editors do it.
    pub fn send_request(&mut self, method: &str, params: Value) -> Ticket {
        self.flush();
        let id = self.next_id;
        self.next_id += 1;
        self.shared.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        Ticket(id)
    }

    /// Waits for a reply.
    ///
    /// # Errors
    /// The server's error reply.
    pub fn await_reply(&mut self, ticket: Ticket) -> Result<Value, RpcError> {
        let mut reply = self.wait(&format!("a reply to {}", ticket.0), |inbox| inbox.replies.remove(&ticket.0));
        match reply.get_mut("error").map(Value::take) {
            None => Ok(reply["result"].take()),
            Some(mut error) => Err(RpcError {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                data: error["data"].take(),
            }),
        }
    }

    /// Runs a command as code actions and command palettes do.
    ///
    /// # Errors
    /// The server's error reply.
    pub fn execute(&mut self, command: &str, argument: Value) -> Result<Value, RpcError> {
        let arguments = if argument.is_null() { json!([]) } else { json!([argument]) };
        self.request("workspace/executeCommand", json!({"command": command, "arguments": arguments}))
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.shared.notify(method, params);
    }

    pub fn cancel(&mut self, ticket: Ticket) {
        self.notify("$/cancelRequest", json!({"id": ticket.0}));
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.shared.send_bytes(bytes.to_vec());
    }

    // Reading.

    /// The next notification of this method; gives its params. Earlier ones of other methods stay unread.
    pub fn await_notification(&mut self, method: &str) -> Value {
        self.await_notification_where(method, |_| true)
    }

    /// The next notification of this method that fits. Those of the same method before it count as read.
    pub fn await_notification_where(&mut self, method: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.wait(method, |inbox| {
            let at = inbox.notifications.iter().position(|(name, params)| name == method && fits(params))?;
            let (_, params) = inbox.notifications.remove(at)?;
            let mut index = 0;
            inbox.notifications.retain(|(name, _)| {
                index += 1;
                index > at || name != method
            });
            Some(params)
        })
    }

    /// The next request of this method, which has been answered by then.
    pub fn await_request(&mut self, method: &str) -> Asked {
        self.wait(method, |inbox| {
            let at = inbox.asked.iter().position(|asked| asked.method == method)?;
            inbox.asked.remove(at)
        })
    }

    /// The diagnostics of a file, once they fit.
    pub fn await_diagnostics(&mut self, relative: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let uri = self.uri(relative);
        self.wait(&format!("diagnostics of {relative}"), |inbox| {
            let found = inbox.diagnostics.get(&uri)?["diagnostics"].as_array()?;
            fits(found).then(|| found.clone())
        })
    }

    /// Fails when anything comes within this time.
    pub fn expect_no_message(&mut self, during: Duration) {
        let before = self.inbox().count;
        thread::sleep(during);
        let inbox = self.inbox();
        let (notifications, replies, asked) = (&inbox.notifications, &inbox.replies, &inbox.asked);
        // Counting alone would overlook what came before the first count.
        let silent = inbox.count == before && inbox.unread().next().is_none();
        assert!(silent, "a message came: {notifications:?} {replies:?} {asked:?}");
    }

    /// Takes the unread notifications of a method.
    pub fn take_notifications(&mut self, method: &str) -> Vec<Value> {
        let mut inbox = self.inbox();
        let (taken, kept) = inbox.notifications.drain(..).partition(|(name, _)| name == method);
        inbox.notifications = kept;
        let taken: VecDeque<(String, Value)> = taken;
        taken.into_iter().map(|(_, params)| params).collect()
    }

    /// Takes the unread requests of a method.
    pub fn take_requests(&mut self, method: &str) -> Vec<Asked> {
        let mut inbox = self.inbox();
        let (taken, kept) = inbox.asked.drain(..).partition(|asked: &Asked| asked.method == method);
        inbox.asked = kept;
        taken.into()
    }

    /// Messages of this method need not be read.
    pub fn ignore(&mut self, method: &str) {
        self.inbox().ignored.insert(method.to_owned());
    }

    /// Every `$/progress` so far.
    pub fn progress(&self) -> Vec<Value> {
        self.inbox().progress.clone()
    }

    /// The first `$/progress` that fits, also one that came before.
    pub fn await_progress(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        self.wait("$/progress", |inbox| inbox.progress.iter().find(|value| fits(value)).cloned())
    }

    /// Every `window/logMessage` so far.
    pub fn log(&self) -> Vec<String> {
        self.inbox().log.clone()
    }

    // Editing. Paths are from the workspace's root.

    pub fn uri(&self, relative: &str) -> String {
        crate::workspace::uri(&self.root.join(relative.trim_start_matches('/')))
    }

    /// Opens a file as it is on disk.
    pub fn open(&mut self, relative: &str) {
        let path = self.root.join(relative);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("failed to open {}: {error}", path.display()));
        self.open_with(relative, text);
    }

    /// Opens a document with a text of its own: a file that is not saved yet.
    pub fn open_with(&mut self, relative: &str, text: impl Into<String>) {
        let uri = self.uri(relative);
        self.edit(|editor| editor.open(&uri, text.into()));
    }

    /// Replaces a buffer's text.
    pub fn set_text(&mut self, relative: &str, text: impl Into<String>) {
        let uri = self.uri(relative);
        self.edit(|editor| editor.set_text(&uri, text.into()));
    }

    /// Types `new` in place of the first `old`.
    pub fn replace(&mut self, relative: &str, old: &str, new: &str) {
        let text = self.text(relative);
        assert!(text.contains(old), "{old:?} is not in {relative}: {text:?}");
        self.set_text(relative, text.replacen(old, new, 1));
    }

    /// Writes the buffer to disk and says so.
    pub fn save(&mut self, relative: &str) {
        let uri = self.uri(relative);
        self.edit(|editor| editor.save(&uri));
    }

    pub fn close_document(&mut self, relative: &str) {
        let uri = self.uri(relative);
        self.edit(|editor| editor.close(&uri));
    }

    /// A buffer's text.
    pub fn text(&self, relative: &str) -> String {
        let uri = self.uri(relative);
        let editor = lock(&self.shared.editor);
        editor.buffer(&uri).unwrap_or_else(|| panic!("{relative} is not open")).text.clone()
    }

    /// A buffer's version.
    pub fn version(&self, relative: &str) -> i32 {
        let uri = self.uri(relative);
        let editor = lock(&self.shared.editor);
        editor.buffer(&uri).unwrap_or_else(|| panic!("{relative} is not open")).version
    }

    /// The unsaved files, absolute.
    pub fn unsaved(&self) -> Vec<PathBuf> {
        lock(&self.shared.editor).dirty().into_iter().filter_map(path_of).collect()
    }

    /// What the person does when asked from now on.
    pub fn person(&mut self, person: Person) {
        lock(&self.shared.editor).person = person;
    }

    /// The range of the first `needle` in a buffer, in the negotiated encoding.
    pub fn range_of(&self, relative: &str, needle: &str) -> Value {
        let text = self.text(relative);
        let at = text.find(needle).unwrap_or_else(|| panic!("{needle:?} is not in {relative}"));
        let encoding = lock(&self.shared.editor).encoding;
        json!({
            "start": text::position(&text, at, encoding),
            "end": text::position(&text, at + needle.len(), encoding),
        })
    }

    /// The code actions at a range, as a list.
    pub fn code_actions(&mut self, relative: &str, range: Value) -> Vec<Value> {
        let params = json!({
            "textDocument": {"uri": self.uri(relative)},
            "range": range,
            "context": {"diagnostics": []},
        });
        let actions = self.request("textDocument/codeAction", params).unwrap_or_else(|error| panic!("{error:?}"));
        actions.as_array().cloned().unwrap_or_default()
    }

    /// Runs a code action's command.
    ///
    /// # Errors
    /// The server's error reply.
    pub fn run_action(&mut self, action: &Value) -> Result<Value, RpcError> {
        // A bare Command has the command's name where a CodeAction has the command.
        let command = if action["command"].is_string() { action } else { &action["command"] };
        let name = command["command"].as_str().unwrap_or_else(|| panic!("no command: {action}"));
        let arguments = command.get("arguments").cloned().unwrap_or_else(|| json!([]));
        self.request("workspace/executeCommand", json!({"command": name, "arguments": arguments}))
    }

    fn edit(&mut self, change: impl FnOnce(&mut Editor) -> Outbox) {
        self.shared.edit(change);
    }

    fn flush(&mut self) {
        self.edit(Editor::flush);
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        lock(&self.shared.inbox)
    }

    fn wait<T>(&mut self, what: &str, mut find: impl FnMut(&mut Inbox) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut inbox = lock(&self.shared.inbox);
        loop {
            if let Some(found) = find(&mut inbox) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || inbox.ended {
                let why = if inbox.ended { "the server ended its output" } else { "nothing came" };
                let shown = inbox.describe();
                drop(inbox);
                panic!("waiting for {what}: {why}\n{shown}");
            }
            inbox = self.shared.arrived.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn leave(&mut self) {
        self.pause_reading(false);
        if self.finished.is_some() || self.released {
            return;
        }
        if self.initialized.is_some() {
            let gone = self.request("shutdown", Value::Null);
            assert_eq!(gone, Ok(Value::Null), "the reply to shutdown");
        }
        self.notify("exit", Value::Null);
        assert!(self.wait_exit(Duration::from_secs(5)).is_some(), "it does not leave after exit\n{}", self.stderr());
        // The reader sees the end of the output a moment later.
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.inbox().ended && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn check(&self) {
        let inbox = self.inbox();
        // A process that its client starved, or killed, may leave in the middle of a frame.
        let cut = |stray: &&String| self.released && stray.starts_with(crate::wire::CUT);
        let stray: Vec<&String> = inbox.stray.iter().filter(|stray| !cut(stray)).collect();
        assert!(stray.is_empty(), "bytes on stdout that belong to no frame: {stray:?}");
        if self.released {
            return;
        }
        let code = self.finished.and_then(|status| status.code());
        let expected = if self.initialized.is_some() { 0 } else { 1 };
        assert_eq!(code, Some(expected), "exit code\n{}", inbox.describe());
        let unread: Vec<&str> = inbox.unread().collect();
        assert!(unread.is_empty(), "unread messages: {unread:?}\n{}", inbox.describe());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.leave();
        }
        // Whatever happened, no process is left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() {
            self.check();
        }
    }
}

impl Shared {
    fn send_bytes(&self, bytes: Vec<u8>) {
        if let Some(sender) = &*lock(&self.to_server) {
            // Fails when the server has closed its input, which its exit code will tell.
            let _ = sender.send(bytes);
        }
    }

    fn send(&self, message: &Value) {
        self.send_bytes(wire::encode(message));
    }

    fn notify(&self, method: &str, params: Value) {
        let mut message = json!({"jsonrpc": "2.0", "method": method});
        if !params.is_null() {
            message["params"] = params;
        }
        self.send(&message);
    }

    /// Edits, and sends what came of it before anybody else edits.
    fn edit(self: &Arc<Self>, change: impl FnOnce(&mut Editor) -> Outbox) {
        let mut editor = lock(&self.editor);
        for (method, params) in change(&mut editor) {
            let version = params["textDocument"]["version"].as_i64().unwrap_or_default();
            if self.persona.shuffles && method == "textDocument/didChange" && version % 2 == 1 {
                let late = Arc::clone(self);
                thread::spawn(move || {
                    thread::sleep(SHUFFLED);
                    late.notify(method, params);
                });
            } else {
                self.notify(method, params);
            }
        }
    }

    fn wait_while_paused(&self) {
        let mut paused = lock(&self.paused);
        while *paused {
            paused = self.resumed.wait(paused).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn take(self: &Arc<Self>, mut message: Value) {
        let method = message["method"].as_str().map(str::to_owned);
        let mut asked = None;
        match (method, message.get("id").cloned()) {
            (Some(method), Some(id)) => asked = Some(self.answer(method, id, message["params"].take())),
            (Some(method), None) => lock(&self.inbox).note(method, message["params"].take()),
            (None, Some(Value::Number(id))) => {
                let id = id.as_i64().unwrap_or(-1);
                let twice = lock(&self.inbox).replies.insert(id, message);
                if twice.is_some() {
                    lock(&self.inbox).stray.push(format!("two replies to {id}"));
                }
            }
            (None, _) => lock(&self.inbox).note("(a reply to nothing)".to_owned(), message),
        }
        let mut inbox = lock(&self.inbox);
        inbox.asked.extend(asked);
        inbox.count += 1;
        drop(inbox);
        self.arrived.notify_all();
    }

    /// Answers a request of the server's as the persona does.
    fn answer(self: &Arc<Self>, method: String, id: Value, params: Value) -> Asked {
        let answer = self.think(&method, &params);
        let model = &self.persona.edits;
        if method == "workspace/applyEdit" && model.changes == Changes::BeforeReply {
            self.edit(Editor::flush);
        }
        let reply = answer.clone().map(|answer| match answer {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err((code, text)) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}}),
        });
        if let Some(reply) = reply {
            self.send(&reply);
        }
        if let (Changes::AfterReply(pause), "workspace/applyEdit") = (model.changes, method.as_str()) {
            let later = Arc::clone(self);
            thread::spawn(move || {
                thread::sleep(pause);
                later.edit(Editor::flush);
            });
        }
        Asked { method, params, answer }
    }

    fn think(&self, method: &str, params: &Value) -> Option<Reply> {
        if !self.persona.handles(method) {
            return Some(Err((-32601, format!("MethodNotFound: {method}"))));
        }
        let mut editor = lock(&self.editor);
        let person = editor.person.clone();
        let asks = matches!(method, "workspace/applyEdit" | "window/showMessageRequest");
        if asks && person == Person::Away {
            return None;
        }
        Some(match method {
            "workspace/applyEdit" => editor.apply(params, &self.persona.edits),
            "window/showMessageRequest" => self.choose(&person, params),
            "window/showDocument" => Ok(json!({"success": true})),
            "workspace/configuration" => {
                let items = params["items"].as_array().map_or(0, Vec::len);
                Ok(Value::Array(vec![Value::Null; items]))
            }
            "workspace/workspaceFolders" => Ok(Value::Null),
            _ => Ok(Value::Null),
        })
    }

    fn choose(&self, person: &Person, params: &Value) -> Reply {
        let actions = params["actions"].as_array().cloned().unwrap_or_default();
        let chosen = match person {
            Person::Chooses(title) => actions.into_iter().find(|action| action["title"] == **title),
            Person::Agrees | Person::Refuses | Person::Away => None,
        };
        match (chosen, self.persona.dismissal) {
            (Some(action), _) => Ok(action),
            (None, Dismissal::Null) => Ok(Value::Null),
            (None, Dismissal::Error) => Err((-32800, "cancelled".to_owned())),
        }
    }
}

impl Inbox {
    fn note(&mut self, method: String, mut params: Value) {
        match method.as_str() {
            "$/progress" => self.progress.push(params),
            "window/logMessage" => {
                let text = params["message"].as_str().unwrap_or_default();
                self.log.push(text.to_owned());
            }
            "textDocument/publishDiagnostics" => {
                let uri = params["uri"].as_str().unwrap_or_default().to_owned();
                self.diagnostics.insert(uri, params.take());
            }
            // What begins so may be ignored by whoever does not know it.
            "$/krins/more" => {}
            _ => self.notifications.push_back((method, params)),
        }
    }

    /// The methods of messages that nobody has read and that somebody should have.
    fn unread(&self) -> impl Iterator<Item = &str> {
        const ROUTINE: [&str; 5] = [
            "window/workDoneProgress/create",
            "workspace/configuration",
            "workspace/workspaceFolders",
            "client/registerCapability",
            "client/unregisterCapability",
        ];
        let notifications = self.notifications.iter().map(|(method, _)| method.as_str());
        let asked = self.asked.iter().map(|asked| asked.method.as_str());
        let asked = asked.filter(|method| !ROUTINE.contains(method) && !method.ends_with("/refresh"));
        let replies = self.replies.keys().map(|_| "(a reply)");
        notifications.chain(asked).chain(replies).filter(|&method| !self.ignored.contains(method))
    }

    fn describe(&self) -> String {
        format!(
            "unread notifications: {:?}\nunread requests: {:?}\nstray: {:?}\nstderr: {}",
            self.notifications,
            self.asked,
            self.stray,
            String::from_utf8_lossy(&self.stderr)
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test thread that panicked holding it is failing already.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
