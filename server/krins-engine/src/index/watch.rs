//! What changed on disk since somebody looked, from the kernel: exact at the moment of the question, and at no cost
//! while nothing happens.
//!
//! The kernel queues an event before the call that caused it returns, so reading the queue until it is empty is to know
//! everything that happened so far. Only directories are watched, and only those that the index is about. When events
//! were lost, or the watches run out, or the file system is one that others write to (a network's), the answer is that
//! nothing is known, and whoever asks compares stamps.

use super::survey::{Touched, is_rules, is_wanted};
use crate::workspace::is_never;
use krins_core::RelPath;
use std::path::Path;
use std::sync::Arc;

/// What the events since the last question say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    Touched(Touched),
    /// Everything may have changed.
    Lost,
}

#[cfg(target_os = "linux")]
pub(super) use inotify::Watch;
#[cfg(not(target_os = "linux"))]
pub(super) use nothing::Watch;

#[cfg(target_os = "linux")]
mod inotify {
    use super::*;
    use crate::index::survey::Dir;
    use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
    use rustix::io::Errno;
    use std::collections::BTreeMap;
    use std::mem::MaybeUninit;
    use std::ops::Bound;
    use std::os::fd::OwnedFd;
    use std::path::PathBuf;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// Each costs the kernel about a kilobyte, and a user has a limited number for all programs.
    const MOST: usize = 50_000;
    const BUFFER: usize = 64 << 10;
    /// File systems that change without this kernel's doing, by their magic numbers (statfs(2)): 9P, AFS, CIFS, FUSE,
    /// NFS, SMB, SMB2.
    const FOREIGN: [u32; 7] = [0x0102_1997, 0x5346_414f, 0xff53_4d42, 0x6573_5546, 0x6969, 0x517b, 0xfe53_4d42];

    /// The watch of one root. Clones share it.
    #[derive(Clone)]
    pub struct Watch {
        shared: Arc<Shared>,
    }

    struct Shared {
        root: PathBuf,
        events: OwnedFd,
        /// Written to when the one who waits shall look up.
        awake: OwnedFd,
        watched: Mutex<Watched>,
    }

    #[derive(Default)]
    struct Watched {
        /// Where the directory is that a watch is on.
        places: BTreeMap<i32, Dir>,
        by_place: BTreeMap<Dir, i32>,
        /// Not everything is watched.
        incomplete: bool,
    }

    impl Watch {
        /// `None` when the kernel gives none, or the root's file system is a foreign one.
        pub fn new(root: &Path) -> Option<Self> {
            let kind = rustix::fs::statfs(root).ok()?.f_type;
            if FOREIGN.contains(&(kind as u32)) {
                tracing::info!("the workspace is on a network file system: files are compared when they are needed");
                return None;
            }
            let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
            let awake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
            let watched = Mutex::default();
            Some(Self { shared: Arc::new(Shared { root: root.to_owned(), events, awake, watched }) })
        }

        fn lock(&self) -> MutexGuard<'_, Watched> {
            self.shared.watched.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Watches a directory, before it is listed.
        pub fn add(&self, dir: &str) {
            let mut watched = self.lock();
            if watched.by_place.contains_key(dir) || watched.incomplete {
                return;
            }
            let flags = WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::MODIFY
                | WatchFlags::CLOSE_WRITE
                | WatchFlags::ATTRIB
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR
                | WatchFlags::DONT_FOLLOW
                | WatchFlags::EXCL_UNLINK;
            if watched.places.len() >= MOST {
                watched.incomplete = true;
                return;
            }
            match add_watch(&self.shared.events, self.shared.root.join(dir), flags) {
                Ok(number) => {
                    if let Some(before) = watched.places.insert(number, dir.into()) {
                        watched.by_place.remove(&before);
                    }
                    watched.by_place.insert(dir.into(), number);
                }
                // Gone again: its parent's event tells. Unreadable ones hold nothing that the index could know.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => {}
                Err(error) => {
                    tracing::info!(%error, "no more watches: files are compared when they are needed");
                    watched.incomplete = true;
                }
            }
        }

        /// Whether every directory that was added is watched.
        pub fn is_complete(&self) -> bool {
            !self.lock().incomplete
        }

