//! The sidecar's audit on its way to the service.

use super::{Failure, Inner};
use crate::BackendError;
use crate::handover::Handover;
use krins_protocol::error::ErrorKind;
use krins_protocol::http::AuditHead;
use reqwest::Method;
use reqwest::header::HeaderValue;

impl Inner {
    /// Hands records over. Where they do not follow on what is there it answers how far that is, too.
    pub(super) async fn append_audit(&self, next: &Handover) -> Result<AuditHead, BackendError> {
        let body = serde_json::to_vec(&next.to_wire()).expect("plain structs always serialize");
        let json = HeaderValue::from_static("application/json");
        let request = (Method::POST, self.url(&["audit"]), Some(("content-type", json)), body);
        match self.send(request).await {
            Ok(response) => self.json(response).await.map_err(Failure::into_error),
            Err(failure) => match failure.into_error() {
                error if error.kind == ErrorKind::Conflict => self.audit_head(&next.log).await,
                error => Err(error),
            },
        }
    }

    async fn audit_head(&self, log: &str) -> Result<AuditHead, BackendError> {
        let mut url = self.url(&["audit"]);
        url.query_pairs_mut().append_pair("log", log);
        let response = self.send((Method::GET, url, None, Vec::new())).await.map_err(Failure::into_error)?;
        self.json(response).await.map_err(Failure::into_error)
    }
}
