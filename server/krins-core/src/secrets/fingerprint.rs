//! What a secret is called where its text must not stand: a keyed hash. A plain one of a weak password could be guessed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// In its place stands what it makes of nothing: another key is another policy.
impl serde::Serialize for FingerprintKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fingerprint("").serialize(serializer)
    }
}

/// The key of fingerprints. The same key gives the same fingerprint for the same secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FingerprintKey(Vec<u8>);

impl std::fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FingerprintKey(…)")
    }
}

impl FingerprintKey {
    /// Shorter ones can be guessed.
    pub const BYTES: usize = 32;

    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes.to_vec())
    }

    /// The secret's name: 24 hex digits. `None` without a key.
    pub fn fingerprint(&self, secret: &str) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(b"krins secret fingerprint v1\0");
        mac.update(secret.as_bytes());
        Some(mac.finalize().into_bytes().iter().take(12).map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_depends_on_the_key_and_says_nothing_of_the_secret() {
        let (one, two) = (FingerprintKey::new([1; 32]), FingerprintKey::new([2; 32]));
        let print = one.fingerprint("hunter2").unwrap();
        assert_eq!(print.len(), 24);
        assert_eq!(one.fingerprint("hunter2"), Some(print.clone()));
        assert_ne!(two.fingerprint("hunter2"), Some(print.clone()));
        assert_ne!(one.fingerprint("hunter3"), Some(print));
        assert_eq!(FingerprintKey::default().fingerprint("hunter2"), None);
        assert!(!format!("{one:?}").contains('1'));
    }
}
