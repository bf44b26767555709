//! `graph_picture ROOT FORMAT [--focus FILE] [--depth N] [--dirs]`: the picture of a directory's code on standard
//! output, and how long each step took on standard error. For measuring: no ignore rules are read, `node_modules` and
//! hidden directories are left out.

use krins_core::RelPath;
use krins_core::graph::export::{Options, export};
use krins_core::graph::{Graph, Indexed, ResolveConfig};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const CODE: &[&str] = &["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let root = args.next().ok_or("name a root")?;
    let mut options = Options::new(args.next().ok_or("name a format")?.parse()?);
    let name = std::fs::canonicalize(&root)?;
    options.title = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--focus" => options.focus = Some(RelPath::new(&args.next().ok_or("name a file")?)?),
            "--depth" => options.depth = args.next().ok_or("name a depth")?.parse()?,
            "--dirs" => options.dirs = true,
            other => return Err(format!("what is {other}?").into()),
        }
    }
    let started = Instant::now();
    let mut texts = BTreeMap::new();
    walk(Path::new(&root), "", &mut texts)?;
    let config: BTreeMap<_, _> =
        texts.iter().filter(|(path, _)| path.extension() == "json").map(|(p, t)| (p.clone(), t.clone())).collect();
    let code = texts.iter().filter(|(path, _)| CODE.contains(&path.extension()));
    let files = code.map(|(path, text)| (path.clone(), Arc::new(Indexed::of(path, text)))).collect();
    let graph = Graph::build(files, Arc::new(ResolveConfig::from_files(&config)));
    let built = Instant::now();
    let picture = export(&graph, &options);
    let mut err = std::io::stderr();
    writeln!(err, "{:?}", graph.stats())?;
    writeln!(err, "graph {:?}, picture {:?}, {} bytes", built - started, built.elapsed(), picture.len())?;
    std::io::stdout().write_all(picture.as_bytes())?;
    Ok(())
}

fn walk(root: &Path, below: &str, texts: &mut BTreeMap<RelPath, Arc<str>>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && name != "node_modules" && !name.starts_with('.') {
            walk(root, &path, texts)?;
        } else if kind.is_file()
            && let Ok(path) = RelPath::new(&path)
            && (CODE.contains(&path.extension()) || path.extension() == "json")
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            texts.insert(path, text.into());
        }
    }
    Ok(())
}
