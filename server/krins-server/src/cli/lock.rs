//! `krins lock`, `krins unlock`, `krins locks`.

use super::args::Global;
use super::output::{Output, PLACE, STRONG, paint};
use super::{Done, root_dir, setup};
use crate::locks::Locker;
use krins_core::RelPath;
use krins_engine::workspace::Root;
use krins_engine::{Error, ErrorKind};
use krins_protocol::http::Lock;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

pub async fn lock(global: &Global, file: &str, minutes: u32, holder: Option<&str>, out: &mut Output) -> Done {
    let (locker, path) = find(global, file, holder)?;
    let lock = locker.lock(&path, Duration::from_secs(60) * minutes).await?;
    out.document(&lock);
    out.line(described(&lock));
    Ok(ExitCode::SUCCESS)
}

pub async fn unlock(global: &Global, file: &str, force: bool, holder: Option<&str>, out: &mut Output) -> Done {
    let (locker, path) = find(global, file, holder)?;
    locker.unlock(&path, force).await?;
    out.document(&json!({"path": path.to_string(), "unlocked": true}));
    out.line(format!("{} is nobody's", paint(PLACE, &path)));
    Ok(ExitCode::SUCCESS)
}

pub async fn list(global: &Global, out: &mut Output) -> Done {
    let root = Root::open(&root_dir(global)?)?;
    let locks = Locker::open(&setup(global)?, &root, None, None)?.list().await?;
    out.document(&json!({"locks": locks}));
    if locks.is_empty() {
        out.line("nothing is locked");
    }
    locks.iter().for_each(|lock| out.line(described(lock)));
    Ok(ExitCode::SUCCESS)
}

fn find(global: &Global, file: &str, holder: Option<&str>) -> Result<(Locker, RelPath), Error> {
    let root = Root::open(&root_dir(global)?)?;
    // The file need not be there yet.
    let path = root.typed(Path::new(file)).or_else(|| RelPath::new(file).ok()).ok_or_else(|| {
        Error::new(ErrorKind::BadParams, format!("use {file:?}: it is not below {}", root.path().display()))
    })?;
    Ok((Locker::open(&setup(global)?, &root, None, holder)?, path))
}

fn described(lock: &Lock) -> String {
    let minutes = lock.left_ms.div_ceil(60_000);
    format!("{}  {}  {minutes} min", paint(PLACE, &lock.path), paint(STRONG, &lock.holder))
}
