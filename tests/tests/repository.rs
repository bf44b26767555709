//! What the repository promises about itself: who may know whom, what the pure core must not touch, that documents and
//! sources agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use krins_core::Digest;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(below: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join(below)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !["node_modules", "target", "dist", "out"].contains(&path.file_name().unwrap().to_str().unwrap()) {
                    dirs.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Direct dependencies (not for tests) of each crate of the workspace.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let direct = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies.filter(|dependency| dependency["kind"].is_null()).map(name).collect::<BTreeSet<_>>()
    };
    metadata["packages"].as_array().unwrap().iter().map(|package| (name(package), direct(package))).collect()
}

#[test]
fn each_crate_knows_only_those_it_may() {
    let edges = edges();
    let ours = |krate: &str| -> Vec<&str> {
        edges[krate].iter().map(String::as_str).filter(|name| name.starts_with("krins-")).collect()
    };
    assert_eq!(ours("krins-protocol"), [] as [&str; 0]);
    assert_eq!(ours("krins-core"), [] as [&str; 0]);
    assert_eq!(ours("krins-backend"), ["krins-core", "krins-protocol"]);
    assert_eq!(ours("krins-engine"), ["krins-backend", "krins-core", "krins-protocol"]);
    assert_eq!(ours("krins-server"), ["krins-backend", "krins-core", "krins-engine", "krins-protocol"]);
}

#[test]
fn one_crate_knows_lsp_one_speaks_http_and_the_core_does_neither() {
    let edges = edges();
    let users = |dependency: &str| -> Vec<&str> {
        edges
            .iter()
            .filter(|(_, direct)| direct.contains(dependency))
            .map(|(krate, _)| krate.as_str())
            .filter(|krate| *krate != "krins-tests")
            .collect()
    };
    assert_eq!(users("tower-lsp-server"), ["krins-server"]);
    assert_eq!(users("agent-client-protocol"), ["krins-server"]);
    for http in ["reqwest", "axum"] {
        assert_eq!(users(http), ["krins-backend"], "{http}");
    }
    for effect in ["tokio", "futures", "rand", "tempfile", "ignore", "rustix", "rusqlite", "tracing"] {
        assert!(!edges["krins-core"].contains(effect), "krins-core must stay pure, and uses {effect}");
    }
}

#[test]
fn the_core_touches_no_disk_clock_environment_or_thread() {
    let banned = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::time",
        "std::thread",
        "std::io",
        "Instant::now",
        "SystemTime",
        "async fn",
    ];
    // Looked up in and never walked through: what leaves these files is in an order of its own.
    let looked_up = [
        "context/corpus.rs",
        "context/expand.rs",
        "graph/hashes.rs",
        "graph/places.rs",
        "graph/resolve/mod.rs",
        "patch/align.rs",
        "patch/diff.rs",
        "patch/diff3.rs",
    ];
    for (path, text) in sources("server/krins-core/src", "rs") {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        // The resolver's file system is a trait that speaks of `std::io::Error`; what implements it here reads a map.
        let is_view = path.ends_with("graph/resolve/view.rs");
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if is_view && line.trim() == "use std::io;" {
                continue;
            }
            let walks = line.contains("HashMap") && !looked_up.iter().any(|file| path.ends_with(file));
            let hit = banned.iter().find(|word| line.contains(**word)).or(walks.then_some(&"HashMap"));
            assert!(hit.is_none(), "{}:{}: {hit:?}: {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for below in ["protocol", "server", "tests"] {
        for (path, text) in sources(below, "rs") {
            assert!(text.starts_with("//!"), "{} does not begin with //!", path.display());
        }
    }
}

#[test]
fn wire_types_are_converted_in_two_files() {
    for (path, text) in sources("server/krins-engine/src", "rs") {
        for wire in ["krins_protocol::lsp::{AssignParams", "krins_protocol::cli", "krins_protocol::http", "tower_lsp"] {
            assert!(!text.contains(wire), "{} knows {wire}", path.display());
        }
    }
}

#[test]
fn the_protocol_page_is_pinned_to_its_source() {
    let mut source = String::new();
    for (path, text) in sources("protocol/src", "rs") {
        source.push_str(path.strip_prefix(root()).unwrap().to_str().unwrap());
        source.push('\n');
        source.push_str(&text);
    }
    let expected = format!("<!-- protocol source: {} -->", Digest::of(&source));
    let page = fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let found = page.lines().next().unwrap_or_default();
    assert_eq!(found, expected, "protocol/src changed: bring docs/protocol.md up to date, then put this line first");
}

#[test]
fn every_method_of_the_protocol_has_an_entry_and_a_command() {
    let page = fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("### ")).collect();
    for method in krins_protocol::schema::METHODS {
        assert!(
            headings.iter().any(|line| line.contains(method.name)),
            "docs/protocol.md has no entry for {}",
            method.name
        );
    }
    let schema = krins_protocol::schema::document();
    for method in krins_protocol::schema::METHODS {
        for name in [method.params, method.result] {
            assert!(name == "Null" || schema["$defs"].get(name).is_some(), "{name} is not in the schema");
        }
    }
}

#[test]
fn the_page_of_the_gate_lists_its_rules() {
    let page = fs::read_to_string(root().join("docs/gate.md")).unwrap();
    let (_, rest) = page.split_once("<!-- rules -->\n").expect("docs/gate.md marks where its table of rules begins");
    let (table, _) = rest.split_once("<!-- /rules -->").expect("docs/gate.md marks where its table of rules ends");
    let expected = krins_core::gate::rule_page();
    assert_eq!(table, expected, "bring it up to date: cargo run -p krins-core --example gate_lab -- --rules");
}

#[test]
fn the_sample_holds_no_line_of_this_machine() {
    for below in ["docs", "fixtures", "editors", "server", "tests", "protocol"] {
        for extension in ["md", "rs", "ts", "lua", "toml", "json", "sh"] {
            for (path, text) in sources(below, extension) {
                assert!(
                    !text.contains(&format!("{}/", root().display())),
                    "{} names a path of this machine",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn what_only_drivers_need_is_in_no_shipped_build() {
    let manifest = fs::read_to_string(root().join("server/krins-server/Cargo.toml")).unwrap();
    assert!(!manifest.contains("drivers"), "the feature `drivers` of krins-engine applies without a gate");
}

#[test]
fn text_leaves_the_machine_in_two_places() {
    let senders: Vec<String> = sources("server", "rs")
        .into_iter()
        .filter(|(_, text)| text.contains(".send().await"))
        .map(|(path, _)| path.strip_prefix(root()).unwrap().display().to_string())
        .collect();
    assert_eq!(senders, ["server/krins-backend/src/http.rs", "server/krins-backend/src/remote.rs"]);
}
