//! What a licence expression allows, judged as an expression: of a choice the best counts, of a conjunction the worst.

use serde::Serialize;
use spdx::expression::{ExprNode, Operator};
use spdx::{Expression, LicenseItem, LicenseReq, ParseMode};

/// How a licence stands to the policy; the order is from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    Allowed,
    /// Changes of the package itself have to be published: MPL, LGPL, EPL, or a strong one with an exception for linking.
    WeakCopyleft,
    /// Whatever is built with it comes under its terms: GPL.
    Copyleft,
    /// Nothing is known, or nothing that is on any list.
    Unknown,
    /// On the list of those that are never taken.
    Denied,
}

/// Which licences are allowed and denied besides the built-in lists. Compared without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LicenceRules {
    /// Licence ids, `LicenseRef-…`, or an id `WITH` its exception.
    pub allow: Vec<String>,
    /// The same; it wins over [`LicenceRules::allow`].
    pub deny: Vec<String>,
}

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub standing: Standing,
    /// As SPDX writes it today; `None` when it is no expression.
    pub normal: Option<String>,
    /// The licence that decided.
    pub because: String,
}

/// Longer than any expression that a person writes.
const LONGEST: usize = 2000;

/// Permissive: they ask for a notice at most.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "AFL-2.0",
    "AFL-2.1",
    "AFL-3.0",
    "Apache-1.0",
    "Apache-1.1",
    "Apache-2.0",
    "Artistic-2.0",
    "BlueOak-1.0.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-2-Clause-Patent",
    "BSD-2-Clause-Views",
    "BSD-3-Clause",
    "BSD-3-Clause-Attribution",
    "BSD-3-Clause-Clear",
    "BSD-3-Clause-LBNL",
    "BSD-4-Clause",
    "BSD-4-Clause-UC",
    "BSD-Source-Code",
    "BSL-1.0",
    "bzip2-1.0.6",
    "CC-BY-2.0",
    "CC-BY-2.5",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC0-1.0",
    "CDLA-Permissive-1.0",
    "CDLA-Permissive-2.0",
    "curl",
    "ECL-2.0",
    "EFL-2.0",
    "Entessa",
    "FSFAP",
    "FSFUL",
    "FTL",
    "HPND",
    "HPND-sell-variant",
    "ICU",
    "IJG",
    "ISC",
    "JasPer-2.0",
    "libpng-2.0",
    "Libpng",
    "libtiff",
    "Linux-OpenIB",
    "MIT",
    "MIT-0",
    "MIT-advertising",
    "MIT-CMU",
    "MIT-enna",
    "MIT-feh",
    "MIT-Modern-Variant",
    "MITNFA",
    "MulanPSL-2.0",
    "NCSA",
    "NTP",
    "OFL-1.1",
    "OLDAP-2.8",
    "OpenSSL",
    "PDDL-1.0",
    "PHP-3.0",
    "PHP-3.01",
    "PostgreSQL",
    "PSF-2.0",
    "Python-2.0",
    "Python-2.0.1",
    "SSH-OpenSSH",
    "TCL",
    "Unicode-3.0",
    "Unicode-DFS-2015",
    "Unicode-DFS-2016",
    "Unlicense",
    "UPL-1.0",
    "W3C",
    "W3C-19980720",
    "W3C-20150513",
    "WTFPL",
    "X11",
    "Xnet",
    "Zed",
    "Zend-2.0",
    "zlib-acknowledgement",
    "Zlib",
    "ZPL-2.0",
    "ZPL-2.1",
];

/// Never taken unless the rules say so: they reach over a network, forbid a use, or give no right to use at all. Prefixes
/// of ids, in lower case.
const DENIED: &[&str] = &[
    "agpl-",
    "sspl-",
    "busl-",
    "elastic-",
    "cc-by-nc-",
    "cc-by-nd-",
    "polyform-",
    "commons-clause",
    "rpl-",
    "osl-",
    "watcom-",
    "hippocratic-",
    "parity-",
    "prosperity-",
    "cpol-",
    "fair-source",
    "fsl-",
    "licenseref-commons-clause",
    "licenseref-elastic",
    "licenseref-sspl",
    "licenseref-fsl",
    "licenseref-busl",
    "licenseref-polyform",
    "licenseref-proprietary",
    "licenseref-commercial",
    "licenseref-unlicensed",
];

