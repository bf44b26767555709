//! The log under changes, kills, several writers, erasure and changes of keys.

use super::*;
use crate::workspace::Root;
use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

struct Scene {
    dir: tempfile::TempDir,
    state: StateDir,
}

fn state_in(dir: &Path) -> StateDir {
    fs::create_dir_all(dir.join("root")).unwrap();
    StateDir::open_at(&dir.join("state"), &Root::open(&dir.join("root")).unwrap()).unwrap()
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = state_in(dir.path());
        Self { dir, state }
    }

    fn audit(&self) -> Audit {
        Audit::open(&self.state, 90).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.state.path().join("audit").join(name)
    }

    fn verified(&self) -> Verification {
        self.audit().verify(&Trusted::default()).unwrap()
    }

    fn payloads(&self) -> PathBuf {
        self.file(&format!("payloads/{}.jsonl", day(now())))
    }
}

fn event(number: usize) -> Event {
    Event::of("task.gated", json!({"task": format!("t-{number}"), "verdict": "pass"})).by(Some("@ann"))
}

#[test]
fn what_is_recorded_is_there_and_verifies() {
    let scene = Scene::new();
    let audit = scene.audit();
    audit.record(event(1)).unwrap();
    assert_eq!(audit.record_all((2..=1500).map(event).collect()).unwrap(), 1500);
    let found = scene.verified();
    assert_eq!((found.sound, found.records, found.kept, found.erased, found.epochs), (true, 1500, 1500, 0, 1));
    assert_eq!((found.checkpoints, found.covered), (2, 1500), "{found:?}");
    let tail = audit.tail(2).unwrap();
    assert_eq!(tail[1].1.as_ref().unwrap()["task"], "t-1500");
    assert_eq!(audit.report().unwrap().kinds["task.gated"], 1500);
    assert!(audit.record(Event::of("unheard.of", json!({}))).is_err());
    assert_eq!(fs::metadata(scene.file("key")).unwrap().mode() & 0o777, 0o600);
}

/// The log ends at every byte that a kill can leave it at; the next record goes on, and says so.
#[test]
fn a_torn_record_is_cut_off_and_said() {
    let scene = Scene::new();
    scene.audit().record_all(vec![event(1), event(2)]).unwrap();
    let whole = fs::read(scene.file("log")).unwrap();
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    fs::remove_file(scene.file("checkpoints")).unwrap();
    for end in first + 1..whole.len() {
        fs::write(scene.file("log"), &whole[..end]).unwrap();
        let found = scene.verified();
        assert_eq!((found.sound, found.records, found.torn as usize), (true, 1, end - first), "{found:?}");
        let audit = scene.audit();
        audit.record(event(3)).unwrap();
        let kinds: Vec<String> = audit.tail(9).unwrap().into_iter().map(|(record, _)| record.kind).collect();
        assert_eq!(kinds, ["task.gated", "audit.repaired", "task.gated"], "{end}");
        assert!(scene.verified().sound);
    }
    fs::write(scene.file("log"), &whole[..5]).unwrap();
    scene.audit().record(event(3)).unwrap();
    assert_eq!(scene.verified().records, 2);
}

#[test]
fn a_damaged_end_is_set_aside_and_never_forgotten() {
    let scene = Scene::new();
    scene.audit().record_all((0..5).map(event).collect()).unwrap();
    let mut log = fs::read(scene.file("log")).unwrap();
    let at = log.len() - 10;
    log[at] = b'!';
    fs::write(scene.file("log"), &log).unwrap();
    assert!(!scene.verified().sound);
    scene.audit().record(event(9)).unwrap();
    let found = scene.verified();
    assert_eq!((found.sound, found.records), (false, 2));
    assert!(found.findings[0].file.starts_with("damaged-"), "{found:?}");
}

