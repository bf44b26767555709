//! `krins/waive`: a person puts up with a finding; then the task is judged anew.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_core::gate::{Day, Waiver};
use krins_core::text::visible;
use krins_engine::gate::waivers;
use krins_engine::{Error, ErrorKind};
use krins_protocol::lsp::{DiffResult, WaiveParams};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tower_lsp::jsonrpc::{ErrorCode, Result as Reply};
use tower_lsp::ls_types::{MessageActionItem, MessageType};

pub async fn run(session: &Arc<Session>, params: WaiveParams) -> Reply<DiffResult> {
    waive(session, params).await.map_err(|error| failure(&error))
}

/// What a person may say without typing: a client without a plugin has nowhere to type.
const REASONS: [&str; 3] = ["A false alarm", "Known and accepted", "Test or sample data"];
/// How long a reason that was chosen counts, and how long somebody may take to choose one.
const DAYS: u64 = 30;
const CHOOSING: Duration = Duration::from_secs(300);

/// A finding that a person points at; why they put up with it is asked.
#[derive(Debug, Deserialize)]
pub struct Pointed {
    task: Option<String>,
    rule: String,
    path: String,
}

/// Asks for the reason, and waives the finding with the one that is chosen: only while its lines read as they do, where that can be
/// told. `None` when nobody chose.
pub async fn ask(session: &Arc<Session>, pointed: Pointed) -> Reply<Option<DiffResult>> {
    let Pointed { task, rule, path } = pointed;
    let question =
        format!("Krins: why is {rule} in {path} put up with? The reason is on record and counts {DAYS} days.");
    let item = |reason: &str| MessageActionItem { title: reason.to_owned(), properties: Default::default() };
    let actions = REASONS.iter().map(|reason| item(reason)).collect();
    let review = session.engine_of_task(task.as_deref()).and_then(|engine| engine.review(task.as_deref()));
    let review = review.ok().filter(|review| waivers::fingerprint_of(review, &rule, &path).is_ok());
    let asked = session.client.show_message_request(MessageType::WARNING, visible(&question), Some(actions));
    let chosen = match tokio::time::timeout(CHOOSING, asked).await {
        Ok(Ok(chosen)) => chosen,
        Ok(Err(error)) if error.code == ErrorCode::MethodNotFound => {
            let why = format!("ask why {rule} in {path} is put up with: this editor asks no questions");
            let exact = review.map_or(String::new(), |review| format!(" --task {}", quoted(&review.task.id)));
            let (rule, path) = (quoted(&rule), quoted(&path));
            let by_hand = format!("krins waive {rule} --path {path}{exact} --expires {} --reason …", last_day());
            let error = Error::new(ErrorKind::BadParams, why)
                .hint(format!("say it in a terminal (`{by_hand}`), or by the command `krins.waive`"));
            return Err(failure(&error));
        }
        // Not now, or not in time.
        Ok(Err(_)) | Err(_) => None,
    };
    let Some(reason) = chosen.and_then(|chosen| REASONS.into_iter().find(|reason| *reason == chosen.title)) else {
        return Ok(None);
    };
    let exact = review.is_some();
    let params = WaiveParams { task, rule, path, reason: reason.to_owned(), expires: last_day(), exact };
    run(session, params).await.map(Some)
}

/// One word for a shell, whatever a repository calls its files.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn last_day() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Day::of_unix(now + DAYS * 86_400).to_string()
}

async fn waive(session: &Arc<Session>, params: WaiveParams) -> Result<DiffResult, Error> {
    let WaiveParams { task, rule, path, reason, expires, exact } = params;
    let engine = session.engine_of_task(task.as_deref())?;
    let review = engine.review(task.as_deref())?;
    let expires: Day = expires.parse().map_err(|_| {
        Error::new(ErrorKind::BadParams, format!("waive until {expires:?}: it is no day"))
            .hint("write it as 2027-01-31")
    })?;
    let fingerprint = if exact { Some(waivers::fingerprint_of(&review, &rule, &path)?) } else { None };
    let who = engine.settings().approvals.identity.as_deref();
    waivers::keep(Waiver { rule, path, fingerprint, reason, expires }, engine.audit(), engine.state(), who)?;
    to_proto::diff(&engine, &engine.judge_again(Some(&review.task.id)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_to_be_pasted_runs_nothing_of_a_files_name() {
        assert_eq!(quoted("a b.ts"), "'a b.ts'");
        assert_eq!(quoted("$(x)'; y"), r"'$(x)'\''; y'");
    }
}
