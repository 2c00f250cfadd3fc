//! The timeline as one page of HTML, for a person who has to find out what happened.
//!
//! The page needs no network and no script: every row is there, and folds by itself. Its own script adds search, filters
//! and the keyboard.
//!
//! Nothing captured can run or load, for three reasons that do not rest on each other:
//! - captured text comes into the page through [`escape`] alone: as text, never in a tag, a script or a style;
//! - the page's policy (`Content-Security-Policy`) allows the one script and the one style by their hashes, and no source
//!   of anything else; it forbids the script every way of making markup out of text (`require-trusted-types-for`);
//! - the script makes elements by name and sets their text; captured text is never an attribute that the browser obeys.

mod axis;
mod escape;
mod head;
mod rows;

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use self::escape::Page;
use super::finish::Finished;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

impl Finished {
    /// Writes the timeline as a page of HTML that stands for itself: no network, no file beside it.
    ///
    /// # Errors
    /// `out` could not be written.
    pub fn render_html(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut page = Page::new(out);
        page.own("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        page.own(&format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n", policy()));
        page.own("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        page.own("<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>");
        page.text("Session ");
        page.raw(&self.timeline.session.id);
        page.own("</title>\n<style>");
        page.own(STYLE);
        page.own("</style>\n</head>\n<body>\n");
        self.html_head(&mut page)?;
        if !self.is_empty() {
            self.html_axis(&mut page)?;
            self.html_rows(&mut page)?;
        }
        page.own("<script>");
        page.own(SCRIPT);
        page.own("</script>\n</body>\n</html>\n");
        page.finish()
    }
}

/// What the page may do: run its own script, use its own style, and nothing else.
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_own_parts_cannot_end_early() {
        assert!(!STYLE.contains('<'));
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
    }

    #[test]
    fn the_script_makes_no_markup_of_text() {
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval",
            "Function(",
            "setTimeout(\"",
            "srcdoc",
            ".src",
            "fetch",
            "import(",
        ] {
            assert!(!SCRIPT.contains(forbidden), "{forbidden}");
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
