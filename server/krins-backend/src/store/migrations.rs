//! The tables, step by step. A step never changes: what is to be different is a new step.
//!
//! Steps expand first and contract later, so that old and new programs can use a database at the same time: `oldest` says
//! which programs (by the newest step that they know) still can after a step. A program refuses a database whose `oldest`
//! is newer than all it knows, and uses one with newer steps than its own otherwise.

use super::token_digest;
use rusqlite::{Connection, params};

#[derive(Debug)]
pub(super) struct Step {
    pub version: i64,
    /// The programs that can use the database afterwards.
    pub oldest: i64,
    pub sqlite: &'static str,
    /// What comes after that and SQLite has no words for.
    pub sqlite_too: fn(&Connection) -> rusqlite::Result<()>,
    pub postgres: &'static str,
}

pub(super) const STEPS: &[Step] = &[
    Step { version: 1, oldest: 1, sqlite: SQLITE_1, sqlite_too: nothing, postgres: "" },
    Step { version: 2, oldest: 2, sqlite: SQLITE_2, sqlite_too: nothing, postgres: POSTGRES_2 },
    Step { version: 3, oldest: 2, sqlite: SQLITE_3, sqlite_too: nothing, postgres: POSTGRES_3 },
    Step { version: 4, oldest: 2, sqlite: SQLITE_AUDIT, sqlite_too: nothing, postgres: POSTGRES_AUDIT },
    Step { version: 5, oldest: 2, sqlite: SQLITE_LOCKS, sqlite_too: digest_lock_tokens, postgres: POSTGRES_LOCKS },
];

fn nothing(_: &Connection) -> rusqlite::Result<()> {
    Ok(())
}

/// The newest step that this program knows.
pub(super) const KNOWN: i64 = STEPS[STEPS.len() - 1].version;

/// Tasks without leases: one process, which took up at its start whatever was running.
const SQLITE_1: &str = "
CREATE TABLE task (
    id             TEXT PRIMARY KEY,
    tenant         TEXT NOT NULL,
    key            TEXT NOT NULL,
    payload_sha256 TEXT NOT NULL,
    payload        TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    seq            INTEGER NOT NULL,
    attempts       INTEGER NOT NULL DEFAULT 0,
    crash_count    INTEGER NOT NULL DEFAULT 0,
    traceparent    TEXT NOT NULL,
    tracestate     TEXT,
    answer         TEXT,
    error          TEXT,
    created_ms     INTEGER NOT NULL,
    updated_ms     INTEGER NOT NULL,
    UNIQUE (tenant, key)
) STRICT;
CREATE INDEX unfinished ON task (created_ms, id) WHERE state IN ('queued', 'running');
CREATE INDEX ended ON task (updated_ms) WHERE state IN ('done', 'failed', 'cancelled');
";

const SQLITE_2: &str = "
ALTER TABLE task RENAME TO task_1;
DROP INDEX unfinished;
DROP INDEX ended;
CREATE TABLE task (
    id              TEXT PRIMARY KEY,
    tenant          TEXT NOT NULL,
    key             TEXT NOT NULL,
    payload_sha256  TEXT NOT NULL,
    payload         TEXT NOT NULL,
    payload_version INTEGER NOT NULL DEFAULT 1,
    state           TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'dead', 'cancelled')),
    priority        INTEGER NOT NULL DEFAULT 0,
    run_at_ms       INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    epoch           INTEGER NOT NULL DEFAULT 0,
    runs            INTEGER NOT NULL DEFAULT 0,
    crashes         INTEGER NOT NULL DEFAULT 0,
    lease_owner     TEXT,
    lease_token     TEXT,
    lease_until_ms  INTEGER,
    traceparent     TEXT NOT NULL,
    tracestate      TEXT,
    answer          TEXT,
    error           TEXT,
    reason          TEXT,
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL,
    UNIQUE (tenant, key),
    CHECK ((state = 'running') = (lease_token IS NOT NULL))
) STRICT;
INSERT INTO task (id, tenant, key, payload_sha256, payload, state, run_at_ms, seq, epoch, runs, crashes, lease_token,
                  lease_until_ms, traceparent, tracestate, answer, error, created_ms, updated_ms)
    SELECT id, tenant, key, payload_sha256, payload, state, created_ms, seq, attempts, attempts, crash_count,
           CASE WHEN state = 'running' THEN lower(hex(randomblob(16))) END, CASE WHEN state = 'running' THEN 0 END,
           traceparent, tracestate, answer, error, created_ms, updated_ms
    FROM task_1;
