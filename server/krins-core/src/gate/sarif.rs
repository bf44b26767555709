//! A report as SARIF 2.1.0, which forges and editors read.

use super::{Finding, Report, Verdict, link_of};
use serde_json::{Value, json};

/// The log of one run.
pub fn sarif(report: &Report, tool_version: &str) -> Value {
    let mut rules: Vec<&str> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| result(finding, rules.binary_search(&finding.rule.as_str()).unwrap_or_default()))
        .collect();
    let described: Vec<Value> = rules.iter().map(|rule| descriptor(rule)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "krins",
                "version": tool_version,
                "informationUri": "https://github.com/krins-dev/krins",
                "rules": described,
            }},
            "columnKind": "utf16CodeUnits",
            "results": results,
            "properties": {
                "verdict": report.verdict,
                "patch": report.patch.to_string(),
                "policy": report.policy.to_string(),
                "checks": report.checks.iter().map(|run| json!({"check": run.check, "verdict": run.verdict})).collect::<Vec<_>>(),
            },
        }],
    })
}

fn descriptor(rule: &str) -> Value {
    let words = rule.rsplit('/').next().unwrap_or(rule).replace('-', " ");
    json!({
        "id": rule,
        "shortDescription": {"text": words},
        "helpUri": link_of(rule),
    })
}

fn result(finding: &Finding, rule: usize) -> Value {
    let level = match finding.verdict {
        Verdict::Pass => "note",
        Verdict::Warn => "warning",
        Verdict::Block => "error",
    };
    let fix = finding.fix.as_deref().map_or(String::new(), |fix| format!(" Fix: {fix}."));
    let mut place = json!({"artifactLocation": {"uri": encoded(finding.path.as_str())}});
    if let Some([first, last]) = finding.lines {
        place["region"] = json!({"startLine": first.max(1), "endLine": last.max(first).max(1)});
    }
    json!({
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": level,
        "message": {"text": format!("{}.{fix}", finding.message)},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"krins/v1": finding.id().to_string()},
        "properties": {"verdict": finding.verdict, "fix": finding.fix, "link": finding.link.clone().unwrap_or_else(|| link_of(&finding.rule))},
    })
}

/// The path as a relative URI.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'@' | b'+' | b'$' | b'=' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RelPath;
    use crate::gate::testing::patch;
    use crate::gate::{Policy, Weighed};

    #[test]
    fn every_finding_is_a_result_with_its_rule_and_place() {
        let finding = |rule: &str, path: &str, lines| Finding {
            rule: rule.into(),
            verdict: Verdict::Block,
            path: RelPath::new(path).unwrap(),
            lines,
            message: "m".into(),
            fix: Some("f".into()),
            link: None,
        };
        let findings =
            vec![finding("b/x-y", "a b/é.ts", Some([3, 5])), finding("a/z", "c", None), finding("b/x-y", "d", None)];
        let report = Report::new(
            &patch("a", None, Some("x")),
            &Policy::default(),
            Vec::new(),
            Weighed { findings, waived: Vec::new() },
        );
        let run = &sarif(&report, "1.0.0")["runs"][0];
        assert_eq!(run["results"].as_array().unwrap().len(), 3);
        assert_eq!(run["results"][0]["ruleIndex"], 1);
        assert_eq!(run["tool"]["driver"]["rules"][1]["id"], "b/x-y");
        let place = &run["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b/%C3%A9.ts");
        assert_eq!(place["region"], json!({"startLine": 3, "endLine": 5}));
        assert_eq!(run["results"][0]["message"]["text"], "m. Fix: f.");
        assert_ne!(run["results"][0]["partialFingerprints"], run["results"][2]["partialFingerprints"]);
    }
}
