//! The record of one apply: the redo log before the commit point is passed, and the undo history afterwards. One file.
//!
//! ```text
//! "krinsap1"  u64 LE: length of the header   header (JSON)   contents, before then after, step by step
//! sha256 of everything so far
//! ```
//!
//! Reading is total: a torn, damaged or foreign file is an error value.

use krins_core::{Digest, RelPath};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"krinsap1";
/// The most bytes of all contents of one apply.
pub(crate) const MAX_BYTES: u64 = 512 << 20;

/// A file as it is before or after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub bytes: Arc<[u8]>,
    pub executable: bool,
}

/// Who carries a step out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// The editor, in an open document.
    Buffer,
    /// The journal, on disk.
    Disk,
}

/// One file's change between exact contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub path: RelPath,
    /// `None`: nothing is there.
    pub before: Option<Image>,
    pub after: Option<Image>,
    pub route: Route,
    /// Carried out only when that other path has its new content: the old name of a renamed file waits for the new one.
    pub waits_for: Option<RelPath>,
}

/// Why the files were changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Apply,
    /// Takes back the apply with that id.
    Undo {
        of: String,
    },
    /// Does it again.
    Redo {
        of: String,
    },
}

/// One apply, undo or redo, with all contents. Only reading a whole, undamaged record or planning makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) task: Option<String>,
    /// The canonical diff that was applied, by its sha256: what was shown and judged.
    pub(crate) patch: Option<Digest>,
    /// It is about some hunks of a task's change, the rest of which stays as it is.
    pub(crate) part: bool,
    /// The hunks of the task's change that it brings into the files, or takes out of them. `None` where there is no task, and in a
    /// record that is older than this.
    pub(crate) hunks: Option<BTreeSet<String>>,
    /// Milliseconds since the Unix epoch.
    pub(crate) time: u64,
    pub(crate) steps: Vec<Step>,
    /// Directories that are made first, outermost first.
    pub(crate) make_dirs: Vec<String>,
    /// Directories that are removed last if they are empty, innermost first.
    pub(crate) remove_dirs: Vec<String>,
}

/// What a record is to its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub task: String,
    /// The record's.
    pub id: String,
    pub kind: Kind,
    /// It is about some hunks of the change only.
    pub part: bool,
    /// Which it brings into the files, or takes out of them, where that is known.
    pub hunks: Option<BTreeSet<String>>,
}

impl Record {
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The apply that this is about: itself, or the one that it takes back or does again.
    pub fn about(&self) -> &str {
        match &self.kind {
            Kind::Apply => &self.id,
            Kind::Undo { of } | Kind::Redo { of } => of,
        }
    }

    pub fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    /// What it is to its task; `None` where it has none.
    pub fn turn(&self) -> Option<Turn> {
        let (kind, part, hunks) = (self.kind.clone(), self.part, self.hunks.clone());
        Some(Turn { task: self.task.clone()?, id: self.id.clone(), kind, part, hunks })
    }

    /// sha256 of the canonical diff that the apply carried out, or that is taken back or done again.
    pub fn patch(&self) -> Option<Digest> {
        self.patch
    }

    /// Milliseconds since the Unix epoch.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Every file with its digests before and after; `None`: nothing is there.
    pub fn files(&self) -> impl Iterator<Item = (&RelPath, Option<Digest>, Option<Digest>)> {
        let digest = |image: &Option<Image>| image.as_ref().map(|image| Digest::of(&image.bytes));
        self.steps.iter().map(move |step| (&step.path, digest(&step.before), digest(&step.after)))
    }

