//! One turn: a prompt becomes a task, its change is shown, permission is asked, and only an explicit "allow" applies it.

use super::buffers::{Buffers, SOME};
use super::session::{Sessions, Turn};
use super::words::{self, Asked};
use agent_client_protocol::Client;
use agent_client_protocol::v1::schema::{
    ContentBlock, ContentChunk, PermissionOption, PermissionOptionKind, Plan, PlanEntry, PlanEntryPriority,
    PlanEntryStatus, PromptRequest, PromptResponse, RequestPermissionOutcome, RequestPermissionRequest,
    SessionNotification, SessionUpdate, StopReason, TextContent, ToolCall, ToolCallStatus, ToolCallUpdate,
    ToolCallUpdateFields,
};
use agent_client_protocol::v1::{ConnectionTo, Responder};
use krins_backend::propagation;
use krins_core::RelPath;
use krins_core::patch::{Merge, merge};
use krins_engine::engine::{ApplyWish, Outcome, task_words};
use krins_engine::tasks::{Task, TaskState};
use krins_engine::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What the answer to the question is called. Nothing else is a yes.
const ALLOW: &str = "apply";
const REFUSE: &str = "leave";

const STEPS: [&str; 5] = ["Choose the code that matters", "Ask", "Check the change", "Show it and ask you", "Apply it"];

/// In place of the steps that are done, before there is a plan.
const NO_PLAN: usize = usize::MAX;

/// Starts the turn behind the message that asks for it: the next message may be its cancel.
pub fn start(
    sessions: &Arc<Sessions>,
    request: PromptRequest,
    responder: Responder<PromptResponse>,
    connection: ConnectionTo<Client>,
) {
    let turn = match sessions.begin(&request.session_id) {
        Ok(turn) => turn,
        Err(error) => {
            // A client that is gone hears nothing.
            let _ = responder.respond_with_error(words::failure(&error));
            return;
        }
    };
    let patience = sessions.patience;
    let files = sessions.files();
    let dropped = responder.cancellation();
    sessions.turns.spawn(async move {
        let cancel = turn.cancel.clone();
        let buffers = Buffers {
            connection: connection.clone(),
            session: turn.session.clone(),
            files,
            engine: turn.engine.clone(),
            cwd: turn.cwd.clone(),
        };
        let done = AtomicUsize::new(NO_PLAN);
        let work = Work { turn, connection, buffers, patience, done };
        let ended = {
            let work = work.run(&request);
            let forwarded = async {
                dropped.cancelled().await;
                cancel.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                ended = work => ended,
                () = forwarded => StopReason::Cancelled,
            }
        };
        // The session is free before the client knows that it is.
        drop(work);
        let _ = responder.respond(PromptResponse::new(ended));
    });
}

struct Work {
    turn: Turn,
    connection: ConnectionTo<Client>,
    buffers: Buffers,
    patience: Duration,
    /// Steps of the plan that are done.
    done: AtomicUsize,
}

/// What a person made of the question.
enum Answer {
    Yes,
    No,
    /// None came in time, or one that is no answer.
    None(String),
    Cancelled,
}

impl Work {
    async fn run(&self, request: &PromptRequest) -> StopReason {
        let done = self.act(request).await;
        self.end_plan();
        // A cancel is answered as one, whatever else went wrong with it.
        if self.turn.cancel.is_cancelled() {
            return StopReason::Cancelled;
        }
        if let Err(error) = done {
            self.say(words::said(&error));
        }
        StopReason::EndTurn
    }

