//! The store in PostgreSQL, for several replicas. A change is one statement wherever that is possible: the task, its event
//! and what depends on it change together or not at all. Waiting tasks are taken with `SKIP LOCKED`, so replicas do not wait for each other.

mod tls;

use super::hint::{of_message, to_messages};
use super::{
    BLOCK, Burial, CALL, COUNTS, CallBegun, CallEnd, CallRow, CallState, Claimed, DeadRow, Deed, End, Fence, Happened,
    Hint, LIST_LIMIT, Leased, LockRow, Locking, NO_LEASE, NewCall, NewLock, NewRow, NewToken, OPEN, PAYLOAD_VERSION,
    Person, Reconciled, Room, Spending, State, Stats, Store, StoreError, Submission, Swept, TASK, TOKEN_MS, TaskRow,
    TokenRow, YEAR_MS, amount, count, duration, limits_of, migrations, millis, off_words, reason, refusal,
    token_digest, under_way,
};
use crate::Usage;
use crate::money::{Limits, Purpose, Scope};
use crate::resilience::switch::Turn;
use async_trait::async_trait;
use deadpool_postgres::{GenericClient, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use futures::future::try_join_all;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tls::Tls;
use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Config, Row};

/// Connections of one replica, beside the one that listens.
const CONNECTIONS: usize = 8;
/// The longest to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before the listening connection is made anew.
const RECONNECT: Duration = Duration::from_secs(1);
/// Hints that wait to be read.
const BACKLOG: usize = 1024;
const CHANNEL: &str = "krins_hint";
/// Keys of advisory locks: `krins` and a number.
const MIGRATING: i64 = 0x6b72_696e_7300;
/// No statement of ours takes long; a lost connection must not hold locks.
const SESSION: &str = "-c statement_timeout=10000 -c idle_in_transaction_session_timeout=10000 -c lock_timeout=8000";

pub(super) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
/// The first moment of the day, in UTC.
const TODAY: &str = "(floor(extract(epoch FROM clock_timestamp()) / 86400)::bigint * 86400000)";

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A pool of connections; clones share it.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    config: Config,
    tls: Tls,
}

/// Not derived: the configuration holds the password.
impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Postgres")
    }
}

/// `verify-ca` and `verify-full` are libpq's words for what is done here anyway: with TLS, certificates and names are
/// always checked. The parser does not know them.
fn known_sslmode(address: &str) -> String {
    let Some((place, query)) = address.split_once('?') else { return address.to_owned() };
    let pairs = query.split('&').map(|pair| match pair {
        "sslmode=verify-ca" | "sslmode=verify-full" => "sslmode=require",
        pair => pair,
    });
    format!("{place}?{}", Vec::from_iter(pairs).join("&"))
}

