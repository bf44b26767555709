//! The edges of Krins: the LSP sidecar, the command line, telemetry.

pub mod lsp;