DROP TABLE task_1;
CREATE INDEX task_ready ON task (priority DESC, run_at_ms, id) WHERE state = 'queued';
CREATE INDEX task_leased ON task (lease_until_ms) WHERE state = 'running';
CREATE INDEX task_of_tenant ON task (tenant) WHERE state IN ('queued', 'running');
CREATE INDEX task_dead ON task (updated_ms) WHERE state = 'dead';
CREATE INDEX task_ended ON task (updated_ms) WHERE state IN ('done', 'failed', 'dead', 'cancelled');
CREATE TABLE task_event (
    task   TEXT NOT NULL REFERENCES task (id) ON DELETE CASCADE,
    seq    INTEGER NOT NULL,
    at_ms  INTEGER NOT NULL,
    what   TEXT NOT NULL,
    detail TEXT,
    PRIMARY KEY (task, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempt (
    id                 TEXT PRIMARY KEY,
    tenant             TEXT NOT NULL,
    task               TEXT NOT NULL,
    run                INTEGER NOT NULL,
    variant            INTEGER NOT NULL,
    n                  INTEGER NOT NULL,
    route              TEXT NOT NULL,
    model              TEXT NOT NULL,
    prompt_variant     TEXT,
    state              TEXT NOT NULL CHECK (state IN ('started', 'ok', 'failed', 'unknown')),
    reserved_micros    INTEGER,
    started_ms         INTEGER NOT NULL,
    first_token_ms     INTEGER,
    ended_ms           INTEGER,
    input_tokens       INTEGER,
    output_tokens      INTEGER,
    cache_read_tokens  INTEGER,
    cache_write_tokens INTEGER,
    cache_write_long_tokens INTEGER,
    usage_source       TEXT CHECK (usage_source IN ('provider', 'estimated')),
    cost_micros        INTEGER,
    price_version      TEXT,
    error_kind         TEXT,
    request_id         TEXT,
    cache              TEXT CHECK (cache IN ('hit', 'miss', 'bypass'))
) STRICT;
CREATE INDEX attempt_of_tenant ON attempt (tenant, started_ms);
CREATE INDEX attempt_of_task ON attempt (task, started_ms);
CREATE TABLE path_lock (
    tenant   TEXT NOT NULL,
    project  TEXT NOT NULL,
    path     TEXT NOT NULL,
    holder   TEXT NOT NULL,
    token    TEXT NOT NULL,
    fence    INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, project, path)
) STRICT;
CREATE TABLE lock_fence (tenant TEXT PRIMARY KEY, fence INTEGER NOT NULL) STRICT;
CREATE TABLE access_token (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    ends_ms    INTEGER
) STRICT;
";

const POSTGRES_2: &str = "
CREATE TABLE task (
    id              text PRIMARY KEY,
    tenant          text NOT NULL,
    key             text NOT NULL,
    payload_sha256  text NOT NULL,
    payload         text NOT NULL,
    payload_version integer NOT NULL DEFAULT 1,
    state           text NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'dead', 'cancelled')),
    priority        integer NOT NULL DEFAULT 0,
    run_at_ms       bigint NOT NULL,
    seq             bigint NOT NULL,
    epoch           bigint NOT NULL DEFAULT 0,
    runs            integer NOT NULL DEFAULT 0,
    crashes         integer NOT NULL DEFAULT 0,
    lease_owner     text,
    lease_token     text,
    lease_until_ms  bigint,
    traceparent     text NOT NULL,
    tracestate      text,
    answer          text,
    error           text,
    reason          text,
    created_ms      bigint NOT NULL,
    updated_ms      bigint NOT NULL,
    UNIQUE (tenant, key),
    CHECK ((state = 'running') = (lease_token IS NOT NULL))
);
CREATE INDEX task_ready ON task (priority DESC, run_at_ms, id) WHERE state = 'queued';
CREATE INDEX task_leased ON task (lease_until_ms) WHERE state = 'running';
CREATE INDEX task_of_tenant ON task (tenant) WHERE state IN ('queued', 'running');
CREATE INDEX task_dead ON task (updated_ms) WHERE state = 'dead';
CREATE INDEX task_ended ON task (updated_ms) WHERE state IN ('done', 'failed', 'dead', 'cancelled');
CREATE TABLE task_event (
    task   text NOT NULL REFERENCES task (id) ON DELETE CASCADE,
    seq    bigint NOT NULL,
    at_ms  bigint NOT NULL,
    what   text NOT NULL,
    detail text,
    PRIMARY KEY (task, seq)
);
CREATE TABLE attempt (
    id                 text PRIMARY KEY,
    tenant             text NOT NULL,
    task               text NOT NULL,
    run                integer NOT NULL,
    variant            integer NOT NULL,
    n                  integer NOT NULL,
    route              text NOT NULL,
    model              text NOT NULL,
    prompt_variant     text,
    state              text NOT NULL CHECK (state IN ('started', 'ok', 'failed', 'unknown')),
    reserved_micros    bigint,
    started_ms         bigint NOT NULL,
    first_token_ms     bigint,
    ended_ms           bigint,
    input_tokens       bigint,
    output_tokens      bigint,
    cache_read_tokens  bigint,
    cache_write_tokens bigint,
    cache_write_long_tokens bigint,
    usage_source       text CHECK (usage_source IN ('provider', 'estimated')),
    cost_micros        bigint,
    price_version      text,
    error_kind         text,
    request_id         text,
    cache              text CHECK (cache IN ('hit', 'miss', 'bypass'))
);
CREATE INDEX attempt_of_tenant ON attempt (tenant, started_ms);
CREATE INDEX attempt_of_task ON attempt (task, started_ms);
CREATE TABLE path_lock (
    tenant   text NOT NULL,
    project  text NOT NULL,
    path     text NOT NULL,
    holder   text NOT NULL,
    token    text NOT NULL,
    fence    bigint NOT NULL,
    until_ms bigint NOT NULL,
    PRIMARY KEY (tenant, project, path)
);
CREATE TABLE lock_fence (tenant text PRIMARY KEY, fence bigint NOT NULL);
CREATE TABLE access_token (
    id         text PRIMARY KEY,
    tenant     text NOT NULL,
    sha256     text NOT NULL,
    scopes     text NOT NULL,
    created_ms bigint NOT NULL,
    ends_ms    bigint
);
";

