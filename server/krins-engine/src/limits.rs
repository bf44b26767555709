//! What the control group of this process allows: processors and memory. A container has less of both than its machine,
//! and a sidecar that takes more is slowed down or killed, and the person's own tools with it.
//!
//! Both versions of control groups are read, each group above the process' own as well. Whatever cannot be read is no
//! limit. It must not know what the limits are for.

use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

/// More threads would only wait for the disk and for memory.
const MOST_WORKERS: usize = 8;
/// Bytes that the graph of a repository of about 7,000 files, the store and the rest of the sidecar hold.
const BASE: u64 = 192 << 20;
/// Bytes that a thread may need at once: the largest text that is read, its tree and its facts.
const WORKER: u64 = 64 << 20;
/// The share of all memory that one cache may have.
const CACHE_SHARE: u64 = 32;
/// A cache of fewer bytes than this is none.
const LEAST_CACHE: usize = 1 << 20;

/// What a process may use. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Processors, in thousandths.
    processors: Option<u64>,
    /// Bytes.
    memory: Option<u64>,
}

impl Limits {
    /// Those of this process, as they were when somebody first asked.
    pub fn current() -> &'static Self {
        static CURRENT: OnceLock<Limits> = OnceLock::new();
        CURRENT.get_or_init(|| Self::read(Path::new("/")))
    }

    /// How many threads may work on files at once.
    pub fn workers(&self) -> usize {
        // The machine, the affinity mask, and a quota where the standard library knows of it.
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.workers_of(threads)
    }

    fn workers_of(&self, threads: usize) -> usize {
        let whole = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        // A thread beyond the quota would have all of them stopped for the rest of the period.
        let by_quota = self.processors.map_or(usize::MAX, |thousandths| whole(thousandths / 1000));
        let by_memory = self.memory.map_or(usize::MAX, |bytes| whole(bytes.saturating_sub(BASE) / WORKER));
        threads.min(MOST_WORKERS).min(by_quota).min(by_memory).max(1)
    }

    /// Bytes that a cache may have which wants `wanted`.
    pub fn cache(&self, wanted: usize) -> usize {
        let share = self.memory.map_or(usize::MAX, |bytes| usize::try_from(bytes / CACHE_SHARE).unwrap_or(usize::MAX));
        wanted.min(share.max(LEAST_CACHE))
    }

    /// Reads what a machine says whose files are below `root`.
    fn read(root: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let (groups, mounts) = (text("proc/self/cgroup"), text("proc/self/mountinfo"));
        let mut limits = Self::default();
        for line in groups.lines() {
            // `0::/group` of version 2, `4:cpu,cpuacct:/group` of version 1: cgroups(7).
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
            let controllers: Vec<&str> = controllers.split(',').collect();
            for mount in mounts.lines().filter_map(Mount::read).filter(|mount| mount.has(&controllers)) {
                for dir in mount.dirs(group) {
                    limits = limits.and(limits_in(&root.join(dir.strip_prefix("/").unwrap_or(&dir)), &controllers));
                }
            }
        }
        limits
    }

    /// Both hold.
    fn and(self, other: Self) -> Self {
        let less = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self { processors: less(self.processors, other.processors), memory: less(self.memory, other.memory) }
    }
}

/// A mounted hierarchy of groups.
struct Mount<'a> {
    /// The group that is mounted.
    root: &'a str,
    at: &'a str,
    /// `cgroup` or `cgroup2`.
    version: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// A line of proc_pid_mountinfo(5): `31 23 0:28 ROOT AT options [fields] - KIND source OPTIONS`.
    fn read(line: &'a str) -> Option<Self> {
        let (mount, kind) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let mut kind = kind.split(' ');
        let version = kind.next().filter(|kind| kind.starts_with("cgroup"))?;
        Some(Self { root: mount.next()?, at: mount.next()?, version, options: kind.nth(1)? })
    }

    fn has(&self, controllers: &[&str]) -> bool {
        match controllers {
            [""] => self.version == "cgroup2",
            _ => self.version == "cgroup" && self.options.split(',').any(|option| controllers.contains(&option)),
        }
    }

    /// Where the group and those above it are, as far as they are mounted.
    fn dirs(&self, group: &str) -> Vec<PathBuf> {
        let group = Path::new(group);
        // In a container the group is often told as the machine calls it, and only its own part is mounted.
        let inner = group.strip_prefix(self.root).unwrap_or(Path::new(""));
        let plain = inner.components().all(|part| matches!(part, Component::Normal(_)));
        let inner = if plain { inner } else { Path::new("") };
        inner.ancestors().map(|dir| Path::new(self.at).join(dir)).collect()
    }
}

