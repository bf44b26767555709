//! What calls to models cost, by person and route, and calls whose end nobody knows. Persons see what is theirs, who may
//! administer sees the tenant's and everybody's.

use super::auth::Scope;
use super::problem::Problem;
use super::routes::{Asker, read_json};
use super::tasks::{Tasks, unavailable};
use crate::money::Day;
use crate::store::{CallRow, CallState, LIST_LIMIT, Reconciled, Spending};
use crate::wire::usage_to_wire;
use crate::{Usage, money};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use krins_protocol::error::ErrorKind;
use krins_protocol::http::{OpenCall, OpenCalls, Reconcile, SpendingReport, SpendingRow, Spent};
use std::sync::Arc;

const WEEK: u32 = 7;
/// As long as calls are kept.
const MOST_DAYS: u32 = 366;

/// `GET /reports/weekly?all=true&days=N`.
pub async fn weekly(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Result<Json<SpendingReport>, Problem> {
    let query = Query::read(query.as_deref().unwrap_or_default())?;
    let admin = caller.may(Scope::Admin);
    if query.all && !admin {
        return Err(Problem::new(ErrorKind::Untrusted, "show what every tenant spent")
            .hint("that takes a token with the scope admin"));
    }
    let tenant = (!query.all).then_some(caller.tenant.as_str());
    let person = (!admin).then_some(caller.person.name.as_str());
    let found = tasks.store().spending(tenant, person, query.days).await;
    let rows = found.map_err(|error| unavailable("add up", &error))?;
    let today = Day::of_millis(money::meter::now_ms());
    Ok(Json(SpendingReport {
        since: Day(today.0 - i64::from(query.days) + 1).to_string(),
        until: today.to_string(),
        total: total(&rows),
        cut: rows.len() == LIST_LIMIT,
        rows: rows.into_iter().map(|row| shown(row, query.all)).collect(),
    }))
}

/// `GET /reports/open`.
pub async fn open(State(tasks): State<Arc<Tasks>>) -> Result<Json<OpenCalls>, Problem> {
    let calls = tasks.store().open_calls().await.map_err(|error| unavailable("list the open calls", &error))?;
    let open = calls.into_iter().map(|row| OpenCall {
        id: row.call.id,
        tenant: Some(row.call.tenant),
        person: row.call.person,
        task: row.call.task,
        route: format!("{}/{}", row.call.route, row.call.model),
        started_ms: row.started_ms,
        reserved: row.call.reserved_micros.map(|micros| micros.max(0).cast_unsigned()),
        state: row.end.state.name().to_owned(),
    });
    Ok(Json(OpenCalls { open: open.collect() }))
}

/// `POST /reports/open/{id}`.
pub async fn reconcile(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let Reconcile { micros } = read_json(&headers, body, "charge")?;
    let store = tasks.store();
    match store.reconcile(&id, micros).await.map_err(|error| unavailable("charge the call", &error))? {
        Reconciled::Yes => {
            tracing::warn!(who = %caller.name, call = %id, micros, "an open call was charged by hand");
            Ok(StatusCode::NO_CONTENT)
        }
        Reconciled::UnderWay => Err(Problem::new(ErrorKind::Conflict, "charge the call: it may still be under way")
            .hint("its own end says what it cost; it can be charged when its run has lost its lease, or an hour after it began")),
        Reconciled::NotOpen => {
            Err(Problem::new(ErrorKind::BadParams, "charge the call: there is no open one of that name")
                .status(StatusCode::NOT_FOUND)
                .hint("GET /reports/open lists them"))
        }
    }
}

/// What a task's calls took.
pub fn spent_by(calls: &[CallRow]) -> Spent {
    let mut spent = Spent { calls: calls.len() as u64, ..Spent::default() };
    let (mut usage, mut micros, mut unpriced) = (Usage::default(), 0u64, false);
    for row in calls {
        let open = matches!(row.end.state, CallState::Started | CallState::Unknown) && row.end.cost_micros.is_none();
        let counts = row.end.cost_micros.or(row.call.reserved_micros.filter(|_| open));
        spent.open += u64::from(open);
        usage = usage.plus(&row.end.usage.unwrap_or_default());
        micros = micros.saturating_add(counts.unwrap_or(0).max(0).cast_unsigned());
        unpriced |= counts.is_none();
    }
    Spent { usage: usage_to_wire(usage), cost: (!unpriced).then_some(micros), ..spent }
}

fn total(rows: &[Spending]) -> Spent {
    let mut spent = Spent::default();
    let (mut usage, mut micros, mut unpriced) = (Usage::default(), 0u64, 0);
    for row in rows {
        spent.calls += row.calls;
        spent.open += row.open;
        usage = usage.plus(&row.usage);
        micros = micros.saturating_add(row.micros);
        unpriced += row.unpriced;
    }
    Spent { usage: usage_to_wire(usage), cost: (unpriced == 0).then_some(micros), ..spent }
}

fn shown(row: Spending, with_tenant: bool) -> SpendingRow {
    SpendingRow {
        spent: total(std::slice::from_ref(&row)),
        day: Day(row.day).to_string(),
        tenant: with_tenant.then_some(row.tenant),
        person: row.person,
        route: format!("{}/{}", row.route, row.model),
        tasks: row.tasks,
        failed: row.failed,
    }
}

struct Query {
    all: bool,
    days: u32,
}

impl Query {
    fn read(text: &str) -> Result<Self, Problem> {
        let mut query = Self { all: false, days: WEEK };
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let wrong = || Problem::new(ErrorKind::BadParams, format!("read the query: {name:.40} has another value"));
            match &*name {
                "all" => query.all = value.parse().map_err(|_| wrong())?,
                "days" => {
                    query.days = value.parse().ok().filter(|days| (1..=MOST_DAYS).contains(days)).ok_or_else(wrong)?
                }
                _ => {
                    return Err(Problem::new(ErrorKind::BadParams, format!("read the query: {name:.40} is not known"))
                        .hint("it takes all and days"));
                }
            }
        }
        Ok(query)
    }
}
