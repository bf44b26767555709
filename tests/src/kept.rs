//! What tests install and keep beside the build: `target/krins-<what>`, so that `cargo clean` takes it along and nothing else sees it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The directory of that name beside the build, made when it is missing.
///
/// # Panics
/// When it cannot be made.
pub fn store(name: &str) -> PathBuf {
    // target/<profile>/deps/<test>
    let test = std::env::current_exe().expect("a running test has a path");
    let target = test.ancestors().nth(3).expect("tests lie in target/<profile>/deps");
    let store = target.join(name);
    fs::create_dir_all(&store).unwrap_or_else(|error| panic!("failed to make {}: {error}", store.display()));
    store
}

/// One installs into a directory at a time, in this process or another. Released when the file is closed.
///
/// # Panics
/// When it cannot be locked.
pub fn lock(store: &Path) -> File {
    let path = store.join("lock");
    let file = File::create(&path).and_then(|file| file.lock().map(|()| file));
    file.unwrap_or_else(|error| panic!("failed to lock {}: {error}", path.display()))
}