/// Persons, one row a call, and what replicas share beside the tasks: the kill switch, what was done, secrets. A program
/// of before goes on beside it: it leaves the new columns at their defaults.
const SQLITE_3: &str = "
ALTER TABLE task ADD COLUMN person TEXT NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN person_micros INTEGER;
ALTER TABLE task ADD COLUMN passed INTEGER;
ALTER TABLE attempt ADD COLUMN person TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN budget TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN purpose TEXT NOT NULL DEFAULT 'author';
ALTER TABLE access_token ADD COLUMN person TEXT NOT NULL DEFAULT '';
ALTER TABLE access_token ADD COLUMN person_micros INTEGER;
ALTER TABLE access_token ADD COLUMN rate INTEGER;
UPDATE attempt SET budget = task;
CREATE INDEX attempt_of_person ON attempt (tenant, person, started_ms);
CREATE INDEX attempt_of_budget ON attempt (tenant, person, budget);
CREATE INDEX attempt_open ON attempt (started_ms) WHERE cost_micros IS NULL AND state IN ('started', 'unknown');
CREATE TABLE switched_off (
    provider TEXT PRIMARY KEY
) STRICT;
CREATE TABLE deed (
    id     TEXT PRIMARY KEY,
    at_ms  INTEGER NOT NULL,
    who    TEXT NOT NULL,
    what   TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX deed_by_time ON deed (at_ms);
CREATE TABLE secret (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
";

const POSTGRES_3: &str = "
ALTER TABLE task ADD COLUMN person text NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN person_micros bigint;
ALTER TABLE task ADD COLUMN passed bigint;
ALTER TABLE attempt ADD COLUMN person text NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN budget text NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN purpose text NOT NULL DEFAULT 'author';
ALTER TABLE access_token ADD COLUMN person text NOT NULL DEFAULT '';
ALTER TABLE access_token ADD COLUMN person_micros bigint;
ALTER TABLE access_token ADD COLUMN rate bigint;
UPDATE attempt SET budget = task;
CREATE INDEX attempt_of_person ON attempt (tenant, person, started_ms);
CREATE INDEX attempt_of_budget ON attempt (tenant, person, budget);
CREATE INDEX attempt_open ON attempt (started_ms) WHERE cost_micros IS NULL AND state IN ('started', 'unknown');
CREATE TABLE switched_off (
    provider text PRIMARY KEY
);
CREATE TABLE deed (
    id     text PRIMARY KEY,
    at_ms  bigint NOT NULL,
    who    text NOT NULL,
    what   text NOT NULL,
    detail text NOT NULL
);
CREATE INDEX deed_by_time ON deed (at_ms);
CREATE TABLE secret (
    name  text PRIMARY KEY,
    value text NOT NULL
);
";

/// Copies of sidecars' audits.
const SQLITE_AUDIT: &str = "
CREATE TABLE audit_log (
    tenant  TEXT NOT NULL,
    log     TEXT NOT NULL,
    records INTEGER NOT NULL,
    ts      INTEGER NOT NULL,
    head    TEXT NOT NULL,
    PRIMARY KEY (tenant, log)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit_record (
    tenant TEXT NOT NULL,
    log    TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    line   TEXT NOT NULL,
    PRIMARY KEY (tenant, log, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit_about (
    tenant TEXT NOT NULL,
    log    TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    salt   TEXT NOT NULL,
    body   TEXT NOT NULL,
    at_ms  INTEGER NOT NULL,
    PRIMARY KEY (tenant, log, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_about_old ON audit_about (at_ms);
";

const POSTGRES_AUDIT: &str = "
CREATE TABLE audit_log (
    tenant  text NOT NULL,
    log     text NOT NULL,
    records bigint NOT NULL,
    ts      bigint NOT NULL,
    head    text NOT NULL,
    PRIMARY KEY (tenant, log)
);
CREATE TABLE audit_record (
    tenant text NOT NULL,
    log    text NOT NULL,
    seq    bigint NOT NULL,
    line   text NOT NULL,
    PRIMARY KEY (tenant, log, seq)
);
CREATE TABLE audit_about (
    tenant text NOT NULL,
    log    text NOT NULL,
    seq    bigint NOT NULL,
    salt   text NOT NULL,
    body   text NOT NULL,
    at_ms  bigint NOT NULL,
    PRIMARY KEY (tenant, log, seq)
);
CREATE INDEX audit_about_old ON audit_about (at_ms);
";

/// Locks were kept under their tokens, and are under the tokens' digests: otherwise nobody could give back what was taken
/// before. A program of before goes on beside it; what it locks ends by itself.
const SQLITE_LOCKS: &str = "
DELETE FROM path_lock WHERE until_ms <= CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER);
";

const POSTGRES_LOCKS: &str = "
DELETE FROM path_lock WHERE until_ms <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
UPDATE path_lock SET token = encode(sha256(convert_to(token, 'UTF8')), 'hex');
";

fn digest_lock_tokens(db: &Connection) -> rusqlite::Result<()> {
    let mut select = db.prepare("SELECT tenant, project, path, token FROM path_lock")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let locks: Vec<(String, String, String, String)> = rows.collect::<rusqlite::Result<_>>()?;
    let mut update = db.prepare("UPDATE path_lock SET token = ?4 WHERE tenant = ?1 AND project = ?2 AND path = ?3")?;
    for (tenant, project, path, token) in locks {
        update.execute(params![tenant, project, path, token_digest(&token)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_rise_and_the_last_one_is_known() {
        for pair in STEPS.windows(2) {
            assert_eq!(pair[0].version + 1, pair[1].version);
            assert!(pair[0].oldest <= pair[1].oldest);
        }
        assert!(STEPS.iter().all(|step| step.oldest <= step.version));
    }

    /// Both forms have the same tables and columns, so that one behaviour is possible.
    #[test]
    fn both_forms_have_the_same_columns() {
        let columns = |sql: &str| -> Vec<String> {
            let tables = sql.split("CREATE TABLE ").skip(1).map(|table| table.split(';').next().unwrap_or_default());
            tables
                .filter(|table| !table.starts_with("task_1"))
                .flat_map(|table| {
                    let (name, body) = table.split_once('(').expect("a table has columns");
                    let words = body.split([',', '\n']).filter_map(|line| line.split_whitespace().next());
                    let named = words
                        .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()));
                    named.map(|word| format!("{}.{word}", name.trim())).collect::<Vec<_>>()
                })
                .collect()
        };
        assert!(columns(POSTGRES_2).len() > 60);
        assert_eq!(columns(SQLITE_2), columns(POSTGRES_2));
        assert_eq!(columns(SQLITE_3), columns(POSTGRES_3));
        let added = |sql: &str| -> Vec<String> {
            let lines = sql.lines().filter(|line| line.starts_with("ALTER TABLE") || line.starts_with("CREATE INDEX"));
            lines.map(|line| line.replace("INTEGER", "bigint").replace("TEXT", "text")).collect()
        };
        assert_eq!(added(SQLITE_3), added(POSTGRES_3));
        assert_eq!(columns(SQLITE_AUDIT), columns(POSTGRES_AUDIT));
    }
}