    async fn act(&self, request: &PromptRequest) -> Result<(), Error> {
        let engine = &self.turn.engine;
        let asked = Asked::read(&request.prompt, engine.root());
        let said = task_words(&asked.words)?;
        match said.split_once(char::is_whitespace).unwrap_or((said, "")) {
            ("/undo", "") => return self.back(true).await,
            ("/redo", "") => return self.back(false).await,
            (command @ ("/undo" | "/redo"), _) => {
                return Err(Error::new(ErrorKind::BadParams, format!("follow {command}: there are words behind it"))
                    .hint(format!("Say {command} alone: it is about the last change of this workspace.")));
            }
            _ => {}
        }
        if !asked.left_out.is_empty() {
            self.say(words::left_out(&asked.left_out));
        }
        self.plan(0);
        let task = self.answered(&asked, request).await?;
        self.done.store(3, Ordering::Relaxed);
        self.say(words::account(&task));
        if task.state == TaskState::Blocked {
            return Ok(());
        }
        let Some(change) = self.change(&task).await? else { return Ok(()) };
        self.plan(3);
        let call = ToolCall::new(task.id.clone(), words::title(&change))
            .kind(words::kind(&change))
            .status(ToolCallStatus::Pending)
            .content(words::diffs(&change, &self.turn.cwd))
            .locations(words::locations(&change, &self.turn.cwd));
        self.tell(SessionUpdate::ToolCall(call.clone()));
        match self.ask(call.into()).await {
            Answer::Yes => self.apply(&task).await,
            Answer::No => {
                self.status(&task.id, ToolCallStatus::Failed);
                self.done.store(4, Ordering::Relaxed);
                let (engine, id) = (engine.clone(), task.id.clone());
                // Git is asked about the task's preview.
                let discarded = tokio::task::spawn_blocking(move || engine.discard(Some(&id))).await;
                discarded.map_err(|error| Error::new(ErrorKind::Internal, format!("discard: {error}")))??;
                self.say("Nothing was changed.\n");
                Ok(())
            }
            Answer::None(why) => {
                self.status(&task.id, ToolCallStatus::Failed);
                self.say(format!("{why}: nothing was changed. `krins apply {}` still can.\n", task.id));
                Ok(())
            }
            Answer::Cancelled => {
                self.status(&task.id, ToolCallStatus::Failed);
                Ok(())
            }
        }
    }

    /// Has the task answered, about what the editor holds.
    async fn answered(&self, asked: &Asked, request: &PromptRequest) -> Result<Task, Error> {
        let engine = &self.turn.engine;
        let named = asked.named.iter().map(|focus| &focus.path).take(SOME);
        self.look(self.known().iter().chain(named)).await?;
        if self.buffers.files.read {
            let intent = asked.intent();
            let likely = tokio::select! {
                biased;
                () = self.turn.cancel.cancelled() => return Err(Error::cancelled()),
                likely = engine.context(&intent) => likely,
            };
            // What cannot be looked at now is said when the task is assigned.
            let likely = likely.map(|likely| likely.pack.items).unwrap_or_default();
            let paths: Vec<RelPath> = likely.into_iter().map(|item| item.path).take(SOME).collect();
            self.look(&paths).await?;
        }
        let span = tracing::info_span!("session/prompt", otel.kind = "server");
        let (parent, state) = words::trace(request.meta.as_ref());
        let context = propagation::continue_or_start(&span, parent.as_deref(), state.as_deref());
        let shown = context.traceparent();
        let assign = async { engine.assign(asked.intent(), None, Some(shown)) };
        let assigned = propagation::in_trace(span, context, assign).await?;
        let task = self.settled(&assigned.task).await?;
        match (task.state, &task.error) {
            (TaskState::Ready | TaskState::Blocked, _) => Ok(task),
            (_, Some(error)) => Err(error.clone()),
            (_, None) => Err(Error::cancelled()),
        }
    }

    /// Follows the task until it has ended; a cancel ends it first.
    async fn settled(&self, id: &str) -> Result<Task, Error> {
        let engine = &self.turn.engine;
        let mut ticks = engine.watch();
        let settled = engine.tasks().settled(id);
        tokio::pin!(settled);
        let mut at = 0;
        loop {
            tokio::select! {
                biased;
                () = self.turn.cancel.cancelled() => {
                    engine.cancel(Some(id)).await?;
                    return Err(Error::cancelled());
                }
                task = &mut settled => return task,
                Ok(()) = ticks.changed() => {
                    let state = ticks.borrow_and_update().as_ref().filter(|task| task.id == id).map(|task| task.state);
                    let step = match state {
                        Some(TaskState::Asking) => 1,
                        Some(TaskState::Gating) => 2,
                        _ => at,
                    };
                    if step != at {
                        at = step;
                        self.plan(step);
                    }
                }
            }
        }
    }

