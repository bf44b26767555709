//! A copy of the audit where nobody who writes here can reach: with the remote backend, as far as the person's settings let
//! it leave the machine.

use super::Engine;
use crate::audit::{Batch, Cursor, Share};
use crate::error::{Error, ErrorKind, Result};
use std::time::Duration;

/// Where the state directory keeps how far the copy is.
const KIND: &str = "audit";
const NAME: &str = "shared";
/// A hand-over behind somebody's back does not hold the process up for longer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Engine {
    /// Hands over what is new, behind whoever goes on. What does not arrive now is handed over the next time.
    pub(super) fn share_behind(&self) {
        if self.settings().audit_share == Share::Nothing {
            return;
        }
        let engine = self.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(PATIENCE, engine.share_audit()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the audit's copy is behind"),
                Err(_) => tracing::warn!("the audit's copy is behind: the backend took too long"),
            }
        });
    }

    /// Hands over what is new; answers how many records the copy holds. `None` where nobody keeps one.
    pub async fn share_audit(&self) -> Result<Option<u64>> {
        let share = self.settings().audit_share;
        if share == Share::Nothing {
            return Ok(None);
        }
        let _one = self.inner.sharing.lock().await;
        let mut cursor: Cursor = self.state().document(KIND, NAME).unwrap_or_default();
        // Somebody else may hand records over at the same time: what has to grow is the copy.
        let mut held = None;
        while let Some(batch) = self.off(move |engine| Ok(engine.audit().batch_after(&cursor, share)?)).await? {
            let Some(there) = self.backend().append_audit(&batch.append).await? else { return Ok(None) };
            cursor = if (there.records, &there.head) == (batch.last.0, &batch.last.1) {
                batch.cursor
            } else if held.replace(there.records).is_some_and(|before| there.records <= before) {
                return Err(another(&batch));
            } else {
                self.gone_on_from(&batch, there.records, there.head).await?
            };
            self.state().put_document(KIND, NAME, &cursor)?;
        }
        let cursor: Cursor = self.state().document(KIND, NAME).unwrap_or_default();
        Ok(Some(cursor.seq))
    }

    /// The copy is somewhere else than was thought: behind, or ahead. That it is a copy of this log shows in its last record.
    async fn gone_on_from(&self, batch: &Batch, records: u64, head: String) -> Result<Cursor> {
        let batch = batch.clone();
        self.off(move |engine| {
            let audit = engine.audit();
            if records > 0 && audit.hash_of(records)?.as_ref() != Some(&head) {
                return Err(another(&batch));
            }
            Ok(audit.cursor_at(&batch.append.log, records)?)
        })
        .await
    }

    /// Reads the log off the runtime's threads.
    async fn off<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> Result<T> + Send + 'static) -> Result<T> {
        let engine = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&engine)).await;
        done.map_err(|error| Error::new(ErrorKind::Internal, format!("read the audit: {error}")))?
    }
}

fn another(batch: &Batch) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("share the audit: the copy of {} that is kept is not of this log", batch.append.log),
    )
    .hint("somebody wrote one of them anew: `krins audit verify` looks at the one here")
}
