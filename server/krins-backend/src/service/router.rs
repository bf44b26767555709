//! `/router/…`: who should answer, and what came of it, for whoever asks models by other ways than tasks.

use super::problem::Problem;
use super::routes::{Tenant, read_json};
use super::tasks::Tasks;
use crate::router::{Outcome, Wish};
use crate::wire;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use krins_protocol::error::ErrorKind;
use krins_protocol::http::{OutcomeSource, RouterChoice, RouterRecord, RouterSelect};
use std::sync::Arc;

/// Bytes of words, and routes to avoid, that a choice is made from.
const WORDS: usize = 64 << 10;
const AVOID: usize = 100;
/// Checks that a gate may have.
const CHECKS: usize = 64;

/// `POST /router/select`.
pub async fn select(
    State(tasks): State<Arc<Tasks>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let wanted: RouterSelect = read_json(&headers, body, "wish")?;
    if wanted.words.len() > WORDS || wanted.avoid.len() > AVOID || wanted.task.len() > WORDS {
        return Err(Problem::new(ErrorKind::BadParams, "read the wish: it is too long"));
    }
    if !tasks.backend().chooses() {
        return Err(Problem::new(ErrorKind::BadParams, "choose who answers: the router is off")
            .status(StatusCode::NOT_FOUND)
            .hint("set router.policy and router.arms where the service runs"));
    }
    let wish = Wish {
        tenant,
        task: wanted.task,
        words: wanted.words,
        micros: wanted.micros,
        prompt: wanted.prompt,
        output: wanted.output,
        variant: wanted.variant,
        avoid: wanted.avoid,
    };
    let decision = tasks.backend().choose(&wish).await.ok_or_else(|| {
        Problem::new(ErrorKind::BackendUnavailable, "choose who answers: no arm is open")
            .hint("wait until one has cooled down, or raise the budget")
    })?;
    Ok(Json(RouterChoice {
        decision: decision.id,
        route: decision.route,
        policy: decision.policy,
        class: decision.class,
        propensity: decision.propensity,
        explanation: decision.explanation,
    })
    .into_response())
}

/// `POST /router/record`. What nobody decided is passed over: the log forgets old choices.
pub async fn record(
    State(tasks): State<Arc<Tasks>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let RouterRecord { decision, task, source, value, checks } = read_json(&headers, body, "record")?;
    if !(0.0..=1.0).contains(&value) {
        return Err(Problem::new(ErrorKind::BadParams, "read the record: its value is not from 0 to 1"));
    }
    if checks.len() > CHECKS {
        return Err(Problem::new(ErrorKind::BadParams, "read the record: it has too many checks"));
    }
    let yes = value >= 0.5;
    let outcome = match source {
        OutcomeSource::Gate => Outcome::Gate { passed: yes },
        OutcomeSource::Person => Outcome::Person { accepted: yes },
        OutcomeSource::Edits => Outcome::Edits { share: value },
    };
    if let Some(decision) = decision {
        tasks.backend().note(&tenant, &decision, outcome);
    }
    if let (Some(task), Outcome::Gate { passed }) = (task, outcome) {
        let checks: Vec<_> = checks.iter().map(wire::verdict_from_wire).collect();
        tasks.judged(&tenant, &task, &checks, passed).await;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
