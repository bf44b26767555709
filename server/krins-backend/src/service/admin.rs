//! What somebody with the scope admin does to the service as a whole: the kill switch of every replica. Each deed is
//! written down with the name of the token that it was done with.

use super::problem::Problem;
use super::routes::{Asker, read_json};
use super::tasks::{Tasks, unavailable};
use crate::resilience::switch::{ALL, Turn};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use krins_protocol::error::ErrorKind;
use krins_protocol::http::{Deed, SwitchRequest, SwitchState, SwitchTo};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Deeds that are shown.
const DEEDS: usize = 50;

/// `GET /admin/switch`.
pub async fn switch_state(State(tasks): State<Arc<Tasks>>) -> Result<Json<SwitchState>, Problem> {
    let store = tasks.store();
    let off = store.switched_off().await.map_err(|error| unavailable("read the kill switch", &error))?;
    state(&tasks, off).await
}

/// `POST /admin/switch`.
pub async fn switch(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<SwitchState>, Problem> {
    let SwitchRequest { to, providers } = read_json(&headers, body, "switch")?;
    let known: BTreeSet<String> = tasks.backend().provider_names().into_iter().collect();
    let mut names: BTreeSet<String> = providers.into_iter().collect();
    if names.remove(ALL) {
        names.clear();
    } else if let Some(unknown) = names.iter().find(|name| !known.contains(*name)) {
        return Err(Problem::new(ErrorKind::BadParams, format!("switch {unknown:.60?}: there is no such provider"))
            .hint(format!("the providers are {}", Vec::from_iter(known).join(", "))));
    }
    let turn = match to {
        SwitchTo::Off => Turn::Off(names),
        SwitchTo::On => Turn::On { names, known },
    };
    let off = tasks.switch(turn, &caller.name).await?;
    state(&tasks, off).await
}

async fn state(tasks: &Tasks, off: BTreeSet<String>) -> Result<Json<SwitchState>, Problem> {
    let deeds =
        tasks.store().deeds(DEEDS).await.map_err(|error| unavailable("read what was done to the service", &error))?;
    let here = tasks.backend().kill_switch().map(crate::resilience::Switch::here).unwrap_or_default();
    Ok(Json(SwitchState {
        off: off.into_iter().collect(),
        here: here.into_iter().collect(),
        changes: deeds
            .into_iter()
            .map(|deed| Deed { at_ms: deed.at_ms, who: deed.who, what: deed.what, detail: deed.detail })
            .collect(),
    }))
}
