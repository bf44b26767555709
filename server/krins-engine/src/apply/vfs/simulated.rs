//! A file system in memory that forgets: at a power cut, every name change and every content that was not synced may
//! be there or not, each on its own, in any combination.
//!
//! Stricter than real file systems (none reorders this freely), so what survives here does not lean on luck.

use super::{Node, Permissions, Vfs};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Dir,
    File(usize),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    /// What was there at the last sync.
    durable: Option<Vec<u8>>,
    mode: u32,
}

/// Name changes that happen together or not at all.
type Change = Vec<(String, Option<Target>)>;

#[derive(Debug, Default)]
struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<String, Target>,
    durable: BTreeMap<String, Target>,
    unsynced: Vec<Change>,
}

/// A directory of the simulated disk; clones see the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Simulated {
    disk: Arc<Mutex<Disk>>,
    prefix: &'static str,
}

impl Simulated {
    pub(crate) fn new() -> Self {
        Self { disk: Arc::default(), prefix: "" }
    }

    /// The same disk, below `prefix`, which ends with `/`.
    pub(crate) fn below(&self, prefix: &'static str) -> Self {
        let below = Self { disk: self.disk.clone(), prefix };
        let dir = prefix.trim_end_matches('/').to_owned();
        let mut disk = self.disk.lock().unwrap();
        disk.names.insert(dir.clone(), Target::Dir);
        disk.durable.insert(dir, Target::Dir);
        drop(disk);
        below
    }

    /// Everything is durable from here on.
    pub(crate) fn settle(&self) {
        let mut disk = self.disk.lock().unwrap();
        disk.durable = disk.names.clone();
        disk.unsynced.clear();
        disk.inodes.iter_mut().for_each(|inode| inode.durable = Some(inode.now.clone()));
    }

    /// Cuts the power. `pick(n)` chooses one of `n` possibilities.
    pub(crate) fn power_cut(&self, mut pick: impl FnMut(usize) -> usize) {
        let mut disk = self.disk.lock().unwrap();
        let disk = &mut *disk;
        for change in std::mem::take(&mut disk.unsynced) {
            if pick(2) == 0 {
                set(&mut disk.durable, change);
            }
        }
        for inode in disk.inodes.iter_mut().filter(|inode| inode.durable.as_ref() != Some(&inode.now)) {
            match pick(4) {
                0 => {}
                1 => inode.now.clear(),
                2 => inode.now.truncate(pick(inode.now.len() + 1)),
                _ => inode.now = inode.durable.clone().unwrap_or_default(),
            }
        }
        // What is in a directory that is not there cannot be reached. Names before what is below them, so one pass.
        let mut names = BTreeMap::new();
        for (path, target) in std::mem::take(&mut disk.durable) {
            if parent(&path).is_empty() || names.get(parent(&path)) == Some(&Target::Dir) {
                names.insert(path, target);
            }
        }
        disk.names = names.clone();
        disk.durable = names;
    }

    /// All files, without the journal's temporary ones.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let disk = self.disk.lock().unwrap();
        let mut files = BTreeMap::new();
        for (name, target) in &disk.names {
            let Some(name) = name.strip_prefix(self.prefix).filter(|name| !name.contains(".krins-")) else { continue };
            if let Target::File(inode) = target {
                files.insert(name.to_owned(), disk.inodes[*inode].now.clone());
            }
        }
        files
    }

    /// The names of the journal's temporary files.
    pub(crate) fn temporary(&self) -> Vec<String> {
        let disk = self.disk.lock().unwrap();
        let ours = disk.names.keys().filter(|name| name.starts_with(self.prefix) && name.contains(".krins-"));
        ours.cloned().collect()
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix).trim_end_matches('/').to_owned()
    }

    fn change(&self, change: impl FnOnce(&Disk) -> io::Result<Change>) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let change = change(&disk)?;
        set(&mut disk.names, change.clone());
        disk.unsynced.push(change);
        Ok(())
    }
}