/// Copyleft that ends at the package's own files. Prefixes of ids, in lower case.
const WEAK: &[&str] = &[
    "lgpl-",
    "lgpllr",
    "mpl-",
    "epl-",
    "cddl-",
    "cpl-",
    "ms-rl",
    "ms-pl",
    "apsl-",
    "ipl-",
    "eupl-",
    "cecill-c",
    "ofl-1.0",
    "artistic-1.0",
    "npl-",
    "spl-",
    "nokia",
    "qpl-",
    "sissl",
    "liliq-r-",
    "mulanpsl-1.0",
    "cc-by-sa-",
];

/// Exceptions that let other code link with a strong licence without coming under it. In lower case.
const LINKING: &[&str] = &[
    "classpath-exception-2.0",
    "classpath-exception-2.0-short",
    "gcc-exception-2.0",
    "gcc-exception-3.1",
    "openjdk-assembly-exception-1.0",
    "font-exception-2.0",
    "bison-exception-2.2",
    "autoconf-exception-2.0",
    "autoconf-exception-3.0",
    "libtool-exception",
    "llvm-exception",
    "fltk-exception",
    "wxwindows-exception-3.1",
    "gnat-exception",
    "linux-syscall-note",
    "llgpl",
    "ocaml-lgpl-linking-exception",
    "ecos-exception-2.0",
    "u-boot-exception-2.0",
    "universal-foss-exception-1.0",
    "gpl-cc-1.0",
    "bootloader-exception",
    "freertos-exception-2.0",
    "nokia-qt-exception-1.1",
    "qt-gpl-exception-1.0",
    "qt-lgpl-exception-1.1",
    "swift-exception",
];

