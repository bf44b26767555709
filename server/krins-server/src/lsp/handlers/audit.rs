//! `krins/audit/verify`.

use crate::lsp::handlers::failure;
use crate::lsp::session::Session;
use crate::to_proto;
use krins_engine::audit::Trusted;
use krins_engine::{Error, ErrorKind};
use krins_protocol::lsp::AuditResult;
use std::sync::Arc;
use tower_lsp::jsonrpc::Result as Reply;

pub async fn verify(session: &Arc<Session>) -> Reply<AuditResult> {
    let audit = session.engine(None).map_err(|error| failure(&error))?.audit().clone();
    let looked = tokio::task::spawn_blocking(move || audit.verify(&Trusted::default())).await;
    let found = looked
        .map_err(|error| Error::new(ErrorKind::Internal, format!("verify the audit: {error}")))
        .and_then(|found| Ok(found?));
    found.map(|found| to_proto::audit(&found)).map_err(|error| failure(&error))
}
