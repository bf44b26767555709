//! The list as pages to read.

use super::{Bom, Change, Component, plain, standing};
use crate::pdf::{self, Line, wrapped};

/// Characters; together not more than a line of [`crate::pdf`] holds.
const COLUMNS: [usize; 6] = [8, 58, 18, 52, 14, 30];

pub(super) fn document(bom: &Bom) -> Vec<u8> {
    pdf::document(&title(bom), &format!("krins {}", bom.wish.tool_version), &lines(bom))
}

fn title(bom: &Bom) -> String {
    let what = if bom.wish.whole { "Packages of" } else { "Packages of a change of" };
    format!("{what} {}", plain(&bom.wish.subject))
}

fn lines(bom: &Bom) -> Vec<Line> {
    let mut out = Vec::new();
    let mut say = |heavy: bool, text: String| {
        let width = COLUMNS.iter().sum::<usize>() + COLUMNS.len();
        out.extend(wrapped(&text, width).into_iter().map(|text| Line { heavy, text }));
    };
    say(true, title(bom));
    say(false, format!("patch sha256 {}", bom.patch));
    say(false, format!("serial number {}", bom.serial()));
    if let Some(timestamp) = &bom.wish.timestamp {
        say(false, format!("as of {timestamp}"));
    }
    say(false, bom.totals());
    say(false, String::new());
    out.extend(table(true, &["change", "package", "version", "licence", "standing", "source"].map(str::to_owned)));
    for component in &bom.components {
        out.extend(table(false, &cells(component)));
    }
    for (title, names) in [("Removed", &bom.removed), ("Asked for and not locked yet", &bom.unlocked)] {
        if !names.is_empty() {
            out.push(Line { heavy: false, text: String::new() });
            out.push(Line { heavy: true, text: title.to_owned() });
            out.extend(names.iter().map(|name| Line { heavy: false, text: plain(name) }));
        }
    }
    out
}

fn cells(component: &Component) -> [String; 6] {
    let version = match &component.change {
        Change::Updated { from } => format!("{from} > {}", component.version),
        Change::Added | Change::Altered | Change::Kept => component.version.clone(),
    };
    let licence =
        component.expression.clone().or_else(|| component.licence.as_ref().map(|known| known.written.clone()));
    [
        component.change.word().to_owned(),
        format!("{} {}", component.ecosystem.name(), plain(&component.name)),
        plain(&version),
        plain(&licence.unwrap_or_else(|| "NOASSERTION".to_owned())),
        standing(component.standing).to_owned(),
        plain(&crate::gate::packages::place(&component.source)),
    ]
}

/// One row; what does not fit its column goes on below, so that nothing is cut.
fn table(heavy: bool, cells: &[String; 6]) -> Vec<Line> {
    let cells: Vec<Vec<String>> = cells.iter().zip(COLUMNS).map(|(cell, width)| wrapped(cell, width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |at: usize| {
        let parts = cells
            .iter()
            .zip(COLUMNS)
            .map(|(cell, width)| format!("{:width$}", cell.get(at).map_or("", String::as_str)));
        let text = parts.collect::<Vec<_>>().join(" ");
        Line { heavy, text: text.trim_end().to_owned() }
    };
    (0..height).map(line).collect()
}