    pub(crate) fn disk_steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.steps.iter().enumerate().filter(|(_, step)| step.route == Route::Disk)
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, BadRecord> {
        let header = Header {
            id: self.id.clone(),
            kind: self.kind.clone(),
            task: self.task.clone(),
            patch: self.patch,
            part: self.part,
            hunks: self.hunks.clone(),
            time: self.time,
            steps: self.steps.iter().map(StepHeader::of).collect(),
            make_dirs: self.make_dirs.clone(),
            remove_dirs: self.remove_dirs.clone(),
        };
        let header = serde_json::to_vec(&header).map_err(|error| BadRecord(error.to_string()))?;
        let images = || self.steps.iter().flat_map(|step| [&step.before, &step.after]).flatten();
        let contents: usize = images().map(|image| image.bytes.len()).sum();
        if contents as u64 > MAX_BYTES {
            return Err(BadRecord(format!("it holds {contents} bytes, more than {MAX_BYTES}")));
        }
        let mut out = Vec::with_capacity(header.len() + contents + 64);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(header.len() as u64).to_le_bytes());
        out.extend_from_slice(&header);
        images().for_each(|image| out.extend_from_slice(&image.bytes));
        let seal = Digest::of(&out);
        out.extend_from_slice(seal.as_bytes());
        Ok(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let torn = || BadRecord("it is torn".into());
        let (body, seal) = bytes.split_last_chunk::<32>().ok_or_else(torn)?;
        let rest = body.strip_prefix(MAGIC).ok_or_else(|| BadRecord("it is no record".into()))?;
        if Digest::of(body).as_bytes() != seal {
            return Err(torn());
        }
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(torn)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| torn())?;
        let (header, mut contents) = rest.split_at_checked(length).ok_or_else(torn)?;
        let header: Header = serde_json::from_slice(header).map_err(|error| BadRecord(error.to_string()))?;
        let mut steps = Vec::with_capacity(header.steps.len());
        for step in header.steps {
            let before = step.before.map(|image| image.take(&mut contents)).transpose()?;
            let after = step.after.map(|image| image.take(&mut contents)).transpose()?;
            steps.push(Step { path: step.path, before, after, route: step.route, waits_for: step.waits_for });
        }
        for dir in header.make_dirs.iter().chain(&header.remove_dirs) {
            RelPath::new(dir).map_err(|error| BadRecord(error.to_string()))?;
        }
        Ok(Self {
            id: header.id,
            kind: header.kind,
            task: header.task,
            patch: header.patch,
            part: header.part,
            hunks: header.hunks,
            time: header.time,
            steps,
            make_dirs: header.make_dirs,
            remove_dirs: header.remove_dirs,
        })
    }
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the record of an apply: {0}")]
pub struct BadRecord(String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    id: String,
    kind: Kind,
    task: Option<String>,
    #[serde(default)]
    patch: Option<Digest>,
    #[serde(default)]
    part: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hunks: Option<BTreeSet<String>>,
    time: u64,
    steps: Vec<StepHeader>,
    make_dirs: Vec<String>,
    remove_dirs: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct StepHeader {
    path: RelPath,
    before: Option<ImageHeader>,
    after: Option<ImageHeader>,
    route: Route,
    waits_for: Option<RelPath>,
}

impl StepHeader {
    fn of(step: &Step) -> Self {
        let image = |image: &Option<Image>| {
            image.as_ref().map(|image| ImageHeader { length: image.bytes.len() as u64, executable: image.executable })
        };
        Self {
            path: step.path.clone(),
            before: image(&step.before),
            after: image(&step.after),
            route: step.route,
            waits_for: step.waits_for.clone(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ImageHeader {
    length: u64,
    executable: bool,
}

impl ImageHeader {
    fn take(&self, contents: &mut &[u8]) -> Result<Image, BadRecord> {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        let (bytes, rest) = contents.split_at_checked(length).ok_or_else(|| BadRecord("it is torn".into()))?;
        *contents = rest;
        Ok(Image { bytes: bytes.into(), executable: self.executable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn images() -> impl Strategy<Value = Option<Image>> {
        proptest::option::of((proptest::collection::vec(any::<u8>(), 0..60), any::<bool>()))
            .prop_map(|image| image.map(|(bytes, executable)| Image { bytes: bytes.into(), executable }))
    }

    fn records() -> impl Strategy<Value = Record> {
        proptest::collection::vec(("[a-z]{1,8}(/[a-zé]{1,8})?", images(), images(), any::<bool>()), 0..5).prop_map(
            |steps| Record {
                id: "id".into(),
                kind: Kind::Undo { of: "x".into() },
                task: None,
                patch: Some(Digest::of("p")),
                part: true,
                hunks: Some(["h1".to_owned()].into()),
                time: 7,
                steps: steps
                    .into_iter()
                    .map(|(path, before, after, disk)| Step {
                        path: RelPath::new(&path).unwrap(),
                        before,
                        after,
                        route: if disk { Route::Disk } else { Route::Buffer },
                        waits_for: None,
                    })
                    .collect(),
                make_dirs: vec!["a/b".into()],
                remove_dirs: vec![],
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_comes_back_and_every_damage_is_noticed(record in records(), at: prop::sample::Index, flip in 1u8..) {
            let bytes = record.encode().unwrap();
            prop_assert_eq!(&Record::decode(&bytes).unwrap(), &record);
            let at = at.index(bytes.len());
            prop_assert!(Record::decode(&bytes[..at]).is_err(), "cut at {}", at);
            let mut damaged = bytes;
            damaged[at] ^= flip;
            prop_assert!(Record::decode(&damaged).is_err(), "flipped at {}", at);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Record::decode(&bytes).is_err());
        }
    }
}
