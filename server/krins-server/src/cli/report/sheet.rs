//! A report as a sheet: facts and tables, written as text, Markdown, CSV or PDF. Each cell is what a person reads, and what a
//! program reads.

use krins_backend::money::{Day, dollars};
use krins_core::page::visible;
use krins_core::pdf::{self, Line, wrapped};
use krins_protocol::report::{Cause, Period, Quantiles, Report};

/// What an accepted change is worth to the person who says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worth {
    /// That it saves.
    pub minutes: f64,
    /// Dollars.
    pub hourly: f64,
}

impl Worth {
    /// In millionths of a dollar. No number of a person's is so large that it does not fit.
    pub fn of(self, changes: u64) -> u64 {
        (changes as f64 * self.minutes / 60.0 * self.hourly * 1e6).max(0.0) as u64
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    title: String,
    facts: Vec<(&'static str, String)>,
    /// The first one is the one of a CSV file.
    tables: Vec<Table>,
    notes: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    title: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cell {
    shown: String,
    plain: String,
}

impl Cell {
    fn text(text: &str) -> Self {
        let text = visible(text);
        Self { shown: text.clone(), plain: text }
    }

    fn count(number: u64) -> Self {
        Self::text(&number.to_string())
    }

    fn maybe<T: Copy>(value: Option<T>, shown: impl Fn(T) -> String, plain: impl Fn(T) -> String) -> Self {
        let none = || ("-".to_owned(), String::new());
        let (shown, plain) = value.map_or_else(none, |value| (shown(value), plain(value)));
        Self { shown, plain }
    }

    fn money(micros: Option<u64>) -> Self {
        Self::maybe(micros, dollars, |micros| micros.to_string())
    }

    fn time(millis: Option<u64>) -> Self {
        Self::maybe(millis, time, |millis| millis.to_string())
    }

    fn percent(share: Option<f64>) -> Self {
        Self::maybe(share, |share| format!("{share:.2} %"), |share| format!("{share:.4}"))
    }
}

fn time(millis: u64) -> String {
    let seconds = millis as f64 / 1000.0;
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..90_000 => format!("{seconds:.1} s"),
        _ => format!("{:.1} min", seconds / 60.0),
    }
}

fn day(millis: u64) -> String {
    Day::of_millis(i64::try_from(millis).unwrap_or(i64::MAX)).to_string()
}

fn title(report: &Report, what: &str) -> String {
    format!("{what} of {}, {} to {}", visible(&report.workspace), day(report.since), day(report.until))
}

fn quantiles(of: &Quantiles) -> String {
    match (of.p50, of.p95) {
        (Some(p50), Some(p95)) => format!("{} (p50), {} (p95), of {} changes", time(p50), time(p95), of.count),
        _ => "-".to_owned(),
    }
}

fn share(share: Option<f64>, of: &str) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} % ({of})", share * 100.0))
}

/// The figures that every report begins with.
fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let (tasks, spent) = (&report.tasks, &report.spent);
    let decided = tasks.accepted + tasks.rejected;
    let open = tasks.waiting + tasks.blocked + tasks.running;
    let unpriced = match spent.unpriced {
        0 => String::new(),
        some => format!(" + {some} calls without a known price"),
    };
    let amount = |micros: Option<u64>| micros.map_or_else(|| "-".to_owned(), dollars);
    vec![
        ("tasks", format!("{} assigned, {} answered, {open} open", tasks.assigned, tasks.answered)),
        ("accepted share", share(tasks.accepted_share, &format!("{} of {decided} decided", tasks.accepted))),
        ("time to green", quantiles(&report.green)),
        ("cost", format!("{}{unpriced}, {} calls", dollars(spent.known_micros), spent.calls)),
        ("per patch", amount(spent.micros_per_patch)),
        ("per accepted", amount(spent.micros_per_accepted)),
        ("tokens", format!("{} in, {} out", spent.tokens.sent(), spent.tokens.output)),
        ("cache hits", share(report.cache.share, &format!("{} of {}", report.cache.hits, report.cache.answers))),
    ]
}

