//! What the client is told while tasks go along: `krins/task/didChange` for a plugin; progress, messages and
//! diagnostics for everybody.
//!
//! One reporter per engine. It awaits every send, so a slow client slows the reporter and nothing else; what happens
//! in between is conflated to the last state of each task.

use crate::lsp::conflicts::Place;
use crate::lsp::handlers::execute_command::message;
use crate::lsp::handlers::{failure, short};
use crate::lsp::session::Session;
use crate::lsp::shown;
use crate::lsp::waiting::{self, Moved, open_review};
use crate::to_proto;
use crate::words::counted;
use krins_core::RelPath;
use krins_core::gate::{Finding, Verdict};
use krins_core::text::visible;
use krins_engine::engine::Review;
use krins_engine::tasks::{LiveCheck, Task, TaskState};
use krins_engine::{Engine, Error};
use krins_protocol::lsp::{GateStatus, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;
use tower_lsp::ls_types::notification::{Notification, Progress};
use tower_lsp::ls_types::request::WorkDoneProgressCreate;
use tower_lsp::ls_types::{
    Diagnostic, DiagnosticSeverity, MessageType, NumberOrString, Position, ProgressParams, ProgressParamsValue,
    ProgressToken, Range, Uri, WorkDoneProgress, WorkDoneProgressBegin, WorkDoneProgressCreateParams,
    WorkDoneProgressEnd, WorkDoneProgressReport,
};

/// `krins/task/didChange`.
pub enum TaskDidChange {}

impl Notification for TaskDidChange {
    type Params = TaskStatus;
    const METHOD: &'static str = "krins/task/didChange";
}

/// `krins/gateStatus`.
pub enum GateStatusChanged {}

impl Notification for GateStatusChanged {
    type Params = GateStatus;
    const METHOD: &'static str = "krins/gateStatus";
}

/// How long a client may take to answer what takes no thought: `window/workDoneProgress/create`, `workspace/codeLens/refresh`.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Follows the engine's tasks until the connection ends.
pub fn start(session: &Arc<Session>, engine: &Engine) {
    let (session, engine) = (session.clone(), engine.clone());
    // Taken here: a task that is assigned and done before the reporter gets its first turn is reported too.
    let mut ticks = engine.watch();
    let mut conflicts = session.conflicts.watch();
    let seen = engine.tasks().heads().into_iter().map(|(id, seq, state)| (id, (seq, state))).collect();
    tokio::spawn(async move {
        let mut reporter = Reporter {
            session,
            engine,
            seen,
            begun: BTreeMap::new(),
            published: BTreeSet::new(),
            checks: BTreeMap::new(),
        };
        reporter.take_up().await;
        loop {
            tokio::select! {
                changed = ticks.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    ticks.borrow_and_update();
                    reporter.catch_up().await;
                }
                Ok(()) = conflicts.changed() => {
                    conflicts.borrow_and_update();
                    reporter.publish().await;
                }
            }
        }
    });
}

struct Reporter {
    session: Arc<Session>,
    engine: Engine,
    /// The last reported `seq` and state of each task.
    seen: BTreeMap<String, (u64, TaskState)>,
    /// Tasks whose progress was begun, and what was said last.
    begun: BTreeMap<String, (Option<ProgressToken>, Option<String>)>,
    /// Documents that carry diagnostics of ours.
    published: BTreeSet<RelPath>,
    /// Where the client knows the checks of a running task to be.
    checks: BTreeMap<String, Vec<LiveCheck>>,
}

impl Reporter {
    /// What a process before this one left: what it did not finish, and what still waits for a verdict.
    async fn take_up(&mut self) {
        for id in self.engine.stopped() {
            if let Ok(task) = self.engine.tasks().get(id) {
                let text = format!(
                    "Krins: “{}” came to nothing: Krins was stopped while it ran. Nothing was written; ask again.",
                    short(&task.intent)
                );
                self.say(MessageType::WARNING, text).await;
            }
        }
        if open_review(&self.engine).is_some() {
            self.publish().await;
        }
    }

    async fn catch_up(&mut self) {
        let heads = self.engine.tasks().heads();
        for (id, seq, _) in &heads {
            if self.seen.get(id).is_some_and(|(seen, _)| seen >= seq) {
                continue;
            }
            let Ok(task) = self.engine.tasks().get(id) else { continue };
            let before = self.seen.insert(id.clone(), (task.seq, task.state));
            self.report(&task, before.map(|(_, state)| state)).await;
        }
        if self.seen.len() > heads.len() {
            self.seen.retain(|id, _| heads.iter().any(|(known, _, _)| known == id));
        }
    }

