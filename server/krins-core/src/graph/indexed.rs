//! One file as the graph holds it: a few figures and the tables that searches read at hand, the rest encoded until
//! somebody asks. Seven thousand files are held so; a file that is being edited is held as it is.

use super::model::{Analysis, FileFacts, Outline};
use super::{Lexicon, words};
use crate::digest::Digest;
use crate::path::RelPath;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// What can be told of a file without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub lines: u32,
    pub symbols: u32,
    pub exports: u32,
    pub imports: u32,
    pub broken: bool,
    pub generated: bool,
    /// It exports other modules' names without naming them: `export *`, or a namespace object.
    pub passes_on: bool,
    /// It declares something that every file can name.
    pub declares_globals: bool,
}

/// A file in the graph. Made from a text, or from the bytes that [`Indexed::to_bytes`] gave.
#[derive(Debug)]
pub struct Indexed {
    /// Of a file that is being edited: when it is asked for.
    digest: OnceLock<Digest>,
    summary: Summary,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Live {
        facts: Arc<FileFacts>,
        text: Arc<str>,
        lexicon: OnceLock<Lexicon>,
    },
    Encoded {
        facts: Arc<[u8]>,
        /// Sorted hashes, little-endian.
        identifiers: Arc<[u8]>,
        lexicon: Lexicon,
        /// Decoded once for as long as anybody holds it.
        decoded: Mutex<Weak<FileFacts>>,
    },
}

/// Of the encoding; a store that finds another number makes its content anew.
pub const ENCODING_VERSION: u32 = 8;

impl Indexed {
    /// Reads a file's text: a file at rest.
    pub fn of(path: &RelPath, text: &str) -> Self {
        Self::at_rest(Digest::of(text), &super::analyse(path, text))
    }

    /// A file that is being edited: nothing is encoded, and its terms are counted when they are asked for.
    pub fn live(text: Arc<str>, facts: FileFacts) -> Self {
        let (digest, summary) = (OnceLock::new(), summary(&facts));
        Self { digest, summary, body: Body::Live { facts: Arc::new(facts), text, lexicon: OnceLock::new() } }
    }

    /// A file at rest.
    pub fn at_rest(digest: Digest, analysis: &Analysis) -> Self {
        let facts = &analysis.facts;
        let identifiers: Vec<u8> = facts.identifiers.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        let body = Body::Encoded {
            facts: encode(facts).into(),
            identifiers: identifiers.into(),
            lexicon: analysis.lexicon.clone(),
            decoded: Mutex::default(),
        };
        Self { digest: digest.into(), summary: summary(facts), body }
    }

    /// sha256 of the text.
    pub fn digest(&self) -> &Digest {
        self.digest.get_or_init(|| match &self.body {
            Body::Live { text, .. } => Digest::of(&**text),
            // Unreachable: a file at rest is made with its digest.
            Body::Encoded { .. } => Digest::of(""),
        })
    }

    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Everything. Decoded, if nobody holds it: keep it for as long as it is used.
    pub fn facts(&self) -> Arc<FileFacts> {
        match &self.body {
            Body::Live { facts, .. } => facts.clone(),
            Body::Encoded { facts, identifiers, decoded, .. } => {
                let mut known = decoded.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(facts) = known.upgrade() {
                    return facts;
                }
                let fresh = Arc::new(decode(facts, identifiers, &self.summary));
                *known = Arc::downgrade(&fresh);
                fresh
            }
        }
    }

    /// Everything but the references and the globals, which may be missing: decoded, if nobody holds all, in less time.
    pub fn outline(&self) -> Arc<FileFacts> {
        match &self.body {
            Body::Live { facts, .. } => facts.clone(),
            Body::Encoded { facts, identifiers, decoded, .. } => {
                let known = decoded.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
                known.unwrap_or_else(|| {
                    let outline = postcard::take_from_bytes::<Outline>(facts).map(|(outline, _)| outline.into());
                    Arc::new(with_identifiers(outline, identifiers, &self.summary))
                })
            }
        }
    }

    pub fn lexicon(&self) -> &Lexicon {
        match &self.body {
            Body::Live { facts, text, lexicon } => lexicon.get_or_init(|| super::chunks::lexicon(text, &facts.chunks)),
            Body::Encoded { lexicon, .. } => lexicon,
        }
    }