/// Spellings that people use for what SPDX has an id for, in lower case and with single spaces.
const SPELT: &[(&str, &str)] = &[
    ("agpl v3", "AGPL-3.0-only"),
    ("agpl-3", "AGPL-3.0-only"),
    ("agpl3", "AGPL-3.0-only"),
    ("agplv3", "AGPL-3.0-only"),
    ("agplv3+", "AGPL-3.0-or-later"),
    ("apache", "Apache-2.0"),
    ("apache 2", "Apache-2.0"),
    ("apache 2.0", "Apache-2.0"),
    ("apache license", "Apache-2.0"),
    ("apache license 2.0", "Apache-2.0"),
    ("apache license v2.0", "Apache-2.0"),
    ("apache license version 2.0", "Apache-2.0"),
    ("apache license, version 2.0", "Apache-2.0"),
    ("apache v2", "Apache-2.0"),
    ("apache v2.0", "Apache-2.0"),
    ("apache-2", "Apache-2.0"),
    ("apache2", "Apache-2.0"),
    ("apache2.0", "Apache-2.0"),
    ("apache-license-2.0", "Apache-2.0"),
    ("apachev2", "Apache-2.0"),
    ("asl 2.0", "Apache-2.0"),
    ("asl2.0", "Apache-2.0"),
    ("boost", "BSL-1.0"),
    ("boost software license 1.0", "BSL-1.0"),
    ("bsd 2-clause", "BSD-2-Clause"),
    ("bsd 3-clause", "BSD-3-Clause"),
    ("bsd 2 clause", "BSD-2-Clause"),
    ("bsd 3 clause", "BSD-3-Clause"),
    ("2-clause bsd", "BSD-2-Clause"),
    ("3-clause bsd", "BSD-3-Clause"),
    ("bsd-2", "BSD-2-Clause"),
    ("bsd-3", "BSD-3-Clause"),
    ("bsd2", "BSD-2-Clause"),
    ("bsd3", "BSD-3-Clause"),
    ("bsd-2clause", "BSD-2-Clause"),
    ("bsd-3clause", "BSD-3-Clause"),
    ("new bsd", "BSD-3-Clause"),
    ("new bsd license", "BSD-3-Clause"),
    ("revised bsd", "BSD-3-Clause"),
    ("simplified bsd", "BSD-2-Clause"),
    ("simplified bsd license", "BSD-2-Clause"),
    ("freebsd", "BSD-2-Clause"),
    ("modified bsd", "BSD-3-Clause"),
    ("modified bsd license", "BSD-3-Clause"),
    ("cc0", "CC0-1.0"),
    ("cc0 1.0", "CC0-1.0"),
    ("cc-0", "CC0-1.0"),
    ("creative commons zero", "CC0-1.0"),
    ("cc by 4.0", "CC-BY-4.0"),
    ("cc-by 4.0", "CC-BY-4.0"),
    ("cc-by-nc", "CC-BY-NC-4.0"),
    ("eclipse public license 1.0", "EPL-1.0"),
    ("eclipse public license 2.0", "EPL-2.0"),
    ("gnu agpl v3", "AGPL-3.0-only"),
    ("gnu gpl v2", "GPL-2.0-only"),
    ("gnu gpl v3", "GPL-3.0-only"),
    ("gnu lgpl v3", "LGPL-3.0-only"),
    ("gnu agplv3", "AGPL-3.0-only"),
    ("gnu gplv2", "GPL-2.0-only"),
    ("gnu gplv3", "GPL-3.0-only"),
    ("gnu lgplv3", "LGPL-3.0-only"),
    ("gnu general public license v2.0", "GPL-2.0-only"),
    ("gnu general public license v3.0", "GPL-3.0-only"),
    ("gpl 2", "GPL-2.0-only"),
    ("gpl 3", "GPL-3.0-only"),
    ("gpl v2", "GPL-2.0-only"),
    ("gpl v3", "GPL-3.0-only"),
    ("gpl-2", "GPL-2.0-only"),
    ("gpl-3", "GPL-3.0-only"),
    ("gpl2", "GPL-2.0-only"),
    ("gpl3", "GPL-3.0-only"),
    ("gplv2", "GPL-2.0-only"),
    ("gplv2+", "GPL-2.0-or-later"),
    ("gplv3", "GPL-3.0-only"),
    ("gplv3+", "GPL-3.0-or-later"),
    ("gpl-v2", "GPL-2.0-only"),
    ("gpl-v3", "GPL-3.0-only"),
    ("isc license", "ISC"),
    ("the isc license", "ISC"),
    ("lgpl 2.1", "LGPL-2.1-only"),
    ("lgpl 3", "LGPL-3.0-only"),
    ("lgpl v3", "LGPL-3.0-only"),
    ("lgpl-2", "LGPL-2.0-only"),
    ("lgpl-3", "LGPL-3.0-only"),
    ("lgpl3", "LGPL-3.0-only"),
    ("lgplv2", "LGPL-2.0-only"),
    ("lgplv2.1", "LGPL-2.1-only"),
    ("lgplv3", "LGPL-3.0-only"),
    ("lgplv3+", "LGPL-3.0-or-later"),
    ("mit license", "MIT"),
    ("mit licensed", "MIT"),
    ("mit/x11", "MIT"),
    ("x11/mit", "MIT"),
    ("expat", "MIT"),
    ("the mit license", "MIT"),
    ("mit-license", "MIT"),
    ("mozilla public license 2.0", "MPL-2.0"),
    ("mpl", "MPL-2.0"),
    ("mpl 2.0", "MPL-2.0"),
    ("mpl v2", "MPL-2.0"),
    ("mpl-2", "MPL-2.0"),
    ("mpl2", "MPL-2.0"),
    ("mpl2.0", "MPL-2.0"),
    ("mplv2", "MPL-2.0"),
    ("mplv2.0", "MPL-2.0"),
    ("psf", "PSF-2.0"),
    ("python software foundation license", "PSF-2.0"),
    ("sspl", "SSPL-1.0"),
    ("the unlicense", "Unlicense"),
    ("unlicence", "Unlicense"),
    ("wtfpl v2", "WTFPL"),
    ("wtfpl 2.0", "WTFPL"),
    ("zlib/libpng", "Zlib"),
    ("zlib license", "Zlib"),
];