    /// Where the checks are, when that changed.
    async fn gate(&mut self, task: &Task, before: Option<TaskState>) {
        let of_now = task.state.is_running() || before.is_none_or(TaskState::is_running);
        if !self.session.agreed().gate_status || task.live.is_empty() || !of_now {
            return;
        }
        if self.checks.get(&task.id) != Some(&task.live) {
            self.checks.insert(task.id.clone(), task.live.clone());
            self.session.client.send_notification::<GateStatusChanged>(to_proto::gate_status(task)).await;
        }
        if !task.state.is_running() {
            self.checks.remove(&task.id);
        }
    }

    async fn report(&mut self, task: &Task, before: Option<TaskState>) {
        self.gate(task, before).await;
        if self.session.agreed().plugin {
            self.session.client.send_notification::<TaskDidChange>(to_proto::status(task)).await;
        }
        if task.state.is_running() {
            self.progress(task).await;
        } else {
            // A verdict on a hunk changes the task too; that it is ready was said before.
            if before != Some(task.state) {
                self.finish(task).await;
            }
            self.publish().await;
        }
    }

    async fn progress(&mut self, task: &Task) {
        let message = task.progress.clone();
        if let Some((token, said)) = self.begun.get_mut(&task.id) {
            // A check that ends changes the task and not what is being done.
            let is_new = *said != message;
            said.clone_from(&message);
            if let Some(token) = token.clone().filter(|_| is_new) {
                let report = WorkDoneProgressReport { message, cancellable: Some(true), percentage: None };
                self.send_progress(token, WorkDoneProgress::Report(report)).await;
            }
            return;
        }
        let token = self.token(&task.id).await;
        self.begun.insert(task.id.clone(), (token.clone(), message.clone()));
        if let Some(token) = token {
            let title = format!("Krins: {}", short(&task.intent));
            let begin = WorkDoneProgressBegin { title, cancellable: Some(true), message, percentage: None };
            self.send_progress(token, WorkDoneProgress::Begin(begin)).await;
        }
        self.say(MessageType::INFO, format!("Krins: working on “{}”", short(&task.intent))).await;
    }

    /// The assign's own token, else one that the client agreed to.
    async fn token(&self, task: &str) -> Option<ProgressToken> {
        if let Some(token) = self.session.token(task) {
            return Some(token);
        }
        if !self.session.agreed().progress || self.session.agreed().plugin {
            return None;
        }
        created(&self.session, format!("krins-{task}")).await
    }

    async fn send_progress(&self, token: ProgressToken, value: WorkDoneProgress) {
        send_progress(&self.session, token, value).await;
    }

    async fn finish(&mut self, task: &Task) {
        if let Some(token) = self.begun.remove(&task.id).and_then(|(token, _)| token) {
            let message = Some(krins_engine::engine::state_name(task.state).to_owned());
            self.send_progress(token, WorkDoneProgress::End(WorkDoneProgressEnd { message })).await;
        }
        self.session.forget_token(&task.id);
        self.say_result(task).await;
    }

    async fn say_result(&self, task: &Task) {
        let intent = short(&task.intent);
        match task.state {
            TaskState::Ready => {
                let size =
                    self.engine.review(Some(&task.id)).map(|review| waiting::size(waiting::hunks(&review).iter()));
                let size = size.unwrap_or_else(|_| counted(task.files.len(), "file"));
                let text = format!("Krins: “{intent}” is ready: {size}. Code actions apply, show or discard it.");
                self.say(MessageType::INFO, text).await;
            }
            TaskState::Blocked => {
                // A fix that came to nothing leaves the task as it was.
                let error =
                    task.error.as_ref().map_or(String::new(), |error| format!(". {}", message(&failure(error))));
                let text = format!("Krins: the gate blocks “{intent}”; see the diagnostics and code actions{error}");
                self.say(MessageType::WARNING, text).await;
            }
            TaskState::Failed => {
                let error = task.error.clone().unwrap_or_else(Error::cancelled);
                self.say(MessageType::ERROR, message(&failure(&error))).await;
            }
            TaskState::Cancelled => self.say(MessageType::INFO, format!("Krins: “{intent}” was cancelled.")).await,
            _ => {}
        }
    }

    /// Messages are for clients without a plugin.
    async fn say(&self, kind: MessageType, text: String) {
        if !self.session.agreed().plugin {
            shown::say(&self.session, kind, &text).await;
        }
    }

    /// Publishes the open review's hunks and findings, and clears what belongs to no open review.
    async fn publish(&mut self) {
        let diagnostics = open_review(&self.engine).map(|review| self.diagnostics(&review)).unwrap_or_default();
        for path in std::mem::take(&mut self.published) {
            if !diagnostics.contains_key(&path) {
                self.publish_one(&path, Vec::new()).await;
            }
        }
        for (path, list) in diagnostics {
            self.publish_one(&path, list).await;
            self.published.insert(path);
        }
        self.refresh_lenses();
    }

