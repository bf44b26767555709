//! The pure core of Krins: values in, values out.
//!
//! No IO, clock, environment, randomness, threads or async in here. Functions are total: bad input is an error
//! value, never a panic. Nothing that leaves this crate depends on hash-map order.

pub mod audit;
pub mod context;
pub mod digest;
pub mod gate;
pub mod graph;
pub mod page;
pub mod patch;
pub mod path;
pub mod pdf;
pub mod prompt;
pub mod redact;
pub mod refactor;
pub mod secrets;
pub mod syntax;
pub mod text;
pub mod tokens;
pub mod trace;
pub mod tree;

pub use digest::Digest;
pub use path::RelPath;
pub use tree::{Entry, Installed, Surroundings, Tree};