        /// Everything that happened since the last call.
        pub fn drain(&self) -> News {
            let mut watched = self.lock();
            let mut touched = Touched::default();
            let mut lost = false;
            let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
            let mut reader = Reader::new(&self.shared.events, &mut buffer);
            loop {
                match reader.next() {
                    Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => lost = true,
                    Ok(event) => {
                        let name = event.file_name().map(std::ffi::CStr::to_bytes);
                        lost |= watched.take(event.wd(), event.events(), name, &mut touched);
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => break,
                    Err(_) => {
                        lost = true;
                        break;
                    }
                }
            }
            if lost || watched.incomplete { News::Lost } else { News::Touched(touched) }
        }

        /// Waits, without waking up meanwhile, until something happened or [`Watch::wake`] is called.
        pub fn wait(&self) {
            let shared = &self.shared;
            let mut fds = [PollFd::new(&shared.events, PollFlags::IN), PollFd::new(&shared.awake, PollFlags::IN)];
            while matches!(poll(&mut fds, None), Err(Errno::INTR)) {}
            // Empty when it was the disk.
            let _ = rustix::io::read(&shared.awake, &mut [0_u8; 8]);
        }

        /// Ends one [`Watch::wait`].
        pub fn wake(&self) {
            // It can only fail by being full, and then it is readable.
            let _ = rustix::io::write(&self.shared.awake, &1_u64.to_ne_bytes());
        }

        /// How much is waiting to be drained, in bytes.
        pub fn pending(&self) -> u64 {
            rustix::io::ioctl_fionread(&self.shared.events).unwrap_or(0)
        }
    }

    impl Watched {
        /// Whether the root itself went.
        fn take(&mut self, number: i32, events: ReadFlags, name: Option<&[u8]>, touched: &mut Touched) -> bool {
            let Some(dir) = self.places.get(&number).cloned() else { return false };
            if events.intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT) {
                self.places.remove(&number);
                if self.by_place.get(&dir) == Some(&number) {
                    self.by_place.remove(&dir);
                }
                return dir.is_empty();
            }
            if events.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
                // Also when it was watched anew meanwhile, under the name that this event knows nothing of.
                self.leave(&dir);
                if let Some((above, _)) = dir.rsplit_once('/').or((!dir.is_empty()).then_some(("", ""))) {
                    touched.dirs.insert(above.into());
                    touched.replaced.insert(dir.clone());
                }
                return dir.is_empty();
            }
            let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else {
                return false;
            };
            let path = if dir.is_empty() { RelPath::new(name) } else { RelPath::new(&format!("{dir}/{name}")) };
            let Ok(path) = path else { return false };
            let names = ReadFlags::CREATE | ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO;
            if events.contains(ReadFlags::ISDIR) {
                if events.intersects(names) && !is_never(name.as_ref()) {
                    self.leave(path.as_str());
                    touched.replaced.insert(path.as_str().into());
                    touched.dirs.insert(dir);
                } else if events.contains(ReadFlags::ATTRIB) {
                    touched.dirs.insert(path.as_str().into());
                }
                return false;
            }
            touched.rules |= is_rules(name);
            if is_wanted(&path) {
                touched.files.insert(path);
            }
            false
        }

        /// A directory that moved away keeps its watches under names that no longer lead to it: they are forgotten, and
        /// what is there now is watched anew.
        fn leave(&mut self, dir: &str) {
            let prefix = format!("{dir}/");
            let below = self
                .by_place
                .range::<str, _>((Bound::Included(&*prefix), Bound::Unbounded))
                .map(|(place, _)| place.clone());
            let gone: Vec<Dir> = below.take_while(|place| place.starts_with(&prefix)).chain([dir.into()]).collect();
            for place in gone {
                if let Some(number) = self.by_place.remove(&place) {
                    self.places.remove(&number);
                }
            }
        }
    }
}

#[cfg(any(test, not(target_os = "linux")))]
mod nothing {
    use super::*;

    /// Here nothing is watched: files are compared when they are needed.
    #[derive(Clone)]
    pub struct Watch;

    impl Watch {
        pub fn new(_root: &Path) -> Option<Self> {
            None
        }

        pub fn add(&self, _dir: &str) {}

        pub fn is_complete(&self) -> bool {
            false
        }

        pub fn drain(&self) -> News {
            News::Lost
        }

        pub fn wait(&self) {}

        pub fn wake(&self) {}

        pub fn pending(&self) -> u64 {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiled everywhere, so that it stays right where it is used.
    #[test]
    fn where_nothing_can_be_watched_nothing_is_promised() {
        assert!(nothing::Watch::new(Path::new("/")).is_none());
        let watch = nothing::Watch;
        watch.add("src");
        watch.wake();
        watch.wait();
        assert!(!watch.is_complete() && watch.pending() == 0);
        assert_eq!(watch.clone().drain(), News::Lost);
    }
}
