//! The workspace side of Krins: documents, the base a task pins, the gate's runners, the journalled apply and its undo.
//!
//! Two things only this crate does: it reads the workspace ([`workspace`], beneath the root and nowhere else), and it
//! writes to it ([`apply`], one function, all files or none). It must not know LSP types, and it must not speak HTTP.

pub mod affected;
pub mod apply;
pub mod audit;
pub mod base;
mod beneath;
pub mod commands;
pub mod documents;
pub mod error;
pub mod exclude;
pub mod figures;
pub mod findings;
pub mod fix;
pub mod gate;
pub mod history;
mod installed;
mod limits;
#[cfg(test)]
mod poison;
pub mod runner;
pub mod sandbox;
pub mod spec;
pub mod state;
pub mod workspace;
pub mod worktree;

pub mod engine;
pub mod index;
pub mod judging;
pub mod pipeline;
pub mod rules;
pub mod settings;
pub mod tasks;
pub mod variants;
pub use engine::Engine;
pub use error::{Error, ErrorKind, Result};