impl Postgres {
    /// Whether this is an address of PostgreSQL and not a file's name.
    pub fn is_address(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Connects, and brings the tables up to date. A password that the address does not hold may be given apart.
    pub async fn open(address: &str, password: Option<&str>, extra_ca: Option<&Path>) -> Result<Self, StoreError> {
        // The parser's own words quote the address.
        let mut config: Config =
            known_sslmode(address).parse().map_err(|_| StoreError::Address("it can not be read"))?;
        if config.get_hosts().is_empty() {
            return Err(StoreError::Address("it names no host"));
        }
        if let (None, Some(password)) = (config.get_password(), password) {
            config.password(password);
        }
        let options = [config.get_options().unwrap_or_default(), SESSION].join(" ");
        config.options(options.trim()).application_name("krins").connect_timeout(PATIENCE);
        config.tcp_user_timeout(PATIENCE * 2).keepalives_idle(Duration::from_secs(30));
        let tls = Tls::new(extra_ca)?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.clone(), tls.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .build()
            .map_err(|error| StoreError::Postgres(error.to_string()))?;
        let store = Self { pool, config, tls };
        store.migrate().await?;
        Ok(store)
    }

    pub(super) async fn client(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => failed(&error),
            PoolError::Timeout(_) => StoreError::Postgres("no connection in time".into()),
            other => StoreError::Postgres(other.to_string()),
        })
    }

    pub(super) async fn rows(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(|error| failed(&error))?;
        client.query(&statement, params).await.map_err(|error| failed(&error))
    }

    pub(super) async fn row(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    async fn task(&self, sql: &str, params: Params<'_>) -> Result<Option<TaskRow>, StoreError> {
        Ok(self.row(sql, params).await?.as_ref().map(task_row))
    }

    pub(super) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, StoreError> {
        execute(&self.client().await?, sql, params).await
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let wrap = |error: tokio_postgres::Error| failed(&error);
        let transaction = client.transaction().await.map_err(wrap)?;
        // A step over a year of calls takes its time; a replica that gave up would never start.
        transaction.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await.map_err(wrap)?;
        // Replicas that start together take turns.
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATING]).await.map_err(wrap)?;
        transaction
            .batch_execute("CREATE TABLE IF NOT EXISTS krins_schema (version bigint NOT NULL, oldest bigint NOT NULL)")
            .await
            .map_err(wrap)?;
        let found = transaction
            .query_one("SELECT coalesce(max(version), 0), coalesce(max(oldest), 0) FROM krins_schema", &[])
            .await
            .map_err(wrap)?;
        let (version, oldest): (i64, i64) = (found.get(0), found.get(1));
        if oldest > migrations::KNOWN {
            return Err(StoreError::Newer { found: version, known: migrations::KNOWN });
        }
        for step in migrations::STEPS.iter().filter(|step| step.version > version) {
            transaction.batch_execute(step.postgres).await.map_err(wrap)?;
            let insert = "INSERT INTO krins_schema (version, oldest) VALUES ($1, $2)";
            transaction.execute(insert, &[&step.version, &step.oldest]).await.map_err(wrap)?;
        }
        transaction.commit().await.map_err(wrap)
    }

    /// Until nobody reads any more.
    async fn listen(self, hints: mpsc::Sender<Hint>) {
        while !hints.is_closed() {
            tokio::select! {
                () = hints.closed() => return,
                heard = self.listen_once(&hints) => {
                    if let Err(error) = heard {
                        tracing::debug!(%error, "failed to listen to the other replicas; they are looked at regularly");
                    }
                }
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn listen_once(&self, hints: &mpsc::Sender<Hint>) -> Result<(), StoreError> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await.map_err(|error| failed(&error))?;
        let listening = async move {
            client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
            // The connection ends with its client.
            std::future::pending::<()>().await;
            drop(client);
            Ok(())
        };
        let mut messages = futures::stream::poll_fn(move |cx| connection.poll_message(cx));
        let reading = async {
            use futures::StreamExt as _;
            while let Some(message) = messages.next().await {
                if let AsyncMessage::Notification(note) = message? {
                    // A full backlog loses hints, and nothing else.
                    of_message(note.payload()).for_each(|hint| drop(hints.try_send(hint)));
                }
            }
            Ok::<(), tokio_postgres::Error>(())
        };
        let ended = tokio::select! {
            ended = listening => ended,
            ended = reading => ended,
        };
        ended.map_err(|error| failed(&error))
    }
}

/// What went wrong, without addresses: the server's message and code, or the innermost cause.
pub(super) fn failed(error: &tokio_postgres::Error) -> StoreError {
    StoreError::Postgres(match error.as_db_error() {
        Some(told) => format!("{} ({})", told.message(), told.code().code()),
        None => crate::http::root_cause(error),
    })
}

/// `changed` is a statement with `RETURNING task.*` or the like; its event is written with it.
fn with_event(changed: &str, what: &str, detail: &str) -> String {
    format!(
        "WITH changed AS ({changed}), \
         happened AS (INSERT INTO task_event (task, seq, at_ms, what, detail) \
         SELECT id, seq, updated_ms, {what}, {detail} FROM changed) \
         SELECT {TASK} FROM changed"
    )
}

#[async_trait]
impl Store for Postgres {
    fn name(&self) -> &'static str {
        "postgresql"
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn submit(&self, row: NewRow, room: Room) -> Result<Submission, StoreError> {
        let insert = format!(
            "INSERT INTO task (id, tenant, key, payload_sha256, payload, payload_version, state, run_at_ms, seq, \
             traceparent, tracestate, person, person_micros, created_ms, updated_ms) \
             SELECT $1, $2, $3, $4, $5, $6::integer, 'queued', {NOW}, 1, $7, $8, $11, $12::bigint, {NOW}, {NOW} FROM \
             (SELECT count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE tenant = $2) AS mine \
             FROM task WHERE state IN ('queued', 'running')) AS room WHERE queued < $9 AND mine < $10 \
             ON CONFLICT (tenant, key) DO NOTHING RETURNING *"
        );
        let sql = with_event(&insert, "'accepted'", "NULL");
        let (all, mine) = (count(room.all), count(room.tenant));
        let person_micros = row.person.micros_per_day.map(amount);
        let params: Params<'_> = &[
            &row.id,
            &row.tenant,
            &row.key,
            &row.payload_sha256,
            &row.payload,
            &row.payload_version,
            &row.traceparent,
            &row.tracestate,
            &all,
            &mine,
            &row.person.name,
            &person_micros,
        ];
        if let Some(task) = self.task(&sql, params).await? {
            return Ok(Submission::Accepted(task));
        }
        // A row that another replica had not committed yet is visible to this next statement.
        let known = format!("SELECT {TASK}, payload_sha256 FROM task WHERE tenant = $1 AND key = $2");
        if let Some(known) = self.row(&known, &[&row.tenant, &row.key]).await? {
            let same = known.get::<_, String>(6) == row.payload_sha256;
            return Ok(if same { Submission::Replayed(task_row(&known)) } else { Submission::KeyConflict });
        }
        let queued = self.stats(None).await?.queued;
        Ok(if queued >= all as u64 { Submission::Full } else { Submission::TenantFull })
    }

    async fn get(&self, tenant: &str, id: &str) -> Result<Option<TaskRow>, StoreError> {
        self.task(&format!("SELECT {TASK} FROM task WHERE tenant = $1 AND id = $2"), &[&tenant, &id]).await
    }

    async fn look(&self, ids: &[String]) -> Result<Vec<TaskRow>, StoreError> {
        let rows = self.rows(&format!("SELECT {TASK} FROM task WHERE id = ANY($1)"), &[&ids]).await?;
        Ok(rows.iter().map(task_row).collect())
    }

    async fn claim(&self, worker: &str, wanted: usize, lease: Duration) -> Result<Claimed, StoreError> {
        let sql = format!(
            "WITH picked AS (SELECT id FROM task WHERE state = 'queued' AND run_at_ms <= {NOW} \
             AND payload_version <= {PAYLOAD_VERSION} ORDER BY priority DESC, run_at_ms, id LIMIT $1 \
             FOR UPDATE SKIP LOCKED), \
             changed AS (UPDATE task SET state = 'running', epoch = epoch + 1, runs = runs + 1, \
             seq = (epoch + 1) * {BLOCK}, lease_owner = $2, lease_token = gen_random_uuid()::text, \
             lease_until_ms = {NOW} + $3, updated_ms = {NOW} FROM picked WHERE task.id = picked.id RETURNING task.*), \
             happened AS (INSERT INTO task_event (task, seq, at_ms, what, detail) \
             SELECT id, seq, updated_ms, 'started', lease_owner FROM changed) \
             SELECT id, lease_token, tenant, runs, seq, payload, traceparent, tracestate, updated_ms - created_ms, \
             person, person_micros FROM changed ORDER BY priority DESC, run_at_ms, id"
        );
        let rows = self.rows(&sql, &[&count(wanted), &worker, &millis(lease)]).await?;
        let tasks: Vec<Leased> = rows
            .iter()
            .map(|row| Leased {
                fence: Fence { id: row.get(0), token: row.get(1) },
                tenant: row.get(2),
                run: row.get::<_, i32>(3).max(0) as u32,
                seq: unsigned(row, 4),
                payload: row.get(5),
                traceparent: row.get(6),
                tracestate: row.get(7),
                age: duration(row.get(8)),
                person: person(row, 9),
            })
            .collect();
        let mut next = None;
        if tasks.is_empty() {
            let sql = format!("SELECT min(run_at_ms) - {NOW} FROM task WHERE state = 'queued'");
            next = self.row(&sql, &[]).await?.and_then(|row| row.get::<_, Option<i64>>(0)).map(duration);
        }
        Ok(Claimed { tasks, next })
    }

    async fn renew(&self, fences: &[Fence], lease: Duration) -> Result<Vec<String>, StoreError> {
        let ids: Vec<&str> = fences.iter().map(|fence| fence.id.as_str()).collect();
        let tokens: Vec<&str> = fences.iter().map(|fence| fence.token.as_str()).collect();
        let sql = format!(
            "UPDATE task SET lease_until_ms = {NOW} + $3 \
             FROM unnest($1::text[], $2::text[]) AS held (id, token) \
             WHERE task.id = held.id AND task.lease_token = held.token AND task.state = 'running' RETURNING task.id"
        );
        let kept: Vec<String> =
            self.rows(&sql, &[&ids, &tokens, &millis(lease)]).await?.iter().map(|row| row.get(0)).collect();
        Ok(fences.iter().map(|fence| fence.id.clone()).filter(|id| !kept.contains(id)).collect())
    }

    async fn finish(&self, fence: &Fence, end: End) -> Result<Option<TaskRow>, StoreError> {
        let (state, answer, error, why) = match end {
            End::Done(answer) => (State::Done, Some(answer), None, None),
            End::Failed(error) => (State::Failed, None, Some(error), None),
            End::Dead { error, reason: why } => (State::Dead, None, Some(error), Some(reason(&why))),
        };
        let update = format!(
            "UPDATE task SET state = $3, answer = $4, error = $5, reason = $6, updated_ms = {NOW}, {NO_LEASE}, \
             seq = epoch * {BLOCK} + {BLOCK} - 1 WHERE id = $1 AND lease_token = $2 AND state = 'running' RETURNING *"
        );
        let sql = with_event(&update, "state", "reason");
        self.task(&sql, &[&fence.id, &fence.token, &state.name(), &answer, &error, &why]).await
    }

    async fn retry(&self, fence: &Fence, pause: Duration, why: &str) -> Result<Option<TaskRow>, StoreError> {
        let update = format!(
            "UPDATE task SET state = 'queued', run_at_ms = {NOW} + $3, reason = $4, updated_ms = {NOW}, {NO_LEASE}, \
             seq = epoch * {BLOCK} + {BLOCK} - 2 WHERE id = $1 AND lease_token = $2 AND state = 'running' RETURNING *"
        );
        let sql = with_event(&update, "'retried'", "reason");
        self.task(&sql, &[&fence.id, &fence.token, &millis(pause), &reason(why)]).await
    }

    async fn release(&self, fence: &Fence) -> Result<Option<TaskRow>, StoreError> {
        let update = format!(
            "UPDATE task SET state = 'queued', runs = runs - 1, updated_ms = {NOW}, {NO_LEASE}, \
             seq = epoch * {BLOCK} + {BLOCK} - 2 WHERE id = $1 AND lease_token = $2 AND state = 'running' RETURNING *"
        );
        self.task(&with_event(&update, "'released'", "NULL"), &[&fence.id, &fence.token]).await
    }

    async fn cancel(&self, tenant: &str, id: &str) -> Result<Option<TaskRow>, StoreError> {
        let update = format!(
            "UPDATE task SET state = 'cancelled', updated_ms = {NOW}, {NO_LEASE}, \
             seq = epoch * {BLOCK} + {BLOCK} - 1 \
             WHERE tenant = $1 AND id = $2 AND state IN ('queued', 'running') RETURNING *"
        );
        self.task(&with_event(&update, "'cancelled'", "NULL"), &[&tenant, &id]).await
    }

    async fn sweep(&self, burial: &Burial) -> Result<Swept, StoreError> {
        let update = format!(
            "UPDATE task SET crashes = crashes + 1, updated_ms = {NOW}, {NO_LEASE}, run_at_ms = {NOW} + $3, \
             state = CASE WHEN crashes + 1 >= $1 THEN 'dead' ELSE 'queued' END, \
             error = CASE WHEN crashes + 1 >= $1 THEN $2::text END, \
             seq = epoch * {BLOCK} + {BLOCK} - CASE WHEN crashes + 1 >= $1 THEN 1 ELSE 2 END, \
             reason = 'the server died ' || (crashes + 1) || ' times while it ran, last ' || coalesce(lease_owner, '?') \
             WHERE id IN (SELECT id FROM task WHERE state = 'running' AND lease_until_ms < {NOW} \
             ORDER BY lease_until_ms, id LIMIT 1000 FOR UPDATE SKIP LOCKED) RETURNING *"
        );
        let sql = format!(
            "WITH changed AS ({update}), \
             happened AS (INSERT INTO task_event (task, seq, at_ms, what, detail) SELECT id, seq, updated_ms, \
             CASE state WHEN 'dead' THEN 'dead' ELSE 'crashed' END, 'crash ' || crashes FROM changed), \
             lost AS (UPDATE attempt SET state = 'unknown' \
             WHERE state = 'started' AND task IN (SELECT id FROM changed)) \
             SELECT {TASK} FROM changed ORDER BY id"
        );
        let crashes = i32::try_from(burial.crashes).unwrap_or(i32::MAX);
        let rows = self.rows(&sql, &[&crashes, &burial.error, &millis(burial.pause)]).await?;
        let (buried, requeued) = rows.iter().map(task_row).partition(|row| row.state == State::Dead);
        Ok(Swept { requeued, buried })
    }

    async fn dead(&self, tenant: Option<&str>, limit: usize) -> Result<Vec<DeadRow>, StoreError> {
        let sql = format!(
            "SELECT {TASK}, reason, runs, crashes, created_ms, updated_ms FROM task \
             WHERE state = 'dead' AND ($1::text IS NULL OR tenant = $1) ORDER BY updated_ms DESC, id LIMIT $2"
        );
        let rows = self.rows(&sql, &[&tenant, &count(limit)]).await?;
        let number = |row: &Row, column: usize| row.get::<_, i32>(column).max(0) as u32;
        let dead = |row: &Row| DeadRow {
            task: task_row(row),
            reason: row.get::<_, Option<String>>(6).unwrap_or_default(),
            runs: number(row, 7),
            crashes: number(row, 8),
            submitted_ms: row.get(9),
            died_ms: row.get(10),
        };
        Ok(rows.iter().map(dead).collect())
    }

    async fn requeue(&self, tenant: &str, id: &str) -> Result<Option<TaskRow>, StoreError> {
        let update = format!(
            "UPDATE task SET state = 'queued', run_at_ms = {NOW}, runs = 0, crashes = 0, error = NULL, \
             updated_ms = {NOW}, epoch = epoch + 1, seq = (epoch + 1) * {BLOCK} \
             WHERE tenant = $1 AND id = $2 AND state = 'dead' RETURNING *"
        );
        self.task(&with_event(&update, "'requeued'", "NULL"), &[&tenant, &id]).await
    }

    async fn history(&self, tenant: &str, id: &str) -> Result<Vec<Happened>, StoreError> {
        let sql = "SELECT e.seq, e.at_ms, e.what, e.detail FROM task_event e JOIN task t ON t.id = e.task \
                   WHERE t.tenant = $1 AND t.id = $2 ORDER BY e.seq";
        let rows = self.rows(sql, &[&tenant, &id]).await?;
        let happened =
            |row: &Row| Happened { seq: unsigned(row, 0), at_ms: row.get(1), what: row.get(2), detail: row.get(3) };
        Ok(rows.iter().map(happened).collect())
    }

    async fn stats(&self, tenant: Option<&str>) -> Result<Stats, StoreError> {
        let sql = format!(
            "SELECT count(*) FILTER (WHERE state = 'queued'), \
             count(*) FILTER (WHERE state = 'queued' AND run_at_ms > {NOW}), \
             count(*) FILTER (WHERE state = 'running'), count(*) FILTER (WHERE state = 'dead'), \
             coalesce(max({NOW} - run_at_ms) FILTER (WHERE state = 'queued'), 0) \
             FROM task WHERE state IN ('queued', 'running', 'dead') AND ($1::text IS NULL OR tenant = $1)"
        );
        let row = self.row(&sql, &[&tenant]).await?;
        Ok(row.map_or_else(Stats::default, |row| Stats {
            queued: unsigned(&row, 0),
            delayed: unsigned(&row, 1),
            running: unsigned(&row, 2),
            dead: unsigned(&row, 3),
            oldest: duration(row.get(4)),
        }))
    }

    async fn start_call(&self, call: NewCall, fence: Option<Fence>, limits: Limits) -> Result<CallBegun, StoreError> {
        let mut client = self.client().await?;
        let wrap = |error: tokio_postgres::Error| failed(&error);
        let transaction = client.transaction().await.map_err(wrap)?;
        if let Some(fence) = &fence {
            let sql = "SELECT 1 FROM task WHERE id = $1 AND lease_token = $2 AND state = 'running' FOR SHARE";
            if transaction.query_opt(sql, &[&fence.id, &fence.token]).await.map_err(wrap)?.is_none() {
                return Ok(CallBegun::Overtaken);
            }
        }
        if !limits.is_none() {
            // Whoever reserves for this tenant takes turns: a sum that is being added to is no sum.
            let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 27497))";
            transaction.execute(sql, &[&call.tenant]).await.map_err(wrap)?;
        }
        for (scope, limit) in limits_of(limits) {
            let (whose, params): (_, Params<'_>) = match scope {
                Scope::Task => ("person = $2 AND budget = $3".to_owned(), &[&call.tenant, &call.person, &call.budget]),
                Scope::PersonDay => (format!("person = $2 AND started_ms >= {TODAY}"), &[&call.tenant, &call.person]),
                Scope::Day => (format!("started_ms >= {TODAY}"), &[&call.tenant]),
            };
            let sql = format!("SELECT coalesce(sum({COUNTS}), 0)::bigint FROM attempt WHERE tenant = $1 AND {whose}");
            let used: i64 = transaction.query_one(&sql, params).await.map_err(wrap)?.get(0);
            if let Some(refusal) = refusal(scope, limit, used, call.reserved_micros) {
                return Ok(CallBegun::OverBudget(refusal));
            }
        }
        insert_call(&transaction, &call).await?;
        transaction.commit().await.map_err(wrap)?;
        Ok(CallBegun::Yes)
    }

    async fn finish_call(&self, id: &str, end: CallEnd) -> Result<(), StoreError> {
        end_call(&self.client().await?, id, &end).await
    }

    async fn note_calls(&self, begun: &[NewCall], ended: &[(String, CallEnd)]) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(|error| failed(&error))?;
        // Sent one behind the other, without waiting for each.
        try_join_all(begun.iter().map(|call| insert_call(&transaction, call))).await?;
        try_join_all(ended.iter().map(|(id, end)| end_call(&transaction, id, end))).await?;
        transaction.commit().await.map_err(|error| failed(&error))
    }

    async fn calls(&self, tenant: &str, task: &str) -> Result<Vec<CallRow>, StoreError> {
        let sql = format!(
            "SELECT {CALL} FROM attempt WHERE tenant = $1 AND task = $2 ORDER BY started_ms, id LIMIT {LIST_LIMIT}"
        );
        Ok(self.rows(&sql, &[&tenant, &task]).await?.iter().map(call_row).collect())
    }

    async fn spending(
        &self,
        tenant: Option<&str>,
        person: Option<&str>,
        days: u32,
    ) -> Result<Vec<Spending>, StoreError> {
        let tokens = |column: &str| format!("coalesce(sum({column}), 0)::bigint");
        let sql = format!(
            "SELECT started_ms / 86400000 AS day, tenant, person, route, model, count(*), \
             count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE {OPEN}), count(DISTINCT task), \
             {}, {}, {}, {}, {}, coalesce(bool_or(usage_source = 'estimated'), false), \
             coalesce(sum({COUNTS}), 0)::bigint, count(*) FILTER (WHERE cost_micros IS NULL AND state IN ('ok', 'failed')) \
             FROM attempt WHERE started_ms >= {TODAY} - ($3::bigint - 1) * 86400000 AND ($1::text IS NULL OR tenant = $1) \
             AND ($2::text IS NULL OR person = $2) \
             GROUP BY day, tenant, person, route, model ORDER BY day DESC, tenant, person, route, model \
             LIMIT {LIST_LIMIT}",
            tokens("input_tokens"),
            tokens("output_tokens"),
            tokens("cache_read_tokens"),
            tokens("cache_write_tokens"),
            tokens("cache_write_long_tokens"),
        );
        let days = i64::from(days.max(1));
        Ok(self.rows(&sql, &[&tenant, &person, &days]).await?.iter().map(spending_row).collect())
    }

    async fn open_calls(&self) -> Result<Vec<CallRow>, StoreError> {
        let sql = format!("SELECT {CALL} FROM attempt WHERE {OPEN} ORDER BY started_ms, id LIMIT {LIST_LIMIT}");
        Ok(self.rows(&sql, &[]).await?.iter().map(call_row).collect())
    }

    async fn reconcile(&self, id: &str, micros: u64) -> Result<Reconciled, StoreError> {
        let under_way = under_way(NOW);
        let sql = format!(
            "UPDATE attempt SET cost_micros = $2, state = 'failed', error_kind = 'reconciled', ended_ms = {NOW} \
             WHERE id = $1 AND {OPEN} AND NOT ({under_way})"
        );
        if self.execute(&sql, &[&id, &amount(micros)]).await? > 0 {
            return Ok(Reconciled::Yes);
        }
        let is_open = self.row(&format!("SELECT 1 FROM attempt WHERE id = $1 AND {OPEN}"), &[&id]).await?;
        Ok(if is_open.is_some() { Reconciled::UnderWay } else { Reconciled::NotOpen })
    }

    async fn judge(&self, tenant: &str, id: &str, passed: bool) -> Result<bool, StoreError> {
        let sql = "UPDATE task SET passed = $3 WHERE tenant = $1 AND id = $2 AND state = 'done'";
        Ok(self.execute(sql, &[&tenant, &id, &i64::from(passed)]).await? > 0)
    }

    async fn verdict(&self, id: &str) -> Result<Option<bool>, StoreError> {
        let row = self.row("SELECT passed FROM task WHERE id = $1", &[&id]).await?;
        Ok(row.and_then(|row| row.get::<_, Option<i64>>(0)).map(|passed| passed != 0))
    }

    async fn switched_off(&self) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.rows("SELECT provider FROM switched_off", &[]).await?.iter().map(|row| row.get(0)).collect())
    }

    async fn switch(&self, turn: Turn, who: &str) -> Result<BTreeSet<String>, StoreError> {
        let mut client = self.client().await?;
        let wrap = |error: tokio_postgres::Error| failed(&error);
        let transaction = client.transaction().await.map_err(wrap)?;
        // Two who switch at the same time take turns.
        transaction.execute("LOCK TABLE switched_off IN EXCLUSIVE MODE", &[]).await.map_err(wrap)?;
        let before = transaction.query("SELECT provider FROM switched_off", &[]).await.map_err(wrap)?;
        let off = turn.of(before.iter().map(|row| row.get(0)).collect());
        transaction.execute("DELETE FROM switched_off", &[]).await.map_err(wrap)?;
        let names: Vec<&str> = off.iter().map(String::as_str).collect();
        let sql = "INSERT INTO switched_off (provider) SELECT unnest($1::text[])";
        transaction.execute(sql, &[&names]).await.map_err(wrap)?;
        let sql = format!("INSERT INTO deed (id, at_ms, who, what, detail) VALUES ($1, {NOW}, $2, 'switch', $3)");
        let (id, detail) = (uuid::Uuid::now_v7().to_string(), reason(&off_words(&off)));
        transaction.execute(&sql, &[&id, &who, &detail]).await.map_err(wrap)?;
        transaction.commit().await.map_err(wrap)?;
        Ok(off)
    }

    async fn deeds(&self, limit: usize) -> Result<Vec<Deed>, StoreError> {
        let sql = "SELECT at_ms, who, what, detail FROM deed ORDER BY at_ms DESC, id DESC LIMIT $1";
        let deed = |row: &Row| Deed { at_ms: row.get(0), who: row.get(1), what: row.get(2), detail: row.get(3) };
        Ok(self.rows(sql, &[&count(limit)]).await?.iter().map(deed).collect())
    }

    async fn secret(&self, name: &str, fresh: &str) -> Result<String, StoreError> {
        let sql = "INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.execute(sql, &[&name, &fresh]).await?;
        // What another replica inserted is committed by now, and seen by this next statement.
        let row = self.row("SELECT value FROM secret WHERE name = $1", &[&name]).await?;
        row.map(|row| row.get(0)).ok_or_else(|| StoreError::Postgres("the secret is not there".into()))
    }

    async fn purge(&self, ended: Duration) -> Result<usize, StoreError> {
        self.execute(&format!("DELETE FROM attempt WHERE started_ms < {NOW} - $1"), &[&YEAR_MS]).await?;
        self.execute(&format!("DELETE FROM deed WHERE at_ms < {NOW} - $1"), &[&YEAR_MS]).await?;
        self.execute(&format!("DELETE FROM path_lock WHERE until_ms < {NOW}"), &[]).await?;
        self.execute(&format!("DELETE FROM access_token WHERE ends_ms < {NOW} - $1"), &[&TOKEN_MS]).await?;
        let sql = format!(
            "DELETE FROM task WHERE updated_ms < {NOW} - $1 AND state IN ('done', 'failed', 'dead', 'cancelled')"
        );
        Ok(self.execute(&sql, &[&millis(ended)]).await? as usize)
    }

    async fn lock(&self, lock: NewLock, most: usize) -> Result<Locking, StoreError> {
        let mut client = self.client().await?;
        let wrap = |error: tokio_postgres::Error| failed(&error);
        let transaction = client.transaction().await.map_err(wrap)?;
        // The counter's row lets the tenant's locks be given one after the other.
        let sql = "INSERT INTO lock_fence (tenant, fence) VALUES ($1, 1) \
                   ON CONFLICT (tenant) DO UPDATE SET fence = lock_fence.fence + 1 RETURNING fence";
        let fence: i64 = transaction.query_one(sql, &[&lock.tenant]).await.map_err(wrap)?.get(0);
        let sql = format!(
            "SELECT count(*) FROM path_lock WHERE tenant = $1 AND until_ms > {NOW} AND NOT (project = $2 AND path = $3)"
        );
        let others: i64 =
            transaction.query_one(&sql, &[&lock.tenant, &lock.project, &lock.path]).await.map_err(wrap)?.get(0);
        if others >= count(most) {
            return Ok(Locking::TooMany);
        }
        let sql = format!(
            "INSERT INTO path_lock (tenant, project, path, holder, token, fence, until_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, {NOW} + $7) \
             ON CONFLICT (tenant, project, path) DO UPDATE SET holder = excluded.holder, token = excluded.token, \
             until_ms = excluded.until_ms, \
             fence = CASE WHEN path_lock.token = excluded.token AND path_lock.until_ms > {NOW} \
                     THEN path_lock.fence ELSE excluded.fence END \
             WHERE path_lock.until_ms <= {NOW} OR path_lock.token = excluded.token \
             RETURNING project, path, holder, fence, until_ms - {NOW}"
        );
        let (token, ttl) = (token_digest(&lock.token), millis(lock.ttl));
        let params: Params<'_> = &[&lock.tenant, &lock.project, &lock.path, &lock.holder, &token, &fence, &ttl];
        let held = transaction.query_opt(&sql, params).await.map_err(wrap)?;
        if let Some(held) = held {
            transaction.commit().await.map_err(wrap)?;
            return Ok(Locking::Held(lock_row(&held)));
        }
        let sql = format!(
            "SELECT project, path, holder, fence, until_ms - {NOW} FROM path_lock \
             WHERE tenant = $1 AND project = $2 AND path = $3"
        );
        let other = transaction.query_one(&sql, &[&lock.tenant, &lock.project, &lock.path]).await.map_err(wrap)?;
        Ok(Locking::Refused(lock_row(&other)))
    }

    async fn unlock(&self, tenant: &str, project: &str, path: &str, token: Option<&str>) -> Result<bool, StoreError> {
        let sql = "DELETE FROM path_lock \
                   WHERE tenant = $1 AND project = $2 AND path = $3 AND ($4::text IS NULL OR token = $4)";
        Ok(self.execute(sql, &[&tenant, &project, &path, &token.map(token_digest)]).await? > 0)
    }

    async fn locks(&self, tenant: &str, project: &str) -> Result<Vec<LockRow>, StoreError> {
        let sql = format!(
            "SELECT project, path, holder, fence, until_ms - {NOW} FROM path_lock \
             WHERE tenant = $1 AND project = $2 AND until_ms > {NOW} ORDER BY path"
        );
        Ok(self.rows(&sql, &[&tenant, &project]).await?.iter().map(lock_row).collect())
    }

    async fn add_token(&self, token: NewToken) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO access_token (id, tenant, sha256, scopes, created_ms, ends_ms, person, person_micros, rate) \
             VALUES ($1, $2, $3, $4, {NOW}, {NOW} + $5::bigint, $6, $7, $8)"
        );
        let (lifetime, micros) = (token.lifetime.map(millis), token.person.micros_per_day.map(amount));
        let rate = token.rate.map(i64::from);
        let params: Params<'_> =
            &[&token.id, &token.tenant, &token.sha256, &token.scopes, &lifetime, &token.person.name, &micros, &rate];
        self.execute(&sql, params).await.map(drop)
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let sql = format!(
            "SELECT id, tenant, sha256, scopes, created_ms, ends_ms - {NOW}, person, person_micros, rate \
             FROM access_token ORDER BY created_ms, id"
        );
        let token = |row: &Row| {
            let left: Option<i64> = row.get(5);
            TokenRow {
                id: row.get(0),
                tenant: row.get(1),
                sha256: row.get(2),
                scopes: row.get(3),
                person: person(row, 6),
                rate: row.get::<_, Option<i64>>(8).map(|rate| u32::try_from(rate).unwrap_or(u32::MAX)),
                created_ms: row.get(4),
                left: left.map(duration),
                expired: left.is_some_and(|left| left <= 0),
            }
        };
        Ok(self.rows(&sql, &[]).await?.iter().map(token).collect())
    }

    async fn end_token(&self, id: &str, after: Duration) -> Result<bool, StoreError> {
        let sql = format!("UPDATE access_token SET ends_ms = least(ends_ms, {NOW} + $2) WHERE id = $1");
        Ok(self.execute(&sql, &[&id, &millis(after)]).await? > 0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let row =
            self.row("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'", &[]).await?;
        match row.is_some_and(|row| row.get(0)) {
            true => Err(StoreError::Postgres("it can only be read".into())),
            false => Ok(()),
        }
    }

    async fn publish(&self, hints: &[Hint]) -> Result<(), StoreError> {
        for message in to_messages(hints) {
            self.rows("SELECT pg_notify($1, $2)", &[&CHANNEL, &message]).await?;
        }
        Ok(())
    }

    fn hints(&self) -> Option<mpsc::Receiver<Hint>> {
        let (sender, hints) = mpsc::channel(BACKLOG);
        tokio::spawn(self.clone().listen(sender));
        Some(hints)
    }
}

