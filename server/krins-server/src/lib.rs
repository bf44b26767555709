//! The edges of Krins: the LSP sidecar, the command line, telemetry.

pub mod lsp;
pub mod telemetry;
pub mod cli;
pub mod from_proto;
pub mod setup;
pub mod to_proto;
