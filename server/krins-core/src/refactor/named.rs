//! Turns a module's default export into a named one, and every importer with it.

use super::program::Program;
use super::{Outcome, RefactorError};
use crate::path::RelPath;

pub(super) fn name_default(
    program: &Program<'_>,
    file: &RelPath,
    name: Option<&str>,
) -> Result<Outcome, RefactorError> {
    let module = program.module(file)?;
    let _ = name;
    Err(RefactorError::Unsupported { what: "a default export".to_owned(), place: module.place(0) })
}
