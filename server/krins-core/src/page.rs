//! One HTML page with everything in it: nothing is loaded, nothing but its own script runs, and what it shows is data.
//!
//! Data reach the page in two ways: as JSON in an element that is not executed, and, the title alone, as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// What a page is made of. The template has a place for each as `{{policy}}`, `{{title}}`, `{{style}}`, `{{data}}` and
/// `{{script}}`.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    pub template: &'a str,
    pub style: &'a str,
    pub script: &'a str,
    /// As it is to be read: it is escaped here.
    pub title: &'a str,
    /// JSON.
    pub data: &'a str,
    /// Where the script may ask for more, as the policy's `connect-src` names it; nothing is nowhere.
    pub connect: &'a str,
}

impl Page<'_> {
    /// What the browser may do with the page, as its content security policy: run this script, draw with this style.
    pub fn policy(&self) -> String {
        let connect = match self.connect {
            "" => String::new(),
            connect => format!("connect-src {connect}; "),
        };
        format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; {connect}base-uri 'none'; form-action \
             'none'; require-trusted-types-for 'script'; trusted-types 'none'",
            hash(self.script),
            hash(self.style)
        )
    }

    pub fn write(&self) -> String {
        // With no `<` in it the data cannot end its element, nor open a comment in it.
        let data = self.data.replace('<', "\\u003c");
        let parts = [self.template, self.style, self.script, &data];
        // One pass: what is put in is never searched for a mark.
        let mut out = String::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + 1024);
        let mut rest = self.template;
        while let Some((before, mark, after)) = next_mark(rest) {
            out += before;
            match mark {
                "policy" => out += &self.policy(),
                "title" => out += &escaped(self.title),
                "style" => out += self.style,
                "data" => out += &data,
                "script" => out += self.script,
                _ => {}
            }
            rest = after;
        }
        out + rest
    }
}

/// What is before the next `{{mark}}`, the mark, and what is after it.
fn next_mark(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (mark, after) = rest.split_once("}}")?;
    Some((before, mark, after))
}

/// As a content security policy names a text that may run.
fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

/// Text for HTML. Characters that are not seen, or turn the order of others round, are spelled out.
pub fn escaped(text: &str) -> String {
    let text = visible(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// The same text in one line, with what cannot be seen spelled out.
pub fn visible(text: &str) -> String {
    crate::text::visible(text).replace('\n', "\\u{a}").replace('\t', "\\u{9}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_stay_data_and_the_policy_names_what_runs() {
        let page = Page {
            template: "<meta content=\"{{policy}}\"><title>{{title}}</title><style>{{style}}</style>{{data}}<script>{{script}}</script>",
            style: "p{}",
            script: "go()",
            title: "<a> \u{202e}",
            data: "{\"x\":\"</script>{{script}}\"}",
            connect: "'self'",
        };
        let text = page.write();
        assert_eq!(text.matches("go()").count(), 1, "{text}");
        assert!(text.contains("<title>&lt;a&gt; \\u{202e}</title>"), "{text}");
        assert!(text.contains("{\"x\":\"\\u003c/script>{{script}}\"}"), "{text}");
        assert!(page.policy().contains("connect-src 'self'; base-uri 'none'"));
        assert!(!Page { connect: "", ..page }.policy().contains("connect-src"));
        // echo -n 'go()' | openssl dgst -sha256 -binary | base64
        assert!(text.contains("script-src 'sha256-5KYv+PUboo5h+0+YAtGRPbwv5d/QxzHslP4YGnUaxRw='"), "{text}");
    }
}
