//! The metrics in the older text form, for scrapers that do not know OpenMetrics, and for `promtool check metrics`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Of Prometheus' text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether an `Accept` header asks for the older form: it names plain text and not OpenMetrics.
pub fn is_wanted(accept: Option<&str>) -> bool {
    let media = |media: &str| {
        accept.is_some_and(|accept| accept.split(',').any(|part| part.split(';').next().map(str::trim) == Some(media)))
    };
    media("text/plain") && !media("application/openmetrics-text")
}

/// An OpenMetrics exposition in the older form: what is said of a counter is said of its `_total`, an info is a gauge, and
/// units and the end have no place.
pub fn plain(openmetrics: &str) -> String {
    let types: BTreeMap<&str, &str> = openmetrics.lines().filter_map(|line| told(line, "# TYPE ")).collect();
    let name = |family: &str| match types.get(family) {
        Some(&"counter") => format!("{family}_total"),
        Some(&"info") => format!("{family}_info"),
        _ => family.to_owned(),
    };
    let mut plain = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        // Writing to a string cannot fail.
        let _ = if let Some((family, help)) = told(line, "# HELP ") {
            writeln!(plain, "# HELP {} {help}", name(family))
        } else if let Some((family, kind)) = told(line, "# TYPE ") {
            let kind = match kind {
                "info" => "gauge",
                "unknown" => "untyped",
                kind => kind,
            };
            writeln!(plain, "# TYPE {} {kind}", name(family))
        } else if line.starts_with("# ") {
            Ok(())
        } else {
            writeln!(plain, "{line}")
        };
    }
    plain
}

fn told<'a>(line: &'a str, what: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(what)?.split_once(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_older_form() {
        let new = "\
# HELP krins_build The program.
# TYPE krins_build info
krins_build_info{version=\"1\"} 1
# HELP krins_tasks_ended Tasks that ended.
# TYPE krins_tasks_ended counter
krins_tasks_ended_total{state=\"# HELP x\"} 3
# HELP krins_wait_seconds Time.
# TYPE krins_wait_seconds histogram
# UNIT krins_wait_seconds seconds
krins_wait_seconds_sum 0.5
# EOF
";
        let old = "\
# HELP krins_build_info The program.
# TYPE krins_build_info gauge
krins_build_info{version=\"1\"} 1
# HELP krins_tasks_ended_total Tasks that ended.
# TYPE krins_tasks_ended_total counter
krins_tasks_ended_total{state=\"# HELP x\"} 3
# HELP krins_wait_seconds Time.
# TYPE krins_wait_seconds histogram
krins_wait_seconds_sum 0.5
";
        assert_eq!(plain(new), old);
    }

    #[test]
    fn the_older_form_is_for_those_who_ask_for_it() {
        for (accept, wanted) in [
            (None, false),
            (Some("*/*"), false),
            (Some("text/plain"), true),
            (Some("text/plain;version=0.0.4;q=0.5, */*;q=0.1"), true),
            (Some("application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5"), false),
            (Some("text/html"), false),
        ] {
            assert_eq!(is_wanted(accept), wanted, "{accept:?}");
        }
    }
}
