//! What the client is told while tasks go along: `krins/task/didChange` for a plugin; progress, messages and
//! diagnostics for everybody.
//!
//! One reporter per engine. It awaits every send, so a slow client slows the reporter and nothing else; what happens
//! in between is conflated to the last state of each task.

use crate::lsp::handlers::code_action::open_review;
use crate::lsp::handlers::short;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_core::RelPath;
use krins_core::gate::{Finding, Verdict};
use krins_core::patch::Hunk;
use krins_engine::engine::Review;
use krins_engine::tasks::{LiveCheck, Task, TaskState};
use krins_engine::{Engine, Error};
use krins_protocol::lsp::{GateStatus, TaskParams, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;
use tower_lsp::ls_types::notification::{Notification, Progress};
use tower_lsp::ls_types::request::WorkDoneProgressCreate;
use tower_lsp::ls_types::{
    Diagnostic, DiagnosticSeverity, MessageType, NumberOrString, Position, ProgressParams, ProgressParamsValue,
    ProgressToken, Range, ShowDocumentParams, Uri, WorkDoneProgress, WorkDoneProgressBegin,
    WorkDoneProgressCreateParams, WorkDoneProgressEnd, WorkDoneProgressReport,
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
        while ticks.changed().await.is_ok() {
            ticks.borrow_and_update();
            reporter.catch_up().await;
        }
    });
}

struct Reporter {
    session: Arc<Session>,
    engine: Engine,
    /// The last reported `seq` and state of each task.
    seen: BTreeMap<String, (u64, TaskState)>,
    /// Tasks whose progress was begun.
    begun: BTreeMap<String, Option<ProgressToken>>,
    /// Documents that carry diagnostics of ours.
    published: BTreeSet<RelPath>,
    /// Where the client knows the checks of a running task to be.
    checks: BTreeMap<String, Vec<LiveCheck>>,
}

impl Reporter {
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
        if let Some(token) = self.begun.get(&task.id) {
            if let Some(token) = token.clone() {
                let report = WorkDoneProgressReport { message, cancellable: Some(true), percentage: None };
                self.send_progress(token, WorkDoneProgress::Report(report)).await;
            }
            return;
        }
        let token = self.token(&task.id).await;
        self.begun.insert(task.id.clone(), token.clone());
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
        if let Some(token) = self.begun.remove(&task.id).flatten() {
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
                let hunks = self.engine.review(Some(&task.id)).map_or(0, |review| hunks(&review));
                let text = format!(
                    "Krins: “{intent}” is ready: {hunks} hunks in {} files. Code actions apply, show or discard it.",
                    task.files.len()
                );
                self.say(MessageType::INFO, text).await;
            }
            TaskState::Blocked => {
                self.say(MessageType::WARNING, format!("Krins: the gate blocks “{intent}”; see the diagnostics."))
                    .await;
            }
            TaskState::Failed => {
                let error = task.error.clone().unwrap_or_else(Error::cancelled);
                let hint = error.hint.map_or(String::new(), |hint| format!(". Hint: {hint}"));
                self.say(MessageType::ERROR, format!("Krins failed to {}{hint}", error.message)).await;
            }
            TaskState::Cancelled => self.say(MessageType::INFO, format!("Krins: “{intent}” was cancelled.")).await,
            _ => {}
        }
    }

    /// Messages are for clients without a plugin.
    async fn say(&self, kind: MessageType, text: String) {
        if !self.session.agreed().plugin {
            // It may follow the reply to what it is about.
            self.session.behind_reply().await;
            self.session.client.show_message(kind, text).await;
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
        if !self.session.agreed().plugin && review.task.state == TaskState::Ready {
            for file in review.patch.files() {
                let list = file
                    .hunks
                    .iter()
                    .map(|hunk| hint(changed(hunk), &format!("Krins would change this ({})", hunk.id), &hunk.id));
                by_file.entry(file.path.clone()).or_default().extend(list);
            }
        }
        for found in review.task.report.iter().flat_map(|report| &report.findings) {
            by_file.entry(found.path.clone()).or_default().push(finding(found));
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

fn hunks(review: &Review) -> usize {
    review.patch.files().iter().map(|file| file.hunks.len()).sum()
}

/// The lines of the base, half-open, that a hunk itself changes: its context stays. Where it only inserts, the line it stands before.
pub(super) fn changed(hunk: &Hunk) -> [u32; 2] {
    let mut at = hunk.before[0];
    let mut found: Option<[u32; 2]> = None;
    for line in &hunk.lines {
        let removed = u32::from(line.starts_with('-'));
        if removed == 1 || line.starts_with('+') {
            let first = found.map_or(at, |[first, _]| first);
            found = Some([first, at + removed]);
        }
        at += removed + u32::from(line.starts_with(' '));
    }
    found.unwrap_or(hunk.before)
}

fn hint([first, end]: [u32; 2], message: &str, code: &str) -> Diagnostic {
    diagnostic(first, end.max(first + 1) - 1, DiagnosticSeverity::INFORMATION, message, code)
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
        message: message.to_owned(),
        ..Diagnostic::default()
    }
}

/// Writes the diff beside the task and opens it, or says where it is.
pub async fn show_diff(session: &Arc<Session>, params: TaskParams) {
    let shown = write_diff(session, params.task.as_deref());
    session.behind_reply().await;
    let (kind, text) = match shown {
        Ok(path) => match open(session, &path).await {
            true => return,
            false => (MessageType::INFO, format!("Krins: the diff is in {path}")),
        },
        Err(error) => (MessageType::ERROR, format!("Krins failed to {}", error.message)),
    };
    session.client.show_message(kind, text).await;
}

fn write_diff(session: &Arc<Session>, task: Option<&str>) -> Result<String, Error> {
    let engine = session.engine_of_task(task)?;
    let review = engine.review(task)?;
    let path = engine.write_view(&format!("{}.diff", review.task.id), review.patch.unified().as_bytes())?;
    Ok(path.display().to_string())
}

/// Opens a text that was written for the person, and says what it comes down to.
pub async fn show_view(session: &Arc<Session>, path: &std::path::Path, said: &str) {
    let path = path.display().to_string();
    session.behind_reply().await;
    let text = match open(session, &path).await {
        true => format!("Krins: {said}"),
        false => format!("Krins: {said}; all of it is in {path}"),
    };
    session.client.show_message(MessageType::INFO, text).await;
}

async fn open(session: &Arc<Session>, path: &str) -> bool {
    let uri = url::Url::from_file_path(path).ok().and_then(|url| Uri::from_str(url.as_str()).ok());
    let Some(uri) = uri.filter(|_| session.agreed().show_document) else { return false };
    let params = ShowDocumentParams { uri, external: Some(false), take_focus: Some(true), selection: None };
    let shown = tokio::time::timeout(Duration::from_secs(10), session.client.show_document(params)).await;
    matches!(shown, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hunk_changes_is_without_its_context() {
        let hunk = |lines: &[&str]| Hunk {
            id: "h1".into(),
            header: String::new(),
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            before: [10, 14],
            after: [10, 14],
        };
        assert_eq!(changed(&hunk(&[" a", "-b", "+B", " c", " d"])), [11, 12]);
        assert_eq!(changed(&hunk(&[" a", "-b", "+B", " c", "-d", "+D"])), [11, 14]);
        assert_eq!(changed(&hunk(&[" a", " b", "+new", " c", " d"])), [12, 12]);
        assert_eq!(changed(&hunk(&["+new"])), [10, 10]);
        assert_eq!(changed(&hunk(&[])), [10, 14]);
    }
}
