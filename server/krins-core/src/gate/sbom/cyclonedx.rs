//! CycloneDX 1.6 as JSON.

use super::{Bom, Component, evidence, is_simple, plain, standing};
use crate::gate::lock::Source;
use serde_json::{Map, Value, json};

const ROOT: &str = "krins:subject";

pub(super) fn document(bom: &Bom) -> Value {
    let mut metadata = Map::new();
    if let Some(timestamp) = &bom.wish.timestamp {
        metadata.insert("timestamp".into(), json!(timestamp));
    }
    metadata.insert(
        "tools".into(),
        json!({"components": [{"type": "application", "name": "krins", "version": bom.wish.tool_version}]}),
    );
    metadata
        .insert("component".into(), json!({"type": "application", "bom-ref": ROOT, "name": plain(&bom.wish.subject)}));
    let mut properties = vec![
        property("krins:patch:sha256", &bom.patch.to_string()),
        property("krins:scope", if bom.wish.whole { "workspace" } else { "change" }),
        property("krins:totals", &bom.totals()),
    ];
    properties.extend(bom.removed.iter().map(|purl| property("krins:removed", purl)));
    properties.extend(bom.unlocked.iter().map(|asked| property("krins:not-locked", asked)));
    metadata.insert("properties".into(), Value::Array(properties));
    let mut dependencies = vec![depends(ROOT, &bom.direct, bom)];
    dependencies
        .extend(bom.components.iter().map(|component| depends(&component.reference, &component.dependencies, bom)));
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": bom.serial(),
        "version": 1,
        "metadata": metadata,
        "components": bom.components.iter().map(component).collect::<Vec<_>>(),
        "dependencies": dependencies,
    })
}

fn property(name: &str, value: &str) -> Value {
    json!({"name": name, "value": plain(value)})
}

fn depends(reference: &str, on: &[usize], bom: &Bom) -> Value {
    let on: Vec<&str> = on.iter().map(|at| bom.components[*at].reference.as_str()).collect();
    json!({"ref": reference, "dependsOn": on})
}

fn component(component: &Component) -> Value {
    let mut out = Map::new();
    let (group, name) = match component.name.strip_prefix('@').and_then(|name| name.split_once('/')) {
        Some((scope, name)) => (Some(format!("@{scope}")), name),
        None => (None, component.name.as_str()),
    };
    out.insert("type".into(), json!("library"));
    out.insert("bom-ref".into(), json!(component.reference));
    if let Some(group) = group {
        out.insert("group".into(), json!(plain(&group)));
    }
    out.insert("name".into(), json!(plain(name)));
    out.insert("version".into(), json!(plain(&component.version)));
    out.insert("scope".into(), json!(if component.optional { "optional" } else { "required" }));
    if !component.checksums.is_empty() {
        let hashes = component.checksums.iter().map(|sum| json!({"alg": sum.algorithm, "content": sum.hex}));
        out.insert("hashes".into(), hashes.collect());
    }
    if let Some(licence) = licence(component) {
        out.insert("licenses".into(), json!([licence]));
    }
    out.insert("purl".into(), json!(component.purl));
    let references = references(component);
    if !references.is_empty() {
        out.insert("externalReferences".into(), Value::Array(references));
    }
    out.insert("properties".into(), Value::Array(properties(component)));
    Value::Object(out)
}

fn licence(component: &Component) -> Option<Value> {
    let written = component.licence.as_ref()?;
    Some(match &component.expression {
        Some(id) if is_simple(id) => json!({"license": {"id": id, "acknowledgement": "declared"}}),
        Some(expression) => json!({"expression": expression, "acknowledgement": "declared"}),
        None => json!({"license": {"name": plain(&written.written), "acknowledgement": "declared"}}),
    })
}

fn references(component: &Component) -> Vec<Value> {
    let fit = |url: &str| url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&byte));
    let address = component.address.as_deref().filter(|url| fit(url));
    let kind = if matches!(component.source, Source::Git(_)) { "vcs" } else { "distribution" };
    address.map(|url| json!({"type": kind, "url": url})).into_iter().collect()
}

fn properties(component: &Component) -> Vec<Value> {
    let mut out = vec![property("krins:change", component.change.word())];
    if let super::Change::Updated { from } = &component.change {
        out.push(property("krins:updated-from", from));
    }
    out.push(property("krins:licence:standing", standing(component.standing)));
    if let Some(known) = &component.licence {
        out.push(property("krins:licence:read-in", evidence(known.evidence)));
        out.push(property("krins:licence:written", &known.written));
    }
    out.push(property("krins:lock-file", component.lock.as_str()));
    if component.development {
        out.push(property("cdx:npm:package:development", "true"));
    }
    out
}