    /// Lenses are asked for when a person types; what is to be reviewed changes without that. Nobody waits for the answer.
    fn refresh_lenses(&self) {
        let agreed = self.session.agreed();
        if agreed.refreshes_lenses && !agreed.plugin {
            let session = self.session.clone();
            tokio::spawn(async move {
                let asked = tokio::time::timeout(AT_ONCE, session.client.code_lens_refresh()).await;
                tracing::debug!(?asked, "lenses were asked to be drawn anew");
            });
        }
    }

    async fn publish_one(&self, path: &RelPath, list: Vec<Diagnostic>) {
        let text = self.engine.root().uri(path);
        let Ok(uri) = Uri::from_str(&text) else { return };
        // The document's version at this moment: a client may drop what is about another one.
        let version = self.engine.documents().get(&text).map(|document| document.version);
        self.session.client.publish_diagnostics(uri, list, version).await;
    }

    fn diagnostics(&self, review: &Review) -> BTreeMap<RelPath, Vec<Diagnostic>> {
        let mut by_file: BTreeMap<RelPath, Vec<Diagnostic>> = BTreeMap::new();
        let plain = !self.session.agreed().plugin;
        if plain && review.task.state != TaskState::Blocked {
            for of_file in waiting::hunks(review).chunk_by(|one, next| one.file.path == next.file.path) {
                let Some(file) = of_file.first().map(|one| one.file) else { continue };
                let moved = Moved::of(&self.engine, file);
                let hints = of_file.iter().map(|one| {
                    let text = format!("Krins would change this ({})", one.label());
                    hint(one.changes(&moved), &text, &one.hunk.id)
                });
                by_file.entry(file.path.clone()).or_default().extend(hints);
            }
        }
        // What was found is of the change as a whole; once a part is applied it is said by the next verdict.
        let findings = review.task.report.iter().filter(|_| review.task.state != TaskState::Applied);
        for found in findings.flat_map(|report| &report.findings) {
            by_file.entry(found.path.clone()).or_default().push(finding(found));
        }
        for place in self.session.conflicts.of(&review.task.id).iter().filter(|_| plain).flat_map(|last| &last.places) {
            let Some(path) = self.engine.root().relative_uri(&place.uri) else { continue };
            by_file.entry(path).or_default().push(conflict(place));
        }
        by_file
    }
}

/// A progress of ours, once the client has agreed to it.
pub(super) async fn created(session: &Session, name: String) -> Option<ProgressToken> {
    let token = ProgressToken::String(name);
    let params = WorkDoneProgressCreateParams { token: token.clone() };
    let create = session.client.send_request::<WorkDoneProgressCreate>(params);
    tokio::time::timeout(AT_ONCE, create).await.ok()?.ok().map(|()| token)
}

pub(super) async fn send_progress(session: &Session, token: ProgressToken, value: WorkDoneProgress) {
    let params = ProgressParams { token, value: ProgressParamsValue::WorkDone(value) };
    session.client.send_notification::<Progress>(params).await;
}

fn hint([first, end]: [u32; 2], message: &str, code: &str) -> Diagnostic {
    diagnostic(first, end.max(first + 1) - 1, DiagnosticSeverity::INFORMATION, message, code)
}

fn conflict(place: &Place) -> Diagnostic {
    let [first, end] = place.lines;
    let hunks = place.hunks.join(", ");
    let text = format!("This went on since the change was made: {hunks} has no place here");
    let code = place.hunks.first().map_or("conflict", String::as_str);
    diagnostic(first, end.max(first + 1) - 1, DiagnosticSeverity::WARNING, &text, code)
}

fn finding(finding: &Finding) -> Diagnostic {
    let [first, last] = finding.lines.unwrap_or([1, 1]);
    let severity = match finding.verdict {
        Verdict::Block => DiagnosticSeverity::ERROR,
        Verdict::Warn => DiagnosticSeverity::WARNING,
        Verdict::Pass => DiagnosticSeverity::INFORMATION,
    };
    let fix = finding.fix.as_ref().map_or(String::new(), |fix| format!("; {fix}"));
    diagnostic(
        first.saturating_sub(1),
        last.saturating_sub(1),
        severity,
        &format!("{}{fix}", finding.message),
        &finding.rule,
    )
}

fn diagnostic(first: u32, last: u32, severity: DiagnosticSeverity, message: &str, code: &str) -> Diagnostic {
    let range = Range { start: Position { line: first, character: 0 }, end: Position { line: last, character: 999 } };
    Diagnostic {
        range,
        severity: Some(severity),
        code: Some(NumberOrString::String(code.to_owned())),
        source: Some("krins".to_owned()),
        message: visible(message).into_owned(),
        ..Diagnostic::default()
    }
}