/// What is not in the figures. A sheet goes to a terminal as it is, so that others' words in it act on nothing.
fn said(report: &Report) -> Vec<String> {
    report.notes.iter().map(|note| visible(note)).collect()
}

fn notes(report: &Report) -> Vec<String> {
    let mut notes = said(report);
    if report.spent.open > 0 {
        notes.push(format!(
            "{} calls are open and count for what was reserved: `krins report open`.",
            report.spent.open
        ));
    }
    notes
}

fn agents(report: &Report) -> Table {
    let row = |agent: &krins_protocol::report::AgentFigures| {
        vec![
            Cell::text(&agent.route),
            Cell::count(agent.patches),
            Cell::count(agent.accepted),
            Cell::count(agent.calls),
            Cell::count(agent.failed),
            Cell::count(agent.tokens.sent()),
            Cell::count(agent.tokens.output),
            Cell::money(agent.micros),
            Cell::money(agent.micros_per_patch),
            Cell::time(agent.green.p50),
            Cell::time(agent.green.p95),
        ]
    };
    Table {
        title: "Agents",
        columns: vec![
            "agent",
            "patches",
            "accepted",
            "calls",
            "failed",
            "tokens in",
            "tokens out",
            "cost",
            "per patch",
            "green p50",
            "green p95",
        ],
        rows: report.agents.iter().map(row).collect(),
    }
}

fn causes(title: &'static str, name: &'static str, causes: &[Cause]) -> Table {
    let row = |cause: &Cause| vec![Cell::text(&cause.name), Cell::count(cause.tasks)];
    Table { title, columns: vec![name, "tasks"], rows: causes.iter().map(row).collect() }
}

/// The last seven days, a day a row.
pub fn weekly(report: &Report) -> Sheet {
    let row = |bucket: &krins_protocol::report::Bucket| {
        vec![
            Cell::text(&day(bucket.start)),
            Cell::count(bucket.assigned),
            Cell::count(bucket.accepted),
            Cell::count(bucket.rejected),
            Cell::count(bucket.open),
            Cell::count(bucket.unanswered),
            Cell::time(bucket.green.p50),
            Cell::count(bucket.tokens.sent()),
            Cell::count(bucket.tokens.output),
            Cell::money(Some(bucket.micros)),
        ]
    };
    let days = Table {
        title: "Days",
        columns: vec![
            "day",
            "assigned",
            "accepted",
            "rejected",
            "open",
            "no change",
            "green p50",
            "tokens in",
            "tokens out",
            "cost",
        ],
        rows: report.buckets.iter().map(row).collect(),
    };
    Sheet {
        title: title(report, "Week"),
        facts: facts(report),
        tables: vec![
            days,
            agents(report),
            causes("Blocked by the gate", "rule", &report.blocks),
            causes("Ended without a change", "reason", &report.failures),
        ],
        notes: notes(report),
    }
}

/// The same of whatever time the report is about, by its own parts.
pub fn overview(report: &Report) -> Sheet {
    let name = match report.period {
        Period::Day => "Day",
        Period::Week => "Week",
        Period::Month => "Month",
    };
    let mut sheet = weekly(report);
    // An hour has no name of its own here.
    if report.period == Period::Day {
        sheet.tables.remove(0);
    }
    Sheet { title: title(report, name), ..sheet }
}

/// What an accepted change costs, and what it is worth to whoever says so.
pub fn roi(report: &Report, worth: Option<Worth>) -> Sheet {
    let mut facts = facts(report);
    let mut notes = notes(report);
    if let Some(worth) = worth {
        let (value, cost) = (worth.of(report.tasks.accepted), report.spent.known_micros);
        let times =
            if cost > 0 { format!(", {:.1} times what it cost", value as f64 / cost as f64) } else { String::new() };
        facts.push(("worth", format!("{}{times}", dollars(value))));
        notes.push(format!(
            "Worth: {} accepted changes, {} minutes each at ${} an hour, as you say.",
            report.tasks.accepted, worth.minutes, worth.hourly
        ));
    }
    Sheet { title: title(report, "Return"), facts, tables: vec![agents(report)], notes }
}

