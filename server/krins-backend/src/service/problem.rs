//! Errors as they leave the service: `application/problem+json` (RFC 9457).

use crate::propagation;
use crate::{BackendError, wire};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use krins_protocol::error::ErrorKind;
use krins_protocol::http;

/// What a handler refuses with. Built in the request's trace, because it names it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    kind: ErrorKind,
    /// A lowercase fragment that reads after "failed to".
    detail: String,
    hint: Option<String>,
    retry_after: Option<u64>,
    authenticate: bool,
}

impl Problem {
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, kind, detail: detail.into(), hint: None, retry_after: None, authenticate: false }
    }

    /// What it says.
    pub fn detail(&self) -> String {
        format!("failed to {}", self.detail)
    }

    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Adds the challenge that a 401 owes.
    pub fn challenge(mut self) -> Self {
        self.authenticate = true;
        self
    }

    pub fn unknown_task(id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        Self::new(ErrorKind::UnknownTask, format!("find task {id:?}"))
    }

    /// Something in here went wrong; the caller is told that it did, the log what.
    pub fn internal(what: &str, error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %chain(error), "failed to {what}");
        Self::new(ErrorKind::Internal, what)
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        let report = wire::error_to_wire(&error);
        Self { hint: report.data.hint, ..Self::new(error.kind, report.message) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = http::Problem {
            type_: format!("about:blank#{:?}", self.kind),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            kind: self.kind,
            retryable: self.kind.retryable(),
            hint: self.hint,
            trace_id: propagation::trace_id(),
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.authenticate {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"krins\""));
        }
        response
    }
}

/// An error and its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