/// Ids that SPDX has given up, and what they are called now.
const DEPRECATED: &[(&str, &str)] = &[
    ("GPL-2.0-with-autoconf-exception", "GPL-2.0-only WITH Autoconf-exception-2.0"),
    ("GPL-2.0-with-bison-exception", "GPL-2.0-or-later WITH Bison-exception-2.2"),
    ("GPL-2.0-with-classpath-exception", "GPL-2.0-only WITH Classpath-exception-2.0"),
    ("GPL-2.0-with-font-exception", "GPL-2.0-only WITH Font-exception-2.0"),
    ("GPL-2.0-with-GCC-exception", "GPL-2.0-only WITH GCC-exception-2.0"),
    ("GPL-3.0-with-autoconf-exception", "GPL-3.0-only WITH Autoconf-exception-3.0"),
    ("GPL-3.0-with-GCC-exception", "GPL-3.0-only WITH GCC-exception-3.1"),
    ("eCos-2.0", "GPL-2.0-or-later WITH eCos-exception-2.0"),
    ("BSD-2-Clause-FreeBSD", "BSD-2-Clause"),
    ("BSD-2-Clause-NetBSD", "BSD-2-Clause"),
    ("StandardML-NJ", "SMLNJ"),
    ("bzip2-1.0.5", "bzip2-1.0.6"),
    ("wxWindows", "LGPL-2.0-or-later WITH WxWindows-exception-3.1"),
];

/// Families whose bare ids are deprecated: `GPL-3.0` and `GPL-3.0+`.
const GNU: &[&str] = &[
    "AGPL-1.0", "AGPL-3.0", "GFDL-1.1", "GFDL-1.2", "GFDL-1.3", "GPL-1.0", "GPL-2.0", "GPL-3.0", "LGPL-2.0",
    "LGPL-2.1", "LGPL-3.0",
];

/// Judges what somebody wrote as a licence.
pub fn judge(written: &str, rules: &LicenceRules) -> Judged {
    let written = written.trim();
    let unknown = || Judged { standing: Standing::Unknown, normal: None, because: shown(written) };
    if is_no_licence(written) {
        return Judged { standing: Standing::Denied, ..unknown() };
    }
    let Some(normal) = normalise(written) else { return unknown() };
    let Some(expression) = parse(&normal) else { return unknown() };
    let mut stack: Vec<(Standing, String)> = Vec::new();
    for node in expression.iter() {
        let next = match node {
            ExprNode::Req(requirement) => (standing(&requirement.req, rules), requirement.req.to_string()),
            ExprNode::Op(operator) => {
                let (Some(right), Some(left)) = (stack.pop(), stack.pop()) else { return unknown() };
                let left_decides = match operator {
                    Operator::And => left.0 >= right.0,
                    Operator::Or => left.0 <= right.0,
                };
                if left_decides { left } else { right }
            }
        };
        stack.push(next);
    }
    match stack.pop() {
        Some((standing, because)) if stack.is_empty() => Judged { standing, normal: Some(normal), because },
        _ => unknown(),
    }
}

/// The expression in today's ids, when it is one.
pub fn normalise(written: &str) -> Option<String> {
    let written = written.trim();
    if written.is_empty() || written.len() > LONGEST {
        return None;
    }
    let normal = match spelt(written) {
        Some(id) => id.to_owned(),
        None => rewrite(written)?,
    };
    parse(&normal).map(|_| normal)
}

/// Whether a normal expression is valid, deprecated ids and unknown ones not.
pub fn is_valid(expression: &str) -> bool {
    expression.len() <= LONGEST
        && Expression::parse_mode(expression, ParseMode { allow_deprecated: true, ..ParseMode::STRICT }).is_ok()
}

/// Ids that every published list of SPDX has.
pub fn is_well_known(text: &str) -> bool {
    PERMISSIVE.contains(&text)
        || ["GPL-2.0-only", "GPL-3.0-only", "LGPL-2.1-only", "LGPL-3.0-only", "AGPL-3.0-only", "MPL-2.0", "EPL-2.0"]
            .contains(&text)
}

/// [`is_well_known`] as a list.
pub fn permissive() -> &'static [&'static str] {
    PERMISSIVE
}

fn parse(normal: &str) -> Option<Expression> {
    Expression::parse(normal).ok()
}

/// npm's words for "you may not".
fn is_no_licence(written: &str) -> bool {
    let lower = written.to_ascii_lowercase();
    matches!(lower.as_str(), "unlicensed" | "proprietary" | "none" | "commercial" | "all rights reserved")
        || lower.contains("commons clause")
}

fn spelt(written: &str) -> Option<&'static str> {
    let lower = written.trim_end_matches('.').to_ascii_lowercase();
    let lower = lower.split_whitespace().collect::<Vec<_>>().join(" ");
    SPELT.iter().find(|(spelling, _)| *spelling == lower).map(|(_, id)| *id)
}

