//! The sidecar: LSP over stdio. The only place that knows LSP types.

pub mod comment;
pub mod conflicts;
pub mod editor;
pub mod envelope;
pub mod frame;
pub mod handlers;
pub mod indexing;
pub mod order;
pub mod parent;
pub mod quirks;
pub mod readable;
pub mod reporter;
pub mod rpc;
pub mod server;
pub mod session;
pub mod shown;
pub mod stdio;
pub mod transport;
pub mod waiting;