/// What is promised, and whether it was kept.
pub fn slo(report: &Report) -> Sheet {
    let row = |objective: &krins_protocol::report::Objective| {
        let met = match objective.reached {
            None => "no event yet",
            Some(reached) if reached >= objective.objective => "met",
            Some(_) => "missed",
        };
        vec![
            Cell::text(&objective.name),
            Cell::percent(Some(objective.objective)),
            Cell::percent(objective.reached),
            Cell::text(met),
            Cell::percent(objective.budget_left.map(|left| left * 100.0)),
            Cell::count(objective.good),
            Cell::count(objective.total),
        ]
    };
    let objectives = Table {
        title: "Objectives",
        columns: vec!["objective", "asked", "reached", "state", "budget left", "good", "events"],
        rows: report.objectives.iter().map(row).collect(),
    };
    let promised = |objective: &krins_protocol::report::Objective| {
        visible(&format!("{}: {}", objective.name, objective.description))
    };
    let mut notes: Vec<String> = report.objectives.iter().map(promised).collect();
    notes.push("The objectives of the interface are measured where `krins serve` runs: docs/operations.md.".to_owned());
    notes.extend(said(report));
    Sheet { title: title(report, "Objectives"), facts: Vec::new(), tables: vec![objectives], notes }
}

impl Sheet {
    pub fn text(&self) -> String {
        self.lines().into_iter().map(|line| format!("{}\n", line.text)).collect()
    }

    fn lines(&self) -> Vec<Line> {
        let plain = |text: String| Line { heavy: false, text };
        let heavy = |text: &str| Line { heavy: true, text: text.to_owned() };
        let mut lines = vec![heavy(&self.title), Line::default()];
        let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        lines.extend(self.facts.iter().map(|(name, value)| plain(format!("{name:width$}  {value}"))));
        for table in self.tables.iter().filter(|table| !table.rows.is_empty()) {
            lines.extend([Line::default(), heavy(table.title)]);
            lines.extend(table.lines());
        }
        if !self.notes.is_empty() {
            lines.push(Line::default());
            lines.extend(self.notes.iter().cloned().map(plain));
        }
        lines
    }

    pub fn markdown(&self) -> String {
        let cell = |text: &str| text.replace('\\', "\\\\").replace('|', "\\|");
        let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut out = format!("# {}\n\n", self.title);
        for (name, value) in &self.facts {
            out += &format!("- **{name}**: {value}\n");
        }
        for table in self.tables.iter().filter(|table| !table.rows.is_empty()) {
            out += &format!("\n## {}\n\n", table.title);
            out += &row(table.columns.iter().map(|name| (*name).to_owned()).collect());
            out += &row(table
                .columns
                .iter()
                .enumerate()
                .map(|(at, _)| if at == 0 { "---" } else { "---:" }.to_owned())
                .collect());
            for cells in &table.rows {
                out += &row(cells.iter().map(|of| cell(&of.shown)).collect());
            }
        }
        for note in &self.notes {
            out += &format!("\n{note}\n");
        }
        out
    }

    /// The first table, with numbers as they are: money in millionths of a dollar, time in milliseconds. As RFC 4180 has it.
    pub fn csv(&self) -> String {
        let Some(table) = self.tables.first() else { return String::new() };
        let quoted = |text: &str| {
            // What a spreadsheet would take for a formula is text.
            let text = match text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err() {
                true => format!("'{text}"),
                false => text.to_owned(),
            };
            match text.contains([',', '"', '\n', '\r']) {
                true => format!("\"{}\"", text.replace('"', "\"\"")),
                false => text,
            }
        };
        let row = |cells: Vec<String>| format!("{}\r\n", cells.join(","));
        let head = row(table.columns.iter().map(|name| quoted(name)).collect());
        let rows = table.rows.iter().map(|cells| row(cells.iter().map(|cell| quoted(&cell.plain)).collect()));
        head + &rows.collect::<String>()
    }