fn limits_in(dir: &Path, controllers: &[&str]) -> Limits {
    let text = |name: &str| std::fs::read_to_string(dir.join(name)).ok();
    let number = |name: &str| text(name)?.trim().parse::<u64>().ok();
    if controllers == [""] {
        let quota = text("cpu.max").and_then(|text| {
            let (quota, period) = text.trim().split_once(' ')?;
            thousandths(quota.parse().ok()?, period.parse().ok()?)
        });
        // Above `memory.high` a group is slowed down, at `memory.max` it is killed.
        let memory = ["memory.max", "memory.high"].into_iter().filter_map(number).min();
        return Limits { processors: quota, memory };
    }
    let of = |name: &str| controllers.contains(&name);
    let quota = of("cpu").then(|| thousandths(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)).flatten();
    // Without a limit it is the largest number of pages that the kernel can count.
    let memory = of("memory").then(|| number("memory.limit_in_bytes")).flatten();
    Limits { processors: quota, memory: memory.filter(|bytes| *bytes < 1 << 60) }
}

fn thousandths(quota: u64, period: u64) -> Option<u64> {
    quota.saturating_mul(1000).checked_div(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    /// A machine with these files.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Limits) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let limits = Limits::read(dir.path());
        (dir, limits)
    }

    fn limits(files: &[(&str, &str)]) -> (Option<u64>, Option<u64>) {
        let (_dir, limits) = machine(files);
        (limits.processors, limits.memory)
    }

    #[test]
    fn every_group_above_the_own_one_counts() {
        let group = [("proc/self/cgroup", "0::/user/session/editor\n"), ("proc/self/mountinfo", V2)];
        let with = |files: &[(&'static str, &'static str)]| limits(&[&group, files].concat());
        assert_eq!(with(&[]), (None, None));
        assert_eq!(with(&[("sys/fs/cgroup/user/cpu.max", "max 100000\n")]), (None, None));
        let own = ("sys/fs/cgroup/user/session/editor/memory.max", "1073741824\n");
        assert_eq!(with(&[own, ("sys/fs/cgroup/user/memory.max", "max\n")]), (None, Some(1 << 30)));
        assert_eq!(with(&[own, ("sys/fs/cgroup/user/memory.high", "536870912\n")]), (None, Some(512 << 20)));
        assert_eq!(
            with(&[
                ("sys/fs/cgroup/user/cpu.max", "400000 100000\n"),
                ("sys/fs/cgroup/user/session/cpu.max", "150000 100000\n"),
                ("sys/fs/cgroup/other/cpu.max", "1000 100000\n"),
            ]),
            (Some(1500), None)
        );
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        for (root, group) in [("/docker/1234", "/docker/1234"), ("/", "/"), ("/", "/../../elsewhere")] {
            let mounts = V2.replace("0:26 /", &format!("0:26 {root}"));
            let group = format!("0::{group}\n");
            let files = [
                ("proc/self/cgroup", group.as_str()),
                ("proc/self/mountinfo", mounts.as_str()),
                ("sys/fs/cgroup/cpu.max", "200000 100000\n"),
                ("sys/fs/cgroup/memory.max", "268435456\n"),
            ];
            assert_eq!(limits(&files), (Some(2000), Some(256 << 20)), "{root}");
        }
    }

    #[test]
    fn version_1_has_a_hierarchy_for_each_controller() {
        let mounts = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
        let mut files = vec![
            ("proc/self/cgroup", "4:memory:/a\n2:cpu,cpuacct:/b\n0::/\n"),
            ("proc/self/mountinfo", mounts),
            ("sys/fs/cgroup/cpu,cpuacct/b/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu,cpuacct/b/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(limits(&files), (None, None), "nothing is limited");
        files[2].1 = "50000\n";
        files[4].1 = "134217728\n";
        assert_eq!(limits(&files), (Some(500), Some(128 << 20)));
    }

    #[test]
    fn limits_make_workers_and_caches_smaller_and_leave_one() {
        let all = |processors, memory| Limits { processors, memory };
        let workers = |processors, memory| all(processors, memory).workers_of(16);
        assert_eq!(workers(None, None), MOST_WORKERS);
        assert_eq!([workers(Some(3500), None), workers(Some(500), None), workers(Some(0), None)], [3, 1, 1]);
        assert_eq!([workers(None, Some(4 << 30)), workers(None, Some(512 << 20))], [8, 5]);
        assert_eq!([workers(None, Some(256 << 20)), workers(None, Some(1 << 20))], [1, 1]);
        assert_eq!(all(None, None).workers_of(1), 1);
        let cache = |memory| all(None, memory).cache(16 << 20);
        assert_eq!([cache(None), cache(Some(8 << 30)), cache(Some(128 << 20))], [16 << 20, 16 << 20, 4 << 20]);
        assert_eq!(cache(Some(0)), LEAST_CACHE);
    }

    #[test]
    fn nonsense_is_no_limit() {
        for (group, mount, quota) in
            [("", "", ""), ("0::", "a - cgroup2", "x y"), ("nonsense", V2, "1"), ("0::/", V2, "100 0")]
        {
            let files = [
                ("proc/self/cgroup", group),
                ("proc/self/mountinfo", mount),
                ("sys/fs/cgroup/cpu.max", quota),
                ("sys/fs/cgroup/memory.max", "-5"),
            ];
            assert_eq!(limits(&files), (None, None), "{group:?} {quota:?}");
        }
    }
}
