//! The dashboard's page: one document that holds its style, its script, the chart library and the first figures. Data and
//! page are apart: the page is the same for everybody, and the figures are those of `krins/report`.
//!
//! `uplot/` is the npm package `uplot`, version 1.6.32, as it is published (`tests/tests/dashboard.rs` compares it).

use krins_core::page::Page;
use krins_core::text::unseen_class;
use krins_engine::{Error, ErrorKind};
use krins_protocol::report::Report;
use serde_json::json;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = concat!(include_str!("uplot/uPlot.min.css"), "\n", include_str!("page.css"));
const SCRIPT: &str = concat!(include_str!("uplot/uPlot.iife.min.js"), "\n", include_str!("page.js"));
const LICENCE: &str = include_str!("uplot/LICENSE");

/// Seconds between two looks at the figures.
const EVERY: u32 = 5;

/// Where the page is shown, which is whom it asks for new figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// A browser: it asks the server that it came from.
    Server,
    /// A webview: it asks the editor by messages.
    Editor,
    /// A file: it stays as it is.
    File,
}

/// The document, and the policy that it asks the browser to hold it to.
pub fn document(report: &Report, home: Home) -> Result<(String, String), Error> {
    let (live, connect) = match home {
        Home::Server => ("poll", "'self'"),
        Home::Editor => ("editor", ""),
        Home::File => ("none", ""),
    };
    let data = json!({"report": report, "live": live, "every": EVERY, "licence": LICENCE, "unseen": unseen_class()});
    let data = serde_json::to_string(&data)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("write the figures: {error}")))?;
    let title = format!("Krins: {}", report.workspace);
    let page = Page { template: TEMPLATE, style: STYLE, script: SCRIPT, title: &title, data: &data, connect };
    Ok((page.write(), page.policy()))
}