/// A sample of what the example `audit_exhaustive` of krins-core does for every byte of 10,000 records.
#[test]
fn every_change_deletion_reorder_and_truncation_is_found() {
    let scene = Scene::new();
    let audit = scene.audit();
    audit.record_all((0..40).map(event).collect()).unwrap();
    let kept = audit.checkpoint().unwrap();
    let (log, notes) = (fs::read(scene.file("log")).unwrap(), fs::read(scene.file("checkpoints")).unwrap());
    let keys = fs::read(scene.file("keys")).unwrap();
    let mut sound = Vec::new();
    let mut try_with = |file: &str, content: &[u8], whole: &[u8], what: String| {
        fs::write(scene.file(file), content).unwrap();
        if scene.verified().sound {
            sound.push(what);
        }
        fs::write(scene.file(file), whole).unwrap();
    };
    for (file, whole) in [("log", &log), ("checkpoints", &notes), ("keys", &keys)] {
        for at in (0..whole.len()).step_by(if file == "log" { 37 } else { 5 }) {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 7);
            try_with(file, &changed, whole, format!("{file}: changed at {at}"));
        }
    }
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 0..lines.len() {
        let without = [&lines[..at], &lines[at + 1..]].concat().concat();
        try_with("log", &without, &log, format!("line {at} removed"));
        try_with("log", &lines[..at].concat(), &log, format!("cut before {at}"));
        let mut swapped = lines.clone();
        swapped.swap(at, (at + 1) % lines.len());
        try_with("log", &swapped.concat(), &log, format!("line {at} swapped"));
    }
    assert_eq!(sound, Vec::<String>::new());
    // Whoever removes the checkpoints too is found out by one that was kept elsewhere.
    fs::write(scene.file("log"), lines[..20].concat()).unwrap();
    fs::remove_file(scene.file("checkpoints")).unwrap();
    assert!(scene.verified().sound);
    let trusted = Trusted { note: Some(kept), key: None };
    assert!(!scene.audit().verify(&trusted).unwrap().sound);
}

#[test]
fn what_is_forgotten_is_gone_from_the_disk_and_the_chain_stays() {
    let scene = Scene::new();
    let audit = scene.audit();
    audit.record_all((0..20).map(event).collect()).unwrap();
    audit.record(Event::of("approved", json!({"owner": "@bob", "patch": "p"})).by(Some("@bob"))).unwrap();
    assert_eq!(audit.export(Some("@bob")).unwrap().len(), 1);
    assert_eq!(audit.forget("@bob").unwrap(), 1);
    let grep = |dir: &Path| {
        let mut dirs = vec![dir.to_owned()];
        let mut hits = 0;
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    hits += usize::from(String::from_utf8_lossy(&fs::read(path).unwrap()).contains("@bob"));
                }
            }
        }
        hits
    };
    assert_eq!(grep(scene.state.path()), 0);
    let found = scene.verified();
    assert_eq!((found.sound, found.records, found.erased), (true, 22, 1), "{found:?}");
    // Days that are past the retention go as a whole; the day before stays.
    let (old, edge) = (now() / 1000 - 91 * 86_400, now() / 1000 - 90 * 86_400);
    for seconds in [old, edge] {
        fs::copy(scene.payloads(), scene.file(&format!("payloads/{}.jsonl", Day::of_unix(seconds)))).unwrap();
    }
    scene.audit().record(event(99)).unwrap();
    assert!(!scene.file(&format!("payloads/{}.jsonl", Day::of_unix(old))).exists());
    assert!(scene.file(&format!("payloads/{}.jsonl", Day::of_unix(edge))).exists());
}

#[test]
fn a_payload_that_was_changed_is_found() {
    let scene = Scene::new();
    scene.audit().record_all((0..3).map(event).collect()).unwrap();
    let text = fs::read_to_string(scene.payloads()).unwrap();
    fs::write(scene.payloads(), text.replacen("pass", "warn", 1)).unwrap();
    let found = scene.verified();
    assert_eq!((found.sound, found.erased), (false, 1));
}

