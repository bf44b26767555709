//! What a client without a plugin is shown: sentences as messages, and texts as documents where it can open one, else by their path.
//!
//! Foreign text is made visible here, whoever wrote it: nothing in a message or a document acts on a terminal or hides.

use crate::lsp::handlers::execute_command::message;
use crate::lsp::handlers::failure;
use crate::lsp::readable::Readable;
use crate::lsp::session::Session;
use krins_core::text::visible;
use krins_engine::{Engine, Error};
use krins_protocol::lsp::TaskParams;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;
use tower_lsp::jsonrpc;
use tower_lsp::ls_types::{MessageType, ShowDocumentParams, Uri};

/// How long a client may take to open a document.
const OPENING: Duration = Duration::from_secs(10);

/// A message.
pub async fn say(session: &Session, kind: MessageType, text: &str) {
    session.client.show_message(kind, visible(text)).await;
}

/// The path of a file in its workspace.
pub fn name(session: &Session, uri: &str) -> String {
    let relative = session.engines().iter().find_map(|engine| engine.root().relative_uri(uri));
    relative.map_or_else(|| uri.to_owned(), |path| path.to_string())
}

/// An answer, behind it. `stem` is what its document is called.
pub fn answer(session: &Arc<Session>, stem: &str, read: Readable) {
    let (session, stem) = (session.clone(), stem.to_owned());
    tokio::spawn(async move {
        let kind = if read.care { MessageType::WARNING } else { MessageType::INFO };
        let engine = session.engines().into_iter().next().filter(|_| !read.lines.is_empty());
        match engine {
            Some(engine) => view(&session, &engine, &stem, &read.lines, (kind, &read.said)).await,
            None => say(&session, kind, &format!("Krins: {}", read.said)).await,
        }
    });
}

/// Why there is no answer.
pub fn failed(session: &Arc<Session>, error: &jsonrpc::Error) {
    let (session, text) = (session.clone(), message(error));
    tokio::spawn(async move { say(&session, MessageType::ERROR, &text).await });
}

/// Opens lines as a document, and says what they come down to.
pub async fn view(session: &Arc<Session>, engine: &Engine, stem: &str, lines: &[String], said: (MessageType, &str)) {
    let text = visible(&(lines.join("\n") + "\n")).into_owned();
    let (kind, said) = said;
    let text = match engine.write_view(stem, "txt", &text) {
        Err(error) => {
            tracing::warn!(%error, "an answer could not be shown");
            format!("Krins: {said}")
        }
        Ok(path) if open(session, &path, false).await => format!("Krins: {said}"),
        Ok(path) => format!("Krins: {said}; all of it is in {}", path.display()),
    };
    say(session, kind, &text).await;
}

/// Opens a page in whatever the client opens pages with, and says where it is: a client cannot say whether somebody sees it.
pub fn page(session: &Arc<Session>, html: String) {
    let session = session.clone();
    tokio::spawn(async move {
        let Some(engine) = session.engines().into_iter().next() else { return };
        let (kind, text) = match engine.write_view("dashboard", "html", &html) {
            Ok(path) => {
                open(&session, &path, true).await;
                (MessageType::INFO, format!("Krins: the dashboard, as it is now, is in {}", path.display()))
            }
            Err(error) => (MessageType::ERROR, message(&failure(&error))),
        };
        say(&session, kind, &text).await;
    });
}

/// Writes the diff beside the task and opens it, or says where it is.
pub async fn diff(session: &Arc<Session>, params: TaskParams) {
    let written = write_diff(session, params.task.as_deref());
    let (kind, text) = match written {
        Ok(path) => match open(session, &path, false).await {
            true => return,
            false => (MessageType::INFO, format!("Krins: the diff is in {}", path.display())),
        },
        Err(error) => (MessageType::ERROR, message(&failure(&error))),
    };
    say(session, kind, &text).await;
}

fn write_diff(session: &Arc<Session>, task: Option<&str>) -> Result<std::path::PathBuf, Error> {
    let engine = session.engine_of_task(task)?;
    let review = engine.review(task)?;
    engine.write_view(&review.task.id, "diff", review.patch.unified())
}

async fn open(session: &Arc<Session>, path: &Path, external: bool) -> bool {
    let uri = url::Url::from_file_path(path).ok().and_then(|url| Uri::from_str(url.as_str()).ok());
    let Some(uri) = uri.filter(|_| session.agreed().show_document) else { return false };
    let params = ShowDocumentParams { uri, external: Some(external), take_focus: Some(!external), selection: None };
    let shown = tokio::time::timeout(OPENING, session.client.show_document(params)).await;
    matches!(shown, Ok(Ok(true)))
}
