//! What can go wrong, as every door reports it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The closed list of error kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ErrorKind {
    /// The request itself is wrong: a missing field, an unknown config key, a path outside the root.
    BadParams,
    UnknownTask,
    /// The answer was made for a text that is no longer the base.
    StaleBase,
    /// The change and what the files are now do not merge.
    Conflict,
    GateFailed,
    PolicyBlocked,
    LockHeld,
    BudgetExceeded,
    Overloaded,
    BackendUnavailable,
    /// The provider answered, and the answer is no: a refusal, a content filter, a request the keyless provider does not understand.
    ProviderRefused,
    /// A key is missing or was not accepted.
    AuthFailed,
    Untrusted,
    Cancelled,
    Internal,
}

impl ErrorKind {
    /// Every kind, in declaration order.
    pub const ALL: [ErrorKind; 15] = [
        Self::BadParams,
        Self::UnknownTask,
        Self::StaleBase,
        Self::Conflict,
        Self::GateFailed,
        Self::PolicyBlocked,
        Self::LockHeld,
        Self::BudgetExceeded,
        Self::Overloaded,
        Self::BackendUnavailable,
        Self::ProviderRefused,
        Self::AuthFailed,
        Self::Untrusted,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The JSON-RPC error code: -32602 bad parameters, -32800 cancelled, -32801 content modified, -32603 internal,
    /// -32803 for the rest.
    pub const fn json_rpc_code(self) -> i64 {
        match self {
            Self::BadParams => -32602,
            Self::Cancelled => -32800,
            Self::StaleBase => -32801,
            Self::Internal => -32603,
            Self::UnknownTask
            | Self::Conflict
            | Self::GateFailed
            | Self::PolicyBlocked
            | Self::LockHeld
            | Self::BudgetExceeded
            | Self::Overloaded
            | Self::BackendUnavailable
            | Self::ProviderRefused
            | Self::AuthFailed
            | Self::Untrusted => -32803,
        }
    }

    /// The command line's exit code: 1 blocked or conflict, 2 refused or bad usage, 3 backend unavailable.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Conflict | Self::GateFailed | Self::PolicyBlocked | Self::StaleBase | Self::LockHeld => 1,
            Self::BackendUnavailable | Self::Overloaded => 3,
            Self::BadParams
            | Self::UnknownTask
            | Self::BudgetExceeded
            | Self::ProviderRefused
            | Self::AuthFailed
            | Self::Untrusted
            | Self::Cancelled
            | Self::Internal => 2,
        }
    }

    /// The HTTP status of an `application/problem+json` answer of this kind.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadParams => 400,
            Self::UnknownTask => 404,
            Self::StaleBase | Self::Conflict => 409,
            Self::GateFailed | Self::PolicyBlocked | Self::ProviderRefused => 422,
            Self::LockHeld => 423,
            Self::BudgetExceeded => 402,
            Self::Overloaded => 429,
            Self::BackendUnavailable => 503,
            Self::AuthFailed => 401,
            Self::Untrusted => 403,
            Self::Cancelled => 499,
            Self::Internal => 500,
        }
    }

    /// Whether the same request may succeed later, unchanged.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Overloaded | Self::BackendUnavailable | Self::LockHeld | Self::StaleBase)
    }
}

/// The `data` member of a JSON-RPC error, and the core of a problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorData {
    pub kind: ErrorKind,
    pub retryable: bool,
    /// The cause chain, outermost first, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// An error as it leaves any door: what happened and to which file, plus [`ErrorData`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorReport {
    pub message: String,
    #[serde(flatten)]
    pub data: ErrorData,
}
