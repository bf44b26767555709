//! The edges of Krins: the LSP sidecar, the ACP agent, the dashboard's page, the command line, telemetry.

pub mod acp;
pub mod cli;
pub mod dashboard;
pub mod from_proto;
pub mod locks;
pub mod lsp;
pub mod questions;
pub mod setup;
pub mod telemetry;
pub mod to_proto;
pub mod words;
