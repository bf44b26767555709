//! SPDX 2.3 as JSON.

use super::{Bom, Component, evidence, plain};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const NOTHING: &str = "NOASSERTION";
const ROOT: &str = "SPDXRef-Subject";
/// What stands for "no time was said": the field is not optional.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

pub(super) fn document(bom: &Bom) -> Value {
    let serial = bom.serial();
    let id = serial.trim_start_matches("urn:uuid:");
    let ids: Vec<String> = bom.components.iter().enumerate().map(|(at, component)| spdx_id(at, component)).collect();
    let mut packages = vec![root(bom)];
    packages.extend(bom.components.iter().zip(&ids).map(|(component, id)| package(component, id)));
    let mut relationships = vec![related("SPDXRef-DOCUMENT", "DESCRIBES", ROOT)];
    relationships.extend(bom.direct.iter().map(|at| related(ROOT, "DEPENDS_ON", &ids[*at])));
    for (component, id) in bom.components.iter().zip(&ids) {
        relationships.extend(component.dependencies.iter().map(|at| related(id, "DEPENDS_ON", &ids[*at])));
    }
    let mut out = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": plain(&bom.wish.subject),
        "documentNamespace": format!("https://spdx.org/spdxdocs/krins-{id}"),
        "creationInfo": {
            "created": bom.wish.timestamp.as_deref().unwrap_or(NO_TIME),
            "creators": [format!("Tool: krins-{}", bom.wish.tool_version)],
            "comment": comment(bom),
        },
        "packages": packages,
        "relationships": relationships,
    });
    let extracted = extracted(bom);
    if !extracted.is_empty() {
        out["hasExtractedLicensingInfos"] = Value::Array(extracted);
    }
    out
}

fn comment(bom: &Bom) -> String {
    let mut lines = vec![format!("Patch sha256 {}.", bom.patch), bom.totals()];
    if bom.wish.timestamp.is_none() {
        lines.push("No time was said, so that the document is the same for the same patch.".to_owned());
    }
    lines.extend(bom.removed.iter().map(|purl| format!("Removed: {purl}")));
    lines.extend(bom.unlocked.iter().map(|asked| format!("Not locked yet: {}", plain(asked))));
    lines.join("\n")
}

fn related(from: &str, how: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": how, "relatedSpdxElement": to})
}

fn spdx_id(at: usize, component: &Component) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String =
        component.name.chars().chain(['-']).chain(component.version.chars()).map(plain).take(80).collect();
    format!("SPDXRef-{}-{}", at + 1, name.trim_matches('-'))
}

fn root(bom: &Bom) -> Value {
    json!({
        "SPDXID": ROOT,
        "name": plain(&bom.wish.subject),
        "downloadLocation": NOTHING,
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING,
        "licenseDeclared": NOTHING,
        "copyrightText": NOTHING,
        "primaryPackagePurpose": "APPLICATION",
    })
}

fn package(component: &Component, id: &str) -> Value {
    let mut out = Map::new();
    out.insert("SPDXID".into(), json!(id));
    out.insert("name".into(), json!(plain(&component.name)));
    if !component.version.is_empty() {
        out.insert("versionInfo".into(), json!(plain(&component.version)));
    }
    let fit = |url: &&str| url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&byte));
    out.insert("downloadLocation".into(), json!(component.address.as_deref().filter(fit).unwrap_or(NOTHING)));
    out.insert("filesAnalyzed".into(), json!(false));
    if !component.checksums.is_empty() {
        let sums = component
            .checksums
            .iter()
            .map(|sum| json!({"algorithm": sum.algorithm.replace('-', ""), "checksumValue": sum.hex}));
        out.insert("checksums".into(), sums.collect());
    }
    out.insert("licenseConcluded".into(), json!(NOTHING));
    out.insert("licenseDeclared".into(), json!(component.expression.as_deref().unwrap_or(NOTHING)));
    if let Some(known) = &component.licence {
        let words = format!("Written as {:?} in the {}.", plain(&known.written), evidence(known.evidence));
        out.insert("licenseComments".into(), json!(words));
    }
    out.insert("copyrightText".into(), json!(NOTHING));
    out.insert(
        "externalRefs".into(),
        json!([{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": component.purl}]),
    );
    out.insert(
        "comment".into(),
        json!(format!("{} by the change; locked in {}", component.change.word(), component.lock)),
    );
    Value::Object(out)
}

/// A licence that SPDX has no id for has to be declared in the document that names it.
fn extracted(bom: &Bom) -> Vec<Value> {
    let mut found: BTreeMap<String, &Component> = BTreeMap::new();
    for component in &bom.components {
        let expression = component.expression.as_deref().unwrap_or_default();
        let words = expression.split([' ', '(', ')']).filter(|word| word.starts_with("LicenseRef-"));
        for word in words {
            found.entry(word.to_owned()).or_insert(component);
        }
    }
    let info = |(id, component): (String, &Component)| {
        let text = component.licence.as_ref().map_or_else(|| id.clone(), |known| plain(&known.written));
        json!({"licenseId": id, "extractedText": text})
    };
    found.into_iter().map(info).collect()
}