    /// Whether the file uses the identifier anywhere. Never wrongly says no.
    pub fn uses(&self, identifier: &str) -> bool {
        let hash = words::hash(identifier);
        match &self.body {
            Body::Live { facts, .. } => facts.identifiers.binary_search(&hash).is_ok(),
            Body::Encoded { identifiers, .. } => {
                let (hashes, _) = identifiers.as_chunks::<4>();
                hashes.binary_search_by_key(&hash, |four| u32::from_le_bytes(*four)).is_ok()
            }
        }
    }

    /// The file in a form that [`Indexed::from_bytes`] takes: summary, then facts, identifiers and terms.
    pub fn to_bytes(&self) -> Vec<u8> {
        let facts = match &self.body {
            Body::Live { facts, .. } => encode(facts).into(),
            Body::Encoded { facts, .. } => facts.clone(),
        };
        let identifiers = match &self.body {
            Body::Live { facts, .. } => facts.identifiers.iter().flat_map(|hash| hash.to_le_bytes()).collect(),
            Body::Encoded { identifiers, .. } => identifiers.clone(),
        };
        let Summary { lines, symbols, exports, imports, broken, generated, passes_on, declares_globals } = self.summary;
        let flags = [broken, generated, passes_on, declares_globals];
        let flags = flags.iter().rev().fold(0, |bits, flag| bits << 1 | u32::from(*flag));
        let head = [lines, symbols, exports, imports, flags, facts.len() as u32, identifiers.len() as u32];
        let lexicon = self.lexicon().bytes();
        let mut bytes = Vec::with_capacity(HEAD + facts.len() + identifiers.len() + lexicon.len());
        bytes.extend(head.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend_from_slice(&facts);
        bytes.extend_from_slice(&identifiers);
        bytes.extend_from_slice(lexicon);
        bytes
    }

    /// `None` when the bytes cannot be what [`Indexed::to_bytes`] gave for a text with that digest.
    pub fn from_bytes(digest: Digest, bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let mut numbers = head.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four));
        let mut next = || numbers.next();
        let (lines, symbols, exports, imports) = (next()?, next()?, next()?, next()?);
        let (flags, facts, identifiers) = (next()?, next()? as usize, next()? as usize);
        let (facts, rest) = rest.split_at_checked(facts)?;
        let (identifiers, lexicon) = rest.split_at_checked(identifiers)?;
        let [broken, generated, passes_on, declares_globals] = [1, 2, 4, 8].map(|bit| flags & bit > 0);
        let summary = Summary { lines, symbols, exports, imports, broken, generated, passes_on, declares_globals };
        let body = Body::Encoded {
            facts: facts.into(),
            identifiers: identifiers.into(),
            lexicon: Lexicon::from_bytes(lexicon.into()),
            decoded: Mutex::default(),
        };
        Some(Self { digest: digest.into(), summary, body })
    }
}

const HEAD: usize = 28;

fn summary(facts: &FileFacts) -> Summary {
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    Summary {
        lines: facts.lines,
        symbols: count(facts.symbols.len()),
        exports: count(facts.exports.len()),
        imports: count(facts.imports.len()),
        broken: facts.broken,
        generated: facts.generated,
        passes_on: passes_on(facts),
        declares_globals: super::queries::globals(facts).next().is_some(),
    }
}

fn passes_on(facts: &FileFacts) -> bool {
    let namespace = |local: &str| {
        let names = facts.imports.iter().flat_map(|import| &import.names);
        names.into_iter().any(|(imported, here)| imported == "*" && here == local)
    };
    facts.exports.iter().any(|export| match &export.imported {
        Some(imported) => imported == "*",
        None => export.local.as_deref().is_some_and(namespace),
    })
}

fn encode(facts: &FileFacts) -> Vec<u8> {
    postcard::to_allocvec(facts).expect("facts are plain data, and memory is the only thing that can run out")
}

fn decode(facts: &[u8], identifiers: &[u8], summary: &Summary) -> FileFacts {
    with_identifiers(postcard::from_bytes(facts), identifiers, summary)
}

/// Bytes that were damaged are a file of which only the summary is known.
fn with_identifiers(facts: postcard::Result<FileFacts>, identifiers: &[u8], summary: &Summary) -> FileFacts {
    let mut facts = facts.unwrap_or_else(|_| FileFacts {
        lines: summary.lines,
        generated: summary.generated,
        broken: true,
        ..FileFacts::default()
    });
    facts.identifiers = identifiers.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four)).collect();
    facts
}
