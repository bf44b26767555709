//! The words Krins says on the wire, and nothing else.
//!
//! Three doors share this vocabulary: LSP over stdio ([`lsp`]), the command line ([`cli`]) and HTTP between the
//! sidecar and a remote backend ([`http`]); questions to the code graph ([`graph`]) and the figures of what came of it all
//! ([`report`]) are the same at all three. Errors are one closed list ([`error`]). Types here carry `serde` and `schemars`
//! derives only; `krins schema` prints the JSON Schema made from them. This crate must not know how any of it is carried
//! out.

pub mod cli;
pub mod error;
pub mod graph;
pub mod http;
pub mod lsp;
pub mod openapi;
pub mod report;
pub mod schema;

/// The protocol's major version: same major, compatible. Unknown fields are ignored by both sides.
pub const PROTOCOL: u32 = 1;
/// Rises when something is added.
pub const PROTOCOL_MINOR: u32 = 1;
