//! The headless harness: a played editor over a real `krins`, client personas, fake providers.
//!
//! A library, so that others can test a language server with it. It speaks JSON over pipes and must not know the server's own types.

pub mod binary;
pub mod client;
pub mod collector;
pub mod command;
pub mod debian;
pub mod editor;
pub mod failover;
pub mod fakes;
pub mod figures;
pub mod fleet;
pub mod kept;
pub mod model;
pub mod npm;
pub mod personas;
pub mod postgres;
pub mod raw_http;
pub mod redis;
pub mod serve;
#[cfg(unix)]
pub mod suite;
pub mod terminal;
pub mod text;
pub mod wire;
pub mod workspace;
