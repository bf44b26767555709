//! Copies of sidecars' audits: they grow by what hangs on them, and by nothing else. Who keeps one here finds out what was
//! cut off, or written anew, where it is from.

use super::auth::{Caller, Scope};
use super::problem::Problem;
use super::routes::{Asker, read_json};
use super::tasks::{Tasks, unavailable};
use crate::propagation;
use crate::store::{AboutPage, Appended, AuditEntry};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, RawQuery, State};
use axum::http::HeaderMap;
use krins_core::Digest;
use krins_core::audit::{Head, Record, commitment};
use krins_protocol::error::ErrorKind;
use krins_protocol::http::{AuditAbout, AuditAppend, AuditErased, AuditHead, AuditKept, AuditKeptRecord, AuditRecord};
use std::sync::Arc;

/// Records of one request, and bytes of one record and of one payload.
const MOST: usize = 1_000;
const LINE: usize = 4_096;
const BODY: usize = 64 << 10;
const NAME: usize = 128;

/// `POST /audit`: the next records of a log. Answered when they are on the disk.
pub async fn append(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<AuditHead>, Problem> {
    let AuditAppend { log, records } = read_json(&headers, body, "audit")?;
    let log = sane(log, "log")?;
    if records.len() > MOST {
        return Err(bad(format!("take {} records at once: {MOST} are the most", records.len())));
    }
    let entries = records.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let appended = tasks.store().audit_append(&caller.tenant, &log, entries).await;
    match appended.map_err(|error| unavailable("keep the records", &error))? {
        Appended::Kept(head) => Ok(Json(shown(log, &head))),
        Appended::Gap(head) => Err(conflict(format!(
            "take the records of {log}: {} are here, and the first one does not follow on them",
            head.seq
        ))),
        Appended::Fork(seq) => {
            tracing::warn!(tenant = %caller.tenant, %log, seq, "a sidecar's audit is another one than the one that is kept");
            Err(conflict(format!("take the records of {log}: another record {seq} is kept here")))
        }
        Appended::Broken(seq) => Err(bad(format!("take record {seq} of {log}: it does not hang on the one before it"))),
        Appended::TooMany => {
            Err(Problem::new(ErrorKind::Overloaded, format!("keep {log}: there are as many logs as there may be")))
        }
    }
}

/// `GET /audit?log=L`: how far it is kept.
pub async fn head(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditHead>, Problem> {
    let query = Query::read(query.as_deref())?;
    let log = sane(query.log.unwrap_or_default(), "log")?;
    let head = tasks.store().audit_head(&caller.tenant, &log).await;
    Ok(Json(shown(log, &head.map_err(|error| unavailable("look at the audit", &error))?)))
}

/// `GET /audit/about?subject=S`: what is kept about a person, a task, any name or hash; without one about all. A page is what
/// was found among so many payloads, so it may be empty and not the last.
pub async fn about(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditKept>, Problem> {
    admin(&caller)?;
    let query = Query::read(query.as_deref())?;
    let after = query.after.unwrap_or_default();
    let (log, seq) = after.rsplit_once(':').unwrap_or_default();
    let after = (log, seq.parse().unwrap_or(0));
    let subject = query.subject.as_deref();
    let page = tasks.store().audit_about(&caller.tenant, subject, after).await;
    let AboutPage { rows, next } = page.map_err(|error| unavailable("look at the audit", &error))?;
    let records = rows.into_iter().map(|row| AuditKeptRecord {
        log: row.log,
        record: AuditRecord { record: row.line, about: Some(AuditAbout { salt: row.salt, body: row.body }) },
    });
    Ok(Json(AuditKept { records: records.collect(), next: next.map(|(log, seq)| format!("{log}:{seq}")) }))
}

/// `DELETE /audit/about?subject=S`: erases what is kept about it. The records stay. Not cancelled with its caller: what was
/// begun is done to the end, also when nobody waits for it.
pub async fn forget(
    State(tasks): State<Arc<Tasks>>,
    Extension(Asker(caller)): Extension<Asker>,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditErased>, Problem> {
    admin(&caller)?;
    let Some(subject) = Query::read(query.as_deref())?.subject.filter(|subject| !subject.is_empty()) else {
        return Err(bad("forget: the query names no subject".to_owned()));
    };
    let store = Arc::clone(tasks.store());
    let forgetting = async move {
        let erased = store.audit_forget(&caller.tenant, &subject).await;
        let erased = erased.map_err(|error| unavailable("erase what is kept", &error))?;
        // Who was forgotten must not be written down again.
        tracing::info!(tenant = %caller.tenant, erased, "what an audit keeps about a subject was erased");
        Ok(Json(AuditErased { erased }))
    };
    tokio::spawn(propagation::carry(forgetting))
        .await
        .map_err(|error| Problem::internal("erase what is kept", &error))?
}

fn admin(caller: &Caller) -> Result<(), Problem> {
    if caller.may(Scope::Admin) {
        return Ok(());
    }
    Err(Problem::new(ErrorKind::Untrusted, "read or erase what an audit keeps")
        .hint("that takes a token with the scope admin"))
}

/// A record in its one form, with a payload that it committed to.
fn entry(record: AuditRecord) -> Result<AuditEntry, Problem> {
    let AuditRecord { record: line, about } = record;
    let read = Some(line.as_bytes()).filter(|line| line.len() <= LINE).and_then(Record::read);
    let Some(record) = read else { return Err(bad("read a record: it is none in its one form".to_owned())) };
    let about = match about {
        None => None,
        Some(AuditAbout { salt, body }) => {
            let committed = |salt: Digest| commitment(salt.as_bytes(), body.as_bytes()) == record.commit;
            if body.len() > BODY || !salt.parse().is_ok_and(committed) {
                return Err(bad(format!("keep what record {} is about: it committed to something else", record.seq)));
            }
            Some((salt, body))
        }
    };
    Ok(AuditEntry { line, about })
}

fn shown(log: String, head: &Head) -> AuditHead {
    AuditHead { log, records: head.seq, head: head.hash.to_string() }
}

fn bad(what: String) -> Problem {
    Problem::new(ErrorKind::BadParams, what)
}

fn conflict(what: String) -> Problem {
    Problem::new(ErrorKind::Conflict, what).hint("GET /audit?log=… says how far it is kept")
}

fn sane(log: String, what: &str) -> Result<String, Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
    let sane = (1..=NAME).contains(&log.len()) && log.bytes().all(plain) && !log.contains("..");
    let why = || bad(format!("read the {what}: it is 1 to {NAME} of letters, digits, - _ . and /"));
    if sane { Ok(log) } else { Err(why()) }
}

#[derive(Default)]
struct Query {
    log: Option<String>,
    subject: Option<String>,
    after: Option<String>,
}

impl Query {
    fn read(text: Option<&str>) -> Result<Self, Problem> {
        let mut query = Self::default();
        for (name, value) in url::form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            let place = match &*name {
                "log" => &mut query.log,
                "subject" => &mut query.subject,
                "after" => &mut query.after,
                _ => {
                    return Err(bad(format!("read the query: {name:.40} is not known"))
                        .hint("it takes log, or subject and after"));
                }
            };
            *place = Some(value.into_owned());
        }
        Ok(query)
    }
}