    /// What applying the task would make of the files as they are now; `None` where there is nothing to ask about, which
    /// is said.
    async fn change(&self, task: &Task) -> Result<Option<Merge>, Error> {
        let engine = &self.turn.engine;
        let patch = engine.wanted(Some(&task.id))?;
        let paths = both(patch.files().iter().map(|file| (&file.path, file.from.as_ref())));
        answered(self.look(&paths).await?)?;
        let snapshot = engine.snapshot();
        let merged = tokio::task::spawn_blocking(move || merge(&patch, &snapshot)).await;
        let merged = merged.map_err(|error| Error::new(ErrorKind::Internal, format!("merge the change: {error}")))?;
        if !merged.refusals.is_empty() {
            return Err(Error::from(merged.refusals));
        }
        if !merged.conflicts.is_empty() {
            self.say(words::conflicts(&merged.conflicts));
            return Ok(None);
        }
        if merged.writes.is_empty() {
            self.say("Nothing to change: the files hold it already.\n");
            return Ok(None);
        }
        Ok(Some(merged))
    }

    /// Asks for permission. The cancel is looked at first: an answer that arrives with it is none.
    async fn ask(&self, call: ToolCallUpdate) -> Answer {
        let options = vec![
            PermissionOption::new(ALLOW, "Apply", PermissionOptionKind::AllowOnce),
            PermissionOption::new(REFUSE, "Do not apply", PermissionOptionKind::RejectOnce),
        ];
        let request = RequestPermissionRequest::new(self.turn.session.clone(), call, options);
        let asked = self.connection.send_request(request).block_task();
        let answer = tokio::select! {
            biased;
            () = self.turn.cancel.cancelled() => return Answer::Cancelled,
            answer = tokio::time::timeout(self.patience, asked) => answer,
        };
        match answer {
            Err(_) => Answer::None(format!("No answer came within {} s", self.patience.as_secs())),
            Ok(Err(_)) => Answer::None("The editor could not ask".to_owned()),
            Ok(Ok(response)) => match response.outcome {
                RequestPermissionOutcome::Selected(selected) if &*selected.option_id.0 == ALLOW => Answer::Yes,
                RequestPermissionOutcome::Selected(selected) if &*selected.option_id.0 == REFUSE => Answer::No,
                _ => Answer::None("That was no permission".to_owned()),
            },
        }
    }

    /// Once begun it ends, whoever goes away.
    async fn apply(&self, task: &Task) -> Result<(), Error> {
        if self.turn.cancel.is_cancelled() {
            self.status(&task.id, ToolCallStatus::Failed);
            return Err(Error::cancelled());
        }
        self.plan(4);
        self.status(&task.id, ToolCallStatus::InProgress);
        // What was typed while the question stood is merged, or refuses the change.
        let paths = both(task.files.iter().map(|file| (&file.path, file.from.as_ref())));
        if let Err(error) = self.look(&paths).await.and_then(answered) {
            self.status(&task.id, ToolCallStatus::Failed);
            return Err(error);
        }
        let applied =
            self.turn.engine.apply(Some(&task.id), ApplyWish::default(), Some(Arc::new(self.buffers.clone()))).await;
        let outcome = match applied {
            Ok(outcome) if outcome.conflicts.is_empty() => outcome,
            Ok(outcome) => {
                self.status(&task.id, ToolCallStatus::Failed);
                self.say(words::conflicts(&outcome.conflicts));
                return Ok(());
            }
            Err(error) => {
                self.status(&task.id, ToolCallStatus::Failed);
                return Err(error);
            }
        };
        self.status(&task.id, ToolCallStatus::Completed);
        self.done.store(STEPS.len(), Ordering::Relaxed);
        self.say(format!("{}`/undo` takes it back.\n", words::done(&outcome, "Changed")));
        Ok(())
    }

