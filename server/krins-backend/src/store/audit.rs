//! Copies of sidecars' audits, out of reach of whoever can write on their machines: records hang on each other as they do
//! there, and what they are about can be erased here too without a gap in the chain.

use super::{Postgres, Sqlite, StoreError, count, millis};
use async_trait::async_trait;
use krins_core::Digest;
use krins_core::audit::{Head, Record, Verifier, is_about};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::time::Duration;

/// Logs of one tenant.
const MOST_LOGS: i64 = 10_000;
/// Payloads that are looked at together: of the longest ones, 16 MiB.
const PAGE: usize = 256;

/// A record as it stands in its log, and what it is about, where that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Without its end.
    pub line: String,
    /// Salt (hex) and payload, as they were committed to.
    pub about: Option<(String, String)>,
}

/// What came of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// So far the log is here now; what was here already is the same.
    Kept(Head),
    /// The first record does not follow on what is here: nothing was written.
    Gap(Head),
    /// This record is here, and another one: somebody wrote the log anew. Nothing was written.
    Fork(u64),
    /// This one does not hang on the one before it. Nothing was written.
    Broken(u64),
    /// The tenant has as many logs as it may have.
    TooMany,
}

/// A payload that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AboutRow {
    pub log: String,
    pub seq: u64,
    /// The record's line.
    pub line: String,
    pub salt: String,
    pub body: String,
}

/// What was found among the next payloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AboutPage {
    /// Fewer than were looked at, or none, where a subject was looked for.
    pub rows: Vec<AboutRow>,
    /// The place (log and number) after which the next page begins; `None` after the last payload.
    pub next: Option<(String, u64)>,
}

/// The part of a store that keeps audits.
#[async_trait]
pub trait AuditBook {
    /// Takes the next records of a log, in their order. `Kept` means that they are on the disk. The same records again
    /// change nothing.
    async fn audit_append(&self, tenant: &str, log: &str, entries: Vec<AuditEntry>) -> Result<Appended, StoreError>;

    /// How far a log is here.
    async fn audit_head(&self, tenant: &str, log: &str) -> Result<Head, StoreError>;

    /// Looks through the next payloads after a place (log and number), in their order, for those about a subject, or takes
    /// all of them.
    async fn audit_about(
        &self,
        tenant: &str,
        subject: Option<&str>,
        after: (&str, u64),
    ) -> Result<AboutPage, StoreError>;

    /// Erases the payloads of these records, which stay; answers how many there were.
    async fn audit_erase(&self, tenant: &str, records: Vec<(String, u64)>) -> Result<u64, StoreError>;

    /// Erases all that is kept about a subject when it begins, page by page, so that nobody else waits for the whole.
    async fn audit_forget(&self, tenant: &str, subject: &str) -> Result<u64, StoreError> {
        let (mut gone, mut after) = (0, (String::new(), 0));
        loop {
            let page = self.audit_about(tenant, Some(subject), (&after.0, after.1)).await?;
            let found: Vec<_> = page.rows.into_iter().map(|row| (row.log, row.seq)).collect();
            if !found.is_empty() {
                gone += self.audit_erase(tenant, found).await?;
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(gone),
            }
        }
    }

    /// Erases what came longer ago than this; the records stay.
    async fn audit_expire(&self, age: Duration) -> Result<u64, StoreError>;
}

/// What is new of the entries, given what is here; or why nothing is taken.
fn weigh(
    head: Head,
    known: &BTreeMap<u64, String>,
    entries: &[AuditEntry],
) -> Result<(Head, Vec<(u64, AuditEntry)>), Appended> {
    let mut verifier = Verifier { head, ..Verifier::default() };
    let mut fresh = Vec::new();
    for (at, entry) in (1u64..).zip(entries) {
        let Some(record) = Record::read(entry.line.as_bytes()) else { return Err(Appended::Broken(at)) };
        if record.seq <= head.seq {
            match known.get(&record.seq) {
                Some(line) if *line == entry.line => continue,
                _ => return Err(Appended::Fork(record.seq)),
            }
        }
        if record.seq != verifier.head.seq + 1 {
            return Err(if fresh.is_empty() { Appended::Gap(head) } else { Appended::Broken(record.seq) });
        }
        verifier.take(entry.line.as_bytes()).map_err(|_| match fresh.is_empty() && head.seq > 0 {
            true => Appended::Fork(record.seq),
            false => Appended::Broken(record.seq),
        })?;
        fresh.push((record.seq, entry.clone()));
    }
    Ok((verifier.head, fresh))
}

