//! Takes rights away from the calling thread, for good: Landlock for files and signals, seccomp for system calls, limits.
//! Whatever it starts afterwards inherits that.

use super::{Enforced, Guard, Spec};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a command may have at once, and the largest file it may write.
const PROCESSES: u64 = 4096;
const OPEN_FILES: u64 = 16_384;
const LARGEST_FILE: u64 = 2 << 30;
/// Seconds of processor time beyond the time-out: several threads may use it up together.
const CORES: u64 = 64;
/// The x32 calls of x86-64 are the same calls under other numbers.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;
/// Devices that programs need. Nothing else below `/dev` is opened.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// How the command is kept from the network and from other programs' sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Around {
    /// Nothing but us: sockets are refused.
    Nothing,
    /// Namespaces hold network and sockets, so that a server of a test can be reached by that test.
    Namespaces,
}

/// Confines the thread, and says what holds. What a kernel does not know is missing in the answer, not an error.
pub(super) fn confine(spec: &Spec, around: Around) -> Enforced {
    let mut held = Vec::new();
    let mut by = Vec::new();
    if limit(spec) {
        held.push(Guard::Limits);
    }
    if around == Around::Namespaces {
        // What is not bound is not there; processes outside cannot be named.
        held.extend([Guard::Writes, Guard::Reads, Guard::Processes]);
        if !spec.network {
            held.push(Guard::Network);
        }
        by.push("bwrap".to_owned());
    }
    if let Some(abi) = landlock(spec, around) {
        by.push(format!("landlock {abi}"));
        // ABI 3 holds truncation, too; 6 signals and abstract sockets.
        if abi >= 3 {
            held.extend([Guard::Writes, Guard::Reads]);
        }
        if abi >= 6 {
            held.push(Guard::Processes);
        }
    }
    match seccomp(spec, around) {
        Ok(()) => {
            by.push("seccomp".to_owned());
            held.push(Guard::Syscalls);
            if !spec.network {
                held.push(Guard::Network);
            }
        }
        Err(why) => tracing::debug!(why, "no seccomp"),
    }
    Enforced::of(held, by, spec.network)
}

/// Root is nobody special in here: with its capabilities it could look past Landlock into other processes.
fn powerless() -> bool {
    use rustix::thread::{CapabilitySet, CapabilitySets};
    let dropped = CapabilitySet::all().iter().all(|capability| {
        match rustix::thread::capability_is_in_bounding_set(capability) {
            Ok(true) => rustix::thread::remove_capability_from_bounding_set(capability).is_ok(),
            // Not known to this kernel.
            Ok(false) | Err(_) => true,
        }
    });
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    let cleared = rustix::thread::clear_ambient_capability_set().is_ok();
    // Who is not root has none to begin with, and may not touch the bounding set.
    let nothing = || rustix::thread::capabilities(None).is_ok_and(|now| now.permitted.is_empty());
    cleared && (dropped || nothing()) && rustix::thread::set_capabilities(None, sets).is_ok()
}

fn limit(spec: &Spec) -> bool {
    let set = |resource, most: u64| {
        let now = rustix::process::getrlimit(resource);
        let most = now.maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).is_ok()
    };
    let seconds = spec.timeout.as_secs().saturating_add(1).saturating_mul(CORES);
    let held = [
        set(Resource::Core, 0),
        set(Resource::Nproc, PROCESSES),
        set(Resource::Nofile, OPEN_FILES),
        set(Resource::Fsize, LARGEST_FILE),
        set(Resource::Cpu, seconds),
        rustix::thread::set_no_new_privs(true).is_ok(),
        powerless(),
    ];
    held.into_iter().all(|held| held)
}

/// The ABI that is enforced; `None` without Landlock.
fn landlock(spec: &Spec, around: Around) -> Option<i32> {
    let abi = ABI::V6;
    let all = AccessFs::from_all(abi);
    let devices = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    let write: BitFlags<AccessFs> = all & !devices;
    let read = AccessFs::from_read(abi);
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    let shut = !spec.network && around == Around::Nothing;
    let restrict = || {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .scope(Scope::from_all(abi))?;
        if shut {
            ruleset = ruleset.handle_access(AccessNet::from_all(abi))?;
        }
        ruleset
            .create()?
            .add_rules(path_beneath_rules(&spec.reads, read))?
            .add_rules(path_beneath_rules(&spec.writes, write))?
            .add_rules(path_beneath_rules(own_tmp(spec, around), write))?
            .add_rules(path_beneath_rules(DEVICES, device))?
            .restrict_self()
    };
    let status = restrict().ok()?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => None,
        (_, LandlockStatus::Available { effective_abi, .. }) => Some(effective_abi as i32),
        _ => None,
    }
}