#[test]
fn keys_go_over_signed_by_both_and_a_lost_one_shows() {
    let scene = Scene::new();
    let audit = scene.audit();
    audit.record(event(1)).unwrap();
    let first: PublicKey = scene.verified().key.unwrap().parse().unwrap();
    let second = audit.rotate().unwrap();
    audit.checkpoint().unwrap();
    let found = scene.verified();
    assert_eq!((found.sound, found.epochs, found.key), (true, 1, Some(second.to_string())), "{:?}", found.findings);
    assert!(audit.verify(&Trusted { key: Some(first.clone()), note: None }).unwrap().sound);
    assert!(!audit.verify(&Trusted { key: Some(second), note: None }).unwrap().sound);
    fs::remove_file(scene.file("key")).unwrap();
    audit.checkpoint().unwrap();
    let found = scene.verified();
    assert_eq!((found.sound, found.epochs), (true, 2), "{:?}", found.findings);
    // A key that was prepared and never signed for does not count.
    let key = fs::read(scene.file("key")).unwrap();
    keys::prepare(&scene.file(""), &keys::make("krins.local/audit/x").unwrap()).unwrap();
    audit.checkpoint().unwrap();
    assert_eq!(fs::read(scene.file("key")).unwrap(), key);
    assert!(scene.verified().sound && !scene.file("key.next").exists());
}

/// What the next two tests start: this test program again, which writes until it is stopped.
#[test]
fn child() {
    let Some(dir) = std::env::var_os("KRINS_AUDIT_CHILD").map(PathBuf::from) else { return };
    let count: usize = std::env::var("KRINS_AUDIT_COUNT").unwrap().parse().unwrap();
    let audit = Audit::open(&state_in(&dir), 90).unwrap();
    let acknowledged = dir.join(format!("acknowledged-{}", std::process::id()));
    let mut acknowledged = File::options().create(true).append(true).open(acknowledged).unwrap();
    for number in 0..count {
        let seq = audit.record_all(vec![event(number), event(number)]).unwrap();
        writeln!(acknowledged, "{seq}").unwrap();
    }
}

fn start(dir: &Path, count: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "audit::tests::child", "--quiet"])
        .env("KRINS_AUDIT_CHILD", dir)
        .env("KRINS_AUDIT_COUNT", count.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn acknowledged(dir: &Path) -> Vec<u64> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("acknowledged-"));
    // A kill may leave half a number at the end of a file; what has no line end was not acknowledged.
    let whole = |text: String| text.rsplit_once('\n').map_or(String::new(), |(lines, _)| lines.to_owned());
    let lines = files.flat_map(|path| {
        let text = whole(fs::read_to_string(path).unwrap());
        text.lines().map(|line| line.parse().unwrap()).collect::<Vec<u64>>()
    });
    lines.collect()
}

#[test]
fn eight_processes_write_one_chain() {
    let scene = Scene::new();
    let mut children: Vec<Child> = (0..8).map(|_| start(scene.dir.path(), 40)).collect();
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let found = scene.verified();
    assert_eq!((found.sound, found.records, found.kept), (true, 640, 640), "{:?}", found.findings);
    let acknowledged = acknowledged(scene.dir.path());
    assert_eq!(acknowledged.iter().collect::<BTreeSet<_>>().len(), 320, "no number was given twice");
    let writers: BTreeSet<String> = scene.audit().tail(640).unwrap().into_iter().map(|(record, _)| record.by).collect();
    assert_eq!(writers.len(), 8);
}

/// `kill -9` at random points, 120 times, or `KRINS_AUDIT_KILLS` times: the chain is whole, and nothing acknowledged is lost.
#[test]
fn kills_leave_the_chain_whole() {
    let kills: usize = std::env::var("KRINS_AUDIT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(120);
    let scene = Scene::new();
    let mut seed = u64::from(std::process::id()) | 1;
    for kill in 0..kills {
        let mut child = start(scene.dir.path(), usize::MAX);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros(3_000 + (seed >> 33) % 25_000));
        child.kill().unwrap();
        child.wait().unwrap();
        if kill % 10 == 9 || kill + 1 == kills {
            let found = scene.verified();
            assert!(found.sound && found.erased == 0, "after {kill}: {:?}", found.findings);
            let last = acknowledged(scene.dir.path()).into_iter().max().unwrap_or(0);
            assert!(last <= found.records, "{last} was acknowledged, {} are there", found.records);
        }
    }
    let repaired = scene.audit().report().unwrap().kinds.get("audit.repaired").copied().unwrap_or(0);
    let records = scene.verified().records;
    std::io::stderr().write_all(format!("{kills} kills, {records} records, {repaired} repairs\n").as_bytes()).unwrap();
}
