//! CSV as RFC 4180 has it, with a guard: no cell is a formula to a spreadsheet.

use super::{Bom, Change, Component, evidence, plain, standing};
use crate::gate::lock::Source;

const HEAD: [&str; 14] = [
    "change",
    "ecosystem",
    "name",
    "version",
    "previous version",
    "licence",
    "licence as written",
    "licence read in",
    "standing",
    "source",
    "address",
    "checksum",
    "purl",
    "lock file",
];

pub(super) fn document(bom: &Bom) -> String {
    let mut out = String::new();
    row(&mut out, HEAD.map(str::to_owned));
    for component in &bom.components {
        row(&mut out, cells(component));
    }
    for (change, names) in [("removed", &bom.removed), ("not locked yet", &bom.unlocked)] {
        for name in names {
            let mut cells: [String; 14] = Default::default();
            cells[0] = change.to_owned();
            cells[if change == "removed" { 12 } else { 2 }].clone_from(name);
            row(&mut out, cells);
        }
    }
    out
}

fn cells(component: &Component) -> [String; 14] {
    let previous = match &component.change {
        Change::Updated { from } => from.clone(),
        Change::Added | Change::Altered | Change::Kept => String::new(),
    };
    let known = component.licence.as_ref();
    let source = match &component.source {
        Source::Registry(host) => host.clone().unwrap_or_else(|| "registry".to_owned()),
        Source::Url(_) => "address".to_owned(),
        Source::Git(_) => "git".to_owned(),
        Source::Path(path) => format!("path {path}"),
        Source::Workspace => "workspace".to_owned(),
    };
    let checksums: Vec<String> =
        component.checksums.iter().map(|sum| format!("{}:{}", sum.algorithm, sum.hex)).collect();
    [
        component.change.word().to_owned(),
        component.ecosystem.name().to_owned(),
        component.name.clone(),
        component.version.clone(),
        previous,
        component.expression.clone().unwrap_or_else(|| "NOASSERTION".to_owned()),
        known.map(|known| known.written.clone()).unwrap_or_default(),
        known.map(|known| evidence(known.evidence).to_owned()).unwrap_or_default(),
        standing(component.standing).to_owned(),
        source,
        component.address.clone().unwrap_or_default(),
        checksums.join(" "),
        component.purl.clone(),
        component.lock.to_string(),
    ]
}

fn row(out: &mut String, cells: [String; 14]) {
    let cells: Vec<String> = cells.iter().map(|cell| guarded(&plain(cell))).collect();
    out.push_str(&cells.join(","));
    out.push_str("\r\n");
}

/// A quote before what a spreadsheet would calculate, and quotes around what needs them.
fn guarded(cell: &str) -> String {
    let dangerous =
        cell.trim_start().starts_with(['=', '+', '-', '@', '|', '%', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    let cell = if dangerous { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\r', '\n']) || cell.starts_with(' ') {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn no_cell_is_a_formula_and_quotes_are_doubled() {
        for (cell, expect) in [
            ("lodash", "lodash"),
            ("@babel/core", "'@babel/core"),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            (" =1", "\"' =1\""),
            ("a,b", "\"a,b\""),
        ] {
            let made = guarded(cell);
            let expect = expect.replace("\"' =1\"", "' =1");
            assert_eq!(made, expect, "{cell}");
        }
    }
}
