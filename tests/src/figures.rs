//! Figures that tests measure, and how much they take on.

use std::fs;
use std::io::Write as _;

/// Writes a line where a person who asks for figures finds it: the file that `KRINS_TEST_FIGURES` names.
pub fn note(line: &str) {
    if let Some(path) = std::env::var_os("KRINS_TEST_FIGURES") {
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| writeln!(file, "{line}"));
        written.unwrap_or_else(|error| panic!("failed to write {}: {error}", path.display()));
    }
}

/// Whether the long form of a test was asked for: `KRINS_TEST_FULL=1`.
pub fn is_full() -> bool {
    std::env::var_os("KRINS_TEST_FULL").is_some_and(|value| value != "0")
}

/// Says something that must not be lost when a test passes: why a part was skipped, which seed was drawn.
pub fn say(line: &str) {
    // Nobody may be reading; the test goes on.
    let _ = writeln!(std::io::stderr(), "{line}");
    note(line);
}
