//! `krins acp`, driven by the protocol's own client side over a pipe: nothing is applied without an explicit "allow",
//! unsaved text is never written over, and stdout carries the protocol alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::schema::{
    CancelNotification, ClientCapabilities, CloseSessionRequest, ContentBlock, EmbeddedResource,
    EmbeddedResourceResource, FileSystemCapabilities, InitializeRequest, NewSessionRequest, PlanEntryStatus,
    PromptRequest, PromptResponse, ReadTextFileRequest, ReadTextFileResponse, RequestPermissionOutcome,
    RequestPermissionRequest, RequestPermissionResponse, ResourceLink, SelectedPermissionOutcome, SessionId,
    SessionNotification, SessionUpdate, StopReason, TextContent, TextResourceContents, ToolCallContent, ToolCallStatus,
    WriteTextFileRequest, WriteTextFileResponse,
};
use agent_client_protocol::v1::{ConnectionTo, Responder};
use agent_client_protocol::{Agent, Client, Error, Lines, on_receive_notification, on_receive_request};
use futures::{sink, stream};
use krins_tests::command::{command, krins};
use krins_tests::fakes::{Dialect, FakeProvider, Scenario};
use krins_tests::workspace::Workspace;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

const SHOP: &str = "\
//- /src/total.ts
export function calculateTotal(prices: number[]): number {
  return prices.reduce((sum, price) => sum + price, 0);
}
//- /src/cart.ts
import { calculateTotal } from \"./total\";
export const cart = (prices: number[]) => calculateTotal(prices);
";

const RENAME: &str = "rename calculateTotal to orderTotal";

/// What the person, or the editor for them, makes of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Allow,
    Refuse,
    /// An option that was not offered.
    Other,
    Cancelled,
    Error,
    /// Nothing, until the test says something.
    Nothing,
}

/// What the editor makes of a request to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    Honestly,
    /// Says yes, and does nothing.
    Never,
    Refuses,
    /// Does not offer it.
    Unable,
    /// Formats what it saves.
    Formats,
    /// Refuses, and somebody types meanwhile.
    TypedInstead,
    /// Does it, and then says nothing any more.
    FallsSilent,
}

#[derive(Default)]
struct Seen {
    updates: Vec<SessionUpdate>,
    asked: Vec<RequestPermissionRequest>,
    held: Option<Responder<RequestPermissionResponse>>,
    unanswered: Vec<Responder<ReadTextFileResponse>>,
    /// Text that is not saved.
    buffers: BTreeMap<PathBuf, String>,
    read: Vec<PathBuf>,
    written: Vec<PathBuf>,
    /// What the person types while the question stands.
    typing: Option<(PathBuf, String)>,
    /// Is asked for text, and does not answer.
    mute: bool,
}

struct Editor {
    says: Says,
    reads: bool,
    writes: Writes,
    /// Says an empty text of a file that is not there, as Zed does.
    empty: bool,
    seen: Mutex<Seen>,
}

