//! `krins/lock`, `krins/unlock`, `krins/locks`.

use crate::locks::{DEFAULT_TTL, Locker};
use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use krins_core::RelPath;
use krins_engine::{Engine, Error, ErrorKind};
use krins_protocol::http::Lock;
use krins_protocol::lsp::{FileLock, LockParams, LocksParams, LocksResult, UnlockParams};
use std::sync::Arc;
use std::time::Duration;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn lock(session: &Arc<Session>, params: LockParams) -> Reply<FileLock> {
    let (engine, locker, path) =
        find(session, &params.uri, params.holder.as_deref()).map_err(|error| failure(&error))?;
    let ttl = params.ttl.map_or(DEFAULT_TTL, Duration::from_secs);
    let lock = locker.lock(&path, ttl).await.map_err(|error| failure(&error))?;
    Ok(shown(&engine, &locker, lock))
}

pub async fn unlock(session: &Arc<Session>, params: UnlockParams) -> Reply<LocksResult> {
    let (engine, locker, path) =
        find(session, &params.uri, params.holder.as_deref()).map_err(|error| failure(&error))?;
    locker.unlock(&path, params.force).await.map_err(|error| failure(&error))?;
    all(&engine, &locker).await
}

pub async fn list(session: &Arc<Session>, params: LocksParams) -> Reply<LocksResult> {
    let engine = session.engine(params.uri.as_deref()).map_err(|error| failure(&error))?;
    let locker = session.locker(&engine, None).map_err(|error| failure(&error))?;
    all(&engine, &locker).await
}

async fn all(engine: &Engine, locker: &Locker) -> Reply<LocksResult> {
    let locks = locker.list().await.map_err(|error| failure(&error))?;
    Ok(LocksResult { locks: locks.into_iter().map(|lock| shown(engine, locker, lock)).collect() })
}

fn find(session: &Arc<Session>, uri: &str, holder: Option<&str>) -> Result<(Engine, Locker, RelPath), Error> {
    let engine = session.engine(Some(uri))?;
    let path = engine.root().relative_uri(uri).ok_or_else(|| {
        Error::new(ErrorKind::BadParams, format!("lock {uri}: it is not below {}", engine.root().path().display()))
    })?;
    let locker = session.locker(&engine, holder)?;
    Ok((engine, locker, path))
}

fn shown(engine: &Engine, locker: &Locker, lock: Lock) -> FileLock {
    let uri = RelPath::new(&lock.path).map_or_else(|_| lock.path.clone(), |path| engine.root().uri(&path));
    FileLock {
        uri,
        mine: lock.holder == locker.holder(),
        holder: lock.holder,
        fence: lock.fence,
        left_ms: lock.left_ms,
    }
}
