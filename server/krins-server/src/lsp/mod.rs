//! The sidecar: LSP over stdio. The only place that knows LSP types.

pub mod envelope;
pub mod frame;
pub mod parent;
pub mod stdio;
pub mod transport;
pub mod comment;
pub mod editor;
pub mod handlers;
pub mod quirks;
pub mod reporter;
pub mod server;
pub mod session;
