//! Pictures of small graphs, and of names that mean harm.

use super::*;
use crate::graph::{Indexed, ResolveConfig};
use std::collections::BTreeMap;
use std::sync::Arc;

fn path(name: &str) -> RelPath {
    RelPath::new(name).unwrap()
}

fn graph(files: &[(&str, &str)]) -> Graph {
    let (config, code): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| name.ends_with(".json"));
    let facts = code.iter().map(|(name, text)| (path(name), Arc::new(Indexed::of(&path(name), text)))).collect();
    let texts: BTreeMap<RelPath, Arc<str>> = config.iter().map(|(name, text)| (path(name), Arc::from(*text))).collect();
    Graph::build(facts, Arc::new(ResolveConfig::from_files(&texts)))
}

const SHOP: &[(&str, &str)] = &[
    ("src/main.ts", "import './cart/total';\nimport './user';\n"),
    ("src/cart/total.ts", "import '../user';\nexport const total = 1;\n"),
    ("src/user.ts", "import './cart/total';\nexport const user = 1;\n"),
    ("test/user.test.ts", "import '../src/user';\n"),
];

fn drawn(files: &[(&str, &str)], format: Format) -> String {
    export(&graph(files), &Options { title: "shop".into(), ..Options::new(format) })
}

#[test]
fn a_small_graph_is_drawn_file_by_file() {
    assert_eq!(
        drawn(SHOP, Format::Mermaid),
        "flowchart LR
  subgraph d0[\"src\"]
    n1[\"main.ts\"]
    n2[\"user.ts\"]
  end
  subgraph d1[\"src/cart\"]
    n0[\"total.ts\"]
  end
  subgraph d2[\"test\"]
    n3[\"user.test.ts\"]
  end
  n0 --> n2
  n1 --> n0
  n1 --> n2
  n2 --> n0
  n3 --> n2
"
    );
    let dot = drawn(SHOP, Format::Dot);
    assert!(dot.contains("  subgraph cluster_1 {\n    label=\"src/cart\";"), "{dot}");
    assert!(dot.contains("n2 [label=\"user.ts\", tooltip=\"src/user.ts\"];"), "{dot}");
    assert!(dot.contains("  n3 -> n2;\n"), "{dot}");
}

#[test]
fn json_tells_what_is_found_from_what_a_build_would_add() {
    let files = [
        ("package.json", r#"{"workspaces": ["packages/*"]}"#),
        ("packages/lib/package.json", r#"{"name": "lib", "main": "dist/index.js"}"#),
        ("packages/lib/src/index.ts", "export const a = 1;\n"),
        ("packages/app/package.json", r#"{"name": "app", "dependencies": {"lib": "*"}}"#),
        ("packages/app/src/main.ts", "import { a } from 'lib';\nimport './other';\n"),
        ("packages/app/src/other.ts", "export {};\n"),
    ];
    let json: serde_json::Value = serde_json::from_str(&drawn(&files, Format::Json)).unwrap();
    assert_eq!(json["edges"], serde_json::json!([{"source": 0, "target": 1, "imports": 1}]));
    assert_eq!(json["inferred"], serde_json::json!([{"source": 0, "target": 2, "imports": 1}]));
}

#[test]
fn json_holds_nodes_and_edges() {
    let json: serde_json::Value = serde_json::from_str(&drawn(SHOP, Format::Json)).unwrap();
    assert_eq!(json["nodes"][2], serde_json::json!({"path": "src/user.ts", "files": 1, "lines": 3}));
    assert_eq!(json["edges"][4], serde_json::json!({"source": 3, "target": 2, "imports": 1}));
    assert_eq!((json["nodes_are"].as_str(), json["edges"].as_array().map(Vec::len)), (Some("files"), Some(5)));
}

#[test]
fn the_same_graph_gives_the_same_bytes() {
    let reversed: Vec<_> = SHOP.iter().rev().copied().collect();
    for format in Format::ALL {
        assert_eq!(drawn(SHOP, format), drawn(&reversed, format), "{}", format.as_str());
        assert_eq!(format.as_str().parse(), Ok(format));
    }
    assert!("svg".parse::<Format>().is_err());
}

fn paths_near(focus: &str, depth: u32) -> Vec<String> {
    let options = Options { focus: Some(path(focus)), depth, ..Options::new(Format::Json) };
    let json: serde_json::Value = serde_json::from_str(&export(&graph(SHOP), &options)).unwrap();
    json["nodes"].as_array().unwrap().iter().map(|node| node["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_focus_keeps_what_is_near() {
    assert_eq!(paths_near("test/user.test.ts", 0), ["test/user.test.ts"]);
    assert_eq!(paths_near("test/user.test.ts", 1), ["src/user.ts", "test/user.test.ts"]);
    assert_eq!(paths_near("test/user.test.ts", 9).len(), 4);
    assert_eq!(paths_near("nowhere.ts", 9), Vec::<String>::new());
    for format in Format::ALL {
        export(&graph(SHOP), &Options { focus: Some(path("nowhere.ts")), ..Options::new(format) });
        export(&graph(&[]), &Options { dirs: true, ..Options::new(format) });
    }
}

/// `count` files in each of 300 directories; each imports the next directory's files.
fn large(count: usize) -> Graph {
    let name = |at: usize, file: usize| format!("packages/p{}/d{at}/f{file}.ts", at / 10);
    let text =
        |at: usize| (0..count).map(|file| format!("import '/{}';\n", name((at + 1) % 300, file))).collect::<String>();
    let all = (0..300).flat_map(|at| (0..count).map(move |file| (at, file)));
    let facts = all.map(|(at, file)| {
        let path = path(&name(at, file));
        let text: String = text(at).replace("'/packages", "'../../../packages");
        (path.clone(), Arc::new(Indexed::of(&path, &text)))
    });
    Graph::build(facts.collect(), Arc::new(ResolveConfig::from_files(&BTreeMap::new())))
}

#[test]
fn too_many_files_become_directories_with_counts() {
    let graph = large(2);
    let mermaid = export(&graph, &Options::new(Format::Mermaid));
    assert!(mermaid.starts_with("%% 600 files and 1200 imports are too many for one mermaid picture"), "{mermaid}");
    assert!(mermaid.contains("[\"packages/p9<br>20 files\"]"), "{mermaid}");
    assert!(mermaid.matches("-->|4|").count() >= 30, "{mermaid}");
    assert!(mermaid.matches("-->").count() <= 500 && mermaid.len() <= 50_000);
    let dot = export(&graph, &Options::new(Format::Dot));
    assert!(dot.starts_with("// 600 files"), "{dot}");
    assert!(dot.contains("label=\"packages/p0/d0\\n2 files\""), "{dot}");
    assert!(dot.contains("[label=4, penwidth=1.50]"), "{dot}");
    let dirs = export(&graph, &Options { dirs: true, ..Options::new(Format::Dot) });
    assert!(dirs.starts_with("// 300 directories are too many"), "{dirs}");
    let near = Options { focus: Some(path("packages/p0/d0/f0.ts")), depth: 200, ..Options::new(Format::Dot) };
    assert!(export(&graph, &near).contains("tooltip=\"packages/p0/d0/f0.ts\", fillcolor"));
    let near = export(&graph, &Options { format: Format::Mermaid, ..near });
    assert!(near.contains("[\"packages/p0/d0/f0.ts<br>1 file\"]") && near.matches("-->").count() <= 500, "{near}");
}

#[test]
fn directories_are_drawn_when_asked_for() {
    let dot = export(&graph(SHOP), &Options { dirs: true, ..Options::new(Format::Dot) });
    assert!(dot.starts_with("digraph"), "{dot}");
    let json = export(&graph(SHOP), &Options { dirs: true, ..Options::new(Format::Json) });
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let paths: Vec<_> = json["nodes"].as_array().unwrap().iter().map(|node| node["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["src", "src/cart", "test"]);
    assert_eq!(json["edges"][0], serde_json::json!({"source": 0, "target": 1, "imports": 2}));
}

const HOSTILE: &[&str] = &[
    "a\"]; evil [label=\"x.ts",
    "</script><script>alert(1)</script>/b.ts",
    "<!--<script>/c.ts",
    "{{script}}/{{data}}.ts",
    "end\"];click n0 href \"javascript:alert(1)\"/d.ts",
    "&lt;img src=x onerror=alert(1)&gt;.ts",
    "right\u{202e}st.ts",
    "`md`#quot;;--> n0.ts",
];

fn hostile(format: Format) -> String {
    let files: Vec<(&str, &str)> = HOSTILE.iter().map(|name| (*name, "")).collect();
    export(&graph(&files), &Options { title: "</title><script>alert(1)</script>".into(), ..Options::new(format) })
}

#[test]
fn names_cannot_leave_their_quotes() {
    let dot = hostile(Format::Dot);
    assert!(dot.contains("label=\"a\\\"]; evil [label=\\\"x.ts\""), "{dot}");
    assert!(dot.contains("&amp;lt;img src=x"), "{dot}");
    assert!(dot.contains("right\\\\u{202e}st.ts"), "{dot}");
    let mermaid = hostile(Format::Mermaid);
    for line in mermaid.lines().filter(|line| line.contains('[')) {
        let (id, label) = line.split_once("[\"").unwrap();
        assert!(label.ends_with("\"]"), "{line}");
        assert!(!label[..label.len() - 2].contains(['"', '<', '>', '`', '(', '[', '{', '%']), "{line}");
        assert!(id.chars().all(|char| char.is_alphanumeric() || char == ' '), "{line}");
    }
}

#[test]
fn names_cannot_leave_the_data_of_the_page() {
    let page = hostile(Format::Html);
    let count = |what: &str| page.matches(what).count();
    assert_eq!((count("<script"), count("</script"), count("<style"), count("<title>")), (2, 2, 1, 1));
    assert_eq!(count("<!--"), 0);
    assert!(page.contains("<title>&lt;/title&gt;"));
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert!(data["names"].as_array().unwrap().iter().any(|name| name == "{{data}}.ts"));
}

#[test]
fn the_page_allows_its_own_script_and_nothing_else() {
    let page = drawn(SHOP, Format::Html);
    for remote in
        ["http://", "https://", "//cdn", "@import", "url(", " src=", "javascript:", "onclick", "onload", "style=\""]
    {
        assert!(!page.contains(remote), "{remote}");
    }
    let (_, rest) = page.rsplit_once("<script type=\"module\">").unwrap();
    let (script, _) = rest.split_once("</script>").unwrap();
    use base64::Engine as _;
    use sha2::Digest as _;
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(script));
    assert!(page.contains(&format!("content=\"default-src 'none'; script-src 'sha256-{hash}'; style-src 'sha256-")));
    assert!(!page.contains("unsafe"));
}

#[test]
fn the_map_holds_every_file_inside_its_directory() {
    let nodes: Vec<picture::Node> = ["a-b/x.ts", "a.ts", "a/c/d/x.ts", "a/c/d/y.ts", "a/z.ts", "b/deep/er/one.ts"]
        .iter()
        .enumerate()
        .map(|(at, path)| picture::Node { path: (*path).to_owned(), lines: 10 * at as u64, files: 1 })
        .collect();
    let map = treemap::Map::of(&nodes);
    let names: Vec<&str> = map.places.iter().map(|place| place.name.as_str()).collect();
    assert_eq!(names, ["", "a-b", "x.ts", "a.ts", "a", "c/d", "x.ts", "y.ts", "z.ts", "b/deep/er", "one.ts"]);
    let mut open: Vec<(usize, i64, i64)> = Vec::new();
    for (at, rect) in map.rects.chunks(4).enumerate() {
        open.retain(|(last, _, _)| at <= *last);
        if let Some((_, w, h)) = open.last() {
            assert!(rect[0] >= 0 && rect[1] >= 0 && rect[0] + rect[2] <= *w && rect[1] + rect[3] <= *h, "{at}");
        }
        assert!(rect[2] > 0 && rect[3] > 0, "{at}");
        if map.places[at].inside > 0 {
            open.push((at + map.places[at].inside, rect[2], rect[3]));
        }
    }
}

#[test]
fn rings_are_found_and_chains_are_not() {
    let targets = vec![vec![1], vec![2, 3], vec![0], vec![4], vec![5], vec![4], vec![6]];
    assert_eq!(crate::graph::components::components(&targets), [vec![0, 1, 2], vec![4, 5]]);
    assert_eq!(crate::graph::components::components(&[vec![], vec![0, 2], vec![1]]), [vec![1, 2]]);
    let chain: Vec<Vec<usize>> = (0..100_000).map(|at| vec![(at + 1) % 100_000]).collect();
    assert_eq!(crate::graph::components::components(&chain)[0].len(), 100_000);
}

#[test]
fn a_very_deep_path_is_drawn() {
    let deep = format!("{}x.ts", "d/".repeat(2000));
    for format in Format::ALL {
        assert!(drawn(&[(&deep, ""), ("e/y.ts", "")], format).contains("x.ts"), "{}", format.as_str());
    }
}