fn task_row(row: &Row) -> TaskRow {
    TaskRow {
        id: row.get(0),
        tenant: row.get(1),
        state: State::of(row.get(2)),
        seq: unsigned(row, 3),
        answer: row.get(4),
        error: row.get(5),
    }
}

fn lock_row(row: &Row) -> LockRow {
    LockRow {
        project: row.get(0),
        path: row.get(1),
        holder: row.get(2),
        fence: unsigned(row, 3),
        left: duration(row.get(4)),
    }
}

async fn insert_call(client: &impl GenericClient, call: &NewCall) -> Result<(), StoreError> {
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let (run, variant, n) = (number(call.run), number(call.variant), number(call.n));
    let sql = format!(
        "INSERT INTO attempt (id, tenant, task, run, variant, n, route, model, state, reserved_micros, started_ms, \
         person, budget, purpose) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'started', $9, {NOW}, $10, $11, $12)"
    );
    let params: Params<'_> = &[
        &call.id,
        &call.tenant,
        &call.task,
        &run,
        &variant,
        &n,
        &call.route,
        &call.model,
        &call.reserved_micros,
        &call.person,
        &call.budget,
        &call.purpose.name(),
    ];
    execute(client, &sql, params).await.map(drop)
}

async fn end_call(client: &impl GenericClient, id: &str, end: &CallEnd) -> Result<(), StoreError> {
    let tokens = |pick: fn(&Usage) -> u64| end.usage.as_ref().map(|usage| pick(usage) as i64);
    let sql = format!(
        "UPDATE attempt SET state = $2, ended_ms = {NOW}, first_token_ms = $3, input_tokens = $4, output_tokens = $5, \
         cache_read_tokens = $6, cache_write_tokens = $7, usage_source = $8, cost_micros = $9, price_version = $10, \
         error_kind = $11, request_id = $12, cache_write_long_tokens = $13 \
         WHERE id = $1 AND state IN ('started', 'unknown') AND ended_ms IS NULL"
    );
    let source = end.usage.as_ref().map(|usage| if usage.estimated { "estimated" } else { "provider" });
    let params: Params<'_> = &[
        &id,
        &end.state.name(),
        &end.first_token.map(millis),
        &tokens(|usage| usage.input_tokens),
        &tokens(|usage| usage.output_tokens),
        &tokens(|usage| usage.cache_read_tokens),
        &tokens(|usage| usage.cache_write_tokens),
        &source,
        &end.cost_micros,
        &end.price_version,
        &end.error_kind,
        &end.request_id,
        &tokens(|usage| usage.cache_write_long_tokens),
    ];
    execute(client, &sql, params).await.map(drop)
}

