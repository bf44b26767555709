//! Approvals: a signed document says that an owner agrees to one patch of one base under one policy, until a day.
//!
//! Who signed is found out elsewhere; here is what the document must say to count, and whom it counts for.

use super::{Day, Policy};
use crate::digest::Digest;
use crate::patch::Patch;
use crate::path::RelPath;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is signed. Its canonical form is the only one that is taken: this order, no blanks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// 1.
    pub version: u32,
    /// sha256 of the canonical diff.
    pub patch: Digest,
    /// sha256 of what the touched files were before ([`base_digest`]).
    pub base: Digest,
    /// sha256 of the policy under which it was judged.
    pub policy: Digest,
    /// Every path that the patch touches.
    pub paths: Vec<RelPath>,
    /// Who approves: `@name`, or a mail address.
    pub owner: String,
    /// Who asked for the change, as far as the owner knows.
    pub requester: Option<String>,
    /// The last day on which it counts.
    pub expires: Day,
    /// Makes two approvals of the same thing differ.
    pub nonce: String,
}

/// What an approval has to be about.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub patch: &'a Patch,
    pub policy: &'a Policy,
    /// Who asked for the change; `None` when nobody said so.
    pub requester: Option<&'a str>,
    pub today: Day,
}

/// Why an approval does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    #[error("it is not the canonical form of an approval")]
    NotCanonical,
    #[error("its version {0} is not known")]
    Version(u32),
    #[error("it is of another patch")]
    OtherPatch,
    #[error("it is of another base")]
    OtherBase,
    #[error("it is under another policy")]
    OtherPolicy,
    #[error("it names other paths")]
    OtherPaths,
    #[error("it ended on {0}")]
    Expired(Day),
    #[error("its owner is no name with @ and no mail address")]
    BadOwner,
    #[error("who asked for a change cannot approve it")]
    OwnRequest,
    #[error("nobody said who asked for the change, so it may be the same person")]
    UnknownRequester,
    #[error("it is a copy of one that counts already")]
    Copy,
}

impl Document {
    /// What is signed, byte by byte.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a signed text; only the canonical form is one.
    pub fn read(text: &str) -> Result<Self, NotCounted> {
        let document: Self = serde_json::from_str(text).map_err(|_| NotCounted::NotCanonical)?;
        if document.canonical() == text { Ok(document) } else { Err(NotCounted::NotCanonical) }
    }

    /// Whether it counts, when the signature is the owner's.
    pub fn counts(&self, wanted: &Wanted<'_>) -> Result<(), NotCounted> {
        if self.version != 1 {
            return Err(NotCounted::Version(self.version));
        }
        if !is_owner(&self.owner) {
            return Err(NotCounted::BadOwner);
        }
        if self.patch != wanted.patch.digest() {
            return Err(NotCounted::OtherPatch);
        }
        if self.base != base_digest(wanted.patch) {
            return Err(NotCounted::OtherBase);
        }
        if self.paths != paths(wanted.patch) {
            return Err(NotCounted::OtherPaths);
        }
        if self.policy != wanted.policy.digest() {
            return Err(NotCounted::OtherPolicy);
        }
        if wanted.today > self.expires {
            return Err(NotCounted::Expired(self.expires));
        }
        if wanted.policy.self_approval {
            return Ok(());
        }
        let requester = wanted.requester.ok_or(NotCounted::UnknownRequester)?;
        let same = |other: &str| other.eq_ignore_ascii_case(&self.owner);
        if same(requester) || self.requester.as_deref().is_some_and(same) {
            return Err(NotCounted::OwnRequest);
        }
        Ok(())
    }
}

/// A name that can stand in a command line and in a list of signers, and means nobody else there.
pub(super) fn is_owner(owner: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '_' | '-' | '+' | '/');
    owner.contains('@') && owner.len() <= 200 && !owner.starts_with('-') && owner.chars().all(plain)
}

/// Every path that the patch touches, both ends of a rename, sorted.
pub(super) fn paths(patch: &Patch) -> Vec<RelPath> {
    let both = patch.files().iter().flat_map(|file| [Some(&file.path), file.from.as_ref()]).flatten();
    both.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// sha256 of what the touched files were before: a list of paths and contents.
pub fn base_digest(patch: &Patch) -> Digest {
    let mut list = String::new();
    for file in patch.files() {
        let before = file.before.as_deref().map_or_else(|| "-".to_owned(), |bytes| Digest::of(bytes).to_string());
        list.push_str(&format!("{before} {}\n", file.from.as_ref().unwrap_or(&file.path)));
    }
    Digest::of(list)
}

impl Document {
    /// An approval of this patch, not signed yet.
    pub fn of(
        patch: &Patch,
        policy: &Policy,
        owner: &str,
        requester: Option<&str>,
        expires: Day,
        nonce: String,
    ) -> Self {
        Self {
            version: 1,
            patch: patch.digest(),
            base: base_digest(patch),
            policy: policy.digest(),
            paths: paths(patch),
            owner: owner.to_owned(),
            requester: requester.map(str::to_owned),
            expires,
            nonce,
        }
    }
}

/// Somebody whose signed approval counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    pub owner: String,
}