fn set(names: &mut BTreeMap<String, Target>, change: Change) {
    for (path, target) in change {
        match target {
            Some(target) => names.insert(path, target),
            None => names.remove(&path),
        };
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Disk {
    fn target(&self, path: &str) -> io::Result<Target> {
        self.names.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn free(&self, path: &str) -> io::Result<()> {
        if self.target(parent(path))? != Target::Dir {
            return Err(ErrorKind::NotADirectory.into());
        }
        if self.names.contains_key(path) { Err(ErrorKind::AlreadyExists.into()) } else { Ok(()) }
    }
}

impl Vfs for Simulated {
    fn read(&self, path: &str) -> io::Result<Node> {
        let disk = self.disk.lock().unwrap();
        Ok(match disk.names.get(&self.path(path)) {
            None => Node::Missing,
            Some(Target::Dir) => Node::Other("a directory".into()),
            Some(Target::File(inode)) => {
                let inode = &disk.inodes[*inode];
                Node::File { bytes: inode.now.clone(), mode: inode.mode }
            }
        })
    }

    fn create(&self, path: &str, bytes: &[u8], permissions: Permissions) -> io::Result<()> {
        let path = self.path(path);
        let mode = match permissions {
            Permissions::Fresh { executable } => {
                if executable {
                    0o755
                } else {
                    0o644
                }
            }
            Permissions::Exactly(mode) => mode,
        };
        let inode = {
            let mut disk = self.disk.lock().unwrap();
            disk.free(&path)?;
            disk.inodes.push(Inode { now: bytes.to_vec(), durable: None, mode });
            disk.inodes.len() - 1
        };
        self.change(|_| Ok(vec![(path, Some(Target::File(inode)))]))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        self.change(|disk| Ok(vec![(to, Some(disk.target(&from)?)), (from, None)]))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        self.change(|disk| {
            disk.free(&to)?;
            Ok(vec![(to, Some(disk.target(&from)?)), (from, None)])
        })
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        let (a, b) = (self.path(a), self.path(b));
        self.change(|disk| {
            let (at_a, at_b) = (disk.target(&a)?, disk.target(&b)?);
            Ok(vec![(a, Some(at_b)), (b, Some(at_a))])
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.path(path);
        self.change(|disk| disk.target(&path).map(|_| vec![(path, None)]))
    }

    fn make_dir(&self, path: &str) -> io::Result<()> {
        let path = self.path(path);
        self.change(|disk| disk.free(&path).map(|()| vec![(path, Some(Target::Dir))]))
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let path = self.path(path);
        self.change(|disk| {
            if disk.names.keys().any(|name| parent(name) == path) {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
            disk.target(&path).map(|_| vec![(path, None)])
        })
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let dir = self.path(dir);
        let disk = self.disk.lock().unwrap();
        let names = disk.names.keys().filter(|name| parent(name) == dir && !name.is_empty());
        Ok(names.map(|name| name.rsplit('/').next().unwrap().to_owned()).collect())
    }

    fn stat(&self, path: &str) -> io::Result<Option<(u64, SystemTime)>> {
        Ok(match self.read(path)? {
            Node::File { bytes, .. } => Some((bytes.len() as u64, SystemTime::now())),
            Node::Missing | Node::Other(_) => None,
        })
    }

    fn sync(&self, files: &[&str], dirs: &[&str]) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        let disk = &mut *disk;
        for file in files {
            let Target::File(inode) = disk.target(&self.path(file))? else { continue };
            let inode = &mut disk.inodes[inode];
            inode.durable = Some(inode.now.clone());
        }
        let dirs: Vec<String> = dirs.iter().map(|dir| self.path(dir)).collect();
        let synced = |change: &Change| change.iter().any(|(path, _)| dirs.iter().any(|dir| parent(path) == dir));
        let (now, later) = std::mem::take(&mut disk.unsynced).into_iter().partition(synced);
        disk.unsynced = later;
        let now: Vec<Change> = now;
        now.into_iter().for_each(|change| set(&mut disk.durable, change));
        Ok(())
    }
}
