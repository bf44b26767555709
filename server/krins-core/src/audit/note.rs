//! Signed checkpoints in the form of C2SP: `tlog-checkpoint` in a `signed-note`, with Ed25519.
//!
//! ```text
//! krins.local/audit/…            who keeps the log
//! 1200                           how many records it had
//! base64                         the root of their Merkle tree
//! head …                         what else the writer says, a line each
//!
//! — krins.local/audit/… base64   key id and signature
//! ```

use super::merkle::Frontier;
use crate::digest::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use std::fmt;
use std::str::FromStr;

/// The algorithm's number in a signed note.
const ALGORITHM: u8 = 1;
/// A note larger than that is none.
const LONGEST: usize = 16 << 10;

/// A key that signs. Its text is never shown.
pub struct SecretKey {
    name: String,
    key: Ed25519KeyPair,
}

/// A key as others know it: `name+id+base64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub name: String,
    id: [u8; 4],
    key: [u8; 32],
}

/// Not a key of this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read a verifier key: it is not of the form name+id+base64")]
pub struct NotAKey;

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Digest,
    /// The hash of the last record.
    pub head: Digest,
    /// Where the log goes on, in bytes.
    pub offset: u64,
    pub frontier: Frontier,
    /// The key that signs from here on.
    pub rotate: Option<PublicKey>,
}

/// A checkpoint and its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub checkpoint: Checkpoint,
    text: String,
    signatures: Vec<(String, [u8; 4], [u8; 64])>,
}