/// The numbers that an append speaks of: no more of them than it has entries, so that nobody makes the service read a whole log.
fn span(entries: &[AuditEntry]) -> Option<(i64, i64)> {
    let seq = |entry: &AuditEntry| Record::read(entry.line.as_bytes()).map(|record| signed(record.seq));
    let (first, last) = (seq(entries.first()?)?, seq(entries.last()?)?);
    let room = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    Some((first, last.min(first.saturating_add(room))))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn head_of(seq: i64, ts: i64, hash: &str) -> Head {
    let genesis = Head::default();
    Head { seq: unsigned(seq), ts: unsigned(ts), hash: hash.parse::<Digest>().unwrap_or(genesis.hash) }
}

/// Of the payloads that were looked at, those about the subject. What is about it is what its JSON says, in whatever
/// spelling, which a database cannot look for.
fn page(rows: Vec<AboutRow>, subject: Option<&str>) -> AboutPage {
    let last = rows.last().filter(|_| rows.len() == PAGE);
    let next = last.map(|row| (row.log.clone(), row.seq));
    let about = |row: &AboutRow| subject.is_none_or(|subject| is_about(&row.body, subject));
    AboutPage { rows: rows.into_iter().filter(about).collect(), next }
}

const HEAD: &str = "SELECT records, ts, head FROM audit_log WHERE tenant = ?1 AND log = ?2";

#[async_trait]
impl AuditBook for Sqlite {
    async fn audit_append(&self, tenant: &str, log: &str, entries: Vec<AuditEntry>) -> Result<Appended, StoreError> {
        let (tenant, log) = (tenant.to_owned(), log.to_owned());
        self.write(move |db| append(db, &tenant, &log, &entries)).await
    }

    async fn audit_head(&self, tenant: &str, log: &str) -> Result<Head, StoreError> {
        let (tenant, log) = (tenant.to_owned(), log.to_owned());
        self.read(move |db| Ok(head(db, &tenant, &log)?.unwrap_or_default())).await
    }

    async fn audit_about(
        &self,
        tenant: &str,
        subject: Option<&str>,
        (log, seq): (&str, u64),
    ) -> Result<AboutPage, StoreError> {
        let (tenant, log) = (tenant.to_owned(), log.to_owned());
        let rows = self
            .read(move |db| {
                db.prepare_cached(
                    "SELECT a.log, a.seq, r.line, a.salt, a.body FROM audit_about a \
                     JOIN audit_record r ON r.tenant = a.tenant AND r.log = a.log AND r.seq = a.seq \
                     WHERE a.tenant = ?1 AND (a.log, a.seq) > (?2, ?3) ORDER BY a.log, a.seq LIMIT ?4",
                )?
                .query_map(params![tenant, log, signed(seq), count(PAGE)], |row| {
                    Ok(AboutRow {
                        log: row.get(0)?,
                        seq: unsigned(row.get(1)?),
                        line: row.get(2)?,
                        salt: row.get(3)?,
                        body: row.get(4)?,
                    })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
            })
            .await?;
        Ok(page(rows, subject))
    }

    async fn audit_erase(&self, tenant: &str, records: Vec<(String, u64)>) -> Result<u64, StoreError> {
        let tenant = tenant.to_owned();
        self.write(move |db| {
            let mut erase = db.prepare_cached("DELETE FROM audit_about WHERE tenant = ?1 AND log = ?2 AND seq = ?3")?;
            let mut gone = 0;
            for (log, seq) in records {
                gone += erase.execute(params![tenant, log, signed(seq)])? as u64;
            }
            Ok(gone)
        })
        .await
    }

    async fn audit_expire(&self, age: Duration) -> Result<u64, StoreError> {
        self.write(move |db| {
            let sql = format!("DELETE FROM audit_about WHERE at_ms < {} - ?1", super::sqlite::NOW);
            Ok(db.execute(&sql, [millis(age)])? as u64)
        })
        .await
    }
}

fn head(db: &Connection, tenant: &str, log: &str) -> rusqlite::Result<Option<Head>> {
    db.prepare_cached(HEAD)?
        .query_row(params![tenant, log], |row| Ok(head_of(row.get(0)?, row.get(1)?, &row.get::<_, String>(2)?)))
        .optional()
}

fn append(db: &Connection, tenant: &str, log: &str, entries: &[AuditEntry]) -> rusqlite::Result<Appended> {
    let here = head(db, tenant, log)?;
    if here.is_none() {
        let logs: i64 = db.query_row("SELECT count(*) FROM audit_log WHERE tenant = ?1", [tenant], |row| row.get(0))?;
        if logs >= MOST_LOGS {
            return Ok(Appended::TooMany);
        }
    }
    let here = here.unwrap_or_default();
    if entries.is_empty() {
        return Ok(Appended::Kept(here));
    }
    let Some((first, last)) = span(entries) else { return Ok(Appended::Broken(0)) };
    let known: BTreeMap<u64, String> = db
        .prepare_cached("SELECT seq, line FROM audit_record WHERE tenant = ?1 AND log = ?2 AND seq BETWEEN ?3 AND ?4")?
        .query_map(params![tenant, log, first, last], |row| Ok((unsigned(row.get(0)?), row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let (next, fresh) = match weigh(here, &known, entries) {
        Ok(weighed) => weighed,
        Err(refused) => return Ok(refused),
    };
    let now = super::sqlite::NOW;
    for (seq, entry) in &fresh {
        db.prepare_cached("INSERT INTO audit_record (tenant, log, seq, line) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![tenant, log, signed(*seq), entry.line])?;
        if let Some((salt, body)) = &entry.about {
            db.prepare_cached(&format!(
                "INSERT INTO audit_about (tenant, log, seq, salt, body, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, {now})"
            ))?
            .execute(params![tenant, log, signed(*seq), salt, body])?;
        }
    }
    db.prepare_cached(
        "INSERT INTO audit_log (tenant, log, records, ts, head) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (tenant, log) DO UPDATE SET records = excluded.records, ts = excluded.ts, head = excluded.head",
    )?
    .execute(params![tenant, log, signed(next.seq), signed(next.ts), next.hash.to_string()])?;
    Ok(Appended::Kept(next))
}

#[async_trait]
impl AuditBook for Postgres {
    async fn audit_append(&self, tenant: &str, log: &str, entries: Vec<AuditEntry>) -> Result<Appended, StoreError> {
        let mut client = self.client().await?;
        let wrap = |error: tokio_postgres::Error| super::postgres::failed(&error);
        let transaction = client.transaction().await.map_err(wrap)?;
        let logs: i64 = transaction
            .query_one(
                "SELECT CASE WHEN EXISTS (SELECT FROM audit_log WHERE tenant = $1 AND log = $2) THEN 0 \
                 ELSE (SELECT count(*) FROM audit_log WHERE tenant = $1) END",
                &[&tenant, &log],
            )
            .await
            .map_err(wrap)?
            .get(0);
        if logs >= MOST_LOGS {
            return Ok(Appended::TooMany);
        }
        // The row lets appends to a log go one after the other, whatever replica takes them.
        let genesis = Head::default().hash.to_string();
        let sql = "INSERT INTO audit_log (tenant, log, records, ts, head) VALUES ($1, $2, 0, 0, $3) \
                   ON CONFLICT (tenant, log) DO UPDATE SET records = audit_log.records RETURNING records, ts, head";
        let row = transaction.query_one(sql, &[&tenant, &log, &genesis]).await.map_err(wrap)?;
        let here = head_of(row.get(0), row.get(1), row.get(2));
        if entries.is_empty() {
            return Ok(Appended::Kept(here));
        }
        let Some((first, last)) = span(&entries) else { return Ok(Appended::Broken(0)) };
        let sql = "SELECT seq, line FROM audit_record WHERE tenant = $1 AND log = $2 AND seq BETWEEN $3 AND $4";
        let known = transaction.query(sql, &[&tenant, &log, &first, &last]).await.map_err(wrap)?;
        let known = known.iter().map(|row| (unsigned(row.get(0)), row.get(1))).collect();
        let (next, fresh) = match weigh(here, &known, &entries) {
            Ok(weighed) => weighed,
            Err(refused) => return Ok(refused),
        };
        let now = super::postgres::NOW;
        let record = transaction
            .prepare_cached("INSERT INTO audit_record (tenant, log, seq, line) VALUES ($1, $2, $3, $4)")
            .await
            .map_err(wrap)?;
        let about = transaction
            .prepare_cached(&format!(
                "INSERT INTO audit_about (tenant, log, seq, salt, body, at_ms) VALUES ($1, $2, $3, $4, $5, {now})"
            ))
            .await
            .map_err(wrap)?;
        for (seq, entry) in &fresh {
            let seq = signed(*seq);
            transaction.execute(&record, &[&tenant, &log, &seq, &entry.line]).await.map_err(wrap)?;
            if let Some((salt, body)) = &entry.about {
                transaction.execute(&about, &[&tenant, &log, &seq, salt, body]).await.map_err(wrap)?;
            }
        }
        let sql = "UPDATE audit_log SET records = $3, ts = $4, head = $5 WHERE tenant = $1 AND log = $2";
        let (records, ts, hash) = (signed(next.seq), signed(next.ts), next.hash.to_string());
        transaction.execute(sql, &[&tenant, &log, &records, &ts, &hash]).await.map_err(wrap)?;
        transaction.commit().await.map_err(wrap)?;
        Ok(Appended::Kept(next))
    }

    async fn audit_head(&self, tenant: &str, log: &str) -> Result<Head, StoreError> {
        let sql = "SELECT records, ts, head FROM audit_log WHERE tenant = $1 AND log = $2";
        let row = self.row(sql, &[&tenant, &log]).await?;
        Ok(row.map(|row| head_of(row.get(0), row.get(1), row.get(2))).unwrap_or_default())
    }

    async fn audit_about(
        &self,
        tenant: &str,
        subject: Option<&str>,
        (log, seq): (&str, u64),
    ) -> Result<AboutPage, StoreError> {
        let sql = "SELECT a.log, a.seq, r.line, a.salt, a.body FROM audit_about a \
                   JOIN audit_record r ON r.tenant = a.tenant AND r.log = a.log AND r.seq = a.seq \
                   WHERE a.tenant = $1 AND (a.log, a.seq) > ($2, $3) ORDER BY a.log, a.seq LIMIT $4";
        let rows = self.rows(sql, &[&tenant, &log, &signed(seq), &count(PAGE)]).await?;
        let about = |row: &tokio_postgres::Row| AboutRow {
            log: row.get(0),
            seq: unsigned(row.get(1)),
            line: row.get(2),
            salt: row.get(3),
            body: row.get(4),
        };
        Ok(page(rows.iter().map(about).collect(), subject))
    }

    async fn audit_erase(&self, tenant: &str, records: Vec<(String, u64)>) -> Result<u64, StoreError> {
        let (logs, numbers): (Vec<String>, Vec<i64>) = records.into_iter().map(|(log, seq)| (log, signed(seq))).unzip();
        let sql = "DELETE FROM audit_about AS a USING unnest($2::text[], $3::bigint[]) AS gone (log, seq) \
                   WHERE a.tenant = $1 AND a.log = gone.log AND a.seq = gone.seq";
        self.execute(sql, &[&tenant, &logs, &numbers]).await
    }

    async fn audit_expire(&self, age: Duration) -> Result<u64, StoreError> {
        let sql = format!("DELETE FROM audit_about WHERE at_ms < {} - $1", super::postgres::NOW);
        self.execute(&sql, &[&millis(age)]).await
    }
}