/// How many rows it changed.
async fn execute(client: &impl GenericClient, sql: &str, params: Params<'_>) -> Result<u64, StoreError> {
    let statement = client.prepare_cached(sql).await.map_err(|error| failed(&error))?;
    client.execute(&statement, params).await.map_err(|error| failed(&error))
}

fn call_row(row: &Row) -> CallRow {
    let tokens = |column: usize| row.get::<_, Option<i64>>(column).unwrap_or(0).max(0) as u64;
    let number = |column: usize| row.get::<_, i32>(column).max(0) as u32;
    let source: Option<String> = row.get(15);
    let usage = Usage {
        input_tokens: tokens(11),
        output_tokens: tokens(12),
        cache_read_tokens: tokens(13),
        cache_write_tokens: tokens(14),
        cache_write_long_tokens: tokens(22),
        estimated: source.as_deref() == Some("estimated"),
    };
    CallRow {
        call: NewCall {
            id: row.get(0),
            tenant: row.get(1),
            person: row.get(23),
            task: row.get(2),
            budget: row.get(24),
            purpose: Purpose::of_name(row.get(25)).unwrap_or_default(),
            run: number(3),
            variant: number(4),
            n: number(5),
            route: row.get(6),
            model: row.get(7),
            reserved_micros: row.get(8),
        },
        end: CallEnd {
            state: CallState::of(row.get(9)),
            first_token: row.get::<_, Option<i64>>(10).map(duration),
            usage: source.is_some().then_some(usage),
            cost_micros: row.get(16),
            price_version: row.get(17),
            error_kind: row.get(18),
            request_id: row.get(19),
        },
        started_ms: row.get(20),
        ended_ms: row.get(21),
    }
}

