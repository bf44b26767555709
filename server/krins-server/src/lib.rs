//! The edges of Krins: the LSP sidecar, the command line, telemetry.

pub mod cli;
pub mod from_proto;
pub mod locks;
pub mod lsp;
pub mod questions;
pub mod setup;
pub mod telemetry;
pub mod to_proto;