/// Ids, deprecated ids and spellings in place, joined by operators; slashes are a choice, as Cargo once wrote it.
fn rewrite(written: &str) -> Option<String> {
    let spaced = written.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words: Vec<String> = Vec::new();
    let mut licence: Vec<&str> = Vec::new();
    let mut after_with = false;
    for word in spaced.split_whitespace().chain([""]) {
        let operator = match word {
            "(" | ")" => Some(word.to_owned()),
            "" => Some(String::new()),
            _ if ["and", "or", "with"].iter().any(|known| word.eq_ignore_ascii_case(known)) => {
                Some(word.to_ascii_uppercase())
            }
            _ => None,
        };
        let Some(operator) = operator else {
            licence.push(word);
            continue;
        };
        if !licence.is_empty() {
            words.push(if after_with { exception(&licence.join(" "))? } else { id(&licence.join(" "))? });
            licence.clear();
        }
        after_with = operator == "WITH";
        if !operator.is_empty() {
            words.push(operator);
        }
    }
    Some(words.join(" ").replace("( ", "(").replace(" )", ")"))
}

fn exception(written: &str) -> Option<String> {
    let known = spdx::exception_id(written).map(|known| known.name);
    known.or_else(|| exception_without_case(written)).map(str::to_owned)
}

fn exception_without_case(written: &str) -> Option<&'static str> {
    spdx::identifiers::EXCEPTIONS.iter().map(|known| known.name).find(|name| name.eq_ignore_ascii_case(written))
}

fn id(written: &str) -> Option<String> {
    if let Some((_, now)) = DEPRECATED.iter().find(|(old, _)| old.eq_ignore_ascii_case(written)) {
        return Some((*now).to_owned());
    }
    let written = written.trim_end_matches('.');
    let (bare, later) = written.strip_suffix('+').map_or((written, false), |bare| (bare.trim_end(), true));
    if let Some(family) = GNU.iter().find(|family| family.eq_ignore_ascii_case(bare)) {
        return Some(format!("{family}-{}", if later { "or-later" } else { "only" }));
    }
    let is_reference = bare.starts_with("LicenseRef-") || bare.starts_with("DocumentRef-");
    if is_reference {
        return Some(bare.to_owned());
    }
    let known = spdx::license_id(bare).map(|id| id.name).or_else(|| id_without_case(bare)).or_else(|| spelt(bare))?;
    Some(if later { format!("{known}+") } else { known.to_owned() })
}

fn id_without_case(written: &str) -> Option<&'static str> {
    spdx::identifiers::LICENSES.iter().map(|known| known.name).find(|name| name.eq_ignore_ascii_case(written))
}

fn standing(requirement: &LicenseReq, rules: &LicenceRules) -> Standing {
    let whole = requirement.to_string().to_ascii_lowercase();
    let (bare, exception) =
        whole.split_once(" with ").map_or((whole.as_str(), None), |(bare, with)| (bare, Some(with)));
    let bare = bare.trim_end_matches('+');
    let named = |list: &[String]| {
        let names = |name: &String| {
            let name = normalise(name).unwrap_or_else(|| name.clone()).to_ascii_lowercase();
            name == whole || name == bare
        };
        list.iter().any(names)
    };
    let begins = |list: &[&str]| list.iter().any(|prefix| bare.starts_with(prefix));
    let is_permissive = || PERMISSIVE.iter().any(|id| id.eq_ignore_ascii_case(bare));
    if named(&rules.deny) {
        return Standing::Denied;
    }
    if named(&rules.allow) || is_permissive() {
        return Standing::Allowed;
    }
    if begins(DENIED) {
        return Standing::Denied;
    }
    let LicenseItem::Spdx { id, .. } = &requirement.license else { return Standing::Unknown };
    match (begins(WEAK), id.is_copyleft() || id.is_gnu(), exception) {
        (true, ..) => Standing::WeakCopyleft,
        (false, true, Some(with)) if LINKING.contains(&with) => Standing::WeakCopyleft,
        (false, true, _) => Standing::Copyleft,
        (false, false, _) => Standing::Unknown,
    }
}

/// What is shown of text from a file that nobody vouches for.
fn shown(written: &str) -> String {
    written.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests;
