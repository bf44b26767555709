//! Moves an exported declaration to another module and fixes every import.

use super::program::Program;
use super::{Outcome, RefactorError};
use crate::path::RelPath;

/// What a target without an extension can mean, in order.
pub(super) const ENDINGS: [&str; 6] = [".ts", ".tsx", ".js", ".jsx", "/index.ts", "/index.js"];

pub(super) fn relocate(
    program: &Program<'_>,
    symbol: &str,
    file: Option<&RelPath>,
    to: &RelPath,
) -> Result<Outcome, RefactorError> {
    let _ = (program, symbol, file);
    Err(RefactorError::Unsupported { what: "a move".to_owned(), place: format!("{to}:1") })
}
