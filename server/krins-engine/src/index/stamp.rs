//! What tells that a file or a directory is as it was, without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The coarsest times in use: FAT counts in 2 s, and so may a network file system's server.
const GRANULARITY: Duration = if cfg!(test) { Duration::from_millis(30) } else { Duration::from_secs(2) };

/// Size, times and place of a file. The change time catches what keeps size and modification time, and nobody can set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    modified: i64,
    changed: i64,
    inode: u64,
}

/// Bytes of an encoded stamp.
const LENGTH: usize = 32;

impl Stamp {
    /// No file has it: nothing on a disk was last changed when the count began.
    pub const NEVER: Self = Self { size: 0, modified: 0, changed: 0, inode: 0 };

    pub fn of(meta: &Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos);
        Self {
            size: meta.len(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
        }
    }

    /// Whether a write after `now` would show: one within the clock's granularity would not.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let Ok(now) = now.duration_since(UNIX_EPOCH) else { return false };
        let age = |nanos: i64| u64::try_from(nanos).ok().and_then(|at| now.checked_sub(Duration::from_nanos(at)));
        [self.changed, self.modified].into_iter().all(|at| age(at).is_some_and(|age| age > GRANULARITY))
    }

    pub fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let numbers = [self.size.to_le_bytes(), self.modified.to_le_bytes(), self.changed.to_le_bytes()];
        for (into, number) in
            bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers.into_iter().chain([self.inode.to_le_bytes()]))
        {
            *into = number;
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let [size, modified, changed, inode] = numbers else { return None };
        rest.is_empty().then(|| Self {
            size: u64::from_le_bytes(*size),
            modified: i64::from_le_bytes(*modified),
            changed: i64::from_le_bytes(*changed),
            inode: u64::from_le_bytes(*inode),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_settles_when_no_write_can_hide_behind_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stamp = Stamp::of(&file.as_file().metadata().unwrap());
        let now = SystemTime::now();
        assert!(!stamp.is_settled(now));
        assert!(stamp.is_settled(now + GRANULARITY + Duration::from_millis(20)));
        assert!(!stamp.is_settled(now - Duration::from_secs(9)), "a clock that was set back proves nothing");
        assert_eq!(Stamp::from_bytes(&stamp.to_bytes()), Some(stamp));
        assert_eq!(Stamp::from_bytes(&stamp.to_bytes()[1..]), None);
    }

    #[test]
    fn a_write_that_keeps_size_and_modification_time_shows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let before = std::fs::metadata(&path).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&path, "two").unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
        assert_ne!(Stamp::of(&before), Stamp::of(&std::fs::metadata(&path).unwrap()));
    }
}