impl Editor {
    fn new(says: Says) -> Self {
        Self { says, reads: false, writes: Writes::Unable, empty: false, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    fn capabilities(&self) -> ClientCapabilities {
        let files =
            FileSystemCapabilities::new().read_text_file(self.reads).write_text_file(self.writes != Writes::Unable);
        ClientCapabilities::new().fs(files)
    }

    fn answer(
        &self,
        request: RequestPermissionRequest,
        responder: Responder<RequestPermissionResponse>,
    ) -> Result<(), Error> {
        let mut seen = self.seen();
        if let Some((path, text)) = seen.typing.take() {
            seen.buffers.insert(path, text);
        }
        seen.asked.push(request);
        let selected = |id: &'static str| RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new(id));
        let outcome = match self.says {
            Says::Allow => selected("apply"),
            Says::Refuse => selected("leave"),
            Says::Other => selected("allow_always"),
            Says::Cancelled => RequestPermissionOutcome::Cancelled,
            Says::Error => return responder.respond_with_error(Error::internal_error()),
            Says::Nothing => {
                seen.held = Some(responder);
                return Ok(());
            }
        };
        responder.respond(RequestPermissionResponse::new(outcome))
    }

    fn read(&self, path: &Path) -> Result<String, Error> {
        let mut seen = self.seen();
        seen.read.push(path.to_owned());
        match seen.buffers.get(path) {
            Some(text) => Ok(text.clone()),
            None if self.empty && !path.exists() => Ok(String::new()),
            None => std::fs::read_to_string(path).map_err(|_| Error::new(-32002, "there is no such file")),
        }
    }

    /// As Zed does it: into the buffer, and saved.
    fn write(&self, path: &Path, text: String) -> Result<(), Error> {
        let mut seen = self.seen();
        seen.written.push(path.to_owned());
        match self.writes {
            Writes::Honestly | Writes::Formats => {
                let text =
                    if self.writes == Writes::Formats { text.replace("orderTotal (", "orderTotal(") } else { text };
                std::fs::write(path, &text).unwrap();
                seen.buffers.remove(path);
                Ok(())
            }
            Writes::Never => Ok(()),
            Writes::TypedInstead => {
                seen.buffers.get_mut(path).unwrap().push_str("// typed meanwhile\n");
                Err(Error::internal_error())
            }
            Writes::FallsSilent => {
                seen.buffers.insert(path.to_owned(), text);
                seen.mute = true;
                Ok(())
            }
            Writes::Refuses | Writes::Unable => Err(Error::internal_error()),
        }
    }

    /// What was said in words.
    fn words(&self) -> String {
        let text = |update: &SessionUpdate| match update {
            SessionUpdate::AgentMessageChunk(chunk) => match &chunk.content {
                ContentBlock::Text(text) => Some(text.text.clone()),
                _ => None,
            },
            _ => None,
        };
        self.seen().updates.iter().filter_map(text).collect()
    }

    /// What the plan shows after it was told last, by status: done, in progress, pending.
    fn plan(&self) -> Option<[usize; 3]> {
        let seen = self.seen();
        let plan = seen.updates.iter().rev().find_map(|update| match update {
            SessionUpdate::Plan(plan) => Some(plan),
            _ => None,
        })?;
        use PlanEntryStatus::{Completed, InProgress, Pending};
        let count = |status| plan.entries.iter().filter(|entry| entry.status == status).count();
        Some([count(Completed), count(InProgress), count(Pending)])
    }

    fn statuses(&self) -> Vec<ToolCallStatus> {
        let status = |update: &SessionUpdate| match update {
            SessionUpdate::ToolCall(call) => Some(call.status),
            SessionUpdate::ToolCallUpdate(update) => update.fields.status,
            _ => None,
        };
        self.seen().updates.iter().filter_map(status).collect()
    }

    async fn is_asked(&self) {
        for _ in 0..2000 {
            if !self.seen().asked.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody asked: {}", self.words());
    }
}

/// Starts the agent and plays the editor to it. Every line on stdout has to be a message.
async fn with_agent(
    workspace: &Workspace,
    args: &[&str],
    editor: &Arc<Editor>,
    act: impl AsyncFnOnce(ConnectionTo<Agent>, SessionId),
) -> Child {
    let args: Vec<&str> = ["acp"].iter().chain(args).copied().collect();
    let mut starting = Command::from(command(workspace, &args));
    let mut child = starting.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let incoming = stream::unfold(lines, |mut lines| async move {
        let line = lines.next_line().await.unwrap()?;
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        Some((Ok(line), lines))
    });
    let outgoing = sink::unfold(child.stdin.take().unwrap(), |mut stdin, line: String| async move {
        stdin.write_all(format!("{line}\n").as_bytes()).await?;
        stdin.flush().await?;
        Ok::<_, std::io::Error>(stdin)
    });
    let [told, asked, reads, writes] = std::array::from_fn(|_| Arc::clone(editor));
    let (root, capabilities) = (workspace.root().to_owned(), editor.capabilities());
    Client
        .v1()
        .on_receive_notification(
            async move |notification: SessionNotification, _| {
                told.seen().updates.push(notification.update);
                Ok(())
            },
            on_receive_notification!(),
        )
        .on_receive_request(
            async move |request: RequestPermissionRequest, responder, _| asked.answer(request, responder),
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: ReadTextFileRequest, responder, _| {
                let mut seen = reads.seen();
                if seen.mute {
                    seen.read.push(request.path);
                    seen.unanswered.push(responder);
                    return Ok(());
                }
                drop(seen);
                responder.respond_with_result(reads.read(&request.path).map(ReadTextFileResponse::new))
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: WriteTextFileRequest, responder, _| {
                let written = writes.write(&request.path, request.content);
                responder.respond_with_result(written.map(|()| WriteTextFileResponse::new()))
            },
            on_receive_request!(),
        )
        .connect_with(Lines::new(outgoing, incoming), async move |connection: ConnectionTo<Agent>| {
            let hello = InitializeRequest::new(ProtocolVersion::V1).client_capabilities(capabilities);
            let hello = connection.send_request(hello).block_task().await?;
            assert_eq!(hello.protocol_version, ProtocolVersion::V1);
            assert_eq!(hello.agent_info.unwrap().name, "krins");
            assert!(hello.auth_methods.is_empty());
            assert!(hello.agent_capabilities.prompt_capabilities.embedded_context);
            assert!(hello.agent_capabilities.session_capabilities.close.is_some());
            let session = connection.send_request(NewSessionRequest::new(root)).block_task().await?.session_id;
            act(connection, session).await;
            Ok(())
        })
        .await
        .unwrap();
    child
}

async fn prompt(connection: &ConnectionTo<Agent>, session: &SessionId, words: &str) -> PromptResponse {
    send(connection, session, vec![ContentBlock::Text(TextContent::new(words))]).await
}

/// As Zed sends a file that is mentioned: its text, where its name stood.
fn embedded(workspace: &Workspace, path: &str) -> ContentBlock {
    let text = TextResourceContents::new(workspace.read(path), workspace.uri(path));
    ContentBlock::Resource(EmbeddedResource::new(EmbeddedResourceResource::TextResourceContents(text)))
}

fn words(text: &str) -> ContentBlock {
    ContentBlock::Text(TextContent::new(text))
}

async fn send(connection: &ConnectionTo<Agent>, session: &SessionId, blocks: Vec<ContentBlock>) -> PromptResponse {
    let asked = connection.send_request(PromptRequest::new(session.clone(), blocks)).block_task();
    tokio::time::timeout(Duration::from_secs(60), asked).await.expect("a turn in time").unwrap()
}

/// Asks for the change, and allows it once something has happened while the question stood.
async fn allowed_after(
    connection: &ConnectionTo<Agent>,
    session: &SessionId,
    editor: &Editor,
    meanwhile: impl FnOnce(&mut Seen),
) {
    let turn = connection.send_request(PromptRequest::new(session.clone(), vec![words(RENAME)])).block_task();
    let acting = async {
        editor.is_asked().await;
        let held = {
            let mut seen = editor.seen();
            meanwhile(&mut seen);
            seen.held.take().unwrap()
        };
        let allow = RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new("apply"));
        held.respond(RequestPermissionResponse::new(allow)).unwrap();
    };
    let (ended, ()) = tokio::join!(turn, acting);
    assert_eq!(ended.unwrap().stop_reason, StopReason::EndTurn);
}

fn state(workspace: &Workspace) -> Value {
    krins(workspace, &["task", "list", "--json"]).expect(0).json()[0]["state"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_is_shown_asked_about_applied_and_taken_back() {
    let workspace = Workspace::from_fixture(SHOP);
    let before = workspace.snapshot();
    let editor = Arc::new(Editor::new(Says::Allow));
    with_agent(&workspace, &[], &editor, async |connection, session| {
        let ended = prompt(&connection, &session, RENAME).await;
        assert_eq!(ended.stop_reason, StopReason::EndTurn, "{}", editor.words());
        assert!(workspace.read("src/total.ts").contains("function orderTotal"), "{}", editor.words());
        assert!(workspace.read("src/cart.ts").contains("orderTotal(prices)"));
        // What was shown is what was written, and it was asked about that.
        let asked = editor.seen().asked[0].clone();
        let mut shown: Vec<(PathBuf, Option<String>, String)> = Vec::new();
        for content in asked.tool_call.fields.content.unwrap() {
            let ToolCallContent::Diff(diff) = content else { panic!("{content:?}") };
            shown.push((diff.path, diff.old_text, diff.new_text));
        }
        for (path, old, new) in &shown {
            assert_eq!(&std::fs::read_to_string(path).unwrap(), new);
            let relative = path.strip_prefix(workspace.root()).unwrap();
            assert_eq!(old.as_ref().unwrap().as_bytes(), before[relative]);
        }
        assert_eq!(shown.len(), 2);
        use ToolCallStatus::{Completed, InProgress, Pending};
        assert_eq!(editor.statuses(), [Pending, InProgress, Completed]);
        let plans: Vec<usize> = editor
            .seen()
            .updates
            .iter()
            .filter_map(|update| match update {
                SessionUpdate::Plan(plan) => {
                    Some(plan.entries.iter().filter(|entry| entry.status == PlanEntryStatus::Completed).count())
                }
                _ => None,
            })
            .collect();
        assert!(plans.is_sorted() && plans.first() == Some(&0) && plans.last() == Some(&5), "{plans:?}");
        assert!(editor.words().contains("**The gate lets it through.**"), "{}", editor.words());
        assert!(editor.seen().updates.iter().any(|update| matches!(update, SessionUpdate::AvailableCommandsUpdate(_))));
        prompt(&connection, &session, "/undo").await;
        assert!(workspace.snapshot() == before, "{}", editor.words());
        prompt(&connection, &session, "/redo").await;
        assert!(workspace.read("src/cart.ts").contains("orderTotal(prices)"), "{}", editor.words());
        // What is not understood is said, with what could be.
        prompt(&connection, &session, "make it faster").await;
        assert!(editor.words().contains("Krins failed to"), "{}", editor.words());
        // A file that is named is where to look.
        let link = ContentBlock::ResourceLink(ResourceLink::new("cart.ts", workspace.uri("src/cart.ts")));
        let words = ContentBlock::Text(TextContent::new("rename cart to basket in "));
        let request = PromptRequest::new(session.clone(), vec![words, link]);
        connection.send_request(request).block_task().await.unwrap();
        assert!(workspace.read("src/cart.ts").contains("const basket"), "{}", editor.words());
        // Sessions and workspaces that are not there.
        let nowhere = PromptRequest::new("s-0", vec![ContentBlock::Text(TextContent::new("x"))]);
        let error = connection.send_request(nowhere).block_task().await.unwrap_err();
        assert!(error.message.contains("failed to find session"), "{error:?}");
        let nothing = NewSessionRequest::new(workspace.root().join("not-there"));
        connection.send_request(nothing).block_task().await.unwrap_err();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_not_an_explicit_allow_is_no() {
    for says in [Says::Refuse, Says::Other, Says::Cancelled, Says::Error, Says::Nothing] {
        let workspace = Workspace::from_fixture(SHOP);
        let before = workspace.snapshot();
        let editor = Arc::new(Editor::new(says));
        with_agent(&workspace, &["--patience", "1"], &editor, async |connection, session| {
            let ended = prompt(&connection, &session, RENAME).await;
            assert_eq!(ended.stop_reason, StopReason::EndTurn);
            // A late yes is none.
            let held = editor.seen().held.take();
            if let Some(held) = held {
                let allow = RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new("apply"));
                let _ = held.respond(RequestPermissionResponse::new(allow));
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        })
        .await;
        assert!(workspace.snapshot() == before, "{says:?}");
        assert_eq!(editor.statuses(), [ToolCallStatus::Pending, ToolCallStatus::Failed], "{says:?}");
        assert!(editor.words().contains("othing was changed"), "{says:?}: {}", editor.words());
        // What was done stays, and nothing is in progress.
        assert_eq!(editor.plan(), Some([if says == Says::Refuse { 4 } else { 3 }, 0, 0]), "{says:?}");
        assert_eq!(state(&workspace), if says == Says::Refuse { "discarded" } else { "ready" }, "{says:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_the_turn_whatever_it_is_at() {
    // While the question stands: also the yes that comes after it is none.
    let workspace = Workspace::from_fixture(SHOP);
    let before = workspace.snapshot();
    let editor = Arc::new(Editor::new(Says::Nothing));
    with_agent(&workspace, &[], &editor, async |connection, session| {
        let text = ContentBlock::Text(TextContent::new(RENAME));
        let turn = connection.send_request(PromptRequest::new(session.clone(), vec![text.clone()])).block_task();
        let acting = async {
            editor.is_asked().await;
            // One turn at a time.
            let second = connection.send_request(PromptRequest::new(session.clone(), vec![text])).block_task().await;
            assert!(second.unwrap_err().message.contains("the one before is not over"));
            connection.send_notification(CancelNotification::new(session.clone())).unwrap();
            let held = editor.seen().held.take().unwrap();
            let allow = RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new("apply"));
            let _ = held.respond(RequestPermissionResponse::new(allow));
        };
        let (ended, ()) = tokio::join!(turn, acting);
        assert_eq!(ended.unwrap().stop_reason, StopReason::Cancelled);
        assert_eq!(editor.plan(), Some([3, 0, 0]));
        tokio::time::sleep(Duration::from_millis(300)).await;
        // The session goes on.
        assert_eq!(prompt(&connection, &session, "/undo").await.stop_reason, StopReason::EndTurn);
    })
    .await;
    assert!(workspace.snapshot() == before);
    // While a model is asked: its connection is closed.
    let fake = silent_model(&workspace).await;
    let editor = Arc::new(Editor::new(Says::Allow));
    with_agent(&workspace, &[], &editor, async |connection, session| {
        let text = ContentBlock::Text(TextContent::new("call it sum"));
        let turn = connection.send_request(PromptRequest::new(session.clone(), vec![text])).block_task();
        let acting = async {
            while fake.attempts().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            connection.send_notification(CancelNotification::new(session.clone())).unwrap();
            Instant::now()
        };
        let (ended, began) = tokio::join!(turn, acting);
        assert_eq!(ended.unwrap().stop_reason, StopReason::Cancelled);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    })
    .await;
    assert_eq!(state(&workspace), "cancelled");
    assert!(editor.seen().asked.is_empty());
    assert_eq!(editor.plan().map(|[_, open, waiting]| [open, waiting]), Some([0, 0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_mentioned_is_named_whether_it_comes_as_a_link_or_as_its_text() {
    let shop = format!(
        "{SHOP}//- /src/index.ts\nimport {{ cart }} from \"./cart\";\nexport const nothing = 1;\n\
         //- /src/more.ts\nimport {{ cart }} from \"./cart\";\nimport {{ nothing }} from \"./index\";\n\
         export const more = 2;\n"
    );
    let workspace = Workspace::from_fixture(&shop);
    let editor = Arc::new(Editor::new(Says::Allow));
    with_agent(&workspace, &[], &editor, async |connection, session| {
        let file = |path: &str| embedded(&workspace, path);
        // Two files in the place of their names; a third has an import that nobody uses too, and is not meant.
        let third = workspace.read("src/more.ts");
        let blocks =
            vec![words("remove unused imports in "), file("src/index.ts"), words(" and "), file("src/total.ts")];
        send(&connection, &session, blocks).await;
        assert_eq!(workspace.read("src/index.ts"), "export const nothing = 1;\n", "{}", editor.words());
        assert_eq!(workspace.read("src/more.ts"), third);
        // At the end of the sentence; the target imports what comes to it.
        send(&connection, &session, vec![words("move calculateTotal to "), file("src/cart.ts")]).await;
        assert!(workspace.read("src/cart.ts").contains("function calculateTotal"), "{}", editor.words());
        // What the client attaches of itself is no word of the sentence, and it is where to look.
        send(&connection, &session, vec![file("src/cart.ts"), words(" rename cart to basket")]).await;
        assert!(workspace.read("src/cart.ts").contains("const basket"), "{}", editor.words());
        send(&connection, &session, vec![words("rename basket to trolley"), file("src/cart.ts")]).await;
        assert!(workspace.read("src/cart.ts").contains("const trolley"), "{}", editor.words());
        // A scope that is mentioned is never made the whole workspace.
        let before = workspace.read("src/more.ts");
        send(&connection, &session, vec![file("src/index.ts"), words("remove unused imports")]).await;
        assert_eq!(workspace.read("src/more.ts"), before, "{}", editor.words());
        send(&connection, &session, vec![words("remove unused imports"), file("src/more.ts")]).await;
        assert_eq!(workspace.read("src/more.ts"), "export const more = 2;\n", "{}", editor.words());
        // Named in the text too: it stands there once.
        send(&connection, &session, vec![words("rename trolley in src/cart.ts to cart"), file("src/cart.ts")]).await;
        assert!(workspace.read("src/cart.ts").contains("const cart"), "{}", editor.words());
        // What cannot be used is said, and what is about nothing else goes on.
        let page = TextResourceContents::new("a page", "https://example.com/page");
        let page = ContentBlock::Resource(EmbeddedResource::new(EmbeddedResourceResource::TextResourceContents(page)));
        send(&connection, &session, vec![words("rename cart to basket"), page]).await;
        assert!(editor.words().contains("Left out, because Krins takes files of this workspace alone: `https:"));
        assert!(workspace.read("src/cart.ts").contains("const basket"), "{}", editor.words());
        // Files without words are no task, and words behind a command are none either.
        let before = workspace.snapshot();
        send(&connection, &session, vec![file("src/cart.ts")]).await;
        assert!(editor.words().contains("failed to assign a task without words"), "{}", editor.words());
        prompt(&connection, &session, "/undo everything").await;
        assert!(editor.words().contains("there are words behind it"), "{}", editor.words());
        prompt(&connection, &session, &"please ".repeat(1 << 20)).await;
        assert!(editor.words().contains("bytes of words"), "{}", editor.words());
        assert!(workspace.snapshot() == before);
    })
    .await;
}

/// A model that is asked in this workspace and says nothing.
async fn silent_model(workspace: &Workspace) -> FakeProvider {
    let fake = FakeProvider::start(Dialect::Anthropic, Scenario::Silent).await.unwrap();
    let config = workspace.home().join(".config/krins");
    std::fs::create_dir_all(&config).unwrap();
    let text = format!(
        "provider = \"fake\"\n[providers.fake]\nkind = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"m\"\nkey = \"none\"\n",
        fake.base_url()
    );
    std::fs::write(config.join("config.toml"), text).unwrap();
    fake
}

/// The files are in what a model gets, though no word of the task leads to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_that_is_mentioned_reaches_the_model() {
    let strangers: String = (0..40).map(|n| format!("//- /src/s{n}.ts\nexport const other{n} = {n};\n")).collect();
    let kept = "//- /.krinsignore\nprivate/\n//- /private/x.ts\nexport const x = 1;\n//- /notes.txt\nround half up\n";
    let workspace = Workspace::from_fixture(&format!("{SHOP}{strangers}{kept}"));
    let fake = silent_model(&workspace).await;
    let editor = Arc::new(Editor::new(Says::Allow));
    with_agent(&workspace, &[], &editor, async |connection, session| {
        let file = |path: &str| embedded(&workspace, path);
        let blocks = vec![
            words("fix it in "),
            file("src/total.ts"),
            words(" as in "),
            file("notes.txt"),
            words(" and "),
            file("src/s7.ts"),
        ];
        let turn = connection.send_request(PromptRequest::new(session.clone(), blocks)).block_task();
        let acting = async {
            while fake.attempts().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            connection.send_notification(CancelNotification::new(session.clone())).unwrap();
        };
        let (ended, ()) = tokio::join!(turn, acting);
        assert_eq!(ended.unwrap().stop_reason, StopReason::Cancelled);
        let sent = fake.attempts()[0].body.to_string();
        for part in
            ["fix it in src/total.ts as in notes.txt and src/s7.ts", "round half up", "export const other7 = 7;"]
        {
            assert!(sent.contains(part), "{part}: {sent}");
        }
        // What is kept out stays out, wherever in the prompt it is mentioned.
        let blocks = vec![words("fix it in "), file("src/total.ts"), words(" as in "), file("private/x.ts")];
        send(&connection, &session, blocks).await;
        assert!(editor.words().contains("private/x.ts"), "{}", editor.words());
        assert_eq!(fake.attempts().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_makes_room_when_there_are_many_and_one_at_work_does_not() {
    let workspace = Workspace::from_fixture(SHOP);
    let editor = Arc::new(Editor::new(Says::Nothing));
    with_agent(&workspace, &[], &editor, async |connection, first| {
        let open = async || {
            let request = NewSessionRequest::new(workspace.root());
            connection.send_request(request).block_task().await.unwrap().session_id
        };
        let turn = connection.send_request(PromptRequest::new(first.clone(), vec![words(RENAME)])).block_task();
        let acting = async {
            editor.is_asked().await;
            let (second, third) = (open().await, open().await);
            // Of the two the older one is used again, so the other is the one that makes room.
            prompt(&connection, &second, "/undo").await;
            for _ in 0..62 {
                open().await;
            }
            let gone = connection.send_request(PromptRequest::new(third.clone(), vec![words("/undo")])).block_task();
            let error = gone.await.unwrap_err();
            assert!(error.message.contains("newer ones took its place"), "{error:?}");
            assert_eq!(prompt(&connection, &second, "/undo").await.stop_reason, StopReason::EndTurn);
            // Closing stops the turn, and is the end of the session; also of one that is gone.
            connection.send_request(CloseSessionRequest::new(first.clone())).block_task().await.unwrap();
            connection.send_request(CloseSessionRequest::new(third)).block_task().await.unwrap();
        };
        let (ended, ()) = tokio::join!(turn, acting);
        assert_eq!(ended.unwrap().stop_reason, StopReason::Cancelled);
        let closed = connection.send_request(PromptRequest::new(first, vec![words(RENAME)])).block_task().await;
        assert!(closed.unwrap_err().message.contains("it was closed"));
    })
    .await;
    assert!(workspace.read("src/cart.ts").contains("calculateTotal"));
}

/// An editor that offers its text and never gives it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_does_not_wait_for_an_editor_that_does_not_answer() {
    let files: String = (0..30).map(|n| format!("//- /src/s{n}.ts\nexport const other{n} = {n};\n")).collect();
    let workspace = Workspace::from_fixture(&format!("{SHOP}{files}"));
    let editor = Arc::new(Editor { reads: true, ..Editor::new(Says::Allow) });
    editor.seen().mute = true;
    with_agent(&workspace, &[], &editor, async |connection, session| {
        let mut blocks = vec![words("rename calculateTotal to orderTotal ")];
        blocks.extend((0..30).map(|n| embedded(&workspace, &format!("src/s{n}.ts"))));
        let turn = connection.send_request(PromptRequest::new(session.clone(), blocks)).block_task();
        let acting = async {
            while editor.seen().read.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            connection.send_notification(CancelNotification::new(session.clone())).unwrap();
            Instant::now()
        };
        let (ended, began) = tokio::join!(turn, acting);
        assert_eq!(ended.unwrap().stop_reason, StopReason::Cancelled);
        assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    })
    .await;
}

/// The first file has text that is not saved.
fn unsaved(says: Says, writes: Writes, workspace: &Workspace) -> (Arc<Editor>, PathBuf) {
    let editor = Editor { reads: true, writes, ..Editor::new(says) };
    let path = workspace.path("src/total.ts");
    let text = format!("// not saved yet\n{}", workspace.read("src/total.ts"));
    editor.seen().buffers.insert(path.clone(), text);
    (Arc::new(editor), path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_is_not_saved_is_the_truth() {
    let workspace = Workspace::from_fixture(SHOP);
    let (editor, path) = unsaved(Says::Allow, Writes::Honestly, &workspace);
    with_agent(&workspace, &[], &editor, async |connection, session| {
        prompt(&connection, &session, RENAME).await;
        let text = workspace.read("src/total.ts");
        assert!(
            text.starts_with("// not saved yet\n") && text.contains("function orderTotal"),
            "{text} {}",
            editor.words()
        );
        assert!(workspace.read("src/cart.ts").contains("orderTotal(prices)"));
        // Only what was not saved went through the editor; the rest is the journal's.
        assert_eq!(editor.seen().written, std::slice::from_ref(&path));
        assert_eq!(editor.statuses().last(), Some(&ToolCallStatus::Completed));
        prompt(&connection, &session, "/undo").await;
        assert!(workspace.read("src/total.ts").contains("function calculateTotal"), "{}", editor.words());
        assert!(workspace.read("src/total.ts").starts_with("// not saved yet\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_that_does_not_write_takes_the_whole_change_with_it() {
    for writes in [Writes::Never, Writes::Refuses, Writes::Unable] {
        let workspace = Workspace::from_fixture(SHOP);
        let before = workspace.snapshot();
        let (editor, path) = unsaved(Says::Allow, writes, &workspace);
        let text = editor.seen().buffers[&path].clone();
        with_agent(&workspace, &[], &editor, async |connection, session| {
            prompt(&connection, &session, RENAME).await;
        })
        .await;
        assert!(workspace.snapshot() == before, "{writes:?}");
        assert_eq!(editor.seen().buffers[&path], text, "{writes:?}");
        assert_eq!(editor.statuses().last(), Some(&ToolCallStatus::Failed), "{writes:?}");
        assert!(editor.words().contains("src/total.ts"), "{writes:?}: {}", editor.words());
    }
}

/// A formatter runs when the editor saves: what it made of the change is not what was allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_the_editor_makes_another_of_is_taken_back() {
    let workspace = Workspace::from_fixture(SHOP);
    let (cart, own) = (workspace.read("src/cart.ts"), workspace.read("src/total.ts"));
    let (editor, path) = unsaved(Says::Allow, Writes::Formats, &workspace);
    let text = format!("// not saved yet\n{}", own.replace("Total(", "Total ("));
    editor.seen().buffers.insert(path, text.clone());
    with_agent(&workspace, &[], &editor, async |connection, session| {
        prompt(&connection, &session, RENAME).await;
    })
    .await;
    assert_eq!((workspace.read("src/total.ts"), workspace.read("src/cart.ts")), (text, cart), "{}", editor.words());
    assert!(editor.words().contains("save it first"), "{}", editor.words());
    assert_eq!(editor.statuses().last(), Some(&ToolCallStatus::Failed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_hold_something_else_is_named_and_what_was_typed_stays() {
    for (writes, holds) in [(Writes::TypedInstead, "// typed meanwhile"), (Writes::FallsSilent, "function orderTotal")]
    {
        let workspace = Workspace::from_fixture(SHOP);
        let before = workspace.snapshot();
        let (editor, path) = unsaved(Says::Allow, writes, &workspace);
        with_agent(&workspace, &[], &editor, async |connection, session| {
            prompt(&connection, &session, RENAME).await;
        })
        .await;
        assert!(editor.seen().buffers[&path].contains(holds), "{writes:?}");
        assert_eq!(editor.seen().written, [path], "{writes:?}: it was written over");
        assert!(workspace.snapshot() == before, "{writes:?}");
        let words = editor.words();
        assert!(words.contains("src/total.ts") && !words.contains("nothing was changed"), "{writes:?}: {words}");
        assert_eq!(editor.statuses().last(), Some(&ToolCallStatus::Failed), "{writes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_which_the_editor_says_an_empty_text_can_be_created() {
    let workspace = Workspace::from_fixture(SHOP);
    let editor = Editor { reads: true, writes: Writes::Honestly, empty: true, ..Editor::new(Says::Allow) };
    let editor = Arc::new(editor);
    let before = workspace.snapshot();
    with_agent(&workspace, &[], &editor, async |connection, session| {
        prompt(&connection, &session, "move calculateTotal to src/sum.ts").await;
        assert!(workspace.read("src/sum.ts").contains("function calculateTotal"), "{}", editor.words());
        assert!(editor.seen().read.contains(&workspace.path("src/sum.ts")));
        // Nobody types in it, so that the journal wrote it.
        assert!(editor.seen().written.is_empty(), "{:?}", editor.seen().written);
        prompt(&connection, &session, "/undo").await;
    })
    .await;
    assert!(workspace.snapshot() == before, "{}", editor.words());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_have_the_names_that_the_editor_has_for_them() {
    let workspace = Workspace::from_fixture(SHOP);
    let link = workspace.home().join("linked");
    std::os::unix::fs::symlink(workspace.root(), &link).unwrap();
    let editor = Arc::new(Editor { reads: true, writes: Writes::Honestly, ..Editor::new(Says::Allow) });
    let text = format!("// not saved yet\n{}", workspace.read("src/total.ts"));
    editor.seen().buffers.insert(link.join("src/total.ts"), text);
    with_agent(&workspace, &[], &editor, async |connection, _| {
        let request = NewSessionRequest::new(&link);
        let session = connection.send_request(request).block_task().await.unwrap().session_id;
        prompt(&connection, &session, RENAME).await;
    })
    .await;
    let text = workspace.read("src/total.ts");
    assert!(text.starts_with("// not saved yet\n") && text.contains("function orderTotal"), "{}", editor.words());
    let seen = editor.seen();
    assert!(seen.read.iter().chain(&seen.written).all(|path| path.starts_with(&link)), "{:?}", seen.read);
    let shown = seen.asked[0].tool_call.fields.locations.as_ref().unwrap();
    assert!(shown.iter().all(|location| location.path.starts_with(&link)), "{shown:?}");
}

/// What was not saved in one turn is saved before the next, with more in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_was_saved_between_two_turns_is_known_as_it_is() {
    // More files than are looked at for a context use the other name.
    let others = |n| format!("//- /src/r{n}.ts\nimport {{ rate }} from \"./rate\";\nexport const r{n} = rate;\n");
    let others: String = (0..40).map(others).collect();
    let workspace = Workspace::from_fixture(&format!("{SHOP}//- /src/rate.ts\nexport const rate = 2;\n{others}"));
    let (editor, path) = unsaved(Says::Refuse, Writes::Honestly, &workspace);
    with_agent(&workspace, &[], &editor, async |connection, session| {
        prompt(&connection, &session, RENAME).await;
        editor.seen().buffers.remove(&path);
        let own = workspace.read("src/total.ts");
        let saved = format!("import {{ rate }} from \"./rate\";\n{own}export const twice = rate;\n");
        std::fs::write(&path, saved).unwrap();
        prompt(&connection, &session, "rename rate to factor").await;
        let shown = editor.seen().updates.iter().any(|update| match update {
            SessionUpdate::ToolCall(call) => call.content.iter().any(|content| match content {
                ToolCallContent::Diff(diff) => diff.path == path && diff.new_text.contains("twice = factor"),
                _ => false,
            }),
            _ => false,
        });
        assert!(shown, "{}", editor.words());
    })
    .await;
}

/// Whether it holds text that is not saved nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_applied_beneath_an_editor_that_has_fallen_silent() {
    let workspace = Workspace::from_fixture(SHOP);
    let before = workspace.snapshot();
    let editor = Arc::new(Editor { reads: true, writes: Writes::Honestly, ..Editor::new(Says::Nothing) });
    with_agent(&workspace, &[], &editor, async |connection, session| {
        allowed_after(&connection, &session, &editor, |seen| seen.mute = true).await;
    })
    .await;
    assert!(workspace.snapshot() == before, "{}", editor.words());
    assert!(editor.words().contains("it did not answer"), "{}", editor.words());
    assert_eq!(editor.statuses().last(), Some(&ToolCallStatus::Failed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_while_the_question_stands_is_merged_or_refuses_the_change() {
    // Elsewhere in the file: both are there.
    let workspace = Workspace::from_fixture(SHOP);
    let (editor, path) = unsaved(Says::Allow, Writes::Honestly, &workspace);
    let more = format!("{}// typed meanwhile\n", editor.seen().buffers[&path]);
    editor.seen().typing = Some((path.clone(), more));
    with_agent(&workspace, &[], &editor, async |connection, session| {
        prompt(&connection, &session, RENAME).await;
    })
    .await;
    let text = workspace.read("src/total.ts");
    assert!(
        text.contains("function orderTotal") && text.ends_with("// typed meanwhile\n"),
        "{text} {}",
        editor.words()
    );
    // In the same place: nothing is written, and it is said where.
    for saved in [false, true] {
        let workspace = Workspace::from_fixture(SHOP);
        let (editor, path) = unsaved(Says::Nothing, Writes::Honestly, &workspace);
        let other = workspace.read("src/total.ts").replace("calculateTotal", "somethingElse");
        with_agent(&workspace, &[], &editor, async |connection, session| {
            allowed_after(&connection, &session, &editor, |seen| match saved {
                true => {
                    seen.buffers.remove(&path);
                    std::fs::write(&path, &other).unwrap();
                }
                false => drop(seen.buffers.insert(path.clone(), other.clone())),
            })
            .await;
        })
        .await;
        assert!(editor.words().contains("went on in the same places"), "{saved}: {}", editor.words());
        assert!(workspace.read("src/cart.ts").contains("calculateTotal(prices)"), "{saved}");
        assert_eq!(editor.statuses().last(), Some(&ToolCallStatus::Failed), "{saved}");
        assert!(editor.seen().written.is_empty(), "{saved}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_ends_with_its_editor_and_nothing_is_written_after() {
    let workspace = Workspace::from_fixture(SHOP);
    let before = workspace.snapshot();
    let editor = Arc::new(Editor::new(Says::Nothing));
    let mut child = with_agent(&workspace, &[], &editor, async |connection, session| {
        let text = ContentBlock::Text(TextContent::new(RENAME));
        connection.send_request(PromptRequest::new(session, vec![text])).detach();
        editor.is_asked().await;
    })
    .await;
    let status = tokio::time::timeout(Duration::from_secs(10), child.wait()).await.expect("it ends").unwrap();
    assert!(status.success(), "{status}");
    assert!(workspace.snapshot() == before);
}