/// In a mount namespace `/tmp` is the command's own.
fn own_tmp(spec: &Spec, around: Around) -> Vec<PathBuf> {
    match around {
        Around::Nothing => vec![spec.tmp.clone()],
        Around::Namespaces => vec![spec.tmp.clone(), Path::new("/tmp").to_owned()],
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn seccomp(spec: &Spec, around: Around) -> Result<(), String> {
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(|_| "this processor is not known".to_owned())?;
    let mut refused = Rules::new();
    for call in REFUSED {
        insert(&mut refused, *call, Vec::new());
    }
    // A user namespace would give capabilities back.
    let namespaces = NAMESPACES.iter().map(|flag| (0, SeccompCmpOp::MaskedEq(*flag), *flag));
    insert(&mut refused, libc::SYS_clone, any(namespaces)?);
    // Nobody types into the person's terminal: TIOCSTI, TIOCLINUX.
    insert(&mut refused, libc::SYS_ioctl, any([0x5412, 0x541c].map(|request| (1, SeccompCmpOp::Eq, request)))?);
    // Limits and places of other processes; 0 is oneself.
    for call in
        [libc::SYS_prlimit64, libc::SYS_sched_setaffinity, libc::SYS_sched_setscheduler, libc::SYS_sched_setattr]
    {
        insert(&mut refused, call, any([(0, SeccompCmpOp::Ne, 0)])?);
    }
    if around == Around::Nothing {
        for call in BY_PATH {
            insert(&mut refused, *call, Vec::new());
        }
        // Sockets in the file system belong to other programs. A pair of sockets has no name, so it may be.
        let odd = ODD_FAMILIES.iter().map(|family| (0, SeccompCmpOp::Eq, *family as u64));
        let sockets = if spec.network { any(odd)? } else { Vec::new() };
        insert(&mut refused, libc::SYS_socket, sockets);
        let mut passing = Rules::new();
        for call in IN_PASSING {
            insert(&mut passing, *call, Vec::new());
        }
        apply(passing, 0, arch)?;
    }
    apply(refused, libc::EPERM as u32, arch)?;
    // The flags of clone3 are behind a pointer: a C library falls back to clone when it is not there.
    let mut unknown = Rules::new();
    insert(&mut unknown, libc::SYS_clone3, Vec::new());
    apply(unknown, libc::ENOSYS as u32, arch)
}

/// A rule for each condition: one that holds is enough.
fn any(conditions: impl IntoIterator<Item = (u8, SeccompCmpOp, u64)>) -> Result<Vec<SeccompRule>, String> {
    let rule = |(argument, operator, value)| {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
        SeccompRule::new(vec![condition])
    };
    conditions
        .into_iter()
        .map(rule)
        .collect::<Result<_, _>>()
        .map_err(|error: seccompiler::BackendError| error.to_string())
}

fn insert(rules: &mut Rules, call: i64, when: Vec<SeccompRule>) {
    #[cfg(target_arch = "x86_64")]
    rules.insert(call | X32, when.clone());
    rules.insert(call, when);
}

fn apply(rules: Rules, errno: u32, arch: TargetArch) -> Result<(), String> {
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), arch);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

const NAMESPACES: &[u64] = &[
    libc::CLONE_NEWUSER as u64,
    libc::CLONE_NEWNS as u64,
    libc::CLONE_NEWNET as u64,
    libc::CLONE_NEWPID as u64,
    libc::CLONE_NEWIPC as u64,
    libc::CLONE_NEWUTS as u64,
    libc::CLONE_NEWCGROUP as u64,
];

/// Families that no test speaks and that reach past the network's own rules; sockets of other programs.
const ODD_FAMILIES: &[i32] =
    &[libc::AF_UNIX, libc::AF_NETLINK, libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG, libc::AF_XDP, libc::AF_BLUETOOTH];

/// What no build and no test needs, and what reaches into other processes, the kernel or the machine.
const REFUSED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_personality,
    libc::SYS_kexec_file_load,
];

/// Modes, owners, times and attributes of files: Landlock does not guard them, a mount that cannot be written does.
const BY_PATH: &[i64] = &[
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
];

/// The same that every copy of a file ends with: done for nothing, so that copying works.
const IN_PASSING: &[i64] = &[
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_utimensat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
];
