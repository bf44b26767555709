//! Questions to the graph: who uses what, what a change reaches, which tests say so, who owns it, how two places hang
//! together, what nobody uses, what goes in circles.
//!
//! Answers are data about the graph as it was handed in; texts, where an answer needs them, come in as values. Who asks,
//! and how an answer is shown, is not known here.

mod affected;
mod cycles;
mod impact;
mod lookup;
mod names;
mod owners;
mod patch;
mod path;
mod reasons;
mod references;
mod tests_of;
mod unused;

pub use affected::{AffectedTests, Around, Edited, Reason, affected_tests};
pub use cycles::{Cycle, CycleKind, Link, cycles};
pub use impact::{Affected, AffectedFile, Change, Impact, impact};
pub(super) use lookup::globals;
pub use lookup::{Entity, Lookup, Use};
pub use names::{NameError, Named, SymbolRef, find, qualified_name};
pub use owners::{Flavour, Owners, Ownership, Rule};
pub use patch::{PatchError, Touched, changes};
pub use path::{Step, shortest_path};
pub use reasons::{Because, reasons};
pub use references::{Found, FoundKind, References, references, references_as_declared};
pub use tests_of::{Testing, covered_by, is_test, tests_of};
pub use unused::{Entries, Unused, Why, unused};

#[cfg(test)]
mod tests;