fn spending_row(row: &Row) -> Spending {
    Spending {
        day: row.get(0),
        tenant: row.get(1),
        person: row.get(2),
        route: row.get(3),
        model: row.get(4),
        calls: unsigned(row, 5),
        failed: unsigned(row, 6),
        open: unsigned(row, 7),
        tasks: unsigned(row, 8),
        usage: Usage {
            input_tokens: unsigned(row, 9),
            output_tokens: unsigned(row, 10),
            cache_read_tokens: unsigned(row, 11),
            cache_write_tokens: unsigned(row, 12),
            cache_write_long_tokens: unsigned(row, 13),
            estimated: row.get(14),
        },
        micros: unsigned(row, 15),
        unpriced: unsigned(row, 16),
    }
}

/// Name and limit, from this column on.
fn person(row: &Row, column: usize) -> Person {
    let micros: Option<i64> = row.get(column + 1);
    Person { name: row.get(column), micros_per_day: micros.map(|micros| micros.max(0).cast_unsigned()) }
}

fn unsigned(row: &Row, column: usize) -> u64 {
    row.get::<_, i64>(column).max(0) as u64
}

/// For those who share the store by its trait.
impl From<Postgres> for Arc<dyn Store> {
    fn from(store: Postgres) -> Self {
        Arc::new(store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_libpq_for_checked_tls_is_known() {
        for (word, known) in [("verify-full", "require"), ("verify-ca", "require"), ("disable", "disable")] {
            let address = format!("postgres://me@db/krins?application_name=verify-full&sslmode={word}");
            let wanted = format!("postgres://me@db/krins?application_name=verify-full&sslmode={known}");
            assert_eq!(known_sslmode(&address), wanted);
        }
        assert_eq!(known_sslmode("postgres://me@db/krins"), "postgres://me@db/krins");
    }
}