impl SecretKey {
    /// `None` when the name cannot stand in a note.
    pub fn of(name: &str, seed: &[u8; 32]) -> Option<Self> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        is_name(name).then(|| Self { name: name.to_owned(), key })
    }

    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.key.public_key().as_ref());
        PublicKey::of(&self.name, key)
    }

    fn line(&self, text: &str) -> String {
        let mut bytes = self.public().id.to_vec();
        bytes.extend_from_slice(self.key.sign(text.as_bytes()).as_ref());
        format!("— {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

impl PublicKey {
    fn of(name: &str, key: [u8; 32]) -> Self {
        let mut bytes = format!("{name}\n").into_bytes();
        bytes.push(ALGORITHM);
        bytes.extend_from_slice(&key);
        let digest = Digest::of(bytes);
        let [a, b, c, d, ..] = *digest.as_bytes();
        Self { name: name.to_owned(), id: [a, b, c, d], key }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![ALGORITHM];
        bytes.extend_from_slice(&self.key);
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id), STANDARD.encode(bytes))
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let (name, rest) = text.split_once('+').ok_or(NotAKey)?;
        let (id, key) = rest.split_once('+').ok_or(NotAKey)?;
        let bytes = STANDARD.decode(key).map_err(|_| NotAKey)?;
        let [ALGORITHM, key @ ..] = bytes.as_slice() else { return Err(NotAKey) };
        let read = Self::of(name, key.try_into().map_err(|_| NotAKey)?);
        let same = is_name(name) && id == format!("{:08x}", u32::from_be_bytes(read.id)) && read.to_string() == text;
        if same { Ok(read) } else { Err(NotAKey) }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+')
}

impl Checkpoint {
    fn text(&self) -> String {
        let frontier: Vec<u8> = self.frontier.roots().iter().flat_map(|root| *root.as_bytes()).collect();
        let mut text = format!(
            "{}\n{}\n{}\nhead {}\noffset {}\nfrontier {}\n",
            self.origin,
            self.size,
            STANDARD.encode(self.root.as_bytes()),
            self.head,
            self.offset,
            STANDARD.encode(frontier)
        );
        if let Some(key) = &self.rotate {
            text.push_str(&format!("rotate {key}\n"));
        }
        text
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.split_terminator('\n');
        let origin = lines.next().filter(|origin| is_name(origin))?.to_owned();
        let size: u64 = lines.next()?.parse().ok()?;
        let root = digest(&STANDARD.decode(lines.next()?).ok()?)?;
        let head = lines.next()?.strip_prefix("head ")?.parse().ok()?;
        let offset = lines.next()?.strip_prefix("offset ")?.parse().ok()?;
        let roots = STANDARD.decode(lines.next()?.strip_prefix("frontier ")?).ok()?;
        let roots = roots.chunks(32).map(digest).collect::<Option<Vec<_>>>()?;
        let frontier = Frontier::of(size, roots).filter(|frontier| frontier.root() == root)?;
        let rotate = match lines.next() {
            None => None,
            Some(line) => Some(line.strip_prefix("rotate ")?.parse().ok()?),
        };
        let read = Self { origin, size, root, head, offset, frontier, rotate };
        (read.text() == text).then_some(read)
    }

    /// Signs it with each of the keys.
    pub fn sign(&self, keys: &[&SecretKey]) -> String {
        let text = self.text();
        let lines: String = keys.iter().map(|key| key.line(&text)).collect();
        format!("{text}\n{lines}")
    }
}

impl Note {
    /// Reads a note. What it says is believed only with [`Note::is_signed_by`].
    pub fn read(note: &str) -> Option<Self> {
        if note.len() > LONGEST {
            return None;
        }
        let (text, lines) = note.split_once("\n\n")?;
        let text = format!("{text}\n");
        let mut signatures = Vec::new();
        for line in lines.split_terminator('\n') {
            let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
            let bytes = STANDARD.decode(signature).ok()?;
            let (id, signature) = bytes.split_first_chunk::<4>()?;
            signatures.push((name.to_owned(), *id, signature.try_into().ok()?));
        }
        let checkpoint = Checkpoint::read(&text)?;
        let read = Self { checkpoint, text, signatures };
        (read.render() == note).then_some(read)
    }

    fn render(&self) -> String {
        let line = |(name, id, signature): &(String, [u8; 4], [u8; 64])| {
            format!("— {name} {}\n", STANDARD.encode([&id[..], &signature[..]].concat()))
        };
        format!("{}\n{}", self.text, self.signatures.iter().map(line).collect::<String>())
    }

    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let of = self.signatures.iter().filter(|(name, id, _)| *name == key.name && *id == key.id);
        let public = UnparsedPublicKey::new(&ED25519, key.key);
        of.into_iter().any(|(_, _, signature)| public.verify(self.text.as_bytes(), signature).is_ok())
    }
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    Some(Digest::from_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(rotate: Option<PublicKey>) -> Checkpoint {
        let mut frontier = Frontier::default();
        for leaf in 0..5u8 {
            frontier.push(&[leaf; 32]);
        }
        let (origin, head) = ("krins.local/audit/ab".into(), Digest::of("head"));
        Checkpoint { origin, size: 5, root: frontier.root(), head, offset: 1500, frontier, rotate }
    }

    #[test]
    fn a_note_comes_back_and_every_byte_of_it_counts() {
        let (old, new) = (SecretKey::of("a", &[1; 32]).unwrap(), SecretKey::of("a", &[2; 32]).unwrap());
        let note = checkpoint(Some(new.public())).sign(&[&old, &new]);
        let read = Note::read(&note).unwrap();
        assert!(read.is_signed_by(&old.public()) && read.is_signed_by(&new.public()));
        assert!(!read.is_signed_by(&SecretKey::of("b", &[1; 32]).unwrap().public()));
        assert_eq!(read.checkpoint, checkpoint(Some(new.public())));
        for at in 0..note.len() {
            let mut changed = note.clone().into_bytes();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let both = Note::read(&changed)
                .is_some_and(|note| note.is_signed_by(&old.public()) && note.is_signed_by(&new.public()));
            assert!(!both, "{at}");
        }
    }

    #[test]
    fn verifier_keys_have_one_form() {
        let key = SecretKey::of("krins.local/audit/ab", &[7; 32]).unwrap().public();
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        for wrong in ["", "a+b+c", &key.to_string().replace("ab+", "ac+"), &format!("{key} ")] {
            assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
        }
        assert!(SecretKey::of("with space", &[0; 32]).is_none());
    }
}
