//! The kill switch: providers that are not asked, by the settings or by a file that anybody on this machine with the
//! right to it can write, while the program runs. The keyless refactorings send nothing anywhere and are never off.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

/// Every provider.
pub const ALL: &str = "all";
/// How often the file is looked at, at most.
const LOOK: Duration = Duration::from_millis(200);
/// A longer file is no switch.
const MAX_BYTES: u64 = 64 << 10;

/// The switch. Cheap to ask.
#[derive(Debug)]
pub struct Switch {
    settings: BTreeSet<String>,
    file: Option<PathBuf>,
    seen: Mutex<Seen>,
    /// What every replica of a service is told.
    shared: RwLock<BTreeSet<String>>,
}

/// What somebody does to a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// These providers; without a name all of them.
    Off(BTreeSet<String>),
    On {
        /// These providers; without a name all of them.
        names: BTreeSet<String>,
        /// Those that there are: what stays off when all of them were.
        known: BTreeSet<String>,
    },
}

impl Turn {
    /// What is off afterwards.
    pub fn of(&self, mut off: BTreeSet<String>) -> BTreeSet<String> {
        match self {
            Self::Off(names) if names.is_empty() => BTreeSet::from([ALL.to_owned()]),
            Self::Off(names) => {
                off.extend(names.iter().cloned());
                off
            }
            Self::On { names, .. } if names.is_empty() => BTreeSet::new(),
            Self::On { names, known } => {
                if off.remove(ALL) {
                    off.extend(known.iter().cloned());
                }
                off.retain(|name| !names.contains(name));
                off
            }
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    looked: Option<Instant>,
    version: Option<(SystemTime, u64)>,
    off: BTreeSet<String>,
}

impl Switch {
    pub fn new(settings: BTreeSet<String>, file: Option<PathBuf>) -> Self {
        Self { settings, file, seen: Mutex::default(), shared: RwLock::default() }
    }

    /// What is off for every replica from now on.
    pub fn share(&self, off: BTreeSet<String>) {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        if *shared != off {
            tracing::warn!(?off, "the service's kill switch was moved");
            *shared = off;
        }
    }

    pub fn is_off(&self, provider: &str) -> bool {
        let off = |off: &BTreeSet<String>| off.contains(ALL) || off.contains(provider);
        off(&self.settings)
            || off(&self.shared.read().unwrap_or_else(PoisonError::into_inner))
            || self.file.is_some() && off(&self.look().off)
    }

    /// What is off, `all` or by name.
    pub fn off(&self) -> BTreeSet<String> {
        let mut off = self.here();
        off.extend(self.shared.read().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        off
    }

    /// What the settings and the file say.
    pub fn here(&self) -> BTreeSet<String> {
        let mut off = self.settings.clone();
        if self.file.is_some() {
            off.extend(self.look().off.iter().cloned());
        }
        off
    }

    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Changes what the file says, at once for this process and within a moment for every other one.
    pub fn set(&self, off: &BTreeSet<String>) -> io::Result<()> {
        let Some(path) = &self.file else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "there is no state directory"));
        };
        write(path, off)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Seen::default();
        Ok(())
    }

    fn look(&self) -> std::sync::MutexGuard<'_, Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let Some(path) = self.file.as_deref().filter(|_| seen.looked.is_none_or(|at| now - at >= LOOK)) else {
            return seen;
        };
        seen.looked = Some(now);
        match version(path) {
            Ok(version) if seen.version != version => match read(path) {
                Ok(off) => {
                    if off != seen.off {
                        tracing::warn!(?off, "the kill switch was moved");
                    }
                    (seen.version, seen.off) = (version, off);
                }
                // A switch that cannot be read may say stop.
                Err(error) => seen.fail(path, &error),
            },
            Ok(_) => {}
            Err(error) => seen.fail(path, &error),
        }
        seen
    }
}

impl Seen {
    fn fail(&mut self, path: &Path, error: &io::Error) {
        if !self.off.contains(ALL) {
            tracing::error!(%error, "the kill switch {} can not be read, so every provider is off", path.display());
        }
        self.version = None;
        self.off = BTreeSet::from([ALL.to_owned()]);
    }
}

/// What a file says: one name a line; a file without one means every provider, so that `touch` is a kill switch.
pub fn read(path: &Path) -> io::Result<BTreeSet<String>> {
    let mut text = String::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(MAX_BYTES).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let names = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let off: BTreeSet<String> = names.map(str::to_owned).collect();
    Ok(if off.is_empty() { BTreeSet::from([ALL.to_owned()]) } else { off })
}

/// Replaces the file in one step; nothing off is no file.
pub fn write(path: &Path, off: &BTreeSet<String>) -> io::Result<()> {
    if off.is_empty() {
        return match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".switched-off-{}", uuid::Uuid::now_v7()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    let mut text = String::from("# providers that are not asked; remove the file to ask all of them again\n");
    for name in off {
        text.push_str(name);
        text.push('\n');
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path).inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

fn version(path: &Path) -> io::Result<Option<(SystemTime, u64)>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.modified()?, metadata.len()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_file_takes_effect_while_the_program_runs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/off");
        let switch = Switch::new(set(&["gemini"]), Some(path.clone()));
        assert!(switch.is_off("gemini") && !switch.is_off("openai"));
        switch.set(&set(&["openai"])).unwrap();
        assert!(switch.is_off("openai") && !switch.is_off("ollama"));
        assert_eq!(switch.off(), set(&["gemini", "openai"]));
        // By hand, from another process.
        std::fs::write(&path, "").unwrap();
        std::thread::sleep(LOOK + Duration::from_millis(20));
        assert!(switch.is_off("ollama"), "an empty file is for all");
        switch.set(&BTreeSet::new()).unwrap();
        assert!(!path.exists() && !switch.is_off("openai") && switch.is_off("gemini"));
    }

    #[test]
    fn a_replica_is_off_by_its_own_word_or_by_that_of_all() {
        let switch = Switch::new(set(&["gemini"]), None);
        switch.share(set(&["openai"]));
        assert!(switch.is_off("openai") && switch.is_off("gemini") && !switch.is_off("ollama"));
        assert_eq!((switch.off(), switch.here()), (set(&["gemini", "openai"]), set(&["gemini"])));
        switch.share(BTreeSet::new());
        assert!(!switch.is_off("openai") && switch.is_off("gemini"));
    }

    #[test]
    fn turns_add_up() {
        let known = || set(&["a", "b", "c"]);
        let on = |names: &[&str]| Turn::On { names: set(names), known: known() };
        let off = Turn::Off(set(&["a"])).of(BTreeSet::new());
        let off = Turn::Off(set(&["b"])).of(off);
        assert_eq!(off, set(&["a", "b"]));
        assert_eq!(on(&["a"]).of(off.clone()), set(&["b"]));
        assert_eq!(on(&[]).of(off.clone()), BTreeSet::new());
        let all = Turn::Off(BTreeSet::new()).of(off);
        assert_eq!(all, set(&[ALL]));
        assert_eq!(on(&["b"]).of(all), set(&["a", "c"]), "what was not named stays off");
    }

    #[test]
    fn a_switch_that_cannot_be_read_is_off() {
        let directory = tempfile::tempdir().unwrap();
        let switch = Switch::new(BTreeSet::new(), Some(directory.path().to_owned()));
        assert!(switch.is_off("openai"), "a directory is no switch");
        assert!(Switch::new(BTreeSet::new(), None).set(&set(&["all"])).is_err());
    }
}