    pub fn pdf(&self, version: &str) -> Vec<u8> {
        let fitting = |line: Line| {
            wrapped(&line.text, pdf::CHARACTERS).into_iter().map(move |text| Line { heavy: line.heavy, text })
        };
        let lines: Vec<Line> = self.lines().into_iter().flat_map(fitting).collect();
        pdf::document(&self.title, &format!("krins {version}"), &lines)
    }
}

impl Table {
    fn lines(&self) -> Vec<Line> {
        let cells = |at: usize| self.rows.iter().filter_map(move |row| row.get(at));
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, name)| cells(at).map(|cell| cell.shown.chars().count()).chain([name.len()]).max().unwrap_or(0))
            .collect();
        let line = |texts: Vec<&str>| {
            let padded = texts.iter().zip(&widths).enumerate().map(|(at, (text, width))| match at {
                0 => format!("{text:width$}"),
                _ => format!("{text:>width$}"),
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let head = Line { heavy: true, text: line(self.columns.clone()) };
        let rows = self.rows.iter().map(|row| line(row.iter().map(|cell| cell.shown.as_str()).collect()));
        std::iter::once(head).chain(rows.map(|text| Line { heavy: false, text })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use krins_protocol::report::AgentFigures;

    fn report() -> Report {
        let agent = |route: &str, micros| AgentFigures { route: route.to_owned(), micros, ..AgentFigures::default() };
        Report {
            workspace: "shop\u{202e}".into(),
            agents: vec![agent("=cmd|'/C x'!A1", Some(1_500_000)), agent("a/\"x\",y", None)],
            notes: vec!["a note\u{1b}[2J\nof others".into()],
            ..Report::default()
        }
    }

    fn sheet() -> Sheet {
        roi(&report(), Some(Worth { minutes: 30.0, hourly: 60.0 }))
    }

    #[test]
    fn names_of_others_are_text_in_every_form() {
        let sheet = sheet();
        let csv = sheet.csv();
        let rows: Vec<&str> = csv.split_terminator("\r\n").collect();
        assert!(rows[1].starts_with("'=cmd|'/C x'!A1,0,0,") && rows[1].contains(",1500000,"), "{csv}");
        assert!(rows[2].starts_with("\"a/\"\"x\"\",y\",") && rows.len() == 3, "{csv}");
        let markdown = sheet.markdown();
        assert!(markdown.contains("| =cmd\\|'/C x'!A1 | 0 |") && markdown.contains("$1.5"), "{markdown}");
        assert!(markdown.starts_with("# Return of shop\\u{202e}, "), "{markdown}");
        let text = sheet.text();
        for form in [&text, &markdown, &slo(&report()).text()] {
            assert!(form.contains("a note\\u{1b}[2J\\u{a}of others") && !form.contains('\u{1b}'), "{form}");
        }
        // Columns stand under their heads.
        let lines: Vec<&str> = text.lines().collect();
        let head = lines.iter().position(|line| line.starts_with("agent")).unwrap();
        assert_eq!(lines[head].find("patches").unwrap() + 7, lines[head + 1].find(" 0").unwrap() + 2, "{text}");
        assert!(String::from_utf8_lossy(&sheet.pdf("1")).starts_with("%PDF-"));
    }

    #[test]
    fn what_a_change_is_worth_is_the_persons_own_number() {
        assert_eq!(Worth { minutes: 30.0, hourly: 60.0 }.of(3), 90_000_000);
        assert_eq!(Worth { minutes: -1.0, hourly: 60.0 }.of(3), 0);
        assert_eq!(time(999), "999 ms");
        assert_eq!((time(1_000), time(90_000)), ("1.0 s".to_owned(), "1.5 min".to_owned()));
    }
}