    /// The person's own word is the permission.
    async fn back(&self, undo: bool) -> Result<(), Error> {
        let engine = &self.turn.engine;
        let history = engine.applier().history().await?;
        let about = history.iter().find(|past| past.undone != undo);
        let known = self.known();
        answered(self.look(known.iter().chain(about.iter().flat_map(|past| &past.paths))).await?)?;
        let editor: Option<Arc<dyn krins_engine::apply::Editor>> = Some(Arc::new(self.buffers.clone()));
        let outcome: Outcome =
            if undo { engine.undo(None, false, editor).await? } else { engine.redo(None, false, editor).await? };
        if !outcome.conflicts.is_empty() {
            self.say(words::conflicts(&outcome.conflicts));
            return Ok(());
        }
        self.say(words::done(&outcome, if undo { "Took back the change of" } else { "Changed again" }));
        Ok(())
    }

    /// Files whose text was not saved when they were looked at before: they may be by now, or be gone.
    fn known(&self) -> Vec<RelPath> {
        self.turn.engine.documents().snapshot().iter().filter_map(|document| document.path.clone()).collect()
    }

    /// Asks the editor what these files hold, and gives one that it did not answer for. It may take its time; a cancel does not
    /// wait for it.
    async fn look<'p>(&self, paths: impl IntoIterator<Item = &'p RelPath>) -> Result<Option<RelPath>, Error> {
        tokio::select! {
            biased;
            () = self.turn.cancel.cancelled() => Err(Error::cancelled()),
            unanswered = self.buffers.look(paths) => Ok(unanswered),
        }
    }

    fn plan(&self, at: usize) {
        self.done.store(at, Ordering::Relaxed);
        let entry = |(number, name): (usize, &&str)| {
            let status = match number.cmp(&at) {
                std::cmp::Ordering::Less => PlanEntryStatus::Completed,
                std::cmp::Ordering::Equal => PlanEntryStatus::InProgress,
                std::cmp::Ordering::Greater => PlanEntryStatus::Pending,
            };
            PlanEntry::new(*name, PlanEntryPriority::Medium, status)
        };
        self.tell(SessionUpdate::Plan(Plan::new(STEPS.iter().enumerate().map(entry).collect())));
    }

    /// Of a turn that is over only what was done stays: nothing is in progress, and the rest will not come. A client draws it so
    /// after a cancel too.
    fn end_plan(&self) {
        let done = self.done.load(Ordering::Relaxed);
        if done != NO_PLAN {
            let entry = |name: &&str| PlanEntry::new(*name, PlanEntryPriority::Medium, PlanEntryStatus::Completed);
            self.send(SessionUpdate::Plan(Plan::new(STEPS.iter().take(done).map(entry).collect())));
        }
    }

    fn status(&self, call: &str, status: ToolCallStatus) {
        let fields = ToolCallUpdateFields::new().status(status);
        self.tell(SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(call.to_owned(), fields)));
    }

    fn say(&self, text: impl Into<String>) {
        let text = ContentBlock::Text(TextContent::new(text.into()));
        self.tell(SessionUpdate::AgentMessageChunk(ContentChunk::new(text)));
    }

    fn tell(&self, update: SessionUpdate) {
        // After a cancel nothing more is said of the task but how its tool call and its plan ended.
        let last = matches!(update, SessionUpdate::ToolCallUpdate(_));
        if last || !self.turn.cancel.is_cancelled() {
            self.send(update);
        }
    }

    fn send(&self, update: SessionUpdate) {
        let sent = self.connection.send_notification(SessionNotification::new(self.turn.session.clone(), update));
        if let Err(error) = sent {
            tracing::debug!(%error, "the client was not told");
        }
    }
}

/// A file that an editor says nothing of may hold text that is not saved, and is not written beneath it.
fn answered(unanswered: Option<RelPath>) -> Result<(), Error> {
    match unanswered {
        None => Ok(()),
        Some(path) => Err(Error::new(ErrorKind::StaleBase, format!("read {path} in the editor: it did not answer"))
            .hint("Nothing was changed. Save the file, or ask again.")),
    }
}

/// Where files are, and where those were that are moved: text of one's own may stand in both.
fn both<'f>(files: impl Iterator<Item = (&'f RelPath, Option<&'f RelPath>)>) -> Vec<RelPath> {
    files.flat_map(|(path, from)| [Some(path), from]).flatten().cloned().collect()
}