/// Who approved a patch, and what did not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    pub valid: Vec<Approved>,
    /// Who it says it is from, and why it does not count.
    pub refused: Vec<(String, String)>,
    /// Who belongs to a team, by the team's name.
    pub teams: BTreeMap<String, Vec<String>>,
}

impl Approvals {
    /// How many different people of these owners approved.
    pub fn count(&self, owners: &[String]) -> usize {
        let people: BTreeSet<String> = self.valid.iter().map(|approved| approved.owner.to_lowercase()).collect();
        people.iter().filter(|person| owners.iter().any(|owner| self.is(person, owner))).count()
    }

    fn is(&self, person: &str, owner: &str) -> bool {
        let same = |name: &str| name.eq_ignore_ascii_case(person);
        let members = self.teams.iter().filter(|(team, _)| team.eq_ignore_ascii_case(owner));
        same(owner) || members.flat_map(|(_, members)| members).any(|member| same(member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::patch;

    #[test]
    fn only_what_was_approved_counts() {
        let (change, policy) = (patch("src/a.ts", Some("a\n"), Some("b\n")), Policy::default());
        let day = |text: &str| text.parse::<Day>().unwrap();
        let document = Document::of(&change, &policy, "@ann", Some("@bob"), day("2027-01-31"), "n".into());
        let wanted = Wanted { patch: &change, policy: &policy, requester: Some("@bob"), today: day("2027-01-31") };
        assert_eq!(document.counts(&wanted), Ok(()));
        assert_eq!(Document::read(&document.canonical()), Ok(document.clone()));
        let other = patch("src/a.ts", Some("x\n"), Some("b\n"));
        let moved = patch("src/b.ts", Some("a\n"), Some("b\n"));
        let stricter = Policy { protected: Vec::new(), ..Policy::default() };
        let with = |change: &dyn Fn(&mut Document)| {
            let mut document = document.clone();
            change(&mut document);
            document
        };
        for (forged, wanted, why) in [
            (document.clone(), Wanted { patch: &other, ..wanted.clone() }, NotCounted::OtherPatch),
            (document.clone(), Wanted { patch: &moved, ..wanted.clone() }, NotCounted::OtherPatch),
            (document.clone(), Wanted { policy: &stricter, ..wanted.clone() }, NotCounted::OtherPolicy),
            (
                document.clone(),
                Wanted { today: day("2027-02-01"), ..wanted.clone() },
                NotCounted::Expired(day("2027-01-31")),
            ),
            (document.clone(), Wanted { requester: Some("@ANN"), ..wanted.clone() }, NotCounted::OwnRequest),
            (document.clone(), Wanted { requester: None, ..wanted.clone() }, NotCounted::UnknownRequester),
            (with(&|of| of.requester = Some("@ann".into())), wanted.clone(), NotCounted::OwnRequest),
            (with(&|of| of.base = Digest::of("")), wanted.clone(), NotCounted::OtherBase),
            (with(&|of| of.paths.clear()), wanted.clone(), NotCounted::OtherPaths),
            (with(&|of| of.version = 2), wanted.clone(), NotCounted::Version(2)),
            (with(&|of| of.owner = "*".into()), wanted.clone(), NotCounted::BadOwner),
            (with(&|of| of.owner = "@ann,@eve".into()), wanted.clone(), NotCounted::BadOwner),
            (with(&|of| of.owner = "-f@x".into()), wanted.clone(), NotCounted::BadOwner),
        ] {
            assert_eq!(forged.counts(&wanted), Err(why));
        }
        let text = document.canonical();
        for forged in
            [format!(" {text}"), text.replace(":1,", ": 1,"), text.replace("\"nonce\"", "\"Nonce\""), String::new()]
        {
            assert_eq!(Document::read(&forged), Err(NotCounted::NotCanonical));
        }
    }

    #[test]
    fn people_count_once_and_teams_by_their_members() {
        let approved = |owner: &str| Approved { owner: owner.into() };
        let teams = BTreeMap::from([("@org/Team".to_owned(), vec!["@Ann".to_owned()])]);
        let approvals = Approvals {
            valid: vec![approved("@ann"), approved("@ANN"), approved("@bob")],
            teams,
            ..Approvals::default()
        };
        let count =
            |owners: &[&str]| approvals.count(&owners.iter().map(|owner| (*owner).to_owned()).collect::<Vec<_>>());
        assert_eq!((count(&["@ann"]), count(&["@org/team"]), count(&["@ann", "@bob"]), count(&["@eve"])), (1, 1, 2, 0));
    }
}
